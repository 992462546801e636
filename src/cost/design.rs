//! What carries a network out: formats, what is stored, where, and how much at a time.

use super::constants::Key;
use super::{Arithmetic, CostError};
use std::collections::BTreeMap;

/// Bits of a stored number at most.
const MOST_BITS: f64 = 128.0;
/// Inferences of a batch at most.
pub(super) const LARGEST_BATCH: u32 = 1 << 20;

/// What is done to a stored weight before it can be multiplied.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Decode {
    /// Nothing: its bits are the number.
    #[default]
    None,
    /// Its bits choose a value from a table.
    Codebook,
    /// Its symbol is read from a stream by a table, as of Huffman or rANS codes.
    Entropy,
    /// Its symbol is read from a stream, decision by decision, each with a probability that adapts.
    Context,
}

impl Decode {
    /// Every way.
    pub const ALL: [Self; 4] = [Self::None, Self::Codebook, Self::Entropy, Self::Context];

    /// Its name on the command line.
    pub const fn id(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Codebook => "codebook",
            Self::Entropy => "entropy",
            Self::Context => "context",
        }
    }

    /// The way of an id.
    pub fn from_id(id: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|way| way.id() == id)
    }

    /// The constants of its energy and of its speed.
    pub(super) const fn keys(self) -> Option<(Key, Key)> {
        match self {
            Self::None => None,
            Self::Codebook => Some((Key::LookUp, Key::LookUpsPerCycle)),
            Self::Entropy => Some((Key::EntropySymbol, Key::EntropySymbolsPerCycle)),
            Self::Context => Some((Key::ContextSymbol, Key::ContextSymbolsPerCycle)),
        }
    }

    /// Whether weights are a stream, in which no number has a place of its own that could be aligned.
    const fn is_stream(self) -> bool {
        matches!(self, Self::Entropy | Self::Context)
    }
}

/// A memory that numbers are read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Memory {
    /// On-chip memory of 8 KB.
    Sram8K,
    /// On-chip memory of 32 KB.
    Sram32K,
    /// On-chip memory of 1 MB.
    Sram1M,
    /// DDR memory beside the chip.
    Dram,
    /// Stacked memory in the chip's package.
    Hbm2,
}

impl Memory {
    /// Every memory.
    pub const ALL: [Self; 5] = [Self::Sram8K, Self::Sram32K, Self::Sram1M, Self::Dram, Self::Hbm2];

    /// Its name on the command line.
    pub const fn id(self) -> &'static str {
        match self {
            Self::Sram8K => "sram-8k",
            Self::Sram32K => "sram-32k",
            Self::Sram1M => "sram-1m",
            Self::Dram => "dram",
            Self::Hbm2 => "hbm2",
        }
    }

    /// The memory of an id.
    pub fn from_id(id: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|memory| memory.id() == id)
    }

    /// Whether it is on the chip.
    pub const fn is_on_chip(self) -> bool {
        matches!(self, Self::Sram8K | Self::Sram32K | Self::Sram1M)
    }

    /// The constants of an access of 64 bits and of its bandwidth.
    pub(super) const fn keys(self) -> (Key, Key) {
        match self {
            Self::Sram8K => (Key::Sram8K, Key::SramBandwidth),
            Self::Sram32K => (Key::Sram32K, Key::SramBandwidth),
            Self::Sram1M => (Key::Sram1M, Key::SramBandwidth),
            Self::Dram => (Key::Dram, Key::DramBandwidth),
            Self::Hbm2 => (Key::Hbm2, Key::Hbm2Bandwidth),
        }
    }
}

/// How weights lie in memory.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Stored {
    /// Bits of a weight, with its share of scales, tables and headers.
    pub bits: f64,
    /// What makes a number of them.
    pub decode: Decode,
}

/// What carries a network out.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Design {
    /// Its name.
    pub name: String,
    /// What weights are multiplied in.
    pub weights: Arithmetic,
    /// What activations are multiplied in, and stored as.
    pub activations: Arithmetic,
    /// What sums are kept in.
    pub accumulator: Arithmetic,
    /// How weights are stored.
    pub stored: Stored,
    /// Tensors that are stored otherwise, by name.
    pub tensors: BTreeMap<String, Stored>,
    /// Whether every number takes whole bytes; streams do not.
    pub padded: bool,
    /// Inferences for which weights are read once.
    pub batch: u32,
    /// Where weights are.
    pub weights_in: Memory,
    /// Where activations are, and the operands of units.
    pub activations_in: Memory,
}

