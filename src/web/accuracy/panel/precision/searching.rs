//! Drives the searches: what they ask goes to the workers, what these answer to the map.

use super::super::super::jobs::{Answer, Job, Trials};
use super::super::Panel;
use super::{Found, Results, Wish};
use crate::network::emulate::TensorFormat;
use crate::network::precision::scorer::CALIBRATION;
use crate::network::precision::trial::divided;
use crate::network::precision::{Ask, Candidate, Efficient, Exhaustive, Fate, Model, Search, Target};
use crate::web::dom::set_text;
use crate::web::pool::{Outcome, unexpected};
use std::rc::Rc;

/// What shuffles the samples, as in the program.
const SEED: u64 = 1;

/// The probability with which the choice is that of a search that drops nothing, as in the program.
const CONFIDENCE: f64 = 0.95;

impl Panel {
    /// Seconds of the browser's clock.
    fn seconds(&self) -> f64 {
        self.window.performance().map_or(0.0, |clock| clock.now() / 1e3)
    }

    /// Searches as the fields say.
    pub(super) async fn search(me: Rc<Self>, wish: Wish) -> Outcome<()> {
        me.report("Running float32", 0.0);
        me.prepare().await?;
        let all = me.samples();
        me.run_float(all).await?;
        let target = me.prepare_trials(&wish, all).await?;
        me.paint_precision();
        let (search, kept) = (wish.settings.search.as_str(), wish.kept);
        if search != "efficient" {
            me.exhaustive(target).await?;
        }
        if search != "exhaustive" {
            me.efficient(target, kept).await?;
        }
        me.precision.results.borrow_mut().is_over = true;
        me.paint_precision();
        Ok(())
    }

    /// Has the workers made ready, and begins with nothing found.
    async fn prepare_trials(self: &Rc<Self>, wish: &Wish, all: usize) -> Outcome<Target> {
        let ranked = Candidate::ranked(&wish.formats, &TensorFormat::bits);
        let (formats, candidates): (Vec<TensorFormat>, Vec<Candidate>) = ranked.into_iter().unzip();
        let calibration = if wish.parts.needs_calibration(&formats) { CALIBRATION } else { 0 };
        let samples = wish.samples.min(all.saturating_sub(calibration));
        if samples == 0 {
            return Err(format!("these formats need more than {calibration} samples, found {all}").into());
        }
        let trials = {
            let outputs = &self.state.borrow().float.outputs;
            let (outputs, classes) = (outputs.values.clone(), outputs.classes);
            Trials { parts: wish.parts, seed: SEED, samples, calibration, outputs, classes }
        };
        self.pool.tell_instead(Job::Prepare(trials), |told| matches!(told, Job::Prepare(_)));
        let Answer::Baseline { right, of, has_labels, hash } =
            self.answer(self.pool.run(Job::Baseline)).await?
        else {
            return Err(unexpected());
        };
        let target =
            Target::new(right, of, samples, wish.kept, CONFIDENCE).map_err(|error| error.to_string())?;
        let command = self.command(wish);
        let mut results = self.precision.results.borrow_mut();
        let order = std::mem::take(&mut results.order);
        *results = Results {
            settings: wish.settings.clone(),
            formats,
            candidates,
            target: Some(target),
            float: (right, of),
            has_labels,
            model: Some(Model::for_network(hash)),
            command,
            order,
            ..Results::default()
        };
        Ok(target)
    }

    async fn exhaustive(self: &Rc<Self>, target: Target) -> Outcome<()> {
        let (runs, seconds) = self.drive(&mut Exhaustive::new(target, false)).await?;
        let mut results = self.precision.results.borrow_mut();
        let choice = Exhaustive::choice(&results.candidates);
        results.found.push(Found { title: "Exhaustive", choice, runs, seconds, ..Found::default() });
        Ok(())
    }

    async fn efficient(self: &Rc<Self>, target: Target, kept: f64) -> Outcome<()> {
        let (model, formats) = {
            let results = self.precision.results.borrow();
            (results.model, results.formats.clone())
        };
        let Some(model) = model else { return Err(unexpected()) };
        let mut search = Efficient::new(target, kept, model, formats);
        let (_, seconds) = self.drive(&mut search).await?;
        let mut results = self.precision.results.borrow_mut();
        let foretold = search.foretold(&results.candidates).and_then(|at| {
            let share = model.predict(results.candidates.get(at)?.heard.r2);
            Some((at, share))
        });
        results.found.push(Found {
            title: "Efficient",
            choice: search.choice(),
            runs: search.runs(),
            seconds,
            foretold,
            measured: search.measured,
        });
        Ok(())
    }

    /// Drives a search to its end: samples that were run, and seconds.
    async fn drive(self: &Rc<Self>, search: &mut dyn Search) -> Outcome<(usize, f64)> {
        let began = self.seconds();
        let mut runs = 0;
        loop {
            let asks = {
                let candidates = &mut self.precision.results.borrow_mut().candidates;
                search.hear(candidates);
                search.asks(candidates)
            };
            self.paint_precision();
            if asks.is_empty() {
                return Ok((runs, self.seconds() - began));
            }
            let asks = divided(asks, self.pool.len());
            let asked: Vec<_> = asks.iter().map(|ask| (ask, self.pool.run(self.job(ask)))).collect();
            for (ask, receiver) in asked {
                let Answer::Scored(heard) = self.answer(receiver).await? else { return Err(unexpected()) };
                runs += ask.range.len();
                if let Some(candidate) = self.precision.results.borrow_mut().candidates.get_mut(ask.candidate)
                {
                    candidate.take(ask, heard);
                }
                self.report_runs(runs);
                self.paint_precision();
            }
        }
    }

    fn job(&self, ask: &Ask) -> Job {
        let results = self.precision.results.borrow();
        let format = results.candidates.get(ask.candidate).map(|candidate| candidate.name.clone());
        Job::Score { format: format.unwrap_or_default(), ask: ask.clone() }
    }

    fn report_runs(&self, runs: usize) {
        let (text, share) = {
            let candidates = &self.precision.results.borrow().candidates;
            let count = |is: &dyn Fn(&Candidate) -> bool| candidates.iter().filter(|c| is(c)).count();
            let (all, seen) = (candidates.len().max(1), count(&|candidate| candidate.seen > 0));
            let decided = count(&|candidate| candidate.fate != Fate::Racing);
            let text = format!(
                "{seen} of {} formats measured, {decided} decided, {runs} runs of a sample",
                candidates.len()
            );
            (text, (0.7 * seen as f64 + 0.3 * decided as f64) / all as f64)
        };
        self.report(&text, share);
    }

    fn report(&self, text: &str, share: f64) {
        let e = &self.precision.elements;
        set_text(&e.job_title, text);
        e.progress.set_value(share);
    }
}
