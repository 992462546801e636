//! Round trips and lies at random.

use super::damage::survive;
use super::resign::resigned;
use super::{Data, Sample, assert_round_trip, codebook, golden};
use proptest::prelude::*;
use quantscope::code::{Fit, ScaleType, Scaled, ScaledCode};
use quantscope::container::Granularity;
use quantscope::entropy::{Coder, Positions};
use quantscope::number_format::Format;
use quantscope::tensor::Dtype;

const FLOATS: [Dtype; 6] = [Dtype::F64, Dtype::F32, Dtype::F16, Dtype::Bf16, Dtype::F8E4M3, Dtype::F8E5M2];

fn shapes() -> impl Strategy<Value = Vec<u64>> {
    prop::collection::vec(0u64..7, 0..4)
}

fn kept() -> impl Strategy<Value = (Vec<u64>, Dtype, Data)> {
    (shapes(), prop::sample::select(&Dtype::ALL[..]), any::<u8>()).prop_map(|(shape, dtype, seed)| {
        let len = shape.iter().product::<u64>() * dtype.size_bytes();
        let bytes = (0..len).map(|i| (i as u8).wrapping_mul(seed)).collect();
        (shape, dtype, Data::Kept(bytes))
    })
}

fn quantized() -> impl Strategy<Value = (Vec<u64>, Dtype, Data)> {
    let choices = (
        prop::sample::select(&FLOATS[..]),
        prop::sample::select(&Coder::ALL[..]),
        prop::sample::select(&Positions::ALL[..]),
        any::<bool>(),
        any::<bool>(),
        1usize..9,
        any::<u64>(),
    );
    (shapes(), choices).prop_map(|(shape, (dtype, coder, positions, in_channels, pruned, levels, seed))| {
        let in_channels = in_channels && !shape.is_empty();
        let granularity = if in_channels { Granularity::Channel } else { Granularity::Tensor };
        let pruned = pruned || positions == Positions::Gaps;
        let channels = if in_channels { shape[0] } else { 1 };
        let mut state = seed;
        let mut random = move || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            state >> 40
        };
        let codebooks: Vec<_> = (0..channels)
            .map(|_| codebook(&(0..levels).map(|_| random() as f32 / 1e6 - 8.0).collect::<Vec<_>>(), pruned))
            .collect();
        let len: u64 = shape.iter().product();
        let alphabet = (levels + usize::from(pruned)) as u64;
        let symbols = (0..len).map(|_| (random() % alphabet * (random() % 2)) as u16).collect();
        (shape, dtype, Data::Quantized { symbols, codebooks, granularity, coder, positions })
    })
}

fn scaled() -> impl Strategy<Value = (Vec<u64>, Dtype, Data)> {
    let format = (
        prop::sample::select(
            &[
                "int2",
                "int7",
                "uint3",
                "int4:full",
                "e2m1",
                "e5m2",
                "m3e4",
                "l2r3",
                "posit6",
                "nf4",
                "iq4nl",
                "apot5",
            ][..],
        ),
        prop::sample::select(&ScaleType::ALL[..]),
        prop::sample::select(&Fit::ALL[..]),
        1u32..9,
    );
    let choices = (prop::sample::select(&FLOATS[..]), prop::sample::select(&Coder::ALL[..]), any::<u32>());
    (shapes(), format, choices).prop_map(|(shape, (name, scale, fit, block), (dtype, coder, seed))| {
        let count = shape.iter().product::<u64>() as u32;
        let weight = |i: u32| f32::from((i.wrapping_mul(seed | 1) >> 16) as i16) * 1e-3;
        let scale = if name == "uint3" && !scale.allows_minima() { ScaleType::Bf16 } else { scale };
        let codebook = Scaled::new(Format::parse(name).unwrap(), scale, block).unwrap().of_tensor(40.0);
        let format = ScaledCode::new(codebook, fit).unwrap();
        (shape, dtype, Data::Scaled { weights: (0..count).map(weight).collect(), format, coder })
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn any_tensors_read_back(
        tensors in prop::collection::vec(prop_oneof![1 => kept(), 3 => quantized(), 2 => scaled()], 0..6), tie in any::<bool>()
    ) {
        let mut samples: Vec<Sample> = tensors
            .into_iter()
            .enumerate()
            .map(|(i, (shape, dtype, data))| Sample::new(&format!("tensor.{i}"), &shape, dtype, data))
            .collect();
        if tie && let Some(first) = samples.first().cloned() {
            samples.push(Sample::new("tied", &first.shape, first.dtype, Data::SameAs(0)));
        }
        assert_round_trip(&samples);
    }

    #[test]
    fn random_lies_with_right_checksums_never_panic(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)
    ) {
        let mut file = golden();
        for (at, value) in changes {
            let at = at.index(file.len());
            file[at] = value;
        }
        survive(&resigned(file));
    }
}
