//! Posits of n bits with es exponent bits (Gustafson and Yonemoto 2017; Posit Standard 2022, sections 3 and 4).
//!
//! Behind the sign, a run of equal bits, the regime, says how many times useed = 2^(2^es) the number is multiplied by itself;
//! then come the exponent and what is left of a fraction. Rounding is to the nearest *code*: halves to the even one, of the
//! codes as integers; never to zero, and never beyond the largest.

use super::rounding::Round;
use super::{FormatError, wrong};

/// Bits of a float32's fraction.
const FRACTION_BITS: u32 = 23;

/// A posit format.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Posit {
    /// Bits of a value.
    pub bits: u32,
    /// Exponent bits.
    pub exponent: u32,
}

impl Posit {
    /// Checks that its values are float32s.
    pub(super) fn check(self) -> Result<Self, FormatError> {
        if !(3..=16).contains(&self.bits) {
            return Err(wrong("bits of a posit", "3 to 16", self.bits));
        }
        if self.exponent > 4 || self.scale_most() > 126 {
            let found = format!("{} exponent bits of {}", self.exponent, self.bits);
            return Err(wrong("exponent bits of a posit", "values in float32's range", found));
        }
        Ok(self)
    }

    /// The exponent of the largest value.
    const fn scale_most(self) -> i32 {
        ((self.bits - 2) << self.exponent) as i32
    }

    /// The largest value.
    pub fn largest(&self) -> f32 {
        super::rounding::power(self.scale_most())
    }

    /// The least positive value.
    pub fn smallest(&self) -> f32 {
        super::rounding::power(-self.scale_most())
    }

    /// What a code stands for; NaN for the one that is no real.
    pub fn decode(&self, code: u32) -> f32 {
        let n = self.bits;
        let code = code & ((1 << n) - 1);
        if code == 1 << (n - 1) {
            return f32::NAN;
        }
        if code == 0 {
            return 0.0;
        }
        let is_negative = code >> (n - 1) == 1;
        let magnitude = if is_negative { (1u32 << n) - code } else { code };
        let value = self.magnitude(magnitude);
        if is_negative { -value } else { value }
    }

    /// The value of a positive code.
    fn magnitude(self, code: u32) -> f32 {
        let body = code << (33 - self.bits);
        let ones = body >> 31 == 1;
        let run = (if ones { body.leading_ones() } else { body.leading_zeros() }).min(self.bits - 1);
        let regime = if ones { run as i32 - 1 } else { -(run as i32) };
        let rest = body.checked_shl(run + 1).unwrap_or(0);
        let exponent = if self.exponent == 0 { 0 } else { rest >> (32 - self.exponent) };
        let fraction = rest.checked_shl(self.exponent).unwrap_or(0) >> (32 - FRACTION_BITS);
        let scale = regime * (1 << self.exponent) + exponent as i32;
        f32::from_bits((((scale + 127) as u32) << FRACTION_BITS) | fraction)
    }

    /// The code of a positive normal float32.
    fn code(self, x: f32) -> u32 {
        let scale = (x.to_bits() >> FRACTION_BITS) as i32 - 127;
        let fraction = x.to_bits() & ((1 << FRACTION_BITS) - 1);
        let regime = scale >> self.exponent;
        let exponent = (scale - (regime << self.exponent)) as u64;
        // A run of ones and a zero, or of zeros and a one.
        let (run, run_bits) = if regime >= 0 {
            ((2u64 << (regime + 1)) - 2, regime.unsigned_abs() + 2)
        } else {
            (1, regime.unsigned_abs() + 1)
        };
        let text = (run << self.exponent | exponent) << FRACTION_BITS | u64::from(fraction);
        let dropped = run_bits + self.exponent + FRACTION_BITS - (self.bits - 1);
        let (kept, rest) = ((text >> dropped) as u32, text & ((1 << dropped) - 1));
        let half = 1u64 << (dropped - 1);
        let up = rest > half || (rest == half && kept & 1 == 1);
        (kept + u32::from(up)).clamp(1, (1 << (self.bits - 1)) - 1)
    }
}

/// What becomes of the float32s of one exponent.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
struct Octave {
    /// The bits of a fraction that are dropped where some are kept, and the place of the last that is.
    lost: u32,
    shift: u32,
    /// Where none are kept, what all become, or what those become from a float32 on, as the bits of magnitudes.
    low: u32,
    high: u32,
    threshold: u32,
}

/// A posit ready to round: 256 octaves, by a float32's exponent.
#[derive(Debug, Clone)]
pub struct Prepared {
    octaves: Box<[Octave; 256]>,
    smallest: f32,
    largest: f32,
}

impl Posit {
    /// What rounds to it.
    pub(super) fn prepared(self) -> Prepared {
        let (smallest, largest) = (self.smallest(), self.largest());
        let mut octaves = Box::new([Octave::default(); 256]);
        let fields = (smallest.to_bits() >> FRACTION_BITS)..=(largest.to_bits() >> FRACTION_BITS);
        for (octave, field) in octaves.iter_mut().zip(0..).filter(|(_, field)| fields.contains(field)) {
            *octave = self.octave(field);
        }
        Prepared { octaves, smallest, largest }
    }

