//! A person in the loop: approval, input, choice, confirmation.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};
use victor_core::error::nearest;
use victor_core::question::QuestionKind;

use crate::error::NodeError;
use crate::leave;
use crate::node::{Answered, Ask, Fallback, Node, NodeCx, NodeOutput, Work};
use crate::route::Route;

type Prompt = dyn Fn(&NodeCx) -> Result<String, NodeError> + Send + Sync;

/// A node that asks a person. A no to an approval or a confirmation fails the node as aborted, unless
/// [`on_no`](Self::on_no) says where to go then.
pub struct HumanNode {
    kind: QuestionKind,
    prompt: Arc<Prompt>,
    options: Vec<String>,
    timeout: Option<Duration>,
    fallback: Fallback,
    output: Option<String>,
    no: Option<String>,
    routes: Vec<(Value, String)>,
    fingerprint: String,
}

impl HumanNode {
    /// Asks for `kind` with the text that `prompt` makes.
    pub fn new(
        kind: QuestionKind,
        prompt: impl Fn(&NodeCx) -> Result<String, NodeError> + Send + Sync + 'static,
    ) -> Self {
        Self {
            kind,
            prompt: Arc::new(prompt),
            options: Vec::new(),
            timeout: None,
            fallback: Fallback::Abort,
            output: None,
            no: None,
            routes: Vec::new(),
            fingerprint: String::new(),
        }
    }

    /// Asks whether the run may go on.
    pub fn approval(prompt: impl Into<String>) -> Self {
        let prompt = prompt.into();
        Self::new(QuestionKind::Approval, move |_| Ok(prompt.clone()))
    }

    /// What a choice is made among.
    #[must_use]
    pub fn options<T: Into<String>>(mut self, options: impl IntoIterator<Item = T>) -> Self {
        self.options.extend(options.into_iter().map(Into::into));
        self
    }

    /// How long an answer is waited for.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// What counts where nobody answers; [`Fallback::Abort`] unless said otherwise.
    #[must_use]
    pub fn fallback(mut self, fallback: Fallback) -> Self {
        self.fallback = fallback;
        self
    }

    /// The key of the state that the answer is put in; the node's name unless said otherwise.
    #[must_use]
    pub fn output(mut self, key: impl Into<String>) -> Self {
        self.output = Some(key.into());
        self
    }

    /// Where to go after a no, instead of failing.
    #[must_use]
    pub fn on_no(mut self, node: impl Into<String>) -> Self {
        self.no = Some(node.into());
        self
    }

    /// Where to go after this answer, instead of along the edges.
    #[must_use]
    pub fn on_answer(mut self, answer: impl Into<Value>, node: impl Into<String>) -> Self {
        self.routes.push((answer.into(), node.into()));
        self
    }

    /// What it is made of, as text.
    #[must_use]
    pub fn fingerprint(mut self, text: impl Into<String>) -> Self {
        self.fingerprint = text.into();
        self
    }

    fn ask(&self, cx: &NodeCx) -> Result<NodeOutput, NodeError> {
        Ok(NodeOutput::ask(Ask {
            kind: self.kind,
            prompt: (self.prompt)(cx)?,
            options: self.options.clone(),
            details: cx.input().cloned(),
            timeout: self.timeout,
            fallback: self.fallback.clone(),
            kept: None,
        }))
    }

    fn answered(&self, cx: &NodeCx, answer: &Answered) -> Result<NodeOutput, NodeError> {
        let key = self.output.clone().unwrap_or_else(|| cx.node().to_owned());
        let (fallback, why) = match answer {
            Answered::Person { value } => return self.take(key, value),
            Answered::Fallback { fallback } => (fallback, "there was nobody to ask"),
            Answered::Timeout { fallback } => (fallback, "nobody answered in time"),
        };
        match fallback {
            Fallback::Abort => Err(NodeError::aborted(format!("`{}` was not answered: {why}", cx.node()))),
            Fallback::Continue => Ok(NodeOutput::set(key, Value::Null)),
            Fallback::Goto(node) => Ok(NodeOutput::set(key, Value::Null).goto(Route::to(node))),
            Fallback::Value(value) => self.take(key, value),
        }
    }

