//! Flows: what takes a while, one at a time, with a strip that says how far it has come and stops it.
//!
//! A flow is given its number when it begins, and asks with it after every wait whether it may go on.

use super::app::{App, Change};
use super::{format, notice};
use crate::web::dom::{set, set_text, show};
use crate::web::pool::{Failure, Outcome};

/// Reports how a flow ended.
pub fn conclude(app: &'static App, flow: u32, result: Outcome<()>) {
    if app.work.flow.get() != flow {
        return;
    }
    if let Err(Failure::Sentence(sentence)) = result {
        notice::error(app, &sentence);
    }
    rest(app);
    app.changed(Change::Idle);
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
    stop(app);
    show(&app.elements.notice, false);
    stage(app, title);
    flow
}

/// Ends what workers are doing.
fn stop(app: &App) {
    app.pool.cancel();
    app.running.stop(&app.document);
}

/// Names the stage that a flow has reached, with its progress starting anew.
pub fn stage(app: &App, title: &str) {
    app.work.started_millis.set(app.now_millis());
    app.work.drawn_millis.set(0.0);
    set_text(&app.elements.job_title, title);
    set_text(&app.elements.job_left, "");
    app.elements.job_progress.set_value(0.0);
    show(&app.elements.job, true);
    set(&app.elements.main, "aria-busy", "true");
    notice::announce(app, title);
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
pub fn cancel(app: &'static App) {
    if !is_working(app) {
        return;
    }
    app.work.flow.set(app.work.flow.get().wrapping_add(1));
    stop(app);
    rest(app);
    notice::announce(app, "Cancelled");
    app.changed(Change::Cancelled);
}
