//! The answer on stdout as it comes: rendered on a terminal, unchanged anywhere else.
//!
//! What a model says before it calls tools is no answer. In a pipe the first characters of a message are therefore held
//! back until they are too many for such a remark, or the message has ended.

use std::io::{self, Write};

use super::markdown::Markdown;
use super::style::Paint;

/// Bytes that a remark before a tool call has at most; longer texts count as a part of the answer.
const REMARK: usize = 200;

/// Where the answer goes.
pub(crate) struct Answer<W> {
    out: W,
    form: Form,
    /// Whether a message of this answer has been written, so that the next one stands apart.
    apart: bool,
}

enum Form {
    /// Markdown for a terminal of a width; `None` between messages.
    Rendered { width: fn() -> usize, paint: Paint, text: Option<Markdown> },
    /// As it is.
    Plain(Plain),
}

#[derive(Default)]
struct Plain {
    /// The beginning of this message, which is not written yet.
    held: String,
    /// What was written of this message.
    written: String,
    /// What came again after the model's call failed and was made anew.
    again: Option<String>,
}

impl<W: Write> Answer<W> {
    /// For a terminal.
    pub(crate) fn rendered(out: W, width: fn() -> usize, paint: Paint) -> Self {
        Self { out, form: Form::Rendered { width, paint, text: None }, apart: false }
    }

    /// For a pipe or a file.
    pub(crate) fn plain(out: W) -> Self {
        Self { out, form: Form::Plain(Plain::default()), apart: false }
    }

    /// More text.
    pub(crate) fn push(&mut self, delta: &str) -> io::Result<()> {
        match &mut self.form {
            Form::Rendered { width, paint, text } => {
                let text = text.get_or_insert_with(|| Markdown::new(width(), *paint));
                let lines = text.push(delta);
                self.lines(&lines)?;
            }
            Form::Plain(plain) => {
                let new = plain.new_text(delta);
                self.write(&new)?;
            }
        }
        self.out.flush()
    }

    /// A tool call follows: the message ends. Answers what of it was held back, as it is no part of the answer.
    pub(crate) fn remark(&mut self) -> io::Result<Option<String>> {
        if let Form::Plain(plain) = &mut self.form
            && plain.written.is_empty()
        {
            let remark = std::mem::take(plain).held;
            return Ok((!remark.trim().is_empty()).then_some(remark));
        }
        self.end().map(|()| None)
    }

    /// The model is called again: what came of this message is void. What stands in a pipe cannot be taken back, but
    /// is not written twice.
    pub(crate) fn again(&mut self) {
        match &mut self.form {
            Form::Rendered { text, .. } => *text = None,
            Form::Plain(plain) => {
                plain.held.clear();
                plain.again = (!plain.written.is_empty()).then(String::new);
            }
        }
    }

    /// Whether the text of a message has begun and not ended.
    pub(crate) fn is_open(&self) -> bool {
        match &self.form {
            Form::Rendered { text, .. } => text.is_some(),
            Form::Plain(plain) => !plain.written.is_empty() || !plain.held.is_empty(),
        }
    }

    /// The message ends; its last line too.
    pub(crate) fn end(&mut self) -> io::Result<()> {
        match &mut self.form {
            Form::Rendered { text, .. } => {
                let lines = text.take().map(Markdown::finish).unwrap_or_default();
                self.lines(&lines)?;
            }
            Form::Plain(plain) => {
                let plain = std::mem::take(plain);
                self.write(&plain.held)?;
                let all = plain.written + &plain.held;
                if all.is_empty() {
                    return Ok(());
                }
                if !all.ends_with('\n') {
                    self.out.write_all(b"\n")?;
                }
                self.apart = true;
            }
        }
        self.out.flush()
    }

    /// The whole answer ends; what comes next is another one.
    pub(crate) fn finish(&mut self) -> io::Result<()> {
        self.end()?;
        self.apart = false;
        Ok(())
    }

    fn write(&mut self, text: &str) -> io::Result<()> {
        if !text.is_empty() && self.apart {
            self.out.write_all(b"\n")?;
            self.apart = false;
        }
        self.out.write_all(text.as_bytes())
    }

    fn lines(&mut self, lines: &[String]) -> io::Result<()> {
        lines.iter().try_for_each(|line| writeln!(self.out, "{line}"))
    }
}

impl Plain {
    /// What of `delta` is to be written.
    fn new_text(&mut self, delta: &str) -> String {
        let Some(again) = &mut self.again else {
            self.held.push_str(delta);
            if self.written.is_empty() && self.held.len() <= REMARK {
                return String::new();
            }
            let new = std::mem::take(&mut self.held);
            self.written.push_str(&new);
            return new;
        };
        again.push_str(delta);
        if self.written.starts_with(again.as_str()) {
            return String::new();
        }
        let again = self.again.take().unwrap_or_default();
        let new = match again.strip_prefix(self.written.as_str()) {
            Some(rest) => rest.to_owned(),
            None => format!("\n{again}"),
        };
        self.written.push_str(&new);
        new
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(steps: impl FnOnce(&mut Answer<&mut Vec<u8>>)) -> String {
        let mut out = Vec::new();
        let mut answer = Answer::plain(&mut out);
        steps(&mut answer);
        drop(answer);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn plain_text_is_unchanged_and_ends_with_one_newline() {
        let text = written(|a| {
            a.push("# *a*\t\x1b[1m").unwrap();
            a.push("b").unwrap();
            a.end().unwrap();
            a.end().unwrap();
        });
        assert_eq!(text, "# *a*\t\x1b[1mb\n");
    }

    #[test]
    fn messages_stand_apart() {
        let text = written(|a| {
            a.push("one").unwrap();
            a.end().unwrap();
            a.push("two\n").unwrap();
            a.end().unwrap();
        });
        assert_eq!(text, "one\n\ntwo\n");
    }

    #[test]
    fn long_text_flows_and_is_not_written_twice_when_it_comes_again() {
        let long = "long ".repeat(60);
        let text = written(|a| {
            a.push(&long).unwrap();
            a.again();
            for piece in [&long[..7], &long[7..], "and new"] {
                a.push(piece).unwrap();
            }
            a.end().unwrap();
        });
        assert_eq!(text, format!("{long}and new\n"));
        let text = written(|a| {
            a.push(&long).unwrap();
            a.again();
            a.push("Good day").unwrap();
            a.end().unwrap();
        });
        assert_eq!(text, format!("{long}\nGood day\n"));
    }

    #[test]
    fn short_text_that_comes_again_is_written_once() {
        let text = written(|a| {
            a.push("Hel").unwrap();
            a.again();
            a.push("Good day").unwrap();
            a.end().unwrap();
        });
        assert_eq!(text, "Good day\n");
    }

    #[test]
    fn a_remark_before_a_tool_call_is_no_answer() {
        let mut remark = None;
        let text = written(|a| {
            a.push("I will look.").unwrap();
            remark = a.remark().unwrap();
            a.push("It is 42.").unwrap();
            a.end().unwrap();
        });
        assert_eq!((text.as_str(), remark.as_deref()), ("It is 42.\n", Some("I will look.")));
    }
}
