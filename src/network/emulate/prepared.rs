//! A network with its constants rounded, and running it.

use super::blocks::BlockRounder;
use super::constants::{self, Constants, Place};
use super::cut::{self, Input, Operand, Step};
use super::moves::{Movement, movement};
use super::position::{self, Part, Positions};
use super::products;
use super::ranges::{Ranges, rounder};
use super::report::{Layer, Report};
use super::tensor_format::{Blocks, TensorFormat};
use super::{Answer, Batch, Choice, Emulator};
use crate::network::evaluate::classes;
use crate::network::measure::Outputs;
use crate::network::{Array, NetworkError};
use crate::number_format::{Format, Rounder, Scale};
use rten::{Value, ValueOrView, ValueView};
use rten_tensor::prelude::*;

/// What a value's numbers are: of a format, with the scale of the value that they come from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Domain {
    pub(super) format: Format,
    pub(super) scale: Scale,
}

/// What is done at a node.
#[derive(Debug)]
struct Work {
    /// Where its constants are, for each of its inputs.
    places: Vec<Option<Place>>,
    /// What rounds values where the node reads them, for each of its inputs: blocks lie along what it sums over.
    readings: Vec<Option<BlockRounder>>,
    /// What rounds its outputs, which all have one format.
    outputs: Vec<Option<Rounder>>,
    /// How its sums are made, where not in float32.
    accumulator: Option<Accumulator>,
}

/// How the sums of a node are made.
#[derive(Debug)]
struct Accumulator {
    rounder: Rounder,
    /// Factors of the output's channels, and the weights over them, where every channel has a scale of its own.
    channels: Option<(Vec<f32>, Value)>,
}

/// A network with its constants rounded as a choice of formats says. It can be shared between threads.
#[derive(Debug)]
pub struct Prepared<'a> {
    emulator: &'a Emulator,
    constants: Constants,
    inputs: Vec<Option<Rounder>>,
    work: Vec<Work>,
    report: Report,
}

/// A value while the network runs.
enum Held<'a> {
    Own(Value),
    Of(&'a Value),
}

/// Hears of values before they are rounded, by their numbers.
pub(super) type Watch<'a> = dyn FnMut(usize, &Value) + 'a;

impl<'a> Prepared<'a> {
    pub(super) fn new(emulator: &'a Emulator, choice: &Choice) -> Result<Self, NetworkError> {
        let cut = &emulator.cut;
        let mut this = Self {
            emulator,
            constants: Constants::default(),
            inputs: Vec::new(),
            work: Vec::new(),
            report: Report::default(),
        };
        let mut domains: Vec<Option<Domain>> = vec![None; cut.values.len()];
        for at in 0..cut.inputs {
            let format = choice.numbers.activations.and_then(TensorFormat::single);
            let domain = this.domain(format, at, choice)?;
            this.inputs.push(domain.map(|own| rounder(own.format, own.scale)).transpose()?);
            put(&mut domains, at, domain);
            let name = cut.values.get(at).cloned().unwrap_or_default();
            this.report.layers.push(Layer { name, operator: "Input".to_owned(), ..Layer::default() });
        }
        for step in &cut.steps {
            let work = this.work(step, choice, &mut domains)?;
            this.work.push(work);
            let (name, operator) = (step.node.name.clone(), step.node.operator.clone());
            this.report.layers.push(Layer { name, operator, ..Layer::default() });
        }
        this.report.weights = std::mem::take(&mut this.constants.counts);
        Ok(this)
    }

    /// What a value is rounded to that is made anew.
    fn domain(
        &self,
        format: Option<Format>,
        at: usize,
        choice: &Choice,
    ) -> Result<Option<Domain>, NetworkError> {
        let Some(format) = format else { return Ok(None) };
        if !format.needs_scale() {
            return Ok(Some(Domain { format, scale: Scale::default() }));
        }
        let scale = self.ranges(format.into())?.scale(at, format, choice.activation_range)?;
        Ok(Some(Domain { format, scale }))
    }

