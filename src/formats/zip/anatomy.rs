//! What of a zip archive changes with the tensors in its entries: CRC-32s, and, where deflated entries are given back stored,
//! methods, sizes and offsets.
//!
//! Definition: PKWARE APPNOTE 6.3.10: local headers (4.3.7), data descriptors (4.3.9), the central directory (4.3.12 to 4.3.16)
//! and its zip64 fields (4.5.3).

use super::{Archive, Entry};
use crate::anatomy::{Anatomy, Checksum, Edit, Inflated};
use crate::formats::inflate::Inflater;
use crate::formats::source::{allocate, read_part};
use crate::formats::{FormatError, Limits, Source};
use crate::model::Model;
use crate::order;
use crate::tensor::{Span, Storage, Tensor};

/// A number of 32 or 64 bits in the archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::formats) struct Number {
    /// Where it stands.
    pub(in crate::formats) at: u64,
    /// Its bytes, 4 or 8.
    pub(in crate::formats) bytes: u64,
}

impl Number {
    /// The change of it to `value`; none where it has no room for that.
    fn edit(self, value: u64) -> Option<Edit> {
        let fits = self.bytes == 8 || value < u64::from(u32::MAX);
        let bytes = value.to_le_bytes().get(..self.bytes as usize)?.to_vec();
        fits.then_some(Edit { span: Span { offset: self.at, len: self.bytes }, bytes })
    }
}

/// Where an entry's numbers stand beside its data.
struct Around {
    /// Its CRC-32, ascending.
    checksums: Vec<u64>,
    /// Its compression method in its local header and in the directory.
    methods: [u64; 2],
    /// Its compressed size, wherever that stands.
    sizes: Vec<Number>,
}

impl Around {
    /// Makes a deflated entry a stored one of so many bytes; none where that has no room.
    fn store(&self, len: u64, edits: &mut Vec<Edit>) -> Option<()> {
        edits.extend(self.methods.map(|at| Edit { span: Span { offset: at, len: 2 }, bytes: vec![0, 0] }));
        self.sizes.iter().try_for_each(|size| {
            edits.push(size.edit(len)?);
            Some(())
        })
    }
}

/// An entry in which tensors lie.
struct Holder<'a> {
    entry: &'a Entry,
    storage: Storage,
    tensors: &'a [&'a Tensor],
}

/// What of an archive changes with the tensors in it.
///
/// Cost: a read of some bytes for each entry with a tensor, and inflating what lies before the last tensor of deflated ones.
pub(in crate::formats) fn anatomy(
    source: &dyn Source,
    archive: &Archive,
    model: &Model,
    limits: &Limits,
) -> Result<Anatomy, FormatError> {
    let all: Vec<&Tensor> = model.tensors.iter().filter(|tensor| !tensor.is_empty()).collect();
    let all = order::sorted_by_key(&all, |tensor| tensor.storage.span().offset);
    let entries: Vec<&Entry> = archive.entries().iter().collect();
    let mut anatomy = Anatomy::default();
    let (mut sizes, mut left, mut is_writable) = (Vec::new(), limits.header_bytes, true);
    for entry in order::sorted_by_key(&entries, |entry| entry.header_offset) {
        // The header lies before the data; a tensor behind it and before the data's end lies in the entry.
        let Ok(storage) = entry.storage(source) else { continue };
        let span = storage.span();
        let from = all.partition_point(|tensor| tensor.storage.span().offset < span.offset);
        let to = all.partition_point(|tensor| tensor.storage.span().offset < span.offset + span.len.max(1));
        let holder = Holder { entry, storage, tensors: all.get(from..to).unwrap_or_default() };
        if holder.tensors.is_empty() {
            continue;
        }
        let around = holder.around(source)?;
        if let Storage::Deflated { inflated_len, .. } = holder.storage {
            let gaps = holder.gaps(source, &mut left)?;
            anatomy.inflated.push(Inflated { span, len: inflated_len, gaps });
            sizes.push((span, inflated_len));
            is_writable &= around.store(inflated_len, &mut anatomy.edits).is_some();
        }
        anatomy.checksums.push(Checksum { of: span, at: around.checksums });
    }
    is_writable &= anatomy.inflated.is_empty() || archive.shift(&sizes, &mut anatomy.edits).is_some();
    if !is_writable {
        // An archive that would need longer numbers: nothing in it can be given back inflated.
        (anatomy.edits, anatomy.inflated) = (Vec::new(), Vec::new());
    }
    anatomy.edits = order::into_sorted_by_key(anatomy.edits, |edit| edit.span.offset);
    Ok(anatomy)
}

