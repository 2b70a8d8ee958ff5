//! What the model may say: tool calls that parse and fit their schemas, and answers of a given form.
//! The rules are `llguidance`'s; it tells before each token which ones keep to them.

use std::fmt::Write as _;
use std::sync::Arc;

use llguidance::api::TopLevelGrammar;
use llguidance::toktrie::{TokEnv, TokRxInfo, TokTrie, TokenId, TokenizerEnv};
use llguidance::{Matcher, ParserFactory};
use serde_json::{Value, json};
use victor_core::request::{OutputSchema, Request, ToolChoice};
use victor_core::tool::ToolSpec;

use crate::error::EngineError;
use crate::prompt::{CALL, CALL_END};
use crate::tokenizer::{Specials, Tokenizer};

/// Calls in one answer at most.
const CALLS: usize = 4;

/// Makes rules for one tokenizer.
pub(crate) struct Rules {
    factory: ParserFactory,
}

/// Where rules hold.
pub(crate) enum Rule {
    /// Nowhere.
    Free,
    /// From the beginning of a tool call on; what comes before it is free.
    InCalls(Matcher),
    /// From the first token on; `start` is said already.
    Always { matcher: Matcher, start: &'static str },
}

impl Rules {
    /// Rules for this tokenizer.
    pub(crate) fn new(tokenizer: &Arc<Tokenizer>) -> Result<Self, EngineError> {
        let words: Vec<Vec<u8>> = (0u32..).take(tokenizer.len()).map(|id| word(tokenizer, id)).collect();
        let last = tokenizer.ends.first().copied().unwrap_or_default();
        let size = u32::try_from(words.len()).map_err(|e| EngineError::Internal(e.to_string()))?;
        let trie = TokTrie::from(&TokRxInfo::new(size, last), &words).with_eos_tokens(&tokenizer.ends);
        let env: TokEnv = Arc::new(Environment { trie, tokenizer: Arc::clone(tokenizer) });
        let mut factory = ParserFactory::new_simple(&env).map_err(|e| EngineError::Internal(e.to_string()))?;
        factory.quiet();
        Ok(Self { factory })
    }

    /// The rule for the answer to a request.
    pub(crate) fn rule(&self, request: &Request) -> Result<Rule, EngineError> {
        let tools: Vec<_> = request.tools.iter().filter(|t| may_call(&request.tool_choice, t)).collect();
        let must = !tools.is_empty() && matches!(request.tool_choice, ToolChoice::Required | ToolChoice::Tool(_));
        let calls = calls(&tools);
        match &request.output_schema {
            _ if must => Ok(Rule::Always { matcher: self.matcher(&format!("start: calls\n{calls}"))?, start: CALL }),
            Some(form) if tools.is_empty() => {
                let matcher = self.matcher(&format!("start: form\n{}", form_rule(form)))?;
                Ok(Rule::Always { matcher, start: "" })
            }
            Some(form) => {
                let rules = format!("start: form | \"{CALL}\" calls\n{}{calls}", form_rule(form));
                Ok(Rule::Always { matcher: self.matcher(&rules)?, start: "" })
            }
            None if tools.is_empty() => Ok(Rule::Free),
            None => Ok(Rule::InCalls(self.matcher(&format!("start: calls\n{calls}"))?)),
        }
    }

    fn matcher(&self, rules: &str) -> Result<Matcher, EngineError> {
        let parser = self.factory.create_parser(TopLevelGrammar::from_lark(rules.to_owned()));
        let parser =
            parser.map_err(|e| EngineError::Request(format!("a schema is not supported by the model: {e}")))?;
        Ok(Matcher::new(Ok(parser)))
    }
}

fn may_call(choice: &ToolChoice, tool: &ToolSpec) -> bool {
    match choice {
        ToolChoice::Auto | ToolChoice::Required => true,
        ToolChoice::None => false,
        ToolChoice::Tool(name) => tool.name == *name,
    }
}

/// The rules of tool calls, from behind the first [`CALL`] on.
fn calls(tools: &[&Arc<ToolSpec>]) -> String {
    let names: Vec<_> = (0..tools.len()).map(|i| format!("call_{i}")).collect();
    let more = CALLS - 1;
    let mut rules = format!("calls: call (\"\\n{CALL}\" call){{0,{more}}}\ncall: \"\\n\"? ({})\n", names.join(" | "));
    for (i, tool) in tools.iter().enumerate() {
        let head = format!("{{\"name\": {}, \"arguments\": ", Value::from(tool.name.as_str()));
        let (head, end) = (Value::from(head), Value::from(format!("}}\n{CALL_END}")));
        let _ = writeln!(rules, "call_{i}: {head} args_{i} {end}\nargs_{i}: %json {}", compact(&tool.parameters));
    }
    rules
}

fn form_rule(form: &OutputSchema) -> String {
    format!("form: %json {}\n", compact(&form.schema))
}

/// A schema whose values are written without free spaces: small models lose themselves in them.
fn compact(schema: &Value) -> Value {
    let mut schema = schema.clone();
    if let Value::Object(map) = &mut schema {
        let spaces = json!({"whitespace_flexible": false, "item_separator": ", ", "key_separator": ": "});
        map.insert("x-guidance".to_owned(), spaces);
    }
    schema
}

/// A token as the rules see it: its bytes; control tokens behind a mark that no text has.
fn word(tokenizer: &Tokenizer, id: u32) -> Vec<u8> {
    match tokenizer.is_control(id) {
        true => [&[TokTrie::SPECIAL_TOKEN_MARKER], tokenizer.name(id)].concat(),
        false => tokenizer.name(id).to_vec(),
    }
}

struct Environment {
    trie: TokTrie,
    tokenizer: Arc<Tokenizer>,
}

impl TokenizerEnv for Environment {
    fn tok_trie(&self) -> &TokTrie {
        &self.trie
    }

    fn tokenize_bytes(&self, bytes: &[u8]) -> Vec<TokenId> {
        let encode = |text: &str| self.tokenizer.encode(text, Specials::AsTokens).unwrap_or_default();
        self.trie.tokenize_with_greedy_fallback(bytes, encode)
    }
}
