//! Operating points: what a solved recipe costs in bits and does to the weights.

use super::cost::{self, Cost, Pool, coded_bits, entropy_total, weights};
use super::groups::{Group, Groups};
use super::quality::{Quality, TensorSums};
use super::report::{Overlay, Point};
use super::sketch::TensorSketch;
use crate::histogram::{Histogram, Moments, cell_start};
use crate::model::Model;
use crate::quantize::{Method, Needs, Pruning, QuantizeError, Rule, Settings, Solution};
use crate::rate_distortion::sqnr_db;
use crate::recipe::Checked;

/// Bins of an overlay's histogram.
const OVERLAY_BINS: usize = 240;

/// Groups with their solutions.
#[derive(Debug)]
pub(super) struct Evaluated<'a> {
    groups: &'a Groups,
    pub(super) solutions: Vec<Solution>,
}

impl<'a> Evaluated<'a> {
    /// Solves every group.
    pub fn new(
        groups: &'a Groups,
        Checked { method, settings, .. }: &Checked,
    ) -> Result<Self, QuantizeError> {
        let solutions =
            groups.all.iter().map(|group| group.solve(method, settings)).collect::<Result<_, _>>()?;
        Ok(Self { groups, solutions })
    }

    /// Solves every group for each of several settings, sharing work between them; `plain` solves as if every weight had
    /// importance 1, and still measures with the importance there is.
    pub fn several(
        groups: &'a Groups,
        method: &Method,
        settings: &[Settings],
        plain: bool,
    ) -> Vec<Result<Self, QuantizeError>> {
        let mut all: Vec<Result<Self, QuantizeError>> =
            settings.iter().map(|_| Ok(Self { groups, solutions: Vec::new() })).collect();
        for group in &groups.all {
            for (evaluated, solution) in all.iter_mut().zip(group.solve_all(method, settings, plain)) {
                match (&mut *evaluated, solution) {
                    (Ok(evaluated), Ok(solution)) => evaluated.solutions.push(solution),
                    (Ok(_), Err(error)) => *evaluated = Err(error),
                    (Err(_), _) => {}
                }
            }
        }
        all
    }

    fn pairs(&self) -> impl Iterator<Item = (&'a Group, &Solution)> {
        self.groups.all.iter().zip(&self.solutions)
    }

    /// Symbol counts per code table: one for all, or one per tensor.
    fn pools(&self) -> Vec<Pool> {
        let mut pools: Vec<Pool> = Vec::new();
        for (group, solution) in self.pairs() {
            if pools.last().is_none_or(|pool| pool.tensor != group.tensor) {
                pools.push(Pool { tensor: group.tensor, ..Pool::default() });
            }
            if let Some(pool) = pools.last_mut() {
                pool.add(&solution.counts, group.pruned.count, group.stands_for);
            }
        }
        pools
    }

    /// The operating point, with every overhead counted; positions by the entropy of evenly spread zeros.
    pub fn point(&self, recipe: &Checked, kept_bits: u64, parameters: u64) -> Point {
        let Checked { method, settings, .. } = recipe;
        let pruning = self.groups.all.iter().any(|g| g.threshold.is_some());
        let pools = self.pools();
        let weights = weights(&pools);
        let zeros: u64 = pools.iter().map(|p| p.zeros).sum();
        let levels: f64 = self.pairs().map(|(g, s)| s.quantizer.levels.len() as f64 * g.stands_for).sum();
        let side_bits = method.code.side_bits(levels) + (method.overhead)(settings) * weights;
        let cost = Cost::new(&pools, recipe, pruning, side_bits);
        let bits = cost::own_bits(&pools, recipe, pruning, side_bits);
        let distortion = self.distortion();
        let quality = self.quality().unwrap_or_default();
        let gap_bits: f64 = pools.iter().map(|pool| cost::gap_bits(pool, recipe)).sum();
        Point {
            parameter: settings.value(method.swept).cloned(),
            levels: self.solutions.iter().map(|s| s.quantizer.levels.len() as u64).max().unwrap_or(0),
            weights: self.groups.weights,
            pruned: if self.groups.preview {
                (zeros as f64 / weights.max(1.0) * self.groups.weights as f64).round_ties_even() as u64
            } else {
                zeros
            },
            entropy_bits: cost.entropy / weights,
            rates: cost.rates(weights),
            bits: bits / weights,
            mse: distortion.squared_error / weights,
            weighted_mse: distortion.weighted_error / weights,
            sqnr_db: sqnr_db(distortion.signal.squares, distortion.squared_error),
            weighted_sqnr_db: sqnr_db(distortion.signal.weighted_squares, distortion.weighted_error),
            worst_db: quality.worst_db,
            median_db: quality.median_db,
            broken: quality.broken(),
            formula_ratio: weights * 32.0 / (cost.formula + gap_bits),
            predicted_ratio: parameters as f64 * 32.0
                / (bits / weights * self.groups.weights as f64 + kept_bits as f64),
            optimal: self.solutions.iter().all(|s| s.optimal),
            preview: self.groups.preview || method.needs == Needs::Rows,
            gap_to_optimum_db: None,
            gap_to_shannon_bits: None,
        }
    }

