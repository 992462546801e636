//! Files in: opened, sketched, joined by an importance file. Whatever fails, what was open stays open.

use super::dom::{dispatch, get, on, part, set_text, show};
use super::state::{LoadedImportance, OpenFile, Standing};
use super::{App, accuracy, archive, compress, format, notice, permalink, recipe, tensors};
use crate::engine;
use crate::formats::{Part, Purpose, is_named_onnx};
use crate::model::Model;
use crate::recipe::{ImportanceKind, Recipe};
use crate::web::blobs::sentence;
use crate::web::jobs::{Answer, Context, Job, Opened};
use crate::web::message::unpack;
use crate::web::pool::{Failure, Outcome};
use js_sys::{Array, Uint8Array};
use std::ops::Range;
use std::rc::Rc;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{Blob, DataTransfer, DragEvent, Element, File, FileList};

/// A larger JSON file is no recipe.
const MOST_RECIPE_BYTES: f64 = 1_048_576.0;
/// Solvers lost to one file before it is no longer read again by itself.
const MOST_DEATHS: u32 = 3;

/// Connects buttons, inputs and dropping.
pub fn connect(app: &Rc<App>) {
    let e = &app.elements;
    for button in [&e.open_button, &e.choose_button] {
        let input = e.file_input.clone();
        on(button, "click", move |_| input.click());
    }
    let input = e.importance_input.clone();
    on(&e.importance_button, "click", move |_| input.click());
    let chosen = app.clone();
    on(&e.file_input, "change", move |_| take(&chosen, chosen.elements.file_input.files(), false));
    let chosen = app.clone();
    on(&e.importance_input, "change", move |_| take(&chosen, chosen.elements.importance_input.files(), true));
    let closed = app.clone();
    on(&e.purpose, "close", move |_| answered(&closed));
    connect_drop(app);
}

fn connect_drop(app: &Rc<App>) {
    let over = app.clone();
    on(&app.document, "dragover", move |event| {
        event.prevent_default();
        show(&over.elements.drop_veil, !on_importance_zone(&over, &event));
        mark_zone(&over, on_importance_zone(&over, &event));
    });
    let leave = app.clone();
    on(&app.document, "dragleave", move |event| {
        // Leaving the window, and not merely an element inside it, has nowhere to go.
        if event.dyn_ref::<DragEvent>().is_some_and(|drag| drag.related_target().is_none()) {
            show(&leave.elements.drop_veil, false);
            mark_zone(&leave, false);
        }
    });
    let dropped = app.clone();
    on(&app.document, "drop", move |event| {
        event.prevent_default();
        show(&dropped.elements.drop_veil, false);
        mark_zone(&dropped, false);
        let files =
            event.dyn_ref::<DragEvent>().and_then(DragEvent::data_transfer).and_then(|data| data.files());
        if event
            .dyn_ref::<DragEvent>()
            .and_then(DragEvent::data_transfer)
            .is_some_and(|data| has_folder(&data))
        {
            return notice::error(&dropped, "That is a folder; drop the files in it.");
        }
        take(&dropped, files, on_importance_zone(&dropped, &event));
    });
}

/// Whether a folder is among what was dropped.
fn has_folder(data: &DataTransfer) -> bool {
    let items = Array::from(&get(data, "items"));
    items.iter().any(|item| {
        let entry = get(&item, "webkitGetAsEntry").dyn_ref::<js_sys::Function>().map(|get| get.call0(&item));
        matches!(entry, Some(Ok(entry)) if entry.is_object() && get(&entry, "isDirectory").is_truthy())
    })
}

fn on_importance_zone(app: &App, event: &web_sys::Event) -> bool {
    let target = event.target().and_then(|target| target.dyn_into::<Element>().ok());
    target.is_some_and(|target| app.elements.importance_zone.contains(Some(&target)))
}

fn mark_zone(app: &App, over: bool) {
    let _ = app.elements.importance_zone.class_list().toggle_with_force("over", over);
}

