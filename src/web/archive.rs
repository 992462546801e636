//! A compressed file as the page is told of it, in a worker.

use super::blobs::BlobSource;
use super::protocol::{Answer, Archive, ArchiveTensor};
use super::worker::sentence;
use crate::container::{Content, Entry, Limits, Reader};
use wasm_bindgen::JsValue;

/// Reads all but the blocks.
pub fn open(source: &BlobSource) -> Result<Archive, String> {
    let reader = Reader::open(source, &Limits::default()).map_err(sentence)?;
    let manifest = reader.manifest();
    let describe = |(index, entry): (usize, &Entry)| ArchiveTensor {
        name: entry.name.clone(),
        shape: entry.shape.clone(),
        dtype: entry.dtype.name().to_owned(),
        elements: entry.len(),
        stored: stored(&reader, entry),
        stored_bytes: reader.stored_bytes(index),
    };
    Ok(Archive {
        ledger: reader.ledger().rows().iter().map(|(part, bits)| ((*part).to_owned(), *bits)).collect(),
        recipe: manifest.provenance.recipe.clone(),
        source_hash: format!("{:032x}", manifest.provenance.hash),
        source_name: manifest.provenance.name.clone(),
        source_bytes: manifest.provenance.bytes,
        parameters: manifest.parameters,
        tensors: manifest.tensors.iter().enumerate().map(describe).collect(),
    })
}

fn stored(reader: &Reader, entry: &Entry) -> String {
    match entry.content {
        Content::Kept => "as it was".to_owned(),
        Content::SameAs(origin) => {
            let name = reader.manifest().tensors.get(origin).map_or("another tensor", |origin| origin.name.as_str());
            format!("the same as {name}")
        }
        Content::Quantized { codebook, codebooks, .. } => {
            let books = reader.codebooks().iter().skip(codebook).take(codebooks as usize);
            let most = books.map(|book| book.levels.len()).max().unwrap_or(0);
            match codebooks {
                1 => format!("symbols, {most} levels"),
                n => format!("symbols, {n} codebooks of up to {most} levels"),
            }
        }
    }
}

/// Decodes every block, which checks every checksum.
pub fn check(file: &JsValue) -> Result<Answer, String> {
    let source = BlobSource::new(file)?;
    let reader = Reader::open(&source, &Limits::default()).map_err(sentence)?;
    let (mut blocks, mut bytes) = (0, Vec::new());
    for (index, entry) in reader.manifest().tensors.iter().enumerate() {
        if matches!(entry.content, Content::SameAs(_)) {
            continue;
        }
        let decoder = reader.tensor(index).map_err(sentence)?;
        for block in 0..decoder.blocks() {
            bytes.clear();
            decoder.block(&source, block, &mut bytes).map_err(sentence)?;
            blocks += 1;
        }
    }
    Ok(Answer::Sentence(format!(
        "Every checksum holds: manifest, codebooks, code tables and {blocks} {}, all decoded.",
        if blocks == 1 { "block" } else { "blocks" }
    )))
}
