//! Questions over HTTP: a run waits in place until somebody posts a decision, or time is up and it counts as denied.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;
use tokio::sync::watch;
use victor_core::id::{CallId, RunId, SessionId};
use victor_core::permission::{Answer, ApprovalRequest, Approver, Decision, Grants};
use victor_core::question::{Question as Asked, Reply};
use victor_workflow::human::accept;

use crate::caller::Caller;
use crate::error::ApiError;

/// Conversations whose session-wide permissions are remembered at most.
const REMEMBERED: usize = 10_000;

/// The open questions of one door, and what was allowed for whole conversations.
#[derive(Default)]
pub(crate) struct Approvals {
    open: Mutex<BTreeMap<(RunId, CallId), Question>>,
    /// What workflows within runs ask, by the names in the API.
    people: Mutex<BTreeMap<String, PersonQuestion>>,
    grants: Mutex<HashMap<SessionId, Arc<Mutex<Grants>>>>,
}

struct Question {
    /// Who may answer; `None` until the question was told to somebody.
    owner: Option<Arc<str>>,
    decision: watch::Sender<Option<Decision>>,
}

/// A question that a person answers with more than leave.
struct PersonQuestion {
    question: Asked,
    /// Who may answer and in which run it was told; `None` until it was told to somebody.
    told: Option<(RunId, Arc<str>)>,
    answer: watch::Sender<Option<Value>>,
}

impl PersonQuestion {
    fn new(question: &Asked) -> Self {
        Self { question: question.clone(), told: None, answer: watch::Sender::new(None) }
    }
}

impl Default for Question {
    fn default() -> Self {
        Self { owner: None, decision: watch::Sender::new(None) }
    }
}

impl Approvals {
    /// The name of a question in the API.
    pub(crate) fn id(run: RunId, call: &CallId) -> String {
        format!("{run}.{call}")
    }

    /// A question was told to the client of `owner`, who may answer it from now on.
    pub(crate) fn told(&self, request: &ApprovalRequest, owner: &Arc<str>) {
        let mut open = lock(&self.open);
        open.entry((request.run_id, request.call.clone())).or_default().owner = Some(Arc::clone(owner));
    }

    /// Takes a decision.
    ///
    /// # Errors
    /// There is no such question for this caller, or it was decided already.
    pub(crate) fn decide(&self, id: &str, caller: &Caller, decision: Decision) -> Result<(), ApiError> {
        let none =
            || ApiError::not_found(format!("no open question `{id}`; it may have been answered, or its time was up"));
        let key = id.split_once('.').and_then(|(run, call)| Some((run.parse::<RunId>().ok()?, call)));
        let (run, call) = key.ok_or_else(none)?;
        let open = lock(&self.open);
        let question = open.iter().find(|((r, c), _)| *r == run && c.as_str() == call).map(|(_, question)| question);
        let question = question.filter(|q| q.owner.as_ref().is_some_and(|o| caller.sees(o))).ok_or_else(none)?;
        let first = question.decision.send_if_modified(|slot| slot.is_none() && slot.replace(decision).is_none());
        if first { Ok(()) } else { Err(ApiError::conflict(format!("the question `{id}` was decided already"))) }
    }

    /// The name of what a workflow asks, in the API.
    pub(crate) fn person_id(question: &Asked) -> String {
        format!("{}.{}", question.run_id, question.id.replace('/', "."))
    }

    /// A question of a workflow within `run` was told to the client of `owner`, who may answer it from now on.
    pub(crate) fn told_person(&self, run: RunId, question: &Asked, owner: &Arc<str>) {
        let mut people = lock(&self.people);
        let entry = people.entry(Self::person_id(question)).or_insert_with(|| PersonQuestion::new(question));
        entry.told = Some((run, Arc::clone(owner)));
    }

