//! The header of a safetensors file: its length in 8 bytes, then JSON, padded with spaces to a multiple of 8.

use super::{ExportError, TensorHeader};
use crate::tensor::Dtype;
use std::collections::BTreeMap;

/// The file up to its first weight; tensors keep their order.
pub fn header(tensors: &[TensorHeader], metadata: &BTreeMap<String, String>) -> Result<Vec<u8>, ExportError> {
    // The text of a text cannot fail; of all of JSON the page needs no more than this.
    let text = |text: &str| serde_json::to_string(text).unwrap_or_default();
    let mut entries = Vec::with_capacity(tensors.len() + 1);
    if !metadata.is_empty() {
        let pairs: Vec<String> = metadata.iter().map(|(k, v)| format!("{}:{}", text(k), text(v))).collect();
        entries.push(format!("\"__metadata__\":{{{}}}", pairs.join(",")));
    }
    let mut offset = 0;
    for tensor in tensors {
        if tensor.dtype == Dtype::C128 {
            let (name, dtype) = (tensor.name.clone(), tensor.dtype.name());
            return Err(ExportError::Dtype { name, format: "safetensors", dtype, instead: ".npz" });
        }
        let end = offset + tensor.size_bytes();
        let shape: Vec<String> = tensor.shape.iter().map(u64::to_string).collect();
        entries.push(format!(
            "{}:{{\"dtype\":\"{}\",\"shape\":[{}],\"data_offsets\":[{offset},{end}]}}",
            text(&tensor.name),
            tensor.dtype.name(),
            shape.join(","),
        ));
        offset = end;
    }
    let mut json = format!("{{{}}}", entries.join(",")).into_bytes();
    json.resize(json.len().next_multiple_of(8), b' ');
    let mut header = (json.len() as u64).to_le_bytes().to_vec();
    header.extend(json);
    Ok(header)
}
