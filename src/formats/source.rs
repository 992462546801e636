//! A source of bytes read by position, and the limits that readers check before they allocate.

use super::FormatError;
use std::io;

/// Bytes read by position: a file, a browser `File`, a slice.
pub trait Source {
    /// Total number of bytes.
    fn len(&self) -> u64;

    /// Fills `buffer` from byte `offset`; an error if the source ends before.
    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()>;

    /// Whether there are no bytes at all.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Source for [u8] {
    fn len(&self) -> u64 {
        <[u8]>::len(self) as u64
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let bytes = usize::try_from(offset)
            .ok()
            .and_then(|start| self.get(start..)?.get(..buffer.len()))
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        buffer.copy_from_slice(bytes);
        Ok(())
    }
}

impl<S: Source + ?Sized> Source for &S {
    fn len(&self) -> u64 {
        (**self).len()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        (**self).read_at(offset, buffer)
    }
}

impl Source for Vec<u8> {
    fn len(&self) -> u64 {
        self.as_slice().len() as u64
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        self.as_slice().read_at(offset, buffer)
    }
}

/// What readers refuse to go beyond, whatever a file declares.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of header, pickle or directory held in memory.
    pub header_bytes: u64,
    /// Number of tensors.
    pub tensors: u64,
    /// Dimensions of one tensor.
    pub rank: u64,
    /// Bytes of one tensor that must be rearranged in memory (strided, transposed).
    pub rearranged_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { header_bytes: 100_000_000, tensors: 100_000, rank: 64, rearranged_bytes: 1 << 30 }
    }
}

/// Reads `len` bytes of `part` at `offset`, after checking them against the source's length and `limit`.
pub fn read_part(
    source: &dyn Source,
    part: &str,
    offset: u64,
    len: u64,
    limit: u64,
) -> Result<Vec<u8>, FormatError> {
    if len > limit {
        return Err(FormatError::TooLarge { part: part.to_owned(), declared: len, limit });
    }
    let found = source.len().saturating_sub(offset);
    if len > found {
        return Err(FormatError::Truncated { part: part.to_owned(), offset, needed: len, found });
    }
    let mut bytes = allocate(part, len)?;
    source.read_at(offset, &mut bytes).map_err(|source| FormatError::Io {
        part: part.to_owned(),
        offset,
        source,
    })?;
    Ok(bytes)
}

/// `len` zero bytes, or an error where there is no memory for them.
pub(super) fn allocate(part: &str, len: u64) -> Result<Vec<u8>, FormatError> {
    let mut bytes = Vec::new();
    resize(part, &mut bytes, len)?;
    Ok(bytes)
}

/// Makes `bytes` `len` bytes long, or says that there is no memory for it.
pub(super) fn resize(part: &str, bytes: &mut Vec<u8>, len: u64) -> Result<(), FormatError> {
    let refused = || FormatError::too_large(format!("memory for {part}, in bytes,"), len, isize::MAX as u64);
    let size = usize::try_from(len).map_err(|_| refused())?;
    bytes.try_reserve_exact(size.saturating_sub(bytes.len())).map_err(|_| refused())?;
    bytes.resize(size, 0);
    Ok(())
}
