//! What differs between systems: free room, memory, private folders, and locks.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::Path;

/// Bytes that a file in `folder` may still take.
pub(super) fn free_room(folder: &Path) -> io::Result<u64> {
    let found = rustix::fs::statvfs(folder)?;
    Ok(found.f_bavail.saturating_mul(found.f_frsize))
}

/// The memory of this machine in bytes; `None` where the system does not say.
#[cfg(target_os = "linux")]
pub(super) fn memory() -> Option<u64> {
    let found = rustix::system::sysinfo();
    Some(found.totalram.saturating_mul(u64::from(found.mem_unit)))
}

#[cfg(not(target_os = "linux"))]
pub(super) fn memory() -> Option<u64> {
    None
}

/// Makes a folder and what is missing above it, for its owner alone.
pub(super) fn private_folder(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// A lock that ends with the value, and with the process.
pub(super) struct Lock {
    _file: File,
}

/// The lock at `path`, or who holds it.
pub(super) fn try_lock(path: &Path) -> io::Result<Result<Lock, String>> {
    let mut file = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(path)?;
    match file.try_lock() {
        Ok(()) => {
            file.set_len(0)?;
            write!(file, "process {}", std::process::id())?;
            Ok(Ok(Lock { _file: file }))
        }
        Err(TryLockError::WouldBlock) => Ok(Err(fs::read_to_string(path).unwrap_or_default())),
        Err(TryLockError::Error(e)) => Err(e),
    }
}
