//! Codebooks: the values that symbols stand for.
//!
//! As a record: a byte of flags (bit 0: pruned; bits 1 and 2: levels as 0 float32, 1 float16, 2 bfloat16, 3 a grid), then the
//! levels, little-endian. Half the bytes are used only where every level keeps its exact bits. A grid is its step, float32, and
//! two varints: the symbol of zero and the number of symbols; symbol s stands for (s − zero)·step, in one float32 product.

use super::ContainerError;
use super::wire::{Cursor, put_varint};
use crate::entropy::MAX_ALPHABET;
use crate::tensor::Dtype;

/// The values of symbols.
#[derive(Debug, Clone, PartialEq)]
pub struct Codebook {
    /// None for a grid, whose levels are worked out where they are asked for.
    levels: Vec<f32>,
    pruned: bool,
    grid: Option<Grid>,
}

/// Evenly spaced levels.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Grid {
    step: f32,
    centre: u16,
    symbols: u32,
}

impl Grid {
    /// The level of a symbol; one too large for a float32 is the largest there is.
    fn level(self, symbol: u32) -> f32 {
        let level = (i64::from(symbol) - i64::from(self.centre)) as f32 * self.step;
        level.clamp(f32::MIN, f32::MAX)
    }

    fn levels(self) -> Vec<f32> {
        (0..self.symbols).map(|symbol| self.level(symbol)).collect()
    }
}

/// The number of a grid in the flags.
const GRID: u8 = 3;

/// Ways to store levels, by their number in the flags.
const WIDTHS: [Dtype; 3] = [Dtype::F32, Dtype::F16, Dtype::Bf16];

impl Codebook {
    /// The codebook of these levels; if `pruned`, symbol 0 is an exact zero and the levels are symbols 1 and up.
    ///
    /// There are 1 to 65536 symbols.
    pub fn new(levels: Vec<f32>, pruned: bool) -> Result<Self, ContainerError> {
        let symbols = levels.len() + usize::from(pruned);
        if !(1..=MAX_ALPHABET).contains(&symbols) {
            return Err(ContainerError::request("codebook", "1 to 65536 symbols", symbols));
        }
        Ok(Self { levels, pruned, grid: None })
    }

    /// The codebook whose symbol s stands for (s − `centre`)·`step`.
    ///
    /// There are 1 to 65536 symbols.
    pub fn grid(step: f32, centre: u16, symbols: u32) -> Result<Self, ContainerError> {
        if !(1..=MAX_ALPHABET as u32).contains(&symbols) {
            return Err(ContainerError::request("codebook", "1 to 65536 symbols", symbols));
        }
        let grid = Grid { step, centre, symbols };
        Ok(Self { levels: Vec::new(), pruned: false, grid: Some(grid) })
    }

    /// The levels, without the zero of pruned weights.
    pub fn levels(&self) -> Vec<f32> {
        self.grid.map_or_else(|| self.levels.clone(), Grid::levels)
    }

    /// Whether the levels are those of a grid.
    pub const fn is_grid(&self) -> bool {
        self.grid.is_some()
    }

    /// Whether symbol 0 is an exact zero that is not among the levels.
    pub const fn pruned(&self) -> bool {
        self.pruned
    }

    /// Number of symbols.
    pub fn symbols(&self) -> usize {
        self.grid.map_or(self.levels.len(), |grid| grid.symbols as usize) + usize::from(self.pruned)
    }

    /// The same codebook with its levels rounded to `dtype`, as decoded tensors of that type have them; a 16-bit type
    /// halves what is stored.
    pub fn rounded_to(mut self, dtype: Dtype) -> Self {
        self.levels = self.levels();
        for level in &mut self.levels {
            *level = dtype.round_f32(*level);
        }
        self.grid = None;
        self
    }

    /// Appends to `bytes` the element that each symbol stands for, in order of symbols.
    pub(super) fn elements(&self, dtype: Dtype, bytes: &mut Vec<u8>) {
        if self.pruned {
            dtype.extend_bytes(&[0.0], bytes);
        }
        dtype.extend_bytes(&self.levels(), bytes);
    }

    /// Appends the elements of a few symbols of a grid, one by one; `None` where the levels are no grid.
    pub(super) fn grid_elements(&self, dtype: Dtype, symbols: &[u16], bytes: &mut Vec<u8>) -> Option<()> {
        let grid = self.grid?;
        let levels: Vec<f32> = symbols.iter().map(|symbol| grid.level(u32::from(*symbol))).collect();
        dtype.extend_bytes(&levels, bytes);
        Some(())
    }

