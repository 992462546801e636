use super::*;
use crate::formats::zipped::tests::archive;
use crate::formats::{TensorReader, open};

const CONFIG: &str = "p/data/weights/model_weights_config.json";

/// What a config says of a tensor of 2 × 3 elements, column by column from the second element on.
const VIEW: &str = r#"{"path_name": "weight_0", "is_param": true, "use_pickle": false, "tensor_meta": {"dtype": 5,
    "sizes": [{"as_int": 2}, {"as_int": 3}], "strides": [{"as_int": 1}, {"as_int": 2}], "storage_offset": {"as_int": 1},
    "requires_grad": false, "device": {"type": "cpu", "index": null}, "layout": 7}}"#;

/// A file of `torch.save` with the vector `w`.
fn saved() -> Vec<u8> {
    let pickle = b"(dVw\nctorch._utils\n_rebuild_tensor_v2\n((Vstorage\nctorch\nFloatStorage\nV0\nVcpu\nI3\ntQI1\n(I2\nt(I1\ntI00\nNtRs.";
    let data = [1.0f32, 2.0, 3.0].map(f32::to_le_bytes).concat();
    archive(&[("model/data.pkl", pickle, false), ("model/data/0", &data, false)])
}

fn numbers() -> Vec<u8> {
    (0..7i64).flat_map(i64::to_le_bytes).collect()
}

fn read(bytes: &[u8], tensor: &Tensor) -> Vec<u8> {
    let mut read = Vec::new();
    let mut reader = TensorReader::new(&bytes, tensor, &Limits::default()).unwrap();
    reader.read(0..tensor.len(), &mut read).unwrap();
    read
}

#[test]
fn a_config_locates_weights_and_constants_with_their_strides_and_ties() {
    let config = format!(r#"{{"config": {{"b": {VIEW}, "a": {VIEW}}}}}"#);
    let constants = format!(r#"{{"config": {{"c": {}}}}}"#, VIEW.replace("weight_0", "tensor_0"));
    let bytes = archive(&[
        ("p/archive_format", b"pt2", false),
        (CONFIG, config.as_bytes(), false),
        ("p/data/weights/weight_0", &numbers(), false),
        ("p/data/constants/model_constants_config.json", constants.as_bytes(), true),
        ("p/data/constants/tensor_0", &numbers(), true),
        ("p/data/sample_inputs/model.pt", b"nothing", false),
        ("p/models/model.json", b"{}", false),
    ]);
    let model = open(&bytes, &Limits::default()).unwrap();
    assert_eq!((model.format, model.is_partial), (FileFormat::TorchExport, true));
    let names: Vec<&str> = model.tensors.iter().map(|tensor| tensor.name.as_str()).collect();
    assert_eq!(names, ["b", "a"]);
    assert_eq!(model.tensors[1].same_as, Some(0));
    let expected: Vec<u8> = [1i64, 3, 5, 2, 4, 6].into_iter().flat_map(i64::to_le_bytes).collect();
    assert_eq!(read(&bytes, &model.tensors[0]), expected);
    assert_eq!((model.extras[0].name.as_str(), read(&bytes, &model.extras[0])), ("c", expected));
    assert_eq!(model.notes, ["1 constants of the program are not taken for weights"]);
}

#[test]
fn the_order_of_bytes_is_the_archives() {
    let config = format!(r#"{{"config": {{"a": {VIEW}}}}}"#);
    let entries: [(&str, &[u8], bool); 3] = [
        (CONFIG, config.as_bytes(), false),
        ("p/data/weights/weight_0", &numbers(), false),
        ("p/byteorder", b"big", false),
    ];
    assert!(open(&archive(&entries), &Limits::default()).unwrap().tensors[0].big_endian);
}

#[test]
fn weights_of_earlier_versions_are_files_of_torch_save() {
    let expected = [2.0f32, 3.0].map(f32::to_le_bytes).concat();
    for (weights, constants) in [
        ("p/data/weights/model.pt", "p/data/constants/model.pt"),
        ("serialized_state_dict.pt", "serialized_constants.pt"),
        ("serialized_state_dict.json", "serialized_constants.json"),
    ] {
        for is_deflated in [false, true] {
            let bytes = archive(&[
                ("p/archive_format", b"pt2", false),
                (weights, &saved(), is_deflated),
                (constants, &saved(), is_deflated),
            ]);
            let model = open(&bytes, &Limits::default()).unwrap();
            assert_eq!(model.format, FileFormat::TorchExport, "{weights}");
            assert_eq!((model.tensors.len(), model.extras.len()), (1, 1), "{weights}");
            assert_eq!(read(&bytes, &model.tensors[0]), expected, "{weights}");
        }
    }
}

#[test]
fn several_programs_are_told_apart_by_their_names() {
    let weights = [("p/data/weights/a.pt", &saved()[..], false), ("p/data/weights/b.pt", &saved(), false)];
    let bytes = archive(&[&weights[..], &[("p/archive_format", b"pt2", false)]].concat());
    let model = open(&bytes, &Limits::default()).unwrap();
    let names: Vec<&str> = model.tensors.iter().map(|tensor| tensor.name.as_str()).collect();
    assert_eq!(names, ["a.w", "b.w"]);
}

#[test]
fn folders_of_other_archives_may_be_called_the_same() {
    let model = open(&archive(&[("my/data/weights/a.pt", &saved(), false)]), &Limits::default()).unwrap();
    assert_eq!((model.format, model.tensors[0].name.as_str()), (FileFormat::Zip, "w"));
}

#[test]
fn what_is_not_read_is_noted_and_what_lies_is_refused() {
    let with = |config: &str| {
        let entries: [(&str, &[u8], bool); 2] =
            [(CONFIG, config.as_bytes(), false), ("p/data/weights/weight_0", &numbers(), false)];
        open(&archive(&entries), &Limits::default())
    };
    let pickled = VIEW.replace(r#""use_pickle": false"#, r#""use_pickle": true"#);
    let model = with(&format!(r#"{{"config": {{"a": {VIEW}, "b": {pickled}}}}}"#)).unwrap();
    assert_eq!(model.notes, ["not read, since they are pickled objects or of other types: b"]);
    for (from, to, says) in [
        (
            "weight_0",
            "weight_1",
            "p/data/weights/model_weights_config.json: expected an entry p/data/weights/weight_1",
        ),
        (
            r#"{"as_int": 3}"#,
            r#"{"as_int": 4}"#,
            "tensor a: expected elements inside the 56 bytes of its storage",
        ),
        (r#"{"as_int": 3}"#, r#"{"as_int": -3}"#, "tensor a: expected sizes and an offset of at least 0"),
        (
            r#"{"as_int": 3}"#,
            r#"{"as_expr": "s0"}"#,
            "p/data/weights/model_weights_config.json: expected JSON",
        ),
        (
            r#"offset": {"as_int": 1}"#,
            r#"offset": {"as_int": 9223372036854775807}"#,
            "tensor a: expected sizes and an offset",
        ),
    ] {
        let changed = VIEW.replace(from, to);
        assert_ne!(changed, VIEW);
        let sentence = with(&format!(r#"{{"config": {{"a": {changed}}}}}"#)).unwrap_err().to_string();
        assert!(sentence.starts_with(says), "{sentence}");
    }
    let sentence = with(r#"{"config": {}}"#).unwrap_err().to_string();
    assert!(sentence.starts_with("this is a program of torch.export without weights"), "{sentence}");
}
