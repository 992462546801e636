//! The directory of a zip archive: where each entry's bytes are.
//!
//! Definition: PKWARE APPNOTE 6.3.10, sections 4.3 and 4.5.3 (zip64). Everything is taken from the central directory;
//! a local header is read only to find where its entry's bytes begin, and must carry the same name. Stored and deflated
//! entries are located; encrypted ones and other methods are named and refused when they are asked for.
//! Two entries may not share bytes, which is how small archives are made to inflate without end.

mod anatomy;

pub(super) use anatomy::anatomy;

use crate::formats::cursor::Cursor;
use crate::formats::error::shown;
use crate::formats::inflate::check_ratio;
use crate::formats::layout::check_unique;
use crate::formats::source::read_part;
use crate::formats::{FormatError, Limits, Source};
use crate::order;
use crate::tensor::{Span, Storage};
use anatomy::Number;

const LOCAL_HEADER: &[u8] = b"PK\x03\x04";
const DIRECTORY_ENTRY: &[u8] = b"PK\x01\x02";
const DIRECTORY_END: &[u8] = b"PK\x05\x06";
const ZIP64_END: &[u8] = b"PK\x06\x06";
const ZIP64_LOCATOR: &[u8] = b"PK\x06\x07";

const LOCAL_HEADER_BYTES: u64 = 30;
const DIRECTORY_ENTRY_BYTES: u64 = 46;
const DIRECTORY_END_BYTES: u64 = 22;
const ZIP64_END_BYTES: u64 = 56;
const ZIP64_LOCATOR_BYTES: u64 = 20;
const LONGEST_COMMENT: u64 = 0xffff;

/// Whether a file that starts with `head` is a zip archive.
pub(in crate::formats) fn is_zip(head: &[u8]) -> bool {
    head.starts_with(LOCAL_HEADER) || head.starts_with(DIRECTORY_END)
}

/// One file of an archive.
#[derive(Debug)]
pub(in crate::formats) struct Entry {
    pub(in crate::formats) name: String,
    flags: u16,
    method: u16,
    pub(in crate::formats) compressed: u64,
    uncompressed: u64,
    pub(in crate::formats) header_offset: u64,
    pub(in crate::formats) checksum: u32,
    /// Where its checksum, its method, its compressed size and the offset of its header stand in the directory.
    pub(in crate::formats) checksum_at: u64,
    pub(in crate::formats) method_at: u64,
    pub(in crate::formats) compressed_at: Number,
    pub(in crate::formats) header_at: Number,
}

/// The files of an archive, in the order of its directory.
#[derive(Debug)]
pub(in crate::formats) struct Archive {
    entries: Vec<Entry>,
    /// Indices of `entries`, by name.
    by_name: Vec<usize>,
    /// The numbers behind the directory that say where it and what is behind it lie, with where that is.
    pub(in crate::formats) targets: Vec<(Number, u64)>,
    /// What to add to the archive's own offsets.
    pub(in crate::formats) base: u64,
}

impl Archive {
    /// Reads the central directory of `source`.
    pub(in crate::formats) fn open(source: &dyn Source, limits: &Limits) -> Result<Self, FormatError> {
        let directory = find_directory(source)?;
        let most = limits.tensors.saturating_mul(2).saturating_add(1024);
        if directory.entries > most {
            return Err(FormatError::too_large("the zip directory, in entries,", directory.entries, most));
        }
        let span = directory.span;
        let bytes = read_part(source, "the zip directory", span.offset, span.len, limits.header_bytes)?;
        let mut cursor = Cursor::new("the zip directory", &bytes, span.offset);
        let mut entries = Vec::new();
        for _ in 0..directory.entries {
            entries.push(read_entry(&mut cursor, directory.base)?);
        }
        entries.retain(|entry| !entry.name.ends_with('/'));
        check_unique("the zip directory", entries.iter().map(|entry| entry.name.as_str()))?;
        check_disjoint(&entries, span.offset)?;
        let names: Vec<&str> = entries.iter().map(|entry| entry.name.as_str()).collect();
        let by_name = order::by_name(&names);
        Ok(Self { entries, by_name, targets: directory.targets, base: directory.base })
    }

