//! Decimal numbers as people type them.
//!
//! In the page the browser reads them: both round to the nearest float (ECMA-262, `StringToNumber`; Rust's `FromStr`), and
//! the tables that ours needs are 12 KB of the download that no compression makes smaller.

/// The number that a text of digits with a sign, a point and an exponent is; `None` for any other.
pub fn parse(text: &str) -> Option<f64> {
    let is_known = |byte: u8| byte.is_ascii_digit() || matches!(byte, b'.' | b'e' | b'E' | b'+' | b'-');
    if text.is_empty() || !text.bytes().all(is_known) {
        return None;
    }
    Some(read(text)).filter(|number| !number.is_nan())
}

#[cfg(target_arch = "wasm32")]
fn read(text: &str) -> f64 {
    wasm_bindgen::JsValue::from_str(text).unchecked_into_f64()
}

#[cfg(not(target_arch = "wasm32"))]
fn read(text: &str) -> f64 {
    text.parse().unwrap_or(f64::NAN)
}

/// A number to so many significant digits, so that it can be typed.
pub fn rounded(value: f64, digits: usize) -> f64 {
    parse(&format!("{value:.*e}", digits.saturating_sub(1))).unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_digits_are_numbers_and_others_are_not() {
        for (text, number) in [
            ("0", 0.0),
            ("-0.5", -0.5),
            ("+12", 12.0),
            ("1.", 1.0),
            (".25", 0.25),
            ("1e-3", 0.001),
            ("6.02E23", 6.02e23),
            ("0.1000000000000000055511151231257827", 0.1),
            ("5e-324", 5e-324),
            ("1e999", f64::INFINITY),
        ] {
            assert_eq!(parse(text), Some(number), "{text}");
        }
        for text in
            ["", " 1", "1 ", "0x10", "inf", "NaN", "1e", "e5", ".", "+", "--1", "1.2.3", "1_000", "1e5.5"]
        {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn rounding_keeps_so_many_digits() {
        assert_eq!((rounded(0.123_456, 3), rounded(98_765.0, 2), rounded(-1.0, 4)), (0.123, 99_000.0, -1.0));
        assert!(rounded(f64::NAN, 3).is_nan() && rounded(f64::INFINITY, 3) == f64::INFINITY);
    }
}
