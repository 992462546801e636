//! Adam's second moments from an optimizer's state, which numbers its parameters and does not name them (Choi, El-Khamy and Lee
//! 2017, section 3.5, whose square root the default exponent is).

use super::matching::{Matched, Positions, wants_importance};
use super::values::{Partner, Values};
use super::{file, list};
use crate::model::Model;
use crate::tensor::Tensor;

/// Matches second moments to parameters by order, with shapes checked; a file without an optimizer's state is one whose tensors
/// have the weights' names.
pub(super) fn matched(model: &Model, other: &Model) -> Matched {
    let moments = second_moments(other);
    if moments.is_empty() { file::matched(model, other) } else { by_order(model, &moments) }
}

/// Adam's `exp_avg_sq` tensors in parameter order.
fn second_moments(other: &Model) -> Vec<&Tensor> {
    let all: Vec<&Tensor> = other.extras.iter().chain(&other.tensors).collect();
    let mut positions = Positions::new();
    for (position, tensor) in all.iter().enumerate() {
        let Some(path) = tensor.name.strip_suffix(".exp_avg_sq") else { continue };
        let (path, number) = path.rsplit_once('.').unwrap_or(("", path));
        if path.rsplit('.').next() != Some("state") {
            continue;
        }
        if let Ok(number) = number.parse::<u64>() {
            positions.insert(format!("{path} {number:020}"), position);
        }
    }
    positions.values().filter_map(|position| all.get(*position).copied()).collect()
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
fn by_order(model: &Model, moments: &[&Tensor]) -> Matched {
    let mut matched = Matched { partners: vec![None; model.tensors.len()], ..Matched::default() };
    let mut rest = moments.iter().peekable();
    for (index, tensor) in parameters(model) {
        if let (Some(slot), Some(moment)) =
            (matched.partners.get_mut(index), rest.next_if(|m| m.shape == tensor.shape))
        {
            *slot = Some(Partner::new(tensor, moment, Values::PerWeight));
        }
    }
    let mut how = "by order";
    if let Some(left) = rest.next() {
        let Some(partners) = by_shape(model, moments) else {
            matched.misfit = Some(format!(
                "{} of shape {:?} fits no parameter in order, and the shapes of the optimizer's {} parameters are not those of \
                 the model's {}",
                left.name,
                left.shape,
                moments.len(),
                parameters(model).count()
            ));
            return matched;
        };
        matched.partners = partners;
        how = "by shape, and by order among equal shapes, because the file lists them in another order than the optimizer";
    }
    matched.notes.push(format!("matched {} of Adam's second moments to parameters {how}", moments.len()));
    let without = |(index, tensor): (usize, &Tensor)| {
        matched.partners.get(index).is_some_and(Option::is_none).then(|| tensor.name.clone())
    };
    let alone: Vec<String> = parameters(model).filter_map(without).collect();
    if !alone.is_empty() {
        matched.notes.push(format!("no second moment for {}: the mean is taken", list(&alone)));
    }
    matched
}

/// The tensor's shape and how many of that shape `seen` has counted before.
fn nth_of_shape(seen: &mut Positions, tensor: &Tensor) -> String {
    let shape = format!("{:?}", tensor.shape);
    let count = seen.get(&shape).map_or(0, |count| count + 1);
    let name = format!("{shape} {count}");
    seen.insert(shape, count);
    name
}

/// Matches by shape; `None` unless model and optimizer have the same number of every shape.
fn by_shape(model: &Model, moments: &[&Tensor]) -> Option<Vec<Option<Partner>>> {
    let (mut theirs, mut ours, mut by_shape) = (Positions::new(), Positions::new(), Positions::new());
    for (position, moment) in moments.iter().enumerate() {
        by_shape.insert(nth_of_shape(&mut theirs, moment), position);
    }
    let mut partners: Vec<Option<Partner>> = vec![None; model.tensors.len()];
    let mut matched = 0;
    for (index, tensor) in parameters(model) {
        let moment = moments.get(*by_shape.get(&nth_of_shape(&mut ours, tensor))?)?;
        *partners.get_mut(index)? = Some(Partner::new(tensor, moment, Values::PerWeight));
        matched += 1;
    }
    (matched == moments.len()).then_some(partners)
}
