//! A team as a part of something else: an agent's tool.

use serde_json::json;
use victor_core::agent::{Agent, AgentSpec, Status};
use victor_core::event::EventKind;
use victor_core::message::text_of;
use victor_core::testing::{ScriptedProvider, reply_calls, reply_text};
use victor_core::usage::Budget;
use victor_workflow::team::Team;

use super::stage::{agent, events, runtime, says, told};

#[tokio::test]
async fn a_team_is_a_tool_with_the_runs_budget_and_events() {
    let rt = runtime();
    let team = Team::sequential([says(&rt, "a", &["A"]).await, says(&rt, "b", &["B"]).await]);
    let script = [reply_calls(&[("crew", json!({ "task": "Build it" }))]), reply_text("built")];
    let provider = ScriptedProvider::new(script);
    let all = events(agent(&rt, &provider, &[team.as_tool("crew", "Builds.")]).await.astream("go")).await;
    let flow = told(&all);
    assert_eq!(flow[0], "call_0/a < : Build it");
    assert!(flow[1].starts_with("call_0/b < a: Build it"), "{}", flow[1]);
    let seen = provider.seen();
    let answer: String = seen[1].last().unwrap().tool_results().map(|r| text_of(&r.content)).collect();
    assert_eq!(answer, "B");
    let EventKind::Finished { outcome } = &all.last().unwrap().kind else { panic!("no end") };
    assert_eq!((outcome.text(), outcome.usage.total()), ("built", 36));
}

#[tokio::test]
async fn a_teams_part_of_the_budget_ends_with_the_runs() {
    let rt = runtime();
    let team = Team::sequential([says(&rt, "a", &["A"]).await, says(&rt, "b", &["B"]).await]);
    let provider = ScriptedProvider::new([reply_calls(&[("crew", json!({ "task": "Build it" }))]), reply_text("x")]);
    let budget = Budget { max_turns: Some(2), ..Budget::default() };
    let spec = AgentSpec { budget, ..AgentSpec::default() };
    let builder = Agent::builder().model(provider.model()).spec(spec).tool(team.as_tool("crew", "Builds."));
    let all = events(builder.build(&rt).await.unwrap().astream("go")).await;
    let told = all.iter().filter_map(|e| match &e.kind {
        EventKind::ToolResult { output, success, .. } => Some((*success, text_of(output))),
        _ => None,
    });
    assert_eq!(told.collect::<Vec<_>>(), [(false, "the team ended as limit: b reached the turn limit\n".to_owned())]);
    let EventKind::Finished { outcome } = &all.last().unwrap().kind else { panic!("no end") };
    assert_eq!((outcome.status, outcome.turns), (Status::Limit, 1));
}
