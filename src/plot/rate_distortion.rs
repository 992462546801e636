//! Operating points of several methods: what a bit costs against what it buys.

use super::PlotError;
use super::axes::Axes;
use super::frame::{Frame, Spacing};
use super::marker::Marker;
use super::scene::{Pixel, Scene, Shape};
use super::theme::{Colour, Scale, Theme};
use super::ticks::{axis_range, drawable, extent};

/// The operating points of one method.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Series {
    /// The method's name for people.
    pub title: String,
    /// Points in the order in which the line joins them; those that are not finite are left out.
    pub points: Vec<(f64, f64)>,
    /// Shape of the points.
    pub marker: Marker,
    /// Slot in the theme's palette.
    pub colour: usize,
    /// Solved on a sample: dashed, with hollow points.
    pub preview: bool,
}

/// A curve to compare with, drawn muted and dashed and cut to the range of the series.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Line {
    /// Name of the bound.
    pub title: String,
    /// Points along the curve.
    pub points: Vec<(f64, f64)>,
}

/// A rate-distortion chart.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RateDistortion {
    /// One series per method.
    pub series: Vec<Series>,
    /// Bounds beside them.
    pub bounds: Vec<Line>,
    /// Curves of an earlier question, faint and without points: they keep the axes still until their successors are there.
    pub earlier: Vec<Line>,
    /// Title of the horizontal axis, with its unit.
    pub x_title: String,
    /// Title of the vertical axis, with its unit.
    pub y_title: String,
    /// The chosen operating point.
    pub current: Option<(f64, f64)>,
    /// The point under the pointer or the keyboard's cursor, as (series, point).
    pub highlighted: Option<(usize, usize)>,
}

impl RateDistortion {
    /// The point of `chart` nearest to these device pixels, as (series, point), if one is within `max_distance` pixels.
    ///
    /// Points that cannot be drawn are never found. Among equally near points the first series wins. O(points).
    pub fn nearest(
        &self,
        frame: &Frame,
        (x_pixel, y_pixel): (f64, f64),
        max_distance: f64,
    ) -> Option<(usize, usize)> {
        let mut best = None;
        let mut best_square = max_distance * max_distance;
        for (s, series) in self.series.iter().enumerate() {
            for (p, &(x, y)) in series.points.iter().enumerate() {
                if !(drawable(x) && drawable(y)) {
                    continue;
                }
                let (px, py) = frame.to_pixels(x, y);
                let square = (px - x_pixel) * (px - x_pixel) + (py - y_pixel) * (py - y_pixel);
                if square < best_square || (best.is_none() && square == best_square) {
                    (best, best_square) = (Some((s, p)), square);
                }
            }
        }
        best
    }

    /// The point at (series, point), if it exists and can be drawn.
    pub fn point(&self, at: (usize, usize)) -> Option<(f64, f64)> {
        let &(x, y) = self.series.get(at.0)?.points.get(at.1)?;
        (drawable(x) && drawable(y)).then_some((x, y))
    }

    /// Everything the axes must show: the series and the chosen point, or the bounds if there is nothing else.
    fn shown(&self) -> Vec<(f64, f64)> {
        let finite = |p: &&(f64, f64)| drawable(p.0) && drawable(p.1);
        let earlier = self.earlier.iter().flat_map(|line| &line.points);
        let series = self.series.iter().flat_map(|s| &s.points).chain(&self.current).chain(earlier);
        let shown: Vec<_> = series.filter(finite).copied().collect();
        if shown.is_empty() {
            self.bounds.iter().flat_map(|b| &b.points).filter(finite).copied().collect()
        } else {
            shown
        }
    }
}

/// Lays the chart out on `size` device pixels with `header` CSS pixels free at the top.
pub(super) fn layout(
    chart: &RateDistortion,
    size: (u32, u32),
    header: f64,
    theme: &Theme,
    scale: Scale,
) -> Result<(Scene, Frame), PlotError> {
    let mut scene = Scene::default();
    let shown = chart.shown();
    let axes = Axes {
        size,
        header,
        x_range: axis_range(extent(shown.iter().map(|p| p.0))),
        y_range: axis_range(extent(shown.iter().map(|p| p.1))),
        y_spacing: Spacing::Linear,
        counts: false,
        x_title: &chart.x_title,
        y_title: &chart.y_title,
        vertical_grid: true,
    };
    let frame = axes.draw(&mut scene, theme, scale)?;
    for bound in &chart.bounds {
        for run in clipped(&frame, &bound.points) {
            let dash = (scale.pixels(5.0), scale.pixels(4.0));
            scene.dashes(&run, dash, scale.whole(1.0), theme.muted.fade(0.9));
        }
    }
    for line in &chart.earlier {
        let points: Vec<Pixel> = pixels(&frame, &line.points).collect();
        if points.len() > 1 {
            scene.add(Shape::Path { points, width: scale.whole(1.5), ink: theme.muted.fade(0.35) });
        }
    }
    for series in &chart.series {
        line(&mut scene, &frame, series, theme, scale);
    }
    if let Some(current) = chart.current.filter(|p| drawable(p.0) && drawable(p.1)) {
        guides(&mut scene, &frame, frame.to_pixels(current.0, current.1), theme.accent, scale);
    }
    for series in &chart.series {
        markers(&mut scene, &frame, series, theme, scale);
    }
    if let Some(current) = chart.current.filter(|p| drawable(p.0) && drawable(p.1)) {
        let centre = frame.to_pixels(current.0, current.1);
        ring(&mut scene, centre, theme.background, theme.accent, scale);
    }
    if let Some(at) = chart.highlighted {
        highlight(&mut scene, &frame, chart, at, theme, scale);
    }
    Ok((scene, frame))
}

