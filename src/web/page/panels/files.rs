//! Files chosen and dropped: told apart, opened, and named at the top of the page.

use crate::formats::{self, Part};
use crate::importance::ImportanceSource;
use crate::importance::sources::DEFAULT_SOURCE;
use crate::model::FileFormat;
use crate::purpose::Purpose;
use crate::recipe::Recipe;
use crate::web::blobs::sentence;
use crate::web::dom::{detail, dispatch, get, on, set_text, show};
use crate::web::jobs::{Answer, Job};
use crate::web::page::app::{App, Change, Panel};
use crate::web::page::state::State;
use crate::web::page::{flow, format, notice, reading};
use crate::web::pool::Failure;
use js_sys::Array;
use std::cell::RefCell;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{Blob, DataTransfer, DragEvent, Element, File, FileList};

/// A larger JSON file is no recipe.
const MOST_RECIPE_BYTES: f64 = 1_048_576.0;

/// Where files come in.
#[derive(Debug, Default)]
pub struct Files {
    /// A file whose purpose is being asked for.
    asked: RefCell<Option<File>>,
}

impl Panel for Files {
    /// Connects buttons, inputs and dropping.
    fn connect(&'static self, app: &'static App) {
        let e = &app.elements;
        for button in [&e.open_button, &e.choose_button] {
            let input = e.file_input.clone();
            on(button, "click", move |_| input.click());
        }
        let input = e.importance_input.clone();
        on(&e.importance_button, "click", move |_| input.click());
        let me = self;
        on(&e.file_input, "change", move |_| me.take(app, app.elements.file_input.files(), false));
        let me = self;
        on(&e.importance_input, "change", move |_| {
            me.take(app, app.elements.importance_input.files(), true);
        });
        self.connect_drop(app);
        let me = self;
        on(&e.purpose, "close", move |_| me.answered(app));
    }

    fn changed(&'static self, app: &'static App, what: Change) {
        match what {
            Change::File | Change::Reread | Change::Bench => show_bench(app),
            Change::Importance | Change::Link => {
                app.state.borrow_mut().wish.importance_problem = None;
                reading::resume(app);
            }
            Change::Idle => reading::resume(app),
            Change::Cancelled => reading::put_back(app),
            Change::SolverLost => reading::reopen(app),
            _ => {}
        }
        let is_lost = |state: &State| state.solvers.is_sweeper_empty && state.question().is_some();
        if app.asks(what) && is_lost(&app.state.borrow()) {
            reading::refill(app);
        }
    }
}

impl Files {
    fn connect_drop(&'static self, app: &'static App) {
        on(&app.document, "dragover", move |event| {
            event.prevent_default();
            show(&app.elements.drop_veil, !on_importance_zone(app, &event));
            mark_zone(app, on_importance_zone(app, &event));
        });
        on(&app.document, "dragleave", move |event| {
            // Leaving the window, and not merely an element inside it, has nowhere to go.
            if event.dyn_ref::<DragEvent>().is_some_and(|drag| drag.related_target().is_none()) {
                show(&app.elements.drop_veil, false);
                mark_zone(app, false);
            }
        });
        let me = self;
        on(&app.document, "drop", move |event| {
            event.prevent_default();
            show(&app.elements.drop_veil, false);
            mark_zone(app, false);
            let data = event.dyn_ref::<DragEvent>().and_then(DragEvent::data_transfer);
            if let Some(entries) = data.as_ref().and_then(with_folder) {
                // What is in it, the boot script reads.
                return dispatch(&app.document, "folder-dropped", &entries);
            }
            me.take(app, data.and_then(|data| data.files()), on_importance_zone(app, &event));
        });
        let me = self;
        on(&app.document, "folder-read", move |event| {
            let files: Vec<File> =
                Array::from(&detail(&event)).iter().filter_map(|file| file.dyn_into().ok()).collect();
            if files.is_empty() {
                return notice::error(app, "There is no file in that folder.");
            }
            me.take_files(app, files);
        });
    }

    fn take(&'static self, app: &'static App, files: Option<FileList>, as_importance: bool) {
        let Some(files) = files else { return };
        let files: Vec<File> = (0..files.length()).filter_map(|index| files.item(index)).collect();
        match files.first() {
            Some(file) if as_importance => {
                let name = file.name();
                app.state.borrow_mut().wish.importance_file = Some((file.clone().into(), name));
                app.changed(Change::Importance);
            }
            Some(_) => self.take_files(app, files),
            None => {}
        }
        // The same file can be chosen again.
        for input in [&app.elements.file_input, &app.elements.importance_input] {
            input.set_value("");
        }
    }

