use super::*;
use crate::formats::{Contents, Joined, TensorHeader, TensorReader, Writer, companions, open as open_any};
use crate::role::Role;
use crate::tensor::Dtype;

/// A safetensors file of vectors of bytes.
fn shard(tensors: &[(&str, &[u8])]) -> Vec<u8> {
    let header = |(name, bytes): &(&str, &[u8])| TensorHeader {
        name: (*name).to_owned(),
        dtype: Dtype::U8,
        shape: vec![bytes.len()],
    };
    let headers: Vec<TensorHeader> = tensors.iter().map(header).collect();
    let mut writer = Writer::new(FileFormat::Safetensors, Vec::new(), &Contents::of(&headers)).unwrap();
    for (_, bytes) in tensors {
        writer.write(bytes).unwrap();
    }
    writer.finish().unwrap()
}

fn index(map: &[(&str, &str)]) -> Vec<u8> {
    let pairs: Vec<String> = map.iter().map(|(name, file)| format!("{name:?}: {file:?}")).collect();
    format!("{{\"metadata\": {{\"total_size\": 9}}, \"weight_map\": {{{}}}}}", pairs.join(", ")).into_bytes()
}

type File<'a> = (&'a str, Vec<u8>);

fn joined(files: &[File]) -> Joined<Vec<u8>> {
    Joined::new(files.iter().map(|(name, bytes)| ((*name).to_owned(), bytes.clone())))
}

fn refusal(files: &[File]) -> String {
    let sentence = open_any(&joined(files), &Limits::default()).unwrap_err().to_string();
    assert!(!sentence.contains('\n') && !sentence.ends_with('.'), "{sentence}");
    sentence
}

const MAP: [(&str, &str); 3] = [("w.a", "1.st"), ("w.c", "./2.st"), ("w.b", "1.st")];

fn whole() -> Vec<File<'static>> {
    vec![
        ("m.safetensors.index.json", index(&MAP)),
        ("2.st", shard(&[("w.c", &[7, 8])])),
        ("1.st", shard(&[("w.b", &[4]), ("w.a", &[1, 2, 3])])),
    ]
}

fn read(source: &dyn Source, model: &Model) -> Vec<(String, Vec<u8>)> {
    let read = |tensor: &crate::tensor::Tensor| {
        let mut bytes = Vec::new();
        let mut reader = TensorReader::new(source, tensor, &Limits::default()).unwrap();
        reader.read(0..tensor.len(), &mut bytes).unwrap();
        (tensor.name.clone(), bytes)
    };
    model.tensors.iter().map(read).collect()
}

#[test]
fn shards_are_read_in_the_order_of_their_names_wherever_they_lie() {
    let files = joined(&whole());
    assert_eq!(companions(&whole()[0].1, &Limits::default()).unwrap(), ["1.st", "2.st"]);
    let model = open_any(&files, &Limits::default()).unwrap();
    assert_eq!((model.format, model.is_partial), (FileFormat::Shards, false));
    assert!(model.notes.is_empty(), "{:?}", model.notes);
    let named = |(name, bytes): (&str, &[u8])| (name.to_owned(), bytes.to_vec());
    let expected: [(&str, &[u8]); 3] = [("w.b", &[4]), ("w.a", &[1, 2, 3]), ("w.c", &[7, 8])];
    assert_eq!(read(&files, &model), expected.map(named));
}

#[test]
fn a_numbered_set_needs_no_index_and_all_of_its_files() {
    let [one, two] = ["m-00001-of-00002.safetensors", "m-00002-of-00002.safetensors"];
    let (a, b) = (shard(&[("a", &[1])]), shard(&[("b", &[2, 3])]));
    let files = joined(&[(two, b.clone()), (one, a.clone())]);
    let model = open_any(&files, &Limits::default()).unwrap();
    assert_eq!(model.format, FileFormat::Shards);
    assert_eq!(read(&files, &model), [("a".to_owned(), vec![1]), ("b".to_owned(), vec![2, 3])]);
    let alone = open_any(&joined(&[(two, b.clone())]), &Limits::default()).unwrap();
    assert_eq!(alone.format, FileFormat::Safetensors);
    assert_eq!(
        alone.notes,
        ["this is part 2 of 2 of a model, which is whole with m-00001-of-00002.safetensors"]
    );
    let names = [1, 3].map(|number| format!("m-0000{number}-of-00003.safetensors"));
    assert_eq!(
        refusal(&[(&names[0], a), (&names[1], b)]),
        "a model of 3 shards needs m-00002-of-00003.safetensors as well: they belong beside it, or are chosen together with it"
    );
}

