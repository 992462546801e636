//! A network's graph: parsed, checked, put in order, its branches chosen.
//!
//! The messages are those of onnx.proto3 as rten-onnx reads them. A [`Graph`] is flat: an `If` whose condition is a constant of
//! the data (a sampling rate, a flag) is replaced by the branch taken, so that every weight's values can be looked at.

use super::initializer::array_of;
use super::{Array, NetworkError, growth};
use crate::formats::shown;
use rten_onnx::onnx::{AttributeProto, DataType, GraphProto, ModelProto, NodeProto, TensorProto};
use std::collections::{BTreeMap, BTreeSet};

/// Names too short to tell a node, replaced by its first output.
fn label(node: &NodeProto) -> String {
    let name = node.name.as_deref().filter(|name| !name.is_empty());
    let first = || node.output.first().map(String::as_str);
    shown(name.or_else(first).unwrap_or("(nameless)"))
}

/// One operation.
#[derive(Debug, Clone)]
pub struct Node {
    /// Its name, or its first output's.
    pub name: String,
    /// The operator's type.
    pub operator: String,
    /// Names of the values it takes; empty for one left out.
    pub inputs: Vec<String>,
    /// Names of the values it gives; empty for one not asked for.
    pub outputs: Vec<String>,
    attributes: BTreeMap<String, Attribute>,
}

/// An attribute of a node.
#[derive(Debug, Clone, PartialEq)]
enum Attribute {
    Int(i64),
    Float(f32),
    Ints(Vec<i64>),
    Text(String),
    Other,
}

impl Node {
    pub(super) fn new(node: &NodeProto) -> Self {
        let attribute = |attribute: &AttributeProto| {
            let value = if let Some(i) = attribute.i.filter(|_| attribute.ints.is_empty()) {
                Attribute::Int(i)
            } else if let Some(f) = attribute.f {
                Attribute::Float(f)
            } else if let Some(s) = &attribute.s {
                Attribute::Text(s.clone())
            } else if attribute.t.is_some() || attribute.g.is_some() {
                Attribute::Other
            } else {
                Attribute::Ints(attribute.ints.clone())
            };
            (attribute.name.clone().unwrap_or_default(), value)
        };
        Self {
            name: label(node),
            operator: node.op_type.clone().unwrap_or_default(),
            inputs: node.input.clone(),
            outputs: node.output.clone(),
            attributes: node.attribute.iter().map(attribute).collect(),
        }
    }

    /// An integer attribute.
    pub fn int(&self, name: &str, default: i64) -> i64 {
        if let Some(Attribute::Int(i)) = self.attributes.get(name) { *i } else { default }
    }

    /// A float attribute.
    pub fn float(&self, name: &str, default: f32) -> f32 {
        if let Some(Attribute::Float(f)) = self.attributes.get(name) { *f } else { default }
    }

    /// A list of integers; `None` where it is not given.
    pub fn ints(&self, name: &str) -> Option<&[i64]> {
        if let Some(Attribute::Ints(ints)) = self.attributes.get(name) { Some(ints) } else { None }
    }

    /// A text attribute, empty where it is not given.
    pub fn text(&self, name: &str) -> &str {
        if let Some(Attribute::Text(text)) = self.attributes.get(name) { text } else { "" }
    }

    /// The name of input `index`, if it is given.
    pub fn input(&self, index: usize) -> Option<&str> {
        self.inputs.get(index).map(String::as_str).filter(|name| !name.is_empty())
    }

    /// The name of output `index`, if it is asked for.
    pub fn output(&self, index: usize) -> Option<&str> {
        self.outputs.get(index).map(String::as_str).filter(|name| !name.is_empty())
    }
}

/// What a graph wants to be given.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct InputInfo {
    /// Its name.
    pub name: String,
    /// Its dimensions; `None` for any.
    pub shape: Vec<Option<usize>>,
    /// Whether its elements are floats.
    pub is_float: bool,
}

/// A checked graph.
pub struct Graph {
    model: ModelProto,
    /// Its operations, each after those it depends on.
    pub nodes: Vec<Node>,
    /// What it must be given.
    pub inputs: Vec<InputInfo>,
    /// The names of what it gives.
    pub outputs: Vec<String>,
    /// The names of its weights and constants.
    pub constants: BTreeSet<String>,
}

impl std::fmt::Debug for Graph {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Graph")
            .field("nodes", &self.nodes.len())
            .field("inputs", &self.inputs)
            .finish_non_exhaustive()
    }
}

