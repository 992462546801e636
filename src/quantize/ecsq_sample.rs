//! Entropy-constrained scalar quantization by iteration, where importance differs between weights.
//!
//! The same objective and updates as [`super::ecsq`], but every (weight, importance) pair chooses its own level by
//! `h·(w − c_j)² − λ·log2 p_j`: unimportant weights take cheap levels further away, so clusters are not intervals and a
//! histogram does not tell enough. Works on a sample of the pairs; counts and errors are scaled up to all weights.
//!
//! Starts are the best intervals (see [`super::ecsq_exact`]) for the price itself and for lower ones, and uniform
//! quantizers whose step fits weights of average importance and of up to 256 times that, as the important ones want finer
//! levels. They compete on at most 4096 pairs, the winner goes on with all of them.
//! Iteration never makes a level, so weights that would pay for a level of their own, which the fewer pairs did not show,
//! are given one: from all pairs before the last iteration, from the histogram's cells after it.
//!
//! Cost: O(pairs) per pass, a few levels looked at per pair.

use super::assemble::error_around;
use super::ecsq_exact::shortest_path;
use super::partition::{Partition, cheapest};
use super::points::{Points, distinct_cells, plain_mean};
use super::{Quantizer, Rule, Solution};
use crate::code::RateAware;
use crate::histogram::Moments;
use crate::order;

/// Pairs on which the starts compete.
const TRIAL_PAIRS: usize = 4096;
/// Passes given to every start, and to those carried on.
const TRIAL_PASSES: u32 = 4;
const FINAL_PASSES: u32 = 30;
/// Starts carried on.
const FINALISTS: usize = 3;
/// Most passes on all pairs.
const MAX_PASSES: u32 = 40;
/// The relative decrease of the objective that ends the iteration.
const TOLERANCE: f64 = 2e-5;
/// Steps tried, in units of the best one at high rate for average importance.
const STEPS: [f64; 9] = [2.0, 1.4, 1.0, 0.7, 0.5, 0.35, 0.25, 0.125, 0.0625];
/// Where zero lies in its interval.
const OFFSETS: [f64; 2] = [0.5, 0.0];
/// Prices, in units of the given one, whose best intervals are tried too, and the runs of weights these are cut from.
const PRICES: [f64; 4] = [1.0, 0.5, 0.25, 0.0625];
const RUNS: usize = 256;
/// Those intervals are also tried after a few passes at a higher price, which empties levels that only just pay.
const OVERSHOOT: f64 = 2.0;
const OVERSHOOT_PASSES: u32 = 3;
/// Most levels a start may have.
const MAX_LEVELS: usize = 8192;

/// Levels with their ideal code lengths, and the objective of the assignment that gave them.
#[derive(Debug, Clone)]
pub(super) struct Codebook {
    pub levels: Vec<f64>,
    pub rates: Vec<f64>,
    /// Σ h·d² + price·Σ bits over the pairs, at the assignment that led here.
    pub cost: f64,
    pub passes: u32,
}

/// What one level received.
#[derive(Debug, Clone, Copy, Default)]
struct Share {
    count: u64,
    mass: f64,
    first: f64,
}

/// Solves on `sample` at `price` (h·w² per bit) and scales to all weights, which are in `cells`.
pub(super) fn solve(sample: &[(f32, f32)], cells: &[Moments], price: f64, k: usize) -> Solution {
    // In order of weight, so that searches of neighbours take the same way.
    let pairs = order::sorted_pairs(sample);
    let stride = pairs.len().div_ceil(TRIAL_PAIRS).max(1);
    let trial: Vec<(f32, f32)> = pairs.iter().copied().step_by(stride).collect();
    let found = best_of_starts(&trial, price, k);
    let missing = uncovered(pairs.iter().map(|(w, h)| (*w, *h, 1)), &found, price, pairs.len() as u64);
    let found = iterate(&pairs, found.with(&missing, pairs.len() as u64), price, MAX_PASSES);
    let total = cells.iter().map(|cell| cell.count).sum();
    let of_cell = |cell: &Moments| {
        (plain_mean(cell) as f32, (cell.importance / cell.count.max(1) as f64) as f32, cell.count)
    };
    let missing = uncovered(cells.iter().map(of_cell), &found, price, total);
    let mut solution = predict(&pairs, &found.with(&missing, total), price, total);
    count_unseen(&mut solution, &missing);
    solution
}

