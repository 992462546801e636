//! Does it still run? The network with decoded weights against the float network, on the same inputs.
//!
//! Both are run on data or on [inputs made up](super::inputs), and every float output is compared: whether its numbers are
//! finite, its signal-to-noise ratio, whether the largest score is the same, and the divergence of the distributions.
//! Runtimes disagree about not-a-number (rten's Relu answers 0 where ONNX Runtime passes it on), so every value inside the
//! network is looked at as well, and the first node that makes a number which is none from numbers that are is named.
//!
//! Cost: two runs for each set of inputs, and one run of each network that keeps every value.

use super::inputs::{self, Inputs};
use super::measure::{Outputs, Share, first_class, measure};
use super::model::ModelBytes;
use super::{Array, Graph, Network, NetworkError};
use crate::rate_distortion::sqnr_db;
use ndarray::{ArrayD, ArrayViewD};
use std::collections::BTreeSet;

/// Sets of made-up inputs at most.
const MOST_SETS: u64 = 8;
/// Bytes of weights, and numbers of inputs, that all sets together may come to, so that a check takes seconds: what is run
/// follows from the network, never from a clock.
const MOST_WEIGHTS: u64 = 1 << 26;
const MOST_NUMBERS: u64 = 1 << 20;
/// Tensors are compared on one set of waves and one of noise at least,
const LEAST_SETS: usize = 2;
/// and on so many numbers: of fewer, what is measured is chance.
const ENOUGH_NUMBERS: usize = 80;
/// Outputs keep at least this much, in dB, where a network still works.
pub const GOOD_DB: f64 = 20.0;
/// Or at least this share of the largest scores stays the largest.
pub const GOOD_AGREEMENT: f64 = 0.99;
/// With room to spare, outputs are to keep this much, in dB: networks may answer real inputs with less.
const AMPLE_DB: f64 = 40.0;
/// With most answers the same, their distributions are to stay this near, in nats: of answers that are sure, all stay the
/// same long before less sure ones do.
const AMPLE_NATS: f64 = 0.01;
/// Below this, in dB, with answers that change, a network is not what it was.
const ALARMING_DB: f64 = 10.0;
/// Outputs that are shares from 0 to 1 are the same for every use when they are this close,
const CLOSE: f64 = 0.02;
/// and are others when they moved further.
const FAR: f64 = 0.1;
/// Below this, in dB, a value is lost.
const LOST_DB: f64 = 3.0;

/// What running the decoded network came to.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize)]
pub struct Check {
    /// Whether the inputs were made up.
    pub made_up: bool,
    /// Sets of inputs that were run.
    pub sets: u64,
    /// Whether every number of every output is finite wherever the float network's is, inside the network too.
    pub finite: bool,
    /// The least signal-to-noise ratio of an output, in dB.
    pub output_sqnr_db: f64,
    /// Answers with the same largest score, or, of a single share from 0 to 1, on the same side of ½; where the float
    /// network's are not all the same, of which nothing follows.
    pub agreement: Option<Share>,
    /// Mean divergence of the answers' distributions, in nats.
    pub divergence: Option<f64>,
    /// The first node where it went wrong, if it did.
    pub first_bad: Option<BadNode>,
    /// Every output that is floats.
    pub outputs: Vec<CheckedOutput>,
}

/// An output beside the float network's.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct CheckedOutput {
    /// Its name.
    pub name: String,
    /// Its signal-to-noise ratio in dB.
    pub sqnr_db: f64,
    /// Where all the float network's numbers are shares from 0 to 1, how far one moved at most.
    pub moved: Option<f64>,
}

impl CheckedOutput {
    /// Whether it is shares none of which moved further, however small they are: of shares near 0 a ratio says nothing.
    fn moved_within(&self, furthest: f64) -> bool {
        self.moved.is_some_and(|moved| moved <= furthest)
    }
}

/// A node whose result is not what the float network has there.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct BadNode {
    /// Its name, or its first output's.
    pub node: String,
    /// Its operator.
    pub operator: String,
    /// What is wrong with what it gives.
    pub problem: String,
}

