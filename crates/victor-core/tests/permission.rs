//! What the rules say of paths, commands and hosts: deny before ask before allow, and nothing fails open.
#![allow(clippy::unwrap_used, clippy::panic)]

use serde_json::json;
use victor_core::permission::{Access, Grants, Mode, PermissionKey, Rule, RuleEffect, Rules, Verdict, judge};
use victor_core::sandbox::SandboxMode;
use victor_core::tool::{Effects, Plan, ToolOutput, ToolSpec};

fn rules(lines: &[(RuleEffect, &str)]) -> Rules {
    Rules::new(lines.iter().map(|(effect, text)| Rule::parse(*effect, text, "test").unwrap()).collect())
}

fn path(access: Access, relative: &str) -> PermissionKey {
    PermissionKey::Path { access, relative: Some(relative.into()), absolute: format!("/w/{relative}"), outside: false }
}

fn outside(absolute: &str) -> PermissionKey {
    PermissionKey::Path { access: Access::Read, relative: None, absolute: absolute.into(), outside: true }
}

fn command(text: &str) -> PermissionKey {
    PermissionKey::Command { text: text.into() }
}

fn verdict(mode: Mode, rules: &Rules, tool: &str, effects: Effects, keys: Vec<PermissionKey>) -> Verdict {
    let most = Effects::READ | Effects::WRITE | Effects::EXECUTE | Effects::NETWORK | Effects::UNSANDBOXED;
    let spec = ToolSpec::new(tool, "", "test", json!({}), most);
    let plan = keys.into_iter().fold(Plan::new(effects, |_, _| async { Ok(ToolOutput::default()) }), Plan::key);
    judge(mode, SandboxMode::WorkspaceWrite, rules, &Grants::default(), &spec, &plan)
}

fn word(verdict: &Verdict) -> &'static str {
    match verdict {
        Verdict::Allow => "allow",
        Verdict::Ask { .. } => "ask",
        Verdict::Deny { .. } => "deny",
    }
}

#[test]
fn reading_and_writing_by_default() {
    let none = Rules::default();
    let read = |mode, key| word(&verdict(mode, &none, "read", Effects::READ, vec![key]));
    let write = |mode| word(&verdict(mode, &none, "write", Effects::WRITE, vec![path(Access::Write, "a")]));
    assert_eq!(read(Mode::Plan, path(Access::Read, "a")), "allow");
    assert_eq!(read(Mode::Build, outside("/etc/passwd")), "deny");
    assert_eq!(Mode::ALL.map(|(mode, ..)| write(mode)), ["allow", "deny", "deny", "deny", "deny"]);
    let run = |mode| word(&verdict(mode, &none, "bash", Effects::EXECUTE, vec![command("ls")]));
    assert_eq!(Mode::ALL.map(|(mode, ..)| run(mode)), ["ask", "deny", "deny", "ask", "deny"]);
}

#[test]
fn a_denied_path_is_denied_to_every_tool_that_reads() {
    let rules =
        rules(&[(RuleEffect::Deny, "read(**/.env)"), (RuleEffect::Deny, "read(secrets/)"), (RuleEffect::Allow, "*")]);
    for (tool, file, want) in [
        ("read", ".env", "deny"),
        ("grep", "deep/down/.env", "deny"),
        ("read", "secrets/a/b.txt", "deny"),
        ("read", ".environment", "allow"),
        ("read", "my-secrets", "allow"),
    ] {
        let got = verdict(Mode::Build, &rules, tool, Effects::READ, vec![path(Access::Read, file)]);
        assert_eq!(word(&got), want, "{tool} {file}");
    }
    assert!(rules.path_rules().hides("grep", Some("x/.env"), "/w/x/.env"));
    assert!(!rules.path_rules().hides("grep", Some("x/env"), "/w/x/env"));
}

#[test]
fn only_an_allow_rule_with_an_absolute_path_opens_the_outside() {
    for (rule, want) in
        [("read(/etc/hosts)", "allow"), ("read(**)", "deny"), ("read", "deny"), ("read(/etc/*)", "allow")]
    {
        let rules = rules(&[(RuleEffect::Allow, rule)]);
        let got = verdict(Mode::Build, &rules, "read", Effects::READ, vec![outside("/etc/hosts")]);
        assert_eq!(word(&got), want, "{rule}");
    }
}

