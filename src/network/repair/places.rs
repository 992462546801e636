//! Where a network can be repaired, and the statistics that say by how much.

use crate::network::graph::Node;
use crate::network::walk::Walk;
use crate::network::{Graph, Network, NetworkError};
use crate::tensor::Dtype;
use std::collections::BTreeMap;

/// The least and the largest ratio of variances that is believed.
const RATIOS: (f64, f64) = (0.2, 5.0);

/// What can be repaired at one value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Part {
    /// Statistics of what enters a normalisation; with its scale and offset, what all four map a value to.
    Statistics { mean: String, variance: String, map: Option<Map> },
    /// What was added last.
    Bias(String),
}

/// The scale and offset of a normalisation, used nowhere else.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Map {
    pub scale: String,
    pub offset: String,
    /// What is added to a variance.
    pub epsilon: f64,
}

/// A value, its axis of channels, and what can be repaired there.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Place {
    /// The node that takes the value in, or gives it.
    pub node: usize,
    /// Its name.
    pub value: String,
    /// The axis of channels is the last; else the second.
    pub is_last: bool,
    /// What can be repaired.
    pub part: Part,
}

/// Means and variances of a value's channels.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Channels {
    pub means: Vec<f64>,
    pub variances: Vec<f64>,
}

/// Everything in a graph that can be repaired, in the order that it is run in.
pub(super) fn places(graph: &Graph) -> Vec<Place> {
    let takers = |name: &str| {
        graph.nodes.iter().filter(|node| node.inputs.iter().any(|input| input == name)).collect::<Vec<_>>()
    };
    let is_normalized = |name: &str| takers(name).iter().any(|node| node.operator == "BatchNormalization");
    let of_node = |(number, node): (usize, &Node)| {
        let constant = |index: usize| {
            node.input(index).filter(|name| graph.constants.contains(*name)).map(str::to_owned)
        };
        let bias = |index: usize, is_last: bool| {
            let value = node.output(0).filter(|name| !is_normalized(name))?.to_owned();
            Some(Place { node: number, value, is_last, part: Part::Bias(constant(index)?) })
        };
        match node.operator.as_str() {
            "BatchNormalization" => {
                let (mean, variance) = (constant(3)?, constant(4)?);
                let alone = |name: &String| takers(name).len() == 1;
                let all = [constant(1)?, constant(2)?, mean.clone(), variance.clone()];
                let [scale, offset, ..] = all.clone();
                let epsilon = f64::from(node.float("epsilon", 1e-5));
                let map = all.iter().all(alone).then_some(Map { scale, offset, epsilon });
                let part = Part::Statistics { mean, variance, map };
                Some(Place { node: number, value: node.input(0)?.to_owned(), is_last: false, part })
            }
            "Conv" | "ConvTranspose" => bias(2, false),
            "Gemm" => bias(2, true),
            "Add" => {
                let is_product = |index: usize| {
                    let name = node.input(index);
                    let maker = graph.nodes.iter().find(|other| name.is_some() && other.output(0) == name);
                    maker.is_some_and(|maker| {
                        let has_weights = maker.input(1).is_some_and(|name| graph.constants.contains(name));
                        maker.operator == "MatMul" && has_weights
                    })
                };
                let rank = |index: usize| Some(graph.constant(&constant(index)?)?.shape().len());
                if is_product(0) && rank(1) == Some(1) {
                    bias(1, true)
                } else if is_product(1) && rank(0) == Some(1) {
                    bias(0, true)
                } else {
                    None
                }
            }
            _ => None,
        }
    };
    graph.nodes.iter().enumerate().filter_map(of_node).collect()
}

impl Place {
    /// Names of what can be repaired.
    pub fn tensors(&self) -> Vec<&str> {
        match &self.part {
            Part::Statistics { mean, variance, map } => {
                let map = map.iter().flat_map(|map| [map.scale.as_str(), &map.offset]);
                [mean.as_str(), variance].into_iter().chain(map).collect()
            }
            Part::Bias(bias) => vec![bias],
        }
    }

    /// The same with what the file keeps of it; nothing where that is not enough.
    pub fn kept(mut self, is_kept: &dyn Fn(&str) -> bool) -> Option<Self> {
        if let Part::Statistics { map, .. } = &mut self.part
            && map.as_ref().is_some_and(|map| !is_kept(&map.scale) || !is_kept(&map.offset))
        {
            *map = None;
        }
        self.tensors().iter().all(|name| is_kept(name)).then_some(self)
    }

