//! What the engine tells: rows, points, curves and totals, ready for a table, a chart, CSV or JSON.

use super::quality::Quality;
use super::restore::Digest;
use crate::entropy::Coder;
use crate::quantize::{Scope, Value};
use crate::recipe::Recipe;
use crate::role::Role;
use serde::{Deserialize, Serialize};
use std::fmt::{Display, Write as _};

/// Tensors of fewer weights cost more for their step and tables than they save.
pub(super) const FEW: u64 = 32;

/// Statistics of one tensor's finite values.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Stats {
    /// Number of elements.
    pub count: u64,
    /// NaN and infinite elements; such a tensor is kept as it is.
    pub non_finite: u64,
    /// Elements equal to zero.
    pub zeros: u64,
    /// Smallest value (0 if there is none).
    pub min: f32,
    /// Largest value (0 if there is none).
    pub max: f32,
    /// Mean.
    pub mean: f64,
    /// Standard deviation.
    pub std: f64,
}

/// One row of the tensor table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TensorRow {
    /// Name as in the file.
    pub name: String,
    /// Dimensions, outermost first.
    pub shape: Vec<u64>,
    /// Element type's name.
    pub dtype: String,
    /// What its numbers do.
    pub role: Role,
    /// Why it has that role.
    pub reason: String,
    /// Number of elements.
    pub elements: u64,
    /// Part of all elements of the file, 0 to 1.
    pub share: f64,
    /// Name of the tensor this one is tied to.
    pub same_as: Option<String>,
    /// Statistics; absent for integer, boolean and complex tensors.
    pub stats: Option<Stats>,
    /// Why it is kept though a recipe asks for its role, unless a pattern names it.
    pub kept: Option<String>,
    /// Counts in equal bins from min to max; empty without statistics.
    pub bins: Vec<u64>,
}

impl TensorRow {
    /// Whether a recipe that asks for it keeps it all the same, for what it holds.
    pub fn is_kept_in(&self, recipe: &Recipe) -> bool {
        let is_grid = recipe.is_grid();
        // In a codebook of all, a few weights cost nothing of their own.
        let is_free = self.elements < FEW && recipe.scope == Scope::All && !is_grid;
        self.kept.is_some() && !recipe.includes(&self.name) && !is_free
    }
}

/// The weights' histogram with a solved codebook over it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Overlay {
    /// Left edge of the first bin.
    pub start: f64,
    /// Width of a bin.
    pub width: f64,
    /// Number of weights per bin; weights outside the bins are counted in the outermost ones.
    pub bins: Vec<f64>,
    /// Reconstruction values, ascending; a pruned group has 0 among them.
    pub levels: Vec<f32>,
    /// Number of weights per level.
    pub counts: Vec<u64>,
    /// Boundaries between levels; empty where a rule has none.
    pub thresholds: Vec<f32>,
    /// Whose weights these are.
    pub title: String,
    /// The operating point.
    pub point: Point,
    /// Whether its bits and errors were scaled by what a recipe like it took when it was tried, not by its own trial.
    pub hasty: bool,
}

/// One operating point: what a recipe costs and what it does to the weights.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Point {
    /// Value of the method's swept parameter.
    pub parameter: Option<Value>,
    /// Reconstruction values of the largest codebook.
    pub levels: u64,
    /// Quantized weights, pruned ones included.
    pub weights: u64,
    /// Pruned weights.
    pub pruned: u64,
    /// Order-0 entropy of the symbols, zeros among them, in bits per quantized weight.
    pub entropy_bits: f64,
    /// The rate with every coder whose bits counts tell, zeros as symbols, tables and codebooks included.
    pub rates: Vec<CoderRate>,
    /// Bits per quantized weight with the recipe's own coder and positions, tables and codebooks included.
    pub bits: f64,
    /// Mean squared error over the quantized weights.
    pub mse: f64,
    /// Mean importance-weighted squared error over the quantized weights, importance of mean 1.
    pub weighted_mse: f64,
    /// Signal-to-quantization-noise ratio 10·log10(Σw² / Σ(w−ŵ)²).
    pub sqnr_db: f64,
    /// The same with importance, 10·log10(Σhw² / Σh(w−ŵ)²).
    pub weighted_sqnr_db: f64,
    /// The least SQNR of a tensor by itself, in dB.
    pub worst_db: f64,
    /// The median over the tensors of their own SQNR, in dB.
    pub median_db: f64,
    /// Tensors that are lost or became nearly one value; see [`Quality`].
    pub broken: u64,
    /// Compression ratio by Choi et al. 2017, eq. (1) or (2) for fixed length, over the quantized weights, positions added.
    pub formula_ratio: f64,
    /// Predicted ratio of all tensors, floats as 32-bit ones, to the file's bytes, kept tensors at their own size.
    pub predicted_ratio: f64,
    /// Whether the solution is the proven optimum of its objective on the cells.
    pub optimal: bool,
    /// Whether the point was solved on a sample of the weights, or without the neighbours that its coder will see.
    pub preview: bool,
    /// By how many dB of SQNR (weighted where there is importance) the exact optimum is better: exact k-means with as many
    /// levels, or the exact entropy-constrained quantizer at the same entropy. In a sweep, where an optimum is known.
    pub gap_to_optimum_db: Option<f64>,
    /// By how many bits per weight the entropy is above the Shannon lower bound at the same (plain) mean squared error, for
    /// a memoryless source with the weights' histogram as density. In a sweep, where the weights have a density.
    pub gap_to_shannon_bits: Option<f64>,
}

