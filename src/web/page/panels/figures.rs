//! The headline figures of the current operating point.

use crate::engine::report::Point;
use crate::web::dom::{set, set_text};
use crate::web::page::app::{App, Change, Panel};
use crate::web::page::format::{decimals, significant};
use crate::web::page::state::{Standing, State, quality};

/// The strip of figures.
#[derive(Debug)]
pub struct Figures;

impl Panel for Figures {
    fn changed(&'static self, app: &'static App, what: Change) {
        if app.asks(what) || matches!(what, Change::Overlay | Change::Result | Change::Measure) {
            show(app);
        }
    }
}

/// Shows the point of the overlay, faded where it is not of what is asked now, with the reason.
fn show(app: &App) {
    let state = app.state.borrow();
    let elements = &app.elements;
    let is_current = state.is_current() || state.measured().is_some();
    set(&elements.figures, "data-stale", if is_current { "false" } else { "true" });
    set(&elements.overlay_panel, "data-stale", if state.is_current() { "false" } else { "true" });
    set(&elements.figure_list, "aria-busy", if is_current { "false" } else { "true" });
    // What was measured on a file says more than what was predicted for it.
    let measured = state.measured();
    let predicted = state.answers.overlay.as_ref().map(|overlay| &overlay.value.point);
    let Some(point) = measured.map(|outcome| &outcome.point).or(predicted) else {
        for figure in [
            &elements.figure_bits,
            &elements.figure_ratio,
            &elements.figure_sqnr,
            &elements.figure_entropy,
            &elements.figure_formula,
        ] {
            set_text(figure, "–");
        }
        set_text(&elements.figure_note, waiting(&state));
        return;
    };
    let weighted = state.view.weighted;
    set_text(&elements.figure_bits, &decimals(point.bits, 3));
    let ratio = measured.map_or(point.predicted_ratio, |outcome| outcome.float32_ratio);
    set_text(&elements.figure_ratio, &format!("{}×", significant(ratio, 4)));
    let label = if measured.is_some() { "ratio, measured" } else { "ratio, predicted" };
    set_text(&elements.figure_ratio_label, label);
    set_text(&elements.figure_sqnr_label, if weighted { "weighted SQNR, dB" } else { "SQNR, dB" });
    set_text(&elements.figure_sqnr, &decimals(quality(point, weighted), 2));
    set_text(&elements.figure_entropy, &decimals(point.entropy_bits, 3));
    set_text(&elements.figure_formula, &format!("{}×", significant(point.formula_ratio, 4)));
    if is_current {
        set_text(&elements.figure_note, &note(point, state.importance(), measured.is_some()));
    } else {
        set_text(&elements.figure_note, waiting(&state));
    }
}

/// Why the figures are not those of the recipe.
fn waiting(state: &State) -> &'static str {
    if state.problem().is_some() {
        "figures of earlier settings: these have an error"
    } else if state.importance() == Standing::Awaited {
        "reading importance…"
    } else {
        "solving…"
    }
}

fn note(point: &Point, importance: Standing, is_measured: bool) -> String {
    let mut notes = Vec::new();
    if importance == Standing::Missing {
        notes.push("every weight alike until an importance file is chosen".to_owned());
    }
    if is_measured {
        notes.push("measured on the file".to_owned());
    } else if point.preview {
        notes.push("a preview: compressing measures it".to_owned());
    }
    if point.optimal {
        notes.push("proven optimum".to_owned());
    }
    notes.push(match point.levels {
        1 => "1 level".to_owned(),
        n => format!("{n} levels"),
    });
    notes.join(" · ")
}
