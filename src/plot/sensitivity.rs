//! Tensors as horizontal bars: what share of the distortion each makes, or what the next bit is worth in each.
//!
//! Shares start at zero on an even scale, with a mark where the share of the bits ends. Slopes are ratios to the mean one:
//! bars leave the line of 1 on a logarithmic scale, to the right where a tensor deserves a finer step and to the left where
//! it could be coarser. As many bars are drawn as there is room for, in the order given; the rest is counted.

use super::PlotError;
use super::axes::{LABEL_SIZE, TITLE_SIZE, text_width, write};
use super::scene::{Align, Scene};
use super::theme::{Scale, Theme};
use super::ticks::{Tick, drawable, ticks};
use crate::engine::report::TensorSensitivity;

/// Heights of a row in CSS pixels.
pub(super) const LEAST_ROW: f64 = 20.0;
pub(super) const MOST_ROW: f64 = 32.0;
/// Largest part of the width that names take.
pub(super) const NAMES: f64 = 0.4;
/// Room for what is written at the end of the longest bar, in CSS pixels.
const LABEL_ROOM: f64 = 58.0;
/// Smallest length of the axis, in CSS pixels.
pub(super) const LEAST_LENGTH: f64 = 24.0;
/// Ratios beyond this are drawn as this: a tensor that is one thousand times too coarse is no finer told by a longer bar.
const MOST_RATIO: f64 = 1e3;

/// One tensor.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Bar {
    /// Its name.
    pub title: String,
    /// Where the bar ends; nothing is drawn for what is not a number, or not positive among ratios.
    pub value: f64,
    /// A mark beside the bar.
    pub mark: Option<f64>,
    /// What is written at the bar's end.
    pub label: String,
}

/// A chart of tensors.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sensitivity {
    /// From top to bottom.
    pub bars: Vec<Bar>,
    /// Whether the values are ratios: bars begin at 1, on a logarithmic scale.
    pub ratios: bool,
    /// Title of the horizontal axis, with its unit.
    pub x_title: &'static str,
    /// What bars mean, and what marks mean (of ratios: what bars to the left mean).
    pub keys: [&'static str; 2],
}

impl Sensitivity {
    /// Shares of the distortion, with marks at the shares of the bits.
    pub fn of_shares(rows: &[TensorSensitivity]) -> Self {
        let bar = |row: &TensorSensitivity| Bar {
            title: row.name.clone(),
            value: row.error_share * 100.0,
            mark: Some(row.bit_share * 100.0),
            label: format!("{:.1} %", row.error_share * 100.0),
        };
        Self {
            bars: rows.iter().map(bar).collect(),
            ratios: false,
            x_title: "share, %",
            keys: ["share of the distortion", "share of the bits"],
        }
    }

    /// Slopes over the mean slope.
    pub fn of_slopes(rows: &[TensorSensitivity]) -> Self {
        let bar = |row: &TensorSensitivity| Bar {
            title: row.name.clone(),
            value: row.slope_ratio.unwrap_or(f64::NAN),
            mark: None,
            label: row.slope_ratio.map(ratio_label).unwrap_or_default(),
        };
        Self {
            bars: rows.iter().map(bar).collect(),
            ratios: true,
            x_title: "worth of the next bit, × mean",
            keys: ["deserves a finer step", "could be coarser"],
        }
    }

    /// The position of a value on the axis before it is scaled; `None` for what cannot be drawn.
    fn place(&self, value: f64) -> Option<f64> {
        if !self.ratios {
            return Some(value).filter(|value| drawable(*value) && *value >= 0.0);
        }
        (value > 0.0).then(|| libm::log10(value.clamp(1.0 / MOST_RATIO, MOST_RATIO)))
    }

    fn range(&self) -> (f64, f64) {
        let values = self.bars.iter().flat_map(|bar| [Some(bar.value), bar.mark]);
        let places = values.filter_map(|value| self.place(value?));
        let (low, high) = places.fold((0.0, 0.0), |(low, high), x| (f64::min(low, x), f64::max(high, x)));
        if self.ratios {
            // A decade to both sides, so that slopes which differ little look so.
            return (low.min(-1.0), high.max(1.0));
        }
        (0.0, if high > 0.0 { high } else { 1.0 })
    }

    fn ticks(&self, range: (f64, f64), most: usize) -> Vec<Tick> {
        if !self.ratios {
            return ticks(range, most);
        }
        let mut found = Vec::new();
        let mut ratio = 1.0 / MOST_RATIO;
        while ratio <= MOST_RATIO {
            let value = libm::log10(ratio);
            if value >= range.0 - 1e-9 && value <= range.1 + 1e-9 {
                found.push(Tick { value, label: format!("{ratio}") });
            }
            // The next power of ten as the nearest number to it, which is written without noise.
            ratio = (ratio * 1e4).round_ties_even() / 1e3;
        }
        found
    }
}

