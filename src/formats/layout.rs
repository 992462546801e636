//! Shapes, strides and extents: the arithmetic that says which bytes a tensor's elements lie in, all of it checked.

use super::error::shown;
use super::{FormatError, Limits};
use crate::order::by_name;
use crate::tensor::{Dtype, Storage, Tensor};
use std::collections::BTreeMap;

/// A view with strides may be so many times larger than the bytes that it shows.
const EXPANSION: u64 = 64;
/// Bytes that any view may have.
const LEAST_EXPANDED: u64 = 1 << 20;

/// What a file declares about one tensor, before it is checked.
pub(super) struct Declared {
    pub(super) name: String,
    pub(super) dtype: Dtype,
    pub(super) shape: Vec<u64>,
    pub(super) storage: Storage,
    /// First byte of the first element inside the storage.
    pub(super) offset: u64,
    /// In elements; `None` for row-major order.
    pub(super) strides: Option<Vec<i64>>,
    pub(super) big_endian: bool,
}

impl Declared {
    /// The tensor, if its rank and size are within `limits` and all its elements lie inside its storage.
    pub(super) fn locate(self, limits: &Limits) -> Result<Tensor, FormatError> {
        let Self { name, dtype, shape, storage, mut offset, strides, big_endian } = self;
        let part = format!("tensor {}", shown(&name));
        let count = element_count(&part, &shape, dtype, limits)?;
        let strides = match strides {
            Some(strides) if !is_row_major(&shape, &strides) => Some(strides),
            _ => None,
        };
        if count == 0 {
            offset = 0;
        } else {
            let bytes = extent(&part, &shape, strides.as_deref(), dtype)?;
            let end = offset.checked_add(bytes);
            if end.is_none_or(|end| end > storage.len()) {
                return Err(FormatError::damaged(
                    part,
                    format!("elements inside the {} bytes of its storage", storage.len()),
                    format!("{bytes} bytes from byte {offset}"),
                ));
            }
            let size = count.saturating_mul(dtype.size_bytes());
            // A view may show elements again and again, but not without end.
            let most =
                bytes.max(limits.rearranged_bytes.min(bytes.saturating_mul(EXPANSION).max(LEAST_EXPANDED)));
            if strides.is_some() && size > most {
                return Err(FormatError::too_large(format!("expanded {part}, in bytes,"), size, most));
            }
        }
        let big_endian = big_endian && dtype.size_bytes() > 1;
        let strides = if count == 0 { None } else { strides };
        Ok(Tensor { offset, strides, big_endian, ..Tensor::plain(name, shape, dtype, storage) })
    }
}

/// Number of elements of `shape`; an error if the rank is over the limit or the size in bytes does not fit 63 bits.
pub(super) fn element_count(
    part: &str,
    shape: &[u64],
    dtype: Dtype,
    limits: &Limits,
) -> Result<u64, FormatError> {
    if shape.len() as u64 > limits.rank {
        return Err(FormatError::too_large(format!("the rank of {part}"), shape.len() as u64, limits.rank));
    }
    // Every partial product is checked, so that a zero behind an overflow does not hide it.
    let count = shape.iter().try_fold(1u64, |count, extent| count.checked_mul(*extent));
    let fits =
        |count: &u64| count.checked_mul(dtype.size_bytes()).is_some_and(|size| i64::try_from(size).is_ok());
    count.filter(fits).ok_or_else(|| {
        FormatError::damaged(
            part,
            "a shape whose size in bytes fits 63 bits",
            format!("shape {}", shape_text(shape)),
        )
    })
}

/// Number of bytes from the first element to the end of the last, for a tensor with at least one element.
pub(super) fn extent(
    part: &str,
    shape: &[u64],
    strides: Option<&[i64]>,
    dtype: Dtype,
) -> Result<u64, FormatError> {
    let last = match strides {
        None => shape
            .iter()
            .try_fold(1u64, |count, extent| count.checked_mul(*extent))
            .and_then(|n| n.checked_sub(1)),
        Some(strides) if strides.len() != shape.len() => {
            return Err(FormatError::damaged(
                part,
                format!("{} strides", shape.len()),
                format!("{} strides", strides.len()),
            ));
        }
        Some(strides) => shape.iter().zip(strides).try_fold(0u64, |last, (extent, stride)| {
            let step = u64::try_from(*stride).ok()?;
            last.checked_add(extent.checked_sub(1)?.checked_mul(step)?)
        }),
    };
    last.and_then(|last| last.checked_add(1)?.checked_mul(dtype.size_bytes())).ok_or_else(|| {
        let strides = strides.map_or_else(String::new, |strides| format!(" with strides {strides:?}"));
        FormatError::damaged(
            part,
            "elements at addressable offsets",
            format!("shape {}{strides}", shape_text(shape)),
        )
    })
}

/// Strides, in elements, of an array stored first index fastest.
pub(super) fn fortran_strides(shape: &[u64]) -> Vec<i64> {
    let mut step = 1i64;
    let mut strides = Vec::with_capacity(shape.len());
    for extent in shape {
        strides.push(step);
        step = step.saturating_mul(i64::try_from(*extent).unwrap_or(i64::MAX));
    }
    strides
}

