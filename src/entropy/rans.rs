//! Static range asymmetric numeral system (Duda 2013).
//!
//! A symbol of frequency f out of 2^P turns the state x into (x div f)·2^P + x mod f + (sum of frequencies below), which
//! costs log2(2^P / f) bits. States lie in [2^31, 2^63) and move 32 bits at a time. Long runs use four interleaved
//! states, so that their divisions overlap. Symbols are encoded last to first, so that they are decoded first to last.
//!
//! Every symbol of the alphabet gets a frequency of at least 1, so symbols that were not counted can still be coded.
//! P, from 12 to 20, is the one with the least payload and table together for the counts given.
//!
//! A payload is: the states, 8 bytes each, little-endian; then 32-bit words, little-endian. One state up to 65535
//! symbols, four above, none for no symbols. All states start (end, for the decoder) at 2^31, which the decoder checks,
//! as it checks that no word is left.

use super::bits::{BitReader, BitWriter};
use super::huffman::{folded, unfolded};
use super::{CodeError, Rows, SymbolCode, ceil_log2, check_alphabet, damaged, reserve};
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Smallest and largest P.
const PRECISIONS: std::ops::RangeInclusive<u32> = 12..=20;

/// Where states start, and the least they may be.
const LOWEST: u64 = 1 << 31;

/// Runs shorter than this use one state.
const INTERLEAVED_FROM: usize = 1 << 16;

/// Number of states of long runs.
const STATES: usize = 4;

/// A static rANS model.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rans {
    precision: u32,
    symbols: Vec<Slot>,
    /// By the top bits of a slot number: the first symbol that can own it.
    buckets: Vec<u16>,
    bucket_shift: u32,
}

/// The share of a symbol: slots `start..start + frequency` of 2^P.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Slot {
    start: u32,
    frequency: u32,
}

impl Rans {
    /// The model for these counts.
    pub fn new(counts: &[u64]) -> Result<Self, CodeError> {
        check_alphabet(counts.len() as u64)?;
        let least = (ceil_log2(counts.len()) + 1).max(*PRECISIONS.start());
        let models = (least..=*PRECISIONS.end()).map(|precision| {
            let frequencies = normalised(counts, precision);
            let cost =
                (payload_cost(&frequencies, precision, counts) >> 32) as u64 + table_bits(&frequencies);
            (cost, precision, frequencies)
        });
        let (_, precision, frequencies) = models.min_by_key(|(cost, ..)| *cost).unwrap_or_default();
        Ok(Self::from_frequencies(precision, &frequencies))
    }

    /// The model with these frequencies, each at least 1, which sum to 2^`precision`.
    fn from_frequencies(precision: u32, frequencies: &[u32]) -> Self {
        let mut start = 0;
        let symbols: Vec<Slot> = frequencies
            .iter()
            .map(|frequency| {
                let slot = Slot { start, frequency: *frequency };
                start += frequency;
                slot
            })
            .collect();
        let bucket_bits = (ceil_log2(symbols.len()) + 3).clamp(8, precision);
        let bucket_shift = precision - bucket_bits;
        let mut owner = 0;
        let buckets = (0..1u32 << bucket_bits)
            .map(|bucket| {
                let slot = bucket << bucket_shift;
                while symbols.get(owner + 1).is_some_and(|next| next.start <= slot) {
                    owner += 1;
                }
                owner as u16
            })
            .collect();
        Self { precision, symbols, buckets, bucket_shift }
    }

    /// P: frequencies are out of 2^P.
    pub const fn precision(&self) -> u32 {
        self.precision
    }

    /// Frequency of each symbol, out of 2^P.
    pub fn frequencies(&self) -> impl Iterator<Item = u32> {
        self.symbols.iter().map(|slot| slot.frequency)
    }

    /// Bits of information in symbols with these counts under this model, rounded up; what a payload takes beyond that
    /// is less than 64 bits per state.
    pub fn payload_bits(&self, counts: &[u64]) -> u64 {
        let frequencies: Vec<u32> = self.frequencies().collect();
        let cost = payload_cost(&frequencies, self.precision, counts);
        ((cost + u128::from(u32::MAX)) >> 32) as u64
    }

