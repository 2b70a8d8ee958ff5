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
        let Some(store) = stores.get(next).cloned() else { return None };
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

/// The stores that this one borrows from. Source: gitrepository-layout(5), `objects/info/alternates`.
fn alternates(store: &Path) -> Vec<PathBuf> {
    let list = fs::read(store.join("info/alternates")).unwrap_or_default();
    let list = String::from_utf8_lossy(&list).into_owned();
    list.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).map(|line| store.join(line)).collect()
}
