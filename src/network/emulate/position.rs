//! Where a value's numbers stand in the whole data set, which rounding at random depends on: the same for any size of a batch.
//!
//! A number's index is that of its node, mixed, plus its place in the value of all samples, as if they were the first axis. Which
//! axis they are is what differs between a batch of one sample and one of two. Where they are the last axis of a product of
//! matrices, or are folded behind another one, a number's index depends on the size of a batch.

use crate::number_format::{Counts, Rounder};
use crate::random::SplitMix64;

/// What is rounded of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// What it gives.
    Output,
    /// Its products and sums.
    Sums,
    /// What is added to them at the end.
    Addend,
    /// A constant.
    Constant,
}

/// The index of the first number of a part of the node or constant number `of`.
pub(super) fn first(part: Part, of: usize) -> u64 {
    SplitMix64::new((of as u64) << 2 | part as u64).bits()
}

/// The axis of a value that counts samples, and how long it is for one of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct SampleAxis {
    axis: usize,
    each: usize,
}

impl SampleAxis {
    /// The axis of which a value has twice as many places for two samples as for one; the first where none is told.
    pub(super) fn between(one: &[usize], two: &[usize]) -> Self {
        let extents = one.iter().zip(two);
        let axis = extents.clone().position(|(one, two)| *two == 2 * one).filter(|_| one.len() == two.len());
        let axis = axis.unwrap_or(0);
        Self { axis, each: one.get(axis).copied().unwrap_or(1) }
    }
}

/// Where the numbers of a batch's value stand.
#[derive(Debug, Clone, Copy)]
pub(super) struct Positions {
    first: u64,
    /// What lies before, along and behind the axis of samples.
    outer: usize,
    extent: usize,
    inner: usize,
    /// Places along it that earlier batches have.
    earlier: u64,
}

impl Positions {
    /// Of a value of this shape in the batch that begins with sample `start`; `first` is the index of its first number.
    pub(super) fn new(first: u64, shape: &[usize], samples: SampleAxis, start: usize) -> Self {
        let SampleAxis { axis, each } = samples;
        let product = |axes: Option<&[usize]>| axes.unwrap_or_default().iter().product::<usize>().max(1);
        Self {
            first,
            outer: product(shape.get(..axis)),
            extent: shape.get(axis).copied().unwrap_or(1).max(1),
            inner: product(shape.get(axis + 1..)),
            earlier: (start as u64).wrapping_mul(each as u64),
        }
    }

    /// The index of a number, each of which takes `width` indices.
    pub(super) fn at(&self, place: usize, width: u64) -> u64 {
        let (line, within) = (place / self.inner, place % self.inner);
        let (outer, along) = (line / self.extent, line % self.extent);
        let line = self.earlier.wrapping_add(along as u64).wrapping_mul(self.outer as u64) + outer as u64;
        let place = line.wrapping_mul(self.inner as u64).wrapping_add(within as u64);
        self.first.wrapping_add(place.wrapping_mul(width))
    }

    /// Rounds the numbers of the value.
    pub(super) fn round(&self, rounder: &Rounder, numbers: &mut [f32]) -> Counts {
        if self.outer == 1 || !rounder.is_random() {
            return rounder.round_slice(numbers, self.at(0, 1));
        }
        let mut counts = Counts::default();
        for (line, numbers) in numbers.chunks_mut(self.inner).enumerate() {
            counts.merge(&rounder.round_slice(numbers, self.at(line * self.inner, 1)));
        }
        counts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_the_same_index_in_batches_of_any_size() {
        for (axis, one, two) in
            [(0, [1, 3, 4], [2, 3, 4]), (1, [3, 2, 4], [3, 4, 4]), (2, [3, 4, 1], [3, 4, 2])]
        {
            let samples = SampleAxis::between(&one, &two);
            assert_eq!(samples, SampleAxis { axis, each: one[axis] });
            let each = one[axis];
            let shape = |count: usize| {
                let mut shape = one;
                shape[axis] = each * count;
                shape
            };
            let whole = Positions::new(7, &shape(6), samples, 0);
            let mut seen = std::collections::BTreeSet::new();
            for (start, count) in [(0, 1), (1, 3), (4, 2)] {
                let (own, part) = (shape(count), Positions::new(7, &shape(count), samples, start));
                for a in 0..own[0] {
                    for b in 0..own[1] {
                        for c in 0..own[2] {
                            let mut at = [a, b, c];
                            let place =
                                |at: [usize; 3], of: [usize; 3]| (at[0] * of[1] + at[1]) * of[2] + at[2];
                            let found = part.at(place(at, own), 5);
                            at[axis] += start * each;
                            assert_eq!(found, whole.at(place(at, shape(6)), 5));
                            seen.insert(found);
                        }
                    }
                }
            }
            assert_eq!(seen.len(), shape(6).iter().product::<usize>(), "each has its own");
        }
        assert_eq!(SampleAxis::between(&[5], &[5]), SampleAxis { axis: 0, each: 5 });
    }
}
