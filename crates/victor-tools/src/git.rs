//! Git tools: status, diff and log through the git program, read-only.
//!
//! A repository's own configuration is not trusted: nothing that it names is run, and what lies outside of the
//! workspace is not shown.

mod data;

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use victor_core::error::ToolError;
use victor_core::permission::{Access, PathRules};
use victor_core::sandbox::{Network, Sandbox, SandboxMode};
use victor_core::tool::{Effects, Permit, Plan, Tool, ToolCx, ToolOutput};

use crate::exec::{Capture, Ending, Job, inherited, run, without_secrets};
use crate::path::{Place, relative_to};
use crate::sandbox;

const TIMEOUT: Duration = Duration::from_secs(60);
/// Bytes of lists of names, and of error messages, that are read.
const NAMES_BYTES: usize = 4 << 20;
const ERROR_BYTES: usize = 4000;
/// Entries of a status, and hidden files of a diff, at most.
const ENTRIES: usize = 1000;
/// Commits of a log unless the call says otherwise.
const COMMITS: u32 = 20;

/// Settings that would run a program or leave the machine, turned off for every call.
const OFF: [(&str, &str); 7] = [
    ("core.fsmonitor", "false"),
    ("core.hooksPath", "/dev/null"),
    ("core.pager", "cat"),
    ("diff.external", ""),
    ("log.showSignature", "false"),
    ("protocol.allow", "never"),
    ("core.alternateRefsCommand", ""),
];

/// Shows what is changed in the working tree.
pub struct GitStatus;

/// Shows changes line by line.
pub struct GitDiff;

/// Shows the history.
pub struct GitLog;

/// Shows a file as it was in a revision.
pub(crate) struct GitShow;

/// The arguments of `git_status`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GitStatusArgs {}

/// The arguments of `git_diff`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GitDiffArgs {
    /// Shows what is staged, not what is not.
    #[serde(default)]
    staged: bool,
    /// Shows this file or folder only.
    path: Option<String>,
    /// Compares with this revision, or two of them: `HEAD~3`, `main..topic`.
    rev: Option<String>,
}

/// The arguments of `git_log`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GitLogArgs {
    /// How many commits to show at most; 20 if not given.
    #[schemars(range(min = 1, max = 500))]
    max: Option<u32>,
    /// Shows commits only that change this file or folder.
    path: Option<String>,
    /// Begins at this revision, or shows a range: `main`, `v1.0..HEAD`.
    rev: Option<String>,
}

/// The arguments of `git_show`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct GitShowArgs {
    /// The revision: `HEAD`, `main~2`, a hash.
    rev: String,
    /// The file, relative to the workspace's root.
    path: String,
}

impl Tool for GitShow {
    const NAME: &'static str = "git_show";
    type Args = GitShowArgs;

    fn description(&self) -> Cow<'static, str> {
        "Shows a file as it was in a revision.".into()
    }

    fn category(&self) -> &'static str {
        "git"
    }

    fn effects(&self) -> Effects {
        Effects::READ
    }

    async fn plan(&self, args: GitShowArgs, cx: &ToolCx) -> Result<Plan, ToolError> {
        check_rev(Some(&args.rev))?;
        let place = inside(cx, Some(&args.path))?;
        // The object of a folder is refused: below it files have paths that the rules do not know.
        let object = format!("{}^{{commit}}:./{}", args.rev, place.relative.as_deref().unwrap_or_default());
        Ok(plan(&place, async move |_, cx| {
            let repository = Repository::open(&cx).await?;
            let content = repository.names(&["cat-file", "blob", &object], &cx).await?;
            Ok(ToolOutput::text(content))
        }))
    }
}

impl Tool for GitStatus {
    const NAME: &'static str = "git_status";
    type Args = GitStatusArgs;

