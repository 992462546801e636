//! Reads parts of a file, with their checksums.

use super::directory::Section;
use super::{ContainerError, ContainerErrorKind};
use crate::checksum::crc32;
use crate::entropy::CodeError;
use crate::formats::Source;

/// The error of a section that passes its checksum and does not decode.
#[cold]
pub(super) fn undecodable(part: &str, offset: u64, source: CodeError) -> ContainerError {
    ContainerErrorKind::Undecodable { part: part.to_owned(), offset, source }.into()
}

/// Reads `len` bytes of `part`, which the caller has limited.
pub(super) fn read_bytes(
    source: &dyn Source,
    part: &str,
    offset: u64,
    len: u64,
) -> Result<Vec<u8>, ContainerError> {
    let found = source.len().saturating_sub(offset);
    if len > found {
        return Err(ContainerError::damaged(
            part,
            offset,
            format!("{len} bytes"),
            format!("{found} before the end"),
        ));
    }
    let refused = || ContainerError::limit(part, offset, len, isize::MAX as u64);
    let size = usize::try_from(len).map_err(|_| refused())?;
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(size).map_err(|_| refused())?;
    bytes.resize(size, 0);
    source.read_at(offset, &mut bytes).map_err(|source| ContainerError::io(part, offset, source))?;
    Ok(bytes)
}

/// Reads a section and checks its CRC-32; the directory's own was checked where it has the bytes.
pub(super) fn read_section(
    source: &dyn Source,
    part: &str,
    section: &Section,
    limit: u64,
) -> Result<Vec<u8>, ContainerError> {
    if section.len > limit {
        return Err(ContainerError::limit(part, section.offset, section.len, limit));
    }
    if let Some(bytes) = section.own_bytes() {
        return Ok(bytes.to_vec());
    }
    let bytes = read_bytes(source, part, section.offset, section.len)?;
    check_crc(part, section.offset, &bytes, section.crc())?;
    Ok(bytes)
}

pub(super) fn check_crc(part: &str, offset: u64, bytes: &[u8], expected: u32) -> Result<(), ContainerError> {
    let found = crc32(bytes);
    if found == expected {
        return Ok(());
    }
    Err(ContainerError::damaged(part, offset, format!("checksum {expected:08x}"), format!("{found:08x}")))
}
