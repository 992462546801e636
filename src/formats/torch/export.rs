//! Programs that `torch.export.save` wrote (`.pt2`), for their weights.
//!
//! Definition: `PyTorch` 2.9, "PT2 Archive Spec" and `torch.export.pt2_archive`; elements by `torch._export.serde.schema`,
//! version 8. A zip archive has, for each program NAME, `data/weights/NAME_weights_config.json`: a `config` from names of tensors
//! to the entry with their bytes, element type, sizes, strides and offset. Older archives have a file of `torch.save` there
//! instead, `data/weights/NAME.pt`, and the oldest `serialized_state_dict.pt` without a folder. Constants of the program stand
//! beside them in the same forms and go to the extras.
//!
//! Not read: the program itself, pickled subclasses of tensors (a note says which), compiled code with weights in it. Cost:
//! linear in the JSON.

use super::archive::open_archive;
use crate::formats::error::{several, shown};
use crate::formats::inflate::read_storage;
use crate::formats::layout::{Declared, check_unique, mark_ties};
use crate::formats::pairs::{self, Pairs};
use crate::formats::zip::{Archive, Entry};
use crate::formats::{FormatError, FormatErrorKind, Limits, Source, inside};
use crate::model::{FileFormat, Model};
use crate::tensor::{Dtype, Storage, Tensor};

/// An entry that says where tensors are.
#[derive(Clone, Copy)]
struct State<'a> {
    entry: &'a Entry,
    /// The archive's own folder, with a slash behind it.
    root: &'a str,
    /// The folder of its payloads, with a slash behind it.
    folder: &'a str,
    /// The program that they are of.
    program: &'a str,
    /// Whether it is JSON, or else a file of `torch.save`.
    is_config: bool,
    /// Whether they are constants, or else weights.
    is_constant: bool,
}

impl<'a> State<'a> {
    fn of(entry: &'a Entry) -> Option<Self> {
        let name = entry.name.as_str();
        let (folder, file) = name.split_at(name.rfind('/').map_or(0, |at| at + 1));
        let root_of =
            |kind: &str| folder.strip_suffix(kind).filter(|root| root.is_empty() || root.ends_with('/'));
        let (root, ending, is_constant) = match (root_of("data/weights/"), root_of("data/constants/")) {
            (Some(root), _) => (root, "_weights_config.json", false),
            (_, Some(root)) => (root, "_constants_config.json", true),
            _ => return Self::of_first_versions(entry),
        };
        let config = file.strip_suffix(ending);
        let program = config.or_else(|| file.strip_suffix(".pt"))?;
        Some(Self { entry, root, folder, program, is_config: config.is_some(), is_constant })
    }

    fn of_first_versions(entry: &'a Entry) -> Option<Self> {
        let is_constant = match entry.name.as_str() {
            "serialized_state_dict.pt" | "serialized_state_dict.json" => false,
            "serialized_constants.pt" | "serialized_constants.json" => true,
            _ => return None,
        };
        Some(Self { entry, root: "", folder: "", program: "", is_config: false, is_constant })
    }
}

/// Whether an archive holds an exported program with weights.
pub(in crate::formats) fn is_export(archive: &Archive) -> bool {
    // Files of torch.save in folders of these names may be anyone's.
    let is_own = |state: &State| {
        state.is_config
            || state.folder.is_empty()
            || archive.find(&format!("{}archive_format", state.root)).is_some()
    };
    archive.entries().iter().filter_map(State::of).any(|state| !state.is_constant && is_own(&state))
}

/// Locates the weights of an exported program, and its constants among the extras.
pub(in crate::formats) fn open_export(
    source: &dyn Source,
    archive: &Archive,
    limits: &Limits,
) -> Result<Model, FormatError> {
    let states: Vec<State> = archive.entries().iter().filter_map(State::of).collect();
    let is_one = states.iter().filter(|state| !state.is_constant).count() == 1;
    let mut whole = Model { is_partial: true, ..Model::empty(FileFormat::TorchExport) };
    for state in &states {
        let mut found = if state.is_config {
            described(source, archive, state, limits)?
        } else {
            pickled(source, state, limits)?
        };
        if !is_one {
            for tensor in &mut found.tensors {
                tensor.name = format!("{}.{}", state.program, tensor.name);
            }
        }
        if state.is_constant {
            found.extras.append(&mut found.tensors);
        }
        whole.append(found);
    }
    let count = (whole.tensors.len() + whole.extras.len()) as u64;
    if count > limits.tensors {
        return Err(FormatError::too_large("the number of tensors", count, limits.tensors));
    }
    if whole.tensors.is_empty() {
        let found = "a program of torch.export without weights";
        return Err(FormatError::foreign(found, "save the model's state dict with torch.save"));
    }
    for tensors in [&mut whole.tensors, &mut whole.extras] {
        check_unique("the tensor names", tensors.iter().map(|tensor| tensor.name.as_str()))?;
        mark_ties(tensors);
    }
    if !whole.extras.is_empty() {
        let count = whole.extras.len();
        whole.notes.push(format!("{count} constants of the program are not taken for weights"));
    }
    Ok(whole)
}

