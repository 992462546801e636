//! Roles: what the numbers of a tensor do in a network, and so whether rounding them is safe.
//!
//! A reader finds the role of every tensor once, with the reason for it: an ONNX model by the operators that read it
//! (`formats::onnx::roles`), other files by names, shapes and neighbours (`formats::roles`). A recipe says which roles it
//! quantizes; by default weights alone. A variance below zero, a Resize scale of 1.9995 or a rounded quantization scale
//! breaks a network that a rounded weight does not.

use std::borrow::Cow;

/// What the numbers of a tensor do.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, serde::Serialize, serde::Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// A matrix, kernel, embedding or recurrent matrix.
    Weight,
    /// What a layer adds to its sums.
    Bias,
    /// What a normalisation multiplies by and adds, and slopes per channel.
    Norm,
    /// A running mean or variance.
    Statistic,
    /// The scale, zero point or codebook of a tensor that is quantized already.
    Quantization,
    /// A number or table that computes: a shape, a bound, an exponent, an epsilon, a mask value, a window.
    Constant,
    /// An optimizer's state.
    Optimizer,
    /// A moving average of another tensor.
    Average,
    /// A count of steps or batches.
    Counter,
    /// None of these, as far as can be told.
    #[default]
    Other,
}

impl Role {
    /// Every role, in the order of tables.
    pub const ALL: [Self; 10] = [
        Self::Weight,
        Self::Bias,
        Self::Norm,
        Self::Statistic,
        Self::Quantization,
        Self::Constant,
        Self::Optimizer,
        Self::Average,
        Self::Counter,
        Self::Other,
    ];

    /// The parameters that training moves: what the papers quantize.
    pub const TRAINED: [Self; 3] = [Self::Weight, Self::Bias, Self::Norm];

    /// The word that recipes, tables and JSON have for it.
    pub const fn id(self) -> &'static str {
        match self {
            Self::Weight => "weight",
            Self::Bias => "bias",
            Self::Norm => "norm",
            Self::Statistic => "statistic",
            Self::Quantization => "quantization",
            Self::Constant => "constant",
            Self::Optimizer => "optimizer",
            Self::Average => "average",
            Self::Counter => "counter",
            Self::Other => "other",
        }
    }

    /// The role of this [`id`](Self::id).
    pub fn from_id(id: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.id() == id)
    }

    /// What it is, for people.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Weight => "Weights: matrices, kernels, embeddings",
            Self::Bias => "Biases",
            Self::Norm => "Scales and shifts of normalisation",
            Self::Statistic => "Running means and variances",
            Self::Quantization => "Scales of tensors quantized already",
            Self::Constant => "Constants that compute",
            Self::Optimizer => "Optimizer state",
            Self::Average => "Moving averages of weights",
            Self::Counter => "Counters",
            Self::Other => "Others",
        }
    }

    /// Whether numbers of this role may have a domain, such as a variance's, that rounding must not leave.
    pub const fn has_domain(self) -> bool {
        !matches!(self, Self::Weight | Self::Bias | Self::Average | Self::Optimizer)
    }
}

/// Which axis of a weight counts the inputs of its layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub enum InputAxis {
    /// Nothing says.
    #[default]
    Unknown,
    /// The first: a matrix of `MatMul` is `[inputs, outputs]`.
    First,
    /// What follows the first: a kernel of `Conv` is `[outputs, inputs, height, width]`.
    Last,
}

/// A role with the reason for it, a phrase.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub struct Found {
    /// The role.
    pub role: Role,
    /// Why, such as `kernel of Conv`.
    pub reason: Cow<'static, str>,
    /// Where the inputs of the layer are, as far as what reads the tensor says so.
    pub inputs: InputAxis,
}

impl Found {
    /// A role for a fixed reason.
    pub const fn new(role: Role, reason: &'static str) -> Self {
        Self { role, reason: Cow::Borrowed(reason), inputs: InputAxis::Unknown }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_unique_and_found_again() {
        for role in Role::ALL {
            assert_eq!(Role::from_id(role.id()), Some(role));
        }
        assert_eq!(Role::from_id("matrix"), None);
    }
}
