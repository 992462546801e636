//! Fixed point: k·2^−r with |k| < 2^(l + r), l integer and r fraction bits, and a sign (Hill et al. 2018, section 2.1).
//!
//! What is beyond the largest value becomes it. Numbers are computed in float32, which has 24 bits of any number: a format
//! with more keeps those.

use super::float::Mode;
use super::rounding::{Round, Rounding, power};
use super::{FormatError, wrong};

/// Most integer bits.
pub const MOST_INTEGER_BITS: u32 = 32;
/// Most fraction bits.
pub const MOST_FRACTION_BITS: u32 = 40;

/// A fixed-point format.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fixed {
    /// Bits in front of the point.
    pub integer: u32,
    /// Bits behind it.
    pub fraction: u32,
    /// Whether there is a sign; without one, what is negative becomes zero.
    pub signed: bool,
    /// How a number between two values is rounded.
    pub rounding: Rounding,
}

impl Fixed {
    /// The paper's: with a sign, and what is between two values is cut.
    pub const fn hill(integer: u32, fraction: u32) -> Self {
        Self { integer, fraction, signed: true, rounding: Rounding::Truncate }
    }

    /// Checks that there is a number in it.
    pub(super) fn check(self) -> Result<Self, FormatError> {
        let (l, r) = (self.integer, self.fraction);
        if l > MOST_INTEGER_BITS {
            return Err(wrong("integer bits", format!("0 to {MOST_INTEGER_BITS}"), l));
        }
        if r > MOST_FRACTION_BITS {
            return Err(wrong("fraction bits", format!("0 to {MOST_FRACTION_BITS}"), r));
        }
        if l + r == 0 {
            return Err(wrong("a format", "a finite value besides zero", "none"));
        }
        Ok(self)
    }

    /// Bits of a value.
    pub const fn bits(&self) -> u32 {
        self.integer + self.fraction + self.signed as u32
    }

    /// The largest value.
    pub fn largest(&self) -> f32 {
        let bits = self.integer + self.fraction;
        if bits > 24 {
            return f32::from_bits(power(self.integer as i32).to_bits() - 1);
        }
        ((1u32 << bits) - 1) as f32 * self.smallest()
    }

    /// The least positive value.
    pub fn smallest(&self) -> f32 {
        power(-(self.fraction as i32))
    }

    /// What a code stands for: the sign, if there is one, above the magnitude.
    pub fn decode(&self, code: u32) -> f32 {
        let bits = self.integer + self.fraction;
        let magnitude = (u64::from(code) & ((1u64 << bits) - 1)) as f64;
        let sign = if self.signed && (u64::from(code) >> bits) & 1 == 1 { -1.0 } else { 1.0 };
        (sign * magnitude * f64::from(self.smallest())) as f32
    }

    /// What rounds to it.
    pub(super) fn prepared<M: Mode>(&self, mode: M) -> Prepared<M> {
        Prepared {
            quantum: self.smallest(),
            whole: power(23 - self.fraction as i32),
            largest: self.largest(),
            signed: self.signed,
            mode,
        }
    }
}

/// A format ready to round.
#[derive(Debug, Clone, Copy)]
pub struct Prepared<M> {
    quantum: f32,
    /// From here on every float32 is a multiple of the quantum.
    whole: f32,
    largest: f32,
    signed: bool,
    mode: M,
}

impl<M: Mode> Round for Prepared<M> {
    #[inline]
    fn round(&self, x: f32, at: u64) -> f32 {
        let size = x.abs();
        let near = if size < self.whole { size } else { self.whole };
        let near = self.mode.multiple(near, self.whole, self.quantum, at);
        let rounded = if size < self.whole { near } else { size };
        let rounded = if rounded > self.largest { self.largest } else { rounded };
        let signed = rounded.copysign(x);
        if !self.signed && signed < 0.0 { 0.0 } else { signed }
    }

    fn largest(&self) -> f32 {
        self.largest
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Format, reference};
    use super::*;

    #[test]
    fn eight_and_eight_bits_saturate_where_the_paper_does() {
        let format = Fixed::hill(8, 8);
        assert_eq!((format.largest(), format.smallest(), format.bits()), (255.996_1, 1.0 / 256.0, 17));
        let rounder = Format::Fixed(format).rounder(super::super::Scale::default()).unwrap();
        assert_eq!(rounder.round(300.0, 0), 255.996_1);
        assert_eq!(rounder.round(-0.999 / 256.0, 0), 0.0);
    }

    #[test]
    fn rounding_takes_the_nearest_or_the_next_towards_zero() {
        for name in ["l3r4", "l3r4:nearest", "l0r8:nearest", "l6r0", "l4r4:unsigned", "l8r7:nearest"] {
            reference::check(&Format::parse(name).unwrap(), name);
        }
    }

    #[test]
    fn more_bits_than_float32_has_keep_what_it_has() {
        let rounder = Format::parse("l10r30").unwrap().rounder(super::super::Scale::default()).unwrap();
        for x in [1.234_567_9f32, 1_023.999_9, 3e-7, 0.1] {
            assert!((rounder.round(x, 0) - x).abs() <= 2f32.powi(-30), "{x}");
        }
        assert_eq!(rounder.round(5000.0, 0), 1_023.999_94);
    }

    #[test]
    fn formats_without_a_number_are_refused() {
        for name in ["l0r0", "l33r0", "l0r41"] {
            assert!(Format::parse(name).is_err(), "{name}");
        }
    }
}
