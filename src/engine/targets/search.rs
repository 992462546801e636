//! The search along one method's swept parameter for the setting that just meets a size or a quality.
//!
//! Coordinates are seen from the side that meets the target: they grow towards the setting where the target is met without
//! slack, and past it is missed. The bracket is the last coordinate that met and the first that missed. It is found from the
//! predicted curve, moved and scaled to what the last two trials measured, in strides that double at least; it is narrowed by
//! the moved curve as long as that crosses inside, else by regula falsi (Dowell and Jarratt 1971, Illinois form), both aimed
//! at half the tolerance, and by halving where two trials shrank it by less than half. The search ends on a trial within the
//! tolerance, on neighbouring values, or on the last trial allowed.
//!
//! Measured figures need not be monotone. The bracket then closes on one of several crossings; the caller's
//! [`Candidates`](super::Candidates) keeps the best of all trials, wherever it lies.

use super::axis::Axis;
use super::{Measured, Setting, Target, Trial};
use crate::engine::report::Point;
use crate::quantize::{Method, Value};

/// Compressions tried per method at most.
pub const TRIALS: usize = 12;
/// Settings that could not be solved at most; they cost little.
const REFUSALS: usize = 8;
/// The first stride where a trial is on the wrong side, as a logarithm: 2 %.
const STRIDE: f64 = 0.02;
/// Where a setting that cannot be solved is nearer than this to one that can, the search ends: 1 %.
const NEAR: f64 = 0.01;

/// A coordinate with the [`slack`](Target::slack) that was predicted or measured there.
#[derive(Debug, Clone, Copy)]
struct At {
    coordinate: f64,
    slack: f64,
}

/// The search for one method.
#[derive(Debug)]
pub struct Search {
    target: Target,
    axis: Axis,
    /// 1 where coarser settings are nearer to missing the target, else −1.
    sign: f64,
    /// Predictions, by coordinate.
    curve: Vec<At>,
    /// What is expected where `x` is predicted: `offset + scale·x`, fitted to the last two trials.
    offset: f64,
    scale: f64,
    /// Prediction and measurement of the last trial.
    last: Option<(f64, f64)>,
    /// The last coordinate that met the target.
    met: Option<At>,
    /// The first coordinate that missed it, or that could not be solved (a slack of −∞).
    missed: Option<At>,
    /// The last coordinate on the side that meets the target that could not be solved.
    end: Option<f64>,
    stride: f64,
    /// The bracket's width two trials ago, and the side that was replaced last: whether it met.
    widths: [f64; 2],
    last_met: Option<bool>,
    asked: Option<f64>,
    trials: usize,
    refusals: usize,
    done: bool,
}

impl Search {
    /// A search for a target that was checked, from predictions that may be none.
    pub(super) fn new(target: Target, method: &'static Method, points: &[Point], parameters: u64) -> Self {
        let axis = Axis::new(method);
        let sign = if target.is_size() { -1.0 } else { 1.0 };
        let at = |point: &Point| {
            let value = match point.parameter.as_ref()? {
                Value::Integer(n) => *n as f64,
                Value::Number(x) => *x,
                Value::Choice(_) => return None,
            };
            let coordinate = sign * axis.coordinate(value);
            let slack = target.slack(&Measured::predicted(point, parameters));
            slack.is_finite().then_some(At { coordinate, slack })
        };
        let mut curve: Vec<At> = points.iter().filter_map(at).collect();
        // A sweep goes from fine to coarse.
        if sign < 0.0 {
            curve.reverse();
        }
        Self {
            target,
            axis,
            sign,
            curve,
            offset: 0.0,
            scale: 1.0,
            last: None,
            met: None,
            missed: None,
            end: None,
            stride: STRIDE,
            widths: [f64::INFINITY; 2],
            last_met: None,
            asked: None,
            trials: 0,
            refusals: 0,
            done: false,
        }
    }

    /// The setting to be tried next; none once the search has ended.
    pub fn next_setting(&mut self) -> Option<Setting> {
        if self.done || self.trials >= TRIALS || self.refusals >= REFUSALS {
            return None;
        }
        self.asked = match (self.met, self.missed) {
            (None, None) => self.first(),
            (Some(met), None) => self.beyond(met),
            (None, Some(missed)) => self.before(missed),
            (Some(met), Some(missed)) => self.between(met, missed),
        };
        Some(self.axis.setting(self.asked?))
    }

