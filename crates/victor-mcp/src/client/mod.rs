//! The MCP client: tools, resources and prompts of other servers, started when they are first needed.
//!
//! [`Servers`] is a source of tools for a runtime, and has a source of resources and prompts for each server. A server
//! that crashes, hangs, floods or lies harms only its own tools.

mod call;
mod catalog;
mod config;
mod connection;
mod content;
mod handler;
mod host;
mod http;
mod lines;
mod login;
mod mark;
mod name;
mod process;
mod prompt;
mod resource;
mod schema;
mod server;
mod servers;
mod sse;
mod state;
mod throttle;
mod tool;
mod trust;

pub use config::{Address, Link, OAuth, Program, ServerConfig, Setting, Wire};
pub use host::{CatalogStore, Client, Elicitation, Elicited, Elicitor, Host, Kept, TokenStore};
pub use http::check_address;
pub use login::{Login, LoginError};
pub use server::Report;
pub use servers::Servers;
pub use state::{State, Status};
