//! The paper's search: ten samples, one linear model, a few measured steps (Hill et al. 2018, section 3.3).
//!
//! 1. Every format runs ten samples; R² is the linear coefficient of determination between its outputs and those in float32.
//! 2. A line foretells the share of the float network's accuracy that is kept, from R². It was fitted on other networks
//!    ([`Model`]).
//! 3. The cheapest format that is foretold to reach the target is measured on all samples.
//! 4. Where it holds, a format with one bit less is tried, where it misses one with a bit more, until one holds whose narrower
//!    neighbour does not. The paper does not say which field gets the bit: here it is the one that leaves the larger R².

use super::Search;
use super::race::Target;
use super::space::is_step;
use super::trial::{Ask, Candidate, Fate};
use crate::network::emulate::TensorFormat;
use serde::{Deserialize, Serialize};

/// A line from R² to the share of the float network's accuracy that is kept.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Model {
    /// The share at R² = 0.
    pub intercept: f64,
    /// How much it grows to R² = 1.
    pub slope: f64,
    /// Root of the mean squared residual of the points it was fitted on.
    pub residual: f64,
    /// Correlation of the points it was fitted on.
    pub correlation: f64,
}

const fn line(intercept: f64, slope: f64, residual: f64, correlation: f64) -> Model {
    Model { intercept, slope, residual, correlation }
}

/// The line through all formats of the paper's space ([`PAPER`](super::space::PAPER)) on six networks, each on ten samples for
/// R² and 200 for the share (`ResNet-32`: 60), rounded after every operator: `experiments/precision_fit.py`.
const ALL: Model = line(0.115_206, 0.903_151, 0.0546, 0.9894);

/// The same with one network left out, by the XXH3 of its file.
const LEFT_OUT: [(u64, Model); 6] = [
    // The samples lenet, lstm, resnet and transformer.
    (0xdc03_e17b_6a95_b0ca, line(0.119_393, 0.899_936, 0.0563, 0.9887)),
    (0x9902_410c_6ed6_a059, line(0.109_377, 0.909_615, 0.0560, 0.9895)),
    (0x34cb_ea45_b240_46cf, line(0.114_697, 0.903_921, 0.0522, 0.9901)),
    (0x689f_f155_e43a_7a00, line(0.117_839, 0.901_415, 0.0572, 0.9884)),
    // LeNet on MNIST, ResNet-32 on CIFAR-10.
    (0xec59_f123_d7d2_1a79, line(0.116_136, 0.900_355, 0.0533, 0.9899)),
    (0xa02b_8f07_f8c9_c363, line(0.113_983, 0.903_461, 0.0525, 0.9895)),
];

impl Model {
    /// The line for a network whose file has this XXH3: that of all networks, or of the others where it is one of them, so that
    /// nothing is foretold from itself.
    pub fn for_network(hash: u64) -> Self {
        let others = LEFT_OUT.iter().find(|(own, _)| *own == hash);
        others.map_or(ALL, |(_, model)| *model)
    }

    /// The line with the least squared error through (R², share) pairs; `None` where they are no two.
    pub fn fit(points: &[(f64, f64)]) -> Option<Self> {
        let count = points.len() as f64;
        let mean_x = points.iter().map(|(x, _)| x).sum::<f64>() / count;
        let mean_y = points.iter().map(|(_, y)| y).sum::<f64>() / count;
        let sum = |of: &dyn Fn(f64, f64) -> f64| {
            points.iter().map(|(x, y)| of(x - mean_x, y - mean_y)).sum::<f64>()
        };
        let (xx, xy, yy) = (sum(&|x, _| x * x), sum(&|x, y| x * y), sum(&|_, y| y * y));
        if !(xx > 0.0 && yy > 0.0) {
            return None;
        }
        let slope = xy / xx;
        let residual = ((yy - slope * xy).max(0.0) / count).sqrt();
        Some(Self { intercept: mean_y - slope * mean_x, slope, residual, correlation: xy / (xx * yy).sqrt() })
    }

