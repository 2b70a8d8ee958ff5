//! The workflows that Victor brings along run, with a scripted model.
#![expect(clippy::unwrap_used, reason = "the whole file is tests")]

mod documents;

use std::collections::HashMap;
use std::sync::Arc;

use documents::{People, runtime, script};
use serde_json::{Value, json};
use victor_workflow::Workflows;
use victor_workflow::library::Library;
use victor_workflow::options::{RunOptions, WorkflowOutcome};

async fn run(name: &str, input: Value, replies: &[Value], answers: &[(&str, Value)]) -> WorkflowOutcome {
    let library = Library::new(&[]);
    let compiled = library.compile(name).unwrap();
    let model = script(replies);
    let workflows = Workflows::of(&runtime(&model));
    let people: HashMap<String, Value> =
        answers.iter().map(|(node, answer)| ((*node).to_owned(), answer.clone())).collect();
    let options = RunOptions { interviewer: Some(Arc::new(People(people))), ..RunOptions::default() };
    let outcome = workflows.start(&compiled.workflow, input, options).await.unwrap().outcome().await.unwrap();
    if outcome.error.is_none() {
        assert_eq!(model.seen().len(), replies.len(), "calls of the model");
    }
    outcome
}

#[tokio::test]
async fn code_review_reports_and_judges() {
    let issue = json!({"file": "a.rs", "line": 3, "severity": "high", "problem": "unwrap", "remedy": "handle it"});
    let bad = json!({"score": 0.5, "issues": [issue]});
    let good = json!({"score": 1, "issues": []});
    let outcome = run("code_review", json!({"target": "a.rs"}), &[bad, good.clone(), good.clone()], &[]).await;
    assert_eq!(outcome.error, None);
    assert_eq!((&outcome.result["passed"], outcome.result["urgent"].as_array().unwrap().len()), (&json!(false), 1));
    let report = outcome.result["report"].as_str().unwrap();
    assert!(report.contains("Not passed, score 0.83 (from 0.8 on it passes), 1 issues."), "{report}");
    assert!(report.contains("- **high** a.rs:3: unwrap\n  handle it"), "{report}");
    let outcome = run("code-review", json!({}), &[good.clone(), good.clone(), good], &[]).await;
    assert_eq!(outcome.result["passed"], true, "{outcome:?}");
}

#[tokio::test]
async fn bug_investigation_goes_round_until_a_hypothesis_holds() {
    let refuted = json!({"holds": false, "confidence": 0.9, "reason": "never called"});
    let holds = json!({"holds": true, "confidence": 0.8, "reason": "seen in a.rs"});
    let replies = [json!("facts"), json!("it is x"), refuted, json!("it is y"), holds, json!("the report")];
    let outcome = run("bug_investigation", json!({"bug": "it crashes"}), &replies, &[]).await;
    assert_eq!(outcome.error, None);
    assert_eq!((&outcome.result["report"], &outcome.result["hypothesis"]), (&json!("the report"), &json!("it is y")));
}

#[tokio::test]
async fn bug_investigation_gives_up_after_its_rounds() {
    let refuted = json!({"holds": false, "confidence": 0.9, "reason": "no"});
    let rounds = (0..6).flat_map(|_| [json!("maybe"), refuted.clone()]);
    let replies: Vec<Value> = std::iter::once(json!("facts")).chain(rounds).collect();
    let outcome = run("bug_investigation", json!({"bug": "x"}), &replies, &[]).await;
    let error = outcome.error.unwrap().message;
    assert!(error.contains("hypothesis") && error.contains('4'), "{error}");
}

#[tokio::test]
async fn feature_with_tests_asks_before_it_builds() {
    let red = json!({"passed": false, "summary": "1 failed"});
    let green = json!({"passed": true, "summary": "all passed"});
    let replies = [json!("the plan"), json!("tests"), json!("code"), red, json!("better code"), green];
    let input = json!({"feature": "a parser"});
    let outcome = run("feature_with_tests", input.clone(), &replies, &[("approve_plan", json!(true))]).await;
    assert_eq!(outcome.error, None);
    assert_eq!(outcome.result["report"], "Built: a parser\n\nbetter code\n\nTests: all passed");
    let outcome = run("feature_with_tests", input, &replies, &[]).await;
    assert_eq!(outcome.error.unwrap().code, "ABORTED");
}

#[tokio::test]
async fn document_pipeline_revises_until_the_review_is_content() {
    let wishes = json!({"quality": 0.4, "wishes": ["shorter"]});
    let content = json!({"quality": 0.9, "wishes": []});
    let replies = [json!("notes"), json!("outline"), json!("draft 1"), wishes, json!("draft 2"), content];
    let outcome = run("document_pipeline", json!({"topic": "x"}), &replies, &[]).await;
    assert_eq!(outcome.error, None);
    assert_eq!(outcome.result["document"], "draft 2");
}

#[tokio::test]
async fn approval_gate_carries_out_only_what_was_allowed() {
    let input = json!({"task": "rename it"});
    let yes = run("approval_gate", input.clone(), &[json!("I would"), json!("done")], &[("gate", json!(true))]).await;
    assert_eq!((&yes.result["approved"], &yes.result["result"]), (&json!(true), &json!("done")));
    let no = run("approval_gate", input.clone(), &[json!("I would")], &[("gate", json!(false))]).await;
    assert_eq!(no.result["result"], "Declined; nothing was changed.");
    let nobody = run("approval_gate", input, &[json!("I would"), json!("done")], &[]).await;
    assert_eq!(nobody.error.unwrap().code, "ABORTED");
    assert_eq!(nobody.result, Value::Null);
}

#[tokio::test]
async fn debate_ends_with_the_judges_word() {
    let verdict = json!({"winner": "against", "reason": "it costs too much", "answer": "No."});
    let replies = [json!("yes 1"), json!("no 1"), json!("yes 2"), json!("no 2"), verdict];
    let outcome = run("debate", json!({"question": "Rewrite it?"}), &replies, &[]).await;
    assert_eq!(outcome.error, None);
    assert_eq!(outcome.result["verdict"]["verdict"]["winner"], "against", "{}", outcome.result);
    assert_eq!(outcome.result["report"], "# Rewrite it?\n\nNo.");
}
