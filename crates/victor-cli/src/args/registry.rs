//! The commands that show and change what is saved: sessions, providers, models, tools, profiles, keys, configuration.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use victor::permission::Mode;

use super::agent::{modes, temperature};
use super::{CallFlags, Choice, Format};

/// `victor sessions`.
#[derive(Subcommand)]
pub(crate) enum SessionsCommand {
    /// The latest sessions
    #[command(visible_alias = "ls")]
    List(ListArgs),
    /// One session, message by message
    Show {
        /// The session, or the beginning of its id
        id: String,
        /// How it is printed.
        #[command(flatten)]
        format: Format,
    },
    /// Delete sessions
    #[command(visible_alias = "rm")]
    Delete {
        /// The sessions
        #[arg(required = true)]
        ids: Vec<String>,
    },
    /// Write a session to stdout or a file
    Export {
        /// The session
        id: String,
        /// Where to; stdout if not said
        #[arg(long, short, value_name = "FILE")]
        output: Option<PathBuf>,
        /// Write JSON (every entry) instead of Markdown (what was said)
        #[command(flatten)]
        format: Format,
    },
    /// Copy a session, to go on in the copy
    Fork {
        /// The session
        id: String,
        /// The last entry to copy [default: the last one]
        #[arg(long, value_name = "N")]
        to: Option<u64>,
        /// How it is printed.
        #[command(flatten)]
        format: Format,
    },
    /// Sessions in which something was said
    Search {
        /// The text
        text: String,
        /// At most so many
        #[arg(long, value_name = "N", default_value_t = 20, value_parser = super::count)]
        limit: usize,
        /// How it is printed.
        #[command(flatten)]
        format: Format,
    },
    /// Take back what came after an entry
    Rewind {
        /// The session
        id: String,
        /// The last entry that still counts; `victor sessions show` numbers them
        #[arg(long, value_name = "N")]
        to: u64,
        /// Put the files back too that were changed since
        #[arg(long)]
        files: bool,
        /// How it is printed.
        #[command(flatten)]
        format: Format,
    },
    /// Delete old sessions
    Prune {
        /// Those last used before so many days
        #[arg(long, value_name = "DAYS")]
        older_than: u32,
        /// How it is printed.
        #[command(flatten)]
        format: Format,
    },
}

/// `victor sessions list`.
#[derive(Args)]
pub(crate) struct ListArgs {
    /// Of all folders, not only of this one
    #[arg(long, short)]
    pub(crate) all: bool,
    /// At most so many
    #[arg(long, value_name = "N", default_value_t = 20, value_parser = super::count)]
    pub(crate) limit: usize,
    /// How it is printed.
    #[command(flatten)]
    pub(crate) format: Format,
}

/// `victor providers`.
#[derive(Subcommand)]
pub(crate) enum ProvidersCommand {
    /// All providers, and which have what they need
    #[command(visible_alias = "ls")]
    List(Format),
    /// Ask providers whether they can be reached
    Test {
        /// The provider [default: all that are configured]
        name: Option<String>,
        /// How it is printed.
        #[command(flatten)]
        format: Format,
    },
}

/// `victor models`.
#[derive(Subcommand)]
pub(crate) enum ModelsCommand {
    /// The models that are known
    #[command(visible_alias = "ls")]
    List {
        /// Only those of this provider
        #[arg(long, value_name = "NAME")]
        provider: Option<String>,
        /// Ask the provider itself (needs `--provider`)
        #[arg(long, requires = "provider")]
        online: bool,
        /// How it is printed.
        #[command(flatten)]
        format: Format,
    },
    /// Fetch a model that runs on this machine, in Victor itself
    Pull(PullArgs),
    /// Remove a model from this machine
    #[command(visible_alias = "rm")]
    Remove {
        /// The model
        name: String,
        /// How it is printed.
        #[command(flatten)]
        format: Format,
    },
    /// Read the files of local models whole and compare their checksums
    Verify {
        /// The model [default: all that are here]
        name: Option<String>,
        /// How it is printed.
        #[command(flatten)]
        format: Format,
    },
}

/// `victor models pull`.
#[derive(Args)]
pub(crate) struct PullArgs {
    /// A name of `victor models list --provider local`, a GGUF file, or the https address of one [default: the best
    /// that fits this machine]
    pub(crate) model: Option<String>,
    /// A GGUF file of your own, to be used where it is
    #[arg(long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    /// The name to give a file or an address
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    /// The SHA-256 that the file at an address must have
    #[arg(long, value_name = "HEX", value_parser = sha256)]
    pub(crate) sha256: Option<String>,
    /// Fetch without a question where no model is named
    #[arg(long, short)]
    pub(crate) yes: bool,
    /// How it is printed.
    #[command(flatten)]
    pub(crate) format: Format,
}

