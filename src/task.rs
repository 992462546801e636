//! Tasks: runs of blocks of one tensor, each a pure function from bytes to bytes, and the messages that carry what they gave.

use crate::container::block_weights;
use crate::model::Model;
use crate::tensor::Tensor;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::ops::Range;

/// Most elements per block.
pub const BLOCK_WEIGHTS: u64 = crate::container::BLOCK_WEIGHTS as u64;

/// A message does not fit its job; a defect of ours.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("a task's message does not fit its job (a defect of Quantscope)")]
pub struct Misfit;

/// A run of blocks of one tensor: what one worker does at a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Task {
    /// Index of the tensor in the model.
    pub tensor: usize,
    /// First element.
    pub start: u64,
    /// One past the last element.
    pub end: u64,
    /// Elements per block; the last block may be shorter.
    pub block: u64,
    /// Bytes to be read, for progress.
    pub bytes: u64,
    /// Elements of the file before the tensor, in a task of a sketch: its samples are evenly spread over the file.
    pub before: u64,
}

impl Task {
    /// The whole of a tensor, block by block.
    pub fn whole(index: usize, tensor: &Tensor) -> Self {
        Self {
            tensor: index,
            start: 0,
            end: tensor.len(),
            block: block_weights(&tensor.shape),
            bytes: tensor.size_bytes(),
            before: 0,
        }
    }

    /// The element ranges of the blocks, in order; one empty range for an empty tensor.
    pub fn blocks(&self) -> impl Iterator<Item = Range<u64>> + use<> {
        let Self { start, end, block, .. } = *self;
        let block = block.max(1);
        let count = (end - start).div_ceil(block).max(1);
        (0..count).map(move |i| start + i * block..(start + (i + 1) * block).min(end))
    }

    /// The task cut into tasks of about `weights` elements, each a whole number of blocks.
    pub(crate) fn split(self, weights: u64) -> Vec<Self> {
        let block = self.block.max(1);
        let step = (weights / block).max(1) * block;
        let count = (self.end - self.start).div_ceil(step).max(1);
        let size = self.bytes.checked_div(self.end - self.start).unwrap_or(0);
        let part = |i: u64| {
            let start = self.start + i * step;
            let end = (start + step).min(self.end);
            Self { start, end, bytes: (end - start) * size, ..self }
        };
        (0..count).map(part).collect()
    }
}

/// The tasks that read a whole model: a block each, or a whole tensor where its bytes must be read in order.
pub fn tasks(model: &Model) -> Vec<Task> {
    tasks_of(model, BLOCK_WEIGHTS)
}

/// The tasks of a [sketch](crate::engine::sketch): four blocks each, since a histogram has nearly as many cells for one
/// block as for four.
pub fn sketch_tasks(model: &Model) -> Vec<Task> {
    tasks_of(model, 4 * BLOCK_WEIGHTS)
}

fn tasks_of(model: &Model, weights: u64) -> Vec<Task> {
    let mut tasks = Vec::new();
    let mut elements = 0u64;
    for (index, tensor) in model.tensors.iter().enumerate() {
        let before = elements;
        elements = elements.wrapping_add(tensor.len());
        if tensor.same_as.is_some() {
            continue;
        }
        let whole = Task { before, ..Task::whole(index, tensor) };
        tasks.extend(cut(whole, tensor, weights));
    }
    tasks
}

/// A task cut into some of about `weights` elements each, unless its bytes must be read in order.
pub(crate) fn cut(task: Task, tensor: &Tensor, weights: u64) -> Vec<Task> {
    if tensor.is_sequential() { vec![task] } else { task.split(weights) }
}

/// Runs of tasks that are given to a worker together: of a file of many small tensors, telling one by one takes longer
/// than reading.
pub fn batches(tasks: &[Task]) -> Vec<Range<usize>> {
    const BYTES: u64 = 1 << 20;
    const TASKS: usize = 256;
    let (mut batches, mut start, mut bytes) = (Vec::new(), 0, 0u64);
    for (at, task) in tasks.iter().enumerate() {
        if at > start && (bytes.saturating_add(task.bytes) > BYTES || at - start == TASKS) {
            batches.push(start..at);
            (start, bytes) = (at, 0);
        }
        bytes = bytes.saturating_add(task.bytes);
    }
    if start < tasks.len() {
        batches.push(start..tasks.len());
    }
    batches
}

/// A message as bytes.
pub(crate) fn pack<T: Serialize>(message: &T) -> Vec<u8> {
    // Serialising plain data into a growing vector has no way to fail; an empty message is refused by `unpack`.
    postcard::to_stdvec(message).unwrap_or_default()
}

/// Reads a message of [`pack`].
pub(crate) fn unpack<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Misfit> {
    postcard::from_bytes(bytes).map_err(|_| Misfit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn batches_are_every_task_in_order_and_end_where_enough_is_read() {
        let task = |bytes| Task { tensor: 0, start: 0, end: 1, block: 1, bytes, before: 0 };
        let of = |bytes: &[u64]| batches(&bytes.iter().map(|bytes| task(*bytes)).collect::<Vec<_>>());
        assert!(of(&[]).is_empty());
        assert_eq!(of(&[5 << 20, 1, 1, 1 << 20, 7]), [0..1, 1..3, 3..4, 4..5]);
        assert_eq!(of(&[1; 600]), [0..256, 256..512, 512..600]);
    }
}
