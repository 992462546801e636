//! `NumPy`'s names of element types (NEP 1; the array interface's `typestr`).

use super::FormatError;
use super::error::shown;
use crate::tensor::Dtype;

/// The element type that `NumPy` calls `descr`, and whether it is big-endian.
pub(super) fn element_type(part: &str, descr: &str) -> Result<(Dtype, bool), FormatError> {
    let (order, code) = match descr.split_at_checked(1) {
        Some((order @ ("<" | ">" | "|" | "="), code)) => (order, code),
        _ => ("|", descr),
    };
    let dtype = match code {
        "f8" => Dtype::F64,
        "f4" => Dtype::F32,
        "f2" => Dtype::F16,
        "i8" => Dtype::I64,
        "i4" => Dtype::I32,
        "i2" => Dtype::I16,
        "i1" => Dtype::I8,
        "u8" => Dtype::U64,
        "u4" => Dtype::U32,
        "u2" => Dtype::U16,
        "u1" => Dtype::U8,
        "b1" => Dtype::Bool,
        "c8" => Dtype::C64,
        "c16" => Dtype::C128,
        // What NumPy makes of the bfloat16 of ml_dtypes, which it has no name for.
        "V2" => Dtype::Bf16,
        _ => return Err(FormatError::unsupported(part, unsupported_type(descr, code))),
    };
    Ok((dtype, order == ">"))
}

fn unsupported_type(descr: &str, code: &str) -> String {
    let kind = match code.chars().next() {
        Some('O') => "pickled Python objects, which are never read",
        Some('U' | 'S' | 'a') => "text",
        Some('M' | 'm') => "dates",
        Some('V') => "raw bytes or records",
        Some('f' | 'c') => "extended-precision floats",
        _ => "elements of a type unknown here",
    };
    format!("it holds {kind} ({})", shown(descr))
}