    /// The share that is foretold.
    pub fn predict(&self, r2: f64) -> f64 {
        self.intercept + self.slope * r2
    }
}

/// The efficient search.
#[derive(Debug, Clone)]
pub struct Efficient {
    target: Target,
    /// The share of the float network's accuracy that is to be kept.
    kept: f64,
    model: Model,
    /// The candidates' formats.
    formats: Vec<TensorFormat>,
    /// Candidates that were measured on all samples, in order: the foretold one first.
    pub measured: Vec<usize>,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Sketching,
    Measuring(usize),
    Done(Option<usize>),
}

impl Efficient {
    /// A search for `target`, which is the share `kept` of the float network's accuracy, among the candidates' `formats`.
    pub fn new(target: Target, kept: f64, model: Model, formats: Vec<TensorFormat>) -> Self {
        Self { target, kept, model, formats, measured: Vec::new(), state: State::Sketching }
    }

    /// The format it chose, once it is over.
    pub fn choice(&self) -> Option<usize> {
        if let State::Done(choice) = self.state { choice } else { None }
    }

    /// The candidate that the model alone chooses: the cheapest that is foretold to hold, else the one foretold most.
    pub fn foretold(&self, candidates: &[Candidate]) -> Option<usize> {
        let share = |candidate: &Candidate| self.model.predict(candidate.heard.r2);
        let holds = candidates.iter().position(|candidate| share(candidate) >= self.kept);
        holds.or_else(|| {
            let all = candidates.iter().enumerate();
            all.max_by(|(i, a), (j, b)| share(a).total_cmp(&share(b)).then(j.cmp(i))).map(|(at, _)| at)
        })
    }

    /// Samples that this search alone would have run.
    pub fn runs(&self) -> usize {
        let first = self.target.next(0);
        self.formats.len() * first + self.measured.len() * (self.target.samples - first)
    }

    /// The neighbour with `step` bits more or less in one field that has the largest R².
    fn neighbour(&self, candidates: &[Candidate], of: usize, step: i64) -> Option<usize> {
        let own = self.formats.get(of)?;
        let is_moved = |other: &TensorFormat| is_step(own, other, step);
        let kin = self.formats.iter().enumerate().filter(|(_, format)| is_moved(format)).map(|(at, _)| at);
        let r2 = |at: &usize| candidates.get(*at).map_or(0.0, |candidate| candidate.heard.r2);
        kin.max_by(|a, b| r2(a).total_cmp(&r2(b)).then(b.cmp(a)))
    }

    /// Where the search goes from a format that was measured.
    fn step(&self, candidates: &[Candidate], at: usize) -> State {
        let holds = candidates.get(at).is_some_and(|candidate| candidate.fate == Fate::Holds);
        match self.neighbour(candidates, at, if holds { -1 } else { 1 }) {
            Some(next) if !self.measured.contains(&next) => State::Measuring(next),
            // The neighbour is where it came from.
            Some(next) if !holds => State::Done(Some(next)),
            _ => State::Done(Some(at).filter(|_| holds)),
        }
    }
}

impl Search for Efficient {
    fn asks(&self, candidates: &[Candidate]) -> Vec<Ask> {
        let all = candidates.iter().enumerate();
        match self.state {
            State::Sketching => {
                let unseen = all.filter(|(_, candidate)| candidate.seen == 0);
                unseen.map(|(candidate, _)| Ask { candidate, range: 0..self.target.next(0) }).collect()
            }
            State::Measuring(at) => {
                let open =
                    all.filter(|(place, candidate)| *place == at && candidate.seen < self.target.samples);
                open.map(|(candidate, of)| Ask { candidate, range: of.seen..self.target.samples }).collect()
            }
            State::Done(_) => Vec::new(),
        }
    }

