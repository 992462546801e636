//! Writes float32 safetensors files for benchmarks, from a fixed seed: the same bytes every time.
//!
//! ```sh
//! cargo run --release --example weights -- alexnet FILE      # AlexNet's shapes, 60 965 224 parameters, 244 MB
//! cargo run --release --example weights -- laplace FILE [N]  # N (10^6) Laplacian weights of scale 0.02, and as many
//!                                                            # importances between 0 and 1 in FILE.importance
//! ```
//!
//! AlexNet's weights are Laplacian with the scale of their fan-in.

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

type Tensors = Vec<(String, Vec<u64>)>;

/// Writes the header for `tensors`, then what `weight` says for each element's tensor.
fn write(path: &str, tensors: &Tensors, mut weight: impl FnMut(&[u64]) -> f32) -> std::io::Result<()> {
    let mut entries = Vec::new();
    let mut offset = 0;
    for (name, shape) in tensors {
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
    let mut out = std::io::BufWriter::new(std::fs::File::create(path)?);
    out.write_all(&(header.len() as u64).to_le_bytes())?;
    out.write_all(header.as_bytes())?;
    for (_, shape) in tensors {
        for _ in 0..shape.iter().product::<u64>() {
            out.write_all(&weight(shape).to_le_bytes())?;
        }
    }
    out.flush()?;
    println!("{path}: {offset} bytes of weights");
    Ok(())
}

fn main() -> std::io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut random = Random(1);
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["alexnet", path] => {
            let mut tensors = Tensors::new();
            for (name, shape) in SHAPES {
                tensors.push((format!("{name}.weight"), shape.to_vec()));
                tensors.push((format!("{name}.bias"), shape.iter().take(1).copied().collect()));
            }
            write(path, &tensors, |shape| {
                let fan_in: u64 = shape.iter().skip(1).product();
                random.laplace((1.0 / fan_in.max(1) as f64).sqrt() * 0.7)
            })
        }
        ["laplace", path, rest @ ..] => {
            let count = rest.first().and_then(|n| n.parse().ok()).unwrap_or(1_000_000);
            // One row: a vector of this name would be the scale of a normalisation, which is kept.
            let tensors = vec![("weight".to_owned(), vec![1, count])];
            write(path, &tensors, |_| random.laplace(0.02))?;
            write(&format!("{path}.importance"), &tensors, |_| random.uniform() as f32)
        }
        _ => {
            eprintln!("usage: weights alexnet FILE | weights laplace FILE [N]");
            std::process::exit(2)
        }
    }
}
