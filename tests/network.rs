//! Running networks with the native program: real networks reach their known accuracy, samples theirs, what does not fit is refused.
#![cfg(all(not(target_arch = "wasm32"), feature = "cli"))]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use quantscope::formats::{self, Limits};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_quantscope")).args(arguments).output().unwrap()
}

fn json(arguments: &[&str]) -> Value {
    let output = run(&[arguments, &["--json", "-q"]].concat());
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The one sentence on standard error.
fn fails(arguments: &[&str]) -> String {
    let output = run(arguments);
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success(), "{arguments:?}");
    assert_eq!(stderr.trim_end().lines().count(), 1, "{stderr}");
    assert!(!stderr.contains("panicked") && stderr.len() < 600, "{stderr}");
    stderr
}

fn temporary(name: &str) -> String {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name).display().to_string()
}

fn repository(name: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name).display().to_string()
}

/// Paths of the shared data; none unless all are there.
fn shared<const N: usize>(names: [&str; N]) -> Option<[String; N]> {
    let found: Vec<String> =
        names.iter().filter_map(|name| Some(support::data(name)?.display().to_string())).collect();
    found.try_into().ok()
}

fn mnist() -> Option<[String; 3]> {
    shared([
        "lenet/lenet.onnx",
        "mnist_test/t10k-images-idx3-ubyte.gz",
        "mnist_test/t10k-labels-idx1-ubyte.gz",
    ])
}

/// What a plain weight file says of its tensors, and their floats.
fn weight_file(path: &str) -> (String, Vec<Vec<f32>>) {
    let bytes = std::fs::read(path).unwrap();
    let model = formats::open(&&bytes[..], &Limits::default()).unwrap();
    let said = model.tensors.iter().map(|tensor| (&tensor.name, &tensor.shape, tensor.dtype));
    let said = format!("{:?} {:?}", model.metadata, said.collect::<Vec<_>>());
    let floats = model.tensors.iter().map(|tensor| {
        let quantscope::tensor::Storage::Stored(span) = tensor.storage else {
            panic!("{path} is compressed")
        };
        let len = (tensor.len() * tensor.dtype.size_bytes()) as usize;
        let mut floats = Vec::new();
        tensor.dtype.extend_f32(&bytes[(span.offset + tensor.offset) as usize..][..len], &mut floats);
        floats
    });
    (said, floats.collect())
}

/// All floats of the first tensor of a weight file.
fn floats(path: &str) -> Vec<f32> {
    weight_file(path).1.swap_remove(0)
}

#[test]
fn lenet_reads_9941_of_10000_digits() {
    let Some([network, images, labels]) = mnist() else { return };
    let found = json(&["accuracy", &network, "--data", &images, &labels]);
    assert_eq!(found["float"]["top1"]["count"], 9941);
    assert_eq!(found["samples"], 10_000);
}

#[test]
fn resnet_32_recognises_928_of_1000_pictures() {
    let Some([network, data]) = shared(["resnet32/resnet32.onnx", "resnet32/cifar10_test1000.npz"]) else {
        return;
    };
    let found = json(&["accuracy", &network, "--data", &data]);
    assert_eq!(found["float"]["top1"]["count"], 928);
}

#[test]
fn silero_answers_as_onnx_runtime_does() {
    let Some([network]) = shared(["silero/silero_vad_16k_op15.onnx"]) else { return };
    let out = temporary("silero_answers.npz");
    json(&["accuracy", &network, "--data", &repository("tests/data/silero_frames.npz"), "--outputs", &out]);
    let (found, expected) = (floats(&out), floats(&repository("tests/data/silero_outputs.npz")));
    assert_eq!(found.len(), 16);
    for (a, b) in found.iter().zip(&expected) {
        assert!((a - b).abs() < 1e-4, "{a} against {b}");
    }
    // They are not all alike.
    assert!(expected.iter().any(|p| *p > 0.5) && expected.iter().any(|p| *p < 0.1));
}

#[test]
fn samples_reach_the_accuracy_of_their_index() {
    let index: Value =
        serde_json::from_slice(&std::fs::read(repository("www/samples/index.json")).unwrap()).unwrap();
    for sample in index.as_array().unwrap() {
        let file = |key: &str| repository(&format!("www/samples/{}", sample[key].as_str().unwrap()));
        let found = json(&["accuracy", &file("model"), "--data", &file("data")]);
        let right = found["float"]["top1"]["count"].as_f64().unwrap();
        assert_eq!(
            (right / 6.0 * 100.0).round_ties_even() / 100.0,
            sample["accuracy"].as_f64().unwrap(),
            "{}",
            sample["id"]
        );
    }
}

