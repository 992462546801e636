//! Exact entropy-constrained scalar quantization with intervals.
//!
//! The least J = D + λH over all partitions of the line into intervals is a shortest path over cut points, an edge being
//! an interval with cost `scatter + λ·n·log2(N/n)` (Muresan and Effros 2008). That cost does not satisfy the quadrangle
//! inequality, so every pair of cut points is looked at: O(bins²) time, O(bins) memory. Histograms with more cells than
//! `bins` are merged to that many runs first and the result is improved on all cells by the iteration of
//! [`super::ecsq`]; then it is not proven optimal. Where importance differs between weights, intervals are not the best
//! partition (see [`super::ecsq_sample`]) and the result bounds J from above only.

use super::partition::{LAMBDA, Partition, assemble, assemble_cuts};
use super::points::{Points, Sums};
use super::{Parameter, ParameterKind, Problem, QuantizeError, Settings, SettingsError, Solution, Value};

/// Parameters of the method.
pub const PARAMETERS: &[Parameter] = &[
    LAMBDA,
    Parameter {
        id: "bins",
        title: "Bins",
        summary: "runs of cells between which to cut; time grows with the square",
        kind: ParameterKind::Integer { min: 16, max: 4096, default: 1024 },
    },
];

/// Passes of the improvement on all cells.
const POLISH_PASSES: u32 = 400;

/// Settings for a price of a bit in variances of the weights, and runs of cells to cut between.
pub fn settings(price: f64, bins: u64) -> Result<Settings, SettingsError> {
    Settings::of(PARAMETERS, &[("lambda", Value::Number(price)), ("bins", Value::Integer(bins))])
}

/// Solves for the λ in `settings`.
pub fn solve(problem: &Problem, settings: &Settings) -> Result<Solution, QuantizeError> {
    let cells = problem.histogram.moments();
    if cells.is_empty() {
        return Err(QuantizeError::NoWeights);
    }
    let points = Points::new(cells);
    let price = settings.number("lambda") * points.variance();
    let bins = settings.integer("bins") as usize;
    let exact = points.len() <= bins;
    let shortest = Partition::new(&points, shortest_path(&points, &points.runs(bins), price), price);
    if exact {
        return Ok(Solution {
            optimal: problem.sample.is_none(),
            ..assemble_cuts(cells, &points, &shortest)
        });
    }
    if problem.sample.is_some() {
        return Ok(assemble_cuts(cells, &points, &shortest));
    }
    let polished = shortest.iterate(&points, price, POLISH_PASSES);
    Ok(assemble(cells, &points, &polished, price))
}

/// The boundaries in `runs` of the cheapest partition.
pub(super) fn shortest_path(points: &Points, runs: &[u32], price: f64) -> Vec<usize> {
    let sums: Vec<Sums> = runs.iter().map(|i| points.sums[*i as usize]).collect();
    let counts: Vec<f64> = runs.iter().map(|i| points.counts[*i as usize] as f64).collect();
    let total = counts.last().copied().unwrap_or_default();
    let log2 = Log2::new();
    let log_total = log2.of(total);
    let mut best = vec![0.0; runs.len()];
    let mut parent = vec![0usize; runs.len()];
    for end in 1..runs.len() {
        let (mut least, mut from) = (f64::INFINITY, 0);
        for start in (0..end).rev() {
            let error = best[start] + sums[start].until(&sums[end]).scatter();
            if error >= least {
                continue;
            }
            let count = counts[end] - counts[start];
            let cost = error + price * count * (log_total - log2.of(count));
            if cost < least {
                (least, from) = (cost, start);
            }
        }
        (best[end], parent[end]) = (least, from);
    }
    let mut at = runs.len() - 1;
    let mut cuts = vec![runs[at] as usize];
    while at > 0 {
        at = parent[at];
        cuts.push(runs[at] as usize);
    }
    cuts.reverse();
    cuts
}

/// Binary logarithms to 2·10^-15 from a table of 1024 and a polynomial, the same on every target and fast enough for
/// one per edge.
struct Log2 {
    /// (1/c, log2 c) at the middle c of each 1024th of [1, 2).
    table: Vec<(f64, f64)>,
}

impl Log2 {
    fn new() -> Self {
        let entry = |i: u32| {
            let c = 1.0 + (f64::from(i) + 0.5) / 1024.0;
            (1.0 / c, libm::log2(c))
        };
        Self { table: (0..1024).map(entry).collect() }
    }

    /// log2 of a normal positive number.
    #[inline]
    fn of(&self, x: f64) -> f64 {
        let bits = x.to_bits();
        let exponent = (bits >> 52) as f64 - 1023.0;
        let mantissa = f64::from_bits((bits & 0x000f_ffff_ffff_ffff) | 0x3ff0_0000_0000_0000);
        let (inverse, log) = self.table[(bits >> 42 & 1023) as usize];
        // |r| < 2^-11: the first omitted term is below 10^-17.
        let r = mantissa * inverse - 1.0;
        let series = r * (1.0 - r * (0.5 - r * (1.0 / 3.0 - r * 0.25)));
        exponent + (log + series * std::f64::consts::LOG2_E)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fast_logarithm_equals_the_library_one() {
        let log2 = Log2::new();
        let mut x = 1.0;
        while x < 1e18 {
            assert!((log2.of(x) - libm::log2(x)).abs() <= 4e-15 * libm::log2(x).max(1.0), "{x}");
            x = x * 1.0137 + 0.01;
        }
        assert_eq!(log2.of(1.0) + 1.0, 1.0 + 0.0);
    }
}
