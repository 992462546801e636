//! Little-endian fields read one after another from bytes in memory, each checked against what is left.

use super::FormatError;

/// A position in the bytes of one part of a file.
pub(super) struct Cursor<'a> {
    part: &'a str,
    bytes: &'a [u8],
    /// Where the first of all the bytes lies in the file.
    base: u64,
    at: usize,
}

impl<'a> Cursor<'a> {
    /// A cursor at the start of `bytes`, which lie at `base` in the file and are called `part` in errors.
    pub(super) fn new(part: &'a str, bytes: &'a [u8], base: u64) -> Self {
        Self { part, bytes, base, at: 0 }
    }

    /// Number of bytes left.
    pub(super) fn left(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// Where the next byte lies in the file.
    pub(super) fn position(&self) -> u64 {
        self.base + self.at as u64
    }

    /// The next `count` bytes.
    pub(super) fn take(&mut self, count: usize) -> Result<&'a [u8], FormatError> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let taken = rest.get(..count).ok_or_else(|| self.truncated(count as u64))?;
        self.at += count;
        Ok(taken)
    }

    /// The next two bytes as a number.
    pub(super) fn u16(&mut self) -> Result<u16, FormatError> {
        Ok(u16::from_le_bytes(self.array()?))
    }

    /// The next four bytes as a number.
    pub(super) fn u32(&mut self) -> Result<u32, FormatError> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    /// The next eight bytes as a number.
    pub(super) fn u64(&mut self) -> Result<u64, FormatError> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], FormatError> {
        let taken = self.take(N)?;
        taken.first_chunk().copied().ok_or_else(|| self.truncated(N as u64))
    }

    fn truncated(&self, needed: u64) -> FormatError {
        FormatError::truncated(self.part, self.position(), needed, self.left() as u64)
    }
}
