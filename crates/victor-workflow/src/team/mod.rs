//! Teams: several agents that work on one task in a formation, under one budget.

mod board;
mod create;
mod floor;
mod formation;
mod node;
mod outcome;
pub mod spec;
mod tool;
mod words;

use std::fmt;
use std::sync::Arc;

use victor_core::agent::{Agent, Outcome, Run, RunScope, ScopeOptions, Status};
use victor_core::error::{ConfigurationError, VictorError};
use victor_core::permission::Approver;
use victor_core::tool::DynTool;
use victor_core::usage::Budget;

pub use node::TeamNode;
pub use outcome::{Contribution, TeamOutcome, Verdict, Vote};
pub use spec::{Formation, MemberFailure, MemberSpec, Seat, TeamSpec};

/// Members of a team at most.
const MEMBERS: usize = 64;
/// The share that has to agree in a consensus unless said otherwise.
const AGREEMENT: f64 = 2.0 / 3.0;

/// Agents that work on one task together. It does not change after it was made; cloning is cheap.
#[derive(Clone)]
pub struct Team {
    formation: Formation,
    members: Vec<Member>,
    lead: Option<Member>,
    judge: Option<Member>,
    rounds: Option<u32>,
    min_agreement: f64,
    on_member_failure: MemberFailure,
    budget: Budget,
    approver: Option<Arc<dyn Approver>>,
}

/// An agent with its name in the team.
#[derive(Clone, Debug)]
pub struct Member {
    name: String,
    agent: Agent,
    about: String,
    share: Budget,
}

impl Member {
    /// A member of this name: letters, digits, `_` and `-`, at most 48.
    pub fn new(name: impl Into<String>, agent: Agent) -> Self {
        Self { name: name.into(), agent, about: String::new(), share: Budget::default() }
    }

    /// What it is there for, for the lead who hands it work.
    #[must_use]
    pub fn about(mut self, text: impl Into<String>) -> Self {
        self.about = text.into();
        self
    }

