//! Codebooks retrained on samples, and what that gave on others.

use super::super::jobs::{Answer, Job};
use super::state::{Origin, Run, method_of};
use super::{Panel, percent};
use crate::network::finetune::Schedule;
use crate::network::measure::{Measures, Outputs, measure};
use crate::web::dom::set_text;
use crate::web::pool::{Outcome, unexpected};
use std::rc::Rc;
use web_sys::HtmlInputElement;

/// Samples that are trained on at most, so that retraining takes seconds.
const MOST_TAUGHT: usize = 2000;

fn number(field: &HtmlInputElement, otherwise: f64) -> f64 {
    field.value().parse().unwrap_or(otherwise)
}

impl Panel {
    pub(super) async fn tune(me: Rc<Self>) -> Outcome<()> {
        me.prepare().await?;
        let line = me.state.borrow().open.recipe.clone();
        let schedule = Schedule {
            epochs: number(&me.elements.epochs, 4.0).clamp(1.0, 100.0) as usize,
            rate: number(&me.elements.rate, 0.02).clamp(1e-5, 1.0),
            ..Schedule::default()
        };
        let total = me.samples();
        let half = total / 2;
        // The half that teaches does not examine.
        let teach = (0, half.min(MOST_TAUGHT));
        me.run_float(total).await?;
        let before = me.run_range(Some(&line), None, half..total).await?.0;
        let ask = Job::Tune { recipe: line.clone(), schedule, teach, examine: (half, total) };
        let Answer::Tuned { file, size, losses, outputs, classes } = me.answer(me.pool.run(ask)).await?
        else {
            return Err(unexpected());
        };
        let after = Outputs { values: outputs, classes };
        let (then, now) = (me.examined(&before, half), me.examined(&after, half));
        let text = |m: &Measures| m.top1.as_ref().map_or_else(String::new, percent);
        set_text(
            &me.elements.done,
            &format!(
                "Retrained on {} samples; on {} others top-1 went from {} to {}, loss from {:.4} to {:.4} nats (float weights in training: {:.4} at last).",
                teach.1,
                total - half,
                text(&then),
                text(&now),
                then.loss.unwrap_or(f64::NAN),
                now.loss.unwrap_or(f64::NAN),
                losses.last().copied().unwrap_or(f64::NAN),
            ),
        );
        let at = {
            let mut state = me.state.borrow_mut();
            let stem =
                state.open.name.rsplit_once('.').map_or(state.open.name.clone(), |(stem, _)| stem.to_owned());
            state.last_file = Some((format!("{stem}.retrained.qsz"), file));
            let method = method_of(&line);
            let samples = total - half;
            state.runs.push(Run {
                recipe: line.clone(),
                method,
                origin: Origin::Retrained,
                size: Some(size),
                outputs: after,
                samples,
                measures: now,
            });
            state.runs.len() - 1
        };
        me.show_facts(at);
        Ok(())
    }

    /// Measures outputs on the samples from `start` on.
    fn examined(&self, outputs: &Outputs, start: usize) -> Measures {
        let total = self.samples();
        let state = self.state.borrow();
        let labels = state.data.as_ref().and_then(|data| data.labels.as_deref());
        let each = labels.map_or(0, |labels| labels.len() / total.max(1));
        let labels = labels.and_then(|labels| labels.get(start * each..total * each));
        let classes = state.float.outputs.classes;
        let per_sample = state.float.outputs.values.len() / total.max(1);
        let values = state.float.outputs.values.get(start * per_sample..).unwrap_or_default().to_vec();
        measure(outputs, labels, Some(&Outputs { values, classes }))
    }
}
