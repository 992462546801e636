//! One model in several files, a folder of files, a file in an archive: as the native program is given them.
#![cfg(all(not(target_arch = "wasm32"), feature = "cli"))]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use support::{Random, f32_bytes, safetensors};

const ONE: &str = "model-00001-of-00002.safetensors";
const TWO: &str = "model-00002-of-00002.safetensors";
const INDEX: &str = "model.safetensors.index.json";

/// An empty folder of its own.
fn folder(name: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("several_{name}"));
    let _ = std::fs::remove_dir_all(&path);
    std::fs::create_dir_all(&path).unwrap();
    path
}

fn matrix(seed: u64) -> Vec<u8> {
    let mut random = Random(seed);
    f32_bytes(&(0..64 * 64).map(|_| random.laplace(0.05)).collect::<Vec<f32>>())
}

/// A folder with a model of two shards, their index, and what else is in such folders.
fn sharded(name: &str) -> PathBuf {
    let folder = folder(name);
    let write = |name: &str, bytes: &[u8]| std::fs::write(folder.join(name), bytes).unwrap();
    write(ONE, &safetensors(&[("a.weight", "F32", &[64, 64], matrix(1))]));
    write(TWO, &safetensors(&[("b.weight", "F32", &[64, 64], matrix(2)), ("steps", "I64", &[], vec![7; 8])]));
    let map = format!(r#"{{"a.weight": "{ONE}", "b.weight": "{TWO}", "steps": "{TWO}"}}"#);
    write(INDEX, format!(r#"{{"metadata": {{"total_size": 32776}}, "weight_map": {map}}}"#).as_bytes());
    write("config.json", b"{}");
    write("training_args.bin", b"not weights");
    folder
}

fn run(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_quantscope")).args(arguments).arg("--quiet").output().unwrap()
}

fn succeeds(arguments: &[&str]) -> serde_json::Value {
    let output = run(&[arguments, &["--json"]].concat());
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The one sentence on standard error.
fn refused(arguments: &[&str]) -> String {
    let output = run(arguments);
    let sentence = String::from_utf8(output.stderr).unwrap().trim_end().to_owned();
    assert!(!output.status.success() && sentence.lines().count() == 1, "{arguments:?}: {sentence}");
    sentence
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

fn names(inspected: &serde_json::Value) -> Vec<&str> {
    inspected["tensors"].as_array().unwrap().iter().map(|tensor| tensor["name"].as_str().unwrap()).collect()
}

#[test]
fn the_index_the_folder_and_any_shard_are_one_model() {
    let folder = sharded("whole");
    let qsz = folder.join("x.qsz");
    let mut hash = None;
    for name in [INDEX, "", ONE, TWO] {
        let path = folder.join(name);
        let told = succeeds(&["inspect", text(&path)]);
        assert_eq!(told["format"], "sharded safetensors or PyTorch", "{name}");
        assert_eq!(names(&told), ["a.weight", "b.weight", "steps"], "{name}");
        assert_eq!(told["notes"], serde_json::json!([]), "{name}");
        assert_eq!(hash.get_or_insert(told["hash"].clone()), &told["hash"], "{name}");
        let compressed = succeeds(&["compress", text(&path), "-o", text(&qsz), "--exclude", "*"]);
        assert_eq!(compressed["verification"]["mismatches"], 0, "{name}");
        succeeds(&["verify", text(&qsz), "--source", text(&path)]);
        std::fs::remove_file(&qsz).unwrap();
    }
    let index = folder.join(INDEX);
    succeeds(&["compress", text(&folder), "-o", text(&qsz)]);
    assert_eq!(succeeds(&["inspect", text(&qsz)])["source"]["name"], INDEX);
    // No shard is written over, whichever way the model was named.
    for named in [text(&folder), text(&index), text(&folder.join(ONE))] {
        let sentence = refused(&["compress", named, "-o", text(&folder.join(TWO))]);
        assert!(sentence.contains("output: expected another file than the input"), "{sentence}");
    }
}

#[test]
fn a_missing_shard_is_named_and_a_lonely_one_is_read_with_a_note() {
    let folder = sharded("missing");
    std::fs::remove_file(folder.join(TWO)).unwrap();
    for named in [folder.clone(), folder.join(INDEX)] {
        let sentence = refused(&["compress", text(&named), "-o", text(&folder.join("x.qsz"))]);
        assert!(sentence.contains(&format!("{INDEX} needs {TWO} as well")), "{sentence}");
        assert!(!folder.join("x.qsz").exists());
    }
    let told = succeeds(&["inspect", text(&folder.join(ONE))]);
    assert_eq!((names(&told), &told["format"]), (vec!["a.weight"], &"safetensors".into()));
    assert_eq!(told["notes"][0], format!("this is part 1 of 2 of a model, which is whole with {TWO}"));
}

#[test]
fn a_folder_is_its_one_weight_file_and_otherwise_says_what_is_in_it() {
    let folder = folder("plain");
    assert!(refused(&["inspect", text(&folder)]).contains("this is a folder without a weight file"));
    std::fs::write(folder.join("w.safetensors"), support::small_model()).unwrap();
    std::fs::write(folder.join("README.md"), "words").unwrap();
    assert_eq!(names(&succeeds(&["inspect", text(&folder)])).len(), 7);
    std::fs::write(folder.join("v.npz"), "no matter what").unwrap();
    let sentence = refused(&["inspect", text(&folder)]);
    assert!(sentence.contains("this is a folder of 2 models: v.npz and w.safetensors"), "{sentence}");
}

#[test]
fn the_field_files_are_read() {
    for (path, format, tensors, parameters) in [
        ("sharded", "sharded safetensors or PyTorch", 21, 158_016),
        ("sharded/model.safetensors.index.json", "sharded safetensors or PyTorch", 21, 158_016),
        ("sharded/model-00002-of-00002.safetensors", "sharded safetensors or PyTorch", 21, 158_016),
        ("model_zip_of_safetensors.zip", "weight file in a zip archive", 2, 8),
        ("export.pt2", "PyTorch (torch.export)", 1, 64),
    ] {
        let Some(file) = support::data(&format!("field/formats/{path}")) else { continue };
        let told = succeeds(&["inspect", text(&file)]);
        assert_eq!((&told["format"], names(&told).len()), (&format.into(), tensors), "{path}");
        assert_eq!(told["parameters"], parameters, "{path}");
        let qsz = folder("field").join("x.qsz");
        let compressed = succeeds(&["compress", text(&file), "-o", text(&qsz), "--exclude", "*"]);
        assert_eq!(compressed["verification"]["mismatches"], 0, "{path}");
    }
}
