//! What a workflow asks that runs within a chat or a call: put to the person at the terminal.

use inquire::{Confirm, InquireError, Select, Text};
use serde_json::{Value, json};
use tokio::sync::oneshot;
use victor::workflow::{Question, QuestionKind, Reply};

use crate::render::style::{Color, Style};
use crate::signal::{Ask, Signals};
use crate::terminal::{Terminal, harmless, harmless_line, note};

/// A question that waits for its answer.
pub(crate) struct Person {
    terminal: Terminal,
    question: Question,
    answer: oneshot::Sender<Reply>,
}

impl Person {
    pub(crate) fn new(terminal: Terminal, (question, answer): (Question, oneshot::Sender<Reply>)) -> Self {
        Self { terminal, question, answer }
    }

    /// Asks, and answers the workflow. Tells where the user wanted to stop the run, or to leave, instead.
    pub(crate) async fn put(self, signals: &mut Signals) -> Option<Ask> {
        let Self { terminal, question, mut answer } = self;
        let mark = terminal.paint_err.paint(Style::color(Color::Yellow), "?");
        let node = terminal.paint_err.bold(&harmless_line(&question.node));
        note(format!("{mark} {node}: {}", harmless(&question.prompt)));
        if let Some(details) = &question.details {
            note(format!("  {}", harmless(&details.to_string())));
        }
        let state = rustix::termios::tcgetattr(std::io::stdin());
        let mut asked = tokio::task::spawn_blocking(move || ask(&question));
        let said = tokio::select! {
            said = &mut asked => said,
            () = answer.closed() => {
                note("the time for an answer is up; press Enter to go on");
                tokio::select! {
                    said = asked => said,
                    () = signals.end() => return Some(restored(state)),
                }
            }
            () = signals.end() => return Some(restored(state)),
        };
        let (reply, stop) = match said {
            Ok(Ok(value)) => (Reply::Answer(value), None),
            Ok(Err(InquireError::OperationInterrupted)) => (Reply::Nobody, Some(Ask::Stop)),
            Ok(Err(_)) | Err(_) => (Reply::Nobody, None),
        };
        let _ = answer.send(reply);
        stop
    }
}

/// The question still reads the terminal and would leave it as it is now.
fn restored(state: rustix::io::Result<rustix::termios::Termios>) -> Ask {
    if let Ok(state) = state {
        let _ = rustix::termios::tcsetattr(std::io::stdin(), rustix::termios::OptionalActions::Now, &state);
    }
    Ask::End
}

fn ask(question: &Question) -> Result<Value, InquireError> {
    // What was typed before the question was there is no answer to it.
    let _ = rustix::termios::tcflush(std::io::stdin(), rustix::termios::QueueSelector::IFlush);
    match question.kind {
        QuestionKind::Approval | QuestionKind::Confirmation | QuestionKind::Permission => {
            Confirm::new("Yes or no?").prompt().map(|yes| json!(yes))
        }
        QuestionKind::Choice if !question.options.is_empty() => {
            let shown = question.options.iter().map(|o| harmless_line(o)).collect();
            let chosen = Select::new("Which one?", shown).raw_prompt()?;
            Ok(json!(question.options[chosen.index]))
        }
        QuestionKind::Choice | QuestionKind::Input => Text::new("Your answer:").prompt().map(|text| json!(text)),
    }
}
