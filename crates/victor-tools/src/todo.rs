//! `todo`: the list of what a run has to do, for itself and for whoever watches it.

use std::borrow::Cow;
use std::sync::{Arc, Mutex, PoisonError};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use victor_core::error::ToolError;
use victor_core::id::RunId;
use victor_core::tool::{Effects, Plan, Tool, ToolCx, ToolOutput};

/// Runs whose lists are kept; of older ones only the conversation knows.
const RUNS: usize = 64;
/// Items of a list at most.
const ITEMS: usize = 100;

/// The lists by run, the latest used last.
type Lists = Vec<(RunId, Vec<Item>)>;

/// Keeps the list of what a run has to do.
#[derive(Default)]
pub struct Todo {
    lists: Arc<Mutex<Lists>>,
}

/// The arguments of `todo`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TodoArgs {
    /// The whole list, which replaces the one before; without it the list is only shown.
    #[schemars(length(max = 100))]
    items: Option<Vec<Item>>,
}

/// One thing to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Item {
    /// What is to be done.
    text: String,
    /// How far it is.
    status: Status,
}

/// How far an item is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Status {
    Pending,
    InProgress,
    Completed,
    Cancelled,
}

impl Status {
    fn mark(self) -> &'static str {
        match self {
            Self::Pending => "[ ]",
            Self::InProgress => "[>]",
            Self::Completed => "[x]",
            Self::Cancelled => "[-]",
        }
    }
}

impl Tool for Todo {
    const NAME: &'static str = "todo";
    type Args = TodoArgs;

    fn description(&self) -> Cow<'static, str> {
        "Keeps the list of steps of a longer task: send the whole list whenever a step begins or ends. Have one step \
         in progress at a time. Not worth it for tasks of one or two steps."
            .into()
    }

    fn category(&self) -> &'static str {
        "planning"
    }

    fn effects(&self) -> Effects {
        Effects::NONE
    }

    async fn plan(&self, args: TodoArgs, cx: &ToolCx) -> Result<Plan, ToolError> {
        if args.items.as_ref().is_some_and(|i| i.len() > ITEMS) {
            return Err(ToolError::model(format!("a list holds at most {ITEMS} items; join some")));
        }
        let lists = Arc::clone(&self.lists);
        let run = cx.run;
        Ok(Plan::new(Effects::NONE, async move |_, _| Ok(answer(&keep(&lists, run, args.items)))))
    }
}

fn keep(lists: &Mutex<Lists>, run: RunId, items: Option<Vec<Item>>) -> Vec<Item> {
    let mut lists = lists.lock().unwrap_or_else(PoisonError::into_inner);
    let known = lists.iter().position(|(r, _)| *r == run).map(|at| lists.remove(at).1);
    let list = items.or(known).unwrap_or_default();
    if lists.len() >= RUNS {
        lists.remove(0);
    }
    lists.push((run, list.clone()));
    list
}

fn answer(items: &[Item]) -> ToolOutput {
    let text = match items {
        [] => "(nothing to do)".to_owned(),
        items => items.iter().map(|i| format!("{} {}\n", i.status.mark(), i.text)).collect(),
    };
    ToolOutput::text(text).structured(serde_json::json!({ "items": items }))
}
