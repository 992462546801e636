//! Block-scaled numbers: every few weights of a row share a scale, and each takes the nearest value of a number format times it
//! (Dettmers and Zettlemoyer 2023, section 2; Open Compute Project 2023, Microscaling Formats 1.0).
//!
//! The scale makes the block's largest magnitude the format's largest value, so nothing is solved;
//! [`crate::code::scaled`] does the work, since blocks are runs of weights in the order of coding. Here are the settings
//! and a [prediction](solve) from cells.
//!
//! Of a block of B weights, independent and distributed as the cells say, the largest magnitude is below m with the probability
//! F(m)^B, F being that of one magnitude. The prediction takes `QUANTILES` such m, evenly spread in probability, each with the
//! weights up to it. Cost: a pass over cells for each.

use super::assemble::measured;
use super::points::plain_mean;
use super::{Parameter, ParameterKind, Problem, QuantizeError, Quantizer, Settings, Solution};
use crate::code::Scaled;
use crate::code::scaled::MOST_IN_BLOCK;
use crate::entropy::CodeError;
use crate::histogram::Moments;
use crate::number_format::{self, BITS, FAMILIES, Family};
use crate::order;
use crate::tensor::Dtype;

/// Scales that a prediction looks at.
const QUANTILES: u32 = 8;

/// Parameters of the method.
pub const PARAMETERS: &[Parameter] = &[
    Parameter {
        id: "bits",
        title: "Bits",
        summary: "bits of a value; scales come on top",
        kind: ParameterKind::Integer { min: BITS.0 as u64, max: BITS.1 as u64, default: 4 },
    },
    Parameter {
        id: "numbers",
        title: "Numbers",
        summary: "which numbers so many bits are",
        kind: ParameterKind::Choice(number_format::WORDS),
    },
    Parameter {
        id: "block",
        title: "Block",
        summary: "weights of a row that share a scale",
        kind: ParameterKind::Integer { min: 4, max: MOST_IN_BLOCK as u64, default: 64 },
    },
    Parameter {
        id: "scale",
        title: "Scales",
        summary: "the type of the scales",
        kind: ParameterKind::Choice(&[("bf16", "bfloat16"), ("f16", "float16"), ("f32", "float32")]),
    },
];

/// The code that settings ask for.
pub fn code(settings: &Settings) -> Result<Scaled, CodeError> {
    Scaled::new(
        family(settings),
        settings.integer("bits") as u32,
        scale(settings),
        settings.integer("block") as u32,
    )
}

fn family(settings: &Settings) -> &'static Family {
    number_format::find(settings.choice("numbers")).unwrap_or(&FAMILIES[0])
}

fn scale(settings: &Settings) -> Dtype {
    match settings.choice("scale") {
        "f16" => Dtype::F16,
        "f32" => Dtype::F32,
        _ => Dtype::Bf16,
    }
}

/// Bits of scales per weight.
pub fn overhead(settings: &Settings) -> f64 {
    (8 * scale(settings).size_bytes()) as f64 / settings.integer("block") as f64
}

/// Predicts what the settings do to a histogram.
pub fn solve(problem: &Problem, settings: &Settings) -> Result<Solution, QuantizeError> {
    let cells = problem.histogram.moments();
    if cells.is_empty() {
        return Err(QuantizeError::NoWeights);
    }
    let values = (family(settings).values)(settings.integer("bits") as u32);
    let magnitudes: Vec<(f64, u64)> = cells.iter().map(|cell| (plain_mean(cell).abs(), cell.count)).collect();
    let magnitudes = order::sorted_by_key(&magnitudes, |(magnitude, _)| order::key_f64(*magnitude));
    let all: u64 = cells.iter().map(|cell| cell.count).sum();
    let mut counts = vec![0.0; values.len()];
    let (mut squared_error, mut weighted_error, mut typical) = (0.0, 0.0, None);
    for quantile in 0..QUANTILES {
        let probability = (f64::from(quantile) + 0.5) / f64::from(QUANTILES);
        let share = libm::pow(probability, 1.0 / settings.integer("block") as f64);
        let largest = largest_of(&magnitudes, share * all as f64);
        let below: Vec<Moments> =
            cells.iter().filter(|cell| plain_mean(cell).abs() <= largest).copied().collect();
        let here = measured(&below, Quantizer::nearest(levels(&values, largest)));
        let weight = all as f64 / here.counts.iter().sum::<u64>().max(1) as f64 / f64::from(QUANTILES);
        squared_error += here.squared_error * weight;
        weighted_error += here.weighted_error * weight;
        for (sum, count) in counts.iter_mut().zip(&here.counts) {
            *sum += *count as f64 * weight;
        }
        if quantile == QUANTILES / 2 {
            typical = Some(here.quantizer);
        }
    }
    let quantizer = typical.ok_or(QuantizeError::NoWeights)?;
    // Levels that rounding made equal are one; theirs are the counts of the last.
    let last = quantizer.levels.len().saturating_sub(1);
    let beyond: f64 = counts.drain(last + 1..).sum();
    counts.iter_mut().skip(last).for_each(|count| *count += beyond);
    let counts = whole(&counts);
    Ok(Solution { quantizer, counts, squared_error, weighted_error, iterations: QUANTILES, optimal: false })
}

