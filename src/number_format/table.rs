//! Formats whose values are looked up: a list of values relative to a scale, in the order of their codes.
//!
//! | id | values | source |
//! |---|---|---|
//! | nf4 | quantiles of a normal distribution, an exact zero among them | Dettmers et al. 2023 (`QLoRA`), appendix E |
//! | fp4 | a sign and three bits, as bitsandbytes has them | Dettmers, bitsandbytes 0.37 |
//! | pow2 | zero and ±2^−i | Miyashita, Lee and Murmann 2016 |
//! | iq4nl | sixteen integers, denser around zero, none of them zero | Kawrakow, llama.cpp 2024 (`IQ4_NL`) |
//! | apot | sums of a few powers of two | Li, Dong and Wang 2020, section 2.2 |
//!
//! A number goes to the nearest value, to the one nearer to zero between two. Beyond the largest it becomes that.

use super::rounding::Round;
use super::{FormatError, wrong};
use crate::order;

/// A family of lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Table {
    /// Normal quantiles, of 4 bits.
    NormalFloat,
    /// The 4 bits of bitsandbytes.
    Float4,
    /// The 4 bits of ggml's `IQ4_NL`.
    Uneven,
    /// Powers of two, of 2 to 6 bits.
    PowerOfTwo(u32),
    /// Sums of powers of two, of 3 to 7 bits.
    AdditivePowers(u32),
}

/// Quantiles of the normal distribution, over the largest (Dettmers et al. 2023, appendix E).
const NORMAL: [f32; 16] = [
    -1.0,
    -0.696_192_8,
    -0.525_073_05,
    -0.394_917_5,
    -0.284_441_38,
    -0.184_773_43,
    -0.091_050_036,
    0.0,
    0.079_580_3,
    0.160_930_2,
    0.246_112_3,
    0.337_915_24,
    0.440_709_83,
    0.562_617,
    0.722_956_84,
    1.0,
];

/// Magnitudes of bitsandbytes' FP4, by their three bits, times 192.
const FLOAT4: [f32; 8] = [0.0, 1.0, 128.0, 192.0, 64.0, 96.0, 32.0, 48.0];

/// The values of `IQ4_NL` (`kvalues_iq4nl` in llama.cpp's ggml-common.h).
const UNEVEN: [i8; 16] = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];

/// Exponents that the terms of a sum choose from, beside zero, by the bits of the magnitude, from 2 on.
const TERMS: [&[&[i32]]; 5] = [
    &[&[-1, -2, -3]],
    &[&[-1, -2, -4], &[-3]],
    &[&[-1, -3, -5], &[-2, -4, -6]],
    &[&[-1, -3, -6], &[-2, -4, -7], &[-5]],
    &[&[-1, -4, -7], &[-2, -5, -8], &[-3, -6, -9]],
];

impl Table {
    /// Checks the bits.
    pub(super) fn check(self) -> Result<Self, FormatError> {
        match self {
            Self::PowerOfTwo(bits) if !(2..=6).contains(&bits) => {
                Err(wrong("bits of a power of two", "2 to 6", bits))
            }
            Self::AdditivePowers(bits) if !(3..=7).contains(&bits) => {
                Err(wrong("bits of a sum of powers of two", "3 to 7", bits))
            }
            _ => Ok(self),
        }
    }

    /// Bits of a value.
    pub const fn bits(&self) -> u32 {
        match self {
            Self::NormalFloat | Self::Float4 | Self::Uneven => 4,
            Self::PowerOfTwo(bits) | Self::AdditivePowers(bits) => *bits,
        }
    }