impl Graph {
    /// Parses and checks the ONNX model `bytes`; time linear in its size.
    pub fn parse(bytes: &[u8]) -> Result<Self, NetworkError> {
        // The parser trusts lengths: one that is a lie moves it backwards for ever.
        crate::formats::onnx_walk::walk(&bytes)?;
        let model = ModelProto::parse_buf(bytes)
            .map_err(|error| NetworkError::graph("the file", "an ONNX model", error.to_string()))?;
        Self::new(model)
    }

    fn new(mut model: ModelProto) -> Result<Self, NetworkError> {
        let Some(graph) = &mut model.graph else {
            return Err(NetworkError::graph("the file", "a graph", "none"));
        };
        sort(graph)?;
        spell_out_windows(graph);
        let constants: BTreeSet<String> = graph
            .initializer
            .iter()
            .filter_map(|tensor| tensor.name.clone())
            .chain(graph.node.iter().filter(|node| is_constant(node)).flat_map(|node| node.output.clone()))
            .collect();
        let inputs = graph.input.iter().filter_map(|value| {
            let name = value.name.clone()?;
            let tensor = value.r#type.as_ref()?.tensor_type.as_ref();
            let dims = tensor.and_then(|tensor| tensor.shape.as_ref()).map(|shape| &shape.dim);
            let shape = dims.into_iter().flatten();
            let shape = shape.map(|dim| dim.dim_value.and_then(|n| usize::try_from(n).ok())).collect();
            let kind = tensor.and_then(|tensor| tensor.elem_type);
            let is_float =
                matches!(kind, Some(DataType::FLOAT | DataType::FLOAT16 | DataType::DOUBLE) | None);
            (!constants.contains(&name)).then_some(InputInfo { name, shape, is_float })
        });
        let inputs = inputs.collect();
        let outputs: Vec<String> = graph.output.iter().filter_map(|value| value.name.clone()).collect();
        if outputs.is_empty() {
            return Err(NetworkError::graph("the file", "an output", "none"));
        }
        let nodes = graph.node.iter().filter(|node| !is_constant(node)).map(Node::new).collect();
        let graph = Self { model, nodes, inputs, outputs, constants };
        graph.check_steps()?;
        Ok(graph)
    }

    /// Refuses a graph that makes far more numbers than a file of so many bytes warrants.
    pub(super) fn check_growth(&self, bytes: u64) -> Result<(), NetworkError> {
        self.model.graph.as_ref().map_or(Ok(()), |graph| growth::check(graph, bytes))
    }

    /// Refuses slices that step by nothing, which never end.
    fn check_steps(&self) -> Result<(), NetworkError> {
        for node in self.nodes.iter().filter(|node| node.operator == "Slice") {
            let steps = node.input(4).and_then(|name| self.constant(name));
            let steps = steps.map(|array| array.to_integers()).unwrap_or_default();
            let is_wrong = |step: &i64| *step == 0 || step.unsigned_abs() >= i32::MAX as u64;
            if let Some(step) = steps.iter().find(|step| is_wrong(step)) {
                let part = format!("node {} (Slice)", shown(&node.name));
                return Err(NetworkError::graph(part, "steps that lead on", step.to_string()));
            }
        }
        Ok(())
    }

    /// The names of all values that nodes of the graph itself give.
    pub fn values(&self) -> impl Iterator<Item = &str> {
        self.nodes
            .iter()
            .flat_map(|node| node.outputs.iter())
            .map(String::as_str)
            .filter(|name| !name.is_empty())
    }

    /// The conditions of `If` nodes, in order; each must be known before its node can be replaced.
    pub fn conditions(&self) -> Vec<String> {
        let branches = self.nodes.iter().filter(|node| node.operator == "If");
        branches.filter_map(|node| node.input(0).map(str::to_owned)).collect()
    }

