//! Rounding in blocks: numbers beside each other along one axis share a scale.
//!
//! A block's scale is the one that the method `scaled` stores for its largest magnitude ([`ScaleType::of_largest`]), and every
//! number becomes the format's value nearest to it over the scale, times the scale, so that weights are those of a file. Blocks
//! begin at the start of the axis; what is left at its end is a shorter block, which has a scale of its own.
//!
//! Cost: two passes over the numbers.

use super::report::Layer;
use super::tensor_format::Blocks;
use crate::code::scaled::MOST_IN_BLOCK;
use crate::network::NetworkError;
use crate::network::graph::Node;
use crate::number_format::{Counts, Format, Round, Rounder, Scale, Visitor};
use rten::{Value, ValueOrView, ValueView};
use rten_tensor::prelude::*;

/// The share of the largest value by which a number may exceed it without counting as saturated: what rounding a scale to its
/// type leaves, but of powers of two and FP8.
const SLACK: f32 = 1.0 / 256.0;

/// How numbers lie that are summed over: so many runs, of so many numbers each, of which one follows the other so many places on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Lines {
    runs: usize,
    length: usize,
    stride: usize,
}

impl Lines {
    /// Along an axis of a shape; `None` where it has no such axis.
    fn along(shape: &[usize], axis: usize) -> Option<Self> {
        let length = *shape.get(axis)?;
        let extent = |shape: Option<&[usize]>| shape.unwrap_or_default().iter().product();
        Some(Self { runs: extent(shape.get(..axis)), length, stride: extent(shape.get(axis + 1..)) })
    }

    /// Along all axes from one on, as one.
    fn from(shape: &[usize], axis: usize) -> Option<Self> {
        let (runs, line) = shape.split_at_checked(axis)?;
        Some(Self { runs: runs.iter().product(), length: line.iter().product(), stride: 1 })
    }

    /// Those of an operand of a node that sums products: the axis that is summed over. `None` of an operand of no sum.
    ///
    /// | operator | operand | blocks lie along |
    /// |---|---|---|
    /// | Conv | input; kernel | the channels; channels, rows and columns of a kernel |
    /// | `ConvTranspose` | input, kernel | the input's channels |
    /// | Gemm, `MatMul` | both | the common dimension |
    /// | LSTM, GRU, RNN | input, matrix, recurrent matrix | the last axis |
    /// | Gather | a matrix of weights | the last axis |
    /// | any other that multiplies weights | weights | the last axis |
    pub(super) fn of_operand(node: &Node, position: usize, shape: &[usize], is_weight: bool) -> Option<Self> {
        let rank = shape.len();
        let last = rank.checked_sub(1);
        let turned = |name: &str| node.int(name, 0) != 0;
        let axis = match (node.operator.as_str(), position) {
            ("Conv", 1) => return Self::from(shape, 1),
            ("Conv" | "ConvTranspose", 0) => Some(1),
            ("ConvTranspose", 1) => Some(0),
            ("Gemm", 0) => Some(usize::from(!turned("transA"))),
            ("Gemm", 1) => Some(usize::from(turned("transB"))),
            ("MatMul", 1) if rank > 1 => rank.checked_sub(2),
            ("MatMul", 0 | 1) | ("LSTM" | "GRU" | "RNN", 0..=2) => last,
            _ => last.filter(|_| is_weight),
        };
        Self::along(shape, axis?)
    }
}

/// Blocks ready to round numbers.
#[derive(Debug, Clone)]
pub(super) struct BlockRounder {
    rounder: Rounder,
    blocks: Blocks,
    /// The value that a block's largest magnitude becomes, and whether scales take its sign.
    extreme: f32,
    is_signed: bool,
    /// What all scales are multiplied by.
    factor: f32,
}

/// What rounding in blocks did.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct BlockCounts {
    numbers: Counts,
    /// Blocks, each with its scale.
    blocks: u64,
    /// Places of the last blocks of lines behind the lines' ends.
    padding: u64,
}

impl BlockCounts {
    /// Adds them to those of a node or a weight.
    pub(super) fn add_to(&self, layer: &mut Layer) {
        layer.count(&self.numbers);
        layer.blocks += self.blocks;
        layer.padding += self.padding;
    }
}

impl BlockRounder {
    /// Of a tensor whose largest magnitude is `largest`, which counts where scales have a factor.
    pub(super) fn new(blocks: Blocks, largest: f32) -> Result<Self, NetworkError> {
        // What is beyond the largest value becomes it, also where the format by itself has infinities.
        let format = match blocks.format {
            Format::Float(float) => {
                Format::Float(crate::number_format::float::Float { overflows: false, ..float })
            }
            other => other,
        };
        let wrong = |error: String| NetworkError::data(format!("format {format}"), "blocks of it", error);
        let rounder = format.rounder(Scale::default()).map_err(|error| wrong(error.to_string()))?;
        let code = blocks.code().ok_or_else(|| wrong("none".to_owned()))?.of_tensor(largest);
        let (extreme, is_signed, factor) = (code.extreme(), code.is_signed(), code.factor());
        let extreme = if is_signed { extreme } else { extreme.abs() };
        Ok(Self { rounder, blocks, extreme, is_signed, factor })
    }

