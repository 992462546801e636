//! Tensors of an ONNX message as arrays.

use super::Array;
use crate::tensor::Dtype;
use rten_onnx::onnx::{DataType, TensorProto};

/// The integers of a tensor that has at most so many.
pub(super) fn integers_of(tensor: &TensorProto, most: usize) -> Option<Vec<i64>> {
    let len = tensor.dims.iter().try_fold(1usize, |n, dim| n.checked_mul(usize::try_from(*dim).ok()?))?;
    let is_integer = matches!(tensor.data_type?, DataType::INT64 | DataType::INT32);
    let array = if is_integer && len <= most { array_of(tensor) } else { None };
    array.map(|array| array.to_integers())
}

/// The floating-point type of these elements.
pub(super) const fn float_type(of: DataType) -> Option<Dtype> {
    Some(match of {
        DataType::FLOAT => Dtype::F32,
        DataType::DOUBLE => Dtype::F64,
        DataType::FLOAT16 => Dtype::F16,
        DataType::BFLOAT16 => Dtype::Bf16,
        DataType::FLOAT8E4M3FN => Dtype::F8E4M3,
        DataType::FLOAT8E5M2 => Dtype::F8E5M2,
        _ => return None,
    })
}

/// The numbers of a tensor of a floating-point type: raw bytes, or typed data, where an element of one byte or two is the lowest
/// bits of an integer.
pub(super) fn floats_of(tensor: &TensorProto, dtype: Dtype) -> Vec<f32> {
    let mut values = Vec::new();
    let own = |bits: &i32| bits.to_le_bytes().into_iter().take(dtype.size_bytes() as usize);
    match (&tensor.raw_data, dtype) {
        (Some(raw), _) => dtype.extend_f32(&raw.borrow(), &mut values),
        (None, Dtype::F32) => values.clone_from(&tensor.float_data),
        (None, Dtype::F64) => values.extend(tensor.double_data.iter().map(|x| *x as f32)),
        (None, _) => {
            let bytes: Vec<u8> = tensor.int32_data.iter().flat_map(own).collect();
            dtype.extend_f32(&bytes, &mut values);
        }
    }
    values
}

/// A tensor's numbers; none of types that no operator here takes.
pub(super) fn array_of(tensor: &TensorProto) -> Option<Array> {
    let shape: Vec<usize> =
        tensor.dims.iter().map(|dim| usize::try_from(*dim).ok()).collect::<Option<_>>()?;
    let raw = tensor.raw_data.as_ref().map(|raw| raw.borrow());
    let raw = raw.as_deref();
    let narrow = |i: i64| i.clamp(i64::from(i32::MIN), i64::from(i32::MAX)) as i32;
    let wide = |bytes: &Vec<u8>| bytes.as_chunks().0.iter().map(|b| narrow(i64::from_le_bytes(*b))).collect();
    match tensor.data_type? {
        DataType::INT64 => {
            let typed = || tensor.int64_data.iter().map(|i| narrow(*i)).collect();
            Array::integers(&shape, raw.map_or_else(typed, wide)).ok()
        }
        DataType::INT32 => {
            let typed = || tensor.int32_data.clone();
            let read = |bytes: &Vec<u8>| bytes.as_chunks().0.iter().map(|b| i32::from_le_bytes(*b)).collect();
            Array::integers(&shape, raw.map_or_else(typed, read)).ok()
        }
        DataType::BOOL | DataType::UINT8 => {
            let typed = || tensor.int32_data.clone();
            let read = |bytes: &Vec<u8>| bytes.iter().map(|b| i32::from(*b)).collect();
            Array::integers(&shape, raw.map_or_else(typed, read)).ok()
        }
        other => Array::floats(&shape, floats_of(tensor, float_type(other)?)).ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    fn floats(tensor: &TensorProto) -> Vec<f32> {
        array_of(tensor).unwrap().as_floats().unwrap().iter().copied().collect()
    }

    #[test]
    fn small_floats_are_read_from_integers_as_from_bytes() {
        // 1, −2 and 0.5; the upper bits of an integer are no part of an element.
        let cases = [
            (10, 2, [0x3c00, 0xc000, 0x3800]),
            (16, 2, [0x3f80, 0xc000, 0x3f00]),
            (17, 1, [0x38, 0xc0, 0x30]),
            (19, 1, [0x3c, 0xc0, 0x38]),
        ];
        for (number, size, bits) in cases {
            let bytes: Vec<u8> =
                bits.iter().flat_map(|bits: &i32| bits.to_le_bytes()[..size].to_vec()).collect();
            let data_type = Some(DataType(number));
            let tensor = TensorProto { dims: vec![3], data_type, ..TensorProto::default() };
            let typed =
                TensorProto { int32_data: bits.map(|bits| bits | 0x7f << 16).to_vec(), ..tensor.clone() };
            let raw = TensorProto { raw_data: Some(RefCell::new(bytes)), ..tensor };
            for tensor in [typed, raw] {
                assert_eq!(floats(&tensor), [1.0, -2.0, 0.5], "type {number}");
            }
        }
    }

    #[test]
    fn doubles_are_read_from_where_they_stand() {
        let tensor = TensorProto {
            dims: vec![2],
            data_type: Some(DataType::DOUBLE),
            double_data: vec![0.25, -3.0],
            ..TensorProto::default()
        };
        assert_eq!(floats(&tensor), [0.25, -3.0]);
    }
}
