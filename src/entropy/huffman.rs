//! Length-limited canonical Huffman codes.
//!
//! Lengths by package-merge (Larmore and Hirschberg 1990): optimal under the limit of [`MAX_LENGTH`] bits, and equal to
//! Huffman's (1952) where that stays below it. Codewords are canonical, so lengths alone describe a code. Every symbol of
//! the alphabet gets a codeword, counted or not, because an encoder may meet one that was predicted not to occur. A single
//! symbol takes one bit.
//!
//! Cost: O(k·[`MAX_LENGTH`]) to build for k symbols; O(1) per symbol to code; decoding looks up 11 bits at once.

use super::CodeError;
use super::bits::{BitReader, BitWriter};

/// Longest codeword in bits.
pub const MAX_LENGTH: u32 = 24;
/// Bits looked up at once.
const ROOT_BITS: u32 = 11;

/// Optimal codeword lengths for `counts`, each from 1 to [`MAX_LENGTH`]; a count of 0 is coded as if it were rarer than 1.
pub fn lengths(counts: &[u64]) -> Vec<u8> {
    if counts.len() <= 1 {
        return vec![1; counts.len()];
    }
    // Twice the count leaves room for "rarer than one" between 0 and 2.
    let mut order: Vec<(u64, usize)> =
        counts.iter().enumerate().map(|(i, count)| (count.saturating_mul(2).max(1), i)).collect();
    order.sort_unstable();
    let weights: Vec<u64> = order.iter().map(|(weight, _)| *weight).collect();
    let mut sorted_lengths = vec![0u8; weights.len()];
    // One list per length, from the longest: packages of pairs from the list before, merged with the symbols themselves.
    let mut lists: Vec<Vec<Item>> = Vec::with_capacity(MAX_LENGTH as usize);
    let mut packages: Vec<u64> = Vec::new();
    for _ in 0..MAX_LENGTH {
        let merged = merge(&weights, &packages);
        packages = merged.as_chunks::<2>().0.iter().map(|[a, b]| a.weight.saturating_add(b.weight)).collect();
        lists.push(merged);
    }
    // Of the last list 2k−2 items are taken; each package taken asks for two items of the list before.
    let mut take = 2 * weights.len() - 2;
    for list in lists.iter().rev() {
        let taken = list.iter().take(take);
        let symbols = taken.clone().filter(|item| !item.is_package).count();
        sorted_lengths.iter_mut().take(symbols).for_each(|length| *length += 1);
        take = 2 * taken.filter(|item| item.is_package).count();
    }
    let mut lengths = vec![0u8; counts.len()];
    for ((_, symbol), length) in order.into_iter().zip(sorted_lengths) {
        if let Some(slot) = lengths.get_mut(symbol) {
            *slot = length;
        }
    }
    lengths
}

/// A symbol or a package of two items.
#[derive(Debug, Clone, Copy)]
struct Item {
    weight: u64,
    is_package: bool,
}

/// Merges two ascending lists, symbols first on ties.
fn merge(symbols: &[u64], packages: &[u64]) -> Vec<Item> {
    let mut merged = Vec::with_capacity(symbols.len() + packages.len());
    let mut packages = packages.iter().peekable();
    for symbol in symbols {
        while let Some(weight) = packages.next_if(|package| *package < symbol) {
            merged.push(Item { weight: *weight, is_package: true });
        }
        merged.push(Item { weight: *symbol, is_package: false });
    }
    merged.extend(packages.map(|weight| Item { weight: *weight, is_package: true }));
    merged
}

/// A canonical code: codewords ascend with length, then with symbol.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Huffman {
    lengths: Vec<u8>,
    codes: Vec<u32>,
}

