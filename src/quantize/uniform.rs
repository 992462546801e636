//! Uniform thresholds, centred on zero, with centroids as levels.
//!
//! Symbol q = w/step rounded to the nearest integer, ties to even; the level of q is the mean, by importance or plain, of
//! the weights that fall on it, or the grid point q·step itself. Intervals without weights are dropped. For squared error
//! and an entropy coder this is asymptotically optimal (Gish and Pierce 1968; Choi, El-Khamy and Lee 2017, section 4.2).
//! Cost: linear in the number of cells.

use super::assemble::assemble_intervals;
use super::points::{centroid, plain_mean};
use super::{Parameter, ParameterKind, Problem, QuantizeError, Settings, SettingsError, Solution};
use crate::code::{MAX_LEVELS, levels::ceil_f32};
use crate::histogram::{Histogram, Moments};

/// Parameters of the method.
pub const PARAMETERS: &[Parameter] = &[
    Parameter {
        id: "step",
        title: "Step",
        summary: "distance between thresholds, in standard deviations of the weights",
        kind: ParameterKind::Number { min: 0.005, max: 8.0, default: 0.5 },
    },
    Parameter {
        id: "centroid",
        title: "Level",
        summary: "what stands for the weights of an interval",
        kind: ParameterKind::Choice(&[
            ("weighted", "Mean by importance"),
            ("plain", "Plain mean"),
            ("grid", "Grid point"),
        ]),
    },
];

/// Solves for the step in `settings`.
pub fn solve(problem: &Problem, settings: &Settings) -> Result<Solution, QuantizeError> {
    let cells = problem.histogram.moments();
    if cells.is_empty() {
        return Err(QuantizeError::NoWeights);
    }
    let unit = deviation(problem.histogram);
    let step = settings.number("step") * unit;
    let intervals = intervals(cells, step);
    if intervals.len() > MAX_LEVELS {
        return Err(too_fine(cells, unit, settings.number("step"), intervals.len()).into());
    }
    let level = |interval: &Interval| {
        let cells = &cells[interval.start..interval.end];
        match settings.choice("centroid") {
            "plain" => {
                let mut total = Moments::default();
                for cell in cells {
                    total.add(cell);
                }
                plain_mean(&total)
            }
            "grid" => interval.index * step,
            _ => centroid(cells),
        }
    };
    let levels: Vec<f64> = intervals.iter().map(level).collect();
    let thresholds: Vec<f32> = intervals
        .windows(2)
        .map(|pair| match pair {
            [left, right] => grid_threshold(left.index, right.index, step),
            _ => 0.0,
        })
        .collect();
    Ok(Solution { iterations: 1, ..assemble_intervals(cells, &levels, &thresholds) })
}

/// The unit of the step: the weights' standard deviation; their magnitude, or 1, where they are all equal.
pub fn deviation(histogram: &Histogram) -> f64 {
    let total = histogram.total();
    let count = total.count.max(1) as f64;
    let mean = total.sum / count;
    let scatter: f64 = histogram
        .moments()
        .iter()
        .map(|cell| super::assemble::error_around(mean, cell.count as f64, cell.sum, cell.squares))
        .sum();
    let deviation = libm::sqrt(scatter / count);
    match (deviation > 1e-12 * mean.abs(), mean == 0.0) {
        (true, _) => deviation,
        (false, false) => mean.abs(),
        (false, true) => 1.0,
    }
}

/// A non-empty interval of the grid: its number and its cells.
#[derive(Debug, Clone, Copy)]
struct Interval {
    index: f64,
    start: usize,
    end: usize,
}

/// The non-empty intervals of the grid, ascending; a cell lies where its mean does.
fn intervals(cells: &[Moments], step: f64) -> Vec<Interval> {
    let mut found: Vec<Interval> = Vec::new();
    for (i, cell) in cells.iter().enumerate() {
        let index = (plain_mean(cell) / step).round_ties_even();
        match found.last_mut() {
            Some(last) if last.index == index => last.end = i + 1,
            _ => found.push(Interval { index, start: i, end: i + 1 }),
        }
    }
    found
}

