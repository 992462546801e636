//! Curves: which are drawn, whether they answer what is asked now, which is to be asked for next.

use super::{Answered, State};
use crate::engine::report::{Curve, Point, Sweep};
use crate::quantize::methods::{self, Method};

/// Points of a curve.
pub const POINTS: usize = 20;

impl State {
    /// The curves that answer what is asked now, of the methods that are drawn, in the order of the table of methods.
    pub fn drawn(&self) -> Sweep {
        let mut all = Sweep::default();
        for (method, answer) in self.curves() {
            if self.is_current_curve(method, answer) {
                all.curves.extend(answer.value.curves.iter().cloned());
                if all.bounds.is_empty() {
                    all.bounds.clone_from(&answer.value.bounds);
                }
            }
        }
        all
    }

    /// The curves that answered an earlier question, for as long as nothing newer stands in their place.
    pub fn earlier(&self) -> Vec<Curve> {
        let stale = self.curves().filter(|(method, answer)| !self.is_current_curve(method, answer));
        stale.flat_map(|(_, answer)| answer.value.curves.iter().cloned()).collect()
    }

    fn curves(&self) -> impl Iterator<Item = (&'static Method, &Answered<Sweep>)> {
        let shown = methods::METHODS.iter().filter(|method| self.view.methods.contains(&method.id));
        shown.filter_map(|method| Some((method, self.answers.curves.get(slot(method.id))?.as_ref()?)))
    }

    fn is_current_curve(&self, method: &Method, answer: &Answered<Sweep>) -> bool {
        self.curve_question(method).as_ref() == Some(&answer.question)
    }

    /// The question that a method's curve answers now; none where nothing can be asked.
    pub fn curve_question(&self, method: &Method) -> Option<String> {
        self.question()?;
        let mut recipe = self.solvable();
        if recipe.method != method.id {
            recipe.settings.clear();
            method.id.clone_into(&mut recipe.method);
        }
        recipe.unset(method.swept);
        Some(Self::ask(&recipe, self.file.as_ref()?))
    }

    /// The next curve that is missing, with its question; the method in use comes first.
    pub fn next_curve(&self, refused: &[String]) -> Option<(&'static Method, String)> {
        let is_used = |method: &&Method| method.id == self.wish.recipe.method;
        let others = methods::METHODS.iter().filter(|m| !is_used(m) && self.view.methods.contains(&m.id));
        methods::METHODS.iter().filter(is_used).chain(others).find_map(|method| {
            let question = self.curve_question(method)?;
            let answer = self.answers.curves.get(slot(method.id)).and_then(Option::as_ref);
            let is_open = answer.is_none_or(|answer| answer.question != question);
            (is_open && !refused.contains(&question)).then_some((method, question))
        })
    }
}

/// A method's place in the palette.
pub fn slot(method: &str) -> usize {
    methods::METHODS.iter().position(|row| row.id == method).unwrap_or(0)
}

/// The quality that is shown.
pub fn quality(point: &Point, weighted: bool) -> f64 {
    if weighted { point.weighted_sqnr_db } else { point.sqnr_db }
}
