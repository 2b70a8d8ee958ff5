//! What the shell evaluates a second time: arithmetic, subscripts, and names of variables that are given as text. A
//! command substitution in the text that comes of the first evaluation runs in the second, where no grammar shows it.
//! Source: bash(1), ARITHMETIC EVALUATION and Arrays.

use tree_sitter::Node;

use super::named;

/// What a line does that matters here.
#[derive(Default)]
struct Seen {
    /// It sets variables to texts that the line does not show plainly.
    sets: bool,
    /// It evaluates variables.
    evaluates: bool,
    /// It evaluates a text in which a command can hide.
    hides: bool,
}

/// Why there may be commands in what the line evaluates; `None` if there are not.
pub(super) fn hidden(root: Node<'_>, line: &str) -> Option<&'static str> {
    let mut seen = Seen::default();
    let mut open = vec![root];
    while let Some(node) = open.pop() {
        seen.node(node, line);
        open.extend(named(node));
    }
    match seen {
        Seen { hides: true, .. } => Some("it evaluates a text that may hold a command"),
        Seen { sets: true, evaluates: true, .. } => Some("it evaluates variables that it sets itself"),
        Seen { .. } => None,
    }
}

impl Seen {
    fn node(&mut self, node: Node<'_>, line: &str) {
        let text = line.get(node.byte_range()).unwrap_or_default();
        match node.kind() {
            "arithmetic_expansion" | "c_style_for_statement" => self.operand(between(text, &["((", "["], &["))", "]"])),
            "compound_statement" if text.starts_with("((") => self.operand(between(text, &["(("], &["))"])),
            "test_command" => self.test(text),
            "subscript" => self.index(text),
            "expansion" => self.expansion(text),
            "for_statement" => {
                let mut cursor = node.walk();
                let mut values = node.children_by_field_name("value", &mut cursor).peekable();
                let shown = values.peek().is_some() && values.all(|v| is_shown(&line[v.byte_range()]));
                self.sets |= !shown;
            }
            "variable_assignment" => {
                let value = node.child_by_field_name("value").map_or("", |v| &line[v.byte_range()]);
                self.sets |= !is_shown(value);
            }
            "declaration_command" | "unset_command" => self.declaration(text),
            "command" => {
                let words: Vec<&str> = named(node).map(|word| &line[word.byte_range()]).collect();
                self.command(&words);
            }
            _ => {}
        }
    }

    /// Arithmetic.
    fn operand(&mut self, text: &str) {
        self.hides |= !is_arithmetic(text);
        self.evaluates |= text.contains(|c: char| c.is_ascii_alphabetic() || c == '_' || c == '$');
    }

    fn test(&mut self, text: &str) {
        let evaluating: &[&str] = match text.starts_with("[[") {
            true => &["-v", "-R", "-eq", "-ne", "-lt", "-le", "-gt", "-ge"],
            false => &["-v", "-R"],
        };
        if text.split_whitespace().any(|word| evaluating.contains(&word)) {
            self.operand(&text.trim_matches(['[', ']']).replace('"', ""));
        }
    }

    /// `name[index]`, and what may follow.
    fn index(&mut self, text: &str) {
        let index = between(text, &["["], &["]"]);
        if !matches!(index, "@" | "*") {
            self.operand(index);
        }
    }

    /// `${...}`.
    fn expansion(&mut self, text: &str) {
        let inside = text.strip_prefix("${").and_then(|t| t.strip_suffix('}')).unwrap_or(text);
        self.evaluates |= inside.starts_with('!');
        self.hides |= inside.ends_with("@P");
        let named = inside.trim_start_matches(['!', '#']);
        let mut rest = named.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || c == '_');
        if rest.starts_with('[') {
            self.index(rest);
            rest = rest.split_once(']').map_or("", |(_, rest)| rest);
        }
        self.sets |= rest.starts_with('=') || rest.starts_with(":=");
        if let Some(part) = rest.strip_prefix(':').filter(|part| !part.starts_with(['-', '+', '=', '?'])) {
            self.operand(part);
        }
    }

    fn declaration(&mut self, text: &str) {
        let subscripts = text.contains('[') && text.contains(['$', '`', '\\', '"', '\'']);
        let typed = text.split_whitespace().any(|w| w.starts_with('-') && w.contains(['i', 'n']));
        self.hides |= subscripts || typed;
    }

    /// Builtins that take arithmetic, or names of variables.
    fn command(&mut self, words: &[&str]) {
        let plain: Vec<String> = words.iter().map(|word| word.replace(['\\', '"', '\''], "")).collect();
        let rest = plain.iter().position(|word| !matches!(word.as_str(), "command" | "builtin" | "-p" | "--"));
        let Some((name, arguments)) = rest.and_then(|from| plain[from..].split_first()) else { return };
        let option = |option: &str| arguments.iter().position(|a| a.starts_with(option));
        match name.as_str() {
            "let" => arguments.iter().for_each(|a| self.operand(a)),
            "printf" => {
                let Some(at) = option("-v") else { return };
                let target = arguments[at].strip_prefix("-v").filter(|t| !t.is_empty());
                self.hides |= !target.or(arguments.get(at + 1).map(String::as_str)).is_some_and(is_name);
                self.sets = true;
            }
            "read" | "getopts" => {
                self.hides |= arguments.iter().any(|a| a.contains('['));
                self.evaluates |= arguments.iter().any(|a| a.contains('$'));
                self.sets = true;
            }
            "test" | "[" if option("-v").or_else(|| option("-R")).is_some() => {
                arguments.iter().for_each(|a| self.operand(a));
            }
            "unset" | "wait" => self.hides |= arguments.iter().any(|a| a.contains('[')),
            "export" | "readonly" | "declare" | "typeset" | "local" => self.declaration(&words.join(" ")),
            "set" => self.sets = true,
            _ => {}
        }
    }
}

/// What stands between the first of these marks and the last of those.
fn between<'t>(text: &'t str, begins: &[&str], ends: &[&str]) -> &'t str {
    let begin = begins.iter().filter_map(|mark| text.find(mark).map(|at| at + mark.len())).min();
    let end = ends.iter().filter_map(|mark| text.rfind(mark)).max();
    begin.zip(end).and_then(|(begin, end)| text.get(begin..end)).unwrap_or(text)
}

/// Whether a text of arithmetic is all numbers, names and operators, and so holds no command.
fn is_arithmetic(text: &str) -> bool {
    let known =
        |c: char| c.is_ascii_alphanumeric() || c.is_ascii_whitespace() || "_+-*/%<>=!&|^~?:,;().#@{}$".contains(c);
    text.chars().all(known) && !text.contains("$(")
}

/// Whether a value is a text in which nothing can hide.
fn is_shown(value: &str) -> bool {
    value.chars().all(|c| c.is_ascii_alphanumeric() || "_./-+:,%@".contains(c))
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}
