//! Tells an ONNX model and locates its weights.

use super::PART;
use super::found::Found;
use super::roles;
use super::scan::{Scanned, scan};
use crate::anatomy::Anatomy;
use crate::formats::layout::{check_unique, mark_ties};
use crate::formats::protobuf::{Value, Wire};
use crate::formats::{FormatError, Limits, Source};
use crate::model::{FileFormat, Model};
use crate::order::into_sorted_by_key;
use crate::tensor::Span;
use std::collections::BTreeSet;
use std::rc::Rc;

/// Whether the file starts like an ONNX model: a protobuf whose first fields are those of `ModelProto`.
pub(in crate::formats) fn is_onnx(source: &dyn Source) -> bool {
    let mut wire = Wire::new(source, PART);
    let mut rest = Span { offset: 0, len: source.len() };
    // (field, is a number): ir_version and model_version are, texts, operator sets and the graph are not.
    while let Ok(Some(field)) = wire.field(&mut rest) {
        match (field.number, field.value) {
            (1, Value::Varint(version)) if version <= 64 => {}
            (5, Value::Varint(_)) | (2 | 3 | 4 | 6 | 8 | 14 | 20 | 25 | 26, Value::Bytes(_)) => {}
            (7, Value::Bytes(graph)) => return is_graph(&mut wire, graph),
            _ => return false,
        }
    }
    false
}

/// Whether a message has no field that a `GraphProto` lacks, as far as its first ones tell.
fn is_graph(wire: &mut Wire, mut graph: Span) -> bool {
    for _ in 0..8 {
        match wire.field(&mut graph) {
            Ok(Some(field)) => {
                let known =
                    matches!(field.number, 1 | 2 | 5 | 10..=16) && matches!(field.value, Value::Bytes(_));
                if !known {
                    return false;
                }
            }
            Ok(None) => return true,
            Err(_) => return false,
        }
    }
    true
}

/// The names of the files that hold data of this model, as it gives them, sorted; none for a file of another kind.
pub(in crate::formats) fn companions(
    source: &dyn Source,
    limits: &Limits,
) -> Result<Vec<String>, FormatError> {
    if !is_onnx(source) {
        return Ok(Vec::new());
    }
    let Scanned { found, .. } = scan(source, limits)?;
    let mut names = BTreeSet::new();
    for tensor in found.iter().filter(|tensor| tensor.is_external) {
        names.insert(tensor.location()?);
    }
    Ok(names.into_iter().collect())
}

/// Locates the weights of an ONNX model.
pub(in crate::formats) fn open(source: &dyn Source, limits: &Limits) -> Result<Model, FormatError> {
    let Scanned { mut found, left, metadata, uses, paths } = scan(source, limits)?;
    let values: Vec<roles::Value> = found
        .iter()
        .map(|found| roles::Value { scope: found.scope, name: found.value, shape: &found.dims })
        .collect();
    let found_roles = uses.roles(&values);
    tell_apart(&mut found, &paths, source.len())?;
    check_unique("the names of initializers and constants", found.iter().map(|tensor| tensor.name.as_str()))?;
    let mut tensors =
        found.into_iter().map(|tensor| tensor.locate(source, limits)).collect::<Result<Vec<_>, _>>()?;
    for (tensor, role) in tensors.iter_mut().zip(found_roles) {
        tensor.found = role;
    }
    // In the order of their bytes, so that a model with other weights can be written in one go.
    let mut tensors = into_sorted_by_key(tensors, |tensor| tensor.storage.span().offset);
    mark_ties(&mut tensors);
    let notes = left.notes();
    if tensors.is_empty() {
        let beside = if notes.is_empty() { String::new() } else { format!("; {}", notes.join("; ")) };
        return Err(FormatError::foreign(
            format!("an ONNX model that has no weights{beside}"),
            "open the model that holds them",
        ));
    }
    Ok(Model { tensors, metadata, is_partial: true, notes, ..Model::empty(FileFormat::Onnx) })
}

