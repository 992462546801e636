//! ONNX: the model that the weights came from, byte for byte, with other weights in their places; numbers of varying length
//! become raw data.

use super::{ExportError, TensorHeader};
use crate::formats::onnx_raw::{Edit, edits};
use crate::formats::{Source, read_part};
use crate::model::{FileFormat, Model};
use crate::tensor::{Span, Storage};
use std::io::Write;

/// Bytes copied at a time.
const CHUNK: u64 = 1 << 20;

/// The model being written anew.
pub struct Patch<'a> {
    template: &'a dyn Source,
    /// Where each tensor lies; `None` for one whose bytes another tensor has written already.
    places: Vec<Option<Span>>,
    /// Other bytes that change, in order, as far as they have not been written.
    edits: std::vec::IntoIter<Edit>,
    next: Option<Edit>,
    /// Bytes of the template that have been copied or replaced.
    at: u64,
}

impl std::fmt::Debug for Patch<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Patch").field("at", &self.at).finish_non_exhaustive()
    }
}

impl<'a> Patch<'a> {
    /// Prepares to replace the weights of `template`, which `model` locates, by `tensors`.
    pub fn new(
        template: &'a dyn Source,
        model: &Model,
        tensors: &[TensorHeader],
    ) -> Result<Self, ExportError> {
        let wrong = |tensor: &str, expected: String, found: String| {
            let tensor = crate::formats::shown(tensor);
            Err(ExportError::Template { tensor, expected, found })
        };
        if model.format != FileFormat::Onnx {
            return wrong("", "an ONNX model".to_owned(), model.format.name().to_owned());
        }
        let is_same = |header: &TensorHeader, tensor: &crate::tensor::Tensor| header.name == tensor.name;
        let same = tensors.iter().zip(&model.tensors).take_while(|(header, tensor)| is_same(header, tensor));
        if model.tensors.len() != tensors.len() || same.count() < tensors.len() {
            let first = |name: Option<&str>| {
                name.map_or_else(String::new, |name| format!(" from {}", crate::formats::shown(name)))
            };
            let count = |n: usize, name| format!("{n} tensors{}", first(name));
            return Err(ExportError::OtherModel {
                expected: count(tensors.len(), tensors.first().map(|header| header.name.as_str())),
                found: count(model.tensors.len(), model.tensors.first().map(|tensor| tensor.name.as_str())),
            });
        }
        let mut places = Vec::with_capacity(tensors.len());
        let mut end = 0;
        for (header, tensor) in tensors.iter().zip(&model.tensors) {
            let text = |name: &str, dtype: crate::tensor::Dtype, shape: &[u64]| {
                format!("{name} of {} {shape:?}", dtype.name())
            };
            let expected = text(&header.name, header.dtype, &header.shape);
            let found = text(&tensor.name, tensor.dtype, &tensor.shape);
            if expected != found {
                return wrong(&header.name, expected, found);
            }
            let (Storage::Stored(span) | Storage::Varints { span, .. }) = tensor.storage else {
                return wrong(&header.name, "raw data".to_owned(), "deflated data".to_owned());
            };
            if tensor.same_as.is_some() || span.len == 0 {
                places.push(None);
            } else if span.offset < end {
                return wrong(&header.name, "bytes of its own".to_owned(), "bytes shared in part".to_owned());
            } else {
                end = span.offset + span.len;
                places.push(Some(span));
            }
        }
        let mut edits = edits(template, model).map_err(ExportError::unreadable)?.0.into_iter();
        let next = edits.next();
        Ok(Self { template, places, edits, next, at: 0 })
    }

    /// Copies what lies before tensor `index`; whether its bytes are to be written.
    pub fn open(&mut self, out: &mut impl Write, index: usize) -> Result<bool, ExportError> {
        let Some(Some(span)) = self.places.get(index).copied() else { return Ok(false) };
        self.copy(out, span.offset)?;
        self.at = span.offset + span.len;
        Ok(true)
    }

    /// Copies the rest.
    pub fn finish(&mut self, out: &mut impl Write) -> Result<(), ExportError> {
        self.copy(out, self.template.len())
    }

    fn copy(&mut self, out: &mut impl Write, end: u64) -> Result<(), ExportError> {
        while let Some((span, bytes)) = self.next.take_if(|(span, _)| span.offset < end) {
            self.copy_as_it_is(out, span.offset)?;
            out.write_all(&bytes)?;
            self.at = span.offset + span.len;
            self.next = self.edits.next();
        }
        self.copy_as_it_is(out, end)
    }

    fn copy_as_it_is(&mut self, out: &mut impl Write, end: u64) -> Result<(), ExportError> {
        while self.at < end {
            let len = CHUNK.min(end - self.at);
            let read = read_part(self.template, "the ONNX model", self.at, len, CHUNK);
            out.write_all(&read.map_err(ExportError::unreadable)?)?;
            self.at += len;
        }
        Ok(())
    }
}
