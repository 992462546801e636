//! Context-adaptive binary arithmetic coding: symbols as binary decisions, each with a probability that learns.
//!
//! A symbol becomes a signed number v, by its distance from the symbol that stands for zero; v becomes decisions: is it zero,
//! is it negative, in which class is its magnitude (1, 2, 3, 4, then classes that double), and where in the class. The probability of
//! a decision is chosen by what the neighbourhood lets expect: a bucket, in half octaves, of a weighted mean of the magnitudes to the
//! left and above and of running means along the row and down the column. Weights of one input or output channel share a
//! scale, and that is what the running means find. Probabilities learn ([`super::binary`]); they start where the whole group of tensors has it on average, which the table stores, so that short tensors
//! do not pay for learning and blocks stay independent.
//!
//! Cost: about three decisions per symbol at two bits, six at five bits; memory for one row.

use super::binary::{Counting, Decisions, Decoder, Encoder, Model, ONE};
use super::bits::{BitReader, BitWriter};
use super::{CodeError, check_alphabet, damaged, reserve};

/// Buckets of the expected magnitude.
const BUCKETS: usize = 40;
/// Classes of magnitudes: 1, 2, 3, 4, then 2, 4, 8, … wide.
const CLASSES: usize = 20;
/// First context of each kind of decision.
const SIGN: usize = BUCKETS;
const PREFIX: usize = SIGN + 9;
const PLACE: usize = PREFIX + BUCKETS * CLASSES;
const CONTEXTS: usize = PLACE + 4 * CLASSES;

/// Weights of what the expectation is made of: two to the left, one above, the row's and the column's running mean.
const LEFT: u32 = 1;
const LEFT_2: u32 = 1;
const ABOVE: u32 = 1;
const ROW: u32 = 6;
const COLUMN: u32 = 6;
/// How fast the running means move, as shifts.
const ROW_RATE: u32 = 4;
const COLUMN_RATE: u32 = 3;
/// A start without statistics.
const EVEN: u8 = 0;
/// Times that a decision must have been taken for its start to be stored.
const WORTH_STORING: u64 = 16;

/// Order of the exponential Golomb codes in the table.
const CENTRE_ORDER: u32 = 4;
const SKIP_ORDER: u32 = 0;

/// Where a run of symbols lies in its tensor.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rows {
    /// Elements from one row to the next; 0 where there are no rows.
    pub length: usize,
    /// Column of the first symbol.
    pub start: usize,
}

/// How often each decision went either way, by context; what a table's starts are made of.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ContextCounts(Vec<[u64; 2]>);

impl ContextCounts {
    /// Adds the decisions of another part.
    pub fn merge(&mut self, other: &Self) {
        if self.0.len() < other.0.len() {
            self.0.resize(other.0.len(), [0; 2]);
        }
        for (mine, theirs) in self.0.iter_mut().zip(&other.0) {
            mine[0] += theirs[0];
            mine[1] += theirs[1];
        }
    }
}

/// How symbols are numbered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Numbering {
    /// Symbol 0 is an exact zero apart from the ascending others.
    pub pruned: bool,
    /// The symbol of the number 0; of a pruned alphabet, the first positive one.
    pub centre: u16,
}

impl Numbering {
    /// The numbering of an alphabet with these ascending levels, behind an exact zero if `pruned`.
    pub fn of_levels(levels: &[f32], pruned: bool) -> Self {
        let centre = if pruned {
            1 + levels.iter().take_while(|level| **level < 0.0).count()
        } else {
            let nearest = levels.iter().enumerate().min_by(|a, b| a.1.abs().total_cmp(&b.1.abs()));
            nearest.map_or(0, |(index, _)| index)
        };
        Self { pruned, centre: centre as u16 }
    }

    fn number(self, symbol: u16) -> i32 {
        let (symbol, centre) = (i32::from(symbol), i32::from(self.centre));
        match symbol {
            _ if !self.pruned => symbol - centre,
            0 => 0,
            _ if symbol < centre => symbol - centre,
            _ => symbol - centre + 1,
        }
    }

