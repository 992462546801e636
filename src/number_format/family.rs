//! Families: a format for every number of bits.

use super::fixed::Fixed;
use super::float::Float;
use super::integer::Integer;
use super::posit::Posit;
use super::rounding::Rounding;
use super::table::Table;
use super::{Format, FormatError, wrong};

/// Formats of one kind, one for each number of bits.
#[derive(Debug, Clone, Copy)]
pub struct Family {
    /// Its name in recipes and flags.
    pub id: &'static str,
    /// Its name for people.
    pub title: &'static str,
    /// Fewest and most bits.
    pub bits: (u32, u32),
    /// The format of so many bits.
    format: fn(u32) -> Format,
}

/// All families, the default first.
pub const FAMILIES: &[Family] = &[
    Family { id: "integer", title: "Integers", bits: (2, 16), format: |bits| integer(bits, false) },
    Family {
        id: "affine",
        title: "Integers above a minimum",
        bits: (2, 16),
        format: |bits| integer(bits, true),
    },
    Family { id: "float", title: "Floating point", bits: (2, 16), format: float },
    Family { id: "posit", title: "Posits", bits: (3, 16), format: posit },
    Family { id: "fixed", title: "Fixed point below 1", bits: (2, 16), format: fixed },
    Family {
        id: "pow2",
        title: "Powers of two",
        bits: (2, 6),
        format: |bits| Format::Table(Table::PowerOfTwo(bits)),
    },
    Family {
        id: "apot",
        title: "Sums of powers of two",
        bits: (3, 7),
        format: |bits| Format::Table(Table::AdditivePowers(bits)),
    },
];

impl Family {
    /// The family of this id.
    pub fn find(id: &str) -> Option<&'static Self> {
        FAMILIES.iter().find(|family| family.id == id)
    }

    /// Its format of so many bits.
    ///
    /// # Errors
    ///
    /// A number of bits that it has no format of.
    pub fn format(&self, bits: u32) -> Result<Format, FormatError> {
        let (least, most) = self.bits;
        if (least..=most).contains(&bits) {
            return Ok((self.format)(bits));
        }
        Err(wrong("bits", format!("{least} to {most}, which {} have", self.title.to_lowercase()), bits))
    }
}

const fn integer(bits: u32, affine: bool) -> Format {
    Format::Integer(Integer { bits, affine, full: false })
}

/// Exponent bits by the number of bits, from 2 on; the others but the sign are the mantissa's. Of 4 bits it is FP4 E2M1, of 6
/// bits FP6 E3M2 (Open Compute Project 2023, Microscaling Formats 1.0, section 5.3), of 8 bits E4M3 with a number for its NaN, of
/// 16 bits IEEE 754's binary16 with numbers for its infinities and NaN.
const EXPONENT_BITS: [u32; 15] = [1, 2, 2, 2, 3, 3, 4, 4, 4, 5, 5, 5, 5, 5, 5];

fn float(bits: u32) -> Format {
    let exponent = EXPONENT_BITS.get(bits.saturating_sub(2) as usize).copied().unwrap_or(5);
    Format::Float(Float::new(bits - 1 - exponent, exponent))
}

fn posit(bits: u32) -> Format {
    Format::Posit(Posit { bits, exponent: 2 })
}

fn fixed(bits: u32) -> Format {
    Format::Fixed(Fixed { rounding: Rounding::Nearest, ..Fixed::hill(0, bits - 1) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_ascend_around_an_exact_zero_and_fit_their_bits() {
        for family in FAMILIES {
            for bits in family.bits.0..=family.bits.1 {
                let format = family.format(bits).unwrap();
                let values = format.values();
                let name = format!("{} of {bits} bits", family.id);
                assert_eq!(format.bits(), bits);
                assert!(
                    values.len() <= 1 << bits && values.len() > 1 << (bits - 1),
                    "{name}: {}",
                    values.len()
                );
                assert!(values.windows(2).all(|pair| pair[0] < pair[1]), "{name}");
                if family.id == "affine" {
                    assert_eq!(values[0].to_bits(), 0);
                    continue;
                }
                assert!(values.iter().zip(values.iter().rev()).all(|(a, b)| *a == -b), "{name}");
                assert_eq!(values[values.len() / 2].to_bits(), 0, "{name}");
            }
        }
    }

    #[test]
    fn families_are_found_by_id_and_have_their_bits_alone() {
        for family in FAMILIES {
            assert_eq!(Family::find(family.id).map(|found| found.title), Some(family.title));
            assert!(family.format(family.bits.0 - 1).is_err() && family.format(family.bits.1 + 1).is_err());
        }
        assert!(Family::find("decimal").is_none());
        let error = Family::find("posit").unwrap().format(2).unwrap_err().to_string();
        assert_eq!(error, "bits: expected 3 to 16, which posits have, found 2");
    }

    #[test]
    fn four_six_and_sixteen_bits_of_floating_point_reach_as_far_as_published() {
        let of = |bits| Family::find("float").unwrap().format(bits).unwrap();
        assert_eq!((of(4).largest(), of(4).smallest()), (6.0, 0.5));
        assert_eq!((of(6).largest(), of(6).smallest()), (28.0, 0.0625));
        assert!(of(8).values().contains(&448.0));
        assert_eq!((of(16).largest(), of(16).smallest()), (131_008.0, 2f32.powi(-24)));
    }
}
