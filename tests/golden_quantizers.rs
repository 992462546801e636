//! Published and computed values for Gaussian and Laplacian weights, and brute-forced entropy-constrained optima.
//!
//! The densities are integrated over float32 cells in closed form. A cell is up to 2^-11 of its value wide and goes to one
//! level as a whole, so a threshold is off by δ ≈ 1.4e-4 near one deviation, which costs a share of about 12·(δ/spacing)²
//! of the error and moves entropies by about δ times the density: the tolerances below.

#![allow(missing_docs, clippy::unwrap_used, clippy::unreadable_literal, clippy::approx_constant)]

use std::collections::BTreeMap;
use std::f64::consts::{PI, SQRT_2};

use quantscope::histogram::{Histogram, Moments, cell_key, cell_start};
use quantscope::quantize::{Problem, Quantizer, Settings, Solution, Value, kmeans, methods};
use quantscope::rate_distortion::entropy_bits;

#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

/// Weights standing for all of the density.
const COUNT: f64 = 1e15;

/// (∫p, ∫xp, ∫x²p) of the unit Gaussian over [a, b], 0 ≤ a < b.
fn gaussian(a: f64, b: f64) -> [f64; 3] {
    let density = |x: f64| libm::exp(-x * x / 2.0) / libm::sqrt(2.0 * PI);
    let mass = 0.5 * (libm::erfc(a / SQRT_2) - libm::erfc(b / SQRT_2));
    [mass, density(a) - density(b), mass + a * density(a) - b * density(b)]
}

/// The same of the Laplacian with unit variance.
fn laplacian(a: f64, b: f64) -> [f64; 3] {
    let tail = |x: f64| {
        let e = 0.5 * libm::exp(-SQRT_2 * x);
        let s = 1.0 / SQRT_2;
        [e, e * (x + s), e * (x * x + 2.0 * s * x + 2.0 * s * s)]
    };
    let (from, to) = (tail(a), tail(b));
    [from[0] - to[0], from[1] - to[1], from[2] - to[2]]
}

/// The symmetric density as a histogram; magnitudes below 2^-14 share one cell.
fn histogram(integrals: impl Fn(f64, f64) -> [f64; 3], end: f32) -> Histogram {
    let smallest = 1.0 / 16_384.0f32;
    let mut positive: Vec<(u32, Moments)> = Vec::new();
    for key in cell_key(smallest)..cell_key(end) {
        let [mass, first, second] = integrals(cell_start(key).into(), cell_start(key + 1).into());
        let count = libm::floor(mass * COUNT);
        if count >= 1.0 {
            positive.push((key, moments(count, first / mass, second / mass)));
        }
    }
    let [mass, _, second] = integrals(0.0, smallest.into());
    let zero = (cell_key(0.0), moments(libm::floor(2.0 * mass * COUNT), 0.0, second / mass));
    // The cell of −w is the mirror image of that of w.
    let mirror = |(key, cell): &(u32, Moments)| {
        let minus = Moments { sum: -cell.sum, weighted_sum: -cell.weighted_sum, ..*cell };
        ((1 << 20) - 1 - key, minus)
    };
    let cells = positive.iter().rev().map(mirror).chain([zero]).chain(positive.iter().copied());
    let (keys, moments) = cells.unzip();
    Histogram::from_cells(keys, moments).unwrap()
}

fn moments(count: f64, mean: f64, square: f64) -> Moments {
    let (sum, squares) = (count * mean, count * square);
    Moments {
        count: count as u64,
        sum,
        squares,
        importance: count,
        weighted_sum: sum,
        weighted_squares: squares,
    }
}

fn gaussian_histogram() -> Histogram {
    histogram(gaussian, 8.0)
}

fn laplacian_histogram() -> Histogram {
    histogram(laplacian, 26.0)
}

fn solve(histogram: &Histogram, method: &str, given: &[(&str, Value)]) -> Solution {
    let method = methods::find(method).unwrap();
    let given: BTreeMap<String, Value> =
        given.iter().map(|(id, value)| ((*id).to_owned(), value.clone())).collect();
    let settings = Settings::new(method.parameters, &given).unwrap();
    (method.solve)(&Problem { histogram, sample: None }, &settings).unwrap()
}

fn mse(solution: &Solution) -> f64 {
    solution.squared_error / solution.counts.iter().sum::<u64>() as f64
}

