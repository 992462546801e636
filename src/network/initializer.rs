//! Tensors of an ONNX message as arrays.

use super::Array;
use rten_onnx::onnx::{DataType, TensorProto};

/// The integers of a tensor that has at most so many.
pub(super) fn integers_of(tensor: &TensorProto, most: usize) -> Option<Vec<i64>> {
    let len = tensor.dims.iter().try_fold(1usize, |n, dim| n.checked_mul(usize::try_from(*dim).ok()?))?;
    let is_integer = matches!(tensor.data_type?, DataType::INT64 | DataType::INT32);
    let array = if is_integer && len <= most { array_of(tensor) } else { None };
    array.map(|array| array.to_integers())
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
        DataType::FLOAT => {
            let mut values = tensor.float_data.clone();
            if let Some(raw) = raw {
                crate::tensor::Dtype::F32.extend_f32(raw, &mut values);
            }
            Array::floats(&shape, values).ok()
        }
        DataType::FLOAT16 | DataType::BFLOAT16 | DataType::DOUBLE => {
            let dtype = match tensor.data_type? {
                DataType::FLOAT16 => crate::tensor::Dtype::F16,
                DataType::BFLOAT16 => crate::tensor::Dtype::Bf16,
                _ => crate::tensor::Dtype::F64,
            };
            let mut values: Vec<f32> = tensor.double_data.iter().map(|x| *x as f32).collect();
            // Without raw bytes, an element of two is the lower half of an integer.
            let halves = || tensor.int32_data.iter().flat_map(|bits| (*bits as u16).to_le_bytes()).collect();
            let typed: Vec<u8> = if raw.is_none() { halves() } else { Vec::new() };
            dtype.extend_f32(raw.unwrap_or(&typed), &mut values);
            Array::floats(&shape, values).ok()
        }
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
        _ => None,
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
    fn floats_of_16_bits_are_read_from_integers_as_from_bytes() {
        // 1, −2 and 0.5; the upper half of an integer is no part of an element.
        let cases =
            [(DataType::FLOAT16, [0x3c00, 0xc000, 0x3800]), (DataType::BFLOAT16, [0x3f80, 0xc000, 0x3f00])];
        for (data_type, bits) in cases {
            let bytes: Vec<u8> = bits.iter().flat_map(|bits: &i32| (*bits as u16).to_le_bytes()).collect();
            let tensor = TensorProto { dims: vec![3], data_type: Some(data_type), ..TensorProto::default() };
            let typed = TensorProto { int32_data: bits.to_vec(), ..tensor.clone() };
            let raw = TensorProto { raw_data: Some(RefCell::new(bytes)), ..tensor };
            for tensor in [typed, raw] {
                assert_eq!(floats(&tensor), [1.0, -2.0, 0.5]);
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
