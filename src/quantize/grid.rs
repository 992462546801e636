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
//! settings and the [prediction](solve), from cells or from pairs of weight and importance, which knows no neighbours:
//! order-0 entropy, and for a trellis the gain measured on a Gaussian. Cost of a prediction: a few passes over cells.

use super::assemble::measured;
use super::ecsq_sample::scaled;
use super::uniform::deviation;
use super::{
    Parameter, ParameterKind, Problem, QuantizeError, Quantizer, Rule, Settings, SettingsError, Solution,
};
use crate::code::{MAX_LEVELS, RateAware};
use crate::histogram::Moments;
use crate::rate_distortion::entropy_bits;

/// The step, which the engine chooses where a recipe leaves it open.
pub const STEP: Parameter = Parameter {
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

/// (Weight, importance) pairs that a prediction looks at, about.
const PAIRS: usize = 1 << 15;
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
    let rates = rates(problem, &values, lambda);
    let used = |i: &usize| rates.counts[*i] > 0;
    let levels: Vec<f32> = (0..count).filter(used).map(|i| values[i] as f32).collect();
    let kept: Vec<f64> = (0..count).filter(used).map(|i| rates.bits[i]).collect();
    let quantizer = Quantizer { levels, rule: Rule::RateAware { lambda, rates: kept } };
    let solution = match problem.sample {
        Some(sample) if !sample.is_empty() => on_sample(problem, sample, quantizer),
        _ => measured(cells, quantizer),
    };
    let gain = trellis_gain_db(states(settings), entropy_bits(&solution.counts));
    let kept = libm::exp10(-gain / 10.0);
    Ok(Solution {
        squared_error: solution.squared_error * kept,
        weighted_error: solution.weighted_error * kept,
        iterations: PASSES,
        ..solution
    })
}

/// Weights per value, and the bits of each.
struct Rates {
    counts: Vec<u64>,
    bits: Vec<f64>,
}

/// From the bits of a coder that knows nothing to those of the symbols that it leads to: of the cells, or of some (weight,
/// importance) pairs where importance differs between weights.
fn rates(problem: &Problem, values: &[f64], lambda: f64) -> Rates {
    let mut rates = Rates { counts: vec![0; values.len()], bits: vec![0.0; values.len()] };
    for _ in 0..PASSES {
        let rule = RateAware::from_values(values, lambda, &rates.bits);
        rates.counts.fill(0);
        match problem.sample {
            Some(sample) if !sample.is_empty() => {
                for (w, h) in thinned(sample) {
                    rates.counts[rule.symbol(*w, *h)] += 1;
                }
            }
            _ => {
                for cell in problem.histogram.moments() {
                    let h = cell.importance / cell.count.max(1) as f64;
                    rates.counts[rule.symbol(mean(Some(cell)) as f32, h as f32)] += cell.count;
                }
            }
        }
        let all = rates.counts.iter().sum::<u64>() as f64;
        for (bits, count) in rates.bits.iter_mut().zip(&rates.counts) {
            *bits = libm::log2((all + 1.0) / (*count as f64 + 0.5));
        }
    }
    rates
}

/// Some of a sample, evenly spread.
fn thinned(sample: &[(f32, f32)]) -> impl Iterator<Item = &(f32, f32)> {
    sample.iter().step_by(sample.len().div_ceil(PAIRS))
}

/// A quantizer with what it does to a sample, scaled up to all weights.
fn on_sample(problem: &Problem, sample: &[(f32, f32)], quantizer: Quantizer) -> Solution {
    let mut counts = vec![0u64; quantizer.levels.len()];
    let (mut squared, mut weighted) = (0.0, 0.0);
    let rule = match &quantizer.rule {
        Rule::RateAware { lambda, rates } => RateAware::new(&quantizer.levels, *lambda, rates),
        Rule::Thresholds(_) => return measured(problem.histogram.moments(), quantizer),
    };
    for (w, h) in thinned(sample) {
        let symbol = rule.symbol(*w, *h);
        counts[symbol] += 1;
        let off = f64::from(*w) - f64::from(quantizer.levels[symbol]);
        squared += off * off;
        weighted += f64::from(*h) * off * off;
    }
    let all = problem.histogram.total().count;
    let seen = counts.iter().sum::<u64>().max(1);
    let scale = all as f64 / seen as f64;
    let counts = scaled(&counts, all);
    Solution {
        quantizer,
        counts,
        squared_error: squared * scale,
        weighted_error: weighted * scale,
        iterations: 0,
        optimal: false,
    }
}

fn mean(cell: Option<&Moments>) -> f64 {
    cell.map_or(0.0, |cell| cell.sum / cell.count.max(1) as f64)
}

#[cfg(test)]
mod tests {
    use super::super::{Value, methods};
    use super::*;
    use crate::histogram::Histogram;
    use crate::random::SplitMix64;
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
    fn importance_that_differs_between_weights_is_predicted_to_pay() {
        // THEORY 4.1: at 2 bits, importance of log-deviation 1 is worth half a decibel by assignment alone.
        let values = gaussian(30_000);
        let mut random = SplitMix64::new(8);
        let h: Vec<f32> = values.iter().map(|_| if random.unit() < 0.5 { 0.1 } else { 1.9 }).collect();
        let pairs: Vec<(f32, f32)> = values.iter().copied().zip(h.iter().copied()).collect();
        let histogram = Histogram::new(&values, Some(&h));
        let given = BTreeMap::from([("step".to_owned(), Value::Number(1.0))]);
        let settings = Settings::new(SCALAR_PARAMETERS, &given).unwrap();
        let seen = |sample| {
            let solution = solve(&Problem { histogram: &histogram, sample }, &settings).unwrap();
            assert_eq!(solution.counts.iter().sum::<u64>(), 30_000);
            (entropy_bits(&solution.counts), 10.0 * libm::log10(solution.weighted_error))
        };
        let (blind, seeing) = (seen(None), seen(Some(pairs.as_slice())));
        // In decibels at equal rate.
        let gain = blind.1 - seeing.1 + 6.02 * (blind.0 - seeing.0);
        assert!(gain > 0.3, "{gain} {blind:?} {seeing:?}");
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
