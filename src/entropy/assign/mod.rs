//! Rate-distortion optimised assignment: which symbol each weight of a run gets, by what it costs to code.
//!
//! Numbers mₙ are chosen on a grid to minimise Σ h·(w − m·step)² + λ·bits, with the bits of the very coder that will code
//! them. With a trellis a Viterbi search keeps the cheapest path into every state; without one there is a single path.
//! What a number is expected to be is taken from the cheapest path so far, for all states alike, so that a weight has four
//! branches to price (two grids, two parities) however many states there are. Rate costs are those of the probabilities at
//! the last update: every row, and within long rows every `SEGMENT` weights, the best path so far is shown to the model,
//! as the coder will see it.
//!
//! The search: A. Viterbi, IEEE Trans. IT 13, 1967; for sources: Marcellin and Fischer 1990, Fischer and Wang 1992 (see
//! [`super::trellis`]). Costs are float32, by + − × ÷ alone, the same on every target.
//!
//! Cost: some dozen prices and one addition and comparison per state for each weight; 24 bytes of memory per weight, for
//! `COMMIT` weights at a time.

use super::binary::{BitCosts, Model};
use super::context::{Context, Quantized, RateCosts, code};
use super::neighbours::{Columns, Neighbourhood, Path, Prediction};
use super::predict::Predictor;
use super::trellis::{STATES, Trellis};
use super::{Rows, SymbolCode};
use crate::compensation::{ErrorCosts, Targets};

mod along;

/// Weights after which prices are looked up anew, at most.
const SEGMENT: usize = 256;
/// Weights after which the best path is taken for good.
const COMMIT: usize = 1 << 14;

/// Weights are taken to be at most so many steps from zero: far beyond every number, and safe in integers.
const FURTHEST: f32 = (1 << 20) as f32;

/// What an assignment minimises: Σ h·(w − m·step)² + λ·bits.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Goal {
    /// Distance between neighbouring numbers.
    pub step: f32,
    /// λ / step²: what a bit is worth.
    pub bit: f32,
}

/// The cheapest number of a branch, with its cost.
#[derive(Debug, Clone, Copy)]
struct BranchMetric {
    cost: f32,
    number: i32,
}

/// Branch metrics by grid and parity.
type Grids = [[BranchMetric; 2]; 2];

/// A weight's way back: for every state the parity that led to it, and the number of every branch, by the
/// [class](Trellis::class) of the state it starts from.
#[derive(Debug, Clone, Copy)]
struct Traceback {
    parities: u64,
    numbers: [[[i32; 2]; 2]; 4],
}

impl Context {
    /// Appends the symbols of `values`, whose errors cost `costs`, to `symbols`; the predictor that they were chosen for.
    pub fn assign(
        &self,
        values: &[f32],
        costs: ErrorCosts<'_>,
        rows: Rows,
        goal: Goal,
        symbols: &mut Vec<u16>,
    ) -> Predictor {
        let scaled: Vec<f32> = values.iter().map(|w| (w / goal.step).clamp(-FURTHEST, FURTHEST)).collect();
        let quantized = if self.trellis().is_scalar() { Quantized::ToScalar } else { Quantized::ToTrellis };
        let predictor = self.predict(&scaled, rows, quantized);
        let search = Search::new(self, &scaled, costs, rows, goal);
        match costs.feedback {
            _ if self.trellis().is_scalar() => search.run_scalar(predictor.clone(), symbols),
            Some(feedback) if feedback.is_along() => search.run_along(feedback, predictor.clone(), symbols),
            _ => search.run(predictor.clone(), symbols),
        }
        predictor
    }
}

struct Search<'a> {
    context: &'a Context,
    /// Weights in steps.
    values: &'a [f32],
    costs: ErrorCosts<'a>,
    bit: f32,
    rows: Rows,
    /// Least and largest number.
    ends: [i32; 2],
}

impl<'a> Search<'a> {
    fn new(context: &'a Context, values: &'a [f32], costs: ErrorCosts<'a>, rows: Rows, goal: Goal) -> Self {
        let last = context.alphabet() as i32 - 1;
        let centre = i32::from(context.numbering().centre);
        Self { context, values, costs, bit: goal.bit, rows, ends: [-centre, last - centre] }
    }

    #[inline(always)]
    fn importance(&self, i: usize) -> f32 {
        self.costs.each.and_then(|h| h.get(i)).copied().unwrap_or(1.0)
    }

