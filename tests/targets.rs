//! Targets met on a whole file through the public API, and by the program.
#![cfg(all(not(target_arch = "wasm32"), feature = "cli"))]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use quantscope::engine::pipeline::Opened;
use quantscope::engine::targets::{Found, TRIALS, Target};
use quantscope::quantize::methods::METHODS;
use quantscope::recipe::Recipe;
use std::path::{Path, PathBuf};
use std::process::Command;

const QUIET: quantscope::engine::pipeline::Progress<'static> = &|_, _, _| ();

fn path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name)
}

fn model(name: &str) -> PathBuf {
    let path = path(name);
    std::fs::write(&path, support::small_model()).unwrap();
    path
}

/// A target met, or the sentence why not.
fn search(file: &Path, line: &str, target: Target, methods: &[&str], jobs: usize) -> Result<Found, String> {
    let recipe = Recipe::from_line(&support::of_everything(line)).unwrap();
    let importance = line.contains("importance").then_some(file);
    let mut opened = Opened::open(file, importance, &recipe, jobs, QUIET).unwrap();
    let methods: Vec<String> = methods.iter().map(|id| (*id).to_owned()).collect();
    let methods = quantscope::quantize::methods::find_all(&methods).unwrap();
    let met = opened.search(&recipe, target, &methods, QUIET, &mut |_| true).map_err(|e| e.to_string())?;
    // The answer is a recipe like any other: carried out again, it has the bytes that were measured.
    let typed = Recipe::from_line(&met.recipe.to_line()).unwrap();
    let (bytes, outcome, _) = opened.compress(&typed, Vec::new(), QUIET).unwrap();
    assert_eq!(bytes.len() as u64, met.best.measured.file_bytes, "{line}");
    assert_eq!(outcome.point.sqnr_db, met.best.measured.sqnr_db, "{line}");
    assert!(target.is_met(&met.best.measured), "{line}: {target}");
    Ok(met)
}

#[test]
fn every_method_meets_every_kind_of_target() {
    let file = model("targets_every.safetensors");
    for method in METHODS {
        for coder in ["huffman", "rans", "context"] {
            if method.is_grid() && coder != "context" {
                continue;
            }
            let plain = format!("method={}&coder={coder}", method.id);
            let weighed = format!("{plain}&importance=file");
            for (line, target) in [
                (&weighed, Target::FileBytes(2500)),
                (&weighed, Target::BitsPerWeight(3.0)),
                (&plain, Target::SqnrDb(15.0)),
                (&weighed, Target::WeightedSqnrDb(18.0)),
            ] {
                let met = search(&file, line, target, &[], 2).unwrap();
                assert!(met.trials.len() <= TRIALS, "{line}: {target}");
                // No trial that meets the target is better than the answer.
                let is_size = matches!(target, Target::FileBytes(_) | Target::BitsPerWeight(_));
                for trial in met.trials.iter().filter(|trial| target.is_met(&trial.measured)) {
                    let (one, best) = (trial.measured, met.best.measured);
                    let is_better = if is_size {
                        one.weighted_sqnr_db > best.weighted_sqnr_db
                    } else {
                        one.file_bytes < best.file_bytes
                    };
                    assert!(!is_better, "{line}: {target}");
                }
            }
        }
    }
}

#[test]
fn a_fine_parameter_comes_within_the_tolerance() {
    let mut random = support::Random(11);
    let weights: Vec<f32> = (0..60_000).map(|_| random.laplace(0.1)).collect();
    let bytes = support::safetensors(&[("w", "F32", &[300, 200], support::f32_bytes(&weights))]);
    let file = path("targets_fine.safetensors");
    std::fs::write(&file, bytes).unwrap();
    for method in ["uniform", "ecsq", "ecsq-exact"] {
        let line = format!("method={method}");
        let met = search(&file, &line, Target::FileBytes(20_000), &[], 2).unwrap();
        assert!(met.best.measured.file_bytes >= 19_900, "{method}: {}", met.sentence);
        let met = search(&file, &line, Target::SqnrDb(18.0), &[], 2).unwrap();
        assert!(met.best.measured.sqnr_db < 18.1, "{method}: {}", met.sentence);
    }
}

