//! Decodes the blocks of a tensor: bytes to symbols to elements.
//!
//! A block's codebooks are parsed when it is decoded, one at a time, so memory is a block's bytes, symbols and elements.

use super::block::{BlockEncoding, ELEMENTS};
use super::deflate::inflated;
use super::directory::{Kind, Section};
use super::medium::{read_section, undecodable};
use super::wire::Cursor;
use super::{Coding, ContainerError, Content, Entry, Granularity, Reader, block_weights};
use crate::code::{Codebook, Scales};
use crate::entropy::{CodeErrorKind, CodeTable, GapTable, Rows, planes};
use crate::formats::Source;
use crate::tensor::Dtype;
use std::sync::Arc;

/// Decodes the blocks of one tensor.
#[derive(Debug)]
pub struct TensorDecoder<'a> {
    reader: &'a Reader,
    /// The tensor that holds the elements.
    entry: &'a Entry,
    /// The sections from its first block on.
    blocks: &'a [Section],
    table: Option<Arc<CodeTable>>,
    gaps: Option<GapTable>,
}

impl Reader {
    /// A decoder of one tensor's blocks, with its tables at hand; a tensor that equals another decodes as that one. One that is
    /// a view of the skeleton has no blocks: [`Restored`](crate::engine::Restored) reads it. At the index behind the tensors,
    /// a decoder of the skeleton's.
    pub fn decoder(&self, tensor: usize) -> Result<TensorDecoder<'_>, ContainerError> {
        let entry = self.entry(tensor)?;
        let tensor = if let Content::SameAs(of) = entry.content { of } else { tensor };
        let entry = self.entry(tensor)?;
        let first_block = self.first_blocks.get(tensor).copied().unwrap_or(0);
        let blocks = self.blocks.get(first_block..).unwrap_or_default();
        let Content::Quantized(coding) = entry.content else {
            return Ok(TensorDecoder { reader: self, entry, blocks, table: None, gaps: None });
        };
        let table = Some(self.code_table(coding.code_table)?);
        let gaps = coding.gap_table.map(|index| self.gap_table(index)).transpose()?;
        Ok(TensorDecoder { reader: self, entry, blocks, table, gaps })
    }

    /// Appends the elements of a block to `bytes`, little-endian; to decode many, take a [`decoder`](Self::decoder).
    pub fn decode_block(
        &self,
        source: &dyn Source,
        tensor: usize,
        block: u64,
        bytes: &mut Vec<u8>,
    ) -> Result<(), ContainerError> {
        self.decoder(tensor)?.decode_block(source, block, bytes)
    }

    /// Appends the symbols of a block of a quantized tensor to `symbols`.
    pub fn symbols(
        &self,
        source: &dyn Source,
        tensor: usize,
        block: u64,
        symbols: &mut Vec<u16>,
    ) -> Result<(), ContainerError> {
        self.decoder(tensor)?.symbols(source, block, symbols)
    }
}

