//! Blocks of a tensor's weights with their importance, as the solver saw it.

use super::plan::{Fate, Plan};
use super::{EngineError, Input, Task, groups};
use crate::compensation::{ErrorCosts, Factors, Feedback};
use crate::formats::{Limits, TensorReader};
use crate::importance::Stage;
use std::ops::Range;
use std::sync::Arc;

/// Reads blocks of weights with their importance, scaled as the solver saw it.
pub(super) struct BlockReader<'a> {
    tensor: TensorReader<'a>,
    importance_reader: Option<crate::importance::ImportanceReader<'a>>,
    dtype: crate::tensor::Dtype,
    factor: f64,
    /// What takes the place of its elements.
    repaired: Option<&'a [u8]>,
    /// What passes errors on, where they are compensated.
    factors: Option<Arc<Factors>>,
    /// What takes the place of its weights where those of layers before are quantized.
    targets: Option<TensorReader<'a>>,
    /// Number of the block's first weight.
    first: u64,
    /// The block's bytes as they are in the file.
    pub bytes: Vec<u8>,
    /// The block's weights; empty for tensors that are not floats.
    pub values: Vec<f32>,
    importance: Vec<f32>,
    wanted: Vec<f32>,
}

impl<'a> BlockReader<'a> {
    pub fn new(input: Input<'a>, plan: &'a Plan, task: &Task) -> Result<Self, EngineError> {
        let tensor = plan.stored(input.model, task.tensor).ok_or(EngineError::Message)?;
        let quantized = matches!(plan.fates.get(task.tensor), Some(Fate::Quantized { .. }));
        let (mut importance_reader, mut factors, mut targets) = (None, None, None);
        if let Some((source, importance)) = input.importance.filter(|_| plan.has_importance && quantized) {
            let stage = plan.stage();
            let found = importance.factors(source, task.tensor, stage)?;
            importance_reader = Some(importance.reader(source, task.tensor, found.as_deref())?);
            factors = found.filter(|factors| factors.tell());
            if stage == Stage::Encoding {
                targets = importance.targets(source, task.tensor)?;
            }
        }
        Ok(Self {
            tensor: TensorReader::new(input.source, &tensor, &Limits::default())?,
            importance_reader,
            dtype: tensor.dtype,
            factor: plan.importance_factor,
            repaired: plan.repaired.get(task.tensor),
            factors,
            targets,
            first: 0,
            bytes: Vec::new(),
            values: Vec::new(),
            importance: Vec::new(),
            wanted: Vec::new(),
        })
    }

    pub fn read(&mut self, range: Range<u64>) -> Result<(), EngineError> {
        self.first = range.start;
        self.bytes.clear();
        self.values.clear();
        self.importance.clear();
        self.wanted.clear();
        if let Some(targets) = &mut self.targets {
            targets.read_f32(range.clone(), &mut self.wanted)?;
        }
        self.tensor.read(range.clone(), &mut self.bytes)?;
        if let Some(repaired) = self.repaired {
            let size = self.dtype.size_bytes();
            let part = (range.start * size) as usize..(range.end * size) as usize;
            self.bytes.clear();
            self.bytes.extend_from_slice(repaired.get(part).ok_or(EngineError::Message)?);
        }
        self.dtype.extend_f32(&self.bytes, &mut self.values);
        if let Some(reader) = &mut self.importance_reader {
            reader.read(range, &mut self.importance)?;
            self.importance.iter_mut().for_each(|h| *h = groups::scaled(*h, self.factor));
        }
        Ok(())
    }

    /// What the block's weights are to be: themselves, or their targets.
    pub fn wanted(&self) -> &[f32] {
        if self.targets.is_some() { &self.wanted } else { &self.values }
    }

    /// Importance of the block's weights; `None` where it is 1 for all.
    pub fn importance(&self) -> Option<&[f32]> {
        self.importance_reader.is_some().then_some(self.importance.as_slice())
    }

    /// What the errors of the block's weights cost.
    pub fn costs(&self) -> ErrorCosts<'_> {
        let feedback = self.factors.as_deref().map(|factors| Feedback::new(factors, self.first as usize));
        ErrorCosts { each: self.importance(), feedback }
    }
}
