//! What the user wants (the recipe, what is shown) apart from what has been computed (the open file, curves, results).

use super::super::jobs::{Archive, Context, Opened};
use crate::engine::report::{Outcome, Overlay, Rate, Sweep, TensorRow, TensorSensitivity, Verification};
use crate::formats::Part;
use crate::quantize::SettingsError;
use crate::recipe::{ImportanceChoice, ImportanceKind, Recipe};
use js_sys::Array;
use std::collections::BTreeSet;
use std::rc::Rc;
use wasm_bindgen::JsValue;
use web_sys::Blob;

/// An answer with the question that it answers: whatever else has changed, it is shown as current only while that is asked.
#[derive(Debug, Clone)]
pub struct Answered<T> {
    /// The question, as [`State::question`] words it.
    pub question: String,
    /// What was answered.
    pub value: T,
}

/// How the importance that the recipe asks for stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// None is asked for.
    Unasked,
    /// What is asked for is there.
    Loaded,
    /// Its file is chosen, and not read as the recipe asks for it yet.
    Awaited,
    /// No file is chosen, or the one that is cannot serve.
    Missing,
}

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
    fn answers(&self, asked: &ImportanceChoice) -> bool {
        let choice = &self.choice;
        (choice.kind, choice.alpha, choice.floor) == (asked.kind, asked.alpha, asked.floor)
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
    /// What was typed into one of its fields and not understood.
    pub unread: Option<SettingsError>,
    /// Whether the recipe came from a link or the user, and is not to be replaced by a first guess.
    pub recipe_is_chosen: bool,
    /// The recipe's line with the step that was chosen for the file: as long as it is that, the step is the file's to choose.
    pub found_step: Option<String>,
    /// Content hash in the link that the page was opened with.
    pub link_hash: Option<String>,
    /// The fragment last written or read.
    pub fragment: String,
    /// The importance file last chosen, with its name.
    pub importance_file: Option<(Blob, String)>,
    /// A file whose purpose is being asked for.
    pub asked: Option<web_sys::File>,
    /// Why that file cannot serve the recipe, once that was found.
    pub importance_problem: Option<String>,
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
    /// Curves, each with the bounds beside it, in the order of the table of methods.
    pub curves: Vec<Option<Answered<Sweep>>>,
    /// The weights with the codebook of the recipe.
    pub overlay: Option<Answered<Overlay>>,
    /// Which layer hurts, by the recipe.
    pub sensitivity: Option<Answered<Vec<TensorSensitivity>>>,
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
            unread: None,
            recipe_is_chosen: false,
            found_step: None,
            link_hash: None,
            fragment: String::new(),
            importance_file: None,
            asked: None,
            importance_problem: None,
            shown,
            rate: Rate::Coded,
            weighted: false,
            overlay_tensor: None,
            order: Order { column: String::new(), descending: false },
            row_limit: super::tensors::PAGE_ROWS,
            file: None,
            archive: None,
            curves: Vec::new(),
            overlay: None,
            sensitivity: None,
            compressed: None,
        }
    }
}

impl State {
    /// How the importance that the recipe asks for stands.
    pub fn importance(&self) -> Standing {
        let asked = &self.recipe.importance;
        if asked.kind == ImportanceKind::None {
            return Standing::Unasked;
        }
        let Some((chosen, _)) = &self.importance_file else { return Standing::Missing };
        let loaded = self.file.as_ref().and_then(|file| file.importance.as_ref());
        if loaded.is_some_and(|loaded| loaded.is_of(chosen) && loaded.answers(asked)) {
            Standing::Loaded
        } else if self.importance_problem.is_some() {
            Standing::Missing
        } else {
            Standing::Awaited
        }
    }

    /// The recipe as it can be solved now: with the importance that was loaded for it, and without as long as that is missing.
    pub fn solvable(&self) -> Recipe {
        let mut recipe = self.recipe.clone();
        let loaded = self.file.as_ref().and_then(|file| file.importance.as_ref());
        match (self.importance(), loaded) {
            (Standing::Loaded, Some(loaded)) => recipe.importance = loaded.choice.clone(),
            (Standing::Awaited, _) => {}
            _ => recipe.importance = ImportanceChoice::default(),
        }
        recipe
    }

    /// What keeps the recipe from being solved.
    pub fn problem(&self) -> Option<SettingsError> {
        self.unread.clone().or_else(|| self.recipe.check().err())
    }

    /// What is asked now of the open file, as [`ask`](Self::ask) words it; nothing while the recipe has an error or its
    /// importance is being read.
    pub fn question(&self) -> Option<String> {
        let is_askable = self.problem().is_none() && self.importance() != Standing::Awaited;
        let file = self.file.as_ref().filter(|_| is_askable)?;
        Some(Self::ask(&self.solvable(), file))
    }

    /// A recipe asked of a file, in words that no other pair of them has.
    pub fn ask(recipe: &Recipe, file: &OpenFile) -> String {
        format!("{} of {}", recipe.to_line(), file.hash)
    }

    /// The question of the overlay: the recipe's, for the tensor that is shown.
    pub fn overlay_question(&self) -> Option<String> {
        let question = self.question()?;
        Some(match self.overlay_tensor {
            Some(tensor) => format!("{question} in {tensor}"),
            None => question,
        })
    }

    /// What came of the recipe, where a file was made with it.
    pub fn measured(&self) -> Option<&Outcome> {
        let made = self.compressed.as_ref()?;
        (self.question().is_some() && made.line == self.recipe.to_line()).then_some(&made.outcome)
    }

    /// Whether figures and overlay are what is asked now.
    pub fn is_current(&self) -> bool {
        let asked = self.overlay_question();
        asked.is_some() && self.overlay.as_ref().map(|answer| &answer.question) == asked.as_ref()
    }
}