    /// Rounds numbers that lie so.
    pub(super) fn round(&self, numbers: &mut [f32], lines: Lines) -> BlockCounts {
        self.rounder.visit(Pass { own: self, numbers, lines })
    }

    /// An operand of a node rounded, where it is one of a sum.
    pub(super) fn operand(
        &self,
        node: &Node,
        position: usize,
        value: &ValueOrView,
        layer: &mut Layer,
    ) -> Option<Value> {
        let ValueView::FloatTensor(view) = value.as_view() else { return None };
        let lines = Lines::of_operand(node, position, view.shape(), false)?;
        let mut numbers = view.to_vec();
        self.round(&mut numbers, lines).add_to(layer);
        Value::from_shape(view.shape(), numbers).ok()
    }

    /// The scale of a block whose largest number is this; 0 where the block becomes zeros.
    fn scale(&self, largest: f32) -> f32 {
        let largest = if self.is_signed { largest } else { largest.abs() };
        self.blocks.scale.of_largest(largest / self.factor, self.extreme) * self.factor
    }
}

/// A pass over numbers, compiled for each kind of format.
struct Pass<'a> {
    own: &'a BlockRounder,
    numbers: &'a mut [f32],
    lines: Lines,
}

impl Visitor for Pass<'_> {
    type Output = BlockCounts;

    fn visit<R: Round>(self, round: &R) -> BlockCounts {
        let Lines { length, stride, .. } = self.lines;
        let len = self.own.blocks.len as usize;
        let mut counts = BlockCounts::default();
        if length == 0 || stride == 0 {
            return counts;
        }
        counts.numbers.of = self.numbers.len() as u64;
        let mut scales = vec![0.0f32; stride];
        for run in self.numbers.chunks_mut(length * stride) {
            for block in run.chunks_mut(len.saturating_mul(stride)) {
                if stride == 1 {
                    let largest = block.iter().fold(0.0, |most, x| further(most, *x));
                    rounded(round, block, self.own.scale(largest), &mut counts.numbers);
                } else {
                    scales.fill(0.0);
                    for row in block.chunks_exact(stride) {
                        scales.iter_mut().zip(row).for_each(|(most, x)| *most = further(*most, *x));
                    }
                    for scale in &mut scales {
                        *scale = self.own.scale(*scale);
                    }
                    for row in block.chunks_exact_mut(stride) {
                        for (x, scale) in row.chunks_exact_mut(1).zip(&scales) {
                            rounded(round, x, *scale, &mut counts.numbers);
                        }
                    }
                }
                counts.blocks += stride as u64;
            }
            // Blocks of whole lines are as long as these.
            let whole = if len == MOST_IN_BLOCK as usize { length } else { length.next_multiple_of(len) };
            counts.padding += ((whole - length) * stride) as u64;
        }
        counts
    }
}

/// The one of two numbers that is further from zero, of finite ones.
fn further(most: f32, x: f32) -> f32 {
    if x.abs() > most.abs() && x.is_finite() { x } else { most }
}

/// Rounds numbers that share a scale.
#[inline]
fn rounded<R: Round>(round: &R, numbers: &mut [f32], scale: f32, counts: &mut Counts) {
    let largest = round.largest() * scale.abs() * (1.0 + SLACK);
    for x in numbers {
        let size = x.abs();
        let is_finite = size < f32::INFINITY;
        let own = if scale == 0.0 {
            if x.is_nan() { *x } else { 0.0 }
        } else {
            let product = round.round(*x / scale, 0) * scale;
            if product.is_nan() { product } else { product.clamp(f32::MIN, f32::MAX) }
        };
        counts.saturated += u64::from(is_finite && scale != 0.0 && size > largest);
        counts.underflowed += u64::from(size > 0.0 && own == 0.0);
        counts.not_finite += u64::from(!is_finite);
        counts.largest = if is_finite { counts.largest.max(size) } else { counts.largest };
        *x = own;
    }
}

#[cfg(test)]
mod tests {
    use super::super::TensorFormat;
    use super::*;
    use crate::code::{Code, Fit, ScaledCode};
    use crate::compensation::ErrorCosts;
    use crate::entropy::Rows;
    use crate::network::testing::numbers;

    fn blocks(name: &str) -> Blocks {
        TensorFormat::parse(name).unwrap().blocks().unwrap()
    }

    fn rounder(name: &str, largest: f32) -> BlockRounder {
        BlockRounder::new(blocks(name), largest).unwrap()
    }

