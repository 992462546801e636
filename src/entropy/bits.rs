//! Bits packed most significant first, through a 64-bit window.

use super::CodeError;

/// Writes bits to the end of a byte vector; call [`finish`](Self::finish) to pad the last byte with zeros.
#[derive(Debug)]
pub struct BitWriter<'a> {
    bytes: &'a mut Vec<u8>,
    window: u64,
    filled: u32,
    written: u64,
}

impl<'a> BitWriter<'a> {
    /// Appends to `bytes`.
    pub fn new(bytes: &'a mut Vec<u8>) -> Self {
        Self { bytes, window: 0, filled: 0, written: 0 }
    }

    /// Writes the low `count` (at most 32) bits of `value`; higher bits must be zero.
    #[inline]
    pub fn write(&mut self, value: u32, count: u32) {
        self.written += u64::from(count);
        self.window = (self.window << count) | u64::from(value);
        self.filled += count;
        if self.filled >= 32 {
            self.filled -= 32;
            self.bytes.extend(((self.window >> self.filled) as u32).to_be_bytes());
        }
    }

    /// Pads the last byte with zeros; the number of bits written, without the padding.
    pub fn finish(self) -> u64 {
        let mut left = self.filled;
        while left > 0 {
            let byte = if left >= 8 { self.window >> (left - 8) } else { self.window << (8 - left) };
            self.bytes.push(byte as u8);
            left = left.saturating_sub(8);
        }
        self.written
    }
}

/// Reads bits from a byte slice; past the end it sees zeros, and [`finish`](Self::finish) refuses.
#[derive(Debug)]
pub struct BitReader<'a> {
    bytes: &'a [u8],
    /// Next byte to be loaded.
    next: usize,
    /// Unread bits, left-aligned.
    window: u64,
    filled: u32,
    read: u64,
}

impl<'a> BitReader<'a> {
    /// Reads from the start of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, next: 0, window: 0, filled: 0, read: 0 }
    }

    #[inline]
    fn fill(&mut self) {
        if let Some(four) = self.bytes.get(self.next..).and_then(<[u8]>::first_chunk::<4>) {
            self.window |= u64::from(u32::from_be_bytes(*four)) << (32 - self.filled);
            self.filled += 32;
            self.next += 4;
        } else {
            while self.filled <= 32 {
                let byte = self.bytes.get(self.next).copied().unwrap_or(0);
                self.window |= u64::from(byte) << (56 - self.filled);
                self.filled += 8;
                self.next += 1;
            }
        }
    }

    /// The next 32 bits, left in place.
    #[inline]
    pub fn peek(&mut self) -> u32 {
        if self.filled < 32 {
            self.fill();
        }
        (self.window >> 32) as u32
    }

    /// Moves past `count` (at most 32) bits that were [peeked](Self::peek) at.
    #[inline]
    pub fn skip(&mut self, count: u32) {
        self.window <<= count;
        self.filled -= count;
        self.read += u64::from(count);
    }

    /// Reads `count` (at most 32) bits.
    #[inline]
    pub fn read(&mut self, count: u32) -> u32 {
        let value = self.peek().checked_shr(32 - count).unwrap_or(0);
        self.skip(count);
        value
    }

    /// Whether more bits were read than there are.
    pub fn is_exhausted(&self) -> bool {
        self.read > self.bytes.len() as u64 * 8
    }

    /// Checks that what was read ends in the last byte, with zeros after it.
    pub fn finish(mut self) -> Result<(), CodeError> {
        let total = self.bytes.len() as u64 * 8;
        if self.read > total {
            return Err(CodeError::Ends { needed: self.read, found: total });
        }
        let rest = (total - self.read) as u32;
        if total - self.read >= 8 || self.read(rest) != 0 {
            return Err(CodeError::Trailing { read: self.read, found: total });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back_at_every_width() {
        let mut bytes = Vec::new();
        let mut writer = BitWriter::new(&mut bytes);
        let value = |i: u32| 0xdead_beef_u32.rotate_left(i) & (((1u64 << (i % 33)) - 1) as u32);
        for i in 0..200 {
            writer.write(value(i), i % 33);
        }
        let written = writer.finish();
        assert_eq!(bytes.len() as u64, written.div_ceil(8));
        let mut reader = BitReader::new(&bytes);
        for i in 0..200 {
            assert_eq!(reader.read(i % 33), value(i));
        }
        reader.finish().unwrap();
    }

    #[test]
    fn reading_past_the_end_is_refused_at_the_end() {
        let mut reader = BitReader::new(&[0xff]);
        reader.read(9);
        assert!(reader.is_exhausted());
        assert!(matches!(reader.finish(), Err(CodeError::Ends { needed: 9, found: 8 })));
    }

    #[test]
    fn unread_bytes_and_padding_that_is_not_zero_are_refused() {
        let mut reader = BitReader::new(&[0b1000_0000, 0]);
        reader.read(1);
        assert!(matches!(reader.finish(), Err(CodeError::Trailing { .. })));
        let mut reader = BitReader::new(&[0b1010_0000]);
        reader.read(1);
        assert!(matches!(reader.finish(), Err(CodeError::Trailing { .. })));
    }
}
