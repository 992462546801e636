//! The smallest file whose network still answers as well as is asked for: by labels, by agreement or by divergence.
//!
//! Contenders are methods, each on a grid of its swept parameter ([`GridSearch`]); where there are unlabelled samples to
//! calibrate on, the grid methods with compensated errors join them, at prices of a bit well below that of single weights
//! (`LAMBDAS`), and whatever of theirs comes near to the target is repaired on the same samples. Every figure is that of a
//! whole file, decoded and run. All attempts of all contenders together say which of them have it by luck (see
//! `engine::targets::luck`); the smallest that holds is the answer.
//!
//! Cost: one compression and one run over the samples per attempt; a repair besides where it comes near.

use super::calibrate::calibrate;
use super::data::DataSet;
use super::evaluate::Quantized;
use super::measure::{Measures, Z, paired_drop};
use super::model::ModelBytes;
use super::repair::{Repair, repair};
use super::validation::{Progress, Validation};
use super::{NetworkError, measure};
use crate::code::Kind;
use crate::engine::EngineError;
use crate::engine::targets::luck::{Verdict, fitted, verdicts};
use crate::engine::targets::{Answers, Candidates, GridSearch, Measured, Target, Trial};
use crate::importance::{Compensation, ImportanceChoice, sources};
use crate::quantize::methods::METHODS;
use crate::quantize::{Method, SettingsError, Value};
use crate::recipe::Recipe;

/// The prices of a bit that grid methods, which compensate best at equal bytes, are tried with: errors that are passed on want
/// a lower one than those of single weights (docs/compensation.md).
const LAMBDAS: [f64; 2] = [0.05, 0.2];

/// A file that misses by no more than this is repaired: shares by so much, a divergence by so many times the bound. On
/// `ResNet`-32 repairs were worth up to 1.2 points and 0.4 of the divergence.
const REACH_SHARE: f64 = 0.05;
const REACH_DIVERGENCE: f64 = 1.5;

/// What is searched for, and among what.
#[derive(Debug, Clone, Copy)]
pub struct Goal<'a> {
    /// The bound.
    pub target: Target,
    /// What all recipes have in common.
    pub base: &'a Recipe,
    /// Methods that compete.
    pub methods: &'a [&'static Method],
    /// Points of each one's grid.
    pub points: usize,
    /// Unlabelled samples to calibrate on and to repair with, how many of them, and the network's name for what is written of
    /// it.
    pub calibration: Option<(&'a DataSet, usize, &'a str)>,
}

/// Hears of an attempt and its number from 1.
pub type Hear<'a> = &'a dyn Fn(usize, &Trial);

/// One file that was tried.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// Its recipe.
    pub recipe: Recipe,
    /// Its setting, and what it has.
    pub trial: Trial,
    /// Whether it was repaired.
    pub is_repaired: bool,
    /// What is made of it by all attempts.
    pub verdict: Verdict,
    /// Its slack on the curve fitted to all attempts.
    pub fitted: f64,
}

/// What the search gave.
#[derive(Debug, Clone)]
pub struct Reached {
    /// How well the target is met, in a sentence.
    pub sentence: String,
    /// The smallest file that holds.
    pub best: Attempt,
    /// The file itself, and its network.
    pub quantized: Quantized,
    /// What that network's answers are worth.
    pub measures: Measures,
    /// Every attempt, in order.
    pub attempts: Vec<Attempt>,
    /// What is to be known besides.
    pub notes: Vec<String>,
    /// Second moments of the calibration, as a safetensors file, where the answer is compensated with them.
    pub moments: Option<Vec<u8>>,
}

/// Recipes that differ in their method's swept parameter alone.
struct Contender {
    base: Recipe,
    method: &'static Method,
    is_compensated: bool,
}

/// Refuses a target that the float network itself does not meet, or that wants labels where there are none.
pub fn check(target: Target, float: &Measures) -> Result<(), SettingsError> {
    let Target::Accuracy(least) = target else { return Ok(()) };
    let refused = |expected: String, found: String| {
        Err(SettingsError { field: target.id().to_owned(), expected, found })
    };
    let Some(top1) = &float.top1 else {
        return refused("data with labels".to_owned(), "none".to_owned());
    };
    let of_float = Answers { accuracy: Some(top1.value()), agreement: 1.0, divergence: 0.0 };
    if target.is_met(&Measured { answers: Some(of_float), ..Measured::default() }) {
        return Ok(());
    }
    let most = format!("at most the float network's {:.2} %", 100.0 * top1.value());
    refused(most, format!("{:.2} %", 100.0 * least))
}

