//! Number formats: which values few bits can stand for, and which of them a number becomes.
//!
//! A [`Format`] is one of five families, a file each: [`float`], [`fixed`] point, [`integer`]s, [`posit`]s, and [`table`]s of
//! values. Each says what a code stands for ([`Format::decode`], the definition) and how a number is rounded; a test holds
//! the second to the first for every format of up to 16 bits. Formats have [`names`], which recipes, flags and the page
//! use. Integers and tables are relative to a scale; the others have one of their own, and may have another on top.
//!
//! A [`Family`] is one format for every number of bits, so that a sweep over bits draws it as one curve.
//!
//! ```
//! use quantscope::number_format::{Format, Scale};
//!
//! let e4m3 = Format::parse("e4m3")?;
//! assert_eq!((e4m3.bits(), e4m3.largest(), e4m3.values().len()), (8, 448.0, 253));
//! let rounder = e4m3.rounder(Scale::default())?;
//! let mut numbers = [0.3, -1000.0, 1e-9];
//! let counts = rounder.round_slice(&mut numbers, 0);
//! assert_eq!(numbers, [0.3125, -448.0, -0.0]);
//! assert_eq!((counts.saturated, counts.underflowed), (1, 1));
//! # Ok::<(), quantscope::number_format::FormatError>(())
//! ```

pub mod family;
pub mod fixed;
pub mod float;
pub mod integer;
pub mod names;
#[cfg(test)]
mod peers;
pub mod posit;
mod record;
#[cfg(test)]
mod reference;
pub mod rounder;
pub mod rounding;
pub mod table;

pub use family::{FAMILIES, Family};
pub use rounder::{Rounder, Visitor};
pub use rounding::{Counts, Round, Rounding, Scale};

use crate::order;

/// Most bits of a format whose values are listed.
const MOST_LISTED_BITS: u32 = 16;

/// Why there is no such format.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{part}: expected {expected}, found {found}")]
pub struct FormatError {
    /// Which number or word.
    pub part: String,
    /// What it can be.
    pub expected: String,
    /// What it is.
    pub found: String,
}

#[cold]
#[allow(clippy::needless_pass_by_value, reason = "callers pass numbers and words alike")]
fn wrong(part: &str, expected: impl ToString, found: impl ToString) -> FormatError {
    FormatError { part: part.to_owned(), expected: expected.to_string(), found: found.to_string() }
}

/// A number format.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Format {
    /// Floating point.
    Float(float::Float),
    /// Fixed point.
    Fixed(fixed::Fixed),
    /// Integers, relative to a scale.
    Integer(integer::Integer),
    /// Posits.
    Posit(posit::Posit),
    /// Values that are looked up, relative to a scale.
    Table(table::Table),
}

impl Format {
    /// Bits of a value.
    pub const fn bits(&self) -> u32 {
        match self {
            Self::Float(float) => float.bits(),
            Self::Fixed(fixed) => fixed.bits(),
            Self::Integer(integer) => integer.bits,
            Self::Posit(posit) => posit.bits,
            Self::Table(table) => table.bits(),
        }
    }

    /// Whether values are relative to a scale, without which they say nothing of a number's size.
    pub const fn needs_scale(&self) -> bool {
        matches!(self, Self::Integer(_) | Self::Table(_))
    }

    /// What the lowest [`bits`](Self::bits) of a code stand for: the definition of the format.
    pub fn decode(&self, code: u32) -> f32 {
        match self {
            Self::Float(float) => float.decode(code),
            Self::Fixed(fixed) => fixed.decode(code),
            Self::Integer(integer) => integer.decode(code),
            Self::Posit(posit) => posit.decode(code),
            Self::Table(table) => table.decode(code),
        }
    }

    /// The finite values, ascending, each once; those of an affine format without its zero point. None of a format of more
    /// than 16 bits.
    pub fn values(&self) -> Vec<f32> {
        if self.bits() > MOST_LISTED_BITS + 1 {
            return Vec::new();
        }
        // The most negative code of two's complement is no value.
        let is_value = |value: &f32| match self {
            Self::Integer(integer) if !integer.affine => *value >= integer.range(0).0 as f32,
            _ => value.is_finite(),
        };
        let values = (0..1u32 << self.bits()).map(|code| self.decode(code)).filter(is_value);
        // The zero that counts for nothing.
        let zero =
            matches!(self, Self::Float(float) if float.lowest == float::Lowest::Normals).then_some(0.0);
        // −0 is 0.
        let values: Vec<f32> = values.map(|value| value + 0.0).chain(zero).collect();
        let mut values = order::sorted_by_key(&values, |value| order::key_f64(f64::from(*value)));
        values.dedup();
        values
    }

    /// The largest value; of an affine format the distance of its ends.
    pub fn largest(&self) -> f32 {
        match self {
            Self::Float(float) => float.largest(),
            Self::Fixed(fixed) => fixed.largest(),
            Self::Integer(integer) => integer.range(0).1 as f32,
            Self::Posit(posit) => posit.largest(),
            Self::Table(_) => self.values().last().copied().unwrap_or(1.0),
        }
    }

    /// The least positive value.
    pub fn smallest(&self) -> f32 {
        match self {
            Self::Float(float) => float.smallest(),
            Self::Fixed(fixed) => fixed.smallest(),
            Self::Integer(_) => 1.0,
            Self::Posit(posit) => posit.smallest(),
            Self::Table(_) => self.values().into_iter().find(|value| *value > 0.0).unwrap_or(1.0),
        }
    }
}