impl std::fmt::Display for BadNode {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "node {} ({}) {}", crate::formats::shown(&self.node), self.operator, self.problem)
    }
}

impl Check {
    /// Whether the network still does what it did, as far as this tells.
    pub fn is_good(&self) -> bool {
        self.finite && (self.least_ratio(CLOSE) >= GOOD_DB || self.agrees())
    }

    /// Whether finer steps are not worth trying.
    pub fn is_ample(&self) -> bool {
        let agrees = self.agreement.is_none() || self.agrees();
        let is_near = agrees && self.divergence.is_some_and(|nats| nats <= AMPLE_NATS);
        self.finite && (self.output_sqnr_db >= AMPLE_DB || (is_near && self.output_sqnr_db >= GOOD_DB))
    }

    /// Whether a person must be told: the network is broken, or answers otherwise.
    pub fn is_alarming(&self) -> bool {
        !self.finite || (self.least_ratio(FAR) < ALARMING_DB && !self.agrees())
    }

    fn agrees(&self) -> bool {
        self.agreement.is_some_and(|share| share.value() >= GOOD_AGREEMENT)
    }

    /// The least ratio of an output, but for shares that moved no further than this.
    fn least_ratio(&self, furthest: f64) -> f64 {
        let counts = self.outputs.iter().filter(|output| !output.moved_within(furthest));
        if self.outputs.is_empty() {
            f64::NAN
        } else {
            counts.map(|o| o.sqnr_db).fold(f64::INFINITY, f64::min)
        }
    }

    /// What a person must be told first, if anything.
    pub fn warning(&self) -> Option<String> {
        let what = if self.finite { "answers differently" } else { "is broken" };
        let first = self.first_bad.as_ref().map(|bad| format!("; first {bad}")).unwrap_or_default();
        self.is_alarming().then(|| format!("with these weights the network {what}{first}"))
    }

    /// In a line for people.
    pub fn sentence(&self) -> String {
        let sets = if self.sets == 1 { "1 input".to_owned() } else { format!("{} inputs", self.sets) };
        let kind = if self.made_up { " made up from its shapes" } else { "" };
        if !self.finite {
            return format!("answers that are not finite numbers, on {sets}{kind}");
        }
        let agreement = self.agreement.map(|share| format!(", agreement {:.1} %", 100.0 * share.value()));
        let divergence = self.divergence.map(|nats| format!(", divergence {nats:.1e} nats"));
        let (small, others): (Vec<_>, Vec<_>) =
            self.outputs.iter().partition(|output| output.moved.is_some() && output.sqnr_db < GOOD_DB);
        let moved = small.iter().filter_map(|output| output.moved).reduce(f64::max);
        let least = others.iter().map(|output| output.sqnr_db).reduce(f64::min);
        let moved = moved.map(|moved| format!("shares that moved by at most {moved:.1e}"));
        let least = least.map(|least| match least {
            f64::INFINITY => "the very same".to_owned(),
            least => format!("output SQNR {least:.1} dB"),
        });
        let ratio: Vec<String> = [least, moved].into_iter().flatten().collect();
        format!(
            "finite outputs, {}{}{}, on {sets}{kind}",
            if ratio.is_empty() { "none of them floats".to_owned() } else { ratio.join(", ") },
            agreement.unwrap_or_default(),
            divergence.unwrap_or_default()
        )
    }
}

/// Sets of inputs that a network of so many bytes is run on.
fn sets<'a>(bytes: u64, inputs: impl Iterator<Item = &'a Array>) -> u64 {
    let numbers: u64 = inputs.map(|array| array.shape().iter().product::<usize>() as u64).sum();
    (MOST_WEIGHTS / bytes.max(1)).min(MOST_NUMBERS / numbers.max(1)).clamp(1, MOST_SETS)
}

/// A float network with inputs, to check others against.
pub struct Checker {
    graph: Graph,
    float: ModelBytes,
    inputs: Vec<Inputs>,
    made_up: bool,
    /// What the float network answers, by set and output.
    answers: Vec<Vec<Array>>,
}

impl std::fmt::Debug for Checker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Checker").field("sets", &self.inputs.len()).finish_non_exhaustive()
    }
}

