//! The manifest: what the file holds, apart from the weights themselves.

use super::wire::{Parser, put_number, put_text};
use super::{BLOCK_WEIGHTS, ContainerError, Limits};
use crate::tensor::Dtype;
use std::collections::BTreeMap;

/// Reconstruction values of one group of weights.
#[derive(Debug, Clone, PartialEq)]
pub struct Codebook {
    /// The values, as exact float32.
    pub levels: Vec<f32>,
    /// Whether symbol 0 is an exact zero, so that level i has symbol i + 1.
    pub pruned: bool,
}

impl Codebook {
    /// Number of symbols.
    pub fn symbols(&self) -> usize {
        self.levels.len() + usize::from(self.pruned)
    }

    /// The value of a symbol; 0 for one outside the codebook.
    pub fn value(&self, symbol: u16) -> f32 {
        let level = usize::from(symbol).checked_sub(usize::from(self.pruned));
        level.and_then(|level| self.levels.get(level)).copied().unwrap_or(0.0)
    }
}

/// How a tensor's elements are stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// Their little-endian bytes.
    Kept,
    /// They are those of an earlier tensor.
    SameAs(usize),
    /// Symbols.
    Quantized {
        /// The first of its codebooks.
        codebook: usize,
        /// How many it has: 1, or one for each index of the leading dimension.
        codebooks: u64,
        /// Its code table.
        table: usize,
    },
}

/// One tensor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// Its dimensions, outermost first.
    pub shape: Vec<u64>,
    /// The type of its elements.
    pub dtype: Dtype,
    /// How they are stored.
    pub content: Content,
}

impl Entry {
    /// Number of elements.
    pub fn len(&self) -> u64 {
        self.shape.iter().product()
    }

    /// Whether there is no element.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of blocks.
    pub fn blocks(&self) -> u64 {
        if matches!(self.content, Content::SameAs(_)) { 0 } else { self.len().div_ceil(BLOCK_WEIGHTS) }
    }
}

/// Where the weights came from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Provenance {
    /// Name of the source file.
    pub name: String,
    /// Its size.
    pub bytes: u64,
    /// Content hash of its tensors.
    pub hash: u128,
    /// The recipe, in its one-line form.
    pub recipe: String,
}

/// Everything but blocks, codebooks and tables.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Manifest {
    /// Where the weights came from.
    pub provenance: Provenance,
    /// Free-text metadata of the source file.
    pub metadata: BTreeMap<String, String>,
    /// The tensors, in order.
    pub tensors: Vec<Entry>,
    /// Float parameters of the model, tied weights once.
    pub parameters: u64,
    /// Bits of the values in all blocks.
    pub value_bits: u64,
    /// Bits of the positions in all blocks.
    pub position_bits: u64,
}

/// A stored run of bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Section {
    pub len: u64,
    pub checksum: u32,
}

/// The manifest with the sections it speaks of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Directory {
    pub manifest: Manifest,
    pub codebooks: Section,
    pub tables: Section,
    /// The blocks of all tensors, in order.
    pub blocks: Vec<Section>,
}

fn put_section(bytes: &mut Vec<u8>, section: Section) {
    put_number(bytes, section.len);
    bytes.extend(section.checksum.to_le_bytes());
}

fn section(parser: &mut Parser, what: &str) -> Result<Section, ContainerError> {
    let len = parser.number(what)?;
    let bytes = parser.take(4, "a checksum")?;
    let checksum = bytes.first_chunk().map_or(0, |four| u32::from_le_bytes(*four));
    Ok(Section { len, checksum })
}

