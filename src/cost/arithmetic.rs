//! What one multiplication and one addition take, by width.
//!
//! Published tables have two widths of each operation. Between and beyond them goes the power law through both,
//! `e(w) = e₁ (w / w₁)^k` with `k = ln(e₁ / e₀) / ln(w₁ / w₀)`: of a float, `w` is its significand with the hidden one, since the
//! multiplier of significands is most of it; of an integer, its bits. A multiplier of two widths is priced at their geometric
//! mean, for its array of cells is one width by the other.

use super::CostError;
use super::constants::{Constants, Key};
use crate::number_format::{Format, FormatError};

/// Widest significand or integer.
const WIDEST: u32 = 64;
/// Significand bits of IEEE single and half precision, the hidden one among them.
const FP32_SIGNIFICAND: f64 = 24.0;
const FP16_SIGNIFICAND: f64 = 11.0;

/// A format that is computed in, as far as its cost goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Arithmetic {
    /// Floating point: sign, exponent, significand.
    Float {
        /// Bits of the exponent.
        exponent: u32,
        /// Bits of the significand with the hidden one, which is not stored.
        significand: u32,
    },
    /// Integers, signed.
    Integer {
        /// All bits.
        bits: u32,
    },
    /// Fixed point: integers with a point that no circuit sees.
    Fixed {
        /// All bits.
        bits: u32,
    },
}

/// A width in one of the two families of circuits.
#[derive(Debug, Clone, Copy)]
enum Circuit {
    Float(f64),
    Integer(f64),
}

impl Arithmetic {
    /// IEEE 754 single precision.
    pub const FP32: Self = Self::Float { exponent: 8, significand: 24 };
    /// IEEE 754 half precision.
    pub const FP16: Self = Self::Float { exponent: 5, significand: 11 };
    /// The upper half of single precision.
    pub const BF16: Self = Self::Float { exponent: 8, significand: 8 };
    /// Integers of 8 bits.
    pub const INT8: Self = Self::Integer { bits: 8 };
    /// Integers of 32 bits.
    pub const INT32: Self = Self::Integer { bits: 32 };

    /// What computes in a number format: of a posit the float of its longest significand, of a table the integers of as many
    /// bits, since a unit for it would look both operands up.
    pub fn of(format: &Format) -> Self {
        let bits = format.bits();
        match format {
            Format::Float(float) => Self::Float { exponent: float.exponent, significand: float.mantissa + 1 },
            Format::Fixed(_) => Self::Fixed { bits },
            Format::Integer(_) | Format::Table(_) => Self::Integer { bits },
            Format::Posit(posit) => {
                // Behind the sign a regime of two bits and the exponent; the hidden bit comes on top.
                let significand = (bits - 1).saturating_sub(2 + posit.exponent) + 1;
                Self::Float { exponent: bits.saturating_sub(significand), significand }
            }
        }
    }

    /// The arithmetic of a format's name, as [`Format::parse`] reads it; `part` says what asks for it.
    ///
    /// ```
    /// use quantscope::cost::Arithmetic;
    /// assert_eq!(Arithmetic::parse("format", "bf16"), Ok(Arithmetic::BF16));
    /// assert!(Arithmetic::parse("format", "fp7").is_err());
    /// ```
    pub fn parse(part: &str, name: &str) -> Result<Self, CostError> {
        let wrong = |error: FormatError| {
            CostError::new(format!("{part}: {}", error.part), error.expected, error.found)
        };
        let format = Format::parse(name).map_err(wrong)?;
        let found = Self::of(&format);
        found.check(part)?;
        Ok(found)
    }

    /// Bits of one number.
    pub const fn bits(self) -> u32 {
        match self {
            Self::Float { exponent, significand } => exponent.saturating_add(significand),
            Self::Integer { bits } | Self::Fixed { bits } => bits,
        }
    }

    /// What sums of products of it are kept in where nothing else is asked for: single precision, or integers of 32 bits.
    pub const fn usual_accumulator(self) -> Self {
        match self {
            Self::Float { .. } => Self::FP32,
            Self::Integer { .. } | Self::Fixed { .. } => Self::INT32,
        }
    }

