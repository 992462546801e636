//! Spans along an axis, row by row: what energies are made of, one part behind the other, and how far a result moves with a
//! constant, to both sides of what it is.
//!
//! As many rows are drawn as there is room for, in the order given; the rest is counted.

use super::PlotError;
use super::axes::{LABEL_SIZE, TITLE_SIZE, text_width, write};
use super::scene::{Align, Scene};
use super::sensitivity::{LEAST_LENGTH, LEAST_ROW, MOST_ROW, NAMES, fitted};
use super::theme::{Scale, Theme};
use super::ticks::{axis_range, drawable, extent, ticks};

/// A part of a row.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Span {
    /// One end, in data units.
    pub from: f64,
    /// The other end.
    pub to: f64,
    /// Which of the chart's keys it is.
    pub key: usize,
}

/// A row.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SpanRow {
    /// Its name.
    pub title: String,
    /// Its parts; those with an end that is no number are not drawn.
    pub spans: Vec<Span>,
    /// What is written behind them.
    pub label: String,
}

/// A chart of spans.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Spans {
    /// From top to bottom.
    pub rows: Vec<SpanRow>,
    /// What the spans of each key are, in the order of the theme's colours.
    pub keys: Vec<String>,
    /// Where a line crosses all rows, in data units.
    pub base: f64,
    /// Title of the horizontal axis, with its unit.
    pub x_title: String,
}

impl SpanRow {
    /// Parts one behind the other from zero, each of the key that it has the place of.
    pub fn stacked(title: String, parts: &[f64], label: String) -> Self {
        let mut from = 0.0;
        let span = |(key, part): (usize, &f64)| {
            let span = Span { from, to: from + part, key };
            from = span.to;
            span
        };
        Self { title, spans: parts.iter().enumerate().map(span).collect(), label }
    }

    fn drawn(&self) -> impl Iterator<Item = &Span> {
        self.spans.iter().filter(|span| drawable(span.from) && drawable(span.to))
    }
}

impl Spans {
    fn range(&self) -> (f64, f64) {
        let ends = self.rows.iter().flat_map(SpanRow::drawn).flat_map(|span| [span.from, span.to]);
        axis_range(extent(ends.chain([self.base])))
    }
}

/// Lays the chart out on `size` device pixels with `header` CSS pixels free at the top; also how many rows found room.
pub(super) fn layout(
    chart: &Spans,
    size: (u32, u32),
    header: f64,
    theme: &Theme,
    scale: Scale,
) -> Result<(Scene, usize), PlotError> {
    let px = |css: f64| scale.pixels(css);
    let (width, height) = (f64::from(size.0), f64::from(size.1));
    let (top, bottom) = (px(header + 8.0).round_ties_even(), (height - px(44.0)).round_ties_even());
    let count = chart.rows.len();
    let fit = ((bottom - top) / px(LEAST_ROW)).max(0.0) as usize;
    // The line that counts the rest takes a row.
    let shown = if count > fit { fit.saturating_sub(1) } else { count };
    let widest = |texts: &mut dyn Iterator<Item = &str>| {
        texts.map(|text| text_width(text, LABEL_SIZE)).fold(8.0, f64::max)
    };
    let names =
        px(widest(&mut chart.rows.iter().take(shown).map(|row| row.title.as_str()))).min(width * NAMES);
    let labels =
        px(widest(&mut chart.rows.iter().take(shown).map(|row| row.label.as_str()))).min(width * NAMES);
    let left = (names + px(14.0)).round_ties_even();
    let right = (width - labels - px(14.0)).round_ties_even();
    if right - left < px(LEAST_LENGTH) || (shown == 0 && count > 0) {
        return Err(PlotError::TooSmall { width: size.0, height: size.1 });
    }
    let rows = shown + usize::from(shown < count);
    let row = ((bottom - top) / rows.max(1) as f64).min(px(MOST_ROW));
    let end = (top + row * rows as f64).round_ties_even();
    let range = chart.range();
    let across = |value: f64| left + (value - range.0) / (range.1 - range.0) * (right - left);
    let mut scene = Scene::default();
    scene.rectangle((0.0, 0.0), (width, height), theme.background);
    for tick in ticks(range, ((right - left) / px(62.0)) as usize) {
        let x = across(tick.value);
        scene.vertical(x, (top, end), scale.whole(1.0), theme.grid);
        write(&mut scene, scale, &tick.label, LABEL_SIZE, (x, end + px(13.0)), Align::Centre, theme.muted);
    }
    let place =
        Place { theme, scale, right: left - px(7.0), half: (row * 0.29).round_ties_even(), across: &across };
    for (i, data) in chart.rows.iter().take(shown).enumerate() {
        let middle = top + row * (i as f64 + 0.5);
        let title = fitted(&data.title, names / px(1.0));
        write(&mut scene, scale, &title, LABEL_SIZE, (place.right, middle), Align::Right, theme.text);
        place.row(data, chart.base, middle, &mut scene);
    }
    if shown < count {
        let at = (place.right, top + row * (shown as f64 + 0.5));
        let more = format!("and {} more", count - shown);
        write(&mut scene, scale, &more, LABEL_SIZE, at, Align::Right, theme.muted);
    }
    scene.vertical(across(chart.base), (top, end), scale.whole(1.0), theme.muted.fade(0.7));
    let at = (right, end + px(31.0));
    write(&mut scene, scale, &chart.x_title, TITLE_SIZE, at, Align::Right, theme.text);
    Ok((scene, shown))
}

