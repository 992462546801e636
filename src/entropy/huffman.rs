//! Huffman codes: optimal prefix codes, limited to 24 bits.
//!
//! Code lengths are Huffman's (1952), found with the two-queue method (van Leeuwen 1976) in O(k log k). Where the
//! longest exceeds the limit, package-merge (Larmore and Hirschberg 1990) finds the best lengths within it in O(24·k).
//! Codes are canonical (Schwartz and Kallick 1964): sorted by length, then by symbol, and counting upwards; so the
//! lengths are the whole table. An alphabet in which one symbol alone has a code spends 0 bits on it.
//!
//! Decoding looks the next 11 bits up in a table and falls back to comparing with the first code of each greater
//! length. Stored lengths that do not describe a complete code (Kraft sum 1) are refused.

use super::bits::{BitReader, BitWriter, golomb_bits};
use super::{CodeError, CodeErrorKind, Rows, SymbolCode, check_alphabet, damaged, reserve};
use std::collections::VecDeque;

/// The longest code, in bits.
pub const MAX_LENGTH: u32 = 24;

/// Codes up to this length are decoded with one look-up.
const PRIMARY_BITS: u32 = 11;

/// A canonical Huffman code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Huffman {
    /// Code length of each symbol; 0 for none, and for the only one.
    lengths: Vec<u8>,
    /// Code of each symbol, in its low bits.
    codes: Vec<u32>,
    /// The only symbol that has a code, where there is one only.
    only: Option<u16>,
    decoder: Decoder,
}

impl Huffman {
    /// The optimal code for these counts, with a code for every symbol; a count of zero costs others the least.
    pub fn of_all(counts: &[u64]) -> Result<Self, CodeError> {
        check_alphabet(counts.len() as u64)?;
        let all: Vec<(u64, u16)> = counts.iter().enumerate().map(|(s, c)| (*c, s as u16)).collect();
        Ok(Self::from_weights(counts.len(), &all))
    }

    /// The optimal code for these counts, without codes for symbols of count zero; at least one count is not.
    pub fn of_present(counts: &[u64]) -> Result<Self, CodeError> {
        check_alphabet(counts.len() as u64)?;
        let present: Vec<(u64, u16)> =
            counts.iter().enumerate().filter(|(_, c)| **c > 0).map(|(s, c)| (*c, s as u16)).collect();
        if present.is_empty() {
            return Err(CodeErrorKind::Alphabet { found: 0 }.into());
        }
        Ok(Self::from_weights(counts.len(), &present))
    }

    fn from_weights(alphabet: usize, leaves: &[(u64, u16)]) -> Self {
        let leaves = crate::order::sorted_by_key(leaves, |(weight, _)| *weight);
        let weights: Vec<u128> = leaves.iter().map(|(weight, _)| u128::from(*weight)).collect();
        let mut lengths = vec![0; alphabet];
        for (length, (_, symbol)) in optimal_lengths(&weights, MAX_LENGTH).into_iter().zip(&leaves) {
            lengths[usize::from(*symbol)] = length as u8;
        }
        let only = if let [(_, symbol)] = leaves[..] { Some(symbol) } else { None };
        Self::from_lengths(lengths, only)
    }

    /// The canonical code of lengths whose Kraft sum is known to be 1, or that are all 0 but for `only`.
    fn from_lengths(lengths: Vec<u8>, only: Option<u16>) -> Self {
        let (decoder, codes) = Decoder::new(&lengths);
        Self { lengths, codes, only, decoder }
    }

    /// Code length of each symbol, in bits; `None` for symbols without a code.
    pub fn length(&self, symbol: u16) -> Option<u32> {
        match self.lengths.get(usize::from(symbol)) {
            Some(0) | None => (self.only == Some(symbol)).then_some(0),
            Some(length) => Some(u32::from(*length)),
        }
    }

    /// Bits that symbols with these counts take, the table not included; symbols without a code count as 0 bits.
    pub fn payload_bits(&self, counts: &[u64]) -> u64 {
        counts.iter().zip(&self.lengths).map(|(count, length)| count * u64::from(*length)).sum()
    }

