//! What enters a layer in a network whose layers before it are quantized, beside what enters it in the float one.

use super::sites::Site;
use super::vectors::Rows;
use super::{MOST_INPUTS, Sums};
use crate::network::walk::Walk;
use crate::network::{Network, NetworkError};

/// Second moments of one site's vectors x in the float network and x̂ in the quantized one: matrices one behind the other, each
/// the mean over samples of a sum over positions.
#[derive(Debug, Clone)]
pub(in crate::network) struct Entering {
    /// Numbers of a vector.
    pub inputs: usize,
    /// Groups of units, each with a matrix.
    pub groups: usize,
    /// E[x̂ x̂ᵀ].
    pub own: Vec<f64>,
    /// E[x x̂ᵀ], a row for each number of x.
    pub cross: Vec<f64>,
}

/// The moments of `site` on the samples of two walks, through the float network and the quantized one, at the same positions of
/// both; nothing where it has no vectors, or vectors of too many numbers. `is_final` where what enters will not change.
///
/// # Errors
///
/// A network that cannot be run on the data; numbers that are not finite.
pub(in crate::network) fn entering(
    (site, is_final): (&Site, bool),
    (float, float_walk): (&Network, &mut Walk<'_>),
    (quantized, quantized_walk): (&Network, &mut Walk<'_>),
) -> Result<Option<Entering>, NetworkError> {
    let value = (site.value.as_str(), is_final);
    let samples = float_walk.samples();
    let (mut own, mut cross) = (Sums::default(), Sums::default());
    for batch in float_walk.batches() {
        let values = [
            float_walk.value(float, (value.0, true), batch.clone())?,
            quantized_walk.value(quantized, value, batch.clone())?,
        ];
        let [Some(x), Some(entering)] = values.each_ref().map(|value| value.as_floats()) else {
            return Ok(None);
        };
        let (x, entering) = (x.as_standard_layout().into_owned(), entering.as_standard_layout().into_owned());
        if x.iter().chain(&entering).any(|x| !x.is_finite()) {
            let part = format!("the inputs of {}", crate::importance::list(&site.weights));
            return Err(NetworkError::data(part, "finite numbers", "infinities or NaN"));
        }
        let rows = (Rows::new(&x, &site.vectors), Rows::new(&entering, &site.vectors));
        let (Some(x), Some(entering)) = rows else { return Ok(None) };
        if x.inputs > MOST_INPUTS || !x.is_like(&entering) {
            return Ok(None);
        }
        own.add((&entering, &entering), samples, batch.clone());
        cross.add((&x, &entering), samples, batch);
    }
    let (inputs, groups) = (own.inputs, own.groups);
    let found = Entering { inputs, groups, own: own.means(samples), cross: cross.means(samples) };
    Ok(Some(found).filter(|found| found.inputs > 0))
}
