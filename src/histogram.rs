//! Weights summed into cells: the sketch that every solver works on.
//!
//! A *cell* holds the weights that share sign, exponent and the top 11 mantissa bits of their float32 value; its key
//! is an order-preserving 20-bit integer. For f16 and bf16 weights a cell is one value, so what is optimal on cells is
//! optimal; for float32 a cell is at most 2^-11 of its value wide. Only non-empty cells are kept, sorted by key: tens of
//! thousands for a trained network, whatever its size.
//!
//! Sums are float64, accumulated in element order inside a block and merged in block order, so they do not depend on
//! how many workers ran.

/// Number of possible cells.
pub const CELLS: usize = 1 << 20;

/// The key of the cell that `value` falls into; increasing with the value. ±0 share a cell.
pub fn cell_key(value: f32) -> u32 {
    let bits = (value + 0.0).to_bits();
    let ordered = if bits >> 31 == 1 { !bits } else { bits | 0x8000_0000 };
    ordered >> 12
}

/// The smallest value of the cell with this key.
pub fn cell_start(key: u32) -> f32 {
    let ordered = key << 12;
    // The lowest ordered integer of a negative cell has its twelve low bits clear: the most negative value.
    f32::from_bits(if ordered >> 31 == 1 { ordered & 0x7fff_ffff } else { !ordered })
}

/// Sums over the weights `w` of a cell, plain and with importance `h`.
#[derive(Debug, Clone, Copy, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Moments {
    /// Number of weights.
    pub count: u64,
    /// Σ w.
    pub sum: f64,
    /// Σ w².
    pub squares: f64,
    /// Σ h.
    pub importance: f64,
    /// Σ h·w.
    pub weighted_sum: f64,
    /// Σ h·w².
    pub weighted_squares: f64,
}

impl Moments {
    /// Adds another cell's sums.
    pub fn add(&mut self, other: &Self) {
        self.count += other.count;
        self.sum += other.sum;
        self.squares += other.squares;
        self.importance += other.importance;
        self.weighted_sum += other.weighted_sum;
        self.weighted_squares += other.weighted_squares;
    }
}

/// Non-empty cells in increasing order of value.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Histogram {
    keys: Vec<u32>,
    moments: Vec<Moments>,
}

impl Histogram {
    /// Builds a histogram of finite `values`; `importance` (same length) defaults to 1 for every weight.
    pub fn new(values: &[f32], importance: Option<&[f32]>) -> Self {
        let mut accumulator = Accumulator::new();
        accumulator.add(values, importance);
        accumulator.take()
    }

    /// A histogram of given cells, for distributions known by formula; `None` unless the keys ascend strictly, are below
    /// [`CELLS`], as many as the moments, and no cell is without weights.
    pub fn from_cells(keys: Vec<u32>, moments: Vec<Moments>) -> Option<Self> {
        let ascending = keys.windows(2).all(|pair| matches!(pair, [a, b] if a < b));
        let inside = keys.last().is_none_or(|key| (*key as usize) < CELLS);
        let filled = moments.iter().all(|cell| cell.count > 0);
        (ascending && inside && filled && keys.len() == moments.len()).then_some(Self { keys, moments })
    }

    /// The histogram of `count` zeros.
    pub fn of_zeros(count: u64) -> Self {
        let moments = Moments { count, importance: count as f64, ..Moments::default() };
        Self { keys: vec![cell_key(0.0)], moments: vec![moments] }
    }

    /// Keys of the cells, ascending.
    pub fn keys(&self) -> &[u32] {
        &self.keys
    }

    /// Sums of the cells, in the order of [`keys`](Self::keys).
    pub fn moments(&self) -> &[Moments] {
        &self.moments
    }

    /// Number of non-empty cells.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there is no weight at all.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Sums over all cells, in order.
    pub fn total(&self) -> Moments {
        let mut total = Moments::default();
        self.moments.iter().for_each(|m| total.add(m));
        total
    }

    /// Adds the cells of `other`; linear in the number of cells.
    pub fn merge(&mut self, other: &Self) {
        if self.is_empty() {
            self.clone_from(other);
            return;
        }
        let mut keys = Vec::with_capacity(self.len() + other.len());
        let mut moments = Vec::with_capacity(self.len() + other.len());
        let mut theirs = other.keys.iter().zip(&other.moments).peekable();
        for (key, mine) in self.keys.iter().zip(&self.moments) {
            while let Some((k, m)) = theirs.next_if(|(k, _)| *k < key) {
                keys.push(*k);
                moments.push(*m);
            }
            let mut sum = *mine;
            if let Some((_, m)) = theirs.next_if(|(k, _)| *k == key) {
                sum.add(m);
            }
            keys.push(*key);
            moments.push(sum);
        }
        for (k, m) in theirs {
            keys.push(*k);
            moments.push(*m);
        }
        self.keys = keys;
        self.moments = moments;
    }