    fn description(&self) -> Cow<'static, str> {
        "Shows the branch and the changed, staged and untracked files, as `git status --short --branch` does.".into()
    }

    fn category(&self) -> &'static str {
        "git"
    }

    fn effects(&self) -> Effects {
        Effects::READ
    }

    async fn plan(&self, _: GitStatusArgs, cx: &ToolCx) -> Result<Plan, ToolError> {
        let place = Place::resolve(&cx.workspace, ".", Access::Read)?;
        Ok(plan(&place, async move |permit, cx| {
            let repository = Repository::open(&cx).await?;
            status(&repository, permit.paths(), &cx).await
        }))
    }
}

impl Tool for GitDiff {
    const NAME: &'static str = "git_diff";
    type Args = GitDiffArgs;

    fn description(&self) -> Cow<'static, str> {
        "Shows changes as a unified diff: of the working tree against what is staged, of what is staged (`staged`), or \
         against a revision (`rev`)."
            .into()
    }

    fn category(&self) -> &'static str {
        "git"
    }

    fn effects(&self) -> Effects {
        Effects::READ
    }

    async fn plan(&self, args: GitDiffArgs, cx: &ToolCx) -> Result<Plan, ToolError> {
        check_rev(args.rev.as_deref())?;
        let place = inside(cx, args.path.as_deref())?;
        let target = place.clone();
        Ok(plan(&place, async move |permit, cx| {
            let repository = Repository::open(&cx).await?;
            diff(&repository, &args, &target, permit.paths(), &cx).await
        }))
    }
}

impl Tool for GitLog {
    const NAME: &'static str = "git_log";
    type Args = GitLogArgs;

    fn description(&self) -> Cow<'static, str> {
        "Shows commits, latest first: hash, date, author, subject.".into()
    }

    fn category(&self) -> &'static str {
        "git"
    }

    fn effects(&self) -> Effects {
        Effects::READ
    }

    async fn plan(&self, args: GitLogArgs, cx: &ToolCx) -> Result<Plan, ToolError> {
        check_rev(args.rev.as_deref())?;
        let place = inside(cx, args.path.as_deref())?;
        let target = place.clone();
        Ok(plan(&place, async move |_, cx| {
            let repository = Repository::open(&cx).await?;
            log(&repository, &args, &target, &cx).await
        }))
    }
}

fn plan<F, Fut>(place: &Place, work: F) -> Plan
where
    F: FnOnce(Permit, ToolCx) -> Fut + Send + 'static,
    Fut: Future<Output = Result<ToolOutput, ToolError>> + Send + 'static,
{
    place.keys(Access::Read).into_iter().fold(Plan::new(Effects::READ, work), Plan::key)
}

fn inside(cx: &ToolCx, path: Option<&str>) -> Result<Place, ToolError> {
    let place = Place::resolve(&cx.workspace, path.unwrap_or("."), Access::Read)?;
    if place.relative.is_none() {
        return Err(ToolError::Denied(format!("`{}` is outside the workspace's root", place.shown)));
    }
    Ok(place)
}

/// Takes names of revisions and ranges of them, nothing that git would read as an option or as a file in a revision.
fn check_rev(rev: Option<&str>) -> Result<(), ToolError> {
    let Some(rev) = rev else { return Ok(()) };
    let odd = |c: char| c.is_whitespace() || c.is_control() || c == ':';
    if rev.is_empty() || rev.starts_with('-') || rev.contains(odd) {
        return Err(ToolError::model(format!("`{rev}` is no revision; write one such as `HEAD~1`, `main` or `a..b`")));
    }
    Ok(())
}

