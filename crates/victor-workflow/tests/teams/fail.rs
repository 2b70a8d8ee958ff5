//! Budgets, cancels, denials and failures.

use std::sync::Arc;

use async_trait::async_trait;
use futures::StreamExt;
use serde_json::{Value, json};
use victor_core::agent::{Agent, Status};
use victor_core::error::{ProviderError, ToolError, VictorError};
use victor_core::event::EventKind;
use victor_core::permission::Mode;
use victor_core::provider::{ChunkStream, Model, ModelInfo, Provider};
use victor_core::request::{CallCx, Request};
use victor_core::testing::{ScriptedProvider, reply_calls, reply_text};
use victor_core::tool::{Effects, ToolCx, tool_fn};
use victor_core::usage::{Budget, Limit};
use victor_workflow::team::{Member, MemberFailure, Team};

use super::stage::{Reply, does, ended, events, note, one, perform, runtime, says, silent};

fn turns(max: u32) -> Budget {
    Budget { max_turns: Some(max), ..Budget::default() }
}

fn tokens(max: u64) -> Budget {
    Budget { max_tokens: Some(max), ..Budget::default() }
}

/// An answer of twelve tokens that calls a tool.
fn busy() -> Reply {
    let mut reply = one("note");
    reply.insert(1, reply_text("").remove(1));
    reply
}

#[tokio::test]
async fn all_members_draw_on_one_budget() {
    let rt = runtime();
    for (budget, limit, most) in [(turns(4), Limit::Turns, (4, 48)), (tokens(30), Limit::Tokens, (3, 36))] {
        let mut members = Vec::new();
        for name in ["a", "b", "c"] {
            members.push(does(&rt, name, (0..9).map(|_| busy()).collect(), &[note()]).await);
        }
        let team = Team::parallel(members).budget(budget).on_member_failure(MemberFailure::Continue);
        let (_, done) = perform(&team, "Work").await;
        assert_eq!((done.status, done.limit), (Status::Limit, Some(limit)));
        assert!(done.turns <= most.0 && done.usage.total() <= most.1, "{} turns, {:?}", done.turns, done.usage);
        let parts: u64 = done.contributions.iter().map(|c| c.usage.total()).sum();
        assert_eq!(parts, done.usage.total(), "the parts are not the whole");
    }
}

/// A provider whose calls overlap with those of others.
struct Slow(Arc<ScriptedProvider>);

#[async_trait]
impl Provider for Slow {
    fn name(&self) -> &'static str {
        "slow"
    }

    fn wire(&self) -> &'static str {
        "slow"
    }

    async fn stream(&self, request: &Request, cx: &CallCx) -> Result<ChunkStream, ProviderError> {
        for _ in 0..50 {
            tokio::task::yield_now().await;
        }
        self.0.stream(request, cx).await
    }

    async fn check(&self, _: &CallCx) -> Result<(), ProviderError> {
        Ok(())
    }

    async fn list_models(&self, _: &CallCx) -> Result<Vec<ModelInfo>, ProviderError> {
        Ok(Vec::new())
    }
}

#[tokio::test]
async fn calls_at_the_same_time_do_not_pass_a_limit_together() {
    let rt = runtime();
    let mut members = Vec::new();
    for name in ["a", "b", "c"] {
        let script = ScriptedProvider::new((0..9).map(|_| busy()).collect::<Vec<_>>());
        let model = Model { provider: Arc::new(Slow(script)), info: Arc::new(ModelInfo::default()) };
        members.push(Member::new(name, Agent::builder().model(model).tool(note()).build(&rt).await.unwrap()));
    }
    let team = Team::parallel(members).budget(turns(4)).on_member_failure(MemberFailure::Continue);
    let (_, done) = perform(&team, "Work").await;
    assert_eq!((done.status, done.limit, done.turns), (Status::Limit, Some(Limit::Turns), 4));
}

#[tokio::test]
async fn a_share_is_a_members_own() {
    let rt = runtime();
    let two = || vec![busy(), reply_text("done")];
    let a = does(&rt, "a", two(), &[note()]).await.share(turns(2));
    let b = does(&rt, "b", two(), &[note()]).await.share(turns(2));
    let c = does(&rt, "c", vec![busy(), busy(), busy()], &[note()]).await.share(turns(2));
    let team = Team::parallel([a, b, c]).on_member_failure(MemberFailure::Continue);
    let (_, done) = perform(&team, "Work").await;
    let ends: Vec<_> = done.contributions.iter().map(|c| (c.status, c.turns)).collect();
    assert_eq!(ends, [(Status::Completed, 2), (Status::Completed, 2), (Status::Limit, 2)]);
    assert_eq!((done.status, done.text()), (Status::Completed, "## a\n\ndone\n\n## b\n\ndone"));
}

