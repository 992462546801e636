//! Where the bits go and how far that is from possible: gaps of sweeps, sensitivities of tensors.
#![cfg(not(target_arch = "wasm32"))]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use quantscope::code::Kind;
use quantscope::engine::pipeline::Opened;
use quantscope::engine::report::{Curve, Point, Sweep, TensorSensitivity, gap_sentence, sensitivity_csv};
use quantscope::quantize::methods::METHODS;
use quantscope::recipe::Recipe;
use std::f64::consts::{LN_2, PI};
use std::path::{Path, PathBuf};
use support::Random;

const QUIET: quantscope::engine::pipeline::Progress<'static> = &|_, _, _| ();

/// A Gaussian of this deviation (Box and Muller 1958).
fn gauss(random: &mut Random, deviation: f64) -> f32 {
    let radius = libm::sqrt(-2.0 * libm::log(1.0 - random.uniform()));
    (deviation * radius * libm::cos(2.0 * PI * random.uniform())) as f32
}

fn file(name: &str, tensors: &[(&str, Vec<f32>)]) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    let shapes: Vec<[u64; 1]> = tensors.iter().map(|(_, values)| [values.len() as u64]).collect();
    let parts: Vec<(&str, &str, &[u64], Vec<u8>)> = tensors
        .iter()
        .zip(&shapes)
        .map(|((name, values), shape)| (*name, "F32", shape.as_slice(), support::f32_bytes(values)))
        .collect();
    std::fs::write(&path, support::safetensors(&parts)).unwrap();
    path
}

fn gaussian(name: &str, count: usize) -> PathBuf {
    let mut random = Random(11);
    file(name, &[("w", (0..count).map(|_| gauss(&mut random, 0.05)).collect())])
}

fn laplacian(name: &str, count: usize) -> PathBuf {
    let mut random = Random(12);
    file(name, &[("w", (0..count).map(|_| random.laplace(0.05)).collect())])
}

fn sweep(path: &Path, importance: Option<&Path>, line: &str, methods: &[&str], points: usize) -> Sweep {
    let recipe = Recipe::from_line(&support::of_everything(line)).unwrap();
    Opened::open(path, importance, &recipe, 2, QUIET)
        .unwrap()
        .session
        .sweep(&recipe, methods, points)
        .unwrap()
}

fn curve(sweep: &Sweep) -> &Curve {
    sweep.curves.first().unwrap()
}

fn sensitivity(path: &Path, importance: Option<&Path>, line: &str) -> Vec<TensorSensitivity> {
    let recipe = Recipe::from_line(&support::of_everything(line)).unwrap();
    Opened::open(path, importance, &recipe, 2, QUIET).unwrap().session.sensitivity(&recipe).unwrap()
}

/// ½·log2(πe/6): Gish and Pierce 1968.
const UNIFORM_AT_HIGH_RATE_BITS: f64 = 0.254_61;

#[test]
fn uniform_quantization_at_high_rate_is_a_quarter_bit_above_the_shannon_bound() {
    for path in [gaussian("gauss.safetensors", 300_000), laplacian("laplace.safetensors", 300_000)] {
        let sweep = sweep(&path, None, "method=uniform", &["uniform"], 20);
        let fine: Vec<&Point> =
            curve(&sweep).points.iter().filter(|p| (4.0..5.6).contains(&p.entropy_bits)).collect();
        assert!(fine.len() > 2);
        for point in fine {
            let gap = point.gap_to_shannon_bits.unwrap();
            assert!((gap - UNIFORM_AT_HIGH_RATE_BITS).abs() < 0.005, "{} bits: {gap}", point.entropy_bits);
        }
    }
}

#[test]
fn the_gap_to_the_shannon_bound_closes_as_the_rate_goes_to_zero() {
    let sweep = sweep(&gaussian("low.safetensors", 100_000), None, "method=uniform", &["uniform"], 20);
    let coarse = curve(&sweep).points.iter().filter(|p| p.entropy_bits < 0.45);
    // 0.08 bit at R = 0.25 (Gaussian, ECSQ).
    assert!(coarse.map(|p| p.gap_to_shannon_bits.unwrap()).fold(1.0, f64::min) < 0.12);
    assert!(curve(&sweep).points.iter().all(|p| p.gap_to_shannon_bits.unwrap() >= 0.0));
}

