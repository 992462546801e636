//! The style sheet's colours, for charts.

use crate::plot::{Colour, Theme};
use web_sys::{Document, Window};

/// The style sheet's colours.
pub fn theme(window: &Window, document: &Document) -> Theme {
    let style = document.document_element().and_then(|root| window.get_computed_style(&root).ok().flatten());
    let colour = |name: &str, otherwise: Colour| {
        let text = style.as_ref().and_then(|style| style.get_property_value(name).ok()).unwrap_or_default();
        colour_from_hex(text.trim()).unwrap_or(otherwise)
    };
    let mut theme = Theme::light();
    theme.background = colour("--surface", theme.background);
    theme.text = colour("--ink", theme.text);
    theme.muted = colour("--muted", theme.muted);
    theme.grid = colour("--grid", theme.grid);
    theme.accent = colour("--mark", theme.accent);
    for (index, series) in theme.series.iter_mut().enumerate() {
        *series = colour(&format!("--series-{index}"), *series);
    }
    theme
}

fn colour_from_hex(text: &str) -> Option<Colour> {
    let digits = text.strip_prefix('#').filter(|digits| digits.len() == 6)?;
    let number = u32::from_str_radix(digits, 16).ok()?;
    Some(Colour((number >> 16) as u8, (number >> 8) as u8, number as u8))
}
