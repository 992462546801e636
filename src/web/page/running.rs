//! Does the network still run? Asks the module that runs networks, which the boot script loads for it.
//!
//! The answer comes as an event on the document; [`crate::web`]'s module `accuracy` lists them. An answer to another question
//! than the last is not heard.

use super::dom::{detail, dispatch, get, on, set_text, show};
use super::state::OpenFile;
use super::{App, format, notice};
use crate::engine::settle::MOST_BYTES;
use crate::model::FileFormat;
use crate::web::oneshot::{Sender, channel};
use crate::web::pool::{Failure, Outcome};
use js_sys::{Object, Reflect};
use std::cell::RefCell;
use std::rc::Rc;
use wasm_bindgen::JsValue;
use web_sys::Blob;

/// The question that waits for its answer.
#[derive(Debug, Default)]
pub struct Waiting(RefCell<Option<(u32, Sender<Outcome<JsValue>>)>>);

/// Connects the answers and the button.
pub fn connect(app: &Rc<App>) {
    let heard = app.clone();
    on(&app.document, "run-told", move |event| {
        let detail = detail(&event);
        let id = get(&detail, "id").as_f64();
        let waiting = heard.running.0.borrow_mut().take_if(|(flow, _)| id == Some(f64::from(*flow)));
        if let Some((_, sender)) = waiting {
            sender.send(Ok(detail));
        }
    });
    let click = app.clone();
    on(&app.elements.run_button, "click", move |_| {
        let (file, made) = {
            let state = click.state.borrow();
            (state.file.clone(), state.compressed.clone())
        };
        let (Some(file), Some(made)) = (file, made) else { return };
        let flow = notice::begin(&click, "Running the network");
        let app = click.clone();
        wasm_bindgen_futures::spawn_local(async move {
            let result = run(&app, flow, &file, &made.blob, true).await.map(|_| ());
            notice::conclude(&app, flow, result);
        });
    });
}

/// Gives up the question that waits.
pub fn stop(app: &App) {
    if let Some((_, sender)) = app.running.0.borrow_mut().take() {
        dispatch(&app.document, "run-stop", &JsValue::UNDEFINED);
        sender.send(Err(Failure::Cancelled));
    }
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
    notice::stage(app, "Running the network");
    let (sender, receiver) = channel();
    *app.running.0.borrow_mut() = Some((flow, sender));
    let question = Object::new();
    let put = |key: &str, value: &JsValue| {
        let _ = Reflect::set(&question, &key.into(), value);
    };
    put("id", &flow.into());
    put("file", &file.blob);
    put("parts", &file.parts_told());
    put("made", made);
    put("first", &first.into());
    dispatch(&app.document, "run-wanted", &question);
    let told = receiver.await?;
    notice::check(app, flow)?;
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
