//! Repairs in closed form, from unlabelled samples: statistics of batch normalisations and biases that belong to what the
//! quantized network computes.
//!
//! Quantized weights move the means and variances of what a layer gives. Over the same samples, with m and v of the values
//! that enter a batch normalisation in the float network (f) and in the quantized one (q), channel by channel:
//!
//! ```text
//! μ ← μ + (m_q − m_f)        σ² ← σ² · v_q / v_f, the ratio held within 0.2 and 5
//! b ← b + (m_f − m_q)        of what a layer gives with its bias, where no normalisation follows
//! ```
//!
//! Where a normalisation's scale γ and offset β are kept as well, all four become γ / √(σ² + ε) and β − γ μ / √(σ² + ε), with a
//! mean of 0 and a variance of 1: the same map in half as many numbers.
//!
//! Repaired values are rounded to bfloat16: what they are measured from is not sure of more, and the file keeps half the
//! bytes. By difference and ratio, never estimated anew: what the network's training knew of μ and σ² stays. Data-free
//! quantization's bias correction is the same for biases (M. Nagel et al., "Data-free quantization through weight
//! equalization and bias correction", ICCV 2019, section 4.2). A repaired layer changes what enters those behind it, so one
//! is measured after the other, in the order that they are run in: all at once, each would repair what those before it have
//! repaired by then.
//!
//! With a sequel (`sequel`) the weights themselves are among what is repaired: each layer is quantized again for what enters
//! it from those before.
//!
//! Cost: for every repaired layer a run of the network up to it; with a sequel two more, and the second moments.

mod places;
mod sequel;

use super::data::DataSet;
use super::evaluate::{Evaluator, GoOn, Quantized, Setup};
use super::importance::flattened;
use super::walk::{Walk, batch_for};
use super::{Graph, Network, NetworkError};
use crate::container::Content;
use crate::engine::{Replaced, open_container};
use crate::formats::matching_name;
use crate::importance::ImportanceChoice;
use crate::recipe::Recipe;
use places::{Place, places, statistics};
use sequel::Sequel;
use std::collections::{BTreeMap, BTreeSet};

/// What repairing gave.
#[derive(Debug, Clone)]
pub struct Repair {
    /// The network as the recipe alone makes it.
    pub before: Quantized,
    /// The same with its repairs, compressed and decoded.
    pub after: Quantized,
    /// Names of the tensors that were repaired.
    pub tensors: Vec<String>,
    /// The importance file of layers that were quantized one after the other, which the recipe of `after` names.
    pub importance: Option<Vec<u8>>,
}

/// What is done, in the order that the network is run in.
enum Event {
    /// A layer is quantized again: its number among the sequel's.
    Layer(usize),
    /// A place is repaired: its number.
    Place(usize),
}

