//! Windows over images, `MaxPool` and `AveragePool`.

use super::{Floats, Step, unsupported};
use crate::network::NetworkError;

/// Where a kernel's taps lie on its input, in two dimensions; one-dimensional inputs have a height of 1.
#[derive(Debug, Clone, Copy)]
pub(super) struct Window {
    pub input: [usize; 2],
    pub output: [usize; 2],
    kernel: [usize; 2],
    stride: [usize; 2],
    dilation: [usize; 2],
    /// Before the first row and column.
    pad: [usize; 2],
}

impl Window {
    /// The window of a node over an input of shape `x` (samples, channels, then one or two dimensions).
    pub(super) fn of(step: &Step, x: &[usize], kernel: &[usize]) -> Result<Self, NetworkError> {
        let node = step.node;
        let refused = || unsupported(node);
        let spatial = x.get(2..).unwrap_or_default();
        let rank = spatial.len();
        if !(rank == 1 || rank == 2) || kernel.len() != rank {
            return Err(refused());
        }
        let two = |values: &[usize], missing: usize| match values {
            [w] => [missing, *w],
            [h, w, ..] => [*h, *w],
            [] => [missing; 2],
        };
        let list = |name: &str, default: usize| -> Vec<usize> {
            let given = node.ints(name).map(|v| v.iter().map(|n| usize::try_from(*n).unwrap_or(0)).collect());
            given.filter(|v: &Vec<usize>| v.len() >= rank).unwrap_or_else(|| vec![default; rank])
        };
        let (stride, dilation) = (two(&list("strides", 1), 1), two(&list("dilations", 1), 1));
        let (input, kernel) = (two(spatial, 1), two(kernel, 1));
        let pair = step.output(0)?.shape().get(2..).map(<[usize]>::to_vec).unwrap_or_default();
        let output = two(&pair, 1);
        if stride.contains(&0) || dilation.contains(&0) || kernel.contains(&0) {
            return Err(refused());
        }
        let pads = list("pads", 0);
        let mut pad = two(pads.get(..rank).unwrap_or_default(), 0);
        let auto = node.text("auto_pad");
        if auto.starts_with("SAME") {
            for axis in 0..2 {
                let span = (kernel[axis] - 1) * dilation[axis] + 1;
                let total = ((output[axis] - 1) * stride[axis] + span).saturating_sub(input[axis]);
                pad[axis] = if auto == "SAME_LOWER" { total.div_ceil(2) } else { total / 2 };
            }
        } else if auto == "VALID" {
            pad = [0; 2];
        }
        Ok(Self { input, output, kernel, stride, dilation, pad })
    }

    /// Taps of the kernel.
    pub(super) fn taps(&self) -> usize {
        self.kernel[0] * self.kernel[1]
    }

    /// Positions of the output.
    pub(super) fn positions(&self) -> usize {
        self.output[0] * self.output[1]
    }

    /// Visits runs of neighbouring positions whose tap lies on the image: tap, first position, first pixel, length; pixels of a
    /// run are a stride apart.
    fn runs(&self, mut f: impl FnMut(usize, usize, usize, usize)) {
        let [height, width] = self.input;
        for ky in 0..self.kernel[0] {
            for kx in 0..self.kernel[1] {
                let tap = ky * self.kernel[1] + kx;
                let (dy, dx) = (ky * self.dilation[0], kx * self.dilation[1]);
                let first = self.pad[1].saturating_sub(dx).div_ceil(self.stride[1]);
                // One past the last column whose tap is left of the image's end.
                let end =
                    (width + self.pad[1]).saturating_sub(dx).div_ceil(self.stride[1]).min(self.output[1]);
                if first >= end {
                    continue;
                }
                for oy in 0..self.output[0] {
                    let Some(y) = (oy * self.stride[0] + dy).checked_sub(self.pad[0]).filter(|y| *y < height)
                    else {
                        continue;
                    };
                    let x = first * self.stride[1] + dx - self.pad[1];
                    f(tap, oy * self.output[1] + first, y * width + x, end - first);
                }
            }
        }
    }

