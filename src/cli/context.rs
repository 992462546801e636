//! What every command is told beside its own arguments.

use super::Failure;
use super::progress::Bars;
use crate::engine::EngineError;
use crate::engine::native::{Files, open_files};
use crate::engine::pipeline::Opened;
use crate::recipe::Recipe;
use std::io::Write as _;
use std::path::Path;

/// What every command is told beside its own arguments.
pub struct Context {
    pub jobs: usize,
    pub json: bool,
    pub bars: Bars,
}

impl Context {
    /// Opens and sketches a weight file with progress bars.
    pub fn open(
        &self,
        file: &Path,
        importance: Option<&Path>,
        recipe: &Recipe,
    ) -> Result<Opened<Files>, EngineError> {
        let show = |what, done, total| self.bars.show(what, done, total);
        let opened = Opened::open(file, importance, recipe, self.jobs, &show);
        self.bars.clear();
        opened
    }

    /// Hears of bytes as they are done, of so many in all.
    pub fn tell(&self, what: &'static str, total: u64) -> impl FnMut(u64) {
        let mut done = 0;
        move |bytes| {
            done += bytes;
            self.bars.show(what, done, total);
        }
    }

    /// Hears of progress in samples.
    pub fn count(&self) -> impl Fn(&'static str, u64, u64) {
        |what, done, total| self.bars.count(what, done, total)
    }

    /// Prints a result.
    pub fn say(&self, text: &str, json: &serde_json::Value) -> Result<(), Failure> {
        let mut out = std::io::stdout().lock();
        let written = if self.json { writeln!(out, "{json:#}") } else { writeln!(out, "{text}") };
        // Whoever closed the pipe has read enough.
        match written {
            Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
            _ => Ok(()),
        }
    }
}

/// Opens a file, with those that hold its data.
pub fn open_source(path: &Path) -> Result<Files, Failure> {
    Ok(open_files(path)?)
}
