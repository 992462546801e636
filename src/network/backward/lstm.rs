//! `LSTM`, unrolled: gates are computed anew, then walked back step by step.
//!
//! ONNX's definition with its default activations: i, o, f = σ(…), c̃ = tanh(…), c = f c₋₁ + i c̃, h = o tanh c; gates in the
//! order i, o, f, c̃; directions forward, reverse and both.

use super::{Floats, Pair, Power, Step, unsupported};
use crate::network::NetworkError;
use libm::{expf, tanhf};
use ndarray::{Array2, ArrayView2, Axis, IxDyn, s};

type Matrix = Array2<f32>;

/// Derivatives of one matrix, as a pair.
#[derive(Clone, Default)]
struct Two {
    gradient: Option<Matrix>,
    curvature: Option<Matrix>,
}

impl Two {
    fn add(&mut self, other: Self) {
        let sum = |a: &mut Option<Matrix>, b: Option<Matrix>| match (a.as_mut(), b) {
            (Some(a), Some(b)) => *a += &b,
            (None, b) => *a = b,
            _ => {}
        };
        sum(&mut self.gradient, other.gradient);
        sum(&mut self.curvature, other.curvature);
    }

    fn map(&self, mut f: impl FnMut(&Matrix, Power) -> Matrix) -> Self {
        Self {
            gradient: self.gradient.as_ref().map(|g| f(g, Power::One)),
            curvature: self.curvature.as_ref().map(|h| f(h, Power::Two)),
        }
    }

    /// Through y = f(x) with f′ = `slope` and f″ = `bend`.
    fn bend(&self, slope: &Matrix, bend: &Matrix, second: bool) -> Self {
        let mut out = self.map(|g, power| g * &power_of(power, slope));
        if let (Some(h), Some(g), true) = (&mut out.curvature, &self.gradient, second) {
            *h += &(g * bend);
        }
        out
    }
}

fn power_of(power: Power, array: &Matrix) -> Matrix {
    if power == Power::One { array.clone() } else { array.mapv(|x| x * x) }
}

fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + expf(-x))
}

/// What one step of one direction computed.
struct Moment {
    time: usize,
    /// i, o, f, c̃, each samples × hidden.
    gates: [Matrix; 4],
    before: Matrix,
    cell_before: Matrix,
    cell: Matrix,
}

struct Direction<'a> {
    w: ArrayView2<'a, f32>,
    r: ArrayView2<'a, f32>,
    hidden: usize,
}

impl Direction<'_> {
    fn forward(
        &self,
        x: &Floats,
        bias: &Matrix,
        start: (Matrix, Matrix),
        reverse: bool,
    ) -> Option<Vec<Moment>> {
        let steps = x.shape().first().copied()?;
        let (mut state, mut cell) = start;
        let mut moments = Vec::with_capacity(steps);
        for step in 0..steps {
            let time = if reverse { steps - 1 - step } else { step };
            let input = x.index_axis(Axis(0), time).into_dimensionality::<ndarray::Ix2>().ok()?;
            let z = input.dot(&self.w.t()) + state.dot(&self.r.t()) + bias;
            let gate = |i: usize| z.slice(s![.., i * self.hidden..(i + 1) * self.hidden]).to_owned();
            let gates =
                [gate(0).mapv(sigmoid), gate(1).mapv(sigmoid), gate(2).mapv(sigmoid), gate(3).mapv(tanhf)];
            let next = &gates[2] * &cell + &gates[0] * &gates[3];
            let out = &gates[1] * &next.mapv(tanhf);
            moments.push(Moment { time, before: state, cell_before: cell, cell: next.clone(), gates });
            (state, cell) = (out, next);
        }
        Some(moments)
    }
}

/// Sums over the sequence for one direction.
struct Sums {
    w: Two,
    r: Two,
    bias: Two,
}

