//! Compress, verify by decoding, hand out.

mod running;

use crate::engine::quality::Quality;
use crate::engine::report::{Outcome as Report, Verification};
use crate::engine::settle::{Run, Settling};
use crate::engine::{Session, Task};
use crate::model::FileFormat;
use crate::quantize::grid::STEP;
use crate::recipe::Recipe;
use crate::web::dom::{clear, fact, fill_notes, on, set_text, show};
use crate::web::jobs::{Answer, Context, Job};
use crate::web::page::app::{App, Change, Panel};
use crate::web::page::state::{Compressed, OpenFile};
use crate::web::page::{decoding, download, flow, form, format, ledger, making, reading};
use crate::web::pool::{Failure, Outcome, unexpected};
use js_sys::Array;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::Blob;

/// The button that compresses, and what came of it.
#[derive(Debug)]
pub struct Result;

impl Panel for Result {
    fn connect(&'static self, app: &'static App) {
        let e = &app.elements;
        on(&e.compress_button, "click", move |_| start(app));
        on(&e.download_qsz, "click", move |_| {
            if let Some(made) = app.state.borrow().answers.compressed.clone() {
                download::blob(app, &made.name, &made.blob);
            }
        });
        let formats = [
            (&e.download_file, None),
            (&e.download_safetensors, Some(FileFormat::Safetensors)),
            (&e.download_npz, Some(FileFormat::Npz)),
        ];
        for (button, format) in formats {
            on(button, "click", move |_| {
                let made = app.state.borrow().answers.compressed.clone();
                if let Some(made) = made {
                    decoding::decode(app, made.blob, &made.name, format, |_| ());
                }
            });
        }
        on(&e.download_recipe, "click", move |_| download_recipe(app));
        running::connect(app);
    }

    fn changed(&'static self, app: &'static App, what: Change) {
        match what {
            Change::File => show(&app.elements.result, false),
            Change::Result => show_result(app),
            _ => {}
        }
        if app.asks(what) {
            show_stale(app);
        }
    }
}

/// Compresses the open file with the current recipe; one with an error takes the user to the field that has it.
pub fn start(app: &'static App) {
    if app.state.borrow().file.is_none() {
        return;
    }
    if app.state.borrow().problem().is_some() {
        return form::go_to_problem(app);
    }
    let flow = flow::begin(app, "Solving the recipe");
    wasm_bindgen_futures::spawn_local(async move {
        let result = compress(app, flow).await;
        if flow::check(app, flow).is_ok() {
            reading::restore_context(app);
        }
        flow::conclude(app, flow, result);
    });
}

async fn compress(app: &'static App, flow: u32) -> Outcome<()> {
    let (file, wished, line) = making::wish(app, flow).await?;
    let is_open =
        Session::leaves_step_open(&wished) || app.state.borrow().wish.found_step.as_ref() == Some(&line);
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
    let hash = verify(app, flow, made.context, &made.tasks).await?;
    if made.outcome.gives_back.is_empty() {
        return Ok(());
    }
    flow::stage(app, "Decoding the file once more, for its digest");
    let Answer::Digests(files) = app.pool.run(Job::Digests(made.blob.into())).await? else {
        return Err(unexpected());
    };
    flow::check(app, flow)?;
    let given_back = decoding::sentence(&files);
    set_text(&app.elements.verdict_hash, &format!("decoded content {hash}. {given_back}"));
    Ok(())
}

/// The step that was settled on is the recipe's from now on: in its field, in the link and in the figures.
fn take_settled(app: &'static App, outcome: &Report, line: &str) {
    {
        let mut state = app.state.borrow_mut();
        let settled = Recipe::from_line(&outcome.recipe).ok();
        let Some(step) = settled.and_then(|recipe| recipe.settings.get(STEP.id).cloned()) else { return };
        if state.wish.recipe.to_line() != line
            || state.wish.recipe.settings.get(STEP.id).is_none_or(|now| *now == step)
        {
            return;
        }
        state.wish.recipe.settings.insert(STEP.id.to_owned(), step);
        let settled = state.wish.recipe.to_line();
        if let Some(made) = &mut state.answers.compressed {
            made.line = settled;
        }
    }
    app.changed(Change::Step);
    app.changed(Change::Question);
}

/// What carrying out a recipe gave.
struct Attempt {
    blob: Blob,
    outcome: Report,
    context: Context,
    tasks: Vec<Task>,
}

