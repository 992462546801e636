//! Weight files: where the bytes are.
//!
//! A reader locates tensors and never loads them: [`open`] tells a file's kind by its content, checks everything the
//! file declares against the bytes that are there, and returns a [`Model`] of byte ranges. [`TensorReader`] then
//! reads any range of one tensor's elements, in row-major order and little-endian whatever the file's own order.
//!
//! | kind | definition |
//! |---|---|
//! | safetensors | Hugging Face, format documentation of version 0.6 |
//! | .npy, .npz | `NumPy` enhancement proposal 1, format versions 1.0 to 3.0 |
//! | `PyTorch` zip | `torch.serialization`, version 1.6 and later |
//! | ONNX | onnx.proto3 of version 1.16, external data included |
//! | `PyTorch` legacy | `torch.serialization` before 1.6, magic number 0x1950a86a20f9469cfc6c, protocol 1001 |
//!
//! Other kinds are recognised and named, in [`FormatError::Foreign`]. Nothing in a file is ever executed: pickles are
//! read by a machine that only builds inert values.
//!
//! Memory is bounded by [`Limits`]; time is linear in the bytes of headers and pickles.

#![warn(clippy::indexing_slicing)]

mod cursor;
mod error;
mod foreign;
mod inflate;
mod layout;
mod npy;
mod npz;
mod numpy_type;
mod onnx;
pub(crate) mod onnx_raw;
mod onnx_roles;
#[cfg(feature = "network")]
pub(crate) mod onnx_walk;
mod pickle;
mod protobuf;
mod reader;
mod roles;
mod safetensors;
mod source;
mod torch;
mod zip;

pub use error::FormatError;
#[cfg(feature = "cli")]
pub(crate) use error::escaped;
#[cfg(feature = "network")]
pub(crate) use error::quoted;
pub(crate) use error::shown;
pub use reader::TensorReader;
pub(crate) use source::read_part;
pub use source::{Joined, Limits, Part, Source};

#[cfg(test)]
pub(crate) use onnx::tests as tests_support;

use crate::model::{FileFormat, Model};

/// Locates the tensors of the weight file `source`, whose kind is told by its content, and finds their roles.
pub fn open(source: &dyn Source, limits: &Limits) -> Result<Model, FormatError> {
    let mut model = locate(source, limits)?;
    if model.format != FileFormat::Onnx {
        roles::find(&mut model.tensors);
        roles::find(&mut model.extras);
    }
    Ok(model)
}

fn locate(source: &dyn Source, limits: &Limits) -> Result<Model, FormatError> {
    let head = read_part(source, "the file's start", 0, source.len().min(foreign::HEAD_BYTES), u64::MAX)?;
    if npy::is_npy(&head) {
        return npy::open(source, limits);
    }
    if zip::is_zip(&head) {
        return open_zip(source, limits);
    }
    if let Some(foreign) = foreign::by_signature(source, &head) {
        return Err(foreign);
    }
    if safetensors::is_safetensors(&head) {
        return safetensors::open(source, limits);
    }
    if pickle::is_pickle(&head) {
        return torch::open_pickle(source, limits);
    }
    if onnx::is_onnx(source) {
        return onnx::open(source, limits);
    }
    Err(foreign::by_content(source, &head))
}

/// Whether a file of this name should be an ONNX model, which may come with other files; what it is, its content tells.
pub fn is_named_onnx(name: &str) -> bool {
    name.to_ascii_lowercase().ends_with(".onnx")
}

/// The names of other files that hold data of the weight file `source`, sorted: those an ONNX model refers to.
pub fn companions(source: &dyn Source, limits: &Limits) -> Result<Vec<String>, FormatError> {
    if onnx::is_onnx(source) { onnx::companions(source, limits) } else { Ok(Vec::new()) }
}

fn open_zip(source: &dyn Source, limits: &Limits) -> Result<Model, FormatError> {
    let archive = zip::Archive::open(source, limits)?;
    if let Some(pickle) = torch::find_pickle(&archive) {
        return torch::open_zip(source, &archive, pickle, limits);
    }
    if archive.entries().iter().any(npz::is_array) {
        return npz::open(source, &archive, limits);
    }
    Err(foreign::zip_without_arrays(&archive))
}

/// `name` without the prefixes that wrappers such as `DataParallel`, `DistributedDataParallel`, Lightning and
/// `torch.compile` put in front of a parameter's name, for matching the tensors of two files.
///
/// ```
/// assert_eq!(quantscope::formats::matching_name("module.conv1.weight"), "conv1.weight");
/// assert_eq!(quantscope::formats::matching_name("conv1.weight"), "conv1.weight");
/// ```
pub fn matching_name(name: &str) -> &str {
    const PREFIXES: [&str; 4] = ["module.", "_orig_mod.", "model.", "_forward_module."];
    let mut rest = name;
    while let Some(shorter) = PREFIXES.iter().find_map(|prefix| rest.strip_prefix(prefix)) {
        if shorter.is_empty() {
            break;
        }
        rest = shorter;
    }
    rest
}

#[cfg(test)]
mod tests {
    use super::matching_name;

    #[test]
    fn wrappers_prefixes_are_stripped_and_nothing_else() {
        assert_eq!(matching_name("model.module.fc.bias"), "fc.bias");
        assert_eq!(matching_name("_orig_mod.fc.bias"), "fc.bias");
        assert_eq!(matching_name("modules.fc.bias"), "modules.fc.bias");
        assert_eq!(matching_name("module."), "module.");
    }
}
