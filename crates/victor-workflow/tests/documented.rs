//! Every YAML snippet of `docs/workflows.md` runs, and comes to what the comment behind it says.
#![expect(clippy::unwrap_used, clippy::panic, reason = "the whole file is tests")]

mod documents;

use std::collections::HashMap;

use documents::{People, runtime, script};
use serde::Deserialize;
use serde_json::{Value, json};
use victor_core::message::Block;
use victor_workflow::Workflows;
use victor_workflow::options::RunOptions;
use victor_workflow::template::Environment;
use victor_workflow::yaml::{Known, load};

const DOCS: &str = include_str!("../../../docs/workflows.md");

/// What a run of a snippet is given and comes to.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Case {
    workflow: Option<String>,
    input: Value,
    env: HashMap<String, String>,
    replies: Vec<Value>,
    answers: HashMap<String, Value>,
    status: Option<String>,
    result: Option<Value>,
    /// Some keys of the result.
    part: serde_json::Map<String, Value>,
    error: Option<String>,
    /// Why the run does not even start.
    refused: Option<String>,
    /// What the model was told on the way.
    heard: Vec<String>,
}

/// A snippet with its line and its cases.
fn snippets() -> Vec<(usize, String, Vec<Case>)> {
    let mut found: Vec<(usize, String, Vec<Case>)> = Vec::new();
    let (mut inside, mut text, mut start) = (false, String::new(), 0);
    for (number, line) in (1..).zip(DOCS.lines()) {
        if inside && line == "```" {
            inside = false;
            found.push((start, std::mem::take(&mut text), Vec::new()));
        } else if inside {
            text.push_str(line);
            text.push('\n');
        } else if line == "```yaml" {
            (inside, start) = (true, number + 1);
        } else if let Some(case) = line.strip_prefix("<!-- run: ").and_then(|l| l.strip_suffix(" -->")) {
            let case = serde_json::from_str(case).unwrap_or_else(|e| panic!("docs/workflows.md:{number}: {e}"));
            found.last_mut().unwrap().2.push(case);
        }
    }
    found
}

#[tokio::test]
async fn every_documented_snippet_runs_and_comes_to_what_is_said() {
    let snippets = snippets();
    assert!(snippets.len() > 20, "{} snippets", snippets.len());
    let mut wrong = Vec::new();
    for (line, text, cases) in &snippets {
        if cases.is_empty() {
            wrong.push(format!("docs/workflows.md:{line}: the snippet says nothing of its run"));
        }
        for case in cases {
            if let Err(e) = check(text, case).await {
                wrong.push(format!("docs/workflows.md:{line}: {e}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

async fn check(text: &str, case: &Case) -> Result<(), String> {
    let text = if text.starts_with("- ") {
        let nodes: String = text.lines().map(|l| format!("      {l}\n")).collect();
        format!("workflows:\n  example:\n    nodes:\n{nodes}")
    } else {
        text.to_owned()
    };
    let environment: Environment = case.env.clone().into_iter().collect();
    let document = load("example.yaml", &text, &environment, &Known::default()).map_err(|e| e.to_string())?;
    let name = case.workflow.clone().unwrap_or_else(|| document.workflows[0].name.value.clone());
    let compiled = document.compile(&name, &|_| None).map_err(|e| e.to_string())?;
    let model = script(&case.replies);
    let workflows = Workflows::of(&runtime(&model));
    let options =
        RunOptions { interviewer: Some(std::sync::Arc::new(People(case.answers.clone()))), ..RunOptions::default() };
    let begun = workflows.start(&compiled.workflow, &case.input, options).await;
    let run = match (begun, &case.refused) {
        (Err(e), Some(expected)) if e.to_string().ends_with(expected) => return Ok(()),
        (Err(e), Some(expected)) => return Err(format!("refused with\n{e}\nnot\n{expected}")),
        (Err(e), None) => return Err(e.to_string()),
        (Ok(_), Some(_)) => return Err("it was not refused".to_owned()),
        (Ok(run), None) => run,
    };
    let outcome = run.outcome().await.map_err(|e| e.to_string())?;
    let status = case.status.as_deref().unwrap_or("completed");
    if outcome.status.name() != status {
        return Err(format!("{} instead of {status}: {:?}", outcome.status.name(), outcome.error));
    }
    if let Some(result) = &case.result
        && outcome.result != *result
    {
        return Err(format!("came to\n{}\nnot\n{result}", outcome.result));
    }
    if let Some((key, value)) = case.part.iter().find(|(key, value)| outcome.result.get(key) != Some(value)) {
        return Err(format!("`{key}` is not {value} in {}", outcome.result));
    }
    if let Some(error) = &case.error {
        let message = outcome.error.map(|e| e.message).unwrap_or_default();
        if !message.contains(error) {
            return Err(format!("failed with\n{message}\nnot\n{error}"));
        }
    }
    let heard = json!(model.seen().last().map(|h| h.iter().map(|m| m.content.clone()).collect::<Vec<Vec<Block>>>()));
    match case.heard.iter().find(|text| !heard.to_string().contains(text.as_str())) {
        Some(text) => Err(format!("the model was not told `{text}`, but {heard}")),
        None => Ok(()),
    }
}
