use super::*;

fn whole(text: &str, width: usize) -> String {
    let mut markdown = Markdown::new(width, Paint::off());
    let mut lines = markdown.push(text);
    lines.extend(markdown.finish());
    lines.join("\n")
}

const SAMPLE: &str = "\
# Title

Some **bold** and *soft* text with `code` that is long enough to wrap.
- one
- two
  - inner
- three

  ```sh
  ls
  ```

```rust
fn main() {}

let x = 1;
```
> quoted
> more

1. first
2. second

| a | b |
|---|--:|
| x | 10 |

See [the book](https://e.example) now.
";

#[test]
fn everything_has_a_form() {
    insta::assert_snapshot!(whole(SAMPLE, 40));
}

#[test]
fn a_narrow_terminal_breaks_by_columns_and_unrolls_tables() {
    let shown = whole(SAMPLE, 12);
    assert!(shown.lines().filter(|l| !l.contains("fn main")).all(|l| super::super::wrap::columns(l) <= 14), "{shown}");
    let table = whole("| name | text |\n|---|---|\n| x | something long |\n", 14);
    assert_eq!(table, "name: x\ntext:\nsomething long");
}

#[test]
fn pieces_give_the_same_as_the_whole() {
    for size in [1, 3, 17] {
        let mut markdown = Markdown::new(40, Paint::off());
        let mut lines = Vec::new();
        let chars: Vec<char> = SAMPLE.chars().collect();
        for piece in chars.chunks(size) {
            lines.extend(markdown.push(&piece.iter().collect::<String>()));
        }
        lines.extend(markdown.finish());
        assert_eq!(lines.join("\n"), whole(SAMPLE, 40), "pieces of {size}");
    }
}

#[test]
fn finished_pieces_come_at_once() {
    let mut markdown = Markdown::new(40, Paint::off());
    assert!(markdown.push("first\n").is_empty());
    assert_eq!(markdown.push("\n"), ["first"]);
    assert_eq!(markdown.push("```\ncode\n"), ["", "  code"]);
}

#[test]
fn colours_are_closed_on_every_line() {
    let mut markdown = Markdown::new(10, Paint::on());
    let mut lines = markdown.push("**bold words over lines**\n\n");
    lines.extend(markdown.finish());
    assert!(lines.len() > 1 && lines.iter().all(|l| l.starts_with("\x1b[1m") && l.ends_with("\x1b[0m")), "{lines:?}");
}
