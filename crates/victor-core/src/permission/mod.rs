//! Permissions: one pipeline for every call of every tool, and what cannot be judged is denied.
//!
//! mode -> rules (deny > ask > allow, on the plan's keys) -> hooks -> approver -> sandbox.

mod approve;
mod judge;
mod rule;

pub use approve::{AllowAll, Answer, ApprovalRequest, Approver, Decision, DenyAll, DenyUnconfigured, GrantScope};
pub use judge::{Grants, Verdict, judge};
pub use rule::{PathRules, Rule, RuleEffect, RuleError, Rules, literal};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::sandbox::SandboxMode;
use crate::tool::Effects;

/// What an agent is there for, and so what it may do at most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Reads, writes, and runs commands after asking.
    #[default]
    Build,
    /// Reads and makes a plan; changes nothing.
    Plan,
    /// Reads and answers questions; changes nothing.
    Explore,
    /// Reads, and runs commands (linters, tests) after asking, in a sandbox in which they change no file.
    Review,
    /// Reads and hands work to other agents; changes nothing itself.
    Delegate,
}

impl Mode {
    /// All modes, with a line on each.
    pub const ALL: [(Self, &'static str, &'static str); 5] = [
        (Self::Build, "build", "reads, writes in the workspace, runs commands after asking"),
        (Self::Plan, "plan", "reads and makes a plan; changes nothing"),
        (Self::Explore, "explore", "reads and answers questions; changes nothing"),
        (Self::Review, "review", "reads, runs commands after asking; changes no file"),
        (
            Self::Delegate,
            "delegate",
            "reads and hands work to other agents, where a tool stands for them; changes nothing itself",
        ),
    ];

    /// The mode's name in configuration and on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Build => "build",
            Self::Plan => "plan",
            Self::Explore => "explore",
            Self::Review => "review",
            Self::Delegate => "delegate",
        }
    }

    /// The effects that a call may have at most.
    #[must_use]
    pub fn ceiling(self) -> Effects {
        let look = Effects::READ | Effects::AGENT;
        match self {
            Self::Build => look | Effects::WRITE | Effects::EXECUTE | Effects::NETWORK | Effects::UNSANDBOXED,
            Self::Review => Effects::READ | Effects::EXECUTE | Effects::NETWORK,
            Self::Plan | Self::Explore => Effects::READ,
            Self::Delegate => look,
        }
    }

    /// How far commands reach in this mode, where they may reach as far as `sandbox`.
    #[must_use]
    pub fn sandbox(self, sandbox: SandboxMode) -> SandboxMode {
        if self.permits(Effects::WRITE) { sandbox } else { sandbox.max(SandboxMode::ReadOnly) }
    }

    /// Whether every effect of `effects` is allowed at all in this mode.
    #[must_use]
    pub fn permits(self, effects: Effects) -> bool {
        self.ceiling().contains(effects)
    }
}

impl std::str::FromStr for Mode {
    type Err = crate::error::ConfigurationError;

    fn from_str(s: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|(_, name, _)| *name == s).map(|(mode, ..)| mode).ok_or_else(|| {
            crate::error::ConfigurationError::unknown(
                "mode",
                "INVALID_VALUE",
                s,
                Self::ALL.iter().map(|(_, name, _)| *name),
            )
        })
    }
}

/// What a rule is matched against.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum PermissionKey {
    /// A file or folder.
    Path {
        /// What happens to it: `read` or `write`. A rule for this name covers every tool that does it.
        access: Access,
        /// Its path relative to the workspace's root, with `/`; `None` outside of the root.
        relative: Option<String>,
        /// Its absolute path.
        absolute: String,
        /// Whether it is neither in the workspace nor in an added folder.
        outside: bool,
    },
    /// One simple command of a shell line.
    Command {
        /// The command with its arguments, as written.
        text: String,
    },
    /// A shell line that could not be split into simple commands for certain.
    UnsplitCommand {
        /// The line.
        text: String,
    },
    /// Something that goes by a name: a workflow.
    Name {
        /// The name.
        name: String,
    },
    /// Another machine.
    Host {
        /// Its name or address; `*` for any.
        host: String,
    },
}

/// What happens to a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Access {
    /// Its content or its names are read.
    Read,
    /// It is created, changed or deleted.
    Write,
}

impl Access {
    pub(crate) const ALL: [Self; 2] = [Self::Read, Self::Write];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Write => "write",
        }
    }
}

impl std::fmt::Display for PermissionKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Path { relative: Some(path), .. } | Self::Path { absolute: path, .. } => f.write_str(path),
            Self::Command { text } | Self::UnsplitCommand { text } => f.write_str(text),
            Self::Host { host: name } | Self::Name { name } => f.write_str(name),
        }
    }
}
