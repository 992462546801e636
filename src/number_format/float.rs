//! Floating point: a sign, e exponent and m mantissa bits, (1 + f/2^m)·2^(x − b) for the exponent field x, the mantissa
//! field f and the bias b (Hill et al. 2018, section 2.1; IEEE 754-2019, section 3.4).
//!
//! What differs between formats: what the exponent field 0 means ([`Lowest`]), which codes stand for no number
//! ([`Specials`]), how numbers between two values are rounded ([`Rounding`]) and what becomes of those beyond the largest.
//! Numbers are computed in float32: a format whose exponents reach further has float32's range, with its subnormals.
//!
//! Rounding is that of IEEE 754-2019, section 4.3: to the value that has the right mantissa were the exponent unbounded; what is
//! then beyond the largest becomes the largest, or infinite in a format that has infinities. Below the least normal
//! number it is to multiples of the least subnormal, or, where there are none, to zero or the least normal.

use super::rounding::{Round, Rounding, power};
use super::{FormatError, wrong};

/// Most exponent bits; float32 has 8.
pub const MOST_EXPONENT_BITS: u32 = 15;
/// Most mantissa bits: float32's.
pub const MOST_MANTISSA_BITS: u32 = 23;
/// Largest exponent of the least normal number: with 2^23 times it sums are made.
const MOST_LEAST_EXPONENT: i32 = 127 - MOST_MANTISSA_BITS as i32;
/// Largest bias.
const MOST_BIAS: i32 = 1 << 15;

/// What the exponent field 0 means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lowest {
    /// Subnormal numbers, f/2^m·2^(1 − b), zero among them.
    Subnormals,
    /// Zero alone.
    Zero,
    /// Normal numbers, as any other; zero is taken to have a code of its own, which counts for nothing (the paper's).
    Normals,
}

/// Which codes stand for no number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Specials {
    /// None.
    None,
    /// All ones is NaN, in either sign.
    Nan,
    /// The sign alone, without a number, is NaN: no negative zero.
    NegativeZero,
    /// The largest exponent field holds infinities and NaN.
    Ieee,
}

/// A floating-point format.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Float {
    /// Mantissa bits, without the hidden one.
    pub mantissa: u32,
    /// Exponent bits.
    pub exponent: u32,
    /// What the exponent field is larger by.
    pub bias: i32,
    /// What the exponent field 0 means.
    pub lowest: Lowest,
    /// Which codes stand for no number.
    pub specials: Specials,
    /// How a number between two values is rounded.
    pub rounding: Rounding,
    /// Whether numbers beyond the largest value become infinite.
    pub overflows: bool,
}

impl Float {
    /// A format of `mantissa` and `exponent` bits with IEEE 754's bias, subnormals, no codes without a number, to nearest.
    pub const fn new(mantissa: u32, exponent: u32) -> Self {
        let bias = (1i32 << (exponent - 1)) - 1;
        let (lowest, specials, rounding) = (Lowest::Subnormals, Specials::None, Rounding::Nearest);
        Self { mantissa, exponent, bias, lowest, specials, rounding, overflows: false }
    }

    /// The same as IEEE 754 has it: with infinities, which numbers beyond the largest become.
    pub const fn ieee(mantissa: u32, exponent: u32) -> Self {
        Self { specials: Specials::Ieee, overflows: true, ..Self::new(mantissa, exponent) }
    }

    /// The same as Hill et al. have it: every exponent is a normal one, and what is between two values is cut.
    pub const fn hill(mantissa: u32, exponent: u32) -> Self {
        Self { lowest: Lowest::Normals, rounding: Rounding::Truncate, ..Self::new(mantissa, exponent) }
    }

