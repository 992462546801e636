use super::*;
use crate::code::Codebook;
use crate::number_format::FAMILIES;
use proptest::prelude::*;

fn code(name: &str, scale: ScaleType, block: u32, fit: Fit) -> ScaledCode {
    ScaledCode::new(Scaled::new(Format::parse(name).unwrap(), scale, block).unwrap(), fit).unwrap()
}

fn integers(bits: u32, block: u32) -> ScaledCode {
    code(&format!("int{bits}"), ScaleType::F32, block, Fit::Largest)
}

fn rows(length: usize, start: usize) -> Rows {
    Rows { length, start, ..Rows::default() }
}

/// The symbols of weights, the scales' bytes, and what they decode to.
fn coded(code: &ScaledCode, weights: &[f32], h: Option<&[f32]>, rows: Rows) -> (Vec<u16>, Vec<u8>, Vec<f32>) {
    let (mut symbols, mut values) = (Vec::new(), Vec::new());
    let bytes = code.assign(weights, h, rows, &mut symbols).map_or(Vec::new(), |(_, bytes)| bytes);
    code.codebook().extend_values(&symbols, Scales { bytes: &bytes, rows }, &mut values);
    (symbols, bytes, values)
}

fn values(code: &ScaledCode, weights: &[f32]) -> Vec<f32> {
    coded(code, weights, None, Rows::default()).2
}

fn error(weights: &[f32], values: &[f32], h: Option<&[f32]>) -> f64 {
    let square = |(at, (w, v)): (usize, (&f32, &f32))| {
        let difference = f64::from(*w) - f64::from(*v);
        h.map_or(1.0, |h| f64::from(h[at])) * difference * difference
    };
    weights.iter().zip(values).enumerate().map(square).sum()
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
    let (symbols, _, values) = coded(&code, &[0.3, -0.6, 0.0, 0.0, 9.0, 2.9], None, Rows::default());
    assert_eq!(symbols, [5, 0, 3, 3, 6, 4]);
    let step = 0.6f32 / 3.0;
    assert_eq!(values, [2.0 * step, -3.0 * step, 0.0, 0.0, 9.0, 3.0]);
    assert_eq!(code.codebook().scales(6, Rows::default()), Some((Dtype::F32, 3)));
}

#[test]
fn microscaling_blocks_of_four_bits_are_the_published_ones() {
    let mxfp4 = code("e2m1", ScaleType::E8m0, 32, Fit::Largest);
    let check = |weights: &[f32], exponent: i32, expected: &[f32]| {
        let (_, bytes, values) = coded(&mxfp4, weights, None, Rows::default());
        assert_eq!((bytes, &values[..]), (vec![(127 + exponent) as u8], expected), "{weights:?}");
    };
    check(&[1.0, 0.5, -0.3, 1.9], -2, &[1.0, 0.5, -0.25, 1.5]);
    check(&[7.0, 3.4, 0.2], 0, &[6.0, 3.0, 0.0]);
    check(&[0.02, -0.011, 0.005], -8, &[0.023_437_5, -0.011_718_75, 0.005_859_375]);
    check(&[0.0; 3], -127, &[0.0; 3]);
}

#[test]
fn elements_of_microscaling_formats_reach_as_far_as_their_exponents_say() {
    // Largest exponents: Microscaling Formats 1.0, section 5.3; the largest weight, 2^k, is 2^e times the scale.
    for (name, most) in
        [("e5m2", 15), ("e4m3", 8), ("e3m2", 4), ("e2m3", 2), ("e2m1", 2), ("l1r6:nearest", 0)]
    {
        let code = code(name, ScaleType::E8m0, 32, Fit::Largest);
        let (_, bytes, values) = coded(&code, &[-8.0, 0.25], None, Rows::default());
        assert_eq!((bytes, values[0]), (vec![(127 + 3 - most) as u8], -8.0), "{name}");
    }
}

#[test]
fn scales_of_eight_bits_have_a_factor_of_the_tensor() {
    let plain = code("e2m1", ScaleType::E4m3, 2, Fit::Largest);
    let nvfp4 = plain.of_tensor(6.0 * 448.0 * 0.5);
    // Scales 448, 2 and 0 of a factor of a half: what is far below the tensor's largest weight becomes zero.
    let weights = [1344.0, -224.0, 6.0, 1.0, 0.001, 0.0];
    let (_, bytes, values) = coded(&nvfp4, &weights, None, Rows::default());
    assert_eq!(bytes, [0x7e, 0x40, 0]);
    assert_eq!(values, [1344.0, -224.0, 6.0, 1.0, 0.0, 0.0]);
    let record = Codebook::Scaled(nvfp4.codebook().clone()).to_bytes();
    assert_eq!(record, [2, 0, 1, 2, 0, 2, 4, 2, 0, 0, 0, 0x3f]);
    assert_eq!(Codebook::from_bytes(&record).unwrap(), Codebook::Scaled(nvfp4.codebook().clone()));
    for end in 1..record.len() {
        assert!(Codebook::from_bytes(&record[..end]).is_err(), "{end} bytes");
    }
}

