//! The tensor table: sorted, filtered, a bounded number of rows in the document whatever the model's size.

use crate::engine::report::{Stats, TensorRow};
use crate::order::{ascending, by_name, key_f64};
use crate::recipe::{Recipe, matches};
use crate::role::Role;
use crate::web::dom::{append, children, clear, fill_notes, on, part, set, set_text, show, stamp};
use crate::web::page::app::{App, Change, Panel};
use crate::web::page::format;
use crate::web::page::state::State;
use std::cell::{Cell, RefCell};
use std::fmt::Write as _;
use wasm_bindgen::JsCast;
use web_sys::{Element, HtmlInputElement};

/// Rows shown at first, and added by "show more".
const PAGE_ROWS: usize = 100;
/// How many names a pattern may stand for when one of them is to be taken out of it.
const UNROLL_LIMIT: usize = 200;

/// The order of the table.
#[derive(Debug, Default, PartialEq)]
struct Order {
    /// The column; empty for the file's own order.
    column: String,
    /// Largest first.
    descending: bool,
}

/// The table.
#[derive(Debug, Default)]
pub struct Tensors {
    order: RefCell<Order>,
    /// Rows that are shown beyond the first [`PAGE_ROWS`].
    more: Cell<usize>,
    /// Which tensors it shows as quantized.
    selection: RefCell<String>,
}

impl Panel for Tensors {
    /// Connects filter, headings, check boxes and the button for more rows.
    fn connect(&'static self, app: &'static App) {
        let e = &app.elements;
        let me = self;
        on(&e.tensor_filter, "input", move |_| {
            me.more.set(0);
            me.fill(app);
        });
        let me = self;
        on(&e.tensor_more, "click", move |_| {
            me.more.set(me.more.get() + PAGE_ROWS);
            me.fill(app);
        });
        let me = self;
        on(&e.tensor_table, "click", move |event| {
            let heading = event
                .target()
                .and_then(|target| target.dyn_into::<Element>().ok())
                .and_then(|target| target.closest("th[data-sort]").ok().flatten())
                .and_then(|heading| heading.get_attribute("data-sort"));
            if let Some(column) = heading {
                me.reorder(column);
                me.fill(app);
            }
        });
        on(&e.tensor_rows, "change", move |event| {
            let Some(input) = event.target().and_then(|target| target.dyn_into::<HtmlInputElement>().ok())
            else {
                return;
            };
            if let Some(index) = input.get_attribute("data-tensor").and_then(|index| index.parse().ok()) {
                select(app, index, input.checked());
            }
        });
    }

    fn changed(&'static self, app: &'static App, what: Change) {
        if what == Change::File {
            app.elements.tensor_filter.set_value("");
            self.more.set(0);
        }
        if app.asks(what) {
            self.follow_selection(app, matches!(what, Change::File | Change::Reread));
        }
    }
}

impl Tensors {
    /// Fills the table again where the recipe's selection changed, or the tensors did.
    fn follow_selection(&self, app: &App, anew: bool) {
        let key = {
            let recipe = &app.state.borrow().wish.recipe;
            format!("{:?}{:?}{}", recipe.include, recipe.exclude, crate::recipe::roles_text(&recipe.roles))
        };
        if anew || *self.selection.borrow() != key {
            *self.selection.borrow_mut() = key;
            self.fill(app);
        }
    }

    fn reorder(&self, column: String) {
        // Numbers start with the largest; a third click returns to the file's order.
        let numeric = !matches!(column.as_str(), "name" | "dtype" | "shape" | "role");
        let mut order = self.order.borrow_mut();
        if order.column != column {
            *order = Order { column, descending: numeric };
        } else if order.descending == numeric {
            order.descending = !numeric;
        } else {
            *order = Order::default();
        }
    }

    /// Fills the table.
    fn fill(&self, app: &App) {
        let state = app.state.borrow();
        let e = &app.elements;
        let Some(file) = &state.file else { return };
        let (order, limit) = (self.order.borrow(), PAGE_ROWS + self.more.get());
        mark_order(app, &order);
        let filter = e.tensor_filter.value().to_ascii_lowercase();
        let mut indices: Vec<usize> = (0..file.rows.len())
            .filter(|i| {
                file.rows
                    .get(*i)
                    .is_some_and(|row| filter.is_empty() || row.name.to_ascii_lowercase().contains(&filter))
            })
            .collect();
        sort(&mut indices, &file.rows, &order);
        clear(&e.tensor_rows);
        let most = file.rows.iter().map(|row| row.share).fold(0.0, f64::max);
        let fragment = app.document.create_document_fragment();
        for index in indices.iter().take(limit) {
            if let Some(row) = file.rows.get(*index) {
                append(&fragment, &row_element(app, *index, row, most, &state.wish.recipe));
            }
        }
        append(&e.tensor_rows, &fragment);
        set_text(&e.tensor_count, &count_sentence(&state, indices.len()));
        show(&e.tensor_more, indices.len() > limit);
        fill_notes(&app.document, &e.model_notes, &file.opened.notes);
    }
}

