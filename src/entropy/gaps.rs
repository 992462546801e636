//! Positions of non-zeros as Huffman-coded gaps (Han, Mao and Dally 2016; Choi, El-Khamy and Lee 2017).
//!
//! The *gap* of a non-zero is the number of zeros between it and the non-zero before (or the start of the block). With
//! a limit of b bits, gap symbols run from 0 to 2^b − 1: a symbol v < 2^b − 1 means "v zeros, then a non-zero", and the
//! last one, the *filler*, means "2^b − 1 zeros". A long gap is as many fillers as it takes and the rest. Unlike the
//! papers' filler, ours has no value of its own to code. Zeros after the last non-zero take nothing: the number of
//! non-zeros is known.
//!
//! b is the one, of 1 to 16, with the fewest bits for codes and table together, counted exactly. Only gap symbols that
//! were counted have codes, so the counts must be those of the symbols to be coded.

use super::bits::{BitReader, BitWriter};
use super::huffman::Huffman;
use super::{CodeError, SymbolCode, damaged, reserve};

/// The largest b.
const MAX_GAP_BITS: u32 = 16;

/// How often each gap occurs.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct GapCounts {
    counts: Vec<u64>,
}

impl GapCounts {
    /// Counts nothing yet.
    pub const fn new() -> Self {
        Self { counts: Vec::new() }
    }

    /// Counts the gaps of one block; symbol 0 is a zero, every other a non-zero.
    pub fn add_block(&mut self, symbols: &[u16]) {
        for gap in gaps(symbols) {
            if gap >= self.counts.len() {
                self.counts.resize(gap + 1, 0);
            }
            if let Some(count) = self.counts.get_mut(gap) {
                *count += 1;
            }
        }
    }

    /// Adds the counts of other blocks.
    pub fn merge(&mut self, other: &Self) {
        if other.counts.len() > self.counts.len() {
            self.counts.resize(other.counts.len(), 0);
        }
        for (sum, count) in self.counts.iter_mut().zip(&other.counts) {
            *sum += count;
        }
    }

    /// Number of non-zeros counted.
    pub fn non_zeros(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Counts of the gap symbols of a limit of `gap_bits`.
    fn symbol_counts(&self, gap_bits: u32) -> Vec<u64> {
        let filler = (1 << gap_bits) - 1;
        let mut symbols = vec![0; 1 << gap_bits];
        for (gap, count) in self.counts.iter().enumerate() {
            symbols[gap % filler] += count;
            symbols[filler] += count * (gap / filler) as u64;
        }
        symbols
    }
}

/// Number of zeros before each non-zero.
fn gaps(symbols: &[u16]) -> impl Iterator<Item = usize> {
    let mut next = 0;
    symbols.iter().enumerate().filter(|(_, symbol)| **symbol != 0).map(move |(position, _)| {
        let gap = position - next;
        next = position + 1;
        gap
    })
}

/// A code for gaps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GapTable {
    gap_bits: u32,
    code: Huffman,
}

impl GapTable {
    /// The cheapest code for these gaps.
    pub fn new(counts: &GapCounts) -> Result<Self, CodeError> {
        // Without gaps any code will do.
        let mut best = Self { gap_bits: 1, code: Huffman::of_present(&[1, 0])? };
        if counts.non_zeros() == 0 {
            return Ok(best);
        }
        let mut best_bits = u64::MAX;
        for gap_bits in 1..=MAX_GAP_BITS {
            let symbols = counts.symbol_counts(gap_bits);
            let code = Huffman::of_present(&symbols)?;
            let bits = code.payload_bits(&symbols) + code.table_bits();
            if bits < best_bits {
                best_bits = bits;
                best = Self { gap_bits, code };
            }
            // A larger limit changes nothing once there are no fillers.
            if symbols.last() == Some(&0) {
                break;
            }
        }
        Ok(best)
    }

    /// b: the limit of gap symbols, in bits.
    pub const fn gap_bits(&self) -> u32 {
        self.gap_bits
    }

    /// Bits that gaps with these counts take, the table not included.
    pub fn payload_bits(&self, counts: &GapCounts) -> u64 {
        self.code.payload_bits(&counts.symbol_counts(self.gap_bits))
    }

    /// Appends the code of the positions of non-zero `symbols` to `out`; returns its number of bits.
    pub fn encode(&self, symbols: &[u16], out: &mut Vec<u8>) -> Result<u64, CodeError> {
        let filler = (1 << self.gap_bits) - 1;
        let mut writer = BitWriter::new(out);
        for mut gap in gaps(symbols) {
            while gap >= filler {
                self.code.write(filler as u16, &mut writer)?;
                gap -= filler;
            }
            self.code.write(gap as u16, &mut writer)?;
        }
        Ok(writer.finish())
    }

