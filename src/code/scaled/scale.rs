//! Types of scales: what a scale can be, and how many weights share one that is stored.
//!
//! Scales of two levels are integers of a few bits, times a float16 for every [`SUPER_BLOCK`] weights of a row (ggml's k-quants,
//! I. Kawrakow 2023; the double quantization of Dettmers et al. 2023, section 3, is of this kind).

use crate::number_format::fixed::Fixed;
use crate::number_format::integer::Integer;
use crate::number_format::{Format, Rounding};
use crate::tensor::Dtype;

/// Weights of a row that share the float16s of scales and minima that are integers.
pub const SUPER_BLOCK: u32 = 256;

/// What the scale of a block can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScaleType {
    /// Any float32.
    F32,
    /// An IEEE 754 binary16.
    F16,
    /// A bfloat16.
    Bf16,
    /// A power of two (Open Compute Project 2023, Microscaling Formats 1.0, section 5.4).
    E8m0,
    /// An 8-bit float of 4 exponent bits, times a float32 of the tensor (NVIDIA 2025, NVFP4).
    E4m3,
    /// A float32 of the tensor, and none of a block.
    Tensor,
    /// 1: values are what they are.
    None,
    /// An integer from 0 to 15, times a float16 of the super-block.
    Uint4,
    /// An integer from 0 to 63, times a float16 of the super-block.
    Uint6,
    /// An integer from −32 to 31, times a float16 of the super-block.
    Int6,
    /// An integer from −128 to 127, times a float16 of the super-block.
    Int8,
}

/// The exponent of a byte 0 of [`ScaleType::E8m0`].
const LEAST_EXPONENT: i32 = -127;

impl ScaleType {
    /// All types, by their number in records.
    pub const ALL: [Self; 11] = [
        Self::F32,
        Self::F16,
        Self::Bf16,
        Self::E8m0,
        Self::E4m3,
        Self::Tensor,
        Self::None,
        Self::Uint4,
        Self::Uint6,
        Self::Int6,
        Self::Int8,
    ];

    /// Its name in recipes and flags.
    pub const fn id(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
            Self::E8m0 => "e8m0",
            Self::E4m3 => "e4m3",
            Self::Tensor => "tensor",
            Self::None => "none",
            Self::Uint4 => "uint4",
            Self::Uint6 => "uint6",
            Self::Int6 => "int6",
            Self::Int8 => "int8",
        }
    }

    /// The type of this [`id`](Self::id).
    pub fn find(id: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scale| scale.id() == id)
    }

    /// What stands in front of a block's symbols; `None` where nothing does.
    pub const fn dtype(self) -> Option<Dtype> {
        match self {
            Self::F32 => Some(Dtype::F32),
            Self::F16 => Some(Dtype::F16),
            Self::Bf16 => Some(Dtype::Bf16),
            Self::E8m0 => Some(Dtype::F8E8M0),
            Self::E4m3 => Some(Dtype::F8E4M3),
            Self::Tensor | Self::None => None,
            Self::Uint4 | Self::Uint6 | Self::Int6 | Self::Int8 => Some(Dtype::U8),
        }
    }

    /// Bits of a scale that is an integer, and whether there are negative ones; `None` of scales of one level.
    pub const fn integer(self) -> Option<(u32, bool)> {
        match self {
            Self::Uint4 => Some((4, false)),
            Self::Uint6 => Some((6, false)),
            Self::Int6 => Some((6, true)),
            Self::Int8 => Some((8, true)),
            _ => None,
        }
    }

    /// The integers that scales are, as a number format.
    pub(super) fn integers(self) -> Option<Format> {
        let (bits, is_signed) = self.integer()?;
        let above_zero = Fixed { integer: bits, fraction: 0, signed: false, rounding: Rounding::Nearest };
        let full = Integer { bits, affine: false, full: true };
        Some(if is_signed { Format::Integer(full) } else { Format::Fixed(above_zero) })
    }

    /// Bits per weight of scales, and of minima if blocks have some, where every `block` weights share one.
    pub fn overhead(self, block: u32, has_minima: bool) -> f64 {
        let stored = f64::from(1 + u8::from(has_minima));
        let bits = match self.integer() {
            Some((bits, _)) => {
                let super_block = f64::from(SUPER_BLOCK);
                (f64::from(bits * SUPER_BLOCK.div_ceil(block)) + 16.0) / super_block
            }
            None => self.dtype().map_or(0, |dtype| 8 * dtype.size_bytes()) as f64 / f64::from(block),
        };
        stored * bits
    }

    /// Whether a tensor has a factor of its own.
    pub const fn has_factor(self) -> bool {
        matches!(self, Self::E4m3 | Self::Tensor)
    }

    /// Whether a scale can be negative.
    pub const fn is_signed(self) -> bool {
        matches!(self, Self::F32 | Self::F16 | Self::Bf16 | Self::Int6 | Self::Int8)
    }

    /// Whether a minimum can stand beside a scale; without a sign, those of a super-block are on one side of zero.
    pub const fn allows_minima(self) -> bool {
        self.is_signed() || self.integer().is_some()
    }

    /// The least of the integers that scales are; 0 of other types.
    fn least(self) -> f32 {
        self.integer()
            .map_or(0.0, |(bits, is_signed)| if is_signed { -((1 << (bits - 1)) as f32) } else { 0.0 })
    }

    /// The factor of a tensor whose largest magnitude is `largest`, of a format whose is `most`: all scales and values can be
    /// used.
    pub(super) fn factor(self, largest: f32, most: f32) -> f32 {
        let reach = if self == Self::E4m3 { most * Dtype::F8E4M3.largest() } else { most };
        // A tensor of zeros needs none, and no scale is infinite.
        if largest > 0.0 && self.has_factor() { (largest / reach).max(f32::MIN_POSITIVE) } else { 1.0 }
    }

    /// The nearest scale that can be stored; the largest for a larger one.
    pub(super) fn round(self, scale: f32) -> f32 {
        match self {
            Self::E8m0 => {
                let exponent = exponent_of(scale);
                // Halfway in value, not in exponent.
                let is_up = f64::from(scale) >= 1.5 * f64::from(power(exponent)) && exponent < 127;
                power(exponent + i32::from(is_up))
            }
            _ => match self.integer() {
                Some((bits, _)) => {
                    let least = self.least();
                    scale.round_ties_even().clamp(least, least + ((1 << bits) - 1) as f32)
                }
                None => self.dtype().map_or(scale, |dtype| dtype.round_f32(scale)),
            },
        }
    }

    /// The scale that makes `largest` a format's value `extreme`, or nearly: of powers of two the one whose exponent is that of
    /// the largest less that of the extreme (Microscaling Formats 1.0, section 6.3), of others the nearest.
    pub fn of_largest(self, largest: f32, extreme: f32) -> f32 {
        if self == Self::E8m0 && largest != 0.0 {
            return power((exponent_of(largest) - exponent_of(extreme)).clamp(LEAST_EXPONENT, 127));
        }
        self.round(largest / extreme)
    }

    /// Appends stored scales as bytes.
    pub(super) fn extend_bytes(self, scales: &[f32], bytes: &mut Vec<u8>) {
        match self.dtype() {
            Some(Dtype::F8E8M0) => {
                bytes.extend(scales.iter().map(|scale| (exponent_of(*scale) - LEAST_EXPONENT) as u8));
            }
            Some(Dtype::U8) => bytes.extend(scales.iter().map(|scale| (scale - self.least()) as u8)),
            Some(dtype) => dtype.extend_bytes(scales, bytes),
            None => {}
        }
    }

    /// Appends the scales of bytes.
    pub(super) fn extend_scales(self, bytes: &[u8], scales: &mut Vec<f32>) {
        match self.dtype() {
            Some(Dtype::F8E8M0) => scales.extend(bytes.iter().map(|byte| match byte {
                255 => f32::NAN,
                exponent => power(i32::from(*exponent) + LEAST_EXPONENT),
            })),
            Some(Dtype::U8) => scales.extend(bytes.iter().map(|byte| f32::from(*byte) + self.least())),
            Some(dtype) => dtype.extend_f32(bytes, scales),
            None => {}
        }
    }
}

