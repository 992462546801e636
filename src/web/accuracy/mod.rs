//! Accuracy in the page: a binary of its own, loaded when it is first asked for.
//!
//! It holds rten and everything that runs networks. Like the page's binary it is two things by the global scope it wakes up in:
//! the [`panel`] beside the page with its [`checks`], or one of the workers that they ask in the words of [`jobs`]. It knows the
//! page only by events on the document, whose details are files and texts:
//!
//! | event | from | detail |
//! |---|---|---|
//! | `accuracy-hello` | boot script | nothing: the panel is asked for, tell it what is open |
//! | `accuracy-state` | page | `{file, name, importance, recipe, methods, cost, made}`: hardware as a line, what was compressed |
//! | `accuracy-data` | boot script | `{files, model}`: a data set, to be measured at once if the open file has the model's name |
//! | `samples-given` | page | files of a data set; the boot script shows the panel and passes them on |
//! | `accuracy-recipe` | panel | a recipe to take over, as a line |
//! | `accuracy-cost` | panel | what the hardware model reckons with, as a line for links and recipes |
//! | `accuracy-importance` | panel | an importance file to take over |
//! | `run-wanted` | page | `{id, file, parts, made, first}`: run the network with a compressed file's weights |
//! | `run-network` | boot script | the same, once this module is loaded |
//! | `run-stop` | page | nothing: the answer is not wanted any more |
//! | `run-told` | [`checks`] | `{id, sentence, warning, ample}`, or `{id, failed}` |

mod checks;
mod jobs;
mod panel;
mod timing;
mod worker;

use crate::formats::Part;
use crate::web::blobs::sentence;
use crate::web::pool::Outcome;
use js_sys::{Array, Uint8Array};
use wasm_bindgen::{JsCast, JsValue};
use wasm_bindgen_futures::JsFuture;
use web_sys::Blob;

/// Becomes the panel or a worker.
pub fn start() {
    let global = js_sys::global();
    if let Some(scope) = global.dyn_ref::<web_sys::DedicatedWorkerGlobalScope>() {
        worker::start(scope);
    } else if let Some(window) = web_sys::window() {
        panel::start(&window);
        checks::start(&window);
    }
}

/// The bytes of a file.
async fn read(blob: &Blob) -> Outcome<Vec<u8>> {
    let buffer = JsFuture::from(blob.array_buffer()).await.map_err(|error| sentence(&error))?;
    Ok(Uint8Array::new(&buffer).to_vec())
}

/// The files that one blob joins: pairs of name and length.
fn parts(pairs: &JsValue) -> Vec<Part> {
    Part::list(Array::from(pairs).iter().filter_map(|part| {
        let pair = Array::from(&part);
        Some((pair.get(0).as_string()?, pair.get(1).as_f64()? as u64))
    }))
}
