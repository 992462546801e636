//! A method's swept parameter as an axis: its logarithm, growing from fine to coarse.

use super::Setting;
use crate::number;
use crate::quantize::{Method, ParameterKind};
use std::f64::consts::E;

/// The values of a swept parameter.
#[derive(Debug, Clone, Copy)]
pub struct Axis {
    method: &'static Method,
    min: f64,
    max: f64,
    whole: bool,
    /// 1 where larger values are coarser, else −1.
    sign: f64,
    /// Ends of the method's own sweep, finest first.
    sweep: (f64, f64),
}

impl Axis {
    /// The axis of a method, as wide as its parameter allows.
    pub fn new(method: &'static Method) -> Self {
        let (fine, coarse) = method.sweep;
        let (min, max, whole) = match method.swept_kind() {
            Some(ParameterKind::Integer { min, max, .. }) => (min.max(1) as f64, max as f64, true),
            Some(ParameterKind::Number { min, max, .. }) => (min, max, false),
            _ => (fine.min(coarse), fine.max(coarse), false),
        };
        let sign = if fine < coarse { 1.0 } else { -1.0 };
        let mut this = Self { method, min, max, whole, sign, sweep: (0.0, 0.0) };
        this.sweep = (this.coordinate(fine), this.coordinate(coarse));
        this
    }

    /// Where a value lies.
    pub fn coordinate(&self, value: f64) -> f64 {
        self.sign * libm::log(value)
    }

    /// The value nearest to a coordinate.
    pub fn value(&self, coordinate: f64) -> f64 {
        let value = libm::pow(E, self.sign * coordinate).clamp(self.min, self.max);
        if self.whole { value.round_ties_even() } else { number::rounded(value, 4).clamp(self.min, self.max) }
    }

    /// A value as a setting of the method.
    pub fn setting(&self, value: f64) -> Setting {
        Setting { method: self.method.id, parameter: self.method.swept, value, is_whole: self.whole }
    }

    /// The coordinates of the parameter's own ends, finest first.
    pub fn ends(&self) -> (f64, f64) {
        let (a, b) = (self.coordinate(self.min), self.coordinate(self.max));
        if a < b { (a, b) } else { (b, a) }
    }

    /// The coordinates where the method's own sweep ends, finest first.
    pub fn sweep(&self) -> (f64, f64) {
        self.sweep
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::quantize::methods::{METHODS, find};

    #[test]
    fn every_axis_grows_from_fine_to_coarse_and_spans_its_sweep() {
        for method in METHODS {
            let axis = Axis::new(method);
            let (fine, coarse) = axis.ends();
            assert!(fine < coarse && axis.sweep().0 < axis.sweep().1, "{}", method.id);
            assert!(fine <= axis.sweep().0 && axis.sweep().1 <= coarse, "{}", method.id);
            for end in [fine, coarse] {
                let again = axis.coordinate(axis.value(end));
                assert!((again - end).abs() < 1e-9, "{}", method.id);
            }
        }
    }

    #[test]
    fn values_have_four_digits_or_are_whole() {
        let steps = Axis::new(find("uniform").unwrap());
        assert_eq!(steps.value(steps.coordinate(0.412_345)), 0.4123);
        let levels = Axis::new(find("kmeans").unwrap());
        assert_eq!(levels.value(levels.coordinate(17.4)), 17.0);
    }
}
