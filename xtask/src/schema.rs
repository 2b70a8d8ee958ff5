//! `cargo xtask schema`: the published JSON schemas, as the program itself prints them, written into `docs/schemas`.

use std::fs;

use crate::sh;

/// File names, and what `cargo run` starts whose output they hold.
const SCHEMAS: [(&str, &[&str]); 3] = [
    ("config.schema.json", &["--package", "victor-cli", "--", "config", "schema"]),
    ("events.schema.json", &["--package", "victor-cli", "--", "config", "schema", "--events"]),
    ("workflow.schema.json", &["--package", "victor-workflow", "--example", "workflow_schema"]),
];

/// Writes them.
pub(crate) fn run() -> Result<(), String> {
    let folder = sh::root().join("docs/schemas");
    fs::create_dir_all(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    for (name, args) in SCHEMAS {
        let call = [&["run", "--quiet"], args].concat();
        let output = sh::cargo(&call).output().map_err(|e| format!("cargo could not be started: {e}"))?;
        if !output.status.success() {
            return Err(format!("cargo run {}: {}", args.join(" "), String::from_utf8_lossy(&output.stderr)));
        }
        let schema: serde_json::Value = serde_json::from_slice(&output.stdout)
            .map_err(|e| format!("cargo run {} printed no JSON: {e}", args.join(" ")))?;
        let path = folder.join(name);
        fs::write(&path, format!("{schema:#}\n")).map_err(|e| format!("{}: {e}", path.display()))?;
        println!("{}", path.display());
    }
    Ok(())
}
