//! Importance: what a weight's squared error is multiplied by.
//!
//! Choi, El-Khamy and Lee (2017), section 3.1, weigh the error of weight i by the Hessian diagonal; section 3.5 puts the
//! square root of Adam's second moment in its place. Here a raw value `r` becomes
//!
//! ```text
//! h = max( clean(r)^α / mean(clean(r)^α), floor )
//! ```
//!
//! with the mean over all matched weights. `clean` takes negatives and NaN as 0 and +∞ as the largest finite value of its
//! tensor; how often that happened is reported. Tensors without a partner get h = 1. The scale to mean 1 over the
//! *quantized* weights, which the meaning of λ rests on, is applied when a recipe is solved.
//!
//! Raw values come from a file beside the model. What kinds of file there are is the table of [`sources`], one file of code each;
//! [`values`] says how a tensor of such a file gives a value to every weight. A source adds no memory and no time but
//! for numbers that weights share, which are read once and held: four bytes for each column.

mod adam;
mod columns;
mod file;
mod held;
mod matching;
mod moments;
pub mod sources;
pub mod values;

pub use matching::Matched;
pub use moments::{ENTERING, TARGETS, UNITS};
pub use sources::ImportanceSource;
pub use values::{Partner, Stage, Values};

use crate::compensation::{Factor, Factors};
use crate::formats::{FormatError, Source, TensorReader};
use crate::model::Model;
use crate::task::{Misfit, Task, pack, unpack};
use held::Held;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::sync::Arc;

/// Most columns of a model in all: 128 MiB of numbers.
const MOST_COLUMNS: u64 = 1 << 25;

/// Why importance cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum ImportanceError {
    /// The importance file could not be read.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// A message does not fit; a defect of ours.
    #[error(transparent)]
    Message(#[from] Misfit),
    /// The importance file does not fit the model.
    #[error("importance: {0}")]
    Unfit(String),
    /// A tensor's second moments cannot be used; the sentence names it.
    #[error("{0}")]
    Moments(String),
}

/// How errors are passed on to the weights behind them: see [`crate::compensation`].
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Compensation {
    /// What is added to the diagonal of the second moments, as a share of its mean.
    pub damping: f64,
}

impl Default for Compensation {
    fn default() -> Self {
        Self { damping: 0.03 }
    }
}

/// Importance settings: `max(hᵅ, floor·mean(hᵅ))`, then scaled to mean 1 over the quantized weights.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ImportanceChoice {
    /// Where it comes from; 1 for every weight where there is none.
    pub source: Option<&'static ImportanceSource>,
    /// The exponent α.
    pub alpha: f64,
    /// Smallest importance, as a share of the mean.
    pub floor: f64,
    /// How errors are compensated, of a source that has second moments; not at all where there is nothing.
    pub compensation: Option<Compensation>,
    /// Content hash of the importance file, once known; a replay checks it.
    pub hash: Option<String>,
}

impl Default for ImportanceChoice {
    fn default() -> Self {
        Self { source: None, alpha: 1.0, floor: 0.0, compensation: None, hash: None }
    }
}

impl ImportanceChoice {
    /// A source with its own exponent.
    pub fn of(source: &'static ImportanceSource) -> Self {
        Self { source: Some(source), alpha: source.alpha, ..Self::default() }
    }

    /// Whether another choice reads the same numbers from a file.
    pub fn reads_as(&self, other: &Self) -> bool {
        let read = |choice: &Self| (choice.source, choice.alpha, choice.floor, choice.compensation);
        read(self) == read(other)
    }
}

/// Importance for the tensors of one model, matched, surveyed and ready to be read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Importance {
    choice: ImportanceChoice,
    /// For each tensor of the model, its partner in the importance file.
    partners: Vec<Option<Partner>>,
    /// 1 / mean of the cleaned, exponentiated values; 0 until surveyed.
    inverse_mean: f64,
    hash: Option<u128>,
    notes: Vec<String>,
    #[serde(skip)]
    held: Held,
}

/// What one pass over a tensor of the importance file found.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Survey {
    count: u64,
    zeros: u64,
    negatives: u64,
    nans: u64,
    infinities: u64,
    largest: f64,
    /// Σ clean(r)^α over finite values.
    sum: f64,
    hash: u128,
    /// The number of every column, where weights share numbers.
    numbers: Vec<f32>,
    /// What every unit's errors are multiplied by beside.
    units: Vec<f32>,
}

