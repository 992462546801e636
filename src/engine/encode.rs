//! The second map: a tensor's blocks to coded blocks, with what quantizing did to every weight.

use super::blocks::BlockReader;
use super::plan::{Fate, Plan};
use super::{EngineError, Input, Task, pack};
use crate::container::{self, EncodedBlock};
use crate::entropy::CodeTable;
use serde::{Deserialize, Serialize};

/// What a task of [`encode`] gives.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Encoded {
    /// One per block that is not empty.
    pub blocks: Vec<EncodedBlock>,
    pub measured: Measured,
}

/// Sums over quantized weights, from their decoded values.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Measured {
    pub weights: u64,
    pub zeros: u64,
    pub signal: f64,
    pub weighted_signal: f64,
    pub error: f64,
    pub weighted_error: f64,
    pub largest_error: f64,
    /// Weights that were zero before.
    pub source_zeros: u64,
    /// Of every block the weights with its most frequent value, summed.
    pub most_frequent: u64,
    /// Number of weights per symbol of the tensor's code table.
    pub counts: Vec<u64>,
}

impl Measured {
    /// Adds the block's weights against what they decode to.
    pub fn add(&mut self, values: &[f32], decoded: &[f32], h: Option<&[f32]>) {
        self.weights += values.len() as u64;
        for (i, (value, decoded)) in values.iter().zip(decoded).enumerate() {
            let h = h.and_then(|h| h.get(i)).map_or(1.0, |h| f64::from(*h));
            let (w, error) = (f64::from(*value), f64::from(*value) - f64::from(*decoded));
            self.source_zeros += u64::from(*value == 0.0);
            self.signal += w * w;
            self.weighted_signal += h * w * w;
            self.error += error * error;
            self.weighted_error += h * error * error;
            self.largest_error = self.largest_error.max(error.abs());
        }
    }

    /// Adds another task's sums.
    pub fn merge(&mut self, other: &Self) {
        self.weights += other.weights;
        self.zeros += other.zeros;
        self.signal += other.signal;
        self.weighted_signal += other.weighted_signal;
        self.error += other.error;
        self.weighted_error += other.weighted_error;
        self.largest_error = self.largest_error.max(other.largest_error);
        self.source_zeros += other.source_zeros;
        self.most_frequent += other.most_frequent;
    }

    /// Counts the block's most frequent symbol; `scratch` is room for the counts.
    fn add_most_frequent(&mut self, symbols: &[u16], scratch: &mut Vec<u32>) {
        scratch.clear();
        let mut most = 0;
        for symbol in symbols {
            let symbol = usize::from(*symbol);
            if symbol >= scratch.len() {
                scratch.resize(symbol + 1, 0);
            }
            if let Some(count) = scratch.get_mut(symbol) {
                *count += 1;
                most = most.max(*count);
            }
        }
        self.most_frequent += u64::from(most);
    }

    fn count(&mut self, symbols: &[u16]) {
        for symbol in symbols {
            let symbol = usize::from(*symbol);
            if symbol >= self.counts.len() {
                self.counts.resize(symbol + 1, 0);
            }
            if let Some(count) = self.counts.get_mut(symbol) {
                *count += 1;
            }
        }
    }
}

/// Encodes one task of a [ready](Plan::is_ready) plan; linear time, memory for one block and its code.
pub fn encode(input: Input, plan: &Plan, task: &Task) -> Result<Vec<u8>, EngineError> {
    let fate = plan.fates.get(task.tensor).ok_or(EngineError::Message)?;
    let tensor = input.tensor(task)?;
    let mut blocks = BlockReader::new(input, plan, task)?;
    let mut encoded = Encoded::default();
    let (mut symbols, mut decoded, mut scratch) = (Vec::new(), Vec::new(), Vec::new());
    for range in task.blocks() {
        blocks.read(range.clone())?;
        let Fate::Quantized { table, .. } = *fate else {
            if !range.is_empty() {
                let rows = container::rows_of(&tensor.shape, range.start / task.block);
                let elements = std::mem::take(&mut blocks.bytes);
                encoded.blocks.push(EncodedBlock::kept(elements, tensor.dtype, rows)?);
            }
            continue;
        };
        symbols.clear();
        decoded.clear();
        let rows = container::rows_of(&tensor.shape, range.start / task.block);
        let place = (rows, plan.context_table(fate));
        let assigned =
            plan.quantize(fate, range.clone(), place, &blocks.values, blocks.importance(), &mut symbols)?;
        plan.dequantize(fate, range, &symbols, assigned.scales(rows), &mut decoded)?;
        for value in &mut decoded {
            *value = tensor.dtype.round_f32(*value);
        }
        encoded.measured.add(&blocks.values, &decoded, blocks.importance());
        encoded.measured.add_most_frequent(&symbols, &mut scratch);
        if !plan.is_joint() {
            encoded.measured.count(&symbols);
        }
        if plan.has_zero_symbol() {
            encoded.measured.zeros += symbols.iter().filter(|symbol| **symbol == 0).count() as u64;
        }
        let code = plan.tables.get(table).ok_or(EngineError::Message)?;
        let gaps = plan.gap_tables.get(table);
        let block = match (code, assigned.predictor) {
            (CodeTable::Context(context), Some(predictor)) => {
                container::encode_block_by(&symbols, context, predictor, rows)?
            }
            _ => container::encode_block(&symbols, code, gaps, rows)?,
        };
        encoded.blocks.push(block.with_scales(assigned.scales)?);
    }
    Ok(pack(&encoded))
}
