//! Why a container could not be written or read.

use crate::entropy::CodeError;
use std::io;

/// Why a container could not be written or read; says what its kind says.
///
/// A pointer, so that results stay as small as what they hold.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
pub struct ContainerError(Box<ContainerErrorKind>);

/// What is wrong with a container; variants are by who must act.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ContainerErrorKind {
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

impl From<ContainerErrorKind> for ContainerError {
    #[cold]
    fn from(kind: ContainerErrorKind) -> Self {
        Self(Box::new(kind))
    }
}

impl ContainerError {
    /// What is wrong.
    pub fn kind(&self) -> &ContainerErrorKind {
        &self.0
    }

    /// A part that the medium failed to give or take.
    pub(super) fn io(part: &str, offset: u64, source: io::Error) -> Self {
        ContainerErrorKind::Io { part: part.to_owned(), offset, source }.into()
    }

    /// A part that declares more than `limit`.
    pub(super) fn limit(part: impl Into<String>, offset: u64, declared: u64, limit: u64) -> Self {
        ContainerErrorKind::Limit { part: part.into(), offset, declared, limit }.into()
    }

    /// A part of a version, or with a feature, that is not known here.
    #[allow(clippy::needless_pass_by_value, reason = "callers pass numbers and words alike")]
    pub(super) fn unsupported(
        part: &str,
        offset: u64,
        expected: impl ToString,
        found: impl ToString,
    ) -> Self {
        let (part, expected, found) = (part.to_owned(), expected.to_string(), found.to_string());
        ContainerErrorKind::Unsupported { part, offset, expected, found }.into()
    }

    /// A part of the file that contradicts itself or the format.
    #[cold]
    #[allow(clippy::needless_pass_by_value, reason = "callers pass numbers and words alike")]
    pub(super) fn damaged(part: &str, offset: u64, expected: impl ToString, found: impl ToString) -> Self {
        let (part, expected, found) = (part.to_owned(), expected.to_string(), found.to_string());
        ContainerErrorKind::Damaged { part, offset, expected, found }.into()
    }

    /// A request that cannot be met.
    #[cold]
    #[allow(clippy::needless_pass_by_value, reason = "callers pass numbers and words alike")]
    pub(super) fn request(part: impl Into<String>, expected: impl ToString, found: impl ToString) -> Self {
        let (expected, found) = (expected.to_string(), found.to_string());
        ContainerErrorKind::Request { part: part.into(), expected, found }.into()
    }
}
