//! The page: one struct of handles, one of state, one file per panel.

mod accuracy;
mod archive;
mod chart;
mod compress;
mod curves;
pub(super) mod dom;
mod download;
mod elements;
mod figures;
mod files;
mod format;
mod ledger;
mod notice;
mod overlay;
mod permalink;
mod recipe;
mod running;
mod sensitivity;
mod state;
mod target;
mod tensors;
mod theme;

#[cfg(feature = "network")]
pub(super) use chart::theme as chart_theme;

use super::jobs::{Answer, Job, Weights};
use super::pool::{Failure, News, Pool};
use super::solver::Solver;
use crate::engine::Session;
use crate::engine::report::Point;
use crate::quantize::grid::STEP;
use dom::{on, set, set_text};
use elements::Elements;
use state::{Answered, State};
use std::cell::{Cell, RefCell};
use std::rc::{Rc, Weak};
use wasm_bindgen::JsCast;
use wasm_bindgen::prelude::Closure;
use web_sys::{Document, Element, HtmlInputElement, KeyboardEvent, Window};

/// Map workers at most; more would wait for memory.
const MOST_WORKERS: f64 = 8.0;

/// The page.
#[derive(Debug)]
pub struct App {
    window: Window,
    document: Document,
    elements: Elements,
    pool: Pool<Weights>,
    /// Answers what moves under the sliders, and compresses.
    solver: Solver,
    /// Answers for whole curves.
    sweeper: Solver,
    state: RefCell<State>,
    work: notice::Work,
    /// The question whether the network still runs.
    running: running::Waiting,
    chart: RefCell<chart::View>,
    /// A newer recipe waits for its overlay.
    overlay_wanted: Cell<bool>,
    overlay_asked: Cell<bool>,
    curves_wanted: Cell<bool>,
    curves_asked: Cell<bool>,
    /// A newer recipe waits for its sensitivity.
    sensitivity_wanted: Cell<bool>,
    sensitivity_asked: Cell<bool>,
    /// Charts are to be drawn with the next frame.
    paint_asked: Cell<bool>,
    /// The address was written a moment ago, and is to be written again when that is over.
    link_waits: Cell<bool>,
    link_asked: Cell<bool>,
    /// Solvers that died over the open file.
    deaths: Cell<u32>,
    /// The sweeper was stopped and has not read the open file again.
    sweeper_empty: Cell<bool>,
    /// Which tensors the table showed as quantized.
    selection: RefCell<String>,
    me: RefCell<Weak<App>>,
}

/// Starts the page; what fails is said in its place.
pub fn start(window: &Window) {
    let Some(document) = window.document() else { return };
    std::panic::set_hook(Box::new(|info| web_sys::console::error_1(&info.to_string().into())));
    if let Err(sentence) = App::start(window.clone(), document.clone())
        && let Some(place) = document.get_element_by_id("loading")
    {
        set_text(&place, &format!("Quantscope could not start: {sentence}"));
    }
}

impl App {
    fn start(window: Window, document: Document) -> Result<(), String> {
        let elements = Elements::find(&document);
        let workers = window.navigator().hardware_concurrency().clamp(1.0, MOST_WORKERS) as usize;
        let mourner: Rc<RefCell<Weak<Self>>> = Rc::default();
        let told = |mourner: &Rc<RefCell<Weak<Self>>>| mourner.borrow().upgrade();
        let pool = {
            let mourner = mourner.clone();
            Pool::new(workers, move |news| match (told(&mourner), news) {
                (Some(app), News::Death(sentence)) => notice::error(&app, &sentence),
                (Some(app), News::Progress(done, total)) => notice::progress(&app, done, total),
                (None, _) => {}
            })
        };
        pool.start()?;
        let solver = || {
            let mourner = mourner.clone();
            Solver::new(move |sentence| {
                if let Some(app) = told(&mourner) {
                    files::reopen(&app);
                    notice::error(&app, &sentence);
                }
            })
        };
        let app = Rc::new(Self {
            solver: solver()?,
            sweeper: solver()?,
            pool,
            window,
            document,
            elements,
            state: RefCell::default(),
            work: notice::Work::default(),
            running: running::Waiting::default(),
            chart: RefCell::default(),
            overlay_wanted: Cell::new(false),
            overlay_asked: Cell::new(false),
            curves_wanted: Cell::new(false),
            curves_asked: Cell::new(false),
            sensitivity_wanted: Cell::new(false),
            sensitivity_asked: Cell::new(false),
            paint_asked: Cell::new(false),
            link_asked: Cell::new(false),
            link_waits: Cell::new(false),
            deaths: Cell::new(0),
            sweeper_empty: Cell::new(false),
            selection: RefCell::default(),
            me: RefCell::default(),
        });
        *app.me.borrow_mut() = Rc::downgrade(&app);
        *mourner.borrow_mut() = Rc::downgrade(&app);
        app.connect();
        permalink::restore(&app);
        app.show_view("front");
        // Handlers hold the page for as long as the tab lives.
        std::mem::forget(app);
        Ok(())
    }

