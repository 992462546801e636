//! The manifest: where the model came from, what was done to it, and its tensors in order.

use super::wire::{Cursor, put_string};
use super::{BLOCK_WEIGHTS, ContainerError, Limits};
use crate::entropy::Rows;
use crate::model::FileFormat;
use crate::role::Role;
use crate::tensor::Dtype;
use crate::varint;
use std::collections::{BTreeMap, BTreeSet};

/// Element types by their number in the file.
const DTYPES: [Dtype; 18] = [
    Dtype::F64,
    Dtype::F32,
    Dtype::F16,
    Dtype::Bf16,
    Dtype::F8E4M3,
    Dtype::F8E5M2,
    Dtype::I64,
    Dtype::I32,
    Dtype::I16,
    Dtype::I8,
    Dtype::U64,
    Dtype::U32,
    Dtype::U16,
    Dtype::U8,
    Dtype::Bool,
    Dtype::C64,
    Dtype::C128,
    Dtype::F8E8M0,
];

/// Kinds of source file by their number in the file.
const FORMATS: [FileFormat; 7] = [
    FileFormat::Safetensors,
    FileFormat::Npy,
    FileFormat::Npz,
    FileFormat::TorchZip,
    FileFormat::TorchLegacy,
    FileFormat::Qsz,
    FileFormat::Onnx,
];

/// What a container says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// Name of the file that was compressed.
    pub source_name: String,
    /// Kind of that file.
    pub source_format: FileFormat,
    /// Length of that file.
    pub source_bytes: u64,
    /// Hash of the content of that file's tensors; the container carries it and does not interpret it.
    pub content_hash: u128,
    /// The recipe, as text.
    pub recipe: String,
    /// Free text by key.
    pub metadata: BTreeMap<String, String>,
    /// The tensors, in order, with unique names.
    pub tensors: Vec<Entry>,
}

impl Default for Manifest {
    fn default() -> Self {
        Self {
            source_name: String::new(),
            source_format: FileFormat::Safetensors,
            source_bytes: 0,
            content_hash: 0,
            recipe: String::new(),
            metadata: BTreeMap::new(),
            tensors: Vec::new(),
        }
    }
}

/// One tensor of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its name.
    pub name: String,
    /// Dimensions, outermost first; empty for a scalar.
    pub shape: Vec<u64>,
    /// Type of its elements.
    pub dtype: Dtype,
    /// What its numbers do.
    pub role: Role,
    /// How the elements are held.
    pub content: Content,
}

/// How the elements of a tensor are held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Content {
    /// As they were, little-endian, row-major.
    Kept,
    /// They equal those of an earlier tensor that is kept or quantized, of the same type and number.
    SameAs(usize),
    /// As symbols of a codebook.
    Quantized(Coding),
}

/// Which elements of a tensor share a codebook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Granularity {
    /// All of them.
    Tensor,
    /// Those of an index of the leading axis; the codebooks lie one after the other.
    Channel,
}

impl Granularity {
    /// Each by its number in the file.
    const ALL: [Self; 2] = [Self::Tensor, Self::Channel];
}

/// Which codebooks and tables a quantized tensor uses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Coding {
    /// The codebook, or that of the first channel.
    pub first_codebook: usize,
    /// Which elements share a codebook.
    pub granularity: Granularity,
    /// The code table of the symbols; with a gap table, of the symbols less 1 of non-zeros.
    pub code_table: usize,
    /// The gap table, if positions of non-zeros are coded as gaps; every codebook is pruned then.
    pub gap_table: Option<usize>,
}

impl Entry {
    /// Number of elements.
    pub fn len(&self) -> u64 {
        self.shape.iter().fold(1, |product, dim| product.saturating_mul(*dim))
    }

    /// Whether there is no element.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of blocks that the elements are cut in: none for [`Content::SameAs`] and for no elements.
    pub fn blocks(&self) -> u64 {
        if matches!(self.content, Content::SameAs(_)) {
            0
        } else {
            self.len().div_ceil(block_weights(&self.shape))
        }
    }

