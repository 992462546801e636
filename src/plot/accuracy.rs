//! Measured points of several methods: size against accuracy, or prediction against measurement, with intervals.

use super::PlotError;
use super::axes::Axes;
use super::frame::{Frame, Spacing};
use super::marker::Marker;
use super::rate_distortion::haloed_marker;
use super::scene::{Pixel, Scene, Shape};
use super::theme::{Scale, Theme};
use super::ticks::{axis_range, drawable, extent};

/// A measured point.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Measured {
    /// Horizontal value.
    pub x: f64,
    /// Vertical value.
    pub y: f64,
    /// Ends of its interval; equal where there is none.
    pub interval: (f64, f64),
    /// Another point is smaller and no worse.
    pub dominated: bool,
}

/// The points of one method.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct MeasuredSeries {
    /// Its name for people.
    pub title: String,
    /// Points, joined in their order where `joined`.
    pub points: Vec<Measured>,
    /// Shape of the points.
    pub marker: Marker,
    /// Slot in the theme's palette.
    pub colour: usize,
    /// Whether a line joins the points.
    pub joined: bool,
}

/// A chart of measured points.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Accuracy {
    /// One series per method.
    pub series: Vec<MeasuredSeries>,
    /// A level to compare with, with its interval.
    pub baseline: Option<(f64, f64, f64)>,
    /// Whether the line of equal values is drawn.
    pub diagonal: bool,
    /// Title of the horizontal axis, with its unit.
    pub x_title: String,
    /// Title of the vertical axis, with its unit.
    pub y_title: String,
    /// Points outside these values are left out, horizontally and vertically.
    pub limits: Option<((f64, f64), (f64, f64))>,
    /// A point that is marked, as (series, point).
    pub chosen: Option<(usize, usize)>,
}

impl Accuracy {
    fn shows(&self, point: &Measured) -> bool {
        let ((left, right), (low, high)) =
            self.limits.unwrap_or(((f64::MIN, f64::MAX), (f64::MIN, f64::MAX)));
        let inside = point.x >= left && point.x <= right && point.y >= low && point.y <= high;
        drawable(point.x) && drawable(point.y) && inside
    }

    fn shown(&self) -> impl Iterator<Item = &Measured> {
        self.series.iter().flat_map(|series| &series.points).filter(|point| self.shows(point))
    }
}

/// Lays the chart out on `size` device pixels.
pub(super) fn layout(
    chart: &Accuracy,
    size: (u32, u32),
    header: f64,
    theme: &Theme,
    scale: Scale,
) -> Result<(Scene, Frame), PlotError> {
    let mut scene = Scene::default();
    let base = chart.baseline.iter().map(|(y, ..)| *y);
    let axes = Axes {
        size,
        header,
        x_range: axis_range(extent(chart.shown().map(|p| p.x))),
        y_range: axis_range(extent(chart.shown().map(|p| p.y).chain(base))),
        y_spacing: Spacing::Linear,
        counts: false,
        x_title: &chart.x_title,
        y_title: &chart.y_title,
        vertical_grid: true,
    };
    let frame = axes.draw(&mut scene, theme, scale)?;
    let dash = (scale.pixels(5.0), scale.pixels(4.0));
    let (x, y) = (axes.x_range, axes.y_range);
    if let Some((level, low, high)) = chart.baseline {
        for (value, fade) in [(level, 0.9), (low, 0.4), (high, 0.4)] {
            if value >= y.0 && value <= y.1 {
                let ends = [frame.to_pixels(x.0, value), frame.to_pixels(x.1, value)];
                scene.dashes(&ends, dash, scale.whole(1.0), theme.muted.fade(fade));
            }
        }
    }
    let (from, to) = (x.0.max(y.0), x.1.min(y.1));
    if chart.diagonal && from < to {
        scene.dashes(
            &[frame.to_pixels(from, from), frame.to_pixels(to, to)],
            dash,
            scale.whole(1.0),
            theme.muted.into(),
        );
    }
    for series in &chart.series {
        draw_series(&mut scene, &frame, (chart, series), y, theme, scale);
    }
    let chosen = chart.chosen.and_then(|(s, p)| chart.series.get(s)?.points.get(p));
    if let Some(point) = chosen.filter(|point| chart.shows(point)) {
        let centre = frame.to_pixels(point.x, point.y);
        let (radius, width) = (scale.pixels(8.0), scale.whole(2.0));
        scene.add(Shape::Ring { centre, radius, width, ink: theme.accent.into() });
    }
    Ok((scene, frame))
}