    /// Whether a workflow within a run of this caller asks under this name.
    pub(crate) fn asks_person(&self, id: &str, caller: &Caller) -> bool {
        let sees = |q: &PersonQuestion| q.told.as_ref().is_some_and(|(_, owner)| caller.sees(owner));
        lock(&self.people).get(id).is_some_and(sees)
    }

    /// Takes an answer to what a workflow asks.
    ///
    /// # Errors
    /// There is no such question for this caller, the answer does not fit it, or it was answered already.
    pub(crate) fn answer(&self, id: &str, caller: &Caller, answer: &Value) -> Result<(), ApiError> {
        let people = lock(&self.people);
        let sees = |q: &&PersonQuestion| q.told.as_ref().is_some_and(|(_, owner)| caller.sees(owner));
        let none = || ApiError::not_found(format!("no open question `{id}` that takes an answer"));
        let PersonQuestion { question, answer: slot, .. } = people.get(id).filter(sees).ok_or_else(none)?;
        let value = accept(question.kind, &question.options, answer).map_err(|e| ApiError::invalid(e.message))?;
        let first = slot.send_if_modified(|slot| slot.is_none() && slot.replace(value).is_none());
        if first { Ok(()) } else { Err(ApiError::conflict(format!("the question `{id}` was answered already"))) }
    }

    /// Forgets the questions of a run that ended.
    pub(crate) fn close(&self, run: RunId) {
        lock(&self.open).retain(|(r, _), _| *r != run);
        lock(&self.people).retain(|_, q| q.told.as_ref().is_none_or(|(r, _)| *r != run));
    }

    /// What was allowed for a conversation as a whole, as long as this server runs.
    pub(crate) fn grants(&self, conversation: &SessionId) -> Arc<Mutex<Grants>> {
        let mut grants = lock(&self.grants);
        if grants.len() >= REMEMBERED && !grants.contains_key(conversation) {
            // What is forgotten is asked again.
            grants.retain(|_, kept| Arc::strong_count(kept) > 1);
        }
        Arc::clone(grants.entry(conversation.clone()).or_default())
    }

    fn subscribe(&self, request: &ApprovalRequest) -> watch::Receiver<Option<Decision>> {
        lock(&self.open).entry((request.run_id, request.call.clone())).or_default().decision.subscribe()
    }

    fn forget(&self, request: &ApprovalRequest) {
        lock(&self.open).remove(&(request.run_id, request.call.clone()));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Asks the client that follows the run.
pub(crate) struct AskClient {
    pub(crate) approvals: Arc<Approvals>,
    pub(crate) timeout: Duration,
}

#[async_trait]
impl Approver for AskClient {
    async fn ask(&self, request: &ApprovalRequest) -> Answer {
        let mut decided = self.approvals.subscribe(request);
        let waited = tokio::time::timeout(self.timeout, decided.wait_for(Option::is_some)).await;
        let decision = match waited {
            Ok(Ok(decision)) => (*decision).clone(),
            Ok(Err(_)) | Err(_) => None,
        };
        self.approvals.forget(request);
        Answer::Decided(decision.unwrap_or_else(|| Decision::Deny {
            reason: format!("nobody answered the question within {} s", self.timeout.as_secs()),
        }))
    }

    async fn question(&self, question: &Asked) -> Reply {
        let open = Open { approvals: &self.approvals, id: Approvals::person_id(question) };
        let mut answered = {
            let mut people = lock(&self.approvals.people);
            let entry = people.entry(open.id.clone()).or_insert_with(|| PersonQuestion::new(question));
            entry.answer.subscribe()
        };
        match tokio::time::timeout(self.timeout, answered.wait_for(Option::is_some)).await {
            Ok(Ok(answer)) => answer.clone().map_or(Reply::Nobody, Reply::Answer),
            Ok(Err(_)) | Err(_) => Reply::Nobody,
        }
    }
}

/// A question of a workflow, as long as somebody waits for its answer.
struct Open<'a> {
    approvals: &'a Approvals,
    id: String,
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        lock(&self.approvals.people).remove(&self.id);
    }
}
