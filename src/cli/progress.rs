//! Progress bars on standard error.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::sync::Mutex;

/// One bar at a time: a new stage starts a new bar.
pub struct Bars {
    quiet: bool,
    current: Mutex<Option<(&'static str, ProgressBar)>>,
}

impl Bars {
    pub fn new(quiet: bool) -> Self {
        Self { quiet, current: Mutex::new(None) }
    }

    /// Shows that `done` of `total` bytes of stage `what` are done.
    pub fn show(&self, what: &'static str, done: u64, total: u64) {
        self.draw(what, done, total, "{msg:>18} {bar:30} {bytes}/{total_bytes} {bytes_per_sec} {eta} left");
    }

    /// The same for samples or steps, counted; none is left once all are done.
    pub fn count(&self, what: &'static str, done: u64, total: u64) {
        self.draw(what, done, total, "{msg:>18} {bar:30} {pos}/{len} {eta} left");
        if done == total {
            self.clear();
        }
    }

    fn draw(&self, what: &'static str, done: u64, total: u64, template: &str) {
        if self.quiet {
            return;
        }
        let mut current = self.current.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if current.as_ref().is_none_or(|(stage, _)| *stage != what) {
            if let Some((_, bar)) = current.take() {
                bar.finish_and_clear();
            }
            let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr());
            let style = ProgressStyle::with_template(template);
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar.set_message(what);
            *current = Some((what, bar));
        }
        if let Some((_, bar)) = current.as_ref() {
            bar.set_position(done);
        }
    }

    /// Prints a line of its own above what follows.
    pub fn say(&self, line: &str) {
        self.clear();
        if !self.quiet {
            eprintln!("{line}");
        }
    }

    /// Removes the bar.
    pub fn clear(&self) {
        let mut current = self.current.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some((_, bar)) = current.take() {
            bar.finish_and_clear();
        }
    }
}
