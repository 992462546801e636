//! Files of `PyTorch` before 1.6: five pickles (magic number, protocol, system, object, storage keys) with the storages behind
//! them, each as a count and its elements.

use super::pickle::{Pickle, Value};
use super::pickle_at;
use super::storage::StorageRef;
use super::walk::Walk;
use crate::formats::error::shown;
use crate::formats::source::read_part;
use crate::formats::{FormatError, FormatErrorKind, Limits, Source};
use crate::model::{FileFormat, Model};
use crate::tensor::{Span, Storage};
use std::collections::{BTreeMap, BTreeSet};

/// The first pickle of a legacy file holds 0x1950a86a20f9469cfc6c.
const LEGACY_MAGIC: &[u8] = b"\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.";

/// Locates the tensors of a legacy file; refuses other pickles.
pub(in crate::formats) fn open_pickle(source: &dyn Source, limits: &Limits) -> Result<Model, FormatError> {
    let head = read_part(source, "the file's start", 0, source.len().min(32), 32)?;
    // From protocol 4 on, a frame's opcode and its 8 bytes of length come first.
    let start = if head.get(2) == Some(&0x95) { 11 } else { 2 };
    if !(head.starts_with(b"\x80") && head.get(start..).is_some_and(|rest| rest.starts_with(LEGACY_MAGIC))) {
        return Err(plain_pickle(source, limits));
    }
    let mut at = 0;
    let mut pickles = Vec::new();
    for _ in 0..5 {
        let pickle = pickle_at(source, at, limits)?;
        at += pickle.len as u64;
        pickles.push(pickle);
    }
    let [_, protocol, system, object, keys] = pickles.as_slice() else {
        unreachable!("five pickles were read")
    };
    if protocol.int(protocol.root) != Some(1001) {
        let found = format!("{:?}", protocol.get(protocol.root));
        return Err(FormatError::damaged("the legacy file's protocol", "1001", shown(&found)));
    }
    let big_endian = matches!(system.get(system.root), Value::Dict(items)
        if items.iter().any(|(k, v)| system.text(*k) == Some("little_endian") && system.int(*v) == Some(0)));
    let storages = legacy_storages(source, object, keys, at)?;
    let locate = |key: &str, _: u64| {
        storages.get(key).copied().map(Storage::Stored).ok_or_else(|| {
            FormatError::damaged("the legacy file", format!("a storage {}", shown(key)), "none of that key")
        })
    };
    Walk::new(object, limits, big_endian, None, &locate)?.model(FileFormat::TorchLegacy)
}

/// Where each storage of a legacy file lies: in the order of the keys, each after a count of its elements.
fn legacy_storages(
    source: &dyn Source,
    object: &Pickle,
    keys: &Pickle,
    mut at: u64,
) -> Result<BTreeMap<String, Span>, FormatError> {
    let mut declared = BTreeMap::new();
    for id in object.ids() {
        if let Some(storage) = StorageRef::new(object, id) {
            declared.entry(storage.key.to_owned()).or_insert((storage.dtype, storage.elements));
        }
    }
    let order = keys.sequence(keys.root).unwrap_or_default();
    let mut spans = BTreeMap::new();
    for id in order {
        let key = keys.text(*id).unwrap_or_default();
        let part = format!("storage {}", shown(key));
        let count = read_part(source, &part, at, 8, 8)?;
        let count = count.first_chunk().map_or(0, |bytes| i64::from_le_bytes(*bytes));
        let Some((dtype, elements)) = declared.get(key) else {
            return Err(FormatError::damaged(
                part,
                "a storage that the object refers to",
                "one that it does not",
            ));
        };
        if u64::try_from(count) != Ok(*elements) {
            let part = format!("{part} at byte {at}");
            return Err(FormatError::damaged(part, format!("{elements} elements"), count.to_string()));
        }
        let size = dtype.map_or(Some(*elements), |dtype| elements.checked_mul(dtype.size_bytes()));
        let offset = at + 8;
        let found = source.len().saturating_sub(offset);
        let len = size.filter(|len| *len <= found);
        let len = len.ok_or_else(|| FormatError::truncated(part, offset, size.unwrap_or(u64::MAX), found))?;
        spans.insert(key.to_owned(), Span { offset, len });
        at = offset + len;
    }
    Ok(spans)
}

/// What to say of a pickle that is no `PyTorch` file.
fn plain_pickle(source: &dyn Source, limits: &Limits) -> FormatError {
    match pickle_at(source, 0, limits) {
        Ok(pickle) => {
            let mut named = BTreeSet::new();
            pickle.globals().for_each(|(module, name)| {
                named.insert(format!("{module}.{name}"));
            });
            let named: Vec<String> = named.iter().take(3).map(|name| shown(name)).collect();
            let names =
                if named.is_empty() { String::new() } else { format!(" that names {}", named.join(", ")) };
            FormatError::foreign(
                format!("a Python pickle{names}"),
                "nothing of it was run; only PyTorch's pickles have weights that can be located, so save a state dict with \
                 torch.save or use safetensors",
            )
        }
        Err(error) => match error.kind() {
            FormatErrorKind::Truncated { offset, .. } => FormatError::foreign(
                format!("a Python pickle cut short at byte {offset}"),
                "download or save it again",
            ),
            _ => FormatError::foreign(
                format!("something that starts like a Python pickle and is none ({error})"),
                "",
            ),
        },
    }
}
