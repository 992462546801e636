//! Recipes measured on samples: curves, one recipe, tensor by tensor.

use super::super::jobs::{Answer, Job, Size};
use super::state::{Origin, Run, measured, method_of, spread};
use super::{Panel, percent};
use crate::network::measure::{Measures, Outputs};
use crate::number;
use crate::quantize::methods::{self, METHODS};
use crate::quantize::{Needs, Value};
use crate::recipe::Recipe;
use crate::web::dom::{append, clear, make, set, show};
use crate::web::oneshot::Receiver;
use crate::web::pool::{Failure, Outcome, unexpected};
use std::ops::Range;
use std::rc::Rc;
use web_sys::Element;

/// Samples of the first, coarse round.
pub const COARSE: usize = 256;
/// Fewer samples than this are not worth a second worker.
const FEW: usize = 400;
/// Points of a curve.
const POINTS: usize = 8;
/// Times that points are added where a curve falls, and how much of the answers must change for that.
const REFINEMENTS: u32 = 2;
const FALL: f64 = 0.08;

/// A point that is wanted: its method and recipe.
type Wanted = (String, String);

fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Integer(n) => Some(*n as f64),
        Value::Number(x) => Some(*x),
        Value::Choice(_) => None,
    }
}

impl Panel {
    pub(super) fn samples(&self) -> usize {
        self.state.borrow().data.as_ref().map_or(0, |data| data.samples)
    }

    fn progress(&self, done: usize, of: usize) {
        self.set_progress(done as f64 / of.max(1) as f64);
    }

    fn set_progress(&self, share: f64) {
        self.elements.progress.set_value(share);
    }

    pub(super) fn coarse(&self) -> usize {
        self.state.borrow().data.as_ref().map_or(0, |data| data.samples.min(COARSE))
    }

    /// Runs the float weights on the samples up to `until` that they have not seen yet.
    pub(super) async fn run_float(self: &Rc<Self>, until: usize) -> Outcome<()> {
        let start = self.state.borrow().float.samples;
        if start < until {
            let outputs = self.run_range(None, None, start..until).await?.0;
            self.state.borrow_mut().float.extend(outputs, until);
        }
        Ok(())
    }

    /// Runs weights on a range of samples, a share of them in each worker.
    pub(super) async fn run_range(
        self: &Rc<Self>,
        recipe: Option<&str>,
        only: Option<&str>,
        range: Range<usize>,
    ) -> Outcome<(Outputs, Option<Size>)> {
        let workers = if range.len() < FEW { 1 } else { self.pool.len() };
        let share = range.len().div_ceil(workers).max(1);
        let ask = |start: usize| {
            let range = (start, (start + share).min(range.end));
            self.pool.run(Job::Run {
                recipe: recipe.map(str::to_owned),
                only: only.map(str::to_owned),
                range,
            })
        };
        let asked: Vec<Receiver<Outcome<Answer>>> = range.clone().step_by(share).map(ask).collect();
        let mut all = Outputs::default();
        let mut found = None;
        for receiver in asked {
            let Answer::Ran { outputs, classes, size } = self.answer(receiver).await? else {
                return Err(unexpected());
            };
            all.classes = classes;
            all.values.extend(outputs);
            found = size;
        }
        Ok((all, found))
    }

