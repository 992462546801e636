//! The ledger: what each part of a compressed file costs, as a table and a stacked bar.

use super::app::App;
use super::format;
use crate::web::dom::{append, clear, make, set};
use wasm_bindgen::JsCast;
use web_sys::{Element, HtmlElement};

/// Fills table body and bar; returns the sum in bits.
pub fn fill(app: &App, rows: &Element, bar: &Element, ledger: &[(String, u64)]) -> u64 {
    let total: u64 = ledger.iter().map(|(_, bits)| bits).sum();
    clear(rows);
    clear(bar);
    for (index, (part, bits)) in ledger.iter().filter(|(_, bits)| *bits > 0).enumerate() {
        let share = *bits as f64 / total.max(1) as f64;
        let colour = format!("s{}", index % 8);
        append(rows, &row(app, part, *bits, share, &colour));
        let segment = make(&app.document, "span", &colour, "");
        set(&segment, "title", &format!("{part}: {}", format::percent(share)));
        if let Some(segment) = segment.dyn_ref::<HtmlElement>() {
            let _ = segment.style().set_property("flex-grow", &bits.to_string());
        }
        append(bar, &segment);
    }
    total
}

fn row(app: &App, part: &str, bits: u64, share: f64, colour: &str) -> Element {
    let document = &app.document;
    let row = make(document, "tr", "", "");
    let name = make(document, "th", "", "");
    set(&name, "scope", "row");
    append(&name, &make(document, "span", &format!("swatch-cell {colour}"), ""));
    append(&name, &document.create_text_node(part));
    append(&row, &name);
    // Parts need not end at a byte.
    let whole = format::count(bits / 8);
    let bytes = if bits.is_multiple_of(8) { whole } else { format!("{whole}.{}", bits % 8 * 10 / 8) };
    for text in [bytes, format::count(bits), format::percent(share)] {
        append(&row, &make(document, "td", "num", &text));
    }
    row
}
