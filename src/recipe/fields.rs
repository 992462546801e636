//! The table of a recipe's fields: key, name, values, how a field is read and written, and when it means something. Lines,
//! links and recipe files, the program's flags, the page's form and `docs/recipe.md` come from it.

use super::patterns::{finer_from, finer_text, patterns_from, patterns_text, roles_from, roles_text};
use super::{Carry, Recipe, refused};
use crate::entropy::{Coder, Positions};
use crate::importance::sources::{self, DEFAULT_SOURCE, SOURCES};
use crate::importance::{Compensation, ImportanceChoice};
use crate::number;
use crate::quantize::methods::{self, METHODS};
use crate::quantize::{Pruning, Scope, SettingsError};

/// One field of a recipe.
#[derive(Debug, Clone, Copy)]
pub struct Field {
    /// Its name in lines, links, recipe files and flags.
    pub key: &'static str,
    /// Its name for people.
    pub title: &'static str,
    /// What it decides.
    pub summary: &'static str,
    /// What it takes.
    pub values: Values,
    /// What it is where nothing is said, if that is more than one text.
    pub default: Option<fn() -> String>,
    /// Whether a line says it even where it has its default.
    pub is_always_said: bool,
    /// What it means beside the other fields.
    pub standing: fn(&Recipe) -> Standing,
    /// Its text.
    pub print: fn(&Recipe) -> String,
    parse: fn(&mut Recipe, &str) -> Result<(), SettingsError>,
}

/// What a field takes.
#[derive(Debug, Clone, Copy)]
pub enum Values {
    /// One of a few words, the default first.
    Words(&'static [Word]),
    /// A text of this form; these words are offered.
    Form(&'static str, &'static [Word]),
    /// An id of the table of methods.
    Method,
    /// A number.
    Number {
        /// Smallest.
        min: f64,
        /// Largest.
        max: f64,
    },
    /// A text of this form.
    Text {
        /// The form.
        form: &'static str,
        /// What an empty one stands for.
        nothing: &'static str,
    },
    /// A hash, which no one types.
    Hash,
}

/// A word that a field takes.
#[derive(Debug, Clone, Copy)]
pub struct Word {
    /// The word.
    pub id: &'static str,
    /// Its name for people.
    pub title: &'static str,
    /// The number behind it and a colon, if there is one.
    pub amount: Option<Amount>,
}

/// A number behind a word.
#[derive(Debug, Clone, Copy)]
pub struct Amount {
    /// Its letter in forms.
    pub letter: char,
    /// Its name for people.
    pub title: &'static str,
    /// A first one that shows something.
    pub first: &'static str,
}

/// What a field means beside the other fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// It can be chosen.
    Open,
    /// The method decides it.
    Fixed,
    /// It means nothing.
    Absent,
}

impl Field {
    /// Whether people choose it, by a flag or on the page.
    pub const fn is_chosen(&self) -> bool {
        !matches!(self.values, Values::Hash)
    }

    /// The words that it takes, or that are offered.
    pub fn words(&self) -> Vec<Word> {
        match self.values {
            Values::Words(words) | Values::Form(_, words) => words.to_vec(),
            Values::Method => METHODS.iter().map(|method| word(method.id, method.title)).collect(),
            _ => Vec::new(),
        }
    }

    /// How its values are written, for the program's help.
    pub fn form(&self) -> String {
        match self.values {
            Values::Words(words) => {
                let form = |word: &Word| match word.amount {
                    Some(amount) => format!("{}:{}", word.id, amount.letter),
                    None => word.id.to_owned(),
                };
                words.iter().map(form).collect::<Vec<_>>().join("|")
            }
            Values::Method => "ID".to_owned(),
            Values::Form(form, _) | Values::Text { form, .. } => form.to_owned(),
            Values::Number { .. } => "NUMBER".to_owned(),
            Values::Hash => "HASH".to_owned(),
        }
    }

    /// What it is where nothing is said; nothing where that is nothing.
    pub fn default_text(&self) -> String {
        self.default.map_or_else(|| (self.print)(&Recipe::default()), |text| text())
    }

