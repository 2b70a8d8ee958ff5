//! Where the members of a team work: asks them, keeps what they bring, and knows when the team has to stop.

use std::sync::{Arc, Mutex, PoisonError};

use futures::future::join_all;
use serde_json::{Value, json};
use victor_core::agent::{Failure, Part, PartEnd, RunScope, Status};
use victor_core::error::{ConfigurationError, VictorError};
use victor_core::event::EventKind;
use victor_core::id::Timestamp;
use victor_core::request::OutputSchema;
use victor_core::tool::DynTool;
use victor_core::usage::Limit;

use super::outcome::{Contribution, TeamOutcome, Verdict, Vote};
use super::spec::MemberFailure;
use super::{Member, Team};

/// One run of a team.
pub(super) struct Floor<'a> {
    pub(super) team: &'a Team,
    pub(super) scope: RunScope,
    pub(super) task: &'a str,
    pub(super) record: Arc<Record>,
}

/// What the team has come to so far.
#[derive(Default)]
pub(super) struct Record(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    contributions: Vec<Contribution>,
    rounds: u32,
    votes: Vec<Vote>,
    agreement: Option<f64>,
    verdict: Option<Verdict>,
    approved: Option<bool>,
    stop: Option<Stop>,
}

/// What a member is asked once.
#[derive(Clone, Default)]
pub(super) struct Turn {
    /// Whose words it is told.
    pub(super) from: Vec<String>,
    /// All that it is told.
    pub(super) text: String,
    /// Which round it is.
    pub(super) round: u32,
    /// Tools that belong to its part in the team.
    pub(super) tools: Vec<Arc<dyn DynTool>>,
    /// The form of its answer.
    pub(super) form: Option<Arc<OutputSchema>>,
}

/// Why a team does not come to its end.
#[derive(Clone, Debug)]
pub(super) struct Stop(Box<Why>);

#[derive(Clone, Debug)]
struct Why {
    status: Status,
    text: String,
    limit: Option<Limit>,
    error: Option<Failure>,
    cause: Option<VictorError>,
}

impl Stop {
    pub(super) fn failed(cause: VictorError) -> Self {
        let error = Some(Failure::from(&cause));
        Self(Box::new(Why { status: Status::Failed, text: String::new(), limit: None, error, cause: Some(cause) }))
    }

    /// The rounds are used up; `text` is the latest that there is.
    pub(super) fn rounds(code: &'static str, message: String, text: String) -> Self {
        let error = Some(Failure { code: code.to_owned(), message });
        Self(Box::new(Why { status: Status::Limit, text, limit: None, error, cause: None }))
    }

    fn of(status: Status) -> Self {
        Self(Box::new(Why { status, text: String::new(), limit: None, error: None, cause: None }))
    }
}

impl<'a> Floor<'a> {
    pub(super) fn new(team: &'a Team, scope: RunScope, task: &'a str) -> Self {
        Self { team, scope, task, record: Arc::default() }
    }

    /// Tells whoever follows that the team begins.
    pub(super) async fn begin(&self) {
        let members = self.team.everybody().map(|m| m.name.clone()).collect();
        let formation = self.team.formation.name().to_owned();
        self.scope.emit(EventKind::TeamStarted { formation, members }).await;
    }

    /// Asks one member. `None` where it did not come to its end and the team goes on without it.
    pub(super) async fn ask(&self, member: &Member, turn: Turn) -> Result<Option<Contribution>, Stop> {
        let (said, cause) = ask(&self.scope, member, turn).await;
        self.record.keep(&said);
        self.settled(vec![(said, cause)]).map(|mut said| said.pop())
    }

    /// Asks one member without whom the team cannot go on.
    pub(super) async fn ask_needed(&self, member: &Member, turn: Turn) -> Result<Contribution, Stop> {
        let (said, cause) = ask(&self.scope, member, turn).await;
        self.record.keep(&said);
        self.ended()?;
        if said.status == Status::Completed { Ok(said) } else { Err(stop_of(said, cause)) }
    }

    /// Asks several members at once; those who came to their end, in the order of the members. Where one member that
    /// does not is the end of the team, the others are stopped at once.
    pub(super) async fn ask_all(&self, turns: Vec<(&Member, Turn)>) -> Result<Vec<Contribution>, Stop> {
        let group = self.scope.cancellation().child_token();
        let scope = self.scope.part(&[], group.clone(), victor_core::usage::Budget::default());
        let strict = self.team.on_member_failure == MemberFailure::Fail;
        let first: Mutex<Option<usize>> = Mutex::default();
        let asking = turns.into_iter().enumerate().map(|(place, (member, turn))| {
            let (scope, group, first) = (&scope, &group, &first);
            async move {
                let (said, cause) = ask(scope, member, turn).await;
                if strict && said.status != Status::Completed {
                    first.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(place);
                    group.cancel();
                }
                (said, cause)
            }
        });
        let mut said = join_all(asking).await;
        for (said, _) in &said {
            self.record.keep(said);
        }
        if let Some(first) = first.into_inner().unwrap_or_else(PoisonError::into_inner) {
            self.ended()?;
            let (said, cause) = said.swap_remove(first);
            return Err(stop_of(said, cause));
        }
        self.settled(said)
    }

    /// Those who came to their end, or why the team stops.
    fn settled(&self, said: Vec<(Contribution, Option<VictorError>)>) -> Result<Vec<Contribution>, Stop> {
        self.ended()?;
        let strict = self.team.on_member_failure == MemberFailure::Fail;
        let mut done = Vec::new();
        for (said, cause) in said {
            match said.status {
                Status::Completed => done.push(said),
                _ if strict => return Err(stop_of(said, cause)),
                _ => {}
            }
        }
        Ok(done)
    }