    /// The files, without directories.
    pub(in crate::formats) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The file called `name`.
    pub(in crate::formats) fn find(&self, name: &str) -> Option<&Entry> {
        let entry = |index: usize| self.entries.get(index);
        let at =
            self.by_name.binary_search_by(|i| entry(*i).map_or("", |e| e.name.as_str()).cmp(name)).ok()?;
        entry(*self.by_name.get(at)?)
    }
}

impl Entry {
    /// Whether its sizes and checksum stand behind its data, too.
    pub(in crate::formats) const fn has_descriptor(&self) -> bool {
        self.flags & 8 != 0
    }

    /// Where the entry's bytes are, after a look at its local header.
    pub(in crate::formats) fn storage(&self, source: &dyn Source) -> Result<Storage, FormatError> {
        let part = format!("zip entry {}", shown(&self.name));
        if self.flags & 1 != 0 {
            return Err(FormatError::unsupported(part, "it is encrypted"));
        }
        let header = read_part(source, &part, self.header_offset, LOCAL_HEADER_BYTES, LOCAL_HEADER_BYTES)?;
        let mut cursor = Cursor::new(&part, &header, self.header_offset);
        if cursor.take(4)? != LOCAL_HEADER {
            let part = format!("{part} at byte {}", self.header_offset);
            return Err(FormatError::damaged(part, "a local header", "other bytes"));
        }
        cursor.take(22)?;
        let (name_len, extra_len) = (u64::from(cursor.u16()?), u64::from(cursor.u16()?));
        let name_offset = self.header_offset + LOCAL_HEADER_BYTES;
        let name = read_part(source, &part, name_offset, name_len, name_len)?;
        if String::from_utf8_lossy(&name) != self.name {
            let found = format!("{} in its local header", shown(&String::from_utf8_lossy(&name)));
            return Err(FormatError::damaged(part, "one name for the entry", found));
        }
        let span = Span { offset: name_offset + name_len + extra_len, len: self.compressed };
        let found = source.len().saturating_sub(span.offset);
        if span.len > found {
            return Err(FormatError::truncated(part, span.offset, span.len, found));
        }
        match self.method {
            0 if self.compressed == self.uncompressed => Ok(Storage::Stored(span)),
            0 => Err(FormatError::damaged(
                part,
                "equal sizes, as the entry is stored",
                format!("{} and {} bytes", self.compressed, self.uncompressed),
            )),
            8 => {
                check_ratio(&part, span.len, self.uncompressed)?;
                Ok(Storage::Deflated { span, inflated_len: self.uncompressed })
            }
            method => {
                Err(FormatError::unsupported(part, format!("compression method {}", method_text(method))))
            }
        }
    }
}

fn method_text(method: u16) -> String {
    let name = match method {
        1 => "shrink",
        2..=5 => "reduce",
        6 => "implode",
        9 => "deflate64",
        12 => "bzip2",
        14 => "LZMA",
        93 => "Zstandard",
        95 => "xz",
        98 => "PPMd",
        99 => "AES encryption",
        _ => return method.to_string(),
    };
    format!("{method} ({name})")
}

/// Where the central directory is.
struct Directory {
    span: Span,
    entries: u64,
    /// What to add to the archive's own offsets: the length of anything in front of it.
    base: u64,
    targets: Vec<(Number, u64)>,
}