    /// One path, whose every number is final.
    fn run_scalar(&self, predictor: Predictor, symbols: &mut Vec<u16>) {
        let numbering = self.context.numbering();
        let costs = BitCosts::new();
        let mut model = self.context.model();
        let mut prices = RateCosts::new();
        let mut columns = Columns::new(self.rows, self.values.len(), predictor);
        let mut path = Path::default();
        let [least, most] = self.ends;
        let mut stale = SEGMENT;
        let mut targets = Targets::new(self.values, self.costs.feedback);
        for i in 0..self.values.len() {
            if stale >= SEGMENT {
                prices.update(&model, &costs);
                stale = 0;
            }
            stale += 1;
            let around = columns.ahead(0);
            let expected = columns.expected(&around);
            let prediction = around.prediction(path, expected, true, false);
            let (x, h) = (targets.get(i), self.importance(i));
            let nearest = rounded(x).clamp(least, most);
            let towards = nearest + (prediction.centre - nearest).signum();
            let mut best = BranchMetric { cost: f32::INFINITY, number: 0 };
            // What is exactly zero stays so, whatever the path would gain.
            let candidates =
                if x == 0.0 { [0; 4] } else { [nearest, towards, prediction.centre.clamp(least, most), 0] };
            for number in candidates {
                let off = x - number as f32;
                let cost = h * off * off + self.bit * prices.of(false, &prediction, number);
                if cost < best.cost {
                    best = BranchMetric { cost, number };
                }
            }
            let number = best.number;
            targets.decide(number as f32);
            code(&mut model, false, &prediction, number);
            path = path.then(number, expected, columns.pace());
            columns.push(number, around.base, expected, path);
            symbols.push(numbering.symbol(number).unwrap_or(0));
        }
    }

    /// The cheapest number on one grid whose place has this parity.
    #[inline(always)]
    fn branch(
        &self,
        x: f32,
        h: f32,
        odd: bool,
        parity: i32,
        prediction: &Prediction,
        prices: &RateCosts,
    ) -> BranchMetric {
        let [least, most] = self.ends;
        let shift = i32::from(odd);
        // Even places 2j are the numbers 4j on the even grid and 4j − 1 (4j + 1 below zero) on the odd one, odd ones 4j + 2 and
        // 4j + 1 (4j + 3 below zero).
        let place_near = |x: f32| {
            let sign = if x < 0.0 { -1 } else { 1 };
            let magnitude = x.abs() + shift as f32;
            // Of magnitudes 2·place − shift, those of places of this parity: every fourth.
            let first = 2 * parity;
            let near = first + 4 * rounded(((magnitude - first as f32) * 0.25).max(0.0));
            sign * near / 2
        };
        let number_of = |place: i32| 2 * place - shift * place.signum();
        let one = place_near(x);
        let centre = prediction.centre;
        let two = one + 2 * (centre - one).signum();
        // The expected place where it is of this parity, else zero or the one next to it.
        let three = match (centre & 1 == parity, parity) {
            (true, _) => centre,
            (false, 0) => 0,
            (false, _) => {
                if x < 0.0 {
                    -1
                } else {
                    1
                }
            }
        };
        let mut best = BranchMetric { cost: f32::INFINITY, number: 0 };
        // What is exactly zero stays so, whatever the path would gain: both grids have a zero, at place 0.
        let places = match (x == 0.0, parity) {
            (true, 0) => [0; 3],
            (true, _) => return best,
            (false, _) => [one, two, three],
        };
        for place in places {
            let number = number_of(place);
            let off = x - number as f32;
            let cost = h * off * off + self.bit * prices.of(odd, prediction, place);
            if cost < best.cost && number >= least && number <= most {
                best = BranchMetric { cost, number };
            }
        }
        best
    }

    /// The metrics of a weight that is expected to be there.
    #[inline(always)]
    fn grids(
        &self,
        (x, h): (f32, f32),
        around: &Neighbourhood,
        path: Path,
        expected: i32,
        prices: &RateCosts,
    ) -> Grids {
        [false, true].map(|odd| {
            let prediction = around.prediction(path, expected, false, odd);
            [0, 1].map(|parity| self.branch(x, h, odd, parity, &prediction, prices))
        })
    }

