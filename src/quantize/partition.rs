//! Partitions of the cells into intervals, priced by error and bits: what the entropy-constrained methods have in common.

use super::assemble::assemble_intervals;
use super::points::Points;
use super::{Parameter, ParameterKind, Solution};
use crate::code::levels::ceil_f32;
use crate::histogram::Moments;

/// The trade between error and rate.
pub const LAMBDA: Parameter = Parameter {
    id: "lambda",
    title: "λ",
    summary: "price of one bit, in variances of the weights (by importance)",
    kind: ParameterKind::Number { min: 0.0001, max: 4.0, default: 0.03 },
};

/// The relative decrease of J that ends the iteration.
const TOLERANCE: f64 = 1e-9;

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
