//! The runtime that configuration gives: providers, keys, sessions, instructions, and the guard of the home.

#![expect(clippy::unwrap_used, reason = "the whole file is tests")]

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use secrecy::SecretString;
use serde_json::json;
use tempfile::TempDir;
use victor::config::Flags;
use victor::doctor::{self, CheckStatus, Online};
use victor::prelude::*;
use victor::provider::Selector;
use victor::runtime::CallOptions;
use victor::{Env, KeyPlace, Options, Save, Setup, profiles};
use victor_tests::{ModelServer, Reply};

struct World {
    folder: TempDir,
    vars: Vec<(String, String)>,
}

impl World {
    fn new(config: &str, vars: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("home")).unwrap();
        fs::create_dir_all(folder.path().join("project")).unwrap();
        fs::write(folder.path().join("home/config.yaml"), config).unwrap();
        let vars = vars.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        Self { folder, vars }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn options(&self) -> Options {
        let home = ("VICTOR_HOME".to_owned(), self.path("home").display().to_string());
        Options::new(Env::new(self.path("project"), self.vars.iter().cloned().chain([home])))
    }

    fn setup(&self) -> Setup {
        Setup::load(self.options()).unwrap()
    }
}

fn gateway(server: &ModelServer) -> String {
    format!("providers:\n  gw: {{base_url: \"{}\", default_model: test-model}}\nprovider: gw\n", server.base_url())
}

#[tokio::test]
async fn an_agent_of_the_configuration_answers_and_its_session_is_kept() {
    let server = ModelServer::start([Reply::text("Hello."), Reply::text("Again.")]);
    let world = World::new(&gateway(&server), &[]);
    fs::write(world.path("project/AGENTS.md"), "Always be kind.").unwrap();
    let setup = world.setup();
    let runtime = setup.runtime().unwrap();
    let agent = Agent::create(&runtime, setup.spec()).await.unwrap();
    let mut chat = agent.chat(None);
    assert_eq!(chat.run("Hi").await.unwrap().to_string(), "Hello.");
    let session = chat.session().clone();
    drop(chat);
    runtime.shutdown(std::time::Duration::from_secs(5)).await;
    drop((agent, runtime));

    let runtime = world.setup().runtime().unwrap();
    let agent = Agent::create(&runtime, ()).await.unwrap();
    let mut chat = agent.chat(Some(session));
    assert_eq!(chat.run("And?").await.unwrap().to_string(), "Again.");
    let requests = server.finish();
    let system = requests[0].json["messages"][0]["content"].to_string();
    assert!(system.contains("Always be kind.") && system.contains("You are Victor"), "{system}");
}

#[tokio::test]
async fn nothing_is_kept_where_nothing_is_to_be_saved() {
    let server = ModelServer::start([Reply::text("Hello.")]);
    let world = World::new(&gateway(&server), &[]);
    let setup = Setup::load(Options { save: Save::Off, ..world.options() }).unwrap();
    let runtime = setup.runtime().unwrap();
    let agent = Agent::create(&runtime, ()).await.unwrap();
    agent.chat(None).run("Hi").await.unwrap();
    let spill = runtime.workspace().spill.clone().unwrap();
    assert!(spill.exists());
    drop((agent, runtime));
    assert!(!spill.exists());
    let left: Vec<_> = fs::read_dir(world.path("home")).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left, ["config.yaml"]);
    server.finish();
}

#[tokio::test]
async fn flags_beat_the_profile_and_the_profile_beats_the_configuration() {
    let config = "providers:\n  gw: {base_url: \"http://127.0.0.1:9/v1\", default_model: plain}\nprovider: gw\n\
                  profile: p\nprofiles:\n  p: {model: gw/profiled, provider: gw, mode: plan}\n";
    let world = World::new(config, &[]);
    let runtime = world.setup().runtime().unwrap();
    let agent = Agent::create(&runtime, ()).await.unwrap();
    assert_eq!((agent.model().info.id.as_str(), agent.mode().name()), ("profiled", "plan"));
    let flags = Flags { provider: Some("gw/flagged".to_owned()), ..Flags::default() };
    let setup = Setup::load(Options { flags, ..world.options() }).unwrap();
    let agent = Agent::create(&setup.runtime().unwrap(), setup.spec()).await.unwrap();
    assert_eq!(agent.model().info.id, "flagged");
}

