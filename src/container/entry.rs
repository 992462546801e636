//! A tensor of a container: its name, shape and type, how its elements are held, and how they are cut in blocks.

use super::places::{read_place, write_place};
use super::wire::{Cursor, index, number, numbered, put_string};
use super::{BLOCK_WEIGHTS, ContainerError, Limits};
use crate::entropy::Rows;
use crate::role::Role;
use crate::skeleton::View;
use crate::tensor::{Codec, Dtype};
use crate::varint;
use std::borrow::Cow;

/// The skeleton in messages.
const SKELETON: &str = "the bytes that are no tensor's";

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
                [_, kernel @ ..] if !kernel.is_empty() => (
                    elements(kernel).min(length as u64) as usize,
                    kernel.last().map_or(1, |side| *side as usize),
                ),
                _ => (1, 1),
            };
            Rows { length, start: start as usize, kernel, width }
        }
        _ => Rows::default(),
    }
}

/// A statement of a manifest that cannot hold.
#[derive(Debug)]
pub(super) struct Contradiction {
    pub(super) part: String,
    pub(super) expected: String,
    pub(super) found: String,
}

impl Entry {
    pub(super) fn check_coding(&self, coding: Coding, available: Available) -> Result<(), Contradiction> {
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
    pub(super) fn write(&self, out: &mut Vec<u8>) {
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

    pub(super) fn read(cursor: &mut Cursor<'_>, limits: &Limits) -> Result<Self, ContainerError> {
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

/// Takes the number of a codec.
fn codec(cursor: &mut Cursor<'_>) -> Result<Codec, ContainerError> {
    let number = cursor.byte()?;
    Codec::from_number(number).ok_or_else(|| cursor.unsupported("a code of elements", &number.to_string()))
}

impl Entry {
    /// Whether its place, if it has one, takes exactly its elements, or its codes, which have no order of their own; the place of
    /// a view says where it lies, and it has no other.
    pub(super) fn fits_its_place(&self) -> bool {
        let Some(place) = &self.place else { return true };
        match self.content {
            Content::View(_) => false,
            Content::Codes(codec, _) => {
                let View { offset, big_endian, .. } = *place;
                let big_endian = big_endian && codec.unit().is_some();
                *place == View { offset, big_endian, ..View::default() }
            }
            _ => place.is_dense(&self.shape),
        }
    }

    /// The byte behind its place.
    pub(super) fn place_end(&self) -> Option<u64> {
        Some(self.place.as_ref()?.offset.wrapping_add(self.stored_bytes()))
    }
}

/// How many records there are for tensors to refer to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Available {
    pub(super) codebooks: u64,
    pub(super) code_tables: u64,
    pub(super) gap_tables: u64,
}
