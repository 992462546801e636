//! A worker's side of timing: one recipe, on one file, by the browser's clock.

use super::jobs::{Answer, Timed};
use crate::engine::pipeline::Opened;
use crate::engine::timings::{self, Timing};
use crate::formats::{Part, Source, read_part};
use crate::network::model::ModelBytes;
use crate::recipe::Recipe;
use crate::web::blobs::BlobSource;
use crate::web::message::sentence;
use wasm_bindgen::{JsCast, JsValue};

/// Larger files are not held in memory.
const MOST_BYTES: u64 = 1 << 29;

/// Compresses and verifies; in a fresh worker its memory is what that took, the file among it.
pub fn time(timed: Timed) -> Result<Answer, String> {
    let clock = js_sys::global()
        .dyn_into::<web_sys::WorkerGlobalScope>()
        .ok()
        .and_then(|scope| scope.performance())
        .ok_or("this browser has no clock to measure with")?;
    let seconds = || clock.now() / 1e3;
    let recipe = Recipe::from_line(&timed.recipe).map_err(sentence)?;
    let file = read(&timed.file, timed.parts)?;
    let importance =
        if timed.importance.is_undefined() { None } else { Some(read(&timed.importance, Vec::new())?) };
    let began = seconds();
    let mut opened =
        Opened::sketch((file, timed.name), importance, &recipe, 1, &|_, _, _| ()).map_err(sentence)?;
    let sketch_seconds = seconds() - began;
    let timing = timings::time(&mut opened, &recipe, &seconds).map_err(sentence)?;
    let weights = opened.session.model().parameters();
    Ok(Answer::Timed { timing: Timing { peak_bytes: memory(), ..timing }, sketch_seconds, weights })
}

/// A file in memory.
fn read(file: &JsValue, parts: Vec<Part>) -> Result<ModelBytes, String> {
    let source = BlobSource::new(file)?;
    let bytes = read_part(&source, "the file, which is timed in memory,", 0, source.len(), MOST_BYTES);
    let bytes = bytes.map_err(|error| error.to_string())?;
    Ok(ModelBytes::new(bytes, parts))
}

/// Bytes of this instance's memory, which only grows.
fn memory() -> Option<u64> {
    let memory: js_sys::WebAssembly::Memory = wasm_bindgen::memory().dyn_into().ok()?;
    let buffer: js_sys::ArrayBuffer = memory.buffer().dyn_into().ok()?;
    Some(u64::from(buffer.byte_length()))
}
