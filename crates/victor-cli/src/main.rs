//! The command line of Victor: it parses, calls the engine, and prints; it decides nothing that the engine could.
#![forbid(unsafe_code)]

mod allow;
mod app;
mod approve;
mod args;
mod attach;
mod chat;
mod config;
mod doctor;
mod elicit;
mod exit;
mod follow;
mod init;
mod keys;
mod logs;
mod mcp;
mod model;
mod person;
mod profile;
mod provider;
mod pull;
mod render;
mod run;
mod serve;
mod session;
mod signal;
mod stdin;
mod terminal;
mod token;
mod tool;
mod workflow;
mod workspace;

use std::process::ExitCode;

use clap::{CommandFactory, Parser};
use tokio::runtime::{Builder, Runtime};

use app::App;
use args::{AgentFlags, ChatArgs, Cli, Command};
use exit::{Exit, Failure};

/// Many small pieces of JSON from several threads: half the time of the system's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    // Whatever is not parsed here ends the program: --version, --help, and what makes no sense (2).
    let cli = Cli::parse();
    let app = App::new(cli.global.clone());
    let exit = match command(&app, cli) {
        Ok(exit) => exit,
        Err(failure) => {
            app.error(&failure);
            failure.exit
        }
    };
    exit.into()
}

fn command(app: &App, cli: Cli) -> Result<Exit, Failure> {
    let before = cli.agent;
    let Some(command) = cli.command else {
        return to_end(threads()?, chat::chat(app, None, cli.chat, before));
    };
    if cli.chat.resume || cli.chat.session.is_some() {
        return Err(Failure::usage("`--continue` and `--session` belong after the command: `victor chat --continue`"));
    }
    let shapes_agent = matches!(
        command,
        Command::Chat(_) | Command::Run(_) | Command::Tools(_) | Command::Config(_) | Command::Doctor(_)
    );
    if !shapes_agent && before != AgentFlags::default() {
        return Err(Failure::usage("flags that shape an agent have no effect on this command; leave them out"));
    }
    match command {
        Command::Chat(ChatArgs { prompt, chat, agent }) => {
            to_end(threads()?, chat::chat(app, prompt, chat, agent.over(before)))
        }
        Command::Run(args) => to_end(threads()?, run::run(app, args, before)),
        Command::Tools(command) => to_end(threads()?, tool::tools(app, command, before)),
        Command::Config(command) => config::config(app, command, before),
        Command::Doctor(args) => to_end(single()?, doctor::doctor(app, args, before)),
        Command::Mcp(args) => mcp::mcp(app, args),
        Command::Serve(args) => serve::serve(app, args),
        Command::Tokens(command) => to_end(single()?, token::tokens(app, command)),
        Command::Workflow(command) => workflow::workflow(app, command),
        Command::Sessions(command) => to_end(single()?, session::sessions(app, command)),
        Command::Providers(command) => to_end(single()?, provider::providers(app, command)),
        Command::Models(command) => to_end(single()?, model::models(app, command)),
        Command::Profiles(command) => profile::profiles(app, command),
        Command::Keys(command) => keys::keys(app, command),
        Command::Workspace(command) => workspace::workspace(app, command),
        Command::Logs(args) => to_end(single()?, logs::logs(app, args)),
        Command::Init(args) => to_end(single()?, init::init(app, args)),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "victor", &mut script);
            terminal::bytes(&script)?;
            Ok(Exit::Done)
        }
    }
}

/// Runs the command to its end. A question that still reads a terminal which is gone is not waited for.
fn to_end(threads: Runtime, command: impl Future<Output = Result<Exit, Failure>>) -> Result<Exit, Failure> {
    let ended = threads.block_on(command);
    threads.shutdown_background();
    ended
}

/// For agents: their tools wait for the disk and for programs.
fn threads() -> Result<Runtime, Failure> {
    start(Builder::new_multi_thread().worker_threads(2))
}

/// For commands that do one thing after the other.
fn single() -> Result<Runtime, Failure> {
    start(&mut Builder::new_current_thread())
}

fn start(builder: &mut Builder) -> Result<Runtime, Failure> {
    builder.enable_all().build().map_err(|e| Failure::failed(format!("the program cannot start its threads: {e}")))
}
