//! From the tree to typed values: serde's derive says what is expected, and every mistake is noted where it stands.
//!
//! What is wrong is dropped and the rest is read again, so that all mistakes are found, not only the first.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;

use schemars::JsonSchema;
use serde::de::value::{StrDeserializer, U32Deserializer};
use serde::de::{DeserializeOwned, DeserializeSeed, Error, IntoDeserializer, MapAccess, SeqAccess, Visitor};
use serde::{Deserializer, forward_to_deserialize_any};
use victor_core::error::nearest;

use super::place::{AT, Findings, Place, SOURCE};
use super::scalar::{self, Scalar};
use super::tree::{Kind, Node};
use crate::template::Environment;
use crate::template::environment::expand;

/// How a list that may also be one name asks for itself.
pub(crate) const NAMES: &str = "$victor::names";

/// Which keys are known beside those of the type.
#[derive(Clone, Copy)]
pub(crate) enum Others<'a> {
    /// These; all others are mistakes.
    Only(&'a [&'a str]),
    /// All: someone else looks at the keys.
    All,
}

/// The keys of a type.
pub(crate) fn fields_of<T: DeserializeOwned>() -> &'static [&'static str] {
    struct Fields<'a>(&'a Cell<&'static [&'static str]>);
    impl<'de> Deserializer<'de> for Fields<'_> {
        type Error = serde::de::value::Error;
        fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Self::Error> {
            Err(Error::custom("no value"))
        }
        fn deserialize_struct<V: Visitor<'de>>(
            self,
            _: &'static str,
            fields: &'static [&'static str],
            _: V,
        ) -> Result<V::Value, Self::Error> {
            self.0.set(fields);
            Err(Error::custom("no value"))
        }
        forward_to_deserialize_any! {
            bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
            newtype_struct seq tuple tuple_struct map enum identifier ignored_any
        }
    }
    let fields = Cell::new(&[][..]);
    drop(T::deserialize(Fields(&fields)));
    fields.get()
}

/// The keys of a type that must be there.
fn required<T: JsonSchema>() -> Vec<String> {
    let schema = schemars::SchemaGenerator::default().into_root_schema_for::<T>();
    let keys = schema.get("required").and_then(serde_json::Value::as_array);
    keys.into_iter().flatten().filter_map(|key| key.as_str().map(ToOwned::to_owned)).collect()
}

/// What decoding needs and finds.
pub(crate) struct Decoder<'e> {
    environment: &'e Environment,
    pub(crate) findings: Findings,
    /// Environment variables that are not set, with the place that names them.
    pub(crate) missing: Vec<(Place, String)>,
    /// Names that nodes give which could not be read; what refers to them is no further mistake.
    pub(crate) unread: Vec<String>,
}

impl<'e> Decoder<'e> {
    /// Starts.
    pub(crate) fn new(environment: &'e Environment) -> Self {
        Self { environment, findings: Findings::default(), missing: Vec::new(), unread: Vec::new() }
    }

    /// The environment.
    pub(crate) fn environment(&self) -> &'e Environment {
        self.environment
    }

    /// Notes a mistake.
    pub(crate) fn mistake(&mut self, place: Place, message: impl Into<String>) {
        self.findings.mistake(place, message);
    }

    /// Reads a mapping as `T`. `None` if a key that must be there is not, or the node is no mapping; that is noted then.
    pub(crate) fn mapping<T: DeserializeOwned + JsonSchema>(&mut self, node: &Node, others: Others<'_>) -> Option<T> {
        let notes = RefCell::new(Notes::default());
        let found = loop {
            let de = De { node, notes: &notes, environment: self.environment, others, flavour: Flavour::Value };
            match T::deserialize(de) {
                Ok(value) => break Some(value),
                Err(e) if e.dropped => {}
                Err(e) => {
                    notes.borrow_mut().missing_keys(node, &required::<T>(), e);
                    break None;
                }
            }
        };
        let notes = notes.into_inner();
        for (place, message) in notes.mistakes {
            self.findings.mistake(place, message);
        }
        for missing in notes.missing {
            if !self.missing.contains(&missing) {
                self.missing.push(missing);
            }
        }
        found
    }
}

