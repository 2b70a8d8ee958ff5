//! The database's tables, brought up to date step by step.
//! `user_version` counts the steps that a file has seen; `application_id` says that it is ours.

use rusqlite::{Connection, TransactionBehavior};

use crate::fault::Fault;

/// `Vctr` in ASCII, in the header of every file of ours (SQLite file format, section 1.3.14).
const APPLICATION_ID: i64 = 0x5663_7472;

/// Each step brings a file of the version before it to the next.
const STEPS: [&str; 4] = [
    include_str!("../migrations/1.sql"),
    include_str!("../migrations/2.sql"),
    include_str!("../migrations/3.sql"),
    include_str!("../migrations/4.sql"),
];

/// What a file is, told without changing it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Nothing is in it yet.
    Empty,
    /// It is ours, of an older version.
    Old,
    /// It is ours and up to date.
    Current,
}

/// Looks what the file is.
///
/// # Errors
/// The file is another program's, or of a newer version of ours.
pub(crate) fn inspect(conn: &Connection) -> Result<State, Fault> {
    let number = |sql: &str| conn.query_row(sql, [], |row| row.get::<_, i64>(0));
    let version = number("PRAGMA user_version")?;
    if version == 0 && number("SELECT count(*) FROM sqlite_schema")? == 0 {
        return Ok(State::Empty);
    }
    if number("PRAGMA application_id")? != APPLICATION_ID {
        return Err(Fault::Foreign);
    }
    match usize::try_from(version) {
        Ok(v) if v < STEPS.len() => Ok(State::Old),
        Ok(v) if v == STEPS.len() => Ok(State::Current),
        _ => Err(Fault::Newer { found: version, known: STEPS.len() }),
    }
}

/// Brings the file up to date, all steps or none. Safe when several processes do it at once.
///
/// # Errors
/// As [`inspect`]; the file could not be written.
pub(crate) fn migrate(conn: &mut Connection) -> Result<(), Fault> {
    let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
    inspect(&tx)?;
    let done: usize = tx.query_row("PRAGMA user_version", [], |row| row.get(0))?;
    for step in STEPS.iter().skip(done) {
        tx.execute_batch(step)?;
    }
    tx.pragma_update(None, "application_id", APPLICATION_ID)?;
    tx.pragma_update(None, "user_version", STEPS.len())?;
    Ok(tx.commit()?)
}
