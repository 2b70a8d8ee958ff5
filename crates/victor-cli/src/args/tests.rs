use clap::{CommandFactory, Parser};

use super::*;

fn parse(line: &str) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(line.split(' '))
}

#[test]
fn the_command_line_is_sound() {
    Cli::command().debug_assert();
}

#[test]
fn singular_and_plural_names_both_work() {
    for name in ["workflows", "sessions", "providers", "models", "tools", "profiles", "keys"] {
        for name in [name, name.strip_suffix('s').unwrap()] {
            assert!(parse(&format!("victor {name} list --json")).is_ok(), "{name}");
        }
    }
}

#[test]
fn flags_before_and_after_the_command_both_count() {
    let cli = parse("victor --provider a --allow x --max-turns 3 run t --provider b --allow y").unwrap();
    let Some(Command::Run(run)) = cli.command else { panic!("no run") };
    let flags = run.agent.over(cli.agent);
    assert_eq!(flags.choice.provider.as_deref(), Some("b"));
    assert_eq!((flags.max_turns, flags.call.allow), (Some(3), vec!["x".to_owned(), "y".to_owned()]));
}

#[test]
fn values_out_of_range_are_usage_errors() {
    for line in [
        "victor run t --temperature 3",
        "victor run t --mode fast",
        "victor run t --max-turns 0",
        "victor sessions list --limit 0",
        "victor sessions search t --limit 0",
        "victor workflow list --runs --limit 0",
        "victor run t --max-cost free",
        "victor run t --sandbox none",
        "victor chat --continue --session x",
        "victor serve --workers 0",
        "victor serve --port 70000",
        "victor serve --ssl-key key.pem",
        "victor tokens create x --scope everything",
    ] {
        let error = parse(line).err().unwrap_or_else(|| panic!("{line} was accepted"));
        assert_eq!(error.exit_code(), 2, "{line}");
    }
}
