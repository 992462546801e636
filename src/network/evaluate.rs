//! A network measured with the weights that a recipe leaves it.
//!
//! The recipe is carried out whole: the weights are compressed into a file in memory, the file is decoded, and the decoded
//! weights are put into the model in the places of the old ones. What is measured is what a receiver of the file would have,
//! and the rate is that of real bytes.

use super::data::{Binding, DataSet, Preprocess};
use super::measure::Outputs;
use super::model::ModelBytes;
use super::{Array, Graph, Network, NetworkError};
use crate::container::Reader;
use crate::engine::pipeline::Opened;
use crate::engine::report::Outcome;
use crate::engine::{self, EngineError, Plan, Replaced, open_container};
use crate::formats::{self, Limits, Part, Source, TensorReader, matching_name, shown};
use crate::importance::{ImportanceChoice, Values};
use crate::model::Model;
use crate::recipe::Recipe;
use crate::tensor::{Storage, Tensor};
use std::collections::BTreeMap;

impl Source for ModelBytes {
    fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> std::io::Result<()> {
        self.bytes.as_slice().read_at(offset, buffer)
    }

    fn parts(&self) -> &[Part] {
        self.file_parts()
    }
}

/// Hears of progress and says whether to go on.
pub type GoOn<'a> = &'a dyn Fn() -> bool;

/// A network, its weights, and what is needed to quantize them again and again.
pub struct Evaluator {
    network: ModelBytes,
    /// The tensors of the network's file.
    places: Model,
    weights: ModelBytes,
    name: String,
    importance: Option<ModelBytes>,
    opened: Option<(ImportanceChoice, Opened<ModelBytes>)>,
    jobs: usize,
}

impl std::fmt::Debug for Evaluator {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Evaluator").field("name", &self.name).finish_non_exhaustive()
    }
}

/// Weights that a recipe gave.
#[derive(Debug, Clone)]
pub struct Quantized {
    /// The network with them.
    pub files: ModelBytes,
    /// What compressing them gave: bytes, ledger, distortion.
    pub outcome: Outcome,
    /// ½ Σ h δ² for each tensor of the weights, where there is importance for every weight; in the loss's unit where that
    /// is its curvature.
    pub predicted: Option<Vec<(String, f64)>>,
    /// The compressed file.
    pub file: Vec<u8>,
}

impl Quantized {
    /// ½ Σ h δ² over all tensors.
    pub fn predicted_change(&self) -> Option<f64> {
        Some(self.predicted.as_ref()?.iter().map(|(_, change)| change).sum())
    }
}

impl Evaluator {
    /// An evaluator for the ONNX model `network`, with its own weights or those of another file under the same names.
    pub fn new(
        network: ModelBytes,
        weights: Option<(ModelBytes, String)>,
        importance: Option<ModelBytes>,
        jobs: usize,
    ) -> Result<Self, NetworkError> {
        let mut network = network;
        let mut places = formats::open(&network, &Limits::default())?;
        if places.tensors.iter().any(|tensor| matches!(tensor.storage, Storage::Encoded { .. })) {
            network = network.raw(&places)?;
            places = formats::open(&network, &Limits::default())?;
        }
        if places.format != crate::model::FileFormat::Onnx {
            return Err(NetworkError::graph("the file", "an ONNX model", places.format.name()));
        }
        let (weights, name) = weights.unwrap_or_else(|| (network.clone(), "network.onnx".to_owned()));
        Ok(Self { network, places, weights, name, importance, opened: None, jobs })
    }

    /// The network's file.
    pub fn network(&self) -> &ModelBytes {
        &self.network
    }

    /// The network's tensors.
    pub fn places(&self) -> &Model {
        &self.places
    }

    /// The weights' file.
    pub fn weights(&self) -> &ModelBytes {
        &self.weights
    }

    /// The importance file.
    pub fn importance(&self) -> Option<&ModelBytes> {
        self.importance.as_ref()
    }

    /// Replaces the importance file.
    pub fn set_importance(&mut self, importance: Option<ModelBytes>) {
        self.importance = importance;
        self.opened = None;
    }

