//! Compressed files decoded into other formats, for the user.

use super::app::App;
use super::{download, flow};
use crate::model::FileFormat;
use crate::web::jobs::{Answer, Job};
use crate::web::pool::unexpected;
use wasm_bindgen::JsCast;
use web_sys::Blob;

/// Decodes a compressed file into another format and offers it.
pub fn decode(app: &'static App, blob: Blob, name: &str, format: FileFormat) {
    let named = format!("{}.decoded.{}", download::stem(name), format.extension());
    let flow = flow::begin(app, &format!("Decoding to {named}"));
    wasm_bindgen_futures::spawn_local(async move {
        let result =
            app.pool.run(Job::Decode { file: blob.into(), format }).await.and_then(|answer| match answer {
                Answer::Blob(file) => {
                    file.dyn_into::<Blob>().map_err(|_| "a worker gave no file".to_owned().into())
                }
                _ => Err(unexpected()),
            });
        let result = result.map(|file| hand_out(app, &named, &file, format));
        flow::conclude(app, flow, result);
    });
}

/// Offers the decoded file; an ONNX model that came with files of external data comes back as several files.
fn hand_out(app: &App, name: &str, file: &Blob, format: FileFormat) {
    let state = app.state.borrow();
    let parts = state.file.as_ref().map(|file| file.parts.as_slice()).unwrap_or_default();
    if !format.needs_template() || parts.is_empty() {
        return download::blob(app, name, file);
    }
    // The model may have got another length, and stands first.
    let grown = file.size() - parts.iter().map(|part| part.span.len as f64).sum::<f64>();
    for (index, part) in parts.iter().enumerate() {
        let start = if index == 0 { 0.0 } else { part.span.offset as f64 + grown };
        let end = (part.span.offset + part.span.len) as f64 + grown;
        if let Ok(slice) = file.slice_with_f64_and_f64(start, end) {
            // The model asks for its data by these names.
            download::blob(app, if index == 0 { name } else { &part.name }, &slice);
        }
    }
}
