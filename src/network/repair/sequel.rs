//! Layers quantized one after the other, each for what enters it from those that are quantized already.
//!
//! A layer's inputs x̂ are no longer the float network's x once the layers before it are quantized. What its weights w are then
//! to be, so that w̃ x̂ is as near to w x as a linear layer can bring it, and what their errors cost is
//!
//! ```text
//! w̃ = w (C + δI) (Σ + δI)⁻¹        C = E[x x̂ᵀ]        Σ = E[x̂ x̂ᵀ], in place of H = E[x xᵀ]
//! ```
//!
//! (asymmetric calibration; the same as least squares of the float outputs on x̂ with a ridge around w). Both are written beside
//! the moments of the file that the recipe was given, so that the file that results is enough to carry the recipe out again.
//! Steps and prices stay those of H, which are known before the first layer is quantized.

use crate::compensation::Factor;
use crate::engine::{EngineError, Plan};
use crate::formats::{self, Contents, Limits, TensorHeader, TensorReader, Writer, matching_name};
use crate::importance::values::Columns;
use crate::importance::{ENTERING, TARGETS};
use crate::model::{FileFormat, Model};
use crate::network::calibrate::{Entering, Site, entering, sites};
use crate::network::evaluate::Evaluator;
use crate::network::model::ModelBytes;
use crate::network::walk::Walk;
use crate::network::{Graph, Network, NetworkError};
use crate::recipe::Recipe;
use crate::tensor::{Dtype, Storage, Tensor};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// Weights on their way.
pub(super) struct Sequel<'a> {
    plan: Plan,
    layers: Vec<Layer>,
    /// Where each layer's values are used.
    nodes: Vec<(usize, usize)>,
    graph: &'a Graph,
    damping: f64,
}

/// One weight that sees one value.
struct Layer {
    site: Site,
    /// Its place in the model.
    index: usize,
    tensor: Tensor,
    values: Vec<f32>,
    /// Its columns, and groups.
    columns: Columns,
    groups: u64,
    /// Where its two tensors are in the file.
    entering: Range<usize>,
    targets: Range<usize>,
}

impl<'a> Sequel<'a> {
    /// Prepares all layers that the recipe quantizes and whose errors it compensates; from then on the evaluator's importance
    /// file has room for their sequel.
    pub fn new(evaluator: &mut Evaluator, recipe: &Recipe, graph: &'a Graph) -> Result<Self, NetworkError> {
        let Some(compensation) = recipe.importance.compensation else {
            let message = "layers one after the other: expected a recipe with compensate=obs, found none";
            return Err(EngineError::Importance(message.to_owned()).into());
        };
        let mut layers = layers(evaluator, recipe, graph)?;
        let file = file_of(evaluator, &mut layers)?;
        evaluator.set_importance(Some(file));
        let plan = evaluator.plan(recipe)?;
        let nodes = layers.iter().map(|layer| layer.site.node).collect();
        let damping = compensation.damping;
        Ok(Self { plan, layers, nodes, graph, damping })
    }

    /// For every layer the node that multiplies its weights, and which of its inputs they are.
    pub fn nodes(&self) -> &[(usize, usize)] {
        &self.nodes
    }

    /// The values that enter layers.
    pub fn values(&self) -> impl Iterator<Item = String> {
        self.layers.iter().map(|layer| layer.site.value.clone())
    }

