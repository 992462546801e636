//! What one inference of a network takes: multiply-adds, element operations, weights and activations read and written, node by
//! node, from the shapes of one run of one sample.
//!
//! - A node whose inputs are all constants is computed once and for all: it costs nothing, and what it gives are weights.
//! - A bias is where a sum starts: a weight that is read, and no operation. Products with padding count as any other.
//! - Recurrent layers count every step of the sequence as long as it is given.
//! - Reshapes and their like move nothing. What else passes a node is read once and written once: no nodes are fused.
//! - Shapes, indices and other integers are no activations; nodes of nothing but integers are left out.

use super::data::DataSet;
use super::evaluate::Setup;
use super::graph::Node;
use super::importance::{flattened, flattened_on};
use super::inputs::{Inputs, ways};
use super::model::ModelBytes;
use super::{Array, Graph, Network, NetworkError};
use crate::cost::{Layer, WeightsRead, Workload};
use std::collections::{BTreeMap, BTreeSet};

/// Counts with what they leave out.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Counts {
    /// What one inference takes.
    pub workload: Workload,
    /// Sentences about what is not in it.
    pub notes: Vec<String>,
}

/// How many operations on single elements an operator makes.
#[derive(Debug, Clone, Copy)]
enum Elements {
    /// So many for each number it gives.
    Output(u64),
    /// One for each number it takes.
    Input,
    /// One for each number of the window of each that it gives.
    Window,
    /// One for each number that it gives and each operand after the first.
    Operands,
    /// So many for each unit of each step of a recurrent layer with so many gates.
    Step { gates: u64, operations: u64 },
}

/// Operators that give other shapes of the same numbers, or the shapes themselves.
const VIEWS: &[&str] =
    &["Reshape", "Squeeze", "Unsqueeze", "Flatten", "Identity", "Dropout", "Shape", "Size"];

/// Operators that look rows or elements up.
const LOOK_UPS: &[&str] = &["Gather", "GatherElements", "GatherND"];

/// Operators whose work is in graphs of their own.
const BODIES: &[&str] = &["If", "Loop", "Scan", "SequenceMap"];

/// Operations on elements by operator; one for each number given where an operator is not in the table.
const ELEMENTS: &[(&[&str], Elements)] = &[
    (VIEWS, Elements::Output(0)),
    (LOOK_UPS, Elements::Output(0)),
    (BODIES, Elements::Output(0)),
    (&["Conv", "ConvInteger", "ConvTranspose", "Gemm"], Elements::Output(0)),
    (&["MatMul", "MatMulInteger", "MatMulNBits", "Einsum"], Elements::Output(0)),
    (&["Transpose", "Concat", "Slice", "Split", "Expand", "Tile", "Pad", "Trilu"], Elements::Output(0)),
    (&["Cast", "CastLike", "ConstantOfShape", "Range", "EyeLike", "OneHot"], Elements::Output(0)),
    (&["ScatterElements", "ScatterND", "DepthToSpace", "SpaceToDepth"], Elements::Output(0)),
    (&["GlobalAveragePool", "GlobalMaxPool", "ArgMax", "ArgMin", "CumSum"], Elements::Input),
    (&["ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceProd"], Elements::Input),
    (&["ReduceL1", "ReduceL2", "ReduceSumSquare", "ReduceLogSumExp"], Elements::Input),
    (&["MaxPool", "AveragePool"], Elements::Window),
    (&["Sum", "Mean", "Max", "Min"], Elements::Operands),
    // A scale and a shift.
    (&["BatchNormalization"], Elements::Output(2)),
    // Largest, difference, exponential, sum, quotient.
    (&["Softmax", "LogSoftmax"], Elements::Output(5)),
    // Sum, difference, square, its sum, division by the deviation, scale, shift.
    (&["LayerNormalization", "InstanceNormalization", "GroupNormalization"], Elements::Output(7)),
    // Square, its sum, division, scale.
    (&["RMSNormalization", "SimplifiedLayerNormalization"], Elements::Output(4)),
    // Three sigmoids, two hyperbolic tangents, three products, a sum.
    (&["LSTM"], Elements::Step { gates: 4, operations: 9 }),
    // Two sigmoids, a hyperbolic tangent, three products, a difference, a sum.
    (&["GRU"], Elements::Step { gates: 3, operations: 8 }),
    (&["RNN"], Elements::Step { gates: 1, operations: 1 }),
];