    fn symbol(self, number: i32) -> Option<u16> {
        let centre = i32::from(self.centre);
        let symbol = match number {
            _ if !self.pruned => number + centre,
            0 => 0,
            // A negative number must not land on the exact zero.
            _ if number < 0 => Some(number + centre).filter(|symbol| *symbol > 0)?,
            _ => number + centre - 1,
        };
        u16::try_from(symbol).ok()
    }
}

/// A table: the numbering of the alphabet and where probabilities start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Context {
    alphabet: usize,
    numbering: Numbering,
    starts: Vec<u8>,
}

/// Class of a magnitude, bits of the place in it, and the place.
fn class_of(magnitude: u32) -> (usize, u32, u32) {
    match magnitude {
        0 => (0, 0, 0),
        1..=4 => (magnitude as usize - 1, 0, 0),
        _ => {
            let above = magnitude - 5;
            let octave = (above / 2 + 1).ilog2();
            (4 + octave as usize, octave + 1, above - 2 * ((1 << octave) - 1))
        }
    }
}

/// The first magnitude of a class and the bits of the place in it.
fn class_start(class: usize) -> (u32, u32) {
    match class {
        0..=3 => (class as u32 + 1, 0),
        _ => (5 + 2 * ((1 << (class - 4)) - 1), class as u32 - 3),
    }
}

/// Codes one number: the decisions of `number` when encoding, whatever number `decisions` has when decoding.
fn code(decisions: &mut impl Decisions, bucket: usize, signs: usize, number: i32) -> i32 {
    if !decisions.bit(bucket, number != 0) {
        return 0;
    }
    let negative = decisions.bit(SIGN + signs, number < 0);
    let (wanted, _, place) = class_of(number.unsigned_abs());
    let mut class = 0;
    while class < CLASSES - 1 && decisions.bit(PREFIX + bucket * CLASSES + class, class < wanted) {
        class += 1;
    }
    let (start, bits) = class_start(class);
    let mut found = 0;
    if bits > 0 {
        let first = decisions.bit(PLACE + 4 * class, place >> (bits - 1) & 1 == 1);
        found = u32::from(first);
        if bits > 1 {
            let second =
                decisions.bit(PLACE + 4 * class + 1 + usize::from(first), place >> (bits - 2) & 1 == 1);
            found = found << 1 | u32::from(second);
            if bits > 2 {
                let rest = bits - 2;
                found = found << rest | decisions.even(place & ((1 << rest) - 1), rest);
            }
        }
    }
    let magnitude = (start + found) as i32;
    if negative { -magnitude } else { magnitude }
}

/// What has been coded around the next symbol. Magnitudes are in 1/256.
struct Neighbourhood {
    rows: Rows,
    column: usize,
    above: Vec<i32>,
    columns: Vec<u32>,
    left: i32,
    left_2: i32,
    /// Symbols coded in this row.
    in_row: usize,
    row: u32,
    first_row: bool,
}

impl Neighbourhood {
    /// Before the first of `count` symbols.
    fn new(rows: Rows, count: usize) -> Self {
        // Without a second row there is nothing above.
        let tall = rows.length > 0 && rows.length < count;
        let rows = if tall {
            Rows { length: rows.length, start: rows.start % rows.length }
        } else {
            Rows::default()
        };
        Self {
            rows,
            column: rows.start,
            above: vec![0; rows.length],
            columns: vec![0; rows.length],
            left: 0,
            left_2: 0,
            in_row: 0,
            row: 0,
            first_row: true,
        }
    }