    /// Sets its tensors among `values` by what is wanted of its channels and what was found with the values there.
    pub fn repair(
        &self,
        wanted: &Channels,
        found: &Channels,
        original: &BTreeMap<String, Vec<f32>>,
        values: &mut BTreeMap<String, Vec<f32>>,
    ) {
        let names = self.tensors();
        let before: Vec<&[f32]> =
            names.iter().filter_map(|name| original.get(*name)).map(Vec::as_slice).collect();
        let channels = wanted.means.len();
        // A tensor of another length than there are channels is none of theirs.
        if before.len() != names.len()
            || before.iter().any(|all| all.len() != channels)
            || found.means.len() != channels
        {
            return;
        }
        for (at, mean) in wanted.means.iter().enumerate() {
            let shift = found.means[at] - mean;
            let (v_q, v_f) = (found.variances[at], wanted.variances[at]);
            let ratio = if v_f > 0.0 { (v_q / v_f).clamp(RATIOS.0, RATIOS.1) } else { 1.0 };
            let old = |tensor: usize| f64::from(before[tensor][at]);
            let new = match &self.part {
                Part::Statistics { map: None, .. } => vec![old(0) + shift, old(1) * ratio],
                Part::Statistics { map: Some(map), .. } => {
                    let scale = old(2) / libm::sqrt(old(1) * ratio + map.epsilon);
                    let offset = old(3) - scale * (old(0) + shift);
                    vec![0.0, 1.0, scale * libm::sqrt(1.0 + map.epsilon), offset]
                }
                // The bias is in what was found.
                Part::Bias(bias) => {
                    let now = values.get(bias).and_then(|all| all.get(at)).copied().unwrap_or(0.0);
                    vec![f64::from(now) - shift]
                }
            };
            let new: Vec<f32> = new.iter().map(|x| Dtype::Bf16.round_f32(*x as f32)).collect();
            if new.iter().any(|x| !x.is_finite()) {
                continue;
            }
            for (name, new) in names.iter().zip(new) {
                if let Some(slot) = values.get_mut(*name).and_then(|all| all.get_mut(at)) {
                    *slot = new;
                }
            }
        }
    }
}

/// Means and variances of a place's channels, over the samples of a walk through `network`.
pub(super) fn statistics(
    place: &Place,
    network: &Network,
    walk: &mut Walk<'_>,
) -> Result<Channels, NetworkError> {
    // What a repaired bias is added to changes by it.
    let is_final = matches!(place.part, Part::Statistics { .. });
    // Sums and sums of squares about the first value, which keeps digits where the mean is far from zero.
    let mut sums = Sums::default();
    for batch in walk.batches() {
        let array = walk.value(network, (&place.value, is_final), batch)?;
        if let Some(array) = array.as_floats() {
            sums.add(&array.as_standard_layout(), place.is_last);
        }
    }
    Ok(sums.finish())
}

/// Sums of one place, channel by channel.
#[derive(Debug, Clone, Default)]
pub(super) struct Sums {
    /// A value near the mean of each channel.
    near: Vec<f64>,
    offs: Vec<f64>,
    squares: Vec<f64>,
    count: u64,
}

impl Sums {
    pub fn add(&mut self, values: &ndarray::CowArray<'_, f32, ndarray::IxDyn>, is_last: bool) {
        let shape = values.shape();
        let axis = if is_last { shape.len().saturating_sub(1) } else { 1 };
        let Some(channels) = shape.get(axis).copied().filter(|channels| *channels > 0) else { return };
        let inner: usize = shape.iter().skip(axis + 1).product::<usize>().max(1);
        if self.offs.is_empty() {
            let first = |channel: usize| values.as_slice().and_then(|all| all.get(channel * inner)).copied();
            self.near = (0..channels).map(|channel| first(channel).map_or(0.0, f64::from)).collect();
            (self.offs, self.squares) = (vec![0.0; channels], vec![0.0; channels]);
        }
        for (at, run) in values.as_slice().unwrap_or_default().chunks(inner).enumerate() {
            let channel = at % channels;
            let (Some(near), Some(sum), Some(square)) =
                (self.near.get(channel), self.offs.get_mut(channel), self.squares.get_mut(channel))
            else {
                return;
            };
            for x in run {
                let off = f64::from(*x) - near;
                *sum += off;
                *square += off * off;
            }
        }
        self.count += (values.len() / channels) as u64;
    }

    pub fn finish(self) -> Channels {
        let count = self.count.max(1) as f64;
        let offs: Vec<f64> = self.offs.iter().map(|sum| sum / count).collect();
        let means = self.near.iter().zip(&offs).map(|(near, off)| near + off).collect();
        let variances = self
            .squares
            .iter()
            .zip(&offs)
            .map(|(square, off)| (square / count - off * off).max(0.0))
            .collect();
        Channels { means, variances }
    }
}
