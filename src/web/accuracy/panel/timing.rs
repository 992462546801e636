//! What every method and coder takes on the open file, measured in this browser; a model says none of it.

use super::super::jobs::{Answer, Job, Networks, Timed};
use super::Panel;
use super::sections::thousands;
use crate::engine::timings::{self, Timing};
use crate::quantize::methods::METHODS;
use crate::recipe::Recipe;
use crate::web::dom::{append, clear, get, make, on, set, set_text, show};
use crate::web::elements::elements;
use crate::web::pool::{Failure, Outcome, Pool, unexpected};
use std::cell::RefCell;
use std::rc::Rc;
use wasm_bindgen::JsValue;
use web_sys::{Document, HtmlButtonElement, HtmlElement};

elements! {
    HtmlElement {
        section = "timing",
        results = "timing-results",
        stale = "timing-stale",
        said = "timing-said",
        rows = "timing-rows",
    }
    HtmlButtonElement {
        start = "timing-start",
        csv = "timing-csv",
    }
}

/// The section of the panel.
pub struct Timings {
    elements: Elements,
    found: RefCell<Found>,
    /// The worker that is timed.
    worker: RefCell<Option<Pool<Networks>>>,
}

/// What was measured.
#[derive(Debug, Default)]
struct Found {
    /// The file and the recipe that it was measured on.
    of: (String, String),
    timings: Vec<Timing>,
    /// Method and coder, and why there is no figure.
    failed: Vec<(String, String)>,
    /// Weights, and the shortest time that reading and sketching them took.
    sketched: Option<(u64, f64)>,
    machine: String,
}

impl std::fmt::Debug for Timings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Timings").finish_non_exhaustive()
    }
}

impl Timings {
    /// The section's elements, nothing measured yet.
    pub fn find(document: &Document) -> Self {
        Self { elements: Elements::find(document), found: RefCell::default(), worker: RefCell::default() }
    }

    /// Ends the worker that is timed.
    pub fn stop(&self) {
        if let Some(pool) = self.worker.borrow_mut().take() {
            pool.cancel();
        }
    }
}

impl Found {
    /// What was measured, in a sentence.
    fn said(&self) -> String {
        let sketched = self.sketched.map_or_else(String::new, |(weights, seconds)| {
            format!("Sketching {} weights took {seconds:.3} s beside each run. ", thousands(weights))
        });
        format!("{sketched}Measured in {}.", self.machine)
    }
}

impl Panel {
    pub(super) fn connect_timing(self: &Rc<Self>) {
        let e = &self.timing.elements;
        let me = self.clone();
        on(&e.start, "click", move |_| me.start("Timing every method", Self::time_methods));
        let me = self.clone();
        on(&e.csv, "click", move |_| {
            let csv = {
                let found = me.timing.found.borrow();
                timings::csv(&found.timings, &found.machine)
            };
            me.download("timings.csv", csv.as_bytes());
        });
    }

    /// Shows what can be done, and whether what was measured is of what is open.
    pub(super) fn sync_timing(&self, is_open: bool, is_busy: bool) {
        let e = &self.timing.elements;
        show(&e.section, is_open);
        e.start.set_disabled(!is_open || is_busy);
        let found = self.timing.found.borrow();
        let is_there = !found.timings.is_empty() || !found.failed.is_empty();
        show(&e.results, is_there);
        let open = &self.state.borrow().open;
        show(&e.stale, is_there && found.of.0 != open.name);
    }

    /// The machine, as far as a browser tells.
    fn machine(&self) -> String {
        let navigator = self.window.navigator();
        let agent = navigator.user_agent().unwrap_or_else(|_| "a browser that gives no name".to_owned());
        let memory = get(&navigator, "deviceMemory").as_f64();
        let memory =
            memory.map_or_else(String::new, |gigabytes| format!(", {gigabytes} GB of memory or more"));
        format!(
            "{agent}: {} cores, one of them used{memory}, WebAssembly with SIMD, version {}",
            navigator.hardware_concurrency(),
            env!("CARGO_PKG_VERSION")
        )
    }

    async fn time_methods(me: Rc<Self>) -> Outcome<()> {
        let open = me.state.borrow().open.clone();
        let Some(file) = open.file else { return Err("Open a file first.".to_owned().into()) };
        let base = Recipe::from_line(&open.recipe).map_err(|error| error.to_string())?;
        let methods: Vec<_> = METHODS.iter().collect();
        let recipes = timings::recipes(&base, &methods);
        *me.timing.found.borrow_mut() =
            Found { of: (open.name.clone(), open.recipe), machine: me.machine(), ..Found::default() };
        me.fill_timings();
        for (done, recipe) in recipes.iter().enumerate() {
            let name = format!("{}, {}", recipe.method, recipe.coder.id());
            let title = format!("Timing {name}: run {} of {}", done + 1, recipes.len());
            set_text(&me.elements.job_title, &title);
            me.elements.progress.set_value(done as f64 / recipes.len() as f64);
            let timed = Timed {
                file: file.clone().into(),
                name: open.name.clone(),
                parts: open.parts.clone(),
                importance: open.importance.clone().map_or(JsValue::UNDEFINED, Into::into),
                recipe: recipe.to_line(),
            };
            // A worker of its own, whose memory is this run's alone.
            let pool = Pool::new(1, |_| {});
            let receiver = pool.run(Job::Time(timed));
            *me.timing.worker.borrow_mut() = Some(pool);
            let answer = me.answer(receiver).await;
            let mut found = me.timing.found.borrow_mut();
            match answer {
                Ok(Answer::Timed { timing, sketch_seconds, weights }) => {
                    let before = found.sketched.map_or(f64::INFINITY, |(_, seconds)| seconds);
                    found.sketched = Some((weights, before.min(sketch_seconds)));
                    found.timings.push(timing);
                }
                Ok(_) => return Err(unexpected()),
                Err(Failure::Cancelled) => return Err(Failure::Cancelled),
                Err(Failure::Sentence(sentence)) => found.failed.push((name, sentence)),
            }
            drop(found);
            me.fill_timings();
        }
        *me.timing.worker.borrow_mut() = None;
        Ok(())
    }

    fn fill_timings(&self) {
        let e = &self.timing.elements;
        let found = self.timing.found.borrow();
        clear(&e.rows);
        for timing in &found.timings {
            append(&e.rows, &self.table_row(&timing.method, &cells(timing)));
        }
        for (name, sentence) in &found.failed {
            let row = self.table_row(name, &[]);
            let cell = make(&self.document, "td", "", sentence);
            set(&cell, "colspan", "6");
            append(&row, &cell);
            append(&e.rows, &row);
        }
        set_text(&e.said, &found.said());
        show(&e.results, !found.timings.is_empty() || !found.failed.is_empty());
    }
}

/// A row behind the method's name.
fn cells(timing: &Timing) -> [String; 6] {
    [
        timing.coder.clone(),
        thousands(timing.file_bytes),
        format!("{:.3}", timing.compress_seconds),
        format!("{:.3}", timing.verify_seconds),
        format!("{:.2}", timing.weights_per_second / 1e6),
        timing.peak_bytes.map_or_else(|| "–".to_owned(), |bytes| format!("{:.1}", bytes as f64 / 1e6)),
    ]
}
