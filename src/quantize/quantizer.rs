//! A solved scalar quantizer: from weights to symbols.
//!
//! With thresholds, a weight's symbol is the number of thresholds ≤ the weight, found by a binary search without
//! branches: log2 k steps, eight weights at a time so that their searches overlap. With the rate-aware rule see
//! [`super::rate_aware`].

use super::assemble::{measured, midpoints};
use super::rate_aware::RateAware;
use super::{QuantizeError, Quantizer, Rule, Solution};
use crate::histogram::Histogram;

/// Most levels a quantizer may have: symbols have 16 bits.
pub const MAX_LEVELS: usize = 65_535;

/// Weights searched side by side.
const LANES: usize = 8;

impl Quantizer {
    /// Checks `levels` and `rule` against each other: what every decoder relies on.
    pub fn new(levels: Vec<f32>, rule: Rule) -> Result<Self, QuantizeError> {
        let malformed = |what: String| Err(QuantizeError::Malformed(what));
        if levels.is_empty() || levels.len() > MAX_LEVELS {
            return malformed(format!("expected 1 to {MAX_LEVELS} levels, found {}", levels.len()));
        }
        if let Some(i) = levels.iter().position(|c| !c.is_finite()) {
            return malformed(format!("level {i} is not finite"));
        }
        if let Some(i) = not_ascending(&levels) {
            return malformed(format!("level {} is not above level {i}", i + 1));
        }
        match &rule {
            Rule::Thresholds(thresholds) => {
                if thresholds.len() + 1 != levels.len() {
                    return malformed(format!(
                        "expected {} thresholds for {} levels, found {}",
                        levels.len() - 1,
                        levels.len(),
                        thresholds.len()
                    ));
                }
                if let Some(i) = thresholds.iter().position(|t| !t.is_finite()) {
                    return malformed(format!("threshold {i} is not finite"));
                }
                if let Some(i) = not_ascending(thresholds) {
                    return malformed(format!("threshold {} is not above threshold {i}", i + 1));
                }
            }
            Rule::RateAware { lambda, rates } => {
                if rates.len() != levels.len() {
                    return malformed(format!("expected {} rates, found {}", levels.len(), rates.len()));
                }
                if !(lambda.is_finite() && *lambda >= 0.0) {
                    return malformed(format!("lambda is {lambda}, expected a finite number from 0"));
                }
                if let Some(i) = rates.iter().position(|rate| !(rate.is_finite() && *rate >= 0.0)) {
                    return malformed(format!("rate {i} is not a finite number from 0"));
                }
            }
        }
        Ok(Self { levels, rule })
    }

    /// The quantizer that sends a weight to the nearest of `levels`, to the upper one on a tie.
    ///
    /// `levels` are finite and strictly ascending; [`new`](Self::new) checks levels from outside.
    pub fn nearest(levels: Vec<f32>) -> Self {
        let thresholds = midpoints(&levels);
        Self { levels, rule: Rule::Thresholds(thresholds) }
    }

    /// What this quantizer is predicted to cost on `histogram`, each cell going as a whole where its mean goes.
    ///
    /// The rate-aware rule is predicted with the mean importance of each cell, which is exact only where importance does
    /// not differ inside a cell.
    pub fn predict(&self, histogram: &Histogram) -> Solution {
        measured(histogram.moments(), self.clone())
    }

    /// The level of weight `w` with importance `h`; for many weights [`symbols`](Self::symbols) is faster.
    pub fn symbol(&self, w: f32, h: f32) -> usize {
        match &self.rule {
            Rule::Thresholds(thresholds) => thresholds.partition_point(|threshold| *threshold <= w),
            Rule::RateAware { lambda, rates } => RateAware::new(&self.levels, *lambda, rates).symbol(w, h),
        }
    }

    /// Appends the level of each of `values` to `out`; `importance` (same length) defaults to 1.
    pub fn symbols(&self, values: &[f32], importance: Option<&[f32]>, out: &mut Vec<u16>) {
        out.reserve(values.len());
        match (&self.rule, importance) {
            (Rule::Thresholds(thresholds), _) => threshold_symbols(thresholds, values, out),
            (Rule::RateAware { lambda, rates }, Some(h)) => {
                let rule = RateAware::new(&self.levels, *lambda, rates);
                out.extend(values.iter().zip(h).map(|(w, h)| rule.symbol(*w, *h) as u16));
            }
            (Rule::RateAware { lambda, rates }, None) => {
                let rule = RateAware::new(&self.levels, *lambda, rates);
                out.extend(values.iter().map(|w| rule.symbol(*w, 1.0) as u16));
            }
        }
    }

    /// Appends the level values of `symbols` to `out`; `None`, with nothing appended, if one has no level.
    pub fn values(&self, symbols: &[u16], out: &mut Vec<f32>) -> Option<()> {
        let start = out.len();
        for symbol in symbols {
            if let Some(level) = self.levels.get(usize::from(*symbol)) {
                out.push(*level);
            } else {
                out.truncate(start);
                return None;
            }
        }
        Some(())
    }
}

