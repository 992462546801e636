//! Calibration: the second moments H = E[x xᵀ] of what a network multiplies its weights by, from unlabelled samples.
//!
//! The error that quantizing gives a linear layer's outputs is a quadratic form in its weights' errors, and H is its matrix
//! (see [`crate::compensation`]). It is the mean over samples of a sum over positions: the pixels of a convolution, the steps
//! of a sequence. Beside it stands, for every unit, how much the loss curves with its output, Σⱼ h / tr H by the diagonal of
//! the Gauss-Newton matrix, estimated on `CURVED` samples, floored at 1 % of its mean, which puts all layers on one scale
//! (nats); without it where an operator cannot be walked back, and then that is said.
//!
//! Of layers with very many positions as many are drawn, with a fixed seed, as `ENOUGH` times the inputs ask for over all
//! samples. Products are float32, sums of `CHUNK` of them float32 and all others float64, in one order.
//!
//! Cost: for a layer of D inputs, D² multiply-adds for every position and 8·D² bytes.

mod entering;
mod sites;
mod vectors;

pub(super) use entering::{Entering, entering};
#[cfg(test)]
pub(super) use sites::Vectors;
pub(super) use sites::{Site, sites};

use super::data::DataSet;
use super::evaluate::{GoOn, Setup};
use super::importance::{Kind, compute, flattened};
use super::model::ModelBytes;
use super::{Array, Graph, Network, NetworkError};
use crate::formats::{self, Contents, Limits, TensorHeader, Writer};
use crate::importance::UNITS;
use crate::importance::values::Columns;
use crate::model::{FileFormat, Model};
use crate::random::SplitMix64;
use crate::tensor::{Dtype, Tensor};
use ndarray::ArrayView2;
use std::collections::{BTreeMap, BTreeSet};
use vectors::Rows;

/// Positions in all for each input, of layers that have as many.
const ENOUGH: usize = 24;
/// Positions whose products are added in float32.
const CHUNK: usize = 256;
/// Samples that tell how the loss curves with a unit.
const CURVED: usize = 64;
/// The least that a unit's errors count, as a share of the mean.
const LEAST_UNIT: f64 = 0.01;
/// Most inputs of a layer: a gigabyte of sums.
const MOST_INPUTS: usize = 11_000;

/// The second moments of one weight's inputs.
#[derive(Debug, Clone)]
pub struct Moments {
    /// The weight's name.
    pub name: String,
    /// Numbers of a vector.
    pub inputs: usize,
    /// Groups of units, each with a matrix.
    pub groups: usize,
    /// The matrices, one behind the other.
    pub matrices: Vec<f64>,
    /// Vectors that were summed.
    pub vectors: u64,
    /// What each unit's errors are multiplied by, where it is known.
    pub units: Vec<f64>,
}

/// What calibration found.
#[derive(Debug, Clone)]
pub struct Calibration {
    /// By weight.
    pub layers: Vec<Moments>,
    /// Samples.
    pub samples: usize,
    /// What the user should know, a sentence each.
    pub notes: Vec<String>,
}

/// Sums of one site.
#[derive(Debug, Clone, Default)]
struct Sums {
    inputs: usize,
    groups: usize,
    /// Sums of products.
    matrices: Vec<f64>,
    vectors: u64,
}

