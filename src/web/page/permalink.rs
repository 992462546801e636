//! The recipe in the page's address: `#` + its one-line form + `&hash=` + the file's content hash.

use super::App;
use super::dom::{on, set_text};
use super::{files, notice, recipe};
use crate::recipe::Recipe;
use std::rc::Rc;

/// Takes the recipe from the address, if there is one.
pub fn restore(app: &Rc<App>) {
    let fragment = app.window.location().hash().unwrap_or_default();
    let fragment = fragment.trim_start_matches('#').to_owned();
    if !fragment.contains('=') || app.state.borrow().fragment == fragment {
        return;
    }
    match Recipe::from_link(&fragment) {
        Ok((restored, hash)) => {
            app.state.borrow_mut().fragment = fragment;
            take(app, restored, hash);
        }
        Err(error) => notice::error(app, &format!("The link's recipe was not understood. {error}")),
    }
}

/// Takes a recipe that was made elsewhere, for the file of this content hash.
pub fn take(app: &Rc<App>, recipe: Recipe, hash: Option<String>) {
    {
        let mut state = app.state.borrow_mut();
        state.recipe = recipe;
        state.recipe_is_chosen = true;
        state.link_hash = hash;
    }
    recipe::sync(app);
    judge(app);
    files::importance_changed(app);
}

/// Says whether the link was made for the open file.
pub fn judge(app: &App) {
    let sentence = {
        let state = app.state.borrow();
        match (&state.link_hash, &state.file) {
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

/// Writes the recipe into the address.
pub fn write(app: &App) {
    let fragment = {
        let state = app.state.borrow();
        let Some(file) = &state.file else { return };
        state.recipe.to_link(&file.hash)
    };
    if app.state.borrow().fragment != fragment {
        if let Ok(history) = app.window.history() {
            // Refused only when called hundreds of times a second; the next change writes again.
            let _ = history.replace_state_with_url(
                &wasm_bindgen::JsValue::NULL,
                "",
                Some(&format!("#{fragment}")),
            );
        }
        app.state.borrow_mut().fragment = fragment;
    }
}

/// Milliseconds between two writes: browsers refuse more than some hundred changes of the address in half a minute.
const PAUSE: i32 = 300;

/// Writes the recipe into the address, at once unless it was written a moment ago, and then when that moment is over.
pub fn write_soon(app: &Rc<App>) {
    if app.link_waits.get() {
        app.link_asked.set(true);
        return;
    }
    write(app);
    app.link_waits.set(true);
    let writer = app.clone();
    app.later(PAUSE, move |()| {
        writer.link_waits.set(false);
        if writer.link_asked.replace(false) {
            write_soon(&writer);
        }
    });
}

/// Puts the link on the clipboard.
pub fn copy(app: &Rc<App>) {
    write(app);
    let href = app.window.location().href().unwrap_or_default();
    let promise = app.window.navigator().clipboard().write_text(&href);
    let app = app.clone();
    wasm_bindgen_futures::spawn_local(async move {
        if wasm_bindgen_futures::JsFuture::from(promise).await.is_ok() {
            set_text(&app.elements.copy_link, "Copied");
            notice::announce(&app, "Link copied");
            let back = app.clone();
            app.later(1_500, move |()| set_text(&back.elements.copy_link, "Copy link"));
        } else {
            notice::error(&app, "The browser did not allow copying; the link is in the address bar.");
        }
    });
}

/// Follows the address when the user edits it or pastes another link.
pub fn connect(app: &Rc<App>) {
    let changed = app.clone();
    on(&app.window, "hashchange", move |_| restore(&changed));
    let click = app.clone();
    on(&app.elements.copy_link, "click", move |_| copy(&click));
}
