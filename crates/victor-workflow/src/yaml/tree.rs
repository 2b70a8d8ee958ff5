//! A YAML file as a tree of nodes with their places.
//!
//! Bounded: aliases, depth and the number of nodes; duplicate keys, tags and further documents are mistakes.

use std::collections::HashMap;

use serde_saphyr::granit_parser::{Event, Parser, ScalarStyle, Span, Tag};

use super::place::{Findings, Place};

/// The longest file, in bytes.
pub const MAX_FILE: usize = 1 << 20;
/// Nodes of a file at most, aliases counted with all that they stand for.
pub const MAX_NODES: usize = 50_000;
/// How deep lists and mappings may stand in each other.
pub const MAX_NESTING: usize = 48;

/// A node of a file.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) place: Place,
    pub(crate) kind: Kind,
}

/// What a node is.
#[derive(Clone, Debug)]
pub(crate) enum Kind {
    Scalar { text: String, style: Style },
    List(Vec<Node>),
    Mapping(Vec<(Node, Node)>),
}

/// How a text is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    /// As it is, so it may be a number.
    Plain,
    /// In quotes or as a block: always a text.
    Quoted,
}

impl Node {
    /// The value of a key.
    pub(crate) fn get(&self, name: &str) -> Option<&Self> {
        self.entry(name).map(|(_, value)| value)
    }

    /// A key with its value.
    pub(crate) fn entry(&self, name: &str) -> Option<&(Self, Self)> {
        self.entries().iter().find(|(key, _)| key.text().is_some_and(|text| crate::expr::same_name(text, name)))
    }

    /// The entries of a mapping; none for anything else.
    pub(crate) fn entries(&self) -> &[(Self, Self)] {
        match &self.kind {
            Kind::Mapping(entries) => entries,
            Kind::Scalar { .. } | Kind::List(_) => &[],
        }
    }

    /// The items of a list; none for anything else.
    pub(crate) fn items(&self) -> &[Self] {
        match &self.kind {
            Kind::List(items) => items,
            Kind::Scalar { .. } | Kind::Mapping(_) => &[],
        }
    }

    /// The text of a scalar.
    pub(crate) fn text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Scalar { text, .. } => Some(text),
            Kind::List(_) | Kind::Mapping(_) => None,
        }
    }

    /// Whether nothing is said.
    pub(crate) fn is_null(&self) -> bool {
        matches!(&self.kind, Kind::Scalar { text, style: Style::Plain } if matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL"))
    }

    /// Itself and all below it.
    pub(crate) fn count(&self) -> usize {
        1 + match &self.kind {
            Kind::Scalar { .. } => 0,
            Kind::List(items) => items.iter().map(Self::count).sum(),
            Kind::Mapping(entries) => entries.iter().map(|(k, v)| k.count() + v.count()).sum(),
        }
    }
}

/// Reads a file's text; what is wrong goes into `findings`, and without a tree something is.
pub(crate) fn parse(text: &str, file: u32, findings: &mut Findings) -> Option<Node> {
    let start = Place { file, line: 1, column: 1 };
    if text.len() > MAX_FILE {
        findings.mistake(start, format!("the file has {} bytes; {MAX_FILE} are allowed", text.len()));
        return None;
    }
    let mut builder = Builder { file, findings, anchors: HashMap::new(), nodes: 0 };
    match builder.document(Parser::new_from_str(text)) {
        Ok(Some(root)) => Some(root),
        Ok(None) => {
            findings.mistake(start, "the file is empty; it needs `workflows:`");
            None
        }
        Err((place, message)) => {
            findings.mistake(place, message);
            None
        }
    }
}

type Failure = (Place, String);
type Step<'a> = Result<(Event<'a>, Span), serde_saphyr::granit_parser::ScanError>;

struct Builder<'f> {
    file: u32,
    findings: &'f mut Findings,
    anchors: HashMap<usize, (Node, usize)>,
    nodes: usize,
}

