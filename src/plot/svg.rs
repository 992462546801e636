//! Charts as standalone SVG files, with a title, a legend and a description for those who cannot see them.
//!
//! The same input gives the same text. Coordinates are tenths of a pixel, so curves are smooth at any magnification.

use super::PlotError;
use super::axes::{LABEL_SIZE, text_width};
use super::histogram::{self, Histogram};
use super::marker::Marker;
#[cfg(feature = "network")]
use super::precision_map::{self, PrecisionMap};
use super::rate_distortion::{self, RateDistortion};
use super::scene::{Align, Scene, Shape};
use super::sensitivity::{self, Sensitivity};
use super::spans::{self, Spans};
use super::theme::{Colour, Scale, Theme};
use super::ticks::drawable;
use plotters_svg::SVGBackend;
use std::fmt::Write;

/// Units of the view box per pixel of the picture.
const DETAIL: u32 = 10;

/// The SVG backend divides font sizes by this.
const FONT_FACTOR: f64 = 1.24;

/// Largest width and height of a picture, in CSS pixels.
const LARGEST: u32 = 20_000;

const HEADING_SIZE: f64 = 15.0;
const LEGEND_ROW: f64 = 20.0;

/// A rate-distortion chart of `size` CSS pixels as an SVG document under the heading `title`.
pub fn rate_distortion(
    chart: &RateDistortion,
    title: &str,
    size: (u32, u32),
    theme: &Theme,
) -> Result<String, PlotError> {
    let mut entries: Vec<Entry> = chart
        .series
        .iter()
        .map(|s| Entry {
            title: s.title.clone(),
            key: Key::Series { marker: s.marker, colour: theme.series_colour(s.colour), preview: s.preview },
        })
        .collect();
    entries
        .extend(chart.bounds.iter().map(|b| Entry { title: b.title.clone(), key: Key::Bound(theme.muted) }));
    let legend = Legend::new(title, entries, size.0);
    let laid_out = rate_distortion::layout(chart, detailed(size)?, legend.height(), theme, scale());
    let (scene, _) = laid_out.map_err(|e| in_css_pixels(e, size))?;
    document(scene, &legend, title, &describe_rate_distortion(chart), size, theme)
}

/// A histogram of `size` CSS pixels as an SVG document under the heading `title`.
pub fn histogram(
    chart: &Histogram,
    title: &str,
    size: (u32, u32),
    theme: &Theme,
) -> Result<String, PlotError> {
    let mut entries = vec![Entry { title: "weights".to_owned(), key: Key::Area(theme.series_colour(0)) }];
    if !chart.levels.is_empty() {
        entries.push(Entry { title: "levels, height by share".to_owned(), key: Key::Stem(theme.accent) });
    }
    if !chart.thresholds.is_empty() {
        entries.push(Entry { title: "thresholds".to_owned(), key: Key::Threshold(theme.muted) });
    }
    let legend = Legend::new(title, entries, size.0);
    let laid_out = histogram::layout(chart, detailed(size)?, legend.height(), theme, scale());
    let (scene, _) = laid_out.map_err(|e| in_css_pixels(e, size))?;
    document(scene, &legend, title, &describe_histogram(chart), size, theme)
}

/// Tensors as bars, of `size` CSS pixels, as an SVG document under the heading `title`.
pub fn sensitivity(
    chart: &Sensitivity,
    title: &str,
    size: (u32, u32),
    theme: &Theme,
) -> Result<String, PlotError> {
    let area = |slot| Key::Area(theme.series_colour(slot));
    let keys = [area(0), if chart.ratios { area(1) } else { Key::Threshold(theme.text) }];
    let entries = chart.keys.iter().zip(keys).filter(|(title, _)| !title.is_empty());
    let entries = entries.map(|(title, key)| Entry { title: (*title).to_owned(), key }).collect();
    let legend = Legend::new(title, entries, size.0);
    let laid_out = sensitivity::layout(chart, detailed(size)?, legend.height(), theme, scale());
    let (scene, _) = laid_out.map_err(|e| in_css_pixels(e, size))?;
    document(scene, &legend, title, &describe_sensitivity(chart), size, theme)
}

/// Rows of spans, of `size` CSS pixels, as an SVG document under the heading `title`.
pub fn spans(chart: &Spans, title: &str, size: (u32, u32), theme: &Theme) -> Result<String, PlotError> {
    let keys = chart.keys.iter().enumerate();
    let entries =
        keys.map(|(slot, title)| Entry { title: title.clone(), key: Key::Area(theme.series_colour(slot)) });
    let legend = Legend::new(title, entries.collect(), size.0);
    let laid_out = spans::layout(chart, detailed(size)?, legend.height(), theme, scale());
    let (scene, _) = laid_out.map_err(|e| in_css_pixels(e, size))?;
    document(scene, &legend, title, &describe_spans(chart), size, theme)
}

