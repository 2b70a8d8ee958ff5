//! Paths as tools get them: resolved against the workspace, named for the permission rules, opened without links.
//! What was judged is what is opened: each part of the resolved path is opened in its parent's handle.

use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Component, Path, PathBuf};

use cap_std::ambient_authority;
use cap_std::fs::Dir;
use victor_core::error::ToolError;
use victor_core::permission::{Access, PermissionKey};
use victor_core::sandbox::Workspace;

use crate::platform;

/// A path argument, resolved: where it leads once all symbolic links are followed.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    /// For messages and answers: relative to the workspace's root where it is inside.
    pub(crate) shown: String,
    /// Relative to the workspace's root, with `/`.
    pub(crate) relative: Option<String>,
    /// Where it leads.
    pub(crate) absolute: PathBuf,
    /// Whether it is in none of the workspace's folders.
    pub(crate) outside: bool,
    asked: PathBuf,
    root: PathBuf,
    base: PathBuf,
    parts: Vec<OsString>,
}

impl Place {
    /// Resolves `path`: relative to the workspace's root, or absolute. `~` and variables are not expanded.
    ///
    /// # Errors
    /// The path is empty or no path; a symbolic link on the way leads out of the workspace.
    pub(crate) fn resolve(workspace: &Workspace, path: &str, access: Access) -> Result<Self, ToolError> {
        check_text(path)?;
        Self::at(workspace, Path::new(path), access)
    }

    /// The same for a path that was come across, which need be no text.
    pub(crate) fn at(workspace: &Workspace, path: &Path, access: Access) -> Result<Self, ToolError> {
        let asked = normal(&workspace.root.join(path));
        let path = path.display();
        let absolute = canonical(&asked).map_err(|e| ToolError::model(format!("`{path}`: {e}")))?;
        let folder = |p: &Path| folders(workspace, access).find(|f| p.starts_with(f)).map(Path::to_owned);
        let inside = folder(&absolute);
        if inside.is_none() && folder(&asked).is_some() {
            return Err(ToolError::Denied(format!(
                "`{path}` is or passes through a symbolic link that leads out of the workspace, to {}",
                absolute.display()
            )));
        }
        let base = inside.clone().unwrap_or_else(|| PathBuf::from("/"));
        let below = absolute.strip_prefix(&base).unwrap_or(&absolute);
        let parts = below.components().filter_map(|c| match c {
            Component::Normal(part) => Some(part.to_owned()),
            _ => None,
        });
        let relative = relative_to(&workspace.root, &absolute);
        let shown = match relative.as_deref() {
            Some("") => ".".to_owned(),
            Some(relative) => relative.to_owned(),
            None => absolute.display().to_string(),
        };
        Ok(Self {
            shown,
            relative,
            outside: inside.is_none(),
            parts: parts.collect(),
            root: workspace.root.clone(),
            asked,
            absolute,
            base,
        })
    }

    /// What the permission rules are matched against: the place, and the path as it was written where links make
    /// that another one.
    pub(crate) fn keys(&self, access: Access) -> Vec<PermissionKey> {
        let key = |path: &Path| PermissionKey::Path {
            access,
            relative: relative_to(&self.root, path).map(|r| if r.is_empty() { ".".to_owned() } else { r }),
            absolute: path.display().to_string(),
            outside: self.outside,
        };
        let mut keys = vec![key(&self.absolute)];
        if self.asked != self.absolute && relative_to(&self.root, &self.asked).is_some() {
            keys.push(key(&self.asked));
        }
        keys
    }

