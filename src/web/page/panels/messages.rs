//! The buttons of notices and of the strip of work in progress.

use crate::web::dom::{on, show};
use crate::web::page::app::{App, Panel};
use crate::web::page::flow;

/// Notices and the strip.
#[derive(Debug)]
pub struct Messages;

impl Panel for Messages {
    fn connect(&'static self, app: &'static App) {
        on(&app.elements.notice_close, "click", move |_| show(&app.elements.notice, false));
        on(&app.elements.link_notice_close, "click", move |_| show(&app.elements.link_notice, false));
        on(&app.elements.job_cancel, "click", move |_| flow::cancel(app));
    }
}
