//! What has been measured, as charts, keys, a table and facts.

use super::state::{Origin, Run, measured, predicted};
use super::{Panel, interval, percent};
use crate::network::measure::Share;
use crate::network::ranking::{Ranked, parting, ranking};
use crate::plot::{
    self, Accuracy, Frame, MARKERS, Measured, MeasuredSeries, SERIES_COLOURS, Scale, mark_dominated,
};
use crate::quantize::methods::METHODS;
use crate::web::canvas;
use crate::web::colours;
use crate::web::dom::{append, clear, fact, make, on, part, set, set_text, show, stamp};
use plotters_canvas::CanvasBackend;
use std::fmt::Write as _;
use std::rc::Rc;
use wasm_bindgen::JsCast;
use web_sys::{Element, HtmlCanvasElement, HtmlElement, HtmlInputElement, HtmlSelectElement, MouseEvent};

/// Runs that are drawn alike: indexes into the state's runs.
struct Group {
    title: String,
    /// The method's place in the palette.
    slot: usize,
    origin: Origin,
    runs: Vec<usize>,
}

impl Group {
    fn series(&self, points: Vec<Measured>) -> MeasuredSeries {
        let (slot, joined) = (self.slot, self.origin == Origin::Curve);
        let shift = if self.origin == Origin::Retrained { 3 } else { 0 };
        let marker = MARKERS.get((slot + shift) % MARKERS.len()).copied().unwrap_or_default();
        MeasuredSeries { title: self.title.clone(), points, marker, colour: slot % SERIES_COLOURS, joined }
    }
}

/// How far from a point the pointer may be, in CSS pixels.
const REACH: f64 = 26.0;
/// What counts as near the float weights: percentage points, nats.
const NEAR_POINTS: f64 = 3.0;
const NEAR_LOSS: f64 = 0.1;

impl Panel {
    pub(super) fn show_facts(&self, at: usize) {
        let state = self.state.borrow();
        let Some(run) = state.runs.get(at) else { return };
        let list: Element = self.element("accuracy-facts");
        clear(&list);
        let m = &run.measures;
        let fact = |term: &str, text: &str| fact(&self.document, &list, term, text, "");
        if let Some(top1) = &m.top1 {
            fact("top-1", &format!("{} ({})", percent(top1), interval(top1)));
        }
        if let Some(top5) = &m.top5 {
            fact("top-5", &percent(top5));
        }
        let float = measured(&state.float, &Run::default(), state.data.as_ref());
        if let Some(top1) = &float.top1 {
            fact("float weights", &format!("{} ({})", percent(top1), interval(top1)));
            if let Some(beside) = m.float_top1().filter(|_| run.samples != state.float.samples) {
                fact("float weights on the same samples", &format!("{:.2} %", 100.0 * beside));
            }
        }
        if let Some(loss) = m.loss {
            fact("loss, nats", &format!("{loss:.4}"));
        }
        if let Some(against) = &m.against {
            fact("agrees with float", &percent(&against.agreement));
            if let Some(p) = against.p_value {
                fact("answers lost, won", &format!("{}, {} (McNemar p = {p:.3})", against.lost, against.won));
            }
            if let Some(change) = against.loss_change {
                fact("loss change", &format!("{change:.5}"));
            }
            if let Some(predicted) = run.size.as_ref().and_then(predicted) {
                fact("predicted, ½ Σ h δ²", &format!("{predicted:.5}"));
            }
            fact("output SQNR", &format!("{:.2} dB", against.sqnr_db));
            fact("divergence, nats", &format!("{:.2e}", against.divergence));
        }
        if let Some(size) = &run.size {
            fact("file", &format!("{} bytes, ratio {:.2}", size.file_bytes, size.ratio));
        }
        fact("samples", &run.samples.to_string());
    }

    pub(super) fn connect_chart(self: &Rc<Self>) {
        let place: HtmlElement = self.element("accuracy-chart");
        let me = self.clone();
        on(&place, "mousemove", move |event| {
            let Some(mouse) = event.dyn_ref::<MouseEvent>() else { return };
            let found = me.hit(mouse);
            let changed = me.state.borrow().chosen != found;
            if changed {
                me.choose(found);
            }
        });
        let me = self.clone();
        on(&place, "click", move |_| me.adopt());
        let me = self.clone();
        on(&place, "keydown", move |event| {
            let Some(key) = event.dyn_ref::<web_sys::KeyboardEvent>() else { return };
            if me.press(&key.key()) {
                event.prevent_default();
            }
        });
    }