#[test]
fn roles_are_found_across_shards() {
    let file = |name: &str, shape: &[u64], dtype: Dtype| {
        let headers = [TensorHeader { name: name.to_owned(), dtype, shape: shape.to_vec() }];
        let mut writer = Writer::new(FileFormat::Safetensors, Vec::new(), &Contents::of(&headers)).unwrap();
        writer.write(&vec![0; shape.iter().product::<u64>() as usize * dtype.size_bytes() as usize]).unwrap();
        writer.finish().unwrap()
    };
    let files = [
        ("m-1-of-2.safetensors", file("n.weight", &[4], Dtype::F32)),
        ("m-2-of-2.safetensors", file("n.running_var", &[4], Dtype::F32)),
    ];
    let model = open_any(&joined(&files), &Limits::default()).unwrap();
    assert_eq!(model.tensors[0].found.role, Role::Norm);
    assert_eq!(model.tensors[1].found.role, Role::Statistic);
}

#[test]
fn an_index_that_lies_is_refused_in_a_sentence() {
    let with = |map: &[(&str, &str)]| {
        let mut files = whole();
        files[0].1 = index(map);
        refusal(&files)
    };
    for (name, file) in
        [("up", "../1.st"), ("root", "/1.st"), ("drive", "C:1.st"), ("windows", "a\\1.st"), ("none", "")]
    {
        let sentence = with(&[("w.a", "1.st"), (name, file)]);
        let start =
            format!("the file of tensor {name} in the index: expected one in the index's folder, found ");
        assert!(sentence.starts_with(&start), "{sentence}");
    }
    assert_eq!(with(&[]), "the index of the shards: expected a file for every tensor, found no tensor");
    assert_eq!(
        with(&[("w.a", "1.st"), ("w.b", "1.st"), ("w.c", "2.st"), ("w.d", "2.st")]),
        "tensor w.d: expected it in 2.st, where the index has it, found no such tensor"
    );
    assert_eq!(
        with(&[("w.a", "2.st"), ("w.b", "1.st"), ("w.c", "2.st")]),
        "tensor w.a: expected it in 2.st, where the index has it, found 1.st"
    );
    assert_eq!(
        with(&[("w.a", "1.st"), ("w.a", "2.st")]),
        "the index of the shards: expected unique names, found w.a twice"
    );
    assert_eq!(
        with(&[("w.a", "1.st"), ("w.c", "3.st"), ("w.d", "4.st")]),
        "the index of the shards needs 3.st and 4.st as well: they belong beside it, or are chosen together with it"
    );
    // An index that names itself.
    let sentence = with(&[("w.a", "1.st"), ("w.b", "m.safetensors.index.json")]);
    assert!(sentence.contains("needs m.safetensors.index.json as well"), "{sentence}");
}

#[test]
fn json_that_is_cut_or_of_other_types_is_refused() {
    let bytes = index(&MAP);
    for end in 0..bytes.len() {
        let mut files = whole();
        files[0].1 = bytes[..end].to_vec();
        assert!(open_any(&joined(&files), &Limits::default()).is_err(), "{end}");
    }
    for text in [
        r#"{"weight_map": 3}"#,
        r#"{"weight_map": {"w.a": 1}}"#,
        r#"{"weight_map": ["w.a"]}"#,
        r#"{"other": {"weight_map": {}}}"#,
        r#"{"weight_map": {}, "weight_map": {}}"#,
    ] {
        let mut files = whole();
        files[0].1 = text.as_bytes().to_vec();
        let sentence = refusal(&files);
        let start = "the index of the shards: expected a weight_map from tensors to files, found ";
        assert!(sentence.starts_with(start), "{text}: {sentence}");
    }
    let limits = Limits { tensors: 2, ..Limits::default() };
    let sentence = open_any(&joined(&whole()), &limits).unwrap_err().to_string();
    assert_eq!(sentence, "the number of tensors in the index declares 3, over the limit of 2");
}

#[test]
fn shards_that_disagree_are_refused_and_tensors_without_a_name_noted() {
    let mut files = whole();
    files[1].1 = shard(&[("w.c", &[7, 8]), ("w.a", &[9])]);
    assert_eq!(refusal(&files), "tensor w.a: expected its elements in one shard, found 1.st and 2.st");
    files[1].1 = shard(&[("w.c", &[7, 8]), ("w.d", &[9]), ("w.e", &[])]);
    let model = open_any(&joined(&files), &Limits::default()).unwrap();
    assert_eq!(
        (model.tensors.len(), model.notes.as_slice()),
        (5, &["the index does not name w.d and w.e".to_owned()][..])
    );
    files[1].1 = b"neither".to_vec();
    assert_eq!(
        refusal(&files),
        "2.st: the shard: expected a safetensors or PyTorch file, found one of another kind"
    );
    files[1].1 = index(&MAP);
    assert!(refusal(&files).starts_with("2.st: the shard: expected a safetensors"), "an index is no shard");
    let cut = shard(&[("w.c", &[7, 8])]);
    files[1].1 = cut[..cut.len() - 1].to_vec();
    assert_eq!(
        refusal(&files),
        "2.st: the safetensors data: expected the 2 bytes that the tensors fill, found 1 bytes"
    );
}