/// A map of number formats `width` CSS pixels wide as an SVG document under the heading `title`.
#[cfg(feature = "network")]
pub fn precision_map(
    map: &PrecisionMap,
    title: &str,
    width: u32,
    theme: &Theme,
) -> Result<String, PlotError> {
    let legend = Legend::new(title, Vec::new(), width);
    let size = (width, libm::ceil(map.height(f64::from(width)) + legend.height()) as u32);
    let laid_out = precision_map::layout(map, detailed(size)?, legend.height(), theme, scale());
    let (scene, _) = laid_out.map_err(|e| in_css_pixels(e, size))?;
    document(scene, &legend, title, &describe_precision_map(map), size, theme)
}

fn scale() -> Scale {
    Scale::new(f64::from(DETAIL))
}

fn detailed(size: (u32, u32)) -> Result<(u32, u32), PlotError> {
    if size.0 > LARGEST || size.1 > LARGEST {
        return Err(PlotError::TooLarge { width: size.0, height: size.1, limit: LARGEST });
    }
    Ok((size.0 * DETAIL, size.1 * DETAIL))
}

/// The error in the unit in which the size was asked for.
fn in_css_pixels(error: PlotError, (width, height): (u32, u32)) -> PlotError {
    match error {
        PlotError::TooSmall { .. } => PlotError::TooSmall { width, height },
        other => other,
    }
}

/// How a legend's entry looks in the chart.
#[derive(Debug, Clone, Copy)]
enum Key {
    Series { marker: Marker, colour: Colour, preview: bool },
    Bound(Colour),
    Area(Colour),
    Stem(Colour),
    Threshold(Colour),
}

#[derive(Debug)]
struct Entry {
    title: String,
    key: Key,
}

/// The heading and the entries below it, broken into rows.
#[derive(Debug)]
struct Legend {
    heading: f64,
    rows: Vec<Vec<Entry>>,
}

impl Legend {
    const MARGIN: f64 = 14.0;
    const SWATCH: f64 = 22.0;
    const GAP: f64 = 18.0;

    fn new(title: &str, entries: Vec<Entry>, width: u32) -> Self {
        let room = f64::from(width) - 2.0 * Self::MARGIN;
        let mut rows: Vec<Vec<Entry>> = Vec::new();
        let mut used = f64::INFINITY;
        for entry in entries {
            let wanted = Self::entry_width(&entry);
            if used + wanted > room {
                rows.push(Vec::new());
                used = 0.0;
            }
            used += wanted;
            if let Some(row) = rows.last_mut() {
                row.push(entry);
            }
        }
        Self { heading: if title.is_empty() { 0.0 } else { 30.0 }, rows }
    }

    fn entry_width(entry: &Entry) -> f64 {
        Self::SWATCH + 6.0 + text_width(&entry.title, LABEL_SIZE) + Self::GAP
    }

    /// Height of heading and rows with their padding, in CSS pixels.
    fn height(&self) -> f64 {
        self.heading + LEGEND_ROW * self.rows.len() as f64 + 8.0
    }

    fn draw(&self, scene: &mut Scene, title: &str, theme: &Theme) {
        let px = |css: f64| scale().pixels(css);
        if self.heading > 0.0 {
            scene.add(Shape::Text {
                text: title.to_owned(),
                at: (px(Self::MARGIN), px(22.0)),
                align: Align::Left,
                size: px(HEADING_SIZE),
                bold: true,
                ink: theme.text.into(),
            });
        }
        let mut y = self.heading + 8.0 + LEGEND_ROW / 2.0;
        for row in &self.rows {
            let mut x = Self::MARGIN;
            for entry in row {
                entry.key.draw(scene, (x, y), theme);
                scene.add(Shape::Text {
                    text: entry.title.clone(),
                    at: (px(x + Self::SWATCH + 6.0), px(y)),
                    align: Align::Left,
                    size: px(LABEL_SIZE),
                    bold: false,
                    ink: theme.text.into(),
                });
                x += Self::entry_width(entry);
            }
            y += LEGEND_ROW;
        }
    }
}

impl Key {
    /// Draws the swatch with its left end at `x` and its middle at `y`, in CSS pixels.
    fn draw(self, scene: &mut Scene, (x, y): (f64, f64), theme: &Theme) {
        let px = |css: f64| scale().pixels(css);
        let (left, right, middle) = (px(x), px(x + Legend::SWATCH), px(x + Legend::SWATCH / 2.0));
        match self {
            Self::Series { marker, colour, preview } => {
                let ends = [(left, px(y)), (right, px(y))];
                if preview {
                    scene.dashes(&ends, (px(4.0), px(4.0)), px(1.5), colour.fade(0.85));
                } else {
                    scene.horizontal((left, right), px(y), px(1.5), colour.fade(0.85));
                }
                let centre = (middle, px(y));
                rate_distortion::haloed_marker(scene, marker, centre, colour, preview, theme, scale());
            }
            Self::Bound(colour) => {
                scene.dashes(&[(left, px(y)), (right, px(y))], (px(5.0), px(4.0)), px(1.0), colour.fade(0.9));
            }
            Self::Area(colour) => {
                scene.rectangle((left, px(y - 5.0)), (right, px(y + 5.0)), colour.fade(0.22));
                scene.horizontal((left, right), px(y - 5.0), px(1.0), colour.fade(0.75));
            }
            Self::Stem(colour) => {
                scene.vertical(middle, (px(y - 4.0), px(y + 7.0)), px(1.5), colour);
                scene.add(Shape::Disc { centre: (middle, px(y - 4.0)), radius: px(3.2), ink: colour.into() });
            }
            Self::Threshold(colour) => {
                scene.vertical(middle, (px(y - 3.5), px(y + 3.5)), px(1.0), colour.fade(0.8));
            }
        }
    }
}

