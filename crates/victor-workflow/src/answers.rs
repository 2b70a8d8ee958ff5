//! Answers to a run that come from elsewhere in its process: each is acknowledged once its record is kept.

use serde_json::Value;
use tokio::sync::{mpsc, oneshot};
use victor_core::question::Reply;

use crate::machine::Machine;
use crate::node::Answered;
use crate::record::Record;
use crate::runner::Input;

/// An answer from outside of the run.
pub(crate) struct Answer {
    /// The question's id.
    pub(crate) question: String,
    /// What was said.
    pub(crate) value: Value,
    /// Told whether it counts. Dropped where the run ends before that is known.
    pub(crate) taken: oneshot::Sender<Taken>,
}

/// What has become of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// It counts, and is kept.
    Yes,
    /// The question was not open any more.
    Late,
}

/// The answers to one run.
pub(crate) struct Answers {
    incoming: mpsc::Receiver<Answer>,
    open: bool,
    under_way: Vec<UnderWay>,
}

/// An answer that the machine has got.
struct UnderWay {
    question: String,
    taken: oneshot::Sender<Taken>,
    /// The place of the record that says what it came to.
    record: Option<(u64, Taken)>,
}

impl Answers {
    pub(crate) fn new(incoming: mpsc::Receiver<Answer>) -> Self {
        Self { incoming, open: true, under_way: Vec::new() }
    }

    /// Waits for the next one.
    pub(crate) async fn next(&mut self) -> Answer {
        if self.open {
            match self.incoming.recv().await {
                Some(answer) => return answer,
                None => self.open = false,
            }
        }
        std::future::pending().await
    }

    /// The next one, if it is there.
    pub(crate) fn ready(&mut self) -> Option<Answer> {
        self.incoming.try_recv().ok()
    }

    /// Gives an answer to the machine, if its question is still open.
    pub(crate) fn take(&mut self, answer: Answer, machine: &Machine) -> Option<Input> {
        let Answer { question, value, taken } = answer;
        let Some((task, _)) = machine.questions().find(|(_, open)| open.id == question) else {
            // Whoever does not listen any more need not know.
            let _ = taken.send(Taken::Late);
            return None;
        };
        self.under_way.push(UnderWay { question, taken, record: None });
        Some(Input::Reply { task, reply: Reply::Answer(value) })
    }

    /// A record that will be kept at this place.
    pub(crate) fn recorded(&mut self, record: &Record, place: u64) {
        let Record::Answered { question, answer, .. } = record else { return };
        let taken = if matches!(answer, Answered::Person { .. }) { Taken::Yes } else { Taken::Late };
        for answer in self.under_way.iter_mut().filter(|a| a.record.is_none() && a.question == *question) {
            answer.record = Some((place, taken));
        }
    }

    /// All records up to this place are kept.
    pub(crate) fn kept(&mut self, to: u64) {
        for answer in self.under_way.extract_if(.., |a| a.record.is_some_and(|(place, _)| place <= to)) {
            if let Some((_, taken)) = answer.record {
                let _ = answer.taken.send(taken);
            }
        }
    }
}
