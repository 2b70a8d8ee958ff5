//! `bash`: a shell line, judged command by command and run in the sandbox.

use std::borrow::Cow;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use victor_core::error::ToolError;
use victor_core::permission::{Access, PermissionKey};
use victor_core::sandbox::{Network, Sandbox, SandboxMode, Workspace};
use victor_core::tool::{Effects, Permit, Plan, Preview, Tool, ToolCx, ToolOutput};

use super::process::Ended;
use super::split::split_command;
use super::{Capture, Ending, Job, run, without_secrets};
use crate::path::Place;
use crate::{platform, sandbox};

/// Seconds that a command may run, unless the call says otherwise, and at most.
const SECONDS: f64 = 120.0;
const SECONDS_MOST: f64 = 3600.0;

/// Runs shell commands.
pub struct Bash;

/// The arguments of `bash`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BashArgs {
    /// The command line. It starts in the workspace's root each time; variables and folders of earlier calls are gone.
    #[schemars(length(min = 1))]
    command: String,
    /// Seconds after which it is ended; 120 if not given, at most 3600.
    #[schemars(range(min = 0.1, max = 3600.0))]
    timeout_s: Option<f64>,
    /// Asks for the network, which a command does not have otherwise.
    #[serde(default)]
    network: bool,
    /// Asks to run outside of the sandbox, for what cannot work in it. A person has to agree.
    #[serde(default)]
    unsandboxed: bool,
    /// What the command does, in a few words, for whoever is asked.
    #[serde(rename = "description")]
    _description: Option<String>,
}

impl Tool for Bash {
    const NAME: &'static str = "bash";
    type Args = BashArgs;

    fn description(&self) -> Cow<'static, str> {
        "Runs a command line with bash in the workspace's root and answers its output and exit status. It has no input \
         and no terminal. It runs in a sandbox that lets it write in the workspace and the temporary folder only, \
         without network unless `network` is set. What it leaves running in the background ends with the call. Of a \
         long output the beginning and the end are answered, and all of it is kept in a file that read can show. Use \
         read, edit, grep and find_files rather than cat, sed, grep and find."
            .into()
    }

    fn category(&self) -> &'static str {
        "shell"
    }

    fn effects(&self) -> Effects {
        Effects::EXECUTE | Effects::NETWORK | Effects::UNSANDBOXED
    }

    fn output(&self) -> Option<serde_json::Value> {
        Some(serde_json::json!({
            "type": "object",
            "properties": {
                "output": {"type": "string", "description": "What it wrote to stdout and stderr, in order"},
                "exit_code": {"type": ["integer", "null"]},
                "signal": {"type": ["string", "null"]},
                "timed_out": {"type": "boolean"},
                "truncated": {"type": "boolean"},
                "output_file": {"type": ["string", "null"], "description": "Holds the whole output, where it was long"},
            },
            "required": ["output", "exit_code", "timed_out", "truncated"],
        }))
    }

    async fn plan(&self, args: BashArgs, cx: &ToolCx) -> Result<Plan, ToolError> {
        if args.command.trim().is_empty() || args.command.contains('\0') {
            return Err(ToolError::model("the command is empty or holds a NUL byte"));
        }
        let seconds = args.timeout_s.unwrap_or(SECONDS);
        if !(seconds > 0.0 && seconds <= SECONDS_MOST) {
            return Err(ToolError::model("timeout_s is a number of seconds above 0, at most 3600"));
        }
        let timeout = Duration::from_secs_f64(seconds);
        let keys = keys(&args, &cx.workspace);
        let cwd = cx.workspace.root.display().to_string();
        let preview = Preview::Command { command: args.command.clone(), cwd };
        let effects = effects(&args, cx.sandbox);
        let plan = Plan::new(effects, move |permit, cx| async move {
            let done = execute(&args.command, timeout, permit.sandbox(), &cx).await?;
            Ok(answer(&done, timeout, &permit))
        });
        Ok(keys.into_iter().fold(plan.preview(preview), Plan::key))
    }
}

fn effects(args: &BashArgs, mode: SandboxMode) -> Effects {
    let network = if args.network { Effects::NETWORK } else { Effects::NONE };
    let leaves = match mode {
        SandboxMode::Off => false,
        // Without a sandbox to be had, every command is one that leaves it.
        SandboxMode::WorkspaceWrite | SandboxMode::ReadOnly => args.unsandboxed || !sandbox::probe().usable(),
    };
    Effects::EXECUTE | network | if leaves { Effects::UNSANDBOXED } else { Effects::NONE }
}

