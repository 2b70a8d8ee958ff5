//! From tokens to an expression, by recursive descent of bounded depth.

use serde_json::Value;

use super::lex::{Lexeme, Token, tokens};
use super::{Comparison, MAX_DEPTH, Operation, ParseError, Term};

const WORDS: [&str; 4] = ["and", "or", "not", "in"];

/// Reads an expression.
pub(super) fn parse(text: &str) -> Result<Term, ParseError> {
    let mut parser = Parser { tokens: tokens(text)?, next: 0, depth: 0, end: text.chars().count() };
    if parser.tokens.is_empty() {
        return parser.fail("the expression is empty");
    }
    let root = parser.either()?;
    match parser.peek() {
        None => Ok(root),
        Some(Lexeme::Sign(")" | "]")) => parser.fail("nothing was opened that this would close"),
        Some(_) => parser.fail("an operator is expected here, such as `and` or `==`"),
    }
}

struct Parser {
    tokens: Vec<Token>,
    next: usize,
    depth: usize,
    end: usize,
}

impl Parser {
    fn either(&mut self) -> Result<Term, ParseError> {
        self.deeper()?;
        let mut left = self.both()?;
        while self.word("or") {
            left = Term::Either(Box::new(left), Box::new(self.both()?));
        }
        self.depth -= 1;
        Ok(left)
    }

    fn both(&mut self) -> Result<Term, ParseError> {
        let mut left = self.not()?;
        while self.word("and") {
            left = Term::Both(Box::new(left), Box::new(self.not()?));
        }
        Ok(left)
    }

    fn not(&mut self) -> Result<Term, ParseError> {
        if !self.word("not") {
            return self.comparison();
        }
        self.deeper()?;
        let inner = self.not()?;
        self.depth -= 1;
        Ok(Term::Not(Box::new(inner)))
    }

    fn comparison(&mut self) -> Result<Term, ParseError> {
        let left = self.sum()?;
        let Some(comparison) = self.comparator()? else { return Ok(left) };
        let right = self.sum()?;
        let before = self.next;
        if self.comparator()?.is_some() {
            self.next = before;
            return self.fail("comparisons are not chained; write `a < b and b < c`");
        }
        Ok(Term::Compare(comparison, Box::new(left), Box::new(right)))
    }

    fn comparator(&mut self) -> Result<Option<Comparison>, ParseError> {
        if self.word("in") {
            return Ok(Some(Comparison::In));
        }
        if self.word("not") {
            if !self.word("in") {
                return self.fail("`in` is expected after `not`");
            }
            return Ok(Some(Comparison::NotIn));
        }
        const SIGNS: [(&str, Comparison); 6] = [
            ("==", Comparison::Equal),
            ("!=", Comparison::Unequal),
            ("<", Comparison::Less),
            ("<=", Comparison::LessOrEqual),
            (">", Comparison::Greater),
            (">=", Comparison::GreaterOrEqual),
        ];
        Ok(SIGNS.into_iter().find(|(sign, _)| self.sign(sign)).map(|(_, comparison)| comparison))
    }

    fn sum(&mut self) -> Result<Term, ParseError> {
        let mut left = self.product()?;
        loop {
            let operation = match () {
                () if self.sign("+") => Operation::Add,
                () if self.sign("-") => Operation::Subtract,
                () => return Ok(left),
            };
            left = Term::Calculate(operation, Box::new(left), Box::new(self.product()?));
        }
    }

    fn product(&mut self) -> Result<Term, ParseError> {
        let mut left = self.signed()?;
        loop {
            let operation = match () {
                () if self.sign("*") => Operation::Multiply,
                () if self.sign("/") => Operation::Divide,
                () if self.sign("%") => Operation::Remainder,
                () => return Ok(left),
            };
            left = Term::Calculate(operation, Box::new(left), Box::new(self.signed()?));
        }
    }

    fn signed(&mut self) -> Result<Term, ParseError> {
        if !self.sign("-") {
            return self.path();
        }
        self.deeper()?;
        let inner = self.signed()?;
        self.depth -= 1;
        Ok(Term::Negative(Box::new(inner)))
    }

