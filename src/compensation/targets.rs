//! Weights as the errors of those before them ask for them, while these are decided one after the other.

use super::{Feedback, dot};

/// The targets of a run of weights. Weights are decided in order; the target of one is known once those before it are that
/// tell on it: of units whose weights follow one another all of them, of units side by side those of earlier places.
#[derive(Debug)]
pub struct Targets<'a> {
    weights: &'a [f32],
    feedback: Option<Feedback<'a>>,
    /// The weights with what was pushed to them, of units side by side.
    pushed: Vec<f32>,
    /// w − ŵ of the weights that are decided.
    errors: Vec<f32>,
    /// Weights whose errors have been pushed.
    done: usize,
}

impl<'a> Targets<'a> {
    /// The targets of `weights`; themselves without feedback.
    pub fn new(weights: &'a [f32], feedback: Option<Feedback<'a>>) -> Self {
        let is_pushed = feedback.is_some_and(|feedback| !feedback.is_along());
        let pushed = if is_pushed { weights.to_vec() } else { Vec::new() };
        let errors = Vec::with_capacity(if feedback.is_some() { weights.len() } else { 0 });
        Self { weights, feedback, pushed, errors, done: 0 }
    }

    /// What weight `at` is to be. What is exactly zero stays so.
    #[inline]
    pub fn get(&self, at: usize) -> f32 {
        let weight = self.weight(at);
        let Some(feedback) = self.feedback.filter(|_| weight != 0.0) else { return weight };
        if feedback.is_along() {
            return self.get_without(at, feedback.shares(at), 0);
        }
        self.pushed.get(at).copied().unwrap_or(weight)
    }

    /// The weight itself with the errors before it but for those of the last `without`, of units whose weights follow one
    /// another.
    #[inline]
    pub fn get_without(&self, at: usize, shares: &[f32], without: usize) -> f32 {
        let shares = shares.get(..shares.len().saturating_sub(without)).unwrap_or_default();
        let end = at.saturating_sub(without);
        self.weight(at) + dot(shares, self.errors.get(end - shares.len()..end).unwrap_or_default())
    }

    /// The weight `at` itself.
    #[inline]
    pub fn weight(&self, at: usize) -> f32 {
        self.weights.get(at).copied().unwrap_or(0.0)
    }

    /// Takes it that the next weight is `value`.
    #[inline]
    pub fn decide(&mut self, value: f32) {
        let Some(feedback) = self.feedback else { return };
        let at = self.errors.len();
        self.errors.push(self.weight(at) - value);
        if !feedback.is_along() && (feedback.left(at) == 1 || at + 1 == self.weights.len()) {
            let errors = self.errors.get(self.done..).unwrap_or_default();
            feedback.push(self.done, errors, &mut self.pushed);
            self.done = at + 1;
        }
    }

    /// Weights from `at` on whose targets do not tell on one another.
    pub fn together(&self, at: usize) -> usize {
        let rest = self.weights.len() - at.min(self.weights.len());
        match self.feedback {
            None => rest,
            Some(feedback) if feedback.is_along() => rest.min(1),
            Some(feedback) => feedback.left(at).min(rest),
        }
    }
}
