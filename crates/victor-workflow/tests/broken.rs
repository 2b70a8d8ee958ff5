//! Broken workflow files, and all that each of them is told, word for word: `broken/NAME.yaml` and `broken/NAME.txt`.

use std::fmt::Write as _;
use std::path::Path;

use victor_workflow::template::Environment;
use victor_workflow::yaml::{Known, load};

#[test]
fn every_broken_file_is_told_all_its_mistakes() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/broken");
    let mut names: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.retain(|path| path.extension().is_some_and(|e| e == "yaml"));
    names.sort();
    assert!(names.len() >= 30, "{} files", names.len());
    let known = Known {
        tools: Some(["read", "write", "grep", "git_status"].map(str::to_owned).into()),
        workflows: Some(vec!["code_review".to_owned()]),
    };
    let mut wrong = String::new();
    for path in names {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&path).unwrap();
        let told = match load(&name, &text, &Environment::default(), &known) {
            Ok(_) => "no mistakes".to_owned(),
            Err(mistakes) => mistakes.to_string(),
        };
        let expected = std::fs::read_to_string(path.with_extension("txt")).unwrap_or_default();
        if told.trim() != expected.trim() {
            let _ = writeln!(wrong, "=== {name}\n{told}");
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}=== end");
}