    /// What is known of values, for a format that needs to be told.
    fn ranges(&self, format: TensorFormat) -> Result<&Ranges, NetworkError> {
        self.emulator.ranges.as_ref().ok_or_else(|| {
            let part = format!("the range of activations in {format}");
            NetworkError::data(part, "samples to learn it from", "none")
        })
    }

    /// What rounds a value in blocks.
    fn reading(&self, blocks: Blocks, at: usize) -> Result<BlockRounder, NetworkError> {
        let format = TensorFormat::Blocks(blocks);
        let largest = if format.needs_range() { self.ranges(format)?.largest(at) } else { 0.0 };
        BlockRounder::new(blocks, largest)
    }

    fn work(
        &mut self,
        step: &Step,
        choice: &Choice,
        domains: &mut [Option<Domain>],
    ) -> Result<Work, NetworkError> {
        let mut places = Vec::with_capacity(step.inputs.len());
        for input in &step.inputs {
            places.push(match input.operand {
                Operand::Constant(at) => {
                    let cut = &self.emulator.cut;
                    Some(self.constants.place(cut, step, input.position, at, choice)?)
                }
                Operand::Value(_) => None,
            });
        }
        let activations = choice.of(&step.node.name).activations;
        let mut readings = Vec::with_capacity(step.inputs.len());
        for input in &step.inputs {
            readings.push(match (activations.and_then(TensorFormat::blocks), input.operand) {
                (Some(blocks), Operand::Value(at)) => Some(self.reading(blocks, at)?),
                _ => None,
            });
        }
        let format = activations.and_then(TensorFormat::single);
        let kept = self.kept(step, &places, format, domains);
        let mut outputs = Vec::with_capacity(step.outputs.len());
        for at in &step.outputs {
            let domain = if kept.is_some() { kept } else { self.domain(format, *at, choice)? };
            put(domains, *at, domain);
            let own = domain.filter(|_| kept.is_none());
            outputs.push(own.map(|own| rounder(own.format, own.scale)).transpose()?);
        }
        let accumulator = self.accumulator(step, &places, choice, domains)?;
        Ok(Work { places, readings, outputs, accumulator })
    }

    /// How a node makes its sums. A format that needs a scale counts in units of the product of its operands' scales, as
    /// integer hardware does.
    fn accumulator(
        &self,
        step: &Step,
        places: &[Option<Place>],
        choice: &Choice,
        domains: &[Option<Domain>],
    ) -> Result<Option<Accumulator>, NetworkError> {
        let numbers = choice.of(&step.node.name);
        let Some(format) = numbers.accumulator else { return Ok(None) };
        let is_blocks = |format: Option<TensorFormat>| format.and_then(TensorFormat::blocks).is_some();
        if format.needs_scale() && (is_blocks(numbers.weights) || is_blocks(numbers.activations)) {
            let expected =
                "a format with a size of its own, since operands in blocks share no unit to count in";
            return Err(NetworkError::data("the accumulator", expected, format.to_string()));
        }
        let weight = |position: usize| {
            let at = step.index(position)?;
            self.constants.rounded(places.get(at).copied().flatten()?)
        };
        let rank = weight(1).map(|weight| weight.value.shape().len());
        if !products::is_product(&step.node.operator, rank) {
            return Ok(None);
        }
        let (mut scale, mut channels) = (1.0, None);
        for position in (0..2).filter(|_| format.needs_scale()) {
            let value = step.at(position).and_then(|input| match input.operand {
                Operand::Value(at) => domains.get(at).copied().flatten(),
                Operand::Constant(_) => None,
            });
            scale *= value.map_or(1.0, |domain| domain.scale.scale);
            let Some(weight) = weight(position) else { continue };
            match weight.scales.as_slice() {
                [] => {}
                [one] => scale *= one,
                several => {
                    let axis = constants::channel_axis(step, position, weight.value.shape().len());
                    channels = Some((several.to_vec(), constants::over_channels(weight, axis.unwrap_or(0))?));
                }
            }
        }
        Ok(Some(Accumulator { rounder: rounder(format, Scale { scale, ..Scale::default() })?, channels }))
    }

