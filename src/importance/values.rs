//! How a tensor of an importance file gives a value to every weight of a tensor of the model.
//!
//! A linear layer's output is a sum over its inputs, so what is known of its inputs (a mean square, say) is one number for a
//! column of its matrix, the same for all outputs: OBS and GPTQ's diagonal (Frantar et al. 2022, section 3). Which weights make a
//! column follows from the layout:
//!
//! | shape | columns |
//! |---|---|
//! | `[n]` | its n numbers |
//! | `[outputs, inputs]` | inputs |
//! | `[outputs, inputs, height, width]`, any number of extents | inputs·height·width, or inputs, each for all of its kernel |
//! | `[inputs, outputs]` of ONNX's `MatMul`, `[inputs, outputs, …]` of `ConvTranspose` | inputs |
//!
//! In grouped convolutions, inputs are those of a group. Where nothing says whether inputs are a matrix's first axis or
//! its last, it is the axis that has the length asked about, and of a square matrix the last.

use super::ImportanceError;
use crate::compensation::{Factor, Factors};
use crate::formats::{Limits, Source, TensorReader};
use crate::role::InputAxis;
use crate::tensor::Tensor;
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// What the numbers of a tensor of an importance file stand for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Values {
    /// A number for every weight, in their order.
    PerWeight,
    /// A number for every column.
    PerColumn(Columns),
    /// The second moments E[x xᵀ] of what the columns are multiplied by: a symmetric matrix, or one for each group of units,
    /// whose diagonal is a number for every column.
    SecondMoments(Columns),
}

/// Which weights share a number: weight i of a tensor has number ⌊i / run⌋ mod count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Columns {
    /// Numbers.
    pub count: u64,
    /// Neighbours in the tensor's order that share one.
    pub run: u64,
}

impl Sequel {
    /// A reader of the targets.
    pub(super) fn reader<'a>(&self, source: &'a dyn Source) -> Result<TensorReader<'a>, ImportanceError> {
        Ok(TensorReader::new(source, &self.targets, &Limits::default())?)
    }
}

impl Values {
    /// The columns, where a column's weights share a number.
    pub const fn columns(self) -> Option<Columns> {
        match self {
            Self::PerWeight => None,
            Self::PerColumn(columns) | Self::SecondMoments(columns) => Some(columns),
        }
    }
}

impl Columns {
    /// The columns of `tensor` if it has so many, as the module's table has them.
    pub fn of(tensor: &Tensor, count: u64) -> Option<Self> {
        let (first, rest) = match tensor.shape.as_slice() {
            [] => (1, &[1][..]),
            [length] => (1, std::slice::from_ref(length)),
            [first, rest @ ..] => (*first, rest),
        };
        let inner: u64 = rest.iter().product();
        let (inputs, is_matrix) = (rest.first().copied().unwrap_or(1), rest.len() == 1);
        let is_last = tensor.found.inputs != InputAxis::First;
        let is_first = match tensor.found.inputs {
            InputAxis::First => true,
            InputAxis::Last => false,
            InputAxis::Unknown => is_matrix && tensor.shape.len() > 1,
        };
        if is_last && count == inner {
            Some(Self { count, run: 1 })
        } else if is_last && count == inputs {
            Some(Self { count, run: inner.checked_div(inputs)? })
        } else if is_first && count == first {
            Some(Self { count, run: inner })
        } else {
            None
        }
    }

    /// The columns of matrices of the second moments of `count` inputs, as many matrices as there are groups of units.
    pub fn of_inputs(tensor: &Tensor, count: u64, groups: u64) -> Option<Self> {
        let whole = Self::of(tensor, count).filter(|_| groups == 1);
        whole.or_else(|| Self::of_group(tensor, count, groups))
    }

    /// The columns of each of `groups` groups of units of `tensor` that have `count` inputs: what ends its shape, or a share
    /// of what begins it.
    fn of_group(tensor: &Tensor, count: u64, groups: u64) -> Option<Self> {
        let mut inner = 1u64;
        for extent in tensor.shape.iter().rev().filter(|_| tensor.found.inputs != InputAxis::First) {
            inner = inner.checked_mul(*extent)?;
            if inner == count && (tensor.len() / inner.max(1)).is_multiple_of(groups.max(1)) {
                return Some(Self { count, run: 1 });
            }
        }
        let [first, rest @ ..] = tensor.shape.as_slice() else { return None };
        let is_share = tensor.found.inputs == InputAxis::First && count.checked_mul(groups) == Some(*first);
        is_share.then(|| Self { count, run: rest.iter().product() })
    }

