//! Groups: the sets of weights that share a codebook, ready for a method.

use super::selection::Selection;
use super::{EngineError, sketch::TensorSketch};
use crate::histogram::{Histogram, Moments};
use crate::model::Model;
use crate::quantize::{Method, Problem, QuantizeError, Scope, Settings, Solution};
use crate::recipe::Recipe;

/// Weights that share a codebook, after pruning.
#[derive(Debug, Clone)]
pub(super) struct Group {
    /// The tensor, or `None` for all quantized tensors together.
    pub tensor: Option<usize>,
    /// Magnitudes up to this are pruned, if pruning is on.
    pub threshold: Option<f32>,
    /// What is left to quantize.
    pub kept: Histogram,
    /// What was pruned.
    pub pruned: Moments,
    /// (weight, importance) pairs of weights that are left, where importance differs between weights.
    pub sample: Option<Vec<(f32, f32)>>,
    /// Whether it is one output channel of the tensor.
    pub is_channel: bool,
    /// How many groups of the model this one stands for; above 1 only in a preview.
    pub stands_for: f64,
}

/// All groups of a recipe's selection.
#[derive(Debug, Clone)]
pub(super) struct Groups {
    pub all: Vec<Group>,
    /// Indices of the quantized tensors, in file order.
    pub selected: Vec<usize>,
    /// The largest magnitude of each.
    pub largest: Vec<f32>,
    /// Their names.
    pub names: Vec<String>,
    /// Where all share a codebook: the weights of each of them.
    pub parts: Vec<Histogram>,
    /// What makes the mean importance over the quantized weights 1.
    pub importance_factor: f64,
    /// Whether the groups are a sample of the model's (per output channel, on a large model).
    pub preview: bool,
    /// Quantized weights of the model.
    pub weights: u64,
}

/// The part of a recipe that groups depend on; equal keys have equal groups.
pub(super) fn key(recipe: &Recipe) -> String {
    let method = Recipe::default().method;
    let rest = Recipe { method, settings: std::collections::BTreeMap::new(), ..recipe.clone() };
    let Recipe { coder, positions, .. } = Recipe::default();
    let is_grid = recipe.is_grid();
    // Which tensors are kept may depend on whether each has a grid of its own.
    format!("{is_grid} {}", Recipe { coder, positions, ..rest }.to_line())
}

impl Group {
    /// Splits `histogram` by the recipe's pruning.
    pub fn new(
        recipe: &Recipe,
        tensor: Option<usize>,
        histogram: &Histogram,
        sample: Option<Vec<(f32, f32)>>,
    ) -> Self {
        let split = recipe.pruning.split(histogram);
        let mut sample = sample;
        if let (Some(sample), Some(threshold)) = (&mut sample, split.threshold) {
            sample.retain(|(w, _)| w.abs() > threshold);
        }
        Self {
            tensor,
            threshold: split.threshold,
            kept: split.kept,
            pruned: split.pruned,
            sample,
            is_channel: false,
            stands_for: 1.0,
        }
    }

    /// Solves the group for several settings, sharing work between them; see
    /// [`Evaluated::several`](super::evaluate::Evaluated::several).
    pub fn solve_all(
        &self,
        method: &Method,
        settings: &[Settings],
        plain: bool,
    ) -> Vec<Result<Solution, QuantizeError>> {
        if self.kept.is_empty() {
            return settings.iter().map(|settings| self.solve(method, settings)).collect();
        }
        if !plain {
            return method.solve_all(&self.problem(), settings);
        }
        let histogram = self.kept.without_importance();
        let solved = method.solve_all(&Problem { histogram: &histogram, sample: None }, settings);
        let measured = |s: Solution| Solution { optimal: s.optimal, ..s.quantizer.predict(&self.kept) };
        solved.into_iter().map(|solution| solution.map(measured)).collect()
    }

    fn problem(&self) -> Problem<'_> {
        Problem { histogram: &self.kept, sample: self.sample.as_deref() }
    }

    /// Solves the group; a fully pruned group gets a quantizer with the single level 0 that no weight uses.
    pub fn solve(&self, method: &Method, settings: &Settings) -> Result<Solution, QuantizeError> {
        if self.kept.is_empty() && self.pruned.count > 0 {
            return Ok(Solution::unused());
        }
        (method.solve)(&self.problem(), settings)
    }
}

impl Groups {
    /// The groups of a recipe that keeps everything.
    pub const fn none() -> Self {
        Self {
            all: Vec::new(),
            selected: Vec::new(),
            largest: Vec::new(),
            names: Vec::new(),
            parts: Vec::new(),
            importance_factor: 1.0,
            preview: false,
            weights: 0,
        }
    }