#[derive(Default)]
struct Notes {
    mistakes: Vec<(Place, String)>,
    missing: Vec<(Place, String)>,
    dropped: HashSet<*const Node>,
}

impl Notes {
    /// Notes why a node could not be read.
    fn failure(&mut self, node: &Node, error: Failure) {
        if let Some(field) = error.missing {
            let was_dropped = node.get(field).is_some_and(|v| self.dropped.contains(&std::ptr::from_ref(v)));
            if !was_dropped {
                self.mistakes.push((node.place, format!("`{field}` is missing here")));
            }
        } else if !error.silent {
            self.mistakes.push((error.place.unwrap_or(node.place), error.message));
        }
    }

    /// Notes all keys that must be there and are not; serde tells only of the first.
    fn missing_keys(&mut self, node: &Node, required: &[String], error: Failure) {
        if error.missing.is_none() {
            return self.failure(node, error);
        }
        for key in required.iter().filter(|key| node.get(key).is_none()) {
            self.mistakes.push((node.place, format!("`{key}` is missing here")));
        }
    }

    fn drop_node(&mut self, node: &Node, error: Failure) -> Failure {
        if error.dropped {
            return error;
        }
        self.failure(node, error);
        self.dropped.insert(node);
        Failure { dropped: true, ..Failure::default() }
    }
}

/// Why a value could not be read.
#[derive(Debug, Default)]
struct Failure {
    message: String,
    place: Option<Place>,
    missing: Option<&'static str>,
    /// It has been noted and dropped; reading again goes on without it.
    dropped: bool,
    /// It is no mistake of the file.
    silent: bool,
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Failure {}

impl Error for Failure {
    fn custom<T: std::fmt::Display>(message: T) -> Self {
        Self { message: message.to_string(), ..Self::default() }
    }

    fn missing_field(field: &'static str) -> Self {
        Self { missing: Some(field), ..Self::default() }
    }
}

/// How texts are taken.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Flavour {
    /// With the environment put in.
    Value,
    /// As they stand.
    Source,
    /// As a key: everything is a text.
    Key,
}

#[derive(Clone, Copy)]
struct De<'a> {
    node: &'a Node,
    notes: &'a RefCell<Notes>,
    environment: &'a Environment,
    others: Others<'a>,
    flavour: Flavour,
}

impl<'a> De<'a> {
    fn child(self, node: &'a Node) -> Self {
        Self { node, others: Others::Only(&[]), ..self }
    }

    fn is_dropped(&self, node: &Node) -> bool {
        self.notes.borrow().dropped.contains(&std::ptr::from_ref(node))
    }

    /// What stands here, with the environment put in.
    fn scalar(&self) -> Result<Option<Scalar>, Failure> {
        let Kind::Scalar { text, style } = &self.node.kind else { return Ok(None) };
        match self.flavour {
            Flavour::Key => Ok(Some(Scalar::Text(scalar::key(text, *style)))),
            Flavour::Source => Ok(Some(scalar::resolve(text, *style))),
            Flavour::Value if !text.contains("${") => Ok(Some(scalar::resolve(text, *style))),
            Flavour::Value => {
                let (text, missing) = expand(text, self.environment);
                let mut notes = self.notes.borrow_mut();
                notes.missing.extend(missing.into_iter().map(|name| (self.node.place, name)));
                Ok(Some(Scalar::Expanded(text)))
            }
        }
    }

    fn wrong(&self, expected: &str) -> Failure {
        let silent = self.node.text().is_some_and(|t| t.contains("${"))
            && self.notes.borrow().missing.iter().any(|(place, _)| *place == self.node.place);
        let message = format!("{expected} is expected, not {}", scalar::described(self.node));
        Failure { message, place: Some(self.node.place), silent, ..Failure::default() }
    }