/// Where rows are, in pixels.
struct Place<'a> {
    theme: &'a Theme,
    scale: Scale,
    /// Where names end.
    right: f64,
    /// Half the height of a span.
    half: f64,
    across: &'a dyn Fn(f64) -> f64,
}

impl Place<'_> {
    /// Draws the spans of a row and its label.
    fn row(&self, row: &SpanRow, base: f64, middle: f64, scene: &mut Scene) {
        let mut end = (self.across)(base);
        for span in row.drawn() {
            let (from, to) = ((self.across)(span.from), (self.across)(span.to));
            end = end.max(from).max(to);
            let ink = self.theme.series_colour(span.key).fade(0.85);
            scene.rectangle((from.min(to), middle - self.half), (from.max(to), middle + self.half), ink);
        }
        let at = (end + self.scale.pixels(6.0), middle);
        write(scene, self.scale, &row.label, LABEL_SIZE, at, Align::Left, self.theme.muted);
    }
}

#[cfg(test)]
mod tests {
    use super::super::scene::Shape;
    use super::*;

    fn drawn(chart: &Spans, height: u32) -> (Vec<(f64, f64)>, usize) {
        let (scene, shown) = layout(chart, (600, height), 0.0, &Theme::light(), Scale::new(1.0)).unwrap();
        let span = |shape: &Shape| match shape {
            Shape::Rectangle { from, to, ink } if ink.opacity == 0.85 => Some((from.0, to.0)),
            _ => None,
        };
        (scene.shapes.iter().filter_map(span).collect(), shown)
    }

    #[test]
    fn parts_lie_one_behind_the_other_and_are_as_long_as_they_are_much() {
        let row = |parts: &[f64]| SpanRow::stacked("m7e6".to_owned(), parts, String::new());
        let chart = Spans { rows: vec![row(&[1.0, 3.0]), row(&[2.0, 2.0])], ..Spans::default() };
        let (spans, shown) = drawn(&chart, 260);
        assert_eq!(shown, 2);
        assert!((spans[0].1 - spans[1].0).abs() < 1e-9 && (spans[1].1 - spans[3].1).abs() < 1e-9);
        assert!(((spans[1].1 - spans[1].0) / (spans[0].1 - spans[0].0) - 3.0).abs() < 1e-9);
    }

    #[test]
    fn values_that_are_no_numbers_are_left_out_and_what_has_no_room_is_counted() {
        let row = |to: f64| SpanRow { spans: vec![Span { from: 1.0, to, key: 0 }], ..SpanRow::default() };
        let rows = [f64::NAN, f64::INFINITY, 2.0].map(row).to_vec();
        assert_eq!(drawn(&Spans { rows, base: 1.0, ..Spans::default() }, 260).0.len(), 1);
        let many = Spans { rows: vec![row(2.0); 40], ..Spans::default() };
        assert!(drawn(&many, 260).1 < 40);
        assert_eq!(drawn(&Spans::default(), 260), (vec![], 0));
    }
}
