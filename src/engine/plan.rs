//! A plan: everything an encoder needs to know, solved; small enough to send to every worker.

use super::cost::Pool;
use super::groups::{Group, Groups};
use super::replaced::{Repaired, Replaced, levels_hash};
use super::steps::grids;
use super::{BLOCK_WEIGHTS, EngineError, Task, pack, unpack};
use crate::code::{Assigned, Code, Codebook, GridCode, Kind, Scales};
use crate::compensation::ErrorCosts;
use crate::entropy::{
    CodeTable, Coder, Context, ContextCounts, GapCounts, GapTable, Numbering, Rows, Trellis,
};
use crate::importance::Stage;
use crate::model::Model;
use crate::quantize::{Pruning, Quantizer, Scope, Settings, SettingsError, Solution, grid, layouts, scaled};
use crate::recipe::{Checked, Recipe};
use crate::skeleton::{Skeleton, View};
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// What becomes of a tensor.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) enum Fate {
    /// Its bytes are kept.
    Kept,
    /// The codes that stand for its elements are kept.
    Codes,
    /// It is in the skeleton.
    View(View),
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

/// What the tasks must do next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Pass {
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
    pub(super) recipe: Checked,
    pub(super) fates: Vec<Fate>,
    pub(super) groups: Vec<Code>,
    pub(super) tables: Vec<CodeTable>,
    pub(super) gap_tables: Vec<GapTable>,
    pub(super) importance_factor: f64,
    pub(super) has_importance: bool,
    pub(super) notes: Vec<String>,
    pub(super) weights: u64,
    /// The file taken apart, where it is carried; once the plan is ready.
    pub(super) skeleton: Option<Skeleton>,
    pub(super) tasks: Vec<Task>,
    pub(super) pass: Pass,
    /// What takes the places of tensors that are kept.
    pub(super) repaired: Repaired,
    /// What was counted for each code table.
    pub(super) pools: Vec<Counts>,
}

/// What is counted for one code table.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Counts {
    pub pool: Pool,
    pub gaps: GapCounts,
    pub contexts: ContextCounts,
}

impl Counts {
    /// What a solution says, before anything is counted.
    fn new(zeros: u64, levels: Vec<u64>) -> Self {
        Self { pool: Pool { tensor: None, zeros, levels }, ..Self::default() }
    }
}

/// Most weights that are gathered in one place.
const MOST_GATHERED: u64 = 1 << 23;

/// Whether the recipe asks for k-means on every weight.
pub(super) fn is_certified(settings: &Settings) -> bool {
    settings.choice("precision") == "certified"
}

impl Plan {
    pub(super) fn new(
        model: &Model,
        groups: &Groups,
        recipe: &Checked,
        notes: &[String],
    ) -> Result<Self, EngineError> {
        Self::solved(model, groups, recipe, notes, None)
    }

    /// The plan of groups whose solutions are there already.
    pub(super) fn solved(
        model: &Model,
        groups: &Groups,
        recipe: &Checked,
        notes: &[String],
        solutions: Option<&[Solution]>,
    ) -> Result<Self, EngineError> {
        let Checked { method, settings, .. } = recipe;
        super::replaced::check(recipe, &Recipe::default())?;
        let mut plan = Self {
            recipe: recipe.clone(),
            fates: Vec::with_capacity(model.tensors.len()),
            groups: Vec::new(),
            tables: Vec::new(),
            gap_tables: Vec::new(),
            importance_factor: groups.importance_factor,
            has_importance: recipe.importance.source.is_some(),
            notes: notes.to_vec(),
            weights: groups.weights,
            skeleton: None,
            repaired: Repaired::default(),
            tasks: Vec::new(),
            pass: Pass::Ready,
            pools: Vec::new(),
        };
        if method.code == Kind::Grid {
            plan.place_on_grids(model, groups)?;
            return Ok(plan);
        }
        plan.place_in_groups(model, groups);
        if method.code == Kind::Scaled {
            plan.scale_blocks(model, groups)?;
            return Ok(plan);
        }
        if recipe.scope == Scope::Channel {
            plan.pass = Pass::Channels;
        } else if is_certified(settings) && solutions.is_none() {
            plan.ask_for_weights(model, groups)?;
        } else {
            for (index, group) in groups.all.iter().enumerate() {
                let solution = match solutions.and_then(|solutions| solutions.get(index)) {
                    Some(solution) => solution.clone(),
                    None => group.solve(method, settings)?,
                };
                plan.pools.push(Counts::new(group.pruned.count, solution.counts));
                plan.groups.push(coded(recipe, group, solution.quantizer));
            }
            plan.after_solving(model)?;
        }
        Ok(plan)
    }

