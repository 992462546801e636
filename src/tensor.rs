//! A tensor as a file describes it: name, shape, element type, and where its bytes lie.
//!
//! Nothing here holds weights. A [`Tensor`] locates its elements inside a [`Source`](crate::formats::Source)
//! with 64-bit offsets, so a model larger than memory is as easy to describe as a small one.

use crate::role::Found;
use half::{bf16, f16};

/// The type of a tensor's elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[allow(missing_docs)]
pub enum Dtype {
    F64,
    F32,
    F16,
    Bf16,
    /// OCP 8-bit float, 4 exponent and 3 mantissa bits, no infinities (`float8_e4m3fn`).
    F8E4M3,
    /// OCP 8-bit float, 5 exponent and 2 mantissa bits, IEEE-like (`float8_e5m2`).
    F8E5M2,
    I64,
    I32,
    I16,
    I8,
    U64,
    U32,
    U16,
    U8,
    Bool,
    C64,
    C128,
    /// OCP 8-bit exponent, the scales of microscaling formats: carried, not quantized.
    F8E8M0,
}

impl Dtype {
    /// Every element type, floats first.
    pub const ALL: [Self; 18] = [
        Self::F64,
        Self::F32,
        Self::F16,
        Self::Bf16,
        Self::F8E4M3,
        Self::F8E5M2,
        Self::I64,
        Self::I32,
        Self::I16,
        Self::I8,
        Self::U64,
        Self::U32,
        Self::U16,
        Self::U8,
        Self::Bool,
        Self::C64,
        Self::C128,
        Self::F8E8M0,
    ];

    /// Size of one element in bytes.
    pub const fn size_bytes(self) -> u64 {
        match self {
            Self::C128 => 16,
            Self::F64 | Self::I64 | Self::U64 | Self::C64 => 8,
            Self::F32 | Self::I32 | Self::U32 => 4,
            Self::F16 | Self::Bf16 | Self::I16 | Self::U16 => 2,
            Self::F8E4M3 | Self::F8E5M2 | Self::F8E8M0 | Self::I8 | Self::U8 | Self::Bool => 1,
        }
    }

    /// Whether the elements are real floating-point numbers, the ones that can be quantized.
    pub const fn is_float(self) -> bool {
        matches!(self, Self::F64 | Self::F32 | Self::F16 | Self::Bf16 | Self::F8E4M3 | Self::F8E5M2)
    }