/// D of the uniform quantizer over D of exact ECSQ at the same entropy, from the golden table.
#[test]
fn uniform_quantization_is_as_far_from_exact_ecsq_as_theory_says() {
    let cases = [
        (gaussian("gauss2.safetensors", 200_000), 1.0, 0.348_339 / 0.348_261),
        (laplacian("laplace2.safetensors", 200_000), 1.0, 0.264_992 / 0.261_776),
        (laplacian("laplace2.safetensors", 200_000), 2.0, 0.073_674_9 / 0.072_927_7),
    ];
    for (path, bits, ratio) in cases {
        let sweep = sweep(&path, None, "method=uniform", &["uniform"], 60);
        let distance = |p: &&Point| (p.entropy_bits - bits).abs();
        let point = curve(&sweep).points.iter().min_by(|a, b| distance(a).total_cmp(&distance(b))).unwrap();
        let (gap, expected) = (point.gap_to_optimum_db.unwrap(), 10.0 * libm::log10(ratio));
        assert!((gap - expected).abs() < 0.012, "{} bits: {gap} against {expected}", point.entropy_bits);
    }
}

#[test]
fn lloyd_is_never_better_than_exact_k_means_and_told_by_how_much_it_is_worse() {
    let path = laplacian("lloyd.safetensors", 20_000);
    for (importance, line) in [
        (None, "method=lloyd"),
        (None, "method=lloyd&scope=tensor"),
        (Some(path.as_path()), "method=lloyd&importance=file"),
    ] {
        let sweep = sweep(&path, importance, line, &["kmeans", "lloyd", "lloyd:plain"], 12);
        let [exact, lloyd, plain] = sweep.curves.as_slice() else { panic!() };
        for (exact, lloyd) in exact.points.iter().zip(&lloyd.points) {
            let gap = lloyd.gap_to_optimum_db.unwrap();
            let difference = exact.weighted_sqnr_db - lloyd.weighted_sqnr_db;
            assert!(gap >= 0.0 && (gap - difference).abs() < 1e-9, "{line}: {gap} against {difference}");
            assert_eq!(exact.gap_to_optimum_db, Some(0.0));
        }
        assert!(
            lloyd.points.iter().any(|p| p.gap_to_optimum_db > Some(0.1)),
            "a uniform start is poor at 256"
        );
        assert!(plain.points.iter().all(|p| p.gap_to_optimum_db.unwrap() >= 0.0));
    }
}

#[test]
fn the_exact_method_is_at_its_own_optimum() {
    let path = laplacian("exact.safetensors", 100_000);
    let sweep = sweep(&path, None, "method=ecsq", &["ecsq-exact", "ecsq"], 12);
    // At more bits the reference cuts between more runs of cells than the method does by default.
    let points = sweep.curves.iter().flat_map(|curve| &curve.points).filter(|p| p.entropy_bits < 5.0);
    for point in points {
        assert!(point.gap_to_optimum_db.unwrap() < 0.03, "{point:?}");
    }
}

#[test]
fn no_gap_is_told_where_theory_knows_no_optimum_or_the_weights_have_no_density() {
    let path = laplacian("none.safetensors", 20_000);
    let with = sweep(&path, Some(&path), "method=uniform&importance=file", &["uniform", "uniform:plain"], 6);
    let [weighted, plain] = with.curves.as_slice() else { panic!() };
    assert!(weighted.points.iter().all(|p| p.gap_to_optimum_db.is_none()));
    assert!(plain.points.iter().any(|p| p.gap_to_optimum_db.is_some()));
    // Plain squared error is bounded whatever the quantizer was made for.
    assert!(weighted.points.iter().all(|p| p.gap_to_shannon_bits.is_some()));

    let several = three_widths("several.safetensors");
    let tensors = sweep(&several, None, "method=uniform&scope=tensor", &["uniform"], 6);
    let none = |p: &Point| p.gap_to_optimum_db.is_none() && p.gap_to_shannon_bits.is_none();
    assert!(curve(&tensors).points.iter().all(none));

    let mut random = Random(3);
    let steps: Vec<f32> = (0..20_000).map(|_| (random.laplace(4.0) + 0.5).floor() * 0.125 + 0.0625).collect();
    let lattice = file("lattice.safetensors", &[("w", steps)]);
    let sweep = sweep(&lattice, None, "method=uniform", &["uniform"], 20);
    let finest = curve(&sweep).points.first().unwrap();
    assert_eq!(finest.gap_to_shannon_bits, None, "64 values told apart without error");
    assert!(curve(&sweep).points.iter().all(|p| p.gap_to_shannon_bits.is_none_or(|gap| gap >= 0.0)));
}