    /// Whether a recipe's line says it.
    pub(super) fn is_said(&self, recipe: &Recipe, default: &Recipe) -> bool {
        let is_open = (self.standing)(recipe) == Standing::Open;
        is_open && (self.is_always_said || (self.print)(recipe) != (self.print)(default))
    }

    /// Gives a recipe what `text` says.
    pub(super) fn read(&self, recipe: &mut Recipe, text: &str) -> Result<(), SettingsError> {
        (self.parse)(recipe, text)
    }
}

const fn word(id: &'static str, title: &'static str) -> Word {
    Word { id, title, amount: None }
}

fn open(_: &Recipe) -> Standing {
    Standing::Open
}

/// Open where pruning comes before the method.
fn where_pruned(recipe: &Recipe) -> Standing {
    let prunes = methods::find(&recipe.method).is_none_or(|method| method.prunes);
    if prunes { Standing::Open } else { Standing::Fixed }
}

/// There where importance has second moments.
fn where_compensable(recipe: &Recipe) -> Standing {
    let has_moments = recipe.importance.source.is_some_and(|source| source.has_moments);
    if has_moments { Standing::Open } else { Standing::Absent }
}

/// There where errors are compensated.
fn where_compensated(recipe: &Recipe) -> Standing {
    if recipe.importance.compensation.is_none() { Standing::Absent } else { where_compensable(recipe) }
}

/// There where importance is.
fn where_weighed(recipe: &Recipe) -> Standing {
    if recipe.importance.source.is_none() { Standing::Absent } else { Standing::Open }
}

fn number_of(key: &str, text: &str) -> Result<f64, SettingsError> {
    number::parse(text).ok_or_else(|| refused(key, "a number", text))
}

/// A word that a field does not know.
#[cold]
fn unknown(key: &str, found: &str) -> SettingsError {
    let words = find(key).map(Field::words).unwrap_or_default();
    let ids: Vec<&str> = words.iter().map(|word| word.id).collect();
    refused(key, format!("one of {}", ids.join(", ")), found)
}

const SCOPES: &[Word] = &[
    word(Scope::Tensor.id(), "each tensor"),
    word(Scope::All.id(), "all layers together"),
    word(Scope::Channel.id(), "each output channel"),
];
const ROLES: &[Word] = &[
    word("weight", "weights"),
    word("trained", "weights, biases, normalisation (as the papers)"),
    word("all", "every float"),
];
/// What weighs every error alike.
const NO_SOURCE: &str = "none";
const IMPORTANCE: &[Word] = &importance_words();
const fn importance_words() -> [Word; SOURCES.len() + 1] {
    let mut words = [word(NO_SOURCE, "nothing"); SOURCES.len() + 1];
    let mut at = 0;
    while at < SOURCES.len() {
        words[at + 1] = word(SOURCES[at].id, SOURCES[at].title);
        at += 1;
    }
    words
}
/// Errors stay where they are.
const NO_COMPENSATION: &str = "none";
/// Optimal brain surgery.
const OBS: &str = "obs";
const COMPENSATIONS: &[Word] =
    &[word(NO_COMPENSATION, "no"), word(OBS, "each weight repairs the errors before it")];
const PRUNINGS: &[Word] = &[
    word("none", "nothing"),
    Word {
        amount: Some(Amount { letter: 'F', title: "Share, 0 to 1", first: "0.5" }),
        ..word("fraction", "a share of the weights")
    },
    Word {
        amount: Some(Amount { letter: 'T', title: "Magnitude up to", first: "0" }),
        ..word("threshold", "small magnitudes")
    },
];
/// The coder that a recipe has unless it says otherwise, then the others from the last of their table.
const CODERS: &[Word] = &{
    let first = super::DEFAULT_CODER;
    let mut words = [word(first.id(), first.title()); Coder::ALL.len()];
    let (mut row, mut next) = (words.len(), 1);
    while row > 0 {
        row -= 1;
        let coder = Coder::ALL[row];
        if coder as u8 != first as u8 {
            words[next] = word(coder.id(), coder.title());
            next += 1;
        }
    }
    words
};
const POSITIONS: &[Word] =
    &[word(Positions::Symbols.id(), "symbols"), word(Positions::Gaps.id(), "gaps between non-zeros")];

const CARRIED: &[Word] =
    &[word(Carry::File.id(), "the whole file"), word(Carry::Weights.id(), "weights alone")];