/// Whether other samples will have it too, 95 times of 100: by the paired interval of what was lost against the float network, by
/// that of agreement, by that of divergence.
pub fn is_sure(target: Target, float: &Measures, measures: &Measures) -> bool {
    let Some(against) = &measures.against else { return false };
    let mut answers = Answers::of(measures);
    if let (Target::Accuracy(_), Some(top1)) = (target, &float.top1) {
        let (_, drop) = paired_drop(against.lost, against.won, measures.answers);
        answers.accuracy = Some(top1.value() - drop);
    } else {
        answers.agreement = against.agreement.low;
        answers.divergence += Z * against.divergence_error;
    }
    target.is_met(&Measured { answers: Some(answers), ..Measured::default() })
}

impl Answers {
    /// What measures say of a target.
    pub(super) fn of(measures: &Measures) -> Self {
        let against = measures.against.as_ref();
        Self {
            accuracy: measures.top1.as_ref().map(measure::Share::value),
            agreement: against.map_or(0.0, |against| against.agreement.value()),
            divergence: against.map_or(f64::INFINITY, |against| against.divergence),
        }
    }
}

impl Validation {
    /// Finds the smallest file that keeps to a target; `hear` is told of every attempt with its number from 1, before anything is
    /// made of it.
    ///
    /// # Errors
    ///
    /// A target that the float network does not meet, one that no attempt holds, a network that cannot be calibrated.
    pub fn reach(&mut self, goal: &Goal, progress: Progress, hear: Hear) -> Result<Reached, NetworkError> {
        check(goal.target, &self.float_measures()).map_err(EngineError::from)?;
        let mut candidates = Candidates::new(goal.target, goal.base).map_err(EngineError::from)?;
        let own = self.evaluator.importance().cloned();
        let mut attempts = Vec::new();
        for method in goal.methods {
            let contender = Contender { base: goal.base.clone(), method, is_compensated: false };
            self.search(goal, &contender, &mut attempts, (&mut Vec::new(), progress, hear))?;
        }
        let mut notes = Vec::new();
        let mut moments = None;
        if let Some((data, samples, name)) = goal.calibration {
            let bytes = self.moments((data, samples, name), &mut notes, progress)?;
            self.evaluator.set_importance(Some(ModelBytes::new(bytes.clone(), Vec::new())));
            moments = Some(bytes);
            for contender in compensated(goal.base) {
                self.search(goal, &contender, &mut attempts, (&mut notes, progress, hear))?;
            }
        }
        judge(goal.target, &mut attempts);
        for attempt in attempts.iter().filter(|attempt| attempt.verdict != Verdict::Luck) {
            candidates.enter(attempt.trial);
        }
        candidates.trials = attempts.len();
        let held = attempts.iter().filter(|attempt| attempt.verdict == Verdict::Holds);
        let best = held.min_by_key(|attempt| attempt.trial.measured.file_bytes).cloned();
        let (Some(best), Some(sentence)) = (best, candidates.met()) else {
            return Err(EngineError::Unmet(unmet(&candidates, &attempts)).into());
        };
        if best.recipe.importance.compensation.is_none() || best.recipe.importance == goal.base.importance {
            self.evaluator.set_importance(own);
            moments = None;
        }
        let (quantized, measures) = self.again(goal, &best, progress)?;
        Ok(Reached { sentence, best, quantized, measures, attempts, notes, moments })
    }

    /// Second moments of the calibration's samples, as a file.
    fn moments(
        &self,
        (data, samples, name): (&DataSet, usize, &str),
        notes: &mut Vec<String>,
        progress: Progress,
    ) -> Result<Vec<u8>, NetworkError> {
        let show = |done: usize| progress("calibrating", done as u64, samples as u64);
        let files = self.evaluator.float()?;
        let found = calibrate(&files, &self.setup, data, samples, &show, &|| true)?;
        notes.extend(found.notes.iter().cloned());
        // The samples that are scored begin alike where they are the same.
        let both = samples.min(self.samples);
        if data.hash(both) == self.data.hash(both) {
            notes.push(format!("calibrated on {both} of the samples that are scored"));
        }
        found.to_safetensors(name, (&data.kind, &data.hash(samples)), &self.setup)
    }

