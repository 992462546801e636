//! A map of number formats: a panel for each family, a cell for each format, coloured by the share kept of float32's accuracy.
//!
//! The scale runs through hues whose lightness alone tells them apart, and its upper end is what stands out from the background,
//! light or dark. A cell that has seen some of the samples only is hatched. A line parts the cells that reach the target, or may
//! still by what they have seen, from the others; what searches chose is framed.

use super::PlotError;
use super::axes::{LABEL_SIZE, text_width, write};
use super::scene::{Align, Pixel, Scene, Shape};
use super::theme::{Colour, Scale, Theme};
use std::collections::BTreeMap;

/// A format on the map.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct MapPoint {
    /// The panel it belongs to, by its title.
    pub family: String,
    /// What its panel's axes are called: along, up; a panel of one row has no second one.
    pub axes: (&'static str, &'static str),
    /// Where it stands: along, up.
    pub place: (u32, u32),
    /// Whether its panel's columns are beside each other whatever lies between their numbers.
    pub is_listed: bool,
    /// The share kept of float32's accuracy; no number where nothing was measured.
    pub share: f64,
    /// Only some of the samples were seen.
    pub is_partial: bool,
    /// It reaches the target, or may still do so by what was seen.
    pub reaches: bool,
}

/// A map of formats.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct PrecisionMap {
    /// The formats; of those at one place the last is shown.
    pub points: Vec<MapPoint>,
    /// What was chosen, with what chose it.
    pub choices: Vec<(String, usize)>,
    /// A format that is marked.
    pub chosen: Option<usize>,
    /// What the share is that reaches the target, in words.
    pub target: String,
}

/// Index of a point, upper left and lower right corner of its cell.
pub type Cell = (usize, (f64, f64), (f64, f64));

/// Where the cells of a map were drawn, in device pixels.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct MapFrame {
    /// The cells.
    pub cells: Vec<Cell>,
}

impl MapFrame {
    /// The point whose cell is nearest to a pixel, `reach` pixels away at most.
    pub fn nearest(&self, (x, y): (f64, f64), reach: f64) -> Option<usize> {
        let distance = |from: (f64, f64), to: (f64, f64)| {
            let (dx, dy) = ((from.0 - x).max(x - to.0).max(0.0), (from.1 - y).max(y - to.1).max(0.0));
            dx * dx + dy * dy
        };
        let all = self.cells.iter().map(|(at, from, to)| (distance(*from, *to), *at));
        let best = all.min_by(|a, b| a.0.total_cmp(&b.0))?;
        (best.0 <= reach * reach).then_some(best.1)
    }

    /// The point whose cell is next to that of another one, to the side that `(along, down)` points to.
    pub fn neighbour(&self, of: usize, (along, down): (f64, f64)) -> Option<usize> {
        let centre =
            |from: &(f64, f64), to: &(f64, f64)| (f64::midpoint(from.0, to.0), f64::midpoint(from.1, to.1));
        let (_, from, to) = self.cells.iter().find(|(at, ..)| *at == of)?;
        let (x, y) = centre(from, to);
        let ahead = self.cells.iter().filter_map(|(at, from, to)| {
            let (a, b) = centre(from, to);
            let (forward, aside) = ((a - x) * along + (b - y) * down, (a - x) * down + (b - y) * along);
            // What lies aside is further than it is away.
            (forward > 0.5).then_some((forward + 3.0 * aside.abs(), *at))
        });
        ahead.min_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, at)| at)
    }
}

/// Colours of the scale from dark to light; lightness grows evenly, hue goes from blue by green to yellow.
const SCALE: [Colour; 6] = [
    Colour(24, 28, 84),
    Colour(38, 72, 132),
    Colour(32, 118, 140),
    Colour(64, 160, 124),
    Colour(158, 198, 84),
    Colour(250, 230, 110),
];

/// The colour of a share from 0 to 1.
fn shade(share: f64, theme: &Theme) -> Colour {
    let is_dark =
        theme.background.contrast(Colour(0, 0, 0)) < theme.background.contrast(Colour(255, 255, 255));
    let share = share.clamp(0.0, 1.0);
    let at = if is_dark { share } else { 1.0 - share } * (SCALE.len() - 1) as f64;
    let low = (at as usize).min(SCALE.len() - 2);
    let part = at - low as f64;
    let (a, b) = (SCALE[low], SCALE[low + 1]);
    let mixed = |a: u8, b: u8| (f64::from(a) + (f64::from(b) - f64::from(a)) * part).round_ties_even() as u8;
    Colour(mixed(a.0, b.0), mixed(a.1, b.1), mixed(a.2, b.2))
}

