//! The bundled sample: a small network's weights, drawn from a seeded generator when asked for; costs the page no bytes.
//!
//! Shapes of a small digit classifier; kernels from a Laplace distribution whose scale falls with the fan-in, as trained
//! layers have it, biases near zero, one layer with most weights pruned, one in half precision.

use crate::tensor::Dtype;
use std::fmt::Write as _;

/// The sample's file name.
pub const NAME: &str = "sample.safetensors";

/// `SplitMix64` (Steele, Lea and Flood 2014).
struct Random(u64);

impl Random {
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }

    fn laplace(&mut self, scale: f64) -> f64 {
        let u = self.uniform() - 0.5;
        -scale * libm::copysign(libm::log(1.0 - 2.0 * u.abs() + 1e-12), u)
    }
}

struct Layer {
    name: &'static str,
    shape: &'static [u64],
    dtype: Dtype,
    scale: f64,
    /// Magnitudes below this are zero.
    pruned: f64,
}

const LAYERS: [Layer; 8] = [
    Layer { name: "conv1.weight", shape: &[16, 1, 5, 5], dtype: Dtype::F32, scale: 0.14, pruned: 0.0 },
    Layer { name: "conv1.bias", shape: &[16], dtype: Dtype::F32, scale: 0.05, pruned: 0.0 },
    Layer { name: "conv2.weight", shape: &[32, 16, 3, 3], dtype: Dtype::F32, scale: 0.06, pruned: 0.0 },
    Layer { name: "conv2.bias", shape: &[32], dtype: Dtype::F32, scale: 0.02, pruned: 0.0 },
    Layer { name: "fc1.weight", shape: &[96, 512], dtype: Dtype::F32, scale: 0.025, pruned: 0.0 },
    Layer { name: "fc1.bias", shape: &[96], dtype: Dtype::F32, scale: 0.01, pruned: 0.0 },
    Layer { name: "fc2.weight", shape: &[48, 96], dtype: Dtype::F16, scale: 0.07, pruned: 0.12 },
    Layer { name: "fc3.weight", shape: &[10, 48], dtype: Dtype::F32, scale: 0.12, pruned: 0.0 },
];

/// The sample as a safetensors file; the same bytes every time.
pub fn bytes() -> Vec<u8> {
    let mut random = Random(2017);
    let mut header = String::new();
    let mut data = Vec::new();
    for layer in &LAYERS {
        let start = data.len();
        let count: u64 = layer.shape.iter().product();
        let values: Vec<f32> = (0..count)
            .map(|_| random.laplace(layer.scale))
            .map(|w| if w.abs() < layer.pruned { 0.0 } else { w as f32 })
            .collect();
        layer.dtype.extend_bytes(&values, &mut data);
        let Layer { name, shape, dtype, .. } = layer;
        let (comma, dtype, end) = (if header.is_empty() { '{' } else { ',' }, dtype.name(), data.len());
        // Writing to a string cannot fail.
        let _ = write!(
            header,
            "{comma}\"{name}\":{{\"dtype\":\"{dtype}\",\"shape\":{shape:?},\"data_offsets\":[{start},{end}]}}"
        );
    }
    header.push('}');
    while !header.len().is_multiple_of(8) {
        header.push(' ');
    }
    let mut file = (header.len() as u64).to_le_bytes().to_vec();
    file.extend_from_slice(header.as_bytes());
    file.append(&mut data);
    file
}
