//! Codes against their definitions: digests of llama.cpp's own package, and formulas of one line on blocks made by hand.

use super::*;
use crate::checksum::crc32;
use crate::tensor::{Dtype, Storage};
use std::fmt::Write as _;

fn decoded(bytes: &[u8], count: u64, limit: u64) -> Result<Vec<u8>, String> {
    let span = Span { offset: 0, len: bytes.len() as u64 };
    let tensor = Tensor::plain(
        "w".to_owned(),
        vec![count],
        Dtype::F16,
        Storage::Encoded { span, codec: Codec::Varints, len: 2 * count },
    );
    let out = Codec::decode(&bytes.to_vec(), "tensor w", span, &tensor, limit);
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
    assert_eq!(decoded(&[1, 2, 3], 2, 100).unwrap_err(), "tensor w: expected 2 numbers, found another count");
    assert_eq!(decoded(&[0x80, 1], 2, 100).unwrap_err(), "tensor w: expected 2 numbers, found another count");
    for (count, limit) in [(4, 100), (3, 5)] {
        let sentence = decoded(&[1, 2, 3], count, limit).unwrap_err();
        let expected = "numbers in 3 bytes, found fewer, or more than can be held";
        assert!(sentence.ends_with(expected), "{sentence}");
    }
    assert!(decoded(&[1, 0x80], 2, 100).is_err());
}

#[test]
fn every_codec_has_one_row_name_and_number() {
    for row in &CODECS {
        assert_eq!(CODECS.iter().filter(|other| other.codec == row.codec).count(), 1);
        assert_eq!(CODECS.iter().filter(|other| other.name == row.name).count(), 1);
        assert_eq!(Codec::from_number(row.codec.number()), Some(row.codec));
        assert_eq!((row.codec.name(), row.codec.number()), (row.name, row.number));
    }
}

/// What llama.cpp's package decodes random blocks to, by CRC-32: what `experiments/gguf_blocks.py` prints.
const DIGESTS: [(&str, u32); 27] = [
    ("Q4_0", 0xf977_1681),
    ("Q4_1", 0xb27d_c5b3),
    ("Q5_0", 0xe774_a35b),
    ("Q5_1", 0x7ad6_7ba1),
    ("Q8_0", 0xd6d0_5568),
    ("Q8_1", 0x1f4d_2e33),
    ("Q2_K", 0x5e89_ccab),
    ("Q3_K", 0xb7af_11c8),
    ("Q4_K", 0x4a1f_f329),
    ("Q5_K", 0x9fe7_f255),
    ("Q6_K", 0xf1a1_4ba2),
    ("Q8_K", 0xaf6f_c340),
    ("IQ2_XXS", 0x8158_7941),
    ("IQ2_XS", 0x2614_17dd),
    ("IQ3_XXS", 0xcb55_6a8e),
    ("IQ1_S", 0x544c_e508),
    ("IQ4_NL", 0xa9f2_9f39),
    ("IQ3_S", 0xbc7b_6874),
    ("IQ2_S", 0x0eca_9717),
    ("IQ4_XS", 0x3e6e_86e5),
    ("IQ1_M", 0xb56a_a19d),
    ("TQ1_0", 0x2a20_1961),
    ("TQ2_0", 0xa4c8_596f),
    ("MXFP4", 0xb183_8026),
    ("NVFP4", 0xfc3e_b990),
    ("Q1_0", 0x3606_ea51),
    ("Q2_0", 0xd36b_2f56),
];

fn named(name: &str) -> Codec {
    CODECS.iter().find(|row| row.name == name).unwrap().codec
}

/// The bytes of a block that hold the exponents of its scales.
fn exponents(name: &str) -> &'static [usize] {
    match name {
        "Q4_1" | "Q5_1" | "Q8_1" | "Q4_K" | "Q5_K" => &[1, 3],
        "Q2_K" => &[81, 83],
        "Q3_K" => &[109],
        "Q6_K" => &[209],
        "Q8_K" => &[3],
        "IQ1_M" => &[55],
        "TQ1_0" => &[53],
        "TQ2_0" => &[65],
        "MXFP4" | "NVFP4" => &[],
        _ => &[1],
    }
}

