//! The crates' layers: arrows point down only, and the core does no I/O. ARCHITECTURE.md says why.
#![expect(clippy::unwrap_used, reason = "the whole file is tests")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use cargo_metadata::{CargoOpt, Dependency, DependencyKind, Metadata, MetadataCommand, Package};

/// The layer of each crate. A crate may use those of lower layers only, so plug-ins never know each other.
const LAYERS: [(&str, u8); 11] = [
    ("victor-core", 0),
    ("victor-macros", 0),
    ("victor-providers", 1),
    ("victor-local", 1),
    ("victor-tools", 1),
    ("victor-store", 1),
    ("victor-workflow", 1),
    ("victor-http", 2),
    ("victor-mcp", 2),
    ("victor", 3),
    ("victor-cli", 4),
];

/// Outside the layers: stand-ins for tests, and developer commands.
const TESTS: &str = "victor-tests";
const XTASK: &str = "xtask";

/// What the core may use directly, and with which features. No part of it reads files, the network, the environment or
/// a clock.
const CORE: [(&str, &[&str]); 17] = [
    ("async-trait", &[]),
    ("base64", &[]),
    ("bytes", &[]),
    ("futures", &["std", "async-await"]),
    ("globset", &[]),
    ("jiff", &["std"]),
    ("jsonschema", &[]),
    ("schemars", &[]),
    ("serde", &["derive", "rc"]),
    ("serde_json", &["preserve_order"]),
    ("sha2", &[]),
    ("strsim", &[]),
    ("thiserror", &[]),
    ("tokio", &["sync", "rt", "time", "macros"]),
    ("tokio-util", &["rt"]),
    ("tracing", &["std", "attributes"]),
    ("uuid", &["serde"]),
];

/// What no source file of the core may name outside tests.
const OUTSIDE_WORLD: [&str; 12] = [
    "std::fs",
    "std::net",
    "std::env",
    "std::process",
    "std::thread::sleep",
    "SystemTime::now",
    "Instant::now",
    "Timestamp::now",
    "Zoned::now",
    "tokio::fs",
    "tokio::net",
    "tokio::process",
];

#[test]
fn arrows_point_down_only() {
    let metadata = metadata();
    let mut wrong = Vec::new();
    for package in metadata.workspace_packages() {
        for dependency in package.dependencies.iter().filter(|d| d.path.is_some()) {
            wrong.extend(judge(package, dependency));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_crate_has_a_layer() {
    for package in metadata().workspace_packages() {
        let name = package.name.as_str();
        assert!(layer(name).is_some() || [TESTS, XTASK].contains(&name), "{name} has no layer: give it one here");
        assert!(package.publish.as_deref() == Some(&[]), "{name} could be published; its name may be another's");
    }
}

#[test]
fn the_core_uses_only_what_does_no_io() {
    let metadata = metadata();
    let core = metadata.workspace_packages().into_iter().find(|p| p.name.as_str() == "victor-core").unwrap();
    let allowed = BTreeMap::from(CORE);
    for dependency in core.dependencies.iter().filter(|d| d.kind != DependencyKind::Development) {
        let name = dependency.name.as_str();
        let Some(features) = allowed.get(name) else { panic!("victor-core may not use {name}") };
        for feature in &dependency.features {
            assert!(features.contains(&feature.as_str()), "victor-core may not use {name} with `{feature}`");
        }
    }
}

#[test]
fn the_core_names_nothing_of_the_outside_world() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/victor-core/src");
    let mut wrong = Vec::new();
    for file in sources(&root) {
        let text = fs::read_to_string(&file).unwrap();
        let code = text.split("#[cfg(test)]\nmod").next().unwrap_or_default();
        for (number, line) in code.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//")) {
            for name in OUTSIDE_WORLD.iter().filter(|name| line.contains(*name)) {
                wrong.push(format!("{}:{}: {name}", file.display(), number + 1));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What is wrong with an arrow between two crates of the workspace.
fn judge(package: &Package, dependency: &Dependency) -> Option<String> {
    let (from, to) = (package.name.as_str(), dependency.name.as_str());
    let dev = dependency.kind == DependencyKind::Development;
    let fine = match (from, to) {
        // Its own feature `testing`, for its own tests.
        _ if from == to => dev,
        (XTASK, _) => false,
        // Everybody's tests use it, so that it can use nobody; its own tests may.
        (TESTS, _) => dev,
        (_, TESTS) => dev,
        _ => matches!((layer(from), layer(to)), (Some(from), Some(to)) if to < from),
    };
    (!fine).then(|| format!("{from} may not depend on {to} ({:?})", dependency.kind))
}

fn layer(name: &str) -> Option<u8> {
    LAYERS.iter().find(|(n, _)| *n == name).map(|(_, layer)| *layer)
}

fn metadata() -> Metadata {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../Cargo.toml");
    MetadataCommand::new().manifest_path(manifest).features(CargoOpt::AllFeatures).no_deps().exec().unwrap()
}

/// The source files below a folder that are no tests.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let (folders, files): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir());
    let files = files.into_iter().filter(|f| f.extension().is_some_and(|e| e == "rs") && !f.ends_with("tests.rs"));
    files.chain(folders.iter().filter(|f| !f.ends_with("tests")).flat_map(|f| sources(f))).collect()
}
