//! Workflows of a folder that nobody trusts: no schedule begins them, and no scheduled run goes on with them.

use std::sync::Arc;

use serde_json::json;
use victor_core::memory_journal::MemoryJournal;
use victor_core::runtime::Runtime;
use victor_core::schedule::DueStatus;
use victor_workflow::Workflows;
use victor_workflow::error::WorkflowError;
use victor_workflow::graph::StateGraph;
use victor_workflow::options::RunOptions;
use victor_workflow::registry::{Listing, Reach, Registered, WorkflowRegistry, WorkflowSource};
use victor_workflow::schedule::{Schedule, Scheduler, Schedules};

use super::disk::{Disk, schedule};
use super::support::{runtime_with, seen};
use super::{begin, pass};

/// A folder with one workflow, `steps`.
struct Folder {
    trusted: bool,
}

impl WorkflowSource for Folder {
    fn find(&self, name: &str) -> Result<Option<Registered>, WorkflowError> {
        let mut graph = StateGraph::new("steps");
        seen(&mut graph, &["a", "b"]);
        graph.edge("a", "b");
        let workflow = graph.compile()?;
        let found = Registered { workflow, source: "steps.yaml".to_owned(), inputs: None };
        Ok((name == "steps").then_some(found))
    }

    fn open(&self, _: &str, _: Option<&str>, _: Reach) -> Result<Registered, WorkflowError> {
        Err(WorkflowError::State("it has no files".to_owned()))
    }

    fn list(&self) -> Listing {
        Listing::default()
    }

    fn has_untrusted(&self) -> bool {
        !self.trusted
    }
}

fn process(journal: &MemoryJournal, trusted: bool) -> Runtime {
    let runtime = runtime_with(Arc::new(journal.clone()));
    runtime.insert(WorkflowRegistry::with_source(Arc::new(Folder { trusted })));
    runtime
}

#[tokio::test(start_paused = true)]
async fn a_schedule_names_nothing_of_a_folder_that_is_not_trusted() {
    for (trusted, status) in [(false, DueStatus::Failed), (true, DueStatus::Started)] {
        let disk = Disk::default();
        let runtime = process(&disk.journal, trusted);
        begin(&runtime).await;
        let all = vec![Schedule { workflow: "steps".into(), ..schedule("* * * * *") }];
        runtime.insert(Schedules { store: Arc::new(disk.schedules.clone()), all });
        let scheduler = Scheduler::of(&runtime).unwrap();
        assert_eq!(scheduler.problems().len(), usize::from(!trusted));
        runtime.spawn(async move { scheduler.follow().await });
        pass(61).await;
        let came = disk.came().await;
        assert_eq!(came.iter().map(|d| d.status).collect::<Vec<_>>(), [status]);
        let why = came[0].reason.clone().unwrap_or_default();
        assert_eq!(why.contains("steps.yaml") && why.contains("victor workspace trust"), !trusted, "{why}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_scheduled_run_goes_on_only_while_its_workflow_is_trusted() {
    let journal = MemoryJournal::default();
    let trusting = process(&journal, true);
    for (owner, goes_on) in [("schedule:tick", false), ("somebody", true)] {
        let owner = Some(owner.to_owned());
        let options = RunOptions { owner, pause_before: vec!["b".into()], ..RunOptions::default() };
        let run = Workflows::of(&trusting).start_named("steps", json!({}), options).await.unwrap();
        let id = run.outcome().await.unwrap().workflow_id;
        let doubting = Workflows::of(&process(&journal, false));
        let resumed = doubting.resume(id, Vec::new(), RunOptions::default()).await;
        assert_eq!(resumed.is_ok(), goes_on, "{resumed:?}");
        if let Err(e) = resumed {
            assert!(e.to_string().contains("victor workspace trust"), "{e}");
            Workflows::of(&trusting).resume(id, Vec::new(), RunOptions::default()).await.unwrap().detach();
        }
    }
}
