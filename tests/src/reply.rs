//! What the scripted server answers, neutral between wires.

use serde_json::Value;

/// One scripted answer.
#[derive(Clone, Debug)]
pub struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Body,
    pub(crate) cut: Option<usize>,
    pub(crate) ending: Ending,
    pub(crate) hold: bool,
}

#[derive(Clone, Debug)]
pub(crate) enum Body {
    Answer(Answer),
    Raw { content_type: String, bytes: Vec<u8> },
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Answer {
    pub(crate) thinking: Option<String>,
    pub(crate) text: Option<String>,
    pub(crate) calls: Vec<(String, Value)>,
    pub(crate) stop: Option<String>,
    pub(crate) usage: Option<(u64, u64)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    Whole,
    StallAfter(usize),
    CloseAfter(usize),
}

impl Reply {
    /// An answer of one text.
    pub fn text(text: impl Into<String>) -> Self {
        Self::answer(Answer { text: Some(text.into()), ..Answer::default() })
    }

    /// An answer that asks for one tool.
    pub fn call(name: impl Into<String>, arguments: Value) -> Self {
        Self::calls([(name.into(), arguments)])
    }

    /// An answer that asks for several tools at once.
    pub fn calls<N: Into<String>>(calls: impl IntoIterator<Item = (N, Value)>) -> Self {
        let calls = calls.into_iter().map(|(name, arguments)| (name.into(), arguments)).collect();
        Self::answer(Answer { calls, ..Answer::default() })
    }

    /// An HTTP error, or any other status, with this body (`application/json`).
    pub fn status(status: u16, body: impl Into<String>) -> Self {
        Self { status, ..Self::raw("application/json", body.into().into_bytes()) }
    }

    /// Exactly these bytes with status 200.
    pub fn raw(content_type: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Self {
        Self {
            status: 200,
            headers: Vec::new(),
            body: Body::Raw { content_type: content_type.into(), bytes: bytes.into() },
            cut: None,
            ending: Ending::Whole,
            hold: false,
        }
    }

    /// Exactly these bytes with status 200 as `text/event-stream`.
    pub fn sse(bytes: impl Into<Vec<u8>>) -> Self {
        Self::raw("text/event-stream", bytes)
    }

    fn answer(answer: Answer) -> Self {
        Self { body: Body::Answer(answer), ..Self::raw("", Vec::new()) }
    }

    /// Puts text before the tool calls.
    #[must_use]
    pub fn and_text(self, text: impl Into<String>) -> Self {
        self.change(|a| a.text = Some(text.into()))
    }

    /// Puts a thought before the answer.
    #[must_use]
    pub fn thinking(self, text: impl Into<String>) -> Self {
        self.change(|a| a.thinking = Some(text.into()))
    }

    /// Ends the answer with this reason, in the wire's own word (`length`, `max_tokens`, `refusal`).
    #[must_use]
    pub fn stop(self, reason: impl Into<String>) -> Self {
        self.change(|a| a.stop = Some(reason.into()))
    }

    /// Reports these tokens of prompt and answer; without it 10 and 5.
    #[must_use]
    pub fn usage(self, input: u64, output: u64) -> Self {
        self.change(|a| a.usage = Some((input, output)))
    }

    /// Adds a header to the answer.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Sends the body in pieces of `bytes` bytes, also through the middle of characters and lines.
    #[must_use]
    pub fn cut(mut self, bytes: usize) -> Self {
        self.cut = Some(bytes.max(1));
        self
    }

    /// Sends `bytes` bytes of the body, then nothing more until the client goes.
    #[must_use]
    pub fn stall_after(mut self, bytes: usize) -> Self {
        self.ending = Ending::StallAfter(bytes);
        self
    }

    /// Sends `bytes` bytes of the body, then cuts the connection.
    #[must_use]
    pub fn close_after(mut self, bytes: usize) -> Self {
        self.ending = Ending::CloseAfter(bytes);
        self
    }

    /// Sends nothing before [`ModelServer::release`](crate::ModelServer::release) is called.
    #[must_use]
    pub fn hold(mut self) -> Self {
        self.hold = true;
        self
    }

    fn change(mut self, f: impl FnOnce(&mut Answer)) -> Self {
        if let Body::Answer(answer) = &mut self.body {
            f(answer);
        }
        self
    }
}

/// The text in pieces of a few characters, as models stream it.
pub(crate) fn pieces(text: &str) -> Vec<String> {
    let chars: Vec<char> = text.chars().collect();
    chars.chunks(7).map(|c| c.iter().collect()).collect()
}
