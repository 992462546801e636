//! Why a container could not be written or read.

use crate::entropy::CodeError;
use std::io;

/// Why a container could not be written or read; variants are by who must act.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ContainerError {
    /// The medium failed.
    #[error("{part} at byte {offset}: the medium failed")]
    Io {
        /// What was being read or written.
        part: String,
        /// Where.
        offset: u64,
        /// The medium's own error.
        #[source]
        source: io::Error,
    },
    /// The file contradicts itself or its format.
    #[error("{part} at byte {offset}: expected {expected}, found {found}")]
    Damaged {
        /// What was being read.
        part: String,
        /// Where it starts.
        offset: u64,
        /// What the format asks for.
        expected: String,
        /// What the file has.
        found: String,
    },
    /// A section passes its checksum and does not decode.
    #[error("{part} at byte {offset} does not decode")]
    Undecodable {
        /// What was being decoded.
        part: String,
        /// Where it starts.
        offset: u64,
        /// Why.
        #[source]
        source: CodeError,
    },
    /// The file is of a version, or uses a feature, that this reader does not know.
    #[error("{part} at byte {offset} is not supported: expected {expected}, found {found}")]
    Unsupported {
        /// What was met.
        part: String,
        /// Where.
        offset: u64,
        /// What is supported.
        expected: String,
        /// What the file has.
        found: String,
    },
    /// The file declares something that the reader refuses to allocate for.
    #[error("{part} at byte {offset} declares {declared}, over the limit of {limit}")]
    Limit {
        /// What declares it.
        part: String,
        /// Where.
        offset: u64,
        /// The declared number.
        declared: u64,
        /// The largest accepted.
        limit: u64,
    },
    /// The caller asked for what no container can hold, or out of order.
    #[error("{part}: expected {expected}, found {found}")]
    Request {
        /// What was asked for.
        part: String,
        /// What is possible.
        expected: String,
        /// What was given.
        found: String,
    },
}

impl ContainerError {
    /// A part of the file that contradicts itself or the format.
    #[cold]
    #[allow(clippy::needless_pass_by_value, reason = "callers pass numbers and words alike")]
    pub(super) fn damaged(part: &str, offset: u64, expected: impl ToString, found: impl ToString) -> Self {
        Self::Damaged {
            part: part.to_owned(),
            offset,
            expected: expected.to_string(),
            found: found.to_string(),
        }
    }

    /// A request that cannot be met.
    #[cold]
    #[allow(clippy::needless_pass_by_value, reason = "callers pass numbers and words alike")]
    pub(super) fn request(part: impl Into<String>, expected: impl ToString, found: impl ToString) -> Self {
        Self::Request { part: part.into(), expected: expected.to_string(), found: found.to_string() }
    }
}
