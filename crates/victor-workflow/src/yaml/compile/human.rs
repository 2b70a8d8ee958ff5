//! Questions to people.

use std::borrow::Cow;

use async_trait::async_trait;
use victor_core::question::QuestionKind;

use super::super::node::{Fallback as Written, HitlNode, HitlType, Node, says_no};
use super::scope::{NodeScope, wrong};
use super::{Shared, seconds, target};
use crate::error::NodeError;
use crate::human::HumanNode;
use crate::node::{Fallback, Node as Runs, NodeCx, NodeOutput, Work};
use crate::template::Template;

/// A question whose options may say no.
pub(super) struct Gate {
    inner: HumanNode,
    output: String,
    /// The options that abort the run.
    noes: Vec<String>,
}

/// The question of a node.
pub(super) fn gate(node: &Node, hitl: &HitlNode, level: &[Node], shared: Shared<'_>) -> Result<Gate, String> {
    let prompt = Template::parse(&hitl.prompt.value, shared.environment).map_err(|e| e.0)?;
    let options: Vec<String> = hitl.options.iter().flatten().map(|o| o.value.clone()).collect();
    let kind = match hitl.hitl_type.value {
        HitlType::Approval if options.is_empty() => QuestionKind::Approval,
        HitlType::Confirmation if options.is_empty() => QuestionKind::Confirmation,
        HitlType::Approval | HitlType::Confirmation | HitlType::Choice => QuestionKind::Choice,
        HitlType::Input => QuestionKind::Input,
    };
    let ask = move |cx: &NodeCx| prompt.render(&NodeScope(cx)).map_err(|e| wrong(cx, "", &e));
    let mut inner = HumanNode::new(kind, ask).output(node.output()).options(options.clone());
    inner = inner.fingerprint(hitl.prompt.value.clone());
    inner = inner.fallback(match hitl.fallback.as_ref().map(|f| &f.value) {
        None | Some(Written::Abort) => Fallback::Abort,
        Some(Written::Continue) => Fallback::Continue,
        Some(Written::Node(to)) => Fallback::Goto(target(level, to)),
        Some(Written::Value(value)) => Fallback::Value(value.clone()),
    });
    if let Some(timeout) = &node.common.timeout {
        inner = inner.timeout(seconds(timeout.value));
    }
    let gated = matches!(hitl.hitl_type.value, HitlType::Approval | HitlType::Confirmation);
    let mut noes: Vec<String> = options.into_iter().filter(|o| gated && says_no(o)).collect();
    if let Some(no) = &hitl.on_no {
        let to = target(level, no);
        for option in noes.drain(..) {
            inner = inner.on_answer(option, to.clone());
        }
        inner = inner.on_no(to);
    }
    Ok(Gate { inner, output: node.output().to_owned(), noes })
}

#[async_trait]
impl Runs for Gate {
    fn kind(&self) -> Cow<'static, str> {
        self.inner.kind()
    }

    fn work(&self) -> Work {
        self.inner.work()
    }

    fn fingerprint(&self) -> String {
        format!("{} {:?}", Runs::fingerprint(&self.inner), self.noes)
    }

    fn targets(&self) -> Vec<String> {
        self.inner.targets()
    }

    fn compute(&self, cx: &NodeCx) -> Option<Result<NodeOutput, NodeError>> {
        let done = self.inner.compute(cx)?;
        Some(done.and_then(|output| match &output {
            NodeOutput::Done { update, .. } => {
                let answer = update.get(&self.output).and_then(serde_json::Value::as_str);
                match answer.filter(|a| self.noes.iter().any(|no| no == a)) {
                    Some(no) => Err(NodeError::aborted(format!("`{}` was answered with `{no}`", cx.node()))),
                    None => Ok(output),
                }
            }
            NodeOutput::Ask(_) => Ok(output),
        }))
    }

    async fn run(&self, cx: NodeCx) -> Result<NodeOutput, NodeError> {
        self.compute(&cx).unwrap_or_else(|| Err(NodeError::cancelled()))
    }
}
