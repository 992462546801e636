//! Integers, times a scale: symmetric, −m … m with m = 2^(bits − 1) − 1, or affine, 0 … 2^bits − 1 less a zero point.
//!
//! The most negative code of two's complement is left out of the symmetric ones, so that the largest weight of a block has
//! the same place on either side of zero (Jacob et al. 2018, section 2.1, for weights); *full* ones have it (ggml's `Q4_0`).
//! Between two integers a number goes to the nearest, halves to the even one.

use super::rounding::{Round, Scale};
use super::{FormatError, wrong};

/// Fewest and most bits.
pub const BITS: (u32, u32) = (2, 16);

/// A format of integers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Integer {
    /// Bits of a value.
    pub bits: u32,
    /// Whether a zero point says which integer stands for zero.
    pub affine: bool,
    /// Whether the most negative code of two's complement is a value; never of an affine one.
    pub full: bool,
}

impl Integer {
    /// Checks the bits.
    pub(super) fn check(self) -> Result<Self, FormatError> {
        if self.full && self.affine {
            return Err(wrong("an integer", "a zero point, or the code below all others", "both"));
        }
        if (BITS.0..=BITS.1).contains(&self.bits) {
            return Ok(self);
        }
        Err(wrong("bits of an integer", format!("{} to {}", BITS.0, BITS.1), self.bits))
    }

    /// The least and the largest integer, `zero_point` being what stands for zero.
    pub fn range(self, zero_point: i32) -> (i32, i32) {
        let all = 1i32 << self.bits;
        if self.affine {
            (-zero_point, all - 1 - zero_point)
        } else {
            (i32::from(!self.full) - all / 2, all / 2 - 1)
        }
    }

    /// What a code stands for, by two's complement, or from zero on where it is affine.
    pub fn decode(self, code: u32) -> f32 {
        let shift = 32 - self.bits;
        if self.affine { (code << shift >> shift) as f32 } else { ((code << shift) as i32 >> shift) as f32 }
    }

    /// What rounds to it.
    pub(super) fn prepared(self, scale: Scale) -> Prepared {
        let (least, most) = self.range(scale.zero_point);
        Prepared { least: least as f32, most: most as f32 }
    }
}

/// A format ready to round what was divided by the scale.
#[derive(Debug, Clone, Copy)]
pub struct Prepared {
    least: f32,
    most: f32,
}

impl Round for Prepared {
    #[inline]
    fn round(&self, x: f32, _: u64) -> f32 {
        const WHOLE: f32 = 12_582_912.0;
        let within = x.min(self.most).max(self.least);
        let rounded = (within + WHOLE) - WHOLE;
        if x.is_nan() { x } else { rounded }
    }

    fn largest(&self) -> f32 {
        self.most.max(-self.least)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Format, reference};
    use super::*;

    #[test]
    fn four_bits_are_fifteen_integers_and_sixteen_where_all_codes_count() {
        let all = |name: &str, range: std::ops::RangeInclusive<i8>| {
            let expected: Vec<f32> = range.map(f32::from).collect();
            assert_eq!(Format::parse(name).unwrap().values(), expected, "{name}");
        };
        all("int4", -7..=7);
        all("int4:full", -8..=7);
        all("uint4", 0..=15);
        let rounder = Format::parse("int4:full").unwrap().rounder(Scale::default()).unwrap();
        assert_eq!((rounder.round(-9.0, 0), rounder.round(9.0, 0)), (-8.0, 7.0));
        assert!(Format::parse("uint4:full").is_err());
    }

    #[test]
    fn rounding_takes_the_nearest_integer_and_the_even_one_between_two() {
        for name in ["int2", "int4", "int8", "int12"] {
            reference::check(&Format::parse(name).unwrap(), name);
        }
    }

    #[test]
    fn a_zero_point_moves_the_range() {
        let format = Format::parse("uint8").unwrap();
        let rounder = format.rounder(Scale { scale: 0.5, zero_point: 100 }).unwrap();
        assert_eq!(rounder.round(-60.0, 0), -50.0);
        assert_eq!(rounder.round(90.0, 0), 77.5);
        assert_eq!(rounder.round(0.26, 0), 0.5);
        assert_eq!(rounder.round(0.0, 0), 0.0);
    }
}
