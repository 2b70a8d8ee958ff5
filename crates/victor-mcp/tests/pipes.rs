//! The server over pipes in memory: what a client may not do to it, and what it may.
#![cfg(feature = "server")]
#![allow(clippy::unwrap_used, clippy::panic)]

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, DuplexStream, Lines, ReadHalf, WriteHalf, split};
use victor_core::error::ToolError;
use victor_core::runtime::Runtime;
use victor_core::testing::TestClock;
use victor_core::tool::{DynTool, Effects, Plan, Tool, ToolCx, ToolOutput, ToolSource, erase};
use victor_mcp::server::{Config, McpServer, ToolFilter};

/// Answers with as many letters as it is asked for.
struct Letters;

/// Waits until it is cancelled.
struct Forever;

/// Runs a program, as far as the rules know: it is asked about.
struct Dangerous;

#[derive(Deserialize, JsonSchema)]
struct LettersArgs {
    many: usize,
}

#[derive(Deserialize, JsonSchema)]
struct ForeverArgs {}

impl Tool for Letters {
    const NAME: &'static str = "letters";
    type Args = LettersArgs;

    fn description(&self) -> Cow<'static, str> {
        "Letters.".into()
    }

    fn effects(&self) -> Effects {
        Effects::NONE
    }

    async fn plan(&self, args: LettersArgs, _: &ToolCx) -> Result<Plan, ToolError> {
        Ok(Plan::new(Effects::NONE, async move |_, cx: ToolCx| {
            cx.progress("half of them");
            Ok(ToolOutput::text("x".repeat(args.many)))
        }))
    }
}

impl Tool for Forever {
    const NAME: &'static str = "forever";
    type Args = ForeverArgs;

    fn description(&self) -> Cow<'static, str> {
        "Waits.".into()
    }

    fn effects(&self) -> Effects {
        Effects::NONE
    }

    async fn plan(&self, _: ForeverArgs, _: &ToolCx) -> Result<Plan, ToolError> {
        Ok(Plan::new(Effects::NONE, async move |_, cx: ToolCx| {
            cx.cancel.cancelled().await;
            Err(ToolError::model("it was cancelled"))
        }))
    }
}

impl Tool for Dangerous {
    const NAME: &'static str = "dangerous";
    type Args = ForeverArgs;

    fn description(&self) -> Cow<'static, str> {
        "Asks.".into()
    }

    fn effects(&self) -> Effects {
        Effects::EXECUTE
    }

    async fn plan(&self, _: ForeverArgs, _: &ToolCx) -> Result<Plan, ToolError> {
        Ok(Plan::new(Effects::EXECUTE, async move |_, _| Ok(ToolOutput::text("it ran"))))
    }
}

struct Tools;

#[async_trait]
impl ToolSource for Tools {
    fn name(&self) -> &str {
        "test"
    }

    async fn tools(&self) -> Vec<Arc<dyn DynTool>> {
        vec![erase(Letters), erase(Forever), erase(Dangerous)]
    }
}

/// A client that writes what a test likes.
struct Client {
    write: WriteHalf<DuplexStream>,
    lines: Lines<BufReader<ReadHalf<DuplexStream>>>,
    serving: tokio::task::JoinHandle<()>,
}

impl Client {
    async fn new(config: Config) -> Self {
        let runtime = Runtime::builder().clock(TestClock::default()).tools(Arc::new(Tools)).build().unwrap();
        let server = McpServer::new(Arc::new(runtime), config, [1; 32]);
        let (near, far) = tokio::io::duplex(64 << 10);
        let (read, write) = split(far);
        #[expect(clippy::disallowed_methods, reason = "the test is its own runtime")]
        let serving = tokio::spawn(async move { Box::pin(server.serve(read, write)).await });
        let (read, write) = split(near);
        let mut client = Self { write, lines: BufReader::new(read).lines(), serving };
        let hello = json!({"protocolVersion": "2025-11-25", "capabilities": {"elicitation": {}}, "clientInfo": {"name": "t", "version": "1"}});
        client.send(&json!({"id": 0, "method": "initialize", "params": hello})).await;
        assert!(client.message().await["result"].is_object());
        client.send(&json!({"method": "notifications/initialized"})).await;
        client
    }

    async fn send(&mut self, message: &Value) {
        let mut message = message.clone();
        message["jsonrpc"] = json!("2.0");
        self.write.write_all(format!("{message}\n").as_bytes()).await.unwrap();
    }

    async fn call(&mut self, id: i64, tool: &str, arguments: Value) {
        let params = json!({"name": tool, "arguments": arguments});
        self.send(&json!({"id": id, "method": "tools/call", "params": params})).await;
    }