fn draw_series(
    scene: &mut Scene,
    frame: &Frame,
    (chart, series): (&Accuracy, &MeasuredSeries),
    y_range: (f64, f64),
    theme: &Theme,
    scale: Scale,
) {
    let colour = theme.series_colour(series.colour);
    let points: Vec<&Measured> = series.points.iter().filter(|point| chart.shows(point)).collect();
    for point in &points {
        let (low, high) = (point.interval.0.max(y_range.0), point.interval.1.min(y_range.1));
        if low < high {
            let ends = vec![frame.to_pixels(point.x, low), frame.to_pixels(point.x, high)];
            let fade = if point.dominated { 0.15 } else { 0.45 };
            scene.add(Shape::Path { points: ends, width: scale.whole(1.0), ink: colour.fade(fade) });
        }
    }
    let line: Vec<Pixel> = points.iter().map(|p| frame.to_pixels(p.x, p.y)).collect();
    if series.joined && line.len() > 1 {
        scene.add(Shape::Path { points: line, width: scale.whole(1.5), ink: colour.fade(0.5) });
    }
    for point in points {
        let colour = if point.dominated { theme.muted } else { colour };
        haloed_marker(scene, series.marker, frame.to_pixels(point.x, point.y), colour, false, theme, scale);
    }
}

/// Marks the points that another beats: one that is no larger and better, or smaller and no worse.
///
/// `better` says which way the vertical axis is better.
pub fn mark_dominated(series: &mut [MeasuredSeries], smaller_x_is_better: bool, higher_y_is_better: bool) {
    let value = |p: &Measured| {
        (if smaller_x_is_better { p.x } else { -p.x }, if higher_y_is_better { p.y } else { -p.y })
    };
    let all: Vec<(f64, f64)> = series.iter().flat_map(|s| &s.points).map(value).collect();
    for point in series.iter_mut().flat_map(|series| &mut series.points) {
        let (x, y) = value(point);
        point.dominated = all.iter().any(|(ox, oy)| (*ox <= x && *oy > y) || (*ox < x && *oy >= y));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(points: &[(f64, f64)]) -> MeasuredSeries {
        let point =
            |(x, y): &(f64, f64)| Measured { x: *x, y: *y, interval: (y - 1.0, y + 1.0), dominated: false };
        MeasuredSeries {
            points: points.iter().map(point).collect(),
            joined: true,
            ..MeasuredSeries::default()
        }
    }

    #[test]
    fn a_point_is_dominated_by_a_smaller_one_that_is_no_worse() {
        let mut all = [series(&[(1.0, 90.0), (2.0, 95.0)]), series(&[(1.5, 89.0), (2.0, 95.0), (3.0, 95.0)])];
        mark_dominated(&mut all, true, true);
        let flags: Vec<bool> = all.iter().flat_map(|s| &s.points).map(|p| p.dominated).collect();
        assert_eq!(flags, [false, false, true, false, true]);
    }

    #[test]
    fn the_chart_is_drawn_with_intervals_and_baseline() {
        let chart = Accuracy {
            series: vec![series(&[(1.0, 90.0), (2.0, 95.0), (3.0, f64::NAN)])],
            baseline: Some((96.0, 95.0, 97.0)),
            diagonal: true,
            chosen: Some((0, 1)),
            ..Accuracy::default()
        };
        let (_, frame) = layout(&chart, (600, 400), 0.0, &Theme::light(), Scale::new(1.0)).unwrap();
        let (x, y) = frame.to_pixels(2.0, 95.0);
        assert!(x > 0.0 && x < 600.0 && y > 0.0 && y < 400.0);
    }
}
