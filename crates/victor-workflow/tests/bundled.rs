//! The workflows that Victor brings along: they are sound, and fit the schema of workflow files.
#![expect(clippy::unwrap_used, reason = "the whole file is tests")]

use serde_json::Value;
use victor_workflow::bundled::BUNDLED;
use victor_workflow::library::{Layer, Library, SourceFile};
use victor_workflow::yaml::schema_json;

fn as_json(text: &str) -> Value {
    victor_workflow::yaml::to_json("bundled", text).unwrap()
}

fn layer(files: Vec<SourceFile>) -> Layer {
    Layer { files, ..Layer::default() }
}

#[test]
fn bundled_workflows_have_no_mistakes_and_no_warnings() {
    for bundled in BUNDLED {
        let document = bundled.document().unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(document.warnings, [], "{}", bundled.name);
        assert_eq!(document.workflows.len(), 1);
        assert_eq!(document.workflows[0].name.value, bundled.name);
        assert!(document.workflows[0].head.description.is_some(), "{}", bundled.name);
    }
}

#[test]
fn bundled_workflows_fit_the_schema() {
    let validator = jsonschema::validator_for(&schema_json()).unwrap();
    for bundled in BUNDLED {
        let wrong: Vec<String> =
            validator.iter_errors(&as_json(bundled.text)).map(|e| format!("{}: {e}", e.instance_path())).collect();
        assert!(wrong.is_empty(), "{}: {wrong:#?}", bundled.name);
    }
}

#[test]
fn the_schema_refuses_what_the_loader_refuses() {
    let validator = jsonschema::validator_for(&schema_json()).unwrap();
    for text in [
        "workflows: {w: {nodes: [{id: a, type: agent, gaol: x}]}}",
        "workflows: {w: {nodes: [{id: a, type: agnet, goal: x}]}}",
        "workflows: {w: {nodes: [{id: a, type: agent, goal: x, gaol: y}]}}",
        "workflows: {w: {nodes: [{id: a, type: agent, goal: x, timeout: soon}]}}",
        "workflows: {w: {node: []}}",
        "workflow: {}",
    ] {
        assert!(!validator.is_valid(&as_json(text)), "{text}");
    }
    assert!(validator.is_valid(&as_json("workflows: {w: {nodes: [{id: a, type: agent, goal: x, next: [b]}]}}")));
}

#[test]
fn the_nearest_workflow_counts_and_that_is_told() {
    let file = |path: &str, text: &str| SourceFile { path: path.to_owned(), text: text.to_owned() };
    let own = file(
        ".victor/workflows/review.yaml",
        "workflows:\n  code-review: {description: Ours, nodes: [{id: a, type: workflow, workflow: helper}]}\n",
    );
    let user = file("/home/me/helper.yaml", "workflows: {helper: {nodes: [{id: a, type: passthrough}]}}");
    let broken = file("/home/me/broken.yaml", "workflows: {}");
    let library = Library::new(&[layer(vec![own]), layer(vec![user, broken])]);
    assert_eq!(library.find("code_review").unwrap().0, ".victor/workflows/review.yaml");
    let found = library.list();
    let review = found.iter().find(|f| f.name == "code-review").unwrap();
    assert_eq!((review.description.as_str(), found.len()), ("Ours", 7));
    assert_eq!(
        library.notices,
        ["workflow `code-review` of .victor/workflows/review.yaml counts, not that of bundled"]
    );
    assert_eq!(library.broken.len(), 1);
    assert!(library.compile("code_review").is_ok());
    let error = library.compile("code_reveiw").unwrap_err().to_string();
    assert_eq!(error, "workflows: unknown workflow `code_reveiw`; did you mean `code-review`?");
}

#[test]
fn a_workflow_cannot_include_itself_by_way_of_other_files() {
    let file = |path: &str, text: &str| SourceFile { path: path.to_owned(), text: text.to_owned() };
    let one = file("one.yaml", "workflows: {one: {nodes: [{id: a, type: workflow, workflow: two}]}}");
    let two = file("two.yaml", "workflows: {two: {nodes: [{id: a, type: workflow, workflow: one}]}}");
    let library = Library::new(&[layer(vec![one, two])]);
    let error = library.compile("one").unwrap_err().to_string();
    assert!(error.starts_with("workflows: the workflow includes itself: one -> two -> one"), "{error}");
}

#[test]
fn the_published_schema_is_the_one_of_the_code() {
    let published = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/schemas/workflow.schema.json");
    let published: Value = serde_json::from_str(&std::fs::read_to_string(published).unwrap()).unwrap();
    assert!(published == schema_json(), "`cargo xtask schema` writes it anew");
}