/// Bits per quantized weight with one coder.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CoderRate {
    /// The coder.
    pub coder: Coder,
    /// Bits per quantized weight.
    pub bits: f64,
}

/// What a chart has as a point's rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rate {
    /// The recipe's own coder and positions, everything counted.
    Coded,
    /// The entropy of the symbols.
    Entropy,
    /// One of the coders whose bits counts tell.
    Coder(Coder),
}

/// The title of an axis of bits of the recipe's own coder.
const CODED_AXIS: &str = "bits per weight, tables and codebooks counted";

impl Rate {
    /// The rate of an id: `coded`, `entropy`, or a coder's.
    pub fn from_id(id: &str) -> Option<Self> {
        match id {
            "coded" => Some(Self::Coded),
            "entropy" => Some(Self::Entropy),
            _ => Coder::from_id(id).filter(|coder| coder.axis().is_some()).map(Self::Coder),
        }
    }

    /// The title of an axis.
    pub fn title(self) -> &'static str {
        match self {
            Self::Entropy => "bits per weight, entropy of the symbols",
            Self::Coded => CODED_AXIS,
            Self::Coder(coder) => coder.axis().unwrap_or(CODED_AXIS),
        }
    }
}

impl Point {
    /// Bits per weight as a chart has them; not a number where they are not known.
    pub fn rate(&self, rate: Rate) -> f64 {
        match rate {
            Rate::Coded => self.bits,
            Rate::Entropy => self.entropy_bits,
            Rate::Coder(coder) => {
                self.rates.iter().find(|rate| rate.coder == coder).map_or(f64::NAN, |rate| rate.bits)
            }
        }
    }
}

/// Operating points of one method, in order of its swept parameter.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Curve {
    /// The method's id.
    pub method: String,
    /// The method's name for people.
    pub title: String,
    /// The parameter that moves along the curve.
    pub parameter: String,
    /// The points.
    pub points: Vec<Point>,
}

/// One quantized tensor's part in what a recipe costs, and what a bit more would buy there.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct TensorSensitivity {
    /// Name as in the file.
    pub name: String,
    /// Number of weights.
    pub weights: u64,
    /// Part of the quantized weights, 0 to 1.
    pub weight_share: f64,
    /// Part of the bits of the symbols, 0 to 1.
    pub bit_share: f64,
    /// Part of the squared error, by importance where there is one, 0 to 1.
    pub error_share: f64,
    /// Entropy of its symbols with the recipe's code, in bits per weight; log2 of the levels with a fixed-length code.
    pub bits_per_weight: f64,
    /// The tensor's own SQNR in dB, by importance where there is one.
    pub sqnr_db: f64,
    /// Mean importance of its weights, against 1 for all quantized weights.
    pub importance: f64,
    /// −dD/dR of the tensor alone: decrease of the squared error (by importance) per bit spent on it. The same number is the
    /// decrease of the total mean error per bit per weight of all. `None` where its rate does not move.
    pub slope: Option<f64>,
    /// That slope over the mean one of all bits spent: above 1 the tensor deserves a finer step.
    pub slope_ratio: Option<f64>,
    /// By how many dB of the total SQNR the next 1000 bytes spent on this tensor raise it.
    pub db_per_kilobyte: Option<f64>,
}

/// The Shannon bound drawn beside the curves.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Bound {
    /// Name of the source it was fitted as.
    pub title: String,
    /// (bits per weight, SQNR in dB).
    pub points: Vec<(f64, f64)>,
}

/// A sweep: curves of several methods on the same weights, with the bounds beside them.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Sweep {
    /// One curve per method.
    pub curves: Vec<Curve>,
    /// Shannon lower bounds, for plain squared error.
    pub bounds: Vec<Bound>,
    /// Methods that could not be combined with the rest of the recipe, each with the reason.
    pub left_out: Vec<String>,
}

