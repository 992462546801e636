//! Orders as permutations, by integer keys.
//!
//! Every sort of the crate that can be told by a 64-bit key goes through [`ascending`], so that the page carries one copy of
//! the standard library's sort instead of one per element type.

/// Positions of `keys` in ascending order; equal keys stay in order. Cost: O(n log n), 16 bytes per key.
pub(crate) fn ascending(keys: impl IntoIterator<Item = u64>) -> impl Iterator<Item = usize> {
    let mut pairs: Vec<(u64, u32)> = keys.into_iter().zip(0..).collect();
    pairs.sort_unstable();
    pairs.into_iter().map(|(_, position)| position as usize)
}

/// An integer ordered like [`f32::total_cmp`].
pub(crate) fn key_f32(value: f32) -> u32 {
    let bits = value.to_bits();
    if bits >> 31 == 1 { !bits } else { bits | 1 << 31 }
}

/// An integer ordered like [`f64::total_cmp`].
pub(crate) fn key_f64(value: f64) -> u64 {
    let bits = value.to_bits();
    if bits >> 63 == 1 { !bits } else { bits | 1 << 63 }
}

/// `items` in ascending order of `key`; items with equal keys stay in order.
pub(crate) fn sorted_by_key<T: Copy>(items: &[T], key: impl Fn(&T) -> u64) -> Vec<T> {
    ascending(items.iter().map(key)).filter_map(|position| items.get(position).copied()).collect()
}

/// (weight, importance) pairs in ascending order of weight, then of importance.
pub(crate) fn sorted_pairs(pairs: &[(f32, f32)]) -> Vec<(f32, f32)> {
    sorted_by_key(pairs, |(w, h)| u64::from(key_f32(*w)) << 32 | u64::from(key_f32(*h)))
}

/// Positions of `names` in the order of their bytes; equal names stay in order.
pub(crate) fn by_name(names: &[&str]) -> Vec<usize> {
    let mut pairs: Vec<(&str, usize)> = names.iter().copied().zip(0..).collect();
    pairs.sort_unstable();
    pairs.into_iter().map(|(_, position)| position).collect()
}

/// As [`sorted_by_key`], for items that cannot be copied.
pub(crate) fn into_sorted_by_key<T>(items: Vec<T>, key: impl Fn(&T) -> u64) -> Vec<T> {
    let order: Vec<usize> = ascending(items.iter().map(key)).collect();
    let mut items: Vec<Option<T>> = items.into_iter().map(Some).collect();
    order.into_iter().filter_map(|position| items.get_mut(position)?.take()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn float_keys_order_like_total_cmp() {
        let values =
            [f64::NEG_INFINITY, -2.5, -1e-300, -0.0, 0.0, 1e-300, 1.0, f64::MAX, f64::INFINITY, f64::NAN];
        for pair in values.windows(2) {
            assert!(key_f64(pair[0]) < key_f64(pair[1]), "{pair:?}");
            assert!(key_f32(pair[0] as f32) <= key_f32(pair[1] as f32), "{pair:?}");
        }
        assert!(key_f32(-0.0) < key_f32(0.0));
    }

    #[test]
    fn equal_keys_stay_in_order() {
        assert_eq!(ascending([3, 1, 3, 0, 1]).collect::<Vec<_>>(), [3, 1, 4, 0, 2]);
        assert_eq!(
            sorted_pairs(&[(1.0, 2.0), (-1.0, 5.0), (1.0, 0.5)]),
            [(-1.0, 5.0), (1.0, 0.5), (1.0, 2.0)]
        );
        assert!(ascending([]).next().is_none());
        assert_eq!(by_name(&["b", "a", "b", ""]), [3, 1, 0, 2]);
        let words = vec!["ccc".to_owned(), "a".to_owned(), "bb".to_owned(), "d".to_owned()];
        assert_eq!(into_sorted_by_key(words, |word| word.len() as u64), ["a", "d", "bb", "ccc"]);
    }
}
