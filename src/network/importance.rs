//! Importance computed from a network and data: curvature, gradient, squared activations; saved as safetensors.
//!
//! | kind | what it is | needs labels |
//! |---|---|---|
//! | hessian | Choi, El-Khamy and Lee 2017, 3.1: the diagonal by the backward pass, with f″ | for f″ of smooth activations |
//! | gauss-newton | the same without f″ | no |
//! | exact | the Gauss-Newton diagonal, nothing dropped: Σ over classes of p · (gradient)², sample by sample | no |
//! | sampled | its unbiased estimate, a walk for each sample: random signs in place of classes (Hutchinson 1990) | no |
//! | activations | mean squared input of each weight, forward runs only | no |
//! | gradient | mean gradient | yes |
//!
//! The loss is softmax cross-entropy, or half the squared error where the output is no row of classes. All are means over
//! samples, so ½ Σ h δ² is in the loss's unit.

use super::backward::{Pair, Pairs, Purpose, Walk};
use super::data::DataSet;
use super::evaluate::{GoOn, Setup, classes};
use super::graph::Node;
use super::inputs::Inputs;
use super::model::ModelBytes;
use super::{Array, Graph, Network, NetworkError};
use crate::formats::{self, Contents, Limits, TensorHeader, Writer};
use crate::model::FileFormat;
use crate::tensor::Dtype;
use ndarray::ArrayD;
use std::collections::{BTreeMap, BTreeSet};

/// Probability of classes that the exact diagonal may leave out.
const LEFT_OUT: f32 = 1e-8;

/// What is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Kind {
    /// The diagonal Hessian.
    Hessian,
    /// The diagonal Gauss-Newton approximation by the same pass.
    GaussNewton,
    /// The diagonal of the Gauss-Newton matrix itself.
    Exact,
    /// An estimate of that without bias, by random signs.
    Sampled,
    /// Mean squared inputs.
    Activations,
    /// The mean gradient.
    Gradient,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 6] =
        [Self::Hessian, Self::GaussNewton, Self::Exact, Self::Sampled, Self::Activations, Self::Gradient];

    /// Its name in files and on the command line.
    pub const fn id(self) -> &'static str {
        match self {
            Self::Hessian => "hessian",
            Self::GaussNewton => "gauss-newton",
            Self::Exact => "exact",
            Self::Sampled => "sampled",
            Self::Activations => "activations",
            Self::Gradient => "gradient",
        }
    }

    /// The kind of an id.
    pub fn from_id(id: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.id() == id)
    }
}

/// The loss a walk starts from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// Softmax cross-entropy over the output's last dimension.
    CrossEntropy,
    /// Half the squared error.
    Squared,
}

/// A graph with what is needed to walk it back, run by run.
pub struct Differentiator<'a> {
    walk: Walk<'a>,
    network: Network,
    setup: &'a Setup,
    data: &'a DataSet,
    values: Vec<String>,
    /// The value that is taken for the logits, and what follows from it for the loss.
    logits: String,
    loss: Loss,
    purpose: Purpose,
}

impl std::fmt::Debug for Differentiator<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Differentiator").field("logits", &self.logits).finish_non_exhaustive()
    }
}

/// The value whose softmax the output is, or the output itself.
fn logits_of(graph: &Graph, output: &str) -> String {
    let mut at = output.to_owned();
    // Through what changes nothing, and through one softmax.
    for _ in 0..graph.nodes.len() {
        let maker = graph.nodes.iter().find(|node| node.outputs.contains(&at));
        let Some(input) = maker.and_then(|node| node.input(0).map(|input| (node, input))) else { break };
        match input {
            (Node { operator, .. }, input) if operator == "Identity" => input.clone_into(&mut at),
            (Node { operator, .. }, input) if operator == "Softmax" || operator == "LogSoftmax" => {
                return input.to_owned();
            }
            _ => break,
        }
    }
    output.to_owned()
}

/// The graph with branches on constants of the data replaced by the ones taken.
pub fn flattened(files: &ModelBytes, setup: &Setup, data: &DataSet) -> Result<Graph, NetworkError> {
    flattened_on(files, &setup.inputs(data, 0..1)?)
}

