//! Questions of the permission pipeline on their way to the client: a request of the server where the protocol has
//! that, an answer that asks for input where it has not, a denial that says what to do where the client cannot ask.

use std::collections::BTreeMap;
use std::time::Duration;

use async_trait::async_trait;
use rmcp::ServiceError;
use rmcp::model::{
    CancelledNotificationParam, ClientResult, ElicitRequest, ElicitRequestParams, ElicitResult, ElicitationAction,
    ElicitationSchema, InputRequest, InputRequiredResult, ServerRequest,
};
use rmcp::service::PeerRequestOptions;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};
use victor_core::blob::BlobId;
use victor_core::permission::{Answer, ApprovalRequest, Approver, Decision, GrantScope};
use victor_core::question::{Question, QuestionKind, Reply};
use victor_core::tool::Preview;

use super::call::{Call, Era};

/// The name of the question in an answer that asks for input.
pub(crate) const QUESTION: &str = "approval";
const ONCE: &str = "allow once";
const SESSION: &str = "allow for this session";
const DENY: &str = "deny";
/// How long taking a question back may take.
const FAREWELL: Duration = Duration::from_secs(1);
/// Bytes of a preview that a question shows.
const PREVIEW: usize = 4000;

/// A question that waits for its answer.
pub(crate) struct Asked {
    pub(crate) matter: Matter,
    pub(crate) reply: oneshot::Sender<Said>,
}

/// What is asked.
#[derive(Clone, Debug)]
pub(crate) enum Matter {
    /// May this call run?
    Call(Box<ApprovalRequest>),
    /// What a workflow within a run wants to know.
    Person(Box<Question>),
}

/// What is said to it.
#[derive(Clone, Debug)]
pub(crate) enum Said {
    /// To a call.
    Decided(Decision),
    /// To a workflow; `Later` to a call too.
    Replied(Reply),
}

impl Matter {
    /// What it is recognised by when its call is made again.
    pub(crate) fn id(&self) -> String {
        match self {
            Self::Call(request) => digest(request),
            Self::Person(question) => format!("{}.{}", question.run_id, question.id),
        }
    }

    /// What the client's answer says to it; nothing where it brought none.
    pub(crate) fn said(&self, state: &State, responses: &BTreeMap<String, Value>, lasts: bool) -> Option<Said> {
        match self {
            Self::Call(_) => Some(Said::Decided(given(state, responses, lasts)?.decision)),
            Self::Person(_) => {
                let result: ElicitResult = serde_json::from_value(responses.get(QUESTION)?.clone()).ok()?;
                Some(Said::Replied(answer(&result).map_or(Reply::Nobody, Reply::Answer)))
            }
        }
    }

    /// In a few words.
    pub(crate) fn note(&self) -> String {
        match self {
            Self::Call(request) => format!("waits for an answer: may `{}` run?", request.tool),
            Self::Person(question) => format!("waits for an answer: {}", question.prompt),
        }
    }
}

/// What a client has answered to a question of an earlier try.
#[derive(Clone, Debug)]
pub(crate) struct Given {
    pub(crate) question: String,
    pub(crate) decision: Decision,
}

/// Hands questions to whoever speaks with the client.
pub(crate) struct Desk {
    asked: mpsc::Sender<Asked>,
    given: Option<Given>,
    timeout: Duration,
}

impl Desk {
    pub(crate) fn new(timeout: Duration, given: Option<Given>) -> (Self, mpsc::Receiver<Asked>) {
        let (asked, questions) = mpsc::channel(16);
        (Self { asked, given, timeout }, questions)
    }
}

#[async_trait]
impl Approver for Desk {
    async fn ask(&self, request: &ApprovalRequest) -> Answer {
        if let Some(given) = &self.given
            && given.question == digest(request)
        {
            return Answer::Decided(given.decision.clone());
        }
        let deny = |reason: &str| Answer::Decided(Decision::Deny { reason: reason.to_owned() });
        let gone = || deny("nobody is there to be asked any more");
        let (reply, answer) = oneshot::channel();
        let matter = Matter::Call(Box::new(request.clone()));
        if self.asked.send(Asked { matter, reply }).await.is_err() {
            return gone();
        }
        match tokio::time::timeout(self.timeout, answer).await {
            Ok(Ok(Said::Decided(decision))) => Answer::Decided(decision),
            Ok(Ok(Said::Replied(Reply::Later))) => Answer::Later,
            Ok(Ok(Said::Replied(_)) | Err(_)) => gone(),
            Err(_) => deny("the question was not answered in time"),
        }
    }

