//! Which tensor of an importance file belongs to which tensor of the model.

use super::{ImportanceError, list};
use crate::formats::matching_name;
use crate::model::Model;
use crate::recipe::ImportanceKind;
use crate::tensor::Tensor;
use std::collections::BTreeMap;

/// Positions of tensors by a name for what they are found by; one type, so that the page carries one map.
type Places = BTreeMap<String, usize>;

type Partners = (Vec<Option<Tensor>>, Vec<String>);

/// The partner of each tensor of `model` in `other`, with notes on what stayed alone.
pub fn partners(kind: ImportanceKind, model: &Model, other: &Model) -> Result<Partners, ImportanceError> {
    let moments = second_moments(other);
    if kind == ImportanceKind::Adam && !moments.is_empty() {
        return by_order(model, &moments);
    }
    by_name(model, other)
}

fn wants_importance(tensor: &Tensor) -> bool {
    tensor.dtype.is_float() && tensor.same_as.is_none()
}

fn by_name(model: &Model, other: &Model) -> Result<Partners, ImportanceError> {
    let mut places = Places::new();
    for (place, tensor) in other.tensors.iter().enumerate().filter(|(_, t)| t.dtype.is_float()) {
        places.insert(matching_name(&tensor.name).to_owned(), place);
    }
    let mut alone = Vec::new();
    let mut partners = Vec::with_capacity(model.tensors.len());
    for tensor in &model.tensors {
        let place = places.get(matching_name(&tensor.name)).filter(|_| wants_importance(tensor));
        let found = place.and_then(|place| other.tensors.get(*place));
        if let Some(partner) = found
            && partner.shape != tensor.shape
        {
            return Err(ImportanceError::Unfit(format!(
                "tensor {}: expected shape {:?} as in the model, found {:?}",
                tensor.name, tensor.shape, partner.shape
            )));
        }
        if found.is_none() && wants_importance(tensor) {
            alone.push(tensor.name.clone());
        }
        partners.push(found.cloned());
    }
    if partners.iter().all(Option::is_none) {
        let theirs: Vec<String> = other.tensors.iter().chain(&other.extras).map(|t| t.name.clone()).collect();
        return Err(ImportanceError::Unfit(format!(
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
    let all: Vec<&Tensor> = other.extras.iter().chain(&other.tensors).collect();
    let mut places = Places::new();
    for (place, tensor) in all.iter().enumerate() {
        let Some(path) = tensor.name.strip_suffix(".exp_avg_sq") else { continue };
        let (path, number) = path.rsplit_once('.').unwrap_or(("", path));
        if path.rsplit('.').next() != Some("state") {
            continue;
        }
        if let Ok(number) = number.parse::<u64>() {
            places.insert(format!("{path} {number:020}"), place);
        }
    }
    places.values().filter_map(|place| all.get(*place).copied()).collect()
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
fn by_order(model: &Model, moments: &[&Tensor]) -> Result<Partners, ImportanceError> {
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
            ImportanceError::Unfit(format!(
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

/// The tensor's shape and how many of that shape `seen` has counted before.
fn nth_of_shape(seen: &mut Places, tensor: &Tensor) -> String {
    let shape = format!("{:?}", tensor.shape);
    let count = seen.get(&shape).map_or(0, |count| count + 1);
    let name = format!("{shape} {count}");
    seen.insert(shape, count);
    name
}

/// Matches by shape; `None` unless model and optimizer have the same number of every shape.
fn by_shape(model: &Model, moments: &[&Tensor]) -> Option<Vec<Option<Tensor>>> {
    let (mut theirs, mut ours, mut by_shape) = (Places::new(), Places::new(), Places::new());
    for (place, moment) in moments.iter().enumerate() {
        by_shape.insert(nth_of_shape(&mut theirs, moment), place);
    }
    let mut partners: Vec<Option<Tensor>> = vec![None; model.tensors.len()];
    let mut matched = 0;
    for (index, tensor) in parameters(model) {
        let moment = moments.get(*by_shape.get(&nth_of_shape(&mut ours, tensor))?)?;
        *partners.get_mut(index)? = Some((*moment).clone());
        matched += 1;
    }
    (matched == moments.len()).then_some(partners)
}
