//! The whole job in one call: open, sketch, compress, verify; on threads natively, on the caller's own in wasm.
//!
//! The page does the same steps with its workers for files of any size.

use super::native::run;
#[cfg(not(target_arch = "wasm32"))]
use super::native::{Files, open_files};
use super::replaced::{Repaired, Replaced};
use super::report::{Outcome, Verification};
use super::restore::{Emitter, Restored};
use super::verify::split_off;
use super::{Assembler, EngineError, Importance, Input, Plan, Session, Task};
use crate::container::Reader;
use crate::formats::{self, Limits, Source};
use crate::model::Model;
use crate::recipe::Recipe;
use std::collections::BTreeMap;
use std::io::Write;
#[cfg(not(target_arch = "wasm32"))]
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

/// Hears of progress: what is being done, bytes done, bytes in all.
pub type Progress<'a> = &'a (dyn Fn(&'static str, u64, u64) + Sync);

/// A weight file that is open and sketched.
pub struct Opened<S> {
    source: S,
    importance: Option<S>,
    name: String,
    jobs: usize,
    /// The sketch and what follows from it.
    pub session: Session,
}

impl<S> std::fmt::Debug for Opened<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Opened").field("name", &self.name).field("jobs", &self.jobs).finish_non_exhaustive()
    }
}

/// How tasks are run: what it is called, on how many threads, and who hears of progress.
#[derive(Clone, Copy)]
struct Stage<'a> {
    what: &'static str,
    jobs: usize,
    progress: Progress<'a>,
}

impl Stage<'_> {
    /// Runs tasks on threads; `consume` takes what they give, in task order.
    fn each<F>(
        self,
        tasks: &[Task],
        work: F,
        consume: &mut dyn FnMut(usize, Vec<u8>) -> Result<(), EngineError>,
    ) -> Result<(), EngineError>
    where
        F: Fn(&Task) -> Result<Vec<u8>, EngineError> + Sync,
    {
        let Self { what, jobs, progress } = self;
        let total: u64 = tasks.iter().map(|task| task.bytes).sum();
        let done = AtomicU64::new(0);
        progress(what, 0, total);
        let tell = |bytes| progress(what, done.fetch_add(bytes, Ordering::Relaxed) + bytes, total);
        run(tasks, jobs, &tell, work, consume)
    }

    /// Runs tasks on threads and collects what they give, in task order; for results that are small.
    fn all<F>(self, tasks: &[Task], work: F) -> Result<Vec<Vec<u8>>, EngineError>
    where
        F: Fn(&Task) -> Result<Vec<u8>, EngineError> + Sync,
    {
        let mut results = Vec::with_capacity(tasks.len());
        self.each(tasks, work, &mut |_, result| {
            results.push(result);
            Ok(())
        })?;
        Ok(results)
    }
}

fn input<'a, S: Source>(
    source: &'a S,
    model: &'a Model,
    importance: Option<(&'a S, &'a Importance)>,
) -> Input<'a> {
    Input { source, model, importance: importance.map(|(s, i)| (s as &dyn Source, i)) }
}

#[cfg(not(target_arch = "wasm32"))]
impl Opened<Files> {
    /// Opens and sketches a weight file, with an importance file where the recipe asks for one.
    pub fn open(
        path: &Path,
        importance: Option<&Path>,
        recipe: &Recipe,
        jobs: usize,
        progress: Progress,
    ) -> Result<Self, EngineError> {
        let source = open_files(path)?;
        let importance = importance.map(open_files).transpose()?;
        // That of the file, also where its folder was named.
        let name = source.parts().first().map(|part| part.name.clone()).unwrap_or_default();
        Self::sketch((source, name), importance, recipe, jobs, progress)
    }
}

impl<S: Source + Sync> Opened<S> {
    /// Sketches a weight file and its name, with an importance file where the recipe asks for one.
    pub fn sketch(
        (source, name): (S, String),
        importance: Option<S>,
        recipe: &Recipe,
        jobs: usize,
        progress: Progress,
    ) -> Result<Self, EngineError> {
        let model = formats::open_part(&source, &Limits::default(), &recipe.select)?;
        let loaded = match (importance, recipe.importance.source) {
            (Some(other_source), Some(wanted)) => {
                let other = formats::open(&other_source, &Limits::default())?;
                let mut loaded = Importance::new(wanted, &recipe.importance, &model, &other)?;
                let stage = Stage { what: "reading importance", jobs, progress };
                let surveyed =
                    stage.all(&loaded.survey_tasks(), |task| super::survey(&other_source, &loaded, task))?;
                loaded.absorb(&surveyed)?;
                Some((other_source, loaded))
            }
            _ => None,
        };
        let (importance, loaded) = loaded.unzip();
        let mut session = Session::new(model.clone(), loaded.clone());
        let (tasks, stride) = (session.tasks().to_vec(), session.sample_stride());
        let sketch = |task: &Task| {
            super::sketch(input(&source, &model, importance.as_ref().zip(loaded.as_ref())), task, stride)
        };
        let stage = Stage { what: "sketching", jobs, progress };
        stage.each(&tasks, sketch, &mut |index, part| session.absorb(index, &part))?;
        session.finish();
        Ok(Self { source, importance, name, jobs, session })
    }

