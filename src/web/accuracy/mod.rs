//! Accuracy in the page: a binary of its own, loaded when it is first asked for.
//!
//! It holds rten and everything that runs networks. Like the page's binary it is two things by the global scope it wakes up in: the
//! [`panel`] beside the page, or one of the workers of its [`crew`]. It knows the page only by events on the document, whose
//! details are files and texts:
//!
//! | event | from | detail |
//! |---|---|---|
//! | `accuracy-hello` | panel | nothing: tell me what is open |
//! | `accuracy-state` | page | `{file, name, importance, recipe, methods}` |
//! | `accuracy-data` | page | files of a data set, to be measured at once |
//! | `accuracy-recipe` | panel | a recipe to take over, as a line |
//! | `accuracy-importance` | panel | an importance file to take over |

mod crew;
mod panel;
mod words;
mod worker;

use wasm_bindgen::JsCast;

/// Becomes the panel or a worker.
pub fn start() {
    let global = js_sys::global();
    if let Some(scope) = global.dyn_ref::<web_sys::DedicatedWorkerGlobalScope>() {
        worker::start(scope);
    } else if let Some(window) = web_sys::window() {
        panel::start(&window);
    }
}