    fn text(&self) -> Result<String, Failure> {
        match self.scalar()? {
            Some(Scalar::Text(text) | Scalar::Expanded(text)) => Ok(text),
            _ => Err(self.wrong("a text")),
        }
    }
}

macro_rules! numbers {
    ($($method:ident $visit:ident $type:ty, $expected:literal;)*) => {$(
        fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
            let number = self.scalar()?.and_then(Scalar::number);
            let value = number.and_then(|n| serde_json::from_value::<$type>(serde_json::Value::Number(n)).ok());
            value.ok_or_else(|| self.wrong($expected)).and_then(|n| visitor.$visit(n))
        }
    )*};
}

impl<'de> Deserializer<'de> for De<'_> {
    type Error = Failure;

    numbers! {
        deserialize_u8 visit_u8 u8, "a whole number of 0 or more";
        deserialize_u16 visit_u16 u16, "a whole number of 0 or more";
        deserialize_u32 visit_u32 u32, "a whole number of 0 or more";
        deserialize_u64 visit_u64 u64, "a whole number of 0 or more";
        deserialize_i64 visit_i64 i64, "a whole number";
        deserialize_f64 visit_f64 f64, "a number";
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        match &self.node.kind {
            Kind::List(_) => self.deserialize_seq(visitor),
            Kind::Mapping(_) => self.deserialize_map(visitor),
            Kind::Scalar { .. } => match self.scalar()?.map(Scalar::resolved) {
                None | Some(Scalar::Null) => visitor.visit_unit(),
                Some(Scalar::Bool(b)) => visitor.visit_bool(b),
                Some(Scalar::Number(n)) => match (n.as_i64(), n.as_u64()) {
                    (Some(n), _) => visitor.visit_i64(n),
                    (None, Some(n)) => visitor.visit_u64(n),
                    (None, None) => visitor.visit_f64(n.as_f64().unwrap_or_default()),
                },
                Some(Scalar::Text(text) | Scalar::Expanded(text)) => visitor.visit_string(text),
            },
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        match self.scalar()?.map(Scalar::resolved) {
            Some(Scalar::Bool(b)) => visitor.visit_bool(b),
            _ => Err(self.wrong("`true` or `false`")),
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        visitor.visit_string(self.text()?)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        visitor.visit_string(self.text()?)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        if self.node.is_null() { visitor.visit_none() } else { visitor.visit_some(self) }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value, Failure> {
        match name {
            AT => visitor.visit_seq(Placed { de: self, next: 0 }),
            SOURCE => visitor.visit_seq(Placed { de: Self { flavour: Flavour::Source, ..self }, next: 0 }),
            NAMES => {
                let one = std::slice::from_ref(self.node);
                let items = if matches!(self.node.kind, Kind::List(_)) { self.node.items() } else { one };
                visitor.visit_seq(Items { de: self, items: items.iter() })
            }
            _ => visitor.visit_newtype_struct(self),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        match &self.node.kind {
            Kind::List(items) => visitor.visit_seq(Items { de: self, items: items.iter() }),
            Kind::Scalar { .. } | Kind::Mapping(_) => Err(self.wrong("a list (`[a, b]`)")),
        }
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        match &self.node.kind {
            Kind::Mapping(entries) => {
                visitor.visit_map(Entries { de: self, entries: entries.iter(), value: None, fields: None })
            }
            Kind::Scalar { .. } | Kind::List(_) => Err(self.wrong("a mapping (`key: value`)")),
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Failure> {
        let Kind::Mapping(entries) = &self.node.kind else { return Err(self.wrong("a mapping (`key: value`)")) };
        for (key, _) in entries {
            let Others::Only(others) = self.others else { break };
            let name = key.text().unwrap_or_default();
            let known = fields.iter().chain(others);
            if !known.clone().any(|f| crate::expr::same_name(f, name)) {
                let message = unknown("key", name, known.copied());
                self.notes.borrow_mut().mistakes.push((key.place, message));
            }
        }
        visitor.visit_map(Entries { de: self, entries: entries.iter(), value: None, fields: Some(fields) })
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Failure> {
        let text = self.text()?;
        match variants.iter().find(|v| crate::expr::same_name(v, &text)) {
            Some(variant) => visitor.visit_enum(IntoDeserializer::<Failure>::into_deserializer(*variant)),
            None => {
                let message = format!(
                    "`{text}` is not one of {}{}",
                    listed(variants.iter().copied()),
                    did_you_mean(&text, variants.iter().copied())
                );
                Err(Failure { message, place: Some(self.node.place), ..Failure::default() })
            }
        }
    }

    forward_to_deserialize_any! {
        i8 i16 i32 i128 u128 f32 char bytes byte_buf unit unit_struct tuple tuple_struct identifier ignored_any
    }
}

/// What to say of a name that does not exist.
pub(crate) fn unknown<'n>(what: &str, name: &str, known: impl Iterator<Item = &'n str> + Clone) -> String {
    let hint = match did_you_mean(name, known.clone()) {
        hint if hint.is_empty() && known.clone().next().is_some() => format!("; there is {}", listed(known)),
        hint => hint,
    };
    format!("unknown {what} `{name}`{hint}")
}

fn did_you_mean<'n>(name: &str, known: impl Iterator<Item = &'n str>) -> String {
    match nearest(name, known).first() {
        Some(near) => format!("; did you mean {near}?"),
        None => String::new(),
    }
}

fn listed<'n>(names: impl Iterator<Item = &'n str>) -> String {
    names.map(|n| format!("`{n}`")).collect::<Vec<_>>().join(", ")
}

struct Items<'a> {
    de: De<'a>,
    items: std::slice::Iter<'a, Node>,
}

impl<'de> SeqAccess<'de> for Items<'_> {
    type Error = Failure;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Failure> {
        let de = self.de;
        let Some(item) = self.items.find(|item| !de.is_dropped(item)) else { return Ok(None) };
        let read = seed.deserialize(de.child(item)).map(Some);
        read.map_err(|e| de.notes.borrow_mut().drop_node(item, e))
    }
}

struct Entries<'a> {
    de: De<'a>,
    entries: std::slice::Iter<'a, (Node, Node)>,
    value: Option<&'a Node>,
    fields: Option<&'static [&'static str]>,
}

