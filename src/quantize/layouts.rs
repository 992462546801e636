//! What blocks of weights can be made of: a family of number formats, swept by bits, or a published layout, which says the
//! format, how many weights share a scale, and what the scale is.

use super::{Settings, SettingsError};
use crate::code::ScaleType;
use crate::code::scaled::MOST_IN_BLOCK;
use crate::number_format::{FAMILIES, Family, Format, FormatError};

/// A published way to store blocks of weights.
#[derive(Debug, Clone, Copy)]
pub struct Layout {
    /// Its name in recipes and flags.
    pub id: &'static str,
    /// Its name for people.
    pub title: &'static str,
    /// The [name](crate::number_format::names) of its elements' format.
    pub format: &'static str,
    /// Weights that share a scale.
    pub block: u32,
    /// What the scale is.
    pub scale: ScaleType,
}

const fn row(
    id: &'static str,
    title: &'static str,
    format: &'static str,
    block: u32,
    scale: ScaleType,
) -> Layout {
    Layout { id, title, format, block, scale }
}

/// All layouts: microscaling formats (Open Compute Project 2023), NVFP4 (NVIDIA 2025), `QLoRA`'s and bitsandbytes' (Dettmers et
/// al. 2023), integers in groups and rows, ggml's (`block_*` of ggml-common.h), and whole formats without a scale.
pub const LAYOUTS: &[Layout] = &[
    row("mxfp8-e4m3", "MXFP8 E4M3", "e4m3", 32, ScaleType::E8m0),
    row("mxfp8-e5m2", "MXFP8 E5M2", "e5m2", 32, ScaleType::E8m0),
    row("mxfp6-e3m2", "MXFP6 E3M2", "e3m2", 32, ScaleType::E8m0),
    row("mxfp6-e2m3", "MXFP6 E2M3", "e2m3", 32, ScaleType::E8m0),
    row("mxfp4", "MXFP4", "e2m1", 32, ScaleType::E8m0),
    row("mxint8", "MXINT8", "l1r6:nearest", 32, ScaleType::E8m0),
    row("nvfp4", "NVFP4", "e2m1", 16, ScaleType::E4m3),
    row("nf4", "NF4, blocks of 64", "nf4", 64, ScaleType::F32),
    row("bnb-fp4", "FP4 of bitsandbytes, blocks of 64", "bnb-fp4", 64, ScaleType::F32),
    row("int4-g32", "int4, groups of 32", "int4", 32, ScaleType::F16),
    row("int4-g128", "int4, groups of 128", "int4", 128, ScaleType::F16),
    row("int8-channel", "int8, a scale a row", "int8", MOST_IN_BLOCK, ScaleType::F32),
    row("int8-tensor", "int8, a scale a tensor", "int8", MOST_IN_BLOCK, ScaleType::Tensor),
    row("q8_0", "GGUF Q8_0", "int8", 32, ScaleType::F16),
    row("q5_1", "GGUF Q5_1", "uint5", 32, ScaleType::F16),
    row("q5_0", "GGUF Q5_0", "int5:full", 32, ScaleType::F16),
    row("q4_1", "GGUF Q4_1", "uint4", 32, ScaleType::F16),
    row("q4_0", "GGUF Q4_0", "int4:full", 32, ScaleType::F16),
    row("iq4_nl", "GGUF IQ4_NL", "iq4nl", 32, ScaleType::F16),
    row("q6_k", "GGUF Q6_K", "int6:full", 16, ScaleType::Int8),
    row("q5_k", "GGUF Q5_K", "uint5", 32, ScaleType::Uint6),
    row("q4_k", "GGUF Q4_K", "uint4", 32, ScaleType::Uint6),
    row("q3_k", "GGUF Q3_K", "int3:full", 16, ScaleType::Int6),
    row("q2_k", "GGUF Q2_K", "uint2", 16, ScaleType::Uint4),
    row("bf16", "bfloat16, no scale", "bf16", MOST_IN_BLOCK, ScaleType::None),
    row("fp16", "binary16, no scale", "fp16", MOST_IN_BLOCK, ScaleType::None),
    row("fp8-e4m3", "FP8 E4M3, a scale a tensor", "e4m3", MOST_IN_BLOCK, ScaleType::Tensor),
];

/// Id and title of every family, then of every layout, as a method's parameter has them.
pub const WORDS: &[(&str, &str)] = &{
    let mut words = [("", ""); FAMILIES.len() + LAYOUTS.len()];
    let mut at = 0;
    while at < words.len() {
        words[at] = if at < FAMILIES.len() {
            (FAMILIES[at].id, FAMILIES[at].title)
        } else {
            (LAYOUTS[at - FAMILIES.len()].id, LAYOUTS[at - FAMILIES.len()].title)
        };
        at += 1;
    }
    words
};

