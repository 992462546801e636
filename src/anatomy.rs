//! What of a file changes when other numbers stand in its tensors, beside those numbers: what a reader knows and nobody else.

use crate::tensor::Span;
use serde::{Deserialize, Serialize};

/// Bytes of the source in whose place others stand in the file that is given back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Edit {
    /// The bytes that go.
    pub span: Span,
    /// Those that come.
    pub bytes: Vec<u8>,
}

/// A CRC-32 of some bytes, which stands elsewhere in the file, little-endian.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checksum {
    /// The bytes that it is of.
    pub of: Span,
    /// Where it stands, ascending.
    pub at: Vec<u64>,
}

/// A deflated part of the source that holds tensors, and is given back inflated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Inflated {
    /// The deflated bytes.
    pub span: Span,
    /// How many bytes they inflate to.
    pub len: u64,
    /// The inflated bytes that no tensor holds: where they begin, and they.
    pub gaps: Vec<(u64, Vec<u8>)>,
}

/// What of a file changes with its tensors' numbers; nothing for most formats.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Anatomy {
    /// What makes room for tensors that are given back in another form, in order.
    pub edits: Vec<Edit>,
    /// Whether that form is elements where the source has codes: no edit is needed where all codes stay.
    pub edits_decode: bool,
    /// The deflated parts, in order.
    pub inflated: Vec<Inflated>,
    /// The checksums of bytes in which tensors lie, in the order of those bytes.
    pub checksums: Vec<Checksum>,
    /// Whether more changes than is said here, as in an archive inside another.
    pub is_unknown: bool,
}

impl Anatomy {
    /// Takes in that of another file, which lies behind.
    pub fn append(&mut self, other: Self) {
        self.edits.extend(other.edits);
        self.edits_decode |= other.edits_decode;
        self.inflated.extend(other.inflated);
        self.checksums.extend(other.checksums);
        self.is_unknown |= other.is_unknown;
    }

    /// Moves everything, for a file that lies `by` bytes into another.
    pub fn shift(&mut self, by: u64) {
        let spans = self.edits.iter_mut().map(|edit| &mut edit.span);
        let spans = spans.chain(self.inflated.iter_mut().map(|part| &mut part.span));
        spans.for_each(|span| span.offset += by);
        for checksum in &mut self.checksums {
            checksum.of.offset += by;
            checksum.at.iter_mut().for_each(|at| *at += by);
        }
    }
}
