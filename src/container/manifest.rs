//! The manifest: where the model came from, what was done to it, its tensors in order, and the files that are given back.

use super::entry::{Available, Content, Contradiction, Entry};
use super::places::{read_checksums, read_place, write_checksums, write_place};
use super::wire::{Cursor, numbered, put_string};
use super::{ContainerError, Limits};
use crate::anatomy::Checksum;
use crate::model::FileFormat;
use crate::skeleton::{Segment, Target, misplaced, segments};
use crate::tensor::Span;
use crate::varint;
use std::collections::{BTreeMap, BTreeSet};

/// Kinds of source file by their number in the file.
const FORMATS: [FileFormat; 11] = [
    FileFormat::Safetensors,
    FileFormat::Npy,
    FileFormat::Npz,
    FileFormat::TorchZip,
    FileFormat::TorchLegacy,
    FileFormat::Qsz,
    FileFormat::Onnx,
    FileFormat::Gguf,
    FileFormat::Shards,
    FileFormat::TorchExport,
    FileFormat::Zip,
];

/// What a container says about itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// Name of the file that was compressed.
    pub source_name: String,
    /// Kind of that file.
    pub source_format: FileFormat,
    /// Length of that file.
    pub source_bytes: u64,
    /// Hash of the content of that file's tensors; the container carries it and does not interpret it.
    pub content_hash: u128,
    /// The recipe, as text.
    pub recipe: String,
    /// Free text by key.
    pub metadata: BTreeMap<String, String>,
    /// The files that are given back, with their lengths, the one to be opened first; none where the container holds weights
    /// alone.
    pub files: Vec<(String, u64)>,
    /// Checksums in those files of bytes that may be other than before; in order, their spans disjoint.
    pub checksums: Vec<Checksum>,
    /// The tensors, in order, with unique names.
    pub tensors: Vec<Entry>,
    /// What holds the bytes of the files that no tensor and no checksum has; empty where there is no file.
    pub skeleton: Entry,
}

impl Default for Manifest {
    fn default() -> Self {
        Self {
            source_name: String::new(),
            source_format: FileFormat::Safetensors,
            source_bytes: 0,
            content_hash: 0,
            recipe: String::new(),
            metadata: BTreeMap::new(),
            files: Vec::new(),
            checksums: Vec::new(),
            tensors: Vec::new(),
            skeleton: Entry::skeleton(0),
        }
    }
}

impl Manifest {
    /// Checks what a writer or a file says against the rules, and against what there is to refer to.
    pub(super) fn check(&self, available: Available) -> Result<(), Contradiction> {
        let mut names = BTreeSet::new();
        for (index, entry) in self.tensors.iter().enumerate() {
            let refused =
                |expected: String, found: String| Err(Contradiction { part: entry.part(), expected, found });
            if !names.insert(entry.name.as_str()) {
                return refused("a unique name".to_owned(), "one that an earlier tensor has".to_owned());
            }
            // A zero among the dimensions must not hide a product that does not fit.
            let mut dims = entry.shape.iter().map(|dim| (*dim).max(1));
            let bytes = dims.try_fold(entry.dtype.size_bytes(), u64::checked_mul);
            if bytes.is_none_or(|bytes| bytes >= 1 << 63) {
                return refused("fewer than 2^63 bytes".to_owned(), format!("shape {:?}", entry.shape));
            }
            if !entry.fits_its_place() {
                let expected = "a place that its elements fill in their order, or codes as they are";
                return refused(expected.to_owned(), "another".to_owned());
            }
            match &entry.content {
                Content::Codes(codec, len) => {
                    if let Some(expected) = codec.misfit(entry.len(), *len) {
                        return refused(expected, format!("{len} bytes"));
                    }
                }
                Content::SameAs(of) => self.check_same(index, *of)?,
                Content::Quantized(coding) => entry.check_coding(*coding, available)?,
                // Where a view lies is checked with the places.
                Content::Kept | Content::View(_) => {}
            }
        }
        Ok(())
    }

