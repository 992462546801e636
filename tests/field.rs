//! Files as people bring them: what the default does with them, and what no recipe may do.
#![cfg(all(not(target_arch = "wasm32"), feature = "cli"))]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use quantscope::engine::report::Outcome;
use quantscope::formats::{Limits, open};
use quantscope::quantize::{Scope, methods::METHODS};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use support::{Random, f32_bytes, safetensors};

fn temporary(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("field_{name}"))
}

fn program(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_quantscope")).args(arguments).arg("--quiet").output().unwrap()
}

/// Compresses a file and decodes it again: what was told, and the decoded file.
fn round_trip(name: &str, file: &[u8], more: &[&str]) -> (Outcome, Vec<u8>) {
    let [source, qsz, decoded] = ["source.safetensors", "x.qsz", "decoded.safetensors"]
        .map(|part| temporary(&format!("{name}_{part}")).display().to_string());
    std::fs::write(&source, file).unwrap();
    let output = program(&[&["compress", &source, "-o", &qsz, "--json"][..], more].concat());
    assert!(output.status.success(), "{more:?}: {}", String::from_utf8_lossy(&output.stderr));
    let mut told: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    // Ratios of nothing and to nothing are no numbers in JSON.
    for part in ["point", "quality"] {
        for (key, number) in told["outcome"][part].as_object_mut().into_iter().flatten() {
            if number.is_null() && !(key.starts_with("gap") || key == "parameter" || key == "made_by") {
                *number = 0.0.into();
            }
        }
    }
    let outcome = serde_json::from_value(told["outcome"].clone()).unwrap();
    assert!(program(&["decode", &qsz, "-o", &decoded]).status.success());
    (outcome, std::fs::read(&decoded).unwrap())
}

/// The values of a tensor of a safetensors file.
fn values(file: &[u8], name: &str) -> Vec<f32> {
    let model = open(&file.to_vec(), &Limits::default()).unwrap();
    support::values(&file.to_vec(), &model, name)
}

fn noise(random: &mut Random, count: usize, scale: f64) -> Vec<f32> {
    (0..count).map(|_| random.laplace(scale)).collect()
}

#[test]
fn a_variance_never_leaves_its_domain_whatever_method_and_scope() {
    let mut random = Random(1);
    let mut variance: Vec<f32> = (0..64).map(|i| 0.5 + 0.01 * i as f32).collect();
    (variance[3], variance[40]) = (2e-14, 4e-14);
    let file = safetensors(&[
        ("conv.weight", "F32", &[64, 4, 3, 3], f32_bytes(&noise(&mut random, 2304, 0.1))),
        ("bn.weight", "F32", &[64], f32_bytes(&noise(&mut random, 64, 1.0))),
        ("bn.running_var", "F32", &[64], f32_bytes(&variance)),
    ]);
    let (outcome, decoded) = round_trip("bn", &file, &[]);
    assert_eq!(values(&decoded, "bn.running_var"), variance, "kept unless asked for");
    assert_eq!(outcome.point.weights, 2304);
    for method in METHODS {
        for scope in [Scope::All, Scope::Tensor].into_iter().filter(|scope| method.scopes.contains(scope)) {
            let flags = ["--method", method.id, "--scope", scope.id(), "--roles", "all"];
            let (_, decoded) = round_trip("bn_all", &file, &flags);
            let least = values(&decoded, "bn.running_var").into_iter().fold(f32::INFINITY, f32::min);
            assert!(least >= 0.0, "{flags:?}: {least}");
        }
    }
}

