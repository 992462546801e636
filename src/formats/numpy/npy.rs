//! One `NumPy` array: a magic string, a header that is the text of a Python dictionary, then the elements.
//!
//! Definition: `NumPy` enhancement proposal 1 and `numpy.lib.format`, versions 1.0, 2.0 and 3.0. Row- and
//! column-major order and both byte orders are read. Arrays of objects (pickles), strings, records, dates and
//! extended-precision floats are named as not supported.

use crate::formats::error::shown;
use crate::formats::inflate::read_storage;
use crate::formats::layout::{Declared, fortran_strides};
use crate::formats::{FormatError, Limits, Source, numpy_type, torch};
use crate::model::{FileFormat, Model};
use crate::tensor::{Dtype, Span, Storage, Tensor};

const MAGIC: &[u8] = b"\x93NUMPY";

/// The longest header read; `NumPy` itself refuses headers over 10 000 bytes unless told otherwise.
const LONGEST_HEADER: u64 = 1 << 20;

/// What is said of raw elements.
pub(super) const RAW_NOTE: &str =
    "raw elements of two bytes are read as bfloat16, which NumPy has no name for";

/// Whether a file that starts with `head` is a .npy file.
pub(in crate::formats) fn is_npy(head: &[u8]) -> bool {
    head.starts_with(MAGIC)
}

/// Locates the one array of a .npy file, called `array`.
pub(in crate::formats) fn open(source: &dyn Source, limits: &Limits) -> Result<Model, FormatError> {
    let storage = Storage::Stored(Span { offset: 0, len: source.len() });
    let part = "the .npy header of array";
    let (text, offset) = read_header(source, part, &storage, limits)?;
    if (Parser { part, rest: text.trim_ascii() }).header()?.descr.ends_with('O') {
        return torch::open_object_array(source, offset, limits);
    }
    let (tensor, rest) = locate(source, "array".to_owned(), storage, limits)?;
    let mut notes = Vec::new();
    if rest > 0 {
        notes.push(format!("{rest} bytes after the array were not read"));
    }
    if tensor.dtype == Dtype::Bf16 {
        notes.push(RAW_NOTE.to_owned());
    }
    Ok(Model { tensors: vec![tensor], is_partial: rest > 0, notes, ..Model::empty(FileFormat::Npy) })
}

/// The array in `storage`, and how many bytes follow it.
pub(in crate::formats) fn locate(
    source: &dyn Source,
    name: String,
    storage: Storage,
    limits: &Limits,
) -> Result<(Tensor, u64), FormatError> {
    let part = format!("the .npy header of {}", shown(&name));
    let (text, offset) = read_header(source, &part, &storage, limits)?;
    let header = Parser { part: &part, rest: text.trim_ascii() }.header()?;
    let (dtype, big_endian) = numpy_type::element_type(&format!("array {}", shown(&name)), &header.descr)?;
    let strides = header.fortran_order.then(|| fortran_strides(&header.shape));
    let shape = header.shape;
    let tensor = Declared { name, dtype, shape, storage, offset, strides, big_endian }.locate(limits)?;
    let rest = storage.len().saturating_sub(offset).saturating_sub(tensor.size_bytes());
    Ok((tensor, rest))
}

/// The header's text, and the offset of the first element.
fn read_header(
    source: &dyn Source,
    part: &str,
    storage: &Storage,
    limits: &Limits,
) -> Result<(String, u64), FormatError> {
    let limit = LONGEST_HEADER.min(limits.header_bytes);
    let start = read_storage(source, part, storage, 0, 10.min(storage.len()), limit)?;
    let Some(([magic @ .., major, _, low, high], _)) = start.split_first_chunk::<10>() else {
        let found = start.len() as u64;
        return Err(FormatError::truncated(part, 0, 10, found));
    };
    if magic != MAGIC {
        return Err(FormatError::damaged(part, "the magic string of .npy", "other bytes"));
    }
    let (len, offset) = match major {
        1 => (u64::from(u16::from_le_bytes([*low, *high])), 10),
        2 | 3 => {
            let bytes = read_storage(source, part, storage, 8, 4, limit)?;
            (bytes.first_chunk().map_or(0, |b| u64::from(u32::from_le_bytes(*b))), 12)
        }
        other => return Err(FormatError::unsupported(part, format!("format version {other}"))),
    };
    let bytes = read_storage(source, part, storage, offset, len, limit)?;
    let text = String::from_utf8(bytes)
        .map_err(|_| FormatError::damaged(part, "text", "bytes that are no UTF-8"))?;
    Ok((text, offset + len))
}

