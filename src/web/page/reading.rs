//! Files in: opened, sketched, joined by an importance file. Whatever fails, what was open stays open.

use super::app::{App, Change};
use super::state::{Answers, LoadedImportance, OpenFile, Standing};
use super::{flow, notice};
use crate::engine;
use crate::formats::{Part, several};
use crate::model::Model;
use crate::web::blobs::sentence;
use crate::web::jobs::{Answer, Context, Job, Opened};
use crate::web::message::unpack;
use crate::web::page::state::OpenArchive;
use crate::web::pool::{Failure, Outcome, unexpected};
use js_sys::{Array, Uint8Array};
use std::ops::Range;
use std::rc::Rc;
use wasm_bindgen::JsValue;
use web_sys::Blob;

/// Solvers lost to one file before it is no longer read again by itself.
const MOST_DEATHS: u32 = 3;

/// Opens a weight file or a compressed file.
pub fn open(app: &'static App, blob: Blob, name: String, parts: Vec<Part>) {
    let flow = flow::begin(app, &format!("Opening {name}"));
    wasm_bindgen_futures::spawn_local(async move {
        let result = open_flow(app, flow, blob, &name, parts).await.map_err(|failure| match failure {
            Failure::Sentence(sentence) => Failure::Sentence(format!("{name}: {sentence}")),
            Failure::Cancelled => Failure::Cancelled,
        });
        flow::conclude(app, flow, result);
    });
}

async fn open_flow(app: &'static App, flow: u32, blob: Blob, name: &str, parts: Vec<Part>) -> Outcome<()> {
    let select = app.state.borrow().wish.recipe.select.clone();
    match app.pool.run(Job::Open { file: blob.clone().into(), parts: parts.clone(), select }).await? {
        Answer::Archive(found) => {
            flow::check(app, flow)?;
            app.state.borrow_mut().archive =
                Some(OpenArchive { blob, name: name.to_owned(), archive: found });
            app.changed(Change::Archive);
            Ok(())
        }
        Answer::Opened(opened) => {
            let (opened, blob, parts, ignored) = own_parts(app, opened, blob, parts).await?;
            flow::check(app, flow)?;
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
            app.state.borrow_mut().solvers.deaths = 0;
            // Importance first: what is drawn is drawn once, and weighed.
            let wanted = {
                let mut state = app.state.borrow_mut();
                state.wish.importance_problem = None;
                let is_wanted = state.wish.recipe.importance.source.is_some() && state.problem().is_none();
                state.wish.importance_file.clone().filter(|_| is_wanted)
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
            app.state.borrow_mut().wish.importance_problem.clone_from(&problem);
            adopt(app, file, true);
            if !ignored.is_empty() {
                let ignored: Vec<&str> = ignored.iter().map(String::as_str).collect();
                let ignored = several(&ignored);
                notice::link(app, &format!("Not taken, since {name} does not refer to them: {ignored}."));
            }
            problem.map_or(Ok(()), |problem| Err(Failure::Sentence(problem)))
        }
        _ => Err(unexpected()),
    }
}

/// A model with those of its files that hold tensors of it, and the names of the others: files dropped together need not belong
/// together.
async fn own_parts(
    app: &'static App,
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
    let listed = Part::list(own.iter().map(|(_, part)| (part.name.clone(), part.span.len)));
    let ignored = others.iter().map(|(_, part)| part.name.clone()).collect();
    let select = opened.part;
    match app.pool.run(Job::Open { file: joined.clone().into(), parts: listed.clone(), select }).await? {
        Answer::Opened(opened) => Ok((opened, joined, listed, ignored)),
        _ => Err(unexpected()),
    }
}

/// Reads the whole file once; on failure the workers go back to the file that was open.
async fn analyse(app: &'static App, flow: u32, file: OpenFile) -> Outcome<OpenFile> {
    let result = sketch(app, flow, file).await;
    if result.is_err() && flow::check(app, flow).is_ok() {
        restore_context(app);
    }
    result
}

/// Tells map workers of the file that is open.
pub fn restore_context(app: &App) {
    let context = app.state.borrow().file.as_ref().map_or_else(Context::default, OpenFile::context);
    app.pool.tell_anew(context);
}

async fn sketch(app: &'static App, flow: u32, mut file: OpenFile) -> Outcome<OpenFile> {
    // Curves that are still being solved answer a question that nobody asks any more.
    if app.sweeper.restart()? {
        app.state.borrow_mut().solvers.is_sweeper_empty = true;
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
    flow::check(app, flow)?;
    flow::stage(app, &format!("Reading {}", file.name));
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
            flow::progress(app, done, total);
        })
        .await?;
    for answer in absorbed {
        answer.await?;
    }
    flow::check(app, flow)?;
    let both = [app.solver.ask(Job::Finish), app.sweeper.ask(Job::Finish)];
    for answer in both {
        if let Answer::Surveyed { rows, hash } = answer.await? {
            file.rows = Rc::new(rows);
            file.hash = hash;
        }
    }
    app.state.borrow_mut().solvers.is_sweeper_empty = false;
    // From here on the solvers hold this file, whatever was cancelled meanwhile: the page must follow them.
    Ok(file)
}