/// Most panels; what is on others is left out.
const MOST_PANELS: usize = 24;

/// CSS pixels around the cells of a panel: left, above, right, below.
const AROUND: (f64, f64, f64, f64) = (26.0, 40.0, 16.0, 40.0);

/// Width of a cell in CSS pixels: the least that is wanted, the most.
const WIDTH: (f64, f64) = (11.0, 30.0);

/// The height of a cell that is wanted, and the least, in CSS pixels.
const HEIGHT: (f64, f64) = (15.0, 3.0);

/// Height of a row of the key, and room around it, in CSS pixels.
const KEY_ROW: f64 = 22.0;

/// The formats of a family.
#[derive(Debug)]
struct Panel<'a> {
    title: &'a str,
    axes: (&'static str, &'static str),
    /// Points by their places.
    cells: BTreeMap<(u32, u32), usize>,
    low: (u32, u32),
    high: (u32, u32),
    /// The numbers of the columns, where these are listed; else they are their places.
    columns: Vec<u32>,
}

impl Panel<'_> {
    /// Puts columns that are listed beside each other.
    fn list(&mut self) {
        let numbers: std::collections::BTreeSet<u32> = self.cells.keys().map(|(x, _)| *x).collect();
        self.columns = numbers.into_iter().collect();
        let place = |x: u32| self.columns.partition_point(|column| *column < x) as u32;
        self.cells = self.cells.iter().map(|((x, y), at)| ((place(*x), *y), *at)).collect();
        (self.low.0, self.high.0) = (place(self.low.0), place(self.high.0));
    }

    /// The number of a column.
    fn number(&self, x: u32) -> u32 {
        self.columns.get(x as usize).copied().unwrap_or(x)
    }

    fn columns(&self) -> f64 {
        f64::from(self.high.0 - self.low.0) + 1.0
    }

    fn rows(&self) -> f64 {
        f64::from(self.high.1 - self.low.1) + 1.0
    }

    /// Width in CSS pixels, with cells of this width.
    fn width(&self, cell: f64) -> f64 {
        let words = [self.title, self.axes.0, self.axes.1].map(|text| text_width(text, LABEL_SIZE));
        let words = words.into_iter().fold(0.0, f64::max) + 12.0;
        (AROUND.0 + cell * self.columns() + AROUND.2).max(words + AROUND.2)
    }
}

impl PrecisionMap {
    /// Panels in the order of their first points.
    fn panels(&self) -> Vec<Panel<'_>> {
        let mut panels: Vec<Panel<'_>> = Vec::new();
        for (at, point) in self.points.iter().enumerate() {
            let known = panels.iter().position(|panel| panel.title == point.family);
            let Some(panel) = panels.get_mut(known.unwrap_or(usize::MAX)) else {
                if panels.len() < MOST_PANELS {
                    let (title, axes, place) = (&point.family, point.axes, point.place);
                    let cells = [(place, at)].into();
                    panels.push(Panel { title, axes, cells, low: place, high: place, columns: Vec::new() });
                }
                continue;
            };
            panel.cells.insert(point.place, at);
            let (x, y) = point.place;
            (panel.low, panel.high) =
                ((panel.low.0.min(x), panel.low.1.min(y)), (panel.high.0.max(x), panel.high.1.max(y)));
        }
        for panel in &mut panels {
            let is_listed = |at: &usize| self.points.get(*at).is_some_and(|point| point.is_listed);
            if panel.cells.values().any(is_listed) {
                panel.list();
            }
        }
        panels
    }

    /// The height that suits a width, in CSS pixels.
    pub fn height(&self, width: f64) -> f64 {
        let panels = self.panels();
        let (_, rows) = packed(&panels, width);
        let cells: f64 = rows.iter().map(|row| most_rows(row)).sum();
        self.key(width).1 + rows.len() as f64 * (AROUND.1 + AROUND.3) + cells * HEIGHT.0
    }

    /// Where the entries of the key begin, and the key's height, in CSS pixels.
    fn key(&self, width: f64) -> (Vec<(Entry, Pixel)>, f64) {
        let mut entries = vec![Entry::Scale];
        if self.points.iter().any(|point| point.is_partial && !point.share.is_nan()) {
            entries.push(Entry::Partial);
        }
        if !self.target.is_empty() {
            entries.push(Entry::Frontier(format!("reaches {} or may still", self.target)));
        }
        entries.extend(
            self.choices.iter().enumerate().map(|(nth, (title, _))| Entry::Choice(nth, title.clone())),
        );
        let (mut x, mut y) = (10.0, 8.0);
        let mut placed = Vec::new();
        for entry in entries {
            let wide = entry.width();
            if x > 10.0 && x + wide > width - 6.0 {
                (x, y) = (10.0, y + KEY_ROW);
            }
            placed.push((entry, (x, y)));
            x += wide + 16.0;
        }
        (placed, y + KEY_ROW + 10.0)
    }
}

