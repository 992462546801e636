//! A zip archive of `NumPy` arrays, written from front to back.
//!
//! Zip: PKWARE's application note 6.3.10; entries are stored, with their CRC-32 in a descriptor after the data because it is
//! not known before. Arrays: the npy format 1.0. Sizes are known beforehand, so ZIP64 is used exactly where it is needed.

use crate::checksum::Running;
use crate::formats::writer::{Contents, ExportError, Frame, TensorHeader};
use crate::tensor::Dtype;
use std::io::Write;

/// Sizes and offsets from here on need ZIP64.
const LIMIT_32: u64 = 0xffff_ffff;
/// The longest name of a tensor: zip counts 16 bits, `.npy` among them.
const LONGEST_NAME: usize = 0xffff - 4;
/// General purpose flags: sizes in a descriptor, names in UTF-8.
const FLAGS: u16 = 0x0808;
/// 1 January 1980, the zip format's first day: files must not differ by when they were written.
const DATE: u16 = 0x0021;

/// The entries so far.
struct Archive {
    entries: Vec<Entry>,
    offset: u64,
    checksum: Running,
}

struct Entry {
    name: String,
    size: u64,
    offset: u64,
    crc: u32,
}

impl Entry {
    fn is_large(&self) -> bool {
        self.size >= LIMIT_32
    }
}

/// The npy type string.
fn descriptor(dtype: Dtype) -> Option<&'static str> {
    Some(match dtype {
        Dtype::F64 => "<f8",
        Dtype::F32 => "<f4",
        Dtype::F16 => "<f2",
        Dtype::I64 => "<i8",
        Dtype::I32 => "<i4",
        Dtype::I16 => "<i2",
        Dtype::I8 => "|i1",
        Dtype::U64 => "<u8",
        Dtype::U32 => "<u4",
        Dtype::U16 => "<u2",
        // Exponents alone have no name there: they are bytes.
        Dtype::U8 | Dtype::F8E8M0 => "|u1",
        Dtype::Bool => "|b1",
        Dtype::C64 => "<c8",
        Dtype::C128 => "<c16",
        Dtype::Bf16 | Dtype::F8E4M3 | Dtype::F8E5M2 => return None,
    })
}

/// The array's header: magic, version 1.0, a Python dictionary padded so that the data starts at a multiple of 64.
fn npy_header(tensor: &TensorHeader) -> Vec<u8> {
    let dims: Vec<String> = tensor.shape.iter().map(u64::to_string).collect();
    let comma = if dims.len() == 1 { "," } else { "" };
    let mut text = format!(
        "{{'descr': '{}', 'fortran_order': False, 'shape': ({}{comma}), }}",
        descriptor(tensor.dtype).unwrap_or("|u1"),
        dims.join(", ")
    );
    let padded = (10 + text.len() + 1).next_multiple_of(64) - 10;
    text.push_str(&" ".repeat(padded - text.len() - 1));
    text.push('\n');
    let mut header = b"\x93NUMPY\x01\x00".to_vec();
    header.extend((text.len() as u16).to_le_bytes());
    header.extend(text.as_bytes());
    header
}

/// Starts an archive whose arrays are stored without compression; refused where it has no type or room for one of them.
pub(in crate::formats) fn start<'a>(
    _: &mut dyn Write,
    contents: &Contents<'a>,
) -> Result<Box<dyn Frame + 'a>, ExportError> {
    for tensor in contents.tensors {
        let found = tensor.name.len();
        if found > LONGEST_NAME {
            let name = crate::formats::shown(&tensor.name);
            return Err(ExportError::Name { name, limit: LONGEST_NAME, found });
        }
        if descriptor(tensor.dtype).is_none() {
            let (name, dtype) = (tensor.name.clone(), tensor.dtype.name());
            return Err(ExportError::Dtype { name, format: ".npz", dtype, instead: "safetensors" });
        }
    }
    Ok(Box::new(Archive { entries: Vec::new(), offset: 0, checksum: Running::default() }))
}

impl Archive {
    fn put(&mut self, out: &mut dyn Write, bytes: &[u8]) -> Result<(), ExportError> {
        out.write_all(bytes)?;
        self.offset += bytes.len() as u64;
        Ok(())
    }
}

