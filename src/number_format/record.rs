//! A format as bytes of a file: a byte for its kind, and its numbers.
//!
//! How numbers are rounded to it is no part: who reads a file only needs to know what codes stand for.

use super::fixed::Fixed;
use super::float::{Float, Lowest, Specials};
use super::integer::Integer;
use super::posit::Posit;
use super::rounding::Rounding;
use super::table::Table;
use super::{Format, FormatError, wrong};
use crate::varint;

const LOWEST: [Lowest; 3] = [Lowest::Subnormals, Lowest::Zero, Lowest::Normals];
const SPECIALS: [Specials; 4] = [Specials::None, Specials::Nan, Specials::NegativeZero, Specials::Ieee];

/// A bias as a number without a sign: 0, −1, 1, −2, 2… are 0, 1, 2, 3, 4….
const fn folded(bias: i32) -> u64 {
    ((bias << 1) ^ (bias >> 31)) as u32 as u64
}

const fn unfolded(number: u32) -> i32 {
    (number >> 1) as i32 ^ -((number & 1) as i32)
}

impl Format {
    /// Appends its record.
    pub fn to_record(&self, record: &mut Vec<u8>) {
        match self {
            Self::Float(float) => {
                let lowest = LOWEST.iter().position(|lowest| *lowest == float.lowest).unwrap_or(0);
                let specials = SPECIALS.iter().position(|specials| *specials == float.specials).unwrap_or(0);
                let kinds = (lowest | specials << 2) as u8;
                record.extend_from_slice(&[0, float.mantissa as u8, float.exponent as u8, kinds]);
                varint::put(folded(float.bias), record);
            }
            Self::Fixed(fixed) => {
                let numbers = [1, fixed.integer as u8, fixed.fraction as u8, u8::from(fixed.signed)];
                record.extend_from_slice(&numbers);
            }
            Self::Integer(integer) => {
                let range = u8::from(integer.affine) | u8::from(integer.full) << 1;
                record.extend_from_slice(&[2, integer.bits as u8, range]);
            }
            Self::Posit(posit) => record.extend_from_slice(&[3, posit.bits as u8, posit.exponent as u8]),
            Self::Table(table) => {
                let number = match table {
                    Table::NormalFloat => 0,
                    Table::Float4 => 1,
                    Table::Uneven => 2,
                    Table::PowerOfTwo(_) => 3,
                    Table::AdditivePowers(_) => 4,
                };
                record.extend_from_slice(&[4, number, table.bits() as u8]);
            }
        }
    }

    /// Takes a format from the front of a record; it rounds to nearest.
    ///
    /// # Errors
    ///
    /// A record that ends early, or is of no format.
    pub fn from_record(record: &mut &[u8]) -> Result<Self, FormatError> {
        let [kind, first, second] = take(record)?;
        let numbers = (u32::from(first), u32::from(second));
        let format = match kind {
            0 => {
                let [kinds] = take(record)?;
                let bias = varint::take(record).and_then(|bias| u32::try_from(bias).ok());
                let bias = bias.ok_or_else(|| wrong("the bias", "a number of 32 bits", "another"))?;
                let lowest = LOWEST.get(usize::from(kinds & 3)).copied();
                let specials = SPECIALS.get(usize::from(kinds >> 2)).copied();
                let unknown =
                    || wrong("a format's kinds of numbers", "a byte of 3 lowest and 4 special", kinds);
                let (lowest, specials) = lowest.zip(specials).ok_or_else(unknown)?;
                Self::Float(Float {
                    mantissa: numbers.0,
                    exponent: numbers.1,
                    bias: unfolded(bias),
                    lowest,
                    specials,
                    rounding: Rounding::Nearest,
                    overflows: specials == Specials::Ieee,
                })
            }
            1 => {
                let [sign] = take(record)?;
                let signed = flag(sign, 1)? == 1;
                Self::Fixed(Fixed {
                    integer: numbers.0,
                    fraction: numbers.1,
                    signed,
                    rounding: Rounding::Nearest,
                })
            }
            2 => {
                let range = flag(second, 2)?;
                Self::Integer(Integer { bits: numbers.0, affine: range == 1, full: range == 2 })
            }
            3 => Self::Posit(Posit { bits: numbers.0, exponent: numbers.1 }),
            4 => Self::Table(table(first, numbers.1)?),
            _ => return Err(wrong("a number format's kind", "0 to 4", kind)),
        };
        format.check()
    }
}

/// The table of a number in a record, of so many bits.
fn table(number: u8, bits: u32) -> Result<Table, FormatError> {
    let tables = [
        Table::NormalFloat,
        Table::Float4,
        Table::Uneven,
        Table::PowerOfTwo(bits),
        Table::AdditivePowers(bits),
    ];
    let table = tables.get(usize::from(number)).copied();
    let table = table.ok_or_else(|| wrong("a list of values", "0 to 4", number))?;
    if table.bits() == bits {
        Ok(table)
    } else {
        Err(wrong("the bits of a list of values", table.bits(), bits))
    }
}

fn flag(found: u8, most: u8) -> Result<u8, FormatError> {
    if found <= most {
        Ok(found)
    } else {
        Err(wrong("a number format's range", format!("0 to {most}"), found))
    }
}

fn take<const N: usize>(record: &mut &[u8]) -> Result<[u8; N], FormatError> {
    let (head, rest) = record.split_first_chunk().ok_or_else(|| {
        wrong("a number format", format!("{N} bytes more"), format!("{} bytes", record.len()))
    })?;
    *record = rest;
    Ok(*head)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_give_the_same_values_back() {
        let names = "e4m3 e5m2 e2m1 e3m2 e4m3fnuz e5m2fnuz m3e4 m3e4:bias=-3 e3m2:zero fp16 bf16 l1r6:nearest l8r7 l4r4:unsigned \
                     int4 int4:full uint8 int16 posit8 posit16-1 nf4 bnb-fp4 iq4nl pow2-4 apot5";
        for name in names.split_whitespace() {
            let format = Format::parse(name).unwrap();
            let mut record = Vec::new();
            format.to_record(&mut record);
            record.push(77);
            let mut rest = &record[..];
            let read = Format::from_record(&mut rest).unwrap();
            assert_eq!(rest, [77], "{name}");
            assert_eq!(read.bits(), format.bits());
            assert_eq!(read.values(), format.values(), "{name}");
            for end in 0..record.len() - 1 {
                assert!(Format::from_record(&mut &record[..end]).is_err(), "{name} of {end} bytes");
            }
        }
    }

    #[test]
    fn records_of_no_format_are_refused() {
        let wrong: [&[u8]; 14] = [
            &[5, 0, 0],
            &[0, 24, 4, 0, 0],
            &[0, 3, 0, 0, 0],
            &[0, 3, 16, 0, 0],
            &[0, 3, 4, 3, 14],
            &[0, 3, 4, 16, 14],
            &[0, 3, 4, 0, 0xff, 0xff, 0xff, 0xff, 0x7f],
            &[0, 3, 4, 0, 0x80, 0],
            &[1, 0, 0, 1],
            &[1, 4, 4, 2],
            &[2, 4, 3],
            &[2, 17, 0],
            &[4, 0, 5],
            &[4, 3, 9],
        ];
        for record in wrong {
            assert!(Format::from_record(&mut &record[..]).is_err(), "{record:?}");
        }
    }

    #[test]
    fn biases_of_either_sign_are_folded() {
        for bias in [0, -1, 1, 7, -127, 1 << 15, -(1 << 15)] {
            assert_eq!(unfolded(folded(bias) as u32), bias);
        }
    }
}
