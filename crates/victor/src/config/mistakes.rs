//! All mistakes of a file at once: what is wrong is taken out, and the rest is read again.

use std::ops::Range;

use serde::de::DeserializeOwned;
use serde_saphyr::Error;
use victor_core::error::ConfigurationError;

use super::document::{Texts, described, read};
use super::tree::{self, Kind, Node, Style};

/// Mistakes of one file that are told.
const TOLD: usize = 20;

/// What a text that cannot be read has against it: the first mistake, and those of keys that have nothing to do with it.
/// With them what the rest says, so that it can be checked too; nothing where that cannot be read either.
pub(super) fn all<T: DeserializeOwned + Default>(
    name: &str,
    text: &str,
    texts: Texts,
    first: Error,
) -> (T, Vec<String>) {
    let (mut told, mut rest, mut error) = (vec![described(name, text, &first)], text.to_owned(), first);
    for _ in 1..TOLD {
        let Some(shorter) = without(&rest, &error) else { break };
        rest = shorter;
        match read::<T>(&rest, texts) {
            Ok(value) => return (value, told),
            Err(next) => error = next,
        }
        // What is missing now may be what was taken out.
        if !matches!(error.without_snippet(), Error::SerdeMissingField { .. }) {
            told.push(described(name, &rest, &error));
        }
    }
    (T::default(), told)
}

/// Several mistakes as one error.
///
/// # Errors
/// There are some.
pub(super) fn none_of(told: Vec<String>) -> Result<(), ConfigurationError> {
    if told.is_empty() { Ok(()) } else { Err(ConfigurationError::new(told.join("\n"))) }
}

/// What both give; the mistakes of both, where there are any.
///
/// # Errors
/// These.
pub(super) fn both<A, B>(
    a: Result<A, ConfigurationError>,
    b: Result<B, ConfigurationError>,
) -> Result<(A, B), ConfigurationError> {
    match (a, b) {
        (Ok(a), Ok(b)) => Ok((a, b)),
        (Err(a), Err(b)) => Err(ConfigurationError { message: format!("{a}\n{b}"), ..a }),
        (Err(e), Ok(_)) | (Ok(_), Err(e)) => Err(e),
    }
}

/// The text without the key that a mistake is about; what else it says stays where it was. `None` where that cannot be
/// told, or other parts may hang on it.
fn without(text: &str, error: &Error) -> Option<String> {
    let error = error.without_snippet();
    let place = error.location()?;
    let place = (usize::try_from(place.line()).ok()?, usize::try_from(place.column()).ok()?);
    let root = tree::parse(text)?;
    if has_alias(&root) {
        return None;
    }
    let is_key = matches!(error, Error::SerdeUnknownField { .. } | Error::DuplicateMappingKey { .. });
    let range = doomed(text, &root, place, is_key)?;
    let blank = |c: char| if c == '\n' || c == '\r' { c } else { ' ' };
    let rest: String = [
        text.get(..range.start)?,
        &text.get(range.clone())?.chars().map(blank).collect::<String>(),
        text.get(range.end..)?,
    ]
    .concat();
    (rest.trim().is_empty() || tree::parse(&rest).is_some()).then_some(rest)
}

fn has_alias(node: &Node) -> bool {
    match &node.kind {
        Kind::Scalar(_) => false,
        Kind::Alias => true,
        Kind::Sequence(_, items) => items.iter().any(has_alias),
        Kind::Mapping(_, entries) => entries.iter().any(|(key, value)| has_alias(key) || has_alias(value)),
    }
}

/// The innermost key at a place, with its value; with all that holds nothing else.
fn doomed(text: &str, root: &Node, place: (usize, usize), is_key: bool) -> Option<Range<usize>> {
    let begins = |node: &Node| (node.line, node.column + 1);
    let (mut node, mut range) = (root, None);
    loop {
        node = match &node.kind {
            Kind::Mapping(style, entries) => {
                let Some(i) = entries.iter().rposition(|(key, _)| begins(key) <= place) else { break };
                let (key, held) = &entries[i];
                // The mapping as a whole is wrong, not the key that stands first in it.
                if !is_key && range.is_some() && begins(key) == place {
                    break;
                }
                if entries.len() > 1 || range.is_none() {
                    range = entry(text, *style, entries, i);
                }
                // So it is here.
                if !is_key && begins(held) == place {
                    break;
                }
                held
            }
            Kind::Sequence(_, items) => {
                let Some(item) = items.iter().rfind(|item| begins(item) <= place) else { break };
                item
            }
            Kind::Scalar(_) | Kind::Alias => break,
        };
    }
    range
}

/// An entry of a mapping, with the comma that it leaves behind.
fn entry(text: &str, style: Style, entries: &[(Node, Node)], i: usize) -> Option<Range<usize>> {
    let (key, value) = entries.get(i)?;
    let colon = || text.get(key.end..)?.find(':').map(|at| key.end + at + 1);
    let end = if value.is_empty() { colon()? } else { value.end };
    match (style, entries.get(i + 1), i.checked_sub(1).and_then(|before| entries.get(before))) {
        (Style::Flow, Some((next, _)), _) => Some(key.start..next.start),
        (Style::Flow, None, Some((_, before))) if !before.is_empty() => Some(before.end..end),
        (Style::Flow, None, Some(_)) => None,
        (Style::Flow, None, None) | (Style::Block, _, _) => Some(key.start..end),
    }
}
