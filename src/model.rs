//! A model as Quantscope sees it: an ordered list of tensors, with where they came from.

use crate::anatomy::Anatomy;
use crate::tensor::{Span, Storage, Tensor};
use std::collections::BTreeMap;

/// The kinds of weight file; [`formats`](crate::formats) has a row for each.
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
    /// GGUF, of llama.cpp and ggml.
    Gguf,
    /// One model in several files of safetensors or `PyTorch`.
    Shards,
    /// A program that `torch.export` saved, with its weights.
    TorchExport,
    /// A zip archive with one weight file in it.
    Zip,
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
    /// The part of the file that the weights are, a key of its outermost dictionary; empty for all of it.
    pub part: String,
    /// Free-text metadata of the file.
    pub metadata: BTreeMap<String, String>,
    /// Whether something that the file holds is in no tensor here: an array of text, code, a kind that is not read.
    pub is_partial: bool,
    /// What a user should know about how the file was read, a sentence each.
    pub notes: Vec<String>,
    /// The files that it was read from, one behind the other, with their lengths; the name of a single one is empty.
    pub files: Vec<(String, u64)>,
    /// What of the file changes with its tensors' numbers.
    pub anatomy: Anatomy,
}

/// Notes of the files of one model that are kept; what they say more is much the same.
const MOST_NOTES: usize = 100;

impl Model {
    /// A model without a tensor, of which no more is known; [`formats::open`](crate::formats::open) adds its files.
    pub fn empty(format: FileFormat) -> Self {
        Self {
            format,
            tensors: Vec::new(),
            extras: Vec::new(),
            part: String::new(),
            metadata: BTreeMap::new(),
            is_partial: false,
            notes: Vec::new(),
            files: Vec::new(),
            anatomy: Anatomy::default(),
        }
    }

    /// Moves everything that has a position in the source `offset` bytes on: for a file that begins there in a larger source.
    pub fn shift(&mut self, offset: u64) {
        for tensor in self.tensors.iter_mut().chain(&mut self.extras) {
            tensor.storage.shift(offset);
        }
        self.anatomy.shift(offset);
    }

    /// Takes in what another file of the same source holds, behind what is there; of metadata under one key, the first stays.
    pub fn append(&mut self, other: Self) {
        for (own, more) in [(&mut self.tensors, other.tensors), (&mut self.extras, other.extras)] {
            let before = own.len();
            let behind = |tensor: Tensor| Tensor { same_as: tensor.same_as.map(|at| at + before), ..tensor };
            own.extend(more.into_iter().map(behind));
        }
        for (key, text) in other.metadata {
            self.metadata.entry(key).or_insert(text);
        }
        self.is_partial |= other.is_partial;
        self.anatomy.append(other.anatomy);
        for note in other.notes {
            if self.notes.len() < MOST_NOTES && !self.notes.contains(&note) {
                self.notes.push(note);
            }
        }
    }

    /// Bytes of the tensors with every float as a 32-bit one, tied weights counted once.
    pub fn float32_bytes(&self) -> u64 {
        let bytes =
            |tensor: &Tensor| if tensor.dtype.is_float() { tensor.len() * 4 } else { tensor.size_bytes() };
        self.own().map(bytes).fold(0, u64::saturating_add)
    }

    /// Whether a tensor of it lies in a part of the source.
    pub fn lies_in(&self, part: Span) -> bool {
        let inside = |tensor: &Tensor| {
            let span = tensor.storage.span();
            span.len > 0 && span.offset >= part.offset && span.offset - part.offset < part.len
        };
        self.tensors.iter().chain(&self.extras).any(inside)
    }

    /// Bytes of a source of so many that hold the tensors. Where the rest is little (headers, names), it is all of them, unless
    /// something was left out of what was read: a part of the file, an ONNX model's graph.
    pub fn covered_bytes(&self, source_bytes: u64) -> u64 {
        let stored = |tensor: &Tensor| match tensor.storage {
            Storage::Deflated { span, inflated_len } => {
                let part = u128::from(span.len) * u128::from(tensor.size_bytes());
                (part / u128::from(inflated_len.max(1))) as u64
            }
            Storage::Encoded { span, .. } => span.len,
            Storage::Stored(span) => span.len.min(tensor.size_bytes()),
        };
        // Tied tensors that the source stores twice count twice.
        let is_shared = |tensor: &&Tensor| {
            let origin = tensor.same_as.and_then(|index| self.tensors.get(index));
            origin.is_some_and(|origin| origin.storage == tensor.storage)
        };
        let tensors = self.tensors.iter().filter(|tensor| !is_shared(tensor));
        let covered = tensors.map(stored).fold(0, u64::saturating_add).min(source_bytes);
        let headers = self.tensors.len() as u64 * 512 + 4096;
        let is_whole = !self.is_partial && self.extras.is_empty() && source_bytes - covered <= headers;
        if is_whole { source_bytes } else { covered }
    }

    /// Bytes of its files that are no tensor's.
    pub fn bytes_beside(&self) -> u64 {
        let files = self.files.iter().map(|(_, len)| *len).fold(0, u64::saturating_add);
        let is_own = |tensor: &&Tensor| {
            let origin = tensor.same_as.and_then(|index| self.tensors.get(index));
            origin.is_none_or(|origin| origin.storage != tensor.storage)
        };
        let tensors = self.tensors.iter().filter(is_own).map(Tensor::stored_bytes);
        files.saturating_sub(tensors.fold(0, u64::saturating_add))
    }

    /// The first of the tensors that the one of this index equals: itself where it equals none.
    pub fn origin(&self, mut index: usize) -> usize {
        // What a tensor equals comes before it.
        while let Some(earlier) =
            self.tensors.get(index).and_then(|tensor| tensor.same_as).filter(|earlier| *earlier < index)
        {
            index = earlier;
        }
        index
    }

    fn own(&self) -> impl Iterator<Item = &Tensor> {
        self.tensors.iter().filter(|tensor| tensor.same_as.is_none())
    }

    /// Number of floating-point parameters, tied weights counted once.
    pub fn parameters(&self) -> u64 {
        self.tensors.iter().filter(|t| t.dtype.is_float() && t.same_as.is_none()).map(Tensor::len).sum()
    }
}