async fn status(repository: &Repository, rules: &PathRules, cx: &ToolCx) -> Result<ToolOutput, ToolError> {
    let args = ["status", "--porcelain=v1", "--branch", "-z", "--ignore-submodules=dirty", "--", "."];
    let output = repository.names(&args, cx).await?;
    let mut fields = output.split('\0').filter(|f| !f.is_empty());
    let mut text = String::new();
    let (mut shown, mut hidden) = (0, 0);
    while let Some(field) = fields.next() {
        if let Some(branch) = field.strip_prefix("## ") {
            text.push_str(&format!("on {branch}\n"));
            continue;
        }
        let (Some(state), Some(path)) = (field.get(..2), field.get(3..)) else { continue };
        let from = state.contains(['R', 'C']).then(|| fields.next()).flatten();
        if [Some(path), from].into_iter().flatten().any(|p| repository.hides(GitStatus::NAME, rules, p)) {
            hidden += 1;
        } else if shown < ENTRIES {
            shown += 1;
            let from = from.map(|f| format!("{} -> ", repository.shown(f))).unwrap_or_default();
            text.push_str(&format!("{state} {from}{}\n", repository.shown(path)));
        } else {
            text.push_str(&format!("[more than {ENTRIES} entries]\n"));
            break;
        }
    }
    if shown == 0 && hidden == 0 {
        text.push_str("nothing is changed\n");
    }
    if hidden > 0 {
        text.push_str(&format!("[{hidden} entries are kept out by permission rules]\n"));
    }
    Ok(ToolOutput::text(text))
}

async fn diff(
    repository: &Repository,
    args: &GitDiffArgs,
    place: &Place,
    rules: &PathRules,
    cx: &ToolCx,
) -> Result<ToolOutput, ToolError> {
    if let Some(rev) = &args.rev {
        repository.check_commits(rev, cx).await?;
    }
    let mut base = vec!["diff", "--no-color", "--no-ext-diff", "--no-textconv", "--ignore-submodules=dirty"];
    base.push("--submodule=short");
    base.extend(args.staged.then_some("--cached"));
    let rev = args.rev.as_deref();
    let paths = pathspec(place);
    let names: Vec<&str> =
        base.iter().copied().chain(["--name-only", "--no-renames", "-z"]).chain(rev).chain(["--", &paths]).collect();
    let names = repository.names(&names, cx).await?;
    let changed = names.split('\0').filter(|n| !n.is_empty());
    let hidden: Vec<_> = changed.filter(|n| repository.hides(GitDiff::NAME, rules, n)).collect();
    if hidden.len() > ENTRIES {
        return Err(ToolError::Denied(
            "permission rules keep out too many of the changed files; name a path".to_owned(),
        ));
    }
    let without: Vec<_> = hidden.iter().map(|h| format!(":(exclude,top,literal){h}")).collect();
    let show = base.iter().copied().chain(rev).chain(["--", &paths]).chain(without.iter().map(String::as_str));
    let output = repository.show(&show.collect::<Vec<_>>(), cx).await?;
    let mut text = output.text();
    if text.is_empty() {
        text.push_str("there is no difference\n");
    }
    if !hidden.is_empty() {
        text.push_str(&format!("[{} files are kept out by permission rules]\n", hidden.len()));
    }
    Ok(ToolOutput::text(text))
}

async fn log(repository: &Repository, args: &GitLogArgs, place: &Place, cx: &ToolCx) -> Result<ToolOutput, ToolError> {
    let max = format!("--max-count={}", args.max.unwrap_or(COMMITS));
    let mut all = vec!["log", "--no-color", "-s", "--no-show-signature", "--date=short", &max];
    all.push("--format=%h %ad %an: %s");
    all.extend(args.rev.as_deref());
    all.push("--");
    let paths = pathspec(place);
    // A path leaves out commits that change nothing there, merges too: only named where it narrows anything.
    if place.absolute != repository.top {
        all.push(&paths);
    }
    let text = repository.show(&all, cx).await?.text();
    Ok(ToolOutput::text(if text.is_empty() { "there are no such commits\n".to_owned() } else { text }))
}

/// The place for git, which is run in the workspace's root.
fn pathspec(place: &Place) -> String {
    match place.relative.as_deref() {
        None | Some("") => ".".to_owned(),
        Some(path) => format!(":(literal){path}"),
    }
}

/// The repository that the workspace lies in.
struct Repository {
    root: PathBuf,
    top: PathBuf,
    /// What its own configuration has that runs programs.
    off: Vec<(String, String)>,
}

