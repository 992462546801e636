//! What rounding did inside a network, node by node.

use crate::formats::shown;
use crate::number_format::Counts;

/// What rounding did to what one node gives.
#[derive(Debug, Clone, PartialEq, Default, serde::Serialize, serde::Deserialize)]
pub struct Layer {
    /// The node's name; that of a network's input.
    pub name: String,
    /// Its operator.
    pub operator: String,
    /// Numbers that were rounded; none for operators that only move them.
    pub rounded: u64,
    /// Those beyond the largest of the format.
    pub saturated: u64,
    /// Those that were not zero and became it.
    pub underflowed: u64,
    /// The largest magnitude before rounding.
    pub largest: f32,
    /// Numbers that are infinite or none, where float32 has none.
    pub not_finite: u64,
    /// Sums that were made in the accumulator's format.
    pub sums: u64,
    /// Those of them that went beyond its largest number on their way.
    pub saturated_sums: u64,
    /// Blocks of numbers that share a scale.
    pub blocks: u64,
    /// Places in them behind the ends of the lines that are cut into blocks: zeros, where a unit works on whole blocks.
    pub padding: u64,
}

impl Layer {
    pub(super) fn count(&mut self, counts: &Counts) {
        self.rounded += counts.of;
        self.saturated += counts.saturated;
        self.underflowed += counts.underflowed;
        self.largest = self.largest.max(counts.largest);
    }

    fn merge(&mut self, other: &Self) {
        self.rounded += other.rounded;
        self.saturated += other.saturated;
        self.underflowed += other.underflowed;
        self.largest = self.largest.max(other.largest);
        self.not_finite += other.not_finite;
        self.sums += other.sums;
        self.saturated_sums += other.saturated_sums;
        self.blocks += other.blocks;
        self.padding += other.padding;
    }
}

/// What rounding did inside a network.
#[derive(Debug, Clone, PartialEq, Default, serde::Serialize, serde::Deserialize)]
pub struct Report {
    /// Inputs first, then nodes in the order they are run in.
    pub layers: Vec<Layer>,
    /// Weights: numbers that were rounded, saturated and became zero, by name.
    pub weights: Vec<Layer>,
}

impl Report {
    /// Adds what another run of the same network and formats gave.
    pub fn merge(&mut self, other: &Self) {
        if self.layers.is_empty() {
            self.clone_from(other);
            return;
        }
        for (own, more) in self.layers.iter_mut().zip(&other.layers) {
            own.merge(more);
        }
    }

    /// The first node that made numbers which are not finite, in a sentence.
    pub fn sentence(&self) -> Option<String> {
        let layer = self.layers.iter().find(|layer| layer.not_finite > 0)?;
        Some(format!(
            "node {} ({}): expected finite numbers as in float32, found {} that overflowed to infinity or are NaN",
            shown(&layer.name),
            layer.operator,
            layer.not_finite
        ))
    }
}
