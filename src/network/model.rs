//! Execution, by rten.

use super::initializer::{float_type, floats_of};
use super::{Array, Graph, NetworkError};
use crate::formats::{
    Contents, Limits, Part, Source, Template, TensorHeader, TensorReader, Writer, read_part,
};
use crate::model::{FileFormat, Model};
use crate::tensor::Dtype;
use rten::{LoadErrorKind, ModelOptions, NodeId, ValueOrView};
use rten_onnx::onnx::{DataLocation, DataType, ModelProto, TensorProto};
use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

/// The largest model that is run: it must fit the memory of a tab beside what it computes.
const MOST_BYTES: u64 = 1 << 30;

/// A network ready to run.
pub struct Network {
    model: rten::Model,
    inputs: Vec<(String, NodeId)>,
}

impl std::fmt::Debug for Network {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Network").field("inputs", &self.inputs).finish_non_exhaustive()
    }
}

/// A model's file, and the files that hold its data, in memory.
#[derive(Debug, Clone)]
pub struct ModelBytes {
    /// All files, one behind the other.
    pub bytes: Vec<u8>,
    parts: Vec<Part>,
}

impl ModelBytes {
    /// Bytes in memory, with where each file lies in them.
    pub fn new(bytes: Vec<u8>, parts: Vec<Part>) -> Self {
        Self { bytes, parts }
    }

    /// Reads them whole.
    pub fn read(source: &dyn Source) -> Result<Self, NetworkError> {
        let bytes = read_part(source, "the network", 0, source.len(), MOST_BYTES)?;
        Ok(Self { bytes, parts: source.parts().to_vec() })
    }

    /// The same files with other bytes, which must be as many.
    pub fn with(&self, bytes: Vec<u8>) -> Self {
        Self { bytes, parts: self.parts.clone() }
    }

    /// The same network, whose tensors `model` locates, with raw data where its file has numbers of varying length: places
    /// that values can be put into.
    pub(super) fn raw(&self, model: &Model) -> Result<Self, NetworkError> {
        let headers: Vec<TensorHeader> = model
            .tensors
            .iter()
            .map(|t| TensorHeader { name: t.name.clone(), dtype: t.dtype, shape: t.shape.clone() })
            .collect();
        let template = Template { source: self, model };
        let parts = FileFormat::Onnx.parts(&template)?;
        let contents = Contents { template: Some(template), ..Contents::of(&headers) };
        let mut writer = Writer::new(FileFormat::Onnx, Vec::new(), &contents)?;
        for tensor in &model.tensors {
            let mut bytes = Vec::new();
            TensorReader::new(self, tensor, &Limits::default())?.read(0..tensor.len(), &mut bytes)?;
            writer.write(&bytes)?;
        }
        let bytes = writer.finish()?;
        Ok(Self { bytes, parts })
    }

    /// Where each file lies; none for a model on its own.
    pub fn file_parts(&self) -> &[Part] {
        &self.parts
    }

    /// The model itself.
    pub fn model(&self) -> &[u8] {
        let end = self.parts.first().map_or(self.bytes.len(), |part| part.span.len as usize);
        self.bytes.get(..end).unwrap_or_default()
    }

    fn companions(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.parts.iter().skip(1).map(|part| {
            let start = part.span.offset as usize;
            let bytes = self.bytes.get(start..start + part.span.len as usize).unwrap_or_default();
            (part.name.as_str(), bytes)
        })
    }
}

impl Network {
    /// Loads a model as it is, for its outputs.
    pub fn load(files: &ModelBytes) -> Result<Self, NetworkError> {
        let graph = Graph::parse(files.model())?;
        Self::new(graph.to_bytes(&BTreeSet::new())?, files, &graph, true)
    }

    /// Loads a graph so that the values named can be looked at.
    pub fn with_values(
        graph: &Graph,
        files: &ModelBytes,
        values: &BTreeSet<String>,
    ) -> Result<Self, NetworkError> {
        Self::new(graph.to_bytes(values)?, files, graph, false)
    }

    fn new(bytes: Vec<u8>, files: &ModelBytes, graph: &Graph, optimize: bool) -> Result<Self, NetworkError> {
        graph.check_growth(files.bytes.len() as u64)?;
        let mut options = ModelOptions::with_all_ops();
        options.enable_optimization(optimize).prepack_weights(optimize);
        let bytes = digestible(bytes, files)?;
        let model = without_panic(|| options.load(bytes))
            .map_err(NetworkError::Load)?
            .map_err(|error| load_error(graph, &error))?;
        let mut inputs = Vec::new();
        for input in &graph.inputs {
            let id = model.find_node(&input.name);
            let id = id.ok_or_else(|| NetworkError::Load(format!("it has no input {}", input.name)))?;
            inputs.push((input.name.clone(), id));
        }
        Ok(Self { model, inputs })
    }

    /// Runs the network on `inputs`, by name; the values named in `outputs`, in their order.
    pub fn run(
        &self,
        inputs: &BTreeMap<String, Array>,
        outputs: &[String],
    ) -> Result<Vec<Array>, NetworkError> {
        self.run_given(inputs, Vec::new(), outputs)
    }

    /// Computes the value `output` from values in between, `known`, and from the inputs where these are not enough.
    pub(super) fn run_from(
        &self,
        inputs: &BTreeMap<String, Array>,
        known: &[(String, Rc<Array>)],
        output: &str,
    ) -> Result<Array, NetworkError> {
        let mut given = Vec::with_capacity(known.len());
        for (name, array) in known {
            // A value that the runtime does not know by its name is computed once more.
            if let Some(id) = self.model.find_node(name) {
                given.push((id, array.to_value()?));
            }
        }
        let mut values = self.run_given(inputs, given, &[output.to_owned()])?;
        values.pop().ok_or_else(|| NetworkError::Run(format!("it gave no value {output}")))
    }

