//! Elements of a strided tensor, one after the other.

/// Distances from a tensor's first element to each of its elements, in row-major order.
///
/// Distances wrap around: those of strides that lead out of memory are wrong, and what uses one looks where it leads.
/// Cost: O(1) per element on average.
#[derive(Debug)]
pub(crate) struct Distances {
    axes: Vec<Axis>,
    next: Option<usize>,
}

#[derive(Debug)]
struct Axis {
    count: usize,
    stride: usize,
    /// Where along the axis the next element is.
    at: usize,
}

impl Distances {
    /// The elements of `shape` with neighbours `strides` apart; `None` unless there is a stride for each dimension.
    pub fn new(shape: &[usize], strides: &[usize]) -> Option<Self> {
        let axis = |(count, stride): (&usize, &usize)| Axis { count: *count, stride: *stride, at: 0 };
        let axes = shape.iter().zip(strides).map(axis).collect();
        let first = if shape.contains(&0) { None } else { Some(0) };
        (shape.len() == strides.len()).then_some(Self { axes, next: first })
    }
}

impl Iterator for Distances {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        let found = self.next?;
        self.next = None;
        let mut next = found;
        for axis in self.axes.iter_mut().rev() {
            axis.at += 1;
            if axis.at < axis.count {
                self.next = Some(next.wrapping_add(axis.stride));
                break;
            }
            next = next.wrapping_sub(axis.stride.wrapping_mul(axis.count - 1));
            axis.at = 0;
        }
        Some(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(shape: &[usize], strides: &[usize]) -> Vec<usize> {
        Distances::new(shape, strides).unwrap().collect()
    }

    #[test]
    fn the_last_dimension_goes_first() {
        assert_eq!(all(&[2, 3], &[1, 2]), [0, 2, 4, 1, 3, 5]);
        assert_eq!(all(&[2, 2, 2], &[0, 10, 1]), [0, 1, 10, 11, 0, 1, 10, 11]);
        assert_eq!(all(&[2, 1, 2], &[4, 99, 1]), [0, 1, 4, 5]);
    }

    #[test]
    fn a_number_has_one_element_and_an_empty_dimension_none() {
        assert_eq!(all(&[], &[]), [0]);
        assert_eq!(all(&[3, 0, 2], &[0, 2, 1]), [0; 0]);
        assert!(Distances::new(&[2, 3], &[1]).is_none());
    }

    #[test]
    fn strides_beyond_memory_wrap() {
        assert_eq!(all(&[2, 2], &[usize::MAX, 1]), [0, 1, usize::MAX, 0]);
    }
}
