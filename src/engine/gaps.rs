//! How far operating points are from what is possible: in dB from the exact optimum, in bits from the Shannon bound.
//!
//! - Lloyd's k-means is measured against exact k-means with as many levels, by importance where there is one.
//! - Scalar quantizers that an entropy coder follows (uniform, entropy-constrained) are measured against the exact
//!   optimum at the same entropy: intervals by shortest path (Muresan and Effros 2008). That is the optimum only where
//!   every weight matters alike and one codebook serves all; with unequal importance the best clusters are no intervals
//!   and no exact optimum is known, so there is no gap to show. Nor is there one for quantizers with memory, which may do
//!   better than every scalar one.
//! - The Shannon lower bound is that of a memoryless source with the weights' own histogram as its density. It assumes no
//!   model, where a fitted density with more entropy than the weights would not bound anything. It is a bound on plain
//!   squared error: for weighted error the density given the importance would have to be known, so there is none.
//!
//! The exact curve is known at a few dozen prices λ of a bit, each with its tangent of slope −λ. Between two of them the
//! optimum lies above both tangents and below their chord; it is read from the cubic through both points in
//! (bits, log of the error) with the tangents' slopes (Hermite), kept between those limits.
//!
//! Cost: one curve of [`crate::quantize::ecsq_exact`] per selection of weights, kept by the session.

use super::evaluate::Evaluated;
use super::groups::Groups;
use super::report::{Bound, Curve, Point};
use crate::quantize::{Method, Optimum, Settings, Standing, ecsq_exact, uniform::deviation};
use crate::rate_distortion::{bounds, entropy_bits, hull, sqnr_db};

/// Prices at which the exact curve is solved, in variances per bit.
const PRICES: (f64, f64) = (0.0001, 2.0);
const KNOTS: i32 = 48;
/// Runs of cells between which the exact curve cuts before it is improved on all cells; more of them below a price at which
/// levels lie close.
const BINS: u64 = 1024;
const MORE_BINS: u64 = 2048;
const FINE_PRICE: f64 = 0.002;

/// A point of the exact curve with the slope there.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Knot {
    bits: f64,
    mse: f64,
    /// What one bit is worth: −dD/dR.
    price: f64,
}

/// The exact entropy-constrained curve of a selection of weights that share a codebook, every weight alike.
#[derive(Debug, Default)]
pub(super) struct Reference(Vec<Knot>);

impl Reference {
    /// Solves the curve.
    pub fn new(groups: &Groups) -> Self {
        let Some((method, group)) = Method::proving(Optimum::OfEntropy).zip(groups.all.first()) else {
            return Self::default();
        };
        let deviation = deviation(&group.kept);
        let (mut prices, mut settings) = (Vec::new(), Vec::new());
        for i in 0..KNOTS {
            let part = f64::from(i) / f64::from(KNOTS - 1);
            let price = (PRICES.0 * libm::pow(PRICES.1 / PRICES.0, part)).clamp(PRICES.0, PRICES.1);
            let bins = if price < FINE_PRICE { MORE_BINS } else { BINS };
            prices.push(price * deviation * deviation);
            settings.extend(ecsq_exact::settings(price, bins).ok());
        }
        let mut knots = Vec::new();
        for (evaluated, price) in Evaluated::several(groups, method, &settings, true).iter().zip(prices) {
            if let Ok(evaluated) = evaluated {
                let (bits, (mse, _)) = (evaluated.entropy_bits(), evaluated.errors());
                knots.push(Knot { bits, mse, price });
            }
        }
        Self::from_knots(&knots)
    }

    /// Keeps the knots on the lower convex hull; of knots by ascending price, so that the last one has the fewest bits.
    fn from_knots(knots: &[Knot]) -> Self {
        let points: Vec<(f64, f64)> = knots.iter().map(|knot| (knot.bits, knot.mse)).collect();
        let (mut bits, mut mse) = (-1.0, f64::INFINITY);
        let better = (0..knots.len()).rev().filter(|i| {
            let point = points.get(*i).copied().unwrap_or((f64::NAN, f64::NAN));
            let is_better = point.0 > bits && point.1 < mse;
            if is_better {
                (bits, mse) = point;
            }
            is_better
        });
        Self(hull::convex(&points, better).into_iter().filter_map(|i| knots.get(i).copied()).collect())
    }

