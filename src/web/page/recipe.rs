//! The recipe's form: its fields come from the table of fields, the method's parameters from its row; index.html says where
//! they stand.

use super::dom::{self, append, clear, on, part, set, set_text, show};
use super::{App, files, format};
use crate::quantize::{Method, Parameter, ParameterKind, SettingsError, Value, methods};
use crate::recipe::fields::{self, Amount, FIELDS, Field, Standing, Values};
use crate::recipe::{self, ImportanceKind, Recipe};
use std::rc::Rc;
use wasm_bindgen::JsCast;
use web_sys::{Element, HtmlElement, HtmlInputElement, HtmlLabelElement, HtmlSelectElement};

/// Positions of a slider from one end to the other.
const SLIDER_STEPS: f64 = 1000.0;

/// Builds the fields and listens to every control.
pub fn connect(app: &Rc<App>) {
    let e = &app.elements;
    for field in FIELDS {
        build(app, field);
    }
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
        show_settings(&left);
    });
    sync(app);
}

/// A field's place in the form, or that of the amount behind its word.
fn slot(app: &App, what: &str, key: &str) -> Option<HtmlElement> {
    children_with(&app.elements.recipe_form, &format!("[data-{what}='{key}']"))?.dyn_into().ok()
}

/// The control of a field, or of the amount behind its word.
fn control(app: &App, field: &Field, suffix: &str) -> Option<Element> {
    children_with(&app.elements.recipe_form, &format!("#{}{suffix}", field.key))
}

fn build(app: &App, field: &Field) {
    let Some(slot) = slot(app, "key", field.key) else { return };
    let words = field.words();
    let control = dom::make(&app.document, if words.is_empty() { "input" } else { "select" }, "", "");
    for word in &words {
        offer(app, &control, word.id, word.title);
    }
    match field.values {
        Values::Words(_) | Values::Form(..) | Values::Method | Values::Hash => {}
        Values::Number { min, max } => as_number_field(&control, Some(min), Some(max)),
        Values::Text { nothing, .. } => {
            for (name, value) in
                [("type", "text"), ("placeholder", nothing), ("autocomplete", "off"), ("spellcheck", "false")]
            {
                set(&control, name, value);
            }
            let hint = dom::make(&app.document, "p", "hint", &format!("{}.", field.summary));
            let id = format!("{}-hint", field.key);
            hint.set_id(&id);
            set(&control, "aria-describedby", &id);
            let _ = slot.after_with_node_1(&hint);
        }
    }
    furnish(app, &slot, &control, field, (field.key, field.title));
    if let Some(slot) = self::slot(app, "amount", field.key) {
        let control = dom::make(&app.document, "input", "", "");
        as_number_field(&control, Some(0.0), None);
        furnish(app, &slot, &control, field, (&format!("{}-amount", field.key), ""));
    }
}

/// Puts a control with its label into its place.
fn furnish(app: &App, slot: &Element, control: &Element, field: &Field, (id, title): (&str, &str)) {
    let label = dom::make(&app.document, "label", "", title);
    set(&label, "for", id);
    set(&label, "title", field.summary);
    control.set_id(id);
    set(control, "data-field", field.key);
    append(slot, &label);
    append(slot, control);
}

fn as_number_field(control: &Element, min: Option<f64>, max: Option<f64>) {
    set(control, "type", "number");
    set(control, "step", "any");
    for (name, end) in [("min", min), ("max", max)] {
        if let Some(end) = end {
            set(control, name, &end.to_string());
        }
    }
}

fn offer(app: &App, select: &Element, id: &str, title: &str) {
    let option = dom::make(&app.document, "option", "", title);
    set(&option, "value", id);
    append(select, &option);
}

/// The amount behind a field's word.
fn amount_of(field: &Field, word: &str) -> Option<Amount> {
    field.words().iter().find(|known| known.id == word)?.amount
}

fn value_of(control: &Element) -> String {
    match (control.dyn_ref::<HtmlInputElement>(), control.dyn_ref::<HtmlSelectElement>()) {
        (Some(input), _) => input.value(),
        (_, Some(select)) => select.value(),
        _ => String::new(),
    }
}

/// Sets a control that the user is not in.
fn put(control: &Element, text: &str) {
    if let Some(select) = control.dyn_ref::<HtmlSelectElement>() {
        select.set_value(text);
    } else if let Some(input) = control.dyn_ref::<HtmlInputElement>() {
        let active = input.owner_document().and_then(|document| document.active_element());
        if active.as_ref() != Some(control) && input.value() != text {
            input.set_value(text);
        }
    }
}

