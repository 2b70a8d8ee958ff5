//! `victor mcp` as a child process, and a client of it that writes what a test likes.
#![expect(clippy::expect_used, reason = "test equipment: what it cannot set up ends the test")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use serde_json::{Value, json};

/// How long an answer may take before the test has failed.
const PATIENCE: Duration = Duration::from_secs(20);

/// A server on a pair of pipes; it is killed when dropped.
pub struct Piped {
    child: Child,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
    err: ChildStderr,
    next: i64,
    /// Messages that came while an answer was waited for.
    pub heard: Vec<Value>,
    meta: Option<Value>,
}

type Answering<'a> = &'a mut dyn FnMut(&Value) -> Value;

impl Piped {
    /// Starts the server; nothing is said yet.
    ///
    /// # Panics
    /// It cannot be started.
    #[must_use]
    pub fn start(mut command: Command) -> Self {
        let spawned = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = spawned.expect("a server");
        let (input, err) = (child.stdin.take(), child.stderr.take().expect("its stderr"));
        let lines = read(child.stdout.take().expect("its stdout"));
        Self { child, input, lines, err, next: 0, heard: Vec::new(), meta: None }
    }

    /// Starts the server and shakes hands in the older form of the protocol.
    ///
    /// # Panics
    /// It does not shake hands.
    #[must_use]
    pub fn greeted(command: Command, capabilities: &Value) -> Self {
        let mut piped = Self::start(command);
        let params = json!({
            "protocolVersion": "2025-11-25",
            "capabilities": capabilities,
            "clientInfo": {"name": "test", "version": "1"},
        });
        let hello = piped.ask("initialize", &params);
        assert_eq!(hello["result"]["protocolVersion"], "2025-11-25", "{hello}");
        piped.send(&json!({"method": "notifications/initialized"}));
        piped
    }

    /// Starts the server for requests of the newer form, which say what the client can do.
    #[must_use]
    pub fn stateless(command: Command, capabilities: &Value) -> Self {
        let prefix = "io.modelcontextprotocol";
        let meta = json!({
            format!("{prefix}/protocolVersion"): "2026-07-28",
            format!("{prefix}/clientCapabilities"): capabilities,
            format!("{prefix}/clientInfo"): {"name": "test", "version": "1"},
        });
        let mut piped = Self::start(command);
        piped.meta = Some(meta);
        piped
    }

    /// Its process.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Writes these bytes.
    ///
    /// # Panics
    /// The server reads no longer.
    pub fn write(&mut self, bytes: &[u8]) {
        let input = self.input.as_mut().expect("its stdin is open");
        input.write_all(bytes).and_then(|()| input.flush()).expect("it reads");
    }

    /// Sends a message; `jsonrpc` is added.
    pub fn send(&mut self, message: &Value) {
        let mut message = message.clone();
        message["jsonrpc"] = json!("2.0");
        self.write(format!("{message}\n").as_bytes());
    }

    /// The next message.
    ///
    /// # Panics
    /// None comes in time, or it is no JSON: nothing else may stand on stdout.
    #[must_use]
    pub fn message(&mut self) -> Value {
        let line = self.lines.recv_timeout(PATIENCE).expect("a message in time");
        serde_json::from_str(&line).expect("nothing but protocol on stdout")
    }

    /// Sends a request and waits for its answer.
    pub fn ask(&mut self, method: &str, params: &Value) -> Value {
        self.ask_answering(method, params, &mut |asked| panic_on(asked))
    }

    /// As [`ask`](Self::ask); requests of the server are answered with what `answer` gives.
    pub fn ask_answering(&mut self, method: &str, params: &Value, answer: Answering<'_>) -> Value {
        let id = self.begin(method, params);
        self.wait(id, answer)
    }

    /// Sends a request and gives its id.
    pub fn begin(&mut self, method: &str, params: &Value) -> i64 {
        self.next += 1;
        let mut params = params.clone();
        if let Some(meta) = &self.meta {
            let token = params["_meta"]["progressToken"].clone();
            params["_meta"] = meta.clone();
            if !token.is_null() {
                params["_meta"]["progressToken"] = token;
            }
        }
        self.send(&json!({"id": self.next, "method": method, "params": params}));
        self.next
    }

    /// Waits for the answer to a request.
    pub fn wait(&mut self, id: i64, answer: Answering<'_>) -> Value {
        loop {
            let message = self.message();
            match (message.get("method"), message.get("id")) {
                (None, Some(answered)) if *answered == json!(id) => return message,
                (Some(_), Some(asked)) => {
                    let (asked, result) = (asked.clone(), answer(&message));
                    self.send(&json!({"id": asked, "result": result}));
                }
                _ => self.heard.push(message),
            }
        }
    }

    /// Calls a tool and gives its result.
    ///
    /// # Panics
    /// The answer is an error of the protocol.
    pub fn call(&mut self, tool: &str, arguments: &Value) -> Value {
        let answer = self.ask("tools/call", &json!({"name": tool, "arguments": arguments}));
        assert!(answer.get("result").is_some(), "{answer}");
        answer["result"].clone()
    }

    /// The text of a tool's result.
    ///
    /// # Panics
    /// As [`call`](Self::call).
    pub fn text(&mut self, tool: &str, arguments: &Value) -> String {
        let result = self.call(tool, arguments);
        result["content"][0]["text"].as_str().unwrap_or_default().to_owned()
    }

    /// Closes stdin and waits for the end; gives the exit code and what was said on stderr.
    ///
    /// # Panics
    /// It does not end.
    pub fn close(mut self) -> (i32, String) {
        drop(self.input.take());
        let status = self.child.wait().expect("an end");
        let mut said = String::new();
        // What is not UTF-8 is said nowhere.
        let _ = self.err.read_to_string(&mut said);
        (status.code().unwrap_or(-1), said)
    }
}

impl Drop for Piped {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn read(out: ChildStdout) -> Receiver<String> {
    let (sender, lines) = channel();
    std::thread::spawn(move || {
        for line in BufReader::new(out).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    lines
}

#[expect(clippy::panic, reason = "the test did not expect a question")]
fn panic_on(asked: &Value) -> Value {
    panic!("the server asks: {asked}")
}
