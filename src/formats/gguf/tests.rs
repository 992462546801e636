//! Files built here, read through `formats::open`.

use super::companions;
use crate::formats::{Joined, Limits, Source, TensorReader, open};
use crate::model::{FileFormat, Model};
use crate::role::Role;
use crate::tensor::{Codec, Dtype, Storage};

/// A file under construction, of either byte order.
#[derive(Clone)]
struct File {
    is_big: bool,
    version: u32,
    keys: Vec<Vec<u8>>,
    tensors: Vec<(String, Vec<u64>, u32, Vec<u8>)>,
    alignment: usize,
}

impl File {
    fn new() -> Self {
        Self { is_big: false, version: 3, keys: Vec::new(), tensors: Vec::new(), alignment: 32 }
    }

    fn number<const N: usize>(&self, little: [u8; N]) -> Vec<u8> {
        let mut bytes = little.to_vec();
        if self.is_big {
            bytes.reverse();
        }
        bytes
    }

    fn text(&self, text: &str) -> Vec<u8> {
        [self.number((text.len() as u64).to_le_bytes()), text.as_bytes().to_vec()].concat()
    }

    fn key(mut self, name: &str, kind: u32, value: &[u8]) -> Self {
        let key = [self.text(name), self.number(kind.to_le_bytes()), value.to_vec()].concat();
        self.keys.push(key);
        self
    }

    fn count(self, name: &str, value: u32) -> Self {
        let value = self.number(value.to_le_bytes());
        self.key(name, 4, &value)
    }

    /// A tensor with its dimensions innermost first.
    fn tensor(mut self, name: &str, shape: &[u64], kind: u32, bytes: Vec<u8>) -> Self {
        self.tensors.push((name.to_owned(), shape.to_vec(), kind, bytes));
        self
    }

    fn bytes(&self) -> Vec<u8> {
        let mut file = b"GGUF".to_vec();
        file.extend(self.number(self.version.to_le_bytes()));
        file.extend(self.number((self.tensors.len() as u64).to_le_bytes()));
        file.extend(self.number((self.keys.len() as u64).to_le_bytes()));
        file.extend(self.keys.concat());
        let mut data = Vec::new();
        for (name, shape, kind, bytes) in &self.tensors {
            file.extend(self.text(name));
            file.extend(self.number((shape.len() as u32).to_le_bytes()));
            for extent in shape {
                file.extend(self.number(extent.to_le_bytes()));
            }
            file.extend(self.number(kind.to_le_bytes()));
            file.extend(self.number((data.len() as u64).to_le_bytes()));
            data.extend(bytes);
            data.resize(data.len().next_multiple_of(self.alignment), 0);
        }
        file.resize(file.len().next_multiple_of(self.alignment), 0);
        [file, data].concat()
    }
}

fn opened(file: &[u8]) -> Result<Model, String> {
    open(&file.to_vec(), &Limits::default()).map_err(|error| error.to_string())
}

fn values(source: &dyn Source, model: &Model, index: usize) -> Vec<f32> {
    let (tensor, mut values) = (&model.tensors[index], Vec::new());
    let mut reader = TensorReader::new(source, tensor, &Limits::default()).unwrap();
    reader.read_f32(0..tensor.len(), &mut values).unwrap();
    values
}

fn floats(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// A block of `Q8_0`: a half, and integers from `from` on.
fn q8_0(from: i8) -> Vec<u8> {
    [0x00, 0x38].into_iter().chain((0..32).map(|at| (from + at) as u8)).collect()
}

/// A plain matrix, three rows of two blocks, a bias.
fn small() -> File {
    File::new()
        .key("general.architecture", 8, &File::new().text("llama"))
        .tensor("token_embd.weight", &[3, 2], 0, floats(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]))
        .tensor("blk.0.attn_q.weight", &[64, 3], 8, (0..6).flat_map(|row| q8_0(row * 10 - 60)).collect())
        .tensor("blk.0.attn_q.bias", &[4], 1, vec![0, 0x3c, 0, 0x40, 0, 0x42, 0, 0x44])
}

