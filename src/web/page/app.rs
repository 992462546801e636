//! The page: its handles, its workers, its state, and the panels, which it tells what changed.

use super::elements::Elements;
use super::network::Waiting;
use super::state::{State, Work};
use crate::web::dom::set;
use crate::web::jobs::Weights;
use crate::web::pool::Pool;
use crate::web::solver::Solver;
use std::cell::{Cell, OnceCell, RefCell};
use std::fmt::{self, Debug};
use wasm_bindgen::JsCast;
use wasm_bindgen::prelude::Closure;
use web_sys::{Document, Element, ResizeObserver, Window};

/// What changed, as panels are told it. Whoever changes the state says so, once, when the state is whole again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Another weight file is open, and nothing is computed of it yet.
    File,
    /// The open file was read again: with other importance, or for workers that had lost it.
    Reread,
    /// Another recipe, from elsewhere than its form.
    Recipe,
    /// A recipe that was made elsewhere, for the file of the link's hash.
    Link,
    /// What is asked of the file: the recipe was edited in its form, or other weights are looked at.
    Question,
    /// The file of importance, or how the recipe uses it.
    Importance,
    /// The file of importance cannot serve.
    ImportanceRefused,
    /// The recipe's step, which was left open and has been found.
    Step,
    /// The weights with the codebook, solved.
    Overlay,
    /// A method's curve, solved.
    Curve,
    /// Which methods are drawn.
    Methods,
    /// By what rate and quality the answers are shown.
    Measure,
    /// What the hardware model reckons with, which asks nothing of the file.
    Hardware,
    /// A compressed file was made.
    Result,
    /// A compressed file was opened.
    Archive,
    /// The open weight file is to be seen again.
    Bench,
    /// What was under way has ended.
    Idle,
    /// The user stopped what was under way.
    Cancelled,
    /// A solver died, and the open file with it.
    SolverLost,
}

impl Change {
    /// Whether another question may be asked of the open file than before.
    fn asks(self) -> bool {
        matches!(
            self,
            Self::File
                | Self::Reread
                | Self::Recipe
                | Self::Link
                | Self::Question
                | Self::Importance
                | Self::ImportanceRefused
        )
    }
}

/// A part of the page that shows something of the state, or changes it, for as long as the tab lives. It knows no other panel:
/// what it needs of them it finds in the state, and what it does to them it says as a [`Change`].
pub trait Panel {
    /// Builds what index.html leaves open, and listens to the panel's controls.
    fn connect(&'static self, _app: &'static App) {}

    /// Shows what changed; the state is borrowed by nobody.
    fn changed(&'static self, _app: &'static App, _what: Change) {}

    /// Draws the panel's charts, with the next frame after anything changed.
    fn draw(&self, _app: &App) {}
}

// By hand, since a panel's own would carry the text of all that it holds into the page's binary.
impl Debug for dyn Panel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Panel")
    }
}

/// The page.
#[derive(Debug)]
pub struct App {
    /// The tab.
    pub window: Window,
    /// Its document.
    pub document: Document,
    /// The elements of index.html.
    pub elements: Elements,
    /// Workers for tasks.
    pub pool: Pool<Weights>,
    /// Answers what moves under the sliders, and compresses.
    pub solver: Solver,
    /// Answers for whole curves.
    pub sweeper: Solver,
    /// What is wanted, shown and computed.
    pub state: RefCell<State>,
    /// The work in progress.
    pub work: Work,
    /// The question whether the network still runs.
    pub running: Waiting,
    panels: OnceCell<Vec<&'static dyn Panel>>,
    sizes: OnceCell<ResizeObserver>,
    is_paint_asked: Cell<bool>,
}

impl App {
    /// A page without panels yet, which lives as long as the tab.
    pub fn new(
        window: Window,
        document: Document,
        pool: Pool<Weights>,
        [solver, sweeper]: [Solver; 2],
    ) -> &'static Self {
        Box::leak(Box::new(Self {
            elements: Elements::find(&document),
            window,
            document,
            pool,
            solver,
            sweeper,
            state: RefCell::default(),
            work: Work::default(),
            running: Waiting::default(),
            panels: OnceCell::new(),
            sizes: OnceCell::new(),
            is_paint_asked: Cell::new(false),
        }))
    }

    /// Connects the panels, which hear of changes in this order.
    pub fn connect(&'static self, panels: Vec<&'static dyn Panel>) {
        self.watch_sizes();
        for panel in self.panels.get_or_init(|| panels) {
            panel.connect(self);
        }
    }

    /// Tells every panel what changed, and draws the charts again.
    pub fn changed(&'static self, what: Change) {
        for panel in self.panels.get().into_iter().flatten() {
            panel.changed(self, what);
        }
        self.paint();
    }

    /// Whether another question may be asked of the open file after this change.
    pub fn asks(&self, what: Change) -> bool {
        what.asks() && self.state.borrow().file.is_some()
    }

    /// Charts are drawn again when their places in the page change size.
    fn watch_sizes(&'static self) {
        let resized = Closure::<dyn FnMut()>::new(move || self.paint());
        if let Ok(observer) = ResizeObserver::new(resized.as_ref().unchecked_ref()) {
            let _ = self.sizes.set(observer);
        }
        resized.forget();
    }

    /// Draws the charts again whenever this place of one changes size.
    pub fn redraw_with(&self, place: &Element) {
        if let Some(observer) = self.sizes.get() {
            observer.observe(place);
        }
    }

    /// Draws the charts with the next frame, once however often it is asked.
    pub fn paint(&'static self) {
        if self.is_paint_asked.replace(true) {
            return;
        }
        let frame = Closure::once_into_js(move || {
            self.is_paint_asked.set(false);
            for panel in self.panels.get().into_iter().flatten() {
                panel.draw(self);
            }
        });
        if let Some(frame) = frame.dyn_ref() {
            let _ = self.window.request_animation_frame(frame);
        }
    }

    /// Shows the front page, the bench or an archive.
    pub fn show_view(&'static self, view: &str) {
        if let Some(body) = self.document.body() {
            set(&body, "data-view", view);
        }
        self.paint();
    }

    /// Whether the bench is what is seen.
    pub fn is_on_bench(&self) -> bool {
        self.document.body().and_then(|body| body.get_attribute("data-view")).as_deref() == Some("bench")
    }

    /// Milliseconds by a clock that never goes back.
    pub fn now_millis(&self) -> f64 {
        self.window.performance().map_or(0.0, |clock| clock.now())
    }

    /// Calls back once, after a while.
    pub fn later(&self, millis: i32, call: impl FnOnce(()) + 'static) {
        self.later_boxed(millis, Box::new(call));
    }

    fn later_boxed(&self, millis: i32, call: Box<dyn FnOnce(())>) {
        let callback = Closure::once_into_js(move || call(()));
        if let Some(callback) = callback.dyn_ref() {
            let _ = self.window.set_timeout_with_callback_and_timeout_and_arguments_0(callback, millis);
        }
    }
}
