//! When a format that has seen some of the samples can be dropped.
//!
//! The target is a number of the N samples to be answered rightly. Samples come in an order shuffled by a seed, so that the
//! right ones among the first n are hypergeometric. If the format reached the target, at most k right ones among n would come
//! with a probability of at most P(X ≤ k), X ~ Hypergeometric(N, target, n); where that is below α it is dropped. Every format
//! is looked at as often as sets grow, and α is shared among the looks (Bonferroni), so that the cheapest format which reaches
//! the target is dropped with a probability of at most 1 − confidence: the choice is the full search's at that confidence.

use super::trial::{Candidate, Fate};
use crate::network::NetworkError;

/// Samples of the first set; each that follows is twice as large.
pub const FIRST: usize = 10;

/// A share such as 0.99, 99% or 99 %, above 0 and up to 1.
pub fn share_from_text(text: &str) -> Option<f64> {
    let (digits, scale) = text.trim().strip_suffix('%').map_or((text, 1.0), |digits| (digits, 100.0));
    let value = crate::number::parse(digits.trim()).map(|value| value / scale);
    value.filter(|value| *value > 0.0 && *value <= 1.0)
}

/// What a format must reach.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Target {
    /// Answers to all samples.
    pub of: u64,
    /// How many of them must be right.
    pub right: u64,
    /// Samples; each has the same number of answers.
    pub samples: usize,
    /// The probability with which the choice is that of the full search.
    pub confidence: f64,
}

impl Target {
    /// The share `kept` of the float network's right answers, `float` of `of`.
    ///
    /// # Errors
    ///
    /// A share or a confidence that is none; a network that answers nothing rightly.
    pub fn new(
        float: u64,
        of: u64,
        samples: usize,
        kept: f64,
        confidence: f64,
    ) -> Result<Self, NetworkError> {
        if !(kept > 0.0 && kept <= 1.0) {
            let expected = "a share of the float network's accuracy above 0 and up to 1";
            return Err(NetworkError::data("the target", expected, kept.to_string()));
        }
        if !(confidence > 0.0 && confidence < 1.0) {
            let expected = "a probability between 0 and 1";
            return Err(NetworkError::data("the confidence", expected, confidence.to_string()));
        }
        if float == 0 || samples == 0 {
            let expected = "a float network that answers some of them rightly";
            return Err(NetworkError::data("the samples", expected, format!("{float} of {of}")));
        }
        // What float products round up by is no answer more.
        let right = (float as f64 * kept - 1e-9).ceil().max(1.0) as u64;
        Ok(Self { of, right, samples, confidence })
    }

    /// Whether a candidate reaches the target, or may still do so by what it has seen.
    pub fn is_in_reach(&self, candidate: &Candidate) -> bool {
        candidate.seen > 0 && matches!(self.judge(candidate), Fate::Holds | Fate::Racing)
    }

    /// How far a format that has seen `seen` samples is to go next.
    pub fn next(&self, seen: usize) -> usize {
        let next = if seen == 0 { FIRST } else { seen.saturating_mul(2) };
        next.min(self.samples)
    }

    /// Sets that a format sees on its way.
    fn looks(&self) -> u32 {
        let (mut seen, mut looks) = (0, 0);
        while seen < self.samples {
            seen = self.next(seen);
            looks += 1;
        }
        looks
    }

    /// What becomes of a candidate by what it has seen.
    pub fn judge(&self, candidate: &Candidate) -> Fate {
        let (right, seen) = (candidate.heard.right, candidate.heard.of);
        if candidate.seen == 0 {
            return Fate::Racing;
        }
        if candidate.seen >= self.samples {
            return if right >= self.right { Fate::Holds } else { Fate::Misses };
        }
        let alpha = (1.0 - self.confidence) / f64::from(self.looks());
        let is_lost =
            right + (self.of - seen) < self.right || at_most(right, self.of, self.right, seen) < alpha;
        if is_lost { Fate::Dropped } else { Fate::Racing }
    }
}

/// The logarithm of a binomial coefficient.
fn ln_choose(n: u64, k: u64) -> f64 {
    let ln_factorial = |n: u64| libm::lgamma(n as f64 + 1.0);
    ln_factorial(n) - ln_factorial(k) - ln_factorial(n - k)
}

