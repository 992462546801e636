//! What a network gives in a format.

use super::Report;
use crate::network::Array;
use crate::network::measure::Outputs;

/// What a network gives in a format for some samples.
#[derive(Debug, Clone, Default)]
pub struct Answer {
    /// Scores, a row or more for each sample. They may be infinite or NaN: the report says where that began.
    pub outputs: Outputs,
    /// The other values that were asked for, in their order.
    pub values: Vec<Array>,
    /// What rounding did inside.
    pub report: Report,
}

impl Answer {
    /// Adds the answers to the samples that follow; other values than the output are those of the last samples.
    pub fn merge(&mut self, next: Self) {
        self.outputs.classes = next.outputs.classes;
        self.outputs.values.extend(next.outputs.values);
        self.values = next.values;
        self.report.merge(&next.report);
    }
}
