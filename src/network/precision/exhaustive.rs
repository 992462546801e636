//! Every format, with early elimination.
//!
//! All formats see the first set of samples, so that the map has a figure everywhere. Then the cheapest that are still in the
//! race go on, [`WAVE`] at a time, each to its next set, until one has seen all samples and holds: that is the choice, and
//! dearer ones are left where they are. A full search gives every format all samples.

use super::Search;
use super::race::Target;
use super::trial::{Ask, Candidate, Fate};

/// Formats that go on together: enough for workers, and always as many, so that nothing depends on how many workers there are.
pub const WAVE: usize = 8;

/// The exhaustive search.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub struct Exhaustive {
    target: Target,
    /// Whether every format sees all samples.
    is_full: bool,
}

impl Exhaustive {
    /// A search for `target`; one that `is_full` drops nothing.
    pub const fn new(target: Target, is_full: bool) -> Self {
        Self { target, is_full }
    }

    /// The cheapest candidate that holds, of candidates in the order of cost.
    pub fn choice(candidates: &[Candidate]) -> Option<usize> {
        candidates.iter().position(|candidate| candidate.fate == Fate::Holds)
    }
}

impl Search for Exhaustive {
    fn asks(&self, candidates: &[Candidate]) -> Vec<Ask> {
        let all = || candidates.iter().enumerate();
        let ask = |(at, candidate): (usize, &Candidate), end: usize| Ask {
            candidate: at,
            range: candidate.seen..end,
        };
        let next =
            |(at, candidate): (usize, &Candidate)| ask((at, candidate), self.target.next(candidate.seen));
        if candidates.iter().any(|candidate| candidate.seen == 0) {
            return all().filter(|(_, candidate)| candidate.seen == 0).map(next).collect();
        }
        let samples = self.target.samples;
        if self.is_full {
            let unseen = all().filter(|(_, candidate)| candidate.seen < samples);
            return unseen.map(|found| ask(found, samples)).collect();
        }
        let cheaper = Self::choice(candidates).unwrap_or(candidates.len());
        let racing = all().take(cheaper).filter(|(_, candidate)| candidate.fate == Fate::Racing);
        racing.take(WAVE).map(next).collect()
    }

    fn hear(&mut self, candidates: &mut [Candidate]) {
        for candidate in candidates {
            let judged = self.target.judge(candidate);
            // Nothing is dropped where everything is to be seen.
            candidate.fate = if self.is_full && judged == Fate::Dropped { Fate::Racing } else { judged };
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::trial::Heard;
    use super::*;
    use crate::network::emulate::TensorFormat;
    use crate::random::SplitMix64;

    /// Drives a search on formats whose right answers are known; how many samples were run.
    pub fn drive(search: &mut dyn Search, candidates: &mut [Candidate], answers: &[Vec<bool>]) -> usize {
        let mut runs = 0;
        loop {
            let asks = search.asks(candidates);
            if asks.is_empty() {
                return runs;
            }
            for ask in asks {
                let given = &answers[ask.candidate][ask.range.clone()];
                runs += given.len();
                let right = given.iter().filter(|right| **right).count() as u64;
                let r2 = right as f64 / given.len() as f64;
                candidates[ask.candidate]
                    .take(&ask, Heard { right, of: given.len() as u64, r2, ..Heard::default() });
            }
            search.hear(candidates);
        }
    }

    /// Candidates of 2 to 21 bits, each right with a probability that grows with its bits.
    pub fn race(seed: u64, samples: usize) -> (Vec<Candidate>, Vec<Vec<bool>>) {
        let formats = super::super::space::formats("m1..20e4").unwrap();
        let candidates: Vec<Candidate> = Candidate::ranked(&formats, &TensorFormat::bits)
            .into_iter()
            .map(|(_, candidate)| candidate)
            .collect();
        let mut random = SplitMix64::new(seed);
        // A sample is right in every format of so many bits and more, as rounding less is mostly better.
        let mut answers = vec![Vec::new(); candidates.len()];
        for _ in 0..samples {
            let least = random.unit() * random.unit() * 14.0;
            for (at, answers) in answers.iter_mut().enumerate() {
                answers.push(at as f64 >= least || random.unit() < 0.1);
            }
        }
        (candidates, answers)
    }

    #[test]
    fn early_elimination_chooses_what_the_full_search_does_and_runs_far_less() {
        let (mut differ, mut early_runs, mut full_runs) = (0, 0, 0);
        for seed in 0..200 {
            let (candidates, answers) = race(seed, 600);
            let float = answers.last().unwrap().iter().filter(|right| **right).count() as u64;
            let target = Target::new(float, 600, 600, 0.99, 0.95).unwrap();
            let choose = |is_full: bool, runs: &mut usize| {
                let mut own = candidates.clone();
                *runs += drive(&mut Exhaustive::new(target, is_full), &mut own, &answers);
                Exhaustive::choice(&own)
            };
            differ += usize::from(choose(false, &mut early_runs) != choose(true, &mut full_runs));
        }
        assert!(differ <= 10, "{differ} of 200 at a confidence of 95 %");
        assert!(early_runs * 2 < full_runs, "{early_runs} of {full_runs}");
    }

    #[test]
    fn a_search_that_nothing_satisfies_ends() {
        let (mut candidates, answers) = race(1, 100);
        let target = Target { of: 100, right: 101, samples: 100, confidence: 0.95 };
        drive(&mut Exhaustive::new(target, false), &mut candidates, &answers);
        assert_eq!(Exhaustive::choice(&candidates), None);
        assert!(candidates.iter().all(|candidate| candidate.fate == Fate::Dropped));
    }
}
