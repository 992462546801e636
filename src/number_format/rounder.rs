//! A format ready to round many numbers: the kind is chosen once, in front of the loop.

use super::float::{Nearest, Stochastic, Truncate};
use super::rounding::{Counts, Round, Rounding, Scale, round_slice};
use super::{Format, FormatError, fixed, float, integer, posit, table, wrong};

/// A format with a scale, ready to round: x becomes s times the value that x / s rounds to.
#[derive(Debug, Clone)]
pub struct Rounder {
    kind: Kind,
    scale: f32,
}

#[derive(Debug, Clone)]
enum Kind {
    FloatNearest(float::Prepared<Nearest>),
    FloatTruncate(float::Prepared<Truncate>),
    FloatStochastic(float::Prepared<Stochastic>),
    FixedNearest(fixed::Prepared<Nearest>),
    FixedTruncate(fixed::Prepared<Truncate>),
    FixedStochastic(fixed::Prepared<Stochastic>),
    Integer(integer::Prepared),
    Posit(posit::Prepared),
    Table(table::Prepared),
}

/// What is done with a format once its kind is known, so that loops over it are compiled for each kind.
pub trait Visitor {
    /// What it gives.
    type Output;
    /// Does it.
    fn visit<R: Round>(self, round: &R) -> Self::Output;
}

/// A format whose numbers are divided by a scale first.
#[derive(Debug)]
struct Scaled<'a, R> {
    round: &'a R,
    scale: f32,
}

impl<R: Round> Round for Scaled<'_, R> {
    #[inline]
    fn round(&self, x: f32, at: u64) -> f32 {
        self.round.round(x / self.scale, at) * self.scale
    }

    fn largest(&self) -> f32 {
        self.round.largest() * self.scale
    }
}

impl Format {
    /// The format ready to round numbers to its values times a scale.
    ///
    /// # Errors
    ///
    /// A scale that is not positive and finite, a zero point that is no code of the format.
    pub fn rounder(&self, scale: Scale) -> Result<Rounder, FormatError> {
        if !(scale.scale > 0.0 && scale.scale.is_finite()) {
            return Err(wrong("the scale of a number format", "a positive number", scale.scale));
        }
        let kind = match self {
            Self::Float(float) => match float.rounding {
                Rounding::Nearest => Kind::FloatNearest(float.prepared(Nearest)),
                Rounding::Truncate => Kind::FloatTruncate(float.prepared(Truncate)),
                Rounding::Stochastic(seed) => Kind::FloatStochastic(float.prepared(Stochastic(seed))),
            },
            Self::Fixed(fixed) => match fixed.rounding {
                Rounding::Nearest => Kind::FixedNearest(fixed.prepared(Nearest)),
                Rounding::Truncate => Kind::FixedTruncate(fixed.prepared(Truncate)),
                Rounding::Stochastic(seed) => Kind::FixedStochastic(fixed.prepared(Stochastic(seed))),
            },
            Self::Integer(integer) => {
                let codes = 0..1i32 << integer.bits;
                if integer.affine && !codes.contains(&scale.zero_point) {
                    let expected = format!("0 to {}", codes.end - 1);
                    return Err(wrong("the zero point", expected, scale.zero_point));
                }
                Kind::Integer(integer.prepared(scale))
            }
            Self::Posit(posit) => Kind::Posit(posit.prepared()),
            Self::Table(_) => Kind::Table(table::Prepared::new(self.values())),
        };
        Ok(Rounder { kind, scale: scale.scale })
    }
}

impl Rounder {
    /// Does something with the format, compiled for its kind.
    pub fn visit<V: Visitor>(&self, visitor: V) -> V::Output {
        match &self.kind {
            Kind::FloatNearest(round) => self.scaled(visitor, round),
            Kind::FloatTruncate(round) => self.scaled(visitor, round),
            Kind::FloatStochastic(round) => self.scaled(visitor, round),
            Kind::FixedNearest(round) => self.scaled(visitor, round),
            Kind::FixedTruncate(round) => self.scaled(visitor, round),
            Kind::FixedStochastic(round) => self.scaled(visitor, round),
            Kind::Integer(round) => self.scaled(visitor, round),
            Kind::Posit(round) => self.scaled(visitor, round),
            Kind::Table(round) => self.scaled(visitor, round),
        }
    }