/// What rules are matched against: every simple command, the files of redirections, the network.
fn keys(args: &BashArgs, workspace: &Workspace) -> Vec<PermissionKey> {
    let split = split_command(&args.command);
    let mut unsplit = split.unsplit.is_some();
    let mut keys: Vec<_> = split.commands.into_iter().map(|text| PermissionKey::Command { text }).collect();
    let reads = split.reads.iter().map(|file| (file, Access::Read));
    for (file, access) in reads.chain(split.writes.iter().map(|file| (file, Access::Write))) {
        match Place::resolve(workspace, file, access) {
            Ok(place) => keys.extend(place.keys(access).into_iter().map(for_a_command)),
            Err(_) => unsplit = true,
        }
    }
    if unsplit {
        keys.push(PermissionKey::UnsplitCommand { text: args.command.trim().to_owned() });
    }
    if args.network {
        keys.push(PermissionKey::Host { host: "*".to_owned() });
    }
    keys
}

/// Rules hold for the files of redirections; the border of the workspace is the sandbox's for a command.
fn for_a_command(key: PermissionKey) -> PermissionKey {
    match key {
        PermissionKey::Path { access, relative, absolute, .. } => {
            PermissionKey::Path { access, relative, absolute, outside: false }
        }
        other => other,
    }
}

async fn execute(line: &str, timeout: Duration, allowed: &Sandbox, cx: &ToolCx) -> Result<Ended, ToolError> {
    let (limits, temporary) = sandbox::limits(allowed, &cx.workspace)?;
    let mut command = Command::new(shell());
    command.arg("-c").arg(line).current_dir(&cx.workspace.root);
    without_secrets(&mut command);
    // Programs that would wait for a person at a terminal do not.
    command.env("GIT_TERMINAL_PROMPT", "0").env("PAGER", "cat").env("GIT_PAGER", "cat");
    if let Some(folder) = temporary.own() {
        command.env("TMPDIR", folder).env("TMP", folder).env("TEMP", folder);
    }
    let output = Capture::new(spill_file(cx));
    let done = run(Job { command, limits, timeout, output, errors: None }, cx).await;
    drop(temporary);
    done
}

fn shell() -> &'static str {
    ["/bin/bash", "/usr/bin/bash"].into_iter().find(|p| std::path::Path::new(p).exists()).unwrap_or("sh")
}

fn spill_file(cx: &ToolCx) -> Option<PathBuf> {
    let folder = cx.workspace.spill.as_ref()?;
    Some(folder.join(format!("bash-{}-{}.txt", cx.run, cx.call)))
}

fn answer(done: &Ended, timeout: Duration, permit: &Permit) -> ToolOutput {
    let (code, signal) = platform::ending(done.status);
    let mut text = done.output.text();
    let written = text.clone();
    if text.is_empty() {
        text.push_str("(no output)");
    }
    if !text.ends_with('\n') {
        text.push('\n');
    }
    let failed = done.ending != Ending::Own || code != Some(0);
    if failed && let Some(hint) = sandbox_hint(&text, permit.sandbox()) {
        text.push_str(hint);
    }
    match (done.ending, code, &signal) {
        (Ending::TimedOut, ..) => {
            text.push_str(&format!(
                "[ended after {} s, the time that it had; timeout_s gives more]\n",
                timeout.as_secs_f64()
            ));
        }
        (Ending::Cancelled, ..) => text.push_str("[cancelled]\n"),
        (Ending::Own, Some(0), _) => {}
        (Ending::Own, Some(code), _) => text.push_str(&format!("[exit code {code}]\n")),
        (Ending::Own, None, signal) => {
            text.push_str(&format!("[ended by {}]\n", signal.as_deref().unwrap_or("a signal")));
        }
    }
    let structured = serde_json::json!({
        "output": written,
        "exit_code": code,
        "signal": signal,
        "timed_out": done.ending == Ending::TimedOut,
        "truncated": done.output.is_truncated(),
        "output_file": done.output.file().map(|f| f.display().to_string()),
    });
    let output = ToolOutput::text(text).structured(structured);
    if failed { output.failed() } else { output }
}

/// What to do when a command failed as one does that reaches the sandbox's wall.
fn sandbox_hint(text: &str, sandbox: &Sandbox) -> Option<&'static str> {
    if sandbox.mode == SandboxMode::Off {
        return None;
    }
    let has = |words: &[&str]| words.iter().any(|w| text.contains(w));
    let names = ["resolve host", "name resolution", "Name or service", "Could not resolve", "Network is unreachable"];
    if sandbox.network == Network::Denied && has(&names) {
        return Some("[the sandbox gave it no network; if it needs one, set network]\n");
    }
    has(&["Permission denied", "Operation not permitted", "Read-only file system", "PermissionError", "EACCES"]).then_some(
        "[it ran in a sandbox, which limits where it may write (the workspace, unless all is read-only, and the temporary \
         folder) and the network (network asks for it); if it needs more, set unsandboxed]\n",
    )
}
