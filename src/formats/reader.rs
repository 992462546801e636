//! Reads ranges of a tensor's elements, in row-major order and little-endian whatever the file's own order.
//!
//! A contiguous tensor costs one positional read per range. A deflated one is inflated from the front and read on from where
//! the last range ended. Of one in coded units those that cover the range are read, a few at a time. A strided one is
//! rearranged and one of codes that vary in length decoded once in memory, up to a limit.

use super::codec::Unit;
use super::inflate::{Inflater, read_storage};
use super::source::resize;
use super::{FormatError, Limits, Source, error::shown};
use crate::strides::Distances;
use crate::tensor::{Codec, Dtype, Storage, Tensor};
use std::ops::Range;

/// Bytes of codes that are read and decoded at a time.
const PIECE_BYTES: u64 = 1 << 16;

/// Reads one tensor, range by range.
pub struct TensorReader<'a> {
    source: &'a dyn Source,
    tensor: Tensor,
    part: String,
    inflater: Option<Inflater<'a>>,
    /// All elements in row-major order, once a tensor that is strided or of codes that vary in length has been read.
    rearranged: Option<Vec<u8>>,
    /// Coded units, and the elements of some of which not all are wanted.
    units: (Vec<u8>, Vec<u8>),
    limits: Limits,
}

impl std::fmt::Debug for TensorReader<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TensorReader").field("tensor", &self.tensor).finish_non_exhaustive()
    }
}

impl<'a> TensorReader<'a> {
    /// A reader of `tensor`, which was located in `source`.
    pub fn new(source: &'a dyn Source, tensor: &Tensor, limits: &Limits) -> Result<Self, FormatError> {
        let part = format!("tensor {}", shown(&tensor.name));
        let inflater = match tensor.storage {
            Storage::Deflated { span, inflated_len } if tensor.strides.is_none() => {
                Some(Inflater::new(source, part.clone(), span, inflated_len))
            }
            _ => None,
        };
        let units = (Vec::new(), Vec::new());
        Ok(Self { source, tensor: tensor.clone(), part, inflater, rearranged: None, units, limits: *limits })
    }

    /// Appends the elements `range` (in row-major order) to `bytes`, little-endian.
    pub fn read(&mut self, range: Range<u64>, bytes: &mut Vec<u8>) -> Result<(), FormatError> {
        let size = self.tensor.dtype.size_bytes();
        let count = self.tensor.len();
        if range.start > range.end || range.end > count {
            let found = format!("elements {} to {}", range.start, range.end);
            return Err(FormatError::damaged(&self.part, format!("a range of its {count} elements"), found));
        }
        if range.is_empty() {
            return Ok(());
        }
        let start = bytes.len();
        let len = (range.end - range.start) * size;
        resize(&self.part, bytes, start as u64 + len)?;
        let filled = bytes.get_mut(start..).unwrap_or_default();
        self.fill(range.start * size, filled)?;
        // Units are turned before they are decoded.
        if self.tensor.big_endian && self.coded_units().is_none() {
            // A complex number is two numbers, each turned on its own.
            let parts = if matches!(self.tensor.dtype, Dtype::C64 | Dtype::C128) { 2 } else { 1 };
            filled.chunks_exact_mut((size / parts) as usize).for_each(<[u8]>::reverse);
        }
        if self.tensor.negated {
            self.tensor.dtype.negate(filled, false);
        }
        if self.tensor.conjugated && matches!(self.tensor.dtype, Dtype::C64 | Dtype::C128) {
            self.tensor.dtype.negate(filled, true);
        }
        Ok(())
    }

    /// Appends the elements `range` to `values` as float32; nothing for types that are no floats.
    pub fn read_f32(&mut self, range: Range<u64>, values: &mut Vec<f32>) -> Result<(), FormatError> {
        let mut bytes = Vec::new();
        self.read(range, &mut bytes)?;
        self.tensor.dtype.extend_f32(&bytes, values);
        Ok(())
    }

