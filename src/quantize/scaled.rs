//! Block-scaled numbers: every few weights of a row share a scale, and each takes the nearest value of a number format times it
//! (Dettmers and Zettlemoyer 2023, section 2; Open Compute Project 2023, Microscaling Formats 1.0).
//!
//! [`crate::code::scaled`] does the work, since blocks are runs of weights in the order of coding. Here are the settings
//! and a [prediction](solve) from cells, which takes every scale to be the largest magnitude's.
//!
//! Of a block of B weights, independent and distributed as the cells say, the largest magnitude is below m with the probability
//! F(m)^B, F being that of one magnitude. The prediction takes `QUANTILES` such m, evenly spread in probability, each with the
//! weights up to it. Cost: a pass over cells for each.

use super::assemble::measured;
use super::layouts::{Asked, WORDS};
use super::points::plain_mean;
use super::{Parameter, ParameterKind, Problem, QuantizeError, Quantizer, Settings, SettingsError, Solution};
use crate::code::scaled::MOST_IN_BLOCK;
use crate::code::{Fit, ScaleType, Scaled, ScaledCode};
use crate::entropy::CodeErrorKind;
use crate::histogram::Moments;
use crate::order;

/// Scales that a prediction looks at.
const QUANTILES: u32 = 8;

/// Parameters of the method.
pub const PARAMETERS: &[Parameter] = &[
    Parameter {
        id: "bits",
        title: "Bits",
        summary: "bits of a value; scales come on top",
        kind: ParameterKind::Integer { min: 2, max: 16, default: 4 },
    },
    Parameter {
        id: "numbers",
        title: "Numbers",
        summary: "which numbers so many bits are; or a layout, which says bits, block and scales, too",
        kind: ParameterKind::Choice(WORDS),
    },
    Parameter {
        id: "format",
        title: "Format",
        summary: "the one format of this name in place of a family's; its own bits count then",
        kind: ParameterKind::Format,
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
        kind: ParameterKind::Choice(&[
            ("bf16", "bfloat16"),
            ("f16", "float16"),
            ("f32", "float32"),
            ("e8m0", "powers of two"),
            ("e4m3", "FP8 E4M3, times a float32 of the tensor"),
            ("tensor", "one float32 for the tensor"),
            ("none", "none: values as they are"),
            ("uint4", "integers from 0 to 15, times a float16 of 256 weights"),
            ("uint6", "integers from 0 to 63, times a float16 of 256 weights"),
            ("int6", "integers from -32 to 31, times a float16 of 256 weights"),
            ("int8", "integers from -128 to 127, times a float16 of 256 weights"),
        ]),
    },
    Parameter {
        id: "fit",
        title: "Scale by",
        summary: "how a block's scale is chosen: of all that its type has, by the largest magnitude or by the least error",
        kind: ParameterKind::Choice(&[
            ("largest", "largest magnitude"),
            ("squared", "least squared error"),
            ("weighted", "least error by importance"),
        ]),
    },
];

/// The code that settings ask for.
pub fn code(settings: &Settings) -> Result<ScaledCode, SettingsError> {
    let asked = Asked::new(settings)?;
    let fit = Fit::find(settings.choice("fit")).unwrap_or(Fit::Largest);
    let code =
        Scaled::new(asked.format, asked.scale, asked.block).and_then(|code| ScaledCode::new(code, fit));
    code.map_err(|error| match error.into_kind() {
        CodeErrorKind::Damaged { expected, found, .. } => {
            SettingsError { field: "numbers".to_owned(), expected, found }
        }
        other => SettingsError {
            field: "numbers".to_owned(),
            expected: "a code".to_owned(),
            found: other.to_string(),
        },
    })
}

/// Bits of scales per weight.
pub fn overhead(settings: &Settings) -> f64 {
    Asked::new(settings).map_or(0.0, |asked| asked.overhead())
}

