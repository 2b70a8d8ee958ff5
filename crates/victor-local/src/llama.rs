//! llama.cpp as the arithmetic. Model and context live on a thread of their own, as one borrows the other.

use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use llama_cpp_2::LlamaCppError;
use llama_cpp_2::context::LlamaContext;
use llama_cpp_2::context::params::LlamaContextParams;
use llama_cpp_2::llama_backend::LlamaBackend;
use llama_cpp_2::llama_batch::LlamaBatch;
use llama_cpp_2::model::LlamaModel;
use llama_cpp_2::model::params::LlamaModelParams;
use llama_cpp_2::token::LlamaToken;

use crate::error::EngineError;
use crate::scorer::Scorer;

/// Tokens that are read in one go; a cancelled request ends between two of these.
const BATCH: usize = 256;

/// The one conversation that it has read, and the way to its thread, which ends when this is dropped.
pub(crate) struct Llama {
    known: Vec<u32>,
    tasks: SyncSender<Task>,
    scores: Receiver<Result<Vec<f32>, EngineError>>,
    latest: Vec<f32>,
}

/// Tokens to read behind the first `from` ones; what was behind those before is forgotten.
struct Task {
    from: usize,
    tokens: Vec<u32>,
}

impl Llama {
    /// Loads a model for conversations of up to `window` tokens.
    ///
    /// # Errors
    /// llama.cpp cannot load it.
    pub(crate) fn load(path: &Path, window: usize, threads: usize) -> Result<Self, EngineError> {
        let ((tasks, to_do), (done, scores)) = (sync_channel(1), sync_channel(1));
        let path = path.to_owned();
        let thread = std::thread::Builder::new().name("llama.cpp".to_owned());
        let work = move || {
            if let Err(e) = serve(&path, (window, threads), &to_do, &done) {
                // Nobody waits where the model is being dropped.
                let _ = done.send(Err(e));
            }
        };
        thread.spawn(work).map_err(internal)?;
        let mut llama = Self { known: Vec::new(), tasks, scores, latest: Vec::new() };
        // Its first word is that it is loaded.
        llama.wait()?;
        Ok(llama)
    }

    fn wait(&mut self) -> Result<(), EngineError> {
        let ended = |_| EngineError::Internal("llama.cpp's thread has ended".to_owned());
        self.latest = self.scores.recv().map_err(ended)??;
        Ok(())
    }

    fn batch(&mut self, tokens: &[u32]) -> Result<(), EngineError> {
        let task = Task { from: self.known.len(), tokens: tokens.to_vec() };
        self.tasks.send(task).map_err(|_| EngineError::Internal("llama.cpp's thread has ended".to_owned()))?;
        match self.wait() {
            Ok(()) => {
                self.known.extend(tokens);
                Ok(())
            }
            Err(e) => {
                // Nobody knows how far it came.
                self.known.clear();
                Err(e)
            }
        }
    }
}

impl Scorer for Llama {
    fn begin(&mut self, prompt: &[u32]) -> usize {
        let most = prompt.len().saturating_sub(1);
        let common = self.known.iter().zip(prompt).take_while(|(a, b)| a == b).count().min(most);
        self.known.truncate(common);
        common
    }

    fn read(&mut self, tokens: &[u32], go_on: &mut dyn FnMut() -> bool) -> Result<Option<&mut [f32]>, EngineError> {
        for batch in tokens.chunks(BATCH) {
            if !go_on() {
                return Ok(None);
            }
            self.batch(batch)?;
        }
        Ok(Some(&mut self.latest))
    }

    fn end(&mut self) {}
}

/// The thread: says once that the model is loaded, then gives the scores after the last token of each task.
fn serve(
    path: &PathBuf,
    (window, threads): (usize, usize),
    tasks: &Receiver<Task>,
    done: &SyncSender<Result<Vec<f32>, EngineError>>,
) -> Result<(), EngineError> {
    let backend = backend()?;
    let unusable = |e: &dyn std::fmt::Display| EngineError::Model(format!("{}: llama.cpp: {e}", path.display()));
    // Read whole: a file that changes while it is mapped ends the process.
    let params = LlamaModelParams::default().with_use_mmap(false);
    let model = LlamaModel::load_from_file(backend, path, &params);
    let model = model.map_err(|e| unusable(&e))?;
    let (window, batch) = (u32::try_from(window).map_err(internal)?, u32::try_from(BATCH).map_err(internal)?);
    let threads = i32::try_from(threads).map_err(internal)?;
    let params = LlamaContextParams::default()
        .with_n_ctx(std::num::NonZeroU32::new(window))
        .with_n_batch(batch)
        .with_n_threads(threads)
        .with_n_threads_batch(threads);
    let mut context = model.new_context(backend, params).map_err(|e| unusable(&e))?;
    let mut room = LlamaBatch::new(BATCH, 1);
    if done.send(Ok(Vec::new())).is_err() {
        return Ok(());
    }
    while let Ok(task) = tasks.recv() {
        if done.send(scores(&mut context, &mut room, &task)).is_err() {
            break;
        }
    }
    Ok(())
}

fn scores(context: &mut LlamaContext<'_>, room: &mut LlamaBatch<'_>, task: &Task) -> Result<Vec<f32>, EngineError> {
    let from = u32::try_from(task.from).map_err(internal)?;
    context.kv_cache_seq_rm(0, Some(from), None).map_err(internal)?;
    room.clear();
    let last = task.tokens.len().saturating_sub(1);
    for (i, token) in task.tokens.iter().enumerate() {
        let (token, place) =
            (i32::try_from(*token).map_err(internal)?, i32::try_from(task.from + i).map_err(internal)?);
        room.add(LlamaToken::new(token), place, &[0], i == last).map_err(internal)?;
    }
    context.decode(room).map_err(internal)?;
    Ok(context.get_logits_ith(i32::try_from(last).map_err(internal)?).to_vec())
}

/// llama.cpp is made ready once a process, and told to be silent.
fn backend() -> Result<&'static LlamaBackend, EngineError> {
    static BACKEND: OnceLock<Result<LlamaBackend, LlamaCppError>> = OnceLock::new();
    let made = BACKEND.get_or_init(|| {
        let mut backend = LlamaBackend::init()?;
        backend.void_logs();
        Ok(backend)
    });
    made.as_ref().map_err(internal)
}

fn internal(e: impl std::fmt::Display) -> EngineError {
    EngineError::Internal(format!("llama.cpp: {e}"))
}