    /// Writes one symbol.
    #[inline]
    pub fn write(&self, symbol: u16, writer: &mut BitWriter<'_>) -> Result<(), CodeError> {
        let index = usize::from(symbol);
        match (self.lengths.get(index), self.codes.get(index)) {
            (Some(length), Some(code)) if *length > 0 => writer.write(*code, u32::from(*length)),
            _ if self.only == Some(symbol) => {}
            _ => {
                return Err(CodeError::no_code(u32::from(symbol), self.lengths.len()));
            }
        }
        Ok(())
    }

    /// Reads one symbol.
    #[inline]
    pub fn read(&self, reader: &mut BitReader<'_>) -> Result<u16, CodeError> {
        if let Some(symbol) = self.only {
            return Ok(symbol);
        }
        reader.refill();
        let (symbol, length) = self.decoder.look_up(reader.peek(32));
        reader.skip(length)?;
        Ok(symbol)
    }

    /// Appends the code of `symbols` to `out`; returns its number of bits.
    pub fn encode(&self, symbols: &[u16], out: &mut Vec<u8>) -> Result<u64, CodeError> {
        let mut writer = BitWriter::new(out);
        for symbol in symbols {
            self.write(*symbol, &mut writer)?;
        }
        Ok(writer.finish())
    }

    /// Appends the `count` symbols that `bytes` holds to `symbols`; returns the number of bits they took.
    pub fn decode(&self, bytes: &[u8], count: usize, symbols: &mut Vec<u16>) -> Result<u64, CodeError> {
        reserve(symbols, count)?;
        let mut reader = BitReader::new(bytes);
        if let Some(symbol) = self.only {
            symbols.resize(symbols.len() + count, symbol);
            return reader.finish();
        }
        let mut left = count;
        // 56 bits hold two codes of 24.
        while left >= 2 && reader.refill() {
            let (first, first_length) = self.decoder.look_up(reader.peek(32));
            reader.skip_valid(first_length);
            let (second, second_length) = self.decoder.look_up(reader.peek(32));
            reader.skip_valid(second_length);
            symbols.extend_from_slice(&[first, second]);
            left -= 2;
        }
        for _ in 0..left {
            symbols.push(self.read(&mut reader)?);
        }
        reader.finish()
    }

    /// Number of bits that [`write_table`](Self::write_table) writes.
    pub fn table_bits(&self) -> u64 {
        let mut bytes = Vec::new();
        let mut writer = BitWriter::new(&mut bytes);
        self.write_table(&mut writer);
        writer.finish()
    }
}

/// Order of the exponential Golomb code of run lengths.
const RUN_ORDER: u32 = 2;

/// Reads which symbols have a code.
fn read_runs(alphabet: usize, reader: &mut BitReader<'_>) -> Result<Vec<bool>, CodeError> {
    let mut present = Vec::with_capacity(alphabet);
    if reader.read(1)? == 1 {
        present.resize(alphabet, true);
    }
    let mut with_code = true;
    while present.len() < alphabet {
        let run = reader.read_golomb(RUN_ORDER)? as usize;
        let left = alphabet - present.len();
        // Only the first run may be empty: symbol 0 may be without a code.
        if run > left || (run == 0 && !(with_code && present.is_empty())) {
            return Err(damaged("Huffman table", format!("a run of 1 to {left} symbols"), run));
        }
        present.resize(present.len() + run, with_code);
        with_code = !with_code;
    }
    Ok(present)
}

/// Maps 0, −1, 1, −2, 2… to 0, 1, 2, 3, 4….
pub(crate) const fn folded(difference: i32) -> u32 {
    ((difference << 1) ^ (difference >> 31)) as u32
}

/// The inverse of [`folded`].
pub(crate) const fn unfolded(number: u32) -> i32 {
    (number >> 1) as i32 ^ -((number & 1) as i32)
}

/// Optimal code lengths, at most `limit`, for weights in ascending order; 0 for a single one.
fn optimal_lengths(weights: &[u128], limit: u32) -> Vec<u32> {
    let lengths = unlimited_lengths(weights);
    if lengths.iter().all(|length| *length <= limit) { lengths } else { limited_lengths(weights, limit) }
}

