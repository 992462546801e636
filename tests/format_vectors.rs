//! The test vectors of `docs/format.md` are what the encoders write.
//!
//! Where they are to change, `QUANTSCOPE_GOLDEN=write cargo test --test format_vectors` writes them anew;
//! `experiments/qsz.py vectors` decodes them.
#![cfg(not(target_arch = "wasm32"))]
#![allow(clippy::unwrap_used, clippy::expect_used)]

use quantscope::code::{Codebook, Scales};
use quantscope::container::{BlockEncoding, encode_block};
use quantscope::entropy::{
    CodeTable, Coder, Context, ContextCounts, GapCounts, GapTable, Numbering, Rows, Trellis, planes,
};
use quantscope::random::SplitMix64;
use quantscope::tensor::Dtype;
use std::fmt::Write as _;

const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/format.md");
const BEGIN: &str = "<!-- vectors -->\n\n```text\n";
const END: &str = "```\n\n<!-- /vectors -->";

/// Symbols and bytes up to this many are written out; of more, the first of them, their number and their CRC-32.
const WRITTEN_OUT: usize = 96;
const FIRST: usize = 32;

/// A vector being written: a title, then a line per part.
struct Vector(String);

impl Vector {
    fn new(title: &str) -> Self {
        Self(format!("# {title}\n"))
    }

    /// A part whose words go on in further, indented lines.
    fn part(&mut self, name: &str, words: &[String]) {
        let lines: Vec<String> = words.chunks(32).map(|words| words.join(" ")).collect();
        let line = format!("{name:9}{}", lines.join("\n         "));
        let _ = writeln!(self.0, "{}", line.trim_end());
    }

    fn bytes(&mut self, name: &str, bytes: &[u8]) {
        self.part(name, &bytes.iter().map(|byte| format!("{byte:02x}")).collect::<Vec<_>>());
    }

    /// What is decoded: all of it, or enough to tell it.
    fn decoded(&mut self, name: &str, words: &[String], bytes: &[u8]) {
        if words.len() <= WRITTEN_OUT {
            return self.part(name, words);
        }
        let crc = crc32fast::hash(bytes);
        self.part(
            name,
            &[words.len().to_string(), "with".to_owned(), "CRC-32".to_owned(), format!("{crc:08x}")],
        );
        self.part("first", &words[..FIRST]);
    }

    fn symbols(&mut self, symbols: &[u16]) {
        let words: Vec<String> = symbols.iter().map(u16::to_string).collect();
        self.decoded(
            "symbols",
            &words,
            &symbols.iter().flat_map(|symbol| symbol.to_le_bytes()).collect::<Vec<_>>(),
        );
    }

    fn elements(&mut self, elements: &[u8]) {
        let words: Vec<String> = elements.iter().map(|byte| format!("{byte:02x}")).collect();
        self.decoded("elements", &words, elements);
    }

    fn rows(&mut self, rows: Rows) {
        self.part("rows", &[rows.length, rows.start].map(|number| number.to_string()));
    }
}

/// A run of symbols in a code.
fn coded(title: &str, table: &CodeTable, rows: Rows, symbols: &[u16]) -> String {
    let mut code = Vec::new();
    table.encode(symbols, rows, &mut code).unwrap();
    let mut decoded = Vec::new();
    table.decode(&code, symbols.len(), rows, &mut decoded).unwrap();
    assert_eq!(decoded, symbols);
    let mut vector = Vector::new(title);
    vector.bytes("table", &table.to_bytes());
    if rows.length > 0 {
        vector.rows(rows);
    }
    vector.bytes("code", &code);
    vector.symbols(symbols);
    vector.0
}

/// A block of gaps.
fn gaps(symbols: &[u16]) -> String {
    let mut counts = GapCounts::new();
    counts.add_block(symbols);
    let gaps = GapTable::new(&counts).unwrap();
    let mut values = [0; 3];
    symbols.iter().filter(|symbol| **symbol > 0).for_each(|symbol| values[usize::from(*symbol) - 1] += 1);
    let table = CodeTable::new(Coder::Huffman, &values).unwrap();
    let block = encode_block(symbols, &table, Some(&gaps), Rows::default()).unwrap();
    let BlockEncoding::Gaps { position_bytes, .. } = block.encoding else { panic!("gaps become gaps") };
    let mut vector = Vector::new("gaps between non-zeros, their values in a Huffman code");
    vector.bytes("table", &table.to_bytes());
    vector.bytes("gaps", &gaps.to_bytes());
    vector.part("split", &[position_bytes.to_string()]);
    vector.bytes("code", &block.bytes);
    vector.symbols(symbols);
    vector.0
}

/// Elements in byte planes.
fn plane(title: &str, dtype: Dtype, rows: Rows, elements: &[u8]) -> String {
    let code = planes::encode(elements, dtype, rows).unwrap().expect("planes save something");
    let mut vector = Vector::new(title);
    vector.part("type", &[dtype.name().to_owned()]);
    vector.rows(rows);
    vector.bytes("code", &code);
    vector.elements(elements);
    vector.0
}

