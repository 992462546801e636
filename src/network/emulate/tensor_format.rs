//! How the numbers of a tensor are stored: each in a number format, which may be relative to a scale that a block of them shares.
//!
//! A name is that of a [number format](crate::number_format::names); of a [layout](LAYOUTS) whose blocks have a scale of one
//! level, such as `mxfp8-e4m3`, `mxfp4` or `nvfp4`; or `F-gN`, the format F with a scale for every N numbers, which is a float16
//! unless `F-gN-S` says another type. What both a format and a layout are called is the format.
//!
//! Bits count the scales, as if all blocks were whole: those of the format, and those of a scale over N.

use crate::code::{Kind, ScaleType, Scaled};
use crate::network::NetworkError;
use crate::number_format::{Format, FormatError, Rounding};
use crate::quantize::METHODS;
use crate::quantize::layouts::LAYOUTS;
use std::fmt;

/// A number format whose blocks of numbers share a scale.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Blocks {
    /// The format of a number, relative to the scale.
    pub format: Format,
    /// Numbers that share a scale.
    pub len: u32,
    /// What the scale is.
    pub scale: ScaleType,
}

/// How the numbers of a tensor are stored.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum TensorFormat {
    /// Each by itself, or relative to a scale of the tensor or of a channel.
    Single(Format),
    /// In blocks that share a scale.
    Blocks(Blocks),
}

impl From<Format> for TensorFormat {
    fn from(format: Format) -> Self {
        Self::Single(format)
    }
}

/// Types that the scale of a block can have, the usual one first.
const SCALES: [ScaleType; 5] =
    [ScaleType::F16, ScaleType::Bf16, ScaleType::F32, ScaleType::E8m0, ScaleType::E4m3];

/// Why these are no blocks.
fn wrong(expected: String, found: &str) -> FormatError {
    FormatError { part: "numbers in blocks".to_owned(), expected, found: found.to_owned() }
}

impl Blocks {
    /// The blocks of a layout's name, or of the form `F-gN` or `F-gN-S`; `None` of another name.
    fn parse(name: &str) -> Option<Result<Self, FormatError>> {
        if let Some(layout) = LAYOUTS.iter().find(|layout| layout.id == name) {
            let format = Format::parse(layout.format);
            return Some(format.and_then(|format| Self::new(format, layout.block, layout.scale, name)));
        }
        let (format, blocks) = name.split_once("-g")?;
        let (len, scale) = blocks.split_once('-').unwrap_or((blocks, SCALES[0].id()));
        let len = len.parse().ok()?;
        let all = SCALES.map(ScaleType::id).join(", ");
        let Some(scale) = ScaleType::find(scale) else {
            return Some(Err(wrong(format!("scales of one of the types {all}"), scale)));
        };
        Some(Format::parse(format).and_then(|format| Self::new(format, len, scale, name)))
    }

    fn new(format: Format, len: u32, scale: ScaleType, name: &str) -> Result<Self, FormatError> {
        if !SCALES.contains(&scale) {
            let all = SCALES.map(ScaleType::id).join(", ");
            return Err(wrong(format!("blocks with a scale of one of the types {all}"), name));
        }
        let is_random = match format {
            Format::Float(float) => matches!(float.rounding, Rounding::Stochastic(_)),
            Format::Fixed(fixed) => matches!(fixed.rounding, Rounding::Stochastic(_)),
            _ => false,
        };
        let is_affine = matches!(format, Format::Integer(integer) if integer.affine);
        if is_random || is_affine {
            let expected = "a format around zero that rounds to nearest or towards zero";
            return Err(wrong(expected.to_owned(), name));
        }
        let this = Self { format, len, scale };
        this.code().map(|_| this).ok_or_else(|| {
            let most = crate::code::scaled::MOST_IN_BLOCK;
            wrong(format!("1 to {most} numbers to a scale, of a format of at most 16 bits"), name)
        })
    }

    /// The same blocks as a code of weights, which says what a scale makes of the largest magnitude.
    pub(super) fn code(&self) -> Option<Scaled> {
        Scaled::new(self.format, self.scale, self.len).ok()
    }

    /// The layout that these blocks are, under a name that no format has.
    fn layout(&self) -> Option<&'static str> {
        let is_own = |id: &str, format: &str| {
            Format::parse(id).is_err() && Format::parse(format).is_ok_and(|format| format == self.format)
        };
        let mut layouts =
            LAYOUTS.iter().filter(|layout| (layout.block, layout.scale) == (self.len, self.scale));
        layouts.find(|layout| is_own(layout.id, layout.format)).map(|layout| layout.id)
    }
}

impl TensorFormat {
    /// The format of a name.
    ///
    /// # Errors
    ///
    /// A name of neither a format nor blocks, and what either cannot be.
    pub fn parse(name: &str) -> Result<Self, FormatError> {
        match Format::parse(name) {
            Ok(format) => Ok(Self::Single(format)),
            Err(error) => match Blocks::parse(name) {
                Some(blocks) => blocks.map(Self::Blocks),
                None => Err(error),
            },
        }
    }

    /// The format of a number.
    pub const fn element(&self) -> Format {
        match self {
            Self::Single(format) => *format,
            Self::Blocks(blocks) => blocks.format,
        }
    }

