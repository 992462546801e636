//! The factor of a layer's second moments, by which the error of one weight is passed on to those behind it.

use crate::compensation::CompensationError;

/// Rows that are solved side by side, so that every earlier row is fetched once for all of them.
const PANEL: usize = 16;
/// Terms of a sum that are added side by side.
const LANES: usize = 8;
/// The smallest pivot, as a share of the mean diagonal: below it a column is a combination of those behind it.
const LEAST_PIVOT: f64 = 1e-10;

/// H + δI = M Mᵀ with M upper triangular, as what compensation needs of it.
///
/// With the errors e = w − ŵ of a unit's weights, e (H + δI) eᵀ = Σⱼ Mⱼⱼ² (vⱼ − ŵⱼ)², where vⱼ = wⱼ + Σ_{i<j} eᵢ Mᵢⱼ / Mⱼⱼ is the
/// weight as the earlier errors ask for it.
#[derive(Debug, Clone, PartialEq)]
pub struct Factor {
    /// Mᵢⱼ / Mⱼⱼ for i < j, column after column: column j has j numbers and begins at j (j − 1) / 2.
    shares: Vec<f32>,
    /// Mⱼⱼ².
    curvatures: Vec<f64>,
}

impl Factor {
    /// The factor of the symmetric matrix `moments`, of `inputs` rows, with `damping` times its mean diagonal added to the
    /// diagonal.
    ///
    /// A third of inputs³ multiply-adds in float64, in the same order on every target; inputs²·8 bytes beside the matrix.
    ///
    /// # Errors
    ///
    /// A matrix of another size, one with numbers that are not finite, or a negative diagonal.
    pub fn new(moments: &[f32], inputs: usize, damping: f64) -> Result<Self, CompensationError> {
        if inputs.checked_mul(inputs) != Some(moments.len()) {
            return Err(CompensationError::Size { expected: inputs, found: moments.len() });
        }
        if let Some(at) = moments.iter().position(|x| !x.is_finite()) {
            return Err(CompensationError::NotFinite { row: at / inputs, column: at % inputs });
        }
        let diagonal = |i: usize| moments.get(i * inputs + i).copied().map_or(0.0, f64::from);
        if let Some(input) = (0..inputs).find(|i| diagonal(*i) < 0.0) {
            return Err(CompensationError::Negative { input });
        }
        let mean = (0..inputs).map(diagonal).sum::<f64>() / inputs.max(1) as f64;
        if mean == 0.0 {
            // No input is ever other than zero: errors cost nothing, and there is nothing to pass on.
            let shares = vec![0.0; inputs * inputs.saturating_sub(1) / 2];
            return Ok(Self { shares, curvatures: vec![0.0; inputs] });
        }
        // Reversed, the upper factor is the lower one of Cholesky: row i of `lower` is column inputs − 1 − i of M.
        let mut lower = vec![0.0f64; inputs * inputs];
        for i in 0..inputs {
            for j in 0..=i {
                let at = (inputs - 1 - i) * inputs + (inputs - 1 - j);
                let x = moments.get(at).copied().map_or(0.0, f64::from);
                if let Some(slot) = lower.get_mut(i * inputs + j) {
                    *slot = x + if i == j { damping * mean } else { 0.0 };
                }
            }
        }
        decompose(&mut lower, inputs, LEAST_PIVOT * mean);
        let mut shares = Vec::with_capacity(inputs * inputs.saturating_sub(1) / 2);
        let mut curvatures = Vec::with_capacity(inputs);
        for j in 0..inputs {
            let pivot = entry(&lower, inputs, inputs - 1 - j, inputs - 1 - j);
            // Mᵢⱼ: reversed, row inputs − 1 − i and column inputs − 1 − j of the lower factor.
            shares.extend(
                (0..j).map(|i| (entry(&lower, inputs, inputs - 1 - i, inputs - 1 - j) / pivot) as f32),
            );
            curvatures.push(pivot * pivot);
        }
        Ok(Self { shares, curvatures })
    }

    /// Inputs of a unit.
    pub fn inputs(&self) -> usize {
        self.curvatures.len()
    }

    /// Whether any share is other than zero.
    pub fn tells(&self) -> bool {
        self.shares.iter().any(|share| *share != 0.0)
    }