    /// Takes what the last setting gave.
    pub fn measured(&mut self, measured: Measured) -> Option<Trial> {
        let value = self.asked.take()?;
        let coordinate = self.coordinate(value);
        let slack = self.target.slack(&measured);
        self.trials += 1;
        if let Some(predicted) = self.predicted(coordinate).filter(|_| slack.is_finite()) {
            self.fit(predicted, slack);
        }
        self.done |= (0.0..=self.target.tolerance()).contains(&slack);
        self.narrow(At { coordinate, slack });
        Some(Trial { setting: self.axis.setting(value), measured })
    }

    /// Hears that the last setting could not be solved: the axis ends before it.
    pub fn refused(&mut self) {
        let Some(coordinate) = self.asked.take().map(|value| self.coordinate(value)) else { return };
        self.refusals += 1;
        // It lies on the side of the fine end, where grids grow too large, unless trials say otherwise.
        let is_beyond = self.met.is_some_and(|met| coordinate > met.coordinate)
            || (self.missed.is_none() && self.sign < 0.0);
        if is_beyond {
            self.missed = Some(At { coordinate, slack: f64::NEG_INFINITY });
            self.last_met = None;
        } else {
            self.end = Some(self.end.map_or(coordinate, |end| end.max(coordinate)));
        }
    }

    fn coordinate(&self, value: f64) -> f64 {
        self.sign * self.axis.coordinate(value)
    }

    fn value(&self, coordinate: f64) -> f64 {
        self.axis.value(self.sign * coordinate)
    }

    /// Fits what is expected to what was measured where `predicted` was predicted.
    fn fit(&mut self, predicted: f64, slack: f64) {
        if let Some((before, measured)) = self.last.replace((predicted, slack)) {
            let slope = (slack - measured) / (predicted - before);
            // Trials too near to each other measure the noise of the code, not a slope.
            if (predicted - before).abs() > 5.0 * self.target.tolerance() && slope.is_finite() {
                self.scale = slope.clamp(0.5, 2.0);
            }
        }
        self.offset = slack - self.scale * predicted;
    }

    /// Keeps a measured coordinate as an end of the bracket.
    fn narrow(&mut self, at: At) {
        let met = at.slack >= 0.0;
        let (own, other) =
            if met { (&mut self.met, &mut self.missed) } else { (&mut self.missed, &mut self.met) };
        // Illinois: an end that stays twice counts half, so that both ends move.
        if let Some(other) = other
            && self.last_met == Some(met)
        {
            other.slack /= 2.0;
        }
        *own = Some(at);
        self.last_met = Some(met);
        if let (Some(met), Some(missed)) = (self.met, self.missed) {
            let width = missed.coordinate - met.coordinate;
            self.widths = [self.widths[1], width];
        }
    }

    /// Where half the tolerance is expected to be left; the last crossing counts, since it is the setting that makes the most of
    /// the target.
    fn crossing(&self) -> Option<f64> {
        let aim = (self.target.tolerance() / 2.0 - self.offset) / self.scale;
        let pairs = self.curve.iter().zip(self.curve.iter().skip(1));
        let inside = |(a, b): (&At, &At)| {
            (a.slack >= aim && b.slack < aim)
                .then(|| a.coordinate + (b.coordinate - a.coordinate) * (a.slack - aim) / (a.slack - b.slack))
        };
        pairs.filter_map(inside).next_back()
    }

    /// The prediction at a coordinate, if it lies on the predicted curve.
    fn predicted(&self, coordinate: f64) -> Option<f64> {
        let after = self.curve.iter().position(|at| at.coordinate >= coordinate)?;
        let b = self.curve.get(after)?;
        let Some(a) = after.checked_sub(1).and_then(|before| self.curve.get(before)) else {
            return (b.coordinate == coordinate).then_some(b.slack);
        };
        Some(a.slack + (b.slack - a.slack) * (coordinate - a.coordinate) / (b.coordinate - a.coordinate))
    }