impl Repository {
    async fn open(cx: &ToolCx) -> Result<Self, ToolError> {
        let root = cx.workspace.root.clone();
        let mut repository = Self { top: root.clone(), root, off: Vec::new() };
        let asked = ["rev-parse", "--show-toplevel", "--absolute-git-dir", "--git-common-dir"];
        let found = repository.names(&asked, cx).await?;
        let mut lines = found.lines();
        let (Some(top), Some(folder), Some(common)) = (lines.next(), lines.next(), lines.next()) else {
            return Err(ToolError::model("git does not say where the repository lies"));
        };
        repository.top = PathBuf::from(top);
        let common = repository.root.join(common);
        repository.check(Path::new(folder), &common, cx).await?;
        repository.off = repository.programs(cx).await?;
        Ok(repository)
    }

    /// A repository may say that its data or its files lie elsewhere. Both have to belong to this workspace, or a
    /// cloned folder could show the files and the history of another one.
    async fn check(&self, folder: &Path, common: &Path, cx: &ToolCx) -> Result<(), ToolError> {
        let related = self.top.starts_with(&self.root) || self.root.starts_with(&self.top);
        let own = folder.starts_with(&self.root) || folder.starts_with(&self.top);
        let stray = match related && (own || self.is_named_by(folder, cx).await) {
            // A repository in the workspace chooses its top itself (`core.worktree`).
            true if folder.starts_with(&self.root) => data::stray(folder, common, &[&self.root]),
            true => data::stray(folder, common, &[&self.root, &self.top]),
            false => Some(folder.to_owned()),
        };
        stray.map_or(Ok(()), |place| {
            let place = place.display();
            let why = format!("the repository's data is in {place}, which does not belong to this workspace");
            Err(ToolError::Denied(why))
        })
    }

    /// Whether git data elsewhere names this folder as its own: a linked working tree, or a submodule.
    async fn is_named_by(&self, folder: &Path, cx: &ToolCx) -> bool {
        let back = std::fs::read_to_string(folder.join("gitdir")).unwrap_or_default();
        if Path::new(back.trim()).canonicalize().is_ok_and(|p| p == self.top.join(".git")) {
            return true;
        }
        let tree = self.names(&["config", "--local", "--get", "core.worktree"], cx).await.unwrap_or_default();
        !tree.trim().is_empty() && folder.join(tree.trim()).canonicalize().is_ok_and(|p| p == self.top)
    }

    /// The filters that the repository's own configuration names, to be turned off. The user's own filters stay.
    async fn programs(&self, cx: &ToolCx) -> Result<Vec<(String, String)>, ToolError> {
        let listed = self.names(&["config", "--list", "--show-scope", "--name-only", "-z"], cx).await?;
        let fields: Vec<&str> = listed.split('\0').collect();
        let own = fields.chunks_exact(2).filter(|f| !matches!(f[0], "system" | "global" | "command"));
        let filters = own.map(|f| f[1]).filter(|name| name.starts_with("filter."));
        let off = filters.filter_map(|name| {
            let (filter, what) = name.rsplit_once('.')?;
            matches!(what, "clean" | "smudge" | "process")
                .then(|| [(name.to_owned(), String::new()), (format!("{filter}.required"), "false".to_owned())])
        });
        Ok(off.flatten().collect())
    }

    /// Takes commits only, and ranges of them: in the objects of folders and files paths are others than in the
    /// workspace, and rules would not know them.
    async fn check_commits(&self, rev: &str, cx: &ToolCx) -> Result<(), ToolError> {
        let objects = self.names(&["rev-parse", rev, "--"], cx).await?;
        let ids = objects.lines().filter(|line| *line != "--").map(|id| id.trim_start_matches('^'));
        let commits: Vec<String> = ids.map(|id| format!("{id}^{{commit}}")).collect();
        let all = ["rev-parse"].into_iter().chain(commits.iter().map(String::as_str)).chain(["--"]);
        match self.names(&all.collect::<Vec<_>>(), cx).await {
            Ok(_) => Ok(()),
            Err(ToolError::Model(_)) => {
                Err(ToolError::model(format!("`{rev}` names no commit, but a folder or a file of the repository")))
            }
            Err(other) => Err(other),
        }
    }

