//! A target met natively, file by file.

use super::{Contest, Measured, Target, Trial};
use crate::engine::EngineError;
use crate::engine::pipeline::{Opened, Progress};
use crate::formats::Source;
use crate::quantize::{Method, methods};
use crate::recipe::Recipe;

/// Points of the predicted curve that a search starts from.
const POINTS: usize = 20;

/// A target that was met.
#[derive(Debug, Clone)]
pub struct Met {
    /// The recipe that meets it, as it can be replayed.
    pub recipe: Recipe,
    /// The best trial, which is that recipe's.
    pub best: Trial,
    /// How well, in a sentence.
    pub sentence: String,
    /// Every trial, in order.
    pub trials: Vec<Trial>,
}

impl<S: Source + Sync> Opened<S> {
    /// Finds the recipe that meets a target best, with the recipe's own method or with each of `methods` in its place.
    ///
    /// `hear` is told of every trial and says whether to go on; without it the search ends with what it has.
    pub fn meet(
        &mut self,
        recipe: &Recipe,
        target: Target,
        methods: &[&'static Method],
        progress: Progress,
        hear: &mut dyn FnMut(&Trial) -> bool,
    ) -> Result<Met, EngineError> {
        let own = recipe.check()?.method;
        let methods = if methods.is_empty() { &[own][..] } else { methods };
        let mut contest = Contest::new(target, recipe)?;
        let mut trials = Vec::new();
        'all: for method in methods {
            let sweep = self.session.sweep(recipe, &[method.id], POINTS)?;
            let points = sweep.curves.first().map(|curve| curve.points.as_slice()).unwrap_or_default();
            let parameters = self.session.model().float32_bytes() / 4;
            let mut search = contest.search(method, points, parameters);
            while let Some(setting) = search.next_setting() {
                let plan = match self.plan(&setting.recipe(recipe), None, progress) {
                    Ok(plan) => plan,
                    // A grid too fine for the weights' range.
                    Err(EngineError::Quantize(_)) => {
                        search.refused();
                        continue;
                    }
                    Err(error) => return Err(error),
                };
                let (_, outcome) = self.encode(&plan, std::io::sink(), progress)?;
                let Some(trial) = search.measured(Measured::of(&outcome)) else {
                    return Err(EngineError::Message);
                };
                contest.enter(trial);
                let go_on = hear(&trial);
                trials.push(trial);
                if !go_on {
                    break 'all;
                }
            }
        }
        let best = contest.answer().map_err(EngineError::Unmet)?;
        Ok(Met {
            recipe: best.setting.recipe(recipe),
            best,
            sentence: contest.met().unwrap_or_default(),
            trials,
        })
    }
}

/// The methods of these ids.
pub fn methods_of(ids: &[String]) -> Result<Vec<&'static Method>, crate::quantize::SettingsError> {
    let method = |id: &String| {
        methods::find(id).ok_or_else(|| crate::quantize::SettingsError {
            field: "methods".to_owned(),
            expected: format!(
                "some of {}",
                methods::METHODS.iter().map(|method| method.id).collect::<Vec<_>>().join(", ")
            ),
            found: id.clone(),
        })
    };
    ids.iter().map(method).collect()
}
