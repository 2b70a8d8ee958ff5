//! What becomes of calls: judged, asked about, carried out, told.

use std::borrow::Cow;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;
use victor_core::agent::{Agent, AgentSpec, DryRun, Status};
use victor_core::error::ToolError;
use victor_core::hook::{AfterTool, BeforeTool, Hook, PlannedCall};
use victor_core::permission::{Answer, ApprovalRequest, Approver, Decision, GrantScope, Rule, RuleEffect, Rules};
use victor_core::provider::{Chunk, StopReason};
use victor_core::testing::{ScriptedProvider, reply_calls, reply_text};
use victor_core::tool::{Effects, Plan, Tool, ToolCx, ToolOutput, erase};

use super::stage::{agent, note, runtime, text_args};

#[tokio::test]
async fn what_would_ask_is_denied_where_nobody_can_be_asked() {
    let provider = ScriptedProvider::new([reply_calls(&[text_args("a")]), reply_text("could not")]);
    let (tool, calls) = note(Effects::EXECUTE);
    let rt = runtime().build().unwrap();
    let outcome = agent(&provider, &rt, tool).await.run("go").await.unwrap();
    assert_eq!(calls.load(Ordering::SeqCst), 0, "it ran without leave");
    assert_eq!(outcome.status, Status::Completed, "a run that went on despite a denial is done");
    assert!(outcome.denied[0].reason.contains("--allow 'note'"), "{}", outcome.denied[0].reason);
}

#[tokio::test]
async fn deny_beats_allow_and_hooks_only_make_it_stricter() {
    struct Yes;
    #[async_trait]
    impl Hook for Yes {
        async fn before_tool(&self, _: PlannedCall<'_>) -> BeforeTool {
            BeforeTool::Continue
        }
    }
    struct Broken;
    #[async_trait]
    impl Hook for Broken {
        async fn before_tool(&self, _: PlannedCall<'_>) -> BeforeTool {
            panic!("on purpose")
        }
    }
    let rule = |effect, text| Rule::parse(effect, text, "test").unwrap();
    let rules = Rules::new(vec![rule(RuleEffect::Allow, "note"), rule(RuleEffect::Deny, "not*")]);
    for (rules, hook) in [(rules, Arc::new(Yes) as Arc<dyn Hook>), (Rules::default(), Arc::new(Broken))] {
        let provider = ScriptedProvider::new([reply_calls(&[text_args("a")]), reply_text("ok")]);
        let (tool, calls) = note(Effects::READ);
        let rt = runtime().rules(rules).hook(hook).build().unwrap();
        let outcome = agent(&provider, &rt, tool).await.run("go").await.unwrap();
        assert_eq!((calls.load(Ordering::SeqCst), outcome.denied.len()), (0, 1));
    }
}

#[tokio::test]
async fn a_hook_can_abort_after_a_call_and_the_history_stays_valid() {
    struct Stop;
    #[async_trait]
    impl Hook for Stop {
        async fn after_tool(&self, _: PlannedCall<'_>, _: &ToolOutput) -> AfterTool {
            AfterTool::Abort("enough".into())
        }
    }
    let provider = ScriptedProvider::new([reply_calls(&[text_args("a"), text_args("b")]), reply_text("again")]);
    let (tool, _) = note(Effects::WRITE);
    let rt = runtime().hook(Arc::new(Stop)).build().unwrap();
    let mut chat = agent(&provider, &rt, tool).await.chat(None);
    let outcome = chat.run("go").await.unwrap();
    assert_eq!(outcome.status, Status::Denied);
    assert_eq!(chat.run("go on").await.unwrap().text(), "again");
}

