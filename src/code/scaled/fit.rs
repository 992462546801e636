//! Which scale a block gets, and which symbols its weights.
//!
//! By [`Fit::Largest`], the largest magnitude becomes the format's value of the largest magnitude; where that is the least
//! value and scales have signs, the scale takes the sign with it (ggml's `Q4_0`). By the two others, the scale is the one with
//! the least squared error, each weight alike or by its importance, of all that can be stored (`sweep`); blocks with
//! too many places where a weight changes its value get the best of a few. Affine integers
//! try ranges and solve scale and minimum by least squares for each. What is chosen is never worse than the largest magnitude's.
//! Scales of two levels are chosen for a super-block at once (`super_block`).
//!
//! Cost: a pass for the largest; n·k·log(n·k) for n weights of a block and k values of one sign for the least error.

use super::sweep::{Block, Steps};
use super::{ScaleType, Scaled, decoded, runs};
use crate::code::{Quantizer, Rule, malformed};
use crate::entropy::{CodeError, Rows};
use crate::number_format::{Format, Rounder, Rounding, Scale};
use crate::order::key_f32;
use crate::tensor::Dtype;
use serde::{Deserialize, Serialize};

/// How the scale of a block is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fit {
    /// By the largest magnitude.
    Largest,
    /// By the least squared error.
    Squared,
    /// By the least squared error, each weight's times its importance.
    Weighted,
}

impl Fit {
    /// All ways, the default first.
    pub const ALL: [Self; 3] = [Self::Largest, Self::Squared, Self::Weighted];

    /// Its name in recipes and flags.
    pub const fn id(self) -> &'static str {
        match self {
            Self::Largest => "largest",
            Self::Squared => "squared",
            Self::Weighted => "weighted",
        }
    }

    /// The way of this [`id`](Self::id).
    pub fn find(id: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|fit| fit.id() == id)
    }
}

/// A number format with its blocks, and how their scales are chosen.
#[derive(Debug, Clone, PartialEq)]
pub struct ScaledCode {
    codebook: Scaled,
    fit: Fit,
    /// The format's values, with the numbers from which on the next one is taken.
    nearest: Quantizer,
    /// What gives the scales of a super-block, and its minima, their float16, where they are integers.
    pub(super) scales: Option<Box<Self>>,
}

/// A block's scale and minimum, as they are stored or as values are multiplied by them.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Chosen {
    pub scale: f32,
    pub minimum: Option<f32>,
}

/// How scales and minima are stored: divided by these factors, and rounded to a type.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Storage {
    pub rounding: ScaleType,
    pub scale: f32,
    pub minimum: f32,
}

impl Storage {
    /// As they are, in float32 or float16.
    pub const fn plain(rounding: ScaleType) -> Self {
        Self { rounding, scale: 1.0, minimum: 1.0 }
    }

    /// The nearest scale that can be stored, as it is stored.
    pub fn scale(self, scale: f64) -> f32 {
        self.rounded(scale, self.scale)
    }

    /// The same of a minimum.
    pub fn minimum(self, minimum: f64) -> f32 {
        self.rounded(minimum, self.minimum)
    }

    fn rounded(self, number: f64, factor: f32) -> f32 {
        // Of a super-block of zeros.
        if factor == 0.0 { 0.0 } else { self.rounding.round((number / f64::from(factor)) as f32) }
    }

    /// What is multiplied with and added to values.
    pub fn effective(self, stored: Chosen) -> Chosen {
        let minimum = stored.minimum.map(|minimum| minimum * self.minimum);
        Chosen { scale: stored.scale * self.scale, minimum }
    }
}

/// Ranges that affine integers try.
const RANGES: u32 = 16;
/// Scales that are tried where there are too many places to look at all.
const SCALES: u32 = 24;

