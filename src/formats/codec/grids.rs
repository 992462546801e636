//! ggml's blocks of vectors from fixed grids, IQ1 to IQ3 (I. Kawrakow, 2024): an index stands for four or eight integers.
//!
//! Definition: `block_iq*` and the grids `iq*_grid` in ggml-common.h, `dequantize_row_iq*` in ggml-quants.c of llama.cpp,
//! 2026. The grids of 2-bit types are vectors of eight of three values, those of 3-bit types of four of eight values, sorted
//! as numbers whose first digit is the lowest; `grids.bin` has the distances between neighbours, less one, 255 for a step of
//! 255 without a vector (`experiments/gguf_blocks.py` makes it from llama.cpp's own package). Numbers below are byte offsets
//! in a block; `d` is its scale, a half-precision number.
//!
//! Cost: a grid is spelled out once for the blocks that are decoded together, at most 16 KB.

use super::packing::{Block, half};

static PACKED: &[u8] = include_bytes!("grids.bin");

/// A grid.
struct Grid {
    /// Where its distances lie in the packed grids.
    packed: std::ops::Range<usize>,
    /// What digits stand for.
    values: &'static [i8],
    /// Integers of a vector.
    len: usize,
}

const TWO_BITS: &[i8] = &[8, 25, 43];
static IQ2_XXS: Grid = Grid { packed: 0..257, values: TWO_BITS, len: 8 };
static IQ2_XS: Grid = Grid { packed: 257..769, values: TWO_BITS, len: 8 };
static IQ2_S: Grid = Grid { packed: 769..1793, values: TWO_BITS, len: 8 };
static IQ3_XXS: Grid = Grid { packed: 1793..2049, values: &[4, 12, 20, 28, 36, 44, 52, 62], len: 4 };
static IQ3_S: Grid = Grid { packed: 2049..2561, values: &[1, 3, 5, 7, 9, 11, 13, 15], len: 4 };
// Eight times −1, 0 and 1, since ggml adds an eighth of one to them, or takes it off.
static IQ1: Grid = Grid { packed: 2561..4609, values: &[-8, 0, 8], len: 8 };

impl Grid {
    /// All vectors, one behind the other.
    fn spell(&self) -> Vec<i8> {
        let mut vectors = Vec::new();
        let mut number = 0;
        for distance in PACKED.get(self.packed.clone()).unwrap_or_default() {
            number += usize::from(*distance);
            if *distance == 255 {
                continue;
            }
            let mut digits = number;
            for _ in 0..self.len {
                vectors.push(self.values.get(digits % self.values.len()).copied().unwrap_or_default());
                digits /= self.values.len();
            }
            number += 1;
        }
        vectors
    }

