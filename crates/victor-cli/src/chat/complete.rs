//! Completion: slash commands at the beginning of a line, files after `@`.

use std::fs;
use std::path::PathBuf;

use reedline::{Completer, CompletionResult, Span, Suggestion};

use super::slash::COMMANDS;

/// Suggestions at most.
const LIMIT: usize = 200;

/// Completes lines of a chat.
pub(super) struct Completions {
    /// The folder that paths start from.
    root: PathBuf,
}

impl Completions {
    pub(super) fn new(root: PathBuf) -> Self {
        Self { root }
    }

    fn suggestions(&self, line: &str, pos: usize) -> Vec<Suggestion> {
        let Some(before) = line.get(..pos) else { return Vec::new() };
        if before.starts_with('/') && !before.contains(char::is_whitespace) {
            return commands(before);
        }
        let word = before.rfind(char::is_whitespace).map_or(0, |at| at + 1);
        match before[word..].strip_prefix('@') {
            Some(path) => self.files(path, word + 1, pos),
            None => Vec::new(),
        }
    }

    fn files(&self, path: &str, start: usize, end: usize) -> Vec<Suggestion> {
        let (folder, begun) = path.rsplit_once('/').map_or(("", path), |(f, b)| (f, b));
        let Ok(entries) = fs::read_dir(self.root.join(folder)) else { return Vec::new() };
        let mut found: Vec<Suggestion> = entries
            .filter_map(Result::ok)
            .filter_map(|entry| {
                let name = entry.file_name().into_string().ok()?;
                let hidden = name.starts_with('.') && !begun.starts_with('.');
                if hidden || !name.starts_with(begun) || name.contains(char::is_whitespace) {
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

fn suggestion(value: String, description: Option<String>, span: Span, append_whitespace: bool) -> Suggestion {
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
        let completions = Completions::new(dir.path().to_owned());
        assert_eq!(values(&completions, "/mo"), ["/model", "/mode"]);
        assert_eq!(values(&completions, "look at @"), ["src/"]);
        assert_eq!(values(&completions, "look at @src/m"), ["src/main.rs"]);
        assert!(values(&completions, "look at src").is_empty());
    }
}