fn most_rows(row: &[&Panel<'_>]) -> f64 {
    row.iter().map(|panel| panel.rows()).fold(0.0, f64::max)
}

/// Panels side by side in rows, and the width of their cells: the widest that needs no more rows than the least width does.
fn packed<'a, 'b>(panels: &'b [Panel<'a>], width: f64) -> (f64, Vec<Vec<&'b Panel<'a>>>) {
    let rows = |cell: f64| {
        let mut rows: Vec<Vec<&Panel<'a>>> = Vec::new();
        let mut used = f64::INFINITY;
        for panel in panels {
            let wide = panel.width(cell);
            if used + wide > width {
                rows.push(Vec::new());
                used = 0.0;
            }
            used += wide;
            if let Some(row) = rows.last_mut() {
                row.push(panel);
            }
        }
        rows
    };
    let room = |panel: &Panel<'_>| (width - AROUND.0 - AROUND.2) / panel.columns();
    let widest = panels.iter().map(room).fold(WIDTH.1, f64::min).max(1.0);
    let mut cell = widest.min(WIDTH.0);
    let least = rows(cell).len();
    while cell + 1.0 <= widest && rows(cell + 1.0).len() == least {
        cell += 1.0;
    }
    (cell, rows(cell))
}

/// An entry of the key.
#[derive(Debug)]
enum Entry {
    Scale,
    Partial,
    Frontier(String),
    Choice(usize, String),
}

/// Width of the scale in the key, in CSS pixels.
const BAR: f64 = 84.0;

impl Entry {
    fn text(&self) -> &str {
        match self {
            Self::Scale => "of float32’s accuracy",
            Self::Partial => "some samples seen",
            Self::Frontier(text) | Self::Choice(_, text) => text,
        }
    }

    fn width(&self) -> f64 {
        let swatch = if matches!(self, Self::Scale) { BAR + 64.0 } else { 18.0 };
        swatch + 6.0 + text_width(self.text(), LABEL_SIZE)
    }

    /// Draws it at `(x, y)`, in CSS pixels below `top`.
    fn draw(&self, pen: &mut Pen<'_>, (x, y): Pixel, top: f64) {
        let (theme, scale) = (pen.theme, pen.scale);
        let px = |css: f64| scale.pixels(css);
        let (left, upper) = (px(x), px(top + y));
        let corner = (px(x + 14.0), px(top + y + 14.0));
        let middle = upper + px(7.0);
        let mut words = |text: &str, x: f64, colour: Colour| {
            write(&mut pen.scene, scale, text, LABEL_SIZE, (px(x), middle), Align::Left, colour);
        };
        match self {
            Self::Scale => {
                words("0 %", x, theme.muted);
                words("100 %", x + 28.0 + BAR, theme.muted);
                words(self.text(), x + 70.0 + BAR, theme.text);
                let steps = 42;
                for step in 0..steps {
                    let at =
                        |step: u32| px(x + 24.0 + BAR * f64::from(step) / f64::from(steps)).round_ties_even();
                    let share = (f64::from(step) + 0.5) / f64::from(steps);
                    pen.scene.rectangle((at(step), upper), (at(step + 1), corner.1), shade(share, theme));
                }
            }
            Self::Partial => {
                words(self.text(), x + 22.0, theme.text);
                pen.cell((left, upper), corner, 0.9, true);
            }
            Self::Frontier(text) => {
                words(text, x + 22.0, theme.text);
                pen.scene.horizontal((left, corner.0), middle, scale.whole(2.0), theme.text);
            }
            Self::Choice(nth, text) => {
                words(text, x + 22.0, theme.text);
                pen.choice((left, upper), corner, *nth);
            }
        }
    }
}