impl Checker {
    /// Runs the float network, as an evaluator has it, on inputs made up from its shapes, the first way that it accepts.
    pub fn made_up(float: ModelBytes) -> Result<Self, NetworkError> {
        let graph = Graph::parse(float.model())?;
        let network = Network::load(&float)?;
        let mut failed = None;
        for way in inputs::ways(&graph) {
            let first = way.inputs(&graph, 0)?;
            match network.run(&first, &graph.outputs) {
                Ok(answer) => {
                    let (mut inputs, mut answers) = (vec![first], vec![answer]);
                    for set in 1..sets(float.bytes.len() as u64, inputs.iter().flat_map(Inputs::values)) {
                        let next = way.inputs(&graph, set)?;
                        answers.push(network.run(&next, &graph.outputs)?);
                        inputs.push(next);
                    }
                    return Ok(Self { graph, float, inputs, made_up: true, answers });
                }
                Err(error) => drop(failed.get_or_insert(error)),
            }
        }
        Err(failed.unwrap_or_else(|| NetworkError::Run("its inputs cannot be made up".to_owned())))
    }

    /// Runs the float network, as an evaluator has it, on inputs that were given.
    pub fn given(float: ModelBytes, inputs: Vec<Inputs>) -> Result<Self, NetworkError> {
        let graph = Graph::parse(float.model())?;
        let network = Network::load(&float)?;
        let run = |inputs: &Inputs| network.run(inputs, &graph.outputs);
        let answers = inputs.iter().map(run).collect::<Result<_, _>>()?;
        Ok(Self { graph, float, inputs, made_up: false, answers })
    }

    /// Runs a network with other weights, and compares.
    pub fn check(&self, decoded: &ModelBytes) -> Result<Check, NetworkError> {
        let Compared { sums, decisions, finite } = self.compare(decoded, self.inputs.len())?;
        let mut check =
            Check { made_up: self.made_up, sets: self.inputs.len() as u64, finite, ..Check::default() };
        let outputs = self.graph.outputs.iter().zip(self.first_answers()).zip(&sums);
        let outputs = outputs.filter(|((_, output), _)| output.as_floats().is_some());
        check.outputs = outputs.map(|((name, _), sums)| sums.finish(name)).collect();
        let least = check.outputs.iter().map(|output| output.sqnr_db).fold(f64::INFINITY, f64::min);
        check.output_sqnr_db = if check.outputs.is_empty() { f64::NAN } else { least };
        if check.finite {
            (check.agreement, check.divergence) = decisions.finish();
        }
        if let Some((bad, is_finite)) = self.first_bad(decoded, check.is_alarming()) {
            check.finite &= is_finite;
            check.first_bad = Some(bad);
        }
        Ok(check)
    }

    /// Runs a network with other weights on the first sets, beside what the float network answered.
    fn compare(&self, decoded: &ModelBytes, sets: usize) -> Result<Compared, NetworkError> {
        let network = Network::load(decoded)?;
        let mut sums = vec![Sums::default(); self.graph.outputs.len()];
        let (mut decisions, mut finite) = (Decisions::default(), true);
        for (inputs, expected) in self.inputs.iter().zip(&self.answers).take(sets) {
            let found = network.run(inputs, &self.graph.outputs)?;
            for ((expected, found), sums) in expected.iter().zip(&found).zip(&mut sums) {
                if let (Some(then), Some(now)) = (expected.as_floats(), found.as_floats()) {
                    finite &= sums.add(then, now);
                }
            }
            // The first output that is floats is the answer.
            let pair = expected.iter().zip(&found).find_map(|(a, b)| Some((a.as_floats()?, b.as_floats()?)));
            if let Some((then, now)) = pair {
                decisions.add(then, now);
            }
        }
        Ok(Compared { sums, decisions, finite })
    }

    /// Sets to compare tensors on: few, but with enough numbers in their answers; `None` where all have too few.
    pub(super) fn sets_for_noise(&self) -> Option<usize> {
        let numbers = |answers: &Vec<Array>| {
            answers.iter().filter_map(Array::as_floats).map(ArrayD::len).sum::<usize>()
        };
        let mut sum = 0;
        let enough = self.answers.iter().position(|answers| {
            sum += numbers(answers);
            sum >= ENOUGH_NUMBERS
        });
        enough.map(|at| (at + 1).max(LEAST_SETS)).filter(|sets| *sets <= self.answers.len())
    }