fn hanging() -> Arc<dyn victor_core::tool::DynTool> {
    tool_fn("hang", "", Effects::NONE, |_: Value, cx: ToolCx| async move {
        cx.cancel.cancelled().await;
        Err::<String, _>(ToolError::model("stopped"))
    })
}

#[tokio::test]
async fn a_cancel_in_the_middle_ends_all_members() {
    let rt = runtime();
    let a = does(&rt, "a", vec![one("hang")], &[hanging()]).await;
    let b = does(&rt, "b", vec![one("hang")], &[hanging()]).await;
    let mut run = Team::parallel([a, b]).astream("Work");
    let (mut all, mut calls) = (Vec::new(), 0);
    while let Some(event) = run.next().await {
        calls += u32::from(matches!(event.kind, EventKind::ToolCall { .. }));
        all.push(event);
        if calls == 2 {
            break;
        }
    }
    run.cancel();
    all.extend(events(run).await);
    let (outcome, done) = ended(&all);
    assert_eq!((outcome.status, done.status), (Status::Cancelled, Status::Cancelled));
    let ends: Vec<_> = done.contributions.iter().map(|c| c.status).collect();
    assert_eq!(ends, [Status::Cancelled, Status::Cancelled]);
}

#[tokio::test]
async fn a_denied_call_of_a_member_shows_in_the_teams_outcome() {
    let rt = runtime();
    let send = tool_fn("send", "", Effects::NETWORK, |_: Value, _| async { Ok("sent") });
    let a = does(&rt, "a", vec![one("send"), reply_text("could not")], &[send]).await;
    let team = Team::sequential([a, says(&rt, "b", &["fine"]).await]);
    let all = events(team.astream("Work")).await;
    let (outcome, done) = ended(&all);
    assert_eq!((done.status, done.text()), (Status::Completed, "fine"));
    for denied in [&outcome.denied, &done.denied, &done.contributions[0].denied] {
        assert_eq!(denied.len(), 1);
        assert_eq!(denied[0].tool, "send");
    }
    assert!(done.contributions[1].denied.is_empty());
}

#[tokio::test]
async fn a_failed_member_fails_the_team() {
    let rt = runtime();
    let mute = does(&rt, "b", Vec::new(), &[]).await;
    let team = Team::sequential([says(&rt, "a", &["A"]).await, mute, says(&rt, "c", &["C"]).await]);
    let all = events(team.astream("Work")).await;
    let (outcome, done) = ended(&all);
    assert_eq!((outcome.status, done.status, done.contributions.len()), (Status::Failed, Status::Failed, 2));
    assert_eq!(done.error.unwrap().message, "b: scripted: the script has ended");
}

#[tokio::test]
async fn a_failure_is_an_error_of_run() {
    let rt = runtime();
    let team = Team::parallel([does(&rt, "a", Vec::new(), &[]).await]);
    assert!(matches!(team.run("Work").await.unwrap_err(), VictorError::Provider(_)));
    let fine = Team::parallel([says(&rt, "a", &["A"]).await]);
    assert_eq!(fine.run("Work").await.unwrap().to_string(), "## a\n\nA");
}

#[tokio::test]
async fn a_team_can_go_on_without_a_member() {
    let rt = runtime();
    let (mute, also) = (does(&rt, "b", Vec::new(), &[]).await, does(&rt, "b", Vec::new(), &[]).await);
    let go_on = |team: Team| team.on_member_failure(MemberFailure::Continue);
    let (flow, done) =
        perform(&go_on(Team::sequential([says(&rt, "a", &["A"]).await, mute, says(&rt, "c", &["C"]).await])), "Work")
            .await;
    assert!(flow[2].ends_with("## a\n\nA"), "{}", flow[2]);
    assert_eq!((done.status, done.text()), (Status::Completed, "C"));
    let none = go_on(Team::parallel([also]));
    let (_, done) = perform(&none, "Work").await;
    assert_eq!(done.status, Status::Failed, "nobody was left, and yet the team was done");
}