fn take(app: &Rc<App>, files: Option<FileList>, as_importance: bool) {
    let Some(files) = files else { return };
    let Some(file) = files.item(0) else { return };
    let name = file.name();
    if as_importance {
        app.state.borrow_mut().importance_file = Some((file.into(), name));
        recipe::show_importance(app);
        importance_changed(app);
    } else if files.length() == 1
        && name.to_ascii_lowercase().ends_with(".json")
        && file.size() <= MOST_RECIPE_BYTES
    {
        open_json(app, file);
    } else {
        let files: Vec<File> = (0..files.length()).filter_map(|index| files.item(index)).collect();
        if app.state.borrow().file.is_some() {
            sort(app, files);
        } else {
            open_joined(app, files);
        }
    }
    // The same file can be chosen again.
    for input in [&app.elements.file_input, &app.elements.importance_input] {
        input.set_value("");
    }
}

fn open_joined(app: &Rc<App>, files: Vec<File>) {
    match join(files) {
        Ok((blob, name, parts)) => open(app, blob, name, parts),
        Err(sentence) => notice::error(app, &sentence),
    }
}

/// Files beside an open model are told apart by what they hold: samples to run it on, importance of its weights, another model in
/// its place. Arrays that may be any of them are asked about.
fn sort(app: &Rc<App>, files: Vec<File>) {
    let name = files.first().map(File::name).unwrap_or_default();
    let flow = notice::begin(app, &format!("Opening {name}"));
    restore_context(app);
    let app = app.clone();
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
        if notice::check(&app, flow).is_err() {
            return;
        }
        notice::conclude(&app, flow, Ok(()));
        match (told.as_slice(), files.as_slice()) {
            (all, _) if all.iter().all(|purpose| *purpose == Purpose::Samples) => run_on(&app, &files),
            ([Purpose::Importance], [file]) => weigh_by(&app, file),
            ([Purpose::Unclear], [file]) => ask(&app, file),
            _ => open_joined(&app, files),
        }
    });
}

/// Hands samples to what runs networks.
fn run_on(app: &App, files: &[File]) {
    let all: Array = files.iter().map(JsValue::from).collect();
    dispatch(&app.document, "samples-given", &all);
}

/// Weighs the open model's errors by a file.
fn weigh_by(app: &Rc<App>, file: &File) {
    let name = file.name();
    let before = {
        let state = app.state.borrow();
        (state.recipe.importance.clone(), state.importance_file.clone())
    };
    accuracy::take_importance(app, file.clone());
    app.state.borrow_mut().importance_problem = None;
    recipe::sync(app);
    app.refresh();
    let flow = notice::begin(app, &format!("Reading importance from {name}"));
    let app = app.clone();
    wasm_bindgen_futures::spawn_local(async move {
        let result = read_importance(&app, flow).await;
        if result.is_ok() {
            notice::link(&app, &format!("{name} was taken for importance: errors are weighed by it."));
        } else if notice::check(&app, flow).is_ok() {
            // Nobody asked for it: what weighed before weighs again.
            {
                let mut state = app.state.borrow_mut();
                (state.recipe.importance, state.importance_file) = before;
                state.importance_problem = None;
            }
            recipe::sync(&app);
            app.refresh();
        }
        notice::conclude(&app, flow, result);
    });
}

/// Asks what a file is for.
fn ask(app: &App, file: &File) {
    set_text(&app.elements.purpose_name, &file.name());
    app.state.borrow_mut().asked = Some(file.clone());
    app.elements.purpose.set_return_value("");
    let _ = app.elements.purpose.show_modal();
}

fn answered(app: &Rc<App>) {
    let Some(file) = app.state.borrow_mut().asked.take() else { return };
    match app.elements.purpose.return_value().as_str() {
        "model" => open_joined(app, vec![file]),
        "importance" => weigh_by(app, &file),
        "samples" => run_on(app, &[file]),
        _ => {}
    }
}

/// Takes a recipe file, or says of another JSON file what it is.
fn open_json(app: &Rc<App>, file: File) {
    let (app, name) = (app.clone(), file.name());
    wasm_bindgen_futures::spawn_local(async move {
        let read = wasm_bindgen_futures::JsFuture::from(file.text()).await;
        let text = read.ok().and_then(|text| text.as_string()).unwrap_or_default();
        match recipe_from(&text) {
            Ok((recipe, hash)) => permalink::take(&app, recipe, hash),
            Err(error) if text.contains("\"recipe\"") => notice::error(&app, &format!("{name}: {error}")),
            Err(_) => open(&app, file.into(), name, Vec::new()),
        }
    });
}

