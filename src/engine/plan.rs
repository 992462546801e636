//! A plan: everything an encoder needs to know, solved; small enough to send to every worker.

use super::evaluate::Pool;
use super::grid::{Grid, grids};
use super::groups::{self, Groups};
use super::{BLOCK_WEIGHTS, EngineError, Input, Task, pack, unpack};
use crate::container::rows_of;
use crate::entropy::{
    CodeTable, Coder, Context, ContextCounts, GapCounts, GapTable, Numbering, Positions, Predictor, Rows,
    Trellis,
};
use crate::formats::{Limits, TensorReader};
use crate::model::Model;
use crate::quantize::{Quantizer, Scope, Settings, SettingsError, Solution, certified, grid};
use crate::recipe::Recipe;
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// What becomes of a tensor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) enum Fate {
    /// Its bytes are kept.
    Kept,
    /// It is tied to an earlier tensor.
    SameAs(usize),
    /// It is quantized.
    Quantized {
        /// Its first group; all tensors share group 0 where the scope is all.
        first_group: usize,
        /// Elements per group: a channel's, or the tensor's.
        group_len: u64,
        /// Its code table.
        table: usize,
    },
}

/// A solved group.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct PlanGroup {
    pub quantizer: Quantizer,
    /// Magnitudes up to this become exact zeros, if pruning is on.
    pub threshold: Option<f32>,
    /// Values that symbols decode to in place of the quantizer's own, once they have been retrained.
    pub tuned: Option<Vec<f32>>,
    /// The grid, in place of the quantizer, for methods that assign symbols in the order of coding.
    pub grid: Option<Grid>,
}

/// What the tasks must do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Pass {
    /// Solve the codebooks of output channels.
    Channels,
    /// Gather every weight, to solve on weights instead of cells.
    Gather,
    /// Count symbols and gaps.
    Count,
    /// Nothing: encode.
    Ready,
}

/// A solved recipe for one file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    pub(super) recipe: Recipe,
    pub(super) fates: Vec<Fate>,
    pub(super) groups: Vec<PlanGroup>,
    pub(super) tables: Vec<CodeTable>,
    pub(super) gap_tables: Vec<GapTable>,
    pub(super) importance_factor: f64,
    pub(super) has_importance: bool,
    pub(super) notes: Vec<String>,
    pub(super) weights: u64,
    tasks: Vec<Task>,
    pass: Pass,
    pools: Vec<Counts>,
}

/// Symbol counts and gap counts of one code table.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Counts {
    zeros: u64,
    levels: Vec<u64>,
    gaps: GapCounts,
    contexts: ContextCounts,
}

/// Weights left by pruning with their importance, on their way from a worker.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Gathered {
    values: Vec<f32>,
    importance: Vec<f32>,
}

/// Most weights that are gathered in one place.
const MOST_GATHERED: u64 = 1 << 23;

/// Whether the recipe asks for k-means on every weight.
fn is_certified(settings: &Settings) -> bool {
    settings.choice("precision") == "certified"
}

/// A channel's solution, on its way from a worker.
#[derive(Debug, Serialize, Deserialize)]
struct Solved {
    group: PlanGroup,
    counts: Vec<u64>,
    pruned: u64,
}

impl Plan {
    pub(super) fn new(
        model: &Model,
        groups: &Groups,
        recipe: &Recipe,
        notes: &[String],
    ) -> Result<Self, EngineError> {
        Self::solved(model, groups, recipe, notes, None)
    }

