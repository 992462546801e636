//! A compressed file as the page is told of it, in a worker.

use super::blobs::{BlobSink, BlobSource};
use super::jobs::{Answer, Archive, ArchiveTensor};
use super::message::sentence;
use crate::container::{Content, Entry, Reader};
use crate::engine::{self, Digest, Export, Restored};
use crate::model::FileFormat;
use wasm_bindgen::JsValue;

/// Reads all but the blocks.
pub fn open(source: &BlobSource) -> Result<Archive, String> {
    let reader = engine::open_container(source).map_err(sentence)?;
    let manifest = reader.manifest();
    let describe = |(index, entry): (usize, &Entry)| ArchiveTensor {
        name: entry.name.clone(),
        shape: entry.shape.clone(),
        dtype: entry.dtype.name().to_owned(),
        elements: entry.len(),
        stored: stored(&reader, entry),
        stored_bytes: reader.ledger().tensors.get(index).map_or(0, |bits| bits.total_bits().div_ceil(8)),
    };
    Ok(Archive {
        ledger: reader.ledger().rows().iter().map(|(part, bits)| ((*part).to_owned(), *bits)).collect(),
        recipe: manifest.recipe.clone(),
        source_hash: format!("{:032x}", manifest.content_hash),
        source_name: manifest.source_name.clone(),
        source_bytes: manifest.source_bytes,
        files: manifest.files.clone(),
        parameters: engine::parameters(&reader),
        tensors: manifest.tensors.iter().enumerate().map(describe).collect(),
    })
}

fn stored(reader: &Reader, entry: &Entry) -> String {
    match &entry.content {
        Content::Kept | Content::View(_) => "as it was".to_owned(),
        Content::Codes(..) => "as its codes were".to_owned(),
        Content::SameAs(origin) => {
            let name = reader
                .manifest()
                .tensors
                .get(*origin)
                .map_or("another tensor", |origin| origin.name.as_str());
            format!("the same as {name}")
        }
        Content::Quantized(coding) => {
            let levels = |index: usize| reader.codebook(index).map_or(0, |codebook| codebook.levels());
            match entry.codebooks() {
                1 => format!("symbols, {} levels", levels(coding.first_codebook)),
                n => format!("symbols, {n} codebooks, {} levels in the first", levels(coding.first_codebook)),
            }
        }
    }
}

/// Hears of bytes as they are done, of so many in all.
fn counting(total: u64, progress: &dyn Fn(u64, u64)) -> impl FnMut(u64) {
    let mut done = 0;
    move |bytes| {
        done += bytes;
        progress(done, total.max(done));
    }
}

/// Decodes every block, which checks every checksum.
pub fn check(file: &JsValue, progress: &dyn Fn(u64, u64)) -> Result<Answer, String> {
    let source = BlobSource::new(file)?;
    let reader = engine::open_container(&source).map_err(sentence)?;
    let total = engine::decoded_bytes(&reader).saturating_add(reader.manifest().file_bytes());
    let count = &mut counting(total, progress);
    let hash = engine::check_blocks(&source, &reader, count).map_err(sentence)?;
    let files = given_back(&source, &reader, count)?;
    Ok(Answer::Checked { hash, files })
}

/// What the files are that it gives back.
pub fn digests(file: &JsValue, progress: &dyn Fn(u64, u64)) -> Result<Answer, String> {
    let source = BlobSource::new(file)?;
    let reader = engine::open_container(&source).map_err(sentence)?;
    let count = &mut counting(reader.manifest().file_bytes(), progress);
    given_back(&source, &reader, count).map(Answer::Digests)
}

fn given_back(
    source: &BlobSource,
    reader: &Reader,
    count: &mut dyn FnMut(u64),
) -> Result<Vec<Digest>, String> {
    match Restored::new(source, reader) {
        Some(restored) => restored.write(&mut std::io::sink(), count).map_err(sentence),
        None => Ok(Vec::new()),
    }
}

/// Decodes into a weight file of another format, or the files that were compressed.
pub fn decode(
    file: &JsValue,
    format: Option<FileFormat>,
    progress: &dyn Fn(u64, u64),
) -> Result<Answer, String> {
    let source = BlobSource::new(file)?;
    let reader = engine::open_container(&source).map_err(sentence)?;
    let count = &mut counting(engine::decoded_bytes(&reader), progress);
    let mut sink = BlobSink::new();
    let restored = Restored::new(&source, &reader);
    // The file that was compressed is there for its own format, as the program has it.
    let is_own = format.is_none_or(|format| format == reader.manifest().source_format);
    let files = match (format, restored) {
        (_, Some(restored)) if is_own => restored.write(&mut sink, count).map_err(sentence)?,
        (format, _) => {
            let export = Export { format: format.unwrap_or(FileFormat::Safetensors), template: None };
            engine::decode_to(&source, &reader, export, &mut sink, count).map_err(sentence)?;
            Vec::new()
        }
    };
    Ok(Answer::Decoded { bytes: sink.finish()?.into(), files })
}
