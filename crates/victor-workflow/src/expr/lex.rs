//! Tokens of an expression.

use serde_json::{Number, Value};

use super::{MAX_LENGTH, MAX_TOKENS, ParseError};

/// A token with the character at which it starts.
pub(super) type Token = (Lexeme, usize);

/// What a token is.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Lexeme {
    Literal(Value),
    Name(String),
    Sign(&'static str),
}

/// The longer signs first.
const SIGNS: [&str; 19] =
    ["==", "!=", "<=", ">=", "&&", "||", "<", ">", "+", "-", "*", "/", "%", "(", ")", "[", "]", ",", "."];

/// Splits a text into tokens.
pub(super) fn tokens(text: &str) -> Result<Vec<Token>, ParseError> {
    if text.len() > MAX_LENGTH {
        let message = format!("the expression has {} bytes; {MAX_LENGTH} are allowed", text.len());
        return Err(ParseError { message, at: 0 });
    }
    let (mut tokens, mut rest, mut at) = (Vec::new(), text, 0);
    loop {
        let trimmed = rest.trim_start();
        at += rest.chars().count() - trimmed.chars().count();
        rest = trimmed;
        let Some(first) = rest.chars().next() else { return Ok(tokens) };
        let (lexeme, length) = match first {
            '\'' | '"' => quoted(rest, first, at)?,
            '0'..='9' => number(rest, at)?,
            c if c.is_alphabetic() || c == '_' => word(rest),
            _ => (Lexeme::Sign(sign(rest, at)?), 0),
        };
        let length = if let Lexeme::Sign(s) = lexeme { s.len() } else { length };
        tokens.push((lexeme, at));
        if tokens.len() > MAX_TOKENS {
            return Err(ParseError { message: format!("the expression has more than {MAX_TOKENS} parts"), at });
        }
        at += rest[..length].chars().count();
        rest = &rest[length..];
    }
}

fn sign(rest: &str, at: usize) -> Result<&'static str, ParseError> {
    let fail = |message: &str| ParseError { message: message.to_owned(), at };
    match SIGNS.into_iter().find(|s| rest.starts_with(s)) {
        Some("&&") => Err(fail("`&&` is written `and`")),
        Some("||") => Err(fail("`||` is written `or`")),
        Some(sign) => Ok(sign),
        None if rest.starts_with('=') => Err(fail("`=` compares nothing; write `==`")),
        None if rest.starts_with('!') => Err(fail("`!` is written `not`")),
        None if rest.starts_with('|') => Err(fail("conditions have no filters; use a transform before it")),
        None => Err(fail(&format!("`{}` has no meaning here", rest.chars().next().unwrap_or_default()))),
    }
}

fn word(rest: &str) -> (Lexeme, usize) {
    let length = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
    let lexeme = match &rest[..length] {
        "true" | "True" => Lexeme::Literal(Value::Bool(true)),
        "false" | "False" => Lexeme::Literal(Value::Bool(false)),
        "null" | "none" | "None" => Lexeme::Literal(Value::Null),
        name => Lexeme::Name(name.to_owned()),
    };
    (lexeme, length)
}

fn number(rest: &str, at: usize) -> Result<(Lexeme, usize), ParseError> {
    let digits = |from: usize| rest[from..].bytes().take_while(u8::is_ascii_digit).count();
    let mut length = digits(0);
    if rest[length..].starts_with('.') && digits(length + 1) > 0 {
        length += 1 + digits(length + 1);
    }
    if rest[length..].starts_with(['e', 'E']) {
        let sign = usize::from(rest[length + 1..].starts_with(['+', '-']));
        if digits(length + 1 + sign) > 0 {
            length += 1 + sign + digits(length + 1 + sign);
        }
    }
    let fail = || ParseError { message: format!("`{}` is no number", &rest[..length]), at };
    if rest[length..].starts_with(|c: char| c.is_alphanumeric() || c == '_') {
        return Err(fail());
    }
    rest[..length].parse::<Number>().map(|n| (Lexeme::Literal(Value::Number(n)), length)).map_err(|_| fail())
}

fn quoted(rest: &str, quote: char, at: usize) -> Result<(Lexeme, usize), ParseError> {
    let (mut text, mut chars) = (String::new(), rest.char_indices().skip(1));
    while let Some((i, c)) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some((_, 'n')) => text.push('\n'),
                Some((_, 't')) => text.push('\t'),
                Some((_, other)) => text.push(other),
                None => break,
            },
            c if c == quote => return Ok((Lexeme::Literal(Value::String(text)), i + c.len_utf8())),
            c => text.push(c),
        }
    }
    Err(ParseError { message: format!("the text that starts here lacks its closing {quote}"), at })
}
