//! Writes a safetensors file: its header is a length in 8 bytes, then JSON, padded with spaces to a multiple of 8.

use crate::formats::writer::{Contents, ExportError, Frame, TensorHeader};
use crate::tensor::Dtype;
use std::collections::BTreeMap;
use std::io::Write;

/// Nothing lies between the tensors' bytes, nor behind them.
struct Plain;

impl Frame for Plain {
    fn open(&mut self, _: &mut dyn Write, _: &TensorHeader) -> Result<(), ExportError> {
        Ok(())
    }

    fn write(&mut self, out: &mut dyn Write, bytes: &[u8]) -> Result<(), ExportError> {
        Ok(out.write_all(bytes)?)
    }

    fn close(&mut self, _: &mut dyn Write) -> Result<(), ExportError> {
        Ok(())
    }

    fn finish(&mut self, _: &mut dyn Write) -> Result<(), ExportError> {
        Ok(())
    }
}

/// Starts a file: writes its header.
pub(in crate::formats) fn start<'a>(
    out: &mut dyn Write,
    contents: &Contents<'a>,
) -> Result<Box<dyn Frame + 'a>, ExportError> {
    out.write_all(&header(contents.tensors, contents.metadata)?)?;
    Ok(Box::new(Plain))
}

/// The file up to its first weight; tensors keep their order.
fn header(tensors: &[TensorHeader], metadata: &BTreeMap<String, String>) -> Result<Vec<u8>, ExportError> {
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