impl Huffman {
    /// The canonical code of these lengths; refused unless they are from 1 to [`MAX_LENGTH`] and fill the code space exactly
    /// (a single symbol has length 1).
    pub fn from_lengths(lengths: Vec<u8>) -> Result<Self, CodeError> {
        let mut per_length = [0u64; MAX_LENGTH as usize + 1];
        for length in &lengths {
            match per_length.get_mut(usize::from(*length)) {
                Some(count) if *length > 0 => *count += 1,
                _ => return Err(CodeError::Table("codeword length", u64::from(*length))),
            }
        }
        let space: u64 = per_length
            .iter()
            .enumerate()
            .map(|(length, count)| count << (MAX_LENGTH as usize - length))
            .sum();
        let full = if lengths.len() == 1 { 1 << (MAX_LENGTH - 1) } else { 1 << MAX_LENGTH };
        if space != full {
            return Err(CodeError::Table("code space used", space));
        }
        let mut next = [0u32; MAX_LENGTH as usize + 1];
        let mut code = 0u32;
        for (count, next) in per_length.iter().zip(&mut next) {
            *next = code;
            code = (code + *count as u32) << 1;
        }
        let codes = lengths
            .iter()
            .map(|length| {
                let slot = next.get_mut(usize::from(*length));
                slot.map_or(0, |slot| {
                    *slot += 1;
                    *slot - 1
                })
            })
            .collect();
        Ok(Self { lengths, codes })
    }

    /// Codeword lengths, by symbol.
    pub fn lengths(&self) -> &[u8] {
        &self.lengths
    }

    /// Bits that symbols with these counts take.
    pub fn bits(&self, counts: &[u64]) -> u64 {
        self.lengths.iter().zip(counts).map(|(length, count)| u64::from(*length) * count).sum()
    }

    /// Writes one symbol; a symbol outside the alphabet writes nothing.
    #[inline]
    pub fn write(&self, symbol: u16, writer: &mut BitWriter) {
        let symbol = usize::from(symbol);
        if let (Some(code), Some(length)) = (self.codes.get(symbol), self.lengths.get(symbol)) {
            writer.write(*code, u32::from(*length));
        }
    }

    /// A decoder for this code.
    pub fn decoder(&self) -> Decoder {
        let mut by_code: Vec<(u32, u8, u16)> = (0..=u16::MAX)
            .zip(self.codes.iter().zip(&self.lengths))
            .map(|(symbol, (code, length))| (code << (32 - u32::from(*length)), *length, symbol))
            .collect();
        by_code.sort_unstable();
        let mut root = vec![(0u16, 0u8); 1 << ROOT_BITS];
        for (start, length, symbol) in by_code.iter().filter(|(_, length, _)| u32::from(*length) <= ROOT_BITS)
        {
            let first = (start >> (32 - ROOT_BITS)) as usize;
            let span = 1usize << (ROOT_BITS - u32::from(*length));
            root.iter_mut().skip(first).take(span).for_each(|slot| *slot = (*symbol, *length));
        }
        Decoder { root, by_code }
    }
}

/// Looks codewords up.
#[derive(Debug, Clone)]
pub struct Decoder {
    /// Symbol and length for every start of [`ROOT_BITS`] bits; length 0 where the codeword is longer.
    root: Vec<(u16, u8)>,
    /// Left-aligned codewords, ascending, with length and symbol.
    by_code: Vec<(u32, u8, u16)>,
}