    /// Number of elements in a block.
    pub fn block_len(&self, block: u64) -> usize {
        let whole = block_weights(&self.shape);
        self.len().saturating_sub(block.saturating_mul(whole)).min(whole) as usize
    }

    /// Where a block's elements lie among the tensor's rows: a row is all that shares an index of the leading axis.
    pub fn rows(&self, block: u64) -> Rows {
        rows_of(&self.shape, block)
    }

    /// Number of codebooks that the elements use.
    pub fn codebooks(&self) -> u64 {
        match self.content {
            Content::Quantized(coding) => match coding.granularity {
                Granularity::Tensor => 1,
                Granularity::Channel => self.shape.first().copied().unwrap_or(1),
            },
            Content::Kept | Content::SameAs(_) => 0,
        }
    }

    /// The tensor in messages.
    pub(super) fn part(&self) -> String {
        format!("tensor {:?}", self.name)
    }
}

/// Elements of a row of a tensor of this shape, which is all that shares an index of the leading axis, an output
/// channel's weights; 0 where there are no rows, below rank 2.
pub fn row_len(shape: &[u64]) -> u64 {
    match shape {
        [_, inner @ ..] if !inner.is_empty() => {
            inner.iter().fold(1, |product, dim| product.saturating_mul(*dim))
        }
        _ => 0,
    }
}

/// Elements of every block but the last of a tensor of this shape: as many whole rows as [`BLOCK_WEIGHTS`] hold, or so
/// many elements where a row is longer or there are none.
pub fn block_weights(shape: &[u64]) -> u64 {
    const MOST: u64 = BLOCK_WEIGHTS as u64;
    match row_len(shape) {
        row @ 1..=MOST => MOST - MOST % row,
        _ => MOST,
    }
}

/// Where block `block` of a tensor of this shape lies among its rows; no rows below rank 2.
pub fn rows_of(shape: &[u64], block: u64) -> Rows {
    let [_, inner @ ..] = shape else { return Rows::default() };
    match usize::try_from(row_len(shape)) {
        Ok(length) if length > 0 => {
            let start = block.saturating_mul(block_weights(shape)) % length as u64;
            let (kernel, width) = match inner {
                [_, kernel @ ..] if !kernel.is_empty() => {
                    let elements = kernel.iter().fold(1u64, |product, side| product.saturating_mul(*side));
                    (elements.min(length as u64) as usize, kernel.last().map_or(1, |side| *side as usize))
                }
                _ => (1, 1),
            };
            Rows { length, start: start as usize, kernel, width }
        }
        _ => Rows::default(),
    }
}

/// How many records there are for the manifest to refer to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Available {
    pub(super) codebooks: u64,
    pub(super) code_tables: u64,
    pub(super) gap_tables: u64,
}

/// A statement of a manifest that cannot hold.
#[derive(Debug)]
pub(super) struct Contradiction {
    pub(super) part: String,
    pub(super) expected: String,
    pub(super) found: String,
}

impl Manifest {
    /// Checks what a writer or a file says against the rules, and against what there is to refer to.
    pub(super) fn check(&self, available: Available) -> Result<(), Contradiction> {
        let mut names = BTreeSet::new();
        for (index, entry) in self.tensors.iter().enumerate() {
            let refused =
                |expected: String, found: String| Err(Contradiction { part: entry.part(), expected, found });
            if !names.insert(entry.name.as_str()) {
                return refused("a unique name".to_owned(), "one that an earlier tensor has".to_owned());
            }
            // A zero among the dimensions must not hide a product that does not fit.
            let mut dims = entry.shape.iter().map(|dim| (*dim).max(1));
            let bytes = dims.try_fold(entry.dtype.size_bytes(), u64::checked_mul);
            if bytes.is_none_or(|bytes| bytes >= 1 << 63) {
                return refused("fewer than 2^63 bytes".to_owned(), format!("shape {:?}", entry.shape));
            }
            match entry.content {
                Content::Kept => {}
                Content::SameAs(of) => self.check_same(index, of)?,
                Content::Quantized(coding) => entry.check_coding(coding, available)?,
            }
        }
        Ok(())
    }

