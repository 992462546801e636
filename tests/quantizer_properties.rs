//! What must hold for every method and any weights: consistency, order between methods, bounds, scale, degenerate input.

#![cfg(not(target_arch = "wasm32"))]
#![allow(missing_docs, clippy::unwrap_used)]

use std::collections::BTreeMap;

use proptest::prelude::*;
use quantscope::code::Kind;
use quantscope::histogram::Histogram;
use quantscope::quantize::{
    METHODS, Problem, QuantizeError, Quantizer, Rule, Settings, Solution, Value, kmeans, methods,
};
use quantscope::random::SplitMix64;
use quantscope::rate_distortion::bounds::{fit, shannon_lower_bound};
use quantscope::rate_distortion::entropy_bits;

type Given<'a> = &'a [(&'a str, Value)];
/// A name, weights and their importance.
type Case = (&'static str, Vec<f32>, Option<Vec<f32>>);

fn try_solve(problem: &Problem, method: &str, given: Given) -> Result<Solution, QuantizeError> {
    let method = methods::find(method).unwrap();
    let given: BTreeMap<String, Value> =
        given.iter().map(|(id, value)| ((*id).to_owned(), value.clone())).collect();
    (method.solve)(problem, &Settings::new(method.parameters, &given).unwrap())
}

fn solve(histogram: &Histogram, method: &str, given: Given) -> Solution {
    try_solve(&Problem { histogram, sample: None }, method, given).unwrap()
}

fn normal(random: &mut SplitMix64) -> f64 {
    let radius = libm::sqrt(-2.0 * libm::log(1.0 - random.unit()));
    radius * libm::cos(2.0 * std::f64::consts::PI * random.unit())
}

fn normals(seed: u64, n: usize) -> Vec<f32> {
    let mut random = SplitMix64::new(seed);
    (0..n).map(|_| normal(&mut random) as f32).collect()
}

/// Σ (w − ŵ)² and Σ h·(w − ŵ)² over the weights themselves.
fn measured(quantizer: &Quantizer, values: &[f32], h: Option<&[f32]>) -> (f64, f64) {
    let mut symbols = Vec::new();
    quantizer.symbols(values, h, &mut symbols);
    let mut sums = (0.0, 0.0);
    for (i, (w, symbol)) in values.iter().zip(&symbols).enumerate() {
        let d = f64::from(*w) - f64::from(quantizer.levels[usize::from(*symbol)]);
        sums = (sums.0 + d * d, sums.1 + h.map_or(1.0, |h| f64::from(h[i])) * d * d);
    }
    sums
}

/// J in units of the variance.
fn objective(histogram: &Histogram, solution: &Solution, lambda: f64) -> f64 {
    let variance = fit(histogram).unwrap().variance;
    let count = histogram.total().count as f64;
    solution.squared_error / count / variance + lambda * entropy_bits(&solution.counts)
}

#[test]
fn every_method_predicts_what_its_quantizer_does() {
    let mut random = SplitMix64::new(1);
    let values = normals(2, 30_000);
    let h: Vec<f32> = values.iter().map(|_| libm::exp(normal(&mut random)) as f32).collect();
    let sample: Vec<(f32, f32)> = values.iter().copied().zip(h.iter().copied()).collect();
    let plain = Histogram::new(&values, None);
    let weighted = Histogram::new(&values, Some(&h));
    for method in METHODS {
        for (histogram, h, sample) in
            [(&plain, None, None), (&weighted, Some(h.as_slice()), Some(sample.as_slice()))]
        {
            let found = try_solve(&Problem { histogram, sample }, method.id, &[]).unwrap();
            assert!(Quantizer::new(found.quantizer.levels.clone(), found.quantizer.rule.clone()).is_ok());
            assert_eq!(found.counts.len(), found.quantizer.levels.len());
            assert_eq!(found.counts.iter().sum::<u64>(), values.len() as u64);
            let (squared, importance_weighted) = measured(&found.quantizer, &values, h);
            // Methods on grids predict with the mean importance of cells, and a trellis what its search will save; the scales of
            // block-scaled numbers are the blocks' own.
            if method.code == Kind::Levels || (method.id == "rdo" && h.is_none()) {
                assert!((found.squared_error / squared - 1.0).abs() < 2e-3, "{}", method.id);
                assert!((found.weighted_error / importance_weighted - 1.0).abs() < 2e-3, "{}", method.id);
            }
            let mut symbols = Vec::new();
            found.quantizer.symbols(&values, h, &mut symbols);
            for (i, symbol) in symbols.iter().enumerate().step_by(97) {
                let importance = h.map_or(1.0, |h| h[i]);
                assert_eq!(found.quantizer.symbol(values[i], importance), usize::from(*symbol));
            }
        }
    }
}

#[test]
fn the_exact_optimum_is_never_above_lloyd_from_any_start() {
    let values = normals(3, 20_000);
    let histogram = Histogram::new(&values, None);
    for k in [1u32, 2, 3, 8, 16, 61, 256] {
        let exact = kmeans::curve(&Problem { histogram: &histogram, sample: None }, &[k]).unwrap().remove(0);
        for start in ["uniform", "density", "plusplus"] {
            let given = [("k", Value::Integer(u64::from(k))), ("start", Value::Choice(start.to_owned()))];
            let lloyd = solve(&histogram, "lloyd", &given);
            assert!(exact.squared_error <= lloyd.squared_error * (1.0 + 1e-9), "{k} {start}");
            assert!(lloyd.quantizer.levels.len() <= k as usize && !lloyd.counts.contains(&0));
            if k <= 2 {
                assert!(lloyd.squared_error <= exact.squared_error * 1.001, "{k} {start}");
            }
        }
    }
}

#[test]
fn iterative_ecsq_is_never_worse_than_uniform_and_near_the_exact_one() {
    for seed in 0..3 {
        let mut values = normals(seed, 20_000);
        if seed == 1 {
            for w in &mut values {
                *w *= w.abs();
            }
        }
        if seed == 2 {
            for w in &mut values {
                *w += 3.0;
            }
        }
        let histogram = Histogram::new(&values, None);
        for lambda in [0.0005, 0.005, 0.03, 0.2, 0.8] {
            let given = [("lambda", Value::Number(lambda))];
            let found = objective(&histogram, &solve(&histogram, "ecsq", &given), lambda);
            let exact = objective(&histogram, &solve(&histogram, "ecsq-exact", &given), lambda);
            assert!(found <= exact * 1.003, "{seed} {lambda}: {found} {exact}");
            assert!(exact <= found * 1.003, "{seed} {lambda}: {found} {exact}");
            for step in [0.5, 0.7, 1.0, 1.4, 2.0, 2.8] {
                let step = step * libm::sqrt(6.0 * lambda / std::f64::consts::LN_2);
                if (0.005..8.0).contains(&step) {
                    let uniform = solve(&histogram, "uniform", &[("step", Value::Number(step))]);
                    let uniform = objective(&histogram, &uniform, lambda);
                    assert!(found <= uniform * 1.0005, "{seed} {lambda}: {found} {uniform}");
                }
            }
        }
    }
}

#[test]
fn rate_falls_and_error_grows_with_lambda_above_the_shannon_bound() {
    let histogram = Histogram::new(&normals(4, 50_000), None);
    let fit = fit(&histogram).unwrap();
    for method in ["ecsq", "ecsq-exact"] {
        let mut last = (f64::INFINITY, 0.0);
        for i in 0..20 {
            let lambda = 0.0005 * libm::pow(2.0, f64::from(i) / 2.0);
            let found = solve(&histogram, method, &[("lambda", Value::Number(lambda))]);
            let (rate, error) = (entropy_bits(&found.counts), found.squared_error / 50_000.0);
            // Local optima and cells allow a sliver.
            assert!(rate <= last.0 + 2e-3 && error >= last.1 * (1.0 - 2e-3), "{method} {lambda}");
            assert!(error >= shannon_lower_bound(fit.gaussian_bits, rate) * 0.999, "{method} {lambda}");
            last = (rate, error);
        }
    }
}

#[test]
fn importance_aware_assignment_gains_what_theory_says() {
    // w ~ N(0, 1), log h ~ N(0, 1): about 1.1 dB of weighted error over a uniform quantizer at one bit.
    let mut random = SplitMix64::new(8);
    let values = normals(9, 60_000);
    let h: Vec<f32> = values.iter().map(|_| libm::exp(normal(&mut random)) as f32).collect();
    let histogram = Histogram::new(&values, Some(&h));
    let sample: Vec<(f32, f32)> = values.iter().copied().zip(h.iter().copied()).collect();
    let problem = Problem { histogram: &histogram, sample: Some(&sample) };
    let found = try_solve(&problem, "ecsq", &[("lambda", Value::Number(0.38))]).unwrap();
    let rate = entropy_bits(&found.counts);
    assert!((rate - 1.0).abs() < 0.25, "{rate}");
    let (mut low, mut high) = (0.5, 6.0);
    for _ in 0..30 {
        let step = 0.5 * (low + high);
        let uniform = try_solve(&problem, "uniform", &[("step", Value::Number(step))]).unwrap();
        if entropy_bits(&uniform.counts) > rate { low = step } else { high = step }
    }
    let uniform = try_solve(&problem, "uniform", &[("step", Value::Number(low))]).unwrap();
    let gain = 10.0 * libm::log10(uniform.weighted_error / found.weighted_error);
    assert!((0.9..1.5).contains(&gain), "{gain} dB at {rate} bits");
}

#[test]
fn degenerate_weights_are_solved_by_every_method() {
    let cases: Vec<Case> = vec![
        ("one", vec![0.3], None),
        ("equal", vec![-0.7; 100], None),
        ("zero", vec![0.0, -0.0, 0.0], None),
        ("two", vec![-1.0, 1.0], None),
        ("tiny", vec![1e-38, 2e-38, -1e-38, 3e-45], None),
        ("huge", vec![3e38, -3e38, 1e38, 2e38], None),
        ("outlier", (0..200).map(|i| i as f32 * 1e-3).chain([1e38]).collect(), None),
        ("no importance", vec![1.0, 2.0, 3.0, 9.0], Some(vec![0.0; 4])),
        ("some importance", vec![1.0, 2.0, 3.0, 9.0], Some(vec![0.0, 1.0, 0.0, 1e-30])),
    ];
    for method in METHODS {
        let empty = Histogram::default();
        let none = try_solve(&Problem { histogram: &empty, sample: None }, method.id, &[]);
        assert_eq!(none, Err(QuantizeError::NoWeights));
        for (name, values, h) in &cases {
            let histogram = Histogram::new(values, h.as_deref());
            let sample: Option<Vec<(f32, f32)>> =
                h.as_ref().map(|h| values.iter().copied().zip(h.iter().copied()).collect());
            let found =
                try_solve(&Problem { histogram: &histogram, sample: sample.as_deref() }, method.id, &[]);
            let found = found.unwrap_or_else(|error| panic!("{} {name}: {error}", method.id));
            let rule = found.quantizer.rule.clone();
            let checked = Quantizer::new(found.quantizer.levels.clone(), rule);
            assert!(checked.is_ok(), "{} {name}: {checked:?}", method.id);
            assert_eq!(found.counts.iter().sum::<u64>(), values.len() as u64, "{} {name}", method.id);
            assert!(found.squared_error.is_finite() && found.squared_error >= 0.0);
            if matches!(*name, "one" | "equal" | "zero") && method.code != Kind::Scaled {
                assert_eq!(
                    (found.squared_error, found.quantizer.levels.len()),
                    (0.0, 1),
                    "{} {name}",
                    method.id
                );
            }
        }
    }
}

#[test]
fn half_precision_weights_lose_nothing_with_a_level_each() {
    let values: Vec<f32> = (0..200).map(|i| half::f16::from_f32(i as f32 * 0.37 - 30.0).to_f32()).collect();
    let histogram = Histogram::new(&values, None);
    let found = solve(&histogram, "kmeans", &[("k", Value::Integer(4096))]);
    assert_eq!(found.squared_error, 0.0);
    assert_eq!(measured(&found.quantizer, &values, None).0, 0.0);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn exact_intervals_match_all_partitions(
        values in prop::collection::vec(-8i32..8, 1..9),
        lambda in 0.01f64..2.0,
    ) {
        let mut values: Vec<f32> = values.into_iter().map(|w| w as f32).collect();
        values.sort_by(f32::total_cmp);
        let histogram = Histogram::new(&values, None);
        let total = histogram.total();
        let n = values.len() as f64;
        let variance = (total.squares - total.sum * total.sum / n) / n;
        prop_assume!(variance > 0.0);
        let cost = |groups: &[Vec<f64>]| -> f64 {
            groups.iter().map(|group| {
                let size = group.len() as f64;
                let mean = group.iter().sum::<f64>() / size;
                let error: f64 = group.iter().map(|w| (w - mean) * (w - mean)).sum();
                error / variance + lambda * size * libm::log2(n / size)
            }).sum()
        };
        let mut best = f64::INFINITY;
        for mask in 0u32..1 << (values.len() - 1) {
            let mut groups = vec![vec![f64::from(values[0])]];
            for (i, w) in values.iter().enumerate().skip(1) {
                if mask >> (i - 1) & 1 == 1 {
                    groups.push(Vec::new());
                }
                groups.last_mut().unwrap().push(f64::from(*w));
            }
            best = f64::min(best, cost(&groups));
        }
        let found = solve(&histogram, "ecsq-exact", &[("lambda", Value::Number(lambda))]);
        let found = found.squared_error / variance + lambda * n * entropy_bits(&found.counts);
        prop_assert!((found - best).abs() <= 1e-6 * best + 1e-9, "{found} {best}");
    }

    #[test]
    fn results_scale_with_the_weights(seed in 0u64..1000, exponent in -20i32..20) {
        let factor = libm::exp2(f64::from(exponent)) as f32;
        let values = normals(seed, 400);
        let scaled: Vec<f32> = values.iter().map(|w| w * factor).collect();
        let (plain, scaled) = (Histogram::new(&values, None), Histogram::new(&scaled, None));
        for method in METHODS {
            let (a, b) = (solve(&plain, method.id, &[]), solve(&scaled, method.id, &[]));
            prop_assert_eq!(&a.counts, &b.counts, "{}", method.id);
            for (a, b) in a.quantizer.levels.iter().zip(&b.quantizer.levels) {
                prop_assert!((a * factor - b).abs() <= 1e-6 * b.abs().max(factor * 1e-3));
            }
        }
    }

    #[test]
    fn exact_errors_fall_and_are_convex_in_the_number_of_levels(seed in 0u64..1000) {
        let histogram = Histogram::new(&normals(seed, 300), None);
        let ks: Vec<u32> = (1..40).collect();
        let errors: Vec<f64> = kmeans::curve(&Problem { histogram: &histogram, sample: None }, &ks)
            .unwrap().iter().map(|found| found.squared_error).collect();
        for triple in errors.windows(3) {
            prop_assert!(triple[1] <= triple[0]);
            prop_assert!(triple[1] - triple[2] <= (triple[0] - triple[1]) * (1.0 + 1e-5));
        }
    }

    #[test]
    fn uniform_symbols_round_to_even(seed in 0u64..1000, step in 0.05f64..4.0) {
        let values = normals(seed, 200);
        let histogram = Histogram::new(&values, None);
        let found = solve(&histogram, "uniform", &[("step", Value::Number(step))]);
        let Rule::Thresholds(thresholds) = &found.quantizer.rule else { panic!() };
        prop_assert_eq!(thresholds.len() + 1, found.quantizer.levels.len());
        let index = |w: &f32| (f64::from(*w) / (step * libm::sqrt(fit(&histogram).unwrap().variance))).round_ties_even();
        let mut used: Vec<i64> = values.iter().map(|w| index(w) as i64).collect();
        used.sort_unstable();
        used.dedup();
        prop_assert_eq!(used.len(), found.quantizer.levels.len());
        for w in &values {
            prop_assert_eq!(used[found.quantizer.symbol(*w, 1.0)], index(w) as i64);
        }
    }
}
