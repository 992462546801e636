//! The page: handles, workers and state in [`app`], what is done with them in flows, and panels, which know each other by what
//! changes only.
//!
//! | file | what it is |
//! |---|---|
//! | [`app`] | the page: handles, workers, state; it tells panels what changed |
//! | [`state`] | what is wanted, apart from what has been computed |
//! | [`panels`] | one file each: what the user sees and does |
//! | [`flow`], [`notice`] | the strip of work in progress, and messages |
//! | [`reading`], [`making`], [`decoding`] | files in, files out: what workers are asked, in which order |
//! | [`network`] | the module that runs networks, from this side |
//! | [`form`], [`ledger`], [`download`], [`format`] | what several panels use |

mod app;
mod decoding;
mod download;
mod elements;
mod flow;
mod form;
mod format;
mod latest;
mod ledger;
mod making;
mod network;
mod notice;
mod panels;
mod reading;
mod state;

use super::dom::{on, set_text};
use super::pool::{News, Pool};
use super::solver::Solver;
use app::{App, Change};
use std::cell::Cell;
use std::rc::Rc;
use wasm_bindgen::JsCast;
use web_sys::{Document, Element, HtmlInputElement, KeyboardEvent, Window};

/// Map workers at most; more would wait for memory.
const MOST_WORKERS: f64 = 8.0;

/// Starts the page; what fails is said in its place.
pub fn start(window: &Window) {
    let Some(document) = window.document() else { return };
    std::panic::set_hook(Box::new(|info| web_sys::console::error_1(&info.to_string().into())));
    if let Err(sentence) = start_in(window.clone(), document.clone())
        && let Some(place) = document.get_element_by_id("loading")
    {
        set_text(&place, &format!("Quantscope could not start: {sentence}"));
    }
}

fn start_in(window: Window, document: Document) -> Result<(), String> {
    let workers = window.navigator().hardware_concurrency().clamp(1.0, MOST_WORKERS) as usize;
    // Workers are started before there is a page to tell of them.
    let page: Rc<Cell<Option<&'static App>>> = Rc::default();
    let pool = {
        let page = page.clone();
        Pool::new(workers, move |news| match (page.get(), news) {
            (Some(app), News::Death(sentence)) => notice::error(app, &sentence),
            (Some(app), News::Progress(done, total)) => flow::progress(app, done, total),
            (None, _) => {}
        })
    };
    pool.start()?;
    let solver = || {
        let page = page.clone();
        Solver::new(move |sentence| {
            if let Some(app) = page.get() {
                app.changed(Change::SolverLost);
                notice::error(app, &sentence);
            }
        })
    };
    let app = App::new(window, document, pool, [solver()?, solver()?]);
    page.set(Some(app));
    app.running.connect(&app.document);
    app.connect(panels::all());
    connect_keys(app);
    app.show_view("front");
    Ok(())
}

fn connect_keys(app: &'static App) {
    let main = app.elements.main.clone();
    on(&app.elements.skip, "click", move |_| {
        let _ = main.focus();
    });
    on(&app.document, "keydown", move |event| {
        if let Some(event) = event.dyn_ref::<KeyboardEvent>() {
            press(app, event);
        }
    });
}

/// Single keys outside fields, so that nothing is taken from typing.
fn press(app: &'static App, event: &KeyboardEvent) {
    let on_bench = app.is_on_bench();
    if event.key() == "Escape" {
        flow::cancel(app);
    } else if (event.ctrl_key() || event.meta_key()) && event.key() == "Enter" && on_bench {
        panels::compress(app);
    }
    let target = event.target().and_then(|target| target.dyn_into::<Element>().ok());
    let typing =
        target.is_some_and(|target| matches!(target.tag_name().as_str(), "INPUT" | "SELECT" | "TEXTAREA"));
    if typing || event.ctrl_key() || event.meta_key() || event.alt_key() {
        return;
    }
    match event.key().as_str() {
        "o" => app.elements.file_input.click(),
        "c" if on_bench => app.elements.copy_link.click(),
        "/" if on_bench => {
            event.prevent_default();
            let filter: &HtmlInputElement = &app.elements.tensor_filter;
            let _ = filter.focus();
        }
        _ => {}
    }
}