impl Archive {
    /// Moves the headers and the directory, as entries with these data become longer or shorter.
    fn shift(&self, sizes: &[(Span, u64)], edits: &mut Vec<Edit>) -> Option<()> {
        let moved = |at: u64| {
            let before = sizes.iter().take_while(|(span, _)| span.offset < at);
            before.fold(at, |at, (span, len)| at.wrapping_add(*len).wrapping_sub(span.len))
        };
        let numbers = self.entries().iter().map(|entry| (entry.header_at, entry.header_offset));
        for (number, target) in numbers.chain(self.targets.iter().copied()) {
            let new = moved(target);
            if new != target {
                edits.push(number.edit(new.checked_sub(self.base)?)?);
            }
        }
        Some(())
    }
}

impl Holder<'_> {
    fn around(&self, source: &dyn Source) -> Result<Around, FormatError> {
        let part = "a zip entry's header";
        let (entry, span) = (self.entry, self.storage.span());
        let start = entry.header_offset;
        let header = read_part(source, part, start, span.offset - start, 1 << 18)?;
        let number = |at: usize| {
            header.get(at..at + 4).and_then(|b| b.first_chunk()).map_or(0, |b| u32::from_le_bytes(*b))
        };
        let mut around = Around {
            checksums: vec![entry.checksum_at],
            methods: [start + 8, entry.method_at],
            sizes: vec![entry.compressed_at],
        };
        if number(14) == entry.checksum {
            around.checksums.insert(0, start + 14);
        }
        let wide = u64::from(number(18)) == u64::from(u32::MAX);
        if wide {
            around.sizes.extend(wide_size(&header, start, entry.compressed));
        } else if u64::from(number(18)) == entry.compressed {
            around.sizes.push(Number { at: start + 18, bytes: 4 });
        }
        if entry.has_descriptor() {
            self.descriptor(source, &mut around);
        }
        Ok(around)
    }

    /// What stands in the descriptor behind the data.
    fn descriptor(&self, source: &dyn Source, around: &mut Around) {
        let span = self.storage.span();
        let start = span.offset + span.len;
        let len = source.len().saturating_sub(start).min(24);
        let Ok(bytes) = read_part(source, "a zip entry's descriptor", start, len, 24) else { return };
        let signature = if bytes.starts_with(b"PK\x07\x08") { 4 } else { 0 };
        let Some((crc, rest)) = bytes.get(signature..).and_then(<[u8]>::split_first_chunk::<4>) else {
            return;
        };
        if u32::from_le_bytes(*crc) != self.entry.checksum {
            return;
        }
        let at = start + signature as u64;
        // In front of the directory's, which stands at the archive's end.
        around.checksums.insert(around.checksums.len() - 1, at);
        let wide = rest.first_chunk().map(|b| u64::from_le_bytes(*b)) == Some(self.entry.compressed);
        around.sizes.push(Number { at: at + 4, bytes: if wide { 8 } else { 4 } });
    }

    /// The inflated bytes that no tensor holds; at most `left` in all.
    fn gaps(&self, source: &dyn Source, left: &mut u64) -> Result<Vec<(u64, Vec<u8>)>, FormatError> {
        let Storage::Deflated { span, inflated_len } = self.storage else { return Ok(Vec::new()) };
        let part = "a deflated zip entry";
        let tensors = order::sorted_by_key(self.tensors, |tensor| tensor.offset);
        let mut inflater = Inflater::new(source, part.to_owned(), span, inflated_len);
        let (mut gaps, mut at) = (Vec::new(), 0u64);
        let ends = tensors.iter().map(|tensor| (tensor.offset, tensor.offset + tensor.size_bytes()));
        for (start, end) in ends.chain([(inflated_len, inflated_len)]) {
            if start > at {
                let len = start - at;
                *left = left.checked_sub(len).ok_or_else(|| {
                    FormatError::too_large("what deflated entries hold beside tensors", len, *left)
                })?;
                let mut bytes = allocate(part, len)?;
                inflater.read_at(at, &mut bytes)?;
                gaps.push((at, bytes));
            }
            at = at.max(end);
        }
        Ok(gaps)
    }
}

