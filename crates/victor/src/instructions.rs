//! The system prompt: Victor's own part, the mode, what does not change about the surroundings, the project's part.
//!
//! It is made once for a runtime and holds no clock and no random: providers keep its start in their caches.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use victor_core::permission::Mode;
use victor_core::sandbox::Workspace;

use crate::env::Env;
use crate::platform::{self, Content, Links};

const PROMPT: &str = include_str!("prompt.md");
/// For models with a small window: few words, which they follow better than many.
const SHORT_PROMPT: &str = include_str!("short_prompt.md");
/// The longest part that one file adds, in bytes.
const FILE_LIMIT: usize = 32 << 10;
/// The longest part that all files add to the short prompt, in bytes.
const SHORT_LIMIT: usize = 2 << 10;
/// The longest part that all files add together, in bytes.
const TOTAL_LIMIT: usize = 96 << 10;

/// What the system prompt is made of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Instructions {
    surroundings: Surroundings,
    project: Vec<ProjectText>,
}

/// What does not change between turns.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Surroundings {
    /// The operating system and processor.
    pub system: String,
    /// The workspace's folder.
    pub workspace: PathBuf,
    /// Further folders that may be read and written.
    pub added: Vec<PathBuf>,
    /// Whether the workspace lies in a git repository.
    pub git: bool,
    /// The user's shell.
    pub shell: Option<String>,
}

/// The text of one instruction file.
#[derive(Clone, Debug, PartialEq, Eq)]
struct ProjectText {
    path: String,
    text: String,
    cut: bool,
}

impl Surroundings {
    /// The surroundings of a workspace.
    pub(crate) fn find(workspace: &Workspace, env: &Env) -> Self {
        let shell = env.path("SHELL").and_then(|s| Some(s.file_name()?.to_str()?.to_owned()));
        Self {
            system: format!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
            workspace: workspace.root.clone(),
            added: workspace.added.clone(),
            git: workspace.root.ancestors().any(|folder| folder.join(".git").exists()),
            shell,
        }
    }
}

impl Instructions {
    /// Instructions for these surroundings.
    #[must_use]
    pub fn new(surroundings: Surroundings) -> Self {
        Self { surroundings, project: Vec::new() }
    }

    /// Adds the `AGENTS.md` files from the workspace's root down to `current`, and `init` (the text of a trusted
    /// folder's `.victor/init.md`). Gives a line for each file that is left out.
    pub(crate) fn add_project(&mut self, root: &Path, current: &Path, init: Option<&str>) -> Vec<String> {
        let mut notices = Vec::new();
        for folder in folders(root, current) {
            let path = folder.join("AGENTS.md");
            let shown = path.strip_prefix(root).unwrap_or(&path).display().to_string();
            match agents_file(root, &path) {
                Ok(None) => {}
                Ok(Some((text, cut))) => self.add(shown, &text, cut),
                Err(why) => notices.push(format!("{} is left out of the instructions: {why}", path.display())),
            }
        }
        if let Some(text) = init {
            self.add(".victor/init.md".to_owned(), text, false);
        }
        notices
    }

    fn add(&mut self, path: String, text: &str, cut: bool) {
        let used: usize = self.project.iter().map(|p| p.text.len()).sum();
        let kept = head(text.trim(), FILE_LIMIT.min(TOTAL_LIMIT.saturating_sub(used)));
        let cut = cut || kept.len() < text.trim().len();
        if !kept.is_empty() || cut {
            self.project.push(ProjectText { path, text: kept.to_owned(), cut });
        }
    }

    /// The files that the project's part comes from.
    pub fn files(&self) -> impl Iterator<Item = &str> {
        self.project.iter().map(|p| p.path.as_str())
    }

    /// The system prompt of a mode.
    #[must_use]
    pub fn prompt(&self, mode: Mode) -> String {
        let mut prompt = format!("{}\n# Mode\n{}\n\n# Surroundings\n", PROMPT, mode_text(mode));
        let s = &self.surroundings;
        let mut line = |name: &str, value: &str| {
            let _ = writeln!(prompt, "- {name}: {value}");
        };
        line("System", &s.system);
        if let Some(shell) = &s.shell {
            line("The user's shell", shell);
        }
        line("Workspace", &s.workspace.display().to_string());
        for folder in &s.added {
            line("Further folder", &folder.display().to_string());
        }
        line("Git repository", if s.git { "yes" } else { "no" });
        for part in &self.project {
            let note = if part.cut { "\n\n(The file is longer; read the rest of it if you need it.)" } else { "" };
            let _ = write!(prompt, "\n# Project instructions from {}\n{}{note}\n", part.path, part.text);
        }
        prompt
    }

