//! The panels, in the order in which they hear of changes. This is the only file that knows them; none of them knows another.

mod accuracy;
mod archive;
mod chart;
mod curves;
mod figures;
mod files;
mod messages;
mod overlay;
mod permalink;
mod recipe;
mod result;
mod sensitivity;
mod target;
mod tensors;
mod theme;

use super::app::{App, Panel};
use std::rc::Rc;

/// Every panel.
pub fn all() -> Vec<Rc<dyn Panel>> {
    vec![
        Rc::new(theme::Theme),
        Rc::new(messages::Messages),
        // First of those that hear of files: what is put off or lost is read before anything is asked of it.
        Rc::new(files::Files::default()),
        Rc::new(recipe::RecipeForm),
        Rc::new(result::Result),
        Rc::new(target::TargetForm),
        Rc::new(tensors::Tensors::default()),
        Rc::new(accuracy::Accuracy),
        Rc::new(figures::Figures),
        Rc::new(permalink::Permalink::default()),
        Rc::new(overlay::Overlay::default()),
        Rc::new(sensitivity::Sensitivity::default()),
        Rc::new(curves::Curves::default()),
        Rc::new(chart::Chart::default()),
        Rc::new(archive::Archive),
    ]
}

/// Compresses the open file, as the panel's button does.
pub fn compress(app: &Rc<App>) {
    result::start(app);
}
