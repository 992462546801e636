//! The roles of an ONNX model's tensors: by the operators that read them, and at which input.
//!
//! Operators are those of ONNX (Operators.md, operator set 22) and of `com.microsoft`. What only passes values on, such as
//! Transpose, Cast or `DequantizeLinear`, is looked through; so are arithmetic of constants alone, the graphs inside `If`,
//! and local functions. Of several readers the one that is most easily harmed decides. A tensor that an operator reads
//! which is not known here has no role that could be told, and is kept.
//!
//! Cost: O(n log n) in the number of inputs and outputs of nodes; four bytes for each, and every name once.

use crate::role::{Found, InputAxis, Role};
use std::borrow::Cow;
use std::collections::BTreeMap;

/// A name, counted in order of appearance; 0 is the empty one.
pub(super) type Name = u32;
/// A graph, counted in order of appearance.
pub(super) type Scope = u32;

/// A node as far as roles need it.
#[derive(Debug)]
struct Node {
    scope: Scope,
    operator: Name,
    inputs: Vec<Name>,
    outputs: Vec<Name>,
    /// The graphs inside it.
    inner: Vec<Scope>,
}

/// A graph: the one that it lies in, the values that it defines, and those that it gives.
#[derive(Debug, Default)]
struct Graph {
    above: Option<Scope>,
    outputs: Vec<Name>,
}

/// What a graph's nodes read and give.
#[derive(Debug, Default)]
pub(super) struct Uses {
    /// Names and values alike are found by texts, so that the page carries one kind of map.
    names: BTreeMap<String, usize>,
    spelled: Vec<Box<str>>,
    graphs: Vec<Graph>,
    nodes: Vec<Node>,
    /// The values that graphs define, by [`key`].
    values: BTreeMap<String, usize>,
    /// Whether each of them is the same whatever the network is given.
    fixed: Vec<bool>,
    /// Places among `bodies`, by operator.
    functions: BTreeMap<String, usize>,
    bodies: Vec<(Scope, Vec<Name>)>,
}

/// What a value of a graph is found by.
fn key(scope: Scope, name: Name) -> String {
    format!("{scope} {name}")
}

/// A tensor that a role is asked for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Value<'a> {
    pub(super) scope: Scope,
    pub(super) name: Name,
    pub(super) shape: &'a [u64],
}

/// What reads a value, as far as it is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reader {
    /// Input `position` of an operator, and whether the value is transposed on its way.
    Operator(Name, u16, bool),
    /// The graph gives it as its result.
    Output,
}

impl Uses {
    /// The number of a name.
    pub(super) fn name(&mut self, text: &str) -> Name {
        if text.is_empty() {
            return 0;
        }
        if let Some(name) = self.names.get(text) {
            return *name as Name;
        }
        let name = self.names.len() + 1;
        self.names.insert(text.to_owned(), name);
        self.spelled.push(text.into());
        name as Name
    }

    /// The place of a value that a graph defines.
    fn define(&mut self, scope: Scope, name: Name) -> usize {
        let place = *self.values.entry(key(scope, name)).or_insert(self.fixed.len());
        if place == self.fixed.len() {
            self.fixed.push(false);
        }
        place
    }

    fn text(&self, name: Name) -> &str {
        (name as usize).checked_sub(1).and_then(|at| self.spelled.get(at)).map_or("", |text| text)
    }

    /// A new graph, inside another or outermost.
    pub(super) fn graph(&mut self, above: Option<Scope>) -> Scope {
        self.graphs.push(Graph { above, ..Graph::default() });
        self.graphs.len() as Scope - 1
    }

    /// A value that a graph is given.
    pub(super) fn input(&mut self, scope: Scope, name: Name) {
        self.define(scope, name);
    }

    /// A value that a graph gives.
    pub(super) fn output(&mut self, scope: Scope, name: Name) {
        if let Some(graph) = self.graphs.get_mut(scope as usize) {
            graph.outputs.push(name);
        }
    }

