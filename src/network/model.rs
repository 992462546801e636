//! Execution, by rten.

use super::{Array, Graph, NetworkError};
use crate::formats::{Part, Source, read_part};
use rten::{LoadErrorKind, ModelOptions, NodeId};
use std::collections::{BTreeMap, BTreeSet};

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
        let mut options = ModelOptions::with_all_ops();
        options.enable_optimization(optimize).prepack_weights(optimize);
        for (name, data) in files.companions() {
            options.external_data(name, data.to_vec());
        }
        let model = options.load(bytes).map_err(|error| load_error(graph, &error))?;
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
        let mut given = Vec::with_capacity(self.inputs.len());
        for (name, id) in &self.inputs {
            let array = inputs.get(name).ok_or_else(|| {
                NetworkError::data(format!("input {name}"), "an array of that name in the data", "none")
            })?;
            given.push((*id, array.to_value()?));
        }
        let ids = outputs.iter().map(|name| self.model.node_id(name)).collect::<Result<Vec<_>, _>>();
        let ids = ids.map_err(|error| run_error(&error))?;
        let values = self.model.run(given, &ids, None).map_err(|error| run_error(&error))?;
        values.into_iter().map(Array::from_value).collect()
    }
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

fn run_error(error: &rten::RunError) -> NetworkError {
    NetworkError::Run(one_line(error))
}
