//! Exact importance-weighted k-means in one dimension, in linear memory.
//!
//! Minimises Σ h·(w − c(w))² over at most k levels c (the Hessian-weighted k-means of Choi, El-Khamy and Lee 2017,
//! section 3.2, with h = 1 for plain k-means). Optimal clusters are intervals of sorted weights, and the least error
//! f(k) is convex in k because the cost of an interval satisfies the quadrangle inequality (Aggarwal, Schieber and
//! Tokuyama 1994). So instead of k rows of dynamic programming a *penalty* per cluster is searched for which the
//! unconstrained optimum has k clusters; each try is one pass over the cells (see the private module `penalised`).
//!
//! The first penalty comes from the same problem on eight times fewer cells, recursively; further ones from a power law
//! through the nearest solved counts; at last from the chord between them, which either finds a count in between or
//! proves that k lies on a straight piece of f, where the two neighbouring optima are spliced into one with k clusters
//! (same paper, section 3).
//!
//! Cost: O(n log n) per pass, one to four passes; about 60 bytes per cell. Exact up to rounding of float64 sums.

use super::assemble::{assemble_nearest, centroids};
use super::penalised::{Path, Workspace};
use super::points::{Points, distinct_cells};
use super::{Parameter, ParameterKind, Problem, QuantizeError, Settings, Solution};
use crate::code::MAX_LEVELS;
use crate::histogram::Moments;

/// The number of levels.
pub const LEVELS: Parameter = Parameter {
    id: "k",
    title: "Levels",
    summary: "number of clusters, each with one value in the codebook",
    kind: ParameterKind::Integer { min: 1, max: 4096, default: 16 },
};

/// Parameters of the method.
pub const PARAMETERS: &[Parameter] = &[
    LEVELS,
    Parameter {
        id: "precision",
        title: "Precision",
        summary: "solve on the histogram's cells, or once more on every distinct weight",
        kind: ParameterKind::Choice(&[("cells", "Cells"), ("certified", "Every weight")]),
    },
];

/// Fewer cells than this are solved without a coarser problem.
const COARSEST: usize = 2048;
/// Cells of a problem per cell of its coarser one.
const COARSENING: usize = 8;
/// Cells per level below which a coarser problem says nothing useful.
const CELLS_PER_LEVEL: usize = 6;
/// Passes that may guess the penalty before only chords are used.
const GUESSES: u32 = 12;
/// Between known partitions this close in count, the chord needs no guess.
const NARROW: usize = 3;

/// Solves for the levels in `settings` on the histogram's cells, whatever the precision: for every weight the caller, who
/// has the weights, calls [`certified`].
pub fn solve(problem: &Problem, settings: &Settings) -> Result<Solution, QuantizeError> {
    let mut solutions = curve(problem, &[settings.integer("k") as u32])?;
    solutions.pop().ok_or(QuantizeError::NoWeights)
}

/// One exact solution per entry of `ks` (1 to [`MAX_LEVELS`]), sharing what the searches learn.
pub fn curve(problem: &Problem, ks: &[u32]) -> Result<Vec<Solution>, QuantizeError> {
    solve_cells(problem.histogram.moments(), ks)
}

/// One exact solution per `k` of `settings`.
pub fn solve_several(problem: &Problem, settings: &[Settings]) -> Result<Vec<Solution>, QuantizeError> {
    let ks: Vec<u32> = settings.iter().map(|settings| settings.integer("k") as u32).collect();
    curve(problem, &ks)
}

/// Exact k-means on every distinct weight instead of on cells: the last digit, in linear memory.
///
/// `values` are finite, in any order; `importance` (same length) defaults to 1.
pub fn certified(values: &[f32], importance: Option<&[f32]>, k: u32) -> Result<Solution, QuantizeError> {
    let points = distinct(values, importance);
    solve_cells(&points, &[k])?.pop().ok_or(QuantizeError::NoWeights)
}

/// The sums of every distinct value, ascending.
fn distinct(values: &[f32], importance: Option<&[f32]>) -> Vec<Moments> {
    let pairs: Vec<(f32, f32)> = match importance {
        None => values.iter().map(|w| (w + 0.0, 1.0)).collect(),
        Some(h) => values.iter().zip(h).map(|(w, h)| (w + 0.0, *h)).collect(),
    };
    // Equal weights are ordered by importance too, so that sums do not depend on the order given.
    distinct_cells(&crate::order::sorted_pairs(&pairs))
}

/// One exact solution per entry of `ks` on cells that ascend in value.
fn solve_cells(cells: &[Moments], ks: &[u32]) -> Result<Vec<Solution>, QuantizeError> {
    if cells.is_empty() {
        return Err(QuantizeError::NoWeights);
    }
    let mut search = Search::new(Points::new(cells));
    let solution = |k: &u32| {
        let before = search.passes;
        let cuts = search.cuts((*k as usize).clamp(1, MAX_LEVELS));
        let levels = centroids(cells, &cuts);
        let passes = search.passes - before;
        Solution { iterations: passes, optimal: true, ..assemble_nearest(cells, &levels) }
    };
    Ok(ks.iter().map(solution).collect())
}

/// Optimal partitions of the same cells found so far, by their number of clusters.
struct Search {
    points: Points,
    /// By their number of clusters, ascending.
    paths: Vec<Path>,
    workspace: Workspace,
    coarse: Option<Box<Search>>,
    passes: u32,
}