/// Networks are run with whatever a processor has for sums of products, so that curvature differs in its last bits from one
/// kind of processor to another. Where it is a sum of terms that cancel, those bits are all there is of it.
#[test]
fn curvature_of_the_samples_is_what_the_program_computes() {
    for name in ["lstm", "transformer", "resnet"] {
        let out = temporary(&format!("{name}.curvature.safetensors"));
        let (network, data) =
            (repository(&format!("www/samples/{name}.onnx")), repository("www/samples/digits-8-train.npz"));
        json(&["importance", &network, "--data", &data, "--kind", "exact", "--half", "-o", &out]);
        let (found, expected) = (
            weight_file(&out),
            weight_file(&repository(&format!("www/samples/{name}.curvature.safetensors"))),
        );
        assert_eq!(found.0, expected.0, "{name}: run scripts/samples.sh curvature");
        let largest = expected.1.iter().flatten().copied().fold(0.0, f32::max);
        for (tensor, (found, expected)) in found.1.iter().zip(&expected.1).enumerate() {
            assert_eq!(found.len(), expected.len());
            for (at, (found, expected)) in found.iter().zip(expected).enumerate() {
                // Two steps of a bfloat16, or nothing beside the largest.
                let allowed = expected.abs() / 64.0 + largest * 1e-9;
                assert!(
                    (found - expected).abs() <= allowed,
                    "{name}: weight {at} of tensor {tensor} is {found}, was {expected}: run scripts/samples.sh curvature"
                );
            }
        }
    }
}

#[test]
fn curvature_computed_here_beats_plain_k_means_at_equal_entropy() {
    let Some([network, images, labels]) = mnist() else { return };
    let curvature = temporary("lenet.curvature.safetensors");
    json(&["importance", &network, "--data", &images, &labels, "--samples", "300", "-o", &curvature]);
    let point = |k: &str, more: &[&str]| {
        let base = [
            "accuracy",
            &network,
            "--data",
            &images,
            &labels,
            "--samples",
            "2000",
            "--method",
            "kmeans",
            "--scope",
            "all",
            "--roles",
            "trained",
            "--k",
            k,
        ];
        let found = json(&[&base[..], more].concat());
        let right = found["quantized"]["top1"]["count"].as_f64().unwrap() / 2000.0;
        (found["outcome"]["point"]["entropy_bits"].as_f64().unwrap(), right)
    };
    for (k, plain_k) in [("6", "4"), ("7", "6"), ("10", "8")] {
        let (weighted, plain) = (point(k, &["--importance-file", &curvature]), point(plain_k, &[]));
        assert!(weighted.0 < plain.0, "{weighted:?} against {plain:?}");
        assert!(weighted.1 > plain.1 + 0.005, "{weighted:?} against {plain:?}");
    }
}

#[test]
fn pruned_lenet_keeps_its_accuracy_above_the_papers_ratio() {
    let Some([network, images, labels]) = mnist() else { return };
    let Some([weights, hessian]) =
        shared(["lenet/lenet_pruned.safetensors", "lenet/lenet_pruned_hessian_diag_ggn.safetensors"])
    else {
        return;
    };
    let found = json(&[
        "accuracy",
        &network,
        "--weights",
        &weights,
        "--data",
        &images,
        &labels,
        "--preprocess",
        "scale=256",
        "--importance-file",
        &hessian,
        "--recipe",
        "method=uniform&step=0.6&scope=all&roles=trained&importance=file&prune=threshold:0&coder=rans&positions=gaps",
    ]);
    assert_eq!(found["float"]["top1"]["count"], 9940);
    assert!(found["quantized"]["top1"]["count"].as_u64().unwrap() >= 9930, "{}", found["quantized"]["top1"]);
    assert!(found["outcome"]["ratio"].as_f64().unwrap() > 51.25, "{}", found["outcome"]["ratio"]);
}

#[test]
fn pruned_lenet_at_sixty_times_keeps_its_accuracy() {
    let Some([network, images, labels]) = mnist() else { return };
    let Some([weights, hessian]) =
        shared(["lenet/lenet_pruned.safetensors", "lenet/lenet_pruned_hessian_diag_ggn.safetensors"])
    else {
        return;
    };
    let base = [
        "accuracy",
        &network,
        "--weights",
        &weights,
        "--data",
        &images,
        &labels,
        "--preprocess",
        "scale=256",
    ];
    let recipe = [
        "--importance-file",
        &hessian,
        "--scope",
        "all",
        "--roles",
        "trained",
        "--method",
        "trellis",
        "--step",
        "1",
        "--lambda",
        "3",
        "--alpha",
        "0.5",
    ];
    let found = json(&[&base[..], &recipe].concat());
    assert!(found["quantized"]["top1"]["count"].as_u64().unwrap() >= 9930, "{}", found["quantized"]["top1"]);
    assert!(found["outcome"]["ratio"].as_f64().unwrap() >= 60.0, "{}", found["outcome"]["ratio"]);
}

