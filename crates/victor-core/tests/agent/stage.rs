//! A tool that counts its calls, and shorthands.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures::StreamExt;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;
use victor_core::agent::{Agent, Outcome};
use victor_core::error::ToolError;
use victor_core::event::{Event, EventKind};
use victor_core::runtime::{Runtime, RuntimeBuilder};
use victor_core::testing::{ScriptedProvider, TestClock};
use victor_core::tool::{DynTool, Effects, Plan, Tool, ToolCx, ToolOutput, erase};

#[derive(Deserialize, JsonSchema)]
pub(crate) struct NoteArgs {
    pub(crate) text: String,
}

/// Counts its calls; `effects` makes it ask or not.
pub(crate) struct Note {
    pub(crate) effects: Effects,
    pub(crate) calls: Arc<AtomicUsize>,
}

impl Tool for Note {
    const NAME: &'static str = "note";
    type Args = NoteArgs;

    fn description(&self) -> Cow<'static, str> {
        "Notes a text.".into()
    }

    fn effects(&self) -> Effects {
        self.effects
    }

    async fn plan(&self, args: NoteArgs, _: &ToolCx) -> Result<Plan, ToolError> {
        let calls = Arc::clone(&self.calls);
        Ok(Plan::new(self.effects, move |_, cx: ToolCx| async move {
            calls.fetch_add(1, Ordering::SeqCst);
            match args.text.as_str() {
                "panic" => panic!("on purpose"),
                "hang" => {
                    cx.cancel.cancelled().await;
                    Err(ToolError::model("stopped"))
                }
                "fatal" => Err(ToolError::Fatal("the disk is gone".into())),
                text => Ok(ToolOutput::text(format!("noted {text}"))),
            }
        }))
    }
}

pub(crate) fn note(effects: Effects) -> (Arc<dyn DynTool>, Arc<AtomicUsize>) {
    let calls = Arc::new(AtomicUsize::new(0));
    (erase(Note { effects, calls: Arc::clone(&calls) }), calls)
}

pub(crate) fn runtime() -> RuntimeBuilder {
    Runtime::builder().clock(TestClock::default())
}

pub(crate) async fn agent(provider: &Arc<ScriptedProvider>, runtime: &Runtime, tool: Arc<dyn DynTool>) -> Agent {
    Agent::builder().model(provider.model()).tool(tool).build(runtime).await.unwrap()
}

pub(crate) async fn events(mut run: victor_core::agent::Run) -> Vec<Event> {
    let mut all = Vec::new();
    while let Some(event) = run.next().await {
        all.push(event);
    }
    all
}

pub(crate) fn finished(events: &[Event]) -> &Outcome {
    let mut ends = events.iter().filter_map(|e| match &e.kind {
        EventKind::Finished { outcome } if e.path.is_empty() => Some(outcome),
        _ => None,
    });
    let outcome = ends.next().expect("no Finished event");
    assert!(ends.next().is_none(), "more than one Finished event");
    outcome
}

pub(crate) fn text_args(text: &str) -> (&'static str, serde_json::Value) {
    ("note", json!({ "text": text }))
}
