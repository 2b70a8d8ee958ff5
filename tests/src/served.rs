//! `victor serve` as a child process, and requests to it over plain sockets.
#![expect(clippy::expect_used, reason = "test equipment: what it cannot set up ends the test")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use serde_json::Value;

/// A running server; it is killed when dropped.
pub struct Served {
    child: Child,
    address: SocketAddr,
    /// What it said on stderr before it served.
    pub announced: String,
    err: BufReader<std::process::ChildStderr>,
}

/// What a request was answered.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The head, as it came.
    pub head: String,
    /// The body, without its transfer coding.
    pub body: String,
}

impl Answer {
    /// The body as JSON.
    ///
    /// # Panics
    /// It is none.
    #[must_use]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).expect("a body of JSON")
    }
}

impl Served {
    /// Starts the server and waits until it says where it serves.
    ///
    /// # Panics
    /// It ends before that.
    #[must_use]
    pub fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("a server");
        let mut err = BufReader::new(child.stderr.take().expect("its stderr"));
        let mut announced = String::new();
        while !announced.contains(" on http") {
            assert!(err.read_line(&mut announced).expect("its stderr") > 0, "the server ended: {announced}");
        }
        let address = announced.split("://").nth(1).and_then(|rest| rest.split('/').next()).expect("an address");
        Self { address: address.parse().expect("an address"), child, announced, err }
    }

    /// Its address.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its address as a URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Its process.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Kills it as a crash would.
    ///
    /// # Panics
    /// It cannot be killed.
    pub fn kill(&mut self) {
        self.child.kill().expect("a kill");
        self.child.wait().expect("an end");
    }

    /// Waits until it says `word` on stderr; gives what it said up to there.
    ///
    /// # Panics
    /// It ends before that.
    pub fn says(&mut self, word: &str) -> String {
        let mut said = String::new();
        while !said.contains(word) {
            assert!(self.err.read_line(&mut said).expect("its stderr") > 0, "the server ended: {said}");
        }
        said
    }

    /// Waits for its end; gives the rest of its stderr too.
    ///
    /// # Panics
    /// It cannot be waited for.
    pub fn end(&mut self) -> (ExitStatus, String) {
        let status = self.child.wait().expect("an end");
        let mut rest = String::new();
        self.err.read_to_string(&mut rest).expect("its stderr");
        (status, rest)
    }

    /// Sends a request with a JSON body and begins to read the answer.
    ///
    /// # Panics
    /// It cannot be sent.
    #[must_use]
    pub fn open(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> BufReader<TcpStream> {
        let mut stream = TcpStream::connect(self.address).expect("a connection");
        stream.set_read_timeout(Some(Duration::from_mins(1))).expect("a time-out");
        let more: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\ncontent-length: {}\r\n{more}\r\n",
            self.address,
            body.len()
        );
        stream.write_all(head.as_bytes()).expect("a request");
        stream.write_all(body.as_bytes()).expect("a request");
        BufReader::new(stream)
    }

    /// Sends a request and reads the answer to its end.
    ///
    /// # Panics
    /// There is none.
    #[must_use]
    pub fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        let mut text = Vec::new();
        self.open(method, path, headers, body).read_to_end(&mut text).expect("an answer");
        let text = String::from_utf8_lossy(&text).into_owned();
        let (head, rest) = text.split_once("\r\n\r\n").expect("a head");
        let status = head.split(' ').nth(1).and_then(|s| s.parse().ok()).expect("a status");
        let chunked = head.to_lowercase().contains("transfer-encoding: chunked");
        let body = if chunked { unchunked(rest) } else { rest.to_owned() };
        Answer { status, head: head.to_owned(), body }
    }

    /// `POST` with JSON.
    ///
    /// # Panics
    /// As [`send`](Self::send).
    #[must_use]
    pub fn post(&self, path: &str, body: &Value) -> Answer {
        self.send("POST", path, &[("content-type", "application/json")], &body.to_string())
    }

    /// `GET`.
    ///
    /// # Panics
    /// As [`send`](Self::send).
    #[must_use]
    pub fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], "")
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn unchunked(mut rest: &str) -> String {
    let mut body = String::new();
    while let Some((size, after)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size.trim(), 16).unwrap_or(0);
        if size == 0 || after.len() < size {
            break;
        }
        body.push_str(&after[..size]);
        rest = after[size..].trim_start_matches("\r\n");
    }
    body
}
