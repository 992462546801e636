//! Messages: one dismissible notice for errors, one for what is known of a link, one voice for screen readers.

use super::app::App;
use crate::web::dom::{set_text, show};

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
