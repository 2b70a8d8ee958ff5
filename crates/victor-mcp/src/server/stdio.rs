//! Messages as lines: bounded, and read so that nothing a client writes ends the connection but its end.

use std::collections::HashSet;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use rmcp::RoleServer;
use rmcp::model::{
    ClientJsonRpcMessage, ClientNotification, ClientRequest, ErrorCode, GetMeta, JsonRpcMessage, ProtocolVersion,
    RequestId, ServerJsonRpcMessage,
};
use rmcp::transport::Transport;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Requests that are not answered yet at most; further ones are refused.
const OPEN: usize = 1024;
/// Messages that wait to be written.
const WAITING: usize = 64;
/// Bytes that are read at once.
const BUFFER: usize = 64 << 10;

/// A client behind a pair of pipes.
pub(crate) struct Lines<R> {
    read: BufReader<R>,
    line: Vec<u8>,
    /// Whether the rest of a line that is too long is passed over.
    skipping: bool,
    most: usize,
    out: mpsc::Sender<Bytes>,
    /// What is to be said of a line that was no message.
    reply: Option<Bytes>,
    open: Arc<Mutex<HashSet<RequestId>>>,
    /// Whether the protocol has begun; before that nothing but requests counts.
    begun: bool,
    gone: CancellationToken,
}

/// What is to be written, in order.
pub(crate) struct Outbox(mpsc::Receiver<Bytes>);

impl<R: AsyncRead + Unpin + Send> Lines<R> {
    /// Reads messages of at most `most` bytes. `gone` is cancelled when the client has closed its end.
    pub(crate) fn new(read: R, most: usize, gone: CancellationToken) -> (Self, Outbox) {
        let (out, inbox) = mpsc::channel(WAITING);
        let lines = Self {
            read: BufReader::with_capacity(BUFFER, read),
            line: Vec::new(),
            skipping: false,
            most,
            out,
            reply: None,
            open: Arc::default(),
            begun: false,
            gone,
        };
        (lines, Outbox(inbox))
    }

    /// The next line, or that one was too long; `None` at the end. Can be dropped and called again.
    async fn line(&mut self) -> io::Result<Option<Line>> {
        loop {
            let piece = self.read.fill_buf().await?;
            if piece.is_empty() {
                // A last line without its end is taken too.
                let whole = !self.line.is_empty() && !std::mem::take(&mut self.skipping);
                return Ok(whole.then_some(Line::Whole));
            }
            let end = piece.iter().position(|b| *b == b'\n');
            let taken = end.map_or(piece.len(), |at| at + 1);
            let fits = !self.skipping && self.line.len() + taken <= self.most;
            if fits {
                self.line.extend_from_slice(&piece[..taken]);
            }
            self.read.consume(taken);
            let was_skipping = std::mem::replace(&mut self.skipping, !fits && end.is_none());
            if !fits {
                self.line = Vec::new();
            }
            match (fits, was_skipping, end) {
                (true, _, Some(_)) => return Ok(Some(Line::Whole)),
                (false, false, _) => return Ok(Some(Line::TooLong)),
                _ => {}
            }
        }
    }

    /// What a line says: a message for the service, or a reply for whoever wrote it.
    fn read(&mut self) -> Option<ClientJsonRpcMessage> {
        let line = std::mem::take(&mut self.line);
        let text = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(&line).trim_ascii();
        if text.is_empty() {
            return None;
        }
        match serde_json::from_slice::<ClientJsonRpcMessage>(text) {
            Ok(message) => self.admit(message),
            Err(error) => {
                self.reply = Some(fault(text, &error));
                None
            }
        }
    }

    fn admit(&mut self, message: ClientJsonRpcMessage) -> Option<ClientJsonRpcMessage> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let JsonRpcMessage::Request(request) = &message else {
            // A request that was cancelled gets no answer.
            if let Some(id) = cancelled(&message) {
                open.remove(id);
            }
            return self.begun.then_some(message);
        };
        self.begun = self.begun || begins(&request.request);
        let why = match open.len() < OPEN {
            true if open.insert(request.id.clone()) => return Some(message),
            true => "a request of this id is not answered yet",
            false => "too many requests at once; wait for answers",
        };
        self.reply = Some(error(Some(&request.id), ErrorCode::INVALID_REQUEST, why));
        None
    }
}

enum Line {
    Whole,
    TooLong,
}

fn cancelled(message: &ClientJsonRpcMessage) -> Option<&RequestId> {
    let JsonRpcMessage::Notification(said) = message else { return None };
    let ClientNotification::CancelledNotification(cancelled) = &said.notification else { return None };
    cancelled.params.request_id.as_ref()
}

