//! Shapes that tell series apart without colour.

use std::fmt::Write;

/// The shape of a series' points.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Marker {
    /// A disc.
    #[default]
    Circle,
    /// A square.
    Square,
    /// A triangle, point up.
    Triangle,
    /// A square on its corner.
    Diamond,
    /// A triangle, point down.
    TriangleDown,
    /// A plus sign.
    Plus,
    /// A multiplication sign.
    Cross,
    /// A hexagon.
    Hexagon,
}

/// All markers in the order in which series take them.
pub const MARKERS: [Marker; 8] = [
    Marker::Circle,
    Marker::Square,
    Marker::Triangle,
    Marker::Diamond,
    Marker::TriangleDown,
    Marker::Plus,
    Marker::Cross,
    Marker::Hexagon,
];

impl Marker {
    /// The marker of the series in this slot; slots past the last start again.
    pub fn for_slot(slot: usize) -> Self {
        MARKERS[slot % MARKERS.len()]
    }

    /// Corners of the shape around `centre`, its area about that of a disc of `radius`; none for the disc itself.
    pub(super) fn outline(self, centre: (f64, f64), radius: f64) -> Vec<(f64, f64)> {
        // Half the width of the bars of plus and cross, and the reach of their arms.
        const BAR: f64 = 0.42;
        const ARM: f64 = 1.25;
        let corners: &[(f64, f64)] = match self {
            Self::Circle => &[],
            Self::Square => &[(-0.9, -0.9), (0.9, -0.9), (0.9, 0.9), (-0.9, 0.9)],
            Self::Triangle => &[(0.0, -1.3), (1.2, 0.85), (-1.2, 0.85)],
            Self::TriangleDown => &[(0.0, 1.3), (-1.2, -0.85), (1.2, -0.85)],
            Self::Diamond => &[(0.0, -1.3), (1.3, 0.0), (0.0, 1.3), (-1.3, 0.0)],
            Self::Hexagon => {
                &[(0.0, -1.15), (1.0, -0.575), (1.0, 0.575), (0.0, 1.15), (-1.0, 0.575), (-1.0, -0.575)]
            }
            Self::Plus | Self::Cross => &[
                (-BAR, -ARM),
                (BAR, -ARM),
                (BAR, -BAR),
                (ARM, -BAR),
                (ARM, BAR),
                (BAR, BAR),
                (BAR, ARM),
                (-BAR, ARM),
                (-BAR, BAR),
                (-ARM, BAR),
                (-ARM, -BAR),
                (-BAR, -BAR),
            ],
        };
        let turn = if self == Self::Cross { std::f64::consts::FRAC_1_SQRT_2 } else { 0.0 };
        corners
            .iter()
            .map(|&(x, y)| if turn == 0.0 { (x, y) } else { (turn * (x - y), turn * (x + y)) })
            .map(|(x, y)| (centre.0 + radius * x, centre.1 + radius * y))
            .collect()
    }

    /// The shape as SVG path data, for legends in HTML.
    ///
    /// ```
    /// use quantscope::plot::Marker;
    /// assert_eq!(Marker::Diamond.path_data((10.0, 7.0), 2.0), "M10 4.4L12.6 7L10 9.6L7.4 7Z");
    /// ```
    pub fn path_data(self, centre: (f64, f64), radius: f64) -> String {
        if self == Self::Circle {
            let (left, y) = (centre.0 - radius, centre.1);
            return format!(
                "M{left} {y}a{radius} {radius} 0 1 0 {0} 0a{radius} {radius} 0 1 0 -{0} 0Z",
                2.0 * radius
            );
        }
        let mut path = String::new();
        for (i, (x, y)) in self.outline(centre, radius).into_iter().enumerate() {
            let letter = if i == 0 { 'M' } else { 'L' };
            // Writing to a string cannot fail.
            let _ = write!(path, "{letter}{} {}", tidy(x), tidy(y));
        }
        path.push('Z');
        path
    }
}

/// `value` to three decimals.
fn tidy(value: f64) -> f64 {
    (value * 1000.0).round_ties_even() / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_marker_has_its_own_shape() {
        for (i, a) in MARKERS.iter().enumerate() {
            for b in &MARKERS[i + 1..] {
                assert_ne!(a.outline((0.0, 0.0), 1.0), b.outline((0.0, 0.0), 1.0));
            }
        }
    }

    #[test]
    fn outlines_stay_near_their_centre() {
        for marker in MARKERS {
            for (x, y) in marker.outline((5.0, 5.0), 2.0) {
                assert!((x - 5.0).abs() <= 2.8 && (y - 5.0).abs() <= 2.8);
            }
        }
    }
}