/// Levels, with their counts, for weights that cost more under `codebook` than with a level of their own.
fn uncovered(
    ascending: impl Iterator<Item = (f32, f32, u64)>,
    codebook: &Codebook,
    price: f64,
    total: u64,
) -> Vec<(f64, u64)> {
    let rule = RateAware::from_values(&codebook.levels, price, &codebook.rates);
    let alone = |count: u64| price * libm::log2(total as f64 / count as f64);
    let mut missing: Vec<(f64, u64)> = Vec::new();
    for (w, h, count) in ascending {
        let j = rule.symbol(w, h);
        let (w, h) = (f64::from(w), f64::from(h));
        let error = |level: f64| count as f64 * h * (w - level) * (w - level);
        let own = count as f64 * alone(count);
        if error(codebook.levels[j]) + count as f64 * price * codebook.rates[j] <= own {
            continue;
        }
        match missing.last_mut() {
            Some(last) if error(last.0) + count as f64 * alone(last.1 + count) <= own => last.1 += count,
            _ => missing.push((w, count)),
        }
    }
    missing
}

/// Gives levels that no pair of the sample took the number of weights they were made for.
fn count_unseen(solution: &mut Solution, missing: &[(f64, u64)]) {
    for (level, count) in missing {
        let found = solution.quantizer.levels.partition_point(|c| f64::from(*c) < f64::from(*level as f32));
        let most = (0..solution.counts.len()).max_by_key(|j| solution.counts[*j]).unwrap_or_default();
        if solution.counts.get(found) == Some(&0) && solution.counts[most] > *count {
            solution.counts[found] = *count;
            solution.counts[most] -= count;
        }
    }
}

impl Codebook {
    /// The codebook with further levels of these counts out of `total`.
    fn with(mut self, missing: &[(f64, u64)], total: u64) -> Self {
        let mut all: Vec<(f64, f64)> = self.levels.into_iter().zip(self.rates).collect();
        let rate = |count: u64| libm::log2(total as f64 / count as f64);
        all.extend(missing.iter().map(|(level, count)| (*level, rate(*count))));
        let mut all = order::sorted_by_key(&all, |(level, _)| order::key_f64(*level));
        all.dedup_by_key(|(level, _)| *level);
        (self.levels, self.rates) = all.into_iter().unzip();
        self
    }
}

/// The best codebook found from all starts on these pairs, which ascend.
pub(super) fn best_of_starts(pairs: &[(f32, f32)], price: f64, k: usize) -> Codebook {
    let mean_h = pairs.iter().map(|(_, h)| f64::from(*h)).sum::<f64>() / pairs.len() as f64;
    let step = libm::sqrt(6.0 * price / (std::f64::consts::LN_2 * mean_h));
    let (first, last) = (pairs.first(), pairs.last());
    let lowest = first.map_or(0.0, |(w, _)| f64::from(*w));
    let range = last.map_or(0.0, |(w, _)| f64::from(*w)) - lowest;
    let mut grids: Vec<(f64, f64)> = Vec::new();
    if k > 1 && range > 0.0 {
        let step = range / (k - 1) as f64;
        grids.push((step, 0.5 - lowest / step));
    }
    for offset in OFFSETS {
        grids.extend(STEPS.iter().map(|factor| (factor * step, offset)));
    }
    grids.retain(|(step, _)| *step > 0.0 && step.is_finite());
    let one = start(pairs, f64::INFINITY, 0.5);
    let points = Points::new(&distinct_cells(pairs));
    let runs = points.runs(RUNS);
    let interval_start = |factor: &f64| {
        let found = Partition::new(&points, shortest_path(&points, &runs, factor * price), price);
        Codebook { levels: found.levels, rates: found.rates, cost: f64::INFINITY, passes: 0 }
    };
    let intervals: Vec<Codebook> = PRICES.iter().map(interval_start).collect();
    let overshot =
        intervals.iter().map(|start| iterate(pairs, start.clone(), OVERSHOOT * price, OVERSHOOT_PASSES));
    let mut trials: Vec<Codebook> = grids
        .into_iter()
        .map(|(step, offset)| start(pairs, step, offset))
        .filter(|codebook| codebook.levels.len() <= MAX_LEVELS)
        .chain([one])
        .chain(intervals.iter().cloned())
        .chain(overshot)
        .map(|codebook| iterate(pairs, codebook, price, TRIAL_PASSES))
        .collect();
    cheapest(&mut trials, FINALISTS, |trial| trial.cost)
        .into_iter()
        .map(|codebook| iterate(pairs, codebook, price, FINAL_PASSES))
        .min_by(|a, b| a.cost.total_cmp(&b.cost))
        .unwrap_or(Codebook { levels: vec![0.0], rates: vec![0.0], cost: f64::INFINITY, passes: 0 })
}