    /// The plan of groups whose solutions are there already.
    pub(super) fn solved(
        model: &Model,
        groups: &Groups,
        recipe: &Recipe,
        notes: &[String],
        solutions: Option<&[Solution]>,
    ) -> Result<Self, EngineError> {
        let (method, settings) = recipe.check()?;
        if recipe.codebook.is_some() {
            return Err(EngineError::Settings(without_codebook(false)));
        }
        let mut plan = Self {
            recipe: recipe.clone(),
            fates: Vec::with_capacity(model.tensors.len()),
            groups: Vec::new(),
            tables: Vec::new(),
            gap_tables: Vec::new(),
            importance_factor: groups.importance_factor,
            has_importance: recipe.importance.kind != crate::recipe::ImportanceKind::None,
            notes: notes.to_vec(),
            weights: groups.weights,
            tasks: Vec::new(),
            pass: Pass::Ready,
            pools: Vec::new(),
        };
        if method.is_grid() {
            plan.place_on_grids(model, groups, &settings)?;
            return Ok(plan);
        }
        let in_channels = recipe.scope == Scope::Channel;
        let (mut next_group, mut next_table) = (0, 0);
        for (index, tensor) in model.tensors.iter().enumerate() {
            if let Some(same) = tensor.same_as {
                plan.fates.push(Fate::SameAs(same));
                continue;
            }
            if groups.selected.binary_search(&index).is_err() {
                plan.fates.push(Fate::Kept);
                continue;
            }
            let row = super::sketch::row_len(&tensor.shape);
            let channels = if in_channels && row > 0 { tensor.len() / row } else { 1 };
            let group_len = tensor.len() / channels.max(1);
            plan.fates.push(Fate::Quantized { first_group: next_group, group_len, table: next_table });
            if recipe.scope != Scope::All {
                next_group += channels as usize;
                next_table += 1;
            }
            if in_channels {
                plan.tasks.extend(channel_tasks(index, tensor, group_len));
            }
        }
        if in_channels {
            plan.pools.resize(next_table, Counts::default());
            plan.pass = Pass::Channels;
            return Ok(plan);
        }
        if is_certified(&settings) && solutions.is_none() {
            if plan.weights > MOST_GATHERED {
                return Err(EngineError::Settings(SettingsError {
                    field: "precision".to_owned(),
                    expected: format!(
                        "cells for more than {MOST_GATHERED} weights that share a machine's memory"
                    ),
                    found: format!("certified for {}", plan.weights),
                }));
            }
            for group in &groups.all {
                let quantizer = Solution::unused().quantizer;
                plan.groups.push(PlanGroup {
                    quantizer,
                    threshold: group.threshold,
                    tuned: None,
                    grid: None,
                });
                plan.pools.push(Counts { zeros: group.pruned.count, ..Counts::default() });
            }
            plan.tasks = plan.quantized_tasks(model);
            plan.pass = Pass::Gather;
            return Ok(plan);
        }
        for (index, group) in groups.all.iter().enumerate() {
            let solution = match solutions.and_then(|solutions| solutions.get(index)) {
                Some(solution) => solution.clone(),
                None => group.solve(method, &settings)?,
            };
            plan.pools.push(Counts {
                zeros: group.pruned.count,
                levels: solution.counts.clone(),
                ..Counts::default()
            });
            plan.groups.push(PlanGroup {
                quantizer: solution.quantizer,
                threshold: group.threshold,
                tuned: None,
                grid: None,
            });
        }
        plan.after_solving(model)?;
        Ok(plan)
    }

    /// Gives every selected tensor its grid; `groups` are tensors.
    fn place_on_grids(
        &mut self,
        model: &Model,
        groups: &Groups,
        settings: &Settings,
    ) -> Result<(), EngineError> {
        let grids = grids(model, groups, &self.recipe, settings)?;
        let mut kept = Vec::new();
        let mut of_tensor: std::collections::BTreeMap<usize, Grid> = std::collections::BTreeMap::new();
        for (group, grid) in groups.all.iter().zip(grids) {
            let Some(tensor) = group.tensor else { return Err(EngineError::Message) };
            match grid {
                Some(grid) => drop(of_tensor.insert(tensor, grid)),
                None => kept.extend(model.tensors.get(tensor).map(|tensor| tensor.name.clone())),
            }
        }
        if !kept.is_empty() {
            let names = crate::importance::list(&kept);
            self.notes.push(format!("kept as they are, because no step suits their range: {names}"));
        }
        let one_table = self.recipe.scope == Scope::All;
        for (index, tensor) in model.tensors.iter().enumerate() {
            let fate = match (tensor.same_as, of_tensor.get(&index)) {
                (Some(same), _) => Fate::SameAs(same),
                (None, None) => Fate::Kept,
                (None, Some(grid)) => {
                    let first_group = self.groups.len();
                    let quantizer = Solution::unused().quantizer;
                    self.groups.push(PlanGroup {
                        quantizer,
                        threshold: None,
                        tuned: None,
                        grid: Some(*grid),
                    });
                    let table = if one_table { 0 } else { first_group };
                    self.pools.resize(table + 1, Counts::default());
                    Fate::Quantized { first_group, group_len: tensor.len(), table }
                }
            };
            self.fates.push(fate);
        }
        self.pass = Pass::Count;
        self.tasks = self.counting_tasks(model);
        Ok(())
    }