/// The field that the method's own parameters stand behind.
pub const METHOD: &str = "method";

/// Every field, in the order of a line; a method's own parameters stand behind the method.
pub const FIELDS: &[Field] = &[
    Field {
        key: METHOD,
        title: "Method",
        summary: "The quantizer; its own parameters are fields, too",
        values: Values::Method,
        default: None,
        is_always_said: true,
        standing: open,
        print: |recipe| recipe.method.clone(),
        parse: |recipe, text| {
            *recipe = recipe.with_method(text);
            Ok(())
        },
    },
    Field {
        key: "scope",
        title: "Codebook for",
        summary: "Which weights share a codebook",
        values: Values::Words(SCOPES),
        default: None,
        is_always_said: false,
        standing: open,
        print: |recipe| recipe.scope.id().to_owned(),
        parse: |recipe, text| {
            recipe.scope = Scope::from_id(text).ok_or_else(|| unknown("scope", text))?;
            Ok(())
        },
    },
    Field {
        key: "roles",
        title: "Quantize",
        summary: "Tensors of these roles are quantized: weight, bias, norm, …; trained is these three, all is every one",
        values: Values::Form("ROLE,…", ROLES),
        default: None,
        is_always_said: false,
        standing: open,
        print: |recipe| roles_text(&recipe.roles),
        parse: |recipe, text| {
            recipe.roles = roles_from(text)?;
            Ok(())
        },
    },
    Field {
        key: "include",
        title: "Include",
        summary: "Tensors whose name matches are quantized instead, whatever their role (* any run, ? one character)",
        values: Values::Text { form: "PATTERN,…", nothing: "every name" },
        default: None,
        is_always_said: false,
        standing: open,
        print: |recipe| patterns_text(&recipe.include),
        parse: |recipe, text| {
            recipe.include = patterns_from(text);
            Ok(())
        },
    },
    Field {
        key: "exclude",
        title: "Exclude",
        summary: "Tensors whose name matches are kept as they are",
        values: Values::Text { form: "PATTERN,…", nothing: "no name" },
        default: None,
        is_always_said: false,
        standing: open,
        print: |recipe| patterns_text(&recipe.exclude),
        parse: |recipe, text| {
            recipe.exclude = patterns_from(text);
            Ok(())
        },
    },
    Field {
        key: "importance",
        title: "Weigh by",
        summary: "What a weight's squared error is multiplied by: what the importance file holds",
        values: Values::Words(IMPORTANCE),
        default: Some(|| format!("{NO_SOURCE}, and {} where an importance file is given", DEFAULT_SOURCE.id)),
        is_always_said: false,
        standing: open,
        print: |recipe| recipe.importance.source.map_or(NO_SOURCE, |source| source.id).to_owned(),
        parse: |recipe, text| {
            let source = match text {
                NO_SOURCE => None,
                id => Some(sources::find(id).ok_or_else(|| unknown("importance", id))?),
            };
            if source != recipe.importance.source {
                recipe.importance = source.map_or_else(ImportanceChoice::default, ImportanceChoice::of);
            }
            Ok(())
        },
    },
    Field {
        key: "alpha",
        title: "Exponent α",
        summary: "The exponent of importance",
        values: Values::Number { min: 0.0, max: 4.0 },
        default: Some(sources::alphas),
        is_always_said: true,
        standing: where_weighed,
        print: |recipe| recipe.importance.alpha.to_string(),
        parse: |recipe, text| {
            recipe.importance.alpha = number_of("alpha", text)?;
            Ok(())
        },
    },
    Field {
        key: "floor",
        title: "Floor, × mean",
        summary: "The smallest importance, as a share of the mean",
        values: Values::Number { min: 0.0, max: 1.0 },
        default: None,
        is_always_said: false,
        standing: where_weighed,
        print: |recipe| recipe.importance.floor.to_string(),
        parse: |recipe, text| {
            recipe.importance.floor = number_of("floor", text)?;
            Ok(())
        },
    },
    Field {
        key: "compensate",
        title: "Compensate",
        summary: "Whether each weight repairs the errors of those before it, by the second moments of a layer's inputs",
        values: Values::Words(COMPENSATIONS),
        default: None,
        is_always_said: false,
        standing: where_compensable,
        print: |recipe| {
            if recipe.importance.compensation.is_some() { OBS } else { NO_COMPENSATION }.to_owned()
        },
        parse: |recipe, text| {
            recipe.importance.compensation = match text {
                NO_COMPENSATION => None,
                OBS => Some(recipe.importance.compensation.unwrap_or_default()),
                _ => return Err(unknown("compensate", text)),
            };
            Ok(())
        },
    },
    Field {
        key: "damping",
        title: "Damping, × mean",
        summary: "What is added to the diagonal of the second moments, as a share of its mean",
        values: Values::Number { min: 0.0, max: 1.0 },
        default: Some(|| Compensation::default().damping.to_string()),
        is_always_said: false,
        standing: where_compensated,
        print: |recipe| recipe.importance.compensation.unwrap_or_default().damping.to_string(),
        parse: |recipe, text| {
            let damping = number_of("damping", text)?;
            if !(0.0..=1.0).contains(&damping) {
                return Err(refused("damping", "a number from 0 to 1", text));
            }
            recipe.importance.compensation = Some(Compensation { damping });
            Ok(())
        },
    },
    Field {
        key: "ihash",
        title: "Hash",
        summary: "The content hash of the importance file, once known; a replay checks it",
        values: Values::Hash,
        default: None,
        is_always_said: false,
        standing: where_weighed,
        print: |recipe| recipe.importance.hash.clone().unwrap_or_default(),
        parse: |recipe, text| {
            recipe.importance.hash = Some(text.to_owned());
            Ok(())
        },
    },
    Field {
        key: "prune",
        title: "Zero first",
        summary: "Which weights become exact zeros before all; threshold:0 keeps the file's own zeros",
        values: Values::Words(PRUNINGS),
        default: None,
        is_always_said: false,
        standing: where_pruned,
        print: |recipe| match recipe.pruning {
            Pruning::None => "none".to_owned(),
            Pruning::Threshold(t) => format!("threshold:{t}"),
            Pruning::Fraction(x) => format!("fraction:{x}"),
        },
        parse: |recipe, text| {
            recipe.pruning = pruning_from(text)?;
            if recipe.pruning == Pruning::None {
                recipe.positions = Positions::Symbols;
            }
            Ok(())
        },
    },
    Field {
        key: "coder",
        title: "Coder",
        summary: "How symbols become bits",
        values: Values::Words(CODERS),
        default: None,
        is_always_said: false,
        standing: |recipe| match methods::find(&recipe.method).map(|method| method.coders) {
            Some([_]) => Standing::Fixed,
            _ => Standing::Open,
        },
        print: |recipe| recipe.coder.id().to_owned(),
        parse: |recipe, text| {
            recipe.coder = Coder::from_id(text).ok_or_else(|| unknown("coder", text))?;
            Ok(())
        },
    },
    Field {
        key: "positions",
        title: "Zeros as",
        summary: "Zeros as symbols, or as Huffman-coded gaps between the others",
        values: Values::Words(POSITIONS),
        default: None,
        is_always_said: false,
        standing: where_pruned,
        print: |recipe| recipe.positions.id().to_owned(),
        parse: |recipe, text| {
            recipe.positions = Positions::from_id(text).ok_or_else(|| unknown("positions", text))?;
            Ok(())
        },
    },
    Field {
        key: "finer",
        title: "Finer for",
        summary: "Tensors whose name matches have a step finer by so many bits, or coarser, as in embed*:1, *.bias:-0.5; of grids for each tensor",
        values: Values::Text { form: "PATTERN:BITS,…", nothing: "no tensor" },
        default: None,
        is_always_said: false,
        standing: |recipe| if recipe.has_steps() { Standing::Open } else { Standing::Absent },
        print: |recipe| finer_text(&recipe.finer),
        parse: |recipe, text| {
            recipe.finer = finer_from(text)?;
            Ok(())
        },
    },
    Field {
        key: "select",
        title: "Weights of",
        summary: "The part of a checkpoint that is taken for the weights, as in ema: what lies under that key of the file",
        values: Values::Text { form: "PART", nothing: "the model" },
        default: None,
        is_always_said: false,
        standing: open,
        print: |recipe| recipe.select.clone(),
        parse: |recipe, text| {
            text.trim().clone_into(&mut recipe.select);
            Ok(())
        },
    },
    Field {
        key: "carry",
        title: "Holds",
        summary: "What the compressed file holds: the whole file, so that decoding gives back the same kind of file, or its weights alone",
        values: Values::Words(CARRIED),
        default: None,
        is_always_said: false,
        standing: open,
        print: |recipe| recipe.carry.id().to_owned(),
        parse: |recipe, text| {
            recipe.carry = Carry::from_id(text).ok_or_else(|| unknown("carry", text))?;
            Ok(())
        },
    },
    Field {
        key: "codebook",
        title: "Hash",
        summary: "The hash of retrained codebooks that take the places of the method's own values; a .qsz holds them",
        values: Values::Hash,
        default: None,
        is_always_said: false,
        standing: open,
        print: |recipe| recipe.codebook.clone().unwrap_or_default(),
        parse: |recipe, text| {
            recipe.codebook = Some(text.to_owned());
            Ok(())
        },
    },
    Field {
        key: "repaired",
        title: "Hash",
        summary: "The hash of repaired tensors that take the places of the file's own; a .qsz holds them",
        values: Values::Hash,
        default: None,
        is_always_said: false,
        standing: open,
        print: |recipe| recipe.repaired.clone().unwrap_or_default(),
        parse: |recipe, text| {
            recipe.repaired = Some(text.to_owned());
            Ok(())
        },
    },
];