    /// Whether the run that the team is a part of is over.
    fn ended(&self) -> Result<(), Stop> {
        if self.scope.was_aborted() {
            return Err(Stop::of(Status::Denied));
        }
        if self.scope.cancellation().is_cancelled() {
            return Err(Stop::of(Status::Cancelled));
        }
        Ok(())
    }

    /// What is to be said when nobody is left to go on with.
    pub(super) fn nobody_left(&self) -> Stop {
        let kept = self.record.lock();
        let failed = kept.contributions.iter().rev().find(|c| c.status != Status::Completed).cloned();
        drop(kept);
        match failed {
            Some(said) => stop_of(said, None),
            None => Stop::failed(VictorError::Internal("no member of the team brought anything".to_owned())),
        }
    }

    /// The rounds of the team, where it says so, else `usual`.
    pub(super) fn rounds(&self, usual: u32) -> u32 {
        self.team.rounds.unwrap_or(usual)
    }

    /// The outcome.
    pub(super) fn close(self, ended: Result<String, Stop>, begun: Timestamp) -> TeamOutcome {
        let Kept { contributions, rounds, votes, agreement, verdict, approved, stop: _ } =
            std::mem::take(&mut *self.record.lock());
        let done = |text| Why { text, ..*Stop::of(Status::Completed).0 };
        let stop = ended.map_or_else(|stop| *stop.0, done);
        let (spent, cost) = self.scope.used();
        let mut tools_used: Vec<String> = Vec::new();
        for tool in contributions.iter().flat_map(|c| &c.tools_used) {
            if !tools_used.contains(tool) {
                tools_used.push(tool.clone());
            }
        }
        let denied = contributions.iter().flat_map(|c| c.denied.clone()).collect();
        TeamOutcome {
            formation: self.team.formation,
            status: stop.status,
            text: stop.text,
            contributions,
            rounds,
            votes,
            agreement,
            verdict,
            approved,
            usage: spent.usage,
            cost,
            turns: spent.turns,
            tools_used,
            denied,
            limit: stop.limit,
            error: stop.error,
            duration_ms: u64::try_from(self.scope.now().since(begun).as_millis()).unwrap_or(u64::MAX),
            cause: stop.cause,
        }
    }
}

impl Record {
    fn lock(&self) -> std::sync::MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn keep(&self, said: &Contribution) {
        let mut kept = self.lock();
        kept.rounds = kept.rounds.max(said.round);
        kept.contributions.push(said.clone());
    }

    pub(super) fn vote(&self, votes: impl IntoIterator<Item = Vote>, agreement: f64) {
        let mut kept = self.lock();
        kept.votes.extend(votes);
        kept.agreement = Some(agreement);
    }

    pub(super) fn judge(&self, verdict: Verdict) {
        self.lock().verdict = Some(verdict);
    }

    pub(super) fn approve(&self, approved: bool) {
        self.lock().approved = Some(approved);
    }

    /// A member to whom work was handed did not come to its end, and the team ends with it.
    pub(super) fn stop(&self, said: Contribution, cause: Option<VictorError>) {
        self.lock().stop.get_or_insert(stop_of(said, cause));
    }

    pub(super) fn stopped(&self) -> Option<Stop> {
        self.lock().stop.take()
    }
}

/// Asks a member in `scope`.
pub(super) async fn ask(scope: &RunScope, member: &Member, turn: Turn) -> (Contribution, Option<VictorError>) {
    let message = EventKind::MemberMessage { from: turn.from, text: turn.text.clone() };
    scope.emit_at(std::slice::from_ref(&member.name), message).await;
    let part =
        Part { tools: turn.tools, output_schema: turn.form, budget: member.share, ..Part::named(member.name.clone()) };
    let PartEnd { outcome, error, put_down: _ } = scope.run_part(&member.agent, part, turn.text).await;
    let said = Contribution {
        member: member.name.clone(),
        round: turn.round,
        status: outcome.status,
        text: outcome.text,
        structured: outcome.structured,
        usage: outcome.usage,
        cost: outcome.cost,
        turns: outcome.turns,
        tools_used: outcome.tools_used,
        denied: outcome.denied,
        limit: outcome.limit,
        error: outcome.error,
    };
    (said, error)
}

/// The form of an answer: an object with these properties, all of them needed.
pub(super) fn form(name: &str, properties: Value) -> Arc<OutputSchema> {
    let required: Vec<_> = properties.as_object().into_iter().flat_map(|o| o.keys().cloned()).collect();
    let schema = json!({
        "type": "object", "properties": properties, "required": required, "additionalProperties": false,
    });
    Arc::new(OutputSchema { name: name.to_owned(), schema })
}

fn stop_of(said: Contribution, cause: Option<VictorError>) -> Stop {
    let Contribution { member, status, text, limit, error, .. } = said;
    let error = match (error, status) {
        (Some(e), _) => Some(Failure { message: format!("{member}: {}", e.message), ..e }),
        (None, Status::Limit) => {
            let limit = limit.map_or_else(|| "its limit".to_owned(), |l| l.to_string());
            Some(Failure { code: "LIMIT_EXCEEDED".to_owned(), message: format!("{member} reached {limit}") })
        }
        (None, Status::Denied) => {
            let message = format!("{member} was denied what it needed");
            Some(Failure { code: "PERMISSION_DENIED".to_owned(), message })
        }
        (None, _) => None,
    };
    let cause = match (cause, &error) {
        (Some(cause), _) => Some(cause),
        (None, Some(e)) if status == Status::Failed => {
            Some(ConfigurationError::with_code("PROVIDER_ERROR", e.message.clone()).into())
        }
        (None, _) => None,
    };
    Stop(Box::new(Why { status, text, limit, error, cause }))
}
