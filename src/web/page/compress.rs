//! Compress, verify by decoding, hand out.

use super::dom::{self, clear, fact, on, set_text, show};
use super::files::unexpected;
use super::state::{Compressed, OpenFile, Standing};
use super::{App, download, files, format, ledger, notice, recipe, running};
use crate::engine::quality::Quality;
use crate::engine::report::{Outcome as Report, Verification};
use crate::engine::settle::{Run, Settling};
use crate::engine::{Session, Task};
use crate::model::FileFormat;
use crate::quantize::grid::STEP;
use crate::recipe::Recipe;
use crate::web::jobs::{Answer, Context, Job, Target};
use crate::web::pool::{Failure, Outcome};
use js_sys::{Array, Uint8Array};
use std::rc::Rc;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::Blob;

/// Connects the buttons.
pub fn connect(app: &Rc<App>) {
    let e = &app.elements;
    let click = app.clone();
    on(&e.compress_button, "click", move |_| start(&click));
    let click = app.clone();
    on(&e.download_qsz, "click", move |_| {
        if let Some(made) = click.state.borrow().compressed.clone() {
            download::blob(&click, &made.name, &made.blob);
        }
    });
    let targets = [
        (&e.download_safetensors, Target::Safetensors),
        (&e.download_npz, Target::Npz),
        (&e.download_onnx, Target::Onnx),
    ];
    for (button, target) in targets {
        let click = app.clone();
        on(button, "click", move |_| {
            let made = click.state.borrow().compressed.clone();
            if let Some(made) = made {
                decode(&click, made.blob, &made.name, target);
            }
        });
    }
    let click = app.clone();
    on(&e.download_recipe, "click", move |_| download_recipe(&click));
}

/// The open file, the recipe as it can be carried out, and its line as the user has set it: the importance that it asks for is
/// read first, where it is not there yet.
pub async fn wish(app: &Rc<App>, flow: u32) -> Outcome<(OpenFile, Recipe, String)> {
    if let Some(problem) = app.state.borrow().problem() {
        return Err(problem.to_string().into());
    }
    let standing = app.state.borrow().importance();
    if matches!(standing, Standing::Awaited | Standing::Missing) {
        if app.state.borrow().importance_file.is_none() {
            return Err("The recipe weighs errors by an importance file, and none is chosen yet."
                .to_owned()
                .into());
        }
        notice::stage(app, "Reading importance");
        files::read_importance(app, flow).await?;
    }
    let state = app.state.borrow();
    let file = state.file.clone().ok_or_else(|| "no file is open".to_owned())?;
    Ok((file, state.solvable(), state.recipe.to_line()))
}

/// Compresses the open file with the current recipe; one with an error takes the user to the field that has it.
pub fn start(app: &Rc<App>) {
    if app.state.borrow().file.is_none() {
        return;
    }
    if app.state.borrow().problem().is_some() {
        return recipe::go_to_problem(app);
    }
    let flow = notice::begin(app, "Solving the recipe");
    let app = app.clone();
    wasm_bindgen_futures::spawn_local(async move {
        let result = compress(&app, flow).await;
        if notice::check(&app, flow).is_ok() {
            files::restore_context(&app);
        }
        notice::conclude(&app, flow, result);
    });
}

async fn compress(app: &Rc<App>, flow: u32) -> Outcome<()> {
    let (file, wished, line) = wish(app, flow).await?;
    let is_open = Session::leaves_step_open(&wished) || app.state.borrow().found_step.as_ref() == Some(&line);
    let mut made = attempt(app, flow, &file, wished, &line).await?;
    let mut settling = Settling::new(is_open);
    // As in the program: where the step is left open and the network answers otherwise, finer ones are tried.
    while running::offer(app, &file) {
        let is_rough = running::run(app, flow, &file, &made.blob, settling.is_new()).await?;
        let recipe = Recipe::from_line(&made.outcome.recipe).map_err(|error| error.to_string())?;
        let run = Run { recipe: &recipe, outcome: &made.outcome, is_ample: !is_rough, felt: None };
        let Some(next) = settling.next(&run) else { break };
        made = match attempt(app, flow, &file, next, &line).await {
            // Too fine for the weights' range: the step before it stays.
            Err(Failure::Sentence(_)) => {
                made = attempt(app, flow, &file, recipe, &line).await?;
                break;
            }
            attempted => attempted?,
        };
    }
    take_settled(app, &made.outcome, &line);
    verify(app, flow, made.context, &made.tasks).await
}