    fn take(&self, key: String, value: &Value) -> Result<NodeOutput, NodeError> {
        let value = accept(self.kind, &self.options, value)?;
        let goto = self.routes.iter().find(|(answer, _)| *answer == value).map(|(_, node)| Route::to(node));
        let is_no = value == json!(false) && matches!(self.kind, QuestionKind::Approval | QuestionKind::Confirmation);
        let output = NodeOutput::set(key, value);
        match (goto, &self.no) {
            (Some(route), _) => Ok(output.goto(route)),
            (None, Some(node)) if is_no => Ok(output.goto(Route::to(node))),
            (None, None) if is_no => Err(NodeError::aborted("the answer was no")),
            _ => Ok(output),
        }
    }
}

/// The answer in the form that a question of this kind wants.
///
/// # Errors
/// It does not fit; says what would.
pub fn accept(kind: QuestionKind, options: &[String], answer: &Value) -> Result<Value, NodeError> {
    match kind {
        QuestionKind::Approval | QuestionKind::Confirmation => yes_or_no(answer),
        QuestionKind::Input => Ok(answer.clone()),
        QuestionKind::Permission => leave::accept(answer),
        QuestionKind::Choice => match answer.as_str() {
            Some(text) if options.is_empty() || options.iter().any(|o| o == text) => Ok(answer.clone()),
            other => {
                let said = other.map_or_else(|| answer.to_string(), str::to_owned);
                let near = nearest(&said, options.iter().map(String::as_str));
                let hint =
                    if near.is_empty() { String::new() } else { format!("; did you mean {}?", near.join(" or ")) };
                let text = format!("`{said}` is none of the options {}{hint}", options.join(", "));
                Err(NodeError::invalid(text))
            }
        },
    }
}

fn yes_or_no(answer: &Value) -> Result<Value, NodeError> {
    let word = answer.as_str().map(str::to_lowercase);
    match (answer, word.as_deref()) {
        (Value::Bool(_), _) => Ok(answer.clone()),
        (_, Some("yes" | "y" | "true" | "approve" | "approved")) => Ok(json!(true)),
        (_, Some("no" | "n" | "false" | "reject" | "rejected")) => Ok(json!(false)),
        _ => Err(NodeError::invalid(format!("{answer} is neither yes nor no: answer true or false"))),
    }
}

#[async_trait]
impl Node for HumanNode {
    fn kind(&self) -> Cow<'static, str> {
        Cow::Borrowed("hitl")
    }

    fn work(&self) -> Work {
        Work::Compute
    }

    fn fingerprint(&self) -> String {
        let Self { kind, options, timeout, fallback, output, no, routes, fingerprint, prompt: _ } = self;
        format!("{kind:?} {options:?} {timeout:?} {fallback:?} {output:?} {no:?} {routes:?} {fingerprint}")
    }

    fn targets(&self) -> Vec<String> {
        let fallback = match &self.fallback {
            Fallback::Goto(node) => Some(node),
            Fallback::Abort | Fallback::Continue | Fallback::Value(_) => None,
        };
        self.no.iter().chain(self.routes.iter().map(|(_, node)| node)).chain(fallback).cloned().collect()
    }

    fn compute(&self, cx: &NodeCx) -> Option<Result<NodeOutput, NodeError>> {
        Some(match cx.answers().last() {
            None => self.ask(cx),
            Some(answer) => self.answered(cx, answer),
        })
    }

    async fn run(&self, cx: NodeCx) -> Result<NodeOutput, NodeError> {
        self.compute(&cx).unwrap_or_else(|| Err(NodeError::cancelled()))
    }
}
