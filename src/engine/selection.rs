//! Which tensors a recipe quantizes, and why the others that it asks for are kept as they are.
//!
//! A recipe asks by role or by name. Kept all the same are tensors that no codebook can hold (NaN, infinities), and, unless a
//! pattern names them, those that are not worth one: a few numbers, one value over and over, or a few outliers that hold
//! nearly all of the energy, beside which every other weight would round to zero while the signal-to-noise ratio looked splendid.

use super::session::TensorSketch;
use crate::histogram::{Histogram, Moments};
use crate::model::Model;
use crate::quantize::{Pruning, Scope};
use crate::recipe::Recipe;
use crate::role::Role;
use crate::tensor::Tensor;

/// Tensors of fewer weights cost more for their step and tables than they save.
pub(super) const FEW: u64 = 32;
/// Tensors of at most so many different values are masks, signs or choices of a few levels, which lossless coding makes small.
const FEW_VALUES: usize = 4;
/// One weight of this many, or one alone, is a handful.
const HANDFUL: u64 = 1000;
/// The share of the energy from which a handful of weights is the tensor, as far as squared errors see.
const MOST_ENERGY: f64 = 0.9;

/// Why a tensor that the recipe asks for is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kept {
    /// It holds NaN or infinities.
    NotFinite,
    /// It has fewer weights than are worth a codebook.
    Few,
    /// Its weights have a few values only.
    FewValues,
    /// A handful of weights holds nearly all of its energy.
    Handful,
    /// Its numbers must not leave their domain, and the codebook is not its own.
    Domain,
}

impl Kept {
    pub const ALL: [Self; 5] = [Self::NotFinite, Self::Few, Self::FewValues, Self::Handful, Self::Domain];

    /// The reason, after "kept as they are, because".
    pub const fn reason(self) -> &'static str {
        match self {
            Self::NotFinite => "they hold NaN or infinities",
            Self::Few => "they have too few weights to be worth a codebook",
            Self::FewValues => "their weights have at most four different values",
            Self::Handful => "a handful of outliers holds nearly all of their energy",
            Self::Domain => "a codebook shared with others could take them out of their domain",
        }
    }
}

/// What becomes of a model's tensors.
#[derive(Debug, Clone, Default)]
pub(super) struct Selection {
    /// Indices of the quantized tensors, in file order.
    pub quantized: Vec<usize>,
    /// Tensors that the recipe asks for and that are kept.
    pub kept: Vec<(usize, Kept)>,
}

impl Selection {
    /// Sorts the tensors of a model by what the recipe asks and what they hold.
    pub fn new(model: &Model, sketches: &[TensorSketch], recipe: &Recipe) -> Self {
        let mut selection = Self::default();
        let is_grid = recipe.is_grid();
        for (index, (tensor, sketch)) in model.tensors.iter().zip(sketches).enumerate() {
            let asked = recipe.selects(&tensor.name, tensor.found.role);
            if !asked || tensor.same_as.is_some() || tensor.is_empty() || !tensor.dtype.is_float() {
                continue;
            }
            match kept(tensor, sketch, recipe, is_grid) {
                Some(reason) => selection.kept.push((index, reason)),
                None => selection.quantized.push(index),
            }
        }
        selection
    }

