//! The page's side of the accuracy panel, which is a binary of its own: tells it what is open, hears what it asks for.
//!
//! They know each other by events on the document; [`crate::web`]'s module `accuracy` lists them.

use super::dom::{detail, dispatch, on, set};
use super::{App, files, notice, recipe};
use crate::quantize::Scope;
use crate::recipe::{ImportanceKind, Recipe};
use js_sys::{Array, Object, Reflect};
use std::rc::Rc;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::File;

/// Connects both directions.
pub fn connect(app: &Rc<App>) {
    let told = app.clone();
    on(&app.document, "accuracy-hello", move |_| {
        if let Some(body) = told.document.body() {
            set(&body, "data-accuracy", "ready");
        }
        tell(&told);
    });
    let asked = app.clone();
    on(&app.document, "accuracy-recipe", move |event| {
        let line = detail(&event).as_string().unwrap_or_default();
        match Recipe::from_line(&line) {
            Ok(found) => {
                // Importance is what the page has loaded, whatever the line says of it.
                let importance = asked.state.borrow().recipe.importance.clone();
                asked.state.borrow_mut().recipe = Recipe { importance, ..found };
                recipe::sync(&asked);
                asked.refresh();
            }
            Err(error) => notice::error(&asked, &error.to_string()),
        }
    });
    let asked = app.clone();
    on(&app.document, "accuracy-importance", move |event| {
        if let Ok(file) = detail(&event).dyn_into::<File>() {
            take_importance(&asked, file);
            recipe::sync(&asked);
            files::importance_changed(&asked);
        }
    });
    let asked = app.clone();
    on(&app.document, "sample-open", move |event| {
        let files: Vec<File> =
            Array::from(&detail(&event)).iter().filter_map(|f| f.dyn_into().ok()).collect();
        let mut files = files.into_iter();
        if let Some(file) = files.next() {
            if let Some(curvature) = files.next() {
                // A recipe that was chosen, by a link or by hand, stays what it is.
                if asked.state.borrow().recipe_is_chosen {
                    let name = curvature.name();
                    asked.state.borrow_mut().importance_file = Some((curvature.into(), name));
                } else {
                    take_importance(&asked, curvature);
                    // Curvature says how fine each tensor must be; one scope for all lets it.
                    asked.state.borrow_mut().recipe.scope = Scope::All;
                }
            }
            let name = file.name();
            files::open(&asked, file.into(), name, Vec::new());
        }
    });
    let asked = app.clone();
    on(&app.document, "sample-failed", move |event| {
        notice::error(&asked, &detail(&event).as_string().unwrap_or_default());
    });
}

pub(super) fn take_importance(app: &App, file: File) {
    let name = file.name();
    let mut state = app.state.borrow_mut();
    state.importance_file = Some((file.into(), name));
    state.recipe.importance.kind = ImportanceKind::File;
    state.recipe.importance.alpha = 1.0;
    state.recipe.importance.hash = None;
}

/// Tells the panel what is open, if anything is.
pub fn tell(app: &App) {
    let object = Object::new();
    {
        let state = app.state.borrow();
        let Some(file) = &state.file else { return };
        let put = |key: &str, value: &JsValue| {
            let _ = Reflect::set(&object, &key.into(), value);
        };
        put("file", &file.blob);
        put("name", &JsValue::from_str(&file.name));
        put("parts", &file.parts_told());
        if let Some(loaded) = &file.importance {
            put("importance", &loaded.file);
        }
        put("recipe", &JsValue::from_str(&state.solvable().to_line()));
        let methods: Vec<&str> = state.shown.iter().map(String::as_str).collect();
        put("methods", &JsValue::from_str(&methods.join(",")));
    }
    dispatch(&app.document, "accuracy-state", &object);
}