    /// Takes files for what they are.
    fn take_files(&'static self, app: &'static App, files: Vec<File>) {
        match files.as_slice() {
            [file]
                if file.name().to_ascii_lowercase().ends_with(".json")
                    && file.size() <= MOST_RECIPE_BYTES =>
            {
                open_json(app, file.clone());
            }
            _ if app.state.borrow().file.is_some() => self.sort(app, files),
            _ => open_joined(app, files),
        }
    }

    /// Files beside an open model are told apart by what they hold: samples to run it on, importance of its weights, another
    /// model in its place. Arrays that may be any of them are asked about.
    fn sort(&'static self, app: &'static App, files: Vec<File>) {
        let name = files.first().map(File::name).unwrap_or_default();
        let flow = flow::begin(app, &format!("Opening {name}"));
        reading::restore_context(app);
        let me = self;
        wasm_bindgen_futures::spawn_local(async move {
            let mut told = Vec::new();
            for file in &files {
                // What cannot be read is said when it is opened.
                told.push(match app.pool.run(Job::Tell(file.into())).await {
                    Ok(Answer::Told(purpose)) => purpose,
                    Err(Failure::Cancelled) => return,
                    _ => Purpose::Model,
                });
            }
            if flow::check(app, flow).is_err() {
                return;
            }
            flow::conclude(app, flow, Ok(()));
            match (told.as_slice(), files.as_slice()) {
                (all, _) if all.iter().all(|purpose| *purpose == Purpose::Samples) => run_on(app, &files),
                ([Purpose::Importance(source)], [file]) => weigh_by(app, file, source),
                ([Purpose::Unclear], [file]) => me.ask(app, file),
                _ => open_joined(app, files),
            }
        });
    }

    /// Asks what a file is for.
    fn ask(&self, app: &App, file: &File) {
        set_text(&app.elements.purpose_name, &file.name());
        *self.asked.borrow_mut() = Some(file.clone());
        app.elements.purpose.set_return_value("");
        let _ = app.elements.purpose.show_modal();
    }

    fn answered(&self, app: &'static App) {
        let Some(file) = self.asked.take() else { return };
        match app.elements.purpose.return_value().as_str() {
            "model" => open_joined(app, vec![file]),
            "importance" => weigh_by(app, &file, DEFAULT_SOURCE),
            "samples" => run_on(app, &[file]),
            _ => {}
        }
    }
}

/// Shows the open file, also after a compressed file stood in its place.
fn show_bench(app: &'static App) {
    summarise(app);
    app.state.borrow_mut().archive = None;
    app.show_view("bench");
}

fn summarise(app: &App) {
    let state = app.state.borrow();
    let Some(file) = &state.file else { return };
    set_text(&app.elements.file_name, &file.name);
    let facts = format!(
        "{} · {} weights in {} tensors · {}",
        file.opened.format,
        format::count(file.opened.parameters),
        format::count(file.opened.tensors as u64),
        format::bytes(file.blob.size() as u64),
    );
    set_text(&app.elements.file_facts, &facts);
    show(&app.elements.file_summary, true);
    app.document.set_title(&format!("{} – Quantscope", file.name));
}

/// What was dropped, as entries of file systems, if a folder is among it.
fn with_folder(data: &DataTransfer) -> Option<Array> {
    let items = Array::from(&get(data, "items"));
    let entry = |item: JsValue| {
        let entry = get(&item, "webkitGetAsEntry").dyn_ref::<js_sys::Function>()?.call0(&item).ok()?;
        entry.is_object().then_some(entry)
    };
    let entries: Array = items.iter().filter_map(entry).collect();
    entries.iter().any(|entry| get(&entry, "isDirectory").is_truthy()).then_some(entries)
}

fn on_importance_zone(app: &App, event: &web_sys::Event) -> bool {
    let target = event.target().and_then(|target| target.dyn_into::<Element>().ok());
    target.is_some_and(|target| app.elements.importance_zone.contains(Some(&target)))
}

fn mark_zone(app: &App, over: bool) {
    let _ = app.elements.importance_zone.class_list().toggle_with_force("over", over);
}

