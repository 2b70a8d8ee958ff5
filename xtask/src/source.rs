//! Rules for source files that no lint knows: their length, their first line, and nothing of one machine in them.

use std::fs;
use std::path::{Path, PathBuf};

/// Lines that a source file may have at most, its tests among them.
const LONGEST: usize = 700;

/// Looks at every file that belongs to the project; names each offence.
pub(crate) fn check(root: &Path) -> Result<(), String> {
    let mut found = Vec::new();
    for file in files(root)? {
        let Ok(text) = fs::read_to_string(root.join(&file)) else { continue };
        found.extend(offences(&file, &text).into_iter().map(|what| format!("{}: {what}", file.display())));
    }
    if found.is_empty() { Ok(()) } else { Err(found.join("\n")) }
}

fn offences(file: &Path, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (number, line) in text.lines().enumerate() {
        if let Some(path) = machine_path(line) {
            found.push(format!("line {}: `{path}` is a path of one machine", number + 1));
        }
    }
    if file.extension().is_some_and(|e| e == "rs") {
        let lines = text.lines().count();
        if lines > LONGEST {
            found.push(format!("{lines} lines; split it by subject (at most {LONGEST})"));
        }
        // A module of tests says nothing that the module above it does not.
        if !text.starts_with("//!") && !file.ends_with("tests.rs") {
            found.push("begins with no `//!` line that says what it is for".to_owned());
        }
        if let Some((number, _)) = text.lines().enumerate().find(|(_, line)| is_leftover(line)) {
            found.push(format!("line {}: leftover work; do it or file it", number + 1));
        }
    }
    found
}

/// Homes and build folders of people; examples in documents use `you` or `me`.
fn machine_path(line: &str) -> Option<&str> {
    [concat!("/ro", "ot/"), concat!("/wo", "rk/"), concat!("/ho", "me/"), concat!("/Us", "ers/")].into_iter().find_map(
        |folder| {
            let start = line.find(folder)?;
            let before = line[..start].chars().next_back();
            if before.is_some_and(|c| c.is_alphanumeric() || "._-~}".contains(c)) {
                return None;
            }
            let rest = &line[start..];
            let end = rest.find(|c: char| c.is_whitespace() || "\"'`)>,".contains(c)).unwrap_or(rest.len());
            let owner = rest[folder.len()..end].split('/').next().unwrap_or_default();
            let invented = matches!(owner, "" | "you" | "me" | "user" | "ada" | "alice" | "bob");
            (!invented).then_some(&rest[..end])
        },
    )
}

fn is_leftover(line: &str) -> bool {
    [concat!("FIX", "ME"), concat!("TO", "DO:"), concat!("XX", "X")].iter().any(|word| line.contains(word))
}

/// All files below the root, relative to it; folders of builds and of tools do not count.
fn files(root: &Path) -> Result<Vec<PathBuf>, String> {
    let mut folders = vec![PathBuf::new()];
    let mut found = Vec::new();
    while let Some(folder) = folders.pop() {
        let entries = fs::read_dir(root.join(&folder)).map_err(|e| format!("{}: {e}", folder.display()))?;
        for entry in entries {
            let entry = entry.map_err(|e| format!("{}: {e}", folder.display()))?;
            let kind = entry.file_type().map_err(|e| format!("{}: {e}", entry.path().display()))?;
            let path = folder.join(entry.file_name());
            if kind.is_file() {
                found.push(path);
            } else if kind.is_dir() && !is_foreign(&entry.file_name().to_string_lossy()) {
                folders.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}

fn is_foreign(folder: &str) -> bool {
    folder == "target" || folder.starts_with('.') && ![".cargo", ".ci", ".config"].contains(&folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_project_keeps_its_rules() {
        if let Err(found) = check(&crate::sh::root()) {
            panic!("{found}");
        }
    }

    #[test]
    fn offences_are_seen() {
        let seen = |text: &str| offences(Path::new("a.rs"), text).len();
        assert_eq!(seen("//! A.\nfn main() {}\n"), 0);
        assert_eq!(seen("fn main() {}\n"), 1);
        assert_eq!(seen(&format!("//! A.\n{}", "\n".repeat(LONGEST))), 1);
        assert_eq!(seen(concat!("//! A.\n// FIX", "ME later\n")), 1);
        assert_eq!(seen(concat!("//! A.\n//! See /ho", "me/jane/x.\n")), 1);
        assert_eq!(seen(concat!("//! A.\n//! See /ho", "me/you/x and ~/ro", "ot/ and https://x.y/wo", "rk/z.\n")), 0);
    }
}