#[test]
fn of_several_methods_the_best_answer_wins() {
    let file = model("targets_several.safetensors");
    let all: Vec<&str> = METHODS.iter().map(|method| method.id).collect();
    let target = Target::FileBytes(2500);
    let best = search(&file, "method=lloyd&start=density&coder=huffman", target, &all, 2).unwrap();
    for method in METHODS {
        let coder = if method.is_grid() { "context" } else { "huffman" };
        let one = search(&file, &format!("method={}&coder={coder}", method.id), target, &[], 2).unwrap();
        assert!(best.best.measured.sqnr_db >= one.best.measured.sqnr_db, "{}", method.id);
    }
}

#[test]
fn the_number_of_jobs_does_not_show() {
    let file = model("targets_jobs.safetensors");
    for line in ["method=uniform", "method=ecsq&importance=file&coder=context", "method=kmeans&scope=channel"]
    {
        let one = search(&file, line, Target::FileBytes(4500), &[], 1);
        for jobs in [2, 5] {
            let many = search(&file, line, Target::FileBytes(4500), &[], jobs);
            let trials = |met: &Result<Found, String>| {
                met.as_ref().map(|met| met.trials.clone()).map_err(Clone::clone)
            };
            assert_eq!(trials(&one), trials(&many), "{line}");
        }
    }
}

#[test]
fn what_cannot_be_met_says_what_can() {
    let file = model("targets_never.safetensors");
    let sentence = search(&file, "method=uniform", Target::FileBytes(300), &[], 2).unwrap_err();
    let start = "at most 300 bytes cannot be met: the smallest file this recipe can make is ";
    assert!(sentence.starts_with(start) && sentence.ends_with(" (uniform, step 8)"), "{sentence}");
    let sentence = search(&file, "method=kmeans", Target::SqnrDb(199.0), &[], 2).unwrap_err();
    assert!(
        sentence.starts_with("at least 199 dB cannot be met: the most this recipe can reach is "),
        "{sentence}"
    );
    assert!(sentence.ends_with("(kmeans, k 4096)"), "{sentence}");
    let sentence = search(&file, "method=kmeans", Target::WeightedSqnrDb(10.0), &[], 2).unwrap_err();
    assert_eq!(sentence, "min-weighted-sqnr: expected a recipe with importance, found importance=none");
}

#[test]
fn a_search_that_is_stopped_keeps_the_best_it_has() {
    let file = model("targets_stopped.safetensors");
    let recipe = Recipe::default();
    let mut opened = Opened::open(&file, None, &recipe, 1, QUIET).unwrap();
    let mut heard = Vec::new();
    let target = Target::FileBytes(2500);
    let met = opened.search(&recipe, target, &[], QUIET, &mut |trial| {
        heard.push(*trial);
        !target.is_met(&trial.measured)
    });
    let met = met.unwrap();
    assert_eq!((met.trials.last(), &met.trials), (Some(&met.best), &heard));
}

/// Runs the program: exit code, standard output, standard error.
fn program(arguments: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_quantscope")).args(arguments).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn compress_meets_a_size_and_its_recipe_gives_the_same_bytes() {
    let file = model("targets_cli.safetensors").display().to_string();
    let (qsz, again) =
        (path("targets_cli.qsz").display().to_string(), path("targets_again.qsz").display().to_string());
    let (code, json, said) = program(&[
        "compress",
        &file,
        "-o",
        &qsz,
        "--max-bytes",
        "2.5 kB",
        "--methods",
        "uniform,ecsq",
        "--json",
    ]);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("trial 1: uniform, step "), "{said}");
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    let size = std::fs::metadata(&qsz).unwrap().len();
    assert!(size <= 2500 && json["outcome"]["file_bytes"] == size);
    assert_eq!(json["target"]["kind"], "max-bytes");
    assert_eq!(json["verification"]["mismatches"], 0);
    let recipe = json["outcome"]["recipe"].as_str().unwrap();
    assert_eq!(program(&["compress", &file, "-o", &again, "--recipe", recipe]).0, 0);
    assert!(std::fs::read(&qsz).unwrap() == std::fs::read(&again).unwrap());
}

#[test]
fn compress_says_how_well_a_quality_is_met() {
    let file = model("targets_said.safetensors").display().to_string();
    let qsz = path("targets_said.qsz").display().to_string();
    let (code, text, said) = program(&["compress", &file, "-o", &qsz, "--min-sqnr", "15", "-q"]);
    assert_eq!((code, said.as_str()), (0, ""));
    assert!(text.starts_with("target               at least 15 dB: 15.0"), "{text}");
}