    /// The format, where numbers do not share scales of blocks.
    pub const fn single(self) -> Option<Format> {
        match self {
            Self::Single(format) => Some(format),
            Self::Blocks(_) => None,
        }
    }

    /// The blocks, where numbers share scales.
    pub const fn blocks(self) -> Option<Blocks> {
        match self {
            Self::Single(_) => None,
            Self::Blocks(blocks) => Some(blocks),
        }
    }

    /// Bits of a number, with its share of a block's scale.
    pub fn bits(&self) -> f64 {
        let scales = self.blocks().map_or(0.0, |blocks| blocks.scale.overhead(blocks.len, false));
        f64::from(self.element().bits()) + scales
    }

    /// Whether samples must say how large a tensor's numbers are: to give the tensor its scale, or the scales of its blocks their
    /// factor.
    pub const fn needs_range(&self) -> bool {
        match self {
            Self::Single(format) => format.needs_scale(),
            Self::Blocks(blocks) => blocks.scale.has_factor(),
        }
    }

    /// The settings of the method `scaled` that store weights so, as a recipe's line has them.
    pub fn recipe(&self) -> String {
        let blocks = match self {
            Self::Single(format) if format.needs_scale() => "&scale=tensor".to_owned(),
            Self::Single(_) => "&scale=none".to_owned(),
            Self::Blocks(blocks) => format!("&block={}&scale={}", blocks.len, blocks.scale.id()),
        };
        let method = METHODS.iter().find(|method| method.code == Kind::Scaled).map_or("", |method| method.id);
        format!("method={method}&format={}{blocks}", self.element())
    }
}

/// The error of sums that are to be in blocks.
pub fn no_sums(format: TensorFormat) -> NetworkError {
    let expected = "a format of single numbers, since sums share no scales";
    NetworkError::data("the accumulator", expected, format.to_string())
}

/// The shortest name that [`TensorFormat::parse`] reads back.
impl fmt::Display for TensorFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let blocks = match self {
            Self::Single(format) => return format.fmt(f),
            Self::Blocks(blocks) => blocks,
        };
        if let Some(layout) = blocks.layout() {
            return f.write_str(layout);
        }
        write!(f, "{}-g{}", blocks.format, blocks.len)?;
        if blocks.scale == SCALES[0] { Ok(()) } else { write!(f, "-{}", blocks.scale.id()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::recipe::Recipe;

    #[test]
    fn every_name_reads_back_and_counts_the_scales() {
        for (name, bits, shown) in [
            ("int4-g32", 4.5, "int4-g32"),
            ("int4-g16", 5.0, "int4-g16"),
            ("int2-g256", 2.0625, "int2-g256"),
            ("e2m1-g32-e8m0", 4.25, "mxfp4"),
            ("mxfp8-e5m2", 8.25, "mxfp8-e5m2"),
            ("mxint8", 8.25, "mxint8"),
            ("nvfp4", 4.5, "nvfp4"),
            ("nf4-g64-f32", 4.5, "nf4-g64-f32"),
            ("posit8-1-g64-bf16", 8.25, "posit8-1-g64-bf16"),
            ("m3e3:nearest-g10", 8.6, "m3e3:nearest-g10"),
            ("bf16", 16.0, "bf16"),
            ("nf4", 4.0, "nf4"),
        ] {
            let format = TensorFormat::parse(name).unwrap();
            assert_eq!((format.bits(), format.to_string().as_str()), (bits, shown));
            assert_eq!(TensorFormat::parse(shown), Ok(format), "{name}");
        }
    }

    #[test]
    fn what_can_be_no_blocks_is_refused_in_a_sentence() {
        let most = "1 to 1048576 numbers to a scale, of a format of at most 16 bits";
        let scales = "blocks with a scale of one of the types f16, bf16, f32, e8m0, e4m3";
        let around = "a format around zero that rounds to nearest or towards zero";
        for (name, expected) in [
            ("int4-g0", most),
            ("int4-g2000000", most),
            ("fp32-g32", most),
            ("uint4-g32", around),
            ("e3m2:random-g32", around),
            ("q4_k", scales),
            ("int8-tensor", scales),
            ("int4-g32-uint6", scales),
            ("int4-g32-e9m9", "scales of one of the types f16, bf16, f32, e8m0, e4m3"),
        ] {
            let found = name.strip_prefix("int4-g32-e").map_or(name, |_| "e9m9");
            let sentence = format!("numbers in blocks: expected {expected}, found {found}");
            assert_eq!(TensorFormat::parse(name).unwrap_err().to_string(), sentence);
        }
        for name in ["int4-g", "-g32", "int99-g32", "int4-gx", "mxfp9"] {
            assert!(TensorFormat::parse(name).is_err(), "{name}");
        }
    }

    #[test]
    fn recipes_store_weights_in_the_same_blocks() {
        for name in ["int4-g32", "mxfp4", "nvfp4", "m4e4", "l1r6", "int8", "posit8", "nf4-g64"] {
            let recipe = Recipe::from_line(&TensorFormat::parse(name).unwrap().recipe()).unwrap();
            assert_eq!(recipe.check().unwrap().method.id, "scaled", "{name}");
        }
        assert_eq!(
            TensorFormat::parse("int4-g32").unwrap().recipe(),
            "method=scaled&format=int4&block=32&scale=f16"
        );
    }
}