    /// Noise over signal that other weights make in the outputs, summed over them, each at most 1; on the first sets alone.
    pub(super) fn noise(&self, decoded: &ModelBytes, sets: usize) -> Result<f64, NetworkError> {
        let Compared { sums, .. } = self.compare(decoded, sets)?;
        let noise =
            |sums: &Sums| if sums.signal > 0.0 { sums.error / (sums.signal + sums.error) } else { 0.0 };
        Ok(sums.iter().map(noise).sum())
    }

    fn first_answers(&self) -> impl Iterator<Item = &Array> {
        self.answers.first().into_iter().flatten()
    }

    /// The first node of the decoded network that makes numbers which are none, or, where `lost` are looked for, loses its value
    /// though what it reads was not lost; and whether its numbers are finite. Nothing where values cannot be looked at.
    fn first_bad(&self, decoded: &ModelBytes, lost: bool) -> Option<(BadNode, bool)> {
        let inputs = self.inputs.first()?;
        let names: BTreeSet<String> = self.graph.values().map(str::to_owned).collect();
        let values = |files: &ModelBytes| -> Option<Vec<Array>> {
            let graph = Graph::parse(files.model()).ok()?;
            let network = Network::with_values(&graph, files, &names).ok()?;
            network.run(inputs, &names.iter().cloned().collect::<Vec<_>>()).ok()
        };
        let (then, now) = (values(&self.float)?, values(decoded)?);
        let at = |name: &str| names.iter().position(|other| other == name);
        let mut gone: BTreeSet<&str> = BTreeSet::new();
        for node in &self.graph.nodes {
            for output in node.outputs.iter().filter(|name| !name.is_empty()) {
                let Some(index) = at(output) else { continue };
                let (Some(a), Some(b)) = (then.get(index)?.as_floats(), now.get(index)?.as_floats()) else {
                    continue;
                };
                let bad = |problem: &str| BadNode {
                    node: node.name.clone(),
                    operator: node.operator.clone(),
                    problem: problem.to_owned(),
                };
                if a.iter().zip(b).any(|(a, b)| a.is_finite() && !b.is_finite()) {
                    return Some((bad("makes numbers that are not finite"), false));
                }
                let sum = |f: &dyn Fn(f64, f64) -> f64| {
                    a.iter().zip(b).map(|(a, b)| f(f64::from(*a), f64::from(*b))).sum::<f64>()
                };
                let db = sqnr_db(sum(&|a, _| a * a), sum(&|a, b| (a - b) * (a - b)));
                if lost && db < LOST_DB {
                    if !node.inputs.iter().any(|input| gone.contains(input.as_str())) {
                        return Some((bad(&format!("gives values of {db:.1} dB")), true));
                    }
                    gone.insert(output);
                }
            }
        }
        None
    }
}

/// What a network came to beside the float one.
struct Compared {
    /// By output.
    sums: Vec<Sums>,
    decisions: Decisions,
    /// Whether every number is finite wherever the float network's is.
    finite: bool,
}

/// What is gathered of an output over all sets.
#[derive(Debug, Clone)]
struct Sums {
    signal: f64,
    error: f64,
    moved: f64,
    is_share: bool,
}

impl Default for Sums {
    fn default() -> Self {
        Self { signal: 0.0, error: 0.0, moved: 0.0, is_share: true }
    }
}

impl Sums {
    /// Adds an answer; whether it is finite wherever the float network's is.
    fn add(&mut self, then: &ArrayD<f32>, now: &ArrayD<f32>) -> bool {
        let mut finite = true;
        for (a, b) in then.iter().zip(now) {
            finite &= b.is_finite() || !a.is_finite();
            let (a, b) = (f64::from(*a), f64::from(*b));
            self.is_share &= (0.0..=1.0).contains(&a);
            if a.is_finite() && b.is_finite() {
                self.signal += a * a;
                self.error += (a - b) * (a - b);
                self.moved = self.moved.max((a - b).abs());
            }
        }
        finite
    }

