//! A compressed file gives back the file it was made from: the very bytes where everything is kept, and where weights are
//! quantized a file that its own reader opens, with the decoded weights and all else as it was.
#![cfg(not(target_arch = "wasm32"))]
#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "../support/lies.rs"]
mod lies;
#[path = "../support/mod.rs"]
mod support;
#[path = "../support/weight_files.rs"]
mod weight_files;

mod formats;
mod hostile;
mod real;

use quantscope::container::{Content, Reader};
use quantscope::engine::pipeline::Opened;
use quantscope::engine::{Restored, elements, open_container};
use quantscope::formats::{Joined, Limits, Source, TensorReader, open};
use quantscope::model::Model;
use quantscope::recipe::Recipe;
use quantscope::tensor::{Storage, Tensor};
use weight_files::Files;

/// The `.qsz` of files, by a recipe's line.
fn compressed(files: &Files, line: &str) -> Result<Vec<u8>, String> {
    let recipe = Recipe::from_line(line).unwrap();
    let (name, source) = (files[0].0.clone(), Joined::new(files.clone()));
    let mut opened =
        Opened::sketch((source, name), None, &recipe, 1, &|_, _, _| ()).map_err(|error| error.to_string())?;
    let (file, _, plan) =
        opened.compress(&recipe, Vec::new(), &|_, _, _| ()).map_err(|error| error.to_string())?;
    let verified = opened.verify(&plan, &file, &|_, _, _| ()).map_err(|error| error.to_string())?;
    assert_eq!(verified.mismatches, 0, "{:?}", verified.first_mismatch);
    Ok(file)
}

/// The files that a `.qsz` gives back.
fn restored(qsz: &[u8]) -> Result<Files, String> {
    let reader = open_container(&qsz).map_err(|error| error.to_string())?;
    let restored = Restored::new(&qsz, &reader).ok_or("the weights alone")?;
    let mut bytes = Vec::new();
    let digests = restored.write(&mut bytes, &mut |_| ()).map_err(|error| error.to_string())?;
    assert_eq!(digests.iter().map(|file| file.bytes).sum::<u64>(), bytes.len() as u64);
    let mut rest = bytes.as_slice();
    let mut next = |len: u64| {
        let (own, others) = rest.split_at(len as usize);
        rest = others;
        own.to_vec()
    };
    Ok(digests.iter().map(|file| (file.name.clone(), next(file.bytes))).collect())
}

/// The elements of a tensor of a file.
fn read(source: &dyn Source, tensor: &Tensor) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut reader = TensorReader::new(source, tensor, &Limits::default()).unwrap();
    reader.read(0..tensor.len(), &mut bytes).unwrap();
    bytes
}

/// The elements of a tensor of a `.qsz`.
fn decoded(qsz: &[u8], reader: &Reader, index: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    elements(&qsz, reader, index, &mut |part| {
        bytes.extend_from_slice(part);
        Ok(())
    })
    .unwrap();
    bytes
}

/// Compresses with everything kept, and expects the very files again.
fn assert_kept(files: &Files) {
    let qsz = compressed(files, "exclude=*").unwrap();
    let again = restored(&qsz).unwrap();
    assert!(&again == files, "{:?}", lengths(&again));
    let (source, reader) = (Joined::new(files.clone()), open_container(&qsz).unwrap());
    let model = open(&source, &Limits::default()).unwrap();
    for (index, tensor) in model.tensors.iter().enumerate() {
        assert_eq!(decoded(&qsz, &reader, index), read(&source, tensor), "{}", tensor.name);
    }
}

fn lengths(files: &Files) -> Vec<(&str, usize)> {
    files.iter().map(|(name, bytes)| (name.as_str(), bytes.len())).collect()
}

/// Compresses by a recipe, and expects files that open, with the decoded elements in them; the model before and the files.
/// Where there is no weight to quantize, everything is kept.
fn assert_opens(files: &Files, line: &str) -> (Model, Files) {
    let qsz = match compressed(files, line) {
        Err(error) if error.starts_with("there is no weight to quantize") => compressed(files, "exclude=*"),
        other => other,
    };
    let qsz = qsz.unwrap();
    let again = restored(&qsz).unwrap();
    let (before, after) = (Joined::new(files.clone()), Joined::new(again.clone()));
    let model = open(&before, &Limits::default()).unwrap();
    let reader = open_container(&qsz).unwrap();
    let opened = open(&after, &Limits::default()).unwrap_or_else(|error| panic!("{line}: {error}"));
    let names = |model: &Model| model.tensors.iter().map(|tensor| tensor.name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&opened), names(&model));
    for (index, (tensor, entry)) in opened.tensors.iter().zip(&reader.manifest().tensors).enumerate() {
        let found = read(&after, tensor);
        assert_eq!(found, decoded(&qsz, &reader, index), "{}", tensor.name);
        let is_kept = match entry.content {
            Content::Quantized(_) => false,
            Content::SameAs(of) => !matches!(reader.manifest().tensors[of].content, Content::Quantized(_)),
            _ => true,
        };
        if is_kept {
            assert_eq!(found, read(&before, &model.tensors[index]), "{}", tensor.name);
        }
    }
    (model, again)
}

/// The same of files that keep their lengths: all bytes are equal that are no tensor's and no checksum's.
fn assert_all_else_is_equal(files: &Files, line: &str) {
    let (model, again) = assert_opens(files, line);
    assert_eq!(lengths(&again), lengths(files));
    let bytes = |files: &Files| files.iter().flat_map(|(_, bytes)| bytes.clone()).collect::<Vec<u8>>();
    let (before, mut after) = (bytes(files), bytes(&again));
    let mut put_back = |start: u64, len: u64| {
        let range = start as usize..(start + len) as usize;
        after[range.clone()].copy_from_slice(&before[range]);
    };
    for tensor in &model.tensors {
        if let Storage::Stored(span) = tensor.storage {
            let axes = tensor.shape.iter().zip(tensor.strides.iter().flatten());
            let reach: u64 = axes.map(|(count, stride)| count.saturating_sub(1) * *stride as u64).sum();
            let elements = if tensor.strides.is_some() { reach + 1 } else { tensor.len() };
            let elements = if tensor.is_empty() { 0 } else { elements };
            put_back(span.offset + tensor.offset, elements * tensor.dtype.size_bytes());
        }
    }
    let checksums = model.anatomy.checksums.iter().flat_map(|checksum| &checksum.at);
    checksums.for_each(|at| put_back(*at, 4));
    assert!(before == after, "bytes that are no tensor's changed");
}