    /// Visits (tap, position, pixel) of every tap that lies on the image.
    fn visit(&self, mut f: impl FnMut(usize, usize, usize)) {
        let stride = self.stride[1];
        self.runs(|tap, position, pixel, count| {
            (0..count).for_each(|i| f(tap, position + i, pixel + i * stride));
        });
    }

    /// Patches of an image of any channels as columns: (channel, tap) × position.
    pub(super) fn columns(&self, image: &[f32], columns: &mut [f32]) {
        let (positions, pixels, stride) = (self.positions(), self.input[0] * self.input[1], self.stride[1]);
        columns.fill(0.0);
        for (plane, rows) in
            image.chunks_exact(pixels.max(1)).zip(columns.chunks_exact_mut(self.taps() * positions))
        {
            self.runs(|tap, position, pixel, count| {
                let row = &mut rows[tap * positions + position..][..count];
                let pixels = plane[pixel..].iter().step_by(stride);
                row.iter_mut().zip(pixels).for_each(|(to, from)| *to = *from);
            });
        }
    }

    /// Adds columns back to the pixels they came from.
    pub(super) fn add_columns(&self, columns: &[f32], image: &mut [f32]) {
        let (positions, pixels, stride) = (self.positions(), self.input[0] * self.input[1], self.stride[1]);
        for (plane, rows) in
            image.chunks_exact_mut(pixels.max(1)).zip(columns.chunks_exact(self.taps() * positions))
        {
            self.runs(|tap, position, pixel, count| {
                let row = &rows[tap * positions + position..][..count];
                let pixels = plane[pixel..].iter_mut().step_by(stride);
                pixels.zip(row).for_each(|(to, from)| *to += *from);
            });
        }
    }
}

/// Pooling: to the largest of a window, or to all its pixels alike.
pub(super) fn back(step: &mut Step) -> Result<(), NetworkError> {
    let pair = step.pair();
    let x = step.input(0)?.as_standard_layout().into_owned();
    let kernel: Vec<usize> =
        step.node.ints("kernel_shape").unwrap_or_default().iter().map(|n| *n as usize).collect();
    let window = Window::of(step, x.shape(), &kernel)?;
    let is_max = step.node.operator == "MaxPool";
    let count_all = step.node.int("count_include_pad", 0) != 0;
    let (positions, pixels) = (window.positions(), window.input[0] * window.input[1]);
    let mut sizes = vec![0.0f32; positions];
    window.visit(|_, position, _| sizes[position] += 1.0);
    if count_all {
        sizes.fill(window.taps() as f32);
    }
    let node = step.node;
    let refused = || unsupported(node);
    let given = pair.try_through(|g, power| {
        let mut dx = Floats::zeros(x.raw_dim());
        let g = g.as_standard_layout();
        let (Some(out), Some(x), Some(g)) = (dx.as_slice_mut(), x.as_slice(), g.as_slice()) else {
            return Err(refused());
        };
        let planes = out.chunks_exact_mut(pixels.max(1)).zip(x.chunks_exact(pixels.max(1)));
        for ((out, plane), g) in planes.zip(g.chunks_exact(positions.max(1))) {
            if is_max {
                let mut best: Vec<Option<usize>> = vec![None; positions];
                window.visit(|_, position, pixel| {
                    if best[position].is_none_or(|b| plane[pixel] > plane[b]) {
                        best[position] = Some(pixel);
                    }
                });
                for (best, g) in best.iter().zip(g) {
                    if let Some(pixel) = best {
                        out[*pixel] += g;
                    }
                }
            } else {
                window.visit(|_, position, pixel| {
                    out[pixel] += g[position] * power.number(1.0 / sizes[position]);
                });
            }
        }
        Ok(dx)
    })?;
    step.give(0, given);
    Ok(())
}
