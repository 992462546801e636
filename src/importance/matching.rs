//! Which tensor of an importance file belongs to which tensor of the model.

use super::list;
use super::values::{Partner, Values};
use crate::formats::matching_name;
use crate::model::Model;
use crate::tensor::Tensor;
use std::collections::BTreeMap;

/// Positions of tensors by a name for what they are found by; one type, so that the page carries one map.
pub(super) type Positions = BTreeMap<String, usize>;

/// What a tensor of the importance file is to the model's tensor of the same name, or the shape that was expected of it.
pub(super) type Fit = fn(&Tensor, &Tensor) -> Result<Values, String>;

/// What a source found in an importance file.
#[derive(Debug, Default)]
pub struct Matched {
    /// For each tensor of the model, its partner.
    pub partners: Vec<Option<Partner>>,
    /// What the user should know, a sentence each.
    pub notes: Vec<String>,
    /// Why the file cannot serve.
    pub misfit: Option<String>,
}

/// Whether a tensor has importance at all.
pub(super) fn wants_importance(tensor: &Tensor) -> bool {
    tensor.dtype.is_float() && tensor.same_as.is_none()
}

/// Matches tensors whose names are equal but for the prefixes of wrappers.
pub(super) fn by_name(model: &Model, other: &Model, fit: Fit) -> Matched {
    let mut positions = Positions::new();
    for (position, tensor) in other.tensors.iter().enumerate().filter(|(_, t)| t.dtype.is_float()) {
        positions.insert(matching_name(&tensor.name).to_owned(), position);
    }
    let (mut matched, mut alone) = (Matched::default(), Vec::new());
    for tensor in &model.tensors {
        let position = positions.get(matching_name(&tensor.name)).filter(|_| wants_importance(tensor));
        let found = position.and_then(|position| other.tensors.get(*position));
        if found.is_none() && wants_importance(tensor) {
            alone.push(tensor.name.clone());
        }
        let partner = found.and_then(|theirs| match fit(tensor, theirs) {
            Ok(values) => Some(Partner::new(tensor, theirs, values)),
            Err(expected) => {
                let found = &theirs.shape;
                let misfit = || format!("tensor {}: expected {expected}, found {found:?}", tensor.name);
                matched.misfit.get_or_insert_with(misfit);
                None
            }
        });
        matched.partners.push(partner);
    }
    if matched.misfit.is_none() && matched.partners.iter().all(Option::is_none) {
        let theirs: Vec<String> = other.tensors.iter().chain(&other.extras).map(|t| t.name.clone()).collect();
        matched.misfit = Some(format!(
            "no tensor name in common: the model has {}, the importance file has {}",
            list(&alone),
            if theirs.is_empty() { "none".to_owned() } else { list(&theirs) }
        ));
    }
    if !alone.is_empty() {
        matched.notes.push(format!("no importance for {}: the mean is taken", list(&alone)));
    }
    matched
}