/// The point at `at` as it looks under the pointer: guides to both axes, a larger marker in a ring.
pub(super) fn highlight(
    scene: &mut Scene,
    frame: &Frame,
    chart: &RateDistortion,
    at: (usize, usize),
    theme: &Theme,
    scale: Scale,
) {
    let (Some(point), Some(series)) = (chart.point(at), chart.series.get(at.0)) else { return };
    let centre = frame.to_pixels(point.0, point.1);
    let colour = theme.series_colour(series.colour);
    guides(scene, frame, centre, theme.muted, scale);
    ring(scene, centre, theme.background, colour, scale);
    marker(scene, series.marker, centre, 4.2, colour, scale);
}

/// A line through the drawable points.
fn line(scene: &mut Scene, frame: &Frame, series: &Series, theme: &Theme, scale: Scale) {
    let points: Vec<Pixel> = pixels(frame, &series.points).collect();
    if points.len() < 2 {
        return;
    }
    let ink = theme.series_colour(series.colour).fade(0.85);
    let width = scale.whole(1.5);
    if series.preview {
        scene.dashes(&points, (scale.pixels(4.0), scale.pixels(4.0)), width, ink);
    } else {
        scene.add(Shape::Path { points, width, ink });
    }
}

/// A marker on every drawable point that is far enough from the last one marked; the last point always has one.
fn markers(scene: &mut Scene, frame: &Frame, series: &Series, theme: &Theme, scale: Scale) {
    let colour = theme.series_colour(series.colour);
    let apart = scale.pixels(7.0);
    let points: Vec<Pixel> = pixels(frame, &series.points).collect();
    let mut marked: Option<Pixel> = None;
    for (i, &centre) in points.iter().enumerate() {
        let near = marked.is_some_and(|m| (m.0 - centre.0).abs() < apart && (m.1 - centre.1).abs() < apart);
        if near && i + 1 < points.len() {
            continue;
        }
        marked = Some(centre);
        haloed_marker(scene, series.marker, centre, colour, series.preview, theme, scale);
    }
}

/// A marker with a rim of background around it, hollow for a preview.
pub(super) fn haloed_marker(
    scene: &mut Scene,
    shape: Marker,
    centre: Pixel,
    colour: Colour,
    hollow: bool,
    theme: &Theme,
    scale: Scale,
) {
    marker(scene, shape, centre, 4.1, theme.background, scale);
    marker(scene, shape, centre, 3.0, colour, scale);
    if hollow {
        marker(scene, shape, centre, 1.7, theme.background, scale);
    }
}

fn marker(scene: &mut Scene, shape: Marker, centre: Pixel, radius: f64, colour: Colour, scale: Scale) {
    let radius = scale.pixels(radius);
    if shape == Marker::Circle {
        scene.add(Shape::Disc { centre, radius, ink: colour.into() });
    } else {
        scene.add(Shape::Polygon { points: shape.outline(centre, radius), ink: colour.into() });
    }
}

/// A ring with a halo, around a point of any marker.
fn ring(scene: &mut Scene, centre: Pixel, halo: Colour, colour: Colour, scale: Scale) {
    let width = scale.whole(2.0);
    scene.add(Shape::Ring {
        centre,
        radius: scale.pixels(8.0),
        width: width + scale.pixels(2.0),
        ink: halo.fade(0.9),
    });
    scene.add(Shape::Ring { centre, radius: scale.pixels(8.0), width, ink: colour.into() });
}

/// Thin lines from a point down and left to the axes.
fn guides(scene: &mut Scene, frame: &Frame, (x, y): Pixel, colour: Colour, scale: Scale) {
    let width = scale.whole(1.0);
    scene.horizontal((frame.x_pixels.0, x), y, width, colour.fade(0.45));
    scene.vertical(x, (y, frame.y_pixels.1), width, colour.fade(0.45));
}

fn pixels<'a>(frame: &'a Frame, points: &'a [(f64, f64)]) -> impl Iterator<Item = Pixel> + 'a {
    points.iter().filter(|p| drawable(p.0) && drawable(p.1)).map(|&(x, y)| frame.to_pixels(x, y))
}

