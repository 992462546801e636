//! Whole compressed files, by their hashes: every method × scope × coder × positions × pruning × importance on one small model.
//!
//! A refactoring changes none. Where a file is to change, `QUANTSCOPE_GOLDEN=write cargo test --test golden_files` writes the hashes
//! anew, and the change says why. `QUANTSCOPE_GOLDEN_FILES=FOLDER` leaves every file there, beside it the elements that it
//! decodes to, for the second decoder: `experiments/qsz.py check FOLDER`.
#![cfg(not(target_arch = "wasm32"))]
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod support;

use quantscope::container::{Limits, Reader};
use quantscope::engine::Restored;
use quantscope::engine::pipeline::Opened;
use quantscope::formats::{self, Source, TensorReader};
use quantscope::quantize::{Scope, methods::METHODS};
use quantscope::recipe::Recipe;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use support::{Random, f32_bytes, safetensors};

const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/golden_files.txt");

/// A curvature for the small model: positive, of two magnitudes.
fn importance() -> Vec<u8> {
    let mut random = Random(11);
    let mut of = |count: usize| -> Vec<u8> {
        let one = |_| (random.uniform() * if random.uniform() < 0.3 { 20.0 } else { 1.0 }) as f32;
        f32_bytes(&(0..count).map(one).collect::<Vec<_>>())
    };
    safetensors(&[
        ("conv1.weight", "F32", &[8, 3, 3, 3], of(216)),
        ("fc1.weight", "F32", &[40, 100], of(4000)),
        ("fc2.weight", "F32", &[20, 30], of(600)),
    ])
}

fn written(name: &str, bytes: &[u8]) -> PathBuf {
    let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

/// What the choices below do not reach.
const MORE: [&str; 25] = [
    "method=kmeans&k=12&precision=certified",
    "method=trellis&step=0.2&states=8",
    "method=trellis&step=0.2&finer=fc*:1.5,conv*:-0.5",
    "method=uniform&include=*.weight&exclude=conv*",
    "method=trellis&exclude=*",
    "method=scaled&numbers=mxfp4&coder=context",
    "method=scaled&numbers=mxfp6-e3m2&fit=squared&coder=fixed",
    "method=scaled&numbers=mxint8&coder=rans",
    "method=scaled&numbers=nvfp4&coder=context",
    "method=scaled&numbers=nvfp4&scope=tensor&fit=weighted&importance=file&coder=fixed",
    "method=scaled&numbers=nf4&roles=all&coder=huffman",
    "method=scaled&numbers=q4_0&fit=squared&coder=context",
    "method=scaled&numbers=q4_1&fit=squared&coder=rans",
    "method=scaled&numbers=iq4_nl&fit=weighted&importance=file&coder=context",
    "method=scaled&numbers=q2_k&fit=squared&coder=fixed",
    "method=scaled&numbers=q3_k&fit=weighted&importance=file&coder=context",
    "method=scaled&numbers=q4_k&fit=squared&coder=rans",
    "method=scaled&numbers=q5_k&roles=all&coder=huffman",
    "method=scaled&numbers=q6_k&fit=squared&coder=context",
    "method=scaled&numbers=affine&bits=3&block=24&scale=int6&fit=squared&coder=fixed",
    "method=scaled&numbers=bf16&coder=context",
    "method=scaled&numbers=fp8-e4m3&scope=all&coder=huffman",
    "method=scaled&numbers=apot&bits=5&block=16&coder=context",
    "method=scaled&format=m3e4&scale=none&coder=context",
    "method=scaled&format=posit10-1&block=32&scale=f32&coder=rans",
];

/// Every recipe that the choices of before allow, one setting of each method.
fn recipes() -> Vec<Recipe> {
    let mut lines: Vec<String> = MORE.map(str::to_owned).to_vec();
    for method in METHODS {
        for scope in Scope::ALL {
            for coder in ["fixed", "huffman", "rans", "context"] {
                for positions in ["symbols", "gaps"] {
                    for prune in ["none", "threshold:0.02", "fraction:0.6"] {
                        for importance in ["none", "file"] {
                            lines.push(format!(
                                "method={}&scope={}&roles=all&coder={coder}&positions={positions}&prune={prune}&importance={importance}",
                                method.id,
                                scope.id()
                            ));
                        }
                    }
                }
            }
        }
    }
    let mut recipes: Vec<Recipe> = lines.iter().filter_map(|line| Recipe::from_line(line).ok()).collect();
    recipes.dedup();
    recipes
}

/// The file that a compressed one gives back, which holds the elements that it decodes to.
fn restored(file: &dyn Source, elements: &[u8]) -> Vec<u8> {
    let reader = Reader::open(file, Limits::default()).unwrap();
    let mut bytes = Vec::new();
    Restored::new(file, &reader).unwrap().write(&mut bytes, &mut |_| ()).unwrap();
    let model = formats::open(&bytes, &formats::Limits::default()).unwrap();
    let mut read = Vec::new();
    for tensor in &model.tensors {
        let mut tensor_reader = TensorReader::new(&bytes, tensor, &formats::Limits::default()).unwrap();
        tensor_reader.read(0..tensor.len(), &mut read).unwrap();
    }
    assert!(read == elements);
    bytes
}

/// What a file decodes to: the elements of all tensors, in their order.
fn decoded(file: &dyn Source) -> Vec<u8> {
    let reader = Reader::open(file, Limits::default()).unwrap();
    let mut elements = Vec::new();
    for tensor in 0..reader.manifest().tensors.len() {
        let decoder = reader.decoder(tensor).unwrap();
        for block in 0..decoder.blocks() {
            decoder.decode_block(file, block, &mut elements).unwrap();
        }
    }
    elements
}

#[test]
fn whole_files_are_what_they_were() {
    let model = written("golden.safetensors", &support::small_model());
    let curvature = written("golden.curvature.safetensors", &importance());
    let folder = std::env::var_os("QUANTSCOPE_GOLDEN_FILES").map(PathBuf::from);
    let mut found = String::new();
    for recipe in recipes() {
        let weighed = recipe.to_line().contains("importance=file").then_some(curvature.as_path());
        let mut opened = Opened::open(&model, weighed, &recipe, 1, &|_, _, _| ()).unwrap();
        let (file, ..) = opened.compress(&recipe, Vec::new(), &|_, _, _| ()).unwrap();
        let elements = decoded(&file);
        let restored = restored(&file, &elements);
        if let Some(folder) = &folder {
            let path = folder.join(format!("{:03}.qsz", found.lines().count()));
            std::fs::write(&path, &file).unwrap();
            std::fs::write(path.with_extension("elements"), elements).unwrap();
            std::fs::write(path.with_extension("file"), restored).unwrap();
        }
        let hash = xxhash_rust::xxh3::xxh3_128(&file);
        let _ = writeln!(found, "{hash:032x} {:5} {}", file.len(), recipe.to_line());
    }
    if std::env::var("QUANTSCOPE_GOLDEN").is_ok_and(|wish| wish == "write") {
        std::fs::write(GOLDEN, &found).unwrap();
    }
    let golden = std::fs::read_to_string(GOLDEN).unwrap();
    let changed: Vec<(&str, &str)> =
        golden.lines().zip(found.lines()).filter(|(golden, found)| golden != found).collect();
    assert!(
        changed.is_empty(),
        "{} of {} files changed, first {:?}",
        changed.len(),
        found.lines().count(),
        changed.first()
    );
    assert_eq!(golden.lines().count(), found.lines().count());
}
