//! Our file, `.qsz`: sections, checksums, writer, reader. `docs/format.md` is its contract.
//!
//! A container holds a model's tensors, quantized or kept as they were. Elements are cut in blocks of whole rows, up to
//! [`BLOCK_WEIGHTS`], that decode on their own, so neither end ever holds a model. [`Writer`] streams: blocks first, in
//! order; then the manifest, codebooks and code tables; then a directory with the length and CRC-32 of every section;
//! then a trailer that finds the directory. [`Reader`] goes the other way, and believes nothing it has not checked.
//!
//! Every bit of the file is accounted for in a [`Ledger`], from the directory alone, and the same at both ends.
//!
//! ```
//! use quantscope::code::Codebook;
//! use quantscope::container::{
//!     Coding, Content, Entry, Granularity, Limits, Manifest, Reader, Tables, Writer, encode_block,
//! };
//! use quantscope::entropy::{CodeTable, Coder, Rows};
//! use quantscope::role::Role;
//! use quantscope::tensor::Dtype;
//!
//! let table = CodeTable::new(Coder::Huffman, &[1, 2, 1])?;
//! let coding =
//!     Coding { granularity: Granularity::Tensor, first_codebook: 0, code_table: 0, gap_table: None };
//! let manifest = Manifest {
//!     tensors: vec![Entry {
//!         name: "weight".to_owned(),
//!         shape: vec![2, 2],
//!         dtype: Dtype::F32,
//!         role: Role::Weight,
//!         content: Content::Quantized(coding),
//!         place: None,
//!     }],
//!     ..Manifest::default()
//! };
//! let tables = Tables {
//!     codebooks: vec![Codebook::of_levels(vec![-0.5, 0.0, 0.5], false)?],
//!     code_tables: vec![table.clone()],
//!     gap_tables: vec![],
//! };
//! let mut writer = Writer::new(Vec::new(), manifest, tables)?;
//! writer.write_block(0, 0, &encode_block(&[1, 0, 1, 2], &table, None, Rows::default())?)?;
//! let (ledger, file) = writer.finish()?;
//! assert_eq!(ledger.value_bits, 6);
//! assert_eq!(ledger.total_bits(), 8 * file.len() as u64);
//!
//! let reader = Reader::open(&file, Limits::default())?;
//! let mut bytes = Vec::new();
//! reader.decode_block(&file, 0, 0, &mut bytes)?;
//! assert_eq!(bytes, [0.0f32, -0.5, 0.0, 0.5].map(f32::to_le_bytes).concat());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![deny(clippy::indexing_slicing)]

mod block;
mod decoder;
mod deflate;
mod directory;
mod entry;
mod error;
mod ledger;
mod manifest;
mod medium;
mod places;
mod reader;
mod records;
mod wire;
mod writer;

pub use block::{BlockEncoding, EncodedBlock, encode_block, encode_block_by};
pub use decoder::TensorDecoder;
pub use entry::{Coding, Content, Entry, Granularity, block_weights, codes_shape, row_len, rows_of};
pub use error::{ContainerError, ContainerErrorKind};
pub use ledger::{Ledger, TensorBits};
pub use manifest::Manifest;
pub use reader::Reader;
pub use writer::{Tables, Writer};

/// First bytes of a container. The high bit, the line ends and the end-of-file mark show transfers that change bytes.
pub const MAGIC: [u8; 8] = *b"\x89QSZ\r\n\x1a\n";

/// The version of the format that is written, and the only one that is read.
pub const VERSION: u8 = 2;

/// Most elements of a tensor per block; see [`block_weights`].
pub const BLOCK_WEIGHTS: usize = 1 << 20;

/// What the reader refuses to go beyond, whatever a file declares.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the directory; it takes some 7 per block.
    pub directory_bytes: u64,
    /// Bytes of the manifest, inflated.
    pub manifest_bytes: u64,
    /// Bytes of all codebooks, and of all tables of one kind.
    pub table_bytes: u64,
    /// Number of tensors.
    pub tensors: u64,
    /// Dimensions of one tensor.
    pub rank: u64,
    /// Number of metadata entries.
    pub metadata: u64,
    /// Number of files.
    pub files: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            directory_bytes: 64 << 20,
            manifest_bytes: 512 << 20,
            table_bytes: 256 << 20,
            tensors: 4_000_000,
            rank: 64,
            metadata: 65_536,
            files: 65_536,
        }
    }
}
