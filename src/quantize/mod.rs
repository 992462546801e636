//! Quantizers: weights to symbols and back.
//!
//! A method solves a [`Problem`] (weights as a histogram of cells, plus a sample of (weight, importance) pairs where a
//! rule needs them) and returns a [`Solution`]: a [`Quantizer`] with what it is predicted to cost. One file per method,
//! one row each in the table [`METHODS`]. Every result is the same bit for bit on every target: nothing but
//! + − × ÷ √ and the `libm` crate's functions touches a number.

mod assemble;
pub mod ecsq;
pub mod ecsq_exact;
pub mod ecsq_sample;
pub mod grid;
pub mod kmeans;
pub mod layouts;
pub mod lloyd;
pub mod methods;
mod partition;
mod penalised;
mod points;
pub mod pruning;
pub mod scaled;
mod scope;
pub mod settings;
pub mod uniform;

pub use kmeans::certified;
pub use methods::{METHODS, Method, Needs, Optimum, Standing, Unit};
pub use pruning::{Pruned, Pruning};
pub use scope::Scope;
pub use settings::{Parameter, ParameterKind, Settings, SettingsError, Value};

pub use crate::code::{Quantizer, Rule};
use crate::histogram::Histogram;

/// What a method is asked to solve. Weights are finite, importance is finite and not negative.
#[derive(Debug, Clone, Copy)]
pub struct Problem<'a> {
    /// The weights to quantize; pruned weights are not among them.
    pub histogram: &'a Histogram,
    /// (weight, importance) pairs in file order, present when importance differs between weights; at most a fixed
    /// number of them, evenly spread over the weights, all of them if they are that few.
    pub sample: Option<&'a [(f32, f32)]>,
}

/// A quantizer with what it is predicted to do to the weights of its problem.
#[derive(Debug, Clone, PartialEq)]
pub struct Solution {
    /// The quantizer.
    pub quantizer: Quantizer,
    /// Number of weights per level, predicted from the cells (or scaled up from the sample).
    pub counts: Vec<u64>,
    /// Σ (w − ŵ)², predicted.
    pub squared_error: f64,
    /// Σ h·(w − ŵ)², predicted.
    pub weighted_error: f64,
    /// Iterations or passes used.
    pub iterations: u32,
    /// Whether this is the proven optimum of the method's objective on the cells.
    pub optimal: bool,
}

impl Solution {
    /// What stands for a codebook where every weight is pruned: one level, 0, that no weight takes.
    pub fn unused() -> Self {
        Self {
            quantizer: Quantizer { levels: vec![0.0], rule: Rule::Thresholds(Vec::new()) },
            counts: vec![0],
            squared_error: 0.0,
            weighted_error: 0.0,
            iterations: 0,
            optimal: true,
        }
    }
}

/// Why a problem could not be solved.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum QuantizeError {
    /// There is no weight to quantize.
    #[error(
        "there is no weight to quantize: every weight is pruned, excluded or missing (exclude * to keep everything)"
    )]
    NoWeights,
    /// A setting is unknown or out of range.
    #[error(transparent)]
    Settings(Box<SettingsError>),
}

impl From<SettingsError> for QuantizeError {
    fn from(error: SettingsError) -> Self {
        Self::Settings(error.into())
    }
}
