//! `$ref: "#/definitions/name"`: another part of the file, put in here; keys beside it lie over it.

use super::decode::unknown;
use super::place::Findings;
use super::tree::{Kind, MAX_NESTING, MAX_NODES, Node};

/// Puts in all references of a file.
pub(crate) fn resolve(root: &Node, findings: &mut Findings) -> Node {
    let mut resolver = Resolver { root, findings, open: Vec::new(), nodes: 0 };
    resolver.node(root)
}

struct Resolver<'a> {
    root: &'a Node,
    findings: &'a mut Findings,
    open: Vec<String>,
    nodes: usize,
}

impl Resolver<'_> {
    fn node(&mut self, node: &Node) -> Node {
        self.nodes += 1;
        let place = node.place;
        if self.nodes > MAX_NODES || self.open.len() > MAX_NESTING {
            self.findings
                .mistake(place, format!("the file has more than {MAX_NODES} values, references counted in full"));
            return Node { place, kind: Kind::Mapping(Vec::new()) };
        }
        let kind = match &node.kind {
            Kind::Scalar { .. } => return node.clone(),
            Kind::List(items) => Kind::List(items.iter().map(|i| self.node(i)).collect()),
            Kind::Mapping(entries) => match node.get("$ref") {
                Some(target) => return self.reference(node, target),
                None => Kind::Mapping(entries.iter().map(|(k, v)| (k.clone(), self.node(v))).collect()),
            },
        };
        Node { place, kind }
    }

    fn reference(&mut self, node: &Node, target: &Node) -> Node {
        let own: Vec<(Node, Node)> = node.entries().iter().filter(|(k, _)| k.text() != Some("$ref")).cloned().collect();
        let own = own.into_iter().map(|(k, v)| (k, self.node(&v))).collect::<Vec<_>>();
        let found = target.text().and_then(|text| self.find(text, target).map(|found| (text.to_owned(), found)));
        let Some((text, found)) = found else { return Node { place: node.place, kind: Kind::Mapping(own) } };
        if self.open.contains(&text) {
            let way = [self.open.as_slice(), &[text]].concat().join(" -> ");
            self.findings.mistake(target.place, format!("the reference leads to itself: {way}"));
            return Node { place: node.place, kind: Kind::Mapping(own) };
        }
        self.open.push(text);
        let mut result = self.node(&found.clone());
        self.open.pop();
        let Kind::Mapping(entries) = &mut result.kind else {
            if let Some((key, _)) = own.first() {
                self.findings
                    .mistake(key.place, "keys can only lie over a mapping, which this reference does not name");
            }
            return result;
        };
        entries.retain(|(k, _)| !own.iter().any(|(o, _)| o.text() == k.text()));
        entries.splice(0..0, own);
        result.place = node.place;
        result
    }

    fn find(&mut self, text: &str, target: &Node) -> Option<Node> {
        let Some(path) = text.strip_prefix("#/") else {
            let message = format!("`{text}` names no part of this file; write `#/definitions/NAME`");
            self.findings.mistake(target.place, message);
            return None;
        };
        let mut node = self.root;
        for part in path.split('/') {
            let part = part.replace("~1", "/").replace("~0", "~");
            let next = match &node.kind {
                Kind::List(items) => part.parse::<usize>().ok().and_then(|i| items.get(i)),
                _ => node.get(&part),
            };
            let Some(next) = next else {
                let names = node.entries().iter().filter_map(|(k, _)| k.text());
                let what = unknown("part", &part, names);
                self.findings.mistake(target.place, format!("`{text}` names nothing: {what}"));
                return None;
            };
            node = next;
        }
        Some(node.clone())
    }
}