struct Header {
    descr: String,
    fortran_order: bool,
    shape: Vec<u64>,
}

/// Reads the dictionary literals that `NumPy` writes: text, booleans, tuples of numbers.
struct Parser<'a> {
    part: &'a str,
    rest: &'a str,
}

impl<'a> Parser<'a> {
    fn header(mut self) -> Result<Header, FormatError> {
        let (mut descr, mut fortran_order, mut shape) = (None, None, None);
        self.expect('{')?;
        while !self.accept('}') {
            let key = self.text()?;
            self.expect(':')?;
            match key {
                "descr" if self.rest.starts_with('[') => {
                    return Err(FormatError::unsupported(self.part, "an array of records"));
                }
                "descr" => descr = Some(self.text()?.to_owned()),
                "fortran_order" => fortran_order = Some(self.boolean()?),
                "shape" => shape = Some(self.numbers()?),
                other => return Err(self.wrong("descr, fortran_order or shape", &shown(other))),
            }
            if !self.accept(',') && !self.rest.starts_with('}') {
                return Err(self.wrong_here("a comma or a closing brace"));
            }
        }
        match (descr, fortran_order, shape) {
            (Some(descr), Some(fortran_order), Some(shape)) => Ok(Header { descr, fortran_order, shape }),
            _ => Err(self.wrong("descr, fortran_order and shape", "fewer members")),
        }
    }

    fn text(&mut self) -> Result<&'a str, FormatError> {
        let quote = if self.rest.starts_with('"') { '"' } else { '\'' };
        self.expect(quote)?;
        let (text, rest) = self.rest.split_once(quote).ok_or_else(|| self.wrong_here("quoted text"))?;
        self.rest = rest.trim_ascii_start();
        Ok(text)
    }

    fn boolean(&mut self) -> Result<bool, FormatError> {
        for (word, value) in [("True", true), ("False", false)] {
            if let Some(rest) = self.rest.strip_prefix(word) {
                self.rest = rest.trim_ascii_start();
                return Ok(value);
            }
        }
        Err(self.wrong_here("True or False"))
    }

    fn numbers(&mut self) -> Result<Vec<u64>, FormatError> {
        let mut numbers = Vec::new();
        self.expect('(')?;
        while !self.accept(')') {
            let end = self.rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(self.rest.len());
            let (digits, rest) = self.rest.split_at(end);
            numbers.push(digits.parse().map_err(|_| self.wrong_here("a dimension"))?);
            // Python 2 marks long numbers.
            self.rest = rest.strip_prefix('L').unwrap_or(rest).trim_ascii_start();
            if !self.accept(',') && !self.rest.starts_with(')') {
                return Err(self.wrong_here("a comma or a closing parenthesis"));
            }
        }
        Ok(numbers)
    }

    fn accept(&mut self, wanted: char) -> bool {
        let rest = self.rest.strip_prefix(wanted);
        self.rest = rest.map_or(self.rest, str::trim_ascii_start);
        rest.is_some()
    }

    fn expect(&mut self, wanted: char) -> Result<(), FormatError> {
        if self.accept(wanted) { Ok(()) } else { Err(self.wrong_here(&format!("`{wanted}`"))) }
    }

    fn wrong_here(&self, expected: &str) -> FormatError {
        let start: String = self.rest.chars().take(20).collect();
        self.wrong(expected, &format!("`{}`", shown(&start)))
    }

    fn wrong(&self, expected: &str, found: &str) -> FormatError {
        FormatError::damaged(self.part, expected, found)
    }
}
