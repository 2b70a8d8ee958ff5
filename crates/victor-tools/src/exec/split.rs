//! Shell lines, split into the simple commands that permission rules are matched against.
//!
//! What the grammar does not show for certain is said to be unsplit: then no rule allows the line, and somebody is
//! asked. The commands that can be seen are named all the same, so that a rule which denies one of them does so.

mod again;
mod grammar;

use tree_sitter::{Node, Parser};

use self::again::Seen;
use self::grammar::{
    continues_a_word, last_command, runs_over_a_line, skips_a_quoted_blank, substitutes_unseen, words_behind,
};
use super::wrapper::{Inner, Word, base_name, inner};

/// The longest line that is split, in bytes.
const LINE_BYTES: usize = 64 << 10;
/// How many shells may stand in each other (`sh -c "sh -c ..."`).
const DEPTH: usize = 4;

/// Variables that change how a program looks, not what it does. `RUST_LOG=debug cargo test` is `cargo test`.
const HARMLESS: [&str; 21] = [
    "RUST_LOG",
    "RUST_BACKTRACE",
    "CARGO_TERM_COLOR",
    "CARGO_INCREMENTAL",
    "NO_COLOR",
    "FORCE_COLOR",
    "CLICOLOR",
    "CLICOLOR_FORCE",
    "COLORTERM",
    "COLUMNS",
    "LINES",
    "TERM",
    "TZ",
    "LANG",
    "LANGUAGE",
    "CI",
    "DEBIAN_FRONTEND",
    "PYTHONUNBUFFERED",
    "PYTHONDONTWRITEBYTECODE",
    "GIT_TERMINAL_PROMPT",
    "NODE_ENV",
];

/// A shell line, split.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Split {
    /// The simple commands, in order and each once: their words with one space between them, quotes left out where
    /// they mean nothing.
    pub commands: Vec<String>,
    /// The files that the line reads from (`< file`).
    pub reads: Vec<String>,
    /// The files that the line writes to (`> file`).
    pub writes: Vec<String>,
    /// Why there may be more commands than these; `None` if there are not.
    pub unsplit: Option<&'static str>,
    /// What is evaluated a second time, in all shells that stand in each other.
    seen: Seen,
}

/// Splits a shell line.
#[must_use]
pub fn split_command(line: &str) -> Split {
    let mut split = Split::default();
    read(line, &mut split, 0);
    let moves = split.commands.iter().any(|c| matches!(c.split(' ').next(), Some("cd" | "pushd" | "popd")));
    if moves && split.reads.iter().chain(&split.writes).any(|file| !file.starts_with('/')) {
        split.uncertain("it changes the folder, and reads or writes files relative to it");
    }
    if split.commands.is_empty() && split.unsplit.is_none() {
        split.command(line.trim().to_owned());
    }
    split
}

fn read(line: &str, split: &mut Split, depth: usize) {
    if line.len() > LINE_BYTES || depth > DEPTH {
        return split.uncertain("it is too long");
    }
    if line.chars().any(|c| (c.is_control() && c != '\n' && c != '\t') || (c.is_whitespace() && !c.is_ascii())) {
        return split.uncertain("it holds control characters or unusual white space");
    }
    if continues_a_word(line) {
        split.uncertain("a word in it goes on behind the end of a line");
    }
    let mut parser = Parser::new();
    let tree = parser.set_language(&tree_sitter_bash::LANGUAGE.into()).ok().and_then(|()| parser.parse(line, None));
    let Some(tree) = tree else { return split.uncertain("it cannot be parsed") };
    if tree.root_node().has_error() {
        split.uncertain("it has syntax that is not understood");
    }
    if substitutes_unseen(tree.root_node(), line) {
        split.uncertain("it substitutes a command where the grammar does not show it");
    }
    if runs_over_a_line(tree.root_node(), line) {
        split.uncertain("the grammar reads it otherwise than the shell");
    }
    if skips_a_quoted_blank(tree.root_node(), line) {
        split.uncertain("a word in it begins with a quoted blank");
    }
    if let Some(why) = split.seen.hidden(tree.root_node(), line) {
        split.uncertain(why);
    }
    Reader { line, split, depth, behind: Vec::new() }.node(tree.root_node());
}

