//! `Conv` in one and two dimensions, by columns of patches.

use super::pool::Window;
use super::{Floats, Pair, Power, Step};
use crate::network::NetworkError;
use ndarray::{Array2, ArrayView2, IxDyn, linalg::general_mat_mul};

/// y = W ⋆ x + b, with stride, padding, dilation and groups.
pub(super) fn back(step: &mut Step) -> Result<(), NetworkError> {
    let pair = step.pair();
    let x = step.input(0)?.as_standard_layout().into_owned();
    let w = step.input(1)?.as_standard_layout().into_owned();
    let window = Window::of(step, x.shape(), w.shape().get(2..).unwrap_or_default())?;
    let groups = usize::try_from(step.node.int("group", 1)).unwrap_or(1).max(1);
    let (out_channels, in_channels) = (w.shape()[0], x.shape().get(1).copied().unwrap_or(0));
    if out_channels % groups != 0
        || in_channels % groups != 0
        || w.shape().get(1) != Some(&(in_channels / groups))
    {
        return Err(step.unsupported());
    }
    let wants = [step.wants(0), step.wants(1)];
    let shape = Shape { window, groups, out_channels, in_channels };
    let (mut for_x, mut for_w) = (Pair::default(), Pair::default());
    for (cotangent, power) in [(&pair.gradient, Power::One), (&pair.curvature, Power::Two)] {
        let Some(g) = cotangent else { continue };
        let (dx, dw) =
            shape.back(g, &power.of(&x), &power.of(&w), wants).ok_or_else(|| step.unsupported())?;
        match power {
            Power::One => (for_x.gradient, for_w.gradient) = (Some(dx), Some(dw)),
            Power::Two => (for_x.curvature, for_w.curvature) = (Some(dx), Some(dw)),
        }
    }
    if wants[0] {
        step.give(0, for_x);
    }
    if wants[1] {
        step.give(1, for_w);
    }
    if step.wants(2) {
        let per_channel = pair.through(|g, _| {
            let mut sum = g.clone();
            while sum.ndim() > 2 {
                sum = sum.sum_axis(ndarray::Axis(2));
            }
            sum.sum_axis(ndarray::Axis(0))
        });
        step.give(2, per_channel);
    }
    Ok(())
}

struct Shape {
    window: Window,
    groups: usize,
    out_channels: usize,
    in_channels: usize,
}

impl Shape {
    /// Derivatives by x and by W; zeros where they are not wanted.
    fn back(&self, g: &Floats, x: &Floats, w: &Floats, wants: [bool; 2]) -> Option<(Floats, Floats)> {
        let Self { window, groups, .. } = self;
        let (per_in, per_out) = (self.in_channels / groups, self.out_channels / groups);
        let (patch, positions) = (per_in * window.taps(), window.positions());
        let samples = x.shape().first().copied()?;
        let pixels = window.input[0] * window.input[1];
        let g = g.as_standard_layout();
        let (x_all, w_all, g_all) = (x.as_slice()?, w.as_slice()?, g.as_slice()?);
        let mut dx = vec![0.0f32; if wants[0] { x_all.len() } else { 0 }];
        let mut dw = Array2::<f32>::zeros((self.out_channels, patch));
        let mut columns = Array2::<f32>::zeros((patch, positions));
        let mut back = Array2::<f32>::zeros((patch, positions));
        for n in 0..samples {
            for group in 0..*groups {
                let first_out = group * per_out;
                let at = (n * self.out_channels + first_out) * positions;
                let g =
                    ArrayView2::from_shape((per_out, positions), g_all.get(at..at + per_out * positions)?)
                        .ok()?;
                let at = (n * self.in_channels + group * per_in) * pixels;
                if wants[1] {
                    window.columns(x_all.get(at..at + per_in * pixels)?, columns.as_slice_mut()?);
                    let mut rows = dw.slice_mut(ndarray::s![first_out..first_out + per_out, ..]);
                    general_mat_mul(1.0, &g, &columns.t(), 1.0, &mut rows);
                }
                if wants[0] {
                    let rows = w_all.get(first_out * patch..(first_out + per_out) * patch)?;
                    let rows = ArrayView2::from_shape((per_out, patch), rows).ok()?;
                    general_mat_mul(1.0, &rows.t(), &g, 0.0, &mut back);
                    window.add_columns(back.as_slice()?, dx.get_mut(at..at + per_in * pixels)?);
                }
            }
        }
        let dx = if wants[0] {
            Floats::from_shape_vec(IxDyn(x.shape()), dx).ok()?
        } else {
            Floats::zeros(IxDyn(&[0]))
        };
        let dw = dw.into_shape_with_order(IxDyn(w.shape())).ok()?;
        Some((dx, dw))
    }
}
