//! The walk towards an accuracy, from coarse to fine.
//!
//! Accuracy is not monotone in rate: on a finite test set a coarse setting may do well by luck. So every point of a coarse
//! grid is measured from its coarse end until two neighbours meet the target: the coarser of them is the first that is no
//! lone stroke of luck. The gap between it and its coarser neighbour, which missed, is then halved a few times. A setting
//! that met while its finer neighbour missed is never the answer.

use super::{Measured, SettingsError, Target, Trial};
use crate::engine::target::axis::Axis;
use crate::quantize::{Method, Value};
use crate::recipe::Recipe;

/// Times that the gap between the last grid point that missed and the first that met is halved.
const HALVINGS: u32 = 4;

/// The walk for one method.
#[derive(Debug)]
pub struct Descent {
    target: Target,
    base: Recipe,
    swept: &'static str,
    axis: Axis,
    /// The grid's values that are not measured yet, the coarsest last.
    grid: Vec<Value>,
    /// The last grid point measured, if it met: it waits for its finer neighbour.
    candidate: Option<Trial>,
    /// The last place that missed.
    missed: Option<f64>,
    /// The coarsest that met with its finer neighbour.
    confirmed: Option<Trial>,
    /// Settings that met while their finer neighbour missed.
    lucky: Vec<Trial>,
    halvings: u32,
    asked: Option<Value>,
}

impl Descent {
    /// A walk with `method` in place of the recipe's own over `points` values of its swept parameter.
    pub fn new(
        target: Target,
        recipe: &Recipe,
        method: &'static Method,
        points: usize,
    ) -> Result<Self, SettingsError> {
        target.check(recipe)?;
        let mut base = recipe.clone();
        if base.method != method.id {
            method.id.clone_into(&mut base.method);
            base.settings.clear();
        }
        base.check()?;
        let axis = Axis::new(method);
        let (fine, coarse) = axis.sweep();
        let last = points.max(2) - 1;
        let at = |i: usize| axis.value(fine + (coarse - fine) * i as f64 / last as f64);
        let mut grid: Vec<Value> = (0..=last).map(at).collect();
        grid.dedup();
        let (candidate, missed, confirmed, lucky) = (None, None, None, Vec::new());
        let swept = method.swept;
        Ok(Self {
            target,
            base,
            swept,
            axis,
            grid,
            candidate,
            missed,
            confirmed,
            lucky,
            halvings: 0,
            asked: None,
        })
    }

    /// The recipe to be tried next; none once the walk has ended.
    pub fn next_recipe(&mut self) -> Option<Recipe> {
        let value = if self.confirmed.is_some() { self.halved()? } else { self.grid.pop()? };
        self.asked = Some(value.clone());
        Some(self.base.with(self.swept, value))
    }

    fn halved(&mut self) -> Option<Value> {
        let confirmed = &self.confirmed.as_ref()?.value;
        let (missed, met) = (self.missed?, self.axis.place_of(confirmed)?);
        self.halvings += 1;
        let middle = self.axis.value(f64::midpoint(missed, met));
        let is_new = middle != *confirmed && middle != self.axis.value(missed);
        (is_new && self.halvings <= HALVINGS).then_some(middle)
    }

    /// Takes what the last recipe gave.
    pub fn measured(&mut self, measured: Measured) -> Option<Trial> {
        let value = self.asked.take()?;
        let recipe = self.base.with(self.swept, value.clone());
        let trial = Trial { recipe, parameter: self.swept, value, measured };
        let met = self.target.is_met(&measured);
        if self.confirmed.is_some() && met {
            // Its finer neighbour is the one confirmed before.
            self.confirmed = Some(trial.clone());
        } else if self.confirmed.is_some() || !met {
            self.missed = self.axis.place_of(&trial.value);
            self.lucky.extend(self.candidate.take());
        } else if self.candidate.is_some() {
            self.confirmed = self.candidate.take();
        } else {
            self.candidate = Some(trial.clone());
        }
        Some(trial)
    }

    /// Hears that the last recipe could not be solved: it counts as not tried.
    pub fn refused(&mut self) {
        self.asked = None;
    }

    /// The coarsest setting that met the target with its finer neighbour; the finest of the grid has none and stands alone.
    pub fn answer(&self) -> Option<&Trial> {
        self.confirmed.as_ref().or(self.candidate.as_ref().filter(|_| self.grid.is_empty()))
    }

    /// Settings that met the target while their finer neighbour missed it.
    pub fn lucky(&self) -> &[Trial] {
        &self.lucky
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quantize::methods::find;

    /// Walks with eight grid points of `step` from 0.03 to 4 against accuracies by step; the answer, the lucky ones, trials.
    fn walk(target: f64, accuracy: impl Fn(f64) -> f64) -> (Option<f64>, usize, Vec<f64>) {
        let mut descent =
            Descent::new(Target::Accuracy(target), &Recipe::default(), find("uniform").unwrap(), 8).unwrap();
        let mut tried = Vec::new();
        while let Some(recipe) = descent.next_recipe() {
            let step = recipe.check().unwrap().1.number("step");
            tried.push(step);
            descent.measured(Measured { accuracy: Some(accuracy(step)), ..Measured::default() }).unwrap();
        }
        let answer = descent.answer().map(|trial| match trial.value {
            Value::Number(x) => x,
            _ => panic!("no number"),
        });
        (answer, descent.lucky().len(), tried)
    }

    #[test]
    fn a_falling_accuracy_is_followed_to_within_a_sixteenth_of_a_grid_gap() {
        let (answer, lucky, tried) = walk(0.9, |step| 1.0 - step / 10.0);
        let answer = answer.unwrap();
        // The grid's ratio is (4/0.03)^(1/7) = 2.01; its sixteenth root 1.045.
        assert!(answer <= 1.0 && answer > 1.0 / 1.05, "{answer} {tried:?}");
        assert_eq!(lucky, 0);
        assert!(tried.windows(2).take(3).all(|pair| pair[0] > pair[1]), "from coarse to fine: {tried:?}");
    }

    #[test]
    fn a_lone_lucky_setting_is_not_the_answer() {
        // The coarsest grid point does well by luck, its finer neighbours do not.
        let (answer, lucky, _) = walk(0.9, |step| if step > 3.9 { 0.95 } else { 1.0 - step / 10.0 });
        assert!(answer.unwrap() <= 1.0);
        assert_eq!(lucky, 1);
    }

    #[test]
    fn the_ends_of_the_grid_may_be_answers() {
        assert_eq!(walk(0.0, |_| 0.1).0, Some(4.0));
        assert_eq!(walk(0.9, |step| if step < 0.04 { 0.95 } else { 0.1 }).0.map(|x| x < 0.06), Some(true));
        assert_eq!(walk(0.9, |_| 0.1).0, None);
    }
}
