//! Which layer hurts: every quantized tensor's part in bits and distortion, and what a bit more would buy there.
//!
//! Distortion is squared error, by importance where there is one; bits are the entropy of the symbols, or ⌈log2 k⌉'s smooth
//! form log2 k where the recipe codes with a fixed length. A tensor's *slope* is −dD/dR along its own curve: the recipe's
//! method on that tensor alone, a little finer and a little coarser than now. The best way to spend bits has equal slopes
//! everywhere (reverse water-filling: sensitivity times error is constant; Gao, Liu, Wang and Oh 2019; Shoham and Gersho
//! 1988 for quantizers), so a tensor with a larger slope than the others deserves a finer step, one with a smaller slope a
//! coarser one.
//!
//! Between the two neighbouring points error falls with rate as an exponential, which it does exactly at high rate
//! (6.02 dB per bit): slope = D·ln(D₁/D₂)/(R₂ − R₁) at the error D of now.
//!
//! Where all tensors share a codebook, the tensor alone starts at the setting that means the same there: the same step or
//! price of a bit in units of its own deviation or variance, or as many levels as it uses.
//!
//! Cost: two solutions per tensor, up to eight where the method's rate does not move at once. Needs no file.

use super::EngineError;
use super::cost::Pool;
use super::groups::{Group, Groups};
use super::report::TensorSensitivity;
use crate::entropy::Coder;
use crate::histogram::Histogram;
use crate::model::Model;
use crate::order;
use crate::quantize::{
    Method, ParameterKind, Pruning, Rule, Scope, Settings, Solution, Unit, Value, uniform::deviation,
};
use crate::rate_distortion::sqnr_db;
use crate::recipe::{Checked, Recipe};

/// Factors by which the swept parameter is made finer and coarser; the next one where the rate hardly moved.
const REACHES: [f64; 4] = [1.25, 2.0, 5.0, 20.0];
/// Bits per weight by which the two neighbours must differ, and the part of the rate of now.
const LEAST_BITS: f64 = 0.001;
const LEAST_PART: f64 = 0.02;
/// Times that a tensor's own setting may be outside the range of the method's parameter.
const WIDER: f64 = 1e4;
/// Bits of a kilobyte.
const KILOBYTE: f64 = 8000.0;

/// What a quantizer does to one tensor.
#[derive(Debug, Default)]
struct Load {
    pool: Pool,
    /// Σ h·(w − ŵ)² over the weights that are not pruned.
    error: f64,
}

impl Load {
    fn add(&mut self, group: &Group, solution: &Solution) {
        self.pool.add(&solution.counts, group.pruned.count, group.stands_for);
        self.error += solution.weighted_error * group.stands_for;
    }
}

/// One tensor by itself.
#[derive(Debug, Default)]
struct Alone {
    index: usize,
    /// At the recipe.
    now: Load,
    /// Number of weights.
    weights: f64,
    /// Σ h.
    importance: f64,
    /// Σ h·w².
    squares: f64,
    /// Σ h·w² over the pruned weights: their error.
    pruned_error: f64,
    /// −dE/dB in units of Σ h·(w − ŵ)² per bit; `None` where the rate does not move.
    slope: Option<f64>,
}

impl Alone {
    fn add(&mut self, group: &Group, solution: &Solution) {
        self.now.add(group, solution);
        let mut all = group.kept.total();
        all.add(&group.pruned);
        let times = group.stands_for;
        self.weights += all.count as f64 * times;
        self.importance += all.importance * times;
        self.squares += all.weighted_squares * times;
        self.pruned_error += group.pruned.weighted_squares * times;
    }

    fn error(&self) -> f64 {
        self.now.error + self.pruned_error
    }
}

/// What the questions to every tensor have in common.
struct Asked<'a> {
    recipe: &'a Recipe,
    method: &'static Method,
    settings: &'a Settings,
}

/// The weights of one tensor, and (weight, importance) pairs of some where importance differs.
pub(super) type Weights = (Histogram, Option<Vec<(f32, f32)>>);

