//! Bits in bytes, most significant bit first.
//!
//! The first bit written is the top bit of the first byte. With this order a canonical prefix code compares like a
//! number, which makes its decoder a table look-up on the next few bits. Both ends work on a 64-bit buffer.
//!
//! Small integers of tables use the exponential Golomb code of order k (Teuhola 1978): `v + 2^k` in binary, preceded by
//! as many zeros as it has bits beyond k + 1.

use super::{CodeError, damaged};

/// Appends bits to a byte vector.
#[derive(Debug)]
pub struct BitWriter<'a> {
    out: &'a mut Vec<u8>,
    start: usize,
    /// Bits not yet in `out`, from the top; fewer than 32 between calls.
    buffer: u64,
    filled: u32,
}

impl<'a> BitWriter<'a> {
    /// Starts at the end of `out`, on a byte boundary.
    pub fn new(out: &'a mut Vec<u8>) -> Self {
        let start = out.len();
        Self { out, start, buffer: 0, filled: 0 }
    }

    /// Writes the low `count` bits of `value`; `count` ≤ 32 and the higher bits of `value` are zero.
    #[inline]
    pub fn write(&mut self, value: u32, count: u32) {
        debug_assert!(count <= 32 && u64::from(value) >> count == 0);
        self.buffer |= (u64::from(value) << (63 - self.filled - count)) << 1;
        self.filled += count;
        if self.filled >= 32 {
            self.out.extend_from_slice(&((self.buffer >> 32) as u32).to_be_bytes());
            self.buffer <<= 32;
            self.filled -= 32;
        }
    }

    /// Writes `value` in the exponential Golomb code of `order` (at most 30).
    pub fn write_golomb(&mut self, value: u32, order: u32) {
        let shifted = u64::from(value) + (1 << order);
        let below_top = shifted.ilog2();
        self.write(0, below_top - order);
        self.write(1, 1);
        self.write((shifted - (1 << below_top)) as u32, below_top);
    }

    /// Number of bits written so far.
    pub fn bits(&self) -> u64 {
        (self.out.len() - self.start) as u64 * 8 + u64::from(self.filled)
    }

    /// Fills the last byte with zeros; returns the number of bits before that.
    pub fn finish(self) -> u64 {
        let bits = self.bits();
        let bytes = self.buffer.to_be_bytes();
        self.out.extend(bytes.iter().take(self.filled.div_ceil(8) as usize));
        bits
    }
}

/// Number of bits that `value` takes in the exponential Golomb code of `order`.
pub const fn golomb_bits(value: u32, order: u32) -> u32 {
    2 * (value as u64 + (1 << order)).ilog2() + 1 - order
}

/// Reads bits from a byte slice.
#[derive(Debug, Clone)]
pub struct BitReader<'a> {
    bytes: &'a [u8],
    /// Next byte to load.
    next: usize,
    /// Loaded bits, from the top. Bits below the valid ones are either zero or already the bits that follow.
    buffer: u64,
    /// Number of valid bits.
    filled: u32,
}

