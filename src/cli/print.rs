//! Tables for a terminal, CSV and JSON.

use crate::engine::report::{Outcome, Point, TensorRow, TensorSensitivity, Verification};
use crate::engine::targets::{Target, Trial};
use crate::formats::{escaped, shown};
use crate::recipe::Recipe;
use std::fmt::Write as _;

/// Columns of text, right-aligned but for the first.
pub fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = header.iter().map(|h| h.chars().count()).collect();
    // A name may hold anything, and be of any length.
    let rows: Vec<Vec<String>> =
        rows.iter().map(|row| row.iter().map(|cell| shown(cell)).collect()).collect();
    for row in &rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |cells: &[String]| {
        let mut text = String::new();
        for (i, (cell, width)) in cells.iter().zip(&widths).enumerate() {
            let pad = " ".repeat(width.saturating_sub(cell.chars().count()));
            let _ = if i == 0 { write!(text, "{cell}{pad}") } else { write!(text, "  {pad}{cell}") };
        }
        text.trim_end().to_owned()
    };
    let header: Vec<String> = header.iter().map(|h| (*h).to_owned()).collect();
    std::iter::once(line(&header)).chain(rows.iter().map(|row| line(row))).collect::<Vec<_>>().join("\n")
}

/// The tensor table.
pub fn tensors(rows: &[TensorRow]) -> String {
    let cells: Vec<Vec<String>> = rows
        .iter()
        .map(|row| {
            let mut cells = vec![
                row.name.clone(),
                shape(&row.shape),
                row.dtype.clone(),
                row.role.id().to_owned(),
                row.elements.to_string(),
                format!("{:.2} %", row.share * 100.0),
            ];
            match (&row.stats, &row.same_as) {
                (_, Some(origin)) => cells.push(format!("same as {origin}")),
                (Some(stats), None) => {
                    cells.extend([stats.min, stats.max].map(|v| format!("{v:.5}")));
                    cells.extend([stats.mean, stats.std].map(|v| format!("{v:.5}")));
                    cells.push(format!("{:.2} %", stats.zeros as f64 / stats.count.max(1) as f64 * 100.0));
                    if stats.non_finite > 0 {
                        cells.push(format!("{} not finite", stats.non_finite));
                    }
                }
                (None, None) => {}
            }
            cells
        })
        .collect();
    table(
        &["tensor", "shape", "dtype", "role", "elements", "share", "min", "max", "mean", "std", "zeros"],
        &cells,
    )
}

/// The table of which layer hurts.
pub fn sensitivity(rows: &[TensorSensitivity]) -> String {
    let percent = |share: f64| format!("{:.2} %", share * 100.0);
    let some = |number: Option<f64>, places: usize| {
        number.map_or_else(|| "-".to_owned(), |number| format!("{number:.places$}"))
    };
    let cells: Vec<Vec<String>> = rows
        .iter()
        .map(|row| {
            vec![
                row.name.clone(),
                percent(row.error_share),
                percent(row.bit_share),
                percent(row.weight_share),
                format!("{:.3}", row.bits_per_weight),
                format!("{:.2}", row.sqnr_db),
                format!("{:.3}", row.importance),
                row.slope.map_or_else(|| "-".to_owned(), |slope| format!("{slope:.3e}")),
                some(row.slope_ratio, 2),
                some(row.db_per_kilobyte, 5),
            ]
        })
        .collect();
    let header = [
        "tensor",
        "distortion",
        "bits",
        "weights",
        "bits each",
        "SQNR dB",
        "importance",
        "slope",
        "× mean",
        "dB per kB",
    ];
    table(&header, &cells)
}

/// Dimensions as people write them.
pub fn shape(shape: &[u64]) -> String {
    if shape.is_empty() {
        return "scalar".to_owned();
    }
    shape.iter().map(u64::to_string).collect::<Vec<_>>().join("×")
}

/// One operating point, a line per figure.
pub fn point(point: &Point) -> String {
    if point.weights == 0 {
        return "quantized weights    0, every tensor is kept as it was".to_owned();
    }
    let mut lines = vec![
        format!("quantized weights    {} ({} pruned)", point.weights, point.pruned),
        format!("levels               {}", point.levels),
        format!("bits per weight      {:.4} (entropy {:.4})", point.bits, point.entropy_bits),
    ];
    if point.weighted_mse != point.mse {
        lines.push(format!("weighted SQNR        {:.2} dB", point.weighted_sqnr_db));
    }
    lines.push(format!("mean squared error   {:.4e}", point.mse));
    lines.join("\n")
}

