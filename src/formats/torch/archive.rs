//! Zip archives of `PyTorch` 1.6 and later: one entry holds the pickle, and one each of the storages it refers to.

use super::pickle;
use super::walk::Walk;
use crate::formats::error::shown;
use crate::formats::inflate::read_storage;
use crate::formats::zip::{Archive, Entry};
use crate::formats::{FormatError, Limits, Source};
use crate::model::{FileFormat, Model};
use crate::tensor::Storage;

/// The pickle of a `PyTorch` archive.
pub(in crate::formats) fn find_pickle(archive: &Archive) -> Option<&Entry> {
    let is_data = |name: &str| name == "data.pkl" || name.ends_with("/data.pkl");
    archive.entries().iter().find(|entry| is_data(&entry.name))
}

/// Locates the tensors of a file that is a zip archive with a pickle.
pub(in crate::formats) fn open_archive(source: &dyn Source, limits: &Limits) -> Result<Model, FormatError> {
    open_zip(source, &Archive::open(source, limits)?, limits)
}

/// Locates the tensors of a zip archive with a pickle.
pub(in crate::formats) fn open_zip(
    source: &dyn Source,
    archive: &Archive,
    limits: &Limits,
) -> Result<Model, FormatError> {
    let missing = || FormatError::damaged("the archive", "an entry data.pkl", "none of that name");
    let entry = find_pickle(archive).ok_or_else(missing)?;
    let prefix = entry.name.strip_suffix("data.pkl").unwrap_or_default();
    let read = |entry: &Entry| {
        let storage = entry.storage(source)?;
        read_storage(source, &shown(&entry.name), &storage, 0, storage.len(), limits.header_bytes)
    };
    let pickle = pickle::read(&read(entry)?, 0)?;
    let stored_at = match entry.storage(source)? {
        Storage::Stored(span) => Some(span.offset),
        _ => None,
    };
    let big_endian = match archive.find(&format!("{prefix}byteorder")) {
        Some(entry) => read(entry)?.starts_with(b"big"),
        None => false,
    };
    let in_folder = |folder: &str, key: &str| {
        let name = format!("{prefix}{folder}/{key}");
        let entry = archive.find(&name).ok_or_else(|| {
            FormatError::damaged("the archive", format!("an entry {}", shown(&name)), "none of that name")
        })?;
        entry.storage(source)
    };
    let locate = |key: &str, _: u64| in_folder("data", key);
    let mut walk = Walk::new(&pickle, limits, big_endian, stored_at, &locate)?;
    let code = format!("{prefix}code/");
    walk.is_partial |= archive.entries().iter().any(|entry| entry.name.starts_with(&code));
    let constants = archive.find(&format!("{prefix}constants.pkl")).filter(|_| walk.tensors.is_empty());
    let Some(constants) = constants else { return walk.model(FileFormat::TorchZip) };
    // A frozen TorchScript: its weights are constants of the code.
    let locate = |key: &str, _: u64| in_folder("constants", key);
    let pickle = pickle::read(&read(constants)?, 0)?;
    let mut walk = Walk::new(&pickle, limits, big_endian, None, &locate)?;
    walk.is_partial = true;
    walk.remarked("the weights are constants of a frozen TorchScript, numbered in its order");
    walk.model(FileFormat::TorchZip)
}
