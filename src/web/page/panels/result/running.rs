//! Does the network still run? Asked when a network was compressed, or of one too large for that by the button.

use crate::engine::settle::MOST_BYTES;
use crate::model::FileFormat;
use crate::web::dom::{get, on, set_text, show};
use crate::web::page::app::App;
use crate::web::page::state::OpenFile;
use crate::web::page::{flow, format};
use crate::web::pool::Outcome;
use web_sys::Blob;

/// Connects the button.
pub fn connect(app: &'static App) {
    on(&app.elements.run_button, "click", move |_| {
        let (file, made) = {
            let state = app.state.borrow();
            (state.file.clone(), state.answers.compressed.clone())
        };
        let (Some(file), Some(made)) = (file, made) else { return };
        let flow = flow::begin(app, "Running the network");
        wasm_bindgen_futures::spawn_local(async move {
            let result = run(app, flow, &file, &made.blob, true).await.map(|_| ());
            flow::conclude(app, flow, result);
        });
    });
}

/// Shows what can be said before anything has run; whether the network is to be run unasked.
pub fn offer(app: &App, file: &OpenFile) -> bool {
    let is_network = file.opened.format == FileFormat::Onnx.name();
    let bytes = file.blob.size();
    let is_large = bytes > MOST_BYTES as f64;
    say(app, "", "");
    show(&app.elements.run_button, is_network && is_large);
    set_text(
        &app.elements.run_button,
        &format!("Run the network to check it ({})", format::bytes(bytes as u64)),
    );
    is_network && !is_large
}

fn say(app: &App, sentence: &str, class: &str) {
    set_text(&app.elements.run_verdict, sentence);
    app.elements.run_verdict.set_class_name(&format!("verdict {class}"));
}

/// Runs the open network with the weights of a compressed file and shows what came of it; whether a finer step is worth trying.
/// `first` for another network than the last.
pub async fn run(app: &App, flow: u32, file: &OpenFile, made: &Blob, first: bool) -> Outcome<bool> {
    flow::stage(app, "Running the network");
    let (parts, first) = (file.parts_told(), first.into());
    let fields =
        [("file", file.blob.as_ref()), ("parts", parts.as_ref()), ("made", made.as_ref()), ("first", &first)];
    let told = app.running.ask(&app.document, flow, &fields).await?;
    flow::check(app, flow)?;
    let text = |key: &str| get(&told, key).as_string();
    show(&app.elements.run_button, false);
    if let Some(reason) = text("failed") {
        say(app, &format!("The network could not be run to check it: {reason}"), "");
        return Ok(false);
    }
    let sentence = text("sentence").unwrap_or_default();
    match text("warning") {
        Some(warning) => say(app, &format!("Warning: {warning} ({sentence})"), "bad"),
        None => say(app, &format!("The network runs: {sentence}."), "good"),
    }
    Ok(!get(&told, "ample").is_truthy())
}