    /// The graph with every `If` of a known condition replaced by the branch it takes; `If`s inside the branches remain.
    ///
    /// Names inside a branch that the graph already has are told apart by the node's name.
    pub fn inlined(mut self, conditions: &BTreeMap<String, bool>) -> Result<Self, NetworkError> {
        let Some(graph) = &mut self.model.graph else { return Ok(self) };
        let mut taken: BTreeSet<String> = graph.node.iter().flat_map(|node| node.output.clone()).collect();
        taken.extend(graph.initializer.iter().filter_map(|tensor| tensor.name.clone()));
        taken.extend(graph.input.iter().filter_map(|value| value.name.clone()));
        let mut nodes = Vec::with_capacity(graph.node.len());
        for mut node in std::mem::take(&mut graph.node) {
            let is_if = node.op_type.as_deref() == Some("If");
            let condition = node.input.first().and_then(|name| conditions.get(name)).filter(|_| is_if);
            let Some(condition) = condition else {
                nodes.push(node);
                continue;
            };
            let wanted = if *condition { "then_branch" } else { "else_branch" };
            let branch = node.attribute.iter_mut().find(|a| a.name.as_deref() == Some(wanted));
            let Some(branch) = branch.and_then(|attribute| attribute.g.take()) else {
                return Err(NetworkError::graph(format!("node {}", label(&node)), wanted, "none"));
            };
            inline(&node, branch, &mut taken, &mut nodes, &mut graph.initializer)?;
        }
        graph.node = nodes;
        Self::new(self.model)
    }

    /// The model as ONNX bytes, giving besides its outputs the values named, as far as it has them.
    pub fn to_bytes(&self, also: &BTreeSet<String>) -> Result<Vec<u8>, NetworkError> {
        let failed = |error: &dyn std::fmt::Display| NetworkError::Load(error.to_string());
        let bytes = self.model.write_buf().map_err(|error| failed(&error))?;
        let mut model = ModelProto::parse_buf(&bytes).map_err(|error| failed(&error))?;
        if let Some(graph) = &mut model.graph {
            // Types of values in between are hints, and may lie.
            graph.value_info.clear();
            let given: BTreeSet<&str> = self.outputs.iter().map(String::as_str).collect();
            let more = self.values().filter(|name| also.contains(*name) && !given.contains(name));
            let more = more.map(|name| rten_onnx::onnx::ValueInfoProto {
                name: Some(name.to_owned()),
                ..Default::default()
            });
            let more: Vec<_> = more.collect();
            graph.output.extend(more);
        }
        model.write_buf().map_err(|error| failed(&error))
    }

    /// A weight or constant as an array; `None` where there is none of that name or its type is no number of ours.
    pub fn constant(&self, name: &str) -> Option<Array> {
        let graph = self.model.graph.as_ref()?;
        let initializer = graph.initializer.iter().find(|tensor| tensor.name.as_deref() == Some(name));
        let constant = || {
            let node = graph.node.iter().find(|n| is_constant(n) && n.output.iter().any(|o| o == name))?;
            node.attribute.first()
        };
        if let Some(tensor) = initializer {
            return array_of(tensor);
        }
        let attribute = constant()?;
        match &attribute.t {
            Some(tensor) => array_of(tensor),
            None => array_of_attribute(attribute),
        }
    }
}

/// Gives windows the strides and dilations of 1 that ONNX lets them leave out and the runtime wants to see.
fn spell_out_windows(graph: &mut GraphProto) {
    let ranks: BTreeMap<String, usize> =
        graph.initializer.iter().filter_map(|t| Some((t.name.clone()?, t.dims.len()))).collect();
    for node in &mut graph.node {
        let operator = node.op_type.as_deref().unwrap_or_default();
        if !matches!(operator, "Conv" | "ConvTranspose" | "MaxPool" | "AveragePool") {
            continue;
        }
        let kernel =
            node.attribute.iter().find(|a| a.name.as_deref() == Some("kernel_shape")).map(|a| a.ints.len());
        let weight = || node.input.get(1).and_then(|name| ranks.get(name)).map(|rank| rank.saturating_sub(2));
        let Some(rank) = kernel.or_else(weight).filter(|rank| (1..=8).contains(rank)) else { continue };
        let has = |name: &str| node.attribute.iter().any(|attribute| attribute.name.as_deref() == Some(name));
        let mut missing = Vec::new();
        if !has("strides") {
            missing.push(("strides", vec![1; rank]));
        }
        if !has("dilations") && operator != "AveragePool" {
            missing.push(("dilations", vec![1; rank]));
        }
        if !has("pads") && !has("auto_pad") {
            missing.push(("pads", vec![0; 2 * rank]));
        }
        node.attribute.extend(missing.into_iter().map(|(name, ints)| AttributeProto {
            name: Some(name.to_owned()),
            ints,
            r#type: Some(rten_onnx::onnx::AttributeType::INTS),
            ..Default::default()
        }));
    }
}