impl Importance {
    /// Matches the tensors of `model` with those of the importance file `other`, as `source` has them, with the exponent
    /// and floor of `choice`.
    pub fn new(
        source: &'static ImportanceSource,
        choice: &ImportanceChoice,
        model: &Model,
        other: &Model,
    ) -> Result<Self, ImportanceError> {
        let Matched { partners, notes, misfit } = (source.matched)(model, other);
        if let Some(misfit) = misfit {
            let told = sources::recognise(model, other).map(|(told, _)| told).filter(|told| *told != source);
            let hint = told.map_or(String::new(), |told| format!("; it is one for importance={}", told.id));
            return Err(ImportanceError::Unfit(format!("{misfit}{hint}")));
        }
        let columns = partners.iter().flatten().map(Partner::numbers).fold(0, u64::saturating_add);
        if columns > MOST_COLUMNS {
            return Err(ImportanceError::Unfit(format!(
                "expected at most {MOST_COLUMNS} columns and units in all, found {columns}"
            )));
        }
        let choice = ImportanceChoice { source: Some(source), ..choice.clone() };
        if choice.compensation.is_some() {
            check_compensation(&choice)?;
        }
        Ok(Self { choice, partners, inverse_mean: 0.0, hash: None, notes, held: Held::default() })
    }

    /// The tensor of the importance file that weighs the model's tensor `tensor`, and what its numbers stand for.
    pub fn partner(&self, tensor: usize) -> Option<&Partner> {
        self.partners.get(tensor)?.as_ref()
    }

    /// What the user should know, a sentence each; complete after [`absorb`](Self::absorb).
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// The settings it was made with, with the content hash once known.
    pub fn choice(&self) -> ImportanceChoice {
        let hash = self.hash.map(|hash| format!("{hash:032x}"));
        ImportanceChoice { hash, ..self.choice.clone() }
    }

    /// One task per matched tensor.
    pub fn survey_tasks(&self) -> Vec<Task> {
        let task = |(index, partner): (usize, &Option<Partner>)| {
            let partner = partner.as_ref()?;
            Some(Task { end: partner.weights, ..Task::whole(index, &partner.tensor) })
        };
        self.partners.iter().enumerate().filter_map(task).collect()
    }

    /// Reads a tensor of the importance file once; linear time in the weights, one block of memory and the columns' numbers.
    pub fn survey(&self, source: &dyn Source, task: &Task) -> Result<Vec<u8>, ImportanceError> {
        let partner = self.partner(task.tensor).ok_or(Misfit)?;
        let mut survey = Survey {
            numbers: partner.read_numbers(source)?,
            units: partner.read_units(source)?,
            ..Survey::default()
        };
        let mut reader = partner.reader(source)?;
        let mut hasher = xxhash_rust::xxh3::Xxh3::new();
        survey.numbers.iter().chain(&survey.units).for_each(|number| hasher.update(&number.to_le_bytes()));
        if let Some(factors) = self.factors(source, task.tensor, Stage::Planning)? {
            // The rest of the matrices counts as well, and what takes their place.
            let mut hash = |numbers: &[f32]| {
                for number in numbers {
                    hasher.update(&number.to_le_bytes());
                }
                Ok(())
            };
            partner.each_matrix(source, &partner.tensor, &mut hash)?;
            if let Some(sequel) = &partner.sequel {
                partner.each_matrix(source, &sequel.entering, &mut hash)?;
                let (mut targets, mut values) = (sequel.reader(source)?, Vec::new());
                for range in task.blocks() {
                    values.clear();
                    targets.read_f32(range, &mut values)?;
                    hash(&values)?;
                }
            }
            survey.numbers = numbers_of(&factors);
        }
        let (mut bytes, mut values) = (Vec::new(), Vec::new());
        for range in task.blocks() {
            bytes.clear();
            values.clear();
            if partner.values.columns().is_some() {
                partner.spread((&survey.numbers, &survey.units), range, &mut values);
            } else {
                reader.read(range, &mut bytes)?;
                hasher.update(&bytes);
                partner.tensor.dtype.extend_f32(&bytes, &mut values);
            }
            for value in &values {
                survey.add(*value, self.choice.alpha);
            }
        }
        survey.hash = hasher.digest128();
        Ok(pack(&survey))
    }