    /// An initializer, or what a `Constant` node gives.
    pub(super) fn constant(&mut self, scope: Scope, name: Name) {
        let place = self.define(scope, name);
        if let Some(fixed) = self.fixed.get_mut(place) {
            *fixed = true;
        }
    }

    /// A node, after the graphs inside it.
    pub(super) fn node(
        &mut self,
        scope: Scope,
        operator: &str,
        inputs: Vec<Name>,
        outputs: Vec<Name>,
        inner: Vec<Scope>,
    ) {
        let operator = self.name(operator);
        for output in &outputs {
            self.define(scope, *output);
        }
        self.nodes.push(Node { scope, operator, inputs, outputs, inner });
    }

    /// A local function, whose body is the graph `scope`.
    pub(super) fn function(&mut self, operator: &str, scope: Scope, inputs: Vec<Name>) {
        self.functions.insert(operator.to_owned(), self.bodies.len());
        self.bodies.push((scope, inputs));
    }

    /// The place of the value that `name` means in a graph: its own, or that of a graph around it.
    fn resolve(&self, mut scope: Scope, name: Name) -> Option<usize> {
        loop {
            if let Some(place) = self.values.get(&key(scope, name)) {
                return Some(*place);
            }
            scope = self.graphs.get(scope as usize)?.above?;
        }
    }

    /// The role of every value asked for, in their order.
    pub(super) fn roles(mut self, values: &[Value]) -> Vec<Found> {
        self.fix();
        let readers = self.readers();
        let find = |value: &Value| {
            let spread = value.shape.iter().filter(|extent| **extent > 1).count();
            if spread == 0 {
                return Found::new(Role::Constant, "a single number");
            }
            let place = self.values.get(&key(value.scope, value.name));
            let read_by = place.and_then(|place| readers.get(*place)).map_or(&[][..], Vec::as_slice);
            let found = read_by.iter().map(|reader| self.found(*reader, value.shape, spread >= 2));
            found
                .min_by_key(|found| caution(found.role))
                .unwrap_or(Found::new(Role::Other, "read by no node"))
        };
        values.iter().map(find).collect()
    }

    /// Finds what is the same whatever the network is given: constants, and what is made of nothing else.
    fn fix(&mut self) {
        for index in 0..self.nodes.len() {
            let Some(node) = self.nodes.get(index) else { continue };
            let is_fixed = |name: &Name| {
                let place = self.resolve(node.scope, *name);
                *name == 0 || place.and_then(|place| self.fixed.get(place)) == Some(&true)
            };
            if node.inputs.is_empty() || !node.inputs.iter().all(is_fixed) {
                continue;
            }
            let outputs: Vec<usize> =
                node.outputs.iter().filter_map(|output| self.resolve(node.scope, *output)).collect();
            for place in outputs {
                if let Some(fixed) = self.fixed.get_mut(place) {
                    *fixed = true;
                }
            }
        }
    }

