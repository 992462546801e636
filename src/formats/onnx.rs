//! ONNX models: the weights among a graph's initializers and constants, located and never read.
//!
//! Definition: onnx.proto3 of ONNX 1.16 (`ModelProto`, `GraphProto`, `NodeProto`, `AttributeProto`, `TensorProto`) and
//! "External Data". Read are float initializers, and float constants of more than one element, of the graph and of the graphs
//! inside its nodes. Integers, texts and single numbers are part of how the graph computes and are left to it.
//!
//! Not read: weights of local functions, sparse initializers, 4-bit types; a note says so.

use super::error::shown;
use super::layout::{Declared, check_unique, element_count, mark_ties};
use super::onnx_roles::{self, Name, Scope, Uses};
use super::protobuf::{Value, Wire};
use super::{FormatError, Limits, Source};
use crate::model::{FileFormat, Model};
use crate::order::into_sorted_by_key;
use crate::tensor::{Dtype, Span, Storage};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// What the file is called in errors.
const PART: &str = "the ONNX model";
/// Graphs inside graphs, at most.
const DEEPEST: u32 = 32;

/// A tensor as the file declares it.
#[derive(Debug, Default)]
struct Found {
    name: String,
    /// The graph that it lies in, and its name there.
    scope: Scope,
    value: Name,
    is_initializer: bool,
    dims: Vec<u64>,
    data_type: u64,
    /// Bytes as they lie in memory: raw data, or packed 32- and 64-bit floats.
    raw: Option<Span>,
    /// Packed varints: 16- and 8-bit floats outside raw data.
    varints: Option<Span>,
    is_external: bool,
    external: BTreeMap<String, String>,
}

/// What is left out, counted.
#[derive(Debug, Default)]
struct Left {
    constants: u64,
    sparse: u64,
    types: Vec<u64>,
    functions: u64,
}

