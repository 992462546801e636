//! The words of the workers that read, solve and code weights.

use super::protocol::{Kind, handle};
use crate::engine::{Digest, Task, report};
use crate::formats::Part;
use crate::model::FileFormat;
use crate::purpose::Purpose;
use crate::recipe::Recipe;
use serde::{Deserialize, Serialize};
use wasm_bindgen::JsValue;

/// Workers that read, solve and code weights.
#[derive(Debug)]
pub enum Weights {}

impl Kind for Weights {
    type Told = Context;
    type Job = Job;
    type Answer = Answer;
    const MOST_DEATHS: u32 = 2;

    fn moved_with_job(job: &Job) -> Option<&JsValue> {
        match job {
            Job::Append(bytes) | Job::Absorb { bytes, .. } => Some(bytes),
            _ => None,
        }
    }

    fn moved_with_answer(answer: &Answer) -> Option<&JsValue> {
        match answer {
            Answer::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }
}

/// The files and plans that map jobs read; undefined where there is none.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Context {
    /// The weight file, a `Blob`.
    #[serde(with = "handle")]
    pub file: JsValue,
    /// The model, packed.
    #[serde(with = "handle")]
    pub model: JsValue,
    /// The importance file, a `Blob`.
    #[serde(with = "handle")]
    pub importance_file: JsValue,
    /// The importance, packed.
    #[serde(with = "handle")]
    pub importance: JsValue,
    /// The plan, packed.
    #[serde(with = "handle")]
    pub plan: JsValue,
    /// The compressed file, a `Blob`.
    #[serde(with = "handle")]
    pub compressed: JsValue,
}

impl Default for Context {
    fn default() -> Self {
        let none = JsValue::UNDEFINED;
        Self {
            file: none.clone(),
            model: none.clone(),
            importance_file: none.clone(),
            importance: none.clone(),
            plan: none.clone(),
            compressed: none,
        }
    }
}

