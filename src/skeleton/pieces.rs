//! The bytes of a skeleton, read from the file that it is the skeleton of.

use crate::formats::Source;
use crate::tensor::Span;
use serde::{Deserialize, Serialize};
use std::io;

/// Some bytes of a skeleton.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Piece {
    /// Bytes of the source.
    Source(Span),
    /// Others.
    Bytes(Vec<u8>),
}

impl Piece {
    /// Number of bytes.
    pub const fn len(&self) -> u64 {
        match self {
            Self::Source(span) => span.len,
            Self::Bytes(bytes) => bytes.len() as u64,
        }
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A skeleton as a source of bytes.
pub struct Pieces<'a> {
    source: &'a dyn Source,
    list: &'a [Piece],
    /// Where each piece ends.
    ends: Vec<u64>,
}

impl<'a> Pieces<'a> {
    /// The pieces one behind the other.
    pub fn new(source: &'a dyn Source, pieces: &'a [Piece]) -> Self {
        let mut end = 0;
        let ends = pieces.iter().map(|piece| {
            end += piece.len();
            end
        });
        Self { source, list: pieces, ends: ends.collect() }
    }
}

impl std::fmt::Debug for Pieces<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pieces").field("pieces", &self.list.len()).finish_non_exhaustive()
    }
}

impl Source for Pieces<'_> {
    fn len(&self) -> u64 {
        self.ends.last().copied().unwrap_or(0)
    }

    fn read_at(&self, offset: u64, mut buffer: &mut [u8]) -> io::Result<()> {
        let mut at = offset;
        let first = self.ends.partition_point(|end| *end <= offset);
        for (piece, end) in self.list.iter().zip(&self.ends).skip(first) {
            if buffer.is_empty() {
                break;
            }
            let from = at - (end - piece.len());
            let here = buffer.len().min(usize::try_from(end - at).unwrap_or(usize::MAX));
            let (now, later) = buffer.split_at_mut(here);
            match piece {
                Piece::Source(span) => self.source.read_at(span.offset + from, now)?,
                Piece::Bytes(bytes) => bytes.read_at(from, now)?,
            }
            at += here as u64;
            buffer = later;
        }
        if buffer.is_empty() { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }
}
