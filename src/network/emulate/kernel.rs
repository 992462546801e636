//! Products of matrices in an accumulator's format: s ← r(s + r(a·b)), r being the rounding, a and b float32.
//!
//! Every sum begins at zero and is made in the order of the depth, one term after the other, so that it is the same on every
//! target. What is vectorised is sums beside each other: 8 columns of 4 rows at a time, for which the loop is compiled for
//! each kind of format. Product and sum are float32's and then rounded, as the paper's emulation has them: where a format has
//! more than 11 mantissa bits, a product is rounded twice.
//!
//! Hill et al. 2018, section 3.1. Cost: two roundings for each multiply-add.

use crate::number_format::{Round, Rounder, Visitor};

/// Columns beside each other.
pub(super) const LANES: usize = 8;

/// Rows beside each other.
const ROWS: usize = 4;

/// Numbers of one row of a matrix in columns that lie beside each other.
pub(super) type Lanes = [f32; LANES];

/// A product of matrices to be made: rows × depth times depth × columns.
pub(super) struct Product<'a> {
    /// The left matrix, row-major.
    pub(super) rows: &'a [f32],
    /// Terms of every sum.
    pub(super) depth: usize,
    /// Columns of the right matrix.
    pub(super) columns: usize,
    /// Gives columns `8·i …` of the right matrix, zeros beyond its end: one entry for each term.
    pub(super) panel: &'a mut dyn FnMut(usize, &mut Vec<Lanes>),
    /// Takes sums of a row, from a column on.
    pub(super) take: &'a mut dyn FnMut(usize, usize, &[f32]),
    /// The index of the first operation of a row's first sum, for rounding at random; each sum takes two for every term.
    pub(super) first: &'a dyn Fn(usize) -> u64,
}

impl Product<'_> {
    /// Makes it; how many sums went beyond the format's largest number on their way.
    pub(super) fn make(self, rounder: &Rounder) -> u64 {
        rounder.visit(self)
    }
}

impl Visitor for Product<'_> {
    type Output = u64;

    fn visit<R: Round>(self, round: &R) -> u64 {
        let (mut panel, mut saturated) = (Vec::with_capacity(self.depth), 0);
        let each = 2 * self.depth as u64;
        for index in 0..self.columns.div_ceil(LANES) {
            (self.panel)(index, &mut panel);
            panel.resize(self.depth, [0.0; LANES]);
            let start = index * LANES;
            let width = LANES.min(self.columns - start);
            let first = |row: usize| (self.first)(row).wrapping_add(each * start as u64);
            let mut rows = self.rows.chunks_exact(self.depth.max(1)).enumerate();
            let mut take =
                |row: usize, sums: &Lanes| (self.take)(row, start, sums.get(..width).unwrap_or_default());
            loop {
                let group: Vec<(usize, &[f32])> = rows.by_ref().take(ROWS).collect();
                match *group.as_slice() {
                    [] => break,
                    [(row, a), (_, b), (_, c), (_, d)] => {
                        let from = [row, row + 1, row + 2, row + 3].map(first);
                        let (sums, over) = tile(round, [a, b, c, d], &panel, from);
                        saturated += if over { count(round, &group, &panel, &from) } else { 0 };
                        sums.iter().enumerate().for_each(|(at, sums)| take(row + at, sums));
                    }
                    _ => {
                        for (row, a) in &group {
                            let from = [first(*row)];
                            let (sums, over) = tile(round, [a], &panel, from);
                            saturated += if over { count(round, &[(*row, *a)], &panel, &from) } else { 0 };
                            take(*row, &sums[0]);
                        }
                    }
                }
            }
        }
        saturated
    }
}

/// Sums of N rows with the columns of a panel, and whether one of them went too far.
#[inline]
#[allow(
    clippy::needless_range_loop,
    reason = "lanes of several arrays beside each other, which is how they are vectorised"
)]
fn tile<R: Round, const N: usize>(
    round: &R,
    rows: [&[f32]; N],
    panel: &[Lanes],
    first: [u64; N],
) -> ([Lanes; N], bool) {
    let largest = round.largest();
    let mut sums = [[0.0f32; LANES]; N];
    let mut most = [0.0f32; LANES];
    let each = 2 * panel.len() as u64;
    let depth = rows.iter().fold(panel.len(), |depth, row| depth.min(row.len()));
    let rows = rows.map(|row| &row[..depth]);
    for (k, column) in panel[..depth].iter().enumerate() {
        for n in 0..N {
            let factor = rows[n][k];
            for lane in 0..LANES {
                let at = first[n].wrapping_add(each * lane as u64 + 2 * k as u64);
                let product = factor * column[lane];
                let sum = sums[n][lane] + round.round(product, at);
                let size = if product.abs() > sum.abs() { product.abs() } else { sum.abs() };
                most[lane] = if size > most[lane] { size } else { most[lane] };
                sums[n][lane] = round.round(sum, at.wrapping_add(1));
            }
        }
    }
    (sums, most.iter().any(|most| *most > largest))
}

