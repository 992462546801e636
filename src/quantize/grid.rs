//! Rate-distortion optimised assignment on a uniform grid: every weight takes the number m that makes
//! h·(w − m·step)² + λ·bits least, with the bits that the context coder will spend on it among its neighbours.
//!
//! Entropy-constrained quantization with equidistant levels (Choi, El-Khamy and Lee 2017, section 4; Chou, Lookabaugh and
//! Gray 1989) by the adaptive coder's own costs; with a trellis (Marcellin and Fischer 1990; Fischer and Wang 1992; Joshi,
//! Crump and Fischer 1995) numbers come from a grid twice as fine, half of which each weight may use. λ is in units of
//! (ln 2 / 6)·step², the slope of rate-distortion theory at high rates (THEORY: D = step²/12, dD/dR = −2·ln 2·D): 1 trades as
//! a fine uniform quantizer does.
//!
//! The assignment itself is [`crate::entropy::assign`], since it needs the weights in the order of coding. Here are the
//! settings and the [prediction](solve) from cells, which knows no neighbours: order-0 entropy, and for a trellis the gain
//! measured on a Gaussian. Cost of a prediction: a few passes over cells.

use super::assemble::measured;
use super::quantizer::MAX_LEVELS;
use super::rate_aware::RateAware;
use super::uniform::deviation;
use super::{
    Parameter, ParameterKind, Problem, QuantizeError, Quantizer, Rule, Settings, SettingsError, Solution,
};
use crate::histogram::Moments;
use crate::rate_distortion::entropy_bits;

const STEP: Parameter = Parameter {
    id: "step",
    title: "Step",
    summary: "distance between neighbouring values that a weight may take, in standard deviations of the weights",
    kind: ParameterKind::Number { min: 0.002, max: 8.0, default: 0.5 },
};

const LAMBDA: Parameter = Parameter {
    id: "lambda",
    title: "λ",
    summary: "what a bit is worth in squared error, in units of the high-rate slope; more makes more zeros",
    kind: ParameterKind::Number { min: 0.0, max: 16.0, default: 0.8 },
};

const FINE: Parameter = Parameter {
    id: "fine",
    title: "Finer biases",
    summary: "by how many halvings the step is finer for tensors with fewer than two dimensions",
    kind: ParameterKind::Integer { min: 0, max: 12, default: 4 },
};

const STATES: Parameter = Parameter {
    id: "states",
    title: "States",
    summary: "states of the trellis: more find smaller errors, and take longer",
    kind: ParameterKind::Choice(&[("32", "32"), ("64", "64"), ("16", "16"), ("8", "8"), ("4", "4")]),
};

/// Parameters of the scalar method.
pub const SCALAR_PARAMETERS: &[Parameter] = &[STEP, LAMBDA, FINE];
/// Parameters of the trellis-coded method.
pub const TRELLIS_PARAMETERS: &[Parameter] = &[STEP, LAMBDA, STATES, FINE];

/// λ = 1 in units of step²: the high-rate slope per bit.
pub const UNIT_LAMBDA: f64 = core::f64::consts::LN_2 / 6.0;

/// Ends of what a float32 can hold.
const LEAST: f64 = f32::MIN as f64;
const MOST: f64 = f32::MAX as f64;
/// Passes between assignment and rates in a prediction.
const PASSES: u32 = 6;

/// States of the trellis that settings ask for; 1 for the scalar method.
pub fn states(settings: &Settings) -> u32 {
    settings.choice("states").parse().unwrap_or(1)
}

/// What a trellis saves against the scalar quantizer at this rate, in dB: that of a unit Gaussian, measured
/// (docs/benchmarks.md), which falls to nothing as the rate does.
fn trellis_gain_db(states: u32, rate_bits: f64) -> f64 {
    let most = match states {
        1 => return 0.0,
        4 => 0.9,
        8 => 1.0,
        16 => 1.07,
        32 => 1.13,
        _ => 1.2,
    };
    most * (1.0 - libm::exp2(-1.5 * rate_bits))
}

