//! Conv, Gemm and `MatMul` as products of matrices in an accumulator's format.
//!
//! | operator | order of a sum's terms | then |
//! |---|---|---|
//! | Conv | input channel of the group, row of the kernel, column | + bias |
//! | Gemm, `MatMul` | the common dimension | α times it, + β times C |
//!
//! What is added at the end is rounded to the accumulator's format once more. Definition: ONNX 1.16, `Operators.md`. Convolutions
//! have one or two dimensions, since the runtime has no others; other operators compute in float32.

use super::kernel::{LANES, Lanes, Product, panel_of};
use super::position::{Part, Positions};
use crate::network::NetworkError;
use crate::network::graph::Node;
use crate::number_format::Rounder;
use rten::{Value, ValueView};
use rten_tensor::prelude::*;

/// A dense array that is read.
struct Array<'a> {
    shape: Vec<usize>,
    numbers: std::borrow::Cow<'a, [f32]>,
}

/// What rounds sums, and where the numbers of an output of a shape stand.
pub(super) type Sums<'a> = (&'a Rounder, &'a dyn Fn(Part, &[usize]) -> Positions);

/// An operator's sums, and how many of them went beyond the accumulator's largest number.
pub(super) struct Summed {
    pub(super) value: Value,
    pub(super) sums: u64,
    pub(super) saturated: u64,
}

/// Whether an operator on operands of so many dimensions makes its sums in an accumulator's format.
pub(super) fn is_product(operator: &str, rank: Option<usize>) -> bool {
    match operator {
        "Conv" => rank.is_none_or(|rank| rank == 3 || rank == 4),
        "Gemm" | "MatMul" => true,
        _ => false,
    }
}

/// Computes a node whose inputs these are, in their order; `channels` are factors of the outputs' channels, which the weights
/// were divided by.
pub(super) fn compute(
    node: &Node,
    inputs: &[Option<ValueView>],
    sums: Sums,
    channels: &[f32],
) -> Result<Summed, NetworkError> {
    let array = |at: usize| inputs.get(at).and_then(Option::as_ref).map(floats).transpose();
    let (Some(a), Some(b)) = (array(0)?, array(1)?) else {
        return Err(NetworkError::Run("two operands are expected, found fewer".to_owned()));
    };
    let c = array(2)?;
    let mut made = match node.operator.as_str() {
        "Conv" => conv(node, &a, &b, sums)?,
        "Gemm" => gemm(node, &a, &b, sums)?,
        _ => matmul(&a, &b, sums)?,
    };
    finish(node, &mut made, c.as_ref(), (sums, channels));
    let Made { shape, numbers, count, saturated } = made;
    let value = Value::from_shape(&shape, numbers).map_err(|error| NetworkError::Run(error.to_string()))?;
    Ok(Summed { value, sums: count, saturated })
}

fn floats<'a>(view: &ValueView<'a>) -> Result<Array<'a>, NetworkError> {
    let ValueView::FloatTensor(tensor) = view else {
        return Err(NetworkError::Run("operands of floats are expected, found others".to_owned()));
    };
    let shape = tensor.shape().to_vec();
    let numbers = match tensor.data() {
        Some(numbers) => std::borrow::Cow::Borrowed(numbers),
        None => std::borrow::Cow::Owned(tensor.to_vec()),
    };
    Ok(Array { shape, numbers })
}

/// What is being made.
struct Made {
    shape: Vec<usize>,
    numbers: Vec<f32>,
    count: u64,
    saturated: u64,
}

impl Made {
    fn new(shape: Vec<usize>) -> Result<Self, NetworkError> {
        let len = shape.iter().try_fold(1usize, |len, extent| len.checked_mul(*extent));
        let len =
            len.ok_or_else(|| NetworkError::Run(format!("an output of shape {shape:?} is too large")))?;
        let mut numbers = Vec::new();
        let failed =
            |_| NetworkError::Run(format!("an output of shape {shape:?} is more than there is memory for"));
        numbers.try_reserve_exact(len).map_err(failed)?;
        numbers.resize(len, 0.0);
        Ok(Self { shape, numbers, count: len as u64, saturated: 0 })
    }

