//! Messages: one dismissible notice for errors, one strip for work in progress, one voice for screen readers.

use super::App;
use super::dom::{on, set, set_text, show};
use super::{files, format, running};
use crate::web::pool::{Failure, Outcome};
use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// The work in progress, if any.
#[derive(Debug, Default)]
pub struct Work {
    /// Number of the flow that may go on; a flow with another number is stale.
    flow: Cell<u32>,
    started_millis: Cell<f64>,
    drawn_millis: Cell<f64>,
    title: RefCell<String>,
}

/// Shows a sentence until it is dismissed or the next takes its place.
pub fn error(app: &App, sentence: &str) {
    set_text(&app.elements.notice_text, sentence);
    show(&app.elements.notice, true);
}

/// Shows what is known about the link the page was opened with.
pub fn link(app: &App, sentence: &str) {
    set_text(&app.elements.link_notice_text, sentence);
    show(&app.elements.link_notice, !sentence.is_empty());
}

/// Says a sentence to screen readers.
pub fn announce(app: &App, sentence: &str) {
    set_text(&app.elements.announcer, sentence);
}

/// Reports how a flow ended.
pub fn conclude(app: &App, flow: u32, result: Outcome<()>) {
    let current = app.work.flow.get() == flow;
    match result {
        Err(Failure::Sentence(sentence)) if current => error(app, &sentence),
        _ => {}
    }
    if current {
        rest(app);
        if let Some(app) = app.me.borrow().upgrade() {
            files::resume(&app);
        }
    }
}

/// Whether a flow is in progress.
pub fn is_working(app: &App) -> bool {
    !app.elements.job.hidden()
}

/// Takes the strip away: nothing is in progress.
fn rest(app: &App) {
    show(&app.elements.job, false);
    set(&app.elements.main, "aria-busy", "false");
}

/// Begins a flow: what ran before is cancelled.
pub fn begin(app: &App, title: &str) -> u32 {
    let flow = app.work.flow.get().wrapping_add(1);
    app.work.flow.set(flow);
    app.pool.cancel();
    running::stop(app);
    show(&app.elements.notice, false);
    stage(app, title);
    flow
}

/// Names the stage that a flow has reached, with its progress starting anew.
pub fn stage(app: &App, title: &str) {
    app.work.started_millis.set(app.now_millis());
    app.work.drawn_millis.set(0.0);
    title.clone_into(&mut app.work.title.borrow_mut());
    set_text(&app.elements.job_title, title);
    set_text(&app.elements.job_left, "");
    app.elements.job_progress.set_value(0.0);
    show(&app.elements.job, true);
    set(&app.elements.main, "aria-busy", "true");
    announce(app, title);
}

/// Shows how much of a stage is done; redraws at most some ten times a second.
pub fn progress(app: &App, done: u64, total: u64) {
    let now = app.now_millis();
    if now - app.work.drawn_millis.get() < 80.0 && done < total {
        return;
    }
    app.work.drawn_millis.set(now);
    let share = if total == 0 { 1.0 } else { done as f64 / total as f64 };
    app.elements.job_progress.set_value(share);
    let seconds = (now - app.work.started_millis.get()) / 1000.0;
    if share > 0.02 && seconds > 0.4 {
        let left = seconds / share * (1.0 - share);
        set_text(
            &app.elements.job_left,
            &format!("{} · {}", format::percent(share), format::time_left(left)),
        );
    }
}

/// Whether a flow may go on.
pub fn check(app: &App, flow: u32) -> Outcome<()> {
    if app.work.flow.get() == flow { Ok(()) } else { Err(Failure::Cancelled) }
}

/// Stops whatever is in progress, at once.
pub fn cancel(app: &Rc<App>) {
    if !is_working(app) {
        return;
    }
    app.work.flow.set(app.work.flow.get().wrapping_add(1));
    app.pool.cancel();
    running::stop(app);
    rest(app);
    announce(app, "Cancelled");
    files::put_back(app);
}

/// Connects the buttons.
pub fn connect(app: &Rc<App>) {
    let close = app.clone();
    on(&app.elements.notice_close, "click", move |_| show(&close.elements.notice, false));
    let close = app.clone();
    on(&app.elements.link_notice_close, "click", move |_| show(&close.elements.link_notice, false));
    let stop = app.clone();
    on(&app.elements.job_cancel, "click", move |_| cancel(&stop));
}
