//! Repairs in closed form, from unlabelled samples: statistics of batch normalisations and biases that belong to what the
//! quantized network computes.
//!
//! Quantized weights move the means and variances of what a layer gives. Over the same samples, with m and v of the values
//! that enter a batch normalisation in the float network (f) and in the quantized one (q), channel by channel:
//!
//! ```text
//! μ ← μ + (m_q − m_f)        σ² ← σ² · v_q / v_f, the ratio held within 0.2 and 5
//! b ← b + (m_f − m_q)        of what a layer gives with its bias, where no normalisation follows
//! ```
//!
//! Repaired values are rounded to bfloat16: what they are measured from is not sure of more, and the file keeps half the
//! bytes. By difference and ratio, never estimated anew: what the network's training knew of μ and σ² stays. Data-free
//! quantization's bias correction is the same for biases (M. Nagel et al., "Data-free quantization through weight
//! equalization and bias correction", ICCV 2019, section 4.2). A repaired layer changes what enters those behind it, so one
//! is measured after the other, in the order that they are run in: all at once, each would repair what those before it have
//! repaired by then.
//!
//! Cost: for every repaired layer a run of the network up to it.

use super::data::DataSet;
use super::evaluate::{Evaluator, GoOn, Quantized, Setup};
use super::graph::Node;
use super::importance::flattened;
use super::model::ModelBytes;
use super::{Array, Graph, Network, NetworkError};
use crate::container::Content;
use crate::engine::{Replaced, open_container};
use crate::formats::matching_name;
use crate::recipe::Recipe;
use crate::tensor::Dtype;
use std::collections::{BTreeMap, BTreeSet};

/// The least and the largest ratio of variances that is believed.
const RATIOS: (f64, f64) = (0.2, 5.0);

/// What repairing gave.
#[derive(Debug, Clone)]
pub struct Repair {
    /// The network as the recipe alone makes it.
    pub before: Quantized,
    /// The same with its repairs, compressed and decoded.
    pub after: Quantized,
    /// Names of the tensors that were repaired.
    pub tensors: Vec<String>,
}

/// What can be repaired at one value.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    /// Statistics of what enters a normalisation.
    Statistics { mean: String, variance: String },
    /// What was added last.
    Bias(String),
}

/// A value, its axis of channels, and what can be repaired there.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    value: String,
    /// The axis of channels is the last; else the second.
    is_last: bool,
    part: Part,
}

/// Means and variances of a value's channels.
#[derive(Debug, Clone, Default, PartialEq)]
struct Channels {
    means: Vec<f64>,
    variances: Vec<f64>,
}

/// Carries out a recipe and repairs what it leaves, on the first `samples` samples of `data`; `progress` hears of layers done and
/// of all.
///
/// # Errors
///
/// A network that cannot be run on the data; one that has nothing to repair.
pub fn repair(
    evaluator: &mut Evaluator,
    recipe: &Recipe,
    (setup, data, samples): (&Setup, &DataSet, usize),
    progress: &dyn Fn(usize, usize),
    go_on: GoOn,
) -> Result<Repair, NetworkError> {
    let samples = samples.min(data.samples);
    let before = evaluator.quantize(recipe)?;
    let float = evaluator.float()?;
    let kept = kept_names(&before.file)?;
    let graph = flattened(&float, setup, data)?;
    let places: Vec<Place> = places(&graph)
        .into_iter()
        .filter(|place| place.tensors().iter().all(|name| kept.contains(matching_name(name))))
        .collect();
    if places.is_empty() {
        let expected = "batch normalisation or biases that are kept as they are, to be repaired";
        return Err(NetworkError::graph("its layers", expected, "none"));
    }
    let original: BTreeMap<String, Vec<f32>> = places
        .iter()
        .flat_map(Place::tensors)
        .filter_map(|name| {
            Some((name.to_owned(), graph.constant(name)?.as_floats()?.iter().copied().collect()))
        })
        .collect();
    let on = (setup, data, samples);
    let wanted = statistics(&float, &places, on, go_on)?;
    let mut values = original.clone();
    for (at, (place, wanted)) in places.iter().zip(&wanted).enumerate() {
        progress(at, places.len());
        let files = evaluator.with_values(&before.files, &values)?;
        let found = statistics(&files, std::slice::from_ref(place), on, go_on)?;
        if let Some(found) = found.first() {
            place.repair(wanted, found, &original, &mut values);
        }
    }
    let (repaired, tensors) = evaluator.opened(recipe)?.repaired(&values)?;
    let after = evaluator.quantize_with(recipe, &Replaced { repaired, ..Replaced::default() })?;
    Ok(Repair { before, after, tensors })
}

