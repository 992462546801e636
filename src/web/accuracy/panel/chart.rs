//! What has been measured, as charts with their keys, by pointer and keyboard.

use super::state::{Origin, Run};
use super::{Panel, interval, percent};
use crate::plot::{self, Accuracy, Frame, Scale};
use crate::quantize::methods::METHODS;
use crate::web::canvas;
use crate::web::colours::theme;
use crate::web::dom::{append, clear, make, on, part, set, set_text, show, stamp};
use plotters_canvas::CanvasBackend;
use std::fmt::Write as _;
use std::rc::Rc;
use wasm_bindgen::JsCast;
use web_sys::{Element, HtmlCanvasElement, MouseEvent};

/// How far from a point the pointer may be, in CSS pixels.
const REACH: f64 = 26.0;

impl Panel {
    pub(super) fn connect_chart(self: &Rc<Self>) {
        let place = &self.elements.chart;
        let me = self.clone();
        on(place, "mousemove", move |event| {
            let Some(mouse) = event.dyn_ref::<MouseEvent>() else { return };
            let found = me.hit(mouse);
            let changed = me.state.borrow().chosen != found;
            if changed {
                me.choose(found);
            }
        });
        let me = self.clone();
        on(place, "click", move |_| me.adopt());
        let me = self.clone();
        on(place, "keydown", move |event| {
            let Some(key) = event.dyn_ref::<web_sys::KeyboardEvent>() else { return };
            if me.press(&key.key()) {
                event.prevent_default();
            }
        });
    }

    fn press(&self, key: &str) -> bool {
        let series = self.grouped();
        let at = self.state.borrow().chosen;
        let (mut s, mut p) = at.unwrap_or((0, 0));
        let len = |s: usize| series.get(s).map_or(0, |group| group.runs.len());
        match key {
            _ if series.is_empty() => return false,
            "ArrowRight" if at.is_some() => p = (p + 1).min(len(s).saturating_sub(1)),
            "ArrowLeft" if at.is_some() => p = p.saturating_sub(1),
            "ArrowDown" if at.is_some() => s = (s + 1).min(series.len() - 1),
            "ArrowUp" if at.is_some() => s = s.saturating_sub(1),
            "ArrowRight" | "ArrowLeft" | "ArrowDown" | "ArrowUp" => {}
            "Enter" => {
                self.adopt();
                return true;
            }
            _ => return false,
        }
        p = p.min(len(s).saturating_sub(1));
        self.choose(Some((s, p)));
        true
    }

    fn hit(&self, mouse: &MouseEvent) -> Option<(usize, usize)> {
        let chart = self.describe();
        let state = self.state.borrow();
        let (frame, scale) = state.frame.as_ref()?;
        let (x, y) = (f64::from(mouse.offset_x()), f64::from(mouse.offset_y()));
        let mut best = None;
        for (s, series) in chart.series.iter().enumerate() {
            for (p, point) in series.points.iter().enumerate() {
                let (px, py) = frame.to_pixels(point.x, point.y);
                let (dx, dy) = (px / scale - x, py / scale - y);
                let distance = (dx * dx + dy * dy).sqrt();
                if distance < REACH && best.is_none_or(|(d, _)| distance < d) {
                    best = Some((distance, (s, p)));
                }
            }
        }
        best.map(|(_, at)| at)
    }

    fn choose(&self, at: Option<(usize, usize)>) {
        self.state.borrow_mut().chosen = at;
        let text =
            at.and_then(|(s, p)| self.run_at(s, p)).map(|run| Self::describe_run(&run)).unwrap_or_default();
        set_text(&self.elements.live, &text);
        self.draw();
    }

    fn index_of(&self, s: usize, p: usize) -> Option<usize> {
        self.grouped().get(s)?.runs.get(p).copied()
    }

    fn run_at(&self, s: usize, p: usize) -> Option<Run> {
        let index = self.index_of(s, p)?;
        self.state.borrow().runs.get(index).cloned()
    }

    /// The run of the point that is chosen, if one is.
    pub(super) fn chosen(&self) -> Option<Run> {
        let chosen = self.state.borrow().chosen;
        chosen.and_then(|(s, p)| self.run_at(s, p))
    }

    fn describe_run(run: &Run) -> String {
        let title = METHODS.iter().find(|m| m.id == run.method).map_or(run.method.as_str(), |m| m.title);
        let size = run.size.as_ref();
        let mut text = format!("{title}{}", if run.origin == Origin::Retrained { ", retrained" } else { "" });
        if let Some(size) = size {
            let _ = write!(text, ": {:.3} bits per weight, ratio {:.2}", size.bits, size.ratio);
        }
        if let Some(top1) = &run.measures.top1 {
            let _ = write!(text, ", top-1 {} ({})", percent(top1), interval(top1));
        } else if let Some(against) = &run.measures.against {
            let _ = write!(
                text,
                ", agrees {}, output SQNR {:.1} dB",
                percent(&against.agreement),
                against.sqnr_db
            );
        }
        let _ = write!(text, ", {} samples. {}", run.samples, run.recipe);
        text
    }

    /// Takes the chosen point's recipe into the form and shows what was measured there.
    fn adopt(&self) {
        let chosen = self.state.borrow().chosen;
        if let Some(at) = chosen.and_then(|(s, p)| self.index_of(s, p)) {
            self.show_facts(at);
        }
        if let Some(run) = self.chosen().filter(|run| run.origin != Origin::Retrained) {
            self.dispatch("accuracy-recipe", &run.recipe.into());
        }
    }

    pub(super) fn draw(&self) {
        let chart = self.describe();
        let prediction = self.describe_prediction();
        let empty = chart.series.is_empty();
        show(&self.elements.results, !empty);
        let has_prediction = !prediction.series.is_empty();
        show(&self.elements.prediction, has_prediction);
        if empty {
            return;
        }
        let frame = self.draw_on(&self.elements.canvas, &chart);
        self.state.borrow_mut().frame = frame;
        if has_prediction {
            self.draw_on(&self.elements.prediction_canvas, &prediction);
        }
        self.fill_keys(&chart);
        self.fill_ranking();
        self.fill_table();
    }

    fn draw_on(&self, canvas: &HtmlCanvasElement, chart: &Accuracy) -> Option<(Frame, f64)> {
        let sized = canvas::fit(&self.window, canvas)?;
        sized.clear();
        let mut backend = CanvasBackend::with_canvas_object(sized.canvas.clone())?;
        let theme = theme(&self.window, &self.document);
        let frame = plot::accuracy(&mut backend, chart, &theme, Scale::new(sized.scale)).ok()?;
        Some((frame, sized.scale))
    }

    fn fill_keys(&self, chart: &Accuracy) {
        let keys = &self.elements.keys;
        clear(keys);
        for series in &chart.series {
            let item = make(&self.document, "li", "", "");
            let chip = stamp(&self.elements.toggle_template);
            let swatch: Element = part(&chip, ".swatch");
            set(&swatch, "class", &format!("swatch s{}", series.colour));
            let mark: Element = part(&chip, ".mark");
            set(&mark, "d", &series.marker.path_data((10.0, 7.0), 3.6));
            append(&item, &swatch);
            append(&item, &make(&self.document, "span", "", &series.title));
            append(keys, &item);
        }
        if chart.baseline.is_some() {
            append(keys, &make(&self.document, "li", "base", "float weights, with interval"));
        }
        if chart.series.iter().any(|series| series.points.iter().any(|p| p.dominated)) {
            append(keys, &make(&self.document, "li", "grey", "beaten by a smaller or better point"));
        }
    }
}
