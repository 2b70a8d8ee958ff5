//! Workflows on a schedule, as users run them: a server follows, crashes, and the next makes up for what was missed.
#![allow(clippy::unwrap_used, clippy::panic, clippy::disallowed_methods)]

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};
use victor_tests::product::{Bench, told};
use victor_tests::served::Served;

const FLOWS: &str = r#"
workflows:
  tick:
    nodes:
      - {id: a, type: transform, transform: set, values: {done: true}}
  asks:
    nodes:
      - {id: a, type: tool, tool: bash, arguments: {command: "echo no > ran"}}
  slow:
    nodes:
      - {id: a, type: tool, tool: bash, arguments: {command: "sleep 5"}}
  strict:
    inputs: {who: {type: string, required: true}}
    nodes:
      - {id: a, type: transform, transform: set, values: {done: true}}
"#;

fn bench(schedules: &str) -> Bench {
    let bench = Bench::new();
    // The user's own: those of a folder would have to be trusted.
    std::fs::create_dir_all(bench.home().join("workflows")).unwrap();
    std::fs::write(bench.home().join("workflows/flows.yaml"), FLOWS).unwrap();
    std::fs::write(bench.home().join("config.yaml"), format!("schedules:\n{schedules}")).unwrap();
    bench
}

fn serve(bench: &Bench) -> Served {
    Served::start(bench.victor(&["serve", "--port", "0"]))
}

/// What `victor` prints as JSON with these arguments.
fn json_of(bench: &Bench, args: &[&str]) -> Value {
    let (out, err, code) = told(&bench.victor(args).output().unwrap());
    assert_eq!(code, 0, "{err}");
    serde_json::from_str(&out).unwrap()
}

