//! What a tool can do to the world, as a set.

use std::borrow::Cow;
use std::fmt;
use std::ops::BitOr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A set of things that a tool can do to the world.
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Effects(u8);

impl Effects {
    /// Nothing but thinking, or keeping notes for the run itself.
    pub const NONE: Self = Self(0);
    /// Reads files of the workspace.
    pub const READ: Self = Self(1);
    /// Creates, changes or deletes files of the workspace.
    pub const WRITE: Self = Self(2);
    /// Runs a program.
    pub const EXECUTE: Self = Self(4);
    /// Talks to other machines.
    pub const NETWORK: Self = Self(8);
    /// Starts another agent, which is judged for itself.
    pub const AGENT: Self = Self(16);
    /// Leaves the sandbox.
    pub const UNSANDBOXED: Self = Self(32);

    const NAMES: [(Self, &'static str); 6] = [
        (Self::READ, "read"),
        (Self::WRITE, "write"),
        (Self::EXECUTE, "execute"),
        (Self::NETWORK, "network"),
        (Self::AGENT, "agent"),
        (Self::UNSANDBOXED, "unsandboxed"),
    ];

    /// Whether all of `other` is in `self`.
    #[must_use]
    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether any of `other` is in `self`.
    #[must_use]
    pub fn intersects(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// What is in `self` and not in `other`.
    #[must_use]
    pub fn beyond(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether nothing outside the run changes: no writing, running, network or leaving of the sandbox.
    #[must_use]
    pub fn is_read_only(self) -> bool {
        !self.intersects(Self::WRITE | Self::EXECUTE | Self::NETWORK | Self::UNSANDBOXED)
    }

    /// The names of what is in the set.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Self::NAMES.into_iter().filter(move |(e, _)| self.contains(*e)).map(|(_, name)| name)
    }
}

impl BitOr for Effects {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl fmt::Debug for Effects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}

impl Serialize for Effects {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_seq(self.names())
    }
}

impl<'de> Deserialize<'de> for Effects {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        Vec::<Cow<'de, str>>::deserialize(d)?.iter().try_fold(Self::NONE, |all, name| {
            let known = Self::NAMES.iter().find(|(_, n)| n == name);
            known.map(|(e, _)| all | *e).ok_or_else(|| serde::de::Error::custom(format!("unknown effect `{name}`")))
        })
    }
}

impl JsonSchema for Effects {
    fn schema_name() -> Cow<'static, str> {
        "Effects".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let names: Vec<_> = Self::NAMES.iter().map(|(_, n)| *n).collect();
        schemars::json_schema!({"type": "array", "items": {"enum": names}})
    }
}