impl ScaledCode {
    /// The code of these blocks.
    ///
    /// # Errors
    ///
    /// A format that rounds at random.
    pub fn new(codebook: Scaled, fit: Fit) -> Result<Self, CodeError> {
        let rounder = rounder(&codebook.format).ok_or_else(|| {
            malformed("a number format that rounds to nearest or towards zero", codebook.format)
        })?;
        let thresholds = thresholds(&rounder, codebook.values());
        let nearest = Quantizer { levels: codebook.values.clone(), rule: Rule::Thresholds(thresholds) };
        let scales = codebook.scale.integers().map(|integers| {
            Self::new(Scaled::new(integers, ScaleType::F16, codebook.reach())?, fit).map(Box::new)
        });
        Ok(Self { codebook, fit, nearest, scales: scales.transpose()? })
    }

    /// The same for a tensor whose largest magnitude is `largest`.
    pub fn of_tensor(&self, largest: f32) -> Self {
        Self { codebook: self.codebook.clone().of_tensor(largest), ..self.clone() }
    }

    /// What a decoder needs of it.
    pub const fn codebook(&self) -> &Scaled {
        &self.codebook
    }

    /// Appends the symbols of `values` to `symbols`; the scales, as they are stored, with their type.
    pub(in crate::code) fn assign(
        &self,
        values: &[f32],
        h: Option<&[f32]>,
        rows: Rows,
        symbols: &mut Vec<u16>,
    ) -> Option<(Dtype, Vec<u8>)> {
        let code = &self.codebook;
        let h = h.filter(|_| self.fit == Fit::Weighted);
        let (mut scales, mut minima) = (Vec::new(), Vec::new());
        let (mut factors, mut of_minima) = (Vec::new(), Vec::new());
        let mut done = 0;
        for len in runs(values.len(), rows, code.reach()) {
            let part = done..done + len;
            done += len;
            let weights = values.get(part.clone()).unwrap_or_default();
            let run = Block { weights, h: h.and_then(|h| h.get(part)) };
            let (storage, chosen) = self.choose_run(run);
            factors.push(storage.scale);
            of_minima.push(storage.minimum);
            for (block, chosen) in run.blocks(code.block).zip(chosen) {
                scales.push(chosen.scale);
                minima.extend(chosen.minimum);
                self.extend_symbols(block.weights, storage.effective(chosen), symbols);
            }
        }
        let dtype = code.scale.dtype()?;
        let mut bytes = Vec::new();
        scales.append(&mut minima);
        code.scale.extend_bytes(&scales, &mut bytes);
        if self.scales.is_some() {
            if code.has_minima() {
                factors.append(&mut of_minima);
            }
            let mut float16s = Vec::new();
            Dtype::F16.extend_bytes(&factors, &mut float16s);
            let halves = float16s.as_chunks::<2>().0;
            bytes.extend(halves.iter().map(|[low, _]| low).chain(halves.iter().map(|[_, high]| high)));
        }
        Some((dtype, bytes))
    }

    /// What is stored of a run of weights that share it.
    fn choose_run(&self, run: Block<'_>) -> (Storage, Vec<Chosen>) {
        let code = &self.codebook;
        let Some(scales) = &self.scales else {
            let storage = Storage { scale: code.factor, ..Storage::plain(code.scale) };
            return (storage, vec![self.choose(run, storage, self.fit)]);
        };
        let blocks: Vec<Block<'_>> = run.blocks(code.block).collect();
        self.choose_super_block(scales, &blocks, self.fit)
    }

    fn extend_symbols(&self, weights: &[f32], effective: Chosen, symbols: &mut Vec<u16>) {
        let scale = effective.scale;
        if scale == 0.0 {
            let symbol = if effective.minimum.is_some() { 0 } else { self.codebook.centre() };
            return symbols.resize(symbols.len() + weights.len(), symbol);
        }
        let minimum = effective.minimum.unwrap_or(0.0);
        let scaled: Vec<f32> = weights.iter().map(|weight| (weight - minimum) / scale).collect();
        self.nearest.symbols(&scaled, None, symbols);
    }

