//! The second map: a tensor's blocks to coded blocks, with what quantizing did to every weight.

use super::blocks::BlockReader;
use super::cost::Pool;
use super::plan::{Fate, Plan};
use super::{EngineError, Input, Task, pack};
use crate::code::Assigned;
use crate::compensation::ErrorCosts;
use crate::container::{self, EncodedBlock};
use crate::entropy::{CodeError, CodeTable, GapTable, Rows};
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// What a task of [`encode`] gives.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Encoded {
    /// One per block that is not empty.
    pub blocks: Vec<EncodedBlock>,
    pub measured: Measured,
    /// Its symbols, where their counts tell what they cost.
    pub pool: Pool,
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
}

impl Measured {
    /// Adds the block's weights, and what they were wanted to be, against what they decode to.
    ///
    /// Weighted are errors against what was wanted; where they are compensated, those of what each weight was asked to be:
    /// their sum is what the errors of all cost together.
    pub fn add(&mut self, (values, wanted): (&[f32], &[f32]), decoded: &[f32], costs: ErrorCosts<'_>) {
        self.weights += values.len() as u64;
        let asked = costs.feedback.map(|feedback| {
            let errors: Vec<f32> =
                wanted.iter().zip(decoded).map(|(wanted, decoded)| wanted - decoded).collect();
            feedback.whitened(&errors)
        });
        for (i, ((value, wanted), decoded)) in values.iter().zip(wanted).zip(decoded).enumerate() {
            let h = costs.each.and_then(|each| each.get(i)).map_or(1.0, |h| f64::from(*h));
            let (w, error) = (f64::from(*value), f64::from(*value) - f64::from(*decoded));
            self.source_zeros += u64::from(*value == 0.0);
            self.signal += w * w;
            self.weighted_signal += h * w * w;
            self.error += error * error;
            let off = f64::from(*wanted) - f64::from(*decoded);
            let asked = asked.as_ref().and_then(|asked| asked.get(i)).map_or(off, |asked| f64::from(*asked));
            self.weighted_error += h * asked * asked;
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
}

/// Encodes one task of a [ready](Plan::is_ready) plan; linear time, memory for one block and its code.
pub fn encode(input: Input, plan: &Plan, task: &Task) -> Result<Vec<u8>, EngineError> {
    let mut encoded = Encoded::default();
    let tensor = plan.stored(input.model, task.tensor).ok_or(EngineError::Message)?;
    let (fate, pieces) = (plan.fate(task.tensor), plan.pieces(input.source, task.tensor));
    let mut blocks = BlockReader::new(input.or_of(pieces.as_ref()), plan, task)?;
    let (mut symbols, mut decoded) = (Vec::new(), Vec::new());
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
        let assigned = quantized(plan, fate, (range, rows), &blocks, (&mut symbols, &mut decoded))?;
        for value in &mut decoded {
            *value = tensor.dtype.round_f32(*value);
        }
        encoded.measured.add((&blocks.values, blocks.wanted()), &decoded, blocks.costs());
        let mut counts = Pool::default();
        counts.count(&symbols, plan.has_zero_symbol());
        encoded.measured.zeros += counts.zeros;
        encoded.measured.most_frequent += counts.most_frequent();
        if !plan.is_joint() {
            encoded.pool.add(&counts.levels, counts.zeros, 1.0);
        }
        let code = plan.tables.get(table).ok_or(EngineError::Message)?;
        let gaps = plan.gap_tables.get(table);
        encoded.blocks.push(encoded_block(&symbols, code, gaps, rows, assigned)?);
    }
    Ok(pack(&encoded))
}

/// The symbols of a block that was read, elements `range` of its tensor, and what they decode to before rounding to its type;
/// appended. What goes with them.
pub(super) fn quantized(
    plan: &Plan,
    fate: &Fate,
    (range, rows): (Range<u64>, Rows),
    blocks: &BlockReader<'_>,
    (symbols, decoded): (&mut Vec<u16>, &mut Vec<f32>),
) -> Result<Assigned, EngineError> {
    let place = (rows, plan.context_table(fate));
    let assigned = plan.quantize(fate, range.clone(), place, blocks.wanted(), blocks.costs(), symbols)?;
    plan.dequantize(fate, range, symbols, assigned.scales(rows), decoded)?;
    Ok(assigned)
}

/// What the plan makes of a tensor's weights, in its type.
pub fn values(input: Input, plan: &Plan, task: &Task) -> Result<Vec<f32>, EngineError> {
    let tensor = input.tensor(task)?;
    let fate = plan.fate(task.tensor);
    let mut blocks = BlockReader::new(input, plan, task)?;
    let (mut symbols, mut decoded) = (Vec::new(), Vec::new());
    for range in task.blocks() {
        blocks.read(range.clone())?;
        if !matches!(fate, Fate::Quantized { .. }) {
            decoded.extend_from_slice(&blocks.values);
            continue;
        }
        symbols.clear();
        let rows = container::rows_of(&tensor.shape, range.start / task.block);
        quantized(plan, fate, (range, rows), &blocks, (&mut symbols, &mut decoded))?;
    }
    for value in &mut decoded {
        *value = tensor.dtype.round_f32(*value);
    }
    Ok(decoded)
}

/// The block of symbols that were assigned with what goes with them, which lie in their tensor as `rows` says.
pub(super) fn encoded_block(
    symbols: &[u16],
    table: &CodeTable,
    gaps: Option<&GapTable>,
    rows: Rows,
    assigned: Assigned,
) -> Result<EncodedBlock, CodeError> {
    let block = match (table, assigned.predictor) {
        (CodeTable::Context(context), Some(predictor)) => {
            container::encode_block_by(symbols, context, predictor, rows)?
        }
        _ => container::encode_block(symbols, table, gaps, rows)?,
    };
    block.with_scales(assigned.scales)
}
