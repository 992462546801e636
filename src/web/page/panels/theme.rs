//! Light, dark or as the system has it; the choice is kept in the browser's storage.

use crate::web::dom::{on, set};
use crate::web::page::app::{App, Panel};

const KEY: &str = "quantscope-colours";
/// Choices in the order the button goes through them, with their names for people.
const CHOICES: [(&str, &str); 3] = [("auto", "automatic"), ("light", "light"), ("dark", "dark")];

fn stored(app: &App) -> usize {
    let storage = app.window.local_storage().ok().flatten();
    let word = storage.and_then(|storage| storage.get_item(KEY).ok().flatten());
    CHOICES.iter().position(|(id, _)| Some(*id) == word.as_deref()).unwrap_or(0)
}

fn apply(app: &App, choice: usize) {
    let (id, name) = CHOICES.get(choice).copied().unwrap_or(("auto", "automatic"));
    if let Some(root) = app.document.document_element() {
        set(&root, "data-theme", id);
    }
    let label = format!("Colours: {name}");
    set(&app.elements.theme_button, "aria-label", &label);
    set(&app.elements.theme_button, "title", &label);
}

/// The button.
#[derive(Debug)]
pub struct Theme;

impl Panel for Theme {
    /// Restores the choice and connects the button; charts are redrawn when colours change.
    fn connect(&'static self, app: &'static App) {
        apply(app, stored(app));
        on(&app.elements.theme_button, "click", move |_| {
            let next = (stored(app) + 1) % CHOICES.len();
            if let (Ok(Some(storage)), Some((id, _))) = (app.window.local_storage(), CHOICES.get(next)) {
                // A browser that stores nothing still shows the choice for as long as the page lives.
                let _ = storage.set_item(KEY, id);
            }
            apply(app, next);
            app.paint();
        });
        if let Ok(Some(query)) = app.window.match_media("(prefers-color-scheme: dark)") {
            on(&query, "change", move |_| app.paint());
            std::mem::forget(query);
        }
    }
}
