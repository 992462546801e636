//! Codes that stand for elements: how each is turned into bytes, a row for each.
//!
//! Codes of fixed units, such as the blocks of ggml's quantized types, can be decoded anywhere: a unit is so many bytes that
//! stand for so many elements. Codes that vary in length are decoded once, whole, up to a limit. Either way the bytes are those
//! that the tensor's type says, little-endian.
//!
//! The numbers of the codes are those of a container's wire: up to 127 they are ggml's own (`enum ggml_type`, ggml.h), of
//! which no block-coded one is 0 or 1.

mod blocks;
mod grids;
mod packing;

use super::protobuf::Wire;
use super::{FormatError, Source};
use crate::tensor::{Codec, Span, Tensor};
use packing::Block;

/// The bytes and the elements of what can be decoded by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unit {
    /// Elements that a unit stands for.
    pub(crate) elements: u64,
    /// Bytes of its codes.
    pub(crate) bytes: u64,
}

/// How a code is read.
struct Row {
    codec: Codec,
    /// What people call it.
    name: &'static str,
    /// What stands for it in a container.
    number: u8,
    decode: Decode,
}

/// How codes become elements.
enum Decode {
    /// One after another: they vary in length, and one byte is the shortest.
    Varints,
    /// Block by block into float32.
    Blocks {
        elements: u16,
        bytes: u16,
        /// Elements that share a scale.
        group: u16,
        /// Fields of two bytes, by where they start; `None` where nothing published says what a big-endian file turns.
        halves: Option<&'static [usize]>,
        fill: fn(&mut Block<'_>),
    },
}

/// A row for blocks of `[elements, bytes, group]`.
const fn blocks(
    codec: Codec,
    name: &'static str,
    number: u8,
    [elements, bytes, group]: [u16; 3],
    fill: fn(&mut Block<'_>),
) -> Row {
    // What llama.cpp's gguf_convert_endian.py turns; of other types it says that it cannot.
    let halves: Option<&[usize]> = match codec {
        Codec::Q4_0 | Codec::Q8_0 => Some(&[0]),
        Codec::Q4K => Some(&[0, 2]),
        Codec::Q6K => Some(&[208]),
        Codec::Mxfp4 | Codec::Nvfp4 => Some(&[]),
        _ => None,
    };
    Row { codec, name, number, decode: Decode::Blocks { elements, bytes, group, halves, fill } }
}

/// Every code. `Q8_1` and `Q8_K` are what ggml multiplies with, and stand in no file that it writes.
static CODECS: [Row; 28] = [
    Row { codec: Codec::Varints, name: "varints", number: 0, decode: Decode::Varints },
    blocks(Codec::Q4_0, "Q4_0", 2, [32, 18, 32], blocks::q4_0),
    blocks(Codec::Q4_1, "Q4_1", 3, [32, 20, 32], blocks::q4_1),
    blocks(Codec::Q5_0, "Q5_0", 6, [32, 22, 32], blocks::q5_0),
    blocks(Codec::Q5_1, "Q5_1", 7, [32, 24, 32], blocks::q5_1),
    blocks(Codec::Q8_0, "Q8_0", 8, [32, 34, 32], blocks::q8_0),
    blocks(Codec::Q8_1, "Q8_1", 9, [32, 36, 32], blocks::q8_1),
    blocks(Codec::Q2K, "Q2_K", 10, [256, 84, 16], blocks::q2_k),
    blocks(Codec::Q3K, "Q3_K", 11, [256, 110, 16], blocks::q3_k),
    blocks(Codec::Q4K, "Q4_K", 12, [256, 144, 32], blocks::q4_k),
    blocks(Codec::Q5K, "Q5_K", 13, [256, 176, 32], blocks::q5_k),
    blocks(Codec::Q6K, "Q6_K", 14, [256, 210, 16], blocks::q6_k),
    blocks(Codec::Q8K, "Q8_K", 15, [256, 292, 256], blocks::q8_k),
    blocks(Codec::Iq2Xxs, "IQ2_XXS", 16, [256, 66, 32], grids::iq2_xxs),
    blocks(Codec::Iq2Xs, "IQ2_XS", 17, [256, 74, 16], grids::iq2_xs),
    blocks(Codec::Iq3Xxs, "IQ3_XXS", 18, [256, 98, 32], grids::iq3_xxs),
    blocks(Codec::Iq1S, "IQ1_S", 19, [256, 50, 32], grids::iq1_s),
    blocks(Codec::Iq4Nl, "IQ4_NL", 20, [32, 18, 32], blocks::iq4_nl),
    blocks(Codec::Iq3S, "IQ3_S", 21, [256, 110, 32], grids::iq3_s),
    blocks(Codec::Iq2S, "IQ2_S", 22, [256, 82, 16], grids::iq2_s),
    blocks(Codec::Iq4Xs, "IQ4_XS", 23, [256, 136, 32], blocks::iq4_xs),
    blocks(Codec::Iq1M, "IQ1_M", 29, [256, 56, 16], grids::iq1_m),
    blocks(Codec::Tq1_0, "TQ1_0", 34, [256, 54, 256], blocks::tq1_0),
    blocks(Codec::Tq2_0, "TQ2_0", 35, [256, 66, 256], blocks::tq2_0),
    blocks(Codec::Mxfp4, "MXFP4", 39, [32, 17, 32], blocks::mxfp4),
    blocks(Codec::Nvfp4, "NVFP4", 40, [64, 36, 16], blocks::nvfp4),
    blocks(Codec::Q1_0, "Q1_0", 41, [128, 18, 128], blocks::q1_0),
    blocks(Codec::Q2_0, "Q2_0", 42, [64, 18, 64], blocks::q2_0),
];

impl Codec {
    /// Its row. Every code has one, so the first never stands in for another.
    fn row(self) -> &'static Row {
        let [first, ..] = &CODECS;
        CODECS.iter().find(|row| row.codec == self).unwrap_or(first)
    }

    /// What people call it.
    pub(crate) fn name(self) -> &'static str {
        self.row().name
    }

