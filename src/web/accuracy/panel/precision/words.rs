//! The formats in words: sentences of what was found, details of one, the table, the downloads.

use super::super::sections::{quoted, thousands};
use super::super::{Panel, interval, percent};
use super::{Results, Wish};
use crate::network::emulate::TensorFormat;
use crate::network::precision::{Candidate, Fate, Parts, csv};
use crate::order::{ascending, key_f64};
use crate::plot::{self, Theme};
use crate::web::dom::{append, children, clear, fact, fill_notes, get, make, on, set, set_text, show};
use std::fmt::Write as _;
use std::rc::Rc;
use wasm_bindgen::JsCast;
use wasm_bindgen_futures::JsFuture;
use web_sys::{Clipboard, Element, Event};

/// Width of a saved map in CSS pixels.
const MAP_WIDTH: u32 = 720;

/// What stands for a format's name in a command: no file's name has it.
const NAME: char = '\0';

/// What became of a format, in words.
const fn fate(fate: Fate) -> &'static str {
    match fate {
        Fate::Racing => "not decided",
        Fate::Dropped => "dropped early",
        Fate::Holds => "reaches the target",
        Fate::Misses => "misses the target",
    }
}

/// A share of all numbers that were rounded, in per cent.
fn of_rounded(candidate: &Candidate, count: u64) -> f64 {
    100.0 * count as f64 / candidate.heard.rounded.max(1) as f64
}

impl Results {
    /// A format's figures.
    pub(super) fn sentence(&self, at: usize) -> String {
        let Some(candidate) = self.candidates.get(at) else { return String::new() };
        let (heard, share) = (&candidate.heard, candidate.share());
        if candidate.seen == 0 {
            return format!("{}, {} bits: not measured yet.", candidate.name, candidate.bits);
        }
        format!(
            "{}, {} bits: {} right ({}) of {} samples, {:.1} % of float32’s; R² {:.4}, {:.2} % saturated, {:.2} % to zero; {}.",
            candidate.name,
            candidate.bits,
            percent(&share),
            interval(&share),
            candidate.seen,
            100.0 * candidate.kept(self.float_share()),
            heard.r2,
            of_rounded(candidate, heard.saturated),
            of_rounded(candidate, heard.underflowed),
            fate(candidate.fate)
        )
    }

    /// What float32 does, and what each search found.
    fn said(&self) -> Vec<String> {
        let Some(target) = &self.target else { return Vec::new() };
        let (right, of) = self.float;
        let what = if self.has_labels { "right" } else { "in its own class, since there are no labels" };
        let mut said = vec![format!(
            "Float32 answers {right} of {of} {what}; a format that keeps {} of them answers {}.",
            self.settings.keep, target.right
        )];
        let name = |at: usize| self.candidates.get(at).map_or("", |candidate| candidate.name.as_str());
        let all = (self.candidates.len() * target.samples).max(1);
        for found in &self.found {
            let chosen = found.choice.and_then(|at| self.candidates.get(at));
            let choice = chosen.map_or_else(
                || "no format of these reaches the target".to_owned(),
                |candidate| {
                    let share = candidate.share();
                    format!("{}, {} bits, {} right", candidate.name, candidate.bits, percent(&share))
                },
            );
            let mut text = format!(
                "{}: {choice}, after {} runs of a sample ({:.1} % of all) in {:.1} s",
                found.title,
                thousands(found.runs as u64),
                100.0 * found.runs as f64 / all as f64,
                found.seconds
            );
            if let Some((at, share)) = found.foretold {
                let measured = self.candidates.get(at).map_or(0.0, |c| c.kept(self.float_share()));
                let steps: Vec<&str> = found.measured.iter().map(|at| name(*at)).collect();
                let _ = write!(
                    text,
                    "; it foretold {:.1} % of float32’s accuracy for {}, measured are {:.1} %, and went by {}",
                    100.0 * share,
                    name(at),
                    100.0 * measured,
                    steps.join(", ")
                );
                if self.found.len() > 1 {
                    text += "; its runs are those it would make alone, its time is what the exhaustive search left to run";
                }
            }
            said.push(text + ".");
        }
        said
    }