    fn input(&self) -> Input<'_> {
        input(&self.source, self.session.model(), self.importance.as_ref().zip(self.session.importance()))
    }

    /// Solves a recipe: everything an encoder needs to know.
    ///
    /// `replaced` are the retrained codebooks and repaired tensors that the recipe asks for.
    pub fn plan(
        &mut self,
        recipe: &Recipe,
        replaced: &Replaced,
        progress: Progress,
    ) -> Result<Plan, EngineError> {
        let jobs = self.jobs;
        let own = Recipe { codebook: None, repaired: None, ..recipe.clone() };
        let mut plan = self.session.plan(&own)?;
        while !plan.is_ready() {
            let stage = Stage { what: "solving", jobs, progress };
            let parts = stage.all(plan.tasks(), |task| super::prepare(self.input(), &plan, task))?;
            plan.absorb(self.session.model(), &parts)?;
        }
        plan.put(recipe, self.session.model(), replaced)?;
        Ok(plan)
    }

    /// Compresses the file by a recipe into `out`: `out` again, what was measured, and the plan.
    ///
    /// Memory is bounded by the sketch and a few blocks per thread.
    pub fn compress<W: Write>(
        &mut self,
        recipe: &Recipe,
        out: W,
        progress: Progress,
    ) -> Result<(W, Outcome, Plan), EngineError> {
        let plan = self.plan(recipe, &Replaced::default(), progress)?;
        let (out, outcome) = self.encode(&plan, out, progress)?;
        Ok((out, outcome, plan))
    }

    /// What a recipe asks for in the places of others, from the `.qsz` that holds them.
    pub fn replaced(
        &self,
        recipe: &Recipe,
        file: &dyn Source,
        reader: &Reader,
    ) -> Result<Replaced, EngineError> {
        Replaced::read(recipe, file, reader, (&self.source, self.session.model()))
    }

    /// `values` in the places of the tensors of these names, but for wrappers' prefixes, and the sorted names of those that
    /// change.
    pub fn repaired(
        &self,
        values: &BTreeMap<String, Vec<f32>>,
    ) -> Result<(Repaired, Vec<String>), EngineError> {
        let model = self.session.model();
        let repaired = Repaired::of_values((&self.source, model), values)?;
        let names = repaired.tensors().filter_map(|index| Some(model.tensors.get(index)?.name.clone()));
        let mut names: Vec<String> = names.collect();
        names.sort();
        Ok((repaired, names))
    }

    /// Carries out a plan.
    pub fn encode<W: Write>(
        &self,
        plan: &Plan,
        out: W,
        progress: Progress,
    ) -> Result<(W, Outcome), EngineError> {
        let mut assembler = Assembler::new(&self.session, plan, &self.name, self.source.len(), out)?;
        let stage = Stage { what: "compressing", jobs: self.jobs, progress };
        let encode = |task: &Task| super::encode(self.input(), plan, task);
        stage.each(plan.tasks(), encode, &mut |_, part| assembler.absorb(&part))?;
        assembler.finish()
    }

    /// For each tensor of the model, which value each of its weights has among the plan's levels.
    pub fn assignments(&self, plan: &Plan) -> Result<Vec<Vec<u32>>, EngineError> {
        let whole = |(index, tensor)| super::assignments(self.input(), plan, &Task::whole(index, tensor));
        self.session.model().tensors.iter().enumerate().map(whole).collect()
    }

    /// What a plan makes of the weights of the model's tensor `tensor`.
    pub fn values(&self, plan: &Plan, tensor: usize) -> Result<Vec<f32>, EngineError> {
        let found = self.session.model().tensors.get(tensor).ok_or(EngineError::Message)?;
        super::encode::values(self.input(), plan, &Task::whole(tensor, found))
    }

    /// The importance file, as it was last changed.
    #[cfg(feature = "network")]
    pub(crate) const fn importance_file(&self) -> Option<&S> {
        self.importance.as_ref()
    }

    /// Lets `change` write other numbers into the importance file where it has what quantizing the layers before the model's
    /// tensor `tensor` leaves of its layer.
    #[cfg(feature = "network")]
    pub(crate) fn change_sequel(&mut self, tensor: usize, change: impl FnOnce(&mut S)) {
        if let (Some(file), Some(importance)) = (&mut self.importance, self.session.importance()) {
            change(file);
            importance.forget_sequel(tensor);
        }
    }

    /// Decodes a compressed file and compares it, bit by bit, with the plan's quantizer applied to the source; says what the
    /// files are that it gives back.
    pub fn verify(
        &self,
        plan: &Plan,
        file: &(dyn Source + Sync),
        progress: Progress,
    ) -> Result<Verification, EngineError> {
        let reader = Reader::open(file, crate::container::Limits::default())?;
        let stage = Stage { what: "verifying", jobs: self.jobs, progress };
        let work = |task: &Task| super::verify::verify_and_lay_out(self.input(), plan, file, &reader, task);
        let (mut out, mut done) = (std::io::sink(), |_| ());
        let mut emitter =
            Restored::new(file, &reader).map(|restored| Emitter::new(restored, &mut out, &mut done));
        let mut parts = Vec::with_capacity(plan.tasks().len());
        stage.each(plan.tasks(), work, &mut |index, message| {
            let (compared, bytes) = split_off(message)?;
            parts.push(compared);
            match (plan.tasks().get(index), &mut emitter) {
                (Some(task), Some(emitter)) => emitter.take(task.tensor, &bytes),
                _ => Ok(()),
            }
        })?;
        let mut verification = super::collect_verification(&parts)?;
        verification.gives_back = emitter.map_or_else(|| Ok(Vec::new()), Emitter::finish)?;
        Ok(verification)
    }
}
