//! A zip archive with one weight file in it, as forums and model sites serve them.
//!
//! Which entry that is, is told by names, since an archive may have any other files beside it: the only one that is called like a
//! weight file, or else the only entry. What the entry is, its content tells. What systems leave in archives (`__MACOSX/`,
//! names that start with a dot) is passed over. An archive inside an archive is named and not read, unless it is a weight file
//! of a kind that is a zip itself.

use super::error::{several, shown};
use super::zip::{Archive, Entry};
use super::{FormatError, Limits, Source, inside};
use crate::model::{FileFormat, Model};
use crate::tensor::Storage;

/// The weight files of an archive, as far as names tell; `is_weight_file` says which.
fn candidates(archive: &Archive, is_weight_file: fn(&str) -> bool) -> Vec<&Entry> {
    let is_left_behind = |name: &str| {
        name.starts_with("__MACOSX/") || name.rsplit('/').next().is_some_and(|last| last.starts_with('.'))
    };
    let entries = archive.entries().iter().filter(|entry| !is_left_behind(&entry.name));
    let (called, others): (Vec<&Entry>, Vec<&Entry>) = entries.partition(|entry| is_weight_file(&entry.name));
    match (called.as_slice(), others.as_slice()) {
        ([], [_]) => others,
        _ => called,
    }
}

/// Whether a weight file seems to be in an archive.
pub(super) fn is_zipped(archive: &Archive, is_weight_file: fn(&str) -> bool) -> bool {
    !candidates(archive, is_weight_file).is_empty()
}

/// Opens the one weight file of an archive; `open` opens what is inside, and is there for the outermost archive alone.
pub(super) fn open_zipped(
    source: &dyn Source,
    archive: &Archive,
    is_weight_file: fn(&str) -> bool,
    open: Option<inside::Open>,
    limits: &Limits,
) -> Result<Model, FormatError> {
    let candidates = candidates(archive, is_weight_file);
    let [entry] = candidates.as_slice() else {
        let names: Vec<&str> = candidates.iter().map(|entry| entry.name.as_str()).collect();
        let found = format!("a zip archive with {} weight files in it: {}", names.len(), several(&names));
        return Err(FormatError::foreign(found, "unpack it, and open the one that is meant"));
    };
    let Some(open) = open else {
        return Err(FormatError::foreign("a zip archive inside another", "unpack the outer one first"));
    };
    let storage = entry.storage(source)?;
    let mut model = inside::open(source, &entry.name, &storage, limits, open)?;
    let name = shown(&entry.name);
    let how = match storage {
        Storage::Deflated { .. } => "; it is deflated, and reading it unpacked takes less time",
        _ => "",
    };
    model.notes.insert(0, format!("opened {name}, {}, inside the archive{how}", model.format.name()));
    let others = archive.entries().iter().map(|other| other.name.as_str());
    let others: Vec<&str> = others.filter(|other| *other != entry.name).collect();
    if !others.is_empty() {
        model.is_partial = true;
        model.notes.push(format!("beside it in the archive: {}", several(&others)));
    }
    model.format = FileFormat::Zip;
    Ok(model)
}

#[cfg(test)]
pub(in crate::formats) mod tests {
    use super::*;
    use crate::formats::{Contents, TensorHeader, TensorReader, Writer, open as open_any};
    use crate::role::Role;
    use crate::tensor::Dtype;
    use std::io::Write as _;

