//! Prediction: what a number is expected to be.
//!
//! Kernels are smooth, rows are mixtures of patterns, embeddings have columns with means: the signed value of a weight can be
//! predicted in part. Three parts add up, each there only where it saves bits: a matrix of low rank (`super::factors`); of
//! what that leaves, Σ cᵢ·xᵢ over earlier numbers of the row at fixed distances, the number above and the running mean of
//! the column, with a set of coefficients for every position in a kernel, found by least squares and stored in 1/64; and of
//! what both leave, a combination of the last `TAPS` that learns as it goes. Prediction decides nothing but contexts: it
//! never changes a weight.
//!
//! Least squares for coding: J. Makhoul, "Linear prediction: a tutorial review", Proc. IEEE 63, 1975; learning: B. Widrow and M.
//! Hoff, 1960, normalised by J. Nagumo and A. Noda, IEEE Trans. AC 12, 1967. The fit is made where symbols are encoded, in
//! floating point with + − × ÷ and `libm` alone; decoding is in integers.

use super::bits::{BitReader, BitWriter};
use super::factors::Factors;
use super::{CodeError, Rows, damaged, factors};
use crate::order;

/// Number of paces.
pub(super) const PACES: u32 = 3;
/// Largest distance along the row.
pub(super) const REACH: usize = 64;
/// Most distances along the row.
const LAGS: usize = 8;
/// Most positions with coefficients of their own.
const POSITIONS: usize = 64;
/// What numbers are predicted from: the distances, the number above, the column's mean.
const FEATURES: usize = LAGS + 2;
/// Numbers that a fit looks at, about.
const FITTED: usize = 1 << 15;
/// Runs too short for coefficients to pay.
const SHORTEST: usize = 256;
/// Kernel sizes tried on matrices whose rows may be flattened feature maps.
const FLATTENED: [usize; 5] = [4, 9, 16, 25, 49];

/// The largest prediction, in 1/64: beyond every number.
const MOST: i32 = 1 << 23;

/// Order of the exponential Golomb code of coefficients.
const COEFFICIENT_ORDER: u32 = 4;

/// Coefficients of one position: those of distances, of the number above, and of the column's mean.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Position {
    lags: Vec<(u32, i32)>,
    above: i32,
    mean: i32,
}

/// A linear predictor; without positions, everything is expected to be zero.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Predictor {
    pub(super) factors: Factors,
    lags: Vec<u32>,
    positions: Vec<Position>,
    /// How fast the learning part learns: 0 not at all, else a share of 4^(rate − 5).
    rate: u32,
    /// How fast running means of distances move: 0 to 2, slower and slower.
    pace: u32,
}

/// Numbers that the learning part combines.
pub(super) const TAPS: usize = 16;
/// Values of `rate`.
pub(super) const RATES: u32 = 4;

/// The learning part: weights in 2⁻²⁰.
#[derive(Debug, Clone, Default)]
pub(super) struct AdaptiveFilter([i32; TAPS]);

impl AdaptiveFilter {
    /// What the last numbers, latest last, make of the next, in 1/64.
    #[inline]
    fn expected(&self, before: impl Fn(u32) -> i32) -> i32 {
        let mut sum = 0i64;
        for (lag, weight) in (1..).zip(&self.0) {
            sum += i64::from(*weight) * i64::from(before(lag));
        }
        (sum >> 18).clamp(-(1 << 22), 1 << 22) as i32
    }

    /// Learns from being `off` by that much, in 1/64.
    pub(super) fn learn(&mut self, rate: u32, off: i32, before: impl Fn(u32) -> i32) {
        let energy =
            (1..=TAPS as u32).map(|lag| i64::from(before(lag)) * i64::from(before(lag))).sum::<i64>() + 256;
        let gain = (i64::from(off) << (16 + 2 * rate)) / energy;
        for (lag, weight) in (1..).zip(&mut self.0) {
            let change = (gain * i64::from(before(lag))) >> 8;
            *weight = (i64::from(*weight) + change).clamp(-(1 << 24), 1 << 24) as i32;
        }
    }
}

/// Whether the number at distance `lag` is one to predict from at a position of a kernel of `period` numbers: one of the same
/// kernel, or at the same position of an earlier one.
fn sees(lag: u32, position: usize, period: usize) -> bool {
    lag as usize <= position || (lag as usize).is_multiple_of(period)
}