/// Whether the file starts like an ONNX model: a protobuf whose first fields are those of `ModelProto`.
pub(super) fn is_onnx(source: &dyn Source) -> bool {
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

/// The names of the files that hold data of this model, as it gives them, sorted.
pub(super) fn companions(source: &dyn Source, limits: &Limits) -> Result<Vec<String>, FormatError> {
    let Scanned { found, .. } = scan(source, limits)?;
    let mut names = BTreeSet::new();
    for tensor in found.iter().filter(|tensor| tensor.is_external) {
        names.insert(tensor.location()?);
    }
    Ok(names.into_iter().collect())
}

/// Locates the weights of an ONNX model.
pub(super) fn open(source: &dyn Source, limits: &Limits) -> Result<Model, FormatError> {
    let Scanned { mut found, left, metadata, uses, paths } = scan(source, limits)?;
    let values: Vec<onnx_roles::Value> = found
        .iter()
        .map(|found| onnx_roles::Value { scope: found.scope, name: found.value, shape: &found.dims })
        .collect();
    let roles = uses.roles(&values);
    tell_apart(&mut found, &paths, source.len())?;
    check_unique("the names of initializers and constants", found.iter().map(|tensor| tensor.name.as_str()))?;
    let mut tensors =
        found.into_iter().map(|tensor| tensor.locate(source, limits)).collect::<Result<Vec<_>, _>>()?;
    for (tensor, role) in tensors.iter_mut().zip(roles) {
        tensor.found = role;
    }
    // In the order of their bytes, so that a model with other weights can be written in one go.
    let mut tensors = into_sorted_by_key(tensors, |tensor| match tensor.storage {
        Storage::Stored(span) | Storage::Deflated { span, .. } | Storage::Varints { span, .. } => span.offset,
    });
    mark_ties(&mut tensors);
    let notes = left.notes();
    if tensors.is_empty() {
        let beside = if notes.is_empty() { String::new() } else { format!("; {}", notes.join("; ")) };
        return Err(FormatError::foreign(
            format!("an ONNX model that has no weights{beside}"),
            "open the model that holds them",
        ));
    }
    Ok(Model { format: FileFormat::Onnx, tensors, extras: Vec::new(), metadata, is_partial: true, notes })
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

/// What a model's file holds.
struct Scanned {
    found: Vec<Found>,
    left: Left,
    metadata: BTreeMap<String, String>,
    uses: Uses,
    /// Of every graph the names of the nodes that it lies in, outermost first.
    paths: Vec<Rc<str>>,
}

fn scan(source: &dyn Source, limits: &Limits) -> Result<Scanned, FormatError> {
    // The model itself is the first of the files that were opened together.
    let len = source.parts().first().map_or(source.len(), |part| part.span.len);
    let mut scan = Scan {
        wire: Wire::new(source, PART),
        limits,
        found: Vec::new(),
        left: Left::default(),
        uses: Uses::default(),
        paths: Vec::new(),
    };
    let mut metadata = BTreeMap::new();
    let mut rest = Span { offset: 0, len };
    while let Some(field) = scan.wire.field(&mut rest)? {
        match (field.number, field.value) {
            (2, Value::Bytes(span)) => {
                metadata.insert("producer".to_owned(), scan.wire.text(span)?);
            }
            (7, Value::Bytes(span)) => {
                scan.graph(span, None, Rc::from(""), 0)?;
            }
            (14, Value::Bytes(span)) => {
                let (key, value) = scan.entry(span)?;
                metadata.insert(key, value);
            }
            (25, Value::Bytes(span)) => {
                scan.left.functions += 1;
                scan.function(span)?;
            }
            _ => {}
        }
    }
    let Scan { found, left, uses, paths, .. } = scan;
    Ok(Scanned { found, left, metadata, uses, paths })
}

struct Scan<'a> {
    wire: Wire<'a>,
    limits: &'a Limits,
    found: Vec<Found>,
    left: Left,
    uses: Uses,
    paths: Vec<Rc<str>>,
}

impl Scan<'_> {
    /// Walks a graph inside `above`, with the names of the nodes around it; its number.
    fn graph(
        &mut self,
        mut graph: Span,
        above: Option<Scope>,
        path: Rc<str>,
        depth: u32,
    ) -> Result<Scope, FormatError> {
        if depth > DEEPEST {
            return Err(FormatError::too_large("graphs inside graphs", u64::from(depth), u64::from(DEEPEST)));
        }
        let scope = self.uses.graph(above);
        self.paths.push(path);
        while let Some(field) = self.wire.field(&mut graph)? {
            match (field.number, field.value) {
                (1, Value::Bytes(node)) => self.node(node, scope, depth)?,
                (5, Value::Bytes(tensor)) => {
                    let mut found = self.tensor(tensor)?;
                    found.is_initializer = true;
                    self.take(found, scope)?;
                }
                (11, Value::Bytes(value)) => {
                    let name = self.value_name(value)?;
                    self.uses.input(scope, name);
                }
                (12, Value::Bytes(value)) => {
                    let name = self.value_name(value)?;
                    self.uses.output(scope, name);
                }
                (15, Value::Bytes(_)) => self.left.sparse += 1,
                _ => {}
            }
        }
        Ok(scope)
    }

    /// The name of a `ValueInfoProto`.
    fn value_name(&mut self, mut value: Span) -> Result<Name, FormatError> {
        let mut name = String::new();
        while let Some(field) = self.wire.field(&mut value)? {
            if let (1, Value::Bytes(span)) = (field.number, field.value) {
                name = self.wire.text(span)?;
            }
        }
        Ok(self.uses.name(&name))
    }

    /// The body of a `FunctionProto`: a graph of its own, whose inputs are those of the nodes that call it.
    fn function(&mut self, mut function: Span) -> Result<(), FormatError> {
        let scope = self.uses.graph(None);
        self.paths.push(Rc::from(""));
        let (mut name, mut inputs) = (String::new(), Vec::new());
        while let Some(field) = self.wire.field(&mut function)? {
            match (field.number, field.value) {
                (1, Value::Bytes(span)) => name = self.wire.text(span)?,
                (4, Value::Bytes(span)) => {
                    let input = self.named(span)?;
                    self.uses.input(scope, input);
                    inputs.push(input);
                }
                (7, Value::Bytes(span)) => {
                    // Weights of functions are not read, but what they do with those they are given is.
                    let before = self.found.len();
                    self.node(span, scope, 0)?;
                    self.found.truncate(before);
                }
                _ => {}
            }
        }
        self.uses.function(&name, scope, inputs);
        Ok(())
    }

    fn named(&mut self, span: Span) -> Result<Name, FormatError> {
        let text = self.wire.text(span)?;
        Ok(self.uses.name(&text))
    }

    fn node(&mut self, node: Span, scope: Scope, depth: u32) -> Result<(), FormatError> {
        let (mut name, mut operator) = (String::new(), String::new());
        let (mut inputs, mut outputs, mut output) = (Vec::new(), Vec::new(), String::new());
        let mut attributes = Vec::new();
        let mut rest = node;
        while let Some(field) = self.wire.field(&mut rest)? {
            match (field.number, field.value) {
                (1, Value::Bytes(span)) => inputs.push(self.named(span)?),
                (2, Value::Bytes(span)) => {
                    let text = self.wire.text(span)?;
                    outputs.push(self.uses.name(&text));
                    if outputs.len() == 1 {
                        output = text;
                    }
                }
                (3, Value::Bytes(span)) => name = self.wire.text(span)?,
                (4, Value::Bytes(span)) => operator = self.wire.text(span)?,
                (5, Value::Bytes(span)) => attributes.push(span),
                _ => {}
            }
        }
        if operator == "Constant" {
            if let Some(first) = outputs.first() {
                self.uses.constant(scope, *first);
            }
            for attribute in attributes {
                self.constant(attribute, &output, scope)?;
            }
            return Ok(());
        }
        let around = if name.is_empty() { &output } else { &name };
        let mut inner = Vec::new();
        for attribute in attributes {
            self.subgraphs(attribute, scope, around, depth, &mut inner)?;
        }
        self.uses.node(scope, &operator, inputs, outputs, inner);
        Ok(())
    }

    /// Takes the tensor of a `Constant` node, which bears its output's name.
    fn constant(&mut self, mut attribute: Span, output: &str, scope: Scope) -> Result<(), FormatError> {
        while let Some(field) = self.wire.field(&mut attribute)? {
            if let (5, Value::Bytes(span)) = (field.number, field.value) {
                let mut found = self.tensor(span)?;
                output.clone_into(&mut found.name);
                self.take(found, scope)?;
            }
        }
        Ok(())
    }

    /// Walks the graphs of an attribute of the node called `around`.
    fn subgraphs(
        &mut self,
        mut attribute: Span,
        scope: Scope,
        around: &str,
        depth: u32,
        inner: &mut Vec<Scope>,
    ) -> Result<(), FormatError> {
        // The attribute's name may stand behind its graph.
        let mut rest = attribute;
        let mut name = String::new();
        let mut has_graph = false;
        while let Some(field) = self.wire.field(&mut rest)? {
            match (field.number, field.value) {
                (1, Value::Bytes(span)) => name = self.wire.text(span)?,
                (6 | 11, Value::Bytes(_)) => has_graph = true,
                _ => {}
            }
        }
        if !has_graph {
            return Ok(());
        }
        let above = self.paths.get(scope as usize).map_or("", |path| path);
        let separator = if above.is_empty() { "" } else { "/" };
        let path: Rc<str> = format!("{above}{separator}{around}/{name}").into();
        while let Some(field) = self.wire.field(&mut attribute)? {
            if let (6 | 11, Value::Bytes(graph)) = (field.number, field.value) {
                inner.push(self.graph(graph, Some(scope), Rc::clone(&path), depth + 1)?);
            }
        }
        Ok(())
    }

    fn tensor(&mut self, mut tensor: Span) -> Result<Found, FormatError> {
        let mut found = Found::default();
        let start = tensor.offset;
        while let Some(field) = self.wire.field(&mut tensor)? {
            match (field.number, field.value) {
                (1, Value::Varint(dim)) => self.dim(&mut found, dim)?,
                (1, Value::Bytes(mut packed)) => {
                    while packed.len > 0 {
                        let dim = self.wire.varint(&mut packed)?;
                        self.dim(&mut found, dim)?;
                    }
                }
                (2, Value::Varint(data_type)) => found.data_type = data_type,
                (4 | 9 | 10, Value::Bytes(span)) => found.raw = Some(span),
                (5, Value::Bytes(span)) => found.varints = Some(span),
                (4, Value::Fixed32(_)) | (10, Value::Fixed64(_)) => {
                    let found = "numbers with a field each";
                    return Err(self.wire.damaged(start, "a tensor's numbers packed together", found));
                }
                (8, Value::Bytes(span)) => found.name = self.wire.text(span)?,
                (13, Value::Bytes(span)) => {
                    let (key, value) = self.entry(span)?;
                    found.external.insert(key, value);
                }
                (14, Value::Varint(location)) => found.is_external = location == 1,
                _ => {}
            }
        }
        Ok(found)
    }

    fn dim(&mut self, found: &mut Found, dim: u64) -> Result<(), FormatError> {
        found.dims.push(dim);
        if found.dims.len() as u64 > self.limits.rank {
            let rank = found.dims.len() as u64;
            return Err(FormatError::too_large("the rank of a tensor", rank, self.limits.rank));
        }
        Ok(())
    }

    /// A `StringStringEntryProto`.
    fn entry(&mut self, mut entry: Span) -> Result<(String, String), FormatError> {
        let (mut key, mut value) = (String::new(), String::new());
        while let Some(field) = self.wire.field(&mut entry)? {
            match (field.number, field.value) {
                (1, Value::Bytes(span)) => key = self.wire.text(span)?,
                (2, Value::Bytes(span)) => value = self.wire.text(span)?,
                _ => {}
            }
        }
        Ok((key, value))
    }

    /// Takes in a tensor if it is a weight.
    fn take(&mut self, mut found: Found, scope: Scope) -> Result<(), FormatError> {
        found.scope = scope;
        found.value = self.uses.name(&found.name);
        self.uses.constant(scope, found.value);
        let single = !found.is_initializer && found.dims.iter().all(|dim| *dim == 1);
        match float_type(found.data_type) {
            Some(_) if !single => {}
            None if (17..=24).contains(&found.data_type) => {
                if !self.left.types.contains(&found.data_type) {
                    self.left.types.push(found.data_type);
                }
                return Ok(());
            }
            _ => {
                self.left.constants += 1;
                return Ok(());
            }
        }
        self.found.push(found);
        let count = self.found.len() as u64;
        if count > self.limits.tensors {
            return Err(FormatError::too_large("the number of tensors", count, self.limits.tensors));
        }
        Ok(())
    }
}