/// Names of the tensors that a compressed file keeps as they were.
fn kept_names(file: &[u8]) -> Result<BTreeSet<String>, NetworkError> {
    let reader = open_container(&file)?;
    let kept = reader.manifest().tensors.iter().filter(|entry| matches!(entry.content, Content::Kept));
    Ok(kept.map(|entry| matching_name(&entry.name).to_owned()).collect())
}

/// Everything in a graph that can be repaired, in the order that it is run in.
fn places(graph: &Graph) -> Vec<Place> {
    let takers = |name: &str| {
        graph.nodes.iter().filter(|node| node.inputs.iter().any(|input| input == name)).collect::<Vec<_>>()
    };
    let is_normalized = |name: &str| takers(name).iter().any(|node| node.operator == "BatchNormalization");
    let of_node = |node: &Node| {
        let constant = |index: usize| {
            node.input(index).filter(|name| graph.constants.contains(*name)).map(str::to_owned)
        };
        let bias = |index: usize, is_last: bool| {
            let value = node.output(0).filter(|name| !is_normalized(name))?.to_owned();
            Some(Place { value, is_last, part: Part::Bias(constant(index)?) })
        };
        match node.operator.as_str() {
            "BatchNormalization" => {
                let part = Part::Statistics { mean: constant(3)?, variance: constant(4)? };
                Some(Place { value: node.input(0)?.to_owned(), is_last: false, part })
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
    graph.nodes.iter().filter_map(of_node).collect()
}

impl Place {
    fn tensors(&self) -> Vec<&str> {
        match &self.part {
            Part::Statistics { mean, variance } => vec![mean, variance],
            Part::Bias(bias) => vec![bias],
        }
    }

    /// Sets its tensors among `values` by what is wanted of its channels and what was found with the values there.
    fn repair(
        &self,
        wanted: &Channels,
        found: &Channels,
        original: &BTreeMap<String, Vec<f32>>,
        values: &mut BTreeMap<String, Vec<f32>>,
    ) {
        let mut set = |name: &str, new: &dyn Fn(usize, f64, f64) -> f64| {
            let (Some(original), Some(values)) = (original.get(name), values.get_mut(name)) else { return };
            // A tensor of another length than there are channels is none of theirs.
            if original.len() != wanted.means.len() || found.means.len() != wanted.means.len() {
                return;
            }
            for (at, (value, original)) in values.iter_mut().zip(original).enumerate() {
                let repaired = new(at, f64::from(*original), f64::from(*value)) as f32;
                let rounded = Dtype::Bf16.round_f32(repaired);
                if rounded.is_finite() {
                    *value = rounded;
                }
            }
        };
        let shift = |at: usize| found.means[at] - wanted.means[at];
        match &self.part {
            Part::Statistics { mean, variance } => {
                set(mean, &|at, original, _| original + shift(at));
                set(variance, &|at, original, _| {
                    let (v_q, v_f) = (found.variances[at], wanted.variances[at]);
                    let ratio = if v_f > 0.0 { (v_q / v_f).clamp(RATIOS.0, RATIOS.1) } else { 1.0 };
                    original * ratio
                });
            }
            // The bias is in what was found.
            Part::Bias(bias) => set(bias, &|at, _, now| now - shift(at)),
        }
    }
}

/// Means and variances of the channels of every place, over the first `samples` samples.
fn statistics(
    files: &ModelBytes,
    places: &[Place],
    (setup, data, samples): (&Setup, &DataSet, usize),
    go_on: GoOn,
) -> Result<Vec<Channels>, NetworkError> {
    let graph = flattened(files, setup, data)?;
    let names: BTreeSet<String> = places.iter().map(|place| place.value.clone()).collect();
    let network = Network::with_values(&graph, files, &names)?;
    let names: Vec<String> = names.into_iter().collect();
    let run = |range: std::ops::Range<usize>| network.run(&setup.inputs(data, range)?, &names);
    let batch = setup.batch_of(&run(0..1)?);
    // Sums and sums of squares about the first value, which keeps digits where the mean is far from zero.
    let mut sums: Vec<Sums> = vec![Sums::default(); places.len()];
    let mut start = 0;
    while start < samples {
        if !go_on() {
            return Err(NetworkError::Cancelled);
        }
        let end = (start + batch).min(samples);
        let values = run(start..end)?;
        let by_name: BTreeMap<&str, &Array> = names.iter().map(String::as_str).zip(&values).collect();
        for (place, sums) in places.iter().zip(&mut sums) {
            if let Some(array) = by_name.get(place.value.as_str()).and_then(|array| array.as_floats()) {
                sums.add(&array.as_standard_layout(), place.is_last);
            }
        }
        start = end;
    }
    Ok(sums.into_iter().map(Sums::finish).collect())
}

/// Sums of one place, channel by channel.
#[derive(Debug, Clone, Default)]
struct Sums {
    /// A value near the mean of each channel.
    near: Vec<f64>,
    offs: Vec<f64>,
    squares: Vec<f64>,
    count: u64,
}

impl Sums {
    fn add(&mut self, values: &ndarray::CowArray<'_, f32, ndarray::IxDyn>, is_last: bool) {
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

    fn finish(self) -> Channels {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::data::{Preprocess, Series, Values};
    use crate::network::testing::{Builder, Value, numbers};

    fn network() -> ModelBytes {
        let ones = vec![1.0f32; 6];
        Builder::default()
            .input("x", &[-1, 3, 6, 6])
            .floats("w1", &[6, 3, 3, 3], &numbers(162, 1))
            .floats("g", &[6], &ones)
            .floats("o", &[6], &numbers(6, 2))
            .floats("m", &[6], &numbers(6, 3))
            .floats("v", &[6], &[20.0; 6])
            .floats("w2", &[4, 6, 2, 2], &numbers(96, 4))
            .floats("b2", &[4], &numbers(4, 5))
            .node("Conv", &["x", "w1"], &["a"], vec![])
            .node(
                "BatchNormalization",
                &["a", "g", "o", "m", "v"],
                &["b"],
                vec![("epsilon", Value::Float(1e-5))],
            )
            .node("Relu", &["b"], &["c"], vec![])
            .node("Conv", &["c", "w2", "b2"], &["y"], vec![])
            .output("y")
            .files()
    }

    fn data() -> DataSet {
        let values = Values::F32(numbers(40 * 108, 9));
        let series = Series { name: "x".to_owned(), shape: vec![40, 3, 6, 6], values };
        DataSet { kind: "test".to_owned(), series: vec![series], labels: None, samples: 40 }
    }

    #[test]
    fn what_can_be_repaired_are_statistics_and_biases_without_normalisation_behind() {
        let graph = Graph::parse(network().model()).unwrap();
        let statistics = Part::Statistics { mean: "m".to_owned(), variance: "v".to_owned() };
        assert_eq!(
            places(&graph),
            [
                Place { value: "a".to_owned(), is_last: false, part: statistics },
                Place { value: "y".to_owned(), is_last: false, part: Part::Bias("b2".to_owned()) },
            ]
        );
    }

    #[test]
    fn sums_are_means_and_variances_of_channels() {
        let values = ndarray::ArrayD::from_shape_fn(ndarray::IxDyn(&[2, 2, 3]), |at| {
            (1000 * at[1] + [1, 4, 2, 8, 5, 7][3 * at[0] + at[2]]) as f32
        });
        let mut sums = Sums::default();
        sums.add(&values.as_standard_layout(), false);
        let found = sums.finish();
        assert_eq!(found.means, [4.5, 1004.5]);
        assert!(found.variances.iter().all(|v| (v - 6.25).abs() < 1e-9), "{found:?}");
        let mut sums = Sums::default();
        sums.add(&values.as_standard_layout(), true);
        assert_eq!(sums.finish().means, [504.5, 504.5, 504.5]);
    }

    #[test]
    fn a_file_with_a_tensor_that_needed_no_repair_is_replayed_from_what_it_holds() {
        // Nothing is quantized before the first normalisation, whose statistics are bfloat16's already.
        let network = Builder::default()
            .input("x", &[-1, 3, 6, 6])
            .floats("g", &[3], &[1.0; 3])
            .floats("o", &[3], &[0.0; 3])
            .floats("m", &[3], &[0.25; 3])
            .floats("v", &[3], &[2.0; 3])
            .floats("w", &[4, 3, 3, 3], &numbers(108, 1))
            .floats("b", &[4], &numbers(4, 5))
            .node("BatchNormalization", &["x", "g", "o", "m", "v"], &["a"], vec![])
            .node("Conv", &["a", "w", "b"], &["y"], vec![])
            .output("y")
            .files();
        let data = data();
        let graph = Graph::parse(network.model()).unwrap();
        let setup = Setup::new(&graph, &data, Preprocess::raw()).unwrap();
        let mut evaluator = Evaluator::new(network, None, None, 1).unwrap();
        let recipe = Recipe::from_line("method=uniform&step=1.2").unwrap();
        let found = repair(&mut evaluator, &recipe, (&setup, &data, 40), &|_, _| (), &|| true).unwrap();
        let reader = open_container(&found.after.file.as_slice()).unwrap();
        let again = Recipe::from_line(&reader.manifest().recipe).unwrap();
        let opened = evaluator.opened(&again).unwrap();
        let replaced = opened.replaced(&again, &found.after.file.as_slice(), &reader).unwrap();
        assert_eq!(evaluator.quantize_with(&again, &replaced).unwrap().file, found.after.file);
        assert_eq!(found.tensors, ["b"]);
    }

    #[test]
    fn repaired_networks_have_the_float_ones_channel_means() {
        let (files, data) = (network(), data());
        let graph = Graph::parse(files.model()).unwrap();
        let setup = Setup::new(&graph, &data, Preprocess::raw()).unwrap();
        let mut evaluator = Evaluator::new(files.clone(), None, None, 1).unwrap();
        let recipe = Recipe::from_line("method=uniform&step=1.2").unwrap();
        let found = repair(&mut evaluator, &recipe, (&setup, &data, 40), &|_, _| (), &|| true).unwrap();
        assert_eq!(found.tensors, ["b2", "m", "v"]);
        let places = places(&graph);
        let of = |files: &ModelBytes| statistics(files, &places, (&setup, &data, 40), &|| true).unwrap();
        let (float, before, after) = (of(&files), of(&found.before.files), of(&found.after.files));
        let off = |channels: &[Channels]| {
            let pairs = channels[1].means.iter().zip(&float[1].means);
            pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
        };
        assert!(off(&after) < 5e-3 && off(&before) > 0.02, "{} {}", off(&before), off(&after));
        // The file holds them, and its recipe names them.
        let reader = open_container(&found.after.file.as_slice()).unwrap();
        assert!(reader.manifest().recipe.contains("repaired="), "{}", reader.manifest().recipe);
        let again = Recipe::from_line(&reader.manifest().recipe).unwrap();
        assert!(evaluator.quantize(&again).is_err(), "without them it cannot be carried out");
        let opened = evaluator.opened(&again).unwrap();
        let replaced = opened.replaced(&again, &found.after.file.as_slice(), &reader).unwrap();
        assert_eq!(evaluator.quantize_with(&again, &replaced).unwrap().file, found.after.file);
    }
}
