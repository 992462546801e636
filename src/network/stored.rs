//! How a compressed file stores the tensors that a network reads: bits of a weight, and what decodes it.

use super::NetworkError;
use crate::code::Codebook;
use crate::container::{Content, Entry, Reader, TensorBits};
use crate::cost::{Decode, Stored, Workload};
use crate::engine::EngineError;
use crate::entropy::Coder;
use crate::formats::matching_name;
use std::collections::BTreeMap;

/// How the tensors of a workload are stored, by the workload's names: bits of a weight with its share of codebooks and tables.
/// Tensors that the file does not have are left out.
pub fn stored(reader: &Reader, workload: &Workload) -> Result<BTreeMap<String, Stored>, NetworkError> {
    let ledger = reader.ledger();
    let tensors = &reader.manifest().tensors;
    let quantized = tensors.iter().filter(|entry| matches!(entry.content, Content::Quantized(_)));
    let quantized: u64 = quantized.map(Entry::len).sum();
    let shared = (ledger.codebook_bits + ledger.table_bits) as f64 / quantized.max(1) as f64;
    let mut found: Vec<(&str, Stored)> = Vec::new();
    for (index, entry) in tensors.iter().enumerate() {
        let own =
            ledger.tensors.get(index).map_or(0, TensorBits::total_bits) as f64 / entry.len().max(1) as f64;
        let kept = Stored { bits: entry.dtype.size_bytes() as f64 * 8.0, decode: Decode::None };
        let stored = match &entry.content {
            Content::Quantized(coding) => {
                let decode = if coding.gap_table.is_some() {
                    Decode::Entropy
                } else {
                    decode(reader, coding.code_table, coding.first_codebook)?
                };
                Stored { bits: own + shared, decode }
            }
            Content::SameAs(of) => found.get(*of).map_or(kept, |(_, stored)| *stored),
            Content::Kept | Content::Codes(..) | Content::View(_) => {
                Stored { bits: if own > 0.0 { own } else { kept.bits }, ..kept }
            }
        };
        found.push((&entry.name, stored));
    }
    let by_name: BTreeMap<&str, Stored> =
        found.into_iter().map(|(name, stored)| (matching_name(name), stored)).collect();
    let reads = workload.layers.iter().flat_map(|layer| &layer.weights);
    let named =
        reads.filter_map(|read| Some((read.tensor.clone(), *by_name.get(matching_name(&read.tensor))?)));
    Ok(named.collect())
}

/// What decodes the symbols of a table.
fn decode(reader: &Reader, table: usize, codebook: usize) -> Result<Decode, NetworkError> {
    Ok(match reader.code_table(table).map_err(EngineError::from)?.coder() {
        Coder::Context => Decode::Context,
        Coder::Huffman | Coder::Rans => Decode::Entropy,
        Coder::Fixed => match reader.codebook(codebook).map_err(EngineError::from)? {
            Codebook::Levels { .. } => Decode::Codebook,
            _ => Decode::None,
        },
    })
}
