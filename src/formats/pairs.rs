//! JSON beside weights: read as a text, and objects as their members in the file's order, repeated names included.

use super::FormatError;
use super::error::shown;
use serde::de::{Deserialize, DeserializeOwned, Deserializer, IgnoredAny, MapAccess, Visitor};
use std::marker::PhantomData;

/// Reads the JSON of `part`, which should be `expected`.
///
/// It is read as a text, as the headers of safetensors are: the page then has one reader of JSON.
pub(super) fn read<T: DeserializeOwned>(bytes: &[u8], part: &str, expected: &str) -> Result<T, FormatError> {
    let refused = |found: String| FormatError::damaged(part, expected, shown(&found));
    let text = std::str::from_utf8(bytes).map_err(|error| refused(error.to_string()))?;
    serde_json::from_str(text).map_err(|error| refused(error.to_string()))
}

/// Members that are kept; files made to hurt have more.
const MOST_KEPT: usize = 4_000_000;

/// The members of an object.
pub(super) struct Pairs<V> {
    kept: Vec<(String, V)>,
    count: u64,
}

impl<V> Pairs<V> {
    /// The members, or an error where `part` has more than `limit` of them.
    pub(super) fn within(self, part: &str, limit: u64) -> Result<Vec<(String, V)>, FormatError> {
        if self.count > limit.min(MOST_KEPT as u64) {
            return Err(FormatError::too_large(part, self.count, limit));
        }
        Ok(self.kept)
    }
}

impl<'de, V: Deserialize<'de>> Deserialize<'de> for Pairs<V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Keep<V>(PhantomData<V>);
        impl<'de, V: Deserialize<'de>> Visitor<'de> for Keep<V> {
            type Value = Pairs<V>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Pairs<V>, A::Error> {
                let (mut kept, mut count) = (Vec::new(), 0);
                while let Some(name) = map.next_key::<String>()? {
                    count += 1;
                    if kept.len() < MOST_KEPT {
                        kept.push((name, map.next_value()?));
                    } else {
                        map.next_value::<IgnoredAny>()?;
                    }
                }
                Ok(Pairs { kept, count })
            }
        }
        deserializer.deserialize_map(Keep(PhantomData))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_keep_their_order_and_their_number_is_limited() {
        let pairs: Pairs<u8> = serde_json::from_str(r#"{"b": 1, "a": 2, "b": 3}"#).unwrap();
        let named = |(name, value): (&str, u8)| (name.to_owned(), value);
        assert_eq!(pairs.within("x", 3).unwrap(), [("b", 1), ("a", 2), ("b", 3)].map(named));
        let pairs: Pairs<u8> = serde_json::from_str(r#"{"b": 1, "a": 2, "b": 3}"#).unwrap();
        assert_eq!(pairs.within("x", 2).unwrap_err().to_string(), "x declares 3, over the limit of 2");
    }
}