    /// The weights' file, sketched with the importance that a recipe asks for.
    pub fn opened(&mut self, recipe: &Recipe) -> Result<&mut Opened<ModelBytes>, NetworkError> {
        let wanted = ImportanceChoice { hash: None, ..recipe.importance.clone() };
        if self.opened.as_ref().is_none_or(|(choice, _)| *choice != wanted) {
            if wanted.source.is_some() && self.importance.is_none() {
                let missing = "the recipe asks for importance and there is no importance file";
                return Err(EngineError::Importance(missing.to_owned()).into());
            }
            let source = (self.weights.clone(), self.name.clone());
            let opened = Opened::sketch(source, self.importance.clone(), recipe, self.jobs, &|_, _, _| ())?;
            self.opened = Some((wanted, opened));
        }
        match &mut self.opened {
            Some((_, opened)) => Ok(opened),
            None => Err(EngineError::Message.into()),
        }
    }

    /// The network with its float weights: those of the weights' file.
    pub fn float(&self) -> Result<ModelBytes, NetworkError> {
        let model = formats::open(&self.weights, &Limits::default())?;
        let mut bytes = self.network.bytes.clone();
        for tensor in &model.tensors {
            let mut values = Vec::new();
            TensorReader::new(&self.weights, tensor, &Limits::default())?
                .read(0..tensor.len(), &mut values)?;
            self.put(&mut bytes, tensor, &values)?;
        }
        Ok(self.network.with(bytes))
    }

    /// Solves a recipe.
    pub fn plan(&mut self, recipe: &Recipe) -> Result<Plan, NetworkError> {
        Ok(self.opened(recipe)?.plan(recipe, &Replaced::default(), &|_, _, _| ())?)
    }

    /// For each weight, by the name it has in the network, which of the plan's values it has.
    pub fn assignments(&mut self, plan: &Plan) -> Result<Assignments, NetworkError> {
        let places: Vec<String> = self.places.tensors.iter().map(|tensor| tensor.name.clone()).collect();
        let opened = self.opened(plan.recipe())?;
        let codes = opened.assignments(plan)?;
        let mut all = Assignments::new();
        for (tensor, codes) in opened.session.model().tensors.iter().zip(codes) {
            let same = |place: &&String| matching_name(place) == matching_name(&tensor.name);
            if let Some(place) = places.iter().find(same).filter(|_| !codes.is_empty()) {
                all.insert(place.clone(), codes);
            }
        }
        Ok(all)
    }

    /// The network `files` with its assigned weights set to their values among `levels`.
    pub(super) fn assigned(
        &self,
        files: &ModelBytes,
        assignments: &Assignments,
        levels: &[Vec<f32>],
    ) -> Result<ModelBytes, NetworkError> {
        let flat = levels.concat();
        let mut bytes = files.bytes.clone();
        for place in &self.places.tensors {
            let Some(codes) = assignments.get(&place.name) else { continue };
            let mut values = Vec::new();
            place.dtype.extend_bytes(&values_of(codes, &flat), &mut values);
            self.put(&mut bytes, place, &values)?;
        }
        Ok(files.with(bytes))
    }

    /// The network `files` with `values` in the places of its tensors of these names.
    pub(super) fn with_values(
        &self,
        files: &ModelBytes,
        values: &BTreeMap<String, Vec<f32>>,
    ) -> Result<ModelBytes, NetworkError> {
        let mut bytes = files.bytes.clone();
        for place in &self.places.tensors {
            let Some(values) = values.get(&place.name) else { continue };
            let mut elements = Vec::new();
            place.dtype.extend_bytes(values, &mut elements);
            self.put(&mut bytes, place, &elements)?;
        }
        Ok(files.with(bytes))
    }

    /// Carries out a recipe.
    pub fn quantize(&mut self, recipe: &Recipe) -> Result<Quantized, NetworkError> {
        self.quantize_with(recipe, &Replaced::default())
    }