    /// The system prompt of a mode for models with a small window. Of the project's files it holds the beginning.
    #[must_use]
    pub fn short_prompt(&self, mode: Mode) -> String {
        let folder = self.surroundings.workspace.display();
        let mut prompt = format!("{SHORT_PROMPT}{} The folder is {folder}.\n", short_mode_text(mode));
        let mut left = SHORT_LIMIT;
        for part in &self.project {
            let text = head(&part.text, left);
            left -= text.len();
            if !text.is_empty() {
                let _ = write!(prompt, "\n# From {}\n{text}\n", part.path);
            }
        }
        prompt
    }
}

fn short_mode_text(mode: Mode) -> &'static str {
    match mode {
        Mode::Build => "You may read and change the files of the folder.",
        Mode::Plan => "You may only read. Answer with a plan of steps, and change nothing.",
        Mode::Explore => "You may only read. Change nothing.",
        Mode::Review => "You may only read. Name the mistakes that you find, and change nothing.",
        Mode::Delegate => "You may read, and hand work to other agents. Change nothing yourself.",
    }
}

fn mode_text(mode: Mode) -> &'static str {
    match mode {
        Mode::Build => "build: you may read and change files in the workspace; commands may need the user's consent.",
        Mode::Plan => {
            "plan: you may only read. Work out how the task is to be done and answer with a plan: the steps, the files \
             and places that change, what could go wrong, and how the result is checked. Change nothing."
        }
        Mode::Explore => {
            "explore: you may only read. Answer the user's questions about what is there, with the places that your \
             answer rests on. Change nothing."
        }
        Mode::Review => {
            "review: you may read, and run checks with the user's consent. Look for mistakes, and name for each one its \
             place, why it is one, and how it could be put right, the gravest first. Change no file."
        }
        Mode::Delegate => {
            "delegate: you may read, and hand work to other agents with the tools that stand for them. Give each one a \
             task that is complete in itself, and put their results together. Change nothing yourself."
        }
    }
}

/// The folders from `root` down to `current`; `root` alone where `current` is not below it.
fn folders(root: &Path, current: &Path) -> Vec<PathBuf> {
    let mut folders = vec![root.to_owned()];
    if let Ok(below) = current.strip_prefix(root) {
        for part in below.components() {
            let next = folders.last().map(|f| f.join(part));
            folders.extend(next);
        }
    }
    folders
}

/// The file's text and whether it is longer. A link counts only if it stays inside `root`: what it shows goes to the
/// provider.
fn agents_file(root: &Path, path: &Path) -> Result<Option<(String, bool)>, String> {
    let Ok(real) = path.canonicalize() else { return Ok(None) };
    if !real.starts_with(root) {
        return Err("it is a link that leads out of the workspace".to_owned());
    }
    let (bytes, cut) = match platform::read_limited(&real, FILE_LIMIT, Links::Refuse).map_err(|e| e.to_string())? {
        Content::Missing => return Ok(None),
        Content::Bytes(bytes) => (bytes, false),
        Content::TooLong(bytes) => (bytes, true),
    };
    if bytes.contains(&0) {
        return Err("it is not text".to_owned());
    }
    let mut text = String::from_utf8_lossy(&bytes).replace("\r\n", "\n");
    if cut && let Some(end) = text.rfind('\n') {
        text.truncate(end);
    }
    Ok(Some((text, cut)))
}

/// The first lines of a text that fit into `limit` bytes; the first characters where not even one line does.
fn head(text: &str, limit: usize) -> &str {
    if text.len() <= limit {
        return text;
    }
    let end = (0..=limit).rev().find(|i| text.is_char_boundary(*i)).unwrap_or(0);
    text[..end].rfind('\n').map_or(&text[..end], |i| &text[..i])
}

#[cfg(test)]
mod tests;
