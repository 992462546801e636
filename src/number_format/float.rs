//! Floating point in few bits: a sign, e exponent and m mantissa bits, with subnormals, without infinities and NaN:
//! (1 + f/2^m)·2^(x − b) for x > 0, f/2^m·2^(1 − b) for x = 0, the bias b being 2^(e − 1) − 1.
//!
//! Of 4 bits it is FP4 E2M1, of 6 bits FP6 E3M2 (Open Compute Project 2023, Microscaling Formats 1.0, section 5.3). Of 8
//! bits it is E4M3 with its NaN read as the number that follows 448.

/// Exponent bits by the number of bits, from 2 on; the others but the sign are the mantissa's.
const EXPONENT_BITS: [u32; 7] = [1, 2, 2, 2, 3, 3, 4];

/// The numbers of so many bits.
pub fn values(bits: u32) -> Vec<f32> {
    let exponent = EXPONENT_BITS.get(bits.saturating_sub(2) as usize).copied().unwrap_or(4);
    let mantissa = bits - 1 - exponent;
    let bias = (1i32 << (exponent - 1)) - 1;
    let magnitude = |code: i32| {
        let (x, f) = (code >> mantissa, code & ((1 << mantissa) - 1));
        let significand = if x > 0 { f + (1 << mantissa) } else { f };
        significand as f32 * libm::exp2f((x.max(1) - bias - mantissa as i32) as f32)
    };
    let magnitudes: Vec<f32> = (1..1 << (bits - 1)).map(magnitude).collect();
    let negative = magnitudes.iter().rev().map(|value| -value);
    negative.chain([0.0]).chain(magnitudes.iter().copied()).collect()
}

#[cfg(test)]
mod tests {
    use super::values;

    #[test]
    fn four_bits_are_the_published_values() {
        let positive: Vec<f32> = values(4).into_iter().filter(|value| *value > 0.0).collect();
        assert_eq!(positive, [0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0]);
    }

    #[test]
    fn six_and_eight_bits_reach_as_far_as_published() {
        assert_eq!(values(6).last(), Some(&28.0));
        assert_eq!(values(6).into_iter().find(|value| *value > 0.0), Some(0.0625));
        assert!(values(8).contains(&448.0));
    }
}
