//! Files that are small and would take much memory are refused before they do. Alone in its process, whose memory it
//! looks at.
#![allow(clippy::unwrap_used, clippy::disallowed_methods)]

use std::path::Path;

/// Kinds of metadata in a GGUF file.
const BYTE: u32 = 0;
const TEXT: u32 = 8;
const LIST: u32 = 9;

/// A GGUF file with one entry of metadata: a list of so many of this kind, in these bytes.
fn list(kind: u32, count: u64, bytes: &[u8]) -> Vec<u8> {
    let key = b"tokenizer.ggml.tokens";
    let head = [b"GGUF\x03\0\0\0".as_slice(), &0_u64.to_le_bytes(), &1_u64.to_le_bytes()].concat();
    let name = [&(key.len() as u64).to_le_bytes(), key.as_slice()].concat();
    let kinds = [LIST.to_le_bytes(), kind.to_le_bytes()].concat();
    [head, name, kinds, count.to_le_bytes().to_vec(), bytes.to_vec()].concat()
}

/// The most memory that this process had so far, in bytes, where the system tells.
fn peak() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok().map(|kilobytes| kilobytes * 1024)
}

fn refused(path: &Path, words: &str) {
    let error = victor_local::needs_requantising(path).unwrap_err().to_string();
    assert!(error.contains(words), "{error}");
}

#[test]
fn a_small_file_never_takes_much_memory() {
    const MANY: u64 = 8_000_000;
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: Vec<u8>| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    let zeros = vec![0; usize::try_from(MANY).unwrap() * 8];
    // A list in a list, again and again.
    let nested: Vec<u8> = [LIST.to_le_bytes().as_slice(), &1_u64.to_le_bytes()].concat().repeat(1000);
    let files = [
        (write("bytes", list(BYTE, MANY, &zeros[..zeros.len() / 8])), "more than 4194304 values"),
        (write("texts", list(TEXT, MANY, &zeros)), "more than 4194304 values"),
        (write("nested", list(LIST, 1, &nested)), "lists in lists"),
        (write("more than is there", list(BYTE, 4_000_000, &[0; 100])), "not a readable GGUF file"),
        (write("endless", list(TEXT, 1, &u64::MAX.to_le_bytes())), "bytes of text"),
    ];
    drop(zeros);
    let before = peak();
    files.iter().for_each(|(path, words)| refused(path, words));
    if let (Some(before), Some(after)) = (before, peak()) {
        let taken = after.saturating_sub(before);
        assert!(taken < 20_000_000, "{taken} bytes of memory were taken");
    }
}