/// What a worker is asked to do.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Job {
    /// Tell what a file is: [`Answer::Opened`] or [`Answer::Archive`].
    Open {
        /// The file, a `Blob`.
        #[serde(with = "handle")]
        file: JsValue,
        /// The files it joins, where it is several.
        parts: Vec<Part>,
        /// The part of a checkpoint to take for the weights, if it has it.
        select: String,
    },
    /// Tell what a file is for, beside the context's model: [`Answer::Told`].
    Tell(#[serde(with = "handle")] JsValue),
    /// Match an importance file to the context's model: [`Answer::Matched`].
    Match {
        /// The importance file, a `Blob`.
        #[serde(with = "handle")]
        file: JsValue,
        /// The recipe that says how to use it.
        recipe: Recipe,
    },
    /// First pass over the importance file: [`Answer::Bytes`].
    Survey(Task),
    /// Finish the context's importance from its surveys, an array in task order: [`Answer::Matched`].
    Complete(#[serde(with = "handle")] JsValue),
    /// First pass over the weights: [`Answer::Bytes`], the sketches of all tasks.
    Sketch {
        /// What to read.
        tasks: Vec<Task>,
        /// The session's sample stride.
        stride: u64,
    },
    /// What a plan needs to know before it can encode: [`Answer::Bytes`].
    Prepare(Task),
    /// Quantize and code: [`Answer::Bytes`].
    Encode(Task),
    /// Decode and compare: [`Answer::Bytes`].
    Verify(Task),
    /// Decode a compressed file: [`Answer::Decoded`].
    Decode {
        /// The compressed file, a `Blob`.
        #[serde(with = "handle")]
        file: JsValue,
        /// What to write the weights as; else the files that were compressed are given back.
        format: Option<FileFormat>,
    },
    /// What a compressed file gives back: [`Answer::Digests`].
    Digests(#[serde(with = "handle")] JsValue),
    /// Check every checksum of a compressed file: [`Answer::Checked`].
    Check(#[serde(with = "handle")] JsValue),
    /// Begin a session beside the current one: [`Answer::Stride`].
    Begin {
        /// The model, packed.
        #[serde(with = "handle")]
        model: JsValue,
        /// The importance, packed, or undefined.
        #[serde(with = "handle")]
        importance: JsValue,
    },
    /// Add sketches to the session that was begun: [`Answer::Done`].
    Absorb {
        /// Index of the first task.
        index: usize,
        /// The sketches.
        #[serde(with = "handle")]
        bytes: JsValue,
    },
    /// Complete the session that was begun and make it the current one: [`Answer::Surveyed`].
    Finish,
    /// The weights with the recipe's codebook: [`Answer::Overlay`].
    Overlay {
        /// The recipe.
        recipe: Recipe,
        /// One tensor instead of all.
        tensor: Option<usize>,
        /// Whether another question is likely to follow at once.
        hasty: bool,
    },
    /// The curve of one method: [`Answer::Sweep`].
    Sweep {
        /// The recipe.
        recipe: Recipe,
        /// The method's id.
        method: String,
        /// How many points.
        points: usize,
    },
    /// Every tensor's part in bits and distortion: [`Answer::Sensitivity`].
    Sensitivity(Recipe),
    /// Solve a recipe for good: [`Answer::Plan`].
    Plan(Recipe),
    /// Add what [`Job::Prepare`] gave, an array in task order: [`Answer::Plan`].
    Prepared(#[serde(with = "handle")] JsValue),
    /// Begin the compressed file: [`Answer::Done`].
    Assemble {
        /// Name of the source file.
        name: String,
        /// Its size.
        source_bytes: u64,
    },
    /// Add coded blocks, in task order: [`Answer::Done`].
    Append(#[serde(with = "handle")] JsValue),
    /// Complete the compressed file: [`Answer::Compressed`].
    Seal,
    /// Sum up what [`Job::Verify`] gave, an array in task order: [`Answer::Verified`].
    Collect(#[serde(with = "handle")] JsValue),
}

/// What a job gave.
#[derive(Debug, Serialize, Deserialize)]
pub enum Answer {
    /// Nothing but that it is done.
    Done,
    /// Bytes for another worker.
    Bytes(#[serde(with = "handle")] JsValue),
    /// What files are.
    Digests(Vec<Digest>),
    /// A decoded file, or several.
    Decoded {
        /// Their bytes one behind the other, a `Blob`.
        #[serde(with = "handle")]
        bytes: JsValue,
        /// What the files are that are given back; none for a file of another format.
        files: Vec<Digest>,
    },
    /// Every checksum holds; the hash of what was decoded.
    Checked {
        /// The hash of all decoded content.
        hash: String,
        /// What the files are that it gives back.
        files: Vec<Digest>,
    },
    /// A weight file.
    Opened(Opened),
    /// A compressed file of ours.
    Archive(Archive),
    /// What a file is for.
    Told(Purpose),
    /// An importance, matched to the model or complete.
    Matched {
        /// The importance, packed.
        #[serde(with = "handle")]
        importance: JsValue,
        /// What must be surveyed before it is complete.
        tasks: Vec<Task>,
        /// What the user should know, a sentence each.
        notes: Vec<String>,
        /// The choice with everything filled in.
        choice: crate::importance::ImportanceChoice,
    },
    /// Every how many weights one is sampled.
    Stride(u64),
    /// A complete session.
    Surveyed {
        /// The tensor table.
        rows: Vec<report::TensorRow>,
        /// Content hash of the file.
        hash: String,
    },
    /// A codebook over the weights.
    Overlay(report::Overlay),
    /// A method's curve.
    Sweep(report::Sweep),
    /// Which layer hurts.
    Sensitivity(Vec<report::TensorSensitivity>),
    /// A solved recipe.
    Plan {
        /// The plan, packed.
        #[serde(with = "handle")]
        plan: JsValue,
        /// Whether it can be encoded; if not, its tasks are to be prepared.
        ready: bool,
        /// What is to be prepared or encoded.
        tasks: Vec<Task>,
    },
    /// A compressed file.
    Compressed {
        /// The file, a `Blob`.
        #[serde(with = "handle")]
        file: JsValue,
        /// What it cost and gave.
        outcome: report::Outcome,
    },
    /// What the comparison gave.
    Verified(report::Verification),
}

/// A weight file as the page needs to know it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Opened {
    /// The model, packed.
    #[serde(with = "handle")]
    pub model: JsValue,
    /// The format's name.
    pub format: String,
    /// The part of a checkpoint that is taken for the weights.
    pub part: String,
    /// Those that could be.
    pub other_parts: Vec<String>,
    /// Number of tensors.
    pub tensors: usize,
    /// Number of float parameters.
    pub parameters: u64,
    /// Bytes of the tensors with every float as a 32-bit one.
    pub float32_bytes: u64,
    /// What the user should know about how the file was read.
    pub notes: Vec<String>,
    /// What must be read.
    pub tasks: Vec<Task>,
}

/// A compressed file as the page needs to know it.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Archive {
    /// Bits by part; the sum is the file.
    pub ledger: Vec<(String, u64)>,
    /// The recipe, in its one-line form.
    pub recipe: String,
    /// Content hash of the source.
    pub source_hash: String,
    /// Name of the source file.
    pub source_name: String,
    /// Size of the source file.
    pub source_bytes: u64,
    /// The files that it gives back, with their lengths.
    pub files: Vec<(String, u64)>,
    /// Number of float parameters.
    pub parameters: u64,
    /// The tensors.
    pub tensors: Vec<ArchiveTensor>,
}

/// One tensor of a compressed file.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct ArchiveTensor {
    /// Name as in the source.
    pub name: String,
    /// Dimensions.
    pub shape: Vec<u64>,
    /// Element type's name.
    pub dtype: String,
    /// Number of elements.
    pub elements: u64,
    /// How it is stored.
    pub stored: String,
    /// Bytes of its blocks.
    pub stored_bytes: u64,
}
