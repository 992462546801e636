//! What the user wants (the recipe, what is shown) apart from what has been computed (the open file, answers to questions).

mod curves;
mod file;

pub use curves::{POINTS, quality, slot};
pub use file::{Compressed, LoadedImportance, OpenArchive, OpenFile};

use crate::engine::Session;
use crate::engine::report::{Outcome, Overlay, Rate, Sweep, TensorSensitivity};
use crate::importance::{ImportanceChoice, ImportanceSource};
use crate::quantize::grid::STEP;
use crate::quantize::{SettingsError, Value};
use crate::recipe::Recipe;
use std::cell::Cell;
use web_sys::{Blob, File};

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

/// Everything that changes and that more than one panel looks at; a panel keeps what is its own to itself.
#[derive(Debug, Default)]
pub struct State {
    /// What the user asks for.
    pub wish: Wish,
    /// What is shown of the answers.
    pub view: View,
    /// The open file.
    pub file: Option<OpenFile>,
    /// The open compressed file, where that is shown.
    pub archive: Option<OpenArchive>,
    /// What was computed.
    pub answers: Answers,
    /// How the workers that hold the open file are.
    pub solvers: Solvers,
}

/// What the user asks for.
#[derive(Debug, Default)]
pub struct Wish {
    /// The recipe.
    pub recipe: Recipe,
    /// What was typed into one of its fields and not understood.
    pub unread: Option<SettingsError>,
    /// Whether the recipe came from a link or the user, and is not to be replaced by a first guess.
    pub is_chosen: bool,
    /// The recipe's line with the step that was chosen for the file: as long as it is that, the step is the file's to choose.
    pub found_step: Option<String>,
    /// Content hash in the link that the page was opened with.
    pub link_hash: Option<String>,
    /// The importance file last chosen, with its name.
    pub importance_file: Option<(Blob, String)>,
    /// Why that file cannot serve the recipe, once that was found.
    pub importance_problem: Option<String>,
}

/// What is shown of the answers.
#[derive(Debug)]
pub struct View {
    /// Methods whose curves are drawn.
    pub methods: Vec<&'static str>,
    /// The rate's measure.
    pub rate: Rate,
    /// Whether quality is weighted SQNR.
    pub weighted: bool,
    /// The tensor whose weights are shown; all if none.
    pub tensor: Option<usize>,
}

impl Default for View {
    fn default() -> Self {
        let methods = crate::quantize::methods::METHODS.iter().map(|method| method.id).collect();
        Self { methods, rate: Rate::Coded, weighted: false, tensor: None }
    }
}

/// What was computed of the open file.
#[derive(Debug, Default)]
pub struct Answers {
    /// Curves, each with the bounds beside it, in the order of the table of methods.
    pub curves: Vec<Option<Answered<Sweep>>>,
    /// The weights with the codebook of the recipe.
    pub overlay: Option<Answered<Overlay>>,
    /// Which layer hurts, by the recipe.
    pub sensitivity: Option<Answered<Vec<TensorSensitivity>>>,
    /// The result last made.
    pub compressed: Option<Compressed>,
}

/// How the workers that hold the open file are.
#[derive(Debug, Default)]
pub struct Solvers {
    /// Solvers that died over the open file.
    pub deaths: u32,
    /// The sweeper was stopped and has not read the open file again.
    pub is_sweeper_empty: bool,
}

/// The work in progress, if any.
#[derive(Debug, Default)]
pub struct Work {
    /// Number of the flow that may go on; a flow with another number is stale.
    pub flow: Cell<u32>,
    /// When the present stage began.
    pub started_millis: Cell<f64>,
    /// When its progress was drawn last.
    pub drawn_millis: Cell<f64>,
}

impl State {
    /// How the importance that the recipe asks for stands.
    pub fn importance(&self) -> Standing {
        let asked = &self.wish.recipe.importance;
        if asked.source.is_none() {
            return Standing::Unasked;
        }
        let Some((chosen, _)) = &self.wish.importance_file else { return Standing::Missing };
        let loaded = self.file.as_ref().and_then(|file| file.importance.as_ref());
        if loaded.is_some_and(|loaded| loaded.is_of(chosen) && loaded.answers(asked)) {
            Standing::Loaded
        } else if self.wish.importance_problem.is_some() {
            Standing::Missing
        } else {
            Standing::Awaited
        }
    }

    /// The recipe as it can be solved now: with the importance that was loaded for it, and without as long as that is missing.
    pub fn solvable(&self) -> Recipe {
        let mut recipe = self.wish.recipe.clone();
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
        self.wish.unread.clone().or_else(|| self.wish.recipe.check().err())
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
        Some(match self.view.tensor {
            Some(tensor) => format!("{question} in {tensor}"),
            None => question,
        })
    }

    /// What came of the recipe, where a file was made with it.
    pub fn measured(&self) -> Option<&Outcome> {
        let made = self.answers.compressed.as_ref()?;
        (self.question().is_some() && made.line == self.wish.recipe.to_line()).then_some(&made.outcome)
    }

    /// Whether figures and overlay are what is asked now.
    pub fn is_current(&self) -> bool {
        let asked = self.overlay_question();
        asked.is_some() && self.answers.overlay.as_ref().map(|answer| &answer.question) == asked.as_ref()
    }

    /// Takes a recipe that was made elsewhere, for the file of this content hash.
    pub fn take_recipe(&mut self, recipe: Recipe, hash: Option<String>) {
        self.wish.link_hash = hash;
        let cost = recipe.cost.clone();
        self.choose(recipe);
        self.wish.recipe.cost = cost;
    }

    /// Takes a recipe that the user chose; the hardware beside it stays what it is.
    pub fn choose(&mut self, recipe: Recipe) {
        let cost = std::mem::take(&mut self.wish.recipe.cost);
        self.wish.recipe = Recipe { cost, ..recipe };
        self.wish.is_chosen = true;
    }

    /// Asks for errors weighed by a file, as a source takes it.
    pub fn weigh_by(&mut self, file: File, source: &'static ImportanceSource) {
        let name = file.name();
        self.wish.importance_file = Some((file.into(), name));
        let floor = self.wish.recipe.importance.floor;
        self.wish.recipe.importance = ImportanceChoice { floor, ..ImportanceChoice::of(source) };
    }

    /// Takes the step that was chosen for the file where the recipe left it open; whether it did.
    pub fn take_step(&mut self, step: Option<Value>) -> bool {
        if !Session::leaves_step_open(&self.wish.recipe) {
            return false;
        }
        let Some(step) = step else { return false };
        let open = self.wish.recipe.to_line();
        self.wish.recipe.settings.insert(STEP.id.to_owned(), step);
        let chosen = self.wish.recipe.to_line();
        self.wish.found_step = Some(chosen.clone());
        // It is the step that the result was made with, too.
        if let Some(made) = self.answers.compressed.as_mut().filter(|made| made.line == open) {
            made.line = chosen;
        }
        true
    }

    /// The title of pictures: the file.
    pub fn title(&self) -> String {
        self.file.as_ref().map_or_else(String::new, |file| file.name.clone())
    }
}
