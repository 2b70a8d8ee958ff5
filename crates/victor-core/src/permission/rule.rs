//! Rules: `tool` or `tool(pattern)`, to allow, to ask or to deny.

use std::fmt;
use std::path::Path;

use globset::{GlobBuilder, GlobMatcher};

use super::{Access, PermissionKey};

/// What a rule does with what it matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RuleEffect {
    /// It may run.
    Allow,
    /// A person is asked.
    Ask,
    /// It may not run.
    Deny,
}

/// One rule. `tool` may hold `*`. A pattern for paths is a glob relative to the workspace's root, or absolute, or begins
/// with `~/` (see [`at_home`](Rule::at_home)); for commands and hosts `*` stands for any text and `\*` for a star.
#[derive(Clone)]
pub struct Rule {
    effect: RuleEffect,
    text: String,
    tool: GlobMatcher,
    pattern: Option<Pattern>,
    source: String,
}

#[derive(Clone)]
struct Pattern {
    /// `Err` where the text makes no glob, as that of a command may not.
    path: Result<GlobMatcher, String>,
    words: Wildcard,
}

/// A rule that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{rule}` is not a permission rule ({why}); write `tool` or `tool(pattern)`, such as `bash(cargo test*)`")]
pub struct RuleError {
    rule: String,
    why: String,
}

impl Rule {
    /// Reads `tool` or `tool(pattern)`. `source` says where it stands, for messages.
    ///
    /// # Errors
    /// It has another form, or its glob is broken.
    pub fn parse(effect: RuleEffect, text: &str, source: impl Into<String>) -> Result<Self, RuleError> {
        let fail = |why: &str| RuleError { rule: text.to_owned(), why: why.to_owned() };
        let trimmed = text.trim();
        let (tool, pattern) = match trimmed.split_once('(') {
            None => (trimmed, None),
            Some((tool, rest)) => {
                let inner = rest.strip_suffix(')').ok_or_else(|| fail("the closing `)` is missing"))?;
                (tool.trim(), Some(inner.trim()))
            }
        };
        if tool.is_empty() || tool.contains(|c: char| c.is_whitespace() || c == ')') {
            return Err(fail("the tool's name is missing or has spaces"));
        }
        if pattern == Some("") {
            return Err(fail("the pattern is empty"));
        }
        let glob = |s: &str| compile(s).map_err(|e| fail(&e));
        let pattern = pattern.map(|text| Pattern { path: compile(path_glob(text)), words: Wildcard::new(text) });
        let rule = Self { effect, text: trimmed.to_owned(), tool: glob(tool)?, pattern, source: source.into() };
        match rule.broken_glob() {
            Some(why) if Access::ALL.iter().any(|access| rule.names_tool(access.name())) => Err(fail(why)),
            _ => Ok(rule),
        }
    }

    /// What is wrong with its pattern as a glob, where it makes none: it then fits commands, hosts and names, and no
    /// path at all.
    #[must_use]
    pub fn broken_glob(&self) -> Option<&str> {
        self.pattern.as_ref()?.path.as_ref().err().map(String::as_str)
    }

    /// Whether its paths begin in a user's home folder, which it does not know yet: so far it fits none of them.
    #[must_use]
    pub fn is_below_home(&self) -> bool {
        self.path_pattern().is_some_and(|p| p == "~" || p.starts_with("~/"))
    }

    /// The same rule with this folder as the user's home. It has to be canonical, as the paths of calls are.
    ///
    /// # Errors
    /// The folder's name makes no glob.
    pub fn at_home(mut self, home: &Path) -> Result<Self, RuleError> {
        if self.is_below_home()
            && let Some(pattern) = &mut self.pattern
            && let Ok(path) = &pattern.path
        {
            let below = path.glob().glob().trim_start_matches('~').to_owned();
            let whole = globset::escape(&home.display().to_string()) + &below;
            pattern.path = Ok(compile(&whole).map_err(|why| RuleError { rule: self.text.clone(), why })?);
        }
        Ok(self)
    }

    /// What it does with what it matches.
    #[must_use]
    pub fn effect(&self) -> RuleEffect {
        self.effect
    }

    /// Where it stands.
    #[must_use]
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The rule as it was written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The name or glob of the tools that it speaks of.
    #[must_use]
    pub fn tool(&self) -> &str {
        self.tool.glob().glob()
    }