/// What compressing gave: first what the file came to, over what is in it, then how each tensor came through.
pub fn outcome(
    outcome: &Outcome,
    verification: Option<&Verification>,
    running: Option<Vec<String>>,
) -> String {
    let size = if outcome.ratio >= 1.0 {
        format!("from {}: {:.2} times smaller", outcome.covered_bytes, outcome.ratio)
    } else {
        format!("from {}: not smaller", outcome.covered_bytes)
    };
    let mut lines = vec![format!("compressed file      {} bytes {size}", outcome.file_bytes)];
    if outcome.covered_bytes < outcome.source_bytes {
        lines.push(format!(
            "not in it            {} of the source's {} bytes, which stay in the source",
            outcome.source_bytes - outcome.covered_bytes,
            outcome.source_bytes
        ));
    }
    if let (count @ 1.., bytes) = outcome.others {
        let fate = if outcome.gives_back.is_empty() {
            "left out; without --weights-only they are held"
        } else {
            "held without loss; --weights-only leaves them out"
        };
        lines.push(format!("beside the weights   {count} tensors of other state, {bytes} bytes: {fate}"));
    }
    if let Some(quality) = &outcome.quality {
        lines.push(format!("SQNR, worst tensor   {:.2} dB ({})", quality.worst_db, shown(&quality.worst)));
        lines
            .push(format!("SQNR, median tensor  {:.2} dB of {} tensors", quality.median_db, quality.tensors));
        lines.push(format!("SQNR, all weights    {:.2} dB", outcome.point.sqnr_db));
        lines.extend(quality.warnings().into_iter().map(|warning| format!("WARNING: {warning}")));
    }
    lines.extend(running.unwrap_or_default());
    lines.push(String::new());
    lines.push(point(&outcome.point));
    if outcome.point.weights > 0 {
        lines.push(format!("paper's formula      {:.2}", outcome.point.formula_ratio));
    }
    if outcome.float32_ratio >= 1.0 {
        lines.push(format!(
            "against 32-bit       {:.2} times smaller than its {} bytes with 32-bit floats",
            outcome.float32_ratio, outcome.float32_bytes
        ));
    }
    lines.push(format!("recipe               {}", escaped(&outcome.recipe)));
    lines.push(format!("file hash            {}", outcome.file_hash));
    let mut text = format!("{}\n\n{}", lines.join("\n"), ledger(&outcome.ledger));
    if let Some(v) = verification {
        let _ = write!(text, "\n\n{}", verified(v));
    }
    for note in &outcome.notes {
        let _ = write!(text, "\nnote: {}", escaped(note));
    }
    text
}

/// A target with the trials made for it, as JSON.
pub fn target(target: Target, base: &Recipe, trials: &[Trial]) -> serde_json::Value {
    let rows = trials.iter().map(|trial| {
        let measured = &trial.measured;
        serde_json::json!({
            "recipe": trial.setting.recipe(base).to_line(),
            "file_bytes": measured.file_bytes,
            "bits": measured.bits,
            "sqnr_db": measured.sqnr_db,
            "weighted_sqnr_db": measured.weighted_sqnr_db,
            "met": target.is_met(measured),
        })
    });
    serde_json::json!({"kind": target.id(), "asked": target.to_string(), "trials": rows.collect::<Vec<_>>()})
}

/// The ledger: every bit of the file.
pub fn ledger(rows: &[(String, u64)]) -> String {
    let total: u64 = rows.iter().map(|(_, bits)| bits).sum();
    let mut cells: Vec<Vec<String>> = rows
        .iter()
        .map(|(what, bits)| {
            vec![
                what.clone(),
                bits.to_string(),
                format!("{:.2} %", *bits as f64 / total.max(1) as f64 * 100.0),
            ]
        })
        .collect();
    cells.push(vec!["the whole file".to_owned(), total.to_string(), "100.00 %".to_owned()]);
    table(&["ledger", "bits", "share"], &cells)
}

/// What a verification found.
pub fn verified(v: &Verification) -> String {
    if v.mismatches == 0 {
        format!(
            "verified: {} elements of {} tensors decoded, every one bit-identical to the quantizer's output; {}\n\
             decoded hash         {}",
            v.elements,
            v.tensors,
            v.error(),
            v.decoded_hash
        )
    } else {
        format!(
            "DIFFERENT: {} of {} elements differ from the quantizer's output, the first in {}",
            v.mismatches,
            v.elements,
            shown(v.first_mismatch.as_deref().unwrap_or("?"))
        )
    }
}
