//! MNIST's idx files of bytes.

use super::{Contents, Series, Values};
use crate::formats::shown;
use crate::network::NetworkError;

/// Whether bytes start like an idx file of bytes.
pub(super) fn is_idx(bytes: &[u8]) -> bool {
    matches!(bytes, [0, 0, 8, 1..=4, ..])
}

pub(super) fn read(name: &str, bytes: &[u8]) -> Result<Contents, NetworkError> {
    let rank = usize::from(bytes.get(3).copied().unwrap_or(0));
    let end = 4 + 4 * rank;
    let Some(dims) = bytes.get(4..end) else {
        return Err(NetworkError::data(shown(name), format!("{rank} dimensions"), "the end of the file"));
    };
    let shape: Vec<usize> = dims.as_chunks().0.iter().map(|b| u32::from_be_bytes(*b) as usize).collect();
    let values = bytes.get(end..).unwrap_or_default();
    let count = shape.iter().try_fold(1usize, |count, n| count.checked_mul(*n));
    if count != Some(values.len()) {
        let dims: Vec<String> = shape.iter().map(usize::to_string).collect();
        let count = count.map_or("countless".to_owned(), |count| count.to_string());
        let expected = format!("{count} bytes for {}", dims.join(" × "));
        return Err(NetworkError::data(shown(name), expected, values.len().to_string()));
    }
    if rank == 1 {
        let labels = values.iter().map(|label| u32::from(*label)).collect();
        return Ok(Contents { kind: "labels", series: Vec::new(), labels: Some(labels) });
    }
    let series = Series::new("x", shape, Values::U8(values.to_vec()))?;
    Ok(Contents { kind: "MNIST idx", series: vec![series], labels: None })
}