impl Split {
    fn uncertain(&mut self, why: &'static str) {
        self.unsplit.get_or_insert(why);
    }

    fn command(&mut self, text: String) {
        if !text.is_empty() && !self.commands.contains(&text) {
            self.commands.push(text);
        }
    }
}

struct Reader<'a> {
    line: &'a str,
    split: &'a mut Split,
    depth: usize,
    /// Words that stand behind a redirection, by the command that they belong to.
    behind: Vec<(usize, Vec<Word>)>,
}

impl<'a> Reader<'a> {
    fn text(&self, node: Node<'_>) -> &'a str {
        self.line.get(node.byte_range()).unwrap_or_default()
    }

    fn children(&mut self, node: Node<'_>) {
        for child in named(node) {
            self.node(child);
        }
    }

    /// Kinds of nodes are named as in the grammar of tree-sitter-bash 0.25.
    fn node(&mut self, node: Node<'_>) {
        match node.kind() {
            "command" => self.command(node, ""),
            "redirected_statement" => self.redirected(node),
            "file_redirect" => self.file_redirect(node),
            "declaration_command" | "unset_command" => {
                self.split.command(spaced(self.text(node)));
                self.values(node);
            }
            "c_style_for_statement" => self.values(node),
            "variable_assignment" => {
                if !self.is_harmless(node) {
                    self.split.command(spaced(self.text(node)));
                }
                self.children(node);
            }
            "function_definition" => {
                self.split.uncertain("it defines a function");
                self.children(node);
            }
            "process_substitution" => {
                self.split.uncertain("it substitutes a process");
                self.children(node);
            }
            "ERROR" => {
                self.split.uncertain("it has syntax that is not understood");
                self.children(node);
            }
            "raw_string" | "ansi_c_string" => self.read_again(node),
            "comment"
            | "word"
            | "heredoc_start"
            | "heredoc_end"
            | "heredoc_content"
            | "string_content"
            | "regex"
            | "extglob_pattern"
            | "file_descriptor"
            | "variable_name"
            | "special_variable_name"
            | "test_operator"
            | "simple_expansion" => {}
            "program"
            | "list"
            | "pipeline"
            | "subshell"
            | "compound_statement"
            | "do_group"
            | "if_statement"
            | "elif_clause"
            | "else_clause"
            | "while_statement"
            | "for_statement"
            | "case_statement"
            | "case_item"
            | "negated_command"
            | "test_command"
            | "command_substitution"
            | "string"
            | "translated_string"
            | "concatenation"
            | "arithmetic_expansion"
            | "brace_expression"
            | "number"
            | "expansion"
            | "binary_expression"
            | "unary_expression"
            | "postfix_expression"
            | "ternary_expression"
            | "parenthesized_expression"
            | "subscript"
            | "array"
            | "variable_assignments"
            | "heredoc_redirect"
            | "heredoc_body"
            | "herestring_redirect"
            | "command_name" => self.children(node),
            _ => {
                self.split.uncertain("it has syntax that is not understood");
                self.children(node);
            }
        }
    }

    /// Subscripts that builtins take as text.
    fn read_again(&mut self, node: Node<'_>) {
        let text = self.text(node);
        if text.contains("[$(") || text.contains("[`") {
            self.split.uncertain("it has a text that the shell may read as code");
        }
    }

    /// A statement with redirections: those of a simple command belong to its text.
    fn redirected(&mut self, node: Node<'_>) {
        let body = node.child_by_field_name("body");
        let simple = body.filter(|b| b.kind() == "command");
        let behind: Vec<Word> = named(node).flat_map(words_behind).map(|w| self.word(w)).collect();
        if !behind.is_empty() {
            match body.and_then(last_command) {
                Some(command) => self.behind.push((command.id(), behind)),
                None => self.split.uncertain("it has words behind a redirection"),
            }
        }
        if let Some(command) = simple {
            let others = named(node).filter(|c| *c != command);
            let redirects: String = others.map(|r| format!(" {}", self.redirect(r))).collect();
            self.command(command, &redirects);
        }
        for child in named(node).filter(|c| Some(*c) != simple) {
            self.node(child);
        }
    }

    /// The text of a redirection without the words behind it.
    fn redirect(&self, node: Node<'_>) -> &'a str {
        let end = node.child_by_field_name("destination").map_or(node.end_byte(), |file| file.end_byte());
        let end = if node.kind() == "file_redirect" { end } else { node.end_byte() };
        self.line.get(node.start_byte()..end).unwrap_or_default()
    }

    fn command(&mut self, node: Node<'_>, redirects: &str) {
        let mut words = Vec::new();
        let mut prefix = String::new();
        let mut inner = String::new();
        for child in named(node) {
            match child.kind() {
                "variable_assignment" if self.is_harmless(child) => {}
                "variable_assignment" => prefix.push_str(&format!("{} ", self.text(child))),
                "file_redirect" if words_behind(child).next().is_some() => {
                    self.split.uncertain("it has words behind a redirection");
                }
                "file_redirect" | "herestring_redirect" => inner.push_str(&format!(" {}", self.text(child))),
                "command_name" => words.extend(named(child).map(|c| self.word(c))),
                _ => words.push(self.word(child)),
            }
        }
        let behind = self.behind.extract_if(.., |(command, _)| *command == node.id());
        words.extend(behind.flat_map(|(_, words)| words));
        self.named_command(&words, &prefix, &format!("{inner}{redirects}"));
        self.values(node);
    }

    /// What stands in the words of a command and in the values of its assignments.
    fn values(&mut self, node: Node<'_>) {
        for child in named(node) {
            match child.kind() {
                "variable_assignment" => self.children(child),
                _ => self.node(child),
            }
        }
    }

    fn named_command(&mut self, words: &[Word], prefix: &str, redirects: &str) {
        let Some(name) = words.first() else { return };
        let text = joined(words);
        if !prefix.is_empty() {
            self.split.command(format!("{prefix}{text}{redirects}"));
        }
        self.split.command(format!("{text}{redirects}"));
        let Some(literal) = &name.literal else {
            return self.split.uncertain("the name of a command cannot be told from the line");
        };
        if literal.contains(['*', '?', '[', '{', '}', '!', '=']) && literal != "[" && literal != "[[" {
            return self.split.uncertain("the name of a command is a pattern");
        }
        if is_system_program(literal) {
            let plain = Word { raw: base_name(literal).to_owned(), literal: Some(base_name(literal).to_owned()) };
            let words: Vec<Word> = std::iter::once(plain).chain(words[1..].iter().cloned()).collect();
            self.split.command(format!("{}{redirects}", joined(&words)));
        }
        self.run_inside(words, redirects);
    }

    /// What the command runs beside itself.
    fn run_inside(&mut self, words: &[Word], redirects: &str) {
        if self.depth > DEPTH {
            return self.split.uncertain("it is nested too deep");
        }
        self.depth += 1;
        match inner(words) {
            Inner::Nothing => {}
            Inner::Command(words) => self.named_command(words, "", redirects),
            Inner::Commands(all) => all.into_iter().for_each(|words| self.named_command(words, "", redirects)),
            Inner::Script(script) => {
                self.split.seen.script(script);
                read(script, self.split, self.depth);
            }
            Inner::Unknown(why) => self.split.uncertain(why),
        }
        self.depth -= 1;
    }

    fn file_redirect(&mut self, node: Node<'_>) {
        let operator = (0..node.child_count()).filter_map(|i| node.child(i)).find(|c| !c.is_named());
        let operator = operator.map(|o| self.text(o)).unwrap_or_default();
        let Some(target) = node.child_by_field_name("destination") else { return };
        self.node(target);
        words_behind(node).for_each(|word| self.node(word));
        let word = self.word(target);
        let Some(file) = word.literal else {
            return self.split.uncertain("the file of a redirection cannot be told from the line");
        };
        let duplicates = operator.ends_with('&') && (file == "-" || file.bytes().all(|b| b.is_ascii_digit()));
        let stream = ["/dev/null", "/dev/stdout", "/dev/stderr", "/dev/stdin"].contains(&file.as_str());
        if duplicates || stream || file.starts_with("/dev/fd/") {
            return;
        }
        if file.contains(['*', '?', '[', '{']) {
            return self.split.uncertain("the file of a redirection is a pattern");
        }
        // A descriptor may be meant, so bash expands the word, and then once more for the file.
        if operator == ">&" && file.contains(['$', '`', '\\', '"', '\'']) {
            return self.split.uncertain("the file of a redirection is expanded twice");
        }
        match operator {
            "<" => self.split.reads.push(file),
            _ => self.split.writes.push(file),
        }
    }

    fn is_harmless(&self, assignment: Node<'_>) -> bool {
        let name = assignment.child_by_field_name("name").map(|n| self.text(n)).unwrap_or_default();
        let known = HARMLESS.contains(&name) || name.starts_with("LC_");
        let value = assignment.child_by_field_name("value");
        known && value.is_none_or(|v| self.word(v).literal.is_some())
    }

    fn word(&self, node: Node<'_>) -> Word {
        Word { raw: self.text(node).to_owned(), literal: self.literal(node) }
    }

    /// What the shell makes of a word; `None` if that depends on more than the line.
    fn literal(&self, node: Node<'_>) -> Option<String> {
        let text = self.text(node);
        match node.kind() {
            "word" => Some(unescaped(text, |_| true)),
            "number" => (node.named_child_count() == 0).then(|| text.to_owned()),
            "raw_string" => Some(text.strip_prefix('\'')?.strip_suffix('\'')?.to_owned()),
            "string" => {
                let plain = named(node).all(|c| c.kind() == "string_content");
                let inside = text.strip_prefix('"')?.strip_suffix('"')?;
                plain.then(|| unescaped(inside, |c| matches!(c, '$' | '`' | '"' | '\\' | '\n')))
            }
            "concatenation" => named(node).map(|c| self.literal(c)).collect(),
            _ => None,
        }
        .filter(|_| node.kind() != "concatenation" || covers(node))
    }
}

/// Whether a path leads to a program of the system, however it is written.
fn is_system_program(path: &str) -> bool {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    let folder = parts.split_last().map(|(_, folder)| folder).unwrap_or_default();
    // From the current folder, enough `..` lead to the root.
    let from_root = path.starts_with('/') || path.split('/').any(|part| part == "..");
    let known: [&[&str]; 5] = [&["bin"], &["sbin"], &["usr", "bin"], &["usr", "sbin"], &["usr", "local", "bin"]];
    from_root && known.contains(&folder)
}

/// Whether the named children of a node are all of its text: else something stands between them.
fn covers(node: Node<'_>) -> bool {
    named(node).map(|c| c.byte_range().len()).sum::<usize>() == node.byte_range().len()
}

fn named(node: Node<'_>) -> impl Iterator<Item = Node<'_>> {
    (0..node.named_child_count()).filter_map(move |i| node.named_child(i as u32))
}

/// A text without the backslashes that quote; before other characters they stand for themselves.
fn unescaped(text: &str, quotes: fn(char) -> bool) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        if c != '\\' {
            plain.push(c);
            continue;
        }
        match chars.next() {
            Some('\n') => {}
            Some(next) if quotes(next) => plain.push(next),
            Some(next) => plain.extend(['\\', next]),
            None => plain.push('\\'),
        }
    }
    plain
}

/// Words with one space between them, without quotes that mean nothing: `"git"  \push` is `git push`.
fn joined(words: &[Word]) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_./=:,@%+-".contains(c);
    let text = |w: &Word| match &w.literal {
        Some(literal) if !literal.is_empty() && literal.chars().all(plain) => literal.clone(),
        _ => w.raw.clone(),
    };
    words.iter().map(text).collect::<Vec<_>>().join(" ")
}

fn spaced(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}