impl Search {
    /// A search that knows the two trivial partitions.
    fn new(points: Points) -> Self {
        let n = points.len();
        let coarse = (n >= COARSEST).then(|| Box::new(Self::new(coarser(&points, n / COARSENING))));
        let one = Path::new(&points, vec![0, n as u32], f64::INFINITY);
        let all = Path::new(&points, (0..=n as u32).collect(), 0.0);
        let paths = if n == 1 { vec![all] } else { vec![one, all] };
        Self { points, paths, workspace: Workspace::default(), coarse, passes: 0 }
    }

    /// Boundaries of an optimal partition into min(k, cells) clusters.
    fn cuts(&mut self, k: usize) -> Vec<u32> {
        let k = k.min(self.points.len());
        let mut guesses = 0;
        // How far beside k to aim, growing while guesses land on the same side.
        let mut beside = 0.0;
        loop {
            if let Some(path) = self.path(k) {
                return path.cuts.clone();
            }
            let learned = if guesses == 0 { self.coarse_penalty(k) } else { None };
            let Some((fewer, more)) = self.neighbours(k) else { return Vec::new() };
            let (low, high) = (fewer.len(), more.len());
            let (least, most) = (more.penalty, fewer.penalty);
            let chord = (fewer.error - more.error).max(0.0) / (high - low) as f64;
            let aim = (k as f64 + beside).clamp(low as f64 + 0.75, high as f64 - 0.75);
            let guess = learned
                .or_else(|| Some(power_law(fewer, more, aim)))
                .filter(|penalty| *penalty > least && *penalty < most)
                .filter(|_| guesses < GUESSES && high - low > NARROW);
            guesses += 1;
            let path = self.workspace.solve(&self.points, guess.unwrap_or(chord));
            self.passes += 1;
            if low < path.len() && path.len() < high {
                beside = 0.0;
                self.learn(path);
            } else if guess.is_some() {
                beside =
                    if path.len() <= low { 2.0 * beside.max(0.0) + 1.0 } else { 2.0 * beside.min(0.0) - 1.0 };
                // The same partition again, known to be optimal for one more penalty.
                self.learn(path);
            } else if let Some((fewer, more)) = self.neighbours(k) {
                // Nothing lies below the chord: k is on a straight piece of the error.
                let cuts = splice(&fewer.cuts, &more.cuts, k);
                self.learn(Path::new(&self.points, cuts, chord));
            }
        }
    }

    /// The known partitions with fewest more and most fewer clusters than k.
    fn neighbours(&self, k: usize) -> Option<(&Path, &Path)> {
        let at = self.place(k);
        let fewer = self.paths.get(at.checked_sub(1)?)?;
        Some((fewer, self.paths.get(at..)?.iter().find(|path| path.len() > k)?))
    }

    /// How many partitions are known that have fewer clusters than k.
    fn place(&self, k: usize) -> usize {
        self.paths.partition_point(|path| path.len() < k)
    }

    /// The known partition into k clusters.
    fn path(&self, k: usize) -> Option<&Path> {
        self.paths.get(self.place(k)).filter(|path| path.len() == k)
    }

    /// Remembers a partition, in place of another into as many clusters.
    fn learn(&mut self, path: Path) {
        let at = self.place(path.len());
        match self.paths.get_mut(at).filter(|known| known.len() == path.len()) {
            Some(known) => *known = path,
            None => self.paths.insert(at, path),
        }
    }

    /// A penalty for k clusters of the coarser problem, where there is one fine enough.
    fn coarse_penalty(&mut self, k: usize) -> Option<f64> {
        let coarse = self.coarse.as_mut().filter(|coarse| coarse.points.len() >= CELLS_PER_LEVEL * k)?;
        coarse.cuts(k);
        coarse.path(k).map(|path| path.penalty)
    }
}

/// The same points in at most `bins` runs; the scatter inside a run is kept, being the same for every partition.
fn coarser(points: &Points, bins: usize) -> Points {
    let runs = points.runs(bins);
    let positions = runs
        .windows(2)
        .map(|pair| match pair {
            [start, end] => points.mean(*start as usize, *end as usize).unwrap_or_default(),
            _ => 0.0,
        })
        .collect();
    Points {
        positions,
        counts: runs.iter().map(|i| points.counts[*i as usize]).collect(),
        sums: runs.iter().map(|i| points.sums[*i as usize]).collect(),
        origin: points.origin,
    }
}

/// What one more cluster saves at k if the error falls like a power of the count between two known partitions; like the
/// inverse square, the law of fine quantization (Panter and Dite 1951), where one of them is trivial.
fn power_law(fewer: &Path, more: &Path, k: f64) -> f64 {
    let (k1, k2) = (fewer.len() as f64, more.len() as f64);
    let power = if more.penalty > 0.0 && more.error > 0.0 {
        libm::log(fewer.error / more.error) / libm::log(k2 / k1)
    } else {
        2.0
    };
    let error = |x: f64| fewer.error * libm::pow(k1 / x, power);
    error(k - 0.5) - error(k + 0.5)
}

/// A partition into k clusters made of the first clusters of `more` and the last of `fewer`.
///
/// Looks for a cluster of `fewer` that encloses one of `more` such that crossing over there gives k clusters; by the
/// quadrangle inequality the crossing costs nothing if both are optimal for the same penalty.
fn splice(fewer: &[u32], more: &[u32], k: usize) -> Vec<u32> {
    let ahead = k + 1 - fewer.len();
    let last = fewer.len() - 2;
    let at = (0..last).find(|i| more[i + ahead + 1] <= fewer[i + 1]).unwrap_or(last);
    let mut cuts = more[..=at + ahead].to_vec();
    cuts.extend_from_slice(&fewer[at + 1..]);
    cuts
}
