//! `.npz` and `.npy`, by the reader of weight files.

use super::{Contents, MOST_BYTES, Series, Values};
use crate::formats::{Limits, Source, TensorReader, open, shown};
use crate::model::FileFormat;
use crate::network::NetworkError;
use crate::purpose::LABELS;
use crate::tensor::{Dtype, Tensor};

pub(super) fn read(name: &str, source: &dyn Source) -> Result<Contents, NetworkError> {
    let model = open(source, &Limits::default())?;
    if !matches!(model.format, FileFormat::Npz | FileFormat::Npy) {
        return Err(NetworkError::data(shown(name), "arrays (.npz or .npy)", model.format.name()));
    }
    let bytes: u64 = model.tensors.iter().map(Tensor::size_bytes).sum();
    if bytes > MOST_BYTES {
        return Err(NetworkError::data(
            shown(name),
            format!("at most {MOST_BYTES} bytes"),
            bytes.to_string(),
        ));
    }
    let mut contents = Contents { kind: model.format.name(), series: Vec::new(), labels: None };
    let whole = model.tensors.len() == 1;
    for tensor in &model.tensors {
        let is_integer = !tensor.dtype.is_float();
        let named = LABELS.contains(&tensor.name.as_str());
        let stem = name.to_ascii_lowercase();
        let by_file =
            whole && model.format == FileFormat::Npy && (stem.starts_with('y') || stem.contains("label"));
        let values = values(source, tensor)?;
        if (named || by_file) && is_integer {
            contents.labels = Some(labels(tensor, &values)?);
            continue;
        }
        let shape = tensor.shape.iter().map(|n| *n as usize).collect();
        // An array on its own is the samples, whatever it is called.
        let key = if model.format == FileFormat::Npy { "x" } else { tensor.name.as_str() };
        contents.series.push(Series::new(key, shape, values)?);
    }
    if contents.series.is_empty() {
        contents.kind = "labels";
    }
    Ok(contents)
}

fn labels(tensor: &Tensor, values: &Values) -> Result<Vec<u32>, NetworkError> {
    let labels = values.integers(0..values.len());
    labels
        .iter()
        .map(|label| {
            u32::try_from(*label).map_err(|_| {
                NetworkError::data(
                    format!("labels {}", shown(&tensor.name)),
                    "classes from 0",
                    label.to_string(),
                )
            })
        })
        .collect()
}

fn values(source: &dyn Source, tensor: &Tensor) -> Result<Values, NetworkError> {
    let mut bytes = Vec::new();
    TensorReader::new(source, tensor, &Limits::default())?.read(0..tensor.len(), &mut bytes)?;
    let wide = |value: i64| value.clamp(i64::from(i32::MIN), i64::from(i32::MAX)) as i32;
    Ok(match tensor.dtype {
        Dtype::U8 | Dtype::Bool => Values::U8(bytes),
        Dtype::I8 => Values::I32(bytes.iter().map(|b| i32::from(*b as i8)).collect()),
        Dtype::I16 => {
            Values::I32(bytes.as_chunks().0.iter().map(|b| i32::from(i16::from_le_bytes(*b))).collect())
        }
        Dtype::U16 => {
            Values::I32(bytes.as_chunks().0.iter().map(|b| i32::from(u16::from_le_bytes(*b))).collect())
        }
        Dtype::I32 => Values::I32(bytes.as_chunks().0.iter().map(|b| i32::from_le_bytes(*b)).collect()),
        Dtype::U32 => {
            Values::I32(bytes.as_chunks().0.iter().map(|b| wide(i64::from(u32::from_le_bytes(*b)))).collect())
        }
        Dtype::I64 => Values::I32(bytes.as_chunks().0.iter().map(|b| wide(i64::from_le_bytes(*b))).collect()),
        Dtype::U64 => Values::I32(
            bytes
                .as_chunks()
                .0
                .iter()
                .map(|b| wide(i64::try_from(u64::from_le_bytes(*b)).unwrap_or(i64::MAX)))
                .collect(),
        ),
        dtype if dtype.is_float() => {
            let mut values = Vec::new();
            dtype.extend_f32(&bytes, &mut values);
            Values::F32(values)
        }
        dtype => {
            let part = format!("array {}", shown(&tensor.name));
            return Err(NetworkError::data(part, "real numbers", dtype.name()));
        }
    })
}
