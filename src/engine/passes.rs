//! What a plan needs of the weights before they can be encoded: passes over the file, each a map over tasks that
//! [`Plan::absorb`] takes in. Channels solve their own codebooks, a certified solution wants every weight, gaps and contexts
//! are counted.

use super::blocks::BlockReader;
use super::plan::{Counts, Fate, Pass, Plan, coded, is_certified};
use super::{EngineError, Input, Task, groups, pack, unpack};
use crate::code::{Code, LevelCode};
use crate::container::rows_of;
use crate::entropy::{CodeTable, Coder, GapTable, Positions, Rows};
use crate::model::Model;
use crate::quantize::{Settings, Solution, certified};
use crate::recipe::Checked;
use serde::{Deserialize, Serialize};

/// Weights left by pruning with their importance, on their way from a worker.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Gathered {
    values: Vec<f32>,
    importance: Vec<f32>,
}

/// Magnitudes up to this are pruned.
fn threshold_of(code: &Code) -> Option<f32> {
    code.as_levels().and_then(LevelCode::threshold)
}

/// A channel's solution, on its way from a worker.
#[derive(Debug, Serialize, Deserialize)]
struct Solved {
    code: Code,
    counts: Vec<u64>,
    pruned: u64,
}

impl Plan {
    /// Takes in what [`prepare`] gave for each task, in task order, and moves on to the next pass.
    pub fn absorb(&mut self, model: &Model, parts: &[Vec<u8>]) -> Result<(), EngineError> {
        let tasks = std::mem::take(&mut self.tasks);
        if self.pass == Pass::Gather {
            self.solve_gathered(&tasks, parts)?;
            return self.after_solving(model);
        }
        for (task, part) in tasks.iter().zip(parts) {
            let Some(Fate::Quantized { table, .. }) = self.fates.get(task.tensor) else {
                return Err(EngineError::Message);
            };
            let counts = self.pools.get_mut(*table).ok_or(EngineError::Message)?;
            if self.pass == Pass::Channels {
                for solved in unpack::<Vec<Solved>>(part)? {
                    counts.pool.add(&solved.counts, solved.pruned, 1.0);
                    self.groups.push(solved.code);
                }
            } else {
                let counted: Counts = unpack(part)?;
                counts.pool.add(&counted.pool.levels, counted.pool.zeros, 1.0);
                counts.gaps.merge(&counted.gaps);
                counts.contexts.merge(&counted.contexts);
            }
        }
        if self.pass == Pass::Channels { self.after_solving(model) } else { self.after_counting(model) }
    }

    pub(super) fn quantized_tasks(&self, model: &Model) -> Vec<Task> {
        super::tasks(model).into_iter().filter(|task| self.quantizes(task.tensor)).collect()
    }

    /// The start of every tensor, as many weights in all as starting states need.
    pub(super) fn counting_tasks(&self, model: &Model) -> Vec<Task> {
        const ENOUGH: u64 = 1 << 18;
        const LEAST: u64 = 1 << 12;
        let share = |task: Task| {
            let len = (u128::from(task.end) * u128::from(ENOUGH) / u128::from(self.weights.max(1))) as u64;
            let end = len.max(LEAST).min(task.end).min(task.block);
            let bytes = task.bytes.checked_div(task.end).unwrap_or(0) * end;
            Task { end, bytes, ..task }
        };
        let tensors = model.tensors.iter().enumerate();
        let whole = tensors.map(|(index, tensor)| Task::whole(index, tensor));
        whole.filter(|task| self.quantizes(task.tensor)).map(share).collect()
    }