/// Levels rounded to a type.
fn levels(dtype: Dtype, levels: &[f32]) -> String {
    let symbols: Vec<u16> = (0..levels.len() as u16).collect();
    let mut elements = Vec::new();
    Codebook::of_levels(levels.to_vec(), false).unwrap().extend_elements(
        dtype,
        &symbols,
        Scales::default(),
        &mut elements,
    );
    let mut vector = Vector::new(&format!("levels as elements of type {}", dtype.name()));
    vector.part("type", &[dtype.name().to_owned()]);
    vector.bytes("levels", &levels.iter().flat_map(|level| level.to_le_bytes()).collect::<Vec<_>>());
    vector.elements(&elements);
    vector.0
}

/// A whole number near zero, of about this size: a sum of four even ones.
fn noise(random: &mut SplitMix64, size: f64) -> i32 {
    let sum: f64 = (0..4).map(|_| random.unit() - 0.5).sum();
    (sum * 1.7 * size) as i32
}

fn rows(length: usize, start: usize) -> Rows {
    Rows { length, start, ..Rows::default() }
}

/// A context coder's table.
fn context(alphabet: usize, centre: u16, states: u32) -> Context {
    let context = Context::even(alphabet, Numbering { pruned: false, centre }).unwrap();
    context.along(Trellis::new(states).unwrap())
}

/// The symbols of these places along a trellis.
fn along(states: u32, centre: u16, places: impl Iterator<Item = i32>) -> Vec<u16> {
    let trellis = Trellis::new(states).unwrap();
    let mut state = 0;
    let symbol = |place: i32| {
        let number = trellis.number(state, place);
        state = trellis.next(state, place);
        (number + i32::from(centre)) as u16
    };
    places.map(symbol).collect()
}

fn static_codes() -> Vec<String> {
    let table = |coder, counts: &[u64]| CodeTable::new(coder, counts).unwrap();
    let none = Rows::default();
    let spread = |i: usize| u16::from(i.is_multiple_of(4096));
    let mut sparse = vec![0u16; 300];
    for (i, position) in [0, 1, 5, 9, 13, 14, 120, 124, 299].into_iter().enumerate() {
        sparse[position] = [1, 2, 1, 1, 3][i % 5];
    }
    vec![
        coded("fixed length", &table(Coder::Fixed, &[1; 5]), none, &[4, 0, 1, 2, 3, 4]),
        coded("Huffman", &table(Coder::Huffman, &[4, 2, 1, 1]), none, &[0, 1, 0, 2, 0, 0, 1, 3]),
        coded("Huffman, one symbol", &table(Coder::Huffman, &[9]), none, &[0; 9]),
        gaps(&sparse),
        coded("rANS", &table(Coder::Rans, &[50, 20, 2, 0]), none, &[0, 1, 0, 2, 0, 0, 1, 3, 0, 0]),
        coded(
            "rANS, four states",
            &table(Coder::Rans, &[65520, 17]),
            none,
            &(0..65_537).map(spread).collect::<Vec<_>>(),
        ),
    ]
}

fn context_codes() -> Vec<String> {
    let mut random = SplitMix64::new(10);
    let table = |context: Context| CodeTable::Context(context);
    let short = [3, 3, 4, 2, 3, 3, 3, 0, 6, 3, 3, 2, 5, 3, 3, 4];
    let far = [0, 1, 5, 6, 8, 12, 13, 99, 1000, 4097, 65_535, 0, 0];
    let zeros = [0, 0, 2, 0, 0, 0, 3, 0, 1, 0, 0, 0, 0, 4, 0, 2, 0, 0, 0, 0, 0, 0, 3, 0];
    let exact = Context::even(5, Numbering { pruned: true, centre: 3 }).unwrap();
    let mut counts = ContextCounts::default();
    (0..20).for_each(|_| exact.count(&zeros.repeat(9), Rows::default(), &mut counts));
    // Rows of different scale, their first in the middle.
    let scaled: Vec<u16> =
        (4..64).map(|i| (60 + noise(&mut random, [1.0, 4.0, 12.0][i % 3])) as u16).collect();
    let mut vectors = vec![
        coded("context, one state", &table(context(7, 3, 1)), Rows::default(), &short),
        coded("context, one state, far numbers", &table(context(65_536, 0, 1)), Rows::default(), &far),
        coded(
            "context, an exact zero and starts",
            &table(exact.starting_from(&counts)),
            Rows::default(),
            &zeros,
        ),
        coded("context, rows", &table(context(121, 60, 1)), rows(9, 4), &scaled),
    ];
    for states in [4, 8, 16, 32, 64] {
        let places = (0..40).map(|_| noise(&mut random, 2.0));
        let symbols = along(states, 20, places);
        vectors.push(coded(
            &format!("context, {states} states"),
            &table(context(41, 20, states)),
            rows(8, 0),
            &symbols,
        ));
    }
    vectors
}