fn count_sentence(state: &State, matching: usize) -> String {
    let Some(file) = &state.file else { return String::new() };
    let quantized = file.rows.iter().filter(|row| is_quantized(row, &state.wish.recipe)).count();
    let total = file.rows.len();
    let shown =
        if matching == total { String::new() } else { format!("{} match, ", format::count(matching as u64)) };
    let mut text =
        format!("{shown}{} of {} quantized", format::count(quantized as u64), format::count(total as u64));
    // What each role comes to, so that it is known before anything is compressed.
    for role in Role::ALL {
        let rows = file.rows.iter().filter(|row| row.role == role);
        let (all, now) = rows.fold((0u64, 0u64), |(all, now), row| {
            (all + 1, now + u64::from(is_quantized(row, &state.wish.recipe)))
        });
        if all > 0 {
            let _ = write!(text, " · {} {now}/{all}", role.id());
        }
    }
    text
}

fn is_float(row: &TensorRow) -> bool {
    row.stats.as_ref().is_some_and(|stats| stats.non_finite == 0 && stats.count > 0)
}

fn is_quantized(row: &TensorRow, recipe: &Recipe) -> bool {
    is_float(row) && row.same_as.is_none() && !row.is_kept_in(recipe) && recipe.selects(&row.name, row.role)
}

fn mark_order(app: &App, order: &Order) {
    let Some(headings) = app.elements.tensor_table.query_selector("thead tr").ok().flatten() else { return };
    for heading in children(&headings) {
        let column = heading.get_attribute("data-sort");
        if column.as_deref() == Some(order.column.as_str()) {
            set(&heading, "aria-sort", if order.descending { "descending" } else { "ascending" });
        } else {
            let _ = heading.remove_attribute("aria-sort");
        }
    }
}

fn sort(indices: &mut Vec<usize>, rows: &[TensorRow], order: &Order) {
    if order.column.is_empty() {
        return;
    }
    let number = |row: &TensorRow| {
        let stats = row.stats.as_ref();
        let of = |value: fn(&Stats) -> f64| stats.map_or(f64::NEG_INFINITY, value);
        match order.column.as_str() {
            "share" => row.share,
            "min" => of(|stats| f64::from(stats.min)),
            "max" => of(|stats| f64::from(stats.max)),
            "mean" => of(|stats| stats.mean),
            "std" => of(|stats| stats.std),
            _ => of(|stats| stats.zeros as f64 / stats.count.max(1) as f64),
        }
    };
    let text = |row: &TensorRow| match order.column.as_str() {
        "name" => Some(row.name.clone()),
        // Dimensions with leading zeros are ordered as numbers are.
        "shape" => {
            let mut text = String::new();
            for dimension in &row.shape {
                let _ = write!(text, "{dimension:020} ");
            }
            Some(text)
        }
        "dtype" => Some(row.dtype.clone()),
        "role" => Some(row.role.id().to_owned()),
        _ => None,
    };
    let listed: Vec<(usize, &TensorRow)> =
        indices.iter().filter_map(|index| Some((*index, rows.get(*index)?))).collect();
    let texts: Option<Vec<String>> = listed.iter().map(|(_, row)| text(row)).collect();
    let mut positions = match texts {
        Some(texts) => by_name(&texts.iter().map(String::as_str).collect::<Vec<_>>()),
        None => ascending(listed.iter().map(|(_, row)| key_f64(number(row)))).collect(),
    };
    if order.descending {
        positions.reverse();
    }
    *indices = positions.into_iter().filter_map(|position| Some(listed.get(position)?.0)).collect();
}

fn row_element(app: &App, index: usize, row: &TensorRow, most: f64, recipe: &Recipe) -> Element {
    let element = stamp(&app.elements.tensor_row_template);
    let quantized = is_quantized(row, recipe);
    let check: HtmlInputElement = part(&element, "input");
    check.set_checked(quantized);
    check.set_id(&format!("use-tensor-{index}"));
    set(&check, "data-tensor", &index.to_string());
    set(&check, "aria-label", &format!("Quantize {}", row.name));
    if let Some(reason) = reason_kept(row, recipe) {
        check.set_disabled(true);
        set(&check, "title", &reason);
    }
    element.set_class_name(if quantized { "" } else { "kept" });
    let cells = children(&element);
    let mut cells = cells.iter().skip(1);
    let mut text = |text: &str| {
        if let Some(cell) = cells.next() {
            cell.set_text_content(Some(text));
        }
    };
    text(&row.name);
    text(&format::shape(&row.shape));
    text(&row.dtype);
    text(row.role.id());
    let role: Element = part(&element, ".role");
    set(&role, "title", &row.reason);
    let share: Element = part(&element, ".share span");
    set_text(&share, &format::percent(row.share));
    let meter: Element = part(&element, "meter");
    set(&meter, "value", &(row.share / most.max(1e-12)).to_string());
    set(&meter, "aria-label", &format!("share of {}", row.name));
    let name: Element = part(&element, "th");
    set(&name, "title", &row.name);
    let path: Element = part(&element, ".mini path");
    set(&path, "d", &bars(&row.bins));
    for (cell, text) in children(&element).iter().skip(7).zip(statistics(row)) {
        set_text(cell, &text);
    }
    element
}

