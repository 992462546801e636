//! What the model says: sentences, tables, charts, downloads.

use super::super::Panel;
use super::super::sections::{quoted, thousands};
use super::Model;
use crate::cost::{Bill, CostError, Energy, LayerBill, Quantity, Time, tornado};
use crate::plot::{self, Scale, Spans, Theme};
use crate::web::canvas;
use crate::web::colours::theme;
use crate::web::dom::{append, clear, fill_notes, make, on, set, set_text};
use plotters_canvas::CanvasBackend;
use std::rc::Rc;
use web_sys::{HtmlCanvasElement, HtmlElement};

/// Width of a saved chart in CSS pixels.
const CHART_WIDTH: u32 = 900;
/// Height of a row of a chart, and of its axis.
const ROW_HEIGHT: usize = 26;
const AXIS_HEIGHT: usize = 64;
/// What a saved chart has above its rows.
const HEADING_HEIGHT: usize = 90;
/// Narrower than this, in CSS pixels, bars have no figures behind them.
const NARROW: i32 = 560;
/// Rows of the chart of constants; the table has them all.
const MOST_ROWS: usize = 12;

impl Model {
    /// What follows from counts, formats and constants.
    fn reckon(&mut self) -> Result<(), CostError> {
        let Some(counts) = &self.counts else { return Ok(()) };
        let workload = &counts.workload;
        let name = format!("{}.qsz", self.stem);
        let stored = match &self.stored {
            Some(Ok(tensors)) => Some((name.as_str(), tensors.clone())),
            _ => None,
        };
        let designs = self.scenario.designs(stored)?;
        let constants = &self.scenario.constants;
        let bills: Result<Vec<Bill>, CostError> =
            designs.iter().map(|design| Bill::of(workload, design, constants)).collect();
        let bills = bills?;
        if self.designs.len() != designs.len() || self.of >= designs.len() {
            self.of = designs.len().saturating_sub(1);
        }
        let quantity = self.quantity.unwrap_or(Quantity::Energy);
        self.swings = match designs.get(self.of) {
            Some(design) => tornado(workload, design, constants, quantity)?,
            None => Vec::new(),
        };
        (self.designs, self.bills) = (designs, bills);
        Ok(())
    }

    /// What was counted and what is compared, in sentences.
    fn said(&self) -> Vec<String> {
        let Some(counts) = &self.counts else { return Vec::new() };
        let workload = &counts.workload;
        let mut said = vec![format!(
            "One inference: {} multiply-adds, {} operations on elements, {} weights, {} activations read and written.",
            thousands(workload.multiply_adds()),
            thousands(workload.element_operations()),
            thousands(workload.weights()),
            thousands(workload.activations())
        )];
        said.extend(counts.notes.iter().map(|note| as_sentence(note)));
        said.push(match &self.stored {
            None if self.made.is_none() => {
                "Compress the network to see what its compressed weights take, decoding among it.".to_owned()
            }
            None => "The compressed file is being read.".to_owned(),
            Some(Ok(_)) => format!(
                "{}.qsz: the compressed file last made; its bits and its decoding count, weight by weight.",
                self.stem
            ),
            Some(Err(reason)) => format!("The compressed file cannot stand beside: {reason}."),
        });
        let anchored = self.bills.iter().skip(3).find_map(|bill| Some((bill, bill.anchored?)));
        said.extend(anchored.map(|(bill, law)| {
            format!(
                "The unit alone, by Hill’s law: {} is {:.2} times faster with as much area and takes {:.2} times less energy than fp32.",
                bill.design, law.speedup, law.energy_saving
            )
        }));
        said
    }

    fn bill(&self) -> Option<&Bill> {
        self.bills.get(self.of)
    }
}

