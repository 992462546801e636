//! Entropy coding: symbols to bits and back, integers only.
//!
//! A [`CodeTable`] is a code for one alphabet: fixed length, Huffman or static range coding. It is built from counts, is
//! stored in the file, and codes any number of streams.

pub mod bits;
pub mod gaps;
pub mod huffman;
pub mod rans;

use bits::{BitReader, BitWriter};
use huffman::Huffman;
use rans::Frequencies;
use serde::{Deserialize, Serialize};

/// How symbols become bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Coder {
    /// ⌈log2 k⌉ bits per symbol.
    Fixed,
    /// Length-limited canonical Huffman codes.
    Huffman,
    /// A static range asymmetric numeral system.
    Rans,
}

impl Coder {
    /// All coders, simplest first.
    pub const ALL: [Self; 3] = [Self::Fixed, Self::Huffman, Self::Rans];

    /// Its name in recipes.
    pub const fn id(self) -> &'static str {
        match self {
            Self::Fixed => "fixed",
            Self::Huffman => "huffman",
            Self::Rans => "rans",
        }
    }

    /// Its name for people.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Fixed => "Fixed length",
            Self::Huffman => "Huffman",
            Self::Rans => "Range (ANS)",
        }
    }

    /// The coder of this [`id`](Self::id).
    pub fn from_id(id: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|coder| coder.id() == id)
    }
}

/// How the zeros of pruned weights are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Positions {
    /// A zero is a symbol like any other.
    Symbols,
    /// Only non-zeros are coded, with the gaps between them.
    Gaps,
}

impl Positions {
    /// Its name in recipes.
    pub const fn id(self) -> &'static str {
        match self {
            Self::Symbols => "symbols",
            Self::Gaps => "gaps",
        }
    }

    /// The choice of this [`id`](Self::id).
    pub fn from_id(id: &str) -> Option<Self> {
        [Self::Symbols, Self::Gaps].into_iter().find(|positions| positions.id() == id)
    }
}

/// Why coded symbols or a table could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CodeError {
    /// The stream ends too early.
    #[error("expected {needed} bits, found {found}")]
    Ends {
        /// Bits read.
        needed: u64,
        /// Bits there are.
        found: u64,
    },
    /// The stream goes on after its last symbol.
    #[error("expected the stream to end after bit {read} of {found}, found more")]
    Trailing {
        /// Bits read.
        read: u64,
        /// Bits there are.
        found: u64,
    },
    /// A table holds an impossible number.
    #[error("impossible {0}: {1}")]
    Table(&'static str, u64),
    /// The decoder did not end where the encoder began.
    #[error("expected the range coder to end in its start state, found another")]
    State,
}

impl CodeError {
    fn ends(needed_bytes: usize, bytes: &[u8]) -> Self {
        Self::Ends { needed: needed_bytes as u64 * 8, found: bytes.len() as u64 * 8 }
    }

    fn trailing(read_bytes: usize, bytes: &[u8]) -> Self {
        Self::Trailing { read: read_bytes as u64 * 8, found: bytes.len() as u64 * 8 }
    }
}

/// A code for one alphabet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CodeTable {
    /// Fixed length, for this many symbols.
    Fixed(usize),
    /// Huffman.
    Huffman(Huffman),
    /// Static range coding.
    Rans(Frequencies),
}

/// Bits of a fixed-length code for `k` symbols.
pub fn fixed_bits(k: usize) -> u32 {
    usize::BITS - k.saturating_sub(1).leading_zeros()
}

impl CodeTable {
    /// A code for an alphabet with these counts; every symbol can be coded, counted or not.
    pub fn new(coder: Coder, counts: &[u64]) -> Self {
        match coder {
            Coder::Fixed => Self::Fixed(counts.len()),
            Coder::Huffman => match Huffman::from_lengths(huffman::lengths(counts)) {
                Ok(huffman) => Self::Huffman(huffman),
                // Only an empty alphabet has no Huffman code, and nothing to code either.
                Err(_) => Self::Fixed(counts.len()),
            },
            Coder::Rans => Self::Rans(Frequencies::from_counts(counts)),
        }
    }

    /// Size of the alphabet.
    pub fn symbols(&self) -> usize {
        match self {
            Self::Fixed(k) => *k,
            Self::Huffman(huffman) => huffman.lengths().len(),
            Self::Rans(frequencies) => frequencies.len(),
        }
    }

    /// Bits that symbols with these counts take: exact but for range coding, where a stream takes up to 20 bytes more.
    pub fn predicted_bits(&self, counts: &[u64]) -> f64 {
        match self {
            Self::Fixed(k) => counts.iter().sum::<u64>() as f64 * f64::from(fixed_bits(*k)),
            Self::Huffman(huffman) => huffman.bits(counts) as f64,
            Self::Rans(frequencies) => frequencies.bits(counts),
        }
    }

    /// Bits of the serialised table.
    pub fn size_bits(&self) -> u64 {
        let mut bytes = Vec::new();
        let mut writer = BitWriter::new(&mut bytes);
        self.write(&mut writer);
        writer.finish()
    }

