//! A recipe carried out: solved, with passes over the file where it needs them, and coded.

use super::app::App;
use super::state::{OpenFile, Standing};
use super::{flow, reading};
use crate::engine::Task;
use crate::engine::report::Outcome as Report;
use crate::recipe::Recipe;
use crate::web::jobs::{Answer, Context, Job};
use crate::web::pool::{Outcome, unexpected};
use js_sys::{Array, Uint8Array};
use wasm_bindgen::JsValue;

/// The open file, the recipe as it can be carried out, and its line as the user has set it: the importance that it asks for is
/// read first, where it is not there yet.
pub async fn wish(app: &'static App, flow: u32) -> Outcome<(OpenFile, Recipe, String)> {
    if let Some(problem) = app.state.borrow().problem() {
        return Err(problem.to_string().into());
    }
    let standing = app.state.borrow().importance();
    if matches!(standing, Standing::Awaited | Standing::Missing) {
        if app.state.borrow().wish.importance_file.is_none() {
            return Err("The recipe weighs errors by an importance file, and none is chosen yet."
                .to_owned()
                .into());
        }
        flow::stage(app, "Reading importance");
        reading::read_importance(app, flow).await?;
    }
    let state = app.state.borrow();
    let file = state.file.clone().ok_or_else(|| "no file is open".to_owned())?;
    Ok((file, state.solvable(), state.wish.recipe.to_line()))
}

/// Solves the recipe, with passes over the file where it needs them; the context says the plan to the workers.
pub async fn plan(app: &App, flow: u32, file: &OpenFile, recipe: Recipe) -> Outcome<(Context, Vec<Task>)> {
    let mut answer = app.solver.ask(Job::Plan(recipe)).await?;
    loop {
        let Answer::Plan { plan, ready, tasks } = answer else { return Err(unexpected()) };
        flow::check(app, flow)?;
        let context = Context { plan, ..file.context() };
        app.pool.tell_anew(context.clone());
        if ready {
            return Ok((context, tasks));
        }
        flow::stage(app, "Preparing codebooks and codes");
        let parts = Array::new();
        map(app, &tasks, Job::Prepare, |bytes| {
            parts.push(&bytes);
        })
        .await?;
        answer = app.solver.ask(Job::Prepared(parts.into())).await?;
    }
}

/// Carries out the plan that was solved last: the compressed file, and what came of it.
pub async fn encode(app: &App, flow: u32, file: &OpenFile, tasks: &[Task]) -> Outcome<(JsValue, Report)> {
    let source_bytes = file.blob.size() as u64;
    app.solver.ask(Job::Assemble { name: file.name.clone(), source_bytes }).await?;
    let mut appended = Vec::with_capacity(tasks.len());
    map(app, tasks, Job::Encode, |bytes| appended.push(app.solver.ask(Job::Append(bytes.into())))).await?;
    for answer in appended {
        answer.await?;
    }
    let sealed = app.solver.ask(Job::Seal).await?;
    let Answer::Compressed { file: made, outcome } = sealed else { return Err(unexpected()) };
    flow::check(app, flow)?;
    Ok((made, outcome))
}

/// Runs one kind of job over tasks, with progress.
pub async fn map(
    app: &App,
    tasks: &[Task],
    job: impl Fn(Task) -> Job,
    mut sink: impl FnMut(Uint8Array),
) -> Outcome<()> {
    let total: u64 = tasks.iter().map(|task| task.bytes).sum();
    let mut done = 0;
    app.pool
        .map(tasks.iter().cloned().map(job), |index, bytes| {
            sink(bytes);
            done += tasks.get(index).map_or(0, |task| task.bytes);
            flow::progress(app, done, total);
        })
        .await
}