    /// The least error at this rate; `None` outside the solved rates.
    pub fn mse(&self, bits: f64) -> Option<f64> {
        let after = self.0.partition_point(|knot| knot.bits <= bits);
        let left = *self.0.get(after.checked_sub(1)?)?;
        match self.0.get(after) {
            Some(right) => Some(between(left, *right, bits)),
            None => (left.bits == bits).then_some(left.mse),
        }
    }
}

/// The curve between two knots.
fn between(left: Knot, right: Knot, bits: f64) -> f64 {
    let run = right.bits - left.bits;
    let t = (bits - left.bits) / run;
    let chord = left.mse + t * (right.mse - left.mse);
    let tangent = |knot: Knot| knot.mse - knot.price * (bits - knot.bits);
    let floor = tangent(left).max(tangent(right)).min(chord);
    if left.mse <= 0.0 || right.mse <= 0.0 {
        return chord;
    }
    let [from, to] = [left, right]
        .map(|knot| (libm::log2(knot.mse), -knot.price / knot.mse * run * std::f64::consts::LOG2_E));
    let (s, u) = (1.0 - t, t * (1.0 - t));
    let cubic = from.0 * (s * s * (1.0 + 2.0 * t)) + from.1 * (u * s) + to.0 * (t * t * (3.0 - 2.0 * t))
        - to.1 * (u * t);
    libm::exp2(cubic).clamp(floor, chord)
}

/// The Shannon lower bound of weights that share a codebook, as a source without memory.
///
/// Where weights are pruned they are zeros whose places the code must tell: the bound is that of the weights left, with the
/// places at the entropy of evenly spread zeros.
#[derive(Debug)]
pub(super) struct Shannon {
    fit: bounds::Fit,
    has_density: bool,
    kept: f64,
    kept_squares: f64,
    pruned: f64,
    pruned_squares: f64,
    /// Bits per weight that tell which weights are pruned.
    place_bits: f64,
}

impl Shannon {
    /// The bound, where one codebook serves all weights and they have any spread.
    pub fn new(groups: &Groups) -> Option<Self> {
        let [group] = groups.all.as_slice() else { return None };
        let kept = group.kept.total();
        Some(Self {
            fit: bounds::fit(&group.kept)?,
            has_density: !bounds::repeats_zero(&group.kept),
            kept: kept.count as f64,
            kept_squares: kept.squares,
            pruned: group.pruned.count as f64,
            pruned_squares: group.pruned.squares,
            place_bits: entropy_bits(&[group.pruned.count, kept.count]),
        })
    }

    /// Bits per weight that no code needs fewer of for this mean squared error; `None` where the weights have no density.
    pub fn bits(&self, mse: f64) -> Option<f64> {
        let error = (mse * (self.kept + self.pruned) - self.pruned_squares) / self.kept;
        let bits = bounds::shannon_lower_rate(self.fit.histogram_bits, error);
        (self.has_density && error > 0.0).then(|| self.place_bits + bits * self.share())
    }

    fn share(&self) -> f64 {
        self.kept / (self.kept + self.pruned)
    }

    /// The bounds as they are drawn: of the fitted generalized Gaussian, and of the histogram itself.
    pub fn drawn(&self) -> Vec<Bound> {
        let shape = format!("{:.2}", self.fit.shape);
        vec![
            self.line(
                format!("Shannon bound of codes without context (generalized Gaussian, shape {shape})"),
                self.fit.generalized_bits,
            ),
            self.line(
                "Shannon bound of codes without context (from the histogram)".to_owned(),
                self.fit.histogram_bits,
            ),
        ]
    }

    fn line(&self, title: String, entropy: f64) -> Bound {
        let at = |i: i32| {
            let bits = f64::from(i) * 0.2;
            // No quantizer needs a larger error than the signal itself.
            let error = (self.kept * bounds::shannon_lower_bound(entropy, bits)).min(self.kept_squares);
            let signal = self.kept_squares + self.pruned_squares;
            (self.place_bits + bits * self.share(), sqnr_db(signal, error + self.pruned_squares))
        };
        Bound { title, points: (0..=45).map(at).collect() }
    }
}

/// Whose optimum a curve is measured against.
#[derive(Debug, Clone, Copy)]
pub(super) struct Measure<'a> {
    /// The weights.
    pub groups: &'a Groups,
    /// Which of them share a codebook.
    /// Whether the curve was solved and is to be judged by importance.
    pub weighted: bool,
    /// The Shannon bound, where there is one.
    pub shannon: Option<&'a Shannon>,
}

