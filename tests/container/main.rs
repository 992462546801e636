//! Containers through the public interface: round trips, ledgers, golden bytes, refusals.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

mod damage;
#[cfg(not(target_arch = "wasm32"))]
mod properties;
#[path = "../support/resign.rs"]
mod resign;

use quantscope::code::{Assigned, Code, Codebook, Fit, ScaleType, Scaled, ScaledCode};
use quantscope::compensation::ErrorCosts;
use quantscope::container::{
    BLOCK_WEIGHTS, BlockEncoding, Coding, ContainerError, ContainerErrorKind, Content, EncodedBlock, Entry,
    Granularity, Ledger, Limits, Manifest, Reader, Tables, Writer, block_weights, encode_block, rows_of,
};
use quantscope::entropy::{CodeTable, Coder, GapCounts, GapTable, Positions, Rows};
use quantscope::formats::Source;
use quantscope::model::FileFormat;
use quantscope::number_format::Format;
use quantscope::role::Role;
use quantscope::tensor::Dtype;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

/// A tensor to write.
#[derive(Debug, Clone)]
enum Data {
    /// Little-endian elements.
    Kept(Vec<u8>),
    SameAs(usize),
    Quantized {
        symbols: Vec<u16>,
        codebooks: Vec<Codebook>,
        granularity: Granularity,
        coder: Coder,
        positions: Positions,
    },
    /// Weights with the number format that they are rounded to, in its record.
    Scaled {
        weights: Vec<f32>,
        format: ScaledCode,
        coder: Coder,
    },
}

/// A tensor's weights block by block: the number of the block, its symbols, and what goes with them.
fn scaled_blocks(shape: &[u64], weights: &[f32], format: &ScaledCode) -> Vec<(Rows, Vec<u16>, Assigned)> {
    let code = Code::Scaled(format.clone());
    let chunks = weights.chunks(block_weights(shape) as usize).zip(0..);
    chunks
        .map(|(chunk, block)| {
            let (rows, mut symbols) = (rows_of(shape, block), Vec::new());
            let assigned = code.assign(chunk, ErrorCosts::default(), rows, None, &mut symbols).unwrap();
            (rows, symbols, assigned)
        })
        .collect()
}

#[derive(Debug, Clone)]
struct Sample {
    name: String,
    shape: Vec<u64>,
    dtype: Dtype,
    data: Data,
}

impl Sample {
    fn new(name: &str, shape: &[u64], dtype: Dtype, data: Data) -> Self {
        Self { name: name.to_owned(), shape: shape.to_vec(), dtype, data }
    }

    /// The bytes that must come back.
    fn expected(&self, all: &[Self]) -> Vec<u8> {
        match &self.data {
            Data::Kept(bytes) => bytes.clone(),
            Data::SameAs(of) => all[*of].expected(all),
            Data::Quantized { symbols, codebooks, granularity, .. } => {
                let row = match granularity {
                    Granularity::Channel => symbols.len() / self.shape[0].max(1) as usize,
                    Granularity::Tensor => symbols.len(),
                };
                let mut bytes = Vec::new();
                for (i, symbol) in symbols.iter().enumerate() {
                    let codebook = &codebooks[i / row];
                    let value = match (codebook, *symbol) {
                        (Codebook::Levels(_), 0) if codebook.pruned() => 0.0,
                        (Codebook::Levels(levels), symbol) => {
                            levels.values()[usize::from(symbol) - usize::from(codebook.pruned())]
                        }
                        (_, symbol) => codebook.all_values()[usize::from(symbol)],
                    };
                    self.dtype.extend_bytes(&[value], &mut bytes);
                }
                bytes
            }
            Data::Scaled { weights, format, .. } => {
                let (codebook, mut values) = (Codebook::Scaled(format.codebook().clone()), Vec::new());
                for (rows, symbols, assigned) in scaled_blocks(&self.shape, weights, format) {
                    codebook.extend_values(&symbols, assigned.scales(rows), &mut values);
                }
                let mut bytes = Vec::new();
                self.dtype.extend_bytes(&values, &mut bytes);
                bytes
            }
        }
    }
}