    /// Appends the code of `symbols` to `out`; returns its number of bits.
    pub fn encode(&self, symbols: &[u16], out: &mut Vec<u8>) -> Result<u64, CodeError> {
        if symbols.is_empty() {
            return Ok(0);
        }
        let mut words = Vec::new();
        let start = out.len();
        if symbols.len() < INTERLEAVED_FROM {
            let mut state = LOWEST;
            for symbol in symbols.iter().rev() {
                state = self.push(state, *symbol, &mut words)?;
            }
            out.extend_from_slice(&state.to_le_bytes());
        } else {
            let mut states = [LOWEST; STATES];
            let (groups, rest) = symbols.as_chunks::<STATES>();
            for group in std::iter::once(rest).chain(groups.iter().rev().map(<[u16; STATES]>::as_slice)) {
                for (state, symbol) in states.iter_mut().zip(group).rev() {
                    *state = self.push(*state, *symbol, &mut words)?;
                }
            }
            out.extend(states.iter().flat_map(|state| state.to_le_bytes()));
        }
        out.extend(words.iter().rev().flat_map(|word| word.to_le_bytes()));
        Ok((out.len() - start) as u64 * 8)
    }

    /// Pushes a symbol onto a state.
    #[inline]
    fn push(&self, mut state: u64, symbol: u16, words: &mut Vec<u32>) -> Result<u64, CodeError> {
        let Some(slot) = self.symbols.get(usize::from(symbol)) else {
            return Err(CodeError::no_code(u32::from(symbol), self.alphabet()));
        };
        let frequency = u64::from(slot.frequency);
        if state >= frequency << (63 - self.precision) {
            words.push(state as u32);
            state >>= 32;
        }
        let (quotient, remainder) = (state / frequency, state % frequency);
        Ok((quotient << self.precision) + remainder + u64::from(slot.start))
    }

    /// Appends the `count` symbols that `bytes` holds to `symbols`; returns the number of bits they took.
    pub fn decode(&self, bytes: &[u8], count: usize, symbols: &mut Vec<u16>) -> Result<u64, CodeError> {
        reserve(symbols, count)?;
        let (head, tail) = match count {
            0 => (0, bytes),
            1..INTERLEAVED_FROM => (1, bytes.get(8..).unwrap_or_default()),
            _ => (STATES, bytes.get(8 * STATES..).unwrap_or_default()),
        };
        if bytes.len() < 8 * head || !tail.len().is_multiple_of(4) {
            return Err(damaged(
                "rANS payload",
                format!("{head} states and whole words"),
                format!("{} bytes", bytes.len()),
            ));
        }
        let mut words = tail.as_chunks::<4>().0.iter();
        let mut states = [LOWEST; STATES];
        for (state, bytes) in states.iter_mut().zip(bytes.as_chunks::<8>().0).take(head) {
            *state = u64::from_le_bytes(*bytes);
            if !(LOWEST..1 << 63).contains(state) {
                return Err(damaged("rANS payload", "a state from 2^31 to 2^63", *state));
            }
        }
        if head == 1 {
            let [state, ..] = &mut states;
            for _ in 0..count {
                symbols.push(self.pop(state, &mut words)?);
            }
        } else {
            for _ in 0..count / STATES {
                let [a, b, c, d] = &mut states;
                let group = [
                    self.pop(a, &mut words)?,
                    self.pop(b, &mut words)?,
                    self.pop(c, &mut words)?,
                    self.pop(d, &mut words)?,
                ];
                symbols.extend_from_slice(&group);
            }
            for state in states.iter_mut().take(count % STATES) {
                symbols.push(self.pop(state, &mut words)?);
            }
        }
        if states != [LOWEST; STATES] || words.next().is_some() {
            return Err(damaged("rANS payload", "final states of 2^31 and no word left", "others"));
        }
        Ok(bytes.len() as u64 * 8)
    }

    /// Pops a symbol off a state.
    #[inline]
    fn pop(&self, state: &mut u64, words: &mut std::slice::Iter<'_, [u8; 4]>) -> Result<u16, CodeError> {
        let number = (*state as u32) & ((1 << self.precision) - 1);
        let mut symbol = self.buckets.get((number >> self.bucket_shift) as usize).copied().unwrap_or(0);
        let mut slot = self.symbols.get(usize::from(symbol)).copied().unwrap_or_default();
        while number.wrapping_sub(slot.start) >= slot.frequency {
            symbol = symbol.wrapping_add(1);
            slot = self.symbols.get(usize::from(symbol)).copied().ok_or_else(no_symbol)?;
        }
        *state = u64::from(slot.frequency) * (*state >> self.precision) + u64::from(number - slot.start);
        if *state < LOWEST {
            let Some(word) = words.next() else {
                return Err(damaged("rANS payload", "another word", "its end"));
            };
            *state = *state << 32 | u64::from(u32::from_le_bytes(*word));
        }
        Ok(symbol)
    }
}

#[cold]
fn no_symbol() -> CodeError {
    damaged("rANS payload", "a slot with a symbol", "none")
}

/// Bits that the frequency table takes.
fn table_bits(frequencies: &[u32]) -> u64 {
    let precision = frequencies.iter().sum::<u32>().ilog2();
    let mut previous = precision - 1;
    let bits = frequencies.iter().map(|frequency| {
        let top = frequency.ilog2();
        let difference = folded(top as i32 - std::mem::replace(&mut previous, top) as i32);
        u64::from(super::bits::golomb_bits(difference, 0) + top)
    });
    4 + bits.sum::<u64>()
}

