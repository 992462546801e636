//! ggml's blocks of vectors from fixed grids, IQ1 to IQ3 (I. Kawrakow, 2024): an index stands for four or eight integers.
//!
//! Definition: `block_iq*` and the grids `iq*_grid` in ggml-common.h, `dequantize_row_iq*` in ggml-quants.c of llama.cpp,
//! 2026. The grids of 2-bit types are vectors of eight of three values, those of 3-bit types of four of eight values, sorted
//! as numbers whose first digit is the lowest; `grids.bin` has the distances between neighbours, less one, 255 for a step of
//! 255 without a vector (`experiments/gguf_blocks.py` makes it from llama.cpp's own package). Numbers below are byte offsets
//! in a block; `d` is its scale, a half-precision number.
//!
//! Cost: a grid is spelled out once, at most 16 KB.

use super::packing::{Block, half, unpack};
use std::sync::OnceLock;

/// A grid: its vectors one behind the other, once they are asked for.
struct Grid {
    /// Where its distances lie in the packed grids.
    packed: std::ops::Range<usize>,
    /// What digits stand for.
    values: &'static [i8],
    /// Integers of a vector.
    len: usize,
    spelled: OnceLock<Vec<i8>>,
}

static PACKED: &[u8] = include_bytes!("grids.bin");

const TWO_BITS: &[i8] = &[8, 25, 43];
static IQ2_XXS: Grid = Grid::new(0..257, TWO_BITS, 8);
static IQ2_XS: Grid = Grid::new(257..769, TWO_BITS, 8);
static IQ2_S: Grid = Grid::new(769..1793, TWO_BITS, 8);
static IQ3_XXS: Grid = Grid::new(1793..2049, &[4, 12, 20, 28, 36, 44, 52, 62], 4);
static IQ3_S: Grid = Grid::new(2049..2561, &[1, 3, 5, 7, 9, 11, 13, 15], 4);
// Eight times −1, 0 and 1, since ggml adds an eighth of one to them, or takes it off.
static IQ1: Grid = Grid::new(2561..4609, &[-8, 0, 8], 8);

impl Grid {
    const fn new(packed: std::ops::Range<usize>, values: &'static [i8], len: usize) -> Self {
        Self { packed, values, len, spelled: OnceLock::new() }
    }

    /// All vectors.
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

    /// Spells vectors into `integers`, one behind the other.
    fn set(&self, indices: impl IntoIterator<Item = u16>, integers: &mut [i8]) {
        let vectors = self.spelled.get_or_init(|| self.spell());
        for (slot, index) in integers.chunks_mut(self.len).zip(indices) {
            let start = usize::from(index) * self.len;
            let vector = vectors.get(start..start + slot.len()).unwrap_or_default();
            slot.iter_mut().zip(vector).for_each(|(integer, value)| *integer = *value);
        }
    }
}

/// Turns the signs of the integers whose bits are set, eight a byte.
fn set_signs(signs: impl IntoIterator<Item = u8>, integers: &mut [i8]) {
    for (integers, signs) in integers.chunks_mut(8).zip(signs) {
        for (bit, integer) in integers.iter_mut().enumerate() {
            *integer = if signs >> bit & 1 == 1 { -*integer } else { *integer };
        }
    }
}

/// Seven signs, and an eighth that makes an even number of them negative.
fn signs(seven: u32) -> u8 {
    let seven = (seven & 127) as u8;
    seven | (seven.count_ones() as u8) << 7
}

/// The numbers of two bytes each from byte `from` on.
fn words<'a>(block: &Block<'a>, from: usize, count: usize) -> impl Iterator<Item = u16> + Clone + use<'a> {
    block.part(from, 2 * count).as_chunks().0.iter().map(|bytes| u16::from_le_bytes(*bytes))
}

/// `d`, then for every 32 elements four indices, and in 32 bits four times seven signs and a scale.
pub(super) fn iq2_xxs(block: &mut Block<'_>) {
    let groups = block.part(2, 64).as_chunks().0.iter();
    let groups =
        groups.map(|[a, b, c, d, signs @ ..]: &[u8; 8]| ([*a, *b, *c, *d], u32::from_le_bytes(*signs)));
    IQ2_XXS.set(groups.clone().flat_map(|(indices, _)| indices.map(u16::from)), &mut block.integers);
    with_signs_and_scales(block, groups.map(|(_, bits)| bits), 0.25);
}

/// `d`, 64 indices, then for every 32 elements in 32 bits four times seven signs and a scale.
pub(super) fn iq3_xxs(block: &mut Block<'_>) {
    IQ3_XXS.set(block.part(2, 64).iter().map(|byte| u16::from(*byte)), &mut block.integers);
    let bits = block.part(66, 32).as_chunks().0.iter().map(|bytes| u32::from_le_bytes(*bytes));
    with_signs_and_scales(block, bits, 0.5);
}