    /// The start of every tensor, as many weights in all as starting states need.
    fn counting_tasks(&self, model: &Model) -> Vec<Task> {
        const ENOUGH: u64 = 1 << 18;
        const LEAST: u64 = 1 << 12;
        let share = |task: Task| {
            let len = (u128::from(task.end) * u128::from(ENOUGH) / u128::from(self.weights.max(1))) as u64;
            let end = len.max(LEAST).min(task.end).min(BLOCK_WEIGHTS);
            let bytes = task.bytes.checked_div(task.end).unwrap_or(0) * end;
            Task { end, bytes, ..task }
        };
        let tensors = model.tensors.iter().enumerate();
        let whole = tensors.map(|(index, tensor)| Task::whole(index, tensor));
        whole.filter(|task| self.quantizes(task.tensor)).map(share).collect()
    }

    fn quantizes(&self, tensor: usize) -> bool {
        matches!(self.fates.get(tensor), Some(Fate::Quantized { .. }))
    }

    /// Whether symbols are assigned in the order of coding.
    pub(super) fn is_grid(&self) -> bool {
        self.groups.iter().any(|group| group.grid.is_some())
    }

    /// Whether the file can be [encoded](super::encode) now; else [`prepare`] this plan's tasks and [`absorb`](Self::absorb).
    pub fn is_ready(&self) -> bool {
        self.pass == Pass::Ready
    }

    /// The tasks of the next pass: of [`prepare`], or of [`encode`](super::encode) once the plan [is ready](Self::is_ready).
    pub fn tasks(&self) -> &[Task] {
        &self.tasks
    }

    /// What the user should know, a sentence each.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The recipe with everything filled in.
    pub fn recipe(&self) -> &Recipe {
        &self.recipe
    }

    /// The values that symbols decode to, codebook by codebook.
    pub fn levels(&self) -> Vec<Vec<f32>> {
        self.groups.iter().map(|group| group.levels().to_vec()).collect()
    }

    /// Puts retrained values in the places of [`levels`](Self::levels); which symbol a weight gets stays as it was.
    ///
    /// Their hash goes into the recipe, which can be replayed with them alone.
    pub fn set_levels(&mut self, levels: &[Vec<f32>]) -> Result<(), EngineError> {
        if self.is_grid() {
            return Err(EngineError::Settings(SettingsError {
                field: "codebook".to_owned(),
                expected: "a method whose values can be retrained".to_owned(),
                found: format!("{}, whose values are a grid", self.recipe.method),
            }));
        }
        let own: Vec<usize> = self.groups.iter().map(|group| group.quantizer.levels.len()).collect();
        let given: Vec<usize> = levels.iter().map(Vec::len).collect();
        if own != given {
            let refused = SettingsError {
                field: "codebook".to_owned(),
                expected: format!("{} codebooks of the recipe's sizes", own.len()),
                found: format!("{} of other sizes", given.len()),
            };
            return Err(EngineError::Settings(refused));
        }
        for (group, levels) in self.groups.iter_mut().zip(levels) {
            group.tuned = Some(levels.clone());
        }
        self.recipe.codebook = Some(levels_hash(levels));
        Ok(())
    }

