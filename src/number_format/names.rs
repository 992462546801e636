//! Names of formats: `bf16`, `e4m3`, `m7e6:bias=40`, `l8r8:nearest`, `int8`, `posit8-2`, `nf4`.
//!
//! A name of the table, or a form with its numbers, then options behind colons. What has both a name and a form is the
//! named one: `e4m3` has the published format's NaN, where `e3m2` by its form has a number for every code.

use super::fixed::Fixed;
use super::float::{Float, Lowest, Specials};
use super::integer::Integer;
use super::posit::Posit;
use super::rounding::Rounding;
use super::table::Table;
use super::{Format, FormatError, wrong};
use std::fmt;

/// Formats that have a name of their own: the name, what it is, the format.
pub const NAMED: &[(&str, &str, Format)] = &[
    ("fp32", "IEEE 754 binary32", Format::Float(Float::ieee(23, 8))),
    ("tf32", "NVIDIA TensorFloat-32", Format::Float(Float::ieee(10, 8))),
    ("bf16", "bfloat16", Format::Float(Float::ieee(7, 8))),
    ("fp16", "IEEE 754 binary16", Format::Float(Float::ieee(10, 5))),
    ("e5m2", "FP8 E5M2 (OCP 8-bit Floating Point 1.0)", Format::Float(Float::ieee(2, 5))),
    (
        "e4m3",
        "FP8 E4M3 (OCP 8-bit Floating Point 1.0)",
        Format::Float(Float { specials: Specials::Nan, ..Float::new(3, 4) }),
    ),
    ("e3m4", "FP8 E3M4, as IEEE 754 would have it", Format::Float(Float::ieee(4, 3))),
    ("e4m3fnuz", "FP8 E4M3 without negative zero", Format::Float(fnuz(3, 4))),
    ("e5m2fnuz", "FP8 E5M2 without negative zero", Format::Float(fnuz(2, 5))),
    ("nf4", "NormalFloat of 4 bits (QLoRA)", Format::Table(Table::NormalFloat)),
    ("bnb-fp4", "FP4 of bitsandbytes", Format::Table(Table::Float4)),
    ("iq4nl", "the values of ggml's IQ4_NL", Format::Table(Table::Uneven)),
];

const fn fnuz(mantissa: u32, exponent: u32) -> Float {
    let float = Float::new(mantissa, exponent);
    Float { specials: Specials::NegativeZero, bias: float.bias + 1, ..float }
}

/// The forms that names have.
pub const FORMS: &str = "mXeY, eXmY, lXrY, intN, uintN, positN-E, pow2-N, apotN";

/// The digits at the head of `text`, and what follows.
fn number(text: &str) -> Option<(u32, &str)> {
    let end = text.bytes().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at_checked(end)?;
    Some((digits.parse().ok()?, rest))
}

/// The number behind `head`, where that and nothing else is the text.
fn of_one(text: &str, head: &str) -> Option<u32> {
    number(text.strip_prefix(head)?).filter(|(_, rest)| rest.is_empty()).map(|(value, _)| value)
}

/// The numbers behind `first` and `second`.
fn of_two(text: &str, first: &str, second: &str) -> Option<(u32, u32)> {
    let (a, rest) = number(text.strip_prefix(first)?)?;
    Some((a, of_one(rest, second)?))
}

/// The format of a form, unchecked but for what its constructor needs.
fn of_form(text: &str) -> Option<Format> {
    let float = |m: u32, e: u32, make: fn(u32, u32) -> Float| {
        // The bias needs an exponent that can be shifted; `check` says what is wrong with any other.
        Format::Float(Float { exponent: e, ..make(m, e.clamp(1, 30)) })
    };
    if let Some((m, e)) = of_two(text, "m", "e") {
        return Some(float(m, e, Float::hill));
    }
    if let Some((e, m)) = of_two(text, "e", "m") {
        return Some(float(m, e, Float::new));
    }
    if let Some((l, r)) = of_two(text, "l", "r") {
        return Some(Format::Fixed(Fixed::hill(l, r)));
    }
    if let Some((bits, exponent)) = of_two(text, "posit", "-") {
        return Some(Format::Posit(Posit { bits, exponent }));
    }
    let posit = of_one(text, "posit").map(|bits| Format::Posit(Posit { bits, exponent: 2 }));
    let integer = |affine| move |bits| Format::Integer(Integer { bits, affine, full: false });
    posit
        .or_else(|| of_one(text, "int").map(integer(false)))
        .or_else(|| of_one(text, "uint").map(integer(true)))
        .or_else(|| of_one(text, "pow2-").map(|bits| Format::Table(Table::PowerOfTwo(bits))))
        .or_else(|| of_one(text, "apot").map(|bits| Format::Table(Table::AdditivePowers(bits))))
}