/// A recipe file as the page and the program write it, with the recipe as a line; read by the browser, which spares the page another
/// reader of JSON. With the content hash of the file that it was made for, where that is said.
fn recipe_from(text: &str) -> Result<(Recipe, Option<String>), String> {
    let json = js_sys::JSON::parse(text).map_err(|error| sentence(&error))?;
    let text = |name: &str| get(&json, name).as_string();
    let line = text("recipe").ok_or_else(|| "recipe: expected a line of key=value pairs".to_owned())?;
    let recipe = Recipe::from_line(&line).map_err(|error| error.to_string())?;
    Ok((recipe, text("source_hash")))
}

/// Several files as one: an ONNX model, then the files of its external data.
fn join(mut files: Vec<File>) -> Result<(Blob, String, Vec<Part>), String> {
    if let Some(model) = files.iter().position(|file| is_named_onnx(&file.name())) {
        files.swap(0, model);
    }
    let first = files.first().ok_or("no file was chosen")?;
    let name = first.name();
    if files.len() == 1 {
        return Ok((first.clone().into(), name, Vec::new()));
    }
    if !is_named_onnx(&name) {
        return Err(
            "Open one weight file at a time, or an .onnx model together with the files of its external data."
                .to_owned(),
        );
    }
    let parts = Part::list(files.iter().map(|file| (file.name(), file.size() as u64)));
    let all: Array = files.iter().map(JsValue::from).collect();
    let blob = Blob::new_with_blob_sequence(&all).map_err(|error| sentence(&error))?;
    Ok((blob, name, parts))
}

/// Opens a weight file or a compressed file.
pub fn open(app: &Rc<App>, blob: Blob, name: String, parts: Vec<Part>) {
    let flow = notice::begin(app, &format!("Opening {name}"));
    let app = app.clone();
    wasm_bindgen_futures::spawn_local(async move {
        let result = open_flow(&app, flow, blob, &name, parts).await.map_err(|failure| match failure {
            Failure::Sentence(sentence) => Failure::Sentence(format!("{name}: {sentence}")),
            Failure::Cancelled => Failure::Cancelled,
        });
        notice::conclude(&app, flow, result);
    });
}

async fn open_flow(app: &Rc<App>, flow: u32, blob: Blob, name: &str, parts: Vec<Part>) -> Outcome<()> {
    match app.pool.run(Job::Open { file: blob.clone().into(), parts: parts.clone() }).await? {
        Answer::Archive(found) => {
            notice::check(app, flow)?;
            archive::show(app, blob, name, found);
            Ok(())
        }
        Answer::Opened(opened) => {
            let (opened, blob, parts, ignored) = own_parts(app, opened, blob, parts).await?;
            notice::check(app, flow)?;
            let rows = Rc::new(Vec::new());
            let file = OpenFile {
                blob,
                name: name.to_owned(),
                parts,
                opened,
                importance: None,
                rows,
                hash: String::new(),
            };
            app.deaths.set(0);
            // Importance first: what is drawn is drawn once, and weighed.
            let wanted = {
                let mut state = app.state.borrow_mut();
                state.importance_problem = None;
                let is_wanted =
                    state.recipe.importance.kind != ImportanceKind::None && state.problem().is_none();
                state.importance_file.clone().filter(|_| is_wanted)
            };
            let (file, problem) = match wanted {
                Some((blob, name)) => match weigh(app, flow, file.clone(), blob).await {
                    Ok(weighed) => (weighed, None),
                    Err(Failure::Sentence(sentence)) => (file, Some(misfit(&name, &sentence))),
                    Err(Failure::Cancelled) => return Err(Failure::Cancelled),
                },
                None => (file, None),
            };
            let file = analyse(app, flow, file).await?;
            app.state.borrow_mut().importance_problem.clone_from(&problem);
            adopt(app, file, true);
            if !ignored.is_empty() {
                notice::link(
                    app,
                    &format!("Not taken, since {name} does not refer to them: {}.", ignored.join(", ")),
                );
            }
            problem.map_or(Ok(()), |problem| Err(Failure::Sentence(problem)))
        }
        other => Err(unexpected(&other)),
    }
}

