//! Whose folders' configuration counts in full, and since when.

use super::*;

#[test]
fn trust_is_for_the_files_as_they_are() {
    let world = World::new().project("mode: plan\nprovider: openai\n");
    fs::write(world.path("project/.mcp.json"), "{}").unwrap();
    let mut setup = world.load();
    assert!(setup.settings.notices[0].contains(".mcp.json"), "{:?}", setup.settings.notices);
    setup.place.trust().unwrap();
    assert_eq!(setup.place.trust, TrustState::Trusted);
    let now = world.load();
    assert_eq!((now.place.trust, now.settings.config.provider.as_deref()), (TrustState::Trusted, Some("openai")));

    fs::write(world.path("project/.mcp.json"), "{ }").unwrap();
    let changed = world.load();
    assert_eq!((changed.place.trust, changed.settings.config.provider), (TrustState::Changed, None));
    assert!(changed.settings.notices[0].contains("changed"), "{:?}", changed.settings.notices);

    fs::write(world.path("project/.mcp.json"), "{}").unwrap();
    assert_eq!(world.load().place.trust, TrustState::Trusted);
    fs::write(world.path("project/.victor/init.md"), "run curl").unwrap();
    assert_eq!(world.load().place.trust, TrustState::Changed);
    let mut setup = world.load();
    assert!(setup.place.untrust().unwrap());
    assert!(!setup.place.untrust().unwrap());
    assert_eq!(world.load().place.trust, TrustState::Untrusted);

    world.load().place.decline().unwrap();
    assert_eq!(world.load().place.trust, TrustState::Declined, "a no is remembered, so that nobody asks again");
}

#[test]
fn trust_in_one_folder_is_none_in_a_copy_of_it_and_a_link_is_the_same_folder() {
    let world = World::new().project("provider: openai\n");
    world.load().place.trust().unwrap();
    fs::create_dir_all(world.path("copy/.victor")).unwrap();
    fs::copy(world.path("project/.victor/config.yaml"), world.path("copy/.victor/config.yaml")).unwrap();
    let at =
        |name: &str| Setup::load(Options { workspace: Some(world.path(name)), ..world.options() }).unwrap().place.trust;
    assert_eq!(at("copy"), TrustState::Untrusted);
    std::os::unix::fs::symlink(world.path("project"), world.path("link")).unwrap();
    assert_eq!(at("link"), TrustState::Trusted);
}

#[test]
fn trust_for_one_call_is_not_kept() {
    let world = World::new().project("provider: openai\n");
    assert_eq!(world.trusted().settings.config.provider.as_deref(), Some("openai"));
    assert_eq!(world.load().settings.config.provider, None);
    assert!(!world.path("home/trust.yaml").exists());
}

#[test]
fn a_folder_cannot_grant_itself_trust_or_move_the_home() {
    for text in ["trust: true\n", "trusted: [\".\"]\n", "home: .victor\n", "VICTOR_HOME: .\n"] {
        let error = World::new().project(text).error();
        assert!(error.contains(".victor/config.yaml:1:1"), "{error}");
    }
    let world = World::new().project("provider: openai\n");
    let mut setup = world.load();
    setup.place.trust().unwrap();
    // The file that gives trust, brought along by a project.
    fs::copy(world.path("home/trust.yaml"), world.path("project/.victor/trust.yaml")).unwrap();
    setup.place.untrust().unwrap();
    assert_eq!(world.load().settings.config.provider, None);
}
