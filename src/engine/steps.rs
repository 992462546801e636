//! Steps: on which grid each tensor's weights are, for methods that assign them in the order of coding.
//!
//! One λ serves all tensors, so that a bit buys the same everywhere, and steps follow importance: error times importance is to be
//! the same per weight (reverse water-filling; Gao, Liu, Wang and Oh 2019, section 3), so a tensor of mean importance h̄ has the
//! step base / √h̄. Biases, normalisation and other tensors of less than two dimensions are few and sensitive: their step is
//! finer by 2^`fine`, and small against the smallest of values that are all positive, which are scales and variances.

use super::EngineError;
use super::groups::{Group, Groups};
use crate::code::GridCode;
use crate::histogram::Histogram;
use crate::model::Model;
use crate::number;
use crate::quantize::{QuantizeError, Scope, Settings, SettingsError, grid, uniform};
use crate::recipe::Checked;
use crate::role::Role;

/// Largest number of a grid: symbols have 16 bits.
const MOST: f64 = 32_000.0;
/// A step follows importance up to this factor either way.
const FURTHEST: f64 = 64.0;
/// The least value of an all-positive tensor is at least so many steps.
const STEPS_BELOW_LEAST: f64 = 16.0;

/// How the numbers of one tensor lie.
#[derive(Debug, Clone, Copy)]
struct Spacing {
    /// Distance between neighbouring numbers.
    step: f32,
    /// What a bit is worth, in units of step².
    bit: f32,
    /// Largest number in magnitude.
    most: u16,
}

/// The grid of each group, which are tensors; `None` for a tensor of less than two dimensions that no grid reaches, which is
/// to be kept as it is.
pub(super) fn grids(
    model: &Model,
    groups: &Groups,
    recipe: &Checked,
) -> Result<Vec<Option<GridCode>>, EngineError> {
    let tensor_of = |group: &Group| group.tensor.and_then(|i| model.tensors.get(i));
    let rank = |group: &Group| tensor_of(group).map_or(0, |tensor| tensor.shape.len());
    let has_importance = recipe.importance.source.is_some();
    let all_flat = groups.all.iter().all(|group| rank(group) < 2);
    let role_of = |group: &Group| tensor_of(group).map_or(Role::Weight, |tensor| tensor.found.role);
    let finer_by = |group: &Group| tensor_of(group).map_or(0.0, |tensor| recipe.finer_by(&tensor.name));
    let typical = typical_size(groups);
    let common = (recipe.scope == Scope::All).then(|| {
        let mut weights = Histogram::default();
        for group in groups.all.iter().filter(|group| all_flat || rank(group) >= 2) {
            weights.merge(&group.kept);
        }
        uniform::deviation(&weights)
    });
    let spacing = |group: &Group| {
        let unit = common.unwrap_or_else(|| {
            let share = if has_importance { 1.0 } else { share_of_noise(group, typical) };
            uniform::deviation(&group.kept) * share
        });
        let unit = unit * libm::exp2(-finer_by(group));
        // A step of its own is as fine as its numbers reach; a common one that is too fine for a tensor is refused.
        let finest = if common.is_none() { Some(reach_of(group) / (0.99 * MOST)) } else { None };
        let kind =
            Kind { is_flat: rank(group) < 2 && !all_flat, has_domain: role_of(group).has_domain(), finest };
        spacing_of(group, kind, unit, &recipe.settings)
    };
    let spacings: Vec<Option<Spacing>> =
        groups.all.iter().map(spacing).collect::<Result<_, EngineError>>()?;
    let widest = spacings.iter().flatten().map(|spacing| spacing.most).max();
    let grid = |spacing: Option<Spacing>| {
        let Some(Spacing { step, bit, most }) = spacing else { return Ok(None) };
        // Tensors that share a code table share the symbol of zero.
        let centre = widest.filter(|_| common.is_some()).unwrap_or(most);
        Ok(Some(GridCode::new(step, most, centre, bit)?))
    };
    spacings.into_iter().map(grid).collect()
}

/// What the relative noise of all tensors adds up to where a recipe leaves the step open, in dB. Measured on networks that
/// packages carry (docs/methods.md): their outputs then keep 20 dB and more.
const BUDGET_DB: f64 = 24.0;
/// So many times smaller than 32-bit floats the file is to be all the same.
const LEAST_RATIO: f64 = 5.08;
/// What a kept 32-bit float costs in the file, about: its exponent is coded, its mantissa hardly.
const KEPT_SHARE: f64 = 0.87;
/// The steps that are chosen from.
const OPEN_STEPS: (f64, f64) = (0.02, 0.5);

