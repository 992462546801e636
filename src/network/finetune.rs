//! Retraining the values that weights share: Choi, El-Khamy and Lee 2017, section 3.6; Han, Mao and Dally 2016, section 3.
//!
//! Every weight keeps its place in the codebook; the value it shares moves by the summed gradient of its members,
//! ∂L/∂c = Σ ∂L/∂w. Steps are Adam's (D. Kingma and J. Ba, 2015) on mini-batches of labelled samples, their size a share of the
//! mean distance between neighbouring values, falling to nothing along half a cosine. Zeros that pruning made stay zeros.

use super::NetworkError;
use super::backward::Purpose;
use super::data::DataSet;
use super::evaluate::{Assignments, Evaluator, GoOn, Quantized, Setup};
use super::importance::{Differentiator, flattened};
use super::model::ModelBytes;
use crate::engine::Replaced;
use crate::recipe::Recipe;
use std::collections::BTreeSet;

/// How codebooks are retrained.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Schedule {
    /// Times every sample is seen.
    pub epochs: usize,
    /// Samples per step.
    pub batch: usize,
    /// Largest step, as a share of the mean distance between a codebook's neighbouring values.
    pub rate: f64,
}

impl Default for Schedule {
    fn default() -> Self {
        Self { epochs: 4, batch: 50, rate: 0.02 }
    }
}

/// What retraining gave.
#[derive(Debug, Clone)]
pub struct Tuned {
    /// The weights with the retrained values, compressed and decoded.
    pub quantized: Quantized,
    /// The retrained values, codebook by codebook.
    pub levels: Vec<Vec<f32>>,
    /// Mean loss of each epoch's mini-batches, nats.
    pub losses: Vec<f64>,
}

/// Adam's state for one value.
#[derive(Debug, Clone, Copy, Default)]
struct Moments {
    first: f64,
    second: f64,
}

/// What the codebooks are trained on: some samples of a data set, preprocessed as a setup says.
#[derive(Debug, Clone)]
pub struct Training<'a> {
    /// How samples are preprocessed.
    pub setup: &'a Setup,
    /// The data set.
    pub data: &'a DataSet,
    /// Its samples that are used.
    pub range: std::ops::Range<usize>,
}

/// Retrains the codebooks of `recipe` on `training`; `progress` hears of steps done and of all.
pub fn finetune(
    evaluator: &mut Evaluator,
    recipe: &Recipe,
    training: &Training,
    schedule: Schedule,
    progress: &dyn Fn(usize, usize),
    go_on: GoOn,
) -> Result<Tuned, NetworkError> {
    let range = &training.range;
    if training.data.labels.is_none() {
        return Err(NetworkError::data("retraining", "labels", "none"));
    }
    let start = evaluator.plan(recipe)?;
    let assignments = evaluator.assignments(&start)?;
    let mut levels = start.levels();
    let spacing: Vec<f64> = levels.iter().map(|codebook| spacing(codebook)).collect();
    let owner: Vec<usize> =
        levels.iter().enumerate().flat_map(|(i, codebook)| vec![i; codebook.len()]).collect();
    let mut moments = vec![Moments::default(); owner.len()];
    let batch = schedule.batch.max(1);
    let starts: Vec<usize> = range.clone().step_by(batch).collect();
    let steps = starts.len() * schedule.epochs;
    let mut files = evaluator.quantize(recipe)?.files;
    let (mut losses, mut step) = (Vec::new(), 0);
    for epoch in 0..schedule.epochs {
        let mut total = 0.0;
        for start in shuffled(&starts, epoch as u64) {
            if !go_on() {
                return Err(NetworkError::Cancelled);
            }
            let end = (start + batch).min(range.end);
            let mut sums = vec![0.0f64; owner.len()];
            let loss = training.gradient(&files, &assignments, start..end, &mut sums)?;
            total += loss * (end - start) as f64;
            step += 1;
            let fall = 0.5 * (1.0 + libm::cos(std::f64::consts::PI * (step - 1) as f64 / steps as f64));
            let mut flat = levels.iter_mut().flatten();
            for ((sum, moment), owner) in sums.iter().zip(&mut moments).zip(&owner) {
                let Some(level) = flat.next() else { break };
                let rate = schedule.rate * fall * spacing.get(*owner).copied().unwrap_or(0.0);
                *level = (f64::from(*level) - rate * moment.direction(*sum, step)) as f32;
            }
            files = evaluator.assigned(&files, &assignments, &levels)?;
            progress(step, steps);
        }
        losses.push(total / range.len().max(1) as f64);
    }
    // A codebook is stored in order of values: neighbours that passed each other would change places with their symbols.
    let replaced = Replaced { levels: Some(levels.clone()), ..Replaced::default() };
    let quantized = evaluator.quantize_with(recipe, &replaced)?;
    Ok(Tuned { quantized, levels, losses })
}