/// What of a model changes with its weights: the numbers of varying length become raw data.
pub(in crate::formats) fn anatomy(source: &dyn Source, model: &Model) -> Result<Anatomy, FormatError> {
    let (edits, _) = super::raw::edits(source, model)?;
    Ok(Anatomy { edits, edits_decode: true, ..Anatomy::default() })
}

/// Names of constants count inside their own graph alone: where they clash, the nodes around them tell them apart.
fn tell_apart(found: &mut [Found], paths: &[Rc<str>], file_bytes: u64) -> Result<(), FormatError> {
    let (mut seen, mut repeated) = (BTreeSet::new(), BTreeSet::new());
    for tensor in &*found {
        if !seen.insert(tensor.name.as_str()) {
            repeated.insert(tensor.name.clone());
        }
    }
    // Names of nodes are long where a file means harm: all names together stay in proportion to it.
    let most = file_bytes.saturating_mul(4).max(1 << 20);
    let mut spelled = 0;
    for tensor in found {
        let path = paths.get(tensor.scope as usize).map_or("", |path| path);
        if repeated.contains(&tensor.name) && !path.is_empty() {
            spelled += (path.len() + tensor.name.len()) as u64;
            if spelled > most {
                let part = "the names of constants, in bytes with those of the nodes around them,";
                return Err(FormatError::too_large(part, spelled, most));
            }
            tensor.name = format!("{path}/{}", tensor.name);
        }
    }
    Ok(())
}

#[cfg(test)]
pub(in crate::formats) mod tests {
    use super::*;
    use crate::formats::{Joined, TensorReader, open as open_any};
    use crate::role::{InputAxis, Role};
    use std::collections::BTreeMap;

    /// A model of vectors.
    pub(in crate::formats) fn onnx(tensors: &[(&str, &[f32])]) -> Vec<u8> {
        let vector = |(name, values): &(&str, &[f32])| {
            initializer(name, 1, &[values.len() as u8], &field(9, &floats(values)))
        };
        model(&tensors.iter().flat_map(vector).collect::<Vec<u8>>())
    }

    /// A field that holds bytes.
    fn field(number: u32, bytes: &[u8]) -> Vec<u8> {
        let key = number << 3 | 2;
        let mut out = if key < 0x80 { vec![key as u8] } else { vec![key as u8 | 0x80, (key >> 7) as u8] };
        let mut len = bytes.len();
        while len >= 0x80 {
            out.push(len as u8 | 0x80);
            len >>= 7;
        }
        out.push(len as u8);
        out.extend(bytes);
        out
    }

    fn number(field: u32, value: u8) -> Vec<u8> {
        vec![(field << 3) as u8, value]
    }

    fn tensor(name: &str, data_type: u8, dims: &[u8], data: &[u8]) -> Vec<u8> {
        let mut out = field(1, dims);
        out.extend(number(2, data_type));
        out.extend(field(8, name.as_bytes()));
        out.extend(data);
        out
    }

    fn floats(values: &[f32]) -> Vec<u8> {
        values.iter().flat_map(|v| v.to_le_bytes()).collect()
    }

    fn model(graph: &[u8]) -> Vec<u8> {
        [number(1, 8), field(2, b"tests"), field(7, graph), field(8, &number(2, 17))].concat()
    }

    fn initializer(name: &str, data_type: u8, dims: &[u8], data: &[u8]) -> Vec<u8> {
        field(5, &tensor(name, data_type, dims, data))
    }

    fn constant(output: &str, data_type: u8, dims: &[u8], data: &[u8]) -> Vec<u8> {
        let value = [field(1, b"value"), field(5, &tensor("", data_type, dims, data))].concat();
        field(1, &[field(2, output.as_bytes()), field(4, b"Constant"), field(5, &value)].concat())
    }

