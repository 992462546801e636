//! The manifest: where the model came from, what was done to it, and its tensors in order.

use super::wire::{Cursor, put_string};
use super::{BLOCK_WEIGHTS, ContainerError, Limits};
use super::places::{read_checksums, read_place, write_checksums, write_place};
use crate::anatomy::Checksum;
use crate::entropy::Rows;
use crate::model::FileFormat;
use crate::role::Role;
use crate::skeleton::{Segment, View, segments};
use crate::tensor::{Codec, Dtype, Span};
use crate::varint;
use std::borrow::Cow;
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

/// The skeleton in messages.
const SKELETON: &str = "the bytes that are no tensor's";

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
    /// The files that are given back, with their lengths, the one to be opened first; none where the container holds weights
    /// alone.
    pub files: Vec<(String, u64)>,
    /// Checksums in those files of bytes that may be other than before; in order, their spans disjoint.
    pub checksums: Vec<Checksum>,
    /// The tensors, in order, with unique names.
    pub tensors: Vec<Entry>,
    /// What holds the bytes of the files that no tensor and no checksum has; empty where there is no file.
    pub skeleton: Entry,
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
            files: Vec::new(),
            checksums: Vec::new(),
            tensors: Vec::new(),
            skeleton: Entry::skeleton(0),
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
    /// Where its elements, or codes, go in the files that are given back.
    pub place: Option<View>,
}

/// How the elements of a tensor are held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// As they were, little-endian, row-major.
    Kept,
    /// As the codes that stood for them, so many bytes.
    Codes(Codec, u64),
    /// In the skeleton, at this place of the files that are given back.
    View(View),
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
    /// A skeleton of so many bytes, as a tensor of bytes.
    pub fn skeleton(len: u64) -> Self {
        Self {
            name: SKELETON.to_owned(),
            shape: vec![len],
            dtype: Dtype::U8,
            role: Role::Other,
            content: Content::Kept,
            place: None,
        }
    }

    /// The shape of what its blocks hold: of its elements, or of the bytes of its codes.
    pub fn stored_shape(&self) -> Cow<'_, [u64]> {
        match self.content {
            Content::Codes(codec, len) => Cow::Owned(codes_shape(codec, len)),
            _ => Cow::Borrowed(&self.shape),
        }
    }

    /// The type of what its blocks hold.
    pub const fn stored_dtype(&self) -> Dtype {
        match self.content {
            Content::Codes(..) => Dtype::U8,
            _ => self.dtype,
        }
    }

    /// Number of bytes of what its blocks hold, or of its elements where they are elsewhere.
    pub fn stored_bytes(&self) -> u64 {
        match self.content {
            Content::Codes(_, len) => len,
            _ => self.len().saturating_mul(self.dtype.size_bytes()),
        }
    }

    /// Number of elements.
    pub fn len(&self) -> u64 {
        elements(&self.shape)
    }

    /// Whether there is no element.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number of blocks that its elements or codes are cut in: none where others hold them, and for none.
    pub fn blocks(&self) -> u64 {
        if matches!(self.content, Content::SameAs(_) | Content::View(_)) {
            return 0;
        }
        let shape = self.stored_shape();
        elements(&shape).div_ceil(block_weights(&shape))
    }

    /// Number of elements, or bytes of codes, in a block.
    pub fn block_len(&self, block: u64) -> usize {
        let shape = self.stored_shape();
        let whole = block_weights(&shape);
        elements(&shape).saturating_sub(block.saturating_mul(whole)).min(whole) as usize
    }

    /// Where a block's elements lie among the tensor's rows: a row is all that shares an index of the leading axis.
    pub fn rows(&self, block: u64) -> Rows {
        rows_of(&self.stored_shape(), block)
    }

    /// Number of codebooks that the elements use.
    pub fn codebooks(&self) -> u64 {
        match &self.content {
            Content::Quantized(coding) => match coding.granularity {
                Granularity::Tensor => 1,
                Granularity::Channel => self.shape.first().copied().unwrap_or(1),
            },
            _ => 0,
        }
    }

    /// The tensor in messages.
    pub(super) fn part(&self) -> String {
        if self.name == SKELETON { SKELETON.to_owned() } else { format!("tensor {:?}", self.name) }
    }
}

/// Number of elements of a tensor of this shape.
fn elements(shape: &[u64]) -> u64 {
    shape.iter().fold(1, |product, dim| product.saturating_mul(*dim))
}

/// The shape of so many bytes of codes: a row for each unit, where all are as long.
pub fn codes_shape(codec: Codec, len: u64) -> Vec<u64> {
    match codec.unit() {
        Some(unit) if unit.bytes > 1 && len.is_multiple_of(unit.bytes) => vec![len / unit.bytes, unit.bytes],
        _ => vec![len],
    }
}