#[test]
fn a_tensors_one_scale_and_none_take_no_bytes_of_blocks() {
    let tensor = code("int4", ScaleType::Tensor, 8, Fit::Squared).of_tensor(1.4);
    assert_eq!(coded(&tensor, &[1.4, -0.3, 0.09], None, Rows::default()).1, [0u8; 0]);
    assert_eq!(values(&tensor, &[1.4, -0.3, 0.09]), [1.4, -0.4, 0.0]);
    let half = code("fp16", ScaleType::None, 8, Fit::Largest);
    assert_eq!(values(&half, &[0.1, -1e6, 1e-9]), [half::f16::from_f32(0.1).to_f32(), -65504.0, 0.0]);
    assert_eq!(half.codebook().scales(3, Rows::default()), None);
}

#[test]
fn affine_blocks_have_a_minimum_behind_their_scales() {
    let code = code("uint2", ScaleType::F16, 3, Fit::Largest);
    let weights = [1.0, 2.0, 4.0, -5.0, -5.0];
    let (symbols, bytes, values) = coded(&code, &weights, None, Rows::default());
    assert_eq!((symbols, &values[..]), (vec![0, 1, 3, 0, 0], &weights[..]));
    let half = |x: f32| half::f16::from_f32(x).to_le_bytes();
    assert_eq!(bytes, [half(1.0), half(0.0), half(1.0), half(-5.0)].concat());
    assert_eq!(code.codebook().scales(5, Rows::default()), Some((Dtype::F16, 4)));
    assert!(Scaled::new(Format::parse("uint2").unwrap(), ScaleType::E8m0, 4).is_err());
}

#[test]
fn scales_of_two_levels_are_integers_times_a_float16_of_the_super_block() {
    let half = |x: f32| half::f16::from_f32(x).to_le_bytes();
    // Low bytes come before high ones.
    let halves = |x: f32, y: f32| [half(x)[0], half(y)[0], half(x)[1], half(y)[1]];
    // A scale of 1 becomes −32, which is as far as integers reach, and one of −1/2 half as much.
    let signed = code("int3:full", ScaleType::Int6, 2, Fit::Largest);
    let weights = [-4.0, 1.0, 2.0, 0.5];
    let (symbols, bytes, values) = coded(&signed, &weights, None, Rows::default());
    assert_eq!((symbols, &values[..]), (vec![0, 5, 0, 3], &weights[..]));
    assert_eq!(bytes, [&[0, 48][..], &half(-1.0 / 32.0)].concat());
    // Scales 15 and 7 times 1, minima 15 and 2 times −3; −7 is no multiple, and a minimum above zero is none.
    let affine = code("uint2", ScaleType::Uint4, 2, Fit::Largest);
    let (_, bytes, values) = coded(&affine, &[-45.0, 0.0, -7.0, 14.0, 9.0, 2.0], None, Rows::default());
    assert_eq!(values, [-45.0, 0.0, -6.0, 15.0, 9.0, 3.0]);
    assert_eq!(bytes, [&[15, 7, 3, 15, 2, 0][..], &halves(1.0, -3.0)].concat());
    let record = Codebook::Scaled(affine.codebook().clone()).to_bytes();
    assert_eq!(record, [2, 2, 2, 1, 7, 2]);
    assert_eq!(Codebook::from_bytes(&record).unwrap(), Codebook::Scaled(affine.codebook().clone()));
}

