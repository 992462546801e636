//! Tells a safetensors file and locates its tensors.
//!
//! A file is accepted
//! exactly when the reference library accepts it, up to three differences: duplicate names and the limits on tensors
//! and rank are refused here, and element types of less than a byte (4- and 6-bit floats) are named as not supported.
//! Cost: linear in the header, O(n log n) in the number of tensors.

use crate::formats::error::shown;
use crate::formats::layout::{Declared, check_unique, element_count, shape_text};
use crate::formats::source::read_part;
use crate::formats::{FormatError, Limits, Source};
use crate::model::{FileFormat, Model};
use crate::order::sorted_by_key;
use crate::tensor::{Dtype, Span, Storage, Tensor};
use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, Visitor};
use std::collections::BTreeMap;

/// The reference library's limit on the header.
const LONGEST_HEADER: u64 = 100_000_000;

/// Bytes in front of the header.
const PREFIX_BYTES: u64 = 8;

/// Whether a file that starts with `head` has a JSON object where a safetensors header would be.
pub(in crate::formats) fn is_safetensors(head: &[u8]) -> bool {
    let header = head.get(PREFIX_BYTES as usize..).unwrap_or_default();
    header.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'{')
}

/// Locates the tensors of a safetensors file, in the order of its header.
pub(in crate::formats) fn open(source: &dyn Source, limits: &Limits) -> Result<Model, FormatError> {
    let prefix = read_part(source, "the safetensors header length", 0, PREFIX_BYTES, PREFIX_BYTES)?;
    let header_len = prefix.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
    let part = "the safetensors header";
    let bytes = read_part(source, part, PREFIX_BYTES, header_len, LONGEST_HEADER.min(limits.header_bytes))?;
    let text = std::str::from_utf8(&bytes).map_err(|error| {
        FormatError::damaged(part, "UTF-8 text", format!("other bytes after {}", error.valid_up_to()))
    })?;
    let header = parse(text, limits)?;
    if header.count > limits.tensors {
        return Err(FormatError::too_large("the number of tensors", header.count, limits.tensors));
    }
    check_unique(part, header.entries.iter().map(|(name, _)| name.as_str()))?;
    let data_offset = PREFIX_BYTES + header_len;
    check_coverage(&header.entries, source.len() - data_offset)?;
    let tensors = header.entries.into_iter().map(|(name, entry)| locate(name, entry, data_offset, limits));
    Ok(Model {
        tensors: tensors.collect::<Result<_, _>>()?,
        metadata: header.metadata,
        ..Model::empty(FileFormat::Safetensors)
    })
}

/// Entries of metadata that are kept; files made to hurt have millions.
const MOST_METADATA: usize = 65_536;

/// The metadata's entries, as many as are kept.
#[derive(Default)]
struct Metadata(BTreeMap<String, String>);

impl<'de> serde::Deserialize<'de> for Metadata {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Keep;
        impl<'de> Visitor<'de> for Keep {
            type Value = Metadata;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a map of texts")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Metadata, A::Error> {
                let mut kept = BTreeMap::new();
                while let Some((key, value)) = map.next_entry::<String, String>()? {
                    if kept.len() < MOST_METADATA {
                        kept.insert(key, value);
                    }
                }
                Ok(Metadata(kept))
            }
        }
        deserializer.deserialize_map(Keep)
    }
}

#[derive(serde::Deserialize)]
struct Entry {
    dtype: String,
    shape: Vec<u64>,
    data_offsets: (u64, u64),
}

struct Header {
    entries: Vec<(String, Entry)>,
    metadata: BTreeMap<String, String>,
    /// Number of tensors met; those over the limit are not kept.
    count: u64,
}

fn parse(text: &str, limits: &Limits) -> Result<Header, FormatError> {
    let mut json = serde_json::Deserializer::from_str(text);
    let header = HeaderSeed { most: limits.tensors }.deserialize(&mut json);
    header.and_then(|header| json.end().map(|()| header)).map_err(|error| {
        FormatError::damaged(
            "the safetensors header",
            "JSON that describes tensors",
            shown(&error.to_string()),
        )
    })
}

/// Reads the header in order, keeping at most `most` tensors, so that a JSON of many does not fill the memory.
struct HeaderSeed {
    most: u64,
}

impl<'de> DeserializeSeed<'de> for HeaderSeed {
    type Value = Header;

    fn deserialize<D: serde::Deserializer<'de>>(self, deserializer: D) -> Result<Header, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for HeaderSeed {
    type Value = Header;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object with one member for each tensor")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Header, A::Error> {
        let mut header = Header { entries: Vec::new(), metadata: BTreeMap::new(), count: 0 };
        while let Some(name) = map.next_key::<String>()? {
            if name == "__metadata__" {
                header.metadata = map.next_value::<Option<Metadata>>()?.unwrap_or_default().0;
                continue;
            }
            header.count += 1;
            if header.count <= self.most {
                header.entries.push((name, map.next_value()?));
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(header)
    }
}

/// An error unless the byte ranges lie end to end and fill all of `data_len` bytes.
fn check_coverage(entries: &[(String, Entry)], data_len: u64) -> Result<(), FormatError> {
    // By start, and by end where starts are equal, as those of empty tensors are.
    let entries: Vec<&(String, Entry)> = entries.iter().collect();
    let by_end = sorted_by_key(&entries, |(_, entry)| entry.data_offsets.1);
    let order = sorted_by_key(&by_end, |(_, entry)| entry.data_offsets.0);
    let mut at = 0;
    for (name, entry) in order {
        let (start, end) = entry.data_offsets;
        if start != at || end < start {
            return Err(FormatError::damaged(
                format!("the byte range of tensor {}", shown(name)),
                format!("a range from byte {at} of the data, where the one before ends"),
                format!("{start} to {end}"),
            ));
        }
        at = end;
    }
    if at != data_len {
        return Err(FormatError::damaged(
            "the safetensors data",
            format!("the {at} bytes that the tensors fill"),
            format!("{data_len} bytes"),
        ));
    }
    Ok(())
}

fn locate(name: String, entry: Entry, data_offset: u64, limits: &Limits) -> Result<Tensor, FormatError> {
    let part = format!("tensor {}", shown(&name));
    let Some(dtype) = Dtype::from_name(&entry.dtype).filter(|dtype| *dtype != Dtype::C128) else {
        return Err(FormatError::unsupported(part, format!("element type {}", shown(&entry.dtype))));
    };
    let size = element_count(&part, &entry.shape, dtype, limits)?.saturating_mul(dtype.size_bytes());
    let (start, end) = entry.data_offsets;
    if end - start != size {
        let shape = shape_text(&entry.shape);
        let expected = format!("{size} bytes for shape {shape} of {}", dtype.name());
        return Err(FormatError::damaged(part, expected, format!("{} bytes", end - start)));
    }
    let storage = Storage::Stored(Span { offset: data_offset + start, len: size });
    let shape = entry.shape;
    Declared { name, dtype, shape, storage, offset: 0, strides: None, big_endian: false }.locate(limits)
}