#[tokio::test]
async fn others_are_stopped_when_a_member_ends_the_team() {
    let rt = runtime();
    let patient = does(&rt, "a", vec![one("hang")], &[hanging()]).await;
    let (_, done) = perform(&Team::parallel([patient, does(&rt, "b", Vec::new(), &[]).await]), "Work").await;
    let ends: Vec<_> = done.contributions.iter().map(|c| c.status).collect();
    assert_eq!((done.status, ends), (Status::Failed, vec![Status::Cancelled, Status::Failed]));
}

/// A provider with a defect.
struct Broken;

#[async_trait]
impl Provider for Broken {
    fn name(&self) -> &'static str {
        "broken"
    }

    fn wire(&self) -> &'static str {
        "broken"
    }

    async fn stream(&self, _: &Request, _: &CallCx) -> Result<ChunkStream, ProviderError> {
        panic!("on purpose")
    }

    async fn check(&self, _: &CallCx) -> Result<(), ProviderError> {
        Ok(())
    }

    async fn list_models(&self, _: &CallCx) -> Result<Vec<ModelInfo>, ProviderError> {
        Ok(Vec::new())
    }
}

#[tokio::test]
async fn a_members_crash_is_its_own_failure() {
    let rt = runtime();
    let model = Model { provider: Arc::new(Broken), info: Arc::new(ModelInfo::default()) };
    let broken = Member::new("b", Agent::builder().model(model).build(&rt).await.unwrap());
    let team = Team::parallel([says(&rt, "a", &["A"]).await, broken]).on_member_failure(MemberFailure::Continue);
    let (_, done) = perform(&team, "Work").await;
    assert_eq!((done.status, done.text()), (Status::Completed, "## a\n\nA"));
    let error = done.contributions[1].error.clone().unwrap();
    assert!(error.message.contains("the agent crashed"), "{error:?}");
}

#[tokio::test]
async fn a_lead_is_told_of_a_failure_or_the_team_ends_with_it() {
    let rt = runtime();
    let plan = || reply_calls(&[("ask_a", json!({ "task": "part" }))]);
    for (policy, status) in [(MemberFailure::Fail, Status::Failed), (MemberFailure::Continue, Status::Completed)] {
        let lead = does(&rt, "boss", vec![plan(), reply_text("without a")], &[]).await;
        let team = Team::hierarchical(lead, [does(&rt, "a", Vec::new(), &[]).await]).on_member_failure(policy);
        let (_, done) = perform(&team, "Work").await;
        assert_eq!(done.status, status);
        match policy {
            MemberFailure::Fail => assert_eq!(done.error.unwrap().message, "a: scripted: the script has ended"),
            MemberFailure::Continue => assert_eq!(done.text(), "without a"),
        }
    }
}

#[tokio::test]
async fn a_vote_that_does_not_come_counts_against_the_agreement() {
    let rt = runtime();
    let votes = || vec![reply_text("mine"), reply_text(r#"{"vote": "a", "reason": ""}"#)];
    let silent = does(&rt, "c", vec![reply_text("mine")], &[]).await;
    let team = Team::consensus([does(&rt, "a", votes(), &[]).await, does(&rt, "b", votes(), &[]).await, silent]);
    let team = team.rounds(1).min_agreement(0.7).on_member_failure(MemberFailure::Continue);
    let (_, done) = perform(&team, "Work").await;
    assert_eq!((done.status, done.votes.len()), (Status::Limit, 2));
    assert!((done.agreement.unwrap() - 2.0 / 3.0).abs() < 1e-9);
}

#[tokio::test]
async fn what_cannot_work_is_told_before_anybody_is_asked() {
    let rt = runtime();
    let none: [Member; 0] = [];
    let wrong = [
        (Team::sequential(none), "a team needs members"),
        (Team::consensus([silent(&rt, Mode::Build).await]), "a consensus needs two members at least, here are 1"),
        (Team::parallel([("a b", silent(&rt, Mode::Build).await)]), "`a b` is no name for a member"),
        (Team::parallel([("a", silent(&rt, Mode::Build).await), ("a", silent(&rt, Mode::Build).await)]), "two members"),
        (Team::pipeline([silent(&rt, Mode::Build).await]).rounds(2), "`rounds` means nothing in the formation"),
        (
            Team::hierarchical(silent(&rt, Mode::Explore).await, [silent(&rt, Mode::Build).await]),
            "the lead is in the mode `explore`, which hands no work to others",
        ),
    ];
    for (team, message) in wrong {
        let said = team.run("Work").await.unwrap_err().to_string();
        assert!(said.contains(message), "{said}");
    }
}