/// A container with one code table (and gap table) per quantized tensor.
fn written(samples: &[Sample], manifest: Manifest) -> (Ledger, Vec<u8>) {
    let mut manifest = manifest;
    let mut tables = Tables::default();
    let mut blocks = Vec::new();
    for (tensor, sample) in samples.iter().enumerate() {
        let whole = block_weights(&sample.shape) as usize;
        let content = match &sample.data {
            Data::Kept(bytes) => {
                let chunks = bytes.chunks(whole * sample.dtype.size_bytes() as usize);
                for (b, chunk) in chunks.enumerate() {
                    let rows = rows_of(&sample.shape, b as u64);
                    blocks.push((tensor, b, EncodedBlock::kept(chunk.to_vec(), sample.dtype, rows).unwrap()));
                }
                Content::Kept
            }
            Data::SameAs(of) => Content::SameAs(*of),
            Data::Quantized { symbols, codebooks, granularity, coder, positions } => {
                let gaps = (*positions == Positions::Gaps).then(|| {
                    let mut counts = GapCounts::new();
                    symbols.chunks(whole).for_each(|block| counts.add_block(block));
                    GapTable::new(&counts).unwrap()
                });
                let alphabet = codebooks.iter().map(|codebook| codebook.symbols()).max().unwrap_or(1);
                let mut counts = vec![0; alphabet];
                for symbol in symbols {
                    counts[usize::from(*symbol)] += 1;
                }
                let counted = if gaps.is_some() { &counts[1..] } else { &counts[..] };
                let table = CodeTable::new(*coder, counted).unwrap();
                for (b, block) in symbols.chunks(whole).enumerate() {
                    let rows = rows_of(&sample.shape, b as u64);
                    blocks.push((tensor, b, encode_block(block, &table, gaps.as_ref(), rows).unwrap()));
                }
                let coding = Coding {
                    granularity: *granularity,
                    first_codebook: tables.codebooks.len(),
                    code_table: tables.code_tables.len(),
                    gap_table: gaps.as_ref().map(|_| tables.gap_tables.len()),
                };
                tables.codebooks.extend(codebooks.iter().cloned());
                tables.code_tables.push(table);
                tables.gap_tables.extend(gaps);
                Content::Quantized(coding)
            }
            Data::Scaled { weights, format, coder } => {
                let codebook = Codebook::Scaled(format.codebook().clone());
                let all = scaled_blocks(&sample.shape, weights, format);
                let mut counts = vec![0; codebook.symbols()];
                all.iter().flat_map(|(_, symbols, _)| symbols).for_each(|s| counts[usize::from(*s)] += 1);
                let table = CodeTable::new(*coder, &counts).unwrap();
                for (b, (rows, symbols, assigned)) in all.into_iter().enumerate() {
                    let block = encode_block(&symbols, &table, None, rows).unwrap();
                    blocks.push((tensor, b, block.with_scales(assigned.scales).unwrap()));
                }
                let coding = Coding {
                    granularity: Granularity::Tensor,
                    first_codebook: tables.codebooks.len(),
                    code_table: tables.code_tables.len(),
                    gap_table: None,
                };
                tables.codebooks.push(codebook);
                tables.code_tables.push(table);
                Content::Quantized(coding)
            }
        };
        let Sample { name, shape, dtype, .. } = sample.clone();
        manifest.tensors.push(Entry { name, shape, dtype, role: Role::Weight, content, place: None });
    }
    let mut writer = Writer::new(Vec::new(), manifest, tables).unwrap();
    for (tensor, block, encoded) in blocks {
        writer.write_block(tensor, block as u64, &encoded).unwrap();
    }
    writer.finish().unwrap()
}

/// Everything that a container decodes to, tensor by tensor.
fn decoded(file: &dyn Source) -> Result<Vec<Vec<u8>>, ContainerError> {
    let reader = Reader::open(file, Limits::default())?;
    (0..reader.manifest().tensors.len())
        .map(|tensor| {
            let decoder = reader.decoder(tensor)?;
            let mut bytes = Vec::new();
            for block in 0..decoder.blocks() {
                decoder.decode_block(file, block, &mut bytes)?;
            }
            Ok(bytes)
        })
        .collect()
}

