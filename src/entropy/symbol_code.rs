//! What every coder's codes do.

use super::bits::{BitReader, BitWriter};
use super::{CodeError, Rows};

/// The code of an alphabet, made by one coder.
pub trait SymbolCode: Sized {
    /// The best code for symbols with these counts, of which there is one at least; every symbol below `counts.len()` can be
    /// coded, counted or not.
    fn of_counts(counts: &[u64]) -> Result<Self, CodeError>;

    /// Number of symbols.
    fn alphabet(&self) -> usize;

    /// Bits that symbols with these counts will take, the table not included; see
    /// [`CodeTable::predicted_bits`](super::CodeTable::predicted_bits).
    fn predicted_bits(&self, counts: &[u64]) -> u64;

    /// Bits of values by the formulas of Choi et al. 2017: Σ (|Cᵢ| + 1)·bᵢ, eq. (1). Here with the ideal lengths −log2 p; no
    /// count is 0.
    fn formula_bits(counts: &[u64]) -> f64 {
        let total: u64 = counts.iter().sum();
        counts.iter().map(|count| (*count + 1) as f64 * libm::log2(total as f64 / *count as f64)).sum()
    }

    /// Appends the code of `symbols`, which lie in their tensor as `rows` says, to `out`; returns its number of bits, the last
    /// byte being filled with zeros.
    fn encode(&self, symbols: &[u16], rows: Rows, out: &mut Vec<u8>) -> Result<u64, CodeError>;

    /// Appends the `count` symbols that `bytes` holds, and nothing else, to `symbols`; returns the number of bits they took.
    /// Refuses what [`encode`](Self::encode) does not write, and holds 2 bytes per symbol asked for.
    fn decode(
        &self,
        bytes: &[u8],
        count: usize,
        rows: Rows,
        symbols: &mut Vec<u16>,
    ) -> Result<u64, CodeError>;

    /// Writes what the code needs beside the size of its alphabet.
    fn write_table(&self, writer: &mut BitWriter);

    /// Reads what [`write_table`](Self::write_table) wrote; `alphabet` is at least 1.
    fn read_table(alphabet: usize, reader: &mut BitReader) -> Result<Self, CodeError>;
}