    /// Solves every group exactly on its weights.
    fn solve_gathered(&mut self, tasks: &[Task], parts: &[Vec<u8>]) -> Result<(), EngineError> {
        let mut gathered: Vec<Gathered> = self.groups.iter().map(|_| Gathered::default()).collect();
        for (task, part) in tasks.iter().zip(parts) {
            let Some(Fate::Quantized { first_group, .. }) = self.fates.get(task.tensor) else {
                return Err(EngineError::Message);
            };
            let part: Gathered = unpack(part)?;
            let all = gathered.get_mut(*first_group).ok_or(EngineError::Message)?;
            all.values.extend(part.values);
            all.importance.extend(part.importance);
        }
        for ((code, counts), all) in self.groups.iter_mut().zip(&mut self.pools).zip(&gathered) {
            if let Some(solution) = all.solve(&self.recipe.settings, self.has_importance)? {
                *code = Code::levels(solution.quantizer, threshold_of(code));
                counts.pool.levels = solution.counts;
            } else {
                counts.pool.levels = vec![0];
            }
        }
        Ok(())
    }

    pub(super) fn after_solving(&mut self, model: &Model) -> Result<(), EngineError> {
        let gaps = self.recipe.positions == Positions::Gaps;
        if gaps || self.recipe.coder == Coder::Context {
            self.pass = Pass::Count;
            for counts in self.pools.iter_mut().filter(|_| gaps) {
                counts.pool.zeros = 0;
                counts.pool.levels.fill(0);
            }
            self.tasks = self.quantized_tasks(model);
            Ok(())
        } else {
            self.after_counting(model)
        }
    }

    fn after_counting(&mut self, model: &Model) -> Result<(), EngineError> {
        let pruning = self.has_zero_symbol();
        for (table, counts) in std::mem::take(&mut self.pools).into_iter().enumerate() {
            if self.recipe.coder == Coder::Context {
                self.tables.push(CodeTable::Context(self.context(table)?.starting_from(&counts.contexts)));
                continue;
            }
            self.tables
                .push(CodeTable::new(self.recipe.coder, &counts.pool.coded(pruning, self.recipe.positions))?);
            if self.recipe.positions == Positions::Gaps {
                self.gap_tables.push(GapTable::new(&counts.gaps)?);
            }
        }
        self.take_apart(model);
        self.pass = Pass::Ready;
        Ok(())
    }
}

impl Gathered {
    /// Exact k-means on these weights; `None` without any.
    fn solve(&self, settings: &Settings, has_importance: bool) -> Result<Option<Solution>, EngineError> {
        if self.values.is_empty() {
            return Ok(None);
        }
        let h = has_importance.then_some(self.importance.as_slice());
        Ok(Some(certified(&self.values, h, settings.integer("k") as u32)?))
    }

    fn extend(&mut self, values: &[f32], h: Option<&[f32]>, threshold: Option<f32>) {
        for (i, value) in values.iter().enumerate() {
            if threshold.is_none_or(|threshold| value.abs() > threshold) {
                self.values.push(*value);
                self.importance.extend(h.and_then(|h| h.get(i)));
            }
        }
    }
}

/// One task of a plan that is not [ready](Plan::is_ready): solves the codebooks of its channels, gathers its weights, or
/// counts symbols and gaps.
pub fn prepare(input: Input, plan: &Plan, task: &Task) -> Result<Vec<u8>, EngineError> {
    match plan.pass {
        Pass::Channels => solve_channels(input, plan, task),
        Pass::Gather => gather(input, plan, task),
        Pass::Count | Pass::Ready => count(input, plan, task),
    }
}

fn gather(input: Input, plan: &Plan, task: &Task) -> Result<Vec<u8>, EngineError> {
    let Some(Fate::Quantized { first_group, .. }) = plan.fates.get(task.tensor) else {
        return Err(EngineError::Message);
    };
    let threshold = plan.groups.get(*first_group).and_then(threshold_of);
    let mut blocks = BlockReader::new(input, plan, task)?;
    let mut gathered = Gathered::default();
    for range in task.blocks() {
        blocks.read(range)?;
        gathered.extend(&blocks.values, blocks.importance(), threshold);
    }
    Ok(pack(&gathered))
}

