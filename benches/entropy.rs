//! Speed of the entropy coders on a million symbols of a 16-level quantizer of Gaussian weights, and of the gap code on
//! a million positions of which a tenth are non-zero; of byte planes on a million kept weights; and of decoding such a block of a container.
#![allow(clippy::unwrap_used, missing_docs)]

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use quantscope::code::Codebook;
use quantscope::container::{
    Coding, Content, Entry, Granularity, Limits, Manifest, Reader, Tables, Writer, encode_block,
};
use quantscope::entropy::{
    CodeTable, Coder, Context, ContextCounts, GapCounts, GapTable, Numbering, Rows, planes,
};
use quantscope::role::Role;
use quantscope::tensor::Dtype;
use std::hint::black_box;

const COUNT: usize = 1_000_000;

/// As a matrix of a thousand columns.
const ROWS: Rows = Rows { length: 1000, start: 0, kernel: 1, width: 1 };

/// Uniform numbers below 2^24, the same in every run.
fn noise() -> impl Iterator<Item = u32> {
    let mut state = 1u64;
    std::iter::repeat_with(move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as u32
    })
}

/// Sums of four uniform numbers, which is close to Gaussian, in 16 levels.
fn gaussian_symbols() -> Vec<u16> {
    let numbers: Vec<u32> = noise().take(4 * COUNT).collect();
    numbers.as_chunks::<4>().0.iter().map(|four| (four.iter().sum::<u32>() >> 22) as u16).collect()
}

fn coders(criterion: &mut Criterion) {
    let symbols = gaussian_symbols();
    let mut counts = [0; 16];
    for symbol in &symbols {
        counts[usize::from(*symbol)] += 1;
    }
    let mut group = criterion.benchmark_group("entropy");
    group.throughput(Throughput::Elements(COUNT as u64)).sample_size(20);
    for coder in Coder::ALL {
        let mut table = CodeTable::new(coder, &counts).unwrap();
        if coder == Coder::Context {
            let context = Context::even(16, Numbering { pruned: false, centre: 8 }).unwrap();
            let mut seen = ContextCounts::default();
            context.count(&symbols, ROWS, &mut seen);
            table = CodeTable::Context(context.starting_from(&seen));
        }
        let mut bytes = Vec::new();
        table.encode(&symbols, ROWS, &mut bytes).unwrap();
        let mut out = Vec::new();
        group.bench_function(format!("{}/encode", coder.id()), |bencher| {
            bencher.iter(|| {
                out.clear();
                table.encode(black_box(&symbols), ROWS, &mut out).unwrap()
            });
        });
        let mut decoded = Vec::new();
        group.bench_function(format!("{}/decode", coder.id()), |bencher| {
            bencher.iter(|| {
                decoded.clear();
                table.decode(black_box(&bytes), COUNT, ROWS, &mut decoded).unwrap()
            });
        });
    }
    group.finish();
}

fn gaps(criterion: &mut Criterion) {
    let symbols: Vec<u16> = noise().take(COUNT).map(|number| u16::from(number % 10 == 0)).collect();
    let mut counts = GapCounts::new();
    counts.add_block(&symbols);
    let table = GapTable::new(&counts).unwrap();
    let mut bytes = Vec::new();
    table.encode(&symbols, &mut bytes).unwrap();
    let mut group = criterion.benchmark_group("gaps");
    group.throughput(Throughput::Elements(COUNT as u64)).sample_size(20);
    let mut out = Vec::new();
    group.bench_function("encode", |bencher| {
        bencher.iter(|| {
            out.clear();
            table.encode(black_box(&symbols), &mut out).unwrap()
        });
    });
    let mut positions = Vec::new();
    group.bench_function("decode", |bencher| {
        bencher.iter(|| {
            positions.clear();
            table.decode(black_box(&bytes), counts.non_zeros() as usize, COUNT, &mut positions).unwrap()
        });
    });
    group.finish();
}

/// Kept weights, Gaussian; throughput is in bytes of elements.
fn kept(criterion: &mut Criterion) {
    let numbers: Vec<u32> = noise().take(4 * COUNT).collect();
    let gaussian =
        |four: &[u32; 4]| (four.iter().map(|n| f64::from(*n)).sum::<f64>() / f64::from(1 << 25) - 1.0) as f32;
    let weights: Vec<f32> = numbers.as_chunks::<4>().0.iter().map(|four| 0.05 * gaussian(four)).collect();
    let pruned: Vec<f32> = weights.iter().map(|w| if w.abs() < 0.02 { 0.0 } else { *w }).collect();
    let mut group = criterion.benchmark_group("planes");
    group.sample_size(20);
    let cases =
        [("f32", Dtype::F32, &weights), ("f32_pruned", Dtype::F32, &pruned), ("bf16", Dtype::Bf16, &weights)];
    for (name, dtype, weights) in cases {
        let mut elements = Vec::new();
        dtype.extend_bytes(weights, &mut elements);
        let coded = planes::encode(&elements, dtype, ROWS).unwrap().unwrap();
        println!("planes/{name}: {} bytes become {}", elements.len(), coded.len());
        group.throughput(Throughput::Bytes(elements.len() as u64));
        group.bench_function(format!("{name}/encode"), |bencher| {
            bencher.iter(|| planes::encode(black_box(&elements), dtype, ROWS).unwrap());
        });
        let mut decoded = Vec::new();
        group.bench_function(format!("{name}/decode"), |bencher| {
            bencher.iter(|| {
                decoded.clear();
                planes::decode(black_box(&coded), dtype, ROWS, COUNT, &mut decoded).unwrap();
            });
        });
    }
    group.finish();
}

/// One block of a container, from checksum to float32 elements.
fn container(criterion: &mut Criterion) {
    let symbols = gaussian_symbols();
    let mut counts = [0; 16];
    for symbol in &symbols {
        counts[usize::from(*symbol)] += 1;
    }
    let mut group = criterion.benchmark_group("container");
    group.throughput(Throughput::Elements(COUNT as u64)).sample_size(20);
    for coder in Coder::ALL {
        let table = CodeTable::new(coder, &counts).unwrap();
        let coding =
            Coding { granularity: Granularity::Tensor, first_codebook: 0, code_table: 0, gap_table: None };
        let content = Content::Quantized(coding);
        let entry = Entry {
            name: "w".to_owned(),
            shape: vec![COUNT as u64],
            dtype: Dtype::F32,
            role: Role::Weight,
            content,
            place: None,
        };
        let tables = Tables {
            codebooks: vec![Codebook::of_levels((0..16u8).map(f32::from).collect(), false).unwrap()],
            code_tables: vec![table.clone()],
            gap_tables: vec![],
        };
        let manifest = Manifest { tensors: vec![entry], ..Manifest::default() };
        let mut writer = Writer::new(Vec::new(), manifest, tables).unwrap();
        writer.write_block(0, 0, &encode_block(&symbols, &table, None, Rows::default()).unwrap()).unwrap();
        let (_, file) = writer.finish().unwrap();
        let reader = Reader::open(&file, Limits::default()).unwrap();
        let decoder = reader.decoder(0).unwrap();
        let mut bytes = Vec::new();
        group.bench_function(format!("{}/decode_block", coder.id()), |bencher| {
            bencher.iter(|| {
                bytes.clear();
                decoder.decode_block(black_box(&file), 0, &mut bytes).unwrap();
            });
        });
    }
    group.finish();
}

criterion_group!(benches, coders, gaps, kept, container);
criterion_main!(benches);