fn with_signs_and_scales(block: &mut Block<'_>, bits: impl Iterator<Item = u32> + Clone, factor: f32) {
    let d = block.half(0);
    set_signs(bits.clone().flat_map(|bits| [0, 7, 14, 21].map(|at| signs(bits >> at))), &mut block.integers);
    block.set_scales(bits.map(|bits| d * (0.5 + (bits >> 28) as f32) * factor));
}

/// `d`, 32 words of an index and seven signs, 16 scales of four bits.
pub(super) fn iq2_xs(block: &mut Block<'_>) {
    let words = words(block, 2, 32);
    IQ2_XS.set(words.clone().map(|word| word & 511), &mut block.integers);
    set_signs(words.map(|word| signs(u32::from(word >> 9))), &mut block.integers);
    set_half_scales(block, 66);
}

/// `d`, the lower bits of 32 indices, 32 times eight signs, the upper two bits of the indices, 16 scales of four bits.
pub(super) fn iq2_s(block: &mut Block<'_>) {
    IQ2_S.set(indices(block.part(2, 32), block.part(66, 8), 2), &mut block.integers);
    set_signs(block.part(34, 32).iter().copied(), &mut block.integers);
    set_half_scales(block, 74);
}

/// 16 scales of four bits, each and a half, a quarter of `d`.
fn set_half_scales(block: &mut Block<'_>, from: usize) {
    let mut scales = [0; 16];
    unpack(block.part(from, 8), 4, 1, 0, &mut scales);
    let d = block.half(0);
    block.set_scales(scales.map(|scale| d * (0.5 + f32::from(scale)) * 0.25));
}

/// `d`, the lower bits of 64 indices, their upper bits, 32 times eight signs, 8 scales of four bits.
pub(super) fn iq3_s(block: &mut Block<'_>) {
    IQ3_S.set(indices(block.part(2, 64), block.part(66, 8), 1), &mut block.integers);
    set_signs(block.part(74, 32).iter().copied(), &mut block.integers);
    let mut scales = [0; 8];
    unpack(block.part(106, 4), 4, 1, 0, &mut scales);
    let d = block.half(0);
    block.set_scales(scales.map(|scale| d * f32::from(1 + 2 * scale)));
}

/// Indices of eight lower bits and `bits` upper ones.
fn indices(low: &[u8], high: &[u8], bits: u32) -> [u16; 64] {
    let (mut upper, mut indices) = ([0; 64], [0; 64]);
    unpack(high, bits, 1, 0, &mut upper);
    for ((index, low), high) in indices.iter_mut().zip(low).zip(upper) {
        *index = u16::from(*low) | (high as u16) << 8;
    }
    indices
}

/// `d`, the lower bits of 32 indices, then a word for every 32 elements: four times three upper bits, a scale of three bits, and
/// whether an eighth is taken off.
pub(super) fn iq1_s(block: &mut Block<'_>) {
    let groups = words(block, 34, 8);
    let upper = groups.clone().flat_map(|word| [0, 3, 6, 9].map(|at| word >> at & 7));
    let indices = block.part(2, 32).iter().zip(upper).map(|(low, high)| u16::from(*low) | high << 8);
    IQ1.set(indices, &mut block.integers);
    shift(groups.clone().flat_map(|word| [word >> 15 == 1; 4]), &mut block.integers);
    let d = block.half(0);
    block.set_scales(groups.map(|word| odd_eighth(d, word >> 12)));
}

/// The lower bits of 32 indices, for each three upper bits and whether an eighth is taken off, then four words: four scales of
/// three bits, and four bits of `d`.
pub(super) fn iq1_m(block: &mut Block<'_>) {
    let mut upper = [0; 32];
    unpack(block.part(32, 16), 4, 1, 0, &mut upper);
    let indices = block.part(0, 32).iter().zip(upper);
    IQ1.set(indices.map(|(low, high)| u16::from(*low) | (high as u16 & 7) << 8), &mut block.integers);
    shift(upper.into_iter().map(|high| high & 8 != 0), &mut block.integers);
    let groups = words(block, 48, 4);
    let d = half(groups.clone().fold(0, |d, word| d >> 4 | word & 0xf000));
    block.set_scales(groups.flat_map(|word| [0, 3, 6, 9].map(|at| odd_eighth(d, word >> at))));
}

/// Takes one off every eight integers, or adds one.
fn shift(is_lowered: impl Iterator<Item = bool>, integers: &mut [i8]) {
    for (integers, is_lowered) in integers.chunks_mut(8).zip(is_lowered) {
        for integer in integers {
            *integer += if is_lowered { -1 } else { 1 };
        }
    }
}

/// A scale of three bits as an odd number of eighths of `d`: exact, as the division by a power of two is.
fn odd_eighth(d: f32, bits: u16) -> f32 {
    d * f32::from(2 * (bits & 7) + 1) * 0.125
}
