//! A spinner for work of which nobody knows how far it is: on standard error, and only where that is a
//! terminal, so results are never mixed in.

use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

const TICK: Duration = Duration::from_millis(100);

/// Work of which nobody knows how far it is, with the time that it takes so far.
pub(super) struct Spinner(ProgressBar);

impl Spinner {
    pub fn new(message: impl Into<String>) -> Self {
        let style = ProgressStyle::with_template("{spinner} {msg} ({elapsed})");
        let bar = ProgressBar::new_spinner().with_style(style.expect("a constant template"));
        bar.set_message(message.into());
        bar.enable_steady_tick(TICK);
        Spinner(bar)
    }

    pub fn set(&self, message: &'static str) {
        self.0.set_message(message);
    }
}

impl Drop for Spinner {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}