impl Decoder {
    /// Reads one symbol. Bits that are no codeword (possible with a single symbol only) are read as that symbol.
    #[inline]
    pub fn read(&self, reader: &mut BitReader) -> u16 {
        let bits = reader.peek();
        let (symbol, length) = self.root.get((bits >> (32 - ROOT_BITS)) as usize).copied().unwrap_or((0, 0));
        if length > 0 {
            reader.skip(u32::from(length));
            return symbol;
        }
        let after = self.by_code.partition_point(|(start, ..)| *start <= bits);
        let (_, length, symbol) = self.by_code.get(after.saturating_sub(1)).copied().unwrap_or((0, 1, 0));
        reader.skip(u32::from(length));
        symbol
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mean(counts: &[u64]) -> f64 {
        let huffman = Huffman::from_lengths(lengths(counts)).unwrap();
        huffman.bits(counts) as f64 / counts.iter().sum::<u64>() as f64
    }

    #[test]
    fn textbook_codes_have_their_published_lengths() {
        // Cormen, Leiserson, Rivest and Stein; Cover and Thomas, example 5.6.1.
        let mut found = lengths(&[45, 13, 12, 16, 9, 5]);
        found.sort_unstable();
        assert_eq!(found, [1, 3, 3, 3, 4, 4]);
        assert_eq!(mean(&[45, 13, 12, 16, 9, 5]), 2.24);
        assert_eq!(mean(&[25, 25, 20, 15, 15]), 2.3);
        assert_eq!(mean(&[4, 2, 1, 1]), 1.75);
        let counts = [1, 1, 2, 3, 5, 8];
        assert_eq!(lengths(&counts).into_iter().max(), Some(5));
        assert_eq!(Huffman::from_lengths(lengths(&counts)).unwrap().bits(&counts), 45);
        assert_eq!(mean(&[9, 1]), 1.0);
        assert_eq!(mean(&[70, 15, 15]), 1.3);
    }

    #[test]
    fn lengths_fill_the_code_space_even_at_the_limit() {
        // Fibonacci counts ask for ever longer codewords.
        let mut counts = vec![1u64, 1];
        for i in 2..60 {
            counts.push(counts[i - 1] + counts[i - 2]);
        }
        let found = lengths(&counts);
        assert_eq!(u32::from(*found.iter().max().unwrap()), MAX_LENGTH);
        Huffman::from_lengths(found).unwrap();
        for k in 2..300 {
            Huffman::from_lengths(lengths(&vec![0; k])).unwrap();
        }
        Huffman::from_lengths(lengths(&vec![1; 65536])).unwrap();
    }

    #[test]
    fn lengths_that_do_not_fill_the_code_space_are_refused() {
        for bad in [vec![1, 1, 1], vec![2, 2, 2], vec![0, 1], vec![25, 1], vec![2]] {
            assert!(Huffman::from_lengths(bad).is_err());
        }
    }

    /// Least total of all length assignments with Kraft sum 1, by exhaustive search.
    fn brute_force(counts: &[u64]) -> u64 {
        fn search(counts: &[u64], room: u64, limit: u32) -> Option<u64> {
            let Some((count, rest)) = counts.split_first() else { return (room == 0).then_some(0) };
            (1..=limit)
                .filter_map(|l| {
                    Some(u64::from(l) * count + search(rest, room.checked_sub(1 << (8 - l))?, limit)?)
                })
                .min()
        }
        search(counts, 1 << 8, 8).unwrap()
    }

    #[test]
    fn totals_equal_exhaustive_search_on_small_alphabets() {
        for counts in
            [vec![1u64, 2], vec![3, 3, 3], vec![1, 1, 1, 7], vec![5, 1, 9, 2, 2], vec![1, 2, 4, 8, 16, 32]]
        {
            let total = Huffman::from_lengths(lengths(&counts)).unwrap().bits(&counts);
            assert_eq!(total, brute_force(&counts), "{counts:?}");
        }
    }

    #[test]
    fn long_codewords_decode_too() {
        let counts: Vec<u64> = (0..40).map(|i| 1u64 << i).collect();
        let huffman = Huffman::from_lengths(lengths(&counts)).unwrap();
        let symbols: Vec<u16> = (0..40).chain((0..40).rev()).collect();
        let mut bytes = Vec::new();
        let mut writer = BitWriter::new(&mut bytes);
        symbols.iter().for_each(|s| huffman.write(*s, &mut writer));
        writer.finish();
        let (decoder, mut reader) = (huffman.decoder(), BitReader::new(&bytes));
        assert_eq!(symbols.iter().map(|_| decoder.read(&mut reader)).collect::<Vec<_>>(), symbols);
        reader.finish().unwrap();
    }
}
