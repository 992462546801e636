//! The header of a GGUF file: keys, and what it says of every tensor.
//!
//! It is walked through a window of 64 KB, whatever the size of its vocabularies: arrays are counted and passed over.

use crate::formats::error::shown;
use crate::formats::{FormatError, Limits, Source};
use crate::tensor::Span;
use std::collections::BTreeMap;

/// What a header is called in errors.
const PART: &str = "the GGUF header";
/// Bytes read at a time.
const WINDOW: u64 = 1 << 16;
/// Keys that a file may have.
const MOST_KEYS: u64 = 65_536;
/// The longest key, and the longest name of a tensor, in bytes.
const LONGEST_KEY: u64 = 65_535;
const LONGEST_NAME: u64 = 64;
/// Texts up to this many bytes are kept; longer ones are counted.
const LONGEST_TEXT: u64 = 4096;
/// ggml's tensors have as many dimensions at most.
const MOST_DIMENSIONS: u64 = 4;

/// Numbers of the types of values.
const UINT32: u32 = 4;
const STRING: u32 = 8;
const ARRAY: u32 = 9;
/// The types of values by their numbers, with the bytes of one; what has none is of no fixed size.
const TYPES: [(&str, usize); 13] = [
    ("u8", 1),
    ("i8", 1),
    ("u16", 2),
    ("i16", 2),
    ("u32", 4),
    ("i32", 4),
    ("f32", 4),
    ("bool", 1),
    ("text", 0),
    ("array", 0),
    ("u64", 8),
    ("i64", 8),
    ("f64", 8),
];

/// Whether a file that starts with `head` is GGUF.
pub(in crate::formats) fn is_gguf(head: &[u8]) -> bool {
    head.starts_with(b"GGUF")
}

/// What a header says of a tensor.
pub(super) struct Info {
    pub(super) name: String,
    /// Outermost first.
    pub(super) shape: Vec<u64>,
    pub(super) number: u32,
    /// First byte, from the start of the tensors' bytes.
    pub(super) offset: u64,
}

/// Which part of a split model a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Split {
    /// Its place among the parts, from zero.
    pub(super) number: u64,
    /// How many parts there are; one for a whole model.
    pub(super) count: u64,
    /// How many tensors there are in all of them, where that is said.
    pub(super) tensors: Option<u64>,
}

/// A header, as far as it was asked for.
pub(super) struct Header {
    pub(super) is_big_endian: bool,
    pub(super) metadata: BTreeMap<String, String>,
    /// Whether a value is only counted in the metadata.
    pub(super) is_summary: bool,
    pub(super) alignment: u64,
    pub(super) split: Split,
    pub(super) tensors: Vec<Info>,
    /// First byte behind the header, in the source.
    pub(super) end: u64,
}

impl Header {
    /// The header of the file that lies at `file` in the source; without its tensors where only keys are asked for.
    pub(super) fn read(
        source: &dyn Source,
        file: Span,
        limits: &Limits,
        only_keys: bool,
    ) -> Result<Self, FormatError> {
        let mut fields = Fields::new(source, file, limits);
        let version = fields.start()?;
        if !(2..=3).contains(&version) {
            return Err(FormatError::unsupported("GGUF", format!("version {version}, and 2 and 3 are read")));
        }
        let (tensors, keys) = (fields.number(8)?, fields.number(8)?);
        for (part, count, limit) in
            [("the number of tensors", tensors, limits.tensors), ("the number of keys", keys, MOST_KEYS)]
        {
            if count > limit {
                return Err(FormatError::too_large(part, count, limit));
            }
        }
        let split = Split { number: 0, count: 1, tensors: None };
        let mut header = Self {
            is_big_endian: fields.is_big_endian,
            metadata: BTreeMap::new(),
            is_summary: false,
            alignment: 32,
            split,
            tensors: Vec::new(),
            end: 0,
        };
        for _ in 0..keys {
            header.take(fields.key()?)?;
        }
        for _ in 0..if only_keys { 0 } else { tensors } {
            header.tensors.push(fields.tensor()?);
        }
        header.end = fields.at;
        Ok(header)
    }