    /// A sentence for every reason that tensors are kept for, and for every pattern that names none.
    pub fn notes(&self, model: &Model, recipe: &Recipe) -> Vec<String> {
        let mut notes = Vec::new();
        let finer = recipe.finer.iter().map(|finer| &finer.pattern);
        for pattern in recipe.include.iter().chain(&recipe.exclude).chain(finer) {
            if !model.tensors.iter().any(|tensor| crate::recipe::matches(pattern, &tensor.name)) {
                notes.push(format!("the pattern {} matches no tensor", crate::formats::shown(pattern)));
            }
        }
        let mut kept = |reason: &str, names: Vec<String>| {
            if !names.is_empty() {
                let list = crate::importance::list(&names);
                notes.push(format!("kept as they are, because {reason}: {list}"));
            }
        };
        for reason in Kept::ALL {
            let of_reason = self.kept.iter().filter(|(_, of)| *of == reason);
            let names = of_reason.filter_map(|(index, _)| Some(model.tensors.get(*index)?.name.clone()));
            kept(reason.reason(), names.collect());
        }
        let decodes = |tensor: &&Tensor| {
            tensor.found.role == Role::Quantization && !recipe.selects(&tensor.name, tensor.found.role)
        };
        let names = model.tensors.iter().filter(decodes).map(|tensor| tensor.name.clone());
        kept("tensors that are quantized already are decoded with them", names.collect());
        let bytes = |tensors: &mut dyn Iterator<Item = &Tensor>| tensors.map(Tensor::size_bytes).sum::<u64>();
        let is_code = |tensor: &&Tensor| tensor.found.role == Role::Weight && !tensor.dtype.is_float();
        let (codes, all) =
            (bytes(&mut model.tensors.iter().filter(is_code)), bytes(&mut model.tensors.iter()));
        if codes > 0 {
            let most = if 2 * codes > all { "most of the file, " } else { "" };
            notes.push(format!(
                "{most}{codes} of {all} bytes are integers that were quantized before; they are coded without loss"
            ));
        }
        notes
    }
}

fn kept(tensor: &Tensor, sketch: &TensorSketch, recipe: &Recipe, is_grid: bool) -> Option<Kept> {
    let keeps_numbers = matches!(recipe.pruning, Pruning::None | Pruning::Threshold(0.0));
    let own_codebook = is_grid || (recipe.scope != Scope::All && keeps_numbers);
    if sketch.oddity == Some(Kept::NotFinite) {
        return sketch.oddity;
    }
    let is_positive = sketch.stats.as_ref().is_some_and(|stats| stats.min >= 0.0);
    if tensor.found.role.has_domain() && is_positive && !own_codebook {
        return Some(Kept::Domain);
    }
    // In a codebook of all, a few weights cost nothing of their own.
    let is_free = |reason: &Kept| *reason == Kept::Few && recipe.scope == Scope::All && !is_grid;
    sketch.oddity.filter(|reason| !recipe.includes(&tensor.name) && !is_free(reason))
}

/// What speaks against quantizing a tensor, whatever the recipe.
pub(super) fn oddity(sketch: &TensorSketch) -> Option<Kept> {
    let stats = sketch.stats.as_ref()?;
    if stats.non_finite > 0 {
        Some(Kept::NotFinite)
    } else if stats.count < FEW {
        Some(Kept::Few)
    } else if sketch.histogram.len() <= FEW_VALUES && stats.count > 4 * FEW_VALUES as u64 {
        Some(Kept::FewValues)
    } else if energy_of_handful(&sketch.histogram) > MOST_ENERGY {
        Some(Kept::Handful)
    } else {
        None
    }
}

/// The share of Σw² that the largest weights hold: one of a thousand, or one alone.
///
/// Cost: linear in the number of cells, from both ends.
pub(super) fn energy_of_handful(histogram: &Histogram) -> f64 {
    let total = histogram.total();
    let mut left = (total.count / HANDFUL).max(1);
    let size = |cell: &Moments| cell.squares / cell.count.max(1) as f64;
    let cells = histogram.moments();
    let (mut low, mut high) = (cells.iter().peekable(), cells.iter().rev().peekable());
    let mut energy = 0.0;
    for _ in 0..cells.len() {
        let (Some(a), Some(b)) = (low.peek(), high.peek()) else { break };
        let cell = if size(a) > size(b) { low.next() } else { high.next() };
        let Some(cell) = cell else { break };
        let taken = left.min(cell.count);
        energy += size(cell) * taken as f64;
        left -= taken;
        if left == 0 {
            break;
        }
    }
    if total.squares > 0.0 { energy / total.squares } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_energy_of_a_handful_is_that_of_the_largest_weights() {
        let even: Vec<f32> = (0..2000).map(|i| if i % 2 == 0 { 1.0 } else { -1.0 }).collect();
        assert!((energy_of_handful(&Histogram::new(&even, None)) - 0.001).abs() < 1e-9);
        let mut outlier = vec![0.01; 500];
        outlier.push(-3.4e38);
        assert!(energy_of_handful(&Histogram::new(&outlier, None)) > 0.999);
        assert_eq!(energy_of_handful(&Histogram::default()), 0.0);
    }
}
