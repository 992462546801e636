//! The serialised form of a code.

use super::bits::{BitReader, BitWriter};
use super::{CodeError, CodeTable, Coder, damaged};

/// Order of the exponential Golomb code of the alphabet's size.
const ALPHABET_ORDER: u32 = 4;

impl CodeTable {
    /// Serialises the table: the number of the coder's row in a byte, the size of the alphabet less 1 as an exponential Golomb
    /// number of order 4, and the coder's own table.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = vec![self.coder() as u8];
        let mut writer = BitWriter::new(&mut bytes);
        writer.write_golomb(self.alphabet() as u32 - 1, ALPHABET_ORDER);
        self.write_table(&mut writer);
        writer.finish();
        bytes
    }

    /// Reads a serialised table, which takes all of `bytes`.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, CodeError> {
        let (number, rest) =
            bytes.split_first().ok_or_else(|| damaged("code table", "the number of a coder", "none"))?;
        let coder = Coder::ALL.get(usize::from(*number));
        let coder = *coder.ok_or_else(|| damaged("code table", "the number of a coder", number))?;
        let mut reader = BitReader::new(rest);
        let alphabet = reader.read_golomb(ALPHABET_ORDER)? as usize + 1;
        let table = Self::read_table(coder, alphabet, &mut reader)?;
        reader.finish()?;
        Ok(table)
    }
}

/// Tables travel between page and workers as the bytes that the container holds.
macro_rules! serde_as_bytes {
    ($table:ty) => {
        impl serde::Serialize for $table {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                self.to_bytes().serialize(serializer)
            }
        }

        impl<'de> serde::Deserialize<'de> for $table {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let bytes = Vec::<u8>::deserialize(deserializer)?;
                Self::from_bytes(&bytes).map_err(serde::de::Error::custom)
            }
        }
    };
}

serde_as_bytes!(CodeTable);
serde_as_bytes!(super::GapTable);

#[cfg(test)]
#[cfg(not(target_arch = "wasm32"))]
mod tests {
    use super::*;
    use crate::entropy::{GapCounts, GapTable, Rows};
    use proptest::prelude::*;

    /// −Σ c·log2(c/n) in bits.
    fn information(counts: &[u64]) -> f64 {
        let total = counts.iter().sum::<u64>() as f64;
        counts.iter().filter(|c| **c > 0).map(|c| *c as f64 * libm::log2(total / *c as f64)).sum()
    }

    fn counts_of(symbols: &[u16], alphabet: usize) -> Vec<u64> {
        let mut counts = vec![0; alphabet];
        for symbol in symbols {
            counts[usize::from(*symbol)] += 1;
        }
        counts
    }

