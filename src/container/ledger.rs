//! The ledger: what every part of a file costs.

use super::manifest::Directory;
use super::{Content, HEAD_BYTES, TRAILER_BYTES};

/// Bits of a file by what they are for; the sum is the file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ledger {
    /// Coded values of quantized weights.
    pub values: u64,
    /// Coded positions of non-zeros.
    pub positions: u64,
    /// Reconstruction values.
    pub codebooks: u64,
    /// Code tables of values and gaps.
    pub tables: u64,
    /// Tensors stored as they are.
    pub kept: u64,
    /// Names, shapes, recipe, sizes, checksums.
    pub manifest: u64,
    /// Head and trailer, sizes inside blocks, padding to whole bytes.
    pub framing: u64,
}

impl Ledger {
    pub(super) fn new(directory: &Directory, manifest_bytes: u64, file_bytes: u64) -> Self {
        let mut sections = directory.blocks.iter();
        let (mut kept, mut coded) = (0, 0);
        for tensor in &directory.manifest.tensors {
            let bytes: u64 =
                sections.by_ref().take(tensor.blocks() as usize).map(|section| section.len).sum();
            if matches!(tensor.content, Content::Quantized { .. }) { coded += bytes } else { kept += bytes }
        }
        let values = directory.manifest.value_bits.min(coded * 8);
        let positions = directory.manifest.position_bits.min(coded * 8 - values);
        let ledger = Self {
            values,
            positions,
            codebooks: directory.codebooks.len * 8,
            tables: directory.tables.len * 8,
            kept: kept * 8,
            manifest: manifest_bytes * 8,
            framing: (HEAD_BYTES + TRAILER_BYTES) * 8 + coded * 8 - values - positions,
        };
        debug_assert_eq!(ledger.total(), file_bytes * 8);
        ledger
    }

    /// The rows with their names, in order.
    pub fn rows(&self) -> [(&'static str, u64); 7] {
        [
            ("values", self.values),
            ("positions", self.positions),
            ("codebooks", self.codebooks),
            ("code tables", self.tables),
            ("kept tensors", self.kept),
            ("manifest", self.manifest),
            ("framing and padding", self.framing),
        ]
    }

    /// Bits of the whole file.
    pub fn total(&self) -> u64 {
        self.rows().iter().map(|(_, bits)| bits).sum()
    }
}
