use super::Drawing;
use crate::template::Environment;
use crate::yaml::{Known, load};

const FLOW: &str = r#"
workflows:
  review:
    description: Look, decide, ask
    nodes:
      - {id: look-around, type: parallel, nodes: [{id: a, type: agent, goal: x}, {id: b, type: agent, goal: y}], next: check}
      - {id: check, type: condition, condition: "len(a) > 3", branches: {true: ask, false: look-around}}
      - {id: ask, type: hitl, hitl_type: approval, prompt: "Go on?", on_no: give_up}
      - {id: give_up, type: passthrough}
"#;

fn drawing() -> Drawing {
    let document = load("flow.yaml", FLOW, &Environment::default(), &Known::default()).unwrap();
    Drawing::from(document.workflow("review").unwrap())
}

#[test]
fn a_compiled_graph_can_be_drawn_too() {
    let document = load("flow.yaml", FLOW, &Environment::default(), &Known::default()).unwrap();
    let graph = document.compile("review", &|_| None).unwrap().workflow;
    let text = Drawing::from(&graph).text();
    assert!(text.contains("○ check        condition\n├─> ask\n└─> look-around  (back)"), "{text}");
}

#[test]
fn the_terminal_gets_plain_text() {
    assert_eq!(
        drawing().text(),
        "\
review
  Look, decide, ask

● look-around  parallel
│   ● a  agent
│   └─> end
│   ● b  agent
│   └─> end
└─> check
○ check        condition
├─> true: ask
└─> false: look-around  (back)
○ ask          hitl
├─> end
└─> no: give_up
○ give_up      passthrough
└─> end
"
    );
}

#[test]
fn mermaid_has_a_box_for_every_node_and_a_label_for_every_branch() {
    let drawing = drawing().mermaid();
    for line in [
        "flowchart TD",
        "subgraph n_look_around [\"look-around (parallel)\"]",
        "n_look_around__n_a[\"a (agent)\"]",
        "n_check{\"check (condition)\"}",
        "n_check -->|\"true\"| n_ask",
        "n_check -->|\"false\"| n_look_around",
        "n_ask -->|\"no\"| n_give_up",
        "_start --> n_look_around",
        "n_give_up --> _end",
    ] {
        assert!(drawing.lines().any(|l| l.trim() == line), "{line}\n{drawing}");
    }
}

#[test]
fn dot_draws_the_same() {
    let drawing = drawing().dot();
    for line in [
        "digraph \"review\" {",
        "subgraph cluster_n_look_around {",
        "n_check [label=\"check (condition)\", shape=diamond];",
        "n_check -> n_ask [label=\"true\"];",
    ] {
        assert!(drawing.lines().any(|l| l.trim() == line), "{line}\n{drawing}");
    }
}