/// A model with those of its files that hold tensors of it, and the names of the others: files dropped together need not belong
/// together.
async fn own_parts(
    app: &Rc<App>,
    opened: Opened,
    blob: Blob,
    parts: Vec<Part>,
) -> Outcome<(Opened, Blob, Vec<Part>, Vec<String>)> {
    let model: Model = unpack(&opened.model)?;
    let is_own = |(index, part): &(usize, &Part)| *index == 0 || model.lies_in(part.span);
    let (own, others): (Vec<_>, Vec<_>) = parts.iter().enumerate().partition(is_own);
    if others.is_empty() {
        return Ok((opened, blob, parts, Vec::new()));
    }
    let slices = Array::new();
    for (_, part) in &own {
        let (start, end) = (part.span.offset as f64, (part.span.offset + part.span.len) as f64);
        let slice = blob.slice_with_f64_and_f64(start, end).map_err(|error| sentence(&error))?;
        slices.push(&slice);
    }
    let joined = Blob::new_with_blob_sequence(&slices).map_err(|error| sentence(&error))?;
    let listed = if own.len() > 1 {
        Part::list(own.iter().map(|(_, part)| (part.name.clone(), part.span.len)))
    } else {
        Vec::new()
    };
    let ignored = others.iter().map(|(_, part)| part.name.clone()).collect();
    match app.pool.run(Job::Open { file: joined.clone().into(), parts: listed.clone() }).await? {
        Answer::Opened(opened) => Ok((opened, joined, listed, ignored)),
        other => Err(unexpected(&other)),
    }
}

/// An answer that does not fit its question.
pub fn unexpected(_: &Answer) -> Failure {
    Failure::Sentence("a worker gave an unexpected answer (a defect of Quantscope)".to_owned())
}

/// Reads the whole file once; on failure the workers go back to the file that was open.
async fn analyse(app: &Rc<App>, flow: u32, file: OpenFile) -> Outcome<OpenFile> {
    let result = sketch(app, flow, file).await;
    if result.is_err() && notice::check(app, flow).is_ok() {
        restore_context(app);
    }
    result
}

/// Tells map workers of the file that is open.
pub fn restore_context(app: &App) {
    let context = app.state.borrow().file.as_ref().map_or_else(Context::default, OpenFile::context);
    app.pool.tell_anew(context);
}

async fn sketch(app: &Rc<App>, flow: u32, mut file: OpenFile) -> Outcome<OpenFile> {
    // Curves that are still being solved answer a question that nobody asks any more.
    if app.sweeper.restart()? {
        app.sweeper_empty.set(true);
    }
    let importance = file.importance.as_ref().map_or(JsValue::UNDEFINED, |loaded| loaded.packed.clone());
    let begin = || Job::Begin { model: file.opened.model.clone(), importance: importance.clone() };
    let both = [app.solver.ask(begin()), app.sweeper.ask(begin())];
    let mut stride = 1;
    for answer in both {
        if let Answer::Stride(asked) = answer.await? {
            stride = asked;
        }
    }
    notice::check(app, flow)?;
    notice::stage(app, &format!("Reading {}", file.name));
    app.pool.tell_anew(file.context());
    let tasks = file.opened.tasks.clone();
    let total: u64 = tasks.iter().map(|task| task.bytes).sum();
    let mut done = 0;
    let batches = engine::batches(&tasks);
    let mut absorbed = Vec::with_capacity(2 * batches.len());
    let of = |batch: &Range<usize>| tasks.get(batch.clone()).unwrap_or_default();
    let jobs = batches.iter().map(|batch| Job::Sketch { tasks: of(batch).to_vec(), stride });
    app.pool
        .map(jobs, |at, bytes: Uint8Array| {
            let Some(batch) = batches.get(at) else { return };
            let index = batch.start;
            let copy = bytes.slice(0, bytes.length());
            absorbed.push(app.sweeper.ask(Job::Absorb { index, bytes: copy.into() }));
            absorbed.push(app.solver.ask(Job::Absorb { index, bytes: bytes.into() }));
            done += of(batch).iter().map(|task| task.bytes).sum::<u64>();
            notice::progress(app, done, total);
        })
        .await?;
    for answer in absorbed {
        answer.await?;
    }
    notice::check(app, flow)?;
    let both = [app.solver.ask(Job::Finish), app.sweeper.ask(Job::Finish)];
    for answer in both {
        if let Answer::Surveyed { rows, hash } = answer.await? {
            file.rows = Rc::new(rows);
            file.hash = hash;
        }
    }
    app.sweeper_empty.set(false);
    // From here on the solvers hold this file, whatever was cancelled meanwhile: the page must follow them.
    Ok(file)
}

