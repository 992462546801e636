//! How fine a step is to be that a recipe leaves open: finer while the network with the decoded weights answers otherwise, as
//! long as the file stays worth having.
//!
//! Program and page carry this out alike: plan, encode, run the decoded network, ask [`finer`]; the recipe that was
//! run last is the one that is kept. Nothing here depends on a clock, so both settle on the same bytes.

use super::report::Outcome;
use crate::number;
use crate::quantize::Value;
use crate::recipe::Recipe;

/// Networks of more bytes are not run unless asked for.
pub const MOST_BYTES: u64 = 100_000_000;
/// Steps tried at most.
pub const MOST_TRIALS: usize = 6;
/// So many times smaller than the source, or than 32-bit floats, the file is to stay while finer steps are tried.
const LEAST_RATIO: f64 = 5.05;
/// Finer by less, in bits per weight, a step is not worth trying.
const LEAST_BITS: f64 = 0.06;

/// The recipe with a step that is finer by what the file may still grow, at most a bit for each weight; `None` where it may not.
pub fn finer(recipe: &Recipe, outcome: &Outcome) -> Option<Recipe> {
    let step = match recipe.settings.get("step")? {
        Value::Number(step) => *step,
        Value::Integer(step) => *step as f64,
        Value::Choice(_) => return None,
    };
    let whole = outcome.float32_bytes.max(outcome.source_bytes);
    let room = whole as f64 / LEAST_RATIO - outcome.file_bytes as f64;
    let bits = (room * 8.0 / outcome.point.weights.max(1) as f64).min(1.0);
    if bits < LEAST_BITS {
        return None;
    }
    let step = number::rounded(step * libm::exp2(-bits), 3);
    let finer = recipe.with("step", Value::Number(step));
    finer.check().is_ok().then_some(finer)
}
