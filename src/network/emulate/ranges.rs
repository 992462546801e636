//! Scales of formats that need one: what their largest value stands for.
//!
//! Weights' scales follow from the weights. Those of activations follow from a histogram of every value, filled in float32 from
//! samples that are not scored: 128 bins an octave from 2^-40 to 2^24, either sign.

use super::choice::Range;
use crate::network::NetworkError;
use crate::number_format::{Format, Rounder, Scale};

/// Bins of an octave are 2 to this power.
const OCTAVE_BITS: u32 = 7;
/// The octaves that are told apart, by float32's exponent field.
const OCTAVES: std::ops::Range<u32> = 87..151;
/// Bins of either sign.
const BINS: usize = ((OCTAVES.end - OCTAVES.start) << OCTAVE_BITS) as usize;
/// Scales that are tried for the least squared error beside the largest,
const TRIED: i32 = 32;
/// so many to an octave.
const TRIED_PER_OCTAVE: f64 = 8.0;

/// What prepares a format to round.
pub(super) fn rounder(format: Format, scale: Scale) -> Result<Rounder, NetworkError> {
    format.rounder(scale).map_err(|error| {
        NetworkError::data(format!("format {format}"), "a scale it can have", error.to_string())
    })
}

/// How the numbers of a value are distributed.
#[derive(Debug, Clone, Default)]
struct Histogram {
    least: f32,
    most: f32,
    /// Zeros and what is below the first octave.
    small: u64,
    /// Positive numbers, then negative ones.
    counts: Vec<u32>,
}

/// Histograms of values, by their numbers.
#[derive(Debug)]
pub(super) struct Ranges {
    values: Vec<Histogram>,
}

impl Histogram {
    fn add(&mut self, x: f32) {
        if !x.is_finite() {
            return;
        }
        if self.counts.is_empty() {
            self.counts = vec![0; 2 * BINS];
        }
        self.least = self.least.min(x);
        self.most = self.most.max(x);
        let first = OCTAVES.start << OCTAVE_BITS;
        let place = (x.abs().to_bits() >> (23 - OCTAVE_BITS)).checked_sub(first);
        let Some(place) = place else {
            self.small += 1;
            return;
        };
        let place = (place as usize).min(BINS - 1) + if x < 0.0 { BINS } else { 0 };
        if let Some(count) = self.counts.get_mut(place) {
            *count = count.saturating_add(1);
        }
    }

    /// The middle of each bin that has numbers, and how many.
    fn numbers(&self) -> impl Iterator<Item = (f32, u64)> {
        self.counts.iter().enumerate().filter(|(_, count)| **count > 0).map(|(at, count)| {
            let bits = ((OCTAVES.start << OCTAVE_BITS) + (at % BINS) as u32) << (23 - OCTAVE_BITS);
            let middle = f32::from_bits(bits | 1 << (22 - OCTAVE_BITS));
            (if at < BINS { middle } else { -middle }, u64::from(*count))
        })
    }
}

impl Ranges {
    pub(super) fn new(values: usize) -> Self {
        Self { values: vec![Histogram::default(); values] }
    }

    /// Adds numbers of a value.
    pub(super) fn add(&mut self, at: usize, numbers: impl Iterator<Item = f32>) {
        if let Some(histogram) = self.values.get_mut(at) {
            numbers.for_each(|x| histogram.add(x));
        }
    }

    /// The largest magnitude of a value.
    pub(super) fn largest(&self, at: usize) -> f32 {
        self.values.get(at).map_or(0.0, |histogram| histogram.most.max(-histogram.least))
    }

    /// The scale of a value.
    pub(super) fn scale(&self, at: usize, format: Format, range: Range) -> Result<Scale, NetworkError> {
        let Some(histogram) = self.values.get(at) else { return Ok(Scale::default()) };
        let numbers: Vec<(f32, u64)> = histogram.numbers().chain([(0.0, histogram.small)]).collect();
        choose((histogram.least, histogram.most), numbers, format, range)
    }
}

/// The scale of numbers that are all there are.
pub(super) fn scale_of(numbers: &[f32], format: Format, range: Range) -> Result<Scale, NetworkError> {
    let finite = || numbers.iter().copied().filter(|x| x.is_finite());
    let ends = finite().fold((0.0f32, 0.0f32), |(least, most), x| (least.min(x), most.max(x)));
    let counted = if range == Range::Largest { Vec::new() } else { finite().map(|x| (x, 1)).collect() };
    choose(ends, counted, format, range)
}

/// The scale of numbers between two ends, of which some are so often.
fn choose(
    ends: (f32, f32),
    numbers: Vec<(f32, u64)>,
    format: Format,
    range: Range,
) -> Result<Scale, NetworkError> {
    match range {
        Range::Largest => Ok(between(format, ends)),
        Range::Percentile(percent) => {
            let limit = magnitude_below(numbers, percent);
            Ok(between(format, (ends.0.max(-limit), ends.1.min(limit))))
        }
        Range::LeastError => {
            let mut best = (f64::INFINITY, between(format, ends));
            for step in 0..=TRIED {
                let share = libm::exp2(-f64::from(step) / TRIED_PER_OCTAVE) as f32;
                let scale = between(format, (ends.0 * share, ends.1 * share));
                let error = squared_error(&numbers, &rounder(format, scale)?);
                if error < best.0 {
                    best = (error, scale);
                }
            }
            Ok(best.1)
        }
    }
}

/// The scale with which a format reaches from one end to the other.
fn between(format: Format, (least, most): (f32, f32)) -> Scale {
    let is_affine = matches!(format, Format::Integer(integer) if integer.affine);
    let reach = if is_affine { most.max(0.0) - least.min(0.0) } else { most.max(-least) };
    let scale = reach / format.largest();
    if !(scale > 0.0 && scale.is_finite()) {
        return Scale::default();
    }
    // The integer that stands for zero, so that the least number is at 0.
    let zero_point = if is_affine { (-least.min(0.0) / scale).round_ties_even() } else { 0.0 };
    Scale { scale, zero_point: zero_point.clamp(0.0, format.largest()) as i32 }
}

/// The magnitude that `percent` of the numbers do not exceed.
fn magnitude_below(mut numbers: Vec<(f32, u64)>, percent: f64) -> f32 {
    numbers.sort_by(|a, b| a.0.abs().total_cmp(&b.0.abs()));
    let all: u64 = numbers.iter().map(|(_, count)| count).sum();
    let wanted = all as f64 * percent.clamp(0.0, 100.0) / 100.0;
    let mut seen = 0;
    for (x, count) in &numbers {
        seen += count;
        if seen as f64 >= wanted && *x != 0.0 {
            return x.abs();
        }
    }
    numbers.last().map_or(0.0, |(x, _)| x.abs())
}

fn squared_error(numbers: &[(f32, u64)], rounder: &Rounder) -> f64 {
    let error = |(x, count): &(f32, u64)| {
        let error = f64::from(rounder.round(*x, 0)) - f64::from(*x);
        error * error * *count as f64
    };
    numbers.iter().map(error).sum()
}
