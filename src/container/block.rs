//! Blocks: a run of a tensor's elements that decodes on its own.
//!
//! Encoding is pure, so that workers can do it and hand over bytes and a few numbers.

use super::deflate::deflated;
use crate::entropy::{CodeError, CodeTable, Context, GapTable, Predictor, Rows, planes};
use crate::tensor::Dtype;
use crate::varint;

/// How the bytes of a block are to be read; docs/format.md, "Blocks".
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum BlockEncoding {
    /// Every element is a symbol.
    Symbols {
        /// Bits that fill the last byte.
        padding: u8,
    },
    /// Only non-zeros are symbols: their number, the gaps between them, then their values.
    Gaps {
        /// Bytes before the values.
        position_bytes: u32,
        /// Bits that fill the last byte before the values.
        position_padding: u8,
        /// Bits that fill the last byte.
        value_padding: u8,
    },
    /// Every element is a symbol, whose value is multiplied by a scale: the scales, then the symbols.
    Scaled {
        /// Bytes before the symbols.
        scale_bytes: u32,
        /// Bits that fill the last byte.
        padding: u8,
    },
    /// Elements as they were.
    Stored,
    /// Elements as they were, deflated.
    Deflated,
    /// Elements as they were, in byte planes.
    Planes,
}

/// Ways to hold elements as they are, by their number in front of scales.
pub(super) const ELEMENTS: [BlockEncoding; 3] =
    [BlockEncoding::Stored, BlockEncoding::Deflated, BlockEncoding::Planes];

/// An encoded block, ready to be written.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct EncodedBlock {
    /// Its bytes.
    pub bytes: Vec<u8>,
    /// How to read them.
    pub encoding: BlockEncoding,
}

/// Kept elements of fewer bytes are stored as they are: a code's own header takes what it saves, and in files of very many small
/// tensors trying takes most of the time.
const LEAST_CODED: usize = 48;

impl EncodedBlock {
    /// This block of symbols with the scales, little-endian elements of their type, in front of them; itself where there
    /// are none.
    pub fn with_scales(self, scales: Option<(Dtype, Vec<u8>)>) -> Result<Self, CodeError> {
        let (BlockEncoding::Symbols { padding }, Some((dtype, scales))) = (self.encoding, scales) else {
            return Ok(self);
        };
        let scales = Self::kept(scales, dtype, Rows::default())?;
        let tag = ELEMENTS.iter().position(|encoding| *encoding == scales.encoding).unwrap_or(0);
        let bytes = [&[tag as u8][..], &scales.bytes].concat();
        let encoding = BlockEncoding::Scaled { scale_bytes: bytes.len() as u32, padding };
        Ok(Self { bytes: [bytes, self.bytes].concat(), encoding })
    }

    /// A block of a kept tensor, from its little-endian elements: stored, deflated or in byte planes, whichever is smallest and,
    /// of equals, fastest to decode. `rows` says where the block lies in its tensor.
    pub fn kept(elements: Vec<u8>, dtype: Dtype, rows: Rows) -> Result<Self, CodeError> {
        if elements.len() < LEAST_CODED {
            return Ok(Self { bytes: elements, encoding: BlockEncoding::Stored });
        }
        let planes = planes::encode(&elements, dtype, rows)?.map(|bytes| (BlockEncoding::Planes, bytes));
        let deflated = deflated(&elements).map(|bytes| (BlockEncoding::Deflated, bytes));
        let mut best = Self { bytes: elements, encoding: BlockEncoding::Stored };
        for (encoding, bytes) in deflated.into_iter().chain(planes) {
            if bytes.len() < best.bytes.len() {
                best = Self { bytes, encoding };
            }
        }
        Ok(best)
    }

    /// Bits of scales.
    pub fn scale_bits(&self) -> u64 {
        self.encoding.bits(self.bytes.len() as u64).scales
    }