/// The runs of a polyline that lie in the data area.
fn clipped(frame: &Frame, points: &[(f64, f64)]) -> Vec<Vec<Pixel>> {
    let pixels: Vec<Pixel> = pixels(frame, points).collect();
    let mut runs: Vec<Vec<Pixel>> = Vec::new();
    for pair in pixels.windows(2) {
        let &[a, b] = pair else { continue };
        let Some((from, to)) = frame.clip(a, b) else { continue };
        match runs.last_mut() {
            Some(run) if run.last() == Some(&from) => run.push(to),
            _ => runs.push(vec![from, to]),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart() -> RateDistortion {
        RateDistortion {
            series: vec![Series { points: vec![(1.0, 6.0), (2.0, 12.0), (4.0, 24.0)], ..Series::default() }],
            bounds: vec![Line { title: "bound".into(), points: vec![(0.0, 1.5), (100.0, 600.0)] }],
            ..RateDistortion::default()
        }
    }

    fn laid_out(chart: &RateDistortion) -> (Scene, Frame) {
        layout(chart, (600, 400), 0.0, &Theme::light(), Scale::new(1.0)).unwrap()
    }

    #[test]
    fn markers_sit_where_the_frame_says() {
        let chart = chart();
        let (scene, frame) = laid_out(&chart);
        for &(x, y) in &chart.series[0].points {
            let at = frame.to_pixels(x, y);
            assert!(scene.shapes.iter().any(|s| matches!(s, Shape::Disc { centre, .. } if *centre == at)));
        }
    }

    #[test]
    fn bounds_do_not_stretch_the_axes_and_stay_inside() {
        let (scene, frame) = laid_out(&chart());
        assert!(frame.x_range.1 < 5.0 && frame.y_range.1 < 30.0);
        for shape in &scene.shapes {
            if let Shape::Path { points, .. } = shape {
                for &(x, y) in points {
                    assert!(
                        frame.contains(x.round_ties_even(), y.round_ties_even()),
                        "({x}, {y}) is outside"
                    );
                }
            }
        }
    }

    #[test]
    fn earlier_curves_hold_the_axes_and_have_no_points() {
        let mut chart = chart();
        chart.earlier = vec![Line { title: "earlier".into(), points: vec![(1.0, 30.0), (8.0, 50.0)] }];
        let (scene, frame) = laid_out(&chart);
        assert!(frame.x_range.1 >= 8.0 && frame.y_range.1 >= 50.0);
        let at = frame.to_pixels(8.0, 50.0);
        assert!(!scene.shapes.iter().any(|s| matches!(s, Shape::Disc { centre, .. } if *centre == at)));
        assert_eq!(chart.nearest(&frame, at, 28.0), None, "the pointer does not find them");
    }

    #[test]
    fn points_that_are_not_finite_are_left_out() {
        let mut chart = chart();
        let (clean, clean_frame) = laid_out(&chart);
        chart.series[0].points.insert(1, (f64::NAN, 3.0));
        chart.series[0].points.push((3.0, f64::INFINITY));
        let (scene, frame) = laid_out(&chart);
        assert_eq!(frame, clean_frame);
        assert_eq!(format!("{scene:?}"), format!("{clean:?}"));
        assert_eq!(chart.point((0, 1)), None);
        assert_eq!(chart.point((0, 9)), None);
    }

    #[test]
    fn one_point_and_no_point_are_charts_too() {
        let one = RateDistortion {
            series: vec![Series { points: vec![(3.0, 20.0)], ..Series::default() }],
            current: Some((3.0, 20.0)),
            highlighted: Some((0, 0)),
            ..RateDistortion::default()
        };
        let (scene, frame) = laid_out(&one);
        let at = frame.to_pixels(3.0, 20.0);
        assert!(frame.contains(at.0, at.1));
        assert!(scene.shapes.iter().any(|s| matches!(s, Shape::Ring { centre, .. } if *centre == at)));
        let (empty, _) = laid_out(&RateDistortion::default());
        assert!(empty.shapes.iter().all(|s| matches!(s, Shape::Rectangle { .. } | Shape::Text { .. })));
    }

    #[test]
    fn a_canvas_without_room_is_refused() {
        let error = layout(&chart(), (0, 0), 0.0, &Theme::light(), Scale::new(1.0)).unwrap_err();
        assert_eq!(error.to_string(), "a chart needs more room than 0 by 0 pixels");
    }

    #[test]
    fn the_nearest_drawable_point_is_found_within_reach() {
        let points = vec![(1.0, 10.0), (f64::NAN, 20.0), (2.0, 20.0)];
        let chart = RateDistortion {
            series: vec![
                Series { points, ..Series::default() },
                Series { points: vec![(2.0, 40.0)], ..Series::default() },
            ],
            ..RateDistortion::default()
        };
        let frame = Frame {
            x_pixels: (50.0, 450.0),
            y_pixels: (20.0, 220.0),
            x_range: (0.0, 8.0),
            y_range: (0.0, 99.0),
            y_spacing: Spacing::Linear,
        };
        assert_eq!(chart.nearest(&frame, frame.to_pixels(2.0, 21.0), 10.0), Some((0, 2)));
        assert_eq!(chart.nearest(&frame, frame.to_pixels(2.0, 39.0), 10.0), Some((1, 0)));
        assert_eq!(chart.nearest(&frame, (400.0, 30.0), 10.0), None);
        assert_eq!(RateDistortion::default().nearest(&frame, (400.0, 30.0), f64::INFINITY), None);
    }
}
