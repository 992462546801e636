//! What the open network takes by the hardware model: what is asked for, what was counted, what follows from both.
//!
//! ```text
//! elements   handles of index.html
//! fields     formats, batch, storage, technology, and every constant; what is wrong with one is said under it
//! results    bills, tables, charts, downloads
//! ```
//!
//! Operations are counted once, by a worker; everything else follows at once from counts, formats and constants.

mod elements;
mod fields;
mod results;

use super::super::jobs::{Answer, Job};
use super::{Panel, same};
use crate::cost::{Bill, Design, Quantity, Scenario, Stored, Swing};
use crate::engine;
use crate::network::counts::Counts;
use crate::network::stored::stored;
use crate::recipe::Recipe;
use crate::web::dom::{on, set, show};
use crate::web::pool::{Outcome, unexpected};
use elements::Elements;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;
use wasm_bindgen::JsCast;
use web_sys::{Blob, Document, HtmlInputElement};

/// The section of the panel.
pub struct Cost {
    pub elements: Elements,
    model: RefCell<Model>,
}

/// What is asked for, and what is known.
#[derive(Debug, Default)]
struct Model {
    scenario: Scenario,
    /// What was heard of it last, or told.
    line: String,
    /// What is wrong with fields, by their keys.
    wrong: BTreeMap<String, String>,
    counts: Option<Counts>,
    /// The compressed file last made, and how it stores tensors once that was read, or why it could not be.
    made: Option<Blob>,
    stored: Option<Result<BTreeMap<String, Stored>, String>>,
    designs: Vec<Design>,
    bills: Vec<Bill>,
    /// The design whose layers and constants are shown.
    of: usize,
    quantity: Option<Quantity>,
    swings: Vec<Swing>,
    /// The open file's name, without what is behind its last point.
    stem: String,
}

impl std::fmt::Debug for Cost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cost").finish_non_exhaustive()
    }
}

impl Cost {
    /// The section's elements, nothing counted yet.
    pub fn find(document: &Document) -> Self {
        Self { elements: Elements::find(document), model: RefCell::default() }
    }

    /// Forgets what was counted of a network.
    pub fn forget(&self) {
        let mut model = self.model.borrow_mut();
        (model.counts, model.stored) = (None, None);
        (model.designs, model.bills, model.of) = (Vec::new(), Vec::new(), 0);
    }
}

impl Panel {
    pub(super) fn connect_cost(self: &Rc<Self>) {
        let me = self.clone();
        on(&self.cost.elements.count, "click", move |_| {
            me.start("Counting the network’s operations", Self::count);
        });
        self.connect_cost_fields();
        self.connect_cost_results();
        self.fill_cost_fields();
    }

    /// Hears what the page's recipe or link says, and what was compressed.
    pub(super) fn hear_cost(self: &Rc<Self>, line: &str, made: Option<Blob>) {
        let is_other = self.cost.model.borrow().line != line;
        if is_other {
            self.take_line(line);
        }
        let is_new = !same(self.cost.model.borrow().made.as_ref(), made.as_ref());
        if is_new {
            let mut model = self.cost.model.borrow_mut();
            (model.made, model.stored) = (made, None);
        }
        if is_other || is_new {
            self.read_made();
            self.reckon();
        }
    }

    /// Shows what can be done.
    pub(super) fn sync_cost(&self, is_network: bool, is_busy: bool) {
        let e = &self.cost.elements;
        show(&e.section, is_network);
        e.count.set_disabled(is_busy);
        let model = self.cost.model.borrow();
        show(&e.count, model.counts.is_none());
        show(&e.results, !model.bills.is_empty());
        let is_stale = !model.bills.is_empty() && !model.wrong.is_empty();
        set(&e.section, "data-stale", if is_stale { "true" } else { "false" });
        show(&e.stale, is_stale);
    }

    async fn count(me: Rc<Self>) -> Outcome<()> {
        let (open, network) = {
            let state = me.state.borrow();
            (state.open.clone(), state.network.clone())
        };
        let (network, parts) = match (network, open.file) {
            (Some(chosen), _) => (chosen.bytes, chosen.parts),
            (None, Some(file)) => (me.read(&file).await?, open.parts),
            (None, None) => return Err("Open a network first.".to_owned().into()),
        };
        let Answer::Counted(counts) = me.answer(me.pool.run(Job::Count { network, parts })).await? else {
            return Err(unexpected());
        };
        me.cost.model.borrow_mut().counts = Some(counts);
        me.read_made();
        me.reckon();
        Ok(())
    }

    /// Reads how the compressed file stores tensors, where there is one that was not read yet.
    fn read_made(self: &Rc<Self>) {
        let made = {
            let model = self.cost.model.borrow();
            let is_due = model.counts.is_some() && model.stored.is_none();
            model.made.clone().filter(|_| is_due)
        };
        let Some(made) = made else { return };
        let me = self.clone();
        wasm_bindgen_futures::spawn_local(async move {
            let Ok(bytes) = super::super::read(&made).await else { return };
            {
                let mut model = me.cost.model.borrow_mut();
                if !same(model.made.as_ref(), Some(&made)) {
                    return;
                }
                let Some(counts) = &model.counts else { return };
                let reader = engine::open_container(&bytes).map_err(|error| error.to_string());
                let found = reader
                    .and_then(|reader| stored(&reader, &counts.workload).map_err(|error| error.to_string()));
                model.stored = Some(found.and_then(|tensors| {
                    let none = "it has none of the network’s tensors".to_owned();
                    if tensors.is_empty() { Err(none) } else { Ok(tensors) }
                }));
            }
            me.reckon();
        });
    }

    /// Takes what a link or a recipe says; what is wrong with it is said under its field.
    fn take_line(self: &Rc<Self>, line: &str) {
        let said = Recipe { cost: line.to_owned(), ..Recipe::default() };
        let mut typed = Vec::new();
        {
            let mut model = self.cost.model.borrow_mut();
            (model.scenario, model.line) = (Scenario::default(), line.to_owned());
            model.wrong.clear();
            for (id, value) in said.cost_pairs() {
                if let Err(error) = model.scenario.set(id, &value) {
                    model.wrong.insert(id.to_owned(), fields::sentence(&error));
                    typed.push((id.to_owned(), value));
                }
            }
        }
        for (id, value) in typed {
            let field = self.document.get_element_by_id(&format!("cost-{id}"));
            match field.and_then(|field| field.dyn_into::<HtmlInputElement>().ok()) {
                Some(field) => field.set_value(&value),
                None => self
                    .say(&format!("The link says what the hardware model does not know: cost.{id}={value}")),
            }
        }
        self.fill_cost_fields();
    }

    /// Tells the page what its link and recipe are to say.
    fn tell_cost(&self) {
        let line = {
            let mut model = self.cost.model.borrow_mut();
            let mut recipe = Recipe::default();
            recipe.set_scenario(&model.scenario);
            model.line.clone_from(&recipe.cost);
            recipe.cost
        };
        self.dispatch("accuracy-cost", &line.into());
    }
}