impl TensorDecoder<'_> {
    /// Number of blocks that hold the elements.
    pub fn blocks(&self) -> u64 {
        self.entry.blocks()
    }

    /// What it decodes.
    pub fn entry(&self) -> &Entry {
        self.entry
    }

    /// Appends the elements of a block to `bytes`, little-endian, or its codes; after an error, part of them may be there.
    pub fn decode_block(
        &self,
        source: &dyn Source,
        block: u64,
        bytes: &mut Vec<u8>,
    ) -> Result<(), ContainerError> {
        let stored = self.read(source, block)?;
        if let Content::Quantized(coding) = self.entry.content {
            let mut symbols = Vec::new();
            self.decode_symbols(&stored, block, &mut symbols)?;
            return self.look_up(coding, &stored, &symbols, block, bytes);
        }
        let (len, rows) = (self.entry.block_len(block), self.entry.rows(block));
        let part = (stored.encoding, stored.bytes.as_slice());
        self.decode_elements(&stored, block, part, (self.entry.stored_dtype(), len, rows), bytes)
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

    /// Appends `len` elements of a type that a part of a block holds as they were.
    fn decode_elements(
        &self,
        stored: &Stored,
        block: u64,
        (encoding, part): (BlockEncoding, &[u8]),
        (dtype, len, rows): (Dtype, usize, Rows),
        bytes: &mut Vec<u8>,
    ) -> Result<(), ContainerError> {
        let size = len as u64 * dtype.size_bytes();
        match encoding {
            BlockEncoding::Deflated => {
                let elements = inflated(part, size)
                    .map_err(|(expected, found)| self.damaged(stored, block, expected, found))?;
                bytes.extend_from_slice(&elements);
            }
            BlockEncoding::Planes => {
                planes::decode(part, dtype, rows, len, bytes)
                    .map_err(|source| undecodable(&self.part(block), stored.offset, source))?;
            }
            _ if part.len() as u64 == size => bytes.extend_from_slice(part),
            _ => return Err(self.damaged(stored, block, format!("{size} bytes of elements"), part.len())),
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
            (BlockEncoding::Symbols { padding } | BlockEncoding::Scaled { padding, .. }, _) => {
                let bytes = stored.split().1;
                let bits = table.decode(bytes, len, self.entry.rows(block), symbols).map_err(undecodable)?;
                self.check_padding(stored, block, bits, padding)
            }
            (BlockEncoding::Gaps { position_padding, value_padding, .. }, Some(gaps)) => {
                let (head, values_bytes) = stored.split();
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
            let memory = CodeErrorKind::Memory { symbols: symbols.len() as u64 };
            undecodable(&self.part(block), stored.offset, memory.into())
        })?;
        let group_len = self.entry.len() / self.entry.codebooks().max(1);
        let mut position = block * block_weights(&self.entry.shape);
        while !symbols.is_empty() && group_len > 0 {
            let group = position / group_len;
            let left = (group + 1) * group_len - position;
            let (segment, rest) =
                symbols.split_at(symbols.len().min(usize::try_from(left).unwrap_or(usize::MAX)));
            let index = coding.first_codebook + group as usize;
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
            let scales = self.scales(&codebook, coding, stored, block)?;
            position += segment.len() as u64;
            symbols = rest;
            let scales = Scales { bytes: &scales, rows: self.entry.rows(block) };
            codebook.extend_elements(dtype, segment, scales, bytes);
        }
        Ok(())
    }

    /// The scales of a block, little-endian; none where its codebook has none.
    fn scales(
        &self,
        codebook: &Codebook,
        coding: Coding,
        stored: &Stored,
        block: u64,
    ) -> Result<Vec<u8>, ContainerError> {
        let has_scales = matches!(stored.encoding, BlockEncoding::Scaled { .. });
        let (len, rows) = (self.entry.block_len(block), self.entry.rows(block));
        let (dtype, count) = match codebook.scales(len, rows) {
            Some(scales) if has_scales && coding.granularity == Granularity::Tensor => scales,
            None if !has_scales => return Ok(Vec::new()),
            _ => {
                let expected = "scales where the tensor's one codebook has some, and there alone";
                return Err(self.damaged(stored, block, expected, "others"));
            }
        };
        let encoding = |tag: &u8| ELEMENTS.get(usize::from(*tag)).copied();
        let part = stored.split().0.split_first().and_then(|(tag, rest)| Some((encoding(tag)?, rest)));
        let part =
            part.ok_or_else(|| self.damaged(stored, block, "scales encoded as 0, 1 or 2", "others"))?;
        let mut scales = Vec::new();
        self.decode_elements(stored, block, part, (dtype, count, Rows::default()), &mut scales)?;
        Ok(scales)
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

impl Stored {
    /// The part before the codes of values, positions or scales, and the codes.
    fn split(&self) -> (&[u8], &[u8]) {
        let first = match self.encoding {
            BlockEncoding::Gaps { position_bytes: bytes, .. }
            | BlockEncoding::Scaled { scale_bytes: bytes, .. } => bytes as usize,
            _ => 0,
        };
        self.bytes.split_at(first.min(self.bytes.len()))
    }
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