impl Predictor {
    /// The rate of the learning part.
    pub(super) fn rate(&self) -> u32 {
        self.rate
    }

    /// Whether the number before has a part in what is expected.
    pub(super) fn looks_left(&self) -> bool {
        self.rate > 0 || self.lags.contains(&1) && !self.positions.is_empty()
    }

    /// How fast running means of distances move.
    pub(super) fn pace(&self) -> u32 {
        self.pace
    }

    /// The same with another pace.
    pub(super) fn at_pace(mut self, pace: u32) -> Self {
        self.pace = pace;
        self
    }

    /// Whether nothing is predicted.
    pub(super) fn is_none(&self) -> bool {
        self.factors.rank == 0 && self.positions.is_empty() && self.rate == 0
    }

    /// The same with another rate.
    pub(super) fn learning(mut self, rate: u32) -> Self {
        self.rate = rate;
        self
    }

    /// What is expected at `column` beyond `base`, which the factors expect; both in 1/64. Of what is left of other numbers,
    /// in 1/16, `before(d)` is `d` back in the row, `above` the one above and `mean` the column's mean.
    #[inline]
    pub(super) fn expected(
        &self,
        (column, base): (usize, i32),
        above: i32,
        mean: i32,
        filter: &AdaptiveFilter,
        before: impl Fn(u32) -> i32,
    ) -> i32 {
        let position = match self.positions.as_slice() {
            [] => None,
            [only] => Some(only),
            all => all.get(column % all.len()),
        };
        let mut expected = base;
        if let Some(position) = position {
            let mut sum = position.above.wrapping_mul(above).wrapping_add(position.mean.wrapping_mul(mean));
            for (lag, coefficient) in &position.lags {
                sum = sum.wrapping_add(coefficient.wrapping_mul(before(*lag)));
            }
            expected += (sum >> 4).clamp(-MOST, MOST);
        }
        if self.rate > 0 {
            expected += filter.expected(before);
        }
        expected.clamp(-MOST, MOST)
    }

    /// The predictor that saves most bits, for numbers that need not be whole; `noise` is the mean squared error of
    /// quantizing them further.
    pub(super) fn fit(numbers: &[f32], rows: Rows, noise: f64) -> Self {
        if rows.length == 0 || rows.length >= numbers.len() || numbers.len() < SHORTEST {
            return Self::default();
        }
        let shapes: Vec<(usize, Vec<u32>)> = if rows.kernel > 1 && rows.kernel <= POSITIONS {
            vec![(rows.kernel, distances(rows.kernel, rows.width))]
        } else {
            let flattened = FLATTENED.iter().filter(|period| {
                rows.kernel == 1 && rows.length.is_multiple_of(**period) && rows.length > **period
            });
            let flattened = flattened.map(|period| {
                let side = (1..8).find(|side| side * side == *period).unwrap_or(1);
                (*period, distances(*period, side))
            });
            std::iter::once((1, vec![1, 2, 3, 4, 5, 6, 7, 8])).chain(flattened).collect()
        };
        let (mut best, mut saved) = (Self::default(), 0.0);
        for (period, lags) in shapes {
            let (predictor, bits) =
                Normal::gather(numbers, rows, period, &lags).solve(lags, noise, numbers.len());
            if bits > saved {
                (best, saved) = (predictor, bits);
            }
        }
        best
    }

    /// The predictor of low rank and what it leaves, if a low rank pays.
    pub(super) fn fit_with_factors(numbers: &[f32], rows: Rows, noise: f64) -> Option<Self> {
        let factors = Factors::fit(numbers, rows, noise);
        if factors.rank == 0 {
            return None;
        }
        let expected = |i: usize| factors.expected(i / rows.length, i % rows.length) as f32 / 64.0;
        let left: Vec<f32> = numbers.iter().enumerate().map(|(i, number)| number - expected(i)).collect();
        Some(Self { factors, ..Self::fit(&left, rows, noise) })
    }