/// Random blocks as `experiments/gguf_blocks.py` makes them: xorshift (13, 7, 17), and no scale that is not finite.
fn random_blocks(codec: Codec, count: u64) -> Vec<u8> {
    let unit = codec.unit().unwrap();
    let mut state = 0x9e37_79b9_7f4a_7c15 ^ u64::from(codec.number());
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    let mut blocks: Vec<u8> = (0..count * unit.bytes).map(|_| next()).collect();
    for block in blocks.chunks_mut(unit.bytes as usize) {
        for at in exponents(codec.name()) {
            block[*at] &= 0xbf;
        }
    }
    blocks
}

#[test]
fn random_blocks_decode_to_what_the_reference_package_makes_of_them() {
    let mut wrong = Vec::new();
    for (name, digest) in DIGESTS {
        let codec = named(name);
        let mut out = Vec::new();
        codec.decode_units(&random_blocks(codec, 256), &mut out);
        assert_eq!(out.len() as u64, 256 * 4 * codec.unit().unwrap().elements, "{name}");
        if crc32(&out) != digest {
            wrong.push(name);
        }
    }
    assert_eq!(wrong, [""; 0]);
    let blocks = CODECS.iter().filter(|row| matches!(row.decode, Decode::Blocks { .. })).count();
    assert_eq!(blocks, DIGESTS.len());
}

/// The elements of one block.
fn elements(name: &str, block: &[u8]) -> Vec<f32> {
    let (codec, mut out) = (named(name), Vec::new());
    assert_eq!(codec.unit().unwrap().bytes, block.len() as u64, "{name}");
    codec.decode_units(block, &mut out);
    out.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect()
}

/// 0.5, 3 and −0.25 in half precision.
const HALF: [u8; 2] = [0x00, 0x38];
const THREE: [u8; 2] = [0x00, 0x42];
const QUARTER_OFF: [u8; 2] = [0x00, 0xb4];

/// A block of parts, and its elements by a formula of element `i` and the bytes of the last part but those behind it.
fn check(name: &str, parts: &[&[u8]], element: impl Fn(usize) -> f32) {
    let found = elements(name, &parts.concat());
    let expected: Vec<f32> = (0..found.len()).map(element).collect();
    assert_eq!(found, expected, "{name}");
}

/// Bytes of which no two neighbours are alike.
fn bytes(count: usize) -> Vec<u8> {
    (0..count).map(|at| (at * 37 + 11) as u8).collect()
}

#[test]
fn blocks_of_32_decode_by_their_formulas() {
    let (q, whole, fifth) = (bytes(16), bytes(32), [0b1010_0110, 0x0f, 0xf0, 0x81]);
    let nibble = |i: usize| f32::from(q[i % 16] >> (i / 16 * 4) & 15);
    let high = |i: usize| f32::from((fifth[i / 8] >> (i % 8) & 1) << 4);
    let signed = |i: usize| f32::from(whole[i] as i8);
    check("Q4_0", &[&HALF, &q], |i| 0.5 * (nibble(i) - 8.0));
    check("Q4_1", &[&HALF, &THREE, &q], |i| 0.5 * nibble(i) + 3.0);
    check("Q5_0", &[&HALF, &fifth, &q], |i| 0.5 * (nibble(i) + high(i) - 16.0));
    check("Q5_1", &[&HALF, &THREE, &fifth, &q], |i| 0.5 * (nibble(i) + high(i)) + 3.0);
    check("Q8_0", &[&QUARTER_OFF, &whole], |i| -0.25 * signed(i));
    check("Q8_1", &[&QUARTER_OFF, &THREE, &whole], |i| -0.25 * signed(i));
    let kinds = [
        -127.0, -104.0, -83.0, -65.0, -49.0, -35.0, -22.0, -10.0, 1.0, 13.0, 25.0, 38.0, 53.0, 69.0, 89.0,
        113.0,
    ];
    check("IQ4_NL", &[&THREE, &q], |i| 3.0 * kinds[nibble(i) as usize]);
    let e2m1 = [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 0.0, -0.5, -1.0, -1.5, -2.0, -3.0, -4.0, -6.0];
    check("MXFP4", &[&[130], &q], |i| 8.0 * e2m1[nibble(i) as usize]);
    // 2^-127, 2^-126 and the largest power of two.
    for (byte, scale) in [(0, 2f32.powi(-127)), (1, 2f32.powi(-126)), (254, 2f32.powi(127))] {
        check("MXFP4", &[&[byte], &[0x22; 16]], |_| scale);
    }
}

