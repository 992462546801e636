//! Which tensors a recipe quantizes, and why the others that it asks for are kept as they are.
//!
//! A recipe asks by role or by name. Kept all the same are tensors that no codebook can hold (NaN, infinities), and, unless a
//! pattern names them, those that are not worth one: a few numbers, one value over and over, or a few outliers that hold
//! nearly all of the energy, beside which every other weight would round to zero while the signal-to-noise ratio looked splendid.

use super::kept::Kept;
use super::sketch::TensorSketch;
use crate::code::Kind;
use crate::model::Model;
use crate::quantize::{Pruning, Scope};
use crate::recipe::{Carry, Recipe};
use crate::role::Role;
use crate::tensor::Tensor;

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
        let kind = recipe.kind();
        for (index, (tensor, sketch)) in model.tensors.iter().zip(sketches).enumerate() {
            let asked = recipe.selects(&tensor.name, tensor.found.role);
            if !asked || tensor.same_as.is_some() || tensor.is_empty() || !tensor.dtype.is_float() {
                continue;
            }
            match kept(tensor, sketch, recipe, kind) {
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

fn kept(tensor: &Tensor, sketch: &TensorSketch, recipe: &Recipe, kind: Kind) -> Option<Kept> {
    let keeps_numbers = matches!(recipe.pruning, Pruning::None | Pruning::Threshold(0.0));
    // Beside a large number of its block, a small one of a number format becomes zero.
    let own_codebook = match kind {
        Kind::Levels => recipe.scope != Scope::All && keeps_numbers,
        Kind::Grid => true,
        Kind::Scaled => false,
    };
    if sketch.oddity == Some(Kept::NotFinite) {
        return sketch.oddity;
    }
    if sketch.is_entangled && recipe.carry == Carry::File {
        return Some(Kept::Entangled);
    }
    if tensor.is_block_coded() && !recipe.includes(&tensor.name) {
        return Some(Kept::Coded);
    }
    let is_positive = sketch.stats.as_ref().is_some_and(|stats| stats.min >= 0.0);
    if tensor.found.role.has_domain() && is_positive && !own_codebook {
        return Some(Kept::Domain);
    }
    // In a codebook of all, a few weights cost nothing of their own.
    let is_free = |reason: &Kept| *reason == Kept::Few && recipe.scope == Scope::All && kind == Kind::Levels;
    sketch.oddity.filter(|reason| !recipe.includes(&tensor.name) && !is_free(reason))
}
