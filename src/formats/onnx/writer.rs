//! Writes an ONNX model: the one that the weights came from, byte for byte, with other weights in their places; numbers of
//! varying length become raw data.

use super::raw::edits;
use crate::anatomy::Edit;
use crate::formats::writer::{Contents, ExportError, Frame, Template, TensorHeader};
use crate::formats::{Part, Source, read_part, shown};
use crate::model::{FileFormat, Model};
use crate::tensor::{Codec, Dtype, Span, Storage};
use std::io::Write;

/// Bytes copied at a time.
const CHUNK: u64 = 1 << 20;

/// The model being written anew.
struct Patch<'a> {
    template: &'a dyn Source,
    /// Where each tensor that is still to come lies; `None` for one whose bytes another tensor has written already.
    places: std::vec::IntoIter<Option<Span>>,
    /// Whether the open tensor's bytes are wanted.
    is_wanted: bool,
    /// Other bytes that change, in order, as far as they have not been written.
    edits: std::vec::IntoIter<Edit>,
    next: Option<Edit>,
    /// Bytes of the template that have been copied or replaced.
    at: u64,
}

/// The files that are written one behind the other: those of the template, its model with its new length; none for a model on its
/// own.
pub(in crate::formats) fn parts(template: &Template) -> Result<Vec<Part>, ExportError> {
    let Template { source, model } = *template;
    let (_, len) = edits(source, model).map_err(ExportError::unreadable)?;
    let sizes = source.parts().iter().enumerate();
    Ok(Part::list(sizes.map(|(at, part)| (part.name.clone(), if at == 0 { len } else { part.span.len }))))
}

/// Prepares to replace the weights of the template by others.
pub(in crate::formats) fn start<'a>(
    _: &mut dyn Write,
    contents: &Contents<'a>,
) -> Result<Box<dyn Frame + 'a>, ExportError> {
    let Some(Template { source, model }) = contents.template else {
        return Err(ExportError::NoTemplate(FileFormat::Onnx.name()));
    };
    let places = places(model, contents.tensors)?.into_iter();
    let mut edits = edits(source, model).map_err(ExportError::unreadable)?.0.into_iter();
    let next = edits.next();
    Ok(Box::new(Patch { template: source, places, is_wanted: false, edits, next, at: 0 }))
}

/// Refuses a template that does not fit, with what was looked for in it.
fn misfit(tensor: &str, expected: String, found: String) -> ExportError {
    ExportError::Template { tensor: shown(tensor), expected, found }
}

/// Refuses a model that has other tensors than those to be written.
fn check_names(model: &Model, tensors: &[TensorHeader]) -> Result<(), ExportError> {
    if model.format != FileFormat::Onnx {
        return Err(misfit("", "an ONNX model".to_owned(), model.format.name().to_owned()));
    }
    let names = || model.tensors.iter().map(|tensor| tensor.name.as_str());
    if tensors.iter().map(|header| header.name.as_str()).eq(names()) {
        return Ok(());
    }
    let count = |n: usize, first: Option<&str>| {
        let from = first.map_or_else(String::new, |name| format!(" from {}", shown(name)));
        format!("{n} tensors{from}")
    };
    Err(ExportError::OtherModel {
        expected: count(tensors.len(), tensors.first().map(|header| header.name.as_str())),
        found: count(model.tensors.len(), names().next()),
    })
}

/// Where each of the tensors to be written lies in the model.
fn places(model: &Model, tensors: &[TensorHeader]) -> Result<Vec<Option<Span>>, ExportError> {
    check_names(model, tensors)?;
    let mut places = Vec::with_capacity(tensors.len());
    let mut end = 0;
    for (header, tensor) in tensors.iter().zip(&model.tensors) {
        let text = |name: &str, dtype: Dtype, shape: &[u64]| format!("{name} of {} {shape:?}", dtype.name());
        let expected = text(&header.name, header.dtype, &header.shape);
        let found = text(&tensor.name, tensor.dtype, &tensor.shape);
        if expected != found {
            return Err(misfit(&header.name, expected, found));
        }
        let (Storage::Stored(span) | Storage::Encoded { span, codec: Codec::Varints, .. }) = tensor.storage
        else {
            return Err(misfit(&header.name, "raw data".to_owned(), "deflated data".to_owned()));
        };
        if tensor.same_as.is_some() || span.len == 0 {
            places.push(None);
        } else if span.offset < end {
            let found = "bytes shared in part".to_owned();
            return Err(misfit(&header.name, "bytes of its own".to_owned(), found));
        } else {
            end = span.offset + span.len;
            places.push(Some(span));
        }
    }
    Ok(places)
}

impl Frame for Patch<'_> {
    /// Copies what lies before the tensor.
    fn open(&mut self, out: &mut dyn Write, _: &TensorHeader) -> Result<(), ExportError> {
        let place = self.places.next().flatten();
        self.is_wanted = place.is_some();
        if let Some(span) = place {
            self.copy(out, span.offset)?;
            self.at = span.offset + span.len;
        }
        Ok(())
    }

    fn write(&mut self, out: &mut dyn Write, bytes: &[u8]) -> Result<(), ExportError> {
        if self.is_wanted { Ok(out.write_all(bytes)?) } else { Ok(()) }
    }

    fn close(&mut self, _: &mut dyn Write) -> Result<(), ExportError> {
        Ok(())
    }

    /// Copies the rest.
    fn finish(&mut self, out: &mut dyn Write) -> Result<(), ExportError> {
        self.copy(out, self.template.len())
    }
}

impl Patch<'_> {
    fn copy(&mut self, out: &mut dyn Write, end: u64) -> Result<(), ExportError> {
        while let Some(Edit { span, bytes }) = self.next.take_if(|edit| edit.span.offset < end) {
            self.copy_as_it_is(out, span.offset)?;
            out.write_all(&bytes)?;
            self.at = span.offset + span.len;
            self.next = self.edits.next();
        }
        self.copy_as_it_is(out, end)
    }

    fn copy_as_it_is(&mut self, out: &mut dyn Write, end: u64) -> Result<(), ExportError> {
        while self.at < end {
            let len = CHUNK.min(end - self.at);
            let read = read_part(self.template, "the ONNX model", self.at, len, CHUNK);
            out.write_all(&read.map_err(ExportError::unreadable)?)?;
            self.at += len;
        }
        Ok(())
    }
}
