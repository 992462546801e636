//! What the bytes of a file that is given back are: its skeleton's, a tensor's, a checksum's.

use crate::anatomy::Checksum;
use crate::order;
use crate::tensor::Span;

/// What a run of bytes holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// Bytes of the skeleton, from this one on.
    Skeleton(u64),
    /// The numbers of the tensor of this index.
    Tensor(usize),
    /// The checksum of this index.
    Checksum(usize),
}

/// A run of bytes of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Segment {
    /// Where it lies.
    pub span: Span,
    /// What it holds.
    pub target: Target,
}

/// Bytes of a checksum.
pub(super) const CHECKSUM_BYTES: u64 = 4;

/// The segments of a file of `len` bytes, in order and without gaps, from the places of its tensors and its checksums; and
/// the length of its skeleton. Places of no bytes are passed over. `None` where they do not lie in it one beside the other.
///
/// Cost: that of sorting the places.
pub fn segments(
    len: u64,
    places: impl Iterator<Item = (usize, Span)>,
    checksums: &[Checksum],
) -> Option<(Vec<Segment>, u64)> {
    let at = |(index, checksum): (usize, &Checksum)| {
        let target = Target::Checksum(index);
        let spans = checksum.at.iter().map(|at| Span { offset: *at, len: CHECKSUM_BYTES });
        spans.map(|span| Segment { span, target }).collect::<Vec<_>>()
    };
    let places = places.filter(|(_, span)| span.len > 0);
    let mut holes: Vec<Segment> =
        places.map(|(index, span)| Segment { span, target: Target::Tensor(index) }).collect();
    holes.extend(checksums.iter().enumerate().flat_map(at));
    let holes = order::into_sorted_by_key(holes, |hole| hole.span.offset);
    let (mut segments, mut end, mut skeleton) = (Vec::with_capacity(2 * holes.len() + 1), 0u64, 0u64);
    for hole in holes {
        let gap = hole.span.offset.checked_sub(end)?;
        if gap > 0 {
            segments
                .push(Segment { span: Span { offset: end, len: gap }, target: Target::Skeleton(skeleton) });
            skeleton += gap;
        }
        end = hole.span.offset.checked_add(hole.span.len)?;
        segments.push(hole);
    }
    let gap = len.checked_sub(end)?;
    if gap > 0 {
        segments.push(Segment { span: Span { offset: end, len: gap }, target: Target::Skeleton(skeleton) });
        skeleton += gap;
    }
    are_computable(checksums, &segments).then_some((segments, skeleton))
}

/// Whether no checksum is of bytes that depend on it: they are of runs of bytes one behind the other, without a checksum or a
/// part of a tensor in them.
fn are_computable(checksums: &[Checksum], segments: &[Segment]) -> bool {
    let mut end = 0;
    checksums.iter().all(|Checksum { of, .. }| {
        let is_behind = of.offset >= end;
        let Some(own_end) = of.offset.checked_add(of.len) else { return false };
        end = own_end;
        let first = segments.partition_point(|segment| segment.span.offset + segment.span.len <= of.offset);
        let own = segments.get(first..).unwrap_or_default();
        let mut own = own.iter().take_while(|segment| segment.span.offset < own_end);
        let is_inside = |span: Span| span.offset >= of.offset && span.offset + span.len <= own_end;
        is_behind
            && own_end <= segments.last().map_or(0, |last| last.span.offset + last.span.len)
            && own.all(|segment| match segment.target {
                Target::Skeleton(_) => true,
                Target::Tensor(_) => is_inside(segment.span),
                Target::Checksum(_) => false,
            })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(offset: u64, len: u64) -> Span {
        Span { offset, len }
    }

    fn cut(len: u64, places: &[(u64, u64)], checksums: &[Checksum]) -> Option<(Vec<Segment>, u64)> {
        let places: Vec<Span> = places.iter().map(|(offset, len)| span(*offset, *len)).collect();
        segments(len, places.into_iter().enumerate(), checksums)
    }

    #[test]
    fn a_file_is_cut_at_its_places_and_checksums() {
        let checksum = Checksum { of: span(4, 6), at: vec![0, 12] };
        let (segments, skeleton) = cut(20, &[(6, 4), (10, 0)], &[checksum]).unwrap();
        let found: Vec<(u64, u64, Target)> =
            segments.iter().map(|segment| (segment.span.offset, segment.span.len, segment.target)).collect();
        let expected = [
            (0, 4, Target::Checksum(0)),
            (4, 2, Target::Skeleton(0)),
            (6, 4, Target::Tensor(0)),
            (10, 2, Target::Skeleton(2)),
            (12, 4, Target::Checksum(0)),
            (16, 4, Target::Skeleton(4)),
        ];
        assert_eq!((found.as_slice(), skeleton), (&expected[..], 8));
    }

    #[test]
    fn places_that_overlap_or_lie_outside_are_refused() {
        assert!(cut(10, &[(0, 6), (5, 2)], &[]).is_none());
        assert!(cut(10, &[(5, 6)], &[]).is_none());
        assert!(cut(10, &[(u64::MAX, 6)], &[]).is_none());
        assert!(cut(10, &[(5, 5), (0, 5)], &[]).is_some());
    }

    #[test]
    fn checksums_of_themselves_or_of_part_of_a_tensor_are_refused() {
        let of = |offset, len, at: &[u64]| Checksum { of: span(offset, len), at: at.to_vec() };
        assert!(cut(20, &[(4, 4)], &[of(0, 12, &[8])]).is_none());
        assert!(cut(20, &[(4, 4)], &[of(0, 6, &[12])]).is_none());
        assert!(cut(20, &[(4, 4)], &[of(0, 8, &[12]), of(6, 4, &[16])]).is_none());
        assert!(cut(20, &[(4, 4)], &[of(0, 30, &[12])]).is_none());
        assert!(cut(20, &[(4, 4)], &[of(0, 8, &[12]), of(8, 4, &[16])]).is_some());
    }
}