impl Panel {
    pub(super) fn connect_cost_results(self: &Rc<Self>) {
        let e = &self.cost.elements;
        let me = self.clone();
        on(&e.of, "change", move |_| {
            me.cost.model.borrow_mut().of = me.cost.elements.of.selected_index().max(0) as usize;
            me.reckon();
        });
        let me = self.clone();
        on(&e.quantity, "change", move |_| {
            let quantity = Quantity::from_id(&me.cost.elements.quantity.value());
            me.cost.model.borrow_mut().quantity = quantity;
            me.reckon();
        });
        let me = self.clone();
        on(&e.csv, "click", move |_| {
            let csv = Bill::csv(&me.cost.model.borrow().bills);
            me.download("cost.csv", csv.as_bytes());
        });
        let me = self.clone();
        on(&e.parts_svg, "click", move |_| {
            let chart = Spans::of_bills(&me.cost.model.borrow().bills);
            me.save_spans("cost-energy.svg", &chart, "energy of an inference");
        });
        let me = self.clone();
        on(&e.tornado_svg, "click", move |_| {
            let (chart, title) = {
                let model = me.cost.model.borrow();
                let quantity = model.quantity.unwrap_or(Quantity::Energy);
                (Spans::of_tornado(&model.swings, quantity), me.tornado_title())
            };
            me.save_spans("cost-constants.svg", &chart, &title);
        });
    }

    fn save_spans(&self, name: &str, chart: &Spans, what: &str) {
        let height = HEADING_HEIGHT + AXIS_HEIGHT + ROW_HEIGHT * chart.rows.len();
        let title = format!("{}, {what}, by a model", self.state.borrow().open.name);
        match plot::svg::spans(chart, &title, (CHART_WIDTH, height as u32), &Theme::light()) {
            Ok(svg) => self.download(name, svg.as_bytes()),
            Err(error) => self.say(&error.to_string()),
        }
    }

    fn tornado_title(&self) -> String {
        let model = self.cost.model.borrow();
        let quantity = model.quantity.unwrap_or(Quantity::Energy);
        let name = model.bill().map(|bill| bill.design.as_str()).unwrap_or_default();
        let base = model.swings.first().map(|swing| quantity.text(swing.base)).unwrap_or_default();
        format!("{}, {name}: {base}", quantity.title())
    }

    /// Reckons and shows what came of it; what cannot be reckoned with leaves what is there, and fields say why.
    pub(super) fn reckon(&self) {
        {
            let mut model = self.cost.model.borrow_mut();
            let name = self.state.borrow().open.name.clone();
            name.rsplit_once('.').map_or(&*name, |(stem, _)| stem).clone_into(&mut model.stem);
            if let Err(error) = model.reckon() {
                self.say(&error.to_string());
            }
        }
        self.sync();
        self.fill_cost();
        self.draw_cost();
    }

    fn fill_cost(&self) {
        let e = &self.cost.elements;
        let model = self.cost.model.borrow();
        fill_notes(&self.document, &e.said, &model.said());
        clear(&e.rows);
        for bill in &model.bills {
            append(&e.rows, &self.table_row(&bill.design, &bill.beside(&model.bills)));
        }
        clear(&e.of);
        for (at, bill) in model.bills.iter().enumerate() {
            let option = make(&self.document, "option", "", &bill.design);
            set(&option, "value", &at.to_string());
            append(&e.of, &option);
        }
        e.of.set_value(&model.of.to_string());
        clear(&e.layers_rows);
        clear(&e.layers_total);
        if let Some(bill) = model.bill() {
            for layer in &bill.layers {
                append(&e.layers_rows, &self.table_row(&layer.name, &layer_cells(layer)));
            }
            let sum = bill.layers.iter().fold(0, |sum: u64, layer| sum.saturating_add(layer.multiply_adds));
            let whole = part_cells("", sum, &bill.energy, &bill.time, bill.bound());
            append(&e.layers_total, &self.table_row("all layers", &whole));
        }
        let quantity = model.quantity.unwrap_or(Quantity::Energy);
        clear(&e.tornado_rows);
        for swing in &model.swings {
            let Some(constant) = swing.constant() else { continue };
            let own = format!("{} {}", model.scenario.constants.get(constant.key), constant.unit());
            let cells =
                [own.trim_end().to_owned(), quantity.text(swing.halved), quantity.text(swing.doubled)];
            append(&e.tornado_rows, &self.table_row(constant.title(), &cells));
        }
        let mut line = model.scenario.to_line();
        if line.is_empty() {
            // Something that says that the line counts.
            line = format!("cost.format={}", model.scenario.text("format"));
        }
        drop(model);
        let title = self.tornado_title();
        set_text(&e.tornado_title, &format!("Which constant moves it most? {}", as_sentence(&title)));
        let label = format!("{title}, every constant at half and at double; the table holds the same");
        set(&e.tornado_plot, "aria-label", &label);
        self.show_cost_command(&line);
    }