/// Whether `strides` are those of row-major order; dimensions of extent 1 have no say.
fn is_row_major(shape: &[u64], strides: &[i64]) -> bool {
    if shape.len() != strides.len() {
        return false;
    }
    let mut step = 1u64;
    for (extent, stride) in shape.iter().zip(strides).rev() {
        if *extent != 1 && u64::try_from(*stride) != Ok(step) {
            return false;
        }
        step = step.saturating_mul(*extent);
    }
    true
}

/// `shape` as `[2, 3]`, shortened after eight dimensions.
pub(super) fn shape_text(shape: &[u64]) -> String {
    let shown: Vec<String> = shape.iter().take(8).map(u64::to_string).collect();
    let rest = if shape.len() > 8 { ", …" } else { "" };
    format!("[{}{rest}]", shown.join(", "))
}

/// Points every tensor that has the same elements as an earlier one at it.
pub(super) fn mark_ties(tensors: &mut [Tensor]) {
    let mut first: BTreeMap<String, usize> = BTreeMap::new();
    for (index, tensor) in tensors.iter_mut().enumerate() {
        let (start, deflated) =
            (tensor.storage.span().offset, matches!(tensor.storage, Storage::Deflated { .. }));
        if tensor.is_empty() {
            continue;
        }
        let Tensor { offset: inside, dtype, shape, strides, .. } = &*tensor;
        let turned = (tensor.negated, tensor.conjugated);
        let place = format!("{start} {deflated} {inside} {} {shape:?} {strides:?} {turned:?}", dtype.name());
        match first.get(&place) {
            Some(origin) => tensor.same_as = Some(*origin),
            None => {
                first.insert(place, index);
            }
        }
    }
}

/// An error if two of `names` are equal.
pub(super) fn check_unique<'a>(part: &str, names: impl Iterator<Item = &'a str>) -> Result<(), FormatError> {
    let names: Vec<&str> = names.collect();
    let order = by_name(&names);
    let sorted = || order.iter().filter_map(|at| names.get(*at));
    match sorted().zip(sorted().skip(1)).find(|(a, b)| a == b) {
        Some((name, _)) => Err(FormatError::damaged(part, "unique names", format!("{} twice", shown(name)))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::formats::FormatErrorKind;
    use crate::tensor::Span;

    fn declared(shape: &[u64], strides: Option<&[i64]>, offset: u64) -> Declared {
        Declared {
            name: "w".to_owned(),
            dtype: Dtype::F32,
            shape: shape.to_vec(),
            storage: Storage::Stored(Span { offset: 0, len: 24 }),
            offset,
            strides: strides.map(<[i64]>::to_vec),
            big_endian: false,
        }
    }

    #[test]
    fn row_major_strides_are_dropped_whatever_extents_of_one_say() {
        let tensor = declared(&[2, 1, 3], Some(&[3, 99, 1]), 0).locate(&Limits::default()).unwrap();
        assert_eq!(tensor.strides, None);
        let tensor = declared(&[2, 3], Some(&[1, 2]), 0).locate(&Limits::default()).unwrap();
        assert_eq!(tensor.strides, Some(vec![1, 2]));
    }

    #[test]
    fn a_view_past_its_storage_is_refused() {
        for (shape, strides, offset) in [
            (&[7][..], None, 0),
            (&[6][..], None, 4),
            (&[2, 3][..], Some(&[4, 1][..]), 0),
            (&[2][..], Some(&[i64::MAX][..]), 0),
            (&[2][..], Some(&[-1][..]), 8),
            (&[2][..], None, u64::MAX),
        ] {
            assert!(
                declared(shape, strides, offset).locate(&Limits::default()).is_err(),
                "{shape:?} {strides:?}"
            );
        }
    }

    #[test]
    fn an_overflow_hidden_behind_a_zero_is_refused() {
        let error = declared(&[1 << 40, 1 << 40, 0], None, 0).locate(&Limits::default()).unwrap_err();
        assert_eq!(
            error.to_string(),
            "tensor w: expected a shape whose size in bytes fits 63 bits, found shape [1099511627776, 1099511627776, 0]"
        );
    }

    #[test]
    fn an_expanded_tensor_may_not_outgrow_the_limit() {
        let error = declared(&[1 << 40], Some(&[0]), 0).locate(&Limits::default()).unwrap_err();
        assert!(matches!(error.kind(), FormatErrorKind::TooLarge { .. }), "{error}");
        assert!(declared(&[1 << 4], Some(&[0]), 0).locate(&Limits::default()).is_ok());
    }

    #[test]
    fn scalars_and_empty_tensors_are_legal() {
        assert!(declared(&[], None, 20).locate(&Limits::default()).is_ok());
        assert!(declared(&[0], None, 24).locate(&Limits::default()).is_ok());
        assert!(declared(&[5, 0], Some(&[1, 1]), 99).locate(&Limits::default()).is_ok());
    }
}
