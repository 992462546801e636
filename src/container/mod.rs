//! Our file, `.qsz`: blocks that decode on their own, and a directory at the end.
//!
//! ```text
//! head        magic, version                                       9 bytes
//! blocks      tensor by tensor, up to 2^20 elements each
//! codebooks   float32 levels
//! tables      codes of values and gaps
//! manifest    provenance, recipe, tensors, sizes, checksums        deflated
//! trailer     the manifest's sizes and checksum, end magic         16 bytes
//! ```
//!
//! `docs/format.md` is the contract, byte by byte. Every section has a CRC-32; the decoder computes with integers and stored
//! float bits only, so a file decodes to the same bytes everywhere.

mod block;
mod error;
mod ledger;
mod manifest;
mod reader;
mod tables;
mod wire;
mod writer;

pub use block::{EncodedBlock, encode_block};
pub use error::ContainerError;
pub use ledger::Ledger;
pub use manifest::{Codebook, Content, Entry, Manifest, Provenance};
pub use reader::{Reader, TensorDecoder, is_qsz};
pub use tables::Tables;
pub use writer::Writer;

/// Elements per block.
pub const BLOCK_WEIGHTS: u64 = 1 << 20;
/// First bytes of every file: not text, and damaged by transfers that change line ends.
pub const MAGIC: [u8; 8] = *b"\x89QSZ\r\n\x1a\n";
/// Version of the format that is written and read.
pub const VERSION: u8 = 1;

const HEAD_BYTES: u64 = MAGIC.len() as u64 + 1;
const TRAILER_BYTES: u64 = 16;
const TRAILER_MAGIC: [u8; 4] = *b"\r\nQZ";

/// What the reader refuses to go beyond, whatever a file declares.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Bytes of manifest, stored or inflated.
    pub manifest_bytes: u64,
    /// Bytes of codebooks, and of tables.
    pub codebook_bytes: u64,
    /// Number of tensors.
    pub tensors: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self { manifest_bytes: 64 << 20, codebook_bytes: 512 << 20, tensors: 100_000 }
    }
}
