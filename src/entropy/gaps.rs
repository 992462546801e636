//! Positions of non-zeros as Huffman-coded gaps, the papers' way.
//!
//! Han, Mao and Dally (2016), section 2, and Choi et al. (2017), section 3.1, store the difference between the positions of
//! consecutive non-zeros in few bits, with fillers where it does not fit. Here a gap is the number of zeros before a
//! non-zero. With b bits, symbols 0 … 2^b − 2 are gaps and symbol 2^b − 1 stands for that many zeros without a non-zero after
//! them. The symbols are Huffman-coded, and b is the one that takes the fewest bits, tables counted.

use super::CodeError;
use super::bits::{BitReader, BitWriter};
use super::huffman::{self, Huffman};

/// Largest b.
const MAX_GAP_BITS: u32 = 16;

/// A code for gaps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GapTable {
    gap_bits: u32,
    code: Huffman,
}

/// Adds the gaps of `symbols`, where 0 is a zero, to `counts` by length.
pub fn count_gaps(symbols: &[u16], counts: &mut Vec<u64>) {
    for_each_gap(symbols, |gap| {
        if gap >= counts.len() {
            counts.resize(gap + 1, 0);
        }
        if let Some(count) = counts.get_mut(gap) {
            *count += 1;
        }
    });
}

fn for_each_gap(symbols: &[u16], mut each: impl FnMut(usize)) {
    let mut gap = 0;
    for symbol in symbols {
        if *symbol == 0 {
            gap += 1;
        } else {
            each(gap);
            gap = 0;
        }
    }
}

/// Symbol counts when gaps are cut at `filler` zeros.
fn symbol_counts(gaps: &[u64], filler: usize) -> Vec<u64> {
    let mut counts = vec![0u64; filler + 1];
    for (gap, count) in gaps.iter().enumerate().filter(|(_, count)| **count > 0) {
        if let Some(slot) = counts.get_mut(gap % filler) {
            *slot += count;
        }
        if let Some(slot) = counts.last_mut() {
            *slot += count * (gap / filler) as u64;
        }
    }
    counts
}

impl GapTable {
    /// The cheapest code for gaps with these counts by length.
    pub fn from_counts(gaps: &[u64]) -> Self {
        let candidate = |gap_bits: u32| {
            let counts = symbol_counts(gaps, (1 << gap_bits) - 1);
            let code = Huffman::from_lengths(huffman::lengths(&counts)).ok()?;
            let table = Self { gap_bits, code };
            Some((table.code.bits(&counts) + table.size_bits(), table))
        };
        // Beyond the longest gap more bits only make the table longer.
        let longest = gaps.len().max(1);
        let enough = (usize::BITS - longest.leading_zeros() + 1).min(MAX_GAP_BITS);
        let best = (1..=enough).filter_map(candidate).min_by_key(|(bits, table)| (*bits, table.gap_bits));
        best.map_or_else(Self::smallest, |(_, table)| table)
    }

    fn smallest() -> Self {
        // Two codewords of one bit each always fill the code space.
        Huffman::from_lengths(vec![1, 1]).map_or_else(
            |_| unreachable!("one bit for each of two symbols is a code"),
            |code| Self { gap_bits: 1, code },
        )
    }

    /// Bits of the serialised table.
    pub fn size_bits(&self) -> u64 {
        let mut bytes = Vec::new();
        let mut writer = BitWriter::new(&mut bytes);
        self.write(&mut writer);
        writer.finish()
    }

    /// Writes the table: b in 5 bits, then the codeword lengths.
    pub fn write(&self, writer: &mut BitWriter) {
        writer.write(self.gap_bits, 5);
        super::write_lengths(self.code.lengths(), writer);
    }

    /// Reads a table that [`write`](Self::write) wrote.
    pub fn read(reader: &mut BitReader) -> Result<Self, CodeError> {
        let gap_bits = reader.read(5);
        if !(1..=MAX_GAP_BITS).contains(&gap_bits) {
            return Err(CodeError::Table("gap bits", u64::from(gap_bits)));
        }
        let code = Huffman::from_lengths(super::read_lengths(1 << gap_bits, reader)?)?;
        Ok(Self { gap_bits, code })
    }

