//! How a number becomes one of a format's values.

/// How a number between two values is rounded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rounding {
    /// To the nearest; to the one whose last bit is 0 where both are as near.
    Nearest,
    /// Towards zero (the emulation of Hill et al. 2018, section 3.1).
    Truncate,
    /// Up or down with the probabilities that make the mean right, by a seed and the number's index: the same on every target.
    Stochastic(u32),
}

/// What a format's values are multiplied by, and which integer stands for zero where a format has a zero point.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Scale {
    /// The factor, positive and finite.
    pub scale: f32,
    /// The zero point of affine integers.
    pub zero_point: i32,
}

impl Default for Scale {
    fn default() -> Self {
        Self { scale: 1.0, zero_point: 0 }
    }
}

/// A format that is ready to round.
pub trait Round: Send + Sync {
    /// The value that `x`, the number of this index, becomes; NaN stays NaN.
    fn round(&self, x: f32, at: u64) -> f32;

    /// The largest magnitude that is kept.
    fn largest(&self) -> f32;
}

/// What rounding did to numbers: the paper's two ways to fail (Hill et al. 2018, section 4.3), and how far they reached.
#[derive(Debug, Clone, Copy, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Counts {
    /// Numbers.
    pub of: u64,
    /// Finite ones beyond the largest value.
    pub saturated: u64,
    /// Those that were not zero and became it.
    pub underflowed: u64,
    /// Infinities and NaN before rounding.
    pub not_finite: u64,
    /// The largest finite magnitude before rounding.
    pub largest: f32,
}

impl Counts {
    /// Adds those of other numbers.
    pub fn merge(&mut self, other: &Self) {
        self.of += other.of;
        self.saturated += other.saturated;
        self.underflowed += other.underflowed;
        self.not_finite += other.not_finite;
        self.largest = self.largest.max(other.largest);
    }
}

/// Rounds numbers in place, the first of which has index `first`; what it did to them.
pub fn round_slice<R: Round + ?Sized>(round: &R, numbers: &mut [f32], first: u64) -> Counts {
    let largest = round.largest();
    let mut counts = Counts { of: numbers.len() as u64, ..Counts::default() };
    for (chunk, start) in numbers.chunks_mut(1 << 12).zip((first..).step_by(1 << 12)) {
        let (mut saturated, mut underflowed, mut not_finite) = (0u32, 0u32, 0u32);
        let mut most = 0u32;
        for (x, at) in chunk.iter_mut().zip(start..) {
            let rounded = round.round(*x, at);
            let size = x.abs();
            let is_finite = size < f32::INFINITY;
            saturated += u32::from(is_finite && size > largest);
            underflowed += u32::from(size > 0.0 && rounded == 0.0);
            not_finite += u32::from(!is_finite);
            most = most.max(if is_finite { size.to_bits() } else { 0 });
            *x = rounded;
        }
        counts.saturated += u64::from(saturated);
        counts.underflowed += u64::from(underflowed);
        counts.not_finite += u64::from(not_finite);
        counts.largest = counts.largest.max(f32::from_bits(most));
    }
    counts
}

/// 2^`exponent` as a float32, from -149 to 127.
pub(super) fn power(exponent: i32) -> f32 {
    libm::exp2(f64::from(exponent)) as f32
}
