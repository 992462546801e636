//! Static range asymmetric numeral system (Duda 2013): arithmetic coding's rate at a table look-up per symbol.
//!
//! A symbol with frequency `f` of 2^P takes P − log2 f bits. State: 64 bits, kept in [2^31, 2^63) by moving 32 bits at a time.
//! Streams of at least [`TWO_LANES`] symbols alternate between two states, which halves the waiting on one state's arithmetic.
//! The encoder runs backwards and the decoder forwards; a decoder that does not end in the start state with every byte
//! read refuses the stream.
//!
//! Frequencies are normalised in integers: every symbol of the alphabet gets at least 1, then units go where they save most.
//! Cost: O(k log k) to build, O(1) per symbol.

use super::CodeError;
use super::bits::{BitReader, BitWriter};
use std::collections::BinaryHeap;

/// Lower end of the state's range.
const LOW: u64 = 1 << 31;
/// From this many symbols on, two states take turns.
pub const TWO_LANES: usize = 4096;
/// Largest precision P.
pub const MAX_PRECISION: u32 = 20;

/// Frequencies of a static model, summing to 2^P.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frequencies {
    precision: u32,
    frequencies: Vec<u32>,
    starts: Vec<u32>,
}

/// The precision for an alphabet of `k` symbols: a function of `k`, so that it need not be stored.
fn precision_for(k: usize) -> u32 {
    (usize::BITS - k.saturating_sub(1).leading_zeros() + 5).clamp(12, MAX_PRECISION)
}

impl Frequencies {
    /// Normalises `counts` (at most 65 536 of them).
    pub fn from_counts(counts: &[u64]) -> Self {
        let precision = precision_for(counts.len());
        let total: u128 = counts.iter().map(|count| u128::from(*count)).sum::<u128>().max(1);
        let share = |count: u64| ((u128::from(count) << precision) / total) as u32;
        let mut frequencies: Vec<u32> = counts.iter().map(|count| share(*count).max(1)).collect();
        let sum: u64 = frequencies.iter().map(|f| u64::from(*f)).sum();
        let whole = 1u64 << precision;
        if sum < whole {
            give(&mut frequencies, counts, whole - sum);
        } else {
            take(&mut frequencies, counts, sum - whole);
        }
        Self::with_starts(precision, frequencies)
    }

    fn with_starts(precision: u32, frequencies: Vec<u32>) -> Self {
        let starts = frequencies
            .iter()
            .scan(0, |next, f| {
                let start = *next;
                *next += f;
                Some(start)
            })
            .collect();
        Self { precision, frequencies, starts }
    }

    /// Number of symbols.
    pub fn len(&self) -> usize {
        self.frequencies.len()
    }

    /// Whether the alphabet is empty.
    pub fn is_empty(&self) -> bool {
        self.frequencies.is_empty()
    }

    /// Ideal bits for symbols with these counts.
    pub fn bits(&self, counts: &[u64]) -> f64 {
        let pairs = self.frequencies.iter().zip(counts).filter(|(_, count)| **count > 0);
        pairs.map(|(f, count)| (f64::from(self.precision) - libm::log2(f64::from(*f))) * *count as f64).sum()
    }

    /// Writes the table: for each frequency its bit length, as the zigzag difference to the one before in unary, then its
    /// bits below the leading one.
    pub fn write(&self, writer: &mut BitWriter) {
        let mut before = 1i64;
        for f in &self.frequencies {
            let length = i64::from(32 - f.leading_zeros());
            super::write_difference(writer, length - before);
            writer.write(f & !(1 << (length - 1)), length as u32 - 1);
            before = length;
        }
    }

    /// Reads a table of `k` symbols that [`write`](Self::write) wrote.
    pub fn read(k: usize, reader: &mut BitReader) -> Result<Self, CodeError> {
        let precision = precision_for(k);
        let mut frequencies = Vec::new();
        let (mut before, mut sum) = (1i64, 0u64);
        for _ in 0..k {
            let length = before + super::read_difference(reader)?;
            if !(1..=i64::from(MAX_PRECISION) + 1).contains(&length) {
                return Err(CodeError::Table("frequency's length", length as u64));
            }
            let f = (1 << (length - 1)) | reader.read(length as u32 - 1);
            sum += u64::from(f);
            frequencies.push(f);
            before = length;
        }
        if k > 0 && sum != 1 << precision {
            return Err(CodeError::Table("sum of frequencies", sum));
        }
        Ok(Self::with_starts(precision, frequencies))
    }

