//! Sections of records: their number, then each behind its length.

use super::directory::Section;
use super::medium::read_section;
use super::wire::Cursor;
use super::{ContainerError, Limits};
use crate::formats::Source;

/// Records of a section, kept as bytes until one is asked for.
#[derive(Debug, Clone, Default)]
pub(super) struct Records {
    /// Where the section starts.
    offset: u64,
    bytes: Vec<u8>,
    /// Where each record ends, and where the first starts.
    ends: Vec<u32>,
}

impl Records {
    pub(super) fn read(
        source: &dyn Source,
        section: &Section,
        limits: &Limits,
    ) -> Result<Self, ContainerError> {
        let name = section.kind.name();
        let bytes = read_section(source, name, section, limits.table_bytes.min(u64::from(u32::MAX)))?;
        let mut cursor = Cursor::new(name, section.offset, &bytes);
        let count = cursor.varint()?;
        // A record takes two bytes at least: its length and some content.
        if count == 0 || count > bytes.len() as u64 / 2 {
            return Err(cursor.damaged(format!("1 to {} records", bytes.len() / 2), count));
        }
        let mut ends = Vec::new();
        for _ in 0..count {
            let len = cursor.varint()?;
            ends.push(cursor.position() as u32);
            cursor.take(len)?;
            ends.push(cursor.position() as u32);
        }
        cursor.finish()?;
        Ok(Self { offset: section.offset, bytes, ends })
    }

    pub(super) fn len(&self) -> u64 {
        self.ends.len() as u64 / 2
    }

    /// A record, and where it starts in the file.
    pub(super) fn get(&self, name: &str, index: usize) -> Result<(u64, &[u8]), ContainerError> {
        let ends = self.ends.as_chunks::<2>().0.get(index);
        ends.and_then(|[start, end]| {
            let bytes = self.bytes.get(*start as usize..*end as usize)?;
            Some((self.offset + u64::from(*start), bytes))
        })
        .ok_or_else(|| ContainerError::request(name, format!("an index below {}", self.len()), index))
    }
}