/// Paints the scene and puts the heading and the description where assistive technology looks for them.
fn document(
    mut scene: Scene,
    legend: &Legend,
    title: &str,
    description: &str,
    size: (u32, u32),
    theme: &Theme,
) -> Result<String, PlotError> {
    legend.draw(&mut scene, title, theme);
    for shape in &mut scene.shapes {
        if let Shape::Text { text, .. } = shape {
            *text = printable(text);
        }
    }
    let mut drawing = String::new();
    let mut backend = SVGBackend::with_string(&mut drawing, (size.0 * DETAIL, size.1 * DETAIL));
    scene.paint(&mut backend, &theme.font, FONT_FACTOR)?;
    drop(backend);
    let body = drawing.split_once('\n').map_or("", |(_, body)| body);
    let mut document = String::with_capacity(drawing.len() + 512);
    let (width, height) = size;
    // Writing to a string cannot fail.
    let _ = write!(
        document,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {} {}\" role=\"img\" aria-labelledby=\"title description\">\n\
         <title id=\"title\">{}</title>\n<desc id=\"description\">{}</desc>\n{body}",
        width * DETAIL,
        height * DETAIL,
        escaped(title),
        escaped(description),
    );
    Ok(document)
}

fn describe_rate_distortion(chart: &RateDistortion) -> String {
    let mut text = format!("{} against {}.", chart.y_title, chart.x_title);
    for series in &chart.series {
        let points: Vec<_> = series.points.iter().filter(|p| drawable(p.0) && drawable(p.1)).collect();
        let _ = match (points.first(), points.last()) {
            (Some(first), Some(last)) if points.len() > 1 => write!(
                text,
                " {}: {} points from ({:.3}, {:.3}) to ({:.3}, {:.3}).",
                series.title,
                points.len(),
                first.0,
                first.1,
                last.0,
                last.1
            ),
            (Some(only), _) => {
                write!(text, " {}: one point at ({:.3}, {:.3}).", series.title, only.0, only.1)
            }
            (None, _) => write!(text, " {}: no points.", series.title),
        };
    }
    for bound in &chart.bounds {
        let _ = write!(text, " Bound: {}.", bound.title);
    }
    text
}

fn describe_histogram(chart: &Histogram) -> String {
    let end = chart.start + chart.width * chart.bins.len() as f64;
    let mut text = format!(
        "{} against {}: {} bins from {:.4} to {end:.4}.",
        chart.y_title,
        chart.x_title,
        chart.bins.len(),
        chart.start
    );
    if let (Some(first), Some(last)) = (chart.levels.first(), chart.levels.last()) {
        let _ = write!(text, " {} levels from {:.4} to {:.4}.", chart.levels.len(), first.0, last.0);
    }
    text
}

fn describe_sensitivity(chart: &Sensitivity) -> String {
    let mut text = format!("{}, {} tensors.", chart.x_title, chart.bars.len());
    for bar in &chart.bars {
        let _ = write!(text, " {}: {}.", bar.title, if bar.label.is_empty() { "none" } else { &bar.label });
    }
    text
}

fn describe_spans(chart: &Spans) -> String {
    let mut text = format!("{}, {} rows: {}.", chart.x_title, chart.rows.len(), chart.keys.join(", "));
    for row in &chart.rows {
        let _ = write!(text, " {}: {}.", row.title, if row.label.is_empty() { "none" } else { &row.label });
    }
    text
}

#[cfg(feature = "network")]
fn describe_precision_map(map: &PrecisionMap) -> String {
    let seen = map.points.iter().filter(|point| !point.share.is_nan()).count();
    let reach = map.points.iter().filter(|point| point.reaches).count();
    let mut text = format!(
        "{} number formats, {seen} measured, {reach} reach {} or may still.",
        map.points.len(),
        map.target
    );
    for (title, at) in &map.choices {
        if let Some(point) = map.points.get(*at) {
            let ((along, up), (x, y)) = (point.axes, point.place);
            let _ = write!(text, " {title}: {}, {x} {along}", point.family);
            let _ = if up.is_empty() { write!(text, ".") } else { write!(text, ", {y} {up}.") };
        }
    }
    text
}

/// `text` without the control characters that XML forbids.
fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') { '\u{fffd}' } else { c })
        .collect()
}

fn escaped(text: &str) -> String {
    printable(text).replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
