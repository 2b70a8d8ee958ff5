//! Where workflows are found, which one counts, and what a folder that is not trusted gets.
#![expect(clippy::unwrap_used, reason = "the whole file is tests")]

use std::fs;
use std::path::Path;

use serde_json::json;
use victor::workflow::{Reach, WorkflowRegistry};
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

fn registry(folder: &Path) -> WorkflowRegistry {
    let home = folder.join("home");
    fs::create_dir_all(folder.join("project")).unwrap();
    let env = Env::new(folder.join("project"), [("VICTOR_HOME", home.to_str().unwrap()), ("SECRET", "s3cret")]);
    WorkflowRegistry::with_source(Setup::load(Options::new(env)).unwrap().workflow_folders())
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
    let registry = registry(folder.path());
    assert_eq!(registry.get("code_review").unwrap().source, ".victor/workflows/review.yaml");
    assert!(registry.get("mine").unwrap().source.ends_with("home/workflows/mine.yaml"));
    assert_eq!(registry.get("debate").unwrap().source, "bundled");
    let bad = ".victor/workflows/bad.yml:1:39: unknown node type `agnet`; did you mean `agent`?";
    assert_eq!(registry.get("w").unwrap_err().to_string(), bad);
    let listing = registry.list();
    assert_eq!((listing.broken.len(), listing.notices.len()), (1, 1));
    assert!(
        listing.notices[0].starts_with("workflow `code-review` of .victor/workflows/review.yaml counts, not that of")
    );
    write(&project.join(".victor/workflows/new.yaml"), &flow("new", "what was written since is seen"));
    assert!(registry.get("new").is_ok());
}

#[test]
fn a_folder_that_is_not_trusted_gets_no_environment() {
    let folder = tempfile::tempdir().unwrap();
    write(&folder.path().join("project/.victor/workflows/a.yaml"), &flow("theirs", "key ${SECRET}"));
    write(&folder.path().join("home/workflows/b.yaml"), &flow("mine", "key ${SECRET}"));
    let registry = registry(folder.path());
    let theirs = registry.get("theirs").unwrap().workflow.prepare(json!({})).unwrap_err().message;
    assert!(theirs.contains("not trusted"), "{theirs}");
    assert!(registry.get("mine").unwrap().workflow.prepare(json!({})).is_ok());
}

#[cfg(unix)]
#[test]
fn a_projects_links_lead_nowhere() {
    let folder = tempfile::tempdir().unwrap();
    write(&folder.path().join("elsewhere/a.yaml"), &flow("outside", "x"));
    fs::create_dir_all(folder.path().join("project/.victor")).unwrap();
    let link = folder.path().join("project/.victor/workflows");
    std::os::unix::fs::symlink(folder.path().join("elsewhere"), &link).unwrap();
    let registry = registry(folder.path());
    assert!(registry.get("outside").is_err());
    assert!(registry.open(".victor/workflows/a.yaml", None, Reach::Folder).is_err());
    for path in ["../elsewhere/a.yaml", "/etc/hosts", "a/b.yaml", ".victor/workflows/../../x.yaml"] {
        assert!(registry.open(path, None, Reach::Folder).unwrap_err().to_string().contains("no file of"), "{path}");
    }
}

#[cfg(unix)]
#[test]
fn a_link_among_the_projects_workflows_gets_no_environment_by_where_it_leads() {
    let folder = tempfile::tempdir().unwrap();
    write(&folder.path().join("elsewhere/a.yaml"), &flow("theirs", "key ${SECRET}"));
    let workflows = folder.path().join("project/.victor/workflows");
    fs::create_dir_all(&workflows).unwrap();
    std::os::unix::fs::symlink(folder.path().join("elsewhere/a.yaml"), workflows.join("a.yaml")).unwrap();
    let registry = registry(folder.path());
    for path in [".victor/workflows/a.yaml", "./.victor/workflows/a.yaml"] {
        assert!(registry.open(path, None, Reach::Anywhere).is_err(), "{path}");
    }
    assert!(registry.again("theirs", Some(".victor/workflows/a.yaml")).is_err());
}
