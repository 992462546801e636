//! A list of shapes in device pixels, and painting it with any plotters backend.
//!
//! Charts fill a scene, and only the painting is generic: the layout exists once in the page's binary, however many
//! backends draw it.

use super::PlotError;
use super::theme::Colour;
use plotters::prelude::{Color, DrawingBackend, FontDesc, FontFamily, RGBColor, ShapeStyle, TextStyle};
use plotters::style::FontStyle;
use plotters::style::text_anchor::{HPos, Pos, VPos};

/// A point in device pixels.
pub(super) type Pixel = (f64, f64);

/// A colour with an opacity.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ink {
    pub colour: Colour,
    pub opacity: f64,
}

impl From<Colour> for Ink {
    fn from(colour: Colour) -> Self {
        Self { colour, opacity: 1.0 }
    }
}

impl Colour {
    /// This colour, let through by a part of `opacity`.
    pub(super) fn fade(self, opacity: f64) -> Ink {
        Ink { colour: self, opacity }
    }
}

/// Where a text lies about its position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Align {
    Left,
    Centre,
    Right,
}

/// One shape.
#[derive(Debug)]
pub(super) enum Shape {
    Rectangle {
        from: Pixel,
        to: Pixel,
        ink: Ink,
    },
    Path {
        points: Vec<Pixel>,
        width: f64,
        ink: Ink,
    },
    Polygon {
        points: Vec<Pixel>,
        ink: Ink,
    },
    Disc {
        centre: Pixel,
        radius: f64,
        ink: Ink,
    },
    Ring {
        centre: Pixel,
        radius: f64,
        width: f64,
        ink: Ink,
    },
    /// `at` is the middle of the text's height.
    Text {
        text: String,
        at: Pixel,
        align: Align,
        size: f64,
        bold: bool,
        ink: Ink,
    },
}

/// Shapes in the order in which they are painted.
#[derive(Debug, Default)]
pub(super) struct Scene {
    pub shapes: Vec<Shape>,
}

impl Scene {
    pub fn add(&mut self, shape: Shape) {
        self.shapes.push(shape);
    }

    pub fn rectangle(&mut self, from: Pixel, to: Pixel, ink: impl Into<Ink>) {
        self.add(Shape::Rectangle { from, to, ink: ink.into() });
    }

    /// A horizontal line whose edges are whole pixels.
    pub fn horizontal(&mut self, x: (f64, f64), y: f64, width: f64, ink: impl Into<Ink>) {
        let top = (y - width / 2.0).round_ties_even();
        self.rectangle((x.0, top), (x.1, top + width), ink);
    }

    /// A vertical line whose edges are whole pixels.
    pub fn vertical(&mut self, x: f64, y: (f64, f64), width: f64, ink: impl Into<Ink>) {
        let left = (x - width / 2.0).round_ties_even();
        self.rectangle((left, y.0), (left + width, y.1), ink);
    }

    /// A broken line: `on` pixels drawn, `off` left out, continuing around corners.
    pub fn dashes(&mut self, points: &[Pixel], (on, off): (f64, f64), width: f64, ink: Ink) {
        let (mut drawing, mut left) = (true, on);
        let mut dash: Vec<Pixel> = points.first().copied().into_iter().collect();
        for pair in points.windows(2) {
            let &[mut from, to] = pair else { continue };
            loop {
                let (dx, dy) = (to.0 - from.0, to.1 - from.1);
                let length = libm::sqrt(dx * dx + dy * dy);
                if length < left {
                    left -= length;
                    if drawing && dash.last() != Some(&to) {
                        dash.push(to);
                    }
                    break;
                }
                from = (from.0 + dx * left / length, from.1 + dy * left / length);
                if drawing {
                    dash.push(from);
                    self.add(Shape::Path { points: std::mem::take(&mut dash), width, ink });
                } else {
                    dash = vec![from];
                }
                drawing = !drawing;
                left = if drawing { on } else { off };
            }
        }
        if drawing && dash.len() > 1 {
            self.add(Shape::Path { points: dash, width, ink });
        }
    }