    /// The name used by safetensors headers, by our container and on the page.
    pub const fn name(self) -> &'static str {
        match self {
            Self::F64 => "F64",
            Self::F32 => "F32",
            Self::F16 => "F16",
            Self::Bf16 => "BF16",
            Self::F8E4M3 => "F8_E4M3",
            Self::F8E5M2 => "F8_E5M2",
            Self::I64 => "I64",
            Self::I32 => "I32",
            Self::I16 => "I16",
            Self::I8 => "I8",
            Self::U64 => "U64",
            Self::U32 => "U32",
            Self::U16 => "U16",
            Self::U8 => "U8",
            Self::Bool => "BOOL",
            Self::C64 => "C64",
            Self::C128 => "C128",
            Self::F8E8M0 => "F8_E8M0",
        }
    }

    /// The type of this [`name`](Self::name), if there is one.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|dtype| dtype.name() == name)
    }

    /// Appends the values of little-endian `bytes` to `values`, as float32.
    ///
    /// f64 is narrowed (round to nearest even); every other float converts exactly. Bytes beyond the last
    /// whole element are ignored. Does nothing for types that are not [floats](Self::is_float).
    pub fn extend_f32(self, bytes: &[u8], values: &mut Vec<f32>) {
        match self {
            Self::F64 => values.extend(bytes.as_chunks().0.iter().map(|b| f64::from_le_bytes(*b) as f32)),
            Self::F32 => values.extend(bytes.as_chunks().0.iter().map(|b| f32::from_le_bytes(*b))),
            Self::F16 => values.extend(bytes.as_chunks().0.iter().map(|b| f16::from_le_bytes(*b).to_f32())),
            Self::Bf16 => values.extend(bytes.as_chunks().0.iter().map(|b| bf16::from_le_bytes(*b).to_f32())),
            Self::F8E4M3 => values.extend(bytes.iter().map(|b| f32_from_f8(*b, 3))),
            Self::F8E5M2 => values.extend(bytes.iter().map(|b| f32_from_f8(*b, 2))),
            _ => {}
        }
    }

    /// Appends `values` to `bytes` as little-endian elements of this type, rounded to nearest even.
    ///
    /// Does nothing for types that are not [floats](Self::is_float). What is finite stays so: at the type's largest number.
    pub fn extend_bytes(self, values: &[f32], bytes: &mut Vec<u8>) {
        let held = |value: &f32| self.held(*value);
        match self {
            Self::F64 => bytes.extend(values.iter().flat_map(|v| f64::from(*v).to_le_bytes())),
            Self::F32 => bytes.extend(values.iter().flat_map(|v| v.to_le_bytes())),
            Self::F16 => bytes.extend(values.iter().map(held).flat_map(|v| f16::from_f32(v).to_le_bytes())),
            Self::Bf16 => bytes.extend(values.iter().map(held).flat_map(|v| bf16::from_f32(v).to_le_bytes())),
            Self::F8E4M3 => bytes.extend(values.iter().map(held).map(|v| f8_from_f32(v, 3))),
            Self::F8E5M2 => bytes.extend(values.iter().map(held).map(|v| f8_from_f32(v, 2))),
            _ => {}
        }
    }

    /// Turns the sign of every little-endian element of `bytes`: of all of them, or of the imaginary parts of complex ones alone.
    ///
    /// Integers wrap, as `PyTorch`'s do.
    pub fn negate(self, bytes: &mut [u8], imaginary_only: bool) {
        match self {
            Self::Bool | Self::F8E8M0 => {}
            Self::I8 | Self::U8 | Self::I16 | Self::U16 | Self::I32 | Self::U32 | Self::I64 | Self::U64 => {
                for element in bytes.chunks_exact_mut(self.size_bytes() as usize) {
                    // Two's complement: all bits turned, plus one.
                    let mut carry = true;
                    for byte in element {
                        (*byte, carry) = (!*byte).overflowing_add(u8::from(carry));
                    }
                }
            }
            Self::C64 | Self::C128 => {
                let skip = usize::from(imaginary_only);
                let parts = bytes.chunks_exact_mut((self.size_bytes() / 2) as usize);
                let parts = parts.skip(skip).step_by(1 + skip);
                parts.filter_map(<[u8]>::last_mut).for_each(|top| *top ^= 0x80);
            }
            _ => {
                let parts = bytes.chunks_exact_mut(self.size_bytes() as usize);
                parts.filter_map(<[u8]>::last_mut).for_each(|top| *top ^= 0x80);
            }
        }
    }

    /// The largest finite number of a float type.
    pub const fn largest(self) -> f32 {
        match self {
            Self::F16 => 65504.0,
            // 0x7f7f in the upper half of a float32.
            Self::Bf16 => f32::from_bits(0x7f7f_0000),
            Self::F8E4M3 => 448.0,
            Self::F8E5M2 => 57344.0,
            _ => f32::MAX,
        }
    }

    /// A finite value held inside the finite range of this type; what is not finite stays so.
    fn held(self, value: f32) -> f32 {
        if value.is_finite() { value.clamp(-self.largest(), self.largest()) } else { value }
    }

    /// `value` as it reads back after being stored in this type; what is finite stays so.
    pub fn round_f32(self, value: f32) -> f32 {
        let value = self.held(value);
        match self {
            Self::F16 => f16::from_f32(value).to_f32(),
            Self::Bf16 => bf16::from_f32(value).to_f32(),
            Self::F8E4M3 => f32_from_f8(f8_from_f32(value, 3), 3),
            Self::F8E5M2 => f32_from_f8(f8_from_f32(value, 2), 2),
            _ => value,
        }
    }
}

/// Reads an OCP 8-bit float with `mantissa` (2 or 3) explicit mantissa bits.
fn f32_from_f8(byte: u8, mantissa: u32) -> f32 {
    let exponent_bits = 7 - mantissa;
    let bias = (1 << (exponent_bits - 1)) - 1;
    let exponent = i32::from((byte & 0x7f) >> mantissa);
    let fraction = i32::from(byte & ((1 << mantissa) - 1));
    let top = (1 << exponent_bits) - 1;
    let magnitude = if mantissa == 2 && exponent == top {
        if fraction == 0 { f32::INFINITY } else { f32::NAN }
    } else if mantissa == 3 && byte & 0x7f == 0x7f {
        f32::NAN
    } else if exponent == 0 {
        fraction as f32 * power_of_two(1 - bias - mantissa as i32)
    } else {
        (fraction + (1 << mantissa)) as f32 * power_of_two(exponent - bias - mantissa as i32)
    };
    if byte & 0x80 == 0 { magnitude } else { -magnitude }
}

/// 2^`exponent` for exponents of normal float32 numbers.
fn power_of_two(exponent: i32) -> f32 {
    f32::from_bits(((exponent + 127) as u32) << 23)
}