    /// Writes the table without its kind and the size of its alphabet.
    pub fn write(&self, writer: &mut BitWriter) {
        match self {
            Self::Fixed(_) => {}
            Self::Huffman(huffman) => write_lengths(huffman.lengths(), writer),
            Self::Rans(frequencies) => frequencies.write(writer),
        }
    }

    /// Reads a table for `k` symbols that [`write`](Self::write) wrote.
    pub fn read(coder: Coder, k: usize, reader: &mut BitReader) -> Result<Self, CodeError> {
        if k > 1 << 16 {
            return Err(CodeError::Table("number of symbols", k as u64));
        }
        Ok(match coder {
            Coder::Fixed => Self::Fixed(k),
            Coder::Huffman if k == 0 => Self::Fixed(0),
            Coder::Huffman => Self::Huffman(Huffman::from_lengths(read_lengths(k, reader)?)?),
            Coder::Rans => Self::Rans(Frequencies::read(k, reader)?),
        })
    }

    /// Codes `symbols`, all of them in the alphabet, to the end of `bytes`; the number of bits.
    pub fn encode(&self, symbols: &[u16], bytes: &mut Vec<u8>) -> u64 {
        match self {
            Self::Fixed(k) => {
                let width = fixed_bits(*k);
                let mut writer = BitWriter::new(bytes);
                symbols.iter().for_each(|symbol| writer.write(u32::from(*symbol), width));
                writer.finish()
            }
            Self::Huffman(huffman) => {
                let mut writer = BitWriter::new(bytes);
                symbols.iter().for_each(|symbol| huffman.write(*symbol, &mut writer));
                writer.finish()
            }
            Self::Rans(frequencies) => {
                let before = bytes.len();
                frequencies.encode(symbols, bytes);
                (bytes.len() - before) as u64 * 8
            }
        }
    }

    /// A decoder for this table; making one costs about as much as decoding some thousand symbols.
    pub fn decoder(&self) -> Decoder {
        match self {
            Self::Fixed(k) => Decoder::Fixed(*k),
            Self::Huffman(huffman) => Decoder::Huffman(huffman.decoder()),
            Self::Rans(frequencies) => Decoder::Rans(frequencies.decoder()),
        }
    }
}

/// Decodes streams of one table.
#[derive(Debug, Clone)]
pub enum Decoder {
    /// Fixed length, for this many symbols.
    Fixed(usize),
    /// Huffman.
    Huffman(huffman::Decoder),
    /// Static range coding.
    Rans(rans::RansDecoder),
}

impl Decoder {
    /// Decodes `count` symbols that take up all of `bytes`, to the end of `symbols`; all of them are in the alphabet.
    pub fn decode(&self, bytes: &[u8], count: usize, symbols: &mut Vec<u16>) -> Result<(), CodeError> {
        let mut reader = BitReader::new(bytes);
        match self {
            Self::Rans(decoder) => return decoder.decode(bytes, count, symbols),
            Self::Fixed(k) => {
                let width = fixed_bits(*k);
                for _ in 0..count {
                    let symbol = reader.read(width);
                    if symbol as usize >= *k {
                        return Err(CodeError::Table("symbol", u64::from(symbol)));
                    }
                    symbols.push(symbol as u16);
                }
            }
            Self::Huffman(decoder) => symbols.extend((0..count).map(|_| decoder.read(&mut reader))),
        }
        reader.finish()
    }
}

impl Serialize for CodeTable {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let coder = match self {
            Self::Fixed(_) => Coder::Fixed,
            Self::Huffman(_) => Coder::Huffman,
            Self::Rans(_) => Coder::Rans,
        };
        let mut bytes = Vec::new();
        let mut writer = BitWriter::new(&mut bytes);
        self.write(&mut writer);
        writer.finish();
        (coder, self.symbols(), bytes).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for CodeTable {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (coder, k, bytes) = <(Coder, usize, Vec<u8>)>::deserialize(deserializer)?;
        Self::read(coder, k, &mut BitReader::new(&bytes)).map_err(serde::de::Error::custom)
    }
}

/// Writes a difference: its zigzag number n as n ones and a zero.
fn write_difference(writer: &mut BitWriter, difference: i64) {
    let zigzag = ((difference << 1) ^ (difference >> 63)) as u32;
    (0..zigzag).for_each(|_| writer.write(1, 1));
    writer.write(0, 1);
}

/// Reads what [`write_difference`] wrote.
fn read_difference(reader: &mut BitReader) -> Result<i64, CodeError> {
    let mut zigzag = 0i64;
    while reader.read(1) == 1 {
        zigzag += 1;
        if zigzag > 64 {
            return Err(CodeError::Table("difference", zigzag as u64));
        }
    }
    if reader.is_exhausted() {
        return Err(CodeError::Table("end of the table", 0));
    }
    Ok((zigzag >> 1) ^ -(zigzag & 1))
}

/// Writes codeword lengths, each as the difference to the one before, the first to 8.
fn write_lengths(lengths: &[u8], writer: &mut BitWriter) {
    let mut before = 8;
    for length in lengths {
        write_difference(writer, i64::from(*length) - before);
        before = i64::from(*length);
    }
}