/// P(X ≤ k), X the right ones among `drawn` of `all`, of which `right` are right. Cost: a term for each value below k that
/// counts.
pub fn at_most(k: u64, all: u64, right: u64, drawn: u64) -> f64 {
    let (right, drawn) = (right.min(all), drawn.min(all));
    let least = (right + drawn).saturating_sub(all);
    let most = right.min(drawn);
    if k >= most {
        return 1.0;
    }
    if k < least {
        return 0.0;
    }
    let whole = ln_choose(all, drawn);
    let mut term = libm::exp(ln_choose(right, k) + ln_choose(all - right, drawn - k) - whole);
    let mut sum = term;
    let mut at = k;
    // From one to the next below: the ratio of neighbouring terms.
    while at > least && term > sum * 1e-12 {
        let (a, n) = (at as f64, drawn as f64);
        let bad = (all - right) as f64;
        term *= a * (bad - n + a) / ((right as f64 - a + 1.0) * (n - a + 1.0));
        sum += term;
        at -= 1;
    }
    sum.min(1.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::emulate::TensorFormat;
    use crate::random::SplitMix64;

    #[test]
    fn a_format_is_in_reach_until_what_it_has_seen_rules_it_out() {
        let target = Target::new(98, 100, 100, 0.99, 0.95).unwrap();
        let format = TensorFormat::parse("m3e4").unwrap();
        let mut candidate = Candidate::ranked(&[format], &|_| 1.0).remove(0).1;
        let mut in_reach = |seen: usize, right: u64| {
            candidate.seen = seen;
            (candidate.heard.right, candidate.heard.of) = (right, seen as u64);
            target.is_in_reach(&candidate)
        };
        assert!(
            !in_reach(0, 0) && in_reach(10, 9) && !in_reach(10, 2) && in_reach(100, 98) && !in_reach(100, 97)
        );
    }

    #[test]
    fn shares_are_written_plainly_or_in_per_cent() {
        let shares = ["0.99", "99%", " 99 % ", "100%", "1"].map(share_from_text);
        assert_eq!(shares, [Some(0.99), Some(0.99), Some(0.99), Some(1.0), Some(1.0)]);
        assert!(
            ["0", "99", "101%", "-1%", "", "%", "nan"].iter().all(|text| share_from_text(text).is_none())
        );
    }

    #[test]
    fn the_tail_is_the_sum_of_its_terms() {
        for (all, right, drawn) in [(20u64, 15u64, 6u64), (50, 49, 10), (30, 3, 12), (10, 10, 4)] {
            let mut sum = 0.0;
            for k in 0..=drawn {
                let possible = k <= right && drawn - k <= all - right;
                if possible {
                    let ln = ln_choose(right, k) + ln_choose(all - right, drawn - k) - ln_choose(all, drawn);
                    sum += libm::exp(ln);
                }
                assert!((at_most(k, all, right, drawn) - sum).abs() < 1e-10, "{all} {right} {drawn} {k}");
            }
        }
    }

    #[test]
    fn a_format_that_holds_is_dropped_no_oftener_than_stated() {
        let target = Target::new(588, 600, 600, 0.99, 0.95).unwrap();
        assert_eq!((target.right, target.looks()), (583, 7));
        let mut random = SplitMix64::new(1);
        let mut dropped = 0;
        for _ in 0..2000 {
            // Just good enough, in a random order.
            let mut answers: Vec<bool> = (0..600).map(|i| i < 583).collect();
            for i in (1..answers.len()).rev() {
                answers.swap(i, (random.bits() % (i as u64 + 1)) as usize);
            }
            let mut candidate =
                Candidate::ranked(&[TensorFormat::parse("bf16").unwrap()], &|_| 1.0).remove(0).1;
            while candidate.seen < 600 {
                candidate.seen = target.next(candidate.seen);
                candidate.heard.of = candidate.seen as u64;
                candidate.heard.right =
                    answers.iter().take(candidate.seen).filter(|right| **right).count() as u64;
                if target.judge(&candidate) == Fate::Dropped {
                    dropped += 1;
                    break;
                }
            }
        }
        assert!(dropped <= 100, "{dropped} of 2000");
    }

    #[test]
    fn a_format_that_cannot_reach_the_target_is_dropped_at_once() {
        let target = Target::new(595, 600, 600, 0.99, 0.99).unwrap();
        let mut candidate = Candidate::ranked(&[TensorFormat::parse("m1e2").unwrap()], &|_| 1.0).remove(0).1;
        candidate.seen = 10;
        candidate.heard.of = 10;
        candidate.heard.right = 3;
        assert_eq!(target.judge(&candidate), Fate::Dropped);
        candidate.heard.right = 10;
        assert_eq!(target.judge(&candidate), Fate::Racing);
    }

    #[test]
    fn targets_that_are_none_are_refused() {
        for (kept, confidence) in [(0.0, 0.9), (1.1, 0.9), (f64::NAN, 0.9), (0.9, 0.0), (0.9, 1.0)] {
            assert!(Target::new(90, 100, 100, kept, confidence).is_err());
        }
        assert!(Target::new(0, 100, 100, 0.9, 0.9).is_err());
    }
}