/// What compressing a file gave.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// The operating point as measured on every weight.
    pub point: Point,
    /// Size of the compressed file.
    pub file_bytes: u64,
    /// Size of the source file.
    pub source_bytes: u64,
    /// Float parameters of the model, tied weights once.
    pub parameters: u64,
    /// Bytes of the source that the compressed file holds: those of its tensors, with their headers where nothing is left out.
    pub covered_bytes: u64,
    /// Bytes of its tensors with every float as a 32-bit one.
    pub float32_bytes: u64,
    /// How many times smaller the file is than what it holds: `covered_bytes` over `file_bytes`.
    pub ratio: f64,
    /// How many times smaller it is than with 32-bit floats: `float32_bytes` over `file_bytes`.
    pub float32_ratio: f64,
    /// How the quantized tensors came through, each by itself; none where nothing is quantized.
    pub quality: Option<Quality>,
    /// The ledger: what each part of the file costs, in bits; the sum is the file.
    pub ledger: Vec<(String, u64)>,
    /// The recipe with everything filled in, in its one-line form.
    pub recipe: String,
    /// Content hash of the source, hexadecimal.
    pub source_hash: String,
    /// XXH3-128 of the compressed file, hexadecimal.
    pub file_hash: String,
    /// The files that decoding gives back, with their lengths; none where the file holds weights alone.
    pub gives_back: Vec<(String, u64)>,
    /// Tensors of other state than the weights, such as an optimizer's, and their bytes in the source.
    pub others: (u64, u64),
    /// What the user should know, a sentence each.
    pub notes: Vec<String>,
}

/// What decoding a compressed file and comparing it with the source gave.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Verification {
    /// Tensors decoded.
    pub tensors: u64,
    /// Elements decoded.
    pub elements: u64,
    /// Bytes of the file that are no tensor's, decoded.
    pub skeleton_bytes: u64,
    /// Elements whose decoded value differs from the quantizer's output on the source, bit by bit.
    pub mismatches: u64,
    /// The first tensor with such an element.
    pub first_mismatch: Option<String>,
    /// Σ (w − ŵ)² over the quantized weights, from the decoded values.
    pub squared_error: f64,
    /// 10·log10(Σw² / Σ(w−ŵ)²) over the quantized weights, from the decoded values.
    pub sqnr_db: f64,
    /// Largest |w − ŵ|.
    pub largest_error: f64,
    /// XXH3-128 of all decoded bytes in tensor order, hexadecimal.
    pub decoded_hash: String,
    /// What the files are that decoding gives back, where that was found out as well.
    pub gives_back: Vec<Digest>,
}

impl Verification {
    /// How far the decoded weights lie from the file's.
    pub fn error(&self) -> String {
        if self.squared_error == 0.0 {
            return "no error in any weight".to_owned();
        }
        format!("SQNR {:.2} dB, largest error {:.3e}", self.sqnr_db, self.largest_error)
    }
}

/// A sweep as CSV: a header, then a line per point; the program's output and the page's download are this text.
pub fn sweep_csv(sweep: &Sweep) -> String {
    let mut csv = String::new();
    let header =
        &mut |name: &str, unit: &str, _: &dyn Display| push_cell(&mut csv, &format_args!("{name}{unit}"));
    sweep_cells(&Curve::default(), &Point::default(), header);
    csv.push('\n');
    for curve in &sweep.curves {
        for point in &curve.points {
            sweep_cells(curve, point, &mut |_, _, cell| push_cell(&mut csv, cell));
            csv.push('\n');
        }
    }
    csv
}

/// Appends a cell, behind a comma unless it is the line's first.
fn push_cell(csv: &mut String, cell: &dyn Display) {
    let comma = if csv.is_empty() || csv.ends_with('\n') { "" } else { "," };
    let _ = write!(csv, "{comma}{cell}");
}

/// Gives each cell of a line: name, unit and value.
fn sweep_cells(curve: &Curve, p: &Point, put: &mut dyn FnMut(&str, &str, &dyn Display)) {
    let value = p.parameter.as_ref().map(ToString::to_string).unwrap_or_default();
    put("method", "", &curve.method);
    put("parameter", "", &curve.parameter);
    put("value", "", &value);
    put("levels", "", &p.levels);
    put("weights", "", &p.weights);
    put("pruned", "", &p.pruned);
    put("entropy", "_bits", &p.entropy_bits);
    for coder in Coder::by_counts() {
        put(coder.id(), "_bits", &p.rate(Rate::Coder(coder)));
    }
    put("bits", "", &p.bits);
    put("mse", "", &p.mse);
    put("weighted_mse", "", &p.weighted_mse);
    put("sqnr", "_db", &p.sqnr_db);
    put("weighted_sqnr", "_db", &p.weighted_sqnr_db);
    put("worst", "_db", &p.worst_db);
    put("median", "_db", &p.median_db);
    put("broken", "", &p.broken);
    put("formula_ratio", "", &p.formula_ratio);
    put("predicted_ratio", "", &p.predicted_ratio);
    put("optimal", "", &p.optimal);
    put("gap_to_optimum", "_db", &optional(p.gap_to_optimum_db));
    put("gap_to_shannon", "_bits", &optional(p.gap_to_shannon_bits));
}

