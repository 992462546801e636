//! Numbers as people read them.

use crate::engine::AskedCurve;
use crate::engine::report::{Curve, Point};
use crate::quantize::Value;

/// A whole number with a comma between thousands.
pub fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A size in bytes, decimal units.
pub fn bytes(n: u64) -> String {
    let x = n as f64;
    match n {
        0..1_000 => format!("{n} B"),
        1_000..1_000_000 => format!("{} kB", significant(x / 1e3, 3)),
        1_000_000..1_000_000_000 => format!("{} MB", significant(x / 1e6, 3)),
        _ => format!("{} GB", significant(x / 1e9, 3)),
    }
}

/// `digits` significant digits without a needless exponent; a dash for what is no number.
pub fn significant(x: f64, digits: usize) -> String {
    if !x.is_finite() {
        return if x.is_nan() {
            "–".to_owned()
        } else if x > 0.0 {
            "∞".to_owned()
        } else {
            "−∞".to_owned()
        };
    }
    if x == 0.0 {
        return "0".to_owned();
    }
    let exponent = libm::floor(libm::log10(x.abs())) as i32;
    let text = if (-4..15).contains(&exponent) {
        let decimals = (digits as i32 - 1 - exponent).max(0) as usize;
        format!("{x:.decimals$}")
    } else {
        format!("{x:.*e}", digits.saturating_sub(1))
    };
    text.replace('-', "−")
}

/// A fixed number of decimals; a dash for what is no number.
pub fn decimals(x: f64, places: usize) -> String {
    if x.is_finite() { format!("{x:.places$}").replace('-', "−") } else { significant(x, 3) }
}

/// A share as a percentage.
pub fn percent(x: f64) -> String {
    match x {
        x if x > 0.0 && x < 0.001 => "< 0.1 %".to_owned(),
        x => format!("{} %", decimals(x * 100.0, 1)),
    }
}

/// A value that can be typed back into a number field: no typographic minus, no trailing noise.
pub fn typed(x: f64) -> String {
    if x == 0.0 || (x.abs() >= 1e-4 && x.abs() < 1e9) {
        // At least four significant digits, and none of the noise of a float32.
        let decimals = if x.abs() < 0.01 { 8 } else { 6 };
        format!("{x:.decimals$}").trim_end_matches('0').trim_end_matches('.').to_owned()
    } else {
        format!("{x:.3e}")
    }
}

/// Dimensions.
pub fn shape(dimensions: &[u64]) -> String {
    if dimensions.is_empty() {
        return "scalar".to_owned();
    }
    dimensions.iter().map(u64::to_string).collect::<Vec<_>>().join(" × ")
}

/// Time left, roughly.
pub fn time_left(seconds: f64) -> String {
    match seconds {
        s if s < 1.5 => "about a second left".to_owned(),
        s if s < 90.0 => format!("{} s left", libm::ceil(s)),
        s => format!("{} min left", libm::ceil(s / 60.0)),
    }
}

/// A point's place on its curve, as people write it.
pub fn setting(curve: &Curve, point: &Point) -> String {
    let value = match &point.parameter {
        Some(Value::Number(x)) => significant(*x, 3),
        Some(other) => other.to_string(),
        None => String::new(),
    };
    let symbol =
        AskedCurve::parse(&curve.method).map_or(curve.parameter.as_str(), |asked| asked.method.unit.symbol());
    format!("{symbol} = {value}")
}
