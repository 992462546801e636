//! The native driver of a target's searches: what they ask for is compressed, measured and told to them, trial by trial.

use super::{Candidates, Measured, Search, Target, Trial};
use crate::engine::pipeline::{Opened, Progress};
use crate::engine::{EngineError, Replaced};
use crate::formats::Source;
use crate::quantize::Method;
use crate::recipe::Recipe;

/// Points of the predicted curve that a search starts from.
const POINTS: usize = 20;

/// A recipe that meets a target.
#[derive(Debug, Clone)]
pub struct Found {
    /// The recipe, as it can be replayed.
    pub recipe: Recipe,
    /// The best trial, which is that recipe's.
    pub best: Trial,
    /// How well the target is met, in a sentence.
    pub sentence: String,
    /// Every trial, in order.
    pub trials: Vec<Trial>,
}

/// Drives one search to its end: `measure` carries out a recipe, and gives nothing where it cannot be solved (a grid too fine
/// for the weights' range); `hear` is told of every trial and says whether to go on. Gives whether it went on to the end.
pub fn drive<E: From<EngineError>>(
    search: &mut Search,
    base: &Recipe,
    measure: &mut dyn FnMut(&Recipe) -> Result<Option<Measured>, E>,
    hear: &mut dyn FnMut(&Trial) -> bool,
) -> Result<bool, E> {
    while let Some(setting) = search.next_setting() {
        let Some(measured) = measure(&setting.recipe(base))? else {
            search.refused();
            continue;
        };
        let trial = search.measured(measured).ok_or(EngineError::Message)?;
        if !hear(&trial) {
            return Ok(false);
        }
    }
    Ok(true)
}

impl<S: Source + Sync> Opened<S> {
    /// Finds the recipe that meets a size or a quality best, with the recipe's own method or with each of `methods` in its
    /// place.
    ///
    /// `hear` is told of every trial and says whether to go on; without it the search ends with what it has.
    pub fn search(
        &mut self,
        recipe: &Recipe,
        target: Target,
        methods: &[&'static Method],
        progress: Progress,
        hear: &mut dyn FnMut(&Trial) -> bool,
    ) -> Result<Found, EngineError> {
        let own = recipe.check()?.method;
        let methods = if methods.is_empty() { &[own][..] } else { methods };
        let mut candidates = Candidates::new(target, recipe)?;
        let mut trials = Vec::new();
        for method in methods {
            let sweep = self.session.sweep(recipe, &[method.id], POINTS)?;
            let points = sweep.curves.first().map(|curve| curve.points.as_slice()).unwrap_or_default();
            let parameters = self.session.model().float32_bytes() / 4;
            let mut search = candidates.search(method, points, parameters);
            let mut hear = |trial: &Trial| {
                candidates.enter(*trial);
                trials.push(*trial);
                hear(trial)
            };
            if !drive(&mut search, recipe, &mut |wanted| self.measured(wanted, progress), &mut hear)? {
                break;
            }
        }
        candidates.found(recipe, trials).map_err(EngineError::Unmet)
    }

    /// What a recipe's file is like; nothing where the recipe cannot be solved.
    fn measured(&mut self, recipe: &Recipe, progress: Progress) -> Result<Option<Measured>, EngineError> {
        let plan = match self.plan(recipe, &Replaced::default(), progress) {
            Ok(plan) => plan,
            Err(EngineError::Quantize(_)) => return Ok(None),
            Err(error) => return Err(error),
        };
        let (_, outcome) = self.encode(&plan, std::io::sink(), progress)?;
        Ok(Some(Measured::of(&outcome)))
    }
}

impl Candidates {
    /// The best trial as a recipe; else a sentence that says what can be had.
    pub fn found(&self, base: &Recipe, trials: Vec<Trial>) -> Result<Found, String> {
        let best = self.answer()?;
        let sentence = self.met().unwrap_or_default();
        Ok(Found { recipe: best.setting.recipe(base), best, sentence, trials })
    }
}