    pub(super) fn press(&self, key: &str) -> bool {
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

    pub(super) fn hit(&self, mouse: &MouseEvent) -> Option<(usize, usize)> {
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

    pub(super) fn choose(&self, at: Option<(usize, usize)>) {
        self.state.borrow_mut().chosen = at;
        let text =
            at.and_then(|(s, p)| self.run_at(s, p)).map(|run| Self::describe_run(&run)).unwrap_or_default();
        set_text(&self.element::<Element>("accuracy-live"), &text);
        self.draw();
    }

    fn index_of(&self, s: usize, p: usize) -> Option<usize> {
        self.grouped().get(s)?.runs.get(p).copied()
    }

    pub(super) fn run_at(&self, s: usize, p: usize) -> Option<Run> {
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
    pub(super) fn adopt(&self) {
        let chosen = self.state.borrow().chosen;
        if let Some(at) = chosen.and_then(|(s, p)| self.index_of(s, p)) {
            self.show_facts(at);
        }
        if let Some(run) = self.chosen().filter(|run| run.origin != Origin::Retrained) {
            self.dispatch("accuracy-recipe", &run.recipe.into());
        }
    }

    /// Runs by method and origin, each in order of size.
    fn grouped(&self) -> Vec<Group> {
        let state = self.state.borrow();
        let mut groups = Vec::new();
        for origin in [Origin::Curve, Origin::Single, Origin::Retrained] {
            for (slot, method) in METHODS.iter().enumerate() {
                let of = |run: &Run| {
                    run.method == method.id && run.origin == origin && run.size.is_some() && run.samples > 0
                };
                let mut runs: Vec<usize> = state
                    .runs
                    .iter()
                    .enumerate()
                    .filter(|(_, run)| of(run))
                    .map(|(index, _)| index)
                    .collect();
                let bits = |index: &usize| {
                    state.runs.get(*index).and_then(|r| r.size.as_ref()).map_or(0.0, |s| s.bits)
                };
                runs.sort_by(|a, b| bits(a).total_cmp(&bits(b)));
                let title = match origin {
                    Origin::Curve => method.title.to_owned(),
                    Origin::Single => format!("{}, single recipes", method.title),
                    Origin::Retrained => format!("{}, retrained, on the samples kept out", method.title),
                };
                if !runs.is_empty() {
                    groups.push(Group { title, slot, origin, runs });
                }
            }
        }
        groups
    }

    pub(super) fn describe(&self) -> Accuracy {
        let x_kind = self.element::<HtmlSelectElement>("accuracy-x").value();
        let y_kind = self.element::<HtmlSelectElement>("accuracy-y").value();
        let groups = self.grouped();
        let state = self.state.borrow();
        let float = measured(&state.float, &Run::default(), state.data.as_ref());
        let base = float.top1.as_ref().map(Share::value);
        let point = |index: &usize| -> Measured {
            let Some((run, size)) = state.runs.get(*index).and_then(|run| Some((run, run.size.as_ref()?)))
            else {
                return Measured::default();
            };
            let x = match x_kind.as_str() {
                "ratio" => size.ratio,
                "entropy" => size.entropy_bits,
                _ => size.bits,
            };
            let m = &run.measures;
            let against = m.against.as_ref();
            let share = |share: Option<&Share>| match share {
                Some(share) => (100.0 * share.value(), (100.0 * share.low, 100.0 * share.high)),
                None => (f64::NAN, (0.0, 0.0)),
            };
            let plain = |value: Option<f64>| (value.unwrap_or(f64::NAN), (0.0, 0.0));
            // The line of the float weights is that of all samples. A point of others of them stands as far from it as it is from
            // the float weights on its own.
            let shift = match (base, m.float_top1()) {
                (Some(base), Some(beside)) if run.samples != state.float.samples => 100.0 * (base - beside),
                _ => 0.0,
            };
            let right = || {
                let (y, (low, high)) = share(m.top1.as_ref());
                (y + shift, (low + shift, high + shift))
            };
            let (y, interval) = match y_kind.as_str() {
                "top5" => share(m.top5.as_ref().filter(|_| run.origin != Origin::Retrained)),
                "agreement" => share(against.map(|a| &a.agreement)),
                "loss" => {
                    let change = against.and_then(|a| a.loss_change);
                    let error = 1.96 * against.and_then(|a| a.loss_error).unwrap_or(0.0);
                    (change.unwrap_or(f64::NAN), change.map_or((0.0, 0.0), |c| (c - error, c + error)))
                }
                "sqnr" => plain(against.map(|a| a.sqnr_db)),
                "divergence" => plain(against.map(|a| a.divergence)),
                _ if m.top1.is_some() => right(),
                _ => share(against.map(|a| &a.agreement)),
            };
            Measured { x, y, interval, dominated: false }
        };
        let mut series: Vec<MeasuredSeries> =
            groups.iter().map(|group| group.series(group.runs.iter().map(point).collect())).collect();
        let better_up = !matches!(y_kind.as_str(), "loss" | "divergence");
        mark_dominated(&mut series, x_kind != "ratio", better_up);
        let labels = state.data.as_ref().is_some_and(|data| data.labels.is_some());
        let level = match y_kind.as_str() {
            "top5" => float.top5,
            "top1" => float.top1,
            _ => None,
        };
        let base = level.map_or(1.0, |share| share.value());
        let everything = (f64::MIN, f64::MAX);
        let near =
            self.element::<HtmlInputElement>("accuracy-near").checked().then_some(match y_kind.as_str() {
                "loss" | "divergence" => (everything, (f64::MIN, NEAR_LOSS)),
                "sqnr" => (everything, everything),
                _ => (everything, (100.0 * base - NEAR_POINTS, 100.0)),
            });
        Accuracy {
            series,
            baseline: level.map(|share| (100.0 * share.value(), 100.0 * share.low, 100.0 * share.high)),
            diagonal: false,
            x_title: match x_kind.as_str() {
                "ratio" => "ratio: 32 bits per weight over real bytes",
                "entropy" => "bits per weight, entropy of the symbols",
                _ => "bits per weight, real bytes of the whole file",
            }
            .to_owned(),
            y_title: match y_kind.as_str() {
                "top5" => "top-5 accuracy, %",
                "agreement" => "agreement with the float weights, %",
                "loss" => "change of the loss, nats",
                "sqnr" => "output SQNR, dB",
                "divergence" => "divergence from the float answers, nats",
                _ if labels => "top-1 accuracy, %",
                _ => "agreement with the float weights, % (no labels)",
            }
            .to_owned(),
            limits: near,
            chosen: state.chosen,
        }
    }

    /// Predicted against measured change of the loss, both as decimal logarithms.
    pub(super) fn describe_prediction(&self) -> Accuracy {
        let groups = self.grouped();
        let state = self.state.borrow();
        let point = |index: &usize| -> Option<Measured> {
            let run = state.runs.get(*index)?;
            let x = predicted(run.size.as_ref()?)?;
            let against = run.measures.against.as_ref()?;
            let (change, error) = (against.loss_change?, 1.96 * against.loss_error.unwrap_or(0.0));
            let log = |x: f64| libm::log10(x.max(1e-9));
            (x > 0.0 && change > 0.0).then(|| Measured {
                x: log(x),
                y: log(change),
                interval: (log((change - error).max(change * 0.1)), log(change + error)),
                dominated: false,
            })
        };
        let mut series: Vec<MeasuredSeries> =
            groups.iter().map(|group| group.series(group.runs.iter().filter_map(point).collect())).collect();
        series.retain(|series| !series.points.is_empty());
        for series in &mut series {
            series.joined = false;
        }
        Accuracy {
            series,
            diagonal: true,
            limits: Some(((-7.0, 2.0), (-7.0, 2.0))),
            x_title: "predicted change of the loss, ½ Σ h δ², log₁₀ nats".to_owned(),
            y_title: "measured change, log₁₀ nats".to_owned(),
            ..Accuracy::default()
        }
    }

    pub(super) fn draw(&self) {
        let chart = self.describe();
        let prediction = self.describe_prediction();
        let empty = chart.series.is_empty();
        show(&self.element::<HtmlElement>("accuracy-results"), !empty);
        let has_prediction = !prediction.series.is_empty();
        show(&self.element::<HtmlElement>("accuracy-prediction"), has_prediction);
        if empty {
            return;
        }
        let frame = self.draw_on("accuracy-canvas", &chart);
        self.state.borrow_mut().frame = frame;
        if has_prediction {
            self.draw_on("accuracy-prediction-canvas", &prediction);
        }
        self.fill_keys(&chart);
        self.fill_ranking();
        self.fill_table();
    }

    /// What the measured curves rank, and where they leave what was predicted.
    fn fill_ranking(&self) {
        let state = self.state.borrow();
        let title = |id: &str| METHODS.iter().find(|method| method.id == id).map(|method| method.title);
        let ranked = |run: &Run| -> Option<(&'static str, f64, Option<f64>)> {
            let size = run.size.as_ref().filter(|_| run.origin == Origin::Curve && run.samples > 0)?;
            Some((title(&run.method)?, size.bits, predicted(size)))
        };
        let points: Vec<Ranked<'_>> = state
            .runs
            .iter()
            .filter_map(|run| {
                let (method, bits, predicted) = ranked(run)?;
                Some(Ranked { method, bits, measures: &run.measures, predicted })
            })
            .collect();
        let text = |sentence: Option<String>| sentence.unwrap_or_default();
        set_text(&self.element::<Element>("accuracy-ranking"), &text(ranking(&points)));
        let place: HtmlElement = self.element("accuracy-parting");
        let warning = text(parting(&points));
        set_text(&place, &warning);
        show(&place, !warning.is_empty());
    }

    pub(super) fn draw_on(&self, id: &str, chart: &Accuracy) -> Option<(Frame, f64)> {
        let sized = canvas::fit(&self.window, &self.element::<HtmlCanvasElement>(id))?;
        sized.clear();
        let mut backend = CanvasBackend::with_canvas_object(sized.canvas.clone())?;
        let theme = colours::theme(&self.window, &self.document);
        let frame = plot::accuracy(&mut backend, chart, &theme, Scale::new(sized.scale)).ok()?;
        Some((frame, sized.scale))
    }

    pub(super) fn fill_keys(&self, chart: &Accuracy) {
        let keys: Element = self.element("accuracy-keys");
        clear(&keys);
        for series in &chart.series {
            let item = make(&self.document, "li", "", "");
            let chip = stamp(&self.element("toggle-template"));
            let swatch: Element = part(&chip, ".swatch");
            set(&swatch, "class", &format!("swatch s{}", series.colour));
            let mark: Element = part(&chip, ".mark");
            set(&mark, "d", &series.marker.path_data((10.0, 7.0), 3.6));
            append(&item, &swatch);
            append(&item, &make(&self.document, "span", "", &series.title));
            append(&keys, &item);
        }
        if chart.baseline.is_some() {
            append(&keys, &make(&self.document, "li", "base", "float weights, with interval"));
        }
        if chart.series.iter().any(|series| series.points.iter().any(|p| p.dominated)) {
            append(&keys, &make(&self.document, "li", "grey", "beaten by a smaller or better point"));
        }
    }

    pub(super) fn rows(&self) -> Vec<Vec<String>> {
        let groups = self.grouped();
        let state = self.state.borrow();
        let mut rows = Vec::new();
        for group in &groups {
            for run in group.runs.iter().filter_map(|index| state.runs.get(*index)) {
                let Some(size) = &run.size else { continue };
                let against = run.measures.against.as_ref();
                let number = |x: Option<f64>| x.map_or_else(|| "–".to_owned(), |x| format!("{x:.5}"));
                rows.push(vec![
                    group.title.clone(),
                    format!("{:.4}", size.bits),
                    format!("{:.2}", size.ratio),
                    size.file_bytes.to_string(),
                    run.measures.top1.as_ref().map_or_else(|| "–".to_owned(), percent),
                    run.measures.top1.as_ref().map_or_else(|| "–".to_owned(), interval),
                    against.map_or_else(String::new, |a| percent(&a.agreement)),
                    number(against.and_then(|a| a.loss_change)),
                    number(predicted(size)),
                    run.samples.to_string(),
                    size.recipe.clone(),
                ]);
            }
        }
        rows
    }

    pub(super) fn fill_table(&self) {
        let body: Element = self.element("accuracy-rows");
        clear(&body);
        for cells in self.rows() {
            let row = make(&self.document, "tr", "", "");
            for (index, cell) in cells.iter().enumerate().take(10) {
                let cell = make(
                    &self.document,
                    if index == 0 { "th" } else { "td" },
                    if index == 0 { "" } else { "num" },
                    cell,
                );
                if index == 0 {
                    set(&cell, "scope", "row");
                }
                append(&row, &cell);
            }
            append(&body, &row);
        }
    }

    pub(super) fn save_table(&self) {
        let mut text =
            "method,bits_per_weight,ratio,file_bytes,top1,top1_interval,agreement,loss_change,predicted_loss_change,samples,recipe\n".to_owned();
        for row in self.rows() {
            let quoted: Vec<String> =
                row.iter().map(|cell| format!("\"{}\"", cell.replace('"', "\"\""))).collect();
            text.push_str(&quoted.join(","));
            text.push('\n');
        }
        self.download("accuracy.csv", text.as_bytes());
    }
}