/// The step that a recipe leaves open, in deviations of a typical tensor: such that the noise of all tensors, relative to
/// each one's own energy, adds up to [`BUDGET_DB`] — an error in a layer of n weights is one error of the output, however
/// many weights share it — and coarser where the file would not be [`LEAST_RATIO`] times smaller. `kept_bytes` are the
/// bytes of the floats that are kept.
///
/// Cost: some passes over the cells.
pub(super) fn open_step(groups: &Groups, kept_bytes: u64) -> f64 {
    let typical = typical_size(groups);
    let weights: f64 = groups.all.iter().map(|group| group.kept.total().count as f64).sum();
    let tensors = (weights / typical).max(1.0);
    let mut step = libm::sqrt(12.0 * libm::exp10(-BUDGET_DB / 10.0) / tensors);
    let floats = weights * 4.0 + kept_bytes as f64;
    let room = (floats / LEAST_RATIO - kept_bytes as f64 * KEPT_SHARE).max(weights / 4.0) * 8.0;
    while step < OPEN_STEPS.1 && bits_at(groups, typical, step) > room {
        step *= 1.06;
    }
    number::rounded(step.clamp(OPEN_STEPS.0, OPEN_STEPS.1), 3)
}

/// Bits of all weights at a step: the order-0 entropy of their nearest numbers.
fn bits_at(groups: &Groups, typical: f64, step: f64) -> f64 {
    let bits = |group: &Group| {
        let unit = uniform::deviation(&group.kept) * share_of_noise(group, typical) * step;
        let (mut bits, mut total, mut run, mut at) = (0.0, 0.0, 0.0, i64::MIN);
        let mut close = |run: f64| {
            if run > 0.0 {
                bits -= run * libm::log2(run);
            }
        };
        for cell in group.kept.moments() {
            let number = libm::rint(cell.sum / cell.count.max(1) as f64 / unit) as i64;
            if number != at {
                close(run);
                (run, at) = (0.0, number);
            }
            run += cell.count as f64;
            total += cell.count as f64;
        }
        close(run);
        bits + total * libm::log2(total.max(1.0))
    };
    groups.all.iter().map(bits).sum()
}

/// The size of a typical weight's tensor: exp(Σ n·log n / Σ n) over tensors of n weights. With it, shares of noise leave the
/// mean rate of all weights as it is.
fn typical_size(groups: &Groups) -> f64 {
    let sizes = groups.all.iter().map(|group| group.kept.total().count as f64).filter(|n| *n > 0.0);
    let (logs, weights) = sizes.fold((0.0, 0.0), |(logs, sum), n| (logs + n * libm::log(n), sum + n));
    if weights > 0.0 { libm::exp(logs / weights) } else { 1.0 }
}

/// How much coarser a tensor's step is than a typical one's in its own deviations.
fn share_of_noise(group: &Group, typical: f64) -> f64 {
    let size = group.kept.total().count as f64;
    libm::sqrt(size / typical).clamp(1.0 / FURTHEST, FURTHEST)
}

/// What else a tensor's step depends on.
#[derive(Debug, Clone, Copy)]
struct Kind {
    /// Less than two dimensions, among others that have them.
    is_flat: bool,
    /// Its numbers must not leave their domain.
    has_domain: bool,
    /// The finest step in place of a finer one.
    finest: Option<f64>,
}

/// The largest magnitude of a group's weights.
fn reach_of(group: &Group) -> f64 {
    let cells = group.kept.moments();
    let ends = [cells.first(), cells.last()].into_iter().flatten();
    ends.map(|cell| (cell.sum / cell.count.max(1) as f64).abs()).fold(0.0, f64::max)
}

fn spacing_of(
    group: &Group,
    Kind { is_flat, has_domain, finest }: Kind,
    unit: f64,
    settings: &Settings,
) -> Result<Option<Spacing>, EngineError> {
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
    }
    if (is_flat || has_domain) && least > 0.0 {
        step = step.min(least / STEPS_BELOW_LEAST);
    }
    let is_trellis = grid::states(settings) > 1;
    let step = if is_trellis { step / 2.0 } else { step };
    let step = finest.map_or(step, |finest| step.max(finest));
    // λ in the units of its own grid: the same for all tensors whose step follows importance alone.
    let bit = settings.number("lambda") * grid::UNIT_LAMBDA * if is_trellis { 4.0 } else { 1.0 };
    let step = step as f32;
    if !step.is_finite() || step <= 0.0 {
        return Err(QuantizeError::from(SettingsError {
            field: "step".to_owned(),
            expected: "a step that a 32-bit float can hold for these weights".to_owned(),
            found: format!("{}", settings.number("step")),
        })
        .into());
    }
    let reach = least.abs().max(most.abs()) / f64::from(step);
    if reach >= MOST || reach.is_nan() {
        if is_flat || has_domain {
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
    let most = (reach * 1.001) as u16 + 4;
    Ok(Some(Spacing { step, bit: (bit * importance.max(1e-12)) as f32, most }))
}