/// The smallest float32 that belongs to interval `right` rather than `left`: rounding to even where they touch, the
/// middle between them where intervals without weights lie between.
fn grid_threshold(left: f64, right: f64, step: f64) -> f32 {
    let middle = f64::midpoint(left, right);
    let belongs = |w: f32| {
        let index = f64::from(w) / step;
        if right - left > 1.0 { index >= middle } else { index.round_ties_even() >= right }
    };
    let mut threshold = ceil_f32(middle * step);
    while !belongs(threshold) && threshold < f32::MAX {
        threshold = threshold.next_up();
    }
    while belongs(threshold.next_down()) {
        threshold = threshold.next_down();
    }
    threshold
}

/// Says which step would do.
fn too_fine(cells: &[Moments], unit: f64, step: f64, levels: usize) -> SettingsError {
    let ends = cells.first().zip(cells.last());
    let range = ends.map_or(0.0, |(first, last)| plain_mean(last) - plain_mean(first));
    // A range of n steps touches at most n + 2 intervals.
    let smallest = range / unit / (MAX_LEVELS - 2) as f64;
    SettingsError {
        field: "step".to_owned(),
        expected: format!(
            "at least {:.6}, so that at most {MAX_LEVELS} levels are used",
            smallest * 1.000_001
        ),
        found: format!("{step}, which needs {levels} levels"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Rule, methods};
    use super::*;
    use std::collections::BTreeMap;

    fn solve_step(values: &[f32], step: f64, centroid: &str) -> Solution {
        let given = BTreeMap::from([
            ("step".to_owned(), super::super::Value::Number(step)),
            ("centroid".to_owned(), super::super::Value::Choice(centroid.to_owned())),
        ]);
        let method = methods::find("uniform").unwrap();
        let settings = Settings::new(method.parameters, &given).unwrap();
        let histogram = Histogram::new(values, None);
        (method.solve)(&Problem { histogram: &histogram, sample: None }, &settings).unwrap()
    }

    #[test]
    fn symbols_are_weights_over_step_rounded_to_even() {
        let values: Vec<f32> = (-64..=64).map(|i| i as f32 / 16.0).collect();
        let unit = deviation(&Histogram::new(&values, None));
        let step = 0.5;
        let solution = solve_step(&values, step / unit, "grid");
        let step = step / unit * unit;
        let lowest = (f64::from(values[0]) / step).round_ties_even();
        for w in &values {
            let expected = (f64::from(*w) / step).round_ties_even();
            let symbol = solution.quantizer.symbol(*w, 1.0);
            assert_eq!(symbol as f64 + lowest, expected, "{w}");
            assert_eq!(solution.quantizer.levels[symbol], (expected * step) as f32);
        }
    }

    #[test]
    fn empty_intervals_are_dropped() {
        let solution = solve_step(&[-1.0, -1.0, 0.0, 100.0], 0.01, "weighted");
        assert_eq!(solution.quantizer.levels, [-1.0, 0.0, 100.0]);
        assert_eq!(solution.counts, [2, 1, 1]);
        assert_eq!(solution.squared_error, 0.0);
        let Rule::Thresholds(thresholds) = &solution.quantizer.rule else { panic!() };
        assert!((thresholds[1] - 50.0).abs() < 1.0);
    }

    #[test]
    fn too_many_levels_are_refused_with_the_step_that_works() {
        // Distinct cells over twelve decades; a handful of giants stretches the range far beyond the deviation.
        let mut values: Vec<f32> =
            (0..70_000u32).map(|i| f32::from_bits(0x3f80_0000 + (i << 12) / 16 * 16)).collect();
        values.retain(|w| w.is_finite());
        let histogram = Histogram::new(&values, None);
        let found = intervals(histogram.moments(), 1e-9);
        let error = too_fine(histogram.moments(), 1.0, 0.005, found.len());
        assert!(error.to_string().starts_with("step: expected at least"), "{error}");
    }
}
