//! Work of which only the newest wish counts.

use std::cell::Cell;

/// Work that takes a while and is wanted again meanwhile: it is done once more at its end, however often it was wanted.
#[derive(Debug, Default)]
pub struct Latest {
    is_wanted: Cell<bool>,
    is_running: Cell<bool>,
}

impl Latest {
    /// Wants the work; whether it is to be started, since it is not under way.
    pub fn want(&self) -> bool {
        self.is_wanted.set(true);
        !self.is_running.replace(true)
    }

    /// Whether the work is to be done once more; it has ended otherwise.
    pub fn next(&self) -> bool {
        let is_wanted = self.is_wanted.replace(false);
        self.is_running.set(is_wanted);
        is_wanted
    }

    /// Whether it was wanted again since it was begun.
    pub fn is_wanted(&self) -> bool {
        self.is_wanted.get()
    }
}