    /// Whether it speaks of a tool of this name.
    #[must_use]
    pub fn names_tool(&self, tool: &str) -> bool {
        self.tool.is_match(tool)
    }

    /// Whether it speaks of this call of `tool`. Every key has to be allowed, and one that is denied is enough.
    #[must_use]
    pub fn matches(&self, tool: &str, key: Option<&PermissionKey>) -> bool {
        self.names(tool, key) && self.pattern.as_ref().is_none_or(|p| p.matches(self.effect, key))
    }

    /// Whether it opens a path outside of the workspace: only an allow rule with an absolute pattern does.
    pub(super) fn opens_outside(&self, tool: &str, key: &PermissionKey) -> bool {
        let absolute = self.path_pattern().is_some_and(|p| p.starts_with('/'));
        self.effect == RuleEffect::Allow && absolute && self.matches(tool, Some(key))
    }

    fn path_pattern(&self) -> Option<&str> {
        self.pattern.as_ref()?.path.as_ref().ok().map(|p| p.glob().glob())
    }

    fn names(&self, tool: &str, key: Option<&PermissionKey>) -> bool {
        let by_access = match key {
            Some(PermissionKey::Path { access, .. }) => self.tool.is_match(access.name()),
            _ => false,
        };
        by_access || self.tool.is_match(tool)
    }
}

impl fmt::Debug for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {} ({})", self.effect, self.text, self.source)
    }
}

fn compile(glob: &str) -> Result<GlobMatcher, String> {
    let built = GlobBuilder::new(glob).literal_separator(true).backslash_escape(true).build();
    built.map(|g| g.compile_matcher()).map_err(|e| e.kind().to_string())
}

/// `./x` and `x` are the same place; a trailing `/` names a folder.
fn path_glob(text: &str) -> &str {
    let text = text.strip_prefix("./").unwrap_or(text);
    text.strip_suffix('/').filter(|t| !t.is_empty()).unwrap_or(text)
}

impl Pattern {
    fn matches(&self, effect: RuleEffect, key: Option<&PermissionKey>) -> bool {
        match key {
            None => false,
            Some(PermissionKey::Path { relative, absolute, .. }) => {
                self.matches_path(effect, relative.as_deref(), absolute)
            }
            Some(PermissionKey::Command { text }) => self.words.fits(text),
            // A line that could not be split is never allowed by a pattern; the commands in it that can be seen have
            // keys of their own, which deny rules are held against.
            Some(PermissionKey::UnsplitCommand { .. }) => effect == RuleEffect::Ask,
            Some(PermissionKey::Host { host: name } | PermissionKey::Name { name }) => self.words.fits(name),
        }
    }

    /// A rule that denies or asks covers what lies below the folder that it names; one that allows must fit exactly.
    fn matches_path(&self, effect: RuleEffect, relative: Option<&str>, absolute: &str) -> bool {
        let Ok(glob) = &self.path else { return false };
        let fits = |path: &str| match effect {
            RuleEffect::Allow => glob.is_match(path),
            RuleEffect::Ask | RuleEffect::Deny => {
                std::path::Path::new(path).ancestors().any(|p| !p.as_os_str().is_empty() && glob.is_match(p))
            }
        };
        relative.is_some_and(fits) || fits(absolute)
    }
}

/// Text in which `*` stands for any text, also none, and `\*` for a star. One that ends in ` *` fits the text without
/// any argument too.
#[derive(Clone)]
struct Wildcard {
    parts: Vec<String>,
}

impl Wildcard {
    fn new(pattern: &str) -> Self {
        let mut parts = vec![String::new()];
        let mut chars = pattern.chars().peekable();
        while let Some(c) = chars.next() {
            let part = match (c, chars.peek()) {
                ('\\', Some(&escaped @ ('*' | '\\'))) => {
                    chars.next();
                    escaped
                }
                ('*', _) => {
                    parts.push(String::new());
                    continue;
                }
                (c, _) => c,
            };
            if let Some(last) = parts.last_mut() {
                last.push(part);
            }
        }
        Self { parts }
    }

