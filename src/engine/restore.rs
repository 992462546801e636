//! From a `.qsz` to the file that was compressed: its skeleton, with the decoded numbers of every tensor in their places.

use super::EngineError;
use crate::anatomy::Checksum;
use crate::checksum::Running;
use crate::container::{BLOCK_WEIGHTS, Content, Entry, Reader};
use crate::formats::{FormatError, Limits, Source, TensorReader, shown};
use crate::skeleton::{Segment, Target, View};
use crate::tensor::{Span, Storage, Tensor};
use sha2::{Digest as _, Sha256};
use std::io;

/// The file that a container gives back.
#[derive(Clone, Copy)]
pub struct Restored<'a> {
    file: &'a dyn Source,
    reader: &'a Reader,
}

impl std::fmt::Debug for Restored<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Restored").field("segments", &self.reader.segments().len()).finish_non_exhaustive()
    }
}

/// Takes bytes, in order.
pub type Sink<'a> = &'a mut dyn FnMut(&[u8]) -> Result<(), EngineError>;

impl<'a> Restored<'a> {
    /// The file of a container; `None` where it holds weights alone.
    pub fn new(file: &'a dyn Source, reader: &'a Reader) -> Option<Self> {
        (!reader.manifest().files.is_empty()).then_some(Self { file, reader })
    }

    /// Writes the files one behind the other, and says what they are; `done` hears of bytes.
    ///
    /// Memory for a block, or for a tensor whose elements do not lie in row-major order. Bytes whose checksum stands before them
    /// are decoded twice.
    pub fn write(
        &self,
        out: &mut dyn io::Write,
        done: &mut dyn FnMut(u64),
    ) -> Result<Vec<Digest>, EngineError> {
        Emitter::new(*self, out, done).finish()
    }

    /// The checksum of this index, by decoding what it is of.
    fn checksum(&self, index: usize) -> Result<u32, EngineError> {
        let of = self.reader.manifest().checksums.get(index).ok_or(EngineError::Message)?.of;
        let mut running = Running::default();
        let end = of.offset + of.len;
        for segment in self.segments_from(of.offset).take_while(|own| own.span.offset < end) {
            let span = segment.span;
            let (from, to) = (span.offset.max(of.offset), (span.offset + span.len).min(end));
            if let Target::Skeleton(at) = segment.target {
                self.skeleton(at + (from - span.offset), to - from, &mut |bytes| {
                    running.update(bytes);
                    Ok(())
                })?;
            } else {
                self.segment(segment, &mut |bytes| {
                    running.update(bytes);
                    Ok(())
                })?;
            }
        }
        Ok(running.finish())
    }

    /// The runs of bytes from the one on that has this byte.
    fn segments_from(&self, at: u64) -> impl Iterator<Item = &Segment> {
        let segments = self.reader.segments();
        let first = segments.partition_point(|own| own.span.offset + own.span.len <= at);
        segments.iter().skip(first)
    }

    fn segment(&self, segment: &Segment, sink: Sink<'_>) -> Result<(), EngineError> {
        match segment.target {
            Target::Skeleton(at) => self.skeleton(at, segment.span.len, sink),
            Target::Tensor(index) => self.tensor(index, sink),
            Target::Checksum(_) => Ok(()),
        }
    }

    /// Bytes of the skeleton.
    fn skeleton(&self, mut at: u64, len: u64, sink: Sink<'_>) -> Result<(), EngineError> {
        let (end, whole) = (at + len, BLOCK_WEIGHTS as u64);
        while at < end {
            let block = at / whole;
            let bytes = self.reader.skeleton_block(self.file, block)?;
            let from = (at - block * whole) as usize;
            let to = bytes.len().min(usize::try_from(end - block * whole).unwrap_or(usize::MAX));
            sink(bytes.get(from..to).ok_or(EngineError::Message)?)?;
            at = block * whole + to as u64;
        }
        Ok(())
    }

