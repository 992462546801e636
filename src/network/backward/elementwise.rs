//! Functions of one element, and of two with broadcasting.

use super::{Floats, Pair, Power, Step, unbroadcast};
use crate::network::NetworkError;
use libm::{cosf, erff, expf, powf, sinf, sqrtf, tanhf};
use ndarray::{IxDyn, Zip};

/// 1/√(2π) and √(2/π).
const NORMAL_PEAK: f32 = 0.398_942_3;
const ROOT_TWO_OVER_PI: f32 = 0.797_884_6;

fn sigmoid(x: f32) -> f32 {
    1.0 / (1.0 + expf(-x))
}

/// First and second derivative of a function at x.
type Derivatives = Box<dyn Fn(f32) -> (f32, f32)>;

/// The derivatives of a node's function.
fn derivatives(step: &Step) -> Result<Derivatives, NetworkError> {
    let node = step.node;
    Ok(match node.operator.as_str() {
        "Relu" => Box::new(|x| (f32::from(x > 0.0), 0.0)),
        "LeakyRelu" => {
            let alpha = node.float("alpha", 0.01);
            Box::new(move |x| (if x > 0.0 { 1.0 } else { alpha }, 0.0))
        }
        "Elu" => {
            let alpha = node.float("alpha", 1.0);
            Box::new(move |x| if x > 0.0 { (1.0, 0.0) } else { (alpha * expf(x), alpha * expf(x)) })
        }
        "Clip" => {
            let bound = |index: usize, name: &str, default: f32| {
                let given = step.optional(index).and_then(|a| a.iter().next().copied());
                given.unwrap_or_else(|| node.float(name, default))
            };
            let (low, high) = (bound(1, "min", f32::NEG_INFINITY), bound(2, "max", f32::INFINITY));
            Box::new(move |x| (f32::from(x > low && x < high), 0.0))
        }
        "Sigmoid" => Box::new(|x| {
            let s = sigmoid(x);
            (s * (1.0 - s), s * (1.0 - s) * (1.0 - 2.0 * s))
        }),
        "Tanh" => Box::new(|x| {
            let t = tanhf(x);
            (1.0 - t * t, -2.0 * t * (1.0 - t * t))
        }),
        "Erf" => Box::new(|x| {
            let d = std::f32::consts::FRAC_2_SQRT_PI * expf(-x * x);
            (d, -2.0 * x * d)
        }),
        "Gelu" if node.text("approximate") == "tanh" => Box::new(|x| {
            let c = 0.044_715;
            let (u, du, ddu) = (x + c * x * x * x, 1.0 + 3.0 * c * x * x, 6.0 * c * x);
            let t = tanhf(ROOT_TWO_OVER_PI * u);
            let s = 1.0 - t * t;
            let dt = s * ROOT_TWO_OVER_PI * du;
            let ddt = s * ROOT_TWO_OVER_PI * ddu - 2.0 * t * dt * ROOT_TWO_OVER_PI * du;
            (0.5 * (1.0 + t) + 0.5 * x * dt, dt + 0.5 * x * ddt)
        }),
        "Gelu" => Box::new(|x| {
            let density = NORMAL_PEAK * expf(-0.5 * x * x);
            let cumulative = 0.5 * (1.0 + erff(x * std::f32::consts::FRAC_1_SQRT_2));
            (cumulative + x * density, density * (2.0 - x * x))
        }),
        "Softplus" => Box::new(|x| {
            let s = sigmoid(x);
            (s, s * (1.0 - s))
        }),
        "HardSigmoid" => {
            let (alpha, beta) = (node.float("alpha", 0.2), node.float("beta", 0.5));
            Box::new(move |x| (if (0.0..1.0).contains(&(alpha * x + beta)) { alpha } else { 0.0 }, 0.0))
        }
        "HardSwish" => Box::new(|x| {
            if x <= -3.0 {
                (0.0, 0.0)
            } else if x >= 3.0 {
                (1.0, 0.0)
            } else {
                (x / 3.0 + 0.5, 1.0 / 3.0)
            }
        }),
        "Exp" => Box::new(|x| (expf(x), expf(x))),
        "Log" => Box::new(|x| (1.0 / x, -1.0 / (x * x))),
        "Sqrt" => Box::new(|x| (0.5 / sqrtf(x), -0.25 / (x * sqrtf(x)))),
        "Reciprocal" => Box::new(|x| (-1.0 / (x * x), 2.0 / (x * x * x))),
        "Neg" => Box::new(|_| (-1.0, 0.0)),
        "Abs" => Box::new(|x| (if x > 0.0 { 1.0 } else { -f32::from(x < 0.0) }, 0.0)),
        "Sin" => Box::new(|x| (cosf(x), -sinf(x))),
        "Cos" => Box::new(|x| (-sinf(x), -cosf(x))),
        _ => return Err(step.unsupported()),
    })
}