/// The graph with branches replaced by the ones taken on these inputs.
pub fn flattened_on(files: &ModelBytes, inputs: &Inputs) -> Result<Graph, NetworkError> {
    let mut graph = Graph::parse(files.model())?;
    for _ in 0..32 {
        let conditions = graph.conditions();
        if conditions.is_empty() {
            break;
        }
        let wanted: BTreeSet<String> = conditions.iter().cloned().collect();
        let computed: Vec<String> =
            wanted.iter().filter(|name| !graph.constants.contains(*name)).cloned().collect();
        let mut known = BTreeMap::new();
        for name in &wanted {
            if let Some(constant) = graph.constant(name) {
                known.insert(name.clone(), constant.to_integers().first().is_some_and(|x| *x != 0));
            }
        }
        if !computed.is_empty() {
            let network = Network::with_values(&graph, files, &wanted)?;
            let values = network.run(inputs, &computed)?;
            for (name, value) in computed.iter().zip(values) {
                known.insert(name.clone(), value.to_integers().first().is_some_and(|x| *x != 0));
            }
        }
        graph = graph.inlined(&known)?;
    }
    Ok(graph)
}

impl<'a> Differentiator<'a> {
    /// Prepares derivatives of the loss by the constants `wanted` of a [flattened] graph.
    pub fn new(
        graph: &'a Graph,
        files: &ModelBytes,
        setup: &'a Setup,
        data: &'a DataSet,
        wanted: &BTreeSet<String>,
        purpose: Purpose,
    ) -> Result<Self, NetworkError> {
        let logits = logits_of(graph, &setup.output);
        let seeds = BTreeSet::from([logits.clone()]);
        let seeds = if purpose == Purpose::Activations { BTreeSet::new() } else { seeds };
        let walk = Walk::new(graph, wanted, &seeds, purpose)?;
        let mut values = walk.values();
        values.insert(logits.clone());
        let network = Network::with_values(graph, files, &values)?;
        let loss = Loss::Squared;
        let mut this =
            Self { walk, network, setup, data, values: values.into_iter().collect(), logits, loss, purpose };
        let shape = this.forward(0..1)?.get(&this.logits).map(|a| a.shape().to_vec()).unwrap_or_default();
        if classes(&shape, 1)? > 1 {
            this.loss = Loss::CrossEntropy;
        }
        Ok(this)
    }

    /// The loss that is differentiated.
    pub fn loss(&self) -> Loss {
        self.loss
    }

    /// Samples per run.
    fn batch(&self) -> Result<usize, NetworkError> {
        Ok(self.setup.batch_of(self.forward(0..1)?.values()))
    }

    fn forward(&self, range: std::ops::Range<usize>) -> Result<BTreeMap<String, Array>, NetworkError> {
        let mut all = self.setup.inputs(self.data, range)?;
        let values = self.network.run(&all, &self.values)?;
        all.extend(self.values.iter().cloned().zip(values));
        Ok(all)
    }

    /// The logits among the values of a run.
    fn logits_in(&self, values: &BTreeMap<String, Array>) -> Result<ArrayD<f32>, NetworkError> {
        let logits = values.get(&self.logits).and_then(Array::as_floats).cloned();
        logits.ok_or_else(|| NetworkError::Run("its output is no array of floats".to_owned()))
    }

    /// Mean derivatives over the samples `range`, by constant, and the mean loss where there are labels.
    pub fn back(&self, range: std::ops::Range<usize>) -> Result<(Pairs, Option<f64>), NetworkError> {
        let count = range.len();
        let values = self.forward(range.clone())?;
        let logits = self.logits_in(&values)?;
        if logits.iter().any(|value| !value.is_finite()) {
            return Err(NetworkError::data("the network's answers", "finite numbers", "one that is none"));
        }
        let (mut seed, loss) = self.seed(&logits, self.data.labels_of(range), count)?;
        if self.purpose == Purpose::Gradient {
            seed.curvature = None;
        }
        let seeds = if self.purpose == Purpose::Activations {
            Pairs::new()
        } else {
            Pairs::from([(self.logits.clone(), seed)])
        };
        Ok((self.walk.back(&values, seeds)?, loss))
    }

