//! Small weight files of every format, written as their own programs write them.

use super::support::varint;
use std::io::Write as _;

/// What a file is opened by, and the files beside it.
pub type Files = Vec<(String, Vec<u8>)>;

/// What each of some things is as text, one behind the other.
fn each<T>(things: &[T], text: impl Fn(&T) -> String) -> String {
    things.iter().map(text).collect::<Vec<_>>().concat()
}

/// An array as `numpy.save` writes it (format 1.0).
pub fn npy(descr: &str, fortran: bool, shape: &[u64], data: &[u8]) -> Vec<u8> {
    let dims = each(shape, |dim| format!("{dim}, "));
    let order = if fortran { "True" } else { "False" };
    let mut header = format!("{{'descr': '{descr}', 'fortran_order': {order}, 'shape': ({dims}), }}");
    while (header.len() + 11) % 64 != 0 {
        header.push(' ');
    }
    header.push('\n');
    let len = (header.len() as u16).to_le_bytes();
    [&b"\x93NUMPY\x01\x00"[..], &len, header.as_bytes(), data].concat()
}

/// How an entry of an archive is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Stored, its sizes and CRC-32 in front.
    Stored,
    /// As `numpy.savez` does: with a zip64 field in the local header.
    Wide,
    /// Stored, its sizes and CRC-32 behind the data.
    Behind,
    /// Deflated, its sizes and CRC-32 in front.
    Deflated,
    /// Deflated, its sizes and CRC-32 behind the data.
    DeflatedBehind,
}

pub const WAYS: [Way; 5] = [Way::Stored, Way::Wide, Way::Behind, Way::Deflated, Way::DeflatedBehind];

/// An archive with `front` before it and `comment` behind it; offsets count from where the archive begins.
pub fn zip(front: &[u8], entries: &[(String, Vec<u8>, Way)], comment: &[u8]) -> Vec<u8> {
    let (mut out, mut directory) = (front.to_vec(), Vec::new());
    for (name, data, way) in entries {
        let is_deflated = matches!(way, Way::Deflated | Way::DeflatedBehind);
        let is_behind = matches!(way, Way::Behind | Way::DeflatedBehind);
        let mut packed = data.clone();
        if is_deflated {
            let mut deflater = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
            deflater.write_all(data).unwrap();
            packed = deflater.finish().unwrap();
        }
        let (method, flags) = (if is_deflated { 8u16 } else { 0 }, if is_behind { 8u16 } else { 0 });
        let crc = crc32fast::hash(data).to_le_bytes();
        let sizes = [packed.len() as u32, data.len() as u32].map(u32::to_le_bytes).concat();
        let wide =
            [&[1u8, 0, 16, 0][..], &(data.len() as u64).to_le_bytes(), &(packed.len() as u64).to_le_bytes()];
        let extra = if *way == Way::Wide { wide.concat() } else { Vec::new() };
        let offset = (out.len() - front.len()) as u32;
        let version = [45u8, 0];
        let kind = [&version[..], &flags.to_le_bytes(), &method.to_le_bytes(), &[0, 0, 0x21, 0]].concat();
        out.extend([b"PK\x03\x04", &kind[..]].concat());
        match way {
            Way::Wide => out.extend([&crc[..], &[0xff; 8]].concat()),
            _ if is_behind => out.extend([0; 12]),
            _ => out.extend([&crc[..], &sizes].concat()),
        }
        out.extend((name.len() as u16).to_le_bytes());
        out.extend((extra.len() as u16).to_le_bytes());
        out.extend([name.as_bytes(), &extra, &packed].concat());
        if is_behind {
            out.extend([&b"PK\x07\x08"[..], &crc, &sizes].concat());
        }
        directory.extend([&b"PK\x01\x02"[..], &version, &kind, &crc, &sizes].concat());
        directory.extend([&(name.len() as u16).to_le_bytes()[..], &[0; 12], &offset.to_le_bytes()].concat());
        directory.extend(name.as_bytes());
    }
    let (start, count) = ((out.len() - front.len()) as u32, entries.len() as u16);
    out.extend(&directory);
    out.extend(b"PK\x05\x06\0\0\0\0");
    out.extend([count.to_le_bytes(), count.to_le_bytes()].concat());
    out.extend([(directory.len() as u32).to_le_bytes(), start.to_le_bytes()].concat());
    out.extend((comment.len() as u16).to_le_bytes());
    out.extend(comment);
    out
}

