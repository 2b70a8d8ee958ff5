//! Questions of a workflow to a person: answered before, on the terminal, later, or by nobody.

use std::io;
use std::sync::{Mutex, PoisonError, mpsc as threads};

use async_trait::async_trait;
use serde_json::Value;
use tokio::sync::{mpsc, oneshot};
use victor::workflow::{Interviewer, Question, QuestionKind, Reply, accept};

use super::input::{is_for, typed};
use crate::render::style::{Color, Style};
use crate::terminal::{Terminal, harmless, harmless_line, note};

/// What happens to a question that was not answered before.
#[derive(Clone)]
pub(super) enum Otherwise {
    /// It is put to the person at the terminal.
    Ask(mpsc::Sender<Asked>),
    /// It is left open: the run waits.
    Later,
    /// Its fallback acts.
    Nobody,
}

/// A question on its way to the terminal.
pub(super) type Asked = (Question, oneshot::Sender<Reply>);

/// Answers questions with what was given before, and else as it was told.
pub(super) struct Desk {
    given: Mutex<Vec<(String, String)>>,
    otherwise: Otherwise,
}

impl Desk {
    /// With these answers to begin with.
    pub(super) fn new(given: Vec<(String, String)>, otherwise: Otherwise) -> Self {
        Self { given: Mutex::new(given), otherwise }
    }

    /// The same answers, and what is asked beside them is left open.
    pub(super) fn later(&self) -> Self {
        let mut given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        Self::new(std::mem::take(&mut given), Otherwise::Later)
    }

    /// The nodes of answers that nothing has asked for.
    pub(super) fn unused(&self) -> Vec<String> {
        let given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        given.iter().map(|(node, _)| node.clone()).collect()
    }

    /// The answer that was given before; it counts once.
    pub(super) fn before(&self, question: &Question) -> Option<Value> {
        let mut given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        let place = given.iter().position(|(node, _)| is_for(node, question))?;
        Some(typed(question, &given.remove(place).1))
    }
}

#[async_trait]
impl Interviewer for Desk {
    async fn ask(&self, question: &Question) -> Reply {
        if let Some(answer) = self.before(question) {
            return Reply::Answer(answer);
        }
        match &self.otherwise {
            Otherwise::Later => Reply::Later,
            Otherwise::Nobody => Reply::Nobody,
            Otherwise::Ask(questions) => {
                let (answer, answered) = oneshot::channel();
                if questions.send((question.clone(), answer)).await.is_err() {
                    return Reply::Nobody;
                }
                answered.await.unwrap_or(Reply::Nobody)
            }
        }
    }
}

/// Lines typed on the terminal. Only one is read at a time, and only when it is wanted: a line that came too late for
/// one question is not lost, it goes to whoever reads next.
pub(super) struct Typed {
    wanted: threads::Sender<()>,
    lines: mpsc::Receiver<Option<String>>,
    pending: bool,
}

impl Typed {
    pub(super) fn new() -> Self {
        let (wanted, wants) = threads::channel();
        let (sender, lines) = mpsc::channel(1);
        // Nobody can give up reading a terminal; nobody waits for this thread.
        std::thread::spawn(move || {
            while wants.recv().is_ok() {
                let mut line = String::new();
                let read = io::stdin().read_line(&mut line);
                let line = matches!(read, Ok(n) if n > 0).then_some(line);
                if sender.blocking_send(line).is_err() {
                    return;
                }
            }
        });
        Self { wanted, lines, pending: false }
    }

    /// The next line; `None` where the terminal gives no more.
    async fn line(&mut self) -> Option<String> {
        if !self.pending {
            self.wanted.send(()).ok()?;
            self.pending = true;
        }
        let line = self.lines.recv().await.flatten();
        self.pending = false;
        line
    }

    /// Puts a question until the answer fits it, its time is up, or nobody is there any more.
    pub(super) async fn put(&mut self, terminal: Terminal, (question, mut answer): Asked) {
        // What was typed before the question was there is no answer to it.
        let _ = rustix::termios::tcflush(io::stdin(), rustix::termios::QueueSelector::IFlush);
        show(terminal, &question);
        loop {
            let line = tokio::select! {
                line = self.line() => line,
                () = answer.closed() => {
                    note("the time for an answer is up");
                    return;
                }
            };
            let Some(line) = line else {
                let _ = answer.send(Reply::Nobody);
                return;
            };
            match accept(question.kind, &question.options, &typed(&question, &line)) {
                Ok(value) => {
                    let _ = answer.send(Reply::Answer(value));
                    return;
                }
                Err(e) => note(harmless(&e.message)),
            }
        }
    }
}

fn show(terminal: Terminal, question: &Question) {
    let paint = terminal.paint_err;
    let mark = paint.paint(Style::color(Color::Yellow), "?");
    let node = paint.bold(&harmless_line(&question.node));
    note(format!("{mark} {node}: {}", harmless(&question.prompt)));
    if let Some(details) = question.details.as_ref().filter(|_| question.kind != QuestionKind::Permission) {
        note(format!("  {}", harmless(&details.to_string())));
    }
    for (n, option) in question.options.iter().enumerate() {
        note(format!("  {}. {}", n + 1, harmless_line(option)));
    }
    note(match question.kind {
        QuestionKind::Approval | QuestionKind::Confirmation => "Answer yes or no:",
        QuestionKind::Choice => "Answer with a number or the text:",
        QuestionKind::Input => "Your answer:",
        QuestionKind::Permission => "Answer yes, session (the same again) or no:",
    });
}
