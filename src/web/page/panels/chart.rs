//! The rate-distortion chart: drawn when something changed, hovered on a second canvas, walked with the arrow keys.

use crate::engine::report::{Curve, Point, Rate, gap_phrases, gap_sentence};
use crate::plot::{self, Frame, Line, Marker, RateDistortion, Scale, Series};
use crate::web::canvas;
use crate::web::colours::theme;
use crate::web::dom::{append, children, fill_notes, on, part, set, set_text, show, stamp};
use crate::web::page::app::{App, Change, Panel};
use crate::web::page::state::{State, quality, slot};
use crate::web::page::{download, format, notice};
use plotters_canvas::CanvasBackend;
use std::cell::RefCell;
use wasm_bindgen::JsCast;
use web_sys::{HtmlElement, KeyboardEvent, MouseEvent};

/// How far from a point the pointer may be, in CSS pixels.
const REACH: f64 = 28.0;
/// Size of the SVG download in CSS pixels.
const SVG_SIZE: (u32, u32) = (960, 560);

/// What was drawn last, for hit tests.
#[derive(Debug, Default)]
struct View {
    chart: RateDistortion,
    curves: Vec<Curve>,
    frame: Option<Frame>,
    scale: f64,
    /// Curve and point under the pointer or the keyboard.
    chosen: Option<(usize, usize)>,
}

/// The chart.
#[derive(Debug, Default)]
pub struct Chart {
    view: RefCell<View>,
}

impl Panel for Chart {
    /// Connects selects, pointer and keyboard.
    fn connect(&'static self, app: &'static App) {
        let e = &app.elements;
        on(&e.chart_rate, "change", move |_| {
            let rate = Rate::from_id(&app.elements.chart_rate.value());
            app.state.borrow_mut().view.rate = rate.unwrap_or(Rate::Coded);
            app.changed(Change::Measure);
        });
        on(&e.chart_quality, "change", move |_| {
            app.state.borrow_mut().view.weighted = app.elements.chart_quality.value() == "weighted";
            app.changed(Change::Measure);
        });
        on(&e.chart_svg, "click", move |_| save(app));
        app.redraw_with(&e.chart_canvas);
        self.connect_pointer(app);
    }

    fn changed(&'static self, app: &'static App, what: Change) {
        if matches!(what, Change::File | Change::Reread) {
            let weighted = app.state.borrow().view.weighted;
            app.elements.chart_quality.set_value(if weighted { "weighted" } else { "sqnr" });
        }
    }

    fn draw(&self, app: &App) {
        self.draw_all(app);
    }
}

impl Chart {
    fn connect_pointer(&'static self, app: &'static App) {
        let e = &app.elements;
        let me = self;
        on(&e.chart, "pointermove", move |event| {
            if let Some(event) = event.dyn_ref::<MouseEvent>() {
                me.choose(app, me.hit(app, event), false);
            }
        });
        for kind in ["pointerleave", "blur"] {
            let me = self;
            on(&e.chart, kind, move |_| me.choose(app, None, false));
        }
        let me = self;
        on(&e.chart, "click", move |event| {
            if let Some(event) = event.dyn_ref::<MouseEvent>() {
                me.choose(app, me.hit(app, event), false);
                me.adopt(app);
            }
        });
        let me = self;
        on(&e.chart, "keydown", move |event| {
            if let Some(event) = event.dyn_ref::<KeyboardEvent>()
                && me.press(app, &event.key())
            {
                event.prevent_default();
            }
        });
    }

