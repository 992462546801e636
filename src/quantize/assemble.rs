//! From real-valued levels to a quantizer in float32 with what it is predicted to cost.
//!
//! Levels are rounded to float32 and merged where that makes them equal. Thresholds are rounded *up*, so that
//! "threshold ≤ weight" decides every float32 weight as the exact threshold would. The prediction puts each cell, as a
//! whole, where its mean falls. Cost: linear in cells and levels.

use super::points::{centroid, plain_mean};
use super::{Quantizer, Rule, Solution};
use crate::code::RateAware;
use crate::histogram::{Histogram, Moments};

/// Errors relative to Σw² below this are rounding of the sums, not distance between weights.
const SUM_NOISE: f64 = 1e-13;

/// The centroid of each interval of cells.
pub(super) fn centroids(cells: &[Moments], cuts: &[u32]) -> Vec<f64> {
    cuts.windows(2)
        .map(|pair| match pair {
            [start, end] => centroid(&cells[*start as usize..*end as usize]),
            _ => 0.0,
        })
        .collect()
}

/// A level as it is stored: finite, without a negative zero.
fn level_f32(x: f64) -> f32 {
    (x as f32).clamp(-f32::MAX, f32::MAX) + 0.0
}

/// The nearest-level quantizer with ascending `levels`.
pub(super) fn assemble_nearest(cells: &[Moments], levels: &[f64]) -> Solution {
    let mut rounded: Vec<f32> = levels.iter().map(|c| level_f32(*c)).collect();
    rounded.dedup();
    measured(cells, Quantizer::nearest(rounded))
}

/// The nearest-level quantizer without the levels that no cell is nearest to.
pub(super) fn assemble_used(cells: &[Moments], levels: &[f64]) -> Solution {
    let mut solution = assemble_nearest(cells, levels);
    while solution.counts.contains(&0) {
        let used = solution.quantizer.levels.iter().zip(&solution.counts).filter(|(_, count)| **count > 0);
        let levels: Vec<f64> = used.map(|(level, _)| f64::from(*level)).collect();
        solution = assemble_nearest(cells, &levels);
    }
    solution
}

/// The quantizer with these `levels` and thresholds between them (one fewer), empty and equal levels left out.
pub(super) fn assemble_intervals(cells: &[Moments], levels: &[f64], thresholds: &[f32]) -> Solution {
    let rounded: Vec<f32> = levels.iter().map(|c| level_f32(*c)).collect();
    let counts = errors(cells, &rounded, thresholds).0;
    let mut kept: Vec<f32> = Vec::with_capacity(rounded.len());
    let mut between: Vec<f32> = Vec::with_capacity(rounded.len());
    for (j, level) in rounded.iter().enumerate().filter(|(j, _)| counts[*j] > 0) {
        // A level that rounding made equal to its left neighbour takes part in that neighbour's interval.
        if kept.last().is_some_and(|last| last >= level) {
            continue;
        }
        if !kept.is_empty() {
            between.push(thresholds[j - 1]);
        }
        kept.push(*level);
    }
    measured(cells, Quantizer { levels: kept, rule: Rule::Thresholds(between) })
}

/// A quantizer with its prediction on ascending `cells`.
pub(super) fn measured(cells: &[Moments], quantizer: Quantizer) -> Solution {
    let (counts, squared_error, weighted_error) = match &quantizer.rule {
        Rule::Thresholds(thresholds) => errors(cells, &quantizer.levels, thresholds),
        Rule::RateAware { lambda, rates } => {
            let rule = RateAware::new(&quantizer.levels, *lambda, rates);
            errors_by(cells, &quantizer.levels, |cell, mean| {
                rule.symbol(mean as f32, (cell.importance / cell.count.max(1) as f64) as f32)
            })
        }
    };
    Solution { quantizer, counts, squared_error, weighted_error, iterations: 0, optimal: false }
}

impl Quantizer {
    /// What this quantizer is predicted to cost on `histogram`, each cell going as a whole where its mean goes.
    ///
    /// The rate-aware rule is predicted with the mean importance of each cell, which is exact only where importance does
    /// not differ inside a cell.
    pub fn predict(&self, histogram: &Histogram) -> Solution {
        measured(histogram.moments(), self.clone())
    }
}

/// The prediction of a threshold quantizer on ascending cells, in one walk over both.
fn errors(cells: &[Moments], levels: &[f32], thresholds: &[f32]) -> (Vec<u64>, f64, f64) {
    let mut j = 0;
    errors_by(cells, levels, |_, mean| {
        while thresholds.get(j).is_some_and(|threshold| f64::from(*threshold) <= mean) {
            j += 1;
        }
        j
    })
}

/// Weights per level, Σ (w − ŵ)² and Σ h·(w − ŵ)² if `level_of` a cell and its mean takes all its weights.
fn errors_by(
    cells: &[Moments],
    levels: &[f32],
    mut level_of: impl FnMut(&Moments, f64) -> usize,
) -> (Vec<u64>, f64, f64) {
    let mut counts = vec![0; levels.len()];
    let (mut squared, mut weighted) = (0.0, 0.0);
    for cell in cells {
        let j = level_of(cell, plain_mean(cell));
        counts[j] += cell.count;
        let level = f64::from(levels[j]);
        squared += error_around(level, cell.count as f64, cell.sum, cell.squares);
        weighted += error_around(level, cell.importance, cell.weighted_sum, cell.weighted_squares);
    }
    (counts, squared, weighted)
}

/// Σ h·(w − level)² from Σh, Σhw and Σhw².
pub(super) fn error_around(level: f64, mass: f64, first: f64, second: f64) -> f64 {
    if mass <= 0.0 {
        return 0.0;
    }
    let mean = first / mass;
    let scatter = second - first * mean;
    let scatter = if scatter <= SUM_NOISE * second { 0.0 } else { scatter };
    // A cell of equal weights has their value as mean, but for rounding of the sums.
    let distance = mean - level;
    let distance = if distance * distance <= 1e-28 * mean * mean { 0.0 } else { distance };
    scatter + mass * distance * distance
}
