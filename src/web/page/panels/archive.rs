//! A compressed file that was opened: its ledger, recipe and tensors, its checksums, and the weights decoded.

use crate::model::FileFormat;
use crate::recipe::Recipe;
use crate::web::dom::{append, clear, fact, make, on, set, set_text, show};
use crate::web::jobs::{self, Answer, Job};
use crate::web::page::app::{App, Change, Panel};
use crate::web::page::state::OpenArchive;
use crate::web::page::{decoding, flow, format, ledger, notice};
use crate::web::pool::unexpected;

/// Most tensors in the table.
const MOST_ROWS: usize = 5000;

/// The view of a compressed file.
#[derive(Debug)]
pub struct Archive;

impl Panel for Archive {
    fn connect(&'static self, app: &'static App) {
        let e = &app.elements;
        on(&e.archive_verify, "click", move |_| check(app));
        let formats = [
            (&e.archive_file, None),
            (&e.archive_safetensors, Some(FileFormat::Safetensors)),
            (&e.archive_npz, Some(FileFormat::Npz)),
        ];
        for (button, format) in formats {
            on(button, "click", move |_| {
                let open = app.state.borrow().archive.clone();
                if let Some(open) = open {
                    decoding::decode(app, open.blob, &open.name, format, |files| {
                        say(app, &decoding::sentence(files));
                    });
                }
            });
        }
        on(&e.archive_back, "click", move |_| app.changed(Change::Bench));
        on(&e.archive_recipe, "click", move |_| use_recipe(app));
    }

    fn changed(&'static self, app: &'static App, what: Change) {
        let open = app.state.borrow().archive.clone().filter(|_| what == Change::Archive);
        if let Some(open) = open {
            show_archive(app, &open);
        }
    }
}

/// Shows a compressed file in place of the bench.
fn show_archive(app: &'static App, open: &OpenArchive) {
    let OpenArchive { blob, name, archive } = open;
    let e = &app.elements;
    set_text(&e.archive_title, name);
    clear(&e.archive_facts);
    let size = blob.size() as u64;
    let fact = |term: &str, text: &str, class: &str| fact(&app.document, &e.archive_facts, term, text, class);
    fact("compressed file", &format::bytes(size), "");
    fact("float weights", &format::count(archive.parameters), "");
    let ratio = archive.parameters as f64 * 4.0 / size.max(1) as f64;
    if ratio >= 1.0 {
        fact("against 32-bit weights", &format!("{}×", format::significant(ratio, 4)), "");
    }
    if archive.source_bytes > 0 {
        let ratio = archive.source_bytes as f64 / size.max(1) as f64;
        fact("against the source file", &format!("{}×", format::significant(ratio, 4)), "");
    }
    fact("made from", &archive.source_name, "");
    fact("recipe", &archive.recipe, "wide");
    fact("content hash of the source", &archive.source_hash, "wide");
    decoding::offer(&e.archive_file, &archive.files);
    set_text(&e.archive_verdict, "");
    e.archive_verdict.set_class_name("verdict");
    ledger::fill(app, &e.archive_ledger, &e.archive_bar, &archive.ledger);
    fill_tensors(app, archive);
    set_text(&e.file_name, name);
    set_text(
        &e.file_facts,
        &format!("Quantscope .qsz · {} tensors", format::count(archive.tensors.len() as u64)),
    );
    show(&e.file_summary, true);
    let behind = app.state.borrow().file.as_ref().map(|file| file.name.clone());
    set_text(&e.archive_back, &format!("Back to {}", behind.as_deref().unwrap_or_default()));
    show(&e.archive_back, behind.is_some());
    app.show_view("archive");
    let _ = e.archive_title.focus();
}

fn fill_tensors(app: &App, archive: &jobs::Archive) {
    let rows = &app.elements.archive_rows;
    clear(rows);
    for tensor in archive.tensors.iter().take(MOST_ROWS) {
        let row = make(&app.document, "tr", "", "");
        let name = make(&app.document, "th", "", &tensor.name);
        set(&name, "scope", "row");
        append(&row, &name);
        append(&row, &make(&app.document, "td", "", &format::shape(&tensor.shape)));
        append(&row, &make(&app.document, "td", "", &tensor.dtype));
        append(&row, &make(&app.document, "td", "num", &format::count(tensor.elements)));
        append(&row, &make(&app.document, "td", "num", &format::count(tensor.stored_bytes)));
        append(&row, &make(&app.document, "td", "", &tensor.stored));
        append(rows, &row);
    }
}

fn say(app: &App, verdict: &str) {
    set_text(&app.elements.archive_verdict, verdict);
    app.elements.archive_verdict.set_class_name("verdict good");
}

fn check(app: &'static App) {
    let Some(open) = app.state.borrow().archive.clone() else { return };
    let flow = flow::begin(app, "Checking checksums");
    wasm_bindgen_futures::spawn_local(async move {
        let result = app.pool.run(Job::Check(open.blob.into())).await.and_then(|answer| match answer {
            Answer::Checked { hash, files } => {
                let content = format!("Decoded content {hash}.");
                let given = if files.is_empty() { content } else { decoding::sentence(&files) };
                say(app, &format!("Every checksum holds, and every block decodes. {given}"));
                Ok(())
            }
            _ => Err(unexpected()),
        });
        flow::conclude(app, flow, result);
    });
}

/// Takes the recipe for the next file, or for the one that is open behind.
fn use_recipe(app: &'static App) {
    let Some(open) = app.state.borrow().archive.clone() else { return };
    match Recipe::from_line(&open.archive.recipe) {
        Ok(found) => {
            let hash = Some(open.archive.source_hash.clone());
            {
                let mut state = app.state.borrow_mut();
                let cost = state.wish.recipe.cost.clone();
                state.take_recipe(Recipe { cost, ..found }, hash);
            }
            let has_file = app.state.borrow().file.is_some();
            if has_file {
                app.changed(Change::Bench);
            } else {
                app.show_view("front");
            }
            app.changed(Change::Link);
        }
        Err(error) => notice::error(app, &error.to_string()),
    }
}
