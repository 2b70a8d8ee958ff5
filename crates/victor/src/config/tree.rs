//! A YAML file as a tree of nodes with their places, for messages and for edits that keep comments.

use std::collections::BTreeMap;

use serde_saphyr::granit_parser::{Event, Parser, Span, StructureStyle};

/// A node of a file.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    /// Its first byte.
    pub(crate) start: usize,
    /// The byte after its last one; for block collections that of their last descendant.
    pub(crate) end: usize,
    /// Its line, counted from 1.
    pub(crate) line: usize,
    /// Its column in characters, counted from 0.
    pub(crate) column: usize,
    /// What it is.
    pub(crate) kind: Kind,
}

/// What a node is.
#[derive(Clone, Debug)]
pub(crate) enum Kind {
    /// Text, after escapes.
    Scalar(String),
    /// A reference to another node.
    Alias,
    /// A list.
    Sequence(Style, Vec<Node>),
    /// A mapping: keys with values.
    Mapping(Style, Vec<(Node, Node)>),
}

/// How a collection is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Style {
    /// On lines of its own.
    Block,
    /// In brackets.
    Flow,
}

impl Node {
    /// The entry of a mapping.
    pub(crate) fn entry(&self, key: &str) -> Option<&(Node, Node)> {
        let Kind::Mapping(_, entries) = &self.kind else { return None };
        entries.iter().find(|(k, _)| matches!(&k.kind, Kind::Scalar(text) if text == key))
    }

    /// Whether nothing is written at all.
    pub(crate) fn is_empty(&self) -> bool {
        matches!(&self.kind, Kind::Scalar(_)) && self.start == self.end
    }
}

/// The first document of a file; `None` if there is none, or it is no YAML.
pub(crate) fn parse(text: &str) -> Option<Node> {
    let mut events = Parser::new_from_str(text).map_while(Result::ok).filter(|(event, _)| {
        event.is_node() || matches!(event, Event::SequenceEnd | Event::MappingEnd | Event::DocumentEnd)
    });
    let first = events.next()?;
    node(first, &mut events)
}

/// The line of each key and list item, counted from 1, by its path.
pub(crate) fn lines(text: &str) -> BTreeMap<Vec<String>, usize> {
    fn walk(node: &Node, path: &mut Vec<String>, lines: &mut BTreeMap<Vec<String>, usize>) {
        match &node.kind {
            Kind::Scalar(_) | Kind::Alias => {}
            Kind::Sequence(_, items) => {
                for (i, item) in items.iter().enumerate() {
                    path.push(i.to_string());
                    lines.insert(path.clone(), item.line);
                    walk(item, path, lines);
                    path.pop();
                }
            }
            Kind::Mapping(_, entries) => {
                for (key, value) in entries {
                    let Kind::Scalar(name) = &key.kind else { continue };
                    path.push(name.clone());
                    lines.insert(path.clone(), key.line);
                    walk(value, path, lines);
                    path.pop();
                }
            }
        }
    }
    let mut lines = BTreeMap::new();
    if let Some(root) = parse(text) {
        walk(&root, &mut Vec::new(), &mut lines);
    }
    lines
}

/// The path of the key that holds what stands at a line and column, both counted from 1.
pub(crate) fn key_at(text: &str, line: usize, column: usize) -> Option<Vec<String>> {
    let begins_before = |node: &Node| (node.line, node.column + 1) <= (line, column);
    let (mut node, mut path) = (parse(text)?, Vec::new());
    loop {
        node = match node.kind {
            Kind::Mapping(_, entries) => {
                let Some((key, held)) = entries.into_iter().rfind(|(key, _)| begins_before(key)) else { break };
                let Kind::Scalar(name) = key.kind else { break };
                path.push(name);
                held
            }
            Kind::Sequence(_, items) => {
                let Some((i, item)) = items.into_iter().enumerate().rfind(|(_, item)| begins_before(item)) else {
                    break;
                };
                path.push(i.to_string());
                item
            }
            Kind::Scalar(_) | Kind::Alias => break,
        };
    }
    (!path.is_empty()).then_some(path)
}

type Step<'a> = (Event<'a>, Span);

fn node<'a>((event, span): Step<'a>, events: &mut impl Iterator<Item = Step<'a>>) -> Option<Node> {
    let range = span.byte_range()?;
    let place = |end: usize, kind: Kind| Node {
        start: range.start,
        end,
        line: span.start.line(),
        column: span.start.col(),
        kind,
    };
    match event {
        Event::Scalar(text, ..) => Some(place(range.end, Kind::Scalar(text.into_owned()))),
        Event::Alias(_) => Some(place(range.end, Kind::Alias)),
        Event::SequenceStart(style, ..) => {
            let mut items = Vec::new();
            let end = loop {
                match events.next()? {
                    (Event::SequenceEnd, end) => break end,
                    step => items.push(node(step, events)?),
                }
            };
            let end = match style {
                StructureStyle::Flow => end.byte_range()?.end,
                StructureStyle::Block => items.last().map_or(range.end, |n| n.end),
            };
            Some(place(end, Kind::Sequence(style.into(), items)))
        }
        Event::MappingStart(style, ..) => {
            let mut entries = Vec::new();
            let end = loop {
                match events.next()? {
                    (Event::MappingEnd, end) => break end,
                    step => {
                        let key = node(step, events)?;
                        let value = events.next()?;
                        entries.push((key, node(value, events)?));
                    }
                }
            };
            let end = match style {
                StructureStyle::Flow => end.byte_range()?.end,
                StructureStyle::Block => entries.last().map_or(range.end, |(k, v)| v.end.max(k.end)),
            };
            Some(place(end, Kind::Mapping(style.into(), entries)))
        }
        _ => None,
    }
}

impl From<StructureStyle> for Style {
    fn from(style: StructureStyle) -> Self {
        match style {
            StructureStyle::Block => Self::Block,
            StructureStyle::Flow => Self::Flow,
        }
    }
}