    /// Who reads every value in the end, by its place. Nodes come after those that they read from, so that going back, every
    /// value's readers are known when the node is met that gives it; functions come first.
    fn readers(&self) -> Vec<Vec<Reader>> {
        let mut readers: Vec<Vec<Reader>> = vec![Vec::new(); self.fixed.len()];
        for (index, graph) in self.graphs.iter().enumerate().filter(|(_, graph)| graph.above.is_none()) {
            for output in &graph.outputs {
                if let Some(place) = self.resolve(index as Scope, *output) {
                    add(&mut readers, place, &[Reader::Output]);
                }
            }
        }
        for node in self.nodes.iter().rev() {
            let outputs: Vec<usize> =
                node.outputs.iter().filter_map(|output| self.resolve(node.scope, *output)).collect();
            let is_fixed = outputs.iter().all(|place| self.fixed.get(*place) == Some(&true));
            let operator = self.text(node.operator);
            let body = self.functions.get(operator).and_then(|place| self.bodies.get(*place));
            for (position, input) in node.inputs.iter().enumerate() {
                let Some(value) = self.resolve(node.scope, *input).filter(|_| *input != 0) else { continue };
                let passes = passes_on(operator, position) || (is_fixed && is_arithmetic(operator));
                let from: Vec<Reader> = if let Some((scope, formal)) = body {
                    let place = formal.get(position).and_then(|name| self.resolve(*scope, *name));
                    place.and_then(|place| readers.get(place)).cloned().unwrap_or_default()
                } else if passes {
                    let through = outputs.iter().filter_map(|place| readers.get(*place)).flatten();
                    through.map(|reader| reader.behind(operator)).collect()
                } else if is_neutral(operator) {
                    Vec::new()
                } else {
                    vec![Reader::Operator(node.operator, u16::try_from(position).unwrap_or(u16::MAX), false)]
                };
                add(&mut readers, value, &from);
            }
            // What a graph inside gives, its node gives.
            for scope in node.inner.iter().filter(|_| operator == "If") {
                let given = self.graphs.get(*scope as usize).map_or(&[][..], |graph| &graph.outputs);
                for (given, output) in given.iter().zip(&outputs) {
                    let Some(value) = self.resolve(*scope, *given) else { continue };
                    let from = readers.get(*output).cloned().unwrap_or_default();
                    add(&mut readers, value, &from);
                }
            }
        }
        readers
    }

    fn found(&self, reader: Reader, shape: &[u64], is_matrix: bool) -> Found {
        match reader {
            Reader::Output => Found::new(Role::Other, "what the network gives"),
            Reader::Operator(operator, position, is_turned) => {
                let operator = self.text(operator);
                let (role, what) = role_at(operator, position, shape, is_matrix);
                // A vector that is folded into a matrix scales it.
                let role = if role == Role::Weight && shape.len() < 2 { Role::Norm } else { role };
                let reason = Cow::Owned(format!("{what} of {}", crate::formats::shown(operator)));
                Found { role, reason, inputs: inputs_at(operator, position, shape.len(), is_turned) }
            }
        }
    }
}

impl Reader {
    /// This reader for a value that passes through an operator first.
    fn behind(self, operator: &str) -> Self {
        match self {
            Self::Operator(reader, position, is_turned) => {
                Self::Operator(reader, position, is_turned != (operator == "Transpose"))
            }
            Self::Output => self,
        }
    }
}

/// Most readers that are told apart for one value: more do not make it more careful.
const MOST_READERS: usize = 16;

fn add(readers: &mut [Vec<Reader>], place: usize, more: &[Reader]) {
    let Some(known) = readers.get_mut(place) else { return };
    for reader in more {
        if known.len() < MOST_READERS && !known.contains(reader) {
            known.push(*reader);
        }
    }
}

/// Of several readers the most easily harmed decides: least first.
fn caution(role: Role) -> u8 {
    match role {
        Role::Constant => 0,
        Role::Quantization => 1,
        Role::Statistic => 2,
        Role::Other => 3,
        Role::Norm => 4,
        Role::Bias => 5,
        _ => 6,
    }
}

/// Whether an operator gives the values of this input again, in another order, shape or type.
fn passes_on(operator: &str, position: usize) -> bool {
    let first = "Identity Transpose Cast CastLike Reshape Flatten Squeeze Unsqueeze Slice Split Expand Tile DequantizeLinear \
                 QuantizeLinear Pad DepthToSpace SpaceToDepth Dropout BitCast";
    operator == "Concat" || (position == 0 && has(first, operator))
}

/// Operators that, with nothing but constants to read, make one constant of others.
fn is_arithmetic(operator: &str) -> bool {
    matches!(
        operator,
        "Add"
            | "Sub"
            | "Mul"
            | "Div"
            | "Sqrt"
            | "Neg"
            | "Abs"
            | "Reciprocal"
            | "Sum"
            | "Gather"
            | "Where"
            | "Exp"
    )
}