/// The tensors of a file of `torch.save`; none where it has none.
fn pickled(source: &dyn Source, state: &State, limits: &Limits) -> Result<Model, FormatError> {
    let entry = state.entry;
    match inside::open(source, &entry.name, &entry.storage(source)?, limits, open_archive) {
        Err(error) if matches!(error.kind(), FormatErrorKind::Foreign { .. }) => {
            Ok(Model::empty(FileFormat::TorchExport))
        }
        opened => opened,
    }
}

/// Members of `PayloadConfig`.
#[derive(serde::Deserialize)]
struct Config {
    config: Pairs<Payload>,
}

/// Members of `PayloadMeta` that are read.
#[derive(serde::Deserialize)]
struct Payload {
    path_name: String,
    #[serde(default)]
    use_pickle: bool,
    tensor_meta: Option<Meta>,
}

/// Members of `TensorMeta` that are read.
#[derive(serde::Deserialize)]
struct Meta {
    dtype: u64,
    sizes: Vec<Int>,
    strides: Option<Vec<Int>>,
    storage_offset: Option<Int>,
}

/// `SymInt`, of which a saved tensor has plain integers only.
#[derive(Clone, Copy, serde::Deserialize)]
struct Int {
    as_int: i64,
}

/// The element type of a number of `ScalarType`.
fn dtype(number: u64) -> Option<Dtype> {
    Some(match number {
        1 => Dtype::U8,
        2 => Dtype::I8,
        3 => Dtype::I16,
        4 => Dtype::I32,
        5 => Dtype::I64,
        6 => Dtype::F16,
        7 => Dtype::F32,
        8 => Dtype::F64,
        10 => Dtype::C64,
        11 => Dtype::C128,
        12 => Dtype::Bool,
        13 => Dtype::Bf16,
        28 => Dtype::U16,
        29 => Dtype::F8E4M3,
        30 => Dtype::F8E5M2,
        _ => return None,
    })
}

/// The tensors that a JSON describes.
fn described(
    source: &dyn Source,
    archive: &Archive,
    state: &State,
    limits: &Limits,
) -> Result<Model, FormatError> {
    let part = shown(&state.entry.name);
    let read = |entry: &Entry| {
        let storage = entry.storage(source)?;
        read_storage(source, &shown(&entry.name), &storage, 0, storage.len(), limits.header_bytes)
    };
    let config: Config = pairs::read(&read(state.entry)?, &part, "JSON that describes tensors")?;
    let big_endian = match archive.find(&format!("{}byteorder", state.root)) {
        Some(entry) => read(entry)?.starts_with(b"big"),
        None => false,
    };
    let mut model = Model::empty(FileFormat::TorchExport);
    let mut left_out = Vec::new();
    for (name, payload) in config.config.within(&part, limits.tensors)? {
        let Some((meta, dtype)) = payload.described() else {
            left_out.push(name);
            continue;
        };
        let path = format!("{}{}", state.folder, payload.path_name);
        let missing = || FormatError::damaged(&part, format!("an entry {}", shown(&path)), "none");
        let storage = archive.find(&path).ok_or_else(missing)?.storage(source)?;
        model.tensors.push(meta.locate(name, dtype, storage, big_endian, limits)?);
    }
    if !left_out.is_empty() {
        let names: Vec<&str> = left_out.iter().map(String::as_str).collect();
        model
            .notes
            .push(format!("not read, since they are pickled objects or of other types: {}", several(&names)));
    }
    Ok(model)
}

impl Payload {
    /// What it says of plain bytes; `None` for a pickle, and for types that are not read.
    fn described(&self) -> Option<(&Meta, Dtype)> {
        let meta = self.tensor_meta.as_ref().filter(|_| !self.use_pickle)?;
        Some((meta, dtype(meta.dtype)?))
    }
}

impl Meta {
    fn locate(
        &self,
        name: String,
        dtype: Dtype,
        storage: Storage,
        big_endian: bool,
        limits: &Limits,
    ) -> Result<Tensor, FormatError> {
        let negative = || {
            let part = format!("tensor {}", shown(&name));
            FormatError::damaged(part, "sizes and an offset of at least 0", "a negative one")
        };
        let sizes = self.sizes.iter().map(|size| u64::try_from(size.as_int).ok());
        let shape = sizes.collect::<Option<Vec<u64>>>().ok_or_else(negative)?;
        let first = u64::try_from(self.storage_offset.map_or(0, |first| first.as_int)).ok();
        let offset = first.and_then(|first| first.checked_mul(dtype.size_bytes())).ok_or_else(negative)?;
        let strides = self.strides.as_ref().map(|strides| strides.iter().map(|s| s.as_int).collect());
        Declared { name, dtype, shape, storage, offset, strides, big_endian }.locate(limits)
    }
}

#[cfg(test)]
mod tests;
