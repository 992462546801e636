//! One model in several files: shards of safetensors or `PyTorch`.
//!
//! Definition: Hugging Face, "Big model inference", sharded checkpoints (`save_pretrained` and `split_state_dict_into_shards` of
//! `huggingface_hub`). Shards are complete weight files of one kind, called `NAME-00001-of-00003.ENDING`; an index beside them,
//! `NAME.ENDING.index.json`, has a `weight_map` from the name of every tensor to the file that it lies in. The index is the
//! first file of the source and its shards are the others; without an index, all files of a numbered set are the source.
//!
//! The index must be true: every tensor that it names lies in the shard that it names, and no tensor lies in two. Tensors that it
//! does not name are read all the same, since a program that reads the shards one by one finds them, and a note says so.
//! Not read: its `metadata`. Cost: that of the shards, and O(n log n) in the number of tensors.

mod index;
mod set;

pub(super) use index::{companions, is_index};
#[cfg(not(target_arch = "wasm32"))]
pub(crate) use set::set_of;
pub(super) use set::{Member, is_numbered, note};

use super::error::{several, shown};
use super::source::{Part, Window, read_part};
use super::zip::is_zip;
use super::{FormatError, Limits, Source, safetensors, torch};
use crate::model::{FileFormat, Model};
use crate::order::by_name;
use index::Index;

/// More are no model of anyone's; each is a file that is held open.
const MOST_SHARDS: u64 = 4096;

/// Bytes of a shard's start that its kind is told by.
const HEAD_BYTES: u64 = 4096;

/// Locates the tensors of all shards, in the order of the shards' names.
pub(super) fn open(source: &dyn Source, head: &[u8], limits: &Limits) -> Result<Model, FormatError> {
    let index = if is_index(head) { Some(Index::read(source, limits)?) } else { None };
    let shards = match &index {
        Some(index) => index.shards(source)?,
        None => set::shards(source.parts())?,
    };
    let mut whole = Model::empty(FileFormat::Shards);
    let mut kind = None;
    // For each shard, the number of tensors up to its end: of the weights, and of the extras.
    let mut ends = Vec::with_capacity(shards.len());
    for shard in &shards {
        let mut model = open_shard(source, shard, limits).map_err(|error| error.inside(&shard.name))?;
        let first = *kind.get_or_insert(model.format);
        if model.format != first {
            let expected = format!("{}, as the shards before it are", first.name());
            return Err(FormatError::damaged(shown(&shard.name), expected, model.format.name()));
        }
        model.shift(shard.span.offset);
        whole.append(model);
        ends.push((whole.tensors.len(), whole.extras.len()));
        let count = (whole.tensors.len() + whole.extras.len()) as u64;
        if count > limits.tensors {
            return Err(FormatError::too_large("the number of tensors", count, limits.tensors));
        }
    }
    let note = check(&whole, &shards, &ends, index.as_ref())?;
    whole.notes.extend(note);
    Ok(whole)
}

/// Locates the tensors of one shard, positions counted from its start.
fn open_shard(source: &dyn Source, shard: &Part, limits: &Limits) -> Result<Model, FormatError> {
    let window = Window::new(source, shard.span);
    let head = read_part(&window, "the file's start", 0, window.len().min(HEAD_BYTES), HEAD_BYTES)?;
    if is_zip(&head) {
        return torch::open_archive(&window, limits);
    }
    if safetensors::is_safetensors(&head) {
        return safetensors::open(&window, limits);
    }
    if torch::is_pickle(&head) {
        return torch::open_pickle(&window, limits);
    }
    Err(FormatError::damaged("the shard", "a safetensors or PyTorch file", "one of another kind"))
}

/// An error where a tensor lies in two shards, or elsewhere than the index says; a note on tensors that the index does not name.
fn check(
    whole: &Model,
    shards: &[&Part],
    ends: &[(usize, usize)],
    index: Option<&Index>,
) -> Result<Option<String>, FormatError> {
    let shard_of = |position: usize| {
        let at = match position.checked_sub(whole.tensors.len()) {
            None => ends.partition_point(|(end, _)| *end <= position),
            Some(position) => ends.partition_point(|(_, end)| *end <= position),
        };
        shards.get(at).map_or("", |shard| shard.name.as_str())
    };
    let tensors = whole.tensors.iter().chain(&whole.extras);
    let names: Vec<&str> = tensors.map(|tensor| tensor.name.as_str()).collect();
    let order = by_name(&names);
    let name_at = |place: &usize| names.get(*place).copied().unwrap_or_default();
    let twice = order.iter().zip(order.iter().skip(1)).find(|(a, b)| name_at(a) == name_at(b));
    if let Some((one, two)) = twice {
        let part = format!("tensor {}", shown(name_at(one)));
        let found = several(&[shard_of(*one), shard_of(*two)]);
        return Err(FormatError::damaged(part, "its elements in one shard", found));
    }
    let Some(index) = index else { return Ok(None) };
    let mut unnamed: Vec<bool> = vec![true; names.len()];
    for (name, file) in index.entries() {
        let found = order.binary_search_by(|place| name_at(place).cmp(name));
        let place = found.ok().and_then(|at| order.get(at)).copied();
        let lies_in = place.map_or("", shard_of);
        if !index::is_same(lies_in, file) {
            let expected = format!("it in {}, where the index has it", shown(file));
            let found = if lies_in.is_empty() { "no such tensor".to_owned() } else { shown(lies_in) };
            return Err(FormatError::damaged(format!("tensor {}", shown(name)), expected, found));
        }
        if let Some(unnamed) = place.and_then(|place| unnamed.get_mut(place)) {
            *unnamed = false;
        }
    }
    let unnamed: Vec<&str> = names.iter().zip(unnamed).filter(|(_, is)| *is).map(|(name, _)| *name).collect();
    Ok((!unnamed.is_empty()).then(|| format!("the index does not name {}", several(&unnamed))))
}

#[cfg(test)]
mod tests;