impl Directory {
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let Manifest { provenance, metadata, tensors, parameters, value_bits, position_bits } =
            &self.manifest;
        put_text(&mut bytes, &provenance.name);
        put_number(&mut bytes, provenance.bytes);
        bytes.extend(provenance.hash.to_le_bytes());
        put_text(&mut bytes, &provenance.recipe);
        for number in [*parameters, *value_bits, *position_bits, metadata.len() as u64] {
            put_number(&mut bytes, number);
        }
        for (key, value) in metadata {
            put_text(&mut bytes, key);
            put_text(&mut bytes, value);
        }
        put_section(&mut bytes, self.codebooks);
        put_section(&mut bytes, self.tables);
        put_number(&mut bytes, tensors.len() as u64);
        let mut blocks = self.blocks.iter();
        for tensor in tensors {
            put_entry(&mut bytes, tensor);
            for section in blocks.by_ref().take(tensor.blocks() as usize) {
                put_section(&mut bytes, *section);
            }
        }
        bytes
    }

    pub fn from_bytes(bytes: &[u8], limits: &Limits) -> Result<Self, ContainerError> {
        let mut parser = Parser::new("manifest", bytes);
        let name = parser.text("the source file's name")?;
        let source_bytes = parser.number("the source file's size")?;
        let hash = parser.take(16, "the source's hash")?;
        let hash = hash.first_chunk().map_or(0, |bytes| u128::from_le_bytes(*bytes));
        let recipe = parser.text("the recipe")?;
        let provenance = Provenance { name, bytes: source_bytes, hash, recipe };
        let parameters = parser.number("the number of parameters")?;
        let value_bits = parser.number("the bits of values")?;
        let position_bits = parser.number("the bits of positions")?;
        let mut metadata = BTreeMap::new();
        for _ in 0..parser.count("metadata", 2)? {
            metadata.insert(parser.text("a metadata key")?, parser.text("a metadata value")?);
        }
        let codebooks = section(&mut parser, "the codebooks' size")?;
        let tables = section(&mut parser, "the code tables' size")?;
        let count = parser.count("tensors", 4)?;
        if count as u64 > limits.tensors {
            return Err(parser.wrong(format!("at most {} tensors", limits.tensors), count.to_string()));
        }
        let mut tensors = Vec::new();
        let mut blocks = Vec::new();
        for index in 0..count {
            let entry = entry(&mut parser, index, &tensors)?;
            for _ in 0..entry.blocks() {
                blocks.push(section(&mut parser, "a block's size")?);
            }
            tensors.push(entry);
        }
        parser.end()?;
        let manifest = Manifest { provenance, metadata, tensors, parameters, value_bits, position_bits };
        Ok(Self { manifest, codebooks, tables, blocks })
    }
}

fn put_entry(bytes: &mut Vec<u8>, entry: &Entry) {
    put_text(bytes, &entry.name);
    let dtype = Dtype::ALL.iter().position(|dtype| *dtype == entry.dtype).unwrap_or(0);
    bytes.push(dtype as u8);
    put_number(bytes, entry.shape.len() as u64);
    entry.shape.iter().for_each(|dim| put_number(bytes, *dim));
    match entry.content {
        Content::Kept => bytes.push(0),
        Content::SameAs(index) => {
            bytes.push(1);
            put_number(bytes, index as u64);
        }
        Content::Quantized { codebook, codebooks, table } => {
            bytes.push(2);
            put_number(bytes, codebook as u64);
            put_number(bytes, codebooks);
            put_number(bytes, table as u64);
        }
    }
}

fn entry(parser: &mut Parser, index: usize, before: &[Entry]) -> Result<Entry, ContainerError> {
    let name = parser.text("a tensor's name")?;
    let code = parser.byte("a tensor's type")?;
    let dtype = Dtype::ALL.get(usize::from(code)).copied();
    let dtype = dtype.ok_or_else(|| parser.wrong("the number of an element type", code.to_string()))?;
    let rank = parser.count("dimensions", 1)?;
    let mut shape = Vec::with_capacity(rank);
    for _ in 0..rank {
        shape.push(parser.number("a dimension")?);
    }
    let elements = shape.iter().try_fold(1u64, |product, dim| product.checked_mul(*dim));
    let fits =
        elements.and_then(|n| n.checked_mul(dtype.size_bytes())).is_some_and(|n| i64::try_from(n).is_ok());
    if !fits {
        return Err(parser
            .wrong(format!("tensor {name:?} to have fewer than 2^63 bytes"), format!("shape {shape:?}")));
    }
    let content = match parser.byte("how a tensor is stored")? {
        0 => Content::Kept,
        1 => {
            let origin = parser.number("a tied tensor")?;
            let same = usize::try_from(origin).ok().and_then(|i| Some((i, before.get(i)?)));
            let tied = same.filter(|(_, other)| {
                other.shape == shape && other.dtype == dtype && !matches!(other.content, Content::SameAs(_))
            });
            let Some((same, _)) = tied else {
                return Err(parser.wrong(
                    format!("tensor {name:?} to be tied to an earlier one like it"),
                    format!("number {origin} of {index}"),
                ));
            };
            Content::SameAs(same)
        }
        2 if dtype.is_float() => {
            let codebook = parser.number("a codebook")? as usize;
            let codebooks = parser.number("the number of codebooks")?;
            let table = parser.number("a code table")? as usize;
            if codebooks != 1 && shape.first() != Some(&codebooks) {
                return Err(parser.wrong("one codebook, or one per leading index", codebooks.to_string()));
            }
            Content::Quantized { codebook, codebooks, table }
        }
        other => {
            return Err(parser.wrong("a way to store this tensor (0, 1, or 2 for floats)", other.to_string()));
        }
    };
    Ok(Entry { name, shape, dtype, content })
}