    /// Makes a product of `rows` whose sums lie from `start` on, `width` to a row.
    fn product(
        &mut self,
        (rows, depth): (&[f32], usize),
        panel: &mut dyn FnMut(usize, &mut Vec<Lanes>),
        (start, width): (usize, usize),
        (rounder, positions): Sums,
    ) {
        let positions = positions(Part::Sums, &self.shape);
        let numbers = &mut self.numbers;
        let product = Product {
            rows,
            depth,
            columns: width,
            panel,
            take: &mut |row, column, sums| {
                let at = start + row * width + column;
                if let Some(slots) = numbers.get_mut(at..at + sums.len()) {
                    slots.copy_from_slice(sums);
                }
            },
            first: &|row| positions.at(start + row * width, 2 * depth as u64),
        };
        self.saturated += product.make(rounder);
    }
}

/// Factor and addend at the end: α·sum + β·c, times the channels' factors.
fn finish(node: &Node, made: &mut Made, c: Option<&Array>, (sums, channels): (Sums, &[f32])) {
    let is_gemm = node.operator == "Gemm";
    let (alpha, beta) =
        if is_gemm { (node.float("alpha", 1.0), node.float("beta", 1.0)) } else { (1.0, 1.0) };
    // The axis of channels: the last of a matrix, the second of a picture.
    let is_conv = node.operator == "Conv";
    let inner: usize = if is_conv { made.shape.iter().skip(2).product() } else { 1 };
    let extent = if is_conv { made.shape.get(1) } else { made.shape.last() };
    let (inner, extent) = (inner.max(1), extent.copied().unwrap_or(1).max(1));
    let channel = |at: usize| (at / inner) % extent;
    let factor = |at: usize| channels.get(channel(at)).copied().unwrap_or(1.0);
    let addend = c.map(|c| addend(c, is_conv, &channel, made.shape.last().copied().unwrap_or(1)));
    if addend.is_some() || alpha != 1.0 {
        for (at, sum) in made.numbers.iter_mut().enumerate() {
            let more = addend.as_ref().map_or(0.0, |addend| beta * addend(at) / factor(at));
            *sum = alpha * *sum + more;
        }
        let (rounder, positions) = sums;
        positions(Part::Addend, &made.shape).round(rounder, &mut made.numbers);
    }
    if !channels.is_empty() {
        made.numbers.iter_mut().enumerate().for_each(|(at, sum)| *sum *= factor(at));
    }
}

/// What is added to the sum of each place: a number for each channel, or a matrix that is repeated where it has one row or
/// column.
fn addend<'a>(
    c: &'a Array,
    is_conv: bool,
    channel: &'a impl Fn(usize) -> usize,
    columns: usize,
) -> impl Fn(usize) -> f32 + 'a {
    let (rows, width) = match *c.shape.as_slice() {
        [.., rows, width] => (rows.max(1), width.max(1)),
        [width] => (1, width.max(1)),
        [] => (1, 1),
    };
    move |at| {
        let place = if is_conv {
            channel(at)
        } else {
            let (row, column) = (at / columns.max(1), at % columns.max(1));
            (if rows == 1 { 0 } else { row * width }) + if width == 1 { 0 } else { column }
        };
        c.numbers.get(place).copied().unwrap_or(0.0)
    }
}

fn transposed(matrix: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    let column = |at: usize| matrix.iter().skip(at).step_by(columns.max(1)).copied().take(rows);
    (0..columns).flat_map(column).collect()
}

fn gemm(node: &Node, a: &Array, b: &Array, sums: Sums) -> Result<Made, NetworkError> {
    let (&[ar, ac], &[br, bc]) = (a.shape.as_slice(), b.shape.as_slice()) else {
        return Err(NetworkError::Run(format!(
            "two matrices are expected, found {:?} and {:?}",
            a.shape, b.shape
        )));
    };
    let (turn_a, turn_b) = (node.int("transA", 0) != 0, node.int("transB", 0) != 0);
    let turned_a = turn_a.then(|| transposed(&a.numbers, ar, ac));
    let turned_b = turn_b.then(|| transposed(&b.numbers, br, bc));
    let (m, k) = if turn_a { (ac, ar) } else { (ar, ac) };
    let (l, n) = if turn_b { (bc, br) } else { (br, bc) };
    same(k, l)?;
    let mut made = Made::new(vec![m, n])?;
    let right = turned_b.as_deref().unwrap_or(&b.numbers);
    let left = turned_a.as_deref().unwrap_or(&a.numbers);
    made.product((left, k), &mut |index, panel| panel_of(right, n, index, panel), (0, n), sums);
    Ok(made)
}

