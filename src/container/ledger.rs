//! The ledger: what every bit of a container is for.

use super::block::BlockEncoding;
use super::directory::{HEADER_BYTES, Kind, Section, TRAILER_BYTES};

/// What the bits of a tensor's blocks are for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct TensorBits {
    /// Codes of values.
    pub value_bits: u64,
    /// Positions of non-zeros.
    pub position_bits: u64,
    /// Scales of blocks of values.
    pub scale_bits: u64,
    /// Elements kept as they were.
    pub kept_bits: u64,
    /// Bits that fill bytes.
    pub padding_bits: u64,
}

impl TensorBits {
    /// The sum.
    pub const fn total_bits(&self) -> u64 {
        self.value_bits + self.position_bits + self.scale_bits + self.kept_bits + self.padding_bits
    }
}

/// What every bit of a container is for. The rows add up to 8 times the length of the file.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Ledger {
    /// Codes of values.
    pub value_bits: u64,
    /// Positions of non-zeros.
    pub position_bits: u64,
    /// Scales of blocks of values.
    pub scale_bits: u64,
    /// Codebooks.
    pub codebook_bits: u64,
    /// Code tables and gap tables.
    pub table_bits: u64,
    /// Elements of tensors kept as they were.
    pub kept_bits: u64,
    /// What the source file holds beside tensors: its skeleton.
    pub skeleton_bits: u64,
    /// The manifest: source, recipe, metadata, names, shapes.
    pub manifest_bits: u64,
    /// Header, directory with checksums, trailer.
    pub framing_bits: u64,
    /// Bits that fill bytes of blocks.
    pub padding_bits: u64,
    /// The blocks of each tensor, in the manifest's order.
    pub tensors: Vec<TensorBits>,
}

impl Ledger {
    /// The ledger of these sections and a directory of this length. `blocks` gives the number of blocks of each tensor; further
    /// blocks are the skeleton's.
    pub(super) fn new(sections: &[Section], directory_bytes: u64, blocks: impl Iterator<Item = u64>) -> Self {
        let inside: usize = sections.iter().filter_map(Section::own_bytes).map(<[u8]>::len).sum();
        let framing_bits = 8 * (HEADER_BYTES + directory_bytes - inside as u64 + TRAILER_BYTES);
        let mut ledger = Self { framing_bits, ..Self::default() };
        let mut rest = sections.iter();
        for count in blocks {
            let mut tensor = TensorBits::default();
            for section in rest.by_ref().take(usize::try_from(count).unwrap_or(usize::MAX)) {
                let Kind::Block(encoding) = section.kind else { continue };
                tensor.add(encoding, section.len);
            }
            ledger.add_tensor(tensor);
        }
        for section in rest {
            let row = match section.kind {
                Kind::Block(_) => &mut ledger.skeleton_bits,
                Kind::Manifest | Kind::DeflatedManifest => &mut ledger.manifest_bits,
                Kind::Codebooks => &mut ledger.codebook_bits,
                Kind::CodeTables | Kind::GapTables => &mut ledger.table_bits,
            };
            *row += 8 * section.len;
        }
        ledger
    }

    fn add_tensor(&mut self, tensor: TensorBits) {
        self.value_bits += tensor.value_bits;
        self.position_bits += tensor.position_bits;
        self.scale_bits += tensor.scale_bits;
        self.kept_bits += tensor.kept_bits;
        self.padding_bits += tensor.padding_bits;
        self.tensors.push(tensor);
    }

    /// The rows with their names, in the order of a report.
    pub const fn rows(&self) -> [(&'static str, u64); 10] {
        [
            ("values", self.value_bits),
            ("positions", self.position_bits),
            ("scales", self.scale_bits),
            ("codebooks", self.codebook_bits),
            ("code tables", self.table_bits),
            ("kept tensors", self.kept_bits),
            ("rest of the file", self.skeleton_bits),
            ("manifest", self.manifest_bits),
            ("framing", self.framing_bits),
            ("padding", self.padding_bits),
        ]
    }

    /// The sum of the rows: 8 times the length of the file.
    pub fn total_bits(&self) -> u64 {
        self.rows().iter().map(|(_, bits)| bits).sum()
    }
}

impl TensorBits {
    fn add(&mut self, encoding: BlockEncoding, bytes: u64) {
        let bits = encoding.bits(bytes);
        self.value_bits += bits.values;
        self.position_bits += bits.positions;
        self.scale_bits += bits.scales;
        self.kept_bits += bits.kept;
        self.padding_bits += bits.padding;
    }
}