#[test]
fn plain_and_coded_tensors_are_located() {
    for version in [2, 3] {
        let file = File { version, ..small() }.bytes();
        let model = opened(&file).unwrap();
        assert_eq!(model.format, FileFormat::Gguf);
        assert_eq!(model.metadata["general.architecture"], "llama");
        assert!(!model.is_partial && model.notes.is_empty());
        let found: Vec<_> =
            model.tensors.iter().map(|t| (t.name.as_str(), t.shape.clone(), t.dtype)).collect();
        let expected = [
            ("token_embd.weight", vec![2, 3], Dtype::F32),
            ("blk.0.attn_q.weight", vec![3, 64], Dtype::F32),
            ("blk.0.attn_q.bias", vec![4], Dtype::F16),
        ];
        assert_eq!(found, expected);
        assert_eq!(values(&file, &model, 0), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        let expected: Vec<f32> = (0..192).map(|at| 0.5 * (at / 32 * 10 - 60 + at % 32) as f32).collect();
        assert_eq!(values(&file, &model, 1), expected);
        assert_eq!(values(&file, &model, 2), [1.0, 2.0, 3.0, 4.0]);
        let Storage::Encoded { span, codec, len } = model.tensors[1].storage else { panic!() };
        assert_eq!((span.len, codec, len), (6 * 34, Codec::Q8_0, 192 * 4));
        assert!(!model.tensors[1].is_sequential());
    }
}

#[test]
fn any_range_of_a_coded_tensor_is_that_part_of_the_whole() {
    let file = small().bytes();
    let model = opened(&file).unwrap();
    let tensor = &model.tensors[1];
    let whole = floats(&values(&file, &model, 1));
    let mut reader = TensorReader::new(&file, tensor, &Limits::default()).unwrap();
    for start in [0, 1, 31, 32, 33, 64, 191, 192] {
        for end in [0, 1, 31, 32, 33, 64, 65, 128, 191, 192].into_iter().filter(|end| *end >= start) {
            let mut bytes = vec![9];
            reader.read(start..end, &mut bytes).unwrap();
            assert_eq!(bytes[1..], whole[4 * start as usize..4 * end as usize], "{start}..{end}");
        }
    }
    let mut codes = Vec::new();
    reader.read_units(1..3, &mut codes).unwrap();
    assert_eq!(codes, [q8_0(-50), q8_0(-40)].concat());
    assert!(reader.read_units(5..7, &mut codes).is_err());
}

#[test]
fn pieces_of_a_large_tensor_join() {
    let rows: Vec<u8> = (0..3000).flat_map(|block| q8_0((block % 90) as i8)).collect();
    let file = File::new().tensor("w.weight", &[32, 3000], 8, rows).bytes();
    let model = opened(&file).unwrap();
    let expected: Vec<f32> = (0..96_000).map(|at| 0.5 * (at / 32 % 90 + at % 32) as f32).collect();
    assert_eq!(values(&file, &model, 0), expected);
}

#[test]
fn big_endian_files_read_as_little_endian_ones() {
    let turned = |mut bytes: Vec<u8>, size: usize| {
        bytes.chunks_exact_mut(size).for_each(<[u8]>::reverse);
        bytes
    };
    let block = |mut block: Vec<u8>| {
        block[..2].reverse();
        block
    };
    let empty = File { is_big: true, ..File::new() };
    let architecture = empty.text("llama");
    let file = empty
        .key("general.architecture", 8, &architecture)
        .tensor("token_embd.weight", &[2], 0, turned(floats(&[1.0, -2.5]), 4))
        .tensor("blk.0.attn_q.weight", &[64], 8, [block(q8_0(3)), block(q8_0(40))].concat())
        .tensor("blk.0.ids", &[2], 27, vec![0, 0, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 0, 0, 0, 7]);
    let bytes = file.bytes();
    let model = opened(&bytes).unwrap();
    assert_eq!(model.metadata["general.architecture"], "llama");
    assert_eq!(values(&bytes, &model, 0), [1.0, -2.5]);
    let expected: Vec<f32> = (0..64).map(|at| 0.5 * (at / 32 * 37 + 3 + at % 32) as f32).collect();
    assert_eq!(values(&bytes, &model, 1), expected);
    let mut reader = TensorReader::new(&bytes, &model.tensors[1], &Limits::default()).unwrap();
    let mut codes = Vec::new();
    reader.read_units(0..2, &mut codes).unwrap();
    assert_eq!(codes, [q8_0(3), q8_0(40)].concat());
    let mut ids = Vec::new();
    reader = TensorReader::new(&bytes, &model.tensors[2], &Limits::default()).unwrap();
    reader.read(0..2, &mut ids).unwrap();
    assert_eq!(ids, [2, 1, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0]);
    let refused = file.tensor("w", &[256], 16, vec![0; 66]).bytes();
    assert_eq!(opened(&refused).unwrap_err(), "tensor w is not supported: IQ2_XXS in a big-endian file");
}

#[test]
fn values_of_keys_become_short_text() {
    let empty = File::new();
    let array = |kind: u32, count: u64, rest: &[u8]| {
        [kind.to_le_bytes().as_slice(), &count.to_le_bytes(), rest].concat()
    };
    let tokens = array(8, 2, &[empty.text("a"), empty.text("bcd")].concat());
    let file = empty
        .key("u8", 0, &[200])
        .key("i8", 1, &[200])
        .key("u16", 2, &[1, 2])
        .key("i16", 3, &[0xff, 0xff])
        .count("u32", 7)
        .key("i32", 5, &(-9i32).to_le_bytes())
        .key("f32", 6, &1e-5f32.to_le_bytes())
        .key("bool", 7, &[1])
        .key("u64", 10, &u64::MAX.to_le_bytes())
        .key("i64", 11, &i64::MIN.to_le_bytes())
        .key("f64", 12, &0.25f64.to_le_bytes());
    let model = opened(&file.bytes()).unwrap();
    assert!(!model.is_partial && model.tensors.is_empty());
    let text: Vec<String> = model.metadata.iter().map(|(key, value)| format!("{key} {value}")).collect();
    let expected = [
        "bool true",
        "f32 0.00001",
        "f64 0.25",
        "i16 -1",
        "i32 -9",
        "i64 -9223372036854775808",
        "i8 -56",
        "u16 513",
        "u32 7",
        "u64 18446744073709551615",
        "u8 200",
    ];
    assert_eq!(text, expected);
    let long = File::new().text(&"x".repeat(5000));
    let file =
        file.key("tokens", 9, &tokens).key("scores", 9, &array(6, 3, &[0; 12])).key("template", 8, &long);
    let model = opened(&file.bytes()).unwrap();
    assert!(model.is_partial);
    let text = ["tokens", "scores", "template"].map(|key| model.metadata[key].as_str());
    assert_eq!(text, ["2 × text", "3 × f32", "text of 5000 bytes"]);
}

#[test]
fn every_published_type_is_located() {
    let mut names = Vec::new();
    for number in 0..43 {
        let Some(kind) = super::types::Type::from_number(number) else { continue };
        let unit = kind.unit();
        let row = vec![0; (unit.bytes * 512 / unit.elements) as usize];
        let file = File::new().tensor("w.weight", &[512, 2], number, row.repeat(2)).bytes();
        let model = opened(&file).unwrap();
        let tensor = &model.tensors[0];
        let expected = if tensor.dtype == Dtype::U8 { vec![2, 288] } else { vec![2, 512] };
        assert_eq!(tensor.shape, expected, "{}", kind.name());
        let mut bytes = Vec::new();
        TensorReader::new(&file, tensor, &Limits::default())
            .unwrap()
            .read(0..tensor.len(), &mut bytes)
            .unwrap();
        assert_eq!(bytes.len() as u64, tensor.size_bytes());
        let is_dropped = kind.name().contains("_4_") || kind.name().contains("_8_8");
        assert_eq!(model.notes.len(), usize::from(is_dropped), "{}", kind.name());
        names.push(kind.name());
    }
    assert_eq!(names.len(), 8 + 27 + 6, "{names:?}");
}

/// The sentence that a file is refused with.
fn refusal(file: &File) -> String {
    opened(&file.bytes()).unwrap_err()
}

#[test]
fn lies_are_refused_in_a_sentence() {
    let one = |shape: &[u64], kind, bytes: usize| File::new().tensor("w", shape, kind, vec![0; bytes]);
    let aligned = |kind, value: &[u8]| File::new().key("general.alignment", kind, value);
    for (file, sentence) in [
        (File { version: 1, ..File::new() }, "GGUF is not supported: version 1, and 2 and 3 are read"),
        (File { version: 4, ..File::new() }, "GGUF is not supported: version 4, and 2 and 3 are read"),
        (
            one(&[33], 8, 34),
            "tensor w: expected rows of whole blocks of 32 elements of type Q8_0, found shape [33]",
        ),
        (one(&[32, 4], 4, 18), "tensor w is not supported: ggml type 4"),
        (one(&[2], 200, 8), "tensor w is not supported: ggml type 200"),
        (one(&[1, 1, 1, 1, 1], 0, 4), "the rank of tensor w declares 5, over the limit of 4"),
        (one(&[64], 0, 128), "tensor w needs 256 bytes at byte 64 but the file has 128 there"),
        (
            one(&[1 << 40, 1 << 40], 0, 128),
            "tensor w: expected a shape whose size in bytes fits 63 bits, found shape [1099511627776, 1099511627776]",
        ),
        (
            one(&[2], 0, 8).tensor("w", &[2], 0, vec![0; 8]),
            "the GGUF tensors: expected unique names, found w twice",
        ),
        (File::new().count("a", 1).count("a", 2), "the GGUF header: expected unique keys, found a twice"),
        (File::new().count("", 1), "the GGUF key at byte 24: expected a name, found none"),
        (File::new().key("a", 13, &[]), "GGUF key a: expected a value of types 0 to 12, found type 13"),
        (
            File::new().key("a", 9, &[9, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0]),
            "GGUF key a is not supported: arrays of arrays",
        ),
        (
            aligned(4, &[3, 0, 0, 0]),
            "GGUF key general.alignment: expected a power of two of type u32, found 3",
        ),
        (aligned(0, &[32]), "GGUF key general.alignment: expected a power of two of type u32, found 32"),
        (
            File { alignment: 16, ..one(&[4], 0, 16).tensor("v", &[4], 0, vec![0; 16]) },
            "tensor v: expected its bytes at byte 32 of the data, found byte 16",
        ),
        (
            one(&[2], 0, 8).count("split.count", 2),
            "a GGUF model that is split over 2 files: expected all of them together, found all but …-00002-of-00002.gguf",
        ),
    ] {
        assert_eq!(refusal(&file), sentence);
    }
    let long = File::new().tensor(&"n".repeat(65), &[2], 0, vec![0; 8]);
    assert_eq!(
        refusal(&long),
        "the name of a tensor at byte 24, in bytes, declares 65, over the limit of 64"
    );
}

#[test]
fn counts_and_lengths_beyond_the_file_are_refused() {
    let mut file = small().bytes();
    for at in [8, 16, 24] {
        for value in [u64::MAX, i64::MAX as u64, 1 << 33] {
            let mut lie = file.clone();
            lie[at..at + 8].copy_from_slice(&value.to_le_bytes());
            assert!(opened(&lie).is_err(), "{at} {value}");
        }
    }
    // An array whose size in bytes overflows.
    let array = [6u32.to_le_bytes().as_slice(), &u64::MAX.to_le_bytes()].concat();
    assert!(opened(&File::new().key("a", 9, &array).bytes()).is_err());
    for len in 0..file.len() {
        assert!(opened(&file[..len]).is_err() || len >= file.len() - 24, "{len}");
    }
    for at in 0..file.len() {
        file[at] ^= 0x81;
        let _ = opened(&file);
        file[at] ^= 0x81;
    }
}

#[test]
fn roles_of_llamas_names_are_found() {
    let names: [(&str, &[u64], Role); 9] = [
        ("token_embd.weight", &[32, 4], Role::Weight),
        ("output.weight", &[32, 4], Role::Weight),
        ("output_norm.weight", &[32], Role::Norm),
        ("blk.0.attn_q.weight", &[32, 4], Role::Weight),
        ("blk.0.attn_q.bias", &[32], Role::Bias),
        ("blk.0.attn_norm.weight", &[32], Role::Norm),
        ("blk.0.attn_norm.bias", &[32], Role::Norm),
        ("blk.0.ffn_up_exps.weight", &[32, 4, 2], Role::Weight),
        ("rope_freqs.weight", &[32], Role::Constant),
    ];
    let mut file = File::new();
    for (name, shape, _) in names {
        file = file.tensor(name, shape, 0, vec![0; 4 * shape.iter().product::<u64>() as usize]);
    }
    // The scale of a block-coded weight is what it is decoded with.
    file = file.tensor("blk.0.ffn_up.weight", &[64, 2], 40, vec![0; 72]);
    file = file.tensor("blk.0.ffn_up.scale", &[2], 0, vec![0; 8]);
    let model = opened(&file.bytes()).unwrap();
    let found = |name: &str| model.tensors.iter().find(|tensor| tensor.name == name).unwrap().found.role;
    for (name, _, role) in names {
        assert_eq!(found(name), role, "{name}");
    }
    assert_eq!(model.tensors[0].found.reason, "embedding");
    assert_eq!(
        [found("blk.0.ffn_up.weight"), found("blk.0.ffn_up.scale")],
        [Role::Weight, Role::Quantization]
    );
}

/// The parts of a split model of three tensors, the first without any.
fn split() -> [Vec<u8>; 3] {
    let part = |number: u8| {
        let file = File::new().key("split.no", 2, &[number, 0]).key("split.count", 2, &[3, 0]);
        file.key("split.tensors.count", 5, &3i32.to_le_bytes())
    };
    let vector = |value: f32| floats(&[value; 5]);
    [
        part(0).key("general.architecture", 8, &File::new().text("llama")).bytes(),
        part(1)
            .tensor("a.weight", &[5, 1], 0, vector(1.0))
            .tensor("b.weight", &[5, 1], 0, vector(2.0))
            .bytes(),
        part(2).tensor("c.weight", &[5, 1], 0, vector(3.0)).bytes(),
    ]
}

fn joined(order: &[usize]) -> Joined<Vec<u8>> {
    let parts = split();
    Joined::new(order.iter().map(|at| (format!("m-{:05}-of-00003.gguf", at + 1), parts[*at].clone())))
}

#[test]
fn parts_of_a_split_model_read_as_one_whatever_their_order() {
    for order in [[0, 1, 2], [2, 0, 1], [1, 2, 0]] {
        let source = joined(&order);
        let model = open(&source, &Limits::default()).unwrap();
        let names: Vec<&str> = model.tensors.iter().map(|tensor| tensor.name.as_str()).collect();
        assert_eq!(names, ["a.weight", "b.weight", "c.weight"]);
        assert_eq!(model.metadata["general.architecture"], "llama");
        for index in 0..3 {
            assert_eq!(values(&source, &model, index), [index as f32 + 1.0; 5]);
        }
    }
}

#[test]
fn parts_that_are_missing_or_do_not_belong_are_named() {
    let refused = |source: &dyn Source| open(source, &Limits::default()).unwrap_err();
    assert_eq!(
        refused(&joined(&[1])).to_string(),
        "a GGUF model that is split over 3 files: expected all of them together, found all but m-00001-of-00003.gguf, m-00003-of-00003.gguf"
    );
    let twice = refused(&joined(&[0, 1, 1])).to_string();
    assert_eq!(
        twice,
        "split GGUF file m-00002-of-00003.gguf: expected one of 3 parts, each once, found part 2 of 3"
    );
    let parts = split();
    let strange =
        Joined::new([("a.gguf".to_owned(), parts[0].clone()), ("b.gguf".to_owned(), small().bytes())]);
    assert!(refused(&strange).to_string().starts_with("split GGUF file b.gguf: expected one of 3 parts"));
    let other = Joined::new([("a.gguf".to_owned(), parts[0].clone()), ("b.bin".to_owned(), vec![1; 99])]);
    assert!(refused(&other).to_string().starts_with("the GGUF header: expected GGUF at its start"));
}

#[test]
fn a_part_names_the_others() {
    let limits = Limits::default();
    assert_eq!(
        companions(&joined(&[1]), &limits).unwrap(),
        ["m-00001-of-00003.gguf", "m-00003-of-00003.gguf"]
    );
    let [first, ..] = split();
    for (name, bytes) in
        [("m.gguf", first.clone()), ("x-00001-of-00001.gguf", small().bytes()), ("m", vec![])]
    {
        let source = Joined::new([(name.to_owned(), bytes)]);
        assert!(companions(&source, &limits).unwrap().is_empty(), "{name}");
    }
    assert!(companions(&first, &limits).unwrap().is_empty());
}