fn same(k: usize, l: usize) -> Result<(), NetworkError> {
    if k == l {
        return Ok(());
    }
    Err(NetworkError::Run(format!("sums of as many terms on either side are expected, found {k} and {l}")))
}

fn matmul(a: &Array, b: &Array, sums: Sums) -> Result<Made, NetworkError> {
    let (a_batch, m, k) = match a.shape.as_slice() {
        [batch @ .., m, k] => (batch, *m, *k),
        [k] => (&[][..], 1, *k),
        [] => return Err(NetworkError::Run("a matrix is expected, found a single number".to_owned())),
    };
    let (b_batch, l, n) = match b.shape.as_slice() {
        [batch @ .., l, n] => (batch, *l, *n),
        [l] => (&[][..], *l, 1),
        [] => {
            return Err(NetworkError::Run(
                "a matrix on the right is expected, found a single number".to_owned(),
            ));
        }
    };
    same(k, l)?;
    let batch = broadcast(a_batch, b_batch)?;
    let mut shape = batch.clone();
    shape.extend((a.shape.len() > 1).then_some(m));
    shape.extend((b.shape.len() > 1).then_some(n));
    let mut made = Made::new(shape)?;
    if b_batch.iter().product::<usize>() == 1 {
        // One matrix on the right: all rows on the left are one matrix.
        made.product(
            (&a.numbers, k),
            &mut |index, panel| panel_of(&b.numbers, n, index, panel),
            (0, n),
            sums,
        );
        return Ok(made);
    }
    for index in 0..batch.iter().product() {
        let (at, bt) = (place(index, &batch, a_batch) * m * k, place(index, &batch, b_batch) * k * n);
        let left = a.numbers.get(at..at + m * k).unwrap_or_default();
        let right = b.numbers.get(bt..bt + k * n).unwrap_or_default();
        let panel = &mut |index: usize, panel: &mut Vec<Lanes>| panel_of(right, n, index, panel);
        made.product((left, k), panel, (index * m * n, n), sums);
    }
    Ok(made)
}

/// The shape that two shapes are repeated to.
fn broadcast(a: &[usize], b: &[usize]) -> Result<Vec<usize>, NetworkError> {
    let rank = a.len().max(b.len());
    let extent = |shape: &[usize], at: usize| {
        (at + shape.len()).checked_sub(rank).and_then(|at| shape.get(at)).copied().unwrap_or(1)
    };
    let pair = |at| match (extent(a, at), extent(b, at)) {
        (1, other) | (other, 1) => Ok(other),
        (one, other) if one == other => Ok(one),
        _ => Err(NetworkError::Run(format!("shapes that fit are expected, found {a:?} and {b:?}"))),
    };
    (0..rank).map(pair).collect()
}

/// Which matrix of a stack of `own` shape belongs to number `index` of a stack of shape `all`.
fn place(mut index: usize, all: &[usize], own: &[usize]) -> usize {
    let (mut place, mut stride) = (0, 1);
    let skipped = all.len() - own.len().min(all.len());
    for (at, extent) in all.iter().enumerate().rev() {
        let coordinate = index % extent.max(&1);
        index /= extent.max(&1);
        let Some(own) = at.checked_sub(skipped).and_then(|at| own.get(at)) else { continue };
        place += if *own == 1 { 0 } else { coordinate * stride };
        stride *= own;
    }
    place
}

/// One dimension of a window.
#[derive(Debug, Clone, Copy)]
struct Window {
    input: usize,
    kernel: usize,
    stride: usize,
    dilation: usize,
    before: usize,
    output: usize,
}

impl Window {
    /// Dimension `at` of `rank`, as a node's attributes have it.
    fn new(
        node: &Node,
        (at, rank): (usize, usize),
        input: usize,
        kernel: usize,
    ) -> Result<Self, NetworkError> {
        let list = |name: &str, at: usize, default: i64| {
            node.ints(name).and_then(|ints| ints.get(at)).copied().unwrap_or(default)
        };
        let positive = |x: i64| usize::try_from(x).ok().filter(|x| (1..1 << 24).contains(x));
        let pad = |x: i64| usize::try_from(x).ok().filter(|x| *x < 1 << 24);
        let all = (
            positive(list("strides", at, 1)),
            positive(list("dilations", at, 1)),
            pad(list("pads", at, 0)),
            pad(list("pads", at + rank, 0)),
        );
        let (Some(stride), Some(dilation), Some(mut before), Some(mut after)) = all else {
            return Err(NetworkError::Run(
                "strides, dilations and pads of a window are expected, found none that can be".to_owned(),
            ));
        };
        let reach = kernel.saturating_sub(1).saturating_mul(dilation).saturating_add(1);
        let auto = node.text("auto_pad");
        if auto.starts_with("SAME") {
            let missing = (input.div_ceil(stride).max(1) - 1)
                .saturating_mul(stride)
                .saturating_add(reach)
                .saturating_sub(input);
            before = if auto == "SAME_LOWER" { missing - missing / 2 } else { missing / 2 };
            after = missing - before;
        } else if auto == "VALID" {
            (before, after) = (0, 0);
        }
        let whole = input.saturating_add(before).saturating_add(after);
        let output = whole.checked_sub(reach).map_or(0, |rest| rest / stride + 1);
        Ok(Self { input, kernel, stride, dilation, before, output })
    }

