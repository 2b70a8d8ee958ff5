use super::*;

/// The chunks of a text that comes in pieces of `size` bytes, written short, and whether a text ended it.
fn told(text: &str, size: usize, stops: &[&str]) -> (String, bool) {
    let stops: Vec<_> = stops.iter().map(|s| (*s).to_owned()).collect();
    let mut output = Output::new(&stops, true);
    let mut shown = Vec::new();
    let mut stopped = false;
    for piece in text.as_bytes().chunks(size) {
        if output.push(piece) == Turn::Stop {
            stopped = true;
            break;
        }
    }
    output.finish();
    for chunk in output.take() {
        let (kind, index, text) = match chunk {
            Chunk::Text { index, delta } => ("text", index, delta),
            Chunk::Thinking { index, delta } => ("thought", index, delta),
            Chunk::ToolCall { index, name, .. } => ("call", index, name),
            Chunk::ToolArgs { index, delta } => ("args", index, delta),
            other => panic!("{other:?}"),
        };
        match shown.last_mut() {
            Some((k, i, all)) if *k == kind && *i == index => *all = format!("{all}{text}"),
            _ => shown.push((kind, index, text)),
        }
    }
    let shown: Vec<_> = shown.iter().map(|(kind, index, text)| format!("{kind} {index}: {text}")).collect();
    (shown.join(" | "), stopped)
}

/// The same, whatever the pieces.
fn check(text: &str, expected: &str) {
    for size in 1..=text.len() {
        assert_eq!(told(text, size, &[]).0, expected, "in pieces of {size}");
    }
}

#[test]
fn plain_text_comes_through_with_its_letters_whole() {
    check("\n Grüße 👩‍👧, a < b <t", "text 0: Grüße 👩‍👧, a < b <t");
}

#[test]
fn thoughts_come_before_the_answer() {
    check("<think>\nA < B\n</think>\n\nYes", "thought 0: A < B | text 1: Yes");
}

#[test]
fn calls_are_told_whole_with_the_text_before_them() {
    let call = |city: &str| {
        format!("<tool_call>\n{{\"name\": \"weather\", \"arguments\": {{\"city\": \"{city}\"}}}}\n</tool_call>")
    };
    let text = format!("Let me look. \n{}\n{}", call("Oslo"), call("Rome"));
    check(
        &text,
        "text 0: Let me look. | call 1: weather | args 1: {\"city\": \"Oslo\"} | call 2: weather | args 2: {\"city\": \"Rome\"}",
    );
}

#[test]
fn a_call_that_was_cut_off_is_told_as_far_as_it_came() {
    let text = "<tool_call>\n{\"name\": \"weather\", \"arguments\": {\"city\": \"Os";
    check(text, "call 0: weather | args 0: {\"city\": \"Os");
}

#[test]
fn a_stop_text_ends_the_answer_wherever_the_pieces_end() {
    for size in 1..=20 {
        assert_eq!(told("one two STOP three", size, &["nothing", "STOP"]), ("text 0: one two ".to_owned(), true));
    }
}

#[test]
fn bytes_that_are_no_text_are_marked() {
    let mut output = Output::new(&[], false);
    output.push(b"a\xffb\xe2\x82");
    output.finish();
    let text: String = output
        .take()
        .into_iter()
        .map(|c| if let Chunk::Text { delta, .. } = c { delta } else { String::new() })
        .collect();
    assert_eq!(text, "a\u{FFFD}b\u{FFFD}");
}