/// The codebook of a uniform grid: means and shares of its non-empty intervals.
fn start(pairs: &[(f32, f32)], step: f64, offset: f64) -> Codebook {
    let index = |w: f32| libm::floor(f64::from(w) / step + offset);
    let mut shares: Vec<(Share, f64)> = Vec::new();
    for group in pairs.chunk_by(|a, b| index(a.0) == index(b.0)) {
        let mut share = Share::default();
        let mut plain = 0.0;
        for (w, h) in group {
            share.add(*w, *h);
            plain += f64::from(*w);
        }
        shares.push((share, plain / group.len() as f64));
    }
    update(&shares, pairs.len() as u64, f64::INFINITY, 0)
}

impl Share {
    fn add(&mut self, w: f32, h: f32) {
        self.count += 1;
        self.mass += f64::from(h);
        self.first += f64::from(h) * f64::from(w);
    }
}

/// Means and code lengths of the levels that received weights; without importance a level stays where it was.
fn update(shares: &[(Share, f64)], total: u64, cost: f64, passes: u32) -> Codebook {
    let mut next: Vec<(f64, u64)> = shares
        .iter()
        .filter(|(share, _)| share.count > 0)
        .map(|(share, old)| (if share.mass > 0.0 { share.first / share.mass } else { *old }, share.count))
        .collect();
    // Clusters are not intervals, so means may change their order or meet.
    next = order::sorted_by_key(&next, |(level, _)| order::key_f64(*level));
    next.dedup_by(|right, left| {
        let same = right.0 == left.0;
        if same {
            left.1 += right.1;
        }
        same
    });
    let rates = next.iter().map(|(_, count)| libm::log2(total as f64 / *count as f64)).collect();
    Codebook { levels: next.into_iter().map(|(level, _)| level).collect(), rates, cost, passes }
}

/// Assigns and updates until the objective stops falling or `passes` are used.
fn iterate(pairs: &[(f32, f32)], mut codebook: Codebook, price: f64, passes: u32) -> Codebook {
    for pass in 0..passes {
        let rule = RateAware::from_values(&codebook.levels, price, &codebook.rates);
        let mut shares: Vec<(Share, f64)> =
            codebook.levels.iter().map(|level| (Share::default(), *level)).collect();
        let mut cost = 0.0;
        for (w, h) in pairs {
            let j = rule.symbol(*w, *h);
            let distance = f64::from(*w) - codebook.levels[j];
            cost += f64::from(*h) * distance * distance + price * codebook.rates[j];
            shares[j].0.add(*w, *h);
        }
        // The first pass of a larger sample has no cost to compare with.
        let done = pass > 0 && codebook.cost - cost <= TOLERANCE * cost;
        codebook = update(&shares, pairs.len() as u64, cost, codebook.passes + 1);
        if done {
            break;
        }
    }
    codebook
}