/// Carries out a recipe and repairs what it leaves, on the first `samples` samples of `data`; with `sequential` layers are
/// quantized one after the other. `progress` hears of steps done and of all.
///
/// # Errors
///
/// A network that cannot be run on the data; one that has nothing to repair; layers one after the other without compensation.
pub fn repair(
    evaluator: &mut Evaluator,
    (recipe, sequential): (&Recipe, bool),
    (setup, data, samples): (&Setup, &DataSet, usize),
    progress: &dyn Fn(usize, usize),
    go_on: GoOn,
) -> Result<Repair, NetworkError> {
    let samples = samples.min(data.samples);
    let before = evaluator.quantize(recipe)?;
    let float = evaluator.float()?;
    let kept = kept_names(&before.file)?;
    let graph = flattened(&float, setup, data)?;
    let places: Vec<Place> = places(&graph)
        .into_iter()
        .filter_map(|place| place.kept(&|name| kept.contains(matching_name(name))))
        .collect();
    // The importance file changes with its layers, and the hash by which a recipe names it.
    let open = ImportanceChoice { hash: None, ..recipe.importance.clone() };
    let recipe = &Recipe { importance: open, ..recipe.clone() };
    let sequel = if sequential { Some(Sequel::new(evaluator, recipe, &graph)?) } else { None };
    if places.is_empty() && sequel.is_none() {
        let expected = "batch normalisation or biases that are kept as they are, to be repaired";
        return Err(NetworkError::graph("its layers", expected, "none"));
    }
    let original = values_of(&graph, &places);
    let on = (setup, data, samples);
    let given: BTreeSet<&str> = graph.inputs.iter().map(|input| input.name.as_str()).collect();
    let looked_at =
        places.iter().map(|place| place.value.clone()).chain(sequel.iter().flat_map(Sequel::values));
    let looked_at: BTreeSet<String> = looked_at.filter(|value| !given.contains(value.as_str())).collect();
    let float = Network::with_values(&graph, &float, &looked_at)?;
    let batch = batch_for(&float, on, &looked_at)?;
    let mut walks = [Walk::new(&graph, on, batch, go_on), Walk::new(&graph, on, batch, go_on)];
    let [float_walk, walk] = &mut walks;
    let (mut values, mut files) = (original.clone(), before.files.clone());
    let events = events(&places, sequel.as_ref());
    for (at, event) in events.iter().enumerate() {
        progress(at, events.len());
        match (event, &sequel) {
            (Event::Layer(layer), Some(sequel)) => {
                let weights = sequel.quantized(evaluator, *layer, (&float, float_walk), (&files, walk))?;
                files = evaluator.with_values(&files, &weights)?;
            }
            (Event::Place(place), _) => {
                let Some(place) = places.get(*place) else { continue };
                let network = walk.network(&files, &BTreeSet::from([place.value.clone()]))?;
                let wanted = statistics(place, &float, float_walk)?;
                let found = statistics(place, &network, walk)?;
                place.repair(&wanted, &found, &original, &mut values);
                files = evaluator.with_values(&files, &values)?;
            }
            (Event::Layer(_), None) => {}
        }
    }
    let importance = sequel.map(|sequel| sequel.finish(evaluator)).transpose()?;
    let (repaired, tensors) = evaluator.opened(recipe)?.repaired(&values)?;
    let after = evaluator.quantize_with(recipe, &Replaced { repaired, ..Replaced::default() })?;
    Ok(Repair { before, after, tensors, importance })
}

/// What the tensors of all places hold.
fn values_of(graph: &Graph, places: &[Place]) -> BTreeMap<String, Vec<f32>> {
    let values = |name: &str| {
        Some((name.to_owned(), graph.constant(name)?.as_floats()?.iter().copied().collect::<Vec<f32>>()))
    };
    places.iter().flat_map(Place::tensors).filter_map(values).collect()
}

/// A layer comes before what its outputs' statistics repair.
fn events(places: &[Place], sequel: Option<&Sequel<'_>>) -> Vec<Event> {
    let layers = sequel.map_or(&[][..], Sequel::nodes).iter().enumerate();
    let layers = layers.map(|(layer, (node, input))| ((*node, 0, *input), Event::Layer(layer)));
    let places = places.iter().enumerate().map(|(at, place)| ((place.node, 1, 0), Event::Place(at)));
    let mut events: Vec<_> = layers.chain(places).collect();
    events.sort_by_key(|(order, _)| *order);
    events.into_iter().map(|(_, event)| event).collect()
}

/// Names of the tensors that a compressed file keeps as they were, but for those that others are tied to: these would change
/// with them.
fn kept_names(file: &[u8]) -> Result<BTreeSet<String>, NetworkError> {
    let reader = open_container(&file)?;
    let entries = &reader.manifest().tensors;
    let is_tied =
        |at: usize| entries.iter().any(|entry| matches!(entry.content, Content::SameAs(of) if of == at));
    let kept = entries
        .iter()
        .enumerate()
        .filter(|(at, entry)| matches!(entry.content, Content::Kept) && !is_tied(*at));
    Ok(kept.map(|(_, entry)| matching_name(&entry.name).to_owned()).collect())
}

#[cfg(test)]
mod tests;