    /// The program's line that says the same.
    fn show_cost_command(&self, line: &str) {
        let network = self.network_name();
        let model = self.cost.model.borrow();
        let qsz = match model.stored {
            Some(Ok(_)) => format!(" --qsz {}", quoted(&format!("{}.qsz", model.stem))),
            _ => String::new(),
        };
        let command = format!("quantscope cost {} --recipe '{line}'{qsz}", quoted(&network));
        set_text(&self.cost.elements.command, &command);
    }

    /// Draws both charts.
    pub(in super::super) fn draw_cost(&self) {
        let model = self.cost.model.borrow();
        if model.bills.is_empty() {
            return;
        }
        let e = &self.cost.elements;
        self.draw_spans(&e.parts_plot, &e.parts_canvas, &Spans::of_bills(&model.bills));
        let mut chart = Spans::of_tornado(&model.swings, model.quantity.unwrap_or(Quantity::Energy));
        chart.rows.truncate(MOST_ROWS);
        if e.tornado_plot.client_width() < NARROW {
            // Bars need the room; the table has the figures.
            chart.rows.iter_mut().for_each(|row| row.label.clear());
        }
        self.draw_spans(&e.tornado_plot, &e.tornado_canvas, &chart);
    }

    fn draw_spans(&self, place: &HtmlElement, canvas: &HtmlCanvasElement, chart: &Spans) {
        let height = AXIS_HEIGHT + ROW_HEIGHT * chart.rows.len();
        let _ = place.style().set_property("height", &format!("{height}px"));
        let Some(sized) = canvas::fit(&self.window, canvas) else { return };
        sized.clear();
        if let Some(mut backend) = CanvasBackend::with_canvas_object(sized.canvas.clone()) {
            let theme = theme(&self.window, &self.document);
            // A chart that finds no room stays empty; the table is there.
            let _ = plot::spans(&mut backend, chart, &theme, Scale::new(sized.scale));
        }
    }
}

/// A note with a capital letter and a full stop.
fn as_sentence(note: &str) -> String {
    let mut letters = note.chars();
    let first = letters.next().into_iter().flat_map(char::to_uppercase);
    first.chain(letters).chain(['.']).collect()
}

fn layer_cells(layer: &LayerBill) -> Vec<String> {
    part_cells(&layer.operator, layer.multiply_adds, &layer.energy, &layer.time, layer.time.bound())
}

fn part_cells(operator: &str, multiply_adds: u64, energy: &Energy, time: &Time, bound: &str) -> Vec<String> {
    let text = |energy: f64| Quantity::Energy.text(energy);
    let energies = [
        energy.arithmetic(),
        energy.elements,
        energy.weights,
        energy.activations,
        energy.decode,
        energy.total(),
    ];
    let mut cells = vec![operator.to_owned(), thousands(multiply_adds)];
    cells.extend(energies.map(text));
    cells.extend([Quantity::Time.text(time.total), bound.to_owned()]);
    cells
}