    /// Gives every selected tensor its groups; channels are solved in tasks of their own.
    fn place_in_groups(&mut self, model: &Model, groups: &Groups) {
        let in_channels = self.recipe.scope == Scope::Channel;
        // A number format is the same for all, unless scales are relative to a number of the tensor.
        let is_shared = match self.recipe.kind() {
            Kind::Scaled => !self.has_factors(),
            _ => self.recipe.scope == Scope::All,
        };
        let (mut next_group, mut next_table) = (0, 0);
        for (index, tensor) in model.tensors.iter().enumerate() {
            if tensor.same_as.is_some() {
                self.fates.push(Fate::SameAs(model.origin(index)));
                continue;
            }
            if groups.selected.binary_search(&index).is_err() {
                self.fates.push(Fate::Kept);
                continue;
            }
            let row = crate::container::row_len(&tensor.shape);
            let channels = if in_channels && row > 0 { tensor.len() / row } else { 1 };
            let group_len = tensor.len() / channels.max(1);
            self.fates.push(Fate::Quantized { first_group: next_group, group_len, table: next_table });
            if !is_shared {
                next_group += channels as usize;
            }
            next_table += usize::from(self.recipe.scope != Scope::All);
            if in_channels {
                self.tasks.extend(channel_tasks(index, tensor, group_len));
                self.pools.push(Counts::default());
            }
        }
    }

    /// Asks for every weight, to be solved on them instead of on cells.
    fn ask_for_weights(&mut self, model: &Model, groups: &Groups) -> Result<(), EngineError> {
        if self.weights > MOST_GATHERED {
            return Err(EngineError::from(SettingsError {
                field: "precision".to_owned(),
                expected: format!(
                    "cells for more than {MOST_GATHERED} weights that share a machine's memory"
                ),
                found: format!("certified for {}", self.weights),
            }));
        }
        for group in &groups.all {
            self.groups.push(coded(&self.recipe, group, Solution::unused().quantizer));
            self.pools.push(Counts::new(group.pruned.count, Vec::new()));
        }
        self.tasks = self.quantized_tasks(model);
        self.pass = Pass::Gather;
        Ok(())
    }

