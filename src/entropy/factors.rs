//! Low-rank prediction: a matrix as a sum of few products of a column's and a row's factor.
//!
//! Many layers are close to a matrix of low rank: rows are mixtures of a few patterns. The patterns (one number per column
//! each) and the mixtures (one number per row each) are stored in front of the code, and their product is what a weight is
//! expected to be. The rank is the one that saves most after its own cost: each pattern costs a few bits per row and column
//! and saves a little of every weight. As prediction only: the weights themselves keep their full rank.
//!
//! The patterns are leading right singular vectors, by orthogonal iteration (H. Rutishauser, Numer. Math. 13, 1969; N. Halko, P.
//! Martinsson and J. Tropp, SIAM Review 53, 2011) on at most `SAMPLED` rows, in float32 with + − × ÷ √ alone.

use super::binary::Decisions;
use super::distance::code_distance;
use super::{CodeError, Rows, reserve};

/// Largest rank.
pub(super) const MOST: usize = 32;
/// Rows that patterns are found on, evenly spread.
const SAMPLED: usize = 512;
/// Steps of the iteration.
const STEPS: usize = 3;
/// Runs shorter than this are not worth the search.
const SHORTEST: usize = 4096;
/// Shortest rows.
pub(super) const NARROWEST: usize = 16;
/// Patterns have a mean square of 1, in 1/4096.
const UNIT: u32 = 12;
/// Contexts of the coder: by kind of factor and pattern.
pub(super) const CONTEXTS: usize = 2 * MOST * PER;
const PER: usize = 24;

/// Factors of a run: the expected number in 1/64 is Σ mixture·pattern, shifted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Factors {
    pub rank: usize,
    /// What a mixture counts, as a power of two in 1/64.
    pub scale: u32,
    /// Precision of each pattern: how many low bits of its 1/4096 are left out.
    pub coarse: Vec<u32>,
    /// Row by row.
    pub mixtures: Vec<i16>,
    /// Column by column.
    pub patterns: Vec<i16>,
}

impl Factors {
    /// Rows that a run of `count` symbols touches.
    pub(super) fn rows(rows: Rows, count: usize) -> usize {
        (rows.start % rows.length.max(1) + count).div_ceil(rows.length.max(1))
    }

    /// The expected number in 1/64.
    #[inline]
    pub(super) fn expected(&self, row: usize, column: usize) -> i32 {
        if self.rank == 0 {
            return 0;
        }
        let mixtures = self.mixtures.get(row * self.rank..(row + 1) * self.rank).unwrap_or_default();
        let patterns = self.patterns.get(column * self.rank..(column + 1) * self.rank).unwrap_or_default();
        // Files that lie may make sums wrap around; every target wraps alike.
        let products = mixtures.iter().zip(patterns).map(|(a, b)| i32::from(*a) * i32::from(*b));
        let sum = products.fold(0, i32::wrapping_add);
        ((i64::from(sum) << self.scale) >> UNIT).clamp(-(1 << 22), 1 << 22) as i32
    }

    /// The factors that save most bits, none where none do.
    pub(super) fn fit(numbers: &[f32], rows: Rows, noise: f64) -> Self {
        let length = rows.length;
        if length < NARROWEST
            || numbers.len() < SHORTEST
            || numbers.len() < 16 * length
            || !rows.start.is_multiple_of(length)
        {
            return Self::default();
        }
        let whole = numbers.len() / length;
        let every = whole.div_ceil(SAMPLED);
        let sampled: Vec<&[f32]> = numbers.chunks_exact(length).step_by(every).collect();
        let rank = MOST.min(sampled.len() / 2).min(length / 2);
        let basis = leading(&sampled, length, rank);
        // Energies of the sampled rows stand for those of all.
        let scale = numbers.len() as f64 / (sampled.len() * length) as f64;
        let square = |w: &f32| f64::from(*w) * f64::from(*w) * scale;
        let total: f64 = sampled.iter().flat_map(|row| row.iter()).map(square).sum();
        let mut energies = vec![0.0f64; rank];
        for row in products(sampled.iter().copied(), &basis, rank).chunks_exact(rank) {
            for (energy, a) in energies.iter_mut().zip(row) {
                *energy += square(a);
            }
        }
        let n = numbers.len() as f64;
        let spectrum = Spectrum {
            size: (numbers.len().div_ceil(length) as f64, length as f64),
            n,
            floor: n * (noise + 1.0 / 12.0),
            total,
            energies: &energies,
        };
        match spectrum.best_rank() {
            0 => Self::default(),
            best => Self::rounded(numbers, length, (&basis, rank), best, &spectrum),
        }
    }