    /// The Gauss-Newton diagonal of one sample, by constant: Σ pᵢ (∂(−log pᵢ)/∂w)² over its answers' classes, the likeliest first
    /// until what is left has a probability below [`LEFT_OUT`]. Answers of one sample are taken as one loss, their mean.
    fn squared_gradients(&self, sample: usize) -> Result<BTreeMap<String, ArrayD<f32>>, NetworkError> {
        let values = self.forward(sample..sample + 1)?;
        let logits = self.logits_in(&values)?;
        let classes = classes(logits.shape(), 1)?;
        let rows = logits.len() / classes.max(1);
        let mut sums: BTreeMap<String, ArrayD<f32>> = BTreeMap::new();
        let mut take = |seed: ArrayD<f32>, share: f32| -> Result<(), NetworkError> {
            let pair = Pair { gradient: Some(seed), curvature: None };
            for (name, pair) in self.walk.back(&values, Pairs::from([(self.logits.clone(), pair)]))? {
                let Some(g) = pair.gradient else { continue };
                let sum = sums.entry(name).or_insert_with(|| ArrayD::zeros(g.raw_dim()));
                sum.zip_mut_with(&g, |sum, g| *sum += share * g * g);
            }
            Ok(())
        };
        if self.loss == Loss::Squared {
            for i in 0..logits.len() {
                let mut seed = ArrayD::zeros(logits.raw_dim());
                seed.iter_mut().skip(i).take(1).for_each(|g| *g = 1.0);
                take(seed, 1.0 / rows.max(1) as f32)?;
            }
            return Ok(sums);
        }
        let (seed, _) = self.seed(&logits, Some(&vec![u32::MAX; rows]), 1)?;
        // With no label of its own the seed's gradient is the probabilities, over the number of rows.
        let p = seed.gradient.unwrap_or_else(|| ArrayD::zeros(logits.raw_dim()));
        for row in 0..rows {
            let of_row: Vec<f32> =
                p.iter().skip(row * classes).take(classes).map(|p| p * rows as f32).collect();
            let mut order: Vec<usize> = (0..classes).collect();
            order.sort_by(|a, b| of_row.get(*b).unwrap_or(&0.0).total_cmp(of_row.get(*a).unwrap_or(&0.0)));
            let mut left = 1.0f32;
            for class in order {
                if left < LEFT_OUT {
                    break;
                }
                let own = of_row.get(class).copied().unwrap_or(0.0);
                left -= own;
                let mut seed = ArrayD::zeros(logits.raw_dim());
                let slots = seed.iter_mut().skip(row * classes).take(classes);
                for (i, (g, p)) in slots.zip(&of_row).enumerate() {
                    *g = p - f32::from(i == class);
                }
                take(seed, own / rows as f32)?;
            }
        }
        Ok(sums)
    }

    /// An estimate of [`squared_gradients`](Self::squared_gradients) by one walk: with signs ξ drawn for the classes, the
    /// square of what the logits' Σᵢ √pᵢ ξᵢ ∂(−log pᵢ) gives has that diagonal for its mean. The signs are those of the
    /// sample's number.
    fn sampled_squares(&self, sample: usize) -> Result<BTreeMap<String, ArrayD<f32>>, NetworkError> {
        let values = self.forward(sample..sample + 1)?;
        let logits = self.logits_in(&values)?;
        let classes = classes(logits.shape(), 1)?;
        let rows = logits.len() / classes.max(1);
        let share = 1.0 / (rows.max(1) as f32).sqrt();
        let mut random = crate::random::SplitMix64::new(sample as u64);
        let mut signs = ArrayD::from_shape_simple_fn(logits.raw_dim(), || {
            if random.bits() >> 63 == 0 { share } else { -share }
        });
        if self.loss == Loss::CrossEntropy {
            let (seed, _) = self.seed(&logits, Some(&vec![u32::MAX; rows]), 1)?;
            let p: Vec<f32> = seed.gradient.iter().flatten().map(|p| p * rows as f32).collect();
            let mut flat: Vec<f32> = signs.iter().copied().collect();
            for (signs, p) in flat.chunks_mut(classes.max(1)).zip(p.chunks(classes.max(1))) {
                let sum: f32 = signs.iter().zip(p).map(|(sign, p)| sign * p.sqrt()).sum();
                signs.iter_mut().zip(p).for_each(|(sign, p)| *sign = *sign * p.sqrt() - p * sum);
            }
            signs.iter_mut().zip(&flat).for_each(|(slot, x)| *slot = *x);
        }
        let pair = Pair { gradient: Some(signs), curvature: None };
        let pairs = self.walk.back(&values, Pairs::from([(self.logits.clone(), pair)]))?;
        Ok(pairs
            .into_iter()
            .filter_map(|(name, pair)| Some((name, pair.gradient?.mapv(|g| g * g))))
            .collect())
    }

