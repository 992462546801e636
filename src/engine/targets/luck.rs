//! Which settings have what is asked for by luck.
//!
//! On a finite set of samples the share of right answers is not monotone in what weights lost: one file has an answer more
//! than a finer one by chance. Divergence from the float network's answers hears of every score of every sample and hardly
//! wavers. So shares are taken to fall as divergence grows, and that curve is fitted to all settings measured: isotonic
//! regression, which replaces a run of values that are out of order by their mean (M. Ayer et al., "An empirical distribution
//! function for sampling with incomplete information", 1955). A setting *has* what is asked for where both its own share and
//! the fitted one do; where only its own does, settings nearer to the float network fell short by more than it exceeds, and it
//! is *luck*. One setting that falls short by an answer therefore takes nothing from its neighbours that exceed by more.
//!
//! A divergence that is asked for is its own curve, and never luck. Cost: n log n for n settings.

use super::{Measured, ROUNDING, Target};

/// What is made of a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It has what is asked for.
    Holds,
    /// It has it on these samples, and those nearer to the float network say that others will not.
    Luck,
    /// It falls short.
    Misses,
}

impl Verdict {
    /// One word.
    pub fn name(self) -> &'static str {
        match self {
            Self::Holds => "holds",
            Self::Luck => "luck",
            Self::Misses => "misses",
        }
    }
}

/// The [`slack`](Target::slack) of each setting as the fitted curve has it: not increasing with divergence. What was not run
/// has −∞.
pub fn fitted(target: Target, measured: &[Measured]) -> Vec<f64> {
    let mut order: Vec<(f64, f64, usize)> = measured
        .iter()
        .enumerate()
        .filter_map(|(at, measured)| Some((measured.answers?.divergence, target.slack(measured), at)))
        .filter(|(divergence, slack, _)| divergence.is_finite() && slack.is_finite())
        .collect();
    order.sort_by(|a, b| a.0.total_cmp(&b.0));
    // Blocks of neighbours with the sum of their slacks; equal divergences are one block.
    let mut blocks: Vec<(f64, Vec<usize>)> = Vec::new();
    let mut last = f64::NEG_INFINITY;
    for (divergence, slack, at) in order {
        match blocks.last_mut().filter(|_| divergence <= last) {
            Some((sum, members)) => {
                *sum += slack;
                members.push(at);
            }
            None => blocks.push((slack, vec![at])),
        }
        last = divergence;
        merge(&mut blocks);
    }
    let mut fitted = vec![f64::NEG_INFINITY; measured.len()];
    for (sum, members) in &blocks {
        for at in members {
            if let Some(slot) = fitted.get_mut(*at) {
                *slot = sum / members.len() as f64;
            }
        }
    }
    fitted
}

/// Joins the last blocks as long as the later has the larger mean.
fn merge(blocks: &mut Vec<(f64, Vec<usize>)>) {
    let mean = |(sum, members): &(f64, Vec<usize>)| sum / members.len() as f64;
    while let [.., before, after] = blocks.as_slice()
        && mean(after) > mean(before)
    {
        let Some((sum, members)) = blocks.pop() else { return };
        let Some(before) = blocks.last_mut() else { return };
        before.0 += sum;
        before.1.extend(members);
    }
}

/// What is made of each setting, by all of them.
pub fn verdicts(target: Target, measured: &[Measured]) -> Vec<Verdict> {
    let of_pair = |(measured, fitted): (&Measured, f64)| {
        if !target.is_met(measured) {
            Verdict::Misses
        } else if fitted < -ROUNDING {
            Verdict::Luck
        } else {
            Verdict::Holds
        }
    };
    measured.iter().zip(fitted(target, measured)).map(of_pair).collect()
}

#[cfg(test)]
mod tests {
    use super::super::Answers;
    use super::*;

    fn settings(pairs: &[(f64, f64)]) -> Vec<Measured> {
        let one = |(divergence, accuracy): &(f64, f64)| {
            let answers =
                Answers { accuracy: Some(*accuracy), agreement: *accuracy, divergence: *divergence };
            Measured { answers: Some(answers), ..Measured::default() }
        };
        pairs.iter().map(one).collect()
    }

    #[test]
    fn values_out_of_order_are_replaced_by_their_mean() {
        // By hand: 0.95 stays; 0.90, 0.92 and 0.94 are 0.92; 0.5 stays.
        let all = settings(&[(0.4, 0.94), (0.1, 0.95), (0.2, 0.90), (0.3, 0.92), (0.5, 0.5)]);
        let fitted = fitted(Target::Accuracy(0.9), &all);
        for (found, expected) in fitted.iter().zip([0.02, 0.05, 0.02, 0.02, -0.4]) {
            assert!((found - expected).abs() < 1e-12, "{fitted:?}");
        }
    }

    #[test]
    fn a_coarse_setting_above_finer_ones_that_miss_is_luck() {
        use Verdict::{Holds, Luck, Misses};
        let all = settings(&[(0.01, 0.93), (0.05, 0.905), (0.08, 0.90), (0.1, 0.925), (0.3, 0.7)]);
        assert_eq!(verdicts(Target::Accuracy(0.92), &all), [Holds, Misses, Misses, Luck, Misses]);
    }

    #[test]
    fn one_answer_that_a_finer_setting_lacks_makes_no_luck() {
        use Verdict::{Holds, Misses};
        let all = settings(&[(0.01, 0.93), (0.05, 0.919), (0.1, 0.925)]);
        assert_eq!(verdicts(Target::Accuracy(0.92), &all), [Holds, Misses, Holds]);
    }

    #[test]
    fn a_divergence_is_never_luck_and_what_was_not_run_misses() {
        use Verdict::{Holds, Misses};
        let mut all = settings(&[(0.01, 0.2), (0.05, 0.9), (0.1, 0.95)]);
        all.push(Measured::default());
        assert_eq!(verdicts(Target::Divergence(0.05), &all), [Holds, Holds, Misses, Misses]);
        assert_eq!(verdicts(Target::Agreement(0.9), &[]), []);
    }

    /// Networks whose share of right answers falls from 0.95 with divergence, each measured on its own 400 samples: the share
    /// of coarse answers that are wrong by a point and a half is smaller with the fitted curve than without.
    #[test]
    fn simulated_answers_are_overrated_less_often_than_without_the_curve() {
        let mut random = crate::random::SplitMix64::new(7);
        let mut uniform = || random.unit();
        let (mut plain, mut fitted) = (0, 0);
        for _ in 0..300 {
            let truth = |divergence: f64| 0.95 - 0.3 * divergence;
            let all: Vec<(f64, f64)> = (1..=12)
                .map(|at| {
                    let divergence = 0.02 * f64::from(at);
                    let right = (0..400).filter(|_| uniform() < truth(divergence)).count();
                    (divergence, right as f64 / 400.0)
                })
                .collect();
            let all = settings(&all);
            let target = Target::Accuracy(0.92);
            let verdicts = verdicts(target, &all);
            let is_wrong = |at: usize| truth(0.02 * (at + 1) as f64) < 0.905;
            let coarsest = |good: &dyn Fn(usize) -> bool| (0..all.len()).rev().find(|at| good(*at));
            plain += usize::from(coarsest(&|at| target.is_met(&all[at])).is_some_and(is_wrong));
            fitted += usize::from(coarsest(&|at| verdicts[at] == Verdict::Holds).is_some_and(is_wrong));
        }
        assert!(plain > 40 && fitted * 2 < plain, "{plain} without, {fitted} with, of 300");
    }
}
