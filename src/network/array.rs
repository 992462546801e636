//! Values that flow through a network: dense arrays of 32-bit floats or integers.

use super::NetworkError;
use ndarray::{ArrayD, IxDyn};
use rten::{Value, ValueOrView};
use rten_tensor::prelude::*;

/// A dense array, row-major.
#[derive(Debug, Clone, PartialEq)]
pub enum Array {
    /// Floats.
    F32(ArrayD<f32>),
    /// Integers; ONNX's 64-bit ones are narrowed, as the runtime does.
    I32(ArrayD<i32>),
}

impl Array {
    /// Floats of a shape.
    pub fn floats(shape: &[usize], values: Vec<f32>) -> Result<Self, NetworkError> {
        let found = format!("{} values", values.len());
        ArrayD::from_shape_vec(IxDyn(shape), values)
            .map(Self::F32)
            .map_err(|_| NetworkError::data("an array", format!("values for shape {shape:?}"), found))
    }

    /// Integers of a shape.
    pub fn integers(shape: &[usize], values: Vec<i32>) -> Result<Self, NetworkError> {
        let found = format!("{} values", values.len());
        ArrayD::from_shape_vec(IxDyn(shape), values)
            .map(Self::I32)
            .map_err(|_| NetworkError::data("an array", format!("values for shape {shape:?}"), found))
    }

    /// Dimensions, outermost first.
    pub fn shape(&self) -> &[usize] {
        match self {
            Self::F32(array) => array.shape(),
            Self::I32(array) => array.shape(),
        }
    }

    /// The floats, if that is what it holds.
    pub fn as_floats(&self) -> Option<&ArrayD<f32>> {
        if let Self::F32(array) = self { Some(array) } else { None }
    }

    /// The elements as integers, in order; floats are cut.
    pub fn to_integers(&self) -> Vec<i64> {
        match self {
            Self::F32(array) => array.iter().map(|x| *x as i64).collect(),
            Self::I32(array) => array.iter().map(|x| i64::from(*x)).collect(),
        }
    }

    pub(crate) fn from_value(value: Value) -> Result<Self, NetworkError> {
        let shape = value.shape().to_vec();
        let wrong = || NetworkError::Run("an output is neither floats nor integers".to_owned());
        match value {
            Value::FloatTensor(tensor) => Self::floats(&shape, tensor.to_vec()),
            Value::Int32Tensor(tensor) => Self::integers(&shape, tensor.to_vec()),
            Value::Int8Tensor(tensor) => {
                Self::integers(&shape, tensor.to_vec().into_iter().map(i32::from).collect())
            }
            Value::UInt8Tensor(tensor) => {
                Self::integers(&shape, tensor.to_vec().into_iter().map(i32::from).collect())
            }
            _ => Err(wrong()),
        }
    }

    pub(crate) fn to_value(&self) -> Result<ValueOrView<'static>, NetworkError> {
        let failed = |error: &dyn std::fmt::Display| NetworkError::Run(error.to_string());
        let value = match self {
            Self::F32(array) => Value::from_shape(array.shape(), array.iter().copied().collect::<Vec<f32>>())
                .map_err(|error| failed(&error))?,
            Self::I32(array) => Value::from_shape(array.shape(), array.iter().copied().collect::<Vec<i32>>())
                .map_err(|error| failed(&error))?,
        };
        Ok(ValueOrView::Value(value))
    }
}
