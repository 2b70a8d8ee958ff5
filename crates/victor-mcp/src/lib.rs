//! The MCP door (a server) and the MCP client, behind `rmcp`.
#![forbid(unsafe_code)]

mod convert;
#[cfg(feature = "server")]
pub mod server;