fn method_of(recipe: &Recipe) -> &'static Method {
    methods::find(&recipe.method).unwrap_or(&methods::METHODS[0])
}

/// Shows the recipe in every control.
pub fn sync(app: &App) {
    app.state.borrow_mut().unread = None;
    show_fields(app);
    show_settings(app);
    show_importance(app);
}

/// Shows every field's text, and what it means beside the others; what is not understood stays in its field.
fn show_fields(app: &App) {
    let (recipe, unread) = {
        let state = app.state.borrow();
        (state.recipe.clone(), state.unread.as_ref().map(|problem| problem.field.clone()))
    };
    for field in FIELDS {
        let (Some(control), Some(slot)) = (control(app, field, ""), slot(app, "key", field.key)) else {
            continue;
        };
        let standing = (field.standing)(&recipe);
        let _ = control.toggle_attribute_with_force("disabled", standing == Standing::Fixed);
        show(&slot, standing != Standing::Absent);
        if let Some(hint) = self::control(app, field, "-hint").and_then(|hint| hint.dyn_into().ok()) {
            show(&hint, standing != Standing::Absent);
        }
        let text = (field.print)(&recipe);
        let amount_slot = self::slot(app, "amount", field.key);
        let (word, number) = text.split_once(':').filter(|_| amount_slot.is_some()).unwrap_or((&text, ""));
        let is_unread = unread.as_deref() == Some(field.key);
        if !is_unread {
            put(&control, word);
        }
        let Some(slot) = amount_slot else { continue };
        let amount = amount_of(field, &value_of(&control));
        show(&slot, amount.is_some());
        set_text(&part::<Element>(&slot, "label"), amount.map_or("", |amount| amount.title));
        if !is_unread && let Some(control) = self::control(app, field, "-amount") {
            put(&control, number);
        }
    }
    let e = &app.elements;
    show(&e.importance_fields, recipe.importance.kind != ImportanceKind::None);
    let method = method_of(&recipe);
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

/// Shows the parameters of the method: in the fields that are there, so that a field keeps its user, or in new ones for another
/// method.
pub fn show_settings(app: &App) {
    let recipe = &app.state.borrow().recipe.clone();
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
    let field = dom::stamp(&app.elements.select_template);
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
    } else if let Some(field) = target.get_attribute("data-field").and_then(|key| fields::find(&key)) {
        chosen(app, field, target);
    }
    app.refresh();
}

/// Takes what a field says now into the recipe; what is not understood is kept apart until it is.
fn chosen(app: &Rc<App>, field: &Field, target: &Element) {
    let mut text = control(app, field, "").map(|control| value_of(&control)).unwrap_or_default();
    if let Some(amount) = amount_of(field, &text)
        && let Some(control) = control(app, field, "-amount")
    {
        if target.id() == field.key {
            put(&control, amount.first);
        }
        text = format!("{text}:{}", value_of(&control));
    }
    let before = app.state.borrow().recipe.clone();
    let mut recipe = before.clone();
    let read = recipe.set(field.key, &text);
    if field.key == fields::METHOD {
        recipe = recipe.fitted();
    }
    let is_read = read.is_ok();
    {
        let mut state = app.state.borrow_mut();
        if let Err(problem) = read {
            state.unread = Some(problem);
        } else {
            state.recipe = recipe.without_absent();
            // A field that means nothing any more keeps nothing from being solved.
            let recipe = state.recipe.clone();
            let is_open = |key: &str| {
                fields::find(key).is_some_and(|field| (field.standing)(&recipe) == Standing::Open)
            };
            state.unread.take_if(|problem| problem.field == field.key || !is_open(&problem.field));
            state.recipe_is_chosen = true;
        }
    }
    show_fields(app);
    if is_read && field.key == fields::METHOD {
        show_settings(app);
    }
    if app.state.borrow().recipe.importance != before.importance {
        files::importance_changed(app);
    }
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
    let text = value_of(target);
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

/// Makes a point of a curve the current recipe.
pub fn adopt(app: &Rc<App>, method: &str, parameter: &str, value: &Value) {
    {
        let mut state = app.state.borrow_mut();
        state.recipe = state.recipe.with_method(method).fitted();
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
fn control_of(app: &App, name: &str) -> Option<Element> {
    let Some(field) = fields::find(name) else {
        return children_with(&app.elements.recipe_form, &format!("#parameter-{name}"));
    };
    let amount = control(app, field, "-amount")
        .filter(|_| slot(app, "amount", name).is_some_and(|slot| !slot.hidden()));
    amount.or_else(|| control(app, field, ""))
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
