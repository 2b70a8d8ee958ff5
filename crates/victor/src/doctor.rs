//! What works on this machine, and what to do about what does not: checks as data, for a door to show.

use std::path::Path;
use std::process::{Command, Stdio};

use serde::Serialize;
use tokio_util::sync::CancellationToken;
use victor_core::error::VictorError;
use victor_core::provider::{ProviderRegistry as _, Selector};
use victor_core::request::CallCx;

use crate::config::Settings;
use crate::env::Env;
use crate::home::Home;
#[cfg(feature = "local")]
use crate::local::{self, State, size};
use crate::mcp;
use crate::platform;
use crate::setup::{Options, Setup};
use crate::trust::TrustState;

/// How a check came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckStatus {
    /// It works.
    Ok,
    /// Victor works, with less than it could.
    Warn,
    /// Something that is needed does not work.
    Fail,
}

/// One check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What was checked.
    pub name: &'static str,
    /// How it came out.
    pub status: CheckStatus,
    /// What was found.
    pub detail: String,
    /// What to do about it, where something is to be done.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
}

impl Check {
    fn ok(name: &'static str, detail: impl Into<String>) -> Self {
        Self { name, status: CheckStatus::Ok, detail: detail.into(), fix: None }
    }

    fn warn(name: &'static str, detail: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { name, status: CheckStatus::Warn, detail: detail.into(), fix: Some(fix.into()) }
    }

    fn fail(name: &'static str, detail: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { name, status: CheckStatus::Fail, detail: detail.into(), fix: Some(fix.into()) }
    }
}

/// Whether the provider is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Online {
    /// It is asked whether it can be reached with these credentials.
    Yes,
    /// It is not called, but for its list of models where no model is configured. Whether Ollama runs on this machine is
    /// looked up.
    No,
}

/// Checks everything. Nothing is changed, but for the database, which is made where it is missing.
pub async fn check(options: Options, online: Online) -> Vec<Check> {
    let env = options.env.clone();
    let mut checks = vec![Check::ok("version", format!("victor {}", crate::VERSION))];
    let home = match Home::find(&env) {
        Ok(home) => home,
        Err(e) => {
            checks.push(Check::fail("home", e.message, "set VICTOR_HOME to a folder of your own"));
            return checks;
        }
    };
    checks.push(folder("home", home.root()));
    match Setup::load(options) {
        Err(e) => checks.push(Check::fail("configuration", e.message.replace('\n', "; "), "correct it in that place")),
        Ok(setup) => {
            checks.push(configuration(&setup.settings, &home));
            checks.push(trust(&setup));
            checks.push(database(&setup).await);
            providers(&setup, &mut checks).await;
            #[cfg(feature = "local")]
            checks.push(local_models(&setup).await);
            if online == Online::Yes {
                checks.push(connection(&setup).await);
            }
            checks.extend(servers(&setup, online).await);
            checks.extend(instructions(&setup));
        }
    }
    checks.push(sandbox());
    checks.push(program(&env, "git", "the git tools (`git_status`, `git_diff`, `git_log`) need it; install git"));
    checks.push(folder("log folder", &home.logs()));
    checks
}

/// A folder that is there can be written to; one that is not can be made in what is there above it.
fn folder(name: &'static str, path: &Path) -> Check {
    let present = path.ancestors().find(|p| p.exists());
    let fix = "make it writable for you, or set VICTOR_HOME to another folder";
    let Some(present) = present else { return Check::fail(name, path.display().to_string(), fix) };
    match tempfile::NamedTempFile::new_in(present) {
        Ok(_) if present == path => private(name, path),
        Ok(_) => Check::ok(name, format!("{} (made when it is needed)", path.display())),
        Err(e) => Check::fail(name, format!("{} cannot be written to: {e}", present.display()), fix),
    }
}

