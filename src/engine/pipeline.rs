//! The whole job natively: open, sketch, compress, verify, on threads. The page does the same steps with its workers.

use super::native::{FileSource, run};
use super::report::{Outcome, Verification};
use super::{Assembler, EngineError, Importance, Input, Plan, Session, Task};
use crate::container::Reader;
use crate::formats::{self, Limits, Source};
use crate::recipe::{ImportanceKind, Recipe};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

/// Hears of progress: what is being done, bytes done, bytes in all.
pub type Progress<'a> = &'a (dyn Fn(&'static str, u64, u64) + Sync);

/// A weight file that is open and sketched.
pub struct Opened {
    source: FileSource,
    importance: Option<FileSource>,
    name: String,
    jobs: usize,
    /// The sketch and what follows from it.
    pub session: Session,
}

impl std::fmt::Debug for Opened {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Opened").field("name", &self.name).field("jobs", &self.jobs).finish_non_exhaustive()
    }
}

/// Runs tasks on threads, telling progress in bytes.
fn map<F>(what: &'static str, tasks: &[Task], jobs: usize, progress: Progress, work: F) -> Result<Vec<Vec<u8>>, EngineError>
where
    F: Fn(&Task) -> Result<Vec<u8>, EngineError> + Sync,
{
    let total: u64 = tasks.iter().map(|task| task.bytes).sum();
    let done = AtomicU64::new(0);
    progress(what, 0, total);
    run(tasks, jobs, &|bytes| progress(what, done.fetch_add(bytes, Ordering::Relaxed) + bytes, total), work)
}

fn input<'a>(source: &'a FileSource, importance: Option<&'a FileSource>, session: &'a Session) -> Input<'a> {
    let importance = importance.zip(session.importance());
    Input { source, model: session.model(), importance: importance.map(|(s, i)| (s as &dyn Source, i)) }
}

fn open_source(path: &Path) -> Result<FileSource, EngineError> {
    FileSource::open(path).map_err(|source| {
        let part = path.display().to_string();
        EngineError::Format(formats::FormatError::Io { part, offset: 0, source })
    })
}

impl Opened {
    /// Opens and sketches a weight file, with an importance file where the recipe asks for one.
    pub fn open(
        path: &Path,
        importance: Option<&Path>,
        recipe: &Recipe,
        jobs: usize,
        progress: Progress,
    ) -> Result<Self, EngineError> {
        let source = open_source(path)?;
        let model = formats::open(&source, &Limits::default())?;
        let wanted = recipe.importance.kind != ImportanceKind::None;
        let loaded = match importance.filter(|_| wanted) {
            None => None,
            Some(path) => {
                let other_source = open_source(path)?;
                let other = formats::open(&other_source, &Limits::default())?;
                let mut loaded = Importance::new(recipe.importance.kind, &recipe.importance, &model, &other)?;
                let surveyed = map("reading importance", &loaded.survey_tasks(), jobs, progress, |task| {
                    loaded.survey(&other_source, task)
                })?;
                loaded.absorb(&surveyed)?;
                Some((other_source, loaded))
            }
        };
        let (importance, loaded) = loaded.unzip();
        let mut session = Session::new(model, loaded);
        let stride = session.sample_stride();
        let sketches = map("sketching", session.tasks(), jobs, progress, |task| {
            super::sketch(input(&source, importance.as_ref(), &session), task, stride)
        })?;
        for (index, sketch) in sketches.iter().enumerate() {
            session.absorb(index, sketch)?;
        }
        session.finish();
        let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        Ok(Self { source, importance, name, jobs, session })
    }

    fn input(&self) -> Input<'_> {
        input(&self.source, self.importance.as_ref(), &self.session)
    }

    /// Compresses the file by a recipe: the container's bytes, what was measured, and the plan.
    pub fn compress(&mut self, recipe: &Recipe, progress: Progress) -> Result<(Vec<u8>, Outcome, Plan), EngineError> {
        let mut plan = self.session.plan(recipe)?;
        while !plan.is_ready() {
            let prepare = |task: &Task| super::prepare(self.input(), &plan, task);
            let parts = map("solving", plan.tasks(), self.jobs, progress, prepare)?;
            plan.absorb(self.session.model(), &parts)?;
        }
        let parts = map("compressing", plan.tasks(), self.jobs, progress, |task| {
            super::encode(self.input(), &plan, task)
        })?;
        let mut assembler = Assembler::new(&self.session, &plan, &self.name, self.source.len())?;
        for part in &parts {
            assembler.absorb(part)?;
        }
        let (bytes, outcome) = assembler.finish()?;
        Ok((bytes, outcome, plan))
    }

    /// Decodes a compressed file and compares it, bit by bit, with the plan's quantizer applied to the source.
    pub fn verify(&self, plan: &Plan, file: &(dyn Source + Sync), progress: Progress) -> Result<Verification, EngineError> {
        let reader = Reader::open(file, &crate::container::Limits::default())?;
        let parts = map("verifying", plan.tasks(), self.jobs, progress, |task| {
            super::verify(self.input(), plan, file, &reader, task)
        })?;
        super::collect_verification(&parts)
    }
}