impl Training<'_> {
    /// Adds to `sums` the gradient of the loss of some samples by every value that weights share; the mean loss, nats.
    fn gradient(
        &self,
        files: &ModelBytes,
        assignments: &Assignments,
        samples: std::ops::Range<usize>,
        sums: &mut [f64],
    ) -> Result<f64, NetworkError> {
        let (setup, data) = (self.setup, self.data);
        let graph = flattened(files, setup, data)?;
        let wanted: BTreeSet<String> =
            assignments.keys().filter(|name| graph.constants.contains(*name)).cloned().collect();
        let differentiator = Differentiator::new(&graph, files, setup, data, &wanted, Purpose::Gradient)?;
        let (pairs, loss) = differentiator.back(samples)?;
        for (name, pair) in &pairs {
            let (Some(codes), Some(gradient)) = (assignments.get(name), &pair.gradient) else { continue };
            for (code, g) in codes.iter().zip(gradient) {
                if let Some(sum) = sums.get_mut(*code as usize) {
                    *sum += f64::from(*g);
                }
            }
        }
        Ok(loss.unwrap_or(0.0))
    }
}

/// Mean distance between neighbouring values; a value's magnitude where there is but one.
fn spacing(codebook: &[f32]) -> f64 {
    match codebook {
        [] => 0.0,
        [only] => f64::from(only.abs()),
        [first, .., last] => f64::from((last - first).abs()) / (codebook.len() - 1) as f64,
    }
}

impl Moments {
    /// Adam's step for gradient `g`, before the rate.
    fn direction(&mut self, g: f64, step: usize) -> f64 {
        const DECAY: [f64; 2] = [0.9, 0.99];
        self.first = DECAY[0] * self.first + (1.0 - DECAY[0]) * g;
        self.second = DECAY[1] * self.second + (1.0 - DECAY[1]) * g * g;
        let correct = |decay: f64| 1.0 - libm::pow(decay, step as f64);
        let second = (self.second / correct(DECAY[1])).sqrt();
        if second > 0.0 { self.first / correct(DECAY[0]) / second } else { 0.0 }
    }
}

/// The starts in an order that depends on the epoch alone.
fn shuffled(starts: &[usize], epoch: u64) -> Vec<usize> {
    let mut state = epoch.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x2545_f491_4f6c_dd1d;
    let mut order = starts.to_vec();
    for i in (1..order.len()).rev() {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        order.swap(i, ((state >> 33) % (i as u64 + 1)) as usize);
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::Graph;
    use crate::network::data::{Preprocess, Series, Values};
    use crate::network::evaluate::Evaluator;
    use crate::network::measure::measure;
    use crate::network::testing::{Builder, Value, numbers};
    use crate::network::{Network, measure::Outputs};

    #[test]
    fn retraining_lowers_the_loss_and_replays_from_its_codebook() {
        let samples = 60;
        let x = numbers(samples * 6, 2);
        let w = numbers(5 * 6, 3);
        let labels: Vec<u32> = x
            .chunks(6)
            .map(|x| {
                let score = |row: &[f32]| row.iter().zip(x).map(|(w, x)| w * x).sum::<f32>();
                let scores: Vec<f32> = w.chunks(6).map(score).collect();
                (0..5).max_by(|a, b| scores[*a].total_cmp(&scores[*b])).unwrap() as u32
            })
            .collect();
        let series = vec![Series { name: "x".to_owned(), shape: vec![samples, 6], values: Values::F32(x) }];
        let data = DataSet { kind: "test".to_owned(), series, labels: Some(labels), samples };
        let network = Builder::default()
            .input("x", &[-1, 6])
            .floats("w", &[5, 6], &w)
            .node("Gemm", &["x", "w"], &["y"], vec![("transB", Value::Int(1))])
            .output("y")
            .files();
        let graph = Graph::parse(network.model()).unwrap();
        let setup = Setup::new(&graph, &data, Preprocess::raw()).unwrap();
        let mut evaluator = Evaluator::new(network, None, None, 1).unwrap();
        let recipe = Recipe::from_line("method=kmeans&k=3&scope=all&include=*&coder=rans").unwrap();
        let before = evaluator.quantize(&recipe).unwrap();
        let schedule = Schedule { epochs: 30, batch: 20, rate: 0.1 };
        let tuned = finetune(
            &mut evaluator,
            &recipe,
            &Training { setup: &setup, data: &data, range: 0..samples },
            schedule,
            &|_, _| (),
            &|| true,
        )
        .unwrap();
        let loss = |quantized: &Quantized| {
            let network = Network::load(&quantized.files).unwrap();
            let outputs: Outputs = setup.run(&network, &data, 0..samples, &|| true).unwrap();
            measure(&outputs, data.labels.as_deref(), None).loss.unwrap()
        };
        assert!(
            loss(&tuned.quantized) < loss(&before) - 0.01,
            "{} {}",
            loss(&tuned.quantized),
            loss(&before)
        );
        assert!(tuned.losses.last() < tuned.losses.first());
        let of = |levels| Replaced { levels: Some(levels), ..Replaced::default() };
        // The recipe names its codebook, and with it gives the same bytes again.
        let again = Recipe::from_line(&tuned.quantized.outcome.recipe).unwrap();
        assert!(again.codebook.is_some());
        assert_eq!(
            evaluator.quantize_with(&again, &of(tuned.levels.clone())).unwrap().file,
            tuned.quantized.file
        );
        assert!(evaluator.quantize(&again).is_err());
        let mut others = tuned.levels.clone();
        others[0][0] += 1.0;
        assert!(evaluator.quantize_with(&again, &of(others)).is_err());
    }
}
