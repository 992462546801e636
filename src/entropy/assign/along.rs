//! The search where a unit's weights follow one another and each is to repair the errors of those before it: every path into a
//! state has errors of its own, so its weights have targets of their own.
//!
//! Per-survivor processing: R. Raheli, A. Polydoros and C. Tzou, IEEE Trans. Comm. 43, 1995. A path's errors reach back
//! `DEPTH` weights; what is further back is decided by the cheapest path, and paths that differ from it there end.
//!
//! Cost: per weight and state `DEPTH` multiply-adds and six prices, and the multiply-adds of one unit's feedback for all.

use super::{
    BitCosts, BranchMetric, Model, Path, RateCosts, SEGMENT, STATES, Search, Trellis, cheapest, code,
};
use crate::compensation::{Feedback, Targets, dot};
use crate::entropy::neighbours::{Columns, Prediction};
use crate::entropy::predict::Predictor;

/// Weights that paths may differ in.
const DEPTH: usize = 32;

/// A path into a state.
#[derive(Debug, Clone)]
struct Survivor {
    cost: f32,
    /// Errors of the last weights, twice, so that any run of them lies in one piece: that of weight n at n mod `DEPTH`.
    errors: [f32; 2 * DEPTH],
    /// The last numbers: that of weight n at n mod `DEPTH`.
    numbers: [i32; DEPTH],
}

impl Survivor {
    const NONE: Self = Self { cost: f32::INFINITY, errors: [0.0; 2 * DEPTH], numbers: [0; DEPTH] };

    /// The errors of the last `count` weights before `at`.
    #[inline(always)]
    fn last(&self, at: usize, count: usize) -> &[f32] {
        let start = (at - count) % DEPTH;
        self.errors.get(start..start + count).unwrap_or_default()
    }

    /// Goes on by `number`, whose weight is `at`.
    #[inline(always)]
    fn then(&mut self, at: usize, number: i32, error: f32) {
        let slot = at % DEPTH;
        self.numbers[slot] = number;
        self.errors[slot] = error;
        self.errors[slot + DEPTH] = error;
    }
}

/// The way that leads to a state most cheaply.
#[derive(Debug, Clone, Copy)]
struct Way {
    cost: f32,
    from: usize,
    number: i32,
}

/// The search up to some weight.
struct Paths<'a> {
    search: &'a Search<'a>,
    trellis: &'a Trellis,
    feedback: Feedback<'a>,
    model: Model,
    columns: Columns,
    targets: Targets<'a>,
    survivors: Vec<Survivor>,
    next: Vec<Survivor>,
    /// Numbers that are final, and the state before each and after the last.
    decided: Vec<i32>,
    states: Vec<u8>,
    /// The best path as the model has seen it.
    shown: Path,
}

impl Search<'_> {
    /// The cheapest path through the trellis, as far as is looked.
    pub(super) fn run_along(&self, feedback: Feedback<'_>, predictor: Predictor, symbols: &mut Vec<u16>) {
        let costs = BitCosts::new();
        let mut prices = RateCosts::new();
        let mut paths = Paths::new(self, feedback, predictor);
        let (mut at, mut stale) = (0, SEGMENT);
        while at < self.values.len() {
            if stale >= SEGMENT / 2 {
                prices.update(&paths.model, &costs);
                stale = 0;
            }
            let start = at;
            let most = paths.columns.left_in_row().unwrap_or(SEGMENT).min(SEGMENT);
            at = (at + most).min(self.values.len());
            let best = paths.extend(start..at, &prices);
            stale += at - start;
            paths.show(best, start..at);
        }
        paths.decide(self.values.len());
        let numbering = self.context.numbering();
        symbols.extend(paths.decided.iter().map(|number| numbering.symbol(*number).unwrap_or(0)));
    }
}

impl<'a> Paths<'a> {
    fn new(search: &'a Search<'a>, feedback: Feedback<'a>, predictor: Predictor) -> Self {
        debug_assert!(!search.context.trellis().is_scalar());
        let trellis = search.context.trellis();
        let mut survivors = vec![Survivor::NONE; trellis.states()];
        if let Some(first) = survivors.first_mut() {
            first.cost = 0.0;
        }
        Self {
            search,
            trellis,
            feedback,
            model: search.context.model(),
            columns: Columns::new(search.rows, search.values.len(), predictor),
            targets: Targets::new(search.values, Some(feedback)),
            next: survivors.clone(),
            survivors,
            decided: Vec::with_capacity(search.values.len()),
            states: vec![0],
            shown: Path::default(),
        }
    }