/// What a map is drawn with.
struct Pen<'a> {
    scene: Scene,
    theme: &'a Theme,
    scale: Scale,
}

impl Pen<'_> {
    /// A cell of a share; hatched where it is partial.
    fn cell(&mut self, from: Pixel, to: Pixel, share: f64, is_partial: bool) {
        if share.is_nan() {
            let ink = self.theme.grid;
            self.scene.rectangle(from, to, ink);
            return;
        }
        let colour = shade(share, self.theme);
        self.scene.rectangle(from, to, colour);
        if is_partial {
            // The one of two inks that is seen on the cell.
            let (dark, light) = (Colour(0, 0, 0), Colour(255, 255, 255));
            let ink = if colour.contrast(dark) > colour.contrast(light) { dark } else { light };
            let points = vec![(from.0, to.1), (to.0, from.1)];
            self.scene.add(Shape::Path { points, width: self.scale.whole(1.0), ink: ink.fade(0.55) });
        }
    }

    fn frame(&mut self, from: Pixel, to: Pixel, width: f64, colour: Colour) {
        let points = vec![from, (to.0, from.1), to, (from.0, to.1), from, (to.0, from.1)];
        self.scene.add(Shape::Path { points, width, ink: colour.into() });
    }

    /// What was chosen first is framed whole, what was chosen after it by a broken line in the text's colour.
    fn choice(&mut self, from: Pixel, to: Pixel, nth: usize) {
        let (theme, scale) = (self.theme, self.scale);
        if nth == 0 {
            self.frame(from, to, scale.whole(2.5), theme.accent);
            return;
        }
        let points = [from, (to.0, from.1), to, (from.0, to.1), from];
        let dash = (scale.pixels(3.0), scale.pixels(2.0));
        self.scene.dashes(&points, dash, scale.whole(2.5), theme.text.into());
    }
}

/// A panel's cells in pixels.
struct Grid<'a> {
    panel: &'a Panel<'a>,
    left: f64,
    bottom: f64,
    cell: (f64, f64),
}

