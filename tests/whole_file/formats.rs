//! Files of every format, made here: at random, and the odd ones by hand.

use super::support::{Random, f32_bytes, of_everything, varint};
use super::weight_files::{
    Files, Viewed, WAYS, Way, external, field, initializer, npy, onnx, torch_legacy, torch_zip, unzip, zip,
};
use super::{assert_all_else_is_equal, assert_kept, assert_opens, compressed, restored};
use proptest::prelude::*;
use quantscope::container::Content;
use quantscope::engine::open_container;

/// Recipes that quantize whatever they can.
fn lines() -> [String; 2] {
    ["method=kmeans&k=3", "method=uniform&step=0.05"].map(of_everything)
}

/// Bytes of so many elements of a type: floats are a network's, integers anything.
fn elements(random: &mut Random, kind: &str, count: usize) -> Vec<u8> {
    let mut out = Vec::new();
    for _ in 0..count {
        let value = random.laplace(0.1);
        match kind {
            "f2" | "F16" => out.extend(half::f16::from_f32(value).to_le_bytes()),
            "BF16" => out.extend(half::bf16::from_f32(value).to_le_bytes()),
            "f4" | "F32" => out.extend(value.to_le_bytes()),
            "f8" | "F64" => out.extend(f64::from(value).to_le_bytes()),
            "c8" => out.extend([value, 0.5 * value].map(f32::to_le_bytes).concat()),
            "c16" => out.extend([f64::from(value), 1.0].map(f64::to_le_bytes).concat()),
            "i8" | "I64" => out.extend(((value * 1e6) as i64).to_le_bytes()),
            "b1" => out.push(u8::from(value > 0.0)),
            _ => out.push((value * 100.0) as i8 as u8),
        }
    }
    out
}

fn named(name: &str, bytes: Vec<u8>) -> Files {
    vec![(name.to_owned(), bytes)]
}

fn shapes() -> impl Strategy<Value = Vec<u64>> {
    prop::collection::vec(0u64..7, 0..4)
}

fn count(shape: &[u64]) -> usize {
    shape.iter().product::<u64>() as usize
}

/// Tensors of a safetensors file, each with the rank of its bytes among the others'.
fn safetensors() -> impl Strategy<Value = Vec<u8>> {
    let kinds = prop::sample::select(&["F32", "F16", "BF16", "F64", "I64", "I8"][..]);
    let tensors = prop::collection::vec((kinds, shapes(), any::<u32>()), 1..6);
    (tensors, 0usize..20, any::<bool>()).prop_map(|(tensors, padding, has_metadata)| {
        let mut order: Vec<usize> = (0..tensors.len()).collect();
        order.sort_by_key(|index| tensors[*index].2);
        let (mut data, mut spans) = (Vec::new(), vec![(0, 0); tensors.len()]);
        let mut random = Random(u64::from(tensors[0].2));
        for index in order {
            let (kind, shape, _) = &tensors[index];
            let start = data.len();
            data.extend(elements(&mut random, kind, count(shape)));
            spans[index] = (start, data.len());
        }
        let mut entries = Vec::new();
        if has_metadata {
            entries.push("\"__metadata__\":{\"format\":\"pt\",\"note\":\"\\u00e9\"}".to_owned());
        }
        for (index, ((kind, shape, _), (start, end))) in tensors.iter().zip(spans).enumerate() {
            entries.push(format!(
                "\"t{index}\":{{\"dtype\":\"{kind}\",\"shape\":{shape:?},\"data_offsets\":[{start},{end}]}}"
            ));
        }
        let header = format!("{{{}}}{}", entries.join(", "), " ".repeat(padding));
        [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &data].concat()
    })
}

