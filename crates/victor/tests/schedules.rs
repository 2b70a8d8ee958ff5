//! Schedules as users write them: layers, mistakes with their places, and which folder they are of.
#![expect(clippy::unwrap_used, reason = "the whole file is tests")]

use std::fs;

use serde_json::json;
use tempfile::TempDir;
use victor::workflow::{Missed, Overlap};
use victor::{Env, Options, Setup, Trust};

/// A home and a project in a temporary folder, with variables.
fn world(user: &str, project: &str, vars: &[(&'static str, &str)]) -> (TempDir, Options) {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("home")).unwrap();
    fs::create_dir_all(folder.path().join("project/.victor")).unwrap();
    fs::write(folder.path().join("home/config.yaml"), user).unwrap();
    if !project.is_empty() {
        fs::write(folder.path().join("project/.victor/config.yaml"), project).unwrap();
    }
    let mut all = vec![("VICTOR_HOME", folder.path().join("home").display().to_string())];
    all.push(("HOME", folder.path().display().to_string()));
    all.extend(vars.iter().map(|(name, value)| (*name, (*value).to_owned())));
    let options = Options { trust: Trust::Once, ..Options::new(Env::new(folder.path().join("project"), all)) };
    (folder, options)
}

const NIGHTLY: &str = "schedules:\n  nightly:\n    cron: \"0 3 * * *\"\n    workflow: tidy\n";

#[test]
fn layers_are_merged_and_what_is_not_said_has_defaults() {
    let project = "schedules: {nightly: {timezone: Europe/Berlin, input: {who: \"${WHO}\", n: 3, deep: {a: [1]}}}}\n";
    let vars = [("WHO", "Ada"), ("VICTOR_SCHEDULES__NIGHTLY__MISSED", "run_once")];
    let (_folder, options) = world(NIGHTLY, project, &vars);
    let setup = Setup::load(options).unwrap();
    let schedules = setup.schedules().unwrap();
    let nightly = &schedules[0];
    assert_eq!((schedules.len(), nightly.name.as_str(), nightly.workflow.as_str()), (1, "nightly", "tidy"));
    assert_eq!((nightly.cron.expression(), nightly.cron.zone()), ("0 3 * * *", "Europe/Berlin"));
    assert_eq!((nightly.missed, nightly.overlap, nightly.enabled), (Missed::RunOnce, Overlap::Skip, true));
    assert_eq!(json!(nightly.input), json!({"who": "Ada", "n": 3, "deep": {"a": [1]}}));
    assert!(nightly.places.workflow.ends_with("home/config.yaml:4"), "{:?}", nightly.places);
    assert!(nightly.places.input.ends_with("project/.victor/config.yaml:1"), "{:?}", nightly.places);
    assert_eq!(setup.settings.value("schedules.nightly.input.n").unwrap(), json!(3));
    let (_folder, options) = world(NIGHTLY, "", &[]);
    assert_eq!(Setup::load(options).unwrap().schedules().unwrap()[0].cron.zone(), "UTC");
}

#[test]
fn mistakes_name_file_line_and_what_would_be_right() {
    for (text, says) in [
        ("{cron: \"61 * * * *\", workflow: a}", ":2: schedules.x.cron: `61 * * * *`: `61` is no minute; it is 0-59"),
        ("{cron: \"0 0 30 2 *\", workflow: a}", ":2: schedules.x.cron: `0 0 30 2 *` never comes"),
        ("{cron: \"@daily\", timezone: Europe/Berln, workflow: a}", "schedules.x.timezone: there is no time zone"),
        ("{cron: \"@daily\"}", ":2: schedules.x has no `workflow`"),
        ("{workflow: a}", ":2: schedules.x has no `cron`"),
        ("{crn: \"@daily\", workflow: a}", "unknown key `crn`; did you mean `cron`?"),
        ("{cron: \"@daily\", workflow: a, missed: run}", "one of `skip`, `run_once` is"),
        ("{cron: \"@daily\", workflow: a, workspace: here}", "schedules.x.workspace: `here` is no folder"),
    ] {
        let (_folder, options) = world(&format!("schedules:\n  x: {text}\n"), "", &[]);
        let said = Setup::load(options).unwrap_err().message;
        assert!(said.contains("home/config.yaml") && said.contains(says), "{text}: {said}");
    }
    let (_folder, options) = world("schedules:\n  \"a b\": {cron: \"@daily\", workflow: a}\n", "", &[]);
    assert!(Setup::load(options).unwrap_err().message.contains(":2: schedules.a b: `a b` is no name of a schedule"));
    let (_folder, options) = world(&NIGHTLY.replace("tidy", "\"${UNSET}\""), "", &[]);
    let said = Setup::load(options).unwrap().schedules().unwrap_err().message;
    assert!(said.contains("schedules.nightly.workflow") && said.contains("UNSET is not set"), "{said}");
}

#[test]
fn a_schedule_can_be_of_one_folder() {
    for (folder, is_here) in [("~/project", true), ("~/home", false), ("/nonexistent", false)] {
        let (_folder, options) = world(&format!("{NIGHTLY}    workspace: {folder}\n"), "", &[]);
        let schedules = Setup::load(options).unwrap().schedules().unwrap();
        assert_eq!(schedules.len(), usize::from(is_here), "{folder}");
    }
}

#[tokio::test]
async fn a_workflow_that_is_not_there_and_a_wrong_input_are_told_with_their_places() {
    let text = format!("{NIGHTLY}  review: {{cron: \"@daily\", workflow: code_review, input: {{fiel: x}}}}\n");
    let (_folder, options) = world(&text, "", &[]);
    let setup = Setup::load(options).unwrap();
    let runtime = setup.runtime().unwrap();
    let problems = setup.scheduler(&runtime).unwrap().problems();
    assert_eq!(problems.len(), 2, "{problems:?}");
    assert!(problems[0].contains("config.yaml:4: schedules.nightly.workflow: ") && problems[0].contains("`tidy`"));
    assert!(problems[1].contains("config.yaml:5: schedules.review.input: "), "{problems:?}");
    let states = setup.scheduler(&runtime).unwrap().list(5).await.unwrap();
    assert!(states.iter().all(|s| s.next.len() == 5 && s.last.is_empty() && s.problem.is_some()), "{states:?}");
}

#[tokio::test]
async fn no_schedule_runs_a_workflow_of_a_folder_that_is_not_trusted() {
    let text = format!("{NIGHTLY}    input: {{key: \"${{SECRET}}\"}}\n");
    let (folder, trusted) = world(&text, "", &[("SECRET", "s3cret")]);
    let put = |place: &str, nodes: &str| {
        let path = folder.path().join(place);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, format!("workflows: {{{nodes}}}")).unwrap();
    };
    let scheduler = |options: &Options| {
        let setup = Setup::load(options.clone()).unwrap();
        setup.scheduler(&setup.runtime().unwrap()).unwrap()
    };
    let untrusted = Options { trust: Trust::Saved, ..trusted.clone() };
    put("project/.victor/workflows/tidy.yaml", "tidy: {nodes: [{id: a, type: passthrough}]}");
    let told = scheduler(&untrusted).problems();
    assert_eq!(told.len(), 1, "{told:?}");
    for says in
        ["config.yaml:4: schedules.nightly.workflow: ", ".victor/workflows/tidy.yaml", "workspace trust", "--trust"]
    {
        assert!(told[0].contains(says), "`{says}` is not in: {told:?}");
    }
    assert!(scheduler(&trusted).problems().is_empty());
    // One of the user's own is run, and neither what takes its name nor what takes the name of one that it includes.
    put("home/workflows/tidy.yaml", "tidy: {nodes: [{id: mine, type: workflow, workflow: part}]}");
    let told = scheduler(&untrusted).problems();
    assert!(told[0].contains("part"), "its own part is missing: {told:?}");
    put("home/workflows/part.yaml", "part: {nodes: [{id: b, type: passthrough}]}");
    put("project/.victor/workflows/part.yaml", "part: {nodes: [{id: a, type: passthrough}]}");
    assert!(scheduler(&untrusted).problems().is_empty());
    let setup = Setup::load(untrusted.clone()).unwrap();
    let registry = victor::Workflows::of(&setup.runtime().unwrap()).registry().clone();
    let nodes =
        |found: victor::workflow::Registered| found.workflow.nodes().map(|n| n.name.to_owned()).collect::<Vec<_>>();
    assert_eq!(nodes(registry.get_trusted("tidy").unwrap()), ["mine"]);
    assert_eq!(nodes(registry.get("tidy").unwrap()), ["a"]);
}