    /// Groups the selected tensors of a model by the recipe's scope.
    pub fn new(
        model: &Model,
        sketches: &[TensorSketch],
        stride: u64,
        has_importance: bool,
        recipe: &Recipe,
    ) -> Result<Self, EngineError> {
        let selected = Selection::new(model, sketches, recipe).quantized;
        let mut total = Moments::default();
        selected.iter().filter_map(|i| sketches.get(*i)).for_each(|s| total.add(&s.histogram.total()));
        if total.count == 0 {
            return Err(QuantizeError::NoWeights.into());
        }
        let factor = if total.importance > 0.0 { total.count as f64 / total.importance } else { 1.0 };
        let scale = |pairs: &[(f32, f32)]| -> Vec<(f32, f32)> {
            pairs.iter().map(|(w, h)| (*w, scaled(*h, factor))).collect()
        };
        let names = selected.iter().filter_map(|i| Some(model.tensors.get(*i)?.name.clone())).collect();
        let mut parts = Vec::new();
        let mut groups = Vec::new();
        let mut preview = false;
        match recipe.scope {
            Scope::All => {
                let mut all = Histogram::default();
                let mut sample = Vec::new();
                for sketch in selected.iter().filter_map(|i| sketches.get(*i)) {
                    all.merge(&sketch.histogram);
                    parts.push(sketch.histogram.clone());
                    sample.extend(scale(&sketch.sample));
                }
                all.scale_importance(factor);
                groups.push(Group::new(recipe, None, &all, has_importance.then_some(sample)));
            }
            Scope::Tensor | Scope::Channel => {
                for i in &selected {
                    let (Some(sketch), Some(tensor)) = (sketches.get(*i), model.tensors.get(*i)) else {
                        continue;
                    };
                    let row = crate::container::row_len(&tensor.shape);
                    if recipe.scope == Scope::Channel && row > 0 {
                        let before = groups.len();
                        for pairs in sketch.rows.chunks(row as usize) {
                            groups.push(channel_group(recipe, *i, scale(pairs), has_importance));
                        }
                        let rows = tensor.shape.first().copied().unwrap_or(1);
                        let sampled = groups.len() - before;
                        let stands_for = rows as f64 / sampled.max(1) as f64;
                        groups.iter_mut().skip(before).for_each(|g| g.stands_for = stands_for);
                        preview |= stride > 1;
                    } else {
                        let (histogram, sample) = alone(sketch, factor, has_importance);
                        groups.push(Group::new(recipe, Some(*i), &histogram, sample));
                    }
                }
            }
        }
        let weights = total.count;
        let largest = largest(&selected, sketches);
        Ok(Self { all: groups, selected, largest, names, parts, importance_factor: factor, preview, weights })
    }
}

/// The largest magnitude of each of these tensors.
fn largest(selected: &[usize], sketches: &[TensorSketch]) -> Vec<f32> {
    let stats = selected.iter().map(|i| sketches.get(*i).and_then(|sketch| sketch.stats.as_ref()));
    stats.map(|stats| stats.map_or(0.0, |stats| stats.max.max(-stats.min))).collect()
}

/// The weights of one tensor, and their sample, with importance as the solver uses it.
pub(super) fn alone(
    sketch: &TensorSketch,
    factor: f64,
    has_importance: bool,
) -> (Histogram, Option<Vec<(f32, f32)>>) {
    let mut histogram = sketch.histogram.clone();
    histogram.scale_importance(factor);
    (histogram, has_importance.then(|| sample_of(sketch, factor)))
}

/// A tensor's sample, or its plain mean and importance where the sample missed a small tensor.
fn sample_of(sketch: &TensorSketch, factor: f64) -> Vec<(f32, f32)> {
    if sketch.sample.is_empty() {
        let cells = sketch.histogram.moments().iter();
        return cells
            .map(|m| {
                ((m.sum / m.count as f64) as f32, scaled((m.importance / m.count as f64) as f32, factor))
            })
            .collect();
    }
    sketch.sample.iter().map(|(w, h)| (*w, scaled(*h, factor))).collect()
}

/// Importance as the solver and the encoder use it; both must do the same arithmetic.
pub(super) fn scaled(h: f32, factor: f64) -> f32 {
    (f64::from(h) * factor) as f32
}

/// The group of one output channel from its (weight, scaled importance) pairs.
pub(super) fn channel_group(
    recipe: &Recipe,
    tensor: usize,
    pairs: Vec<(f32, f32)>,
    has_importance: bool,
) -> Group {
    let (values, h): (Vec<f32>, Vec<f32>) = pairs.iter().copied().unzip();
    let histogram = small_histogram(&values, has_importance.then_some(&h));
    let group = Group::new(recipe, Some(tensor), &histogram, has_importance.then_some(pairs));
    Group { is_channel: true, ..group }
}

/// A histogram through this thread's accumulator, so that many small channels share one 4 MiB index.
fn small_histogram(values: &[f32], h: Option<&Vec<f32>>) -> Histogram {
    super::sketch::with_accumulator(|accumulator| {
        accumulator.add(values, h.map(Vec::as_slice));
        accumulator.take()
    })
}
