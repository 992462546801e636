//! The recipe in the page's address: `#` + its whole line + `&hash=` + the file's content hash.

use crate::recipe::Recipe;
use crate::web::dom::{on, set_text};
use crate::web::page::app::{App, Change, Panel};
use crate::web::page::notice;
use std::cell::{Cell, RefCell};

/// Milliseconds between two writes: browsers refuse more than some hundred changes of the address in half a minute.
const PAUSE: i32 = 300;

/// The page's address, and the button that copies it.
#[derive(Debug, Default)]
pub struct Permalink {
    /// The fragment last written or read.
    fragment: RefCell<String>,
    /// It was written a moment ago, and is to be written again when that is over.
    waits: Cell<bool>,
    is_asked: Cell<bool>,
}

impl Panel for Permalink {
    /// Follows the address, as it is and when the user edits it or pastes another link.
    fn connect(&'static self, app: &'static App) {
        let me = self;
        on(&app.window, "hashchange", move |_| me.restore(app));
        self.restore(app);
        let me = self;
        on(&app.elements.copy_link, "click", move |_| me.copy(app));
    }

    fn changed(&'static self, app: &'static App, what: Change) {
        if matches!(what, Change::File | Change::Reread | Change::Link) {
            judge(app);
        }
        let is_due = match what {
            Change::Overlay => app.state.borrow().is_current(),
            Change::Hardware => true,
            _ => app.asks(what) && app.state.borrow().question().is_some(),
        };
        if is_due {
            self.write_soon(app);
        }
    }
}

impl Permalink {
    /// Takes the recipe from the address, if there is one.
    fn restore(&self, app: &'static App) {
        let fragment = app.window.location().hash().unwrap_or_default();
        let fragment = fragment.trim_start_matches('#').to_owned();
        if !fragment.contains('=') || *self.fragment.borrow() == fragment {
            return;
        }
        match Recipe::from_link(&fragment) {
            Ok((restored, hash)) => {
                *self.fragment.borrow_mut() = fragment;
                app.state.borrow_mut().take_recipe(restored, hash);
                app.changed(Change::Link);
            }
            Err(error) => notice::error(app, &format!("The link's recipe was not understood. {error}")),
        }
    }

    /// Writes the recipe into the address.
    fn write(&self, app: &App) {
        let fragment = {
            let state = app.state.borrow();
            let Some(file) = &state.file else { return };
            state.wish.recipe.to_link(&file.hash)
        };
        if *self.fragment.borrow() != fragment {
            if let Ok(history) = app.window.history() {
                // Refused only when called hundreds of times a second; the next change writes again.
                let _ = history.replace_state_with_url(
                    &wasm_bindgen::JsValue::NULL,
                    "",
                    Some(&format!("#{fragment}")),
                );
            }
            *self.fragment.borrow_mut() = fragment;
        }
    }

    /// Writes the recipe into the address, at once unless it was written a moment ago, and then when that moment is over.
    fn write_soon(&'static self, app: &'static App) {
        if self.waits.get() {
            self.is_asked.set(true);
            return;
        }
        self.write(app);
        self.waits.set(true);
        let me = self;
        app.later(PAUSE, move |()| {
            me.waits.set(false);
            if me.is_asked.replace(false) {
                me.write_soon(app);
            }
        });
    }

    /// Puts the link on the clipboard.
    fn copy(&self, app: &'static App) {
        self.write(app);
        let href = app.window.location().href().unwrap_or_default();
        let promise = app.window.navigator().clipboard().write_text(&href);
        wasm_bindgen_futures::spawn_local(async move {
            if wasm_bindgen_futures::JsFuture::from(promise).await.is_ok() {
                set_text(&app.elements.copy_link, "Copied");
                notice::announce(app, "Link copied");
                app.later(1_500, move |()| set_text(&app.elements.copy_link, "Copy link"));
            } else {
                notice::error(app, "The browser did not allow copying; the link is in the address bar.");
            }
        });
    }
}

/// Says whether the link was made for the open file.
fn judge(app: &App) {
    let sentence = {
        let state = app.state.borrow();
        match (&state.wish.link_hash, &state.file) {
            (Some(asked), Some(file)) if *asked != file.hash => format!(
                "The recipe was made for another file (content hash {}…); this one has {}…. It is applied to {} all the same.",
                asked.get(..12).unwrap_or(asked),
                file.hash.get(..12).unwrap_or(&file.hash),
                file.name
            ),
            (Some(_), None) => {
                "A recipe is there. Open the weight file it was made for, or any other.".to_owned()
            }
            _ => String::new(),
        }
    };
    notice::link(app, &sentence);
}
