//! Cells as points on a line, with prefix sums: the cost of any cluster of neighbours in constant time.
//!
//! The squared error of a cluster of weighted points around its mean is `S2 − S1²/S0` with `S0 = Σh`, `S1 = Σhx`,
//! `S2 = Σhx²` (the textbook identity; used for one-dimensional clustering by Wu 1991). The subtraction loses digits
//! when the sums are far larger than the cluster's own, so they are taken about a middle point and accumulated *outward*
//! from it: an outlier then costs precision only to the clusters that contain it.
//!
//! A cell counts as all its weights at their weighted mean; the scatter inside a cell is the same for every clustering.
//! Cost: linear time, 40 bytes per cell.

use crate::histogram::Moments;

/// Sums over all points left of a position (negative left of the middle point).
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Sums {
    /// Σ h.
    pub mass: f64,
    /// Σ h·x, x measured from the middle point.
    pub first: f64,
    /// Σ h·x².
    pub second: f64,
}

impl Sums {
    /// The sums from `self` up to the later position `end`.
    #[inline]
    pub fn until(&self, end: &Self) -> Self {
        Self { mass: end.mass - self.mass, first: end.first - self.first, second: end.second - self.second }
    }

    /// Squared error about the mean; never negative, 0 without mass.
    #[inline]
    pub fn scatter(&self) -> f64 {
        if self.mass > 0.0 { (self.second - self.first * self.first / self.mass).max(0.0) } else { 0.0 }
    }
}

/// Cells in increasing order of value, with prefix sums.
#[derive(Debug, Clone)]
pub(super) struct Points {
    /// The plain mean of each cell's weights, ascending.
    pub positions: Vec<f64>,
    /// Number of weights before each cell; one longer than `positions`.
    pub counts: Vec<u64>,
    /// Sums before each cell; one longer than `positions`.
    pub sums: Vec<Sums>,
    /// The middle point.
    pub origin: f64,
}

/// A cell per distinct weight of ascending (weight, importance) pairs.
pub(super) fn distinct_cells(pairs: &[(f32, f32)]) -> Vec<Moments> {
    let one = |(w, h): &(f32, f32)| {
        let (w, h) = (f64::from(*w), f64::from(*h));
        Moments {
            count: 1,
            sum: w,
            squares: w * w,
            importance: h,
            weighted_sum: h * w,
            weighted_squares: h * w * w,
        }
    };
    let sum = |equal: &[(f32, f32)]| {
        let mut cell = Moments::default();
        for pair in equal {
            cell.add(&one(pair));
        }
        cell
    };
    pairs.chunk_by(|a, b| a.0 == b.0).map(sum).collect()
}

/// A cell's (h, Σhw) with the plain count standing in for importance where there is none at all.
fn mass_of(cell: &Moments, plain: bool) -> (f64, f64) {
    if plain { (cell.count as f64, cell.sum) } else { (cell.importance, cell.weighted_sum) }
}

/// Whether no cell has importance, so that counts stand in for it.
pub(super) fn without_importance(cells: &[Moments]) -> bool {
    !cells.iter().any(|cell| cell.importance > 0.0)
}

/// The importance-weighted mean of the weights in `cells`, their plain mean where none has importance.
pub(super) fn centroid(cells: &[Moments]) -> f64 {
    let mut total = Moments::default();
    for cell in cells {
        total.add(cell);
    }
    if total.importance > 0.0 { total.weighted_sum / total.importance } else { plain_mean(&total) }
}

/// The plain mean of a cell's weights.
pub(super) fn plain_mean(cell: &Moments) -> f64 {
    cell.sum / cell.count.max(1) as f64
}

impl Points {
    /// Prefix sums over `cells`, which ascend in value.
    pub fn new(cells: &[Moments]) -> Self {
        let plain = without_importance(cells);
        let positions: Vec<f64> = cells.iter().map(plain_mean).collect();
        let mut counts = Vec::with_capacity(cells.len() + 1);
        counts.push(0);
        let mut total = 0;
        for cell in cells {
            total += cell.count;
            counts.push(total);
        }
        let middle = counts.partition_point(|before| *before < total.div_ceil(2)).saturating_sub(1);
        let origin = positions.get(middle).copied().unwrap_or_default();
        let own = |cell: &Moments| {
            let (mass, weighted) = mass_of(cell, plain);
            if mass > 0.0 {
                let first = weighted - origin * mass;
                Sums { mass, first, second: first * first / mass }
            } else {
                Sums::default()
            }
        };
        let mut sums = vec![Sums::default(); cells.len() + 1];
        for i in middle..cells.len() {
            let (before, cell) = (sums[i], own(&cells[i]));
            sums[i + 1] = Sums {
                mass: before.mass + cell.mass,
                first: before.first + cell.first,
                second: before.second + cell.second,
            };
        }
        for i in (0..middle).rev() {
            sums[i] = own(&cells[i]).until(&sums[i + 1]);
        }
        Self { positions, counts, sums, origin }
    }

    /// Number of cells.
    pub fn len(&self) -> usize {
        self.positions.len()
    }

    /// Sums over the cells `start..end`.
    pub fn range(&self, start: usize, end: usize) -> Sums {
        self.sums[start].until(&self.sums[end])
    }