fn assert_close(found: f64, expected: f64, relative: f64, what: &str) {
    assert!((found / expected - 1.0).abs() <= relative, "{what}: {found} instead of {expected}");
}

#[test]
fn lloyd_max_errors_and_entropies() {
    let golden: [(u32, f64, f64, f64, f64); 11] = [
        (2, 0.3633802276, 1.000000, 0.5, 1.000000),
        (3, 0.19017404, 1.535789, 0.26424112, 1.316909),
        (4, 0.1174818478, 1.911099, 0.1761948811, 1.728258),
        (5, 0.079941127, 2.202916, 0.11980643, 1.946641),
        (7, 0.044000382, 2.646931, 0.068087504, 2.374499),
        (8, 0.03454776079, 2.824865, 0.05447598791, 2.565399),
        (16, 0.009501008008, 3.765328, 0.01537252706, 3.474836),
        (32, 0.002504668356, 4.729784, 0.004102179988, 4.426840),
        (64, 0.0006442396653, 5.710078, 0.001060952288, 5.402099),
        (128, 0.00016347823, 6.699583, 0.0002698737736, 6.389534),
        (256, 4.118508287e-05, 7.694119, 6.806173968e-05, 7.383201),
    ];
    let ks: Vec<u32> = golden.iter().map(|row| row.0).collect();
    let solve =
        |histogram: Histogram| kmeans::curve(&Problem { histogram: &histogram, sample: None }, &ks).unwrap();
    let (gauss, laplace) = (solve(gaussian_histogram()), solve(laplacian_histogram()));
    for ((k, d_gauss, h_gauss, d_laplace, h_laplace), (g, l)) in golden.iter().zip(gauss.iter().zip(&laplace))
    {
        let tolerance = 1e-7 + 1e-8 * f64::from(k * k);
        assert_close(mse(g), *d_gauss, tolerance, &format!("Gaussian D, k = {k}"));
        assert_close(mse(l), *d_laplace, tolerance, &format!("Laplacian D, k = {k}"));
        assert_close(entropy_bits(&g.counts), *h_gauss, 1e-4, &format!("Gaussian H, k = {k}"));
        assert_close(entropy_bits(&l.counts), *h_laplace, 1e-4, &format!("Laplacian H, k = {k}"));
    }
}

#[test]
fn lloyd_max_levels_and_thresholds() {
    let positive = |histogram: &Histogram, k: u32| {
        let solution = kmeans::curve(&Problem { histogram, sample: None }, &[k]).unwrap().remove(0);
        solution.quantizer.levels.into_iter().filter(|c| *c > 1e-3).map(f64::from).collect::<Vec<f64>>()
    };
    let gauss = gaussian_histogram();
    let laplace = laplacian_histogram();
    let golden: [(&Histogram, u32, &[f64]); 7] = [
        (&gauss, 2, &[0.797885]),
        (&gauss, 3, &[1.22401]),
        (&gauss, 4, &[0.452780, 1.510418]),
        (&gauss, 8, &[0.245094, 0.756005, 1.343909, 2.151946]),
        (&gauss, 16, &[0.128395, 0.388048, 0.656759, 0.942340, 1.256231, 1.618046, 2.069017, 2.732590]),
        (&laplace, 4, &[0.419756, 1.833969]),
        (&laplace, 8, &[0.233401, 0.832962, 1.672473, 3.086687]),
    ];
    for (histogram, k, expected) in golden {
        let found = positive(histogram, k);
        assert_eq!(found.len(), expected.len());
        for (found, expected) in found.iter().zip(expected) {
            assert!((found - expected).abs() < 1e-3, "level, k = {k}: {found} instead of {expected}");
        }
    }
}

/// The error of k levels `step` apart, centred on a threshold at zero.
fn midrise(histogram: &Histogram, k: u32, step: f64) -> f64 {
    let levels = (0..k).map(|i| ((f64::from(i) - f64::from(k - 1) / 2.0) * step) as f32).collect();
    mse(&Quantizer::nearest(levels).predict(histogram))
}