/// The quantizer of a codebook, with counts and errors of the sample scaled to `total` weights.
fn predict(sample: &[(f32, f32)], codebook: &Codebook, price: f64, total: u64) -> Solution {
    let mut levels: Vec<f32> = Vec::with_capacity(codebook.levels.len());
    let mut rates: Vec<f64> = Vec::with_capacity(codebook.levels.len());
    for (level, rate) in codebook.levels.iter().zip(&codebook.rates) {
        let level = (*level as f32).clamp(-f32::MAX, f32::MAX) + 0.0;
        match rates.last_mut() {
            // Levels that float32 cannot tell apart: their probabilities add.
            Some(last) if levels.last() == Some(&level) => {
                *last = -libm::log2(libm::exp2(-*last) + libm::exp2(-rate)).min(0.0);
            }
            _ => {
                levels.push(level);
                rates.push(*rate);
            }
        }
    }
    let rule = RateAware::new(&levels, price, &rates);
    let mut counts = vec![0u64; levels.len()];
    let (mut squared, mut weighted) = (0.0, 0.0);
    for (w, h) in sample {
        let j = rule.symbol(*w, *h);
        counts[j] += 1;
        let (w, h, level) = (f64::from(*w), f64::from(*h), f64::from(levels[j]));
        squared += error_around(level, 1.0, w, w * w);
        weighted += error_around(level, h, h * w, h * w * w);
    }
    let scale = total as f64 / sample.len() as f64;
    Solution {
        quantizer: Quantizer { levels, rule: Rule::RateAware { lambda: price, rates } },
        counts: scaled(&counts, total),
        squared_error: squared * scale,
        weighted_error: weighted * scale,
        iterations: codebook.passes,
        optimal: false,
    }
}

/// Counts scaled to sum to `total`, each rounded by less than one.
pub(super) fn scaled(counts: &[u64], total: u64) -> Vec<u64> {
    let sum: u128 = counts.iter().map(|count| u128::from(*count)).sum::<u128>().max(1);
    let mut passed: u128 = 0;
    counts
        .iter()
        .map(|count| {
            let before = passed * u128::from(total) / sum;
            passed += u128::from(*count);
            (passed * u128::from(total) / sum - before) as u64
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scaled_counts_keep_their_sum_and_shares() {
        assert_eq!(scaled(&[1, 2, 1], 4000), [1000, 2000, 1000]);
        assert_eq!(scaled(&[1, 1, 1], 10).iter().sum::<u64>(), 10);
        assert_eq!(scaled(&[5, 0, 7], 12), [5, 0, 7]);
        assert_eq!(scaled(&[u64::MAX / 4, u64::MAX / 4], u64::MAX).iter().sum::<u64>(), u64::MAX);
    }

    #[test]
    fn unimportant_weights_take_the_cheap_level() {
        let mut pairs = vec![(0.0f32, 1.0f32); 90];
        pairs.extend([(1.0, 10.0); 9]);
        pairs.push((1.0, 1e-6));
        let solution = solve(&pairs, &distinct_cells(&pairs), 0.05, 8);
        assert_eq!(solution.quantizer.levels.len(), 2);
        assert!(solution.quantizer.levels[0] < 1e-6 && solution.quantizer.levels[1] == 1.0);
        assert_eq!(solution.counts, [91, 9]);
        assert_eq!(solution.quantizer.symbol(1.0, 1e-6), 0);
        assert_eq!(solution.quantizer.symbol(1.0, 10.0), 1);
    }

    #[test]
    fn outliers_that_the_sample_misses_have_a_level() {
        let mut random = crate::random::SplitMix64::new(4);
        let mut values: Vec<f32> = (0..50_000).map(|_| (random.unit() - 0.5) as f32).collect();
        let h: Vec<f32> = values.iter().map(|_| random.unit() as f32 + 0.5).collect();
        values[20_001] = 90.0;
        values[777] = -40.0;
        values[778] = -40.001;
        let sample: Vec<(f32, f32)> = values.iter().copied().zip(h.iter().copied()).step_by(5).collect();
        let histogram = crate::histogram::Histogram::new(&values, Some(&h));
        let solution = solve(&sample, histogram.moments(), 0.01, 64);
        let level = |w: f32| solution.quantizer.levels[solution.quantizer.symbol(w, 1.0)];
        assert!((level(90.0) - 90.0).abs() < 0.1 && (level(-40.0) + 40.0).abs() < 0.1);
        assert_eq!(solution.counts.iter().sum::<u64>(), 50_000);
        assert!(!solution.counts.contains(&0));
    }
}
