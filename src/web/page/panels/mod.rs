//! The panels, in the order in which they hear of changes. This is the only file that knows them; none of them knows another.

mod accuracy;
mod archive;
mod chart;
mod curves;
mod figures;
mod files;
mod messages;
mod overlay;
mod parts;
mod permalink;
mod recipe;
mod result;
mod sensitivity;
mod target;
mod tensors;
mod theme;

use super::app::{App, Panel};

/// Every panel; those with a state of their own are made here, and live as long as the tab.
pub fn all() -> Vec<&'static dyn Panel> {
    vec![
        &theme::Theme,
        &messages::Messages,
        // First of those that hear of files: what is put off or lost is read before anything is asked of it.
        kept::<files::Files>(),
        &parts::Parts,
        &recipe::RecipeForm,
        &result::Result,
        &target::TargetForm,
        kept::<tensors::Tensors>(),
        &accuracy::Accuracy,
        &figures::Figures,
        kept::<permalink::Permalink>(),
        kept::<overlay::Overlay>(),
        kept::<sensitivity::Sensitivity>(),
        kept::<curves::Curves>(),
        kept::<chart::Chart>(),
        &archive::Archive,
    ]
}

fn kept<P: Panel + Default>() -> &'static P {
    Box::leak(Box::default())
}

/// Compresses the open file, as the panel's button does.
pub fn compress(app: &'static App) {
    result::start(app);
}
