//! Where a repository's data lies: nowhere but in the repository, or it could show the history of another one.

use std::fs;
use std::path::{Path, PathBuf};

/// Object stores that are looked at; git follows five from one to the next.
const STORES: usize = 16;

/// A place outside of `own` and of the repository that the data of a repository would come from. `folder` is the folder
/// of this working tree's data, `common` of that which all working trees of the repository share.
pub(super) fn stray(folder: &Path, common: &Path, own: &[&Path]) -> Option<PathBuf> {
    let shared = common.canonicalize().unwrap_or_else(|_| common.to_owned());
    let related = folder.starts_with(&shared);
    let belongs = |place: &Path| own.iter().any(|o| place.starts_with(o)) || (related && place.starts_with(&shared));
    if !belongs(&shared) {
        return Some(shared);
    }
    let mut stores = vec![shared.join("objects")];
    for next in 0.. {
        let store = stores.get(next).cloned()?;
        if next == STORES {
            return Some(store);
        }
        let places = [store.clone()].into_iter().chain(links(&store)).chain(links(&store.join("pack")));
        let strange = places.map(|place| place.canonicalize().unwrap_or(place)).find(|place| !belongs(place));
        if strange.is_some() {
            return strange;
        }
        stores.extend(alternates(&store));
    }
    None
}

/// What in a folder leads somewhere else.
fn links(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_symlink())).map(|entry| entry.path()).collect()
}

/// The stores that this one borrows from, byte by byte as git reads them: what is in quotes is no path of this folder, so
/// it belongs nowhere. Source: gitrepository-layout(5), `objects/info/alternates`; git's odb.c.
fn alternates(store: &Path) -> Vec<PathBuf> {
    let list = fs::read(store.join("info/alternates")).unwrap_or_default();
    let lines = list.split(|byte| *byte == b'\n').filter(|line| !line.is_empty() && !line.starts_with(b"#"));
    lines.map(|line| if line.starts_with(b"\"") { path(line) } else { store.join(path(line)) }).collect()
}

#[cfg(unix)]
fn path(bytes: &[u8]) -> PathBuf {
    use std::os::unix::ffi::OsStrExt as _;
    std::ffi::OsStr::from_bytes(bytes).into()
}

#[cfg(not(unix))]
fn path(bytes: &[u8]) -> PathBuf {
    String::from_utf8_lossy(bytes).into_owned().into()
}
