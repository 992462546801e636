//! A session: one opened file's sketch, and every question that can be answered from it.

use super::evaluate::{self, Evaluated};
use super::gaps::Reference;
use super::groups::{self, Groups};
use super::kept;
use super::pilot::{self, Scale};
use super::report::{Curve, Overlay, Stats, Sweep, TensorRow, TensorSensitivity};
use super::selection::Selection;
use super::sketch::TensorSketch;
use super::sweep::{self, AskedCurve};
use super::{EngineError, Importance, Plan, Task, sensitivity, sketch::BlockSketch, sketch_tasks, unpack};
use crate::code::Kind;
use crate::model::Model;
use crate::quantize::{Method, Pruning, Scope, Value, grid, methods};
use crate::recipe::{Carry, Checked, Recipe};

/// Weights in a sample, at most about twice this.
const SAMPLE_WEIGHTS: u64 = 1 << 20;
/// From this share on, the zeros of a tensor are meant, and stay zero.
const SHARE_OF_ZEROS: f64 = 0.01;
/// Equal tensors of fewer bytes are not worth a tie.
const LEAST_TIED_BYTES: u64 = 64;
/// Bins of a tensor row's small histogram.
const ROW_BINS: usize = 32;

/// Whether a plan of the recipe has groups of its own: a grid for every tensor where predictions are made of others.
fn has_own_grids(recipe: &Recipe) -> bool {
    recipe.scope != Scope::Tensor && recipe.is_grid()
}

/// One opened file: its model, its sketch, and what follows from them.
#[derive(Debug)]
pub struct Session {
    model: Model,
    importance: Option<Importance>,
    tasks: Vec<Task>,
    sketches: Vec<TensorSketch>,
    hash: u128,
    /// The groups of the recipe last asked for.
    cached: Option<(String, Groups)>,
    /// The exact curve of those groups, once one was measured against it.
    reference: Option<Reference>,
    /// What the last recipe that was tried took, with its line without the swept parameter.
    last_tried: Option<(String, Scale)>,
    /// The groups that grids are made of, where predictions are made of others.
    grids: Option<(String, Groups)>,
}

impl Session {
    /// A session without a sketch yet.
    pub fn new(model: Model, importance: Option<Importance>) -> Self {
        let sketch = |tensor: &crate::tensor::Tensor| TensorSketch {
            stats: tensor.dtype.is_float().then(|| Stats { count: tensor.len(), ..Stats::default() }),
            ..TensorSketch::default()
        };
        let sketches = model.tensors.iter().map(sketch).collect();
        Self {
            tasks: sketch_tasks(&model),
            model,
            importance,
            sketches,
            hash: 0,
            cached: None,
            reference: None,
            last_tried: None,
            grids: None,
        }
    }

    /// The model.
    pub fn model(&self) -> &Model {
        &self.model
    }

    /// The importance, where there is one.
    pub fn importance(&self) -> Option<&Importance> {
        self.importance.as_ref()
    }

    /// The tasks to be [sketched](super::sketch), in the order they must be absorbed.
    pub fn tasks(&self) -> &[Task] {
        &self.tasks
    }

    /// One weight of this many goes into samples.
    pub fn sample_stride(&self) -> u64 {
        let elements: u64 =
            self.model.tensors.iter().map(crate::tensor::Tensor::len).fold(0, u64::saturating_add);
        elements.div_ceil(SAMPLE_WEIGHTS).max(1)
    }

    /// Takes in the sketch of task number `index`; to be called in task order.
    pub fn absorb(&mut self, index: usize, bytes: &[u8]) -> Result<(), EngineError> {
        let tensor = self.tasks.get(index).ok_or(EngineError::Message)?.tensor;
        let sketch = self.sketches.get_mut(tensor).ok_or(EngineError::Message)?;
        for block in unpack::<Vec<BlockSketch>>(bytes)? {
            sketch.absorb(block);
        }
        Ok(())
    }

    /// Ties every tensor to the first of the same type, shape and content: equal tensors are stored once, whether the file says
    /// that they are tied or holds them twice.
    fn tie_equal(&mut self) {
        let mut first: std::collections::BTreeMap<String, usize> = std::collections::BTreeMap::new();
        for (index, (tensor, sketch)) in self.model.tensors.iter_mut().zip(&mut self.sketches).enumerate() {
            if tensor.same_as.is_some() || tensor.size_bytes() < LEAST_TIED_BYTES {
                continue;
            }
            let mut hasher = xxhash_rust::xxh3::Xxh3::new();
            sketch.hashes.iter().for_each(|hash| hasher.update(&hash.to_le_bytes()));
            let content = hasher.digest128();
            let key = format!("{} {:?} {content:032x}", tensor.dtype.name(), tensor.shape);
            match first.get(&key) {
                Some(origin) => {
                    tensor.same_as = Some(*origin);
                    *sketch = TensorSketch { stats: sketch.stats.clone(), ..TensorSketch::default() };
                }
                None => drop(first.insert(key, index)),
            }
        }
    }

