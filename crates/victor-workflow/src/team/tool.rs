//! Teams as tools of agents, and members as tools of their lead.

use std::sync::Arc;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::Value;
use victor_core::agent::{RunScope, Status};
use victor_core::error::ToolError;
use victor_core::tool::{DynTool, Effects, Plan, ToolCx, ToolOutput, ToolSpec, parameters_of, tool_fn};
use victor_core::usage::Budget;

use super::floor::{Record, Turn, ask};
use super::outcome::{Contribution, TeamOutcome};
use super::spec::MemberFailure;
use super::{Member, Team};

/// The arguments of a team or a member that is a tool.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct TaskArgs {
    /// The task, complete in itself: who does it sees nothing else of the conversation.
    task: String,
}

/// The team as a tool.
pub(super) fn of_team(team: Team, name: &str, description: &str) -> Arc<dyn DynTool> {
    let spec = Arc::new(ToolSpec::new(name, description, "agents", parameters_of::<TaskArgs>(), Effects::AGENT));
    Arc::new(TeamTool { team, spec })
}

/// The member as a tool of the lead: what it is handed runs in the team's `scope`.
pub(super) fn of_member(
    member: Member,
    scope: RunScope,
    record: Arc<Record>,
    policy: MemberFailure,
    lead: &str,
) -> Arc<dyn DynTool> {
    let (name, lead) = (tool_name(&member), lead.to_owned());
    let about = match member.about.as_str() {
        "" => format!("Hands a part of the work to the member {}.", member.name),
        about => format!("Hands a part of the work to the member {}: {about}", member.name),
    };
    tool_fn(&name, &about, Effects::AGENT, move |args: TaskArgs, cx: ToolCx| {
        let (member, record, lead) = (member.clone(), Arc::clone(&record), lead.clone());
        let scope = scope.part(&[lead.clone(), cx.call.to_string()], cx.cancel.clone(), Budget::default());
        async move {
            let turn = Turn { from: vec![lead], text: args.task, round: 1, ..Turn::default() };
            let (said, cause) = ask(&scope, &member, turn).await;
            record.keep(&said);
            match (said.status, policy) {
                (Status::Completed, _) => Ok(said.text),
                (Status::Cancelled, _) => Err(ToolError::model("cancelled")),
                (_, MemberFailure::Continue) => Err(ToolError::Model(why(&said))),
                (_, MemberFailure::Fail) => {
                    let text = why(&said);
                    record.stop(said, cause);
                    Err(ToolError::Fatal(text))
                }
            }
        }
    })
}

/// The name of the tool that hands work to a member.
pub(super) fn tool_name(member: &Member) -> String {
    format!("ask_{}", member.name)
}

fn why(said: &Contribution) -> String {
    let reason = match (&said.error, said.limit) {
        (Some(e), _) => e.message.clone(),
        (None, Some(limit)) => format!("it reached {limit}"),
        (None, None) => said.text.clone(),
    };
    format!("{} ended as {}: {reason}", said.member, said.status.name())
}

struct TeamTool {
    team: Team,
    spec: Arc<ToolSpec>,
}

#[async_trait]
impl DynTool for TeamTool {
    fn spec(&self) -> &Arc<ToolSpec> {
        &self.spec
    }

    async fn plan(&self, args: Value, _: &ToolCx) -> Result<Plan, ToolError> {
        let args: TaskArgs = serde_json::from_value(args).map_err(|e| ToolError::Model(e.to_string()))?;
        let team = self.team.clone();
        Ok(Plan::new(Effects::AGENT, move |_permit, cx: ToolCx| async move {
            let scope = cx.scope().ok_or_else(|| ToolError::model("a team can only be called in a run"))?;
            let part = scope.part(&[cx.call.to_string()], cx.cancel.clone(), Budget::default());
            answer(team.run_in(&part, &args.task).await)
        }))
    }
}

fn answer(done: TeamOutcome) -> Result<ToolOutput, ToolError> {
    let structured = serde_json::to_value(&done).map_err(|e| ToolError::Model(e.to_string()))?;
    let output = match (done.status, done.error) {
        (Status::Completed, _) => ToolOutput::text(done.text),
        (status, Some(e)) => {
            ToolOutput::text(format!("the team ended as {}: {}\n{}", status.name(), e.message, done.text)).failed()
        }
        (status, None) => ToolOutput::text(format!("the team ended as {}: {}", status.name(), done.text)).failed(),
    };
    Ok(output.structured(structured))
}
