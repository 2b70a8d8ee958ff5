//! Signals that ask the program to end. While something holds them, they end nothing by themselves.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// What was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ask {
    /// Ctrl-C: stop what is running.
    Stop,
    /// The terminal is gone, or somebody wants the process to end.
    End,
}

/// The signals from now on.
pub(crate) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    hangup: Signal,
}

impl Signals {
    /// Takes the signals over.
    ///
    /// # Errors
    /// The system refuses it.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for the next one.
    pub(crate) async fn next(&mut self) -> Ask {
        tokio::select! {
            _ = self.interrupt.recv() => Ask::Stop,
            _ = self.terminate.recv() => Ask::End,
            _ = self.hangup.recv() => Ask::End,
        }
    }

    /// Waits for `work`; gives nothing where the program is asked to end before. Ctrl-C is passed over.
    pub(crate) async fn or_end<T>(&mut self, work: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            done = work => Some(done),
            () = self.end() => None,
        }
    }

    /// Waits for the end alone; Ctrl-C is passed over.
    pub(crate) async fn end(&mut self) {
        while self.next().await != Ask::End {}
    }
}