    /// Fills `buffer` with row-major bytes from `from`, in the file's byte order.
    fn fill(&mut self, from: u64, buffer: &mut [u8]) -> Result<(), FormatError> {
        let at = self.tensor.offset + from;
        if let Some(inflater) = &mut self.inflater {
            return inflater.read_at(at, buffer);
        }
        if let Some(strides) = self.tensor.strides.clone() {
            if self.rearranged.is_none() {
                self.rearranged = Some(self.rearrange(&strides)?);
            }
            self.copy_rearranged(from, buffer);
            return Ok(());
        }
        if let Some((codec, unit)) = self.coded_units() {
            return self.fill_from_units(codec, unit, from, buffer);
        }
        if let Storage::Encoded { span, .. } = self.tensor.storage {
            if self.rearranged.is_none() {
                let (tensor, limit) = (&self.tensor, self.limits.rearranged_bytes);
                self.rearranged = Some(Codec::decode(self.source, &self.part, span, tensor, limit)?);
            }
            self.copy_rearranged(from, buffer);
            return Ok(());
        }
        let offset = self.tensor.storage.span().offset + at;
        let read = self.source.read_at(offset, buffer);
        read.map_err(|source| FormatError::io(&self.part, offset, source))
    }

    /// The code of a tensor that lies in units of fixed size.
    fn coded_units(&self) -> Option<(Codec, Unit)> {
        match self.tensor.storage {
            Storage::Encoded { codec, .. } => codec.unit().map(|unit| (codec, unit)),
            _ => None,
        }
    }

    /// Fills `buffer` with the bytes of elements from byte `from` on, decoding the units that they lie in: whole ones where
    /// they go, a few at a time.
    fn fill_from_units(
        &mut self,
        codec: Codec,
        unit: Unit,
        from: u64,
        mut buffer: &mut [u8],
    ) -> Result<(), FormatError> {
        if self.tensor.dtype != Dtype::F32 {
            let found = format!("{} of another", codec.name());
            return Err(FormatError::damaged(&self.part, self.tensor.dtype.name(), found));
        }
        let unit_bytes = unit.elements * Dtype::F32.size_bytes();
        let most = (PIECE_BYTES / unit.bytes).max(1);
        let mut at = from;
        let (mut codes, mut elements) = std::mem::take(&mut self.units);
        while !buffer.is_empty() {
            let (first, skipped) = (at / unit_bytes, at % unit_bytes);
            codes.clear();
            let whole = buffer.len() as u64 / unit_bytes;
            let len = if skipped == 0 && whole > 0 {
                let count = whole.min(most);
                self.read_units(first..first + count, &mut codes)?;
                let len = (count * unit_bytes) as usize;
                codec.decode_into(&codes, buffer.get_mut(..len).unwrap_or_default());
                len
            } else {
                self.read_units(first..first + 1, &mut codes)?;
                elements.clear();
                codec.decode_units(&codes, &mut elements);
                let wanted = elements.get(skipped as usize..).unwrap_or_default();
                let len = buffer.len().min(wanted.len());
                buffer.iter_mut().zip(wanted).for_each(|(slot, byte)| *slot = *byte);
                len
            };
            at += len as u64;
            buffer = buffer.get_mut(len..).unwrap_or_default();
        }
        self.units = (codes, elements);
        Ok(())
    }

    /// Appends coded units to `codes`, little-endian whatever the file's own order; refused where there are no such units.
    pub(crate) fn read_units(&self, units: Range<u64>, codes: &mut Vec<u8>) -> Result<(), FormatError> {
        let (span, count) = (self.tensor.storage.span(), units.end.saturating_sub(units.start));
        let Some((codec, unit)) = self.coded_units().filter(|(_, unit)| units.end <= span.len / unit.bytes)
        else {
            let found = format!("units {} to {}", units.start, units.end);
            return Err(FormatError::damaged(
                &self.part,
                format!("coded units in {} bytes", span.len),
                found,
            ));
        };
        let start = codes.len();
        resize(&self.part, codes, start as u64 + count * unit.bytes)?;
        let read = codes.get_mut(start..).unwrap_or_default();
        let offset = span.offset + units.start * unit.bytes;
        let failed = |source| FormatError::io(&self.part, offset, source);
        self.source.read_at(offset, read).map_err(failed)?;
        if self.tensor.big_endian {
            codec.turn_units(read);
        }
        Ok(())
    }

