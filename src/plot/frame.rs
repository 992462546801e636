//! The mapping between data and pixels that a chart was drawn with.

/// How the vertical axis is spaced.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Spacing {
    /// Equal distances for equal differences.
    #[default]
    Linear,
    /// By log10(1 + value): counts over decades, with zero on the axis.
    LogCount,
}

impl Spacing {
    fn forward(self, value: f64) -> f64 {
        match self {
            Self::Linear => value,
            Self::LogCount => libm::log10(1.0 + value.max(0.0)),
        }
    }

    fn backward(self, value: f64) -> f64 {
        match self {
            Self::Linear => value,
            Self::LogCount => libm::pow(10.0, value) - 1.0,
        }
    }
}

/// A chart's data area: its pixels and the data range they show.
///
/// A chart draws through the frame that it returns, so hit tests agree with the picture to the rounding of pixels.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Frame {
    /// Left and right edge of the data area, in device pixels.
    pub x_pixels: (f64, f64),
    /// Top and bottom edge of the data area, in device pixels.
    pub y_pixels: (f64, f64),
    /// Data values at the left and right edge.
    pub x_range: (f64, f64),
    /// Data values at the bottom and top edge.
    pub y_range: (f64, f64),
    /// How the vertical axis is spaced.
    pub y_spacing: Spacing,
}

impl Frame {
    /// Where a data point is drawn, in device pixels; outside the data area for data outside the range.
    pub fn to_pixels(&self, x: f64, y: f64) -> (f64, f64) {
        let across = (x - self.x_range.0) / (self.x_range.1 - self.x_range.0);
        let (bottom, top) = (self.y_spacing.forward(self.y_range.0), self.y_spacing.forward(self.y_range.1));
        let up = (self.y_spacing.forward(y) - bottom) / (top - bottom);
        (
            self.x_pixels.0 + across * (self.x_pixels.1 - self.x_pixels.0),
            self.y_pixels.1 - up * (self.y_pixels.1 - self.y_pixels.0),
        )
    }

    /// The data point drawn at these device pixels.
    pub fn to_data(&self, x_pixel: f64, y_pixel: f64) -> (f64, f64) {
        let across = (x_pixel - self.x_pixels.0) / (self.x_pixels.1 - self.x_pixels.0);
        let up = (self.y_pixels.1 - y_pixel) / (self.y_pixels.1 - self.y_pixels.0);
        let (bottom, top) = (self.y_spacing.forward(self.y_range.0), self.y_spacing.forward(self.y_range.1));
        (
            self.x_range.0 + across * (self.x_range.1 - self.x_range.0),
            self.y_spacing.backward(bottom + up * (top - bottom)),
        )
    }

    /// Whether these device pixels lie in the data area.
    pub fn contains(&self, x_pixel: f64, y_pixel: f64) -> bool {
        (self.x_pixels.0..=self.x_pixels.1).contains(&x_pixel)
            && (self.y_pixels.0..=self.y_pixels.1).contains(&y_pixel)
    }

    /// The part of the segment from `a` to `b` (device pixels) inside the data area (Liang and Barsky 1984).
    pub(super) fn clip(&self, a: (f64, f64), b: (f64, f64)) -> Option<((f64, f64), (f64, f64))> {
        let (dx, dy) = (b.0 - a.0, b.1 - a.1);
        let (mut from, mut to) = (0.0_f64, 1.0_f64);
        for (slope, room) in [
            (-dx, a.0 - self.x_pixels.0),
            (dx, self.x_pixels.1 - a.0),
            (-dy, a.1 - self.y_pixels.0),
            (dy, self.y_pixels.1 - a.1),
        ] {
            if slope == 0.0 {
                if room < 0.0 {
                    return None;
                }
            } else if slope < 0.0 {
                from = from.max(room / slope);
            } else {
                to = to.min(room / slope);
            }
        }
        (from <= to).then_some(((a.0 + from * dx, a.1 + from * dy), (a.0 + to * dx, a.1 + to * dy)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(y_spacing: Spacing) -> Frame {
        Frame {
            x_pixels: (50.0, 450.0),
            y_pixels: (20.0, 220.0),
            x_range: (0.0, 8.0),
            y_range: (0.0, 99.0),
            y_spacing,
        }
    }

    #[test]
    fn corners_of_the_range_are_corners_of_the_area() {
        assert_eq!(frame(Spacing::Linear).to_pixels(0.0, 0.0), (50.0, 220.0));
        assert_eq!(frame(Spacing::Linear).to_pixels(8.0, 99.0), (450.0, 20.0));
        assert_eq!(frame(Spacing::LogCount).to_pixels(4.0, 9.0), (250.0, 120.0));
    }

    #[test]
    fn pixels_map_back_to_the_data() {
        for spacing in [Spacing::Linear, Spacing::LogCount] {
            let frame = frame(spacing);
            let (px, py) = frame.to_pixels(3.25, 41.0);
            let (x, y) = frame.to_data(px, py);
            assert!((x - 3.25).abs() < 1e-9 && (y - 41.0).abs() < 1e-9);
        }
    }

    #[test]
    fn segments_are_cut_at_the_edges() {
        let frame = frame(Spacing::Linear);
        assert_eq!(frame.clip((0.0, 100.0), (500.0, 100.0)), Some(((50.0, 100.0), (450.0, 100.0))));
        assert_eq!(frame.clip((60.0, 30.0), (70.0, 40.0)), Some(((60.0, 30.0), (70.0, 40.0))));
        assert_eq!(frame.clip((0.0, 0.0), (500.0, 0.0)), None);
    }
}