/// The rounding that an option names.
fn rounding(option: &str) -> Option<Rounding> {
    match option {
        "nearest" => Some(Rounding::Nearest),
        "truncate" => Some(Rounding::Truncate),
        "random" => Some(Rounding::Stochastic(0)),
        _ => option.strip_prefix("random=")?.parse().ok().map(Rounding::Stochastic),
    }
}

/// A float with an option.
fn float_with(float: Float, option: &str) -> Option<Float> {
    if let Some(rounding) = rounding(option) {
        return Some(Float { rounding, ..float });
    }
    Some(match option {
        "subnormals" => Float { lowest: Lowest::Subnormals, ..float },
        "zero" => Float { lowest: Lowest::Zero, ..float },
        "normals" => Float { lowest: Lowest::Normals, ..float },
        "ieee" => Float { specials: Specials::Ieee, overflows: true, ..float },
        "finite" => Float { specials: Specials::None, overflows: false, ..float },
        "nan" => Float { specials: Specials::Nan, overflows: false, ..float },
        "fnuz" => Float { specials: Specials::NegativeZero, overflows: false, ..float },
        "saturate" => Float { overflows: false, ..float },
        _ => Float { bias: option.strip_prefix("bias=")?.parse().ok()?, ..float },
    })
}

impl Format {
    /// The format of a name.
    ///
    /// # Errors
    ///
    /// An unknown name or option, and a format that has no values or more bits than can be computed with.
    pub fn parse(name: &str) -> Result<Self, FormatError> {
        let mut options = name.split(':');
        let head = options.next().unwrap_or_default();
        let named = NAMED.iter().find(|(known, _, _)| *known == head).map(|(_, _, format)| *format);
        let unknown = || {
            let names: Vec<&str> = NAMED.iter().map(|(name, _, _)| *name).collect();
            wrong("a number format", format!("one of {}, or of the form {FORMS}", names.join(", ")), name)
        };
        let mut format = named.or_else(|| of_form(head)).ok_or_else(unknown)?;
        for option in options {
            format = format.with(option).ok_or_else(|| {
                let expected = "nearest, truncate, random=SEED; of floating point bias=B, subnormals, zero, normals, \
                                ieee, finite, nan, fnuz, saturate; of fixed point unsigned; of integers full";
                wrong("an option of a number format", expected, option)
            })?;
        }
        format.check()
    }

    fn with(self, option: &str) -> Option<Self> {
        match self {
            Self::Float(float) => float_with(float, option).map(Self::Float),
            Self::Fixed(fixed) if option == "unsigned" => Some(Self::Fixed(Fixed { signed: false, ..fixed })),
            Self::Fixed(fixed) => rounding(option).map(|rounding| Self::Fixed(Fixed { rounding, ..fixed })),
            Self::Integer(integer) if option == "full" => {
                Some(Self::Integer(Integer { full: true, ..integer }))
            }
            _ => None,
        }
    }

    pub(super) fn check(self) -> Result<Self, FormatError> {
        match self {
            Self::Float(float) => float.check().map(Self::Float),
            Self::Fixed(fixed) => fixed.check().map(Self::Fixed),
            Self::Integer(integer) => integer.check().map(Self::Integer),
            Self::Posit(posit) => posit.check().map(Self::Posit),
            Self::Table(table) => table.check().map(Self::Table),
        }
    }
}

/// The options by which a float differs from `base`.
fn write_options(f: &mut fmt::Formatter<'_>, float: &Float, base: &Float) -> fmt::Result {
    if float.bias != base.bias {
        write!(f, ":bias={}", float.bias)?;
    }
    if float.lowest != base.lowest {
        let word = match float.lowest {
            Lowest::Subnormals => "subnormals",
            Lowest::Zero => "zero",
            Lowest::Normals => "normals",
        };
        write!(f, ":{word}")?;
    }
    if float.specials != base.specials {
        let word = match float.specials {
            Specials::Ieee => "ieee",
            Specials::Nan => "nan",
            Specials::None => "finite",
            Specials::NegativeZero => "fnuz",
        };
        write!(f, ":{word}")?;
    }
    if !float.overflows && float.specials == Specials::Ieee {
        f.write_str(":saturate")?;
    }
    write_rounding(f, float.rounding, base.rounding)
}

fn write_rounding(f: &mut fmt::Formatter<'_>, rounding: Rounding, usual: Rounding) -> fmt::Result {
    match rounding {
        _ if rounding == usual => Ok(()),
        Rounding::Nearest => f.write_str(":nearest"),
        Rounding::Truncate => f.write_str(":truncate"),
        Rounding::Stochastic(0) => f.write_str(":random"),
        Rounding::Stochastic(seed) => write!(f, ":random={seed}"),
    }
}

