//! A zip archive of `NumPy` arrays, stored or deflated; each array goes by its entry's name without `.npy`.
//!
//! Arrays of element types that are not read (objects, text, dates) are left out with a note, as long as another is
//! there to be read.

use super::npy;
use crate::formats::zip::Archive;
use crate::formats::{FormatError, FormatErrorKind, Limits, Source};
use crate::model::{FileFormat, Model};
use crate::tensor::Dtype;

const SUFFIX: &str = ".npy";

/// Whether an archive holds an array.
pub(in crate::formats) fn is_npz(archive: &Archive) -> bool {
    archive.entries().iter().any(|entry| entry.name.ends_with(SUFFIX))
}

/// Locates the arrays of `archive`, in the order of its directory.
pub(in crate::formats) fn open(
    source: &dyn Source,
    archive: &Archive,
    limits: &Limits,
) -> Result<Model, FormatError> {
    let (mut tensors, mut notes, mut unsupported) = (Vec::new(), Vec::new(), None);
    let mut is_partial = false;
    for entry in archive.entries() {
        let Some(name) = entry.name.strip_suffix(SUFFIX) else {
            is_partial = true;
            notes
                .push(format!("{} is no array, and was not read", crate::formats::error::shown(&entry.name)));
            continue;
        };
        if tensors.len() as u64 >= limits.tensors {
            return Err(FormatError::too_large(
                "the number of arrays",
                tensors.len() as u64 + 1,
                limits.tensors,
            ));
        }
        let located =
            entry.storage(source).and_then(|storage| npy::locate(source, name.to_owned(), storage, limits));
        match located {
            Ok((tensor, _)) => tensors.push(tensor),
            Err(error) if matches!(error.kind(), FormatErrorKind::Unsupported { .. }) => {
                is_partial = true;
                notes.push(format!("not read: {error}"));
                unsupported = unsupported.or(Some(error));
            }
            Err(error) => return Err(error),
        }
    }
    if tensors.iter().any(|tensor| tensor.dtype == Dtype::Bf16) {
        notes.push(npy::RAW_NOTE.to_owned());
    }
    match unsupported {
        Some(error) if tensors.is_empty() => Err(error),
        _ => Ok(Model { tensors, is_partial, notes, ..Model::empty(FileFormat::Npz) }),
    }
}
