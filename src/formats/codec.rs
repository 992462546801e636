//! Codes that stand for elements: how each is turned into bytes, a row for each.
//!
//! A code stands for a block of elements, which is one element where the code varies in length. Elements are decoded once, whole,
//! up to a limit; the bytes are those that the tensor's type says, little-endian.

use super::protobuf::Wire;
use super::{FormatError, Source};
use crate::tensor::{Codec, Span, Tensor};

/// What a code is made of: a block of elements, of as many bytes everywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Unit {
    /// Elements that it stands for.
    pub(crate) elements: u64,
    /// Its bytes.
    pub(crate) bytes: u64,
}

/// How a code is read.
struct Row {
    codec: Codec,
    /// Elements of a block.
    elements: u64,
    /// The fewest bytes of a block, which bound the elements that a file can hold.
    bytes: u64,
    decode: Decode,
}

/// The elements that codes stand for, each of `size` bytes, at most as many bytes as `total`; the codes behind them are left.
type Decode =
    fn(source: &dyn Source, codes: &mut Span, size: u64, total: u64) -> Result<Vec<u8>, FormatError>;

static CODECS: [Row; 1] = [Row { codec: Codec::Varints, elements: 1, bytes: 1, decode: varints }];

impl Codec {
    /// Its number in a compressed file.
    pub(crate) const fn number(self) -> u8 {
        match self {
            Self::Varints => 0,
        }
    }

    /// The codec of this number.
    pub(crate) fn from_number(number: u8) -> Option<Self> {
        CODECS.iter().map(|row| row.codec).find(|codec| codec.number() == number)
    }

    /// Appends the little-endian elements of whole units to `out`; nothing for a codec without units.
    pub(crate) fn decode_units(self, _codes: &[u8], _out: &mut Vec<u8>) {
        match self {
            Self::Varints => {}
        }
    }

    /// Elements and bytes of a unit, where all have as many.
    pub(crate) const fn unit(self) -> Option<Unit> {
        match self {
            Self::Varints => None,
        }
    }

    /// What so many elements need, where so many bytes of codes cannot be theirs.
    pub(crate) fn misfit(self, elements: u64, bytes: u64) -> Option<String> {
        match self.unit() {
            Some(unit) => {
                let own = elements.div_ceil(unit.elements).saturating_mul(unit.bytes);
                (own != bytes).then(|| format!("{own} bytes of codes"))
            }
            None => (bytes < elements || bytes > elements.saturating_mul(10))
                .then(|| format!("1 to 10 bytes of codes for each of {elements} elements")),
        }
    }

    /// All elements of `tensor`, whose codes lie at `span`; refused beyond `limit` bytes, and where the codes are not as many.
    pub(super) fn decode(
        self,
        source: &dyn Source,
        part: &str,
        mut span: Span,
        tensor: &Tensor,
        limit: u64,
    ) -> Result<Vec<u8>, FormatError> {
        let [first, ..] = &CODECS;
        let row = CODECS.iter().find(|row| row.codec == self).unwrap_or(first);
        let (count, size) = (tensor.len(), tensor.dtype.size_bytes());
        let total = count * size;
        let most = (span.len / row.bytes).saturating_mul(row.elements);
        if total > limit || count > most {
            let expected = format!("{count} numbers in {} bytes", span.len);
            return Err(FormatError::damaged(part, expected, "fewer, or more than can be held"));
        }
        let out = (row.decode)(source, &mut span, size, total)?;
        if span.len > 0 || out.len() as u64 != total {
            return Err(FormatError::damaged(part, format!("{count} numbers"), "another count"));
        }
        Ok(out)
    }
}

/// Protobuf varints, each cut to an element's size.
fn varints(source: &dyn Source, codes: &mut Span, size: u64, total: u64) -> Result<Vec<u8>, FormatError> {
    let mut wire = Wire::new(source, "typed data of an ONNX model");
    let mut out = Vec::new();
    while codes.len > 0 && (out.len() as u64) < total {
        let value = wire.varint(codes)?.to_le_bytes();
        out.extend(value.get(..size as usize).unwrap_or_default());
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::{Dtype, Storage};

    fn decoded(bytes: &[u8], count: u64, limit: u64) -> Result<Vec<u8>, String> {
        let span = Span { offset: 0, len: bytes.len() as u64 };
        let tensor = Tensor::plain(
            "w".to_owned(),
            vec![count],
            Dtype::F16,
            Storage::Encoded { span, codec: Codec::Varints, len: 2 * count },
        );
        let out = Codec::Varints.decode(&bytes.to_vec(), "tensor w", span, &tensor, limit);
        out.map_err(|error| error.to_string())
    }

    #[test]
    fn varints_are_cut_to_their_elements() {
        // 1, 0x3c00, 0x1c000.
        let codes = [1, 0x80, 0x78, 0x80, 0x80, 0x07];
        assert_eq!(decoded(&codes, 3, 100).unwrap(), [1, 0, 0, 0x3c, 0, 0xc0]);
    }

    #[test]
    fn other_counts_and_more_than_can_be_held_are_refused() {
        assert_eq!(
            decoded(&[1, 2, 3], 2, 100).unwrap_err(),
            "tensor w: expected 2 numbers, found another count"
        );
        assert_eq!(
            decoded(&[0x80, 1], 2, 100).unwrap_err(),
            "tensor w: expected 2 numbers, found another count"
        );
        for (count, limit) in [(4, 100), (3, 5)] {
            let sentence = decoded(&[1, 2, 3], count, limit).unwrap_err();
            let expected = "numbers in 3 bytes, found fewer, or more than can be held";
            assert!(sentence.ends_with(expected), "{sentence}");
        }
        assert!(decoded(&[1, 0x80], 2, 100).is_err());
    }

    #[test]
    fn every_codec_has_one_row() {
        for row in &CODECS {
            assert_eq!(CODECS.iter().filter(|other| other.codec == row.codec).count(), 1);
        }
    }
}