    /// Appends the numbers of the weights `range`; linear time.
    pub(super) fn spread(self, numbers: &[f32], range: Range<u64>, values: &mut Vec<f32>) {
        // A tensor without columns has no weights.
        let (Some(run), Some(rest)) = (range.start.checked_div(self.run), range.start.checked_rem(self.run))
        else {
            return;
        };
        let Some(column) = run.checked_rem(self.count) else { return };
        let (mut left, mut at) = (self.run - rest, column as usize);
        for _ in range {
            values.push(numbers.get(at).copied().unwrap_or(0.0));
            left -= 1;
            if left == 0 {
                left = self.run;
                at = if at + 1 == numbers.len() { 0 } else { at + 1 };
            }
        }
    }
}

/// What importance is read for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// To choose steps, levels and prices, before anything is quantized.
    Planning,
    /// To assign weights, once the layers before theirs are quantized.
    Encoding,
}

/// What quantizing the layers before leaves of a weight's own layer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Sequel {
    /// The second moments of what enters it then; of the shape of the partner's tensor.
    pub entering: Tensor,
    /// What its weights are to be in their place.
    pub targets: Tensor,
}

/// A tensor of the importance file beside the model's tensor that it weighs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Partner {
    /// The importance file's tensor, whole.
    pub tensor: Tensor,
    /// What its numbers stand for.
    pub values: Values,
    /// Weights of the model's tensor.
    pub(super) weights: u64,
    /// Matrices, one behind the other, each for as many units.
    pub(super) groups: u64,
    /// The importance file's tensor of what every unit's errors are multiplied by.
    pub(super) units_tensor: Option<Tensor>,
    /// What takes the place of its moments and of the weights themselves once the layers before are quantized.
    pub(super) sequel: Option<Sequel>,
    /// The number of every column, once surveyed.
    pub(super) numbers: Vec<f32>,
    /// What every unit's errors are multiplied by, once surveyed.
    pub(super) units: Vec<f32>,
    /// The largest finite one, once surveyed.
    pub(super) largest: f64,
}

impl Partner {
    /// The partner of `ours`.
    pub(super) fn new(ours: &Tensor, theirs: &Tensor, values: Values) -> Self {
        let groups = match (values, theirs.shape.as_slice()) {
            (Values::SecondMoments(_), [groups, _, _]) => *groups,
            _ => 1,
        };
        Self {
            tensor: theirs.clone(),
            values,
            weights: ours.len(),
            groups,
            units_tensor: None,
            sequel: None,
            numbers: Vec::new(),
            units: Vec::new(),
            largest: 0.0,
        }
    }

    /// Groups of units, each with a matrix where there are matrices.
    pub const fn groups(&self) -> u64 {
        self.groups
    }

