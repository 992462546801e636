//! One walk back through the graph: gradient and diagonal curvature.
//!
//! Each operator gives its forward-linear map once. For y = W x the gradient goes back through Wᵀ, the curvature through
//! (W∘W)ᵀ; for y = f(x), element by element, the gradient is multiplied by f′, the curvature by f′², and f″ times the gradient
//! is added (S. Becker and Y. `LeCun`, 1988, "Improving the convergence of back-propagation learning with second order methods").
//! Cross terms between elements, between positions that share a weight and between the ways out of a value are dropped: the
//! result is exact for a linear layer below the loss and an approximation above. Without the f″ term, or without a gradient,
//! it is the diagonal Gauss-Newton recursion and never negative.
//!
//! Inside softmax and layer normalisation the Jacobian is squared element by element in closed form; their own second
//! derivatives are dropped.
//!
//! Values are those of a forward run; the cost is about twice that run's for the gradient and four times for both.

mod conv;
mod elementwise;
mod linear;
mod lstm;
mod movement;
mod normalise;
mod pool;
mod reduce;

use super::graph::Node;
use super::{Array, Graph, NetworkError};
use ndarray::{ArrayD, IxDyn};
use std::collections::{BTreeMap, BTreeSet};

type Floats = ArrayD<f32>;

/// Which of a linear map's two versions is applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Power {
    /// The map itself, for gradients.
    One,
    /// Its elements squared, for curvatures.
    Two,
}

impl Power {
    fn of(self, array: &Floats) -> Floats {
        match self {
            Self::One => array.clone(),
            Self::Two => array.mapv(|x| x * x),
        }
    }

    fn number(self, x: f32) -> f32 {
        if self == Self::One { x } else { x * x }
    }
}

/// Derivatives of the loss by a value: first, and second on the diagonal.
#[derive(Debug, Clone, Default)]
pub struct Pair {
    /// ∂L/∂x; absent where the loss needs labels that there are not.
    pub gradient: Option<Floats>,
    /// ∂²L/∂x², element by element; absent where only the gradient is wanted.
    pub curvature: Option<Floats>,
}

impl Pair {
    /// Both through a linear map.
    fn through(&self, mut map: impl FnMut(&Floats, Power) -> Floats) -> Self {
        Self {
            gradient: self.gradient.as_ref().map(|g| map(g, Power::One)),
            curvature: self.curvature.as_ref().map(|h| map(h, Power::Two)),
        }
    }

    /// Both through a linear map that may not fit.
    fn try_through(
        &self,
        mut map: impl FnMut(&Floats, Power) -> Result<Floats, NetworkError>,
    ) -> Result<Self, NetworkError> {
        Ok(Self {
            gradient: self.gradient.as_ref().map(|g| map(g, Power::One)).transpose()?,
            curvature: self.curvature.as_ref().map(|h| map(h, Power::Two)).transpose()?,
        })
    }

    fn add(&mut self, other: Self) {
        let sum = |a: &mut Option<Floats>, b: Option<Floats>| match (a.as_mut(), b) {
            (Some(a), Some(b)) if a.shape() == b.shape() => *a += &b,
            (None, Some(b)) => *a = Some(b),
            _ => {}
        };
        sum(&mut self.gradient, other.gradient);
        sum(&mut self.curvature, other.curvature);
    }
}

/// What the walk starts from and gives: pairs by the names of values.
pub type Pairs = BTreeMap<String, Pair>;

/// What is walked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Derivatives of the loss, the second with f″ or without.
    Loss {
        /// Whether f″ times the gradient is added to curvatures.
        second: bool,
    },
    /// First derivatives of the loss alone.
    Gradient,
    /// Mean squared inputs of every linear layer: curvature 1 at each layer's output, and no further.
    Activations,
}

/// A node at work: its values and the derivatives of its outputs.
struct Step<'a> {
    node: &'a Node,
    values: &'a BTreeMap<String, Array>,
    constants: &'a BTreeMap<String, Array>,
    /// By output.
    outputs: Vec<Option<Pair>>,
    needs: &'a BTreeSet<String>,
    purpose: Purpose,
    given: Vec<(String, Pair)>,
}