/// Makes a sketched file the open one. What was computed for the one before stays, as such, until its successor is there.
fn adopt(app: &Rc<App>, file: OpenFile, fresh: bool) {
    {
        let mut state = app.state.borrow_mut();
        let was_weighed = state.file.as_ref().is_some_and(|file| !fresh && file.importance.is_some());
        if file.importance.is_some() != was_weighed {
            // With errors weighed unequally, the weighted measure is the one to compare by.
            state.weighted = !was_weighed;
            app.elements.chart_quality.set_value(if state.weighted { "weighted" } else { "sqnr" });
        }
        if let Some(loaded) = &file.importance {
            let hash = loaded.choice.hash.clone();
            state.recipe.importance.hash = hash;
        }
        state.file = Some(file);
        state.archive = None;
        if fresh {
            state.overlay = None;
            state.curves.clear();
            state.sensitivity = None;
            state.compressed = None;
            state.overlay_tensor = None;
            state.row_limit = tensors::PAGE_ROWS;
        }
    }
    compress::show_onnx(app);
    if fresh {
        app.elements.tensor_filter.set_value("");
        show(&app.elements.result, false);
        fill_overlay_choice(app);
    }
    show_bench(app);
    app.forget_selection();
    recipe::sync(app);
    permalink::judge(app);
    app.refresh();
    if fresh {
        notice::announce(app, "File opened. Curves are being solved.");
    }
}