fn solve_channels(input: Input, plan: &Plan, task: &Task) -> Result<Vec<u8>, EngineError> {
    let Checked { method, settings, .. } = &plan.recipe;
    let mut blocks = BlockReader::new(input, plan, task)?;
    let mut solved = Vec::new();
    for range in task.blocks() {
        blocks.read(range)?;
        let h = |at: usize| blocks.importance().and_then(|h| h.get(at)).copied().unwrap_or(1.0);
        let pairs = blocks.values.iter().enumerate().map(|(at, w)| (*w, h(at))).collect();
        let group = groups::channel_group(&plan.recipe, task.tensor, pairs, plan.has_importance);
        let solution = if is_certified(settings) {
            let mut gathered = Gathered::default();
            gathered.extend(&blocks.values, blocks.importance(), group.threshold);
            gathered.solve(settings, plan.has_importance)?.unwrap_or_else(Solution::unused)
        } else {
            group.solve(method, settings)?
        };
        let Solution { quantizer, counts, .. } = solution;
        let code = coded(&plan.recipe, &group, quantizer);
        solved.push(Solved { code, counts, pruned: group.pruned.count });
    }
    Ok(pack(&solved))
}

fn count(input: Input, plan: &Plan, task: &Task) -> Result<Vec<u8>, EngineError> {
    let fate = plan.fates.get(task.tensor).ok_or(EngineError::Message)?;
    let mut blocks = BlockReader::new(input, plan, task)?;
    let Fate::Quantized { table, .. } = fate else { return Err(EngineError::Message) };
    let shape = &input.tensor(task)?.shape;
    let mut counts = Counts::default();
    let mut symbols = Vec::new();
    let context = if plan.recipe.coder == Coder::Context { Some(plan.context(*table)?) } else { None };
    for range in task.blocks() {
        blocks.read(range.clone())?;
        symbols.clear();
        let rows = rows_of(shape, range.start / task.block);
        let assigned = plan.quantize(
            fate,
            range,
            (rows, context.as_ref()),
            blocks.wanted(),
            blocks.costs(),
            &mut symbols,
        )?;
        if let Some(context) = &context {
            match assigned.predictor {
                Some(predictor) => context.count_by(&symbols, rows, predictor, &mut counts.contexts),
                None => context.count(&symbols, rows, &mut counts.contexts),
            }
            continue;
        }
        counts.pool.count(&symbols, plan.has_zero_symbol());
        if plan.recipe.positions == Positions::Gaps {
            counts.gaps.add_block(&symbols);
        }
    }
    Ok(pack(&counts))
}

/// For every weight of a task the place of its value among all [levels](Plan::levels), one codebook behind the other; `u32::MAX`
/// for one that was pruned. Nothing for tensors that are kept.
pub fn assignments(input: Input, plan: &Plan, task: &Task) -> Result<Vec<u32>, EngineError> {
    let fate = plan.fates.get(task.tensor).ok_or(EngineError::Message)?;
    if !matches!(fate, Fate::Quantized { .. }) || !plan.chooses_levels() {
        return Ok(Vec::new());
    }
    let mut starts = Vec::with_capacity(plan.groups.len());
    let mut next = 0u32;
    for code in &plan.groups {
        starts.push(next);
        next += code.levels() as u32;
    }
    let Fate::Quantized { first_group, group_len, .. } = *fate else { return Ok(Vec::new()) };
    let mut blocks = BlockReader::new(input, plan, task)?;
    let mut all = Vec::new();
    let mut symbols = Vec::new();
    let zero_symbol = u16::from(plan.has_zero_symbol());
    for range in task.blocks() {
        blocks.read(range.clone())?;
        symbols.clear();
        let place = (Rows::default(), None);
        plan.quantize(fate, range.clone(), place, blocks.wanted(), blocks.costs(), &mut symbols)?;
        for (at, symbol) in range.zip(&symbols) {
            let group = first_group + at.checked_div(group_len).unwrap_or(0) as usize;
            let start = starts.get(group).copied().ok_or(EngineError::Message)?;
            all.push(symbol.checked_sub(zero_symbol).map_or(u32::MAX, |level| start + u32::from(level)));
        }
    }
    Ok(all)
}
