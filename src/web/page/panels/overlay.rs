//! The weights' histogram with the codebook laid over it.

use crate::engine::report;
use crate::plot::{self, Histogram, Scale};
use crate::web::canvas;
use crate::web::colours::theme;
use crate::web::dom::{append, make, on, part, set, set_text};
use crate::web::jobs::{Answer, Job};
use crate::web::page::app::{App, Change, Panel};
use crate::web::page::latest::Latest;
use crate::web::page::state::Answered;
use crate::web::page::{download, form, format, notice};
use crate::web::pool::{Failure, unexpected};
use plotters_canvas::CanvasBackend;
use web_sys::Element;

/// Size of the SVG download in CSS pixels.
const SVG_SIZE: (u32, u32) = (960, 360);

/// Most tensors that can be chosen.
const MOST_TENSORS: usize = 2000;

/// The histogram.
#[derive(Debug, Default)]
pub struct Overlay {
    asking: Latest,
}

impl Panel for Overlay {
    /// Connects the choice of tensor, the scale of counts and the download.
    fn connect(&'static self, app: &'static App) {
        on(&app.elements.overlay_tensor, "change", move |_| {
            let index = app.elements.overlay_tensor.value().parse().ok();
            app.state.borrow_mut().view.tensor = index;
            app.changed(Change::Question);
        });
        on(&app.elements.overlay_log, "change", move |_| app.paint());
        on(&app.elements.overlay_svg, "click", move |_| save(app));
        app.redraw_with(&app.elements.overlay_canvas);
    }

    fn changed(&'static self, app: &'static App, what: Change) {
        if what == Change::File {
            fill_choice(app);
        }
        if app.asks(what) && app.state.borrow().question().is_some() {
            self.refresh(app);
        }
    }

    /// Draws the histogram and says in words what it shows.
    fn draw(&self, app: &App) {
        let state = app.state.borrow();
        let Some(sized) = canvas::fit(&app.window, &app.elements.overlay_canvas) else { return };
        sized.clear();
        let Some(overlay) = state.answers.overlay.as_ref().map(|answer| &answer.value) else {
            set_text(&app.elements.overlay_caption, "");
            return;
        };
        let chart = describe(app, overlay);
        if let Some(mut backend) = CanvasBackend::with_canvas_object(sized.canvas.clone()) {
            // What cannot be drawn, such as a histogram without a bin, leaves the canvas empty.
            let _ = plot::histogram(
                &mut backend,
                &chart,
                &theme(&app.window, &app.document),
                Scale::new(sized.scale),
            );
        }
        set_text(&app.elements.overlay_caption, &caption(overlay));
    }
}

impl Overlay {
    /// Asks for what the newest question is. Once the slider rests, what it stands at is tried.
    fn refresh(&'static self, app: &'static App) {
        if !self.asking.want() {
            return;
        }
        wasm_bindgen_futures::spawn_local(async move {
            while self.asking.next() {
                if ask(app, true).await && !self.asking.is_wanted() {
                    ask(app, false).await;
                }
            }
        });
    }
}

/// Asks for the overlay and keeps it; whether it is the present question's, in haste.
async fn ask(app: &'static App, hasty: bool) -> bool {
    let (recipe, tensor, asked) = {
        let state = app.state.borrow();
        (state.solvable(), state.view.tensor, state.overlay_question())
    };
    let Some(asked) = asked else { return false };
    let failure = match app.solver.ask(Job::Overlay { recipe, tensor, hasty }).await {
        Ok(Answer::Overlay(overlay)) => return keep(app, asked, overlay),
        Ok(_) => unexpected(),
        Err(failure) => failure,
    };
    if let Failure::Sentence(sentence) = failure {
        form::show_error(app, &sentence);
    }
    false
}

/// Keeps an answer. A slider that moves shows where it has been: an answer to an earlier question is shown as that.
fn keep(app: &'static App, asked: String, overlay: report::Overlay) -> bool {
    let is_current = app.state.borrow().overlay_question().as_ref() == Some(&asked);
    let is_hasty = is_current && overlay.hasty;
    let found_step = is_current && app.state.borrow_mut().take_step(overlay.point.parameter.clone());
    let question = if is_current { app.state.borrow().overlay_question().unwrap_or_default() } else { asked };
    app.state.borrow_mut().answers.overlay = Some(Answered { question, value: overlay });
    if found_step {
        app.changed(Change::Step);
    }
    if is_current {
        form::show_error(app, "");
    }
    app.changed(Change::Overlay);
    is_hasty
}

/// Fills the choice of tensors with those of the open file.
fn fill_choice(app: &App) {
    let select = &app.elements.overlay_tensor;
    let first: Element = part(select, "option");
    select.set_text_content(None);
    append(select, &first);
    let state = app.state.borrow();
    let Some(file) = &state.file else { return };
    let rows = file.rows.iter().enumerate().filter(|(_, row)| row.stats.is_some());
    for (index, row) in rows.take(MOST_TENSORS) {
        let option = make(&app.document, "option", "", &row.name);
        set(&option, "value", &index.to_string());
        append(select, &option);
    }
    select.set_value("");
}

fn describe(app: &App, overlay: &report::Overlay) -> Histogram {
    let weights = overlay.counts.iter().sum::<u64>().max(1) as f64;
    let shares = overlay.counts.iter().map(|count| *count as f64 / weights);
    Histogram {
        start: overlay.start,
        width: overlay.width,
        bins: overlay.bins.clone(),
        levels: overlay.levels.iter().map(|level| f64::from(*level)).zip(shares).collect(),
        thresholds: overlay.thresholds.iter().map(|threshold| f64::from(*threshold)).collect(),
        x_title: "weight".to_owned(),
        y_title: "weights per bin".to_owned(),
        log_counts: app.elements.overlay_log.checked(),
    }
}

fn caption(overlay: &report::Overlay) -> String {
    let weights: u64 = overlay.counts.iter().sum();
    let used = overlay.counts.iter().filter(|count| **count > 0).count();
    let levels = match (used, overlay.levels.len()) {
        (1, 1) => "1 level".to_owned(),
        (used, all) if used == all => format!("{} levels", format::count(all as u64)),
        (used, all) => format!("{used} of {all} levels used"),
    };
    format!("{}: {} weights on {levels}.", overlay.title, format::count(weights))
}

fn save(app: &App) {
    let state = app.state.borrow();
    let Some(overlay) = state.answers.overlay.as_ref().map(|answer| &answer.value) else { return };
    let name = state.file.as_ref().map_or("weights", |file| download::stem(&file.name));
    match plot::svg::histogram(
        &describe(app, overlay),
        &state.title(),
        SVG_SIZE,
        &theme(&app.window, &app.document),
    ) {
        Ok(svg) => download::text(app, &format!("{name}.weights.svg"), &svg),
        Err(error) => notice::error(app, &error.to_string()),
    }
}
