//! What the charts show of the runs: groups of them, and the points of each.

use super::super::jobs::Size;
use super::Panel;
use super::state::{Origin, Run, measured, predicted};
use crate::network::measure::Share;
use crate::plot::{Accuracy, MARKERS, Measured, MeasuredSeries, SERIES_COLOURS, mark_dominated};
use crate::quantize::methods::METHODS;

/// Runs that are drawn alike: indexes into the state's runs.
pub struct Group {
    pub title: String,
    /// The method's place in the palette.
    slot: usize,
    pub origin: Origin,
    pub runs: Vec<usize>,
}

impl Group {
    fn series(&self, points: Vec<Measured>) -> MeasuredSeries {
        let (slot, joined) = (self.slot, self.origin == Origin::Curve);
        let shift = if self.origin == Origin::Retrained { 3 } else { 0 };
        let marker = MARKERS.get((slot + shift) % MARKERS.len()).copied().unwrap_or_default();
        MeasuredSeries { title: self.title.clone(), points, marker, colour: slot % SERIES_COLOURS, joined }
    }
}

/// What counts as near the float weights: percentage points, nats.
const NEAR_POINTS: f64 = 3.0;
const NEAR_LOSS: f64 = 0.1;

impl Panel {
    /// Runs by method and origin, each in order of size.
    pub(super) fn grouped(&self) -> Vec<Group> {
        let state = self.state.borrow();
        let mut groups = Vec::new();
        for origin in [Origin::Curve, Origin::Single, Origin::Retrained] {
            for (slot, method) in METHODS.iter().enumerate() {
                let of = |run: &Run| {
                    run.method == method.id && run.origin == origin && run.size.is_some() && run.samples > 0
                };
                let mut runs: Vec<usize> = state
                    .runs
                    .iter()
                    .enumerate()
                    .filter(|(_, run)| of(run))
                    .map(|(index, _)| index)
                    .collect();
                let bits = |index: &usize| {
                    state.runs.get(*index).and_then(|r| r.size.as_ref()).map_or(0.0, |s| s.bits)
                };
                runs.sort_by(|a, b| bits(a).total_cmp(&bits(b)));
                let title = match origin {
                    Origin::Curve => method.title.to_owned(),
                    Origin::Single => format!("{}, single recipes", method.title),
                    Origin::Retrained => format!("{}, retrained, on the samples kept out", method.title),
                };
                if !runs.is_empty() {
                    groups.push(Group { title, slot, origin, runs });
                }
            }
        }
        groups
    }

    pub(super) fn describe(&self) -> Accuracy {
        let (x_kind, y_kind) = (self.elements.x.value(), self.elements.y.value());
        let groups = self.grouped();
        let state = self.state.borrow();
        let float = measured(&state.float, &Run::default(), state.data.as_ref());
        let base = float.top1.as_ref().map(Share::value);
        let point = |index: &usize| -> Measured {
            let Some((run, size)) = state.runs.get(*index).and_then(|run| Some((run, run.size.as_ref()?)))
            else {
                return Measured::default();
            };
            // The line of the float weights is that of all samples. A point of others of them stands as far from it as it is from
            // the float weights on its own.
            let shift = match (base, run.measures.float_top1()) {
                (Some(base), Some(beside)) if run.samples != state.float.samples => 100.0 * (base - beside),
                _ => 0.0,
            };
            let (y, interval) = y_of(run, &y_kind, shift);
            Measured { x: x_of(size, &x_kind), y, interval, dominated: false }
        };
        let mut series: Vec<MeasuredSeries> =
            groups.iter().map(|group| group.series(group.runs.iter().map(point).collect())).collect();
        let better_up = !matches!(y_kind.as_str(), "loss" | "divergence");
        mark_dominated(&mut series, x_kind != "ratio", better_up);
        let labels = state.data.as_ref().is_some_and(|data| data.labels.is_some());
        let level = match y_kind.as_str() {
            "top5" => float.top5,
            "top1" => float.top1,
            _ => None,
        };
        let base = level.as_ref().map_or(1.0, Share::value);
        Accuracy {
            series,
            baseline: level.map(|share| (100.0 * share.value(), 100.0 * share.low, 100.0 * share.high)),
            diagonal: false,
            x_title: x_title(&x_kind).to_owned(),
            y_title: y_title(&y_kind, labels).to_owned(),
            limits: self.elements.near.checked().then(|| limits_near(&y_kind, base)),
            chosen: state.chosen,
        }
    }

