//! The directory: kind, length and CRC-32 of every section, in file order; docs/format.md, "Directory".
//!
//! Offsets are sums of lengths, so sections cannot overlap or leave gaps.

use super::block::BlockEncoding;
use super::wire::Cursor;
use super::{ContainerError, MAGIC};
use crate::checksum::crc32;
use crate::varint;

/// Bytes before the first section: magic and version.
pub(super) const HEADER_BYTES: u64 = MAGIC.len() as u64 + 1;

/// Last bytes of a container.
pub(super) const END_MAGIC: [u8; 4] = *b"QSZ\x04";

/// Length and CRC-32 of the directory, and the end mark.
pub(super) const TRAILER_BYTES: u64 = 12;

/// What a section holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Block(BlockEncoding),
    Manifest,
    DeflatedManifest,
    Codebooks,
    CodeTables,
    GapTables,
}

impl Kind {
    /// The section in messages; blocks are named by their tensor instead.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Block(_) => "block",
            Self::Manifest | Self::DeflatedManifest => "manifest",
            Self::Codebooks => "codebooks",
            Self::CodeTables => "code tables",
            Self::GapTables => "gap tables",
        }
    }
}

/// One section.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Section {
    pub(super) kind: Kind,
    pub(super) offset: u64,
    pub(super) len: u64,
    pub(super) crc: u32,
}

impl Section {
    /// Appends the section's record.
    fn write(&self, out: &mut Vec<u8>) {
        let (tag, first) = match self.kind {
            Kind::Block(BlockEncoding::Symbols { padding }) => (padding << 3, None),
            Kind::Block(BlockEncoding::Gaps { position_bytes, position_padding, value_padding }) => {
                (0x40 | value_padding << 3 | position_padding, Some(u64::from(position_bytes)))
            }
            Kind::Block(BlockEncoding::Scaled { scale_bytes, padding }) => {
                (0x88 | padding, Some(u64::from(scale_bytes)))
            }
            Kind::Block(BlockEncoding::Stored) => (0x80, None),
            Kind::Block(BlockEncoding::Deflated) => (0x81, None),
            Kind::Block(BlockEncoding::Planes) => (0x82, None),
            Kind::Manifest => (0xc0, None),
            Kind::DeflatedManifest => (0xc1, None),
            Kind::Codebooks => (0xc2, None),
            Kind::CodeTables => (0xc3, None),
            Kind::GapTables => (0xc4, None),
        };
        out.push(tag);
        if let Some(first) = first {
            varint::put(first, out);
        }
        varint::put(self.len - first.unwrap_or(0), out);
        out.extend_from_slice(&self.crc.to_le_bytes());
    }

    /// Reads a record of a section that starts at `offset`.
    fn read(cursor: &mut Cursor<'_>, offset: u64) -> Result<Self, ContainerError> {
        let tag = cursor.byte()?;
        let (low, high) = (tag & 7, tag >> 3 & 7);
        let mut first = 0;
        let kind = match tag {
            0x00..=0x3f if low == 0 => Kind::Block(BlockEncoding::Symbols { padding: high }),
            0x40..=0x7f => {
                let position_bytes = first_part(cursor, &mut first)?;
                Kind::Block(BlockEncoding::Gaps {
                    position_bytes,
                    position_padding: low,
                    value_padding: high,
                })
            }
            0x88..=0x8f => {
                let scale_bytes = first_part(cursor, &mut first)?;
                Kind::Block(BlockEncoding::Scaled { scale_bytes, padding: low })
            }
            0x80 => Kind::Block(BlockEncoding::Stored),
            0x81 => Kind::Block(BlockEncoding::Deflated),
            0x82 => Kind::Block(BlockEncoding::Planes),
            0xc0 => Kind::Manifest,
            0xc1 => Kind::DeflatedManifest,
            0xc2 => Kind::Codebooks,
            0xc3 => Kind::CodeTables,
            0xc4 => Kind::GapTables,
            _ => return Err(cursor.unsupported("a known kind of section", &format!("{tag:#04x}"))),
        };
        let declared = cursor.varint()?;
        let len = first
            .checked_add(declared)
            .filter(|len| offset.checked_add(*len).is_some())
            .ok_or_else(|| cursor.damaged("a section within 2^64 bytes", declared))?;
        let crc = u32::from_le_bytes(cursor.array()?);
        Ok(Self { kind, offset, len, crc })
    }
}

/// Takes the length of a section's first part.
fn first_part(cursor: &mut Cursor<'_>, len: &mut u64) -> Result<u32, ContainerError> {
    *len = cursor.varint()?;
    u32::try_from(*len).map_err(|_| cursor.damaged("fewer than 2^32 bytes of a section's first part", *len))
}

/// Serialises the records of all sections.
pub(super) fn write(sections: &[Section]) -> Vec<u8> {
    let mut out = Vec::new();
    for section in sections {
        section.write(&mut out);
    }
    out
}

/// Reads a directory that lies at byte `start`, where the sections must end.
pub(super) fn read(bytes: &[u8], start: u64) -> Result<Vec<Section>, ContainerError> {
    let mut cursor = Cursor::new("directory", start, bytes);
    let mut sections = Vec::new();
    let mut offset = HEADER_BYTES;
    while !cursor.is_at_end() {
        let section = Section::read(&mut cursor, offset)?;
        offset += section.len;
        sections.push(section);
    }
    if offset != start {
        return Err(cursor.damaged(format!("sections that end at byte {start}"), offset));
    }
    Ok(sections)
}

/// The trailer of a directory.
pub(super) fn trailer(directory: &[u8]) -> [u8; TRAILER_BYTES as usize] {
    let mut out = [0; TRAILER_BYTES as usize];
    let parts = [(directory.len() as u32).to_le_bytes(), crc32(directory).to_le_bytes(), END_MAGIC];
    for (slot, byte) in out.iter_mut().zip(parts.as_flattened()) {
        *slot = *byte;
    }
    out
}