#[test]
fn optimal_uniform_midrise_quantizers() {
    let golden = [
        (2u32, 1.59577, 0.3633802, 1.41421, 0.5),
        (4, 0.99569, 0.1188461, 1.08739, 0.1963023),
        (8, 0.58602, 0.03743966, 0.73093, 0.0717478),
        (16, 0.33520, 0.01154288, 0.46100, 0.02535097),
        (32, 0.18814, 0.003495211, 0.27999, 0.008713221),
        (64, 0.10406, 0.001040045, 0.16568, 0.002913431),
        (128, 0.05687, 0.0003043328, 0.09610, 0.000948597),
        (256, 0.03076, 8.768619e-05, 0.05484, 0.0003014203),
    ];
    let (gauss, laplace) = (gaussian_histogram(), laplacian_histogram());
    for (k, step_gauss, d_gauss, step_laplace, d_laplace) in golden {
        for (histogram, step, expected) in
            [(&gauss, step_gauss, d_gauss), (&laplace, step_laplace, d_laplace)]
        {
            let tolerance = 2e-6 + 1e-8 * f64::from(k * k);
            assert_close(midrise(histogram, k, step), expected, tolerance, &format!("midrise D, k = {k}"));
            for factor in [0.98, 1.02] {
                assert!(midrise(histogram, k, step * factor) > expected, "the step is the best, k = {k}");
            }
        }
    }
}

/// Rate, ECSQ (D, λ), uniform (step, D), for a Gaussian and a Laplacian.
type Row = (f64, [f64; 4], [f64; 4]);

const ECSQ: [Row; 8] = [
    (0.25, [0.789446, 0.747908, 4.23232, 0.789446], [0.670738, 0.902914, 4.77149, 0.671418]),
    (0.5, [0.617336, 0.634289, 3.45618, 0.617337], [0.485993, 0.608855, 3.52216, 0.488035]),
    (1.0, [0.348261, 0.442428, 2.42162, 0.348339], [0.261776, 0.324445, 2.22349, 0.264992]),
    (1.5, [0.177608, 0.245189, 1.61010, 0.177703], [0.139617, 0.178392, 1.48241, 0.141602]),
    (2.0, [0.0889235, 0.123179, 1.08245, 0.0889412], [0.0729277, 0.0961717, 1.01071, 0.0736749]),
    (2.5, [0.0444740, 0.0616433, 0.74738, 0.0444769], [0.0374159, 0.0504591, 0.69900, 0.0376268]),
    (3.0, [0.0222384, 0.0308277, 0.52243, 0.0222388], [0.0189702, 0.0259247, 0.48795, 0.0190204]),
    (4.0, [0.00555971, 0.00770735, 0.25902, 0.00555972], [0.00479369, 0.00662175, 0.24129, 0.00479586]),
];

#[test]
fn entropy_constrained_quantizers_reach_the_known_optima() {
    for (histogram, pick) in [(gaussian_histogram(), 0), (laplacian_histogram(), 1)] {
        for (rate, gauss, laplace) in ECSQ {
            let [error, lambda, _, _] = if pick == 0 { gauss } else { laplace };
            let cost = error + lambda * rate;
            for method in ["ecsq", "ecsq-exact"] {
                let found = solve(&histogram, method, &[("lambda", Value::Number(lambda))]);
                let entropy = entropy_bits(&found.counts);
                let what = format!("{method} J, density {pick}, R = {rate}");
                assert_close(mse(&found) + lambda * entropy, cost, 1e-4, &what);
                // Never below the optimum, but for the rounding of the published digits.
                assert!(mse(&found) + lambda * entropy > cost * (1.0 - 5e-6), "{what}");
            }
        }
    }
}

#[test]
fn uniform_quantizers_reach_the_known_errors_and_entropies() {
    for (histogram, pick) in [(gaussian_histogram(), 0), (laplacian_histogram(), 1)] {
        for (rate, gauss, laplace) in ECSQ {
            let [_, _, step, error] = if pick == 0 { gauss } else { laplace };
            let found = solve(&histogram, "uniform", &[("step", Value::Number(step))]);
            assert_close(entropy_bits(&found.counts), rate, 3e-4, "uniform H");
            assert_close(mse(&found), error, 3e-4, "uniform D");
        }
        let entropies = [[3.061969, 2.104833, 1.241196], [2.965770, 2.014207, 1.126990]];
        for (step, entropy) in [0.5, 1.0, 2.0].into_iter().zip(entropies[pick]) {
            let found = solve(&histogram, "uniform", &[("step", Value::Number(step))]);
            assert_close(entropy_bits(&found.counts), entropy, 2e-4, "uniform H");
        }
    }
}

