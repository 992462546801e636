//! Spaces of number formats: names with ranges in the place of numbers.
//!
//! `m1..20e2..8` is every format from `m1e2` to `m20e8`; `posit8..10-1..2:…` takes options as a name does; spaces behind commas
//! add up. [`PAPER`] is ours of the size that the paper searched, which lists no members.

use crate::network::NetworkError;
use crate::number_format::Format;

/// 340 formats: floating point with 1 to 20 mantissa and 2 to 8 exponent bits, fixed point with 1 to 10 integer and 1 to 20
/// fraction bits, both as the paper has them.
pub const PAPER: &str = "m1..20e2..8,l1..10r1..20";

/// Most formats of a space.
pub const MOST_FORMATS: usize = 4096;

/// The formats of a space, each once, in the order of the text.
///
/// # Errors
///
/// A range that is none or empty, a name that is none of a format, more than [`MOST_FORMATS`].
pub fn formats(text: &str) -> Result<Vec<Format>, NetworkError> {
    let mut all: Vec<Format> = Vec::new();
    for item in text.split(',').map(str::trim) {
        let mut names = vec![String::new()];
        let mut rest = item;
        while !rest.is_empty() {
            let (before, range, after) = next_range(rest)?;
            for name in &mut names {
                name.push_str(before);
            }
            if let Some((first, last)) = range {
                let count = names.len().saturating_mul((last - first) as usize + 1);
                if count > MOST_FORMATS {
                    return Err(too_many(count));
                }
                let numbers = || first..=last;
                names = names.iter().flat_map(|name| numbers().map(move |n| format!("{name}{n}"))).collect();
            }
            rest = after;
        }
        for name in names {
            let format = Format::parse(&name).map_err(|error| {
                NetworkError::data(
                    format!("the space of formats {text}: {}", error.part),
                    error.expected,
                    error.found,
                )
            })?;
            if !all.contains(&format) {
                all.push(format);
            }
        }
        if all.len() > MOST_FORMATS {
            return Err(too_many(all.len()));
        }
    }
    Ok(all)
}

/// A text up to its first range, the range, the text behind it.
type Cut<'a> = (&'a str, Option<(u32, u32)>, &'a str);

fn next_range(text: &str) -> Result<Cut<'_>, NetworkError> {
    let Some((head, tail)) = text.split_once("..") else { return Ok((text, None, "")) };
    let start = head.rfind(|c: char| !c.is_ascii_digit()).map_or(0, |at| at + 1);
    let end = tail.find(|c: char| !c.is_ascii_digit()).unwrap_or(tail.len());
    let (before, first) = head.split_at_checked(start).unwrap_or((head, ""));
    let (last, after) = tail.split_at_checked(end).unwrap_or((tail, ""));
    match (first.parse::<u32>(), last.parse::<u32>()) {
        (Ok(first), Ok(last)) if first <= last && last < 1000 => Ok((before, Some((first, last)), after)),
        _ => {
            let expected = "two numbers that ascend, such as 2..8";
            Err(NetworkError::data("a range of formats", expected, format!("{first}..{last}")))
        }
    }
}

fn too_many(found: usize) -> NetworkError {
    NetworkError::data("the space of formats", format!("at most {MOST_FORMATS}"), found.to_string())
}

/// Where a format stands on a map of its family: along, and up.
pub fn place(format: &Format) -> (u32, u32) {
    match format {
        Format::Float(float) => (float.exponent, float.mantissa),
        Format::Fixed(fixed) => (fixed.integer, fixed.fraction),
        Format::Integer(integer) => (integer.bits, 0),
        Format::Posit(posit) => (posit.exponent, posit.bits),
        Format::Table(_) => (format.bits(), 0),
    }
}

/// What the axes of a family's map are called: along, up.
pub const fn axes(format: &Format) -> (&'static str, &'static str) {
    match format {
        Format::Float(_) => ("exponent bits", "mantissa bits"),
        Format::Fixed(_) => ("integer bits", "fraction bits"),
        Format::Posit(_) => ("exponent bits", "bits"),
        Format::Integer(_) | Format::Table(_) => ("bits", ""),
    }
}

/// The map that a format belongs to: what it is, and its name with N for numbers, but for those of options.
pub fn family(format: &Format) -> String {
    let kind = match format {
        Format::Float(_) => "floating point",
        Format::Fixed(_) => "fixed point",
        Format::Integer(_) => "integers",
        Format::Posit(_) => "posits",
        Format::Table(_) => "tables",
    };
    let name = format.to_string();
    let form = name.split(':').next().unwrap_or_default();
    let options = name.get(form.len()..).unwrap_or_default();
    let mut text = format!("{kind} ");
    for letter in form.chars() {
        match letter {
            '0'..='9' if text.ends_with('N') => {}
            '0'..='9' => text.push('N'),
            letter => text.push(letter),
        }
    }
    text + options
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_papers_space_has_340_formats() {
        let all = formats(PAPER).unwrap();
        assert_eq!(all.len(), 340);
        assert_eq!((all[0].to_string(), all[339].to_string()), ("m1e2".to_owned(), "l10r20".to_owned()));
    }

    #[test]
    fn ranges_multiply_and_spaces_add_up() {
        let names = |text: &str| formats(text).unwrap().iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(names("e2..3m1..2"), ["e2m1", "e2m2", "e3m1", "e3m2"]);
        assert_eq!(names("posit6..7-1, bf16, bf16"), ["posit6-1", "posit7-1", "bf16"]);
        assert_eq!(names("m2..3e4:nearest"), ["m2e4:nearest", "m3e4:nearest"]);
        assert_eq!(names("m3e3:bias=1..3"), ["m3e3:bias=1", "m3e3:bias=2", "m3e3"]);
    }

    #[test]
    fn formats_of_a_family_share_a_map_and_others_have_their_own() {
        let families = |text: &str| formats(text).unwrap().iter().map(family).collect::<Vec<_>>();
        assert!(families("m1..20e2..8").iter().all(|family| family == "floating point mNeN"));
        assert!(families("e2..5m1..10").iter().all(|family| family == "floating point eNmN"));
        assert_eq!(families("l4r12,int8,uint8"), ["fixed point lNrN", "integers intN", "integers uintN"]);
        assert_eq!(
            families("posit8-1,nf4,m3e3:bias=5"),
            ["posits positN-N", "tables nfN", "floating point mNeN:bias=5"]
        );
    }

    #[test]
    fn what_is_no_space_is_refused_in_a_sentence() {
        for (text, sentence) in [
            (
                "m8..2e4",
                "data: a range of formats: expected two numbers that ascend, such as 2..8, found 8..2",
            ),
            ("m..2e4", "data: a range of formats: expected two numbers that ascend, such as 2..8, found ..2"),
            (
                "m1..23e1..15,l0..32r1..40,m1..23e1..15:nearest,m1..23e1..15:bias=3..40",
                "data: the space of formats: expected at most 4096, found 13110",
            ),
        ] {
            assert_eq!(formats(text).unwrap_err().to_string(), sentence);
        }
        assert!(formats("").is_err() && formats("m1..20").is_err() && formats("m1..999e2..999").is_err());
    }
}
