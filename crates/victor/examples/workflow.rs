//! A workflow of one's own, in Rust: a function, a gate, and an answer that comes later; then the same by an agent.
#![allow(clippy::print_stdout)]

use std::sync::Arc;

use serde_json::json;
use victor::prelude::*;
use victor::workflow::{
    AskLater, HumanNode, NodeOutput, Resumed, RunOptions, RunWorkflow as _, StateGraph, WorkflowError, Workflows,
};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let victor = victor::from_env().await?;

    let mut graph = StateGraph::new("release");
    graph.compute("notes", |cx| Ok(NodeOutput::set("notes", format!("Version {}", cx.state()["version"]))));
    graph.add("gate", HumanNode::approval("Release it?"));
    graph.compute("publish", |_| Ok(NodeOutput::set("published", true)));
    graph.edge("notes", "gate").edge("gate", "publish");
    let release = graph.compile().map_err(WorkflowError::from)?;

    let workflows = Workflows::of(&victor);
    workflows.registry().add(release);
    let later = || RunOptions { interviewer: Some(Arc::new(AskLater)), ..RunOptions::default() };
    let mut run = workflows.start_named("release", json!({ "version": 2 }), later()).await?;
    let id = run.id();
    while let Some(event) = run.next().await {
        if let EventKind::Question { question } = event.kind {
            println!("{}: {}", question.id, question.prompt);
        }
    }

    let answers = vec![("gate".to_owned(), json!(true))];
    if let Resumed::Run(run) = workflows.resume(id, answers, later()).await? {
        println!("{}", run.outcome().await?.result);
    }

    let agent = Agent::create(&victor, ()).await?;
    let refused = agent.run_workflow("release", json!({ "version": 3 })).await?;
    println!("{:?}", refused.error.map(|e| e.code));
    Ok(())
}
