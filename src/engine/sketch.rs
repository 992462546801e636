//! The first map: a tensor's blocks to histograms, statistics, hash and samples.

use super::kept::Kept;
use super::report::Stats;
use super::{EngineError, Input, Task, pack};
use crate::checksum::xxh3;
use crate::container::row_len;
use crate::formats::{Limits, TensorReader};
use crate::histogram::{Accumulator, Histogram};
use serde::{Deserialize, Serialize};

/// What one block of a tensor adds to the sketch.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct BlockSketch {
    /// XXH3-128 of the block's bytes.
    pub hash: u128,
    pub non_finite: u64,
    pub zeros: u64,
    pub min: f32,
    pub max: f32,
    /// Of all the task's blocks, in its last one.
    pub histogram: Histogram,
    /// Every stride-th (weight, importance) pair of the file; only with importance.
    pub sample: Vec<(f32, f32)>,
    /// All (weight, importance) pairs of every stride-th leading index, where channels are longer than one element.
    pub rows: Vec<(f32, f32)>,
}

/// The sketch of one tensor.
#[derive(Debug, Clone, Default)]
pub(super) struct TensorSketch {
    pub stats: Option<Stats>,
    pub histogram: Histogram,
    pub sample: Vec<(f32, f32)>,
    pub rows: Vec<(f32, f32)>,
    /// What speaks against quantizing it, once everything is absorbed.
    pub oddity: Option<Kept>,
    /// Whether it has no place of its own in the file; see [`without_place`](crate::skeleton::without_place).
    pub is_entangled: bool,
    pub hashes: Vec<u128>,
}

impl TensorSketch {
    pub fn absorb(&mut self, block: BlockSketch) {
        self.hashes.push(block.hash);
        if let Some(stats) = &mut self.stats {
            let first = stats.min == 0.0 && stats.max == 0.0 && self.hashes.len() == 1;
            stats.min = if first { block.min } else { stats.min.min(block.min) };
            stats.max = if first { block.max } else { stats.max.max(block.max) };
            stats.non_finite += block.non_finite;
            stats.zeros += block.zeros;
        }
        self.histogram.merge(&block.histogram);
        self.sample.extend(block.sample);
        self.rows.extend(block.rows);
    }
}

/// Sketches a task's blocks; `stride` is the session's [`sample_stride`](super::Session::sample_stride).
///
/// Linear time; memory for one block and its cells.
pub fn sketch(input: Input, task: &Task, stride: u64) -> Result<Vec<u8>, EngineError> {
    let tensor = input.tensor(task)?;
    let mut reader = TensorReader::new(input.source, tensor, &Limits::default())?;
    let mut importance = match input.importance {
        Some((source, importance)) => Some(importance.reader(source, task.tensor, None)?),
        None => None,
    };
    let first = task.before;
    let row = row_len(&tensor.shape);
    // What a task that failed has left behind.
    with_accumulator(|accumulator| drop(accumulator.take()));
    let Buffers { mut bytes, mut values, mut h } = BUFFERS.take();
    let mut sketches = Vec::new();
    for range in task.blocks() {
        bytes.clear();
        values.clear();
        h.clear();
        reader.read(range.clone(), &mut bytes)?;
        let mut sketch = BlockSketch { hash: xxh3(&bytes), ..BlockSketch::default() };
        if tensor.dtype.is_float() {
            tensor.dtype.extend_f32(&bytes, &mut values);
            if let Some(importance) = &mut importance {
                importance.read(range.clone(), &mut h)?;
            }
            sketch.measure(&values);
            let h = importance.is_some().then_some(h.as_slice());
            if sketch.non_finite == 0 {
                with_accumulator(|accumulator| accumulator.add(&values, h));
                sketch.draw(&values, h, range.start, first, stride, row);
            }
        }
        sketches.push(sketch);
    }
    if let Some(last) = sketches.last_mut() {
        last.histogram = with_accumulator(Accumulator::take);
    }
    BUFFERS.set(Buffers { bytes, values, h });
    Ok(pack(&sketches))
}

/// A block's bytes, weights and importance.
#[derive(Default)]
struct Buffers {
    bytes: Vec<u8>,
    values: Vec<f32>,
    h: Vec<f32>,
}

thread_local! {
    /// From task to task: memory that is asked for anew takes a system call for every page.
    static BUFFERS: std::cell::RefCell<Buffers> = std::cell::RefCell::default();
    static ACCUMULATOR: std::cell::RefCell<Accumulator> = std::cell::RefCell::new(Accumulator::new());
}

/// Works with this thread's accumulator, so that many small tensors and channels share one index of 4 MiB.
pub(super) fn with_accumulator<T>(work: impl FnOnce(&mut Accumulator) -> T) -> T {
    ACCUMULATOR.with_borrow_mut(work)
}

/// Weights that are compared side by side, and those that are counted in 32 bits: without a branch, for processors that take
/// several at once.
const LANES: usize = 8;
const COUNTED_AT_A_TIME: usize = 1 << 12;

/// How many of at most [`COUNTED_AT_A_TIME`] weights are such.
fn count(values: &[f32], is_such: impl Fn(f32) -> bool) -> u64 {
    u64::from(values.iter().map(|value| u32::from(is_such(*value))).sum::<u32>())
}