fn find_directory(source: &dyn Source) -> Result<Directory, FormatError> {
    let tail_len = source.len().min(DIRECTORY_END_BYTES + LONGEST_COMMENT);
    let tail_offset = source.len() - tail_len;
    let tail = read_part(source, "the zip archive's end", tail_offset, tail_len, u64::MAX)?;
    let at = (0..tail.len().saturating_sub(DIRECTORY_END_BYTES as usize - 1))
        .rev()
        .find(|at| tail.get(*at..).is_some_and(|rest| rest.starts_with(DIRECTORY_END)))
        .ok_or_else(|| {
            FormatError::damaged(
                "the zip archive",
                "a directory at its end",
                "none, as when a download was cut short",
            )
        })?;
    let end_offset = tail_offset + at as u64;
    let mut cursor =
        Cursor::new("the zip archive's end", tail.get(at + 4..).unwrap_or_default(), end_offset + 4);
    let (disk, first_disk) = (cursor.u16()?, cursor.u16()?);
    let (_, entries) = (cursor.u16()?, cursor.u16()?);
    let (len, offset) = (cursor.u32()?, cursor.u32()?);
    let offset_at = Number { at: end_offset + 16, bytes: 4 };
    if let Some(mut directory) = find_zip64_directory(source, end_offset)? {
        // Both records may say where the directory lies.
        if offset != u32::MAX {
            directory.targets.push((offset_at, directory.span.offset));
        }
        return Ok(directory);
    }
    if disk != 0 || first_disk != 0 {
        return Err(FormatError::unsupported("the zip archive", "it is split over several files"));
    }
    let mut directory = directory_before(end_offset, u64::from(len), u64::from(offset), u64::from(entries))?;
    directory.targets.push((offset_at, directory.span.offset));
    Ok(directory)
}

fn find_zip64_directory(source: &dyn Source, end_offset: u64) -> Result<Option<Directory>, FormatError> {
    let Some(locator_offset) = end_offset.checked_sub(ZIP64_LOCATOR_BYTES) else { return Ok(None) };
    let part = "the zip64 locator";
    let locator = read_part(source, part, locator_offset, ZIP64_LOCATOR_BYTES, ZIP64_LOCATOR_BYTES)?;
    let mut cursor = Cursor::new(part, &locator, locator_offset);
    if cursor.take(4)? != ZIP64_LOCATOR {
        return Ok(None);
    }
    cursor.take(4)?;
    let declared = cursor.u64()?;
    // With something in front of the archive the record lies later than declared: right before its locator.
    let candidates = [Some(declared), locator_offset.checked_sub(ZIP64_END_BYTES)];
    for offset in candidates.into_iter().flatten() {
        let part = "the zip64 archive's end";
        let Ok(record) = read_part(source, part, offset, ZIP64_END_BYTES, ZIP64_END_BYTES) else { continue };
        let mut cursor = Cursor::new(part, &record, offset);
        if cursor.take(4)? == ZIP64_END {
            cursor.take(28)?;
            let (entries, len, start) = (cursor.u64()?, cursor.u64()?, cursor.u64()?);
            let mut directory = directory_before(offset, len, start, entries)?;
            let directory_at = Number { at: offset + 48, bytes: 8 };
            let record_at = Number { at: locator_offset + 8, bytes: 8 };
            directory.targets.extend([(directory_at, directory.span.offset), (record_at, offset)]);
            return Ok(Some(directory));
        }
    }
    let part = format!("the zip64 locator at byte {locator_offset}");
    Err(FormatError::damaged(part, format!("an end record at byte {declared}"), "none there"))
}

/// The directory of `len` bytes that ends at `end` and calls its own offset `offset`.
fn directory_before(end: u64, len: u64, offset: u64, entries: u64) -> Result<Directory, FormatError> {
    let start = end.checked_sub(len);
    let base = start.and_then(|start| start.checked_sub(offset));
    let (Some(start), Some(base)) = (start, base) else {
        return Err(FormatError::damaged(
            "the zip archive's end",
            format!("a directory inside the {end} bytes before it"),
            format!("{len} bytes from byte {offset}"),
        ));
    };
    if entries > len / DIRECTORY_ENTRY_BYTES {
        let expected = format!("at least {DIRECTORY_ENTRY_BYTES} bytes for each of {entries} entries");
        return Err(FormatError::damaged("the zip directory", expected, format!("{len} bytes")));
    }
    Ok(Directory { span: Span { offset: start, len }, entries, base, targets: Vec::new() })
}

