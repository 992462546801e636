//! Lists of values, and the rules by which a weight finds its own.
//!
//! With thresholds, a weight's symbol is the number of thresholds ≤ the weight, found by a binary search without
//! branches: log2 k steps, eight weights at a time so that their searches overlap. With the rate-aware rule see
//! [`super::rate_aware`]. Weights that pruning made zero have symbol 0, in front of the others.
//!
//! The record is a byte of flags (bit 0: pruned; bits 1 and 2: the width of values) and the values, little-endian, as
//! float32, or in half the bytes where every value keeps its exact bits.

use super::{Decode, Kind, RateAware, Scales, TYPES, malformed};
use crate::compensation::{ErrorCosts, Targets};
use crate::entropy::{CodeError, MAX_ALPHABET, Numbering};
use crate::tensor::Dtype;
use serde::{Deserialize, Serialize};

/// Most levels a quantizer may have: symbols have 16 bits.
pub const MAX_LEVELS: usize = 65_535;

/// Weights searched side by side.
const LANES: usize = 8;

/// How a weight finds its level.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Rule {
    /// Level = number of thresholds that are ≤ the weight; ascending, one fewer than levels.
    Thresholds(Vec<f32>),
    /// Level = argmin over j of `h·(w − c_j)² + λ·rate_j`, ties as [`RateAware`] says (Chou, Lookabaugh and Gray 1989).
    RateAware {
        /// Trade between squared error and bits, in the units of `h·w²` per bit.
        lambda: f64,
        /// Ideal code length of each level, in bits.
        rates: Vec<f64>,
    },
}

/// A solved scalar quantizer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Quantizer {
    /// Reconstruction values, strictly ascending, at least one.
    pub levels: Vec<f32>,
    /// How a weight finds its level.
    pub rule: Rule,
}

/// A list of values as a decoder has it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Levels {
    values: Vec<f32>,
    pruned: bool,
}

impl Levels {
    /// These values; if `pruned`, symbol 0 is an exact zero and the values are those of symbols 1 and up.
    pub(super) fn new(values: Vec<f32>, pruned: bool) -> Result<Self, CodeError> {
        let symbols = values.len() + usize::from(pruned);
        if !(1..=MAX_ALPHABET).contains(&symbols) {
            return Err(malformed("1 to 65536 symbols", symbols));
        }
        Ok(Self { values, pruned })
    }

    /// Reads a record behind its kind.
    pub(super) fn read(record: &[u8]) -> Result<Self, CodeError> {
        let (flags, body) = record.split_first().ok_or_else(|| malformed("a byte of flags", "none"))?;
        let width = TYPES.get(usize::from(flags >> 1)).copied();
        let width = width.ok_or_else(|| malformed("flags below 7", flags))?;
        if !(body.len() as u64).is_multiple_of(width.size_bytes()) {
            return Err(malformed(
                format!("whole levels of {} bytes", width.size_bytes()),
                format!("{} bytes", body.len()),
            ));
        }
        let mut values = Vec::with_capacity(body.len() / width.size_bytes() as usize);
        width.extend_f32(body, &mut values);
        Self::new(values, flags & 1 == 1)
    }

    /// The values, without the zero of pruned weights.
    pub fn values(&self) -> &[f32] {
        &self.values
    }
}

impl Decode for Levels {
    fn kind(&self) -> Kind {
        Kind::Levels
    }

    fn symbols(&self) -> usize {
        self.values.len() + usize::from(self.pruned)
    }

    fn pruned(&self) -> bool {
        self.pruned
    }

    fn numbering(&self) -> Numbering {
        Numbering::of_levels(&self.values, self.pruned)
    }

    fn extend_values(&self, symbols: &[u16], _: Scales<'_>, values: &mut Vec<f32>) {
        let first = u16::from(self.pruned);
        let value = |symbol: &u16| self.values.get(usize::from(symbol.checked_sub(first)?));
        values.extend(symbols.iter().map(|symbol| value(symbol).copied().unwrap_or(0.0)));
    }