/// Writes, reads, compares bytes, manifest and ledger.
fn assert_round_trip(samples: &[Sample]) -> (Ledger, Vec<u8>) {
    let (ledger, file) = written(samples, Manifest::default());
    assert_eq!(ledger.total_bits(), 8 * file.len() as u64);
    let reader = Reader::open(&file, Limits::default()).unwrap();
    assert_eq!(reader.ledger(), &ledger);
    reader.verify_checksums(&file).unwrap();
    for (entry, sample) in reader.manifest().tensors.iter().zip(samples) {
        assert_eq!((&entry.name, &entry.shape, entry.dtype), (&sample.name, &sample.shape, sample.dtype));
    }
    let expected: Vec<Vec<u8>> = samples.iter().map(|sample| sample.expected(samples)).collect();
    assert_eq!(decoded(&file).unwrap(), expected);
    (ledger, file)
}

fn quantized(symbols: &[u16], codebook: Codebook, coder: Coder, positions: Positions) -> Data {
    Data::Quantized {
        symbols: symbols.to_vec(),
        codebooks: vec![codebook],
        granularity: Granularity::Tensor,
        coder,
        positions,
    }
}

fn codebook(levels: &[f32], pruned: bool) -> Codebook {
    Codebook::of_levels(levels.to_vec(), pruned).unwrap()
}

/// One tensor of each kind.
fn assorted() -> Vec<Sample> {
    let pruned = [0, 0, 2, 0, 1, 0, 0, 0, 0, 0, 3, 1, 0, 0, 0, 0, 0, 0, 2, 0];
    let per_channel = Data::Quantized {
        symbols: vec![0, 1, 1, 2, 0, 0],
        codebooks: vec![
            codebook(&[0.1, 0.2], false),
            codebook(&[1.0, 2.0, 3.0], false),
            codebook(&[-7.0], false),
        ],
        granularity: Granularity::Channel,
        coder: Coder::Rans,
        positions: Positions::Symbols,
    };
    let levels = codebook(&[-0.25, 0.125, 0.75], true);
    vec![
        Sample::new(
            "a.gaps",
            &[4, 5],
            Dtype::F32,
            quantized(&pruned, levels.clone(), Coder::Huffman, Positions::Gaps),
        ),
        Sample::new("b.channels", &[3, 2], Dtype::F16, per_channel),
        Sample::new("c.kept", &[3], Dtype::I32, Data::Kept([1i32, -2, 3].map(i32::to_le_bytes).concat())),
        Sample::new("d.deflated", &[64], Dtype::F32, Data::Kept(repeating())),
        Sample::new("e.tied", &[20], Dtype::F32, Data::SameAs(0)),
        Sample::new("f.scalar", &[], Dtype::Bf16, quantized(&[2], levels, Coder::Fixed, Positions::Symbols)),
        Sample::new("g.empty", &[0, 3], Dtype::F64, Data::Kept(vec![])),
        Sample::new("h.planes", &[6, 10], Dtype::F32, Data::Kept(smooth(60))),
        Sample::new("i.scaled", &[4, 9], Dtype::F32, scaled(36, 4, 4, Coder::Huffman)),
    ]
}

/// Weights of two magnitudes as integers of so many bits with a float16 scale for every `block`.
fn scaled(count: u32, bits: u32, block: u32, coder: Coder) -> Data {
    let weight = |i: u32| ((i * 7 % 11) as f32 - 5.0) * if i % 9 < 4 { 0.01 } else { 3.0 };
    let integers = Format::parse(&format!("int{bits}")).unwrap();
    let format = Scaled::new(integers, ScaleType::F16, block).unwrap();
    let format = ScaledCode::new(format, Fit::Largest).unwrap();
    Data::Scaled { weights: (0..count).map(weight).collect(), format, coder }
}

/// Four float32 numbers over and over: longer than deflate's shortest match, and with bytes of all kinds.
fn repeating() -> Vec<u8> {
    (0..256u32).map(|i| (i % 16 * 37) as u8).collect()
}

/// Little-endian float32 numbers between 0.5 and 2 with noise in the mantissa, every fourth of them zero.
fn smooth(count: u32) -> Vec<u8> {
    let number =
        |i: u32| if i % 4 == 3 { 0.0 } else { 0.5 + (i.wrapping_mul(2_654_435_761) >> 8) as f32 / 1.2e7 };
    (0..count).flat_map(|i| number(i).to_le_bytes()).collect()
}

/// The assorted tensors with a full manifest.
fn golden() -> Vec<u8> {
    let manifest = Manifest {
        source_name: "model.safetensors".to_owned(),
        source_format: FileFormat::Safetensors,
        source_bytes: 1234,
        content_hash: 0x0123_4567_89ab_cdef_0011_2233_4455_6677,
        recipe: r#"{"quantizer":"kmeans","k":4}"#.to_owned(),
        metadata: [("format".to_owned(), "pt".to_owned())].into(),
        ..Manifest::default()
    };
    written(&assorted(), manifest).1
}

