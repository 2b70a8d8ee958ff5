//! The task of `victor run`: what was typed, and what is piped in.

use std::io::{self, Read};
use std::thread;
use std::time::Duration;

use tokio::sync::mpsc;

use crate::exit::Failure;
use crate::terminal::{Terminal, note};

/// How long a pipe may stay silent beside a task.
const PATIENCE: Duration = Duration::from_secs(3);
/// Bytes that are taken from a pipe at most.
const LIMIT: usize = 4 * 1024 * 1024;

/// The task in full.
///
/// # Errors
/// There is none, or stdin cannot be read.
pub(crate) async fn task(typed: Option<String>, terminal: &Terminal) -> Result<String, Failure> {
    let task = match typed.as_deref() {
        Some("-") => everything().await?,
        None if terminal.stdin => return Err(Failure::usage("there is no task: `victor run \"TASK\"`, or pipe it in")),
        None => everything().await?,
        Some(typed) if terminal.stdin || typed.trim().is_empty() => typed.to_owned(),
        Some(typed) => match beside().await? {
            piped if piped.trim().is_empty() => typed.to_owned(),
            piped => format!("{typed}\n\n<stdin>\n{}\n</stdin>", piped.trim_end_matches('\n')),
        },
    };
    match task.trim() {
        "" => Err(Failure::usage("the task is empty")),
        _ => Ok(task),
    }
}

/// All of stdin, however long it takes.
pub(crate) async fn everything() -> Result<String, Failure> {
    collect(&mut chunks(), Vec::new()).await
}

/// All of stdin, unless nothing comes at all.
async fn beside() -> Result<String, Failure> {
    let mut chunks = chunks();
    match tokio::time::timeout(PATIENCE, chunks.recv()).await {
        Ok(Some(first)) => collect(&mut chunks, first.map_err(unreadable)?).await,
        Ok(None) => Ok(String::new()),
        Err(_) => {
            note(format!("nothing came on stdin within {} s; going on without it", PATIENCE.as_secs()));
            Ok(String::new())
        }
    }
}

async fn collect(chunks: &mut mpsc::Receiver<io::Result<Vec<u8>>>, mut bytes: Vec<u8>) -> Result<String, Failure> {
    while let Some(chunk) = chunks.recv().await {
        bytes.extend(chunk.map_err(unreadable)?);
        if bytes.len() > LIMIT {
            let message = format!("more than {LIMIT} bytes came on stdin; save it to a file in the workspace instead");
            return Err(Failure::usage(message));
        }
    }
    Ok(String::from_utf8(bytes).unwrap_or_else(|e| {
        note("warning: stdin is no UTF-8; what cannot be read is replaced");
        String::from_utf8_lossy(e.as_bytes()).into_owned()
    }))
}

/// stdin piece by piece, from a thread of its own: a read cannot be given up, and nobody waits for that thread.
fn chunks() -> mpsc::Receiver<io::Result<Vec<u8>>> {
    let (sender, chunks) = mpsc::channel(4);
    thread::spawn(move || {
        let mut stdin = io::stdin().lock();
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let chunk = match stdin.read(&mut buffer) {
                Ok(0) => return,
                Ok(n) => Ok(buffer[..n].to_vec()),
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => Err(e),
            };
            let failed = chunk.is_err();
            if sender.blocking_send(chunk).is_err() || failed {
                return;
            }
        }
    });
    chunks
}

fn unreadable(e: io::Error) -> Failure {
    Failure::failed(format!("stdin cannot be read: {e}"))
}
