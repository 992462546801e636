//! Which layer hurts: asked with every recipe, drawn as bars and told in a table.

use super::chart::theme;
use super::dom::{append, clear, make, on, set, set_text};
use super::state::{Answered, State};
use super::{App, download, format};
use crate::engine::report::{TensorSensitivity, sensitivity_csv, sensitivity_sentence};
use crate::plot::{self, Scale, Sensitivity};
use crate::web::canvas;
use crate::web::jobs::{Answer, Job};
use plotters_canvas::CanvasBackend;
use std::rc::Rc;
use web_sys::Element;

/// Most bars that the chart makes room for.
const MOST_BARS: usize = 14;
/// Height of a bar's row and of the axis, in CSS pixels.
const ROW_HEIGHT: usize = 26;
const AXIS_HEIGHT: usize = 56;
/// Most rows of the table; the CSV holds all.
const MOST_ROWS: usize = 500;

/// Connects the choice of what bars show, the table and the download.
pub fn connect(app: &Rc<App>) {
    let e = &app.elements;
    let changed = app.clone();
    on(&e.sensitivity_show, "change", move |_| {
        let e = &changed.elements;
        set(&e.sensitivity, "data-show", &e.sensitivity_show.value());
        changed.paint();
    });
    let opened = app.clone();
    on(&e.sensitivity_details, "toggle", move |_| fill_table(&opened));
    let click = app.clone();
    on(&e.sensitivity_csv, "click", move |_| save(&click));
}

/// Asks for the sensitivity of the newest recipe, one question at a time.
pub fn refresh(app: &Rc<App>) {
    app.sensitivity_wanted.set(true);
    if app.sensitivity_asked.replace(true) {
        return;
    }
    let app = app.clone();
    wasm_bindgen_futures::spawn_local(async move {
        while app.sensitivity_wanted.replace(false) {
            let (recipe, asked) = {
                let state = app.state.borrow();
                (state.solvable(), state.question())
            };
            let Some(question) = asked.filter(|_| !app.sweeper_empty.get()) else { break };
            // Beside the curves, so that nothing under the sliders waits. What cannot be solved is said by the overlay.
            if let Ok(Answer::Sensitivity(value)) = app.sweeper.ask(Job::Sensitivity(recipe)).await
                && app.state.borrow().question().as_ref() == Some(&question)
            {
                app.state.borrow_mut().sensitivity = Some(Answered { question, value });
                fill_table(&app);
                show_standing(&app);
                app.paint();
            }
        }
        app.sensitivity_asked.set(false);
    });
}

/// Fades the panel while it tells of another recipe than the one that is asked for.
pub fn show_standing(app: &App) {
    let state = app.state.borrow();
    let answered = state.sensitivity.as_ref().map(|answer| &answer.question);
    let is_current = answered.is_some() && answered == state.question().as_ref();
    set(&app.elements.sensitivity, "data-stale", if is_current { "false" } else { "true" });
}

/// The rows that are shown.
fn shown(state: &State) -> &[TensorSensitivity] {
    state.sensitivity.as_ref().map_or(&[], |answer| answer.value.as_slice())
}

fn describe(app: &App, rows: &[TensorSensitivity]) -> Sensitivity {
    if app.elements.sensitivity_show.value() == "slope" {
        Sensitivity::of_slopes(rows)
    } else {
        Sensitivity::of_shares(rows)
    }
}

/// Draws the bars and says in words what they show.
pub fn draw(app: &App) {
    let state = app.state.borrow();
    let rows = shown(&state);
    let e = &app.elements;
    let height = ROW_HEIGHT * rows.len().clamp(3, MOST_BARS) + AXIS_HEIGHT;
    let _ = e.sensitivity_plot.style().set_property("height", &format!("{height}px"));
    set_text(&e.sensitivity_caption, &sensitivity_sentence(rows));
    let Some(sized) = canvas::fit(&app.window, &e.sensitivity_canvas) else { return };
    sized.clear();
    if let Some(mut backend) = CanvasBackend::with_canvas_object(sized.canvas.clone()) {
        // What has no room leaves the canvas empty; the table says it.
        let _ = plot::sensitivity(
            &mut backend,
            &describe(app, rows),
            &theme(&app.window, &app.document),
            Scale::new(sized.scale),
        );
    }
}

/// Fills the table, while it is open.
fn fill_table(app: &App) {
    let rows = &app.elements.sensitivity_rows;
    clear(rows);
    if app.elements.sensitivity_details.get_attribute("open").is_none() {
        return;
    }
    for row in shown(&app.state.borrow()).iter().take(MOST_ROWS) {
        append(rows, &table_row(app, row));
    }
}

fn table_row(app: &App, row: &TensorSensitivity) -> Element {
    let element = make(&app.document, "tr", "", "");
    let head = make(&app.document, "th", "", &row.name);
    set(&head, "scope", "row");
    append(&element, &head);
    let digits = |x: Option<f64>| format::significant(x.unwrap_or(f64::NAN), 3);
    let cells = [
        format::percent(row.error_share),
        format::percent(row.bit_share),
        format::percent(row.weight_share),
        format::decimals(row.bits_per_weight, 3),
        format::decimals(row.sqnr_db, 2),
        digits(Some(row.importance)),
        digits(row.slope),
        digits(row.slope_ratio),
        digits(row.db_per_kilobyte),
    ];
    for text in cells {
        append(&element, &make(&app.document, "td", "num", &text));
    }
    element
}

fn save(app: &App) {
    let state = app.state.borrow();
    let name = state.file.as_ref().map_or("weights", |file| download::stem(&file.name));
    download::text(app, &format!("{name}.sensitivity.csv"), &sensitivity_csv(shown(&state)));
}
