//! Takes a model's file apart: what its skeleton is made of, and what lies where in the file that is given back.

use super::files::misplaced;
use super::map::{CHECKSUM_BYTES, segments};
use super::{Piece, View};
use crate::anatomy::{Checksum, Inflated};
use crate::model::Model;
use crate::order;
use crate::tensor::{Span, Storage, Tensor};
use serde::{Deserialize, Serialize};

/// How a tensor's numbers are held where they are not quantized.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Form {
    /// As elements.
    Elements,
    /// As the codes that stand for its elements.
    Codes,
    /// In the skeleton.
    View(View),
}

/// A file taken apart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skeleton {
    /// The files that are given back, with the lengths they have then; the first is the one to be opened, and may be without
    /// a name.
    pub files: Vec<(String, u64)>,
    /// The bytes that no tensor and no checksum has.
    pub pieces: Vec<Piece>,
    /// Number of those bytes.
    pub len: u64,
    /// The checksums of bytes that change.
    pub checksums: Vec<Checksum>,
    /// Where each tensor's numbers go.
    pub places: Vec<Option<View>>,
    /// How each tensor is held that is not quantized.
    pub forms: Vec<Form>,
}

/// Which tensors have no place of their own: they share bytes with others in another form, or have gaps between their elements.
///
/// Cost: that of sorting the tensors.
pub fn without_place(model: &Model) -> Vec<bool> {
    // In the source itself, or in a deflated part of it, which begins at one byte more.
    let mut lies: Vec<(usize, u64, Span)> = Vec::with_capacity(model.tensors.len());
    let mut without = vec![false; model.tensors.len()];
    let mut mark = |index: usize| without.get_mut(index).into_iter().for_each(|slot| *slot = true);
    for (index, tensor) in model.tensors.iter().enumerate() {
        if tensor.is_empty() || is_tied_in_place(model, tensor) {
            continue;
        }
        if !View::of(tensor, 0).is_dense(&tensor.shape) {
            mark(index);
        }
        // Readers give no tensor whose elements lie where no byte can.
        lies.extend(window(tensor).map(|(medium, window)| (index, medium, window)));
    }
    let lies = order::into_sorted_by_key(lies, |(_, _, window)| window.offset);
    let lies = order::into_sorted_by_key(lies, |(_, medium, _)| *medium);
    let mut last: Option<(usize, u64, u64)> = None;
    for (index, medium, window) in lies {
        let end = window.offset.saturating_add(window.len);
        match last {
            Some((before, in_medium, end_before)) if in_medium == medium && window.offset < end_before => {
                mark(before);
                mark(index);
                if end > end_before {
                    last = Some((index, medium, end));
                }
            }
            _ => last = Some((index, medium, end)),
        }
    }
    // What equals a tensor that has none is as well held by the skeleton.
    for (index, tensor) in model.tensors.iter().enumerate() {
        let origin = tensor.same_as.and_then(|origin| without.get(origin)).copied();
        if origin == Some(true)
            && let Some(slot) = without.get_mut(index)
        {
            *slot = true;
        }
    }
    without
}

/// Whether a tensor is an earlier one under another name, and not another with equal elements.
fn is_tied_in_place(model: &Model, tensor: &Tensor) -> bool {
    let origin = tensor.same_as.and_then(|index| model.tensors.get(index));
    origin.is_some_and(|origin| {
        View::of(origin, 0) == View::of(tensor, 0)
            && origin.storage == tensor.storage
            && origin.shape == tensor.shape
    })
}

/// The bytes that a tensor's elements reach over, and of which medium.
fn window(tensor: &Tensor) -> Option<(u64, Span)> {
    let span = tensor.storage.span();
    let (medium, start) = match tensor.storage {
        Storage::Stored(_) => (0, span.offset),
        Storage::Encoded { .. } => return Some((0, span)),
        Storage::Deflated { .. } => (span.offset + 1, 0),
    };
    Some((medium, View::of(tensor, start).window(&tensor.shape, tensor.dtype.size_bytes())?))
}