fn number(bytes: &[u8], at: usize, len: usize) -> u64 {
    bytes[at..at + len].iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

/// The entries of an archive, read by its directory and held against what stands beside their data.
pub fn unzip(file: &[u8]) -> Vec<(String, Vec<u8>)> {
    let end = (0..=file.len() - 22).rev().find(|at| file[*at..].starts_with(b"PK\x05\x06")).unwrap();
    let (count, len, start) =
        (number(file, end + 10, 2), number(file, end + 12, 4), number(file, end + 16, 4));
    let mut at = end - len as usize;
    let front = at - start as usize;
    let mut entries = Vec::new();
    for _ in 0..count {
        let (method, crc) = (number(file, at + 10, 2), number(file, at + 16, 4));
        let (packed, len) = (number(file, at + 20, 4) as usize, number(file, at + 24, 4));
        let (name_len, extra) = (number(file, at + 28, 2) as usize, number(file, at + 30, 2) as usize);
        let local = front + number(file, at + 42, 4) as usize;
        let name = String::from_utf8(file[at + 46..at + 46 + name_len].to_vec()).unwrap();
        at += 46 + name_len + extra;
        assert_eq!(&file[local..local + 4], b"PK\x03\x04", "{name}");
        assert_eq!(number(file, local + 8, 2), method, "{name}: one method");
        let (name_len, extra) = (number(file, local + 26, 2) as usize, number(file, local + 28, 2) as usize);
        let data = local + 30 + name_len + extra;
        let bytes = &file[data..data + packed];
        let bytes = if method == 8 {
            let mut inflated = flate2::write::DeflateDecoder::new(Vec::new());
            inflated.write_all(bytes).unwrap();
            inflated.finish().unwrap()
        } else {
            bytes.to_vec()
        };
        assert_eq!((bytes.len() as u64, u64::from(crc32fast::hash(&bytes))), (len, crc), "{name}");
        let sizes = [crc, packed as u64, len];
        let found = |at: usize| [number(file, at, 4), number(file, at + 4, 4), number(file, at + 8, 4)];
        if number(file, local + 6, 2) & 8 != 0 {
            assert_eq!(found(data + packed + 4), sizes, "{name}: behind the data");
        } else if extra > 0 {
            let wide = local + 30 + name_len + 4;
            let found = [number(file, local + 14, 4), number(file, wide + 8, 8), number(file, wide, 8)];
            assert_eq!(found, sizes, "{name}: in the zip64 field");
        } else {
            assert_eq!(found(local + 14), sizes, "{name}: in front of the data");
        }
        entries.push((name, bytes));
    }
    entries
}

/// A tensor of a `PyTorch` file: a view of a storage.
#[derive(Debug, Clone)]
pub struct Viewed {
    pub name: String,
    /// `FloatStorage` and the like.
    pub class: &'static str,
    /// Index of its storage.
    pub storage: usize,
    /// In elements.
    pub offset: u64,
    pub shape: Vec<u64>,
    pub strides: Vec<u64>,
    /// Bits that are set: `neg`, `conj`.
    pub bits: &'static [&'static str],
}