    fn scaled<R: Round, V: Visitor>(&self, visitor: V, round: &R) -> V::Output {
        if self.scale == 1.0 {
            visitor.visit(round)
        } else {
            visitor.visit(&Scaled { round, scale: self.scale })
        }
    }

    /// Whether what a number becomes depends on its index.
    pub const fn is_random(&self) -> bool {
        matches!(self.kind, Kind::FloatStochastic(_) | Kind::FixedStochastic(_))
    }

    /// The value that `x`, the number of this index, becomes.
    pub fn round(&self, x: f32, at: u64) -> f32 {
        struct One(f32, u64);
        impl Visitor for One {
            type Output = f32;
            fn visit<R: Round>(self, round: &R) -> f32 {
                round.round(self.0, self.1)
            }
        }
        self.visit(One(x, at))
    }

    /// Rounds numbers in place, the first of which has index `first`; what it did to them.
    pub fn round_slice(&self, numbers: &mut [f32], first: u64) -> Counts {
        struct Slice<'a>(&'a mut [f32], u64);
        impl Visitor for Slice<'_> {
            type Output = Counts;
            fn visit<R: Round>(self, round: &R) -> Counts {
                round_slice(round, self.0, self.1)
            }
        }
        self.visit(Slice(numbers, first))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_are_what_a_loop_counts() {
        let rounder = Format::parse("e2m1").unwrap().rounder(Scale { scale: 2.0, zero_point: 0 }).unwrap();
        let mut numbers = [0.0, 0.1, -0.4, 13.0, 12.0, -40.0, f32::NAN, f32::INFINITY, 3.0];
        let counts = rounder.round_slice(&mut numbers, 0);
        assert_eq!((counts.of, counts.saturated, counts.underflowed, counts.not_finite), (9, 2, 2, 2));
        assert_eq!(counts.largest, 40.0);
        assert_eq!(numbers[..6], [0.0, 0.0, -0.0, 12.0, 12.0, -12.0]);
        assert!(numbers[6].is_nan());
        assert_eq!(numbers[7..], [12.0, 3.0]);
    }

    #[test]
    fn slices_are_rounded_as_single_numbers_are() {
        let mut random = crate::random::SplitMix64::new(3);
        for name in ["bf16", "e4m3", "m4e3", "l3r4", "l3r4:nearest", "int5", "posit8", "nf4", "e3m2:random=4"]
        {
            for scale in [1.0, 0.037] {
                let rounder = Format::parse(name).unwrap().rounder(Scale { scale, zero_point: 0 }).unwrap();
                for len in (0..=9).chain([4095, 4097]) {
                    let numbers: Vec<f32> = (0..len).map(|_| (random.unit() * 20.0 - 10.0) as f32).collect();
                    let single: Vec<f32> =
                        numbers.iter().zip(5..).map(|(x, at)| rounder.round(*x, at)).collect();
                    let mut all = numbers.clone();
                    let mut counts = rounder.round_slice(all.get_mut(..len / 2).unwrap(), 5);
                    counts.merge(&rounder.round_slice(all.get_mut(len / 2..).unwrap(), 5 + (len / 2) as u64));
                    assert_eq!(all, single, "{name}");
                    assert_eq!(counts.of, len as u64);
                }
            }
        }
    }

    #[test]
    fn scales_and_zero_points_that_are_none_are_refused() {
        for scale in [0.0, -1.0, f32::NAN, f32::INFINITY] {
            assert!(Format::parse("int8").unwrap().rounder(Scale { scale, zero_point: 0 }).is_err());
        }
        for zero_point in [-1, 256] {
            assert!(Format::parse("uint8").unwrap().rounder(Scale { scale: 1.0, zero_point }).is_err());
        }
    }
}