/// The value, as soon as it is there.
fn eventually<T>(what: &str, look: impl Fn() -> Option<T>) -> T {
    for _ in 0..1200 {
        if let Some(found) = look() {
            return found;
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("{what} never came");
}

/// What came of the times of a schedule, latest first, and only those that a predicate fits.
fn came(list: &Value, name: &str, fits: impl Fn(&Value) -> bool) -> Vec<Value> {
    let all = list["schedules"].as_array().unwrap();
    let schedule = all.iter().find(|s| s["name"] == name).unwrap();
    schedule["last"].as_array().unwrap().iter().filter(|came| fits(came)).cloned().collect()
}

fn completed(came: &Value) -> bool {
    came["status"] == "started" && came["run_status"] == "completed"
}

fn makes_up(came: &Value) -> bool {
    came["reason"].as_str().is_some_and(|why| why.contains("makes up for it"))
}

#[test]
fn a_schedule_survives_a_crash_and_makes_up_for_what_was_missed_once() {
    let bench = bench("  tick: {cron: \"* * * * * *\", workflow: tick, missed: run_once}\n");
    let mut served = serve(&bench);
    assert!(served.announced.contains("1 schedule is followed; `tick` is due next"), "{}", served.announced);
    let ran = eventually("two runs", || {
        let ran = came(&served.get("/api/v1/schedules?last=100").json(), "tick", completed);
        (ran.len() >= 2).then_some(ran)
    });
    served.kill();

    let list = || json_of(&bench, &["workflow", "schedules", "--json", "--last", "100"]);
    let kept: BTreeSet<String> =
        came(&list(), "tick", completed).iter().map(|c| c["workflow_id"].to_string()).collect();
    assert!(ran.iter().all(|c| kept.contains(&c["workflow_id"].to_string())), "the history outlives the server");
    assert!(came(&list(), "tick", makes_up).is_empty());
    let last = list()["schedules"][0]["last"][0]["scheduled_at"].as_str().unwrap().to_owned();
    // Nobody runs, and the times go by.
    eventually("some seconds", || {
        let next = list()["schedules"][0]["next"][3].as_str().unwrap().to_owned();
        let from = |text: &str| text.parse::<victor_core::id::Timestamp>().unwrap();
        (from(&next).since(from(&last)) >= Duration::from_secs(7)).then_some(())
    });

    for _ in 0..2 {
        let mut served = serve(&bench);
        eventually("a run on time", || {
            let list = served.get("/api/v1/schedules?last=100").json();
            let made_up = came(&list, "tick", |c| makes_up(c) && c["run_status"] == "completed");
            let newest = came(&list, "tick", |c| c["status"] == "started").first().cloned()?;
            (!made_up.is_empty() && !makes_up(&newest)).then_some(())
        });
        served.kill();
    }
    let list = list();
    let made_up = came(&list, "tick", makes_up);
    // One for the first pause, and one for the second where that was long enough to miss a time.
    assert!((1..=2).contains(&made_up.len()), "{made_up:#?}");
    assert!(made_up.last().unwrap()["times"].as_u64().unwrap() >= 3, "{made_up:#?}");
    let started = came(&list, "tick", |c| c["status"] == "started");
    let ids: BTreeSet<String> = started.iter().map(|c| c["workflow_id"].to_string()).collect();
    assert_eq!(ids.len(), started.len(), "each has a run of its own");
    let runs = json_of(&bench, &["workflow", "list", "--runs", "--limit", "1000", "--json"]);
    let noted: BTreeSet<String> =
        came(&list, "tick", |c| c["status"] != "skipped").iter().map(|c| c["workflow_id"].to_string()).collect();
    let runs = runs["runs"].as_array().unwrap();
    let oldest = started.last().unwrap()["scheduled_at"].as_str().unwrap();
    for run in runs.iter().filter(|run| run["created_at"].as_str().unwrap() >= oldest) {
        assert!(noted.contains(&run["workflow_id"].to_string()), "no run without its time: {run}\n{list:#}");
    }
}

#[test]
fn nobody_is_asked_and_what_cannot_run_is_told() {
    let bench = bench(concat!(
        "  asks: {cron: \"* * * * * *\", workflow: asks}\n",
        "  lost: {cron: \"@yearly\", workflow: tik}\n",
        "  wrong: {cron: \"* * * * * *\", workflow: strict, input: {who: 3}}\n",
        "  off: {cron: \"* * * * * *\", workflow: tick, enabled: false}\n",
        "  strange: {cron: \"* * * * * *\", workflow: strange}\n",
    ));
    let strange = "workflows: {strange: {nodes: [{id: a, type: passthrough}]}}";
    bench.file(".victor/workflows/strange.yaml", strange);
    bench.file(".victor/config.yaml", "schedules: {theirs: {cron: \"* * * * * *\", workflow: tick}}\n");
    let served = serve(&bench);
    let said = &served.announced;
    assert!(said.contains("so ignored: `schedules` of .victor/config.yaml"), "{said}");
    assert!(
        said.contains("config.yaml:3: schedules.lost.workflow: ") && said.contains("did you mean `tick`"),
        "{said}"
    );
    assert!(said.contains("config.yaml:4: schedules.wrong.input: "), "{said}");
    let refused =
        said.contains("config.yaml:6: schedules.strange.workflow: ") && said.contains("victor workspace trust");
    assert!(refused, "{said}");
    let list = eventually("a denied run", || {
        let list = served.get("/api/v1/schedules?last=100").json();
        let denied = came(&list, "asks", |c| c["status"] == "started" && c["run_status"] == "failed");
        let refused = came(&list, "wrong", |c| c["status"] == "failed" && c["reason"].to_string().contains("who"));
        let strange =
            came(&list, "strange", |c| c["status"] == "failed" && c["reason"].to_string().contains("--trust"));
        (!denied.is_empty() && !refused.is_empty() && !strange.is_empty()).then_some(list)
    });
    assert!(!bench.work().join("ran").exists());
    let names: Vec<&str> = list["schedules"].as_array().unwrap().iter().map(|s| s["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["asks", "lost", "off", "strange", "wrong"]);
    assert!(came(&list, "off", |_| true).is_empty() && list["schedules"][2]["next"] == json!([]));
    assert!(list["schedules"][1]["problem"].as_str().unwrap().contains("did you mean"), "{list:#}");
    let (out, err, code) = told(&bench.victor(&["workflow", "schedules"]).output().unwrap());
    assert!(
        code == 0 && out.starts_with("SCHEDULE") && out.contains("@yearly (UTC)") && out.contains("off"),
        "{out}{err}"
    );
    assert!(err.contains("schedules.lost.workflow"), "{err}");
    let token = told(&bench.victor(&["tokens", "create", "t", "--scope", "chat,read"]).output().unwrap()).0;
    drop(served);
    let (served, key) = (serve(&bench), format!("Bearer {}", token.trim()));
    let denied = served.send("GET", "/api/v1/schedules", &[("authorization", &key)], "");
    assert_eq!(denied.status, 403, "{}", denied.body);
}

#[test]
fn a_scheduled_run_takes_a_place_of_the_servers() {
    let bench = bench(concat!(
        "  slow: {cron: \"* * * * * *\", workflow: slow}\n",
        "server: {max_runs: 1}\n",
        "permissions: {allow: [\"bash(sleep *)\"]}\n",
    ));
    let served = serve(&bench);
    let tick = || served.post("/api/v1/workflows/run", &json!({"workflow": "tick"}));
    let refused = eventually("a scheduled run", || Some(tick()).filter(|answer| answer.status != 200));
    assert_eq!((refused.status, &refused.json()["error_code"]), (503, &json!("OVERLOADED")));
    let is_one = |line: &str| line.starts_with("victor_runs_active") && line.ends_with(" 1");
    eventually("a run that is counted", || served.get("/metrics").body.lines().any(is_one).then_some(()));
    eventually("its end", || Some(tick()).filter(|answer| answer.status == 200));
}