    /// The cheapest path through the trellis, taken for good every [`COMMIT`] weights.
    fn run(&self, predictor: Predictor, symbols: &mut Vec<u16>) {
        let costs = BitCosts::new();
        let mut prices = RateCosts::new();
        let mut viterbi = Viterbi::new(self, predictor);
        let (mut committed, mut at, mut stale) = (0, 0, SEGMENT);
        let mut numbers: Vec<i32> = Vec::new();
        while at < self.values.len() {
            if stale >= SEGMENT / 2 {
                prices.update(&viterbi.model, &costs);
                stale = 0;
            }
            let start = at;
            let most = viterbi.columns.left_in_row().unwrap_or(SEGMENT).min(SEGMENT);
            let most = most.min(viterbi.targets.together(at));
            at = (at + most).min(self.values.len()).min(committed + COMMIT);
            let best = viterbi.extend(start..at, &prices);
            stale += at - start;
            viterbi.show(best, start - committed, &mut numbers);
            // Weights that tell on those behind them are decided before these are asked for.
            let tells = self.costs.feedback.is_some_and(|_| viterbi.targets.together(start) == at - start);
            if tells || at == self.values.len() || at == committed + COMMIT {
                viterbi.commit(best, &mut numbers);
                let numbering = self.context.numbering();
                symbols.extend(numbers.iter().rev().map(|number| numbering.symbol(*number).unwrap_or(0)));
                committed = at;
            }
        }
    }
}

/// The search through the trellis, up to some weight.
struct Viterbi<'a> {
    search: &'a Search<'a>,
    trellis: &'a Trellis,
    model: Model,
    columns: Columns,
    targets: Targets<'a>,
    looks_left: bool,
    /// Cost of the cheapest path into every state, over that of the cheapest of all.
    survivors: [f32; STATES],
    /// One step for every weight since the last that was taken for good.
    back: Vec<Traceback>,
    /// The parities that led to the states before the first of `back`.
    earlier: u64,
    /// The best path as the model has seen it, and the state it is in.
    shown: Path,
    state_shown: u8,
}

impl<'a> Viterbi<'a> {
    fn new(search: &'a Search<'a>, predictor: Predictor) -> Self {
        let looks_left = predictor.looks_left();
        let mut survivors = [f32::INFINITY; STATES];
        survivors[0] = 0.0;
        Self {
            search,
            trellis: search.context.trellis(),
            model: search.context.model(),
            columns: Columns::new(search.rows, search.values.len(), predictor),
            targets: Targets::new(search.values, search.costs.feedback),
            looks_left,
            survivors,
            back: Vec::with_capacity(COMMIT.min(search.values.len())),
            earlier: 0,
            shown: Path::default(),
            state_shown: 0,
        }
    }

    /// What weight `at` is to be, and what an error there costs.
    #[inline(always)]
    fn asked(&self, at: usize) -> (f32, f32) {
        (self.targets.get(at), self.search.importance(at))
    }

    /// The parities that led to the states behind the last step.
    #[inline(always)]
    fn parities(&self) -> u64 {
        self.back.last().map_or(self.earlier, |back| back.parities)
    }

    /// Goes on by the weights of `range`, in one row; the state of the cheapest path.
    fn extend(&mut self, range: std::ops::Range<usize>, prices: &RateCosts) -> u8 {
        let states = self.trellis.states();
        let start = range.start;
        let mut next = self.survivors;
        let (mut path, mut best) = (self.shown, self.state_shown);
        let mut parities = self.parities();
        let mut left: Option<Left> = None;
        for at in range {
            let around = self.columns.ahead(at - start);
            let expected = self.columns.expected(&around);
            let own = self.trellis.class(best, parities);
            let asked = self.asked(at);
            let shared = self.search.grids(asked, &around, path, expected, prices);
            let mut metrics = [shared; 4];
            if self.looks_left
                && let Some(left) = &left
            {
                self.suppose_left((at, start), own, left, &around, prices, &mut metrics);
            }
            parities = self.trellis.step(
                &self.survivors,
                parities,
                &metrics.map(|grids| grids.map(|g| g.map(|o| o.cost))),
                &mut next,
            );
            std::mem::swap(&mut self.survivors, &mut next);
            let numbers = metrics.map(|grids| grids.map(|grid| grid.map(|metric| metric.number)));
            let classes = self.parities();
            self.back.push(Traceback { parities, numbers });
            best = cheapest(&self.survivors[..states]);
            let (from, parity) = self.trellis.before(best, parities);
            let own = numbers[self.trellis.class(from, classes)];
            let number = own[usize::from(Trellis::is_odd(from))][parity];
            let by_class = [own[0][0], own[0][1], own[1][0], own[1][1]];
            left = Some(Left { by_class, base: around.base, path, expected });
            path = path.then(number, expected, self.columns.pace());
            self.columns.suppose(at - start, number, around.base);
        }
        best
    }