    /// Symbols of a random alphabet, from uniform to heavily skewed towards 0.
    fn runs() -> impl Strategy<Value = (usize, Vec<u16>)> {
        let alphabet = prop_oneof![Just(1usize), 2usize..5, 2usize..300, Just(65536usize)];
        (alphabet, 0u32..40).prop_flat_map(|(alphabet, skew)| {
            let skewed = move |x: f64| {
                ((1.0 - libm::pow(x, 1.0 / (1.0 + f64::from(skew)))) * alphabet as f64) as usize
            };
            let symbol = (0.0..1.0f64).prop_map(move |x| skewed(x).min(alphabet - 1) as u16);
            (Just(alphabet), prop::collection::vec(symbol, 0..600))
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        #[test]
        fn every_coder_reads_back_what_it_wrote((alphabet, symbols) in runs()) {
            let counts = counts_of(&symbols, alphabet);
            for coder in Coder::ALL {
                let table = CodeTable::new(coder, &counts).unwrap();
                let mut bytes = Vec::new();
                let bits = table.encode(&symbols, Rows::default(), &mut bytes).unwrap();
                prop_assert_eq!(bits.div_ceil(8), bytes.len() as u64);
                // What depends on neighbours or on states is predicted by its entropy.
                if matches!(coder, Coder::Fixed | Coder::Huffman) {
                    prop_assert_eq!(bits, table.predicted_bits(&counts));
                }
                let read = CodeTable::from_bytes(&table.to_bytes()).unwrap();
                prop_assert_eq!(&read, &table);
                let mut decoded = Vec::new();
                prop_assert_eq!(read.decode(&bytes, symbols.len(), Rows::default(), &mut decoded), Ok(bits));
                prop_assert_eq!(&decoded, &symbols);
            }
        }

        #[test]
        fn symbols_that_were_not_counted_can_be_coded((alphabet, symbols) in runs()) {
            for coder in Coder::ALL {
                let table = CodeTable::new(coder, &vec![0; alphabet]).unwrap();
                let mut bytes = Vec::new();
                table.encode(&symbols, Rows::default(), &mut bytes).unwrap();
                let mut decoded = Vec::new();
                table.decode(&bytes, symbols.len(), Rows::default(), &mut decoded).unwrap();
                prop_assert_eq!(&decoded, &symbols);
            }
        }

        #[test]
        fn huffman_means_lie_within_a_bit_of_the_entropy(counts in prop::collection::vec(1u64..100_000, 1..200)) {
            let table = CodeTable::new(Coder::Huffman, &counts).unwrap();
            let total = counts.iter().sum::<u64>() as f64;
            let (mean, entropy) = (table.predicted_bits(&counts) as f64 / total, information(&counts) / total);
            prop_assert!(mean >= entropy - 1e-9 && mean < entropy + 1.0, "{mean} against {entropy}");
        }

        #[test]
        fn damaged_streams_and_tables_are_refused_or_decoded_and_never_panic(
            (alphabet, symbols) in runs(), flip in any::<prop::sample::Index>(), cut in any::<prop::sample::Index>()
        ) {
            let counts = counts_of(&symbols, alphabet);
            for coder in Coder::ALL {
                let table = CodeTable::new(coder, &counts).unwrap();
                let mut payload = Vec::new();
                table.encode(&symbols, Rows::default(), &mut payload).unwrap();
                for bytes in [payload, table.to_bytes()] {
                    let mut flipped = bytes.clone();
                    if !bytes.is_empty() {
                        flipped[flip.index(bytes.len())] ^= 1 << flip.index(8);
                    }
                    for bytes in [&bytes[..cut.index(bytes.len() + 1)], &flipped] {
                        let mut decoded = Vec::new();
                        let _ = table.decode(bytes, symbols.len(), Rows::default(), &mut decoded);
                        prop_assert!(decoded.len() <= symbols.len());
                        let _ = CodeTable::from_bytes(bytes);
                        let _ = GapTable::from_bytes(bytes);
                    }
                }
            }
        }

        #[test]
        fn tables_of_random_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut decoded = Vec::new();
            if let Ok(table) = CodeTable::from_bytes(&bytes) {
                let _ = table.decode(&bytes, 1000, Rows::default(), &mut decoded);
            }
            if let Ok(table) = GapTable::from_bytes(&bytes) {
                let _ = table.decode(&bytes, 100, 1000, &mut Vec::new());
            }
        }

        #[test]
        fn gaps_read_back(symbols in prop::collection::vec(prop_oneof![9 => Just(0u16), 1 => 1u16..4], 0..2000)) {
            let mut counts = GapCounts::new();
            counts.add_block(&symbols);
            let table = GapTable::new(&counts).unwrap();
            let mut bytes = Vec::new();
            let bits = table.encode(&symbols, &mut bytes).unwrap();
            let (mut positions, non_zeros) = (Vec::new(), counts.non_zeros() as usize);
            prop_assert_eq!(table.decode(&bytes, non_zeros, symbols.len(), &mut positions), Ok(bits));
            prop_assert!(positions.iter().all(|p| symbols[*p as usize] != 0) && positions.len() == non_zeros);
        }
    }

    #[test]
    fn rans_comes_within_a_thousandth_of_the_entropy() {
        for scale in [0.02, 0.2, 1.0, 5.0] {
            let (counts, _, _) =
                uniform_cells(|x| libm::erf(x / std::f64::consts::SQRT_2 * scale) / 2.0, 1.0);
            let symbols: Vec<u16> = counts
                .iter()
                .enumerate()
                .flat_map(|(symbol, count)| {
                    std::iter::repeat_n(symbol as u16, (count / 10_000_000_000) as usize)
                })
                .collect();
            let counts = counts_of(&symbols, counts.len());
            let table = CodeTable::new(Coder::Rans, &counts).unwrap();
            let bits = table.encode(&symbols, Rows::default(), &mut Vec::new()).unwrap() as f64;
            assert!(bits < information(&counts) * 1.001 + 256.0, "{bits} against {}", information(&counts));
            assert!((bits - table.predicted_bits(&counts) as f64).abs() < 256.0);
        }
    }

    /// Counts per 10^15 of the cells of a zero-centred uniform quantizer, cells below 10^-9 dropped, with their entropy
    /// and the mean length of their Huffman code. `half` is the distribution function less one half.
    fn uniform_cells(half: impl Fn(f64) -> f64, step: f64) -> (Vec<u64>, f64, f64) {
        let probability =
            |cell: i32| half((f64::from(cell) + 0.5) * step) - half((f64::from(cell) - 0.5) * step);
        let counts: Vec<u64> =
            (-2000..=2000).map(probability).filter(|p| *p >= 1e-9).map(|p| (p * 1e15) as u64).collect();
        let total = counts.iter().sum::<u64>() as f64;
        let huffman = CodeTable::new(Coder::Huffman, &counts).unwrap().predicted_bits(&counts) as f64;
        let entropy = information(&counts) / total;
        (counts, entropy, huffman / total)
    }

    #[test]
    fn zero_centred_uniform_quantizers_have_the_golden_rates() {
        let gaussian = |x: f64| libm::erf(x / std::f64::consts::SQRT_2) / 2.0;
        let laplacian = |x: f64| (1.0 - libm::exp(-std::f64::consts::SQRT_2 * x.abs())) / 2.0 * x.signum();
        let golden = [
            (0.5, (3.061_969, 3.117_472), (2.965_770, 3.029_213)),
            (1.0, (2.104_833, 2.218_624), (2.014_207, 2.056_358)),
            (2.0, (1.241_196, 1.481_366), (1.126_990, 1.395_220)),
        ];
        for (step, of_gaussian, of_laplacian) in golden {
            for ((_, entropy, mean), expected) in
                [(uniform_cells(gaussian, step), of_gaussian), (uniform_cells(laplacian, step), of_laplacian)]
            {
                assert!((entropy - expected.0).abs() < 2e-6, "{entropy} {expected:?}");
                assert!((mean - expected.1).abs() < 2e-6, "{mean} {expected:?}");
            }
        }
    }
}