/// An array: its `.npy` file, with so many bytes behind it.
fn array(trailing: usize) -> impl Strategy<Value = Vec<u8>> {
    let kinds = prop::sample::select(&["f4", "f2", "f8", "c8", "c16", "i8", "i1", "b1"][..]);
    (kinds, any::<bool>(), any::<bool>(), shapes(), any::<u32>()).prop_map(
        move |(kind, is_big, fortran, shape, seed)| {
            let one_byte = matches!(kind, "i1" | "b1");
            let order = if one_byte {
                '|'
            } else if is_big {
                '>'
            } else {
                '<'
            };
            let data = elements(&mut Random(seed.into()), kind, count(&shape));
            [npy(&format!("{order}{kind}"), fortran, &shape, &data), vec![7; trailing]].concat()
        },
    )
}

/// Arrays in an archive, with something before it and behind it, and an entry that is no array.
fn archive() -> impl Strategy<Value = (Vec<u8>, bool)> {
    let entries = prop::collection::vec((array(0), prop::sample::select(&WAYS[..])), 1..5);
    (entries, 0usize..40, 0usize..40).prop_map(|(arrays, front, comment)| {
        let mut entries: Vec<(String, Vec<u8>, Way)> = Vec::new();
        for (index, (array, way)) in arrays.into_iter().enumerate() {
            entries.push((format!("a{index}.npy"), array, way));
        }
        entries.insert(entries.len() / 2, ("read.me".to_owned(), vec![b'x'; 300], Way::Deflated));
        let is_stored = entries
            .iter()
            .all(|(name, _, way)| name == "read.me" || !format!("{way:?}").contains("Deflated"));
        // What is told by its first bytes begins with them.
        let front = if front > 20 {
            b"PK\x03\x04".iter().chain(&[0; 40]).copied().take(front).collect()
        } else {
            Vec::new()
        };
        (zip(&front, &entries, &vec![b'c'; comment]), is_stored)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn any_safetensors_file_is_given_back(file in safetensors()) {
        let files = named("m.safetensors", file);
        assert_kept(&files);
        for line in lines() {
            assert_all_else_is_equal(&files, &line);
        }
    }

    #[test]
    fn any_npy_file_is_given_back(file in array(0)) {
        let files = named("m.npy", file);
        assert_kept(&files);
        for line in lines() {
            assert_all_else_is_equal(&files, &line);
        }
    }

    #[test]
    fn any_npz_file_is_given_back((file, is_stored) in archive()) {
        let files = named("m.npz", file);
        if is_stored {
            assert_kept(&files);
            assert_all_else_is_equal(&files, &lines()[0]);
        } else {
            let again = restored(&compressed(&files, "exclude=*").unwrap()).unwrap();
            assert_eq!(unzip(&again[0].1), unzip(&files[0].1));
        }
        for line in lines() {
            let (_, again) = assert_opens(&files, &line);
            let (before, after) = (unzip(&files[0].1), unzip(&again[0].1));
            let sizes = |entries: &[(String, Vec<u8>)]| {
                entries.iter().map(|(name, bytes)| (name.clone(), bytes.len())).collect::<Vec<_>>()
            };
            assert_eq!(sizes(&after), sizes(&before));
        }
    }
}

#[test]
fn bytes_behind_an_array_are_carried() {
    let files = named("m.npy", [npy("<f4", false, &[4, 5], &f32_bytes(&[0.25; 20])), vec![9; 33]].concat());
    if compressed(&files, "exclude=*").is_ok() {
        assert_kept(&files);
        assert_all_else_is_equal(&files, &lines()[0]);
    }
}

fn view(name: &str, storage: usize, offset: u64, shape: &[u64], strides: &[u64]) -> Viewed {
    let (shape, strides) = (shape.to_vec(), strides.to_vec());
    Viewed { name: name.to_owned(), class: "FloatStorage", storage, offset, shape, strides, bits: &[] }
}

/// A state dict with every kind of view that a tensor can be of its storage.
fn views() -> (Vec<Viewed>, Vec<(usize, Vec<u8>)>) {
    let mut random = Random(3);
    let mut storage = |kind: &str, count: usize| (count, elements(&mut random, kind, count));
    let shared = storage("f4", 60);
    let storages = vec![
        storage("f4", 40),
        storage("f4", 24),
        storage("f4", 5),
        storage("f4", 40),
        storage("c8", 12),
        shared.clone(),
        shared,
        storage("f4", 30),
        storage("i8", 6),
    ];
    let of =
        |class: &'static str, bits: &'static [&'static str], view: Viewed| Viewed { class, bits, ..view };
    let tensors = vec![
        view("plain", 0, 0, &[8, 5], &[5, 1]),
        view("tied", 0, 0, &[8, 5], &[5, 1]),
        view("transposed", 1, 0, &[4, 6], &[1, 4]),
        view("expanded", 2, 0, &[7, 5], &[0, 1]),
        view("front", 3, 0, &[5, 5], &[5, 1]),
        view("overlapping", 3, 15, &[5, 5], &[5, 1]),
        of("ComplexFloatStorage", &["conj", "neg"], view("conjugate", 4, 2, &[3, 3], &[3, 1])),
        view("copy", 5, 0, &[60], &[1]),
        view("its copy", 6, 0, &[60], &[1]),
        view("its copy, tied", 6, 0, &[60], &[1]),
        of("FloatStorage", &["neg"], view("negated", 7, 1, &[9], &[1])),
        view("gappy", 7, 10, &[9], &[2]),
        of("LongStorage", &["neg"], view("counters", 8, 1, &[5], &[1])),
        view("empty", 0, 0, &[0, 5], &[5, 1]),
    ];
    (tensors, storages)
}

#[test]
fn pytorch_views_of_every_kind_are_given_back() {
    let (tensors, storages) = views();
    for way in WAYS {
        let files = named("m.pt", torch_zip(&tensors, &storages, way));
        if matches!(way, Way::Deflated | Way::DeflatedBehind) {
            // Deflated storages with views in them are not to be written anew: then it is the weights alone.
            assert!(compressed(&files, "exclude=*").is_ok());
            continue;
        }
        assert_kept(&files);
        for line in lines() {
            assert_all_else_is_equal(&files, &line);
            let (_, again) = assert_opens(&files, &line);
            assert_eq!(unzip(&again[0].1).len(), storages.len() + 2);
        }
    }
    let files = named("m.pt", torch_legacy(&tensors, &storages));
    assert_kept(&files);
    for line in lines() {
        assert_all_else_is_equal(&files, &line);
    }
}

#[test]
fn what_shares_no_bytes_is_quantized_and_what_does_is_a_view() {
    let (tensors, storages) = views();
    let qsz = compressed(&named("m.pt", torch_zip(&tensors, &storages, Way::Behind)), &lines()[0]).unwrap();
    let reader = open_container(&qsz).unwrap();
    let kind = |name: &str| {
        let entry = reader.manifest().tensors.iter().find(|entry| entry.name == name).unwrap();
        match entry.content {
            Content::Quantized(_) => "quantized",
            Content::View(_) => "view",
            Content::SameAs(_) => "same",
            _ => "kept",
        }
    };
    for (name, expected) in [
        ("plain", "quantized"),
        ("tied", "same"),
        ("transposed", "quantized"),
        ("expanded", "view"),
        ("overlapping", "view"),
        ("copy", "quantized"),
        ("its copy", "same"),
        ("its copy, tied", "same"),
        ("gappy", "view"),
        ("counters", "kept"),
    ] {
        assert_eq!(kind(name), expected, "{name}");
    }
}

#[test]
fn deflated_storages_are_given_back_stored() {
    let mut random = Random(9);
    let storages: Vec<_> = (0..3).map(|_| (200, elements(&mut random, "f4", 200))).collect();
    let tensors = [
        view("a", 0, 0, &[10, 20], &[20, 1]),
        view("b", 1, 40, &[10, 16], &[1, 10]),
        view("c", 2, 10, &[150], &[1]),
    ];
    for way in [Way::Deflated, Way::DeflatedBehind] {
        let files = named("m.pt", torch_zip(&tensors, &storages, way));
        let again = restored(&compressed(&files, "exclude=*").unwrap()).unwrap();
        assert_eq!(unzip(&again[0].1), unzip(&files[0].1));
        let (_, again) = assert_opens(&files, &lines()[0]);
        assert_ne!(unzip(&again[0].1), unzip(&files[0].1));
    }
}

/// Numbers as `int32_data` has them.
fn int32_data(bytes: &[u8]) -> Vec<u8> {
    let halves = bytes.chunks(2).map(|pair| u64::from(u16::from_le_bytes([pair[0], pair[1]])));
    field(5, &halves.flat_map(varint).collect::<Vec<u8>>())
}

#[test]
fn onnx_data_of_every_kind_is_given_back() {
    let mut random = Random(5);
    let (floats, halves) = (elements(&mut random, "f4", 60), elements(&mut random, "f2", 90));
    let raw = initializer("raw", 1, &[6, 10], &field(9, &floats));
    let typed = initializer("typed", 1, &[60], &field(4, &floats));
    let varints = initializer("varints", 10, &[9, 10], &int32_data(&halves));
    let integers = initializer("integers", 7, &[3], &field(7, &[1, 2, 3]));
    let same = initializer("same", 10, &[9, 10], &field(9, &halves));
    let again = initializer("again", 10, &[9, 10], &int32_data(&halves));
    for initializers in [
        vec![raw.clone(), typed.clone(), integers.clone()],
        vec![varints.clone()],
        vec![varints.clone(), same.clone(), raw.clone()],
        vec![same, varints, again, typed, raw, integers],
    ] {
        let files = named("m.onnx", onnx(&initializers));
        assert_kept(&files);
        for line in lines() {
            assert_opens(&files, &line);
        }
        compressed(&files, "exclude=*&carry=weights").unwrap();
        // Numbers of varying length stay as they are where none of them is quantized.
        assert_opens(&files, "method=kmeans&k=3&scope=all&include=raw,same&exclude=varints,again,typed");
    }
}

#[test]
fn external_data_in_several_files_is_given_back() {
    let mut random = Random(6);
    let data: Vec<Vec<u8>> = (0..3).map(|_| elements(&mut random, "f4", 100)).collect();
    let model = onnx(&[
        initializer("inside", 10, &[9, 10], &int32_data(&elements(&mut random, "f2", 90))),
        initializer("a", 1, &[10, 10], &external("a.bin", 0, 400)),
        initializer("b", 1, &[50], &external("weights/b.data", 8, 200)),
        initializer("part of a", 1, &[10], &external("a.bin", 404, 40)),
    ]);
    let files = vec![
        ("m.onnx".to_owned(), model),
        ("a.bin".to_owned(), [data[0].clone(), vec![3; 4], data[1][..44].to_vec()].concat()),
        ("weights/b.data".to_owned(), data[2].clone()),
        ("empty.bin".to_owned(), Vec::new()),
    ];
    assert_kept(&files);
    for line in lines() {
        let (_, again) = assert_opens(&files, &line);
        assert_eq!(again[2].1[..8], files[2].1[..8]);
        assert_eq!(again[2].1[208..], files[2].1[208..]);
    }
}

#[test]
fn data_in_a_file_whose_name_cannot_be_given_back_leaves_the_weights() {
    let data = f32_bytes(&[0.5; 10]);
    let model = onnx(&[initializer("w", 1, &[10], &external("a/./b.bin", 0, 40))]);
    let files = vec![("m.onnx".to_owned(), model), ("a/./b.bin".to_owned(), data)];
    let qsz = compressed(&files, "exclude=*").unwrap();
    assert_eq!(restored(&qsz).unwrap_err(), "the weights alone");
}