    fn write(&self, record: &mut Vec<u8>) {
        let is_exact =
            |dtype: &Dtype| self.values.iter().all(|v| dtype.round_f32(*v).to_bits() == v.to_bits());
        let width = (1..TYPES.len()).find(|width| TYPES.get(*width).is_some_and(is_exact)).unwrap_or(0);
        record.push(u8::from(self.pruned) | (width as u8) << 1);
        TYPES.get(width).unwrap_or(&Dtype::F32).extend_bytes(&self.values, record);
    }
}

/// A quantizer with the pruning before it and the values after it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LevelCode {
    quantizer: Quantizer,
    /// Magnitudes up to this become exact zeros.
    threshold: Option<f32>,
    /// What symbols decode to: the quantizer's levels until they are retrained.
    codebook: Levels,
}

impl LevelCode {
    pub(super) fn new(quantizer: Quantizer, pruned: Option<f32>) -> Self {
        let codebook = Levels { values: quantizer.levels.clone(), pruned: pruned.is_some() };
        Self { quantizer, threshold: pruned, codebook }
    }

    /// What a decoder needs of it.
    pub fn codebook(&self) -> &Levels {
        &self.codebook
    }

    /// Magnitudes up to this become exact zeros; `None` where there is no symbol for them.
    pub const fn threshold(&self) -> Option<f32> {
        self.threshold
    }

    /// Puts retrained values in the places of the present ones; which symbol a weight gets stays as it was. Gives them back where
    /// they are not as many.
    pub fn retrain(&mut self, values: Vec<f32>) -> Result<(), Vec<f32>> {
        if values.len() != self.codebook.values.len() {
            return Err(values);
        }
        self.codebook.values = values;
        Ok(())
    }

    /// Appends the symbols of `values`; see [`Code::assign`](super::Code::assign).
    pub(super) fn assign(&self, values: &[f32], costs: ErrorCosts<'_>, symbols: &mut Vec<u16>) {
        let start = symbols.len();
        if costs.feedback.is_some() {
            return self.assign_to_targets(values, costs, symbols);
        }
        self.quantizer.symbols(values, costs.each, symbols);
        if let Some(threshold) = self.threshold {
            for (symbol, value) in symbols.iter_mut().skip(start).zip(values) {
                *symbol = if value.abs() <= threshold { 0 } else { *symbol + 1 };
            }
        }
    }

    /// One weight after the other, each by what the errors before it ask for; which weights are pruned stays as it was.
    fn assign_to_targets(&self, values: &[f32], costs: ErrorCosts<'_>, symbols: &mut Vec<u16>) {
        let mut targets = Targets::new(values, costs.feedback);
        for (at, value) in values.iter().enumerate() {
            let h = costs.each.and_then(|each| each.get(at)).copied().unwrap_or(1.0);
            if self.threshold.is_some_and(|threshold| value.abs() <= threshold) {
                symbols.push(0);
                targets.decide(0.0);
                continue;
            }
            let level = self.quantizer.symbol(targets.get(at), h);
            targets.decide(self.codebook.values.get(level).copied().unwrap_or(0.0));
            symbols.push((level + usize::from(self.threshold.is_some())) as u16);
        }
    }
}

/// The smallest float32 that is not below `x`, within the finite range.
pub(crate) fn ceil_f32(x: f64) -> f32 {
    let near = x as f32;
    let up = if f64::from(near) < x { near.next_up() } else { near };
    up.clamp(-f32::MAX, f32::MAX)
}

/// The least float32 that is nearer to `right` than to `left`, or as near.
pub(crate) fn midpoint_f32(left: f32, right: f32) -> f32 {
    ceil_f32(f64::midpoint(f64::from(left), f64::from(right)))
}

