//! What goes wrong with models' files, written for the person who has to act on it.

use std::io;
use std::path::{Path, PathBuf};

use victor_core::error::ConfigurationError;

use super::manifest::Kind;
use super::size;

/// A model that cannot be had or used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum WeightsError {
    /// No model has this name.
    #[error("unknown local model `{name}`{hint} `victor models list --provider local` shows all")]
    Unknown {
        /// The name.
        name: String,
        /// What may have been meant.
        hint: String,
    },
    /// It is known, and not on this machine.
    #[error("the local model {0} is not on this machine; `victor models pull {0}` fetches it")]
    NotInstalled(String),
    /// It does something else than what is wanted of it.
    #[error("{}", other_kind(.0, *.1))]
    OtherKind(String, Kind),
    /// No embedding model is on this machine; with what there is to fetch.
    #[error("no embedding model is on this machine: {0}`victor models pull FILE.gguf` takes a file of your own")]
    NoEmbedding(String),
    /// The network may not be used.
    #[error("{model} is not fetched: {reason}; a file that is here already works: `victor models pull FILE.gguf`")]
    Closed {
        /// The model.
        model: String,
        /// Why.
        reason: String,
    },
    /// None of its sources gave it.
    #[error("{model} could not be fetched: {}", list(.tried))]
    NoSource {
        /// The model.
        model: String,
        /// Each source and what happened.
        tried: Vec<(String, String)>,
    },
    /// A source answered with something else than the file.
    #[error("{0}")]
    Source(String),
    /// A page for people came instead of the file.
    #[error(
        "{0}: a web page came instead; open it in a browser: this network may want a login first, or it is the address \
         of a page. What came before is kept"
    )]
    Page(String),
    /// There is too little room on the disk.
    #[error(
        "{model} needs {} of room in {}, and {} are free; make room, or set VICTOR_HOME to a folder on another disk",
        size(*needed), .folder.display(), size(*free)
    )]
    NoRoom {
        /// The model.
        model: String,
        /// Where.
        folder: PathBuf,
        /// What it takes, in bytes.
        needed: u64,
        /// What there is, in bytes.
        free: u64,
    },
    /// The bytes are not those that were expected.
    #[error("{what} has the SHA-256 {found} and not {expected}: it is damaged or not the same file")]
    Damaged {
        /// The file or source.
        what: String,
        /// As it should be.
        expected: String,
        /// As it is.
        found: String,
    },
    /// The file is not as long as it should be.
    #[error("{what} has {found} bytes and not {expected}: it is not the same file")]
    WrongSize {
        /// The file or source.
        what: String,
        /// As it should be.
        expected: u64,
        /// As it is.
        found: u64,
    },
    /// The installed file has changed since it was checked.
    #[error(
        "the file of the local model {name} is not what was installed ({why}); `victor models pull {name}` fetches it again, or `victor models pull FILE --name {name}` takes your own file anew"
    )]
    Broken {
        /// The model.
        name: String,
        /// What is wrong.
        why: String,
    },
    /// The file cannot be a model.
    #[error("{} is no GGUF file", .0.display())]
    NotGguf(PathBuf),
    /// A name that no model can have.
    #[error("`{0}` cannot be a model's name: use letters, digits, `.`, `-` and `_`")]
    BadName(String),
    /// The name belongs to another model already.
    #[error("the name {0} belongs to another model; choose another one with --name")]
    Taken(String),
    /// A file cannot be read or written.
    #[error("{} cannot be {doing}: {error}{}", .path.display(), remedy(doing, error))]
    File {
        /// Which.
        path: PathBuf,
        /// What was tried: `read`, `written`.
        doing: &'static str,
        /// What the system says.
        error: io::Error,
    },
    /// The engine cannot use the file.
    #[error("{name} cannot be used: {why}")]
    Unusable {
        /// The model.
        name: String,
        /// Why.
        why: String,
    },
}

impl WeightsError {
    pub(super) fn file(path: &Path, doing: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |error| Self::File { path: path.to_owned(), doing, error }
    }
}

impl From<WeightsError> for ConfigurationError {
    fn from(error: WeightsError) -> Self {
        let code = match &error {
            WeightsError::Unknown { .. } | WeightsError::OtherKind(..) => "MODEL_NOT_FOUND",
            _ => "PROVIDER_NOT_CONFIGURED",
        };
        Self::with_code(code, error.to_string())
    }
}

fn other_kind(name: &str, wanted: Kind) -> String {
    match wanted {
        Kind::Chat => {
            format!("{name} is an embedding model and cannot answer; `victor models list` shows those that can")
        }
        Kind::Embedding => format!("{name} is no embedding model; `victor models list --provider local` shows those"),
    }
}

/// What helps against permissions and full disks.
fn remedy(doing: &str, error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::PermissionDenied if doing == "read" => "; make it readable",
        _ if doing == "read" => "",
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
            "; make its folder writable, or set VICTOR_HOME to a folder that is"
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "; make room, or set VICTOR_HOME to a folder on another disk. What came is kept"
        }
        _ => "",
    }
}

fn list(tried: &[(String, String)]) -> String {
    let lines: Vec<String> = tried.iter().map(|(source, why)| format!("{source}: {why}")).collect();
    lines.join("; ")
}
