//! The map of the formats: drawn as answers come in, walked by pointer and keyboard.

use super::super::Panel;
use super::Results;
use crate::network::precision::space;
use crate::plot::{self, MapPoint, PrecisionMap, Scale};
use crate::web::canvas;
use crate::web::colours::theme;
use crate::web::dom::{on, set_text, show};
use plotters_canvas::CanvasBackend;
use std::rc::Rc;
use wasm_bindgen::JsCast;
use wasm_bindgen::prelude::Closure;
use web_sys::{KeyboardEvent, MouseEvent};

/// How far from a cell the pointer may be, in CSS pixels.
const REACH: f64 = 6.0;

/// Milliseconds between two fillings of the table while answers come in.
const TABLE_MILLIS: f64 = 700.0;

impl Results {
    /// The formats as a map.
    pub(super) fn map(&self) -> PrecisionMap {
        let float = self.float_share();
        let points = self.formats.iter().zip(&self.candidates).map(|(format, candidate)| MapPoint {
            family: space::family(format),
            axes: space::axes(format),
            place: space::place(format),
            is_listed: space::is_listed(format),
            share: candidate.kept(float),
            is_partial: self.target.is_some_and(|target| candidate.seen < target.samples),
            reaches: self.target.is_some_and(|target| target.is_in_reach(candidate)),
        });
        let choices = self.found.iter().filter_map(|found| {
            let at = found.choice?;
            Some((format!("{}: {}", found.title, self.candidates.get(at)?.name), at))
        });
        PrecisionMap {
            points: points.collect(),
            choices: choices.collect(),
            chosen: self.hovered.or(self.chosen),
            target: self.settings.keep.clone(),
        }
    }
}

impl Panel {
    pub(super) fn connect_map(self: &Rc<Self>) {
        let place = &self.precision.elements.plot;
        let me = self.clone();
        on(place, "mousemove", move |event| {
            let found = event.dyn_ref::<MouseEvent>().and_then(|mouse| me.cell_at(mouse));
            me.hover(found);
        });
        let me = self.clone();
        on(place, "mouseleave", move |_| me.hover(None));
        let me = self.clone();
        on(place, "click", move |event| {
            if let Some(at) = event.dyn_ref::<MouseEvent>().and_then(|mouse| me.cell_at(mouse)) {
                me.choose_format(at);
            }
        });
        let me = self.clone();
        on(place, "keydown", move |event| {
            if let Some(key) = event.dyn_ref::<KeyboardEvent>()
                && me.walk(&key.key())
            {
                event.prevent_default();
            }
        });
    }

    fn cell_at(&self, mouse: &MouseEvent) -> Option<usize> {
        let results = self.precision.results.borrow();
        let (frame, scale) = results.frame.as_ref()?;
        let at = (f64::from(mouse.offset_x()) * scale, f64::from(mouse.offset_y()) * scale);
        frame.nearest(at, REACH * scale)
    }

    fn hover(self: &Rc<Self>, at: Option<usize>) {
        let (is_other, text) = {
            let mut results = self.precision.results.borrow_mut();
            let is_other = results.hovered != at;
            results.hovered = at;
            (is_other, at.map(|at| results.sentence(at)))
        };
        if is_other {
            if let Some(text) = text {
                set_text(&self.precision.elements.live, &text);
            }
            self.paint_precision();
        }
    }

    /// Goes from a cell to its neighbour, or takes it.
    fn walk(self: &Rc<Self>, key: &str) -> bool {
        let to = match key {
            "ArrowRight" => (1.0, 0.0),
            "ArrowLeft" => (-1.0, 0.0),
            "ArrowDown" => (0.0, 1.0),
            "ArrowUp" => (0.0, -1.0),
            "Enter" | " " => {
                let at = self.precision.results.borrow().hovered;
                if let Some(at) = at {
                    self.choose_format(at);
                }
                return at.is_some();
            }
            _ => return false,
        };
        let next = {
            let results = self.precision.results.borrow();
            let first = || results.found.iter().find_map(|found| found.choice).unwrap_or(0);
            let Some((frame, _)) = &results.frame else { return false };
            match results.hovered.or(results.chosen) {
                Some(at) => frame.neighbour(at, to).or(Some(at)),
                None => Some(first()),
            }
        };
        self.hover(next);
        true
    }

    /// Draws what is another now with the next frame, once however often it is asked.
    pub(super) fn paint_precision(self: &Rc<Self>) {
        if self.precision.is_paint_asked.replace(true) {
            return;
        }
        let me = self.clone();
        let frame = Closure::once_into_js(move || {
            me.precision.is_paint_asked.set(false);
            me.draw_map();
            me.fill_words();
            let clock = me.window.performance().map_or(0.0, |clock| clock.now());
            let is_due = clock - me.precision.filled_at.get() > TABLE_MILLIS;
            let is_over = me.precision.results.borrow().is_over;
            if me.precision.elements.details.open() && (is_due || is_over) {
                me.precision.filled_at.set(clock);
                me.fill_formats();
            }
        });
        if let Some(frame) = frame.dyn_ref() {
            let _ = self.window.request_animation_frame(frame);
        }
    }

    pub(in super::super) fn draw_map(&self) {
        let e = &self.precision.elements;
        let mut results = self.precision.results.borrow_mut();
        show(&e.results, !results.candidates.is_empty());
        if results.candidates.is_empty() {
            return;
        }
        let map = results.map();
        let height = libm::ceil(map.height(f64::from(e.plot.client_width())));
        let _ = e.plot.style().set_property("height", &format!("{height}px"));
        let theme = theme(&self.window, &self.document);
        let drawn = canvas::fit(&self.window, &e.canvas).and_then(|sized| {
            sized.clear();
            let mut backend = CanvasBackend::with_canvas_object(sized.canvas.clone())?;
            let frame = plot::precision_map(&mut backend, &map, &theme, Scale::new(sized.scale)).ok()?;
            Some((frame, sized.scale))
        });
        results.frame = drawn;
    }
}