    /// Predicted against measured change of the loss, both as decimal logarithms.
    pub(super) fn describe_prediction(&self) -> Accuracy {
        let groups = self.grouped();
        let state = self.state.borrow();
        let point = |index: &usize| -> Option<Measured> {
            let run = state.runs.get(*index)?;
            let x = predicted(run.size.as_ref()?)?;
            let against = run.measures.against.as_ref()?;
            let (change, error) = (against.loss_change?, 1.96 * against.loss_error.unwrap_or(0.0));
            let log = |x: f64| libm::log10(x.max(1e-9));
            (x > 0.0 && change > 0.0).then(|| Measured {
                x: log(x),
                y: log(change),
                interval: (log((change - error).max(change * 0.1)), log(change + error)),
                dominated: false,
            })
        };
        let mut series: Vec<MeasuredSeries> =
            groups.iter().map(|group| group.series(group.runs.iter().filter_map(point).collect())).collect();
        series.retain(|series| !series.points.is_empty());
        for series in &mut series {
            series.joined = false;
        }
        Accuracy {
            series,
            diagonal: true,
            limits: Some(((-7.0, 2.0), (-7.0, 2.0))),
            x_title: "predicted change of the loss, ½ Σ h δ², log₁₀ nats".to_owned(),
            y_title: "measured change, log₁₀ nats".to_owned(),
            ..Accuracy::default()
        }
    }
}

fn x_of(size: &Size, kind: &str) -> f64 {
    match kind {
        "ratio" => size.ratio,
        "entropy" => size.entropy_bits,
        _ => size.bits,
    }
}

fn x_title(kind: &str) -> &'static str {
    match kind {
        "ratio" => "ratio: 32 bits per weight over real bytes",
        "entropy" => "bits per weight, entropy of the symbols",
        _ => "bits per weight, real bytes of the whole file",
    }
}

/// A value with its interval; `shift` is added to top-1 accuracy, in percentage points.
fn y_of(run: &Run, kind: &str, shift: f64) -> (f64, (f64, f64)) {
    let m = &run.measures;
    let against = m.against.as_ref();
    let share = |share: Option<&Share>| match share {
        Some(share) => (100.0 * share.value(), (100.0 * share.low, 100.0 * share.high)),
        None => (f64::NAN, (0.0, 0.0)),
    };
    let plain = |value: Option<f64>| (value.unwrap_or(f64::NAN), (0.0, 0.0));
    match kind {
        "top5" => share(m.top5.as_ref().filter(|_| run.origin != Origin::Retrained)),
        "agreement" => share(against.map(|a| &a.agreement)),
        "loss" => {
            let change = against.and_then(|a| a.loss_change);
            let error = 1.96 * against.and_then(|a| a.loss_error).unwrap_or(0.0);
            (change.unwrap_or(f64::NAN), change.map_or((0.0, 0.0), |c| (c - error, c + error)))
        }
        "sqnr" => plain(against.map(|a| a.sqnr_db)),
        "divergence" => plain(against.map(|a| a.divergence)),
        "acceptance" => plain(against.map(|a| 100.0 * a.acceptance)),
        _ if m.top1.is_some() => {
            let (y, (low, high)) = share(m.top1.as_ref());
            (y + shift, (low + shift, high + shift))
        }
        _ => share(against.map(|a| &a.agreement)),
    }
}

fn y_title(kind: &str, has_labels: bool) -> &'static str {
    match kind {
        "top5" => "top-5 accuracy, %",
        "agreement" => "agreement with the float weights, %",
        "loss" => "change of the loss, nats",
        "sqnr" => "output SQNR, dB",
        "divergence" => "divergence from the float answers, nats",
        "acceptance" => "expected acceptance rate, Σ min(p, q), %",
        _ if has_labels => "top-1 accuracy, %",
        _ => "agreement with the float weights, % (no labels)",
    }
}

/// Ends of both axes for what is near the float weights, whose share is `base`.
fn limits_near(kind: &str, base: f64) -> ((f64, f64), (f64, f64)) {
    let everything = (f64::MIN, f64::MAX);
    match kind {
        "loss" | "divergence" => (everything, (f64::MIN, NEAR_LOSS)),
        "sqnr" => (everything, everything),
        _ => (everything, (100.0 * base - NEAR_POINTS, 100.0)),
    }
}
