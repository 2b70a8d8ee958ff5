//! Leave for calls that is given later: a node whose agent or tool may not go on asks, is put down, and goes on with
//! the answer where it was.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use victor_core::agent::{Agent, Called, Outcome, Part, PutDown, TakenUp, Unanswered};
use victor_core::message::Input;
use victor_core::permission::{ApprovalRequest, Decision, GrantScope};
use victor_core::question::QuestionKind;
use victor_core::tool::{Preview, ToolOutput};
use victor_core::usage::Spent;

use crate::error::NodeError;
use crate::node::{Answered, Ask, Fallback, NodeCx, NodeOutput, finished};

/// Characters of a preview that a question shows.
const PREVIEW: usize = 4000;

/// What an agent or a tool of a node has come to.
#[derive(Clone, Debug)]
pub enum Worked<T> {
    /// It was done.
    Done(T),
    /// It needs leave that is given later: the node says this, and runs again with the answer.
    Asks(NodeOutput),
}

/// What a node keeps while it waits for leave.
#[derive(Serialize, Deserialize)]
struct Kept {
    /// All that was asked so far, in order: the answers are in the same.
    asked: Vec<ApprovalRequest>,
    /// The try in which each was asked.
    #[serde(default)]
    attempts: Vec<u32>,
    /// The agent, where one was put down.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    put_down: Option<PutDown>,
}

/// What a node has asked and been told before.
#[derive(Default)]
struct Before {
    put_down: Option<PutDown>,
    asked: Asked,
    /// What counts of the answers: a yes to a call of another run or of a try that has failed is none to this one.
    decided: Vec<(ApprovalRequest, Decision)>,
}

/// What was asked so far, and the try in which it was.
#[derive(Default)]
struct Asked {
    asked: Vec<ApprovalRequest>,
    attempts: Vec<u32>,
}

impl NodeCx {
    /// As [`agent`](Self::agent), for a node that can wait: where a call of the agent needs leave that is given later,
    /// the agent is put down, and goes on with the answer without doing again what it did before.
    ///
    /// # Errors
    /// It failed, reached a limit, was denied or cancelled.
    pub async fn agent_or_ask(
        &self,
        agent: &Agent,
        name: &str,
        input: impl Into<Input>,
    ) -> Result<Worked<Outcome>, NodeError> {
        let Before { put_down, asked, decided } = self.before()?;
        let taken_up = put_down.map(|put_down| Box::new(TakenUp { put_down, decided }));
        let part = Part { unanswered: self.unanswered(), taken_up, ..Part::named(name) };
        let end = self.scope().run_part(agent, part, input).await;
        match (end.put_down, end.error) {
            (Some(put_down), None) => {
                let question = put_down.suspended.questions.first().cloned();
                let question = question.ok_or_else(|| NodeError::new("the agent waits for nothing"))?;
                Ok(Worked::Asks(self.asks(asked, question, Some(*put_down))?))
            }
            (_, Some(e)) => Err(e.into()),
            (None, None) => finished(end.outcome).map(Worked::Done),
        }
    }

    /// As [`tool`](Self::tool), for a node that can wait for leave which is given later.
    ///
    /// # Errors
    /// Unknown tool, wrong arguments, denial, failure.
    pub async fn tool_or_ask(&self, name: &str, arguments: Value) -> Result<Worked<ToolOutput>, NodeError> {
        if self.unanswered() == Unanswered::Deny {
            return self.tool(name, arguments).await.map(Worked::Done);
        }
        let Before { put_down: _, asked, decided } = self.before()?;
        match self.scope().call_or_ask(name, arguments, &decided).await? {
            Called::Done(output) => Ok(Worked::Done(output)),
            Called::Asks(question) => Ok(Worked::Asks(self.asks(asked, *question, None)?)),
        }
    }

    fn before(&self) -> Result<Before, NodeError> {
        let Some(kept) = self.kept() else { return Ok(Before::default()) };
        let Kept { asked, mut attempts, put_down } = Kept::deserialize(kept)
            .map_err(|e| NodeError::invalid(format!("what the node kept cannot be read: {e}")))?;
        attempts.resize(asked.len(), self.attempt());
        let of_now =
            |(asked, attempt): &(&ApprovalRequest, u32)| asked.run_id == self.run_id() && *attempt == self.attempt();
        let answered = asked.iter().zip(attempts.iter().copied()).zip(self.answers());
        let answered = answered.filter(|(asked, _)| of_now(asked));
        let decided = answered.map(|((asked, _), answer)| (asked.clone(), decision(answer, asked))).collect();
        Ok(Before { put_down, asked: Asked { asked, attempts }, decided })
    }