/// Calibrates a network on the first `samples` samples; `progress` hears of samples done.
///
/// # Errors
///
/// A network that cannot be run on the data, values that are not finite (the layer is named), one without any layer to calibrate.
pub fn calibrate(
    files: &ModelBytes,
    setup: &Setup,
    data: &DataSet,
    samples: usize,
    progress: &dyn Fn(usize),
    go_on: GoOn,
) -> Result<Calibration, NetworkError> {
    let graph = flattened(files, setup, data)?;
    let samples = samples.min(data.samples);
    let mut run = Run::new(&graph, files, setup, data, samples)?;
    let batch = setup.batch_of(run.forward(0..1)?.values());
    let mut start = 0;
    while start < samples {
        if !go_on() {
            return Err(NetworkError::Cancelled);
        }
        let end = (start + batch).min(samples);
        run.add(start..end)?;
        start = end;
        progress(end);
    }
    let weights = formats::open(files, &Limits::default())?;
    let mut calibration = run.finish(&weights)?;
    let some = samples.min(CURVED);
    match compute(Kind::Sampled, files, setup, data, some, &|_| (), go_on) {
        Ok(curvature) => {
            for (name, _, values) in &curvature.tensors {
                let Some(weight) = weights.tensors.iter().find(|tensor| tensor.name == *name) else {
                    continue;
                };
                for layer in calibration.layers.iter_mut().filter(|layer| layer.name == *name) {
                    layer.units = units(layer, weight, values);
                }
            }
        }
        Err(NetworkError::Cancelled) => return Err(NetworkError::Cancelled),
        Err(error) => {
            calibration.notes.push(format!("all outputs of a layer weigh alike, since {error}"));
        }
    }
    Ok(calibration)
}

/// A network on its way over the samples.
struct Run<'a> {
    setup: &'a Setup,
    data: &'a DataSet,
    network: Network,
    sites: Vec<Site>,
    values: Vec<String>,
    sums: Vec<Sums>,
    samples: usize,
    notes: Vec<String>,
}

impl<'a> Run<'a> {
    fn new(
        graph: &Graph,
        files: &ModelBytes,
        setup: &'a Setup,
        data: &'a DataSet,
        samples: usize,
    ) -> Result<Self, NetworkError> {
        let sites = sites(graph);
        let inputs: BTreeSet<&str> = graph.inputs.iter().map(|input| input.name.as_str()).collect();
        let values: BTreeSet<String> = sites
            .iter()
            .map(|site| site.value.clone())
            .filter(|name| !inputs.contains(name.as_str()))
            .collect();
        let network = Network::with_values(graph, files, &values)?;
        let sums = vec![Sums::default(); sites.len()];
        let values = values.into_iter().collect();
        Ok(Self { setup, data, network, sites, values, sums, samples, notes: Vec::new() })
    }

    fn forward(&self, range: std::ops::Range<usize>) -> Result<BTreeMap<String, Array>, NetworkError> {
        let mut all = self.setup.inputs(self.data, range)?;
        let values = self.network.run(&all, &self.values)?;
        all.extend(self.values.iter().cloned().zip(values));
        Ok(all)
    }

    /// Adds the samples `range`.
    fn add(&mut self, range: std::ops::Range<usize>) -> Result<(), NetworkError> {
        let values = self.forward(range.clone())?;
        for (site, sums) in self.sites.iter().zip(&mut self.sums) {
            let Some(array) = values.get(&site.value).and_then(Array::as_floats) else { continue };
            let array = array.as_standard_layout().into_owned();
            let Some(rows) = Rows::new(&array, &site.vectors) else { continue };
            if rows.inputs > MOST_INPUTS {
                if sums.inputs == 0 {
                    let names = crate::importance::list(&site.weights);
                    let (inputs, most) = (rows.inputs, MOST_INPUTS);
                    self.notes.push(format!(
                        "no moments for {names}: expected at most {most} inputs, found {inputs}"
                    ));
                    sums.inputs = usize::MAX;
                }
                continue;
            }
            if array.iter().any(|x| !x.is_finite()) {
                let weights = crate::importance::list(&site.weights);
                let part = format!("the inputs of {weights}");
                return Err(NetworkError::data(part, "finite numbers", "infinities or NaN"));
            }
            sums.add((&rows, &rows), self.samples, range.clone());
        }
        Ok(())
    }