    /// Keeps a key, and what it says of the file itself.
    fn take(&mut self, (key, value): (String, Value)) -> Result<(), FormatError> {
        let Value { number, text, kind, is_summary } = value;
        let part = || format!("GGUF key {}", shown(&key));
        match key.as_str() {
            "general.alignment" => {
                let aligned = number.filter(|number| kind == UINT32 && number.is_power_of_two());
                self.alignment = aligned.ok_or_else(|| {
                    FormatError::damaged(part(), "a power of two of type u32", text.as_str())
                })?;
            }
            "split.no" | "split.count" | "split.tensors.count" => {
                let number = number.ok_or_else(|| FormatError::damaged(part(), "a count", text.as_str()))?;
                match key.as_str() {
                    "split.no" => self.split.number = number,
                    "split.count" => self.split.count = number,
                    _ => self.split.tensors = Some(number),
                }
            }
            _ => {}
        }
        self.is_summary |= is_summary;
        match self.metadata.insert(key.clone(), text) {
            Some(_) => Err(FormatError::damaged(PART, "unique keys", format!("{} twice", shown(&key)))),
            None => Ok(()),
        }
    }
}

/// A key's value.
struct Value {
    kind: u32,
    text: String,
    /// Its value, where it is a whole number and not below zero.
    number: Option<u64>,
    /// Whether the text only says what it is.
    is_summary: bool,
}

/// The fields of a header, one after another.
struct Fields<'a> {
    source: &'a dyn Source,
    file: Span,
    /// Bytes of a header that are read at most.
    most: u64,
    is_big_endian: bool,
    window: Vec<u8>,
    /// Where the window lies in the source.
    base: u64,
    /// The next field, in the source.
    at: u64,
}

impl<'a> Fields<'a> {
    fn new(source: &'a dyn Source, file: Span, limits: &Limits) -> Self {
        let (base, at) = (file.offset, file.offset);
        Self { source, file, most: limits.header_bytes, is_big_endian: false, window: Vec::new(), base, at }
    }

    /// The signature and the version, which tells the byte order.
    fn start(&mut self) -> Result<u64, FormatError> {
        let signature = self.take(4)?.to_vec();
        if !is_gguf(&signature) {
            let found = shown(&String::from_utf8_lossy(&signature));
            return Err(FormatError::damaged(PART, "GGUF at its start", found));
        }
        let version = self.number(4)?;
        // Versions are small: the other order makes them large.
        self.is_big_endian = version > 0 && version.trailing_zeros() >= 16;
        Ok(if self.is_big_endian { u64::from((version as u32).swap_bytes()) } else { version })
    }

    /// Bytes of the file that are left.
    fn left(&self) -> u64 {
        self.file.len.saturating_sub(self.at - self.file.offset)
    }

    fn truncated(&self, needed: u64) -> FormatError {
        FormatError::truncated(PART, self.at, needed, self.left())
    }

    /// The next bytes, at most as many as a window holds.
    fn take(&mut self, len: u64) -> Result<&[u8], FormatError> {
        if len > self.left() {
            return Err(self.truncated(len));
        }
        let read = self.at - self.file.offset;
        if read > self.most {
            return Err(FormatError::too_large(format!("the length of {PART}"), read, self.most));
        }
        if self.at < self.base || self.at + len > self.base + self.window.len() as u64 {
            self.base = self.at;
            self.window.clear();
            self.window.resize(self.left().min(WINDOW) as usize, 0);
            let read = self.source.read_at(self.at, &mut self.window);
            read.map_err(|source| FormatError::io(PART, self.base, source))?;
        }
        let start = (self.at - self.base) as usize;
        self.at += len;
        Ok(self.window.get(start..start + len as usize).unwrap_or_default())
    }

    /// Passes over bytes.
    fn skip(&mut self, len: u64) -> Result<(), FormatError> {
        if len > self.left() {
            return Err(self.truncated(len));
        }
        self.at += len;
        Ok(())
    }

    /// The next number of `size` bytes, zeros above it.
    fn number(&mut self, size: usize) -> Result<u64, FormatError> {
        let is_big_endian = self.is_big_endian;
        let mut bytes = [0; 8];
        bytes.iter_mut().zip(self.take(size as u64)?).for_each(|(slot, byte)| *slot = *byte);
        if is_big_endian {
            bytes.get_mut(..size).unwrap_or_default().reverse();
        }
        Ok(u64::from_le_bytes(bytes))
    }