#[test]
fn pruned_weights_cost_their_places_and_the_rest_its_gap() {
    let mut random = Random(8);
    let sparse = |i: usize, random: &mut Random| if i.is_multiple_of(5) { gauss(random, 0.1) } else { 0.0 };
    let values: Vec<f32> = (0..400_000).map(|i| sparse(i, &mut random)).collect();
    let path = file("sparse.safetensors", &[("w", values)]);
    let kept = sweep(&path, None, "method=uniform&prune=threshold:0", &["uniform"], 20);
    for point in curve(&kept).points.iter().filter(|p| (1.6..2.0).contains(&p.entropy_bits)) {
        let gap = point.gap_to_shannon_bits.unwrap();
        assert!((gap - 0.2 * UNIFORM_AT_HIGH_RATE_BITS).abs() < 0.002, "{gap}");
    }
    // Zeros are kept without being asked for: the same curve.
    assert_eq!(sweep(&path, None, "method=uniform", &["uniform"], 20), kept);
}

#[test]
fn a_sentence_says_how_far_a_curve_is() {
    let sweep = sweep(&gaussian("said.safetensors", 100_000), None, "method=uniform", &["uniform"], 20);
    let said = gap_sentence(curve(&sweep), 2.0, &|p| p.entropy_bits, false).unwrap();
    assert!(said.starts_with("Uniform: 0.25 bit above the Shannon bound at "), "{said}");
    assert!(said.ends_with(" dB from the exact optimum"), "{said}");
    let weighted = gap_sentence(curve(&sweep), 2.0, &|p| p.entropy_bits, true).unwrap();
    assert!(!weighted.contains("Shannon"), "{weighted}");
}

#[test]
fn shares_sum_to_one_and_their_parts_to_the_operating_point() {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("shares.safetensors");
    std::fs::write(&path, support::small_model()).unwrap();
    for method in METHODS {
        for scope in ["all", "tensor", "channel"] {
            for rest in ["", "&prune=fraction:0.5", "&coder=fixed", "&importance=file"] {
                let line = format!("method={}&scope={scope}{rest}", method.id);
                if method.code != Kind::Levels && Recipe::from_line(&line).is_err() {
                    continue;
                }
                let importance = rest.contains("importance").then_some(path.as_path());
                let rows = sensitivity(&path, importance, &line);
                // A single positive number keeps out of codebooks and scales that are not its own.
                let alone = match method.code {
                    Kind::Levels => !(scope == "all" || line.contains("prune")),
                    Kind::Grid => true,
                    Kind::Scaled => false,
                };
                let tensors = if alone { 5 } else { 4 };
                assert_eq!(rows.len(), tensors, "{line}");
                let sum = |of: &dyn Fn(&TensorSensitivity) -> f64| rows.iter().map(of).sum::<f64>();
                for total in [sum(&|r| r.weight_share), sum(&|r| r.bit_share), sum(&|r| r.error_share)] {
                    assert!((total - 1.0).abs() < 1e-9, "{line}: {total}");
                }
                assert!(rows.windows(2).all(|pair| pair[0].error_share >= pair[1].error_share), "{line}");
                let importance_mean = sum(&|r| r.importance * r.weight_share);
                assert!((importance_mean - 1.0).abs() < 1e-6, "{line}: {importance_mean}");
                assert!(rows.iter().all(|r| r.slope.is_none_or(|slope| slope >= 0.0)), "{line}");
                assert_eq!(sensitivity_csv(&rows).lines().count(), 1 + tensors);
                if rest != "&coder=fixed" && rest != "&importance=file" {
                    let recipe = Recipe::from_line(&line).unwrap();
                    let mut opened = Opened::open(&path, importance, &recipe, 1, QUIET).unwrap();
                    let point = opened.session.point(&recipe).unwrap();
                    let bits = sum(&|r| r.bits_per_weight * r.weights as f64) / point.weights as f64;
                    assert!(
                        (bits - point.entropy_bits).abs() < 0.02,
                        "{line}: {bits} {}",
                        point.entropy_bits
                    );
                }
            }
        }
    }
}

fn three_widths(name: &str) -> PathBuf {
    let mut random = Random(5);
    let mut tensor = |deviation: f64| (0..60_000).map(|_| gauss(&mut random, deviation)).collect();
    file(name, &[("narrow", tensor(0.02)), ("middle", tensor(0.05)), ("wide", tensor(0.08))])
}