    fn finish(self, weights: &Model) -> Result<Calibration, NetworkError> {
        let mut layers: BTreeMap<String, Moments> = BTreeMap::new();
        for (site, sums) in self.sites.into_iter().zip(self.sums).filter(|(_, sums)| sums.vectors > 0) {
            let matrices = sums.means(self.samples);
            for name in site.weights {
                match layers.get_mut(&name) {
                    // A weight that is used twice pays twice.
                    Some(layer) if layer.matrices.len() == matrices.len() => {
                        layer.matrices.iter_mut().zip(&matrices).for_each(|(sum, x)| *sum += x);
                        layer.vectors += sums.vectors;
                    }
                    Some(_) => {}
                    None => {
                        let (inputs, groups, vectors) = (sums.inputs, sums.groups, sums.vectors);
                        let matrices = matrices.clone();
                        let units = Vec::new();
                        layers
                            .insert(name.clone(), Moments { name, inputs, groups, matrices, vectors, units });
                    }
                }
            }
        }
        if layers.is_empty() {
            return Err(NetworkError::graph("its layers", "one that multiplies by a constant", "none"));
        }
        let without: Vec<String> = (weights.tensors.iter())
            .filter(|tensor| {
                tensor.found.role == crate::role::Role::Weight && !layers.contains_key(&tensor.name)
            })
            .map(|tensor| tensor.name.clone())
            .collect();
        let mut notes = self.notes;
        if !without.is_empty() {
            notes.push(format!("no moments for {}", crate::importance::list(&without)));
        }
        Ok(Calibration { layers: layers.into_values().collect(), samples: self.samples, notes })
    }
}

impl Sums {
    /// Adds the products of all pairs of numbers of two values' vectors, of the samples `range` of so many in all.
    fn add(&mut self, (left, right): (&Rows<'_>, &Rows<'_>), samples: usize, range: std::ops::Range<usize>) {
        let size = left.inputs * left.inputs;
        if self.matrices.is_empty() {
            (self.inputs, self.groups) = (left.inputs, left.groups);
            self.matrices = vec![0.0; size * left.groups];
        }
        if (self.inputs, self.groups) != (left.inputs, left.groups) || !left.is_like(right) {
            return;
        }
        let wanted = (ENOUGH * left.inputs).div_ceil(samples.max(1)).saturating_mul(range.len());
        let chosen = drawn(left.count, wanted, range.start as u64);
        // Those drawn stand for all.
        let share = left.count as f64 / chosen.len().max(1) as f64;
        let read = |rows: &Rows<'_>, group: usize, chunk: &[usize]| {
            let mut columns = vec![0.0; rows.inputs * CHUNK];
            for (at, row) in chunk.iter().enumerate() {
                rows.read(group, *row, columns.get_mut(at..).unwrap_or_default(), CHUNK);
            }
            columns
        };
        for (group, matrix) in self.matrices.chunks_exact_mut(size).enumerate() {
            for chunk in chosen.chunks(CHUNK) {
                let first = read(left, group, chunk);
                let second = if std::ptr::eq(left, right) { None } else { Some(read(right, group, chunk)) };
                add_products((&first, second.as_ref().unwrap_or(&first)), share, matrix);
            }
        }
        self.vectors += chosen.len() as u64;
    }

    /// The means over samples.
    fn means(&self, samples: usize) -> Vec<f64> {
        self.matrices.iter().map(|sum| sum / samples.max(1) as f64).collect()
    }
}

/// Adds `share` times the products of all pairs of columns, of `CHUNK` numbers each, a row of `matrix` for each of `left`.
fn add_products((left, right): (&[f32], &[f32]), share: f64, matrix: &mut [f64]) {
    let view = |columns| ArrayView2::from_shape((columns_in(columns), CHUNK), columns);
    let (Ok(a), Ok(b)) = (view(left), view(right)) else { return };
    for (sum, product) in matrix.iter_mut().zip(&a.dot(&b.t())) {
        *sum += share * f64::from(*product);
    }
}

const fn columns_in(columns: &[f32]) -> usize {
    columns.len() / CHUNK
}