/// The rows, largest share of the distortion first; `tensor_group` makes the group of one tensor alone, not pruned yet.
pub(super) fn sensitivity(
    groups: &Groups,
    model: &Model,
    checked: &Checked,
    tensor_group: &dyn Fn(usize) -> Option<Weights>,
) -> Result<Vec<TensorSensitivity>, EngineError> {
    let Checked { method, settings, .. } = checked;
    let recipe: &Recipe = checked;
    let asked = Asked { recipe, method, settings };
    let shared = match groups.all.first().filter(|_| recipe.scope == Scope::All) {
        Some(group) => Some((group, group.solve(method, settings)?)),
        None => None,
    };
    let mut tensors = Vec::with_capacity(groups.selected.len());
    for index in &groups.selected {
        let built;
        let own: Vec<&Group> = if let Some((group, _)) = &shared {
            let Some((histogram, sample)) = tensor_group(*index) else { continue };
            // The threshold of all weights together holds for each tensor.
            let pruning = group.threshold.map_or(Pruning::None, Pruning::Threshold);
            let recipe = Recipe { pruning, ..recipe.clone() };
            built = Group::new(&recipe, Some(*index), &histogram, sample);
            vec![&built]
        } else {
            groups.all.iter().filter(|group| group.tensor == Some(*index)).collect()
        };
        let mut alone = Alone { index: *index, ..Alone::default() };
        for group in &own {
            let solution = match &shared {
                Some((_, solution)) => applied(solution, group),
                None => group.solve(method, settings)?,
            };
            alone.add(group, &solution);
        }
        alone.slope = asked.slope(&alone, &own, shared.as_ref().map(|(group, _)| *group));
        tensors.push(alone);
    }
    Ok(rows(&tensors, &asked, model))
}

/// The shared codebook's solution on one tensor's weights.
fn applied(shared: &Solution, alone: &Group) -> Solution {
    let quantizer = &shared.quantizer;
    let sample = alone.sample.as_deref().filter(|sample| !sample.is_empty());
    let (Rule::RateAware { .. }, Some(sample)) = (&quantizer.rule, sample) else {
        return quantizer.predict(&alone.kept);
    };
    // The rule looks at each weight's own importance, which the histogram does not hold.
    let (values, h): (Vec<f32>, Vec<f32>) = sample.iter().copied().unzip();
    let mut symbols = Vec::new();
    quantizer.symbols(&values, Some(&h), &mut symbols);
    let mut counts = vec![0u64; quantizer.levels.len()];
    let mut error = 0.0;
    for ((w, h), symbol) in sample.iter().zip(&symbols) {
        let level = quantizer.levels.get(usize::from(*symbol)).copied().unwrap_or_default();
        let offset = f64::from(*w) - f64::from(level);
        error += f64::from(*h) * offset * offset;
        if let Some(count) = counts.get_mut(usize::from(*symbol)) {
            *count += 1;
        }
    }
    let times = alone.kept.total().count as f64 / sample.len() as f64;
    for count in &mut counts {
        *count = (*count as f64 * times).round_ties_even() as u64;
    }
    Solution { quantizer: quantizer.clone(), counts, weighted_error: error * times, ..Solution::unused() }
}

/// Mean over the weights of h·(w − mean)².
fn variance(histogram: &Histogram) -> f64 {
    let total = histogram.total();
    if total.importance <= 0.0 {
        let deviation = deviation(histogram);
        return deviation * deviation;
    }
    let scatter = total.weighted_squares - total.weighted_sum * total.weighted_sum / total.importance;
    scatter.max(0.0) / total.count.max(1) as f64
}