/// The shortest name that [`Format::parse`] reads back.
impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What has a name is called by it, with how it rounds where that is not the usual way.
        let is_named = |named: &Format| match (self, named) {
            (Self::Float(own), Self::Float(named)) => {
                Float { rounding: named.rounding, overflows: named.overflows, ..*own } == *named
            }
            _ => self == named,
        };
        if let Some((name, _, named)) = NAMED.iter().find(|(_, _, named)| is_named(named)) {
            f.write_str(name)?;
            return match (self, named) {
                (Self::Float(own), Self::Float(named)) => write_options(f, own, named),
                _ => Ok(()),
            };
        }
        match self {
            Self::Float(float) if float.lowest == Lowest::Normals => {
                write!(f, "m{}e{}", float.mantissa, float.exponent)?;
                write_options(f, float, &Float::hill(float.mantissa, float.exponent))
            }
            Self::Float(float) => {
                write!(f, "e{}m{}", float.exponent, float.mantissa)?;
                let form = format!("e{}m{}", float.exponent, float.mantissa);
                let base = match Self::parse(&form) {
                    Ok(Self::Float(base)) => base,
                    _ => Float::new(float.mantissa, float.exponent),
                };
                write_options(f, float, &base)
            }
            Self::Fixed(fixed) => {
                write!(f, "l{}r{}", fixed.integer, fixed.fraction)?;
                if !fixed.signed {
                    f.write_str(":unsigned")?;
                }
                write_rounding(f, fixed.rounding, Rounding::Truncate)
            }
            Self::Integer(integer) => {
                let (sign, full) =
                    (if integer.affine { "u" } else { "" }, if integer.full { ":full" } else { "" });
                write!(f, "{sign}int{}{full}", integer.bits)
            }
            Self::Posit(Posit { bits, exponent: 2 }) => write!(f, "posit{bits}"),
            Self::Posit(posit) => write!(f, "posit{}-{}", posit.bits, posit.exponent),
            Self::Table(Table::PowerOfTwo(bits)) => write!(f, "pow2-{bits}"),
            Self::Table(Table::AdditivePowers(bits)) => write!(f, "apot{bits}"),
            Self::Table(Table::NormalFloat) => f.write_str("nf4"),
            Self::Table(Table::Float4) => f.write_str("bnb-fp4"),
            Self::Table(Table::Uneven) => f.write_str("iq4nl"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_reads_back() {
        let names = "fp32 tf32 bf16 fp16 e5m2 e4m3 e3m4 e4m3fnuz e5m2fnuz nf4 bnb-fp4 m7e6 m7e6:bias=40 m10e4:nearest e3m2 \
                     e2m1 e4m3:truncate e4m3:finite e5m10:finite fp16:saturate e2m5:random=9 l8r8 l8r8:nearest \
                     l4r4:unsigned int4 uint8 int16 posit8 posit16-1 pow2-4 apot5 e3m2:zero m3e3:random iq4nl int4:full \
                     e4m3fnuz:bias=5 e3m2:fnuz m2e3:nan";
        for name in names.split_whitespace() {
            let format = Format::parse(name).unwrap();
            let shown = format.to_string();
            assert_eq!(Format::parse(&shown).unwrap(), format, "{name} is shown as {shown}");
            if !["e5m10:finite", "e4m3fnuz:bias=5"].contains(&name) {
                assert_eq!(shown, name);
            }
        }
    }

    /// The table of names as Markdown.
    fn markdown() -> String {
        let rows =
            NAMED.iter().map(|(name, what, format)| format!("| `{name}` | {what} | {} |\n", format.bits()));
        format!("| name | format | bits |\n|---|---|---|\n{}", rows.collect::<String>())
    }

    #[test]
    fn the_documented_names_and_forms_are_these() {
        let documented = include_str!("../../docs/number-formats.md");
        assert!(documented.contains(&markdown()), "{}", markdown());
        for form in FORMS.split(", ") {
            assert!(documented.contains(&format!("| `{form}` |")), "{form}");
        }
    }

    #[test]
    fn what_is_no_format_is_told_what_is() {
        let error = Format::parse("float99").unwrap_err().to_string();
        assert!(error.starts_with("a number format: expected one of fp32, tf32, bf16"), "{error}");
        assert!(error.ends_with("found float99"), "{error}");
        let error = Format::parse("m30e4").unwrap_err().to_string();
        assert_eq!(error, "mantissa bits: expected 0 to 23, found 30");
        for name in [
            "",
            "m7",
            "m7e",
            "me6",
            "int",
            "int1",
            "int17",
            "uint0",
            "posit2",
            "posit16-4",
            "pow2-9",
            "apot2",
            "nf4:nearest",
            "int8:truncate",
            "m7e6:bias=x",
            "m7e99999999999",
            "l8r8:bias=3",
            "e4m3:",
        ] {
            assert!(Format::parse(name).is_err(), "{name}");
        }
    }
}
