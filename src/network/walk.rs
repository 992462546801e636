//! A network walked through value by value, from what is known already.
//!
//! Where a network changes layer after layer, the values before the change stay. A walk keeps those that it is told will not
//! change, the latest of them as far as `MOST_KEPT` goes, and computes the next from there.

use super::data::DataSet;
use super::evaluate::{GoOn, Setup};
use super::importance::flattened;
use super::model::ModelBytes;
use super::{Array, Graph, Network, NetworkError};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::rc::Rc;

/// Elements of kept values: 256 MiB.
const MOST_KEPT: usize = 64 << 20;

/// Samples to walk over: the first so many of a data set.
pub(super) type On<'a> = (&'a Setup, &'a DataSet, usize);

/// A walk through a network whose weights may change ahead of it.
pub(super) struct Walk<'a> {
    graph: &'a Graph,
    on: On<'a>,
    batch: usize,
    go_on: GoOn<'a>,
    /// Kept values, the oldest first: by batch.
    kept: Vec<(String, Vec<Rc<Array>>)>,
}

impl<'a> Walk<'a> {
    /// A walk through a network of this graph, so many samples at once.
    pub fn new(graph: &'a Graph, on: On<'a>, batch: usize, go_on: GoOn<'a>) -> Self {
        Self { graph, on, batch: batch.max(1), go_on, kept: Vec::new() }
    }

    /// The network of these files, for values in between.
    pub fn network(&self, files: &ModelBytes, values: &BTreeSet<String>) -> Result<Network, NetworkError> {
        // The weights are the graph's.
        Network::with_values(&flattened(files, self.on.0, self.on.1)?, files, values)
    }

    /// Samples.
    pub fn samples(&self) -> usize {
        self.on.2
    }

    /// The samples of every batch.
    pub fn batches(&self) -> impl Iterator<Item = Range<usize>> + use<> {
        let (samples, batch) = (self.samples(), self.batch);
        (0..samples).step_by(batch).map(move |start| start..(start + batch).min(samples))
    }

    /// A value on the samples of a batch, in `network`, which is one for the value; to be asked for batch after batch. It is kept
    /// where it will not change.
    pub fn value(
        &mut self,
        network: &Network,
        (name, is_final): (&str, bool),
        range: Range<usize>,
    ) -> Result<Rc<Array>, NetworkError> {
        if !(self.go_on)() {
            return Err(NetworkError::Cancelled);
        }
        let at = range.start / self.batch;
        if let Some(array) = self.known(name, at) {
            return Ok(array);
        }
        let (setup, data, samples) = self.on;
        let mut inputs = setup.inputs(data, range.clone())?;
        if let Some(input) = inputs.remove(name) {
            return Ok(Rc::new(input));
        }
        let before = self.before(name, at);
        let array = network.run_from(&inputs, &before, name)?;
        let array = Rc::new(array);
        let elements = array.shape().iter().product::<usize>().div_ceil(range.len().max(1)) * samples;
        if is_final && elements <= MOST_KEPT {
            self.keep(name, at, &array);
        }
        Ok(array)
    }

    fn known(&self, name: &str, at: usize) -> Option<Rc<Array>> {
        self.kept.iter().find(|(kept, _)| kept == name)?.1.get(at).cloned()
    }

    /// The kept values that a value is computed from.
    fn before(&self, name: &str, at: usize) -> Vec<(String, Rc<Array>)> {
        let (mut found, mut seen, mut open) = (Vec::new(), BTreeSet::new(), vec![name.to_owned()]);
        while let Some(name) = open.pop() {
            if !seen.insert(name.clone()) {
                continue;
            }
            if let Some(array) = self.known(&name, at) {
                found.push((name, array));
                continue;
            }
            let maker = self.graph.nodes.iter().find(|node| node.outputs.contains(&name));
            let inputs = maker.into_iter().flat_map(|node| &node.inputs);
            open.extend(inputs.filter(|name| !self.graph.constants.contains(*name)).cloned());
        }
        found
    }

    fn keep(&mut self, name: &str, at: usize, array: &Rc<Array>) {
        if at == 0 {
            self.kept.push((name.to_owned(), Vec::new()));
        }
        let Some((last, arrays)) = self.kept.last_mut() else { return };
        if last != name || arrays.len() != at {
            return;
        }
        arrays.push(Rc::clone(array));
        let elements = |(_, arrays): &(String, Vec<Rc<Array>>)| -> usize {
            arrays.iter().map(|array| array.shape().iter().product::<usize>()).sum()
        };
        let mut all: usize = self.kept.iter().map(elements).sum();
        while all > MOST_KEPT && self.kept.len() > 1 {
            all -= elements(&self.kept.remove(0));
        }
    }
}

/// Samples at once, of values by their shapes for one sample.
pub(super) fn batch_for(
    network: &Network,
    (setup, data, _): On<'_>,
    values: &BTreeSet<String>,
) -> Result<usize, NetworkError> {
    let names: Vec<String> = values.iter().cloned().collect();
    let found: BTreeMap<String, Array> = setup.inputs(data, 0..1)?;
    let one = if names.is_empty() { Vec::new() } else { network.run(&found, &names)? };
    Ok(one.iter().map(|array| setup.batch_of([array])).min().unwrap_or(setup.batch))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::data::{Preprocess, Series, Values};
    use crate::network::testing::{Builder, numbers};

    #[test]
    fn values_are_those_of_a_run_from_the_start() {
        let files = Builder::default()
            .input("x", &[-1, 3, 6, 6])
            .floats("w1", &[3, 3, 1, 1], &numbers(9, 1))
            .floats("w2", &[3, 3, 1, 1], &numbers(9, 2))
            .floats("w3", &[3, 3, 1, 1], &numbers(9, 3))
            .node("Conv", &["x", "w1"], &["a"], vec![])
            .node("Relu", &["a"], &["b"], vec![])
            .node("Conv", &["b", "w2"], &["c"], vec![])
            .node("Add", &["c", "b"], &["d"], vec![])
            .node("Relu", &["d"], &["e"], vec![])
            .node("Conv", &["e", "w3"], &["y"], vec![])
            .output("y")
            .files();
        let values = Values::F32(numbers(10 * 108, 9));
        let series = Series { name: "x".to_owned(), shape: vec![10, 3, 6, 6], values };
        let data = DataSet { kind: "test".to_owned(), series: vec![series], labels: None, samples: 10 };
        let graph = Graph::parse(files.model()).unwrap();
        let setup = Setup::new(&graph, &data, Preprocess::raw()).unwrap();
        let names: BTreeSet<String> = ["a", "b", "c", "d", "e", "y"].map(str::to_owned).into();
        let network = Network::with_values(&graph, &files, &names).unwrap();
        let mut walk = Walk::new(&graph, (&setup, &data, 10), 4, &|| true);
        for name in ["x", "a", "b", "c", "e", "y", "b"] {
            for range in walk.batches() {
                let found = walk.value(&network, (name, true), range.clone()).unwrap();
                let inputs = setup.inputs(&data, range).unwrap();
                let expected = match inputs.get(name) {
                    Some(input) => input.clone(),
                    None => network.run(&inputs, &[name.to_owned()]).unwrap().remove(0),
                };
                assert_eq!(*found, expected, "{name}");
            }
        }
        assert_eq!(walk.kept.len(), 5);
    }
}
