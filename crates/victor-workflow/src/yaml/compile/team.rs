//! A team with a task.

use std::borrow::Cow;

use async_trait::async_trait;
use victor_core::permission::Mode;

use super::super::At;
use super::super::node::Node;
use super::super::team::{Member, TeamNode};
use super::Shared;
use super::agent::narrowest;
use super::scope::{NodeScope, wrong};
use crate::error::NodeError;
use crate::node::{Node as Runs, NodeCx, NodeOutput};
use crate::team::{MemberSpec, Seat, Team, TeamSpec};
use crate::template::Template;

/// A team as a node; its texts are templates.
pub(super) struct Step {
    spec: TeamSpec,
    task: Template,
    texts: Vec<Texts>,
    mode: Option<Mode>,
    output: String,
    fingerprint: String,
}

/// What a member is told that depends on the state.
struct Texts {
    goal: Option<Template>,
    system: Option<Template>,
}

/// The team of a node.
pub(super) fn step(node: &Node, team: &TeamNode, shared: Shared<'_>) -> Result<Step, String> {
    let template = |text: &str| Template::parse(text, shared.environment).map_err(|e| e.0);
    let texts = team.members.iter().map(|member| {
        let goal = member.goal.as_ref().map(|g| template(&g.value)).transpose()?;
        let system = member.system.as_ref().map(|s| template(&s.value)).transpose()?;
        Ok::<_, String>(Texts { goal, system })
    });
    Ok(Step {
        spec: spec(team, shared.mode),
        task: template(&team.task.value)?,
        texts: texts.collect::<Result<_, _>>()?,
        mode: shared.mode,
        output: node.output().to_owned(),
        fingerprint: format!("{:?} {:?} {:?}", node.kind, node.common.output, shared.mode),
    })
}

fn spec(team: &TeamNode, mode: Option<Mode>) -> TeamSpec {
    let seat = |name: &At<String>| Seat::Member(name.value.clone());
    TeamSpec {
        team: team.team.value,
        members: team.members.iter().map(|m| member(m, mode)).collect(),
        task: team.task.value.clone(),
        lead: team.lead.as_ref().map(seat),
        judge: team.judge.as_ref().map(seat),
        rounds: value(team.rounds.as_ref()),
        min_agreement: value(team.min_agreement.as_ref()),
        on_member_failure: value(team.on_member_failure.as_ref()).unwrap_or_default(),
        max_turns: value(team.max_turns.as_ref()),
        token_budget: value(team.token_budget.as_ref()),
    }
}

fn member(member: &Member, mode: Option<Mode>) -> MemberSpec {
    MemberSpec {
        name: member.name.value.clone(),
        role: member.role.clone(),
        // Filled in when the node runs.
        goal: None,
        system: None,
        provider: value(member.provider.as_ref()),
        model: value(member.model.as_ref()),
        profile: value(member.profile.as_ref()),
        temperature: value(member.temperature.as_ref()),
        max_tokens: value(member.max_tokens.as_ref()),
        tools: member.tools.as_ref().map(|names| names.0.iter().map(|n| n.value.clone()).collect()),
        mode: narrowest(value(member.mode.as_ref()), mode),
        max_turns: value(member.max_turns.as_ref()),
        token_budget: value(member.token_budget.as_ref()),
    }
}

fn value<T: Clone>(at: Option<&At<T>>) -> Option<T> {
    at.map(|at| at.value.clone())
}

#[async_trait]
impl Runs for Step {
    fn kind(&self) -> Cow<'static, str> {
        Cow::Borrowed("team")
    }

    fn fingerprint(&self) -> String {
        self.fingerprint.clone()
    }

    async fn run(&self, cx: NodeCx) -> Result<NodeOutput, NodeError> {
        let render = |text: &Template| text.render(&NodeScope(&cx)).map_err(|e| wrong(&cx, "", &e));
        let task = render(&self.task)?;
        let mut spec = self.spec.clone();
        for (member, texts) in spec.members.iter_mut().zip(&self.texts) {
            member.goal = texts.goal.as_ref().map(render).transpose()?;
            member.system = texts.system.as_ref().map(render).transpose()?;
        }
        let run = cx.scope().mode();
        let mode = narrowest(self.mode, Some(run)).unwrap_or(run);
        let team = Team::create_for(cx.scope(), &spec, mode).await?;
        let value = team.run_in(cx.scope(), &task).await.into_value()?;
        Ok(NodeOutput::set(self.output.clone(), value))
    }
}