    /// What a code stands for: the sign above the magnitude, but for normal quantiles and `IQ4_NL`, which ascend.
    pub fn decode(&self, code: u32) -> f32 {
        let half = 1usize << (self.bits() - 1);
        let place = code as usize & (half - 1);
        let sign = if code as usize & half == 0 { 1.0 } else { -1.0 };
        let magnitude = match self {
            Self::NormalFloat => return NORMAL.get(code as usize & 15).copied().unwrap_or(0.0),
            Self::Uneven => return UNEVEN.get(code as usize & 15).map_or(0.0, |value| f32::from(*value)),
            Self::Float4 => FLOAT4.get(place).map(|value| value / 192.0),
            Self::PowerOfTwo(_) if place == 0 => Some(0.0),
            Self::PowerOfTwo(_) => Some(super::rounding::power(1 - place as i32)),
            Self::AdditivePowers(bits) => sums(bits - 1).get(place).copied(),
        };
        sign * magnitude.unwrap_or(0.0)
    }
}

/// Every sum of the terms of so many bits, over the largest, ascending.
fn sums(bits: u32) -> Vec<f32> {
    let terms = TERMS.get(bits as usize - 2).copied().unwrap_or_default();
    let mut sums = vec![0.0f32];
    for term in terms {
        let powers = term.iter().map(|exponent| super::rounding::power(*exponent));
        let more: Vec<f32> =
            powers.flat_map(|power| sums.iter().map(move |sum| sum + power).collect::<Vec<_>>()).collect();
        sums.extend(more);
    }
    let sums = order::sorted_by_key(&sums, |sum| order::key_f64(f64::from(*sum)));
    let largest = sums.last().copied().unwrap_or(1.0);
    sums.iter().map(|sum| sum / largest).collect()
}

/// Bits of a float32's fraction.
const FRACTION_BITS: u32 = 23;

/// Most bits of a fraction that cells are told apart by.
const MOST_CELL_BITS: u32 = 8;

/// A list ready to round to: its values, ascending, what lies between them, and how many of that lies below every cell. A cell is
/// what shares a sign, an exponent and the first few bits of a fraction, so few that no cell has more than one threshold inside.
#[derive(Debug, Clone)]
pub struct Prepared {
    values: Vec<f32>,
    /// From which number on the next value is nearer; NaN, which none reaches, behind them.
    thresholds: Vec<f32>,
    /// For each cell, by its bits, the thresholds that its least number reaches.
    cells: Vec<u8>,
    /// Bits of a number behind those of its cell.
    shift: u32,
    largest: f32,
}

impl Prepared {
    /// Of values that ascend.
    pub(super) fn new(values: Vec<f32>) -> Self {
        let thresholds = values.windows(2).filter_map(|pair| match pair {
            [low, high] => {
                let middle = f64::midpoint(f64::from(*low), f64::from(*high));
                let near = middle as f32;
                // Between two the one nearer to zero is taken.
                let is_reached =
                    |x: f32| if *low >= 0.0 { f64::from(x) > middle } else { f64::from(x) >= middle };
                Some(if is_reached(near) { near } else { near.next_up() })
            }
            _ => None,
        });
        let thresholds: Vec<f32> = thresholds.chain([f32::NAN]).collect();
        let largest = values.iter().fold(0.0f32, |most, value| most.max(value.abs()));
        let bits = (0..MOST_CELL_BITS).find(|bits| is_parted(&thresholds, *bits)).unwrap_or(MOST_CELL_BITS);
        let shift = FRACTION_BITS - bits;
        let cells = (0..1u32 << (32 - shift)).map(|cell| {
            let (first, last) = (cell << shift, cell << shift | ((1 << shift) - 1));
            let least = f32::from_bits(if first >> 31 == 1 { last } else { first });
            thresholds.iter().filter(|threshold| **threshold <= least).count() as u8
        });
        Self { values, cells: cells.collect(), thresholds, shift, largest }
    }
}

/// Whether no two thresholds share a cell of so many bits of a fraction.
fn is_parted(thresholds: &[f32], bits: u32) -> bool {
    let cell = |threshold: &f32| threshold.to_bits() >> (FRACTION_BITS - bits);
    // They ascend, and numbers of a cell are beside each other.
    thresholds.windows(2).all(|pair| pair.first().map(cell) != pair.last().map(cell))
}

