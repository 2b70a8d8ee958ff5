//! The stdio transport: one JSON message a line, with an end to long lines and to lines that are none.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use rmcp::RoleClient;
use rmcp::model::ServerJsonRpcMessage;
use rmcp::service::{RxJsonRpcMessage, TxJsonRpcMessage};
use rmcp::transport::Transport;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};

/// Bytes of a line at most.
pub(super) const LONGEST: usize = 16 << 20;
/// Lines that are no message, until the server is given up.
const STRAY: u32 = 1_000;

/// Why the transport was given up, for whoever asks afterwards.
pub(super) type Verdict = Arc<Mutex<Option<String>>>;

/// Messages as lines.
pub(super) struct Lines<R, W> {
    read: BufReader<R>,
    write: Arc<tokio::sync::Mutex<Option<W>>>,
    /// What came of a line so far: a read may be given up in the middle.
    line: Vec<u8>,
    stray: u32,
    verdict: Verdict,
    server: String,
}

impl<R: AsyncRead + Unpin, W> Lines<R, W> {
    pub(super) fn new(server: &str, read: R, write: W, verdict: Verdict) -> Self {
        let write = Arc::new(tokio::sync::Mutex::new(Some(write)));
        let read = BufReader::with_capacity(64 << 10, read);
        Self { read, write, line: Vec::new(), stray: 0, verdict, server: server.to_owned() }
    }

    /// Reads on until a line is whole. Tells whether there is one.
    async fn fill(&mut self) -> bool {
        loop {
            let piece = match self.read.fill_buf().await {
                Ok([]) => return false,
                Ok(piece) => piece,
                Err(e) => return self.give_up(format!("its output cannot be read: {e}")),
            };
            let end = piece.iter().position(|b| *b == b'\n');
            let used = end.map_or(piece.len(), |at| at + 1);
            if self.line.len() + used > LONGEST {
                return self.give_up(format!("it sent a line of more than {} MiB", LONGEST >> 20));
            }
            self.line.extend_from_slice(&piece[..used]);
            self.read.consume(used);
            if end.is_some() {
                return true;
            }
        }
    }

    fn give_up(&mut self, why: String) -> bool {
        tracing::warn!(server = %self.server, "given up: {why}");
        self.line = Vec::new();
        *self.verdict.lock().unwrap_or_else(PoisonError::into_inner) = Some(why);
        false
    }

    /// A line that is no message: programs print banners.
    fn pass_over(&mut self) -> bool {
        self.stray += 1;
        if self.stray <= 20 {
            let text = String::from_utf8_lossy(&self.line);
            let shown: String = text.trim().chars().take(200).collect();
            tracing::info!(server = %self.server, "no message: {shown}");
        }
        if self.stray > STRAY {
            return self.give_up(format!("it sent more than {STRAY} lines that are no messages"));
        }
        true
    }
}

impl<R, W> Transport<RoleClient> for Lines<R, W>
where
    R: AsyncRead + Unpin + Send,
    W: AsyncWrite + Unpin + Send + 'static,
{
    type Error = io::Error;

    fn send(
        &mut self,
        item: TxJsonRpcMessage<RoleClient>,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send + 'static {
        let write = Arc::clone(&self.write);
        async move {
            let mut line = serde_json::to_vec(&item)?;
            line.push(b'\n');
            let mut write = write.lock().await;
            let open = write.as_mut().ok_or_else(|| io::Error::from(io::ErrorKind::NotConnected))?;
            open.write_all(&line).await?;
            open.flush().await
        }
    }

    async fn receive(&mut self) -> Option<RxJsonRpcMessage<RoleClient>> {
        loop {
            if !self.fill().await {
                return None;
            }
            let line = self.line.trim_ascii();
            let read = if line.is_empty() { None } else { Some(serde_json::from_slice::<ServerJsonRpcMessage>(line)) };
            let kept = match &read {
                Some(Err(_)) => self.pass_over(),
                Some(Ok(_)) | None => true,
            };
            self.line.clear();
            self.line.shrink_to(1 << 20);
            match read {
                Some(Ok(message)) => return Some(message),
                _ if !kept => return None,
                _ => {}
            }
        }
    }

    async fn close(&mut self) -> Result<(), Self::Error> {
        // A write that hangs keeps its end; the program is ended then.
        if let Ok(mut write) = self.write.try_lock() {
            drop(write.take());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn read(input: Vec<u8>) -> (usize, Option<String>) {
        let verdict = Verdict::default();
        let mut lines = Lines::new("x", io::Cursor::new(input), tokio::io::sink(), Arc::clone(&verdict));
        let mut count = 0;
        while lines.receive().await.is_some() {
            count += 1;
        }
        let why = verdict.lock().unwrap().clone();
        (count, why)
    }

    const PING: &[u8] = b"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"ping\"}\n";

    #[tokio::test]
    async fn banners_and_broken_lines_are_passed_over() {
        let input = [b"Starting up...\n\n\r\n{\"a\":\n[1,2\n\xff\xfe\n".as_slice(), PING, b"bye\n", PING].concat();
        assert_eq!(read(input).await, (2, None));
    }

    #[tokio::test]
    async fn a_line_without_end_and_endless_noise_are_given_up() {
        let (count, why) = read([PING, &vec![b'x'; LONGEST + 1]].concat()).await;
        assert!(count == 1 && why.unwrap().contains("16 MiB"));
        let (count, why) = read(b"noise\n".repeat(1_001)).await;
        assert!(count == 0 && why.unwrap().contains("no messages"));
    }

    #[tokio::test]
    async fn nesting_without_end_is_no_message() {
        let deep =
            [b"{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":".as_slice(), &b"[".repeat(200_000), b"\n", PING].concat();
        assert_eq!(read(deep).await, (1, None));
    }
}
