//! Where workflows are found, which one counts, and what a folder that is not trusted gets.
#![expect(clippy::unwrap_used, reason = "the whole file is tests")]

use std::fs;
use std::path::Path;

use serde_json::json;
use victor::{Env, Options, Setup};

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

fn flow(name: &str, text: &str) -> String {
    format!(
        "workflows: {{{name}: {{description: \"{text}\", nodes: [{{id: a, type: transform, transform: format, template: \"{text}\"}}]}}}}"
    )
}

fn setup(folder: &Path) -> Setup {
    let home = folder.join("home");
    let env = Env::new(folder.join("project"), [("VICTOR_HOME", home.to_str().unwrap()), ("SECRET", "s3cret")]);
    Setup::load(Options::new(env)).unwrap()
}

#[test]
fn the_projects_workflows_come_before_the_users_and_the_bundled_ones() {
    let folder = tempfile::tempdir().unwrap();
    let (project, home) = (folder.path().join("project"), folder.path().join("home/workflows"));
    write(&project.join(".victor/workflows/review.yaml"), &flow("code-review", "ours"));
    write(&project.join(".victor/workflows/bad.yml"), "workflows: {w: {nodes: [{id: a, type: agnet}]}}");
    write(&home.join("mine.yaml"), &flow("mine", "mine"));
    write(&home.join("review.yaml"), &flow("code_review", "users"));
    write(&home.join("notes.txt"), "no workflow");
    let found = setup(folder.path()).workflows();
    let names: Vec<_> = found.library.list().into_iter().map(|f| (f.name, f.source)).collect();
    let source = |name: &str| names.iter().find(|(n, _)| n == name).map(|(_, source)| source.clone());
    assert_eq!(source("code-review").unwrap(), ".victor/workflows/review.yaml");
    assert!(source("mine").unwrap().ends_with("home/workflows/mine.yaml"));
    assert_eq!(source("debate").unwrap(), "bundled");
    assert_eq!(found.library.broken.len(), 1);
    assert_eq!(
        found.library.broken[0].to_string(),
        ".victor/workflows/bad.yml:1:39: unknown node type `agnet`; did you mean `agent`?"
    );
    assert_eq!(found.notices.len(), 1, "{:?}", found.notices);
    assert!(
        found.notices[0].starts_with("workflow `code-review` of .victor/workflows/review.yaml counts, not that of")
    );
}

#[test]
fn a_folder_that_is_not_trusted_gets_no_environment() {
    let folder = tempfile::tempdir().unwrap();
    write(&folder.path().join("project/.victor/workflows/a.yaml"), &flow("theirs", "key ${SECRET}"));
    write(&folder.path().join("home/workflows/b.yaml"), &flow("mine", "key ${SECRET}"));
    let found = setup(folder.path()).workflows();
    let theirs = found.library.compile("theirs").unwrap().inputs.prepare(&json!({})).unwrap_err().message;
    assert!(theirs.contains("environment variable SECRET is not set"), "{theirs}");
    assert!(found.library.compile("mine").unwrap().inputs.prepare(&json!({})).is_ok());
    assert!(found.notices.iter().any(|n| n.contains("is not put in")), "{:?}", found.notices);
}

#[cfg(unix)]
#[test]
fn a_projects_links_lead_nowhere() {
    let folder = tempfile::tempdir().unwrap();
    write(&folder.path().join("elsewhere/a.yaml"), &flow("outside", "x"));
    fs::create_dir_all(folder.path().join("project/.victor")).unwrap();
    let link = folder.path().join("project/.victor/workflows");
    std::os::unix::fs::symlink(folder.path().join("elsewhere"), &link).unwrap();
    let found = setup(folder.path()).workflows();
    assert!(found.library.find("outside").is_none());
    assert!(found.notices.iter().any(|n| n.contains("symbolic link")), "{:?}", found.notices);
}
