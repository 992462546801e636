//! Files that are open: weights with their importance, and compressed ones.

use crate::engine::report::{Outcome, TensorRow, Verification};
use crate::formats::Part;
use crate::importance::ImportanceChoice;
use crate::web::jobs::{Archive, Context, Opened};
use js_sys::Array;
use std::rc::Rc;
use wasm_bindgen::JsValue;
use web_sys::Blob;

/// An importance file that fits the open file.
#[derive(Debug, Clone)]
pub struct LoadedImportance {
    /// The file.
    pub file: Blob,
    /// The matched and surveyed importance, packed.
    pub packed: JsValue,
    /// What the user should know.
    pub notes: Vec<String>,
    /// The choice with its hash.
    pub choice: ImportanceChoice,
}

/// A weight file that is open and sketched.
#[derive(Debug, Clone)]
pub struct OpenFile {
    /// The file.
    pub blob: Blob,
    /// Its name.
    pub name: String,
    /// The files that `blob` joins, where it is several.
    pub parts: Vec<Part>,
    /// What the reader found.
    pub opened: Opened,
    /// Its importance, where the recipe asks for one.
    pub importance: Option<LoadedImportance>,
    /// The tensor table.
    pub rows: Rc<Vec<TensorRow>>,
    /// Content hash.
    pub hash: String,
}

impl LoadedImportance {
    /// Whether it was read from this file.
    pub fn is_of(&self, file: &Blob) -> bool {
        JsValue::from(&self.file) == JsValue::from(file)
    }

    /// Whether it was read as a recipe asks for it.
    pub fn answers(&self, asked: &ImportanceChoice) -> bool {
        self.choice.reads_as(asked)
    }
}

impl OpenFile {
    /// The files that the blob joins, as pairs of name and length.
    pub fn parts_told(&self) -> Array {
        let part = |part: &Part| Array::of2(&part.name.as_str().into(), &(part.span.len as f64).into());
        self.parts.iter().map(part).collect()
    }

    /// What map workers are told.
    pub fn context(&self) -> Context {
        let mut context = Context {
            file: self.blob.clone().into(),
            model: self.opened.model.clone(),
            ..Context::default()
        };
        if let Some(importance) = &self.importance {
            context.importance_file = importance.file.clone().into();
            context.importance = importance.packed.clone();
        }
        context
    }
}

/// A compressed file made here.
#[derive(Debug, Clone)]
pub struct Compressed {
    /// The file.
    pub blob: Blob,
    /// Its name.
    pub name: String,
    /// The recipe as the user had set it.
    pub line: String,
    /// What it cost.
    pub outcome: Outcome,
    /// What the comparison gave, once it ran.
    pub verification: Option<Verification>,
}

/// A compressed file that was opened.
#[derive(Debug, Clone)]
pub struct OpenArchive {
    /// The file.
    pub blob: Blob,
    /// Its name.
    pub name: String,
    /// What it says of itself.
    pub archive: Archive,
}
