//! The search for a number format: what is asked for, and what it found so far.
//!
//! ```text
//! elements   handles of index.html
//! searching  hands what a search asks to the workers
//! map        the map, by pointer and keyboard
//! words      the table, the sentences, the downloads
//! ```

mod elements;
mod map;
mod searching;
mod words;

use super::Panel;
use crate::network::emulate::TensorFormat;
use crate::network::precision::race::share_from_text;
use crate::network::precision::{Candidate, Model, Parts, Target, space};
use crate::plot::MapFrame;
use crate::web::dom::{on, set, set_text, show};
use elements::Elements;
use std::cell::{Cell, RefCell};
use std::rc::Rc;
use web_sys::{Document, HtmlElement, HtmlInputElement};

/// The section of the panel.
pub struct Precision {
    pub elements: Elements,
    results: RefCell<Results>,
    /// A search is what is under way.
    pub searching: Cell<bool>,
    /// The next frame is asked for already.
    is_paint_asked: Cell<bool>,
    /// When the table was filled last, in milliseconds.
    filled_at: Cell<f64>,
}

/// What is asked for, as typed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Settings {
    /// What the panel had open.
    version: u32,
    formats: String,
    rounded: String,
    keep: String,
    search: String,
    samples: String,
}

/// What is asked for, checked.
#[derive(Debug, Clone)]
struct Wish {
    settings: Settings,
    formats: Vec<TensorFormat>,
    kept: f64,
    parts: Parts,
    /// Samples at most.
    samples: usize,
}

/// What a search came to.
#[derive(Debug, Clone, Default)]
struct Found {
    title: &'static str,
    choice: Option<usize>,
    /// Samples run in a format, as many as the search alone would have run.
    runs: usize,
    seconds: f64,
    /// The efficient search's first choice, with the share that it foretold.
    foretold: Option<(usize, f64)>,
    /// What it measured on all samples, in turn.
    measured: Vec<usize>,
}

/// The order of the table.
#[derive(Debug, Clone, Default)]
struct Order {
    /// The column; empty for the order of cost.
    column: String,
    /// Largest first.
    is_descending: bool,
}

/// What is known of the formats.
#[derive(Debug, Default)]
struct Results {
    /// What it answers.
    settings: Settings,
    formats: Vec<TensorFormat>,
    candidates: Vec<Candidate>,
    target: Option<Target>,
    /// Right answers of float32, and all of them.
    float: (u64, u64),
    has_labels: bool,
    model: Option<Model>,
    /// The program's line that measures a format.
    command: String,
    found: Vec<Found>,
    /// Whether the searches came to their ends.
    is_over: bool,
    /// The format whose details are shown, and the one under the pointer.
    chosen: Option<usize>,
    hovered: Option<usize>,
    order: Order,
    frame: Option<(MapFrame, f64)>,
}

impl Results {
    /// The share of right answers in float32.
    fn float_share(&self) -> f64 {
        self.float.0 as f64 / self.float.1.max(1) as f64
    }
}

impl std::fmt::Debug for Precision {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Precision").finish_non_exhaustive()
    }
}

impl Precision {
    /// The section's elements, nothing searched yet.
    pub fn find(document: &Document) -> Self {
        Self {
            elements: Elements::find(document),
            results: RefCell::default(),
            searching: Cell::new(false),
            is_paint_asked: Cell::new(false),
            filled_at: Cell::new(0.0),
        }
    }
}

impl Panel {
    pub(super) fn connect_precision(self: &Rc<Self>) {
        let e = &self.precision.elements;
        let me = self.clone();
        on(&e.preset, "change", move |_| {
            let e = &me.precision.elements;
            let space = e.preset.value();
            if !space.is_empty() {
                e.formats.set_value(&space);
            }
            let _ = me.wish();
            me.sync();
        });
        let me = self.clone();
        on(&e.formats, "input", move |_| {
            // A space that is no preset leaves the choice empty, which then says "your own".
            let e = &me.precision.elements;
            e.preset.set_value(&e.formats.value());
            if e.preset.value() != e.formats.value() {
                e.preset.set_value("");
            }
        });
        let fields: [&web_sys::EventTarget; 5] = [&e.formats, &e.rounded, &e.keep, &e.search, &e.samples];
        for field in fields {
            let me = self.clone();
            on(field, "input", move |_| {
                let _ = me.wish();
                me.sync();
            });
        }
        let me = self.clone();
        on(&e.start, "click", move |_| {
            if let Some(wish) = me.wish() {
                me.start("Searching number formats", |me| Self::search(me, wish));
                me.precision.searching.set(true);
                me.sync();
            }
        });
        let me = self.clone();
        on(&e.cancel, "click", move |_| me.cancel());
        self.connect_map();
        self.connect_words();
    }

    fn settings(&self) -> Settings {
        let e = &self.precision.elements;
        Settings {
            version: self.state.borrow().version,
            formats: e.formats.value().trim().to_owned(),
            rounded: e.rounded.value(),
            keep: e.keep.value().trim().to_owned(),
            search: e.search.value(),
            samples: e.samples.value().trim().to_owned(),
        }
    }

    /// What the fields say, or a sentence under each that says nothing.
    fn wish(&self) -> Option<Wish> {
        let e = &self.precision.elements;
        let settings = self.settings();
        let parts = if settings.rounded == "operation" { Parts::PAPER } else { Parts::default() };
        let formats = space::formats(&settings.formats)
            .and_then(|formats| parts.check(&formats).map(|()| formats))
            .map_err(|error| error.to_string());
        let kept = share_from_text(&settings.keep).ok_or_else(|| {
            format!("the share to keep: expected one such as 99 % or 0.99, found {}", settings.keep)
        });
        let samples = match settings.samples.as_str() {
            "" => Ok(usize::MAX),
            text => text.parse::<usize>().ok().filter(|count| *count > 0).ok_or_else(|| {
                format!("samples: expected a whole number from 1, or nothing for all, found {text}")
            }),
        };
        complain(&e.formats, &e.formats_error, formats.as_ref().err());
        complain(&e.keep, &e.keep_error, kept.as_ref().err());
        complain(&e.samples, &e.samples_error, samples.as_ref().err());
        Some(Wish { formats: formats.ok()?, kept: kept.ok()?, samples: samples.ok()?, parts, settings })
    }

    /// Shows what can be done, and whether the results are of what is asked for now.
    pub(super) fn sync_precision(&self, is_ready: bool, is_busy: bool) {
        let e = &self.precision.elements;
        show(&e.section, is_ready || !self.precision.results.borrow().candidates.is_empty());
        e.start.set_disabled(!is_ready || is_busy);
        let is_searching = is_busy && self.precision.searching.get();
        show(&e.job, is_searching);
        let results = self.precision.results.borrow();
        let is_stale = !results.candidates.is_empty() && results.settings != self.settings();
        set(&e.section, "data-stale", if is_stale { "true" } else { "false" });
        show(&e.stale, is_stale);
        let is_partial = !results.candidates.is_empty() && !results.is_over && !is_searching;
        show(&e.partial, is_partial);
    }
}

/// Says under a field what is wrong with it.
fn complain(field: &HtmlInputElement, place: &HtmlElement, error: Option<&String>) {
    set(field, "aria-invalid", if error.is_some() { "true" } else { "false" });
    set_text(place, error.map_or("", String::as_str));
    show(place, error.is_some());
}
