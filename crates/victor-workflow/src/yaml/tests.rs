use serde_json::json;

use super::*;
use crate::template::Environment;

fn read(text: &str) -> Document {
    let environment = Environment::from_iter([("MODEL", "m/1"), ("TRIES", "2")]);
    load("flow.yaml", text, &environment, &Known::default()).unwrap_or_else(|e| panic!("{e}"))
}

fn ids(document: &Document, name: &str) -> Vec<String> {
    let way = |node: &Node| {
        let next: Vec<&str> = edges(node).iter().map(|e| e.to.unwrap_or("end")).collect();
        format!("{} -> {}", node.id(), next.join(", "))
    };
    document.workflow(name).unwrap().nodes.iter().map(way).collect()
}

#[test]
fn branches_are_booleans_and_strings_alike() {
    let spellings = ["{true: a, false: end}", "{\"true\": a, 'false': end}", "{True: a, FALSE: end}"];
    for branches in spellings {
        let text = format!(
            "workflows: {{w: {{inputs: {{f: {{}}}}, nodes: [{{id: c, type: condition, condition: f, branches: {branches}}}, {{id: a, type: passthrough}}]}}}}"
        );
        assert_eq!(ids(&read(&text), "w"), ["c -> a, end", "a -> end"], "{branches}");
    }
}

#[test]
fn comments_may_stand_anywhere() {
    let document = read(
        "# first\nworkflows:  # one\n  # two\n  w:\n    # three\n    nodes:  # four\n      # five\n      - id: a  # six\n        # seven\n        type: passthrough\n        next: [b,  # eight\n          end]\n      # nine\n      - {id: b, type: passthrough}\n# ten\n",
    );
    assert_eq!(ids(&document, "w"), ["a -> b, end", "b -> end"]);
}

#[test]
fn names_match_with_both_dashes() {
    let document = read(
        "workflows: {my-flow: {nodes: [{id: first-one, type: passthrough, next: second_one}, {id: second-one, type: passthrough}]}}",
    );
    assert!(document.workflow("my_flow").is_some());
    let graph = document.compile("my_flow", &|_| None).unwrap().workflow;
    assert_eq!(graph.nodes().map(|n| n.edges.join(",")).collect::<Vec<_>>(), ["second-one", ""]);
}

#[test]
fn without_inputs_unknown_names_are_warnings() {
    let document = read("workflows: {w: {nodes: [{id: a, type: agent, goal: 'Look at {{ file }}'}]}}");
    let told: Vec<String> = document.warnings.iter().map(ToString::to_string).collect();
    assert_eq!(told, ["flow.yaml:1:52: unknown variable `file`; the run must be given it as an input"]);
}

#[test]
fn environment_values_are_put_in_and_unset_ones_are_the_runs_error() {
    let document = read(
        "workflows:\n  w:\n    nodes:\n      - {id: a, type: agent, goal: \"Use ${KEY}\", model: \"${MODEL}\", error_strategy: retry, retry_attempts: \"${TRIES}\", next: b}\n      - {id: b, type: agent, goal: x, timeout: \"${LIMIT}\", max_tokens: \"${TOKENS:-100}\"}\n  other:\n    nodes:\n      - {id: a, type: passthrough}\n",
    );
    let NodeKind::Agent(agent) = &document.workflow("w").unwrap().nodes[0].kind else { panic!("an agent") };
    assert_eq!(agent.model.as_ref().unwrap().value, "m/1");
    assert_eq!(document.workflow("w").unwrap().nodes[0].common.retry_attempts.as_ref().unwrap().value, 2);
    let compiled = document.compile("w", &|_| None).unwrap();
    let error = compiled.inputs.prepare(&json!({})).unwrap_err().message;
    let expected = "flow.yaml:5:48: environment variable LIMIT is not set; set it, or write `${LIMIT:-default}`\nflow.yaml:4:36: environment variable KEY is not set; set it, or write `${KEY:-default}`";
    assert_eq!(error, expected);
    assert!(document.compile("other", &|_| None).unwrap().inputs.prepare(&json!({})).is_ok());
}

