//! Curves: which methods are drawn, asked for one after the other, kept as long as they answer the same question.

use super::dom::{self, append, clear, make, on, part, set, set_text};
use super::state::{Answered, State};
use super::{App, accuracy, download, format, recipe};
use crate::engine::AskedCurve;
use crate::engine::report::{Curve, Point, Rate, Sweep, sweep_csv};
use crate::entropy::Coder;
use crate::plot::Marker;
use crate::quantize::{Value, methods};
use crate::web::jobs::{Answer, Job};
use crate::web::pool::Failure;
use std::rc::Rc;
use wasm_bindgen::JsCast;
use web_sys::{Element, HtmlInputElement};

/// Points of a curve.
pub const POINTS: usize = 20;

/// Builds the method toggles and connects them.
pub fn connect(app: &Rc<App>) {
    for (slot, method) in methods::METHODS.iter().enumerate() {
        let chip = dom::stamp(&app.elements.toggle_template);
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
        append(&app.elements.method_toggles, &chip);
    }
    let toggled = app.clone();
    on(&app.elements.method_toggles, "change", move |event| {
        let input = event.target().and_then(|target| target.dyn_into::<HtmlInputElement>().ok());
        if let Some((input, id)) =
            input.and_then(|input| input.get_attribute("data-method").map(|id| (input, id)))
        {
            let mut state = toggled.state.borrow_mut();
            if input.checked() {
                state.shown.insert(id)
            } else {
                state.shown.remove(&id)
            };
        }
        refresh(&toggled);
        accuracy::tell(&toggled);
        changed(&toggled);
    });
    let rows = app.clone();
    on(&app.elements.chart_details, "toggle", move |_| fill_table(&rows));
    let click = app.clone();
    on(&app.elements.chart_csv, "click", move |_| {
        let state = click.state.borrow();
        let name = state.file.as_ref().map_or("curves", |file| download::stem(&file.name));
        download::text(&click, &format!("{name}.curves.csv"), &sweep_csv(&drawn(&state)));
    });
}

/// The curves that answer what is asked now, of the methods that are drawn, in the order of the table of methods.
pub fn drawn(state: &State) -> Sweep {
    let mut all = Sweep::default();
    for (method, answer) in answers(state) {
        if is_current(state, method, answer) {
            all.curves.extend(answer.value.curves.iter().cloned());
            if all.bounds.is_empty() {
                all.bounds.clone_from(&answer.value.bounds);
            }
        }
    }
    all
}

/// The curves that answered an earlier question, for as long as nothing newer stands in their place.
pub fn earlier(state: &State) -> Vec<Curve> {
    let stale = answers(state).filter(|(method, answer)| !is_current(state, method, answer));
    stale.flat_map(|(_, answer)| answer.value.curves.iter().cloned()).collect()
}

fn answers(state: &State) -> impl Iterator<Item = (&'static methods::Method, &Answered<Sweep>)> {
    let shown = methods::METHODS.iter().filter(|method| state.shown.contains(method.id));
    shown.filter_map(|method| Some((method, state.curves.get(slot(method.id))?.as_ref()?)))
}

fn is_current(state: &State, method: &methods::Method, answer: &Answered<Sweep>) -> bool {
    question(state, method).as_ref() == Some(&answer.question)
}

/// A method's place in the palette.
pub fn slot(method: &str) -> usize {
    methods::METHODS.iter().position(|row| row.id == method).unwrap_or(0)
}

/// The quality that the chart shows.
pub fn quality(point: &Point, weighted: bool) -> f64 {
    if weighted { point.weighted_sqnr_db } else { point.sqnr_db }
}

/// The question that a method's curve answers now; none where nothing can be asked.
fn question(state: &State, method: &methods::Method) -> Option<String> {
    state.question()?;
    let mut recipe = state.solvable();
    if recipe.method != method.id {
        recipe.settings.clear();
        method.id.clone_into(&mut recipe.method);
    }
    recipe.settings.remove(method.swept);
    Some(State::ask(&recipe, state.file.as_ref()?))
}

