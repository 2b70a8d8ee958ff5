//! The scripted model server: one thread, one runtime, any number of connections.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{oneshot, watch};

use crate::check;
use crate::connection::{self, After, Incoming, Outgoing};
use crate::reply::{Body, Ending, Reply};
use crate::{anthropic, openai};

/// A request for an answer of the model, as it came.
#[derive(Clone, Debug)]
pub struct Recorded {
    /// The path with its query.
    pub path: String,
    /// The headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body's bytes.
    pub body: Vec<u8>,
    /// The body as JSON; `null` where it is none.
    pub json: Value,
}

impl Recorded {
    /// A header's value.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_str())
    }

    /// The messages of the conversation in the wire's form.
    #[must_use]
    pub fn messages(&self) -> &[Value] {
        self.json["messages"].as_array().map_or(&[], Vec::as_slice)
    }

    /// Whether it came on the Anthropic wire.
    #[must_use]
    pub fn is_anthropic(&self) -> bool {
        self.path.split('?').next().is_some_and(|p| p.ends_with("/messages"))
    }
}

/// What the server insists on.
#[derive(Clone, Debug, Default)]
pub struct Options {
    key: Option<String>,
    lenient: bool,
}

impl Options {
    /// Answers 401 to every request without this key.
    #[must_use]
    pub fn key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }

    /// Does not compare the requests of a conversation with each other.
    #[must_use]
    pub fn lenient(mut self) -> Self {
        self.lenient = true;
        self
    }

    /// Starts a server that answers in this order.
    pub fn start(self, script: impl IntoIterator<Item = Reply>) -> ModelServer {
        let script: VecDeque<Reply> = script.into_iter().collect();
        ModelServer::launch(self, Source::Script(script))
    }

    /// Starts a server whose answers `f` makes.
    pub fn start_with(self, f: impl FnMut(&Recorded) -> Reply + Send + 'static) -> ModelServer {
        ModelServer::launch(self, Source::Closure(Box::new(f)))
    }
}

enum Source {
    Script(VecDeque<Reply>),
    Closure(Box<dyn FnMut(&Recorded) -> Reply + Send>),
}

struct State {
    source: Source,
    requests: Vec<Recorded>,
    violations: Vec<String>,
    gone: usize,
}

struct Shared {
    options: Options,
    state: Mutex<State>,
    changed: Condvar,
    released: watch::Sender<bool>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A model server on a free loopback port; it ends when dropped.
pub struct ModelServer {
    address: SocketAddr,
    shared: Arc<Shared>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl ModelServer {
    /// Starts a server that answers in this order and checks every request.
    pub fn start(script: impl IntoIterator<Item = Reply>) -> Self {
        Options::default().start(script)
    }

    /// Starts a server whose answers `f` makes.
    pub fn start_with(f: impl FnMut(&Recorded) -> Reply + Send + 'static) -> Self {
        Options::default().start_with(f)
    }

    /// What a server can insist on.
    #[must_use]
    pub fn options() -> Options {
        Options::default()
    }

    #[expect(clippy::expect_used, reason = "test equipment: without a port there is nothing to test")]
    fn launch(options: Options, source: Source) -> Self {
        let state = State { source, requests: Vec::new(), violations: Vec::new(), gone: 0 };
        let (released, _) = watch::channel(false);
        let shared = Arc::new(Shared { options, state: Mutex::new(state), changed: Condvar::new(), released });
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a loopback port");
        listener.set_nonblocking(true).expect("a nonblocking listener");
        let address = listener.local_addr().expect("an address");
        let (stop, stopped) = oneshot::channel();
        let inner = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().expect("a runtime");
            runtime.block_on(async move {
                let listener = TcpListener::from_std(listener).expect("a listener");
                tokio::select! { () = accept(listener, inner) => {}, _ = stopped => {} }
            });
        });
        Self { address, shared, stop: Some(stop), thread: Some(thread) }
    }

    /// `http://127.0.0.1:PORT`, as `ANTHROPIC_BASE_URL` has it.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// `http://127.0.0.1:PORT/v1`, as `OPENAI_BASE_URL` has it.
    #[must_use]
    pub fn base_url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// The model requests so far.
    #[must_use]
    pub fn requests(&self) -> Vec<Recorded> {
        self.shared.state().requests.clone()
    }

    /// How many clients left before their answer was whole.
    #[must_use]
    pub fn gone(&self) -> usize {
        self.shared.state().gone
    }

    /// Lets the answers made with [`Reply::hold`] go out.
    pub fn release(&self) {
        self.shared.released.send_replace(true);
    }

    /// Blocks until `n` model requests have come, 30 seconds at most.
    pub fn wait_for(&self, n: usize) {
        self.wait("requests", |state| state.requests.len() >= n);
    }

    /// Blocks until `n` clients have left before their answer was whole, 30 seconds at most.
    pub fn wait_gone(&self, n: usize) {
        self.wait("clients to leave", |state| state.gone >= n);
    }

    /// Ends the server and hands out what it was asked.
    ///
    /// # Panics
    /// With every rule that a request broke, and with replies that nobody asked for.
    #[expect(clippy::panic, reason = "it is how a test fails")]
    pub fn finish(mut self) -> Vec<Recorded> {
        self.end();
        let mut state = self.shared.state();
        let mut violations = std::mem::take(&mut state.violations);
        if let Source::Script(left) = &state.source
            && !left.is_empty()
        {
            violations.push(format!("{} replies of the script were never asked for", left.len()));
        }
        let requests = std::mem::take(&mut state.requests);
        drop(state);
        if !violations.is_empty() {
            panic!("the model server was misused:\n- {}", violations.join("\n- "));
        }
        requests
    }