/// The example of docs/format.md.
fn example() -> Vec<u8> {
    let data =
        quantized(&[1, 0, 1, 2], codebook(&[-0.5, 0.0, 0.5], false), Coder::Huffman, Positions::Symbols);
    let manifest = Manifest {
        source_name: "m.npy".to_owned(),
        source_format: FileFormat::Npy,
        source_bytes: 144,
        content_hash: 0x0011_2233_4455_6677_8899_aabb_ccdd_eeff,
        recipe: "k=3".to_owned(),
        ..Manifest::default()
    };
    written(&[Sample::new("weight", &[2, 2], Dtype::F32, data)], manifest).1
}

#[test]
fn every_kind_of_content_reads_back() {
    assert_round_trip(&assorted());
    assert_round_trip(&[]);
}

/// A change of these bytes is a change of the format: it needs a new version, or is a mistake.
#[test]
fn the_bytes_of_a_container_are_the_golden_ones() {
    let file = golden();
    assert_eq!(
        (file.len(), xxhash_rust::xxh3::xxh3_128(&file)),
        GOLDEN,
        "{:#034x}",
        xxhash_rust::xxh3::xxh3_128(&file)
    );
}

const GOLDEN: (usize, u128) = (615, 0x0109_adf3_b149_de3d_3ddb_f8ff_8404_1e8c);

#[test]
fn the_manifest_reads_back() {
    let file = golden();
    let reader = Reader::open(&file, Limits::default()).unwrap();
    let manifest = reader.manifest();
    assert_eq!((manifest.source_name.as_str(), manifest.source_bytes), ("model.safetensors", 1234));
    assert_eq!(manifest.content_hash, 0x0123_4567_89ab_cdef_0011_2233_4455_6677);
    assert_eq!(manifest.recipe, r#"{"quantizer":"kmeans","k":4}"#);
    assert_eq!(manifest.metadata.get("format").map(String::as_str), Some("pt"));
    assert_eq!(manifest.tensors[4].content, Content::SameAs(0));
}

#[test]
fn the_worked_example_of_the_format_document_is_what_the_writer_writes() {
    let document = include_str!("../../docs/format.md");
    let dump: Vec<String> = example()
        .chunks(16)
        .enumerate()
        .map(|(line, bytes)| {
            let hex: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("{:08x}  {}", line * 16, hex.join(" "))
        })
        .collect();
    assert!(document.contains(&dump.join("\n")), "docs/format.md should show\n{}", dump.join("\n"));
}

#[test]
fn tensors_of_several_blocks_read_back_with_codebooks_across_block_ends() {
    let len = BLOCK_WEIGHTS + 1501;
    let symbols: Vec<u16> =
        (0..len as u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 28).saturating_sub(12) as u16).collect();
    let levels = codebook(&[-1.0, 0.5, 2.0], true);
    for (coder, positions) in [(Coder::Huffman, Positions::Gaps), (Coder::Rans, Positions::Symbols)] {
        let data = quantized(&symbols, levels.clone(), coder, positions);
        let (ledger, _) = assert_round_trip(&[Sample::new("w", &[len as u64], Dtype::F32, data)]);
        assert_eq!(ledger.position_bits > 0, positions == Positions::Gaps);
    }
    let rows = 7;
    let symbols = &symbols[..len / rows * rows];
    let codebooks = (0..rows).map(|row| codebook(&[row as f32, 0.5, -(row as f32)], true)).collect();
    let data = Data::Quantized {
        symbols: symbols.to_vec(),
        codebooks,
        granularity: Granularity::Channel,
        coder: Coder::Huffman,
        positions: Positions::Gaps,
    };
    assert_round_trip(&[Sample::new("w", &[rows as u64, (symbols.len() / rows) as u64], Dtype::Bf16, data)]);
    let kept = Data::Kept((0..4 * len as u64).map(|i| ((i * i) >> 5) as u8).collect());
    assert_round_trip(&[Sample::new("kept", &[len as u64], Dtype::F32, kept)]);
}

