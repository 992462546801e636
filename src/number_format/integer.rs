//! Symmetric integers: −m … m with m = 2^(bits − 1) − 1. The most negative code of two's complement is left out, so that
//! the largest weight of a block has the same place on either side of zero (Jacob et al. 2018, section 2.1, for weights).

/// The integers of so many bits.
pub fn values(bits: u32) -> Vec<f32> {
    let most = (1i32 << (bits - 1)) - 1;
    (-most..=most).map(|value| value as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::values;

    #[test]
    fn four_bits_are_fifteen_integers() {
        assert_eq!(values(4), (-7..=7).map(|value| value as f32).collect::<Vec<_>>());
    }
}