fn private(name: &'static str, path: &Path) -> Check {
    match platform::exposed(path) {
        Ok(None) => Check::ok(name, path.display().to_string()),
        Ok(Some(why)) => {
            let fix = format!("run `chmod 700 {}`", path.display());
            Check::warn(name, format!("{} is open to others: {why}", path.display()), fix)
        }
        Err(e) => Check::fail(name, format!("{}: {e}", path.display()), "make it readable for you"),
    }
}

fn configuration(settings: &Settings, home: &Home) -> Check {
    let count = settings.origins.len();
    let file = home.config();
    let there = if file.exists() { "" } else { ", which does not exist yet" };
    let detail = format!("{count} values set; yours are in {}{there}", file.display());
    match settings.notices.as_slice() {
        [] => Check::ok("configuration", detail),
        notices => Check::warn("configuration", notices.join("; "), "see docs/configuration.md"),
    }
}

fn trust(setup: &Setup) -> Check {
    let root = setup.place.root.display();
    let detail = format!("{root}: {}", setup.place.trust);
    match setup.place.trust {
        TrustState::NothingToTrust | TrustState::Trusted | TrustState::TrustedOnce => Check::ok("workspace", detail),
        TrustState::Untrusted | TrustState::Declined | TrustState::Changed => {
            let files = setup.place.files().collect::<Vec<_>>().join(", ");
            Check::warn("workspace", detail, format!("read {files}, then `victor workspace trust` if you agree"))
        }
    }
}

async fn database(setup: &Setup) -> Check {
    let path = setup.place.home.database().display().to_string();
    let opened = async {
        let store = setup.store()?;
        store.check().await?;
        store.close().await?;
        Ok::<_, VictorError>(())
    };
    match opened.await {
        Ok(()) => Check::ok("sessions", path),
        Err(e) => Check::fail("sessions", e.to_string(), "make room, or make the file writable for you"),
    }
}

/// Which provider serves and why, and where each key was found; never a key.
async fn providers(setup: &Setup, checks: &mut Vec<Check>) {
    let providers = match setup.providers() {
        Ok(providers) => providers,
        Err(e) => return checks.push(Check::fail("provider", e.message, "correct the configuration")),
    };
    if let Err(e) = setup.check_profile() {
        let fix = "`victor profiles use NAME` uses another, `victor profiles list` shows them";
        checks.push(Check::fail("profile", e.message, fix));
    }
    for entry in setup.settings.config.fallback.iter().flatten() {
        if let Err(e) = providers.resolve(&Selector::from(entry.as_str())).await {
            checks.push(Check::warn("fallback", format!("{entry}: {e}"), "it is passed over until that is mended"));
        }
    }
    let serving = providers.resolve(&setup.selector()).await;
    let otherwise = if serving.is_ok() { CheckStatus::Ok } else { CheckStatus::Warn };
    match serving {
        Ok(model) => {
            let why = providers.explain().await.into_iter().next().unwrap_or_default();
            checks.push(Check::ok("provider", format!("{model:?} serves ({why})")));
        }
        Err(e) => checks.push(Check::fail("provider", e.to_string(), "`victor keys set PROVIDER` saves a key")),
    }
    let (ready, missing): (Vec<_>, Vec<_>) = providers.providers().into_iter().partition(|p| p.configured);
    let found: Vec<_> = ready.iter().filter(|p| p.detail.starts_with("key from")).collect();
    checks.push(match (found.is_empty(), otherwise) {
        (false, _) => {
            let lines: Vec<_> = found.iter().map(|p| format!("{}: {}", p.name, p.detail)).collect();
            Check::ok("keys", lines.join("; "))
        }
        (true, CheckStatus::Ok) => Check::ok("keys", "none found, and none needed"),
        (true, _) => Check::warn("keys", "none found", "set a provider's variable, or `victor keys set PROVIDER`"),
    });
    for name in setup.settings.config.providers.keys() {
        if let Some(info) = missing.iter().find(|p| p.name == *name) {
            let fix = format!("complete `providers.{name}` in the configuration");
            checks.push(Check::warn("providers", format!("{name}: {}", info.detail), fix));
        }
    }
}