/// What is at some bytes of the source.
enum Event<'a> {
    /// Bytes that others take the place of.
    Edit(&'a [u8]),
    /// A checksum of bytes that change.
    Checksum,
    /// A tensor's numbers.
    Tensor(usize),
    /// A deflated part, with the tensors in it.
    Inflated(&'a Inflated, Vec<usize>),
}

impl Skeleton {
    /// Takes the file of a model apart, some tensors of which are quantized; an error says why that cannot be.
    ///
    /// Cost: that of sorting the tensors.
    pub fn new(model: &Model, is_quantized: &dyn Fn(usize) -> bool) -> Result<Self, &'static str> {
        let anatomy = &model.anatomy;
        let decodes =
            model.tensors.iter().enumerate().any(|(index, tensor)| {
                matches!(tensor.storage, Storage::Encoded { .. }) && is_quantized(index)
            });
        if anatomy.is_unknown && (0..model.tensors.len()).any(is_quantized) {
            return Err("it is an archive inside another, whose checksums change");
        }
        let has_room = anatomy.edits_decode && !anatomy.edits.is_empty();
        if decodes && !has_room {
            return Err("a tensor that was quantized in the file's own way is quantized anew");
        }
        let edits = if decodes || !anatomy.edits_decode { anatomy.edits.as_slice() } else { &[] };
        let without = without_place(model);
        let changed = changed(model, is_quantized);
        let changes = |of: Span| {
            let first = changed.partition_point(|at| *at < of.offset);
            changed.get(first).is_some_and(|at| *at - of.offset < of.len)
        };
        let checksums: Vec<&Checksum> =
            anatomy.checksums.iter().filter(|checksum| changes(checksum.of)).collect();
        let mut events: Vec<(Span, Event)> =
            edits.iter().map(|edit| (edit.span, Event::Edit(&edit.bytes))).collect();
        let sums = checksums.iter().flat_map(|checksum| &checksum.at);
        events.extend(sums.map(|at| (Span { offset: *at, len: CHECKSUM_BYTES }, Event::Checksum)));
        let mut inflated: Vec<Vec<usize>> = vec![Vec::new(); anatomy.inflated.len()];
        for (index, tensor) in model.tensors.iter().enumerate() {
            let is_placed = !without.get(index).is_some_and(|without| *without)
                && !tensor.is_empty()
                && !is_tied_in_place(model, tensor);
            if !is_placed {
                continue;
            }
            let span = tensor.storage.span();
            match tensor.storage {
                Storage::Stored(_) => {
                    let len = tensor.size_bytes();
                    let offset = span.offset + tensor.offset;
                    events.push((Span { offset, len }, Event::Tensor(index)));
                }
                Storage::Encoded { .. } => events.push((span, Event::Tensor(index))),
                Storage::Deflated { .. } => {
                    let part = anatomy.inflated.partition_point(|part| part.span.offset < span.offset);
                    let is_known = anatomy.inflated.get(part).is_some_and(|part| part.span == span);
                    let part = inflated.get_mut(part).filter(|_| is_known);
                    part.ok_or("a deflated part of it is not to be written anew")?.push(index);
                }
            }
        }
        let parts = anatomy.inflated.iter().zip(inflated);
        events.extend(parts.map(|(part, tensors)| (part.span, Event::Inflated(part, tensors))));
        let mut walk = Walk::new(model, decodes);
        for (span, event) in order::into_sorted_by_key(events, |(span, _)| span.offset) {
            walk.step(span, &event)?;
        }
        walk.finish(&checksums, &without)
    }
}

/// Where the bytes of the source begin that have other numbers than before, ascending.
fn changed(model: &Model, is_quantized: &dyn Fn(usize) -> bool) -> Vec<u64> {
    // A tensor changes with the one that it equals.
    let is_changed = |(index, _): &(usize, &Tensor)| is_quantized(model.origin(*index));
    let start = |tensor: &Tensor| match tensor.storage {
        Storage::Stored(span) => span.offset + tensor.offset,
        _ => tensor.storage.span().offset,
    };
    let tensors = model.tensors.iter().enumerate().filter(is_changed);
    let starts: Vec<u64> = tensors.map(|(_, tensor)| start(tensor)).collect();
    order::sorted_by_key(&starts, |at| *at)
}

/// Why a deflated part cannot be written anew.
const UNKNOWN: &str = "a deflated part of it has bytes that are not known";

/// Goes through the source from front to back.
struct Walk<'a> {
    model: &'a Model,
    /// Whether codes are given back as elements.
    decodes: bool,
    pieces: Vec<Piece>,
    places: Vec<Option<View>>,
    /// Bytes of the source that are passed.
    at: u64,
    /// Bytes of the file given back up to there.
    target: u64,
    /// For the end of everything that may be longer or shorter there, where it is in the source and where there.
    ends: Vec<(u64, u64)>,
}

impl<'a> Walk<'a> {
    fn new(model: &'a Model, decodes: bool) -> Self {
        let places = vec![None; model.tensors.len()];
        Self { model, decodes, pieces: Vec::new(), places, at: 0, target: 0, ends: vec![(0, 0)] }
    }