    fn hides(&self, tool: &str, rules: &PathRules, path: &str) -> bool {
        let absolute = self.top.join(path);
        rules.hides(tool, relative_to(&self.root, &absolute).as_deref(), &absolute.display().to_string())
    }

    fn shown(&self, path: &str) -> String {
        relative_to(&self.root, &self.top.join(path)).unwrap_or_else(|| path.to_owned())
    }

    async fn names(&self, args: &[&str], cx: &ToolCx) -> Result<String, ToolError> {
        let output = self.git(args, Capture::whole(NAMES_BYTES), cx).await?;
        if output.is_truncated() {
            return Err(ToolError::model("there are too many changed files to list; name a path"));
        }
        Ok(String::from_utf8_lossy(output.head()).into_owned())
    }

    async fn show(&self, args: &[&str], cx: &ToolCx) -> Result<Capture, ToolError> {
        let folder = cx.workspace.spill.as_ref();
        let file = folder.map(|f| f.join(format!("git-{}-{}.txt", cx.run, cx.call)));
        self.git(args, Capture::new(file), cx).await
    }

    async fn git(&self, args: &[&str], output: Capture, cx: &ToolCx) -> Result<Capture, ToolError> {
        let (limits, temporary) = match sandbox::probe().usable() {
            true => {
                let closed = Sandbox { mode: SandboxMode::ReadOnly, network: Network::Denied };
                sandbox::limits(&closed, &cx.workspace)?
            }
            false => (None, sandbox::Temporary::Shared),
        };
        let job = Job {
            command: self.command(args),
            limits,
            timeout: TIMEOUT,
            output,
            errors: Some(Capture::whole(ERROR_BYTES)),
        };
        let done = run(job, cx).await.map_err(|e| match e {
            ToolError::Model(why) if why.starts_with("git cannot be started") => {
                ToolError::Model(format!("{why}; the git tools need git to be installed"))
            }
            other => other,
        })?;
        drop(temporary);
        match done.ending {
            Ending::Own if done.status.success() => Ok(done.output),
            Ending::Own => Err(failure(done.errors.as_ref().map_or(&[], Capture::head))),
            Ending::TimedOut => Err(ToolError::model("git took too long and was ended; name a path")),
            Ending::Cancelled => Err(ToolError::model("cancelled")),
        }
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new("git");
        without_secrets(&mut command);
        for name in inherited().into_iter().filter(|n| n.to_string_lossy().starts_with("GIT_")) {
            command.env_remove(name);
        }
        command.args(["--no-pager", "--no-optional-locks"]).args(args).current_dir(&self.root);
        command.envs([
            ("GIT_NO_LAZY_FETCH", "1"),
            ("GIT_ALLOW_PROTOCOL", "none"),
            ("GIT_TERMINAL_PROMPT", "0"),
            ("GIT_OPTIONAL_LOCKS", "0"),
            ("LC_ALL", "C.UTF-8"),
        ]);
        let settings = OFF.iter().copied().chain(self.off.iter().map(|(n, v)| (n.as_str(), v.as_str())));
        let mut count = 0;
        for (name, value) in settings {
            command.env(format!("GIT_CONFIG_KEY_{count}"), name).env(format!("GIT_CONFIG_VALUE_{count}"), value);
            count += 1;
        }
        command.env("GIT_CONFIG_COUNT", count.to_string());
        command
    }
}

fn failure(errors: &[u8]) -> ToolError {
    let text = String::from_utf8_lossy(errors);
    if text.contains("not a git repository") {
        return ToolError::model("the workspace is not in a git repository");
    }
    let text = text.trim();
    ToolError::model(format!("git: {}", text.strip_prefix("fatal: ").unwrap_or(text)))
}