    fn fits(&self, text: &str) -> bool {
        let [first, middle @ .., last] = self.parts.as_slice() else {
            return self.parts.first().is_some_and(|only| only == text);
        };
        if middle.is_empty() && last.is_empty() && first.strip_suffix(' ').is_some_and(|stem| stem == text) {
            return true;
        }
        let Some(mut rest) = text.strip_prefix(first.as_str()) else { return false };
        for part in middle {
            let Some(at) = rest.find(part.as_str()) else { return false };
            rest = &rest[at + part.len()..];
        }
        rest.ends_with(last.as_str())
    }
}

/// The pattern that fits this text of a command or host and no other.
#[must_use]
pub fn literal(text: &str) -> String {
    text.replace('\\', r"\\").replace('*', r"\*")
}

/// All rules that hold, whatever layer they come from.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    rules: Vec<Rule>,
    secrets: Vec<Rule>,
}

impl Rules {
    /// These rules.
    #[must_use]
    pub fn new(rules: Vec<Rule>) -> Self {
        Self { rules, secrets: Vec::new() }
    }

    /// Adds deny rules for paths of which no program has to ask because of them: tools are kept from them, a program that
    /// may run reads them.
    #[must_use]
    pub fn with_secrets(mut self, secrets: Vec<Rule>) -> Self {
        self.secrets = secrets;
        self
    }

    /// Adds a rule.
    pub fn push(&mut self, rule: Rule) {
        self.rules.push(rule);
    }

    /// The rules.
    #[must_use]
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// The strictest rule that speaks of this key: deny before ask before allow.
    #[must_use]
    pub fn strictest(&self, tool: &str, key: Option<&PermissionKey>) -> Option<&Rule> {
        self.rules.iter().chain(&self.secrets).filter(|r| r.matches(tool, key)).max_by_key(|r| r.effect)
    }

    /// What keeps paths from being read in passing.
    #[must_use]
    pub fn path_rules(&self) -> PathRules {
        let held = self.rules.iter().chain(&self.secrets).filter(|r| r.effect != RuleEffect::Allow);
        PathRules { rules: held.cloned().collect() }
    }

    /// Whether a rule denies reading some path: then programs, which no rule follows, have to ask.
    #[must_use]
    pub fn hides_paths(&self) -> bool {
        self.rules.iter().any(|r| r.effect == RuleEffect::Deny && r.pattern.is_some() && r.tool.is_match("read"))
    }
}

/// The paths that deny and ask rules keep from being read in passing.
#[derive(Clone, Debug, Default)]
pub struct PathRules {
    rules: Vec<Rule>,
}

impl PathRules {
    /// Whether `tool` must pass over this path when it comes across it.
    #[must_use]
    pub fn hides(&self, tool: &str, relative: Option<&str>, absolute: &str) -> bool {
        let key = PermissionKey::Path {
            access: Access::Read,
            relative: relative.map(ToOwned::to_owned),
            absolute: absolute.to_owned(),
            outside: false,
        };
        self.rules.iter().any(|r| r.matches(tool, Some(&key)))
    }
}

#[cfg(test)]
mod tests {
    use super::{Wildcard, literal};

    #[test]
    fn star_stands_for_any_text() {
        for (pattern, text) in [
            ("cargo test*", "cargo test --all"),
            ("*", ""),
            ("git *", "git"),
            ("a*b*c", "a-b-b-c"),
            ("ls", "ls"),
            (r"grep a\.b", r"grep a\.b"),
            (r"rm \*.tmp", "rm *.tmp"),
        ] {
            assert!(Wildcard::new(pattern).fits(text), "{pattern} should fit {text}");
        }
        let others = [
            ("cargo test", "cargo test x"),
            ("git *", "gitk"),
            ("a*b", "a"),
            ("aa*a", "aa"),
            (r"rm \*.tmp", "rm x.tmp"),
        ];
        for (pattern, text) in others {
            assert!(!Wildcard::new(pattern).fits(text), "{pattern} should not fit {text}");
        }
    }

    #[test]
    fn a_literal_fits_its_text_alone() {
        for text in ["rm *.tmp", r"find . -name \*.rs", r"a\\b", "*", "plain"] {
            assert!(Wildcard::new(&literal(text)).fits(text), "{text}");
            assert!(!Wildcard::new(&literal(text)).fits(&text.replace('*', "x/")) || !text.contains('*'), "{text}");
        }
    }
}
