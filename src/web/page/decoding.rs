//! Compressed files decoded for the user: into the files that were compressed, or into weights of another format.

use super::app::App;
use super::{download, flow};
use crate::engine::Digest;
use crate::model::FileFormat;
use crate::web::dom::{set_text, show};
use crate::web::jobs::{Answer, Job};
use crate::web::pool::unexpected;
use wasm_bindgen::JsCast;
use web_sys::{Blob, HtmlElement};

/// Decodes a compressed file and offers what comes of it; `done` hears of the files that were compressed.
pub fn decode(
    app: &'static App,
    blob: Blob,
    name: &str,
    format: Option<FileFormat>,
    done: impl FnOnce(&[Digest]) + 'static,
) {
    let stem = download::stem(name);
    let named = format.map_or_else(
        || "the file that was compressed".to_owned(),
        |format| format!("{stem}.decoded.{}", format.extension()),
    );
    let flow = flow::begin(app, &format!("Decoding to {named}"));
    wasm_bindgen_futures::spawn_local(async move {
        let answer = app.pool.run(Job::Decode { file: blob.into(), format }).await;
        let result = answer.and_then(|answer| match answer {
            Answer::Decoded { bytes, files } => {
                let bytes = bytes.dyn_into::<Blob>().map_err(|_| "a worker gave no file".to_owned())?;
                Ok((bytes, files))
            }
            _ => Err(unexpected()),
        });
        let result = result.map(|(bytes, files)| {
            if files.is_empty() {
                return download::blob(app, &named, &bytes);
            }
            hand_out(app, &bytes, &files);
            done(&files);
        });
        flow::conclude(app, flow, result);
    });
}

/// Offers files that lie one behind the other, each under its own name.
fn hand_out(app: &App, bytes: &Blob, files: &[Digest]) {
    let mut start = 0.0;
    for file in files {
        let end = start + file.bytes as f64;
        if let Ok(slice) = bytes.slice_with_f64_and_f64(start, end) {
            let name = file.name.rsplit('/').next().unwrap_or(&file.name);
            download::blob(app, name, &slice);
        }
        start = end;
    }
}

/// What decoding gives back, in a sentence.
pub fn sentence(files: &[Digest]) -> String {
    let one = |file: &Digest| format!("{}, SHA-256 {}", file.name, file.sha256);
    format!("Decoding gives back {}.", files.iter().map(one).collect::<Vec<_>>().join("; "))
}

/// Shows a button that gives back the files that were compressed, and names the first; hides it where there is none.
pub fn offer(button: &HtmlElement, files: &[(String, u64)]) {
    show(button, !files.is_empty());
    if let Some((name, _)) = files.first() {
        let more = if files.len() > 1 { format!(" and {} more", files.len() - 1) } else { String::new() };
        set_text(button, &format!("Decoded {name}{more}"));
    }
}