/// Lays the chart out on `size` device pixels with `header` CSS pixels free at the top; also how many bars found room.
pub(super) fn layout(
    chart: &Sensitivity,
    size: (u32, u32),
    header: f64,
    theme: &Theme,
    scale: Scale,
) -> Result<(Scene, usize), PlotError> {
    let px = |css: f64| scale.pixels(css);
    let (width, height) = (f64::from(size.0), f64::from(size.1));
    let (top, bottom) = (px(header + 8.0).round_ties_even(), (height - px(44.0)).round_ties_even());
    let count = chart.bars.len();
    let fit = ((bottom - top) / px(LEAST_ROW)).max(0.0) as usize;
    // The line that counts the rest takes a row.
    let shown = if count > fit { fit.saturating_sub(1) } else { count };
    let longest = chart.bars.iter().take(shown).map(|bar| text_width(&bar.title, LABEL_SIZE));
    let names = px(longest.fold(8.0, f64::max)).min(width * NAMES);
    let (left, right) = ((names + px(14.0)).round_ties_even(), (width - px(LABEL_ROOM)).round_ties_even());
    if right - left < px(LEAST_LENGTH) || (shown == 0 && count > 0) {
        return Err(PlotError::TooSmall { width: size.0, height: size.1 });
    }
    let rows = shown + usize::from(shown < count);
    let row = ((bottom - top) / rows.max(1) as f64).min(px(MOST_ROW));
    let end = (top + row * rows as f64).round_ties_even();
    let range = chart.range();
    let across = |place: f64| left + (place - range.0) / (range.1 - range.0) * (right - left);

    let mut scene = Scene::default();
    scene.rectangle((0.0, 0.0), (width, height), theme.background);
    let frame = Frame { chart, theme, scale, left, right, top, end, row, across: &across };
    frame.axis(range, &mut scene);
    let base = across(0.0);
    for (i, bar) in chart.bars.iter().take(shown).enumerate() {
        let middle = top + row * (i as f64 + 0.5);
        let title = fitted(&bar.title, names / scale.pixels(1.0));
        write(&mut scene, scale, &title, LABEL_SIZE, (left - px(7.0), middle), Align::Right, theme.text);
        frame.bar(bar, middle, &mut scene);
    }
    if shown < count {
        let at = (left - px(7.0), top + row * (shown as f64 + 0.5));
        let more = format!("and {} more", count - shown);
        write(&mut scene, scale, &more, LABEL_SIZE, at, Align::Right, theme.muted);
    }
    scene.vertical(base, (top, end), scale.whole(1.0), theme.muted.fade(0.7));
    let at = (right, end + px(31.0));
    write(&mut scene, scale, chart.x_title, TITLE_SIZE, at, Align::Right, theme.text);
    Ok((scene, shown))
}

/// Where the bars are, in pixels.
struct Frame<'a> {
    chart: &'a Sensitivity,
    theme: &'a Theme,
    scale: Scale,
    left: f64,
    right: f64,
    top: f64,
    end: f64,
    row: f64,
    across: &'a dyn Fn(f64) -> f64,
}

impl Frame<'_> {
    /// Draws the lines and labels of the axis, as many as there is room for.
    fn axis(&self, range: (f64, f64), scene: &mut Scene) {
        let Self { theme, scale, end, .. } = *self;
        let px = |css: f64| scale.pixels(css);
        let mut free_after = f64::NEG_INFINITY;
        for tick in self.chart.ticks(range, ((self.right - self.left) / px(56.0)) as usize) {
            let x = (self.across)(tick.value);
            scene.vertical(x, (self.top, end), scale.whole(1.0), theme.grid);
            let half = px(text_width(&tick.label, LABEL_SIZE)) / 2.0;
            if x - half > free_after {
                let at = (x, end + px(13.0));
                write(scene, scale, &tick.label, LABEL_SIZE, at, Align::Centre, theme.muted);
                free_after = x + half + px(4.0);
            }
        }
    }

    /// Draws a bar with its mark and its label.
    fn bar(&self, bar: &Bar, middle: f64, scene: &mut Scene) {
        let Self { chart, theme, scale, row, across, .. } = *self;
        let px = |css: f64| scale.pixels(css);
        let Some(place) = chart.place(bar.value) else { return };
        let base = across(0.0);
        let (x, half) = (across(place), (row * 0.29).round_ties_even());
        let ink = theme.series_colour(usize::from(place < 0.0)).fade(0.85);
        scene.rectangle((base.min(x), middle - half), (base.max(x), middle + half), ink);
        let mut label = base.max(x) + px(6.0);
        if let Some(mark) = bar.mark.and_then(|mark| chart.place(mark)).map(across) {
            let half = (row * 0.4).round_ties_even();
            scene.vertical(mark, (middle - half, middle + half), scale.whole(2.0), theme.text);
            // A mark that stands where the label would be pushes it on.
            if mark > x && mark < label + px(text_width(&bar.label, LABEL_SIZE) + 4.0) {
                label = mark + px(6.0);
            }
        }
        write(scene, scale, &bar.label, LABEL_SIZE, (label, middle), Align::Left, theme.muted);
    }
}