    /// What is predicted of every tensor, or of all together where they share a codebook: bits by the recipe's coder, of
    /// the context coder without its contexts, and errors.
    pub fn rates(&self, recipe: &Checked) -> Vec<(Option<usize>, Rate)> {
        let overhead = (recipe.method.overhead)(&recipe.settings);
        let pruning = self.groups.all.iter().any(|g| g.threshold.is_some());
        let mut pairs = self.pairs().peekable();
        let mut rates = Vec::new();
        for pool in self.pools() {
            let weights = weights(std::slice::from_ref(&pool)).max(1.0);
            let bits = coded_bits(recipe.coder, &pool.symbols(pruning)) / weights + overhead;
            let mut rate = Rate { bits, error: 0.0, weighted_error: 0.0 };
            // Groups come pool by pool.
            while let Some((group, solution)) = pairs.next_if(|(group, _)| group.tensor == pool.tensor) {
                let share = group.stands_for / weights;
                rate.error += (solution.squared_error + group.pruned.squares) * share;
                rate.weighted_error += (solution.weighted_error + group.pruned.weighted_squares) * share;
            }
            rates.push((pool.tensor, rate));
        }
        rates
    }

    /// Order-0 entropy of the symbols, zeros among them, in bits per weight.
    pub fn entropy_bits(&self) -> f64 {
        let pruning = self.groups.all.iter().any(|g| g.threshold.is_some());
        let pools = self.pools();
        let bits: f64 = pools.iter().map(|pool| entropy_total(&pool.symbols(pruning))).sum();
        bits / weights(&pools)
    }

    /// Mean squared error and mean importance-weighted squared error.
    pub fn errors(&self) -> (f64, f64) {
        let (distortion, weights) = (self.distortion(), weights(&self.pools()));
        (distortion.squared_error / weights, distortion.weighted_error / weights)
    }

    /// How each tensor comes through, as far as cells tell.
    pub fn quality(&self) -> Option<Quality> {
        Quality::new(&self.sums())
    }

    fn sums(&self) -> Vec<TensorSums> {
        let groups = self.groups;
        let mut sums: Vec<TensorSums> = groups
            .names
            .iter()
            .map(|name| TensorSums { name: name.clone(), ..TensorSums::default() })
            .collect();
        let mut add = |at: usize, kept: &Histogram, pruned: &Moments, solution: &Solution, times: f64| {
            let Some(sum) = sums.get_mut(at) else { return };
            let total = kept.total();
            let scaled = |count: u64| (count as f64 * times).round_ties_even() as u64;
            sum.weights += scaled(total.count + pruned.count);
            sum.zeros += scaled(zeros_of(kept) + pruned.count);
            sum.most_frequent += scaled(solution.counts.iter().copied().max().unwrap_or(0).max(pruned.count));
            sum.signal += (total.squares + pruned.squares) * times;
            sum.error += (solution.squared_error + pruned.squares) * times;
        };
        if let Some((group, shared)) = self.pairs().next().filter(|_| !groups.parts.is_empty()) {
            let pruning = group.threshold.map_or(Pruning::None, Pruning::Threshold);
            for (at, part) in groups.parts.iter().enumerate() {
                let split = pruning.split(part);
                add(at, &split.kept, &split.pruned, &shared.quantizer.predict(&split.kept), 1.0);
            }
            return sums;
        }
        for (group, solution) in self.pairs() {
            let at = group.tensor.and_then(|tensor| groups.selected.binary_search(&tensor).ok());
            if let Some(at) = at {
                add(at, &group.kept, &group.pruned, solution, group.stands_for);
            }
        }
        sums
    }

    fn distortion(&self) -> Distortion {
        let mut sum = Distortion::default();
        for (group, solution) in self.pairs() {
            let mut signal = group.kept.total();
            signal.add(&group.pruned);
            let times = group.stands_for;
            sum.signal.squares += signal.squares * times;
            sum.signal.weighted_squares += signal.weighted_squares * times;
            sum.squared_error += (solution.squared_error + group.pruned.squares) * times;
            sum.weighted_error += (solution.weighted_error + group.pruned.weighted_squares) * times;
        }
        sum
    }

