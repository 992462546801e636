//! Constants as formats leave them: what multiplies is a weight, all other floats are rounded as activations are.

use super::blocks::{BlockRounder, Lines};
use super::choice::{Choice, Range};
use super::cut::{Cut, Step};
use super::position::{self, Part};
use super::ranges;
use super::report::Layer;
use super::tensor_format::{Blocks, TensorFormat};
use crate::formats::onnx_role_at;
use crate::network::NetworkError;
use crate::number_format::{Format, Scale};
use crate::role::Role;
use rten::Value;
use rten_tensor::prelude::*;
use std::collections::BTreeMap;

/// A constant rounded, or as it was.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// In the network, by its number there.
    Original(usize),
    /// Among the rounded ones.
    Rounded(usize),
}

/// A constant rounded.
#[derive(Debug)]
pub(super) struct Rounded {
    pub(super) value: Value,
    /// Of formats that need them: one for all numbers, or one for every channel; else none.
    pub(super) scales: Vec<f32>,
}

/// What a constant is rounded by: its number, the format, how its blocks lie or the axis of its channels, whether it is a weight.
type Key = (usize, String, Option<Lines>, Option<usize>, bool);

/// The rounded constants of a network.
#[derive(Debug, Default)]
pub(super) struct Constants {
    pub(super) rounded: Vec<Rounded>,
    /// What rounding did to the weights.
    pub(super) counts: Vec<Layer>,
    places: BTreeMap<Key, usize>,
}

/// Whether the constant at an input of a node is a weight.
pub(super) fn is_weight(step: &Step, position: usize, shape: &[usize]) -> bool {
    let shape: Vec<u64> = shape.iter().map(|extent| *extent as u64).collect();
    let is_matrix = shape.iter().filter(|extent| **extent > 1).count() >= 2;
    let position = u16::try_from(position).unwrap_or(u16::MAX);
    let (role, _) = onnx_role_at(&step.node.operator, position, &shape, is_matrix);
    role == Role::Weight && shape.len() >= 2
}

/// The axis of a weight that counts a layer's outputs; none where the outputs are no axis of it alone.
pub(super) fn channel_axis(step: &Step, position: usize, rank: usize) -> Option<usize> {
    let axis = match (step.node.operator.as_str(), position) {
        ("Conv", 1) | ("Gather", 0) => 0,
        ("Gemm", 1) => usize::from(step.node.int("transB", 0) == 0),
        ("MatMul", 1) => rank.checked_sub(1)?,
        ("LSTM" | "GRU" | "RNN", 1 | 2) => 1,
        _ => return None,
    };
    (axis < rank).then_some(axis)
}

impl Constants {
    /// Where the constant at an input of a node is, once it is rounded to what it is there.
    pub(super) fn place(
        &mut self,
        cut: &Cut,
        step: &Step,
        position: Option<usize>,
        constant: usize,
        choice: &Choice,
    ) -> Result<Place, NetworkError> {
        let original = Place::Original(constant);
        let (Some(position), Some((name, Value::FloatTensor(tensor)))) =
            (position, cut.constants.get(constant))
        else {
            return Ok(original);
        };
        let numbers = choice.of(&step.node.name);
        let is_weight = is_weight(step, position, tensor.shape());
        let Some(format) = (if is_weight { numbers.weights } else { numbers.activations }) else {
            return Ok(original);
        };
        let lines =
            format.blocks().and_then(|_| Lines::of_operand(&step.node, position, tensor.shape(), is_weight));
        if format.blocks().is_some() && lines.is_none() {
            return Ok(original);
        }
        let axis = if is_weight && choice.per_channel && format.blocks().is_none() && format.needs_range() {
            channel_axis(step, position, tensor.shape().len())
        } else {
            None
        };
        let key = (constant, format.to_string(), lines, axis, is_weight);
        if let Some(at) = self.places.get(&key) {
            return Ok(Place::Rounded(*at));
        }
        let mut values = tensor.to_vec();
        let range = if is_weight { choice.weight_range } else { Range::Largest };
        let mut counts = Layer { name: name.clone(), operator: format.to_string(), ..Layer::default() };
        let scales = if let (TensorFormat::Blocks(blocks), Some(lines)) = (format, lines) {
            in_blocks(&mut values, lines, blocks, &mut counts)?
        } else {
            let first = position::first(Part::Constant, constant);
            round((&mut values, first), tensor.shape(), axis, (format.element(), range), &mut counts)?
        };
        if is_weight {
            self.counts.push(counts);
        }
        let failed = |error: &dyn std::fmt::Display| NetworkError::Run(error.to_string());
        let value = Value::from_shape(tensor.shape(), values).map_err(|error| failed(&error))?;
        self.places.insert(key, self.rounded.len());
        self.rounded.push(Rounded { value, scales });
        Ok(Place::Rounded(self.rounded.len() - 1))
    }

