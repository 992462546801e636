//! Which tensor of an importance file belongs to which tensor of the model.

use super::list;
use crate::engine::EngineError;
use crate::formats::matching_name;
use crate::model::Model;
use crate::recipe::ImportanceKind;
use crate::tensor::Tensor;
use std::collections::BTreeMap;

type Partners = (Vec<Option<Tensor>>, Vec<String>);

/// The partner of each tensor of `model` in `other`, with notes on what stayed alone.
pub fn partners(kind: ImportanceKind, model: &Model, other: &Model) -> Result<Partners, EngineError> {
    let moments = second_moments(other);
    if kind == ImportanceKind::Adam && !moments.is_empty() {
        return by_order(model, &moments);
    }
    by_name(model, other)
}

fn wants_importance(tensor: &Tensor) -> bool {
    tensor.dtype.is_float() && tensor.same_as.is_none()
}

fn by_name(model: &Model, other: &Model) -> Result<Partners, EngineError> {
    let mut by_name: BTreeMap<&str, &Tensor> = BTreeMap::new();
    for tensor in other.tensors.iter().filter(|t| t.dtype.is_float()) {
        by_name.insert(matching_name(&tensor.name), tensor);
    }
    let mut alone = Vec::new();
    let mut partners = Vec::with_capacity(model.tensors.len());
    for tensor in &model.tensors {
        let found = by_name.get(matching_name(&tensor.name)).filter(|_| wants_importance(tensor));
        if let Some(partner) = found
            && partner.shape != tensor.shape
        {
            return Err(EngineError::Importance(format!(
                "tensor {}: expected shape {:?} as in the model, found {:?}",
                tensor.name, tensor.shape, partner.shape
            )));
        }
        if found.is_none() && wants_importance(tensor) {
            alone.push(tensor.name.clone());
        }
        partners.push(found.map(|partner| (*partner).clone()));
    }
    if partners.iter().all(Option::is_none) {
        let theirs: Vec<String> = other.tensors.iter().chain(&other.extras).map(|t| t.name.clone()).collect();
        return Err(EngineError::Importance(format!(
            "no tensor name in common: the model has {}, the importance file has {}",
            list(&alone),
            if theirs.is_empty() { "none".to_owned() } else { list(&theirs) }
        )));
    }
    let mut notes = Vec::new();
    if !alone.is_empty() {
        notes.push(format!("no importance for {}: the mean is taken", list(&alone)));
    }
    Ok((partners, notes))
}

/// Adam's `exp_avg_sq` tensors in parameter order.
fn second_moments(other: &Model) -> Vec<&Tensor> {
    let mut found: BTreeMap<(&str, u64), &Tensor> = BTreeMap::new();
    for tensor in other.extras.iter().chain(&other.tensors) {
        let Some(path) = tensor.name.strip_suffix(".exp_avg_sq") else { continue };
        let (path, number) = path.rsplit_once('.').unwrap_or(("", path));
        if path.rsplit('.').next() != Some("state") {
            continue;
        }
        if let Ok(number) = number.parse() {
            found.insert((path, number), tensor);
        }
    }
    found.into_values().collect()
}

/// Buffers that a state dict holds beside its parameters, and that no optimizer sees.
fn is_buffer(name: &str) -> bool {
    ["running_mean", "running_var", "num_batches_tracked"].iter().any(|suffix| name.ends_with(suffix))
}

/// Parameters that an optimizer sees, in the model's order.
fn parameters(model: &Model) -> impl Iterator<Item = (usize, &Tensor)> {
    model
        .tensors
        .iter()
        .enumerate()
        .filter(|(_, tensor)| wants_importance(tensor) && !is_buffer(&tensor.name))
}

/// Matches moments to parameters in order, skipping parameters of other shapes; where the file lists its parameters in
/// another order than the optimizer (safetensors files are often sorted by name), in order among those of equal shape.
fn by_order(model: &Model, moments: &[&Tensor]) -> Result<Partners, EngineError> {
    let mut partners: Vec<Option<Tensor>> = vec![None; model.tensors.len()];
    let mut rest = moments.iter().peekable();
    for (index, tensor) in parameters(model) {
        if let (Some(slot), Some(moment)) =
            (partners.get_mut(index), rest.next_if(|m| m.shape == tensor.shape))
        {
            *slot = Some((*moment).clone());
        }
    }
    let mut how = "by order";
    if let Some(left) = rest.next() {
        partners = by_shape(model, moments).ok_or_else(|| {
            EngineError::Importance(format!(
                "{} of shape {:?} fits no parameter in order, and the shapes of the optimizer's {} parameters are not those of \
                 the model's {}",
                left.name,
                left.shape,
                moments.len(),
                parameters(model).count()
            ))
        })?;
        how = "by shape, and by order among equal shapes, because the file lists them in another order than the optimizer";
    }
    let mut notes = vec![format!("matched {} of Adam's second moments to parameters {how}", moments.len())];
    let without = |(index, tensor): (usize, &Tensor)| {
        partners.get(index).is_some_and(Option::is_none).then(|| tensor.name.clone())
    };
    let alone: Vec<String> = parameters(model).filter_map(without).collect();
    if !alone.is_empty() {
        notes.push(format!("no second moment for {}: the mean is taken", list(&alone)));
    }
    Ok((partners, notes))
}

/// Matches by shape; `None` unless model and optimizer have the same number of every shape.
fn by_shape(model: &Model, moments: &[&Tensor]) -> Option<Vec<Option<Tensor>>> {
    let mut by_shape: BTreeMap<&[u64], Vec<&Tensor>> = BTreeMap::new();
    for moment in moments.iter().rev() {
        by_shape.entry(&moment.shape).or_default().push(moment);
    }
    let mut partners: Vec<Option<Tensor>> = vec![None; model.tensors.len()];
    for (index, tensor) in parameters(model) {
        let moment = by_shape.get_mut(tensor.shape.as_slice())?.pop()?;
        *partners.get_mut(index)? = Some(moment.clone());
    }
    by_shape.values().all(Vec::is_empty).then_some(partners)
}
