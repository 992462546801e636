//! Where a network multiplies by its weights, and by what.

use crate::network::Graph;
use crate::network::graph::Node;
use std::collections::BTreeMap;

/// How the vectors that weights are multiplied by lie in a value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::network) enum Vectors {
    /// Along one axis, counted from the last.
    Along(usize),
    /// The patches under a kernel, in groups of channels; the second axis is that of the channels.
    Patches(Window),
    /// The channels of every pixel, in groups; the second axis is theirs.
    Channels {
        /// Groups.
        groups: usize,
    },
    /// The states before each step of a recurrent layer, `[steps, directions, samples, units]`, of which those are last first
    /// that are named.
    States {
        /// For every direction whether it begins at the end.
        reversed: Vec<bool>,
    },
}

/// The window of a convolution.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::network) struct Window {
    /// Groups of channels.
    pub groups: usize,
    /// Extents of the kernel.
    pub kernel: Vec<usize>,
    /// Elements between positions.
    pub strides: Vec<usize>,
    /// Elements between the kernel's own.
    pub dilations: Vec<usize>,
    /// Zeros in front, then zeros behind, of every dimension; or as many as `auto_pad` says.
    pub pads: Vec<usize>,
    /// The attribute `auto_pad`.
    pub auto_pad: String,
}

/// A value with the weights that it is multiplied by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::network) struct Site {
    /// The first node that multiplies them, and which of its inputs they are.
    pub node: (usize, usize),
    /// The value's name.
    pub value: String,
    /// Its vectors.
    pub vectors: Vectors,
    /// Names of the weights.
    pub weights: Vec<String>,
}

/// All sites of a graph without branches, each value with the same vectors once, in the order that they are run in.
pub(in crate::network) fn sites(graph: &Graph) -> Vec<Site> {
    let mut sites: BTreeMap<(String, Vectors), Site> = BTreeMap::new();
    for (index, node) in graph.nodes.iter().enumerate() {
        for (input, (value, vectors, weight)) in of_node(graph, node).into_iter().enumerate() {
            let new = || Site {
                node: (index, input),
                value: value.clone(),
                vectors: vectors.clone(),
                weights: Vec::new(),
            };
            let site = sites.entry((value.clone(), vectors.clone())).or_insert_with(new);
            if !site.weights.contains(&weight) {
                site.weights.push(weight);
            }
        }
    }
    let mut sites: Vec<Site> = sites.into_values().collect();
    sites.sort_by_key(|site| site.node);
    sites
}

/// The constant that a value is, through what moves no number to another row.
fn constant(graph: &Graph, name: Option<&str>) -> Option<String> {
    let mut name = name?;
    for _ in 0..4 {
        if graph.constants.contains(name) {
            return Some(name.to_owned());
        }
        let maker = graph.nodes.iter().find(|node| node.outputs.iter().any(|output| output == name))?;
        if !matches!(maker.operator.as_str(), "Identity" | "Transpose" | "Cast") {
            return None;
        }
        name = maker.input(0)?;
    }
    None
}

fn of_node(graph: &Graph, node: &Node) -> Vec<(String, Vectors, String)> {
    let weight = |index: usize| constant(graph, node.input(index));
    let value = |index: usize| node.input(index).map(str::to_owned);
    let site = |value: Option<String>, vectors: Vectors, weight: Option<String>| {
        let value = value.filter(|value| !graph.constants.contains(value));
        Some((value?, vectors, weight?))
    };
    let is_set = |name: &str| node.int(name, 0) != 0;
    let found = match node.operator.as_str() {
        "MatMul" => {
            [site(value(0), Vectors::Along(0), weight(1)), site(value(1), Vectors::Along(1), weight(0))]
        }
        "Gemm" => [
            site(value(0), Vectors::Along(usize::from(is_set("transA"))), weight(1)),
            site(value(1), Vectors::Along(usize::from(!is_set("transB"))), weight(0)),
        ],
        "Conv" => {
            let window = weight(1).and_then(|name| graph.constant(&name)).map(|w| window(node, w.shape()));
            [window.and_then(|window| site(value(0), Vectors::Patches(window), weight(1))), None]
        }
        "ConvTranspose" => {
            [site(value(0), Vectors::Channels { groups: count(node, "group", 1) }, weight(1)), None]
        }
        "LSTM" | "GRU" | "RNN" if node.int("layout", 0) == 0 => {
            let reversed = match node.text("direction") {
                "reverse" => vec![true],
                "bidirectional" => vec![false, true],
                _ => vec![false],
            };
            let states = node.output(0).map(str::to_owned);
            [
                site(value(0), Vectors::Along(0), weight(1)),
                site(states, Vectors::States { reversed }, weight(2)),
            ]
        }
        _ => [None, None],
    };
    found.into_iter().flatten().collect()
}

fn count(node: &Node, name: &str, default: i64) -> usize {
    usize::try_from(node.int(name, default)).unwrap_or(1).max(1)
}

fn window(node: &Node, weight: &[usize]) -> Window {
    let kernel = weight.get(2..).unwrap_or_default().to_vec();
    let list = |name: &str, count: usize, default: usize| -> Vec<usize> {
        let given = node.ints(name).map(|all| all.iter().map(|x| usize::try_from(*x).unwrap_or(0)).collect());
        given.filter(|all: &Vec<usize>| all.len() == count).unwrap_or_else(|| vec![default; count])
    };
    let rank = kernel.len();
    Window {
        groups: count(node, "group", 1),
        strides: list("strides", rank, 1).into_iter().map(|x| x.max(1)).collect(),
        dilations: list("dilations", rank, 1),
        pads: list("pads", 2 * rank, 0),
        auto_pad: node.text("auto_pad").to_owned(),
        kernel,
    }
}
