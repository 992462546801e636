//! What is asked of a format and what comes of it.

use crate::network::emulate::TensorFormat;
use crate::network::measure::Share;
use serde::{Deserialize, Serialize};
use std::fmt::Write as _;
use std::ops::Range;

/// A question: the samples `range` in the format of a candidate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ask {
    /// Place among the candidates.
    pub candidate: usize,
    /// Samples, in their shuffled order.
    pub range: Range<usize>,
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Heard {
    /// Samples that it answers as it should: by the labels, or as in float32 where there are none.
    pub right: u64,
    /// Samples, or answers where a sample has several.
    pub of: u64,
    /// Linear coefficient of determination between the outputs in float32 and in the format.
    pub r2: f64,
    /// Numbers that were rounded.
    pub rounded: u64,
    /// Those beyond the format's largest.
    pub saturated: u64,
    /// Those that became zero and were not.
    pub underflowed: u64,
    /// Blocks of numbers with a scale each.
    pub blocks: u64,
    /// Places in blocks behind the ends of what is cut into them.
    pub padding: u64,
    /// What went wrong inside, in a sentence.
    pub failure: Option<String>,
}

impl Heard {
    /// Adds the answer to samples that follow; R² stays that of the first ones.
    fn merge(&mut self, next: Self) {
        self.right += next.right;
        self.of += next.of;
        self.rounded += next.rounded;
        self.saturated += next.saturated;
        self.underflowed += next.underflowed;
        self.blocks += next.blocks;
        self.padding += next.padding;
        self.failure = self.failure.take().or(next.failure);
    }
}

/// What became of a candidate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fate {
    /// It has not seen all samples.
    Racing,
    /// What it has seen says that it will not reach the target.
    Dropped,
    /// It has seen all samples and reaches the target.
    Holds,
    /// It has seen all samples and does not.
    Misses,
}

/// A format on trial.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Candidate {
    /// Its name.
    pub name: String,
    /// Bits of a value, with its share of a block's scale.
    pub bits: f64,
    /// What it is ranked by, the smallest first.
    pub cost: f64,
    /// Samples that it has seen, from the first.
    pub seen: usize,
    /// What came of them.
    pub heard: Heard,
    /// What became of it.
    pub fate: Fate,
}

impl Candidate {
    /// Candidates in the order of their cost; of equal ones that with fewer bits of a significand first, which multiply cheaper.
    pub fn ranked(
        formats: &[TensorFormat],
        cost: &dyn Fn(&TensorFormat) -> f64,
    ) -> Vec<(TensorFormat, Self)> {
        let mut all: Vec<(TensorFormat, Self)> = formats
            .iter()
            .map(|format| {
                let heard = Heard::default();
                let (name, bits, cost) = (format.to_string(), format.bits(), cost(format));
                (*format, Self { name, bits, cost, seen: 0, heard, fate: Fate::Racing })
            })
            .collect();
        all.sort_by(|(a, one), (b, other)| {
            let significand = |format: &TensorFormat| super::space::place(format).1;
            let costs = one.cost.total_cmp(&other.cost);
            costs.then(significand(a).cmp(&significand(b))).then_with(|| one.name.cmp(&other.name))
        });
        all
    }

    /// Takes the answer to the samples that followed those it had seen.
    pub fn take(&mut self, ask: &Ask, heard: Heard) {
        if ask.range.start != self.seen {
            return;
        }
        if self.seen == 0 {
            self.heard = heard;
        } else {
            self.heard.merge(heard);
        }
        self.seen = ask.range.end;
    }

    /// The share of samples it answers as it should.
    pub fn share(&self) -> Share {
        Share::new(self.heard.right, self.heard.of)
    }

    /// Its share of what is the share `float` in float32; no number where it has seen nothing.
    pub fn kept(&self, float: f64) -> f64 {
        if self.seen == 0 { f64::NAN } else { self.share().value() / float }
    }
}

/// The asks of a round; where they are fewer than workers, each in parts for all of them, in order. The first samples of a format
/// are never taken apart, since they are what R² is of.
pub fn divided(asks: Vec<Ask>, workers: usize) -> Vec<Ask> {
    if asks.len() >= workers || asks.iter().any(|ask| ask.range.start == 0) {
        return asks;
    }
    let cut = |Ask { candidate, range }: Ask| {
        let (end, step) = (range.end, range.len().div_ceil(workers).max(1));
        range.step_by(step).map(move |start| Ask { candidate, range: start..(start + step).min(end) })
    };
    asks.into_iter().flat_map(cut).collect()
}

