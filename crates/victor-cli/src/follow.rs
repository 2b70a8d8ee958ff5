//! Follows a run to its end: shows its events, puts its questions, and passes Ctrl-C on to it.

use std::io;

use futures::StreamExt;
use victor::agent::{Outcome, Run, Status};
use victor::error::VictorError;
use victor::event::{Event, EventKind};

use crate::approve::Questions;
use crate::exit::{Exit, Failure};
use crate::signal::{Ask, Signals};

/// Whoever is shown a run.
pub(crate) trait View {
    /// An event of the run.
    ///
    /// # Errors
    /// stdout cannot be written.
    fn event(&mut self, event: &Event) -> io::Result<()>;

    /// The run is being stopped.
    fn stopping(&mut self);

    /// Something else is about to be shown.
    fn settle(&mut self);
}

/// How a run ended that was followed.
pub(crate) struct Ended {
    /// As the run itself says it.
    pub(crate) outcome: Outcome,
    /// What made it fail.
    pub(crate) error: Option<VictorError>,
    /// Whether the user wants to leave, not only to stop the run.
    pub(crate) leave: bool,
}

impl Ended {
    /// How this ends the program.
    pub(crate) fn exit(&self) -> Exit {
        self.error.as_ref().map_or_else(|| Exit::of(&self.outcome), |e| Failure::from(e.clone()).exit)
    }
}

/// Follows a run to its end.
///
/// # Errors
/// stdout cannot be written; the run is cancelled then. The user wants to leave at once.
pub(crate) async fn follow(
    mut run: Run,
    view: &mut dyn View,
    signals: &mut Signals,
    mut questions: Option<&mut Questions>,
) -> Result<Ended, Failure> {
    let (mut finished, mut stopped, mut leave) = (None, false, false);
    let mut written = Ok(());
    loop {
        tokio::select! {
            biased;
            ask = signals.next() => {
                leave |= stopped || ask == Ask::End;
                if stopped {
                    view.settle();
                    return Err(Failure::told(Exit::Interrupted));
                }
                stopped = true;
                run.cancel();
                view.stopping();
            }
            event = run.next() => {
                let Some(event) = event else { break };
                if written.is_ok() {
                    written = view.event(&event);
                    if written.is_err() {
                        run.cancel();
                    }
                }
                if let EventKind::Finished { outcome } = event.kind && event.path.is_empty() {
                    finished = Some(*outcome);
                }
            }
            question = next_question(&mut questions) => {
                view.settle();
                if let Some(ask) = question.put(signals).await {
                    leave |= ask == Ask::End;
                    stopped = true;
                    run.cancel();
                    view.stopping();
                }
            }
        }
    }
    written?;
    let failed = finished.as_ref().is_none_or(|o| o.status == Status::Failed);
    let error = if failed { run.outcome().await.err() } else { None };
    match (finished, error) {
        (Some(outcome), error) => Ok(Ended { outcome, error, leave }),
        (None, Some(error)) => Err(error.into()),
        (None, None) => Err(Failure::failed("the run ended without an outcome")),
    }
}

async fn next_question(questions: &mut Option<&mut Questions>) -> crate::approve::Asking {
    match questions {
        Some(questions) => questions.next().await,
        None => std::future::pending().await,
    }
}