/// A ratio in about three digits.
fn ratio_label(ratio: f64) -> String {
    let places = if ratio < 10.0 { 2 } else { usize::from(ratio < 100.0) };
    format!("{ratio:.places$}×")
}

/// As much of the end of `name` as `room` CSS pixels hold: names of tensors differ at their end.
pub(super) fn fitted(name: &str, room: f64) -> String {
    // No character is narrower than a pixel: what is further from the end has no room, and is not measured.
    let most = room.max(0.0) as usize + 1;
    let first = name.char_indices().rev().nth(most).map_or(0, |(at, _)| at);
    let name_end = name.get(first..).unwrap_or_default();
    if first == 0 && text_width(name, LABEL_SIZE) <= room {
        return name.to_owned();
    }
    let mut end = name_end.chars();
    while text_width(end.as_str(), LABEL_SIZE) > room - LABEL_SIZE && end.next().is_some() {}
    format!("…{}", end.as_str())
}

#[cfg(test)]
mod tests {
    use super::super::scene::Shape;
    use super::*;

    fn row(name: &str, error_share: f64, bit_share: f64, slope_ratio: Option<f64>) -> TensorSensitivity {
        TensorSensitivity {
            name: name.to_owned(),
            error_share,
            bit_share,
            slope_ratio,
            ..TensorSensitivity::default()
        }
    }

    fn laid_out(chart: &Sensitivity, height: u32) -> (Scene, usize) {
        layout(chart, (600, height), 0.0, &Theme::light(), Scale::new(1.0)).unwrap()
    }

    fn texts(scene: &Scene) -> Vec<String> {
        let text = |shape: &Shape| match shape {
            Shape::Text { text, .. } => Some(text.clone()),
            _ => None,
        };
        scene.shapes.iter().filter_map(text).collect()
    }

    #[test]
    fn what_has_no_room_is_counted() {
        let rows: Vec<_> = (0..40).map(|i| row(&format!("layer{i}"), 0.025, 0.025, None)).collect();
        let (scene, shown) = laid_out(&Sensitivity::of_shares(&rows), 260);
        assert!(shown < 40 && texts(&scene).contains(&format!("and {} more", 40 - shown)));
        let (scene, shown) = laid_out(&Sensitivity::of_shares(&rows[..3]), 260);
        assert_eq!(shown, 3);
        assert!(!texts(&scene).iter().any(|text| text.contains("more")));
    }

    #[test]
    fn the_bar_of_a_ratio_leaves_one_on_its_own_side() {
        let rows = [
            row("finer", 0.5, 0.5, Some(4.0)),
            row("coarser", 0.5, 0.5, Some(0.25)),
            row("none", 0.0, 0.0, None),
        ];
        let chart = Sensitivity::of_slopes(&rows);
        let (scene, _) = laid_out(&chart, 260);
        let bars: Vec<(f64, f64)> = scene
            .shapes
            .iter()
            .filter_map(|shape| match shape {
                Shape::Rectangle { from, to, ink } if ink.opacity == 0.85 => Some((from.0, to.0)),
                _ => None,
            })
            .collect();
        assert_eq!(bars.len(), 2, "a tensor without slope has no bar");
        assert!((bars[0].0 - bars[1].1).abs() < 1e-9, "both begin at 1");
        assert!(((bars[0].1 - bars[0].0) - (bars[1].1 - bars[1].0)).abs() < 1e-9, "4 and 1/4 are as far");
        assert!(texts(&scene).contains(&"4.00×".to_owned()));
    }

    #[test]
    fn values_that_are_no_numbers_and_extreme_ratios_stay_inside() {
        let rows = [row("a", f64::NAN, f64::INFINITY, Some(f64::INFINITY)), row("b", 0.0, 0.0, Some(1e-300))];
        for chart in [Sensitivity::of_shares(&rows), Sensitivity::of_slopes(&rows), Sensitivity::default()] {
            for shape in laid_out(&chart, 200).0.shapes {
                if let Shape::Rectangle { from, to, .. } = shape {
                    assert!(from.0 >= 0.0 && to.0 <= 600.0 && from.1 >= 0.0 && to.1 <= 200.0);
                }
            }
        }
    }

    #[test]
    fn long_names_keep_their_end() {
        assert_eq!(fitted("fc.weight", 200.0), "fc.weight");
        let short = fitted("model.layers.31.self_attn.q_proj.weight", 120.0);
        assert!(
            short.starts_with('…')
                && short.ends_with("q_proj.weight")
                && text_width(&short, LABEL_SIZE) <= 120.0
        );
    }
}
