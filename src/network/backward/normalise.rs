//! Batch and layer normalisation, softmax.

use super::elementwise::per_channel;
use super::{Floats, Power, Step, axis_of, unbroadcast};
use crate::network::NetworkError;
use libm::sqrtf;
use ndarray::{Axis, IxDyn};

/// y = γ (x − μ) / √(σ² + ε) + β with the statistics of training.
pub(super) fn batch(step: &mut Step) -> Result<(), NetworkError> {
    let epsilon = step.node.float("epsilon", 1e-5);
    let pair = step.pair();
    let x = step.input(0)?.clone();
    let channels = x.shape().get(1).copied().unwrap_or(0);
    let mut shape = vec![1; x.ndim()];
    if let Some(extent) = shape.get_mut(1) {
        *extent = channels;
    }
    let parameter = |index: usize| -> Result<Floats, NetworkError> {
        let own = step.input(index)?.as_standard_layout().into_owned();
        own.into_shape_with_order(IxDyn(&shape)).map_err(|_| step.unsupported())
    };
    let (scale, mean, variance) = (parameter(1)?, parameter(3)?, parameter(4)?);
    let inverse = variance.mapv(|v| 1.0 / sqrtf(v + epsilon));
    let centred = (&x - &mean) * &inverse;
    let wide = |array: &Floats| array.broadcast(x.raw_dim()).map(|v| v.to_owned());
    let Some(slope) = wide(&(&scale * &inverse)) else { return Err(step.unsupported()) };
    let by_channel = |factor: &Floats| pair.through(|g, power| per_channel(g, 1, power, factor));
    // By x, γ, β, μ, σ².
    let ones = Floats::ones(x.raw_dim());
    let minus = slope.mapv(|s| -s);
    let by_variance = &centred * &slope * &inverse.mapv(|i| -0.5 * i);
    for (index, factor) in [(1, &centred), (2, &ones), (3, &minus), (4, &by_variance)] {
        if step.wants(index) {
            step.give(index, by_channel(factor));
        }
    }
    if step.wants(0) {
        let given = pair.through(|g, power| g * &power.of(&slope));
        step.give(0, given);
    }
    Ok(())
}

/// y = γ (x − mean) / √(variance + ε) + β over the last dimensions, statistics taken from x.
pub(super) fn layer(step: &mut Step) -> Result<(), NetworkError> {
    let epsilon = step.node.float("epsilon", 1e-5);
    let pair = step.pair();
    let x = step.input(0)?.as_standard_layout().into_owned();
    let axis = axis_of(step.node.int("axis", -1), x.ndim()).ok_or_else(|| step.unsupported())?;
    let tail: Vec<usize> = x.shape().get(axis..).unwrap_or_default().to_vec();
    let n: usize = tail.iter().product();
    let scale = step.input(1)?.as_standard_layout().into_owned();
    let Some(scale_wide) = scale.broadcast(IxDyn(&tail)).map(|v| v.iter().copied().collect::<Vec<f32>>())
    else {
        return Err(step.unsupported());
    };
    let mut normal = x.clone();
    let mut inverses = Vec::new();
    for row in normal.as_slice_mut().unwrap_or_default().chunks_exact_mut(n.max(1)) {
        let mean = row.iter().map(|v| f64::from(*v)).sum::<f64>() / n as f64;
        let variance =
            row.iter().map(|v| (f64::from(*v) - mean) * (f64::from(*v) - mean)).sum::<f64>() / n as f64;
        let inverse = 1.0 / (variance + f64::from(epsilon)).sqrt();
        for v in row {
            *v = ((f64::from(*v) - mean) * inverse) as f32;
        }
        inverses.push(inverse as f32);
    }
    if step.wants(1) {
        let given = pair.through(|g, power| unbroadcast(g * &power.of(&normal), scale.shape()));
        step.give(1, given);
    }
    if step.wants(2) {
        let shape = step.input(2)?.shape().to_vec();
        let given = pair.through(|g, _| unbroadcast(g.clone(), &shape));
        step.give(2, given);
    }
    if step.wants(0) {
        let given = pair.through(|g, power| {
            let mut out = g.as_standard_layout().into_owned();
            let rows = out.as_slice_mut().unwrap_or_default().chunks_exact_mut(n.max(1));
            let normal = normal.as_slice().unwrap_or_default().chunks_exact(n.max(1));
            for ((row, normal), inverse) in rows.zip(normal).zip(&inverses) {
                layer_row(row, normal, &scale_wide, *inverse, power);
            }
            out
        });
        step.give(0, given);
    }
    Ok(())
}

/// One row back through J = γᵢ/σ (δᵢⱼ − 1/n − x̂ᵢ x̂ⱼ/n), or through its squares, which sum in closed form:
/// with cᵢ = γᵢ² hᵢ / σ² and aⱼ = (1 + x̂ⱼ²)/n it is cⱼ (1 − 2 aⱼ) + (Σc + 2 x̂ⱼ Σc x̂ + x̂ⱼ² Σc x̂²)/n².
fn layer_row(row: &mut [f32], normal: &[f32], scale: &[f32], inverse: f32, power: Power) {
    let n = row.len() as f32;
    for (value, scale) in row.iter_mut().zip(scale) {
        *value *= power.number(*scale * inverse);
    }
    let sum = |f: &dyn Fn(f32, f32) -> f32| {
        row.iter().zip(normal).map(|(c, x)| f64::from(f(*c, *x))).sum::<f64>() as f32
    };
    let (s0, s1, s2) = (sum(&|c, _| c), sum(&|c, x| c * x), sum(&|c, x| c * x * x));
    for (value, x) in row.iter_mut().zip(normal) {
        *value = match power {
            Power::One => *value - s0 / n - x * s1 / n,
            Power::Two => {
                *value * (1.0 - 2.0 * (1.0 + x * x) / n) + (s0 + 2.0 * x * s1 + x * x * s2) / (n * n)
            }
        };
    }
}

/// Softmax and its logarithm along an axis.
pub(super) fn softmax(step: &mut Step) -> Result<(), NetworkError> {
    let pair = step.pair();
    let y = step.output(0)?.clone();
    let axis = axis_of(step.node.int("axis", -1), y.ndim()).ok_or_else(|| step.unsupported())?;
    let is_log = step.node.operator == "LogSoftmax";
    let p = if is_log { y.mapv(libm::expf) } else { y };
    let given = pair.through(|g, power| softmax_back(g, &p, axis, is_log, power));
    step.give(0, given);
    Ok(())
}

/// Back through J = pᵢ (δᵢⱼ − pⱼ), for the logarithm δᵢⱼ − pⱼ, or through its squares.
fn softmax_back(g: &Floats, p: &Floats, axis: usize, is_log: bool, power: Power) -> Floats {
    let sum = |array: Floats| array.sum_axis(Axis(axis)).insert_axis(Axis(axis));
    match (is_log, power) {
        (false, Power::One) => p * &(g - &sum(g * p)),
        (false, Power::Two) => {
            let weighted = g * p * p;
            let total = sum(weighted.clone());
            weighted * p.mapv(|p| 1.0 - 2.0 * p) + p * p * &total
        }
        (true, Power::One) => g - &(p * &sum(g.clone())),
        (true, Power::Two) => g * &p.mapv(|p| 1.0 - 2.0 * p) + p * p * &sum(g.clone()),
    }
}