impl BlockSketch {
    /// Counts zeros and what is not finite, and finds the least and the largest of what is.
    #[allow(clippy::needless_bitwise_bool, reason = "both are looked at, so that lanes have no branches")]
    fn measure(&mut self, values: &[f32]) {
        let (mut min, mut max) = ([f32::INFINITY; LANES], [f32::NEG_INFINITY; LANES]);
        for values in values.chunks(COUNTED_AT_A_TIME) {
            self.non_finite += count(values, |value| !value.is_finite());
            self.zeros += count(values, |value| value == 0.0);
            for values in values.chunks(LANES) {
                for ((value, min), max) in values.iter().zip(&mut min).zip(&mut max) {
                    *min = if (*value < *min) & (*value > f32::NEG_INFINITY) { *value } else { *min };
                    *max = if (*value > *max) & (*value < f32::INFINITY) { *value } else { *max };
                }
            }
        }
        let min = min.into_iter().fold(f32::INFINITY, f32::min);
        let max = max.into_iter().fold(f32::NEG_INFINITY, f32::max);
        // A zero has no sign here: which of two is less, processors do not agree on.
        (self.min, self.max) = if min <= max { (min + 0.0, max + 0.0) } else { (0.0, 0.0) };
    }

    fn draw(&mut self, values: &[f32], h: Option<&[f32]>, start: u64, first: u64, stride: u64, row: u64) {
        let pair = |i: usize| {
            let weight = values.get(i).copied().unwrap_or(0.0);
            (weight, h.and_then(|h| h.get(i)).copied().unwrap_or(1.0))
        };
        if h.is_some() {
            let skip = (stride - first.wrapping_add(start) % stride) % stride;
            let picked = (skip as usize..values.len()).step_by(stride as usize);
            self.sample.extend(picked.map(pair));
        }
        let end = start + values.len() as u64;
        // The row that the block starts in, which may have begun in the block before; none where rows are empty.
        let Some(row_here) = start.checked_div(row) else { return };
        for r in (row_here.next_multiple_of(stride)..end.div_ceil(row)).step_by(stride as usize) {
            let from = (r * row).max(start) - start;
            let to = ((r + 1) * row).min(end) - start;
            self.rows.extend((from as usize..to as usize).map(pair));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn least_largest_zeros_and_what_is_not_finite_are_those_of_one_weight_after_the_other() {
        let odd = [0.0, -0.0, f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, f32::MIN, -f32::NAN];
        for len in (0..=2 * LANES + 1).chain([COUNTED_AT_A_TIME - 1, 2 * COUNTED_AT_A_TIME + 3]) {
            for with in [0, 2, 5, 8] {
                let value =
                    |i: usize| odd[..with].get(i * 7 % 11).copied().unwrap_or((i * 37 % 101) as f32 - 50.5);
                let values: Vec<f32> = (0..len).map(value).collect();
                let mut sketch = BlockSketch::default();
                sketch.measure(&values);
                let finite: Vec<f32> = values.iter().copied().filter(|value| value.is_finite()).collect();
                let min = finite.iter().copied().reduce(f32::min).unwrap_or(0.0);
                let max = finite.iter().copied().reduce(f32::max).unwrap_or(0.0);
                assert_eq!((sketch.min, sketch.max), (min, max), "{len} weights, {with}");
                assert_eq!(sketch.non_finite as usize, len - finite.len());
                assert_eq!(sketch.zeros as usize, values.iter().filter(|value| **value == 0.0).count());
            }
        }
    }

    #[test]
    fn sampled_rows_are_those_whose_index_the_stride_divides_whatever_the_blocks() {
        let (row, stride, len) = (7u64, 3u64, 100u64);
        let values: Vec<f32> = (0..len).map(|i| i as f32).collect();
        let expected: Vec<f32> =
            values.iter().copied().filter(|v| (*v as u64 / row).is_multiple_of(stride)).collect();
        for block in [1usize, 5, 7, 20, 100] {
            let mut drawn = Vec::new();
            for (i, part) in values.chunks(block).enumerate() {
                let mut sketch = BlockSketch::default();
                sketch.draw(part, None, (i * block) as u64, 0, stride, row);
                drawn.extend(sketch.rows.into_iter().map(|(w, _)| w));
            }
            assert_eq!(drawn, expected, "blocks of {block}");
        }
    }

    #[test]
    fn the_sample_is_evenly_spread_over_the_file_whatever_the_blocks() {
        let values: Vec<f32> = (0..100).map(|i| i as f32).collect();
        let h = vec![2.0; 100];
        for block in [1usize, 3, 10, 100] {
            let mut drawn = Vec::new();
            for (i, part) in values.chunks(block).enumerate() {
                let mut sketch = BlockSketch::default();
                sketch.draw(part, Some(&h[..part.len()]), (i * block) as u64, 5, 4, 0);
                drawn.extend(sketch.sample);
            }
            let expected: Vec<(f32, f32)> =
                (0..100).filter(|i| (i + 5) % 4 == 0).map(|i| (i as f32, 2.0)).collect();
            assert_eq!(drawn, expected, "blocks of {block}");
        }
    }
}