/// Huffman's code lengths by two queues. Of equal weights, leaves are merged first, which keeps the longest code short.
fn unlimited_lengths(weights: &[u128]) -> Vec<u32> {
    let count = weights.len();
    let mut parents = vec![0; (2 * count).saturating_sub(1)];
    let mut leaves = weights.iter().copied().enumerate().peekable();
    let mut merged: VecDeque<(usize, u128)> = VecDeque::new();
    for parent in count..parents.len() {
        let mut total = 0;
        for _ in 0..2 {
            let leaf_first = match (leaves.peek(), merged.front()) {
                (Some((_, leaf)), Some((_, inner))) => leaf <= inner,
                (leaf, _) => leaf.is_some(),
            };
            let lightest = if leaf_first { leaves.next() } else { merged.pop_front() };
            if let Some((node, weight)) = lightest {
                parents[node] = parent;
                total += weight;
            }
        }
        merged.push_back((parent, total));
    }
    // Parents come after their children, so that a walk from the root knows every parent's depth.
    let mut depths = vec![0; parents.len()];
    for node in (0..parents.len().saturating_sub(1)).rev() {
        depths[node] = depths[parents[node]] + 1;
    }
    depths.truncate(count);
    depths
}

/// Optimal code lengths of at most `limit` bits by package-merge; 2^`limit` ≥ number of weights ≥ 2.
fn limited_lengths(weights: &[u128], limit: u32) -> Vec<u32> {
    // For each level, whether the items in ascending order of weight are leaves (or packages of two of the level below).
    let mut levels: Vec<Vec<bool>> = Vec::new();
    let mut packages: Vec<u128> = Vec::new();
    for _ in 0..limit {
        let (items, is_leaf) = merge(weights, &packages);
        packages = items.as_chunks::<2>().0.iter().map(|[a, b]| a + b).collect();
        levels.push(is_leaf);
    }
    let mut lengths = vec![0; weights.len()];
    let mut taken = 2 * weights.len() - 2;
    for is_leaf in levels.iter().rev() {
        let leaves = is_leaf.iter().take(taken).filter(|leaf| **leaf).count();
        for length in lengths.iter_mut().take(leaves) {
            *length += 1;
        }
        taken = 2 * (taken - leaves);
    }
    lengths
}

/// Merges two ascending lists, leaves first where equal; tells which items are leaves.
fn merge(leaves: &[u128], packages: &[u128]) -> (Vec<u128>, Vec<bool>) {
    let mut leaves = leaves.iter().peekable();
    let mut packages = packages.iter().peekable();
    std::iter::from_fn(|| match (leaves.peek(), packages.peek()) {
        (Some(leaf), Some(package)) if package < leaf => packages.next().map(|weight| (*weight, false)),
        (Some(_), _) => leaves.next().map(|weight| (*weight, true)),
        (None, _) => packages.next().map(|weight| (*weight, false)),
    })
    .unzip()
}

/// Look-up tables of a canonical code.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Decoder {
    /// Index width of `primary`.
    primary_bits: u32,
    /// By the next bits: symbol in the low half, length above; 0 where the code is longer.
    primary: Vec<u32>,
    /// Longer codes, by length.
    longer: Vec<Longer>,
    /// Symbols in the order of their codes.
    symbols: Vec<u16>,
}

/// The codes of one length.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Longer {
    length: u32,
    /// Codes of this length are below this, as the top of 32 bits.
    end: u64,
    /// First code of this length.
    first_code: u32,
    /// Position of the first code's symbol in `symbols`.
    first_index: usize,
}

impl Decoder {
    /// Builds the tables, and the code of each symbol.
    fn new(lengths: &[u8]) -> (Self, Vec<u32>) {
        let mut counts = [0usize; MAX_LENGTH as usize + 1];
        for length in lengths {
            counts[usize::from(*length)] += 1;
        }
        let longest = (1..=MAX_LENGTH).rev().find(|length| counts[*length as usize] > 0).unwrap_or(0);
        let primary_bits = longest.min(PRIMARY_BITS);
        let mut primary = vec![0; 1 << primary_bits];
        let mut longer = Vec::new();
        let mut next = [(0u32, 0usize); MAX_LENGTH as usize + 1];
        let (mut code, mut index) = (0u32, 0);
        for length in 1..=longest {
            code <<= 1;
            next[length as usize] = (code, index);
            let (first_code, first_index) = (code, index);
            code += counts[length as usize] as u32;
            index += counts[length as usize];
            if length > primary_bits {
                longer.push(Longer {
                    length,
                    end: u64::from(code) << (32 - length),
                    first_code,
                    first_index,
                });
            }
        }
        let mut symbols = vec![0; index];
        let mut codes = vec![0; lengths.len()];
        for (symbol, length) in lengths.iter().enumerate().filter(|(_, length)| **length > 0) {
            let (code, index) = &mut next[usize::from(*length)];
            let length = u32::from(*length);
            symbols[*index] = symbol as u16;
            codes[symbol] = *code;
            if length <= primary_bits {
                let first = (*code as usize) << (primary_bits - length);
                primary[first..first + (1 << (primary_bits - length))].fill(symbol as u32 | length << 16);
            }
            *code += 1;
            *index += 1;
        }
        (Self { primary_bits, primary, longer, symbols }, codes)
    }