    /// Writes everything but the factors' numbers.
    pub(super) fn write(&self, writer: &mut BitWriter) {
        writer.write_golomb(self.factors.rank as u32, 0);
        if self.factors.rank > 0 {
            writer.write(self.factors.scale, 5);
            self.factors.coarse.iter().for_each(|coarse| writer.write(*coarse, 4));
        }
        writer.write(self.rate, 2);
        writer.write(self.pace, 2);
        writer.write_golomb(self.positions.len() as u32, 0);
        if self.positions.is_empty() {
            return;
        }
        writer.write_golomb(self.lags.len() as u32, 2);
        for lag in &self.lags {
            writer.write_golomb(*lag, 2);
        }
        let mut put = |coefficient: i32| {
            writer.write_golomb((coefficient << 1 ^ coefficient >> 31) as u32, COEFFICIENT_ORDER);
        };
        for (at, position) in self.positions.iter().enumerate() {
            for lag in self.lags.iter().filter(|lag| sees(**lag, at, self.positions.len())) {
                put(position.lags.iter().find(|(other, _)| other == lag).map_or(0, |(_, c)| *c));
            }
            put(position.above);
            put(position.mean);
        }
    }

    /// Reads what [`write`](Self::write) wrote, for a run of `count` numbers; the factors' numbers are zeros.
    pub(super) fn read(reader: &mut BitReader, rows: Rows, count: usize) -> Result<Self, CodeError> {
        const PART: &str = "predictor";
        let mut predictor = Self::default();
        let rank = reader.read_golomb(0)? as usize;
        if rank > 0 {
            if rank > factors::MOST || rows.length < factors::NARROWEST || count < rows.length {
                return Err(damaged(PART, format!("a rank of at most {}, of a matrix", factors::MOST), rank));
            }
            let scale = reader.read(5)?;
            let coarse = (0..rank).map(|_| reader.read(4)).collect::<Result<Vec<u32>, _>>()?;
            if scale > 20 || coarse.iter().any(|coarse| *coarse > 11) {
                return Err(damaged(PART, "scales up to 20 and precisions up to 11", "others"));
            }
            predictor.factors = Factors::zeros(rank, scale, coarse, rows, count)?;
        }
        predictor.rate = reader.read(2)?;
        predictor.pace = reader.read(2)?;
        if predictor.pace >= PACES {
            return Err(damaged(PART, format!("a pace below {PACES}"), predictor.pace));
        }
        let period = reader.read_golomb(0)? as usize;
        if period == 0 {
            return Ok(predictor);
        }
        let count = reader.read_golomb(2)? as usize;
        if period > POSITIONS || count > LAGS {
            let expected = format!("at most {POSITIONS} positions and {LAGS} distances");
            return Err(damaged(PART, expected, format!("{period} and {count}")));
        }
        for _ in 0..count {
            let lag = reader.read_golomb(2)?;
            if !(1..=REACH as u32).contains(&lag) {
                return Err(damaged(PART, format!("distances from 1 to {REACH}"), lag));
            }
            predictor.lags.push(lag);
        }
        for at in 0..period {
            let mut take = || -> Result<i32, CodeError> {
                let folded = reader.read_golomb(COEFFICIENT_ORDER)?;
                if folded > 255 {
                    return Err(damaged(PART, "coefficients from -128 to 127", folded));
                }
                Ok((folded >> 1) as i32 ^ -((folded & 1) as i32))
            };
            let mut position = Position::default();
            for lag in predictor.lags.iter().filter(|lag| sees(**lag, at, period)) {
                let coefficient = take()?;
                if coefficient != 0 {
                    position.lags.push((*lag, coefficient));
                }
            }
            position.above = take()?;
            position.mean = take()?;
            predictor.positions.push(position);
        }
        Ok(predictor)
    }
}

/// Distances for a kernel of `period` numbers in rows of `width`: neighbours in the kernel, and the same place in those before.
fn distances(period: usize, width: usize) -> Vec<u32> {
    let lags: Vec<u32> = [1, 2, width.saturating_sub(1), width, width + 1, 2 * width, period, 2 * period]
        .into_iter()
        .filter(|lag| (1..=REACH).contains(lag))
        .map(|lag| lag as u32)
        .collect();
    let mut lags = order::sorted_by_key(&lags, |lag| u64::from(*lag));
    lags.dedup();
    lags
}

/// Sums of products of features and numbers, for each position.
struct Normal {
    /// Sums of xᵢ·xⱼ, j ≤ i, then of xᵢ·y, then of y².
    sums: Vec<[[f64; FEATURES + 1]; FEATURES + 1]>,
    count: usize,
    features: usize,
}

