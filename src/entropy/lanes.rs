//! Lanes: elements as unsigned integers, arranged so that what can be predicted is on top.
//!
//! A float becomes exponent, mantissa, sign, from the top: its bits turned left by one. A signed integer is folded (0, −1,
//! 1, −2 … are 0, 1, 2, 3 …), an unsigned one stays. A complex number is two lanes. The *level* of a lane is its logarithm:
//! a float's exponent field, an integer's number of bits.

use crate::tensor::Dtype;

/// What a lane's bits mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// With this many exponent bits.
    Float(u32),
    Signed,
    Unsigned,
}

/// How the elements of a type are arranged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lane {
    kind: Kind,
    /// Bytes of a lane.
    pub(super) bytes: usize,
    /// Lanes per element.
    pub(super) per_element: usize,
}

impl Lane {
    /// The lane of an element type.
    pub(super) const fn of(dtype: Dtype) -> Self {
        let kind = match dtype {
            Dtype::F64 | Dtype::C128 => Kind::Float(11),
            Dtype::F32 | Dtype::C64 | Dtype::Bf16 => Kind::Float(8),
            Dtype::F16 | Dtype::F8E5M2 => Kind::Float(5),
            Dtype::F8E4M3 => Kind::Float(4),
            Dtype::I64 | Dtype::I32 | Dtype::I16 | Dtype::I8 => Kind::Signed,
            Dtype::U64 | Dtype::U32 | Dtype::U16 | Dtype::U8 | Dtype::Bool | Dtype::F8E8M0 => Kind::Unsigned,
        };
        let per_element = if matches!(dtype, Dtype::C64 | Dtype::C128) { 2 } else { 1 };
        Self { kind, bytes: dtype.size_bytes() as usize / per_element, per_element }
    }

    /// Bits of a lane.
    const fn width(self) -> u32 {
        8 * self.bytes as u32
    }

    /// The lane of little-endian bytes.
    pub(super) fn lane(self, bytes: &[u8]) -> u64 {
        let bits = bytes.iter().rev().fold(0, |bits, byte| bits << 8 | u64::from(*byte));
        let above = 64 - self.width();
        match self.kind {
            Kind::Float(_) => (bits << 1 | bits >> (self.width() - 1)) & (u64::MAX >> above),
            Kind::Signed => {
                let signed = (bits << above) as i64;
                ((signed << 1 ^ signed >> 63) as u64) >> above
            }
            Kind::Unsigned => bits,
        }
    }

    /// Appends the little-endian bytes of a lane.
    pub(super) fn write(self, lane: u64, out: &mut Vec<u8>) {
        let bits = match self.kind {
            Kind::Float(_) => lane >> 1 | (lane & 1) << (self.width() - 1),
            Kind::Signed => lane >> 1 ^ (lane & 1).wrapping_neg(),
            Kind::Unsigned => lane,
        };
        out.extend(bits.to_le_bytes().iter().take(self.bytes));
    }

    /// The logarithm of a lane.
    pub(super) const fn level(self, lane: u64) -> u32 {
        match self.kind {
            Kind::Float(exponent) => (lane >> (self.width() - exponent)) as u32,
            Kind::Signed | Kind::Unsigned => u64::BITS - lane.leading_zeros(),
        }
    }

    /// Whether the number is zero, of either sign.
    pub(super) const fn is_zero(self, lane: u64) -> bool {
        match self.kind {
            Kind::Float(_) => lane <= 1,
            Kind::Signed | Kind::Unsigned => lane == 0,
        }
    }

    /// Whether there is a negative zero.
    pub(super) const fn has_signed_zero(self) -> bool {
        matches!(self.kind, Kind::Float(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lanes_of_every_type_turn_back_into_their_bytes() {
        for dtype in Dtype::ALL {
            let lane = Lane::of(dtype);
            assert_eq!((lane.bytes * lane.per_element) as u64, dtype.size_bytes());
            for seed in 0..2000u64 {
                let bits = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (seed % 3).wrapping_neg();
                let bytes = &bits.to_le_bytes()[..lane.bytes];
                let code = lane.lane(bytes);
                assert!(lane.bytes == 8 || code >> (8 * lane.bytes) == 0, "{dtype:?}");
                let mut out = Vec::new();
                lane.write(code, &mut out);
                assert_eq!(out, bytes, "{dtype:?}");
            }
        }
    }

    #[test]
    fn exponents_are_on_top_and_small_integers_small() {
        let float = Lane::of(Dtype::F32);
        assert_eq!(float.lane(&(-1.5f32).to_le_bytes()), 0x7f80_0001);
        assert_eq!(float.level(float.lane(&(-1.5f32).to_le_bytes())), 127);
        assert!(float.is_zero(float.lane(&(-0.0f32).to_le_bytes())));
        let integer = Lane::of(Dtype::I16);
        let folded = [0i16, -1, 1, -2, i16::MAX, i16::MIN].map(|i| integer.lane(&i.to_le_bytes()));
        assert_eq!(folded, [0, 1, 2, 3, 65534, 65535]);
        assert_eq!(folded.map(|lane| integer.level(lane)), [0, 1, 2, 2, 16, 16]);
    }
}