impl Grid<'_> {
    /// The upper left and the lower right corner of the cell at a place.
    fn corners(&self, (x, y): (u32, u32)) -> (Pixel, Pixel) {
        let at = |column: u32| (self.left + f64::from(column) * self.cell.0).round_ties_even();
        let up = |row: u32| (self.bottom - f64::from(row) * self.cell.1).round_ties_even();
        let (column, row) = (x - self.panel.low.0, y - self.panel.low.1);
        ((at(column), up(row + 1)), (at(column + 1), up(row)))
    }

    fn draw(&self, map: &PrecisionMap, pen: &mut Pen<'_>, frame: &mut MapFrame) {
        let gap = pen.scale.whole(1.0);
        for (place, at) in &self.panel.cells {
            let Some(point) = map.points.get(*at) else { continue };
            let (from, to) = self.corners(*place);
            pen.cell((from.0 + gap, from.1 + gap), to, point.share, point.is_partial);
            frame.cells.push((*at, from, to));
        }
        self.frontier(map, pen);
        self.axes(pen);
    }

    /// The line between cells that reach the target and those that do not.
    fn frontier(&self, map: &PrecisionMap, pen: &mut Pen<'_>) {
        let reaches = |place: (u32, u32)| {
            let point = self.panel.cells.get(&place).and_then(|at| map.points.get(*at))?;
            (!point.share.is_nan()).then_some(point.reaches)
        };
        let (width, ink) = (pen.scale.whole(2.0), pen.theme.text);
        let half = width / 2.0;
        for (x, y) in self.panel.cells.keys().copied() {
            let Some(own) = reaches((x, y)) else { continue };
            let (from, to) = self.corners((x, y));
            if reaches((x + 1, y)).is_some_and(|other| other != own) {
                pen.scene.vertical(to.0, (from.1 - half, to.1 + half), width, ink);
            }
            if reaches((x, y + 1)).is_some_and(|other| other != own) {
                pen.scene.horizontal((from.0 - half, to.0 + half), from.1, width, ink);
            }
        }
    }

    /// Titles and numbers around the cells.
    fn axes(&self, pen: &mut Pen<'_>) {
        let Panel { title, axes, low, high, .. } = self.panel;
        let digits = self.panel.number(high.0).to_string().len() as f64;
        let (theme, scale) = (pen.theme, pen.scale);
        let px = |css: f64| scale.pixels(css);
        let top = self.corners(*high).0.1;
        let title_at = (self.left - px(AROUND.0 - 8.0), top - px(28.0));
        pen.scene.add(Shape::Text {
            text: (*title).to_owned(),
            at: title_at,
            align: Align::Left,
            size: px(LABEL_SIZE),
            bold: true,
            ink: theme.text.into(),
        });
        let mut words = |text: &str, at: Pixel, align: Align| {
            write(&mut pen.scene, scale, text, LABEL_SIZE, at, align, theme.muted);
        };
        words(axes.1, (title_at.0, top - px(12.0)), Align::Left);
        words(axes.0, (self.left, self.bottom + px(28.0)), Align::Left);
        let every = |room: f64, cell: f64| (libm::ceil(room / cell) as usize).max(1);
        for x in (low.0..=high.0).step_by(every(px(18.0_f64.max(9.0 * digits)), self.cell.0)) {
            let (from, to) = self.corners((x, low.1));
            let at = (f64::midpoint(from.0, to.0), self.bottom + px(12.0));
            words(&self.panel.number(x).to_string(), at, Align::Centre);
        }
        if axes.1.is_empty() {
            return;
        }
        for y in (low.1..=high.1).step_by(every(px(13.0), self.cell.1)) {
            let (from, to) = self.corners((low.0, y));
            let at = (self.left - px(4.0), f64::midpoint(from.1, to.1));
            words(&y.to_string(), at, Align::Right);
        }
    }
}

