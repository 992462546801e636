//! Jobs: map, solve, map.
//!
//! A file is worked on in *tasks*, runs of blocks of one tensor, each a pure function from bytes to bytes. Threads run them
//! natively, workers in the browser; results are taken in task order, so they never depend on who ran what when.
//!
//! ```text
//! sketch    file ──tasks──▶ histograms, statistics, hash   absorbed by a Session
//! solve     Session ──recipe──▶ overlay, sweep, Plan        milliseconds, no file needed
//! prepare   file ──tasks──▶ channel codebooks, counts of gaps and contexts   only for plans that need it
//! encode    file ──tasks──▶ coded blocks                    absorbed by an Assembler: the .qsz
//! verify    file and .qsz ──tasks──▶ comparison bit by bit
//! ```

mod apart;
mod assemble;
mod blocks;
mod cost;
mod encode;
mod evaluate;
mod gaps;
mod groups;
mod kept;
pub mod native;
mod passes;
mod pilot;
pub mod pipeline;
mod plan;
pub mod quality;
mod replaced;
pub mod report;
mod restore;
mod selection;
mod sensitivity;
mod session;
pub mod settle;
mod sketch;
mod steps;
mod sweep;
pub mod targets;
pub mod timings;
mod verify;

pub use crate::importance::Importance;
pub use crate::task::{BLOCK_WEIGHTS, Task, batches, sketch_tasks, tasks};
pub(crate) use crate::task::{pack, unpack};
pub use assemble::{
    Assembler, Export, check_blocks, decode_to, decoded_bytes, is_container, open_container, parameters,
};
pub use encode::encode;
pub use passes::{assignments, prepare};
pub use plan::Plan;
pub use replaced::{Repaired, Replaced, codebooks, levels_hash};
pub use restore::{Digest, Restored, Sink, digests, elements};
pub use session::Session;
pub use sketch::sketch;
pub use sweep::AskedCurve;
pub use verify::{collect_verification, verify};

use crate::container::ContainerError;
use crate::formats::{ExportError, FormatError, Source};
use crate::importance::ImportanceError;
use crate::model::Model;
use crate::quantize::{QuantizeError, SettingsError};
use crate::skeleton::Pieces;
use crate::task::Misfit;
use crate::tensor::Tensor;

/// Why a job failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EngineError {
    /// The weight file, or the importance file, could not be read.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// The compressed file could not be read or written.
    #[error(transparent)]
    Container(#[from] ContainerError),
    /// Symbols could not be coded; a defect of ours.
    #[error(transparent)]
    Code(#[from] crate::entropy::CodeError),
    /// A recipe's field is out of range.
    #[error(transparent)]
    Settings(Box<SettingsError>),
    /// The quantizer could not be solved.
    #[error(transparent)]
    Quantize(#[from] QuantizeError),
    /// The importance file does not fit the model.
    #[error("importance: {0}")]
    Importance(String),
    /// No trial met the target; says what can be had.
    #[error("{0}")]
    Unmet(String),
    /// Writing the result failed.
    #[error("writing the result failed")]
    Write(#[from] std::io::Error),
    /// The decoded weights cannot be written in the format asked for.
    #[error(transparent)]
    Export(Box<ExportError>),
    /// A message between page and worker does not fit; a defect of ours.
    #[error("{}", Misfit)]
    Message,
}

impl From<SettingsError> for EngineError {
    fn from(error: SettingsError) -> Self {
        Self::Settings(error.into())
    }
}

impl From<ExportError> for EngineError {
    fn from(error: ExportError) -> Self {
        Self::Export(error.into())
    }
}

impl From<Misfit> for EngineError {
    fn from(_: Misfit) -> Self {
        Self::Message
    }
}

impl From<ImportanceError> for EngineError {
    fn from(error: ImportanceError) -> Self {
        match error {
            ImportanceError::Format(error) => Self::Format(error),
            ImportanceError::Message(_) => Self::Message,
            ImportanceError::Unfit(sentence) | ImportanceError::Moments(sentence) => {
                Self::Importance(sentence)
            }
        }
    }
}

/// A file to work on, with its importance where there is one: what every map function reads.
#[derive(Clone, Copy)]
pub struct Input<'a> {
    /// The weight file.
    pub source: &'a dyn Source,
    /// What it holds.
    pub model: &'a Model,
    /// The importance file and how it matches.
    pub importance: Option<(&'a dyn Source, &'a Importance)>,
}

impl std::fmt::Debug for Input<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Input").field("bytes", &self.source.len()).finish_non_exhaustive()
    }
}

impl<'a> Input<'a> {
    /// The same with a skeleton in place of the file, where it is given.
    fn or_of(self, pieces: Option<&'a Pieces>) -> Self {
        Self { source: pieces.map_or(self.source, |pieces| pieces), ..self }
    }

    fn tensor(&self, task: &Task) -> Result<&'a Tensor, EngineError> {
        self.model.tensors.get(task.tensor).ok_or(EngineError::Message)
    }
}

/// Reads the first pass of an importance file; see [`Importance::survey`].
pub fn survey(source: &dyn Source, importance: &Importance, task: &Task) -> Result<Vec<u8>, EngineError> {
    Ok(importance.survey(source, task)?)
}
