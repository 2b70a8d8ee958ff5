//! Where a chat's lines come from: an editor at the terminal, or a pipe.

use std::io::BufRead;

use tokio::sync::mpsc;
use victor::permission::Mode;
use victor::runtime::Runtime;

use super::complete::Completions;
use super::editor::Editor;
use crate::app::App;
use crate::exit::Failure;
use crate::signal::{Ask, Signals};

/// What was entered.
#[derive(Debug)]
pub(super) enum Line {
    /// A line, or several.
    Text(String),
    /// Ctrl-C.
    Interrupt,
    /// Ctrl-D, or the end of the pipe.
    End,
    /// A signal asks the program to end.
    Killed,
}

/// Whether Ctrl-C was pressed just before: pressed once more, it leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pressed {
    No,
    Once,
}

/// The source of lines.
pub(super) enum Input {
    Editor(Editor),
    Pipe(mpsc::Receiver<std::io::Result<String>>),
}

impl Input {
    /// The editor where it can be, else stdin as it is.
    pub(super) fn open(app: &App, runtime: &Runtime, no_save: bool) -> Self {
        if app.terminal.can_edit() {
            return Self::Editor(Editor::start(app, Completions::new(runtime), no_save));
        }
        Self::Pipe(pipe())
    }

    /// The next line.
    pub(super) async fn read(&mut self, mode: Mode, pressed: Pressed, signals: &mut Signals) -> Result<Line, Failure> {
        match self {
            Self::Editor(editor) => edited(editor, mode, pressed, signals).await,
            Self::Pipe(lines) => {
                tokio::select! {
                    line = whole_line(lines) => line,
                    _ = signals.next() => Ok(Line::Killed),
                }
            }
        }
    }
}

/// A line of the editor. Before that has the terminal, Ctrl-C is a signal and not a key: it counts all the same.
async fn edited(editor: &mut Editor, mode: Mode, mut pressed: Pressed, signals: &mut Signals) -> Result<Line, Failure> {
    let ended = {
        let mut line = std::pin::pin!(editor.read(mode));
        loop {
            tokio::select! {
                line = &mut line => return Ok(match (line?, pressed) {
                    (Line::Interrupt, Pressed::Once) => Line::End,
                    (line, _) => line,
                }),
                ask = signals.next() => match (ask, pressed) {
                    (Ask::End, _) => break Line::Killed,
                    (Ask::Stop, Pressed::Once) => break Line::End,
                    (Ask::Stop, Pressed::No) => pressed = Pressed::Once,
                },
            }
        }
    };
    editor.give_up();
    Ok(ended)
}

/// A line with those that follow it after a trailing backslash.
async fn whole_line(lines: &mut mpsc::Receiver<std::io::Result<String>>) -> Result<Line, Failure> {
    let mut text = String::new();
    while let Some(line) = lines.recv().await {
        let line = line.map_err(|e| Failure::failed(format!("stdin cannot be read: {e}")))?;
        match line.strip_suffix('\\') {
            Some(begun) => {
                text.push_str(begun);
                text.push('\n');
            }
            None => {
                text.push_str(&line);
                return Ok(Line::Text(text));
            }
        }
    }
    Ok(if text.is_empty() { Line::End } else { Line::Text(text) })
}

/// The lines of stdin, from a thread of its own: a read cannot be given up, and nobody waits for that thread.
fn pipe() -> mpsc::Receiver<std::io::Result<String>> {
    let (sender, lines) = mpsc::channel(16);
    std::thread::spawn(move || {
        let mut stdin = std::io::stdin().lock();
        loop {
            let mut bytes = Vec::new();
            let line = match stdin.read_until(b'\n', &mut bytes) {
                Ok(0) => return,
                Ok(_) => Ok(String::from_utf8_lossy(&bytes).trim_end_matches(['\n', '\r']).to_owned()),
                Err(e) => Err(e),
            };
            let failed = line.is_err();
            if sender.blocking_send(line).is_err() || failed {
                return;
            }
        }
    });
    lines
}