fn sha256(text: &str) -> Result<String, String> {
    let text = text.to_ascii_lowercase();
    let hex = text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit());
    if hex { Ok(text) } else { Err("not 64 hexadecimal digits".to_owned()) }
}

/// `victor tools`.
#[derive(Subcommand)]
pub(crate) enum ToolsCommand {
    /// All tools
    #[command(visible_alias = "ls")]
    List(Format),
    /// One tool with its arguments
    Show {
        /// The tool
        name: String,
        /// How it is printed.
        #[command(flatten)]
        format: Format,
    },
    /// Call a tool, with the same checks as an agent's call
    Call {
        /// The tool
        name: String,
        /// Its arguments as a JSON object; `-` reads them from stdin, `@FILE` from a file
        #[arg(default_value = "{}")]
        arguments: String,
        /// How it is printed.
        #[command(flatten)]
        format: Format,
        /// What it may do.
        #[command(flatten)]
        call: CallFlags,
    },
}

/// `victor profiles`.
#[derive(Subcommand)]
pub(crate) enum ProfilesCommand {
    /// All profiles
    #[command(visible_alias = "ls")]
    List(Format),
    /// One profile
    Show {
        /// The profile
        name: String,
        /// How it is printed.
        #[command(flatten)]
        format: Format,
    },
    /// Save a profile
    Create(ProfileArgs),
    /// Delete a profile
    #[command(visible_alias = "rm")]
    Delete {
        /// The profile
        name: String,
    },
    /// Use this profile where none is named
    Use {
        /// The profile
        name: String,
    },
}

/// `victor profiles create`.
#[derive(Args)]
pub(crate) struct ProfileArgs {
    /// Its name
    pub(crate) name: String,
    /// The provider
    #[arg(long, value_name = "NAME")]
    pub(crate) provider: Option<String>,
    /// The model
    #[arg(long, value_name = "ID")]
    pub(crate) model: Option<String>,
    /// Sampling temperature
    #[arg(long, value_name = "T", value_parser = temperature)]
    pub(crate) temperature: Option<f64>,
    /// Tokens of an answer at most
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) max_tokens: Option<u32>,
    /// The mode
    #[arg(long, value_name = "MODE", value_parser = modes())]
    pub(crate) mode: Option<Mode>,
    /// Further instructions
    #[arg(long, value_name = "TEXT")]
    pub(crate) system: Option<String>,
    /// The tools that may be used
    #[arg(long, value_name = "A,B", value_delimiter = ',')]
    pub(crate) tools: Option<Vec<String>>,
    /// Model calls at most
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) max_turns: Option<u32>,
    /// Replace a profile of this name
    #[arg(long)]
    pub(crate) force: bool,
}

/// `victor keys`.
#[derive(Subcommand)]
pub(crate) enum KeysCommand {
    /// Save a provider's key; it is read from the terminal or from stdin, never from the command line
    Set {
        /// The provider
        provider: String,
    },
    /// Which keys are there and where; never the keys themselves
    #[command(visible_alias = "ls")]
    List(Format),
    /// Delete a saved key
    #[command(visible_alias = "rm")]
    Delete {
        /// The provider
        provider: String,
    },
}

/// `victor config`.
#[derive(Subcommand)]
pub(crate) enum ConfigCommand {
    /// Every value that holds, and where it comes from
    Show {
        /// The provider that would serve.
        #[command(flatten)]
        choice: Choice,
        /// How it is printed.
        #[command(flatten)]
        format: Format,
    },
    /// One value
    Get {
        /// The key, such as `providers.local.base_url`
        key: String,
        /// How it is printed.
        #[command(flatten)]
        format: Format,
    },
    /// Change a value in your configuration file; comments stay
    Set {
        /// The key, such as `model`
        key: String,
        /// The value, as YAML
        #[arg(allow_hyphen_values = true)]
        value: String,
    },
    /// Where the files are
    Path(Format),
    /// The JSON Schema of the configuration
    Schema {
        /// Of the events that `run --json` prints
        #[arg(long)]
        events: bool,
    },
}

/// `victor workspace`.
#[derive(Subcommand)]
pub(crate) enum WorkspaceCommand {
    /// Trust this folder's own configuration, as it is now
    Trust(Format),
    /// Trust it no longer
    Untrust(Format),
}