    /// Refuses widths that no unit has.
    pub fn check(self, part: &str) -> Result<(), CostError> {
        let (what, width) = match self {
            Self::Float { significand, exponent } if exponent <= WIDEST => ("significand", significand),
            Self::Float { exponent, .. } => ("exponent", exponent),
            Self::Integer { bits } | Self::Fixed { bits } => ("number", bits),
        };
        if (1..=WIDEST).contains(&width) {
            return Ok(());
        }
        Err(CostError::new(part, format!("a {what} of 1 to {WIDEST} bits"), width.to_string()))
    }

    fn circuit(self) -> Circuit {
        match self {
            Self::Float { significand, .. } => Circuit::Float(f64::from(significand)),
            Self::Integer { bits } | Self::Fixed { bits } => Circuit::Integer(f64::from(bits)),
        }
    }

    /// The circuit that multiplies it by `other`. Where one is a float and the other is not, the other is converted to it first.
    fn multiplier(self, other: Self) -> Circuit {
        match (self.circuit(), other.circuit()) {
            (Circuit::Float(a), Circuit::Float(b)) => Circuit::Float(libm::sqrt(a * b)),
            (Circuit::Integer(a), Circuit::Integer(b)) => Circuit::Integer(libm::sqrt(a * b)),
            (float @ Circuit::Float(_), _) | (_, float) => float,
        }
    }

    /// Energy of a multiplication by `other`, in pJ.
    pub fn multiply_energy(self, other: Self, constants: &Constants) -> f64 {
        let integer = [Key::MultiplyInt8, Key::MultiplyInt32];
        through(self.multiplier(other), [Key::MultiplyFp16, Key::MultiplyFp32], integer, constants)
    }

    /// Energy of an addition, in pJ.
    pub fn add_energy(self, constants: &Constants) -> f64 {
        let integer = [Key::AddInt8, Key::AddInt32];
        through(self.circuit(), [Key::AddFp16, Key::AddFp32], integer, constants)
    }

    /// Area of a unit that multiplies it by `other` and adds to a sum in `accumulator`, in µm².
    pub fn unit_area(self, other: Self, accumulator: Self, constants: &Constants) -> f64 {
        let float = [Key::AreaMultiplyFp16, Key::AreaMultiplyFp32];
        let integer = [Key::AreaMultiplyInt8, Key::AreaMultiplyInt32];
        let multiplier = through(self.multiplier(other), float, integer, constants);
        let (float, integer) = ([Key::AreaAddFp16, Key::AreaAddFp32], [Key::AreaAddInt8, Key::AreaAddInt32]);
        multiplier + through(accumulator.circuit(), float, integer, constants)
    }

    /// What a law through the published syntheses of Hill et al. says of a unit of this format; nothing of integers.
    pub fn anchored(self, constants: &Constants) -> Option<Anchored> {
        let Self::Float { significand, .. } = self else { return None };
        let share = f64::from(significand) / FP32_SIGNIFICAND;
        let fixed = constants.get(Key::HillFixed);
        let energy = fixed + (1.0 - fixed) * libm::pow(share, constants.get(Key::HillEnergyExponent));
        Some(Anchored {
            energy_saving: 1.0 / energy,
            speedup: libm::pow(share, -constants.get(Key::HillSpeedExponent)),
        })
    }
}

/// A unit beside one of single precision, by a law through the two formats whose figures Hill et al. print.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Anchored {
    /// Energy of a multiply-add in single precision over that in this format.
    pub energy_saving: f64,
    /// Delay and area in single precision over those in this format, multiplied.
    pub speedup: f64,
}

/// A circuit on the power law through the table's two entries of its family: half and single precision, or 8 and 32 bits.
fn through(circuit: Circuit, float: [Key; 2], integer: [Key; 2], constants: &Constants) -> f64 {
    let (width, widths, keys) = match circuit {
        Circuit::Float(width) => (width, [FP16_SIGNIFICAND, FP32_SIGNIFICAND], float),
        Circuit::Integer(width) => (width, [8.0, 32.0], integer),
    };
    let [narrow, wide] = keys.map(|key| constants.get(key));
    let exponent = libm::log(wide / narrow) / libm::log(widths[1] / widths[0]);
    wide * libm::pow(width / widths[1], exponent)
}

