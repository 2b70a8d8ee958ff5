//! Agents that work together.

use std::borrow::Cow;

use async_trait::async_trait;
use victor_core::permission::Mode;

use super::super::node::Node;
use super::super::team::{Formation as Written, Member, MemberFailure as Failure, TeamNode};
use super::Shared;
use super::agent::narrowest;
use super::scope::{NodeScope, wrong};
use crate::error::NodeError;
use crate::node::{Node as Runs, NodeCx, NodeOutput};
use crate::team::{Formation, MemberFailure, MemberSpec, Seat, Team, TeamSpec};
use crate::template::Template;

/// A team as a node.
pub(super) struct Step {
    /// Everything but the texts.
    spec: TeamSpec,
    task: Template,
    texts: Vec<Texts>,
    mode: Option<Mode>,
    output: String,
    fingerprint: String,
}

/// The templates of a member.
struct Texts {
    goal: Option<Template>,
    system: Option<Template>,
}

/// The team of a node.
pub(super) fn step(node: &Node, team: &TeamNode, shared: Shared<'_>) -> Result<Step, String> {
    let template = |text: &str| Template::parse(text, shared.environment).map_err(|e| e.0);
    let texts = team.members.iter().map(|member| {
        let of = |text: &Option<super::super::Source<String>>| text.as_ref().map(|t| template(&t.value)).transpose();
        Ok(Texts { goal: of(&member.goal)?, system: of(&member.system)? })
    });
    let seat = |name: &super::super::At<String>| Seat::Member(name.value.clone());
    Ok(Step {
        spec: TeamSpec {
            team: formation(team.team.value),
            members: team.members.iter().map(|m| member(m, shared.mode)).collect(),
            task: String::new(),
            lead: team.lead.as_ref().map(seat),
            judge: team.judge.as_ref().map(seat),
            rounds: team.rounds.as_ref().map(|r| r.value),
            min_agreement: team.min_agreement.as_ref().map(|m| m.value),
            on_member_failure: match team.on_member_failure.as_ref().map(|f| f.value).unwrap_or_default() {
                Failure::Fail => MemberFailure::Fail,
                Failure::Continue => MemberFailure::Continue,
            },
            max_turns: team.max_turns.as_ref().map(|m| m.value),
            token_budget: team.token_budget.as_ref().map(|t| t.value),
        },
        task: template(&team.task.value)?,
        texts: texts.collect::<Result<_, String>>()?,
        mode: shared.mode,
        output: node.output().to_owned(),
        fingerprint: format!("{:?} {:?} {:?}", node.kind, node.common.output, shared.mode),
    })
}

fn formation(written: Written) -> Formation {
    match written {
        Written::Sequential => Formation::Sequential,
        Written::Parallel => Formation::Parallel,
        Written::Hierarchical => Formation::Hierarchical,
        Written::Pipeline => Formation::Pipeline,
        Written::Flat => Formation::Flat,
        Written::Consensus => Formation::Consensus,
        Written::Debate => Formation::Debate,
        Written::Reflection => Formation::Reflection,
    }
}

fn member(member: &Member, mode: Option<Mode>) -> MemberSpec {
    let text = |t: &super::super::At<String>| t.value.clone();
    MemberSpec {
        name: member.name.value.clone(),
        role: member.role.clone(),
        goal: None,
        system: None,
        provider: member.provider.as_ref().map(text),
        model: member.model.as_ref().map(text),
        profile: member.profile.as_ref().map(text),
        temperature: member.temperature.as_ref().map(|t| t.value),
        max_tokens: member.max_tokens.as_ref().map(|m| m.value),
        tools: member.tools.as_ref().map(|names| names.0.iter().map(text).collect()),
        mode: narrowest(member.mode.as_ref().map(|m| m.value), mode),
        max_turns: member.max_turns.as_ref().map(|m| m.value),
        token_budget: member.token_budget.as_ref().map(|t| t.value),
    }
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
        let scope = NodeScope(&cx);
        let render = |t: &Template| t.render(&scope).map_err(|e| wrong(&cx, "", &e));
        let task = render(&self.task)?;
        let mut spec = TeamSpec { task: task.clone(), ..self.spec.clone() };
        for (member, texts) in spec.members.iter_mut().zip(&self.texts) {
            member.goal = texts.goal.as_ref().map(render).transpose()?;
            member.system = texts.system.as_ref().map(render).transpose()?;
        }
        let most = narrowest(self.mode, Some(cx.scope().mode())).unwrap_or_default();
        let team = Team::create_in(cx.runtime(), &spec, most).await?;
        let value = team.run_in(cx.scope(), &task).await.into_value()?;
        Ok(NodeOutput::set(self.output.clone(), value))
    }
}
