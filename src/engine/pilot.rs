//! What a recipe really takes, tried on a sample: the context coder learns from neighbours, grids assign a weight by what
//! its code will cost, and blocks of weights have scales of their own, of which histograms know nothing.
//!
//! The sample is runs of the rows that the sketch kept of every tensor, [`WEIGHTS`] in all. They are quantized and coded as the
//! encoder would, with starts that were counted on them first; predictions made from cells are then scaled by what came of it.
//!
//! Cost: that of encoding the sample, whatever the size of the file.

use super::cost::Pool;
use super::encode::encoded_block;
use super::evaluate::Evaluated;
use super::groups::{self, Groups};
use super::plan::{Fate, Plan};
use super::report::Point;
use super::sketch::TensorSketch;
use super::{BLOCK_WEIGHTS, EngineError};
use crate::code::Assigned;
use crate::compensation::ErrorCosts;
use crate::container::{row_len, rows_of};
use crate::entropy::{CodeTable, Coder, Context, ContextCounts, Positions, Rows};
use crate::model::Model;
use crate::quantize::{Needs, Scope, methods};
use crate::recipe::{Checked, Recipe};
use std::collections::BTreeMap;

/// Weights that are tried, about, and of one tensor at least.
const WEIGHTS: u64 = 1 << 18;
const LEAST: u64 = 1 << 11;
/// Points of a curve that are tried.
const KNOTS: usize = 5;
/// Rows that are taken together, since code is learnt from the row above.
const RUN: usize = 4;
/// Tensors that are tried at most, evenly spread.
const TENSORS: usize = 128;

/// What a tensor's sample took.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Tried {
    /// Weights of the tensor, not of the sample.
    weights: f64,
    /// Bits per weight.
    bits: f64,
    /// Mean squared error, plain and weighted.
    error: f64,
    weighted_error: f64,
}

/// Factors from what was predicted to what was tried.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Scale {
    /// Of the bits.
    pub bits: f64,
    /// Of the squared error, plain and weighted.
    pub error: f64,
    pub weighted_error: f64,
}

/// Whether a recipe is coded by what histograms do not tell.
pub(super) fn is_wanted(recipe: &Recipe) -> bool {
    let by_rows = methods::find(&recipe.method).is_some_and(|method| method.needs == Needs::Rows);
    let by_context = recipe.coder == Coder::Context && recipe.positions == Positions::Symbols;
    (by_rows || by_context) && recipe.scope != Scope::Channel
}

/// Tries a solved recipe on the sample; `None` where nothing was sampled.
pub(super) fn scale(
    groups: &Groups,
    recipe: &Checked,
    predicted: &Evaluated<'_>,
    model: &Model,
    sketches: &[TensorSketch],
) -> Result<Option<Scale>, EngineError> {
    let plan = Plan::solved(model, groups, recipe, &[], Some(&predicted.solutions))?;
    let tried = try_on(&plan, model, sketches)?;
    let mut sums = [(0.0, 0.0); 3];
    for (tensor, rate) in predicted.rates(recipe) {
        let found: Vec<&Tried> = match tensor {
            Some(tensor) => tried.get(&tensor).into_iter().collect(),
            None => tried.values().collect(),
        };
        let weights: f64 = found.iter().map(|tried| tried.weights).sum();
        let total =
            |part: fn(&Tried) -> f64| found.iter().map(|tried| tried.weights * part(tried)).sum::<f64>();
        let pairs = [
            (total(|tried| tried.bits), weights * rate.bits),
            (total(|tried| tried.error), weights * rate.error),
            (total(|tried| tried.weighted_error), weights * rate.weighted_error),
        ];
        for (sum, pair) in sums.iter_mut().zip(pairs) {
            *sum = (sum.0 + pair.0, sum.1 + pair.1);
        }
    }
    let [bits, error, weighted_error] = sums.map(|(tried, predicted)| {
        let factor = tried / predicted;
        if factor.is_finite() && factor > 0.0 { factor } else { 1.0 }
    });

    Ok((!tried.is_empty()).then_some(Scale { bits, error, weighted_error }))
}

fn try_on(
    plan: &Plan,
    model: &Model,
    sketches: &[TensorSketch],
) -> Result<BTreeMap<usize, Tried>, EngineError> {
    let mut tried = BTreeMap::new();
    let tensors = model.tensors.iter().zip(sketches).zip(&plan.fates).enumerate();
    let quantized = tensors.filter(|(_, (_, fate))| matches!(fate, Fate::Quantized { .. }));
    let count = plan.fates.iter().filter(|fate| matches!(fate, Fate::Quantized { .. })).count();
    for (index, ((tensor, sketch), fate)) in quantized.step_by(count.div_ceil(TENSORS).max(1)) {
        let Fate::Quantized { table, .. } = *fate else { continue };
        let share = u128::from(tensor.len()) * u128::from(WEIGHTS) / u128::from(plan.weights.max(1));
        let most = (share as u64).clamp(LEAST, BLOCK_WEIGHTS);
        let sample = spread(&sketch.rows, row_len(&tensor.shape).max(1) as usize, most as usize);
        let len = sample.len();
        if len == 0 {
            continue;
        }
        let (values, h): (Vec<f32>, Vec<f32>) =
            sample.iter().map(|(w, h)| (*w, groups::scaled(*h, plan.importance_factor))).unzip();
        let h = plan.has_importance.then_some(h.as_slice());
        let (rows, range) = (rows_of(&tensor.shape, 0), 0..len as u64);
        let mut symbols = Vec::with_capacity(len);
        let context = plan.context(table)?;
        let place = (rows, Some(&context));
        let assigned =
            plan.quantize(fate, range.clone(), place, &values, ErrorCosts::of_each(h), &mut symbols)?;
        let mut decoded = Vec::with_capacity(len);
        plan.dequantize(fate, range, &symbols, assigned.scales(rows), &mut decoded)?;
        let coded = code(plan.recipe.coder, &symbols, rows, context, assigned)?;
        let (mut error, mut weighted_error) = (0.0, 0.0);
        for (at, (value, decoded)) in values.iter().zip(&decoded).enumerate() {
            let difference = f64::from(*value) - f64::from(tensor.dtype.round_f32(*decoded));
            let h = h.and_then(|h| h.get(at)).map_or(1.0, |h| f64::from(*h));
            error += difference * difference;
            weighted_error += h * difference * difference;
        }
        let count = len as f64;
        tried.insert(
            index,
            Tried {
                weights: tensor.len() as f64,
                bits: coded.bits as f64 / count + coded.table_bits as f64 / tensor.len() as f64,
                error: error / count,
                weighted_error: weighted_error / count,
            },
        );
    }
    Ok(tried)
}