fn statistics(row: &TensorRow) -> [String; 5] {
    let Some(stats) = &row.stats else { return std::array::from_fn(|_| "–".to_owned()) };
    let digits = |x: f64| format::significant(x, 3);
    [
        digits(f64::from(stats.min)),
        digits(f64::from(stats.max)),
        digits(stats.mean),
        digits(stats.std),
        format::percent(stats.zeros as f64 / stats.count.max(1) as f64),
    ]
}

/// Why a tensor cannot be quantized whatever the patterns say.
fn reason_kept(row: &TensorRow, recipe: &Recipe) -> Option<String> {
    if let Some(same) = &row.same_as {
        return Some(format!("shares its weights with {same}"));
    }
    let Some(stats) = &row.stats else {
        return Some("kept as it is: not a floating-point tensor".to_owned());
    };
    if stats.non_finite > 0 {
        return Some(format!("kept as it is: {} values are NaN or infinite", stats.non_finite));
    }
    if stats.count == 0 {
        return Some("empty".to_owned());
    }
    row.kept.as_ref().filter(|_| row.is_kept_in(recipe)).map(|reason| format!("kept as it is: {reason}"))
}

/// A histogram as one path in a box of 96 × 20.
fn bars(bins: &[u64]) -> String {
    let highest = bins.iter().copied().max().unwrap_or(0).max(1) as f64;
    let width = 96.0 / bins.len().max(1) as f64;
    let mut path = String::new();
    for (i, count) in bins.iter().enumerate() {
        let height = if *count == 0 { 0.0 } else { (*count as f64 / highest * 20.0).max(0.6) };
        let _ = write!(path, "M{:.2} 20v-{height:.2}h{width:.2}v{height:.2}z", i as f64 * width);
    }
    path
}

/// A pattern that matches this name and little else: commas separate patterns, so they become `?`.
fn literal(name: &str) -> String {
    name.replace(',', "?")
}

/// Takes a tensor in or out by changing the recipe's patterns.
fn select(app: &'static App, index: usize, wanted: bool) {
    {
        let mut state = app.state.borrow_mut();
        let Some(rows) = state.file.as_ref().map(|file| file.rows.clone()) else { return };
        let Some(row) = rows.get(index) else { return };
        let recipe = &mut state.wish.recipe;
        if wanted {
            include(recipe, &row.name, &rows);
            if !recipe.selects(&row.name, row.role) {
                name_it(recipe, row, &rows);
            }
        } else if recipe.include.iter().any(|pattern| *pattern == literal(&row.name))
            && recipe.include.len() > 1
        {
            recipe.include.retain(|pattern| *pattern != literal(&row.name));
        }
        if !wanted && recipe.selects(&row.name, row.role) {
            recipe.exclude.push(literal(&row.name));
        }
        state.wish.is_chosen = true;
    }
    app.changed(Change::Recipe);
}

/// Names a tensor that its role leaves out beside those that are quantized now, or asks for its role where they are too many.
fn name_it(recipe: &mut Recipe, row: &TensorRow, rows: &[TensorRow]) {
    let quantized: Vec<String> =
        rows.iter().filter(|row| is_quantized(row, recipe)).map(|row| literal(&row.name)).collect();
    if quantized.len() < UNROLL_LIMIT {
        recipe.include = quantized;
        recipe.include.push(literal(&row.name));
    } else {
        recipe.roles.push(row.role);
    }
}

/// Patterns that exclude the name give way to the other names they stood for.
fn include(recipe: &mut Recipe, name: &str, rows: &[TensorRow]) {
    let mut exclude = Vec::new();
    for pattern in std::mem::take(&mut recipe.exclude) {
        if matches(&pattern, name) {
            let others =
                rows.iter().map(|row| &row.name).filter(|other| *other != name && matches(&pattern, other));
            exclude.extend(others.take(UNROLL_LIMIT).map(|other| literal(other)));
        } else {
            exclude.push(pattern);
        }
    }
    recipe.exclude = exclude;
    if !recipe.include.is_empty() && !recipe.include.iter().any(|pattern| matches(pattern, name)) {
        recipe.include.push(literal(name));
    }
}
