//! The search for an accuracy on a grid, from coarse to fine.
//!
//! Accuracy is not monotone in rate: on a finite test set a coarse setting may do well by chance. So every point of a coarse
//! grid is measured from its coarse end until two neighbours meet the target: the coarser of them is the first that its
//! finer neighbour confirms. The gap between it and its coarser neighbour, which missed, is then halved a few times. A
//! setting that met while its finer neighbour missed is unconfirmed, and never the answer.

use super::axis::Axis;
use super::{Measured, Setting, Target, Trial};
use crate::quantize::Method;

/// Times that the gap between the last grid point that missed and the first that met is halved.
const HALVINGS: u32 = 4;

/// The search for one method.
#[derive(Debug)]
pub struct GridSearch {
    target: Target,
    axis: Axis,
    /// The grid's values that are not measured yet, the coarsest last.
    grid: Vec<f64>,
    /// The last grid point measured, if it met: it waits for its finer neighbour.
    candidate: Option<Trial>,
    /// The last value that missed.
    missed: Option<f64>,
    /// The coarsest that met with its finer neighbour.
    confirmed: Option<Trial>,
    /// Settings that met while their finer neighbour missed.
    unconfirmed: Vec<Trial>,
    halvings: u32,
    asked: Option<f64>,
}

impl GridSearch {
    /// A search for a target that was checked.
    pub(super) fn new(target: Target, method: &'static Method, points: usize) -> Self {
        let axis = Axis::new(method);
        let (fine, coarse) = axis.sweep();
        let last = points.max(2) - 1;
        let at = |i: usize| axis.value(fine + (coarse - fine) * i as f64 / last as f64);
        let mut grid: Vec<f64> = (0..=last).map(at).collect();
        grid.dedup();
        let (candidate, missed, confirmed, unconfirmed) = (None, None, None, Vec::new());
        Self { target, axis, grid, candidate, missed, confirmed, unconfirmed, halvings: 0, asked: None }
    }

    /// The setting to be tried next; none once the search has ended.
    pub fn next_setting(&mut self) -> Option<Setting> {
        self.asked = if self.confirmed.is_some() { self.halved() } else { self.grid.pop() };
        Some(self.axis.setting(self.asked?))
    }

    fn halved(&mut self) -> Option<f64> {
        let (missed, met) = (self.missed?, self.confirmed?.setting.value);
        self.halvings += 1;
        let middle = self.axis.value(f64::midpoint(self.axis.coordinate(missed), self.axis.coordinate(met)));
        (middle != met && middle != missed && self.halvings <= HALVINGS).then_some(middle)
    }

    /// Takes what the last setting gave.
    pub fn measured(&mut self, measured: Measured) -> Option<Trial> {
        let value = self.asked.take()?;
        let trial = Trial { setting: self.axis.setting(value), measured };
        let met = self.target.is_met(&measured);
        if self.confirmed.is_some() && met {
            // Its finer neighbour is the one confirmed before.
            self.confirmed = Some(trial);
        } else if self.confirmed.is_some() || !met {
            self.missed = Some(value);
            self.unconfirmed.extend(self.candidate.take());
        } else if self.candidate.is_some() {
            self.confirmed = self.candidate.take();
        } else {
            self.candidate = Some(trial);
        }
        Some(trial)
    }

    /// Hears that the last setting could not be solved: it counts as not tried.
    pub fn refused(&mut self) {
        self.asked = None;
    }

    /// The coarsest setting that met the target with its finer neighbour; the finest of the grid has none and stands alone.
    pub fn answer(&self) -> Option<Trial> {
        self.confirmed.or(self.candidate.filter(|_| self.grid.is_empty()))
    }

    /// Settings that met the target while their finer neighbour missed it.
    pub fn unconfirmed(&self) -> &[Trial] {
        &self.unconfirmed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quantize::methods::find;

    /// Searches eight grid points of `step` from 0.03 to 4 against accuracies by step: the answer, how many were unconfirmed,
    /// the steps tried.
    fn search(target: f64, accuracy: impl Fn(f64) -> f64) -> (Option<f64>, usize, Vec<f64>) {
        let mut search = GridSearch::new(Target::Accuracy(target), find("uniform").unwrap(), 8);
        let mut tried = Vec::new();
        while let Some(setting) = search.next_setting() {
            let step = setting.value;
            tried.push(step);
            search.measured(Measured { accuracy: Some(accuracy(step)), ..Measured::default() }).unwrap();
        }
        let answer = search.answer().map(|trial| trial.setting.value);
        (answer, search.unconfirmed().len(), tried)
    }

    #[test]
    fn a_falling_accuracy_is_followed_to_within_a_sixteenth_of_a_grid_gap() {
        let (answer, unconfirmed, tried) = search(0.9, |step| 1.0 - step / 10.0);
        let answer = answer.unwrap();
        // The grid's ratio is (4/0.03)^(1/7) = 2.01; its sixteenth root 1.045.
        assert!(answer <= 1.0 && answer > 1.0 / 1.05, "{answer} {tried:?}");
        assert_eq!(unconfirmed, 0);
        assert!(tried.windows(2).take(3).all(|pair| pair[0] > pair[1]), "from coarse to fine: {tried:?}");
    }

    #[test]
    fn an_unconfirmed_setting_is_not_the_answer() {
        // The coarsest grid point does well by chance, its finer neighbours do not.
        let (answer, unconfirmed, _) = search(0.9, |step| if step > 3.9 { 0.95 } else { 1.0 - step / 10.0 });
        assert!(answer.unwrap() <= 1.0);
        assert_eq!(unconfirmed, 1);
    }

    #[test]
    fn the_ends_of_the_grid_may_be_answers() {
        assert_eq!(search(0.0, |_| 0.1).0, Some(4.0));
        assert_eq!(search(0.9, |step| if step < 0.04 { 0.95 } else { 0.1 }).0.map(|x| x < 0.06), Some(true));
        assert_eq!(search(0.9, |_| 0.1).0, None);
    }
}