    /// What a file has of rows of numbers by the method `scaled`.
    fn stored(name: &str, values: &[f32], row: usize) -> Vec<f32> {
        let largest = values.iter().fold(0.0f32, |most, x| most.max(x.abs()));
        let code = ScaledCode::new(blocks(name).code().unwrap().of_tensor(largest), Fit::Largest).unwrap();
        let code = Code::Scaled(code);
        let rows = Rows { length: row, ..Rows::default() };
        let (mut symbols, mut found) = (Vec::new(), Vec::new());
        let assigned = code.assign(values, ErrorCosts::default(), rows, None, &mut symbols).unwrap();
        code.extend_values(&symbols, assigned.scales(rows), &mut found);
        found
    }

    #[test]
    fn weights_become_what_a_file_has_of_them() {
        let values: Vec<f32> =
            numbers(7 * 83, 3).iter().zip(0..).map(|(x, at)| x * x * x * [1.0, 1e-3, 40.0][at % 3]).collect();
        let largest = values.iter().fold(0.0f32, |most, x| most.max(x.abs()));
        for name in [
            "int4-g32",
            "int2-g16",
            "int8-g256",
            "int4:full-g32",
            "mxfp4",
            "mxfp8-e5m2",
            "mxfp8-e4m3",
            "mxfp6-e2m3",
            "mxint8",
            "nvfp4",
            "nf4-g64",
            "posit8-g32",
            "int8-channel",
            "m3e3-g10-bf16",
            "iq4nl-g32",
            "int5-g7-f32",
        ] {
            let mut own = values.clone();
            rounder(name, largest).round(&mut own, Lines::from(&[7, 83], 1).unwrap());
            assert_eq!(own, stored(name, &values, 83), "{name}");
        }
    }

    #[test]
    fn blocks_lie_along_any_axis() {
        let rounder = rounder("int4-g3-f32", 1.0);
        let (a, b, c) = (3, 7, 5);
        let values = numbers(a * b * c, 8);
        let mut own = values.clone();
        let counts = rounder.round(&mut own, Lines::along(&[a, b, c], 1).unwrap());
        for i in 0..a {
            for k in 0..c {
                let place = |j: usize| (i * b + j) * c + k;
                let line: Vec<f32> = (0..b).map(|j| values[place(j)]).collect();
                let expected = stored("int4-g3-f32", &line, b);
                assert_eq!((0..b).map(|j| own[place(j)]).collect::<Vec<_>>(), expected);
            }
        }
        // Seven numbers are blocks of 3, 3 and 1, which lacks 2.
        assert_eq!((counts.numbers.of, counts.blocks, counts.padding), (105, 3 * 3 * 5, 2 * 3 * 5));
    }

    #[test]
    fn blocks_longer_than_a_line_end_with_it() {
        let mut values = [1.0, 0.3, -7.0, 0.0, 0.0, 0.0];
        let counts = rounder("int4-g32-f32", 1.0).round(&mut values, Lines::from(&[2, 3], 1).unwrap());
        assert_eq!(values, [1.0, 0.0, -7.0, 0.0, 0.0, 0.0]);
        assert_eq!((counts.blocks, counts.padding, counts.numbers.underflowed), (2, 2 * 29, 1));
        let of_rows = rounder("int8-channel", 1.0).round(&mut values, Lines::from(&[2, 3], 1).unwrap());
        assert_eq!((of_rows.blocks, of_rows.padding), (2, 0));
        let none = rounder("int4-g32", 1.0).round(&mut [], Lines::from(&[2, 0], 1).unwrap());
        assert_eq!(none, BlockCounts::default());
    }

    #[test]
    fn scales_that_cut_or_are_too_small_are_counted_and_what_is_not_finite_stays() {
        // A power of two for a largest number of 7.9 reaches 6.
        let mut values = [7.9, 1.0, f32::NAN, f32::INFINITY];
        let counts = rounder("mxfp4", 1.0).round(&mut values, Lines::from(&[4], 0).unwrap());
        assert_eq!((values[0], values[1], values[3]), (6.0, 1.0, 6.0));
        assert!(values[2].is_nan());
        assert_eq!((counts.numbers.saturated, counts.numbers.not_finite), (1, 2));
        // A float16 has no scale below 2^-24.
        let mut values = [1e-9, -2e-9];
        let counts = rounder("int8-g32", 1.0).round(&mut values, Lines::from(&[2], 0).unwrap());
        assert_eq!((values, counts.numbers.underflowed), ([0.0, 0.0], 2));
        let mut values = [0.1, 0.7, -0.99];
        let counts = rounder("int4-g32", 1.0).round(&mut values, Lines::from(&[3], 0).unwrap());
        assert_eq!(counts.numbers.saturated, 0, "the float16 nearest to a seventh of 0.99 is no limit");
    }
}