    fn finish(&self, name: &str) -> CheckedOutput {
        let moved = self.is_share.then_some(self.moved);
        CheckedOutput { name: name.to_owned(), sqnr_db: sqnr_db(self.signal, self.error), moved }
    }
}

/// What networks decide: by the largest score of several, or by one share.
#[derive(Debug, Default)]
struct Decisions {
    then: Outputs,
    now: Outputs,
}

impl Decisions {
    /// Adds an answer. Scores lie along the last axis, those of pictures (samples × scores × height × width) along the second.
    fn add(&mut self, then: &ArrayD<f32>, now: &ArrayD<f32>) {
        let Some(last) = then.ndim().checked_sub(1) else { return };
        let (mut a, mut b) = (then.view(), now.view());
        if last >= 3 {
            a = along_last(a, 1);
            b = along_last(b, 1);
        }
        let classes = a.shape().last().copied().unwrap_or(0);
        if classes > 0 && (self.then.classes == 0 || self.then.classes == classes) && a.shape() == b.shape() {
            (self.then.classes, self.now.classes) = (classes, classes);
            self.then.values.extend(a.iter());
            self.now.values.extend(b.iter());
        }
    }

    /// The share of decisions that are the same, and the mean divergence of their distributions in nats.
    fn finish(&self) -> (Option<Share>, Option<f64>) {
        if self.then.classes == 0 {
            return (None, None);
        }
        let first = self.then.rows().next().map(first_class);
        let differ = self.then.rows().any(|row| Some(first_class(row)) != first);
        let against = measure(&self.now, None, Some(&self.then)).against;
        let divergence = against.as_ref().map(|against| against.divergence).filter(|nats| nats.is_finite());
        (against.map(|against| against.agreement).filter(|_| differ), divergence)
    }
}