/// Whether a node holds a constant.
pub(super) fn is_constant(node: &NodeProto) -> bool {
    node.op_type.as_deref() == Some("Constant")
}

fn array_of_attribute(attribute: &AttributeProto) -> Option<Array> {
    let ints = |shape: &[usize], ints: &[i64]| {
        let narrow = |i: &i64| (*i).clamp(i64::from(i32::MIN), i64::from(i32::MAX)) as i32;
        Array::integers(shape, ints.iter().map(narrow).collect()).ok()
    };
    match (attribute.i, attribute.f) {
        (Some(i), _) => ints(&[], &[i]),
        (_, Some(f)) => Array::floats(&[], vec![f]).ok(),
        _ if !attribute.floats.is_empty() => {
            Array::floats(&[attribute.floats.len()], attribute.floats.clone()).ok()
        }
        _ => ints(&[attribute.ints.len()], &attribute.ints),
    }
}

/// Puts the nodes of a branch in the place of its node.
fn inline(
    node: &NodeProto,
    mut branch: GraphProto,
    taken: &mut BTreeSet<String>,
    nodes: &mut Vec<NodeProto>,
    initializers: &mut Vec<TensorProto>,
) -> Result<(), NetworkError> {
    // A name of its own hides one of the graph.
    let own: BTreeSet<&String> = branch.node.iter().flat_map(|node| &node.output).collect();
    let given = taken.iter().filter(|name| !own.contains(name)).cloned().collect();
    sort_from(&mut branch, &given)?;
    let label = label(node);
    if branch.output.len() != node.output.len() {
        let expected = format!("{} outputs of its branch", node.output.len());
        return Err(NetworkError::graph(format!("node {label}"), expected, branch.output.len().to_string()));
    }
    let mut names = BTreeMap::new();
    let own = branch.initializer.iter().filter_map(|tensor| tensor.name.clone());
    let own: Vec<String> = own.chain(branch.node.iter().flat_map(|n| n.output.clone())).collect();
    for name in own.into_iter().filter(|name| !name.is_empty()) {
        let mut new = name.clone();
        while !taken.insert(new.clone()) {
            new = format!("{label}/{new}");
        }
        names.insert(name, new);
    }
    let rename = |name: &mut String| {
        if let Some(new) = names.get(name.as_str()) {
            new.clone_into(name);
        }
    };
    for mut tensor in branch.initializer {
        tensor.name.as_mut().into_iter().for_each(rename);
        initializers.push(tensor);
    }
    for mut inner in branch.node {
        inner.input.iter_mut().for_each(rename);
        inner.output.iter_mut().for_each(rename);
        for attribute in &mut inner.attribute {
            if let Some(graph) = &mut attribute.g {
                rename_captured(graph, &names, 0);
            }
        }
        nodes.push(inner);
    }
    for (output, value) in node.output.iter().zip(&branch.output) {
        let mut from = value.name.clone().unwrap_or_default();
        rename(&mut from);
        nodes.push(NodeProto {
            domain: None,
            name: Some(format!("{label}/{output}")),
            input: vec![from],
            output: vec![output.clone()],
            op_type: Some("Identity".to_owned()),
            attribute: Vec::new(),
        });
    }
    Ok(())
}

/// Renames what a graph inside a branch takes from around it.
fn rename_captured(graph: &mut GraphProto, names: &BTreeMap<String, String>, depth: u32) {
    if depth > 32 {
        return;
    }
    let own: BTreeSet<String> = graph.node.iter().flat_map(|node| node.output.clone()).collect();
    let rename = |name: &mut String| {
        if let Some(new) = names.get(name.as_str()).filter(|_| !own.contains(name.as_str())) {
            new.clone_into(name);
        }
    };
    for node in &mut graph.node {
        node.input.iter_mut().for_each(rename);
        for attribute in &mut node.attribute {
            if let Some(graph) = &mut attribute.g {
                rename_captured(graph, names, depth + 1);
            }
        }
    }
    graph.output.iter_mut().filter_map(|value| value.name.as_mut()).for_each(rename);
}