    /// Checks that there is a number in it.
    pub(super) fn check(self) -> Result<Self, FormatError> {
        let (m, e, b) = (self.mantissa, self.exponent, self.bias);
        if m > MOST_MANTISSA_BITS {
            return Err(wrong("mantissa bits", format!("0 to {MOST_MANTISSA_BITS}"), m));
        }
        if !(1..=MOST_EXPONENT_BITS).contains(&e) {
            return Err(wrong("exponent bits", format!("1 to {MOST_EXPONENT_BITS}"), e));
        }
        if b.abs() > MOST_BIAS {
            return Err(wrong("the bias", format!("-{MOST_BIAS} to {MOST_BIAS}"), b));
        }
        let (least, most) = self.exponents();
        if most < least {
            return Err(wrong("a format", "a finite value besides zero", "none"));
        }
        if least > MOST_LEAST_EXPONENT || most < -126 {
            return Err(wrong("a format", "values in float32's range", format!("2^{least} to 2^{most}")));
        }
        Ok(self)
    }

    /// Bits of a value.
    pub const fn bits(&self) -> u32 {
        1 + self.exponent + self.mantissa
    }

    /// The exponents of the least and the largest normal number.
    fn exponents(&self) -> (i32, i32) {
        let first = i32::from(self.lowest != Lowest::Normals);
        let all_ones = (1i32 << self.exponent) - 1;
        // Without a mantissa the code that is NaN is all there is of its exponent.
        let ends = self.specials == Specials::Ieee || (self.specials == Specials::Nan && self.mantissa == 0);
        (first - self.bias, all_ones - i32::from(ends) - self.bias)
    }

    /// The largest value.
    pub fn largest(&self) -> f32 {
        let (_, most) = self.exponents();
        if most > 127 {
            return f32::from_bits(f32::MAX.to_bits() & !self.lost());
        }
        let missing = if self.specials == Specials::Nan && self.mantissa > 0 { 2 } else { 1 };
        let significand = ((2u32 << self.mantissa) - missing) as f32;
        significand * power(most - self.mantissa as i32)
    }

    /// The least positive value.
    pub fn smallest(&self) -> f32 {
        let (least, _) = self.exponents();
        let least = least.max(-126);
        match self.lowest {
            Lowest::Subnormals => power((least - self.mantissa as i32).max(-149)),
            Lowest::Zero | Lowest::Normals => power(least),
        }
    }

    /// Bits of a float32's mantissa that the format has no room for.
    const fn lost(&self) -> u32 {
        (1 << (MOST_MANTISSA_BITS - self.mantissa)) - 1
    }

    /// What a code stands for: the sign, the exponent field, the mantissa field from the highest bit down.
    pub fn decode(&self, code: u32) -> f32 {
        let (m, e) = (self.mantissa, self.exponent);
        let (field, fraction) = ((code >> m) & ((1 << e) - 1), code & ((1 << m) - 1));
        let sign = if (code >> (m + e)) & 1 == 1 { -1.0 } else { 1.0 };
        let all_ones = field == (1 << e) - 1;
        match self.specials {
            Specials::Ieee if all_ones => return if fraction == 0 { sign * f32::INFINITY } else { f32::NAN },
            Specials::Nan if all_ones && fraction == (1 << m) - 1 => return f32::NAN,
            Specials::NegativeZero if sign < 0.0 && field == 0 && fraction == 0 => return f32::NAN,
            _ => {}
        }
        let scale = |exponent: i32, significand: u32| {
            sign * (f64::from(significand) * libm::exp2(f64::from(exponent - m as i32))) as f32
        };
        match (field, self.lowest) {
            (0, Lowest::Zero) => sign * 0.0,
            (0, Lowest::Subnormals) => scale(1 - self.bias, fraction),
            _ => scale(field as i32 - self.bias, fraction + (1 << m)),
        }
    }

    /// What rounds to it.
    pub(super) fn prepared<M: Mode>(&self, mode: M) -> Prepared<M> {
        let (least, _) = self.exponents();
        let least = least.max(-126);
        let quantum = match self.lowest {
            Lowest::Subnormals => (least - self.mantissa as i32).max(-149),
            Lowest::Zero | Lowest::Normals => least,
        };
        Prepared {
            lost: self.lost(),
            shift: MOST_MANTISSA_BITS - self.mantissa,
            normal: power(least),
            quantum: power(quantum),
            anchor: power(quantum + MOST_MANTISSA_BITS as i32),
            largest: self.largest(),
            beyond: if self.overflows && self.rounding != Rounding::Truncate {
                f32::INFINITY
            } else {
                self.largest()
            },
            infinite: if self.specials == Specials::Ieee { f32::INFINITY } else { self.largest() },
            zero: if self.specials == Specials::NegativeZero { 0.0 } else { -0.0 },
            mode,
        }
    }
}

