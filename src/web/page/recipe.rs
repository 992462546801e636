//! The recipe's form: what does not depend on the method is in index.html, the method's parameters come from its row.

use super::dom::{self, append, clear, on, part, set, set_text, show};
use super::{App, files, format};
use crate::entropy::{Coder, Positions};
use crate::quantize::{
    Method, Parameter, ParameterKind, Scope, SettingsError, Value, methods, pruning::Pruning,
};
use crate::recipe::{self, Finer, ImportanceKind, Recipe};
use std::rc::Rc;
use wasm_bindgen::JsCast;
use web_sys::{Element, HtmlElement, HtmlInputElement, HtmlLabelElement, HtmlSelectElement};

/// Positions of a slider from one end to the other.
const SLIDER_STEPS: f64 = 1000.0;

/// How zeros can be stored, with names for people.
const POSITIONS: [(Positions, &str); 2] =
    [(Positions::Symbols, "symbols"), (Positions::Gaps, "gaps between non-zeros")];

/// Which roles can be quantized, with names for people; other choices come by links, and show as none of these.
const ROLES: [(&str, &str); 3] = [
    ("weight", "weights"),
    ("trained", "weights, biases, normalisation (as the papers)"),
    ("all", "every float"),
];

/// Fills the selects and listens to every control.
pub fn connect(app: &Rc<App>) {
    let e = &app.elements;
    let options = methods::METHODS.iter().map(|m| (m.id, m.title));
    fill(app, &e.method, options);
    fill(app, &e.coder, Coder::ALL.iter().rev().map(|coder| (coder.id(), coder.title())));
    fill(app, &e.roles, ROLES.iter().copied());
    fill(app, &e.positions, POSITIONS.iter().map(|(positions, title)| (positions.id(), *title)));
    let submitted = app.clone();
    on(&e.recipe_form, "submit", move |event| {
        event.prevent_default();
        submitted.refresh();
    });
    let input = app.clone();
    on(&e.recipe_form, "input", move |event| {
        if let Some(target) = event.target().and_then(|target| target.dyn_into::<Element>().ok()) {
            edited(&input, &target);
        }
    });
    // What changed while its user was in a field is shown once they have left it.
    let left = app.clone();
    on(&e.method_parameters, "focusout", move |_| {
        let recipe = left.state.borrow().recipe.clone();
        show_parameters(&left, &recipe);
    });
    sync(app);
}

fn fill<'a>(app: &App, select: &HtmlSelectElement, options: impl Iterator<Item = (&'a str, &'a str)>) {
    for (id, title) in options {
        let option = dom::make(&app.document, "option", "", title);
        set(&option, "value", id);
        append(select, &option);
    }
}

fn method_of(recipe: &Recipe) -> &'static Method {
    methods::find(&recipe.method).unwrap_or(&methods::METHODS[0])
}

/// Shows the recipe in every control.
pub fn sync(app: &App) {
    let recipe = app.state.borrow().recipe.clone();
    let e = &app.elements;
    e.method.set_value(&recipe.method);
    e.scope.set_value(match recipe.scope {
        Scope::All => "all",
        Scope::Tensor => "tensor",
        Scope::Channel => "channel",
    });
    let roles = recipe::roles_text(&recipe.roles);
    let is_listed = ROLES.iter().any(|(listed, _)| *listed == roles);
    e.roles.set_value(if is_listed { &roles } else { "" });
    put(&e.include, &recipe::patterns_text(&recipe.include));
    put(&e.exclude, &recipe::patterns_text(&recipe.exclude));
    if recipe.finer.iter().all(|finer| finer.bits.is_finite()) {
        put(&e.finer, &recipe::finer_text(&recipe.finer));
    }
    let (pruning, amount) = match recipe.pruning {
        Pruning::None => ("none", None),
        Pruning::Fraction(x) => ("fraction", Some(x)),
        Pruning::Threshold(t) => ("threshold", Some(f64::from(t))),
    };
    e.pruning.set_value(pruning);
    if let Some(amount) = amount {
        put(&e.pruning_amount, &format::typed(amount));
    }
    e.importance_kind.set_value(match recipe.importance.kind {
        ImportanceKind::None => "none",
        ImportanceKind::File => "file",
        ImportanceKind::Adam => "adam",
    });
    put(&e.importance_alpha, &format::typed(recipe.importance.alpha));
    put(&e.importance_floor, &format::typed(recipe.importance.floor));
    e.coder.set_value(recipe.coder.id());
    e.positions.set_value(recipe.positions.id());
    show_dependent(app, &recipe);
    show_parameters(app, &recipe);
    show_importance(app);
}

