//! Numbers and strings as bytes: little-endian integers, and varints for what is mostly small.

use super::ContainerError;
use crate::varint;

/// Appends a string: its length in bytes as a varint, then UTF-8.
pub(super) fn put_string(text: &str, out: &mut Vec<u8>) {
    varint::put(text.len() as u64, out);
    out.extend_from_slice(text.as_bytes());
}

/// Reads a part of a file front to back.
#[derive(Debug)]
pub(super) struct Cursor<'a> {
    part: &'a str,
    /// Where the bytes start, for messages.
    base: u64,
    bytes: &'a [u8],
    position: usize,
}

impl<'a> Cursor<'a> {
    /// Starts at the first of `bytes`, which lie at byte `base` of `part`'s medium.
    pub(super) const fn new(part: &'a str, base: u64, bytes: &'a [u8]) -> Self {
        Self { part, base, bytes, position: 0 }
    }

    /// The bytes not read yet.
    pub(super) fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.position..).unwrap_or_default()
    }

    /// Whether everything is read.
    pub(super) fn is_at_end(&self) -> bool {
        self.position >= self.bytes.len()
    }

    /// Index of the next byte.
    pub(super) const fn position(&self) -> usize {
        self.position
    }

    /// Where the next byte lies.
    pub(super) const fn offset(&self) -> u64 {
        self.base + self.position as u64
    }

    /// An error at the next byte.
    #[cold]
    pub(super) fn damaged(&self, expected: impl ToString, found: impl ToString) -> ContainerError {
        ContainerError::damaged(self.part, self.offset(), expected, found)
    }

    /// An error about something unknown at the next byte.
    pub(super) fn unsupported(&self, expected: &str, found: &str) -> ContainerError {
        ContainerError::unsupported(self.part, self.offset(), expected, found)
    }

    /// Checks a declared number against a limit.
    pub(super) fn limited(&self, what: &str, declared: u64, limit: u64) -> Result<(), ContainerError> {
        if declared <= limit {
            return Ok(());
        }
        let part = format!("{what} of {}", self.part);
        Err(ContainerError::limit(part, self.offset(), declared, limit))
    }

    /// Takes the next `len` bytes.
    pub(super) fn take(&mut self, len: u64) -> Result<&'a [u8], ContainerError> {
        let rest = self.rest();
        let taken = usize::try_from(len).ok().and_then(|len| rest.get(..len));
        let taken =
            taken.ok_or_else(|| self.damaged(format!("{len} more bytes"), format!("{} left", rest.len())))?;
        self.position += taken.len();
        Ok(taken)
    }

    /// Takes the next N bytes.
    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], ContainerError> {
        let mut array = [0; N];
        array.copy_from_slice(self.take(N as u64)?);
        Ok(array)
    }

    /// Takes a byte.
    pub(super) fn byte(&mut self) -> Result<u8, ContainerError> {
        let [byte] = self.array()?;
        Ok(byte)
    }

    /// Takes a varint.
    pub(super) fn varint(&mut self) -> Result<u64, ContainerError> {
        let mut rest = self.rest();
        let before = rest.len();
        let value = varint::take(&mut rest).ok_or_else(|| {
            self.damaged("a number of at most 64 bits in its shortest form", "its end or another form")
        })?;
        self.position += before - rest.len();
        Ok(value)
    }

    /// Takes a string.
    pub(super) fn string(&mut self) -> Result<&'a str, ContainerError> {
        let len = self.varint()?;
        let bytes = self.take(len)?;
        std::str::from_utf8(bytes).map_err(|_| self.damaged("text in UTF-8", "other bytes"))
    }

    /// Checks that everything was read.
    pub(super) fn finish(&self) -> Result<(), ContainerError> {
        if self.is_at_end() {
            Ok(())
        } else {
            Err(self.damaged("its end", format!("{} more bytes", self.rest().len())))
        }
    }
}

/// The number of `item` in the table of its kind; one that is refused where it is not there.
pub(super) fn number<T: PartialEq>(table: &[T], item: &T) -> u8 {
    table.iter().position(|other| other == item).map_or(u8::MAX, |number| number as u8)
}

/// Takes the number of an item of `table`, `what` in messages.
pub(super) fn numbered<T: Copy>(
    cursor: &mut Cursor<'_>,
    table: &[T],
    what: &str,
) -> Result<T, ContainerError> {
    let number = cursor.byte()?;
    let item = table.get(usize::from(number)).copied();
    item.ok_or_else(|| cursor.unsupported(&format!("{what} below {}", table.len()), &number.to_string()))
}

/// Takes an index.
pub(super) fn index(cursor: &mut Cursor<'_>) -> Result<usize, ContainerError> {
    let value = cursor.varint()?;
    usize::try_from(value).map_err(|_| cursor.damaged("an index", value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_longer_than_the_rest_are_refused() {
        let error = Cursor::new("manifest", 100, &[5, b'a', b'b']).string().unwrap_err();
        assert_eq!(error.to_string(), "manifest at byte 101: expected 5 more bytes, found 2 left");
        assert!(Cursor::new("manifest", 0, &[1, 0xff]).string().is_err());
    }
}
