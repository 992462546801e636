//! A model as Quantscope sees it: an ordered list of tensors, with where they came from.

use crate::tensor::Tensor;
use std::collections::BTreeMap;

/// The kinds of weight file that can be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum FileFormat {
    /// Hugging Face safetensors.
    Safetensors,
    /// One `NumPy` array.
    Npy,
    /// A zip archive of `NumPy` arrays.
    Npz,
    /// `PyTorch`, zip archive (1.6 and later).
    TorchZip,
    /// `PyTorch`, legacy pickle (before 1.6).
    TorchLegacy,
    /// An ONNX model.
    Onnx,
    /// Quantscope's own compressed container.
    Qsz,
}

impl FileFormat {
    /// The format's name for people.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Safetensors => "safetensors",
            Self::Npy => "NumPy .npy",
            Self::Npz => "NumPy .npz",
            Self::TorchZip => "PyTorch (zip)",
            Self::TorchLegacy => "PyTorch (legacy pickle)",
            Self::Onnx => "ONNX",
            Self::Qsz => "Quantscope .qsz",
        }
    }
}

/// The tensors of one weight file, in the file's order.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Model {
    /// What kind of file it is, told by its content.
    pub format: FileFormat,
    /// The weights, with unique names.
    pub tensors: Vec<Tensor>,
    /// Tensors of the file that are no weights of the model, such as an optimizer's moments; names are full paths.
    pub extras: Vec<Tensor>,
    /// Free-text metadata of the file.
    pub metadata: BTreeMap<String, String>,
    /// What a user should know about how the file was read, a sentence each.
    pub notes: Vec<String>,
}

impl Model {
    /// Number of floating-point parameters, tied weights counted once.
    pub fn parameters(&self) -> u64 {
        self.tensors.iter().filter(|t| t.dtype.is_float() && t.same_as.is_none()).map(Tensor::len).sum()
    }
}