/// How what does not fit is dropped.
pub trait Mode: Copy + Send + Sync {
    /// What is added to a magnitude's bits before those of `lost` are dropped; `shift` is how many.
    fn bump(self, magnitude: u32, lost: u32, shift: u32, at: u64) -> u32;
    /// A magnitude as a multiple of `quantum`; `anchor` is 2^23 times that, and no less than the magnitude: what is added to it
    /// has the quantum for its last bit.
    fn multiple(self, size: f32, anchor: f32, quantum: f32, at: u64) -> f32;
}

/// To the nearest, to an even mantissa between two.
#[derive(Debug, Clone, Copy)]
pub struct Nearest;

impl Mode for Nearest {
    #[inline]
    fn bump(self, magnitude: u32, lost: u32, shift: u32, _: u64) -> u32 {
        (lost >> 1) + ((magnitude >> (shift & 31)) & u32::from(lost > 0))
    }

    #[inline]
    fn multiple(self, size: f32, anchor: f32, _: f32, _: u64) -> f32 {
        (size + anchor) - anchor
    }
}

/// Towards zero.
#[derive(Debug, Clone, Copy)]
pub struct Truncate;

impl Mode for Truncate {
    #[inline]
    fn bump(self, _: u32, _: u32, _: u32, _: u64) -> u32 {
        0
    }

    #[inline]
    fn multiple(self, size: f32, anchor: f32, quantum: f32, _: u64) -> f32 {
        let near = (size + anchor) - anchor;
        near - if near > size { quantum } else { 0.0 }
    }
}

/// Up with the probability that is the share of the way up, by a seed and the number's index.
#[derive(Debug, Clone, Copy)]
pub struct Stochastic(pub u32);

impl Stochastic {
    fn random(self, at: u64) -> u32 {
        crate::random::SplitMix64::new(u64::from(self.0) ^ at.wrapping_mul(0x9e37_79b9_7f4a_7c15)).bits()
            as u32
    }
}

impl Mode for Stochastic {
    fn bump(self, _: u32, lost: u32, _: u32, at: u64) -> u32 {
        self.random(at) & lost
    }

    fn multiple(self, size: f32, anchor: f32, quantum: f32, at: u64) -> f32 {
        let share = (self.random(at) >> 8) as f32 / (1 << 24) as f32;
        let below = Truncate.multiple(size, anchor, quantum, at);
        // As a share of the quantum, which may be too small to divide by.
        let rest = f64::from(size - below) / f64::from(quantum);
        below + if rest > f64::from(share) { quantum } else { 0.0 }
    }
}

/// A format ready to round.
#[derive(Debug, Clone, Copy)]
pub struct Prepared<M> {
    lost: u32,
    shift: u32,
    /// The least normal number.
    normal: f32,
    /// What magnitudes below it are multiples of.
    quantum: f32,
    /// 2^23 times that.
    anchor: f32,
    largest: f32,
    /// What a finite number beyond the largest becomes.
    beyond: f32,
    /// What an infinity becomes.
    infinite: f32,
    /// What is added at the end: 0 makes −0 a 0, −0 changes nothing.
    zero: f32,
    mode: M,
}