    /// Fills a block: `vector` gives each vector's index, and a bit for each of its integers that is to turn its sign;
    /// `scale` gives the scale of each group.
    fn fill(
        &self,
        block: &mut Block<'_>,
        vector: fn(&Block<'_>, usize) -> (usize, usize),
        scale: fn(&Block<'_>, usize) -> f32,
    ) {
        if block.vectors.is_empty() {
            block.vectors = self.spell();
        }
        let mut integers = block.integers;
        for (at, integers) in integers.chunks_mut(self.len).enumerate() {
            let (index, signs) = vector(block, at);
            let start = index * self.len;
            let values = block.vectors.get(start..start + self.len).unwrap_or_default();
            for (bit, (integer, value)) in integers.iter_mut().zip(values).enumerate() {
                *integer = if signs >> bit & 1 == 1 { -value } else { *value };
            }
        }
        block.integers = integers;
        for group in 0..block.scales.len() {
            let scale = scale(block, group);
            block.scales.iter_mut().skip(group).take(1).for_each(|slot| *slot = scale);
        }
    }
}

/// Seven signs, and an eighth that makes an even number of them negative.
fn signs(bits: usize) -> usize {
    let seven = bits & 127;
    seven | (seven.count_ones() as usize & 1) << 7
}

/// The bits of a packed field, from byte `from` on, neighbours in a byte.
fn field(block: &Block<'_>, from: usize, bits: usize, at: usize) -> usize {
    let in_byte = 8 / bits;
    block.number(from + at / in_byte, 1) >> (at % in_byte * bits) & ((1 << bits) - 1)
}

/// A scale of four bits and a half, times a quarter of `d`.
fn half_more(block: &Block<'_>, from: usize, group: usize) -> f32 {
    block.half(0) * (0.5 + field(block, from, 4, group) as f32) * 0.25
}

/// A scale of three bits as an odd number of eighths of `d`: exact, as a division by a power of two is.
fn odd_eighths(d: f32, bits: usize) -> f32 {
    d * (2 * (bits & 7) + 1) as f32 * 0.125
}

/// `d`, then for every 32 elements four indices, and in 32 bits four times seven signs and a scale.
pub(super) fn iq2_xxs(block: &mut Block<'_>) {
    IQ2_XXS.fill(
        block,
        |block, at| {
            let group = 2 + at / 4 * 8;
            (block.number(group + at % 4, 1), signs(block.number(group + 4, 4) >> (at % 4 * 7)))
        },
        |block, group| block.half(0) * (0.5 + (block.number(6 + 8 * group, 4) >> 28) as f32) * 0.25,
    );
}

/// `d`, 64 indices, then for every 32 elements in 32 bits four times seven signs and a scale.
pub(super) fn iq3_xxs(block: &mut Block<'_>) {
    IQ3_XXS.fill(
        block,
        |block, at| {
            let eight = signs(block.number(66 + at / 8 * 4, 4) >> (at / 2 % 4 * 7));
            (block.number(2 + at, 1), eight >> (at % 2 * 4))
        },
        |block, group| block.half(0) * (0.5 + (block.number(66 + 4 * group, 4) >> 28) as f32) * 0.5,
    );
}

/// `d`, 32 words of an index and seven signs, 16 scales of four bits.
pub(super) fn iq2_xs(block: &mut Block<'_>) {
    IQ2_XS.fill(
        block,
        |block, at| {
            let word = block.number(2 + 2 * at, 2);
            (word & 511, signs(word >> 9))
        },
        |block, group| half_more(block, 66, group),
    );
}

/// `d`, the lower bits of 32 indices, 32 times eight signs, the upper two bits of the indices, 16 scales of four bits.
pub(super) fn iq2_s(block: &mut Block<'_>) {
    IQ2_S.fill(
        block,
        |block, at| (block.number(2 + at, 1) | field(block, 66, 2, at) << 8, block.number(34 + at, 1)),
        |block, group| half_more(block, 74, group),
    );
}

/// `d`, the lower bits of 64 indices, their upper bits, 64 times four signs, 8 scales of four bits.
pub(super) fn iq3_s(block: &mut Block<'_>) {
    IQ3_S.fill(
        block,
        |block, at| (block.number(2 + at, 1) | field(block, 66, 1, at) << 8, field(block, 74, 4, at)),
        |block, group| block.half(0) * (1 + 2 * field(block, 106, 4, group)) as f32,
    );
}

/// `d`, the lower bits of 32 indices, then a word for every 32 elements: four times three upper bits, a scale of three bits, and
/// whether an eighth is taken off.
pub(super) fn iq1_s(block: &mut Block<'_>) {
    IQ1.fill(
        block,
        |block, at| {
            let upper = block.number(34 + at / 4 * 2, 2) >> (at % 4 * 3) & 7;
            (block.number(2 + at, 1) | upper << 8, 0)
        },
        |block, group| odd_eighths(block.half(0), block.number(34 + 2 * group, 2) >> 12),
    );
    shift(block, |block, at| block.number(35 + at / 4 * 2, 1) >> 7 == 1);
}

/// The lower bits of 32 indices, for each three upper bits and whether an eighth is taken off, then four words: four scales of
/// three bits, and four bits of `d`.
pub(super) fn iq1_m(block: &mut Block<'_>) {
    IQ1.fill(
        block,
        |block, at| (block.number(at, 1) | (field(block, 32, 4, at) & 7) << 8, 0),
        |block, group| {
            let d = (0..4).fold(0, |d, word| d >> 4 | block.number(48 + 2 * word, 2) & 0xf000);
            odd_eighths(half(d as u16), block.number(48 + group / 4 * 2, 2) >> (group % 4 * 3))
        },
    );
    shift(block, |block, at| field(block, 32, 4, at) >> 3 == 1);
}

/// Takes one off the integers of every vector, or adds one.
fn shift(block: &mut Block<'_>, is_lowered: fn(&Block<'_>, usize) -> bool) {
    let mut integers = block.integers;
    for (at, integers) in integers.chunks_mut(8).enumerate() {
        let step = if is_lowered(block, at) { -1 } else { 1 };
        for integer in integers {
            *integer += step;
        }
    }
    block.integers = integers;
}