/// Sets a field that the user is not in.
fn put(input: &HtmlInputElement, text: &str) {
    let active = input.owner_document().and_then(|document| document.active_element());
    if active.as_ref() != Some(input.as_ref()) && input.value() != text {
        input.set_value(text);
    }
}

fn show_dependent(app: &App, recipe: &Recipe) {
    let e = &app.elements;
    let method = method_of(recipe);
    e.coder.set_disabled(method.coders.len() == 1);
    e.pruning.set_disabled(!method.prunes);
    e.positions.set_disabled(!method.prunes);
    let has_steps = method.is_grid() && recipe.scope == Scope::Tensor;
    show(&e.finer_field, has_steps);
    show(&e.finer_hint, has_steps);
    show(&e.pruning_amount_field, recipe.pruning != Pruning::None);
    let label =
        if matches!(recipe.pruning, Pruning::Fraction(_)) { "Share, 0 to 1" } else { "Magnitude up to" };
    set_text(&e.pruning_amount_label, label);
    show(&e.importance_fields, recipe.importance.kind != ImportanceKind::None);
    let method = method_of(recipe);
    set_text(&e.method_summary, &sentence_case(method.summary));
    set(&e.method_summary, "title", method.source);
}

fn sentence_case(text: &str) -> String {
    let mut letters = text.chars();
    letters
        .next()
        .map_or_else(String::new, |first| format!("{}{}.", first.to_ascii_uppercase(), letters.as_str()))
}

/// Shows the importance file's name and what was noted about it.
pub fn show_importance(app: &App) {
    let state = app.state.borrow();
    let name = state.importance_file.as_ref().map(|(_, name)| name.as_str());
    set_text(&app.elements.importance_name, name.unwrap_or("Drop the importance file here"));
    let loaded = state.file.as_ref().and_then(|file| file.importance.as_ref());
    let notes = loaded.map(|loaded| loaded.notes.clone()).unwrap_or_default();
    dom::fill_notes(&app.document, &app.elements.importance_notes, &notes);
}

