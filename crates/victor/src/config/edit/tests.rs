use super::*;

/// Sets `key` in a file with `text` and gives the new text, or the error.
fn set_in(text: &str, key: &str, value: &str) -> Result<String, String> {
    let folder = tempfile::tempdir().unwrap();
    let home = Home::new(folder.path());
    if !text.is_empty() {
        std::fs::write(home.config(), text).unwrap();
    }
    set(&home, key, value).map_err(|e| e.message)?;
    Ok(std::fs::read_to_string(home.config()).unwrap())
}

#[track_caller]
fn check(text: &str, key: &str, value: &str, expected: &str) {
    assert_eq!(set_in(text, key, value).unwrap(), expected);
}

#[test]
fn a_first_value_makes_the_file() {
    check("", "model", "gpt-5", "model: gpt-5\n");
    check(
        "",
        "providers.local.base_url",
        "http://127.0.0.1:1/v1",
        "providers:\n  local:\n    base_url: \"http://127.0.0.1:1/v1\"\n",
    );
    check("# mine\n", "limits.max_turns", "20", "# mine\nlimits:\n  max_turns: 20\n");
}

#[test]
fn comments_order_and_quotes_stay() {
    let text = "# head\nmodel: 'old'   # why\n\n# below\nprovider: openai\n";
    check(text, "model", "new", "# head\nmodel: new   # why\n\n# below\nprovider: openai\n");
    check(text, "mode", "plan", &format!("{text}mode: plan\n"));
}

#[test]
fn nested_values_go_to_their_mapping() {
    let text = "providers:\n  a:\n    base_url: http://a   # first\n  b: {base_url: http://b}\nmodel: m\n";
    check(
        text,
        "providers.a.api_key_env",
        "KEY",
        "providers:\n  a:\n    base_url: http://a   # first\n    api_key_env: KEY\n  b: {base_url: http://b}\nmodel: m\n",
    );
    check(
        text,
        "providers.b.api_key_env",
        "KEY",
        "providers:\n  a:\n    base_url: http://a   # first\n  b: {base_url: http://b, api_key_env: KEY}\nmodel: m\n",
    );
    check(
        text,
        "providers.c.base_url",
        "http://c",
        "providers:\n  a:\n    base_url: http://a   # first\n  b: {base_url: http://b}\n  c:\n    base_url: \"http://c\"\nmodel: m\n",
    );
}

#[test]
fn lists_and_empty_values_are_replaced() {
    check("fallback:\n  - a\n  - b\nmodel: m\n", "fallback", "[c]", "fallback: [c]\nmodel: m\n");
    check("permissions:\nmodel: m\n", "permissions.deny", "[write]", "permissions: {deny: [write]}\nmodel: m\n");
    check("limits: {}\n", "limits.max_turns", "3", "limits: {max_turns: 3}\n");
    check(
        "profiles:\n  x:\n    system: |\n      a\n      b\nmodel: m\n",
        "profiles.x.system",
        "c",
        "profiles:\n  x:\n    system: c\nmodel: m\n",
    );
    check(
        "profiles:\n  x:\n    system: |\n      a\n",
        "profiles.z.system",
        "c",
        "profiles:\n  x:\n    system: |\n      a\n  z:\n    system: c\n",
    );
}

#[test]
fn text_stays_text() {
    check("", "model", "1.5", "model: \"1.5\"\n");
    check("", "model", "yes", "model: \"yes\"\n");
    check("", "profile", "\"quoted\"", "profile: quoted\n");
    check("", "permissions.allow", "[\"bash(cargo test*)\"]", "permissions:\n  allow: [\"bash(cargo test*)\"]\n");
}

#[test]
fn what_is_wrong_is_refused_and_changes_nothing() {
    let error = set_in("model: m\n", "modle", "x").unwrap_err();
    assert!(error.contains("`modle`") && error.contains("`model`"), "{error}");
    let error = set_in("model: m\n", "limits.max_turns", "many").unwrap_err();
    assert!(error.contains("limits.max_turns") && error.contains("many"), "{error}");
    let error = set_in("modle: m\n", "model", "x").unwrap_err();
    assert!(error.contains("config.yaml:1:1") && error.contains("`model`"), "{error}");
    let error = set_in("fallback:\n  - a # keep me\n  - b\n", "fallback", "[c]").unwrap_err();
    assert!(error.contains("by hand"), "{error}");
    assert!(set_in("", "server.port", "99999").is_err());
    assert!(set_in("", "limits.max_cost.x", "1").is_err());
}

#[test]
fn entries_are_removed_with_what_would_be_empty() {
    let folder = tempfile::tempdir().unwrap();
    let home = Home::new(folder.path());
    let text = "model: m # a\nprofiles:\n  x: {model: a}\n  # about y\n  y:\n    model: b\nprovider: p\n";
    std::fs::write(home.config(), text).unwrap();
    let path = |name: &str| vec!["profiles".to_owned(), name.to_owned()];
    assert!(remove(&home, &path("y")).unwrap());
    assert!(!remove(&home, &path("y")).unwrap());
    let now = std::fs::read_to_string(home.config()).unwrap();
    assert_eq!(now, "model: m # a\nprofiles:\n  x: {model: a}\n  # about y\nprovider: p\n");
    assert!(remove(&home, &path("x")).unwrap());
    let now = std::fs::read_to_string(home.config()).unwrap();
    assert!(!now.contains("profiles") && now.ends_with("provider: p\n"), "{now}");
}

#[test]
fn a_link_to_the_file_stays_a_link() {
    let folder = tempfile::tempdir().unwrap();
    let home = Home::new(folder.path().join("home"));
    home.create().unwrap();
    let real = folder.path().join("dotfiles.yaml");
    std::fs::write(&real, "model: a\n").unwrap();
    std::os::unix::fs::symlink(&real, home.config()).unwrap();
    set(&home, "model", "b").unwrap();
    assert_eq!(std::fs::read_to_string(real).unwrap(), "model: b\n");
    assert!(std::fs::symlink_metadata(home.config()).unwrap().is_symlink());
}