    #[expect(clippy::panic, reason = "it is how a test fails")]
    fn wait(&self, what: &str, ready: impl Fn(&State) -> bool) {
        let limit = std::time::Duration::from_secs(30);
        let guard = self.shared.state();
        let (_guard, timeout) = self
            .shared
            .changed
            .wait_timeout_while(guard, limit, |state| !ready(state))
            .unwrap_or_else(PoisonError::into_inner);
        if timeout.timed_out() {
            panic!("waited 30 s for {what}");
        }
    }

    fn end(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Drop for ModelServer {
    fn drop(&mut self) {
        self.end();
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept().await {
        let _ = stream.set_nodelay(true);
        #[expect(clippy::disallowed_methods, reason = "the tasks end with the server's own runtime")]
        tokio::spawn(serve(stream, Arc::clone(&shared)));
    }
}

async fn serve(mut stream: TcpStream, shared: Arc<Shared>) {
    let mut buffer = Vec::new();
    while let Ok(Some(request)) = connection::read(&mut stream, &mut buffer).await {
        let (answer, hold) = answer(&shared, request);
        if hold && !held(&mut stream, &shared).await {
            return count_gone(&shared);
        }
        match connection::write(&mut stream, &answer).await {
            After::KeepAlive => {}
            After::Closed => return,
            After::ClientGone => return count_gone(&shared),
        }
    }
}

/// Waits for the release; `false` when the client left first.
async fn held(stream: &mut TcpStream, shared: &Shared) -> bool {
    let mut released = shared.released.subscribe();
    let mut byte = [0; 1];
    tokio::select! {
        _ = released.wait_for(|r| *r) => true,
        _ = stream.peek(&mut byte) => false,
    }
}

fn count_gone(shared: &Shared) {
    shared.state().gone += 1;
    shared.changed.notify_all();
}

fn answer(shared: &Shared, request: Incoming) -> (Outgoing, bool) {
    let path = request.path.split('?').next().unwrap_or_default();
    let is_models = request.method == "GET" && path.ends_with("/models");
    let is_chat = request.method == "POST" && (path.ends_with("/chat/completions") || path.ends_with("/messages"));
    if !is_models && !is_chat {
        return (plain(404, json!({"error": {"message": format!("no such path: {path}")}}).to_string()), false);
    }
    let json = serde_json::from_slice(&request.body).unwrap_or(Value::Null);
    let recorded = Recorded { path: request.path, headers: request.headers, body: request.body, json };
    if let Some(refusal) = refuse(&shared.options, &recorded) {
        return (refusal, false);
    }
    if is_models {
        let list = json!({"object": "list", "has_more": false,
            "data": [{"id": "test-model", "type": "model", "object": "model", "display_name": "Test"}]});
        return (plain(200, list.to_string()), false);
    }
    let mut state = shared.state();
    let number = state.requests.len();
    let mut broken = check::request(&recorded);
    if !shared.options.lenient {
        broken.extend(check::against(&recorded, &state.requests));
    }
    state.violations.extend(broken.into_iter().map(|b| format!("request {number}: {b}")));
    let reply = next_reply(&mut state, &recorded, number);
    let hold = reply.hold;
    let outgoing = render(reply, &recorded, number);
    state.requests.push(recorded);
    drop(state);
    shared.changed.notify_all();
    (outgoing, hold)
}

fn next_reply(state: &mut State, recorded: &Recorded, number: usize) -> Reply {
    match &mut state.source {
        Source::Closure(f) => f(recorded),
        Source::Script(replies) => replies.pop_front().unwrap_or_else(|| {
            state.violations.push(format!("request {number}: the script has no reply left"));
            Reply::status(400, r#"{"error": {"message": "the script has no reply left"}}"#)
        }),
    }
}

fn refuse(options: &Options, request: &Recorded) -> Option<Outgoing> {
    let key = options.key.as_deref()?;
    let bearer = request.header("authorization").and_then(|v| v.strip_prefix("Bearer "));
    if [bearer, request.header("x-api-key")].contains(&Some(key)) {
        return None;
    }
    let anthropic = request.is_anthropic() || request.header("anthropic-version").is_some();
    Some(plain(401, if anthropic { anthropic::unauthorized() } else { openai::unauthorized() }))
}

fn plain(status: u16, body: String) -> Outgoing {
    let headers = vec![("content-type".into(), "application/json".into())];
    Outgoing { status, headers, body: body.into_bytes(), cut: None, ending: Ending::Whole }
}

fn render(reply: Reply, request: &Recorded, number: usize) -> Outgoing {
    let (content_type, body) = match &reply.body {
        Body::Raw { content_type, bytes } => (content_type.clone(), bytes.clone()),
        Body::Answer(answer) if request.is_anthropic() => anthropic::render(answer, &request.json, number),
        Body::Answer(answer) => openai::render(answer, &request.json, number),
    };
    let mut headers = reply.headers;
    headers.push(("content-type".into(), content_type));
    Outgoing { status: reply.status, headers, body, cut: reply.cut, ending: reply.ending }
}