#[test]
fn quantized_weights_written_into_the_model_run_as_they_were_measured() {
    let source = repository("www/samples/transformer.onnx");
    let data = repository("www/samples/digits-8.npz");
    let (archive, decoded) = (temporary("transformer.qsz"), temporary("transformer.decoded.onnx"));
    let recipe = ["--method", "kmeans", "--k", "12", "--scope", "all"];
    let measured = json(&[&["accuracy", &source, "--data", &data][..], &recipe].concat());
    json(&[&["compress", &source, "-o", &archive][..], &recipe].concat());
    json(&["decode", &archive, "--template", &source, "-o", &decoded]);
    let alone = json(&["accuracy", &decoded, "--data", &data, "--preprocess", "scale=255"]);
    assert_eq!(alone["float"]["top1"], measured["quantized"]["top1"]);
    let (before, after) = (std::fs::read(&source).unwrap(), std::fs::read(&decoded).unwrap());
    assert_eq!(before.len(), after.len());
    assert!(before != after);
}

#[test]
fn retraining_lowers_the_loss_and_the_file_verifies() {
    let (network, data) = (repository("www/samples/lstm.onnx"), repository("www/samples/digits-8.npz"));
    let archive = temporary("lstm.retrained.qsz");
    let train = repository("www/samples/digits-8-train.npz");
    let found = json(&[
        "finetune", &network, "--data", &data, "--train", &train, "--method", "kmeans", "--k", "5",
        "--scope", "all", "--roles", "trained", "-o", &archive,
    ]);
    let loss = |when: &str| found[when]["loss"].as_f64().unwrap();
    assert!(loss("after") < 0.9 * loss("before"), "{} to {}", loss("before"), loss("after"));
    json(&["verify", &archive, "--source", &network]);
}

#[test]
fn what_does_not_fit_is_refused_in_one_sentence() {
    let lstm = repository("www/samples/lstm.onnx");
    let (small, large) = (repository("www/samples/digits-8.npz"), repository("www/samples/digits-28.npz"));
    let broken = temporary("cut.onnx");
    let whole = std::fs::read(&lstm).unwrap();
    std::fs::write(&broken, &whole[..whole.len() / 2]).unwrap();
    let noise = temporary("noise.npz");
    std::fs::write(&noise, b"these are no samples").unwrap();
    for arguments in [
        vec!["accuracy", &lstm, "--data", &large],
        vec!["accuracy", &lstm, "--data", &noise],
        vec!["accuracy", &broken, "--data", &small],
        vec!["accuracy", &lstm, "--data", &small, "--preprocess", "scale=0"],
        vec!["accuracy", &lstm, "--weights", &repository("www/samples/transformer.onnx"), "--data", &small],
        vec!["importance", &lstm, "--data", &large, "-o", &noise],
        vec!["accuracy", &small, "--data", &small],
    ] {
        fails(&arguments);
    }
}

#[test]
fn labels_out_of_range_are_refused() {
    // Ten classes, and a label of 200: idx files of two pictures of 8 x 8 pixels.
    let (images, labels) = (temporary("two-images-idx3-ubyte"), temporary("two-labels-idx1-ubyte"));
    let mut bytes = vec![0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 8, 0, 0, 0, 8];
    bytes.extend([7u8; 128]);
    std::fs::write(&images, bytes).unwrap();
    std::fs::write(&labels, [0, 0, 8, 1, 0, 0, 0, 2, 3, 200]).unwrap();
    let sentence = fails(&["accuracy", &repository("www/samples/lstm.onnx"), "--data", &images, &labels]);
    assert!(sentence.contains("200"), "{sentence}");
}

#[test]
fn models_without_weights_to_speak_of_are_answered() {
    let Some(folder) = support::data("hostile/onnx_light") else { return };
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "onnx") {
            let output = run(&["inspect", &path.display().to_string()]);
            let stderr = String::from_utf8(output.stderr).unwrap();
            assert!(output.status.code().is_some_and(|code| code < 100), "{}: {stderr}", path.display());
            assert!(stderr.trim_end().lines().count() <= 1, "{}: {stderr}", path.display());
        }
    }
}
