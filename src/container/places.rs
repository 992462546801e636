//! Where tensors and checksums go in the files that are given back; docs/format.md, "Places".

use super::ContainerError;
use super::wire::Cursor;
use crate::anatomy::Checksum;
use crate::skeleton::View;
use crate::tensor::Span;
use crate::varint;

/// Bits of a place's first byte: whether there is one, and how its elements lie there.
const IS_PLACED: u8 = 1;
const BIG_ENDIAN: u8 = 2;
const NEGATED: u8 = 4;
const CONJUGATED: u8 = 8;
const STRIDED: u8 = 16;

/// A signed distance as an unsigned number: 0, −1, 1, −2, 2….
const fn folded(distance: i64) -> u64 {
    (distance << 1 ^ distance >> 63).cast_unsigned()
}

const fn unfolded(number: u64) -> i64 {
    (number >> 1).cast_signed() ^ -((number & 1).cast_signed())
}

/// Appends a place, or that there is none, behind bytes that end at `end`.
pub(super) fn write_place(place: Option<&View>, end: u64, out: &mut Vec<u8>) {
    let Some(place) = place else { return out.push(0) };
    let flag = |is: bool, bit: u8| if is { bit } else { 0 };
    out.push(
        IS_PLACED
            | flag(place.big_endian, BIG_ENDIAN)
            | flag(place.negated, NEGATED)
            | flag(place.conjugated, CONJUGATED)
            | flag(place.strides.is_some(), STRIDED),
    );
    varint::put(folded(place.offset.wrapping_sub(end).cast_signed()), out);
    for stride in place.strides.iter().flatten() {
        varint::put(folded(*stride), out);
    }
}

/// Takes a place of a tensor of this shape.
pub(super) fn read_place(
    cursor: &mut Cursor<'_>,
    shape: &[u64],
    end: u64,
) -> Result<Option<View>, ContainerError> {
    let flags = cursor.byte()?;
    if flags == 0 {
        return Ok(None);
    }
    if flags & IS_PLACED == 0 || flags > 2 * STRIDED - 1 {
        return Err(cursor.unsupported("a known kind of place", &flags.to_string()));
    }
    let offset = end.wrapping_add(unfolded(cursor.varint()?).cast_unsigned());
    if offset >= 1 << 63 {
        return Err(cursor.damaged("a place below 2^63", offset));
    }
    let mut strides = None;
    if flags & STRIDED != 0 {
        let all: Result<Vec<i64>, _> = shape.iter().map(|_| cursor.varint().map(unfolded)).collect();
        strides = Some(all?);
    }
    Ok(Some(View {
        offset,
        strides,
        big_endian: flags & BIG_ENDIAN != 0,
        negated: flags & NEGATED != 0,
        conjugated: flags & CONJUGATED != 0,
    }))
}

/// Appends the checksums.
pub(super) fn write_checksums(checksums: &[Checksum], out: &mut Vec<u8>) {
    varint::put(checksums.len() as u64, out);
    let mut end = 0;
    for Checksum { of, at } in checksums {
        varint::put(of.offset.wrapping_sub(end), out);
        varint::put(of.len, out);
        varint::put(at.len() as u64, out);
        end = of.offset + of.len;
        for at in at {
            varint::put(folded(at.wrapping_sub(end).cast_signed()), out);
        }
    }
}

/// Takes the checksums, at most `limit`.
pub(super) fn read_checksums(cursor: &mut Cursor<'_>, limit: u64) -> Result<Vec<Checksum>, ContainerError> {
    let count = cursor.varint()?;
    cursor.limited("the number of checksums", count, limit)?;
    let (mut checksums, mut end) = (Vec::new(), 0u64);
    for _ in 0..count {
        let gap = cursor.varint()?;
        let (len, places) = (cursor.varint()?, cursor.varint()?);
        let offset = end.checked_add(gap);
        let own_end = offset.and_then(|offset| offset.checked_add(len)).filter(|end| *end < 1 << 63);
        let (Some(offset), Some(own_end)) = (offset, own_end) else {
            return Err(cursor.damaged("a checksum of bytes below 2^63", len));
        };
        cursor.limited("the places of a checksum", places, 16)?;
        end = own_end;
        let at = (0..places).map(|_| Ok(end.wrapping_add(unfolded(cursor.varint()?).cast_unsigned())));
        let at = at.collect::<Result<_, ContainerError>>()?;
        checksums.push(Checksum { of: Span { offset, len }, at });
    }
    Ok(checksums)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_and_checksums_read_back() {
        let view = View { offset: 7, strides: Some(vec![1, -4]), big_endian: true, ..View::default() };
        for place in [None, Some(View { offset: 1 << 40, negated: true, ..View::default() }), Some(view)] {
            let mut bytes = Vec::new();
            write_place(place.as_ref(), 1000, &mut bytes);
            let mut cursor = Cursor::new("place", 0, &bytes);
            assert_eq!(read_place(&mut cursor, &[2, 3], 1000).unwrap(), place);
            assert!(cursor.is_at_end());
        }
        let of = |offset, len| Span { offset, len };
        let checksums =
            vec![Checksum { of: of(40, 10), at: vec![14, 50] }, Checksum { of: of(60, 1), at: vec![] }];
        let mut bytes = Vec::new();
        write_checksums(&checksums, &mut bytes);
        assert_eq!(read_checksums(&mut Cursor::new("checksums", 0, &bytes), 2).unwrap(), checksums);
        assert!(read_checksums(&mut Cursor::new("checksums", 0, &bytes), 1).is_err());
    }

    #[test]
    fn places_of_other_kinds_and_beyond_the_end_are_refused() {
        for bytes in [&[2u8, 0][..], &[32, 0], &[1, 1], &[17, 0, 0], &[]] {
            let found = read_place(&mut Cursor::new("place", 0, bytes), &[2, 3], 0);
            assert!(found.is_err(), "{bytes:?}");
        }
    }
}
