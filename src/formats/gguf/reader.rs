//! Locates the tensors of a GGUF file, or of the files that a model is split over.

use super::header::{Header, Info, Split, is_gguf};
use super::types::Type;
use crate::formats::error::shown;
use crate::formats::layout::{Declared, check_unique, element_count, shape_text};
use crate::formats::shards::Member;
use crate::formats::{FormatError, Limits, Part, Source, read_part};
use crate::model::{FileFormat, Model};
use crate::order::into_sorted_by_key;
use crate::tensor::{Span, Storage, Tensor};

/// The names of the other files of a split model, which its own name tells: a source of one named part.
pub(in crate::formats) fn companions(source: &dyn Source, _: &Limits) -> Result<Vec<String>, FormatError> {
    let Some(Part { name, span }) = source.parts().first() else { return Ok(Vec::new()) };
    if span.len < 4 || !is_gguf(&read_part(source, "the file's start", span.offset, 4, 4)?) {
        return Ok(Vec::new());
    }
    let mut names = Member::of(name).map_or_else(Vec::new, |member| member.names());
    names.retain(|other| other != name);
    Ok(names)
}

/// Locates the tensors of a GGUF file, in the order of its header; those of a split model in the order of its parts.
pub(in crate::formats) fn open(source: &dyn Source, limits: &Limits) -> Result<Model, FormatError> {
    let whole = [Part { name: String::new(), span: Span { offset: 0, len: source.len() } }];
    let files = if source.parts().is_empty() { &whole[..] } else { source.parts() };
    let mut parts = Vec::new();
    for file in files {
        parts.push((Header::read(source, file.span, limits, false)?, file));
    }
    let parts = into_sorted_by_key(parts, |(header, _)| header.split.number);
    check_split(&parts)?;
    let mut tensors = Vec::new();
    let mut dropped: Vec<&'static str> = Vec::new();
    let (mut metadata, mut is_partial) = (None, false);
    for (header, file) in &parts {
        let end = header.end - file.span.offset;
        let start = end.next_multiple_of(header.alignment);
        let mut data = Data { header, file: file.span, start, at: 0 };
        for info in &header.tensors {
            let kind = kind(info, header)?;
            tensors.push(data.locate(info, kind, limits)?);
            if let Type::Dropped(name) = kind {
                dropped.push(name);
            }
        }
        is_partial |= header.is_summary;
        metadata.get_or_insert(&header.metadata);
    }
    check_unique("the GGUF tensors", tensors.iter().map(|tensor| tensor.name.as_str()))?;
    let notes = match dropped.first() {
        None => Vec::new(),
        Some(name) => vec![format!(
            "tensors of types that ggml dropped, such as {name}, are carried as bytes and not decoded: {}",
            dropped.len()
        )],
    };
    let metadata = metadata.cloned().unwrap_or_default();
    Ok(Model { tensors, metadata, is_partial, notes, ..Model::empty(FileFormat::Gguf) })
}

/// An error unless the files are all parts of one model, each of them once.
fn check_split(parts: &[(Header, &Part)]) -> Result<(), FormatError> {
    let Some((first, file)) = parts.first() else { return Ok(()) };
    let count = first.split.count.max(1);
    let mut numbers: Vec<u64> = Vec::new();
    for (header, file) in parts {
        let Split { number, count: own, .. } = header.split;
        if own.max(1) != count || number >= count || numbers.contains(&number) {
            let part = format!("split GGUF file {}", shown(&file.name));
            let found = format!("part {} of {own}", number.saturating_add(1));
            return Err(FormatError::damaged(part, format!("one of {count} parts, each once"), found));
        }
        numbers.push(number);
    }
    // The first few that are missing are enough to say.
    let names = Member::of(&file.name).map_or_else(Vec::new, |member| member.names());
    let named = |number: u64| {
        let known = names.get(number as usize).filter(|_| names.len() as u64 == count);
        known.map_or_else(|| format!("…-{:05}-of-{count:05}.gguf", number + 1), |name| shown(name))
    };
    let missing = (0..count).filter(|number| !numbers.contains(number)).take(8).map(named);
    let missing: Vec<String> = missing.collect();
    if !missing.is_empty() {
        let part = format!("a GGUF model that is split over {count} files");
        let found = format!("all but {}", missing.join(", "));
        return Err(FormatError::damaged(part, "all of them together", found));
    }
    let found = parts.iter().map(|(header, _)| header.tensors.len() as u64).sum::<u64>();
    match first.split.tensors {
        Some(said) if said != found && count > 1 => {
            let expected = format!("{said} tensors in all parts");
            Err(FormatError::damaged("GGUF key split.tensors.count", expected, found.to_string()))
        }
        _ => Ok(()),
    }
}

/// The type of a tensor, if it is known and can be read in the file's byte order.
fn kind(info: &Info, header: &Header) -> Result<Type, FormatError> {
    let part = || format!("tensor {}", shown(&info.name));
    let kind = Type::from_number(info.number)
        .ok_or_else(|| FormatError::unsupported(part(), format!("ggml type {}", info.number)))?;
    match kind {
        Type::Coded(codec) if header.is_big_endian && !codec.is_known_big_endian() => {
            Err(FormatError::unsupported(part(), format!("{} in a big-endian file", kind.name())))
        }
        _ => Ok(kind),
    }
}

/// The tensors' bytes of one file.
struct Data<'a> {
    header: &'a Header,
    /// Where the file lies in the source.
    file: Span,
    /// First byte of them, in the file.
    start: u64,
    /// Where the next tensor is to start, from there.
    at: u64,
}

impl Data<'_> {
    /// The next tensor. As in ggml each starts where the one before it ends, up to the alignment, so that no two share bytes and
    /// a type of another size than is known here is found.
    fn locate(&mut self, info: &Info, kind: Type, limits: &Limits) -> Result<Tensor, FormatError> {
        let part = format!("tensor {}", shown(&info.name));
        let unit = kind.unit();
        let count = element_count(&part, &info.shape, kind.dtype(), limits)?;
        let row = info.shape.last().copied().unwrap_or(1);
        if row % unit.elements != 0 {
            let expected =
                format!("rows of whole blocks of {} elements of type {}", unit.elements, kind.name());
            return Err(FormatError::damaged(part, expected, format!("shape {}", shape_text(&info.shape))));
        }
        let len = (count / unit.elements).saturating_mul(unit.bytes);
        if info.offset != self.at {
            let expected = format!("its bytes at byte {} of the data", self.at);
            return Err(FormatError::damaged(part, expected, format!("byte {}", info.offset)));
        }
        let offset = self.start.saturating_add(info.offset);
        let left = self.file.len.saturating_sub(offset);
        if len > left {
            let offset = self.file.offset.saturating_add(offset);
            return Err(FormatError::truncated(part, offset, len, left));
        }
        self.at = (info.offset + len).next_multiple_of(self.header.alignment);
        let span = Span { offset: self.file.offset + offset.min(self.file.len), len };
        let (mut shape, dtype) = (info.shape.clone(), kind.dtype());
        let storage = match kind {
            Type::Coded(codec) => Storage::Encoded { span, codec, len: count * dtype.size_bytes() },
            Type::Plain(_) => Storage::Stored(span),
            Type::Dropped(_) => {
                shape.iter_mut().rev().take(1).for_each(|row| *row = *row / unit.elements * unit.bytes);
                Storage::Stored(span)
            }
        };
        let (offset, strides, big_endian) = (0, None, self.header.is_big_endian);
        Declared { name: info.name.clone(), dtype, shape, storage, offset, strides, big_endian }
            .locate(limits)
    }
}