/// Elements of a row of a tensor of this shape, which is all that shares an index of the leading axis, an output
/// channel's weights; 0 where there are no rows, below rank 2.
pub fn row_len(shape: &[u64]) -> u64 {
    match shape {
        [_, inner @ ..] if !inner.is_empty() => elements(inner),
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
            match &entry.content {
                Content::Kept => {}
                Content::Codes(codec, len) => {
                    if let Some(expected) = codec.misfit(entry.len(), *len) {
                        return refused(expected, format!("{len} bytes"));
                    }
                }
                Content::View(_) if self.files.is_empty() => {
                    return refused("a file that it is a view of".to_owned(), "none".to_owned());
                }
                Content::View(_) => {}
                Content::SameAs(of) => self.check_same(index, *of)?,
                Content::Quantized(coding) => entry.check_coding(*coding, available)?,
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
            && matches!(other.content, Content::Kept | Content::Quantized(_));
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

    /// Appends the tensor without its place; docs/format.md, "Manifest".
    fn write(&self, out: &mut Vec<u8>) {
        put_string(&self.name, out);
        out.push(number(&DTYPES, &self.dtype));
        varint::put(self.shape.len() as u64, out);
        for dim in &self.shape {
            varint::put(*dim, out);
        }
        out.push(number(&Role::ALL, &self.role));
        match &self.content {
            Content::Kept => out.push(0),
            Content::SameAs(of) => {
                out.push(1);
                varint::put(*of as u64, out);
            }
            Content::Codes(codec, len) => {
                out.extend([3, codec.number()]);
                varint::put(*len, out);
            }
            Content::View(view) => {
                out.push(4);
                write_place(Some(view), 0, out);
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
        let shape: Vec<u64> = (0..rank).map(|_| cursor.varint()).collect::<Result<_, _>>()?;
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
            3 => Content::Codes(codec(cursor)?, cursor.varint()?),
            4 => match read_place(cursor, &shape, 0)? {
                Some(view) => Content::View(view),
                None => return Err(cursor.damaged("a view", "none")),
            },
            content => return Err(cursor.unsupported("tensor content 0 to 4", &content.to_string())),
        };
        Ok(Self { name, shape, dtype, role, content, place: None })
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

/// Takes the number of a codec.
fn codec(cursor: &mut Cursor<'_>) -> Result<Codec, ContainerError> {
    let number = cursor.byte()?;
    Codec::from_number(number).ok_or_else(|| cursor.unsupported("a code of elements", &number.to_string()))
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
        varint::put(self.files.len() as u64, &mut out);
        for (name, len) in &self.files {
            put_string(name, &mut out);
            varint::put(*len, &mut out);
        }
        varint::put(self.tensors.len() as u64, &mut out);
        let mut end = 0;
        for entry in &self.tensors {
            entry.write(&mut out);
            if !self.files.is_empty() {
                write_place(entry.place.as_ref(), end, &mut out);
                end = entry.place_end().unwrap_or(end);
            }
        }
        if !self.files.is_empty() {
            write_checksums(&self.checksums, &mut out);
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
        let files = read_files(&mut cursor, limits)?;
        let count = cursor.varint()?;
        cursor.limited("the number of tensors", count, limits.tensors)?;
        let (mut tensors, mut end) = (Vec::new(), 0);
        for _ in 0..count {
            let mut entry = Entry::read(&mut cursor, limits)?;
            if !files.is_empty() {
                entry.place = read_place(&mut cursor, &entry.shape, end)?;
                end = entry.place_end().unwrap_or(end);
            }
            tensors.push(entry);
        }
        let checksums =
            if files.is_empty() { Vec::new() } else { read_checksums(&mut cursor, limits.tensors)? };
        cursor.finish()?;
        let mut manifest = Self {
            source_name,
            source_format,
            source_bytes,
            content_hash,
            recipe,
            metadata,
            files,
            checksums,
            tensors,
            skeleton: Entry::skeleton(0),
        };
        if !manifest.files.is_empty() {
            let (_, len) = manifest.segments().ok_or_else(|| {
                cursor.damaged("places of tensors beside each other in the files", "others")
            })?;
            manifest.skeleton = Entry::skeleton(len);
        }
        Ok(manifest)
    }

    /// Bytes of the files that are given back.
    pub fn file_bytes(&self) -> u64 {
        self.files.iter().map(|(_, len)| *len).fold(0, u64::saturating_add)
    }

    /// What the bytes of those files are, in order, and how many of them are in the skeleton; `None` where that makes no
    /// file.
    pub fn segments(&self) -> Option<(Vec<Segment>, u64)> {
        let place = |(index, entry): (usize, &Entry)| {
            Some((index, Span { offset: entry.place.as_ref()?.offset, len: entry.stored_bytes() }))
        };
        let places = self.tensors.iter().enumerate().filter_map(place);
        segments(self.file_bytes(), places, &self.checksums)
    }

    /// What has blocks: the tensors, and the skeleton behind them.
    pub fn holders(&self) -> impl Iterator<Item = &Entry> {
        self.tensors.iter().chain([&self.skeleton])
    }

    /// A tensor, or the skeleton at the index behind them.
    pub(super) fn holder(&self, index: usize) -> Option<&Entry> {
        self.tensors.get(index).or_else(|| (index == self.tensors.len()).then_some(&self.skeleton))
    }
}

impl Entry {
    /// The byte behind its place.
    fn place_end(&self) -> Option<u64> {
        Some(self.place.as_ref()?.offset.wrapping_add(self.stored_bytes()))
    }
}

fn read_files(cursor: &mut Cursor<'_>, limits: &Limits) -> Result<Vec<(String, u64)>, ContainerError> {
    let count = cursor.varint()?;
    cursor.limited("the number of files", count, limits.files)?;
    let mut files: Vec<(String, u64)> = Vec::new();
    let mut total = 0u64;
    for index in 0..count {
        let (name, len) = (cursor.string()?, cursor.varint()?);
        // The first one's name is chosen by whoever decodes it.
        if index > 0 && (!is_inside(name) || files.iter().any(|(other, _)| other == name)) {
            return Err(cursor.damaged("another file's name inside the first one's folder", format!("{name:?}")));
        }
        let sum = total.checked_add(len).filter(|sum| *sum < 1 << 63);
        total = sum.ok_or_else(|| cursor.damaged("files of fewer than 2^63 bytes", len))?;
        files.push((name.to_owned(), len));
    }
    Ok(files)
}

/// Whether a file of this name is inside the folder that it is looked for in, on every system.
fn is_inside(name: &str) -> bool {
    let is_plain = |part: &str| !part.is_empty() && part != "." && part != "..";
    !name.contains(['\\', ':', '\0']) && name.split('/').all(is_plain)
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