impl Step<'_> {
    fn array(&self, name: &str) -> Option<&Array> {
        self.values.get(name).or_else(|| self.constants.get(name))
    }

    fn missing(&self, what: &str) -> NetworkError {
        NetworkError::graph(format!("node {}", self.node.name), format!("floats as {what}"), "none")
    }

    /// Input `index` as floats.
    fn input(&self, index: usize) -> Result<&Floats, NetworkError> {
        let array = self.node.input(index).and_then(|name| self.array(name)).and_then(Array::as_floats);
        array.ok_or_else(|| self.missing(&format!("input {index}")))
    }

    fn optional(&self, index: usize) -> Option<&Floats> {
        self.node.input(index).and_then(|name| self.array(name)).and_then(Array::as_floats)
    }

    /// Input `index` as integers.
    fn integers(&self, index: usize) -> Option<Vec<i64>> {
        self.node.input(index).and_then(|name| self.array(name)).map(Array::to_integers)
    }

    /// Output `index` as floats.
    fn output(&self, index: usize) -> Result<&Floats, NetworkError> {
        let array = self.node.output(index).and_then(|name| self.array(name)).and_then(Array::as_floats);
        array.ok_or_else(|| self.missing(&format!("output {index}")))
    }

    /// Derivatives of the first output.
    fn pair(&self) -> Pair {
        self.outputs.first().cloned().flatten().unwrap_or_default()
    }

    /// Whether derivatives by input `index` are wanted.
    fn wants(&self, index: usize) -> bool {
        self.node.input(index).is_some_and(|name| self.needs.contains(name))
    }

    /// Gives the derivatives by input `index`.
    fn give(&mut self, index: usize, pair: Pair) {
        if let Some(name) = self.node.input(index) {
            self.given.push((name.to_owned(), pair));
        }
    }

    fn second(&self) -> bool {
        self.purpose == Purpose::Loss { second: true }
    }

    fn unsupported(&self) -> NetworkError {
        unsupported(self.node)
    }
}

fn unsupported(node: &Node) -> NetworkError {
    NetworkError::Operator {
        operator: node.operator.clone(),
        node: node.name.clone(),
        purpose: "when derivatives are computed (with these inputs or settings)",
    }
}

/// The backward pass of an operator.
type Back = fn(&mut Step) -> Result<(), NetworkError>;

fn backward_of(operator: &str) -> Option<Back> {
    Some(match operator {
        "Conv" => conv::back,
        "Gemm" => linear::gemm,
        "MatMul" => linear::matmul,
        "LSTM" => lstm::back,
        "Add" | "Sub" | "Mul" | "Div" | "Pow" | "Sum" => elementwise::binary,
        "Relu" | "LeakyRelu" | "Elu" | "Clip" | "Sigmoid" | "Tanh" | "Erf" | "Gelu" | "Softplus"
        | "HardSigmoid" | "HardSwish" | "Exp" | "Log" | "Sqrt" | "Reciprocal" | "Neg" | "Abs" | "Sin"
        | "Cos" => elementwise::unary,
        "BatchNormalization" => normalise::batch,
        "LayerNormalization" => normalise::layer,
        "Softmax" | "LogSoftmax" => normalise::softmax,
        "MaxPool" | "AveragePool" => pool::back,
        "GlobalAveragePool" | "ReduceMean" | "ReduceSum" => reduce::back,
        "Flatten" | "Reshape" | "Squeeze" | "Unsqueeze" | "Identity" | "Dropout" | "Cast" | "Transpose"
        | "Concat" | "Split" | "Slice" | "Pad" | "Gather" | "Expand" => movement::back,
        _ => return None,
    })
}

/// Whether a node's outputs do not change with its inputs, or are no floats: shapes, comparisons, integers.
fn is_flat(node: &Node) -> bool {
    match node.operator.as_str() {
        "Shape" | "Size" | "ConstantOfShape" | "Range" | "ArgMax" | "ArgMin" | "Equal" | "Greater"
        | "GreaterOrEqual" | "Less" | "LessOrEqual" | "Not" | "And" | "Or" | "Xor" | "IsNaN" | "IsInf"
        | "NonZero" | "Floor" | "Ceil" | "Round" | "Sign" => true,
        // Float, half, double and bfloat16 are floats.
        "Cast" => !matches!(node.int("to", 1), 1 | 10 | 11 | 16),
        _ => false,
    }
}

/// The operators whose weights have squared inputs as their importance.
fn is_linear(operator: &str) -> bool {
    matches!(operator, "Conv" | "Gemm" | "MatMul" | "LSTM")
}

/// A graph prepared for walking back to some of its constants.
#[derive(Debug)]
pub struct Walk<'a> {
    graph: &'a Graph,
    purpose: Purpose,
    /// Values that depend on a wanted constant, and the constants themselves.
    needs: BTreeSet<String>,
    wanted: BTreeSet<String>,
    /// Nodes to be walked, in the graph's order.
    reachable: Vec<usize>,
    constants: BTreeMap<String, Array>,
}

