//! ggml's blocks of integers in packed fields: how each type lays them out.
//!
//! Definition: `block_*` in ggml-common.h and `dequantize_row_*` in ggml-quants.c of llama.cpp, 2026; `Q2_K` to `Q6_K` are by
//! I. Kawrakow, 2023. Numbers below are byte offsets in a block; `d` is its scale, a half-precision number where nothing else
//! is said.

use super::packing::{Block, unpack};

/// `d`, 16 bytes: element i is the low half of byte i, element 16 + i the high one.
pub(super) fn q4_0(block: &mut Block<'_>) {
    block.fields([2, 16], 4, 16, 0);
    block.lower(8);
    block.set_scales([block.half(0)]);
}

/// `d`, a minimum that is added, then as [`q4_0`].
pub(super) fn q4_1(block: &mut Block<'_>) {
    block.fields([4, 16], 4, 16, 0);
    with_minimum(block);
}

/// `d`, 32 fifth bits, then as [`q4_0`].
pub(super) fn q5_0(block: &mut Block<'_>) {
    block.fields([6, 16], 4, 16, 0);
    block.fields([2, 4], 1, 1, 4);
    block.lower(16);
    block.set_scales([block.half(0)]);
}

/// `d`, a minimum that is added, 32 fifth bits, then as [`q4_0`].
pub(super) fn q5_1(block: &mut Block<'_>) {
    block.fields([8, 16], 4, 16, 0);
    block.fields([4, 4], 1, 1, 4);
    with_minimum(block);
}

fn with_minimum(block: &mut Block<'_>) {
    block.set_scales([block.half(0)]);
    block.minima = [-block.half(2); 16];
}

/// `d`, 32 signed bytes.
pub(super) fn q8_0(block: &mut Block<'_>) {
    whole_bytes(block, 2, 32);
    block.set_scales([block.half(0)]);
}

/// `d`, the sum of the elements, 32 signed bytes.
pub(super) fn q8_1(block: &mut Block<'_>) {
    whole_bytes(block, 4, 32);
    block.set_scales([block.half(0)]);
}

/// `d` as float32, 256 signed bytes, 16 sums of 16 each.
pub(super) fn q8_k(block: &mut Block<'_>) {
    whole_bytes(block, 4, 256);
    let d = block.bytes.first_chunk().map_or(0.0, |bytes| f32::from_le_bytes(*bytes));
    block.set_scales([d]);
}

fn whole_bytes(block: &mut Block<'_>, from: usize, len: usize) {
    let bytes = block.part(from, len);
    block.integers.iter_mut().zip(bytes).for_each(|(integer, byte)| *integer = *byte as i8);
}

/// `d`, 128 signs: −`d` where the bit is 0.
pub(super) fn q1_0(block: &mut Block<'_>) {
    block.fields([2, 16], 1, 1, 1);
    block.lower(1);
    block.set_scales([block.half(0)]);
}

/// `d`, fields of two bits, four neighbours in a byte.
pub(super) fn q2_0(block: &mut Block<'_>) {
    block.fields([2, 16], 2, 1, 0);
    block.lower(1);
    block.set_scales([block.half(0)]);
}

/// 16 bytes of a scale and a minimum in four bits each, fields of two bits, `d`, the minima's scale.
pub(super) fn q2_k(block: &mut Block<'_>) {
    block.fields([16, 64], 2, 32, 0);
    let (d, minimum) = (block.half(80), block.half(82));
    let scales = block.part(0, 16);
    block.set_scales(scales.iter().map(|byte| d * f32::from(byte & 15)));
    let minima = scales.iter().map(|byte| minimum * f32::from(byte >> 4));
    block.minima.iter_mut().zip(minima).for_each(|(slot, minimum)| *slot = minimum);
}

/// 256 third bits, which are 0 where four is to be taken off, fields of two bits, 16 scales of six bits less 32, `d`.
pub(super) fn q3_k(block: &mut Block<'_>) {
    block.fields([32, 64], 2, 32, 0);
    block.fields([0, 32], 1, 32, 2);
    block.lower(4);
    let mut scales = [0; 16];
    unpack(block.part(96, 8), 4, 8, 0, &mut scales);
    unpack(block.part(104, 4), 2, 4, 4, &mut scales);
    let d = block.half(108);
    block.set_scales(scales.map(|scale| d * f32::from(scale - 32)));
}

/// `d`, the minima's scale, 8 scales and minima of six bits, fields of four bits.
pub(super) fn q4_k(block: &mut Block<'_>) {
    block.fields([16, 128], 4, 32, 0);
    scales_and_minima(block);
}

/// `d`, the minima's scale, 8 scales and minima of six bits, 256 fifth bits, fields of four bits.
pub(super) fn q5_k(block: &mut Block<'_>) {
    block.fields([48, 128], 4, 32, 0);
    block.fields([16, 32], 1, 32, 4);
    scales_and_minima(block);
}

