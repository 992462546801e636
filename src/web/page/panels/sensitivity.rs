//! Which layer hurts: asked with every recipe, drawn as bars and told in a table.

use crate::engine::report::{TensorSensitivity, sensitivity_csv, sensitivity_sentence};
use crate::plot::{self, Scale};
use crate::web::canvas;
use crate::web::colours::theme;
use crate::web::dom::{append, clear, make, on, set, set_text};
use crate::web::jobs::{Answer, Job};
use crate::web::page::app::{App, Change, Panel};
use crate::web::page::latest::Latest;
use crate::web::page::state::{Answered, State};
use crate::web::page::{download, format};
use plotters_canvas::CanvasBackend;
use web_sys::Element;

/// Most bars that the chart makes room for.
const MOST_BARS: usize = 14;
/// Height of a bar's row and of the axis, in CSS pixels.
const ROW_HEIGHT: usize = 26;
const AXIS_HEIGHT: usize = 56;
/// Most rows of the table; the CSV holds all.
const MOST_ROWS: usize = 500;

/// The bars and their table.
#[derive(Debug, Default)]
pub struct Sensitivity {
    asking: Latest,
}

impl Panel for Sensitivity {
    /// Connects the choice of what bars show, the table and the download.
    fn connect(&'static self, app: &'static App) {
        let e = &app.elements;
        on(&e.sensitivity_show, "change", move |_| {
            let e = &app.elements;
            set(&e.sensitivity, "data-show", &e.sensitivity_show.value());
            app.paint();
        });
        on(&e.sensitivity_details, "toggle", move |_| fill_table(app));
        on(&e.sensitivity_csv, "click", move |_| save(app));
        app.redraw_with(&e.sensitivity_canvas);
    }

    fn changed(&'static self, app: &'static App, what: Change) {
        if app.asks(what) || matches!(what, Change::Overlay | Change::Result) {
            show_standing(app);
        }
        // Once the overlay answers what is asked, so that nothing under the sliders waits.
        if what == Change::Overlay && app.state.borrow().is_current() {
            self.refresh(app);
        }
    }

    /// Draws the bars and says in words what they show.
    fn draw(&self, app: &App) {
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
}

impl Sensitivity {
    /// Asks for the sensitivity of the newest recipe, one question at a time.
    fn refresh(&'static self, app: &'static App) {
        if !self.asking.want() {
            return;
        }
        wasm_bindgen_futures::spawn_local(async move {
            while self.asking.next() {
                ask(app).await;
            }
        });
    }
}

/// Asks beside the curves. What cannot be solved is said by the overlay.
async fn ask(app: &'static App) {
    let (recipe, asked) = {
        let state = app.state.borrow();
        (state.solvable(), state.question().filter(|_| !state.solvers.is_sweeper_empty))
    };
    let Some(question) = asked else { return };
    if let Ok(Answer::Sensitivity(value)) = app.sweeper.ask(Job::Sensitivity(recipe)).await
        && app.state.borrow().question().as_ref() == Some(&question)
    {
        app.state.borrow_mut().answers.sensitivity = Some(Answered { question, value });
        fill_table(app);
        show_standing(app);
        app.paint();
    }
}

/// Fades the panel while it tells of another recipe than the one that is asked for.
fn show_standing(app: &App) {
    let state = app.state.borrow();
    let answered = state.answers.sensitivity.as_ref().map(|answer| &answer.question);
    let is_current = answered.is_some() && answered == state.question().as_ref();
    set(&app.elements.sensitivity, "data-stale", if is_current { "false" } else { "true" });
}

/// The rows that are shown.
fn shown(state: &State) -> &[TensorSensitivity] {
    state.answers.sensitivity.as_ref().map_or(&[], |answer| answer.value.as_slice())
}

fn describe(app: &App, rows: &[TensorSensitivity]) -> plot::Sensitivity {
    if app.elements.sensitivity_show.value() == "slope" {
        plot::Sensitivity::of_slopes(rows)
    } else {
        plot::Sensitivity::of_shares(rows)
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
