//! The buttons of notices and of the strip of work in progress.

use crate::web::dom::{on, show};
use crate::web::page::app::{App, Panel};
use crate::web::page::flow;
use std::rc::Rc;

/// Notices and the strip.
#[derive(Debug)]
pub struct Messages;

impl Panel for Messages {
    fn connect(&'static self, app: &Rc<App>) {
        let close = app.clone();
        on(&app.elements.notice_close, "click", move |_| show(&close.elements.notice, false));
        let close = app.clone();
        on(&app.elements.link_notice_close, "click", move |_| show(&close.elements.link_notice, false));
        let stop = app.clone();
        on(&app.elements.job_cancel, "click", move |_| flow::cancel(&stop));
    }
}