    /// Codes `symbols`, all below [`len`](Self::len), to the end of `bytes`.
    pub fn encode(&self, symbols: &[u16], bytes: &mut Vec<u8>) {
        let lanes = lanes(symbols.len());
        let mut states = [LOW; 2];
        let mut words: Vec<u32> = Vec::new();
        for (i, symbol) in symbols.iter().enumerate().rev() {
            let symbol = usize::from(*symbol);
            let (Some(f), Some(start)) = (self.frequencies.get(symbol), self.starts.get(symbol)) else {
                continue;
            };
            let f = u64::from(*f);
            let [first, second] = &mut states;
            let state = if i & (lanes - 1) == 0 { first } else { second };
            if *state >= f << (63 - self.precision) {
                words.push(*state as u32);
                *state >>= 32;
            }
            *state = ((*state / f) << self.precision) + *state % f + u64::from(*start);
        }
        if !symbols.is_empty() {
            for state in states.iter().take(lanes) {
                bytes.extend(state.to_le_bytes());
            }
        }
        bytes.extend(words.iter().rev().flat_map(|word| word.to_le_bytes()));
    }

    /// A decoder for these frequencies; refuses an alphabet too small for one symbol.
    pub fn decoder(&self) -> RansDecoder {
        let mut slots = Vec::with_capacity(1 << self.precision);
        for (symbol, (f, start)) in (0..=u16::MAX).zip(self.frequencies.iter().zip(&self.starts)) {
            for offset in 0..*f {
                slots.push(Slot { frequency: *f, offset, symbol });
            }
            debug_assert_eq!(*start as usize + *f as usize, slots.len());
        }
        RansDecoder { precision: self.precision, slots }
    }
}

fn lanes(symbols: usize) -> usize {
    if symbols >= TWO_LANES { 2 } else { 1 }
}

/// What a unit more (or less) saves, as an integer that orders like count / (2f ± 1).
fn worth(count: u64, odd: u64) -> u128 {
    (u128::from(count) << 40) / u128::from(odd)
}

/// Gives `units` to the symbols that save most by one more each time; ties to the lower symbol.
fn give(frequencies: &mut [u32], counts: &[u64], units: u64) {
    let mut heap: BinaryHeap<(u128, std::cmp::Reverse<usize>)> = BinaryHeap::new();
    for (i, (f, count)) in frequencies.iter().zip(counts).enumerate() {
        heap.push((worth(*count, 2 * u64::from(*f) + 1), std::cmp::Reverse(i)));
    }
    for _ in 0..units {
        let Some((_, std::cmp::Reverse(i))) = heap.pop() else { return };
        if let (Some(f), Some(count)) = (frequencies.get_mut(i), counts.get(i)) {
            *f += 1;
            heap.push((worth(*count, 2 * u64::from(*f) + 1), std::cmp::Reverse(i)));
        }
    }
}