    /// Mⱼⱼ², what a squared error of vⱼ costs, for every input j.
    pub fn curvatures(&self) -> &[f64] {
        &self.curvatures
    }

    /// Solves (H + δI) x = `right` in place; inputs that are never other than zero have x = 0.
    ///
    /// inputs² multiply-adds.
    pub fn solve(&self, right: &mut [f64]) {
        for j in (0..self.inputs().min(right.len())).rev() {
            let (before, rest) = right.split_at_mut(j);
            let last = rest.first().copied().unwrap_or(0.0);
            for (x, share) in before.iter_mut().zip(self.shares(j)) {
                *x -= f64::from(*share) * last;
            }
        }
        for (j, curvature) in self.curvatures.iter().enumerate() {
            let (before, rest) = right.split_at_mut(j.min(right.len()));
            let Some(x) = rest.first_mut() else { return };
            let known: f64 = before.iter().zip(self.shares(j)).map(|(x, share)| f64::from(*share) * x).sum();
            *x = if *curvature > 0.0 { *x / curvature - known } else { 0.0 };
        }
    }

    /// Mᵢⱼ / Mⱼⱼ for every i < `j`.
    #[inline]
    pub fn shares(&self, j: usize) -> &[f32] {
        let start = j * j.saturating_sub(1) / 2;
        self.shares.get(start..start + j).unwrap_or_default()
    }
}

fn entry(matrix: &[f64], size: usize, row: usize, column: usize) -> f64 {
    matrix.get(row * size + column).copied().unwrap_or(0.0)
}

/// Cholesky's decomposition in place, lower triangle; pivots below `least` become `least`.
fn decompose(matrix: &mut [f64], size: usize, least: f64) {
    for start in (0..size).step_by(PANEL) {
        let end = (start + PANEL).min(size);
        let (done, rest) = matrix.split_at_mut(start * size);
        // Against all rows before the panel.
        for (j, above) in done.chunks_exact(size).enumerate() {
            let (own, pivot) = (above.get(..j).unwrap_or_default(), above.get(j).copied().unwrap_or(1.0));
            for row in rest.chunks_exact_mut(size).take(end - start) {
                let sum = dot(row.get(..j).unwrap_or_default(), own);
                if let Some(slot) = row.get_mut(j) {
                    *slot = (*slot - sum) / pivot;
                }
            }
        }
        // Within the panel.
        for i in 0..end - start {
            let (above, row) = rest.split_at_mut(i * size);
            let row = row.get_mut(..size).unwrap_or_default();
            for (j, above) in above.chunks_exact(size).enumerate() {
                let j = start + j;
                let sum = dot(row.get(..j).unwrap_or_default(), above.get(..j).unwrap_or_default());
                let pivot = above.get(j).copied().unwrap_or(1.0);
                if let Some(slot) = row.get_mut(j) {
                    *slot = (*slot - sum) / pivot;
                }
            }
            let before = row.get(..start + i).unwrap_or_default();
            let sum = dot(before, before);
            if let Some(slot) = row.get_mut(start + i) {
                *slot = (*slot - sum).max(least).sqrt();
            }
        }
    }
}

