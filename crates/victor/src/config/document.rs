//! One configuration file: parsed strictly, with the place of every key.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde_json::Value;
use victor_core::error::{ConfigurationError, nearest};

use super::keys;
use super::mistakes;
use super::schema::Config;
use super::tree;

/// The longest configuration file, in bytes.
pub(crate) const LIMIT: usize = 1 << 20;

/// What counts as a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Texts {
    /// What looks like a number or a boolean only in quotes.
    Quoted,
    /// Whatever stands where a text is expected: a saved key may be all digits.
    Loose,
}

/// A configuration file that was read without an error.
#[derive(Clone, Debug, Default)]
pub(crate) struct Document {
    /// What it says.
    pub(crate) config: Config,
    /// The line of each key and list item, counted from 1, by its path.
    pub(crate) lines: BTreeMap<Vec<String>, usize>,
}

/// Reads a configuration file's text. `name` is the file's name for messages.
pub(crate) fn parse(name: &str, text: &str) -> Result<Document, ConfigurationError> {
    let (config, mut told) = match read::<Config>(text, Texts::Quoted) {
        Ok(config) => (config, Vec::new()),
        Err(e) => mistakes::all(name, text, Texts::Quoted, e),
    };
    let lines = tree::lines(text);
    told.extend(config.check().into_iter().map(|(path, why)| {
        let place = lines.get(&path).map_or(String::new(), |line| format!(":{line}"));
        format!("{name}{place}: {why}")
    }));
    mistakes::none_of(told)?;
    Ok(Document { config, lines })
}

/// Reads YAML strictly: unknown and duplicate keys are errors, `yes` and `on` are no booleans, aliases cannot blow up.
/// All mistakes are told at once, as far as one does not hang on another.
pub(crate) fn strict<T: DeserializeOwned + Default>(name: &str, text: &str) -> Result<T, ConfigurationError> {
    read::<T>(text, Texts::Loose).map_err(|e| {
        let (_, told) = mistakes::all::<T>(name, text, Texts::Loose, e);
        ConfigurationError::new(told.join("\n"))
    })
}

/// Reads YAML strictly, up to the first mistake.
pub(super) fn read<T: DeserializeOwned + Default>(text: &str, texts: Texts) -> Result<T, serde_saphyr::Error> {
    let mut options = serde_saphyr::options! {
        strict_booleans: true,
        with_snippet: false,
        reject_tagged_field_names: true,
        budget: serde_saphyr::budget! { max_documents: 2, max_nodes: 20_000, max_aliases: 1_000, max_depth: 32 },
    };
    options.no_schema = texts == Texts::Quoted;
    serde_saphyr::from_str_with_options::<Option<T>>(text, options).map(Option::unwrap_or_default)
}

/// `file:line:column: key: what is wrong; what would be right`.
pub(super) fn described(name: &str, text: &str, error: &serde_saphyr::Error) -> String {
    use serde_saphyr::Error;
    let error = error.without_snippet();
    let place = error.location().map(|l| (l.line(), l.column()));
    let key = || {
        let (line, column) = place?;
        let path = tree::key_at(text, usize::try_from(line).ok()?, usize::try_from(column).ok()?)?;
        Some(format!("{}: ", keys::joined(&path)))
    };
    let message = match error {
        Error::SerdeUnknownField { field, expected, .. } => unknown_key(field, expected),
        Error::DuplicateMappingKey { key: Some(key), .. } => format!("duplicate key `{key}`"),
        Error::SerdeUnknownVariant { variant, expected, .. } => {
            format!("{}`{variant}` is not allowed here; one of {} is", key().unwrap_or_default(), listed(expected))
        }
        Error::QuotingRequired { value, .. } => {
            let key = key().unwrap_or_default();
            format!("{key}a text is expected, which `{value}` is in quotes alone: \"{value}\"")
        }
        other => format!("{}{}", key().unwrap_or_default(), plain(&other.render())),
    };
    let place = place.map_or(String::new(), |(line, column)| format!(":{line}:{column}"));
    format!("{name}{place}: {message}")
}

fn unknown_key(field: &str, expected: &[&'static str]) -> String {
    match nearest(field, expected.iter().copied()) {
        near if near.is_empty() => format!("unknown key `{field}`; the keys here are {}", listed(expected)),
        near => format!("unknown key `{field}`; did you mean {}?", near.join(" or ")),
    }
}

fn listed(names: &[&'static str]) -> String {
    names.iter().map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ")
}

/// The library's message without the place, which stands before it; the usual ones in the words of a person who
/// writes the file.
pub(crate) fn plain(message: &str) -> String {
    const WORDS: [(&str, &str); 13] = [
        ("invalid boolean", "`true` or `false` is expected"),
        ("invalid u16", "a whole number from 0 to 65535 is expected"),
        ("invalid u32", "a whole number from 0 to 4294967295 is expected"),
        ("invalid u", "a whole number is expected, of 0 or more"),
        ("invalid i", "a whole number is expected"),
        ("invalid f", "a number is expected"),
        ("invalid float", "a number is expected"),
        ("expected string", "a text is expected"),
        ("expected mapping", "a mapping is expected (`key: value`)"),
        ("expected sequence", "a list is expected (`[a, b]`)"),
        ("expected a sequence", "a list is expected (`[a, b]`)"),
        ("expected a map", "a mapping is expected (`key: value`)"),
        ("multiple YAML documents", "only one document is allowed; remove the `---`"),
    ];
    let message = message.split(" at line ").next().unwrap_or(message).trim();
    let message = message.strip_prefix("error: ").unwrap_or(message);
    if message.contains("a nonzero ") {
        return "a whole number above 0 is expected".to_owned();
    }
    let known = WORDS.iter().find(|(theirs, _)| message.starts_with(theirs) || message.ends_with(theirs));
    known.map_or(message, |(_, ours)| ours).to_owned()
}

/// The file's content as plain JSON, through the types: what is not said is not there.
pub(crate) fn to_json(config: &Config) -> Value {
    serde_json::to_value(config).unwrap_or_default()
}