    /// The symbol whose code the 32 bits of `window` start with, and its length.
    #[inline]
    fn look_up(&self, window: u32) -> (u16, u32) {
        let entry =
            self.primary.get((u64::from(window) >> (32 - self.primary_bits)) as usize).copied().unwrap_or(0);
        if entry == 0 { self.look_up_longer(window) } else { (entry as u16, entry >> 16) }
    }

    fn look_up_longer(&self, window: u32) -> (u16, u32) {
        let found = self.longer.iter().find(|codes| u64::from(window) < codes.end).and_then(|codes| {
            let code = window >> (32 - codes.length);
            let symbol =
                self.symbols.get(codes.first_index + code.wrapping_sub(codes.first_code) as usize)?;
            Some((*symbol, codes.length))
        });
        // A complete code has an answer for every window.
        found.unwrap_or((0, 1))
    }
}

impl SymbolCode for Huffman {
    fn of_counts(counts: &[u64]) -> Result<Self, CodeError> {
        Self::of_all(counts)
    }

    fn alphabet(&self) -> usize {
        self.lengths.len()
    }

    fn predicted_bits(&self, counts: &[u64]) -> u64 {
        self.payload_bits(counts)
    }

    fn formula_bits(counts: &[u64]) -> f64 {
        Self::of_all(counts).map_or(0.0, |code| {
            let more: Vec<u64> = counts.iter().map(|count| count + 1).collect();
            code.payload_bits(&more) as f64
        })
    }

    fn encode(&self, symbols: &[u16], _: Rows, out: &mut Vec<u8>) -> Result<u64, CodeError> {
        self.encode(symbols, out)
    }

    fn decode(&self, bytes: &[u8], count: usize, _: Rows, symbols: &mut Vec<u16>) -> Result<u64, CodeError> {
        self.decode(bytes, count, symbols)
    }

    /// Writes the code lengths, but not the size of the alphabet.
    ///
    /// One bit tells whether every symbol has a code; if not, exponential Golomb numbers of order 2 give the lengths of
    /// runs of symbols with, without, with… a code, until the alphabet is covered. Then, unless one symbol alone has a
    /// code: the length of the first in 5 bits, an order in 2 bits, and the difference of each length from the one
    /// before, folded to 0, −1, 1, −2, 2…, as exponential Golomb numbers of that order.
    fn write_table(&self, writer: &mut BitWriter<'_>) {
        let has_code = |symbol: usize| self.lengths[symbol] > 0 || self.only == Some(symbol as u16);
        let all = (0..self.alphabet()).all(has_code);
        writer.write(u32::from(all), 1);
        if !all {
            let (mut symbol, mut present) = (0, true);
            while symbol < self.alphabet() {
                let run = (symbol..self.alphabet()).take_while(|s| has_code(*s) == present).count();
                writer.write_golomb(run as u32, RUN_ORDER);
                (symbol, present) = (symbol + run, !present);
            }
        }
        let mut lengths = self.lengths.iter().filter(|length| **length > 0).map(|length| i32::from(*length));
        let Some(first) = lengths.next() else { return };
        let mut previous = first;
        let differences: Vec<u32> =
            lengths.map(|length| folded(length - std::mem::replace(&mut previous, length))).collect();
        let cost = |order: &u32| differences.iter().map(|d| golomb_bits(*d, *order)).sum::<u32>();
        let order = (0..4).min_by_key(cost).unwrap_or(0);
        writer.write(first as u32, 5);
        writer.write(order, 2);
        for difference in differences {
            writer.write_golomb(difference, order);
        }
    }