/// The first position whose successor is not above it.
fn not_ascending(values: &[f32]) -> Option<usize> {
    values.windows(2).position(|pair| matches!(pair, [a, b] if a >= b))
}

/// Appends, per value, the number of thresholds ≤ it.
fn threshold_symbols(thresholds: &[f32], values: &[f32], out: &mut Vec<u16>) {
    let (blocks, rest) = values.as_chunks::<LANES>();
    match thresholds.len() {
        0..16 => search_blocks::<16>(thresholds, blocks, out),
        16..256 => search_blocks::<256>(thresholds, blocks, out),
        256..4096 => search_blocks::<4096>(thresholds, blocks, out),
        _ => search_blocks::<65_536>(thresholds, blocks, out),
    }
    out.extend(rest.iter().map(|w| thresholds.partition_point(|threshold| threshold <= w) as u16));
}

/// An integer that orders like the finite float32 `w`; ±0 are equal.
#[inline]
fn order(w: f32) -> i64 {
    let bits = (w + 0.0).to_bits() as i32;
    i64::from(bits ^ ((bits >> 31) as u32 >> 1) as i32)
}

/// Binary search for blocks of values in fewer than N thresholds, N a power of two.
///
/// The table of fixed size spares every bounds check. Comparing integers by the sign of their difference keeps the
/// compiler from branching on it: a branch would be guessed wrongly every other time.
fn search_blocks<const N: usize>(thresholds: &[f32], blocks: &[[f32; LANES]], out: &mut Vec<u16>) {
    if blocks.is_empty() {
        return;
    }
    let mut table: Vec<i64> = thresholds.iter().map(|threshold| order(*threshold)).collect();
    table.resize(N, i64::MAX >> 1);
    let Some(table) = table.first_chunk::<N>() else { return };
    for block in blocks {
        let keys = block.map(order);
        let mut below = [0usize; LANES];
        let mut half = N / 2;
        while half > 0 {
            for (below, key) in below.iter_mut().zip(&keys) {
                let probe = table[(*below + half - 1) & (N - 1)];
                let at_or_below = ((probe - key - 1) >> 63) as usize;
                *below += at_or_below & half;
            }
            half /= 2;
        }
        out.extend(below.map(|below| below as u16));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn symbols_equal_the_count_of_thresholds_at_or_below() {
        let mut random = super::super::random::SplitMix64::new(7);
        for k in [1usize, 2, 3, 4, 5, 8, 16, 17, 255, 256, 1000] {
            let levels: Vec<f32> = (0..k).map(|i| i as f32 - k as f32 / 2.0).collect();
            let quantizer = Quantizer::nearest(levels);
            let Rule::Thresholds(thresholds) = &quantizer.rule else { panic!() };
            for len in 0..=17 {
                let mut values: Vec<f32> =
                    (0..len).map(|_| ((random.unit() - 0.5) * 1.2 * k as f64) as f32).collect();
                values.extend(thresholds.iter().take(3));
                let mut symbols = Vec::new();
                quantizer.symbols(&values, None, &mut symbols);
                for (w, symbol) in values.iter().zip(&symbols) {
                    let expected = thresholds.iter().filter(|t| *t <= w).count();
                    assert_eq!(usize::from(*symbol), expected);
                    assert_eq!(quantizer.symbol(*w, 1.0), expected);
                }
            }
        }
    }

    #[test]
    fn a_malformed_quantizer_is_refused() {
        let thresholds = |t: &[f32]| Rule::Thresholds(t.to_vec());
        let message =
            |levels: &[f32], rule: Rule| Quantizer::new(levels.to_vec(), rule).unwrap_err().to_string();
        assert!(Quantizer::new(vec![1.0, 2.0], thresholds(&[1.5])).is_ok());
        assert!(message(&[], thresholds(&[])).contains("found 0"));
        assert!(message(&[1.0, 1.0], thresholds(&[1.0])).contains("level 1 is not above level 0"));
        assert!(message(&[1.0, f32::NAN], thresholds(&[1.0])).contains("level 1 is not finite"));
        assert!(message(&[1.0, 2.0], thresholds(&[])).contains("expected 1 thresholds"));
        assert!(message(&[1.0, 2.0, 3.0], thresholds(&[2.0, 1.0])).contains("threshold 1"));
        let rule = Rule::RateAware { lambda: -1.0, rates: vec![1.0, 1.0] };
        assert!(message(&[1.0, 2.0], rule).contains("lambda"));
    }

    #[test]
    fn values_of_symbols_are_levels() {
        let quantizer = Quantizer::nearest(vec![-1.0, 0.5]);
        let mut out = vec![9.0];
        assert_eq!(quantizer.values(&[1, 0], &mut out), Some(()));
        assert_eq!(out, [9.0, 0.5, -1.0]);
        assert_eq!(quantizer.values(&[0, 2], &mut out), None);
        assert_eq!(out.len(), 3);
    }
}