/// A state dict as a pickle of protocol 0, with the number of elements of every storage.
fn state_dict(tensors: &[Viewed], elements: &[usize]) -> Vec<u8> {
    let tuple = |numbers: &[u64]| {
        let numbers = each(numbers, |number| format!("I{number}\n"));
        format!("({numbers}t")
    };
    let mut out = "(d".to_owned();
    for Viewed { name, class, storage, offset, shape, strides, bits } in tensors {
        let count = elements[*storage];
        let (shape, strides) = (tuple(shape), tuple(strides));
        let bits = each(bits, |bit| format!("V{bit}\nI01\ns"));
        let bits = if bits.is_empty() { bits } else { format!("(d{bits}") };
        let tensor = format!(
            "V{name}\nctorch._utils\n_rebuild_tensor_v2\n((Vstorage\nctorch\n{class}\nV{storage}\nVcpu\nI{count}\ntQI{offset}\n{shape}{strides}I00\nN{bits}tRs"
        );
        out += &tensor;
    }
    (out + ".").into_bytes()
}

/// A `PyTorch` archive of these tensors and storages, each a number of elements and their bytes.
pub fn torch_zip(tensors: &[Viewed], storages: &[(usize, Vec<u8>)], way: Way) -> Vec<u8> {
    let elements: Vec<usize> = storages.iter().map(|(elements, _)| *elements).collect();
    let mut entries = vec![("archive/data.pkl".to_owned(), state_dict(tensors, &elements), way)];
    for (index, (_, bytes)) in storages.iter().enumerate() {
        entries.push((format!("archive/data/{index}"), bytes.clone(), way));
    }
    entries.push(("archive/version".to_owned(), b"3\n".to_vec(), way));
    zip(b"", &entries, b"")
}

/// The same as `PyTorch` wrote it before 1.6.
pub fn torch_legacy(tensors: &[Viewed], storages: &[(usize, Vec<u8>)]) -> Vec<u8> {
    let elements: Vec<usize> = storages.iter().map(|(elements, _)| *elements).collect();
    let mut out =
        b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M\xe9\x03.\x80\x02}.".to_vec();
    out.extend(state_dict(tensors, &elements));
    let keys: Vec<usize> = (0..storages.len()).collect();
    let keys = each(&keys, |key| format!("V{key}\na"));
    out.extend(format!("(l{keys}.").bytes());
    for (elements, bytes) in storages {
        out.extend((*elements as u64).to_le_bytes());
        out.extend(bytes);
    }
    out
}

/// A field of protobuf that holds bytes.
pub fn field(number: u64, bytes: &[u8]) -> Vec<u8> {
    [varint(number << 3 | 2), varint(bytes.len() as u64), bytes.to_vec()].concat()
}

/// A field of protobuf that holds a number.
pub fn scalar(field: u64, number: u64) -> Vec<u8> {
    [varint(field << 3), varint(number)].concat()
}

/// A tensor of an ONNX graph: its name, type and dimensions, and the fields of its data.
pub fn initializer(name: &str, data_type: u64, dims: &[u64], data: &[u8]) -> Vec<u8> {
    let dims: Vec<u8> = dims.iter().flat_map(|dim| varint(*dim)).collect();
    field(5, &[field(1, &dims), scalar(2, data_type), field(8, name.as_bytes()), data.to_vec()].concat())
}

/// The fields of data that lie in another file.
pub fn external(location: &str, offset: usize, len: usize) -> Vec<u8> {
    let entry =
        |key: &str, value: &str| field(13, &[field(1, key.as_bytes()), field(2, value.as_bytes())].concat());
    let (offset, len) = (offset.to_string(), len.to_string());
    [entry("location", location), entry("offset", &offset), entry("length", &len), scalar(14, 1)].concat()
}

/// An ONNX model of a graph with these initializers.
pub fn onnx(initializers: &[Vec<u8>]) -> Vec<u8> {
    let graph = [initializers.concat(), field(2, b"graph")].concat();
    [scalar(1, 8), field(2, b"tests"), field(7, &graph), field(8, &scalar(2, 17))].concat()
}