impl Design {
    /// Weights and activations in one format, stored as they are; sums in the usual one.
    pub fn uniform(name: &str, format: Arithmetic) -> Self {
        Self {
            name: name.to_owned(),
            weights: format,
            activations: format,
            accumulator: format.usual_accumulator(),
            stored: Stored { bits: f64::from(format.bits()), decode: Decode::None },
            tensors: BTreeMap::new(),
            padded: false,
            batch: 1,
            weights_in: Memory::Dram,
            activations_in: Memory::Sram1M,
        }
    }

    /// Formats by name: of weights, of activations where they have their own, of sums where they are not the usual ones.
    pub fn named(
        weights: &str,
        activations: Option<&str>,
        accumulator: Option<&str>,
    ) -> Result<Self, CostError> {
        let format = Arithmetic::parse("format", weights)?;
        let other =
            activations.map_or(Ok(format), |name| Arithmetic::parse("format of activations", name))?;
        let usual = if matches!(format, Arithmetic::Float { .. }) { format } else { other };
        let accumulator =
            accumulator.map(|name| Ok((name, Arithmetic::parse("format of sums", name)?))).transpose()?;
        let mut name = weights.to_owned();
        name.extend(activations.into_iter().flat_map(|activations| ["×", activations]));
        name.extend(accumulator.into_iter().flat_map(|(sums, _)| [" in ", sums]));
        Ok(Self {
            name,
            activations: other,
            accumulator: accumulator.map_or(usual.usual_accumulator(), |(_, sums)| sums),
            ..Self::uniform("", format)
        })
    }

    /// IEEE single precision.
    pub fn fp32() -> Self {
        Self::uniform("fp32", Arithmetic::FP32)
    }

    /// What formats are compared with: IEEE single and half precision, and integers of 8 bits. Sums have 32 bits.
    pub fn baselines() -> [Self; 3] {
        let half = Self::uniform("fp16", Arithmetic::FP16);
        [Self::fp32(), half, Self::uniform("int8", Arithmetic::INT8)]
    }

    /// The same format in the same surroundings: batch and memories of `other`.
    #[must_use]
    pub fn beside(mut self, other: &Self) -> Self {
        (self.batch, self.padded) = (other.batch, other.padded);
        (self.weights_in, self.activations_in) = (other.weights_in, other.activations_in);
        self
    }

    /// Bits that a number of `bits` takes where it has a place of its own.
    pub(super) fn placed(&self, bits: f64) -> f64 {
        if self.padded { libm::ceil(bits / 8.0) * 8.0 } else { bits }
    }

    /// How the tensor of this name is stored, with the bits that it takes.
    pub(super) fn stored_as(&self, tensor: &str) -> Stored {
        let stored = self.tensors.get(tensor).copied().unwrap_or(self.stored);
        if stored.decode.is_stream() {
            return stored;
        }
        Stored { bits: self.placed(stored.bits), ..stored }
    }

    /// Refuses what cannot be reckoned with.
    pub fn check(&self) -> Result<(), CostError> {
        self.weights.check("weights")?;
        self.activations.check("activations")?;
        self.accumulator.check("accumulator")?;
        let named = self.tensors.iter().map(|(name, stored)| (crate::formats::shown(name), stored.bits));
        for (part, bits) in std::iter::once(("bits per weight".to_owned(), self.stored.bits)).chain(named) {
            if !(bits > 0.0 && bits <= MOST_BITS) {
                let expected = format!("more than 0 and at most {MOST_BITS} bits per weight");
                return Err(CostError::new(part, expected, bits.to_string()));
            }
        }
        if !(1..=LARGEST_BATCH).contains(&self.batch) {
            let expected = format!("1 to {LARGEST_BATCH} inferences");
            return Err(CostError::new("batch", expected, self.batch.to_string()));
        }
        Ok(())
    }
}