    async fn question(&self, question: &Question) -> Reply {
        let (reply, answer) = oneshot::channel();
        let matter = Matter::Person(Box::new(question.clone()));
        if self.asked.send(Asked { matter, reply }).await.is_err() {
            return Reply::Nobody;
        }
        match tokio::time::timeout(self.timeout, answer).await {
            Ok(Ok(Said::Replied(reply))) => reply,
            _ => Reply::Nobody,
        }
    }
}

/// What a question is recognised by when its call is made again.
pub(crate) fn digest(request: &ApprovalRequest) -> String {
    let ApprovalRequest { tool, arguments, effects, keys, leaves_sandbox, preview, .. } = request;
    // What was shown belongs to it: an edit of a file that has changed since is another question.
    let text = json!([tool, arguments, effects, keys, leaves_sandbox, preview]).to_string();
    BlobId::of(text.as_bytes()).0
}

/// What comes of a question.
pub(crate) enum Outcome {
    /// It is answered.
    Said(Said),
    /// The client has to ask, and to repeat its request.
    Suspend(Box<InputRequest>),
    /// Nobody has answered, and nobody waits any longer.
    Open,
}

/// Puts a question to the client, until the answer comes or `over` does.
pub(crate) async fn put(call: &Call<'_>, matter: &Matter, over: impl Future<Output = ()>) -> Outcome {
    let params = match matter {
        Matter::Call(request) if !call.can_elicit() => return Outcome::Said(Said::Decided(nobody(request))),
        Matter::Person(_) if !call.can_elicit() => return Outcome::Said(Said::Replied(Reply::Nobody)),
        Matter::Call(request) => form(call, request),
        Matter::Person(question) => person_form(question),
    };
    if call.era() == Era::Requests {
        return Outcome::Suspend(Box::new(InputRequest::Elicitation(ElicitRequest::new(params))));
    }
    let Some(filled) = fill_in(call, params, over).await else { return Outcome::Open };
    Outcome::Said(match matter {
        Matter::Call(request) => Said::Decided(match filled {
            Ok(result) => decision(&result, may_last(call, request)),
            Err(e) => Decision::Deny { reason: format!("{}; the client could not ask: {e}", request.reason) },
        }),
        Matter::Person(_) => {
            let value = filled.ok().as_ref().and_then(answer);
            Said::Replied(value.map_or(Reply::Nobody, Reply::Answer))
        }
    })
}

/// Has the person answer what a workflow asks; nothing where they do not, or not before `over`.
pub(crate) async fn elicit_answer(
    call: &Call<'_>,
    question: &Question,
    over: impl Future<Output = ()>,
) -> Option<Value> {
    answer(&fill_in(call, person_form(question), over).await?.ok()?)
}

/// The question as a form with one field.
pub(crate) fn person_form(question: &Question) -> ElicitRequestParams {
    let field = match question.kind {
        QuestionKind::Approval | QuestionKind::Confirmation => json!({"type": "boolean", "title": "Answer"}),
        QuestionKind::Choice => json!({"type": "string", "title": "Answer", "enum": question.options}),
        QuestionKind::Input => json!({"type": "string", "title": "Answer"}),
        QuestionKind::Permission => {
            json!({"type": "string", "title": "Answer", "enum": ["allow", "allow_session", "deny"]})
        }
    };
    let schema = json!({"type": "object", "properties": {"answer": field}, "required": ["answer"]});
    elicitation(format!("{} ({})", question.prompt, question.node), schema)
}

/// What the person said; whatever is no answer is none.
pub(crate) fn answer(result: &ElicitResult) -> Option<Value> {
    let content = result.content.as_ref().filter(|_| matches!(result.action, ElicitationAction::Accept))?;
    content.get("answer").cloned()
}

/// Has the client's person fill in a form; `None` if nobody waits any more, which the client is told.
async fn fill_in(
    call: &Call<'_>,
    form: ElicitRequestParams,
    over: impl Future<Output = ()>,
) -> Option<Result<ElicitResult, ServiceError>> {
    let options = PeerRequestOptions::with_timeout(call.session.door.config.question_timeout);
    let request = ServerRequest::ElicitRequest(ElicitRequest::new(form));
    let asked = match call.cx.peer.send_cancellable_request(request, options).await {
        Ok(asked) => asked,
        Err(error) => return Some(Err(error)),
    };
    let id = asked.id.clone();
    let answer = tokio::select! {
        answer = call.waiting(asked.await_response(), "a question waits for its answer") => answer,
        () = over => None,
    };
    let Some(answer) = answer else {
        let taken_back =
            CancelledNotificationParam::new(Some(id), Some("nobody waits for the answer any longer".to_owned()));
        // A client that reads nothing any more needs no word.
        let _ = tokio::time::timeout(FAREWELL, call.cx.peer.notify_cancelled(taken_back)).await;
        return None;
    };
    Some(answer.and_then(|result| match result {
        ClientResult::ElicitResult(result) => Ok(result),
        _ => Err(ServiceError::UnexpectedResponse),
    }))
}

