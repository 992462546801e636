//! What no quantizer of independent weights can beat: the Shannon lower bound, for fitted densities and from the cells.
//!
//! For squared error, `D(R) ≥ 2^(2h)/(2πe)·2^(−2R)` with h the differential entropy in bits (Shannon 1959; equality for a
//! Gaussian at rates that give D ≤ σ²). The densities: Gaussian, Laplacian, generalized Gaussian `∝ exp(−|x/α|^β)` fitted
//! by the ratio of mean magnitude and deviation (Mallat 1989, section V; Sharifi and Leon-Garcia 1995), and a histogram
//! estimate that assumes nothing. All describe continuous weights: few distinct values have no density, and a coder of
//! dependent weights may do better.

use std::f64::consts::{E, LN_2, PI};

use crate::histogram::{Histogram, Moments, cell_start};

/// Least weights in a run of cells whose density is estimated.
const RUN: u64 = 64;

/// Differential entropy of a Gaussian with this variance, in bits.
pub fn gaussian_entropy_bits(variance: f64) -> f64 {
    0.5 * libm::log2(2.0 * PI * E * variance)
}

/// Differential entropy of a Laplacian with this variance, in bits.
pub fn laplacian_entropy_bits(variance: f64) -> f64 {
    0.5 * libm::log2(2.0 * E * E * variance)
}

/// Differential entropy of a generalized Gaussian with this variance and shape β (2: Gaussian, 1: Laplacian), in bits.
pub fn generalized_gaussian_entropy_bits(variance: f64, shape: f64) -> f64 {
    let log_gamma = libm::lgamma;
    let log_scale = 0.5 * (libm::log(variance) + log_gamma(1.0 / shape) - log_gamma(3.0 / shape));
    (1.0 / shape + libm::log(2.0 / shape) + log_scale + log_gamma(1.0 / shape)) / LN_2
}

/// The shape β of the generalized Gaussian whose mean magnitude and deviation about the mean have this ratio, from 0.2
/// to 16; ratios that have none give the nearest end.
pub fn generalized_gaussian_shape(mean_magnitude: f64, deviation: f64) -> f64 {
    let target = mean_magnitude / deviation;
    let ratio = |shape: f64| {
        let log_gamma = libm::lgamma;
        libm::exp(log_gamma(2.0 / shape) - 0.5 * (log_gamma(1.0 / shape) + log_gamma(3.0 / shape)))
    };
    // The ratio rises with the shape: bisection on its logarithm.
    let (mut low, mut high) = (0.2, 16.0);
    for _ in 0..60 {
        let middle = libm::sqrt(low * high);
        if ratio(middle) < target {
            low = middle;
        } else {
            high = middle;
        }
    }
    libm::sqrt(low * high)
}

/// The Shannon lower bound on the mean squared error at `rate_bits` per weight.
///
/// ```
/// use quantscope::rate_distortion::bounds::{gaussian_entropy_bits, shannon_lower_bound};
/// assert!((shannon_lower_bound(gaussian_entropy_bits(1.0), 2.0) - 0.0625).abs() < 1e-12);
/// ```
pub fn shannon_lower_bound(entropy_bits: f64, rate_bits: f64) -> f64 {
    libm::exp2(2.0 * (entropy_bits - rate_bits)) / (2.0 * PI * E)
}

/// The rate below which no code has a mean squared error of `mse`, in bits per weight: [`shannon_lower_bound`] read the
/// other way, 0 where the error is large enough for no bits at all.
///
/// ```
/// use quantscope::rate_distortion::bounds::{gaussian_entropy_bits, shannon_lower_rate};
/// assert!((shannon_lower_rate(gaussian_entropy_bits(1.0), 0.0625) - 2.0).abs() < 1e-12);
/// assert_eq!(shannon_lower_rate(gaussian_entropy_bits(1.0), 3.0), 0.0);
/// ```
pub fn shannon_lower_rate(entropy_bits: f64, mse: f64) -> f64 {
    (entropy_bits - gaussian_entropy_bits(mse)).max(0.0)
}

/// Whether so many weights are exactly zero that they have no density: pruned ones, or multiples of some step.
pub fn repeats_zero(histogram: &Histogram) -> bool {
    let total: u64 = histogram.moments().iter().map(|cell| cell.count).sum();
    let is_zero = |cell: &Moments| cell.squares == 0.0 && cell.count > RUN.max(total / 1000);
    histogram.moments().iter().any(is_zero)
}

/// Densities fitted to weights, as differential entropies.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fit {
    /// Variance about the mean.
    pub variance: f64,
    /// Shape β of the generalized Gaussian.
    pub shape: f64,
    /// Differential entropy of the Gaussian with this variance, in bits.
    pub gaussian_bits: f64,
    /// Of the Laplacian with this variance.
    pub laplacian_bits: f64,
    /// Of the generalized Gaussian with this variance and shape.
    pub generalized_bits: f64,
    /// Estimated from the cells, without a model.
    pub histogram_bits: f64,
}