#[test]
fn scales_read_back_where_blocks_end_within_rows_and_rows_within_blocks() {
    let len = BLOCK_WEIGHTS as u64 + 1501;
    for shape in [vec![len], vec![2, len], vec![len / 1000, 1000]] {
        let count = shape.iter().product::<u64>() as u32;
        let (ledger, _) =
            assert_round_trip(&[Sample::new("w", &shape, Dtype::F32, scaled(count, 3, 48, Coder::Rans))]);
        assert!(ledger.scale_bits > 0 && ledger.scale_bits < 16 * (u64::from(count) / 40), "{ledger:?}");
        assert_eq!(ledger.tensors[0].scale_bits, ledger.scale_bits);
    }
}

#[test]
fn codebooks_with_scales_are_for_whole_tensors_and_blocks_with_scales() {
    let table = CodeTable::new(Coder::Fixed, &[1; 15]).unwrap();
    let Data::Scaled { format, .. } = scaled(4, 4, 2, Coder::Fixed) else { unreachable!() };
    let writer = |granularity| {
        let coding = Coding { granularity, first_codebook: 0, code_table: 0, gap_table: None };
        let entry = Entry {
            name: "w".to_owned(),
            shape: vec![1, 4],
            dtype: Dtype::F32,
            role: Role::Weight,
            content: Content::Quantized(coding),
            place: None,
        };
        let tables = Tables {
            codebooks: vec![Codebook::Scaled(format.codebook().clone())],
            code_tables: vec![table.clone()],
            gap_tables: vec![],
        };
        Writer::new(Vec::new(), Manifest { tensors: vec![entry], ..Manifest::default() }, tables)
    };
    let error = writer(Granularity::Channel).unwrap_err();
    assert!(request(&error).contains("one codebook where values have scales"), "{error}");
    let mut writer = writer(Granularity::Tensor).unwrap();
    let bare = encode_block(&[1, 2, 3, 4], &table, None, Rows::default()).unwrap();
    writer.write_block(0, 0, &bare).unwrap();
    let (_, file) = writer.finish().unwrap();
    assert!(decoded(&file).unwrap_err().to_string().contains("scales where"));
}

#[test]
fn kept_tensors_of_several_blocks_read_back_in_planes_with_rows_across_block_ends() {
    for (dtype, size) in [(Dtype::F32, 4), (Dtype::Bf16, 2), (Dtype::C64, 8)] {
        let (rows, columns) = (BLOCK_WEIGHTS / 1000 + 2, 1000);
        let mut bytes = smooth((rows * columns * size / 4) as u32);
        if dtype == Dtype::Bf16 {
            bytes = bytes.chunks(4).flat_map(|float| [float[2], float[3], float[3], float[3]]).collect();
        }
        let shape = [rows as u64, columns as u64];
        let (ledger, file) = assert_round_trip(&[Sample::new("kept", &shape, dtype, Data::Kept(bytes))]);
        assert!((file.len() as f64) < 0.8 * (rows * columns * size) as f64, "{dtype:?}: {}", file.len());
        assert_eq!((ledger.value_bits, ledger.padding_bits), (0, 0));
    }
}

#[test]
fn a_kept_block_takes_the_smallest_encoding() {
    let encoding =
        |bytes: &[u8], dtype| EncodedBlock::kept(bytes.to_vec(), dtype, Rows::default()).unwrap().encoding;
    assert_eq!(encoding(&[1, 2, 3, 4], Dtype::U8), BlockEncoding::Stored);
    assert_eq!(encoding(&[], Dtype::F32), BlockEncoding::Stored);
    assert_eq!(encoding(&repeating(), Dtype::F32), BlockEncoding::Deflated);
    assert_eq!(encoding(&smooth(60), Dtype::F32), BlockEncoding::Planes);
}

#[test]
fn a_small_network_has_little_overhead() {
    let shapes: [(&str, &[u64]); 8] = [
        ("conv1.weight", &[20, 1, 5, 5]),
        ("conv1.bias", &[20]),
        ("conv2.weight", &[50, 20, 5, 5]),
        ("conv2.bias", &[50]),
        ("ip1.weight", &[500, 800]),
        ("ip1.bias", &[500]),
        ("ip2.weight", &[10, 500]),
        ("ip2.bias", &[10]),
    ];
    let levels = codebook(&[-0.3, -0.2, 0.1, 0.2, 0.3], true);
    let samples: Vec<Sample> = shapes
        .iter()
        .map(|(name, shape)| {
            let len = shape.iter().product::<u64>() as u32;
            let symbols: Vec<u16> =
                (0..len).map(|i| (i.wrapping_mul(2_654_435_761) >> 27).saturating_sub(26) as u16).collect();
            Sample::new(
                name,
                shape,
                Dtype::F32,
                quantized(&symbols, levels.clone(), Coder::Huffman, Positions::Gaps),
            )
        })
        .collect();
    let (ledger, _) = assert_round_trip(&samples);
    let overhead = (ledger.framing_bits + ledger.manifest_bits + ledger.padding_bits) / 8;
    assert!(overhead < 350, "{overhead} bytes: {:?}", ledger.rows());
}