    /// Gives every selected tensor its grid; `groups` are tensors.
    fn place_on_grids(&mut self, model: &Model, groups: &Groups) -> Result<(), EngineError> {
        let grids = grids(model, groups, &self.recipe)?;
        let mut kept = Vec::new();
        let mut of_tensor: Vec<Option<GridCode>> = vec![None; model.tensors.len()];
        for (group, grid) in groups.all.iter().zip(grids) {
            let Some(tensor) = group.tensor else { return Err(EngineError::Message) };
            match (grid, of_tensor.get_mut(tensor)) {
                (Some(grid), Some(slot)) => *slot = Some(grid),
                _ => kept.extend(model.tensors.get(tensor).map(|tensor| tensor.name.clone())),
            }
        }
        if !kept.is_empty() {
            let names = crate::importance::list(&kept);
            self.notes.push(format!("kept as they are, because no step suits their range: {names}"));
        }
        let one_table = self.recipe.scope == Scope::All;
        for (index, (tensor, grid)) in model.tensors.iter().zip(of_tensor).enumerate() {
            let fate = match (tensor.same_as, grid) {
                (Some(_), _) => Fate::SameAs(model.origin(index)),
                (None, None) => Fate::Kept,
                (None, Some(grid)) => {
                    let first_group = self.groups.len();
                    self.groups.push(Code::Grid(grid));
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

    /// Whether every tensor has a codebook of its own because its number format's scales are relative to a number of the tensor.
    fn has_factors(&self) -> bool {
        layouts::Asked::new(&self.recipe.settings).is_ok_and(|asked| asked.scale.has_factor())
    }

    /// Gives all selected tensors one number format, whose scales their weights decide.
    fn scale_blocks(&mut self, model: &Model, groups: &Groups) -> Result<(), EngineError> {
        let code = scaled::code(&self.recipe.settings)?;
        self.groups = if self.has_factors() {
            groups.largest.iter().map(|largest| Code::Scaled(code.of_tensor(*largest))).collect()
        } else {
            vec![Code::Scaled(code)]
        };
        let tables = if self.recipe.scope == Scope::All { 1 } else { groups.selected.len() };
        self.pools.resize(tables, Counts::default());
        self.pass = Pass::Count;
        let by_context = self.recipe.coder == Coder::Context;
        self.tasks = if by_context { self.counting_tasks(model) } else { self.quantized_tasks(model) };
        Ok(())
    }

    /// Whether the model's tensor `tensor` is quantized.
    pub fn quantizes(&self, tensor: usize) -> bool {
        matches!(self.fates.get(tensor), Some(Fate::Quantized { .. }))
    }

    /// Whether a weight's symbol depends on those of others.
    pub(super) fn is_joint(&self) -> bool {
        self.groups.iter().any(|code| code.kind().is_joint())
    }

    /// Whether every group has levels of its own choice.
    pub(super) fn chooses_levels(&self) -> bool {
        self.groups.iter().all(|code| code.as_levels().is_some())
    }

    /// Whether the file can be [encoded](super::encode) now; else [`prepare`](super::prepare) this plan's tasks and
    /// [`absorb`](Self::absorb).
    pub fn is_ready(&self) -> bool {
        self.pass == Pass::Ready
    }

    /// What importance is read for in the next pass. The starting states of contexts are chosen with the plan, whatever the
    /// layers before leave; counts of what is coded are of what is coded.
    pub(super) fn stage(&self) -> Stage {
        match self.pass {
            Pass::Ready => Stage::Encoding,
            Pass::Count if self.recipe.coder != Coder::Context => Stage::Encoding,
            _ => Stage::Planning,
        }
    }

    /// The tasks of the next pass: of [`prepare`](super::prepare), or of [`encode`](super::encode) once the plan
    /// [is ready](Self::is_ready).
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

    /// The values that symbols decode to, codebook by codebook; none where values are not chosen, as on a grid.
    pub fn levels(&self) -> Vec<Vec<f32>> {
        let list =
            |code: &Code| code.as_levels().map_or(Vec::new(), |code| code.codebook().values().to_vec());
        self.groups.iter().map(list).collect()
    }

    /// Puts retrained values in the places of [`levels`](Self::levels); which symbol a weight gets stays as it was.
    pub(super) fn set_levels(&mut self, levels: &[Vec<f32>]) -> Result<(), EngineError> {
        let refused = |expected: String, found: String| {
            EngineError::from(SettingsError { field: "codebook".to_owned(), expected, found })
        };
        if !self.chooses_levels() {
            let found = format!("{}, whose values are fixed", self.recipe.method.id);
            return Err(refused("a method whose values can be retrained".to_owned(), found));
        }
        let own: Vec<usize> = self.levels().iter().map(Vec::len).collect();
        let given: Vec<usize> = levels.iter().map(Vec::len).collect();
        if own != given {
            let expected = format!("{} codebooks of the recipe's sizes", own.len());
            return Err(refused(expected, format!("{} of other sizes", given.len())));
        }
        for (code, levels) in self.groups.iter_mut().zip(levels) {
            if let Code::Levels(code) = code {
                code.retrain(levels.clone()).map_err(|_| EngineError::Message)?;
            }
        }
        Ok(())
    }

    /// Puts in what takes the places of other values, which the recipe names then: it must be what `recipe` names.
    pub(super) fn put(
        &mut self,
        recipe: &Recipe,
        model: &Model,
        Replaced { levels, repaired }: &Replaced,
    ) -> Result<(), EngineError> {
        if let Some(levels) = levels {
            self.set_levels(levels)?;
            self.recipe.set_codebook(levels_hash(levels));
        }
        if !repaired.is_empty() {
            self.set_repaired(model, repaired)?;
            self.recipe.set_repaired(repaired.hash());
        }
        super::replaced::check(recipe, &self.recipe)
    }

    /// Puts repaired tensors in the places of the file's own, which must be kept.
    fn set_repaired(&mut self, model: &Model, repaired: &Repaired) -> Result<(), EngineError> {
        for (index, bytes) in repaired.all() {
            let tensor = model.tensors.get(*index).ok_or(EngineError::Message)?;
            let size = tensor.len().saturating_mul(tensor.dtype.size_bytes());
            let is_kept = matches!(self.fates.get(*index), Some(Fate::Kept)) && size == bytes.len() as u64;
            if !is_kept {
                return Err(EngineError::from(SettingsError {
                    field: "repaired".to_owned(),
                    expected: "tensors that are kept".to_owned(),
                    found: format!("{}, which is not", crate::formats::shown(&tensor.name)),
                }));
            }
        }
        let names: Vec<String> =
            repaired.tensors().filter_map(|index| Some(model.tensors.get(index)?.name.clone())).collect();
        let names = crate::importance::list(&names);
        self.notes.push(format!("repaired, to serve what is quantized around them: {names}"));
        self.repaired = repaired.clone();
        Ok(())
    }

    /// The plan as bytes, for the way to a worker.
    pub fn to_bytes(&self) -> Vec<u8> {
        pack(self)
    }

    /// Reads [`to_bytes`](Self::to_bytes) back.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, EngineError> {
        Ok(unpack(bytes)?)
    }

    /// The context table of a pool before anything was counted, numbered as its first group is.
    pub(super) fn context(&self, table: usize) -> Result<Context, EngineError> {
        let own = self.fates.iter().filter_map(|fate| match fate {
            Fate::Quantized { first_group, table: of, .. } if *of == table => self.groups.get(*first_group),
            _ => None,
        });
        let own: Vec<&Code> = own.collect();
        let numbering = own.first().map_or(Numbering { pruned: false, centre: 0 }, |code| code.numbering());
        let widest = |codes: &mut dyn Iterator<Item = &Code>| codes.map(|code| code.symbols()).max();
        // The largest codebook of all makes every table of levels as large, which the file keeps to.
        let alphabet =
            if self.is_joint() { widest(&mut own.iter().copied()) } else { widest(&mut self.groups.iter()) };
        let trellis = Trellis::new(grid::states(&self.recipe.settings)).ok_or(EngineError::Message)?;
        Ok(Context::even(alphabet.unwrap_or(1), numbering)?.along(trellis))
    }

    /// The table that a tensor's symbols are coded with, where it is one of contexts and known by now.
    pub(super) fn context_table(&self, fate: &Fate) -> Option<&Context> {
        let Fate::Quantized { table, .. } = fate else { return None };
        match self.tables.get(*table)? {
            CodeTable::Context(context) => Some(context),
            _ => None,
        }
    }

    /// Whether symbol 0 stands for an exact zero.
    pub(super) fn has_zero_symbol(&self) -> bool {
        self.recipe.pruning != Pruning::None
    }

    /// The symbols of a quantized tensor's elements `range`, which lie in their tensor as `rows` says and will be coded by
    /// `context`; appends to `symbols`. What goes with them.
    pub(super) fn quantize(
        &self,
        fate: &Fate,
        range: Range<u64>,
        (rows, context): (Rows, Option<&Context>),
        values: &[f32],
        costs: ErrorCosts<'_>,
        symbols: &mut Vec<u16>,
    ) -> Result<Assigned, EngineError> {
        let (mut done, mut assigned) = (0, Assigned::default());
        for (code, len) in self.segments(fate, range)? {
            let part = done..done + len;
            let values = values.get(part.clone()).ok_or(EngineError::Message)?;
            assigned = code.assign(values, costs.part(part), rows, context, symbols)?;
            done += len;
        }
        Ok(assigned)
    }

    /// The values that symbols decode to, before rounding to the tensor's type; appends to `values`.
    pub(super) fn dequantize(
        &self,
        fate: &Fate,
        range: Range<u64>,
        symbols: &[u16],
        scales: Scales<'_>,
        values: &mut Vec<f32>,
    ) -> Result<(), EngineError> {
        let mut done = 0;
        for (code, len) in self.segments(fate, range)? {
            let symbols = symbols.get(done..done + len).ok_or(EngineError::Message)?;
            code.extend_values(symbols, scales, values);
            done += len;
        }
        Ok(())
    }

    /// The codebooks of the container, in group order.
    pub(super) fn codebooks(&self) -> Vec<Codebook> {
        self.groups.iter().map(Code::codebook).collect()
    }

    /// The groups that the elements `range` of a quantized tensor fall into, with how many elements each.
    pub(super) fn segments(
        &self,
        fate: &Fate,
        range: Range<u64>,
    ) -> Result<Vec<(&Code, usize)>, EngineError> {
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

/// The code of a group that a method solved.
pub(super) fn coded(recipe: &Recipe, group: &Group, quantizer: Quantizer) -> Code {
    // No magnitude is at most a negative threshold: the zero is there, and nothing is pruned.
    let pruned = (recipe.pruning != Pruning::None).then(|| group.threshold.unwrap_or(-1.0));
    Code::levels(quantizer, pruned)
}

/// Tasks of whole channels, about a block each; one task where the tensor's bytes must be read in order.
fn channel_tasks(index: usize, tensor: &crate::tensor::Tensor, channel: u64) -> Vec<Task> {
    let whole = Task { block: channel.max(1), ..Task::whole(index, tensor) };
    if tensor.is_sequential() { vec![whole] } else { whole.split(BLOCK_WEIGHTS) }
}