/// Columns of [`sensitivity_csv`].
pub const SENSITIVITY_COLUMNS: [&str; 11] = [
    "tensor",
    "weights",
    "weight_share",
    "bit_share",
    "error_share",
    "bits_per_weight",
    "sqnr_db",
    "importance",
    "slope",
    "slope_ratio",
    "db_per_kilobyte",
];

/// Sensitivities as CSV: a header, then a line per tensor; the program's output and the page's download are this text.
pub fn sensitivity_csv(rows: &[TensorSensitivity]) -> String {
    let mut csv = SENSITIVITY_COLUMNS.join(",");
    csv.push('\n');
    for row in rows {
        // A name may hold anything: quoted, with quotes doubled (RFC 4180).
        let name = row.name.replace('"', "\"\"");
        csv.push('"');
        csv.push_str(&name);
        csv.push_str("\",");
        csv.push_str(&row.weights.to_string());
        for number in [
            Some(row.weight_share),
            Some(row.bit_share),
            Some(row.error_share),
            Some(row.bits_per_weight),
            Some(row.sqnr_db),
            Some(row.importance),
            row.slope,
            row.slope_ratio,
            row.db_per_kilobyte,
        ] {
            csv.push(',');
            csv.push_str(&optional(number));
        }
        csv.push('\n');
    }
    csv
}

/// What sensitivities say, in a sentence or two: who makes most of the distortion, and where the next bits belong.
pub fn sensitivity_sentence(rows: &[TensorSensitivity]) -> String {
    let Some(most) = rows.first() else { return String::new() };
    let mut text = format!(
        "{} makes {:.1} % of the distortion with {:.1} % of the bits.",
        most.name,
        most.error_share * 100.0,
        most.bit_share * 100.0
    );
    let slope = |row: &&TensorSensitivity| row.slope_ratio.unwrap_or(0.0);
    if let Some(steepest) = rows.iter().max_by(|a, b| slope(a).total_cmp(&slope(b)))
        && let Some(ratio) = steepest.slope_ratio
    {
        // Within a tenth of the mean, slopes are as equal as their estimate.
        let places = usize::from(ratio < 10.0);
        let worth = if ratio < 1.1 {
            " The next bit is worth about as much everywhere: bits are well spent.".to_owned()
        } else {
            format!(" The next bit is worth most in {}: {ratio:.places$} times the mean.", steepest.name)
        };
        text.push_str(&worth);
    }
    text
}

/// A number, or nothing where there is none.
fn optional(number: Option<f64>) -> String {
    number.map(|number| number.to_string()).unwrap_or_default()
}

/// How far a point is from what is possible, a phrase each: its rate `bits`, by whatever measure, from the Shannon bound,
/// which holds for plain error only and is left out where `weighted` error is shown; its error from the exact optimum.
pub fn gap_phrases(point: &Point, bits: f64, weighted: bool) -> Vec<String> {
    let above = point.gap_to_shannon_bits.filter(|_| !weighted).map(|gap| {
        let gap = gap + bits - point.entropy_bits;
        format!("{gap:.2} bit above the Shannon bound")
    });
    let below = point.gap_to_optimum_db.map(|gap| format!("{gap:.2} dB from the exact optimum"));
    above.into_iter().chain(below).collect()
}

/// The same for a curve, in a line: at its point whose entropy is nearest to `near_bits`, with `rate` as the rate that is
/// spoken of. `None` where nothing is known of it.
pub fn gap_sentence(
    curve: &Curve,
    near_bits: f64,
    rate: &dyn Fn(&Point) -> f64,
    weighted: bool,
) -> Option<String> {
    let distance = |point: &&Point| (point.entropy_bits - near_bits).abs();
    let point = curve.points.iter().min_by(|a, b| distance(a).total_cmp(&distance(b)))?;
    let bits = rate(point);
    let phrases = gap_phrases(point, bits, weighted);
    let (first, rest) = phrases.split_first()?;
    let rest = rest.first().map(|phrase| format!(", {phrase}")).unwrap_or_default();
    Some(format!("{}: {first} at {bits:.2} bits{rest}", curve.title))
}
