//! Permission rules as users write them: what is misspelt is told, and `~` is the home folder.

#![expect(clippy::unwrap_used, reason = "the whole file is tests")]

use std::fs;
use std::path::Path;

use tempfile::TempDir;
use victor::permission::{Access, PermissionKey, Rule, RuleEffect, Rules};
use victor::{Env, Options, Setup};

/// A folder with a `home/config.yaml` of this text and an empty `project`.
fn world(config: &str) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("home")).unwrap();
    fs::create_dir_all(folder.path().join("project")).unwrap();
    fs::write(folder.path().join("home/config.yaml"), config).unwrap();
    folder
}

fn load(world: &TempDir, home: Option<&Path>) -> Result<Setup, victor::ConfigurationError> {
    let victor_home = world.path().join("home");
    let vars = [("VICTOR_HOME", Some(victor_home.as_path())), ("HOME", home)];
    let set = vars.into_iter().filter_map(|(name, path)| Some((name, path?.as_os_str().to_owned())));
    Setup::load(Options::new(Env::new(world.path().join("project"), set)))
}

#[test]
fn a_rule_for_no_tool_is_told() {
    let world = world("permissions: {deny: [\"raed(**/.env)\", \"files__*\", \"git_*\"]}\n");
    let notices = load(&world, None).unwrap().settings.notices;
    assert_eq!(notices.len(), 1, "{notices:?}");
    assert!(notices[0].contains("`raed(**/.env)`") && notices[0].contains("`read`"), "{notices:?}");
}

#[test]
fn a_bracket_is_text_in_rules_for_commands_and_a_mistake_in_those_for_paths() {
    load(&world("permissions: {allow: ['bash([ *)', 'bash(awk {*)']}\n"), None).unwrap();
    for rule in ["edit([)", "read([)", "*([)", "git_*([)"] {
        let error = load(&world(&format!("permissions: {{deny: ['{rule}']}}\n")), None).unwrap_err();
        assert!(error.message.contains("config.yaml:1") && error.message.contains("character class"), "{error}");
    }
}

#[test]
fn a_rule_below_the_home_folder_holds_there_also_through_a_link() {
    let world = world("permissions: {deny: [\"read(~/project/secret.txt)\"], allow: [\"read(~/notes/*)\"]}\n");
    let (real, link) = (world.path().canonicalize().unwrap(), world.path().join("link"));
    std::os::unix::fs::symlink(&real, &link).unwrap();
    let key = |relative: Option<&str>, path: &str| PermissionKey::Path {
        access: Access::Read,
        relative: relative.map(Into::into),
        absolute: real.join(path).display().to_string(),
        outside: relative.is_none(),
    };
    for home in [&real, &link] {
        let rules = Rules::new(load(&world, Some(home)).unwrap().settings.rules);
        let denied = rules.strictest("grep", Some(&key(Some("secret.txt"), "project/secret.txt")));
        assert_eq!(denied.map(Rule::effect), Some(RuleEffect::Deny));
        assert!(rules.strictest("read", Some(&key(Some("notes.txt"), "project/notes.txt"))).is_none());
        assert!(rules.strictest("read", Some(&key(None, "notes/a.txt"))).is_some());
    }
    let e = load(&world, None).unwrap_err().to_string();
    assert!(e.contains("config.yaml:1") && e.contains("needs HOME"), "{e}");
}