    /// Bits of codes of values.
    pub fn value_bits(&self) -> u64 {
        self.encoding.bits(self.bytes.len() as u64).values
    }

    /// Bits of positions of non-zeros.
    pub fn position_bits(&self) -> u64 {
        self.encoding.bits(self.bytes.len() as u64).positions
    }

    /// Bits that fill bytes.
    pub fn padding_bits(&self) -> u64 {
        self.encoding.bits(self.bytes.len() as u64).padding
    }
}

/// What the bits of a block are for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct BlockBits {
    pub(super) values: u64,
    pub(super) positions: u64,
    pub(super) scales: u64,
    pub(super) kept: u64,
    pub(super) padding: u64,
}

impl BlockEncoding {
    /// What the bits of a block of `bytes` bytes are for.
    pub(super) fn bits(self, bytes: u64) -> BlockBits {
        match self {
            Self::Symbols { padding } => BlockBits {
                values: (bytes * 8).saturating_sub(u64::from(padding)),
                padding: u64::from(padding).min(bytes * 8),
                ..BlockBits::default()
            },
            Self::Gaps { position_bytes, position_padding, value_padding } => {
                let positions = u64::from(position_bytes).min(bytes);
                let split = |bytes: u64, padding: u8| {
                    let padding = u64::from(padding).min(bytes * 8);
                    (bytes * 8 - padding, padding)
                };
                let (position_bits, position_padding) = split(positions, position_padding);
                let (values, value_padding) = split(bytes - positions, value_padding);
                let padding = position_padding + value_padding;
                BlockBits { values, positions: position_bits, padding, ..BlockBits::default() }
            }
            Self::Scaled { scale_bytes, padding } => {
                let scales = u64::from(scale_bytes).min(bytes);
                BlockBits { scales: scales * 8, ..Self::Symbols { padding }.bits(bytes - scales) }
            }
            Self::Stored | Self::Deflated | Self::Planes => {
                BlockBits { kept: bytes * 8, ..BlockBits::default() }
            }
        }
    }
}

/// Bits that fill the last byte after `bits` bits.
const fn padding(bits: u64) -> u8 {
    (bits.wrapping_neg() & 7) as u8
}

/// Encodes the symbols of a block: all of them, or with a gap table only those that are not 0, less 1.
///
/// `rows` says where the block lies in its tensor. Pure: the same symbols and tables give the same block anywhere.
pub fn encode_block(
    symbols: &[u16],
    table: &CodeTable,
    gaps: Option<&GapTable>,
    rows: Rows,
) -> Result<EncodedBlock, CodeError> {
    let mut bytes = Vec::new();
    let Some(gaps) = gaps else {
        let bits = table.encode(symbols, rows, &mut bytes)?;
        return Ok(EncodedBlock { bytes, encoding: BlockEncoding::Symbols { padding: padding(bits) } });
    };
    let values: Vec<u16> = symbols.iter().filter(|symbol| **symbol != 0).map(|symbol| symbol - 1).collect();
    varint::put(values.len() as u64, &mut bytes);
    let position_bits = gaps.encode(symbols, &mut bytes)?;
    let position_bytes = bytes.len() as u32;
    let value_bits = table.encode(&values, Rows::default(), &mut bytes)?;
    let encoding = BlockEncoding::Gaps {
        position_bytes,
        position_padding: padding(position_bits),
        value_padding: padding(value_bits),
    };
    Ok(EncodedBlock { bytes, encoding })
}

/// Encodes the symbols of a block by the predictor that they were [assigned](Context::assign) for.
pub fn encode_block_by(
    symbols: &[u16],
    context: &Context,
    predictor: Predictor,
    rows: Rows,
) -> Result<EncodedBlock, CodeError> {
    let mut bytes = Vec::new();
    let bits = context.encode_by(symbols, rows, predictor, &mut bytes)?;
    Ok(EncodedBlock { bytes, encoding: BlockEncoding::Symbols { padding: padding(bits) } })
}
