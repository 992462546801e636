//! The headline figures of the current operating point.

use super::App;
use super::dom::set_text;
use super::format::{decimals, significant};
use crate::engine::report::Point;

/// Shows the point of the current overlay.
pub fn show(app: &App) {
    let state = app.state.borrow();
    let elements = &app.elements;
    let Some(point) = state.overlay.as_ref().map(|overlay| &overlay.point) else {
        for figure in [
            &elements.figure_bits,
            &elements.figure_ratio,
            &elements.figure_sqnr,
            &elements.figure_entropy,
            &elements.figure_formula,
        ] {
            set_text(figure, "–");
        }
        return;
    };
    let weighted = state.weighted;
    set_text(&elements.figure_bits, &decimals(point.bits, 3));
    set_text(&elements.figure_ratio, &format!("{}×", significant(point.predicted_ratio, 4)));
    set_text(&elements.figure_sqnr_label, if weighted { "weighted SQNR, dB" } else { "SQNR, dB" });
    let sqnr = if weighted { point.weighted_sqnr_db } else { point.sqnr_db };
    set_text(&elements.figure_sqnr, &decimals(sqnr, 2));
    set_text(&elements.figure_entropy, &decimals(point.entropy_bits, 3));
    set_text(&elements.figure_formula, &format!("{}×", significant(point.formula_ratio, 4)));
    set_text(&elements.figure_note, &note(point, state.lacks_importance()));
}

fn note(point: &Point, lacks_importance: bool) -> String {
    let mut notes = Vec::new();
    if lacks_importance {
        notes.push("every weight alike until an importance file is chosen".to_owned());
    }
    if point.preview {
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
