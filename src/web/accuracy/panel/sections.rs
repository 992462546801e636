//! What the panel's sections share: rows of tables, numbers, names in the program's lines.

use super::Panel;
use crate::web::dom::{append, make, set};
use web_sys::Element;

/// A number such as 20,400.
pub fn thousands(count: u64) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A file's name as a shell takes it.
pub fn quoted(name: &str) -> String {
    let is_plain = name.chars().all(|c| c.is_ascii_alphanumeric() || "._-/".contains(c));
    if is_plain { name.to_owned() } else { format!("'{}'", name.replace('\'', r"'\''")) }
}

impl Panel {
    /// The name of the network that is run.
    pub(super) fn network_name(&self) -> String {
        let state = self.state.borrow();
        state.network.as_ref().map_or(&state.open.name, |network| &network.name).clone()
    }

    /// A row of a table: its head, and cells; those that begin with a digit are numbers.
    pub(super) fn table_row(&self, head: &str, cells: &[String]) -> Element {
        let row = make(&self.document, "tr", "", "");
        let first = make(&self.document, "th", "", head);
        set(&first, "scope", "row");
        append(&row, &first);
        for cell in cells {
            let is_number = cell.starts_with(|c: char| c.is_ascii_digit() || c == '–');
            append(&row, &make(&self.document, "td", if is_number { "num" } else { "" }, cell));
        }
        row
    }
}
