//! `victor workflow schedules`: what `victor serve` starts by itself, and when.

use crate::app::App;
use crate::args::Format;
use crate::exit::{Exit, Failure};
use crate::terminal::note;

pub(super) async fn list(_app: &App, _format: Format) -> Result<Exit, Failure> {
    note("no schedules");
    Ok(Exit::Done)
}