    /// Completes statistics and the content hash once every task is absorbed.
    pub fn finish(&mut self) {
        self.tie_equal();
        let entangled = crate::skeleton::without_place(&self.model);
        for (sketch, is_entangled) in self.sketches.iter_mut().zip(entangled) {
            sketch.is_entangled = is_entangled;
        }
        let mut hasher = xxhash_rust::xxh3::Xxh3::new();
        for (tensor, sketch) in self.model.tensors.iter().zip(&mut self.sketches) {
            if let Some(stats) = &mut sketch.stats {
                let total = sketch.histogram.total();
                let count = total.count.max(1) as f64;
                stats.mean = total.sum / count;
                stats.std = (total.squares / count - stats.mean * stats.mean).max(0.0).sqrt();
            }
            sketch.oddity = sketch.stats.as_ref().and_then(|stats| kept::oddity(stats, &sketch.histogram));
            hasher.update(tensor.name.as_bytes());
            hasher.update(&[0]);
            hasher.update(tensor.dtype.name().as_bytes());
            for word in [tensor.shape.len() as u64].iter().chain(&tensor.shape) {
                hasher.update(&word.to_le_bytes());
            }
            for hash in &sketch.hashes {
                hasher.update(&hash.to_le_bytes());
            }
            if let Some(same) = tensor.same_as {
                hasher.update(&(same as u64).to_le_bytes());
            }
        }
        self.hash = hasher.digest128();
        self.cached = None;
    }

    /// Hash of names, shapes, types and bytes of all tensors, hexadecimal; the same for the same weights in any file format
    /// that keeps their names.
    pub fn hash(&self) -> String {
        format!("{:032x}", self.hash)
    }

    pub(super) fn hash_bits(&self) -> u128 {
        self.hash
    }

    /// The rows of the tensor table, in file order.
    pub fn rows(&self) -> Vec<TensorRow> {
        let elements: u64 =
            self.model.tensors.iter().map(crate::tensor::Tensor::len).fold(0, u64::saturating_add);
        let row = |(index, (tensor, sketch)): (usize, (&crate::tensor::Tensor, &TensorSketch))| {
            let origin = Some(self.model.origin(index)).filter(|origin| *origin != index);
            let origin = origin.and_then(|i| Some((self.model.tensors.get(i)?, self.sketches.get(i)?)));
            let sketch = origin.map_or(sketch, |(_, sketch)| sketch);
            TensorRow {
                name: tensor.name.clone(),
                shape: tensor.shape.clone(),
                dtype: tensor.dtype.name().to_owned(),
                role: tensor.found.role,
                reason: tensor.found.reason.clone().into_owned(),
                elements: tensor.len(),
                share: tensor.len() as f64 / elements.max(1) as f64,
                same_as: origin.map(|(tensor, _)| tensor.name.clone()),
                stats: sketch.stats.clone(),
                kept: sketch.oddity.map(|kept| kept.reason().to_owned()),
                bins: sketch.stats.as_ref().map_or_else(Vec::new, |stats| {
                    let width = (f64::from(stats.max) - f64::from(stats.min)) / ROW_BINS as f64;
                    let bins = evaluate::bins(&sketch.histogram, f64::from(stats.min), width, ROW_BINS);
                    bins.into_iter().map(|count| count as u64).collect()
                }),
            }
        };
        self.model.tensors.iter().zip(&self.sketches).enumerate().map(row).collect()
    }

