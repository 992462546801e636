//! What several integration tests need: a small deterministic model as safetensors bytes, and where the real data lies.
#![allow(dead_code)]

use quantscope::engine::pipeline::Opened;
use quantscope::engine::report::Outcome;
use quantscope::formats::{Limits, Source, TensorReader};
use quantscope::model::Model;
use quantscope::recipe::Recipe;
use std::path::PathBuf;

/// `SplitMix64`, so that fixtures are the same everywhere.
pub struct Random(pub u64);

impl Random {
    pub fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }

    /// A Laplacian of this scale, by arithmetic that is the same on every target.
    pub fn laplace(&mut self, scale: f64) -> f32 {
        let u = self.uniform() - 0.5;
        (-scale * u.signum() * libm::log(1.0 - 2.0 * u.abs() + 1e-18)) as f32
    }
}

/// What a recipe's line makes of a model with this importance file, verified, and what was measured.
pub fn compressed(model: Vec<u8>, importance: Vec<u8>, line: &str) -> (Vec<u8>, Outcome) {
    let recipe = Recipe::from_line(line).unwrap();
    let source = (model, "m".to_owned());
    let mut opened = Opened::sketch(source, Some(importance), &recipe, 2, &|_, _, _| ()).unwrap();
    let (file, outcome, plan) = opened.compress(&recipe, Vec::new(), &|_, _, _| ()).unwrap();
    assert_eq!(opened.verify(&plan, &file, &|_, _, _| ()).unwrap().mismatches, 0, "{line}");
    (file, outcome)
}

/// Safetensors bytes of tensors given as name, dtype, shape and little-endian bytes.
pub fn safetensors(tensors: &[(&str, &str, &[u64], Vec<u8>)]) -> Vec<u8> {
    let mut entries = Vec::new();
    let mut offset = 0;
    for (name, dtype, shape, bytes) in tensors {
        let end = offset + bytes.len();
        entries.push(format!(
            "\"{name}\":{{\"dtype\":\"{dtype}\",\"shape\":{shape:?},\"data_offsets\":[{offset},{end}]}}"
        ));
        offset = end;
    }
    let mut header = format!("{{{}}}", entries.join(","));
    while header.len() % 8 != 0 {
        header.push(' ');
    }
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend(header.as_bytes());
    for (.., bytes) in tensors {
        file.extend(bytes);
    }
    file
}

/// A number in groups of 7 bits, as protobuf and compressed files have them.
pub fn varint(mut number: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
    out
}

/// The values of the tensor of this name.
pub fn values(source: &dyn Source, model: &Model, name: &str) -> Vec<f32> {
    let tensor = model.tensors.iter().find(|tensor| tensor.name == name).unwrap();
    let mut values = Vec::new();
    let mut reader = TensorReader::new(source, tensor, &Limits::default()).unwrap();
    reader.read_f32(0..tensor.len(), &mut values).unwrap();
    values
}

/// Little-endian bytes of floats.
pub fn f32_bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|v| v.to_le_bytes()).collect()
}

/// A small network: two kernels, a matrix, biases, a half-precision matrix, a counter, an empty and a scalar tensor.
pub fn small_model() -> Vec<u8> {
    let mut random = Random(7);
    let mut floats = |n: usize, scale: f64| -> Vec<f32> { (0..n).map(|_| random.laplace(scale)).collect() };
    let half: Vec<u8> =
        floats(600, 0.05).iter().flat_map(|v| half::f16::from_f32(*v).to_le_bytes()).collect();
    let mut sparse = floats(4000, 0.03);
    for w in &mut sparse {
        *w = if w.abs() < 0.05 { 0.0 } else { *w };
    }
    safetensors(&[
        ("conv1.weight", "F32", &[8, 3, 3, 3], f32_bytes(&floats(216, 0.2))),
        ("conv1.bias", "F32", &[8], f32_bytes(&floats(8, 0.1))),
        ("fc1.weight", "F32", &[40, 100], f32_bytes(&sparse)),
        ("fc2.weight", "F16", &[20, 30], half),
        ("steps", "I64", &[], 12345i64.to_le_bytes().to_vec()),
        ("empty", "F32", &[0, 4], Vec::new()),
        ("scale", "F32", &[], f32_bytes(&[1.5])),
    ])
}

/// The real weights to test against, or `None` with a printed line where they are absent.
pub fn data(path: &str) -> Option<PathBuf> {
    let root = std::env::var_os("QUANTSCOPE_DATA")
        .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/data"), PathBuf::from);
    let path = root.join(path);
    if path.exists() {
        return Some(path);
    }
    println!("skipped: {} is not there", path.display());
    None
}

/// A recipe's line that asks for every tensor, in one codebook and with static range coding, as far as it does not say otherwise.
pub fn of_everything(line: &str) -> String {
    let is_grid = ["method=trellis", "method=rdo"].iter().any(|method| line.starts_with(method));
    let mut line = line.to_owned();
    let defaults =
        [("scope=", "scope=all", true), ("include=", "include=*", true), ("coder=", "coder=rans", !is_grid)];
    for (key, default, applies) in defaults {
        if applies && !line.contains(key) {
            line = format!("{line}&{default}");
        }
    }
    line
}