/// An answer that asks for input, with what the client has to bring back.
pub(crate) fn input_required(call: &Call<'_>, question: InputRequest, state: &State) -> InputRequiredResult {
    let sealed = call.session.door.seal(state, &call.principal());
    InputRequiredResult::new(Some(BTreeMap::from([(QUESTION.to_owned(), question)])), Some(sealed))
}

/// What a client brings back with its answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct State {
    /// The tool that was called.
    pub(crate) tool: String,
    /// The question.
    pub(crate) question: String,
    /// The run that asks, where one does.
    pub(crate) run: Option<String>,
}

/// The client's answer to the question of `state`, if it brought one.
pub(crate) fn given(state: &State, responses: &BTreeMap<String, Value>, lasts: bool) -> Option<Given> {
    let value = responses.get(QUESTION)?;
    let result: ElicitResult = serde_json::from_value(value.clone()).ok()?;
    Some(Given { question: state.question.clone(), decision: decision(&result, lasts) })
}

/// Whether a yes for the session means anything here.
pub(crate) fn may_last(call: &Call<'_>, request: &ApprovalRequest) -> bool {
    call.session.lasts(call.era()) && !request.leaves_sandbox
}

/// Whatever is not clearly a yes is none.
fn decision(result: &ElicitResult, lasts: bool) -> Decision {
    let said = result.content.as_ref().and_then(|c| c.get("decision")).and_then(Value::as_str);
    let deny = |why: &str| Decision::Deny { reason: why.to_owned() };
    match (&result.action, said) {
        (ElicitationAction::Accept, Some(ONCE)) => Decision::Allow(GrantScope::Once),
        (ElicitationAction::Accept, Some(SESSION)) if lasts => Decision::Allow(GrantScope::Session),
        (ElicitationAction::Accept, Some(SESSION)) => Decision::Allow(GrantScope::Once),
        (ElicitationAction::Accept, None) => deny("the answer holds no decision"),
        (ElicitationAction::Cancel, _) => deny("the user closed the question without an answer"),
        _ => deny("the user said no"),
    }
}

fn form(call: &Call<'_>, request: &ApprovalRequest) -> ElicitRequestParams {
    let choices = if may_last(call, request) { json!([ONCE, SESSION, DENY]) } else { json!([ONCE, DENY]) };
    let schema = json!({
        "type": "object",
        "properties": {"decision": {"type": "string", "title": "Decision", "enum": choices}},
        "required": ["decision"],
    });
    elicitation(message(request), schema)
}

/// A form to be filled in: a flat object.
pub(crate) fn elicitation(message: String, schema: Value) -> ElicitRequestParams {
    let schema = schema.as_object().cloned().unwrap_or_default();
    let requested_schema =
        ElicitationSchema::from_json_schema(schema).unwrap_or_else(|_| ElicitationSchema::new(BTreeMap::new()));
    ElicitRequestParams::FormElicitationParams { meta: None, message, requested_schema }
}

fn message(request: &ApprovalRequest) -> String {
    let shown = match &request.preview {
        Some(Preview::Diff { diff }) => diff.clone(),
        Some(Preview::Command { command, cwd }) => format!("{command}\n(in {cwd})"),
        Some(Preview::Text { text }) => text.clone(),
        _ => request.arguments.to_string(),
    };
    let cut: String = shown.chars().take(PREVIEW).collect();
    let more = if cut.len() < shown.len() { "\n[...]" } else { "" };
    format!("May `{}` run? {}\n\n{cut}{more}", request.tool, request.reason)
}

/// The denial where the client cannot ask its person: it says what to write where.
pub(crate) fn nobody(request: &ApprovalRequest) -> Decision {
    let rules = request.allow_rules();
    let quoted = |rule: &String| format!("--allow '{}'", rule.replace('\'', r"'\''"));
    let how = match rules.as_slice() {
        _ if request.leaves_sandbox => "only `--sandbox off` in the `args` of this server's entry allows it".to_owned(),
        [] => "only `--yes` in the `args` of this server's entry allows it".to_owned(),
        [rule] => format!(
            "allow it with \"VICTOR_ALLOW\": \"{rule}\" in the `env` of this server's entry, or with {} or --yes in its \
             `args`",
            quoted(rule)
        ),
        rules => format!(
            "allow it with {} or --yes in the `args` of this server's entry",
            rules.iter().map(quoted).collect::<Vec<_>>().join(" ")
        ),
    };
    Decision::Deny { reason: format!("{}; this client cannot ask its user: {how}", request.reason) }
}
