//! Completion: slash commands and prompts at the beginning of a line, files and resources after `@`.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use reedline::{Completer, CompletionResult, Span, Suggestion};
use victor::mcp::Servers;
use victor::runtime::Runtime;

use super::slash::COMMANDS;
use crate::terminal::{harmless, harmless_line};

/// Suggestions at most.
const LIMIT: usize = 200;

/// Completes lines of a chat.
pub(super) struct Completions {
    /// The folder that paths start from.
    root: PathBuf,
    /// Whose prompts and resources are offered.
    servers: Option<Arc<Servers>>,
}

impl Completions {
    pub(super) fn new(runtime: &Runtime) -> Self {
        Self { root: runtime.workspace().root.clone(), servers: runtime.get::<Servers>() }
    }

    fn suggestions(&self, line: &str, pos: usize) -> Vec<Suggestion> {
        let Some(before) = line.get(..pos) else { return Vec::new() };
        if before.starts_with('/') && !before.contains(char::is_whitespace) {
            return [commands(before), self.prompts(before)].concat();
        }
        if before.starts_with('/')
            && let Some(found) = self.arguments(before)
        {
            return found;
        }
        let word = before.rfind(char::is_whitespace).map_or(0, |at| at + 1);
        match before[word..].strip_prefix('@') {
            Some(path) => [self.files(path, word + 1, pos), self.resources(path, word + 1, pos)].concat(),
            None => Vec::new(),
        }
    }

    fn prompts(&self, before: &str) -> Vec<Suggestion> {
        let span = Span::new(0, before.len());
        let known = self.servers.as_ref().map(|s| s.known()).unwrap_or_default();
        let named = known.into_iter().flat_map(|(server, prompts, _)| {
            prompts.into_iter().map(move |p| (format!("/{server}:{}", p.name), p.description))
        });
        let fitting = named.filter(|(name, _)| name.starts_with(before) && is_plain(name)).take(LIMIT);
        fitting.map(|(name, about)| suggestion(name, about, span, true)).collect()
    }

    /// What may follow a prompt's name.
    fn arguments(&self, before: &str) -> Option<Vec<Suggestion>> {
        let (server, rest) = before[1..].split_once(':')?;
        let (name, given) = rest.split_once(char::is_whitespace)?;
        let known = self.servers.as_ref()?.known();
        let (_, prompts, _) = known.into_iter().find(|(s, ..)| s == server)?;
        let prompt = prompts.into_iter().find(|p| p.name == name)?;
        let start = before.rfind(char::is_whitespace)? + 1;
        let open = |a: &str| is_plain(a) && a.starts_with(&before[start..]) && !given.contains(&format!("{a}="));
        let fitting = prompt.arguments.into_iter().filter(|a| open(&a.name));
        let span = Span::new(start, before.len());
        Some(fitting.map(|a| suggestion(format!("{}=", a.name), a.description, span, false)).collect())
    }

    fn resources(&self, typed: &str, start: usize, end: usize) -> Vec<Suggestion> {
        let known = self.servers.as_ref().map(|s| s.known()).unwrap_or_default();
        let named = known.into_iter().flat_map(|(server, _, resources)| {
            resources.into_iter().map(move |r| (format!("{server}:{}", r.uri), r.name))
        });
        let fitting = named.filter(|(uri, _)| uri.starts_with(typed) && is_plain(uri));
        fitting.take(LIMIT).map(|(uri, name)| suggestion(uri, Some(name), Span::new(start, end), true)).collect()
    }

    fn files(&self, path: &str, start: usize, end: usize) -> Vec<Suggestion> {
        let (folder, begun) = path.rsplit_once('/').map_or(("", path), |(f, b)| (f, b));
        let Ok(entries) = fs::read_dir(self.root.join(folder)) else { return Vec::new() };
        let mut found: Vec<Suggestion> = entries
            .filter_map(Result::ok)
            .filter_map(|entry| {
                let name = entry.file_name().into_string().ok()?;
                let hidden = name.starts_with('.') && !begun.starts_with('.');
                if hidden || !name.starts_with(begun) || !is_plain(&name) {
                    return None;
                }
                let is_dir = entry.file_type().is_ok_and(|t| t.is_dir());
                let folder = if folder.is_empty() { String::new() } else { format!("{folder}/") };
                let value = format!("{folder}{name}{}", if is_dir { "/" } else { "" });
                Some(suggestion(value, None, Span::new(start, end), !is_dir))
            })
            .take(LIMIT)
            .collect();
        found.sort_by(|a, b| a.value.cmp(&b.value));
        found
    }
}

impl Completer for Completions {
    fn complete(&mut self, line: &str, pos: usize) -> CompletionResult {
        CompletionResult::Fresh { suggestions: self.suggestions(line, pos).into(), partial: None }
    }
}

fn commands(before: &str) -> Vec<Suggestion> {
    let fitting = COMMANDS.iter().filter(|c| c.name.starts_with(before));
    fitting.map(|c| suggestion(c.name.to_owned(), Some(c.about.to_owned()), Span::new(0, before.len()), true)).collect()
}

/// Whether a name can be typed as one word, and shown: servers and files bear names that steer terminals too.
fn is_plain(name: &str) -> bool {
    !name.contains(char::is_whitespace) && harmless(name) == name
}

fn suggestion(value: String, description: Option<String>, span: Span, append_whitespace: bool) -> Suggestion {
    let description = description.map(|text| harmless_line(&text));
    Suggestion { value, description, span, append_whitespace, ..Suggestion::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(completions: &Completions, line: &str) -> Vec<String> {
        completions.suggestions(line, line.len()).into_iter().map(|s| s.value).collect()
    }

    #[test]
    fn completes_commands_and_files() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("src")).unwrap();
        fs::write(dir.path().join("src/main.rs"), "").unwrap();
        fs::write(dir.path().join(".env"), "").unwrap();
        let completions = Completions { root: dir.path().to_owned(), servers: None };
        assert_eq!(values(&completions, "/mo"), ["/model", "/mode"]);
        assert_eq!(values(&completions, "look at @"), ["src/"]);
        assert_eq!(values(&completions, "look at @src/m"), ["src/main.rs"]);
        assert!(values(&completions, "look at src").is_empty());
        fs::write(dir.path().join("a\u{1b}[2J"), "").unwrap();
        assert!(values(&completions, "look at @a").is_empty(), "a name that steers the terminal");
    }
}