#[test]
fn a_workflow_extends_another_with_nodes_before_and_after() {
    let document = read(
        "workflows:
  base:
    inputs: {file: {type: string, default: a.rs}}
    nodes:
      - {id: analyze, type: agent, goal: \"Look at {file}\", next: report}
      - {id: report, type: transform, transform: format, template: \"{analyze}\"}
  careful:
    extends: base
    inputs: {deep: {type: boolean, default: false}}
    nodes:
      - {id: report, type: transform, transform: format, template: \"Careful: {analyze}\"}
    additional_nodes:
      - {id: lint, type: agent, goal: x, before: analyze}
      - {id: test, type: agent, goal: y, after: analyze}
",
    );
    assert_eq!(ids(&document, "careful"), ["lint -> analyze", "analyze -> test", "test -> report", "report -> end"]);
    let inputs = document.compile("careful", &|_| None).unwrap().inputs;
    assert_eq!(json!(inputs.prepare(&json!(null)).unwrap()), json!({"file": "a.rs", "deep": false}));
    assert_eq!(ids(&document, "base"), ["analyze -> report", "report -> end"]);
}

#[test]
fn references_and_anchors_put_parts_of_the_file_in() {
    let document = read(
        "definitions:
  agent: {type: agent, goal: \"Do {{ node_id }}\", timeout: 5}
workflows:
  w:
    nodes:
      - {$ref: \"#/definitions/agent\", id: a, next: b}
      - &b {$ref: \"#/definitions/agent\", id: b, timeout: 7, next: c}
      - {<<: *b, id: c, next: end}
",
    );
    let nodes = &document.workflow("w").unwrap().nodes;
    let timeouts: Vec<f64> = nodes.iter().map(|n| n.common.timeout.as_ref().unwrap().value).collect();
    assert_eq!(timeouts, [5.0, 7.0, 7.0]);
}

#[test]
fn what_a_run_is_given_is_checked_at_once() {
    let document = read(
        "workflows: {w: {inputs: {target-file: {type: string, required: true}, depth: {type: integer, default: 2}, mode_of: {enum: [x, y]}}, nodes: [{id: a, type: passthrough}]}}",
    );
    let inputs = document.compile("w", &|_| None).unwrap().inputs;
    let state = inputs.prepare(&json!({"target_file": "a", "mode_of": "x"})).unwrap();
    assert_eq!(json!(state), json!({"target-file": "a", "depth": 2, "mode_of": "x"}));
    let error = inputs.prepare(&json!({"depth": 1.5, "mode_of": "z", "target": 1})).unwrap_err().message;
    assert_eq!(
        error,
        "workflow `w` needs the input `target-file` (string)\n\
         input `depth` of workflow `w` is a number, not integer\n\
         input `mode_of` of workflow `w` is \"z\"; allowed are \"x\", \"y\"\n\
         unknown input `target`; did you mean `target-file`?"
    );
    assert_eq!(inputs.schema().unwrap()["required"], json!(["target-file"]));
    assert_eq!((inputs.value_of("target_file", "12"), inputs.value_of("depth", "12")), (json!("12"), json!(12)));
    assert_eq!(
        (inputs.value_of("mode_of", "[a, {b: 1}]"), inputs.value_of("x", "a: b: c")),
        (json!(["a", {"b": 1}]), json!("a: b: c"))
    );
}

#[test]
fn a_node_that_moves_in_its_file_stays_the_same() {
    let text = "workflows: {w: {nodes: [{id: a, type: agent, goal: x}]}}";
    let hash = |text: &str| read(text).compile("w", &|_| None).unwrap().workflow.hash().to_owned();
    assert_eq!(hash(text), hash(&format!("# a comment\n\n{text}")));
    assert_ne!(hash(text), hash(&text.replace("goal: x", "goal: y")));
}
