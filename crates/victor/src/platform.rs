//! What differs between systems: private files, files that may be traps, and locks.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::Path;

const LINK: &str = "it is a symbolic link, which is not followed";

/// Lets this process have as many open files and connections as the system allows it; what fails changes nothing.
pub fn raise_file_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(e) = setrlimit(Resource::Nofile, limit) {
        tracing::debug!(error = %e, "the limit of open files stays as it is");
    }
}

/// Whether a path that is a symbolic link is followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Links {
    /// It is.
    Follow,
    /// It is an error.
    Refuse,
}

/// What came of reading a file that may be anything.
#[derive(Debug)]
pub(crate) enum Content {
    /// There is no such file.
    Missing,
    /// Its bytes, no more than the limit.
    Bytes(Vec<u8>),
    /// It is longer than the limit; its first bytes.
    TooLong(Vec<u8>),
}

/// Reads a regular file up to `limit` bytes. Pipes, devices and folders are errors; none is waited for.
pub(crate) fn read_limited(path: &Path, limit: usize, links: Links) -> io::Result<Content> {
    let mut options = OpenOptions::new();
    options.read(true);
    careful(&mut options, links);
    match options.open(path) {
        Ok(file) => read_open(file, limit),
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => match is_link(path) {
            true => Err(io::Error::other("it is a symbolic link that leads nowhere")),
            false => Ok(Content::Missing),
        },
        Err(_) if links == Links::Refuse && is_link(path) => Err(io::Error::other(LINK)),
        Err(e) => Err(e),
    }
}

/// As [`read_limited`] for `folder/name`, where neither `folder` itself nor the file may be a symbolic link.
pub(crate) fn read_inside(folder: &Path, name: &str, limit: usize) -> io::Result<Content> {
    if is_link(folder) {
        return Err(io::Error::other("its folder is a symbolic link, which is not followed"));
    }
    read_limited(&folder.join(name), limit, Links::Refuse)
}

fn read_open(file: File, limit: usize) -> io::Result<Content> {
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let mut bytes = Vec::new();
    file.take(limit as u64 + 1).read_to_end(&mut bytes)?;
    if bytes.len() > limit {
        bytes.truncate(limit);
        return Ok(Content::TooLong(bytes));
    }
    Ok(Content::Bytes(bytes))
}

fn is_link(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok_and(|m| m.is_symlink())
}

/// Replaces a file as a whole, or leaves it as it was. A new file belongs to its owner alone; one that was there keeps
/// its permissions. Missing folders are made.
pub(crate) fn replace_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let target = if is_link(path) { fs::canonicalize(path)? } else { path.to_owned() };
    let folder = target.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(bytes)?;
    if let Ok(old) = fs::metadata(&target) {
        file.as_file().set_permissions(old.permissions())?;
    }
    file.as_file().sync_all()?;
    file.persist(&target)?;
    Ok(())
}

/// As [`replace_file`], and the file belongs to its owner alone whatever it was before.
pub(crate) fn replace_private_file(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}

/// Makes a folder and what is missing above it, for its owner alone.
pub(crate) fn private_folder(path: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    for_owner(&mut builder);
    builder.create(path)
}

/// Waits until nobody else holds this lock, and holds it until the file is dropped.
pub(crate) fn lock(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().create(true).truncate(false).write(true).open(path)?;
    file.lock()?;
    Ok(file)
}

/// Why the file's permissions let others read it; `None` if they do not.
#[cfg(unix)]
pub(crate) fn exposed(path: &Path) -> io::Result<Option<String>> {
    use std::os::unix::fs::MetadataExt as _;
    let meta = fs::metadata(path)?;
    if meta.mode() & 0o077 != 0 {
        return Ok(Some(format!("its permissions are {:03o}", meta.mode() & 0o777)));
    }
    let me = rustix::process::geteuid().as_raw();
    Ok((meta.uid() != me && me != 0).then(|| format!("it belongs to the user with id {}", meta.uid())))
}

#[cfg(unix)]
fn careful(options: &mut OpenOptions, links: Links) {
    use rustix::fs::OFlags;
    use std::os::unix::fs::OpenOptionsExt as _;
    let links = match links {
        Links::Follow => OFlags::empty(),
        Links::Refuse => OFlags::NOFOLLOW,
    };
    options.custom_flags((OFlags::NONBLOCK | OFlags::NOCTTY | links).bits().cast_signed());
}

#[cfg(unix)]
fn for_owner(builder: &mut DirBuilder) {
    use std::os::unix::fs::DirBuilderExt as _;
    builder.mode(0o700);
}

#[cfg(not(unix))]
pub(crate) fn exposed(_: &Path) -> io::Result<Option<String>> {
    Ok(None)
}

#[cfg(not(unix))]
fn careful(_: &mut OpenOptions, _: Links) {}

#[cfg(not(unix))]
fn for_owner(_: &mut DirBuilder) {}
