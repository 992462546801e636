//! LeNet pruned, each method at the paper's bits per value.

use super::{Failure, Network, ROWS, Rows, jobs};
use quantscope::engine::EngineError;
use quantscope::engine::pipeline::Opened;
use quantscope::engine::report::{Outcome, Point};
use quantscope::entropy::{Coder, Positions};
use quantscope::network::measure::{Measures, percent};
use quantscope::quantize::{Value, methods};
use quantscope::rate_distortion::entropy_bits;
use quantscope::recipe::Recipe;
use serde_json::json;
use std::path::Path;

/// Points of a curve among which the nearest is looked for.
const POINTS: usize = 120;

/// The header of the table.
pub const HEADER: [&str; 10] = [
    "LeNet pruned to 8.55 %",
    "paper",
    "ours",
    "levels",
    "formula",
    "real, gaps",
    "real, symbols",
    "SQNR dB",
    "weighted dB",
    "top-1 %",
];

/// The table.
pub fn rows(data: &Path) -> Result<Rows, Failure> {
    let network = Network::lenet(data);
    let paths = &network.paths;
    let model = paths.weights.as_deref().unwrap_or(&paths.network);
    let quiet = |_, _, _| ();
    let mut opened =
        Opened::open(model, paths.importance.as_deref(), &line("uniform", true)?, jobs(), &quiet)?;
    let mut validation = network.validation()?;
    let mut rows = Rows::default();
    for (name, id, weighted, paper_ratio, paper_bits) in ROWS {
        eprintln!("LeNet pruned, {name}: at the paper's rate");
        let base = line(id, weighted)?;
        let points =
            opened.session.sweep(&base, &[id], POINTS)?.curves.into_iter().flat_map(|curve| curve.points);
        let far = |point: &Point| (value_bits(point) - paper_bits).abs();
        let nearest = points.min_by(|a, b| far(a).total_cmp(&far(b)));
        let Some(value) = nearest.and_then(|point| point.parameter) else { continue };
        let swept = methods::find(id).map_or("k", |method| method.swept);
        let paper_way = base.with(swept, value.clone());
        let our_way = Recipe { positions: Positions::Symbols, coder: Coder::Rans, ..paper_way.clone() };
        let (_, gaps, _) = opened.compress(&paper_way, std::io::sink(), &quiet)?;
        let (_, symbols, _) = opened.compress(&our_way, std::io::sink(), &quiet)?;
        let (_, measures) = validation.point(&our_way, &quiet)?;
        rows.cells.push(cells((name, paper_ratio), (swept, &value), (&gaps, &symbols), &measures));
        rows.json.push(json!({
            "method": name, "paper_ratio": paper_ratio, "gaps": gaps, "symbols": symbols, "measures": measures,
        }));
    }
    Ok(rows)
}

/// The paper's recipe with another method: all layers together, Huffman codes, gaps between the weights that pruning left.
fn line(method: &str, weighted: bool) -> Result<Recipe, EngineError> {
    let importance = if weighted { "&importance=file" } else { "" };
    Ok(Recipe::from_line(&format!(
        "method={method}{importance}&scope=all&roles=trained&prune=threshold:0&coder=huffman&positions=gaps"
    ))?)
}

/// Bits of values per kept weight: the formula's total without positions and codebook.
fn value_bits(point: &Point) -> f64 {
    let kept = point.weights - point.pruned;
    let positions = entropy_bits(&[point.pruned, kept]) * point.weights as f64;
    (point.weights as f64 * 32.0 / point.formula_ratio - positions - point.levels as f64 * 32.0) / kept as f64
}

fn cells(
    (name, paper_ratio): (&str, f64),
    (swept, value): (&str, &Value),
    (gaps, symbols): (&Outcome, &Outcome),
    measures: &Measures,
) -> Vec<String> {
    vec![
        name.to_owned(),
        format!("{paper_ratio:.2}"),
        format!("{swept}={value}"),
        gaps.point.levels.to_string(),
        format!("{:.2}", gaps.point.formula_ratio),
        format!("{:.2}", gaps.float32_ratio),
        format!("{:.2}", symbols.float32_ratio),
        format!("{:.2}", gaps.point.sqnr_db),
        format!("{:.2}", gaps.point.weighted_sqnr_db),
        measures.top1.as_ref().map(percent).unwrap_or_default(),
    ]
}
