//! Codebooks and code tables, and how they are stored.

use super::wire::{Parser, put_number};
use super::{Codebook, ContainerError};
use crate::entropy::bits::{BitReader, BitWriter};
use crate::entropy::{CodeTable, Coder, Positions, gaps::GapTable};

/// The codes of a file: one code table per table number, with a gap table each where positions are stored as gaps.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Tables {
    /// Codes of values.
    pub codes: Vec<CodeTable>,
    /// Codes of gaps: as many, or none.
    pub gaps: Vec<GapTable>,
}

/// Stores codebooks: their number, whether symbol 0 is an exact zero, then for each its size and its float32 values.
pub(super) fn codebooks_to_bytes(codebooks: &[Codebook]) -> Vec<u8> {
    let mut bytes = Vec::new();
    put_number(&mut bytes, codebooks.len() as u64);
    for codebook in codebooks {
        put_number(&mut bytes, (codebook.levels.len() as u64) << 1 | u64::from(codebook.pruned));
        bytes.extend(codebook.levels.iter().flat_map(|level| level.to_le_bytes()));
    }
    bytes
}

pub(super) fn codebooks_from_bytes(bytes: &[u8]) -> Result<Vec<Codebook>, ContainerError> {
    let mut parser = Parser::new("codebooks", bytes);
    let mut codebooks = Vec::new();
    for _ in 0..parser.count("codebooks", 1)? {
        let size = parser.number("a codebook's size")?;
        let (levels, pruned) = (size >> 1, size & 1 == 1);
        if levels + u64::from(pruned) > 1 << 16 {
            return Err(parser.wrong("at most 65536 symbols", (levels + u64::from(pruned)).to_string()));
        }
        let bytes = parser.take(levels * 4, "levels")?;
        let levels = bytes.as_chunks().0.iter().map(|four| f32::from_le_bytes(*four)).collect();
        codebooks.push(Codebook { levels, pruned });
    }
    parser.end()?;
    Ok(codebooks)
}

impl Tables {
    /// Stores the tables: coder, positions, their number, for each its alphabet's size, then all of them as bits.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let coder = match self.codes.first() {
            None | Some(CodeTable::Fixed(_)) => 0,
            Some(CodeTable::Huffman(_)) => 1,
            Some(CodeTable::Rans(_)) => 2,
        };
        bytes.push(coder);
        bytes.push(u8::from(!self.gaps.is_empty()));
        put_number(&mut bytes, self.codes.len() as u64);
        self.codes.iter().for_each(|table| put_number(&mut bytes, table.symbols() as u64));
        let mut writer = BitWriter::new(&mut bytes);
        self.codes.iter().for_each(|table| table.write(&mut writer));
        self.gaps.iter().for_each(|table| table.write(&mut writer));
        writer.finish();
        bytes
    }

    pub(super) fn from_bytes(bytes: &[u8]) -> Result<Self, ContainerError> {
        let mut parser = Parser::new("code tables", bytes);
        let code = parser.byte("the coder")?;
        let coder = Coder::ALL.get(usize::from(code)).copied();
        let coder = coder.ok_or_else(|| parser.wrong("coder 0, 1 or 2", code.to_string()))?;
        let positions = match parser.byte("the kind of positions")? {
            0 => Positions::Symbols,
            1 => Positions::Gaps,
            other => return Err(parser.wrong("positions 0 or 1", other.to_string())),
        };
        let mut alphabets = Vec::new();
        for _ in 0..parser.count("code tables", 1)? {
            alphabets.push(parser.number("an alphabet's size")?);
        }
        let mut reader = BitReader::new(parser.rest());
        let wrong = |source| ContainerError::Code { part: "a code table".to_owned(), source };
        let mut tables = Self::default();
        for k in &alphabets {
            let k = usize::try_from(*k).unwrap_or(usize::MAX);
            tables.codes.push(CodeTable::read(coder, k, &mut reader).map_err(wrong)?);
        }
        if positions == Positions::Gaps {
            for _ in &alphabets {
                tables.gaps.push(GapTable::read(&mut reader).map_err(wrong)?);
            }
        }
        reader.finish().map_err(wrong)?;
        Ok(tables)
    }
}
