//! The recipe's form as panels find their way in it: the controls of its fields, and what is said at them.

use super::app::App;
use crate::quantize::SettingsError;
use crate::recipe::fields::{self, Field};
use crate::web::dom::{append, make, set, set_text, show};
use wasm_bindgen::JsCast;
use web_sys::{Element, HtmlElement, HtmlInputElement, HtmlSelectElement};

/// A field's place in the form, or that of the amount behind its word.
pub fn slot(app: &App, what: &str, key: &str) -> Option<HtmlElement> {
    first(&app.elements.recipe_form, &format!("[data-{what}='{key}']"))?.dyn_into().ok()
}

/// The control of a field, or of the amount behind its word.
pub fn control(app: &App, field: &Field, suffix: &str) -> Option<Element> {
    first(&app.elements.recipe_form, &format!("#{}{suffix}", field.key))
}

/// What a control says.
pub fn value_of(control: &Element) -> String {
    match (control.dyn_ref::<HtmlInputElement>(), control.dyn_ref::<HtmlSelectElement>()) {
        (Some(input), _) => input.value(),
        (_, Some(select)) => select.value(),
        _ => String::new(),
    }
}

/// Sets a control that the user is not in.
pub fn put(control: &Element, text: &str) {
    if let Some(select) = control.dyn_ref::<HtmlSelectElement>() {
        select.set_value(text);
    } else if let Some(input) = control.dyn_ref::<HtmlInputElement>() {
        let active = input.owner_document().and_then(|document| document.active_element());
        if active.as_ref() != Some(control) && input.value() != text {
            input.set_value(text);
        }
    }
}

/// Shows at its field what keeps the recipe from being solved, or that nothing does; until it is mended nothing can be made of
/// it.
pub fn show_problem(app: &App, problem: Option<&SettingsError>) {
    let e = &app.elements;
    if let Some(field) = first(&e.recipe_form, "[aria-describedby='recipe-error']") {
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
        return first(&app.elements.recipe_form, &format!("#parameter-{name}"));
    };
    let amount = control(app, field, "-amount")
        .filter(|_| slot(app, "amount", name).is_some_and(|slot| !slot.hidden()));
    amount.or_else(|| control(app, field, ""))
}

fn first(form: &Element, selector: &str) -> Option<Element> {
    form.query_selector(selector).ok().flatten()
}

/// Takes the user to the field that has an error, if one has.
pub fn go_to_problem(app: &App) {
    let field = first(&app.elements.recipe_form, "[aria-describedby='recipe-error']");
    if let Some(field) = field.and_then(|field| field.dyn_into::<HtmlElement>().ok()) {
        let _ = field.focus();
    }
}

/// Shows what keeps the recipe from being solved, in a sentence; an empty one takes it away.
pub fn show_error(app: &App, sentence: &str) {
    set_text(&app.elements.recipe_error, sentence);
    show(&app.elements.recipe_error, !sentence.is_empty());
}

/// Adds an option to a choice.
pub fn offer(app: &App, select: &Element, id: &str, title: &str) {
    let option = make(&app.document, "option", "", title);
    set(&option, "value", id);
    append(select, &option);
}