fn predicted_codes() -> Vec<String> {
    let mut random = SplitMix64::new(11);
    let table = |context: Context| CodeTable::Context(context);
    // Kernels of 2 × 2 that are smooth.
    let mut smooth = |count: usize, size: f64| -> Vec<i32> {
        let mut at = 0;
        (0..count)
            .map(|i| {
                let kept = if i % 4 == 0 { 0 } else { 15 * at / 16 };
                at = (kept + noise(&mut random, if i % 4 == 0 { size } else { size / 5.0 })).clamp(-59, 59);
                at
            })
            .collect()
    };
    let kernels = Rows { length: 16, start: 0, kernel: 4, width: 2 };
    let numbers = smooth(384, 12.0);
    let positions: Vec<u16> = numbers.iter().map(|number| (number + 60) as u16).collect();
    let odd = along(8, 120, smooth(512, 12.0).into_iter());
    // A wave that drifts, which only what learns can follow.
    let (mut a, mut b, mut drift) = (30.0f64, 30.0f64, Vec::new());
    for i in 0..640 {
        let next = (1.99 - 0.0002 * f64::from(i)) * b - 0.998 * a;
        (a, b) = (b, next.clamp(-50.0, 50.0));
        drift.push((60 + b as i32 + noise(&mut random, 1.2)) as u16);
    }
    // A matrix of rank 1.
    let factor = |i: usize, m: usize| f64::from((i * i * m % 23) as u32) - 11.0;
    let rank: Vec<u16> =
        (0..4096).map(|i| (100.0 + factor(i / 16, 5) * factor(i % 16, 7) / 2.0) as u16).collect();
    vec![
        coded("context, positions in a kernel", &table(context(121, 60, 1)), kernels, &positions),
        coded("context, positions in a kernel, 8 states", &table(context(241, 120, 8)), kernels, &odd),
        coded("context, learning weights", &table(context(121, 60, 1)), rows(320, 0), &drift),
        coded("context, factors", &table(context(201, 100, 1)), rows(16, 0), &rank),
    ]
}

fn kept() -> Vec<String> {
    let mut random = SplitMix64::new(12);
    let mut floats = |count: usize, dtype: Dtype| -> Vec<u8> {
        let scale = |i: usize| [0.01, 0.3, 0.05][i / 6 % 3];
        let mut bytes = Vec::new();
        for i in 0..count {
            let value = (random.unit() + random.unit() - 1.0) * scale(i);
            let value = if i % 5 == 2 { value.signum() * 0.0 } else { value };
            dtype.extend_bytes(&[value as f32], &mut bytes);
        }
        bytes
    };
    let few: Vec<u8> =
        (0..400u32).flat_map(|i| (f64::from(i * i % 11) as f32 * 0.37 - 1.0).to_le_bytes()).collect();
    let mut random = SplitMix64::new(13);
    let signed: Vec<u8> = (0..48).flat_map(|_| (noise(&mut random, 300.0) as i16).to_le_bytes()).collect();
    let counts: Vec<u8> = (0..60).flat_map(|i: u32| (1000 + 4 * (i * 7 % 50)).to_le_bytes()).collect();
    vec![
        plane("planes, float32 with zeros", Dtype::F32, rows(6, 4), &floats(80, Dtype::F32)),
        plane("planes, bfloat16", Dtype::Bf16, rows(8, 0), &floats(48, Dtype::Bf16)),
        plane("planes, complex64", Dtype::C64, rows(3, 1), &floats(48, Dtype::F32)),
        plane("planes, float32 that repeats", Dtype::F32, rows(20, 0), &few),
        plane("planes, int16", Dtype::I16, rows(0, 0), &signed),
        plane("planes, uint32", Dtype::U32, rows(0, 0), &counts),
    ]
}

fn rounded() -> Vec<String> {
    let values = [
        0.0,
        -0.0,
        1.0,
        -1.625,
        1e-3,
        3e-8,
        65_519.0,
        65_520.0,
        -70_000.0,
        464.0,
        f32::MAX,
        f32::INFINITY,
        f32::NAN,
    ];
    let types = [Dtype::F64, Dtype::F16, Dtype::Bf16, Dtype::F8E4M3, Dtype::F8E5M2];
    types.map(|dtype| levels(dtype, &values)).into()
}

#[test]
fn the_test_vectors_of_the_format_document_are_what_the_encoders_write() {
    let vectors = [static_codes(), context_codes(), predicted_codes(), kept(), rounded()].concat().join("\n");
    let document = std::fs::read_to_string(DOCUMENT).unwrap();
    let (before, rest) = document.split_once(BEGIN).expect("docs/format.md says where vectors begin");
    let (found, after) = rest.split_once(END).expect("docs/format.md says where vectors end");
    if std::env::var("QUANTSCOPE_GOLDEN").is_ok_and(|wish| wish == "write") {
        std::fs::write(DOCUMENT, [before, BEGIN, &vectors, END, after].concat()).unwrap();
        return;
    }
    for (found, expected) in found.lines().zip(vectors.lines()) {
        assert_eq!(found, expected);
    }
    assert_eq!(found, vectors);
}