impl Left {
    fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        let mut note = |count: u64, what: &str| {
            if count > 0 {
                notes.push(format!("{count} {what}"));
            }
        };
        note(self.constants, "integer or single constants belong to the graph and are left as they are");
        note(self.sparse, "sparse initializers are left as they are");
        note(self.types.len() as u64, "types of initializer that are no plain float are left as they are");
        note(self.functions, "local functions are not searched for weights");
        notes
    }
}

/// Our type for a float type of `TensorProto.DataType`.
fn float_type(data_type: u64) -> Option<Dtype> {
    Some(match data_type {
        1 => Dtype::F32,
        10 => Dtype::F16,
        11 => Dtype::F64,
        16 => Dtype::Bf16,
        17 => Dtype::F8E4M3,
        19 => Dtype::F8E5M2,
        _ => return None,
    })
}

impl Found {
    fn part(&self) -> String {
        format!("tensor {}", shown(&self.name))
    }

    /// The file that holds the data: a path below the model's own folder.
    fn location(&self) -> Result<String, FormatError> {
        let expected = "a file beside the model that holds its data";
        let Some(location) = self.external.get("location") else {
            return Err(FormatError::damaged(self.part(), expected, "none"));
        };
        let name = location.strip_prefix("./").unwrap_or(location);
        let outside = name.is_empty()
            || name.starts_with('/')
            || name.contains(['\\', ':', '\0'])
            || name.split('/').any(|step| step == ".." || step.is_empty());
        if outside {
            Err(FormatError::damaged(self.part(), expected, shown(location)))
        } else {
            Ok(name.to_owned())
        }
    }

