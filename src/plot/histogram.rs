//! The weights' histogram with a codebook laid over it.

use super::PlotError;
use super::axes::Axes;
use super::frame::{Frame, Spacing};
use super::scene::{Pixel, Scene, Shape};
use super::theme::{Scale, Theme};
use super::ticks::drawable;

/// Up to this many levels are drawn with heads; more are thin lines.
const MOST_HEADS: usize = 40;

/// Mean distance in CSS pixels from which thresholds are told apart.
const LEAST_APART: f64 = 4.0;

/// A histogram and the reconstruction values laid over it.
///
/// Bars show weights per bin. A level's stem shows its share of the weights, against the largest share: the two are
/// different quantities, so stems have a scale of their own, spaced like the counts' axis.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Histogram {
    /// Left edge of the first bin.
    pub start: f64,
    /// Width of a bin.
    pub width: f64,
    /// Weights per bin; what is not finite or negative counts as none.
    pub bins: Vec<f64>,
    /// (value, share of the weights, 0 to 1); levels outside the bins are left out.
    pub levels: Vec<(f64, f64)>,
    /// Boundaries between levels.
    pub thresholds: Vec<f64>,
    /// Title of the horizontal axis.
    pub x_title: String,
    /// Title of the vertical axis.
    pub y_title: String,
    /// Whether counts are spaced by decades.
    pub log_counts: bool,
}

impl Histogram {
    /// The range of values, if the bins describe one.
    fn range(&self) -> Option<(f64, f64)> {
        let end = self.start + self.width * self.bins.len() as f64;
        (self.width > 0.0 && drawable(self.start) && drawable(end) && end > self.start)
            .then_some((self.start, end))
    }
}

/// The height of a bin: what is not a count is none.
fn count(bin: f64) -> f64 {
    if bin > 0.0 && drawable(bin) { bin } else { 0.0 }
}

/// Lays the chart out on `size` device pixels with `header` CSS pixels free at the top.
pub(super) fn layout(
    chart: &Histogram,
    size: (u32, u32),
    header: f64,
    theme: &Theme,
    scale: Scale,
) -> Result<(Scene, Frame), PlotError> {
    let mut scene = Scene::default();
    let range = chart.range();
    let highest = chart.bins.iter().map(|b| count(*b)).fold(0.0, f64::max).max(1.0);
    let axes = Axes {
        size,
        header,
        x_range: range.unwrap_or((-1.0, 1.0)),
        y_range: (0.0, if chart.log_counts { highest * 1.6 } else { highest * 1.05 }),
        y_spacing: if chart.log_counts { Spacing::LogCount } else { Spacing::Linear },
        counts: true,
        x_title: &chart.x_title,
        y_title: &chart.y_title,
        vertical_grid: false,
    };
    let frame = axes.draw(&mut scene, theme, scale)?;
    if range.is_some() {
        bars(&mut scene, &frame, chart, theme, scale);
        thresholds(&mut scene, &frame, chart, theme, scale);
        stems(&mut scene, &frame, chart, theme, scale);
    }
    Ok((scene, frame))
}

/// The bins as one area with a line along its top.
fn bars(scene: &mut Scene, frame: &Frame, chart: &Histogram, theme: &Theme, scale: Scale) {
    let base = frame.y_pixels.1;
    let mut steps: Vec<Pixel> = Vec::with_capacity(2 * chart.bins.len() + 2);
    for (i, bin) in chart.bins.iter().enumerate() {
        let left = chart.start + chart.width * i as f64;
        let (x, y) = frame.to_pixels(left, count(*bin));
        let (end, _) = frame.to_pixels(left + chart.width, 0.0);
        steps.extend([(x, y), (end, y)]);
    }
    let outline = steps.clone();
    steps.push((frame.x_pixels.1, base));
    steps.push((frame.x_pixels.0, base));
    let colour = theme.series_colour(0);
    scene.add(Shape::Polygon { points: steps, ink: colour.fade(0.22) });
    scene.add(Shape::Path { points: outline, width: scale.whole(1.0), ink: colour.fade(0.75) });
}

/// Short ticks on the axis where the rule changes from one level to the next; none where they would run
/// together.
fn thresholds(scene: &mut Scene, frame: &Frame, chart: &Histogram, theme: &Theme, scale: Scale) {
    let base = frame.y_pixels.1;
    let shown: Vec<f64> = chart
        .thresholds
        .iter()
        .filter(|t| drawable(**t))
        .map(|t| frame.to_pixels(*t, 0.0).0)
        .filter(|x| frame.contains(*x, base))
        .collect();
    let (Some(first), Some(last)) = (shown.first(), shown.last()) else { return };
    if (last - first).abs() < scale.pixels(LEAST_APART) * (shown.len() - 1) as f64 {
        return;
    }
    for x in shown {
        scene.vertical(x, (base - scale.pixels(7.0), base), scale.whole(1.0), theme.muted.fade(0.8));
    }
}