    /// Where an output's window has its element `tap`, if that is inside the input.
    fn at(self, output: usize, tap: usize) -> Option<usize> {
        (output * self.stride + tap * self.dilation).checked_sub(self.before).filter(|at| *at < self.input)
    }
}

fn conv(node: &Node, x: &Array, w: &Array, sums: Sums) -> Result<Made, NetworkError> {
    let wrong =
        || NetworkError::Run(format!("a kernel that fits is expected, found {:?} on {:?}", w.shape, x.shape));
    let (batch, channels, height, width) = match *x.shape.as_slice() {
        [n, c, h, w] => (n, c, h, w),
        [n, c, w] => (n, c, 1, w),
        _ => return Err(wrong()),
    };
    let (outputs, inputs, kernel_height, kernel_width) = match *w.shape.as_slice() {
        [o, i, h, w] if x.shape.len() == 4 => (o, i, h, w),
        [o, i, w] if x.shape.len() == 3 => (o, i, 1, w),
        _ => return Err(wrong()),
    };
    let groups = usize::try_from(node.int("group", 1)).ok().filter(|groups| *groups > 0).ok_or_else(wrong)?;
    if inputs * groups != channels || outputs % groups != 0 {
        return Err(wrong());
    }
    let is_flat = x.shape.len() == 3;
    let across = Window::new(node, if is_flat { (0, 1) } else { (1, 2) }, width, kernel_width)?;
    let none = Window { input: 1, kernel: 1, stride: 1, dilation: 1, before: 0, output: 1 };
    let down = if is_flat { none } else { Window::new(node, (0, 2), height, kernel_height)? };
    let mut shape = vec![batch, outputs];
    shape.extend((!is_flat).then_some(down.output));
    shape.push(across.output);
    let mut made = Made::new(shape)?;
    let (pixels, plane, rows) = (down.output * across.output, height * width, outputs / groups);
    let depth = inputs * down.kernel * across.kernel;
    for image in 0..batch {
        for group in 0..groups {
            let from = (image * channels + group * inputs) * plane;
            let own = x.numbers.get(from..from + inputs * plane).unwrap_or_default();
            let kernels = w.numbers.get(group * rows * depth..(group + 1) * rows * depth).unwrap_or_default();
            let start = (image * outputs + group * rows) * pixels;
            let windows = (down, across);
            made.product(
                (kernels, depth),
                &mut |index, panel| patches(own, windows, index, panel),
                (start, pixels),
                sums,
            );
        }
    }
    Ok(made)
}

/// The numbers under the windows of pixels `8·index …`: a column for each pixel, zeros outside of the picture.
fn patches(planes: &[f32], (down, across): (Window, Window), index: usize, panel: &mut Vec<Lanes>) {
    panel.clear();
    let first = index * LANES;
    let width = across.output.max(1);
    let pixels: [(usize, usize); LANES] =
        std::array::from_fn(|lane| ((first + lane) / width, (first + lane) % width));
    for plane in planes.chunks_exact((down.input * across.input).max(1)) {
        for row in 0..down.kernel {
            let rows = pixels.map(|(y, _)| if y < down.output { down.at(y, row) } else { None });
            for column in 0..across.kernel {
                let mut lanes = [0.0; LANES];
                for ((lane, row), (_, x)) in lanes.iter_mut().zip(rows).zip(pixels) {
                    if let (Some(row), Some(at)) = (row, across.at(x, column)) {
                        *lane = plane.get(row * across.input + at).copied().unwrap_or(0.0);
                    }
                }
                panel.push(lanes);
            }
        }
    }
}
