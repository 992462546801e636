//! How fine steps are to be that a recipe leaves open: finer while the network with the decoded weights answers otherwise,
//! as long as the file stays worth having; and where real inputs are given, as fine for each tensor as the answers ask for.
//!
//! Program and page carry this out alike: plan, encode, run the decoded network, ask [`Settling::next`]; the recipe that was
//! run last is the one that is kept. Nothing here depends on a clock, so both settle on the same bytes.

use super::report::Outcome;
use crate::number;
use crate::quantize::{Value, grid::STEP};
use crate::recipe::{Finer, Recipe};

/// Networks of more bytes are not run unless asked for.
pub const MOST_BYTES: u64 = 100_000_000;
/// Recipes tried at most.
const MOST_TRIALS: usize = 7;
/// So many times smaller than the source, or than 32-bit floats, the file is to stay while finer steps are tried.
const LEAST_RATIO: f64 = 5.05;
/// Finer by less, in bits per weight, a step is not worth trying.
const LEAST_BITS: f64 = 0.06;
/// Coarser by so much more than a file that grew asks for, in bits per weight.
const SLACK_BITS: f64 = 0.01;

/// What running a recipe's network came to.
#[derive(Debug)]
pub struct Run<'a> {
    /// The recipe, with nothing left open.
    pub recipe: &'a Recipe,
    /// Its file.
    pub outcome: &'a Outcome,
    /// Whether finer steps are not worth trying.
    pub is_ample: bool,
    /// How the answers of real inputs feel the steps.
    pub felt: Option<Felt>,
}

/// How the answers of real inputs feel the steps. Inputs that are made up tell too little: states that are zero, and sounds
/// that are no speech, leave weights unused which count.
#[derive(Debug)]
pub struct Felt {
    /// The least signal-to-noise ratio of an output.
    pub output_sqnr_db: f64,
    /// Where [asked for](Settling::asks_whose): by how much steps are to be finer, tensor by tensor.
    pub finer: Vec<Finer>,
}

/// What was tried so far.
#[derive(Debug)]
pub struct Settling {
    is_open: bool,
    trials: usize,
    /// The run before steps were allotted to tensors: recipe, bytes, ratio of the outputs, and what would have been tried else.
    before: Option<(Recipe, u64, f64, Option<Recipe>)>,
}

impl Settling {
    /// Starts with a recipe that leaves its steps open, or does not.
    pub fn new(is_open: bool) -> Self {
        Self { is_open, trials: 0, before: None }
    }

    /// Whether nothing has been run yet.
    pub fn is_new(&self) -> bool {
        self.trials == 0
    }

    /// Whether the run to come is to find out, where it can, whose error the answers feel.
    pub fn asks_whose(&self) -> bool {
        self.is_open && self.is_new()
    }

    /// What is to be tried next; `None` where the recipe that ran last stays.
    pub fn next(&mut self, run: &Run<'_>) -> Option<Recipe> {
        self.trials += 1;
        if !self.is_open {
            return None;
        }
        let mut allowed = 0;
        if let Some((recipe, bytes, ratio, finer)) = self.before.take() {
            if run.felt.as_ref().is_none_or(|felt| felt.output_sqnr_db < ratio) {
                return Some(finer.unwrap_or(recipe));
            }
            allowed = bytes;
        }
        let (bits, next) = nearer(run.recipe, run.outcome, allowed)?;
        if bits < 0.0 {
            return next.filter(|_| allowed > 0);
        }
        if run.is_ample || self.trials >= MOST_TRIALS {
            return None;
        }
        let felt = run.felt.as_ref().filter(|felt| self.trials == 1 && !felt.finer.is_empty());
        let Some(felt) = felt else { return next };
        self.before = Some((run.recipe.clone(), run.outcome.file_bytes, felt.output_sqnr_db, next));
        Some(Recipe { finer: felt.finer.clone(), ..run.recipe.clone() })
    }
}

