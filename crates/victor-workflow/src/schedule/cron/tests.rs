//! Which times expressions mean, and what is said of those that mean none.
#![expect(clippy::unwrap_used, reason = "the whole file is tests")]

use proptest::prelude::*;
use victor_core::id::Timestamp;

use super::Cron;

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// The next times after `from`, in UTC, to the second.
fn next(expression: &str, zone: &str, from: &str, count: usize) -> Vec<String> {
    let cron = Cron::parse(expression, zone).unwrap();
    cron.times(at(from)).take(count).map(|t| t.to_string()[..19].to_owned()).collect()
}

fn wrong(expression: &str) -> String {
    Cron::parse(expression, "UTC").unwrap_err().message
}

#[test]
fn five_fields_are_minutes_and_six_are_seconds() {
    let from = "2026-03-01T11:59:30.5Z";
    assert_eq!(
        next("*/20 * * * *", "UTC", from, 3),
        ["2026-03-01T12:00:00", "2026-03-01T12:20:00", "2026-03-01T12:40:00"]
    );
    assert_eq!(next("* * * * * *", "UTC", from, 2), ["2026-03-01T11:59:31", "2026-03-01T11:59:32"]);
    assert_eq!(next("@daily", "UTC", from, 1), ["2026-03-02T00:00:00"]);
    assert_eq!(next("0 9 * * MON-FRI", "UTC", from, 1), ["2026-03-02T09:00:00"], "the first is a Sunday");
    assert_eq!(next("0 9 * * 7", "UTC", "2026-03-02T00:00:00Z", 1), ["2026-03-08T09:00:00"]);
    assert_eq!(next("0 0 L * *", "UTC", "2027-02-01T00:00:00Z", 2), ["2027-02-28T00:00:00", "2027-03-31T00:00:00"]);
}

#[test]
fn a_time_itself_is_not_after_it() {
    let cron = Cron::parse("0 12 * * *", "UTC").unwrap();
    let noon = at("2026-03-01T12:00:00Z");
    assert_eq!(cron.after(noon), Some(at("2026-03-02T12:00:00Z")));
    assert_eq!(
        (cron.until(noon), cron.until(at("2026-03-01T11:59:59Z"))),
        (Some(noon), Some(at("2026-02-28T12:00:00Z")))
    );
}

#[test]
fn a_leap_day_comes_also_where_a_century_has_none() {
    assert_eq!(next("0 0 29 2 *", "UTC", "2095-01-01T00:00:00Z", 2), ["2096-02-29T00:00:00", "2104-02-29T00:00:00"]);
}

#[test]
fn time_zones_have_their_own_midnight() {
    assert_eq!(next("0 0 * * *", "Asia/Kolkata", "2026-06-01T00:00:00Z", 1), ["2026-06-01T18:30:00"]);
    assert_eq!(next("0 0 * * *", "America/New_York", "2026-06-01T00:00:00Z", 1), ["2026-06-01T04:00:00"]);
    let cron = Cron::parse("0 0 * * *", "Europe/Berlin").unwrap();
    assert_eq!(cron.local(at("2026-06-01T22:00:00Z")), "2026-06-02 00:00:00+02:00");
}

#[test]
fn a_time_of_day_that_is_skipped_counts_as_the_first_moment_afterwards() {
    // 29 March 2026: 02:00 is followed by 03:00, which is 01:00 UTC.
    assert_eq!(
        next("30 2 * * *", "Europe/Berlin", "2026-03-28T00:00:00Z", 3),
        ["2026-03-28T01:30:00", "2026-03-29T01:00:00", "2026-03-30T00:30:00"]
    );
    // The hour before is not moved, and nothing comes twice.
    assert_eq!(
        next("0 1 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", 2),
        ["2026-03-29T00:00:00", "2026-03-29T23:00:00"]
    );
    assert_eq!(
        next("*/30 * * * *", "Europe/Berlin", "2026-03-29T00:15:00Z", 3),
        ["2026-03-29T00:30:00", "2026-03-29T01:00:00", "2026-03-29T01:30:00"],
        "what repeats has no gap in real time"
    );
}