impl Asked<'_> {
    /// −dE/dB of a tensor along its own curve.
    fn slope(&self, alone: &Alone, own: &[&Group], shared: Option<&Group>) -> Option<f64> {
        let now = self.own_value(alone, own, shared)?;
        let least = (LEAST_BITS * alone.weights).max(LEAST_PART * self.own_bits(&alone.now));
        for reach in REACHES {
            let finer = self.load(own, now, reach);
            let coarser = self.load(own, now, 1.0 / reach);
            let (Some(finer), Some(coarser)) = (finer, coarser) else { continue };
            let bits = self.own_bits(&finer) - self.own_bits(&coarser);
            if bits < least || finer.error > coarser.error {
                continue;
            }
            return Some(if finer.error > 0.0 && alone.now.error > 0.0 {
                alone.now.error * libm::log(coarser.error / finer.error) / bits
            } else {
                (coarser.error - finer.error) / bits
            });
        }
        None
    }

    /// The swept parameter of the recipe as it is for the tensor alone.
    fn own_value(&self, alone: &Alone, own: &[&Group], shared: Option<&Group>) -> Option<f64> {
        let now = match self.settings.value(self.method.swept)? {
            Value::Integer(n) => *n as f64,
            Value::Number(x) => *x,
            Value::Choice(_) => return None,
        };
        let Some((shared, own)) = shared.zip(own.first()) else { return Some(now) };
        let units = |unit: fn(&Histogram) -> f64| {
            let own = unit(&own.kept);
            if own > 0.0 { unit(&shared.kept) / own } else { 1.0 }
        };
        Some(match self.method.unit {
            Unit::Deviations => now * units(deviation),
            Unit::Variances => now * units(variance),
            Unit::Bits => now,
            Unit::Levels => alone.now.pool.levels.iter().filter(|count| **count > 0).count() as f64,
        })
    }

    /// The tensor alone with the swept parameter `reach` times as fine as `now`.
    fn load(&self, own: &[&Group], now: f64, reach: f64) -> Option<Load> {
        let (fine, coarse) = self.method.sweep;
        let wanted = if fine < coarse { now / reach } else { now * reach };
        let mut parameters = self.method.parameters.to_vec();
        let swept = parameters.iter_mut().find(|p| p.id == self.method.swept)?;
        let value = match &mut swept.kind {
            // A shared step or price is large or small in the units of one tensor: ranges are for people.
            ParameterKind::Number { min, max, .. } => {
                (*min, *max) = (*min / WIDER, *max * WIDER);
                Value::Number(wanted.clamp(*min, *max))
            }
            ParameterKind::Integer { min, max, .. } => {
                let whole = if wanted > now { libm::ceil(wanted) } else { libm::floor(wanted) };
                Value::Integer((whole as u64).clamp(*min, *max))
            }
            ParameterKind::Choice(_) | ParameterKind::Format => return None,
        };
        let mut given = self.recipe.settings.clone();
        given.insert(self.method.swept.to_owned(), value);
        let settings = Settings::new(&parameters, &given).ok()?;
        let mut load = Load::default();
        for group in own {
            load.add(group, &group.solve(self.method, &settings).ok()?);
        }
        Some(load)
    }

    fn pruning(&self) -> bool {
        self.recipe.pruning != Pruning::None
    }

    /// Bits of a tensor's symbols with a code of their own.
    fn own_bits(&self, load: &Load) -> f64 {
        self.bits(&load.pool, &load.pool)
    }

    /// Bits of symbols with the code that is ideal for `code`'s.
    fn bits(&self, symbols: &Pool, code: &Pool) -> f64 {
        let (symbols, code) = (symbols.symbols(self.pruning()), code.symbols(self.pruning()));
        let total = code.iter().sum::<u64>() as f64;
        if self.recipe.coder == Coder::Fixed {
            let used = code.iter().filter(|count| **count > 0).count();
            return symbols.iter().sum::<u64>() as f64 * libm::log2(used.max(1) as f64);
        }
        let pairs = symbols.iter().zip(&code).filter(|(count, all)| **count > 0 && **all > 0);
        pairs.map(|(count, all)| *count as f64 * libm::log2(total / *all as f64)).sum()
    }
}

/// What is told of every tensor, largest share of the distortion first.
fn rows(tensors: &[Alone], asked: &Asked, model: &Model) -> Vec<TensorSensitivity> {
    let is_shared = asked.recipe.scope == Scope::All;
    let mut all = Pool::default();
    let (mut weights, mut error, mut importance) = (0.0, 0.0, 0.0);
    for alone in tensors {
        all.add(&alone.now.pool.levels, alone.now.pool.zeros, 1.0);
        weights += alone.weights;
        error += alone.error();
        importance += alone.importance;
    }
    let share = |part: f64, whole: f64| if whole > 0.0 { part / whole } else { 0.0 };
    let mut bits = Vec::with_capacity(tensors.len());
    let (mut total_bits, mut spent, mut worth) = (0.0, 0.0, 0.0);
    for alone in tensors {
        let own = &alone.now.pool;
        let of = asked.bits(own, if is_shared { &all } else { own });
        bits.push(of);
        total_bits += of;
        if let Some(slope) = alone.slope {
            spent += of;
            worth += of * slope;
        }
    }
    // The slope that bits have on average where they are spent now.
    let mean_slope = share(worth, spent);
    let mut rows = Vec::with_capacity(tensors.len());
    for place in order::ascending(tensors.iter().map(|alone| order::key_f64(-alone.error()))) {
        let (Some(alone), Some(bits)) = (tensors.get(place), bits.get(place)) else { continue };
        let per = |whole: f64| alone.slope.filter(|_| whole > 0.0).map(|slope| slope / whole);
        rows.push(TensorSensitivity {
            name: model.tensors.get(alone.index).map(|tensor| tensor.name.clone()).unwrap_or_default(),
            weights: alone.weights.round_ties_even() as u64,
            weight_share: share(alone.weights, weights),
            bit_share: share(*bits, total_bits),
            error_share: share(alone.error(), error),
            bits_per_weight: share(*bits, alone.weights),
            sqnr_db: sqnr_db(alone.squares, alone.error()),
            importance: share(alone.importance * weights, alone.weights * importance),
            slope: alone.slope,
            slope_ratio: per(mean_slope),
            db_per_kilobyte: per(error).map(|part| part * KILOBYTE * 10.0 / std::f64::consts::LN_10),
        });
    }
    rows
}