    /// An archive of files, each deflated or stored.
    pub(in crate::formats) fn archive(entries: &[(&str, &[u8], bool)]) -> Vec<u8> {
        let (mut out, mut directory) = (Vec::new(), Vec::new());
        for (name, bytes, is_deflated) in entries {
            let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::new(6));
            encoder.write_all(bytes).unwrap();
            let packed = if *is_deflated { encoder.finish().unwrap() } else { bytes.to_vec() };
            let offset = out.len() as u32;
            let mut common = vec![20, 0, 0, 0, if *is_deflated { 8 } else { 0 }, 0, 0, 0, 0, 0];
            common.extend(crate::checksum::crc32(bytes).to_le_bytes());
            common.extend((packed.len() as u32).to_le_bytes());
            common.extend((bytes.len() as u32).to_le_bytes());
            common.extend((name.len() as u16).to_le_bytes());
            common.extend([0; 2]);
            out.extend(b"PK\x03\x04");
            out.extend(&common);
            out.extend(name.bytes());
            out.extend(packed);
            directory.extend(b"PK\x01\x02\x14\x00");
            directory.extend(&common);
            directory.extend([0; 10]);
            directory.extend(offset.to_le_bytes());
            directory.extend(name.bytes());
        }
        let (count, offset) = (entries.len() as u16, out.len() as u32);
        out.extend(&directory);
        out.extend(b"PK\x05\x06\0\0\0\0");
        out.extend([count.to_le_bytes(), count.to_le_bytes()].concat());
        out.extend((directory.len() as u32).to_le_bytes());
        out.extend(offset.to_le_bytes());
        out.extend([0; 2]);
        out
    }

    /// A safetensors file of a matrix and a vector.
    fn file() -> Vec<u8> {
        let header = |name: &str, shape: &[u64]| TensorHeader {
            name: name.to_owned(),
            dtype: Dtype::F32,
            shape: shape.to_vec(),
        };
        let headers = [header("fc.weight", &[100, 300]), header("fc.bias", &[100])];
        let mut writer = Writer::new(FileFormat::Safetensors, Vec::new(), &Contents::of(&headers)).unwrap();
        for i in 0..30_100u32 {
            writer.write(&(i as f32 * 0.5).to_le_bytes()).unwrap();
        }
        writer.finish().unwrap()
    }

    fn open(bytes: &[u8]) -> Result<Model, FormatError> {
        open_any(&bytes, &Limits::default())
    }

    fn refusal(entries: &[(&str, &[u8], bool)]) -> String {
        open(&archive(entries)).unwrap_err().to_string()
    }

    #[test]
    fn one_weight_file_is_read_stored_and_deflated() {
        let file = file();
        for is_deflated in [false, true] {
            let entries: [(&str, &[u8], bool); 4] = [
                ("__MACOSX/m/._w.safetensors", b"x", false),
                ("m/config.json", b"{}", true),
                ("m/w.safetensors", &file, is_deflated),
                ("m/.cache.bin", b"x", false),
            ];
            let bytes = archive(&entries);
            let model = open(&bytes).unwrap();
            assert_eq!((model.format, model.is_partial), (FileFormat::Zip, true));
            assert!(model.notes[0].starts_with("opened m/w.safetensors, safetensors, inside the archive"));
            assert_eq!(model.notes[0].contains("deflated"), is_deflated);
            assert!(model.notes[1].contains("m/config.json"), "{:?}", model.notes);
            assert_eq!(model.tensors[0].found.role, Role::Weight);
            for (tensor, start) in model.tensors.iter().zip([0u32, 30_000]) {
                let mut values = Vec::new();
                let mut reader = TensorReader::new(&bytes, tensor, &Limits::default()).unwrap();
                reader.read_f32(0..tensor.len(), &mut values).unwrap();
                let expected: Vec<f32> = (start..).take(values.len()).map(|i| i as f32 * 0.5).collect();
                assert_eq!(values, expected, "{}", tensor.name);
            }
        }
    }

    #[test]
    fn the_only_file_is_opened_whatever_it_is_called() {
        let model = open(&archive(&[("weights", &file(), true)])).unwrap();
        assert_eq!((model.tensors.len(), model.is_partial), (2, false));
        let sentence = refusal(&[("README", b"words and words and words", false)]);
        assert!(sentence.starts_with("this is README, which is a text file of 25 bytes"), "{sentence}");
    }

    #[test]
    fn archives_that_hold_more_or_another_archive_are_named() {
        let file = file();
        assert_eq!(
            refusal(&[("a.safetensors", &file, false), ("b/b.pt", b"", false)]),
            "this is a zip archive with 2 weight files in it: a.safetensors and b/b.pt, not a weight file that can be read here: unpack it, and open the one that is meant"
        );
        let inner = archive(&[("w.safetensors", &file, false)]);
        for is_deflated in [false, true] {
            let sentence = refusal(&[("inner.zip", &inner, is_deflated)]);
            assert!(
                sentence.starts_with("this is inner.zip, which is a zip archive inside another"),
                "{sentence}"
            );
        }
        // Archives of arrays are weight files of their own kind.
        let npy = b"\x93NUMPY\x01\x00\x76\x00{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }";
        let mut npy = npy.to_vec();
        npy.resize(128 + 8, b' ');
        npy[127] = b'\n';
        let model = open(&archive(&[("w.npz", &archive(&[("w.npy", &npy, true)]), false)])).unwrap();
        assert_eq!(model.tensors.len(), 1);
        let sentence = refusal(&[("w.npz", &archive(&[("w.npy", &npy, true)]), true)]);
        assert!(sentence.contains("that are themselves compressed; unpack it first"), "{sentence}");
    }

    #[test]
    fn many_tensors_of_few_deflated_bytes_are_refused_before_they_are_read() {
        let headers: Vec<TensorHeader> = (0..4000)
            .map(|i| TensorHeader { name: i.to_string(), dtype: Dtype::U8, shape: vec![1000] })
            .collect();
        let mut writer = Writer::new(FileFormat::Safetensors, Vec::new(), &Contents::of(&headers)).unwrap();
        writer.write(&vec![0; 4_000_000]).unwrap();
        let sentence = refusal(&[("w.safetensors", &writer.finish().unwrap(), true)]);
        assert_eq!(
            sentence,
            "w.safetensors: a deflated file inside an archive is not supported: 4000 tensors, each to be inflated from its front; unpack it first"
        );
    }

    #[test]
    fn every_cut_and_every_flipped_byte_is_read_or_refused() {
        let header = [TensorHeader { name: "w".to_owned(), dtype: Dtype::U8, shape: vec![9] }];
        let mut writer = Writer::new(FileFormat::Safetensors, Vec::new(), &Contents::of(&header)).unwrap();
        writer.write(&[5; 9]).unwrap();
        let bytes = archive(&[("w.safetensors", &writer.finish().unwrap(), true), ("x", b"x", false)]);
        let read = |bytes: &Vec<u8>| {
            let Ok(model) = open(bytes) else { return };
            for tensor in &model.tensors {
                let mut reader = TensorReader::new(bytes, tensor, &Limits::default()).unwrap();
                let _ = reader.read(0..tensor.len(), &mut Vec::new());
            }
        };
        for end in 0..bytes.len() {
            read(&bytes[..end].to_vec());
        }
        for at in 0..bytes.len() {
            for bit in [1, 0x80] {
                let mut changed = bytes.clone();
                changed[at] ^= bit;
                read(&changed);
            }
        }
    }
}