    /// Squared error, by importance, of a block whose scale is chosen.
    pub(super) fn error(&self, block: Block<'_>, effective: Chosen) -> f64 {
        let mut symbols = Vec::with_capacity(block.weights.len());
        self.extend_symbols(block.weights, effective, &mut symbols);
        let errors = block.pairs().zip(&symbols).map(|((weight, h), symbol)| {
            let value = self.codebook.values.get(usize::from(*symbol)).copied().unwrap_or(0.0);
            let error = weight - f64::from(decoded(value, effective.scale, effective.minimum));
            h * error * error
        });
        errors.sum()
    }

    /// The scale and minimum of a block, as they are stored.
    pub(super) fn choose(&self, block: Block<'_>, storage: Storage, fit: Fit) -> Chosen {
        let code = &self.codebook;
        if code.scale.dtype().is_none() {
            return Chosen { scale: 1.0, minimum: None };
        }
        if code.has_minima() {
            return self.choose_range(block, storage, fit);
        }
        let largest = self.largest(block.weights, storage);
        if fit == Fit::Largest || largest.scale == 0.0 {
            return largest;
        }
        let most = self.error(block, storage.effective(largest));
        let mut best = (most, largest);
        let mut offer = |scale: f32| {
            let chosen = Chosen { scale, minimum: None };
            let error = self.error(block, storage.effective(chosen));
            if error < best.0 {
                best = (error, chosen);
            }
        };
        let Rule::Thresholds(thresholds) = &self.nearest.rule else { return largest };
        let steps = Steps { values: code.values(), thresholds };
        let effective = |scale: f64| f64::from(storage.scale(scale) * storage.scale);
        match steps.best(block, most, self.codebook.is_signed(), &effective) {
            Some(scale) => offer(storage.scale(scale)),
            None => {
                for step in 0..SCALES {
                    let scale = f64::from(largest.scale) * (1.1 - 0.8 * f64::from(step) / f64::from(SCALES));
                    let rounded = storage.rounding.round(scale as f32);
                    offer(rounded);
                    offer(storage.scale(self.solved(block, storage, rounded)));
                }
            }
        }
        best.1
    }

    /// The scale that the largest magnitude asks for.
    fn largest(&self, weights: &[f32], storage: Storage) -> Chosen {
        let largest = weights
            .iter()
            .fold(0.0f32, |most, weight| if weight.abs() > most.abs() { *weight } else { most });
        let extreme = self.codebook.extreme();
        let (largest, extreme) =
            if self.codebook.is_signed() { (largest, extreme) } else { (largest.abs(), extreme.abs()) };
        let largest = if storage.scale == 0.0 { 0.0 } else { largest / storage.scale };
        Chosen { scale: storage.rounding.of_largest(largest, extreme), minimum: None }
    }

    /// The scale of least error where weights keep the values that they take at `scale`.
    fn solved(&self, block: Block<'_>, storage: Storage, scale: f32) -> f64 {
        let chosen = storage.effective(Chosen { scale, minimum: None });
        let (product, square, ..) = self.sums(block, chosen);
        if square > 0.0 { product / square } else { 0.0 }
    }

    /// Σ h·w·v, Σ h·v², Σ h·v, Σ h·w and Σ h of the values that weights take.
    pub(super) fn sums(&self, block: Block<'_>, effective: Chosen) -> (f64, f64, f64, f64, f64) {
        let mut symbols = Vec::with_capacity(block.weights.len());
        self.extend_symbols(block.weights, effective, &mut symbols);
        let mut sums = (0.0, 0.0, 0.0, 0.0, 0.0);
        for ((weight, h), symbol) in block.pairs().zip(&symbols) {
            let value = f64::from(self.codebook.values.get(usize::from(*symbol)).copied().unwrap_or(0.0));
            sums.0 += h * weight * value;
            sums.1 += h * value * value;
            sums.2 += h * value;
            sums.3 += h * weight;
            sums.4 += h;
        }
        sums
    }