    /// The plan as bytes, for the way to a worker.
    pub fn to_bytes(&self) -> Vec<u8> {
        pack(self)
    }

    /// Reads [`to_bytes`](Self::to_bytes) back.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, EngineError> {
        unpack(bytes)
    }

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
            let pool = self.pools.get_mut(*table).ok_or(EngineError::Message)?;
            if self.pass == Pass::Channels {
                for solved in unpack::<Vec<Solved>>(part)? {
                    pool.add(&solved.counts, solved.pruned);
                    self.groups.push(solved.group);
                }
            } else {
                let counted: Counts = unpack(part)?;
                pool.add(&counted.levels, counted.zeros);
                pool.gaps.merge(&counted.gaps);
                pool.contexts.merge(&counted.contexts);
            }
        }
        if self.pass == Pass::Channels { self.after_solving(model) } else { self.after_counting(model) }
    }

    fn quantized_tasks(&self, model: &Model) -> Vec<Task> {
        super::tasks(model).into_iter().filter(|task| self.quantizes(task.tensor)).collect()
    }

    /// Solves every group exactly on its weights.
    fn solve_gathered(&mut self, tasks: &[Task], parts: &[Vec<u8>]) -> Result<(), EngineError> {
        let (_, settings) = self.recipe.check()?;
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
        for ((group, pool), all) in self.groups.iter_mut().zip(&mut self.pools).zip(&gathered) {
            if let Some(solution) = all.solve(&settings, self.has_importance)? {
                group.quantizer = solution.quantizer;
                pool.levels = solution.counts;
            } else {
                pool.levels = vec![0];
            }
        }
        Ok(())
    }

    fn after_solving(&mut self, model: &Model) -> Result<(), EngineError> {
        let gaps = self.recipe.positions == Positions::Gaps;
        if gaps || self.recipe.coder == Coder::Context {
            self.pass = Pass::Count;
            for pool in self.pools.iter_mut().filter(|_| gaps) {
                pool.zeros = 0;
                pool.levels.fill(0);
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
            let pool = Pool { tensor: None, zeros: counts.zeros, levels: counts.levels };
            if self.recipe.coder == Coder::Context {
                self.tables.push(CodeTable::Context(self.context(table)?.starting_from(&counts.contexts)));
                continue;
            }
            self.tables.push(CodeTable::new(self.recipe.coder, &pool.coded(pruning, self.recipe.positions))?);
            if self.recipe.positions == Positions::Gaps {
                self.gap_tables.push(GapTable::new(&counts.gaps)?);
            }
        }
        self.tasks = super::tasks(model);
        self.pass = Pass::Ready;
        Ok(())
    }

    /// The context table of a pool before anything was counted, numbered by the levels of its first group.
    pub(super) fn context(&self, table: usize) -> Result<Context, EngineError> {
        let first = self.fates.iter().find_map(|fate| match fate {
            Fate::Quantized { first_group, table: of, .. } if *of == table => Some(*first_group),
            _ => None,
        });
        if self.is_grid() {
            return self.grid_context(table);
        }
        let levels =
            first.and_then(|group| self.groups.get(group)).map(PlanGroup::levels).unwrap_or_default();
        // Channels share a table: it holds the symbols of the largest codebook.
        let most = self.groups.iter().map(|group| group.levels().len()).max().unwrap_or(0);
        let pruned = self.has_zero_symbol();
        let alphabet = (most + usize::from(pruned)).max(1);
        Ok(Context::even(alphabet, Numbering::of_levels(levels, pruned))?)
    }

    /// The context table of tensors on grids: the numbers of the widest, zero in the middle.
    fn grid_context(&self, table: usize) -> Result<Context, EngineError> {
        let (_, settings) = self.recipe.check()?;
        let most = self.fates.iter().filter_map(|fate| match fate {
            Fate::Quantized { first_group, table: of, .. } if *of == table => {
                self.groups.get(*first_group)?.grid.map(|grid| grid.most)
            }
            _ => None,
        });
        let centre = most.max().unwrap_or(0).min(u32::from(u16::MAX / 2)) as u16;
        let trellis = Trellis::new(grid::states(&settings)).ok_or(EngineError::Message)?;
        let numbering = Numbering { pruned: false, centre };
        Ok(Context::even(2 * usize::from(centre) + 1, numbering)?.along(trellis))
    }

    /// The context table that a tensor on a grid is coded with, as far as it is known by now.
    fn table_of_grid(&self, table: usize) -> Result<Context, EngineError> {
        match self.tables.get(table) {
            Some(CodeTable::Context(context)) => Ok(context.clone()),
            _ => self.grid_context(table),
        }
    }

    /// The number of the symbol 0 of a tensor on a grid, less than 0.
    pub(super) fn centre_of_grid(&self, table: usize) -> Result<u16, EngineError> {
        Ok(self.table_of_grid(table)?.numbering().centre)
    }

    /// Whether symbol 0 stands for an exact zero.
    pub(super) fn has_zero_symbol(&self) -> bool {
        self.recipe.pruning != crate::quantize::pruning::Pruning::None
    }

    /// The symbols of a quantized tensor's elements `range`, which lie in their tensor as `rows` says; appends to `symbols`. For
    /// methods that look at how symbols will be coded, what they will be predicted by.
    pub(super) fn quantize(
        &self,
        fate: &Fate,
        range: Range<u64>,
        rows: Rows,
        values: &[f32],
        h: Option<&[f32]>,
        symbols: &mut Vec<u16>,
    ) -> Result<Option<Predictor>, EngineError> {
        let mut done = 0;
        for (group, len) in self.segments(fate, range)? {
            let part = done..done + len;
            let values = values.get(part.clone()).ok_or(EngineError::Message)?;
            let h = h.and_then(|h| h.get(part));
            if let (Some(grid), Fate::Quantized { table, .. }) = (group.grid, fate) {
                let context = self.table_of_grid(*table)?;
                return Ok(Some(context.assign(values, h, rows, grid.goal(), symbols)));
            }
            group.symbols(values, h, self.has_zero_symbol(), symbols);
            done += len;
        }
        Ok(None)
    }

    /// The groups that the elements `range` of a quantized tensor fall into, with how many elements each.
    pub(super) fn segments(
        &self,
        fate: &Fate,
        range: Range<u64>,
    ) -> Result<Vec<(&PlanGroup, usize)>, EngineError> {
        let Fate::Quantized { first_group, group_len, .. } = *fate else { return Err(EngineError::Message) };
        let mut segments = Vec::new();
        let mut at = range.start;
        while at < range.end {
            let channel = at.checked_div(group_len).unwrap_or(0);
            let end = ((channel + 1) * group_len).min(range.end);
            let group = self.groups.get(first_group + channel as usize).ok_or(EngineError::Message)?;
            segments.push((group, (end - at) as usize));
            at = end;
        }
        Ok(segments)
    }
}

