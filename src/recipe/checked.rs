//! A recipe that was checked, so that nothing behind it checks again.

use super::Recipe;
use crate::quantize::{Method, Settings};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

/// A checked recipe with its method and the values of all of its parameters.
#[derive(Debug, Clone)]
pub struct Checked {
    pub(super) recipe: Recipe,
    /// The method.
    pub method: &'static Method,
    /// A value for each of its parameters.
    pub settings: Settings,
}

impl Checked {
    /// Names the retrained codebooks that take the places of the method's own values.
    pub fn set_codebook(&mut self, hash: String) {
        self.recipe.codebook = Some(hash);
    }

    /// Names the repaired tensors that take the places of the file's own.
    pub fn set_repaired(&mut self, hash: String) {
        self.recipe.repaired = Some(hash);
    }

    /// The recipe alone, to be changed.
    pub fn into_recipe(self) -> Recipe {
        self.recipe
    }
}

impl std::ops::Deref for Checked {
    type Target = Recipe;

    fn deref(&self) -> &Recipe {
        &self.recipe
    }
}

impl PartialEq for Checked {
    fn eq(&self, other: &Self) -> bool {
        self.recipe == other.recipe
    }
}

impl Serialize for Checked {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.recipe.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Checked {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Recipe::deserialize(deserializer)?.check().map_err(D::Error::custom)
    }
}