/// By how many bits for each weight the step may be finer, at most one, or must be coarser, for the file to be as large as
/// it may, which is `allowed` at least; and the recipe with that step, where it is worth trying.
fn nearer(recipe: &Recipe, outcome: &Outcome, allowed: u64) -> Option<(f64, Option<Recipe>)> {
    let step = match recipe.settings.get(STEP.id)? {
        Value::Number(step) => *step,
        Value::Integer(step) => *step as f64,
        Value::Choice(_) => return None,
    };
    let whole = outcome.float32_bytes.max(outcome.source_bytes);
    let room = (whole as f64 / LEAST_RATIO).max(allowed as f64) - outcome.file_bytes as f64;
    let bits = (room * 8.0 / outcome.point.weights.max(1) as f64).clamp(-1.0, 1.0);
    if (0.0..LEAST_BITS).contains(&bits) {
        return Some((bits, None));
    }
    let slack = if bits < 0.0 { SLACK_BITS } else { 0.0 };
    let step = number::rounded(step * libm::exp2(slack - bits), 3);
    let next = recipe.with(STEP.id, Value::Number(step));
    Some((bits, next.check().is_ok().then_some(next)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::report::Point;

    fn outcome(file_bytes: u64) -> Outcome {
        let point = Point { weights: 100_000, ..Point::default() };
        Outcome { float32_bytes: 400_000, source_bytes: 410_000, file_bytes, point, ..Outcome::default() }
    }

    fn recipe(step: f64) -> Recipe {
        Recipe::default().with("step", Value::Number(step))
    }

    fn next(
        settling: &mut Settling,
        recipe: &Recipe,
        bytes: u64,
        db: f64,
        finer: &[Finer],
    ) -> Option<Recipe> {
        let felt = Some(Felt { output_sqnr_db: db, finer: finer.to_vec() });
        settling.next(&Run { recipe, outcome: &outcome(bytes), is_ample: db >= 40.0, felt })
    }

    fn step_of(recipe: Option<&Recipe>) -> f64 {
        match recipe.and_then(|recipe| recipe.settings.get("step")) {
            Some(Value::Number(step)) => *step,
            _ => 0.0,
        }
    }

    #[test]
    fn finer_steps_are_tried_until_answers_are_ample_or_the_file_is_full() {
        let mut settling = Settling::new(true);
        // 410 000 / 5.05 = 81 188 bytes: room for 0.895 bit.
        let second = next(&mut settling, &recipe(0.1), 70_000, 18.0, &[]);
        assert_eq!(step_of(second.as_ref()), 0.0538);
        assert_eq!(next(&mut settling, &second.unwrap(), 81_000, 24.0, &[]), None, "there is no room");
        assert_eq!(next(&mut Settling::new(true), &recipe(0.1), 70_000, 41.0, &[]), None, "it is ample");
        assert_eq!(next(&mut Settling::new(false), &recipe(0.1), 70_000, 8.0, &[]), None, "it was given");
        assert_eq!(
            next(&mut Settling::new(true), &recipe(0.1), 90_000, 8.0, &[]),
            None,
            "a file that is full stays"
        );
    }

    #[test]
    fn steps_are_allotted_once_and_the_file_grows_no_further() {
        let finer = [Finer { pattern: "a".to_owned(), bits: 2.0 }];
        let mut settling = Settling::new(true);
        let allotted = next(&mut settling, &recipe(0.1), 81_000, 18.0, &finer).unwrap();
        assert!(!settling.is_new());
        assert_eq!((step_of(Some(&allotted)), allotted.finer.as_slice()), (0.1, &finer[..]));
        // It is better, but larger by 0.2 bit for each weight.
        let smaller = next(&mut settling, &allotted, 83_688, 26.0, &[]).unwrap();
        assert_eq!((step_of(Some(&smaller)), smaller.finer.as_slice()), (0.116, &finer[..]));
        assert_eq!(next(&mut settling, &smaller, 81_100, 25.0, &[]), None);
    }

    #[test]
    fn what_steps_were_allotted_in_vain_is_taken_back() {
        let finer = [Finer { pattern: "a".to_owned(), bits: 2.0 }];
        let mut settling = Settling::new(true);
        let allotted = next(&mut settling, &recipe(0.1), 70_000, 18.0, &finer).unwrap();
        let back = next(&mut settling, &allotted, 70_000, 17.0, &[]);
        assert_eq!(step_of(back.as_ref()), 0.0538, "and goes on as it would have");
        assert!(back.unwrap().finer.is_empty());
    }
}