/// Fits the densities to `histogram`; `None` where the weights have no spread.
pub fn fit(histogram: &Histogram) -> Option<Fit> {
    let total = histogram.total();
    let count = total.count as f64;
    let mean = total.sum / count;
    let about = |cell: &Moments| {
        let offset = cell.sum / cell.count as f64 - mean;
        cell.count as f64 * offset * offset
            + (cell.squares - cell.sum * cell.sum / cell.count as f64).max(0.0)
    };
    let variance = histogram.moments().iter().map(about).sum::<f64>() / count;
    if variance.is_nan() || variance <= 1e-24 * mean * mean {
        return None;
    }
    let magnitude =
        histogram.moments().iter().map(|cell| (cell.sum - mean * cell.count as f64).abs()).sum::<f64>()
            / count;
    let shape = generalized_gaussian_shape(magnitude, libm::sqrt(variance));
    Some(Fit {
        variance,
        shape,
        gaussian_bits: gaussian_entropy_bits(variance),
        laplacian_bits: laplacian_entropy_bits(variance),
        generalized_bits: generalized_gaussian_entropy_bits(variance, shape),
        histogram_bits: histogram_entropy_bits(histogram),
    })
}

/// Differential entropy estimated from the cells, in bits: Σ p·log2(width/p) over runs of neighbouring cells with at least
/// 64 weights each (or one in 2^15 of all, whichever is more), and half a nat per run and weight for the entropy that
/// counting few weights loses on average (Miller 1955).
pub fn histogram_entropy_bits(histogram: &Histogram) -> f64 {
    let total: u64 = histogram.moments().iter().map(|cell| cell.count).sum();
    let least = RUN.max(total >> 15);
    let (mut bits, mut runs) = (0.0, 0u64);
    let (mut start, mut count) = (None, 0);
    let mut cells = histogram.keys().iter().zip(histogram.moments()).peekable();
    while let Some((key, cell)) = cells.next() {
        let from = *start.get_or_insert_with(|| f64::from(cell_start(*key)));
        count += cell.count;
        let next = cells.peek().map(|(key, _)| f64::from(cell_start(**key)));
        if count >= least || next.is_none() {
            let width = next.unwrap_or_else(|| f64::from(cell_start(key + 1))) - from;
            let share = count as f64 / total as f64;
            bits += share * libm::log2(width / share);
            runs += 1;
            (start, count) = (next, 0);
        }
    }
    bits + runs as f64 / (2.0 * LN_2 * total.max(1) as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::SplitMix64;

    #[test]
    fn shapes_one_and_two_are_laplacian_and_gaussian() {
        for variance in [1e-6, 1.0, 50.0] {
            let generalized = |shape| generalized_gaussian_entropy_bits(variance, shape);
            assert!((generalized(1.0) - laplacian_entropy_bits(variance)).abs() < 1e-12);
            assert!((generalized(2.0) - gaussian_entropy_bits(variance)).abs() < 1e-12);
        }
        assert!((generalized_gaussian_shape(libm::sqrt(0.5), 1.0) - 1.0).abs() < 1e-9);
        assert!((generalized_gaussian_shape(libm::sqrt(2.0 / PI), 1.0) - 2.0).abs() < 1e-9);
    }

    #[test]
    fn the_laplacian_bound_is_e_over_pi_below_the_gaussian_one() {
        let bound = shannon_lower_bound(laplacian_entropy_bits(1.0), 0.0);
        assert!((bound - E / PI).abs() < 1e-12);
    }

    #[test]
    fn laplace_weights_are_recognised() {
        let mut random = SplitMix64::new(5);
        let weight = |random: &mut SplitMix64| {
            let sign = if random.bits() >> 63 == 0 { 0.02 } else { -0.02 };
            (sign * -libm::log(1.0 - random.unit())) as f32
        };
        let values: Vec<f32> = (0..200_000).map(|_| weight(&mut random)).collect();
        let fit = fit(&Histogram::new(&values, None)).unwrap();
        assert!((fit.variance / 8e-4 - 1.0).abs() < 0.02);
        assert!((fit.shape - 1.0).abs() < 0.02);
        assert!((fit.histogram_bits - laplacian_entropy_bits(8e-4)).abs() < 0.03, "{fit:?}");
        assert!((fit.generalized_bits - fit.laplacian_bits).abs() < 0.01);
        assert!(fit.gaussian_bits > fit.histogram_bits);
    }

    #[test]
    fn equal_weights_have_no_density() {
        assert_eq!(fit(&Histogram::new(&[0.5; 100], None)), None);
        assert_eq!(fit(&Histogram::default()), None);
    }
}