    /// Goes on by the weights of `range`, in one row; the state of the cheapest path.
    fn extend(&mut self, range: std::ops::Range<usize>, prices: &RateCosts) -> usize {
        let start = range.start;
        let (mut path, mut best) = (self.shown, self.best());
        for at in range {
            if at - self.decided.len() == DEPTH {
                self.decide(at + 1 - DEPTH);
            }
            let around = self.columns.ahead(at - start);
            let expected = self.columns.expected(&around);
            let predictions = [false, true].map(|odd| around.prediction(path, expected, false, odd));
            self.step(at, &predictions, prices);
            best = self.best();
            let number = self.survivors.get(best).map_or(0, |survivor| survivor.numbers[at % DEPTH]);
            path = path.then(number, expected, self.columns.pace());
            self.columns.suppose(at - start, number, around.base);
        }
        best
    }

    /// The cheapest number on one grid whose place has this parity; one copy of it, called.
    #[inline(never)]
    fn branch(
        &self,
        asked: (f32, f32),
        odd: bool,
        parity: i32,
        expected: (&Prediction, &RateCosts),
    ) -> BranchMetric {
        let ((x, h), (prediction, prices)) = (asked, expected);
        self.search.branch(x, h, odd, parity, prediction, prices)
    }

    /// One step of every path.
    fn step(&mut self, at: usize, predictions: &[Prediction; 2], prices: &RateCosts) {
        let weight = self.targets.weight(at);
        let h = self.search.importance(at);
        let shares = self.feedback.shares(at);
        let own = (at - self.decided.len()).min(shares.len());
        let common = self.targets.get_without(at, shares, own);
        let shares = shares.get(shares.len() - own..).unwrap_or_default();
        let none = Way { cost: f32::INFINITY, from: 0, number: 0 };
        let mut ways = [none; STATES];
        for (from, survivor) in
            self.survivors.iter().enumerate().filter(|(_, path)| path.cost < f32::INFINITY)
        {
            // What is exactly zero stays so.
            let x = if weight == 0.0 { 0.0 } else { common + dot(survivor.last(at, own), shares) };
            let odd = Trellis::is_odd(from as u8);
            for parity in 0..2 {
                let expected = (&predictions[usize::from(odd)], prices);
                let metric = self.branch((x, h), odd, parity, expected);
                let cost = survivor.cost + metric.cost;
                let to = usize::from(self.trellis.next(from as u8, parity));
                if let Some(way) = ways.get_mut(to).filter(|way| cost < way.cost) {
                    *way = Way { cost, from, number: metric.number };
                }
            }
        }
        for (way, next) in ways.iter().zip(&mut self.next) {
            next.cost = way.cost;
            if let Some(survivor) = self.survivors.get(way.from).filter(|_| way.cost < f32::INFINITY) {
                next.errors = survivor.errors;
                next.numbers = survivor.numbers;
                next.then(at, way.number, weight - way.number as f32);
            }
        }
        std::mem::swap(&mut self.survivors, &mut self.next);
    }

    /// The state of the cheapest path.
    fn best(&self) -> usize {
        let mut costs = [f32::INFINITY; STATES];
        costs.iter_mut().zip(&self.survivors).for_each(|(cost, survivor)| *cost = survivor.cost);
        usize::from(cheapest(&costs))
    }

    /// Takes the numbers of the cheapest path up to weight `until` for good; other paths that differ from them end.
    fn decide(&mut self, until: usize) {
        let best = self.best();
        while self.decided.len() < until {
            let at = self.decided.len();
            let number = self.survivors.get(best).map_or(0, |survivor| survivor.numbers[at % DEPTH]);
            for survivor in self.survivors.iter_mut().filter(|path| path.numbers[at % DEPTH] != number) {
                survivor.cost = f32::INFINITY;
            }
            let state = self.states.last().copied().unwrap_or(0);
            self.states.push(self.after(state, number));
            self.decided.push(number);
            self.targets.decide(number as f32);
        }
    }

    fn after(&self, state: u8, number: i32) -> u8 {
        self.trellis.next(state, self.trellis.place(state, number).unwrap_or(0))
    }

    /// Shows the numbers `range` of the path into state `best` to the model and to the columns.
    fn show(&mut self, best: usize, range: std::ops::Range<usize>) {
        let Some(survivor) = self.survivors.get(best) else { return };
        let number_of = |at: usize| self.decided.get(at).copied().unwrap_or(survivor.numbers[at % DEPTH]);
        let first = range.start.min(self.decided.len());
        let mut state = self.states.get(first).copied().unwrap_or(0);
        for at in first..range.end {
            let number = number_of(at);
            if at >= range.start {
                let odd = Trellis::is_odd(state);
                let place = self.trellis.place(state, number).unwrap_or(0);
                let around = self.columns.ahead(0);
                let expected = self.columns.expected(&around);
                let prediction = around.prediction(self.shown, expected, false, odd);
                code(&mut self.model, odd, &prediction, place);
                self.shown = self.shown.then(number, expected, self.columns.pace());
                self.columns.push(number, around.base, expected, self.shown);
            }
            state = self.after(state, number);
        }
        let least = survivor.cost;
        for survivor in &mut self.survivors {
            survivor.cost -= least;
        }
    }
}
