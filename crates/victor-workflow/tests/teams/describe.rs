//! Teams from their description in YAML.

use victor_workflow::team::{Formation, Seat, TeamSpec};

fn read(yaml: &str) -> Result<TeamSpec, String> {
    serde_saphyr::from_str(yaml).map_err(|e| e.to_string())
}

#[test]
fn a_description_reads() {
    let spec = read(
        "team: debate
members:
  - {name: pro, role: advocate, provider: anthropic, model: claude-sonnet-4-5, tools: [read, grep]}
  - {name: contra, goal: Find what is wrong, mode: explore, max_turns: 4, token_budget: 9000}
  - {name: jo}
task: Shall we?
rounds: 3
judge: jo
on_member_failure: continue
token_budget: 50000
",
    );
    let spec = spec.unwrap();
    assert_eq!(spec.problems(), []);
    assert_eq!((spec.team, spec.members.len(), spec.rounds), (Formation::Debate, 3, Some(3)));
    assert_eq!(spec.judge, Some(Seat::Member("jo".to_owned())));
    let own = read("team: parallel\ntask: x\nmembers: [{name: a}]\nlead: {name: boss, model: m}\n").unwrap();
    assert!(matches!(own.lead, Some(Seat::Own(lead)) if lead.model.as_deref() == Some("m")));
}

#[test]
fn unknown_keys_are_errors_with_their_place() {
    for (yaml, word, line) in [
        ("team: flat\ntask: x\nmembers: [{name: a}]\nround: 3\n", "round", "4"),
        ("team: flat\ntask: x\nmembers:\n  - {name: a, modle: m}\n", "modle", "4"),
        ("team: flat\ntask: x\nmembers: [{name: a}]\nlead:\n  name: b\n  gaol: g\n", "gaol", "6"),
        ("team: circle\ntask: x\nmembers: [{name: a}]\n", "circle", "1"),
    ] {
        let said = read(yaml).unwrap_err();
        assert!(said.contains(word) && said.contains(line), "{yaml}: {said}");
    }
}

#[test]
fn what_does_not_fit_the_formation_is_told_all_at_once() {
    let spec = read(
        "team: debate
task: x
members: [{name: a}, {name: a}, {name: 'b c'}]
lead: d
rounds: 0
min_agreement: 2
",
    );
    let found: Vec<_> = spec.unwrap().problems().into_iter().map(|p| (p.field, p.message)).collect();
    let expected = [
        ("lead", "no member is called `d`"),
        ("members", "two members are called `a`"),
        ("members", "`b c` is no name for a member: use up to 48 letters, digits, `_` and `-`"),
        ("judge", "a debate needs a `judge`"),
        ("lead", "`lead` means nothing in the formation `debate`"),
        ("rounds", "`rounds` is from 1 to 100"),
        ("min_agreement", "`min_agreement` means nothing in the formation `debate`"),
    ];
    assert_eq!(found, expected.map(|(field, message)| (field, message.to_owned())));
}