    /// Branch metrics of the weight `at` for every class of states by what the number to its left is in that class; those of the
    /// best path's class, `own`, are there.
    #[inline(always)]
    fn suppose_left(
        &mut self,
        (at, start): (usize, usize),
        own: usize,
        left: &Left,
        around: &Neighbourhood,
        prices: &RateCosts,
        metrics: &mut [Grids; 4],
    ) {
        let (before, asked) = (left.by_class, self.asked(at));
        for class in 0..4 {
            if before[class] == before[own] {
                continue;
            }
            if let Some(same) = (0..class).find(|other| before[*other] == before[class]) {
                metrics[class] = metrics[same];
                continue;
            }
            self.columns.suppose(at - 1 - start, before[class], left.base);
            let path = left.path.then(before[class], left.expected, self.columns.pace());
            metrics[class] = self.search.grids(asked, around, path, self.columns.expected(around), prices);
        }
        self.columns.suppose(at - 1 - start, before[own], left.base);
    }

    /// Shows the path into state `best` to the model and to the columns, from number `since` of `back` on.
    fn show(&mut self, best: u8, since: usize, numbers: &mut Vec<i32>) {
        numbers.clear();
        let trellis = self.trellis;
        let mut state = trace(trellis, best, &self.back, since, self.earlier, numbers);
        for number in numbers.iter().rev() {
            let odd = Trellis::is_odd(state);
            let place = trellis.place(state, *number).unwrap_or(0);
            let around = self.columns.ahead(0);
            let expected = self.columns.expected(&around);
            let prediction = around.prediction(self.shown, expected, false, odd);
            code(&mut self.model, odd, &prediction, place);
            state = trellis.next(state, place);
            self.shown = self.shown.then(*number, expected, self.columns.pace());
            self.columns.push(*number, around.base, expected, self.shown);
        }
        self.state_shown = best;
        let least = self.survivors[usize::from(best)];
        for survivor in &mut self.survivors[..trellis.states()] {
            *survivor -= least;
        }
    }

    /// Takes the path into state `best` for good: its numbers, last first.
    fn commit(&mut self, best: u8, numbers: &mut Vec<i32>) {
        numbers.clear();
        trace(self.trellis, best, &self.back, 0, self.earlier, numbers);
        numbers.iter().rev().for_each(|number| self.targets.decide(*number as f32));
        self.survivors.fill(f32::INFINITY);
        self.survivors[usize::from(best)] = 0.0;
        self.earlier = self.parities();
        self.back.clear();
    }
}

/// What the number before may have been, by class; where it was the best path's, and the path up to it.
struct Left {
    by_class: [i32; 4],
    base: i32,
    path: Path,
    expected: i32,
}

/// The nearest whole number.
#[inline(always)]
fn rounded(x: f32) -> i32 {
    x.round_ties_even() as i32
}

/// Goes back from `state` behind `back` to number `until` of it: the numbers, last first, and the state before them.
fn trace(
    trellis: &Trellis,
    mut state: u8,
    back: &[Traceback],
    until: usize,
    earlier: u64,
    numbers: &mut Vec<i32>,
) -> u8 {
    for i in (until..back.len()).rev() {
        let (from, parity) = trellis.before(state, back[i].parities);
        let class = trellis.class(from, if i > 0 { back[i - 1].parities } else { earlier });
        numbers.push(back[i].numbers[class][usize::from(Trellis::is_odd(from))][parity]);
        state = from;
    }
    state
}

/// The state of the cheapest survivor, the first of equals.
#[inline(always)]
fn cheapest(survivors: &[f32]) -> u8 {
    let mut best = 0;
    let mut least = f32::INFINITY;
    for (state, cost) in survivors.iter().enumerate() {
        if *cost < least {
            (best, least) = (state, *cost);
        }
    }
    best as u8
}
