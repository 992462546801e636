//! Why a `.qsz` could not be read or written.

use crate::entropy::CodeError;
use crate::formats::FormatError;

/// Why a `.qsz` could not be read or written; variants are by who must act.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ContainerError {
    /// The file is no `.qsz`.
    #[error("expected a .qsz, which starts with the bytes 89 51 53 5A, found {found}")]
    Foreign {
        /// What it starts with.
        found: String,
    },
    /// The file was written by a later version.
    #[error("expected .qsz version {expected}, found {found}: it needs a newer Quantscope")]
    Version {
        /// The version this reader knows.
        expected: u8,
        /// The file's.
        found: u8,
    },
    /// A part of the file is not what was written.
    #[error(
        "{part} at byte {offset}: expected checksum {expected:08x}, found {found:08x}: the file is damaged"
    )]
    Checksum {
        /// Which section.
        part: String,
        /// Where it starts.
        offset: u64,
        /// The checksum stored.
        expected: u32,
        /// The checksum of what is there.
        found: u32,
    },
    /// The file contradicts itself.
    #[error("{part}: expected {expected}, found {found}")]
    Damaged {
        /// Which section.
        part: String,
        /// What the format asks for.
        expected: String,
        /// What the file has.
        found: String,
    },
    /// A coded stream or table cannot be decoded.
    #[error("{part} cannot be decoded")]
    Code {
        /// Which section.
        part: String,
        /// Why.
        #[source]
        source: CodeError,
    },
    /// The bytes could not be read, end too early, or declare too much.
    #[error(transparent)]
    Read(#[from] FormatError),
    /// Blocks were handed to the writer in the wrong order or number; a defect of the caller.
    #[error("blocks handed over out of order: expected {expected}, found {found}")]
    Order {
        /// What was due.
        expected: String,
        /// What came.
        found: String,
    },
    /// The output could not be written.
    #[error("writing the compressed file failed")]
    Write(#[from] std::io::Error),
}

impl ContainerError {
    pub(super) fn damaged(part: &str, expected: impl Into<String>, found: impl Into<String>) -> Self {
        Self::Damaged { part: part.to_owned(), expected: expected.into(), found: found.into() }
    }
}