/// The next curve that is missing, with its question; the method in use comes first.
fn next(state: &State, refused: &[String]) -> Option<(&'static methods::Method, String)> {
    let is_used = |method: &&methods::Method| method.id == state.recipe.method;
    let others = methods::METHODS.iter().filter(|m| !is_used(m) && state.shown.contains(m.id));
    methods::METHODS.iter().filter(is_used).chain(others).find_map(|method| {
        let question = question(state, method)?;
        let answer = state.curves.get(slot(method.id)).and_then(Option::as_ref);
        let is_open = answer.is_none_or(|answer| answer.question != question);
        (is_open && !refused.contains(&question)).then_some((method, question))
    })
}

/// Asks for the curves that are drawn and not answered yet.
pub fn refresh(app: &Rc<App>) {
    app.curves_wanted.set(true);
    if app.curves_asked.replace(true) {
        return;
    }
    let app = app.clone();
    wasm_bindgen_futures::spawn_local(async move {
        while app.curves_wanted.replace(false) {
            ask_all(&app).await;
        }
        app.curves_asked.set(false);
    });
}

/// Asks for one missing curve after the other, looking afresh each time at what is wanted.
async fn ask_all(app: &Rc<App>) {
    let mut refused: Vec<String> = Vec::new();
    loop {
        let Some((method, question)) = next(&app.state.borrow(), &refused) else { break };
        mark(app, Some(method));
        let recipe = app.state.borrow().solvable();
        let job = Job::Sweep { recipe, method: method.id.to_owned(), points: POINTS };
        match app.sweeper.ask(job).await {
            Ok(Answer::Sweep(sweep)) => keep(app, method, question, sweep),
            Err(Failure::Sentence(sentence)) => {
                recipe::show_error(app, &sentence);
                refused.push(question);
            }
            _ => break,
        }
    }
    mark(app, None);
}

/// Keeps an answer, if it answers what is asked by now.
fn keep(app: &Rc<App>, method: &methods::Method, asked: String, sweep: Sweep) {
    {
        let mut state = app.state.borrow_mut();
        if question(&state, method).as_ref() != Some(&asked) {
            return;
        }
        state.curves.resize(methods::METHODS.len(), None);
        if let Some(place) = state.curves.get_mut(slot(method.id)) {
            *place = Some(Answered { question: asked, value: sweep });
        }
    }
    changed(app);
}

/// Marks the method whose curve is being solved.
fn mark(app: &App, solving: Option<&methods::Method>) {
    for chip in dom::children(&app.elements.method_toggles) {
        let input = chip.query_selector("[data-method]").ok().flatten();
        let id = input.and_then(|input| input.get_attribute("data-method"));
        let is_solving = id.is_some() && id.as_deref() == solving.map(|method| method.id);
        set(&chip, "data-solving", if is_solving { "true" } else { "false" });
    }
}

/// Draws what shows curves.
fn changed(app: &App) {
    fill_table(app);
    app.paint();
}

/// Fills the table of the chart's data, while it is open.
pub fn fill_table(app: &App) {
    let rows = &app.elements.chart_rows;
    clear(rows);
    if app.elements.chart_details.get_attribute("open").is_none() {
        return;
    }
    let state = app.state.borrow();
    for curve in drawn(&state).curves {
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
    append(&row, &make(&app.document, "td", "", &setting(curve, point)));
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

/// A point's place on its curve, as people write it.
pub fn setting(curve: &Curve, point: &Point) -> String {
    let value = match &point.parameter {
        Some(Value::Number(x)) => format::significant(*x, 3),
        Some(other) => other.to_string(),
        None => String::new(),
    };
    let symbol =
        AskedCurve::parse(&curve.method).map_or(curve.parameter.as_str(), |asked| asked.method.unit.symbol());
    format!("{symbol} = {value}")
}
