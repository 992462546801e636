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

use super::assemble::assemble_intervals;
use super::points::Points;
use super::{
    Parameter, ParameterKind, Problem, QuantizeError, Settings, SettingsError, Solution, ecsq_sample,
};
use crate::code::{MAX_LEVELS, levels::ceil_f32};
use crate::histogram::Moments;

/// The trade between error and rate.
pub const LAMBDA: Parameter = Parameter {
    id: "lambda",
    title: "λ",
    summary: "price of one bit, in variances of the weights (by importance)",
    kind: ParameterKind::Number { min: 0.0001, max: 4.0, default: 0.03 },
};

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
/// The relative decrease of J that ends the iteration.
const TOLERANCE: f64 = 1e-9;
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

/// A partition into intervals with what it costs.
#[derive(Debug, Clone)]
pub(super) struct Partition {
    /// Boundaries of non-empty intervals: 0 first, the number of cells last.
    pub cuts: Vec<usize>,
    /// The mean of each interval.
    pub levels: Vec<f64>,
    /// The ideal code length of each interval.
    pub rates: Vec<f64>,
    /// Σ h·d² + price·Σ bits.
    pub cost: f64,
    /// Passes used.
    pub passes: u32,
}

impl Partition {
    /// Means, rates and cost of the non-empty intervals between `cuts`.
    pub fn new(points: &Points, mut cuts: Vec<usize>, price: f64) -> Self {
        cuts.dedup();
        let total = points.count(0, points.len()) as f64;
        let (mut levels, mut rates) = (Vec::with_capacity(cuts.len()), Vec::with_capacity(cuts.len()));
        let mut cost = 0.0;
        for pair in cuts.windows(2) {
            let [start, end] = *pair else { continue };
            let count = points.count(start, end) as f64;
            let rate = libm::log2(total / count);
            cost += points.range(start, end).scatter() + price * count * rate;
            levels.push(points.mean(start, end).unwrap_or_default());
            rates.push(rate);
        }
        Self { cuts, levels, rates, cost, passes: 0 }
    }

    /// Assigns and updates until the cost stops falling or `passes` are used; keeps the best partition seen.
    pub fn iterate(mut self, points: &Points, price: f64, passes: u32) -> Self {
        for _ in 0..passes {
            let (_, thresholds) = self.envelope(points, price);
            let mut cuts = vec![0];
            let mut from = 0;
            for threshold in thresholds {
                from = points.cut(from, threshold);
                cuts.push(from);
            }
            cuts.push(points.len());
            let next = Self { passes: self.passes + 1, ..Self::new(points, cuts, price) };
            if next.cost >= self.cost {
                self.passes = next.passes;
                return self;
            }
            let done = self.cost - next.cost <= TOLERANCE * self.cost;
            self = next;
            if done {
                break;
            }
        }
        self
    }

    /// The levels that are best for some weight, and the thresholds between them.
    fn envelope(&self, points: &Points, price: f64) -> (Vec<usize>, Vec<f64>) {
        let bits = price / points.mean_mass();
        let crossing = |a: usize, b: usize| {
            let gap = self.levels[b] - self.levels[a];
            f64::midpoint(self.levels[a], self.levels[b])
                + bits * (self.rates[b] - self.rates[a]) / (2.0 * gap)
        };
        let mut kept: Vec<usize> = Vec::with_capacity(self.levels.len());
        let mut thresholds: Vec<f64> = Vec::with_capacity(self.levels.len());
        for j in 0..self.levels.len() {
            while let Some(&last) = kept.last() {
                let at = crossing(last, j);
                if self.levels[j] <= self.levels[last] || thresholds.last().is_some_and(|left| at <= *left) {
                    kept.pop();
                    thresholds.pop();
                } else {
                    thresholds.push(at);
                    break;
                }
            }
            kept.push(j);
        }
        (kept, thresholds)
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

/// The `count` trials of least cost, cheapest first, the earlier one on a tie; for a handful of trials.
pub(super) fn cheapest<T>(trials: &mut Vec<T>, count: usize, cost: impl Fn(&T) -> f64) -> Vec<T> {
    let mut chosen = Vec::with_capacity(count);
    while chosen.len() < count {
        let least = (0..trials.len()).min_by(|a, b| cost(&trials[*a]).total_cmp(&cost(&trials[*b])));
        let Some(least) = least else { break };
        chosen.push(trials.remove(least));
    }
    chosen
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

/// The quantizer of a partition: its means, and thresholds where neighbours cost the same.
pub(super) fn assemble(cells: &[Moments], points: &Points, found: &Partition, price: f64) -> Solution {
    let (kept, thresholds) = found.envelope(points, price);
    let levels: Vec<f64> = kept.iter().map(|j| found.levels[*j]).collect();
    let thresholds: Vec<f32> = thresholds.iter().map(|threshold| ceil_f32(*threshold)).collect();
    Solution { iterations: found.passes, ..assemble_intervals(cells, &levels, &thresholds) }
}

/// The quantizer of a partition with thresholds where the partition has them, for partitions that are not a fixed point.
pub(super) fn assemble_cuts(cells: &[Moments], points: &Points, found: &Partition) -> Solution {
    let between = |cut: &usize| {
        let (left, right) = (points.positions[*cut - 1], points.positions[*cut]);
        ceil_f32(f64::midpoint(left, right))
    };
    let inner = found.cuts.get(1..found.cuts.len() - 1).unwrap_or_default();
    let thresholds: Vec<f32> = inner.iter().map(between).collect();
    Solution { iterations: found.passes, ..assemble_intervals(cells, &found.levels, &thresholds) }
}