    /// Quantizes a layer for what enters it in the network `files`, walked through beside the float one; its weights, by the
    /// network's name for them.
    pub fn quantized(
        &self,
        evaluator: &mut Evaluator,
        layer: usize,
        float: (&Network, &mut Walk<'_>),
        (files, walk): (&ModelBytes, &mut Walk<'_>),
    ) -> Result<BTreeMap<String, Vec<f32>>, NetworkError> {
        let Some(layer) = self.layers.get(layer) else { return Ok(BTreeMap::new()) };
        let value = &layer.site.value;
        // What the network is given is the same in both.
        let is_given = self.graph.inputs.iter().any(|input| input.name == *value);
        let wanted = if is_given { BTreeSet::new() } else { BTreeSet::from([value.clone()]) };
        let network = walk.network(files, &wanted)?;
        // A layer's own states change with its weights.
        let node = self.graph.nodes.get(layer.site.node.0);
        let is_final = node.is_none_or(|node| !node.outputs.contains(value));
        let found = entering((&layer.site, is_final), float, (&network, walk))?;
        let opened = evaluator.opened(self.plan.recipe())?;
        if let Some(found) = found.filter(|found| layer.fits(found)) {
            let targets = layer.targets(&found, self.damping).map_err(|error| {
                let part = format!("the moments of {}", layer.tensor.name);
                NetworkError::graph(part, "finite numbers", error.to_string())
            })?;
            opened.change_sequel(layer.index, |file| {
                put(file, &layer.entering, found.own.iter().map(|x| *x as f32));
                put(file, &layer.targets, targets.iter().copied());
            });
        }
        let values = opened.values(&self.plan, layer.index)?;
        Ok(layer.site.weights.iter().map(|name| (name.clone(), values.clone())).collect())
    }

    /// The importance file as it is now, which the evaluator has from then on.
    pub fn finish(self, evaluator: &mut Evaluator) -> Result<Vec<u8>, NetworkError> {
        let file = evaluator.opened(self.plan.recipe())?.importance_file().cloned();
        let file = file.ok_or(EngineError::Message)?;
        evaluator.set_importance(Some(file.clone()));
        Ok(file.bytes)
    }
}

fn put(file: &mut ModelBytes, range: &Range<usize>, values: impl Iterator<Item = f32>) {
    let slots = file.bytes.get_mut(range.clone()).unwrap_or_default();
    for (slot, value) in slots.chunks_exact_mut(4).zip(values) {
        slot.copy_from_slice(&value.to_le_bytes());
    }
}

/// The weights that are quantized, are compensated and see one value alone, in the order that they are used in.
fn layers(evaluator: &mut Evaluator, recipe: &Recipe, graph: &Graph) -> Result<Vec<Layer>, NetworkError> {
    let all = sites(graph);
    // A weight whose values are another's, too, would change that one's layer.
    let uses = |weight: &String| all.iter().filter(|site| site.weights.contains(weight)).count();
    let plan = evaluator.plan(recipe)?;
    let weights = evaluator.weights().clone();
    let opened = evaluator.opened(recipe)?;
    let model = opened.session.model();
    let mut layers = Vec::new();
    for site in &all {
        for weight in site.weights.iter().filter(|weight| uses(weight) == 1) {
            let same = |tensor: &Tensor| matching_name(&tensor.name) == matching_name(weight);
            let is_tied = |at: usize| model.tensors.iter().any(|tensor| tensor.same_as == Some(at));
            let is_own = |at: &usize| plan.quantizes(*at) && !is_tied(*at);
            let Some(index) = model.tensors.iter().position(same).filter(is_own) else {
                continue;
            };
            let partner = opened.session.importance().and_then(|importance| importance.partner(index));
            let (Some(tensor), Some(partner)) = (model.tensors.get(index), partner) else { continue };
            let (Some(columns), groups) = (partner.values.columns(), partner.groups()) else { continue };
            if !partner.has_units() {
                continue;
            }
            let mut values = Vec::new();
            TensorReader::new(&weights, tensor, &Limits::default())?
                .read_f32(0..tensor.len(), &mut values)?;
            let (site, tensor) = (Site { weights: vec![weight.clone()], ..site.clone() }, tensor.clone());
            layers.push(Layer {
                site,
                index,
                tensor,
                values,
                columns,
                groups,
                entering: 0..0,
                targets: 0..0,
            });
        }
    }
    if layers.is_empty() {
        return Err(NetworkError::graph(
            "its layers",
            "one with second moments that the recipe quantizes",
            "none",
        ));
    }
    Ok(layers)
}

/// The evaluator's importance file with room for every layer's sequel, for now the moments that are there and the weights; and
/// where that is.
fn file_of(evaluator: &Evaluator, layers: &mut [Layer]) -> Result<ModelBytes, NetworkError> {
    // Whoever has solved the recipe had it.
    let before = evaluator.importance().ok_or(EngineError::Message)?;
    let model = formats::open(before, &Limits::default())?;
    let is_sequel = |tensor: &Tensor| tensor.name.ends_with(ENTERING) || tensor.name.ends_with(TARGETS);
    let mut contents: Vec<(TensorHeader, Vec<f32>)> = Vec::new();
    let read = |tensor: &Tensor| -> Result<Vec<f32>, NetworkError> {
        let mut values = Vec::new();
        TensorReader::new(before, tensor, &Limits::default())?.read_f32(0..tensor.len(), &mut values)?;
        Ok(values)
    };
    for tensor in model.tensors.iter().filter(|tensor| !is_sequel(tensor)) {
        let header =
            |name: String, shape: &[u64]| TensorHeader { name, dtype: Dtype::F32, shape: shape.to_vec() };
        contents.push((header(tensor.name.clone(), &tensor.shape), read(tensor)?));
        let same = |layer: &&Layer| matching_name(&layer.tensor.name) == matching_name(&tensor.name);
        if let Some(layer) = layers.iter().find(same) {
            contents.push((header(format!("{}{ENTERING}", tensor.name), &tensor.shape), read(tensor)?));
            let targets = header(format!("{}{TARGETS}", tensor.name), &layer.tensor.shape);
            contents.push((targets, layer.values.clone()));
        }
    }
    let (headers, values): (Vec<TensorHeader>, Vec<Vec<f32>>) = contents.into_iter().unzip();
    let contents = Contents { metadata: &model.metadata, ..Contents::of(&headers) };
    let mut writer = Writer::new(FileFormat::Safetensors, Vec::new(), &contents)?;
    for values in &values {
        writer.write(&values.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>())?;
    }
    let file = ModelBytes::new(writer.finish()?, Vec::new());
    let written = formats::open(&file, &Limits::default())?;
    for layer in layers {
        (layer.entering, layer.targets) = (span(&written, layer, ENTERING), span(&written, layer, TARGETS));
    }
    Ok(file)
}

/// Where the tensor of a layer's name and this ending lies.
fn span(file: &Model, layer: &Layer, ending: &str) -> Range<usize> {
    let is_it = |tensor: &&Tensor| {
        let name = tensor.name.strip_suffix(ending);
        name.is_some_and(|name| matching_name(name) == matching_name(&layer.tensor.name))
    };
    match file.tensors.iter().find(is_it).map(|tensor| (tensor, &tensor.storage)) {
        Some((tensor, Storage::Stored(span))) => {
            let start = (span.offset + tensor.offset) as usize;
            start..start + (tensor.len() * tensor.dtype.size_bytes()) as usize
        }
        _ => 0..0,
    }
}

impl Layer {
    /// Whether moments are those of its columns.
    fn fits(&self, found: &Entering) -> bool {
        (found.inputs as u64, found.groups as u64) == (self.columns.count, self.groups)
    }

    /// w (C + δI) (Σ + δI)⁻¹ for every unit; what is exactly zero stays so.
    fn targets(
        &self,
        found: &Entering,
        damping: f64,
    ) -> Result<Vec<f32>, crate::compensation::CompensationError> {
        let (n, run) = (found.inputs, self.columns.run as usize);
        let per_group = self.values.len() / found.groups.max(1);
        let mut targets = self.values.clone();
        for (group, (own, cross)) in
            found.own.chunks_exact(n * n).zip(found.cross.chunks_exact(n * n)).enumerate()
        {
            let moments: Vec<f32> = own.iter().map(|x| *x as f32).collect();
            let factor = Factor::new(&moments, n, damping)?;
            for unit in 0..per_group / n.max(1) {
                let first = group * per_group + unit / run * (run * n) + unit % run;
                let weights: Vec<f64> =
                    self.values.iter().skip(first).step_by(run).take(n).map(|w| f64::from(*w)).collect();
                // What is missing of the outputs' products with x̂: w (C − Σ).
                let mut off = vec![0.0; n];
                for (w, (cross, own)) in weights.iter().zip(cross.chunks_exact(n).zip(own.chunks_exact(n))) {
                    for (off, (cross, own)) in off.iter_mut().zip(cross.iter().zip(own)) {
                        *off += w * (cross - own);
                    }
                }
                factor.solve(&mut off);
                for (target, off) in targets.iter_mut().skip(first).step_by(run).zip(&off) {
                    if *target != 0.0 {
                        *target = (f64::from(*target) + off) as f32;
                    }
                }
            }
        }
        Ok(targets)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::calibrate::Vectors;
    use crate::network::testing::numbers;
    use crate::tensor::Span;

    /// E[x yᵀ] of vectors that follow one another.
    fn moments(n: usize, x: &[f32], y: &[f32]) -> Vec<f64> {
        let mut sums = vec![0.0; n * n];
        let count = (x.len() / n) as f64;
        for (x, y) in x.chunks(n).zip(y.chunks(n)) {
            for (i, x) in x.iter().enumerate() {
                for (j, y) in y.iter().enumerate() {
                    sums[i * n + j] += f64::from(*x) * f64::from(*y) / count;
                }
            }
        }
        sums
    }

    #[test]
    fn targets_are_the_least_squares_of_the_float_outputs_with_a_ridge_around_the_weights() {
        let (n, groups, units) = (5, 2, 3);
        for run in [1, 3] {
            let x = numbers(n * 40, 1);
            let noise = numbers(n * 40, 2);
            let off: Vec<f32> = x.iter().zip(&noise).map(|(x, e)| 0.9 * x + 0.2 * e).collect();
            let (own, cross) = (moments(n, &off, &off), moments(n, &x, &off));
            let twice = |m: &[f64]| [m, m].concat();
            let found = Entering { inputs: n, groups, own: twice(&own), cross: twice(&cross) };
            let mut values = numbers(groups * units * n, 3);
            values[4] = 0.0;
            let shape = vec![values.len() as u64];
            let storage = Storage::Stored(Span { offset: 0, len: 0 });
            let layer = Layer {
                site: Site {
                    node: (0, 0),
                    value: "x".to_owned(),
                    vectors: Vectors::Along(0),
                    weights: Vec::new(),
                },
                index: 0,
                tensor: Tensor::plain("w".to_owned(), shape, Dtype::F32, storage),
                values: values.clone(),
                columns: Columns { count: n as u64, run: run as u64 },
                groups: groups as u64,
                entering: 0..0,
                targets: 0..0,
            };
            assert!(layer.fits(&found));
            let targets = layer.targets(&found, 0.1).unwrap();
            let ridge = 0.1 * (0..n).map(|i| own[i * n + i]).sum::<f64>() / n as f64;
            for unit in 0..groups * units {
                let first = unit / run * (run * n) + unit % run;
                let of = |all: &[f32]| -> Vec<f64> {
                    all.iter().skip(first).step_by(run).take(n).map(|w| f64::from(*w)).collect()
                };
                let (w, t) = (of(&values), of(&targets));
                if w.contains(&0.0) {
                    assert_eq!(w.iter().position(|w| *w == 0.0), t.iter().position(|t| *t == 0.0));
                    continue;
                }
                for j in 0..n {
                    // The slope of E|w x − t x̂|² + δ|t − w|² at its least.
                    let fit: f64 = (0..n).map(|i| t[i] * own[i * n + j] - w[i] * cross[i * n + j]).sum();
                    assert!((fit + ridge * (t[j] - w[j])).abs() < 1e-5, "{run} {unit} {j}: {fit}");
                }
                assert!(w.iter().zip(&t).any(|(w, t)| (w - t).abs() > 1e-3));
            }
        }
    }
}