    /// What stands for it in a container; of ggml's types their own number.
    pub(crate) fn number(self) -> u8 {
        self.row().number
    }

    /// The code of this [`number`](Self::number), if there is one.
    pub(crate) fn from_number(number: u8) -> Option<Self> {
        CODECS.iter().find(|row| row.number == number).map(|row| row.codec)
    }

    /// What of it can be decoded by itself; `None` where codes vary in length.
    pub(crate) fn unit(self) -> Option<Unit> {
        match self.row().decode {
            Decode::Varints => None,
            Decode::Blocks { elements, bytes, .. } => {
                Some(Unit { elements: u64::from(elements), bytes: u64::from(bytes) })
            }
        }
    }

    /// What so many elements need, where so many bytes of codes cannot be theirs.
    pub(crate) fn misfit(self, elements: u64, bytes: u64) -> Option<String> {
        match self.unit() {
            Some(unit) => {
                let own = elements.div_ceil(unit.elements).saturating_mul(unit.bytes);
                (own != bytes).then(|| format!("{own} bytes of codes"))
            }
            None => (bytes < elements || bytes > elements.saturating_mul(10))
                .then(|| format!("1 to 10 bytes of codes for each of {elements} elements")),
        }
    }

    /// Appends the elements of whole units to `out`: float32, or bytes for integers. What is left of `codes` behind the last
    /// whole unit is ignored; codes without units give nothing.
    pub(crate) fn decode_units(self, codes: &[u8], out: &mut Vec<u8>) {
        if let Decode::Blocks { elements, bytes, .. } = self.row().decode {
            let start = out.len();
            out.resize(start + codes.len() / usize::from(bytes) * usize::from(elements) * 4, 0);
            self.decode_into(codes, out.get_mut(start..).unwrap_or_default());
        }
    }

    /// As [`decode_units`](Self::decode_units), into `out`, which has room for the elements of as many units.
    pub(crate) fn decode_into(self, codes: &[u8], out: &mut [u8]) {
        if let Decode::Blocks { elements, bytes, group, fill, .. } = self.row().decode {
            let mut block = Block::new(usize::from(elements), usize::from(group));
            let elements = out.as_chunks_mut().0.chunks_exact_mut(usize::from(elements));
            for (bytes, out) in codes.chunks_exact(usize::from(bytes)).zip(elements) {
                block.decode(bytes, fill, out);
            }
        }
    }

    /// Whether units of it can be read from a big-endian file: whether it is known which of their bytes are turned there.
    pub(super) fn is_known_big_endian(self) -> bool {
        !matches!(self.row().decode, Decode::Blocks { halves: None, .. })
    }

    /// Turns whole units of a big-endian file into little-endian ones.
    pub(crate) fn turn_units(self, codes: &mut [u8]) {
        if let Decode::Blocks { bytes, halves: Some(halves), .. } = self.row().decode {
            for unit in codes.chunks_exact_mut(usize::from(bytes)) {
                for at in halves {
                    unit.get_mut(*at..at + 2).unwrap_or_default().reverse();
                }
            }
        }
    }

    /// All elements of `tensor`, whose codes vary in length and lie at `span`; refused beyond `limit` bytes, and where the
    /// codes are not as many.
    pub(super) fn decode(
        source: &dyn Source,
        part: &str,
        mut span: Span,
        tensor: &Tensor,
        limit: u64,
    ) -> Result<Vec<u8>, FormatError> {
        let (count, size) = (tensor.len(), tensor.dtype.size_bytes());
        let total = count * size;
        if total > limit || count > span.len {
            let expected = format!("{count} numbers in {} bytes", span.len);
            return Err(FormatError::damaged(part, expected, "fewer, or more than can be held"));
        }
        let out = varints(source, &mut span, size, total)?;
        if span.len > 0 || out.len() as u64 != total {
            return Err(FormatError::damaged(part, format!("{count} numbers"), "another count"));
        }
        Ok(out)
    }
}

/// The elements that protobuf varints stand for, each cut to `size` bytes, at most as many bytes as `total`; the codes behind
/// them are left.
fn varints(source: &dyn Source, codes: &mut Span, size: u64, total: u64) -> Result<Vec<u8>, FormatError> {
    let mut wire = Wire::new(source, "typed data of an ONNX model");
    let mut out = Vec::new();
    while codes.len > 0 && (out.len() as u64) < total {
        let value = wire.varint(codes)?.to_le_bytes();
        out.extend(value.get(..size as usize).unwrap_or_default());
    }
    Ok(out)
}

#[cfg(test)]
mod tests;
