//! What a quantizer costs and loses: rates, distortion measures, bounds and hulls.
//!
//! - here: entropy, squared error, signal-to-noise ratio, the compression ratio as the papers count it;
//! - [`bounds`]: what no quantizer can beat;
//! - [`hull`]: which of many (rate, distortion) points are worth having.

pub mod bounds;
pub mod hull;

/// Entropy of symbols with these counts, in bits per symbol (Shannon 1948, section 6); 0 without symbols.
///
/// ```
/// assert_eq!(quantscope::rate_distortion::entropy_bits(&[500, 250, 125, 125]), 1.75);
/// ```
pub fn entropy_bits(counts: &[u64]) -> f64 {
    let total: u64 = counts.iter().sum();
    if total == 0 {
        return 0.0;
    }
    let total = total as f64;
    let bits = |count: &u64| *count as f64 * libm::log2(total / *count as f64);
    counts.iter().filter(|count| **count > 0).map(bits).sum::<f64>() / total
}

/// Mean squared error: Σ (w − ŵ)² over `count` weights; 0 without weights.
pub fn mse(squared_error: f64, count: u64) -> f64 {
    squared_error / count.max(1) as f64
}

/// Signal-to-quantization-noise ratio `10·log10(Σ w² / Σ (w − ŵ)²)` in dB; infinite without error.
pub fn sqnr_db(signal: f64, squared_error: f64) -> f64 {
    if squared_error > 0.0 { 10.0 * libm::log10(signal / squared_error) } else { f64::INFINITY }
}

/// The compression ratio of Choi, El-Khamy and Lee 2017, equation (1): every codeword is stored once in the decoder's
/// table beside `b = source_bits` for every level.
///
/// `ratio = N·b / (Σ (n_i + 1)·b_i + k·b)` with counts `n_i`, code lengths `b_i` and k the number of counts.
///
/// ```
/// let ratio = quantscope::rate_distortion::variable_length_ratio(&[500, 250, 125, 125], &[1, 2, 3, 3], 32);
/// assert!((ratio - 16.958135).abs() < 1e-6);
/// ```
pub fn variable_length_ratio(counts: &[u64], lengths_bits: &[u32], source_bits: u32) -> f64 {
    let total: u64 = counts.iter().sum();
    let code: f64 =
        counts.iter().zip(lengths_bits).map(|(count, bits)| (*count as f64 + 1.0) * f64::from(*bits)).sum();
    let table = counts.len() as f64 * f64::from(source_bits);
    total as f64 * f64::from(source_bits) / (code + table)
}

/// The compression ratio of Choi, El-Khamy and Lee 2017, equation (2): ⌈log2 k⌉ bits per weight, levels in full.
///
/// ```
/// let ratio = quantscope::rate_distortion::fixed_length_ratio(431_080, 16, 32);
/// assert!((ratio - 7.997625).abs() < 1e-6);
/// ```
pub fn fixed_length_ratio(count: u64, levels: u64, source_bits: u32) -> f64 {
    let bits = levels.max(1).next_power_of_two().trailing_zeros();
    let coded = count as f64 * f64::from(bits) + levels as f64 * f64::from(source_bits);
    count as f64 * f64::from(source_bits) / coded
}

#[cfg(test)]
#[allow(clippy::unreadable_literal)] // as published
mod tests {
    use super::*;

    #[test]
    fn entropy_of_known_distributions() {
        assert!((entropy_bits(&[45, 13, 12, 16, 9, 5]) - 2.219880).abs() < 1e-6);
        assert!((entropy_bits(&[9, 1]) - 0.468996).abs() < 1e-6);
        assert!((entropy_bits(&[70, 15, 15]) - 1.181291).abs() < 1e-6);
        assert_eq!(entropy_bits(&[]), 0.0);
        assert_eq!(entropy_bits(&[0, 7, 0]), 0.0);
    }

    #[test]
    fn ratios_of_the_papers_formulas() {
        let fixed = [
            (431_080, 4, 15.997625),
            (431_080, 16, 7.997625),
            (431_080, 256, 3.990521),
            (464_154, 16, 7.997794),
            (1000, 16, 7.092199),
            (100, 16, 3.508772),
            (36_860, 8, 10.642030),
        ];
        for (count, levels, expected) in fixed {
            assert!((fixed_length_ratio(count, levels, 32) - expected).abs() < 5e-7, "{count} {levels}");
        }
        let counts = [45_000, 13_000, 12_000, 16_000, 9_000, 5_000];
        assert!((variable_length_ratio(&counts, &[1, 3, 3, 3, 4, 4], 32) - 14.272334).abs() < 5e-7);
    }

    #[test]
    fn a_ratio_of_powers_is_ten_decibels_per_factor_of_ten() {
        assert!((sqnr_db(1000.0, 1.0) - 30.0).abs() < 1e-12);
        assert_eq!(sqnr_db(1.0, 0.0), f64::INFINITY);
        assert_eq!(mse(6.0, 3), 2.0);
    }
}