    /// The recipe with what only the session knows filled in: the importance actually loaded, with its hash, and that the
    /// file's own zeros are kept where it has a share of them; checked.
    pub fn complete(&self, recipe: &Recipe) -> Result<Checked, EngineError> {
        let mut recipe = recipe.clone();
        self.keep_zeros(&mut recipe);
        self.choose_step(&mut recipe)?;
        match (&self.importance, recipe.importance.source) {
            (_, None) => recipe.importance = crate::importance::ImportanceChoice::default(),
            (Some(importance), _) => {
                let choice = importance.choice();
                if let (Some(asked), Some(found)) = (&recipe.importance.hash, &choice.hash)
                    && asked != found
                {
                    return Err(EngineError::Importance(format!(
                        "the recipe was made with another importance file: expected content hash {asked}, found {found}"
                    )));
                }
                let asked = &recipe.importance;
                if asked.compensation != choice.compensation {
                    return Err(EngineError::Importance(
                        "it was read for another compensation than the recipe asks for".to_owned(),
                    ));
                }
                if (asked.alpha, asked.floor) != (choice.alpha, choice.floor) {
                    return Err(EngineError::Importance(format!(
                        "it was read with alpha {} and floor {}, and the recipe asks for {} and {}",
                        choice.alpha, choice.floor, asked.alpha, asked.floor
                    )));
                }
                recipe.importance = choice;
            }
            (None, _) => {
                return Err(EngineError::Importance(
                    "the recipe asks for an importance file, and none is open".to_owned(),
                ));
            }
        }
        Ok(recipe.check()?)
    }

    /// Whether a recipe leaves it to the file how fine its grids are.
    pub fn leaves_step_open(recipe: &Recipe) -> bool {
        recipe.is_grid()
            && recipe.scope == Scope::Tensor
            && recipe.importance.source.is_none()
            && !recipe.settings.contains_key(grid::STEP.id)
    }

    /// Chooses the step of grids where the recipe leaves it open.
    fn choose_step(&self, recipe: &mut Recipe) -> Result<(), EngineError> {
        if let Some((groups, kept_bytes)) = self.open_grids(recipe)? {
            let step = super::steps::open_step(&groups, kept_bytes);
            recipe.settings.insert(grid::STEP.id.to_owned(), Value::Number(step));
        }
        Ok(())
    }

    /// The groups of a recipe that leaves the step open, and the bytes of the floats that it keeps.
    fn open_grids(&self, recipe: &Recipe) -> Result<Option<(Groups, u64)>, EngineError> {
        if !Self::leaves_step_open(recipe)
            || Selection::new(&self.model, &self.sketches, recipe).quantized.is_empty()
        {
            return Ok(None);
        }
        let groups = Groups::new(&self.model, &self.sketches, self.sample_stride(), false, recipe)?;
        let tensors = self.model.tensors.iter().enumerate();
        let kept = tensors.filter(|(i, t)| {
            t.dtype.is_float() && t.same_as.is_none() && groups.selected.binary_search(i).is_err()
        });
        let kept_bytes = kept.map(|(_, tensor)| tensor.size_bytes()).sum();
        Ok(Some((groups, kept_bytes)))
    }

    /// Asks for exact zeros where a share of a quantized tensor's weights is zero already. Grids have a zero of their own.
    fn keep_zeros(&self, recipe: &mut Recipe) {
        let prunes = methods::find(&recipe.method).is_none_or(|method| method.prunes);
        if !prunes || recipe.pruning != Pruning::None {
            return;
        }
        let selection = Selection::new(&self.model, &self.sketches, recipe);
        let stats = selection.quantized.iter().filter_map(|index| self.sketches.get(*index)?.stats.as_ref());
        let mut shares = stats.map(|stats| stats.zeros as f64 / stats.count.max(1) as f64);
        if shares.any(|share| share >= SHARE_OF_ZEROS) {
            recipe.pruning = Pruning::Threshold(0.0);
        }
    }

    /// Solves the recipe's groups, or takes them from the last question with the same selection.
    fn groups(&mut self, recipe: &Recipe) -> Result<&Groups, EngineError> {
        let key = groups::key(recipe);
        if self.cached.as_ref().is_none_or(|(cached, _)| *cached != key) {
            self.reference = None;
            self.cached = Some((key, self.grouped(recipe)?));
        }
        self.cached.as_ref().map(|(_, groups)| groups).ok_or(EngineError::Message)
    }

    fn grouped(&self, recipe: &Recipe) -> Result<Groups, EngineError> {
        let (stride, has_importance) = (self.sample_stride(), self.importance.is_some());
        if has_importance && recipe.importance.source.is_none() {
            return Groups::new(&self.model, &self.without_importance(), stride, false, recipe);
        }
        Groups::new(&self.model, &self.sketches, stride, has_importance, recipe)
    }

    /// Prepares the groups of a plan that are its own.
    fn prepare_grids(&mut self, recipe: &Recipe) -> Result<(), EngineError> {
        if !has_own_grids(recipe) {
            return Ok(());
        }
        let own = Recipe { scope: Scope::Tensor, ..recipe.clone() };
        let key = groups::key(&own);
        if self.grids.as_ref().is_none_or(|(cached, _)| *cached != key) {
            self.grids = Some((key, self.grouped(&own)?));
        }
        Ok(())
    }