    /// A tensor's numbers as they lie in the file.
    fn tensor(&self, index: usize, sink: Sink<'_>) -> Result<(), EngineError> {
        let decoder = self.reader.decoder(index)?;
        let entry = self.reader.manifest().tensors.get(index).ok_or(EngineError::Message)?;
        let place = entry.place.as_ref().ok_or(EngineError::Message)?;
        let (size, limit) = (entry.stored_bytes(), Limits::default().rearranged_bytes);
        if place.strides.is_some() && size > limit {
            let part = format!("strided tensor {}, in bytes,", shown(&entry.name));
            return Err(FormatError::too_large(part, size, limit).into());
        }
        let mut bytes = Vec::new();
        for block in 0..decoder.blocks() {
            decoder.decode_block(self.file, block, &mut bytes)?;
            if place.strides.is_none() {
                bytes = laid_out(entry, bytes).ok_or(EngineError::Message)?;
                sink(&bytes)?;
                bytes.clear();
            }
        }
        if place.strides.is_some() {
            sink(&laid_out(entry, bytes).ok_or(EngineError::Message)?)?;
        }
        Ok(())
    }

    /// The elements of a tensor that is a view of the skeleton.
    fn view(&self, entry: &Entry, view: &View, sink: Sink<'_>) -> Result<(), EngineError> {
        let len = self.reader.manifest().file_bytes();
        let storage = Storage::Stored(Span { offset: 0, len });
        let tensor = view.tensor(&entry.name, &entry.shape, entry.dtype, storage);
        let mut elements = TensorReader::new(self, &tensor, &Limits::default())?;
        let (mut bytes, mut at) = (Vec::new(), 0);
        while at < tensor.len() {
            let end = tensor.len().min(at + BLOCK_WEIGHTS as u64);
            bytes.clear();
            elements.read(at..end, &mut bytes)?;
            sink(&bytes)?;
            at = end;
        }
        Ok(())
    }
}

/// Writes a file from front to back; tensors may come from elsewhere, decoded already.
pub(super) struct Emitter<'a, 'b> {
    restored: Restored<'a>,
    out: &'b mut dyn io::Write,
    done: &'b mut dyn FnMut(u64),
    hashes: Hashes,
    /// The checksums of bytes that are passed.
    known: Vec<Option<u32>>,
    running: Option<(usize, Running)>,
    /// The bytes that are written, and the segments that are begun.
    at: u64,
    next: usize,
    /// The tensor whose bytes are being taken.
    open: Option<usize>,
}

impl<'a, 'b> Emitter<'a, 'b> {
    pub(super) fn new(
        restored: Restored<'a>,
        out: &'b mut dyn io::Write,
        done: &'b mut dyn FnMut(u64),
    ) -> Self {
        let manifest = restored.reader.manifest();
        Self {
            restored,
            out,
            done,
            hashes: Hashes::new(&manifest.files),
            known: vec![None; manifest.checksums.len()],
            running: None,
            at: 0,
            next: 0,
            open: None,
        }
    }

    fn emit(&mut self, bytes: &[u8]) -> Result<(), EngineError> {
        self.out.write_all(bytes)?;
        self.hashes.update(bytes);
        (self.done)(bytes.len() as u64);
        let checksums = &self.restored.reader.manifest().checksums;
        sum(checksums, self.at, bytes, &mut self.running, &mut self.known);
        self.at += bytes.len() as u64;
        Ok(())
    }

    /// Writes the segments up to the one of this index, without it.
    fn advance(&mut self, end: usize) -> Result<(), EngineError> {
        self.open = None;
        let restored = self.restored;
        let left = restored.reader.segments().get(self.next..end).unwrap_or_default();
        for segment in left {
            if let Target::Checksum(index) = segment.target {
                let crc = match self.known.get(index).copied().flatten() {
                    Some(crc) => crc,
                    None => restored.checksum(index)?,
                };
                self.known.get_mut(index).into_iter().for_each(|slot| *slot = Some(crc));
                self.emit(&crc.to_le_bytes())?;
            } else {
                restored.segment(segment, &mut |bytes| self.emit(bytes))?;
            }
        }
        self.next = end.max(self.next);
        Ok(())
    }