    fn check_same(&self, index: usize, of: usize) -> Result<(), Contradiction> {
        let earlier = self.tensors.get(..index).unwrap_or_default();
        let (Some(entry), Some(other)) = (self.tensors.get(index), earlier.get(of)) else {
            let part = format!("tensor {index}");
            return Err(Contradiction {
                part,
                expected: "an earlier tensor to equal".to_owned(),
                found: format!("tensor {of}"),
            });
        };
        let same = other.dtype == entry.dtype
            && other.len() == entry.len()
            && !matches!(other.content, Content::SameAs(_));
        if same {
            return Ok(());
        }
        Err(Contradiction {
            part: entry.part(),
            expected: format!(
                "a kept or quantized tensor of {} {} to equal",
                entry.len(),
                entry.dtype.name()
            ),
            found: format!("{} of {} {}", other.part(), other.len(), other.dtype.name()),
        })
    }
}

impl Entry {
    fn check_coding(&self, coding: Coding, available: Available) -> Result<(), Contradiction> {
        let refused =
            |expected: String, found: String| Err(Contradiction { part: self.part(), expected, found });
        if !self.dtype.is_float() {
            return refused("a floating-point type to quantize".to_owned(), self.dtype.name().to_owned());
        }
        if coding.granularity == Granularity::Channel && self.shape.is_empty() {
            return refused("a leading axis for codebooks per channel".to_owned(), "a scalar".to_owned());
        }
        let codebooks_end = (coding.first_codebook as u64).checked_add(self.codebooks());
        let uses = [
            ("codebooks", codebooks_end, available.codebooks),
            ("code tables", (coding.code_table as u64).checked_add(1), available.code_tables),
            (
                "gap tables",
                coding.gap_table.map_or(Some(0), |table| (table as u64).checked_add(1)),
                available.gap_tables,
            ),
        ];
        for (what, end, count) in uses {
            if end.is_none_or(|end| end > count) {
                return refused(
                    format!("{what} below {count}"),
                    format!("one up to {}", end.unwrap_or(u64::MAX)),
                );
            }
        }
        Ok(())
    }

    /// Appends the tensor; docs/format.md, "Manifest".
    fn write(&self, out: &mut Vec<u8>) {
        put_string(&self.name, out);
        out.push(number(&DTYPES, &self.dtype));
        varint::put(self.shape.len() as u64, out);
        for dim in &self.shape {
            varint::put(*dim, out);
        }
        out.push(number(&Role::ALL, &self.role));
        match self.content {
            Content::Kept => out.push(0),
            Content::SameAs(of) => {
                out.push(1);
                varint::put(of as u64, out);
            }
            Content::Quantized(coding) => {
                out.push(2);
                out.push(number(&Granularity::ALL, &coding.granularity));
                varint::put(coding.first_codebook as u64, out);
                varint::put(coding.code_table as u64, out);
                varint::put(coding.gap_table.map_or(0, |table| table as u64 + 1), out);
            }
        }
    }

    fn read(cursor: &mut Cursor<'_>, limits: &Limits) -> Result<Self, ContainerError> {
        let name = cursor.string()?.to_owned();
        let dtype = numbered(cursor, &DTYPES, "an element type")?;
        let rank = cursor.varint()?;
        cursor.limited("the rank of a tensor", rank, limits.rank)?;
        let shape = (0..rank).map(|_| cursor.varint()).collect::<Result<_, _>>()?;
        let role = numbered(cursor, &Role::ALL, "a role")?;
        let content = match cursor.byte()? {
            0 => Content::Kept,
            1 => Content::SameAs(index(cursor)?),
            2 => Content::Quantized(Coding {
                granularity: numbered(cursor, &Granularity::ALL, "a granularity")?,
                first_codebook: index(cursor)?,
                code_table: index(cursor)?,
                gap_table: index(cursor)?.checked_sub(1),
            }),
            content => return Err(cursor.unsupported("tensor content 0, 1 or 2", &content.to_string())),
        };
        Ok(Self { name, shape, dtype, role, content })
    }
}

