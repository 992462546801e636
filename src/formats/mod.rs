//! Weight files: where the bytes are.
//!
//! A reader locates tensors and never loads them: [`open`] tells a file's kind by its content, checks everything the
//! file declares against the bytes that are there, and returns a [`Model`] of byte ranges. [`TensorReader`] then
//! reads any range of one tensor's elements, in row-major order and little-endian whatever the file's own order.
//!
//! A format is a folder (or one reader of a folder), with its definition at the top, and a row of the table that everything
//! else asks: how it is told, read and written. A [`Writer`] gives tensors to other programs.
//!
//! Other kinds are recognised and named, in [`FormatErrorKind::Foreign`]. Nothing in a file is ever executed: pickles are
//! read by a machine that only builds inert values.
//!
//! Memory is bounded by [`Limits`]; time is linear in the bytes of headers and pickles.

#![warn(clippy::indexing_slicing)]

mod codec;
mod cursor;
mod error;
mod folder;
mod foreign;
mod gguf;
mod inflate;
mod inside;
mod layout;
mod numpy;
mod numpy_type;
mod onnx;
mod pairs;
mod parts;
mod protobuf;
mod reader;
mod roles;
mod safetensors;
mod shards;
mod source;
mod table;
mod torch;
mod writer;
mod zip;
mod zipped;

#[cfg(feature = "cli")]
pub(crate) use error::escaped;
#[cfg(feature = "network")]
pub(crate) use error::quoted;
#[cfg(target_arch = "wasm32")]
pub(crate) use error::several;
pub(crate) use error::shown;
pub use error::{FormatError, FormatErrorKind};
pub use folder::models;
#[cfg(not(target_arch = "wasm32"))]
pub(crate) use folder::only_model;
#[cfg(feature = "network")]
pub(crate) use onnx::{role_at as onnx_role_at, walk as onnx_walk};
pub use parts::other_parts;
pub use reader::TensorReader;
#[cfg(not(target_arch = "wasm32"))]
pub(crate) use shards::set_of;
pub use source::{Joined, Limits, Part, Source};
pub(crate) use source::{below, read_part};
#[cfg(feature = "cli")]
pub(crate) use table::{written_as, written_endings};
pub use writer::{Contents, ExportError, Template, TensorHeader, Writer};

use crate::model::Model;
use table::{FORMATS, Format, Unopened};

/// Locates the tensors of the weight file `source`, whose kind is told by its content, and finds their roles.
pub fn open(source: &dyn Source, limits: &Limits) -> Result<Model, FormatError> {
    open_part(source, limits, "")
}

/// As [`open`], with another [part](other_parts) of the file taken for the weights, unless it is none.
pub fn open_part(source: &dyn Source, limits: &Limits, part: &str) -> Result<Model, FormatError> {
    let mut model = match source.parts() {
        // Of a kind that is whole in one file, the first is the model, whatever lies beside it.
        [first, _, ..] if !is_in_several(source, limits)? => {
            open_file(&source::Window::new(source, first.span), limits, part, Some(open_inside))?
        }
        _ => open_file(source, limits, part, Some(open_inside))?,
    };
    model.notes.extend(shards::note(source.parts()));
    let parts = source.parts().iter().map(|part| (part.name.clone(), part.span.len));
    model.files =
        if source.parts().is_empty() { vec![(String::new(), source.len())] } else { parts.collect() };
    Ok(model)
}

/// Whether a source of several files is of a kind that other files hold data of.
fn is_in_several(source: &dyn Source, limits: &Limits) -> Result<bool, FormatError> {
    let file = Unopened::new(source, limits, None)?;
    Ok(FORMATS.iter().any(|row| row.companions.is_some() && (row.is_told)(&file)))
}

/// As [`open`], for a file that is inside another.
fn open_inside(source: &dyn Source, limits: &Limits) -> Result<Model, FormatError> {
    open_file(source, limits, "", None)
}

fn open_file(
    source: &dyn Source,
    limits: &Limits,
    part: &str,
    inside: Option<inside::Open>,
) -> Result<Model, FormatError> {
    let file = Unopened::new(source, limits, inside)?;
    let row = tell(&file)?;
    let mut model = parts::select((row.open)(&file).map_err(foreign::hinted)?, part)?;
    if let Some(anatomy) = row.anatomy {
        model.anatomy = anatomy(&file, &model)?;
    }
    if !row.tells_roles {
        roles::find(&mut model.tensors);
        roles::find(&mut model.extras);
    }
    Ok(model)
}

/// The format of a file, or what it is instead.
fn tell(file: &Unopened) -> Result<&'static Format, FormatError> {
    let told = |has_signature| {
        FORMATS.iter().find(move |row| row.has_signature == has_signature && (row.is_told)(file))
    };
    if let Some(row) = told(true) {
        return Ok(row);
    }
    match foreign::by_signature(file) {
        Some(foreign) => Err(foreign),
        None => told(false).ok_or_else(|| foreign::by_content(file)),
    }
}

/// The names of other files that hold data of the weight file `source`, sorted: those that an ONNX model or an index of
/// shards refers to, the other parts of a split GGUF model. Parts are found by the name of the source's first part.
pub fn companions(source: &dyn Source, limits: &Limits) -> Result<Vec<String>, FormatError> {
    for companions in FORMATS.iter().filter_map(|row| row.companions) {
        let found = companions(source, limits)?;
        if !found.is_empty() {
            return Ok(found);
        }
    }
    Ok(Vec::new())
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
