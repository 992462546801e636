//! Decodes the blocks of a tensor: bytes to symbols to elements.
//!
//! A block's codebooks are parsed when it is decoded, one at a time, so memory is a block's bytes, symbols and elements.

use super::block::BlockEncoding;
use super::deflate::inflated;
use super::directory::{Kind, Section};
use super::medium::{read_section, undecodable};
use super::wire::Cursor;
use super::{BLOCK_WEIGHTS, Coding, ContainerError, Content, Entry, Reader};
use crate::entropy::{CodeError, CodeTable, GapTable, Rows, planes};
use crate::formats::Source;
use std::sync::Arc;

/// Decodes the blocks of one tensor.
#[derive(Debug)]
pub struct TensorDecoder<'a> {
    pub(super) reader: &'a Reader,
    /// The tensor that holds the elements.
    pub(super) entry: &'a Entry,
    /// The sections from its first block on.
    pub(super) blocks: &'a [Section],
    pub(super) table: Option<Arc<CodeTable>>,
    pub(super) gaps: Option<GapTable>,
}

impl TensorDecoder<'_> {
    /// Number of blocks that hold the elements.
    pub fn blocks(&self) -> u64 {
        self.entry.blocks()
    }

    /// Appends the elements of a block to `bytes`, little-endian; after an error, part of them may be there.
    pub fn decode_block(
        &self,
        source: &dyn Source,
        block: u64,
        bytes: &mut Vec<u8>,
    ) -> Result<(), ContainerError> {
        let stored = self.read(source, block)?;
        match self.entry.content {
            Content::Quantized(coding) => {
                let mut symbols = Vec::new();
                self.decode_symbols(&stored, block, &mut symbols)?;
                self.look_up(coding, &stored, &symbols, block, bytes)
            }
            _ => self.decode_kept(&stored, block, bytes),
        }
    }

    /// Appends the symbols of a block of a quantized tensor to `symbols`.
    pub fn symbols(
        &self,
        source: &dyn Source,
        block: u64,
        symbols: &mut Vec<u16>,
    ) -> Result<(), ContainerError> {
        let stored = self.read(source, block)?;
        self.decode_symbols(&stored, block, symbols)
    }

    fn part(&self, block: u64) -> String {
        format!("{}, block {block}", self.entry.part())
    }

    /// Reads a block and checks its CRC-32.
    fn read(&self, source: &dyn Source, block: u64) -> Result<Stored, ContainerError> {
        let part = self.part(block);
        let index = usize::try_from(block).ok().filter(|_| block < self.blocks());
        let Some(section) = index.and_then(|index| self.blocks.get(index)) else {
            return Err(ContainerError::request(part, format!("a block below {}", self.blocks()), block));
        };
        let Kind::Block(encoding) = section.kind else {
            return Err(ContainerError::damaged(&part, section.offset, "a block", section.kind.name()));
        };
        let bytes = read_section(source, &part, section, section.len)?;
        Ok(Stored { bytes, encoding, offset: section.offset })
    }

    fn decode_kept(&self, stored: &Stored, block: u64, bytes: &mut Vec<u8>) -> Result<(), ContainerError> {
        let len = self.entry.block_len(block) as u64 * self.entry.dtype.size_bytes();
        match stored.encoding {
            BlockEncoding::Deflated => {
                let elements = inflated(&stored.bytes, len)
                    .map_err(|(expected, found)| self.damaged(stored, block, expected, found))?;
                bytes.extend_from_slice(&elements);
            }
            BlockEncoding::Planes => {
                let (len, rows) = (self.entry.block_len(block), self.entry.rows(block));
                planes::decode(&stored.bytes, self.entry.dtype, rows, len, bytes)
                    .map_err(|source| undecodable(&self.part(block), stored.offset, source))?;
            }
            _ => bytes.extend_from_slice(&stored.bytes),
        }
        Ok(())
    }

    fn decode_symbols(
        &self,
        stored: &Stored,
        block: u64,
        symbols: &mut Vec<u16>,
    ) -> Result<(), ContainerError> {
        let Some(table) = &self.table else {
            return Err(ContainerError::request(
                self.part(block),
                "a quantized tensor",
                "one kept as it was",
            ));
        };
        let len = self.entry.block_len(block);
        let undecodable = |source| undecodable(&self.part(block), stored.offset, source);
        match (stored.encoding, &self.gaps) {
            (BlockEncoding::Symbols { padding }, _) => {
                let bits =
                    table.decode(&stored.bytes, len, self.entry.rows(block), symbols).map_err(undecodable)?;
                self.check_padding(stored, block, bits, padding)
            }
            (BlockEncoding::Gaps { position_bytes, position_padding, value_padding }, Some(gaps)) => {
                let split = (position_bytes as usize).min(stored.bytes.len());
                let (head, values_bytes) = stored.bytes.split_at(split);
                let part = self.part(block);
                let mut cursor = Cursor::new(&part, stored.offset, head);
                let count = cursor.varint()?;
                let non_zeros = usize::try_from(count).ok().filter(|count| *count <= len);
                let non_zeros =
                    non_zeros.ok_or_else(|| cursor.damaged(format!("at most {len} non-zeros"), count))?;
                let (mut positions, mut values) = (Vec::new(), Vec::new());
                let bits = gaps.decode(cursor.rest(), non_zeros, len, &mut positions).map_err(undecodable)?;
                self.check_padding(stored, block, bits, position_padding)?;
                let bits = table
                    .decode(values_bytes, non_zeros, Rows::default(), &mut values)
                    .map_err(undecodable)?;
                self.check_padding(stored, block, bits, value_padding)?;
                scatter(&positions, &values, len, symbols)
                    .ok_or_else(|| self.damaged(stored, block, "symbols below 65536", "65536"))
            }
            _ => Err(self.damaged(stored, block, "a gap table", "none")),
        }
    }

    /// Checks what the directory says of the bits that fill a last byte, on which the ledger relies.
    fn check_padding(
        &self,
        stored: &Stored,
        block: u64,
        bits: u64,
        declared: u8,
    ) -> Result<(), ContainerError> {
        let padding = bits.wrapping_neg() & 7;
        if padding == u64::from(declared) {
            return Ok(());
        }
        Err(self.damaged(stored, block, format!("{declared} bits of padding"), padding))
    }

    /// Appends the elements that symbols stand for.
    fn look_up(
        &self,
        coding: Coding,
        stored: &Stored,
        mut symbols: &[u16],
        block: u64,
        bytes: &mut Vec<u8>,
    ) -> Result<(), ContainerError> {
        let dtype = self.entry.dtype;
        let size = symbols.len().saturating_mul(dtype.size_bytes() as usize);
        bytes.try_reserve(size).map_err(|_| {
            undecodable(&self.part(block), stored.offset, CodeError::Memory { symbols: symbols.len() as u64 })
        })?;
        let row_len = if coding.per_channel {
            self.entry.len() / self.entry.codebooks().max(1)
        } else {
            self.entry.len()
        };
        let mut position = block * BLOCK_WEIGHTS as u64;
        while !symbols.is_empty() && row_len > 0 {
            let row = position / row_len;
            let left = (row + 1) * row_len - position;
            let (segment, rest) =
                symbols.split_at(symbols.len().min(usize::try_from(left).unwrap_or(usize::MAX)));
            let index = coding.first_codebook + row as usize;
            let codebook = self.reader.codebook(index)?;
            if coding.gap_table.is_some() && !codebook.pruned() {
                let expected = format!("codebook {index} to be pruned, as positions are gaps");
                return Err(self.damaged(stored, block, expected, "one that is not"));
            }
            let largest = segment.iter().max().copied().unwrap_or(0);
            if usize::from(largest) >= codebook.symbols() {
                let expected = format!("symbols below the {} of codebook {index}", codebook.symbols());
                return Err(self.damaged(stored, block, expected, largest));
            }
            position += segment.len() as u64;
            symbols = rest;
            codebook.extend_elements(dtype, segment, bytes);
        }
        Ok(())
    }

    #[cold]
    #[allow(clippy::needless_pass_by_value, reason = "callers pass numbers and words alike")]
    fn damaged(
        &self,
        stored: &Stored,
        block: u64,
        expected: impl ToString,
        found: impl ToString,
    ) -> ContainerError {
        ContainerError::damaged(&self.part(block), stored.offset, expected, found)
    }
}

/// A block as it lies in the file.
#[derive(Debug)]
struct Stored {
    bytes: Vec<u8>,
    encoding: BlockEncoding,
    offset: u64,
}

/// Appends `len` symbols: zeros, and at each position a value plus 1; `None` if one does not fit 16 bits.
fn scatter(positions: &[u32], values: &[u16], len: usize, symbols: &mut Vec<u16>) -> Option<()> {
    let start = symbols.len();
    symbols.resize(start + len, 0);
    let block = symbols.get_mut(start..)?;
    for (position, value) in positions.iter().zip(values) {
        *block.get_mut(*position as usize)? = value.checked_add(1)?;
    }
    Some(())
}
