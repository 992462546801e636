//! What the user wants (the recipe, what is shown) apart from what has been computed (the open file, curves, results).

use super::super::protocol::{Archive, Context, Opened};
use crate::engine::report::{Bound, Curve, Outcome, Overlay, TensorRow, TensorSensitivity, Verification};
use crate::formats::Part;
use crate::recipe::{ImportanceChoice, ImportanceKind, Recipe};
use std::collections::BTreeSet;
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

impl OpenFile {
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

/// Which of the rate's measures the chart shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Rate {
    Coded,
    Entropy,
    Rans,
    Huffman,
    Fixed,
}

/// The order of the tensor table.
#[derive(Debug, Clone, PartialEq)]
pub struct Order {
    /// The column; empty for the file's own order.
    pub column: String,
    /// Largest first.
    pub descending: bool,
}

/// Everything that changes.
#[derive(Debug)]
pub struct State {
    /// What the user asks for.
    pub recipe: Recipe,
    /// Whether the recipe came from a link or the user, and is not to be replaced by a first guess.
    pub recipe_is_chosen: bool,
    /// Content hash in the link that the page was opened with.
    pub link_hash: Option<String>,
    /// The fragment last written or read.
    pub fragment: String,
    /// The importance file last chosen, with its name.
    pub importance_file: Option<(Blob, String)>,
    /// Methods whose curves are drawn.
    pub shown: BTreeSet<String>,
    /// The rate's measure.
    pub rate: Rate,
    /// Whether the chart shows weighted SQNR.
    pub weighted: bool,
    /// The tensor whose weights are shown; all if none.
    pub overlay_tensor: Option<usize>,
    /// Order of the tensor table.
    pub order: Order,
    /// Rows of the tensor table that are shown at most.
    pub row_limit: usize,
    /// The open file.
    pub file: Option<OpenFile>,
    /// The open compressed file, where that is shown.
    pub archive: Option<OpenArchive>,
    /// Curves with the question they answer, in the order of the table of methods.
    pub curves: Vec<Option<(String, Curve)>>,
    /// Shannon bounds.
    pub bounds: Vec<Bound>,
    /// The weights with the codebook of the current recipe.
    pub overlay: Option<Overlay>,
    /// Which layer hurts, by the current recipe.
    pub sensitivity: Vec<TensorSensitivity>,
    /// The result last made.
    pub compressed: Option<Compressed>,
}

impl Default for State {
    fn default() -> Self {
        let mut shown = BTreeSet::new();
        for method in crate::quantize::methods::METHODS {
            shown.insert(method.id.to_owned());
        }
        Self {
            recipe: Recipe::default(),
            recipe_is_chosen: false,
            link_hash: None,
            fragment: String::new(),
            importance_file: None,
            shown,
            rate: Rate::Coded,
            weighted: false,
            overlay_tensor: None,
            order: Order { column: String::new(), descending: false },
            row_limit: super::tensors::PAGE_ROWS,
            file: None,
            archive: None,
            curves: Vec::new(),
            bounds: Vec::new(),
            overlay: None,
            sensitivity: Vec::new(),
            compressed: None,
        }
    }
}

impl State {
    /// The recipe as it can be solved now: without importance as long as its file is missing.
    pub fn solvable(&self) -> Recipe {
        let mut recipe = self.recipe.clone();
        let loaded = self.file.as_ref().and_then(|file| file.importance.as_ref());
        match loaded {
            Some(loaded) if recipe.importance.kind == loaded.choice.kind => {
                recipe.importance = loaded.choice.clone();
            }
            _ => recipe.importance = ImportanceChoice::default(),
        }
        recipe
    }

    /// Whether the recipe asks for an importance file that is not there.
    pub fn lacks_importance(&self) -> bool {
        self.recipe.importance.kind != ImportanceKind::None
            && self.file.as_ref().is_some_and(|file| file.importance.is_none())
    }
}
