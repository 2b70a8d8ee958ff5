//! Mistakes of configuration files: all at once, each with its place.

use super::World;

#[test]
fn all_mistakes_of_the_files_are_told_at_once_each_with_its_place() {
    let user = "\
provder: anthropic
mode: biuld
server:
  port: high
  cors: {enabeld: true, origins: [a], enabled: maybe}
profiles:
  a: {temperature: warm}
  b: {temprature: 1}
providers: {}
limits: [1]
schedules:
  x: {cron: \"@daily\", workflow: a, missed: run}
log:
  level: info
";
    let project = "permissions:\n  deny: no\n  denny: []\n";
    let said = World::new().user(user).project(project).error();
    let lines: Vec<&str> = said.lines().collect();
    let expected = [
        ("home/config.yaml:1:1: ", "unknown key `provder`; did you mean `provider`"),
        ("home/config.yaml:2:7: mode: ", "`biuld` is not allowed here"),
        ("home/config.yaml:4:9: server.port: ", "a whole number from 0 to 65535 is expected"),
        ("home/config.yaml:5:10: ", "unknown key `enabeld`; did you mean `enabled`"),
        ("home/config.yaml:5:48: server.cors.enabled: ", "`true` or `false` is expected"),
        ("home/config.yaml:7:20: profiles.a.temperature: ", "a number is expected"),
        ("home/config.yaml:8:7: ", "unknown key `temprature`; did you mean `temperature`"),
        ("home/config.yaml:10:9: limits: ", "a mapping is expected"),
        ("home/config.yaml:12:44: schedules.x.missed: ", "`run` is not allowed here; one of `skip`, `run_once` is"),
        ("project/.victor/config.yaml:2:9: permissions.deny: ", "a list is expected"),
        ("project/.victor/config.yaml:3:3: ", "unknown key `denny`; did you mean `deny`"),
    ];
    for (line, (place, what)) in lines.iter().zip(expected) {
        assert!(line.contains(place) && line.contains(what), "`{place}` `{what}` is not in: {line}\n{said}");
    }
    assert_eq!(lines.len(), expected.len(), "{said}");
}

#[test]
fn values_that_make_no_sense_and_rules_are_told_all_at_once() {
    let user = "limits: {max_cost: -1}\nprofiles: {a: {temperature: 3}}\nschedules:\n  x: {cron: \"61 * * * *\", timezone: Nowhere, workflow: a}\n";
    let said = World::new().user(user).error();
    for says in [
        ":1: `limits.max_cost`",
        ":2: the temperature of profile `a`",
        ":4: schedules.x.timezone",
        ":4: schedules.x.cron",
    ] {
        assert!(said.contains(says), "`{says}` is not in: {said}");
    }
    let said = World::new().user("permissions:\n  deny: [\"read(\"]\n  allow: [\"bash)\", \"ls\"]\n").error();
    assert!(said.lines().count() == 2 && said.contains("config.yaml:2") && said.contains("config.yaml:3"), "{said}");
}

#[test]
fn what_cannot_be_read_hides_no_value_that_makes_no_sense_and_is_not_missed() {
    let user = "mode: biuld\nlimits: {max_cost: -1}\nproviders:\n  \
                gw: {models: [{id: m, price: {input: x, output: 2}}]}\nschedules:\n  \
                x: {cron: \"61 * * * *\", workflow: a}\n";
    let said = World::new().user(user).error();
    for says in [":1:7: mode: ", ".price.input: a number is", ":2: `limits.max_cost`", ":6: schedules.x.cron"] {
        assert!(said.contains(says), "`{says}` is not in: {said}");
    }
    assert_eq!(said.lines().count(), 4, "{said}");
    let user = "permissions: {deny: [\"read(\"]}\nschedules: {x: {cron: \"@daily\"}}\n";
    let said = World::new().user(user).error();
    assert!(said.contains("`read(`") && said.contains("schedules.x has no `workflow`"), "{said}");
}

#[test]
fn a_mistake_that_others_may_hang_on_is_told_alone() {
    for text in ["provder: &a x\nmode: *a\nlimits: 3\n", "provder: x\nmode: [\n", "mode: {a: 1, b: 2}\n"] {
        let said = World::new().user(text).error();
        assert_eq!(said.lines().count(), 1, "{said}");
    }
}
