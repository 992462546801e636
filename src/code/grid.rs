//! Grids: evenly spaced values, of which every weight takes the one whose error and cost in bits are least together.
//!
//! The record is the step, float32, and two varints: the symbol of zero and the number of symbols; symbol s stands for
//! (s − zero)·step, in one float32 product. The assignment is [`crate::entropy::assign`].

use super::{Decode, Kind, Scales, malformed};
use crate::entropy::{CodeError, Goal, MAX_ALPHABET, Numbering};
use crate::varint;
use serde::{Deserialize, Serialize};

/// Evenly spaced values.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Grid {
    step: f32,
    centre: u16,
    symbols: u32,
}

impl Grid {
    /// The grid whose symbol s stands for (s − `centre`)·`step`.
    pub(super) fn new(step: f32, centre: u16, symbols: usize) -> Result<Self, CodeError> {
        let is_whole = (1..=MAX_ALPHABET).contains(&symbols) && usize::from(centre) < symbols;
        if !is_whole || !step.is_finite() {
            let found = format!("{centre} of {symbols}, {step} apart");
            return Err(malformed(
                "a grid with its zero among 1 to 65536 symbols, a finite step apart",
                found,
            ));
        }
        Ok(Self { step, centre, symbols: symbols as u32 })
    }

    /// Reads a record behind its kind.
    pub(super) fn read(body: &[u8]) -> Result<Self, CodeError> {
        let short = || malformed("a step and two numbers", format!("{} bytes", body.len()));
        let (step, mut rest) = body.split_first_chunk().ok_or_else(short)?;
        let centre = varint::take(&mut rest).ok_or_else(short)?;
        let symbols = varint::take(&mut rest).ok_or_else(short)?;
        if !rest.is_empty() {
            return Err(malformed("its end", format!("{} more bytes", rest.len())));
        }
        // What fits neither is no grid.
        let centre = u16::try_from(centre).unwrap_or(u16::MAX);
        let symbols = usize::try_from(symbols).unwrap_or(usize::MAX);
        Self::new(f32::from_le_bytes(*step), centre, symbols)
    }

    /// The level of a symbol; one too large for a float32 is the largest there is.
    fn level(self, symbol: u16) -> f32 {
        let level = (i32::from(symbol) - i32::from(self.centre)) as f32 * self.step;
        level.clamp(f32::MIN, f32::MAX)
    }
}

impl Decode for Grid {
    fn kind(&self) -> Kind {
        Kind::Grid
    }

    fn symbols(&self) -> usize {
        self.symbols as usize
    }

    fn numbering(&self) -> Numbering {
        Numbering { pruned: false, centre: self.centre }
    }

    fn extend_values(&self, symbols: &[u16], _: Scales<'_>, values: &mut Vec<f32>) {
        values.extend(symbols.iter().map(|symbol| self.level(*symbol)));
    }

    fn write(&self, record: &mut Vec<u8>) {
        record.extend_from_slice(&self.step.to_le_bytes());
        varint::put(u64::from(self.centre), record);
        varint::put(u64::from(self.symbols), record);
    }
}

/// A grid with what a bit is worth.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GridCode {
    grid: Grid,
    bit: f32,
}

impl GridCode {
    /// The grid of numbers up to `most` in magnitude, in an alphabet whose zero is `centre`, the largest `most` of all
    /// that share it; `bit` is what a bit is worth, in units of step².
    pub fn new(step: f32, most: u16, centre: u16, bit: f32) -> Result<Self, CodeError> {
        let symbols = usize::from(centre) + usize::from(most) + 1;
        Ok(Self { grid: Grid::new(step, centre, symbols)?, bit })
    }

    /// What a decoder needs of it.
    pub(super) const fn codebook(&self) -> &Grid {
        &self.grid
    }

    /// What assignment makes least.
    pub const fn goal(&self) -> Goal {
        Goal { step: self.grid.step, bit: self.bit }
    }
}

#[cfg(test)]
mod tests {
    use crate::code::Codebook;

    #[test]
    fn grids_take_a_few_bytes_and_keep_their_bits() {
        let grid = Codebook::of_grid(0.1, 300, 601).unwrap();
        let bytes = grid.to_bytes();
        assert_eq!(bytes.len(), 9);
        let read = Codebook::from_bytes(&bytes).unwrap();
        assert_eq!(read, grid);
        let values = read.all_values();
        assert_eq!((values[0], values[300], read.symbols()), (-300.0 * 0.1f32, 0.0, 601));
        assert!(Codebook::of_grid(0.1, 0, 0).is_err());
        for bytes in [
            &[1, 0, 0, 0x80, 0x7f, 0, 1][..],
            &[1, 0, 0, 0, 0, 1, 1],
            &[1, 0, 0, 0, 0, 0],
            &[1, 0, 0, 0, 0, 0, 1, 0],
            &[1, 0, 0, 0, 0, 0x80, 0x80, 4, 1],
            &[1, 0, 0, 0],
        ] {
            assert!(Codebook::from_bytes(bytes).is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn levels_beyond_float32_are_the_largest_there_is() {
        let grid = Codebook::of_grid(3e38, 1, 4).unwrap();
        assert_eq!(grid.all_values(), [-3e38, 0.0, 3e38, f32::MAX]);
    }
}