    /// The bytes of the next text, if it is at most so long; else its length, and it is passed over.
    fn text(&mut self, longest: u64) -> Result<Result<Vec<u8>, u64>, FormatError> {
        let len = self.number(8)?;
        if len > longest {
            self.skip(len)?;
            return Ok(Err(len));
        }
        Ok(Ok(self.take(len)?.to_vec()))
    }

    /// The next text, which names something.
    fn name(&mut self, what: &str, longest: u64) -> Result<String, FormatError> {
        let at = self.at;
        let part = || format!("{what} at byte {at}");
        let bytes = self.text(longest)?;
        let bytes =
            bytes.map_err(|len| FormatError::too_large(format!("{}, in bytes,", part()), len, longest))?;
        String::from_utf8(bytes).map_err(|error| {
            FormatError::damaged(part(), "UTF-8 text", shown(&String::from_utf8_lossy(error.as_bytes())))
        })
    }

    /// The next key with its value.
    fn key(&mut self) -> Result<(String, Value), FormatError> {
        let at = self.at;
        let key = self.name("the GGUF key", LONGEST_KEY)?;
        if key.is_empty() {
            return Err(FormatError::damaged(format!("the GGUF key at byte {at}"), "a name", "none"));
        }
        let kind = self.number(4)? as u32;
        let value = self.value(kind, &key)?;
        Ok((key, value))
    }

    fn value(&mut self, kind: u32, key: &str) -> Result<Value, FormatError> {
        let summary = |text| Value { kind, text, number: None, is_summary: true };
        match kind {
            STRING => Ok(match self.text(LONGEST_TEXT)? {
                Ok(bytes) => {
                    let text = String::from_utf8_lossy(&bytes).into_owned();
                    Value { kind, text, number: None, is_summary: false }
                }
                Err(len) => summary(format!("text of {len} bytes")),
            }),
            ARRAY => {
                let kind = self.number(4)? as u32;
                let count = self.number(8)?;
                let (name, size) = type_of(kind, key)?;
                match size {
                    0 if kind == ARRAY => {
                        return Err(FormatError::unsupported(
                            format!("GGUF key {}", shown(key)),
                            "arrays of arrays",
                        ));
                    }
                    0 => {
                        for _ in 0..count {
                            let len = self.number(8)?;
                            self.skip(len)?;
                        }
                    }
                    _ => self.skip(count.saturating_mul(size as u64))?,
                }
                Ok(summary(format!("{count} × {name}")))
            }
            _ => {
                let (name, size) = type_of(kind, key)?;
                let bits = self.number(size)?;
                Ok(scalar(kind, name, size, bits))
            }
        }
    }

    fn tensor(&mut self) -> Result<Info, FormatError> {
        let name = self.name("the name of a tensor", LONGEST_NAME)?;
        let rank = self.number(4)?;
        if rank > MOST_DIMENSIONS {
            let part = format!("the rank of tensor {}", shown(&name));
            return Err(FormatError::too_large(part, rank, MOST_DIMENSIONS));
        }
        let mut shape = (0..rank).map(|_| self.number(8)).collect::<Result<Vec<u64>, _>>()?;
        shape.reverse();
        let number = self.number(4)? as u32;
        Ok(Info { name, shape, number, offset: self.number(8)? })
    }
}

/// What a type of value is called, and the bytes of one.
fn type_of(kind: u32, key: &str) -> Result<(&'static str, usize), FormatError> {
    let known = TYPES.get(kind as usize).copied();
    known.ok_or_else(|| {
        let part = format!("GGUF key {}", shown(key));
        FormatError::damaged(part, "a value of types 0 to 12", format!("type {kind}"))
    })
}

/// A number or truth value of `size` bytes.
fn scalar(kind: u32, name: &str, size: usize, bits: u64) -> Value {
    // The highest bit of the number moved to the highest of 64, and back with its sign.
    let unused = 64 - 8 * size as u32;
    let signed = (bits << unused) as i64 >> unused;
    let (text, number) = match name {
        "f32" => (f32::from_bits(bits as u32).to_string(), None),
        "f64" => (f64::from_bits(bits).to_string(), None),
        "bool" => ((bits != 0).to_string(), None),
        _ if name.starts_with('i') => (signed.to_string(), u64::try_from(signed).ok()),
        _ => (bits.to_string(), Some(bits)),
    };
    Value { kind, text, number, is_summary: false }
}