#[test]
fn blocks_of_64_and_128_decode_by_their_formulas() {
    let (two, one, four) = (bytes(16), bytes(16), bytes(32));
    check("Q2_0", &[&THREE, &two], |i| 3.0 * (f32::from(two[i / 4] >> (i % 4 * 2) & 3) - 1.0));
    check("Q1_0", &[&THREE, &one], |i| if one[i / 8] >> (i % 8) & 1 == 1 { 3.0 } else { -3.0 });
    let e2m1 = [0.0, 0.5, 1.0, 1.5, 2.0, 3.0, 4.0, 6.0, 0.0, -0.5, -1.0, -1.5, -2.0, -3.0, -4.0, -6.0];
    // 1, 1.5, the smallest number above zero, and what is no number.
    let (codes, scales) = ([0x38, 0x3c, 0x01, 0x7f], [1.0, 1.5, 2f32.powi(-9), 0.0]);
    check("NVFP4", &[&codes, &four], |i| {
        let nibble = four[i / 16 * 8 + i % 8] >> (i % 16 / 8 * 4) & 15;
        scales[i / 16] * e2m1[usize::from(nibble)]
    });
}

#[test]
fn blocks_of_256_decode_by_their_formulas() {
    let (q64, q128, q256, high32, high64, s16, s12) =
        (bytes(64), bytes(128), bytes(256), bytes(32), bytes(64), bytes(16), bytes(12));
    let two = |i: usize| f32::from(q64[i / 128 * 32 + i % 32] >> (i % 128 / 32 * 2) & 3);
    let four = |i: usize| f32::from(q128[i / 64 * 32 + i % 32] >> (i % 64 / 32 * 4) & 15);
    let bit = |i: usize| f32::from(high32[i % 32] >> (i / 32) & 1);
    check("Q2_K", &[&s16, &q64, &HALF, &THREE], |i| {
        0.5 * f32::from(s16[i / 16] & 15) * two(i) - 3.0 * f32::from(s16[i / 16] >> 4)
    });
    let six = |j: usize| f32::from(s12[j % 8] >> (j / 8 * 4) & 15 | (s12[8 + j % 4] >> (j / 4 * 2) & 3) << 4);
    check("Q3_K", &[&high32, &q64, &s12, &HALF], |i| {
        0.5 * (six(i / 16) - 32.0) * (two(i) + 4.0 * bit(i) - 4.0)
    });
    let scale = |j: usize| if j < 4 { s12[j] & 63 } else { s12[j + 4] & 15 | s12[j - 4] >> 6 << 4 };
    let minimum = |j: usize| if j < 4 { s12[j + 4] & 63 } else { s12[j + 4] >> 4 | s12[j] >> 6 << 4 };
    let with = |i: usize, q: f32| 0.5 * f32::from(scale(i / 32)) * q - 3.0 * f32::from(minimum(i / 32));
    check("Q4_K", &[&HALF, &THREE, &s12, &q128], |i| with(i, four(i)));
    check("Q5_K", &[&HALF, &THREE, &s12, &high32, &q128], |i| with(i, four(i) + 16.0 * bit(i)));
    let low = |i: usize| f32::from(q128[i / 128 * 64 + i % 64] >> (i % 128 / 64 * 4) & 15);
    let upper = |i: usize| f32::from(high64[i / 128 * 32 + i % 32] >> (i % 128 / 32 * 2) & 3);
    check("Q6_K", &[&q128, &high64, &s16, &HALF], |i| {
        0.5 * f32::from(s16[i / 16] as i8) * (low(i) + 16.0 * upper(i) - 32.0)
    });
    check("Q8_K", &[&1.5f32.to_le_bytes(), &q256, &[7; 32]], |i| 1.5 * f32::from(q256[i] as i8));
    check("TQ2_0", &[&q64, &HALF], |i| 0.5 * (two(i) - 1.0));
    // Five digits of base three are rounded up to a byte's fraction.
    let byte =
        |digits: [u32; 5]| (digits.iter().fold(0, |sum, digit| sum * 3 + digit) * 256).div_ceil(243) as u8;
    let block = [[byte([2, 0, 1, 1, 2]); 48].as_slice(), &[byte([0, 2, 2, 1, 0]); 4], &HALF].concat();
    check("TQ1_0", &[&block], |i| match i {
        0..160 => [0.5, -0.5, 0.0, 0.0, 0.5][i / 32],
        160..240 => [0.5, -0.5, 0.0, 0.0, 0.5][(i - 160) / 16],
        _ => [-0.5, 0.5, 0.5, 0.0][(i - 240) / 4],
    });
}

