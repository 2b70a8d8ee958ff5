use super::*;
use crate::template::Environment;

fn read(text: &str) -> Result<Document, Mistakes> {
    load("flow.yaml", text, &Environment::default(), &Known::default())
}

#[test]
fn the_contracts_example_is_read() {
    let text = r#"
workflows:
  code_review:
    description: Review a change
    inputs: {target_file: {type: string, required: true}}
    nodes:
      - {id: analyze, type: agent, role: analyst, goal: "Analyze {{ target_file }}", tools: [read, grep], tool_budget: 20, output: findings, next: [check]}
      - {id: check, type: condition, condition: "findings.score > 0.8", branches: {true: merge, false: revise}}
      - {id: merge, type: transform, transform: merge_results, input: findings, output: report}
      - {id: revise, type: agent, role: developer, goal: "Fix {{ findings }}", error_strategy: retry, retry_attempts: 3, retry_delay: 5, on_error: failed, next: [check]}
      - {id: failed, type: passthrough}
"#;
    let document = read(text).unwrap();
    assert_eq!(document.workflows[0].nodes.len(), 5);
    assert_eq!(document.warnings, []);
}

#[test]
fn all_mistakes_are_told_at_once() {
    let text = "workflows:\n  w:\n    nodes:\n      - {id: a, type: agnet, goal: x}\n      - id: b\n        type: agent\n        gaol: x\n        timeout: soon\n        next: [c, d]\n        temperature: 3\n      - {id: b, type: tool}\n";
    let told = read(text).unwrap_err().to_string();
    assert_eq!(told, "");
}