/// The midpoints of neighbouring levels, as thresholds.
fn midpoints(levels: &[f32]) -> Vec<f32> {
    levels
        .windows(2)
        .map(|pair| match pair {
            [left, right] => midpoint_f32(*left, *right),
            _ => 0.0,
        })
        .collect()
}

impl Quantizer {
    /// Checks `levels` and `rule` against each other: what every method's quantizer keeps to.
    pub fn new(levels: Vec<f32>, rule: Rule) -> Result<Self, CodeError> {
        if levels.is_empty() || levels.len() > MAX_LEVELS {
            return Err(malformed(format!("1 to {MAX_LEVELS} levels"), levels.len()));
        }
        check_ascending("level", &levels)?;
        match &rule {
            Rule::Thresholds(thresholds) => {
                if thresholds.len() + 1 != levels.len() {
                    let expected = format!("{} thresholds for {} levels", levels.len() - 1, levels.len());
                    return Err(malformed(expected, thresholds.len()));
                }
                check_ascending("threshold", thresholds)?;
            }
            Rule::RateAware { lambda, rates } => {
                if rates.len() != levels.len() {
                    return Err(malformed(format!("{} rates", levels.len()), rates.len()));
                }
                let is_amount = |x: &f64| x.is_finite() && *x >= 0.0;
                if !is_amount(lambda) {
                    return Err(malformed("a finite lambda from 0", lambda));
                }
                if let Some(rate) = rates.iter().find(|rate| !is_amount(rate)) {
                    return Err(malformed("finite rates from 0", rate));
                }
            }
        }
        Ok(Self { levels, rule })
    }

    /// The quantizer that sends a weight to the nearest of `levels`, to the upper one on a tie.
    ///
    /// `levels` are finite and strictly ascending; [`new`](Self::new) checks levels from outside.
    pub fn nearest(levels: Vec<f32>) -> Self {
        let thresholds = midpoints(&levels);
        Self { levels, rule: Rule::Thresholds(thresholds) }
    }

    /// The level of weight `w` with importance `h`; for many weights [`symbols`](Self::symbols) is faster.
    pub fn symbol(&self, w: f32, h: f32) -> usize {
        match &self.rule {
            Rule::Thresholds(thresholds) => thresholds.partition_point(|threshold| *threshold <= w),
            Rule::RateAware { lambda, rates } => RateAware::new(&self.levels, *lambda, rates).symbol(w, h),
        }
    }

    /// Appends the level of each of `values` to `out`; `importance` (same length) defaults to 1.
    pub fn symbols(&self, values: &[f32], importance: Option<&[f32]>, out: &mut Vec<u16>) {
        out.reserve(values.len());
        match (&self.rule, importance) {
            (Rule::Thresholds(thresholds), _) => threshold_symbols(thresholds, values, out),
            (Rule::RateAware { lambda, rates }, Some(h)) => {
                let rule = RateAware::new(&self.levels, *lambda, rates);
                out.extend(values.iter().zip(h).map(|(w, h)| rule.symbol(*w, *h) as u16));
            }
            (Rule::RateAware { lambda, rates }, None) => {
                let rule = RateAware::new(&self.levels, *lambda, rates);
                out.extend(values.iter().map(|w| rule.symbol(*w, 1.0) as u16));
            }
        }
    }
}

/// Checks that `values` are finite and strictly ascending.
fn check_ascending(what: &str, values: &[f32]) -> Result<(), CodeError> {
    if let Some(i) = values.iter().position(|value| !value.is_finite()) {
        return Err(malformed(format!("finite {what}s"), format!("{what} {i} is not finite")));
    }
    let fall = values.windows(2).position(|pair| matches!(pair, [a, b] if a >= b));
    fall.map_or(Ok(()), |i| {
        Err(malformed(format!("ascending {what}s"), format!("{what} {} is not above {what} {i}", i + 1)))
    })
}

