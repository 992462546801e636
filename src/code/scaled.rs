//! Few values, times a scale for every few weights: blocks of a row share one.
//!
//! A weight w in a block of scale s takes the value v of the [format](crate::number_format) that is nearest to w / s, and
//! stands for v·s, one product of float32, or the largest float32 where that is beyond it. The scale makes the block's
//! largest magnitude the format's largest value. Blocks are runs of `block` elements of a row; a row's last one may be
//! shorter, and each row begins one. Where a container's block begins within a row, so does one of these.
//!
//! The record is the number of the format's family, its bits, the number of the scales' type, and a varint, the elements
//! of a block. Scales are in the container's blocks, in front of the symbols.

use super::{Decode, Kind, Quantizer, Scales, TYPES, malformed};
use crate::entropy::{CodeError, Numbering, Rows};
use crate::number_format::{BITS, Family, numbered};
use crate::tensor::Dtype;
use crate::varint;
use serde::{Deserialize, Serialize};

/// Most elements that share a scale.
pub const MOST_IN_BLOCK: u32 = 1 << 20;

/// A number format with its blocks.
#[derive(Debug, Clone, PartialEq)]
pub struct Scaled {
    family: u8,
    bits: u8,
    scale: Dtype,
    block: u32,
    /// The format's values, ascending.
    values: Vec<f32>,
}

impl Scaled {
    /// `family`'s values of `bits` bits, with a scale of type `scale` for every `block` elements of a row.
    pub fn new(family: &Family, bits: u32, scale: Dtype, block: u32) -> Result<Self, CodeError> {
        if !(BITS.0..=BITS.1).contains(&bits) {
            return Err(malformed(format!("{} to {} bits", BITS.0, BITS.1), bits));
        }
        if !TYPES.contains(&scale) {
            return Err(malformed("scales of type F32, F16 or BF16", scale.name()));
        }
        if !(1..=MOST_IN_BLOCK).contains(&block) {
            return Err(malformed(format!("1 to {MOST_IN_BLOCK} weights to a scale"), block));
        }
        Ok(Self { family: family.number, bits: bits as u8, scale, block, values: (family.values)(bits) })
    }

    /// Reads a record behind its kind.
    pub(super) fn read(record: &[u8]) -> Result<Self, CodeError> {
        let short =
            || malformed("a format, its bits, a type and a length", format!("{} bytes", record.len()));
        let ([family, bits, scale], mut rest) = record.split_first_chunk().ok_or_else(short)?;
        let family = numbered(*family).ok_or_else(|| malformed("a known family of numbers", family))?;
        let scale =
            TYPES.get(usize::from(*scale)).ok_or_else(|| malformed("a type of scales below 3", scale))?;
        let block = varint::take(&mut rest).filter(|_| rest.is_empty()).ok_or_else(short)?;
        Self::new(family, u32::from(*bits), *scale, u32::try_from(block).unwrap_or(u32::MAX))
    }

    /// The symbol of zero.
    fn centre(&self) -> u16 {
        (self.values.len() / 2) as u16
    }

    /// What makes the block's largest magnitude the largest value, as it is stored.
    fn scale_of(&self, weights: &[f32]) -> f32 {
        let largest = weights.iter().fold(0.0f32, |largest, weight| largest.max(weight.abs()));
        self.scale.round_f32(largest / self.values.last().copied().unwrap_or(1.0))
    }

    /// Appends the symbols of `values` to `symbols`; the scales, as they are stored, with their type.
    pub(super) fn assign(&self, values: &[f32], rows: Rows, symbols: &mut Vec<u16>) -> (Dtype, Vec<u8>) {
        let nearest = Quantizer::nearest(self.values.clone());
        let (mut scales, mut scaled) = (Vec::new(), Vec::new());
        let mut rest = values;
        for len in runs(values.len(), rows, self.block) {
            let (weights, after) = rest.split_at(len.min(rest.len()));
            rest = after;
            let scale = self.scale_of(weights);
            scales.push(scale);
            if scale > 0.0 {
                scaled.clear();
                scaled.extend(weights.iter().map(|weight| weight / scale));
                nearest.symbols(&scaled, None, symbols);
            } else {
                symbols.resize(symbols.len() + len, self.centre());
            }
        }
        let mut bytes = Vec::new();
        self.scale.extend_bytes(&scales, &mut bytes);
        (self.scale, bytes)
    }
}

/// The lengths of the blocks of `count` elements that lie in their tensor as `rows` says.
fn runs(count: usize, rows: Rows, block: u32) -> impl Iterator<Item = usize> {
    let (mut left, mut in_row) = (count, if rows.length > 0 { rows.length - rows.start } else { count });
    std::iter::from_fn(move || {
        if left == 0 {
            return None;
        }
        if in_row == 0 {
            in_row = rows.length;
        }
        let len = left.min(in_row).min(block as usize);
        (left, in_row) = (left - len, in_row - len);
        Some(len)
    })
}

impl Decode for Scaled {
    fn kind(&self) -> Kind {
        Kind::Scaled
    }

    fn symbols(&self) -> usize {
        self.values.len()
    }

    fn numbering(&self) -> Numbering {
        Numbering { pruned: false, centre: self.centre() }
    }