    /// The numbers of a place.
    pub(super) fn value<'a>(&'a self, cut: &'a Cut, place: Place) -> Option<&'a Value> {
        match place {
            Place::Original(at) => cut.constants.get(at).map(|(_, value)| value),
            Place::Rounded(at) => self.rounded.get(at).map(|rounded| &rounded.value),
        }
    }

    /// A constant that was rounded.
    pub(super) fn rounded(&self, place: Place) -> Option<&Rounded> {
        match place {
            Place::Original(_) => None,
            Place::Rounded(at) => self.rounded.get(at),
        }
    }
}

/// Rounds a constant's numbers in blocks; no scales, which are one for every few.
fn in_blocks(
    values: &mut [f32],
    lines: Lines,
    blocks: Blocks,
    counts: &mut Layer,
) -> Result<Vec<f32>, NetworkError> {
    let largest = values.iter().filter(|x| x.is_finite()).fold(0.0f32, |most, x| most.max(x.abs()));
    BlockRounder::new(blocks, largest)?.round(values, lines).add_to(counts);
    Ok(Vec::new())
}

/// Rounds a constant's numbers, the first of which has the index `first`, those of every channel by their own scale where there
/// is an axis; the scales.
fn round(
    (values, first): (&mut [f32], u64),
    shape: &[usize],
    axis: Option<usize>,
    (format, range): (Format, Range),
    counts: &mut Layer,
) -> Result<Vec<f32>, NetworkError> {
    if !format.needs_scale() {
        counts.count(&ranges::rounder(format, Scale::default())?.round_slice(values, first));
        return Ok(Vec::new());
    }
    let channels = axis.and_then(|axis| shape.get(axis)).copied().unwrap_or(1);
    let inner: usize = axis.map_or(values.len(), |axis| shape.iter().skip(axis + 1).product());
    let outer = values.len().checked_div(channels * inner).unwrap_or(0);
    let mut scales = Vec::with_capacity(channels);
    let mut numbers = Vec::with_capacity(outer * inner);
    for channel in 0..channels {
        let run = |row: usize| (row * channels + channel) * inner..(row * channels + channel + 1) * inner;
        numbers.clear();
        (0..outer).for_each(|row| numbers.extend_from_slice(values.get(run(row)).unwrap_or_default()));
        let scale = ranges::scale_of(&numbers, format, range)?;
        counts.count(&ranges::rounder(format, scale)?.round_slice(&mut numbers, 0));
        for (row, numbers) in numbers.chunks_exact(inner.max(1)).enumerate() {
            if let Some(own) = values.get_mut(run(row)) {
                own.copy_from_slice(numbers);
            }
        }
        scales.push(scale.scale);
    }
    Ok(scales)
}

/// Numbers of a weight over the scales of their channels.
pub(super) fn over_channels(rounded: &Rounded, axis: usize) -> Result<Value, NetworkError> {
    let Value::FloatTensor(tensor) = &rounded.value else { return Ok(rounded.value.clone()) };
    let inner: usize = tensor.shape().iter().skip(axis + 1).product();
    let mut values = tensor.to_vec();
    for (at, value) in values.iter_mut().enumerate() {
        let channel = (at / inner.max(1)) % rounded.scales.len().max(1);
        *value /= rounded.scales.get(channel).copied().unwrap_or(1.0);
    }
    Value::from_shape(tensor.shape(), values).map_err(|error| NetworkError::Run(error.to_string()))
}