    /// The bucket of the expected magnitude, and the context of the sign.
    fn expectation(&self) -> (usize, usize) {
        let magnitude = |number: i32| number.unsigned_abs() << 8;
        let above = self.above.get(self.column).copied().unwrap_or(0);
        let (up, column) = if self.first_row {
            (self.row, self.row)
        } else {
            (magnitude(above), self.columns.get(self.column).copied().unwrap_or(self.row))
        };
        let left = if self.in_row > 0 { magnitude(self.left) } else { self.row };
        let left_2 = if self.in_row > 1 { magnitude(self.left_2) } else { self.row };
        let sum = LEFT * left + LEFT_2 * left_2 + ABOVE * up + ROW * self.row + COLUMN * column;
        let mean = sum / (LEFT + LEFT_2 + ABOVE + ROW + COLUMN);
        let bucket = match mean.checked_ilog2() {
            None => 0,
            Some(0) => 1,
            Some(octave) => ((2 * octave + (mean >> (octave - 1) & 1)) as usize + 1).min(BUCKETS - 1),
        };
        let sign = |number: i32| (number.signum() + 1) as usize;
        (bucket, 3 * sign(self.left) + sign(above))
    }

    fn push(&mut self, number: i32) {
        let magnitude = (number.unsigned_abs() << 8) as i32;
        let towards = |mean: u32, rate: u32| (mean as i32 + ((magnitude - mean as i32) >> rate)) as u32;
        self.row = towards(self.row, ROW_RATE);
        if let Some(column) = self.columns.get_mut(self.column) {
            // Nothing is known of a new column but what its row has.
            let (mean, rate) = if self.first_row { (self.row, 2) } else { (*column, COLUMN_RATE) };
            *column = towards(mean, rate);
        }
        if let Some(above) = self.above.get_mut(self.column) {
            *above = number;
        }
        self.left_2 = self.left;
        self.left = number;
        self.in_row += 1;
        self.column += 1;
        if self.rows.length > 0 && self.column == self.rows.length {
            (self.column, self.in_row, self.left, self.left_2) = (0, 0, 0, 0);
            self.first_row = false;
        }
    }
}

/// Codes `count` numbers, each asked for or told by `each`.
fn walk<E>(
    decisions: &mut impl Decisions,
    rows: Rows,
    count: usize,
    mut each: impl FnMut(Option<i32>) -> Result<i32, E>,
) -> Result<(), E> {
    let mut around = Neighbourhood::new(rows, count);
    for _ in 0..count {
        let wanted = each(None)?;
        let (bucket, signs) = around.expectation();
        let number = code(decisions, bucket, signs, wanted);
        each(Some(number))?;
        around.push(number);
    }
    Ok(())
}

/// The probability that a stored start stands for: 1 to 31 below one half, 33 to 63 above, in steps of 27/32.
fn start_probability(start: u8) -> u32 {
    let below = (0..start % 32).fold(ONE / 2, |p, _| p * 27 / 32);
    if start < 32 { below } else { ONE - below }
}

/// The start nearest to a probability.
fn nearest_start(ones: u64, all: u64) -> u8 {
    let probability = (ones * u64::from(ONE) / all.max(1)) as u32;
    (0..64).min_by_key(|start| start_probability(*start).abs_diff(probability)).unwrap_or(EVEN)
}

impl Context {
    /// The table of an alphabet whose probabilities all start at one half.
    pub fn even(alphabet: usize, numbering: Numbering) -> Result<Self, CodeError> {
        let alphabet = check_alphabet(alphabet as u64)?;
        if usize::from(numbering.centre) > alphabet {
            return Err(damaged("context table", format!("a centre up to {alphabet}"), numbering.centre));
        }
        Ok(Self { alphabet, numbering, starts: vec![EVEN; CONTEXTS] })
    }

    /// The same with starts where `counts` has the decisions on average.
    pub fn starting_from(mut self, counts: &ContextCounts) -> Self {
        for (start, [zeros, ones]) in self.starts.iter_mut().zip(&counts.0) {
            let all = zeros + ones;
            *start = if all < WORTH_STORING { EVEN } else { nearest_start(*ones, all) };
        }
        self
    }