    /// Derivatives of the mean loss by the logits.
    fn seed(
        &self,
        logits: &ArrayD<f32>,
        labels: Option<&[u32]>,
        samples: usize,
    ) -> Result<(Pair, Option<f64>), NetworkError> {
        let classes = classes(logits.shape(), samples)?;
        let rows = logits.len() / classes.max(1);
        let share = 1.0 / rows.max(1) as f32;
        let labels = labels.filter(|labels| labels.len() == rows);
        if self.loss == Loss::Squared {
            // Without a target the float model's own answer is it, and its gradient nothing.
            let curvature = ArrayD::from_elem(logits.raw_dim(), share);
            let target =
                |i: usize| labels.and_then(|labels| labels.get(i)).map_or(0.0, |label| *label as f32);
            let mut loss = 0.0;
            let gradient = labels.map(|_| {
                let mut g = logits.clone();
                for (i, value) in g.iter_mut().enumerate() {
                    let error = *value - target(i);
                    loss += 0.5 * f64::from(error) * f64::from(error) * f64::from(share);
                    *value = error * share;
                }
                g
            });
            let loss = labels.map(|_| loss);
            return Ok((Pair { gradient, curvature: Some(curvature) }, loss));
        }
        let mut p = logits.as_standard_layout().into_owned();
        let mut loss = 0.0;
        for (i, row) in p.as_slice_mut().unwrap_or_default().chunks_exact_mut(classes).enumerate() {
            let most = row.iter().fold(f32::NEG_INFINITY, |a, b| a.max(*b));
            for x in row.iter_mut() {
                *x = libm::expf(*x - most);
            }
            let sum: f32 = row.iter().sum();
            for x in row.iter_mut() {
                *x /= sum;
            }
            if let Some(label) = labels.and_then(|labels| labels.get(i)) {
                let own = row.get(*label as usize).copied().unwrap_or(0.0);
                loss -= f64::from(libm::logf(own.max(1e-30))) / rows as f64;
            }
        }
        let curvature = Some(p.mapv(|p| p * (1.0 - p) * share));
        let gradient = labels.map(|labels| {
            let mut g = p;
            for (row, label) in g.as_slice_mut().unwrap_or_default().chunks_exact_mut(classes).zip(labels) {
                if let Some(own) = row.get_mut(*label as usize) {
                    *own -= 1.0;
                }
                for g in row {
                    *g *= share;
                }
            }
            g
        });
        Ok((Pair { gradient, curvature }, labels.map(|_| loss)))
    }
}

/// Importance computed: values by the names of the weights.
#[derive(Debug, Clone)]
pub struct Computed {
    /// What it is.
    pub kind: Kind,
    /// Shape and values of each weight's.
    pub tensors: Vec<(String, Vec<usize>, Vec<f64>)>,
    /// Samples it is the mean of.
    pub samples: usize,
    /// The loss, in words.
    pub loss: String,
    /// Weights that the output does not depend on, or that no linear layer takes.
    pub without: Vec<String>,
}

/// Computes importance of one kind over the first `samples` samples; `progress` hears of samples done.
pub fn compute(
    kind: Kind,
    files: &ModelBytes,
    setup: &Setup,
    data: &DataSet,
    samples: usize,
    progress: &dyn Fn(usize),
    go_on: GoOn,
) -> Result<Computed, NetworkError> {
    let mut sums = Sums::new(kind, files, setup, data)?;
    sums.add(0..samples.min(data.samples), progress, go_on)?;
    sums.finish()
}

/// Sums over samples, which can be added range by range in any order of work.
#[derive(Debug)]
pub struct Sums<'a> {
    kind: Kind,
    files: &'a ModelBytes,
    setup: &'a Setup,
    data: &'a DataSet,
    graph: Graph,
    wanted: BTreeSet<String>,
    by_name: BTreeMap<String, ArrayD<f64>>,
    samples: usize,
    loss: &'static str,
}