    /// Draws the chart.
    fn draw_all(&self, app: &App) {
        let (chart, curves) = describe(&app.state.borrow());
        let solved = chart.series.iter().filter(|series| !series.points.is_empty()).count();
        let empty = solved == 0 && chart.earlier.is_empty();
        show(&app.elements.chart_empty, empty);
        let sentence =
            if app.state.borrow().view.methods.is_empty() { "Choose a method above" } else { "Solving…" };
        set_text(&app.elements.chart_empty, sentence);
        set(&app.elements.chart, "data-stale", if chart.earlier.is_empty() { "false" } else { "true" });
        show(&app.elements.chart_earlier, !chart.earlier.is_empty());
        let mut view = self.view.borrow_mut();
        if let Some(sized) = canvas::fit(&app.window, &app.elements.chart_canvas) {
            sized.clear();
            let frame = CanvasBackend::with_canvas_object(sized.canvas.clone()).filter(|_| !empty).and_then(
                |mut backend| {
                    plot::rate_distortion(
                        &mut backend,
                        &chart,
                        &theme(&app.window, &app.document),
                        Scale::new(sized.scale),
                    )
                    .ok()
                },
            );
            view.frame = frame;
            view.scale = sized.scale;
        }
        let keeps = |(c, p): (usize, usize)| curves.get(c).is_some_and(|curve| p < curve.points.len());
        view.chosen = view.chosen.filter(|chosen| keeps(*chosen));
        fill_keys(app, &chart.bounds);
        fill_gaps(app, &curves);
        view.chart = chart;
        view.curves = curves;
        drop(view);
        self.draw_chosen(app);
    }

    /// The point under the pointer.
    fn hit(&self, app: &App, event: &MouseEvent) -> Option<(usize, usize)> {
        let view = self.view.borrow();
        let frame = view.frame?;
        let corner = app.elements.chart.get_bounding_client_rect();
        let x = (f64::from(event.client_x()) - corner.left()) * view.scale;
        let y = (f64::from(event.client_y()) - corner.top()) * view.scale;
        view.chart.nearest(&frame, (x, y), REACH * view.scale)
    }

    fn choose(&self, app: &App, chosen: Option<(usize, usize)>, aloud: bool) {
        if self.view.borrow().chosen != chosen {
            self.view.borrow_mut().chosen = chosen;
            self.draw_chosen(app);
        }
        if aloud {
            let view = self.view.borrow();
            if let Some((curve, point)) = point_of(&view) {
                set_text(&app.elements.chart_live, &lines(&app.state.borrow(), curve, point).join(", "));
            }
        }
    }

    /// Draws the ring around the chosen point and its tooltip.
    fn draw_chosen(&self, app: &App) {
        let view = self.view.borrow();
        let e = &app.elements;
        let sized = canvas::fit(&app.window, &e.chart_hover);
        let layer = sized.and_then(|sized| {
            sized.clear();
            CanvasBackend::with_canvas_object(sized.canvas)
        });
        let Some(((curve, point), frame)) = point_of(&view).zip(view.frame) else {
            show(&e.chart_tooltip, false);
            return;
        };
        let state = app.state.borrow();
        let (x, y) = frame.to_pixels(point.rate(state.view.rate), quality(point, state.view.weighted));
        if let (Some(mut layer), Some(at)) = (layer, view.chosen) {
            // A mark that cannot be drawn leaves the tooltip to say where the point is.
            let _ = plot::highlight(
                &mut layer,
                &frame,
                &view.chart,
                at,
                &theme(&app.window, &app.document),
                Scale::new(view.scale),
            );
        }
        show(&e.chart_tooltip, true);
        set_text(&e.chart_tooltip, &lines(&state, curve, point).join("\n"));
        place(&e.chart_tooltip, &e.chart, x / view.scale, y / view.scale);
    }