    /// Multiplies every importance sum by `factor`.
    pub fn scale_importance(&mut self, factor: f64) {
        for m in &mut self.moments {
            m.importance *= factor;
            m.weighted_sum *= factor;
            m.weighted_squares *= factor;
        }
    }

    /// The same weights with importance 1 each.
    pub fn without_importance(&self) -> Self {
        let plain = |m: &Moments| Moments {
            importance: m.count as f64,
            weighted_sum: m.sum,
            weighted_squares: m.squares,
            ..*m
        };
        Self { keys: self.keys.clone(), moments: self.moments.iter().map(plain).collect() }
    }

    /// The cells for which `keep(key, moments)` holds.
    pub fn filter(&self, mut keep: impl FnMut(u32, &Moments) -> bool) -> Self {
        let mut kept = Self::default();
        for (key, m) in self.keys.iter().zip(&self.moments) {
            if keep(*key, m) {
                kept.keys.push(*key);
                kept.moments.push(*m);
            }
        }
        kept
    }
}

/// Sums over the weights of a cell, in half a line of the cache.
#[derive(Debug, Clone, Copy, Default)]
#[repr(align(32))]
struct Sums {
    count: u64,
    sum: f64,
    squares: f64,
}

/// The same with importance: Σ h, Σ h·w and Σ h·w².
#[derive(Debug, Clone, Copy, Default)]
struct WeightedSums([f64; 3]);

/// Weights whose cells are looked up before any of them is added. A processor that meets the next load before it knows where
/// the last sum is going waits, or starts again where it guessed wrong.
const AT_A_TIME: usize = 128;

/// Sums weights into cells; holds a 4 MiB index that is reused between histograms.
#[derive(Debug)]
pub struct Accumulator {
    /// Position in `sums` of each cell seen, plus one; zero for none.
    slots: Vec<u32>,
    keys: Vec<u32>,
    sums: Vec<Sums>,
    /// As many.
    weighted: Vec<WeightedSums>,
    /// Whether weights without importance were added: their weighted sums are the plain ones, filled in at the end.
    has_plain: bool,
    has_weighted: bool,
}

impl Default for Accumulator {
    fn default() -> Self {
        Self::new()
    }
}

impl Accumulator {
    /// An accumulator without weights.
    pub fn new() -> Self {
        Self {
            slots: vec![0; CELLS],
            keys: Vec::new(),
            sums: Vec::new(),
            weighted: Vec::new(),
            has_plain: false,
            has_weighted: false,
        }
    }

    /// Adds finite `values` with their `importance` (same length; 1 for every weight if absent).
    #[allow(clippy::indexing_slicing)] // keys have 20 bits, and positions are those of cells, by construction
    pub fn add(&mut self, values: &[f32], importance: Option<&[f32]>) {
        self.has_plain |= importance.is_none() && !values.is_empty();
        self.has_weighted |= importance.is_some() && !values.is_empty();
        let mut importance = importance.map(|importance| importance.chunks(AT_A_TIME));
        let mut positions = [0; AT_A_TIME];
        let Self { slots, keys, sums, weighted, .. } = self;
        let Some(slots) = slots.first_chunk_mut::<CELLS>() else { return };
        for values in values.chunks(AT_A_TIME) {
            for (position, value) in positions.iter_mut().zip(values) {
                let key = cell_key(*value);
                let slot = &mut slots[key as usize];
                if *slot == 0 {
                    keys.push(key);
                    sums.push(Sums::default());
                    weighted.push(WeightedSums::default());
                    *slot = keys.len() as u32;
                }
                *position = *slot - 1;
            }
            for (position, value) in positions.iter().zip(values) {
                let sums = &mut sums[*position as usize];
                let w = f64::from(*value);
                sums.count += 1;
                sums.sum += w;
                sums.squares += w * w;
            }
            let importance = importance.as_mut().and_then(Iterator::next).unwrap_or_default();
            for ((position, value), h) in positions.iter().zip(values).zip(importance) {
                let WeightedSums(sums) = &mut weighted[*position as usize];
                let (w, h) = (f64::from(*value), f64::from(*h));
                sums[0] += h;
                sums[1] += h * w;
                sums[2] += h * w * w;
            }
        }
    }

