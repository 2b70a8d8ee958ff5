//! Names of tools: `server__tool`, of letters, digits, `_` and `-`, at most 64. The first `__` ends the server's part,
//! whatever the server calls its tools, so that a rule for one server never speaks of another's tools.

use std::collections::BTreeSet;

use sha2::{Digest as _, Sha256};

/// Characters that a name may have at most.
const LONGEST: usize = 64;
/// Characters of the server's part at most.
const LONGEST_PART: usize = 32;

/// The server's part of its tools' names.
pub(super) fn part(server: &str) -> String {
    let mut part = String::new();
    for c in plain(server).chars().take(LONGEST_PART) {
        if c != '_' || !part.ends_with('_') {
            part.push(c);
        }
    }
    match part.trim_end_matches('_') {
        "" => "server".to_owned(),
        part => part.to_owned(),
    }
}

/// The name of a server's tool; one that is taken or too long ends in a digest of its own name.
pub(super) fn tool(part: &str, tool: &str, taken: &BTreeSet<String>) -> String {
    let own = plain(tool);
    let name = format!("{part}__{own}");
    if name.len() <= LONGEST && !own.is_empty() && !taken.contains(&name) {
        return name;
    }
    let digest: String = Sha256::digest(tool).iter().take(4).map(|b| format!("{b:02x}")).collect();
    let room = LONGEST - part.len() - "__".len() - "_".len() - digest.len();
    let own: String = own.chars().take(room).collect();
    format!("{part}__{own}_{digest}")
}

fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_double_underscore_ends_the_servers_part() {
        for server in ["a__b", "a_", "__", "my server", "ü", "x.y/z", &"long".repeat(30)] {
            let part = part(server);
            let name = tool(&part, "_x__y", &BTreeSet::new());
            assert_eq!(name.split_once("__").unwrap().0, part, "{server}");
            assert!(!part.is_empty() && part.len() <= 32, "{part}");
        }
    }

    #[test]
    fn names_are_legal_and_differ() {
        let long = "a".repeat(100);
        let mut taken = BTreeSet::new();
        for own in ["read file", "read/file", "read_file", &long, &format!("{long}b"), ""] {
            let name = tool("files", own, &taken);
            assert!(name.len() <= 64 && name.starts_with("files__"), "{name}");
            assert!(name.chars().all(|c| c.is_ascii_alphanumeric() || "_-".contains(c)), "{name}");
            assert!(taken.insert(name.clone()), "{name} twice");
        }
        assert!(taken.contains("files__read_file"));
    }
}
