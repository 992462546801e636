//! Importance for every weight, from a file with the model's tensors by name and shape: a Hessian's diagonal (Choi,
//! El-Khamy and Lee 2017, section 3.1), a Fisher diagonal, what `quantscope importance` writes.

use super::matching::{Matched, by_name};
use super::values::Values;
use crate::model::Model;
use crate::tensor::Tensor;

/// Matches by name; shapes must be equal.
pub(super) fn matched(model: &Model, other: &Model) -> Matched {
    by_name(model, other, fit)
}

fn fit(ours: &Tensor, theirs: &Tensor) -> Result<Values, String> {
    if ours.shape == theirs.shape {
        Ok(Values::PerWeight)
    } else {
        Err(format!("shape {:?} as in the model", ours.shape))
    }
}