/// Shows the open file, after a compressed file stood in its place.
pub fn show_bench(app: &App) {
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

fn fill_overlay_choice(app: &App) {
    let select = &app.elements.overlay_tensor;
    let first: Element = part(select, "option");
    select.set_text_content(None);
    super::dom::append(select, &first);
    let state = app.state.borrow();
    let Some(file) = &state.file else { return };
    for (index, row) in file.rows.iter().enumerate().filter(|(_, row)| row.stats.is_some()).take(2000) {
        let option = super::dom::make(&app.document, "option", "", &row.name);
        super::dom::set(&option, "value", &index.to_string());
        super::dom::append(select, &option);
    }
    select.set_value("");
}

/// The recipe asks for other importance, or another file of it was chosen: reads it where that is possible.
pub fn importance_changed(app: &Rc<App>) {
    app.state.borrow_mut().importance_problem = None;
    resume(app);
    app.refresh();
}

/// Goes on with what other work has put off: importance that is awaited, or a sweeper that has nothing to solve.
pub fn resume(app: &Rc<App>) {
    let (awaited, is_open) = {
        let state = app.state.borrow();
        let is_awaited = state.importance() == Standing::Awaited && state.problem().is_none();
        (state.importance_file.clone().filter(|_| is_awaited), state.file.is_some())
    };
    match awaited {
        _ if !is_open => {}
        Some((_, name)) => {
            let flow = notice::begin(app, &format!("Reading importance from {name}"));
            let app = app.clone();
            wasm_bindgen_futures::spawn_local(async move {
                let result = read_importance(&app, flow).await;
                notice::conclude(&app, flow, result);
            });
        }
        None if app.sweeper_empty.get() => refill(app),
        None => {}
    }
}

/// Reads the importance that the recipe asks for, within a flow. Where it cannot serve, the recipe goes on without and the page
/// says why.
pub async fn read_importance(app: &Rc<App>, flow: u32) -> Outcome<()> {
    let (file, (blob, name)) = {
        let state = app.state.borrow();
        match (state.file.clone(), state.importance_file.clone()) {
            (Some(file), Some(chosen)) => (file, chosen),
            _ => return Ok(()),
        }
    };
    let result = async {
        let file = weigh(app, flow, file, blob).await?;
        analyse(app, flow, file).await
    }
    .await;
    notice::check(app, flow)?;
    match result {
        Ok(file) => {
            app.state.borrow_mut().importance_problem = None;
            adopt(app, file, false);
            Ok(())
        }
        Err(failure) => {
            let problem = match failure {
                Failure::Sentence(sentence) => misfit(&name, &sentence),
                Failure::Cancelled => format!("{name} was not read: its reader died."),
            };
            app.state.borrow_mut().importance_problem = Some(problem.clone());
            restore_context(app);
            recipe::show_importance(app);
            app.refresh();
            Err(Failure::Sentence(problem))
        }
    }
}

/// What is said of an importance file that cannot serve.
fn misfit(name: &str, sentence: &str) -> String {
    format!(
        "{name} cannot weigh the errors of this model: {sentence}. Choose another file, or weigh by nothing."
    )
}

/// The user stopped what was under way: importance that is not read goes back to what was read before it.
pub fn put_back(app: &Rc<App>) {
    {
        let mut state = app.state.borrow_mut();
        if state.importance() != Standing::Awaited || state.file.is_none() {
            return;
        }
        let (chosen, name) = match &state.importance_file {
            Some((chosen, name)) => (chosen.clone(), name.clone()),
            None => return,
        };
        let loaded = state.file.as_ref().and_then(|file| file.importance.as_ref());
        match loaded.filter(|loaded| loaded.is_of(&chosen)).map(|loaded| loaded.choice.clone()) {
            Some(choice) => state.recipe.importance = choice,
            None => state.importance_problem = Some(format!("{name} was not read: that was cancelled.")),
        }
    }
    restore_context(app);
    recipe::sync(app);
    app.refresh();
}

/// A file with its importance matched and surveyed, not sketched yet.
async fn weigh(app: &Rc<App>, flow: u32, mut file: OpenFile, blob: Blob) -> Outcome<OpenFile> {
    let recipe = app.state.borrow().recipe.clone();
    file.importance = None;
    app.pool.tell_anew(file.context());
    let matched = app.pool.run(Job::Match { file: blob.clone().into(), recipe }).await?;
    let Answer::Matched { importance, tasks, notes, choice } = matched else {
        return Err(unexpected(&matched));
    };
    notice::check(app, flow)?;
    file.importance = Some(LoadedImportance { file: blob.clone(), packed: importance, notes, choice });
    app.pool.tell_anew(file.context());
    let surveys = Array::new();
    let total: u64 = tasks.iter().map(|task| task.bytes).sum();
    let mut done = 0;
    app.pool
        .map(tasks.iter().cloned().map(Job::Survey), |index, bytes| {
            surveys.push(&bytes);
            done += tasks.get(index).map_or(0, |task| task.bytes);
            notice::progress(app, done, total);
        })
        .await?;
    let complete = app.pool.run(Job::Complete(surveys.into())).await?;
    let Answer::Matched { importance, notes, choice, .. } = complete else {
        return Err(unexpected(&complete));
    };
    notice::check(app, flow)?;
    file.importance = Some(LoadedImportance { file: blob, packed: importance, notes, choice });
    Ok(file)
}

/// Reads the open file again for a sweeper that was stopped.
pub fn refill(app: &Rc<App>) {
    if notice::is_working(app) {
        // What is under way fills it, or says at its end that it is empty still.
        return;
    }
    let Some(file) = app.state.borrow().file.clone() else { return };
    read_again(app, file);
}

/// Reads the open file again, after a solver was lost with its session; a file that keeps killing solvers is left alone.
pub fn reopen(app: &Rc<App>) {
    let Some(file) = app.state.borrow().file.clone() else { return };
    app.deaths.set(app.deaths.get() + 1);
    if app.deaths.get() > MOST_DEATHS {
        return;
    }
    read_again(app, file);
}

fn read_again(app: &Rc<App>, file: OpenFile) {
    let flow = notice::begin(app, &format!("Reading {} again", file.name));
    let app = app.clone();
    wasm_bindgen_futures::spawn_local(async move {
        let result = analyse(&app, flow, file).await.map(|file| adopt(&app, file, false));
        notice::conclude(&app, flow, result);
    });
}