#[test]
fn super_blocks_begin_anew_at_every_row_and_run_and_end_with_it() {
    let code = code("int6:full", ScaleType::Int8, 16, Fit::Largest);
    // Of 300 weights 256 are one super-block of 16 blocks, and 44 another of three.
    let bytes = |count, length, start| code.codebook().scales(count, rows(length, start));
    assert_eq!(bytes(600, 300, 0), Some((Dtype::U8, 2 * (16 + 2 + 3 + 2))));
    assert_eq!(bytes(350, 300, 250), Some((Dtype::U8, 4 + 2 + 16 + 2 + 3 + 2)));
    assert_eq!(bytes(0, 300, 0), Some((Dtype::U8, 0)));
    let blocks: Vec<_> = code.codebook().blocks(300, Rows::default()).collect();
    assert_eq!(blocks[15..], [(16, 0), (16, 1), (16, 1), (12, 1)]);
    // What a row's last super-block has does not depend on what lies before it.
    let weights: Vec<f32> = (0..600).map(|i| ((i * 37 % 101) as f32 - 50.0) * 1e-3).collect();
    for fit in Fit::ALL {
        let code = self::code("int6:full", ScaleType::Int8, 16, fit);
        let (_, _, whole) = coded(&code, &weights, None, rows(300, 0));
        let (_, _, end) = coded(&code, &weights[556..], None, Rows::default());
        assert_eq!(whole[556..], end);
    }
}

#[test]
fn a_super_block_of_zeros_and_one_beyond_float16_are_finite() {
    for (name, scale) in [("uint4", ScaleType::Uint6), ("int3:full", ScaleType::Int6)] {
        for fit in Fit::ALL {
            let code = code(name, scale, 16, fit);
            assert_eq!(values(&code, &[0.0; 300]), [0.0; 300]);
            assert!(values(&code, &[f32::MAX, 1.0, f32::MIN]).iter().all(|value| value.is_finite()));
            assert_eq!(values(&code, &[1e-30; 20]), [0.0; 20]);
            let none = vec![0.0; 300];
            let (_, _, unweighted) = coded(&code, &[0.5; 300], Some(&none), Rows::default());
            assert!(unweighted.iter().all(|value| (value - 0.5).abs() < 0.05), "{unweighted:?}");
        }
    }
}

#[test]
fn a_scale_takes_the_sign_of_the_weight_that_becomes_the_least_value() {
    let code = code("int4:full", ScaleType::F32, 4, Fit::Largest);
    let (_, bytes, values) = coded(&code, &[0.25, 2.0, -1.75, 0.0], None, Rows::default());
    assert_eq!((bytes, &values[..]), ((-0.25f32).to_le_bytes().to_vec(), &[0.25, 2.0, -1.75, 0.0][..]));
}

#[test]
fn the_error_is_at_most_half_the_distance_of_values() {
    let weights: Vec<f32> = (0..1000).map(|i| ((i * 37 % 101) as f32 - 50.0) * 1e-3).collect();
    for family in FAMILIES {
        for scale in [ScaleType::F32, ScaleType::F16, ScaleType::Bf16] {
            let format = family.format(6).unwrap();
            let code = ScaledCode::new(Scaled::new(format, scale, 32).unwrap(), Fit::Largest).unwrap();
            let (_, _, values) = coded(&code, &weights, None, rows(100, 0));
            let levels = code.codebook().values();
            let widest = levels.windows(2).map(|pair| pair[1] - pair[0]).fold(0.0, f32::max);
            let most = 0.05 / levels.last().unwrap() * (widest * 0.8) + 4e-4;
            let worst = weights.iter().zip(&values).map(|(w, v)| (w - v).abs()).fold(0.0, f32::max);
            assert!(worst <= most, "{} {}: {worst} above {most}", family.id, scale.id());
        }
    }
}

#[test]
fn a_record_reads_back_and_a_wrong_one_is_refused() {
    let code = Codebook::Scaled(integers(4, 300).codebook().clone());
    assert_eq!(code.to_bytes(), [2, 2, 4, 0, 0, 0xac, 2]);
    assert_eq!(Codebook::from_bytes(&code.to_bytes()).unwrap(), code);
    let wrong: [&[u8]; 11] = [
        &[2, 2, 4, 0, 0],
        &[2, 9, 4, 0, 0, 1],
        &[2, 2, 17, 0, 0, 1],
        &[2, 2, 4, 0, 11, 1],
        &[2, 2, 4, 0, 9, 0x81, 2],
        &[2, 2, 4, 0, 0, 0],
        &[2, 2, 4, 0, 0, 1, 0],
        &[2, 2, 4, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f],
        &[2, 2, 4, 1, 3, 32],
        &[2, 2, 4, 0, 5, 0, 0, 0x80, 0x7f],
        &[2, 0, 16, 8, 1, 20, 0, 1],
    ];
    for bytes in wrong {
        assert!(Codebook::from_bytes(bytes).is_err(), "{bytes:?}");
    }
}

