//! The server with the fixtures that the official conformance suite calls: `cargo run -p victor-mcp --example conformance
//! --features conformance -- 127.0.0.1:18001`. It prints the address that it listens on.
#![allow(
    deprecated,
    clippy::print_stdout,
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a program for tests alone"
)]

mod asks;
mod prompts;
mod resources;
mod talks;
mod tools;

use std::sync::Arc;

use victor_core::runtime::Runtime;
use victor_core::testing::TestClock;
use victor_mcp::server::{Config, McpServer, OwnTool};

#[tokio::main]
async fn main() {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:0".to_owned());
    let runtime = Runtime::builder()
        .clock(TestClock::default())
        .tools(Arc::new(tools::Fixtures))
        .resources(Arc::new(resources::Fixtures))
        .prompts(Arc::new(prompts::Fixtures))
        .build()
        .expect("there is a clock");
    let mut own: Vec<Arc<dyn OwnTool>> = asks::tools();
    own.extend(talks::tools());
    let prompts = vec![Arc::new(asks::Prompt) as _];
    let server = McpServer::with_fixtures(Arc::new(runtime), Config::default(), [7; 32], own, prompts);
    let listener = tokio::net::TcpListener::bind(address).await.expect("the address is free");
    println!("http://{}/mcp", listener.local_addr().expect("it is bound"));
    axum::serve(listener, server.router()).await.expect("it serves");
}