    /// What it may use at most each time that it is asked, of what the team has left.
    #[must_use]
    pub fn share(mut self, budget: Budget) -> Self {
        self.share = budget;
        self
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl From<Agent> for Member {
    /// A member without a name: the team gives it one, by its place.
    fn from(agent: Agent) -> Self {
        Self::new("", agent)
    }
}

impl From<(&str, Agent)> for Member {
    fn from((name, agent): (&str, Agent)) -> Self {
        Self::new(name, agent)
    }
}

impl Team {
    /// One after the other; each sees the task and what all before it have said.
    pub fn sequential<M: Into<Member>>(members: impl IntoIterator<Item = M>) -> Self {
        Self::new(Formation::Sequential, members)
    }

    /// All at once, each with the task alone. With a [`lead`](Self::lead) that makes one answer of theirs.
    pub fn parallel<M: Into<Member>>(members: impl IntoIterator<Item = M>) -> Self {
        Self::new(Formation::Parallel, members)
    }

    /// The lead plans, hands work to the members through tools, and makes one answer of what they bring.
    pub fn hierarchical<M: Into<Member>>(lead: impl Into<Member>, members: impl IntoIterator<Item = M>) -> Self {
        Self::new(Formation::Hierarchical, members).lead(lead)
    }

    /// One after the other; the first gets the task, each other one the text of the one before, and nothing else.
    pub fn pipeline<M: Into<Member>>(members: impl IntoIterator<Item = M>) -> Self {
        Self::new(Formation::Pipeline, members)
    }

    /// Peers, all at once, who share a blackboard. With a [`lead`](Self::lead) that makes one answer of theirs.
    pub fn flat<M: Into<Member>>(members: impl IntoIterator<Item = M>) -> Self {
        Self::new(Formation::Flat, members)
    }

    /// Each proposes, then all vote; until enough agree.
    pub fn consensus<M: Into<Member>>(members: impl IntoIterator<Item = M>) -> Self {
        Self::new(Formation::Consensus, members)
    }

    /// They argue in turn for some rounds, then the judge decides.
    pub fn debate<M: Into<Member>>(members: impl IntoIterator<Item = M>, judge: impl Into<Member>) -> Self {
        Self::new(Formation::Debate, members).judge(judge)
    }

    /// The worker works and the critic criticises, until it approves.
    pub fn reflection(worker: impl Into<Member>, critic: impl Into<Member>) -> Self {
        let pair = [named(worker.into(), "worker"), named(critic.into(), "critic")];
        Self::new(Formation::Reflection, pair)
    }

    /// A team in a formation that is known only when the program runs. Who leads and who judges is set beside it.
    pub fn new<M: Into<Member>>(formation: Formation, members: impl IntoIterator<Item = M>) -> Self {
        let members = members.into_iter().zip(1..).map(|(m, place)| named(m.into(), &format!("member_{place}")));
        Self {
            formation,
            members: members.collect(),
            lead: None,
            judge: None,
            rounds: None,
            min_agreement: AGREEMENT,
            on_member_failure: MemberFailure::Fail,
            budget: Budget::default(),
            approver: None,
        }
    }

    /// Who decides a debate.
    #[must_use]
    pub fn judge(mut self, judge: impl Into<Member>) -> Self {
        self.judge = Some(named(judge.into(), "judge"));
        self
    }

    /// Who leads, or makes one answer of the others' (`parallel`, `flat`).
    #[must_use]
    pub fn lead(mut self, lead: impl Into<Member>) -> Self {
        self.lead = Some(named(lead.into(), "lead"));
        self
    }

    /// Rounds at most: of `flat` (1 unless said), `debate` (2), `consensus` (3) and `reflection` (3).
    #[must_use]
    pub fn rounds(mut self, rounds: u32) -> Self {
        self.rounds = Some(rounds);
        self
    }

    /// The share of the members that has to agree in a consensus, above 0 and up to 1; two thirds unless said.
    #[must_use]
    pub fn min_agreement(mut self, share: f64) -> Self {
        self.min_agreement = share;
        self
    }

    /// What happens when a member does not come to its end; the team ends as the member did unless said otherwise.
    #[must_use]
    pub fn on_member_failure(mut self, policy: MemberFailure) -> Self {
        self.on_member_failure = policy;
        self
    }

    /// What all members may use together.
    #[must_use]
    pub fn budget(mut self, budget: Budget) -> Self {
        self.budget = budget;
        self
    }

    /// Who answers the questions of a run of its own; whom the lead or the first member asks, unless said. As a part of
    /// another run the team asks whom that run asks.
    #[must_use]
    pub fn approver(mut self, approver: Arc<dyn Approver>) -> Self {
        self.approver = Some(approver);
        self
    }

    /// How the members work together.
    #[must_use]
    pub fn formation(&self) -> Formation {
        self.formation
    }

    /// Does a task and waits for the end.
    ///
    /// # Errors
    /// The team cannot work as it is put together, or what made it fail. A limit, a denial, a cancellation and an
    /// agreement that was not reached are outcomes, not errors.
    pub async fn run(&self, task: impl Into<String>) -> Result<TeamOutcome, VictorError> {
        let outcome = self.astream(task).outcome().await?;
        let told = outcome.structured.unwrap_or_default();
        serde_json::from_value(told).map_err(|e| VictorError::Internal(format!("the team's outcome is broken: {e}")))
    }

    /// Does a task and follows the run. The last event's outcome holds the [`TeamOutcome`] as its structured form.
    pub fn astream(&self, task: impl Into<String>) -> Run {
        let (team, task) = (self.clone(), task.into());
        let Some(first) = self.lead.as_ref().or(self.members.first()) else {
            return Run::refused(ConfigurationError::new("a team needs members").into());
        };
        let approver = self.approver.clone().unwrap_or_else(|| first.agent.asked());
        let options = ScopeOptions { approver: Some(approver), budget: self.budget, ..ScopeOptions::default() };
        RunScope::start(first.agent.runtime(), options, move |scope| async move {
            let mut done = team.run_in(&scope, &task).await;
            let cause = done.cause.take();
            (root_outcome(&scope, done), cause)
        })
    }

    /// Does a task as a part of a run: same budget, approver, cancellation and stream of events.
    pub async fn run_in(&self, scope: &RunScope, task: &str) -> TeamOutcome {
        let begun = scope.now();
        let part = scope.part(&[], scope.cancellation().child_token(), self.budget);
        let floor = floor::Floor::new(self, part, task);
        let ended = match self.check() {
            Ok(()) => Box::pin(formation::work(&floor)).await,
            Err(e) => Err(floor::Stop::failed(e.into())),
        };
        floor.close(ended, begun)
    }

    /// The team as a tool of an agent: same budget, approver and stream of events.
    #[must_use]
    pub fn as_tool(&self, name: &str, description: &str) -> Arc<dyn DynTool> {
        tool::of_team(self.clone(), name, description)
    }

    fn everybody(&self) -> impl Iterator<Item = &Member> {
        self.members.iter().chain(&self.lead).chain(&self.judge)
    }

    /// Whether it can work as it is put together.
    fn check(&self) -> Result<(), ConfigurationError> {
        if self.everybody().count() > MEMBERS {
            return Err(ConfigurationError::new(format!("a team has {MEMBERS} members at most")));
        }
        let shape = spec::Shape {
            formation: self.formation,
            names: self.everybody().map(|m| m.name.as_str()).collect(),
            workers: self.members.len(),
            lead: self.lead.is_some(),
            judge: self.judge.is_some(),
            rounds: self.rounds,
            min_agreement: (self.formation == Formation::Consensus).then_some(self.min_agreement),
        };
        let mut wrong: Vec<_> = shape.problems().into_iter().map(|p| p.message).collect();
        if let (Formation::Hierarchical, Some(lead)) = (self.formation, &self.lead)
            && !lead.agent.mode().permits(victor_core::tool::Effects::AGENT)
        {
            let mode = lead.agent.mode().name();
            wrong.push(format!("the lead is in the mode `{mode}`, which hands no work to others: use `delegate`"));
        }
        if wrong.is_empty() { Ok(()) } else { Err(ConfigurationError::new(wrong.join("; "))) }
    }
}

impl fmt::Debug for Team {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.everybody().map(|m| &m.name).collect();
        f.debug_struct("Team").field("formation", &self.formation).field("members", &names).finish_non_exhaustive()
    }
}

fn named(mut member: Member, name: &str) -> Member {
    if member.name.is_empty() {
        name.clone_into(&mut member.name);
    }
    member
}

fn root_outcome(scope: &RunScope, done: TeamOutcome) -> Outcome {
    Outcome {
        run_id: scope.run_id(),
        session_id: None,
        status: done.status,
        text: done.text.clone(),
        provider: String::new(),
        model: String::new(),
        usage: done.usage,
        cost: done.cost,
        turns: done.turns,
        tools_used: done.tools_used.clone(),
        denied: done.denied.clone(),
        limit: done.limit,
        error: done.error.clone().filter(|_| done.status == Status::Failed),
        waiting: Vec::new(),
        duration_ms: done.duration_ms,
        structured: serde_json::to_value(done).ok(),
    }
}
