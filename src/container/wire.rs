//! Numbers, texts and lists as the manifest stores them.

use super::ContainerError;

/// Appends a number in 7-bit groups, low first, the high bit set on all but the last (LEB128).
pub fn put_number(bytes: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

/// Appends a text: its length in bytes, then UTF-8.
pub fn put_text(bytes: &mut Vec<u8>, text: &str) {
    put_number(bytes, text.len() as u64);
    bytes.extend(text.as_bytes());
}

/// Reads what the functions above wrote.
#[derive(Debug)]
pub struct Parser<'a> {
    rest: &'a [u8],
    part: &'static str,
    len: usize,
}

impl<'a> Parser<'a> {
    pub fn new(part: &'static str, bytes: &'a [u8]) -> Self {
        Self { rest: bytes, part, len: bytes.len() }
    }

    /// An error at the place reached.
    pub fn wrong(&self, expected: impl Into<String>, found: impl Into<String>) -> ContainerError {
        let place = format!("{} at its byte {}", self.part, self.len - self.rest.len());
        ContainerError::damaged(&place, expected, found)
    }

    pub fn take(&mut self, count: u64, what: &str) -> Result<&'a [u8], ContainerError> {
        let split = usize::try_from(count).ok().and_then(|count| self.rest.split_at_checked(count));
        let Some((taken, rest)) = split else {
            return Err(self.wrong(format!("{count} bytes of {what}"), format!("{}", self.rest.len())));
        };
        self.rest = rest;
        Ok(taken)
    }

    pub fn byte(&mut self, what: &str) -> Result<u8, ContainerError> {
        Ok(self.take(1, what)?.first().copied().unwrap_or(0))
    }

    pub fn number(&mut self, what: &str) -> Result<u64, ContainerError> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte(what)?;
            let group = u64::from(byte & 0x7f);
            if shift == 63 && group > 1 {
                break;
            }
            value |= group << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(self.wrong(format!("{what} in 64 bits"), "a larger number"))
    }

    /// A number of things that take at least `least` bytes each, so that it can be no larger than what is left.
    pub fn count(&mut self, what: &str, least: usize) -> Result<usize, ContainerError> {
        let count = self.number(what)?;
        let room = self.rest.len() / least.max(1);
        usize::try_from(count)
            .ok()
            .filter(|count| *count <= room)
            .ok_or_else(|| self.wrong(format!("at most {room} of {what}"), count.to_string()))
    }

    pub fn text(&mut self, what: &str) -> Result<String, ContainerError> {
        let len = self.number(what)?;
        let bytes = self.take(len, what)?;
        String::from_utf8(bytes.to_vec()).map_err(|_| self.wrong(format!("{what} in UTF-8"), "other bytes"))
    }

    /// Everything not read yet.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub fn end(self) -> Result<(), ContainerError> {
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(self.wrong("the end", format!("{} bytes more", self.rest.len())))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_read_back_and_too_large_ones_are_refused() {
        for value in [0, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX] {
            let mut bytes = Vec::new();
            put_number(&mut bytes, value);
            let mut parser = Parser::new("test", &bytes);
            assert_eq!(parser.number("value").unwrap(), value);
            parser.end().unwrap();
        }
        let sentence = Parser::new("test", &[0xff; 11]).number("value").unwrap_err().to_string();
        assert_eq!(sentence, "test at its byte 10: expected value in 64 bits, found a larger number");
    }

    #[test]
    fn counts_beyond_what_is_left_are_refused() {
        assert!(Parser::new("test", &[5, 0, 0]).count("things", 1).is_err());
        assert_eq!(Parser::new("test", &[2, 0, 0]).count("things", 1).unwrap(), 2);
    }
}