impl<'a> BitReader<'a> {
    /// Starts at the first bit of `bytes`.
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, next: 0, buffer: 0, filled: 0 }
    }

    /// Loads bits; returns whether at least 56 are valid. Otherwise all that are left are, with zeros after them.
    #[inline]
    pub fn refill(&mut self) -> bool {
        let rest = self.bytes.get(self.next..).unwrap_or_default();
        if let Some(chunk) = rest.first_chunk() {
            self.buffer |= u64::from_be_bytes(*chunk) >> self.filled;
            let taken = (63 - self.filled) >> 3;
            self.next += taken as usize;
            self.filled += taken * 8;
            return true;
        }
        for byte in rest {
            if self.filled > 56 {
                break;
            }
            self.buffer |= u64::from(*byte) << (56 - self.filled);
            self.filled += 8;
            self.next += 1;
        }
        self.filled >= 56
    }

    /// The next `count` ≤ 32 bits, without passing them; zeros stand in for bits after the end.
    #[inline]
    pub const fn peek(&self, count: u32) -> u32 {
        ((self.buffer >> 1) >> (63 - count)) as u32
    }

    /// Passes `count` ≤ 56 bits that the caller knows to be valid.
    #[inline]
    pub(crate) const fn skip_valid(&mut self, count: u32) {
        self.buffer <<= count;
        self.filled = self.filled.wrapping_sub(count);
    }

    /// Passes `count` ≤ 56 bits; an error if the stream ends before.
    #[inline]
    pub fn skip(&mut self, count: u32) -> Result<(), CodeError> {
        if count > self.filled {
            self.refill();
            if count > self.filled {
                return Err(damaged(
                    "bit stream",
                    format!("{count} more bits"),
                    format!("{} bits left", self.filled),
                ));
            }
        }
        self.skip_valid(count);
        Ok(())
    }

    /// Reads `count` ≤ 32 bits.
    #[inline]
    pub fn read(&mut self, count: u32) -> Result<u32, CodeError> {
        self.refill();
        let value = self.peek(count);
        self.skip(count)?;
        Ok(value)
    }

    /// Reads a number in the exponential Golomb code of `order` (at most 30).
    pub fn read_golomb(&mut self, order: u32) -> Result<u32, CodeError> {
        self.refill();
        let zeros = self.peek(32).leading_zeros();
        let below_top = zeros + order;
        if below_top > 31 {
            return Err(damaged("exponential Golomb code", "a number below 2^31", "a longer one"));
        }
        self.skip(zeros + 1)?;
        let low = u64::from(self.read(below_top)?);
        Ok(((1 << below_top) + low - (1 << order)) as u32)
    }

    /// Number of bits read so far.
    pub const fn bits(&self) -> u64 {
        self.next as u64 * 8 - self.filled as u64
    }

    /// The bytes behind the one that the next bit is in, or behind the last bit read where that filled its byte.
    pub fn rest(&self) -> &'a [u8] {
        self.bytes.get(self.bits().div_ceil(8) as usize..).unwrap_or_default()
    }

    /// Checks that only the zero bits that fill the last byte are left; returns the number of bits read.
    pub fn finish(mut self) -> Result<u64, CodeError> {
        self.refill();
        let left = self.bytes.len() as u64 * 8 - self.bits();
        if left >= 8 {
            return Err(damaged("bit stream", "its end", format!("{left} more bits")));
        }
        if self.peek(left as u32) != 0 {
            return Err(damaged("bit stream", "zero bits in the rest of the last byte", "other bits"));
        }
        Ok(self.bits())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(fields: &[(u32, u32)]) -> (Vec<u8>, u64) {
        let mut bytes = vec![0xee];
        let mut writer = BitWriter::new(&mut bytes);
        for (value, count) in fields {
            writer.write(*value, *count);
        }
        let bits = writer.finish();
        (bytes.split_off(1), bits)
    }

    #[test]
    fn the_first_bit_is_the_top_bit_of_the_first_byte() {
        assert_eq!(written(&[(1, 1), (0b01, 2), (0x3ff, 10)]), (vec![0b1011_1111, 0b1111_1000], 13));
        assert_eq!(written(&[]), (vec![], 0));
        assert_eq!(written(&[(0, 0), (u32::MAX, 32), (0, 0)]), (vec![255; 4], 32));
    }

    #[test]
    fn fields_of_every_width_read_back() {
        let fields: Vec<(u32, u32)> = (0..500u32)
            .map(|i| (i.wrapping_mul(2_654_435_761), i * 7 % 33))
            .map(|(value, count)| (if count == 0 { 0 } else { value >> (32 - count) }, count))
            .collect();
        let (bytes, bits) = written(&fields);
        let mut reader = BitReader::new(&bytes);
        for (value, count) in fields {
            assert_eq!(reader.read(count), Ok(value));
        }
        assert_eq!(reader.finish(), Ok(bits));
    }

    #[test]
    fn golomb_codes_read_back_at_their_stated_length() {
        for order in 0..=30 {
            for value in [0, 1, 2, 3, 7, 8, 1000, 65535, (1 << 31) - 1 - (1 << order)] {
                let mut bytes = Vec::new();
                let mut writer = BitWriter::new(&mut bytes);
                writer.write_golomb(value, order);
                assert_eq!(writer.finish(), u64::from(golomb_bits(value, order)));
                assert_eq!(BitReader::new(&bytes).read_golomb(order), Ok(value));
            }
        }
        assert!(BitReader::new(&[0; 9]).read_golomb(0).is_err());
    }

    #[test]
    fn reading_past_the_end_is_refused() {
        let mut reader = BitReader::new(&[0xff]);
        assert!(reader.read(9).is_err());
        assert_eq!(reader.read(8), Ok(255));
        assert!(reader.read(1).is_err());
        assert_eq!(reader.read(0), Ok(0));
    }

    #[test]
    fn leftovers_are_refused() {
        let mut reader = BitReader::new(&[0b1000_0001, 0]);
        assert_eq!(reader.read(1), Ok(1));
        assert!(reader.clone().finish().is_err());
        assert_eq!(reader.read(6), Ok(0));
        assert!(reader.clone().finish().is_err());
        assert_eq!(reader.read(2), Ok(2));
        assert_eq!(reader.finish(), Ok(9));
    }
}