/// Operators that do not look at the numbers.
fn is_neutral(operator: &str) -> bool {
    has("Shape Size", operator)
}

/// Inputs of a row of the table: one for each bit, or all.
const ALL: u16 = u16::MAX;

/// Normalisations of a sum of two.
const SKIP_NORMS: &str = "SkipLayerNormalization SkipSimplifiedLayerNormalization";

/// What the numbers at inputs of operators do: operators, inputs (bit i for input i), role, and what they are. The first row that
/// fits counts.
const TABLE: &[(&str, u16, Role, &str)] = &[
    ("Conv ConvTranspose FusedConv NhwcConv DeformConv ConvInteger", 0b11, Role::Weight, "kernel"),
    ("Conv ConvTranspose FusedConv NhwcConv", 0b100, Role::Bias, "bias"),
    ("QLinearConv", 0b1001, Role::Weight, "kernel"),
    ("QLinearConv", 1 << 8, Role::Bias, "bias"),
    (
        "Gemm FusedGemm MatMulInteger MatMulNBits DynamicQuantizeMatMul MatMulIntegerToFloat",
        0b11,
        Role::Weight,
        "matrix",
    ),
    ("Gemm FusedGemm", 0b100, Role::Bias, "bias"),
    ("MatMul FusedMatMul TransposeMatMul Einsum", ALL, Role::Weight, "matrix"),
    ("QLinearMatMul QGemm", 0b1001, Role::Weight, "matrix"),
    ("DynamicQuantizeMatMul", 1 << 4, Role::Bias, "bias"),
    ("MatMulIntegerToFloat", 1 << 6, Role::Bias, "bias"),
    ("MatMulNBits", 1 << 5, Role::Bias, "bias"),
    ("LSTM GRU RNN DynamicQuantizeLSTM", 0b10, Role::Weight, "matrix"),
    ("LSTM GRU RNN DynamicQuantizeLSTM", 0b100, Role::Weight, "recurrent matrix"),
    ("LSTM GRU RNN DynamicQuantizeLSTM", 0b1000, Role::Bias, "bias"),
    ("LSTM DynamicQuantizeLSTM", 1 << 7, Role::Bias, "peephole"),
    ("LSTM GRU RNN", ALL, Role::Constant, "initial state"),
    ("BatchNormalization SpatialBN", 0b11000, Role::Statistic, "running mean or variance"),
    (
        "BatchNormalization SpatialBN LayerNormalization InstanceNormalization GroupNormalization GroupNorm \
         RMSNormalization SimplifiedLayerNormalization",
        0b10,
        Role::Norm,
        "scale",
    ),
    (
        "BatchNormalization SpatialBN LayerNormalization InstanceNormalization GroupNormalization GroupNorm \
         SimplifiedLayerNormalization",
        0b100,
        Role::Norm,
        "shift",
    ),
    (SKIP_NORMS, 0b1100, Role::Norm, "scale or shift"),
    (SKIP_NORMS, 1 << 4, Role::Bias, "bias"),
    ("EmbedLayerNormalization", 0b11100, Role::Weight, "embedding"),
    ("EmbedLayerNormalization", 0b110_0000, Role::Norm, "scale or shift"),
    ("BiasGelu FastGelu BiasSoftmax BiasAdd BiasSplitGelu", 0b10, Role::Bias, "bias"),
    ("Attention QAttention DecoderAttention LongformerAttention", 0b10, Role::Weight, "matrix"),
    ("Attention QAttention", 0b100, Role::Bias, "bias"),
    ("MultiHeadAttention", 0b1000, Role::Bias, "bias"),
    ("GroupQueryAttention", 0b1_1000_0000, Role::Constant, "table of angles"),
    ("RotaryEmbedding", 0b1100, Role::Constant, "table of angles"),
    ("PRelu", 0b10, Role::Norm, "slope"),
    (
        "DequantizeLinear QuantizeLinear QGemm ConvInteger MatMulInteger MatMulNBits DynamicQuantizeMatMul \
         MatMulIntegerToFloat DynamicQuantizeLSTM QAttention GatherBlockQuantized QLinearConv QLinearMatMul QLinearAdd \
         QLinearMul QLinearConcat QLinearSigmoid QLinearLeakyRelu QLinearAveragePool QLinearGlobalAveragePool QLinearSoftmax",
        ALL,
        Role::Quantization,
        "quantization scale or zero point",
    ),
    ("Resize Upsample", ALL, Role::Constant, "scales, sizes or region"),
    ("Clip", ALL, Role::Constant, "bound"),
    ("Pow", ALL, Role::Constant, "base or exponent"),
    ("STFT DFT MelWeightMatrix", ALL, Role::Constant, "window or setting"),
    (
        "Where Max Min Mean Mod Equal Less LessOrEqual Greater GreaterOrEqual Reshape Expand Tile Slice Split Pad Squeeze \
         Unsqueeze ConstantOfShape Range OneHot TopK NonMaxSuppression RoiAlign GridSample AffineGrid Dropout CumSum Trilu \
         ReduceSum ReduceMean ReduceMax ReduceMin ReduceProd ReduceL2 Scan Loop If ScatterND ScatterElements Scatter \
         CenterCropPad Col2Im Bernoulli ArgMax And Or Not Xor Sqrt Exp Log Neg Abs Reciprocal Relu Sigmoid Tanh Softmax \
         Floor Ceil Round Sign Erf Sin Cos Softplus LeakyRelu Elu HardSigmoid HardSwish Gelu MaxPool AveragePool \
         GlobalAveragePool GlobalMaxPool LpNormalization Gather GatherND GatherElements",
        ALL,
        Role::Constant,
        "setting or operand",
    ),
];