    fn locate(self, source: &dyn Source, limits: &Limits) -> Result<crate::tensor::Tensor, FormatError> {
        let part = self.part();
        let dtype = float_type(self.data_type).unwrap_or(Dtype::F32);
        let bytes = element_count(&part, &self.dims, dtype, limits)? * dtype.size_bytes();
        let storage = if self.is_external {
            Storage::Stored(self.external_span(source, bytes)?)
        } else if let (Some(varints), None) = (self.varints, self.raw) {
            Storage::Varints { span: varints, len: bytes }
        } else {
            Storage::Stored(self.raw.unwrap_or(Span { offset: 0, len: 0 }))
        };
        let (strides, big_endian) = (None, false);
        let declared =
            Declared { name: self.name, dtype, shape: self.dims, storage, offset: 0, strides, big_endian };
        if declared.storage.len() != bytes {
            let found = format!("{} bytes", declared.storage.len());
            return Err(FormatError::damaged(part, format!("{bytes} bytes of data"), found));
        }
        declared.locate(limits)
    }

    fn external_span(&self, source: &dyn Source, bytes: u64) -> Result<Span, FormatError> {
        let location = self.location()?;
        let base = |path: &str| path.rsplit('/').next().unwrap_or_default().to_owned();
        let others = source.parts().get(1..).unwrap_or_default();
        let exact = others.iter().find(|part| part.name == location);
        let Some(file) = exact.or_else(|| others.iter().find(|part| part.name == base(&location))) else {
            return Err(FormatError::Companion { part: self.part(), file: shown(&location) });
        };
        let number = |key: &str, default: u64| match self.external.get(key) {
            None => Ok(default),
            Some(text) => text.parse::<u64>().map_err(|_| {
                FormatError::damaged(self.part(), format!("a number as the data's {key}"), shown(text))
            }),
        };
        let (offset, len) = (number("offset", 0)?, number("length", bytes)?);
        if offset.checked_add(len).is_none_or(|end| end > file.span.len) {
            let expected = format!("data inside the {} bytes of {}", file.span.len, shown(&location));
            let found = format!("{len} bytes from byte {offset}");
            return Err(FormatError::damaged(self.part(), expected, found));
        }
        Ok(Span { offset: file.span.offset + offset, len })
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::super::{Joined, TensorReader, open as open_any};
    use super::*;
    use crate::role::{InputAxis, Role};

    /// A model of vectors.
    pub(crate) fn onnx(tensors: &[(&str, &[f32])]) -> Vec<u8> {
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
        assert_eq!(super::super::companions(&file, &Limits::default()).unwrap(), ["weights/w.bin"]);
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
            assert!(super::super::companions(&file, &Limits::default()).is_err());
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
