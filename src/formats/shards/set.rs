//! Files whose names number them: `model-00001-of-00003.safetensors`.

use super::MOST_SHARDS;
use crate::formats::error::several;
use crate::formats::{FormatError, Part};

/// What names of shards end in.
const ENDINGS: [&str; 5] = [".safetensors", ".bin", ".pt", ".pth", ".gguf"];

/// A file of a numbered set, by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::formats) struct Member<'a> {
    before: &'a str,
    /// From 1.
    pub(in crate::formats) number: u64,
    /// The number of files as the name spells it.
    count: &'a str,
    behind: &'a str,
}

impl<'a> Member<'a> {
    /// Takes a name apart; `None` for one that is not of a set of at least two shards.
    pub(in crate::formats) fn of(name: &'a str) -> Option<Self> {
        let (left, right) = name.rsplit_once("-of-")?;
        let (before, number) = left.rsplit_once('-')?;
        let digits = right.find(|c: char| !c.is_ascii_digit())?;
        let (count, behind) = (right.get(..digits)?, right.get(digits..)?);
        let lower = behind.to_ascii_lowercase();
        let is_ending = behind.starts_with('.') && ENDINGS.iter().any(|ending| lower.ends_with(ending));
        let is_plain = number.bytes().all(|byte| byte.is_ascii_digit()) && number.len() == count.len();
        let (number, total): (u64, u64) = (number.parse().ok()?, count.parse().ok()?);
        let is_inside = (2..=MOST_SHARDS).contains(&total) && (1..=total).contains(&number);
        (is_ending && is_plain && is_inside).then_some(Self { before, number, count, behind })
    }

    /// The number of files of its set.
    pub(in crate::formats) fn count(&self) -> u64 {
        self.count.parse().unwrap_or(0)
    }

    /// The names of its set's files, in order.
    pub(in crate::formats) fn names(&self) -> Vec<String> {
        let Self { before, count, behind, .. } = *self;
        let width = count.len();
        (1..=self.count()).map(|number| format!("{before}-{number:0width$}-of-{count}{behind}")).collect()
    }

    /// Whether another file is of the same set.
    pub(in crate::formats) fn is_beside(&self, other: &Self) -> bool {
        Member { number: 0, ..*self } == Member { number: 0, ..*other }
    }
}

/// Whether the first of several files is one of a numbered set, and another is of the same.
pub(in crate::formats) fn is_numbered(parts: &[Part]) -> bool {
    let [first, others @ ..] = parts else { return false };
    Member::of(&first.name).is_some_and(|first| {
        others.iter().filter_map(|part| Member::of(&part.name)).any(|other| other.is_beside(&first))
    })
}

/// The shards of a numbered set, in order, if all of them are there.
pub(super) fn shards(parts: &[Part]) -> Result<Vec<&Part>, FormatError> {
    let names = parts.first().and_then(|part| Member::of(&part.name)).map(|first| first.names());
    let names = names.unwrap_or_default();
    let found: Vec<Option<&Part>> =
        names.iter().map(|name| parts.iter().find(|part| part.name == *name)).collect();
    let missing = names.iter().zip(&found).filter(|(_, part)| part.is_none());
    let missing: Vec<&str> = missing.map(|(name, _)| name.as_str()).collect();
    if missing.is_empty() {
        Ok(found.into_iter().flatten().collect())
    } else {
        Err(FormatError::missing(format!("a model of {} shards", names.len()), &missing))
    }
}

/// What to say of a file that is open without the others of its set.
pub(in crate::formats) fn note(parts: &[Part]) -> Option<String> {
    let alone = parts.first().filter(|_| !is_numbered(parts))?;
    let member = Member::of(&alone.name)?;
    let names = member.names();
    let others: Vec<&str> = names.iter().map(String::as_str).filter(|name| *name != alone.name).collect();
    let (number, count) = (member.number, names.len());
    Some(format!("this is part {number} of {count} of a model, which is whole with {}", several(&others)))
}

/// The names of the files that are one model with the file `name`, in order: itself alone unless it is numbered.
#[cfg(not(target_arch = "wasm32"))]
pub(crate) fn set_of(name: &str) -> Vec<String> {
    Member::of(name).map_or_else(|| vec![name.to_owned()], |member| member.names())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbered_names_give_those_of_their_set() {
        let member = Member::of("model.fp16-00002-of-00003.safetensors").unwrap();
        assert_eq!(member.number, 2);
        let names = [1, 2, 3].map(|number| format!("model.fp16-0000{number}-of-00003.safetensors"));
        assert_eq!(member.names(), names);
        assert!(member.is_beside(&Member::of(&names[2]).unwrap()));
        assert!(!member.is_beside(&Member::of("model-00001-of-00003.safetensors").unwrap()));
        assert_eq!(Member::of("pytorch_model-1-of-2.BIN").unwrap().names()[1], "pytorch_model-2-of-2.BIN");
        for other in [
            "model.safetensors",
            "model-00001-of-00001.safetensors",
            "model-00000-of-00002.safetensors",
            "model-00003-of-00002.safetensors",
            "model-1-of-00002.safetensors",
            "model-00001-of-00002.npz",
            "model-00001-of-99999.safetensors",
            "model-+1-of-02.safetensors",
            "model-00001-of-00002",
            "-of-",
        ] {
            assert_eq!(Member::of(other), None, "{other}");
        }
    }
}
