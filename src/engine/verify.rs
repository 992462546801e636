//! Proof by decoding: the compressed file against the quantizer's output on the source, bit by bit.

use super::blocks::BlockReader;
use super::encode::{Measured, quantized};
use super::plan::{Fate, Plan};
use super::report::Verification;
use super::restore::laid_out;
use super::{EngineError, Input, Task, pack, unpack};
use crate::checksum::xxh3;
use crate::container::{Reader, rows_of};
use crate::formats::Source;
use crate::rate_distortion::sqnr_db;
use serde::{Deserialize, Serialize};

/// What a task of [`verify`] gives.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Compared {
    elements: u64,
    mismatches: u64,
    tensor: String,
    /// Whether these are bytes of the file that are no tensor's.
    is_skeleton: bool,
    hashes: Vec<u128>,
    measured: Measured,
}

/// Decodes the blocks of one task from the compressed file and compares them with the quantizer's output on the source,
/// computed afresh; kept tensors are compared with the source itself.
pub fn verify(
    input: Input,
    plan: &Plan,
    file: &dyn Source,
    reader: &Reader,
    task: &Task,
) -> Result<Vec<u8>, EngineError> {
    compare(input, plan, file, reader, task, None)
}

/// As [`verify`]; what was decoded of a tensor is appended to `all`, where it is wanted.
fn compare(
    input: Input,
    plan: &Plan,
    file: &dyn Source,
    reader: &Reader,
    task: &Task,
    mut all: Option<&mut Vec<u8>>,
) -> Result<Vec<u8>, EngineError> {
    let tensor = plan.stored(input.model, task.tensor).ok_or(EngineError::Message)?;
    let (fate, pieces) = (plan.fate(task.tensor), plan.pieces(input.source, task.tensor));
    let mut blocks = BlockReader::new(input.or_of(pieces.as_ref()), plan, task)?;
    let decoder = reader.decoder(task.tensor)?;
    let is_skeleton = pieces.is_some();
    let mut compared = Compared { tensor: tensor.name.clone(), is_skeleton, ..Compared::default() };
    let (mut symbols, mut expected) = (Vec::new(), Vec::new());
    let (mut expected_bytes, mut bytes, mut decoded) = (Vec::new(), Vec::new(), Vec::new());
    for range in task.blocks() {
        blocks.read(range.clone())?;
        bytes.clear();
        if !range.is_empty() {
            decoder.decode_block(file, range.start / task.block, &mut bytes)?;
        }
        if matches!(fate, Fate::Quantized { .. }) {
            symbols.clear();
            expected.clear();
            expected_bytes.clear();
            decoded.clear();
            let rows = rows_of(&tensor.shape, range.start / task.block);
            quantized(plan, fate, (range.clone(), rows), &blocks, (&mut symbols, &mut expected))?;
            tensor.dtype.extend_bytes(&expected, &mut expected_bytes);
            tensor.dtype.extend_f32(&bytes, &mut decoded);
            compared.measured.add((&blocks.values, blocks.wanted()), &decoded, blocks.costs());
        } else {
            expected_bytes.clone_from(&blocks.bytes);
        }
        compared.elements += range.end - range.start;
        let size = tensor.dtype.size_bytes() as usize;
        let pairs = expected_bytes.chunks(size).zip(bytes.chunks(size));
        compared.mismatches += pairs.filter(|(a, b)| a != b).count() as u64;
        compared.mismatches += (expected_bytes.len().abs_diff(bytes.len()) / size) as u64;
        if !range.is_empty() {
            compared.hashes.push(xxh3(&bytes));
        }
        if let Some(all) = &mut all {
            if all.is_empty() { std::mem::swap(*all, &mut bytes) } else { all.append(&mut bytes) }
        }
    }
    Ok(pack(&compared))
}

/// As [`verify`], with what was decoded as it lies in the file that is given back; see [`split_off`].
pub(super) fn verify_and_lay_out(
    input: Input,
    plan: &Plan,
    file: &dyn Source,
    reader: &Reader,
    task: &Task,
) -> Result<Vec<u8>, EngineError> {
    let entry = reader.manifest().tensors.get(task.tensor);
    // A long run is decoded once more where it is wanted, rather than held.
    let is_strided = entry.is_some_and(|entry| entry.place.as_ref().is_some_and(|p| p.strides.is_some()));
    let is_held = is_strided || task.end - task.start <= task.block;
    let mut message = Vec::new();
    let compared = compare(input, plan, file, reader, task, is_held.then_some(&mut message))?;
    if let Some(entry) = entry {
        message = laid_out(entry, message).ok_or(EngineError::Message)?;
    }
    message.extend(&compared);
    message.extend((compared.len() as u64).to_le_bytes());
    Ok(message)
}

/// What [`verify`] gave, and the bytes of the file.
pub(super) fn split_off(mut message: Vec<u8>) -> Result<(Vec<u8>, Vec<u8>), EngineError> {
    let (rest, compared) = message.split_last_chunk().ok_or(EngineError::Message)?;
    let (len, compared) = (rest.len(), u64::from_le_bytes(*compared) as usize);
    let laid_out = len.checked_sub(compared).ok_or(EngineError::Message)?;
    message.truncate(len);
    let compared = message.split_off(laid_out);
    Ok((compared, message))
}

/// Adds up what [`verify`] gave, in task order.
pub fn collect_verification(parts: &[Vec<u8>]) -> Result<Verification, EngineError> {
    let mut total = Verification::default();
    let mut measured = Measured::default();
    let mut hasher = xxhash_rust::xxh3::Xxh3::new();
    let mut last = None;
    for part in parts {
        let compared: Compared = unpack(part)?;
        if compared.is_skeleton {
            total.skeleton_bytes += compared.elements;
        } else {
            total.tensors += u64::from(last.as_ref() != Some(&compared.tensor));
            total.elements += compared.elements;
        }
        total.mismatches += compared.mismatches;
        if compared.mismatches > 0 && total.first_mismatch.is_none() {
            let is_rest = compared.is_skeleton;
            total.first_mismatch =
                Some(if is_rest { "the rest of the file".to_owned() } else { compared.tensor.clone() });
        }
        compared.hashes.iter().for_each(|hash| hasher.update(&hash.to_le_bytes()));
        measured.merge(&compared.measured);
        last = Some(compared.tensor);
    }
    total.squared_error = measured.error;
    total.sqnr_db = sqnr_db(measured.signal, measured.error);
    total.largest_error = measured.largest_error;
    total.decoded_hash = format!("{:032x}", hasher.digest128());
    Ok(total)
}
