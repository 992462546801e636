//! The table of importance sources: what kinds of file say how much a weight's error matters.
//!
//! Recipes, the program's flags, the page's form and `docs/recipe.md` have their words from it.

use super::matching::{Matched, Positions};
use super::{adam, columns, file, moments};
use crate::model::Model;
use crate::role::Role;
use std::fmt::Write as _;

/// A source of importance: one kind of importance file.
#[derive(Debug)]
pub struct ImportanceSource {
    /// The word that recipes have for it.
    pub id: &'static str,
    /// What the page calls it.
    pub title: &'static str,
    /// What the file holds.
    pub summary: &'static str,
    /// The exponent α where a recipe says none.
    pub alpha: f64,
    /// Whether its numbers are squares, so that a negative one shows that the file is none of its kind.
    pub are_squares: bool,
    /// Whether it has what [compensation](super::Compensation) needs.
    pub has_moments: bool,
    /// Matches the tensors of a model with those of an importance file.
    pub(super) matched: fn(&Model, &Model) -> Matched,
}

/// The source that an importance file is taken for where nothing else is said.
pub const DEFAULT_SOURCE: &ImportanceSource = &SOURCES[0];

/// Every source. Of several that fit a file equally well the first is it.
pub const SOURCES: &[ImportanceSource] = &[
    ImportanceSource {
        id: "file",
        title: "Hessian, Fisher: a file",
        summary: "a number for every weight: a tensor of the weight's name and shape",
        alpha: 1.0,
        are_squares: false,
        has_moments: false,
        matched: file::matched,
    },
    ImportanceSource {
        id: "adam",
        title: "Adam’s moments: a file",
        summary: "the second moments of Adam's state, in the order of the parameters; or tensors as for `file`",
        alpha: 0.5,
        are_squares: true,
        has_moments: false,
        matched: adam::matched,
    },
    ImportanceSource {
        id: "columns",
        title: "Inputs’ squares: a file",
        summary: "a number for every input of a layer, such as its mean square: a vector of the weight's name",
        alpha: 1.0,
        are_squares: false,
        has_moments: false,
        matched: columns::matched,
    },
    ImportanceSource {
        id: "moments",
        title: "Inputs’ second moments: a file",
        summary: "the matrix E[x xᵀ] of a layer's inputs: a square matrix of the weight's name, or one for each group of units; \
                  beside it, under that name and `.units`, what each unit's errors are multiplied by",
        alpha: 1.0,
        are_squares: true,
        has_moments: true,
        matched: moments::matched,
    },
];

/// The source of this id.
pub fn find(id: &str) -> Option<&'static ImportanceSource> {
    SOURCES.iter().find(|source| source.id == id)
}

/// The source whose tensors a file has: the one that finds most partners among more than half of the file's tensors, an
/// optimizer's state not counted; with what it found.
pub fn recognise(model: &Model, other: &Model) -> Option<(&'static ImportanceSource, Matched)> {
    let mut positions = Positions::new();
    for (position, tensor) in other.tensors.iter().enumerate() {
        if tensor.found.role != Role::Optimizer && !moments::is_beside(&tensor.name) {
            positions.insert(tensor.name.clone(), position);
        }
    }
    let mut best = None;
    let mut most = positions.len() / 2;
    for source in SOURCES {
        let matched = (source.matched)(model, other);
        let found = matched.partners.iter().flatten();
        let count =
            found.filter(|found| positions.is_empty() || positions.contains_key(&found.tensor.name)).count();
        if count > most {
            most = count;
            best = Some((source, matched));
        }
    }
    best
}

/// The exponents that the sources have where a recipe says none.
pub fn alphas() -> String {
    let mut text = DEFAULT_SOURCE.alpha.to_string();
    for source in SOURCES.iter().filter(|source| source.alpha != DEFAULT_SOURCE.alpha) {
        let _ = write!(text, ", and {} for {}", source.alpha, source.id);
    }
    text
}

/// The table as Markdown: what `docs/recipe.md` holds.
pub fn markdown() -> String {
    let mut text = "| source | what the importance file holds | exponent α |\n|---|---|---|\n".to_owned();
    for source in SOURCES {
        let _ = writeln!(text, "| `{}` | {} | {} |", source.id, source.summary, source.alpha);
    }
    text
}

impl PartialEq for ImportanceSource {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl Eq for ImportanceSource {}

impl serde::Serialize for ImportanceSource {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.id)
    }
}

impl<'de> serde::Deserialize<'de> for &'static ImportanceSource {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let id = String::deserialize(deserializer)?;
        find(&id).ok_or_else(|| serde::de::Error::custom("no such source of importance"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_table_of_sources_is_this_one() {
        assert!(include_str!("../../docs/recipe.md").contains(markdown().trim_end()), "{}", markdown());
    }

    #[test]
    fn ids_are_unique_and_found_again() {
        for (index, source) in SOURCES.iter().enumerate() {
            assert_eq!(SOURCES.iter().position(|other| other.id == source.id), Some(index), "{}", source.id);
            assert_eq!(find(source.id), Some(source));
        }
        assert!(find("none").is_none());
    }
}