    /// The histogram of one tensor, or of all quantized weights, with the codebook that it gets; of the first channel where
    /// every channel has its own.
    pub fn overlay(
        &self,
        tensor: Option<usize>,
        sketches: &[TensorSketch],
        model: &Model,
        point: Point,
    ) -> Overlay {
        let is_chosen = |group: &Group| tensor.is_none() || group.tensor == tensor || group.tensor.is_none();
        let Some((group, solution)) = self.pairs().find(|(group, _)| is_chosen(group)) else {
            return Overlay { point, ..Overlay::default() };
        };
        let shown = tensor.filter(|_| group.tensor.is_none()).and_then(|index| sketches.get(index));
        let mut all = shown.map_or_else(|| group.kept.clone(), |sketch| sketch.histogram.clone());
        if shown.is_none() && group.pruned.count > 0 {
            // Pruned weights stand at zero, where the codebook puts them.
            all.merge(&Histogram::of_zeros(group.pruned.count));
        }
        let name =
            tensor.or(group.tensor).and_then(|index| model.tensors.get(index)).map(|t| t.name.as_str());
        let title = match (name, group.is_channel) {
            (None, _) => "all quantized weights".to_owned(),
            (Some(name), false) => name.to_owned(),
            (Some(name), true) => format!("{name}, its first channel"),
        };
        let total = all.total();
        let mean = total.sum / total.count.max(1) as f64;
        let std = (total.squares / total.count.max(1) as f64 - mean * mean).max(0.0).sqrt();
        let ends = (first_mean(&all), last_mean(&all));
        let start = ends.0.max(mean - 5.0 * std);
        let end = ends.1.min(mean + 5.0 * std);
        let width = (end - start) / OVERLAY_BINS as f64;
        let (mut levels, mut counts) = (solution.quantizer.levels.clone(), solution.counts.clone());
        if group.pruned.count > 0 {
            let at = levels.partition_point(|level| *level < 0.0);
            levels.insert(at, 0.0);
            counts.insert(at, group.pruned.count);
        }
        let thresholds = match &solution.quantizer.rule {
            Rule::Thresholds(thresholds) => thresholds.clone(),
            Rule::RateAware { .. } => Vec::new(),
        };
        Overlay {
            start,
            width,
            bins: bins(&all, start, width, OVERLAY_BINS),
            levels,
            counts,
            thresholds,
            title,
            point,
            hasty: false,
        }
    }
}

/// Bits and mean squared errors per weight.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Rate {
    pub bits: f64,
    pub error: f64,
    pub weighted_error: f64,
}

#[derive(Debug, Default)]
struct Distortion {
    signal: Moments,
    squared_error: f64,
    weighted_error: f64,
}

/// Number of exact zeros.
fn zeros_of(histogram: &Histogram) -> u64 {
    let zero = crate::histogram::cell_key(0.0);
    let cell = histogram.keys().binary_search(&zero).ok().and_then(|at| histogram.moments().get(at));
    cell.filter(|cell| cell.squares == 0.0).map_or(0, |cell| cell.count)
}

fn mean_of(m: &Moments) -> f64 {
    m.sum / m.count.max(1) as f64
}

fn first_mean(histogram: &Histogram) -> f64 {
    histogram.moments().first().map_or(0.0, mean_of)
}

fn last_mean(histogram: &Histogram) -> f64 {
    histogram.moments().last().map_or(0.0, mean_of)
}

/// Counts in `bins` equal bins; cells outside fall into the outermost ones, cells wider than a bin are spread over those
/// they cover.
pub(super) fn bins(histogram: &Histogram, start: f64, width: f64, bins: usize) -> Vec<f64> {
    let mut counts = vec![0.0; bins];
    if bins == 0 {
        return counts;
    }
    for (key, m) in histogram.keys().iter().zip(histogram.moments()) {
        let place = |value: f64| {
            if width > 0.0 { ((value - start) / width).clamp(0.0, bins as f64 - 1.0) as usize } else { 0 }
        };
        let (low, high) = (cell_start(*key), cell_start(*key + 1));
        let exact = m.sum / m.count.max(1) as f64;
        let (first, last) = if m.count < 4 {
            (place(exact), place(exact))
        } else {
            (place(f64::from(low)), place(f64::from(high)))
        };
        let spread = (last - first + 1) as f64;
        for count in counts.iter_mut().skip(first).take(last - first + 1) {
            *count += m.count as f64 / spread;
        }
    }
    counts
}