    /// Takes in the surveys in the order of [`survey_tasks`](Self::survey_tasks); importance can be read afterwards.
    pub fn absorb(&mut self, surveys: &[Vec<u8>]) -> Result<(), ImportanceError> {
        let mut total = Survey::default();
        let mut dead = Vec::new();
        let mut hasher = xxhash_rust::xxh3::Xxh3::new();
        let tasks = self.survey_tasks();
        for (task, bytes) in tasks.iter().zip(surveys) {
            let survey: Survey = unpack(bytes)?;
            let partner = self.partners.get_mut(task.tensor).and_then(Option::as_mut).ok_or(Misfit)?;
            hasher.update(&survey.hash.to_le_bytes());
            partner.largest = survey.largest;
            partner.numbers = survey.numbers;
            partner.units = survey.units;
            let infinite = survey.infinities as f64 * power(survey.largest, self.choice.alpha);
            total.sum += survey.sum + infinite;
            if survey.largest == 0.0 && partner.weights > 0 {
                dead.push(partner.tensor.name.clone());
            }
            total.count += survey.count;
            total.zeros += survey.zeros;
            total.negatives += survey.negatives;
            total.nans += survey.nans;
            total.infinities += survey.infinities;
        }
        if self.choice.source.is_some_and(|source| source.are_squares) && total.negatives > 0 {
            let (negatives, count) = (total.negatives, total.count);
            return Err(ImportanceError::Unfit(format!(
                "expected second moments, which are squares, found {negatives} negative numbers of {count}: that file holds no \
                 second moments"
            )));
        }
        self.hash = Some(hasher.digest128());
        self.report(&total, &dead);
        if total.sum > 0.0 && total.sum.is_finite() {
            self.inverse_mean = total.count as f64 / total.sum;
            Ok(())
        } else {
            Err(ImportanceError::Unfit("every value is zero, negative or not a number".to_owned()))
        }
    }

    fn report(&mut self, total: &Survey, dead: &[String]) {
        let counts = [
            (total.zeros, "zero", "carry no weight"),
            (total.negatives, "negative", "are taken as zero"),
            (total.nans, "not a number", "are taken as zero"),
            (total.infinities, "infinite", "are taken as the largest finite value of their tensor"),
        ];
        for (count, what, meaning) in counts {
            if count > 0 {
                self.notes
                    .push(format!("{count} of {} importance values are {what} and {meaning}", total.count));
            }
        }
        if !dead.is_empty() {
            self.notes.push(format!(
                "importance is zero throughout {}: with no floor, their codebooks fall back to plain means",
                list(dead)
            ));
        }
    }

    /// What passes the errors of the model's tensor `tensor` on, where they are compensated and its partner has second moments.
    ///
    /// Made once and held: inputs³ / 3 multiply-adds.
    pub fn factors(
        &self,
        source: &dyn Source,
        tensor: usize,
        stage: Stage,
    ) -> Result<Option<Arc<Factors>>, ImportanceError> {
        let (Some(Compensation { damping }), Some(partner)) =
            (self.choice.compensation, self.partner(tensor))
        else {
            return Ok(None);
        };
        if !partner.has_units() {
            return Ok(None);
        }
        // Of a partner without a sequel there is one factor for both.
        let stage = if partner.sequel.is_some() { stage } else { Stage::Planning };
        self.held.get((tensor, stage), || partner.factors(source, damping, stage)).map(Some)
    }

    /// What the weights of the model's tensor `tensor` are to be in their place, where the layers before it are quantized and
    /// errors are compensated.
    pub fn targets<'a>(
        &self,
        source: &'a dyn Source,
        tensor: usize,
    ) -> Result<Option<TensorReader<'a>>, ImportanceError> {
        let sequel = self.partner(tensor).and_then(|partner| partner.sequel.as_ref());
        sequel.filter(|_| self.choice.compensation.is_some()).map(|sequel| sequel.reader(source)).transpose()
    }

    /// Takes it that the file has other numbers in the sequel of the model's tensor `tensor` from now on.
    #[cfg(feature = "network")]
    pub(crate) fn forget_sequel(&self, tensor: usize) {
        self.held.forget((tensor, Stage::Encoding));
    }

    /// A reader of the importance of the model's tensor `tensor` from the importance file, by `factors` where errors are
    /// compensated and its numbers are not those of the survey.
    pub fn reader<'a>(
        &'a self,
        source: &'a dyn Source,
        tensor: usize,
        factors: Option<&Factors>,
    ) -> Result<ImportanceReader<'a>, ImportanceError> {
        let partner = self.partner(tensor);
        let raw = match partner.map(|partner| (partner, partner.values.columns())) {
            None => Raw::Alike,
            Some((partner, None)) => Raw::File(Box::new(partner.reader(source)?)),
            Some((partner, Some(_))) => match factors.filter(|_| partner.sequel.is_some()) {
                Some(factors) => Raw::Shared(partner, Cow::Owned(numbers_of(factors))),
                None => Raw::Shared(partner, Cow::Borrowed(&partner.numbers)),
            },
        };
        Ok(ImportanceReader {
            importance: self,
            raw,
            largest: partner.map_or(0.0, |partner| partner.largest),
        })
    }
}

