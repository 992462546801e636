//! The scale of a block with the least squared error of all there are, exactly.
//!
//! Divided by a scale s that falls from infinity, a weight w passes one threshold of the format after the other, t at s = w / t;
//! between two such places all weights keep their values v, and the error Σ h (w − s·v)² is a parabola of s with its least at
//! Σ h·w·v / Σ h·v². So the least of all parabolas, each at the storable scale nearest to its own least, is the least error:
//! a scale's error is that of the values that are nearest at it, and no other values have less. Places are sorted once, sums
//! are kept up to date. Scales so small that one weight beyond the largest value alone costs more than what is known
//! already are left out.

use crate::order::ascending;

/// Most places that are looked at.
pub const MOST_EVENTS: usize = 1 << 20;

/// A block's weights, and what their squared errors are multiplied by.
#[derive(Debug, Clone, Copy)]
pub(super) struct Block<'a> {
    pub weights: &'a [f32],
    pub h: Option<&'a [f32]>,
}

impl<'a> Block<'a> {
    /// The blocks of so many weights that it is cut in.
    pub fn blocks(self, len: u32) -> impl Iterator<Item = Self> {
        let part = move |(at, weights): (usize, &'a [f32])| {
            let from = at * len as usize;
            Self { weights, h: self.h.map(|h| h.get(from..from + weights.len()).unwrap_or_default()) }
        };
        self.weights.chunks(len as usize).enumerate().map(part)
    }

    /// Weights with their importance.
    pub fn pairs(&self) -> impl Iterator<Item = (f64, f64)> {
        let h = |at: usize| self.h.map_or(1.0, |h| h.get(at).map_or(0.0, |h| f64::from(*h)));
        self.weights.iter().enumerate().map(move |(at, weight)| (f64::from(*weight), h(at)))
    }
}

/// What a format's values are, and from which number on the next one is taken.
#[derive(Debug, Clone, Copy)]
pub(super) struct Steps<'a> {
    pub values: &'a [f32],
    pub thresholds: &'a [f32],
}

/// A weight passes a threshold.
#[derive(Debug, Clone, Copy)]
struct Event {
    weight: u32,
    scale: f64,
}

impl Steps<'_> {
    /// The scale of least error, below `most`, as `round` has it; 0 where none has less; `None` where there are too many places
    /// to look at. Negative ones are looked at, too, where they `can` be.
    pub fn best(&self, block: Block<'_>, most: f64, can: bool, round: &dyn Fn(f64) -> f64) -> Option<f64> {
        let signs: &[f64] = if can { &[1.0, -1.0] } else { &[1.0] };
        // The gain of a scale is what it takes off the error that there is without one.
        let mut best = (0.0, 0.0);
        for sign in signs {
            self.descend(block, most, *sign, &mut |gain, scale, (product, square)| {
                if gain > best.0 {
                    let scale = round(sign * scale) * sign;
                    let gain = scale * (2.0 * product - scale * square);
                    if gain > best.0 {
                        best = (gain, scale * sign);
                    }
                }
            })?;
        }
        Some(best.1)
    }

    /// Lets the scale fall, and tells the gain and place of the least of every parabola on the way, with Σ h·w·v and Σ h·v².
    fn descend(
        &self,
        block: Block<'_>,
        most: f64,
        sign: f64,
        tell: &mut dyn FnMut(f64, f64, (f64, f64)),
    ) -> Option<()> {
        let pairs: Vec<(f64, f64)> = block.pairs().map(|(weight, h)| (weight * sign, h)).collect();
        let events = self.events(&pairs, self.least_scale(&pairs, most))?;
        let zero = self.thresholds.partition_point(|threshold| *threshold <= 0.0);
        let value = |symbol: usize| self.values.get(symbol).map_or(0.0, |value| f64::from(*value));
        let mut symbols = vec![zero; pairs.len()];
        let (mut product, mut square) = (0.0, 0.0);
        for (weight, h) in &pairs {
            product += h * weight * value(zero);
            square += h * value(zero) * value(zero);
        }
        // The largest scale comes first.
        for at in ascending(events.iter().map(|event| !event.scale.to_bits())) {
            if product > 0.0 && square > 0.0 {
                tell(product * product / square, product / square, (product, square));
            }
            let Some(event) = events.get(at) else { continue };
            let place = event.weight as usize;
            let (Some((weight, h)), Some(symbol)) = (pairs.get(place), symbols.get_mut(place)) else {
                continue;
            };
            let before = value(*symbol);
            *symbol = if *weight > 0.0 { *symbol + 1 } else { symbol.saturating_sub(1) };
            let after = value(*symbol);
            product += h * weight * (after - before);
            square += h * (after * after - before * before);
        }
        if product > 0.0 && square > 0.0 {
            tell(product * product / square, product / square, (product, square));
        }
        Some(())
    }

    /// Below this scale one weight alone costs more than `most`.
    fn least_scale(&self, pairs: &[(f64, f64)], most: f64) -> f64 {
        let end = |value: Option<&f32>| value.map_or(0.0, |value| f64::from(*value));
        let (low, high) = (end(self.values.first()), end(self.values.last()));
        let bound = |(weight, h): &(f64, f64)| {
            let reach = if *weight > 0.0 { high } else { -low };
            let beyond = weight.abs() - libm::sqrt(most / h);
            if reach > 0.0 && beyond > 0.0 { beyond / reach } else { 0.0 }
        };
        pairs.iter().map(bound).fold(0.0, f64::max) * (1.0 - 1e-6)
    }

    /// Where weights pass thresholds, each weight's in the order in which it does.
    fn events(&self, pairs: &[(f64, f64)], least: f64) -> Option<Vec<Event>> {
        let mut events = Vec::new();
        let zero = self.thresholds.partition_point(|threshold| *threshold <= 0.0);
        let (below, above) = self.thresholds.split_at(zero);
        for ((weight, _), at) in pairs.iter().zip(0u32..) {
            let mut pass = |threshold: &f32| {
                let scale = weight / f64::from(*threshold);
                let is_passed = scale >= least && scale > 0.0;
                if is_passed {
                    events.push(Event { weight: at, scale });
                }
                is_passed
            };
            // The further the threshold, the smaller the scale.
            let _ =
                if *weight > 0.0 { above.iter().all(&mut pass) } else { below.iter().rev().all(&mut pass) };
            if events.len() > MOST_EVENTS {
                return None;
            }
        }
        Some(events)
    }
}