fn named<'a>(rows: &'a [TensorSensitivity], name: &str) -> &'a TensorSensitivity {
    rows.iter().find(|row| row.name == name).unwrap()
}

/// Reverse water-filling: the same error everywhere, and 6.02 dB per bit, hence the same slope 2·ln 2·step²/12.
#[test]
fn a_fine_step_common_to_all_tensors_spends_bits_well() {
    let rows = sensitivity(&three_widths("widths.safetensors"), None, "method=uniform&step=0.1");
    let variance = (0.02f64 * 0.02 + 0.05 * 0.05 + 0.08 * 0.08) / 3.0;
    let expected = 2.0 * LN_2 * 0.01 * variance / 12.0;
    for row in &rows {
        assert!((row.slope_ratio.unwrap() - 1.0).abs() < 0.02, "{row:?}");
        assert!((row.slope.unwrap() / expected - 1.0).abs() < 0.03, "{row:?} {expected}");
        assert!((row.error_share - 1.0 / 3.0).abs() < 0.01, "{row:?}");
    }
    assert!(named(&rows, "wide").bits_per_weight > named(&rows, "narrow").bits_per_weight + 1.0);
}

#[test]
fn a_step_relative_to_each_tensor_leaves_the_wide_one_too_coarse() {
    let rows =
        sensitivity(&three_widths("relative.safetensors"), None, "method=uniform&step=0.2&scope=tensor");
    let slope = |name| named(&rows, name).slope.unwrap();
    // Slopes go with the variance: 4² = 16 from 0.02 to 0.08.
    assert!((slope("wide") / slope("narrow") / 16.0 - 1.0).abs() < 0.03);
    assert_eq!(rows[0].name, "wide");
    assert!(named(&rows, "wide").slope_ratio > Some(1.5) && named(&rows, "narrow").slope_ratio < Some(0.5));
}

/// The price of a bit is the slope at the optimum (Everett 1963).
#[test]
fn the_slope_of_entropy_constrained_quantization_is_its_price() {
    let path = three_widths("price.safetensors");
    let variance = (0.02f64 * 0.02 + 0.05 * 0.05 + 0.08 * 0.08) / 3.0;
    for method in ["ecsq", "ecsq-exact"] {
        let rows = sensitivity(&path, None, &format!("method={method}&lambda=0.03"));
        for row in &rows {
            let slope = row.slope.unwrap();
            assert!((slope / (0.03 * variance) - 1.0).abs() < 0.12, "{method}: {row:?}");
        }
    }
}

#[test]
fn importance_multiplies_the_slope() {
    let path = three_widths("important.safetensors");
    let constant = |h: f32| vec![h; 60_000];
    let importance = file(
        "importance.safetensors",
        &[("narrow", constant(9.0)), ("middle", constant(1.0)), ("wide", constant(1.0))],
    );
    let rows = sensitivity(&path, Some(&importance), "method=uniform&step=0.1&importance=file");
    let (narrow, wide) = (named(&rows, "narrow"), named(&rows, "wide"));
    assert!((narrow.slope.unwrap() / wide.slope.unwrap() / 9.0 - 1.0).abs() < 0.05, "{narrow:?} {wide:?}");
    assert!((narrow.importance / wide.importance - 9.0).abs() < 1e-6);
    assert_eq!(rows[0].name, "narrow", "it makes most of the weighted error");
}

/// What is predicted for the next kilobyte is what a finer step there saves.
#[test]
fn the_decibels_of_the_next_kilobyte_are_what_a_finer_step_brings() {
    let path = gaussian("kilobyte.safetensors", 200_000);
    let line = |step: f64| format!("method=uniform&step={step}");
    let rows = sensitivity(&path, None, &line(0.5));
    let recipe = Recipe::from_line(&line(0.5)).unwrap();
    let mut opened = Opened::open(&path, None, &recipe, 2, QUIET).unwrap();
    let mut at = |step: f64| opened.session.point(&Recipe::from_line(&line(step)).unwrap()).unwrap();
    let (now, finer) = (at(0.5), at(0.48));
    let kilobytes = (finer.entropy_bits - now.entropy_bits) * 200_000.0 / 8000.0;
    let brought = (finer.sqnr_db - now.sqnr_db) / kilobytes;
    assert!((rows[0].db_per_kilobyte.unwrap() / brought - 1.0).abs() < 0.03, "{rows:?} {brought}");
}