/// Shows the parameters of the method: in the fields that are there, so that a field keeps its user, or in new ones for another method.
fn show_parameters(app: &App, recipe: &Recipe) {
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
    let Some(field) = control("parameter") else { return };
    if let Some(select) = field.dyn_ref::<HtmlSelectElement>() {
        select.set_value(&value.to_string());
    } else if let Some(number) = field.dyn_ref::<HtmlInputElement>() {
        put(number, &typed(value));
    }
    if let Some(slider) = control("slider").and_then(|slider| slider.dyn_into::<HtmlInputElement>().ok()) {
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
    let field = dom::stamp(&app.elements.select_template);
    let select: HtmlSelectElement = part(&field, "select");
    select.set_id(&label(&field, parameter));
    set(&select, "data-parameter", parameter.id);
    fill(app, &select, words.iter().copied());
    select.set_value(&value.to_string());
    field
}

/// A number field, with a logarithmic slider for the parameter that trades rate for distortion.
fn number_field(app: &App, method: &Method, parameter: &Parameter, value: &Value) -> Element {
    let field = dom::stamp(&app.elements.slider_template);
    let number: HtmlInputElement = part(&field, "input[type=number]");
    let slider: HtmlInputElement = part(&field, "input[type=range]");
    number.set_id(&label(&field, parameter));
    set(&number, "data-parameter", parameter.id);
    set(&number, "title", parameter.summary);
    let (min, max, step) = match parameter.kind {
        ParameterKind::Integer { min, max, .. } => (min.to_string(), max.to_string(), "1"),
        ParameterKind::Number { min, max, .. } => (min.to_string(), max.to_string(), "any"),
        ParameterKind::Choice(_) => (String::new(), String::new(), "any"),
    };
    set(&number, "min", &min);
    set(&number, "max", &max);
    set(&number, "step", step);
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

/// Takes what the user did into the recipe.
fn edited(app: &Rc<App>, target: &Element) {
    if target.id().starts_with("target-") {
        // A target is no part of the recipe.
        return;
    }
    if let Some(id) = target.get_attribute("data-slider") {
        slid(app, &id, target);
    } else if let Some(id) = target.get_attribute("data-parameter") {
        typed_in(app, &id, target);
    } else {
        let before = app.state.borrow().recipe.clone();
        let mut recipe = before.clone();
        read_fixed(app, &mut recipe, &target.id());
        show_dependent(app, &recipe);
        let importance_changed = recipe.importance != before.importance;
        let method_changed = recipe.method != before.method;
        choose(app, recipe);
        if method_changed {
            sync(app);
        }
        if importance_changed {
            put(&app.elements.importance_alpha, &format::typed(app.state.borrow().recipe.importance.alpha));
            files::importance_changed(app);
        }
    }
    app.refresh();
}

fn choose(app: &App, recipe: Recipe) {
    let mut state = app.state.borrow_mut();
    state.recipe = recipe;
    state.recipe_is_chosen = true;
}

fn slid(app: &App, id: &str, target: &Element) {
    let Some(slider) = target.dyn_ref::<HtmlInputElement>() else { return };
    let mut recipe = app.state.borrow().recipe.clone();
    let value = value_at(method_of(&recipe), slider.value_as_number());
    set(slider, "aria-valuetext", &typed(&value));
    let number: HtmlInputElement = part(&app.elements.method_parameters, &format!("#parameter-{id}"));
    number.set_value(&typed(&value));
    recipe.settings.insert(id.to_owned(), value);
    choose(app, recipe);
}

fn typed_in(app: &App, id: &str, target: &Element) {
    let text = match (target.dyn_ref::<HtmlInputElement>(), target.dyn_ref::<HtmlSelectElement>()) {
        (Some(input), _) => input.value(),
        (_, Some(select)) => select.value(),
        _ => return,
    };
    let mut recipe = app.state.borrow().recipe.clone();
    if text.is_empty() {
        recipe.settings.remove(id);
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
    choose(app, recipe);
}

/// Changes the method, and with it what the method does not leave open.
fn choose_method(recipe: &mut Recipe, id: &str) {
    // The select has the ids of the table alone.
    if let Ok(chosen) = recipe.with_method(id) {
        *recipe = chosen.fitted();
    }
}

/// Reads the control that was edited.
fn read_fixed(app: &App, recipe: &mut Recipe, id: &str) {
    let e = &app.elements;
    let list = |input: &HtmlInputElement| {
        let typed = recipe::patterns_from(&input.value()).into_iter();
        typed.map(|pattern| pattern.trim().to_owned()).filter(|pattern| !pattern.is_empty()).collect()
    };
    match id {
        "method" => {
            choose_method(recipe, &e.method.value());
        }
        "scope" => {
            recipe.scope = match e.scope.value().as_str() {
                "tensor" => Scope::Tensor,
                "channel" => Scope::Channel,
                _ => Scope::All,
            };
            if recipe.scope != Scope::Tensor {
                recipe.finer.clear();
            }
        }
        "roles" => {
            let _ = recipe.set("roles", &e.roles.value());
        }
        "include" => recipe.include = list(&e.include),
        "exclude" => recipe.exclude = list(&e.exclude),
        "finer" => {
            let text = e.finer.value();
            // What is not understood stays, for the check to refuse.
            let unread = |_| vec![Finer { pattern: text.clone(), bits: f64::INFINITY }];
            recipe.finer = recipe::finer_from(&text).unwrap_or_else(unread);
        }
        "pruning" | "pruning-amount" => read_pruning(app, recipe, id),
        "importance-kind" => {
            recipe.importance.kind = match e.importance_kind.value().as_str() {
                "file" => ImportanceKind::File,
                "adam" => ImportanceKind::Adam,
                _ => ImportanceKind::None,
            };
            recipe.importance.alpha = if recipe.importance.kind == ImportanceKind::Adam { 0.5 } else { 1.0 };
            recipe.importance.hash = None;
        }
        "importance-alpha" => recipe.importance.alpha = e.importance_alpha.value_as_number(),
        "importance-floor" => recipe.importance.floor = e.importance_floor.value_as_number(),
        "coder" => recipe.coder = Coder::from_id(&e.coder.value()).unwrap_or(Coder::Rans),
        "positions" => {
            recipe.positions = Positions::from_id(&e.positions.value()).unwrap_or(Positions::Symbols);
        }
        _ => {}
    }
}

fn read_pruning(app: &App, recipe: &mut Recipe, id: &str) {
    let e = &app.elements;
    let kind = e.pruning.value();
    if id == "pruning" {
        // A first amount that shows something: half of the weights, or the zeros the file has already.
        e.pruning_amount.set_value(if kind == "fraction" { "0.5" } else { "0" });
    }
    let amount = e.pruning_amount.value_as_number();
    recipe.pruning = match kind.as_str() {
        "fraction" => Pruning::Fraction(amount),
        "threshold" => Pruning::Threshold(amount as f32),
        _ => Pruning::None,
    };
    if recipe.pruning == Pruning::None {
        recipe.positions = Positions::Symbols;
        e.positions.set_value(recipe.positions.id());
    }
}

/// Makes a point of a curve the current recipe.
pub fn adopt(app: &Rc<App>, method: &str, parameter: &str, value: &Value) {
    {
        let mut state = app.state.borrow_mut();
        if state.recipe.method != method {
            choose_method(&mut state.recipe, method);
        }
        state.recipe.settings.insert(parameter.to_owned(), value.clone());
        state.recipe_is_chosen = true;
    }
    sync(app);
    app.refresh();
}

/// Shows at its field what keeps the recipe from being solved, or that nothing does; until it is mended nothing can be made of it.
pub fn show_problem(app: &App, problem: Option<&SettingsError>) {
    let e = &app.elements;
    if let Some(field) = children_with(&e.recipe_form, "[aria-describedby='recipe-error']") {
        let _ = field.remove_attribute("aria-describedby");
        set(&field, "aria-invalid", "false");
    }
    let sentence = problem.map(ToString::to_string).unwrap_or_default();
    e.compress_button.set_disabled(problem.is_some());
    e.target_find.set_disabled(problem.is_some());
    let title = if problem.is_some() { sentence.as_str() } else { "Compress with this recipe (Ctrl+Enter)" };
    e.compress_button.set_title(title);
    match problem.and_then(|problem| control_of(app, &problem.field)) {
        Some(control) => {
            set(&control, "aria-describedby", "recipe-error");
            set(&control, "aria-invalid", "true");
            if let Ok(Some(field)) = control.closest(".field") {
                let _ = field.after_with_node_1(&e.recipe_error);
            }
        }
        None => append(&e.recipe_form, &e.recipe_error),
    }
    show_error(app, &sentence);
}

/// The control of a recipe's field, as errors name it.
fn control_of(app: &App, field: &str) -> Option<Element> {
    let id = match field {
        "method" | "scope" | "roles" | "include" | "exclude" | "finer" | "coder" | "positions" => {
            field.to_owned()
        }
        "prune" => "pruning-amount".to_owned(),
        "alpha" | "floor" => format!("importance-{field}"),
        parameter => format!("parameter-{parameter}"),
    };
    children_with(&app.elements.recipe_form, &format!("#{id}"))
}

fn children_with(form: &Element, selector: &str) -> Option<Element> {
    form.query_selector(selector).ok().flatten()
}

/// Takes the user to the field that has an error, if one has.
pub fn go_to_problem(app: &App) {
    let field = children_with(&app.elements.recipe_form, "[aria-describedby='recipe-error']");
    if let Some(field) = field.and_then(|field| field.dyn_into::<HtmlElement>().ok()) {
        let _ = field.focus();
    }
}

/// Shows what keeps the recipe from being solved, in a sentence; an empty one takes it away.
pub fn show_error(app: &App, sentence: &str) {
    set_text(&app.elements.recipe_error, sentence);
    show(&app.elements.recipe_error, !sentence.is_empty());
}