    /// Number of weights in the cells `start..end`.
    pub fn count(&self, start: usize, end: usize) -> u64 {
        self.counts[end] - self.counts[start]
    }

    /// The mean of the cells `start..end` by importance, by count where they have none; `None` without cells.
    pub fn mean(&self, start: usize, end: usize) -> Option<f64> {
        if start >= end {
            return None;
        }
        let sums = self.range(start, end);
        if sums.mass > 0.0 {
            return Some(self.origin + sums.first / sums.mass);
        }
        let weighted: f64 = (start..end).map(|i| self.positions[i] * self.count(i, i + 1) as f64).sum();
        Some(weighted / self.count(start, end).max(1) as f64)
    }

    /// The first cell at or after `from` whose position is at least `threshold`.
    pub fn cut(&self, from: usize, threshold: f64) -> usize {
        from + self.positions[from..].partition_point(|x| *x < threshold)
    }

    /// Mean importance of a weight.
    pub fn mean_mass(&self) -> f64 {
        self.range(0, self.len()).mass / self.count(0, self.len()).max(1) as f64
    }

    /// Mean over the weights of `h·(w − mean)²`, the scatter inside cells left out.
    pub fn variance(&self) -> f64 {
        self.range(0, self.len()).scatter() / self.count(0, self.len()).max(1) as f64
    }

    /// Boundaries of at most `bins` runs of neighbouring cells, fine where levels will be dense: 0 first, `len` last.
    ///
    /// Half of the runs follow `(h·density)^(1/3)`, the level density of a good fixed-rate quantizer (Panter and Dite
    /// 1951), half are evenly spread over the range, as the levels of an entropy-coded one (Gish and Pierce 1968).
    pub fn runs(&self, bins: usize) -> Vec<u32> {
        let n = self.len();
        if n <= bins {
            return (0..=n as u32).collect();
        }
        let width =
            |i: usize| (self.positions[(i + 1).min(n - 1)] - self.positions[i.saturating_sub(1)]) / 2.0;
        let density: Vec<f64> =
            (0..n).map(|i| libm::cbrt(self.range(i, i + 1).mass.max(0.0) * width(i) * width(i))).collect();
        let density_total: f64 = density.iter().sum();
        let range = self.positions[n - 1] - self.positions[0];
        let share = |part: f64, whole: f64| if whole > 0.0 { part / whole } else { 0.0 };
        let mut boundaries = vec![0];
        let (mut passed, mut next) = (0.0, 1.0);
        for (i, own) in density.iter().enumerate().take(n - 1) {
            passed += f64::midpoint(share(*own, density_total), share(width(i), range)) * bins as f64;
            if passed >= next && boundaries.len() < bins {
                boundaries.push(i as u32 + 1);
                next = libm::floor(passed) + 1.0;
            }
        }
        boundaries.push(n as u32);
        boundaries
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::histogram::Histogram;

    #[test]
    fn the_scatter_of_a_range_equals_its_definition() {
        let values = [-3.0f32, -1.5, -1.0, 0.25, 0.5, 2.0, 7.5];
        let h = [1.0f32, 0.5, 0.0, 2.0, 3.0, 0.25, 1.0];
        let histogram = Histogram::new(&values, Some(&h));
        let points = Points::new(histogram.moments());
        for start in 0..values.len() {
            for end in start + 1..=values.len() {
                let mass: f64 = h[start..end].iter().map(|h| f64::from(*h)).sum();
                let weighted = |f: &dyn Fn(f64) -> f64| -> f64 {
                    (start..end).map(|i| f64::from(h[i]) * f(f64::from(values[i]))).sum()
                };
                let mean = if mass > 0.0 { weighted(&|w| w) / mass } else { f64::from(values[start]) };
                let expected = weighted(&|w| (w - mean) * (w - mean));
                assert!((points.range(start, end).scatter() - expected).abs() < 1e-12);
                assert!((points.mean(start, end).unwrap() - mean).abs() < 1e-12);
                assert_eq!(points.count(start, end), (end - start) as u64);
            }
        }
    }

    #[test]
    fn an_outlier_does_not_blur_the_clusters_without_it() {
        for outlier in [-1e30f32, 1e30] {
            let mut values: Vec<f32> = (1..=9).map(|i| i as f32 / 1024.0).collect();
            values.push(outlier);
            let points = Points::new(Histogram::new(&values, None).moments());
            let first = usize::from(outlier < 0.0);
            let expected = 60.0 / 1024.0 / 1024.0;
            assert!((points.range(first, first + 9).scatter() / expected - 1.0).abs() < 1e-12, "{outlier}");
        }
    }

    #[test]
    fn runs_cover_every_cell_once() {
        let values: Vec<f32> = (0..5000).map(|i| ((i * i) % 7919) as f32).collect();
        let points = Points::new(Histogram::new(&values, None).moments());
        for bins in [1, 2, 10, 500, 100_000] {
            let runs = points.runs(bins);
            assert!(runs.len() <= bins + 1 && runs.windows(2).all(|pair| pair[0] < pair[1]));
            assert_eq!((runs[0], *runs.last().unwrap()), (0, points.len() as u32));
        }
    }
}