/// A stem per level, its height by the level's share.
fn stems(scene: &mut Scene, frame: &Frame, chart: &Histogram, theme: &Theme, scale: Scale) {
    let largest = chart.levels.iter().map(|l| l.1).filter(|s| s.is_finite()).fold(0.0, f64::max);
    let base = frame.y_pixels.1;
    let heads = chart.levels.len() <= MOST_HEADS;
    let room = 0.9 * (base - frame.y_pixels.0);
    let ink = theme.accent.fade(if heads { 1.0 } else { 0.7 });
    let width = scale.whole(if heads { 1.5 } else { 1.0 });
    for &(value, share) in &chart.levels {
        let (x, _) = frame.to_pixels(value, 0.0);
        if !drawable(value) || !frame.contains(x, base) {
            continue;
        }
        let top = base - (room * height(share, largest, chart.log_counts)).max(scale.pixels(4.0));
        scene.vertical(x, (top.round_ties_even(), base), width, ink);
        if heads {
            scene.add(Shape::Disc {
                centre: (x, top),
                radius: scale.pixels(4.5),
                ink: theme.background.into(),
            });
            scene.add(Shape::Disc { centre: (x, top), radius: scale.pixels(3.2), ink });
        }
    }
}

/// Height of a stem, 0 to 1: its share over the largest, or four decades of that; full height where shares are unknown.
fn height(share: f64, largest: f64, decades: bool) -> f64 {
    const SHOWN: f64 = 4.0;
    if !(largest > 0.0 && share.is_finite()) {
        return 1.0;
    }
    let relative = (share / largest).clamp(0.0, 1.0);
    if !decades {
        return relative;
    }
    if relative == 0.0 { 0.0 } else { (1.0 + libm::log10(relative) / SHOWN).max(0.0) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chart() -> Histogram {
        Histogram {
            start: -1.0,
            width: 0.25,
            bins: vec![1.0, 10.0, 100.0, 1000.0, 1000.0, 100.0, 10.0, 1.0],
            levels: vec![(-0.5, 0.5), (0.5, 0.5)],
            thresholds: vec![0.0],
            ..Histogram::default()
        }
    }

    fn laid_out(chart: &Histogram) -> (Scene, Frame) {
        layout(chart, (600, 300), 0.0, &Theme::dark(), Scale::new(2.0)).unwrap()
    }

    fn discs(scene: &Scene) -> usize {
        scene.shapes.iter().filter(|s| matches!(s, Shape::Disc { .. })).count()
    }

    #[test]
    fn stems_stand_at_their_levels() {
        let (scene, frame) = laid_out(&chart());
        for value in [-0.5, 0.5] {
            let (x, _) = frame.to_pixels(value, 0.0);
            assert!(scene.shapes.iter().any(|s| matches!(s, Shape::Disc { centre, .. } if centre.0 == x)));
        }
    }

    #[test]
    fn many_levels_have_no_heads_and_stray_ones_are_left_out() {
        let mut many = chart();
        many.levels = (0..256).map(|i| (-1.0 + f64::from(i) / 128.0, 1.0 / 256.0)).collect();
        assert_eq!(discs(&laid_out(&many).0), 0);
        let mut stray = chart();
        stray.levels = vec![(5.0, 0.5), (f64::NAN, 0.5)];
        assert_eq!(discs(&laid_out(&stray).0), 0);
    }

    #[test]
    fn bins_that_describe_no_range_give_axes_only() {
        for width in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            let (scene, _) = laid_out(&Histogram { width, ..chart() });
            assert!(scene.shapes.iter().all(|s| matches!(s, Shape::Rectangle { .. } | Shape::Text { .. })));
        }
        laid_out(&Histogram::default());
    }

    #[test]
    fn broken_counts_are_none() {
        let broken = Histogram { bins: vec![f64::NAN, -3.0, f64::INFINITY, 2.0], ..chart() };
        let clean = Histogram { bins: vec![0.0, 0.0, 0.0, 2.0], ..chart() };
        assert_eq!(format!("{:?}", laid_out(&broken)), format!("{:?}", laid_out(&clean)));
    }

    #[test]
    fn stems_shrink_with_the_share() {
        assert_eq!(height(0.25, 0.5, false), 0.5);
        assert_eq!(height(0.005, 0.5, true), 0.5);
        assert_eq!(height(0.0, 0.5, true), 0.0);
        assert_eq!(height(f64::NAN, 0.5, false), 1.0);
        assert_eq!(height(0.0, 0.0, false), 1.0);
    }
}
