//! What of a checkpoint is weights, and what is other state.

use super::pickle::{Id, Pickle};
use crate::tensor::Tensor;
use std::collections::BTreeMap;

/// Keys of a checkpoint that its weights lie under, most telling first.
const WEIGHT_KEYS: [&str; 8] =
    ["state_dict", "model_state_dict", "model_state", "model", "net", "network", "module", "params"];
/// Parts of a checkpoint that are not weights.
const STATE_KEYS: [&str; 6] =
    ["optimizer", "optimizer_state_dict", "optim", "optimizers", "optimizer_states", "scaler"];

/// Keys of several types may read alike: the later ones get a number.
pub(super) fn tell_apart(tensors: &mut [Tensor]) {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    for tensor in tensors {
        let count = seen.entry(tensor.name.clone()).or_insert(0);
        *count += 1;
        if *count > 1 {
            tensor.name = format!("{}#{count}", tensor.name);
        }
    }
}

/// Whether a path leads into an optimizer's state.
pub(super) fn is_state(path: &str) -> bool {
    let first = path.split('.').next().unwrap_or_default();
    let bare = path.strip_prefix("state.").and_then(|rest| rest.split_once('.'));
    STATE_KEYS.contains(&first) || bare.is_some_and(|(number, _)| number.bytes().all(|b| b.is_ascii_digit()))
}

/// Weights and extras: the weights lie under the first well-known key of the root's dictionary that leads to a tensor,
/// with that key removed from their names.
pub(super) fn split(
    pickle: &Pickle,
    tensors: Vec<(Option<Id>, Tensor)>,
) -> (Vec<Tensor>, Vec<Tensor>, Option<&'static str>) {
    let text = |key: &Option<Id>| key.and_then(|id| pickle.text(id)).unwrap_or_default();
    let is_extra = |(key, tensor): &(Option<Id>, Tensor)| match text(key) {
        "state" => is_state(&tensor.name),
        key => STATE_KEYS.contains(&key),
    };
    let (state, rest): (Vec<_>, Vec<_>) = tensors.into_iter().partition(is_extra);
    let bare = |tensors: Vec<(Option<Id>, Tensor)>| tensors.into_iter().map(|(_, tensor)| tensor).collect();
    let is_below = |key: &str, (at, tensor): &(Option<Id>, Tensor)| {
        text(at) == key && tensor.name.strip_prefix(key).is_some_and(|rest| rest.starts_with('.'))
    };
    // A wrapper's prefix that all weights share is theirs to keep: only a key beside others, or a telling one, is a part.
    let key = WEIGHT_KEYS.into_iter().find(|key| {
        let below = rest.iter().filter(|tensor| is_below(key, tensor)).count();
        below > 0 && (key.contains("state") || below < rest.len() || !state.is_empty())
    });
    let Some(key) = key else { return (bare(rest), bare(state), None) };
    let (weights, mut extras): (Vec<_>, Vec<_>) = rest.into_iter().partition(|tensor| is_below(key, tensor));
    let mut weights: Vec<Tensor> = bare(weights);
    for tensor in &mut weights {
        tensor.name = tensor.name.split_off(key.len() + 1);
    }
    extras.extend(state);
    (weights, bare(extras), Some(key))
}
