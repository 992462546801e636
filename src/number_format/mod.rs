//! Number formats: the values that few bits can have, which a scale then stretches to a block of weights.
//!
//! A family is a rule that gives values for a number of bits: one file each, and a row in [`FAMILIES`]. Values are
//! finite, strictly ascending, symmetric and have an exact zero, so that a zero weight stays one; what they are
//! multiplied by is [`crate::code::scaled`]'s affair.
//!
//! ```
//! let integers = quantscope::number_format::find("integer").ok_or("no such family")?;
//! assert_eq!((integers.values)(2), [-1.0, 0.0, 1.0]);
//! # Ok::<(), &'static str>(())
//! ```

pub mod float;
pub mod integer;

/// Fewest and most bits of a value.
pub const BITS: (u32, u32) = (2, 8);

/// A family of number formats.
#[derive(Debug, Clone, Copy)]
pub struct Family {
    /// Its number in files.
    pub number: u8,
    /// Its name in recipes and flags.
    pub id: &'static str,
    /// Its name for people.
    pub title: &'static str,
    /// The values of a format of so many [bits](BITS), ascending: at most 2^bits.
    pub values: fn(u32) -> Vec<f32>,
}

/// All families, the default first.
pub const FAMILIES: &[Family] = &[
    Family { number: 0, id: "integer", title: "Integers", values: integer::values },
    Family { number: 1, id: "float", title: "Floating point", values: float::values },
];

/// The family of this id.
pub fn find(id: &str) -> Option<&'static Family> {
    FAMILIES.iter().find(|family| family.id == id)
}

/// The family of this number in a file.
pub fn numbered(number: u8) -> Option<&'static Family> {
    FAMILIES.iter().find(|family| family.number == number)
}

/// Id and title of every family, as a method's parameter has them.
pub const WORDS: &[(&str, &str)] = &{
    let mut words = [("", ""); FAMILIES.len()];
    let mut at = 0;
    while at < words.len() {
        words[at] = (FAMILIES[at].id, FAMILIES[at].title);
        at += 1;
    }
    words
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_ascend_around_an_exact_zero_and_fit_their_bits() {
        for family in FAMILIES {
            for bits in BITS.0..=BITS.1 {
                let values = (family.values)(bits);
                let name = format!("{} of {bits} bits", family.id);
                assert!(
                    values.len() <= 1 << bits && values.len() > 1 << (bits - 1),
                    "{name}: {}",
                    values.len()
                );
                assert!(values.windows(2).all(|pair| pair[0] < pair[1]), "{name}");
                assert!(values.iter().zip(values.iter().rev()).all(|(a, b)| *a == -b), "{name}");
                assert_eq!(values[values.len() / 2].to_bits(), 0, "{name}");
            }
        }
    }

    #[test]
    fn families_are_found_by_id_and_number() {
        for family in FAMILIES {
            assert_eq!(find(family.id).map(|found| found.number), Some(family.number));
            assert_eq!(numbered(family.number).map(|found| found.id), Some(family.id));
        }
        assert!(find("decimal").is_none() && numbered(255).is_none());
        assert_eq!(WORDS.len(), FAMILIES.len());
    }
}