    /// The first `best` patterns of the `rank` of a basis, and the mixtures of all rows, in whole steps.
    fn rounded(
        numbers: &[f32],
        length: usize,
        (basis, rank): (&[f32], usize),
        best: usize,
        spectrum: &Spectrum,
    ) -> Self {
        let rest = spectrum.rest(best);
        let side = libm::sqrt(length as f64);
        let (a, _) = steps(rest, 1.0, spectrum.size);
        let scale = libm::floor(libm::log2((a * 64.0).max(1.0))) as u32;
        let step = (1u32 << scale.min(20)) as f64 / 64.0;
        let whole = |x: f64| libm::rint(x).clamp(-32_767.0, 32_767.0) as i16;
        let energies = spectrum.energies.iter().take(best);
        let coarse: Vec<u32> = energies
            .map(|energy| {
                let (_, b) = steps(rest, *energy, spectrum.size);
                libm::floor(libm::log2((b * 4096.0).max(1.0))).min(11.0) as u32
            })
            .collect();
        let mut factors =
            Self { rank: best, scale: scale.min(20), coarse, mixtures: Vec::new(), patterns: Vec::new() };
        let kept: Vec<f32> =
            basis.chunks_exact(rank).flat_map(|column| column.iter().take(best)).copied().collect();
        let mixtures = products(numbers.chunks(length), &kept, best);
        factors.mixtures.extend(mixtures.iter().map(|a| whole(f64::from(*a) / side / step)));
        for column in basis.chunks_exact(rank) {
            for (v, coarse) in column.iter().zip(&factors.coarse) {
                let steps = libm::rint(f64::from(*v) * side * 4096.0 / f64::from(1u32 << coarse));
                let most = f64::from(32_767 >> coarse);
                factors.patterns.push((steps.clamp(-most, most) as i16) << coarse);
            }
        }
        factors
    }

    /// Factors that are all zero, of a run of `count` numbers.
    pub(super) fn zeros(
        rank: usize,
        scale: u32,
        coarse: Vec<u32>,
        rows: Rows,
        count: usize,
    ) -> Result<Self, CodeError> {
        let (mut mixtures, mut patterns) = (Vec::new(), Vec::new());
        let (high, wide) = (rank * Self::rows(rows, count), rank * rows.length);
        reserve(&mut mixtures, high)?;
        reserve(&mut patterns, wide)?;
        mixtures.resize(high, 0);
        patterns.resize(wide, 0);
        Ok(Self { rank, scale, coarse, mixtures, patterns })
    }

    /// Codes the factors: those there are when encoding, those that `decisions` have when decoding. `context` is the first of
    /// [`CONTEXTS`].
    pub(super) fn code(&mut self, decisions: &mut impl Decisions, context: usize) {
        let rank = self.rank;
        for (i, mixture) in self.mixtures.iter_mut().enumerate() {
            *mixture = signed(decisions, context + i % rank * PER, i32::from(*mixture)) as i16;
        }
        for (i, pattern) in self.patterns.iter_mut().enumerate() {
            let coarse = self.coarse.get(i % rank).copied().unwrap_or(0);
            let found = signed(decisions, context + (MOST + i % rank) * PER, i32::from(*pattern >> coarse));
            *pattern = (found as i16) << coarse;
        }
    }
}

/// Energies of the patterns of a run of `n` numbers, and what they leave.
struct Spectrum<'a> {
    /// Rows and columns.
    size: (f64, f64),
    n: f64,
    /// Energy that no pattern takes away.
    floor: f64,
    total: f64,
    energies: &'a [f64],
}

