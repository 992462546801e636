//! The types of ggml's tensors: `enum ggml_type` and `type_traits` in ggml.h and ggml.c, 2026.

use crate::formats::codec::Unit;
use crate::tensor::{Codec, Dtype};

/// What a tensor's bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Type {
    /// Elements as they are.
    Plain(Dtype),
    /// Blocks.
    Coded(Codec),
    /// Blocks of a type that ggml wrote for a year and dropped, with what to call it: located, and not decoded.
    Dropped(&'static str),
}

/// Blocks of types that ggml dropped: those of [`Codec::Q4_0`] and [`Codec::Iq4Nl`], of several rows in turn.
const DROPPED: Unit = Unit { elements: 32, bytes: 18 };

impl Type {
    /// The type of ggml's number for it, if there is one.
    pub(super) fn from_number(number: u32) -> Option<Self> {
        let plain = match number {
            0 => Dtype::F32,
            1 => Dtype::F16,
            24 => Dtype::I8,
            25 => Dtype::I16,
            26 => Dtype::I32,
            27 => Dtype::I64,
            28 => Dtype::F64,
            30 => Dtype::Bf16,
            31 => return Some(Self::Dropped("Q4_0_4_4")),
            32 => return Some(Self::Dropped("Q4_0_4_8")),
            33 => return Some(Self::Dropped("Q4_0_8_8")),
            36 => return Some(Self::Dropped("IQ4_NL_4_4")),
            37 => return Some(Self::Dropped("IQ4_NL_4_8")),
            38 => return Some(Self::Dropped("IQ4_NL_8_8")),
            // Beyond are codes that are not ggml's.
            _ if number < 128 => return Codec::from_number(number as u8).map(Self::Coded),
            _ => return None,
        };
        Some(Self::Plain(plain))
    }

    /// What ggml calls it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Plain(dtype) => dtype.name(),
            Self::Coded(codec) => codec.name(),
            Self::Dropped(name) => name,
        }
    }

    /// What its elements are, or are decoded to.
    pub(super) fn dtype(self) -> Dtype {
        match self {
            Self::Plain(dtype) => dtype,
            Self::Coded(_) => Dtype::F32,
            Self::Dropped(_) => Dtype::U8,
        }
    }

    /// Elements and bytes of a block, one element where it has none.
    pub(super) fn unit(self) -> Unit {
        match self {
            Self::Coded(codec) => codec.unit().unwrap_or(DROPPED),
            Self::Plain(dtype) => Unit { elements: 1, bytes: dtype.size_bytes() },
            Self::Dropped(_) => DROPPED,
        }
    }
}
