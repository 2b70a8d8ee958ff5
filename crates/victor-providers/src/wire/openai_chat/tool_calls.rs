//! The tool calls of a streamed answer. Servers send their pieces with an index, with an id, with both or with
//! neither, and some repeat name or id with every piece.

use serde_json::{Value, json};
use victor_core::provider::Chunk;

use super::CALL_EXTRA;
use crate::wire::text_at;

/// The calls of one answer so far.
#[derive(Debug, Default)]
pub(super) struct Calls(Vec<Call>);

#[derive(Debug, Default)]
struct Call {
    key: Option<u64>,
    id: Option<String>,
    name: String,
    extra: Option<Value>,
    /// The block's place in the answer, once it was announced.
    index: Option<u32>,
    has_arguments: bool,
}

impl Calls {
    /// Whether there was any.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Takes one piece. `next` is the next free place of a block.
    pub(super) fn piece(&mut self, piece: &Value, next: &mut u32, out: &mut Vec<Chunk>) {
        let function = piece.get("function").unwrap_or(&Value::Null);
        let key = piece.get("index").and_then(Value::as_u64);
        let id = text_at(piece, "id");
        let name = text_at(function, "name");
        let at = self.find(key, id, name);
        let call = &mut self.0[at];
        call.key = call.key.or(key);
        if call.id.is_none() {
            call.id = id.map(str::to_owned);
        }
        if let Some(name) = name
            && call.index.is_none()
            && call.name != name
        {
            call.name.push_str(name);
        }
        if let Some(extra) = piece.get("extra_content").filter(|v| v.is_object()) {
            call.extra = Some(extra.clone());
        }
        let arguments = match function.get("arguments") {
            Some(Value::String(text)) => text.clone(),
            Some(object @ Value::Object(_)) => object.to_string(),
            _ => String::new(),
        };
        if !arguments.is_empty() {
            call.has_arguments = true;
            // Those before it first, so that the calls keep their order.
            let index = self.0[..=at].iter_mut().map(|c| c.announce(next, out)).last().unwrap_or(*next);
            out.push(Chunk::ToolArgs { index, delta: arguments });
        }
    }

    /// Announces the calls that had no arguments, and hands out what is to be sent back with the calls.
    pub(super) fn finish(&mut self, next: &mut u32, out: &mut Vec<Chunk>) {
        for call in &mut self.0 {
            call.announce(next, out);
        }
        for call in &mut self.0 {
            if let (Some(extra), Some(id)) = (call.extra.take(), &call.id) {
                let value = json!({"type": CALL_EXTRA, "id": id, "extra_content": extra});
                out.push(Chunk::Opaque { index: *next, value });
                *next += 1;
            }
        }
    }

    /// The call that a piece belongs to; a new one where it begins one.
    fn find(&mut self, key: Option<u64>, id: Option<&str>, name: Option<&str>) -> usize {
        let found = match (key, id) {
            // Some servers give all parallel calls the index 0: another id with a name is another call.
            (Some(_), Some(id)) if name.is_some() => {
                self.0.iter().rposition(|c| c.key == key && c.id.as_deref().is_none_or(|own| own == id))
            }
            (Some(_), _) => self.0.iter().rposition(|c| c.key == key),
            (None, Some(id)) => self.0.iter().rposition(|c| c.id.as_deref() == Some(id)),
            // Neither: it goes on with the last call, unless it names a tool after that one's arguments.
            (None, None) if name.is_some() => self.0.len().checked_sub(1).filter(|at| !self.0[*at].has_arguments),
            (None, None) => self.0.len().checked_sub(1),
        };
        found.unwrap_or_else(|| {
            self.0.push(Call::default());
            self.0.len() - 1
        })
    }
}

impl Call {
    fn announce(&mut self, next: &mut u32, out: &mut Vec<Chunk>) -> u32 {
        if let Some(index) = self.index {
            return index;
        }
        let index = *next;
        *next += 1;
        self.index = Some(index);
        out.push(Chunk::ToolCall { index, id: self.id.clone(), name: self.name.clone() });
        index
    }
}
