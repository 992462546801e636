//! GGUF through the public API: llama.cpp's own suite of odd files, a real model in two types of blocks, split files.
#![cfg(all(not(target_arch = "wasm32"), feature = "cli"))]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use quantscope::engine::native::{FileSource, open_files};
use quantscope::formats::{Limits, open};
use quantscope::model::FileFormat;
use std::path::Path;
use std::process::Command;
use support::values;

/// Files that the suite calls good are headers alone: they are given the bytes that their tensors need.
#[test]
fn llama_cpps_handcrafted_files_end_as_their_names_say() {
    let Some(folder) = support::data("hostile/gguf_handcrafted") else { return };
    let (mut good, mut bad) = (0, 0);
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if !FileFormat::Gguf.is_name_of(&name) {
            continue;
        }
        let mut bytes = std::fs::read(&path).unwrap();
        bytes.resize(bytes.len() + (1 << 20), 0);
        let found = open(&bytes, &Limits::default());
        assert_eq!(found.is_ok(), name.starts_with("ok_"), "{name}: {:?}", found.map(|_| ()));
        match found {
            Ok(model) => {
                let tensors = if name.contains("TENSORS") { 77 } else { 0 };
                assert_eq!((model.format, model.tensors.len()), (FileFormat::Gguf, tensors), "{name}");
                for tensor in &model.tensors {
                    values(&bytes, &model, &tensor.name);
                }
                good += 1;
            }
            Err(error) => {
                println!("{name}: {error}");
                bad += 1;
            }
        }
    }
    assert_eq!((good, bad), (5, 23));
}

/// The names of the same tensors in the model's own checkpoint.
fn checkpoint_name(name: &str) -> String {
    let names = [
        ("blk.", "layers."),
        ("attn_norm", "attention_norm"),
        ("attn_q", "attention.wq"),
        ("attn_k", "attention.wk"),
        ("attn_v", "attention.wv"),
        ("attn_output", "attention.wo"),
        ("ffn_gate", "feed_forward.w1"),
        ("ffn_down", "feed_forward.w2"),
        ("ffn_up", "feed_forward.w3"),
        ("output_norm", "norm"),
        ("token_embd", "tok_embeddings"),
    ];
    names.iter().fold(name.to_owned(), |name, (from, to)| name.replace(from, to))
}

#[test]
fn blocks_of_a_real_model_are_within_a_step_of_its_weights() {
    let Some(folder) = support::data("stories260K") else { return };
    let checkpoint = FileSource::open(&folder.join("stories260K_tied_zip.pt")).unwrap();
    let weights = open(&checkpoint, &Limits::default()).unwrap();
    // The largest error as a part of a block's largest weight: half a step of 127, and at the far end of 16 levels, which is cut off,
    // a whole step of 8. A scale rounded to half precision adds 2^-11 of the weight.
    for (file, step) in [("stories260K_q8_0.gguf", 0.5 / 127.0), ("stories260K_q4_0.gguf", 1.0 / 8.0)] {
        let source = FileSource::open(&folder.join(file)).unwrap();
        let model = open(&source, &Limits::default()).unwrap();
        assert_eq!((model.format, model.tensors.len(), model.parameters()), (FileFormat::Gguf, 47, 260_032));
        assert!(!model.is_partial);
        for tensor in &model.tensors {
            let found = values(&source, &model, &tensor.name);
            let expected = values(&checkpoint, &weights, &checkpoint_name(&tensor.name));
            for (found, expected) in found.chunks(32).zip(expected.chunks(32)) {
                let largest = expected.iter().fold(0.0, |most: f32, value| most.max(value.abs()));
                for (a, b) in found.iter().zip(expected) {
                    assert!((a - b).abs() <= largest * (step + 0.0005), "{file} {}: {a} {b}", tensor.name);
                }
            }
        }
    }
}

/// A GGUF file of one part of a model of two, with one vector in it.
fn part(number: u8, name: &str, value: f32) -> Vec<u8> {
    let text = |text: &str| [&(text.len() as u64).to_le_bytes(), text.as_bytes()].concat();
    let mut file =
        [b"GGUF".as_slice(), &3u32.to_le_bytes(), &1u64.to_le_bytes(), &2u64.to_le_bytes()].concat();
    for (key, value) in [("split.no", number), ("split.count", 2)] {
        file.extend([text(key), 2u32.to_le_bytes().to_vec(), vec![value, 0]].concat());
    }
    file.extend([text(name), 1u32.to_le_bytes().to_vec(), 100u64.to_le_bytes().to_vec()].concat());
    file.extend([0u32.to_le_bytes().as_slice(), &0u64.to_le_bytes()].concat());
    file.resize(file.len().next_multiple_of(32), 0);
    file.extend(support::f32_bytes(&[value; 100]));
    file
}

#[test]
fn the_program_opens_a_split_model_by_any_part() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("gguf_split");
    let _ = std::fs::remove_dir_all(&folder);
    std::fs::create_dir_all(&folder).unwrap();
    let paths = [1, 2].map(|number| folder.join(format!("m-0000{number}-of-00002.gguf")));
    std::fs::write(&paths[0], part(0, "a.weight", 1.0)).unwrap();
    std::fs::write(&paths[1], part(1, "b.weight", 2.0)).unwrap();
    for path in &paths {
        let source = open_files(path).unwrap();
        let model = open(&source, &Limits::default()).unwrap();
        assert_eq!(
            model.tensors.iter().map(|t| t.name.as_str()).collect::<Vec<_>>(),
            ["a.weight", "b.weight"]
        );
        assert_eq!(values(&source, &model, "a.weight"), [1.0; 100]);
        assert_eq!(values(&source, &model, "b.weight"), [2.0; 100]);
    }
    // The other part is an input as well, which no output may overwrite.
    let run = |arguments: &[&Path]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_quantscope"));
        let output = command.arg("compress").args(arguments).arg("--quiet").output().unwrap();
        (output.status.success(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (ended_well, sentence) = run(&[&paths[0], Path::new("-o"), &paths[1]]);
    assert!(!ended_well && sentence.contains("another file than the input"), "{sentence}");
    std::fs::remove_file(&paths[1]).unwrap();
    let (ended_well, sentence) = run(&[&paths[0], Path::new("-o"), &folder.join("x.qsz")]);
    assert!(!ended_well && sentence.contains("m-00002-of-00002.gguf"), "{sentence}");
}
