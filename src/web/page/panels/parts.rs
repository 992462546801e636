//! Which part of a checkpoint is taken for the weights: a choice where there is one.

use crate::web::dom::{clear, on, set, show};
use crate::web::page::app::{App, Change, Panel};
use crate::web::page::form::offer;
use crate::web::page::reading;

/// The choice.
#[derive(Debug)]
pub struct Parts;

impl Panel for Parts {
    fn connect(&'static self, app: &'static App) {
        on(&app.elements.part, "change", move |_| {
            let file = {
                let mut state = app.state.borrow_mut();
                state.wish.recipe.select = app.elements.part.value();
                state.file.clone()
            };
            if let Some(file) = file {
                reading::open(app, file.blob, file.name, file.parts);
            }
        });
    }

    fn changed(&'static self, app: &'static App, what: Change) {
        if what != Change::File {
            return;
        }
        let (own, others) = {
            let state = app.state.borrow();
            let Some(file) = &state.file else { return };
            (file.opened.part.clone(), file.opened.other_parts.clone())
        };
        let part = &app.elements.part;
        clear(part);
        let title = if own.is_empty() { "the whole file" } else { &own };
        offer(app, part, &own, title);
        for other in &others {
            offer(app, part, other, other);
        }
        if let Some(first) = part.first_element_child() {
            set(&first, "selected", "");
        }
        show(&app.elements.part_field, !others.is_empty());
    }
}