/// What compensation needs: second moments, as they are.
fn check_compensation(choice: &ImportanceChoice) -> Result<(), ImportanceError> {
    let source = choice.source.map_or("none", |source| source.id);
    let wants = |what: String| Err(ImportanceError::Unfit(format!("compensation: expected {what}")));
    if choice.source.is_none_or(|source| !source.has_moments) {
        return wants(format!("a source of second moments, found {source}"));
    }
    if choice.alpha != 1.0 {
        return wants(format!("an exponent α of 1, found {}", choice.alpha));
    }
    Ok(())
}

/// Where raw values of a tensor's weights come from.
enum Raw<'a> {
    /// Nowhere: all weigh alike.
    Alike,
    /// A number for every weight.
    File(Box<TensorReader<'a>>),
    /// Numbers that weights share.
    Shared(&'a Partner, Cow<'a, [f32]>),
}

/// Reads one tensor's importance block by block.
pub struct ImportanceReader<'a> {
    importance: &'a Importance,
    raw: Raw<'a>,
    largest: f64,
}

impl std::fmt::Debug for ImportanceReader<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ImportanceReader").field("largest", &self.largest).finish_non_exhaustive()
    }
}

impl ImportanceReader<'_> {
    /// Appends the importance of the elements in `range` to `values`.
    pub fn read(
        &mut self,
        range: std::ops::Range<u64>,
        values: &mut Vec<f32>,
    ) -> Result<(), ImportanceError> {
        let start = values.len();
        match &mut self.raw {
            Raw::Alike => {
                let count = usize::try_from(range.end - range.start).map_err(|_| Misfit)?;
                values.resize(start + count, 1.0);
                return Ok(());
            }
            Raw::File(reader) => reader.read_f32(range, values)?,
            Raw::Shared(partner, numbers) => partner.spread((numbers, &partner.units), range, values),
        }
        let ImportanceChoice { alpha, floor, .. } = self.importance.choice;
        for value in values.iter_mut().skip(start) {
            let clean = clean(*value, self.largest);
            *value = (power(clean, alpha) * self.importance.inverse_mean).max(floor) as f32;
        }
        Ok(())
    }
}

fn clean(raw: f32, largest: f64) -> f64 {
    if raw == f32::INFINITY {
        largest
    } else if raw > 0.0 {
        f64::from(raw)
    } else {
        0.0
    }
}

/// `value^alpha` by operations that are the same on every target.
fn power(value: f64, alpha: f64) -> f64 {
    if alpha == 1.0 {
        value
    } else if alpha == 0.5 {
        value.sqrt()
    } else {
        libm::pow(value, alpha)
    }
}

/// The number of every column by the factors of a tensor's moments.
fn numbers_of(factors: &Factors) -> Vec<f32> {
    factors.groups.iter().flat_map(Factor::curvatures).map(|curvature| *curvature as f32).collect()
}

/// A few names, for a sentence.
pub(crate) fn list(names: &[String]) -> String {
    let shown: Vec<String> = names.iter().take(3).map(|name| crate::formats::shown(name)).collect();
    match names.len() - shown.len() {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

impl Survey {
    fn add(&mut self, raw: f32, alpha: f64) {
        self.count += 1;
        if raw.is_nan() {
            self.nans += 1;
        } else if raw == f32::INFINITY {
            self.infinities += 1;
        } else if raw < 0.0 {
            self.negatives += 1;
        } else {
            self.zeros += u64::from(raw == 0.0);
            self.largest = self.largest.max(f64::from(raw));
            self.sum += power(f64::from(raw), alpha);
        }
    }
}