/// Whether it has default activations, no peepholes, sequence lengths or clipping, and initial states that nobody asks about.
fn is_plain(step: &Step) -> bool {
    let node = step.node;
    node.ints("activations").is_none()
        && node.text("activations").is_empty()
        && node.float("clip", 0.0) == 0.0
        && node.int("input_forget", 0) == 0
        && node.int("layout", 0) == 0
        && node.input(7).is_none()
        && node.input(4).is_none()
        && !step.wants(5)
        && !step.wants(6)
}

/// The sum of the two biases of a direction, a row; zero where there are none.
fn bias_of(bias: Option<&Floats>, direction: usize, hidden: usize) -> Option<Matrix> {
    let Some(bias) = bias.map(|b| b.index_axis(Axis(0), direction)) else {
        return Some(Matrix::zeros((1, 4 * hidden)));
    };
    let b: Vec<f32> = bias.iter().copied().collect();
    if b.len() != 8 * hidden {
        return None;
    }
    let (wb, rb) = b.split_at(4 * hidden);
    let sum = wb.iter().zip(rb).map(|(a, b)| a + b).collect();
    Matrix::from_shape_vec((1, 4 * hidden), sum).ok()
}

/// The backward pass of the operator.
pub(super) fn back(step: &mut Step) -> Result<(), NetworkError> {
    let node = step.node;
    let refused = || unsupported(node);
    let (x, w, r) = (step.input(0)?.clone(), step.input(1)?.clone(), step.input(2)?.clone());
    if !is_plain(step) || x.ndim() != 3 || w.ndim() != 3 || r.ndim() != 3 {
        return Err(refused());
    }
    let (directions, hidden) = (w.shape()[0], r.shape()[2]);
    let (samples, features) = (x.shape()[1], x.shape()[2]);
    if w.shape() != [directions, 4 * hidden, features] || r.shape() != [directions, 4 * hidden, hidden] {
        return Err(refused());
    }
    let bias = step.optional(3).cloned();
    let state = |index: usize, direction: usize| -> Matrix {
        let given = step.optional(index).filter(|a| a.shape() == [directions, samples, hidden]);
        let given = given
            .and_then(|a| a.index_axis(Axis(0), direction).into_dimensionality().ok().map(|v| v.to_owned()));
        given.unwrap_or_else(|| Matrix::zeros((samples, hidden)))
    };
    let second = step.second();
    let is_activations = step.purpose == super::Purpose::Activations;
    let mut dx = Pair::default();
    let mut all = Vec::with_capacity(directions);
    for direction in 0..directions {
        let matrix = |a: &'_ Floats| -> Option<Matrix> {
            a.index_axis(Axis(0), direction).into_dimensionality::<ndarray::Ix2>().ok().map(|v| v.to_owned())
        };
        let (Some(w), Some(r)) = (matrix(&w), matrix(&r)) else { return Err(refused()) };
        let biases = bias_of(bias.as_ref(), direction, hidden).ok_or_else(refused)?;
        let reverse = node.text("direction") == "reverse" || direction == 1;
        let layer = Direction { w: w.view(), r: r.view(), hidden };
        let moments = layer.forward(&x, &biases, (state(5, direction), state(6, direction)), reverse);
        let moments = moments.ok_or_else(refused)?;
        let sums = if is_activations {
            squared_inputs(&x, &moments, hidden)
        } else {
            let (sums, by_x) = walk(step, &layer, &x, &moments, direction, second);
            dx.add(by_x);
            sums
        };
        all.push(sums.ok_or_else(refused)?);
    }
    give(step, &all, hidden);
    if step.wants(0) && !is_activations {
        step.give(0, dx);
    }
    Ok(())
}