impl<'a> Sums<'a> {
    /// Prepares; an operator that cannot be walked is named.
    pub fn new(
        kind: Kind,
        files: &'a ModelBytes,
        setup: &'a Setup,
        data: &'a DataSet,
    ) -> Result<Self, NetworkError> {
        let graph = flattened(files, setup, data)?;
        let weights = formats::open(files, &Limits::default())?;
        let wanted = weights.tensors.iter().map(|tensor| tensor.name.clone());
        let wanted = wanted.filter(|name| graph.constants.contains(name)).collect();
        if kind == Kind::Gradient && data.labels.is_none() {
            return Err(NetworkError::data("the gradient", "labels", "none"));
        }
        Ok(Self { kind, files, setup, data, graph, wanted, by_name: BTreeMap::new(), samples: 0, loss: "" })
    }

    /// Adds the samples `range`.
    pub fn add(
        &mut self,
        range: std::ops::Range<usize>,
        progress: &dyn Fn(usize),
        go_on: GoOn,
    ) -> Result<(), NetworkError> {
        let purpose = match self.kind {
            Kind::Hessian => Purpose::Loss { second: true },
            Kind::GaussNewton => Purpose::Loss { second: false },
            Kind::Gradient | Kind::Exact | Kind::Sampled => Purpose::Gradient,
            Kind::Activations => Purpose::Activations,
        };
        let differentiator =
            Differentiator::new(&self.graph, self.files, self.setup, self.data, &self.wanted, purpose)?;
        self.loss = match differentiator.loss() {
            Loss::CrossEntropy => "softmax cross-entropy",
            Loss::Squared => "half the squared error",
        };
        let is_single = matches!(self.kind, Kind::Exact | Kind::Sampled);
        let batch = if is_single { 1 } else { differentiator.batch()? };
        let mut start = range.start;
        while start < range.end {
            if !go_on() {
                return Err(NetworkError::Cancelled);
            }
            let end = (start + batch).min(range.end);
            for (name, found) in self.derivatives(&differentiator, start..end)? {
                let share = (end - start) as f64;
                let sum = self.by_name.entry(name).or_insert_with(|| ArrayD::zeros(found.raw_dim()));
                if sum.shape() == found.shape() {
                    sum.zip_mut_with(&found, |sum, x| *sum += f64::from(*x) * share);
                }
            }
            self.samples += end - start;
            start = end;
            progress(self.samples);
        }
        Ok(())
    }

    /// Means over the samples `range`, by constant.
    fn derivatives(
        &self,
        differentiator: &Differentiator,
        range: std::ops::Range<usize>,
    ) -> Result<BTreeMap<String, ArrayD<f32>>, NetworkError> {
        match self.kind {
            Kind::Exact => return differentiator.squared_gradients(range.start),
            Kind::Sampled => return differentiator.sampled_squares(range.start),
            _ => {}
        }
        let (pairs, _) = differentiator.back(range)?;
        let wanted = |pair: Pair| if self.kind == Kind::Gradient { pair.gradient } else { pair.curvature };
        Ok(pairs.into_iter().filter_map(|(name, pair)| Some((name, wanted(pair)?))).collect())
    }

    /// The loss, in words.
    pub fn loss(&self) -> &'static str {
        self.loss
    }

    /// The sums as they are, to be merged elsewhere: name, shape, values.
    pub fn parts(&self) -> Vec<(String, Vec<usize>, Vec<f64>)> {
        let part = |(name, sum): (&String, &ArrayD<f64>)| {
            (name.clone(), sum.shape().to_vec(), sum.iter().copied().collect())
        };
        self.by_name.iter().map(part).collect()
    }

    /// Adds another's sums over `samples` samples.
    pub fn merge(&mut self, parts: Vec<(String, Vec<usize>, Vec<f64>)>, samples: usize) {
        for (name, shape, values) in parts {
            let Ok(array) = ArrayD::from_shape_vec(ndarray::IxDyn(&shape), values) else { continue };
            match self.by_name.get_mut(&name) {
                Some(sum) if sum.shape() == array.shape() => *sum += &array,
                Some(_) => {}
                None => {
                    self.by_name.insert(name, array);
                }
            }
        }
        self.samples += samples;
    }

    /// The means.
    pub fn finish(self) -> Result<Computed, NetworkError> {
        let share = 1.0 / self.samples.max(1) as f64;
        let without = self.wanted.iter().filter(|name| !self.by_name.contains_key(*name)).cloned().collect();
        let tensors: Vec<_> = self
            .by_name
            .into_iter()
            .map(|(name, sum)| {
                (name, sum.shape().to_vec(), sum.iter().map(|x| x * share).collect::<Vec<f64>>())
            })
            .collect();
        if tensors.is_empty() {
            return Err(NetworkError::graph("its weights", "some that its output depends on", "none"));
        }
        Ok(Computed { kind: self.kind, tensors, samples: self.samples, loss: self.loss.to_owned(), without })
    }
}

