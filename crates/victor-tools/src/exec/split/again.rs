//! What the shell evaluates a second time: arithmetic, subscripts, and names of variables that are given as text. A
//! command substitution in the text that comes of the first evaluation runs in the second, where no grammar shows it.
//! Source: bash(1), ARITHMETIC EVALUATION and Arrays.

use tree_sitter::Node;

use super::named;

/// What a line does that matters here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    /// It sets variables to texts that the line does not show plainly.
    sets: bool,
    /// It evaluates variables.
    evaluates: bool,
    /// It evaluates a text in which a command can hide.
    hides: bool,
}

impl Seen {
    /// Looks at a line. Why there may be commands in what was evaluated so far; `None` if there are not.
    pub(super) fn hidden(&mut self, root: Node<'_>, line: &str) -> Option<&'static str> {
        let mut open = vec![root];
        while let Some(node) = open.pop() {
            self.node(node, line);
            open.extend(named(node));
        }
        match self {
            Self { hides: true, .. } => Some("it evaluates a text that may hold a command"),
            Self { sets: true, evaluates: true, .. } => Some("it evaluates variables that it sets itself"),
            Self { .. } => None,
        }
    }

    /// A script of a shell: the words behind it are its parameters, and whoever runs it may add some.
    pub(super) fn script(&mut self, script: &str) {
        let mut parameters = script.split('$').skip(1).map(|rest| rest.strip_prefix('{').unwrap_or(rest));
        self.sets |= parameters
            .any(|rest| rest.starts_with("!#") || rest.starts_with(|c: char| matches!(c, '0'..='9' | '@' | '*')));
    }

    fn node(&mut self, node: Node<'_>, line: &str) {
        let text = line.get(node.byte_range()).unwrap_or_default();
        match node.kind() {
            "arithmetic_expansion" => self.operand(between(text, &["((", "["], &["))", "]"])),
            "c_style_for_statement" => {
                let body = node.child_by_field_name("body").map_or(node.end_byte(), |body| body.start_byte());
                let head = line.get(node.start_byte()..body).unwrap_or(text);
                self.operand(between(head, &["(("], &["))"]));
            }
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
        self.hides |= !is_arithmetic(text) || names_texts(text);
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
        self.hides |= inside.starts_with('!') && names_texts(inside);
        self.hides |= inside.ends_with("@P");
        let named = inside.trim_start_matches(['!', '#']);
        let mut rest = named.trim_start_matches(|c: char| c.is_ascii_alphanumeric() || c == '_');
        if rest.len() == named.len() {
            // A special parameter.
            rest = rest.strip_prefix(['@', '*', '?', '$', '-']).unwrap_or(rest);
        }
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
        let plain = text.replace(['\\', '"', '\''], "");
        let mut options = plain.split_whitespace().skip(1).take_while(|w| w.starts_with(['-', '+']));
        let typed = options.any(|w| w.starts_with('-') && w.contains(['i', 'n']));
        self.hides |= subscripts || typed;
        self.evaluates |= plain.split_whitespace().any(|w| w.split('=').next().is_some_and(|name| name.contains('$')));
    }

    /// Builtins that take arithmetic, or names of variables.
    fn command(&mut self, words: &[&str]) {
        let plain: Vec<String> = words.iter().map(|word| word.replace(['\\', '"', '\''], "")).collect();
        let rest = plain.iter().position(|word| !matches!(word.as_str(), "command" | "builtin" | "time" | "-p" | "--"));
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
            // What expands to an option cannot be told from a text.
            "test" if words.iter().any(|w| w.contains('[') && (w.contains("$(") || w.contains('`'))) => {
                self.hides = true;
            }
            "test" => self.evaluates |= arguments.iter().find(|a| *a != "!").is_some_and(|a| a.starts_with('$')),
            "unset" | "wait" => self.hides |= arguments.iter().any(|a| a.contains('[')),
            "export" | "readonly" | "declare" | "typeset" | "local" => self.declaration(&words.join(" ")),
            "set" => self.sets |= !arguments.iter().all(|a| is_shown(a)),
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

/// Whether a text names variables that the shell itself fills with texts of the line: the last word of a command, the
/// command, the whole line, what a pattern fits.
fn names_texts(text: &str) -> bool {
    let mut names = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    names.any(|name| name == "_" || name.starts_with("BASH_"))
}

/// Whether a value is a text in which nothing can hide.
fn is_shown(value: &str) -> bool {
    value.chars().all(|c| c.is_ascii_alphanumeric() || "_./-+:,%@{}'\" ".contains(c))
}

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}
