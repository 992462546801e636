//! The method's parameters in the form, with the slider of the one that a sweep moves.

use crate::quantize::{Method, Parameter, ParameterKind, Value, methods};
use crate::recipe::{self, Recipe};
use crate::web::dom::{append, clear, part, set, stamp};
use crate::web::page::app::App;
use crate::web::page::form::{offer, put, value_of};
use crate::web::page::format;
use wasm_bindgen::JsCast;
use web_sys::{Element, HtmlInputElement, HtmlLabelElement, HtmlSelectElement};

/// Positions of a slider from one end to the other.
const SLIDER_STEPS: f64 = 1000.0;

/// The recipe's method.
pub fn method_of(recipe: &Recipe) -> &'static Method {
    methods::find(&recipe.method).unwrap_or(&methods::METHODS[0])
}

/// Shows the parameters of the method: in the fields that are there, so that a field keeps its user, or in new ones for another
/// method.
pub fn show_settings(app: &App) {
    let recipe = &app.state.borrow().wish.recipe.clone();
    let home = &app.elements.method_parameters;
    let method = method_of(recipe);
    let is_there = home.get_attribute("data-method").as_deref() == Some(method.id);
    if !is_there {
        // The sentence about an error may stand among the fields that go.
        append(&app.elements.recipe_form, &app.elements.recipe_error);
        clear(home);
        set(home, "data-method", method.id);
    }
    for parameter in method.parameters {
        let value = recipe.settings.get(parameter.id).cloned().unwrap_or_else(|| parameter.default_value());
        match parameter.kind {
            _ if is_there => update_field(home, method, parameter, &value),
            ParameterKind::Choice(words) => append(home, &choice_field(app, parameter, words, &value)),
            _ => append(home, &number_field(app, method, parameter, &value)),
        }
    }
}

fn update_field(home: &Element, method: &Method, parameter: &Parameter, value: &Value) {
    let control = |kind: &str| home.query_selector(&format!("#{kind}-{}", parameter.id)).ok().flatten();
    if let Some(field) = control("parameter") {
        let is_choice = matches!(parameter.kind, ParameterKind::Choice(_));
        put(&field, &if is_choice { value.to_string() } else { typed(value) });
    }
    if let Some(slider) = control("slider") {
        put(&slider, &position(method, as_number(value)).to_string());
        set(&slider, "aria-valuetext", &typed(value));
    }
}

fn label(field: &Element, parameter: &Parameter) -> String {
    let id = format!("parameter-{}", parameter.id);
    let label: HtmlLabelElement = part(field, "label");
    label.set_html_for(&id);
    label.set_text_content(Some(parameter.title));
    set(&label, "title", parameter.summary);
    id
}

fn choice_field(app: &App, parameter: &Parameter, words: &[(&str, &str)], value: &Value) -> Element {
    let field = stamp(&app.elements.select_template);
    let select: HtmlSelectElement = part(&field, "select");
    select.set_id(&label(&field, parameter));
    set(&select, "data-parameter", parameter.id);
    for (id, title) in words {
        offer(app, &select, id, title);
    }
    select.set_value(&value.to_string());
    field
}

/// A number field, with a logarithmic slider for the parameter that trades rate for distortion.
fn number_field(app: &App, method: &Method, parameter: &Parameter, value: &Value) -> Element {
    let field = stamp(&app.elements.slider_template);
    let number: HtmlInputElement = part(&field, "input[type=number]");
    let slider: HtmlInputElement = part(&field, "input[type=range]");
    number.set_id(&label(&field, parameter));
    set(&number, "data-parameter", parameter.id);
    set(&number, "title", parameter.summary);
    let (min, max, step) = match parameter.kind {
        ParameterKind::Integer { min, max, .. } => (min.to_string(), max.to_string(), "1"),
        ParameterKind::Number { min, max, .. } => (min.to_string(), max.to_string(), "any"),
        ParameterKind::Choice(_) | ParameterKind::Format => (String::new(), String::new(), "any"),
    };
    set(&number, "min", &min);
    set(&number, "max", &max);
    set(&number, "step", step);
    if parameter.kind == ParameterKind::Format {
        number.set_type("text");
    }
    number.set_value(&typed(value));
    if parameter.id == method.swept {
        slider.set_id(&format!("slider-{}", parameter.id));
        set(&slider, "data-slider", parameter.id);
        set(&slider, "aria-label", &format!("{}, slider", parameter.title));
        slider.set_value(&position(method, as_number(value)).to_string());
        set(&slider, "aria-valuetext", &typed(value));
    } else {
        slider.remove();
    }
    field
}

fn as_number(value: &Value) -> f64 {
    match value {
        Value::Integer(n) => *n as f64,
        Value::Number(x) => *x,
        Value::Choice(_) => 0.0,
    }
}

fn typed(value: &Value) -> String {
    match value {
        Value::Number(x) => format::typed(*x),
        other => other.to_string(),
    }
}

/// Where a value stands on the slider of the swept parameter, which spans the method's own sweep.
fn position(method: &Method, value: f64) -> f64 {
    let (low, high) = span(method);
    let share = libm::log(value.max(low) / low) / libm::log(high / low);
    (share.clamp(0.0, 1.0) * SLIDER_STEPS).round_ties_even()
}

fn value_at(method: &Method, position: f64) -> Value {
    let (low, high) = span(method);
    let value = low * libm::pow(high / low, position / SLIDER_STEPS);
    let whole = method
        .parameters
        .iter()
        .any(|p| p.id == method.swept && matches!(p.kind, ParameterKind::Integer { .. }));
    if whole {
        Value::Integer(value.round_ties_even() as u64)
    } else {
        Value::Number(crate::number::rounded(value, 3))
    }
}

fn span(method: &Method) -> (f64, f64) {
    let (fine, coarse) = method.sweep;
    (fine.min(coarse), fine.max(coarse))
}

/// Takes where the user put the slider.
pub fn slid(app: &App, id: &str, target: &Element) {
    let Some(slider) = target.dyn_ref::<HtmlInputElement>() else { return };
    let mut recipe = app.state.borrow().wish.recipe.clone();
    let value = value_at(method_of(&recipe), slider.value_as_number());
    set(slider, "aria-valuetext", &typed(&value));
    let number: HtmlInputElement = part(&app.elements.method_parameters, &format!("#parameter-{id}"));
    number.set_value(&typed(&value));
    recipe.settings.insert(id.to_owned(), value);
    app.state.borrow_mut().choose(recipe);
}

/// Takes what the user typed.
pub fn typed_in(app: &App, id: &str, target: &Element) {
    let text = value_of(target);
    let mut recipe = app.state.borrow().wish.recipe.clone();
    if text.is_empty() {
        recipe.unset(id);
    } else {
        recipe.settings.insert(id.to_owned(), recipe::value_from(&text));
    }
    let method = method_of(&recipe);
    let number = recipe.settings.get(id).map(as_number);
    if let (true, Some(number)) = (method.swept == id, number) {
        let slider: HtmlInputElement = part(&app.elements.method_parameters, &format!("#slider-{id}"));
        slider.set_value(&position(method, number).to_string());
        set(&slider, "aria-valuetext", &text);
    }
    app.state.borrow_mut().choose(recipe);
}
