//! The vectors themselves: which there are in a value, and their numbers.

use super::sites::{Vectors, Window};
use ndarray::ArrayD;

/// The vectors in one value.
#[derive(Debug)]
pub(super) struct Rows<'a> {
    values: &'a [f32],
    shape: &'a [usize],
    lie: Lie,
    /// Numbers of a vector.
    pub inputs: usize,
    /// Vectors of each group.
    pub count: usize,
    /// Groups, each with vectors of its own.
    pub groups: usize,
}

#[derive(Debug)]
enum Lie {
    /// So many elements apart.
    Along { apart: usize },
    /// Patches, at positions of these extents with so many zeros in front.
    Patches { window: Window, positions: Vec<usize>, front: Vec<usize> },
    /// So many pixels.
    Channels { pixels: usize },
    /// States of so many samples and directions.
    States { reversed: Vec<bool>, samples: usize },
}

impl<'a> Rows<'a> {
    /// The vectors of `array`; nothing where it has none that lie so.
    pub fn new(array: &'a ArrayD<f32>, vectors: &Vectors) -> Option<Self> {
        let (values, shape) = (array.as_slice()?, array.shape());
        let product = |extents: &[usize]| extents.iter().product::<usize>();
        let made = |lie: Lie, inputs: usize, count: usize, groups: usize| {
            let is_some = inputs > 0 && count > 0 && groups > 0;
            is_some.then_some(Self { values, shape, lie, inputs, count, groups })
        };
        match vectors {
            Vectors::Along(from_last) => {
                let axis = shape.len().checked_sub(1 + from_last)?;
                let inputs = *shape.get(axis)?;
                let apart = product(shape.get(axis + 1..)?);
                made(Lie::Along { apart }, inputs, values.len().checked_div(inputs)?, 1)
            }
            Vectors::Patches(window) => {
                let (channels, extents) = (*shape.get(1)?, shape.get(2..)?);
                if extents.len() != window.kernel.len() {
                    return None;
                }
                let (positions, front) = window.positions(extents)?;
                let inputs = channels.checked_div(window.groups)? * product(&window.kernel);
                let count = shape.first()? * product(&positions);
                let lie = Lie::Patches { window: window.clone(), positions, front };
                made(lie, inputs, count, window.groups)
            }
            Vectors::Channels { groups } => {
                let pixels = product(shape.get(2..)?);
                let inputs = shape.get(1)?.checked_div(*groups)?;
                made(Lie::Channels { pixels }, inputs, shape.first()? * pixels, *groups)
            }
            Vectors::States { reversed } => {
                let [steps, directions, samples, units] = *shape else { return None };
                let lie = Lie::States { reversed: reversed.clone(), samples };
                let is_whole = directions == reversed.len();
                // The first step's state before it is zero, and adds nothing.
                is_whole.then(|| made(lie, units, steps.saturating_sub(1) * samples, directions))?
            }
        }
    }

    /// Whether another value has as many vectors of as many numbers.
    pub fn is_like(&self, other: &Self) -> bool {
        (self.inputs, self.count, self.groups) == (other.inputs, other.count, other.groups)
    }

    /// Appends the numbers of vector `row` of a group, `apart` elements from one to the next, into `columns`.
    pub fn read(&self, group: usize, row: usize, columns: &mut [f32], apart: usize) {
        let mut put = |input: usize, x: f32| {
            if let Some(slot) = columns.get_mut(input * apart) {
                *slot = x;
            }
        };
        let value = |at: usize| self.values.get(at).copied().unwrap_or(0.0);
        match &self.lie {
            Lie::Along { apart } => {
                let start = row / apart * apart * self.inputs + row % apart;
                (0..self.inputs).for_each(|i| put(i, value(start + i * apart)));
            }
            Lie::Channels { pixels } => {
                let channels = self.inputs * self.groups;
                let start = (row / pixels * channels + group * self.inputs) * pixels + row % pixels;
                (0..self.inputs).for_each(|i| put(i, value(start + i * pixels)));
            }
            Lie::States { reversed, samples } => {
                let (step, sample) = (row / samples, row % samples);
                // What stands behind a step is the state before the next one in its direction.
                let time = step + usize::from(reversed.get(group).copied().unwrap_or(false));
                let start = ((time * self.groups + group) * samples + sample) * self.inputs;
                (0..self.inputs).for_each(|i| put(i, value(start + i)));
            }
            Lie::Patches { window, positions, front } => {
                self.read_patch((window, positions, front), group, row, &mut put);
            }
        }
    }

    fn read_patch(
        &self,
        (window, positions, front): (&Window, &[usize], &[usize]),
        group: usize,
        row: usize,
        put: &mut dyn FnMut(usize, f32),
    ) {
        let per_sample: usize = positions.iter().product();
        let extents = self.shape.get(2..).unwrap_or_default();
        let taps: usize = window.kernel.iter().product();
        let pixels: usize = extents.iter().product();
        let first_channel = row / per_sample * (self.inputs / taps.max(1) * self.groups)
            + group * (self.inputs / taps.max(1));
        for input in 0..self.inputs {
            let (channel, mut tap, mut place) =
                (first_channel + input / taps, input % taps, row % per_sample);
            let (mut at, mut stride, mut is_inside) = (0, 1, true);
            for axis in (0..extents.len()).rev() {
                let offset = tap % window.kernel[axis] * window.dilations[axis];
                let x = place % positions[axis] * window.strides[axis] + offset;
                tap /= window.kernel[axis];
                place /= positions[axis];
                is_inside &= x >= front[axis] && x - front[axis] < extents[axis];
                at += x.saturating_sub(front[axis]) * stride;
                stride *= extents[axis];
            }
            let found = if is_inside { self.values.get(channel * pixels + at).copied() } else { None };
            put(input, found.unwrap_or(0.0));
        }
    }
}

impl Window {
    /// Positions in every dimension of an input of these extents, and zeros in front of it.
    fn positions(&self, extents: &[usize]) -> Option<(Vec<usize>, Vec<usize>)> {
        let rank = extents.len();
        let (mut positions, mut front) = (Vec::new(), Vec::new());
        for (axis, extent) in extents.iter().enumerate() {
            let stride = *self.strides.get(axis)?;
            let reach = self.dilations.get(axis)? * self.kernel.get(axis)?.checked_sub(1)? + 1;
            let (before, after) = match self.auto_pad.as_str() {
                "SAME_UPPER" | "SAME_LOWER" => {
                    let all = ((extent.div_ceil(stride).max(1) - 1) * stride + reach).saturating_sub(*extent);
                    let less = all / 2;
                    if self.auto_pad == "SAME_UPPER" { (less, all - less) } else { (all - less, less) }
                }
                "VALID" => (0, 0),
                _ => (*self.pads.get(axis)?, *self.pads.get(rank + axis)?),
            };
            positions.push((extent + before + after).checked_sub(reach)? / stride + 1);
            front.push(before);
        }
        Some((positions, front))
    }
}