#[test]
fn a_tensor_that_is_pruned_away_entirely_reads_back() {
    for (coder, positions) in Coder::ALL.into_iter().flat_map(|c| Positions::ALL.map(|p| (c, p))) {
        let data = quantized(&[0; 1000], codebook(&[], true), coder, positions);
        assert_round_trip(&[Sample::new("w", &[1000], Dtype::F32, data)]);
    }
}

#[test]
fn symbols_of_a_block_can_be_read() {
    let file = golden();
    let reader = Reader::open(&file, Limits::default()).unwrap();
    let mut symbols = Vec::new();
    reader.symbols(&file, 1, 0, &mut symbols).unwrap();
    assert_eq!(symbols, [0, 1, 1, 2, 0, 0]);
    assert!(reader.symbols(&file, 2, 0, &mut symbols).is_err());
    assert!(reader.symbols(&file, 1, 1, &mut symbols).is_err());
    assert!(reader.decode_block(&file, 99, 0, &mut Vec::new()).is_err());
}

fn request(error: &ContainerError) -> String {
    assert!(matches!(error.kind(), ContainerErrorKind::Request { .. }), "{error:?}");
    error.to_string()
}

#[test]
fn blocks_out_of_order_or_missing_are_refused() {
    let entry = |name: &str| Entry {
        name: name.to_owned(),
        shape: vec![2],
        dtype: Dtype::U8,
        role: Role::Other,
        content: Content::Kept,
        place: None,
    };
    let manifest = Manifest { tensors: vec![entry("a"), entry("b")], ..Manifest::default() };
    let mut writer = Writer::new(Vec::new(), manifest, Tables::default()).unwrap();
    let kept = |bytes: &[u8]| EncodedBlock::kept(bytes.to_vec(), Dtype::U8, Rows::default()).unwrap();
    let block = kept(&[1, 2]);
    let error = writer.write_block(1, 0, &block).unwrap_err();
    assert_eq!(request(&error), "block: expected block 0 of tensor 0, found block 0 of tensor 1");
    assert!(writer.write_block(0, 0, &kept(&[1])).is_err());
    writer.write_block(0, 0, &block).unwrap();
    assert_eq!(request(&writer.finish().unwrap_err()), r#"tensor "b": expected 1 blocks, found 0"#);
}

#[test]
fn manifests_that_cannot_hold_are_refused() {
    let coding =
        Coding { granularity: Granularity::Tensor, first_codebook: 0, code_table: 0, gap_table: None };
    let cases = [
        (vec![2], Dtype::I32, Content::Quantized(coding), "floating-point"),
        (vec![2], Dtype::F32, Content::Quantized(coding), "codebooks"),
        (
            vec![],
            Dtype::F32,
            Content::Quantized(Coding { granularity: Granularity::Channel, ..coding }),
            "leading axis",
        ),
        (vec![1 << 40, 1 << 40, 0], Dtype::F32, Content::Kept, "2^63"),
        (vec![2], Dtype::F32, Content::SameAs(1), "earlier tensor"),
        (vec![3], Dtype::U8, Content::SameAs(0), "to equal"),
    ];
    for (shape, dtype, content, word) in cases {
        let role = Role::Weight;
        let first = Entry {
            name: "a".to_owned(),
            shape: vec![2],
            dtype: Dtype::U8,
            role,
            content: Content::Kept,
            place: None,
        };
        let second = Entry { name: "b".to_owned(), shape, dtype, role, content, place: None };
        let manifest = Manifest { tensors: vec![first, second], ..Manifest::default() };
        let error = Writer::new(Vec::new(), manifest, Tables::default()).unwrap_err();
        assert!(request(&error).contains(word), "{error}");
    }
}