    /// Searches along one contender's parameter.
    fn search(
        &mut self,
        goal: &Goal,
        contender: &Contender,
        attempts: &mut Vec<Attempt>,
        (notes, progress, hear): (&mut Vec<String>, Progress, Hear),
    ) -> Result<(), NetworkError> {
        let mut search = GridSearch::new(goal.target, contender.method, goal.points);
        while let Some(setting) = search.next_setting() {
            let recipe = setting.recipe(&contender.base);
            let quantized = match self.evaluator.quantize(&recipe) {
                Ok(quantized) => quantized,
                // A grid too fine for the weights' range.
                Err(NetworkError::Engine(EngineError::Quantize(_))) => {
                    search.refused();
                    continue;
                }
                Err(error) => return Err(error),
            };
            let mut measured = self.measured(&quantized, progress)?;
            let mut is_repaired = false;
            if let Some(found) = self.repaired(goal, contender, &recipe, measured, (&mut *notes, progress))? {
                let repaired = self.measured(&found.after, progress)?;
                if goal.target.slack(&repaired) >= goal.target.slack(&measured) {
                    (measured, is_repaired) = (repaired, true);
                }
            }
            let trial = search.measured(measured).ok_or(EngineError::Message)?;
            attempts.push(Attempt { recipe, trial, is_repaired, verdict: Verdict::Misses, fitted: 0.0 });
            hear(attempts.len(), &trial);
        }
        Ok(())
    }

    /// A compensated recipe with its repairs, where what it has comes near to the target and the network has something to repair.
    fn repaired(
        &mut self,
        goal: &Goal,
        contender: &Contender,
        recipe: &Recipe,
        measured: Measured,
        (notes, progress): (&mut Vec<String>, Progress),
    ) -> Result<Option<Repair>, NetworkError> {
        let reach = match goal.target {
            Target::Divergence(most) => REACH_DIVERGENCE * most,
            _ => REACH_SHARE,
        };
        let is_near = goal.target.slack(&measured) >= -reach;
        let Some((data, samples, _)) = goal.calibration.filter(|_| contender.is_compensated && is_near)
        else {
            return Ok(None);
        };
        let setup = self.setup.clone();
        let show = |done: usize, of: usize| progress("repairing", done as u64, of as u64);
        match repair(&mut self.evaluator, (recipe, false), (&setup, data, samples), &show, &|| true) {
            Ok(found) => Ok(Some(found)),
            // It has nothing to repair.
            Err(error @ NetworkError::Graph { .. }) => {
                let note = format!("not repaired: {error}");
                if !notes.contains(&note) {
                    notes.push(note);
                }
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Makes the file of an attempt once more.
    fn again(
        &mut self,
        goal: &Goal,
        best: &Attempt,
        progress: Progress,
    ) -> Result<(Quantized, Measures), NetworkError> {
        let quantized = match goal.calibration.filter(|_| best.is_repaired) {
            Some((data, samples, _)) => {
                let setup = self.setup.clone();
                let show = |done: usize, of: usize| progress("repairing", done as u64, of as u64);
                repair(&mut self.evaluator, (&best.recipe, false), (&setup, data, samples), &show, &|| true)?
                    .after
            }
            None => self.evaluator.quantize(&best.recipe)?,
        };
        let measures = self.measure(&quantized.files, progress)?;
        Ok((quantized, measures))
    }

    /// What a file is like, its answers among it.
    fn measured(&self, quantized: &Quantized, progress: Progress) -> Result<Measured, NetworkError> {
        let answers = Answers::of(&self.measure(&quantized.files, progress)?);
        Ok(Measured { answers: Some(answers), ..Measured::of(&quantized.outcome) })
    }
}

/// What competes with compensated errors.
fn compensated(base: &Recipe) -> Vec<Contender> {
    let Some(source) = sources::SOURCES.iter().find(|source| source.has_moments) else { return Vec::new() };
    let importance =
        ImportanceChoice { compensation: Some(Compensation::default()), ..ImportanceChoice::of(source) };
    let is_grid = base.kind() == Kind::Grid;
    let with_lambda = |method: &'static Method| {
        LAMBDAS.map(|lambda| {
            let mut recipe =
                Recipe { importance: importance.clone(), ..base.with_method(method.id).fitted() };
            if is_grid {
                recipe.finer.clone_from(&base.finer);
            }
            Contender { base: recipe.with("lambda", Value::Number(lambda)), method, is_compensated: true }
        })
    };
    METHODS.iter().filter(|method| method.is_grid()).flat_map(with_lambda).collect()
}

/// Says of each attempt what all of them make of it.
fn judge(target: Target, attempts: &mut [Attempt]) {
    let measured: Vec<Measured> = attempts.iter().map(|attempt| attempt.trial.measured).collect();
    let of_all = verdicts(target, &measured).into_iter().zip(fitted(target, &measured));
    for (attempt, (verdict, fitted)) in attempts.iter_mut().zip(of_all) {
        (attempt.verdict, attempt.fitted) = (verdict, fitted);
    }
}

/// Why there is no answer.
fn unmet(candidates: &Candidates, attempts: &[Attempt]) -> String {
    let sentence = candidates.answer().err().unwrap_or_default();
    match attempts.iter().filter(|attempt| attempt.verdict == Verdict::Luck).count() {
        0 => sentence,
        lucky => format!("{sentence}; {lucky} of {} settings had it by luck", attempts.len()),
    }
}
