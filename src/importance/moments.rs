//! Importance from the second moments E[x xᵀ] of a layer's inputs: a symmetric matrix under the name of its weight, such as OBS
//! and GPTQ (Frantar et al. 2022, section 3) start from; one for each group of units where groups see other inputs, as in grouped
//! convolutions and the directions of a recurrent layer.
//!
//! Without [compensation](super::Compensation) a weight's error is weighed by the diagonal alone, with it by the whole
//! matrix. Under the matrix's name and [`UNITS`] may stand what the errors of each unit are multiplied by: how much the loss
//! curves with its output.

use super::matching::{Matched, by_name};
use super::values::{Columns, Values};
use crate::model::Model;
use crate::tensor::Tensor;

/// What follows a weight's name in that of the tensor of its units.
pub const UNITS: &str = ".units";

/// Matches by name; the file's tensors are square, as many rows as the model's have columns.
pub(super) fn matched(model: &Model, other: &Model) -> Matched {
    let mut matched = by_name(model, other, fit);
    for partner in matched.partners.iter_mut().flatten() {
        let columns = partner.values.columns().unwrap_or(Columns { count: 0, run: 0 });
        let Some(units) = partner.weights.checked_div(columns.count) else { continue };
        let name = format!("{}{UNITS}", partner.tensor.name);
        let Some(theirs) = other.tensors.iter().find(|tensor| tensor.name == name) else { continue };
        if theirs.shape == [units] {
            partner.units_tensor = Some(theirs.clone());
        } else {
            let found = &theirs.shape;
            let misfit =
                || format!("tensor {name}: expected a number for each of {units} units, found {found:?}");
            matched.misfit.get_or_insert_with(misfit);
        }
    }
    matched
}

fn fit(ours: &Tensor, theirs: &Tensor) -> Result<Values, String> {
    let columns = match theirs.shape.as_slice() {
        [rows, columns] if rows == columns => Columns::of_inputs(ours, *columns, 1),
        [groups, rows, columns] if rows == columns => Columns::of_inputs(ours, *columns, *groups),
        _ => None,
    };
    columns
        .map(Values::SecondMoments)
        .ok_or_else(|| format!("a square matrix, a row for each column of {:?}", ours.shape))
}