    /// Opens the place's folder, as far as it exists.
    ///
    /// # Errors
    /// Something on the way is no folder, or became a link since the path was resolved, or may not be opened.
    pub(crate) fn open(&self) -> Result<Spot, ToolError> {
        let fail = |e: io::Error| ToolError::model(format!("`{}` cannot be opened: {e}", self.shown));
        let mut dir = Dir::open_ambient_dir(&self.base, ambient_authority()).map_err(fail)?;
        let Some((name, folders)) = self.parts.split_last() else {
            return Ok(Spot { dir, missing: Vec::new(), name: OsString::from("."), shown: self.shown.clone() });
        };
        let mut rest = folders.iter();
        let mut missing = Vec::new();
        for part in rest.by_ref() {
            match platform::open_dir_at(&dir, part) {
                Ok(next) => dir = next,
                Err(e) if e.kind() == io::ErrorKind::NotFound => {
                    missing.push(part.clone());
                    break;
                }
                Err(e) => return Err(fail(e)),
            }
        }
        missing.extend(rest.cloned());
        Ok(Spot { dir, missing, name: name.clone(), shown: self.shown.clone() })
    }
}

/// An open folder and a name in it; the folders between them may still have to be made.
#[derive(Debug)]
pub(crate) struct Spot {
    dir: Dir,
    missing: Vec<OsString>,
    name: OsString,
    shown: String,
}

impl Spot {
    /// Opens the regular file for reading; `None` if there is nothing.
    ///
    /// # Errors
    /// It is a folder, a link, a device, a pipe, or may not be read.
    pub(crate) fn read(&self) -> Result<Option<std::fs::File>, ToolError> {
        if !self.missing.is_empty() {
            return Ok(None);
        }
        match platform::open_file_at(&self.dir, &self.name) {
            Ok(file) if file.metadata().is_ok_and(|m| m.is_dir()) => {
                Err(ToolError::model(format!("`{}` is a folder; use ls to list it", self.shown)))
            }
            Ok(file) => Ok(Some(file)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) if e.kind() == io::ErrorKind::InvalidInput => {
                Err(ToolError::model(format!("`{}` is {e}, which this tool does not open", self.shown)))
            }
            Err(e) => Err(ToolError::model(format!("`{}` cannot be read: {e}", self.shown))),
        }
    }

    /// Whether something else than a folder stands there.
    pub(crate) fn is_file(&self) -> bool {
        self.missing.is_empty() && platform::kind_at(&self.dir, &self.name).is_ok_and(|k| k != platform::Kind::Folder)
    }

    /// Opens the folder; `None` if there is nothing.
    ///
    /// # Errors
    /// It is no folder, or may not be read.
    pub(crate) fn folder(&self) -> Result<Option<Dir>, ToolError> {
        if !self.missing.is_empty() {
            return Ok(None);
        }
        match platform::open_dir_at(&self.dir, &self.name) {
            Ok(dir) => Ok(Some(dir)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) if e.kind() == io::ErrorKind::NotADirectory => {
                Err(ToolError::model(format!("`{}` is a file, not a folder", self.shown)))
            }
            Err(e) => Err(ToolError::model(format!("`{}` cannot be opened: {e}", self.shown))),
        }
    }

    /// The names beside the place, where its folder exists.
    pub(crate) fn siblings(&self) -> Vec<String> {
        let entries = self.missing.is_empty().then(|| self.dir.entries().ok()).flatten();
        entries.into_iter().flatten().flatten().map(|e| e.file_name().to_string_lossy().into_owned()).collect()
    }

    /// Puts `content` there in one step: readers see the old file or the new one. Keeps the permission bits of a
    /// file that is replaced and makes missing folders.
    ///
    /// # Errors
    /// The folder or file may not be written, or the disk is full; then the old file still stands.
    pub(crate) fn replace(&self, content: &[u8]) -> Result<(), ToolError> {
        let fail = |e: io::Error| ToolError::model(format!("`{}` cannot be written: {e}", self.shown));
        let mode = match self.read()? {
            Some(old) => Some(platform::mode_of(&old).map_err(fail)?),
            None => None,
        };
        if mode.is_some_and(|m| m & 0o222 == 0) {
            return Err(ToolError::model(format!("`{}` is read-only", self.shown)));
        }
        let made = self.make_missing().map_err(fail)?;
        let dir = made.as_ref().unwrap_or(&self.dir);
        write_and_rename(dir, &self.name, content, mode).map_err(fail)
    }