#[test]
fn every_command_of_a_line_has_to_be_allowed() {
    let rules = rules(&[
        (RuleEffect::Allow, "bash(cargo test*)"),
        (RuleEffect::Allow, "bash(git *)"),
        (RuleEffect::Ask, "bash(git push*)"),
        (RuleEffect::Deny, "bash(rm *)"),
    ]);
    for (line, want) in [
        (vec!["cargo test --all"], "allow"),
        (vec!["cargo test", "git status"], "allow"),
        (vec!["cargo test", "curl x"], "ask"),
        (vec!["git push origin"], "ask"),
        (vec!["cargo test", "rm -rf /"], "deny"),
        (vec!["cargo build"], "ask"),
    ] {
        let keys = line.iter().map(|c| command(c)).collect();
        assert_eq!(word(&verdict(Mode::Build, &rules, "bash", Effects::EXECUTE, keys)), want, "{line:?}");
    }
}

#[test]
fn what_cannot_be_split_asks_even_where_everything_is_allowed() {
    let rules = rules(&[(RuleEffect::Allow, "bash(*)"), (RuleEffect::Allow, "bash")]);
    let key = PermissionKey::UnsplitCommand { text: "eval $X".into() };
    assert_eq!(word(&verdict(Mode::Build, &rules, "bash", Effects::EXECUTE, vec![key])), "ask");
}

#[test]
fn a_program_asks_where_paths_are_hidden_since_no_rule_follows_it() {
    let rules = rules(&[(RuleEffect::Allow, "bash(cat *)"), (RuleEffect::Deny, "read(**/.env)")]);
    assert_eq!(word(&verdict(Mode::Build, &rules, "bash", Effects::EXECUTE, vec![command("cat x")])), "ask");
}

#[test]
fn leaving_the_sandbox_always_asks_and_says_so() {
    let rules = rules(&[(RuleEffect::Allow, "bash(*)")]);
    let effects = Effects::EXECUTE | Effects::UNSANDBOXED;
    let got = verdict(Mode::Build, &rules, "bash", effects, vec![command("make install")]);
    assert!(matches!(got, Verdict::Ask { leaves_sandbox: true, .. }), "{got:?}");
}

#[test]
fn a_plan_wider_than_its_tool_is_denied() {
    let spec = ToolSpec::new("t", "", "test", json!({}), Effects::READ);
    let plan = Plan::new(Effects::WRITE, |_, _| async { Ok(ToolOutput::default()) });
    let got = judge(Mode::Build, SandboxMode::Off, &Rules::default(), &Grants::default(), &spec, &plan);
    assert_eq!(word(&got), "deny");
}

#[test]
fn brackets_of_commands_are_no_globs() {
    let rules = rules(&[
        (RuleEffect::Allow, "bash([ *)"),
        (RuleEffect::Allow, "bash(grep -F [ a.txt)"),
        (RuleEffect::Deny, "bash(awk {*)"),
    ]);
    for (text, want) in [("[ -f a ]", "allow"), ("grep -F [ a.txt", "allow"), ("awk {print}", "deny"), ("ls", "ask")] {
        let got = verdict(Mode::Build, &rules, "bash", Effects::EXECUTE, vec![command(text)]);
        assert_eq!(word(&got), want, "{text}");
    }
}

#[test]
fn a_question_tells_whether_a_rule_would_answer_it() {
    let beats = |lines: &[(RuleEffect, &str)], key: PermissionKey| match verdict(
        Mode::Build,
        &rules(lines),
        "bash",
        Effects::EXECUTE,
        vec![command("cat b"), key],
    ) {
        Verdict::Ask { beats_rules, .. } => beats_rules,
        other => panic!("{other:?}"),
    };
    let hidden = (RuleEffect::Deny, "read(**/.env)");
    assert!(!beats(&[], command("cat a")));
    assert!(beats(&[hidden], command("cat a")));
    assert!(beats(&[hidden, (RuleEffect::Allow, "bash(cat *)")], command("cat a")));
    assert!(beats(&[(RuleEffect::Ask, "bash(cat a)")], command("cat a")), "the second key's word counts too");
    assert!(beats(&[(RuleEffect::Allow, "bash")], PermissionKey::UnsplitCommand { text: "$(x)".into() }));
}

#[test]
fn broken_rules_say_what_a_rule_looks_like() {
    for text in ["", "bash(", "bash()", "ba sh(x)", "read([)"] {
        let e = Rule::parse(RuleEffect::Deny, text, "test").unwrap_err();
        assert!(e.to_string().contains("cargo test"), "{e}");
    }
}