    /// Moves by keyboard; whether the key was one of ours.
    fn press(&self, app: &'static App, key: &str) -> bool {
        let (chosen, lengths) = {
            let view = self.view.borrow();
            (view.chosen, view.curves.iter().map(|curve| curve.points.len()).collect::<Vec<_>>())
        };
        if lengths.is_empty() {
            return false;
        }
        let (c, p) = chosen.unwrap_or_else(|| self.nearest_to_now(app));
        let length = |c: usize| lengths.get(c).copied().unwrap_or(0);
        let next = match key {
            "Enter" | " " => {
                self.adopt(app);
                return true;
            }
            "Escape" => None,
            _ if chosen.is_none() && key.starts_with("Arrow") => Some((c, p)),
            // Curves run from many bits to few; the arrows go as the picture does.
            "ArrowLeft" => Some((c, (p + 1).min(length(c).saturating_sub(1)))),
            "ArrowRight" => Some((c, p.saturating_sub(1))),
            "ArrowUp" => Some(self.neighbour(app, (c + lengths.len() - 1) % lengths.len(), c, p)),
            "ArrowDown" => Some(self.neighbour(app, (c + 1) % lengths.len(), c, p)),
            "Home" => Some((c, length(c).saturating_sub(1))),
            "End" => Some((c, 0)),
            _ => return false,
        };
        self.choose(app, next, true);
        true
    }

    /// The point of the current method nearest to the operating point.
    fn nearest_to_now(&self, app: &App) -> (usize, usize) {
        let state = app.state.borrow();
        let view = self.view.borrow();
        let c = view.curves.iter().position(|curve| curve.method == state.wish.recipe.method).unwrap_or(0);
        let now =
            state.answers.overlay.as_ref().map_or(0.0, |overlay| overlay.value.point.rate(state.view.rate));
        (c, closest(&view, &state, c, now))
    }

    fn neighbour(&self, app: &App, to: usize, from: usize, point: usize) -> (usize, usize) {
        let state = app.state.borrow();
        let view = self.view.borrow();
        let now = view
            .curves
            .get(from)
            .and_then(|curve| curve.points.get(point))
            .map_or(0.0, |p| p.rate(state.view.rate));
        (to, closest(&view, &state, to, now))
    }

    /// Makes the chosen point the recipe.
    fn adopt(&self, app: &'static App) {
        let chosen = {
            let view = self.view.borrow();
            point_of(&view).and_then(|(curve, point)| {
                Some((curve.method.clone(), curve.parameter.clone(), point.parameter.clone()?))
            })
        };
        if let Some((method, parameter, value)) = chosen {
            {
                let mut state = app.state.borrow_mut();
                let mut recipe = state.wish.recipe.with_method(&method).fitted();
                recipe.settings.insert(parameter, value);
                state.choose(recipe);
            }
            app.changed(Change::Recipe);
            set_text(&app.elements.chart_live, "Settings taken over");
        }
    }
}

/// The chart's data by the current state.
fn describe(state: &State) -> (RateDistortion, Vec<Curve>) {
    let sweep = state.drawn();
    let series = sweep
        .curves
        .iter()
        .map(|curve| Series {
            title: curve.title.clone(),
            points: points(curve, state),
            marker: Marker::for_slot(slot(&curve.method)),
            colour: slot(&curve.method),
            preview: curve.points.iter().any(|point| point.preview),
        })
        .collect();
    // The bounds hold for plain squared error and for any code.
    let bounds = if state.view.weighted { Vec::new() } else { sweep.bounds };
    let bounds = bounds.into_iter().map(|bound| Line { title: bound.title, points: bound.points }).collect();
    let predicted = state.answers.overlay.as_ref().filter(|_| state.question().is_some());
    let now =
        state.measured().map(|outcome| &outcome.point).or(predicted.map(|overlay| &overlay.value.point));
    let line = |curve: &Curve| Line { title: curve.title.clone(), points: points(curve, state) };
    let chart = RateDistortion {
        series,
        bounds,
        earlier: state.earlier().iter().map(line).collect(),
        current: now.map(|point| (point.rate(state.view.rate), quality(point, state.view.weighted))),
        x_title: state.view.rate.title().to_owned(),
        y_title: if state.view.weighted { "weighted SQNR, dB" } else { "SQNR, dB" }.to_owned(),
        ..RateDistortion::default()
    };
    (chart, sweep.curves)
}

fn points(curve: &Curve, state: &State) -> Vec<(f64, f64)> {
    curve.points.iter().map(|p| (p.rate(state.view.rate), quality(p, state.view.weighted))).collect()
}

