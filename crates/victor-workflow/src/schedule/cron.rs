//! Cron expressions in a time zone: which times they mean, and what is wrong with those that mean none.

use croner::Cron as Pattern;
use croner::parser::{CronParser, Year};
use jiff::tz::TimeZone;
use victor_core::error::{ConfigurationError, nearest};
use victor_core::id::Timestamp;

use super::zoned::Point;

/// Bytes of an expression at most.
const LONGEST: usize = 200;
/// The fields with seconds, each with what may stand in it.
const FIELDS: [(&str, &str); 6] = [
    ("second", "0-59"),
    ("minute", "0-59"),
    ("hour", "0-23"),
    ("day of the month", "1-31, or `L` for the last"),
    ("month", "1-12 or JAN-DEC"),
    ("day of the week", "0-7 or SUN-SAT, both 0 and 7 are Sunday"),
];
const NICKNAMES: [&str; 6] = ["@hourly", "@daily", "@weekly", "@monthly", "@yearly", "@annually"];

/// A cron expression in a time zone: minute, hour, day of the month, month, day of the week, and seconds in front where
/// there are six fields. Where clocks are set forward, a time of day that is skipped counts as the first moment
/// afterwards; where they are set back, a time of day counts once, and what repeats within an hour goes on repeating.
#[derive(Clone, Debug)]
pub struct Cron {
    expression: String,
    pattern: Pattern,
    zone: TimeZone,
    zone_name: String,
}

impl Cron {
    /// Reads an expression.
    ///
    /// # Errors
    /// It is none, or means no time at all.
    pub fn parse(expression: &str, zone: &str) -> Result<Self, ConfigurationError> {
        let zone_name = zone.trim().to_owned();
        let expression = expression.split_whitespace().collect::<Vec<_>>().join(" ");
        let pattern = pattern(&expression).map_err(ConfigurationError::new)?;
        let cron = Self { zone: time_zone(&zone_name)?, pattern, zone_name, expression };
        if cron.after(Timestamp::default()).is_none() {
            let text = format!("`{}` never comes: there is no such day", cron.expression);
            return Err(ConfigurationError::new(text));
        }
        Ok(cron)
    }

    /// The expression.
    #[must_use]
    pub fn expression(&self) -> &str {
        &self.expression
    }

    /// The time zone's IANA name.
    #[must_use]
    pub fn zone(&self) -> &str {
        &self.zone_name
    }

    /// The first time after `at`; `None` if there is none.
    #[must_use]
    pub fn after(&self, at: Timestamp) -> Option<Timestamp> {
        let found = self.pattern.find_next_occurrence(&self.point(at)?, false).ok()?;
        timestamp(&found)
    }

    /// The last time that is `at` or earlier; `None` if there is none.
    #[must_use]
    pub fn until(&self, at: Timestamp) -> Option<Timestamp> {
        let found = self.pattern.find_previous_occurrence(&self.point(at)?, true).ok()?;
        timestamp(&found)
    }

    /// The times after `at`, in order.
    pub fn times(&self, at: Timestamp) -> impl Iterator<Item = Timestamp> {
        std::iter::successors(self.after(at), |at| self.after(*at))
    }

    /// A time with its offset, as people in the time zone read it.
    #[must_use]
    pub fn local(&self, at: Timestamp) -> String {
        self.point(at).map_or_else(|| at.to_string(), |point| point.0.strftime("%Y-%m-%d %H:%M:%S%:z").to_string())
    }

    /// A time without its fraction: the library counts whole seconds.
    fn point(&self, at: Timestamp) -> Option<Point> {
        let seconds = at.as_micros().div_euclid(1_000_000);
        Some(Point(jiff::Timestamp::from_second(seconds).ok()?.to_zoned_datetime(self.zone.clone())))
    }
}

impl PartialEq for Cron {
    fn eq(&self, other: &Self) -> bool {
        (&self.expression, &self.zone_name) == (&other.expression, &other.zone_name)
    }
}

/// Checks a time zone's name.
///
/// # Errors
/// There is none of this name; names the nearest.
pub fn time_zone(name: &str) -> Result<TimeZone, ConfigurationError> {
    if name.eq_ignore_ascii_case("utc") {
        return Ok(TimeZone::UTC);
    }
    let known = jiff::tz::db();
    known.get(name).map_err(|_| {
        let all: Vec<String> = known.available().map(|zone| zone.to_string()).collect();
        let near = match nearest(name, all.iter().map(String::as_str)) {
            near if near.is_empty() => "write it as `Europe/Berlin` or `UTC`".to_owned(),
            near => format!("did you mean {}?", near.join(" or ")),
        };
        ConfigurationError::new(format!("there is no time zone `{name}`; {near}"))
    })
}

fn pattern(expression: &str) -> Result<Pattern, String> {
    if expression.len() > LONGEST {
        return Err(format!(
            "a cron expression is {LONGEST} characters long at most, and this one {}",
            expression.len()
        ));
    }
    if expression.starts_with('@') {
        let known = NICKNAMES.iter().any(|n| n.eq_ignore_ascii_case(expression));
        return if known { parse(expression) } else { Err(no_nickname(expression)) };
    }
    let fields: Vec<&str> = expression.split(' ').filter(|f| !f.is_empty()).collect();
    if !(5..=6).contains(&fields.len()) {
        return Err(format!(
            "`{expression}` has {} fields; a cron expression has 5 (minute, hour, day of the month, month, day of the \
             week), or 6 with the second in front",
            fields.len()
        ));
    }
    parse(expression).map_err(|other| {
        let names = &FIELDS[6 - fields.len()..];
        let wrong = fields.iter().zip(names).enumerate().find(|(i, (field, _))| {
            let alone: Vec<&str> = (0..fields.len()).map(|n| if n == *i { **field } else { "*" }).collect();
            parse(&alone.join(" ")).is_err()
        });
        match wrong {
            Some((_, (field, (name, range)))) => {
                format!("`{expression}`: `{field}` is no {name}; it is {range}, with `*`, `,`, `-` and `*/n`")
            }
            None => format!("`{expression}` is no cron expression: {other}"),
        }
    })
}

fn parse(expression: &str) -> Result<Pattern, String> {
    CronParser::builder().year(Year::Disallowed).build().parse(expression).map_err(|e| e.to_string())
}

fn no_nickname(name: &str) -> String {
    match nearest(&name.to_lowercase(), NICKNAMES) {
        near if near.is_empty() => format!("there is no `{name}`; there are {}", NICKNAMES.join(", ")),
        near => format!("there is no `{name}`; did you mean {}?", near.join(" or ")),
    }
}

fn timestamp(point: &Point) -> Option<Timestamp> {
    Some(Timestamp::from_micros(point.0.timestamp().as_second().checked_mul(1_000_000)?))
}

#[cfg(test)]
mod tests;
