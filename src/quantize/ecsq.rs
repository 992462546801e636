//! Entropy-constrained scalar quantization by iteration, where every weight matters alike.
//!
//! Minimises J = D + λH, H the entropy of the symbols in bits (Chou, Lookabaugh and Gray 1989, section III; weighted by
//! importance: Choi, El-Khamy and Lee 2017, section 4.3). Assignment: argmin over j of `h·(w − c_j)² − λ·log2 p_j`;
//! update: means and shares. With equal importance the assignment is by intervals of w, the lower envelope of one line
//! per level, so a pass costs O(levels · log cells). Where importance differs, [`super::ecsq_sample`] takes over.
//!
//! λ is given in units of the weights' variance (by importance) per bit, which makes results independent of scale.
//!
//! The iteration ends in a local optimum, so several starts are tried: k levels evenly over the range, and uniform
//! quantizers around the step that is best at high rate, λ = (ln 2 / 6)·step², with zero as level and as threshold. The
//! most promising after a few passes are carried on; hence never worse than those uniform quantizers.

use super::partition::{LAMBDA, Partition, assemble, cheapest};
use super::points::Points;
use super::{
    Parameter, ParameterKind, Problem, QuantizeError, Settings, SettingsError, Solution, ecsq_sample,
};
use crate::code::MAX_LEVELS;

/// Parameters of the method.
pub const PARAMETERS: &[Parameter] = &[
    LAMBDA,
    Parameter {
        id: "k",
        title: "Starting levels",
        summary: "levels of the start over the range; unused ones die out",
        kind: ParameterKind::Integer { min: 1, max: 4096, default: 64 },
    },
];

/// Passes given to every start.
const TRIAL_PASSES: u32 = 6;
/// Starts carried on after the trial.
const FINALISTS: usize = 2;
/// Most passes of a finalist.
const MAX_PASSES: u32 = 400;
/// Steps tried, in units of the best step at high rate; and where zero lies in its interval.
const STEPS: [f64; 4] = [0.7, 1.0, 1.3, 1.8];
const OFFSETS: [f64; 2] = [0.5, 0.0];

/// Solves for the λ in `settings`.
pub fn solve(problem: &Problem, settings: &Settings) -> Result<Solution, QuantizeError> {
    let cells = problem.histogram.moments();
    if cells.is_empty() {
        return Err(QuantizeError::NoWeights);
    }
    let points = Points::new(cells);
    let price = settings.number("lambda") * points.variance();
    let k = settings.integer("k") as usize;
    match problem.sample {
        Some(sample) if !sample.is_empty() && price > 0.0 => Ok(ecsq_sample::solve(sample, cells, price, k)),
        _ => {
            let found = best_of_starts(&points, price, k);
            if found.levels.len() > MAX_LEVELS {
                return Err(too_fine(settings.number("lambda"), found.levels.len()).into());
            }
            Ok(assemble(cells, &points, &found, price))
        }
    }
}

/// Says that λ asks for more levels than symbols can tell apart.
fn too_fine(lambda: f64, levels: usize) -> SettingsError {
    SettingsError {
        field: LAMBDA.id.to_owned(),
        expected: format!("a larger value, so that at most {MAX_LEVELS} levels are used"),
        found: format!("{lambda}, which needs {levels} levels"),
    }
}

/// The best partition found from all starts.
pub(super) fn best_of_starts(points: &Points, price: f64, k: usize) -> Partition {
    let step = libm::sqrt(6.0 * price / (std::f64::consts::LN_2 * points.mean_mass()));
    let mut starts = vec![range_start(points, k)];
    if step > 0.0 && step.is_finite() {
        for offset in OFFSETS {
            starts.extend(STEPS.iter().map(|factor| grid_start(points, factor * step, offset)));
        }
    }
    let mut trials: Vec<Partition> = starts
        .into_iter()
        .map(|cuts| Partition::new(points, cuts, price).iterate(points, price, TRIAL_PASSES))
        .collect();
    cheapest(&mut trials, FINALISTS, |trial| trial.cost)
        .into_iter()
        .map(|trial| trial.iterate(points, price, MAX_PASSES))
        .min_by(|a, b| a.cost.total_cmp(&b.cost))
        .unwrap_or_else(|| Partition::new(points, vec![0, points.len()], price))
}

/// k equal intervals over the range.
fn range_start(points: &Points, k: usize) -> Vec<usize> {
    let (first, last) = (points.positions[0], points.positions[points.len() - 1]);
    let mut cuts = vec![0];
    cuts.extend((1..k).map(|i| points.cut(0, first + (last - first) * (i as f64 / k as f64))));
    cuts.push(points.len());
    cuts
}

/// The intervals of a uniform grid; `offset` ½ makes zero the middle of one, 0 a threshold.
fn grid_start(points: &Points, step: f64, offset: f64) -> Vec<usize> {
    let index = |x: f64| libm::floor(x / step + offset);
    let mut cuts = vec![0];
    for (i, pair) in points.positions.windows(2).enumerate() {
        if matches!(pair, [left, right] if index(*left) != index(*right)) {
            cuts.push(i + 1);
        }
    }
    cuts.push(points.len());
    cuts
}