    /// Every method's curve: coarse first, then finer where the measure falls, then on all samples.
    pub(super) async fn curves(me: Rc<Self>) -> Outcome<()> {
        me.prepare().await?;
        let (total, coarse) = (me.samples(), me.coarse());
        me.run_float(coarse).await?;
        let (line, mut methods) = me.methods();
        // What is solved on pairs takes longest: it comes last and is asked for first, so that one worker is at it while the
        // others measure.
        let is_slow = |id: &str| methods::find(id).is_some_and(|method| method.needs == Needs::Pairs);
        methods.sort_by_key(|id| is_slow(id));
        let ask =
            |method: &str| Job::Curve { recipe: line.clone(), method: method.to_owned(), points: POINTS };
        let asked: Vec<_> = methods.iter().rev().map(|method| (*method, me.pool.run(ask(method)))).collect();
        let mut wanted: Vec<Wanted> = Vec::new();
        for (method, receiver) in asked.into_iter().rev() {
            if is_slow(method) {
                me.run_points(&wanted, coarse, (0.0, 0.3)).await?;
            }
            let Answer::Curve(points) = me.answer(receiver).await? else { return Err(unexpected()) };
            wanted.extend(points.into_iter().map(|(recipe, _)| (method.to_owned(), recipe)));
        }
        me.run_points(&wanted, coarse, (0.3, 0.5)).await?;
        me.state.borrow_mut().leave_curves_but(&wanted);
        for pass in 1..=REFINEMENTS {
            let between = me.falls(&wanted);
            me.run_points(&between, coarse, (0.4 + 0.1 * f64::from(pass), 0.5 + 0.1 * f64::from(pass)))
                .await?;
            wanted.extend(between);
        }
        if coarse < total {
            me.run_float(total).await?;
            me.run_points(&wanted, total, (0.7, 1.0)).await?;
        }
        Ok(())
    }

    /// The open recipe, and the methods whose curves are shown.
    fn methods(&self) -> (String, Vec<&'static str>) {
        let state = self.state.borrow();
        let shown = &state.open.methods;
        let methods =
            METHODS.iter().map(|method| method.id).filter(|id| shown.iter().any(|shown| shown == id));
        (state.open.recipe.clone(), methods.collect())
    }

    /// Runs points of curves on the samples up to `until` that they have not seen; `progress` is where the bar begins and ends.
    async fn run_points(
        self: &Rc<Self>,
        wanted: &[Wanted],
        until: usize,
        progress: (f64, f64),
    ) -> Outcome<()> {
        // A point to each worker: the weights are solved where they are run. The middle of each curve first, then quarters.
        let mut order: Vec<(usize, &Wanted)> =
            wanted.iter().enumerate().map(|(index, point)| (spread(index % POINTS, POINTS), point)).collect();
        order.sort();
        let mut asked = Vec::new();
        for (_, (method, recipe)) in order {
            let at = self.run_of(recipe, method);
            self.state.borrow_mut().mark_curve(at);
            let start = self.state.borrow().runs.get(at).map_or(0, |run| run.samples);
            if start < until {
                let ask = Job::Run { recipe: Some(recipe.clone()), only: None, range: (start, until) };
                asked.push((at, self.pool.run(ask)));
            }
        }
        let steps = asked.len().max(1);
        for (done, (at, receiver)) in asked.into_iter().enumerate() {
            let Answer::Ran { outputs, classes, size } = self.answer(receiver).await? else {
                return Err(unexpected());
            };
            self.state.borrow_mut().take_run(at, Outputs { values: outputs, classes }, until, size);
            let share = (done + 1) as f64 / steps as f64;
            self.set_progress(progress.0 + (progress.1 - progress.0) * share);
            self.draw();
        }
        Ok(())
    }

    /// Points between neighbours of a curve whose answers differ much.
    fn falls(&self, wanted: &[Wanted]) -> Vec<Wanted> {
        let state = self.state.borrow();
        let mut between = Vec::new();
        for method in METHODS {
            let mut curve: Vec<(f64, Recipe, f64)> = wanted
                .iter()
                .filter(|(id, _)| id == method.id)
                .filter_map(|(_, line)| {
                    let run = state.runs.iter().find(|run| run.recipe == *line)?;
                    let recipe = Recipe::from_line(line).ok()?;
                    let value = number(recipe.settings.get(method.swept)?)?;
                    Some((value, recipe, run.measures.against.as_ref()?.agreement.value()))
                })
                .collect();
            curve.sort_by(|a, b| a.0.total_cmp(&b.0));
            for pair in curve.windows(2) {
                let [(low, recipe, before), (high, _, after)] = pair else { continue };
                let middle = (low * high).sqrt();
                let value = match recipe.settings.get(method.swept) {
                    Some(Value::Integer(_)) => Value::Integer(libm::rint(middle) as u64),
                    _ => Value::Number(number::rounded(middle, 3)),
                };
                let fresh = number(&value).is_some_and(|x| x > *low && x < *high);
                if fresh && (before - after).abs() > FALL {
                    between.push((method.id.to_owned(), recipe.with(method.swept, value).to_line()));
                }
            }
        }
        between
    }