/// Predicts what the step and λ in `settings` do to a histogram.
pub fn solve(problem: &Problem, settings: &Settings) -> Result<Solution, QuantizeError> {
    let cells = problem.histogram.moments();
    if cells.is_empty() {
        return Err(QuantizeError::NoWeights);
    }
    let step = settings.number("step") * deviation(problem.histogram);
    let least = mean(cells.first()) / step;
    let most = mean(cells.last()) / step;
    if most - least > (MAX_LEVELS - 3) as f64 {
        return Err(SettingsError {
            field: "step".to_owned(),
            expected: format!("a step that reaches the largest weight in {} numbers", MAX_LEVELS / 2),
            found: format!("{}, which needs {:.0}", settings.number("step"), most - least),
        }
        .into());
    }
    let first = libm::floor(least.min(0.0));
    let count = (libm::ceil(most.max(0.0)) - first) as usize + 1;
    let values: Vec<f64> = (0..count).map(|i| ((first + i as f64) * step).clamp(LEAST, MOST)).collect();
    let lambda = settings.number("lambda") * UNIT_LAMBDA * step * step;
    // From the bits of a coder that knows nothing to those of the symbols that it leads to.
    let mut rates = vec![0.0; count];
    let mut counts = vec![0u64; count];
    for _ in 0..PASSES {
        let rule = RateAware::from_values(&values, lambda, &rates);
        counts.fill(0);
        for cell in cells {
            let h = cell.importance / cell.count.max(1) as f64;
            let symbol = rule.symbol(mean(Some(cell)) as f32, h as f32);
            counts[symbol] += cell.count;
        }
        let all = counts.iter().sum::<u64>() as f64;
        for (rate, count) in rates.iter_mut().zip(&counts) {
            *rate = libm::log2((all + 1.0) / (*count as f64 + 0.5));
        }
    }
    let used = |i: &usize| counts[*i] > 0;
    let levels: Vec<f32> = (0..count).filter(used).map(|i| values[i] as f32).collect();
    let rates: Vec<f64> = (0..count).filter(used).map(|i| rates[i]).collect();
    let solution = measured(cells, Quantizer { levels, rule: Rule::RateAware { lambda, rates } });
    let gain = trellis_gain_db(states(settings), entropy_bits(&solution.counts));
    let kept = libm::exp10(-gain / 10.0);
    Ok(Solution {
        squared_error: solution.squared_error * kept,
        weighted_error: solution.weighted_error * kept,
        iterations: PASSES,
        ..solution
    })
}

fn mean(cell: Option<&Moments>) -> f64 {
    cell.map_or(0.0, |cell| cell.sum / cell.count.max(1) as f64)
}

#[cfg(test)]
mod tests {
    use super::super::{Value, methods, random::SplitMix64};
    use super::*;
    use crate::histogram::Histogram;
    use std::collections::BTreeMap;

    fn gaussian(count: usize) -> Vec<f32> {
        let mut random = SplitMix64::new(3);
        let mut next = || {
            let (a, b) = (random.unit(), random.unit());
            libm::sqrt(-2.0 * libm::log(1.0 - a)) * libm::cos(std::f64::consts::TAU * b)
        };
        (0..count).map(|_| next() as f32).collect()
    }

    fn predicted(id: &str, given: &[(&str, f64)]) -> (f64, f64) {
        let values = gaussian(100_000);
        let histogram = Histogram::new(&values, None);
        let method = methods::find(id).unwrap();
        let given: BTreeMap<_, _> =
            given.iter().map(|(id, value)| ((*id).to_owned(), Value::Number(*value))).collect();
        let settings = Settings::new(method.parameters, &given).unwrap();
        let solution = (method.solve)(&Problem { histogram: &histogram, sample: None }, &settings).unwrap();
        (entropy_bits(&solution.counts), solution.squared_error / values.len() as f64)
    }

    #[test]
    fn predictions_of_the_scalar_method_lie_on_the_entropy_constrained_curve() {
        // Gaussian D of ECSQ at R = 2 and 3 bits: 0.088_923_5 and 0.0222384, 6.02 dB per bit between.
        for (step, d2) in [(0.9, 0.088_923_5), (0.5, 0.088_923_5)] {
            let (rate, d) = predicted("rdo", &[("step", step)]);
            let ideal = d2 * libm::exp2(-2.0 * (rate - 2.0));
            assert!((10.0 * libm::log10(d / ideal)).abs() < 0.15, "{step}: {rate} {d} {ideal}");
        }
    }

    #[test]
    fn more_lambda_is_fewer_bits_and_more_error() {
        let points = [0.0, 0.5, 1.0, 2.0, 4.0].map(|lambda| predicted("rdo", &[("lambda", lambda)]));
        assert!(points.windows(2).all(|pair| pair[1].0 < pair[0].0 && pair[1].1 > pair[0].1), "{points:?}");
    }

    #[test]
    fn a_trellis_is_predicted_to_err_less() {
        let scalar = predicted("rdo", &[("step", 0.5)]);
        let trellis = predicted("trellis", &[("step", 0.5)]);
        assert_eq!(scalar.0, trellis.0);
        assert!((10.0 * libm::log10(scalar.1 / trellis.1) - 1.08).abs() < 0.05);
        assert_eq!(trellis_gain_db(8, 0.0), 0.0);
    }
}
