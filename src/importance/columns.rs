//! Importance for every input of a layer, from a file with a vector under the name of its weight: mean squared activations, or
//! the diagonal of a layer's Hessian where all outputs weigh alike.
//!
//! Which weights make a column stands in [`values`](super::values).

use super::matching::{Matched, by_name};
use super::values::{Columns, Values};
use crate::model::Model;
use crate::tensor::Tensor;

/// Matches by name; the file's tensors are vectors as long as the model's have columns.
pub(super) fn matched(model: &Model, other: &Model) -> Matched {
    by_name(model, other, fit)
}

fn fit(ours: &Tensor, theirs: &Tensor) -> Result<Values, String> {
    // A vector may be written as a matrix of one row or column.
    let is_vector = theirs.shape.iter().filter(|extent| **extent != 1).count() <= 1;
    let columns = Columns::of(ours, theirs.len()).filter(|_| is_vector);
    columns
        .map(Values::PerColumn)
        .ok_or_else(|| format!("a vector, a number for each column of {:?}", ours.shape))
}