/// Σ aᵢ bᵢ, in the same order on every target.
fn dot(a: &[f64], b: &[f64]) -> f64 {
    let (a, a_rest) = a.as_chunks::<LANES>();
    let (b, b_rest) = b.as_chunks::<LANES>();
    let mut sums = [0.0; LANES];
    for (a, b) in a.iter().zip(b) {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum += a * b;
        }
    }
    let rest: f64 = a_rest.iter().zip(b_rest).map(|(a, b)| a * b).sum();
    sums.iter().sum::<f64>() + rest
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::SplitMix64;

    /// Second moments of `count` random samples of `inputs` numbers that hang together.
    fn moments(inputs: usize, count: usize, seed: u64) -> Vec<f32> {
        let mut random = SplitMix64::new(seed);
        let mut sums = vec![0.0; inputs * inputs];
        for _ in 0..count {
            let mut last = 0.0;
            let x: Vec<f64> = (0..inputs)
                .map(|_| {
                    last = 0.8 * last + random.unit() - 0.4;
                    last
                })
                .collect();
            for (i, a) in x.iter().enumerate() {
                for (j, b) in x.iter().enumerate() {
                    sums[i * inputs + j] += a * b / count as f64;
                }
            }
        }
        sums.into_iter().map(|x| x as f32).collect()
    }

    #[test]
    fn the_parts_of_an_error_are_its_quadratic_form() {
        for inputs in [1, 2, 5, 16, 17, 40] {
            let h = moments(inputs, 3 * inputs, inputs as u64);
            let factor = Factor::new(&h, inputs, 0.01).unwrap();
            let mean = (0..inputs).map(|i| f64::from(h[i * inputs + i])).sum::<f64>() / inputs as f64;
            let mut random = SplitMix64::new(9);
            let e: Vec<f64> = (0..inputs).map(|_| random.unit() - 0.5).collect();
            let mut whole = 0.01 * mean * e.iter().map(|e| e * e).sum::<f64>();
            for i in 0..inputs {
                for j in 0..inputs {
                    whole += e[i] * f64::from(h[i * inputs + j]) * e[j];
                }
            }
            let part = |j: usize| {
                let pulled: f64 =
                    factor.shares(j).iter().zip(&e).map(|(share, e)| f64::from(*share) * e).sum();
                factor.curvatures()[j] * (e[j] + pulled) * (e[j] + pulled)
            };
            let parts: f64 = (0..inputs).map(part).sum();
            assert!((parts - whole).abs() < 1e-5 * whole, "{inputs}: {parts} {whole}");
        }
    }

    #[test]
    fn what_is_solved_for_gives_the_right_side() {
        for inputs in [1, 2, 7, 33] {
            let h = moments(inputs, 3 * inputs, inputs as u64);
            let factor = Factor::new(&h, inputs, 0.02).unwrap();
            let mean = (0..inputs).map(|i| f64::from(h[i * inputs + i])).sum::<f64>() / inputs as f64;
            let mut random = SplitMix64::new(4);
            let right: Vec<f64> = (0..inputs).map(|_| random.unit() - 0.5).collect();
            let mut x = right.clone();
            factor.solve(&mut x);
            for (i, right) in right.iter().enumerate() {
                let product: f64 = (0..inputs).map(|j| f64::from(h[i * inputs + j]) * x[j]).sum();
                let found = product + 0.02 * mean * x[i];
                assert!((found - right).abs() < 1e-4, "{inputs}: {found} {right}");
            }
        }
        let mut x = vec![1.0; 3];
        Factor::new(&[0.0; 9], 3, 0.01).unwrap().solve(&mut x);
        assert_eq!(x, [0.0; 3]);
    }

    #[test]
    fn a_diagonal_passes_nothing_on_and_dead_inputs_cost_what_damping_says() {
        let factor = Factor::new(&[4.0, 0.0, 0.0, 0.0], 2, 0.01).unwrap();
        assert_eq!(factor.shares(1), [0.0]);
        assert!(
            (factor.curvatures()[0] - 4.02).abs() < 1e-12 && (factor.curvatures()[1] - 0.02).abs() < 1e-12
        );
        let dead = Factor::new(&[0.0; 9], 3, 0.01).unwrap();
        assert_eq!((dead.curvatures(), dead.shares(2)), (&[0.0; 3][..], &[0.0; 2][..]));
    }

    #[test]
    fn singular_moments_still_have_a_factor() {
        // One sample: rank one, without damping.
        let factor = Factor::new(&[1.0, 2.0, 2.0, 4.0], 2, 0.0).unwrap();
        assert!(factor.curvatures().iter().all(|c| *c > 0.0 && c.is_finite()));
        assert!((factor.shares(1)[0] - 0.5).abs() < 1e-6);
    }

    #[test]
    fn matrices_that_are_none_are_refused() {
        assert!(Factor::new(&[1.0; 5], 2, 0.0).is_err());
        assert!(Factor::new(&[1.0, f32::NAN, 0.0, 1.0], 2, 0.0).is_err());
        assert!(Factor::new(&[-1.0], 1, 0.0).is_err());
        assert_eq!(Factor::new(&[], 0, 0.0).unwrap().inputs(), 0);
    }
}
