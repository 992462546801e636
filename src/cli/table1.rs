//! Choi, El-Khamy and Lee 2017, Table 1: its first network's rows beside ours.
//!
//! The paper gives accuracy and ratio after pruning, quantization, Huffman coding and fine-tuning, all layers together, but
//! neither k nor step nor λ. What its ratios do say, beside that of the pruned network alone, is how many bits a kept weight's value takes. So each of our rows is the
//! setting whose Huffman-coded values come nearest to the paper's bits, and then at the paper's ratio: what it costs in real bytes, coded
//! the paper's way and ours, and what it does to the weights.

use super::{Failure, commands::Context, print};
use crate::recipe::Recipe;
use serde_json::json;
use std::path::Path;

/// The paper's rows: name, our method, whether by importance, ratio, value bits per kept weight as the ratio implies.
const ROWS: [(&str, &str, bool, f64, f64); 4] = [
    ("k-means", "kmeans", false, 44.58, 3.45),
    ("Hessian-weighted k-means", "kmeans", true, 47.16, 2.99),
    ("uniform", "uniform", true, 51.25, 2.36),
    ("iterative ECSQ", "ecsq", true, 49.01, 2.69),
];

/// Prints the table for the pruned network in `data`.
pub fn run(context: &Context, data: &Path) -> Result<(), Failure> {
    let model = data.join("lenet/lenet_pruned.safetensors");
    let hessian = data.join("lenet/lenet_pruned_hessian_diag_ggn.safetensors");
    let line = |method: &str, weighted: bool| {
        let importance = if weighted { "&importance=file" } else { "" };
        Recipe::from_line(&format!(
            "method={method}{importance}&prune=threshold:0&coder=huffman&positions=gaps"
        ))
        .map_err(crate::engine::EngineError::from)
    };
    let mut opened = context.open(&model, Some(&hessian), &line("uniform", true)?)?;
    let (mut cells, mut rows) = (Vec::new(), Vec::new());
    for (name, id, weighted, paper_ratio, paper_bits) in ROWS {
        let base = line(id, weighted)?;
        let sweep = opened.session.sweep(&base, &[id], 120)?;
        let kept = |p: &crate::engine::report::Point| p.weights - p.pruned;
        // Bits of values per kept weight: the formula's total without positions and codebook.
        let value_bits = |p: &crate::engine::report::Point| {
            let n = kept(p) as f64;
            let positions = crate::rate_distortion::entropy_bits(&[p.pruned, kept(p)]) * p.weights as f64;
            (p.weights as f64 * 32.0 / p.formula_ratio - positions - p.levels as f64 * 32.0) / n
        };
        let points = sweep.curves.into_iter().flat_map(|curve| curve.points);
        let nearest = points
            .min_by(|a, b| (value_bits(a) - paper_bits).abs().total_cmp(&(value_bits(b) - paper_bits).abs()));
        let Some(value) = nearest.and_then(|p| p.parameter) else { continue };
        let swept = crate::quantize::methods::find(id).map_or("k", |m| m.swept);
        let paper_way = base.with(swept, value.clone());
        let mut our_way = paper_way.clone();
        our_way.positions = crate::entropy::Positions::Symbols;
        our_way.coder = crate::entropy::Coder::Rans;
        let show = |what, done, total| context.bars.show(what, done, total);
        let (_, gaps, _) = opened.compress(&paper_way, std::io::sink(), &show)?;
        let (_, symbols, _) = opened.compress(&our_way, std::io::sink(), &show)?;
        context.bars.clear();
        cells.push(vec![
            name.to_owned(),
            format!("{paper_ratio:.2}"),
            format!("{swept}={value}"),
            gaps.point.levels.to_string(),
            format!("{:.2}", gaps.point.formula_ratio),
            format!("{:.2}", gaps.ratio),
            format!("{:.2}", symbols.ratio),
            format!("{:.2}", gaps.point.sqnr_db),
            format!("{:.2}", gaps.point.weighted_sqnr_db),
        ]);
        rows.push(json!({"method": name, "paper_ratio": paper_ratio, "gaps": gaps, "symbols": symbols}));
    }
    let header = [
        "LeNet pruned to 8.55 %",
        "paper",
        "ours",
        "levels",
        "formula",
        "real, gaps",
        "real, symbols",
        "SQNR dB",
        "weighted dB",
    ];
    context.say(&print::table(&header, &cells), &json!(rows))
}
