//! Few values, times a scale for every few weights: blocks of a row share one.
//!
//! A weight w in a block of scale s takes the value v of the [format](crate::number_format) that w / s is rounded to, and stands
//! for v·s, one product of float32, or the largest float32 where that is beyond it. Of affine integers the block has a
//! minimum m beside its scale, and a weight stands for v·s + m, a product and a sum. [`fit`] says which scale a block gets.
//! Blocks are runs of `block` elements of a row; a row's last one may be shorter, and each row begins one. Where a container's
//! block begins within a row, so does one of these. Scales that are integers are times a float16 of their super-block, and so
//! are minima times another: a run of [`SUPER_BLOCK`](scale::SUPER_BLOCK) elements of a row, cut as blocks are, that is cut
//! into blocks in turn.
//!
//! The record is that of the format, the number of the [scales' type](ScaleType), a varint, the elements of a block, where
//! blocks have scales, and the tensor's factor, float32, where it has one. Scales are in the container's blocks, in front of
//! the symbols, and behind them their minima, then the float16s of super-blocks, all low bytes before the high ones, which are
//! alike.

pub mod fit;
pub mod scale;
mod super_block;
mod sweep;

pub use fit::{Fit, ScaledCode};
pub use scale::ScaleType;

use super::{Decode, Kind, Scales, malformed};
use crate::entropy::{CodeError, MAX_ALPHABET, Numbering, Rows};
use crate::number_format::{Format, FormatError};
use crate::tensor::Dtype;
use crate::varint;

/// Most elements that share a scale.
pub const MOST_IN_BLOCK: u32 = 1 << 20;

/// A number format with its blocks.
#[derive(Debug, Clone, PartialEq)]
pub struct Scaled {
    format: Format,
    scale: ScaleType,
    block: u32,
    /// What all scales of the tensor are multiplied by.
    factor: f32,
    /// The format's values, ascending.
    values: Vec<f32>,
}

impl Scaled {
    /// The values of `format`, with a scale of type `scale` for every `block` elements of a row.
    pub fn new(format: Format, scale: ScaleType, block: u32) -> Result<Self, CodeError> {
        let values = format.values();
        if !(1..=MAX_ALPHABET).contains(&values.len()) {
            return Err(malformed("a number format of at most 65536 values", format));
        }
        if !(1..=MOST_IN_BLOCK).contains(&block) {
            return Err(malformed(format!("1 to {MOST_IN_BLOCK} weights to a scale"), block));
        }
        if scale.integer().is_some() && block > scale::SUPER_BLOCK {
            let expected = format!("1 to {} weights to a scale of two levels", scale::SUPER_BLOCK);
            return Err(malformed(expected, block));
        }
        if is_affine(&format) && !scale.allows_minima() {
            return Err(malformed(
                "scales and minima of floats of two or four bytes or integers",
                scale.id(),
            ));
        }
        let block = if scale.dtype().is_some() { block } else { MOST_IN_BLOCK };
        Ok(Self { format, scale, block, factor: 1.0, values })
    }

    /// The same for a tensor whose largest magnitude is `largest`.
    pub fn of_tensor(self, largest: f32) -> Self {
        let factor = self.scale.factor(largest, self.extreme().abs());
        Self { factor, ..self }
    }

    /// Most elements that share a scale.
    pub const fn block(&self) -> u32 {
        self.block
    }

    /// What all scales of the tensor are multiplied by.
    pub const fn factor(&self) -> f32 {
        self.factor
    }

    /// The type of its scales.
    pub const fn scale_type(&self) -> ScaleType {
        self.scale
    }

    /// The format's values, ascending.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    /// Whether blocks have a minimum beside their scale.
    pub fn has_minima(&self) -> bool {
        is_affine(&self.format)
    }

    /// Whether a scale takes the sign with which the largest magnitude becomes the [extreme](Self::extreme).
    pub fn is_signed(&self) -> bool {
        self.scale.is_signed() && self.extreme() < 0.0
    }

    /// The value that a block's largest magnitude becomes: the largest, unless the least is further from zero. Of posits it is
    /// useed, 2^(2^es), below which they have the most fraction bits: their largest has none beside it for a factor of useed.
    pub fn extreme(&self) -> f32 {
        if let Format::Posit(posit) = self.format {
            return (1u32 << (1 << posit.exponent)) as f32;
        }
        let (least, most) = (self.values.first().copied(), self.values.last().copied());
        let (least, most) = (least.unwrap_or(0.0), most.unwrap_or(0.0));
        if -least > most { least } else { most }
    }

