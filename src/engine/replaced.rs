//! What a `.qsz` holds in the places of a method's own values and of the file's own tensors: retrained codebooks, and tensors
//! that were repaired because what is quantized around them changed.
//!
//! A recipe names both by their hashes, and can be carried out again with them alone.

use super::EngineError;
use super::restore::elements;
use crate::container::{Content, Reader};
use crate::formats::{Limits, Source, TensorReader, matching_name};
use crate::model::Model;
use crate::quantize::SettingsError;
use crate::recipe::Recipe;
use crate::tensor::{Dtype, Tensor};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Elements of tensors that are kept, little-endian, by the tensor's place in its model.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Repaired(BTreeMap<usize, Vec<u8>>);

/// Values in the places of others.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Replaced {
    /// Retrained values, codebook by codebook.
    pub levels: Option<Vec<Vec<f32>>>,
    /// Repaired tensors.
    pub repaired: Repaired,
}

impl Replaced {
    /// Those that a recipe asks for, from the file that holds them and the source that it was made from.
    pub fn read(
        recipe: &Recipe,
        file: &dyn Source,
        reader: &Reader,
        source: (&dyn Source, &Model),
    ) -> Result<Self, EngineError> {
        let levels = if recipe.codebook.is_some() { Some(codebooks(reader)?) } else { None };
        let repaired = if recipe.repaired.is_some() {
            Repaired::read(file, reader, source)?
        } else {
            Repaired::default()
        };
        Ok(Self { levels, repaired })
    }
}

/// That what a recipe asks for is what there is.
pub(super) fn check(asked: &Recipe, found: &Recipe) -> Result<(), EngineError> {
    let missing = |field: &str, what: &str, found: Option<&String>| {
        EngineError::from(SettingsError {
            field: field.to_owned(),
            expected: format!("the {what} of this hash, from the .qsz that holds them"),
            found: if found.is_some() { "others" } else { "none" }.to_owned(),
        })
    };
    if asked.codebook.is_some() && asked.codebook != found.codebook {
        return Err(missing("codebook", "retrained codebooks", found.codebook.as_ref()));
    }
    if asked.repaired.is_some() && asked.repaired != found.repaired {
        return Err(missing("repaired", "repaired tensors", found.repaired.as_ref()));
    }
    Ok(())
}

impl Repaired {
    /// The float tensors of a container that are kept and are not as in its source.
    fn read(
        file: &dyn Source,
        reader: &Reader,
        (source, model): (&dyn Source, &Model),
    ) -> Result<Self, EngineError> {
        let mut repaired = Self::default();
        for (index, (tensor, entry)) in model.tensors.iter().zip(&reader.manifest().tensors).enumerate() {
            let is_same_kind = entry.dtype == tensor.dtype && entry.shape == tensor.shape;
            if !matches!(entry.content, Content::Kept) || !tensor.dtype.is_float() || !is_same_kind {
                continue;
            }
            let mut theirs = Vec::new();
            elements(file, reader, index, &mut |part| {
                theirs.extend_from_slice(part);
                Ok(())
            })?;
            repaired.insert((source, model), index, theirs)?;
        }
        Ok(repaired)
    }

    /// `values` in the places of the tensors of these names, as their types hold them.
    pub(super) fn of_values(
        (source, model): (&dyn Source, &Model),
        values: &BTreeMap<String, Vec<f32>>,
    ) -> Result<Self, EngineError> {
        let mut repaired = Self::default();
        for (name, values) in values {
            let same = |tensor: &Tensor| matching_name(&tensor.name) == matching_name(name);
            let Some(index) = model.tensors.iter().position(same) else { continue };
            let mut elements = Vec::new();
            model
                .tensors
                .get(index)
                .map_or(Dtype::F32, |tensor| tensor.dtype)
                .extend_bytes(values, &mut elements);
            repaired.insert((source, model), index, elements)?;
        }
        Ok(repaired)
    }

    /// Puts elements in the place of a tensor where they are others than its own: whoever reads the file can tell no more.
    fn insert(
        &mut self,
        (source, model): (&dyn Source, &Model),
        index: usize,
        elements: Vec<u8>,
    ) -> Result<(), EngineError> {
        let tensor = model.tensors.get(index).ok_or(EngineError::Message)?;
        let mut own = Vec::new();
        TensorReader::new(source, tensor, &Limits::default())?.read(0..tensor.len(), &mut own)?;
        if elements != own {
            self.0.insert(index, elements);
        }
        Ok(())
    }

    /// Whether nothing is repaired.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Each with its elements.
    pub(super) fn all(&self) -> impl Iterator<Item = (&usize, &Vec<u8>)> {
        self.0.iter()
    }

    /// Tensors, in order.
    pub fn tensors(&self) -> impl Iterator<Item = usize> {
        self.0.keys().copied()
    }

    /// The elements of a tensor.
    pub(super) fn get(&self, tensor: usize) -> Option<&[u8]> {
        self.0.get(&tensor).map(Vec::as_slice)
    }

    /// The hash by which a recipe refers to it.
    pub fn hash(&self) -> String {
        let mut hasher = xxhash_rust::xxh3::Xxh3::new();
        for (tensor, bytes) in &self.0 {
            hasher.update(&(*tensor as u64).to_le_bytes());
            hasher.update(&(bytes.len() as u64).to_le_bytes());
            hasher.update(bytes);
        }
        format!("{:032x}", hasher.digest128())
    }
}

/// The hash by which a recipe refers to retrained codebooks.
pub fn levels_hash(levels: &[Vec<f32>]) -> String {
    let mut hasher = xxhash_rust::xxh3::Xxh3::new();
    for codebook in levels {
        hasher.update(&(codebook.len() as u64).to_le_bytes());
        for level in codebook {
            hasher.update(&level.to_le_bytes());
        }
    }
    format!("{:032x}", hasher.digest128())
}

/// The values of a container's codebooks, in order.
pub fn codebooks(reader: &Reader) -> Result<Vec<Vec<f32>>, EngineError> {
    // What is not a list of levels is never retrained, and a few bytes of it stand for many values.
    let read = |index| match reader.codebook(index)?.as_levels() {
        Some(levels) => Ok(levels.values().to_vec()),
        None => Err(EngineError::from(SettingsError {
            field: "codebook".to_owned(),
            expected: "codebooks that are lists of levels".to_owned(),
            found: "another kind".to_owned(),
        })),
    };
    (0..reader.codebooks()).map(read).collect()
}