#[test]
fn a_target_that_cannot_be_met_fails_and_writes_nothing() {
    let file = model("targets_unmet.safetensors").display().to_string();
    let qsz = path("targets_unmet.qsz").display().to_string();
    let (code, _, said) = program(&["compress", &file, "-o", &qsz, "--max-bytes", "300", "-q"]);
    assert_eq!(code, 1);
    assert!(said.starts_with("quantscope: at most 300 bytes cannot be met: the smallest file"), "{said}");
    assert!(!PathBuf::from(&qsz).exists());
}

#[test]
fn wrong_targets_exit_with_2() {
    let file = model("targets_wrong.safetensors").display().to_string();
    for (rest, expected) in [
        (&["--max-bytes", "lots"][..], "max-bytes: expected a size"),
        (&["--min-sqnr", "20", "--max-bits", "2"], "cannot be used with"),
        (&["--methods", "uniform"], "required"),
        (&["--max-bits", "2", "--methods", "magic"], "methods: expected some of kmeans"),
        (&["--min-weighted-sqnr", "20"], "min-weighted-sqnr: expected a recipe with importance"),
    ] {
        let mut arguments = vec!["compress", file.as_str(), "-o", "never.qsz"];
        arguments.extend(rest);
        let (code, _, said) = program(&arguments);
        assert!(code == 2 && said.contains(expected), "{rest:?}: {code} {said}");
    }
}

/// The residual network of the samples, on some of its digits.
#[cfg(feature = "network")]
#[test]
fn the_least_accuracy_is_kept_by_the_file_that_is_written() {
    let sample = |name: &str| format!("{}/www/samples/{name}", env!("CARGO_MANIFEST_DIR"));
    let (network, data) = (sample("resnet.onnx"), sample("digits-8.npz"));
    let qsz = path("targets_accuracy.qsz").display().to_string();
    let common = ["accuracy", &network, "--data", &data, "--samples", "200", "--method", "uniform"];
    let find = ["--min-accuracy", "90%", "--points", "6", "-o", &qsz, "--json", "-q"];
    let (code, text, said) = program(&[&common[..], &find].concat());
    assert_eq!(code, 0, "{said}");
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    let found = json["quantized"]["top1"]["count"].as_u64().unwrap();
    assert!(found >= 180, "{found} of 200");
    assert_eq!(json["outcome"]["file_bytes"], std::fs::metadata(&qsz).unwrap().len());
    // The recipe measured on its own has the same answers.
    let recipe = json["outcome"]["recipe"].as_str().unwrap();
    let (_, text, _) = program(&[&common[..6], &["--recipe", recipe, "--json", "-q"]].concat());
    let again: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(again["quantized"]["top1"]["count"].as_u64(), Some(found));
}

/// Goals that no network can reach, or that say nothing, are refused in a sentence.
#[cfg(feature = "network")]
#[test]
fn absurd_goals_exit_with_2() {
    let sample = |name: &str| format!("{}/www/samples/{name}", env!("CARGO_MANIFEST_DIR"));
    let (network, data) = (sample("resnet.onnx"), sample("digits-8.npz"));
    for (rest, expected) in [
        (&["--min-agreement", "101%"][..], "min-agreement: expected a share from 0 to 1, or per cent"),
        (&["--max-kl", "-0.5"], "max-kl: expected a number of nats from 0, such as 0.05, found -0.5"),
        (&["--max-kl", "much"], "max-kl: expected a number of nats from 0"),
        (&["--min-accuracy", "100%"], "min-accuracy: expected at most the float network's 9"),
        (&["--max-kl", "1", "--min-agreement", "1"], "cannot be used with"),
        (&["--calibration-data", &data], "required"),
        (&["--max-kl", "1", "--moments", "m.safetensors"], "required"),
    ] {
        let common = ["accuracy", &network, "--data", &data, "--method", "uniform", "-q"];
        let (code, _, said) = program(&[&common[..], rest].concat());
        assert!(code == 2 && said.contains(expected), "{rest:?}: {code} {said}");
    }
}

