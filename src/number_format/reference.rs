//! What rounding is, in one line: the nearest of all values, or the next towards zero. Every format of up to 16 bits is held
//! to it.

use super::float::Lowest;
use super::rounding::Rounding;
use super::{Format, Scale};

/// The value that `x` becomes, by looking at all that there are: (value, whether its code is even), ascending.
fn nearest(values: &[(f32, bool)], x: f64, rounding: Rounding, to_zero: bool) -> f32 {
    let above = values.partition_point(|(value, _)| f64::from(*value) <= x);
    let below = values.get(above.wrapping_sub(1));
    let (Some(low), Some(high)) = (below, values.get(above)) else {
        return below.or(values.get(above)).map_or(0.0, |(value, _)| *value);
    };
    let (down, up) = (x - f64::from(low.0), f64::from(high.0) - x);
    let towards_zero = if x >= 0.0 || x == f64::from(low.0) { low.0 } else { high.0 };
    if rounding == Rounding::Truncate {
        return towards_zero;
    }
    match down.total_cmp(&up) {
        std::cmp::Ordering::Less => low.0,
        std::cmp::Ordering::Greater => high.0,
        // Zero is even whatever its neighbour.
        std::cmp::Ordering::Equal if to_zero || low.0 == 0.0 || high.0 == 0.0 => {
            if low.0 == 0.0 || high.0 == 0.0 { 0.0 } else { towards_zero }
        }
        std::cmp::Ordering::Equal => {
            if low.1 {
                low.0
            } else {
                high.0
            }
        }
    }
}

/// Holds a format's rounder to the definition: on all values, between all of them, and beyond.
pub fn check(format: &Format, name: &str) {
    let rounder = format.rounder(Scale::default()).unwrap();
    let (rounding, to_zero, overflows) = match format {
        Format::Float(float) => (float.rounding, false, float.overflows),
        Format::Fixed(fixed) => (fixed.rounding, false, false),
        Format::Table(_) => (Rounding::Nearest, true, false),
        _ => (Rounding::Nearest, false, false),
    };
    // The magnitudes' places say which code is even: codes ascend with them, from zero on or, where the exponent field 0 has no
    // subnormal numbers, from the least normal.
    let all = format.values();
    let zero = all.partition_point(|value| *value < 0.0);
    let skips = matches!(format, Format::Float(float) if float.lowest != Lowest::Subnormals);
    let is_even = |at: usize| match at.abs_diff(zero) {
        0 => true,
        place => (place - usize::from(skips)).is_multiple_of(2),
    };
    let values: Vec<(f32, bool)> = all.iter().enumerate().map(|(at, value)| (*value, is_even(at))).collect();
    let (largest, smallest) = (format.largest(), format.smallest());
    let expected = |x: f32| nearest(&values, f64::from(x), rounding, to_zero);
    let agree = |x: f32| {
        let (found, expected) = (rounder.round(x, 0), expected(x));
        // Infinite is what rounds beyond the largest, which the values do not show.
        let is_beyond = overflows && x.abs() > largest && rounding == Rounding::Nearest;
        assert!(found == expected || is_beyond, "{name}: {x:e} became {found:e}, not {expected:e}");
    };
    for pair in values.windows(2) {
        let (low, high) = (pair[0].0, pair[1].0);
        let middle = f64::midpoint(f64::from(low), f64::from(high)) as f32;
        for x in [low, high, middle, middle.next_up(), middle.next_down(), low.next_up(), high.next_down()] {
            agree(x);
        }
    }
    let mut random = crate::random::SplitMix64::new(11);
    for _ in 0..20_000 {
        let unit = random.unit() as f32 * 2.0 - 1.0;
        agree(unit * largest * 1.2);
        agree(unit * smallest * 20.0);
        agree(unit * libm::exp2f((random.unit() * 40.0 - 20.0) as f32));
    }
}
