//! How a tensor's elements lie in a file.

use crate::strides::Distances;
use crate::tensor::{Dtype, Span, Storage, Tensor};
use serde::{Deserialize, Serialize};

/// Where and how elements lie in a file; without strides, row-major.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct View {
    /// The first byte of the first element.
    pub offset: u64,
    /// Distance between neighbours along each dimension, in elements.
    pub strides: Option<Vec<i64>>,
    /// Whether elements have their most significant byte first.
    pub big_endian: bool,
    /// Whether the file has the negative of the elements.
    pub negated: bool,
    /// Whether the file has the complex conjugates of the elements.
    pub conjugated: bool,
}

impl View {
    /// How a tensor lies in its storage, which begins at `offset` of the file.
    pub(super) fn of(tensor: &Tensor, offset: u64) -> Self {
        Self {
            offset: offset + tensor.offset,
            strides: tensor.strides.clone(),
            big_endian: tensor.big_endian,
            negated: tensor.negated,
            conjugated: tensor.conjugated,
        }
    }

    /// A tensor that lies so in `storage`.
    pub fn tensor(&self, name: &str, shape: &[u64], dtype: Dtype, storage: Storage) -> Tensor {
        Tensor {
            offset: self.offset,
            strides: self.strides.clone(),
            big_endian: self.big_endian,
            negated: self.negated,
            conjugated: self.conjugated,
            ..Tensor::plain(name.to_owned(), shape.to_vec(), dtype, storage)
        }
    }

    /// Whether elements of this shape fill their bytes, so that other elements can take their place.
    pub fn is_dense(&self, shape: &[u64]) -> bool {
        let Some(strides) = &self.strides else { return true };
        let axes: Vec<(u64, u64)> =
            strides.iter().map(|stride| stride.unsigned_abs()).zip(shape.iter().copied()).collect();
        let axes = crate::order::sorted_by_key(&axes, |(stride, _)| *stride);
        let mut step = 1u64;
        let is_forward = strides.len() == shape.len() && strides.iter().all(|stride| *stride >= 0);
        is_forward
            && axes.iter().filter(|(_, count)| *count != 1).all(|(stride, count)| {
                let fits = *stride == step;
                step = step.saturating_mul(*count);
                fits
            })
    }

    /// The bytes that elements of this shape, of `size` bytes each, reach over; `None` where strides are negative, are not one
    /// for each dimension, or lead beyond 2^64 bytes.
    pub fn window(&self, shape: &[u64], size: u64) -> Option<Span> {
        let count = shape.iter().try_fold(1u64, |product, dim| product.checked_mul(*dim))?;
        let Some(strides) = self.strides.as_ref().filter(|_| count > 0) else {
            let len = count.checked_mul(size)?;
            return self.offset.checked_add(len).map(|_| Span { offset: self.offset, len });
        };
        let mut axes = strides.iter().zip(shape).filter(|(_, count)| **count > 1);
        let last = axes.try_fold(0u64, |last, (stride, count)| {
            last.checked_add(u64::try_from(*stride).ok()?.checked_mul(count - 1)?)
        })?;
        let len = last.checked_add(1)?.checked_mul(size).filter(|_| strides.len() == shape.len())?;
        self.offset.checked_add(len).map(|_| Span { offset: self.offset, len })
    }

    /// Turns little-endian elements into the bytes of the file, all that a run of them has to suffer but a new order.
    pub fn encode(&self, dtype: Dtype, bytes: &mut [u8]) {
        let is_complex = matches!(dtype, Dtype::C64 | Dtype::C128);
        if self.conjugated && is_complex {
            dtype.negate(bytes, true);
        }
        if self.negated {
            dtype.negate(bytes, false);
        }
        if self.big_endian {
            // A complex number is two numbers, each turned on its own.
            let parts = if is_complex { 2 } else { 1 };
            bytes.chunks_exact_mut((dtype.size_bytes() / parts) as usize).for_each(<[u8]>::reverse);
        }
    }

    /// Row-major elements of `size` bytes in the order of these strides; `None` where those are not [dense](Self::is_dense), or
    /// there is no memory.
    pub fn reorder(&self, shape: &[u64], size: u64, bytes: Vec<u8>) -> Option<Vec<u8>> {
        let Some(strides) = &self.strides else { return Some(bytes) };
        if !self.is_dense(shape) {
            return None;
        }
        let mut out = Vec::new();
        out.try_reserve_exact(bytes.len()).ok()?;
        out.resize(bytes.len(), 0);
        scatter(&bytes, shape, strides, size, &mut out)?;
        Some(out)
    }
}

/// Copies elements of `size` bytes from row-major order to strides; `None` for strides that lead out of them.
fn scatter(bytes: &[u8], shape: &[u64], strides: &[i64], size: u64, out: &mut [u8]) -> Option<()> {
    let size = usize::try_from(size).ok()?;
    let shape: Vec<usize> = shape.iter().map(|n| usize::try_from(*n).ok()).collect::<Option<_>>()?;
    // Where there is but one of something, its stride leads nowhere and may be any.
    let step = |(stride, count): (&i64, &usize)| {
        if *count == 1 { Some(0) } else { usize::try_from(*stride).ok()?.checked_mul(size) }
    };
    let steps: Vec<usize> = strides.iter().zip(&shape).map(step).collect::<Option<_>>()?;
    for (element, at) in bytes.chunks_exact(size).zip(Distances::new(&shape, &steps)?) {
        out.get_mut(at..)?.get_mut(..size)?.copy_from_slice(element);
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::{Limits, TensorReader};

    #[test]
    fn what_is_written_reads_back_in_every_form() {
        let bytes: Vec<u8> = (0..48u8).collect();
        let strides = [None, Some(vec![1, 2]), Some(vec![3, 1])];
        for (dtype, count) in [(Dtype::F64, 6), (Dtype::C64, 6), (Dtype::I64, 6)] {
            for strides in &strides {
                for flags in 0..8 {
                    let view = View {
                        offset: 5,
                        strides: strides.clone(),
                        big_endian: flags & 1 != 0,
                        negated: flags & 2 != 0,
                        conjugated: flags & 4 != 0,
                    };
                    let shape = [2, 3];
                    assert!(view.is_dense(&shape));
                    let mut written = bytes.clone();
                    view.encode(dtype, &mut written);
                    let written = view.reorder(&shape, dtype.size_bytes(), written).unwrap();
                    let file = [&[0; 5][..], &written].concat();
                    let storage = Storage::Stored(Span { offset: 0, len: file.len() as u64 });
                    let tensor = view.tensor("w", &shape, dtype, storage);
                    let mut read = Vec::new();
                    TensorReader::new(&file, &tensor, &Limits::default())
                        .unwrap()
                        .read(0..count, &mut read)
                        .unwrap();
                    assert_eq!(read, bytes, "{view:?}");
                }
            }
        }
    }

    #[test]
    fn elements_are_dense_where_they_fill_their_bytes() {
        let dense = |shape: &[u64], strides: &[i64]| {
            View { strides: Some(strides.to_vec()), ..View::default() }.is_dense(shape)
        };
        assert!(dense(&[2, 3], &[1, 2]) && dense(&[2, 3], &[3, 1]) && dense(&[1, 3], &[77, 1]));
        assert!(!dense(&[2, 3], &[4, 1]) && !dense(&[2, 3], &[0, 1]) && !dense(&[3], &[2]));
        assert!(!dense(&[2, 3], &[1, -2]) && !dense(&[2], &[]));
    }
}