/// Counts an inference on the first sample of `data`.
pub fn of_data(files: &ModelBytes, setup: &Setup, data: &DataSet) -> Result<Counts, NetworkError> {
    let graph = flattened(files, setup, data)?;
    count(&graph, files, &setup.inputs(data, 0..1)?)
}

/// Counts an inference on [inputs made up](super::inputs) from the graph's shapes: the first way to fill those left open that
/// the network runs on.
pub fn of_shapes(files: &ModelBytes) -> Result<Counts, NetworkError> {
    let whole = Graph::parse(files.model())?;
    let mut failed = None;
    for way in ways(&whole) {
        let counted = way.inputs(&whole, 0).and_then(|inputs| {
            let mut counts = count(&flattened_on(files, &inputs)?, files, &inputs)?;
            let shapes = inputs
                .iter()
                .map(|(name, input)| format!("{} {:?}", crate::formats::shown(name), input.shape()));
            counts
                .notes
                .push(format!("counted for made-up inputs: {}", shapes.collect::<Vec<_>>().join(", ")));
            Ok(counts)
        });
        match counted {
            Ok(counts) => return Ok(counts),
            Err(error) => failed = failed.or(Some(error)),
        }
    }
    Err(failed.unwrap_or_else(|| NetworkError::graph("the file", "inputs that can be made up", "none")))
}

/// Counts an inference of a [flattened] graph on `inputs`; one run that keeps every value.
pub fn count(graph: &Graph, files: &ModelBytes, inputs: &Inputs) -> Result<Counts, NetworkError> {
    let names: BTreeSet<String> = graph.values().map(str::to_owned).collect();
    let network = Network::with_values(graph, files, &names)?;
    let names: Vec<String> = names.into_iter().collect();
    let values = network.run(inputs, &names)?;
    let mut all: BTreeMap<&str, Known> = BTreeMap::new();
    let constants = graph.constants.iter().filter_map(|name| Some((name, graph.constant(name)?)));
    for (name, array) in constants {
        all.insert(name, Known { tensor: Some(name.clone()), ..Known::new(&array) });
    }
    for (name, array) in inputs.iter().chain(names.iter().zip(&values)) {
        all.insert(name, Known::new(array));
    }
    let mut counts = Counts::default();
    for node in &graph.nodes {
        if let Some(tensor) = source(node, &all) {
            for output in &node.outputs {
                if let Some(known) = all.get_mut(output.as_str()) {
                    known.tensor = Some(tensor.clone());
                }
            }
            continue;
        }
        if BODIES.contains(&node.operator.as_str()) {
            let name = crate::formats::shown(&node.name);
            counts.notes.push(format!(
                "node {name} ({}) has a graph of its own, which is not counted",
                node.operator
            ));
        }
        counts.workload.layers.extend(layer(&Counted { node, all: &all })?);
    }
    Ok(counts)
}

/// What is known of a value.
#[derive(Debug, Clone)]
struct Known {
    shape: Vec<u64>,
    is_float: bool,
    /// The weights' tensor that it comes from, where it is a constant.
    tensor: Option<String>,
}

impl Known {
    fn new(array: &Array) -> Self {
        let shape = array.shape().iter().map(|extent| *extent as u64).collect();
        Self { shape, is_float: array.as_floats().is_some(), tensor: None }
    }

    fn len(&self) -> u64 {
        product(self.shape.iter().copied())
    }
}

fn product(factors: impl IntoIterator<Item = u64>) -> u64 {
    factors.into_iter().fold(1, u64::saturating_mul)
}