    fn values(source: &dyn Source, model: &Model, name: &str) -> Vec<f32> {
        let tensor = model.tensors.iter().find(|tensor| tensor.name == name).unwrap();
        let mut values = Vec::new();
        let mut reader = TensorReader::new(source, tensor, &Limits::default()).unwrap();
        reader.read_f32(0..tensor.len(), &mut values).unwrap();
        values
    }

    #[test]
    fn raw_and_typed_data_are_read() {
        let halves = [0x80, 0x78, 0x80, 0x80, 0x03]; // varints of 0x3c00, 0xc000: 1 and -2 as f16
        let graph = [
            initializer("raw", 1, &[2], &field(9, &floats(&[1.5, -2.0]))),
            initializer("typed", 1, &[1, 2], &field(4, &floats(&[3.0, 4.0]))),
            initializer("double", 11, &[1], &field(10, &8.5f64.to_le_bytes())),
            initializer("half", 10, &[2], &field(5, &halves)),
            initializer("shape", 7, &[1], &field(7, &[2])),
        ]
        .concat();
        let file = model(&graph);
        let model = open_any(&file, &Limits::default()).unwrap();
        assert_eq!(model.format, FileFormat::Onnx);
        assert_eq!(values(&file, &model, "raw"), [1.5, -2.0]);
        assert_eq!(values(&file, &model, "typed"), [3.0, 4.0]);
        assert_eq!(values(&file, &model, "double"), [8.5]);
        assert_eq!(values(&file, &model, "half"), [1.0, -2.0]);
        assert_eq!(model.tensors.len(), 4);
        assert_eq!(
            model.notes,
            ["1 integer or single constants belong to the graph and are left as they are"]
        );
        assert_eq!(model.metadata.get("producer").map(String::as_str), Some("tests"));
    }

    #[test]
    fn constants_of_branches_are_weights_told_apart_by_their_nodes() {
        let data = |x: f32| field(9, &floats(&[x, x]));
        let branch = |name: &str, x: f32| {
            let graph =
                [constant("w", 1, &[2], &data(x)), constant("one", 1, &[1], &field(9, &floats(&[1.0])))]
                    .concat();
            field(5, &[field(1, name.as_bytes()), field(6, &graph)].concat())
        };
        let node = [
            field(2, b"out"),
            field(3, b"choose"),
            field(4, b"If"),
            branch("then_branch", 1.0),
            branch("else_branch", 2.0),
        ]
        .concat();
        let file = model(&field(1, &node));
        let model = open_any(&file, &Limits::default()).unwrap();
        assert_eq!(values(&file, &model, "choose/then_branch/w"), [1.0, 1.0]);
        assert_eq!(values(&file, &model, "choose/else_branch/w"), [2.0, 2.0]);
        assert_eq!(model.tensors.len(), 2);
    }

    fn external(location: &str, offset: &str) -> Vec<u8> {
        let entry =
            |key: &[u8], value: &str| field(13, &[field(1, key), field(2, value.as_bytes())].concat());
        let data = [entry(b"location", location), entry(b"offset", offset), number(14, 1)].concat();
        model(&initializer("w", 1, &[2], &data))
    }

    #[test]
    fn data_of_other_files_is_found_in_them_and_nowhere_else() {
        let file = external("weights/w.bin", "4");
        assert_eq!(crate::formats::companions(&file, &Limits::default()).unwrap(), ["weights/w.bin"]);
        let alone = open_any(&file, &Limits::default()).unwrap_err().to_string();
        assert_eq!(
            alone,
            "tensor w: its data is in the file weights/w.bin, which is not open: choose both files together"
        );
        let data = floats(&[9.0, 1.0, 2.0]);
        let joined = Joined::new([("m.onnx".to_owned(), file), ("w.bin".to_owned(), data.clone())]);
        let model = open_any(&joined, &Limits::default()).unwrap();
        assert_eq!(values(&joined, &model, "w"), [1.0, 2.0]);
        let joined = Joined::new([("m.onnx".to_owned(), external("w.bin", "8")), ("w.bin".to_owned(), data)]);
        let sentence = open_any(&joined, &Limits::default()).unwrap_err().to_string();
        assert_eq!(
            sentence,
            "tensor w: expected data inside the 12 bytes of w.bin, found 8 bytes from byte 8"
        );
        for outside in ["../w.bin", "/etc/passwd", "a/../../b", "c:\\w", ""] {
            let file = external(outside, "0");
            let sentence = open_any(&file, &Limits::default()).unwrap_err().to_string();
            assert!(sentence.contains("expected a file beside the model"), "{sentence}");
            assert!(crate::formats::companions(&file, &Limits::default()).is_err());
        }
    }

