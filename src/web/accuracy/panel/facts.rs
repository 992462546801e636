//! What was measured, in words and numbers: facts of one run, a table of all, how the methods rank.

use super::state::{Origin, Run, measured, predicted};
use super::{Panel, interval, percent};
use crate::network::ranking::{Ranked, parting, ranking};
use crate::quantize::methods::METHODS;
use crate::web::dom::{append, clear, fact, make, set, set_text, show};

impl Panel {
    pub(super) fn show_facts(&self, at: usize) {
        let state = self.state.borrow();
        let Some(run) = state.runs.get(at) else { return };
        let list = &self.elements.facts;
        clear(list);
        let m = &run.measures;
        let fact = |term: &str, text: &str| fact(&self.document, list, term, text, "");
        if let Some(top1) = &m.top1 {
            fact("top-1", &format!("{} ({})", percent(top1), interval(top1)));
        }
        if let Some(top5) = &m.top5 {
            fact("top-5", &percent(top5));
        }
        let float = measured(&state.float, &Run::default(), state.data.as_ref());
        if let Some(top1) = &float.top1 {
            fact("float weights", &format!("{} ({})", percent(top1), interval(top1)));
            if let Some(beside) = m.float_top1().filter(|_| run.samples != state.float.samples) {
                fact("float weights on the same samples", &format!("{:.2} %", 100.0 * beside));
            }
        }
        if let Some(loss) = m.loss {
            fact("loss, nats", &format!("{loss:.4}"));
        }
        if let Some(against) = &m.against {
            fact("agrees with float", &percent(&against.agreement));
            if let Some(p) = against.p_value {
                fact("answers lost, won", &format!("{}, {} (McNemar p = {p:.3})", against.lost, against.won));
            }
            if let Some(change) = against.loss_change {
                fact("loss change", &format!("{change:.5}"));
            }
            if let Some(predicted) = run.size.as_ref().and_then(predicted) {
                fact("predicted, ½ Σ h δ²", &format!("{predicted:.5}"));
            }
            fact("output SQNR", &format!("{:.2} dB", against.sqnr_db));
            fact("divergence, nats", &format!("{:.2e}", against.divergence));
            fact("expected acceptance", &format!("{:.2} %", 100.0 * against.acceptance));
        }
        if let Some(size) = &run.size {
            fact("file", &format!("{} bytes, ratio {:.2}", size.file_bytes, size.ratio));
        }
        fact("samples", &run.samples.to_string());
    }

    /// What the measured curves rank, and where they leave what was predicted.
    pub(super) fn fill_ranking(&self) {
        let state = self.state.borrow();
        let title = |id: &str| METHODS.iter().find(|method| method.id == id).map(|method| method.title);
        let ranked = |run: &Run| -> Option<(&'static str, f64, Option<f64>)> {
            let size = run.size.as_ref().filter(|_| run.origin == Origin::Curve && run.samples > 0)?;
            Some((title(&run.method)?, size.bits, predicted(size)))
        };
        let points: Vec<Ranked<'_>> = state
            .runs
            .iter()
            .filter_map(|run| {
                let (method, bits, predicted) = ranked(run)?;
                Some(Ranked { method, bits, measures: &run.measures, predicted })
            })
            .collect();
        let text = |sentence: Option<String>| sentence.unwrap_or_default();
        set_text(&self.elements.ranking, &text(ranking(&points)));
        let place = &self.elements.parting;
        let warning = text(parting(&points));
        set_text(place, &warning);
        show(place, !warning.is_empty());
    }

    fn rows(&self) -> Vec<Vec<String>> {
        let groups = self.grouped();
        let state = self.state.borrow();
        let mut rows = Vec::new();
        for group in &groups {
            for run in group.runs.iter().filter_map(|index| state.runs.get(*index)) {
                let Some(size) = &run.size else { continue };
                let against = run.measures.against.as_ref();
                let number = |x: Option<f64>| x.map_or_else(|| "–".to_owned(), |x| format!("{x:.5}"));
                rows.push(vec![
                    group.title.clone(),
                    format!("{:.4}", size.bits),
                    format!("{:.2}", size.ratio),
                    size.file_bytes.to_string(),
                    run.measures.top1.as_ref().map_or_else(|| "–".to_owned(), percent),
                    run.measures.top1.as_ref().map_or_else(|| "–".to_owned(), interval),
                    against.map_or_else(String::new, |a| percent(&a.agreement)),
                    number(against.and_then(|a| a.loss_change)),
                    number(predicted(size)),
                    run.samples.to_string(),
                    number(against.map(|a| a.divergence)),
                    number(against.map(|a| a.acceptance)),
                    size.recipe.clone(),
                ]);
            }
        }
        rows
    }

    pub(super) fn fill_table(&self) {
        let body = &self.elements.rows;
        clear(body);
        for cells in self.rows() {
            let row = make(&self.document, "tr", "", "");
            for (index, cell) in cells.iter().enumerate().take(10) {
                let cell = make(
                    &self.document,
                    if index == 0 { "th" } else { "td" },
                    if index == 0 { "" } else { "num" },
                    cell,
                );
                if index == 0 {
                    set(&cell, "scope", "row");
                }
                append(&row, &cell);
            }
            append(body, &row);
        }
    }

    pub(super) fn save_table(&self) {
        let mut text =
            "method,bits_per_weight,ratio,file_bytes,top1,top1_interval,agreement,loss_change,predicted_loss_change,samples,divergence,acceptance,recipe\n".to_owned();
        for row in self.rows() {
            let quoted: Vec<String> =
                row.iter().map(|cell| format!("\"{}\"", cell.replace('"', "\"\""))).collect();
            text.push_str(&quoted.join(","));
            text.push('\n');
        }
        self.download("accuracy.csv", text.as_bytes());
    }
}