/// The compressed size in the zip64 field of a local header at byte `start`.
fn wide_size(header: &[u8], start: u64, compressed: u64) -> Option<Number> {
    let name = usize::from(u16::from_le_bytes(*header.get(26..28)?.first_chunk()?));
    let mut at = 30 + name;
    loop {
        let id = u16::from_le_bytes(*header.get(at..)?.first_chunk()?);
        let len = usize::from(u16::from_le_bytes(*header.get(at + 2..)?.first_chunk()?));
        if id == 1 {
            // Both sizes stand there, the uncompressed one first.
            let value = u64::from_le_bytes(*header.get(at + 12..)?.first_chunk()?);
            return (value == compressed).then_some(Number { at: start + at as u64 + 12, bytes: 8 });
        }
        at += 4 + len;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::open;

    /// A source of any length: zeros but for what is written in it.
    struct Sparse {
        len: u64,
        written: Vec<(u64, Vec<u8>)>,
    }

    impl Source for Sparse {
        fn len(&self) -> u64 {
            self.len
        }

        fn read_at(&self, offset: u64, buffer: &mut [u8]) -> std::io::Result<()> {
            for (slot, at) in buffer.iter_mut().zip(offset..) {
                let inside = |(from, bytes): &(u64, Vec<u8>)| {
                    bytes.get(usize::try_from(at.checked_sub(*from)?).ok()?).copied()
                };
                *slot = self.written.iter().find_map(inside).unwrap_or(0);
            }
            Ok(())
        }
    }

    fn le16(number: u16) -> Vec<u8> {
        number.to_le_bytes().to_vec()
    }

    fn le32(number: u64) -> Vec<u8> {
        (number as u32).to_le_bytes().to_vec()
    }

    fn le64(number: u64) -> Vec<u8> {
        number.to_le_bytes().to_vec()
    }

    /// The directory's record of a stored entry at 2^32 + `offset`, whose size does not fit 32 bits either.
    fn record(name: &str, len: u64, offset: u64) -> Vec<u8> {
        let extra = [le16(1), le16(24), le64(len), le64(len), le64(offset)].concat();
        let start = [b"PK\x01\x02\x2d\0\x2d\0".to_vec(), vec![0; 8], le32(77), vec![0xff; 8]].concat();
        let lens = [le16(name.len() as u16), le16(extra.len() as u16), vec![0; 10], vec![0xff; 4]].concat();
        [start, lens, name.as_bytes().to_vec(), extra].concat()
    }

    fn local(name: &str, len: u64) -> Vec<u8> {
        let extra = [le16(1), le16(16), le64(len), le64(len)].concat();
        let start = [b"PK\x03\x04\x2d\0".to_vec(), vec![0; 8], le32(77), vec![0xff; 8]].concat();
        [start, le16(name.len() as u16), le16(extra.len() as u16), name.as_bytes().to_vec(), extra].concat()
    }

    fn array(count: u64) -> Vec<u8> {
        let header = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({count},), }}");
        let header = format!("{header:<117}\n");
        [b"\x93NUMPY\x01\0".to_vec(), le16(118), header.into_bytes()].concat()
    }

    #[test]
    fn checksums_of_archives_beyond_four_gigabytes_are_where_they_stand() {
        let count = 1u64 << 31;
        let len = 128 + 4 * count;
        let data = 30 + 5 + 20;
        let second = data + len;
        let directory_at = second + data + 132;
        let directory = [record("a.npy", len, 0), record("b.npy", 132, second)].concat();
        let end_at = directory_at + directory.len() as u64;
        let end =
            [b"PK\x06\x06".to_vec(), le64(44), vec![0; 12], le64(2), le64(2), le64(directory.len() as u64)];
        let end = [end.concat(), le64(directory_at), b"PK\x06\x07".to_vec(), le32(0), le64(end_at), le32(1)]
            .concat();
        let end = [end, b"PK\x05\x06".to_vec(), vec![0; 4], vec![0xff; 12], vec![0; 2]].concat();
        let written = vec![
            (0, [local("a.npy", len), array(count)].concat()),
            (second, [local("b.npy", 132), array(1)].concat()),
            (directory_at, directory.clone()),
            (end_at, end.clone()),
        ];
        let source = Sparse { len: end_at + end.len() as u64, written };
        let model = open(&source, &Limits::default()).unwrap();
        assert_eq!((model.tensors.len(), model.tensors[0].len()), (2, count));
        let half = directory.len() as u64 / 2;
        let expected = [
            Checksum { of: Span { offset: data, len }, at: vec![14, directory_at + 16] },
            Checksum {
                of: Span { offset: second + data, len: 132 },
                at: vec![second + 14, directory_at + half + 16],
            },
        ];
        assert_eq!(model.anatomy.checksums, expected);
        assert!(model.anatomy.edits.is_empty() && model.anatomy.inflated.is_empty());
    }

    #[test]
    fn a_size_that_has_no_room_is_not_written() {
        let around = |bytes| Around {
            checksums: vec![14],
            methods: [8, 100],
            sizes: vec![Number { at: 18, bytes: 8 }, Number { at: 110, bytes }],
        };
        let mut edits = Vec::new();
        assert!(around(4).store(u64::from(u32::MAX), &mut edits).is_none());
        edits.clear();
        assert!(around(8).store(1 << 40, &mut edits).is_some());
        assert_eq!(edits.len(), 4);
        assert_eq!(edits[3], Edit { span: Span { offset: 110, len: 8 }, bytes: le64(1 << 40) });
    }

    #[test]
    fn an_offset_before_its_archive_moves_nothing() {
        // A deflated entry of 1000 bytes that are none once inflated, in an archive behind 900 others.
        let number = Number { at: 2000, bytes: 8 };
        let archive =
            Archive { entries: Vec::new(), by_name: Vec::new(), targets: vec![(number, 1500)], base: 900 };
        let sizes = [(Span { offset: 950, len: 1000 }, 0)];
        assert!(archive.shift(&sizes, &mut Vec::new()).is_none());
    }
}