/// Which model runs in this process, and whether its file is still what was installed.
#[cfg(feature = "local")]
async fn local_models(setup: &Setup) -> Check {
    const NAME: &str = "local models";
    let weights = setup.weights();
    let mut here = Vec::new();
    for entry in weights.entries() {
        match entry.state {
            State::Absent => {}
            State::Begun(bytes) => here.push(format!("{} (begun, {} are here)", entry.name, size(bytes))),
            State::Broken(_) | State::Installed(_) => match weights.resolved(&entry.name).await {
                Ok(record) => here.push(format!("{} ({})", record.name, size(record.bytes))),
                Err(e) => return Check::warn(NAME, e.to_string(), format!("`victor models pull {}`", entry.name)),
            },
        }
    }
    match here.as_slice() {
        [] => Check::ok(NAME, format!("none is here; `victor models pull` fetches {}", local::offered(&weights))),
        here => Check::ok(NAME, here.join(", ")),
    }
}

async fn connection(setup: &Setup) -> Check {
    let reached = async {
        let model = setup.providers()?.resolve(&setup.selector()).await?;
        let cx = CallCx { cancel: CancellationToken::new(), idle_timeout: std::time::Duration::from_secs(20) };
        model.provider.check(&cx).await?;
        Ok::<_, VictorError>(model)
    };
    match reached.await {
        Ok(model) => Check::ok("connection", format!("{} answers", model.info.provider)),
        Err(e) => Check::fail("connection", e.to_string(), "check the key, the address and the network"),
    }
}

/// The MCP servers, where there are any; they are started only online.
async fn servers(setup: &Setup, online: Online) -> Option<Check> {
    const NAME: &str = "mcp servers";
    let servers = setup.mcp_servers();
    if servers.is_empty() {
        return None;
    }
    if online == Online::Yes {
        for status in servers.statuses() {
            if status.state != mcp::State::Disabled {
                let _ = servers.test(&status.name).await;
            }
        }
    }
    let statuses = servers.statuses();
    servers.close().await;
    let told = |s: &mcp::Status| match s.state.reason() {
        Some(reason) => format!("{}: failed, {reason}", s.name),
        None => format!("{}: {}", s.name, s.state.name()),
    };
    let detail = statuses.iter().map(told).collect::<Vec<_>>().join("; ");
    let failed = statuses.iter().find(|s| s.state.reason().is_some());
    Some(match failed {
        Some(failed) => Check::warn(NAME, detail, format!("`victor mcp test {}` tries it again", failed.name)),
        None => Check::ok(NAME, detail),
    })
}

fn instructions(setup: &Setup) -> Option<Check> {
    match setup.instructions() {
        Ok((instructions, notices)) if notices.is_empty() => {
            let files: Vec<_> = instructions.files().collect();
            (!files.is_empty()).then(|| Check::ok("instructions", files.join(", ")))
        }
        Ok((_, notices)) => Some(Check::warn("instructions", notices.join("; "), "make it a plain text file")),
        Err(e) => Some(Check::fail("instructions", e.message, "make it a plain text file")),
    }
}

fn sandbox() -> Check {
    let support = victor_tools::sandbox::probe();
    if support.usable() {
        return Check::ok("sandbox", support.summary.clone());
    }
    Check::warn("sandbox", support.summary.clone(), "`--sandbox off` runs allowed commands without one")
}

fn program(env: &Env, name: &'static str, fix: &str) -> Check {
    let mut command = Command::new(name);
    if let Some(path) = env.var("PATH") {
        command.env("PATH", path);
    }
    let found = command.arg("--version").stdin(Stdio::null()).stderr(Stdio::null()).output();
    match found {
        Ok(out) if out.status.success() => {
            Check::ok(name, String::from_utf8_lossy(&out.stdout).lines().next().unwrap_or_default())
        }
        Ok(out) => Check::warn(name, format!("it ends with {}", out.status), fix),
        Err(e) => Check::warn(name, format!("it cannot be started: {e}"), fix),
    }
}