    fn path(&mut self) -> Result<Term, ParseError> {
        let mut term = self.primary()?;
        let mut parts = 0;
        loop {
            parts += 1;
            if parts > MAX_DEPTH {
                return self.fail(&format!("a path has more than {MAX_DEPTH} parts"));
            }
            if self.sign(".") {
                let Some(Lexeme::Name(name)) = self.peek().cloned() else {
                    return self.fail("a field's name is expected after the dot");
                };
                self.next += 1;
                term = Term::Field(Box::new(term), name);
            } else if self.sign("[") {
                let index = self.either()?;
                self.close("]")?;
                term = Term::Index(Box::new(term), Box::new(index));
            } else {
                return Ok(term);
            }
        }
    }

    fn primary(&mut self) -> Result<Term, ParseError> {
        let Some(lexeme) = self.peek().cloned() else { return self.fail("something is missing at the end") };
        match lexeme {
            Lexeme::Literal(value) => {
                self.next += 1;
                Ok(Term::Literal(value))
            }
            Lexeme::Name(name) if WORDS.contains(&name.as_str()) => {
                self.fail(&format!("a value is expected before `{name}`"))
            }
            Lexeme::Name(name) => {
                self.next += 1;
                if self.sign("(") { self.call(&name) } else { Ok(Term::Name(name)) }
            }
            Lexeme::Sign("(") => {
                self.next += 1;
                let inner = self.either()?;
                self.close(")")?;
                Ok(inner)
            }
            Lexeme::Sign("[") => {
                self.next += 1;
                self.list()
            }
            Lexeme::Sign(sign) => self.fail(&format!("a value is expected, not `{sign}`")),
        }
    }

    fn list(&mut self) -> Result<Term, ParseError> {
        let mut items = Vec::new();
        while !self.sign("]") {
            items.push(self.either()?);
            if !self.sign(",") {
                self.close("]")?;
                break;
            }
        }
        Ok(match items.iter().map(Term::literal).collect::<Option<Vec<Value>>>() {
            Some(values) => Term::Literal(Value::Array(values)),
            None => Term::List(items),
        })
    }

    fn call(&mut self, name: &str) -> Result<Term, ParseError> {
        let inner = self.either()?;
        self.close(")")?;
        match name {
            "len" | "length" => Ok(Term::Length(Box::new(inner))),
            "defined" => match inner {
                path @ (Term::Name(_) | Term::Field(..) | Term::Index(..)) => Ok(Term::Defined(Box::new(path))),
                _ => self.fail("`defined` takes a name or a path"),
            },
            _ => self.fail(&format!("there is no function `{name}`; `len` and `defined` exist")),
        }
    }

    fn close(&mut self, sign: &'static str) -> Result<(), ParseError> {
        if self.sign(sign) { Ok(()) } else { self.fail(&format!("`{sign}` is missing")) }
    }

    fn peek(&self) -> Option<&Lexeme> {
        self.tokens.get(self.next).map(|(lexeme, _)| lexeme)
    }

    fn sign(&mut self, sign: &str) -> bool {
        let found = matches!(self.peek(), Some(Lexeme::Sign(s)) if *s == sign);
        self.next += usize::from(found);
        found
    }

    fn word(&mut self, word: &str) -> bool {
        let found = matches!(self.peek(), Some(Lexeme::Name(n)) if n == word);
        self.next += usize::from(found);
        found
    }

    fn deeper(&mut self) -> Result<(), ParseError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return self.fail(&format!("more than {MAX_DEPTH} parentheses or signs stand in each other"));
        }
        Ok(())
    }

    fn fail<T>(&self, message: &str) -> Result<T, ParseError> {
        let at = self.tokens.get(self.next).map_or(self.end, |(_, at)| *at);
        Err(ParseError { message: message.to_owned(), at })
    }
}

impl Term {
    fn literal(&self) -> Option<Value> {
        match self {
            Self::Literal(value) => Some(value.clone()),
            _ => None,
        }
    }
}