/// The step that was settled on is the recipe's from now on: in its field, in the link and in the figures.
fn take_settled(app: &Rc<App>, outcome: &Report, line: &str) {
    {
        let mut state = app.state.borrow_mut();
        let settled = Recipe::from_line(&outcome.recipe).ok();
        let Some(step) = settled.and_then(|recipe| recipe.settings.get(STEP.id).cloned()) else { return };
        if state.recipe.to_line() != line || state.recipe.settings.get(STEP.id).is_none_or(|now| *now == step)
        {
            return;
        }
        state.recipe.settings.insert(STEP.id.to_owned(), step);
        let settled = state.recipe.to_line();
        if let Some(made) = &mut state.compressed {
            made.line = settled;
        }
    }
    recipe::show_settings(app);
    app.refresh();
}

/// What carrying out a recipe gave.
struct Attempt {
    blob: Blob,
    outcome: Report,
    context: Context,
    tasks: Vec<Task>,
}

/// Carries out a recipe and shows what came of it.
async fn attempt(app: &Rc<App>, flow: u32, file: &OpenFile, recipe: Recipe, line: &str) -> Outcome<Attempt> {
    notice::stage(app, "Solving the recipe");
    let (context, tasks) = plan(app, flow, file, recipe).await?;
    notice::stage(app, "Compressing");
    let (made, outcome) = encode(app, flow, file, &tasks).await?;
    let blob: Blob = made.dyn_into().map_err(|_| "the solver gave no file".to_owned())?;
    let name = format!("{}.qsz", download::stem(&file.name));
    app.state.borrow_mut().compressed = Some(Compressed {
        blob: blob.clone(),
        name,
        line: line.to_owned(),
        outcome: outcome.clone(),
        verification: None,
    });
    show_result(app);
    let context = Context { compressed: blob.clone().into(), ..context };
    Ok(Attempt { blob, outcome, context, tasks })
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
    let Answer::Compressed { file: made, outcome } = sealed else { return Err(unexpected(&sealed)) };
    notice::check(app, flow)?;
    Ok((made, outcome))
}

/// Solves the recipe, with passes over the file where it needs them; the context says the plan to the workers.
pub async fn plan(app: &App, flow: u32, file: &OpenFile, recipe: Recipe) -> Outcome<(Context, Vec<Task>)> {
    let mut answer = app.solver.ask(Job::Plan(recipe)).await?;
    loop {
        let Answer::Plan { plan, ready, tasks } = answer else { return Err(unexpected(&answer)) };
        notice::check(app, flow)?;
        let context = Context { plan, ..file.context() };
        app.pool.tell_anew(context.clone());
        if ready {
            return Ok((context, tasks));
        }
        notice::stage(app, "Preparing codebooks and codes");
        let parts = Array::new();
        map(app, &tasks, Job::Prepare, |bytes| {
            parts.push(&bytes);
        })
        .await?;
        answer = app.solver.ask(Job::Prepared(parts.into())).await?;
    }
}

/// Runs one kind of job over tasks, with progress.
async fn map(
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
            notice::progress(app, done, total);
        })
        .await
}

async fn verify(app: &Rc<App>, flow: u32, context: Context, tasks: &[Task]) -> Outcome<()> {
    notice::stage(app, "Decoding and comparing");
    app.pool.tell_anew(context);
    let parts = Array::new();
    map(app, tasks, Job::Verify, |bytes| {
        parts.push(&bytes);
    })
    .await?;
    let answer = app.solver.ask(Job::Collect(JsValue::from(parts))).await?;
    let Answer::Verified(verification) = answer else { return Err(unexpected(&answer)) };
    notice::check(app, flow)?;
    show_verdict(app, &verification);
    if let Some(made) = &mut app.state.borrow_mut().compressed {
        made.verification = Some(verification);
    }
    Ok(())
}

fn show_result(app: &App) {
    let e = &app.elements;
    let Some(made) = app.state.borrow().compressed.clone() else { return };
    let report = &made.outcome;
    clear(&e.result_facts);
    for (term, text) in facts(report) {
        fact(&app.document, &e.result_facts, term, &text, "");
    }
    fact(&app.document, &e.result_facts, "recipe", &report.recipe, "wide");
    let warnings =
        report.quality.iter().flat_map(Quality::warnings).map(|warning| format!("Warning: {warning}"));
    let notes: Vec<String> = warnings.chain(report.notes.iter().cloned()).collect();
    dom::fill_notes(&app.document, &e.result_notes, &notes);
    let bits = ledger::fill(app, &e.ledger_rows, &e.ledger_bar, &report.ledger);
    set_text(&e.ledger_bits, &format::count(bits));
    set_text(&e.ledger_bytes, &format::count(report.file_bytes));
    set_text(&e.verdict, "Not checked by decoding yet.");
    e.verdict.set_class_name("verdict");
    set_text(&e.verdict_hash, "");
    show(&e.result, true);
    show_stale(app);
    app.show_standing();
    let _ = e.result_title.focus();
}

