//! `!command`: the user's own command in their own shell; its output is shown and added to the conversation.

use std::process::Stdio;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;
use victor::message::Block;

use super::{Flow, Talk};
use crate::exit::{Exit, Failure};
use crate::signal::Ask;
use crate::terminal::{bytes, note};

/// Bytes of the output that the model is shown; the beginning and the end.
const SHOWN: usize = 16 * 1024;

impl Talk<'_> {
    /// Runs a command and adds it to the conversation.
    pub(super) async fn shell(&mut self, command: &str) -> Result<Flow, Failure> {
        if command.is_empty() {
            return Err(Failure::usage("say which command to run: `!ls`"));
        }
        let shell = self.app.env.var("SHELL").unwrap_or("/bin/sh");
        let mut child = Command::new(shell)
            .arg("-c")
            .arg(command)
            .current_dir(&self.runtime.workspace().root)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .map_err(|e| Failure::failed(format!("`{shell}` cannot be started: {e}")))?;
        let mut output = Output::default();
        let (mut stdout, mut stderr) = (child.stdout.take(), child.stderr.take());
        let mut leave = false;
        while stdout.is_some() || stderr.is_some() {
            let piece = tokio::select! {
                piece = piece(&mut stdout) => piece,
                piece = piece(&mut stderr) => piece,
                // Ctrl-C reaches the command itself; another wish to end does not.
                ask = self.signals.next() => {
                    if ask == Ask::End {
                        leave = true;
                        break;
                    }
                    continue;
                }
            };
            output.add(&piece);
            bytes(&piece)?;
        }
        if leave {
            return Ok(Flow::Leave(Exit::Interrupted));
        }
        let status = child.wait().await.map_err(|e| Failure::failed(format!("the command was lost: {e}")))?;
        if !status.success() {
            note(format!("{status}"));
        }
        let said = format!("I ran `{command}` myself ({status}). Its output:\n```\n{}\n```", output.excerpt());
        self.chat.note(vec![Block::text(said)]).await?;
        Ok(Flow::Go)
    }
}

/// The next bytes of a stream; at its end the stream is gone.
async fn piece<R: AsyncRead + Unpin>(stream: &mut Option<R>) -> Vec<u8> {
    let Some(open) = stream else { return std::future::pending().await };
    let mut buffer = vec![0; 8 * 1024];
    match open.read(&mut buffer).await {
        Ok(n) if n > 0 => buffer.truncate(n),
        _ => {
            *stream = None;
            buffer.clear();
        }
    }
    buffer
}

/// What a command wrote: its beginning and its end.
#[derive(Default)]
struct Output {
    head: Vec<u8>,
    tail: Vec<u8>,
    left_out: usize,
}

impl Output {
    /// Keeps a piece.
    fn add(&mut self, piece: &[u8]) {
        let room = (SHOWN / 2).saturating_sub(self.head.len()).min(piece.len());
        self.head.extend_from_slice(&piece[..room]);
        self.tail.extend_from_slice(&piece[room..]);
        if self.tail.len() > SHOWN {
            let extra = self.tail.len() - SHOWN / 2;
            self.tail.drain(..extra);
            self.left_out += extra;
        }
    }

    fn excerpt(&self) -> String {
        let (head, tail) = (String::from_utf8_lossy(&self.head), String::from_utf8_lossy(&self.tail));
        let gap = match self.left_out {
            0 => String::new(),
            n => format!("\n[... {n} bytes left out ...]\n"),
        };
        format!("{head}{gap}{tail}").trim_end().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_output_keeps_its_beginning_and_its_end() {
        let mut output = Output::default();
        output.add(b"first\n");
        for _ in 0..100 {
            output.add(&[b'x'; 1000]);
        }
        output.add(b"last\n");
        let excerpt = output.excerpt();
        assert!(excerpt.starts_with("first\n") && excerpt.ends_with("last") && excerpt.contains("bytes left out"));
        assert!(excerpt.len() < 2 * SHOWN);
    }
}