    /// Appends the positions of `non_zeros` symbols of a block of `len` to `positions`, ascending; returns the number
    /// of bits they took.
    pub fn decode(
        &self,
        bytes: &[u8],
        non_zeros: usize,
        len: usize,
        positions: &mut Vec<u32>,
    ) -> Result<u64, CodeError> {
        if non_zeros > len || len > u32::MAX as usize {
            return Err(damaged("gaps", format!("at most {len} non-zeros"), non_zeros));
        }
        reserve(positions, non_zeros)?;
        let filler = (1u64 << self.gap_bits) - 1;
        let mut reader = BitReader::new(bytes);
        let mut next = 0u64;
        for _ in 0..non_zeros {
            loop {
                let symbol = u64::from(self.code.read(&mut reader)?);
                next += symbol;
                if next >= len as u64 {
                    return Err(damaged("gaps", format!("a position below {len}"), next));
                }
                if symbol < filler {
                    break;
                }
            }
            positions.push(next as u32);
            next += 1;
        }
        reader.finish()
    }

    /// Serialises the table: b − 1 in 4 bits, then the table of the Huffman code of 2^b gap symbols.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut writer = BitWriter::new(&mut bytes);
        writer.write(self.gap_bits - 1, 4);
        self.code.write_table(&mut writer);
        writer.finish();
        bytes
    }

    /// Reads a serialised table, which takes all of `bytes`.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, CodeError> {
        let mut reader = BitReader::new(bytes);
        let gap_bits = reader.read(4)? + 1;
        let code = Huffman::read_table(1 << gap_bits, &mut reader)?;
        reader.finish()?;
        Ok(Self { gap_bits, code })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(symbols: &[u16]) -> GapCounts {
        let mut counts = GapCounts::new();
        counts.add_block(symbols);
        counts
    }

    fn round_trip(symbols: &[u16]) -> GapTable {
        let counts = counted(symbols);
        let table = GapTable::new(&counts).unwrap();
        let mut bytes = Vec::new();
        let bits = table.encode(symbols, &mut bytes).unwrap();
        assert_eq!(bits, table.payload_bits(&counts));
        let expected: Vec<u32> = (0..symbols.len() as u32).filter(|i| symbols[*i as usize] != 0).collect();
        let mut positions = Vec::new();
        assert_eq!(table.decode(&bytes, expected.len(), symbols.len(), &mut positions), Ok(bits));
        assert_eq!(positions, expected);
        assert_eq!(GapTable::from_bytes(&table.to_bytes()), Ok(table.clone()));
        table
    }

    #[test]
    fn positions_read_back() {
        round_trip(&[]);
        round_trip(&[0; 100]);
        round_trip(&[7; 100]);
        round_trip(&[0, 0, 1, 0, 2, 2, 0, 0, 0, 0, 0, 9, 0]);
        let mut far = vec![0; 200_000];
        for position in [3, 70_000, 70_001, 199_999] {
            far[position] = 1;
        }
        round_trip(&far);
    }

    #[test]
    fn a_dense_block_takes_no_bits() {
        assert_eq!(round_trip(&[1; 1000]).payload_bits(&counted(&[1; 1000])), 0);
    }

    #[test]
    fn the_limit_is_the_cheapest_of_all() {
        let symbols: Vec<u16> =
            (0..20_000u32).map(|i| u16::from(i.wrapping_mul(2_654_435_761) >> 28 == 0)).collect();
        let counts = counted(&symbols);
        let table = round_trip(&symbols);
        let cost = |gap_bits| {
            let symbols = counts.symbol_counts(gap_bits);
            let code = Huffman::of_present(&symbols).unwrap();
            code.payload_bits(&symbols) + code.table_bits()
        };
        let best = (1..=16).map(cost).min();
        assert_eq!(Some(cost(table.gap_bits())), best);
    }

    #[test]
    fn one_bit_gaps_are_a_bitmap() {
        let table = GapTable { gap_bits: 1, code: Huffman::of_all(&[1, 1]).unwrap() };
        let mut bytes = Vec::new();
        assert_eq!(table.encode(&[0, 3, 0, 0, 1, 1, 0], &mut bytes), Ok(6));
        assert_eq!(bytes, [0b1011_0000]);
    }

    #[test]
    fn fillers_that_run_past_the_block_are_refused() {
        let only_fillers = GapTable {
            gap_bits: 4,
            code: Huffman::of_present(&[0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]).unwrap(),
        };
        assert!(only_fillers.decode(&[], 1, 1 << 20, &mut Vec::new()).is_err());
        assert!(only_fillers.decode(&[], 2, 1, &mut Vec::new()).is_err());
    }

    #[test]
    fn merged_counts_equal_those_of_the_whole() {
        let (a, b) = ([0u16, 0, 0, 1, 1], [1u16, 0, 1, 0, 0, 0, 0, 0, 2]);
        let mut both = counted(&a);
        both.add_block(&b);
        let mut merged = counted(&a);
        merged.merge(&counted(&b));
        assert_eq!(both, merged);
    }
}