    /// Number of symbols.
    pub fn alphabet(&self) -> usize {
        self.alphabet
    }

    fn model(&self) -> Model {
        Model::starting(self.starts.iter().map(|start| start_probability(*start)))
    }

    /// Adds the decisions of a run to `counts`.
    pub fn count(&self, symbols: &[u16], rows: Rows, counts: &mut ContextCounts) {
        let mut counting = Counting(std::mem::take(&mut counts.0));
        counting.0.resize(CONTEXTS, [0; 2]);
        let mut next = symbols.iter();
        let each = |told: Option<i32>| {
            let number = told.or_else(|| next.next().map(|symbol| self.numbering.number(*symbol)));
            Ok::<i32, std::convert::Infallible>(number.unwrap_or(0))
        };
        let Ok(()) = walk(&mut counting, rows, symbols.len(), each);
        counts.0 = counting.0;
    }

    /// Appends the code of `symbols` to `out`; returns its number of bits, whole bytes.
    pub fn encode(&self, symbols: &[u16], rows: Rows, out: &mut Vec<u8>) -> Result<u64, CodeError> {
        if symbols.is_empty() {
            return Ok(0);
        }
        let before = out.len();
        let mut encoder = Encoder::new(self.model(), out);
        let mut next = symbols.iter();
        walk(&mut encoder, rows, symbols.len(), |told| match (told, next.as_slice().first()) {
            (Some(number), _) => Ok(number),
            (None, Some(symbol)) if usize::from(*symbol) < self.alphabet => {
                next.next();
                Ok(self.numbering.number(*symbol))
            }
            (None, symbol) => {
                let symbol = symbol.map_or(0, |symbol| u32::from(*symbol));
                Err(CodeError::NoCode { symbol, alphabet: self.alphabet as u32 })
            }
        })?;
        encoder.finish();
        Ok((out.len() - before) as u64 * 8)
    }

    /// Appends the `count` symbols that `bytes` holds, and nothing else, to `symbols`; returns the number of bits they took.
    pub fn decode(
        &self,
        bytes: &[u8],
        count: usize,
        rows: Rows,
        symbols: &mut Vec<u16>,
    ) -> Result<u64, CodeError> {
        const PART: &str = "context code";
        if count == 0 {
            return if bytes.is_empty() {
                Ok(0)
            } else {
                Err(damaged(PART, "no bytes for no symbols", bytes.len()))
            };
        }
        reserve(symbols, count)?;
        let mut decoder = Decoder::new(self.model(), bytes);
        walk(&mut decoder, rows, count, |told| {
            if let Some(number) = told {
                let symbol =
                    self.numbering.symbol(number).filter(|symbol| usize::from(*symbol) < self.alphabet);
                symbols.push(symbol.ok_or_else(|| {
                    damaged(PART, format!("a symbol below {}", self.alphabet), format!("number {number}"))
                })?);
            }
            Ok(0)
        })?;
        decoder.finish().map_err(|read| damaged(PART, format!("{read} bytes"), bytes.len()))?;
        Ok(bytes.len() as u64 * 8)
    }

    pub(super) fn write_table(&self, writer: &mut BitWriter) {
        writer.write(u32::from(self.numbering.pruned), 1);
        writer.write_golomb(u32::from(self.numbering.centre), CENTRE_ORDER);
        let mut skipped = 0;
        for start in &self.starts {
            if *start == EVEN {
                skipped += 1;
            } else {
                writer.write_golomb(skipped, SKIP_ORDER);
                writer.write(u32::from(*start), 6);
                skipped = 0;
            }
        }
        writer.write_golomb(skipped, SKIP_ORDER);
    }