/// What settings ask of blocks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Asked {
    /// The format of elements.
    pub format: Format,
    /// What a scale is.
    pub scale: ScaleType,
    /// Weights of a row that share one.
    pub block: u32,
}

impl Asked {
    /// A layout, or the format that is named, or a family's of so many bits, with the scales and blocks of the settings.
    pub fn new(settings: &Settings) -> Result<Self, SettingsError> {
        let words = settings.choice("numbers");
        if let Some(layout) = LAYOUTS.iter().find(|layout| layout.id == words) {
            let format = Format::parse(layout.format).map_err(refused)?;
            return Ok(Self { format, scale: layout.scale, block: layout.block });
        }
        let format = match settings.choice("format") {
            "" => {
                let family = Family::find(words).unwrap_or(&FAMILIES[0]);
                family.format(settings.integer("bits") as u32)
            }
            name => Format::parse(name),
        };
        let scale = ScaleType::find(settings.choice("scale")).unwrap_or(ScaleType::Bf16);
        Ok(Self { format: format.map_err(refused)?, scale, block: settings.integer("block") as u32 })
    }

    /// Bits of scales and minima per weight, where every block is whole.
    pub fn overhead(&self) -> f64 {
        let has_minima = matches!(self.format, Format::Integer(integer) if integer.affine);
        self.scale.overhead(self.block, has_minima)
    }
}

fn refused(error: FormatError) -> SettingsError {
    SettingsError { field: error.part, expected: error.expected, found: error.found }
}

#[cfg(test)]
mod tests {
    use super::super::{Value, scaled};
    use super::*;
    use crate::code::{Code, Scaled};
    use crate::compensation::ErrorCosts;
    use crate::entropy::Rows;
    use crate::tensor::Codec;
    use std::fmt::Write as _;

    fn asked(given: &[(&str, &str)]) -> Result<Asked, SettingsError> {
        let value = |word: &str| word.parse().map_or_else(|_| Value::Choice(word.to_owned()), Value::Integer);
        let given = given.iter().map(|(id, word)| ((*id).to_owned(), value(word)));
        Asked::new(&Settings::new(scaled::PARAMETERS, &given.collect()).unwrap())
    }

    #[test]
    fn every_layout_is_a_code_and_takes_the_bits_that_are_published() {
        for layout in LAYOUTS {
            let asked = asked(&[("numbers", layout.id)]).unwrap();
            assert_eq!((asked.block, asked.scale), (layout.block, layout.scale));
            let code = Scaled::new(asked.format, asked.scale, asked.block).unwrap();
            // What a code of fixed length takes.
            let bits = code.values().len().next_power_of_two().ilog2();
            assert_eq!(bits, asked.format.bits(), "{}", layout.id);
        }
        // MX 1.0, table 1; NVFP4, but for 32 bits of the tensor; llama.cpp's bits per weight.
        let published = [
            ("mxfp8-e4m3", 8.25),
            ("mxfp6-e2m3", 6.25),
            ("mxfp4", 4.25),
            ("mxint8", 8.25),
            ("nvfp4", 4.5),
            ("nf4", 4.5),
            ("q8_0", 8.5),
            ("q5_1", 6.0),
            ("q5_0", 5.5),
            ("q4_1", 5.0),
            ("q4_0", 4.5),
            ("iq4_nl", 4.5),
            ("q6_k", 6.5625),
            ("q5_k", 5.5),
            ("q4_k", 4.5),
            ("q3_k", 3.4375),
            ("q2_k", 2.625),
            ("fp16", 16.0),
        ];
        for (id, bits) in published {
            let asked = asked(&[("numbers", id)]).unwrap();
            assert_eq!(f64::from(asked.format.bits()) + asked.overhead(), bits, "{id}");
        }
    }

    /// The table of layouts as Markdown.
    fn markdown() -> String {
        let mut text = String::from(
            "| layout | title | elements | weights to a scale | scale | bits per weight |\n|---|---|---|---|---|---|\n",
        );
        for layout in LAYOUTS {
            let Layout { id, title, format, block, scale } = layout;
            let asked = asked(&[("numbers", id)]).unwrap();
            let whole = *block == MOST_IN_BLOCK;
            let (block, overhead) = match scale.dtype() {
                _ if !whole => (block.to_string(), asked.overhead()),
                Some(_) => ("the row".to_owned(), 0.0),
                None => ("all".to_owned(), 0.0),
            };
            let bits = f64::from(asked.format.bits()) + overhead;
            let _ = writeln!(text, "| `{id}` | {title} | `{format}` | {block} | `{}` | {bits} |", scale.id());
        }
        text
    }

