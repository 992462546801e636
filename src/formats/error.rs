//! Why a weight file could not be read.

use std::io;

/// Why a weight file could not be read; variants are by who must act.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FormatError {
    /// The medium failed before the file could be judged.
    #[error("reading {part} at byte {offset} failed")]
    Io {
        /// What was being read.
        part: String,
        /// Where.
        offset: u64,
        /// The medium's own error.
        #[source]
        source: io::Error,
    },
    /// The file ends before the part named here does.
    #[error("{part} needs {needed} bytes at byte {offset} but the file has {found} there")]
    Truncated {
        /// What was being read.
        part: String,
        /// Where it starts.
        offset: u64,
        /// How many bytes it needs.
        needed: u64,
        /// How many there are.
        found: u64,
    },
    /// The file contradicts itself or its format.
    #[error("{part}: expected {expected}, found {found}")]
    Damaged {
        /// What was being read, with where.
        part: String,
        /// What the format asks for.
        expected: String,
        /// What the file has.
        found: String,
    },
    /// The file declares something that this reader refuses to allocate for.
    #[error("{part} declares {declared}, over the limit of {limit}")]
    TooLarge {
        /// What was being read.
        part: String,
        /// The declared number.
        declared: u64,
        /// The largest accepted.
        limit: u64,
    },
    /// The file is sound as far as it was read, and uses something that is not supported.
    #[error("{part} is not supported: {found}")]
    Unsupported {
        /// What was met.
        part: String,
        /// What it is.
        found: String,
    },
}
