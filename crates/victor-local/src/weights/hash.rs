//! SHA-256 of files, computed while they are written or on demand.

use std::fs::File;
use std::io::{self, Read, Write};
use std::path::Path;

use sha2::{Digest, Sha256};

/// Bytes that are read at once.
const BLOCK: usize = 1 << 18;

/// Writes to a file and computes the checksum of everything in it.
pub(super) struct HashedFile {
    file: File,
    hash: Sha256,
    length: u64,
}

impl HashedFile {
    /// An empty file at `path`; one that was there is replaced.
    pub(super) fn create(path: &Path) -> io::Result<Self> {
        Ok(Self { file: File::create(path)?, hash: Sha256::new(), length: 0 })
    }

    /// The file as it is, to be gone on with. What is there is read once; `at` is told how far that is.
    pub(super) fn resume(path: &Path, at: impl FnMut(u64) -> io::Result<()>) -> io::Result<Self> {
        let mut file = File::options().read(true).append(true).open(path)?;
        let mut hash = Sha256::new();
        let length = feed(&mut file, &mut hash, at)?;
        Ok(Self { file, hash, length })
    }

    /// Bytes in the file.
    pub(super) fn length(&self) -> u64 {
        self.length
    }

    /// Ends the file: its bytes are on the disk when this returns. Gives the checksum.
    pub(super) fn finish(self) -> io::Result<String> {
        self.file.sync_all()?;
        Ok(hex(&self.hash.finalize()))
    }
}

impl Write for HashedFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.hash.update(&bytes[..written]);
        self.length += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// The checksum of a file; `at` is told how far it is, and may end it.
pub(super) fn of_file(path: &Path, at: impl FnMut(u64) -> io::Result<()>) -> io::Result<String> {
    let mut hash = Sha256::new();
    feed(&mut File::open(path)?, &mut hash, at)?;
    Ok(hex(&hash.finalize()))
}

fn feed(file: &mut File, hash: &mut Sha256, mut at: impl FnMut(u64) -> io::Result<()>) -> io::Result<u64> {
    let (mut block, mut length) = (vec![0; BLOCK], 0);
    loop {
        let read = match file.read(&mut block) {
            Ok(0) => return Ok(length),
            Ok(read) => read,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(e),
        };
        hash.update(&block[..read]);
        length += read as u64;
        at(length)?;
    }
}

fn hex(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}