fn give(step: &mut Step, all: &[Sums], hidden: usize) {
    let stack = |pick: &dyn Fn(&Sums) -> &Two| {
        let join = |get: &dyn Fn(&Two) -> Option<&Matrix>| -> Option<Floats> {
            let parts: Option<Vec<_>> = all.iter().map(|sums| get(pick(sums)).map(|m| m.view())).collect();
            ndarray::stack(Axis(0), &parts?).ok().map(ndarray::ArrayBase::into_dyn)
        };
        Pair { gradient: join(&|two| two.gradient.as_ref()), curvature: join(&|two| two.curvature.as_ref()) }
    };
    let (w, r, bias) = (stack(&|sums| &sums.w), stack(&|sums| &sums.r), stack(&|sums| &sums.bias));
    if step.wants(1) {
        step.give(1, w);
    }
    if step.wants(2) {
        step.give(2, r);
    }
    if step.wants(3) {
        // Both biases are added to the same sum.
        let twice = bias.through(|g, _| {
            let flat = g.clone().remove_axis_of_one();
            let pair = ndarray::concatenate(Axis(1), &[flat.view(), flat.view()]);
            pair.unwrap_or_else(|_| Floats::zeros(IxDyn(&[1, 8 * hidden])))
        });
        step.give(3, twice);
    }
}

/// Directions × 1 × gates to directions × gates.
trait RemoveAxis {
    fn remove_axis_of_one(self) -> Floats;
}

impl RemoveAxis for Floats {
    fn remove_axis_of_one(self) -> Floats {
        if self.ndim() == 3 { self.sum_axis(Axis(1)) } else { self }
    }
}

/// Mean squared inputs, alike for every gate.
fn squared_inputs(x: &Floats, moments: &[Moment], hidden: usize) -> Option<Sums> {
    let (features, samples) = (*x.shape().get(2)?, *x.shape().get(1)?);
    let meetings = (samples * moments.len()).max(1) as f32;
    let rows = |means: Vec<f32>| {
        let row = Array2::from_shape_vec((1, means.len()), means).ok()?;
        let wide = row.broadcast((4 * hidden, row.ncols()))?.to_owned();
        Some(Two { gradient: None, curvature: Some(wide) })
    };
    let mut by_feature = vec![0.0f32; features];
    for (i, value) in x.iter().enumerate() {
        if let Some(sum) = by_feature.get_mut(i % features.max(1)) {
            *sum += value * value / meetings;
        }
    }
    let mut by_hidden = vec![0.0f32; hidden];
    for moment in moments {
        for (i, value) in moment.before.iter().enumerate() {
            if let Some(sum) = by_hidden.get_mut(i % hidden.max(1)) {
                *sum += value * value / meetings;
            }
        }
    }
    let bias = Two { gradient: None, curvature: Some(Matrix::ones((1, 4 * hidden))) };
    Some(Sums { w: rows(by_feature)?, r: rows(by_hidden)?, bias })
}

/// Derivatives of output `index` (0 all states, 1 the last state, 2 the last cell) of a direction, at a time.
fn derivatives_of(step: &Step, index: usize, direction: usize, time: Option<usize>) -> Two {
    let Some(pair) = step.outputs.get(index).and_then(Option::as_ref) else { return Two::default() };
    let pick = |array: &Option<Floats>| {
        let array = array.as_ref()?;
        let view = match time {
            Some(time) => array.index_axis(Axis(0), time).index_axis_move(Axis(0), direction),
            None => array.index_axis(Axis(0), direction),
        };
        view.into_dimensionality::<ndarray::Ix2>().ok().map(|v| v.to_owned())
    };
    Two { gradient: pick(&pair.gradient), curvature: pick(&pair.curvature) }
}

