//! The weights' histogram with the codebook laid over it.

use super::chart::{theme, title};
use super::dom::{on, set_text};
use super::{App, download, format};
use crate::engine::report::Overlay;
use crate::plot::{self, Histogram, Scale};
use crate::web::canvas;
use plotters_canvas::CanvasBackend;
use std::rc::Rc;

/// Size of the SVG download in CSS pixels.
const SVG_SIZE: (u32, u32) = (960, 360);

/// Connects the choice of tensor, the scale of counts and the download.
pub fn connect(app: &Rc<App>) {
    let chosen = app.clone();
    on(&app.elements.overlay_tensor, "change", move |_| {
        let index = chosen.elements.overlay_tensor.value().parse().ok();
        chosen.state.borrow_mut().overlay_tensor = index;
        chosen.refresh();
    });
    let changed = app.clone();
    on(&app.elements.overlay_log, "change", move |_| changed.paint());
    let click = app.clone();
    on(&app.elements.overlay_svg, "click", move |_| save(&click));
}

fn describe(app: &App, overlay: &Overlay) -> Histogram {
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

/// Draws the histogram and says in words what it shows.
pub fn draw(app: &App) {
    let state = app.state.borrow();
    let Some(sized) = canvas::fit(&app.window, &app.elements.overlay_canvas) else { return };
    sized.clear();
    let Some(overlay) = state.overlay.as_ref().map(|answer| &answer.value) else {
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

fn caption(overlay: &Overlay) -> String {
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
    let Some(overlay) = state.overlay.as_ref().map(|answer| &answer.value) else { return };
    let name = state.file.as_ref().map_or("weights", |file| download::stem(&file.name));
    match plot::svg::histogram(
        &describe(app, overlay),
        &title(&state),
        SVG_SIZE,
        &theme(&app.window, &app.document),
    ) {
        Ok(svg) => download::text(app, &format!("{name}.weights.svg"), &svg),
        Err(error) => super::notice::error(app, &error.to_string()),
    }
}