#[test]
fn the_gap_of_uniform_quantization_to_the_bound_tends_to_a_quarter_bit() {
    use quantscope::rate_distortion::bounds::fit;
    for histogram in [gaussian_histogram(), laplacian_histogram()] {
        let found = solve(&histogram, "uniform", &[("step", Value::Number(0.05))]);
        let fit = fit(&histogram).unwrap();
        let bits = if (fit.shape - 2.0).abs() < 0.01 { fit.gaussian_bits } else { fit.laplacian_bits };
        let bound_rate = bits - 0.5 * libm::log2(2.0 * PI * std::f64::consts::E * mse(&found));
        let gap = entropy_bits(&found.counts) - bound_rate;
        assert!((gap - 0.254_61).abs() < 2e-3, "{gap}");
        assert!((fit.histogram_bits - bits).abs() < 1e-3, "{fit:?}");
    }
}

/// J of a solution of a few weights with λ in the units of h·w².
fn objective(found: &Solution, lambda: f64) -> f64 {
    found.weighted_error / found.counts.iter().sum::<u64>() as f64 + lambda * entropy_bits(&found.counts)
}

/// Solves a few weights for λ in the units of h·w², with a sample of all where importance differs.
fn solve_few(values: &[f32], importance: Option<&[f32]>, method: &str, lambda: f64) -> Solution {
    let histogram = Histogram::new(values, importance);
    let total = histogram.total();
    let mean = total.weighted_sum / total.importance;
    let variance = (total.weighted_squares - mean * total.weighted_sum) / total.count as f64;
    let sample: Option<Vec<(f32, f32)>> =
        importance.map(|h| values.iter().copied().zip(h.iter().copied()).collect());
    let method = methods::find(method).unwrap();
    let given = BTreeMap::from([("lambda".to_owned(), Value::Number(lambda / variance))]);
    let settings = Settings::new(method.parameters, &given).unwrap();
    (method.solve)(&Problem { histogram: &histogram, sample: sample.as_deref() }, &settings).unwrap()
}

#[test]
fn brute_forced_optima_of_ten_weights() {
    let values = [-2.0, -1.0, -1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 3.0];
    for (lambda, expected) in [(0.05, 0.106096), (0.3, 0.588639), (0.5, 0.847731), (1.0, 1.224551)] {
        let exact = solve_few(&values, None, "ecsq-exact", lambda);
        assert!(exact.optimal);
        assert!((objective(&exact, lambda) - expected).abs() < 1e-6, "exact, {lambda}");
        let iterative = solve_few(&values, None, "ecsq", lambda);
        assert!(
            (objective(&iterative, lambda) - expected).abs() < 1e-6,
            "iterative, {lambda}: {iterative:?}"
        );
    }
    let found = solve_few(&values, None, "ecsq-exact", 0.3);
    assert_eq!(found.counts, [3, 6, 1]);
    assert!((found.squared_error / 10.0 - 0.2).abs() < 1e-6);
    assert!((entropy_bits(&found.counts) - 1.295462).abs() < 1e-6);
}

#[test]
fn choosing_per_weight_beats_every_partition_into_intervals() {
    let values = [0.0, 0.05, 0.1, 0.4, 0.45, 0.5, 0.9, 0.95, 1.0];
    let h = [1.0, 1.0, 1.0, 0.05, 8.0, 0.05, 1.0, 0.05, 8.0];
    let golden = [
        (0.02, 0.030333, 0.031383),
        (0.05, 0.068814, 0.073148),
        (0.1, 0.118956, 0.123325),
        (0.2, 0.173650, 0.173650),
    ];
    for (lambda, optimum, intervals) in golden {
        let per_weight = objective(&solve_few(&values, Some(&h), "ecsq", lambda), lambda);
        let exact = solve_few(&values, Some(&h), "ecsq-exact", lambda);
        assert!((per_weight - optimum).abs() < 2e-6, "per weight, {lambda}: {per_weight} {optimum}");
        assert!((objective(&exact, lambda) - intervals).abs() < 2e-6, "intervals, {lambda}");
        assert!(!exact.optimal);
    }
}