    /// What a node's outputs are without being rounded, where it only moves numbers that are of the right format.
    fn kept(
        &self,
        step: &Step,
        places: &[Option<Place>],
        format: Option<Format>,
        domains: &[Option<Domain>],
    ) -> Option<Domain> {
        let of = |input: &Input| match input.operand {
            Operand::Value(at) => domains.get(at).copied().flatten(),
            Operand::Constant(_) => None,
        };
        let fits = |domain: &Domain| format.is_none_or(|format| format == domain.format);
        match movement(&step.node.operator) {
            Movement::None => None,
            Movement::First => of(step.at(0)?).filter(fits),
            Movement::Several => {
                let format = format.filter(|format| !format.needs_scale())?;
                let is_kept = |(input, place): (&Input, &Option<Place>)| {
                    let is_float = |place: Place| {
                        matches!(self.constants.value(&self.emulator.cut, place), Some(Value::FloatTensor(_)))
                    };
                    match place {
                        Some(Place::Original(at)) => !is_float(Place::Original(*at)),
                        Some(Place::Rounded(_)) => true,
                        None => of(input).is_some_and(|domain| domain.format == format),
                    }
                };
                let is_kept = step.inputs.iter().zip(places).all(is_kept);
                is_kept.then_some(Domain { format, scale: Scale::default() })
            }
        }
    }

    /// Runs a batch of samples.
    pub fn run(&self, batch: &Batch) -> Result<Answer, NetworkError> {
        self.watch(batch, &mut |_, _| ())
    }

    /// Runs a batch and lets every value be looked at before it is rounded.
    pub(super) fn watch(&self, batch: &Batch, watch: &mut Watch) -> Result<Answer, NetworkError> {
        let cut = &self.emulator.cut;
        let mut report = self.report.clone();
        let mut held: Vec<Option<Held>> = (0..cut.values.len()).map(|_| None).collect();
        for (at, value) in batch.inputs.iter().enumerate() {
            watch(at, value);
            let rounded = self.inputs.get(at).and_then(Option::as_ref).map(|rounder| {
                let mut own = value.clone();
                if let Some(layer) = report.layers.get_mut(at) {
                    self.round(rounder, at, &mut own, (layer, batch.start));
                }
                own
            });
            put(&mut held, at, Some(rounded.map_or(Held::Of(value), Held::Own)));
        }
        let layers = report.layers.iter_mut().skip(cut.inputs);
        for ((step, work), layer) in cut.steps.iter().zip(&self.work).zip(layers) {
            let values = self.step(step, work, &mut held, (layer, batch.start));
            let values = values.map_err(|error| cut::of_node(error, &step.node))?;
            for (index, (at, mut value)) in step.outputs.iter().zip(values).enumerate() {
                watch(*at, &value);
                match work.outputs.get(index).and_then(Option::as_ref) {
                    Some(rounder) => self.round(rounder, *at, &mut value, (layer, batch.start)),
                    None => self.look(*at, &value, layer),
                }
                put(&mut held, *at, Some(Held::Own(value)));
            }
        }
        self.answer(batch, &held, report)
    }

