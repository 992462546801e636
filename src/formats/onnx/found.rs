//! A tensor as an ONNX model declares it, and where its bytes lie.

use super::roles::{Name, Scope};
use crate::formats::error::shown;
use crate::formats::layout::{Declared, element_count};
use crate::formats::source::{below, companion};
use crate::formats::{FormatError, FormatErrorKind, Limits, Source};
use crate::tensor::{Codec, Dtype, Span, Storage};
use std::collections::BTreeMap;

/// A tensor as the file declares it.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) name: String,
    /// The graph that it lies in, and its name there.
    pub(super) scope: Scope,
    pub(super) value: Name,
    pub(super) is_initializer: bool,
    pub(super) dims: Vec<u64>,
    pub(super) data_type: u64,
    /// Bytes as they lie in memory: raw data, or packed 32- and 64-bit floats.
    pub(super) raw: Option<Span>,
    /// Packed varints: 16- and 8-bit floats outside raw data.
    pub(super) varints: Option<Span>,
    pub(super) is_external: bool,
    pub(super) external: BTreeMap<String, String>,
}

/// What is left out, counted.
#[derive(Debug, Default)]
pub(super) struct Left {
    pub(super) constants: u64,
    pub(super) sparse: u64,
    pub(super) types: Vec<u64>,
    pub(super) functions: u64,
}

impl Left {
    pub(super) fn notes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        let mut note = |count: u64, what: &str| {
            if count > 0 {
                notes.push(format!("{count} {what}"));
            }
        };
        note(self.constants, "integer or single constants belong to the graph and are left as they are");
        note(self.sparse, "sparse initializers are left as they are");
        note(self.types.len() as u64, "types of initializer that are no plain float are left as they are");
        note(self.functions, "local functions are not searched for weights");
        notes
    }
}

/// Our type for a float type of `TensorProto.DataType`.
pub(super) fn float_type(data_type: u64) -> Option<Dtype> {
    Some(match data_type {
        1 => Dtype::F32,
        10 => Dtype::F16,
        11 => Dtype::F64,
        16 => Dtype::Bf16,
        17 => Dtype::F8E4M3,
        19 => Dtype::F8E5M2,
        _ => return None,
    })
}

impl Found {
    fn part(&self) -> String {
        format!("tensor {}", shown(&self.name))
    }

    /// The file that holds the data: a path below the model's own folder.
    pub(super) fn location(&self) -> Result<String, FormatError> {
        let expected = "a file beside the model that holds its data";
        let Some(location) = self.external.get("location") else {
            return Err(FormatError::damaged(self.part(), expected, "none"));
        };
        let name = below(location).map(str::to_owned);
        name.ok_or_else(|| FormatError::damaged(self.part(), expected, shown(location)))
    }

    pub(super) fn locate(
        self,
        source: &dyn Source,
        limits: &Limits,
    ) -> Result<crate::tensor::Tensor, FormatError> {
        let part = self.part();
        let dtype = float_type(self.data_type).unwrap_or(Dtype::F32);
        let bytes = element_count(&part, &self.dims, dtype, limits)? * dtype.size_bytes();
        let storage = if self.is_external {
            Storage::Stored(self.external_span(source, bytes)?)
        } else if let (Some(varints), None) = (self.varints, self.raw) {
            Storage::Encoded { span: varints, codec: Codec::Varints, len: bytes }
        } else {
            Storage::Stored(self.raw.unwrap_or(Span { offset: 0, len: 0 }))
        };
        let (strides, big_endian) = (None, false);
        let declared =
            Declared { name: self.name, dtype, shape: self.dims, storage, offset: 0, strides, big_endian };
        if declared.storage.len() != bytes {
            let found = format!("{} bytes", declared.storage.len());
            return Err(FormatError::damaged(part, format!("{bytes} bytes of data"), found));
        }
        declared.locate(limits)
    }

    fn external_span(&self, source: &dyn Source, bytes: u64) -> Result<Span, FormatError> {
        let location = self.location()?;
        let Some(file) = companion(source, &location) else {
            return Err(FormatErrorKind::Companion { part: self.part(), file: shown(&location) }.into());
        };
        let number = |key: &str, default: u64| match self.external.get(key) {
            None => Ok(default),
            Some(text) => text.parse::<u64>().map_err(|_| {
                FormatError::damaged(self.part(), format!("a number as the data's {key}"), shown(text))
            }),
        };
        let (offset, len) = (number("offset", 0)?, number("length", bytes)?);
        if offset.checked_add(len).is_none_or(|end| end > file.span.len) {
            let expected = format!("data inside the {} bytes of {}", file.span.len, shown(&location));
            let found = format!("{len} bytes from byte {offset}");
            return Err(FormatError::damaged(self.part(), expected, found));
        }
        Ok(Span { offset: file.span.offset + offset, len })
    }
}
