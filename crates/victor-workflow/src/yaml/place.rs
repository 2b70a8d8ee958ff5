//! Where something stands, and what is wrong there.

use std::collections::BTreeSet;

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::{Deserialize, Deserializer, SeqAccess, Visitor};

/// A place in one of the files that were read.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The file, as a number in the order of reading.
    pub(crate) file: u32,
    /// The line, counted from 1.
    pub line: u32,
    /// The column in characters, counted from 1.
    pub column: u32,
}

/// Shows nothing: a node that only moves in its file is the same node.
impl std::fmt::Debug for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("_")
    }
}

/// One mistake of a file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub struct Mistake {
    /// The file's name.
    pub file: String,
    /// The line, counted from 1; 0 where the mistake is the whole file's.
    pub line: u32,
    /// The column in characters, counted from 1.
    pub column: u32,
    /// What is wrong, and what would be right.
    pub message: String,
}

impl std::fmt::Display for Mistake {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.file, self.message),
            _ => write!(f, "{}:{}:{}: {}", self.file, self.line, self.column, self.message),
        }
    }
}

/// All mistakes of what was read, in the order of the file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct Mistakes(pub Vec<Mistake>);

/// Mistakes as they are found.
#[derive(Clone, Debug, Default)]
pub(crate) struct Findings {
    /// The names of the files that were read.
    pub(crate) files: Vec<String>,
    mistakes: BTreeSet<(Place, String)>,
    warnings: BTreeSet<(Place, String)>,
}

impl Findings {
    /// Takes in a mistake.
    pub(crate) fn mistake(&mut self, place: Place, message: impl Into<String>) {
        self.mistakes.insert((place, message.into()));
    }

    /// Takes in something that looks like a mistake.
    pub(crate) fn warning(&mut self, place: Place, message: impl Into<String>) {
        self.warnings.insert((place, message.into()));
    }

    /// Whether there are mistakes.
    pub(crate) fn has_mistakes(&self) -> bool {
        !self.mistakes.is_empty()
    }

    /// All mistakes.
    pub(crate) fn mistakes(&self) -> Mistakes {
        Mistakes(self.told(&self.mistakes))
    }

    /// All warnings.
    pub(crate) fn warnings(&self) -> Vec<Mistake> {
        self.told(&self.warnings)
    }

    /// A place with its file's name.
    pub(crate) fn told_place(&self, place: Place) -> String {
        format!("{}:{}:{}", self.file(place), place.line, place.column)
    }

    fn told(&self, findings: &BTreeSet<(Place, String)>) -> Vec<Mistake> {
        let told = |(place, message): &(Place, String)| Mistake {
            file: self.file(*place),
            line: place.line,
            column: place.column,
            message: message.clone(),
        };
        findings.iter().map(told).collect()
    }

    fn file(&self, place: Place) -> String {
        self.files.get(place.file as usize).cloned().unwrap_or_default()
    }
}

/// A value with where it stands.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct At<T> {
    /// The value.
    pub value: T,
    /// Where it stands.
    pub place: Place,
}

/// A value with where it stands, whose texts are templates: `${..}` in them is not yet put in.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Source<T> {
    /// The value.
    pub value: T,
    /// Where it stands.
    pub place: Place,
}

/// How [`At`] asks for the place.
pub(crate) const AT: &str = "$victor::at";
/// How [`Source`] asks for the place and the text as it stands.
pub(crate) const SOURCE: &str = "$victor::source";

impl<T> std::ops::Deref for At<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.value
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for At<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (value, place) = deserializer.deserialize_newtype_struct(AT, PlaceVisitor(std::marker::PhantomData))?;
        Ok(Self { value, place })
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Source<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (value, place) = deserializer.deserialize_newtype_struct(SOURCE, PlaceVisitor(std::marker::PhantomData))?;
        Ok(Self { value, place })
    }
}

struct PlaceVisitor<T>(std::marker::PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for PlaceVisitor<T> {
    type Value = (T, Place);

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a value with its place")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
        let mut number = || seq.next_element::<u32>().map(Option::unwrap_or_default);
        let place = Place { file: number()?, line: number()?, column: number()? };
        let value = seq.next_element()?.ok_or_else(|| serde::de::Error::custom("a value is missing"))?;
        Ok((value, place))
    }
}

macro_rules! transparent_schema {
    ($($wrapper:ident)*) => {$(
        impl<T: JsonSchema> JsonSchema for $wrapper<T> {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                T::schema_name()
            }
            fn schema_id() -> std::borrow::Cow<'static, str> {
                T::schema_id()
            }
            fn inline_schema() -> bool {
                T::inline_schema()
            }
            fn json_schema(generator: &mut SchemaGenerator) -> Schema {
                T::json_schema(generator)
            }
        }
    )*};
}
transparent_schema!(At Source);

impl Mistakes {
    /// A mistake that stands at no line.
    #[must_use]
    pub fn of(file: &str, message: String) -> Self {
        Self(vec![Mistake { file: file.to_owned(), line: 0, column: 0, message }])
    }
}