    fn check_same(&self, index: usize, of: usize) -> Result<(), Contradiction> {
        let earlier = self.tensors.get(..index).unwrap_or_default();
        let (Some(entry), Some(other)) = (self.tensors.get(index), earlier.get(of)) else {
            let part = format!("tensor {index}");
            return Err(Contradiction {
                part,
                expected: "an earlier tensor to equal".to_owned(),
                found: format!("tensor {of}"),
            });
        };
        let same = other.dtype == entry.dtype
            && other.len() == entry.len()
            && matches!(other.content, Content::Kept | Content::Quantized(_));
        if same {
            return Ok(());
        }
        Err(Contradiction {
            part: entry.part(),
            expected: format!(
                "a kept or quantized tensor of {} {} to equal",
                entry.len(),
                entry.dtype.name()
            ),
            found: format!("{} of {} {}", other.part(), other.len(), other.dtype.name()),
        })
    }
}

impl Manifest {
    /// Serialises the manifest; docs/format.md, "Manifest".
    pub(super) fn to_bytes(&self) -> Result<Vec<u8>, ContainerError> {
        let format = FORMATS.iter().position(|format| *format == self.source_format);
        let format = format.ok_or_else(|| {
            ContainerError::request(
                "manifest",
                "a source format known to containers",
                self.source_format.name(),
            )
        })?;
        let mut out = vec![format as u8];
        let is_first_file = self.files.first().is_some_and(|(name, _)| *name == self.source_name);
        put_string(if is_first_file { "" } else { &self.source_name }, &mut out);
        varint::put(self.source_bytes, &mut out);
        out.extend_from_slice(&self.content_hash.to_le_bytes());
        put_string(&self.recipe, &mut out);
        varint::put(self.metadata.len() as u64, &mut out);
        for (key, text) in &self.metadata {
            put_string(key, &mut out);
            put_string(text, &mut out);
        }
        varint::put(self.files.len() as u64, &mut out);
        for (name, len) in &self.files {
            put_string(name, &mut out);
            varint::put(*len, &mut out);
        }
        varint::put(self.tensors.len() as u64, &mut out);
        let mut end = 0;
        for entry in &self.tensors {
            entry.write(&mut out);
            if !self.files.is_empty() {
                write_place(entry.place.as_ref(), end, &mut out);
                end = entry.place_end().unwrap_or(end);
            }
        }
        if !self.files.is_empty() {
            write_checksums(&self.checksums, &mut out);
        }
        Ok(out)
    }

    /// Reads a serialised manifest.
    pub(super) fn read(mut cursor: Cursor<'_>, limits: &Limits) -> Result<Self, ContainerError> {
        let source_format = numbered(&mut cursor, &FORMATS, "a source format")?;
        let source_name = cursor.string()?;
        let source_bytes = cursor.varint()?;
        let content_hash = u128::from_le_bytes(cursor.array()?);
        let recipe = cursor.string()?.to_owned();
        let metadata = read_metadata(&mut cursor, limits)?;
        let files = read_files(&mut cursor, limits)?;
        let first_file = files.first().map_or("", |(name, _)| name);
        let source_name = if source_name.is_empty() { first_file } else { source_name }.to_owned();
        let count = cursor.varint()?;
        cursor.limited("the number of tensors", count, limits.tensors)?;
        let (mut tensors, mut end) = (Vec::new(), 0);
        for _ in 0..count {
            let mut entry = Entry::read(&mut cursor, limits)?;
            if !files.is_empty() {
                entry.place = read_place(&mut cursor, &entry.shape, end)?;
                end = entry.place_end().unwrap_or(end);
            }
            tensors.push(entry);
        }
        let checksums = if files.is_empty() { Vec::new() } else { read_checksums(&mut cursor, count)? };
        cursor.finish()?;
        Ok(Self {
            source_name,
            source_format,
            source_bytes,
            content_hash,
            recipe,
            metadata,
            files,
            checksums,
            tensors,
            skeleton: Entry::skeleton(0),
        })
    }