/// A bound on divergence with samples to calibrate on: compensated and repaired files are among the trials, the answer keeps to the
/// bound on samples that were not calibrated on, and its recipe can be carried out again with the moments.
#[cfg(feature = "network")]
#[test]
fn compensated_and_repaired_files_compete_for_a_divergence() {
    let sample = |name: &str| format!("{}/www/samples/{name}", env!("CARGO_MANIFEST_DIR"));
    let (network, data, train) =
        (sample("resnet.onnx"), sample("digits-8.npz"), sample("digits-8-train.npz"));
    let written = |name: &str| path(name).display().to_string();
    let (qsz, moments) = (written("targets_kl.qsz"), written("targets_kl.safetensors"));
    let common = ["accuracy", &network, "--data", &data, "--samples", "150", "--method", "trellis"];
    let find = ["--max-kl", "0.05", "--points", "4", "-o", &qsz, "--moments", &moments, "--json", "-q"];
    let calibrated = ["--calibration-data", &train, "--calibration-samples", "60"];
    let (code, text, said) = program(&[&common[..], &find, &calibrated].concat());
    assert_eq!(code, 0, "{said}");
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert!(json["quantized"]["against"]["divergence"].as_f64().unwrap() <= 0.05, "{text}");
    assert_eq!(json["notes"], serde_json::json!([]));
    let trials = json["target"]["trials"].as_array().unwrap();
    let of = |word: &str| trials.iter().filter(|t| t["recipe"].as_str().unwrap().contains(word)).count();
    assert!(of("compensate=obs") > of("method=rdo") && of("method=rdo") > 0, "{text}");
    assert!(trials.iter().any(|trial| trial["repaired"] == true), "{text}");
    let bytes = |trial: &serde_json::Value| trial["file_bytes"].as_u64().unwrap();
    let smallest = trials.iter().filter(|trial| trial["verdict"] == "holds").map(bytes).min();
    let size = std::fs::metadata(&qsz).unwrap().len();
    assert_eq!(Some(size), smallest);
    let plain = trials.iter().filter(|t| !t["recipe"].as_str().unwrap().contains("compensate"));
    assert!(plain.filter(|t| t["verdict"] == "holds").map(bytes).min().is_some_and(|least| size < least));
    let (code, _, said) = program(&["verify", &qsz, "--source", &network, "--importance-file", &moments]);
    assert_eq!(code, 0, "{said}");
    // The samples that are scored are calibrated on, and that is said.
    let same = [
        "--max-kl",
        "0.5",
        "--points",
        "2",
        "-q",
        "--calibration-data",
        &data,
        "--calibration-samples",
        "20",
    ];
    let (code, text, said) = program(&[&common[..], &same].concat());
    assert!(
        code == 0 && text.contains("note: calibrated on 20 of the samples that are scored"),
        "{said}{text}"
    );
}

/// Agreement needs no labels; what is asked for is kept by the answer.
#[cfg(feature = "network")]
#[test]
fn an_agreement_is_kept() {
    let sample = |name: &str| format!("{}/www/samples/{name}", env!("CARGO_MANIFEST_DIR"));
    let (network, data) = (sample("resnet.onnx"), sample("digits-8.npz"));
    let common = ["accuracy", &network, "--data", &data, "--samples", "200", "--method", "uniform"];
    let find = ["--min-agreement", "95%", "--points", "6", "--json", "-q"];
    let (code, text, said) = program(&[&common[..], &find].concat());
    assert_eq!(code, 0, "{said}");
    let json: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert!(json["quantized"]["against"]["agreement"]["count"].as_u64().unwrap() >= 190, "{text}");
    assert_eq!(json["target"]["kind"], "min-agreement");
}

/// Two tensors of very different size: over all weights the ratio is that of the large one.
#[test]
fn a_quality_is_not_met_by_a_file_with_a_lost_tensor() {
    let mut random = support::Random(5);
    let loud: Vec<f32> = (0..4096).map(|_| random.laplace(10.0)).collect();
    let quiet: Vec<f32> = (0..4096).map(|_| random.laplace(0.001)).collect();
    let bytes = support::safetensors(&[
        ("loud.weight", "F32", &[64, 64], support::f32_bytes(&loud)),
        ("quiet.weight", "F32", &[64, 64], support::f32_bytes(&quiet)),
    ]);
    let file = path("targets_lost.safetensors");
    std::fs::write(&file, bytes).unwrap();
    let target = Target::SqnrDb(15.0);
    // A codebook for both gives its levels to the loud one, which alone would meet 15 dB with a few of them.
    let met = search(&file, "method=kmeans&scope=all", target, &[], 2).unwrap();
    assert_eq!(met.best.measured.broken, 0);
    assert!(met.best.measured.worst_db > 3.0, "{:?}", met.best);
    assert!(met.trials.iter().any(|t| t.measured.sqnr_db > 15.0 && t.measured.broken > 0), "it was tempted");
    assert!(met.sentence.contains("worst tensor"), "{}", met.sentence);
}