    /// Takes the bytes of the source up to `end` for the skeleton.
    fn copy(&mut self, end: u64) -> Result<(), &'static str> {
        let len = end.checked_sub(self.at).ok_or("parts of it overlap")?;
        if len > 0 {
            self.pieces.push(Piece::Source(Span { offset: self.at, len }));
        }
        (self.at, self.target) = (end, self.target + len);
        Ok(())
    }

    fn put(&mut self, bytes: &[u8]) {
        if !bytes.is_empty() {
            self.pieces.push(Piece::Bytes(bytes.to_vec()));
            self.target += bytes.len() as u64;
        }
    }

    fn place(&mut self, index: usize) {
        let Some(tensor) = self.model.tensors.get(index) else { return };
        let is_code = matches!(tensor.storage, Storage::Encoded { .. });
        let codes = View { big_endian: tensor.big_endian, ..View::default() };
        let view = if is_code && !self.decodes { codes } else { View::of(tensor, 0) };
        if let Some(place) = self.places.get_mut(index) {
            *place = Some(View { offset: self.target, ..view });
        }
        self.target += self.held_bytes(index);
    }

    /// Bytes of a tensor in the file given back.
    fn held_bytes(&self, index: usize) -> u64 {
        let bytes = if self.decodes { Tensor::size_bytes } else { Tensor::stored_bytes };
        self.model.tensors.get(index).map_or(0, bytes)
    }

    fn step(&mut self, span: Span, event: &Event) -> Result<(), &'static str> {
        self.copy(span.offset)?;
        match event {
            Event::Edit(bytes) => self.put(bytes),
            Event::Checksum => self.target += CHECKSUM_BYTES,
            Event::Tensor(index) => self.place(*index),
            Event::Inflated(part, tensors) => self.inflate(part, tensors)?,
        }
        self.at = span.offset + span.len;
        self.ends.push((self.at, self.target));
        Ok(())
    }

    /// The bytes of a deflated part: its gaps, and its tensors between them.
    fn inflate(&mut self, part: &Inflated, tensors: &[usize]) -> Result<(), &'static str> {
        let offset = |index: &usize| self.model.tensors.get(*index).map_or(0, |tensor| tensor.offset);
        let tensors = order::sorted_by_key(tensors, |index| offset(index));
        let (mut gaps, start) = (part.gaps.iter().peekable(), self.target);
        let mut fill = |walk: &mut Self, end: u64| {
            while let Some((at, bytes)) = gaps.next_if(|(at, _)| *at < end) {
                if start + at != walk.target {
                    return Err(UNKNOWN);
                }
                walk.put(bytes);
            }
            if start + end == walk.target { Ok(()) } else { Err(UNKNOWN) }
        };
        for index in tensors {
            let Some(tensor) = self.model.tensors.get(index) else { continue };
            fill(self, tensor.offset)?;
            self.place(index);
        }
        fill(self, part.len)
    }

    /// Where a byte of the source is in the file given back.
    fn mapped(&self, at: u64) -> u64 {
        let before = self.ends.partition_point(|(source, _)| *source <= at);
        let (source, target) =
            before.checked_sub(1).and_then(|i| self.ends.get(i)).copied().unwrap_or_default();
        target + (at - source)
    }

    fn finish(mut self, checksums: &[&Checksum], without: &[bool]) -> Result<Skeleton, &'static str> {
        let model = self.model;
        let total = model.files.iter().map(|(_, len)| *len).fold(0, u64::saturating_add);
        self.copy(total)?;
        let mut start = 0;
        let files = model.files.iter().map(|(own, len)| {
            let (first, end) = (self.mapped(start), self.mapped(start + len));
            start += len;
            (own.clone(), end - first)
        });
        let files: Vec<(String, u64)> = files.collect();
        if misplaced(&files).is_some() {
            return Err("one of its files is called as none can be that is given back");
        }
        let mapped = |checksum: &&Checksum| {
            let (start, end) =
                (self.mapped(checksum.of.offset), self.mapped(checksum.of.offset + checksum.of.len));
            let at = checksum.at.iter().map(|at| self.mapped(*at)).collect();
            Checksum { of: Span { offset: start, len: end - start }, at }
        };
        let checksums: Vec<Checksum> = checksums.iter().map(mapped).collect();
        let place = |(index, place): (usize, &Option<View>)| {
            Some((index, Span { offset: place.as_ref()?.offset, len: self.held_bytes(index) }))
        };
        let places = self.places.iter().enumerate().filter_map(place);
        let len = self.pieces.iter().map(Piece::len).sum();
        if segments(self.target, places, &checksums).is_none_or(|(_, skeleton)| skeleton != len) {
            return Err("parts of it overlap");
        }
        let form = |(index, tensor): (usize, &Tensor)| match tensor.storage {
            Storage::Encoded { .. } if !self.decodes => Form::Codes,
            Storage::Stored(span) if without.get(index) == Some(&true) => {
                Form::View(View::of(tensor, self.mapped(span.offset)))
            }
            _ => Form::Elements,
        };
        let forms = model.tensors.iter().enumerate().map(form).collect();
        Ok(Skeleton { files, len, checksums, places: self.places, forms, pieces: self.pieces })
    }
}
