//! What members are told, word for word.

use std::fmt::Write as _;

/// The task, then `say`, then the words of others under their names.
pub(super) fn told<'a>(task: &str, say: &str, others: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let mut text = format!("{task}\n\n{say}");
    for (name, words) in others {
        let _ = write!(text, "\n\n## {name}\n\n{words}");
    }
    text
}

/// The words of several under their names, as one answer.
pub(super) fn joined<'a>(parts: impl IntoIterator<Item = (&'a str, &'a str)>) -> String {
    let parts = parts.into_iter().map(|(name, words)| format!("## {name}\n\n{words}"));
    parts.collect::<Vec<_>>().join("\n\n")
}

/// `a`, `a and b`, `a, b and c`.
pub(super) fn list<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let names: Vec<_> = names.into_iter().collect();
    match names.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        Some((last, _)) => (*last).to_owned(),
        None => String::new(),
    }
}