/// Predicts what the settings do to a histogram.
pub fn solve(problem: &Problem, settings: &Settings) -> Result<Solution, QuantizeError> {
    let cells = problem.histogram.moments();
    if cells.is_empty() {
        return Err(QuantizeError::NoWeights);
    }
    let code = code(settings)?;
    let code = code.codebook();
    let magnitudes: Vec<(f64, u64)> = cells.iter().map(|cell| (plain_mean(cell).abs(), cell.count)).collect();
    let magnitudes = order::sorted_by_key(&magnitudes, |(magnitude, _)| order::key_f64(*magnitude));
    let all: u64 = cells.iter().map(|cell| cell.count).sum();
    let mut counts = vec![0.0; code.values().len()];
    let (mut squared_error, mut weighted_error, mut typical) = (0.0, 0.0, None);
    // Where blocks have no scale of their own, all weights have the same.
    let importance: f64 = cells.iter().map(|cell| cell.importance).sum();
    let (block, quantiles) = match code.scale_type().dtype() {
        Some(_) => (f64::from(code.block()), QUANTILES),
        None => (all as f64, 1),
    };
    for quantile in 0..quantiles {
        let probability = (f64::from(quantile) + 0.5) / f64::from(quantiles);
        let share = if quantiles == 1 { 1.0 } else { libm::pow(probability, 1.0 / block) };
        let largest = largest_of(&magnitudes, share * all as f64);
        let below: Vec<Moments> =
            cells.iter().filter(|cell| plain_mean(cell).abs() <= largest).copied().collect();
        let here = measured(&below, Quantizer::nearest(levels(code, largest)));
        let weight = all as f64 / here.counts.iter().sum::<u64>().max(1) as f64 / f64::from(quantiles);
        // One weight of every block is its largest, and may be cut to the format's largest value.
        let end = if code.is_signed() { -largest } else { largest };
        let (own, nearest) = (1.0 / block, here.quantizer.symbol(end as f32, 1.0));
        let cut = end - here.quantizer.levels.get(nearest).map_or(0.0, |level| f64::from(*level));
        let cut = own * cut * cut / f64::from(quantiles);
        squared_error += here.squared_error * weight * (1.0 - own) + all as f64 * cut;
        weighted_error += here.weighted_error * weight * (1.0 - own) + importance * cut;
        for (sum, count) in counts.iter_mut().zip(&here.counts) {
            *sum += *count as f64 * weight;
        }
        if quantile == quantiles / 2 {
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

/// A code's values in a block whose largest magnitude is this; a block of an affine code reaches as far on either side of zero.
fn levels(code: &Scaled, largest: f64) -> Vec<f32> {
    let extreme = code.extreme().abs();
    let zero = if code.has_minima() { f64::from(extreme) / 2.0 } else { 0.0 };
    let scale = match code.scale_type() {
        ScaleType::None => 1.0,
        ScaleType::E8m0 => f64::from(ScaleType::E8m0.of_largest(largest as f32, extreme)),
        _ => largest / (f64::from(extreme) - zero),
    };
    let level = |value: &f32| ((f64::from(*value) - zero) * scale) as f32 + 0.0;
    let mut levels: Vec<f32> = code.values().iter().map(level).collect();
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
    use crate::compensation::ErrorCosts;
    use crate::histogram::Histogram;
    use crate::quantize::Value;

    fn settings(bits: u64, block: u64) -> Settings {
        let given = [("bits".to_owned(), Value::Integer(bits)), ("block".to_owned(), Value::Integer(block))];
        Settings::new(PARAMETERS, &given.into()).unwrap()
    }

    fn layout(id: &str) -> Settings {
        Settings::new(PARAMETERS, &[("numbers".to_owned(), Value::Choice(id.to_owned()))].into()).unwrap()
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
        let layouts = ["mxfp6-e2m3", "nf4", "q8_0", "fp16", "int8-tensor", "q6_k", "q3_k"].map(layout);
        for settings in
            [(2, 16), (4, 64), (6, 256)].map(|(bits, block)| settings(bits, block)).iter().chain(&layouts)
        {
            let predicted = solve(&Problem { histogram: &histogram, sample: None }, settings).unwrap();
            let largest = weights.iter().fold(0.0f32, |most, weight| most.max(weight.abs()));
            let (code, mut symbols, mut values) =
                (code(settings).unwrap().of_tensor(largest), Vec::new(), Vec::new());
            let code = crate::code::Code::Scaled(code);
            let rows = crate::entropy::Rows::default();
            let assigned = code.assign(&weights, ErrorCosts::default(), rows, None, &mut symbols).unwrap();
            code.extend_values(&symbols, assigned.scales(rows), &mut values);
            let error: f64 =
                weights.iter().zip(&values).map(|(w, v)| f64::from(w - v) * f64::from(w - v)).sum();
            let ratio = predicted.squared_error / error;
            assert!((0.93..1.07).contains(&ratio), "{settings:?}: {ratio}");
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
