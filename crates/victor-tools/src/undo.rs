//! Undo: puts files back as they were before a call changed them, and never destroys a later change.

use std::io::Read;
use std::path::PathBuf;

use sha2::{Digest, Sha256};
use victor_core::blob::{BlobId, BlobStore};
use victor_core::error::ToolError;
use victor_core::permission::Access;
use victor_core::sandbox::Workspace;
use victor_core::session::SavedFile;

use crate::blocking;
use crate::path::{Place, Spot};

/// What became of one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// The file's absolute path.
    pub path: PathBuf,
    /// What was done.
    pub result: Restoration,
}

/// What undoing did with a file.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Restoration {
    /// It holds what it held before.
    PutBack,
    /// It was made by the call, and is gone again.
    Deleted,
    /// It was left alone, for this reason.
    Skipped(String),
}

/// Puts `files` back, the last one first, so that several changes of one file are undone in turn. A file that holds
/// something else than what the call left is skipped, and so is one outside of the workspace.
///
/// # Errors
/// The blob store failed; the files up to then are put back.
pub async fn restore(
    files: &[SavedFile],
    blobs: &dyn BlobStore,
    workspace: &Workspace,
) -> Result<Vec<Restored>, ToolError> {
    let mut done = Vec::with_capacity(files.len());
    for file in files.iter().rev() {
        let result = match one(file, blobs, workspace).await {
            Ok(result) => result,
            Err(ToolError::Model(why) | ToolError::Denied(why)) => Restoration::Skipped(why),
            Err(fatal @ ToolError::Fatal(_)) => return Err(fatal),
        };
        done.push(Restored { path: file.path.clone(), result });
    }
    Ok(done)
}

async fn one(file: &SavedFile, blobs: &dyn BlobStore, workspace: &Workspace) -> Result<Restoration, ToolError> {
    let path = file.path.to_str().ok_or_else(|| ToolError::model("its path is no Unicode text"))?;
    let place = Place::resolve(workspace, path, Access::Write)?;
    if place.outside {
        return Ok(Restoration::Skipped("it is outside the workspace".to_owned()));
    }
    let before = match &file.before {
        None => None,
        Some(id) => match blobs.get(id).await.map_err(|e| ToolError::Fatal(e.to_string()))? {
            Some(bytes) => Some(bytes),
            None => return Ok(Restoration::Skipped("its old content is no longer kept".to_owned())),
        },
    };
    let after = file.after.clone();
    blocking(move || {
        let spot = place.open()?;
        let now = content_id(&spot)?;
        if now == before.as_deref().map(id_of) {
            return Ok(Restoration::Skipped("it already is as it was before".to_owned()));
        }
        if now != after {
            return Ok(Restoration::Skipped("it was changed again since".to_owned()));
        }
        match before {
            Some(bytes) => spot.replace(&bytes).map(|()| Restoration::PutBack),
            None => spot.delete().map(|()| Restoration::Deleted),
        }
    })
    .await
}

/// The hash of what the file holds now; `None` if there is none.
fn content_id(spot: &Spot) -> Result<Option<BlobId>, ToolError> {
    let Some(mut file) = spot.read()? else { return Ok(None) };
    let mut hash = Sha256::new();
    let mut piece = vec![0; 1 << 16];
    loop {
        match file.read(&mut piece).map_err(|e| ToolError::model(format!("it cannot be read: {e}")))? {
            0 => return Ok(Some(BlobId(hex(&hash.finalize())))),
            n => hash.update(&piece[..n]),
        }
    }
}

fn id_of(bytes: &[u8]) -> BlobId {
    BlobId(hex(&Sha256::digest(bytes)))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}
