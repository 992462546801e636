//! Blocks: up to [`BLOCK_WEIGHTS`](super::BLOCK_WEIGHTS) symbols, decodable on their own.

use super::wire::{Parser, put_number};
use super::{ContainerError, tables::Tables};
use crate::entropy::{CodeTable, Decoder, gaps::GapTable};
use serde::{Deserialize, Serialize};

/// One coded block with what its parts cost.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EncodedBlock {
    /// The bytes as they go into the file.
    pub bytes: Vec<u8>,
    /// Bits of the values in it.
    pub value_bits: u64,
    /// Bits of the positions in it.
    pub position_bits: u64,
}

/// Codes a block of symbols.
///
/// Without gaps every symbol is coded by `table`. With gaps, symbol 0 is a zero; the others are coded by `table` as
/// symbol − 1 and their positions by `gaps`: the block is then the number of non-zeros, the size of the positions in bytes,
/// positions, values.
pub fn encode_block(symbols: &[u16], table: &CodeTable, gaps: Option<&GapTable>) -> EncodedBlock {
    let mut bytes = Vec::new();
    let Some(gaps) = gaps else {
        let value_bits = table.encode(symbols, &mut bytes);
        return EncodedBlock { bytes, value_bits, position_bits: 0 };
    };
    let values: Vec<u16> = symbols.iter().filter_map(|symbol| symbol.checked_sub(1)).collect();
    let mut positions = Vec::new();
    let position_bits = gaps.encode(symbols, &mut positions);
    put_number(&mut bytes, values.len() as u64);
    put_number(&mut bytes, positions.len() as u64);
    bytes.extend(positions);
    let value_bits = table.encode(&values, &mut bytes);
    EncodedBlock { bytes, value_bits, position_bits }
}

/// Decodes a block of `len` symbols to the end of `symbols`.
pub(super) fn decode_block(
    part: &str,
    bytes: &[u8],
    len: usize,
    decoder: &Decoder,
    gaps: Option<&GapTable>,
    symbols: &mut Vec<u16>,
) -> Result<(), ContainerError> {
    let code = |source| ContainerError::Code { part: part.to_owned(), source };
    let Some(gaps) = gaps else { return decoder.decode(bytes, len, symbols).map_err(code) };
    let mut parser = Parser::new("a block with gaps", bytes);
    let kept = parser.number("the number of non-zeros")?;
    let Some(kept) = usize::try_from(kept).ok().filter(|kept| *kept <= len) else {
        return Err(ContainerError::damaged(part, format!("at most {len} non-zeros"), kept.to_string()));
    };
    let position_len = parser.number("the size of the positions")?;
    let positions = parser.take(position_len, "positions")?;
    let values = parser.rest();
    let positions = gaps.decode(positions, kept, len).map_err(code)?;
    let mut nonzeros = Vec::new();
    decoder.decode(values, kept, &mut nonzeros).map_err(code)?;
    let start = symbols.len();
    symbols.resize(start + len, 0);
    for (position, value) in positions.into_iter().zip(nonzeros) {
        if let Some(symbol) = symbols.get_mut(start + position) {
            *symbol = value + 1;
        }
    }
    Ok(())
}

impl Tables {
    /// Codes one block by table number `table`.
    pub fn encode_block(&self, symbols: &[u16], table: usize) -> Option<EncodedBlock> {
        Some(encode_block(symbols, self.codes.get(table)?, self.gaps.get(table)))
    }
}
