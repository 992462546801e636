//! Why a tensor is kept as it is: it holds what no codebook can, or is not worth one.

use super::report::{FEW, Stats};
use crate::histogram::{Histogram, Moments};

/// Tensors of at most so many different values are masks, signs or choices of a few levels, which lossless coding makes small.
const FEW_VALUES: usize = 4;
/// One weight of this many, or one alone, is a handful.
const HANDFUL: u64 = 1000;
/// The share of the energy from which a handful of weights is the tensor, as far as squared errors see.
const MOST_ENERGY: f64 = 0.9;

/// Why a tensor that the recipe asks for is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kept {
    /// It holds NaN or infinities.
    NotFinite,
    /// It has fewer weights than are worth a codebook.
    Few,
    /// Its weights have a few values only.
    FewValues,
    /// A handful of weights holds nearly all of its energy.
    Handful,
    /// It shares bytes of the file with another.
    Entangled,
    /// It was quantized before.
    Coded,
    /// Its numbers must not leave their domain, and the codebook or scale is not theirs alone.
    Domain,
}

impl Kept {
    pub const ALL: [Self; 7] = [
        Self::NotFinite,
        Self::Few,
        Self::FewValues,
        Self::Handful,
        Self::Entangled,
        Self::Coded,
        Self::Domain,
    ];

    /// The reason, after "kept as they are, because".
    pub const fn reason(self) -> &'static str {
        match self {
            Self::NotFinite => "they hold NaN or infinities",
            Self::Few => "they have too few weights to be worth a codebook",
            Self::FewValues => "their weights have at most four different values",
            Self::Handful => "a handful of outliers holds nearly all of their energy",
            Self::Entangled => "they share bytes of the file with another tensor in another form",
            Self::Coded => "they were quantized before",
            Self::Domain => "a codebook or scale shared with others could take them out of their domain",
        }
    }
}

/// What speaks against quantizing a tensor, whatever the recipe.
pub(super) fn oddity(stats: &Stats, histogram: &Histogram) -> Option<Kept> {
    if stats.non_finite > 0 {
        Some(Kept::NotFinite)
    } else if stats.count < FEW {
        Some(Kept::Few)
    } else if histogram.len() <= FEW_VALUES && stats.count > 4 * FEW_VALUES as u64 {
        Some(Kept::FewValues)
    } else if energy_of_handful(histogram) > MOST_ENERGY {
        Some(Kept::Handful)
    } else {
        None
    }
}

/// The share of Σw² that the largest weights hold: one of a thousand, or one alone.
///
/// Cost: linear in the number of cells, from both ends.
pub(super) fn energy_of_handful(histogram: &Histogram) -> f64 {
    let total = histogram.total();
    let mut left = (total.count / HANDFUL).max(1);
    let size = |cell: &Moments| cell.squares / cell.count.max(1) as f64;
    let cells = histogram.moments();
    let (mut low, mut high) = (cells.iter().peekable(), cells.iter().rev().peekable());
    let mut energy = 0.0;
    for _ in 0..cells.len() {
        let (Some(a), Some(b)) = (low.peek(), high.peek()) else { break };
        let cell = if size(a) > size(b) { low.next() } else { high.next() };
        let Some(cell) = cell else { break };
        let taken = left.min(cell.count);
        energy += size(cell) * taken as f64;
        left -= taken;
        if left == 0 {
            break;
        }
    }
    if total.squares > 0.0 { energy / total.squares } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_energy_of_a_handful_is_that_of_the_largest_weights() {
        let even: Vec<f32> = (0..2000).map(|i| if i % 2 == 0 { 1.0 } else { -1.0 }).collect();
        assert!((energy_of_handful(&Histogram::new(&even, None)) - 0.001).abs() < 1e-9);
        let mut outlier = vec![0.01; 500];
        outlier.push(-3.4e38);
        assert!(energy_of_handful(&Histogram::new(&outlier, None)) > 0.999);
        assert_eq!(energy_of_handful(&Histogram::default()), 0.0);
    }
}