    /// A reader of its file's tensor.
    pub(super) fn reader<'a>(&self, source: &'a dyn Source) -> Result<TensorReader<'a>, ImportanceError> {
        Ok(TensorReader::new(source, &self.tensor, &Limits::default())?)
    }

    /// The tensor of its second moments: of the float network, or of the one that is quantized before it.
    pub(super) fn moments(&self, stage: Stage) -> &Tensor {
        match (&self.sequel, stage) {
            (Some(sequel), Stage::Encoding) => &sequel.entering,
            _ => &self.tensor,
        }
    }

    /// Numbers that are held: of columns and of units.
    pub(super) fn numbers(&self) -> u64 {
        let columns = self.values.columns().map_or(0, |columns| columns.count.saturating_mul(self.groups));
        columns.saturating_add(self.units_tensor.as_ref().map_or(0, Tensor::len))
    }

    /// Reads the number of every column from the file: as many numbers as there are columns, whose total was checked.
    pub(super) fn read_numbers(&self, source: &dyn Source) -> Result<Vec<f32>, ImportanceError> {
        match self.values.columns() {
            Some(columns) => self.first_values(source, columns.count.saturating_mul(self.groups)),
            None => Ok(Vec::new()),
        }
    }

    /// Reads what every unit's errors are multiplied by; nothing where units weigh alike.
    pub(super) fn read_units(&self, source: &dyn Source) -> Result<Vec<f32>, ImportanceError> {
        let mut units = Vec::new();
        if let Some(tensor) = &self.units_tensor {
            TensorReader::new(source, tensor, &Limits::default())?.read_f32(0..tensor.len(), &mut units)?;
        }
        Ok(units)
    }

    /// Whether its columns are the inputs of units, one weight each, so that one weight of a unit can repair another's error.
    pub fn has_units(&self) -> bool {
        let Values::SecondMoments(columns) = self.values else { return false };
        let per_group = self.weights.checked_div(self.groups).unwrap_or(0);
        let unit = columns.count.saturating_mul(columns.run);
        unit > 0 && per_group.is_multiple_of(unit) && self.weights.is_multiple_of(self.groups.max(1))
    }

    /// Hands over the matrices of `moments`, one after the other.
    pub(super) fn each_matrix(
        &self,
        source: &dyn Source,
        moments: &Tensor,
        take: &mut dyn FnMut(&[f32]) -> Result<(), ImportanceError>,
    ) -> Result<(), ImportanceError> {
        let count = self.values.columns().map_or(0, |columns| columns.count);
        let (mut reader, mut matrix) = (TensorReader::new(source, moments, &Limits::default())?, Vec::new());
        for group in 0..self.groups {
            let len = count.saturating_mul(count);
            matrix.clear();
            reader.read_f32(group * len..(group + 1) * len, &mut matrix)?;
            take(&matrix)?;
        }
        Ok(())
    }

    /// The factors of its matrices.
    pub(super) fn factors(
        &self,
        source: &dyn Source,
        damping: f64,
        stage: Stage,
    ) -> Result<Factors, ImportanceError> {
        let columns = self.values.columns().unwrap_or(Columns { count: 0, run: 1 });
        let mut groups = Vec::new();
        self.each_matrix(source, self.moments(stage), &mut |matrix| {
            let factor = Factor::new(matrix, columns.count as usize, damping);
            groups.push(factor.map_err(|error| {
                ImportanceError::Moments(format!(
                    "tensor {}: {error}",
                    crate::formats::shown(&self.tensor.name)
                ))
            })?);
            Ok(())
        })?;
        let group_len = self.weights.checked_div(self.groups).unwrap_or(0) as usize;
        Ok(Factors { groups, group_len, run: columns.run as usize })
    }

    /// Appends the numbers of the weights `range`, those of their columns times those of their units; linear time.
    pub(super) fn spread(
        &self,
        (numbers, units): (&[f32], &[f32]),
        range: Range<u64>,
        values: &mut Vec<f32>,
    ) {
        let Some(columns) = self.values.columns() else { return };
        if units.is_empty() && self.groups == 1 {
            return columns.spread(numbers, range, values);
        }
        let per_group = self.weights.checked_div(self.groups).unwrap_or(0);
        let (count, run) = (columns.count, columns.run);
        for i in range {
            let group = i.checked_div(per_group).unwrap_or(0);
            let column = i.checked_div(run).and_then(|at| at.checked_rem(count)).unwrap_or(0);
            let unit = i.checked_div(run * count).unwrap_or(0) * run + i.checked_rem(run).unwrap_or(0);
            let number = numbers.get((group * count + column) as usize).copied().unwrap_or(0.0);
            values.push(number * units.get(unit as usize).copied().unwrap_or(1.0));
        }
    }

    /// Reads the raw values that the tensor gives, at most the first so many: weights' or columns'.
    pub fn first_values(&self, source: &dyn Source, most: u64) -> Result<Vec<f32>, ImportanceError> {
        let (mut reader, mut values) = (self.reader(source)?, Vec::new());
        if let Values::SecondMoments(Columns { count, .. }) = self.values {
            for number in 0..count.saturating_mul(self.groups).min(most) {
                let (group, column) = (number / count, number % count);
                let at = group * count * count + column * (count + 1);
                reader.read_f32(at..at + 1, &mut values)?;
            }
        } else {
            reader.read_f32(0..self.tensor.len().min(most), &mut values)?;
        }
        Ok(values)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::role::Found;
    use crate::tensor::{Dtype, Span, Storage};

    fn tensor(shape: &[u64], inputs: InputAxis) -> Tensor {
        Tensor {
            found: Found { inputs, ..Found::default() },
            ..Tensor::plain(
                "w".to_owned(),
                shape.to_vec(),
                Dtype::F32,
                Storage::Stored(Span { offset: 0, len: 0 }),
            )
        }
    }

    #[test]
    fn columns_are_found_by_length_and_by_what_is_known_of_the_axes() {
        use InputAxis::{First, Last, Unknown};
        let some = |count, run| Some(Columns { count, run });
        for (shape, inputs, count, expected) in [
            (&[][..], Unknown, 1, some(1, 1)),
            (&[5], Unknown, 5, some(5, 1)),
            (&[5], Unknown, 4, None),
            (&[2, 3], Unknown, 3, some(3, 1)),
            (&[2, 3], Unknown, 2, some(2, 3)),
            (&[2, 3], Unknown, 6, None),
            (&[2, 3], Last, 2, None),
            (&[2, 3], First, 2, some(2, 3)),
            (&[2, 3], First, 3, None),
            (&[4, 4], Unknown, 4, some(4, 1)),
            (&[4, 4], First, 4, some(4, 4)),
            (&[8, 3, 2, 2], Unknown, 12, some(12, 1)),
            (&[8, 3, 2, 2], Last, 3, some(3, 4)),
            (&[8, 3, 2, 2], Unknown, 8, None),
            (&[8, 3, 2, 2], First, 8, some(8, 12)),
            (&[8, 3, 2, 2], First, 12, None),
            (&[0, 4], Unknown, 4, some(4, 1)),
            (&[4, 0], Unknown, 0, some(0, 1)),
            (&[4, 0], Unknown, 4, some(4, 0)),
            (&[2, 0, 3], Unknown, 3, None),
            (&[2, 3, 0], Last, 3, some(3, 0)),
        ] {
            assert_eq!(Columns::of(&tensor(shape, inputs), count), expected, "{shape:?} {inputs:?} {count}");
        }
    }

    #[test]
    fn numbers_are_spread_by_their_definition_whatever_the_range() {
        for columns in
            [(1, 1), (3, 1), (1, 4), (3, 4), (0, 1), (4, 0)].map(|(count, run)| Columns { count, run })
        {
            let numbers: Vec<f32> = (0..columns.count).map(|i| i as f32).collect();
            let weights = 2 * columns.count * columns.run;
            for start in 0..=weights {
                for end in start..=weights {
                    let mut values = Vec::new();
                    columns.spread(&numbers, start..end, &mut values);
                    let expected: Vec<f32> =
                        (start..end).map(|i| (i / columns.run % columns.count) as f32).collect();
                    assert_eq!(values, expected, "{columns:?} {start}..{end}");
                }
            }
        }
    }

    #[test]
    fn weights_have_the_number_of_their_group_and_place_times_that_of_their_unit() {
        // Two groups of three units of four inputs, one after the other or side by side.
        for run in [1, 3] {
            let columns = Columns { count: 4, run };
            let ours = tensor(&[24], InputAxis::Unknown);
            let theirs = tensor(&[2, 4, 4], InputAxis::Unknown);
            let partner = Partner::new(&ours, &theirs, Values::SecondMoments(columns));
            let numbers: Vec<f32> = (0..8).map(|i| 0.3 + i as f32).collect();
            let units: Vec<f32> = (0..6).map(|unit| 1.0 + unit as f32).collect();
            let mut spread = Vec::new();
            partner.spread((&numbers, &units), 0..24, &mut spread);
            for (i, value) in (0u64..).zip(&spread) {
                let (group, place) = (i / 12, i / run % 4);
                let unit = i / (run * 4) * run + i % run;
                assert_eq!(*value, numbers[(group * 4 + place) as usize] * units[unit as usize], "{run} {i}");
            }
            assert_eq!(spread.len(), 24);
        }
    }
}