/// Takes `units` from the symbols that lose least by one less each time, never below 1; ties to the lower symbol.
fn take(frequencies: &mut [u32], counts: &[u64], units: u64) {
    let mut heap: BinaryHeap<std::cmp::Reverse<(u128, usize)>> = BinaryHeap::new();
    for (i, (f, count)) in frequencies.iter().zip(counts).enumerate().filter(|(_, (f, _))| **f > 1) {
        heap.push(std::cmp::Reverse((worth(*count, 2 * u64::from(*f) - 1), i)));
    }
    for _ in 0..units {
        let Some(std::cmp::Reverse((_, i))) = heap.pop() else { return };
        if let (Some(f), Some(count)) = (frequencies.get_mut(i), counts.get(i)) {
            *f -= 1;
            if *f > 1 {
                heap.push(std::cmp::Reverse((worth(*count, 2 * u64::from(*f) - 1), i)));
            }
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Slot {
    frequency: u32,
    offset: u32,
    symbol: u16,
}

/// Decodes streams of one table; holds a slot for each of 2^P values.
#[derive(Debug, Clone)]
pub struct RansDecoder {
    precision: u32,
    slots: Vec<Slot>,
}

impl RansDecoder {
    /// Decodes `count` symbols that take up all of `bytes`, to the end of `symbols`.
    pub fn decode(&self, bytes: &[u8], count: usize, symbols: &mut Vec<u16>) -> Result<(), CodeError> {
        if count == 0 {
            return if bytes.is_empty() { Ok(()) } else { Err(CodeError::trailing(0, bytes)) };
        }
        let lanes = lanes(count);
        let (heads, rest) = bytes.split_at_checked(lanes * 8).ok_or(CodeError::ends(lanes * 8, bytes))?;
        let mut states = [LOW; 2];
        for (state, head) in states.iter_mut().zip(heads.as_chunks::<8>().0) {
            *state = u64::from_le_bytes(*head);
        }
        let (words, odd) = rest.as_chunks::<4>();
        if !odd.is_empty() {
            return Err(CodeError::trailing(bytes.len() - odd.len(), bytes));
        }
        let mut words = words.iter();
        let mask = (1u64 << self.precision) - 1;
        let [mut even, mut odd] = states;
        let mut step = |state: &mut u64| -> Option<u16> {
            let slot = self.slots.get((*state & mask) as usize)?;
            *state = u64::from(slot.frequency) * (*state >> self.precision) + u64::from(slot.offset);
            if *state < LOW {
                *state = (*state << 32) | u64::from(u32::from_le_bytes(*words.next()?));
            }
            Some(slot.symbol)
        };
        let short = || CodeError::ends(bytes.len() + 4, bytes);
        symbols.reserve(count);
        if lanes == 2 {
            for _ in 0..count / 2 {
                symbols.push(step(&mut even).ok_or_else(short)?);
                symbols.push(step(&mut odd).ok_or_else(short)?);
            }
            if count % 2 == 1 {
                symbols.push(step(&mut even).ok_or_else(short)?);
            }
        } else {
            for _ in 0..count {
                symbols.push(step(&mut even).ok_or_else(short)?);
            }
        }
        if words.len() > 0 {
            return Err(CodeError::trailing(bytes.len() - 4 * words.len(), bytes));
        }
        if (even, odd) == (LOW, LOW) { Ok(()) } else { Err(CodeError::State) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frequencies_sum_to_a_power_of_two_and_leave_no_symbol_out() {
        for counts in
            [vec![1u64], vec![0, 0, 0], vec![1_000_000_000, 1, 0], vec![1; 65536], (0..5000).collect()]
        {
            let table = Frequencies::from_counts(&counts);
            let sum: u64 = table.frequencies.iter().map(|f| u64::from(*f)).sum();
            assert_eq!(sum, 1 << table.precision);
            assert!(table.frequencies.iter().all(|f| *f >= 1));
        }
    }

    #[test]
    fn tables_read_back() {
        for counts in [vec![5u64], vec![3, 0, 100, 7], (0..300).map(|i| i * i).collect(), vec![1; 65536]] {
            let table = Frequencies::from_counts(&counts);
            let mut bytes = Vec::new();
            let mut writer = BitWriter::new(&mut bytes);
            table.write(&mut writer);
            writer.finish();
            let mut reader = BitReader::new(&bytes);
            assert_eq!(Frequencies::read(counts.len(), &mut reader).unwrap(), table);
            reader.finish().unwrap();
        }
    }

    #[test]
    fn a_stream_takes_its_ideal_bits_and_a_few_bytes() {
        let symbols: Vec<u16> = (0..100_000u32)
            .map(|i| (i.wrapping_mul(2_654_435_761) >> 16).leading_zeros() as u16 % 17)
            .collect();
        let mut counts = vec![0u64; 17];
        symbols.iter().for_each(|s| counts[usize::from(*s)] += 1);
        let table = Frequencies::from_counts(&counts);
        let mut bytes = Vec::new();
        table.encode(&symbols, &mut bytes);
        let ideal = table.bits(&counts) / 8.0;
        assert!((bytes.len() as f64 - ideal).abs() < 24.0 + ideal * 1e-4, "{} {ideal}", bytes.len());
    }
}
