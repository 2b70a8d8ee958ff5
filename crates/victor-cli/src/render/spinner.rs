//! The line that shows that something is going on, on a terminal only.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::wrap::cut;
use crate::terminal::{Terminal, harmless_line};

/// Columns beside the message: spinner, time, and the `^C` that a terminal shows at the end of the line.
const ROOM: usize = 12;

/// A spinner on stderr; nothing where stderr is no terminal.
pub(crate) struct Spinner {
    bar: Option<ProgressBar>,
    shown: bool,
}

impl Spinner {
    /// A spinner that is not shown yet. With `on` false it never is.
    pub(crate) fn new(on: bool) -> Self {
        Self { bar: on.then(|| ProgressBar::with_draw_target(None, ProgressDrawTarget::hidden())), shown: false }
    }

    /// Shows what is going on.
    pub(crate) fn show(&mut self, what: &str) {
        if self.bar.is_none() {
            return;
        }
        if !self.shown {
            let bar = ProgressBar::new_spinner();
            if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {elapsed}") {
                bar.set_style(style);
            }
            bar.enable_steady_tick(Duration::from_millis(100));
            self.bar = Some(bar);
            self.shown = true;
        }
        if let Some(bar) = &self.bar {
            bar.set_message(cut(&harmless_line(what), Terminal::width().saturating_sub(ROOM).max(1)));
        }
    }

    /// Takes it away, before something else is written.
    pub(crate) fn hide(&mut self) {
        if let Some(bar) = self.bar.as_ref().filter(|_| self.shown) {
            bar.finish_and_clear();
            self.shown = false;
        }
    }
}
