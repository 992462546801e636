//! The fields: formats, batch, storage, technology, and every constant with its source.

use super::super::Panel;
use crate::cost::{CONSTANTS, Constants, CostError, PREFIX, Technology};
use crate::web::dom::{append, clear, make, on, set, set_text, show};
use std::rc::Rc;
use wasm_bindgen::JsCast;
use web_sys::{HtmlElement, HtmlInputElement, HtmlSelectElement};

impl Panel {
    /// Fields that are typed, by their keys, with the places of their sentences.
    fn cost_inputs(&self) -> [(&'static str, &HtmlInputElement, &HtmlElement); 4] {
        let e = &self.cost.elements;
        [
            ("format", &e.format, &e.format_error),
            ("activations", &e.activations, &e.activations_error),
            ("accumulator", &e.accumulator, &e.accumulator_error),
            ("batch", &e.batch, &e.batch_error),
        ]
    }

    fn cost_selects(&self) -> [(&'static str, &HtmlSelectElement); 2] {
        let e = &self.cost.elements;
        [("technology", &e.technology), ("storage", &e.storage)]
    }

    pub(super) fn connect_cost_fields(self: &Rc<Self>) {
        self.build_constants();
        for (id, input, place) in self.cost_inputs() {
            let (me, field, place) = (self.clone(), input.clone(), place.clone());
            on(input, "input", move |_| me.take_field(id, &field, &place));
        }
        for (id, select) in self.cost_selects() {
            let (me, field) = (self.clone(), select.clone());
            on(select, "change", move |_| {
                // The page's own words are taken.
                let _ = me.cost.model.borrow_mut().scenario.set(id, &field.value());
                me.fill_cost_fields();
                me.tell_cost();
                me.reckon();
            });
        }
        let me = self.clone();
        on(&self.cost.elements.reset, "click", move |_| {
            {
                let mut model = me.cost.model.borrow_mut();
                let technology = model.scenario.constants.technology();
                model.scenario.constants = Constants::of(technology);
                model.wrong.retain(|id, _| !CONSTANTS.iter().any(|constant| constant.id == id));
            }
            me.fill_cost_fields();
            me.tell_cost();
            me.reckon();
        });
    }

    /// Takes what was typed, or says under the field what is wrong with it.
    fn take_field(self: &Rc<Self>, id: &'static str, field: &HtmlInputElement, place: &HtmlElement) {
        let error = {
            let model = &mut *self.cost.model.borrow_mut();
            match model.scenario.set(id, field.value().trim()) {
                Ok(()) => {
                    model.wrong.remove(id);
                    None
                }
                Err(error) => {
                    let sentence = sentence(&error);
                    model.wrong.insert(id.to_owned(), sentence.clone());
                    Some(sentence)
                }
            }
        };
        say_under(field, place, error.as_deref());
        if error.is_none() {
            self.tell_cost();
        }
        self.reckon();
        self.mark_constants();
    }

    /// Builds a row for every constant.
    fn build_constants(self: &Rc<Self>) {
        let e = &self.cost.elements;
        clear(&e.constants_rows);
        for constant in CONSTANTS {
            let row = make(&self.document, "tr", "", "");
            let head = make(&self.document, "th", "", constant.title());
            set(&head, "scope", "row");
            append(&row, &head);
            let cell = make(&self.document, "td", "num", "");
            let place = make(&self.document, "p", "field-error", "");
            place.set_id(&format!("cost-{}-error", constant.id));
            let field = make(&self.document, "input", "", "");
            field.set_id(&format!("cost-{}", constant.id));
            let label = format!("{}, {}", constant.title(), constant.unit());
            for (name, value) in [
                ("type", "text"),
                ("inputmode", "decimal"),
                ("autocomplete", "off"),
                ("aria-label", label.trim_end_matches([',', ' '])),
                ("aria-describedby", &format!("cost-{}-error", constant.id)),
            ] {
                set(&field, name, value);
            }
            append(&cell, &field);
            append(&cell, &place);
            append(&row, &cell);
            append(&row, &make(&self.document, "td", "", constant.unit()));
            let defaults = Technology::ALL.map(|technology| constant.default(technology).to_string());
            for default in defaults {
                append(&row, &make(&self.document, "td", "num", &default));
            }
            append(&row, &make(&self.document, "td", "", constant.source()));
            append(&e.constants_rows, &row);
            if let (Ok(field), Ok(place)) =
                (field.dyn_into::<HtmlInputElement>(), place.dyn_into::<HtmlElement>())
            {
                show(&place, false);
                let (me, input) = (self.clone(), field.clone());
                on(&field, "input", move |_| me.take_field(constant.id, &input, &place));
            }
        }
    }

    /// The field of a constant and the place of its sentence.
    fn constant_field(&self, id: &str) -> Option<(HtmlInputElement, HtmlElement)> {
        let find = |id: String| self.document.get_element_by_id(&id);
        let field = find(format!("cost-{id}"))?.dyn_into().ok()?;
        Some((field, find(format!("cost-{id}-error"))?.dyn_into().ok()?))
    }

    /// Writes what is asked for into every field that is not wrong.
    pub(super) fn fill_cost_fields(&self) {
        {
            let model = self.cost.model.borrow();
            for (id, select) in self.cost_selects() {
                select.set_value(&model.scenario.text(id));
            }
            let fill = |id: &str, field: &HtmlInputElement, place: &HtmlElement, text: &str| {
                let wrong = model.wrong.get(id).map(String::as_str);
                if wrong.is_none() && field.value() != text {
                    field.set_value(text);
                }
                say_under(field, place, wrong);
            };
            for (id, field, place) in self.cost_inputs() {
                fill(id, field, place, &model.scenario.text(id));
            }
            for constant in CONSTANTS {
                if let Some((field, place)) = self.constant_field(constant.id) {
                    let text = model.scenario.constants.get(constant.key).to_string();
                    fill(constant.id, &field, &place, &text);
                }
            }
        }
        self.mark_constants();
    }

    /// Marks constants that are not what they are where nothing is said.
    fn mark_constants(&self) {
        let e = &self.cost.elements;
        let model = self.cost.model.borrow();
        let mut changed = 0;
        for constant in CONSTANTS {
            let is_own = !model.scenario.constants.is_default(constant);
            changed += usize::from(is_own);
            if let Some((field, _)) = self.constant_field(constant.id) {
                set(&field, "class", if is_own { "own" } else { "" });
            }
        }
        let text = format!("{} constants with their sources, {changed} changed", CONSTANTS.len());
        set_text(&e.constants_summary, &text);
        let is_wrong = CONSTANTS.iter().any(|constant| model.wrong.contains_key(constant.id));
        e.reset.set_disabled(changed == 0 && !is_wrong);
        if is_wrong {
            e.constants.set_open(true);
        }
    }
}

/// What is wrong with a field, without what stands before its key in lines.
pub(super) fn sentence(error: &CostError) -> String {
    let sentence = error.to_string();
    sentence.strip_prefix(PREFIX).unwrap_or(&sentence).to_owned()
}

/// Says under a field what is wrong with it, or nothing.
fn say_under(field: &HtmlInputElement, place: &HtmlElement, wrong: Option<&str>) {
    set(field, "aria-invalid", if wrong.is_some() { "true" } else { "false" });
    set_text(place, wrong.unwrap_or_default());
    show(place, wrong.is_some());
}