/// Reads `k` codeword lengths that [`write_lengths`] wrote.
fn read_lengths(k: usize, reader: &mut BitReader) -> Result<Vec<u8>, CodeError> {
    let mut lengths = Vec::new();
    let mut before = 8;
    for _ in 0..k {
        before += read_difference(reader)?;
        let length = u8::try_from(before).map_err(|_| CodeError::Table("codeword length", before as u64))?;
        lengths.push(length);
    }
    Ok(lengths)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn round_trip(table: &CodeTable, symbols: &[u16]) {
        let mut bytes = Vec::new();
        let bits = table.encode(symbols, &mut bytes);
        assert_eq!(bits.div_ceil(8), bytes.len() as u64);
        let decoder = table.decoder();
        let mut decoded = Vec::new();
        decoder.decode(&bytes, symbols.len(), &mut decoded).unwrap();
        assert_eq!(decoded, symbols);
        // No end of the stream is a whole stream, and no byte more is either.
        for len in (0..bytes.len()).rev().take(40) {
            assert!(decoder.decode(&bytes[..len], symbols.len(), &mut Vec::new()).is_err());
        }
        bytes.extend([0; 4]);
        assert!(decoder.decode(&bytes, symbols.len(), &mut Vec::new()).is_err());
    }

    #[test]
    fn every_coder_reads_back_what_it_wrote() {
        for k in [1usize, 2, 3, 16, 17, 256, 1000, 65536] {
            let symbols: Vec<u16> =
                (0..10_001u64).map(|i| ((i * i * 31 + i / 7) % (k as u64) * (i % 5) / 4) as u16).collect();
            let mut counts = vec![0u64; k];
            symbols.iter().for_each(|s| counts[usize::from(*s)] += 1);
            for coder in Coder::ALL {
                let table = CodeTable::new(coder, &counts);
                for len in [0, 1, 2, 3, 100, 4095, 4096, 4097, 10_001] {
                    round_trip(&table, &symbols[..len]);
                }
                let mut bytes = Vec::new();
                let mut writer = BitWriter::new(&mut bytes);
                table.write(&mut writer);
                assert_eq!(writer.finish(), table.size_bits());
                assert_eq!(CodeTable::read(coder, k, &mut BitReader::new(&bytes)).unwrap(), table);
            }
        }
    }

    #[test]
    fn flipped_bits_never_panic_and_mostly_are_noticed() {
        let symbols: Vec<u16> = (0..500u16).map(|i| i % 13).collect();
        let counts = vec![40u64; 13];
        for coder in Coder::ALL {
            let table = CodeTable::new(coder, &counts);
            let mut bytes = Vec::new();
            table.encode(&symbols, &mut bytes);
            let decoder = table.decoder();
            for bit in 0..bytes.len() * 8 {
                let mut damaged = bytes.clone();
                damaged[bit / 8] ^= 1 << (bit % 8);
                let mut decoded = Vec::new();
                if decoder.decode(&damaged, symbols.len(), &mut decoded).is_ok() {
                    assert!(decoded.iter().all(|s| *s < 13));
                }
            }
        }
    }

    /// THEORY: Huffman means of zero-centred uniform quantizers, cells with p < 1e-9 dropped.
    #[test]
    fn huffman_means_of_uniform_quantizers_are_the_golden_ones() {
        let gaussian = |x: f64| 0.5 * libm::erfc(-x / std::f64::consts::SQRT_2);
        let laplace = |x: f64| {
            let scale = std::f64::consts::SQRT_2;
            if x < 0.0 { 0.5 * libm::exp(scale * x) } else { 1.0 - 0.5 * libm::exp(-scale * x) }
        };
        let check = |cdf: &dyn Fn(f64) -> f64, step: f64, entropy: f64, huffman: f64| {
            let p: Vec<f64> = (-200..=200)
                .map(|i| cdf((f64::from(i) + 0.5) * step) - cdf((f64::from(i) - 0.5) * step))
                .filter(|p| *p >= 1e-9)
                .collect();
            let h: f64 = -p.iter().map(|p| p * libm::log2(*p)).sum::<f64>();
            let counts: Vec<u64> = p.iter().map(|p| (p * 1e15) as u64).collect();
            let bits = Huffman::from_lengths(huffman::lengths(&counts)).unwrap().bits(&counts);
            let mean = bits as f64 / counts.iter().sum::<u64>() as f64;
            assert!((h - entropy).abs() < 2e-6, "entropy {h} for {entropy}");
            assert!((mean - huffman).abs() < 2e-6, "mean {mean} for {huffman}");
        };
        for (step, entropy, huffman) in
            [(0.5, 3.061_969, 3.117_472), (1.0, 2.104_833, 2.218_624), (2.0, 1.241_196, 1.481_366)]
        {
            check(&gaussian, step, entropy, huffman);
        }
        for (step, entropy, huffman) in
            [(0.5, 2.965_770, 3.029_213), (1.0, 2.014_207, 2.056_358), (2.0, 1.126_990, 1.395_220)]
        {
            check(&laplace, step, entropy, huffman);
        }
    }
}