/// Appends, per value, the number of thresholds ≤ it.
fn threshold_symbols(thresholds: &[f32], values: &[f32], out: &mut Vec<u16>) {
    let (blocks, rest) = values.as_chunks::<LANES>();
    match thresholds.len() {
        0..16 => search_blocks::<16>(thresholds, blocks, out),
        16..256 => search_blocks::<256>(thresholds, blocks, out),
        256..4096 => search_blocks::<4096>(thresholds, blocks, out),
        _ => search_blocks::<65_536>(thresholds, blocks, out),
    }
    out.extend(rest.iter().map(|w| thresholds.partition_point(|threshold| threshold <= w) as u16));
}

/// An integer that orders like the finite float32 `w`; ±0 are equal.
#[inline]
fn order(w: f32) -> i64 {
    let bits = (w + 0.0).to_bits() as i32;
    i64::from(bits ^ ((bits >> 31) as u32 >> 1) as i32)
}

/// Binary search for blocks of values in fewer than N thresholds, N a power of two.
///
/// The table of fixed size spares every bounds check. Comparing integers by the sign of their difference keeps the
/// compiler from branching on it: a branch would be guessed wrongly every other time.
fn search_blocks<const N: usize>(thresholds: &[f32], blocks: &[[f32; LANES]], out: &mut Vec<u16>) {
    if blocks.is_empty() {
        return;
    }
    let mut table: Vec<i64> = thresholds.iter().map(|threshold| order(*threshold)).collect();
    table.resize(N, i64::MAX >> 1);
    let Some(table) = table.first_chunk::<N>() else { return };
    for block in blocks {
        let keys = block.map(order);
        let mut below = [0usize; LANES];
        let mut half = N / 2;
        while half > 0 {
            for (below, key) in below.iter_mut().zip(&keys) {
                let probe = table[(*below + half - 1) & (N - 1)];
                let at_or_below = ((probe - key - 1) >> 63) as usize;
                *below += at_or_below & half;
            }
            half /= 2;
        }
        out.extend(below.map(|below| below as u16));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::code::Codebook;

    #[test]
    fn symbols_equal_the_count_of_thresholds_at_or_below() {
        let mut random = crate::random::SplitMix64::new(7);
        for k in [1usize, 2, 3, 4, 5, 8, 16, 17, 255, 256, 1000] {
            let levels: Vec<f32> = (0..k).map(|i| i as f32 - k as f32 / 2.0).collect();
            let quantizer = Quantizer::nearest(levels);
            let Rule::Thresholds(thresholds) = &quantizer.rule else { panic!() };
            for len in 0..=17 {
                let mut values: Vec<f32> =
                    (0..len).map(|_| ((random.unit() - 0.5) * 1.2 * k as f64) as f32).collect();
                values.extend(thresholds.iter().take(3));
                let mut symbols = Vec::new();
                quantizer.symbols(&values, None, &mut symbols);
                for (w, symbol) in values.iter().zip(&symbols) {
                    let expected = thresholds.iter().filter(|t| *t <= w).count();
                    assert_eq!(usize::from(*symbol), expected);
                    assert_eq!(quantizer.symbol(*w, 1.0), expected);
                }
            }
        }
    }

    #[test]
    fn a_malformed_quantizer_is_refused() {
        let thresholds = |t: &[f32]| Rule::Thresholds(t.to_vec());
        let message =
            |levels: &[f32], rule: Rule| Quantizer::new(levels.to_vec(), rule).unwrap_err().to_string();
        assert!(Quantizer::new(vec![1.0, 2.0], thresholds(&[1.5])).is_ok());
        assert!(message(&[], thresholds(&[])).contains("found 0"));
        assert!(message(&[1.0, 1.0], thresholds(&[1.0])).contains("level 1 is not above level 0"));
        assert!(message(&[1.0, f32::NAN], thresholds(&[1.0])).contains("level 1 is not finite"));
        assert!(message(&[1.0, 2.0], thresholds(&[])).contains("expected 1 thresholds"));
        assert!(message(&[1.0, 2.0, 3.0], thresholds(&[2.0, 1.0])).contains("threshold 1"));
        let rule = Rule::RateAware { lambda: -1.0, rates: vec![1.0, 1.0] };
        assert!(message(&[1.0, 2.0], rule).contains("lambda"));
    }

    #[test]
    fn values_of_symbols_are_levels_behind_an_exact_zero() {
        let codebook = Codebook::of_levels(vec![-1.0, 0.5], false).unwrap();
        let mut out = vec![9.0];
        codebook.extend_values(&[1, 0, 2], Scales::default(), &mut out);
        assert_eq!(out, [9.0, 0.5, -1.0, 0.0]);
        let pruned = Codebook::of_levels(vec![-1.0, 0.5], true).unwrap();
        assert_eq!(pruned.all_values(), [0.0, -1.0, 0.5]);
        assert_eq!((pruned.symbols(), pruned.levels()), (3, 2));
    }

    #[test]
    fn pruned_weights_have_the_first_symbol() {
        let quantizer = Quantizer::nearest(vec![-1.0, 0.5]);
        let symbols = |pruned: Option<f32>| {
            let mut symbols = Vec::new();
            LevelCode::new(quantizer.clone(), pruned).assign(
                &[0.1, -0.2, 0.6],
                ErrorCosts::default(),
                &mut symbols,
            );
            symbols
        };
        assert_eq!(symbols(None), [1, 1, 1]);
        assert_eq!(symbols(Some(0.1)), [0, 2, 2]);
        assert_eq!(symbols(Some(-1.0)), [2, 2, 2]);
    }

    #[test]
    fn retrained_values_leave_symbols_as_they_were() {
        let mut code = LevelCode::new(Quantizer::nearest(vec![-1.0, 0.5]), None);
        assert_eq!(code.retrain(vec![1.0]), Err(vec![1.0]));
        code.retrain(vec![0.5, -7.0]).unwrap();
        let (mut symbols, mut values) = (Vec::new(), Vec::new());
        code.assign(&[0.6, -2.0], ErrorCosts::default(), &mut symbols);
        code.codebook().extend_values(&symbols, Scales::default(), &mut values);
        assert_eq!((symbols, values), (vec![1, 0], vec![-7.0, 0.5]));
    }

    fn round_trip(levels: &[f32], pruned: bool) -> usize {
        let codebook = Codebook::of_levels(levels.to_vec(), pruned).unwrap();
        let bytes = codebook.to_bytes();
        let read = Codebook::from_bytes(&bytes).unwrap();
        let bits = |codebook: &Codebook| {
            codebook.all_values().iter().map(|level| level.to_bits()).collect::<Vec<_>>()
        };
        assert_eq!((bits(&read), read.pruned()), (bits(&codebook), pruned));
        bytes.len()
    }

    #[test]
    fn levels_keep_their_bits_in_the_fewest_bytes() {
        assert_eq!(round_trip(&[0.1, -0.2], false), 10);
        assert_eq!(round_trip(&[0.5, -0.25, 65504.0, -0.0], true), 10);
        assert_eq!(round_trip(&[1e38_f32.to_bits(), 0].map(|b| f32::from_bits(b & 0xffff_0000)), false), 6);
        assert_eq!(round_trip(&[f32::from_bits(0x7f80_0001), f32::INFINITY], false), 10);
        assert_eq!(round_trip(&[], true), 2);
    }

    #[test]
    fn codebooks_without_symbols_are_refused() {
        assert!(Codebook::of_levels(vec![], false).is_err());
        assert!(Codebook::of_levels(vec![0.0; 65536], true).is_err());
        for bytes in [
            &[][..],
            &[0],
            &[0, 0],
            &[0, 0, 1, 2, 3],
            &[0, 6, 0, 0, 0, 0],
            &[0, 2, 0],
            &[0, 8, 0, 0],
            &[2, 0, 0],
        ] {
            assert!(Codebook::from_bytes(bytes).is_err(), "{bytes:?}");
        }
    }
}