    #[test]
    fn the_documented_layouts_are_these() {
        assert!(include_str!("../../docs/number-formats.md").contains(&markdown()), "{}", markdown());
    }

    #[test]
    fn a_named_format_stands_for_family_and_bits_but_not_for_a_layout() {
        let named = asked(&[("format", "m4e3:bias=5"), ("scale", "none")]).unwrap();
        assert_eq!((named.format.to_string(), named.scale), ("m4e3:bias=5".to_owned(), ScaleType::None));
        assert_eq!(asked(&[("format", "nf4"), ("numbers", "mxfp4")]).unwrap().format.to_string(), "e2m1");
        let error = asked(&[("numbers", "apot"), ("bits", "8")]).unwrap_err().to_string();
        assert_eq!(error, "bits: expected 3 to 7, which sums of powers of two have, found 8");
    }

    /// A block of 32 symbols as ggml packs it, behind its scale, and its minimum if there is one.
    fn packed(codec: Codec, symbols: &[u16], scale: &[u8], minimum: &[u8]) -> Vec<u8> {
        let nibbles: Vec<u8> =
            (0..16).map(|i| (symbols[i] & 15 | (symbols[i + 16] & 15) << 4) as u8).collect();
        let fifths = symbols.iter().enumerate().fold(0u32, |bits, (i, s)| bits | u32::from(s >> 4 & 1) << i);
        let elements = match codec {
            Codec::Q8_0 => symbols.iter().map(|symbol| (*symbol as i16 - 127) as u8).collect(),
            Codec::Q5_0 | Codec::Q5_1 => [&fifths.to_le_bytes()[..], &nibbles].concat(),
            Codec::Mxfp4 => {
                let code = |symbol: u16| if symbol < 7 { 15 - symbol as u8 } else { symbol as u8 - 7 };
                (0..16).map(|i| code(symbols[i]) | code(symbols[i + 16]) << 4).collect()
            }
            _ => nibbles,
        };
        [scale, minimum, &elements].concat()
    }

    /// Numbers of `bits` bits in runs of bytes: the lowest bits of a run are as many numbers in a row, and so on.
    fn fields(numbers: &[u8], bits: usize, run: usize) -> Vec<u8> {
        let bytes = numbers.chunks(run * 8 / bits).flat_map(|numbers| {
            let byte = move |at| numbers[at..].iter().step_by(run).rev().fold(0, |byte, n| byte << bits | n);
            (0..run).map(byte)
        });
        bytes.collect()
    }

    /// A super-block as ggml packs it: symbols, the integers of scales and minima, and the float16s of both.
    fn packed_super_block(
        codec: Codec,
        symbols: &[u16],
        integers: [&[u8]; 2],
        halves: [&[u8]; 2],
    ) -> Vec<u8> {
        let ([scales, minima], [d, m]) = (integers, halves);
        let part = |shift: u16, bits: u16| -> Vec<u8> {
            symbols.iter().map(|symbol| (symbol >> shift & ((1 << bits) - 1)) as u8).collect()
        };
        let each = |change: fn(&u8) -> u8| -> Vec<u8> { scales.iter().map(change).collect() };
        // What is taken off, not added.
        let mut m = m.to_vec();
        m.iter_mut().skip(1).for_each(|byte| *byte ^= 0x80);
        if codec == Codec::Q2K {
            let both: Vec<u8> = scales.iter().zip(minima).map(|(scale, low)| scale | low << 4).collect();
            return [&both[..], &fields(&part(0, 2), 2, 32), d, &m].concat();
        }
        if codec == Codec::Q3K {
            let (low, high) = (each(|scale| scale & 15), each(|scale| scale >> 4));
            let (low, high) = (fields(&low, 4, 8), fields(&high, 2, 4));
            return [&fields(&part(2, 1), 1, 32)[..], &fields(&part(0, 2), 2, 32), &low, &high, d].concat();
        }
        if codec == Codec::Q6K {
            let signed = each(|scale| scale ^ 0x80);
            return [&fields(&part(0, 4), 4, 64)[..], &fields(&part(4, 2), 2, 32), &signed, d].concat();
        }
        let first =
            |numbers: &[u8]| -> Vec<u8> { (0..4).map(|i| numbers[i] | numbers[i + 4] >> 4 << 6).collect() };
        let last: Vec<u8> = (4..8).map(|i| scales[i] & 15 | minima[i] << 4).collect();
        let fifths = if codec == Codec::Q5K { fields(&part(4, 1), 1, 32) } else { Vec::new() };
        [d, &m, &first(scales), &first(minima), &last, &fifths, &fields(&part(0, 4), 4, 32)].concat()
    }