/// Twelve bytes: six bits of the first four scales and of the first four minima, whose upper two bits belong to the other four of
/// each, and the lower four bits of those, scale and minimum in a byte.
fn scales_and_minima(block: &mut Block<'_>) {
    let bytes = block.part(4, 12);
    let byte = |at: usize| bytes.get(at).copied().unwrap_or_default();
    let (d, minimum) = (block.half(0), block.half(2));
    for (at, (slot, low)) in block.scales.iter_mut().zip(&mut block.minima).take(8).enumerate() {
        let (scale, bits) = match at.checked_sub(4) {
            None => (byte(at) & 63, byte(at + 4) & 63),
            Some(first) => {
                (byte(at + 4) & 15 | byte(first) >> 6 << 4, byte(at + 4) >> 4 | byte(at) >> 6 << 4)
            }
        };
        (*slot, *low) = (d * f32::from(scale), minimum * f32::from(bits));
    }
}

/// The lower four bits in runs of 64, the upper two in runs of 32, 16 signed scales, `d`.
pub(super) fn q6_k(block: &mut Block<'_>) {
    block.fields([0, 128], 4, 64, 0);
    block.fields([128, 64], 2, 32, 4);
    block.lower(32);
    let (scales, d) = (block.part(192, 16), block.half(208));
    block.set_scales(scales.iter().map(|byte| d * f32::from(*byte as i8)));
}

/// What four bits stand for in [`iq4_nl`] and [`iq4_xs`].
const NON_LINEAR: [i8; 16] = [-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113];

/// As [`q4_0`], of values that lie closer around zero.
pub(super) fn iq4_nl(block: &mut Block<'_>) {
    block.fields([2, 16], 4, 16, 0);
    block.look_up(&NON_LINEAR);
    block.set_scales([block.half(0)]);
}

/// `d`, the upper two bits of 8 scales, their lower four, fields of four bits; scales are less 32.
pub(super) fn iq4_xs(block: &mut Block<'_>) {
    block.fields([8, 128], 4, 16, 0);
    block.look_up(&NON_LINEAR);
    let mut scales = [0; 8];
    unpack(block.part(4, 4), 4, 1, 0, &mut scales);
    unpack(block.part(2, 2), 2, 1, 4, &mut scales);
    let d = block.half(0);
    block.set_scales(scales.map(|scale| d * f32::from(scale - 32)));
}

/// Digits of base three, five in a byte of 0..48 and four in a byte of 48..52, then `d`.
///
/// A byte is its digits as a fraction of 256: times three, what is above the byte is the first of them.
pub(super) fn tq1_0(block: &mut Block<'_>) {
    let parts =
        [(0, 32, 5), (32, 16, 5), (48, 4, 4)].map(|(from, len, digits)| (block.part(from, len), digits));
    let mut integers = block.integers.iter_mut();
    for (bytes, digits) in parts {
        for power in [1u8, 3, 9, 27, 81].into_iter().take(digits) {
            for (byte, integer) in bytes.iter().zip(integers.by_ref()) {
                *integer = ((u16::from(byte.wrapping_mul(power)) * 3) >> 8) as i8 - 1;
            }
        }
    }
    block.set_scales([block.half(52)]);
}

/// Fields of two bits, `d`.
pub(super) fn tq2_0(block: &mut Block<'_>) {
    block.fields([0, 64], 2, 32, 0);
    block.lower(1);
    block.set_scales([block.half(64)]);
}

/// Twice the numbers of OCP's 4-bit float, E2M1; scales are halved for it.
const E2M1: [i8; 16] = [0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12];

/// The scale as OCP's 8-bit exponent, then as [`q4_0`].
pub(super) fn mxfp4(block: &mut Block<'_>) {
    block.fields([1, 16], 4, 16, 0);
    block.look_up(&E2M1);
    let exponent = u32::from(block.bytes.first().copied().unwrap_or_default());
    // Half of 2^(exponent − 127), which is subnormal for the lowest two.
    let bits = if exponent < 2 { 0x0020_0000 << exponent } else { (exponent - 1) << 23 };
    block.set_scales([f32::from_bits(bits)]);
}

/// Four scales as 8-bit floats, E4M3 without a sign, then fields of four bits.
pub(super) fn nvfp4(block: &mut Block<'_>) {
    block.fields([4, 32], 4, 8, 0);
    block.look_up(&E2M1);
    let scales = block.part(0, 4);
    block.set_scales(scales.iter().map(|byte| {
        // 0x7f is no number, and taken as zero.
        let (exponent, fraction) = (u32::from(byte >> 3 & 15), f32::from(byte & 7));
        match exponent {
            _ if *byte == 0x7f => 0.0,
            0 => fraction * f32::from_bits((127 - 10) << 23),
            _ => (8.0 + fraction) * f32::from_bits((exponent + 127 - 11) << 23),
        }
    }));
}