    fn hear(&mut self, candidates: &mut [Candidate]) {
        for candidate in candidates.iter_mut().filter(|candidate| candidate.seen >= self.target.samples) {
            candidate.fate = self.target.judge(candidate);
        }
        // A step to a format that another search has measured already is made at once.
        loop {
            self.state = match self.state {
                State::Sketching if candidates.iter().all(|candidate| candidate.seen > 0) => {
                    self.foretold(candidates).map_or(State::Done(None), State::Measuring)
                }
                State::Measuring(at)
                    if candidates.get(at).is_some_and(|candidate| candidate.seen >= self.target.samples) =>
                {
                    self.measured.push(at);
                    self.step(candidates, at)
                }
                _ => return,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::exhaustive::tests::{drive, race};
    use super::super::exhaustive::{Exhaustive, WAVE};
    use super::*;

    fn model() -> Model {
        Model { intercept: 0.0, slope: 1.0, residual: 0.0, correlation: 1.0 }
    }

    #[test]
    fn a_network_is_foretold_from_others_and_the_samples_are_those_that_are_known() {
        assert_eq!(Model::for_network(0), ALL);
        for (bytes, expected) in [
            (&include_bytes!("../../../www/samples/lenet.onnx")[..], LEFT_OUT[0].1),
            (&include_bytes!("../../../www/samples/lstm.onnx")[..], LEFT_OUT[1].1),
            (&include_bytes!("../../../www/samples/resnet.onnx")[..], LEFT_OUT[2].1),
            (&include_bytes!("../../../www/samples/transformer.onnx")[..], LEFT_OUT[3].1),
        ] {
            assert_eq!(Model::for_network(xxhash_rust::xxh3::xxh3_64(bytes)), expected);
        }
    }

    #[test]
    fn a_line_is_fitted_through_its_points() {
        let model = Model::fit(&[(0.0, 0.1), (0.5, 0.55), (1.0, 1.0)]).unwrap();
        assert!((model.intercept - 0.1).abs() < 1e-12 && (model.slope - 0.9).abs() < 1e-12);
        assert!(model.residual < 1e-9 && model.correlation > 0.999_999);
        assert_eq!(Model::fit(&[(0.5, 1.0), (0.5, 0.0)]), None);
        assert_eq!(Model::fit(&[]), None);
    }

    #[test]
    fn it_ends_at_a_format_that_holds_and_whose_narrower_neighbour_does_not() {
        for seed in 0..50 {
            let (mut candidates, answers) = race(seed, 300);
            let formats = super::super::space::formats("m1..20e4").unwrap();
            let float = answers.last().unwrap().iter().filter(|right| **right).count() as u64;
            let target = Target::new(float, 300, 300, 0.98, 0.95).unwrap();
            let mut search = Efficient::new(target, 0.98, model(), formats);
            let runs = drive(&mut search, &mut candidates, &answers);
            assert_eq!(runs, search.runs());
            let choice = search.choice().expect("the widest format holds");
            assert_eq!(candidates[choice].fate, Fate::Holds, "{seed}");
            if choice > 0 {
                assert_eq!(candidates[choice - 1].fate, Fate::Misses, "{seed}");
            }
        }
    }

    #[test]
    fn what_another_search_has_measured_is_not_run_again() {
        let (mut candidates, answers) = race(3, 300);
        let float = answers.last().unwrap().iter().filter(|right| **right).count() as u64;
        let target = Target::new(float, 300, 300, 0.98, 0.95).unwrap();
        drive(&mut Exhaustive::new(target, true), &mut candidates, &answers);
        let formats = super::super::space::formats("m1..20e4").unwrap();
        let mut search = Efficient::new(target, 0.98, model(), formats);
        assert!(search.asks(&candidates).is_empty());
        search.hear(&mut candidates);
        assert_eq!(search.choice(), Exhaustive::choice(&candidates));
        assert!(search.measured.len() <= WAVE);
    }
}