    /// The nearer and the farther end of a stretch of the axis, seen from the side that meets the target.
    fn seen(&self, (fine, coarse): (f64, f64)) -> (f64, f64) {
        if self.sign < 0.0 { (-coarse, -fine) } else { (fine, coarse) }
    }

    /// Where to begin: what is predicted to meet the target, else an end of the method's own sweep.
    fn first(&self) -> Option<f64> {
        if let Some(end) = self.end {
            let (_, far) = self.seen(self.axis.ends());
            let middle = self.value(f64::midpoint(end, far));
            return (middle != self.value(end)).then_some(middle);
        }
        let (near, far) = self.seen(self.axis.sweep());
        let coordinate = self.crossing().unwrap_or_else(|| match self.curve.first() {
            Some(at) if at.slack < 0.0 => near,
            Some(_) => far,
            None => f64::midpoint(near, far),
        });
        Some(self.value(coordinate))
    }

    /// A setting nearer to missing the target than all that were tried; none where there is none.
    fn beyond(&mut self, met: At) -> Option<f64> {
        let (_, far) = self.seen(self.axis.ends());
        if self.value(met.coordinate) == self.value(far) {
            return None;
        }
        let wanted = self.crossing().unwrap_or(far).max(met.coordinate + self.stride).min(far);
        self.stride *= 2.0;
        Some(self.another(wanted, met.coordinate, 1.0))
    }

    /// A setting safer than all that were tried; none where there is none.
    fn before(&mut self, missed: At) -> Option<f64> {
        let (near, _) = self.seen(self.axis.ends());
        if self.value(missed.coordinate) == self.value(near) {
            return None;
        }
        if let Some(end) = self.end {
            // The very end could not be solved: halve what is left.
            let middle = self.value(f64::midpoint(end, missed.coordinate));
            return (missed.coordinate - end > NEAR && middle != self.value(missed.coordinate))
                .then_some(middle);
        }
        let wanted = self.crossing().unwrap_or(near).min(missed.coordinate - self.stride).max(near);
        self.stride *= 2.0;
        Some(self.another(wanted, missed.coordinate, -1.0))
    }

    /// The value at `wanted`, moved on in `direction` until it is another one than that at `from`.
    fn another(&self, wanted: f64, from: f64, direction: f64) -> f64 {
        let old = self.value(from);
        let mut step = STRIDE;
        let mut value = self.value(wanted);
        while value == old && step < 8.0 {
            value = self.value(wanted + direction * step);
            step *= 2.0;
        }
        value
    }