    /// Symbols and stored scales of weights by a layout, and what they decode to.
    fn quantized(id: &str, fit: &str, weights: &[f32]) -> (Vec<u16>, Vec<u8>, Vec<f32>) {
        let given = [("numbers", id), ("fit", fit)];
        let given = given.map(|(id, word)| (id.to_owned(), Value::Choice(word.to_owned())));
        let settings = Settings::new(scaled::PARAMETERS, &given.into()).unwrap();
        let code = Code::Scaled(scaled::code(&settings).unwrap());
        let (mut symbols, mut values) = (Vec::new(), Vec::new());
        let assigned =
            code.assign(weights, ErrorCosts::default(), Rows::default(), None, &mut symbols).unwrap();
        code.extend_values(&symbols, assigned.scales(Rows::default()), &mut values);
        (symbols, assigned.scales.unwrap().1, values)
    }

    /// Weights of many magnitudes, some of whose blocks are on one side of zero.
    fn weights() -> Vec<f32> {
        let mut random = crate::random::SplitMix64::new(4);
        let mut weight = |at: usize| {
            let middle = [0.5, 0.5, 0.5, -0.2, 1.3][at / 48 % 5];
            ((random.unit() - middle) * random.unit() * random.unit()) as f32
        };
        (0..4096).map(&mut weight).collect()
    }

    fn floats(bytes: &[u8]) -> Vec<f32> {
        bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
    }

    #[test]
    fn super_blocks_decode_to_what_their_reader_makes_of_them() {
        let weights = weights();
        let layouts = [
            ("q6_k", Codec::Q6K),
            ("q5_k", Codec::Q5K),
            ("q4_k", Codec::Q4K),
            ("q3_k", Codec::Q3K),
            ("q2_k", Codec::Q2K),
        ];
        for (id, codec) in layouts {
            for fit in ["largest", "squared"] {
                let (symbols, stored, values) = quantized(id, fit, &weights);
                let block = asked(&[("numbers", id)]).unwrap().block as usize;
                let (count, own) = (weights.len() / 256, 256 / block);
                let (integers, halves) = stored.split_at(stored.len() * own / (own + 2));
                // Of layouts without minima, none are behind the scales.
                let of = |bytes: &[u8], len, at| bytes.chunks(len).nth(at).unwrap_or_default().to_vec();
                let mut decoded = Vec::new();
                for (at, symbols) in symbols.chunks(256).enumerate() {
                    let [scales, minima] = [at, count + at].map(|at| of(integers, own, at));
                    let (low, high) = halves.split_at(halves.len() / 2);
                    let [d, m] = [at, count + at].map(|at| [of(low, 1, at), of(high, 1, at)].concat());
                    let packed = packed_super_block(codec, symbols, [&scales, &minima], [&d, &m]);
                    codec.decode_units(&packed, &mut decoded);
                }
                let bits = |numbers: &[f32]| numbers.iter().map(|n| n.to_bits()).collect::<Vec<_>>();
                assert_eq!(bits(&values), bits(&floats(&decoded)), "{id} by {fit}");
            }
        }
    }

    #[test]
    fn published_layouts_decode_to_what_their_reader_makes_of_them() {
        let weights = weights();
        let layouts = [
            ("q8_0", Codec::Q8_0),
            ("q5_1", Codec::Q5_1),
            ("q5_0", Codec::Q5_0),
            ("q4_1", Codec::Q4_1),
            ("q4_0", Codec::Q4_0),
            ("iq4_nl", Codec::Iq4Nl),
            ("mxfp4", Codec::Mxfp4),
        ];
        for (id, codec) in layouts {
            for fit in ["largest", "squared"] {
                let (symbols, bytes, values) = quantized(id, fit, &weights);
                let size = asked(&[("numbers", id)]).unwrap().scale.dtype().unwrap().size_bytes();
                let stored: Vec<&[u8]> = bytes.chunks(size as usize).collect();
                let (scales, minima) = stored.split_at(weights.len() / 32);
                let mut decoded = Vec::new();
                for (at, symbols) in symbols.chunks(32).enumerate() {
                    let minimum = minima.get(at).copied().unwrap_or_default();
                    codec.decode_units(&packed(codec, symbols, scales[at], minimum), &mut decoded);
                }
                assert_eq!(values, floats(&decoded), "{id} by {fit}");
            }
        }
    }
}