impl Builder<'_> {
    fn document<'a>(&mut self, mut events: impl Iterator<Item = Step<'a>>) -> Result<Option<Node>, Failure> {
        let (mut root, mut documents) = (None, 0);
        while let Some((event, span)) = self.next(&mut events)? {
            match event {
                Event::DocumentStart(..) if documents > 0 => {
                    return Err((self.place(&span), "only one document is allowed; remove the `---`".to_owned()));
                }
                Event::DocumentStart(..) => documents += 1,
                event if event.is_node() => root = Some(self.node(event, &span, &mut events, 0)?),
                _ => {}
            }
        }
        Ok(root)
    }

    fn next<'a>(&self, events: &mut impl Iterator<Item = Step<'a>>) -> Result<Option<(Event<'a>, Span)>, Failure> {
        // A comment may stand between any two things.
        let next = events.find(|step| !matches!(step, Ok((Event::Comment(..), _))));
        next.transpose().map_err(|e| {
            let place = self.at(e.marker().line(), e.marker().col());
            (place, format!("this is no YAML: {}", e.info()))
        })
    }

    fn some<'a>(&self, events: &mut impl Iterator<Item = Step<'a>>) -> Result<(Event<'a>, Span), Failure> {
        let end = || (Place { file: self.file, line: 0, column: 0 }, "the file ends too early".to_owned());
        self.next(events)?.ok_or_else(end)
    }

    fn node<'a>(
        &mut self,
        event: Event<'a>,
        span: &Span,
        events: &mut impl Iterator<Item = Step<'a>>,
        depth: usize,
    ) -> Result<Node, Failure> {
        let place = self.place(span);
        self.count(1, place)?;
        if depth > MAX_NESTING {
            return Err((place, format!("more than {MAX_NESTING} lists and mappings stand in each other")));
        }
        let (kind, anchor) = match event {
            Event::Scalar(text, style, anchor, tag) => (self.scalar(&text, style, tag.as_deref(), place), anchor),
            Event::SequenceStart(_, anchor, tag) => {
                self.refuse(tag.as_deref(), place);
                let mut items = Vec::new();
                loop {
                    match self.some(events)? {
                        (Event::SequenceEnd, _) => break,
                        (event, span) => items.push(self.node(event, &span, events, depth + 1)?),
                    }
                }
                (Kind::List(items), anchor)
            }
            Event::MappingStart(_, anchor, tag) => {
                self.refuse(tag.as_deref(), place);
                (self.mapping(events, depth)?, anchor)
            }
            Event::Alias(anchor) => {
                let Some((node, size)) = self.anchors.get(&anchor).cloned() else {
                    return Err((place, "an alias must stand after its anchor, not in it".to_owned()));
                };
                self.count(size, place)?;
                return Ok(node);
            }
            _ => return Err((place, "this is no YAML that a workflow can be written in".to_owned())),
        };
        let node = Node { place, kind };
        if anchor > 0 {
            self.anchors.insert(anchor, (node.clone(), node.count()));
        }
        Ok(node)
    }

    fn mapping<'a>(&mut self, events: &mut impl Iterator<Item = Step<'a>>, depth: usize) -> Result<Kind, Failure> {
        let mut entries: Vec<(Node, Node)> = Vec::new();
        let mut merged: Vec<(Node, Node)> = Vec::new();
        loop {
            let (event, span) = self.some(events)?;
            if matches!(event, Event::MappingEnd) {
                break;
            }
            let key = self.node(event, &span, events, depth + 1)?;
            let (event, span) = self.some(events)?;
            let value = self.node(event, &span, events, depth + 1)?;
            let Some(name) = key.text().map(ToOwned::to_owned) else {
                self.findings.mistake(key.place, "a key must be a text");
                continue;
            };
            if name == "<<" {
                match &value.kind {
                    Kind::List(items) => merged.extend(items.iter().flat_map(|i| i.entries().to_vec())),
                    _ => merged.extend(value.entries().to_vec()),
                }
            } else if let Some((first, _)) = entries.iter().find(|(k, _)| k.text() == Some(&name)) {
                let line = first.place.line;
                self.findings.mistake(key.place, format!("duplicate key `{name}`; it stands on line {line} too"));
            } else {
                entries.push((key, value));
            }
        }
        for (key, value) in merged {
            if !entries.iter().any(|(k, _)| k.text() == key.text()) {
                entries.push((key, value));
            }
        }
        Ok(Kind::Mapping(entries))
    }

    fn scalar(&mut self, text: &str, style: ScalarStyle, tag: Option<&Tag>, place: Place) -> Kind {
        let is_text = tag.is_some_and(|t| t.suffix() == "str");
        if !is_text {
            self.refuse(tag, place);
        }
        let style = if style == ScalarStyle::Plain && !is_text { Style::Plain } else { Style::Quoted };
        Kind::Scalar { text: text.to_owned(), style }
    }

    fn refuse(&mut self, tag: Option<&Tag>, place: Place) {
        if let Some(tag) = tag {
            self.findings.mistake(place, format!("tags such as `!{}` have no meaning here", tag.suffix()));
        }
    }

    fn count(&mut self, more: usize, place: Place) -> Result<(), Failure> {
        self.nodes += more;
        if self.nodes > MAX_NODES {
            return Err((place, format!("the file has more than {MAX_NODES} values, aliases counted in full")));
        }
        Ok(())
    }

    fn place(&self, span: &Span) -> Place {
        self.at(span.start.line(), span.start.col())
    }

    fn at(&self, line: usize, column: usize) -> Place {
        let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Place { file: self.file, line: number(line), column: number(column + 1) }
    }
}