#[test]
fn a_code_travels_with_how_it_rounds() {
    let code = code("m3e3", ScaleType::Bf16, 32, Fit::Weighted);
    let sent = postcard::to_allocvec(&code).unwrap();
    let read: ScaledCode = postcard::from_bytes(&sent).unwrap();
    assert_eq!(read, code);
    let nearest = ScaledCode::new(code.codebook().clone(), Fit::Weighted).unwrap();
    assert_eq!(nearest, code);
    let random = Scaled::new(Format::parse("m3e3:random").unwrap(), ScaleType::F32, 8).unwrap();
    let error = ScaledCode::new(random, Fit::Largest).unwrap_err().to_string();
    assert!(error.contains("rounds to nearest or towards zero"), "{error}");
}

#[test]
fn symbols_are_those_that_the_format_rounds_to() {
    for name in ["int4", "e2m1", "e4m3", "m2e3", "l0r5", "posit8", "nf4", "iq4nl", "apot5", "m4e3:zero"] {
        let code = code(name, ScaleType::None, 1, Fit::Largest);
        let rounder = Format::parse(name).unwrap().rounder(crate::number_format::Scale::default()).unwrap();
        let all = code.codebook().values();
        let between = all.windows(2).flat_map(|pair| {
            let middle = f32::midpoint(pair[0], pair[1]);
            [middle.next_down(), middle, middle.next_up(), pair[0].next_up(), pair[1].next_down(), pair[0]]
        });
        let weights: Vec<f32> = between.collect();
        let (values, expected) = (values(&code, &weights), weights.iter().map(|w| rounder.round(*w, 0)));
        for ((weight, value), expected) in weights.iter().zip(values).zip(expected) {
            assert_eq!(value, expected, "{name}: {weight:e}");
        }
    }
}

#[test]
fn the_largest_weights_stay_finite() {
    for fit in Fit::ALL {
        let code = code("int4", ScaleType::Bf16, 4, fit);
        let values = values(&code, &[f32::MAX, f32::MIN, 0.0]);
        assert!(values.iter().all(|value| value.is_finite()) && values[0] > 3.3e38, "{values:?}");
    }
}

#[test]
fn posits_are_used_where_they_are_dense() {
    let mut random = crate::random::SplitMix64::new(8);
    let weights: Vec<f32> =
        (0..4096).map(|_| (0..12).map(|_| random.unit()).sum::<f64>() as f32 - 6.0).collect();
    let of = |name, fit| error(&weights, &values(&code(name, ScaleType::F32, 64, fit), &weights), None);
    // Both have three bits of fraction there.
    let (posit, float) = (of("posit8", Fit::Largest), of("e4m3", Fit::Largest));
    assert!(posit < 1.3 * float, "{posit} {float}");
}

#[test]
fn missing_scales_are_zero() {
    let mut values = Vec::new();
    integers(4, 2).codebook().extend_values(&[0, 14, 1], Scales::default(), &mut values);
    assert_eq!(values, [0.0; 3]);
    let code = code("uint4", ScaleType::Uint6, 2, Fit::Largest);
    let (symbols, bytes, _) = coded(&code, &[-1.0, 2.0, 3.0], None, Rows::default());
    for end in 0..bytes.len() {
        let scales = Scales { bytes: &bytes[..end], rows: Rows::default() };
        values.clear();
        code.codebook().extend_values(&symbols, scales, &mut values);
        assert!(values.len() == 3 && values.iter().all(|value| value.is_finite()), "{end}: {values:?}");
    }
}

/// The least error that any of very many scales has.
fn brute_force(code: &ScaledCode, weights: &[f32], h: Option<&[f32]>) -> f64 {
    let levels = code.codebook().values();
    let largest = weights.iter().fold(0.0f32, |most, w| most.max(w.abs()));
    let signs: &[f64] = if code.codebook().extreme() < 0.0 { &[1.0, -1.0] } else { &[1.0] };
    let mut least = error(weights, &vec![0.0; weights.len()], h);
    for step in 1..4000 {
        for sign in signs {
            let mut scale = sign * f64::from(largest) * f64::from(step) / 4000.0 * 2.0
                / f64::from(levels.last().unwrap().abs());
            // Twice from nearest values to their best scale.
            for _ in 0..3 {
                let nearest = |w: &f32| {
                    let distance = |v: &&f32| (f64::from(*w) - f64::from(**v) * scale).abs();
                    f64::from(*levels.iter().min_by(|a, b| distance(a).total_cmp(&distance(b))).unwrap())
                };
                let values: Vec<f64> = weights.iter().map(nearest).collect();
                let of = |at: usize| h.map_or(1.0, |h| f64::from(h[at]));
                let squares = weights.iter().zip(&values).enumerate();
                let error: f64 = squares
                    .map(|(at, (w, v))| of(at) * (f64::from(*w) - v * scale) * (f64::from(*w) - v * scale))
                    .sum();
                least = least.min(error);
                let product: f64 = weights
                    .iter()
                    .zip(&values)
                    .enumerate()
                    .map(|(at, (w, v))| of(at) * f64::from(*w) * v)
                    .sum();
                let square: f64 = values.iter().enumerate().map(|(at, v)| of(at) * v * v).sum();
                if square > 0.0 {
                    scale = product / square;
                }
            }
        }
    }
    least
}