    /// The histogram of what was added since the last call, all of it with importance or all without; leaves the
    /// accumulator empty.
    #[allow(clippy::indexing_slicing)] // keys have 20 bits
    pub fn take(&mut self) -> Histogram {
        for key in &self.keys {
            self.slots[*key as usize] = 0;
        }
        let moments = |cell: usize| {
            let Sums { count, sum, squares } = self.sums[cell];
            let WeightedSums([importance, weighted_sum, weighted_squares]) = self.weighted[cell];
            Moments { count, sum, squares, importance, weighted_sum, weighted_squares }
        };
        let order = crate::order::ascending(self.keys.iter().map(|key| u64::from(*key)));
        let (keys, moments) = order.map(|cell| (self.keys[cell], moments(cell))).unzip();
        let histogram = Histogram { keys, moments };
        self.keys.clear();
        self.sums.clear();
        self.weighted.clear();
        debug_assert!(
            !(self.has_plain && self.has_weighted),
            "weights with and without importance in one histogram"
        );
        self.has_weighted = false;
        if std::mem::take(&mut self.has_plain) { histogram.without_importance() } else { histogram }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_increase_with_the_value() {
        let values = [-f32::MAX, -1.5, -1.0, -1e-30, 0.0, 1e-30, 0.5, 1.0, 1.0005, 3.0, f32::MAX];
        for pair in values.windows(2) {
            assert!(cell_key(pair[0]) <= cell_key(pair[1]), "{pair:?}");
        }
        assert_eq!(cell_key(-0.0), cell_key(0.0));
        assert!(cell_key(1.0) < cell_key(1.0005));
    }

    #[test]
    fn a_cell_starts_at_its_smallest_value() {
        for value in [-7.25f32, -1.0, 0.0, 0.3, 1.0, 123.456] {
            let key = cell_key(value);
            assert!(cell_start(key) <= value);
            assert!(cell_start(key + 1) > value);
            assert_eq!(cell_key(cell_start(key)), key);
        }
    }

    #[test]
    fn half_precision_values_have_a_cell_each() {
        let keys: std::collections::BTreeSet<u32> =
            (1..0x7c00u16).map(|bits| cell_key(half::f16::from_bits(bits).to_f32())).collect();
        assert_eq!(keys.len(), 0x7bff);
    }

    #[test]
    fn cells_hold_the_sums_of_their_weights_one_after_the_other_to_the_bit() {
        for len in [0, 1, 2, AT_A_TIME - 1, AT_A_TIME, AT_A_TIME + 1, 2 * AT_A_TIME + 1, 5000] {
            let values: Vec<f32> = (0..len).map(|i| ((i * i * 31 % 977) as f32 - 400.3) * 1e-3).collect();
            let importance: Vec<f32> = (0..len).map(|i| (i % 13) as f32 * 0.1).collect();
            for h in [None, Some(importance.as_slice())] {
                let mut cells: std::collections::BTreeMap<u32, Moments> = std::collections::BTreeMap::new();
                for (i, value) in values.iter().enumerate() {
                    let (w, h) = (f64::from(*value), h.map_or(1.0, |h| f64::from(h[i])));
                    cells.entry(cell_key(*value)).or_default().add(&Moments {
                        count: 1,
                        sum: w,
                        squares: w * w,
                        importance: h,
                        weighted_sum: h * w,
                        weighted_squares: h * w * w,
                    });
                }
                let found = Histogram::new(&values, h);
                assert_eq!(found.keys(), cells.keys().copied().collect::<Vec<_>>());
                assert_eq!(found.moments(), cells.values().copied().collect::<Vec<_>>(), "{len} weights");
            }
        }
    }

    #[test]
    fn merging_parts_equals_summing_the_whole() {
        let values: Vec<f32> = (0..1000).map(|i| ((i * 7919) % 257) as f32 - 100.0).collect();
        let h: Vec<f32> = (0..1000).map(|i| (i % 5) as f32).collect();
        let whole = Histogram::new(&values, Some(&h));
        let mut parts = Histogram::default();
        for i in 0..4 {
            let range = i * 250..(i + 1) * 250;
            parts.merge(&Histogram::new(&values[range.clone()], Some(&h[range])));
        }
        assert_eq!(whole, parts);
        assert_eq!(whole.total().count, 1000);
        assert_eq!(whole.total().sum, values.iter().map(|v| f64::from(*v)).sum::<f64>());
    }

    #[test]
    fn cells_that_are_not_a_histogram_are_refused() {
        let whole = Histogram::new(&[1.0, 2.0], None);
        let (keys, moments) = (whole.keys().to_vec(), whole.moments().to_vec());
        assert_eq!(Histogram::from_cells(keys.clone(), moments.clone()), Some(whole));
        assert_eq!(Histogram::from_cells(vec![keys[1], keys[0]], moments.clone()), None);
        assert_eq!(Histogram::from_cells(vec![0, CELLS as u32], moments.clone()), None);
        assert_eq!(Histogram::from_cells(keys.clone(), vec![moments[0]]), None);
        assert_eq!(Histogram::from_cells(keys, vec![Moments::default(); 2]), None);
    }
}