    /// What a solved recipe takes when it is tried; nothing where histograms tell it.
    fn tried(
        &self,
        groups: &Groups,
        recipe: &Checked,
        evaluated: &Evaluated<'_>,
    ) -> Result<Option<Scale>, EngineError> {
        if !pilot::is_wanted(recipe) {
            return Ok(None);
        }
        let grids = self.grids.as_ref().filter(|_| has_own_grids(recipe));
        let groups = grids.map_or(groups, |(_, grids)| grids);
        pilot::scale(groups, recipe, evaluated, &self.model, &self.sketches)
    }

    /// The sketches as they would be without an importance file.
    fn without_importance(&self) -> Vec<TensorSketch> {
        let plain = |sketch: &TensorSketch| TensorSketch {
            histogram: sketch.histogram.without_importance(),
            rows: sketch.rows.iter().map(|(w, _)| (*w, 1.0)).collect(),
            sample: Vec::new(),
            stats: sketch.stats.clone(),
            oddity: sketch.oddity,
            is_entangled: sketch.is_entangled,
            hashes: Vec::new(),
        };
        self.sketches.iter().map(plain).collect()
    }

    /// The weights' histogram with the recipe's codebook over it: of one tensor, or of all quantized weights.
    ///
    /// Its operating point is scaled by what a sample takes when it is quantized and coded, which costs as much as that does
    /// whatever the file's size. In haste, as while a slider moves, the last such trial of the method serves for its neighbours.
    pub fn overlay(
        &mut self,
        recipe: &Recipe,
        tensor: Option<usize>,
        hasty: bool,
    ) -> Result<Overlay, EngineError> {
        let recipe = self.complete(recipe)?;
        let (kept_bits, parameters) = self.kept_bits(&recipe)?;
        self.groups(&recipe)?;
        self.prepare_grids(&recipe)?;
        let (_, groups) = self.cached.as_ref().ok_or(EngineError::Message)?;
        let evaluated = Evaluated::new(groups, &recipe)?;
        let mut point = evaluated.point(&recipe, kept_bits, parameters);
        let mut is_hasty = false;
        if pilot::is_wanted(&recipe) {
            let mut like = Recipe::clone(&recipe);
            like.unset(recipe.method.swept);
            let like = like.to_line();
            let known = self.last_tried.as_ref().filter(|(line, _)| hasty && *line == like);
            is_hasty = known.is_some();
            let scale = match known {
                Some((_, scale)) => Some(*scale),
                None => self.tried(groups, &recipe, &evaluated)?,
            };
            if let Some(scale) = scale {
                scale.correct(&mut point, kept_bits, parameters);
                self.last_tried = Some((like, scale));
            }
        }
        let overlay = evaluated.overlay(tensor, &self.sketches, &self.model, point);
        Ok(Overlay { hasty: is_hasty, ..overlay })
    }

    /// Operating points of several methods, `points` each, from fine to coarse over their swept parameter.
    ///
    /// An id that ends in `:plain` is solved as if every weight had importance 1 and measured with the importance there is.
    ///
    /// A method that cannot be combined with the rest of the recipe is left out, and named with the reason.
    pub fn sweep(&mut self, recipe: &Recipe, ids: &[&str], points: usize) -> Result<Sweep, EngineError> {
        let mut sweep = Sweep::default();
        let mut curves: Vec<Option<Curve>> = ids.iter().map(|_| None).collect();
        // Where methods choose levels, the recipe keeps zeros; the others do by themselves, and so have groups of their own.
        for kind in Kind::ALL {
            let here: Vec<(&str, &Method)> = ids
                .iter()
                .filter_map(|id| Some((*id, AskedCurve::parse(id)?.method)))
                .filter(|(_, method)| method.code == kind)
                .collect();
            let Some((_, first)) = here.first() else { continue };
            let base = recipe.with_method(first.id);
            if let Err(error) = base.check()
                && kind != Kind::Levels
            {
                sweep.left_out.extend(here.iter().map(|(_, method)| format!("{}: {error}", method.title)));
                continue;
            }
            let base = self.complete(&base)?;
            let (kept_bits, parameters) = self.kept_bits(&base)?;
            self.groups(&base)?;
            self.prepare_grids(&base)?;
            let mut reference = self.reference.take();
            let (_, groups) = self.cached.as_ref().ok_or(EngineError::Message)?;
            let trial = |recipe: &Checked, evaluated: &Evaluated<'_>| self.tried(groups, recipe, evaluated);
            let part = sweep::sweep(
                groups,
                &base,
                &here.iter().map(|(id, _)| *id).collect::<Vec<_>>(),
                points,
                (kept_bits, parameters),
                &mut reference,
                &trial,
            );
            self.reference = reference;
            let part = part?;
            if sweep.bounds.is_empty() {
                sweep.bounds = part.bounds;
            }
            for curve in part.curves {
                let at = ids.iter().position(|id| *id == curve.method);
                if let Some(slot) = at.and_then(|at| curves.get_mut(at)) {
                    *slot = Some(curve);
                }
            }
        }
        sweep.curves = curves.into_iter().flatten().collect();
        Ok(sweep)
    }