/// Whether a list of words, with spaces between them, has this one.
fn has(words: &str, word: &str) -> bool {
    words.split(' ').any(|known| known == word)
}

/// Which axis of a matrix or kernel at an input of an operator counts the inputs of the layer. Where an attribute decides, as
/// `transB` of Gemm, it is not known.
fn inputs_at(operator: &str, position: u16, dimensions: usize, is_turned: bool) -> InputAxis {
    let products = "MatMul MatMulInteger DynamicQuantizeMatMul MatMulIntegerToFloat Attention QAttention";
    match (position, dimensions, is_turned) {
        (1, 2, false) if has(products, operator) => InputAxis::First,
        (1, 2, true) if has(products, operator) => InputAxis::Last,
        (1, 3.., false) if operator == "ConvTranspose" => InputAxis::First,
        (1, 3.., false) if has("Conv FusedConv ConvInteger DeformConv", operator) => InputAxis::Last,
        _ => InputAxis::Unknown,
    }
}

/// What the numbers at an input of an operator do.
pub(crate) fn role_at(operator: &str, position: u16, shape: &[u64], is_matrix: bool) -> (Role, &'static str) {
    // What an operand does depends on its shape.
    let elements: u64 = shape.iter().fold(1, |n, extent| n.saturating_mul(*extent));
    if has("Add Sum", operator) {
        return if is_matrix && elements >= 256 {
            (Role::Weight, "embedding, an operand")
        } else {
            (Role::Bias, "operand")
        };
    }
    if has("Mul Div Sub", operator) {
        return if is_matrix {
            (Role::Constant, "table, an operand")
        } else {
            (Role::Norm, "factor or operand")
        };
    }
    if has("Gather GatherND GatherElements", operator) && position == 0 && is_matrix {
        return (Role::Weight, "embedding");
    }
    let bit = 1u16.checked_shl(u32::from(position)).unwrap_or(0);
    let row = TABLE
        .iter()
        .find(|(operators, inputs, ..)| (*inputs == ALL || inputs & bit != 0) && has(operators, operator));
    row.map_or((Role::Other, "input, which is no operator known here,"), |(.., role, what)| (*role, what))
}