    /// Carries out a recipe with retrained codebooks and repaired tensors, where there are some.
    pub fn quantize_with(&mut self, recipe: &Recipe, replaced: &Replaced) -> Result<Quantized, NetworkError> {
        let opened = self.opened(recipe)?;
        let plan = opened.plan(recipe, replaced, &|_, _, _| ())?;
        let (file, outcome) = opened.encode(&plan, Vec::new(), &|_, _, _| ())?;
        // What weights share says nothing of the loss's curvature.
        let session = &opened.session;
        let mut partners =
            (0..session.model().tensors.len()).filter_map(|i| session.importance()?.partner(i));
        let is_curvature = partners.all(|partner| partner.values == Values::PerWeight);
        let files = self.decoded(&file)?;
        let predicted = if is_curvature { self.predicted(&file)? } else { Vec::new() };
        let predicted = Some(predicted).filter(|predicted| !predicted.is_empty());
        Ok(Quantized { files, outcome, predicted, file })
    }

    /// The network with the weights of a compressed file.
    pub fn decoded(&self, file: &[u8]) -> Result<ModelBytes, NetworkError> {
        self.decoded_only(file, &|_| true)
    }

    /// The network with those tensors of a compressed file that `wanted` names, the others as they were.
    pub fn decoded_only(
        &self,
        file: &[u8],
        wanted: &dyn Fn(&str) -> bool,
    ) -> Result<ModelBytes, NetworkError> {
        let reader = open_container(&file)?;
        let mut bytes = self.float()?.bytes;
        each_tensor(file, &reader, &mut |tensor, values| {
            if wanted(&tensor.name) { self.put(&mut bytes, tensor, values) } else { Ok(()) }
        })?;
        Ok(self.network.with(bytes))
    }

    /// Puts the little-endian elements of `tensor` into its place in the network's bytes, if it has one there.
    fn put(&self, bytes: &mut [u8], tensor: &Tensor, values: &[u8]) -> Result<(), NetworkError> {
        let name = matching_name(&tensor.name);
        let same = |place: &&Tensor| matching_name(&place.name) == name;
        let Some(place) = self.places.tensors.iter().find(same) else { return Ok(()) };
        if place.shape != tensor.shape {
            let expected = format!("shape {:?} as in the network", place.shape);
            return Err(NetworkError::graph(
                format!("tensor {}", shown(name)),
                expected,
                format!("{:?}", tensor.shape),
            ));
        }
        let Storage::Stored(span) = place.storage else {
            let expected = "raw data in the network's file";
            return Err(NetworkError::graph(
                format!("tensor {}", shown(name)),
                expected,
                "numbers of varying length",
            ));
        };
        let mut converted = Vec::new();
        let values = if place.dtype == tensor.dtype {
            values
        } else {
            let mut floats = Vec::new();
            tensor.dtype.extend_f32(values, &mut floats);
            place.dtype.extend_bytes(&floats, &mut converted);
            &converted
        };
        let start = (span.offset + place.offset) as usize;
        if let Some(slot) = bytes.get_mut(start..start + values.len()) {
            slot.copy_from_slice(values);
        }
        Ok(())
    }

    /// How many tensors of the weights' file have a place in the network.
    pub fn shared(&self) -> Result<usize, NetworkError> {
        let model = formats::open(&self.weights, &Limits::default())?;
        let names: Vec<&str> = self.places.tensors.iter().map(|tensor| matching_name(&tensor.name)).collect();
        let shared =
            model.tensors.iter().filter(|tensor| names.contains(&matching_name(&tensor.name))).count();
        if shared == 0 {
            let list =
                |names: Vec<&str>| names.iter().take(3).map(|n| shown(n)).collect::<Vec<_>>().join(", ");
            let found = list(model.tensors.iter().map(|tensor| tensor.name.as_str()).collect());
            return Err(NetworkError::graph("the weights", format!("names such as {}", list(names)), found));
        }
        Ok(shared)
    }

