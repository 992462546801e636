//! The search for what a network's answers are worth on a grid, from coarse to fine.
//!
//! Accuracy is not monotone in rate: on a finite test set a coarse setting may do well by chance. So every point of a coarse
//! grid is measured from its coarse end until two neighbours [hold](Verdict::Holds). The gap between the coarsest setting that
//! holds and its coarser neighbour, which does not, is then halved a few times.

use super::axis::Axis;
use super::luck::{Verdict, verdicts};
use super::{Measured, Setting, Target, Trial};
use crate::quantize::Method;

/// Times that the gap between the coarsest setting that holds and its coarser neighbour is halved.
const HALVINGS: u32 = 4;

/// The search for one method.
#[derive(Debug)]
pub struct GridSearch {
    target: Target,
    axis: Axis,
    /// The grid's values that are not measured yet, the coarsest last.
    grid: Vec<f64>,
    /// All that was measured, in order.
    trials: Vec<Trial>,
    halvings: u32,
    asked: Option<f64>,
}

impl GridSearch {
    /// A search for a target that was checked, over a grid of `points` values of the method's swept parameter.
    pub fn new(target: Target, method: &'static Method, points: usize) -> Self {
        let axis = Axis::new(method);
        let (fine, coarse) = axis.sweep();
        let last = points.max(2) - 1;
        let at = |i: usize| axis.value(fine + (coarse - fine) * i as f64 / last as f64);
        let mut grid: Vec<f64> = (0..=last).map(at).collect();
        grid.dedup();
        Self { target, axis, grid, trials: Vec::new(), halvings: 0, asked: None }
    }

    /// The setting to be tried next; none once the search has ended.
    pub fn next_setting(&mut self) -> Option<Setting> {
        let verdicts = self.verdicts();
        let is_confirmed =
            self.halvings > 0 || matches!(verdicts.as_slice(), [.., Verdict::Holds, Verdict::Holds]);
        let next = if is_confirmed { None } else { self.grid.pop() };
        self.asked = next.or_else(|| self.halved(&verdicts));
        Some(self.axis.setting(self.asked?))
    }

    fn verdicts(&self) -> Vec<Verdict> {
        verdicts(self.target, &self.trials.iter().map(|trial| trial.measured).collect::<Vec<_>>())
    }

    /// The coarsest trial that holds.
    fn coarsest(&self, verdicts: &[Verdict]) -> Option<&Trial> {
        let held = self.trials.iter().zip(verdicts).filter(|(_, verdict)| **verdict == Verdict::Holds);
        held.map(|(trial, _)| trial).max_by(|a, b| self.place(a).total_cmp(&self.place(b)))
    }

    fn place(&self, trial: &Trial) -> f64 {
        self.axis.coordinate(trial.setting.value)
    }

    /// The middle between the coarsest trial that holds and its coarser neighbour.
    fn halved(&mut self, verdicts: &[Verdict]) -> Option<f64> {
        let held = self.place(self.coarsest(verdicts)?);
        let coarser = self.trials.iter().map(|trial| self.place(trial)).filter(|place| *place > held);
        let coarser = coarser.min_by(f64::total_cmp)?;
        self.halvings += 1;
        let middle = self.axis.value(f64::midpoint(held, coarser));
        let is_new = self.trials.iter().all(|trial| trial.setting.value != middle);
        (is_new && self.halvings <= HALVINGS).then_some(middle)
    }

    /// Takes what the last setting gave.
    pub fn measured(&mut self, measured: Measured) -> Option<Trial> {
        let trial = Trial { setting: self.axis.setting(self.asked.take()?), measured };
        self.trials.push(trial);
        Some(trial)
    }

    /// Hears that the last setting could not be solved: it counts as not tried, and a gap that it lies in is not halved further.
    pub fn refused(&mut self) {
        self.asked = None;
        if self.halvings > 0 {
            self.halvings = HALVINGS;
        }
    }

    /// The coarsest setting that holds, by what this search has measured.
    pub fn answer(&self) -> Option<Trial> {
        self.coarsest(&self.verdicts()).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::super::Answers;
    use super::*;
    use crate::quantize::methods::find;

    /// Searches eight grid points of `step` from 0.03 to 4 against accuracies by step, where divergence grows with the step: the
    /// answer, how many were luck, the steps tried.
    fn search(target: f64, accuracy: impl Fn(f64) -> f64) -> (Option<f64>, usize, Vec<f64>) {
        let mut search = GridSearch::new(Target::Accuracy(target), find("uniform").unwrap(), 8);
        let mut tried = Vec::new();
        while let Some(setting) = search.next_setting() {
            let step = setting.value;
            tried.push(step);
            let accuracy = accuracy(step);
            let answers = Answers { accuracy: Some(accuracy), agreement: accuracy, divergence: step };
            search.measured(Measured { answers: Some(answers), ..Measured::default() }).unwrap();
        }
        let answer = search.answer().map(|trial| trial.setting.value);
        let luck = search.verdicts().iter().filter(|verdict| **verdict == Verdict::Luck).count();
        (answer, luck, tried)
    }

    #[test]
    fn a_falling_accuracy_is_followed_to_within_a_sixteenth_of_a_grid_gap() {
        let (answer, luck, tried) = search(0.9, |step| 1.0 - step / 10.0);
        let answer = answer.unwrap();
        // The grid's ratio is (4/0.03)^(1/7) = 2.01; its sixteenth root 1.045.
        assert!(answer <= 1.0 && answer > 1.0 / 1.05, "{answer} {tried:?}");
        assert_eq!(luck, 0);
        assert!(tried.windows(2).take(3).all(|pair| pair[0] > pair[1]), "from coarse to fine: {tried:?}");
    }

    #[test]
    fn a_setting_that_has_it_by_luck_is_not_the_answer() {
        // The coarsest grid point does well by chance, its finer neighbours do not.
        let (answer, luck, _) = search(0.9, |step| if step > 3.9 { 0.95 } else { 1.0 - step / 10.0 });
        assert!(answer.unwrap() <= 1.0);
        assert_eq!(luck, 1);
    }

    #[test]
    fn the_ends_of_the_grid_may_be_answers() {
        assert_eq!(search(0.0, |_| 0.1).0, Some(4.0));
        assert_eq!(search(0.9, |step| if step < 0.04 { 0.95 } else { 0.1 }).0.map(|x| x < 0.06), Some(true));
        assert_eq!(search(0.9, |_| 0.1).0, None);
    }
}