#[cfg(test)]
mod tests {
    use super::super::Technology;
    use super::*;
    use std::fmt::Write as _;

    const M7E6: Arithmetic = Arithmetic::Float { exponent: 6, significand: 8 };
    const M8E6: Arithmetic = Arithmetic::Float { exponent: 6, significand: 9 };

    fn is_near(value: f64, expected: f64, share: f64) -> bool {
        (value / expected - 1.0).abs() <= share
    }

    #[test]
    fn names_of_formats_are_read_and_others_refused() {
        let float = |exponent, significand| Arithmetic::Float { exponent, significand };
        for (name, expected) in [
            ("fp32", Arithmetic::FP32),
            ("bf16", float(8, 8)),
            ("e4m3", float(4, 4)),
            ("e5m2", float(5, 3)),
            ("m7e6", M7E6),
            ("int4", Arithmetic::Integer { bits: 4 }),
            ("l8r8", Arithmetic::Fixed { bits: 17 }),
        ] {
            assert_eq!(Arithmetic::parse("format", name), Ok(expected));
        }
        for name in
            ["", "fp8", "m7", "e4m3fn", "int", "int0", "int65", "int+4", "l8", "m99e4", "m4294967295e1"]
        {
            assert!(Arithmetic::parse("format", name).is_err(), "{name}");
        }
    }

    #[test]
    fn the_laws_go_through_the_table() {
        for technology in Technology::ALL {
            let constants = Constants::of(technology);
            for (format, multiply, add) in [
                (Arithmetic::FP32, Key::MultiplyFp32, Key::AddFp32),
                (Arithmetic::FP16, Key::MultiplyFp16, Key::AddFp16),
                (Arithmetic::INT8, Key::MultiplyInt8, Key::AddInt8),
                (Arithmetic::Fixed { bits: 32 }, Key::MultiplyInt32, Key::AddInt32),
            ] {
                assert!(is_near(format.multiply_energy(format, &constants), constants.get(multiply), 1e-12));
                assert!(is_near(format.add_energy(&constants), constants.get(add), 1e-12));
            }
        }
    }

    #[test]
    fn entries_that_the_laws_do_not_know_are_predicted_within_a_tenth() {
        let seven = Constants::of(Technology::Nm7);
        let multiply = Arithmetic::BF16.multiply_energy(Arithmetic::BF16, &seven);
        let add = Arithmetic::BF16.add_energy(&seven);
        assert!(is_near(multiply, 0.21, 0.1) && is_near(add, 0.11, 0.1), "{multiply} {add}");
        assert_eq!(format!("{multiply:.3} {add:.3}"), "0.196 0.112");
        let int16 = Arithmetic::Integer { bits: 16 }.add_energy(&Constants::of(Technology::Nm45));
        assert_eq!(format!("{int16:.4}"), "0.0548");
    }

    #[test]
    fn what_the_laws_miss_is_what_is_documented() {
        let (old, new) = (Constants::of(Technology::Nm45), Constants::of(Technology::Nm7));
        let half = Arithmetic::Integer { bits: 16 };
        let [float, integer] = [[Key::AreaAddFp16, Key::AreaAddFp32], [Key::AreaAddInt8, Key::AreaAddInt32]];
        let area = through(half.circuit(), float, integer, &old);
        let mut text = String::new();
        for (operation, unit, published, law) in [
            (
                "bf16 multiplication, 7 nm",
                "pJ",
                0.21,
                Arithmetic::BF16.multiply_energy(Arithmetic::BF16, &new),
            ),
            ("bf16 addition, 7 nm", "pJ", 0.11, Arithmetic::BF16.add_energy(&new)),
            ("int16 addition, 45 nm", "pJ", 0.05, half.add_energy(&old)),
            ("area of an int16 adder, 45 nm", "µm²", 67.0, area),
        ] {
            let law_text = if unit == "pJ" { format!("{law:.3}") } else { format!("{law:.1}") };
            let off = (law / published - 1.0) * 100.0;
            let _ = writeln!(text, "| {operation} | {published} {unit} | {law_text} {unit} | {off:+.1} % |");
            assert!(off.abs() < 10.0, "{operation}: {off}");
        }
        assert!(include_str!("../../docs/hardware-model.md").contains(&text), "{text}");
    }