    fn run_given(
        &self,
        inputs: &BTreeMap<String, Array>,
        known: Vec<(NodeId, ValueOrView<'_>)>,
        outputs: &[String],
    ) -> Result<Vec<Array>, NetworkError> {
        let mut given = known;
        for (name, id) in &self.inputs {
            let array = inputs.get(name).ok_or_else(|| {
                NetworkError::data(format!("input {name}"), "an array of that name in the data", "none")
            })?;
            given.push((*id, array.to_value()?));
        }
        let ids = outputs.iter().map(|name| self.model.node_id(name)).collect::<Result<Vec<_>, _>>();
        let ids = ids.map_err(|error| run_error(&error))?;
        let values = without_panic(|| self.model.run(given, &ids, None)).map_err(NetworkError::Run)?;
        let values = values.map_err(|error| run_error(&error))?;
        values.into_iter().map(Array::from_value).collect()
    }
}

/// Loads a model as it is, or with what the runtime does to make it faster.
pub(super) fn load(bytes: Vec<u8>, optimize: bool) -> Result<rten::Model, NetworkError> {
    let mut options = ModelOptions::with_all_ops();
    options.enable_optimization(optimize).prepack_weights(optimize);
    let loaded = without_panic(|| options.load(bytes)).map_err(NetworkError::Load)?;
    loaded.map_err(|error| NetworkError::Load(one_line(&error)))
}

/// Runs what is the runtime's, whose panics on graphs and numbers that it did not foresee become a sentence. Where panics end the
/// program, as in wasm, they do: a worker is then replaced.
pub(super) fn without_panic<T>(run: impl FnOnce() -> T) -> Result<T, String> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(run)).map_err(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("it gave no reason");
        format!("the runtime failed: {}", crate::formats::quoted(text))
    })
}

/// The model as the runtime can read it: data of other files inside it, since the runtime takes but a few names for them, and
/// floats that it does not know widened.
pub(super) fn digestible(bytes: Vec<u8>, files: &ModelBytes) -> Result<Vec<u8>, NetworkError> {
    let failed = |error: &dyn std::fmt::Display| NetworkError::Load(error.to_string());
    let mut model = ModelProto::parse_buf(&bytes).map_err(|error| failed(&error))?;
    let Some(graph) = &mut model.graph else { return Ok(bytes) };
    let constants = graph.node.iter_mut().flat_map(|node| &mut node.attribute).filter_map(|a| a.t.as_mut());
    let mut changed = false;
    for tensor in graph.initializer.iter_mut().chain(constants) {
        if tensor.data_location == Some(DataLocation::EXTERNAL) {
            let data = external(tensor, files).ok_or_else(|| {
                let name = crate::formats::shown(tensor.name.as_deref().unwrap_or("(nameless)"));
                NetworkError::Load(format!("the data of {name} is in a file that is not open"))
            })?;
            tensor.raw_data = Some(std::cell::RefCell::new(data));
            tensor.external_data.clear();
            tensor.data_location = None;
            changed = true;
        }
        let narrow = tensor.data_type.and_then(float_type);
        if let Some(dtype @ (Dtype::Bf16 | Dtype::F8E4M3 | Dtype::F8E5M2)) = narrow {
            let values = floats_of(tensor, dtype);
            let raw = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            tensor.raw_data = Some(std::cell::RefCell::new(raw));
            tensor.int32_data.clear();
            tensor.data_type = Some(DataType::FLOAT);
            changed = true;
        }
    }
    if changed { model.write_buf().map_err(|error| failed(&error)) } else { Ok(bytes) }
}

/// The bytes of a tensor whose data lies in another file.
fn external(tensor: &TensorProto, files: &ModelBytes) -> Option<Vec<u8>> {
    let entry = |key: &str| {
        let entry = tensor.external_data.iter().find(|entry| entry.key.as_deref() == Some(key));
        entry.and_then(|entry| entry.value.as_deref())
    };
    let location = entry("location")?;
    let location = location.strip_prefix("./").unwrap_or(location);
    let (_, data) = files.companions().find(|(name, _)| *name == location)?;
    let start: usize = entry("offset").map_or(Some(0), |text| text.parse().ok())?;
    let size = match tensor.data_type? {
        DataType::DOUBLE | DataType::INT64 | DataType::UINT64 => 8,
        DataType::FLOAT | DataType::INT32 | DataType::UINT32 => 4,
        DataType::FLOAT16 | DataType::BFLOAT16 | DataType::INT16 | DataType::UINT16 => 2,
        _ => 1,
    };
    let count = tensor.dims.iter().try_fold(1usize, |n, dim| n.checked_mul(usize::try_from(*dim).ok()?))?;
    let len = entry("length").map_or_else(|| count.checked_mul(size), |text| text.parse().ok())?;
    data.get(start..start.checked_add(len)?).map(<[u8]>::to_vec)
}

fn one_line(error: &dyn std::fmt::Display) -> String {
    crate::formats::quoted(&error.to_string())
}

fn load_error(graph: &Graph, error: &rten::LoadError) -> NetworkError {
    let node = error.node().and_then(|name| graph.nodes.iter().find(|node| node.name == name));
    match (error.kind(), node) {
        (LoadErrorKind::OperatorInvalid, Some(node)) if one_line(error).contains("upported") => {
            NetworkError::Operator {
                operator: node.operator.clone(),
                node: node.name.clone(),
                purpose: "by the runtime",
            }
        }
        _ => NetworkError::Load(one_line(error)),
    }
}

pub(super) fn run_error(error: &rten::RunError) -> NetworkError {
    NetworkError::Run(one_line(error))
}
