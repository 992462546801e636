//! The page's side of the accuracy panel, which is a binary of its own: tells it what is open, hears what it asks for.
//!
//! They know each other by events on the document; [`crate::web`]'s module `accuracy` lists them.

use crate::importance::sources::DEFAULT_SOURCE;
use crate::quantize::Scope;
use crate::recipe::Recipe;
use crate::web::dom::{detail, dispatch, on, set};
use crate::web::page::app::{App, Change, Panel};
use crate::web::page::{notice, reading};
use js_sys::{Array, Object, Reflect};
use wasm_bindgen::{JsCast, JsValue};
use web_sys::File;

/// The other module's panel, from this side.
#[derive(Debug)]
pub struct Accuracy;

impl Panel for Accuracy {
    /// Connects both directions.
    fn connect(&'static self, app: &'static App) {
        on(&app.document, "accuracy-hello", move |_| {
            if let Some(body) = app.document.body() {
                set(&body, "data-accuracy", "ready");
            }
            tell(app);
        });
        on(&app.document, "accuracy-recipe", move |event| {
            let line = detail(&event).as_string().unwrap_or_default();
            match Recipe::from_line(&line) {
                Ok(found) => {
                    {
                        // Importance is what the page has loaded, and hardware what was chosen, whatever the line says of it.
                        let recipe = &mut app.state.borrow_mut().wish.recipe;
                        let (importance, cost) = (recipe.importance.clone(), recipe.cost.clone());
                        *recipe = Recipe { importance, cost, ..found };
                    }
                    app.changed(Change::Recipe);
                }
                Err(error) => notice::error(app, &error.to_string()),
            }
        });
        on(&app.document, "accuracy-cost", move |event| {
            app.state.borrow_mut().wish.recipe.cost = detail(&event).as_string().unwrap_or_default();
            app.changed(Change::Hardware);
        });
        on(&app.document, "accuracy-importance", move |event| {
            if let Ok(file) = detail(&event).dyn_into::<File>() {
                app.state.borrow_mut().weigh_by(file, DEFAULT_SOURCE);
                app.changed(Change::Recipe);
                app.changed(Change::Importance);
            }
        });
        on(&app.document, "sample-open", move |event| {
            let files = Array::from(&detail(&event));
            let mut files = files.iter().filter_map(|file| file.dyn_into().ok());
            if let Some(file) = files.next() {
                open_sample(app, file, files.next());
            }
        });
        on(&app.document, "sample-failed", move |event| {
            notice::error(app, &detail(&event).as_string().unwrap_or_default());
        });
    }

    fn changed(&'static self, app: &'static App, what: Change) {
        if app.asks(what) || matches!(what, Change::Methods | Change::Result) {
            tell(app);
        }
    }
}

fn open_sample(app: &'static App, file: File, curvature: Option<File>) {
    if let Some(curvature) = curvature {
        let mut state = app.state.borrow_mut();
        // A recipe that was chosen, by a link or by hand, stays what it is.
        if state.wish.is_chosen {
            let name = curvature.name();
            state.wish.importance_file = Some((curvature.into(), name));
        } else {
            state.weigh_by(curvature, DEFAULT_SOURCE);
            // Curvature says how fine each tensor must be; one scope for all lets it.
            state.wish.recipe.scope = Scope::All;
        }
    }
    let name = file.name();
    reading::open(app, file.into(), name, Vec::new());
}

/// Tells the panel what is open, if anything is.
fn tell(app: &App) {
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
        if let Some(made) = &state.answers.compressed {
            put("made", &made.blob);
        }
        put("recipe", &JsValue::from_str(&state.solvable().to_line()));
        put("cost", &JsValue::from_str(&state.wish.recipe.cost));
        let methods = &state.view.methods;
        put("methods", &JsValue::from_str(&methods.join(",")));
    }
    dispatch(&app.document, "accuracy-state", &object);
}
