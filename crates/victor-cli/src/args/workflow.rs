//! `victor workflow`: running workflows, looking at them, and going on with their runs.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::{AgentFlags, CallFlags, Choice, Format};

/// `victor workflow`.
#[derive(Subcommand)]
pub(crate) enum WorkflowCommand {
    /// Run a workflow
    Run(WorkflowRunArgs),
    /// Check workflow files; all mistakes are told
    Validate {
        /// The files
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
        /// How it is printed.
        #[command(flatten)]
        format: Format,
    },
    /// The workflows that have a name: this folder's, yours, and those that Victor brings along
    #[command(visible_alias = "ls")]
    List {
        /// The runs instead, latest first
        #[arg(long)]
        runs: bool,
        /// Runs of all folders, not only of this one
        #[arg(long, short, requires = "runs")]
        all: bool,
        /// At most so many runs
        #[arg(long, value_name = "N", default_value_t = 20, value_parser = super::count, requires = "runs")]
        limit: usize,
        /// How it is printed.
        #[command(flatten)]
        format: Format,
    },
    /// One workflow: what it is for, its inputs, its nodes
    Show {
        /// Which.
        #[command(flatten)]
        which: WhichWorkflow,
        /// How it is printed.
        #[command(flatten)]
        format: Format,
    },
    /// Where a run stands
    Status {
        /// The run, or the beginning of its id [default: lists the runs of this folder]
        id: Option<String>,
        /// How it is printed.
        #[command(flatten)]
        format: Format,
    },
    /// Go on with a run that waits for an answer or was interrupted
    Resume(WorkflowResumeArgs),
    /// End a run for good, wherever it is
    Cancel {
        /// The run, or the beginning of its id
        id: String,
        /// How it is printed.
        #[command(flatten)]
        format: Format,
    },
    /// The workflows on a schedule: when each is due next, and what came of its last time
    Schedules {
        /// With --json: how many of the last times of each
        #[arg(long, value_name = "N", default_value_t = 20, requires = "json")]
        last: usize,
        /// How it is printed.
        #[command(flatten)]
        format: Format,
    },
    /// Draw a workflow
    Graph {
        /// Which.
        #[command(flatten)]
        which: WhichWorkflow,
        /// In which language
        #[arg(long, value_enum, default_value_t = GraphFormat::Text, value_name = "FORMAT", conflicts_with = "json")]
        format: GraphFormat,
        /// Print nodes and edges as JSON
        #[arg(long)]
        json: bool,
    },
}

/// A workflow by its name or file.
#[derive(Args, Clone)]
pub(crate) struct WhichWorkflow {
    /// A workflow's name, or a file
    #[arg(value_name = "FILE_OR_NAME")]
    pub(crate) workflow: String,
    /// Which workflow of the file, where it holds several
    #[arg(long, value_name = "WORKFLOW")]
    pub(crate) name: Option<String>,
}

/// `victor workflow run`.
#[derive(Args)]
pub(crate) struct WorkflowRunArgs {
    /// Which.
    #[command(flatten)]
    pub(crate) which: WhichWorkflow,
    /// What it is given: a JSON object, `@FILE`, or `-` for stdin
    #[arg(long, value_name = "JSON")]
    pub(crate) input: Option<String>,
    /// One input; can be given several times
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) set: Vec<String>,
    /// How it is followed.
    #[command(flatten)]
    pub(crate) follow: FollowArgs,
}

/// `victor workflow resume`.
#[derive(Args)]
pub(crate) struct WorkflowResumeArgs {
    /// The run, or the beginning of its id
    pub(crate) id: String,
    /// Go on although the workflow has changed since
    #[arg(long)]
    pub(crate) accept_changes: bool,
    /// How it is followed.
    #[command(flatten)]
    pub(crate) follow: FollowArgs,
}

/// How a run is followed, and what it may do.
#[derive(Args)]
pub(crate) struct FollowArgs {
    /// The answer to a question, by its node; can be given several times
    #[arg(long, value_name = "NODE=ANSWER")]
    pub(crate) answer: Vec<String>,
    /// Leave the run waiting where it asks a person, instead of asking now
    #[arg(long)]
    pub(crate) wait: bool,
    /// Print the run's events as JSON Lines
    #[arg(long)]
    pub(crate) json: bool,
    /// Which model, where a node names none.
    #[command(flatten)]
    pub(crate) choice: Choice,
    /// The tools that may be used, by name or glob
    #[arg(long, value_name = "A,B", value_delimiter = ',')]
    pub(crate) tools: Option<Vec<String>>,
    /// Model calls at most
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) max_turns: Option<u32>,
    /// Dollars at most
    #[arg(long, value_name = "USD", value_parser = super::agent::dollars, allow_negative_numbers = true)]
    pub(crate) max_cost: Option<f64>,
    /// Keep nothing of this run: it can be neither left waiting nor resumed
    #[arg(long, conflicts_with = "wait")]
    pub(crate) no_save: bool,
    /// What it may do.
    #[command(flatten)]
    pub(crate) call: CallFlags,
}

/// The languages of drawings.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum GraphFormat {
    /// For a terminal.
    Text,
    /// Mermaid.
    Mermaid,
    /// Graphviz.
    Dot,
}

impl FollowArgs {
    /// The same as an agent's flags.
    pub(crate) fn agent(&self) -> AgentFlags {
        AgentFlags {
            choice: self.choice.clone(),
            tools: self.tools.clone(),
            max_turns: self.max_turns,
            max_cost: self.max_cost,
            no_save: self.no_save,
            call: self.call.clone(),
            ..AgentFlags::default()
        }
    }
}
