//! The native program's files: never over an input, whole or not at all.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// An empty folder of its own.
fn folder(name: &str) -> PathBuf {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("writing_{name}"));
    let _ = std::fs::remove_dir_all(&path);
    std::fs::create_dir_all(&path).unwrap();
    path
}

fn program(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_quantscope"));
    command.current_dir(folder).stdin(Stdio::null());
    command
}

fn run(folder: &Path, arguments: &[&str]) -> Output {
    program(folder).args(arguments).output().unwrap()
}

fn refused(folder: &Path, arguments: &[&str]) -> String {
    let output = run(folder, arguments);
    let sentence = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {sentence}");
    sentence
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn an_output_that_is_the_input_is_refused_whatever_it_is_called() {
    let folder = folder("same");
    let bytes = support::small_model();
    std::fs::write(folder.join("w.safetensors"), &bytes).unwrap();
    std::fs::create_dir(folder.join("x")).unwrap();
    symlink("w.safetensors", folder.join("link.qsz")).unwrap();
    std::fs::hard_link(folder.join("w.safetensors"), folder.join("hard.qsz")).unwrap();
    for output in ["w.safetensors", "./x/../w.safetensors", "link.qsz", "hard.qsz"] {
        let sentence = refused(&folder, &["compress", "w.safetensors", "-o", output]);
        assert!(
            sentence.contains("output: expected another file than the input w.safetensors"),
            "{output}: {sentence}"
        );
        assert_eq!(std::fs::read(folder.join("w.safetensors")).unwrap(), bytes, "{output}");
    }
    let importance = ["compress", "w.safetensors", "--importance-file", "link.qsz", "-o", "hard.qsz"];
    refused(&folder, &importance);
    refused(&folder, &["sweep", "w.safetensors", "-o", "w.safetensors"]);
    refused(&folder, &["sweep", "w.safetensors", "-o", "new.csv", "--svg", "./new.csv"]);
    refused(&folder, &["sensitivity", "w.safetensors", "--svg", "link.qsz"]);
    assert_eq!(std::fs::read(folder.join("w.safetensors")).unwrap(), bytes);
    assert_eq!(names(&folder), ["hard.qsz", "link.qsz", "w.safetensors", "x"]);
}

#[test]
fn networks_templates_and_data_beside_them_are_inputs_too() {
    let folder = folder("network");
    let sample = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("www/samples/lstm.onnx");
    let network = std::fs::read(sample).unwrap();
    std::fs::write(folder.join("m.onnx"), &network).unwrap();
    assert!(run(&folder, &["compress", "m.onnx", "-o", "m.qsz", "--no-check"]).status.success());
    refused(&folder, &["decode", "m.qsz", "-o", "m.onnx", "--template", "m.onnx"]);
    refused(&folder, &["decode", "m.qsz", "-o", "m.qsz"]);
    refused(&folder, &["importance", "m.onnx", "--data", "m.onnx", "-o", "m.onnx"]);
    refused(&folder, &["accuracy", "m.onnx", "--data", "d.npz", "--outputs", "m.onnx"]);
    assert_eq!(std::fs::read(folder.join("m.onnx")).unwrap(), network);
    let written = run(&folder, &["decode", "m.qsz", "-o", "N.ONNX", "--template", "m.onnx"]);
    assert!(written.status.success(), "{}", String::from_utf8_lossy(&written.stderr));
    assert_eq!(std::fs::read(folder.join("N.ONNX")).unwrap().len(), network.len());
}

#[test]
fn a_place_that_cannot_be_written_is_said_in_words() {
    let folder = folder("nowhere");
    std::fs::write(folder.join("w.safetensors"), support::small_model()).unwrap();
    let said = |output: &str| {
        let output = run(&folder, &["compress", "w.safetensors", "-o", output]);
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8(output.stderr).unwrap()
    };
    assert_eq!(
        said("/nonexistent/x.qsz").lines().last(),
        Some("quantscope: writing /nonexistent/x.qsz: there is no such folder")
    );
    std::fs::create_dir(folder.join("f.qsz")).unwrap();
    assert_eq!(said("f.qsz").lines().last(), Some("quantscope: writing f.qsz: that is a folder"));
    assert_eq!(names(&folder), ["f.qsz", "w.safetensors"]);
}

#[test]
fn a_full_disk_leaves_nothing_and_an_older_file_as_it_was() {
    let folder = folder("full");
    std::fs::write(folder.join("w.safetensors"), support::small_model()).unwrap();
    std::fs::write(folder.join("x.qsz"), b"older").unwrap();
    // Files of at most one block of 1024 bytes, with an error in place of the signal.
    let script = format!(
        "trap '' XFSZ; ulimit -f 1; exec {} compress w.safetensors -o x.qsz --quiet",
        env!("CARGO_BIN_EXE_quantscope")
    );
    let output = Command::new("bash").args(["-c", &script]).current_dir(&folder).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(std::fs::read(folder.join("x.qsz")).unwrap(), b"older");
    assert_eq!(names(&folder), ["w.safetensors", "x.qsz"]);
}

#[test]
fn an_interruption_leaves_nothing() {
    let folder = folder("interrupted");
    let mut random = support::Random(3);
    let values: Vec<f32> = (0..3_000_000).map(|_| random.laplace(0.1)).collect();
    let model = support::safetensors(&[("w", "F32", &[1000, 3000], support::f32_bytes(&values))]);
    std::fs::write(folder.join("w.safetensors"), model).unwrap();
    let mut child = program(&folder)
        .args(["compress", "w.safetensors", "-o", "x.qsz", "--quiet", "--method", "trellis", "--jobs", "1"])
        .spawn()
        .unwrap();
    // The partial file is there from the first block on.
    let is_partial = |name: &String| name.ends_with(".partial");
    while !names(&folder).iter().any(is_partial) {
        assert!(child.try_wait().unwrap().is_none(), "it ended before it could be interrupted");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_eq!(names(&folder), ["w.safetensors"]);
}