    fn connect(self: &Rc<Self>) {
        theme::connect(self);
        notice::connect(self);
        files::connect(self);
        recipe::connect(self);
        tensors::connect(self);
        curves::connect(self);
        chart::connect(self);
        overlay::connect(self);
        sensitivity::connect(self);
        compress::connect(self);
        running::connect(self);
        target::connect(self);
        archive::connect(self);
        accuracy::connect(self);
        permalink::connect(self);
        let main = self.elements.main.clone();
        on(&self.elements.skip, "click", move |_| {
            let _ = main.focus();
        });
        self.watch_sizes();
        let pressed = self.clone();
        on(&self.document, "keydown", move |event| {
            if let Some(event) = event.dyn_ref::<KeyboardEvent>() {
                pressed.shortcut(event);
            }
        });
    }

    /// Charts are drawn again when their place in the page changes size.
    fn watch_sizes(&self) {
        let me = self.me.borrow().clone();
        let resized = Closure::<dyn FnMut()>::new(move || {
            if let Some(app) = me.upgrade() {
                app.paint();
            }
        });
        if let Ok(observer) = web_sys::ResizeObserver::new(resized.as_ref().unchecked_ref()) {
            observer.observe(&self.elements.chart_canvas);
            observer.observe(&self.elements.overlay_canvas);
            observer.observe(&self.elements.sensitivity_canvas);
            std::mem::forget(observer);
        }
        resized.forget();
    }

    /// Single keys outside fields, so that nothing is taken from typing.
    fn shortcut(self: &Rc<Self>, event: &KeyboardEvent) {
        let on_bench =
            self.document.body().and_then(|body| body.get_attribute("data-view")).as_deref() == Some("bench");
        if event.key() == "Escape" {
            notice::cancel(self);
        } else if (event.ctrl_key() || event.meta_key()) && event.key() == "Enter" && on_bench {
            compress::start(self);
        }
        let target = event.target().and_then(|target| target.dyn_into::<Element>().ok());
        let typing = target
            .is_some_and(|target| matches!(target.tag_name().as_str(), "INPUT" | "SELECT" | "TEXTAREA"));
        if typing || event.ctrl_key() || event.meta_key() || event.alt_key() {
            return;
        }
        match event.key().as_str() {
            "o" => self.elements.file_input.click(),
            "c" if on_bench => permalink::copy(self),
            "/" if on_bench => {
                event.prevent_default();
                let filter: &HtmlInputElement = &self.elements.tensor_filter;
                let _ = filter.focus();
            }
            _ => {}
        }
    }

    fn show_view(&self, view: &str) {
        if let Some(body) = self.document.body() {
            set(&body, "data-view", view);
        }
        self.paint();
    }

    /// Milliseconds by a clock that never goes back.
    fn now_millis(&self) -> f64 {
        self.window.performance().map_or(0.0, |clock| clock.now())
    }

    /// Calls back once, after a while.
    fn later(&self, millis: i32, call: impl FnOnce(()) + 'static) {
        self.later_boxed(millis, Box::new(call));
    }

    fn later_boxed(&self, millis: i32, call: Box<dyn FnOnce(())>) {
        let callback = Closure::once_into_js(move || call(()));
        if let Some(callback) = callback.dyn_ref() {
            let _ = self.window.set_timeout_with_callback_and_timeout_and_arguments_0(callback, millis);
        }
    }

