//! Context-adaptive binary arithmetic coding: symbols as binary decisions, each with a probability that learns.
//!
//! A symbol becomes a number, its distance from the symbol that stands for zero, and the number its place in the grid that the
//! [trellis](super::trellis) allows. Neighbours say which place to expect and how far from it the number will be
//! (`super::neighbours`). What is left becomes decisions: is it the expected place, to which side is it, in which class is its
//! distance (1, 2, 3, 4, then classes that double), and where in the class. Probabilities learn (`super::binary`); they start
//! where the whole group of tensors has it on average, which the table stores, so that short tensors do not pay for
//! learning and blocks stay independent.
//!
//! Cost: about three decisions per symbol at two bits, six at five bits; memory for one row.

use super::binary::{BitCosts, Counting, Decisions, Decoder, Encoder, Model, ONE, Trial};
use super::bits::{BitReader, BitWriter};
use super::distance::{CLASSES, class_of, code_distance};
use super::factors;
use super::neighbours::{BUCKETS, Columns, FRACTIONS, Path, Prediction};
use super::predict::{PACES, Predictor, RATES};
use super::trellis::Trellis;
use super::{CodeError, Rows, SymbolCode, check_alphabet, damaged, reserve};

/// First context of each kind of decision; the first kind is: is it the expected place.
const SIGN: usize = 2 * BUCKETS * FRACTIONS * 2;
const PREFIX: usize = SIGN + BUCKETS * FRACTIONS;
const PLACE: usize = PREFIX + 2 * BUCKETS * CLASSES;
const CONTEXTS: usize = PLACE + 4 * CLASSES;

/// A start without statistics.
const EVEN: u8 = 0;
/// Times that a decision is taken in a run before its probability is learnt.
const WORTH_LEARNING: u64 = 8;
/// What learning costs, in decisions at one half in place of the probability learnt.
const LEARNING: f64 = 12.0;
/// Bits of a stored start: its 6 and those of the skip.
const START_BITS: f64 = 8.0;

/// Order of the exponential Golomb codes in the table.
const CENTRE_ORDER: u32 = 4;
const SKIP_ORDER: u32 = 0;

/// Numbers on which ways to learn are tried.
const TRIED: usize = 1 << 13;

/// The part of a file that messages speak of.
const PART: &str = "context code";

/// What becomes of numbers that a predictor is chosen for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Quantized {
    /// Nothing: they are whole.
    Already,
    /// They are rounded to whole numbers.
    ToScalar,
    /// They are rounded to numbers that a trellis allows, every other at a time.
    ToTrellis,
}

impl Quantized {
    /// Mean squared error of a number of some size.
    fn noise(self) -> f64 {
        match self {
            Self::Already => 0.0,
            Self::ToScalar => 1.0 / 12.0,
            Self::ToTrellis => 0.27,
        }
    }

    /// The place that a number may get, small ones rather zero, on the even grid of a trellis.
    fn place(self, number: f32) -> i32 {
        let magnitude = match self {
            Self::Already => return libm::rintf(number) as i32,
            Self::ToScalar => number.abs(),
            Self::ToTrellis => number.abs() / 2.0,
        };
        let place = (magnitude + 0.35) as i32;
        if number < 0.0 { -place } else { place }
    }
}

/// How often each decision went either way, and in how many runs often enough to be learnt, by context; what a table's starts are
/// made of.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct ContextCounts(Vec<[u64; 3]>);

