//! Magnitude pruning in front of any quantizer: weights with |w| ≤ t become zero.
//!
//! Han, Pool, Tran and Dally 2015, section 3. The threshold is resolved on the histogram, where magnitudes are known per
//! cell; a fraction becomes the cell boundary whose share of weights is nearest to it. Zeros that are there already
//! count as pruned. Cost: O(cells log cells).

use crate::histogram::{Histogram, Moments};
use crate::order;

/// Which weights to set to zero.
#[derive(Debug, Clone, Copy, PartialEq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pruning {
    /// None.
    #[default]
    None,
    /// Those with at most this magnitude.
    Threshold(f32),
    /// About this share of all weights, the smallest first.
    Fraction(f64),
}

/// A histogram split by a pruning threshold.
#[derive(Debug, Clone, PartialEq)]
pub struct Pruned {
    /// Weights with at most this magnitude are pruned; `None` prunes nothing, not even zeros.
    pub threshold: Option<f32>,
    /// The weights that are left.
    pub kept: Histogram,
    /// Sums over the weights that became zero: their squares are the error.
    pub pruned: Moments,
}

impl Pruned {
    /// Share of the weights that are pruned.
    pub fn fraction(&self) -> f64 {
        let kept: u64 = self.kept.moments().iter().map(|cell| cell.count).sum();
        self.pruned.count as f64 / (kept + self.pruned.count).max(1) as f64
    }
}

impl Pruning {
    /// The threshold on |w| that this means for `histogram`; `None` if nothing is pruned.
    pub fn threshold(&self, histogram: &Histogram) -> Option<f32> {
        match *self {
            Self::None => None,
            Self::Threshold(threshold) => (threshold >= 0.0).then_some(threshold),
            Self::Fraction(fraction) => fraction_threshold(histogram, fraction),
        }
    }

    /// Splits `histogram`. A cell goes where its mean does, which is exact for thresholds on cell boundaries, those of a
    /// fraction among them.
    pub fn split(&self, histogram: &Histogram) -> Pruned {
        let threshold = self.threshold(histogram);
        let mut pruned = Moments::default();
        let kept = histogram.filter(|_, cell| {
            let mean = cell.sum / cell.count.max(1) as f64;
            let prune = threshold.is_some_and(|threshold| mean.abs() <= f64::from(threshold));
            if prune {
                pruned.add(cell);
            }
            !prune
        });
        Pruned { threshold, kept, pruned }
    }
}

/// The largest magnitude of a cell's size class: cells of both signs with the same exponent and top mantissa bits.
fn class_end(cell: &Moments) -> f32 {
    let mean = (cell.sum / cell.count.max(1) as f64) as f32;
    f32::from_bits((mean.abs().to_bits() | 0xfff).min(f32::MAX.to_bits()))
}

/// The end of the size class up to which the share of weights is nearest to `fraction`, the smaller one on a tie.
fn fraction_threshold(histogram: &Histogram, fraction: f64) -> Option<f32> {
    let classes: Vec<(f32, u64)> =
        histogram.moments().iter().map(|cell| (class_end(cell), cell.count)).collect();
    let classes = order::sorted_by_key(&classes, |(end, _)| u64::from(order::key_f32(*end)));
    let total: u64 = classes.iter().map(|(_, count)| count).sum();
    let target = fraction * total as f64;
    let mut chosen = None;
    let (mut passed, mut distance) = (0, target.abs());
    for class in classes.chunk_by(|a, b| a.0 == b.0) {
        passed += class.iter().map(|(_, count)| count).sum::<u64>();
        let now = (passed as f64 - target).abs();
        if now >= distance {
            break;
        }
        distance = now;
        chosen = class.first().map(|(end, _)| *end);
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ramp() -> Histogram {
        let values: Vec<f32> = (1..=1000).map(|i| if i % 2 == 0 { i as f32 } else { -(i as f32) }).collect();
        Histogram::new(&values, None)
    }

    #[test]
    fn a_fraction_prunes_about_that_share_of_the_smallest() {
        for fraction in [0.1, 0.5, 0.914] {
            let split = Pruning::Fraction(fraction).split(&ramp());
            assert!((split.fraction() - fraction).abs() < 0.001, "{fraction}: {}", split.fraction());
            let threshold = f64::from(split.threshold.unwrap());
            assert!((threshold - fraction * 1000.0).abs() < 1.0);
            let expected: f64 = (1..=(fraction * 1000.0) as u64).map(|i| (i * i) as f64).sum();
            assert_eq!(split.pruned.squares, expected);
        }
    }

    #[test]
    fn the_resolved_threshold_prunes_the_same_weights_one_by_one() {
        let mut random = crate::random::SplitMix64::new(1);
        let values: Vec<f32> = (0..20_000).map(|_| (random.unit() * random.unit() - 0.3) as f32).collect();
        let histogram = Histogram::new(&values, None);
        for fraction in [0.01, 0.2, 0.77] {
            let split = Pruning::Fraction(fraction).split(&histogram);
            let threshold = split.threshold.unwrap();
            let count = values.iter().filter(|w| w.abs() <= threshold).count();
            assert_eq!(count as u64, split.pruned.count);
            assert!((split.fraction() - fraction).abs() < 0.002);
        }
    }

    #[test]
    fn zeros_count_as_pruned() {
        let histogram = Histogram::new(&[0.0, 0.0, -0.0, 1.0, -2.0], None);
        let split = Pruning::Fraction(0.6).split(&histogram);
        assert_eq!((split.pruned.count, split.kept.len()), (3, 2));
        assert!(split.threshold.unwrap() < 1e-30);
    }

    #[test]
    fn none_and_a_fraction_of_nothing_keep_all() {
        for pruning in [Pruning::None, Pruning::Fraction(0.0), Pruning::Threshold(f32::NAN)] {
            let split = pruning.split(&ramp());
            assert_eq!((split.threshold, split.kept.len()), (None, ramp().len()));
            assert_eq!(split.fraction(), 0.0);
        }
        assert_eq!(Pruning::Fraction(1.0).split(&ramp()).kept.len(), 0);
        assert_eq!(Pruning::Threshold(500.0).split(&ramp()).fraction(), 0.5);
    }
}
