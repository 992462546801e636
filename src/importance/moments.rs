//! Importance from the second moments E[x xᵀ] of a layer's inputs: a symmetric matrix under the name of its weight, such as OBS
//! and GPTQ (Frantar et al. 2022, section 3) start from.
//!
//! A weight's error is weighed by the diagonal. The whole matrix stays in the file, where
//! [`Importance::partner`](super::Importance::partner) says.

use super::matching::{Matched, by_name};
use super::values::{Columns, Values};
use crate::model::Model;
use crate::tensor::Tensor;

/// Matches by name; the file's tensors are square, as many rows as the model's have columns.
pub(super) fn matched(model: &Model, other: &Model) -> Matched {
    by_name(model, other, fit)
}

fn fit(ours: &Tensor, theirs: &Tensor) -> Result<Values, String> {
    let columns = match theirs.shape.as_slice() {
        [rows, columns] if rows == columns => Columns::of(ours, *columns),
        _ => None,
    };
    columns
        .map(Values::SecondMoments)
        .ok_or_else(|| format!("a square matrix, a row for each column of {:?}", ours.shape))
}
