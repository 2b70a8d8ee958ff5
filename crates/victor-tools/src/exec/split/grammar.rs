//! Where the grammar of tree-sitter-bash reads a line otherwise than the shell does.

use tree_sitter::Node;

use super::named;

/// Whether a backslash joins two lines in the middle of a word: the grammar takes that for the end of the word.
pub(super) fn continues_a_word(line: &str) -> bool {
    line.match_indices("\\\n").any(|(at, joint)| {
        let before = &line[..at];
        let escaped = before.bytes().rev().take_while(|b| *b == b'\\').count() % 2 == 1;
        let blank = |c: char| c == ' ' || c == '\t';
        !escaped && !before.ends_with(blank) && !line[at + joint.len()..].starts_with(blank)
    })
}

/// Whether the grammar takes for part of a command what the shell begins the next one with: `\rm` at the beginning of a
/// line, what stands there behind `$` or `=~`, what follows on an array without a blank, and for a comment what is none.
pub(super) fn runs_over_a_line(root: Node<'_>, line: &str) -> bool {
    let bare = |text: &str| text.replace("\\\n", "").contains('\n');
    let mut open = vec![root];
    while let Some(node) = open.pop() {
        let over = match node.kind() {
            "word" | "number" | "variable_name" | "simple_expansion" => bare(&line[node.byte_range()]),
            "=~" | "==" => {
                let rest = line[node.end_byte()..].trim_start_matches([' ', '\t']);
                node.parent().is_some_and(|p| p.kind() == "command") && (node.kind() == "=~" || rest.starts_with('\n'))
            }
            // Within a word, `#` begins no comment.
            "comment" => {
                !line[..node.start_byte()].ends_with([' ', '\t', '\n', ';', '&', '|', '(', '`'])
                    && node.start_byte() > 0
            }
            "variable_assignment" => {
                node.next_sibling().is_some_and(|n| n.start_byte() == node.end_byte() && n.is_named())
            }
            _ => false,
        };
        if over {
            return true;
        }
        open.extend((0..node.child_count()).filter_map(|i| node.child(i)));
    }
    false
}

/// Whether a word begins with a quoted blank: the grammar skips that, and takes what follows for a word or a comment.
pub(super) fn skips_a_quoted_blank(root: Node<'_>, line: &str) -> bool {
    line.match_indices('\\').any(|(at, _)| {
        let escaped = line[..at].bytes().rev().take_while(|b| *b == b'\\').count() % 2 == 1;
        let between = |node: Node<'_>| node.child_count() > 0 && !matches!(node.kind(), "string" | "heredoc_body");
        !escaped
            && line[at + 1..].starts_with([' ', '\t'])
            && root.descendant_for_byte_range(at, at + 1).is_none_or(between)
    })
}

/// Whether the line begins a substitution that is no node of the tree, nor in a text that is never substituted.
pub(super) fn substitutes_unseen(root: Node<'_>, line: &str) -> bool {
    let (mut inert, mut seen) = (Vec::new(), Vec::new());
    // Within these, quotes are texts like others.
    let mut open = vec![(root, false)];
    while let Some((node, within)) = open.pop() {
        let quoted = node.kind() == "heredoc_body" && is_quoted_heredoc(node, line);
        if quoted || (!within && matches!(node.kind(), "raw_string" | "comment" | "ansi_c_string")) {
            inert.push(node.byte_range());
        } else if node.child_count() == 0 {
            seen.push(node.byte_range());
        } else {
            let within = match node.kind() {
                "string"
                | "translated_string"
                | "heredoc_body"
                | "expansion"
                | "subscript"
                | "arithmetic_expansion" => true,
                "command_substitution" | "process_substitution" => false,
                _ => within,
            };
            open.extend((0..node.child_count()).filter_map(|i| node.child(i)).map(|child| (child, within)));
        }
    }
    let begins = |mark: &str, is: fn(&str) -> bool| {
        line.match_indices(mark).any(|(at, _)| {
            let escaped = line[..at].bytes().rev().take_while(|b| *b == b'\\').count() % 2 == 1;
            let shown = seen.iter().any(|r| r.start == at && is(&line[r.clone()]));
            !escaped && !shown && !inert.iter().any(|r| r.contains(&at))
        })
    };
    begins("`", |token| token == "`") || begins("$(", |token| token.starts_with("$(") && token.len() <= 3)
}

/// Whether a here-document's end mark is quoted, which makes its text plain.
fn is_quoted_heredoc(body: Node<'_>, line: &str) -> bool {
    let start = body.parent().and_then(|p| named(p).find(|c| c.kind() == "heredoc_start"));
    start.and_then(|s| line.get(s.byte_range())).is_some_and(|s| s.contains(['\'', '"', '\\']))
}

/// The words of the command that stand behind one of its redirections, which the grammar counts to that.
pub(super) fn words_behind(redirect: Node<'_>) -> impl Iterator<Item = Node<'_>> {
    let (field, files) = match redirect.kind() {
        "heredoc_redirect" => ("argument", 0),
        _ => ("destination", 1),
    };
    let mut cursor = redirect.walk();
    let all: Vec<Node<'_>> = match redirect.kind() {
        "heredoc_redirect" | "file_redirect" => redirect.children_by_field_name(field, &mut cursor).collect(),
        _ => Vec::new(),
    };
    all.into_iter().skip(files)
}

/// The command that the redirections behind a statement belong to.
pub(super) fn last_command(statement: Node<'_>) -> Option<Node<'_>> {
    match statement.kind() {
        "command" => Some(statement),
        "pipeline" | "list" | "negated_command" => named(statement).last().and_then(last_command),
        _ => None,
    }
}
