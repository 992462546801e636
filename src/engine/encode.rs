//! The second map: a tensor's blocks to coded blocks, with what quantizing did to every weight.

use super::plan::{BlockReader, Fate, Plan, PlanGroup};
use super::{BLOCK_WEIGHTS, EngineError, Input, Task, pack};
use crate::container::{self, Codebook, EncodedBlock};
use serde::{Deserialize, Serialize};
use std::ops::Range;

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

impl Plan {
    /// The codebooks of the container, in group order.
    pub(super) fn codebooks(&self) -> Result<Vec<Codebook>, EngineError> {
        let pruned = self.has_zero_symbol();
        let codebook = |g: &PlanGroup| Ok(Codebook::new(g.levels().to_vec(), pruned)?);
        self.groups.iter().map(codebook).collect()
    }

    /// The values that symbols decode to, before rounding to the tensor's type.
    pub(super) fn dequantize(
        &self,
        fate: &Fate,
        range: Range<u64>,
        symbols: &[u16],
        values: &mut Vec<f32>,
    ) -> Result<(), EngineError> {
        let zero_symbol = u16::from(self.has_zero_symbol());
        let mut done = 0;
        for (group, len) in self.segments(fate, range)? {
            for symbol in symbols.get(done..done + len).ok_or(EngineError::Message)? {
                let level = symbol.checked_sub(zero_symbol).map(usize::from);
                values.push(level.and_then(|l| group.levels().get(l)).copied().unwrap_or(0.0));
            }
            done += len;
        }
        Ok(())
    }
}

/// Encodes one task of a [ready](Plan::is_ready) plan; linear time, memory for one block and its code.
pub fn encode(input: Input, plan: &Plan, task: &Task) -> Result<Vec<u8>, EngineError> {
    let fate = plan.fates.get(task.tensor).ok_or(EngineError::Message)?;
    let tensor = input.tensor(task)?;
    let mut blocks = BlockReader::new(input, plan, task)?;
    let mut encoded = Encoded::default();
    let (mut symbols, mut decoded) = (Vec::new(), Vec::new());
    for range in task.blocks() {
        blocks.read(range.clone())?;
        let Fate::Quantized { table, .. } = *fate else {
            if !range.is_empty() {
                let rows = container::rows_of(&tensor.shape, range.start / BLOCK_WEIGHTS);
                let elements = std::mem::take(&mut blocks.bytes);
                encoded.blocks.push(EncodedBlock::kept(elements, tensor.dtype, rows)?);
            }
            continue;
        };
        symbols.clear();
        decoded.clear();
        let rows = container::rows_of(&tensor.shape, range.start / BLOCK_WEIGHTS);
        plan.quantize(fate, range.clone(), &blocks.values, blocks.importance(), &mut symbols)?;
        plan.dequantize(fate, range, &symbols, &mut decoded)?;
        for value in &mut decoded {
            *value = tensor.dtype.round_f32(*value);
        }
        encoded.measured.add(&blocks.values, &decoded, blocks.importance());
        encoded.measured.count(&symbols);
        if plan.has_zero_symbol() {
            encoded.measured.zeros += symbols.iter().filter(|symbol| **symbol == 0).count() as u64;
        }
        let code = plan.tables.get(table).ok_or(EngineError::Message)?;
        let gaps = plan.gap_tables.get(table);
        encoded.blocks.push(container::encode_block(&symbols, code, gaps, rows)?);
    }
    Ok(pack(&encoded))
}