    /// Deletes the file.
    ///
    /// # Errors
    /// The folder may not be written.
    pub(crate) fn delete(&self) -> Result<(), ToolError> {
        let fail = |e: io::Error| ToolError::model(format!("`{}` cannot be deleted: {e}", self.shown));
        self.dir.remove_file(&self.name).map_err(fail)
    }

    fn make_missing(&self) -> io::Result<Option<Dir>> {
        let mut made: Option<Dir> = None;
        for part in &self.missing {
            let dir = made.as_ref().unwrap_or(&self.dir);
            match dir.create_dir(part) {
                Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(e),
                _ => made = Some(platform::open_dir_at(dir, part)?),
            }
        }
        Ok(made)
    }
}

fn write_and_rename(dir: &Dir, name: &OsStr, content: &[u8], mode: Option<u32>) -> io::Result<()> {
    use std::io::Write;
    let (temporary, mut file) = fresh_file(dir, mode)?;
    let written = file.write_all(content).and_then(|()| file.sync_data());
    let done = written.and_then(|()| dir.rename(&temporary, dir, name));
    if done.is_err() {
        // The first error counts; a leftover temporary file is all that a second one could mean.
        let _ = dir.remove_file(&temporary);
    }
    done
}

fn fresh_file(dir: &Dir, mode: Option<u32>) -> io::Result<(OsString, std::fs::File)> {
    let process = std::process::id();
    let mut count = 0_u32;
    loop {
        let name = OsString::from(format!(".victor-{process}-{count}.tmp"));
        match platform::create_at(dir, &name, mode) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists && count < 10_000 => count += 1,
            file => return Ok((name, file?)),
        }
    }
}

fn check_text(path: &str) -> Result<(), ToolError> {
    if path.is_empty() {
        return Err(ToolError::model("the path is empty; use `.` for the workspace itself"));
    }
    if path.contains('\0') {
        return Err(ToolError::model("the path holds a NUL byte"));
    }
    if path == "~" || path.starts_with("~/") {
        return Err(ToolError::model(format!("`{path}`: `~` is not expanded; write the path in full")));
    }
    Ok(())
}

fn folders(workspace: &Workspace, access: Access) -> impl Iterator<Item = &Path> {
    let readable = match access {
        Access::Read => workspace.readable.as_slice(),
        Access::Write => &[],
    };
    workspace.writable().chain(readable.iter().map(PathBuf::as_path))
}

/// `path` below `root` with `/`; empty for the root itself.
pub(crate) fn relative_to(root: &Path, path: &Path) -> Option<String> {
    let below = path.strip_prefix(root).ok()?;
    let parts: Vec<_> = below.components().map(|c| c.as_os_str().to_string_lossy()).collect();
    Some(parts.join("/"))
}

/// `path` without `.` and `..`, by its text alone.
pub(crate) fn normal(path: &Path) -> PathBuf {
    let mut clean = PathBuf::new();
    for component in path.components() {
        match component {
            Component::CurDir => {}
            Component::ParentDir => {
                clean.pop();
            }
            Component::Prefix(_) | Component::RootDir | Component::Normal(_) => clean.push(component),
        }
    }
    clean
}

/// `path` with all links followed, as far as it exists; the rest is kept as it is.
fn canonical(path: &Path) -> io::Result<PathBuf> {
    let mut rest: Vec<&OsStr> = Vec::new();
    let mut existing = path;
    loop {
        match std::fs::canonicalize(existing) {
            Ok(found) => return Ok(rest.iter().rev().fold(found, |p, part| p.join(part))),
            Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                if std::fs::symlink_metadata(existing).is_ok_and(|m| m.is_symlink()) {
                    return Err(io::Error::other("it is a symbolic link to something that does not exist"));
                }
                let (Some(parent), Some(name)) = (existing.parent(), existing.file_name()) else { return Err(e) };
                rest.push(name);
                existing = parent;
            }
            Err(e) => return Err(e),
        }
    }
}