impl ContextCounts {
    /// Adds the decisions of another part.
    pub fn merge(&mut self, other: &Self) {
        if self.0.len() < other.0.len() {
            self.0.resize(other.0.len(), [0; 3]);
        }
        for (mine, theirs) in self.0.iter_mut().zip(&other.0) {
            for (mine, theirs) in mine.iter_mut().zip(theirs) {
                *mine += theirs;
            }
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

    pub(super) fn number(self, symbol: u16) -> i32 {
        let (symbol, centre) = (i32::from(symbol), i32::from(self.centre));
        match symbol {
            _ if !self.pruned => symbol - centre,
            0 => 0,
            _ if symbol < centre => symbol - centre,
            _ => symbol - centre + 1,
        }
    }

    pub(super) fn symbol(self, number: i32) -> Option<u16> {
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
    trellis: Trellis,
    starts: Vec<u8>,
}

/// What decisions cost, in bits, with the probabilities of now: by bucket of either grid and distance below
/// [`PRICED`](RateCosts::PRICED), and the other two by context.
#[derive(Debug)]
pub(super) struct RateCosts {
    /// Of a distance that is not zero, and of going on from the last one.
    distances: Vec<[f32; Self::PRICED]>,
    is_centre: Vec<[f32; 2]>,
    signs: Vec<[f32; 2]>,
}

impl RateCosts {
    /// Distances with a price of their own.
    const PRICED: usize = 16;

    pub(super) fn new() -> Self {
        Self {
            distances: vec![[0.0; Self::PRICED]; 2 * BUCKETS],
            is_centre: vec![[0.0; 2]; SIGN],
            signs: vec![[0.0; 2]; PREFIX - SIGN],
        }
    }

    /// Looks the prices up anew.
    pub(super) fn update(&mut self, model: &Model, costs: &BitCosts) {
        let price = |context: usize, bit: bool| costs.of(model.probability(context), bit);
        for (bucket, prices) in self.distances.iter_mut().enumerate() {
            let (mut class, mut so_far) = (0, 0.0);
            for (distance, slot) in prices.iter_mut().enumerate().skip(1) {
                let (in_class, bits, _) = class_of(distance as u32);
                while class < in_class {
                    so_far += price(PREFIX + bucket * CLASSES + class, true);
                    class += 1;
                }
                *slot = so_far + price(PREFIX + bucket * CLASSES + class, false) + bits as f32;
            }
        }
        for (context, prices) in self.is_centre.iter_mut().enumerate() {
            *prices = [price(context, false), price(context, true)];
        }
        for (context, prices) in self.signs.iter_mut().enumerate() {
            *prices = [price(SIGN + context, false), price(SIGN + context, true)];
        }
    }

    /// The price of the number at `place`.
    #[inline(always)]
    pub(super) fn of(&self, odd: bool, expected: &Prediction, place: i32) -> f32 {
        let is_centre = &self.is_centre[centre_context(odd, expected)];
        let off = place - expected.centre;
        if off == 0 {
            return is_centre[0];
        }
        let sign = self.signs[sign_context(expected) - SIGN][usize::from((off < 0) != expected.below)];
        let bucket = expected.bucket + if odd { BUCKETS } else { 0 };
        let distance = off.unsigned_abs() as usize;
        let prices = &self.distances[bucket];
        let far = prices.get(distance).copied().unwrap_or_else(|| {
            // Beyond: as if every further doubling cost two bits more.
            prices[Self::PRICED - 1] + 2.0 * ((distance / (Self::PRICED - 1)).ilog2() + 1) as f32
        });
        is_centre[1] + sign + far
    }
}

/// The context of whether a number is at the expected place: zeros have a context of their own.
#[inline(always)]
fn centre_context(odd: bool, expected: &Prediction) -> usize {
    let bucket = expected.bucket + if odd { BUCKETS } else { 0 };
    2 * (FRACTIONS * bucket + expected.fraction) + usize::from(expected.centre != 0)
}

/// The context of the side.
#[inline(always)]
fn sign_context(expected: &Prediction) -> usize {
    SIGN + FRACTIONS * expected.bucket + expected.fraction
}

/// Codes the place of a number: the decisions of `place` when encoding, whatever `decisions` has when decoding.
pub(super) fn code(decisions: &mut impl Decisions, odd: bool, expected: &Prediction, place: i32) -> i32 {
    let off = place - expected.centre;
    if !decisions.bit(centre_context(odd, expected), off != 0) {
        return expected.centre;
    }
    let bucket = expected.bucket + if odd { BUCKETS } else { 0 };
    // Sides are told from where the expected value lies.
    let negative = decisions.bit(sign_context(expected), (off < 0) != expected.below) != expected.below;
    let distance =
        code_distance(decisions, |class| PREFIX + bucket * CLASSES + class, Some(PLACE), off.unsigned_abs())
            as i32;
    expected.centre + if negative { -distance } else { distance }
}

/// Codes the factors of `predictor` and `count` numbers, each asked for by `wanted` and told to `found`; false where the
/// trellis does not have one.
fn walk<E>(
    decisions: &mut impl Decisions,
    trellis: &Trellis,
    (rows, mut predictor): (Rows, Predictor),
    count: usize,
    mut wanted: impl FnMut() -> Result<i32, E>,
    mut found: impl FnMut(i32) -> Result<(), E>,
) -> Result<bool, E> {
    predictor.factors.code(decisions, CONTEXTS);
    let mut columns = Columns::new(rows, count, predictor);
    let mut path = Path::default();
    let mut state = 0;
    for _ in 0..count {
        let Some(place) = trellis.place(state, wanted()?) else { return Ok(false) };
        let around = columns.ahead(0);
        let expected = columns.expected(&around);
        let odd = Trellis::is_odd(state);
        let place = code(decisions, odd, &around.prediction(path, expected, trellis.is_scalar(), odd), place);
        let number = trellis.number(state, place);
        state = trellis.next(state, place);
        found(number)?;
        path = path.then(number, expected, columns.pace());
        columns.push(number, around.base, expected, path);
    }
    Ok(true)
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

/// The start of a decision that went so often either way, and in so many runs often enough to be learnt; [`EVEN`] where it saves
/// less than it costs.
fn start_worth_storing([zeros, ones, runs]: [u64; 3]) -> u8 {
    let entropy = crate::rate_distortion::entropy_bits(&[zeros, ones]);
    let saved = runs as f64 * LEARNING * (1.0 - entropy);
    if saved > START_BITS { nearest_start(ones, zeros + ones) } else { EVEN }
}

impl Context {
    /// The table of an alphabet whose probabilities all start at one half.
    pub fn even(alphabet: usize, numbering: Numbering) -> Result<Self, CodeError> {
        let alphabet = check_alphabet(alphabet as u64)?;
        if usize::from(numbering.centre) > alphabet {
            return Err(damaged("context table", format!("a centre up to {alphabet}"), numbering.centre));
        }
        let trellis = Trellis::new(1).unwrap_or_else(|| unreachable!());
        Ok(Self { alphabet, numbering, trellis, starts: vec![EVEN; CONTEXTS] })
    }

    /// The same for symbols that follow a trellis.
    pub fn along(mut self, trellis: Trellis) -> Self {
        self.trellis = trellis;
        self
    }

    /// The same with starts where `counts` has the decisions on average.
    pub fn starting_from(mut self, counts: &ContextCounts) -> Self {
        for (start, counts) in self.starts.iter_mut().zip(&counts.0) {
            *start = start_worth_storing(*counts);
        }
        self
    }

    /// How symbols are numbered.
    pub fn numbering(&self) -> Numbering {
        self.numbering
    }

    /// The trellis that symbols follow.
    pub fn trellis(&self) -> &Trellis {
        &self.trellis
    }

    pub(super) fn model(&self) -> Model {
        let starts = self.starts.iter().map(|start| start_probability(*start));
        Model::starting(starts.chain(std::iter::repeat_n(ONE / 2, factors::CONTEXTS)))
    }

    /// Adds the decisions of a run to `counts`.
    pub fn count(&self, symbols: &[u16], rows: Rows, counts: &mut ContextCounts) {
        self.count_by(symbols, rows, self.predictor(symbols, rows), counts);
    }

    /// The same with the predictor that [`assign`](Self::assign) chose.
    pub fn count_by(&self, symbols: &[u16], rows: Rows, predictor: Predictor, counts: &mut ContextCounts) {
        let mut counting = Counting(vec![[0; 2]; CONTEXTS]);
        let mut next = symbols.iter();
        let wanted = || Ok(next.next().map_or(0, |symbol| self.numbering.number(*symbol)));
        let Ok::<_, std::convert::Infallible>(_) =
            walk(&mut counting, &self.trellis, (rows, predictor), symbols.len(), wanted, |_| Ok(()));
        let run = counting
            .0
            .into_iter()
            .map(|[zeros, ones]| [zeros, ones, u64::from(zeros + ones >= WORTH_LEARNING)]);
        counts.merge(&ContextCounts(run.collect()));
    }

    /// The predictor that codes these symbols in fewest bits.
    pub fn predictor(&self, symbols: &[u16], rows: Rows) -> Predictor {
        let numbers: Vec<f32> = symbols.iter().map(|symbol| self.numbering.number(*symbol) as f32).collect();
        self.predict(&numbers, rows, Quantized::Already)
    }

    /// The predictor that codes these numbers, which need not be whole, in fewest bits.
    pub(super) fn predict(&self, numbers: &[f32], rows: Rows, quantized: Quantized) -> Predictor {
        if rows.length == 0 || rows.length >= numbers.len() {
            return Predictor::default();
        }
        let noise = quantized.noise();
        let mut best = Predictor::default();
        let mut least = self.tried(&best, numbers, rows, quantized);
        let mut consider = |predictor: Predictor, best: &mut Predictor| {
            let bits = self.tried(&predictor, numbers, rows, quantized);
            if bits < 0.998 * least {
                (*best, least) = (predictor, bits);
            }
        };
        let linear = Predictor::fit(numbers, rows, noise);
        if !linear.is_none() {
            consider(linear, &mut best);
        }
        if let Some(predictor) = Predictor::fit_with_factors(numbers, rows, noise) {
            consider(predictor, &mut best);
        }
        for pace in 1..PACES {
            consider(best.clone().at_pace(pace), &mut best);
        }
        for rate in 1..RATES {
            consider(best.clone().learning(rate), &mut best);
        }
        best
    }

    /// The bits that numbers take with a predictor, by trying it on the first.
    fn tried(&self, predictor: &Predictor, numbers: &[f32], rows: Rows, quantized: Quantized) -> f32 {
        let mut trial = Trial { model: self.model(), costs: BitCosts::new(), bits: 0.0 };
        let mut predictor = predictor.clone();
        predictor.factors.code(&mut trial, CONTEXTS);
        let once = std::mem::take(&mut trial.bits);
        let first = numbers.get(..TRIED).unwrap_or(numbers);
        let mut columns = Columns::new(rows, numbers.len(), predictor);
        let mut path = Path::default();
        let scalar = quantized != Quantized::ToTrellis;
        for number in first {
            let place = quantized.place(*number);
            let number = if scalar { place } else { 2 * place };
            let around = columns.ahead(0);
            let expected = columns.expected(&around);
            code(&mut trial, false, &around.prediction(path, expected, scalar, false), place);
            path = path.then(number, expected, columns.pace());
            columns.push(number, around.base, expected, path);
        }
        once + trial.bits * (numbers.len() as f32 / first.len() as f32)
    }

    /// Appends the code of `symbols` to `out` by the predictor that [`assign`](Self::assign) chose; returns its number of
    /// bits, whole bytes.
    pub fn encode_by(
        &self,
        symbols: &[u16],
        rows: Rows,
        predictor: Predictor,
        out: &mut Vec<u8>,
    ) -> Result<u64, CodeError> {
        if symbols.is_empty() {
            return Ok(0);
        }
        let before = out.len();
        let mut writer = BitWriter::new(out);
        predictor.write(&mut writer);
        writer.finish();
        let mut encoder = Encoder::new(self.model(), out);
        let mut next = symbols.iter();
        let wanted = || match next.next() {
            Some(symbol) if usize::from(*symbol) < self.alphabet => Ok(self.numbering.number(*symbol)),
            symbol => {
                let symbol = symbol.map_or(0, |symbol| u32::from(*symbol));
                Err(CodeError::no_code(symbol, self.alphabet))
            }
        };
        if !walk(&mut encoder, &self.trellis, (rows, predictor), symbols.len(), wanted, |_| Ok(()))? {
            return Err(damaged(PART, "symbols that follow the trellis", "others"));
        }
        encoder.finish();
        Ok((out.len() - before) as u64 * 8)
    }
}

impl SymbolCode for Context {
    fn of_counts(counts: &[u64]) -> Result<Self, CodeError> {
        Self::even(counts.len(), Numbering { pruned: false, centre: 0 })
    }

    fn alphabet(&self) -> usize {
        self.alphabet
    }

    fn predicted_bits(&self, counts: &[u64]) -> u64 {
        let bits = crate::rate_distortion::entropy_bits(counts) * counts.iter().sum::<u64>() as f64;
        libm::ceil(bits) as u64
    }

    fn encode(&self, symbols: &[u16], rows: Rows, out: &mut Vec<u8>) -> Result<u64, CodeError> {
        self.encode_by(symbols, rows, self.predictor(symbols, rows), out)
    }

    fn decode(
        &self,
        bytes: &[u8],
        count: usize,
        rows: Rows,
        symbols: &mut Vec<u16>,
    ) -> Result<u64, CodeError> {
        if count == 0 {
            return if bytes.is_empty() {
                Ok(0)
            } else {
                Err(damaged(PART, "no bytes for no symbols", bytes.len()))
            };
        }
        reserve(symbols, count)?;
        let mut reader = BitReader::new(bytes);
        let predictor = Predictor::read(&mut reader, rows, count)?;
        let code = reader.rest();
        let mut decoder = Decoder::new(self.model(), code);
        let found = |number: i32| {
            let symbol = self.numbering.symbol(number).filter(|symbol| usize::from(*symbol) < self.alphabet);
            symbols.push(symbol.ok_or_else(|| {
                damaged(PART, format!("a symbol below {}", self.alphabet), format!("number {number}"))
            })?);
            Ok(())
        };
        walk(&mut decoder, &self.trellis, (rows, predictor), count, || Ok::<_, CodeError>(0), found)?;
        decoder.finish().map_err(|read| damaged(PART, format!("{read} bytes"), code.len()))?;
        Ok(bytes.len() as u64 * 8)
    }

    fn write_table(&self, writer: &mut BitWriter) {
        writer.write(u32::from(self.numbering.pruned), 1);
        writer.write(self.trellis.states().ilog2(), 3);
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

    fn read_table(alphabet: usize, reader: &mut BitReader) -> Result<Self, CodeError> {
        let pruned = reader.read(1)? == 1;
        let states = 1 << reader.read(3)?;
        let trellis = Trellis::new(states)
            .ok_or_else(|| damaged("context table", "1, 4, 8, 16, 32 or 64 states", states))?;
        let centre = reader.read_golomb(CENTRE_ORDER)?;
        let centre =
            u16::try_from(centre).map_err(|_| damaged("context table", "a centre below 65536", centre))?;
        let mut table = Self::even(alphabet, Numbering { pruned, centre })?.along(trellis);
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
    use crate::random::SplitMix64;

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
    fn every_run_survives() {
        for (count, row) in [(1, 0), (2, 1), (7, 3), (1000, 0), (1000, 10), (4096, 64), (5000, 7000)] {
            for seed in 0..4 {
                let symbols = source(seed, count, row.max(1));
                for start in [0, row / 2] {
                    survives(&plain(121, 60), &symbols, Rows { length: row, start, ..Rows::default() });
                }
            }
        }
        let extremes: Vec<u16> = (0..200).map(|i| if i % 3 == 0 { 65_535 } else { i }).collect();
        survives(&plain(65_536, 0), &extremes, Rows::default());
        survives(&plain(65_536, 65_535), &extremes, Rows { length: 20, start: 0, ..Rows::default() });
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
        let bytes = survives(&table, &symbols, Rows { length: 100, start: 0, ..Rows::default() });
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
        let rows = Rows { length: row, start: 0, ..Rows::default() };
        let blind = survives(&plain(121, 60), &symbols, Rows::default()) as f64;
        let mut counts = ContextCounts::default();
        plain(121, 60).count(&symbols, rows, &mut counts);
        let table = plain(121, 60).starting_from(&counts);
        let seeing = survives(&table, &symbols, rows) as f64;
        assert!(seeing < 0.98 * entropy && seeing < 0.99 * blind, "{seeing} {blind} {entropy}");
    }

    #[test]
    fn starts_save_short_runs_the_learning() {
        let mut counts = ContextCounts::default();
        for seed in 10..40 {
            plain(121, 60).count(&source(seed, 300, 1), Rows::default(), &mut counts);
        }
        let (cold, warm) = (plain(121, 60), plain(121, 60).starting_from(&counts));
        let short = source(9, 300, 1);
        let (warm, cold) =
            (survives(&warm, &short, Rows::default()), survives(&cold, &short, Rows::default()));
        assert!(warm < cold, "{warm} {cold}");
    }

    #[test]
    fn tables_survive_and_lying_ones_are_refused() {
        let mut counts = ContextCounts::default();
        plain(121, 60).count(
            &source(1, 9000, 30),
            Rows { length: 30, start: 0, ..Rows::default() },
            &mut counts,
        );
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
        table.encode(&symbols, Rows { length: 10, start: 0, ..Rows::default() }, &mut bytes).unwrap();
        for at in 0..bytes.len() {
            for mask in [1u8, 0x80, 0xff] {
                let mut broken = bytes.clone();
                broken[at] ^= mask;
                let _ = table.decode(
                    &broken,
                    500,
                    Rows { length: 10, start: 0, ..Rows::default() },
                    &mut Vec::new(),
                );
            }
            let cut = table.decode(
                &bytes[..at],
                500,
                Rows { length: 10, start: 0, ..Rows::default() },
                &mut Vec::new(),
            );
            assert!(cut.is_err(), "cut to {at} bytes");
        }
        assert!(table.decode(&[], 0, Rows::default(), &mut Vec::new()).is_ok());
        assert!(table.decode(&[0], 0, Rows::default(), &mut Vec::new()).is_err());
        assert!(table.encode(&[121], Rows::default(), &mut Vec::new()).is_err());
    }
}
