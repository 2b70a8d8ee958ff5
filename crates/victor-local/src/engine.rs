//! A loaded model on a thread of its own: requests queue up for it, one is answered at a time.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};

use tokio_util::sync::CancellationToken;
use victor_core::error::{ProviderError, ProviderErrorKind};
use victor_core::provider::Chunk;
use victor_core::request::Request;

use crate::error::{EngineError, NAME};
use crate::resolver::Installed;
use crate::sample::Sampling;
use crate::speaker::Speaker;
use crate::tuning::Tuning;

/// Requests that may wait for a model.
const QUEUE: usize = 16;

/// Something on the way to whoever asked.
pub(crate) type Piece = Result<Chunk, ProviderError>;

/// One request, and where its answer goes.
pub(crate) struct Job {
    pub(crate) request: Request,
    /// `None` for what suits the model.
    pub(crate) sampling: Option<Sampling>,
    pub(crate) tuning: Tuning,
    pub(crate) window: usize,
    pub(crate) max_output: usize,
    pub(crate) out: tokio::sync::mpsc::Sender<Piece>,
    pub(crate) cancel: CancellationToken,
}

/// A loaded model.
trait Answers {
    /// Answers a request through [`tell`].
    fn answer(&mut self, job: &Job) -> Result<(), EngineError>;
}

impl Answers for Speaker {
    fn answer(&mut self, job: &Job) -> Result<(), EngineError> {
        self.answer(job)
    }
}

/// A model's thread. It ends when this is dropped and its queue is empty.
#[derive(Debug)]
pub(crate) struct Engine {
    path: PathBuf,
    jobs: SyncSender<Job>,
}

impl Engine {
    /// Starts the thread; the model is loaded with its first request.
    ///
    /// # Errors
    /// The system gives no thread.
    pub(crate) fn start(installed: &Installed) -> Result<Self, EngineError> {
        let (path, window, tuning) = (installed.path.clone(), installed.window as usize, installed.tuning);
        Self::with(installed, move || Speaker::load(&path, window, &tuning))
    }

    fn with<A: Answers>(
        installed: &Installed,
        load: impl Fn() -> Result<A, EngineError> + Send + 'static,
    ) -> Result<Self, EngineError> {
        let (jobs, queue) = sync_channel(QUEUE);
        let thread = std::thread::Builder::new().name(format!("model {}", installed.name));
        thread
            .spawn(move || serve(load, &queue))
            .map_err(|e| EngineError::Internal(format!("no thread for the model: {e}")))?;
        Ok(Self { path: installed.path.clone(), jobs })
    }

    /// Whether it runs this file.
    pub(crate) fn runs(&self, installed: &Installed) -> bool {
        self.path == installed.path
    }

    /// Puts a request into the queue. The job comes back where the thread has ended.
    ///
    /// # Errors
    /// The queue is full.
    pub(crate) fn submit(&self, job: Job) -> Result<Result<(), Box<Job>>, ProviderError> {
        match self.jobs.try_send(job) {
            Ok(()) => Ok(Ok(())),
            Err(TrySendError::Disconnected(job)) => Ok(Err(Box::new(job))),
            Err(TrySendError::Full(_)) => Err(ProviderError::new(
                ProviderErrorKind::Overloaded,
                NAME,
                format!("{QUEUE} requests wait for the model already; try again later"),
            )),
        }
    }
}

/// The thread: loads the model once, then answers one request after the other.
fn serve<A: Answers>(load: impl Fn() -> Result<A, EngineError>, queue: &Receiver<Job>) {
    let mut model = None;
    while let Ok(job) = queue.recv() {
        if job.cancel.is_cancelled() || job.out.is_closed() {
            continue;
        }
        // A defect ends its request. What it left of the model is not used again.
        let loaded = model.take();
        let answered = catch_unwind(AssertUnwindSafe(|| {
            let mut loaded = loaded.map_or_else(&load, Ok)?;
            let answered = loaded.answer(&job);
            Ok::<_, EngineError>((loaded, answered))
        }));
        match answered {
            Ok(Ok((loaded, answered))) => {
                // Nor is it where the model tells of the defect itself: llama.cpp's thread may be gone.
                model = Some(loaded).filter(|_| !matches!(answered, Err(EngineError::Internal(_))));
                answered.unwrap_or_else(|e| tell(&job, Err(e.into())));
            }
            Ok(Err(e)) => tell(&job, Err(e.into())),
            Err(panic) => tell(&job, Err(EngineError::Internal(words(&*panic)).into())),
        }
    }
}

/// What a panic said.
fn words(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("for no known reason").to_owned()
}

/// Hands a piece over. There is room for every piece of an answer; whoever hung up hears nothing.
pub(crate) fn tell(job: &Job, piece: Piece) {
    let _ = job.out.try_send(piece);
}

#[cfg(test)]
mod tests;
