//! Operators that only move elements: derivatives go back to where the elements came from.
//!
//! Each is done once to an array of positions; every output element then says which input element it is.

use super::{Floats, Step, axis_of};
use crate::network::NetworkError;
use ndarray::{ArrayD, Axis, IxDyn};

/// Positions in an input's row-major order, −1 for what is no element of it.
type Positions = ArrayD<i64>;

pub(super) fn back(step: &mut Step) -> Result<(), NetworkError> {
    for index in 0..step.node.inputs.len() {
        if !step.wants(index) {
            continue;
        }
        let shape = step.input(index)?.shape().to_vec();
        let mut sums = super::Pair::default();
        for output in 0..step.node.outputs.len() {
            let Some(pair) = step.outputs.get(output).cloned().flatten() else { continue };
            let positions = positions(step, index, output, &shape).ok_or_else(|| step.unsupported())?;
            sums.add(
                pair.try_through(|g, _| scatter(g, &positions, &shape).ok_or_else(|| step.unsupported()))?,
            );
        }
        step.give(index, sums);
    }
    Ok(())
}

fn scatter(g: &Floats, positions: &Positions, shape: &[usize]) -> Option<Floats> {
    if g.len() != positions.len() {
        return None;
    }
    let mut sums = vec![0.0f32; shape.iter().product()];
    for (g, position) in g.iter().zip(positions) {
        if let Some(sum) = usize::try_from(*position).ok().and_then(|at| sums.get_mut(at)) {
            *sum += g;
        }
    }
    Floats::from_shape_vec(IxDyn(shape), sums).ok()
}

/// Which element of input `index` each element of output `output` is.
fn positions(step: &Step, index: usize, output: usize, shape: &[usize]) -> Option<Positions> {
    let count: usize = shape.iter().product();
    let x = Positions::from_shape_vec(IxDyn(shape), (0..count as i64).collect()).ok()?;
    let node = step.node;
    let rank = shape.len();
    Some(match node.operator.as_str() {
        "Transpose" => {
            let axes = match node.ints("perm") {
                Some(perm) => perm.iter().map(|axis| axis_of(*axis, rank)).collect::<Option<Vec<usize>>>()?,
                None => (0..rank).rev().collect(),
            };
            if axes.len() != rank || !(0..rank).all(|axis| axes.contains(&axis)) {
                return None;
            }
            x.permuted_axes(IxDyn(&axes))
        }
        "Concat" => {
            let axis = axis_of(node.int("axis", 0), rank)?;
            let whole = step.output(0).ok()?.shape().to_vec();
            let before: usize = (0..index)
                .map(|i| step.input(i).map_or(0, |a| a.shape().get(axis).copied().unwrap_or(0)))
                .sum();
            let mut all = Positions::from_elem(IxDyn(&whole), -1);
            let own = *shape.get(axis)?;
            if before + own > *whole.get(axis)? {
                return None;
            }
            let part = ndarray::Slice::from(before..before + own);
            let mut part = all.slice_axis_mut(Axis(axis), part);
            if part.shape() != x.shape() {
                return None;
            }
            part.assign(&x);
            all
        }
        "Split" => {
            let axis = axis_of(node.int("axis", 0), rank)?;
            let extent = |i: usize| step.output(i).map_or(0, |a| a.shape().get(axis).copied().unwrap_or(0));
            let before: usize = (0..output).map(extent).sum();
            let end = before + extent(output);
            if end > *shape.get(axis)? {
                return None;
            }
            x.slice_axis(Axis(axis), ndarray::Slice::from(before..end)).to_owned()
        }
        "Slice" => slice(step, x)?,
        "Pad" => pad(step, &x)?,
        "Gather" => {
            if index != 0 {
                return None;
            }
            let axis = axis_of(node.int("axis", 0), rank)?;
            let extent = *shape.get(axis)? as i64;
            let wanted: Option<Vec<usize>> = step
                .integers(1)?
                .into_iter()
                .map(|i| {
                    usize::try_from(if i < 0 { i + extent } else { i }).ok().filter(|i| (*i as i64) < extent)
                })
                .collect();
            x.select(Axis(axis), &wanted?)
        }
        "Expand" => {
            let wide = step.output(0).ok()?.shape().to_vec();
            x.broadcast(IxDyn(&wide))?.to_owned()
        }
        // The same elements in the same order under another shape.
        _ if index == 0 && output == 0 => x,
        _ => return None,
    })
}

fn slice(step: &Step, mut x: Positions) -> Option<Positions> {
    let node = step.node;
    let list =
        |index: usize, name: &str| step.integers(index).or_else(|| node.ints(name).map(<[i64]>::to_vec));
    let (starts, ends) = (list(1, "starts")?, list(2, "ends")?);
    let axes = list(3, "axes").unwrap_or_else(|| (0..starts.len() as i64).collect());
    let steps = list(4, "steps").unwrap_or_else(|| vec![1; starts.len()]);
    for (((start, end), axis), stride) in starts.iter().zip(&ends).zip(&axes).zip(&steps) {
        let axis = axis_of(*axis, x.ndim())?;
        let extent = *x.shape().get(axis)? as i64;
        let wrap = |at: i64| if at < 0 { at.saturating_add(extent) } else { at };
        let wanted: Vec<usize> = if *stride > 0 {
            let (from, to) = (wrap(*start).clamp(0, extent), wrap(*end).clamp(0, extent));
            (from..to).step_by(usize::try_from(*stride).ok()?).map(|i| i as usize).collect()
        } else {
            let from = wrap(*start).clamp(-1, extent - 1);
            let to = if *end < -extent { -1 } else { wrap(*end).clamp(-1, extent - 1) };
            let back = usize::try_from(stride.checked_neg()?).ok().filter(|back| *back > 0)?;
            (to + 1..=from).rev().step_by(back).map(|i| i as usize).collect()
        };
        x = x.select(Axis(axis), &wanted);
    }
    Some(x)
}

fn pad(step: &Step, x: &Positions) -> Option<Positions> {
    let node = step.node;
    let rank = x.ndim();
    let pads = step.integers(1).or_else(|| node.ints("pads").map(<[i64]>::to_vec))?;
    let axes: Vec<usize> = match step.integers(3) {
        Some(axes) => axes.iter().map(|axis| axis_of(*axis, rank)).collect::<Option<_>>()?,
        None => (0..rank).collect(),
    };
    let mode = node.text("mode");
    let mut x = x.clone();
    for (i, axis) in axes.iter().enumerate() {
        let (before, after) = (*pads.get(i)?, *pads.get(i + axes.len())?);
        let extent = *x.shape().get(*axis)? as i64;
        let source = |at: i64| -> Option<i64> {
            if (0..extent).contains(&at) {
                return Some(at);
            }
            match mode {
                "edge" => Some(at.clamp(0, extent - 1)),
                "reflect" if at < 0 => Some(-at),
                "reflect" => Some(2 * (extent - 1) - at),
                // Constant.
                _ => None,
            }
        };
        if !matches!(mode, "" | "constant" | "edge" | "reflect") {
            return None;
        }
        let mut shape = x.shape().to_vec();
        *shape.get_mut(*axis)? = usize::try_from(extent.checked_add(before)?.checked_add(after)?).ok()?;
        let mut wide = Positions::from_elem(IxDyn(&shape), -1);
        for (to, mut lane) in wide.axis_iter_mut(Axis(*axis)).enumerate() {
            if let Some(from) = source(to as i64 - before).filter(|from| (0..extent).contains(from)) {
                lane.assign(&x.index_axis(Axis(*axis), from as usize));
            }
        }
        x = wide;
    }
    Some(x)
}
