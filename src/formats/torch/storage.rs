//! Storages: the runs of elements that tensors are views of, as pickles refer to them.

use super::pickle::{Id, Pickle, Value};
use crate::tensor::Dtype;

/// The elements of a storage class.
#[derive(Debug, Clone, Copy)]
enum Elements {
    Typed(Dtype),
    /// Plain bytes: the tensor says what they are.
    Untyped,
}

/// The elements of a storage class, such as `FloatStorage`.
#[allow(clippy::match_same_arms)]
fn storage_elements(name: &str) -> Option<Elements> {
    Some(Elements::Typed(match name.strip_suffix("Storage")? {
        "Double" => Dtype::F64,
        "Float" => Dtype::F32,
        "Half" => Dtype::F16,
        "BFloat16" => Dtype::Bf16,
        "Long" => Dtype::I64,
        "Int" => Dtype::I32,
        "Short" => Dtype::I16,
        "Char" => Dtype::I8,
        "Byte" => Dtype::U8,
        "Bool" => Dtype::Bool,
        "ComplexFloat" => Dtype::C64,
        "ComplexDouble" => Dtype::C128,
        "QInt8" => Dtype::I8,
        "QUInt8" => Dtype::U8,
        "QInt32" => Dtype::I32,
        "Untyped" => return Some(Elements::Untyped),
        _ => return None,
    }))
}

/// The element type that torch calls this.
pub(super) fn torch_dtype(name: &str) -> Option<Dtype> {
    Some(match name {
        "float64" | "double" => Dtype::F64,
        "float32" | "float" => Dtype::F32,
        "float16" | "half" => Dtype::F16,
        "bfloat16" => Dtype::Bf16,
        "float8_e4m3fn" => Dtype::F8E4M3,
        "float8_e5m2" => Dtype::F8E5M2,
        "int64" | "long" => Dtype::I64,
        "int32" | "int" => Dtype::I32,
        "int16" | "short" => Dtype::I16,
        "int8" => Dtype::I8,
        "uint64" => Dtype::U64,
        "uint32" => Dtype::U32,
        "uint16" => Dtype::U16,
        "uint8" => Dtype::U8,
        "bool" => Dtype::Bool,
        "complex64" => Dtype::C64,
        "complex128" => Dtype::C128,
        _ => return None,
    })
}

/// A persistent reference to a storage: ('storage', class, key, device, number of elements), and before version 0.4
/// a view of it: (key, first element, number of elements).
pub(super) struct StorageRef<'a> {
    pub(super) key: &'a str,
    pub(super) dtype: Option<Dtype>,
    pub(super) elements: u64,
    /// First element of the view, which offsets count from.
    pub(super) first: i64,
}

impl<'a> StorageRef<'a> {
    pub(super) fn new(pickle: &'a Pickle, id: Id) -> Option<Self> {
        let Value::Persistent(reference) = pickle.get(id) else { return None };
        let [tag, class, key, _, elements, rest @ ..] = pickle.sequence(*reference)? else { return None };
        if pickle.text(*tag) != Some("storage") {
            return None;
        }
        let (_, class) = pickle.global(*class)?;
        let dtype = match storage_elements(class)? {
            Elements::Typed(dtype) => Some(dtype),
            Elements::Untyped => None,
        };
        let first = match rest.first().and_then(|view| pickle.sequence(*view)) {
            Some([_, first, ..]) => pickle.int(*first)?,
            _ => 0,
        };
        let elements = u64::try_from(pickle.int(*elements)?).ok()?;
        Some(Self { key: pickle.text(*key)?, dtype, elements, first })
    }
}
