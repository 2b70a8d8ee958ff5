//! Teams from their description: names to agents, with all checks up front.

use std::sync::Arc;

use victor_core::agent::{Agent, AgentSpec, RunScope, ToolFilter};
use victor_core::error::{ConfigurationError, VictorError};
use victor_core::permission::Mode;
use victor_core::provider::Selector;
use victor_core::request::Params;
use victor_core::runtime::Runtime;
use victor_core::tool::DynTool;
use victor_core::usage::Budget;

use super::spec::{MemberSpec, Seat, TeamSpec};
use super::{AGREEMENT, Member, Team};

impl Team {
    /// Makes a team of its description. The description's task is for [`run`](Self::run).
    ///
    /// # Errors
    /// All that is wrong with the description at once; else the first member that cannot be made, as
    /// [`Agent::create`].
    pub async fn create(runtime: &Runtime, spec: &TeamSpec) -> Result<Self, VictorError> {
        let mode = runtime.defaults().mode.unwrap_or_default();
        Self::create_in(runtime, spec, mode).await
    }

    /// As [`create`](Self::create), for a run in this mode: no member may do more, except that a run that delegates
    /// delegates to those who do.
    ///
    /// # Errors
    /// As [`create`](Self::create), or a member with a mode that may do more.
    pub async fn create_in(runtime: &Runtime, spec: &TeamSpec, mode: Mode) -> Result<Self, VictorError> {
        let problems: Vec<_> = spec.problems().into_iter().map(|p| p.message).collect();
        if !problems.is_empty() {
            return Err(ConfigurationError::new(problems.join("; ")).into());
        }
        let mut members = Vec::new();
        for member in spec.workers() {
            members.push(make(runtime, member, mode).await?);
        }
        let mut team = Self::new(spec.team, members);
        team.lead = seat(runtime, spec, spec.lead.as_ref(), mode).await?;
        team.judge = seat(runtime, spec, spec.judge.as_ref(), mode).await?;
        team.rounds = spec.rounds;
        team.min_agreement = spec.min_agreement.unwrap_or(AGREEMENT);
        team.on_member_failure = spec.on_member_failure;
        team.budget = Budget { max_turns: spec.max_turns, max_tokens: spec.token_budget, ..Budget::default() };
        team.check()?;
        Ok(team)
    }

    /// As [`create_in`](Self::create_in), for a part of this run: no member has a tool that the run has not. Members of a
    /// run that delegates may have what its mode does not let it use itself, within its own filter of tools.
    ///
    /// # Errors
    /// As [`create_in`](Self::create_in).
    pub async fn create_for(scope: &RunScope, spec: &TeamSpec, mode: Mode) -> Result<Self, VictorError> {
        let runtime = scope.runtime();
        let all = runtime.tool_set().await;
        let (count, mut there) = (all.tools().len(), all.tools().to_vec());
        there.retain(|tool| scope.may_hand_on(&tool.spec().name));
        if there.len() == count {
            return Self::create_in(runtime, spec, mode).await;
        }
        let mut spec = spec.clone();
        let seats = spec.lead.iter_mut().chain(&mut spec.judge).filter_map(|seat| match seat {
            Seat::Own(member) => Some(&mut **member),
            Seat::Member(_) => None,
        });
        for member in spec.members.iter_mut().chain(seats) {
            member.tools = Some(narrowed(member.tools.as_deref(), &there));
        }
        Self::create_in(runtime, &spec, mode).await
    }
}

/// The tools of those there are that a member names, or is offered.
fn narrowed(wanted: Option<&[String]>, there: &[Arc<dyn DynTool>]) -> Vec<String> {
    let named = wanted.map(|wanted| ToolFilter::of(Some(wanted)));
    let has = |tool: &&Arc<dyn DynTool>| match &named {
        Some(named) => named.allows(&tool.spec().name),
        None => tool.is_offered(),
    };
    there.iter().filter(has).map(|t| globset::escape(&t.spec().name)).collect()
}

async fn seat(
    runtime: &Runtime,
    spec: &TeamSpec,
    seat: Option<&Seat>,
    mode: Mode,
) -> Result<Option<Member>, VictorError> {
    let found = match seat {
        None => None,
        Some(Seat::Own(member)) => Some(&**member),
        Some(Seat::Member(name)) => spec.members.iter().find(|m| m.name == *name),
    };
    match found {
        Some(member) => make(runtime, member, mode).await.map(Some),
        None => Ok(None),
    }
}

async fn make(runtime: &Runtime, spec: &MemberSpec, most: Mode) -> Result<Member, VictorError> {
    let agent = AgentSpec {
        selector: Selector { provider: spec.provider.clone(), model: spec.model.clone() },
        profile: spec.profile.clone(),
        mode: Some(mode(runtime, spec, most)?),
        system: instructions(spec),
        tools: spec.tools.clone(),
        params: Params { temperature: spec.temperature, max_tokens: spec.max_tokens, ..Params::default() },
        ..AgentSpec::default()
    };
    let agent = Agent::create(runtime, agent).await?;
    let share = Budget { max_turns: spec.max_turns, max_tokens: spec.token_budget, ..Budget::default() };
    let about = [&spec.role, &spec.goal].into_iter().flatten().cloned().collect::<Vec<_>>().join(". ");
    Ok(Member::new(spec.name.clone(), agent).about(about).share(share))
}

fn mode(runtime: &Runtime, spec: &MemberSpec, most: Mode) -> Result<Mode, ConfigurationError> {
    let usual = if most == Mode::Delegate { Mode::Build } else { most };
    let profile = spec.profile.as_ref().and_then(|name| runtime.profiles().get(name));
    let mode = spec.mode.or_else(|| profile.and_then(|p| p.mode)).unwrap_or(usual);
    if usual.ceiling().contains(mode.ceiling()) {
        return Ok(mode);
    }
    let (name, mode, most) = (&spec.name, mode.name(), most.name());
    Err(ConfigurationError::new(format!("the member `{name}` has the mode `{mode}`, but the run is in `{most}`")))
}

fn instructions(spec: &MemberSpec) -> Option<String> {
    let role = spec.role.as_ref().map(|role| format!("Your role: {role}."));
    let goal = spec.goal.as_ref().map(|goal| format!("Your goal: {goal}"));
    let parts: Vec<_> = [role, goal, spec.system.clone()].into_iter().flatten().collect();
    (!parts.is_empty()).then(|| parts.join("\n\n"))
}
