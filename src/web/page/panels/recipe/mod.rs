//! The recipe's form: its fields come from the table of fields, the method's parameters from its row; index.html says where
//! they stand.

mod parameters;

use crate::recipe::fields::{self, Amount, FIELDS, Field, Standing, Values};
use crate::web::dom::{append, fill_notes, make, on, part, set, set_text, show};
use crate::web::page::app::{App, Change, Panel};
use crate::web::page::form::{control, offer, put, show_problem, slot, value_of};
use parameters::{method_of, show_settings};
use wasm_bindgen::JsCast;
use web_sys::Element;

/// The form.
#[derive(Debug)]
pub struct RecipeForm;

impl Panel for RecipeForm {
    /// Builds the fields and listens to every control.
    fn connect(&'static self, app: &'static App) {
        let e = &app.elements;
        for field in FIELDS {
            build(app, field);
        }
        on(&e.recipe_form, "submit", move |event| {
            event.prevent_default();
            app.changed(Change::Question);
        });
        on(&e.recipe_form, "input", move |event| {
            if let Some(target) = event.target().and_then(|target| target.dyn_into::<Element>().ok()) {
                edited(app, &target);
            }
        });
        // What changed while its user was in a field is shown once they have left it.
        on(&e.method_parameters, "focusout", move |_| {
            show_settings(app);
        });
        sync(app);
    }

    fn changed(&'static self, app: &'static App, what: Change) {
        match what {
            Change::File | Change::Reread | Change::Recipe | Change::Link => sync(app),
            Change::Importance | Change::ImportanceRefused => show_importance(app),
            Change::Step => show_settings(app),
            _ => {}
        }
        if app.asks(what) {
            let problem = app.state.borrow().problem();
            show_problem(app, problem.as_ref());
        }
    }
}

fn build(app: &App, field: &Field) {
    let Some(slot) = slot(app, "key", field.key) else { return };
    let words = field.words();
    let control = make(&app.document, if words.is_empty() { "input" } else { "select" }, "", "");
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
            let hint = make(&app.document, "p", "hint", &format!("{}.", field.summary));
            let id = format!("{}-hint", field.key);
            hint.set_id(&id);
            set(&control, "aria-describedby", &id);
            let _ = slot.after_with_node_1(&hint);
        }
    }
    furnish(app, &slot, &control, field, (field.key, field.title));
    if let Some(slot) = self::slot(app, "amount", field.key) {
        let control = make(&app.document, "input", "", "");
        as_number_field(&control, Some(0.0), None);
        furnish(app, &slot, &control, field, (&format!("{}-amount", field.key), ""));
    }
}

/// Puts a control with its label into its place.
fn furnish(app: &App, slot: &Element, control: &Element, field: &Field, (id, title): (&str, &str)) {
    let label = make(&app.document, "label", "", title);
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

/// The amount behind a field's word.
fn amount_of(field: &Field, word: &str) -> Option<Amount> {
    field.words().iter().find(|known| known.id == word)?.amount
}

/// Shows the recipe in every control.
fn sync(app: &App) {
    app.state.borrow_mut().wish.unread = None;
    show_fields(app);
    show_settings(app);
    show_importance(app);
}

/// Shows every field's text, and what it means beside the others; what is not understood stays in its field.
fn show_fields(app: &App) {
    let (recipe, unread) = {
        let state = app.state.borrow();
        (state.wish.recipe.clone(), state.wish.unread.as_ref().map(|problem| problem.field.clone()))
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
    show(&e.importance_fields, recipe.importance.source.is_some());
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
fn show_importance(app: &App) {
    let state = app.state.borrow();
    let name = state.wish.importance_file.as_ref().map(|(_, name)| name.as_str());
    set_text(&app.elements.importance_name, name.unwrap_or("Drop the importance file here"));
    let loaded = state.file.as_ref().and_then(|file| file.importance.as_ref());
    let notes = loaded.map(|loaded| loaded.notes.clone()).unwrap_or_default();
    fill_notes(&app.document, &app.elements.importance_notes, &notes);
}

/// Takes what the user did into the recipe.
fn edited(app: &'static App, target: &Element) {
    if target.id().starts_with("target-") {
        // A target is no part of the recipe.
        return;
    }
    let before = app.state.borrow().wish.recipe.importance.clone();
    if let Some(id) = target.get_attribute("data-slider") {
        parameters::slid(app, &id, target);
    } else if let Some(id) = target.get_attribute("data-parameter") {
        parameters::typed_in(app, &id, target);
    } else if let Some(field) = target.get_attribute("data-field").and_then(|key| fields::find(&key)) {
        chosen(app, field, target);
    }
    let is_weighed_otherwise = app.state.borrow().wish.recipe.importance != before;
    app.changed(if is_weighed_otherwise { Change::Importance } else { Change::Question });
}

/// Takes what a field says now into the recipe; what is not understood is kept apart until it is.
fn chosen(app: &App, field: &Field, target: &Element) {
    let mut text = control(app, field, "").map(|control| value_of(&control)).unwrap_or_default();
    if let Some(amount) = amount_of(field, &text)
        && let Some(control) = control(app, field, "-amount")
    {
        if target.id() == field.key {
            put(&control, amount.first);
        }
        text = format!("{text}:{}", value_of(&control));
    }
    let mut recipe = app.state.borrow().wish.recipe.clone();
    let read = recipe.set(field.key, &text);
    if field.key == fields::METHOD {
        recipe = recipe.fitted();
    }
    let is_read = read.is_ok();
    {
        let mut state = app.state.borrow_mut();
        if let Err(problem) = read {
            state.wish.unread = Some(problem);
        } else {
            state.wish.recipe = recipe.without_absent();
            // A field that means nothing any more keeps nothing from being solved.
            let recipe = state.wish.recipe.clone();
            let is_open = |key: &str| {
                fields::find(key).is_some_and(|field| (field.standing)(&recipe) == Standing::Open)
            };
            state.wish.unread.take_if(|problem| problem.field == field.key || !is_open(&problem.field));
            state.wish.is_chosen = true;
        }
    }
    show_fields(app);
    if is_read && field.key == fields::METHOD {
        show_settings(app);
    }
}
