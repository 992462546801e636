//! Inference in number formats: any network that the runtime can run, with weights, activations and accumulators rounded.
//!
//! Definition, after Hill, Zamirai, Lu, Chao, Laurenzano, Samadi, Papaefthymiou, Mahlke, Wenisch, Deng, Tang and Mars 2018,
//! "Rethinking Numerical Representations for Deep Neural Networks", section 3, with the three formats chosen apart:
//!
//! ```text
//! weights W        constants that multiply: kernels, matrices, embeddings                            once, before the run
//! activations A    the network's inputs, every other float constant, what every operator gives       after the operator
//! accumulator Acc  products and sums inside Conv, Gemm and MatMul                                    after every operation
//! ```
//!
//! Formats are single ones, or blocks of numbers that share a scale ([`TensorFormat`]). Of the latter only the operands of sums
//! of products are rounded, where they are read (`blocks`), and everything else is float32.
//!
//! The graph is run node by node (`cut`). Operators that only move or choose values are not rounded again (`moves`).
//! Without an accumulator's format, and inside every operator that is not Conv, Gemm or `MatMul`, the arithmetic is float32's.
//! `docs/emulation.md` says what is rounded when, operator by operator.
//!
//! Cost: a run of the network and a pass over every value; with an accumulator's format two roundings per multiply-add.

mod answer;
mod blocks;
mod choice;
mod constants;
mod cut;
mod kernel;
mod moves;
#[cfg(not(target_arch = "wasm32"))]
mod parallel;
mod position;
mod prepared;
mod products;
mod ranges;
mod report;
mod tensor_format;
#[cfg(test)]
mod tests;

pub use answer::Answer;
pub use choice::{Choice, Numbers, Range};
pub use prepared::Prepared;
pub use report::{Layer, Report};
pub use tensor_format::{Blocks, TensorFormat, no_sums};

use super::data::DataSet;
use super::evaluate::Setup;
use super::importance::flattened;
use super::model::ModelBytes;
use super::{Array, NetworkError};
use cut::Cut;
use position::SampleAxis;
use ranges::Ranges;
use rten::Value;
use rten_tensor::prelude::*;

/// Numbers of the largest value of a batch: what passes between two operators stays in a processor's cache.
const BATCH_NUMBERS: usize = 1 << 18;

/// Inputs of a network for some samples, ready to be run in any format.
#[derive(Debug)]
pub struct Batch {
    /// In the order of the graph's inputs.
    inputs: Vec<Value>,
    /// How many samples they are.
    samples: usize,
    /// The first of them in the data set.
    start: usize,
}

impl Batch {
    /// Samples in it.
    pub fn samples(&self) -> usize {
        self.samples
    }
}

/// A network prepared to be run in formats. It can be shared between threads.
#[derive(Debug)]
pub struct Emulator {
    cut: Cut,
    setup: Setup,
    /// Samples of a batch.
    batch: usize,
    /// Whether all numbers of each value are finite in float32, by what one sample says.
    is_finite: Vec<bool>,
    /// Which axis of each value counts samples.
    samples: Vec<SampleAxis>,
    /// What is known of each value's numbers, where there were samples to learn it from.
    ranges: Option<Ranges>,
}

impl Emulator {
    /// Takes a network apart and runs its first sample in float32. Answers are the output of `setup`, and `also` other values.
    pub fn new(
        files: &ModelBytes,
        setup: &Setup,
        data: &DataSet,
        also: &[String],
    ) -> Result<Self, NetworkError> {
        let graph = flattened(files, setup, data)?;
        let wanted: Vec<String> = std::iter::once(&setup.output).chain(also).cloned().collect();
        let cut = cut::cut(&graph, files, &wanted)?;
        let is_finite = vec![true; cut.values.len()];
        let samples = vec![SampleAxis::default(); cut.values.len()];
        let mut this = Self { cut, setup: setup.clone(), batch: 1, is_finite, samples, ranges: None };
        let mut is_finite = this.is_finite.clone();
        let mut most = 1;
        let mut shapes = vec![Vec::new(); this.cut.values.len()];
        let first = this.batch(data, 0..1)?;
        this.prepare(&Choice::default())?.watch(&first, &mut |at, value| {
            most = most.max(value.shape().iter().product());
            if let Some(shape) = shapes.get_mut(at) {
                *shape = value.shape().to_vec();
            }
            if let (Value::FloatTensor(tensor), Some(is_finite)) = (value, is_finite.get_mut(at)) {
                *is_finite = tensor.iter().all(|x| x.is_finite());
            }
        })?;
        this.is_finite = is_finite;
        this.batch = (BATCH_NUMBERS / most).clamp(1, setup.batch.max(1));
        if this.batch > 1 && data.samples > 1 {
            this.samples = this.sample_axes(&shapes, &this.batch(data, 0..2)?)?;
        }
        Ok(this)
    }

    /// Which axis of each value counts samples, by its shapes for one sample and for the two of a batch.
    fn sample_axes(&self, one: &[Vec<usize>], two: &Batch) -> Result<Vec<SampleAxis>, NetworkError> {
        let mut axes = self.samples.clone();
        self.prepare(&Choice::default())?.watch(two, &mut |at, value| {
            if let (Some(axis), Some(one)) = (axes.get_mut(at), one.get(at)) {
                *axis = SampleAxis::between(one, &value.shape());
            }
        })?;
        Ok(axes)
    }

    /// The inputs of the samples `range`, in one batch.
    pub fn batch(&self, data: &DataSet, range: std::ops::Range<usize>) -> Result<Batch, NetworkError> {
        let (start, samples) = (range.start, range.len());
        let mut arrays = self.setup.inputs(data, range)?;
        let mut inputs = Vec::with_capacity(self.cut.inputs);
        for name in self.cut.values.iter().take(self.cut.inputs) {
            let array: Array = arrays.remove(name).ok_or_else(|| {
                NetworkError::data(format!("input {name}"), "an array for it among the samples", "none")
            })?;
            inputs.push(array.to_value()?.into_owned());
        }
        Ok(Batch { inputs, samples, start })
    }

    /// The samples `range` in batches of the size that is fast.
    pub fn batches(&self, data: &DataSet, range: std::ops::Range<usize>) -> Result<Vec<Batch>, NetworkError> {
        let starts = range.clone().step_by(self.batch);
        starts.map(|start| self.batch(data, start..(start + self.batch).min(range.end))).collect()
    }

    /// Learns from samples how large the numbers of every value are, for formats that need to be told
    /// ([`TensorFormat::needs_range`]). These samples are not to be scored.
    pub fn calibrate(&mut self, batches: &[Batch]) -> Result<(), NetworkError> {
        let mut ranges = Ranges::new(self.cut.values.len());
        let plain = self.prepare(&Choice::default())?;
        for batch in batches {
            plain.watch(batch, &mut |at, value| {
                if let Value::FloatTensor(tensor) = value {
                    ranges.add(at, tensor.iter().copied());
                }
            })?;
        }
        self.ranges = Some(ranges);
        Ok(())
    }

    /// Rounds the constants as a choice of formats says; the result runs any number of batches.
    pub fn prepare(&self, choice: &Choice) -> Result<Prepared<'_>, NetworkError> {
        Prepared::new(self, choice)
    }

    /// Names, operators and weights of the nodes that are run, in order: what a choice may give formats of its own.
    pub fn layers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.cut.steps.iter().map(|step| (step.node.name.as_str(), step.node.operator.as_str()))
    }
}