fn sort(graph: &mut GraphProto) -> Result<(), NetworkError> {
    let given = graph.input.iter().filter_map(|value| value.name.clone()).collect();
    sort_from(graph, &given)?;
    let mut known: BTreeSet<&str> = graph.input.iter().filter_map(|value| value.name.as_deref()).collect();
    known.extend(graph.initializer.iter().filter_map(|tensor| tensor.name.as_deref()));
    known.extend(graph.node.iter().flat_map(|node| node.output.iter()).map(String::as_str));
    let lost =
        graph.output.iter().filter_map(|value| value.name.as_deref()).find(|name| !known.contains(name));
    match lost {
        Some(name) => {
            Err(NetworkError::graph(format!("output {}", shown(name)), "a node that gives it", "none"))
        }
        None => Ok(()),
    }
}

/// Puts nodes behind what they depend on, keeping their order where it is right; `given` are the names known from outside.
fn sort_from(graph: &mut GraphProto, given: &BTreeSet<String>) -> Result<(), NetworkError> {
    let mut known = given.clone();
    known.extend(graph.initializer.iter().filter_map(|tensor| tensor.name.clone()));
    let mut made = BTreeMap::new();
    for (index, node) in graph.node.iter().enumerate() {
        for output in node.output.iter().filter(|output| !output.is_empty()) {
            if known.contains(output) || made.insert(output.clone(), index).is_some() {
                let part = format!("node {}", label(node));
                let expected = "outputs that nothing else gives";
                return Err(NetworkError::graph(part, expected, shown(output)));
            }
        }
    }
    let mut waits = Vec::with_capacity(graph.node.len());
    let mut followers: Vec<Vec<usize>> = vec![Vec::new(); graph.node.len()];
    for (index, node) in graph.node.iter().enumerate() {
        let mut count = 0;
        for need in needs(node).iter().filter(|need| !known.contains(*need)) {
            let Some(maker) = made.get(need) else {
                let part = format!("node {}", label(node));
                return Err(NetworkError::graph(part, format!("its input {}", shown(need)), "none"));
            };
            if let Some(list) = followers.get_mut(*maker) {
                list.push(index);
            }
            count += 1;
        }
        waits.push(count);
    }
    let mut ready: BTreeSet<usize> =
        waits.iter().enumerate().filter(|(_, count)| **count == 0).map(|(index, _)| index).collect();
    let mut order = Vec::with_capacity(graph.node.len());
    while let Some(index) = ready.pop_first() {
        order.push(index);
        for follower in followers.get(index).into_iter().flatten() {
            if let Some(count) = waits.get_mut(*follower) {
                *count -= 1;
                if *count == 0 {
                    ready.insert(*follower);
                }
            }
        }
    }
    if order.len() < graph.node.len() {
        let stuck = waits.iter().position(|count| *count > 0).and_then(|index| graph.node.get(index));
        let part = format!("node {}", stuck.map(label).unwrap_or_default());
        return Err(NetworkError::graph(part, "no cycle", "an input that depends on its own output"));
    }
    let mut nodes: Vec<Option<NodeProto>> = std::mem::take(&mut graph.node).into_iter().map(Some).collect();
    graph.node = order.iter().filter_map(|index| nodes.get_mut(*index)?.take()).collect();
    Ok(())
}

/// What a node takes, and what the graphs inside it take from around them.
pub(super) fn needs(node: &NodeProto) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    needed(node, &BTreeSet::new(), &mut names, 0);
    names
}