    /// Reads the code lengths of an alphabet of this size.
    fn read_table(alphabet: usize, reader: &mut BitReader<'_>) -> Result<Self, CodeError> {
        check_alphabet(alphabet as u64)?;
        let present = read_runs(alphabet, reader)?;
        let mut lengths = vec![0; alphabet];
        let mut symbols =
            present.iter().enumerate().filter(|(_, present)| **present).map(|(symbol, _)| symbol);
        let Some(first) = symbols.next() else {
            return Err(damaged("Huffman table", "a symbol with a code", "none"));
        };
        let mut symbols = symbols.peekable();
        if symbols.peek().is_none() {
            return Ok(Self::from_lengths(lengths, Some(first as u16)));
        }
        let mut length = reader.read(5)?;
        let order = reader.read(2)?;
        let mut kraft = 0u64;
        for (index, symbol) in std::iter::once(first).chain(symbols).enumerate() {
            if index > 0 {
                length = length.wrapping_add_signed(unfolded(reader.read_golomb(order)?));
            }
            if !(1..=MAX_LENGTH).contains(&length) {
                return Err(damaged("Huffman table", "a code length of 1 to 24", length));
            }
            kraft += 1 << (MAX_LENGTH - length);
            if let Some(slot) = lengths.get_mut(symbol) {
                *slot = length as u8;
            }
        }
        if kraft != 1 << MAX_LENGTH {
            return Err(damaged("Huffman table", format!("a Kraft sum of {}", 1 << MAX_LENGTH), kraft));
        }
        Ok(Self::from_lengths(lengths, None))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lengths(counts: &[u64]) -> Vec<u32> {
        let code = Huffman::of_all(counts).unwrap();
        (0..counts.len()).map(|symbol| code.length(symbol as u16).unwrap()).collect()
    }

    fn total(counts: &[u64]) -> u64 {
        Huffman::of_all(counts).unwrap().payload_bits(counts)
    }

    fn sorted(mut lengths: Vec<u32>) -> Vec<u32> {
        lengths.sort_unstable();
        lengths
    }

    #[test]
    fn textbook_codes_have_their_published_lengths() {
        assert_eq!(lengths(&[45, 13, 12, 16, 9, 5]), [1, 3, 3, 3, 4, 4]);
        assert_eq!(total(&[45, 13, 12, 16, 9, 5]), 224);
        assert_eq!(sorted(lengths(&[25, 25, 20, 15, 15])), [2, 2, 2, 3, 3]);
        assert_eq!(lengths(&[4, 2, 1, 1]), [1, 2, 3, 3]);
        assert_eq!(
            (total(&[1, 1, 2, 3, 5, 8]), lengths(&[1, 1, 2, 3, 5, 8]).into_iter().max()),
            (45, Some(5))
        );
        assert_eq!(total(&[9, 1]), 10);
        assert_eq!(total(&[70, 15, 15]), 130);
    }

    #[test]
    fn a_single_symbol_takes_no_bits() {
        let code = Huffman::of_all(&[7]).unwrap();
        let mut bytes = Vec::new();
        assert_eq!(code.encode(&[0; 5], &mut bytes), Ok(0));
        assert!(bytes.is_empty());
        let present = Huffman::of_present(&[0, 0, 3, 0]).unwrap();
        assert_eq!((present.length(2), present.length(1)), (Some(0), None));
        assert!(present.encode(&[1], &mut bytes).is_err());
    }

    #[test]
    fn symbols_that_were_not_counted_have_a_code_that_costs_least() {
        assert_eq!(sorted(lengths(&[0, 0, 0, 0])), [2; 4]);
        assert_eq!(lengths(&[100, 0, 50, 0]), [1, 3, 2, 3]);
    }

    /// The least Σ count·length over all lengths of at most `limit` with Kraft sum ≤ 1.
    fn brute_force(counts: &[u128], limit: u32, kraft_left: u32) -> Option<u128> {
        let Some((count, rest)) = counts.split_first() else { return Some(0) };
        (1..=limit)
            .filter(|length| kraft_left >= 1 << (limit - length))
            .filter_map(|length| {
                Some(
                    count * u128::from(length)
                        + brute_force(rest, limit, kraft_left - (1 << (limit - length)))?,
                )
            })
            .min()
    }

    #[test]
    fn limited_lengths_are_optimal() {
        let weights: [&[u128]; 6] = [
            &[1, 1, 2, 3, 5, 8],
            &[1, 2, 4, 8, 16, 32],
            &[0, 0, 1, 1, 10, 100],
            &[5, 5, 5, 5, 5],
            &[1, 1, 1, 1, 1, 1000],
            &[0, 0, 0],
        ];
        for weights in weights {
            for limit in 3..=6 {
                let lengths = limited_lengths(weights, limit);
                assert!(lengths.iter().all(|length| (1..=limit).contains(length)));
                assert_eq!(lengths.iter().map(|length| 1 << (limit - length)).sum::<u32>(), 1 << limit);
                let total: u128 = lengths.iter().zip(weights).map(|(l, w)| u128::from(*l) * w).sum();
                assert_eq!(
                    Some(total),
                    brute_force(weights, limit, 1 << limit),
                    "{weights:?} within {limit}"
                );
            }
        }
    }

    #[test]
    fn package_merge_without_a_binding_limit_equals_huffman() {
        let weights: Vec<u128> = (1..200).map(|i| i * i).collect();
        let total = |lengths: Vec<u32>| -> u128 {
            lengths.iter().zip(&weights).map(|(l, w)| u128::from(*l) * w).sum()
        };
        assert_eq!(total(limited_lengths(&weights, 24)), total(unlimited_lengths(&weights)));
    }

    #[test]
    fn fibonacci_counts_stay_within_the_limit_and_read_back() {
        let mut counts = vec![1u64, 1];
        for i in 2..60 {
            counts.push(counts[i - 1] + counts[i - 2]);
        }
        let code = Huffman::of_all(&counts).unwrap();
        let lengths = lengths(&counts);
        assert_eq!(lengths.iter().max(), Some(&MAX_LENGTH));
        assert_eq!(lengths.iter().map(|l| 1u64 << (MAX_LENGTH - l)).sum::<u64>(), 1 << MAX_LENGTH);
        let symbols: Vec<u16> = (0..60).chain((0..60).rev()).collect();
        let (mut bytes, mut decoded) = (Vec::new(), Vec::new());
        let bits = code.encode(&symbols, &mut bytes).unwrap();
        assert_eq!(code.decode(&bytes, symbols.len(), &mut decoded), Ok(bits));
        assert_eq!(decoded, symbols);
    }

    #[test]
    fn tables_read_back() {
        let wide: Vec<u64> = (0..65536).map(|i| i % 97 * (i % 5)).collect();
        let cases: [&[u64]; 7] =
            [&[1], &[0, 0, 3], &[1, 1], &[0, 9, 0, 0, 2, 4, 0], &[45, 13, 12, 16, 9, 5], &[1, 0], &wide];
        for counts in cases {
            for code in [Huffman::of_all(counts).unwrap(), Huffman::of_present(counts).unwrap()] {
                let mut bytes = Vec::new();
                let mut writer = BitWriter::new(&mut bytes);
                code.write_table(&mut writer);
                assert_eq!(writer.finish(), code.table_bits());
                let mut reader = BitReader::new(&bytes);
                assert_eq!(Huffman::read_table(counts.len(), &mut reader), Ok(code));
                reader.finish().unwrap();
            }
        }
    }

    #[test]
    fn incomplete_and_overfull_tables_are_refused() {
        for lengths in [[2, 2, 2], [1, 1, 1], [1, 2, 3]] {
            let mut bytes = Vec::new();
            let mut writer = BitWriter::new(&mut bytes);
            writer.write(1, 1);
            writer.write(lengths[0], 5);
            writer.write(0, 2);
            writer.write_golomb(folded(lengths[1] as i32 - lengths[0] as i32), 0);
            writer.write_golomb(folded(lengths[2] as i32 - lengths[1] as i32), 0);
            writer.finish();
            let error = Huffman::read_table(3, &mut BitReader::new(&bytes)).unwrap_err();
            assert!(error.to_string().contains("Kraft"), "{error}");
        }
    }

    #[test]
    fn a_table_of_sixteen_gaussian_levels_takes_a_few_bytes() {
        let counts = [37, 138, 417, 1027, 2067, 3410, 4615, 5120, 5120, 4615, 3410, 2067, 1027, 417, 138, 37];
        assert!(Huffman::of_all(&counts).unwrap().table_bits() <= 48);
    }
}
