//! `PyTorch` files: state dicts and checkpoints, as zip archives (1.6 and later) or legacy pickles.
//!
//! Source: `torch.serialization` and `torch._utils` of `PyTorch` 2. A tensor is the call of a rebuilding function with a storage,
//! an offset, sizes and strides; a storage is a persistent reference to bytes beside the pickle. A zip archive has one entry per
//! storage. A legacy file is five pickles (magic number, protocol, system, object, storage keys) with the storages behind
//! them, each as a count and its elements.
//!
//! Nested dictionaries, lists and objects flatten into dotted names. The weights are the tensors under a well-known
//! key (`state_dict`, …) where there is one; an optimizer's state goes to the extras.

mod archive;
mod checkpoint;
mod export;
mod legacy;
mod pickle;
mod storage;
mod walk;

pub(super) use archive::{find_pickle, open_archive, open_zip};
pub(super) use export::{is_export, open_export};
pub(super) use legacy::open_pickle;
pub(super) use pickle::is_pickle;

use super::error::shown;
use super::source::read_part;
use super::{FormatError, FormatErrorKind, Limits, Source};
use crate::model::{FileFormat, Model};
use pickle::Pickle;
use walk::Walk;

/// Reads one pickle at `offset`, looking at as much of the file as it takes.
fn pickle_at(source: &dyn Source, offset: u64, limits: &Limits) -> Result<Pickle, FormatError> {
    let rest = source.len().saturating_sub(offset);
    let mut window = 1 << 16;
    loop {
        let len = rest.min(window);
        let bytes = read_part(source, "the pickle", offset, len, limits.header_bytes)?;
        match pickle::read(&bytes, offset) {
            Err(error)
                if matches!(error.kind(), FormatErrorKind::Truncated { .. })
                    && len < rest
                    && len < limits.header_bytes =>
            {
                window = (window * 8).min(limits.header_bytes);
            }
            other => return other,
        }
    }
}

/// Locates the arrays of a dictionary that `numpy.save` pickled, whose pickle starts at `offset`.
pub(super) fn open_object_array(
    source: &dyn Source,
    offset: u64,
    limits: &Limits,
) -> Result<Model, FormatError> {
    let pickle = pickle_at(source, offset, limits)?;
    let locate = |key: &str, _: u64| {
        let found = format!("storage {}", shown(key));
        Err(FormatError::damaged("the array of objects", "arrays of NumPy", found))
    };
    Walk::new(&pickle, limits, false, Some(offset), &locate)?.model(FileFormat::Npy)
}