impl Frame for Archive {
    /// Starts an array.
    fn open(&mut self, out: &mut dyn Write, tensor: &TensorHeader) -> Result<(), ExportError> {
        let header = npy_header(tensor);
        let size = header.len() as u64 + tensor.size_bytes();
        let entry = Entry { name: format!("{}.npy", tensor.name), size, offset: self.offset, crc: 0 };
        let mut local = b"PK\x03\x04".to_vec();
        // A ZIP64 field in the local header says that the descriptor's sizes have 8 bytes.
        let (version, extra): (u16, &[u8]) =
            if entry.is_large() { (45, &ZIP64_PLACEHOLDER) } else { (20, &[]) };
        for word in [version, FLAGS, 0, 0, DATE] {
            local.extend(word.to_le_bytes());
        }
        let sizes = if entry.is_large() { [0xff; 8] } else { [0; 8] };
        local.extend([0; 4]);
        local.extend(sizes);
        local.extend((entry.name.len() as u16).to_le_bytes());
        local.extend((extra.len() as u16).to_le_bytes());
        local.extend(entry.name.as_bytes());
        local.extend(extra);
        self.put(out, &local)?;
        self.entries.push(entry);
        self.checksum = Running::default();
        self.write(out, &header)
    }

    fn write(&mut self, out: &mut dyn Write, bytes: &[u8]) -> Result<(), ExportError> {
        self.checksum.update(bytes);
        self.put(out, bytes)
    }

    /// Ends the open array.
    fn close(&mut self, out: &mut dyn Write) -> Result<(), ExportError> {
        let crc = std::mem::take(&mut self.checksum).finish();
        let Some(entry) = self.entries.last_mut() else { return Ok(()) };
        entry.crc = crc;
        let mut descriptor = b"PK\x07\x08".to_vec();
        descriptor.extend(crc.to_le_bytes());
        for size in [entry.size, entry.size] {
            if entry.is_large() {
                descriptor.extend(size.to_le_bytes());
            } else {
                descriptor.extend((size as u32).to_le_bytes());
            }
        }
        self.put(out, &descriptor)
    }

    /// Writes the central directory.
    fn finish(&mut self, out: &mut dyn Write) -> Result<(), ExportError> {
        let start = self.offset;
        let mut directory = Vec::new();
        for entry in &self.entries {
            put_central(&mut directory, entry);
        }
        let count = self.entries.len() as u64;
        let size = directory.len() as u64;
        self.put(out, &directory)?;
        let mut end = Vec::new();
        if count >= 0xffff || start >= LIMIT_32 || size >= LIMIT_32 {
            let here = self.offset;
            end.extend(b"PK\x06\x06");
            end.extend(44u64.to_le_bytes());
            end.extend([45u16.to_le_bytes(), 45u16.to_le_bytes()].concat());
            end.extend([0; 8]);
            for word in [count, count, size, start] {
                end.extend(word.to_le_bytes());
            }
            end.extend(b"PK\x06\x07");
            end.extend([0; 4]);
            end.extend(here.to_le_bytes());
            end.extend(1u32.to_le_bytes());
        }
        end.extend(b"PK\x05\x06");
        end.extend([0; 4]);
        let short = count.min(0xffff) as u16;
        end.extend([short.to_le_bytes(), short.to_le_bytes()].concat());
        end.extend((size.min(LIMIT_32) as u32).to_le_bytes());
        end.extend((start.min(LIMIT_32) as u32).to_le_bytes());
        end.extend([0; 2]);
        self.put(out, &end)
    }
}

/// A ZIP64 field with both sizes still unknown.
const ZIP64_PLACEHOLDER: [u8; 20] = [1, 0, 16, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];

fn put_central(directory: &mut Vec<u8>, entry: &Entry) {
    let mut extra = Vec::new();
    if entry.is_large() {
        extra.extend(entry.size.to_le_bytes());
        extra.extend(entry.size.to_le_bytes());
    }
    if entry.offset >= LIMIT_32 {
        extra.extend(entry.offset.to_le_bytes());
    }
    let version: u16 = if extra.is_empty() { 20 } else { 45 };
    directory.extend(b"PK\x01\x02");
    for word in [version, version, FLAGS, 0, 0, DATE] {
        directory.extend(word.to_le_bytes());
    }
    directory.extend(entry.crc.to_le_bytes());
    for size in [entry.size, entry.size] {
        directory.extend((size.min(LIMIT_32) as u32).to_le_bytes());
    }
    directory.extend((entry.name.len() as u16).to_le_bytes());
    let field = if extra.is_empty() { 0 } else { extra.len() as u16 + 4 };
    directory.extend(field.to_le_bytes());
    // Comment, disk, internal and external attributes.
    directory.extend([0; 10]);
    directory.extend((entry.offset.min(LIMIT_32) as u32).to_le_bytes());
    directory.extend(entry.name.as_bytes());
    if !extra.is_empty() {
        directory.extend(1u16.to_le_bytes());
        directory.extend((extra.len() as u16).to_le_bytes());
        directory.extend(extra);
    }
}