    /// Runs one node.
    fn step(
        &self,
        step: &Step,
        work: &Work,
        held: &mut [Option<Held>],
        (layer, start): (&mut Layer, usize),
    ) -> Result<Vec<Value>, NetworkError> {
        let last = |input: &Input| match input.operand {
            Operand::Value(at) if input.is_last => held.get_mut(at).and_then(Option::take),
            _ => None,
        };
        let taken: Vec<Option<Held>> = step.inputs.iter().map(last).collect();
        let held = &*held;
        let mut given = Vec::with_capacity(step.inputs.len());
        for ((input, taken), place) in step.inputs.iter().zip(taken).zip(&work.places) {
            let value = match (taken, place, input.operand) {
                (Some(Held::Own(value)), ..) => Some(ValueOrView::Value(value)),
                (Some(Held::Of(value)), ..) => Some(ValueOrView::from(value)),
                (None, Some(place), _) => {
                    self.constants.value(&self.emulator.cut, *place).map(ValueOrView::from)
                }
                (None, None, Operand::Value(at)) => {
                    held.get(at).and_then(Option::as_ref).map(|held| match held {
                        Held::Own(value) => ValueOrView::from(value),
                        Held::Of(value) => ValueOrView::from(*value),
                    })
                }
                _ => None,
            };
            given.push(value.ok_or_else(|| NetworkError::Run("one of its inputs is gone".to_owned()))?);
        }
        for ((value, input), rounder) in given.iter_mut().zip(&step.inputs).zip(&work.readings) {
            let (Some(rounder), Some(position)) = (rounder, input.position) else { continue };
            if let Some(own) = rounder.operand(&step.node, position, value, layer) {
                *value = ValueOrView::Value(own);
            }
        }
        let Some(accumulator) = &work.accumulator else { return step.run(given) };
        let mut inputs: Vec<Option<ValueView>> = (0..step.node.inputs.len())
            .map(|position| step.index(position).and_then(|at| given.get(at)).map(ValueOrView::as_view))
            .collect();
        let channels = accumulator.channels.as_ref();
        if let (Some((_, weights)), Some(input)) = (channels, inputs.get_mut(1)) {
            *input = Some(weights.as_view());
        }
        let channels = channels.map_or(&[][..], |(channels, _)| channels);
        let output = step.outputs.first().copied().unwrap_or(0);
        let samples = self.emulator.samples.get(output).copied().unwrap_or_default();
        let positions = |part: Part, shape: &[usize]| {
            Positions::new(position::first(part, output), shape, samples, start)
        };
        let made = products::compute(&step.node, &inputs, (&accumulator.rounder, &positions), channels)?;
        layer.sums += made.sums;
        layer.saturated_sums += made.saturated;
        Ok(vec![made.value])
    }

    /// Rounds a value of the number `at`, in a batch that begins with sample `start`.
    fn round(&self, rounder: &Rounder, at: usize, value: &mut Value, (layer, start): (&mut Layer, usize)) {
        let Value::FloatTensor(tensor) = value else { return };
        tensor.make_contiguous();
        let samples = self.emulator.samples.get(at).copied().unwrap_or_default();
        let first = position::first(Part::Output, at);
        let positions = Positions::new(first, tensor.shape(), samples, start);
        let Some(numbers) = tensor.data_mut() else { return };
        let counts = positions.round(rounder, numbers);
        layer.count(&counts);
        // What is not finite now was not before, or was too large for a format that has infinities.
        if counts.not_finite + counts.saturated > 0 {
            self.look(at, value, layer);
        }
    }

    /// Counts numbers that are not finite, where in float32 all are.
    fn look(&self, at: usize, value: &Value, layer: &mut Layer) {
        if let Value::FloatTensor(tensor) = value
            && self.emulator.is_finite.get(at) == Some(&true)
        {
            layer.not_finite += tensor.iter().filter(|x| !x.is_finite()).count() as u64;
        }
    }

    fn answer(&self, batch: &Batch, held: &[Option<Held>], report: Report) -> Result<Answer, NetworkError> {
        let cut = &self.emulator.cut;
        let mut arrays = Vec::with_capacity(cut.wanted.len());
        for operand in &cut.wanted {
            let value = match *operand {
                Operand::Value(at) => held.get(at).and_then(Option::as_ref).map(|held| match held {
                    Held::Own(value) => value,
                    Held::Of(value) => value,
                }),
                Operand::Constant(at) => self.constants.value(cut, Place::Original(at)),
            };
            let value = value.ok_or_else(|| NetworkError::Run("its output was not made".to_owned()))?;
            arrays.push(Array::from_value(value.clone())?);
        }
        let mut arrays = arrays.into_iter();
        let output = arrays.next();
        let output = output.as_ref().and_then(Array::as_floats).ok_or_else(|| {
            NetworkError::Run("the output that is measured is no array of floats".to_owned())
        })?;
        let outputs = Outputs {
            classes: classes(output.shape(), batch.samples)?,
            values: output.iter().copied().collect(),
        };
        Ok(Answer { outputs, values: arrays.collect(), report })
    }
}

/// Puts something at a place that there is.
fn put<T>(places: &mut [T], at: usize, what: T) {
    if let Some(place) = places.get_mut(at) {
        *place = what;
    }
}