impl Round for Prepared {
    #[inline]
    fn round(&self, x: f32, _: u64) -> f32 {
        let below =
            self.cells.get((x.to_bits() >> self.shift) as usize).map_or(0, |below| usize::from(*below));
        let is_next = self.thresholds.get(below).is_some_and(|threshold| *threshold <= x);
        let value = self.values.get(below + usize::from(is_next)).copied().unwrap_or(0.0);
        if x.is_nan() { x } else { value }
    }

    fn largest(&self) -> f32 {
        self.largest
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Format, Scale, reference};
    use super::*;

    #[test]
    fn normal_quantiles_are_those_of_their_construction() {
        // Φ⁻¹ of evenly spaced probabilities, over the largest, from 0.9677083 down to a half.
        let values = Format::Table(Table::NormalFloat).values();
        assert_eq!(values.len(), 16);
        assert_eq!((values[0], values[7], values[15]), (-1.0, 0.0, 1.0));
        assert_eq!(values[1], -0.696_192_800_998_687_7_f64 as f32);
        assert_eq!(values[14], 0.722_956_836_223_602_3_f64 as f32);
    }

    #[test]
    fn powers_and_their_sums_are_the_published_lists() {
        let powers = Format::parse("pow2-3").unwrap().values();
        assert_eq!(powers, [-1.0, -0.5, -0.25, 0.0, 0.25, 0.5, 1.0]);
        let sums: Vec<f32> =
            Format::parse("apot4").unwrap().values().into_iter().filter(|v| *v >= 0.0).collect();
        let expected = [0.0, 0.0625, 0.125, 0.1875, 0.25, 0.375, 0.5, 0.625].map(|v: f32| v / 0.625);
        assert_eq!(sums, expected);
        assert_eq!(Format::parse("apot5").unwrap().values().len(), 31);
        assert_eq!(Format::parse("bnb-fp4").unwrap().values().len(), 15);
    }

    #[test]
    fn cells_give_what_a_search_through_all_thresholds_gives() {
        let mut random = crate::random::SplitMix64::new(6);
        let apots = (3..=7).map(|bits| format!("apot{bits}"));
        let powers = (2..=6).map(|bits| format!("pow2-{bits}"));
        for name in apots.chain(powers).chain(["nf4", "bnb-fp4", "iq4nl"].map(str::to_owned)) {
            let prepared = Prepared::new(Format::parse(&name).unwrap().values());
            assert!(is_parted(&prepared.thresholds, FRACTION_BITS - prepared.shift), "{name}");
            let agree = |x: f32| {
                let place = prepared.thresholds.iter().filter(|threshold| **threshold <= x).count();
                assert_eq!(prepared.round(x, 0), prepared.values[place], "{name}: {x:e}");
            };
            for threshold in prepared.thresholds.iter().filter(|threshold| threshold.is_finite()) {
                [*threshold, threshold.next_up(), threshold.next_down(), -threshold]
                    .into_iter()
                    .for_each(agree);
            }
            for _ in 0..5000 {
                let x = f32::from_bits(random.bits() as u32);
                if !x.is_nan() {
                    agree(x);
                }
                agree((random.unit() * 2.4 - 1.2) as f32 * prepared.largest);
            }
            [0.0, -0.0, f32::INFINITY, f32::NEG_INFINITY].into_iter().for_each(agree);
        }
    }

    #[test]
    fn the_nearest_value_is_taken_and_the_smaller_magnitude_between_two() {
        for name in ["nf4", "bnb-fp4", "iq4nl", "pow2-4", "apot4", "apot7"] {
            reference::check(&Format::parse(name).unwrap(), name);
        }
        let powers = Format::parse("pow2-3").unwrap().rounder(Scale::default()).unwrap();
        assert_eq!((powers.round(0.75, 0), powers.round(-0.75, 0)), (0.5, -0.5));
        assert_eq!((powers.round(0.125, 0), powers.round(-9.0, 0)), (0.0, -1.0));
    }
}
