//! Waiting, and what a defect of the model costs.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};

use tokio::sync::mpsc;
use victor_core::error::ProviderErrorKind;
use victor_core::request::{Params, ToolChoice};

use super::*;

/// A model that says when it begins, and waits for a word to go on.
struct Slow {
    begins: Sender<String>,
    go_on: Receiver<()>,
}

impl Answers for Slow {
    fn answer(&mut self, job: &Job) -> Result<(), EngineError> {
        let _ = self.begins.send(job.request.system.to_string());
        assert!(self.go_on.recv().is_ok(), "it fell over");
        tell(job, Ok(Chunk::Start { id: None, model: None }));
        Ok(())
    }
}

fn job(name: &str) -> (Job, mpsc::Receiver<Piece>) {
    let (out, pieces) = mpsc::channel(4);
    let request = Request {
        model: "m".into(),
        system: name.into(),
        messages: Arc::default(),
        tools: Vec::new().into(),
        tool_choice: ToolChoice::Auto,
        params: Params::default(),
        output_schema: None,
    };
    let (tuning, cancel) = (Tuning::default(), CancellationToken::new());
    (Job { request, sampling: None, tuning, window: 64, max_output: 8, out, cancel }, pieces)
}

fn submit(engine: &Engine, name: &str) -> Result<mpsc::Receiver<Piece>, ProviderError> {
    let (job, pieces) = job(name);
    assert!(engine.submit(job)?.is_ok(), "its thread has ended");
    Ok(pieces)
}

/// An engine whose models are these, one a load.
fn engine(models: Vec<Slow>) -> Engine {
    let models = std::sync::Mutex::new(models.into_iter());
    let load = move || models.lock().unwrap().next().ok_or_else(|| EngineError::Model("no more".to_owned()));
    Engine::with(&Installed::new("m", "m.gguf"), load).unwrap()
}

fn slow() -> (Slow, Receiver<String>, Sender<()>) {
    let ((begins, begun), (more, go_on)) = (channel(), channel());
    (Slow { begins, go_on }, begun, more)
}

#[test]
fn sixteen_wait_and_the_next_is_told_to_come_back() {
    let (model, begun, more) = slow();
    let engine = engine(vec![model]);
    let mut first = submit(&engine, "first").unwrap();
    assert_eq!(begun.recv().unwrap(), "first");
    let mut waiting: Vec<_> = (0..QUEUE).map(|i| submit(&engine, &i.to_string()).unwrap()).collect();
    let error = submit(&engine, "one too many").unwrap_err();
    assert_eq!(error.kind, ProviderErrorKind::Overloaded);
    assert!(error.is_retryable() && error.message.contains("16 requests wait"), "{error}");
    for _ in 0..=QUEUE {
        more.send(()).unwrap();
    }
    assert!(first.blocking_recv().unwrap().is_ok());
    assert!(waiting.iter_mut().all(|pieces| pieces.blocking_recv().unwrap().is_ok()));
    assert_eq!(begun.iter().take(QUEUE).collect::<Vec<_>>(), (0..QUEUE).map(|i| i.to_string()).collect::<Vec<_>>());
}

#[test]
fn who_has_hung_up_is_not_answered() {
    let (model, begun, more) = slow();
    let engine = engine(vec![model]);
    let mut first = submit(&engine, "first").unwrap();
    assert_eq!(begun.recv().unwrap(), "first");
    drop(submit(&engine, "gone").unwrap());
    let (cancelled, mut never) = job("cancelled");
    cancelled.cancel.cancel();
    assert!(engine.submit(cancelled).unwrap().is_ok());
    let mut last = submit(&engine, "last").unwrap();
    more.send(()).unwrap();
    more.send(()).unwrap();
    assert!(first.blocking_recv().unwrap().is_ok() && last.blocking_recv().unwrap().is_ok());
    assert_eq!(begun.recv().unwrap(), "last");
    assert!(never.blocking_recv().is_none());
}

#[test]
fn a_defect_ends_its_request_and_the_next_one_has_a_fresh_model() {
    let ((broken, begun, more), (sound, begun_anew, go_on)) = (slow(), slow());
    let engine = engine(vec![broken, sound]);
    let mut first = submit(&engine, "first").unwrap();
    assert_eq!(begun.recv().unwrap(), "first");
    let mut second = submit(&engine, "second").unwrap();
    drop(more);
    let error = first.blocking_recv().unwrap().unwrap_err();
    assert_eq!(error.kind, ProviderErrorKind::Server);
    assert!(error.message.contains("the engine failed: it fell over"), "{error}");
    go_on.send(()).unwrap();
    assert_eq!(begun_anew.recv().unwrap(), "second");
    assert!(second.blocking_recv().unwrap().is_ok());
}

/// A model that tells of a defect of its own.
struct Broken;

impl Answers for Broken {
    fn answer(&mut self, _: &Job) -> Result<(), EngineError> {
        Err(EngineError::Internal("its thread has ended".to_owned()))
    }
}

#[test]
fn a_model_that_tells_of_a_defect_is_loaded_anew() {
    let loads = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&loads);
    let load = move || {
        counted.fetch_add(1, Ordering::SeqCst);
        Ok(Broken)
    };
    let engine = Engine::with(&Installed::new("m", "m.gguf"), load).unwrap();
    for count in 1..=2 {
        let error = submit(&engine, "any").unwrap().blocking_recv().unwrap().unwrap_err();
        assert_eq!((error.kind, loads.load(Ordering::SeqCst)), (ProviderErrorKind::Server, count));
    }
}