#[test]
fn blocks_of_grids_decode_by_their_formulas() {
    // The first vector of every grid is of its smallest value, the last mostly of its largest.
    let zeros = |count: usize| vec![0u8; count];
    check("IQ2_XXS", &[&HALF, &zeros(64)], |_| 0.5 * 0.5 * 0.25 * 8.0);
    check("IQ3_XXS", &[&HALF, &zeros(96)], |_| 0.5 * 0.5 * 0.5 * 4.0);
    check("IQ2_XS", &[&HALF, &zeros(72)], |_| 0.5 * 0.5 * 0.25 * 8.0);
    check("IQ2_S", &[&HALF, &zeros(80)], |_| 0.5 * 0.5 * 0.25 * 8.0);
    check("IQ3_S", &[&HALF, &zeros(108)], |_| 0.5);
    check("IQ1_S", &[&HALF, &zeros(48)], |_| 0.5 * (-1.0 + 0.125));
    // The half-precision scale of a half in the highest bits of four words.
    check("IQ1_M", &[&zeros(48), &[0, 0, 0, 0, 0, 0x80, 0, 0x30]], |_| 0.5 * (-1.0 + 0.125));
    let ones = |count: usize| vec![0xffu8; count];
    check("IQ2_S", &[&HALF, &ones(80)], |_| -0.5 * 15.5 * 0.25 * 43.0);
    check("IQ3_S", &[&HALF, &ones(108)], |i| -0.5 * 31.0 * [1.0, 1.0, 15.0, 15.0][i % 4]);
    check("IQ1_S", &[&HALF, &ones(48)], |_| 0.5 * 15.0 * (1.0 - 0.125));
    // Seven bits of ones make the eighth a one as well.
    check("IQ2_XS", &[&HALF, &ones(72)], |_| -0.5 * 15.5 * 0.25 * 43.0);
}

#[test]
fn units_of_big_endian_files_are_turned_where_it_is_known_how() {
    for row in &CODECS {
        let Some(unit) = row.codec.unit().filter(|_| row.codec.is_known_big_endian()) else { continue };
        let little: Vec<u8> = bytes(2 * unit.bytes as usize);
        let mut big = little.clone();
        row.codec.turn_units(&mut big);
        let turned = little.iter().zip(&big).filter(|(a, b)| a != b).count();
        let halves = match row.name {
            "Q4_0" | "Q8_0" | "Q6_K" => 1,
            "Q4_K" => 2,
            _ => 0,
        };
        assert_eq!(turned, 2 * 2 * halves, "{}", row.name);
        row.codec.turn_units(&mut big);
        assert_eq!(big, little);
    }
    let known = CODECS.iter().filter(|row| row.codec.is_known_big_endian()).count();
    assert_eq!(known, 6 + 1);
}

#[test]
fn what_is_no_whole_unit_is_left() {
    let (codec, mut out) = (Codec::Q8_0, Vec::new());
    codec.decode_units(&[0; 33], &mut out);
    codec.decode_units(&[], &mut out);
    Codec::Varints.decode_units(&[1, 2], &mut out);
    assert!(out.is_empty());
    codec.decode_units(&[0; 35], &mut out);
    assert_eq!(out, [0; 128]);
}

#[test]
fn the_documented_table_of_codes_is_this_one() {
    let mut table = "| number | name | elements and bytes of a unit |\n|---|---|---|\n".to_owned();
    for row in &CODECS {
        let unit = match row.codec.unit() {
            Some(Unit { elements, bytes }) => format!("{elements}, {bytes}"),
            None => "none: a varint for each element's bits, of 1 to 10 bytes and of any form".to_owned(),
        };
        let _ = writeln!(table, "| {} | {} | {unit} |", row.number, row.name);
    }
    assert!(include_str!("../../../docs/format.md").contains(&table), "{table}");
    let decoder = include_str!("../../../experiments/qsz.py");
    for row in &CODECS {
        if let Some(Unit { elements, bytes }) = row.codec.unit() {
            assert!(decoder.contains(&format!("{}: ({elements}, {bytes})", row.number)), "{}", row.name);
        }
    }
}
