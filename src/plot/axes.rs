//! The part all charts share: background, margins, grid, tick labels and axis titles.
//!
//! Margins come from the number of characters, not from measuring text: measuring goes through the DOM on a canvas and
//! would cost more than the rest of the chart.

use super::PlotError;
use super::frame::{Frame, Spacing};
use super::scene::{Align, Scene, Shape};
use super::theme::{Colour, Scale, Theme};
use super::ticks::{Tick, count_label, ticks};

/// Font sizes in CSS pixels.
pub(super) const LABEL_SIZE: f64 = 12.0;
pub(super) const TITLE_SIZE: f64 = 12.0;

/// Smallest data area, in CSS pixels, that a chart is drawn in.
const SMALLEST: f64 = 24.0;

/// Smallest distance between tick labels above each other, in CSS pixels.
const LINE_HEIGHT: f64 = 14.0;

/// Estimated width of `text` in a sans-serif font, on the safe side, in the unit of `size`.
pub(super) fn text_width(text: &str, size: f64) -> f64 {
    let ems = text.chars().map(|c| match c {
        'i' | 'j' | 'l' | '.' | ',' | ':' | ';' | '|' | '!' | '\'' => 0.32,
        'f' | 'r' | 't' | 'I' | ' ' | '(' | ')' | '-' | '/' => 0.42,
        'm' | 'w' | 'M' | 'W' => 0.95,
        'A'..='Z' | '%' | '\u{2212}' | '\u{3bb}' => 0.72,
        c if c.is_ascii() => 0.61,
        _ => 0.9,
    });
    ems.sum::<f64>() * size
}

/// What a pair of axes shows.
#[derive(Debug)]
pub(super) struct Axes<'a> {
    /// The whole picture, in device pixels.
    pub size: (u32, u32),
    /// Height kept free at the top, in CSS pixels.
    pub header: f64,
    pub x_range: (f64, f64),
    pub y_range: (f64, f64),
    pub y_spacing: Spacing,
    /// Whether the vertical axis counts things.
    pub counts: bool,
    pub x_title: &'a str,
    pub y_title: &'a str,
    /// Whether vertical grid lines are drawn beside the horizontal ones.
    pub vertical_grid: bool,
}

impl Axes<'_> {
    /// Draws background and axes and returns the frame for the data.
    pub fn draw(&self, scene: &mut Scene, theme: &Theme, scale: Scale) -> Result<Frame, PlotError> {
        let px = |css: f64| scale.pixels(css);
        let (width, height) = (f64::from(self.size.0), f64::from(self.size.1));
        let (top, bottom) = (px(self.header + 34.0).round_ties_even(), (height - px(44.0)).round_ties_even());
        let y_ticks = self.y_ticks(((bottom - top) / px(42.0)) as usize);
        let label_width = y_ticks.iter().map(|t| text_width(&t.label, LABEL_SIZE)).fold(8.0, f64::max);
        let (left, right) = (px(label_width + 20.0).round_ties_even(), (width - px(18.0)).round_ties_even());
        if right - left < px(SMALLEST) || bottom - top < px(SMALLEST) {
            return Err(PlotError::TooSmall { width: self.size.0, height: self.size.1 });
        }
        let frame = Frame {
            x_pixels: (left, right),
            y_pixels: (top, bottom),
            x_range: self.x_range,
            y_range: self.y_range,
            y_spacing: self.y_spacing,
        };
        let hairline = scale.whole(1.0);
        scene.rectangle((0.0, 0.0), (width, height), theme.background);
        let mut free_below = f64::INFINITY;
        for tick in &y_ticks {
            let (_, y) = frame.to_pixels(self.x_range.0, tick.value);
            if free_below - y < px(LINE_HEIGHT) {
                continue;
            }
            free_below = y;
            scene.horizontal((left, right), y, hairline, theme.grid);
            write(scene, scale, &tick.label, LABEL_SIZE, (left - px(8.0), y), Align::Right, theme.muted);
        }
        for tick in ticks(self.x_range, ((right - left) / px(62.0)) as usize) {
            let (x, _) = frame.to_pixels(tick.value, self.y_range.0);
            if self.vertical_grid {
                scene.vertical(x, (top, bottom), hairline, theme.grid);
            } else {
                scene.vertical(x, (bottom, bottom + px(4.0)), hairline, theme.muted.fade(0.7));
            }
            write(scene, scale, &tick.label, LABEL_SIZE, (x, bottom + px(14.0)), Align::Centre, theme.muted);
        }
        scene.horizontal((left, right), bottom, hairline, theme.muted.fade(0.7));
        write(scene, scale, self.y_title, TITLE_SIZE, (px(14.0), top - px(20.0)), Align::Left, theme.text);
        write(scene, scale, self.x_title, TITLE_SIZE, (right, bottom + px(32.0)), Align::Right, theme.text);
        Ok(frame)
    }

    fn y_ticks(&self, most: usize) -> Vec<Tick> {
        match self.y_spacing {
            Spacing::Linear if self.counts => {
                let short = |tick: Tick| Tick { label: count_label(tick.value), ..tick };
                ticks(self.y_range, most).into_iter().map(short).collect()
            }
            Spacing::Linear => ticks(self.y_range, most),
            Spacing::LogCount => decades(self.y_range.1, most),
        }
    }
}

/// One line of text in CSS pixels' `size`.
pub(super) fn write(
    scene: &mut Scene,
    scale: Scale,
    text: &str,
    size: f64,
    at: (f64, f64),
    align: Align,
    colour: Colour,
) {
    let size = scale.pixels(size);
    scene.add(Shape::Text { text: text.to_owned(), at, align, size, bold: false, ink: colour.into() });
}

/// Powers of ten from 1 to `end` with 0 below them, thinned to at most about `most`.
fn decades(end: f64, most: usize) -> Vec<Tick> {
    let top = libm::floor(libm::log10(end.max(1.0))) as i32;
    let every = (top as usize + 1).div_ceil(most.max(1)).max(1);
    let powers = (0..=top).step_by(every).map(|e| libm::pow(10.0, f64::from(e)));
    std::iter::once(0.0).chain(powers).map(|value| Tick { value, label: count_label(value) }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn longer_texts_are_wider() {
        assert_eq!(text_width("", 12.0), 0.0);
        assert!(text_width("ECSQ, exact", 12.0) > text_width("ECSQ", 12.0));
        assert!(text_width("iiii", 10.0) < text_width("mmmm", 10.0));
    }

    #[test]
    fn decades_start_at_zero_and_thin_out() {
        let labels = |end, most| decades(end, most).into_iter().map(|t| t.label).collect::<Vec<_>>();
        assert_eq!(labels(3000.0, 8), ["0", "1", "10", "100", "1k"]);
        assert_eq!(labels(3e8, 5), ["0", "1", "100", "10k", "1M", "100M"]);
        assert_eq!(labels(0.0, 4), ["0", "1"]);
    }
}
