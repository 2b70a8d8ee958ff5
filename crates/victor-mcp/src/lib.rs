//! The MCP door (a server) and the MCP client, behind `rmcp`.
#![forbid(unsafe_code)]

#[cfg(feature = "client")]
pub mod client;
mod convert;
#[cfg(feature = "server")]
pub mod server;