/// The same array with an axis behind all others.
fn along_last(array: ArrayViewD<'_, f32>, axis: usize) -> ArrayViewD<'_, f32> {
    let axes: Vec<usize> = (0..array.ndim()).filter(|other| *other != axis).chain([axis]).collect();
    array.permuted_axes(axes)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Builder, numbers};
    use super::*;

    /// Convolution, batch normalisation, and what passes over not-a-number; `variance` of the second channel, `scale` of the
    /// kernel.
    fn network(variance: f32, scale: f32) -> ModelBytes {
        let kernel: Vec<f32> = numbers(36, 3).iter().map(|w| w * scale).collect();
        Builder::default()
            .floats("kernel", &[2, 2, 3, 3], &kernel)
            .floats("gain", &[2], &[1.0, 2.0])
            .floats("shift", &[2], &[0.1, 0.2])
            .floats("mean", &[2], &[0.0, 0.1])
            .floats("variance", &[2], &[1.0, variance])
            .input("x", &[-1, 2, -1, -1])
            .node("Conv", &["x", "kernel"], &["c"], vec![])
            .node("BatchNormalization", &["c", "gain", "shift", "mean", "variance"], &["n"], vec![])
            .node("Relu", &["n"], &["r"], vec![])
            .node("GlobalAveragePool", &["r"], &["y"], vec![])
            .output("y")
            .files()
    }

    #[test]
    fn the_same_network_answers_the_same() {
        let checker = Checker::made_up(network(0.5, 1.0)).unwrap();
        let check = checker.check(&network(0.5, 1.0)).unwrap();
        assert!(check.is_good() && check.is_ample() && !check.is_alarming(), "{check:?}");
        assert_eq!((check.sets, check.output_sqnr_db), (MOST_SETS, f64::INFINITY));
        assert_eq!(check.first_bad, None);
    }

    #[test]
    fn a_negative_variance_is_found_at_its_node_though_relu_hides_it() {
        let checker = Checker::made_up(network(0.5, 1.0)).unwrap();
        let check = checker.check(&network(-0.5, 1.0)).unwrap();
        assert!(!check.finite && check.is_alarming() && !check.is_good());
        let bad = check.first_bad.unwrap();
        assert_eq!(bad.operator, "BatchNormalization");
        assert_eq!(
            bad.to_string(),
            "node node1_BatchNormalization (BatchNormalization) makes numbers that are not finite"
        );
    }

    #[test]
    fn weights_that_are_gone_are_found_where_their_values_are() {
        let checker = Checker::made_up(network(0.5, 30.0)).unwrap();
        let check = checker.check(&network(0.5, 3.0)).unwrap();
        assert!(check.finite && check.is_alarming(), "{check:?}");
        assert_eq!(check.first_bad.unwrap().operator, "Conv");
    }

    /// One share per answer, of weights `scale` times as large and a bias.
    fn single_share(scale: f32, bias: f32) -> ModelBytes {
        let weights: Vec<f32> = [1.5, -2.0, 0.5, 1.0].iter().map(|w| w * scale).collect();
        Builder::default()
            .floats("w", &[4, 1], &weights)
            .floats("b", &[1], &[bias])
            .input("x", &[-1, 4])
            .node("Gemm", &["x", "w", "b"], &["z"], vec![])
            .node("Sigmoid", &["z"], &["y"], vec![])
            .output("y")
            .files()
    }

    #[test]
    fn a_single_share_decides_by_its_half() {
        let checker = Checker::made_up(single_share(1.0, 0.0)).unwrap();
        let same = checker.check(&single_share(1.001, 0.0)).unwrap();
        assert_eq!(same.agreement.map(|share| share.value()), Some(1.0), "{same:?}");
        assert!(same.is_good() && same.divergence.unwrap() < 1e-4);
        let turned = checker.check(&single_share(-1.0, 0.0)).unwrap();
        assert!(turned.agreement.unwrap().value() < 0.5 && turned.is_alarming(), "{turned:?}");
    }

    #[test]
    fn shares_near_nothing_are_judged_by_how_far_they_moved() {
        let checker = Checker::made_up(single_share(1.0, -9.0)).unwrap();
        let check = checker.check(&single_share(-1.0, -9.0)).unwrap();
        assert!(check.agreement.is_none(), "no answer is above one half: {check:?}");
        assert!(check.output_sqnr_db < GOOD_DB && !check.is_alarming() && !check.is_ample());
        assert!(
            check.sentence().starts_with("finite outputs, shares that moved by at most "),
            "{}",
            check.sentence()
        );
    }

    #[test]
    fn scores_of_pictures_lie_along_their_second_axis() {
        let scores = |flipped: f32| {
            let score = |at: i32| if at < 12 { 17.5 } else { flipped * at as f32 };
            let values = (0..24).map(score).collect();
            let array = Array::floats(&[1, 2, 3, 4], values).unwrap();
            array.as_floats().unwrap().clone()
        };
        let mut decisions = Decisions::default();
        decisions.add(&scores(1.0), &scores(-1.0));
        assert_eq!((decisions.then.classes, decisions.then.values.len()), (2, 24));
        assert_eq!(decisions.finish().0.map(|share| (share.count, share.of)), Some((6, 12)));
    }

    #[test]
    fn large_networks_and_inputs_are_run_less_often() {
        let input = |count| vec![Array::floats(&[count], vec![0.0; count]).unwrap()];
        assert_eq!(sets(1000, input(1000).iter()), MOST_SETS);
        assert_eq!(sets(9 << 20, input(1000).iter()), 7);
        assert_eq!(sets(1000, input(1 << 19).iter()), 2);
        assert_eq!((sets(1 << 30, input(1).iter()), sets(0, [].iter())), (1, MOST_SETS));
    }

    #[test]
    fn given_inputs_take_the_place_of_made_up_ones() {
        let x = Array::floats(&[1, 2, 4, 4], numbers(32, 9)).unwrap();
        let inputs = vec![Inputs::from([("x".to_owned(), x)])];
        let checker = Checker::given(network(0.5, 1.0), inputs).unwrap();
        let check = checker.check(&network(0.5, 1.001)).unwrap();
        assert!(!check.made_up && check.is_good() && check.sets == 1, "{check:?}");
        assert!(check.sentence().ends_with("on 1 input"), "{}", check.sentence());
    }
}