    /// Bytes of the files that are given back.
    pub fn file_bytes(&self) -> u64 {
        self.files.iter().map(|(_, len)| *len).fold(0, u64::saturating_add)
    }

    /// What the bytes of those files are, in order, and how many of them are in the skeleton; refused where that makes no
    /// file, or where a tensor is a view of anything but the skeleton.
    pub(super) fn segments(&self) -> Result<(Vec<Segment>, u64), Contradiction> {
        let refused = |part: String, expected: &str| {
            Err(Contradiction { part, expected: expected.to_owned(), found: "another".to_owned() })
        };
        let place = |(index, entry): (usize, &Entry)| {
            Some((index, Span { offset: entry.place.as_ref()?.offset, len: entry.stored_bytes() }))
        };
        let places = self.tensors.iter().enumerate().filter_map(place);
        let Some((segments, len)) = segments(self.file_bytes(), places, &self.checksums) else {
            let expected = "places of tensors and checksums beside each other in the files";
            return refused("manifest".to_owned(), expected);
        };
        let is_skeleton = |span: &Span| {
            let end = span.offset + span.len;
            let first = segments.partition_point(|own| own.span.offset + own.span.len <= span.offset);
            // Two runs of the skeleton have something else between them.
            segments.get(first).is_some_and(|own| {
                matches!(own.target, Target::Skeleton(_)) && end <= own.span.offset + own.span.len
            })
        };
        for entry in &self.tensors {
            let Content::View(view) = &entry.content else { continue };
            let window = view.window(&entry.shape, entry.dtype.size_bytes());
            if !window.is_some_and(|window| window.len == 0 || is_skeleton(&window)) {
                return refused(entry.part(), "a view of bytes of the skeleton");
            }
        }
        Ok((segments, len))
    }

    /// What has blocks: the tensors, and the skeleton behind them.
    pub fn holders(&self) -> impl Iterator<Item = &Entry> {
        self.tensors.iter().chain([&self.skeleton])
    }

    /// A tensor, or the skeleton at the index behind them.
    pub(super) fn holder(&self, index: usize) -> Option<&Entry> {
        self.tensors.get(index).or_else(|| (index == self.tensors.len()).then_some(&self.skeleton))
    }
}

fn read_files(cursor: &mut Cursor<'_>, limits: &Limits) -> Result<Vec<(String, u64)>, ContainerError> {
    let count = cursor.varint()?;
    cursor.limited("the number of files", count, limits.files)?;
    let mut files: Vec<(String, u64)> = Vec::new();
    let mut total = 0u64;
    for _ in 0..count {
        let (name, len) = (cursor.string()?, cursor.varint()?);
        let sum = total.checked_add(len).filter(|sum| *sum < 1 << 63);
        total = sum.ok_or_else(|| cursor.damaged("files of fewer than 2^63 bytes", len))?;
        files.push((name.to_owned(), len));
    }
    match misplaced(&files) {
        Some(name) => Err(cursor
            .damaged("other files' names inside the first one's folder, each once", format!("{name:?}"))),
        None => Ok(files),
    }
}

fn read_metadata(
    cursor: &mut Cursor<'_>,
    limits: &Limits,
) -> Result<BTreeMap<String, String>, ContainerError> {
    let count = cursor.varint()?;
    cursor.limited("the number of metadata entries", count, limits.metadata)?;
    let mut metadata: BTreeMap<String, String> = BTreeMap::new();
    for _ in 0..count {
        let (key, text) = (cursor.string()?, cursor.string()?);
        if metadata.last_key_value().is_some_and(|(last, _)| last.as_str() >= key) {
            return Err(cursor.damaged("metadata keys in ascending order", format!("{key:?}")));
        }
        metadata.insert(key.to_owned(), text.to_owned());
    }
    Ok(metadata)
}