impl Spectrum<'_> {
    /// The rank that saves most bits: what is left of the error against what the factors cost.
    fn best_rank(&self) -> usize {
        let Self { size, n, floor, total, energies } = *self;
        let (count, length) = size;
        let (mut best, mut saved, mut left, mut cost) = (0, 0.01 * n, total, 64.0);
        for (k, energy) in energies.iter().enumerate() {
            left -= energy;
            let rest = (left.max(0.0) + floor) / n;
            let (a, b) = steps(rest, *energy, size);
            // A Gaussian of deviation s in steps of q takes log2(s / q) + 2.05 bits.
            let bits = |deviation: f64, step: f64| libm::log2(1.0 + 4.13 * deviation / step);
            cost += count * bits(libm::sqrt(energy / count / length), a);
            cost += length * bits(1.0, b) + 8.0;
            let added = 1.0 + (k + 1) as f64 * (count + length) / n;
            let gain = 0.5 * n * libm::log2((total + floor) / ((left.max(0.0) + floor) * added)) - cost;
            if gain > saved {
                (best, saved) = (k + 1, gain);
            }
        }
        best
    }

    /// Mean square of what the first `rank` patterns leave.
    fn rest(&self, rank: usize) -> f64 {
        let left: f64 = self.total - self.energies.iter().take(rank).sum::<f64>();
        (left.max(0.0) + self.floor) / self.n
    }
}

/// Leading right singular vectors of rows of `length` numbers, by orthogonal iteration: columns × rank.
fn leading(rows: &[&[f32]], length: usize, rank: usize) -> Vec<f32> {
    // From even and odd patterns that no row is orthogonal to.
    let mut basis: Vec<f32> = (0..length * rank)
        .map(|i| ((i as u32).wrapping_mul(2_654_435_761) >> 8) as f32 / (1 << 23) as f32 - 1.0)
        .collect();
    for _ in 0..STEPS {
        orthonormal(&mut basis, rank);
        let mut mixed = products(rows.iter().copied(), &basis, rank);
        orthonormal(&mut mixed, rank);
        basis.fill(0.0);
        for (row, mixed) in rows.iter().zip(mixed.chunks_exact(rank)) {
            for (w, basis) in row.iter().zip(basis.chunks_exact_mut(rank)) {
                for (b, m) in basis.iter_mut().zip(mixed) {
                    *b += w * m;
                }
            }
        }
    }
    orthonormal(&mut basis, rank);
    basis
}

/// Codes a whole number: is it zero, its sign, its magnitude.
fn signed(decisions: &mut impl Decisions, context: usize, number: i32) -> i32 {
    if !decisions.bit(context, number != 0) {
        return 0;
    }
    let negative = decisions.even(u32::from(number < 0), 1) == 1;
    let magnitude = code_distance(decisions, |class| context + 1 + class, None, number.unsigned_abs()) as i32;
    if negative { -magnitude } else { magnitude }
}

/// Steps of mixtures and of a pattern with that energy, where `rest` is the mean square of what the factors leave.
///
/// Finer steps by a factor of 2 cost a bit per factor and save what coarser ones add to the rest; that balances where each
/// pattern adds as large a share of the rest as it has factors per number.
fn steps(rest: f64, energy: f64, (rows, columns): (f64, f64)) -> (f64, f64) {
    let added = rest * (rows + columns) / (rows * columns);
    (libm::sqrt(6.0 * added), libm::sqrt(6.0 * added * rows * columns / energy.max(1e-30)))
}

/// Rows times the basis: rank numbers per row.
fn products<'a>(rows: impl Iterator<Item = &'a [f32]>, basis: &[f32], rank: usize) -> Vec<f32> {
    let mut all = Vec::new();
    let mut sums = [0.0f32; MOST];
    for row in rows {
        sums.fill(0.0);
        for (w, basis) in row.iter().zip(basis.chunks_exact(rank)) {
            for (sum, b) in sums.iter_mut().zip(basis) {
                *sum += w * b;
            }
        }
        all.extend_from_slice(&sums[..rank]);
    }
    all
}

/// Makes the `rank` columns of a matrix orthonormal, in order (Gram and Schmidt, twice over for accuracy).
fn orthonormal(matrix: &mut [f32], rank: usize) {
    for k in 0..rank {
        for _ in 0..2 {
            let mut along = [0.0f32; MOST];
            for row in matrix.chunks_exact(rank) {
                for (sum, b) in along.iter_mut().zip(&row[..k]) {
                    *sum += b * row[k];
                }
            }
            for row in matrix.chunks_exact_mut(rank) {
                let known: f32 = along.iter().zip(&row[..k]).map(|(a, b)| a * b).sum();
                row[k] -= known;
            }
        }
        let length: f32 = matrix.chunks_exact(rank).map(|row| row[k] * row[k]).sum();
        let inverse = if length > 1e-30 { 1.0 / length.sqrt() } else { 0.0 };
        matrix.chunks_exact_mut(rank).for_each(|row| row[k] *= inverse);
    }
}