impl<M: Mode> Round for Prepared<M> {
    #[inline]
    fn round(&self, x: f32, at: u64) -> f32 {
        let magnitude = x.to_bits() & 0x7fff_ffff;
        let size = f32::from_bits(magnitude);
        let bumped = magnitude + self.mode.bump(magnitude, self.lost, self.shift, at);
        let normal = f32::from_bits(bumped & !self.lost);
        let low = if size < self.normal { size } else { self.normal };
        let low = self.mode.multiple(low, self.anchor, self.quantum, at);
        let rounded = if size < self.normal { low } else { normal };
        let rounded = if rounded > self.largest { self.beyond } else { rounded };
        let rounded = if size == f32::INFINITY { self.infinite } else { rounded };
        let rounded = if size.is_nan() { size } else { rounded };
        rounded.copysign(x) + self.zero
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
    fn four_bits_are_the_published_values() {
        let values = Format::parse("e2m1").unwrap().values();
        let positive: Vec<f32> = values.into_iter().filter(|value| *value > 0.0).collect();
        assert_eq!(positive, [0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0]);
    }

    #[test]
    fn named_formats_have_as_many_values_and_reach_as_far_as_published() {
        let published = [
            ("e4m3", 253, 448.0, 2f32.powi(-9)),
            ("e5m2", 247, 57344.0, 2f32.powi(-16)),
            ("e2m1", 15, 6.0, 0.5),
            ("e3m2", 63, 28.0, 0.0625),
            ("e2m3", 63, 7.5, 0.125),
            ("fp16", 63_487, 65504.0, 2f32.powi(-24)),
            ("bf16", 65_279, 3.389_531_4e38, 2f32.powi(-133)),
            ("e4m3fnuz", 255, 240.0, 2f32.powi(-10)),
            ("e5m2fnuz", 255, 57344.0, 2f32.powi(-17)),
        ];
        for (name, count, largest, smallest) in published {
            let format = Format::parse(name).unwrap();
            assert_eq!(format.values().len(), count, "{name}");
            assert_eq!((format.largest(), format.smallest()), (largest, smallest), "{name}");
        }
    }

    #[test]
    fn the_papers_formats_have_no_reserved_codes() {
        let format = Float { bias: 31, ..Float::hill(7, 6) };
        assert_eq!((format.smallest(), format.largest()), (2f32.powi(-31), 8.556_38e9));
        assert_eq!(Float { bias: 7, ..Float::hill(10, 4) }.largest(), 511.75);
    }

    #[test]
    fn rounding_takes_the_nearest_of_all_values_and_an_even_code_between_two() {
        for name in [
            "e4m3",
            "e5m2",
            "e2m1",
            "e3m4",
            "e1m2",
            "e3m0",
            "m3e3:nearest",
            "m0e4:nearest",
            "e4m3fnuz",
            "fp16",
        ] {
            let format = Format::parse(name).unwrap();
            reference::check(&format, name);
        }
    }

    #[test]
    fn cutting_takes_the_next_value_towards_zero() {
        for name in ["m3e3", "m7e4", "m0e3", "e4m3:truncate", "e2m1:truncate", "fp16:truncate"] {
            reference::check(&Format::parse(name).unwrap(), name);
        }
    }

    #[test]
    fn rounding_at_random_is_right_in_the_mean() {
        let format = Format::parse("e4m3:random=7").unwrap();
        let rounder = format.rounder(super::super::Scale::default()).unwrap();
        for x in [1.03f32, 3.3, 0.001, 17.9] {
            let mut numbers = vec![x; 200_000];
            rounder.round_slice(&mut numbers, 0);
            let mean = numbers.iter().map(|x| f64::from(*x)).sum::<f64>() / 200_000.0;
            assert!((mean / f64::from(x) - 1.0).abs() < 4e-3, "{x}: {mean}");
        }
    }

    #[test]
    fn bfloat16_is_what_the_half_crate_rounds_to() {
        let rounder = Format::parse("bf16").unwrap().rounder(super::super::Scale::default()).unwrap();
        let fp16 = Format::parse("fp16").unwrap().rounder(super::super::Scale::default()).unwrap();
        let mut random = crate::random::SplitMix64::new(5);
        for _ in 0..200_000 {
            let x = f32::from_bits(random.bits() as u32);
            if x.is_nan() {
                continue;
            }
            assert_eq!(rounder.round(x, 0).to_bits(), half::bf16::from_f32(x).to_f32().to_bits(), "{x:e}");
            assert_eq!(fp16.round(x, 0).to_bits(), half::f16::from_f32(x).to_f32().to_bits(), "{x:e}");
        }
    }

    #[test]
    fn formats_without_a_number_are_refused() {
        for name in
            ["m24e4", "m3e0", "m3e16", "m3e4:bias=40000", "m3e4:bias=300", "m3e4:bias=-200", "e1m0:ieee"]
        {
            assert!(Format::parse(name).is_err(), "{name}");
        }
    }
}