impl Measure<'_> {
    /// Fills in the gaps of a curve's points; `reference` is solved when first needed.
    pub fn fill(&self, method: &Method, curve: &mut Curve, reference: &mut Option<Reference>) {
        for point in &mut curve.points {
            point.gap_to_shannon_bits = self.shannon.and_then(|shannon| {
                let gap = point.entropy_bits - shannon.bits(point.mse)?;
                // A point below the bound shows that the weights repeat too much to have a density.
                (gap >= 0.0).then_some(gap)
            });
        }
        match method.standing {
            Standing::Proves(Optimum::OfLevels) => {
                curve
                    .points
                    .iter_mut()
                    .for_each(|point| point.gap_to_optimum_db = point.optimal.then_some(0.0));
            }
            Standing::Bounded(Optimum::OfLevels) => self.fill_from_means(curve),
            Standing::Bounded(Optimum::OfEntropy) | Standing::Proves(Optimum::OfEntropy)
                if !self.weighted && self.groups.all.len() == 1 =>
            {
                let reference = reference.get_or_insert_with(|| Reference::new(self.groups));
                for point in &mut curve.points {
                    let least = reference.mse(point.entropy_bits);
                    let gap = least.and_then(|least| decibels(point.mse, least));
                    point.gap_to_optimum_db = if point.optimal { Some(0.0) } else { gap };
                }
            }
            _ => {}
        }
    }

    /// Against exact k-means with the same numbers of levels.
    fn fill_from_means(&self, curve: &mut Curve) {
        let Some(method) = Method::proving(Optimum::OfLevels) else { return };
        let k =
            |point: &Point| Settings::of(method.parameters, &[(method.swept, point.parameter.clone()?)]).ok();
        let settings: Vec<Settings> = curve.points.iter().filter_map(k).collect();
        let solved = Evaluated::several(self.groups, method, &settings, !self.weighted);
        for (point, exact) in curve.points.iter_mut().zip(solved) {
            let Ok(exact) = exact else { continue };
            let (plain, weighted) = exact.errors();
            let (error, least) =
                if self.weighted { (point.weighted_mse, weighted) } else { (point.mse, plain) };
            point.gap_to_optimum_db = decibels(error, least);
        }
    }
}

/// By how many dB `error` is above the `least` one; what is below it by rounding is at it. `None` where it is infinitely far.
fn decibels(error: f64, least: f64) -> Option<f64> {
    if error <= least {
        return Some(0.0);
    }
    (least > 0.0).then(|| 10.0 * libm::log10(error / least))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The Gaussian's own curve D = 2^(−2R).
    fn knot(bits: f64) -> Knot {
        let mse = libm::exp2(-2.0 * bits);
        Knot { bits, mse, price: 2.0 * std::f64::consts::LN_2 * mse }
    }

    #[test]
    fn an_exponential_curve_is_met_between_its_knots() {
        let reference = Reference::from_knots(&[knot(1.3), knot(0.9), knot(0.4), knot(0.0)]);
        for i in 0..=130 {
            let bits = f64::from(i) / 100.0;
            let found = reference.mse(bits).unwrap();
            assert!((found / libm::exp2(-2.0 * bits) - 1.0).abs() < 1e-9, "{bits}: {found}");
        }
        assert_eq!((reference.mse(-0.1), reference.mse(1.31)), (None, None));
    }

    #[test]
    fn between_knots_the_curve_keeps_above_tangents_and_below_the_chord() {
        // Slopes that no convex curve through the points could have do not lead outside.
        let (left, right) = (Knot { price: 3.0, ..knot(1.0) }, Knot { price: 0.0, ..knot(2.0) });
        for i in 0..=10 {
            let t = f64::from(i) / 10.0;
            let chord = left.mse + t * (right.mse - left.mse);
            let found = between(left, right, 1.0 + t);
            assert!(found <= chord + 1e-15 && found >= right.mse.min(chord) - 1e-15, "{t}: {found}");
        }
    }

    #[test]
    fn points_above_the_hull_do_not_count() {
        let worse = Knot { mse: 0.9, ..knot(0.5) };
        let with = Reference::from_knots(&[knot(1.0), worse, knot(0.0)]);
        assert_eq!(with.0, [knot(0.0), knot(1.0)]);
    }

    #[test]
    fn decibels_are_none_where_the_optimum_makes_no_error() {
        assert_eq!(decibels(1e-3, 0.0), None);
        assert_eq!(decibels(0.0, 0.0), Some(0.0));
        assert!((decibels(2.0, 1.0).unwrap() - 3.0103).abs() < 1e-4);
    }
}