/// How many of the sums went beyond the largest number.
#[cold]
fn count<R: Round>(round: &R, rows: &[(usize, &[f32])], panel: &[Lanes], first: &[u64]) -> u64 {
    let largest = round.largest();
    let each = 2 * panel.len() as u64;
    let mut saturated = 0;
    for ((_, row), first) in rows.iter().zip(first) {
        let (mut sums, mut over) = ([0.0f32; LANES], [false; LANES]);
        for (k, (factor, column)) in row.iter().zip(panel).enumerate() {
            for (lane, ((sum, over), x)) in sums.iter_mut().zip(&mut over).zip(column).enumerate() {
                let at = first.wrapping_add(each * lane as u64 + 2 * k as u64);
                let product = factor * x;
                let next = *sum + round.round(product, at);
                *over |= product.abs() > largest || next.abs() > largest;
                *sum = round.round(next, at.wrapping_add(1));
            }
        }
        saturated += over.iter().filter(|over| **over).count() as u64;
    }
    saturated
}

/// Columns of a row-major matrix in panels, `index` being the panel.
pub(super) fn panel_of(matrix: &[f32], columns: usize, index: usize, panel: &mut Vec<Lanes>) {
    panel.clear();
    let start = index * LANES;
    panel.extend(matrix.chunks_exact(columns.max(1)).map(|row| {
        let mut lanes = [0.0; LANES];
        lanes.iter_mut().zip(row.get(start..).unwrap_or_default()).for_each(|(lane, x)| *lane = *x);
        lanes
    }));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::testing::numbers;
    use crate::number_format::{Format, Scale};

    fn rounder(name: &str, scale: f32) -> Rounder {
        Format::parse(name).unwrap().rounder(Scale { scale, ..Scale::default() }).unwrap()
    }

    /// The largest number of a format.
    struct Largest;

    impl Visitor for Largest {
        type Output = f32;
        fn visit<R: Round>(self, round: &R) -> f32 {
            round.largest()
        }
    }

    /// The sums by the definition, and how many went too far.
    fn reference(
        rounder: &Rounder,
        a: &[f32],
        b: &[f32],
        (m, k, n): (usize, usize, usize),
    ) -> (Vec<f32>, u64) {
        let largest = rounder.visit(Largest);
        let (mut all, mut saturated) = (vec![0.0; m * n], 0);
        for row in 0..m {
            for column in 0..n {
                let (mut sum, mut over) = (0.0f32, false);
                for term in 0..k {
                    let product = a[row * k + term] * b[term * n + column];
                    let next = sum + rounder.round(product, 0);
                    over |= product.abs() > largest || next.abs() > largest;
                    sum = rounder.round(next, 0);
                }
                all[row * n + column] = sum;
                saturated += u64::from(over);
            }
        }
        (all, saturated)
    }

    fn product(rounder: &Rounder, a: &[f32], b: &[f32], (m, k, n): (usize, usize, usize)) -> (Vec<f32>, u64) {
        let mut all = vec![f32::NAN; m * n];
        let product = Product {
            rows: a,
            depth: k,
            columns: n,
            panel: &mut |index, panel| panel_of(b, n, index, panel),
            take: &mut |row, start, sums| all[row * n + start..][..sums.len()].copy_from_slice(sums),
            first: &|_| 0,
        };
        let saturated = product.make(rounder);
        (all, saturated)
    }

    #[test]
    fn products_are_those_of_a_loop_over_single_numbers() {
        for (name, scale) in [("m4e3", 1.0), ("m7e6", 1.0), ("l2r6", 1.0), ("int8", 0.01), ("m2e4", 1.0)] {
            let rounder = rounder(name, scale);
            for size in 0..=2 * LANES + 1 {
                for (m, k, n) in [(size, 5, 9), (3, size.max(1), 8), (5, 7, size)] {
                    let a: Vec<f32> = numbers(m * k, 1).iter().map(|x| 3.0 * x).collect();
                    let b = numbers(k * n, 2);
                    let shape = (m, k, n);
                    let (found, expected) =
                        (product(&rounder, &a, &b, shape), reference(&rounder, &a, &b, shape));
                    assert_eq!(found, expected, "{name} {shape:?}");
                }
            }
        }
    }

    /// A sum of products with one, in a format.
    fn sum(name: &str, terms: &[f32]) -> (f32, u64) {
        let (sums, saturated) =
            product(&rounder(name, 1.0), &vec![1.0; terms.len()], terms, (1, terms.len(), 1));
        (sums[0], saturated)
    }

    #[test]
    fn bfloat16_sums_of_ten_thousand_uniforms_stick_at_256() {
        let uniforms: Vec<f32> = numbers(10_000, 3).iter().map(|x| (x + 1.0) / 2.0).collect();
        assert_eq!(sum("bf16", &uniforms).0, 256.0);
    }

    #[test]
    fn the_papers_formats_fail_as_it_says() {
        // A neuron whose sum passes 255 after 60 inputs, as the paper's of AlexNet does, and goes on.
        let terms = vec![4.26f32; 200];
        assert_eq!(sum("l8r8", &terms), (255.996_1, 1));
        // Two mantissa bits: from 256 on the next value is 64 away.
        let (stuck, saturated) = sum("m2e14", &terms);
        assert_eq!((stuck, saturated), (32.0, 0));
        let large: Vec<f32> = [vec![32.0f32; 8], vec![48.0; 50]].concat();
        assert_eq!(sum("m2e14", &large).0, 256.0);
        let (right, _) = sum("m8e6", &terms);
        assert!((right / (4.26 * 200.0) - 1.0).abs() < 0.1, "{right}");
    }
}
