//! Fixed-length code: every symbol of an alphabet of k takes ⌈log2 k⌉ bits, none at all for k = 1.
//!
//! The code of Choi, El-Khamy and Lee (2017), equation 2: codewords are implicit, so there is no table to store beyond k.

use super::bits::{BitReader, BitWriter};
use super::{CodeError, Rows, SymbolCode, ceil_log2, check_alphabet, damaged, reserve};

/// The fixed-length code of an alphabet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fixed {
    alphabet: usize,
    width: u32,
}

impl Fixed {
    /// The code of an alphabet of this many symbols.
    pub fn new(alphabet: usize) -> Result<Self, CodeError> {
        check_alphabet(alphabet as u64)?;
        Ok(Self { alphabet, width: ceil_log2(alphabet) })
    }

    /// Bits per symbol.
    pub const fn width(&self) -> u32 {
        self.width
    }

    /// Appends the code of `symbols` to `out`; returns its number of bits.
    pub fn encode(&self, symbols: &[u16], out: &mut Vec<u8>) -> Result<u64, CodeError> {
        let mut writer = BitWriter::new(out);
        for symbol in symbols {
            if usize::from(*symbol) >= self.alphabet {
                return Err(CodeError::no_code(u32::from(*symbol), self.alphabet));
            }
            writer.write(u32::from(*symbol), self.width);
        }
        Ok(writer.finish())
    }

    /// Appends the `count` symbols that `bytes` holds to `symbols`; returns the number of bits they took.
    pub fn decode(&self, bytes: &[u8], count: usize, symbols: &mut Vec<u16>) -> Result<u64, CodeError> {
        let needed = (count as u64 * u64::from(self.width)).div_ceil(8);
        if bytes.len() as u64 != needed {
            return Err(damaged("fixed-length code", format!("{needed} bytes"), bytes.len()));
        }
        reserve(symbols, count)?;
        let mut reader = BitReader::new(bytes);
        for _ in 0..count {
            let symbol = reader.read(self.width)?;
            if symbol as usize >= self.alphabet {
                return Err(damaged(
                    "fixed-length code",
                    format!("a symbol below {}", self.alphabet),
                    symbol,
                ));
            }
            symbols.push(symbol as u16);
        }
        reader.finish()
    }
}

impl SymbolCode for Fixed {
    fn of_counts(counts: &[u64]) -> Result<Self, CodeError> {
        Self::new(counts.len())
    }

    fn alphabet(&self) -> usize {
        self.alphabet
    }

    fn predicted_bits(&self, counts: &[u64]) -> u64 {
        counts.iter().sum::<u64>() * u64::from(self.width())
    }

    /// N·⌈log2 k⌉, eq. (2).
    fn formula_bits(counts: &[u64]) -> f64 {
        counts.iter().sum::<u64>() as f64 * f64::from(ceil_log2(counts.len()))
    }

    fn encode(&self, symbols: &[u16], _: Rows, out: &mut Vec<u8>) -> Result<u64, CodeError> {
        self.encode(symbols, out)
    }

    fn decode(&self, bytes: &[u8], count: usize, _: Rows, symbols: &mut Vec<u16>) -> Result<u64, CodeError> {
        self.decode(bytes, count, symbols)
    }

    fn write_table(&self, _: &mut BitWriter) {}

    fn read_table(alphabet: usize, _: &mut BitReader) -> Result<Self, CodeError> {
        Self::new(alphabet)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn widths_are_the_ceiling_of_the_logarithm() {
        let widths = [(1, 0), (2, 1), (3, 2), (4, 2), (5, 3), (256, 8), (257, 9), (65536, 16)];
        assert!(widths.iter().all(|(size, width)| Fixed::new(*size).unwrap().width() == *width));
        assert!(Fixed::new(0).is_err());
        assert!(Fixed::new(65537).is_err());
    }

    #[test]
    fn symbols_outside_the_alphabet_are_refused_both_ways() {
        let code = Fixed::new(3).unwrap();
        assert!(code.encode(&[3], &mut Vec::new()).is_err());
        assert!(code.decode(&[0b1100_0000], 1, &mut Vec::new()).is_err());
    }
}
