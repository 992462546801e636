//! Running the network: what quantization does to its answers, and what each weight's error costs them.
//!
//! ```text
//! ONNX bytes ──Graph──▶ checked, branches inlined ──Network──▶ outputs of any inputs        (execution by rten)
//! files ──DataSet──▶ samples ──Preprocess──▶ input tensors
//! outputs ──measure──▶ accuracy with intervals, agreement, loss, divergence
//! graph ──emulate──▶ outputs in number formats, and what rounding did at every node
//! graph + shapes ──counts──▶ multiply-adds, weights and activations moved
//! graph + values ──backward──▶ gradient, diagonal curvature, squared activations ──▶ importance
//! ```
//!
//! Nothing here knows how weights are quantized except [`evaluate`], which asks the engine for a recipe's weights and puts
//! them into the model.

pub mod allot;
pub mod array;
pub mod backward;
pub mod calibrate;
pub mod check;
pub mod counts;
pub mod data;
pub mod emulate;
pub mod evaluate;
pub mod finetune;
#[cfg(not(target_arch = "wasm32"))]
pub mod goal;
pub mod graph;
mod growth;
pub mod importance;
mod initializer;
pub mod inputs;
pub mod measure;
pub mod model;
pub mod precision;
pub mod ranking;
pub mod repair;
pub mod stored;
#[cfg(test)]
mod testing;
#[cfg(not(target_arch = "wasm32"))]
pub mod validation;
mod walk;

pub use array::Array;
pub use graph::Graph;
pub use model::Network;

use crate::formats::FormatError;

/// Why a network could not be run or measured.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NetworkError {
    /// The model's file cannot be read.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// The graph contradicts itself.
    #[error("the network's graph: {part}: expected {expected}, found {found}")]
    Graph {
        /// Which node or value.
        part: String,
        /// What a graph needs.
        expected: String,
        /// What there is.
        found: String,
    },
    /// The runtime or the backward walk lacks an operator.
    #[error("operator {operator} of node {node} is not supported {purpose}")]
    Operator {
        /// The operator's type.
        operator: String,
        /// The node's name, or its first output.
        node: String,
        /// What it would be needed for.
        purpose: &'static str,
    },
    /// The runtime refused the model.
    #[error("the network cannot be loaded: {0}")]
    Load(String),
    /// The runtime failed.
    #[error("the network cannot be run on this data: {0}")]
    Run(String),
    /// The data set cannot be read, or does not fit the network.
    #[error("data: {part}: expected {expected}, found {found}")]
    Data {
        /// Which file, array or sample.
        part: String,
        /// What was needed.
        expected: String,
        /// What there is.
        found: String,
    },
    /// The weights could not be quantized.
    #[error(transparent)]
    Engine(#[from] crate::engine::EngineError),
    /// The result could not be written.
    #[error(transparent)]
    Export(#[from] crate::formats::ExportError),
    /// The user asked to stop.
    #[error("cancelled")]
    Cancelled,
}

impl NetworkError {
    pub(crate) fn graph(
        part: impl Into<String>,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) -> Self {
        Self::Graph { part: part.into(), expected: expected.into(), found: found.into() }
    }

    pub(crate) fn data(
        part: impl Into<String>,
        expected: impl Into<String>,
        found: impl Into<String>,
    ) -> Self {
        Self::Data { part: part.into(), expected: expected.into(), found: found.into() }
    }
}
