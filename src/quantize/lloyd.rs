//! Lloyd's k-means, the heuristic that the papers use, from three kinds of start.
//!
//! Alternates nearest-level assignment with importance-weighted means (Lloyd 1982; Choi, El-Khamy and Lee 2017, section
//! 3.2) until no cell moves or after the passes set. Starts: evenly over the range and at equal shares of the weights
//! (Han, Mao and Dally 2016, section 3.2, "linear" and "density-based"), or k-means++ sampling (Arthur and Vassilvitskii
//! 2007). A level that loses all its weights stays where it is and is left out at the end.
//!
//! Cost: O(k log n) per pass on n cells; the k-means++ start O(kn).

use super::assemble::assemble_used;
use super::kmeans::LEVELS;
use super::points::Points;
use super::{Parameter, ParameterKind, Problem, QuantizeError, Settings, Solution};
use crate::order;
use crate::random::SplitMix64;

/// Parameters of the method.
pub const PARAMETERS: &[Parameter] = &[
    LEVELS,
    Parameter {
        id: "start",
        title: "Start",
        summary: "where the levels begin",
        kind: ParameterKind::Choice(&[
            ("uniform", "Evenly over the range"),
            ("density", "Equal shares of the weights"),
            ("plusplus", "k-means++ sampling"),
        ]),
    },
    Parameter {
        id: "seed",
        title: "Seed",
        summary: "of the random numbers of the k-means++ start",
        kind: ParameterKind::Integer { min: 0, max: 1 << 53, default: 0 },
    },
    Parameter {
        id: "passes",
        title: "Passes",
        summary: "most times that all levels are moved; from a uniform start, settling can take more than a thousand",
        kind: ParameterKind::Integer { min: 1, max: 10_000, default: 300 },
    },
];

/// Solves for the levels and start in `settings`.
pub fn solve(problem: &Problem, settings: &Settings) -> Result<Solution, QuantizeError> {
    let cells = problem.histogram.moments();
    if cells.is_empty() {
        return Err(QuantizeError::NoWeights);
    }
    let points = Points::new(cells);
    let k = (settings.integer("k") as usize).clamp(1, points.len());
    let start = match settings.choice("start") {
        "density" => density_start(&points, k),
        "plusplus" => plusplus_start(&points, k, settings.integer("seed")),
        _ => uniform_start(&points, k),
    };
    let (levels, iterations) = iterate(&points, start, settings.integer("passes") as u32);
    Ok(Solution { iterations, ..assemble_used(cells, &levels) })
}

/// k values from the smallest to the largest weight; the middle for k = 1.
fn uniform_start(points: &Points, k: usize) -> Vec<f64> {
    let (first, last) = (points.positions[0], points.positions[points.len() - 1]);
    if k == 1 {
        return vec![f64::midpoint(first, last)];
    }
    (0..k).map(|i| first + (last - first) * (i as f64 / (k - 1) as f64)).collect()
}

/// The middle weights of k equal shares of the weights, equal ones merged.
fn density_start(points: &Points, k: usize) -> Vec<f64> {
    let total = points.count(0, points.len());
    let middle = |i: usize| ((2 * i as u128 + 1) * u128::from(total) / (2 * k as u128)) as u64;
    let at = |i: usize| points.positions[points.counts.partition_point(|before| *before <= middle(i)) - 1];
    let mut levels: Vec<f64> = (0..k).map(at).collect();
    levels.dedup();
    levels
}

/// k cells drawn one after the other with probability proportional to their squared error so far.
fn plusplus_start(points: &Points, k: usize, seed: u64) -> Vec<f64> {
    let mut random = SplitMix64::new(seed);
    let masses: Vec<f64> = (0..points.len()).map(|i| points.range(i, i + 1).mass.max(0.0)).collect();
    let mut errors = masses.clone();
    let mut levels: Vec<f64> = Vec::with_capacity(k);
    for round in 0..k {
        let Some(chosen) = draw(&errors, random.unit()) else { break };
        let level = points.positions[chosen];
        levels.push(level);
        for ((error, mass), x) in errors.iter_mut().zip(&masses).zip(&points.positions) {
            let now = mass * (x - level) * (x - level);
            *error = if round == 0 { now } else { error.min(now) };
        }
    }
    let mut levels = order::sorted_by_key(&levels, |level| order::key_f64(*level));
    levels.dedup();
    levels
}

/// The position that the share `unit` of all `masses` falls on; `None` if there is no mass.
fn draw(masses: &[f64], unit: f64) -> Option<usize> {
    let target = masses.iter().sum::<f64>() * unit;
    let mut passed = 0.0;
    let mut last = None;
    for (i, mass) in masses.iter().enumerate().filter(|(_, mass)| **mass > 0.0) {
        passed += mass;
        last = Some(i);
        if passed > target {
            break;
        }
    }
    last
}

/// Moves ascending levels until no boundary moves; also the number of passes.
fn iterate(points: &Points, mut levels: Vec<f64>, passes: u32) -> (Vec<f64>, u32) {
    let mut cuts = Vec::new();
    for pass in 1..=passes {
        let found = nearest_cuts(points, &levels);
        if found == cuts {
            return (levels, pass);
        }
        cuts = found;
        for (level, pair) in levels.iter_mut().zip(cuts.windows(2)) {
            if let [start, end] = pair {
                *level = points.mean(*start, *end).unwrap_or(*level);
            }
        }
    }
    (levels, passes)
}

/// Where the cells of each level begin, and their end.
fn nearest_cuts(points: &Points, levels: &[f64]) -> Vec<usize> {
    let mut cuts = Vec::with_capacity(levels.len() + 1);
    let mut from = 0;
    cuts.push(0);
    for pair in levels.windows(2) {
        if let [left, right] = pair {
            from = points.cut(from, f64::midpoint(*left, *right));
            cuts.push(from);
        }
    }
    cuts.push(points.len());
    cuts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::histogram::Histogram;

    fn points(values: &[f32], h: Option<&[f32]>) -> Points {
        Points::new(Histogram::new(values, h).moments())
    }

    #[test]
    fn starts_are_where_they_say() {
        let points = points(&[0.0, 1.0, 2.0, 3.0, 10.0], None);
        assert_eq!(uniform_start(&points, 3), [0.0, 5.0, 10.0]);
        assert_eq!(uniform_start(&points, 1), [5.0]);
        assert_eq!(density_start(&points, 5), [0.0, 1.0, 2.0, 3.0, 10.0]);
        assert_eq!(density_start(&points, 1), [2.0]);
        assert_eq!(plusplus_start(&points, 5, 0), [0.0, 1.0, 2.0, 3.0, 10.0]);
        assert_eq!(plusplus_start(&points, 3, 7), plusplus_start(&points, 3, 7));
    }

    #[test]
    fn plusplus_never_draws_weights_without_importance() {
        let points = points(&[1.0, 2.0, 3.0, 4.0], Some(&[0.0, 1.0, 0.0, 1.0]));
        for seed in 0..20 {
            assert_eq!(plusplus_start(&points, 4, seed), [2.0, 4.0]);
        }
    }

    #[test]
    fn levels_end_as_means_of_their_nearest_weights() {
        let points = points(&[0.0, 1.0, 2.0, 10.0, 11.0, 15.0], Some(&[1.0, 1.0, 2.0, 1.0, 1.0, 1.0]));
        let (levels, passes) = iterate(&points, vec![0.0, 1.0], 300);
        assert_eq!(levels, [1.25, 12.0]);
        assert!(passes < 10);
    }
}