impl Normal {
    fn gather(numbers: &[f32], rows: Rows, period: usize, lags: &[u32]) -> Self {
        let features = lags.len() + 2;
        let mut sums = vec![[[0.0; FEATURES + 1]; FEATURES + 1]; period];
        let mut means = vec![0.0f32; rows.length];
        // Whole rows, evenly spread; the first starts anywhere.
        let first = rows.length - rows.start % rows.length;
        let all = (numbers.len() - first) / rows.length;
        let every = (numbers.len() / FITTED).max(1);
        let mut count = 0;
        for row in 0..all {
            let start = first + row * rows.length;
            let above = start.checked_sub(rows.length);
            let sampled = row.is_multiple_of(every);
            for column in 0..rows.length {
                let y = numbers[start + column];
                if sampled {
                    let position = column % period;
                    let mut x = [0.0f64; FEATURES + 1];
                    for (slot, lag) in x.iter_mut().zip(lags) {
                        if *lag as usize <= column && sees(*lag, position, period) {
                            *slot = f64::from(numbers[start + column - *lag as usize]);
                        }
                    }
                    x[features - 2] = above.map_or(0.0, |above| f64::from(numbers[above + column]));
                    x[features - 1] = f64::from(means[column]);
                    x[features] = f64::from(y);
                    let sums = &mut sums[position];
                    for i in 0..=features {
                        for j in 0..=i {
                            sums[i][j] += x[i] * x[j];
                        }
                    }
                    count += 1;
                }
                means[column] += (y - means[column]) / 16.0;
            }
        }
        Self { sums, count, features }
    }

    /// Solves for the coefficients; the predictor and the bits that it is expected to save on `numbers` numbers.
    fn solve(&self, lags: Vec<u32>, noise: f64, numbers: usize) -> (Predictor, f64) {
        let n = self.features;
        let per_position = self.count as f64 / self.sums.len().max(1) as f64;
        let (mut before, mut after, mut cost) = (0.0, 0.0, 32.0);
        let mut positions = Vec::with_capacity(self.sums.len());
        for sums in &self.sums {
            let coefficients = least_squares(sums, n, per_position * noise);
            let mut rest = sums[n][n];
            for i in 0..n {
                rest -= 2.0 * coefficients[i] * sums[n][i];
                for j in 0..n {
                    rest += coefficients[i] * coefficients[j] * sums[i.max(j)][i.min(j)];
                }
            }
            before += sums[n][n];
            after += rest;
            let whole = |i: usize| libm::rint(coefficients[i] * 64.0) as i32;
            cost +=
                coefficients.iter().take(n).map(|c| 5.0 + 2.0 * libm::log2(1.0 + 4.0 * c.abs())).sum::<f64>();
            positions.push(Position {
                lags: lags
                    .iter()
                    .enumerate()
                    .map(|(i, lag)| (*lag, whole(i)))
                    .filter(|(_, c)| *c != 0)
                    .collect(),
                above: whole(n - 2),
                mean: whole(n - 1),
            });
        }
        let floor = self.count as f64 * (noise + 1.0 / 12.0);
        let saved = 0.5 * numbers as f64 * libm::log2((before + floor) / (after + floor)) - cost;
        (Predictor { lags, positions, ..Predictor::default() }, saved)
    }
}

/// The coefficients that minimise the squared error with `noise` added to every feature's sum of squares, in 1/64; by Cholesky's
/// decomposition.
fn least_squares(sums: &[[f64; FEATURES + 1]; FEATURES + 1], n: usize, noise: f64) -> [f64; FEATURES] {
    let mut root = [[0.0f64; FEATURES]; FEATURES];
    let mut solution = [0.0f64; FEATURES];
    for i in 0..n {
        for j in 0..=i {
            let known: f64 = (0..j).map(|k| root[i][k] * root[j][k]).sum();
            let ridge = if i == j { noise + 1e-3 * sums[n][n] + 1e-30 } else { 0.0 };
            let left = sums[i][j] + ridge - known;
            root[i][j] = if i == j { libm::sqrt(left.max(1e-30)) } else { left / root[j][j] };
        }
    }
    for i in 0..n {
        let known: f64 = (0..i).map(|k| root[i][k] * solution[k]).sum();
        solution[i] = (sums[n][i] - known) / root[i][i];
    }
    for i in (0..n).rev() {
        let known: f64 = (i + 1..n).map(|k| root[k][i] * solution[k]).sum();
        solution[i] = (solution[i] - known) / root[i][i];
    }
    solution.map(|c| libm::rint(c * 64.0).clamp(-128.0, 127.0) / 64.0)
}