fn weights(most: usize) -> impl Strategy<Value = Vec<f32>> {
    prop::collection::vec(prop_oneof![-1.0f32..1.0, -0.1f32..0.1, Just(0.0f32)], 1..most)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn the_least_error_is_no_more_than_that_of_any_scale(
        weights in weights(7),
        h in prop::collection::vec(0.01f32..4.0, 7),
        name in prop::sample::select(&["int2", "int3", "int4", "e2m1", "nf4", "int3:full", "pow2-3"][..]),
    ) {
        let code = code(name, ScaleType::F32, 8, Fit::Weighted);
        let h = Some(&h[..weights.len()]);
        let found = error(&weights, &coded(&code, &weights, h, Rows::default()).2, h);
        let least = brute_force(&code, &weights, h);
        prop_assert!(found <= least * (1.0 + 1e-5) + 1e-12, "{found} above {least}");
    }

    #[test]
    fn the_least_error_of_storable_scales_is_that_of_all_of_them(weights in weights(12)) {
        // Every power of two, and every E4M3 number times a factor.
        let powers: Vec<f32> = (-40..10).map(|exponent| 2f32.powi(exponent)).collect();
        let eighths: Vec<f32> = Format::parse("e4m3").unwrap().values().into_iter().filter(|v| *v > 0.0).collect();
        for (scale, stored) in [(ScaleType::E8m0, powers), (ScaleType::E4m3, eighths)] {
            let code = code("e2m1", scale, 16, Fit::Squared).of_tensor(1.0);
            let found = error(&weights, &values(&code, &weights), None);
            for scale in stored {
                let mut bytes = Vec::new();
                code.codebook().scale.extend_bytes(&[scale], &mut bytes);
                let effective = scale * code.codebook().factor;
                let mut symbols = Vec::new();
                let scaled: Vec<f32> = weights.iter().map(|w| w / effective).collect();
                crate::code::Quantizer::nearest(code.codebook().values.clone()).symbols(&scaled, None, &mut symbols);
                let mut values = Vec::new();
                let scales = Scales { bytes: &bytes, rows: Rows::default() };
                code.codebook().extend_values(&symbols, scales, &mut values);
                let other = error(&weights, &values, None);
                prop_assert!(found <= other * (1.0 + 1e-6) + 1e-12, "{found} above {other} at {scale}");
            }
        }
    }

    #[test]
    fn no_fit_is_worse_than_the_largest_magnitudes(
        weights in weights(200),
        seed in any::<u64>(),
        name in prop::sample::select(&["int4", "uint4", "int8", "e4m3", "posit8", "iq4nl", "nf4", "int12", "m2e3"][..]),
        scale in prop::sample::select(&ScaleType::ALL[..]),
    ) {
        prop_assume!(scale.dtype().is_some() && !scale.has_factor());
        prop_assume!(name != "uint4" || scale.allows_minima());
        let mut random = crate::random::SplitMix64::new(seed);
        let h: Vec<f32> = weights.iter().map(|_| random.unit() as f32).collect();
        let rows = rows(50, 0);
        for (fit, h) in [(Fit::Squared, None), (Fit::Weighted, Some(&h[..]))] {
            let of = |fit| error(&weights, &coded(&code(name, scale, 16, fit), &weights, h, rows).2, h);
            let (fitted, largest) = (of(fit), of(Fit::Largest));
            prop_assert!(fitted <= largest * (1.0 + 1e-9), "{fitted} above {largest}");
        }
    }
}

#[test]
fn blocks_with_too_many_places_are_fitted_with_a_few_scales() {
    let mut random = crate::random::SplitMix64::new(2);
    let weights: Vec<f32> =
        (0..20_000).map(|_| (random.unit() + random.unit() + random.unit() - 1.5) as f32).collect();
    let of = |fit| error(&weights, &values(&code("int9", ScaleType::F32, 1 << 20, fit), &weights), None);
    assert!(of(Fit::Squared) < of(Fit::Largest));
}