/// Back through time: sums for the weights, and the derivatives by x.
fn walk(
    step: &Step,
    layer: &Direction,
    x: &Floats,
    moments: &[Moment],
    direction: usize,
    second: bool,
) -> (Option<Sums>, Pair) {
    let of = |index: usize, time: Option<usize>| derivatives_of(step, index, direction, time);
    let has = |f: &dyn Fn(&Pair) -> bool| step.outputs.iter().flatten().any(f);
    let zeros = |rows: usize, columns: usize| Two {
        gradient: has(&|p| p.gradient.is_some()).then(|| Matrix::zeros((rows, columns))),
        curvature: has(&|p| p.curvature.is_some()).then(|| Matrix::zeros((rows, columns))),
    };
    let (samples, features) = (x.shape()[1], x.shape()[2]);
    let gates = 4 * layer.hidden;
    let mut sums = Sums { w: zeros(gates, features), r: zeros(gates, layer.hidden), bias: zeros(1, gates) };
    let wide = |two: &Two| {
        let zeros = |m: &Option<Matrix>| m.as_ref().map(|_| Floats::zeros(x.raw_dim()));
        Pair { gradient: zeros(&two.gradient), curvature: zeros(&two.curvature) }
    };
    let mut by_x = wide(&sums.w);
    let mut by_state = zeros(samples, layer.hidden);
    let mut by_cell = zeros(samples, layer.hidden);
    by_state.add(of(1, None));
    by_cell.add(of(2, None));
    for moment in moments.iter().rev() {
        by_state.add(of(0, Some(moment.time)));
        let z = moment.back(&by_state, &mut by_cell, second);
        let input =
            x.index_axis(Axis(0), moment.time).into_dimensionality::<ndarray::Ix2>().map(|v| v.to_owned());
        let Ok(input) = input else { return (None, by_x) };
        sums.w.add(z.map(|g, power| g.t().dot(&power_of(power, &input))));
        sums.r.add(z.map(|g, power| g.t().dot(&power_of(power, &moment.before))));
        sums.bias.add(z.map(|g, _| g.sum_axis(Axis(0)).insert_axis(Axis(0))));
        let here = z.map(|g, power| g.dot(&power_of(power, &layer.w.to_owned())));
        let put = |into: &mut Option<Floats>, from: Option<Matrix>| {
            if let (Some(into), Some(from)) = (into.as_mut(), from) {
                into.index_axis_mut(Axis(0), moment.time).assign(&from.into_dyn());
            }
        };
        put(&mut by_x.gradient, here.gradient);
        put(&mut by_x.curvature, here.curvature);
        by_state = z.map(|g, power| g.dot(&power_of(power, &layer.r.to_owned())));
    }
    (Some(sums), by_x)
}

impl Moment {
    /// From the derivatives by the state and by the cell after this step to those by the gates' sums; leaves in `by_cell` those
    /// by the cell before it.
    fn back(&self, by_state: &Two, by_cell: &mut Two, second: bool) -> Two {
        let [i, o, f, candidate] = &self.gates;
        let t = self.cell.mapv(tanhf);
        let fall = t.mapv(|t| 1.0 - t * t);
        let by_o = by_state.map(|g, power| g * &power_of(power, &t));
        by_cell.add(by_state.bend(&(o * &fall), &(o * &t * &fall * -2.0), second));
        let through = |factor: &Matrix| by_cell.map(|g, power| g * &power_of(power, factor));
        let (by_f, by_i, by_candidate) = (through(&self.cell_before), through(candidate), through(i));
        let previous = through(f);
        let soft = |two: &Two, s: &Matrix| {
            two.bend(&s.mapv(|s| s * (1.0 - s)), &s.mapv(|s| s * (1.0 - s) * (1.0 - 2.0 * s)), second)
        };
        let by_candidate = by_candidate.bend(
            &candidate.mapv(|t| 1.0 - t * t),
            &candidate.mapv(|t| -2.0 * t * (1.0 - t * t)),
            second,
        );
        *by_cell = previous;
        let parts = [soft(&by_i, i), soft(&by_o, o), soft(&by_f, f), by_candidate];
        let join = |get: &dyn Fn(&Two) -> Option<&Matrix>| -> Option<Matrix> {
            let parts: Option<Vec<_>> = parts.iter().map(|two| get(two).map(|m| m.view())).collect();
            ndarray::concatenate(Axis(1), &parts?).ok()
        };
        Two { gradient: join(&|two| two.gradient.as_ref()), curvature: join(&|two| two.curvature.as_ref()) }
    }
}