    /// Serialises the codebook.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        if let Some(Grid { step, centre, symbols }) = self.grid {
            let mut bytes = vec![GRID << 1];
            bytes.extend_from_slice(&step.to_le_bytes());
            put_varint(u64::from(centre), &mut bytes);
            put_varint(u64::from(symbols), &mut bytes);
            return bytes;
        }
        let is_exact =
            |dtype: &Dtype| self.levels.iter().all(|v| dtype.round_f32(*v).to_bits() == v.to_bits());
        let width = (1..WIDTHS.len()).find(|width| WIDTHS.get(*width).is_some_and(is_exact)).unwrap_or(0);
        let mut bytes = vec![u8::from(self.pruned) | (width as u8) << 1];
        WIDTHS.get(width).unwrap_or(&Dtype::F32).extend_bytes(&self.levels, &mut bytes);
        bytes
    }

    /// Reads a serialised codebook.
    pub(super) fn read(cursor: &mut Cursor<'_>) -> Result<Self, ContainerError> {
        let flags = cursor.byte()?;
        if flags == GRID << 1 {
            let step = f32::from_le_bytes(cursor.array()?);
            let (centre, symbols) = (cursor.varint()?, cursor.varint()?);
            let refused = cursor
                .damaged("a grid with its zero among 1 to 65536 symbols", format!("{centre} of {symbols}"));
            if !step.is_finite() || !(1..=MAX_ALPHABET as u64).contains(&symbols) || centre >= symbols {
                return Err(refused);
            }
            let grid = Grid { step, centre: centre as u16, symbols: symbols as u32 };
            return Ok(Self { levels: Vec::new(), pruned: false, grid: Some(grid) });
        }
        let width = WIDTHS.get(usize::from(flags >> 1)).copied();
        let width = width.ok_or_else(|| cursor.unsupported("codebook flags below 7", &flags.to_string()))?;
        let rest = cursor.rest();
        let (count, odd) = (rest.len() as u64 / width.size_bytes(), rest.len() as u64 % width.size_bytes());
        let pruned = flags & 1 == 1;
        if odd != 0 || !(1..=MAX_ALPHABET as u64).contains(&(count + u64::from(pruned))) {
            return Err(cursor.damaged("1 to 65536 whole symbols", format!("{count} levels and {odd} bytes")));
        }
        let mut levels = Vec::with_capacity(count as usize);
        width.extend_f32(cursor.take(rest.len() as u64)?, &mut levels);
        Ok(Self { levels, pruned, grid: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip(levels: &[f32], pruned: bool) -> usize {
        let codebook = Codebook::new(levels.to_vec(), pruned).unwrap();
        let bytes = codebook.to_bytes();
        let read = Codebook::read(&mut Cursor::new("codebook", 0, &bytes)).unwrap();
        let bits =
            |codebook: &Codebook| codebook.levels.iter().map(|level| level.to_bits()).collect::<Vec<_>>();
        assert_eq!((bits(&read), read.pruned), (bits(&codebook), pruned));
        bytes.len()
    }

    #[test]
    fn levels_keep_their_bits_in_the_fewest_bytes() {
        assert_eq!(round_trip(&[0.1, -0.2], false), 9);
        assert_eq!(round_trip(&[0.5, -0.25, 65504.0, -0.0], true), 9);
        assert_eq!(round_trip(&[1e38_f32.to_bits(), 0].map(|b| f32::from_bits(b & 0xffff_0000)), false), 5);
        assert_eq!(round_trip(&[f32::from_bits(0x7f80_0001), f32::INFINITY], false), 9);
        assert_eq!(round_trip(&[], true), 1);
    }

    #[test]
    fn grids_take_a_few_bytes_and_keep_their_bits() {
        let grid = Codebook::grid(0.1, 300, 601).unwrap();
        let bytes = grid.to_bytes();
        assert_eq!(bytes.len(), 9);
        let read = Codebook::read(&mut Cursor::new("codebook", 0, &bytes)).unwrap();
        assert_eq!(read, grid);
        assert_eq!((read.levels()[0], read.levels()[300], read.symbols()), (-300.0 * 0.1f32, 0.0, 601));
        assert!(Codebook::grid(0.1, 0, 0).is_err());
        for bytes in [
            &[6, 0, 0, 0x80, 0x7f, 0, 1][..],
            &[6, 0, 0, 0, 0, 1, 1],
            &[6, 0, 0, 0, 0, 0],
            &[7, 0, 0, 0, 0, 0, 1],
        ] {
            assert!(Codebook::read(&mut Cursor::new("codebook", 0, bytes)).is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn codebooks_without_symbols_are_refused() {
        assert!(Codebook::new(vec![], false).is_err());
        assert!(Codebook::new(vec![0.0; 65536], true).is_err());
        for bytes in [&[][..], &[0], &[0, 1, 2, 3], &[6, 0, 0, 0, 0], &[2, 0]] {
            assert!(Codebook::read(&mut Cursor::new("codebook", 0, bytes)).is_err(), "{bytes:?}");
        }
    }
}