    async fn message(&mut self) -> Value {
        let line = tokio::time::timeout(Duration::from_secs(10), self.lines.next_line()).await;
        serde_json::from_str(&line.unwrap().unwrap().unwrap()).unwrap()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_stalls_holds_up_itself_and_gets_all_when_it_reads() {
    let mut client = Client::new(Config::default()).await;
    // Far more than the pipe holds: the answers wait.
    for id in 1..=50 {
        client.call(id, "letters", json!({"many": 20_000})).await;
    }
    let mut seen: Vec<i64> = Vec::new();
    for _ in 0..50 {
        seen.push(client.message().await["id"].as_i64().unwrap());
    }
    seen.sort_unstable();
    assert_eq!(seen, (1..=50).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn more_requests_than_can_be_answered_are_refused_and_a_cancelled_one_makes_room() {
    let mut client = Client::new(Config::default()).await;
    for id in 1..=1024 {
        client.call(id, "forever", json!({})).await;
    }
    client.call(2000, "letters", json!({"many": 1})).await;
    let refused = client.message().await;
    assert!(refused["id"] == 2000 && refused["error"]["message"].as_str().unwrap().contains("too many"), "{refused}");
    client.send(&json!({"method": "notifications/cancelled", "params": {"requestId": 1}})).await;
    client.call(2001, "letters", json!({"many": 1})).await;
    let answered = client.message().await;
    assert!(answered["id"] == 2001 && answered["result"]["content"][0]["text"] == "x", "{answered}");
}

#[tokio::test]
async fn an_id_that_is_in_use_is_refused() {
    let mut client = Client::new(Config::default()).await;
    client.call(1, "forever", json!({})).await;
    client.call(1, "letters", json!({"many": 1})).await;
    let refused = client.message().await;
    assert!(refused["error"]["message"].as_str().unwrap().contains("not answered yet"), "{refused}");
}

#[tokio::test]
async fn a_message_is_as_long_as_the_limit_and_no_longer() {
    let mut client = Client::new(Config { max_message: 1000, ..Config::default() }).await;
    let padded = |length: usize| {
        let bare = r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#;
        format!("{bare}{}\n", " ".repeat(length - bare.len() - 1))
    };
    client.write.write_all(padded(1000).as_bytes()).await.unwrap();
    assert!(client.message().await["result"].is_object());
    client.write.write_all(padded(1001).as_bytes()).await.unwrap();
    assert_eq!(client.message().await["error"]["code"], -32600);
    client.write.write_all(padded(900).as_bytes()).await.unwrap();
    assert!(client.message().await["result"].is_object());
}

#[tokio::test]
async fn progress_comes_before_the_answer_and_only_where_it_is_wanted() {
    let mut client = Client::new(Config::default()).await;
    client.call(1, "letters", json!({"many": 1})).await;
    assert_eq!(client.message().await["id"], 1);
    let params = json!({"name": "letters", "arguments": {"many": 1}, "_meta": {"progressToken": "t"}});
    client.send(&json!({"id": 2, "method": "tools/call", "params": params})).await;
    let told = client.message().await;
    assert_eq!((&told["params"]["progressToken"], &told["params"]["message"]), (&json!("t"), &json!("half of them")));
    assert_eq!(client.message().await["id"], 2);
}

#[tokio::test]
async fn a_long_call_says_that_it_lives() {
    let mut client = Client::new(Config { heartbeat: Duration::from_millis(20), ..Config::default() }).await;
    let params = json!({"name": "forever", "arguments": {}, "_meta": {"progressToken": 5}});
    client.send(&json!({"id": 1, "method": "tools/call", "params": params})).await;
    let counts = [client.message().await, client.message().await].map(|m| m["params"]["progress"].as_f64().unwrap());
    assert!(counts[0] < counts[1], "{counts:?}");
}

#[tokio::test]
async fn a_call_says_that_it_lives_while_its_question_waits() {
    let mut client = Client::new(Config { heartbeat: Duration::from_millis(20), ..Config::default() }).await;
    let params = json!({"name": "dangerous", "arguments": {}, "_meta": {"progressToken": 5}});
    client.send(&json!({"id": 1, "method": "tools/call", "params": params})).await;
    let (mut question, mut told) = (Value::Null, 0);
    while question.is_null() || told < 2 {
        let message = client.message().await;
        match message["method"].as_str() {
            Some("elicitation/create") => question = message,
            Some("notifications/progress") if !question.is_null() => told += 1,
            _ => {}
        }
    }
    let result = json!({"action": "accept", "content": {"decision": "allow once"}});
    client.send(&json!({"id": question["id"], "result": result})).await;
    loop {
        let message = client.message().await;
        if message["id"] == 1 && message["result"].is_object() {
            assert_eq!(message["result"]["content"][0]["text"], "it ran", "{message}");
            return;
        }
    }
}

#[tokio::test]
async fn when_the_client_is_gone_what_it_began_ends() {
    let mut client = Client::new(Config { drain: Duration::from_millis(10), ..Config::default() }).await;
    client.call(1, "forever", json!({})).await;
    client.write.shutdown().await.unwrap();
    tokio::time::timeout(Duration::from_secs(5), client.serving).await.unwrap().unwrap();
}

#[test]
fn a_filter_takes_names_categories_and_globs_and_every_list_counts() {
    let open = ToolFilter::default();
    assert!(open.admits("bash", "shell") && open.is_open());
    let filter = open.narrow("git, re*").unwrap();
    assert!(filter.admits("git_log", "git") && filter.admits("read", "files") && !filter.admits("bash", "shell"));
    let both = filter.narrow("read").unwrap();
    assert!(both.admits("read", "files") && !both.admits("git_log", "git"));
    assert!(!ToolFilter::default().narrow("").unwrap().admits("read", "files"));
    assert!(ToolFilter::default().narrow("[").is_err());
    let hiding = ToolFilter::default().without("todo");
    assert!(!hiding.admits("todo", "planning") && hiding.hides("todo") && !hiding.hides("read"));
}
