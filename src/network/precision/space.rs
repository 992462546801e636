//! Spaces of number formats: names with ranges in the place of numbers.
//!
//! `m1..20e2..8` is every format from `m1e2` to `m20e8`; `posit8..10-1..2:…` takes options as a name does; lengths of blocks
//! double, so that `int2..8-g16..256` has blocks of 16, 32, 64, 128 and 256 numbers; spaces behind commas
//! add up. [`PAPER`] is ours of the size that the paper searched, which lists no members.

use crate::network::NetworkError;
use crate::network::emulate::{Blocks, TensorFormat};
use crate::number_format::Format;

/// 340 formats: floating point with 1 to 20 mantissa and 2 to 8 exponent bits, fixed point with 1 to 10 integer and 1 to 20
/// fraction bits, both as the paper has them.
pub const PAPER: &str = "m1..20e2..8,l1..10r1..20";

/// What stands in front of the length of a block.
const BLOCK: &str = "-g";

/// Most formats of a space.
pub const MOST_FORMATS: usize = 4096;

/// The formats of a space, each once, in the order of the text.
///
/// # Errors
///
/// A range that is none or empty, a name that is none of a format, more than [`MOST_FORMATS`].
pub fn formats(text: &str) -> Result<Vec<TensorFormat>, NetworkError> {
    let mut all: Vec<TensorFormat> = Vec::new();
    for item in text.split(',').map(str::trim) {
        let mut names = vec![String::new()];
        let mut rest = item;
        while !rest.is_empty() {
            let (before, range, after) = next_range(rest)?;
            for name in &mut names {
                name.push_str(before);
            }
            if let Some((first, last)) = range {
                let doubles = before.ends_with(BLOCK);
                let next = |n: &u32| if doubles { n.checked_mul(2) } else { Some(n + 1) };
                let numbers = || std::iter::successors(Some(first), next).take_while(|n| *n <= last);
                let count = names.len().saturating_mul(numbers().take(MOST_FORMATS + 1).count());
                if count > MOST_FORMATS {
                    return Err(too_many(count));
                }
                names = names.iter().flat_map(|name| numbers().map(move |n| format!("{name}{n}"))).collect();
            }
            rest = after;
        }
        for name in names {
            let format = TensorFormat::parse(&name).map_err(|error| {
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
pub fn place(format: &TensorFormat) -> (u32, u32) {
    match (format, format.element()) {
        (_, Format::Float(float)) => (float.exponent, float.mantissa),
        (TensorFormat::Blocks(blocks), element) => (blocks.len, element.bits()),
        (_, Format::Fixed(fixed)) => (fixed.integer, fixed.fraction),
        (_, Format::Integer(integer)) => (integer.bits, 0),
        (_, Format::Posit(posit)) => (posit.exponent, posit.bits),
        (_, Format::Table(table)) => (table.bits(), 0),
    }
}

/// Whether a map has its columns beside each other in their order, whatever lies between their numbers: lengths of blocks.
pub const fn is_listed(format: &TensorFormat) -> bool {
    matches!(format, TensorFormat::Blocks(Blocks { format, .. }) if !matches!(format, Format::Float(_)))
}

/// What the axes of a family's map are called: along, up.
pub const fn axes(format: &TensorFormat) -> (&'static str, &'static str) {
    match (format, format.element()) {
        (_, Format::Float(_)) => ("exponent bits", "mantissa bits"),
        (TensorFormat::Blocks(_), _) => ("numbers to a scale", "bits"),
        (_, Format::Fixed(_)) => ("integer bits", "fraction bits"),
        (_, Format::Posit(_)) => ("exponent bits", "bits"),
        (_, Format::Integer(_) | Format::Table(_)) => ("bits", ""),
    }
}

/// Whether a format is another with a bit more, or less where `step` is −1, in one field of its name; a block that is half as
/// long counts as a bit more.
pub fn is_step(from: &TensorFormat, to: &TensorFormat, step: i64) -> bool {
    let ((a, b), (c, d)) = (place(from), place(to));
    let is_kin = match (from, to) {
        (TensorFormat::Single(from), TensorFormat::Single(to)) => same_kind(from, to),
        (TensorFormat::Blocks(from), TensorFormat::Blocks(to)) => {
            let is_float = matches!(from.format, Format::Float(_));
            same_kind(&from.format, &to.format) && from.scale == to.scale && (from.len == to.len || !is_float)
        }
        _ => false,
    };
    let along = match (is_listed(from), step) {
        (true, 1) if c.checked_mul(2) == Some(a) => step,
        (true, -1) if a.checked_mul(2) == Some(c) => step,
        (true, _) if a == c => 0,
        (true, _) => return false,
        (false, _) => i64::from(c) - i64::from(a),
    };
    let up = i64::from(d) - i64::from(b);
    is_kin && to.bits() != from.bits() && ((along, up) == (step, 0) || (along, up) == (0, step))
}

fn same_kind(one: &Format, other: &Format) -> bool {
    std::mem::discriminant(one) == std::mem::discriminant(other)
}

/// The map that a format belongs to: what it is, and its name with N for numbers, but for those of options, and those that no
/// axis has.
pub fn family(format: &TensorFormat) -> String {
    let element = format.element();
    let kind = match element {
        Format::Float(_) => "floating point",
        Format::Fixed(_) => "fixed point",
        Format::Integer(_) => "integers",
        Format::Posit(_) => "posits",
        Format::Table(_) => "tables",
    };
    let name = element.to_string();
    let form = name.split(':').next().unwrap_or_default();
    let options = name.get(form.len()..).unwrap_or_default();
    let (form, text) = match (format, element) {
        (TensorFormat::Blocks(_), Format::Posit(posit)) => {
            ("positN", format!("{kind} of {} exponent bits, ", posit.exponent))
        }
        _ => (form, format!("{kind} ")),
    };
    let numbers = with_n(form);
    match format {
        TensorFormat::Single(_) => text + &numbers + options,
        TensorFormat::Blocks(blocks) => {
            let len = if is_listed(format) { "N".to_owned() } else { blocks.len.to_string() };
            format!("{text}{numbers}{options}{BLOCK}{len}, scales {}", blocks.scale.id())
        }
    }
}

/// A name with N in the place of every number.
fn with_n(form: &str) -> String {
    let mut text = String::new();
    for letter in form.chars() {
        match letter {
            '0'..='9' if text.ends_with('N') => {}
            '0'..='9' => text.push('N'),
            letter => text.push(letter),
        }
    }
    text
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
        assert_eq!(names("int2..3-g16..100-e8m0")[..3], ["int2-g16-e8m0", "int2-g32-e8m0", "int2-g64-e8m0"]);
        assert_eq!((names("int2..8-g16..256").len(), names("int4-g10..40,mxfp4").len()), (35, 4));
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
        assert_eq!(
            families("int2-g16,int8-g64,mxfp4,mxfp8-e5m2,nvfp4,posit8-1-g32"),
            [
                "integers intN-gN, scales f16",
                "integers intN-gN, scales f16",
                "floating point eNmN-g32, scales e8m0",
                "floating point eNmN-g32, scales e8m0",
                "floating point eNmN-g16, scales e4m3",
                "posits of 1 exponent bits, positN-gN, scales f16",
            ]
        );
    }

    #[test]
    fn a_bit_more_in_one_field_is_a_step_and_so_is_half_a_block() {
        let is = |from: &str, to: &str, step: i64| {
            let [from, to] = [from, to].map(|name| TensorFormat::parse(name).unwrap());
            assert_eq!(is_step(&to, &from, -step), is_step(&from, &to, step));
            is_step(&from, &to, step)
        };
        assert!(is("m3e4", "m4e4", 1) && is("m3e4", "m3e5", 1) && is("l4r3", "l4r2", -1));
        assert!(
            is("int4-g64", "int4-g32", 1) && is("int4-g64", "int5-g64", 1) && is("mxfp4", "e3m1-g32-e8m0", 1)
        );
        for (from, to) in [("m3e4", "m4e3"), ("m3e4", "l4r4"), ("int4-g64", "int5-g32"), ("int4", "int5-g32")]
        {
            assert!(!is(from, to, 1), "{from} {to}");
        }
        assert!(
            !is("int4-g64", "int4-g16", 1) && !is("int4-g64", "int5-g64-bf16", 1) && !is("mxfp4", "nvfp4", 1)
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
