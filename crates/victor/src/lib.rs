//! Victor as one dependency: the composition root, which makes a [`Runtime`] out of the user's configuration, and
//! everything of core that an application names.
//!
//! ```no_run
//! use victor::prelude::*;
//!
//! # async fn example() -> Result<(), VictorError> {
//! let victor = victor::from_env().await?;
//! let agent = Agent::create(&victor, ()).await?;
//! let answer = agent.run("What does this project do?").await?;
//! println!("{answer}");
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]

mod clock;
pub mod config;
pub mod doctor;
mod env;
mod guard;
mod home;
mod instructions;
mod keyring;
mod keys;
mod limits;
#[cfg(feature = "local")]
pub mod local;
pub mod log;
pub mod mcp;
#[cfg(feature = "mcp-server")]
pub mod mcp_server;
mod nowhere;
mod outputs;
mod platform;
pub mod profiles;
mod prompts;
mod providers;
mod schedules;
#[cfg(feature = "http")]
pub mod server;
mod setup;
mod state_file;
pub mod tokens;
mod trust;
pub mod workflow;
mod workflows;
mod workspace;

pub use clock::SystemClock;
pub use env::Env;
pub use home::Home;
pub use instructions::{Instructions, Surroundings};
pub use keys::{KeyPlace, Keys};
pub use platform::raise_file_limit;
pub use providers::Providers;
pub use setup::{Options, Save, Setup, Trust, from_env, open};
pub use state_file::StateFile;
pub use trust::TrustState;
pub use workspace::Place;

pub use victor_core::{
    agent, blob, bus, compact, conversation, error, event, hook, id, memory, message, permission, prompt, provider,
    request, resource, runtime, sandbox, session, state, token, tool, usage,
};
pub use victor_macros::Tool;
pub use victor_providers::{Credentials, ProviderSettings};
pub use victor_store::SqliteStore;
pub use victor_tools::{BuiltinTools, compose, undo};
pub use victor_workflow::{RunWorkflow, Workflows, team};
pub use workflows::WorkflowFolders;

pub use agent::{Agent, AgentSpec, Chat, Outcome, Profile, Run, Status};
pub use error::{ConfigurationError, ProviderError, ToolError, VictorError};
pub use event::{Event, EventKind};
pub use message::Input;
pub use runtime::Runtime;
pub use state::State;
pub use team::Team;
pub use tool::{Tool, tool_fn};

/// The HTTP API: a router for an application of one's own, and a listener.
#[cfg(feature = "http")]
pub mod http {
    pub use victor_http::listener::{Listener, Times, Tls};
    pub use victor_http::{ApiKey, Auth, Beside, Config, Cors, Demand, HostGuard, HttpDoor, RateLimit, Serves, router};
}

/// Victor's version.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What most applications need: `use victor::prelude::*`.
pub mod prelude {
    pub use crate::{
        Agent, AgentSpec, Chat, ConfigurationError, Event, EventKind, Input, Outcome, Profile, Run, Runtime, State,
        StateFile, Status, Team, ToolError, VictorError,
    };
    pub use futures::StreamExt;
}