/// Keys that index.html has: of the recipe, and of earlier settings.
const FIXED_KEYS: usize = 2;

/// Names the bounds that are drawn, after the keys that are always there.
fn fill_keys(app: &App, bounds: &[Line]) {
    let list = &app.elements.chart_keys;
    let old = children(list);
    let titles: Vec<String> = old.iter().skip(FIXED_KEYS).filter_map(|key| key.text_content()).collect();
    if titles.iter().eq(bounds.iter().map(|bound| &bound.title)) {
        return;
    }
    old.iter().skip(FIXED_KEYS).for_each(web_sys::Element::remove);
    for bound in bounds {
        let key = stamp(&app.elements.key_template);
        let name: web_sys::Element = part(&key, "span");
        set_text(&name, &bound.title);
        append(list, &key);
    }
}

/// Says of each curve how far it is from what is possible, near the operating point.
fn fill_gaps(app: &App, curves: &[Curve]) {
    let state = app.state.borrow();
    let near = state.answers.overlay.as_ref().map_or(2.0, |overlay| overlay.value.point.entropy_bits);
    let of = |point: &Point| point.rate(state.view.rate);
    let gaps: Vec<String> =
        curves.iter().filter_map(|curve| gap_sentence(curve, near, &of, state.view.weighted)).collect();
    fill_notes(&app.document, &app.elements.chart_gaps, &gaps);
}

fn point_of(view: &View) -> Option<(&Curve, &Point)> {
    let (c, p) = view.chosen?;
    let curve = view.curves.get(c)?;
    Some((curve, curve.points.get(p)?))
}

/// What is said of a point: method, setting, rate, quality, ratio.
fn lines(state: &State, curve: &Curve, point: &Point) -> Vec<String> {
    let weighted = if state.view.weighted { "weighted " } else { "" };
    let mut lines = vec![
        curve.title.clone(),
        format!("{}, {} levels", format::setting(curve, point), format::count(point.levels)),
        format!("{} bits per weight", format::decimals(point.rate(state.view.rate), 3)),
        format!("{} dB {weighted}SQNR", format::decimals(quality(point, state.view.weighted), 2)),
        format!("{}× smaller", format::significant(point.predicted_ratio, 4)),
    ];
    lines.extend(gap_phrases(point, point.rate(state.view.rate), state.view.weighted));
    if point.preview {
        lines.push("preview on a sample".to_owned());
    }
    lines
}

/// Puts the tooltip beside a point, inside the chart.
fn place(tooltip: &HtmlElement, chart: &HtmlElement, x: f64, y: f64) {
    let (width, height) = (f64::from(tooltip.offset_width()), f64::from(tooltip.offset_height()));
    let room = f64::from(chart.client_width());
    let left = if x + 16.0 + width > room { (x - 16.0 - width).max(0.0) } else { x + 16.0 };
    let top = (y - height / 2.0).clamp(0.0, (f64::from(chart.client_height()) - height).max(0.0));
    let _ = tooltip.style().set_property("transform", &format!("translate({left:.0}px, {top:.0}px)"));
}

fn closest(view: &View, state: &State, curve: usize, bits: f64) -> usize {
    let points = view.curves.get(curve).map(|curve| curve.points.as_slice()).unwrap_or_default();
    let distance = |point: &Point| (point.rate(state.view.rate) - bits).abs();
    let best = points.iter().enumerate().min_by(|(_, a), (_, b)| distance(a).total_cmp(&distance(b)));
    best.map_or(0, |(index, _)| index)
}

fn save(app: &App) {
    let state = app.state.borrow();
    let (mut chart, _) = describe(&state);
    chart.earlier.clear();
    let name = state.file.as_ref().map_or("curves", |file| download::stem(&file.name));
    match plot::svg::rate_distortion(&chart, &state.title(), SVG_SIZE, &theme(&app.window, &app.document)) {
        Ok(svg) => download::text(app, &format!("{name}.curves.svg"), &svg),
        Err(error) => notice::error(app, &error.to_string()),
    }
}
