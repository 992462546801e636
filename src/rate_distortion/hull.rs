//! Which (rate, distortion) points are worth having.
//!
//! A point is *Pareto-optimal* if no other has at most its rate and at most its distortion. Of those, the ones on the
//! *lower convex hull* are best for some price of a bit (Everett 1963); between two of them, mixing beats the rest.
//! Cost: O(n log n). Points that are not finite are never chosen.

use crate::order::{key_f64, sorted_by_key};

/// Positions of the Pareto-optimal points, by ascending rate; of equal points the first.
pub fn pareto(points: &[(f64, f64)]) -> Vec<usize> {
    let order: Vec<usize> =
        (0..points.len()).filter(|i| points[*i].0.is_finite() && points[*i].1.is_finite()).collect();
    let by_distortion = sorted_by_key(&order, |i| key_f64(points[*i].1));
    let mut order = sorted_by_key(&by_distortion, |i| key_f64(points[*i].0));
    let mut least = f64::INFINITY;
    order.retain(|i| {
        let better = points[*i].1 < least;
        least = least.min(points[*i].1);
        better
    });
    order
}

/// Positions of the points on the lower convex hull, by ascending rate and falling distortion.
///
/// ```
/// let points = [(1.0, 4.0), (2.0, 3.5), (3.0, 1.0), (3.0, 2.0), (5.0, 0.5)];
/// assert_eq!(quantscope::rate_distortion::hull::lower_hull(&points), [0, 2, 4]);
/// ```
pub fn lower_hull(points: &[(f64, f64)]) -> Vec<usize> {
    convex(points, pareto(points).into_iter())
}

/// The same of points that are already known by ascending rate and falling distortion: those at the `positions` given.
pub(crate) fn convex(points: &[(f64, f64)], positions: impl Iterator<Item = usize>) -> Vec<usize> {
    let mut hull: Vec<usize> = Vec::new();
    for i in positions {
        while let [.., a, b] = *hull {
            if !above_chord(points[a], points[b], points[i]) {
                break;
            }
            hull.pop();
        }
        hull.push(i);
    }
    hull
}

/// Whether `b` lies on or above the line from `a` to `c`.
fn above_chord(a: (f64, f64), b: (f64, f64), c: (f64, f64)) -> bool {
    (b.1 - a.1) * (c.0 - a.0) >= (c.1 - a.1) * (b.0 - a.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn points(seed: u64, n: usize) -> Vec<(f64, f64)> {
        let mut random = crate::random::SplitMix64::new(seed);
        let mut coarse = || libm::floor(random.unit() * 12.0);
        (0..n).map(|_| (coarse(), coarse())).collect()
    }

    #[test]
    fn pareto_points_are_those_that_no_other_dominates() {
        for seed in 0..200 {
            let points = points(seed, 15);
            let dominated = |i: usize| {
                (0..points.len()).any(|j| {
                    let (a, b) = (points[j], points[i]);
                    a.0 <= b.0 && a.1 <= b.1 && (a != b || j < i)
                })
            };
            let mut found = pareto(&points);
            found.sort_unstable();
            let expected: Vec<usize> = (0..points.len()).filter(|i| !dominated(*i)).collect();
            assert_eq!(found, expected);
        }
    }

    #[test]
    fn the_hull_has_the_least_cost_for_every_price() {
        for seed in 0..200 {
            let points = points(seed, 15);
            let hull = lower_hull(&points);
            for price in [0.01, 0.1, 0.5, 1.0, 2.0, 10.0] {
                let cost = |i: &usize| points[*i].1 + price * points[*i].0;
                let all: Vec<usize> = (0..points.len()).collect();
                let least = |of: &[usize]| of.iter().map(cost).fold(f64::INFINITY, f64::min);
                assert!((least(&hull) - least(&all)).abs() < 1e-12);
            }
        }
    }

    #[test]
    fn points_that_are_not_numbers_are_left_out() {
        assert_eq!(pareto(&[(f64::NAN, 0.0), (1.0, 1.0), (0.0, f64::INFINITY)]), [1]);
        assert!(lower_hull(&[]).is_empty());
    }
}