    /// Every quantized tensor's part in bits and distortion, and what a bit more would buy there; the largest part of the
    /// distortion first.
    pub fn sensitivity(&mut self, recipe: &Recipe) -> Result<Vec<TensorSensitivity>, EngineError> {
        let recipe = self.complete(recipe)?;
        self.groups(&recipe)?;
        let (_, groups) = self.cached.as_ref().ok_or(EngineError::Message)?;
        let has_importance = recipe.importance.source.is_some();
        let alone = |index: usize| {
            let sketch = self.sketches.get(index)?;
            Some(if has_importance {
                groups::alone(sketch, groups.importance_factor, true)
            } else {
                (sketch.histogram.without_importance(), None)
            })
        };
        sensitivity::sensitivity(groups, &self.model, &recipe, &alone)
    }

    /// A plan to compress the file by this recipe.
    pub fn plan(&mut self, recipe: &Recipe) -> Result<Plan, EngineError> {
        if self.model.tensors.is_empty() && !self.model.extras.is_empty() {
            let found = format!(
                "a file of {} tensors of an optimizer's state, without weights",
                self.model.extras.len()
            );
            let hint = "open the file that holds the model's own weights, or select a part of it";
            return Err(crate::formats::FormatError::foreign(found, hint).into());
        }
        let recipe = self.complete(recipe)?;
        let selection = Selection::new(&self.model, &self.sketches, &recipe);
        if selection.quantized.is_empty() && self.may_keep_everything(&recipe) {
            let mut notes = selection.notes(&self.model, &recipe);
            if recipe.include.is_empty() && !self.model.tensors.iter().all(|t| recipe.excludes(&t.name)) {
                let roles: Vec<&str> = recipe.roles.iter().map(|role| role.id()).collect();
                notes.push(format!(
                    "no tensor can be quantized whose role is {}: all are kept",
                    roles.join(" or ")
                ));
            }
            return Plan::new(&self.model, &Groups::none(), &recipe, &notes);
        }
        // Methods on grids have a grid for every tensor.
        let scope = if recipe.is_grid() { Scope::Tensor } else { recipe.scope };
        self.groups(&Recipe { scope, ..Recipe::clone(&recipe) })?;
        let (_, groups) = self.cached.as_ref().ok_or(EngineError::Message)?;
        Plan::new(&self.model, groups, &recipe, &selection.notes(&self.model, &recipe))
    }

    /// Whether a file in which every tensor is kept can be what the recipe asks for. Patterns that match nothing by mistake do
    /// not ask for it.
    fn may_keep_everything(&self, recipe: &Recipe) -> bool {
        recipe.include.is_empty() || self.model.tensors.iter().all(|tensor| recipe.excludes(&tensor.name))
    }

    /// Bits of the tensors that a recipe keeps and of what is no tensor, with an estimate of the names, and the model's float
    /// parameters.
    fn kept_bits(&mut self, recipe: &Recipe) -> Result<(u64, u64), EngineError> {
        let parameters = self.model.float32_bytes() / 4;
        let selected = self.groups(recipe)?.selected.clone();
        let kept = self.model.tensors.iter().enumerate();
        let kept = kept.filter(|(i, t)| selected.binary_search(i).is_err() && t.same_as.is_none());
        let bytes: u64 = kept.map(|(_, tensor)| tensor.stored_bytes()).sum();
        let bytes = if recipe.carry == Carry::File { bytes + self.model.bytes_beside() } else { bytes };
        let names: u64 = self.model.tensors.iter().map(|t| t.name.len() as u64 + 24).sum();
        Ok(((bytes + names + 200) * 8, parameters))
    }

    /// Levels and a predicted operating point for the recipe; what an overlay shows without its bins.
    pub fn point(&mut self, recipe: &Recipe) -> Result<super::report::Point, EngineError> {
        Ok(self.overlay(recipe, None, false)?.point)
    }
}
