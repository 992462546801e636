//! Which scale a block gets, and which symbols its weights.
//!
//! By [`Fit::Largest`], the largest magnitude becomes the format's value of the largest magnitude; where that is the least
//! value and scales have signs, the scale takes the sign with it (ggml's `Q4_0`). By the two others, the scale is the one with
//! the least squared error, each weight alike or by its importance, of all that can be stored (`sweep`); blocks with
//! too many places where a weight changes its value get the best of a few. Affine integers
//! try ranges and solve scale and minimum by least squares for each. What is chosen is never worse than the largest magnitude's.
//!
//! Cost: a pass for the largest; n·k·log(n·k) for n weights of a block and k values of one sign for the least error.

use super::sweep::{Block, Steps};
use super::{Scaled, decoded, runs};
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
}

/// A block's scale and minimum as they are stored.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Chosen {
    scale: f32,
    minimum: Option<f32>,
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
        Ok(Self { codebook, fit, nearest })
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
        let mut done = 0;
        for len in runs(values.len(), rows, code.block) {
            let part = done..done + len;
            done += len;
            let weights = values.get(part.clone()).unwrap_or_default();
            let block = Block { weights, h: h.and_then(|h| h.get(part)) };
            let chosen = self.choose(block);
            scales.push(chosen.scale);
            minima.extend(chosen.minimum);
            self.extend_symbols(weights, chosen, symbols);
        }
        let dtype = code.scale.dtype()?;
        let mut bytes = Vec::new();
        scales.append(&mut minima);
        code.scale.extend_bytes(&scales, &mut bytes);
        Some((dtype, bytes))
    }

    fn extend_symbols(&self, weights: &[f32], chosen: Chosen, symbols: &mut Vec<u16>) {
        let scale = chosen.scale * self.codebook.factor;
        if scale == 0.0 {
            let symbol = if chosen.minimum.is_some() { 0 } else { self.codebook.centre() };
            return symbols.resize(symbols.len() + weights.len(), symbol);
        }
        let minimum = chosen.minimum.unwrap_or(0.0);
        let scaled: Vec<f32> = weights.iter().map(|weight| (weight - minimum) / scale).collect();
        self.nearest.symbols(&scaled, None, symbols);
    }

    /// Squared error, by importance, of a block whose scale is chosen.
    fn error(&self, block: Block<'_>, chosen: Chosen) -> f64 {
        let mut symbols = Vec::with_capacity(block.weights.len());
        self.extend_symbols(block.weights, chosen, &mut symbols);
        let scale = chosen.scale * self.codebook.factor;
        let errors = block.pairs().zip(&symbols).map(|((weight, h), symbol)| {
            let value = self.codebook.values.get(usize::from(*symbol)).copied().unwrap_or(0.0);
            let error = weight - f64::from(decoded(value, scale, chosen.minimum));
            h * error * error
        });
        errors.sum()
    }

    fn choose(&self, block: Block<'_>) -> Chosen {
        let code = &self.codebook;
        if code.scale.dtype().is_none() {
            return Chosen { scale: 1.0, minimum: None };
        }
        if code.has_minima() {
            return self.choose_range(block);
        }
        let largest = self.largest(block.weights);
        if self.fit == Fit::Largest || largest.scale == 0.0 {
            return largest;
        }
        let mut best = (self.error(block, largest), largest);
        let mut offer = |scale: f32| {
            let chosen = Chosen { scale, minimum: None };
            let error = self.error(block, chosen);
            if error < best.0 {
                best = (error, chosen);
            }
        };
        let round = |scale: f64| code.scale.round((scale / f64::from(code.factor)) as f32);
        let Rule::Thresholds(thresholds) = &self.nearest.rule else { return largest };
        let steps = Steps { values: code.values(), thresholds };
        let effective = |scale: f64| f64::from(round(scale) * code.factor);
        let is_signed = code.scale.is_float() && code.extreme() < 0.0;
        let most = self.error(block, largest);
        match steps.best(block, most, is_signed, &effective) {
            Some(scale) => offer(round(scale)),
            None => {
                for step in 0..SCALES {
                    let scale = f64::from(largest.scale) * (1.1 - 0.8 * f64::from(step) / f64::from(SCALES));
                    let rounded = code.scale.round(scale as f32);
                    offer(rounded);
                    offer(round(self.solved(block, rounded)));
                }
            }
        }
        best.1
    }

    /// The scale that the largest magnitude asks for.
    fn largest(&self, weights: &[f32]) -> Chosen {
        let code = &self.codebook;
        let largest = weights
            .iter()
            .fold(0.0f32, |most, weight| if weight.abs() > most.abs() { *weight } else { most });
        let extreme = code.extreme();
        let is_signed = code.scale.is_float() && extreme < 0.0;
        let (largest, extreme) = if is_signed { (largest, extreme) } else { (largest.abs(), extreme.abs()) };
        Chosen { scale: code.scale.of_largest(largest / code.factor, extreme), minimum: None }
    }

    /// The scale of least error where weights keep the values that they take at `scale`.
    fn solved(&self, block: Block<'_>, scale: f32) -> f64 {
        let (product, square, ..) = self.sums(block, Chosen { scale, minimum: None });
        if square > 0.0 { product / square } else { 0.0 }
    }

    /// Σ h·w·v, Σ h·v², Σ h·v, Σ h·w and Σ h of the values that weights take.
    fn sums(&self, block: Block<'_>, chosen: Chosen) -> (f64, f64, f64, f64, f64) {
        let mut symbols = Vec::with_capacity(block.weights.len());
        self.extend_symbols(block.weights, chosen, &mut symbols);
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
    fn choose_range(&self, block: Block<'_>) -> Chosen {
        let code = &self.codebook;
        let (low, high) =
            block.weights.iter().fold((f32::INFINITY, f32::NEG_INFINITY), |(low, high), weight| {
                (low.min(*weight), high.max(*weight))
            });
        let steps = f64::from(code.values.last().copied().unwrap_or(1.0));
        let stored = |scale: f64, minimum: f64| Chosen {
            scale: code.scale.round(scale as f32),
            minimum: Some(code.scale.round(minimum as f32)),
        };
        let (low, high) = (f64::from(low), f64::from(high));
        let whole = stored((high - low) / steps, low);
        if self.fit == Fit::Largest || high <= low {
            return whole;
        }
        let mut best = (self.error(block, whole), whole);
        for step in 0..RANGES {
            let narrower = 0.4 * f64::from(step) / f64::from(RANGES) * (high - low) / 2.0;
            let (low, high) = (low + narrower, high - narrower);
            let mut chosen = stored((high - low) / steps, low);
            for _ in 0..2 {
                let (product, square, value, weight, count) = self.sums(block, chosen);
                let determinant = count * square - value * value;
                if determinant <= 0.0 {
                    break;
                }
                let scale = (count * product - value * weight) / determinant;
                chosen = stored(scale, (weight - scale * value) / count);
                let error = self.error(block, chosen);
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