impl Computed {
    /// As a safetensors file, with what it was computed from in its metadata; negative curvatures become 0.
    ///
    /// `half` stores bfloat16, which is half as large and exact enough to weigh errors with.
    pub fn to_safetensors(
        &self,
        network: &str,
        data_kind: &str,
        setup: &Setup,
        half: bool,
    ) -> Result<Vec<u8>, NetworkError> {
        let dtype = if half { Dtype::Bf16 } else { Dtype::F32 };
        let headers: Vec<TensorHeader> = self
            .tensors
            .iter()
            .map(|(name, shape, _)| TensorHeader {
                name: name.clone(),
                dtype,
                shape: shape.iter().map(|n| *n as u64).collect(),
            })
            .collect();
        let signed = self.kind == Kind::Gradient;
        let negative = self.tensors.iter().flat_map(|(_, _, values)| values).filter(|x| **x < 0.0).count();
        let mut metadata = BTreeMap::from([
            ("quantscope.kind".to_owned(), self.kind.id().to_owned()),
            ("quantscope.network".to_owned(), network.to_owned()),
            ("quantscope.data".to_owned(), format!("{data_kind}, the first {} samples", self.samples)),
            ("quantscope.preprocess".to_owned(), setup.preprocess.to_line()),
            ("quantscope.loss".to_owned(), self.loss.clone()),
        ]);
        if !signed && negative > 0 {
            metadata
                .insert("quantscope.negative".to_owned(), format!("{negative} negative values stored as 0"));
        }
        let contents = Contents { metadata: &metadata, ..Contents::of(&headers) };
        let mut writer = Writer::new(FileFormat::Safetensors, Vec::new(), &contents)?;
        let mut bytes = Vec::new();
        for (_, _, values) in &self.tensors {
            bytes.clear();
            let floats: Vec<f32> =
                values.iter().map(|x| if signed { *x as f32 } else { x.max(0.0) as f32 }).collect();
            dtype.extend_bytes(&floats, &mut bytes);
            writer.write(&bytes)?;
        }
        Ok(writer.finish()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::data::{Preprocess, Series, Values};
    use crate::network::testing::{Builder, Value, numbers};

    const SAMPLES: usize = 7;

    fn data(features: usize, labels: Option<Vec<u32>>) -> DataSet {
        let values = Values::F32(numbers(SAMPLES * features, 1));
        let series = Series { name: "x".to_owned(), shape: vec![SAMPLES, features], values };
        DataSet { kind: "test".to_owned(), series: vec![series], labels, samples: SAMPLES }
    }

    fn computed(kind: Kind, files: &ModelBytes, data: &DataSet) -> BTreeMap<String, Vec<f64>> {
        let graph = Graph::parse(files.model()).unwrap();
        let setup = Setup::new(&graph, data, Preprocess::raw()).unwrap();
        let computed = compute(kind, files, &setup, data, SAMPLES, &|_| (), &|| true).unwrap();
        computed.tensors.into_iter().map(|(name, _, values)| (name, values)).collect()
    }

    /// Two layers: 3 inputs, `hidden` tanh units, 4 classes.
    struct Net {
        hidden: usize,
        weights: Vec<f64>,
    }

    impl Net {
        fn new(hidden: usize) -> Self {
            let weights = numbers(hidden * 3 + 4 * hidden, 11).into_iter().map(f64::from).collect();
            Self { hidden, weights }
        }

        fn files(&self) -> ModelBytes {
            let floats: Vec<f32> = self.weights.iter().map(|w| *w as f32).collect();
            let (a, b) = floats.split_at(self.hidden * 3);
            Builder::default()
                .input("x", &[-1, 3])
                .floats("a", &[self.hidden, 3], a)
                .floats("b", &[4, self.hidden], b)
                .node("Gemm", &["x", "a"], &["z"], vec![("transB", Value::Int(1))])
                .node("Tanh", &["z"], &["t"], vec![])
                .node("Gemm", &["t", "b"], &["y"], vec![("transB", Value::Int(1))])
                .output("y")
                .files()
        }

        fn logits(&self, weights: &[f64], x: &[f64]) -> Vec<f64> {
            let (a, b) = weights.split_at(self.hidden * 3);
            let t: Vec<f64> =
                a.chunks(3).map(|row| row.iter().zip(x).map(|(w, x)| w * x).sum::<f64>().tanh()).collect();
            b.chunks(self.hidden).map(|row| row.iter().zip(&t).map(|(w, t)| w * t).sum()).collect()
        }

        fn p(logits: &[f64]) -> Vec<f64> {
            let sum: f64 = logits.iter().map(|z| libm::exp(*z)).sum();
            logits.iter().map(|z| libm::exp(*z) / sum).collect()
        }

        fn samples(data: &DataSet) -> Vec<Vec<f64>> {
            let Values::F32(values) = &data.series[0].values else { panic!() };
            values.chunks(3).map(|x| x.iter().map(|x| f64::from(*x)).collect()).collect()
        }

        /// The mean loss with the weights moved at one place.
        fn loss(&self, data: &DataSet, at: usize, by: f64) -> f64 {
            let mut weights = self.weights.clone();
            weights[at] += by;
            let labels = data.labels.as_ref().unwrap();
            let losses = Self::samples(data)
                .into_iter()
                .zip(labels)
                .map(|(x, label)| -libm::log(Self::p(&self.logits(&weights, &x))[*label as usize]));
            losses.sum::<f64>() / SAMPLES as f64
        }

        /// The Gauss-Newton diagonal from finite differences of the logits.
        fn gauss_newton(&self, data: &DataSet, at: usize) -> f64 {
            let step = 1e-5;
            let moved = |by: f64| {
                let mut weights = self.weights.clone();
                weights[at] += by;
                weights
            };
            let (up, down) = (moved(step), moved(-step));
            let each = Self::samples(data).into_iter().map(|x| {
                let (up, down) = (self.logits(&up, &x), self.logits(&down, &x));
                let j: Vec<f64> = up.iter().zip(&down).map(|(u, d)| (u - d) / (2.0 * step)).collect();
                let p = Self::p(&self.logits(&self.weights, &x));
                let mean: f64 = j.iter().zip(&p).map(|(j, p)| j * p).sum();
                j.iter().zip(&p).map(|(j, p)| p * j * j).sum::<f64>() - mean * mean
            });
            each.sum::<f64>() / SAMPLES as f64
        }
    }

    fn close(expected: &[f64], found: &[f64], tolerance: f64) {
        let scale = expected.iter().fold(1e-9f64, |a, b| a.max(b.abs()));
        assert_eq!(expected.len(), found.len());
        for (e, f) in expected.iter().zip(found) {
            assert!((e - f).abs() < tolerance * scale, "{expected:?} {found:?}");
        }
    }

    #[test]
    fn a_last_layers_hessian_equals_second_differences_of_the_loss() {
        let net = Net::new(5);
        let data = data(3, Some(vec![0, 3, 1, 2, 2, 0, 1]));
        let step = 1e-3;
        let second = |at: usize| {
            (net.loss(&data, at, step) - 2.0 * net.loss(&data, at, 0.0) + net.loss(&data, at, -step))
                / (step * step)
        };
        let expected: Vec<f64> = (15..35).map(second).collect();
        close(&expected, &computed(Kind::Hessian, &net.files(), &data)["b"], 1e-4);
    }

    #[test]
    fn the_gradient_equals_differences_of_the_loss() {
        let net = Net::new(4);
        let data = data(3, Some(vec![0, 3, 1, 2, 2, 0, 1]));
        let slope = |at: usize| (net.loss(&data, at, 1e-5) - net.loss(&data, at, -1e-5)) / 2e-5;
        let found = computed(Kind::Gradient, &net.files(), &data);
        close(&(0..12).map(slope).collect::<Vec<_>>(), &found["a"], 1e-4);
        close(&(12..28).map(slope).collect::<Vec<_>>(), &found["b"], 1e-4);
    }

    #[test]
    fn the_exact_kind_is_the_gauss_newton_diagonal_of_every_layer() {
        let net = Net::new(4);
        let data = data(3, None);
        let found = computed(Kind::Exact, &net.files(), &data);
        close(&(0..12).map(|at| net.gauss_newton(&data, at)).collect::<Vec<_>>(), &found["a"], 2e-3);
        close(&(12..28).map(|at| net.gauss_newton(&data, at)).collect::<Vec<_>>(), &found["b"], 2e-3);
    }

    #[test]
    fn the_sampled_kind_has_the_exact_diagonal_for_its_mean() {
        let net = Net::new(3);
        let many = 4000;
        let values = Values::F32(numbers(SAMPLES * 3, 1).into_iter().cycle().take(many * 3).collect());
        let series = Series { name: "x".to_owned(), shape: vec![many, 3], values };
        let repeated = DataSet { kind: "test".to_owned(), series: vec![series], labels: None, samples: many };
        let files = net.files();
        let graph = Graph::parse(files.model()).unwrap();
        let setup = Setup::new(&graph, &repeated, Preprocess::raw()).unwrap();
        let of = |kind| {
            let found = compute(kind, &files, &setup, &repeated, many, &|_| (), &|| true).unwrap();
            found.tensors.into_iter().flat_map(|(_, _, values)| values).collect::<Vec<f64>>()
        };
        close(&of(Kind::Exact), &of(Kind::Sampled), 0.1);
    }

    #[test]
    fn squared_activations_are_means_of_squared_inputs() {
        let net = Net::new(2);
        let data = data(3, None);
        let found = computed(Kind::Activations, &net.files(), &data);
        let samples = Net::samples(&data);
        let mean = |j: usize| samples.iter().map(|x| x[j] * x[j]).sum::<f64>() / SAMPLES as f64;
        close(&[mean(0), mean(1), mean(2), mean(0), mean(1), mean(2)], &found["a"], 1e-5);
    }

    #[test]
    fn importance_reads_back_under_the_weights_names_with_what_it_came_from() {
        let net = Net::new(2);
        let data = data(3, None);
        let files = net.files();
        let graph = Graph::parse(files.model()).unwrap();
        let setup = Setup::new(&graph, &data, Preprocess::raw()).unwrap();
        let computed = compute(Kind::GaussNewton, &files, &setup, &data, 5, &|_| (), &|| true).unwrap();
        for half in [false, true] {
            let bytes = computed.to_safetensors("net.onnx", &data.kind, &setup, half).unwrap();
            let model = formats::open(&bytes, &Limits::default()).unwrap();
            assert_eq!(model.metadata["quantscope.kind"], "gauss-newton");
            assert_eq!(model.metadata["quantscope.data"], "test, the first 5 samples");
            assert_eq!(model.tensors.iter().map(|t| t.name.as_str()).collect::<Vec<_>>(), ["a", "b"]);
        }
    }

    #[test]
    fn work_can_be_cancelled_and_split() {
        let net = Net::new(2);
        let data = data(3, None);
        let files = net.files();
        let graph = Graph::parse(files.model()).unwrap();
        let setup = Setup::new(&graph, &data, Preprocess::raw()).unwrap();
        let stopped = compute(Kind::Hessian, &files, &setup, &data, SAMPLES, &|_| (), &|| false);
        assert!(matches!(stopped, Err(NetworkError::Cancelled)));
        let whole = computed(Kind::GaussNewton, &files, &data);
        let (files, setup, data) = (&files, &setup, &data);
        let part = move |range: std::ops::Range<usize>| {
            let mut sums = Sums::new(Kind::GaussNewton, files, setup, data).unwrap();
            sums.add(range, &|_| (), &|| true).unwrap();
            sums
        };
        let (mut first, second) = (part(0..3), part(3..SAMPLES));
        first.merge(second.parts(), SAMPLES - 3);
        for (name, _, values) in first.finish().unwrap().tensors {
            close(&whole[&name], &values, 1e-6);
        }
    }
}
