//! Means and sums over dimensions.

use super::{Step, axis_of, unsupported};
use crate::network::NetworkError;
use ndarray::{Axis, IxDyn};
use std::collections::BTreeSet;

/// `GlobalAveragePool`, `ReduceMean`, `ReduceSum`: every element goes into its sum alike.
pub(super) fn back(step: &mut Step) -> Result<(), NetworkError> {
    let pair = step.pair();
    let x = step.input(0)?;
    let rank = x.ndim();
    let given: Vec<i64> = match step.node.operator.as_str() {
        "GlobalAveragePool" => (2..rank as i64).collect(),
        _ => match step.node.ints("axes") {
            Some(axes) => axes.to_vec(),
            None => step.integers(1).unwrap_or_default(),
        },
    };
    let axes: Option<BTreeSet<usize>> = given.iter().map(|axis| axis_of(*axis, rank)).collect();
    let axes = axes.ok_or_else(|| step.unsupported())?;
    let axes = if axes.is_empty() { (0..rank).collect() } else { axes };
    let keeps = step.node.operator == "GlobalAveragePool" || step.node.int("keepdims", 1) != 0;
    let count: usize = axes.iter().filter_map(|axis| x.shape().get(*axis)).product();
    let factor = if step.node.operator == "ReduceSum" { 1.0 } else { 1.0 / count.max(1) as f32 };
    let shape = x.shape().to_vec();
    let node = step.node;
    let refused = || unsupported(node);
    let back = pair.try_through(|g, power| {
        let mut g = g.clone();
        if !keeps {
            for axis in &axes {
                g = g.insert_axis(Axis(*axis));
            }
        }
        let wide = g.broadcast(IxDyn(&shape)).ok_or_else(refused)?;
        Ok(wide.mapv(|g| g * power.number(factor)))
    })?;
    step.give(0, back);
    Ok(())
}