    /// The recipe or what is shown changed: ask for what follows from it. Only the newest wish is ever asked.
    fn refresh(self: &Rc<Self>) {
        if self.state.borrow().file.is_none() {
            return;
        }
        let problem = self.state.borrow().problem();
        recipe::show_problem(self, problem.as_ref());
        compress::show_stale(self);
        target::forget(self);
        self.redraw_selection();
        accuracy::tell(self);
        self.show_standing();
        if self.state.borrow().question().is_none() {
            return;
        }
        permalink::write_soon(self);
        self.overlay_wanted.set(true);
        if !self.overlay_asked.replace(true) {
            let app = self.clone();
            wasm_bindgen_futures::spawn_local(async move {
                while app.overlay_wanted.replace(false) {
                    let is_hasty = app.ask_overlay(true).await;
                    // Once the slider rests, what it stands at is tried.
                    if is_hasty && !app.overlay_wanted.get() {
                        app.ask_overlay(false).await;
                    }
                }
                app.overlay_asked.set(false);
            });
        }
        if self.sweeper_empty.get() {
            files::refill(self);
        } else {
            curves::refresh(self);
        }
    }

    /// Shows of everything that is computed whether it answers what is asked now.
    fn show_standing(&self) {
        figures::show(self);
        sensitivity::show_standing(self);
        self.paint();
    }

    /// Shows the step that was chosen for the file where the recipe left it open.
    fn take_step(&self, point: &Point) {
        {
            let mut state = self.state.borrow_mut();
            if !Session::leaves_step_open(&state.recipe) {
                return;
            }
            let Some(step) = point.parameter.clone() else { return };
            let open = state.recipe.to_line();
            state.recipe.settings.insert(STEP.id.to_owned(), step);
            let chosen = state.recipe.to_line();
            state.found_step = Some(chosen.clone());
            // It is the step that the result was made with, too.
            if let Some(made) = state.compressed.as_mut().filter(|made| made.line == open) {
                made.line = chosen;
            }
        }
        recipe::show_settings(self);
    }

    /// Asks for the overlay and shows it; whether it is the present question's, in haste.
    async fn ask_overlay(self: &Rc<Self>, hasty: bool) -> bool {
        let mut is_hasty = false;
        let (recipe, tensor, asked) = {
            let state = self.state.borrow();
            (state.solvable(), state.overlay_tensor, state.overlay_question())
        };
        let Some(asked) = asked else { return false };
        match self.solver.ask(Job::Overlay { recipe, tensor, hasty }).await {
            Ok(Answer::Overlay(overlay)) => {
                let is_current = self.state.borrow().overlay_question().as_ref() == Some(&asked);
                is_hasty = is_current && overlay.hasty;
                let question = if is_current {
                    self.take_step(&overlay.point);
                    recipe::show_error(self, "");
                    permalink::write_soon(self);
                    self.state.borrow().overlay_question().unwrap_or_default()
                } else {
                    // A slider that moves shows where it has been.
                    asked
                };
                self.state.borrow_mut().overlay = Some(Answered { question, value: overlay });
                self.show_standing();
                if is_current {
                    sensitivity::refresh(self);
                }
            }
            Ok(other) => {
                if let Failure::Sentence(sentence) = files::unexpected(&other) {
                    recipe::show_error(self, &sentence);
                }
            }
            Err(Failure::Sentence(sentence)) => recipe::show_error(self, &sentence),
            Err(Failure::Cancelled) => {}
        }
        is_hasty
    }

    /// Draws the tensor table again where the recipe's selection changed.
    fn redraw_selection(&self) {
        let key = {
            let recipe = &self.state.borrow().recipe;
            format!("{:?}{:?}{}", recipe.include, recipe.exclude, crate::recipe::roles_text(&recipe.roles))
        };
        if *self.selection.borrow() != key {
            *self.selection.borrow_mut() = key;
            tensors::draw(self);
        }
    }

    fn forget_selection(&self) {
        self.selection.borrow_mut().clear();
    }

    /// Draws the charts with the next frame, once however often it is asked.
    fn paint(&self) {
        if self.paint_asked.replace(true) {
            return;
        }
        let me = self.me.borrow().clone();
        let frame = Closure::once_into_js(move || {
            if let Some(app) = me.upgrade() {
                app.paint_asked.set(false);
                chart::draw(&app);
                overlay::draw(&app);
                sensitivity::draw(&app);
            }
        });
        if let Some(frame) = frame.dyn_ref() {
            let _ = self.window.request_animation_frame(frame);
        }
    }
}
