//! Clusters of neighbours at a price per cluster: the inner problem of exact k-means.
//!
//! Given a penalty λ, finds the partition into intervals that minimises Σ scatter + λ·(number of intervals). The scatter
//! of an interval satisfies the quadrangle inequality, so a later start of the last interval, once better, stays better
//! as the end moves right; a queue of the starts that are still to be best answers each end (Galil and Park 1990,
//! section 2; the concave and convex least-weight subsequence problem). The point where one start overtakes another is
//! searched by doubling from where the previous start took over, since it is usually near.
//!
//! Cost: O(n log n) at worst, close to linear on histograms; 12 bytes per cell of working memory.

use super::points::Points;

/// A partition of the cells into intervals.
#[derive(Debug, Clone)]
pub(super) struct Path {
    /// Boundaries: 0 first, the number of cells last.
    pub cuts: Vec<u32>,
    /// Σ scatter over the intervals.
    pub error: f64,
    /// A penalty for which the partition is optimal.
    pub penalty: f64,
}

impl Path {
    /// The partition with these boundaries.
    pub fn new(points: &Points, cuts: Vec<u32>, penalty: f64) -> Self {
        let error = cuts
            .windows(2)
            .map(|pair| match pair {
                [start, end] => points.range(*start as usize, *end as usize).scatter(),
                _ => 0.0,
            })
            .sum();
        Self { cuts, error, penalty }
    }

    /// Number of intervals.
    pub fn len(&self) -> usize {
        self.cuts.len() - 1
    }
}

/// Working memory, reused between penalties.
#[derive(Debug, Default)]
pub(super) struct Workspace {
    /// Least cost of the cells before each boundary.
    best: Vec<f64>,
    /// Start of the last interval on the way to each boundary.
    parent: Vec<u32>,
    /// (first boundary it is best for, start), both ascending.
    queue: Vec<(u32, u32)>,
}

impl Workspace {
    /// The cost of everything before `end` if the last interval begins at `start`, its penalty left out.
    #[inline]
    fn cost(&self, points: &Points, start: usize, end: usize) -> f64 {
        self.best[start] + points.sums[start].until(&points.sums[end]).scatter()
    }

    /// The cheapest partition at `penalty` ≥ 0 per interval; needs at least one cell.
    pub fn solve(&mut self, points: &Points, penalty: f64) -> Path {
        let n = points.len();
        self.best.clear();
        self.best.resize(n + 1, 0.0);
        self.parent.clear();
        self.parent.resize(n + 1, 0);
        self.queue.clear();
        self.queue.push((1, 0));
        let mut head = 0;
        for end in 1..=n {
            while self.queue.get(head + 1).is_some_and(|(from, _)| *from as usize <= end) {
                head += 1;
            }
            let start = self.queue[head].1;
            self.best[end] = self.cost(points, start as usize, end) + penalty;
            self.parent[end] = start;
            if end < n {
                self.offer(points, head, end);
            }
        }
        Path::new(points, self.walk_back(n), penalty)
    }

    /// Adds `start` to the queue for the boundaries after it where it is best.
    fn offer(&mut self, points: &Points, head: usize, start: usize) {
        let n = points.len();
        loop {
            let Some(&(from, rival)) = self.queue.get(head..).and_then(<[_]>::last) else {
                self.queue.truncate(head);
                self.queue.push((start as u32 + 1, start as u32));
                return;
            };
            let from = (from as usize).max(start + 1);
            if self.overtakes(points, start, rival as usize, from) {
                self.queue.pop();
                continue;
            }
            if self.overtakes(points, start, rival as usize, n) {
                let at = self.first_overtaking(points, start, rival as usize, from);
                self.queue.push((at as u32, start as u32));
            }
            return;
        }
    }

    /// Whether the later `start` is strictly better than `rival` for the boundary `end`.
    #[inline]
    fn overtakes(&self, points: &Points, start: usize, rival: usize, end: usize) -> bool {
        self.cost(points, start, end) < self.cost(points, rival, end)
    }

    /// The first boundary after `lost` where `start` overtakes `rival`; it does at the last boundary.
    fn first_overtaking(&self, points: &Points, start: usize, rival: usize, mut lost: usize) -> usize {
        let n = points.len();
        let mut stride = 1;
        let mut won = n;
        while lost + stride < n {
            if self.overtakes(points, start, rival, lost + stride) {
                won = lost + stride;
                break;
            }
            lost += stride;
            stride *= 2;
        }
        while won - lost > 1 {
            let middle = usize::midpoint(lost, won);
            if self.overtakes(points, start, rival, middle) {
                won = middle;
            } else {
                lost = middle;
            }
        }
        won
    }

    /// The boundaries on the way to `end`.
    fn walk_back(&self, end: usize) -> Vec<u32> {
        let mut cuts = vec![end as u32];
        let mut at = end;
        while at > 0 {
            at = self.parent[at] as usize;
            cuts.push(at as u32);
        }
        cuts.reverse();
        cuts
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::histogram::Histogram;
    use crate::random::SplitMix64;

    /// The least cost of the first cells, by trying every start of the last interval.
    fn reference(points: &Points, penalty: f64) -> f64 {
        let mut best = vec![0.0f64];
        for end in 1..=points.len() {
            let cost = |start: usize| best[start] + points.range(start, end).scatter() + penalty;
            best.push((0..end).map(cost).fold(f64::INFINITY, f64::min));
        }
        best[points.len()]
    }

    #[test]
    fn the_queue_finds_the_least_cost() {
        let mut random = SplitMix64::new(2);
        let mut workspace = Workspace::default();
        for n in 1..=60 {
            let values: Vec<f32> = (0..n).map(|_| libm::floor(random.unit() * 1e4) as f32 / 64.0).collect();
            let h: Vec<f32> =
                (0..n).map(|_| (libm::floor(random.unit() * 4.0) * random.unit()) as f32).collect();
            let points = Points::new(Histogram::new(&values, Some(&h)).moments());
            for penalty in [0.0, 1e-3, 0.1, 1.0, 30.0, 1e3, 1e6] {
                let path = workspace.solve(&points, penalty);
                let cost = path.error + penalty * path.len() as f64;
                let expected = reference(&points, penalty);
                assert!(
                    (cost - expected).abs() <= 1e-9 * expected.max(1.0),
                    "{n} {penalty}: {cost} {expected}"
                );
                assert!(path.cuts.windows(2).all(|pair| pair[0] < pair[1]));
            }
        }
    }
}