    /// The question of a node that needs leave.
    fn asks(
        &self,
        before: Asked,
        question: ApprovalRequest,
        put_down: Option<PutDown>,
    ) -> Result<NodeOutput, NodeError> {
        let Asked { mut asked, mut attempts } = before;
        let ApprovalRequest { tool, arguments, reason, preview, leaves_sandbox, .. } = &question;
        let details = json!({
            "tool": tool, "arguments": arguments, "reason": reason, "preview": preview, "leaves_sandbox": leaves_sandbox,
        });
        let prompt = prompt(&question);
        asked.push(question);
        attempts.push(self.attempt());
        Ok(NodeOutput::ask(Ask {
            kind: QuestionKind::Permission,
            prompt,
            options: Vec::new(),
            details: Some(details),
            timeout: None,
            fallback: Fallback::Value(json!("deny")),
            kept: Some(serde_json::to_value(Kept { asked, attempts, put_down })?),
        }))
    }
}

/// What a node's agent had used before it was put down.
pub(crate) fn spent_before(kept: Option<&Value>) -> Spent {
    let spent = kept.and_then(|kept| kept.pointer("/put_down/suspended/spent"));
    spent.and_then(|spent| Spent::deserialize(spent).ok()).unwrap_or_default()
}

fn prompt(question: &ApprovalRequest) -> String {
    let shown = match &question.preview {
        Some(Preview::Diff { diff }) => diff.clone(),
        Some(Preview::Command { command, cwd }) => format!("{command}\n(in {cwd})"),
        Some(Preview::Text { text }) => text.clone(),
        _ => question.arguments.to_string(),
    };
    let cut: String = shown.chars().take(PREVIEW).collect();
    let more = if cut.len() < shown.len() { "\n[...]" } else { "" };
    format!("May `{}` run? {}\n{cut}{more}", question.tool, question.reason)
}

/// An answer as `{"decision": "allow" | "allow_session" | "deny", "reason"?}`.
///
/// # Errors
/// It is none of these, nor a yes or a no.
pub(crate) fn accept(answer: &Value) -> Result<Value, NodeError> {
    let unfit = || {
        let text = format!("{answer} is no decision: answer \"allow\", \"allow_session\" or \"deny\"");
        NodeError::invalid(text)
    };
    let (word, reason) = match answer {
        Value::Bool(true) => ("allow".to_owned(), None),
        Value::Bool(false) => ("deny".to_owned(), None),
        Value::String(word) => (word.to_lowercase(), None),
        Value::Object(fields) if fields.keys().all(|k| k == "decision" || k == "reason") => {
            let word = fields.get("decision").and_then(Value::as_str).ok_or_else(unfit)?;
            (word.to_lowercase(), fields.get("reason").and_then(Value::as_str))
        }
        _ => return Err(unfit()),
    };
    let decision = match word.as_str() {
        "allow" | "yes" | "y" | "true" => "allow",
        "allow_session" | "session" => "allow_session",
        "deny" | "no" | "n" | "false" => "deny",
        _ => return Err(unfit()),
    };
    Ok(match reason {
        Some(reason) => json!({ "decision": decision, "reason": reason }),
        None => json!({ "decision": decision }),
    })
}

/// What an answer decides. Whatever is not clearly a yes is none.
fn decision(answer: &Answered, asked: &ApprovalRequest) -> Decision {
    let Answered::Person { value } = answer else {
        let reason = format!("{}; nobody can be asked here: {}", asked.reason, asked.how_to_configure());
        return Decision::Deny { reason };
    };
    match value["decision"].as_str() {
        Some("allow") => Decision::Allow(GrantScope::Once),
        Some("allow_session") => Decision::Allow(GrantScope::Session),
        _ => {
            let reason = match value["reason"].as_str().map(str::trim) {
                None | Some("") => "the user said no".to_owned(),
                Some(reason) => format!("the user said no: {reason}"),
            };
            Decision::Deny { reason }
        }
    }
}