/// Both derivatives through y = f(x).
fn through(pair: &Pair, x: &Floats, second: bool, f: &dyn Fn(f32) -> (f32, f32)) -> Pair {
    let gradient = pair.gradient.as_ref().map(|g| {
        let mut out = g.clone();
        Zip::from(&mut out).and(x).for_each(|g, x| *g *= f(*x).0);
        out
    });
    let curvature = pair.curvature.as_ref().map(|h| {
        let mut out = h.clone();
        Zip::from(&mut out).and(x).for_each(|h, x| {
            let d = f(*x).0;
            *h *= d * d;
        });
        if let Some(g) = pair.gradient.as_ref().filter(|_| second) {
            Zip::from(&mut out).and(x).and(g).for_each(|h, x, g| *h += f(*x).1 * g);
        }
        out
    });
    Pair { gradient, curvature }
}

/// y = f(x), element by element.
pub(super) fn unary(step: &mut Step) -> Result<(), NetworkError> {
    let f = derivatives(step)?;
    let x = step.input(0)?;
    let pair = step.pair();
    if pair.gradient.as_ref().or(pair.curvature.as_ref()).is_some_and(|g| g.shape() != x.shape()) {
        return Err(step.unsupported());
    }
    let given = through(&pair, x, step.second(), f.as_ref());
    step.give(0, given);
    Ok(())
}

/// First and second derivative of aᵉ by a.
fn derivatives_of_power(a: &Floats, e: &Floats) -> (Floats, Floats) {
    let (mut slope, mut bend) = (a.clone(), a.clone());
    Zip::from(&mut slope).and(e).for_each(|x, e| *x = e * power(*x, e - 1.0));
    Zip::from(&mut bend).and(e).for_each(|x, e| *x = e * (e - 1.0) * power(*x, e - 2.0));
    (slope, bend)
}

/// y = Σ ± a.
fn sum(step: &mut Step) -> Result<(), NetworkError> {
    let pair = step.pair();
    for index in 0..step.node.inputs.len() {
        if step.wants(index) {
            let sign = if step.node.operator == "Sub" && index == 1 { -1.0 } else { 1.0 };
            let own = step.input(index)?.shape().to_vec();
            let given = pair.through(|g, power| unbroadcast(g * power.number(sign), &own));
            step.give(index, given);
        }
    }
    Ok(())
}

/// y = a ∘ b for the four operations, powers and sums.
pub(super) fn binary(step: &mut Step) -> Result<(), NetworkError> {
    let operator = step.node.operator.as_str();
    if operator == "Sum" || operator == "Add" || operator == "Sub" {
        return sum(step);
    }
    let pair = step.pair();
    let shape = step.output(0)?.shape().to_vec();
    let wide = |array: &Floats| array.broadcast(IxDyn(&shape)).map(|view| view.to_owned());
    let (a, b) = (step.input(0)?.clone(), step.input(1)?.clone());
    let second = step.second();
    if operator == "Mul" && step.node.input(0) == step.node.input(1) {
        step.give(0, through(&pair, &a, second, &|x| (2.0 * x, 2.0)));
        return Ok(());
    }
    let (Some(wide_a), Some(wide_b)) = (wide(&a), wide(&b)) else { return Err(step.unsupported()) };
    let times =
        |factor: &Floats, own: &[usize]| pair.through(|g, power| unbroadcast(g * &power.of(factor), own));
    // The second derivative of a function of one operand, the other held.
    let bent = |given: Pair, bend: &Floats, own: &[usize]| match (&pair.gradient, given.curvature) {
        (Some(g), Some(h)) if second => {
            let more = unbroadcast(g * bend, own);
            Pair { gradient: given.gradient, curvature: Some(h + &more) }
        }
        (_, curvature) => Pair { gradient: given.gradient, curvature },
    };
    match operator {
        "Mul" => {
            if step.wants(0) {
                step.give(0, times(&wide_b, a.shape()));
            }
            if step.wants(1) {
                step.give(1, times(&wide_a, b.shape()));
            }
        }
        "Div" => {
            if step.wants(0) {
                step.give(0, times(&wide_b.mapv(|b| 1.0 / b), a.shape()));
            }
            if step.wants(1) {
                let slope = &wide_a * &wide_b.mapv(|b| -1.0 / (b * b));
                let bend = &wide_a * &wide_b.mapv(|b| 2.0 / (b * b * b));
                let given = bent(times(&slope, b.shape()), &bend, b.shape());
                step.give(1, given);
            }
        }
        "Pow" => {
            if step.wants(1) {
                return Err(step.unsupported());
            }
            if step.wants(0) {
                let (slope, bend) = derivatives_of_power(&wide_a, &wide_b);
                let given = bent(times(&slope, a.shape()), &bend, a.shape());
                step.give(0, given);
            }
        }
        _ => return Err(step.unsupported()),
    }
    Ok(())
}

/// x to the power e, with 0 to the power 0 as 1.
fn power(x: f32, e: f32) -> f32 {
    if e == 0.0 {
        1.0
    } else if e == 1.0 {
        x
    } else {
        powf(x, e)
    }
}

/// Sums a pair over everything but `axis`, for values that belong to channels.
pub(super) fn per_channel(array: &Floats, axis: usize, power: Power, factor: &Floats) -> Floats {
    let product = array * &power.of(factor);
    let mut sum = product;
    for other in (0..array.ndim()).rev().filter(|other| *other != axis) {
        sum = sum.sum_axis(ndarray::Axis(other));
    }
    sum
}
