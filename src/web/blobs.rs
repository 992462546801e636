//! Files of the browser as byte sources and byte sinks; for workers, where blocking reads exist.

use crate::formats::{Part, Source};
use js_sys::{Array, Uint8Array};
use std::cell::RefCell;
use std::io;
use wasm_bindgen::{JsCast, JsValue};
use web_sys::{Blob, BlobPropertyBag, FileReaderSync};

/// Reads shorter than this go through a window, so that a header read in small steps costs few calls.
const WINDOW_BYTES: u64 = 1 << 16;

/// A `Blob` or `File` read by position; offsets beyond 4 GiB are fine.
#[derive(Debug)]
pub struct BlobSource {
    blob: Blob,
    len: u64,
    parts: Vec<Part>,
    reader: FileReaderSync,
    window: RefCell<(u64, Vec<u8>)>,
}

impl BlobSource {
    /// The source of a value that should be a `Blob`.
    pub fn new(value: &JsValue) -> Result<Self, String> {
        let blob: &Blob = value.dyn_ref().ok_or("a worker was given no file (a defect of Quantscope)")?;
        let reader = FileReaderSync::new().map_err(|error| sentence(&error))?;
        Ok(Self {
            len: blob.size() as u64,
            blob: blob.clone(),
            parts: Vec::new(),
            reader,
            window: RefCell::new((0, Vec::new())),
        })
    }

    /// Says which files the blob joins.
    pub fn of_parts(self, parts: Vec<Part>) -> Self {
        Self { parts, ..self }
    }

    fn array(&self, offset: u64, len: u64) -> io::Result<Uint8Array> {
        let end = offset.saturating_add(len);
        if end > self.len {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let failed = |error: JsValue| io::Error::other(sentence(&error));
        let part = self.blob.slice_with_f64_and_f64(offset as f64, end as f64).map_err(failed)?;
        // The browser's own text speaks of permissions; what happened is that the file is not what it was.
        let gone =
            |_| io::Error::other("it changed on disk since it was opened, or is a folder; open it again");
        let buffer = self.reader.read_as_array_buffer(&part).map_err(gone)?;
        let array = Uint8Array::new(&buffer);
        if u64::from(array.length()) == len { Ok(array) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }

    fn read_window(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        let mut window = self.window.borrow_mut();
        let inside = |window: &(u64, Vec<u8>)| {
            let start = usize::try_from(offset.checked_sub(window.0)?).ok()?;
            window.1.get(start..start.checked_add(buffer.len())?).map(<[u8]>::to_vec)
        };
        if inside(&window).is_none() {
            let len = WINDOW_BYTES.min(self.len.saturating_sub(offset));
            *window = (offset, self.array(offset, len)?.to_vec());
        }
        buffer.copy_from_slice(&inside(&window).ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}

impl Source for BlobSource {
    fn len(&self) -> u64 {
        self.len
    }

    fn read_at(&self, offset: u64, buffer: &mut [u8]) -> io::Result<()> {
        if (buffer.len() as u64) < WINDOW_BYTES {
            return self.read_window(offset, buffer);
        }
        self.array(offset, buffer.len() as u64)?.copy_to(buffer);
        Ok(())
    }

    fn parts(&self) -> &[Part] {
        &self.parts
    }
}

/// How much a [`BlobSink`] holds before it hands the bytes to the browser.
const PART_BYTES: usize = 4 << 20;

/// Collects what is written into a `Blob`, so that a large result never lies in wasm memory.
#[derive(Debug)]
pub struct BlobSink {
    buffer: Vec<u8>,
    parts: Array,
}

impl BlobSink {
    /// An empty sink.
    pub fn new() -> Self {
        Self { buffer: Vec::new(), parts: Array::new() }
    }

    /// The blob of everything written.
    pub fn finish(mut self) -> Result<Blob, String> {
        self.hand_over().map_err(|error| error.to_string())?;
        blob_from_parts(&self.parts)
    }

    /// A part becomes a blob at once: the browser may keep it on disk.
    fn hand_over(&mut self) -> io::Result<()> {
        if !self.buffer.is_empty() {
            let part = blob_from_bytes(&self.buffer).map_err(io::Error::other)?;
            self.parts.push(&part);
            self.buffer.clear();
        }
        Ok(())
    }
}

impl io::Write for BlobSink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= PART_BYTES {
            self.hand_over()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A blob of these bytes.
pub fn blob_from_bytes(bytes: &[u8]) -> Result<Blob, String> {
    blob_from_parts(&Array::of1(&Uint8Array::from(bytes)))
}

fn blob_from_parts(parts: &Array) -> Result<Blob, String> {
    let options = BlobPropertyBag::new();
    options.set_type("application/octet-stream");
    Blob::new_with_u8_array_sequence_and_options(parts, &options).map_err(|error| sentence(&error))
}

/// What an exception of the browser says.
pub fn sentence(error: &JsValue) -> String {
    let text = error.dyn_ref::<js_sys::Error>().map(|error| String::from(error.message()));
    let message = || js_sys::Reflect::get(error, &"message".into()).ok()?.as_string();
    text.or_else(message).or_else(|| error.as_string()).unwrap_or_else(|| format!("{error:?}"))
}
