//! Distances of at least 1 as decisions: a class, in unary, and a place in it.

use super::binary::Decisions;

/// Classes of magnitudes: 1, 2, 3, 4, then 2, 4, 8, … wide.
pub(super) const CLASSES: usize = 20;

/// Class of a magnitude, bits of the place in it, and the place.
pub(super) fn class_of(magnitude: u32) -> (usize, u32, u32) {
    match magnitude {
        0 => (0, 0, 0),
        1..=4 => (magnitude as usize - 1, 0, 0),
        _ => {
            let above = magnitude - 5;
            let octave = (above / 2 + 1).ilog2();
            (4 + octave as usize, octave + 1, above - 2 * ((1 << octave) - 1))
        }
    }
}

/// The first magnitude of a class and the bits of the place in it.
pub(super) fn class_start(class: usize) -> (u32, u32) {
    match class {
        0..=3 => (class as u32 + 1, 0),
        _ => (5 + 2 * ((1 << (class - 4)) - 1), class as u32 - 3),
    }
}

/// Codes a distance of at least 1: its class, one decision for each, and the place in the class, its first two bits in
/// contexts from `places` on, if there are.
pub(super) fn code_distance(
    decisions: &mut impl Decisions,
    classes: impl Fn(usize) -> usize,
    places: Option<usize>,
    distance: u32,
) -> u32 {
    let (wanted, _, place) = class_of(distance);
    let mut class = 0;
    while class < CLASSES - 1 && decisions.bit(classes(class), class < wanted) {
        class += 1;
    }
    let (start, bits) = class_start(class);
    let Some(places) = places else { return start + decisions.even(place, bits) };
    let mut found = 0;
    if bits > 0 {
        let first = decisions.bit(places + 4 * class, place >> (bits - 1) & 1 == 1);
        found = u32::from(first);
        if bits > 1 {
            let second =
                decisions.bit(places + 4 * class + 1 + usize::from(first), place >> (bits - 2) & 1 == 1);
            found = found << 1 | u32::from(second);
            if bits > 2 {
                let rest = bits - 2;
                found = found << rest | decisions.even(place & ((1 << rest) - 1), rest);
            }
        }
    }
    start + found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_and_starts_are_each_others_inverse() {
        for magnitude in 1..=65_535u32 {
            let (class, bits, place) = class_of(magnitude);
            assert!(class < CLASSES && place < 1 << bits, "{magnitude}");
            assert_eq!(class_start(class), (magnitude - place, bits), "{magnitude}");
        }
    }
}