    /// Codes the gaps of `symbols` to the end of `bytes`; the number of bits.
    pub fn encode(&self, symbols: &[u16], bytes: &mut Vec<u8>) -> u64 {
        let filler = (1usize << self.gap_bits) - 1;
        let mut writer = BitWriter::new(bytes);
        for_each_gap(symbols, |gap| {
            for _ in 0..gap / filler {
                self.code.write(filler as u16, &mut writer);
            }
            self.code.write((gap % filler) as u16, &mut writer);
        });
        writer.finish()
    }

    /// Decodes the positions of `kept` non-zeros among `len` symbols from all of `bytes`; ascending.
    pub fn decode(&self, bytes: &[u8], kept: usize, len: usize) -> Result<Vec<usize>, CodeError> {
        let filler = (1usize << self.gap_bits) - 1;
        let decoder = self.code.decoder();
        let mut reader = BitReader::new(bytes);
        let mut positions = Vec::with_capacity(kept.min(len));
        let mut at = 0;
        while positions.len() < kept {
            let gap = usize::from(decoder.read(&mut reader));
            at += gap;
            if at > len || reader.is_exhausted() {
                return Err(CodeError::Table("position of a non-zero", at as u64));
            }
            if gap < filler {
                if at == len {
                    return Err(CodeError::Table("position of a non-zero", at as u64));
                }
                positions.push(at);
                at += 1;
            }
        }
        reader.finish()?;
        Ok(positions)
    }
}

impl serde::Serialize for GapTable {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (self.gap_bits, self.code.lengths()).serialize(serializer)
    }
}

impl<'de> serde::Deserialize<'de> for GapTable {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (gap_bits, lengths) = <(u32, Vec<u8>)>::deserialize(deserializer)?;
        let code = Huffman::from_lengths(lengths).map_err(serde::de::Error::custom)?;
        Ok(Self { gap_bits, code })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_read_back_for_every_kind_of_spacing() {
        let sparse: Vec<u16> =
            (0..5000u32).map(|i| u16::from(i.wrapping_mul(2_654_435_761) >> 24 < 9)).collect();
        let patterns = [vec![], vec![0; 100], vec![1; 100], sparse, [vec![0; 99_999], vec![3]].concat()];
        for symbols in patterns {
            let mut counts = Vec::new();
            count_gaps(&symbols, &mut counts);
            let table = GapTable::from_counts(&counts);
            let mut bytes = Vec::new();
            table.encode(&symbols, &mut bytes);
            let expected: Vec<usize> = (0..symbols.len()).filter(|i| symbols[*i] != 0).collect();
            assert_eq!(table.decode(&bytes, expected.len(), symbols.len()).unwrap(), expected);
            let mut written = Vec::new();
            let mut writer = BitWriter::new(&mut written);
            table.write(&mut writer);
            writer.finish();
            assert_eq!(GapTable::read(&mut BitReader::new(&written)).unwrap(), table);
        }
    }

    #[test]
    fn evenly_spread_zeros_cost_little_more_than_their_entropy() {
        let mut random = 1u64;
        let symbols: Vec<u16> = (0..200_000)
            .map(|_| {
                random =
                    random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                u16::from((random >> 33) % 10_000 < 855)
            })
            .collect();
        let mut counts = Vec::new();
        count_gaps(&symbols, &mut counts);
        let mut bytes = Vec::new();
        let bits = GapTable::from_counts(&counts).encode(&symbols, &mut bytes) as f64;
        let kept = symbols.iter().filter(|s| **s != 0).count() as f64;
        // h2(p)/p at p = 0.0855 is 4.93 bits per non-zero.
        assert!((4.9..5.05).contains(&(bits / kept)), "{}", bits / kept);
    }

    #[test]
    fn gaps_that_leave_the_block_are_refused() {
        let symbols = [0, 0, 1, 0, 1];
        let mut counts = Vec::new();
        count_gaps(&symbols, &mut counts);
        let table = GapTable::from_counts(&counts);
        let mut bytes = Vec::new();
        table.encode(&symbols, &mut bytes);
        assert!(table.decode(&bytes, 2, 4).is_err());
        assert!(table.decode(&bytes, 50, 5).is_err());
    }
}