    /// The candidates in the order of the table.
    fn ordered(&self) -> Vec<usize> {
        let value = |candidate: &Candidate| match self.order.column.as_str() {
            "bits" => candidate.bits,
            "seen" => candidate.seen as f64,
            "right" => candidate.share().value(),
            "r2" => candidate.heard.r2,
            "saturated" => of_rounded(candidate, candidate.heard.saturated),
            "underflowed" => of_rounded(candidate, candidate.heard.underflowed),
            "fate" => f64::from(match candidate.fate {
                Fate::Holds => 3_u8,
                Fate::Racing => 2,
                Fate::Misses => 1,
                Fate::Dropped => 0,
            }),
            _ => 0.0,
        };
        let key = |candidate: &Candidate| {
            let key = key_f64(value(candidate));
            if self.order.is_descending { !key } else { key }
        };
        // Equal ones stay in the order of cost.
        ascending(self.candidates.iter().map(key)).collect()
    }
}

impl Panel {
    pub(super) fn connect_words(self: &Rc<Self>) {
        let e = &self.precision.elements;
        let me = self.clone();
        on(&e.details, "toggle", move |_| me.fill_formats());
        let closest = |event: &Event, selector: &str, attribute: &str| {
            let target = event.target().and_then(|target| target.dyn_into::<Element>().ok())?;
            target.closest(selector).ok().flatten()?.get_attribute(attribute)
        };
        let me = self.clone();
        on(&e.heading, "click", move |event| {
            if let Some(column) = closest(&event, "th[data-sort]", "data-sort") {
                me.sort_formats(&column);
            }
        });
        let me = self.clone();
        on(&e.rows, "click", move |event| {
            let at = closest(&event, "tr[data-at]", "data-at").and_then(|text| text.parse().ok());
            if let Some(at) = at {
                me.choose_format(at);
            }
        });
        let me = self.clone();
        on(&e.copy, "click", move |_| me.copy_command());
        let me = self.clone();
        on(&e.csv, "click", move |_| {
            let text = csv(&me.precision.results.borrow().candidates);
            me.download("formats.csv", text.as_bytes());
        });
        let me = self.clone();
        on(&e.svg, "click", move |_| me.save_map());
        let me = self.clone();
        on(&e.quantize, "click", move |_| {
            let recipe = {
                let results = me.precision.results.borrow();
                results.chosen.and_then(|at| results.formats.get(at)).map(TensorFormat::recipe)
            };
            if let Some(recipe) = recipe {
                me.dispatch("accuracy-recipe", &recipe.into());
            }
        });
    }

    fn save_map(&self) {
        let name = self.state.borrow().open.name.clone();
        let map = self.precision.results.borrow().map();
        let map = plot::PrecisionMap { chosen: None, ..map };
        let title = format!("{name} in number formats");
        match plot::svg::precision_map(&map, &title, MAP_WIDTH, &Theme::light()) {
            Ok(svg) => self.download("formats.svg", svg.as_bytes()),
            Err(error) => self.say(&error.to_string()),
        }
    }

    /// The program's line that measures a format, with [`NAME`] in the place of the format's.
    pub(super) fn command(&self, wish: &Wish) -> String {
        let network = self.network_name();
        let state = self.state.borrow();
        let data: Vec<String> = state.data_files.iter().map(|(name, _)| quoted(name)).collect();
        let mut line = format!("quantscope accuracy {} --data {}", quoted(&network), data.join(" "));
        if state.network.is_some() {
            let _ = write!(line, " --weights {}", quoted(&state.open.name));
        }
        let is_paper = wish.parts == Parts::PAPER;
        let flags: &[&str] = if is_paper { &["run-as"] } else { &["weights-as", "activations-as"] };
        flags.iter().fold(line, |line, flag| line + &format!(" --{flag} {NAME}"))
    }

    /// Shows a format's details, and puts the program's line for it on the clipboard.
    pub(super) fn choose_format(self: &Rc<Self>, at: usize) {
        self.precision.results.borrow_mut().chosen = Some(at);
        self.show_details();
        self.copy_command();
        self.paint_precision();
    }

    fn copy_command(&self) {
        let e = &self.precision.elements;
        let line = e.command.text_content().unwrap_or_default();
        let place = e.copied.clone();
        let navigator = self.window.navigator();
        // There is none where the page was not fetched safely.
        let clipboard = get(&navigator, "clipboard").dyn_into::<Clipboard>().ok();
        let promise = clipboard.map(|clipboard| clipboard.write_text(&line));
        wasm_bindgen_futures::spawn_local(async move {
            let is_copied = match promise {
                Some(promise) => JsFuture::from(promise).await.is_ok(),
                None => false,
            };
            let text =
                if is_copied { "The line is on the clipboard." } else { "Select the line to copy it." };
            set_text(&place, text);
        });
    }

