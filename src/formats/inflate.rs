//! Raw deflate streams (RFC 1951) inside a source, inflated from the front and never beyond their declared size.
//!
//! Reading forward costs time linear in the bytes passed over; going back starts again at the front. Memory is two
//! buffers of 64 KiB beside the 32 KiB window of the decoder.

use super::source::{allocate, read_part};
use super::{FormatError, Source};
use crate::tensor::{Span, Storage};
use flate2::{Decompress, FlushDecompress, Status};

const BUFFER_BYTES: u64 = 1 << 16;

/// Deflate spends at least two bits on 258 bytes, so a stream grows at most 1032-fold.
const LARGEST_RATIO: u64 = 1032;

/// An error if a stream of `compressed` bytes cannot inflate to `inflated`.
pub(super) fn check_ratio(part: &str, compressed: u64, inflated: u64) -> Result<(), FormatError> {
    let most = compressed.saturating_mul(LARGEST_RATIO).saturating_add(LARGEST_RATIO);
    if inflated > most {
        let expected = format!("at most {most} bytes from {compressed} deflated ones");
        return Err(FormatError::damaged(part, expected, format!("{inflated} bytes declared")));
    }
    Ok(())
}

/// A position in the inflated bytes of one deflate stream.
pub(super) struct Inflater<'a> {
    source: &'a dyn Source,
    part: String,
    span: Span,
    inflated_len: u64,
    decoder: Decompress,
    /// Compressed bytes read from the source but not yet by the decoder.
    input: Vec<u8>,
    input_at: usize,
    /// Compressed bytes read from the source.
    consumed: u64,
    /// Inflated bytes passed.
    at: u64,
    scratch: Vec<u8>,
}

impl<'a> Inflater<'a> {
    /// The stream in `span` of `source`, declared to inflate to `inflated_len` bytes.
    pub(super) fn new(source: &'a dyn Source, part: String, span: Span, inflated_len: u64) -> Self {
        Self {
            source,
            part,
            span,
            inflated_len,
            decoder: Decompress::new(false),
            input: Vec::new(),
            input_at: 0,
            consumed: 0,
            at: 0,
            scratch: Vec::new(),
        }
    }

    /// Fills `buffer` with the inflated bytes from `offset`.
    pub(super) fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> Result<(), FormatError> {
        let end = offset.checked_add(buffer.len() as u64);
        if end.is_none_or(|end| end > self.inflated_len) {
            let part = format!("a range of inflated {}", self.part);
            let (needed, found) = (buffer.len() as u64, self.inflated_len.saturating_sub(offset));
            return Err(FormatError::truncated(part, offset, needed, found));
        }
        if offset < self.at {
            self.restart();
        }
        self.skip(offset - self.at)?;
        self.fill(buffer)
    }

    fn restart(&mut self) {
        self.decoder.reset(false);
        self.input.clear();
        (self.input_at, self.consumed, self.at) = (0, 0, 0);
    }

    fn skip(&mut self, mut count: u64) -> Result<(), FormatError> {
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.resize(BUFFER_BYTES.min(count) as usize, 0);
        while count > 0 {
            let step = count.min(scratch.len() as u64);
            self.fill(scratch.get_mut(..step as usize).unwrap_or_default())?;
            count -= step;
        }
        self.scratch = scratch;
        Ok(())
    }

    fn fill(&mut self, mut buffer: &mut [u8]) -> Result<(), FormatError> {
        while !buffer.is_empty() {
            self.refill()?;
            let input = self.input.get(self.input_at..).unwrap_or_default();
            let (read_before, written_before) = (self.decoder.total_in(), self.decoder.total_out());
            let status = self
                .decoder
                .decompress(input, buffer, FlushDecompress::None)
                .map_err(|_| self.broken("a valid deflate stream", "a code that does not exist"))?;
            let read = (self.decoder.total_in() - read_before) as usize;
            let written = (self.decoder.total_out() - written_before) as usize;
            self.input_at += read;
            self.at += written as u64;
            buffer = buffer.get_mut(written..).unwrap_or_default();
            let stuck = read == 0 && written == 0 && self.consumed == self.span.len;
            if !buffer.is_empty() && (status == Status::StreamEnd || stuck) {
                let found = format!("the end of the stream after {}", self.at);
                return Err(self.broken(&format!("{} inflated bytes", self.inflated_len), &found));
            }
        }
        Ok(())
    }