    fn extend_values(&self, symbols: &[u16], scales: Scales<'_>, values: &mut Vec<f32>) {
        let mut factors = Vec::new();
        self.scale.extend_f32(scales.bytes, &mut factors);
        let mut rest = symbols;
        let lengths = runs(symbols.len(), scales.rows, self.block);
        for (len, scale) in lengths.zip(factors.into_iter().chain(std::iter::repeat(0.0))) {
            let (own, after) = rest.split_at(len.min(rest.len()));
            rest = after;
            let value = |symbol: &u16| self.values.get(usize::from(*symbol)).copied().unwrap_or(0.0);
            values.extend(own.iter().map(|symbol| (value(symbol) * scale).clamp(f32::MIN, f32::MAX)));
        }
    }

    fn scales(&self, symbols: usize, rows: Rows) -> Option<(Dtype, usize)> {
        Some((self.scale, runs(symbols, rows, self.block).count()))
    }

    fn write(&self, record: &mut Vec<u8>) {
        let scale = TYPES.iter().position(|dtype| *dtype == self.scale).unwrap_or(0);
        record.extend_from_slice(&[self.family, self.bits, scale as u8]);
        varint::put(u64::from(self.block), record);
    }
}

/// The format travels between page and workers as its record.
impl Serialize for Scaled {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut record = Vec::new();
        self.write(&mut record);
        record.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Scaled {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::read(&Vec::<u8>::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::code::Codebook;
    use crate::number_format::{FAMILIES, find};

    fn integers(bits: u32, block: u32) -> Scaled {
        Scaled::new(find("integer").unwrap(), bits, Dtype::F32, block).unwrap()
    }

    fn rows(length: usize, start: usize) -> Rows {
        Rows { length, start, ..Rows::default() }
    }

    #[test]
    fn blocks_begin_anew_at_every_row_and_run() {
        let lengths = |count, length, start| runs(count, rows(length, start), 4).collect::<Vec<_>>();
        assert_eq!(lengths(10, 0, 0), [4, 4, 2]);
        assert_eq!(lengths(12, 6, 0), [4, 2, 4, 2]);
        assert_eq!(lengths(9, 6, 1), [4, 1, 4]);
        assert_eq!(lengths(0, 6, 0), [0usize; 0]);
    }

    #[test]
    fn every_weight_takes_the_nearest_value_times_its_blocks_scale() {
        let code = integers(3, 2);
        let weights = [0.3, -0.6, 0.0, 0.0, 9.0, 2.9];
        let mut symbols = Vec::new();
        let (_, scales) = code.assign(&weights, Rows::default(), &mut symbols);
        assert_eq!(symbols, [5, 0, 3, 3, 6, 4]);
        let mut values = Vec::new();
        code.extend_values(&symbols, Scales { bytes: &scales, rows: Rows::default() }, &mut values);
        let step = 0.6f32 / 3.0;
        assert_eq!(values, [2.0 * step, -3.0 * step, 0.0, 0.0, 9.0, 3.0]);
        assert_eq!(code.scales(6, Rows::default()), Some((Dtype::F32, 3)));
    }

    #[test]
    fn the_error_is_at_most_half_the_distance_of_values() {
        let weights: Vec<f32> = (0..1000).map(|i| ((i * 37 % 101) as f32 - 50.0) * 1e-3).collect();
        for family in FAMILIES {
            for scale in TYPES {
                let code = Scaled::new(family, 6, scale, 32).unwrap();
                let (mut symbols, mut values) = (Vec::new(), Vec::new());
                let (_, scales) = code.assign(&weights, rows(100, 0), &mut symbols);
                code.extend_values(&symbols, Scales { bytes: &scales, rows: rows(100, 0) }, &mut values);
                let widest = code.values.windows(2).map(|pair| pair[1] - pair[0]).fold(0.0, f32::max);
                let most = 0.05 / code.values.last().unwrap() * (widest / 2.0 + 0.3);
                let worst = weights.iter().zip(&values).map(|(w, v)| (w - v).abs()).fold(0.0, f32::max);
                assert!(worst <= most, "{} {}: {worst} above {most}", family.id, scale.name());
            }
        }
    }

    #[test]
    fn a_record_reads_back_and_a_wrong_one_is_refused() {
        let code = Codebook::Scaled(integers(4, 300));
        assert_eq!(code.to_bytes(), [2, 0, 4, 0, 0xac, 2]);
        assert_eq!(Codebook::from_bytes(&code.to_bytes()).unwrap(), code);
        for bytes in
            [&[2, 0, 4, 0][..], &[2, 9, 4, 0, 1], &[2, 0, 9, 0, 1], &[2, 0, 4, 3, 1], &[2, 0, 4, 0, 0]]
        {
            assert!(Codebook::from_bytes(bytes).is_err(), "{bytes:?}");
        }
        assert!(Codebook::from_bytes(&[2, 0, 4, 0, 1, 0]).is_err());
        assert!(Codebook::from_bytes(&[2, 0, 4, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]).is_err());
    }

    #[test]
    fn the_largest_weights_stay_finite() {
        let code = Scaled::new(find("integer").unwrap(), 4, Dtype::Bf16, 4).unwrap();
        let (mut symbols, mut values) = (Vec::new(), Vec::new());
        let (_, scales) = code.assign(&[f32::MAX, f32::MIN, 0.0], Rows::default(), &mut symbols);
        code.extend_values(&symbols, Scales { bytes: &scales, rows: Rows::default() }, &mut values);
        assert!(values.iter().all(|value| value.is_finite()) && values[0] > 3.3e38, "{values:?}");
    }

    #[test]
    fn missing_scales_are_zero() {
        let mut values = Vec::new();
        integers(4, 2).extend_values(&[0, 14, 1], Scales::default(), &mut values);
        assert_eq!(values, [0.0; 3]);
    }
}
