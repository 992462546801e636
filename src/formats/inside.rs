//! A weight file that is an entry of an archive.
//!
//! What is stored is a part of the source and is read in place. What is deflated can be read from its front alone, so its tensors
//! become runs of elements of the inflated bytes, as those of a deflated `.npz` are; its headers are read through a cache of
//! the last 128 KiB, and what would be inflated again and again is refused.

use super::inflate::Inflater;
use super::source::Window;
use super::{FormatError, Limits, Source};
use crate::model::Model;
use crate::tensor::{Span, Storage};
use std::cell::RefCell;
use std::io;

/// How a file is opened.
pub(super) type Open = fn(&dyn Source, &Limits) -> Result<Model, FormatError>;

/// Bytes inflated at a time.
const CHUNK_BYTES: u64 = 1 << 16;
/// A file's headers may inflate it so many times over, beside [`LEAST_INFLATED`].
const TIMES_INFLATED: u64 = 8;
/// Bytes that the headers of any file may inflate.
const LEAST_INFLATED: u64 = 1 << 24;
/// To read every tensor once may inflate so many bytes for each compressed one, beside [`ANY_READ`] …
const READ_PER_BYTE: u64 = 1024;
const ANY_READ: u64 = 1 << 28;
/// … and so many at most: a minute's work.
const MOST_READ: u64 = 1 << 34;

/// Opens the file that an entry holds; its tensors lie in `source`.
pub(super) fn open(
    source: &dyn Source,
    name: &str,
    storage: &Storage,
    limits: &Limits,
    open: Open,
) -> Result<Model, FormatError> {
    let opened = match *storage {
        Storage::Stored(span) => open(&Window::new(source, span), limits).map(|mut model| {
            model.shift(span.offset);
            model
        }),
        Storage::Deflated { span, inflated_len } => {
            let inflater = Inflater::new(source, "the archive's entry".to_owned(), span, inflated_len);
            let inflated = Inflated::new(inflater, inflated_len);
            open(&inflated, limits).and_then(|mut model| {
                inflate(&mut model, span, inflated_len)?;
                Ok(model)
            })
        }
        Storage::Encoded { .. } => Err(FormatError::unsupported("the entry", "it is encoded")),
    };
    opened.map_err(|error| error.inside(name))
}

/// Turns places in the inflated bytes of `span` into places in the source.
fn inflate(model: &mut Model, span: Span, inflated_len: u64) -> Result<(), FormatError> {
    let most = span.len.saturating_mul(READ_PER_BYTE).saturating_add(ANY_READ).min(MOST_READ);
    let mut read = 0u64;
    for tensor in model.tensors.iter_mut().chain(&mut model.extras) {
        let Storage::Stored(inner) = tensor.storage else {
            return Err(unpack_first("tensors that are themselves compressed"));
        };
        tensor.offset = tensor.offset.saturating_add(inner.offset);
        tensor.storage = Storage::Deflated { span, inflated_len };
        read = read.saturating_add(tensor.offset).saturating_add(tensor.size_bytes());
    }
    if read > most {
        let count = model.tensors.len();
        return Err(unpack_first(&format!("{count} tensors, each to be inflated from its front")));
    }
    Ok(())
}

fn unpack_first(found: &str) -> FormatError {
    FormatError::unsupported("a deflated file inside an archive", format!("{found}; unpack it first"))
}

/// The inflated bytes of an entry, as a source.
struct Inflated<'a> {
    state: RefCell<State<'a>>,
    len: u64,
}

struct State<'a> {
    inflater: Inflater<'a>,
    /// The last chunks that were read: where each starts, and its bytes.
    chunks: [(u64, Vec<u8>); 2],
    /// Where the inflater stands.
    at: u64,
    /// Bytes inflated in all.
    inflated: u64,
}

impl<'a> Inflated<'a> {
    fn new(inflater: Inflater<'a>, len: u64) -> Self {
        let state = State { inflater, chunks: [(0, Vec::new()), (0, Vec::new())], at: 0, inflated: 0 };
        Self { state: RefCell::new(state), len }
    }
}

impl State<'_> {
    /// The chunk that starts at `start`, of `len` bytes.
    fn chunk(&mut self, start: u64, len: u64, most: u64) -> io::Result<&[u8]> {
        let holds = |(at, bytes): &(u64, Vec<u8>)| *at == start && bytes.len() as u64 == len;
        if !self.chunks.iter().any(holds) {
            let passed = if start < self.at { start } else { start - self.at };
            self.inflated = self.inflated.saturating_add(passed).saturating_add(len);
            if self.inflated > most {
                return Err(io::Error::other("it would be inflated again and again; unpack it first"));
            }
            let mut bytes = vec![0; usize::try_from(len).unwrap_or(0)];
            self.inflater.read_at(start, &mut bytes).map_err(io::Error::other)?;
            self.at = start + len;
            self.chunks.swap(0, 1);
            let [_, last] = &mut self.chunks;
            *last = (start, bytes);
        }
        let found = self.chunks.iter().find(|chunk| holds(chunk));
        Ok(found.map(|(_, bytes)| bytes.as_slice()).unwrap_or_default())
    }
}

impl Source for Inflated<'_> {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, offset: u64, mut buffer: &mut [u8]) -> io::Result<()> {
        let end = offset.checked_add(buffer.len() as u64).filter(|end| *end <= self.len);
        end.ok_or(io::ErrorKind::UnexpectedEof)?;
        let most = self.len.saturating_mul(TIMES_INFLATED).saturating_add(LEAST_INFLATED);
        let mut state = self.state.borrow_mut();
        let mut at = offset;
        while !buffer.is_empty() {
            let start = at / CHUNK_BYTES * CHUNK_BYTES;
            let chunk = state.chunk(start, CHUNK_BYTES.min(self.len - start), most)?;
            let here = chunk.get((at - start) as usize..).unwrap_or_default();
            let count = here.len().min(buffer.len());
            let (now, later) = buffer.split_at_mut(count);
            now.copy_from_slice(here.get(..count).unwrap_or_default());
            at += count as u64;
            buffer = later;
        }
        Ok(())
    }
}