    /// Reads a record behind its kind.
    pub(super) fn read(record: &[u8]) -> Result<Self, CodeError> {
        let mut rest = record;
        let format = Format::from_record(&mut rest).map_err(|error| {
            let FormatError { part, expected, found } = error;
            malformed(format!("{part} of {expected}"), found)
        })?;
        let short =
            || malformed("a format, the type of its scales and a length", format!("{} bytes", record.len()));
        let (scale, mut rest) = rest.split_first().ok_or_else(short)?;
        let scale = ScaleType::ALL.get(usize::from(*scale)).copied();
        let scale = scale.ok_or_else(|| {
            malformed(format!("a type of scales below {}", ScaleType::ALL.len()), "another")
        })?;
        let block = match scale.dtype() {
            Some(_) => varint::take(&mut rest).ok_or_else(short)?,
            None => u64::from(MOST_IN_BLOCK),
        };
        let code = Self::new(format, scale, u32::try_from(block).unwrap_or(u32::MAX))?;
        let factor = if scale.has_factor() {
            let (bytes, after) = rest.split_first_chunk().ok_or_else(short)?;
            rest = after;
            f32::from_le_bytes(*bytes)
        } else {
            1.0
        };
        if !(factor > 0.0 && factor.is_finite()) {
            return Err(malformed("a positive factor of a tensor", factor));
        }
        if rest.is_empty() { Ok(Self { factor, ..code }) } else { Err(short()) }
    }

    /// Most elements that share what is stored of them: a super-block, or a block where scales have one level.
    const fn reach(&self) -> u32 {
        if self.scale.integer().is_some() { scale::SUPER_BLOCK } else { self.block }
    }

    /// Numbers of blocks and super-blocks of `count` elements; no super-blocks where scales have one level.
    fn stored(&self, count: usize, rows: Rows) -> (usize, usize) {
        let super_blocks = match self.scale.integer() {
            Some(_) => runs(count, rows, scale::SUPER_BLOCK).count(),
            None => 0,
        };
        (self.blocks(count, rows).count(), super_blocks)
    }

    /// The lengths of the blocks of `count` elements, each with the number of its super-block, its own where there are none.
    fn blocks(&self, count: usize, rows: Rows) -> impl Iterator<Item = (usize, usize)> {
        let block = self.block as usize;
        let cut = move |(at, len): (usize, usize)| {
            (0..len).step_by(block).map(move |from| (block.min(len - from), at))
        };
        runs(count, rows, self.reach()).enumerate().flat_map(cut)
    }

    /// The symbol of the value that is nearest to zero; of affine integers the one in the middle.
    fn centre(&self) -> u16 {
        if self.has_minima() {
            return (self.values.len() / 2) as u16;
        }
        let above = self.values.partition_point(|value| *value < 0.0);
        let size = |at: usize| self.values.get(at).map_or(f32::INFINITY, |value| value.abs());
        let below = above.saturating_sub(1);
        (if size(below) < size(above) { below } else { above }) as u16
    }
}

const fn is_affine(format: &Format) -> bool {
    matches!(format, Format::Integer(integer) if integer.affine)
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

/// What a value stands for.
fn decoded(value: f32, scale: f32, minimum: Option<f32>) -> f32 {
    let product = value * scale;
    minimum.map_or(product, |minimum| product + minimum).clamp(f32::MIN, f32::MAX)
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
        let value = |symbol: &u16| self.values.get(usize::from(*symbol)).copied().unwrap_or(0.0);
        let Some(size) = self.scale.dtype().map(Dtype::size_bytes) else {
            return values.extend(symbols.iter().map(|symbol| decoded(value(symbol), self.factor, None)));
        };
        let (count, super_blocks) = self.stored(symbols.len(), scales.rows);
        let own = scales.bytes.len().min(count * (1 + usize::from(self.has_minima())) * size as usize);
        let (own, factors) = scales.bytes.split_at(own);
        let (mut stored, mut float16s) = (Vec::new(), Vec::new());
        self.scale.extend_scales(own, &mut stored);
        let (low, high) = factors.split_at(factors.len() / 2);
        let float16: Vec<u8> = low.iter().zip(high).flat_map(|(low, high)| [*low, *high]).collect();
        Dtype::F16.extend_f32(&float16, &mut float16s);
        let number = |numbers: &[f32], at: usize| numbers.get(at).copied().unwrap_or(0.0);
        let factor = |at: usize, of_tensor: f32| {
            if super_blocks > 0 { number(&float16s, at) } else { of_tensor }
        };
        let mut rest = symbols;
        for (at, (len, super_block)) in self.blocks(symbols.len(), scales.rows).enumerate() {
            let (own, after) = rest.split_at(len.min(rest.len()));
            rest = after;
            let scale = number(&stored, at) * factor(super_block, self.factor);
            let minimum = || number(&stored, count + at) * factor(super_blocks + super_block, 1.0);
            let minimum = self.has_minima().then(minimum);
            values.extend(own.iter().map(|symbol| decoded(value(symbol), scale, minimum)));
        }
    }

    fn scales(&self, symbols: usize, rows: Rows) -> Option<(Dtype, usize)> {
        let dtype = self.scale.dtype()?;
        let (blocks, super_blocks) = self.stored(symbols, rows);
        Some((dtype, (blocks + 2 * super_blocks) * (1 + usize::from(self.has_minima()))))
    }

    fn write(&self, record: &mut Vec<u8>) {
        self.format.to_record(record);
        record.push(ScaleType::ALL.iter().position(|scale| *scale == self.scale).unwrap_or(0) as u8);
        if self.scale.dtype().is_some() {
            varint::put(u64::from(self.block), record);
        }
        if self.scale.has_factor() {
            record.extend_from_slice(&self.factor.to_le_bytes());
        }
    }
}

#[cfg(test)]
mod tests;
