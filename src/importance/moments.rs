//! Importance from the second moments E[x xᵀ] of a layer's inputs: a symmetric matrix under the name of its weight, such as OBS
//! and GPTQ (Frantar et al. 2022, section 3) start from; one for each group of units where groups see other inputs, as in grouped
//! convolutions and the directions of a recurrent layer.
//!
//! Without [compensation](super::Compensation) a weight's error is weighed by the diagonal alone, with it by the whole
//! matrix. Under the matrix's name and [`UNITS`] may stand what the errors of each unit are multiplied by: how much the loss
//! curves with its output.
//!
//! A file that was made while a network was quantized layer after layer has two more tensors for a weight
//! ([`ENTERING`], [`TARGETS`]): the second moments of what enters the layer once those before it are quantized, and what its
//! weights are to be in their place. Steps and prices follow from the moments of the float network, which are known before
//! the first layer is; errors are weighed and passed on by those of what enters.

use super::matching::{Matched, by_name};
use super::values::{Columns, Sequel, Values};
use crate::model::Model;
use crate::tensor::Tensor;

/// What follows a weight's name in that of the tensor of its units.
pub const UNITS: &str = ".units";
/// What follows a weight's name in that of the second moments of what enters its layer in the quantized network.
pub const ENTERING: &str = ".entering";
/// What follows a weight's name in that of its targets.
pub const TARGETS: &str = ".targets";

/// Whether a tensor of a file of moments is something beside a weight's matrix.
pub(super) fn is_beside(name: &str) -> bool {
    [UNITS, ENTERING, TARGETS].iter().any(|ending| name.ends_with(ending))
}

/// Matches by name; the file's tensors are square, as many rows as the model's have columns.
pub(super) fn matched(model: &Model, other: &Model) -> Matched {
    let mut matched = by_name(model, other, fit);
    let mut misfit = None;
    for (ours, partner) in model.tensors.iter().zip(&mut matched.partners) {
        let Some(partner) = partner else { continue };
        let columns = partner.values.columns().unwrap_or(Columns { count: 0, run: 0 });
        let Some(units) = partner.weights.checked_div(columns.count) else { continue };
        let mut beside = |ending: &str, shape: &[u64], what: &str| {
            let name = format!("{}{ending}", partner.tensor.name);
            let theirs = other.tensors.iter().find(|tensor| tensor.name == name)?;
            if theirs.shape == shape {
                return Some(theirs.clone());
            }
            let found = &theirs.shape;
            misfit.get_or_insert_with(|| format!("tensor {name}: expected {what}, found {found:?}"));
            None
        };
        partner.units_tensor = beside(UNITS, &[units], &format!("a number for each of {units} units"));
        let shape = &partner.tensor.shape;
        let entering = beside(ENTERING, shape, &format!("a matrix of shape {shape:?}"));
        let targets = beside(TARGETS, &ours.shape, &format!("the weight's shape {:?}", ours.shape));
        partner.sequel = entering.zip(targets).map(|(entering, targets)| Sequel { entering, targets });
    }
    matched.misfit = matched.misfit.or(misfit);
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
