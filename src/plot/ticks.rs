//! Where an axis is labelled, and how its numbers are written.

/// The largest magnitude that is drawn; sums and differences of drawn numbers stay finite.
const LARGEST: f64 = 1e300;

/// Whether a coordinate can be drawn.
pub(super) fn drawable(value: f64) -> bool {
    value.abs() <= LARGEST
}

/// Smallest and largest of the drawable values, or `None` if there are none.
pub(super) fn extent(values: impl Iterator<Item = f64>) -> Option<(f64, f64)> {
    values.filter(|v| drawable(*v)).fold(None, |range, v| match range {
        None => Some((v, v)),
        Some((low, high)) => Some((f64::min(low, v), f64::max(high, v))),
    })
}

/// An axis's range for data in `extent`: a margin on both sides, and zero where it is near enough to be worth showing.
pub(super) fn axis_range(extent: Option<(f64, f64)>) -> (f64, f64) {
    let Some((low, high)) = extent else { return (0.0, 1.0) };
    let span = high - low;
    let tiny = high.abs().max(low.abs()) * 1e-9;
    if span <= tiny {
        let pad = if high == 0.0 { 1.0 } else { high.abs() * 0.5 };
        return (low - pad, high + pad);
    }
    let padded = (low - 0.05 * span, high + 0.06 * span);
    match padded {
        (_, end) if low >= 0.0 && low <= 0.7 * span => (0.0, end),
        (start, _) if high <= 0.0 && high >= -0.7 * span => (start, 0.0),
        range => range,
    }
}

/// Round values inside `range`, steps of 1, 2 or 5 times a power of ten, at most `most` of them.
pub(super) fn ticks(range: (f64, f64), most: usize) -> Vec<Tick> {
    let span = range.1 - range.0;
    if most == 0 || !(span > 0.0 && drawable(span)) {
        return Vec::new();
    }
    let rough = span / most as f64;
    let mut exponent = libm::floor(libm::log10(rough)) as i32;
    let mut factor = 10;
    for candidate in [1, 2, 5] {
        if f64::from(candidate) * libm::pow(10.0, f64::from(exponent)) >= rough {
            factor = candidate;
            break;
        }
    }
    if factor == 10 {
        (factor, exponent) = (1, exponent + 1);
    }
    let step = f64::from(factor) * libm::pow(10.0, f64::from(exponent));
    let (first, last) = (libm::ceil(range.0 / step - 1e-9), libm::floor(range.1 / step + 1e-9));
    if !(first.abs() < 1e15 && last.abs() < 1e15) {
        return Vec::new();
    }
    (first as i64..=last as i64)
        .map(|i| {
            let value = i as f64 * step;
            Tick { value, label: label(value, exponent) }
        })
        .collect()
}

/// A labelled position on an axis.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Tick {
    /// Where, in data units.
    pub value: f64,
    /// What is written there.
    pub label: String,
}

/// `value` with as many decimals as a step of 10^`exponent` needs; a true minus sign; powers of ten where digits fail.
fn label(value: f64, exponent: i32) -> String {
    let text = if value == 0.0 {
        "0".to_owned()
    } else if exponent < -5 || value.abs() >= 1e6 {
        scientific(value, exponent)
    } else {
        format!("{value:.*}", usize::try_from(-exponent).unwrap_or(0))
    };
    text.replace('-', "\u{2212}")
}

/// `value` as digits and a power of ten, with as many digits as a step of 10^`exponent` needs.
fn scientific(value: f64, exponent: i32) -> String {
    let leading = libm::floor(libm::log10(value.abs()) + 1e-9) as i32;
    let digits = usize::try_from(leading - exponent).unwrap_or(0);
    format!("{value:.digits$e}")
}

/// A count in as few characters as say it: 0, 250, 10k, 2M.
pub(super) fn count_label(count: f64) -> String {
    for (size, suffix) in [(1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")] {
        if count >= size {
            let scaled = count / size;
            return if scaled == libm::floor(scaled) {
                format!("{scaled}{suffix}")
            } else {
                format!("{scaled:.1}{suffix}")
            };
        }
    }
    format!("{count}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(range: (f64, f64), most: usize) -> Vec<String> {
        ticks(range, most).into_iter().map(|t| t.label).collect()
    }

    #[test]
    fn ticks_are_round_and_few() {
        assert_eq!(labels((0.0, 8.4), 5), ["0", "2", "4", "6", "8"]);
        assert_eq!(
            labels((-0.3, 0.3), 4),
            ["\u{2212}0.2", "0.0", "0.2"].map(|s| if s == "0.0" { "0" } else { s })
        );
        assert_eq!(labels((0.0, 1.0), 5), ["0", "0.2", "0.4", "0.6", "0.8", "1.0"]);
        assert_eq!(labels((12.0, 48.0), 4), ["20", "30", "40"]);
    }

    #[test]
    fn extreme_ranges_are_labelled_in_powers_of_ten() {
        assert_eq!(labels((0.0, 3e-9), 3), ["0", "1e\u{2212}9", "2e\u{2212}9", "3e\u{2212}9"]);
        assert_eq!(labels((0.0, 2.5e7), 2), ["0", "2e7"]);
        assert!(ticks((0.0, f64::INFINITY), 4).is_empty());
        assert!(ticks((f64::NAN, 1.0), 4).is_empty());
        assert!(ticks((1.0, 1.0), 4).is_empty());
        assert!(ticks((0.0, 1.0), 0).is_empty());
        assert!(ticks((1e16, 1e16 + 2.0), 4).len() <= 5);
    }

    #[test]
    fn never_more_than_one_over_the_wanted_number() {
        for most in 1..12 {
            for end in [1.0, 1.7, 3.3, 9.99, 123.0, 0.004] {
                assert!(ticks((0.0, end), most).len() <= most + 1);
            }
        }
    }

    #[test]
    fn ranges_show_zero_when_it_is_near() {
        assert_eq!(axis_range(Some((1.0, 8.0))).0, 0.0);
        assert!(axis_range(Some((7.0, 8.0))).0 > 6.0);
        assert_eq!(axis_range(Some((-8.0, -1.0))).1, 0.0);
        assert_eq!(axis_range(None), (0.0, 1.0));
        assert_eq!(axis_range(Some((4.0, 4.0))), (2.0, 6.0));
        assert_eq!(axis_range(Some((0.0, 0.0))), (-1.0, 1.0));
    }

    #[test]
    fn undrawable_values_do_not_count() {
        let values = [f64::NAN, 3.0, f64::INFINITY, -1.0, f64::NEG_INFINITY, 1e301];
        assert_eq!(extent(values.into_iter()), Some((-1.0, 3.0)));
        assert_eq!(extent([f64::NAN].into_iter()), None);
    }

    #[test]
    fn counts_are_short() {
        let labels = [0.0, 250.0, 1000.0, 1500.0, 10_000.0, 2e6, 3e9].map(count_label);
        assert_eq!(labels, ["0", "250", "1k", "1.5k", "10k", "2M", "3G"]);
    }
}
