//! How far fetching a model is: a bar on a terminal, plain lines elsewhere.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use victor::local::{Progress, Step, Work, size};

use crate::terminal::{Terminal, harmless_line, note};

/// Checks of files that are shorter take no time worth telling, in bytes.
const SHORT: u64 = 300_000_000;

/// Shows the steps on stderr.
pub(crate) struct Fetching {
    terminal: bool,
    shown: Mutex<Shown>,
}

#[derive(Default)]
struct Shown {
    bar: Option<ProgressBar>,
    total: u64,
    /// Quarters of the work that were told in plain lines.
    quarters: u64,
    /// Whether the work is worth telling.
    told: bool,
}

impl Fetching {
    /// Nothing is shown yet.
    pub(crate) fn new(terminal: &Terminal) -> Self {
        Self { terminal: terminal.stderr, shown: Mutex::default() }
    }

    /// Takes the bar away, before something else is written.
    pub(crate) fn end(&self) {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bar) = shown.bar.take() {
            bar.finish_and_clear();
        }
    }

    fn begin(&self, work: Work, from: &str, done: u64, total: u64) {
        self.end();
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        *shown = Shown { total, told: work != Work::Check || total >= SHORT, ..Shown::default() };
        if !shown.told {
            return;
        }
        let resumed = if done > 0 { format!(", {} of it are here already", size(done)) } else { String::new() };
        let what = match work {
            Work::Download if total > 0 => format!("fetching {} from {from}{resumed}", size(total)),
            Work::Download => format!("fetching {from}{resumed}"),
            Work::Unpack => format!("unpacking {from}"),
            Work::Check => format!("checking {from}"),
            Work::Convert => format!("converting {from} to a form that runs faster, once"),
        };
        note(harmless_line(&what));
        if self.terminal {
            shown.bar = Some(bar(work, done, total));
        } else {
            shown.quarters = (done * 4).checked_div(total).unwrap_or_default();
        }
    }

    fn at(&self, at: u64) {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bar) = &shown.bar {
            // A program may keep more for a moment than what it fetches.
            bar.set_position(if shown.total > 0 { at.min(shown.total) } else { at });
            return;
        }
        let quarters = (at * 4).checked_div(shown.total).unwrap_or_default();
        if shown.told && !self.terminal && quarters > shown.quarters && quarters < 4 {
            note(format!("{} % ({})", quarters * 25, size(at)));
            shown.quarters = quarters;
        }
    }

    fn line(&self, text: &str) {
        self.end();
        note(harmless_line(text));
    }
}

impl Progress for Fetching {
    fn tell(&self, step: Step) {
        match step {
            Step::Begin { work, from, done, total } => self.begin(work, &from, done, total),
            Step::At(at) => self.at(at),
            Step::Waiting { holder } => self.line(&format!("waiting for {holder}, which fetches the same model")),
            Step::Again { why } => self.line(&format!("{why}; trying again")),
            Step::Failed { source, why } => self.line(&format!("not from {source}: {why}")),
            _ => {}
        }
    }
}

fn bar(work: Work, done: u64, total: u64) -> ProgressBar {
    let template = match work {
        // How long that takes is known only when it has been done.
        Work::Convert => "{spinner} {elapsed}",
        _ if total == 0 => "{spinner} {bytes} {bytes_per_sec}",
        _ => "[{bar:24}] {bytes}/{total_bytes} {bytes_per_sec} {eta}",
    };
    let bar = ProgressBar::new(total).with_position(done);
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.progress_chars("=> "));
    }
    bar.reset_eta();
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}