#[tokio::test]
async fn a_variable_that_is_not_set_is_an_error_of_its_provider_only() {
    let config = "providers:\n  a: {base_url: \"http://127.0.0.1:9/v1\", api_key: \"${NOT_SET}\"}\n  \
                  b: {base_url: \"http://127.0.0.1:9/v1\", default_model: m}\n  openai: {base_url: \"${GATEWAY}\"}\n";
    let world = World::new(config, &[("OPENAI_API_KEY", "sk-1")]);
    let runtime = world.setup().runtime().unwrap();
    let providers = runtime.providers().unwrap();
    let error = providers.resolve(&Selector::from("a")).await.unwrap_err().to_string();
    assert!(error.contains("providers.a.api_key") && error.contains("NOT_SET"), "{error}");
    assert_eq!(providers.resolve(&Selector::from("b")).await.unwrap().info.id, "m");
    // A key for OpenAI alone must not send to OpenAI what was meant for the gateway.
    for selector in
        [Selector::default(), Selector::from("openai"), Selector { provider: None, model: Some("gpt-5".into()) }]
    {
        let error = providers.resolve(&selector).await.unwrap_err().to_string();
        assert!(error.contains("GATEWAY"), "{error}");
    }
    let listed = providers.providers();
    assert!(!listed.iter().find(|p| p.name == "openai").unwrap().configured);
    assert!(listed.iter().any(|p| p.name == "a" && !p.configured && p.detail.contains("NOT_SET")));
}