    /// Paints every shape and presents the picture; fonts are `font_factor` times their size.
    pub fn paint<B: DrawingBackend>(
        &self,
        backend: &mut B,
        families: &str,
        font_factor: f64,
    ) -> Result<(), PlotError> {
        let failed = |error: &dyn std::fmt::Display| PlotError::Backend { reason: error.to_string() };
        backend.ensure_prepared().map_err(|e| failed(&e))?;
        for shape in &self.shapes {
            let painted = match shape {
                Shape::Rectangle { from, to, ink } => {
                    backend.draw_rect(whole(*from), whole(*to), &style(*ink, 1.0), true)
                }
                Shape::Path { points, width, ink } => {
                    backend.draw_path(points.iter().copied().map(whole), &style(*ink, *width))
                }
                Shape::Polygon { points, ink } => {
                    backend.fill_polygon(points.iter().copied().map(whole), &style(*ink, 1.0))
                }
                Shape::Disc { centre, radius, ink } => {
                    backend.draw_circle(whole(*centre), round(*radius) as u32, &style(*ink, 1.0), true)
                }
                Shape::Ring { centre, radius, width, ink } => {
                    backend.draw_circle(whole(*centre), round(*radius) as u32, &style(*ink, *width), false)
                }
                Shape::Text { text, at, align, size, bold, ink } => {
                    let horizontal = match align {
                        Align::Left => HPos::Left,
                        Align::Centre => HPos::Center,
                        Align::Right => HPos::Right,
                    };
                    let weight = if *bold { FontStyle::Bold } else { FontStyle::Normal };
                    let tint = colour(*ink);
                    let font = FontDesc::new(FontFamily::Name(families), size * font_factor, weight);
                    let text_style =
                        TextStyle::from(font).color(&tint).pos(Pos::new(horizontal, VPos::Center));
                    backend.draw_text(text, &text_style, whole(*at))
                }
            };
            painted.map_err(|e| failed(&e))?;
        }
        backend.present().map_err(|e| failed(&e))
    }
}

fn colour(ink: Ink) -> plotters::style::RGBAColor {
    RGBColor(ink.colour.0, ink.colour.1, ink.colour.2).mix(ink.opacity)
}

fn style(ink: Ink, width: f64) -> ShapeStyle {
    ShapeStyle { color: colour(ink), filled: true, stroke_width: round(width).max(1) as u32 }
}

fn round(value: f64) -> i32 {
    value.round_ties_even() as i32
}

fn whole(pixel: Pixel) -> (i32, i32) {
    (round(pixel.0), round(pixel.1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dashes_cover_their_share_of_a_line_with_corners() {
        let mut scene = Scene::default();
        scene.dashes(&[(0.0, 0.0), (10.0, 0.0), (10.0, 10.0)], (4.0, 2.0), 1.0, Colour(0, 0, 0).into());
        let paths: Vec<_> = scene
            .shapes
            .iter()
            .map(|shape| match shape {
                Shape::Path { points, .. } => points.clone(),
                other => panic!("not a path: {other:?}"),
            })
            .collect();
        assert_eq!(
            paths,
            [
                vec![(0.0, 0.0), (4.0, 0.0)],
                vec![(6.0, 0.0), (10.0, 0.0)],
                vec![(10.0, 2.0), (10.0, 6.0)],
                vec![(10.0, 8.0), (10.0, 10.0)],
            ]
        );
    }

    #[test]
    fn lines_have_whole_edges() {
        let mut scene = Scene::default();
        scene.vertical(10.4, (0.0, 5.0), 3.0, Colour(0, 0, 0));
        let Some(Shape::Rectangle { from, to, .. }) = scene.shapes.first() else { panic!("no rectangle") };
        assert_eq!((from.0, to.0), (9.0, 12.0));
    }
}
