//! The rate-aware rule: level of weight w with importance h = argmin over j of `h·(w − c_j)² + λ·r_j`.
//!
//! Chou, Lookabaugh and Gray 1989, section III, with the weighting of Choi, El-Khamy and Lee 2017, section 4.3. Going
//! outward from w on either side, a level can only win if its rate is smaller than that of every level passed; those
//! levels are linked beforehand, and the walk ends as soon as even the smallest rate of all cannot win. A weight of
//! average importance looks at two or three levels; the worst case is all of them. Ties go to the level met first: the
//! nearest below the weight and outward, then the nearest above and outward.

/// No further level.
const NONE: u32 = u32::MAX;

/// Levels prepared for the search.
#[derive(Debug)]
pub struct RateAware {
    levels: Vec<Level>,
    least_rate: f64,
    /// Number of levels up to one bucket before each of evenly spaced values: where the search for the nearest begins;
    /// three further on is where it ends at the latest.
    starts: Vec<u32>,
    origin: f64,
    scale: f64,
}

/// One level: its value, its rate times λ, and the nearest cheaper levels on both sides.
#[derive(Debug, Clone, Copy)]
struct Level {
    value: f64,
    price: f64,
    left: u32,
    right: u32,
}

impl RateAware {
    /// Prepares ascending `levels` with their `rates` in bits.
    pub fn new(levels: &[f32], lambda: f64, rates: &[f64]) -> Self {
        let values: Vec<f64> = levels.iter().map(|c| f64::from(*c)).collect();
        Self::from_values(&values, lambda, rates)
    }

    /// The same for levels that are not rounded yet.
    pub(crate) fn from_values(levels: &[f64], lambda: f64, rates: &[f64]) -> Self {
        let mut prepared: Vec<Level> = levels
            .iter()
            .zip(rates)
            .map(|(value, rate)| Level { value: *value, price: lambda * rate, left: NONE, right: NONE })
            .collect();
        for j in 1..prepared.len() {
            prepared[j].left = cheaper(&prepared, j as u32 - 1, prepared[j].price, |level| level.left);
        }
        for j in (0..prepared.len().saturating_sub(1)).rev() {
            prepared[j].right = cheaper(&prepared, j as u32 + 1, prepared[j].price, |level| level.right);
        }
        let least_rate = prepared.iter().map(|level| level.price).fold(f64::INFINITY, f64::min);
        let (origin, last) =
            (levels.first().copied().unwrap_or_default(), levels.last().copied().unwrap_or_default());
        let buckets = 4 * levels.len();
        let scale = if last > origin { buckets as f64 / (last - origin) } else { 0.0 };
        let scale = if scale.is_finite() { scale } else { 0.0 };
        let starts = (0..=buckets as u32)
            .map(|i| {
                let from = if scale > 0.0 { origin + f64::from(i) / scale } else { f64::NEG_INFINITY };
                // One bucket back, so that rounding of the bucket number never skips a level.
                let from = if i == 0 { f64::NEG_INFINITY } else { from - 1.0 / scale };
                levels.partition_point(|c| *c <= from) as u32
            })
            .collect();
        Self { levels: prepared, least_rate, starts, origin, scale }
    }

    /// Number of levels at or below `w`.
    #[inline]
    fn at_or_below(&self, w: f64) -> u32 {
        // A cast to an integer saturates: what lies outside lands in the first or last bucket.
        let bucket = (((w - self.origin) * self.scale) as usize).min(self.starts.len() - 1);
        let start = self.starts[bucket] as usize;
        let end = self.starts.get(bucket + 3).map_or(self.levels.len(), |end| *end as usize);
        (start + self.levels[start..end].partition_point(|level| level.value <= w)) as u32
    }

    /// The level of weight `w` with importance `h`.
    #[inline]
    pub fn symbol(&self, w: f32, h: f32) -> usize {
        let (w, h) = (f64::from(w), f64::from(h));
        let above = self.at_or_below(w);
        let (mut best, mut least) = (0, f64::INFINITY);
        let mut j = above.wrapping_sub(1);
        while let Some(level) = self.levels.get(j as usize) {
            let error = h * (w - level.value) * (w - level.value);
            if error + level.price < least {
                (best, least) = (j, error + level.price);
            }
            if error + self.least_rate >= least {
                break;
            }
            j = level.left;
        }
        j = above;
        while let Some(level) = self.levels.get(j as usize) {
            let error = h * (w - level.value) * (w - level.value);
            if error + level.price < least {
                (best, least) = (j, error + level.price);
            }
            if error + self.least_rate >= least {
                break;
            }
            j = level.right;
        }
        best as usize
    }
}

/// The first level from `j` outward, following `next`, whose price is below `price`.
fn cheaper(levels: &[Level], mut j: u32, price: f64, next: impl Fn(&Level) -> u32) -> u32 {
    while let Some(level) = levels.get(j as usize) {
        if level.price < price {
            return j;
        }
        j = next(level);
    }
    NONE
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::SplitMix64;

    #[test]
    fn the_search_finds_the_least_cost() {
        let mut random = SplitMix64::new(3);
        for k in [1usize, 2, 3, 7, 64] {
            for lambda in [0.0, 1e-3, 0.1, 10.0] {
                let mut levels: Vec<f32> = (0..k).map(|_| (random.unit() * 8.0 - 4.0) as f32).collect();
                levels.sort_by(f32::total_cmp);
                levels.dedup();
                let rates: Vec<f64> = levels.iter().map(|_| libm::floor(random.unit() * 6.0)).collect();
                let rule = RateAware::new(&levels, lambda, &rates);
                for _ in 0..300 {
                    let w = (random.unit() * 12.0 - 6.0) as f32;
                    let h = [0.0, 1e-3, 1.0, 30.0][(random.unit() * 4.0) as usize] as f32;
                    let cost = |j: usize| {
                        let d = f64::from(w) - f64::from(levels[j]);
                        f64::from(h) * d * d + lambda * rates[j]
                    };
                    let least = (0..levels.len()).map(cost).fold(f64::INFINITY, f64::min);
                    assert!(
                        cost(rule.symbol(w, h)) <= least * (1.0 + 1e-12),
                        "w {w}, h {h}, lambda {lambda}"
                    );
                }
            }
        }
    }
}