#[test]
fn a_time_of_day_that_comes_twice_counts_once() {
    // 25 October 2026: 03:00 is followed by 02:00; half past two is 00:30 and 01:30 UTC.
    assert_eq!(
        next("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z", 2),
        ["2026-10-25T00:30:00", "2026-10-26T01:30:00"]
    );
    assert_eq!(
        next("*/30 * * * *", "Europe/Berlin", "2026-10-24T23:45:00Z", 5),
        [
            "2026-10-25T00:00:00",
            "2026-10-25T00:30:00",
            "2026-10-25T01:00:00",
            "2026-10-25T01:30:00",
            "2026-10-25T02:00:00"
        ],
        "what repeats goes on through both"
    );
    let cron = Cron::parse("30 2 * * *", "Europe/Berlin").unwrap();
    assert_eq!(cron.after(at("2026-10-25T00:45:00Z")), Some(at("2026-10-26T01:30:00Z")), "also from between them");
}

#[test]
fn mistakes_name_the_field() {
    for (expression, says) in [
        ("61 * * * *", "`61` is no minute; it is 0-59"),
        ("0 24 * * *", "`24` is no hour; it is 0-23"),
        ("0 0 0 * *", "`0` is no day of the month"),
        ("0 0 * FOO *", "`FOO` is no month; it is 1-12 or JAN-DEC"),
        ("0 0 * * 8", "`8` is no day of the week"),
        ("70 0 0 * * *", "`70` is no second"),
        ("*/0 * * * *", "`*/0` is no minute"),
        ("30-10 * * * *", "`30-10` is no minute"),
        ("* * * *", "has 4 fields; a cron expression has 5"),
        ("* * * * * * 2027", "has 7 fields"),
        ("", "has 0 fields"),
        ("@dayly", "did you mean `@daily`"),
        ("@reboot", "there is no `@reboot`"),
        ("0 0 30 2 *", "never comes: there is no such day"),
        ("0 0 31 4,6,9,11 *", "never comes"),
    ] {
        let said = wrong(expression);
        assert!(said.contains(says), "{expression}: {said}");
    }
    assert!(wrong(&"* ".repeat(200)).contains("200 characters"));
    let zone = Cron::parse("@daily", "Europe/Berln").unwrap_err().message;
    assert!(zone.contains("no time zone `Europe/Berln`; did you mean `Europe/Berlin`"), "{zone}");
    assert!(Cron::parse("@daily", "local").is_err() && Cron::parse("@daily", "").is_err());
}

proptest! {
    #[test]
    fn whatever_is_written_is_read_or_refused(text in "\\PC{0,60}") {
        let _ = Cron::parse(&text, "UTC");
    }

    #[test]
    fn whatever_may_be_an_expression_is_read_or_refused(text in "[0-9A-Za-z*/,#?LW@+ -]{0,40}") {
        let _ = Cron::parse(&text, "UTC");
    }

    /// The library against a count through every minute, across the changes of the clocks of two zones.
    #[test]
    fn repeating_expressions_mean_every_minute_that_fits(
        minute in 1_u32..30, day in 0_i64..400, zone in prop::sample::select(vec!["Europe/Berlin", "Australia/Lord_Howe"]),
    ) {
        let cron = Cron::parse(&format!("*/{minute} * * * *"), zone).unwrap();
        let from = at("2026-01-01T00:00:00Z").as_micros() + day * 86_400_000_000;
        let until = from + 86_400_000_000;
        let said: Vec<Timestamp> = cron.times(Timestamp::from_micros(from)).take_while(|t| t.as_micros() <= until).collect();
        let counted: Vec<Timestamp> = (1..=1440)
            .map(|n| Timestamp::from_micros(from + n * 60_000_000))
            .filter(|t| cron.local(*t)[14..16].parse::<u32>().unwrap().is_multiple_of(minute))
            .collect();
        prop_assert_eq!(said, counted);
    }
}
