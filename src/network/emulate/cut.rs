//! A network cut into one small model per node, so that values can be rounded on their way.
//!
//! Constants are taken out of the graph once and given to every node as inputs: a node's model is loaded once and serves
//! whatever its weights are rounded to. What is made of constants alone is worked out at cutting. Nodes that no wanted value
//! depends on are left out. Graphs inside `Loop` and `Scan` stay whole; what they take from around them becomes an input.

use crate::network::graph::{Graph, Node, needs};
use crate::network::model::{self, ModelBytes};
use crate::network::{NetworkError, graph};
use rten::{NodeId, Value, ValueOrView};
use rten_onnx::onnx::{GraphProto, ModelProto, NodeProto, OperatorSetIdProto, ValueInfoProto};
use std::collections::{BTreeMap, BTreeSet};

/// What a node reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Operand {
    /// A value that depends on the network's inputs, by its number.
    Value(usize),
    /// A constant, by its number.
    Constant(usize),
}

/// An input of a node.
#[derive(Debug, Clone, Copy)]
pub(super) struct Input {
    id: NodeId,
    /// What it reads.
    pub(super) operand: Operand,
    /// Its place among the node's inputs; none for what a graph inside it takes.
    pub(super) position: Option<usize>,
    /// Whether nothing reads the value later.
    pub(super) is_last: bool,
}

/// A node with its model.
pub(super) struct Step {
    /// The node.
    pub(super) node: Node,
    /// Its inputs, each once.
    pub(super) inputs: Vec<Input>,
    ids: Vec<NodeId>,
    /// The values that it gives, in the order of the model's answers.
    pub(super) outputs: Vec<usize>,
    model: rten::Model,
}

/// A network in pieces.
pub(super) struct Cut {
    /// Names of values, inputs first.
    pub(super) values: Vec<String>,
    /// The network's inputs: as many values, from the first.
    pub(super) inputs: usize,
    /// Names of constants and their numbers.
    pub(super) constants: Vec<(String, Value)>,
    /// Nodes, each after those that it depends on.
    pub(super) steps: Vec<Step>,
    /// What is wanted, in the order asked for.
    pub(super) wanted: Vec<Operand>,
}

impl std::fmt::Debug for Cut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cut").field("steps", &self.steps.len()).finish_non_exhaustive()
    }
}

impl Step {
    /// Runs the node; `given` are its inputs in their order, and what comes out its outputs in theirs.
    pub(super) fn run(&self, given: Vec<ValueOrView>) -> Result<Vec<Value>, NetworkError> {
        let given = self.inputs.iter().map(|input| input.id).zip(given).collect();
        let run = || self.model.run(given, &self.ids, None);
        let values = model::without_panic(run).map_err(NetworkError::Run)?;
        values.map_err(|error| model::run_error(&error))
    }

    /// The input at a place of the node, by its number here.
    pub(super) fn index(&self, position: usize) -> Option<usize> {
        let name = self.node.input(position)?;
        let first = self.node.inputs.iter().position(|input| input == name);
        self.inputs.iter().position(|input| input.position.is_some() && input.position == first)
    }

    /// The input at a place of the node.
    pub(super) fn at(&self, position: usize) -> Option<&Input> {
        self.inputs.get(self.index(position)?)
    }
}

/// What a model's head says of operators.
struct Head {
    ir_version: Option<i64>,
    opsets: Vec<OperatorSetIdProto>,
}

impl Head {
    fn load(&self, graph: GraphProto) -> Result<rten::Model, NetworkError> {
        let model = ModelProto {
            ir_version: self.ir_version,
            graph: Some(graph),
            opset_import: self.opsets.clone(),
            ..ModelProto::default()
        };
        let bytes = model.write_buf().map_err(|error| NetworkError::Load(error.to_string()))?;
        model::load(bytes, false)
    }
}

fn named(name: &str) -> ValueInfoProto {
    ValueInfoProto { name: Some(name.to_owned()), ..ValueInfoProto::default() }
}

/// Takes a graph apart; `wanted` are the values that are asked for.
pub(super) fn cut(graph: &Graph, files: &ModelBytes, wanted: &[String]) -> Result<Cut, NetworkError> {
    graph.check_growth(files.bytes.len() as u64)?;
    let bytes = model::digestible(graph.to_bytes(&BTreeSet::new())?, files)?;
    let parsed = ModelProto::parse_buf(&bytes).map_err(|error| NetworkError::Load(error.to_string()))?;
    let head = Head { ir_version: parsed.ir_version, opsets: parsed.opset_import };
    let Some(mut whole) = parsed.graph else {
        return Err(NetworkError::graph("the network", "a graph to take apart", "none"));
    };
    let nodes = reached(std::mem::take(&mut whole.node), wanted);
    let (given, nodes): (Vec<_>, Vec<_>) = nodes.into_iter().partition(graph::is_constant);
    let constants = constants(&head, whole, given)?;
    let mut cutter = Cutter::new(head, graph, constants);
    for node in nodes {
        cutter.add(node)?;
    }
    cutter.finish(wanted)
}

/// The nodes that what is wanted depends on.
fn reached(nodes: Vec<NodeProto>, wanted: &[String]) -> Vec<NodeProto> {
    let mut names: BTreeSet<String> = wanted.iter().cloned().collect();
    let mut kept = Vec::with_capacity(nodes.len());
    for node in nodes.into_iter().rev() {
        if node.output.iter().any(|output| names.contains(output)) {
            names.extend(needs(&node));
            kept.push(node);
        }
    }
    kept.reverse();
    kept
}