    fn copy_rearranged(&self, from: u64, buffer: &mut [u8]) {
        let all = self.rearranged.as_deref().unwrap_or_default();
        let wanted = usize::try_from(from).ok().and_then(|from| all.get(from..)?.get(..buffer.len()));
        if let Some(wanted) = wanted {
            buffer.copy_from_slice(wanted);
        }
    }

    /// All elements in row-major order.
    fn rearrange(&self, strides: &[i64]) -> Result<Vec<u8>, FormatError> {
        let tensor = &self.tensor;
        let size = tensor.dtype.size_bytes();
        let last: u64 =
            tensor.shape.iter().zip(strides).map(|(n, stride)| (n - 1) * stride.unsigned_abs()).sum();
        let window = (last + 1) * size;
        let limit = self.limits.rearranged_bytes;
        let stored = read_storage(self.source, &self.part, &tensor.storage, tensor.offset, window, limit)?;
        let total = tensor.len() * size;
        if total > limit {
            return Err(FormatError::too_large(format!("strided {}, in bytes,", self.part), total, limit));
        }
        let mut out = Vec::new();
        resize(&self.part, &mut out, total)?;
        let gathered = gather(&stored, &tensor.shape, strides, size, &mut out);
        gathered.ok_or_else(|| {
            let shape = super::layout::shape_text(&tensor.shape);
            FormatError::unsupported(&self.part, format!("shape {shape} with strides {strides:?}"))
        })?;
        Ok(out)
    }
}