#[test]
fn exact_zeros_stay_exact_zeros_with_every_method() {
    let mut random = Random(2);
    let mut weights = noise(&mut random, 4096, 0.1);
    (0..4096).filter(|i| i % 10 != 0).for_each(|i| weights[i] = 0.0);
    let file = safetensors(&[("fc.weight", "F32", &[64, 64], f32_bytes(&weights))]);
    for method in METHODS {
        for scope in ["all", "tensor", "channel"] {
            let flags = ["--method", method.id, "--scope", scope];
            if !method.scopes.iter().any(|open| open.id() == scope) {
                continue;
            }
            let (_, decoded) = round_trip("sparse", &file, &flags);
            let pairs = weights.iter().zip(values(&decoded, "fc.weight"));
            assert!(pairs.filter(|(w, _)| **w == 0.0).all(|(_, d)| d == 0.0), "{flags:?}");
        }
    }
}

#[test]
fn a_scalar_sets_no_step_and_a_tensor_that_is_lost_is_named() {
    let mut random = Random(3);
    let file = safetensors(&[
        ("a.lora_A.weight", "F32", &[8, 64], f32_bytes(&noise(&mut random, 512, 0.02))),
        ("a.lora_B.weight", "F32", &[64, 8], f32_bytes(&noise(&mut random, 512, 0.001))),
        ("a.alpha", "F32", &[], f32_bytes(&[16.0])),
        ("big.weight", "F32", &[64, 64], f32_bytes(&noise(&mut random, 4096, 10.0))),
    ]);
    let (outcome, decoded) = round_trip("lora", &file, &[]);
    let quality = outcome.quality.unwrap();
    assert!(quality.worst_db > 15.0 && !quality.is_broken(), "{quality:?}");
    assert_eq!(values(&decoded, "a.alpha"), [16.0]);
    let one_step = ["--method", "uniform", "--scope", "all", "--step", "0.5"];
    let quality = round_trip("lora_all", &file, &one_step).0.quality.unwrap();
    assert_eq!(quality.lost_count, 2, "{quality:?}");
    assert_eq!(quality.made_by, None, "most weights hold most energy");
    assert!(quality.one_value_count == 2 && quality.warnings().len() == 2, "{quality:?}");
}

#[test]
fn outliers_and_masks_are_kept_and_make_no_figure() {
    let mut random = Random(4);
    let mut outlier = noise(&mut random, 1024, 0.01);
    outlier[5] = -3.4e38;
    let mask: Vec<f32> = (0..1024).map(|i| if i % 3 == 0 { 0.0 } else { -10_000.0 }).collect();
    let file = safetensors(&[
        ("fc.weight", "F32", &[32, 32], f32_bytes(&noise(&mut random, 1024, 0.1))),
        ("odd.weight", "F32", &[32, 32], f32_bytes(&outlier)),
        ("pairs.weight", "F32", &[32, 32], f32_bytes(&mask)),
    ]);
    let (outcome, decoded) = round_trip("odd", &file, &[]);
    assert_eq!((values(&decoded, "odd.weight"), values(&decoded, "pairs.weight")), (outlier, mask));
    assert!(outcome.point.sqnr_db < 60.0, "{}", outcome.point.sqnr_db);
    let notes = outcome.notes.join("\n");
    assert!(
        notes.contains("outliers") && notes.contains("odd.weight") && notes.contains("pairs.weight"),
        "{notes}"
    );
}

#[test]
fn what_is_quantized_already_is_kept_and_the_headline_is_over_what_is_there() {
    let mut random = Random(5);
    let scales: Vec<f32> = (0..128).map(|_| random.laplace(0.001).abs() + 1e-4).collect();
    let codes = (0..4096).map(|i| i as u8).collect();
    let file = safetensors(&[
        ("a.weight", "I8", &[64, 64], codes),
        ("a.weight_scale", "F32", &[64, 2], f32_bytes(&scales)),
    ]);
    let (outcome, decoded) = round_trip("int8", &file, &[]);
    assert_eq!(values(&decoded, "a.weight_scale"), scales);
    assert_eq!(outcome.covered_bytes, outcome.source_bytes);
    assert!(
        outcome.ratio > 1.0 && outcome.float32_ratio > 1.0,
        "{} {}",
        outcome.ratio,
        outcome.float32_ratio
    );
}