    /// Takes bytes of a tensor as they lie in the file; a tensor's bytes come in order, one tensor after the other. Those of one
    /// that was passed on the way to another are not needed any more.
    pub(super) fn take(&mut self, tensor: usize, bytes: &[u8]) -> Result<(), EngineError> {
        if self.open != Some(tensor) {
            let place = self.restored.reader.manifest().tensors.get(tensor).and_then(|e| e.place.as_ref());
            let Some(place) = place.filter(|_| !bytes.is_empty()) else { return Ok(()) };
            let segments = self.restored.reader.segments();
            let index = segments.partition_point(|segment| segment.span.offset < place.offset);
            if index < self.next {
                return Ok(());
            }
            self.advance(index)?;
            (self.open, self.next) = (Some(tensor), index + 1);
        }
        self.emit(bytes)
    }

    /// Writes the rest, and says what the files are.
    pub(super) fn finish(mut self) -> Result<Vec<Digest>, EngineError> {
        self.advance(self.restored.reader.segments().len())?;
        Ok(self.hashes.finish())
    }
}

/// The elements, or codes, of a run of whole blocks of a tensor as they lie in its place; all of them where they are not in
/// row-major order. Nothing where it has no place.
pub(super) fn laid_out(entry: &Entry, mut bytes: Vec<u8>) -> Option<Vec<u8>> {
    let Some(place) = &entry.place else { return Some(Vec::new()) };
    if matches!(entry.content, Content::Codes(..)) {
        return Some(bytes);
    }
    place.encode(entry.dtype, &mut bytes);
    place.reorder(&entry.shape, entry.dtype.size_bytes(), bytes)
}

/// What a file is: its name, its length and its SHA-256 (FIPS 180-4), hexadecimal, as `sha256sum` and others print it.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Digest {
    /// Its name.
    pub name: String,
    /// Its bytes.
    pub bytes: u64,
    /// Its SHA-256.
    pub sha256: String,
}

/// Hashes files that come one behind the other.
struct Hashes {
    /// The files that are not begun, the last first.
    left: Vec<(String, u64)>,
    /// The one that is, with the bytes that are to come.
    open: Option<(String, u64, u64, Box<Sha256>)>,
    done: Vec<Digest>,
}

impl Hashes {
    fn new(files: &[(String, u64)]) -> Self {
        let mut hashes = Self { left: files.iter().rev().cloned().collect(), open: None, done: Vec::new() };
        hashes.advance();
        hashes
    }

    /// Closes the files that are complete, and opens the next.
    fn advance(&mut self) {
        while self.open.as_ref().is_none_or(|(_, _, to_come, _)| *to_come == 0) {
            if let Some((name, bytes, _, hash)) = self.open.take() {
                self.done.push(Digest { name, bytes, sha256: hexadecimal(&hash.finalize()) });
            }
            let Some((name, bytes)) = self.left.pop() else { return };
            self.open = Some((name, bytes, bytes, Box::default()));
        }
    }

    fn update(&mut self, mut bytes: &[u8]) {
        while let Some((_, _, to_come, hash)) = self.open.as_mut().filter(|_| !bytes.is_empty()) {
            let (now, later) =
                bytes.split_at(bytes.len().min(usize::try_from(*to_come).unwrap_or(usize::MAX)));
            hash.update(now);
            *to_come -= now.len() as u64;
            bytes = later;
            self.advance();
        }
    }

    fn finish(self) -> Vec<Digest> {
        self.done
    }
}