    fn node(operator: &str, inputs: &[&str], outputs: &[&str]) -> Vec<u8> {
        let inputs = inputs.iter().flat_map(|name| field(1, name.as_bytes()));
        let outputs = outputs.iter().flat_map(|name| field(2, name.as_bytes()));
        field(1, &[inputs.collect(), outputs.collect(), field(4, operator.as_bytes())].concat())
    }

    fn zeros(name: &str, dims: &[u8]) -> Vec<u8> {
        let count: usize = dims.iter().map(|dim| usize::from(*dim)).product();
        initializer(name, 1, dims, &field(9, &vec![0; 4 * count]))
    }

    fn roles_of(graph: &[u8]) -> BTreeMap<String, (Role, String)> {
        let model = open_any(&model(graph), &Limits::default()).unwrap();
        let found = |tensor: &crate::tensor::Tensor| (tensor.found.role, tensor.found.reason.to_string());
        model.tensors.iter().map(|tensor| (tensor.name.clone(), found(tensor))).collect()
    }

    #[test]
    fn roles_are_those_of_the_operators_that_read_the_tensor() {
        let graph = [
            node("Conv", &["x", "kernel", "bias"], &["c"]),
            node("BatchNormalization", &["c", "scale", "shift", "mean", "variance"], &["n"]),
            node("PRelu", &["n", "slope"], &["p"]),
            node("Resize", &["p", "", "scales"], &["r"]),
            node("Mystery", &["r", "odd"], &["m"]),
            node("Gather", &["table", "i"], &["g"]),
            node("LSTM", &["g", "w", "r0", "b", "", "h0"], &["y"]),
            zeros("kernel", &[2, 2, 3, 3]),
            zeros("bias", &[2]),
            zeros("scale", &[2]),
            zeros("shift", &[2]),
            zeros("mean", &[2]),
            zeros("variance", &[2]),
            zeros("slope", &[2]),
            zeros("scales", &[4]),
            zeros("odd", &[4]),
            zeros("table", &[4, 4]),
            zeros("w", &[1, 8, 4]),
            zeros("r0", &[1, 8, 2]),
            zeros("b", &[1, 16]),
            zeros("h0", &[1, 1, 2]),
            zeros("unread", &[4]),
            zeros("single", &[1]),
        ];
        let found = roles_of(&graph.concat());
        let role = |name: &str| found[name].0;
        assert_eq!(found["kernel"], (Role::Weight, "kernel of Conv".to_owned()));
        assert_eq!((role("bias"), role("b")), (Role::Bias, Role::Bias));
        assert_eq!([role("scale"), role("shift"), role("slope")], [Role::Norm; 3]);
        assert_eq!([role("mean"), role("variance")], [Role::Statistic; 2]);
        assert_eq!([role("scales"), role("h0"), role("single")], [Role::Constant; 3]);
        assert_eq!([role("table"), role("w"), role("r0")], [Role::Weight; 3]);
        assert_eq!([role("odd"), role("unread")], [Role::Other; 2]);
        assert!(found["odd"].1.contains("Mystery"), "{}", found["odd"].1);
    }

