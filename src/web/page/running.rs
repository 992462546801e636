//! Does the network still run? Asks the module that runs networks, which the boot script loads for it.
//!
//! The answer comes as an event on the document; [`crate::web`]'s module `accuracy` lists them. An answer to another question
//! than the last is not heard.

use super::dom::{detail, dispatch, get, on, set_text, show};
use super::state::OpenFile;
use super::{App, format, notice};
use crate::engine::settle::MOST_BYTES;
use crate::model::FileFormat;
use crate::recipe::{Finer, finer_from};
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
            let result =
                run(&app, flow, &file, &made.blob, Question { first: true, whose: false }).await.map(drop);
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

/// What else is asked of a run.
#[derive(Debug, Clone, Copy)]
pub struct Question {
    /// It is another network than the last.
    pub first: bool,
    /// Whose error do the outputs feel?
    pub whose: bool,
}

/// What a run told beside what is shown.
#[derive(Debug)]
pub struct Told {
    /// Whether finer steps are not worth trying.
    pub ample: bool,
    /// The least signal-to-noise ratio of an output.
    pub ratio: f64,
    /// By how much steps are to be finer.
    pub finer: Vec<Finer>,
}

/// Runs the open network with the weights of a compressed file and shows what came of it; nothing where it could not be run.
pub async fn run(
    app: &App,
    flow: u32,
    file: &OpenFile,
    made: &Blob,
    asked: Question,
) -> Outcome<Option<Told>> {
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
    put("first", &asked.first.into());
    put("whose", &asked.whose.into());
    dispatch(&app.document, "run-wanted", &question);
    let told = receiver.await?;
    notice::check(app, flow)?;
    let text = |key: &str| get(&told, key).as_string();
    show(&app.elements.run_button, false);
    if let Some(reason) = text("failed") {
        say(app, &format!("The network could not be run to check it: {reason}"), "");
        return Ok(None);
    }
    let sentence = text("sentence").unwrap_or_default();
    match text("warning") {
        Some(warning) => say(app, &format!("Warning: {warning} ({sentence})"), "bad"),
        None => say(app, &format!("The network runs: {sentence}."), "good"),
    }
    let finer = finer_from(&text("finer").unwrap_or_default()).map_err(|error| error.to_string())?;
    let ratio = get(&told, "ratio").as_f64().unwrap_or(f64::NAN);
    Ok(Some(Told { ample: get(&told, "ample").is_truthy(), ratio, finer }))
}