    /// ½ Σ h δ² per tensor, with importance as its file gives it.
    fn predicted(&self, file: &[u8]) -> Result<Vec<(String, f64)>, NetworkError> {
        let Some(importance) = &self.importance else { return Ok(Vec::new()) };
        let by_name: BTreeMap<String, Tensor> = formats::open(importance, &Limits::default())?
            .tensors
            .into_iter()
            .map(|tensor| (matching_name(&tensor.name).to_owned(), tensor))
            .collect();
        let original = formats::open(&self.weights, &Limits::default())?;
        let mut changes = Vec::new();
        let reader = open_container(&file)?;
        each_tensor(file, &reader, &mut |tensor, values| {
            let Some(h) = by_name.get(matching_name(&tensor.name)) else { return Ok(()) };
            let Some(before) = original.tensors.iter().find(|t| t.name == tensor.name) else { return Ok(()) };
            if h.shape != tensor.shape || !tensor.dtype.is_float() {
                return Ok(());
            }
            let read = |source: &ModelBytes, tensor: &Tensor| -> Result<Vec<f32>, NetworkError> {
                let mut floats = Vec::new();
                TensorReader::new(source, tensor, &Limits::default())?
                    .read_f32(0..tensor.len(), &mut floats)?;
                Ok(floats)
            };
            let mut decoded = Vec::new();
            tensor.dtype.extend_f32(values, &mut decoded);
            let (h, before) = (read(importance, h)?, read(&self.weights, before)?);
            let pairs = before.iter().zip(&decoded).zip(&h);
            let sum: f64 = pairs
                .map(|((w, d), h)| {
                    f64::from(*h) * (f64::from(*w) - f64::from(*d)) * (f64::from(*w) - f64::from(*d))
                })
                .filter(|change| change.is_finite())
                .sum();
            changes.push((tensor.name.clone(), 0.5 * sum));
            Ok(())
        })?;
        Ok(changes)
    }
}

/// Takes a tensor and its elements' little-endian bytes.
type Take<'a> = dyn FnMut(&Tensor, &[u8]) -> Result<(), NetworkError> + 'a;

/// Decodes a compressed file tensor by tensor.
fn each_tensor(file: &[u8], reader: &Reader, take: &mut Take) -> Result<(), NetworkError> {
    let mut bytes = Vec::new();
    for (index, entry) in reader.manifest().tensors.iter().enumerate() {
        bytes.clear();
        engine::elements(&file, reader, index, &mut |part| {
            bytes.extend_from_slice(part);
            Ok(())
        })?;
        let tensor = Tensor::plain(
            entry.name.clone(),
            entry.shape.clone(),
            entry.dtype,
            Storage::Stored(crate::tensor::Span { offset: 0, len: bytes.len() as u64 }),
        );
        take(&tensor, &bytes)?;
    }
    Ok(())
}

/// Elements of values in between that are held at once.
const MOST_HELD: usize = 24 << 20;

/// How a network is run on data: inputs, preprocessing, the output that is its answer.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Setup {
    /// The network's inputs in the data.
    pub bindings: Vec<Binding>,
    /// What is done to samples.
    pub preprocess: Preprocess,
    /// The output that is measured.
    pub output: String,
    /// Samples per run.
    pub batch: usize,
}

impl Setup {
    /// Binds a graph's inputs to the data and takes its first output.
    pub fn new(graph: &Graph, data: &DataSet, preprocess: Preprocess) -> Result<Self, NetworkError> {
        let bindings = data.binding(&graph.inputs)?;
        let one = bindings.iter().any(|binding| binding.one_by_one);
        let output = graph.outputs.first().cloned().unwrap_or_default();
        Ok(Self { bindings, preprocess, output, batch: if one { 1 } else { 100 } })
    }

    /// Tries the usual ways of preprocessing on the first labelled samples and takes the one that classifies most of them
    /// correctly; the first that fits where there are no labels.
    pub fn guess(graph: &Graph, network: &Network, data: &DataSet) -> Result<Self, NetworkError> {
        const TRIED: usize = 128;
        let sample = data.series.first().map(|series| series.sample_shape().to_vec()).unwrap_or_default();
        let bytes = data.series.first().is_some_and(|series| series.values.is_bytes());
        let channels = match sample.as_slice() {
            [c @ (1 | 3 | 4), _, _] | [_, _, c @ (1 | 3 | 4)] => *c,
            _ => 1,
        };
        let count = data.samples.min(TRIED);
        let mut best: Option<(u64, Self)> = None;
        let mut failed = None;
        for preprocess in Preprocess::candidates(bytes, channels) {
            let setup = Self::new(graph, data, preprocess)?;
            let outputs = match setup.run(network, data, 0..count, &|| true) {
                Ok(outputs) => outputs,
                Err(error) => {
                    failed.get_or_insert(error);
                    continue;
                }
            };
            let measures = super::measure::measure(&outputs, data.labels_of(0..count), None);
            let right = measures.top1.map_or(0, |share| share.count);
            if best.as_ref().is_none_or(|(most, _)| right > *most) {
                best = Some((right, setup));
            }
            if data.labels.is_none() || right == count as u64 {
                break;
            }
        }
        match (best, failed) {
            (Some((_, setup)), _) => Ok(setup),
            (None, Some(error)) => Err(error),
            (None, None) => Self::new(graph, data, Preprocess::default()),
        }
    }