/// Lays the map out on `size` device pixels, with `header` CSS pixels free at the top.
pub(super) fn layout(
    map: &PrecisionMap,
    size: (u32, u32),
    header: f64,
    theme: &Theme,
    scale: Scale,
) -> Result<(Scene, MapFrame), PlotError> {
    let css = |pixels: u32| f64::from(pixels) / scale.pixels(1.0);
    let (width, height) = (css(size.0), css(size.1));
    let panels = map.panels();
    let (cell, rows) = packed(&panels, width);
    let (key, key_height) = map.key(width);
    let lines: f64 = rows.iter().map(|row| most_rows(row)).sum();
    let room = height - header - key_height - rows.len() as f64 * (AROUND.1 + AROUND.3);
    let tall = if rows.is_empty() { HEIGHT.0 } else { (room / lines).min(2.0 * HEIGHT.0) };
    if width < 120.0 || tall < HEIGHT.1 || cell < 2.0 {
        return Err(PlotError::TooSmall { width: size.0, height: size.1 });
    }
    let mut pen = Pen { scene: Scene::default(), theme, scale };
    let mut frame = MapFrame::default();
    pen.scene.rectangle((0.0, 0.0), (f64::from(size.0), f64::from(size.1)), theme.background);
    for (entry, at) in &key {
        entry.draw(&mut pen, *at, header);
    }
    let mut top = header + key_height;
    for row in &rows {
        let bottom = top + AROUND.1 + most_rows(row) * tall;
        let mut left = 0.0;
        for panel in row {
            let grid = Grid {
                panel,
                left: scale.pixels(left + AROUND.0),
                bottom: scale.pixels(bottom),
                cell: (scale.pixels(cell), scale.pixels(tall)),
            };
            grid.draw(map, &mut pen, &mut frame);
            left += panel.width(cell);
        }
        top = bottom + AROUND.3;
    }
    let corners = |at: usize| frame.cells.iter().find(|(cell, ..)| *cell == at);
    for (nth, (_, at)) in map.choices.iter().enumerate() {
        if let Some((_, from, to)) = corners(*at) {
            pen.choice(*from, *to, nth);
        }
    }
    if let Some((_, from, to)) = map.chosen.and_then(corners) {
        let out = scale.whole(2.0);
        pen.frame(*from, *to, scale.whole(2.0), theme.background);
        pen.frame((from.0 - out, from.1 - out), (to.0 + out, to.1 + out), scale.whole(2.0), theme.text);
    }
    Ok((pen.scene, frame))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(width: u32, height: u32) -> PrecisionMap {
        let point = |x: u32, y: u32| MapPoint {
            family: "floating point".to_owned(),
            axes: ("exponent bits", "mantissa bits"),
            place: (x + 2, y + 1),
            is_listed: false,
            share: f64::from(x * y) / 20.0,
            is_partial: x == 0,
            reaches: x * y > 10,
        };
        let points = (0..width).flat_map(|x| (0..height).map(move |y| point(x, y))).collect();
        PrecisionMap { points, choices: vec![("chosen".to_owned(), 3)], ..PrecisionMap::default() }
    }

    #[test]
    fn the_pixels_of_a_cell_find_its_format_and_arrows_find_its_neighbours() {
        let map = map(7, 20);
        let (_, frame) = layout(&map, (600, 500), 0.0, &Theme::light(), Scale::new(1.0)).unwrap();
        assert_eq!(frame.cells.len(), 140);
        for (at, from, to) in &frame.cells {
            let middle = (f64::midpoint(from.0, to.0), f64::midpoint(from.1, to.1));
            assert_eq!(frame.nearest(middle, 4.0), Some(*at));
        }
        assert_eq!(frame.nearest((-50.0, -50.0), 4.0), None);
        // Points run up a column, then to the next.
        assert_eq!(frame.neighbour(25, (1.0, 0.0)), Some(45));
        assert_eq!(frame.neighbour(25, (-1.0, 0.0)), Some(5));
        assert_eq!(frame.neighbour(25, (0.0, -1.0)), Some(26));
        assert_eq!(frame.neighbour(20, (0.0, 1.0)), None);
    }

    #[test]
    fn listed_columns_stand_beside_each_other_in_their_order() {
        let mut map = map(3, 2);
        for point in &mut map.points {
            point.place.0 = [256, 16, 64][point.place.0 as usize - 2];
            point.is_listed = true;
        }
        let (scene, frame) = layout(&map, (600, 500), 0.0, &Theme::light(), Scale::new(1.0)).unwrap();
        assert_eq!(frame.cells.len(), 6);
        // The points of 16, 64 and 256 are the second, the third and the first two.
        assert_eq!((frame.neighbour(2, (1.0, 0.0)), frame.neighbour(4, (1.0, 0.0))), (Some(4), Some(0)));
        let text = format!("{scene:?}");
        assert!(["\"16\"", "\"64\"", "\"256\""].iter().all(|number| text.contains(number)));
    }

    #[test]
    fn lightness_grows_along_the_scale_and_the_upper_end_stands_out() {
        for theme in [Theme::light(), Theme::dark()] {
            let contrasts: Vec<f64> =
                (0..=20).map(|i| shade(f64::from(i) / 20.0, &theme).contrast(theme.background)).collect();
            assert!(contrasts.windows(2).all(|pair| pair[0] < pair[1]), "{contrasts:?}");
            assert!(contrasts[20] > 10.0 && contrasts[20] / contrasts[0] > 8.0, "{contrasts:?}");
        }
    }

    #[test]
    fn narrow_maps_put_panels_below_each_other_and_keep_inside() {
        let mut map = map(7, 20);
        map.points.extend(map.points.clone().into_iter().map(|point| MapPoint {
            family: "fixed point".to_owned(),
            place: (point.place.0 * 2, point.place.1),
            ..point
        }));
        for width in [300_u32, 320, 900] {
            let height = map.height(f64::from(width)) as u32;
            let size = (2 * width, 2 * height);
            let (_, frame) = layout(&map, size, 0.0, &Theme::dark(), Scale::new(2.0)).unwrap();
            assert_eq!(frame.cells.len(), 280);
            let (right, low) = frame
                .cells
                .iter()
                .fold((0.0, 0.0), |(x, y), (_, _, to)| (f64::max(x, to.0), f64::max(y, to.1)));
            assert!(right <= f64::from(size.0) && low <= f64::from(size.1), "{width}: {right} {low}");
        }
        assert!(map.height(300.0) > 1.5 * map.height(900.0));
    }
}