/// A format's values where the largest is that of a block; all weights are zero where there is none.
fn levels(values: &[f32], largest: f64) -> Vec<f32> {
    let scale = largest / f64::from(values.last().copied().unwrap_or(1.0));
    let mut levels: Vec<f32> = values.iter().map(|value| (f64::from(*value) * scale) as f32 + 0.0).collect();
    levels.dedup();
    levels
}

/// Counts as whole numbers, rounded along their running sum, so that they add up to as many.
fn whole(counts: &[f64]) -> Vec<u64> {
    let mut sum = 0.0;
    let rounded = counts.iter().map(|count| {
        let before = libm::rint(sum) as u64;
        sum += count;
        libm::rint(sum) as u64 - before
    });
    rounded.collect()
}

/// The magnitude below which so many weights lie.
fn largest_of(magnitudes: &[(f64, u64)], count: f64) -> f64 {
    let mut below = 0.0;
    let reached = magnitudes.iter().find(|(_, own)| {
        below += *own as f64;
        below >= count
    });
    reached.or(magnitudes.last()).map_or(0.0, |(magnitude, _)| *magnitude)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::histogram::Histogram;
    use crate::quantize::Value;

    fn settings(bits: u64, block: u64) -> Settings {
        let given = [("bits".to_owned(), Value::Integer(bits)), ("block".to_owned(), Value::Integer(block))];
        Settings::new(PARAMETERS, &given.into()).unwrap()
    }

    /// Numbers that are as near to a Gaussian as twelve uniform ones together are.
    fn gaussian(count: usize) -> Vec<f32> {
        let mut random = crate::random::SplitMix64::new(5);
        (0..count).map(|_| ((0..12).map(|_| random.unit()).sum::<f64>() - 6.0) as f32).collect()
    }

    #[test]
    fn the_prediction_is_near_what_blocks_of_such_weights_come_to() {
        let weights = gaussian(1 << 15);
        let histogram = Histogram::new(&weights, None);
        for (bits, block) in [(2, 16), (4, 64), (6, 256)] {
            let settings = settings(bits, block);
            let predicted = solve(&Problem { histogram: &histogram, sample: None }, &settings).unwrap();
            let (code, mut symbols, mut values) = (code(&settings).unwrap(), Vec::new(), Vec::new());
            let code = crate::code::Code::Scaled(code);
            let rows = crate::entropy::Rows::default();
            let assigned = code.assign(&weights, None, rows, None, &mut symbols).unwrap();
            code.extend_values(&symbols, assigned.scales(rows), &mut values);
            let error: f64 =
                weights.iter().zip(&values).map(|(w, v)| f64::from(w - v) * f64::from(w - v)).sum();
            let ratio = predicted.squared_error / error;
            assert!((0.93..1.07).contains(&ratio), "{bits} bits, blocks of {block}: {ratio}");
            assert_eq!(predicted.counts.iter().sum::<u64>(), weights.len() as u64);
            assert_eq!(predicted.counts.len(), code.symbols());
        }
        assert_eq!(overhead(&settings(4, 64)), 0.25);
    }

    #[test]
    fn zeros_alone_have_a_prediction() {
        let zeros = Histogram::new(&[0.0; 20], None);
        let solution = solve(&Problem { histogram: &zeros, sample: None }, &settings(4, 64)).unwrap();
        assert_eq!((solution.squared_error, solution.counts.iter().sum::<u64>()), (0.0, 20));
    }
}
