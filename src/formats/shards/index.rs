//! The index of a sharded model: which file each tensor lies in.

use super::MOST_SHARDS;
use crate::formats::error::shown;
use crate::formats::layout::check_unique;
use crate::formats::pairs::{self, Pairs};
use crate::formats::source::{Part, below, companion, read_part};
use crate::formats::{FormatError, Limits, Source};
use crate::order::by_name;

/// What the file is called in errors.
const PART: &str = "the index of the shards";

/// Whether a file that starts with `head` is an index: a text of JSON with a map of weights.
pub(in crate::formats) fn is_index(head: &[u8]) -> bool {
    const MAP: &[u8] = b"\"weight_map\"";
    head.trim_ascii_start().starts_with(b"{")
        && !head.contains(&0)
        && head.windows(MAP.len()).any(|bytes| bytes == MAP)
}

/// The names of the shards that `source` is an index of, sorted; none for a file of another kind.
pub(in crate::formats) fn companions(
    source: &dyn Source,
    limits: &Limits,
) -> Result<Vec<String>, FormatError> {
    let head = read_part(source, PART, 0, source.len().min(super::HEAD_BYTES), super::HEAD_BYTES)?;
    if is_index(&head) { Ok(Index::read(source, limits)?.files()?) } else { Ok(Vec::new()) }
}

/// Tensors with their files.
pub(super) struct Index {
    /// Names of tensors, unique, each with a file below the index's folder.
    entries: Vec<(String, String)>,
}

/// The members of an index that are read.
#[derive(serde::Deserialize)]
struct Text {
    weight_map: Pairs<String>,
}

impl Index {
    /// Reads the index that is the first file of `source`.
    pub(super) fn read(source: &dyn Source, limits: &Limits) -> Result<Self, FormatError> {
        let len = source.parts().first().map_or(source.len(), |part| part.span.len);
        let bytes = read_part(source, PART, 0, len, limits.header_bytes)?;
        let text: Text = pairs::read(&bytes, PART, "a weight_map from tensors to files")?;
        let entries = text.weight_map.within("the number of tensors in the index", limits.tensors)?;
        check_unique(PART, entries.iter().map(|(name, _)| name.as_str()))?;
        if let Some((name, file)) = entries.iter().find(|(_, file)| below(file).is_none()) {
            let part = format!("the file of tensor {} in the index", shown(name));
            return Err(FormatError::damaged(part, "one in the index's folder", shown(file)));
        }
        Ok(Self { entries })
    }

    /// Tensors and the files that they lie in.
    pub(super) fn entries(&self) -> impl Iterator<Item = (&str, &str)> {
        self.entries.iter().map(|(name, file)| (name.as_str(), below(file).unwrap_or(file)))
    }

    /// The names of the shards, sorted.
    fn files(&self) -> Result<Vec<String>, FormatError> {
        let files: Vec<&str> = self.entries().map(|(_, file)| file).collect();
        let order = by_name(&files);
        let mut sorted: Vec<&str> = order.iter().filter_map(|at| files.get(*at)).copied().collect();
        sorted.dedup();
        match sorted.len() as u64 {
            0 => Err(FormatError::damaged(PART, "a file for every tensor", "no tensor")),
            count if count > MOST_SHARDS => {
                Err(FormatError::too_large("the number of shards", count, MOST_SHARDS))
            }
            _ => Ok(sorted.into_iter().map(str::to_owned).collect()),
        }
    }

    /// The shards as parts of the source, in the order of their names.
    pub(super) fn shards<'a>(&self, source: &'a dyn Source) -> Result<Vec<&'a Part>, FormatError> {
        let files = self.files()?;
        let found: Vec<Option<&Part>> = files.iter().map(|file| companion(source, file)).collect();
        let missing = files.iter().zip(&found).filter(|(_, part)| part.is_none());
        let missing: Vec<&str> = missing.map(|(file, _)| file.as_str()).collect();
        if missing.is_empty() {
            Ok(found.into_iter().flatten().collect())
        } else {
            Err(FormatError::missing(PART, &missing))
        }
    }
}

/// Whether a part of this name is the file that the index names, which may be found by the last step of its path.
pub(super) fn is_same(part: &str, file: &str) -> bool {
    part == file || !part.is_empty() && file.rsplit('/').next() == Some(part)
}
