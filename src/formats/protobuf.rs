//! Protocol Buffers messages read by position: fields are walked without reading what they hold.
//!
//! The wire format is Google's, "Protocol Buffers Encoding": a field is a key, number times 8 plus a wire type, and a varint,
//! 4 or 8 bytes, or a length and that many bytes. A message that must be looked into is walked in turn, so a weight file of any
//! size costs a small window of memory.

use super::{FormatError, Source, read_part};
use crate::tensor::Span;

/// Bytes read at a time.
const WINDOW: u64 = 1 << 14;
/// The longest text that is read.
const LONGEST_TEXT: u64 = 1 << 16;

/// What a field holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Value {
    Varint(u64),
    Fixed32(u32),
    Fixed64(u64),
    /// A text, a message or packed numbers: where they lie.
    Bytes(Span),
}

/// A field of a message.
#[derive(Debug, Clone, Copy)]
pub(super) struct Field {
    pub(super) number: u32,
    pub(super) value: Value,
}

/// Walks messages of a source.
pub(super) struct Wire<'a> {
    source: &'a dyn Source,
    /// What the file is called in errors.
    part: &'static str,
    window: Vec<u8>,
    /// Where the window lies.
    base: u64,
}

impl<'a> Wire<'a> {
    pub(super) fn new(source: &'a dyn Source, part: &'static str) -> Self {
        Self { source, part, window: Vec::new(), base: 0 }
    }

    /// The field at the start of `message`, which is shortened by it; `None` at its end.
    pub(super) fn field(&mut self, message: &mut Span) -> Result<Option<Field>, FormatError> {
        if message.len == 0 {
            return Ok(None);
        }
        let start = message.offset;
        let key = self.varint(message)?;
        let number = u32::try_from(key >> 3).ok().filter(|number| *number != 0);
        let value = match key & 7 {
            0 => Value::Varint(self.varint(message)?),
            1 => Value::Fixed64(u64::from_le_bytes(self.array(message)?)),
            2 => {
                let len = self.varint(message)?;
                let offset = message.offset;
                self.skip(message, len)?;
                Value::Bytes(Span { offset, len })
            }
            5 => Value::Fixed32(u32::from_le_bytes(self.array(message)?)),
            kind => return Err(self.damaged(start, "a field", &format!("wire type {kind}"))),
        };
        let number =
            number.ok_or_else(|| self.damaged(start, "a field's number", &(key >> 3).to_string()))?;
        Ok(Some(Field { number, value }))
    }

    /// The varint at the start of `message`, which is shortened by it.
    pub(super) fn varint(&mut self, message: &mut Span) -> Result<u64, FormatError> {
        let start = message.offset;
        let mut value = 0u64;
        for shift in (0..70).step_by(7) {
            let byte = u64::from(self.byte(message)?);
            if shift == 63 && byte > 1 {
                break;
            }
            value |= (byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(self.damaged(start, "a number of at most 64 bits", "more"))
    }

    /// The text that lies at `span`.
    pub(super) fn text(&mut self, span: Span) -> Result<String, FormatError> {
        let bytes = read_part(self.source, self.part, span.offset, span.len, LONGEST_TEXT)?;
        String::from_utf8(bytes).map_err(|_| self.damaged(span.offset, "text in UTF-8", "other bytes"))
    }

    /// An error about the byte at `offset`.
    pub(super) fn damaged(&self, offset: u64, expected: &str, found: &str) -> FormatError {
        FormatError::damaged(format!("{}, byte {offset}", self.part), expected, found)
    }

    fn array<const N: usize>(&mut self, message: &mut Span) -> Result<[u8; N], FormatError> {
        let mut bytes = [0; N];
        for byte in &mut bytes {
            *byte = self.byte(message)?;
        }
        Ok(bytes)
    }

    fn byte(&mut self, message: &mut Span) -> Result<u8, FormatError> {
        let at = message.offset;
        self.skip(message, 1)?;
        if at < self.base || at - self.base >= self.window.len() as u64 {
            let len = WINDOW.min(self.source.len().saturating_sub(at)).max(1);
            self.window = read_part(self.source, self.part, at, len, WINDOW)?;
            self.base = at;
        }
        let byte = self.window.get((at - self.base) as usize).copied();
        byte.ok_or_else(|| self.damaged(at, "a byte", "the end"))
    }

    fn skip(&self, message: &mut Span, len: u64) -> Result<(), FormatError> {
        if len > message.len {
            let expected = format!("{len} bytes of a field");
            return Err(self.damaged(message.offset, &expected, &format!("{} bytes left", message.len)));
        }
        message.offset += len;
        message.len -= len;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(bytes: &[u8]) -> Result<Vec<(u32, Value)>, FormatError> {
        let bytes = bytes.to_vec();
        let mut wire = Wire::new(&bytes, "the file");
        let mut message = Span { offset: 0, len: bytes.len() as u64 };
        let mut fields = Vec::new();
        while let Some(field) = wire.field(&mut message)? {
            fields.push((field.number, field.value));
        }
        Ok(fields)
    }

    #[test]
    fn each_wire_type_is_read() {
        let bytes = [0x08, 0x96, 0x01, 0x12, 2, b'h', b'i', 0x1d, 1, 0, 0, 0, 0x21, 2, 0, 0, 0, 0, 0, 0, 0];
        let expected = [
            (1, Value::Varint(150)),
            (2, Value::Bytes(Span { offset: 5, len: 2 })),
            (3, Value::Fixed32(1)),
            (4, Value::Fixed64(2)),
        ];
        assert_eq!(fields(&bytes).unwrap(), expected);
    }

    #[test]
    fn a_message_that_lies_is_refused() {
        for (bytes, sentence) in [
            (&[0x12, 9, 1][..], "the file, byte 2: expected 9 bytes of a field, found 1 bytes left"),
            (&[0x0b], "the file, byte 0: expected a field, found wire type 3"),
            (&[0x00, 0], "the file, byte 0: expected a field's number, found 0"),
            (&[0xff; 12], "the file, byte 0: expected a number of at most 64 bits, found more"),
            (&[0x08], "the file, byte 1: expected 1 bytes of a field, found 0 bytes left"),
        ] {
            assert_eq!(fields(bytes).unwrap_err().to_string(), sentence);
        }
    }

    #[test]
    fn a_field_may_lie_far_behind_the_window() {
        let mut bytes = vec![0x12, 0x80, 0x80, 0x04];
        bytes.resize(4 + 65536, 0);
        bytes.extend([0x08, 7]);
        assert_eq!(fields(&bytes).unwrap().last(), Some(&(1, Value::Varint(7))));
    }
}