    /// Scale and minimum of affine integers: those of the weights' range, or the best of narrower ones, each solved by least
    /// squares for the values that weights take in it.
    fn choose_range(&self, block: Block<'_>, storage: Storage, fit: Fit) -> Chosen {
        let code = &self.codebook;
        let (low, high) =
            block.weights.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), weight| {
                (low.min(*weight), high.max(*weight))
            });
        let steps = f64::from(code.values.last().copied().unwrap_or(1.0));
        // Integers without a sign have no minima above zero.
        let highest = if code.scale.is_signed() { f64::INFINITY } else { 0.0 };
        let stored = |scale: f64, minimum: f64| Chosen {
            scale: storage.scale(scale),
            minimum: Some(storage.minimum(minimum.min(highest))),
        };
        let (low, high) = (f64::from(low).min(highest), f64::from(high));
        let whole = stored((high - low) / steps, low);
        if fit == Fit::Largest || high <= low {
            return whole;
        }
        let mut best = (self.error(block, storage.effective(whole)), whole);
        for step in 0..RANGES {
            let narrower = 0.4 * f64::from(step) / f64::from(RANGES) * (high - low) / 2.0;
            let (low, high) = (low + narrower, high - narrower);
            let mut chosen = stored((high - low) / steps, low);
            for _ in 0..2 {
                let (product, square, value, weight, count) = self.sums(block, storage.effective(chosen));
                let determinant = count * square - value * value;
                if determinant <= 0.0 {
                    break;
                }
                let scale = (count * product - value * weight) / determinant;
                let minimum = (weight - scale * value) / count;
                let scale = if minimum > highest { product / square } else { scale };
                chosen = stored(scale, minimum);
                let error = self.error(block, storage.effective(chosen));
                if error < best.0 {
                    best = (error, chosen);
                }
            }
        }
        best.1
    }
}

/// A format that rounds the same number always to the same value, ready to round.
fn rounder(format: &Format) -> Option<Rounder> {
    let is_random = match format {
        Format::Float(float) => matches!(float.rounding, Rounding::Stochastic(_)),
        Format::Fixed(fixed) => matches!(fixed.rounding, Rounding::Stochastic(_)),
        _ => false,
    };
    if is_random { None } else { format.rounder(Scale::default()).ok() }
}

/// The numbers from which on the next of `values` is taken, by bisection over float32s: what rounds ascends.
fn thresholds(rounder: &Rounder, values: &[f32]) -> Vec<f32> {
    let pairs = values.windows(2).filter_map(|pair| <[f32; 2]>::try_from(pair).ok());
    let first = |[low, high]: [f32; 2]| {
        let (mut below, mut reached) = (key_f32(low), key_f32(high));
        while reached - below > 1 {
            let middle = below + (reached - below) / 2;
            if rounder.round(unkeyed(middle), 0) >= high {
                reached = middle;
            } else {
                below = middle;
            }
        }
        unkeyed(reached)
    };
    pairs.map(first).collect()
}

/// The float32 of a [key](key_f32).
const fn unkeyed(key: u32) -> f32 {
    f32::from_bits(if key >> 31 == 1 { key ^ 1 << 31 } else { !key })
}

/// A code travels between page and workers as its record, with the name of the format, which says how it rounds, and the fit.
#[derive(Serialize, Deserialize)]
struct Packed(Vec<u8>, String, Fit);

impl Serialize for ScaledCode {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut record = Vec::new();
        super::Decode::write(&self.codebook, &mut record);
        Packed(record, self.codebook.format.to_string(), self.fit).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for ScaledCode {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Packed(record, name, fit) = Packed::deserialize(deserializer)?;
        let format = Format::parse(&name).map_err(serde::de::Error::custom)?;
        let codebook = Scaled { format, ..Scaled::read(&record).map_err(serde::de::Error::custom)? };
        Self::new(codebook, fit).map_err(serde::de::Error::custom)
    }
}