/// The largest tensor that a node computes from, where all that it computes from are constants.
fn source(node: &Node, all: &BTreeMap<&str, Known>) -> Option<String> {
    let inputs = node.inputs.iter().filter(|name| !name.is_empty());
    let known: Option<Vec<&Known>> = inputs.map(|name| all.get(name.as_str())).collect();
    let known = known.filter(|known| known.iter().all(|value| value.tensor.is_some()))?;
    // Of equals the first.
    let largest = known.into_iter().rev().max_by_key(|value| value.len())?;
    let is_random = node.operator.starts_with("Random") || BODIES.contains(&node.operator.as_str());
    largest.tensor.clone().filter(|_| !is_random)
}

/// A node with the values around it.
struct Counted<'a> {
    node: &'a Node,
    all: &'a BTreeMap<&'a str, Known>,
}

impl<'a> Counted<'a> {
    fn input(&self, index: usize) -> Option<&'a Known> {
        self.all.get(self.node.input(index)?)
    }

    /// An input that the operator cannot do without.
    fn needed(&self, index: usize) -> Result<&'a Known, NetworkError> {
        self.input(index).ok_or_else(|| self.wrong(&format!("a known input {index}"), "none"))
    }

    fn extent(&self, input: usize, axis: usize) -> Result<u64, NetworkError> {
        let shape = &self.needed(input)?.shape;
        let extent = shape.get(axis).copied();
        extent.ok_or_else(|| self.wrong(&format!("an axis {axis} of input {input}"), &format!("{shape:?}")))
    }

    fn wrong(&self, expected: &str, found: &str) -> NetworkError {
        let part = format!("node {} ({})", crate::formats::shown(&self.node.name), self.node.operator);
        NetworkError::graph(part, expected, found)
    }

    /// The first number of values that it gives.
    fn given(&self) -> u64 {
        self.node.output(0).and_then(|name| self.all.get(name)).map_or(0, Known::len)
    }

    /// Numbers in all float values of the names that are no constants, each name once.
    fn floats(&self, names: &[String]) -> u64 {
        let names: BTreeSet<&str> = names.iter().map(String::as_str).collect();
        let values = names.into_iter().filter_map(|name| self.all.get(name));
        values
            .filter(|value| value.is_float && value.tensor.is_none())
            .map(Known::len)
            .fold(0, u64::saturating_add)
    }

    /// Samples times steps of a recurrent layer.
    fn steps(&self) -> Result<u64, NetworkError> {
        Ok(self.extent(0, 0)?.saturating_mul(self.extent(0, 1)?))
    }

    fn multiply_adds(&self) -> Result<u64, NetworkError> {
        let given = self.given();
        let times = |count: u64, each: u64| Ok(count.saturating_mul(each));
        match self.node.operator.as_str() {
            "Conv" | "ConvInteger" => times(given, product(self.needed(1)?.shape.iter().skip(1).copied())),
            "ConvTranspose" => {
                times(self.needed(0)?.len(), product(self.needed(1)?.shape.iter().skip(1).copied()))
            }
            "Gemm" => times(given, self.extent(0, usize::from(self.node.int("transA", 0) == 0))?),
            "MatMul" | "MatMulInteger" => times(given, self.needed(0)?.shape.last().copied().unwrap_or(1)),
            "MatMulNBits" => times(given, u64::try_from(self.node.int("K", 0)).unwrap_or(0)),
            "Einsum" => self.contracted(given),
            "LSTM" | "GRU" | "RNN" => {
                // Every step multiplies by all of W and R, and by the peepholes where there are some.
                let weights = [Some(self.needed(1)?), Some(self.needed(2)?), self.input(7)];
                let each = weights.into_iter().flatten().map(Known::len).fold(0, u64::saturating_add);
                times(self.steps()?, each)
            }
            _ => Ok(0),
        }
    }

    /// Multiply-adds of an Einsum: for every number that it gives, the extents of the indices that are summed over.
    fn contracted(&self, given: u64) -> Result<u64, NetworkError> {
        let equation: String = self.node.text("equation").chars().filter(|c| !c.is_whitespace()).collect();
        let (operands, result) = equation.split_once("->").unwrap_or((&equation, ""));
        // Without a result, indices that stand once are not summed over.
        let stands = |label: char| operands.matches(label).count();
        let is_kept =
            |label: char| if equation.contains("->") { result.contains(label) } else { stands(label) == 1 };
        let mut summed: BTreeMap<char, u64> = BTreeMap::new();
        for (at, labels) in operands.split(',').enumerate() {
            let (front, back) = labels.split_once("...").unwrap_or((labels, ""));
            let rank = self.needed(at)?.shape.len();
            let behind = rank.saturating_sub(back.chars().count());
            let places = front.chars().enumerate();
            for (axis, label) in places.chain(back.chars().enumerate().map(|(i, c)| (behind + i, c))) {
                if !is_kept(label) {
                    // An extent of 1 is repeated along the other's.
                    let extent = summed.entry(label).or_default();
                    *extent = self.extent(at, axis)?.max(*extent);
                }
            }
        }
        let products = operands.split(',').count() as u64 - 1;
        Ok(product([given, product(summed.into_values()), products]))
    }

    fn element_operations(&self) -> Result<u64, NetworkError> {
        let row = ELEMENTS.iter().find(|(operators, _)| operators.contains(&self.node.operator.as_str()));
        let given = self.given();
        let operands = self.node.inputs.iter().filter(|name| !name.is_empty()).count() as u64;
        Ok(match row.map_or(Elements::Output(1), |(_, elements)| *elements) {
            Elements::Output(each) => given.saturating_mul(each),
            Elements::Input => self.needed(0)?.len(),
            Elements::Window => {
                let window = self.node.ints("kernel_shape").unwrap_or_default();
                product(window.iter().map(|extent| u64::try_from(*extent).unwrap_or(0)).chain([given]))
            }
            Elements::Operands => given.saturating_mul(operands.saturating_sub(1)),
            Elements::Step { gates, operations } => {
                // W has all gates of all units, for each direction.
                let rows = self.extent(1, 0)?.saturating_mul(self.extent(1, 1)?);
                product([self.steps()?, rows / gates, operations])
            }
        })
    }

    /// Weights that it reads: constant floats, and of what is multiplied constant integers, too.
    fn weights(&self) -> Vec<WeightsRead> {
        let is_look_up = LOOK_UPS.contains(&self.node.operator.as_str());
        let multiplies_integers =
            ["ConvInteger", "MatMulInteger", "MatMulNBits"].contains(&self.node.operator.as_str());
        let mut reads = Vec::new();
        for (at, name) in self.node.inputs.iter().enumerate() {
            let Some(value) = self.all.get(name.as_str()) else { continue };
            let is_weight = value.is_float || (multiplies_integers && at == 1);
            let Some(tensor) = value.tensor.clone().filter(|_| is_weight) else { continue };
            let count = if is_look_up { self.given() } else { value.len() };
            reads.push(WeightsRead { tensor, count, is_looked_up: is_look_up });
        }
        reads
    }
}

/// What a node takes; nothing where no float passes it.
fn layer(counted: &Counted) -> Result<Option<Layer>, NetworkError> {
    let node = counted.node;
    let (inputs, outputs) = (counted.floats(&node.inputs), counted.floats(&node.outputs));
    let is_view = VIEWS.contains(&node.operator.as_str());
    if is_view || (inputs == 0 && outputs == 0) {
        return Ok(None);
    }
    Ok(Some(Layer {
        name: node.name.clone(),
        operator: node.operator.clone(),
        multiply_adds: counted.multiply_adds()?,
        element_operations: counted.element_operations()?,
        weights: counted.weights(),
        inputs,
        outputs,
    }))
}

#[cfg(test)]
mod tests;