    fn refill(&mut self) -> Result<(), FormatError> {
        if self.input_at < self.input.len() || self.consumed == self.span.len {
            return Ok(());
        }
        let size = BUFFER_BYTES.min(self.span.len - self.consumed);
        self.input = read_part(self.source, &self.part, self.span.offset + self.consumed, size, size)?;
        self.consumed += size;
        self.input_at = 0;
        Ok(())
    }

    fn broken(&self, expected: &str, found: &str) -> FormatError {
        FormatError::damaged(format!("the compressed bytes of {}", self.part), expected, found)
    }
}

/// Bytes `offset..offset + len` of what `storage` holds, after inflation where it is deflated.
pub(super) fn read_storage(
    source: &dyn Source,
    part: &str,
    storage: &Storage,
    offset: u64,
    len: u64,
    limit: u64,
) -> Result<Vec<u8>, FormatError> {
    if len > limit {
        return Err(FormatError::too_large(format!("{part}, in bytes,"), len, limit));
    }
    let found = storage.len().saturating_sub(offset);
    if len > found {
        return Err(FormatError::truncated(part, offset, len, found));
    }
    match storage {
        Storage::Stored(span) => read_part(source, part, span.offset.saturating_add(offset), len, limit),
        Storage::Deflated { span, inflated_len } => {
            let mut bytes = allocate(part, len)?;
            Inflater::new(source, part.to_owned(), *span, *inflated_len).read_at(offset, &mut bytes)?;
            Ok(bytes)
        }
        Storage::Encoded { .. } => Err(FormatError::unsupported(part, "strided elements that are encoded")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn deflate(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::new(6));
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    #[allow(clippy::ptr_arg)] // a slice is no source
    fn inflater(source: &Vec<u8>, len: u64) -> Inflater<'_> {
        let span = Span { offset: 0, len: source.len() as u64 };
        Inflater::new(source, "x".to_owned(), span, len)
    }

    #[test]
    fn any_range_reads_the_same_forward_and_back() {
        let plain: Vec<u8> = (0..200_000u32).map(|i| (i.wrapping_mul(i) >> 7) as u8).collect();
        let packed = deflate(&plain);
        let mut inflater = inflater(&packed, plain.len() as u64);
        for (start, end) in [(0, 10), (150_000, 170_000), (10, 20), (0, 200_000), (199_999, 200_000), (5, 5)]
        {
            let mut buffer = vec![0; end - start];
            inflater.read_at(start as u64, &mut buffer).unwrap();
            assert_eq!(buffer, plain[start..end]);
        }
    }

    #[test]
    fn a_stream_that_ends_early_is_refused() {
        let packed = deflate(&[7; 100]);
        let error = inflater(&packed, 101).read_at(0, &mut [0; 101]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the compressed bytes of x: expected 101 inflated bytes, found the end of the stream after 100"
        );
        let cut = packed[..packed.len() - 2].to_vec();
        assert!(inflater(&cut, 100).read_at(0, &mut [0; 100]).is_err());
        assert!(inflater(&Vec::new(), 100).read_at(0, &mut [0; 100]).is_err());
    }

    #[test]
    fn nothing_is_inflated_beyond_the_declared_size() {
        let packed = deflate(&[7; 100]);
        let mut inflater = inflater(&packed, 50);
        assert!(inflater.read_at(0, &mut [0; 50]).is_ok());
        assert!(inflater.read_at(1, &mut [0; 50]).is_err());
    }

    #[test]
    fn garbage_is_refused() {
        assert!(inflater(&vec![0xff; 100], 10).read_at(0, &mut [0; 10]).is_err());
    }

    #[test]
    fn an_impossible_ratio_is_refused() {
        assert!(check_ratio("x", 100, 104_232).is_ok());
        assert!(check_ratio("x", 100, 104_233).is_err());
    }
}
