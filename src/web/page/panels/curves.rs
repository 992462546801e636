//! Curves: which methods are drawn, asked for one after the other, kept as long as they answer the same question.

use crate::engine::report::{Curve, Point, Rate, Sweep, sweep_csv};
use crate::entropy::Coder;
use crate::plot::Marker;
use crate::quantize::{Method, methods};
use crate::web::dom::{append, children, clear, make, on, part, set, set_text, stamp};
use crate::web::jobs::{Answer, Job};
use crate::web::page::app::{App, Change, Panel};
use crate::web::page::latest::Latest;
use crate::web::page::state::{Answered, POINTS, slot};
use crate::web::page::{download, form, format};
use crate::web::pool::Failure;
use wasm_bindgen::JsCast;
use web_sys::{Element, HtmlInputElement};

/// The methods to choose from, and the table.
#[derive(Debug, Default)]
pub struct Curves {
    asking: Latest,
}

impl Panel for Curves {
    /// Builds the method toggles and connects them.
    fn connect(&'static self, app: &'static App) {
        for (slot, method) in methods::METHODS.iter().enumerate() {
            append(&app.elements.method_toggles, &toggle(app, slot, method));
        }
        on(&app.elements.method_toggles, "change", move |event| {
            let input = event.target().and_then(|target| target.dyn_into::<HtmlInputElement>().ok());
            let Some(input) = input else { return };
            let named = input.get_attribute("data-method");
            let Some(method) = named.and_then(|id| methods::find(&id)) else { return };
            {
                let drawn = &mut app.state.borrow_mut().view.methods;
                drawn.retain(|id| *id != method.id);
                if input.checked() {
                    drawn.push(method.id);
                }
            }
            app.changed(Change::Methods);
        });
        on(&app.elements.chart_details, "toggle", move |_| fill_table(app));
        on(&app.elements.chart_csv, "click", move |_| {
            let state = app.state.borrow();
            let name = state.file.as_ref().map_or("curves", |file| download::stem(&file.name));
            download::text(app, &format!("{name}.curves.csv"), &sweep_csv(&state.drawn()));
        });
    }

    fn changed(&'static self, app: &'static App, what: Change) {
        if matches!(what, Change::Methods | Change::Curve) {
            fill_table(app);
        }
        let is_asked = what == Change::Methods
            || app.asks(what) && {
                let state = app.state.borrow();
                state.question().is_some() && !state.solvers.is_sweeper_empty
            };
        if is_asked && self.asking.want() {
            wasm_bindgen_futures::spawn_local(async move {
                while self.asking.next() {
                    ask_all(app).await;
                }
            });
        }
    }
}

fn toggle(app: &App, slot: usize, method: &Method) -> Element {
    let chip = stamp(&app.elements.toggle_template);
    let input: HtmlInputElement = part(&chip, "input");
    input.set_checked(true);
    input.set_id(&format!("toggle-{}", method.id));
    set(&input, "data-method", method.id);
    let swatch: Element = part(&chip, ".swatch");
    set(&swatch, "class", &format!("swatch s{}", slot % crate::plot::SERIES_COLOURS));
    let mark: Element = part(&chip, ".mark");
    set(&mark, "d", &Marker::for_slot(slot).path_data((10.0, 7.0), 3.6));
    let title: Element = part(&chip, "span");
    set_text(&title, method.title);
    set(&chip, "title", method.summary);
    chip
}

/// Asks for one missing curve after the other, looking afresh each time at what is wanted.
async fn ask_all(app: &'static App) {
    let mut refused: Vec<String> = Vec::new();
    loop {
        let Some((method, question)) = app.state.borrow().next_curve(&refused) else { break };
        mark(app, Some(method));
        let recipe = app.state.borrow().solvable();
        let job = Job::Sweep { recipe, method: method.id.to_owned(), points: POINTS };
        match app.sweeper.ask(job).await {
            Ok(Answer::Sweep(sweep)) => keep(app, method, question, sweep),
            Err(Failure::Sentence(sentence)) => {
                form::show_error(app, &sentence);
                refused.push(question);
            }
            _ => break,
        }
    }
    mark(app, None);
}

/// Keeps an answer, if it answers what is asked by now.
fn keep(app: &'static App, method: &Method, asked: String, sweep: Sweep) {
    {
        let mut state = app.state.borrow_mut();
        if state.curve_question(method).as_ref() != Some(&asked) {
            return;
        }
        state.answers.curves.resize(methods::METHODS.len(), None);
        if let Some(place) = state.answers.curves.get_mut(slot(method.id)) {
            *place = Some(Answered { question: asked, value: sweep });
        }
    }
    app.changed(Change::Curve);
}

/// Marks the method whose curve is being solved.
fn mark(app: &App, solving: Option<&Method>) {
    for chip in children(&app.elements.method_toggles) {
        let input = chip.query_selector("[data-method]").ok().flatten();
        let id = input.and_then(|input| input.get_attribute("data-method"));
        let is_solving = id.is_some() && id.as_deref() == solving.map(|method| method.id);
        set(&chip, "data-solving", if is_solving { "true" } else { "false" });
    }
}

/// Fills the table of the chart's data, while it is open.
fn fill_table(app: &App) {
    let rows = &app.elements.chart_rows;
    clear(rows);
    if app.elements.chart_details.get_attribute("open").is_none() {
        return;
    }
    let state = app.state.borrow();
    for curve in state.drawn().curves {
        for point in &curve.points {
            append(rows, &table_row(app, &curve, point));
        }
    }
}

fn table_row(app: &App, curve: &Curve, point: &Point) -> Element {
    let row = make(&app.document, "tr", "", "");
    let head = make(&app.document, "th", "", &curve.title);
    set(&head, "scope", "row");
    append(&row, &head);
    append(&row, &make(&app.document, "td", "", &format::setting(curve, point)));
    let bits = |x: f64| format::decimals(x, 3);
    let cells = [
        format::count(point.levels),
        bits(point.entropy_bits),
        bits(point.rate(Rate::Coder(Coder::Rans))),
        bits(point.rate(Rate::Coder(Coder::Huffman))),
        bits(point.rate(Rate::Coder(Coder::Fixed))),
        format::decimals(point.sqnr_db, 2),
        format::decimals(point.weighted_sqnr_db, 2),
        format!("{}×", format::significant(point.predicted_ratio, 4)),
        format::decimals(point.gap_to_optimum_db.unwrap_or(f64::NAN), 3),
        format::decimals(point.gap_to_shannon_bits.unwrap_or(f64::NAN), 3),
    ];
    for text in cells {
        append(&row, &make(&app.document, "td", "num", &text));
    }
    row
}
