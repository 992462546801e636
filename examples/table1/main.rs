//! Choi, El-Khamy and Lee 2017, Table 1: its first two networks' rows beside ours, with accuracy measured by running them.
//!
//! ```sh
//! cargo run --release --example table1 -- DIR [--json]
//! ```
//!
//! `DIR` holds `lenet`, `resnet32` and `mnist_test`: networks, pruned weights, Hessians and test images.
//!
//! The paper gives accuracy and ratio after pruning, quantization, Huffman coding and fine-tuning, all layers together, but
//! neither k nor step nor λ. What its ratios do say, beside that of the pruned network alone, is how many bits a kept
//! weight's value takes. So each of our rows is the setting whose Huffman-coded values come nearest to the paper's bits, and
//! then at the paper's ratio: what it costs in real bytes, coded the paper's way and ours, what it does to the weights and
//! to the network's accuracy ([`rate`]).
//!
//! A second table ([`smallest`]) asks what a practitioner would: for each method, the smallest file that keeps the accuracy,
//! of LeNet pruned, and of ResNet-32 as it is and pruned by magnitude without retraining as far as its accuracy lasts. The
//! paper's ResNet-32 was retrained after pruning to a fifth of its weights, which no file of it shows, so its ratios are out
//! of reach here.

mod rate;
mod smallest;

use quantscope::network::NetworkError;
use quantscope::network::validation::{Paths, Validation};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

type Failure = Box<dyn std::error::Error>;

/// The paper's rows: name, our method, whether by importance, ratio, value bits per kept weight as the ratio implies.
const ROWS: [(&str, &str, bool, f64, f64); 4] = [
    ("k-means", "kmeans", false, 44.58, 3.45),
    ("Hessian-weighted k-means", "kmeans", true, 47.16, 2.99),
    ("uniform", "uniform", true, 51.25, 2.36),
    ("iterative ECSQ", "ecsq", true, 49.01, 2.69),
];

/// Rows of a table, as text and as JSON.
#[derive(Default)]
struct Rows {
    cells: Vec<Vec<String>>,
    json: Vec<Value>,
}

/// A network with its data.
#[derive(Clone)]
struct Network {
    paths: Paths,
    preprocess: &'static str,
}

impl Network {
    /// LeNet with its pruned weights.
    fn lenet(data: &Path) -> Self {
        let mnist = |name: &str| data.join("mnist_test").join(name);
        let paths = Paths {
            network: data.join("lenet/lenet.onnx"),
            weights: Some(data.join("lenet/lenet_pruned.safetensors")),
            importance: Some(data.join("lenet/lenet_pruned_hessian_diag_ggn.safetensors")),
            data: vec![mnist("t10k-images-idx3-ubyte.gz"), mnist("t10k-labels-idx1-ubyte.gz")],
        };
        // The README's: pixel / 256.
        Self { paths, preprocess: "scale=256" }
    }

    /// ResNet-32 as it was trained.
    fn resnet(data: &Path) -> Self {
        let paths = Paths {
            network: data.join("resnet32/resnet32.onnx"),
            weights: None,
            importance: Some(data.join("resnet32/resnet32_hessian_diag_ggn.safetensors")),
            data: vec![data.join("resnet32/cifar10_test1000.npz")],
        };
        Self { paths, preprocess: "scale=255&mean=0.485,0.456,0.406&std=0.229,0.224,0.225" }
    }

    fn validation(&self) -> Result<Validation, NetworkError> {
        Validation::open(&self.paths, Some(self.preprocess), None, jobs(), &|_, _, _| ())
    }
}

/// Threads.
fn jobs() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn main() -> Result<(), Failure> {
    let mut arguments: Vec<String> = std::env::args().skip(1).collect();
    let as_json = arguments.iter().any(|argument| argument == "--json");
    arguments.retain(|argument| argument != "--json");
    let [data] = arguments.as_slice() else { return Err("usage: table1 DIR [--json]".into()) };
    let data = PathBuf::from(data);
    let (rate, smallest) = (rate::rows(&data)?, smallest::rows(&data)?);
    if as_json {
        println!("{:#}", json!({"at_the_papers_rate": rate.json, "smallest": smallest.json}));
    } else {
        let table = quantscope::cli::table;
        println!("{}\n\n{}", table(&rate::HEADER, &rate.cells), table(&smallest::HEADER, &smallest.cells));
    }
    Ok(())
}