/// Frequencies of at least 1 that sum to 2^`precision` and cost the counted symbols next to the least bits.
///
/// Starts from the share of each count, rounded down, and hands out (or takes back) what is left one by one where it
/// gains most (costs least): the gain of symbol i is `c_i·log2((f+1)/f)`, and log2((f+1)/f) is proportional to
/// 1/(2f+1) up to terms in f⁻³. Ties go to the lower symbol. Where nothing was counted, all symbols share alike.
fn normalised(counts: &[u64], precision: u32) -> Vec<u32> {
    let goal = 1u64 << precision;
    let total: u128 = counts.iter().map(|count| u128::from(*count)).sum();
    if total == 0 {
        return normalised(&vec![1; counts.len()], precision);
    }
    let share = |count: &u64| ((u128::from(*count) << precision) / total) as u32;
    let mut frequencies: Vec<u32> = counts.iter().map(|count| share(count).max(1)).collect();
    let sum: u64 = frequencies.iter().map(|frequency| u64::from(*frequency)).sum();
    let ratio = |count: u64, odd: u32| (u128::from(count) << 32) / u128::from(odd);
    if sum < goal {
        let gain = |i: usize, frequency: u32| (ratio(counts[i], 2 * frequency + 1), Reverse(i));
        let mut heap: BinaryHeap<_> = frequencies.iter().enumerate().map(|(i, f)| gain(i, *f)).collect();
        for _ in sum..goal {
            let Some((_, Reverse(i))) = heap.pop() else { break };
            frequencies[i] += 1;
            heap.push(gain(i, frequencies[i]));
        }
    } else {
        let loss = |i: usize, frequency: u32| Reverse((ratio(counts[i], 2 * frequency - 1), i));
        let shrinkable = frequencies.iter().enumerate().filter(|(_, f)| **f > 1);
        let mut heap: BinaryHeap<_> = shrinkable.map(|(i, f)| loss(i, *f)).collect();
        for _ in goal..sum {
            let Some(Reverse((_, i))) = heap.pop() else { break };
            frequencies[i] -= 1;
            if frequencies[i] > 1 {
                heap.push(loss(i, frequencies[i]));
            }
        }
    }
    frequencies
}

/// Σ count·log2(2^P / frequency) with 32 fraction bits.
fn payload_cost(frequencies: &[u32], precision: u32, counts: &[u64]) -> u128 {
    let whole = u64::from(precision) << 32;
    counts
        .iter()
        .zip(frequencies)
        .map(|(count, f)| u128::from(*count) * u128::from(whole - log2_fixed(*f)))
        .sum()
}

/// log2 of a positive number with 32 fraction bits, good to about 30, by repeated squaring of the mantissa.
fn log2_fixed(value: u32) -> u64 {
    let whole = value.ilog2();
    let mut mantissa = u64::from(value) << (31 - whole);
    let mut fraction = 0;
    for _ in 0..32 {
        mantissa = (mantissa * mantissa) >> 31;
        let carry = mantissa >> 32;
        fraction = fraction << 1 | carry;
        mantissa >>= carry;
    }
    u64::from(whole) << 32 | fraction
}

impl SymbolCode for Rans {
    fn of_counts(counts: &[u64]) -> Result<Self, CodeError> {
        Self::new(counts)
    }

    fn alphabet(&self) -> usize {
        self.symbols.len()
    }

    fn predicted_bits(&self, counts: &[u64]) -> u64 {
        self.payload_bits(counts)
    }

    fn encode(&self, symbols: &[u16], _: Rows, out: &mut Vec<u8>) -> Result<u64, CodeError> {
        self.encode(symbols, out)
    }

    fn decode(&self, bytes: &[u8], count: usize, _: Rows, symbols: &mut Vec<u16>) -> Result<u64, CodeError> {
        self.decode(bytes, count, symbols)
    }

    /// Writes the frequencies, but not the size of the alphabet.
    ///
    /// P − 12 in 4 bits; then for each frequency the position of its top bit as a difference from the one before (from
    /// P − 1 for the first), folded to 0, −1, 1, −2, 2…, in the exponential Golomb code of order 0, and its lower bits.
    fn write_table(&self, writer: &mut BitWriter<'_>) {
        writer.write(self.precision - PRECISIONS.start(), 4);
        let mut previous = self.precision - 1;
        for frequency in self.frequencies() {
            let top = frequency.ilog2();
            writer.write_golomb(folded(top as i32 - previous as i32), 0);
            writer.write(frequency - (1 << top), top);
            previous = top;
        }
    }

