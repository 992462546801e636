//! The words of the workers that run networks.

use crate::engine::timings::Timing;
use crate::formats::Part;
use crate::network::counts::Counts;
use crate::network::evaluate::Setup;
use crate::network::finetune::Schedule;
use crate::network::importance::Kind;
use crate::network::precision::{Ask, Heard, Parts};
use crate::web::protocol::{self, handle};
use serde::{Deserialize, Serialize};
use wasm_bindgen::JsValue;

/// Workers that run networks.
#[derive(Debug)]
pub enum Networks {}

impl protocol::Kind for Networks {
    // What all are told is a job as well: nobody waits for what it gives.
    type Told = Job;
    type Job = Job;
    type Answer = Answer;
    const MOST_DEATHS: u32 = 1;
}

/// What a worker is asked to do.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Job {
    /// Put a network on the bench, with weights of another file where it is not the weight file itself.
    Open { network: Vec<u8>, parts: Vec<Part>, weights: Option<Vec<u8>>, name: String },
    /// Use this importance file, or none.
    Importance(Option<Vec<u8>>),
    /// Read a data set, and check that it fits the network on the bench if so asked.
    Data { files: Vec<(String, Vec<u8>)>, check: bool },
    /// Find out how samples are preprocessed.
    Guess,
    /// Preprocess like this.
    Preprocess(String),
    /// Run samples as this setup says.
    Use(Setup),
    /// The first samples as grey or coloured pixels.
    Pictures(usize),
    /// The points of a method's curve.
    Curve { recipe: String, method: String, points: usize },
    /// Run samples with the float weights, or with what a recipe leaves of them, in one tensor alone if so asked.
    Run { recipe: Option<String>, only: Option<String>, range: (usize, usize) },
    /// Run a network, or the one before, with the weights of a compressed file, on inputs made up from its shapes.
    Check { network: Option<(Vec<u8>, Vec<Part>)>, file: Vec<u8> },
    /// Sums of derivatives over samples.
    Walk { kind: Kind, range: (usize, usize) },
    /// Count what one inference of a network takes, on inputs made up from its shapes.
    Count { network: Vec<u8>, parts: Vec<Part> },
    /// Compress a weight file as a recipe says, verify it, and tell how long that took.
    Time(Timed),
    /// Make ready for scoring number formats.
    Prepare(Trials),
    /// What float32 reaches where formats are scored.
    Baseline,
    /// Score a format, by its name, on some of the samples.
    Score { format: String, ask: Ask },
    /// Retrain a recipe's codebooks on the samples of one range, then run those of another with what came of it.
    Tune { recipe: String, schedule: Schedule, teach: (usize, usize), examine: (usize, usize) },
}

/// What number formats are tried on.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Trials {
    /// Where a format is used.
    pub parts: Parts,
    /// What shuffles the samples.
    pub seed: u64,
    /// Samples that are scored, the first of the shuffled ones.
    pub samples: usize,
    /// Samples behind them that tell ranges.
    pub calibration: usize,
    /// Float32 answers to all samples, in the order of the data, and how many scores each has.
    pub outputs: Vec<f32>,
    pub classes: usize,
}

/// What is compressed to be timed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Timed {
    /// The weight file, a `Blob`, with its name and the files it joins.
    #[serde(with = "handle")]
    pub file: JsValue,
    pub name: String,
    pub parts: Vec<Part>,
    /// The importance file, a `Blob`; undefined where there is none.
    #[serde(with = "handle")]
    pub importance: JsValue,
    pub recipe: String,
}

/// What a recipe's file came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Size {
    pub recipe: String,
    pub file_bytes: u64,
    pub ratio: f64,
    pub bits: f64,
    pub entropy_bits: f64,
    /// ½ Σ h δ² by tensor, where there is importance.
    pub predicted: Option<Vec<(String, f64)>>,
}

/// What a job gave.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Answer {
    /// Nothing but that it is done.
    Done,
    Data {
        kind: String,
        samples: usize,
        labels: Option<Vec<u32>>,
    },
    Setup(Setup),
    Pictures {
        width: usize,
        height: usize,
        channels: usize,
        pixels: Vec<u8>,
    },
    /// Recipes with the entropy of their symbols.
    Curve(Vec<(String, f64)>),
    Ran {
        outputs: Vec<f32>,
        classes: usize,
        size: Option<Size>,
    },
    Walked {
        parts: Vec<(String, Vec<usize>, Vec<f64>)>,
        loss: String,
    },
    Tuned {
        file: Vec<u8>,
        size: Size,
        losses: Vec<f64>,
        outputs: Vec<f32>,
        classes: usize,
    },
    /// Right answers of float32 and all of them, whether labels say what is right, the XXH3 of the network's file.
    Baseline {
        right: u64,
        of: u64,
        has_labels: bool,
        hash: u64,
    },
    Scored(Heard),
    Counted(Counts),
    /// What compressing took, with the seconds of reading and sketching before it, and the weights that were sketched.
    Timed {
        timing: Timing,
        sketch_seconds: f64,
        weights: u64,
    },
    Checked {
        sentence: String,
        warning: Option<String>,
        ample: bool,
    },
}