fn read_entry(cursor: &mut Cursor<'_>, base: u64) -> Result<Entry, FormatError> {
    let start = cursor.position();
    if cursor.take(4)? != DIRECTORY_ENTRY {
        return Err(FormatError::damaged("the zip directory", "an entry", "other bytes"));
    }
    cursor.take(4)?;
    let (flags, method) = (cursor.u16()?, cursor.u16()?);
    cursor.take(4)?;
    let checksum = cursor.u32()?;
    let (compressed, uncompressed) = (cursor.u32()?, cursor.u32()?);
    let (name_len, extra_len, comment_len) = (cursor.u16()?, cursor.u16()?, cursor.u16()?);
    cursor.take(8)?;
    let header_offset = cursor.u32()?;
    let name = String::from_utf8_lossy(cursor.take(usize::from(name_len))?).into_owned();
    let extra_at = cursor.position();
    let extra = cursor.take(usize::from(extra_len))?;
    cursor.take(usize::from(comment_len))?;
    let mut sizes = [u64::from(uncompressed), u64::from(compressed), u64::from(header_offset)];
    let narrow = |at| Number { at: start + at, bytes: 4 };
    let mut at = [narrow(24), narrow(20), narrow(42)];
    read_zip64_sizes(extra, extra_at, &mut sizes, &mut at)?;
    let [uncompressed, compressed, header_offset] = sizes;
    let [_, compressed_at, header_at] = at;
    let header_offset = header_offset.checked_add(base).ok_or_else(|| {
        FormatError::damaged("the zip directory", "an addressable entry", format!("byte {header_offset}"))
    })?;
    Ok(Entry {
        name,
        flags,
        method,
        compressed,
        uncompressed,
        header_offset,
        checksum,
        checksum_at: start + 16,
        method_at: start + 10,
        compressed_at,
        header_at,
    })
}

/// Replaces those of `sizes` that are 2^32 - 1 by the 64-bit ones of the extra field 1, which has only those, and where they
/// stand; the extra fields begin at byte `start`.
fn read_zip64_sizes(
    extra: &[u8],
    start: u64,
    sizes: &mut [u64; 3],
    places: &mut [Number; 3],
) -> Result<(), FormatError> {
    let mut cursor = Cursor::new("the extra fields of a zip entry", extra, start);
    while cursor.left() >= 4 {
        let (id, len) = (cursor.u16()?, usize::from(cursor.u16()?));
        if id != 1 {
            // Some writers pad with fields that do not fit; nothing after them is needed.
            if len > cursor.left() {
                return Ok(());
            }
            cursor.take(len)?;
            continue;
        }
        let field_at = cursor.position();
        let mut field = Cursor::new("the zip64 field of a zip entry", cursor.take(len)?, field_at);
        for (size, place) in sizes.iter_mut().zip(places.iter_mut()) {
            if *size == u64::from(u32::MAX) {
                *place = Number { at: field.position(), bytes: 8 };
                *size = field.u64()?;
            }
        }
    }
    Ok(())
}

fn check_disjoint(entries: &[Entry], directory_offset: u64) -> Result<(), FormatError> {
    let entries: Vec<&Entry> = entries.iter().collect();
    let order = crate::order::sorted_by_key(&entries, |entry| entry.header_offset);
    let limits = order.iter().skip(1).map(|next| next.header_offset).chain([directory_offset]);
    for (entry, limit) in order.iter().zip(limits) {
        let end = entry.header_offset.saturating_add(LOCAL_HEADER_BYTES).saturating_add(entry.compressed);
        if end > limit {
            return Err(FormatError::damaged(
                format!("zip entry {} at byte {}", shown(&entry.name), entry.header_offset),
                format!("its {} bytes to end by byte {limit}, where the next part starts", entry.compressed),
                format!("an end at byte {end} or later"),
            ));
        }
    }
    Ok(())
}