/// As [`needs`], of a node inside a graph that has some names itself.
fn needed(node: &NodeProto, inside: &BTreeSet<String>, needs: &mut BTreeSet<String>, depth: u32) {
    needs.extend(node.input.iter().filter(|name| !name.is_empty() && !inside.contains(*name)).cloned());
    for graph in node.attribute.iter().filter_map(|attribute| attribute.g.as_ref()).filter(|_| depth < 32) {
        let mut inside = inside.clone();
        inside.extend(graph.initializer.iter().filter_map(|tensor| tensor.name.clone()));
        inside.extend(graph.input.iter().filter_map(|value| value.name.clone()));
        inside.extend(graph.node.iter().flat_map(|node| node.output.clone()));
        for inner in &graph.node {
            needed(inner, &inside, needs, depth + 1);
        }
        let outputs = graph.output.iter().filter_map(|value| value.name.clone());
        needs.extend(outputs.filter(|name| !inside.contains(name)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::model::ModelBytes;
    use crate::network::testing::{Builder, Value};
    use crate::network::{Network, testing};

    fn sentence(builder: Builder) -> String {
        builder.parse().unwrap_err().to_string()
    }

    #[test]
    fn nodes_are_put_behind_what_they_depend_on() {
        let builder = Builder::default().input("x", &[-1]).node("Relu", &["b"], &["c"], vec![]);
        let graph = builder.node("Neg", &["x"], &["b"], vec![]).output("c").parse().unwrap();
        assert_eq!(graph.nodes.iter().map(|n| n.operator.as_str()).collect::<Vec<_>>(), ["Neg", "Relu"]);
    }

    #[test]
    fn graphs_that_contradict_themselves_are_refused_in_a_sentence() {
        let x = || Builder::default().input("x", &[-1]);
        assert_eq!(
            sentence(x().node("Add", &["x", "lost"], &["y"], vec![]).output("y")),
            "the network's graph: node node0_Add: expected its input lost, found none"
        );
        assert_eq!(
            sentence(
                x().node("Add", &["x", "b"], &["a"], vec![]).node("Neg", &["a"], &["b"], vec![]).output("b")
            ),
            "the network's graph: node node0_Add: expected no cycle, found an input that depends on its own output"
        );
        assert_eq!(
            sentence(x().node("Neg", &["x"], &["y"], vec![]).node("Abs", &["x"], &["y"], vec![]).output("y")),
            "the network's graph: node node1_Abs: expected outputs that nothing else gives, found y"
        );
        assert_eq!(
            sentence(x().node("Neg", &["x"], &["y"], vec![]).output("z")),
            "the network's graph: output z: expected a node that gives it, found none"
        );
        assert!(sentence(x().node("Neg", &["x"], &["y"], vec![])).contains("expected an output"));
        assert!(Graph::parse(b"\x08\x08junk").is_err());
    }

    #[test]
    fn an_unknown_operator_is_named_with_its_node() {
        let builder = Builder::default().input("x", &[-1]).node("Blend", &["x"], &["y"], vec![]).output("y");
        let error = Network::load(&builder.files()).unwrap_err();
        assert_eq!(error.to_string(), "operator Blend of node node0_Blend is not supported by the runtime");
    }

    /// An `If` whose branches both call their result `r`, a name the graph has too.
    fn branches() -> Builder {
        let branch = |factor: f32| {
            let builder =
                Builder::default().floats("f", &[1], &[factor]).node("Mul", &["x", "f"], &["r"], vec![]);
            Value::Graph(builder.output("r").into_graph())
        };
        Builder::default()
            .input("x", &[-1])
            .scalar_bool("flag", true)
            .floats("f", &[1], &[5.0])
            .node("Mul", &["x", "f"], &["r"], vec![])
            .node("If", &["flag"], &["y"], vec![("then_branch", branch(2.0)), ("else_branch", branch(3.0))])
            .output("y")
            .output("r")
    }

    #[test]
    fn a_branch_takes_its_nodes_place() {
        for (flag, expected) in [(true, 2.0), (false, 3.0)] {
            let graph = branches().parse().unwrap();
            assert_eq!(graph.conditions(), ["flag"]);
            let flat = graph.inlined(&BTreeMap::from([("flag".to_owned(), flag)])).unwrap();
            assert!(flat.conditions().is_empty());
            let bytes = flat.to_bytes(&BTreeSet::new()).unwrap();
            let network = Network::load(&ModelBytes::read(&bytes).unwrap()).unwrap();
            let x = BTreeMap::from([("x".to_owned(), Array::floats(&[1], vec![1.0]).unwrap())]);
            let outputs = network.run(&x, &["y".to_owned(), "r".to_owned()]).unwrap();
            assert_eq!(outputs[0], Array::floats(&[1], vec![expected]).unwrap());
            assert_eq!(outputs[1], Array::floats(&[1], vec![5.0]).unwrap());
        }
    }

    #[test]
    fn windows_without_strides_run() {
        let x = testing::numbers(9, 1);
        let network = Builder::default()
            .input("x", &[1, 1, 3, 3])
            .floats("w", &[1, 1, 3, 3], &[1.0; 9])
            .node("Conv", &["x", "w"], &["y"], vec![("pads", Value::Ints(vec![0; 4]))])
            .output("y");
        let network = Network::load(&network.files()).unwrap();
        let inputs = BTreeMap::from([("x".to_owned(), Array::floats(&[1, 1, 3, 3], x.clone()).unwrap())]);
        let y = network.run(&inputs, &["y".to_owned()]).unwrap();
        assert!((y[0].as_floats().unwrap()[[0, 0, 0, 0]] - x.iter().sum::<f32>()).abs() < 1e-5);
    }
}