    fn octave(self, field: u32) -> Octave {
        let regime = (field as i32 - 127) >> self.exponent;
        let run = if regime >= 0 { regime + 2 } else { 1 - regime };
        let kept = self.bits as i32 - 1 - run - self.exponent as i32;
        if kept > 0 {
            let shift = FRACTION_BITS - kept as u32;
            return Octave { lost: (1 << shift) - 1, shift, ..Octave::default() };
        }
        let end = |bits: u32| bits.min(self.largest().to_bits());
        let value = |bits: u32| self.magnitude(self.code(f32::from_bits(bits))).to_bits();
        let (mut below, mut reached) =
            (end(field << FRACTION_BITS), end(((field + 1) << FRACTION_BITS) - 1) + 1);
        let (low, high) = (value(below), value(reached - 1));
        // Values ascend, and no octave has more than two.
        while low != high && reached - below > 1 {
            let middle = below + (reached - below) / 2;
            if value(middle) == low { below = middle } else { reached = middle }
        }
        Octave { low, high, threshold: reached, ..Octave::default() }
    }
}

impl Round for Prepared {
    #[inline]
    fn round(&self, x: f32, _: u64) -> f32 {
        let bits = x.abs().min(self.largest).max(self.smallest).to_bits();
        let Octave { lost, shift, low, high, threshold } =
            self.octaves[(bits >> FRACTION_BITS) as usize & 255];
        // To nearest, a half to where the last bit that is kept is 0.
        let fine = (bits + (lost >> 1) + (bits >> shift & 1)) & !lost;
        let coarse = if bits >= threshold { high } else { low };
        let rounded = f32::from_bits(if lost > 0 { fine } else { coarse });
        if x == 0.0 || x.is_nan() { x } else { rounded.copysign(x) }
    }

    fn largest(&self) -> f32 {
        self.largest
    }
}

#[cfg(test)]
mod tests {
    use super::super::Format;
    use super::*;

    #[test]
    fn a_number_near_one_is_what_the_published_library_prints() {
        for exponent in 0..=3 {
            let posit = Posit { bits: 8, exponent };
            let expected = if exponent == 0 { 1.234_375 } else { 1.25 };
            let near = posit.prepared().round(1.234_567_9, 0);
            assert!(near == expected || near == 1.25, "{exponent}: {near}");
        }
        assert_eq!(Posit { bits: 8, exponent: 2 }.largest(), 2f32.powi(24));
        assert_eq!(Posit { bits: 16, exponent: 2 }.smallest(), 2f32.powi(-56));
    }

    #[test]
    fn codes_ascend_with_their_values_and_every_value_rounds_to_itself() {
        for (bits, exponent) in [(3, 0), (5, 1), (8, 0), (8, 2), (12, 1), (16, 2)] {
            let posit = Posit { bits, exponent };
            let most = 1u32 << (bits - 1);
            let values: Vec<f32> = (0..most).map(|code| posit.decode(code)).collect();
            assert!(values.windows(2).all(|pair| pair[0] < pair[1]), "{bits} {exponent}");
            let rounder = posit.prepared();
            assert!(values.iter().all(|value| rounder.round(*value, 0) == *value));
            assert!(posit.decode(most).is_nan());
        }
    }

    /// Nearest code, by the value that a posit of one bit more has between two: the standard's definition.
    #[test]
    fn numbers_go_to_the_side_of_the_posit_with_one_bit_more() {
        for (bits, exponent) in [(5, 1), (6, 0), (8, 2), (10, 1)] {
            let rounder = Posit { bits, exponent }.prepared();
            let (posit, finer) = (Posit { bits, exponent }, Posit { bits: bits + 1, exponent });
            for code in 1..(1u32 << (bits - 1)) - 1 {
                let (low, high) = (posit.decode(code), posit.decode(code + 1));
                let middle = finer.decode(2 * code + 1);
                assert!(low < middle && middle < high);
                let even = if code % 2 == 0 { low } else { high };
                assert_eq!(rounder.round(middle, 0), even, "{bits} {exponent} {code}");
                assert_eq!(rounder.round(middle * (1.0 - 1e-6), 0), low);
                assert_eq!(rounder.round(middle * (1.0 + 1e-6), 0), high);
            }
        }
    }

    /// The value of the code that the text of a number rounds to.
    fn by_code(posit: Posit, x: f32) -> f32 {
        let size = x.abs().clamp(posit.smallest(), posit.largest());
        posit.magnitude(posit.code(size)).copysign(x)
    }

    #[test]
    fn octaves_round_as_codes_do() {
        let mut random = crate::random::SplitMix64::new(5);
        for bits in 3..=16 {
            for exponent in 0..=4 {
                let Ok(posit) = (Posit { bits, exponent }).check() else { continue };
                let rounder = posit.prepared();
                let agree = |x: f32| {
                    assert_eq!(rounder.round(x, 0), by_code(posit, x), "posit{bits}-{exponent}: {x:e}");
                };
                // Every exponent with fractions around each of its ties, and all others at random.
                for field in 1..255u32 {
                    for place in 0..23 {
                        let tie = field << 23 | 1 << place;
                        [tie - 1, tie, tie + 1, tie | 1 << 22]
                            .into_iter()
                            .map(f32::from_bits)
                            .for_each(agree);
                    }
                }
                for _ in 0..2000 {
                    let x = f32::from_bits(random.bits() as u32);
                    if x.is_finite() && x != 0.0 {
                        agree(x);
                    }
                }
                assert!(rounder.round(f32::NAN, 0).is_nan());
                assert_eq!(rounder.round(f32::NEG_INFINITY, 0), -posit.largest());
            }
        }
    }

    #[test]
    fn nothing_but_zero_becomes_zero() {
        let posit = Format::parse("posit8").unwrap().rounder(super::super::Scale::default()).unwrap();
        assert_eq!(posit.round(1e-30, 0), 2f32.powi(-24));
        assert_eq!(posit.round(-1e30, 0), -(2f32.powi(24)));
        assert_eq!(posit.round(0.0, 0), 0.0);
    }
}