#[tokio::test]
async fn keys_come_from_the_environment_before_the_file() {
    let world = World::new("", &[]);
    let keys = world.setup().keys;
    assert_eq!(keys.set("anthropic", &SecretString::from("sk-saved")).unwrap(), KeyPlace::File);
    let mode = fs::metadata(world.path("home/keys.yaml")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(keys.list(["anthropic", "openai"]).unwrap(), [("anthropic".to_owned(), KeyPlace::File)]);
    let described = |world: &World| {
        let providers = world.setup().runtime().unwrap().providers().unwrap().providers();
        providers.into_iter().find(|p| p.name == "anthropic").unwrap()
    };
    assert!(described(&world).configured);
    let with_variable = World { folder: world.folder, vars: vec![("ANTHROPIC_API_KEY".into(), "sk-env".into())] };
    assert!(described(&with_variable).detail.contains("ANTHROPIC_API_KEY"));
    assert_eq!(keys.delete("anthropic").unwrap(), [KeyPlace::File]);
    assert_eq!(keys.delete("anthropic").unwrap(), []);
}

#[test]
fn keys_that_others_can_read_or_that_are_none_are_refused() {
    let world = World::new("", &[]);
    let keys = world.setup().keys;
    for bad in ["", " ", "a b", "a\nb"] {
        assert!(keys.set("openai", &SecretString::from(bad)).is_err());
    }
    assert!(keys.set("a/b", &SecretString::from("k")).is_err());
    fs::write(world.path("home/keys.yaml"), "openai: sk-secret\n").unwrap();
    fs::set_permissions(world.path("home/keys.yaml"), fs::Permissions::from_mode(0o644)).unwrap();
    let error = keys.list([]).unwrap_err().message;
    assert!(error.contains("chmod 600") && error.contains("keys.yaml"), "{error}");
    fs::set_permissions(world.path("home/keys.yaml"), fs::Permissions::from_mode(0o600)).unwrap();
    for broken in ["openai: [sk-secret]\n", "openai: sk-secret\nsk-secret\n", "sk-secret: &sk-secret *sk-secret\n"] {
        fs::write(world.path("home/keys.yaml"), broken).unwrap();
        let error = keys.list([]).unwrap_err().message;
        assert!(!error.contains("sk-secret") && error.contains("keys.yaml"), "{error}");
    }
    assert!(!format!("{keys:?}").contains("sk-"));
}

#[tokio::test]
async fn tools_cannot_change_the_home_even_inside_the_workspace() {
    let world = World::new("permissions: {allow: [write, read, \"write(/**)\", \"read(/**)\"]}\n", &[]);
    let setup = Setup::load(Options { workspace: Some(world.path("")), ..world.options() }).unwrap();
    setup.keys.set("openai", &SecretString::from("sk-secret")).unwrap();
    let runtime = setup.runtime().unwrap();
    let call = async |tool: &str, args| runtime.call_tool(tool, args, CallOptions::default()).await;
    for path in ["home/trust.yaml", "home/config.yaml", "project/../home/x"] {
        let error = call("write", json!({"path": path, "content": "x"})).await.unwrap_err().to_string();
        assert!(error.contains("denied"), "{error}");
    }
    let error = call("read", json!({"path": "home/keys.yaml"})).await.unwrap_err().to_string();
    assert!(error.contains("denied"), "{error}");
    call("write", json!({"path": "project/x", "content": "x"})).await.unwrap();
    call("read", json!({"path": "project/x"})).await.unwrap();
}

#[test]
fn profiles_are_made_used_and_deleted() {
    let world = World::new("# mine\nmodel: m\n", &[]);
    let home = world.setup().place.home;
    let config = || world.setup().settings.config;
    let profile = Profile { model: Some("x".into()), temperature: Some(0.5), ..Profile::default() };
    profiles::create(&home, &config(), "fast", &profile, profiles::Existing::Keep).unwrap();
    assert_eq!(config().profiles["fast"], profile);
    let again = profiles::create(&home, &config(), "fast", &profile, profiles::Existing::Keep);
    assert!(again.unwrap_err().message.contains("already"));
    let other = Profile { model: Some("y".into()), ..Profile::default() };
    profiles::create(&home, &config(), "fast", &other, profiles::Existing::Replace).unwrap();
    assert_eq!(config().profiles["fast"], other);
    profiles::select(&home, &config(), "fast").unwrap();
    assert_eq!(config().profile.as_deref(), Some("fast"));
    assert!(profiles::select(&home, &config(), "fats").unwrap_err().message.contains("`fast`"));
    profiles::delete(&home, &config(), "fast").unwrap();
    assert!(config().profiles.is_empty());
    assert!(profiles::delete(&home, &config(), "fast").is_err());
    assert!(fs::read_to_string(home.config()).unwrap().starts_with("# mine\nmodel: m\n"));
}

#[tokio::test]
async fn the_doctor_tells_what_is_wrong_and_what_to_do() {
    let find = |checks: &[doctor::Check], name: &str| checks.iter().find(|c| c.name == name).cloned().unwrap();
    let world = World::new("modle: x\n", &[]);
    let checks = doctor::check(world.options(), Online::No).await;
    let configuration = find(&checks, "configuration");
    assert_eq!(configuration.status, CheckStatus::Fail);
    assert!(configuration.detail.contains("config.yaml:1:1"), "{configuration:?}");
    assert!(checks.iter().all(|c| c.status == CheckStatus::Ok || c.fix.is_some()));

    let server = ModelServer::start_with(|_| Reply::text("x"));
    let world = World::new(&gateway(&server), &[("PATH", "/nonexistent"), ("ANTHROPIC_API_KEY", "sk-secret")]);
    fs::create_dir(world.path("project/.victor")).unwrap();
    fs::write(world.path("project/.victor/config.yaml"), "provider: x\n").unwrap();
    let checks = doctor::check(world.options(), Online::Yes).await;
    assert_eq!(find(&checks, "provider").status, CheckStatus::Ok);
    assert!(find(&checks, "provider").detail.contains("gw/test-model"), "{checks:?}");
    assert!(find(&checks, "keys").detail.contains("ANTHROPIC_API_KEY"), "{checks:?}");
    assert_eq!(find(&checks, "connection").status, CheckStatus::Ok, "{checks:?}");
    assert_eq!(find(&checks, "workspace").status, CheckStatus::Warn);
    assert_eq!(find(&checks, "sessions").status, CheckStatus::Ok);
    assert_eq!(find(&checks, "git").status, CheckStatus::Warn);
    assert!(!format!("{checks:?}").contains("sk-secret"));
}

#[test]
fn a_state_is_loaded_as_it_was_saved() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s.json");
    assert!(State::load(&path).unwrap_err().to_string().contains("s.json"));
    let mut state = State::new();
    state.set("k", 1).unwrap();
    state.save(&path).unwrap();
    let mut state = State::load(&path).unwrap();
    assert_eq!(state.get::<u32>("k").unwrap(), 1);
    state.set("k", "two").unwrap();
    state.save(&path).unwrap();
    assert_eq!(State::load(&path).unwrap().get::<String>("k").unwrap(), "two");
    fs::write(&path, "[1]").unwrap();
    assert!(State::load(&path).is_err());
}

#[test]
fn keys_saved_at_the_same_time_are_all_kept() {
    let world = World::new("", &[]);
    let keys = world.setup().keys;
    std::thread::scope(|threads| {
        for i in 0..8 {
            let keys = &keys;
            threads.spawn(move || keys.set(&format!("p{i}"), &SecretString::from("k")).unwrap());
        }
    });
    assert_eq!(keys.list([]).unwrap().len(), 8);
}