/// Makes a sketched file the open one. What was computed for the one before stays, as such, until its successor is there.
fn adopt(app: &'static App, file: OpenFile, fresh: bool) {
    {
        let mut state = app.state.borrow_mut();
        let was_weighed = state.file.as_ref().is_some_and(|file| !fresh && file.importance.is_some());
        if file.importance.is_some() != was_weighed {
            // With errors weighed unequally, the weighted measure is the one to compare by.
            state.view.weighted = !was_weighed;
        }
        if let Some(loaded) = &file.importance {
            let hash = loaded.choice.hash.clone();
            state.wish.recipe.importance.hash = hash;
        }
        if !state.wish.recipe.select.is_empty() && state.wish.recipe.select != file.opened.part {
            state.wish.recipe.select.clear();
        }
        state.file = Some(file);
        state.archive = None;
        if fresh {
            state.answers = Answers::default();
            state.view.tensor = None;
        }
    }
    app.changed(if fresh { Change::File } else { Change::Reread });
    if fresh {
        notice::announce(app, "File opened. Curves are being solved.");
    }
}

/// Goes on with what other work has put off: importance that is awaited, or a sweeper that has nothing to solve.
pub fn resume(app: &'static App) {
    let (awaited, is_open) = {
        let state = app.state.borrow();
        let is_awaited = state.importance() == Standing::Awaited && state.problem().is_none();
        (state.wish.importance_file.clone().filter(|_| is_awaited), state.file.is_some())
    };
    match awaited {
        _ if !is_open => {}
        Some((_, name)) => {
            let flow = flow::begin(app, &format!("Reading importance from {name}"));
            wasm_bindgen_futures::spawn_local(async move {
                let result = read_importance(app, flow).await;
                flow::conclude(app, flow, result);
            });
        }
        None if app.state.borrow().solvers.is_sweeper_empty => refill(app),
        None => {}
    }
}

/// Reads the importance that the recipe asks for, within a flow. Where it cannot serve, the recipe goes on without and the page
/// says why.
pub async fn read_importance(app: &'static App, flow: u32) -> Outcome<()> {
    let (file, (blob, name)) = {
        let state = app.state.borrow();
        match (state.file.clone(), state.wish.importance_file.clone()) {
            (Some(file), Some(chosen)) => (file, chosen),
            _ => return Ok(()),
        }
    };
    let result = async {
        let file = weigh(app, flow, file, blob).await?;
        analyse(app, flow, file).await
    }
    .await;
    flow::check(app, flow)?;
    match result {
        Ok(file) => {
            app.state.borrow_mut().wish.importance_problem = None;
            adopt(app, file, false);
            Ok(())
        }
        Err(failure) => {
            let problem = match failure {
                Failure::Sentence(sentence) => misfit(&name, &sentence),
                Failure::Cancelled => format!("{name} was not read: its reader died."),
            };
            app.state.borrow_mut().wish.importance_problem = Some(problem.clone());
            restore_context(app);
            app.changed(Change::ImportanceRefused);
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
pub fn put_back(app: &'static App) {
    {
        let mut state = app.state.borrow_mut();
        if state.importance() != Standing::Awaited || state.file.is_none() {
            return;
        }
        let (chosen, name) = match &state.wish.importance_file {
            Some((chosen, name)) => (chosen.clone(), name.clone()),
            None => return,
        };
        let loaded = state.file.as_ref().and_then(|file| file.importance.as_ref());
        match loaded.filter(|loaded| loaded.is_of(&chosen)).map(|loaded| loaded.choice.clone()) {
            Some(choice) => state.wish.recipe.importance = choice,
            None => state.wish.importance_problem = Some(format!("{name} was not read: that was cancelled.")),
        }
    }
    restore_context(app);
    app.changed(Change::Recipe);
}

/// A file with its importance matched and surveyed, not sketched yet.
async fn weigh(app: &'static App, flow: u32, mut file: OpenFile, blob: Blob) -> Outcome<OpenFile> {
    let recipe = app.state.borrow().wish.recipe.clone();
    file.importance = None;
    app.pool.tell_anew(file.context());
    let matched = app.pool.run(Job::Match { file: blob.clone().into(), recipe }).await?;
    let Answer::Matched { importance, tasks, notes, choice } = matched else {
        return Err(unexpected());
    };
    flow::check(app, flow)?;
    file.importance = Some(LoadedImportance { file: blob.clone(), packed: importance, notes, choice });
    app.pool.tell_anew(file.context());
    let surveys = Array::new();
    let total: u64 = tasks.iter().map(|task| task.bytes).sum();
    let mut done = 0;
    app.pool
        .map(tasks.iter().cloned().map(Job::Survey), |index, bytes| {
            surveys.push(&bytes);
            done += tasks.get(index).map_or(0, |task| task.bytes);
            flow::progress(app, done, total);
        })
        .await?;
    let complete = app.pool.run(Job::Complete(surveys.into())).await?;
    let Answer::Matched { importance, notes, choice, .. } = complete else {
        return Err(unexpected());
    };
    flow::check(app, flow)?;
    file.importance = Some(LoadedImportance { file: blob, packed: importance, notes, choice });
    Ok(file)
}

/// Reads the open file again for a sweeper that was stopped.
pub fn refill(app: &'static App) {
    if flow::is_working(app) {
        // What is under way fills it, or says at its end that it is empty still.
        return;
    }
    let Some(file) = app.state.borrow().file.clone() else { return };
    read_again(app, file);
}

/// Reads the open file again, after a solver was lost with its session; a file that keeps killing solvers is left alone.
pub fn reopen(app: &'static App) {
    let Some(file) = app.state.borrow().file.clone() else { return };
    let deaths = {
        let solvers = &mut app.state.borrow_mut().solvers;
        solvers.deaths += 1;
        solvers.deaths
    };
    if deaths > MOST_DEATHS {
        return;
    }
    read_again(app, file);
}

fn read_again(app: &'static App, file: OpenFile) {
    let flow = flow::begin(app, &format!("Reading {} again", file.name));
    wasm_bindgen_futures::spawn_local(async move {
        let result = analyse(app, flow, file).await.map(|file| adopt(app, file, false));
        flow::conclude(app, flow, result);
    });
}