impl PlanGroup {
    /// Number of values that symbols decode to.
    pub(super) fn level_count(&self) -> u64 {
        self.grid.map_or(self.levels().len() as u64, |grid| 2 * u64::from(grid.most) + 1)
    }

    /// The values that symbols decode to.
    pub(super) fn levels(&self) -> &[f32] {
        self.tuned.as_deref().unwrap_or(&self.quantizer.levels)
    }

    fn symbols(&self, values: &[f32], h: Option<&[f32]>, zero_symbol: bool, symbols: &mut Vec<u16>) {
        let start = symbols.len();
        self.quantizer.symbols(values, h, symbols);
        if zero_symbol {
            // No magnitude is at most a negative threshold: nothing is pruned.
            let threshold = self.threshold.unwrap_or(-1.0);
            for (symbol, value) in symbols.iter_mut().skip(start).zip(values) {
                *symbol = if value.abs() <= threshold { 0 } else { *symbol + 1 };
            }
        }
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

impl Counts {
    fn add(&mut self, levels: &[u64], zeros: u64) {
        add_counts(&mut self.levels, levels);
        self.zeros += zeros;
    }
}

/// Why a recipe with retrained codebooks cannot be carried out.
pub(super) fn without_codebook(has_others: bool) -> SettingsError {
    SettingsError {
        field: "codebook".to_owned(),
        expected: "the retrained codebooks of this hash, from the .qsz that holds them".to_owned(),
        found: if has_others { "others" } else { "none" }.to_owned(),
    }
}

/// The hash by which a recipe refers to retrained codebooks.
pub fn levels_hash(levels: &[Vec<f32>]) -> String {
    let mut hasher = xxhash_rust::xxh3::Xxh3::new();
    for codebook in levels {
        hasher.update(&(codebook.len() as u64).to_le_bytes());
        for level in codebook {
            hasher.update(&level.to_le_bytes());
        }
    }
    format!("{:032x}", hasher.digest128())
}

fn add_counts(sums: &mut Vec<u64>, counts: &[u64]) {
    if counts.len() > sums.len() {
        sums.resize(counts.len(), 0);
    }
    for (sum, count) in sums.iter_mut().zip(counts) {
        *sum += count;
    }
}

/// Tasks of whole channels, about a block each; one task where the tensor's bytes must be read in order.
fn channel_tasks(index: usize, tensor: &crate::tensor::Tensor, channel: u64) -> Vec<Task> {
    let whole = Task { block: channel.max(1), ..Task::whole(index, tensor) };
    if tensor.is_sequential() { vec![whole] } else { whole.split(BLOCK_WEIGHTS) }
}

/// For every weight of a task the place of its value among all [levels](Plan::levels), one codebook behind the other; `u32::MAX`
/// for one that was pruned. Nothing for tensors that are kept.
pub fn assignments(input: Input, plan: &Plan, task: &Task) -> Result<Vec<u32>, EngineError> {
    let fate = plan.fates.get(task.tensor).ok_or(EngineError::Message)?;
    if !matches!(fate, Fate::Quantized { .. }) || plan.is_grid() {
        return Ok(Vec::new());
    }
    let mut starts = Vec::with_capacity(plan.groups.len());
    let mut next = 0u32;
    for group in &plan.groups {
        starts.push(next);
        next += group.quantizer.levels.len() as u32;
    }
    let Fate::Quantized { first_group, group_len, .. } = *fate else { return Ok(Vec::new()) };
    let mut blocks = BlockReader::new(input, plan, task)?;
    let mut all = Vec::new();
    let mut symbols = Vec::new();
    let zero_symbol = u16::from(plan.has_zero_symbol());
    for range in task.blocks() {
        blocks.read(range.clone())?;
        symbols.clear();
        plan.quantize(
            fate,
            range.clone(),
            Rows::default(),
            &blocks.values,
            blocks.importance(),
            &mut symbols,
        )?;
        for (at, symbol) in range.zip(&symbols) {
            let group = first_group + at.checked_div(group_len).unwrap_or(0) as usize;
            let start = starts.get(group).copied().ok_or(EngineError::Message)?;
            all.push(symbol.checked_sub(zero_symbol).map_or(u32::MAX, |level| start + u32::from(level)));
        }
    }
    Ok(all)
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
    let threshold = plan.groups.get(*first_group).ok_or(EngineError::Message)?.threshold;
    let mut blocks = BlockReader::new(input, plan, task)?;
    let mut gathered = Gathered::default();
    for range in task.blocks() {
        blocks.read(range)?;
        gathered.extend(&blocks.values, blocks.importance(), threshold);
    }
    Ok(pack(&gathered))
}

fn solve_channels(input: Input, plan: &Plan, task: &Task) -> Result<Vec<u8>, EngineError> {
    let (method, settings) = plan.recipe.check()?;
    let mut blocks = BlockReader::new(input, plan, task)?;
    let mut solved = Vec::new();
    for range in task.blocks() {
        blocks.read(range)?;
        let ones = vec![1.0; blocks.values.len()];
        let h = if plan.has_importance { &blocks.importance } else { &ones };
        let pairs = blocks.values.iter().copied().zip(h.iter().copied()).collect();
        let group = groups::channel_group(&plan.recipe, task.tensor, pairs, plan.has_importance);
        let solution = if is_certified(&settings) {
            let mut gathered = Gathered::default();
            gathered.extend(&blocks.values, blocks.importance(), group.threshold);
            gathered.solve(&settings, plan.has_importance)?.unwrap_or_else(Solution::unused)
        } else {
            group.solve(method, &settings)?
        };
        let Solution { quantizer, counts, .. } = solution;
        let group_plan = PlanGroup { quantizer, threshold: group.threshold, tuned: None, grid: None };
        solved.push(Solved { group: group_plan, counts, pruned: group.pruned.count });
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
        let rows = rows_of(shape, range.start / BLOCK_WEIGHTS);
        let predictor =
            plan.quantize(fate, range.clone(), rows, &blocks.values, blocks.importance(), &mut symbols)?;
        if let Some(context) = &context {
            match predictor {
                Some(predictor) => context.count_by(&symbols, rows, predictor, &mut counts.contexts),
                None => context.count(&symbols, rows, &mut counts.contexts),
            }
            continue;
        }
        for symbol in &symbols {
            if *symbol == 0 {
                counts.zeros += 1;
            } else {
                let level = usize::from(*symbol) - 1;
                if counts.levels.len() <= level {
                    counts.levels.resize(level + 1, 0);
                }
                if let Some(count) = counts.levels.get_mut(level) {
                    *count += 1;
                }
            }
        }
        counts.gaps.add_block(&symbols);
    }
    Ok(pack(&counts))
}

/// Reads blocks of weights with their importance, scaled as the solver saw it.
pub(super) struct BlockReader<'a> {
    tensor: TensorReader<'a>,
    importance_reader: Option<crate::importance::ImportanceReader<'a>>,
    dtype: crate::tensor::Dtype,
    factor: f64,
    /// The block's bytes as they are in the file.
    pub bytes: Vec<u8>,
    /// The block's weights; empty for tensors that are not floats.
    pub values: Vec<f32>,
    importance: Vec<f32>,
}

impl<'a> BlockReader<'a> {
    pub fn new(input: Input<'a>, plan: &Plan, task: &Task) -> Result<Self, EngineError> {
        let tensor = input.tensor(task)?;
        let quantized = matches!(plan.fates.get(task.tensor), Some(Fate::Quantized { .. }));
        let importance_reader = match input.importance {
            Some((source, importance)) if plan.has_importance && quantized => {
                Some(importance.reader(source, task.tensor)?)
            }
            _ => None,
        };
        Ok(Self {
            tensor: TensorReader::new(input.source, tensor, &Limits::default())?,
            importance_reader,
            dtype: tensor.dtype,
            factor: plan.importance_factor,
            bytes: Vec::new(),
            values: Vec::new(),
            importance: Vec::new(),
        })
    }

    pub fn read(&mut self, range: Range<u64>) -> Result<(), EngineError> {
        self.bytes.clear();
        self.values.clear();
        self.importance.clear();
        self.tensor.read(range.clone(), &mut self.bytes)?;
        self.dtype.extend_f32(&self.bytes, &mut self.values);
        if let Some(reader) = &mut self.importance_reader {
            reader.read(range, &mut self.importance)?;
            self.importance.iter_mut().for_each(|h| *h = groups::scaled(*h, self.factor));
        }
        Ok(())
    }

    /// Importance of the block's weights; `None` where it is 1 for all.
    pub fn importance(&self) -> Option<&[f32]> {
        self.importance_reader.is_some().then_some(self.importance.as_slice())
    }
}