/// Rounds to the nearest OCP 8-bit float, ties to even; E4M3 saturates to ±448, E5M2 overflows to infinity.
fn f8_from_f32(value: f32, mantissa: u32) -> u8 {
    let sign = if value.is_sign_negative() { 0x80 } else { 0 };
    let (largest_finite, infinity) = if mantissa == 3 { (0x7e, 0x7e) } else { (0x7b, 0x7c) };
    if value.is_nan() {
        return sign | 0x7f;
    }
    let magnitude = value.abs();
    // Codes of one sign are ordered like their values: find the two neighbours, then round.
    let below =
        (0..=largest_finite).rev().find(|code| f32_from_f8(*code, mantissa) <= magnitude).unwrap_or(0);
    let low = f32_from_f8(below, mantissa);
    if low == magnitude {
        return sign | below;
    }
    let high = if below == largest_finite {
        low + (low - f32_from_f8(below - 1, mantissa))
    } else {
        f32_from_f8(below + 1, mantissa)
    };
    let middle = low + (high - low) / 2.0;
    let up = magnitude > middle || (magnitude == middle && below & 1 == 1);
    let code = match (up, below == largest_finite) {
        (false, _) => below,
        (true, false) => below + 1,
        (true, true) => infinity,
    };
    sign | code
}

/// A byte range of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
pub struct Span {
    /// First byte, from the start of the source.
    pub offset: u64,
    /// Number of bytes.
    pub len: u64,
}

/// The bytes that a tensor's elements lie in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Storage {
    /// Bytes as they are in the source.
    Stored(Span),
    /// A raw deflate stream (RFC 1951) in the source, `inflated_len` bytes long once inflated.
    Deflated {
        /// The compressed bytes.
        span: Span,
        /// How many bytes they inflate to.
        inflated_len: u64,
    },
    /// Elements that have no bytes of their own: a code stands for one or a block of them.
    Encoded {
        /// The codes.
        span: Span,
        /// What they are.
        codec: Codec,
        /// Number of bytes of the elements they stand for.
        len: u64,
    },
}

/// A code for elements; [`formats`](crate::formats) has a row for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[allow(missing_docs)]
pub enum Codec {
    /// Protobuf varints, one for each element's bits.
    Varints,
    // The block-coded types of ggml, by their names there; elements are float32.
    Q4_0,
    Q4_1,
    Q5_0,
    Q5_1,
    Q8_0,
    Q8_1,
    Q2K,
    Q3K,
    Q4K,
    Q5K,
    Q6K,
    Q8K,
    Iq2Xxs,
    Iq2Xs,
    Iq3Xxs,
    Iq1S,
    Iq4Nl,
    Iq3S,
    Iq2S,
    Iq4Xs,
    Iq1M,
    Tq1_0,
    Tq2_0,
    Mxfp4,
    Nvfp4,
    Q1_0,
    Q2_0,
}

impl Storage {
    /// Where its bytes lie in the source, as they are there.
    pub const fn span(&self) -> Span {
        match self {
            Self::Stored(span) | Self::Deflated { span, .. } | Self::Encoded { span, .. } => *span,
        }
    }

    /// Moves it `offset` bytes on in the source.
    pub const fn shift(&mut self, offset: u64) {
        match self {
            Self::Stored(span) | Self::Deflated { span, .. } | Self::Encoded { span, .. } => {
                span.offset = span.offset.saturating_add(offset);
            }
        }
    }

    /// Number of bytes after inflation and decoding.
    pub const fn len(&self) -> u64 {
        match self {
            Self::Stored(span) => span.len,
            Self::Deflated { inflated_len, .. } => *inflated_len,
            Self::Encoded { len, .. } => *len,
        }
    }

    /// Whether there are no bytes at all.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// One tensor of a weight file.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Tensor {
    /// Its name, as the file gives it.
    pub name: String,
    /// Dimensions, outermost first; empty for a scalar.
    pub shape: Vec<u64>,
    /// Type of its elements.
    pub dtype: Dtype,
    /// The bytes its elements lie in.
    pub storage: Storage,
    /// First byte of the first element (index 0, 0, …) inside the storage.
    pub offset: u64,
    /// Distance between neighbours along each dimension, in elements; `None` for contiguous row-major order.
    pub strides: Option<Vec<i64>>,
    /// Whether elements are stored most significant byte first.
    pub big_endian: bool,
    /// Whether what is stored is the negative of the elements.
    pub negated: bool,
    /// Whether what is stored are the complex conjugates of the elements.
    pub conjugated: bool,
    /// Index of an earlier tensor of the same model with the same elements (tied weights), if any.
    pub same_as: Option<usize>,
    /// What its numbers do, with the reason.
    pub found: Found,
}