/// Copies elements of `size` bytes from a strided window into row-major order; `None` for strides that lead out of it.
fn gather(window: &[u8], shape: &[u64], strides: &[i64], size: u64, out: &mut [u8]) -> Option<()> {
    let size = usize::try_from(size).ok()?;
    let shape: Vec<usize> = shape.iter().map(|n| usize::try_from(*n).ok()).collect::<Option<_>>()?;
    let step = |stride: &i64| usize::try_from(*stride).ok()?.checked_mul(size);
    let steps: Vec<usize> = strides.iter().map(step).collect::<Option<_>>()?;
    for (slot, at) in out.chunks_exact_mut(size).zip(Distances::new(&shape, &steps)?) {
        slot.copy_from_slice(window.get(at..)?.get(..size)?);
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::Span;

    fn tensor(shape: &[u64], strides: Option<&[i64]>, offset: u64) -> Tensor {
        let storage = Storage::Stored(Span { offset: 4, len: 400 });
        let plain = Tensor::plain("w".to_owned(), shape.to_vec(), Dtype::U16, storage);
        Tensor { offset, strides: strides.map(<[i64]>::to_vec), ..plain }
    }

    #[test]
    fn any_range_of_coded_units_reads_as_a_part_of_all_of_them() {
        let unit = Codec::Q8_0.unit().unwrap();
        let units = 2 * PIECE_BYTES / unit.bytes + 3;
        // Scales below 4, and any integers.
        let codes: Vec<u8> = (0..units * unit.bytes)
            .map(|i| if i % unit.bytes == 1 { (i % 0x44) as u8 } else { (i * i % 251) as u8 })
            .collect();
        let mut all = Vec::new();
        Codec::Q8_0.decode_units(&codes, &mut all);
        let count = units * unit.elements - 5;
        let span = Span { offset: 0, len: codes.len() as u64 };
        let storage = Storage::Encoded { span, codec: Codec::Q8_0, len: 4 * count };
        let tensor = Tensor::plain("w".to_owned(), vec![count], Dtype::F32, storage);
        let mut reader = TensorReader::new(&codes, &tensor, &Limits::default()).unwrap();
        let edges = [0, 1, 31, 32, 33, 64, 70, 40_000, count - 28, count - 27, count - 1, count];
        for (start, end) in edges.iter().flat_map(|start| edges.map(|end| (*start, end))) {
            if start <= end {
                let mut read = vec![7];
                reader.read(start..end, &mut read).unwrap();
                assert!(read[1..] == all[4 * start as usize..4 * end as usize], "{start} to {end}");
            }
        }
        let halves = Tensor { dtype: Dtype::F16, ..tensor };
        let mut reader = TensorReader::new(&codes, &halves, &Limits::default()).unwrap();
        assert!(reader.read(0..64, &mut Vec::new()).is_err());
    }

    fn source() -> Vec<u8> {
        let mut bytes = vec![0xff; 4];
        bytes.extend((0..200u16).flat_map(u16::to_le_bytes));
        bytes
    }

    /// Elements by the definition of strides.
    fn expected(tensor: &Tensor, strides: &[i64]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for flat in 0..tensor.len() {
            let (mut rest, mut at) = (flat, 0);
            for (n, stride) in tensor.shape.iter().zip(strides).rev() {
                at += rest % n * stride.unsigned_abs();
                rest /= n;
            }
            bytes.extend(((at + tensor.offset / 2) as u16).to_le_bytes());
        }
        bytes
    }

    #[test]
    fn strided_tensors_read_by_the_definition_of_strides() {
        let source = source();
        for (shape, strides) in [
            (vec![3u64, 4], vec![1i64, 3]),
            (vec![2, 3, 4], vec![12, 1, 3]),
            (vec![5], vec![7]),
            (vec![3, 5], vec![0, 2]),
            (vec![4, 3], vec![1, 0]),
            (vec![2, 2, 2], vec![0, 0, 0]),
            (vec![3, 3], vec![1, 1]),
            (vec![1, 4, 1], vec![50, 2, 9]),
        ] {
            let tensor = tensor(&shape, Some(&strides), 6);
            let mut reader = TensorReader::new(&source, &tensor, &Limits::default()).unwrap();
            let all = expected(&tensor, &strides);
            for range in [0..tensor.len(), 1..tensor.len(), 0..1, 2..2] {
                let mut bytes = Vec::new();
                reader.read(range.clone(), &mut bytes).unwrap();
                assert_eq!(
                    bytes,
                    all[range.start as usize * 2..range.end as usize * 2],
                    "{shape:?} {strides:?}"
                );
            }
        }
    }

    #[test]
    fn big_endian_elements_are_turned() {
        let source = source();
        let mut tensor = tensor(&[3], None, 2);
        tensor.big_endian = true;
        let mut bytes = Vec::new();
        TensorReader::new(&source, &tensor, &Limits::default()).unwrap().read(0..3, &mut bytes).unwrap();
        assert_eq!(bytes, [0, 1, 0, 2, 0, 3]);
        // The real part stays in front of the imaginary one.
        (tensor.dtype, tensor.shape) = (Dtype::C64, vec![1]);
        bytes.clear();
        TensorReader::new(&source, &tensor, &Limits::default()).unwrap().read(0..1, &mut bytes).unwrap();
        assert_eq!(bytes, [0, 2, 0, 1, 0, 4, 0, 3]);
    }

    #[test]
    fn ranges_beyond_the_tensor_and_strided_tensors_beyond_the_limit_are_refused() {
        let source = source();
        let mut reader = TensorReader::new(&source, &tensor(&[3], None, 0), &Limits::default()).unwrap();
        let sentence = reader.read(1..4, &mut Vec::new()).unwrap_err().to_string();
        assert_eq!(sentence, "tensor w: expected a range of its 3 elements, found elements 1 to 4");
        let limits = Limits { rearranged_bytes: 10, ..Limits::default() };
        let strided = tensor(&[3, 3], Some(&[1, 3]), 0);
        assert!(TensorReader::new(&source, &strided, &limits).unwrap().read(0..1, &mut Vec::new()).is_err());
    }
}
