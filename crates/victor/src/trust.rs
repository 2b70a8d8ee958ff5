//! Trust in a folder's own configuration: given by the user, for the files as they are, kept in the user's home.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use victor_core::error::ConfigurationError;

use crate::config::document::{LIMIT, strict};
use crate::home::Home;
use crate::platform::{self, Content, Links};
use crate::workflows;

/// The folder's files that can widen what Victor does: folder, name.
const FILES: [(&str, &str); 3] = [(".victor", "config.yaml"), ("", ".mcp.json"), (".victor", "init.md")];

/// Whether a folder's own configuration counts in full.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TrustState {
    /// There is nothing to trust.
    NothingToTrust,
    /// The user trusts these files as they are.
    Trusted,
    /// For this one call.
    TrustedOnce,
    /// The user has not said so.
    Untrusted,
    /// The user was asked about these files as they are, and has said no.
    Declined,
    /// The files have changed since the user trusted them.
    Changed,
}

impl TrustState {
    /// Whether the folder's configuration counts in full.
    #[must_use]
    pub fn is_trusted(self) -> bool {
        match self {
            Self::Trusted | Self::TrustedOnce => true,
            Self::NothingToTrust | Self::Untrusted | Self::Declined | Self::Changed => false,
        }
    }
}

impl fmt::Display for TrustState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NothingToTrust => "this folder has no configuration of its own",
            Self::Trusted => "this folder is trusted",
            Self::TrustedOnce => "this folder is trusted for this one call",
            Self::Untrusted | Self::Declined => "this folder is not trusted",
            Self::Changed => "this folder's configuration has changed since it was trusted",
        })
    }
}

/// A folder's own configuration files, read once: what is judged is what is used.
#[derive(Clone, Debug)]
pub(crate) struct ProjectFiles {
    contents: Vec<(String, Option<Vec<u8>>)>,
}

impl ProjectFiles {
    /// Those of no folder.
    pub(crate) fn none() -> Self {
        Self { contents: Vec::new() }
    }

    /// Reads the files of the folder `root`.
    ///
    /// # Errors
    /// One of them is a symbolic link, no regular file, too long, or cannot be read.
    pub(crate) fn read(root: &Path, home: &Home) -> Result<Self, ConfigurationError> {
        let mut contents = Vec::new();
        for (folder, name) in FILES {
            let inside = root.join(folder);
            let shown = inside.join(name);
            let fail = |why: String| {
                ConfigurationError::new(format!("{}: {why}; put a plain file there, or remove it", shown.display()))
            };
            // The user's home folder as workspace: its `.victor` is the user's own and no project's.
            let content = if !folder.is_empty() && same(&inside, home.root()) {
                Content::Missing
            } else if folder.is_empty() {
                platform::read_limited(&shown, LIMIT, Links::Refuse).map_err(|e| fail(e.to_string()))?
            } else {
                platform::read_inside(&inside, name, LIMIT).map_err(|e| fail(e.to_string()))?
            };
            let bytes = match content {
                Content::Missing => None,
                Content::Bytes(bytes) => Some(bytes),
                Content::TooLong(_) => return Err(fail(format!("it is longer than {LIMIT} bytes"))),
            };
            let path = Path::new(folder).join(name).display().to_string();
            contents.push((path, bytes));
        }
        Ok(Self { contents })
    }

    /// The content of one of the files, as text.
    pub(crate) fn text(&self, path: &str) -> Result<Option<&str>, ConfigurationError> {
        let Some(bytes) = self.contents.iter().find(|(p, _)| p == path).and_then(|(_, b)| b.as_deref()) else {
            return Ok(None);
        };
        let text = std::str::from_utf8(bytes);
        text.map(Some).map_err(|_| ConfigurationError::new(format!("{path}: it is not UTF-8")))
    }

    /// The paths of the files that are there, relative to the folder.
    pub(crate) fn present(&self) -> impl Iterator<Item = &str> {
        self.contents.iter().filter(|(_, bytes)| bytes.is_some()).map(|(path, _)| path.as_str())
    }

