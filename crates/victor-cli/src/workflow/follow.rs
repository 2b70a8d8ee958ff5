//! Follows a run of a workflow to its end: shows its events, puts its questions, and puts it down on Ctrl-C.

use std::io;

use futures::StreamExt;
use tokio::sync::mpsc;
use victor::event::EventKind;
use victor::workflow::{WorkflowError, WorkflowOutcome, WorkflowRun};

use super::ask::{Asked, Typed};
use super::lines::View;
use crate::approve::Questions;
use crate::exit::{Exit, Failure};
use crate::signal::Signals;
use crate::terminal::Terminal;

/// What can be asked while a run works.
pub(super) struct Asks {
    pub(super) terminal: Terminal,
    /// Whether calls may run.
    pub(super) calls: Questions,
    /// What human nodes ask; nothing where nobody is asked.
    pub(super) people: Option<mpsc::Receiver<Asked>>,
}

/// How a run ended that was followed, with the place of its last event.
pub(super) struct Ended {
    pub(super) outcome: Result<WorkflowOutcome, WorkflowError>,
    pub(super) last: Option<victor::event::Event>,
}

/// Follows a run to its end. Ctrl-C puts it down, to be resumed later; a second one ends the program at once, which
/// leaves the same behind.
///
/// # Errors
/// stdout cannot be written: the run is put down then.
pub(super) async fn follow(
    mut run: WorkflowRun,
    view: &mut View,
    signals: &mut Signals,
    mut asks: Asks,
) -> Result<Ended, Failure> {
    let mut typed = Typed::new();
    let (mut written, mut last, mut stopped): (io::Result<()>, _, _) = (Ok(()), None, false);
    loop {
        tokio::select! {
            biased;
            _ = signals.next() => {
                view.settle();
                if stopped {
                    return Err(Failure::told(Exit::Interrupted));
                }
                stopped = true;
                run.interrupt();
            }
            event = run.next() => {
                let Some(event) = event else { break };
                if matches!(event.kind, EventKind::Finished { .. }) && event.path.is_empty() {
                    last = Some(event);
                } else if written.is_ok() {
                    written = view.event(&event);
                    if written.is_err() {
                        run.interrupt();
                    }
                }
            }
            question = asks.calls.next() => {
                view.settle();
                if question.put(signals).await.is_some() {
                    stopped = true;
                    run.interrupt();
                }
            }
            asked = next(&mut asks.people) => {
                view.settle();
                let put = typed.put(asks.terminal, asked);
                tokio::select! {
                    () = put => {}
                    _ = signals.next() => {
                        stopped = true;
                        run.interrupt();
                    }
                }
            }
        }
    }
    view.settle();
    written?;
    Ok(Ended { outcome: run.taken(), last })
}

async fn next(people: &mut Option<mpsc::Receiver<Asked>>) -> Asked {
    if let Some(people) = people
        && let Some(asked) = people.recv().await
    {
        return asked;
    }
    std::future::pending().await
}