/// At most `wanted` of `count` numbers, ascending, drawn without replacement.
fn drawn(count: usize, wanted: usize, seed: u64) -> Vec<usize> {
    if wanted >= count {
        return (0..count).collect();
    }
    let mut random = SplitMix64::new(seed);
    // One of every stretch of the same length, wherever it falls.
    let place = |i: usize| (i as u128 * count as u128 / wanted as u128) as usize;
    (0..wanted)
        .map(|i| {
            let (start, end) = (place(i), place(i + 1));
            start + (random.bits() % (end - start).max(1) as u64) as usize
        })
        .collect()
}

/// How much the loss curves with every unit's output: what its weights' curvature sums to over the trace of their moments.
fn units(layer: &Moments, weight: &Tensor, values: &[f64]) -> Vec<f64> {
    let n = layer.inputs;
    let count = values.len().checked_div(n).unwrap_or(0);
    let per_group = values.len().checked_div(layer.groups).unwrap_or(0);
    // As whoever reads the matrices finds the units.
    let Some(columns) = Columns::of_inputs(weight, n as u64, layer.groups as u64) else { return Vec::new() };
    let run = (columns.run as usize).max(1);
    let trace = |group: usize| (0..n).map(|i| layer.matrices[group * n * n + i * (n + 1)]).sum::<f64>();
    let mut units = vec![0.0; count];
    for (i, value) in values.iter().enumerate() {
        let unit = i / (run * n) * run + i % run;
        if let Some(sum) = units.get_mut(unit) {
            *sum += value.max(0.0);
        }
    }
    for (unit, sum) in units.iter_mut().enumerate() {
        let trace = trace((unit * n).checked_div(per_group).unwrap_or(0).min(layer.groups - 1));
        *sum = if trace > 0.0 { *sum / trace } else { 0.0 };
    }
    let mean = units.iter().sum::<f64>() / count.max(1) as f64;
    for unit in &mut units {
        *unit = unit.max(LEAST_UNIT * mean);
    }
    units
}

impl Calibration {
    /// As a safetensors file for `importance=moments`, with what it was computed from in its metadata.
    pub fn to_safetensors(
        &self,
        network: &str,
        data: (&str, &str),
        setup: &Setup,
    ) -> Result<Vec<u8>, NetworkError> {
        let mut headers = Vec::new();
        let header = |name: String, shape: Vec<u64>| TensorHeader { name, dtype: Dtype::F32, shape };
        for layer in &self.layers {
            let n = layer.inputs as u64;
            let shape = if layer.groups == 1 { vec![n, n] } else { vec![layer.groups as u64, n, n] };
            headers.push(header(layer.name.clone(), shape));
            if !layer.units.is_empty() {
                headers.push(header(format!("{}{UNITS}", layer.name), vec![layer.units.len() as u64]));
            }
        }
        let (kind, hash) = data;
        let metadata = BTreeMap::from([
            ("quantscope.kind".to_owned(), "moments".to_owned()),
            ("quantscope.network".to_owned(), network.to_owned()),
            ("quantscope.data".to_owned(), format!("{kind}, the first {} samples", self.samples)),
            ("quantscope.data_hash".to_owned(), hash.to_owned()),
            ("quantscope.samples".to_owned(), self.samples.to_string()),
            ("quantscope.preprocess".to_owned(), setup.preprocess.to_line()),
        ]);
        let contents = Contents { metadata: &metadata, ..Contents::of(&headers) };
        let mut writer = Writer::new(FileFormat::Safetensors, Vec::new(), &contents)?;
        let mut bytes = Vec::new();
        for layer in &self.layers {
            for values in [&layer.matrices, &layer.units] {
                bytes.clear();
                for x in values {
                    bytes.extend_from_slice(&(*x as f32).to_le_bytes());
                }
                writer.write(&bytes)?;
            }
        }
        Ok(writer.finish()?)
    }
}

#[cfg(test)]
mod tests;