    pub(super) fn read_table(alphabet: usize, reader: &mut BitReader) -> Result<Self, CodeError> {
        let pruned = reader.read(1)? == 1;
        let centre = reader.read_golomb(CENTRE_ORDER)?;
        let centre =
            u16::try_from(centre).map_err(|_| damaged("context table", "a centre below 65536", centre))?;
        let mut table = Self::even(alphabet, Numbering { pruned, centre })?;
        let mut at = 0usize;
        loop {
            at = at.saturating_add(reader.read_golomb(SKIP_ORDER)? as usize);
            if at == CONTEXTS {
                return Ok(table);
            }
            let Some(start) = table.starts.get_mut(at) else {
                return Err(damaged("context table", format!("{CONTEXTS} starts"), at));
            };
            *start = match reader.read(6)? as u8 {
                EVEN => return Err(damaged("context table", "starts other than one half", EVEN)),
                start => start,
            };
            at += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quantize::random::SplitMix64;

    fn plain(alphabet: usize, centre: u16) -> Context {
        Context::even(alphabet, Numbering { pruned: false, centre }).unwrap()
    }

    fn survives(table: &Context, symbols: &[u16], rows: Rows) -> usize {
        let (mut bytes, mut decoded) = (vec![7], vec![9]);
        let bits = table.encode(symbols, rows, &mut bytes).unwrap();
        assert_eq!(bits, 8 * (bytes.len() as u64 - 1));
        assert_eq!(table.decode(&bytes[1..], symbols.len(), rows, &mut decoded).unwrap(), bits);
        assert_eq!(decoded[1..], *symbols);
        bytes.len() - 1
    }

    /// Symbols of a two-sided geometric source whose scale differs from column to column.
    fn source(seed: u64, count: usize, row: usize) -> Vec<u16> {
        let mut random = SplitMix64::new(seed);
        (0..count)
            .map(|i| {
                let scale = 0.5 + (i % row) as f64 / row as f64 * 12.0;
                let x = -scale * libm::log(1.0 - random.unit());
                let signed = if random.unit() < 0.5 { x } else { -x };
                (libm::rint(signed).clamp(-60.0, 60.0) + 60.0) as u16
            })
            .collect()
    }

    #[test]
    fn classes_and_starts_are_each_others_inverse() {
        for magnitude in 1..=65_535u32 {
            let (class, bits, place) = class_of(magnitude);
            assert!(class < CLASSES && place < 1 << bits, "{magnitude}");
            assert_eq!(class_start(class), (magnitude - place, bits), "{magnitude}");
        }
    }

    #[test]
    fn every_run_survives() {
        for (count, row) in [(1, 0), (2, 1), (7, 3), (1000, 0), (1000, 10), (4096, 64), (5000, 7000)] {
            for seed in 0..4 {
                let symbols = source(seed, count, row.max(1));
                for start in [0, row / 2] {
                    survives(&plain(121, 60), &symbols, Rows { length: row, start });
                }
            }
        }
        let extremes: Vec<u16> = (0..200).map(|i| if i % 3 == 0 { 65_535 } else { i }).collect();
        survives(&plain(65_536, 0), &extremes, Rows::default());
        survives(&plain(65_536, 65_535), &extremes, Rows { length: 20, start: 0 });
        survives(&plain(1, 0), &[0; 5000], Rows::default());
    }

    #[test]
    fn pruned_alphabets_keep_their_zero_apart() {
        let numbering = Numbering::of_levels(&[-0.5, -0.1, 0.2, 0.7], true);
        assert_eq!(numbering, Numbering { pruned: true, centre: 3 });
        let numbers: Vec<i32> = (0..5).map(|symbol| numbering.number(symbol)).collect();
        assert_eq!(numbers, [0, -2, -1, 1, 2]);
        for symbol in 0..5 {
            assert_eq!(numbering.symbol(numbering.number(symbol)), Some(symbol));
        }
        assert_eq!(numbering.symbol(-3), None);
        let table = Context::even(5, numbering).unwrap();
        let mut random = SplitMix64::new(5);
        let symbols: Vec<u16> =
            (0..3000).map(|_| if random.unit() < 0.9 { 0 } else { (random.unit() * 5.0) as u16 }).collect();
        let bytes = survives(&table, &symbols, Rows { length: 100, start: 0 });
        assert!(bytes < 3000 / 8 + 60, "{bytes}");
        // All negative, all positive.
        assert_eq!(Numbering::of_levels(&[-2.0, -1.0], true).centre, 3);
        assert_eq!(Numbering::of_levels(&[1.0, 2.0], true).centre, 1);
        assert_eq!(Numbering::of_levels(&[-1.0, 0.1, 2.0], false).centre, 1);
    }

    #[test]
    fn scales_that_differ_between_columns_cost_less_than_the_entropy_of_symbols() {
        let (count, row) = (60_000, 300);
        let symbols = source(3, count, row);
        let mut histogram = vec![0u64; 121];
        for symbol in &symbols {
            histogram[usize::from(*symbol)] += 1;
        }
        let entropy = crate::rate_distortion::entropy_bits(&histogram) * count as f64 / 8.0;
        let rows = Rows { length: row, start: 0 };
        let blind = survives(&plain(121, 60), &symbols, Rows::default()) as f64;
        let mut counts = ContextCounts::default();
        plain(121, 60).count(&symbols, rows, &mut counts);
        let table = plain(121, 60).starting_from(&counts);
        let seeing = survives(&table, &symbols, rows) as f64;
        assert!(seeing < 0.98 * entropy && seeing < 0.99 * blind, "{seeing} {blind} {entropy}");
    }

    #[test]
    fn starts_save_short_runs_the_learning() {
        let long = source(8, 50_000, 1);
        let mut counts = ContextCounts::default();
        plain(121, 60).count(&long, Rows::default(), &mut counts);
        let (cold, warm) = (plain(121, 60), plain(121, 60).starting_from(&counts));
        let short = source(9, 300, 1);
        let (warm, cold) =
            (survives(&warm, &short, Rows::default()), survives(&cold, &short, Rows::default()));
        assert!(warm < cold, "{warm} {cold}");
    }

    #[test]
    fn tables_survive_and_lying_ones_are_refused() {
        let mut counts = ContextCounts::default();
        plain(121, 60).count(&source(1, 9000, 30), Rows { length: 30, start: 0 }, &mut counts);
        for table in [plain(121, 60).starting_from(&counts), plain(2, 0)] {
            let mut bytes = Vec::new();
            let mut writer = BitWriter::new(&mut bytes);
            table.write_table(&mut writer);
            writer.finish();
            assert_eq!(Context::read_table(table.alphabet(), &mut BitReader::new(&bytes)).unwrap(), table);
            assert!(bytes.len() < 200);
        }
        assert!(Context::even(4, Numbering { pruned: false, centre: 9 }).is_err());
    }

    #[test]
    fn damaged_runs_end_in_an_error_or_in_other_symbols() {
        let table = plain(121, 60);
        let symbols = source(2, 500, 10);
        let mut bytes = Vec::new();
        table.encode(&symbols, Rows { length: 10, start: 0 }, &mut bytes).unwrap();
        for at in 0..bytes.len() {
            for mask in [1u8, 0x80, 0xff] {
                let mut broken = bytes.clone();
                broken[at] ^= mask;
                let _ = table.decode(&broken, 500, Rows { length: 10, start: 0 }, &mut Vec::new());
            }
            let cut = table.decode(&bytes[..at], 500, Rows { length: 10, start: 0 }, &mut Vec::new());
            assert!(cut.is_err(), "cut to {at} bytes");
        }
        assert!(table.decode(&[], 0, Rows::default(), &mut Vec::new()).is_ok());
        assert!(table.decode(&[0], 0, Rows::default(), &mut Vec::new()).is_err());
        assert!(table.encode(&[121], Rows::default(), &mut Vec::new()).is_err());
    }
}
