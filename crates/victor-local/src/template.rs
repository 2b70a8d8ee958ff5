//! Chat templates: the prompt's text, as the model's file writes it.
//! Files carry templates in Jinja, in the dialect of Hugging Face's `transformers`.

use minijinja::syntax::SyntaxConfig;
use minijinja::value::{Rest, Serde, Value};
use minijinja::{Environment, Error, ErrorKind, State, UndefinedBehavior};
use serde::Serialize;
use serde_json::ser::Formatter;

use crate::error::EngineError;
use crate::gguf::Gguf;

const NAME: &str = "chat";
/// Steps that a template may take: far more than any real one needs, and an end to what loops.
const FUEL: u64 = 20_000_000;

/// ChatML, for files without a template.
const CHATML: &str = "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% endfor %}\
                      {% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

/// A model's template.
pub(crate) struct Template {
    environment: Environment<'static>,
    knows_tools: bool,
    thinks: bool,
}

/// What a template is filled with.
#[derive(Debug, Serialize)]
pub(crate) struct Context<'a> {
    pub(crate) messages: Vec<serde_json::Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) tools: Option<Vec<serde_json::Value>>,
    pub(crate) add_generation_prompt: bool,
    pub(crate) enable_thinking: bool,
    pub(crate) bos_token: &'a str,
    pub(crate) eos_token: &'a str,
}

impl Template {
    /// Reads the template out of a model's file.
    pub(crate) fn read(file: &Gguf) -> Result<Self, EngineError> {
        let source = file.text("tokenizer.chat_template").unwrap_or(CHATML).to_owned();
        Self::new(source).map_err(|e| file.wrong(format!("its chat template cannot be read: {e:#}")))
    }

    fn new(source: String) -> Result<Self, Error> {
        let mut environment = Environment::new();
        environment.set_syntax(SyntaxConfig::builder().trim_blocks(true).lstrip_blocks(true).build()?);
        environment.set_undefined_behavior(UndefinedBehavior::Lenient);
        environment.set_unknown_method_callback(minijinja_contrib::pycompat::unknown_method_callback);
        environment.set_fuel(Some(FUEL));
        environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);
        environment.add_function("raise_exception", raise);
        environment.add_filter("tojson", to_json);
        let (knows_tools, thinks) = (source.contains("<tool_call>"), source.contains("enable_thinking"));
        environment.add_template_owned(NAME, source)?;
        Ok(Self { environment, knows_tools, thinks })
    }

    /// Whether it writes tools and their calls the way that the grammar expects them.
    pub(crate) fn knows_tools(&self) -> bool {
        self.knows_tools
    }

    /// Whether the model can think before it answers.
    pub(crate) fn thinks(&self) -> bool {
        self.thinks
    }

    /// The prompt's text.
    pub(crate) fn render(&self, context: &Context<'_>) -> Result<String, EngineError> {
        let rendered = self.environment.get_template(NAME).and_then(|t| t.render(Value::from(Serde(context))));
        rendered.map_err(|e| EngineError::Request(format!("the model's chat template refuses the conversation: {e:#}")))
    }
}

fn raise(message: String) -> Result<Value, Error> {
    Err(Error::new(ErrorKind::InvalidOperation, message))
}

/// JSON as Python's `json.dumps` writes it: what models were trained on.
fn to_json(_: &State<'_, '_>, value: Value, _: Rest<Value>) -> Result<Value, Error> {
    let mut out = Vec::new();
    let mut serializer = serde_json::Serializer::with_formatter(&mut out, Spaced);
    value.serialize(&mut serializer).map_err(|e| Error::new(ErrorKind::BadSerialization, e.to_string()))?;
    Ok(Value::from_safe_string(String::from_utf8_lossy(&out).into_owned()))
}

/// `serde_json`'s compact form with a space after `:` and `,`.
pub(crate) struct Spaced;

impl Formatter for Spaced {
    fn begin_array_value<W: ?Sized + std::io::Write>(&mut self, writer: &mut W, first: bool) -> std::io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_key<W: ?Sized + std::io::Write>(&mut self, writer: &mut W, first: bool) -> std::io::Result<()> {
        if first { Ok(()) } else { writer.write_all(b", ") }
    }

    fn begin_object_value<W: ?Sized + std::io::Write>(&mut self, writer: &mut W) -> std::io::Result<()> {
        writer.write_all(b": ")
    }
}

/// A value as JSON text with spaces.
pub(crate) fn spaced(value: &serde_json::Value) -> String {
    let mut out = Vec::new();
    let mut serializer = serde_json::Serializer::with_formatter(&mut out, Spaced);
    match value.serialize(&mut serializer) {
        Ok(()) => String::from_utf8_lossy(&out).into_owned(),
        Err(_) => value.to_string(),
    }
}
