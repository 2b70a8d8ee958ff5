//! Whole-product test equipment: a scripted model server that speaks both wires and checks every request.
//!
//! ```no_run
//! use serde_json::json;
//! use victor_tests::{ModelServer, Reply};
//!
//! // One reply a model call, in order. A reply is neutral: it is rendered as OpenAI Chat Completions or Anthropic
//! // Messages, streamed or whole, by what the request asks for.
//! let server = ModelServer::start([
//!     Reply::call("read", json!({"path": "Cargo.toml"})).thinking("I should look."),
//!     Reply::status(429, r#"{"error": {"message": "slow down"}}"#).header("retry-after", "0"),
//!     Reply::text("Done.").usage(120, 7).cut(1),
//! ]);
//! let openai = server.base_url(); // http://127.0.0.1:PORT/v1: OPENAI_BASE_URL
//! let anthropic = server.url(); // http://127.0.0.1:PORT: ANTHROPIC_BASE_URL
//! // ... run the thing under test ...
//! let requests = server.finish(); // panics with every broken rule, and with replies that nobody asked for
//! assert_eq!(requests[0].json["model"], "test-model");
//! ```
//!
//! Replies: [`Reply::text`], [`Reply::call`], [`Reply::calls`] (parallel), [`Reply::status`], [`Reply::raw`]; then
//! `.and_text()`, `.thinking()`, `.stop()`, `.usage()`, `.header()`, `.cut(n)` (pieces of n bytes), `.stall_after(n)`
//! (n bytes, then silence until the client goes), `.close_after(n)` (n bytes, then the connection is cut) and
//! `.hold()` (nothing at all until [`ModelServer::release`]).
//!
//! Server: [`ModelServer::start`] (a list), [`ModelServer::start_with`] (a closure from request to reply),
//! [`ModelServer::options`] (`.key("k")`: other keys get 401 without using up a reply; `.lenient()`: no checks
//! across requests). While it runs: [`requests`](ModelServer::requests),
//! [`wait_for`](ModelServer::wait_for) (blocks until n model requests came), [`gone`](ModelServer::gone) (clients that
//! left before their answer was whole) and [`wait_gone`](ModelServer::wait_gone). `GET …/models` is answered with
//! `test-model` beside the script and is not recorded. It runs on a thread of its own, so synchronous tests of the binary can use it.
//!
//! The checks (in `check`): JSON with a model, legal roles, no empty text, every tool call paired with exactly one
//! result before anything else is said, valid JSON arguments; for Anthropic also `max_tokens`, version header, alternating
//! roles and at most four cache breakpoints. Across the requests of one conversation (same first user message): the
//! system prompt is the same and the earlier messages are the same bytes, cache markers apart.
#![forbid(unsafe_code)]

mod anthropic;
mod check;
mod connection;
mod openai;
pub mod peers;
pub mod pipes;
pub mod product;
mod reply;
pub mod served;
mod server;
pub mod weights;

pub use reply::Reply;
pub use server::{ModelServer, Options, Recorded};