/// Carries out a recipe and shows what came of it.
async fn attempt(
    app: &'static App,
    flow: u32,
    file: &OpenFile,
    recipe: Recipe,
    line: &str,
) -> Outcome<Attempt> {
    flow::stage(app, "Solving the recipe");
    let (context, tasks) = making::plan(app, flow, file, recipe).await?;
    flow::stage(app, "Compressing");
    let (made, outcome) = making::encode(app, flow, file, &tasks).await?;
    let blob: Blob = made.dyn_into().map_err(|_| "the solver gave no file".to_owned())?;
    let name = format!("{}.qsz", download::stem(&file.name));
    app.state.borrow_mut().answers.compressed = Some(Compressed {
        blob: blob.clone(),
        name,
        line: line.to_owned(),
        outcome: outcome.clone(),
        verification: None,
    });
    app.changed(Change::Result);
    let context = Context { compressed: blob.clone().into(), ..context };
    Ok(Attempt { blob, outcome, context, tasks })
}

/// Decodes and compares; the hash of what was decoded.
async fn verify(app: &'static App, flow: u32, context: Context, tasks: &[Task]) -> Outcome<String> {
    flow::stage(app, "Decoding and comparing");
    app.pool.tell_anew(context);
    let parts = Array::new();
    making::map(app, tasks, Job::Verify, |bytes| {
        parts.push(&bytes);
    })
    .await?;
    let answer = app.solver.ask(Job::Collect(JsValue::from(parts))).await?;
    let Answer::Verified(verification) = answer else { return Err(unexpected()) };
    flow::check(app, flow)?;
    show_verdict(app, &verification);
    let hash = verification.decoded_hash.clone();
    if let Some(made) = &mut app.state.borrow_mut().answers.compressed {
        made.verification = Some(verification);
    }
    Ok(hash)
}

fn show_result(app: &App) {
    let e = &app.elements;
    let Some(made) = app.state.borrow().answers.compressed.clone() else { return };
    let report = &made.outcome;
    clear(&e.result_facts);
    for (term, text) in facts(report) {
        fact(&app.document, &e.result_facts, term, &text, "");
    }
    decoding::offer(&e.download_file, &report.gives_back);
    fact(&app.document, &e.result_facts, "recipe", &report.recipe, "wide");
    let warnings =
        report.quality.iter().flat_map(Quality::warnings).map(|warning| format!("Warning: {warning}"));
    let notes: Vec<String> = warnings.chain(report.notes.iter().cloned()).collect();
    fill_notes(&app.document, &e.result_notes, &notes);
    let bits = ledger::fill(app, &e.ledger_rows, &e.ledger_bar, &report.ledger);
    set_text(&e.ledger_bits, &format::count(bits));
    set_text(&e.ledger_bytes, &format::count(report.file_bytes));
    set_text(&e.verdict, "Not checked by decoding yet.");
    e.verdict.set_class_name("verdict");
    set_text(&e.verdict_hash, "");
    show(&e.result, true);
    show_stale(app);
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
    if let (count @ 1.., bytes) = report.others {
        let fate = if report.gives_back.is_empty() { "left out" } else { "held without loss" };
        let text = format!("{} tensors, {}, {fate}", format::count(count), format::bytes(bytes));
        facts.push(("other state beside the weights", text));
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
        let rest = match verification.skeleton_bytes {
            0 => String::new(),
            bytes => format!(" and the {} of the file that are no tensor’s", format::bytes(bytes)),
        };
        format!(
            "Decoded {elements} elements of {} tensors{rest}: bit-identical to the quantizer’s output; {}.",
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
fn show_stale(app: &App) {
    let stale = {
        let state = app.state.borrow();
        state.answers.compressed.as_ref().is_some_and(|made| made.line != state.wish.recipe.to_line())
    };
    show(&app.elements.result_stale, stale);
}

fn download_recipe(app: &App) {
    let state = app.state.borrow();
    let Some(made) = &state.answers.compressed else { return };
    let report = &made.outcome;
    let Report { recipe, source_hash, file_hash, .. } = report;
    let cost = &state.wish.recipe.cost;
    let joint = if cost.is_empty() { "" } else { "&" };
    // Lines and hashes have no character that JSON escapes.
    let json = format!(
        "{{\n  \"quantscope\": 1,\n  \"recipe\": \"{recipe}{joint}{cost}\",\n  \"source_hash\": \"{source_hash}\",\n  \"file_hash\": \"{file_hash}\"\n}}\n"
    );
    download::text(app, &format!("{}.recipe.json", download::stem(&made.name)), &json);
}