    /// The place of a recipe's run, a new one if there is none.
    fn run_of(&self, recipe: &str, method: &str) -> usize {
        let mut state = self.state.borrow_mut();
        if let Some(at) =
            state.runs.iter().position(|run| run.recipe == recipe && run.origin != Origin::Retrained)
        {
            return at;
        }
        state.runs.push(Run { recipe: recipe.to_owned(), method: method.to_owned(), ..Run::default() });
        state.runs.len() - 1
    }

    pub(super) async fn measure_this(me: Rc<Self>) -> Outcome<()> {
        me.prepare().await?;
        let line = me.state.borrow().open.recipe.clone();
        let at = me.run_of(&line, &method_of(&line));
        for until in [me.coarse(), me.samples()] {
            me.run_float(until).await?;
            let from = me.state.borrow().runs.get(at).map_or(0, |run| run.samples);
            if from < until {
                let (outputs, size) = me.run_range(Some(&line), None, from..until).await?;
                me.state.borrow_mut().take_run(at, outputs, until, size);
            }
            me.show_facts(at);
            me.draw();
        }
        Ok(())
    }

    /// Hands out the float network's answers, and those of the chosen point, as .npz.
    pub(super) async fn save_answers(me: Rc<Self>) -> Outcome<()> {
        me.prepare().await?;
        me.run_float(me.samples()).await?;
        let chosen = me.chosen();
        let bytes = {
            let state = me.state.borrow();
            let mut named = vec![("float", &state.float.outputs)];
            named.extend(chosen.as_ref().map(|run| ("quantized", &run.outputs)));
            Outputs::npz(&named).map_err(|error| error.to_string())?
        };
        me.download("answers.npz", &bytes);
        Ok(())
    }

    pub(super) async fn measure_tensors(me: Rc<Self>) -> Outcome<()> {
        me.prepare().await?;
        let line = me.state.borrow().open.recipe.clone();
        let until = me.coarse();
        me.run_float(until).await?;
        let (_, size) = me.run_range(Some(&line), None, 0..1).await?;
        let Some(predicted) = size.and_then(|size| size.predicted) else {
            return Err(Failure::Sentence(
                "Weigh errors by a curvature file first: compute one here, or choose it in the recipe."
                    .to_owned(),
            ));
        };
        let rows = &me.elements.tensor_rows;
        clear(rows);
        show(&me.elements.per_tensor, true);
        let steps = predicted.len();
        for (index, (name, predicted)) in predicted.into_iter().enumerate() {
            let (outputs, _) = me.run_range(Some(&line), Some(&name), 0..until).await?;
            let mut run = Run::default();
            run.extend(outputs, until);
            let measures = {
                let state = me.state.borrow();
                measured(&run, &state.float, state.data.as_ref())
            };
            append(rows, &me.tensor_row(&name, predicted, &measures));
            me.progress(index + 1, steps);
        }
        Ok(())
    }

    fn tensor_row(&self, name: &str, predicted: f64, measures: &Measures) -> Element {
        let against = measures.against.as_ref();
        let cells = [
            format!("{predicted:.6}"),
            against.and_then(|a| a.loss_change).map_or_else(|| "–".to_owned(), |c| format!("{c:.6}")),
            against.map_or_else(String::new, |a| percent(&a.agreement)),
            measures.top1.as_ref().map_or_else(|| "–".to_owned(), percent),
        ];
        let row = make(&self.document, "tr", "", "");
        let head = make(&self.document, "th", "", name);
        set(&head, "scope", "row");
        append(&row, &head);
        for cell in cells {
            append(&row, &make(&self.document, "td", "num", &cell));
        }
        row
    }
}