    #[test]
    fn the_laws_have_the_exponents_that_are_documented() {
        let doubled = |technology, energy: &dyn Fn(u32, &Constants) -> f64| {
            let constants = Constants::of(technology);
            libm::log2(energy(16, &constants) / energy(8, &constants))
        };
        let float = |significand| Arithmetic::Float { exponent: 8, significand };
        let integer = |bits| Arithmetic::Integer { bits };
        let mut text = String::new();
        for technology in Technology::ALL {
            let exponents = [
                doubled(technology, &|w, c| float(w).multiply_energy(float(w), c)),
                doubled(technology, &|w, c| float(w).add_energy(c)),
                doubled(technology, &|w, c| integer(w).multiply_energy(integer(w), c)),
                doubled(technology, &|w, c| integer(w).add_energy(c)),
            ];
            let cells = exponents.map(|exponent| format!("{exponent:.2}")).join(" | ");
            let _ = writeln!(text, "| {} | {cells} |", technology.title());
        }
        assert_eq!(text, "| 45 nm | 1.55 | 1.04 | 1.98 | 0.87 |\n| 7 nm | 1.73 | 1.11 | 2.20 | 1.05 |\n");
        assert!(include_str!("../../docs/hardware-model.md").contains(&text), "{text}");
    }

    #[test]
    fn anchored_laws_keep_to_the_two_printed_formats() {
        let constants = Constants::default();
        for (format, speedup, saving) in [(M7E6, 7.2, 3.4), (M8E6, 5.7, 3.0)] {
            let anchored = format.anchored(&constants).unwrap();
            assert!(is_near(anchored.speedup, speedup, 0.015), "{anchored:?}");
            assert!(is_near(anchored.energy_saving, saving, 0.005), "{anchored:?}");
        }
        assert_eq!(Arithmetic::INT8.anchored(&constants), None);
    }

    #[test]
    fn ours_beside_the_two_printed_formats_is_what_is_documented() {
        let mut text = String::new();
        for (name, format, printed) in [("M7E6", M7E6, "7.2 | 3.4"), ("M8E6", M8E6, "5.7 | 3.0")] {
            let mut cells = format!("| {name} | {printed}");
            let anchored = format.anchored(&Constants::default()).unwrap();
            let _ = write!(cells, " | {:.2} | {:.2}", anchored.speedup, anchored.energy_saving);
            for technology in Technology::ALL {
                let constants = Constants::of(technology);
                let energy = |f: Arithmetic| f.multiply_energy(f, &constants) + f.add_energy(&constants);
                if technology == Technology::Nm45 {
                    let area = |f: Arithmetic| f.unit_area(f, f, &constants);
                    let _ = write!(cells, " | {:.2}", area(Arithmetic::FP32) / area(format));
                }
                let _ = write!(cells, " | {:.2}", energy(Arithmetic::FP32) / energy(format));
            }
            let _ = writeln!(text, "{cells} |");
        }
        assert!(include_str!("../../docs/hardware-model.md").contains(&text), "{text}");
    }

    #[test]
    fn two_widths_cost_their_geometric_mean_and_a_float_wins_over_an_integer() {
        let constants = Constants::default();
        let integer = |bits| Arithmetic::Integer { bits };
        let mixed = integer(4).multiply_energy(integer(16), &constants);
        assert!(is_near(mixed, integer(8).multiply_energy(integer(8), &constants), 1e-12));
        let half = Arithmetic::FP16.multiply_energy(Arithmetic::FP16, &constants);
        assert_eq!(integer(4).multiply_energy(Arithmetic::FP16, &constants), half);
        assert_eq!(Arithmetic::FP16.multiply_energy(integer(4), &constants), half);
    }

    #[test]
    fn widths_that_no_unit_has_are_refused() {
        let zero = Arithmetic::Integer { bits: 0 }.check("weights").unwrap_err().to_string();
        assert_eq!(zero, "weights: expected a number of 1 to 64 bits, found 0");
        assert!(Arithmetic::Float { exponent: 3, significand: 65 }.check("x").is_err());
        assert!(Arithmetic::Float { exponent: 65, significand: 2 }.check("x").is_err());
        assert!(Arithmetic::BF16.check("x").is_ok());
    }
}