/// The field of this key.
pub fn find(key: &str) -> Option<&'static Field> {
    FIELDS.iter().find(|field| field.key == key)
}

fn pruning_from(text: &str) -> Result<Pruning, SettingsError> {
    let wrong = || refused("prune", "none, threshold:T or fraction:F", text);
    if text == "none" {
        return Ok(Pruning::None);
    }
    let (kind, amount) = text.split_once(':').ok_or_else(wrong)?;
    let amount = || number::parse(amount).ok_or_else(wrong);
    match kind {
        "threshold" => amount().map(|amount| Pruning::Threshold(amount as f32)),
        "fraction" => amount().map(Pruning::Fraction),
        _ => Err(wrong()),
    }
}

/// The table of fields as Markdown: what `docs/recipe.md` holds.
pub fn markdown() -> String {
    use std::fmt::Write as _;
    let mut text = "| key | values | default | what it decides |\n|---|---|---|---|\n".to_owned();
    for field in FIELDS {
        let values = match field.values {
            Values::Words(_) => {
                field.form().split('|').map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")
            }
            Values::Form(..) | Values::Method => {
                let ids: Vec<String> = field.words().iter().map(|word| format!("`{}`", word.id)).collect();
                format!("`{}`: {}", field.form(), ids.join(", "))
            }
            Values::Number { min, max } => format!("{min} to {max}"),
            Values::Text { form, .. } => format!("`{form}`"),
            Values::Hash => "a hash".to_owned(),
        };
        let _ =
            writeln!(text, "| `{}` | {values} | {} | {} |", field.key, field.default_text(), field.summary);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_table_of_fields_is_this_one() {
        assert!(include_str!("../../docs/recipe.md").contains(markdown().trim_end()), "{}", markdown());
    }

    #[test]
    fn every_word_is_read_and_printed() {
        for field in FIELDS {
            for word in field.words() {
                let text =
                    word.amount.map_or(word.id.to_owned(), |amount| format!("{}:{}", word.id, amount.first));
                let mut recipe = Recipe::default();
                field.read(&mut recipe, &text).unwrap();
                assert_eq!((field.print)(&recipe), text);
            }
            if let Values::Words(words) = field.values {
                assert_eq!(
                    words.first().map(|word| word.id.to_owned()),
                    Some((field.print)(&Recipe::default()))
                );
                assert!(field.read(&mut Recipe::default(), "neither").is_err(), "{}", field.key);
            }
        }
    }

    #[test]
    fn no_parameter_of_a_method_has_the_name_of_a_field() {
        for parameter in METHODS.iter().flat_map(|method| method.parameters) {
            assert!(find(parameter.id).is_none(), "{}", parameter.id);
        }
    }
}
