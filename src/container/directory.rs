//! The directory: kind, length and CRC-32 of every section, in file order; docs/format.md, "Directory".
//!
//! Offsets are sums of lengths, so sections cannot overlap or leave gaps. A section that is no longer than its checksum stands
//! in the directory instead, which has a checksum of its own.

use super::block::BlockEncoding;
use super::wire::Cursor;
use super::{ContainerError, MAGIC};
use crate::checksum::crc32;
use crate::varint;

/// Bytes before the first section: magic and version.
pub(super) const HEADER_BYTES: u64 = MAGIC.len() as u64 + 1;

/// Last bytes of a container.
pub(super) const END_MAGIC: [u8; 4] = *b"QSZ\x04";

/// Bytes of a section's CRC-32, and of the longest section that stands in its place.
const CHECK_BYTES: usize = 4;

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
    /// Its CRC-32, or its bytes where they are no more.
    check: [u8; CHECK_BYTES],
}

impl Section {
    /// The section of these bytes, which go to byte `offset` unless the directory has them.
    pub(super) fn new(kind: Kind, offset: u64, bytes: &[u8]) -> Self {
        let mut check = [0; CHECK_BYTES];
        match check.get_mut(..bytes.len()) {
            Some(own) => own.copy_from_slice(bytes),
            None => check = crc32(bytes).to_le_bytes(),
        }
        Self { kind, offset, len: bytes.len() as u64, check }
    }

    /// Its bytes, where the directory has them.
    pub(super) fn own_bytes(&self) -> Option<&[u8]> {
        self.check.get(..usize::try_from(self.len).ok()?)
    }

    /// Its CRC-32, where the directory does not have its bytes.
    pub(super) const fn crc(&self) -> u32 {
        u32::from_le_bytes(self.check)
    }

    /// Number of its bytes that lie in front of the directory.
    const fn bytes_before(&self) -> u64 {
        if self.len <= CHECK_BYTES as u64 { 0 } else { self.len }
    }

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
        out.extend_from_slice(self.own_bytes().unwrap_or(&self.check));
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
        let at = cursor.offset();
        let found = cursor.take(len.min(CHECK_BYTES as u64))?;
        let mut check = [0; CHECK_BYTES];
        check.iter_mut().zip(found).for_each(|(slot, byte)| *slot = *byte);
        let section = Self { kind, offset, len, check };
        Ok(if section.own_bytes().is_some() { Self { offset: at, ..section } } else { section })
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
        offset += section.bytes_before();
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_that_is_no_longer_than_a_checksum_stands_in_the_directory() {
        let bytes: Vec<u8> = (1..=9).collect();
        let mut sections = Vec::new();
        let mut offset = HEADER_BYTES;
        for len in [5, 4, 0, 1, 9] {
            let section = Section::new(Kind::Block(BlockEncoding::Stored), offset, &bytes[..len]);
            offset += section.bytes_before();
            sections.push(section);
        }
        assert_eq!(offset, HEADER_BYTES + 5 + 9);
        let directory = write(&sections);
        assert_eq!(directory.len(), 5 * 2 + (4 + 4 + 1 + 4));
        let found = read(&directory, offset).unwrap();
        let own: Vec<Option<&[u8]>> = found.iter().map(Section::own_bytes).collect();
        assert_eq!(own, [None, Some(&bytes[..4]), Some(&[]), Some(&bytes[..1]), None]);
        // The last one is behind the first.
        assert_eq!((found[0].offset, found[4].offset), (HEADER_BYTES, HEADER_BYTES + 5));
        assert_eq!(found[4].crc(), crc32(&bytes));
        // Behind a tag, a length and a checksum, a tag and a length.
        assert_eq!(found[1].offset, offset + 8);
        assert!(read(&directory[..directory.len() - 1], offset).is_err());
        assert!(read(&directory, offset + 1).is_err());
    }
}