/// The number of `item` in the table of its kind; one that is refused where it is not there.
fn number<T: PartialEq>(table: &[T], item: &T) -> u8 {
    table.iter().position(|other| other == item).map_or(u8::MAX, |number| number as u8)
}

/// Takes the number of an item of `table`, `what` in messages.
fn numbered<T: Copy>(cursor: &mut Cursor<'_>, table: &[T], what: &str) -> Result<T, ContainerError> {
    let number = cursor.byte()?;
    let item = table.get(usize::from(number)).copied();
    item.ok_or_else(|| cursor.unsupported(&format!("{what} below {}", table.len()), &number.to_string()))
}

/// Takes an index.
fn index(cursor: &mut Cursor<'_>) -> Result<usize, ContainerError> {
    let value = cursor.varint()?;
    usize::try_from(value).map_err(|_| cursor.damaged("an index", value))
}

impl Manifest {
    /// Serialises the manifest; docs/format.md, "Manifest".
    pub(super) fn to_bytes(&self) -> Result<Vec<u8>, ContainerError> {
        let format = FORMATS.iter().position(|format| *format == self.source_format);
        let format = format.ok_or_else(|| {
            ContainerError::request(
                "manifest",
                "a source format known to containers",
                self.source_format.name(),
            )
        })?;
        let mut out = vec![format as u8];
        put_string(&self.source_name, &mut out);
        varint::put(self.source_bytes, &mut out);
        out.extend_from_slice(&self.content_hash.to_le_bytes());
        put_string(&self.recipe, &mut out);
        varint::put(self.metadata.len() as u64, &mut out);
        for (key, text) in &self.metadata {
            put_string(key, &mut out);
            put_string(text, &mut out);
        }
        varint::put(self.tensors.len() as u64, &mut out);
        for entry in &self.tensors {
            entry.write(&mut out);
        }
        Ok(out)
    }

    /// Reads a serialised manifest.
    pub(super) fn read(mut cursor: Cursor<'_>, limits: &Limits) -> Result<Self, ContainerError> {
        let source_format = numbered(&mut cursor, &FORMATS, "a source format")?;
        let source_name = cursor.string()?.to_owned();
        let source_bytes = cursor.varint()?;
        let content_hash = u128::from_le_bytes(cursor.array()?);
        let recipe = cursor.string()?.to_owned();
        let metadata = read_metadata(&mut cursor, limits)?;
        let count = cursor.varint()?;
        cursor.limited("the number of tensors", count, limits.tensors)?;
        let tensors = (0..count).map(|_| Entry::read(&mut cursor, limits)).collect::<Result<_, _>>()?;
        cursor.finish()?;
        Ok(Self { source_name, source_format, source_bytes, content_hash, recipe, metadata, tensors })
    }
}

fn read_metadata(
    cursor: &mut Cursor<'_>,
    limits: &Limits,
) -> Result<BTreeMap<String, String>, ContainerError> {
    let count = cursor.varint()?;
    cursor.limited("the number of metadata entries", count, limits.metadata)?;
    let mut metadata: BTreeMap<String, String> = BTreeMap::new();
    for _ in 0..count {
        let (key, text) = (cursor.string()?, cursor.string()?);
        if metadata.last_key_value().is_some_and(|(last, _)| last.as_str() >= key) {
            return Err(cursor.damaged("metadata keys in ascending order", format!("{key:?}")));
        }
        metadata.insert(key.to_owned(), text.to_owned());
    }
    Ok(metadata)
}