/// ⌊log₂ |x|⌋, not below the least exponent of a scale.
fn exponent_of(x: f32) -> i32 {
    let exponent = (x.to_bits() >> 23 & 0xff) as i32 - 127;
    exponent.clamp(LEAST_EXPONENT, 127)
}

/// 2^`exponent`, from −127 to 127.
fn power(exponent: i32) -> f32 {
    let bits = if exponent <= LEAST_EXPONENT { 1 << 22 } else { ((exponent + 127) as u32) << 23 };
    f32::from_bits(bits)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_found_by_their_names_and_every_scale_reads_back() {
        for scale in ScaleType::ALL {
            assert_eq!(ScaleType::find(scale.id()), Some(scale));
            let stored: Vec<f32> = [1.0, 0.25, 1.5e-3, 447.0, 0.0, 3e-39].map(|x| scale.round(x)).to_vec();
            let (mut bytes, mut read) = (Vec::new(), Vec::new());
            scale.extend_bytes(&stored, &mut bytes);
            scale.extend_scales(&bytes, &mut read);
            assert_eq!(read, if scale.dtype().is_some() { stored } else { Vec::new() }, "{}", scale.id());
        }
        assert_eq!(ScaleType::find("e9m9"), None);
    }

    #[test]
    fn powers_of_two_are_rounded_by_value_and_chosen_by_exponent() {
        let e8m0 = ScaleType::E8m0;
        assert_eq!(
            [1.0, 1.49, 1.5, 3.1, 0.0, f32::MAX].map(|x| e8m0.round(x)),
            [1.0, 1.0, 2.0, 4.0, 2f32.powi(-127), 2f32.powi(127)]
        );
        assert_eq!(e8m0.of_largest(1.9, 6.0), 0.25);
        assert_eq!(e8m0.of_largest(7.0, 6.0), 1.0);
        assert_eq!(e8m0.of_largest(0.02, 6.0), 2f32.powi(-8));
        let mut bytes = Vec::new();
        e8m0.extend_bytes(&[1.0, 2f32.powi(-127), 2f32.powi(127)], &mut bytes);
        assert_eq!(bytes, [127, 0, 254]);
        let mut scales = Vec::new();
        e8m0.extend_scales(&[255], &mut scales);
        assert!(scales[0].is_nan());
    }
}