#[tokio::test]
async fn wrong_arguments_unknown_tools_and_crashes_are_told_to_the_model() {
    let garbage = vec![
        Ok(Chunk::ToolCall { index: 0, id: None, name: "note".into() }),
        Ok(Chunk::ToolArgs { index: 0, delta: "{\"text\": ".into() }),
        Ok(Chunk::Stop(StopReason::ToolUse)),
    ];
    let provider = ScriptedProvider::new([
        reply_calls(&[("note", json!({ "txt": 1 })), ("nota", json!({})), text_args("panic")]),
        garbage,
        reply_text("sorry"),
    ]);
    let (tool, _) = note(Effects::READ);
    let rt = runtime().build().unwrap();
    let outcome = agent(&provider, &rt, tool).await.run("go").await.unwrap();
    assert_eq!(outcome.status, Status::Completed);
    let said = |n: usize| -> Vec<String> {
        let last = Arc::clone(provider.seen()[n].last().unwrap());
        last.tool_results().map(|r| victor_core::message::text_of(&r.content)).collect()
    };
    let first = said(1);
    assert!(first[0].contains("text"), "{first:?}");
    assert!(first[1].contains("did you mean `note`?"), "{first:?}");
    assert!(first[2].contains("crashed"), "{first:?}");
    assert!(said(2)[0].contains("not a JSON object"), "{:?}", said(2));
}

#[tokio::test]
async fn dry_runs_say_what_they_would_do() {
    let provider = ScriptedProvider::new([reply_calls(&[text_args("a")]), reply_text("ok")]);
    let (tool, calls) = note(Effects::WRITE);
    let rt = runtime().build().unwrap();
    let spec = AgentSpec { dry_run: DryRun::On, ..AgentSpec::default() };
    let agent = Agent::builder().model(provider.model()).tool(tool).spec(spec).build(&rt).await.unwrap();
    agent.run("go").await.unwrap();
    assert_eq!(calls.load(Ordering::SeqCst), 0);
    let told = provider.seen()[1].last().unwrap().tool_results().next().unwrap().clone();
    assert!(victor_core::message::text_of(&told.content).starts_with("dry run"));
}

#[tokio::test]
async fn a_session_grant_is_asked_once() {
    struct Count(Mutex<u32>);
    #[async_trait]
    impl Approver for Count {
        async fn ask(&self, _: &ApprovalRequest) -> Answer {
            *self.0.lock().unwrap() += 1;
            Answer::Decided(Decision::Allow(GrantScope::Session))
        }
    }
    let again = || reply_calls(&[text_args("a")]);
    let provider = ScriptedProvider::new([again(), again(), reply_text("ok")]);
    let (tool, calls) = note(Effects::EXECUTE);
    let approver = Arc::new(Count(Mutex::new(0)));
    let rt = runtime().approver(Arc::clone(&approver) as Arc<dyn Approver>).build().unwrap();
    agent(&provider, &rt, tool).await.chat(None).run("go").await.unwrap();
    assert_eq!((*approver.0.lock().unwrap(), calls.load(Ordering::SeqCst)), (1, 2));
}

#[tokio::test]
async fn a_call_that_was_cut_off_before_its_arguments_does_not_run() {
    struct Bare(Arc<AtomicUsize>);
    #[derive(Deserialize, JsonSchema)]
    struct Nothing {}
    impl Tool for Bare {
        const NAME: &'static str = "bare";
        type Args = Nothing;
        fn description(&self) -> Cow<'static, str> {
            "Needs no arguments.".into()
        }
        fn effects(&self) -> Effects {
            Effects::READ
        }
        async fn plan(&self, _: Nothing, _: &ToolCx) -> Result<Plan, ToolError> {
            let calls = Arc::clone(&self.0);
            Ok(Plan::new(Effects::READ, move |_, _| async move {
                calls.fetch_add(1, Ordering::SeqCst);
                Ok(ToolOutput::text("done"))
            }))
        }
    }
    let call = |stop| vec![Ok(Chunk::ToolCall { index: 0, id: None, name: "bare".into() }), Ok(Chunk::Stop(stop))];
    for (stop, runs) in [(StopReason::ToolUse, 1), (StopReason::MaxTokens, 0)] {
        let provider = ScriptedProvider::new([call(stop), reply_text("ok")]);
        let calls = Arc::new(AtomicUsize::new(0));
        let rt = runtime().build().unwrap();
        agent(&provider, &rt, erase(Bare(Arc::clone(&calls)))).await.run("go").await.unwrap();
        assert_eq!(calls.load(Ordering::SeqCst), runs);
    }
}