/// Whether the protocol begins with this request.
pub(crate) fn begins(request: &ClientRequest) -> bool {
    match request {
        ClientRequest::InitializeRequest(_) => true,
        ClientRequest::DiscoverRequest(_) => false,
        other => {
            let meta = other.get_meta();
            let known = |v: ProtocolVersion| ProtocolVersion::KNOWN_VERSIONS.contains(&v);
            meta.protocol_version().is_some_and(known)
                && meta.missing_required_keys(&ProtocolVersion::V_2026_07_28).is_empty()
        }
    }
}

impl<R: AsyncRead + Unpin + Send + 'static> Transport<RoleServer> for Lines<R> {
    type Error = io::Error;

    fn send(&mut self, item: ServerJsonRpcMessage) -> impl Future<Output = io::Result<()>> + Send + 'static {
        let (out, open) = (self.out.clone(), Arc::clone(&self.open));
        let answered = match &item {
            JsonRpcMessage::Response(answer) => Some(answer.id.clone()),
            JsonRpcMessage::Error(error) => error.id.clone(),
            _ => None,
        };
        async move {
            let mut bytes = serde_json::to_vec(&item)?;
            bytes.push(b'\n');
            let sent = out.send(bytes.into()).await;
            if let Some(id) = answered {
                open.lock().unwrap_or_else(PoisonError::into_inner).remove(&id);
            }
            sent.map_err(|_| io::ErrorKind::BrokenPipe.into())
        }
    }

    async fn receive(&mut self) -> Option<ClientJsonRpcMessage> {
        loop {
            if self.reply.is_some() {
                let room = self.out.reserve().await.ok()?;
                if let Some(reply) = self.reply.take() {
                    room.send(reply);
                }
            }
            match self.line().await {
                Ok(Some(Line::Whole)) => {
                    if let Some(message) = self.read() {
                        return Some(message);
                    }
                }
                Ok(Some(Line::TooLong)) => {
                    let why = format!("a message has more than {} bytes", self.most);
                    self.reply = Some(error(None, ErrorCode::INVALID_REQUEST, &why));
                }
                Ok(None) => break,
                Err(e) => {
                    tracing::warn!(error = %e, "the client's messages cannot be read any more");
                    break;
                }
            }
        }
        self.gone.cancel();
        None
    }

    async fn close(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Outbox {
    /// Writes all that comes until nobody can send any more.
    ///
    /// # Errors
    /// The client reads no longer.
    pub(crate) async fn write_to(mut self, mut write: impl AsyncWrite + Unpin) -> io::Result<()> {
        while let Some(bytes) = self.0.recv().await {
            write.write_all(&bytes).await?;
            while let Ok(more) = self.0.try_recv() {
                write.write_all(&more).await?;
            }
            write.flush().await?;
        }
        Ok(())
    }
}

/// What is wrong with a line that is no message.
fn fault(text: &[u8], why: &serde_json::Error) -> Bytes {
    let Ok(value) = serde_json::from_slice::<Value>(text) else {
        return error(None, ErrorCode::PARSE_ERROR, &format!("this is no JSON: {why}"));
    };
    let Value::Object(message) = value else {
        return error(None, ErrorCode::INVALID_REQUEST, "a message is a JSON object; batches are not taken");
    };
    let id = message.get("id").and_then(|id| serde_json::from_value::<RequestId>(id.clone()).ok());
    if message.get("jsonrpc").and_then(Value::as_str) != Some("2.0") {
        return error(id.as_ref(), ErrorCode::INVALID_REQUEST, "a message says `\"jsonrpc\": \"2.0\"`");
    }
    if message.contains_key("id") && id.is_none() {
        return error(None, ErrorCode::INVALID_REQUEST, "an id is a string or a whole number");
    }
    match message.get("method").and_then(Value::as_str) {
        Some(method) if id.is_some() => {
            let why = format!("the parameters do not fit the method `{method}`");
            error(id.as_ref(), ErrorCode::INVALID_PARAMS, &why)
        }
        _ => error(id.as_ref(), ErrorCode::INVALID_REQUEST, "this is neither a request, an answer nor a notification"),
    }
}

fn error(id: Option<&RequestId>, code: ErrorCode, message: &str) -> Bytes {
    let id = id.map_or(Value::Null, |id| id.clone().into_json_value());
    let error = json!({"jsonrpc": "2.0", "id": id, "error": {"code": code.0, "message": message}});
    format!("{error}\n").into()
}