    /// Reads the frequencies of an alphabet of this size.
    fn read_table(alphabet: usize, reader: &mut BitReader<'_>) -> Result<Self, CodeError> {
        check_alphabet(alphabet as u64)?;
        let precision = reader.read(4)? + PRECISIONS.start();
        if !PRECISIONS.contains(&precision) {
            return Err(damaged("rANS table", "a precision of 12 to 20", precision));
        }
        let mut top = precision - 1;
        let mut sum = 0u64;
        let mut frequencies = Vec::with_capacity(alphabet);
        for _ in 0..alphabet {
            top = top.wrapping_add_signed(unfolded(reader.read_golomb(0)?));
            if top > precision {
                return Err(damaged("rANS table", format!("a top bit of 0 to {precision}"), top));
            }
            let frequency = reader.read(top)? | 1 << top;
            sum += u64::from(frequency);
            frequencies.push(frequency);
        }
        if sum != 1 << precision {
            return Err(damaged("rANS table", format!("a sum of {}", 1 << precision), sum));
        }
        Ok(Self::from_frequencies(precision, &frequencies))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_integer_logarithm_agrees_with_libm() {
        for value in [1u32, 2, 3, 5, 1000, 65535, 1 << 20, 999_999] {
            let expected = libm::log2(f64::from(value));
            assert!((log2_fixed(value) as f64 / 4_294_967_296.0 - expected).abs() < 1e-8, "{value}");
        }
    }

    #[test]
    fn frequencies_sum_to_the_power_of_two_and_are_never_zero() {
        let skewed: Vec<u64> = (0..300).map(|i| if i == 7 { 1 << 50 } else { i % 3 }).collect();
        for counts in [&[0, 0, 0][..], &[1], &[u64::MAX, 1, 0], &[3, 3, 1], &skewed] {
            for precision in [12, 16, 20] {
                let frequencies = normalised(counts, precision);
                assert_eq!(frequencies.iter().sum::<u32>(), 1 << precision);
                assert!(frequencies.iter().all(|frequency| *frequency > 0));
            }
        }
    }

    #[test]
    fn no_single_exchange_of_frequency_lowers_the_cost_noticeably() {
        let counts = [1000, 1, 17, 400, 0, 33, 90_000, 5, 5, 5, 256];
        let frequencies = normalised(&counts, 12);
        let cost = payload_cost(&frequencies, 12, &counts);
        for from in 0..counts.len() {
            for to in (0..counts.len()).filter(|to| *to != from && frequencies[from] > 1) {
                let mut other = frequencies.clone();
                other[from] -= 1;
                other[to] += 1;
                let change = payload_cost(&other, 12, &counts) as i128 - cost as i128;
                assert!(change > -(cost as i128 / 10_000), "{from} to {to}: {change}");
            }
        }
    }

    #[test]
    fn a_single_symbol_takes_its_state_only() {
        let model = Rans::new(&[9]).unwrap();
        let mut bytes = Vec::new();
        assert_eq!(model.encode(&[0; 1000], &mut bytes), Ok(64));
        let mut symbols = Vec::new();
        assert_eq!(model.decode(&bytes, 1000, &mut symbols), Ok(64));
        assert_eq!(symbols, [0; 1000]);
    }

    #[test]
    fn runs_around_the_interleaving_length_read_back() {
        let model = Rans::new(&[5, 1, 0, 90]).unwrap();
        for count in (0..9).chain(INTERLEAVED_FROM - 1..INTERLEAVED_FROM + 6) {
            let symbols: Vec<u16> = (0..count).map(|i| [3, 3, 0, 3, 1, 3, 3, 2][i * 5 % 8]).collect();
            let (mut bytes, mut decoded) = (Vec::new(), Vec::new());
            let bits = model.encode(&symbols, &mut bytes).unwrap();
            assert_eq!(model.decode(&bytes, count, &mut decoded), Ok(bits));
            assert_eq!(decoded, symbols);
            assert!(model.decode(&bytes, count + 1, &mut decoded).is_err());
        }
    }

    #[test]
    fn tables_read_back_and_cost_what_is_predicted() {
        let wide: Vec<u64> = (0..65536).map(|i| i * i % 1009).collect();
        for counts in [&[1][..], &[0, 0], &[5, 1, 0, 90], &[1 << 40, 1, 1], &wide] {
            let model = Rans::new(counts).unwrap();
            let mut bytes = Vec::new();
            let mut writer = BitWriter::new(&mut bytes);
            model.write_table(&mut writer);
            assert_eq!(writer.finish(), table_bits(&model.frequencies().collect::<Vec<_>>()));
            assert_eq!(Rans::read_table(counts.len(), &mut BitReader::new(&bytes)), Ok(model));
        }
    }
}