    /// SHA-256 over names, lengths and contents.
    fn hash(&self) -> String {
        let mut hash = Sha256::new();
        for (path, bytes) in &self.contents {
            hash.update(path.as_bytes());
            match bytes {
                None => hash.update([0]),
                Some(bytes) => {
                    hash.update([1]);
                    hash.update((bytes.len() as u64).to_le_bytes());
                    hash.update(bytes);
                }
            }
        }
        hash.finalize().iter().map(|b| format!("{b:02x}")).collect()
    }
}

fn same(a: &Path, b: &Path) -> bool {
    matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Saved {
    /// The hash of the files that are trusted, by folder.
    folders: BTreeMap<PathBuf, String>,
    /// The hash of the files that the user was asked about and does not trust, by folder.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    declined: BTreeMap<PathBuf, String>,
    /// The hash of the workflows that are trusted, by folder.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    workflows: BTreeMap<PathBuf, String>,
}

/// How much the user trusts these files of the folder `root` (canonical).
pub(crate) fn state(home: &Home, root: &Path, files: &ProjectFiles) -> Result<TrustState, ConfigurationError> {
    if files.present().next().is_none() {
        return Ok(TrustState::NothingToTrust);
    }
    let (saved, hash) = (load(home)?, files.hash());
    Ok(match saved.folders.get(root) {
        Some(trusted) if *trusted == hash => TrustState::Trusted,
        _ if saved.declined.get(root) == Some(&hash) => TrustState::Declined,
        Some(_) => TrustState::Changed,
        None => TrustState::Untrusted,
    })
}

/// Trusts these files of the folder `root` (canonical) as they were read.
pub(crate) fn trust(home: &Home, root: &Path, files: &ProjectFiles) -> Result<(), ConfigurationError> {
    let _lock = home.lock()?;
    let mut saved = load(home)?;
    saved.folders.insert(root.to_owned(), files.hash());
    saved.declined.remove(root);
    match workflows::hash(root) {
        Some((hash, _)) => saved.workflows.insert(root.to_owned(), hash),
        None => saved.workflows.remove(root),
    };
    save(home, &saved)
}

/// Whether the user trusts the workflows of the folder `root` (canonical), whose hash is `now`.
pub(crate) fn trusts_workflows(home: &Home, root: &Path, now: impl FnOnce() -> Option<String>) -> bool {
    let saved = load(home).ok().and_then(|saved| saved.workflows.get(root).cloned());
    saved.is_some_and(|saved| now().is_some_and(|now| now == saved))
}

/// Remembers that the user does not trust these files of the folder `root` (canonical), so that nobody asks again.
pub(crate) fn decline(home: &Home, root: &Path, files: &ProjectFiles) -> Result<(), ConfigurationError> {
    let _lock = home.lock()?;
    let mut saved = load(home)?;
    saved.folders.remove(root);
    saved.declined.insert(root.to_owned(), files.hash());
    save(home, &saved)
}

/// Trusts the folder `root` (canonical) no longer; tells whether it was trusted.
pub(crate) fn untrust(home: &Home, root: &Path) -> Result<bool, ConfigurationError> {
    let _lock = home.lock()?;
    let mut saved = load(home)?;
    let was = saved.folders.remove(root).is_some() | saved.workflows.remove(root).is_some();
    if was {
        save(home, &saved)?;
    }
    Ok(was)
}

fn load(home: &Home) -> Result<Saved, ConfigurationError> {
    let path = home.trust();
    let fail = |why: String| ConfigurationError::new(format!("{}: {why}", path.display()));
    match platform::read_limited(&path, LIMIT, Links::Follow) {
        Ok(Content::Missing) => Ok(Saved::default()),
        Ok(Content::Bytes(bytes)) => {
            let text = String::from_utf8(bytes).map_err(|_| fail("it is not UTF-8".to_owned()))?;
            strict(&path.display().to_string(), &text)
        }
        Ok(Content::TooLong(_)) => Err(fail(format!("it is longer than {LIMIT} bytes"))),
        Err(e) => Err(fail(format!("it cannot be read: {e}"))),
    }
}

fn save(home: &Home, saved: &Saved) -> Result<(), ConfigurationError> {
    let path = home.trust();
    let text = serde_saphyr::to_string(saved)
        .map_err(|e| ConfigurationError::new(format!("{}: it cannot be written: {e}", path.display())))?;
    home.write_private(&path, &text)
}