    fn show_details(&self) {
        let e = &self.precision.elements;
        let results = self.precision.results.borrow();
        let chosen = results.chosen.and_then(|at| results.candidates.get(at));
        show(&e.detail, chosen.is_some());
        let Some(candidate) = chosen else { return };
        let (heard, share) = (&candidate.heard, candidate.share());
        clear(&e.facts);
        let rounded =
            |count: u64| format!("{count} of {}, {:.3} %", heard.rounded, of_rounded(candidate, count));
        let foretold = results.model.map(|model| format!("{:.1} %", 100.0 * model.predict(heard.r2)));
        let facts = [
            ("format", candidate.name.clone()),
            ("bits", candidate.bits.to_string()),
            ("samples seen", candidate.seen.to_string()),
            ("right", format!("{} ({})", percent(&share), interval(&share))),
            ("of float32’s accuracy", format!("{:.1} %", 100.0 * candidate.kept(results.float_share()))),
            ("foretold from R²", foretold.unwrap_or_default()),
            ("R²", format!("{:.6}", heard.r2)),
            ("saturated", rounded(heard.saturated)),
            ("to zero", rounded(heard.underflowed)),
            ("fate", fate(candidate.fate).to_owned()),
        ];
        for (term, text) in facts {
            fact(&self.document, &e.facts, term, &text, "");
        }
        if heard.blocks > 0 {
            let padding = heard.padding as f64 / (heard.rounded + heard.padding) as f64;
            let text = format!("{}, {:.1} % of their places empty", heard.blocks, 100.0 * padding);
            fact(&self.document, &e.facts, "blocks", &text, "");
        }
        if let Some(failure) = &heard.failure {
            fact(&self.document, &e.facts, "went wrong", failure, "wide");
        }
        let line = results.command.replace(NAME, &candidate.name);
        set_text(&e.command, &line);
    }

    /// Writes what is said of the searches, and of the chosen format.
    pub(super) fn fill_words(&self) {
        let said = self.precision.results.borrow().said();
        let place = &self.precision.elements.said;
        let before: Vec<String> =
            children(place).iter().map(|item| item.text_content().unwrap_or_default()).collect();
        if before != said {
            fill_notes(&self.document, place, &said);
        }
        self.show_details();
    }

    fn sort_formats(&self, column: &str) {
        {
            let order = &mut self.precision.results.borrow_mut().order;
            order.is_descending =
                if order.column == column { !order.is_descending } else { column != "bits" };
            column.clone_into(&mut order.column);
        }
        self.fill_formats();
    }

    /// Fills the table.
    pub(super) fn fill_formats(&self) {
        let e = &self.precision.elements;
        let results = self.precision.results.borrow();
        for heading in children(&e.heading) {
            if heading.get_attribute("data-sort").is_some_and(|column| column == results.order.column) {
                let word = if results.order.is_descending { "descending" } else { "ascending" };
                set(&heading, "aria-sort", word);
            } else {
                let _ = heading.remove_attribute("aria-sort");
            }
        }
        clear(&e.rows);
        for at in results.ordered() {
            let Some(candidate) = results.candidates.get(at) else { continue };
            let row = make(&self.document, "tr", "", "");
            set(&row, "data-at", &at.to_string());
            let head = make(&self.document, "th", "", "");
            set(&head, "scope", "row");
            let button = make(&self.document, "button", "quiet", &candidate.name);
            set(&button, "type", "button");
            append(&head, &button);
            append(&row, &head);
            for text in cells(candidate) {
                append(&row, &make(&self.document, "td", "num", &text));
            }
            append(&e.rows, &row);
        }
    }
}

/// A row's texts behind the format's name.
fn cells(candidate: &Candidate) -> [String; 8] {
    let (heard, share) = (&candidate.heard, candidate.share());
    let seen = |text: String| if candidate.seen == 0 { "–".to_owned() } else { text };
    [
        candidate.bits.to_string(),
        candidate.seen.to_string(),
        seen(format!("{:.2}", 100.0 * share.value())),
        seen(interval(&share)),
        seen(format!("{:.4}", heard.r2)),
        seen(format!("{:.3}", of_rounded(candidate, heard.saturated))),
        seen(format!("{:.3}", of_rounded(candidate, heard.underflowed))),
        fate(candidate.fate).to_owned(),
    ]
}
