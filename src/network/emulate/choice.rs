//! What is chosen: formats for weights, activations and accumulators, and how scales are found.

use super::tensor_format::TensorFormat;
use crate::number_format::Format;
use std::collections::BTreeMap;

/// Formats of weights, activations and accumulators; none is float32.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Numbers {
    /// Of constants that multiply.
    pub weights: Option<TensorFormat>,
    /// Of what passes between operators, and of all other float constants.
    pub activations: Option<TensorFormat>,
    /// Of products and sums in Conv, Gemm and `MatMul`.
    pub accumulator: Option<Format>,
}

impl Numbers {
    /// One format for all three, as the paper has it; numbers in blocks are summed in float32, since sums share no scales.
    pub fn all(format: impl Into<TensorFormat>) -> Self {
        let format = format.into();
        Self { accumulator: format.single(), ..Self::operators(format) }
    }

    /// One format for weights and activations, with float32 inside the operators.
    pub fn operators(format: impl Into<TensorFormat>) -> Self {
        let format = Some(format.into());
        Self { weights: format, activations: format, accumulator: None }
    }
}

/// What the largest value of a format that [needs a scale](Format::needs_scale) stands for.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum Range {
    /// The largest magnitude seen.
    #[default]
    Largest,
    /// The magnitude that so many per cent of the numbers stay below.
    Percentile(f64),
    /// That with the least squared error among 33 from the largest down to a sixteenth of it, an eighth of an octave apart.
    LeastError,
}

impl Range {
    /// Reads `largest`, `error` or a percentage such as `99.9%`.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "largest" => Some(Self::Largest),
            "error" => Some(Self::LeastError),
            _ => {
                let percent: f64 = text.strip_suffix('%')?.trim().parse().ok()?;
                (percent > 0.0 && percent <= 100.0).then_some(Self::Percentile(percent))
            }
        }
    }
}

/// A choice of formats for a network.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Choice {
    /// The formats of every layer,
    pub numbers: Numbers,
    /// but for those that have their own, by the node's name.
    pub layers: BTreeMap<String, Numbers>,
    /// How scales of activations are found, from the samples of calibration.
    pub activation_range: Range,
    /// How scales of weights are found, from the weights.
    pub weight_range: Range,
    /// Whether every output channel of a weight has a scale of its own.
    pub per_channel: bool,
}

impl Choice {
    /// The same formats everywhere.
    pub fn uniform(numbers: Numbers) -> Self {
        Self { numbers, ..Self::default() }
    }

    /// The formats of a node.
    pub fn of(&self, node: &str) -> Numbers {
        self.layers.get(node).copied().unwrap_or(self.numbers)
    }
}