impl<'a> Walk<'a> {
    /// Prepares the walk from the values `seeds` back to the constants `wanted`; an operator it lacks is named.
    pub fn new(
        graph: &'a Graph,
        wanted: &BTreeSet<String>,
        seeds: &BTreeSet<String>,
        purpose: Purpose,
    ) -> Result<Self, NetworkError> {
        let is_activations = purpose == Purpose::Activations;
        let mut needs = wanted.clone();
        // Values made of constants alone, such as a weight's transpose.
        let mut fixed = graph.constants.clone();
        for node in &graph.nodes {
            let outputs = || node.outputs.iter().filter(|output| !output.is_empty()).cloned();
            let is_fixed = node.inputs.iter().all(|input| input.is_empty() || fixed.contains(input));
            if is_fixed {
                fixed.extend(outputs());
            }
            let follows = node.inputs.iter().any(|input| needs.contains(input)) && !is_flat(node);
            if follows && (is_fixed || !is_activations) {
                needs.extend(outputs());
            }
        }
        // Backwards: nodes that lead to a seed; for squared activations the linear layers, whatever follows them.
        let mut leads = seeds.clone();
        let mut reachable = Vec::new();
        for (index, node) in graph.nodes.iter().enumerate().rev() {
            let follows = node.outputs.iter().any(|output| leads.contains(output));
            let is_source = is_activations && is_linear(&node.operator);
            let needed = node.inputs.iter().any(|input| needs.contains(input));
            if needed && !is_flat(node) && (is_source || follows) {
                if backward_of(&node.operator).is_none() {
                    return Err(unsupported(node));
                }
                reachable.push(index);
                leads.extend(node.inputs.iter().filter(|input| needs.contains(*input)).cloned());
            }
        }
        reachable.reverse();
        let used = reachable.iter().filter_map(|index| graph.nodes.get(*index)).flat_map(|node| &node.inputs);
        let used: BTreeSet<&String> = used.filter(|input| graph.constants.contains(*input)).collect();
        let constants =
            used.into_iter().filter_map(|name| Some((name.clone(), graph.constant(name)?))).collect();
        Ok(Self { graph, purpose, needs, wanted: wanted.clone(), reachable, constants })
    }

    /// The names of the values that a forward run must give for the walk.
    pub fn values(&self) -> BTreeSet<String> {
        let nodes = self.reachable.iter().filter_map(|index| self.graph.nodes.get(*index));
        let given: BTreeSet<&str> = self.graph.inputs.iter().map(|input| input.name.as_str()).collect();
        nodes
            .flat_map(|node| node.inputs.iter().chain(&node.outputs))
            .filter(|name| {
                !name.is_empty() && !self.graph.constants.contains(*name) && !given.contains(name.as_str())
            })
            .cloned()
            .collect()
    }

    /// Walks back from `seeds`: the derivatives by every wanted constant, summed over the samples.
    ///
    /// `values` are those of [`values`](Self::values) and the graph's inputs.
    pub fn back(&self, values: &BTreeMap<String, Array>, seeds: Pairs) -> Result<Pairs, NetworkError> {
        let mut pairs = seeds;
        let mut found = Pairs::new();
        for index in self.reachable.iter().rev() {
            let Some(node) = self.graph.nodes.get(*index) else { continue };
            let mut outputs: Vec<Option<Pair>> =
                node.outputs.iter().map(|output| pairs.remove(output)).collect();
            if self.purpose == Purpose::Activations && is_linear(&node.operator) {
                outputs = ones(node, values);
            }
            if outputs.iter().all(Option::is_none) {
                continue;
            }
            let Some(back) = backward_of(&node.operator) else { return Err(unsupported(node)) };
            let mut step = Step {
                node,
                values,
                constants: &self.constants,
                outputs,
                needs: &self.needs,
                purpose: self.purpose,
                given: Vec::new(),
            };
            back(&mut step)?;
            for (name, pair) in step.given {
                let is_constant = self.graph.constants.contains(&name);
                if is_constant && !self.wanted.contains(&name) {
                    continue;
                }
                let into = if is_constant { &mut found } else { &mut pairs };
                into.entry(name).or_default().add(pair);
            }
        }
        Ok(found)
    }
}

/// Curvature 1 for every output of a layer, so that its weights get the mean of their squared inputs.
fn ones(node: &Node, values: &BTreeMap<String, Array>) -> Vec<Option<Pair>> {
    let one = |name: &String| {
        let shape = values.get(name)?.shape().to_vec();
        let count: usize = shape.iter().product();
        // A weight meets one input per sample and position, and each output belongs to one row of weights.
        let channels = match node.operator.as_str() {
            "Conv" => shape.get(1),
            _ => shape.last(),
        };
        let meetings = count as f32 / channels.copied().unwrap_or(1).max(1) as f32;
        let curvature = Some(ArrayD::from_elem(IxDyn(&shape), 1.0 / meetings.max(1.0)));
        Some(Pair { gradient: None, curvature })
    };
    node.outputs.iter().map(one).collect()
}

/// Sums what broadcasting has repeated: `array` in the shape it had before.
fn unbroadcast(array: Floats, shape: &[usize]) -> Floats {
    let mut array = array;
    while array.ndim() > shape.len() {
        array = array.sum_axis(ndarray::Axis(0));
    }
    for (axis, extent) in shape.iter().enumerate() {
        if *extent == 1 && array.shape().get(axis) != Some(&1) {
            array = array.sum_axis(ndarray::Axis(axis)).insert_axis(ndarray::Axis(axis));
        }
    }
    array
}

/// `axis` counted from the front.
fn axis_of(axis: i64, rank: usize) -> Option<usize> {
    let axis = if axis < 0 { axis + rank as i64 } else { axis };
    usize::try_from(axis).ok().filter(|axis| *axis < rank.max(1))
}

#[cfg(test)]
mod tests;