fn open_joined(app: &'static App, files: Vec<File>) {
    match join(files) {
        Ok((blob, name, parts)) => reading::open(app, blob, name, parts),
        Err(sentence) => notice::error(app, &sentence),
    }
}

/// Hands samples to what runs networks.
fn run_on(app: &App, files: &[File]) {
    let all: Array = files.iter().map(JsValue::from).collect();
    dispatch(&app.document, "samples-given", &all);
}

/// Weighs the open model's errors by a file, as a source takes it.
fn weigh_by(app: &'static App, file: &File, source: &'static ImportanceSource) {
    let name = file.name();
    let before = {
        let state = app.state.borrow();
        (state.wish.recipe.importance.clone(), state.wish.importance_file.clone())
    };
    {
        let mut state = app.state.borrow_mut();
        state.weigh_by(file.clone(), source);
        state.wish.importance_problem = None;
    }
    app.changed(Change::Recipe);
    let flow = flow::begin(app, &format!("Reading importance from {name}"));
    wasm_bindgen_futures::spawn_local(async move {
        let result = reading::read_importance(app, flow).await;
        if result.is_ok() {
            notice::link(app, &format!("{name} was taken for importance: errors are weighed by it."));
        } else if flow::check(app, flow).is_ok() {
            // Nobody asked for it: what weighed before weighs again.
            {
                let mut state = app.state.borrow_mut();
                (state.wish.recipe.importance, state.wish.importance_file) = before;
                state.wish.importance_problem = None;
            }
            app.changed(Change::Recipe);
        }
        flow::conclude(app, flow, result);
    });
}

/// Takes a recipe file, or says of another JSON file what it is.
fn open_json(app: &'static App, file: File) {
    let name = file.name();
    wasm_bindgen_futures::spawn_local(async move {
        let read = wasm_bindgen_futures::JsFuture::from(file.text()).await;
        let text = read.ok().and_then(|text| text.as_string()).unwrap_or_default();
        match recipe_from(&text) {
            Ok((recipe, hash)) => {
                app.state.borrow_mut().take_recipe(recipe, hash);
                app.changed(Change::Link);
            }
            Err(error) if text.contains("\"recipe\"") => notice::error(app, &format!("{name}: {error}")),
            Err(_) => reading::open(app, file.into(), name, Vec::new()),
        }
    });
}

/// A recipe file as the page and the program write it, with the recipe as a line; read by the browser, which spares the page
/// another reader of JSON. With the content hash of the file that it was made for, where that is said.
fn recipe_from(text: &str) -> Result<(Recipe, Option<String>), String> {
    let json = js_sys::JSON::parse(text).map_err(|error| sentence(&error))?;
    let text = |name: &str| get(&json, name).as_string();
    let line = text("recipe").ok_or_else(|| "recipe: expected a line of key=value pairs".to_owned())?;
    let recipe = Recipe::from_line(&line).map_err(|error| error.to_string())?;
    Ok((recipe, text("source_hash")))
}

/// Several files as one, the model first: an ONNX model with the files of its external data, shards with or without their
/// index, the parts of a split GGUF model, or a weight file beside others.
fn join(mut files: Vec<File>) -> Result<(Blob, String, Vec<Part>), String> {
    let names: Vec<String> = files.iter().map(File::name).collect();
    let models = formats::models(&names);
    let model = match models.as_slice() {
        _ if files.len() == 1 => names.first(),
        [model] => names.iter().find(|name| name == model),
        // What lies beside a network may be its data, whatever it is called.
        _ => names.iter().find(|name| FileFormat::Onnx.is_name_of(name) && models.contains(&name.as_str())),
    };
    let Some(model) = model else {
        return Err(
            "Open one model at a time: a weight file, all shards of one, or an .onnx model together with the files of its external data."
                .to_owned(),
        );
    };
    if let Some(at) = names.iter().position(|name| name == model) {
        files.swap(0, at);
    }
    let parts = Part::list(files.iter().map(|file| (file.name(), file.size() as u64)));
    let blob = match files.as_slice() {
        [file] => file.clone().into(),
        files => {
            let all: Array = files.iter().map(JsValue::from).collect();
            Blob::new_with_blob_sequence(&all).map_err(|error| sentence(&error))?
        }
    };
    Ok((blob, model.clone(), parts))
}