    /// The network's inputs for some samples.
    pub fn inputs(
        &self,
        data: &DataSet,
        range: std::ops::Range<usize>,
    ) -> Result<BTreeMap<String, Array>, NetworkError> {
        data.batch(&self.bindings, &self.preprocess, range)
    }

    /// Samples per run where values in between are held, so that they stay within about 96 MB; `values` are those of one sample.
    pub(super) fn batch_of<'a>(&self, values: impl IntoIterator<Item = &'a Array>) -> usize {
        let one: usize = values.into_iter().map(|array| array.shape().iter().product::<usize>()).sum();
        let fits = (MOST_HELD / one.max(1)).clamp(1, 100);
        if self.batch == 1 { 1 } else { fits }
    }

    /// Runs the network on the samples `range`; `go_on` is asked before every batch.
    pub fn run(
        &self,
        network: &Network,
        data: &DataSet,
        range: std::ops::Range<usize>,
        go_on: GoOn,
    ) -> Result<Outputs, NetworkError> {
        let mut all = Outputs::default();
        let wanted = [self.output.clone()];
        let mut start = range.start;
        while start < range.end {
            if !go_on() {
                return Err(NetworkError::Cancelled);
            }
            let end = (start + self.batch.max(1)).min(range.end);
            let answer = network.run(&self.inputs(data, start..end)?, &wanted)?;
            let array = answer.first().and_then(Array::as_floats);
            let array =
                array.ok_or_else(|| NetworkError::Run("its output is no array of floats".to_owned()))?;
            all.classes = classes(array.shape(), end - start)?;
            all.values.extend(array.iter());
            start = end;
        }
        if let Some(at) = all.not_finite() {
            let sample = range.start + at / (all.values.len() / range.len().max(1)).max(1);
            let part = format!("the network's answer to sample {sample}");
            return Err(NetworkError::data(
                part,
                "finite numbers",
                all.values.get(at).unwrap_or(&0.0).to_string(),
            ));
        }
        Ok(all)
    }

    /// Checks labels against the number of classes.
    pub fn check_labels(&self, data: &DataSet, outputs: &Outputs) -> Result<(), NetworkError> {
        let most = if outputs.classes == 1 { 2 } else { outputs.classes };
        let labels = data.labels.as_deref().unwrap_or_default();
        match labels.iter().position(|label| *label as usize >= most) {
            Some(index) => {
                let found = labels.get(index).copied().unwrap_or(0).to_string();
                Err(NetworkError::data(format!("label {index}"), format!("a class below {most}"), found))
            }
            None => Ok(()),
        }
    }
}

/// Scores per answer of an output of shape `shape` for `samples` samples: the last dimension that is not 1.
pub(super) fn classes(shape: &[usize], samples: usize) -> Result<usize, NetworkError> {
    let mut shape = shape;
    while let [before @ .., 1] = shape
        && before.len() > 1
    {
        shape = before;
    }
    match shape {
        [n, .., classes] if n * classes > 0 => Ok(*classes),
        [n] if *n > 0 && n % samples.max(1) == 0 => Ok(n / samples.max(1)),
        _ => Err(NetworkError::Run(format!("its output of shape {shape:?} is no row of scores per sample"))),
    }
}

/// For each weight of the network, by the name it has there, which value it shares.
pub type Assignments = BTreeMap<String, Vec<u32>>;

/// Values by assignment; what is assigned none is zero.
pub(super) fn values_of(codes: &[u32], flat: &[f32]) -> Vec<f32> {
    codes.iter().map(|code| flat.get(*code as usize).copied().unwrap_or(0.0)).collect()
}
