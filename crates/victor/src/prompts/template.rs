//! One template: Markdown with `{{ name }}` for arguments, and a front matter that says what they are.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::Deserialize;
use victor_core::error::nearest;
use victor_core::prompt::{Prompt, PromptArgument};
use victor_core::resource::SourceError;

use crate::config::document;

/// A template.
#[derive(Clone, Debug)]
pub(crate) struct Template {
    pub(crate) name: String,
    pub(crate) title: Option<String>,
    pub(crate) description: Option<String>,
    pub(crate) arguments: Vec<Argument>,
    pub(crate) body: String,
}

/// What is filled in.
#[derive(Clone, Debug)]
pub(crate) struct Argument {
    pub(crate) name: String,
    pub(crate) description: Option<String>,
    pub(crate) required: bool,
    pub(crate) complete: Complete,
}

/// What could stand for an argument.
#[derive(Clone, Debug)]
pub(crate) enum Complete {
    /// Anything.
    Nothing,
    /// One of these.
    Values(Vec<String>),
    /// A file of the workspace.
    Files,
}

/// What stands between the `---` lines.
#[derive(Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Front {
    title: Option<String>,
    description: Option<String>,
    arguments: Vec<FrontArgument>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FrontArgument {
    name: String,
    #[serde(default)]
    description: Option<String>,
    #[serde(default)]
    required: bool,
    #[serde(default)]
    values: Vec<String>,
    #[serde(default)]
    files: bool,
}

impl Template {
    /// Reads a file; its name without `.md` is the prompt's.
    pub(crate) fn parse(path: &Path, bytes: Vec<u8>) -> Result<Self, String> {
        let name = path.file_stem().and_then(|n| n.to_str()).unwrap_or_default().to_owned();
        if name.is_empty() || !name.chars().all(|c| c.is_alphanumeric() || "-_.".contains(c)) {
            return Err("its name is not made of letters, digits, `-`, `_` and `.`".to_owned());
        }
        let text = String::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned())?;
        let (front, body) = split(&text);
        let front: Front = match front {
            Some(front) => document::strict(&path.display().to_string(), front).map_err(|e| e.to_string())?,
            None => Front::default(),
        };
        let arguments = front.arguments.into_iter().map(|a| Argument {
            complete: match (a.files, a.values.is_empty()) {
                (true, _) => Complete::Files,
                (false, false) => Complete::Values(a.values),
                (false, true) => Complete::Nothing,
            },
            name: a.name,
            description: a.description,
            required: a.required,
        });
        let (title, description) = (front.title, front.description);
        let template = Self { name, title, description, arguments: arguments.collect(), body: body.trim().to_owned() };
        template.check()?;
        Ok(template)
    }

    /// Every argument is used, and everything used is an argument.
    fn check(&self) -> Result<(), String> {
        let used: BTreeSet<&str> = pieces(&self.body).filter_map(|p| p.argument).collect();
        let known: BTreeSet<&str> = self.arguments.iter().map(|a| a.name.as_str()).collect();
        if let Some(unknown) = used.difference(&known).next() {
            return Err(format!("`{{{{ {unknown} }}}}` is none of its arguments"));
        }
        if let Some(unused) = known.difference(&used).next() {
            return Err(format!("its argument `{unused}` is not used"));
        }
        if self.body.is_empty() { Err("it is empty".to_owned()) } else { Ok(()) }
    }

    /// The text with these arguments; one that is not given leaves nothing behind.
    pub(crate) fn fill(&self, given: &BTreeMap<String, String>) -> Result<String, SourceError> {
        let names = || self.arguments.iter().map(|a| a.name.as_str());
        if let Some(unknown) = given.keys().find(|name| names().all(|n| n != name.as_str())) {
            let hint = match nearest(unknown, names()) {
                near if near.is_empty() => format!("there are {}", names().collect::<Vec<_>>().join(", ")),
                near => format!("did you mean {}?", near.join(" or ")),
            };
            return Err(SourceError::Invalid(format!(
                "the prompt `{}` has no argument `{unknown}`; {hint}",
                self.name
            )));
        }
        let filled = |a: &&Argument| given.get(&a.name).is_some_and(|value| !value.trim().is_empty());
        if let Some(missing) = self.arguments.iter().filter(|a| a.required).find(|a| !filled(a)) {
            return Err(SourceError::Invalid(format!(
                "the prompt `{}` needs the argument `{}`",
                self.name, missing.name
            )));
        }
        let mut text = String::with_capacity(self.body.len());
        for piece in pieces(&self.body) {
            text.push_str(piece.text);
            text.push_str(piece.argument.and_then(|name| given.get(name)).map_or("", String::as_str));
        }
        let lines: Vec<&str> = text.lines().map(str::trim_end).collect();
        Ok(lines.join("\n").trim().to_owned())
    }

    pub(crate) fn into_prompt(self) -> Prompt {
        let arguments = self.arguments.into_iter().map(|a| PromptArgument {
            name: a.name,
            description: a.description,
            required: a.required,
        });
        Prompt { name: self.name, title: self.title, description: self.description, arguments: arguments.collect() }
    }
}

/// The front matter, where there is one, and the rest.
fn split(text: &str) -> (Option<&str>, &str) {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let rest = text.strip_prefix("---\n").or_else(|| text.strip_prefix("---\r\n"));
    let found = rest.and_then(|rest| {
        let mut at = 0;
        rest.split_inclusive('\n').find_map(|line| {
            let begin = at;
            at += line.len();
            (line.trim_end() == "---").then(|| (Some(&rest[..begin]), &rest[at..]))
        })
    });
    found.unwrap_or((None, text))
}

/// A piece of text, and the argument that follows it.
struct Piece<'a> {
    text: &'a str,
    argument: Option<&'a str>,
}

fn pieces(body: &str) -> impl Iterator<Item = Piece<'_>> {
    let mut rest = Some(body);
    std::iter::from_fn(move || {
        let text = rest?;
        let mut from = 0;
        while let Some(open) = text[from..].find("{{").map(|at| from + at) {
            let name = text[open + 2..].find("}}").map(|end| (text[open + 2..open + 2 + end].trim(), open + end + 4));
            match name {
                Some((name, after)) if is_name(name) => {
                    rest = Some(&text[after..]);
                    return Some(Piece { text: &text[..open], argument: Some(name) });
                }
                _ => from = open + 2,
            }
        }
        rest = None;
        Some(Piece { text, argument: None })
    })
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_alphanumeric() || c == '_' || c == '-')
}