fn facts(report: &Report) -> Vec<(&'static str, String)> {
    let point = &report.point;
    let decibels = |db: f64| format!("{} dB", format::decimals(db, 2));
    let size = format!("{} from {}", format::bytes(report.file_bytes), format::bytes(report.covered_bytes));
    let mut facts = vec![("compressed file", size)];
    if report.ratio >= 1.0 {
        facts.push(("smaller than what it holds", format!("{}×", format::significant(report.ratio, 4))));
    }
    let left = report.source_bytes.saturating_sub(report.covered_bytes);
    if left > 0 {
        facts.push(("not in it, stays in the source", format::bytes(left)));
    }
    if let Some(quality) = &report.quality {
        facts.push(("SQNR of the worst tensor", decibels(quality.worst_db)));
        facts.push(("of the median tensor", decibels(quality.median_db)));
    }
    if report.float32_ratio >= 1.0 {
        let ratio = format!("{}×", format::significant(report.float32_ratio, 4));
        facts.push(("against 32-bit floats", ratio));
    }
    if point.weights == 0 {
        facts.push(("quantized weights", "none, every tensor is kept as it was".to_owned()));
        return facts;
    }
    facts.extend([
        ("of all weights", decibels(point.sqnr_db)),
        ("bits per weight", format::decimals(point.bits, 3)),
        ("entropy", format!("{} bit", format::decimals(point.entropy_bits, 3))),
        ("ratio by formula", format!("{}×", format::significant(point.formula_ratio, 4))),
    ]);
    facts
}

fn show_verdict(app: &App, verification: &Verification) {
    let e = &app.elements;
    let good = verification.mismatches == 0;
    let elements = format::count(verification.elements);
    let sentence = if good {
        format!(
            "Decoded {elements} elements of {} tensors: bit-identical to the quantizer’s output; {}.",
            verification.tensors,
            verification.error()
        )
    } else {
        let first = verification.first_mismatch.as_deref().unwrap_or("an unnamed tensor");
        let wrong = format::count(verification.mismatches);
        format!(
            "Decoded {elements} elements, of which {wrong} differ from the quantizer’s output, first in {first}."
        )
    };
    set_text(&e.verdict, &sentence);
    e.verdict.set_class_name(if good { "verdict good" } else { "verdict bad" });
    set_text(&e.verdict_hash, &format!("decoded content {}", verification.decoded_hash));
}

/// Says when the recipe has moved on from the one the result was made with.
pub fn show_stale(app: &App) {
    let stale = {
        let state = app.state.borrow();
        state.compressed.as_ref().is_some_and(|made| made.line != state.recipe.to_line())
    };
    show(&app.elements.result_stale, stale);
}

/// Decodes a compressed file into another format and offers it.
pub fn decode(app: &Rc<App>, blob: Blob, name: &str, target: Target) {
    let named = format!("{}.decoded.{}", download::stem(name), target.extension());
    let flow = notice::begin(app, &format!("Decoding to {named}"));
    let app = app.clone();
    wasm_bindgen_futures::spawn_local(async move {
        let result =
            app.pool.run(Job::Decode { file: blob.into(), target }).await.and_then(|answer| match answer {
                Answer::Blob(file) => {
                    file.dyn_into::<Blob>().map_err(|_| "a worker gave no file".to_owned().into())
                }
                other => Err(unexpected(&other)),
            });
        let result = result.map(|file| hand_out(&app, &named, &file, target));
        notice::conclude(&app, flow, result);
    });
}

/// Offers the decoded file; an ONNX model that came with files of external data comes back as several files.
fn hand_out(app: &App, name: &str, file: &Blob, target: Target) {
    let state = app.state.borrow();
    let parts = state.file.as_ref().map(|file| file.parts.as_slice()).unwrap_or_default();
    if target != Target::Onnx || parts.is_empty() {
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

/// Offers ONNX only where the open file can be the template.
pub fn show_onnx(app: &App) {
    let is_onnx =
        app.state.borrow().file.as_ref().is_some_and(|file| file.opened.format == FileFormat::Onnx.name());
    show(&app.elements.download_onnx, is_onnx);
    show(&app.elements.archive_onnx, is_onnx);
}

fn download_recipe(app: &App) {
    let state = app.state.borrow();
    let Some(made) = &state.compressed else { return };
    let report = &made.outcome;
    let Report { recipe, source_hash, file_hash, .. } = report;
    // Lines and hashes have no character that JSON escapes.
    let json = format!(
        "{{\n  \"quantscope\": 1,\n  \"recipe\": \"{recipe}\",\n  \"source_hash\": \"{source_hash}\",\n  \"file_hash\": \"{file_hash}\"\n}}\n"
    );
    download::text(app, &format!("{}.recipe.json", download::stem(&made.name)), &json);
}