fn hexadecimal(bytes: &[u8]) -> String {
    let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap_or('?');
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// What the files of a source are.
pub fn digests(source: &dyn Source, name: &str) -> Result<Vec<Digest>, EngineError> {
    const CHUNK: u64 = 1 << 20;
    let parts = source.parts().iter().map(|part| (part.name.clone(), part.span.len));
    let mut files: Vec<(String, u64)> = parts.collect();
    if files.is_empty() {
        files.push((name.to_owned(), source.len()));
    }
    let (mut hashes, mut at) = (Hashes::new(&files), 0);
    while at < source.len() {
        let len = CHUNK.min(source.len() - at);
        hashes.update(&crate::formats::read_part(source, "the source", at, len, CHUNK)?);
        at += len;
    }
    Ok(hashes.finish())
}

/// Adds bytes of the file, which begin at `at`, to the checksums that they are of.
fn sum(
    checksums: &[Checksum],
    mut at: u64,
    mut bytes: &[u8],
    running: &mut Option<(usize, Running)>,
    known: &mut [Option<u32>],
) {
    while !bytes.is_empty() {
        let index = checksums.partition_point(|checksum| checksum.of.offset + checksum.of.len <= at);
        let Some(of) = checksums.get(index).map(|checksum| checksum.of) else { return };
        let skipped = of.offset.saturating_sub(at).min(bytes.len() as u64);
        let left = (of.offset + of.len).saturating_sub(at + skipped).min(bytes.len() as u64 - skipped);
        let (_, rest) = bytes.split_at(skipped as usize);
        let (own, rest) = rest.split_at(left as usize);
        if running.as_ref().is_none_or(|(of, _)| *of != index) {
            *running = Some((index, Running::default()));
        }
        at += skipped + left;
        if let Some((_, crc)) = running {
            crc.update(own);
        }
        if at == of.offset + of.len
            && let Some((_, crc)) = running.take()
        {
            let crc = crc.finish();
            known.get_mut(index).into_iter().for_each(|slot| *slot = Some(crc));
        }
        bytes = rest;
    }
}

/// The bytes of the skeleton where they lie in the file; zeros elsewhere.
impl Source for Restored<'_> {
    fn len(&self) -> u64 {
        self.reader.manifest().file_bytes()
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        buffer.fill(0);
        let end = offset.checked_add(buffer.len() as u64).filter(|end| *end <= self.len());
        let end = end.ok_or(io::ErrorKind::UnexpectedEof)?;
        for segment in self.segments_from(offset).take_while(|own| own.span.offset < end) {
            let Target::Skeleton(at) = segment.target else { continue };
            let span = segment.span;
            let (from, to) = (span.offset.max(offset), (span.offset + span.len).min(end));
            let mut place = (from - offset) as usize;
            self.skeleton(at + (from - span.offset), to - from, &mut |bytes| {
                let slot = buffer.get_mut(place..place + bytes.len()).ok_or(EngineError::Message)?;
                slot.copy_from_slice(bytes);
                place += bytes.len();
                Ok(())
            })
            .map_err(io::Error::other)?;
        }
        Ok(())
    }
}

/// Bytes of the elements that an entry stands for.
fn size_bytes(entry: &Entry) -> u64 {
    entry.len().saturating_mul(entry.dtype.size_bytes())
}

/// Hands over the elements of a tensor, little-endian and row-major, however the container holds them.
///
/// Memory for a block, or for all of a tensor that is a strided view or has codes of varying length.
pub fn elements(file: &dyn Source, reader: &Reader, index: usize, sink: Sink<'_>) -> Result<(), EngineError> {
    let decoder = reader.decoder(index)?;
    let entry = decoder.entry();
    if let Content::View(view) = &entry.content {
        return Restored { file, reader }.view(entry, view, sink);
    }
    let (mut bytes, mut all) = (Vec::new(), Vec::new());
    let mut done = 0;
    let is_big_endian = entry.place.as_ref().is_some_and(|place| place.big_endian);
    for block in 0..decoder.blocks() {
        bytes.clear();
        decoder.decode_block(file, block, &mut bytes)?;
        match entry.content {
            Content::Codes(codec, _) if codec.unit().is_none() => all.extend_from_slice(&bytes),
            Content::Codes(codec, _) => {
                let mut elements = Vec::new();
                if is_big_endian {
                    codec.turn_units(&mut bytes);
                }
                codec.decode_units(&bytes, &mut elements);
                // The last unit may stand for fewer.
                let left = size_bytes(entry) - done;
                elements.truncate(usize::try_from(left).unwrap_or(usize::MAX));
                done += elements.len() as u64;
                sink(&elements)?;
            }
            _ => sink(&bytes)?,
        }
    }
    if let Content::Codes(codec, len) = entry.content
        && codec.unit().is_none()
    {
        let storage = Storage::Encoded { span: Span { offset: 0, len }, codec, len: size_bytes(entry) };
        let tensor = Tensor::plain(entry.name.clone(), entry.shape.clone(), entry.dtype, storage);
        let mut elements = Vec::new();
        TensorReader::new(&all, &tensor, &Limits::default())?.read(0..tensor.len(), &mut elements)?;
        sink(&elements)?;
    }
    Ok(())
}