/// Every candidate's figures as CSV.
pub fn csv(candidates: &[Candidate]) -> String {
    let mut text =
        "format,bits,samples,right,answers,low,high,r2,rounded,saturated,underflowed,blocks,padding,fate,failure\n"
            .to_owned();
    for candidate in candidates {
        let (heard, share) = (&candidate.heard, candidate.share());
        let failure = heard.failure.as_deref().unwrap_or_default().replace('"', "\"\"");
        let _ = writeln!(
            text,
            "{},{},{},{},{},{},{},{},{},{},{},{},{},{:?},\"{failure}\"",
            candidate.name,
            candidate.bits,
            candidate.seen,
            heard.right,
            heard.of,
            share.low,
            share.high,
            heard.r2,
            heard.rounded,
            heard.saturated,
            heard.underflowed,
            heard.blocks,
            heard.padding,
            candidate.fate
        );
    }
    text
}

/// The squared correlation of two lists: 0 where either is constant or not finite.
pub fn r_squared(reference: &[f32], found: &[f32]) -> f64 {
    let count = reference.len().min(found.len()) as f64;
    if count == 0.0 || found.iter().any(|x| !x.is_finite()) {
        return 0.0;
    }
    let mean = |list: &[f32]| list.iter().map(|x| f64::from(*x)).sum::<f64>() / count;
    let (mean_x, mean_y) = (mean(reference), mean(found));
    let (mut xx, mut yy, mut xy) = (0.0, 0.0, 0.0);
    for (x, y) in reference.iter().zip(found) {
        let (x, y) = (f64::from(*x) - mean_x, f64::from(*y) - mean_y);
        xx += x * x;
        yy += y * y;
        xy += x * y;
    }
    if xx > 0.0 && yy > 0.0 { (xy * xy / (xx * yy)).min(1.0) } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn r_squared_is_that_of_a_line() {
        assert_eq!(r_squared(&[1.0, 2.0, 3.0], &[-2.0, -4.0, -6.0]), 1.0);
        assert_eq!(r_squared(&[1.0, 2.0, 3.0], &[5.0, 5.0, 5.0]), 0.0);
        assert_eq!(r_squared(&[1.0, 2.0], &[1.0, f32::INFINITY]), 0.0);
        assert!((r_squared(&[0.0, 1.0, 2.0, 3.0], &[0.0, 1.0, 1.0, 2.0]) - 0.9).abs() < 1e-12);
        assert_eq!(r_squared(&[], &[]), 0.0);
    }

    #[test]
    fn candidates_are_ranked_by_cost_and_then_by_their_significand() {
        let formats: Vec<TensorFormat> =
            ["m4e3", "l4r3", "m3e4", "m2e2"].map(|name| TensorFormat::parse(name).unwrap()).to_vec();
        let ranked = Candidate::ranked(&formats, &TensorFormat::bits);
        let names: Vec<String> = ranked.into_iter().map(|(_, candidate)| candidate.name).collect();
        assert_eq!(names, ["m2e2", "l4r3", "m3e4", "m4e3"]);
    }

    #[test]
    fn few_asks_are_divided_among_workers_but_for_first_samples() {
        let ask = |candidate, range| Ask { candidate, range };
        let parts = vec![ask(3, 10..15), ask(3, 15..20), ask(3, 20..21)];
        assert_eq!(divided(vec![ask(3, 10..21)], 3), [ask(3, 10..14), ask(3, 14..18), ask(3, 18..21)]);
        assert_eq!(divided(parts.clone(), 3), parts);
        assert_eq!(divided(vec![ask(3, 0..10)], 3), [ask(3, 0..10)]);
        assert_eq!(divided(vec![ask(3, 10..11)], 4), [ask(3, 10..11)]);
        assert!(divided(Vec::new(), 2).is_empty());
    }

    #[test]
    fn answers_add_up_in_the_order_of_samples() {
        let format = TensorFormat::parse("m3e4").unwrap();
        let mut candidate = Candidate::ranked(&[format], &|_| 1.0).remove(0).1;
        let heard = |right, r2| Heard { right, of: 10, r2, ..Heard::default() };
        candidate.take(&Ask { candidate: 0, range: 0..10 }, heard(9, 0.5));
        candidate.take(&Ask { candidate: 0, range: 0..10 }, heard(9, 0.5));
        candidate.take(&Ask { candidate: 0, range: 10..20 }, heard(10, 0.9));
        assert_eq!((candidate.seen, candidate.heard.right, candidate.heard.of), (20, 19, 20));
        assert_eq!(candidate.heard.r2, 0.5);
    }
}
