//! The page and its workers, on wasm32 only; everything that names a browser type lives below here.
//!
//! One binary is all of them: [`start`] asks which global scope it woke up in. The page holds handles and small reports,
//! never weights. Map workers ([`pool`]) read byte ranges of the file and turn tasks into bytes; two solver workers
//! ([`solver`]) each hold a session, one for what moves under the sliders and one for the curves, so that a long sweep
//! never delays a slider. Pool, links and messages ([`protocol`]) are the same for every kind of worker: [`jobs`] has the words
//! for weights, the module that runs networks has its own.

#[cfg(feature = "network")]
pub mod accuracy;
mod archive;
mod blobs;
mod canvas;
mod colours;
mod dom;
mod elements;
mod jobs;
mod link;
mod message;
mod oneshot;
mod page;
mod pool;
mod protocol;
mod serve;
mod session;
mod solver;
mod worker;

use wasm_bindgen::JsCast;

/// Becomes the page or a worker.
pub fn start() {
    let global = js_sys::global();
    if let Some(scope) = global.dyn_ref::<web_sys::DedicatedWorkerGlobalScope>() {
        worker::start(scope);
    } else if let Some(window) = web_sys::window() {
        page::start(&window);
    }
}
