//! CIFAR-10's binary batches: records of a label and 32 × 32 pixels, a plane for each colour.

use super::{Contents, Series, Values};
use crate::network::NetworkError;

const PIXELS: usize = 3 * 32 * 32;

/// Whether bytes are whole records with labels below 10.
pub(super) fn is_cifar(bytes: &[u8]) -> bool {
    let records = bytes.chunks(1 + PIXELS);
    !bytes.is_empty()
        && bytes.len().is_multiple_of(1 + PIXELS)
        && records.into_iter().all(|r| r.first() < Some(&10))
}

pub(super) fn read(bytes: &[u8]) -> Result<Contents, NetworkError> {
    let records = || bytes.chunks_exact(1 + PIXELS).filter_map(<[u8]>::split_first);
    let pixels: Vec<u8> = records().flat_map(|(_, pixels)| pixels).copied().collect();
    let labels: Vec<u32> = records().map(|(label, _)| u32::from(*label)).collect();
    let series = Series::new("x", vec![labels.len(), 3, 32, 32], Values::U8(pixels))?;
    Ok(Contents { kind: "CIFAR-10 binary", series: vec![series], labels: Some(labels) })
}
