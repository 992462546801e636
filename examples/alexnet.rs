//! Writes a float32 safetensors file with AlexNet's shapes (60 965 224 parameters, 244 MB), for benchmarks.
//!
//! `cargo run --release --example alexnet -- alexnet.safetensors`
//!
//! Weights are Laplacian with the fan-in's scale, from a fixed seed: the same bytes every time.

use std::io::Write;

/// Caffe's AlexNet: name, shape. Grouped convolutions have half the input channels.
const SHAPES: [(&str, &[u64]); 8] = [
    ("conv1", &[96, 3, 11, 11]),
    ("conv2", &[256, 48, 5, 5]),
    ("conv3", &[384, 256, 3, 3]),
    ("conv4", &[384, 192, 3, 3]),
    ("conv5", &[256, 192, 3, 3]),
    ("fc6", &[4096, 9216]),
    ("fc7", &[4096, 4096]),
    ("fc8", &[1000, 4096]),
];

/// `SplitMix64` (Steele, Lea and Flood 2014).
struct Random(u64);

impl Random {
    fn uniform(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) >> 11) as f64 / (1u64 << 53) as f64
    }

    fn laplace(&mut self, scale: f64) -> f32 {
        let u = self.uniform() - 0.5;
        (-scale * u.signum() * libm::log(1.0 - 2.0 * u.abs() + 1e-18)) as f32
    }
}

fn main() -> std::io::Result<()> {
    let path = std::env::args().nth(1).unwrap_or_else(|| "alexnet.safetensors".to_owned());
    let mut tensors: Vec<(String, Vec<u64>)> = Vec::new();
    for (name, shape) in SHAPES {
        tensors.push((format!("{name}.weight"), shape.to_vec()));
        tensors.push((format!("{name}.bias"), shape.iter().take(1).copied().collect()));
    }
    let mut entries = Vec::new();
    let mut offset = 0;
    for (name, shape) in &tensors {
        let end = offset + shape.iter().product::<u64>() * 4;
        entries.push(format!(
            "\"{name}\":{{\"dtype\":\"F32\",\"shape\":{shape:?},\"data_offsets\":[{offset},{end}]}}"
        ));
        offset = end;
    }
    let mut header = format!("{{{}}}", entries.join(","));
    while !header.len().is_multiple_of(8) {
        header.push(' ');
    }
    let mut out = std::io::BufWriter::new(std::fs::File::create(&path)?);
    out.write_all(&(header.len() as u64).to_le_bytes())?;
    out.write_all(header.as_bytes())?;
    let mut random = Random(1);
    for (_, shape) in &tensors {
        let fan_in: u64 = shape.iter().skip(1).product();
        let scale = (1.0 / fan_in.max(1) as f64).sqrt() * 0.7;
        for _ in 0..shape.iter().product::<u64>() {
            out.write_all(&random.laplace(scale).to_le_bytes())?;
        }
    }
    out.flush()?;
    println!("{path}: {offset} bytes of weights");
    Ok(())
}
