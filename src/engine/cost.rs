//! What symbols cost, told by their counts: one function for predictions, whose counts come from cells, and for finished
//! files, whose counts were measured.

use super::report::CoderRate;
use crate::entropy::{CodeTable, Coder, Positions};
use crate::quantize::Pruning;
use crate::rate_distortion::entropy_bits;
use crate::recipe::Recipe;
use serde::{Deserialize, Serialize};

/// Symbol counts that share one code table.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Pool {
    pub tensor: Option<usize>,
    /// Number of pruned weights.
    pub zeros: u64,
    /// Number of weights per level index.
    pub levels: Vec<u64>,
}

impl Pool {
    /// Counts per symbol where zeros are symbols: the zero symbol first if pruning is on.
    pub fn symbols(&self, pruning: bool) -> Vec<u64> {
        pruning.then_some(self.zeros).into_iter().chain(self.levels.iter().copied()).collect()
    }

    /// Counts per coded value: those of [`symbols`](Self::symbols), or of the levels alone where zeros are gaps.
    pub fn coded(&self, pruning: bool, positions: Positions) -> Vec<u64> {
        if positions == Positions::Gaps { self.levels.clone() } else { self.symbols(pruning) }
    }

    /// Counts symbols, of which the first is that of pruned weights if `pruning` is on.
    pub fn count(&mut self, symbols: &[u16], pruning: bool) {
        let zero = usize::from(pruning);
        for symbol in symbols {
            let Some(level) = usize::from(*symbol).checked_sub(zero) else {
                self.zeros += 1;
                continue;
            };
            if self.levels.len() <= level {
                self.levels.resize(level + 1, 0);
            }
            if let Some(count) = self.levels.get_mut(level) {
                *count += 1;
            }
        }
    }

    /// Weights with the most frequent symbol.
    pub fn most_frequent(&self) -> u64 {
        self.levels.iter().copied().max().unwrap_or(0).max(self.zeros)
    }

    /// Adds a solution's counts, `times` over.
    pub fn add(&mut self, counts: &[u64], pruned: u64, times: f64) {
        let scaled = |count: u64| (count as f64 * times).round_ties_even() as u64;
        if counts.len() > self.levels.len() {
            self.levels.resize(counts.len(), 0);
        }
        for (sum, count) in self.levels.iter_mut().zip(counts) {
            *sum += scaled(*count);
        }
        self.zeros += scaled(pruned);
    }
}

/// Bits of all weights.
#[derive(Debug)]
pub(super) struct Cost {
    /// Order-0 entropy of the symbols, zeros among them.
    pub entropy: f64,
    /// Codes, tables and codebooks by every coder whose cost counts tell, zeros as symbols.
    pub coders: Vec<(Coder, f64)>,
    /// Values and codebooks by the papers' formulas, without positions.
    pub formula: f64,
}

impl Cost {
    /// The cost of symbols with the counts of `pools` and `side_bits` of codebooks; `pruning` says whether a zero is among them.
    pub fn new(pools: &[Pool], recipe: &Recipe, pruning: bool, side_bits: f64) -> Self {
        let total = |bits: &dyn Fn(&Pool) -> f64| pools.iter().map(bits).sum::<f64>();
        let coder = |coder| (coder, side_bits + total(&|pool| coded_bits(coder, &pool.symbols(pruning))));
        Self {
            entropy: total(&|pool| entropy_total(&pool.symbols(pruning))),
            coders: Coder::by_counts().map(coder).collect(),
            formula: total(&|pool| formula_bits(pool, recipe)) + side_bits,
        }
    }

    /// The cost of symbols that no other coder than their own can tell.
    pub fn joint(bits: f64) -> Self {
        Self { entropy: bits, coders: Coder::by_counts().map(|coder| (coder, bits)).collect(), formula: bits }
    }

    /// Bits per weight by coder.
    pub fn rates(&self, weights: f64) -> Vec<CoderRate> {
        self.coders.iter().map(|(coder, bits)| CoderRate { coder: *coder, bits: bits / weights }).collect()
    }
}

/// Bits of values, positions and codebooks by the recipe's own coder, predicted.
pub(super) fn own_bits(pools: &[Pool], recipe: &Recipe, pruning: bool, side_bits: f64) -> f64 {
    let own = |pool: &Pool| {
        coded_bits(recipe.coder, &pool.coded(pruning, recipe.positions)) + gap_bits(pool, recipe)
    };
    side_bits + pools.iter().map(own).sum::<f64>()
}

/// Bits of positions where they are gaps, predicted: the entropy of those between evenly spread non-zeros, n·h₂(p) in all.
pub(super) fn gap_bits(pool: &Pool, recipe: &Recipe) -> f64 {
    match recipe.positions {
        Positions::Gaps => entropy_total(&[pool.zeros, pool.levels.iter().sum()]),
        Positions::Symbols => 0.0,
    }
}

/// Weights behind all symbols.
pub(super) fn weights(pools: &[Pool]) -> f64 {
    pools.iter().map(|p| (p.zeros + p.levels.iter().sum::<u64>()) as f64).sum()
}

/// Entropy of all symbols with these counts together, in bits.
pub(super) fn entropy_total(counts: &[u64]) -> f64 {
    entropy_bits(counts) * counts.iter().sum::<u64>() as f64
}

/// Bits of symbols with these counts under a coder, its table counted.
pub(super) fn coded_bits(coder: Coder, counts: &[u64]) -> f64 {
    let Ok(table) = CodeTable::new(coder, counts) else { return f64::INFINITY };
    (table.predicted_bits(counts) + table.to_bytes().len() as u64 * 8) as f64
}

/// Bits of values by Choi et al. 2017: Σ (|Cᵢ| + 1)·bᵢ of eq. (1), or N·⌈log2 k⌉ of eq. (2) for fixed length; static range
/// coding with its ideal lengths −log2 p. Positions and the k·32 of the levels come on top.
fn formula_bits(pool: &Pool, recipe: &Recipe) -> f64 {
    let pruning = recipe.pruning != Pruning::None;
    let mut counts = pool.coded(pruning, recipe.positions);
    counts.retain(|count| *count > 0);
    recipe.coder.formula_bits(&counts)
}