    /// A setting inside the bracket; none where its ends are neighbours.
    fn between(&self, met: At, missed: At) -> Option<f64> {
        let width = missed.coordinate - met.coordinate;
        let unsolved = missed.slack == f64::NEG_INFINITY;
        if unsolved && width.abs() < NEAR {
            return None;
        }
        let middle = f64::midpoint(met.coordinate, missed.coordinate);
        let aim = self.target.tolerance() / 2.0;
        let share = (met.slack - aim) / (met.slack - missed.slack);
        let is_inside =
            |coordinate: &f64| (*coordinate - met.coordinate) * (*coordinate - missed.coordinate) < 0.0;
        let wanted = if width.abs() > self.widths[0].abs() / 2.0 {
            middle
        } else if let Some(crossing) = self.crossing().filter(is_inside) {
            crossing
        } else if share.is_finite() {
            met.coordinate + width * share.clamp(0.02, 0.98)
        } else {
            middle
        };
        let ends = [self.value(met.coordinate), self.value(missed.coordinate)];
        [wanted, middle]
            .into_iter()
            .map(|coordinate| self.value(coordinate))
            .find(|value| !ends.contains(value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::targets::Candidates;
    use crate::quantize::methods::{METHODS, find};
    use crate::quantize::{ParameterKind, Unit};
    use crate::recipe::Recipe;

    /// Runs a search against a made-up relation of the parameter to bytes and decibels.
    fn run(
        target: Target,
        method: &'static str,
        points: &[Point],
        made: impl Fn(f64) -> Option<(f64, f64)>,
    ) -> (Candidates, usize) {
        let method = find(method).unwrap();
        let mut candidates = Candidates::new(target, &Recipe::default()).unwrap();
        let mut search = candidates.search(method, points, 1000);
        let mut asked = 0;
        let mut seen = Vec::new();
        while let Some(setting) = search.next_setting() {
            asked += 1;
            assert!(!seen.contains(&setting), "{setting} is asked for twice");
            seen.push(setting);
            let recipe = setting.recipe(&Recipe::default());
            let again = Recipe::from_line(&recipe.to_line()).unwrap();
            assert_eq!(again.check().unwrap().settings, recipe.check().unwrap().settings);
            match made(setting.value) {
                Some((bytes, sqnr_db)) => {
                    let file_bytes = bytes as u64;
                    let bits = bytes * 8.0 / 20_000.0;
                    let measured = Measured {
                        file_bytes,
                        bits,
                        sqnr_db,
                        weighted_sqnr_db: sqnr_db,
                        ..Measured::default()
                    };
                    candidates.enter(search.measured(measured).unwrap());
                }
                None => search.refused(),
            }
        }
        (candidates, asked)
    }

    /// A quantizer of high resolution, as coarse as its parameter says.
    fn ideal(method: &str) -> impl Fn(f64) -> Option<(f64, f64)> {
        let unit = find(method).unwrap().unit;
        move |x: f64| {
            let bits = match unit {
                Unit::Levels => libm::log2(x),
                Unit::Bits => x,
                Unit::Deviations => 4.0 - libm::log2(x),
                Unit::Variances => 2.0 - libm::log2(x) / 2.0,
            };
            Some((10_000.0 * bits.max(0.0) + 500.0, 6.02 * bits))
        }
    }

    fn predictions(method: &str, error: f64) -> Vec<Point> {
        let row = find(method).unwrap();
        let axis = Axis::new(row);
        let (fine, coarse) = axis.sweep();
        let point = |i: i32| {
            let value = axis.value(fine + (coarse - fine) * f64::from(i) / 19.0);
            let (bytes, sqnr_db) = ideal(method)(value).unwrap();
            Point {
                parameter: Some(Value::Number(value)),
                predicted_ratio: 4000.0 / (bytes * error),
                bits: bytes * error * 8.0 / 20_000.0,
                sqnr_db: sqnr_db * error,
                ..Point::default()
            }
        };
        (0..20).map(point).collect()
    }

    #[test]
    fn good_predictions_need_few_trials_and_bad_ones_a_few_more() {
        for method in METHODS.iter().filter(|method| !is_whole(method)) {
            for target in [Target::FileBytes(40_000), Target::SqnrDb(25.0)] {
                for (error, most) in [(1.0, 3), (1.2, 5), (0.7, 5), (2.0, 8)] {
                    let points = predictions(method.id, error);
                    let (candidates, asked) = run(target, method.id, &points, ideal(method.id));
                    let answer = candidates.answer().unwrap();
                    let slack = target.slack(&answer.measured);
                    assert!((0.0..=target.tolerance()).contains(&slack), "{} {target}: {slack}", method.id);
                    assert!(asked <= most, "{} {target} {error}: {asked} trials", method.id);
                }
            }
        }
    }

    fn is_whole(method: &Method) -> bool {
        matches!(method.swept_kind(), Some(ParameterKind::Integer { .. }))
    }

    #[test]
    fn whole_numbers_end_on_neighbours() {
        for points in [vec![], predictions("kmeans", 1.0), predictions("kmeans", 1.6)] {
            let (candidates, _) = run(Target::FileBytes(40_000), "kmeans", &points, ideal("kmeans"));
            // 10 000·log2 k + 500 ≤ 40 000 up to k = 15.45.
            assert_eq!(candidates.answer().unwrap().setting.value, 15.0);
            let (candidates, _) = run(Target::SqnrDb(25.0), "kmeans", &points, ideal("kmeans"));
            // 6.02·log2 k ≥ 25 from k = 17.8.
            assert_eq!(candidates.answer().unwrap().setting.value, 18.0);
        }
        for points in [vec![], predictions("scaled", 1.0), predictions("scaled", 1.6)] {
            for (target, bits) in [
                (Target::FileBytes(40_000), 3.0),
                (Target::SqnrDb(25.0), 5.0),
                (Target::BitsPerWeight(16.0), 3.0),
            ] {
                let (candidates, _) = run(target, "scaled", &points, ideal("scaled"));
                assert_eq!(candidates.answer().unwrap().setting.value, bits, "{target}");
            }
        }
    }

    #[test]
    fn without_predictions_it_arrives_as_well() {
        for method in METHODS.iter().filter(|method| method.unit != Unit::Bits) {
            for target in [Target::FileBytes(40_000), Target::SqnrDb(25.0), Target::BitsPerWeight(16.0)] {
                let (candidates, asked) = run(target, method.id, &[], ideal(method.id));
                let answer = candidates.answer().unwrap();
                assert!(target.slack(&answer.measured) < 0.6, "{} {target}", method.id);
                assert!(asked <= TRIALS);
            }
        }
    }

    #[test]
    fn noise_never_makes_an_answer_that_misses() {
        for seed in 0..40 {
            let noise = |x: f64| {
                let bits = (x.to_bits() ^ seed).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
                1.0 + 0.02 * (bits as f64 / f64::from(1 << 24) - 0.5)
            };
            let noisy = |x: f64| ideal("uniform")(x).map(|(bytes, db)| (bytes * noise(x), db * noise(x)));
            for target in [Target::FileBytes(40_000), Target::SqnrDb(25.0)] {
                let (candidates, asked) = run(target, "uniform", &predictions("uniform", 1.1), noisy);
                let answer = candidates.answer().unwrap();
                assert!(target.is_met(&answer.measured) && asked <= TRIALS);
                assert!(target.slack(&answer.measured) < 0.3, "{target}: {}", target.slack(&answer.measured));
            }
        }
    }

    #[test]
    fn what_cannot_be_met_says_what_can_from_the_end_of_the_axis() {
        let floor = |x: f64| ideal("uniform")(x).map(|(bytes, db)| (bytes.max(31_000.0), db));
        let (candidates, _) = run(Target::FileBytes(1000), "uniform", &predictions("uniform", 1.0), floor);
        let sentence = candidates.answer().unwrap_err();
        assert!(
            sentence.starts_with(
                "at most 1000 bytes cannot be met: the smallest file this recipe can make is 31000 bytes, at "
            ),
            "{sentence}"
        );
        let (candidates, _) =
            run(Target::SqnrDb(190.0), "uniform", &predictions("uniform", 1.0), ideal("uniform"));
        let sentence = candidates.answer().unwrap_err();
        assert!(sentence.contains("the most this recipe can reach is 70.09"), "{sentence}");
        assert!(sentence.ends_with("(uniform, step 0.005)"), "{sentence}");
    }

    #[test]
    fn what_is_easily_met_is_met_by_the_end_of_the_axis() {
        let (candidates, _) =
            run(Target::FileBytes(1 << 40), "uniform", &predictions("uniform", 1.0), ideal("uniform"));
        assert_eq!(candidates.answer().unwrap().setting.value, 0.005);
        let (candidates, _) =
            run(Target::SqnrDb(0.0), "kmeans", &predictions("kmeans", 1.0), ideal("kmeans"));
        assert_eq!(candidates.answer().unwrap().setting.value, 1.0);
    }

    #[test]
    fn settings_that_cannot_be_solved_end_the_axis() {
        let limited = |x: f64| if x < 0.02 { None } else { ideal("uniform")(x) };
        let points = predictions("uniform", 1.0);
        let (candidates, asked) = run(Target::FileBytes(1 << 40), "uniform", &points, limited);
        let x = candidates.answer().unwrap().setting.value;
        assert!((0.02..0.0205).contains(&x), "{x}");
        assert!(asked <= TRIALS + REFUSALS);
        let (candidates, _) = run(Target::SqnrDb(190.0), "uniform", &points, limited);
        let sentence = candidates.answer().unwrap_err();
        assert!(sentence.contains("(uniform, step 0.020"), "{sentence}");
        let (candidates, _) = run(Target::SqnrDb(20.0), "uniform", &points, |_| None);
        assert!(candidates.answer().unwrap_err().ends_with("no setting could be compressed"));
    }
}