#[test]
fn the_headline_is_over_what_the_file_holds() {
    let weights = f32_bytes(&noise(&mut Random(11), 8192, 0.1));
    let mut array = b"\x93NUMPY\x01\x00\x76\x00".to_vec();
    array.extend(
        format!("{:<117}\n", "{'descr': '<f4', 'fortran_order': False, 'shape': (128, 64), }").bytes(),
    );
    array.extend(&weights);
    array.extend(b"a few bytes that are no array");
    let whole = round_trip("whole", &array, &[]).0;
    assert_eq!((whole.covered_bytes, whole.source_bytes), (array.len() as u64, array.len() as u64));
    let weights = round_trip("weights", &array, &["--weights-only"]).0;
    assert_eq!((weights.covered_bytes, weights.source_bytes), (32768, array.len() as u64));
    for outcome in [whole, weights] {
        let notes = &outcome.notes;
        assert!(notes.iter().any(|note| note.contains("29 bytes after the array")), "{notes:?}");
    }
}

#[test]
fn equal_tensors_are_stored_once_and_come_back_both() {
    let mut random = Random(7);
    let weights = f32_bytes(&noise(&mut random, 8192, 0.1));
    let one = safetensors(&[("embed.weight", "F32", &[128, 64], weights.clone())]);
    let two = safetensors(&[
        ("embed.weight", "F32", &[128, 64], weights.clone()),
        ("lm_head.weight", "F32", &[128, 64], weights),
    ]);
    let alone = round_trip("one", &one, &[]).0;
    let (both, decoded) = round_trip("two", &two, &[]);
    assert!(both.file_bytes < alone.file_bytes + 200, "{} against {}", both.file_bytes, alone.file_bytes);
    assert_eq!(values(&decoded, "embed.weight"), values(&decoded, "lm_head.weight"));
    assert_eq!(both.covered_bytes, both.source_bytes, "both are in it");
    let [source, qsz] =
        ["two_source.safetensors", "two_x.qsz"].map(|part| temporary(part).display().to_string());
    assert!(program(&["verify", &qsz, "--source", &source]).status.success());
}

#[test]
fn patterns_that_match_nothing_are_named_and_a_comma_can_be_written() {
    let mut random = Random(6);
    let file = safetensors(&[
        ("comma,name", "F32", &[32, 32], f32_bytes(&noise(&mut random, 1024, 0.1))),
        ("w", "F32", &[32, 32], f32_bytes(&noise(&mut random, 1024, 0.1))),
    ]);
    let (outcome, _) = round_trip("comma", &file, &["--exclude", "comma,name"]);
    assert!(outcome.notes.contains(&"the pattern comma matches no tensor".to_owned()), "{:?}", outcome.notes);
    let (outcome, decoded) = round_trip("comma", &file, &["--exclude", r"comma\,name"]);
    assert_eq!((outcome.point.weights, values(&decoded, "comma,name")), (1024, values(&file, "comma,name")));
}

#[test]
fn every_field_file_is_compressed_or_refused_in_one_sentence() {
    let Some(root) = support::data("field") else { return };
    let mut files = Vec::new();
    let mut folders = vec![root];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() { folders.push(path) } else { files.push(path) }
        }
    }
    files.sort();
    let is_left = |path: &Path| {
        let ending = path.extension().and_then(|ending| ending.to_str()).unwrap_or_default();
        ["md", "py", "txt"].contains(&ending) || path.display().to_string().contains("/formats/")
    };
    let qsz = temporary("every.qsz").display().to_string();
    for file in files.iter().filter(|path| !is_left(path)) {
        let output = program(&["compress", &file.display().to_string(), "-o", &qsz]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        match output.status.code() {
            Some(0) => {
                assert!(!String::from_utf8_lossy(&output.stdout).contains("NaN"), "{}", file.display());
            }
            Some(1) => assert_eq!(said.lines().count(), 1, "{}: {said}", file.display()),
            other => panic!("{}: {other:?} {said}", file.display()),
        }
    }
}