    #[test]
    fn roles_are_seen_through_what_only_passes_values_on() {
        let branch = |name: &str, weight: &str| {
            let graph = [node("MatMul", &["x", weight], &["o"]), field(12, &field(1, b"o"))].concat();
            field(5, &[field(1, name.as_bytes()), field(6, &graph)].concat())
        };
        let choose = [
            field(1, b"flag"),
            field(2, b"out"),
            field(4, b"If"),
            branch("then_branch", "in_then"),
            branch("else_branch", "in_else"),
        ];
        let body = [
            field(1, b"Dense"),
            field(4, b"input"),
            field(4, b"matrix"),
            field(
                7,
                &[field(1, b"input"), field(1, b"matrix"), field(2, b"o"), field(4, b"MatMul")].concat(),
            ),
        ];
        let graph = [
            node("Transpose", &["turned"], &["t"]),
            node("Cast", &["t"], &["t2"]),
            node("MatMul", &["x", "t2"], &["a"]),
            node("Mul", &["normed", "by"], &["made"]),
            node("Gemm", &["x", "made", "c"], &["b"]),
            node("Concat", &["s1", "s2"], &["shape"]),
            node("Resize", &["a", "", "shape"], &["q"]),
            node("Conv", &["x", "both"], &["d"]),
            node("Clip", &["d", "both"], &["e"]),
            node("Dense", &["x", "local"], &["l"]),
            field(1, &choose.concat()),
            zeros("turned", &[4, 4]),
            zeros("normed", &[4, 4]),
            zeros("by", &[4]),
            zeros("c", &[4]),
            zeros("s1", &[2]),
            zeros("s2", &[2]),
            zeros("both", &[4, 4]),
            zeros("local", &[4, 4]),
            zeros("in_then", &[4, 4]),
            zeros("in_else", &[4, 4]),
        ];
        let file = [model(&graph.concat()), field(25, &body.concat())].concat();
        let model = open_any(&file, &Limits::default()).unwrap();
        let found = |name: &str| &model.tensors.iter().find(|tensor| tensor.name == name).unwrap().found;
        let role = |name: &str| found(name).role;
        for (name, inputs) in [
            ("turned", InputAxis::Last),
            ("normed", InputAxis::Unknown),
            ("local", InputAxis::First),
            ("in_then", InputAxis::First),
            ("in_else", InputAxis::First),
        ] {
            assert_eq!((role(name), found(name).inputs), (Role::Weight, inputs), "{name}");
        }
        assert_eq!([role("s1"), role("s2"), role("both")], [Role::Constant; 3]);
        assert_eq!(role("by"), Role::Norm, "a vector that scales a weight");
    }

    #[test]
    fn a_model_that_lies_is_refused_in_a_sentence() {
        let sentence = |graph: &[u8]| open_any(&model(graph), &Limits::default()).unwrap_err().to_string();
        assert_eq!(
            sentence(&initializer("w", 1, &[3], &field(9, &floats(&[1.0])))),
            "tensor w: expected 12 bytes of data, found 4 bytes"
        );
        assert!(
            sentence(&initializer("w", 7, &[1], &field(7, &[2])))
                .contains("an ONNX model that has no weights")
        );
        let twice = initializer("w", 1, &[1], &field(9, &floats(&[1.0])));
        assert!(sentence(&[twice.clone(), twice].concat()).contains("unique names"));
        let many = [field(1, &[0xff; 9]), number(2, 1)].concat();
        assert!(!sentence(&field(5, &many)).is_empty());
    }

    #[test]
    fn graphs_nested_without_end_are_refused() {
        let mut graph = Vec::new();
        for _ in 0..200 {
            let attribute = [field(1, b"body"), field(6, &graph)].concat();
            graph = field(1, &[field(4, b"Loop"), field(5, &attribute)].concat());
        }
        let sentence = open_any(&model(&graph), &Limits::default()).unwrap_err().to_string();
        assert!(sentence.starts_with("graphs inside graphs declares"), "{sentence}");
    }
}