/// What a sample's code takes: symbols and scales, and the table, which serves the whole tensor.
struct Coded {
    bits: u64,
    table_bits: u64,
}

/// Codes the symbols of a sample as the encoder would code the tensor's.
fn code(
    coder: Coder,
    symbols: &[u16],
    rows: Rows,
    context: Context,
    mut assigned: Assigned,
) -> Result<Coded, EngineError> {
    let table = if coder == Coder::Context {
        let predictor = assigned.predictor.take().unwrap_or_else(|| context.predictor(symbols, rows));
        let mut counts = ContextCounts::default();
        context.count_by(symbols, rows, predictor.clone(), &mut counts);
        assigned.predictor = Some(predictor);
        CodeTable::Context(context.starting_from(&counts))
    } else {
        let mut pool = Pool::default();
        pool.count(symbols, false);
        CodeTable::new(coder, &pool.levels)?
    };
    let block = encoded_block(symbols, &table, None, rows, assigned)?;
    Ok(Coded { bits: block.value_bits() + block.scale_bits(), table_bits: table.to_bytes().len() as u64 * 8 })
}

/// About `most` pairs of rows of `row` each: runs of neighbouring rows, evenly spread; the start of them where a row is longer.
fn spread(pairs: &[(f32, f32)], row: usize, most: usize) -> Vec<(f32, f32)> {
    let (rows, wanted) = (pairs.len() / row, most / row);
    if rows <= wanted || wanted == 0 {
        let len = pairs.len().min(most);
        return pairs.get(..len).unwrap_or_default().to_vec();
    }
    let runs = wanted.div_ceil(RUN);
    let mut sample = Vec::with_capacity(wanted * row);
    for run in 0..runs {
        let first = run * (rows - RUN.min(rows)) / runs.saturating_sub(1).max(1);
        let last = (first + RUN).min(rows).min(first + wanted - run * RUN);
        sample.extend_from_slice(pairs.get(first * row..last * row).unwrap_or_default());
    }
    sample
}

/// Whether the point `at` of a curve of so many is tried: closer together where points are coarse, since there predictions
/// are worst.
pub(super) fn is_knot(at: usize, points: usize) -> bool {
    let last = points.saturating_sub(1);
    (0..KNOTS).any(|knot| {
        let left = 1.0 - knot as f64 / (KNOTS - 1) as f64;
        (last as f64 * (1.0 - left * left)) as usize == at
    })
}

/// Scales a curve's points by those that were tried, and between them by what lies between.
pub(super) fn correct(knots: &[(usize, Scale)], points: &mut [Point], kept_bits: u64, parameters: u64) {
    for (at, point) in points.iter_mut().enumerate() {
        let next = knots.iter().position(|(knot, _)| *knot >= at).unwrap_or(knots.len().saturating_sub(1));
        let (Some(right), Some(left)) = (knots.get(next), knots.get(next.saturating_sub(1))) else {
            continue;
        };
        let width = right.0.saturating_sub(left.0).max(1) as f64;
        let t = (at.saturating_sub(left.0) as f64 / width).min(1.0);
        left.1.between(right.1, t).correct(point, kept_bits, parameters);
    }
}

impl Scale {
    /// Between two scales, `t` of the way.
    pub fn between(self, other: Self, t: f64) -> Self {
        let mix = |a: f64, b: f64| libm::exp(libm::log(a) * (1.0 - t) + libm::log(b) * t);
        Self {
            bits: mix(self.bits, other.bits),
            error: mix(self.error, other.error),
            weighted_error: mix(self.weighted_error, other.weighted_error),
        }
    }

    /// A predicted point as it was tried.
    pub fn correct(self, point: &mut Point, kept_bits: u64, parameters: u64) {
        point.bits *= self.bits;
        point.mse *= self.error;
        point.weighted_mse *= self.weighted_error;
        point.sqnr_db -= 10.0 * libm::log10(self.error);
        point.weighted_sqnr_db -= 10.0 * libm::log10(self.weighted_error);
        let file_bits = point.bits * point.weights as f64 + kept_bits as f64;
        point.predicted_ratio = parameters as f64 * 32.0 / file_bits;
    }
}
