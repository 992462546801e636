//! Steps: on which grid each tensor's weights are, for methods that assign them in the order of coding.
//!
//! One λ serves all tensors, so that a bit buys the same everywhere, and steps follow importance: error times importance is to be
//! the same per weight (reverse water-filling; Gao, Liu, Wang and Oh 2019, section 3), so a tensor of mean importance h̄ has the
//! step base / √h̄. Biases, normalisation and other tensors of less than two dimensions are few and sensitive: their step is finer
//! by 2^`fine`, and small against the smallest of values that are all positive, which are scales and variances.

use super::EngineError;
use super::groups::{Group, Groups};
use crate::entropy::Goal;
use crate::histogram::Histogram;
use crate::model::Model;
use crate::quantize::{QuantizeError, Settings, SettingsError, grid, uniform};
use crate::recipe::{Recipe, Scope};
use serde::{Deserialize, Serialize};

/// Largest number of a grid: symbols have 16 bits.
const MOST: f64 = 32_000.0;
/// A step follows importance up to this factor either way.
const FURTHEST: f64 = 64.0;
/// The least value of an all-positive tensor is at least so many steps.
const STEPS_BELOW_LEAST: f64 = 16.0;

/// The grid of one tensor.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Grid {
    /// Distance between neighbouring numbers.
    pub step: f32,
    /// What a bit is worth, in units of step² at mean importance 1.
    pub bit: f32,
    /// Largest number in magnitude.
    pub most: u32,
}

impl Grid {
    pub fn goal(&self) -> Goal {
        Goal { step: self.step, bit: self.bit }
    }
}

/// The grid of each group, which are tensors; `None` for a tensor of less than two dimensions that no grid reaches, which is
/// to be kept as it is.
pub(super) fn grids(
    model: &Model,
    groups: &Groups,
    recipe: &Recipe,
    settings: &Settings,
) -> Result<Vec<Option<Grid>>, EngineError> {
    let rank = |group: &Group| group.tensor.and_then(|i| model.tensors.get(i)).map_or(0, |t| t.shape.len());
    let all_flat = groups.all.iter().all(|group| rank(group) < 2);
    let common = (recipe.scope == Scope::All).then(|| {
        let mut weights = Histogram::default();
        for group in groups.all.iter().filter(|group| all_flat || rank(group) >= 2) {
            weights.merge(&group.kept);
        }
        uniform::deviation(&weights)
    });
    let grid = |group: &Group| {
        let unit = common.unwrap_or_else(|| uniform::deviation(&group.kept));
        grid_of(group, rank(group) < 2 && !all_flat, unit, settings)
    };
    groups.all.iter().map(grid).collect()
}

fn grid_of(
    group: &Group,
    is_flat: bool,
    unit: f64,
    settings: &Settings,
) -> Result<Option<Grid>, EngineError> {
    let total = group.kept.total();
    let importance = total.importance / total.count.max(1) as f64;
    let factor = if importance > 0.0 { 1.0 / libm::sqrt(importance) } else { FURTHEST };
    let base = settings.number("step") * unit;
    let mut step = base * factor.clamp(1.0 / FURTHEST, FURTHEST);
    let cells = group.kept.moments();
    let mean = |cell: Option<&crate::histogram::Moments>| {
        cell.map_or(0.0, |cell| cell.sum / cell.count.max(1) as f64)
    };
    let (least, most) = (mean(cells.first()), mean(cells.last()));
    if is_flat {
        step = step.min(base * libm::exp2(-(settings.integer("fine") as f64)));
        if least > 0.0 {
            step = step.min(least / STEPS_BELOW_LEAST);
        }
    }
    let is_trellis = grid::states(settings) > 1;
    let step = if is_trellis { step / 2.0 } else { step };
    // λ in the units of its own grid: the same for all tensors whose step follows importance alone.
    let bit = settings.number("lambda") * grid::UNIT_LAMBDA * if is_trellis { 4.0 } else { 1.0 };
    let step = step as f32;
    let reach = least.abs().max(most.abs()) / f64::from(step);
    if reach >= MOST || reach.is_nan() {
        if is_flat {
            return Ok(None);
        }
        return Err(QuantizeError::from(SettingsError {
            field: "step".to_owned(),
            expected: format!("a step that reaches the largest weight in {MOST} numbers"),
            found: format!("{}, which needs {reach:.0}", settings.number("step")),
        })
        .into());
    }
    // Cells hold means: the largest weight may lie a little further out. A trellis needs a way around.
    let most = (reach * 1.001) as u32 + 4;
    Ok(Some(Grid { step, bit: (bit * importance.max(1e-12)) as f32, most }))
}