impl Tensor {
    /// A tensor whose elements begin where its storage does, little-endian and row-major, of which no more is known.
    pub fn plain(name: String, shape: Vec<u64>, dtype: Dtype, storage: Storage) -> Self {
        Self {
            name,
            shape,
            dtype,
            storage,
            offset: 0,
            strides: None,
            big_endian: false,
            negated: false,
            conjugated: false,
            same_as: None,
            found: Found::default(),
        }
    }

    /// Number of elements; the reader that made the tensor has checked that it fits 64 bits.
    pub fn len(&self) -> u64 {
        self.shape.iter().product()
    }

    /// Whether its bytes can only be read from front to back, or all at once.
    pub fn is_sequential(&self) -> bool {
        // Units of fixed size can be decoded anywhere.
        let anywhere = match self.storage {
            Storage::Stored(_) => true,
            Storage::Deflated { .. } => false,
            Storage::Encoded { codec, .. } => codec.unit().is_some(),
        };
        !anywhere || self.strides.is_some()
    }

    /// Whether codes of blocks of elements stand for its elements: it was quantized before.
    pub fn is_block_coded(&self) -> bool {
        matches!(self.storage, Storage::Encoded { codec, .. } if codec.unit().is_some())
    }

    /// Whether the tensor has no element.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes that its elements, or the codes of them, take.
    pub fn stored_bytes(&self) -> u64 {
        match self.storage {
            Storage::Encoded { span, .. } => span.len,
            _ => self.size_bytes(),
        }
    }

    /// Size of the elements in bytes.
    pub fn size_bytes(&self) -> u64 {
        self.len() * self.dtype.size_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finite_values(mantissa: u32) -> std::collections::BTreeSet<i64> {
        (0..=255u8)
            .map(|b| f32_from_f8(b, mantissa))
            .filter(|v| v.is_finite())
            .map(|v| (v * 65536.0) as i64)
            .collect()
    }

    #[test]
    fn f8_types_have_the_published_number_of_values_and_maxima() {
        assert_eq!(finite_values(3).len(), 253);
        assert_eq!(finite_values(2).len(), 247);
        assert_eq!(f32_from_f8(0x7e, 3), 448.0);
        assert_eq!(f32_from_f8(0x7b, 2), 57344.0);
    }

    #[test]
    fn every_finite_f8_code_survives_a_round_trip() {
        for (dtype, mantissa) in [(Dtype::F8E4M3, 3), (Dtype::F8E5M2, 2)] {
            for code in 0..=255u8 {
                let value = f32_from_f8(code, mantissa);
                if value.is_finite() {
                    let mut bytes = Vec::new();
                    dtype.extend_bytes(&[value], &mut bytes);
                    assert_eq!(bytes, [code], "{value}");
                    assert_eq!(dtype.round_f32(value), value);
                }
            }
        }
    }

    #[test]
    fn negating_turns_every_sign_and_conjugating_the_imaginary_ones() {
        let mut floats = [1.5f32, -0.0].map(f32::to_le_bytes).concat();
        Dtype::F32.negate(&mut floats, false);
        assert_eq!(floats, [-1.5f32, 0.0].map(f32::to_le_bytes).concat());
        let mut integers = [5i16, -256, i16::MIN].map(i16::to_le_bytes).concat();
        Dtype::I16.negate(&mut integers, false);
        assert_eq!(integers, [-5i16, 256, i16::MIN].map(i16::to_le_bytes).concat());
        let mut complex = [1.0f32, 2.0, -3.0, -4.0].map(f32::to_le_bytes).concat();
        Dtype::C64.negate(&mut complex, true);
        assert_eq!(complex, [1.0f32, -2.0, -3.0, 4.0].map(f32::to_le_bytes).concat());
    }

    #[test]
    fn f8_rounds_ties_to_even_and_saturates() {
        assert_eq!(Dtype::F8E4M3.round_f32(17.0), 16.0);
        assert_eq!(Dtype::F8E4M3.round_f32(19.0), 20.0);
        assert_eq!(Dtype::F8E4M3.round_f32(1e9), 448.0);
        assert_eq!(Dtype::F8E5M2.round_f32(1e9), 57344.0);
        assert_eq!(Dtype::F8E5M2.round_f32(f32::INFINITY), f32::INFINITY);
        assert_eq!((Dtype::F16.round_f32(65536.0), Dtype::F16.round_f32(-1e9)), (65504.0, -65504.0));
        assert!(Dtype::Bf16.round_f32(f32::MAX).is_finite());
        assert!(Dtype::F8E4M3.round_f32(f32::NAN).is_nan());
    }

    #[test]
    fn names_are_unique_and_found_again() {
        for dtype in Dtype::ALL {
            assert_eq!(Dtype::from_name(dtype.name()), Some(dtype));
        }
        assert_eq!(Dtype::from_name("F4"), None);
    }
}