impl<'de> MapAccess<'de> for Entries<'_> {
    type Error = Failure;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Failure> {
        let de = self.de;
        for (key, value) in self.entries.by_ref() {
            if de.is_dropped(value) {
                continue;
            }
            self.value = Some(value);
            let Some(fields) = self.fields else {
                return seed.deserialize(De { flavour: Flavour::Key, ..de.child(key) }).map(Some);
            };
            let name = key.text().unwrap_or_default();
            if let Some(field) = fields.iter().find(|f| crate::expr::same_name(f, name)) {
                return seed.deserialize(StrDeserializer::<Failure>::new(field)).map(Some);
            }
        }
        Ok(None)
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Failure> {
        let Some(value) = self.value.take() else { return Err(Failure::custom("a value without a key")) };
        let read = seed.deserialize(self.de.child(value));
        read.map_err(|e| self.de.notes.borrow_mut().drop_node(value, e))
    }
}

/// A place in three numbers, and then the value.
struct Placed<'a> {
    de: De<'a>,
    next: u8,
}

impl<'de> SeqAccess<'de> for Placed<'_> {
    type Error = Failure;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Failure> {
        let place = self.de.node.place;
        self.next += 1;
        let number = match self.next {
            1 => place.file,
            2 => place.line,
            3 => place.column,
            4 => return seed.deserialize(self.de).map(Some),
            _ => return Ok(None),
        };
        seed.deserialize(U32Deserializer::<Failure>::new(number)).map(Some)
    }
}