/// The numbers of every initializer and of the nodes that hold a constant.
fn constants(
    head: &Head,
    whole: GraphProto,
    nodes: Vec<NodeProto>,
) -> Result<Vec<(String, Value)>, NetworkError> {
    let mut names: Vec<String> = whole.initializer.iter().filter_map(|tensor| tensor.name.clone()).collect();
    names.extend(nodes.iter().flat_map(|node| node.output.iter().cloned()));
    names.retain(|name| !name.is_empty());
    let output = names.iter().map(|name| named(name)).collect();
    let graph = GraphProto { node: nodes, initializer: whole.initializer, output, ..GraphProto::default() };
    let model = head.load(graph)?;
    let mut found = Vec::with_capacity(names.len());
    for name in names {
        let id = model.node_id(&name).map_err(|error| model::run_error(&error))?;
        let values = model.run(Vec::new(), &[id], None).map_err(|error| model::run_error(&error))?;
        found.extend(values.into_iter().map(|value| (name.clone(), value)));
    }
    Ok(found)
}

/// A network on its way to pieces.
struct Cutter {
    head: Head,
    known: BTreeMap<String, Operand>,
    cut: Cut,
}

impl Cutter {
    fn new(head: Head, graph: &Graph, constants: Vec<(String, Value)>) -> Self {
        let values: Vec<String> = graph.inputs.iter().map(|input| input.name.clone()).collect();
        let inputs = values.len();
        let all = values.iter().enumerate().map(|(at, name)| (name.clone(), Operand::Value(at)));
        let fixed = constants.iter().enumerate().map(|(at, (name, _))| (name.clone(), Operand::Constant(at)));
        let known = all.chain(fixed).collect();
        Self { head, known, cut: Cut { values, inputs, constants, steps: Vec::new(), wanted: Vec::new() } }
    }

    fn add(&mut self, node: NodeProto) -> Result<(), NetworkError> {
        let step_node = Node::new(&node);
        let names: Vec<String> = needs(&node).into_iter().collect();
        let outputs: Vec<String> = node.output.iter().filter(|name| !name.is_empty()).cloned().collect();
        let graph = GraphProto {
            input: names.iter().map(|name| named(name)).collect(),
            output: outputs.iter().map(|name| named(name)).collect(),
            node: vec![node],
            ..GraphProto::default()
        };
        let model = self.head.load(graph).map_err(|error| of_node(error, &step_node))?;
        let id = |name: &String| model.node_id(name).map_err(|error| model::run_error(&error));
        let mut inputs = Vec::with_capacity(names.len());
        for name in &names {
            let operand = self.known.get(name).copied().ok_or_else(|| {
                let part = format!("input {} of node {}", crate::formats::shown(name), step_node.name);
                NetworkError::graph(part, "a value made before", "none")
            })?;
            let position = step_node.inputs.iter().position(|input| input == name);
            inputs.push(Input { id: id(name)?, operand, position, is_last: false });
        }
        let ids = outputs.iter().map(id).collect::<Result<_, _>>()?;
        let mut step = Step { node: step_node, inputs, ids, outputs: Vec::new(), model };
        if is_foldable(&step) {
            return self.fold(&step, outputs);
        }
        for name in outputs {
            step.outputs.push(self.cut.values.len());
            self.known.insert(name.clone(), Operand::Value(self.cut.values.len()));
            self.cut.values.push(name);
        }
        self.cut.steps.push(step);
        Ok(())
    }

    /// Works out a node that reads constants alone.
    fn fold(&mut self, step: &Step, names: Vec<String>) -> Result<(), NetworkError> {
        let given = step.inputs.iter().filter_map(|input| match input.operand {
            Operand::Constant(at) => self.cut.constants.get(at).map(|(_, value)| ValueOrView::from(value)),
            Operand::Value(_) => None,
        });
        let values = step.run(given.collect()).map_err(|error| of_node(error, &step.node))?;
        for (name, value) in names.into_iter().zip(values) {
            self.known.insert(name.clone(), Operand::Constant(self.cut.constants.len()));
            self.cut.constants.push((name, value));
        }
        Ok(())
    }

    fn finish(mut self, wanted: &[String]) -> Result<Cut, NetworkError> {
        for name in wanted {
            let operand = self.known.get(name).copied().ok_or_else(|| {
                let part = format!("value {}", crate::formats::shown(name));
                NetworkError::graph(part, "a node that makes it", "none")
            })?;
            self.cut.wanted.push(operand);
        }
        // From the end: the first reader met is the last in time, but of what is wanted.
        let mut read: BTreeSet<Operand> = self.cut.wanted.iter().copied().collect();
        for step in self.cut.steps.iter_mut().rev() {
            for input in &mut step.inputs {
                input.is_last = read.insert(input.operand);
            }
        }
        Ok(self.cut)
    }
}

/// Whether a node is the same whatever the network is given.
fn is_foldable(step: &Step) -> bool {
    let is_random = step.node.operator.starts_with("Random")
        || matches!(step.node.operator.as_str(), "Bernoulli" | "Multinomial");
    let is_fixed = |input: &Input| matches!(input.operand, Operand::Constant(_)) && input.position.is_some();
    !step.inputs.is_empty() && !is_random && step.inputs.iter().all(is_fixed)
}

/// An error of the runtime with the node that it is about.
pub(super) fn of_node(error: NetworkError, node: &Node) -> NetworkError {
    let at = |text: &str| format!("node {} ({}): {text}", crate::formats::shown(&node.name), node.operator);
    match error {
        NetworkError::Load(text) if text.contains("upported") => NetworkError::Operator {
            operator: node.operator.clone(),
            node: node.name.clone(),
            purpose: "by the runtime",
        },
        NetworkError::Load(text) => NetworkError::Load(at(&text)),
        NetworkError::Run(text) => NetworkError::Run(at(&text)),
        other => other,
    }
}
