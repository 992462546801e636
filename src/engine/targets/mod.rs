//! Allocation to a target: the recipe that meets a size or a quality and makes the most of what is left free.
//!
//! A target bounds one figure of the compressed file; the figure opposite to it is made as good as possible: the best
//! quality in a file of at most N bytes, the smallest file of at least d dB. The recipe is given but for its method's swept
//! parameter (`k`, `step`, λ), in which rate and distortion are monotone up to the noise of real codes. Predictions from
//! the sketch choose where to begin; what counts is measured on compressed files, by a bracketing search in the
//! parameter's logarithm ([`Search`]): regula falsi in its Illinois form (Dowell and Jarratt 1971), with bisection where a
//! bracket shrinks too slowly. What a network's answers are worth is not monotone in rate: it is searched on a grid from its
//! coarse end ([`GridSearch`]), and [`luck`] says which settings have it by chance.
//!
//! An answer is an ordinary recipe whose parameter has at most four significant digits, so that it can be typed and
//! replayed. A trial that misses the target is never an answer. Cost: one compression per trial, at most [`TRIALS`] per
//! method. No search here reads a file: callers carry out the recipes they are asked for, natively or on the page.

mod axis;
#[cfg(not(target_arch = "wasm32"))]
mod driver;
mod grid_search;
pub mod luck;
mod search;

#[cfg(not(target_arch = "wasm32"))]
pub use driver::{Found, drive};
pub use grid_search::GridSearch;
pub use search::{Search, TRIALS};

use super::report::{Outcome, Point};
use crate::number;
use crate::quantize::{Method, SettingsError, Value};
use crate::recipe::Recipe;

/// What a compressed file must keep to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Target {
    /// A file of at most this many bytes.
    FileBytes(u64),
    /// At most this many bits per quantized weight: values, positions, code tables and codebooks of the file.
    BitsPerWeight(f64),
    /// A signal-to-quantization-noise ratio of at least this, in dB.
    SqnrDb(f64),
    /// An importance-weighted one of at least this, in dB.
    WeightedSqnrDb(f64),
    /// At least this share of samples classified correctly, from 0 to 1.
    Accuracy(f64),
    /// At least this share of samples classified as the float network does, from 0 to 1.
    Agreement(f64),
    /// A mean divergence of at most this from the float network's answers, in nats.
    Divergence(f64),
}

/// What a network's answers are worth.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Answers {
    /// Share of samples classified correctly, where there are labels.
    pub accuracy: Option<f64>,
    /// Share of samples classified as the float network does.
    pub agreement: f64,
    /// Mean divergence of the answers' distributions from the float network's, nats.
    pub divergence: f64,
}

/// What a target looks at, as predicted or as measured on a compressed file.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Measured {
    /// Size of the file.
    pub file_bytes: u64,
    /// Bits per quantized weight.
    pub bits: f64,
    /// Signal-to-quantization-noise ratio, dB.
    pub sqnr_db: f64,
    /// The same with importance.
    pub weighted_sqnr_db: f64,
    /// What its answers are worth, where a network was run.
    pub answers: Option<Answers>,
    /// Signal-to-quantization-noise ratio of the worst tensor, dB.
    pub worst_db: f64,
    /// Tensors that are lost or became nearly one value: no plain ratio that is asked for is met with one of them, whatever it is
    /// over all weights.
    pub broken: u64,
}

/// A trial with a broken tensor misses a plain ratio by this at least, in dB, so that the search turns to finer settings.
const BROKEN_DB: f64 = 1.0;

/// A method with a value of its swept parameter.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Setting {
    /// The method's id.
    pub method: &'static str,
    /// Its swept parameter.
    pub parameter: &'static str,
    /// That parameter's value.
    pub value: f64,
    /// Whether it is a whole number.
    pub is_whole: bool,
}

/// One compression that was tried.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Trial {
    /// What was tried.
    pub setting: Setting,
    /// What came of it.
    pub measured: Measured,
}

impl Setting {
    /// `base` with this setting; the method's other parameters are kept where it is the recipe's own, else its defaults.
    pub fn recipe(&self, base: &Recipe) -> Recipe {
        let value = if self.is_whole { Value::Integer(self.value as u64) } else { Value::Number(self.value) };
        // Setting a method of the table has no way to fail; what does not go with it is refused when the recipe is checked.
        let mut recipe = base.with_method(self.method);
        recipe.settings.insert(self.parameter.to_owned(), value);
        recipe
    }
}

impl Measured {
    /// What a point of a sweep predicts for a model of so many float parameters.
    pub fn predicted(point: &Point, parameters: u64) -> Self {
        let file_bytes = (parameters as f64 * 4.0 / point.predicted_ratio) as u64;
        Self::of_point(file_bytes, point)
    }

    /// What a compressed file has.
    pub fn of(outcome: &Outcome) -> Self {
        let measured = Self::of_point(outcome.file_bytes, &outcome.point);
        match &outcome.quality {
            Some(quality) => Self { worst_db: quality.worst_db, broken: quality.broken(), ..measured },
            None => measured,
        }
    }

    const fn of_point(file_bytes: u64, point: &Point) -> Self {
        let Point { bits, sqnr_db, weighted_sqnr_db, worst_db, broken, .. } = *point;
        Self { file_bytes, bits, sqnr_db, weighted_sqnr_db, answers: None, worst_db, broken }
    }
}

/// Units of a size, longest first so that `kB` is not read as `B`; all of them are decimal but those with an i.
const UNITS: [(&str, f64); 7] = [
    ("kib", 1024.0),
    ("mib", 1_048_576.0),
    ("gib", 1_073_741_824.0),
    ("kb", 1e3),
    ("mb", 1e6),
    ("gb", 1e9),
    ("b", 1.0),
];

/// How a share is written.
const SHARE: &str = "a share from 0 to 1, or per cent such as 98.5%";

/// Shares and their means are sure to this: a share that was asked for in per cent may be the same number a bit off.
const ROUNDING: f64 = 1e-12;

/// Kinds of target by the names that flags and forms have for them, with what is to be written after them.
const KINDS: [(&str, &str); 7] = [
    ("max-bytes", "a size of at least a byte, such as 120000, 120 kB or 0.5 MB"),
    ("max-bits", "a number of bits above 0, up to 64"),
    ("min-sqnr", "a number of decibels from 0 to 200"),
    ("min-weighted-sqnr", "a number of decibels from 0 to 200"),
    ("min-accuracy", SHARE),
    ("min-agreement", SHARE),
    ("max-kl", "a number of nats from 0, such as 0.05"),
];

/// A size as people write it, in bytes.
fn size(text: &str) -> Option<f64> {
    let text = text.to_ascii_lowercase();
    let unit = UNITS.iter().find_map(|(unit, bytes)| Some((text.strip_suffix(unit)?, *bytes)));
    let (digits, bytes) = unit.unwrap_or((&text, 1.0));
    Some(libm::floor(number::parse(digits.trim())? * bytes)).filter(|size| size.is_finite())
}

impl Target {
    /// Reads a target of the kind `id`: `max-bytes`, `max-bits`, `min-sqnr`, `min-weighted-sqnr`,
    /// `min-accuracy`, `min-agreement` or `max-kl`.
    ///
    /// ```
    /// use quantscope::engine::targets::Target;
    /// assert_eq!(Target::read("max-bytes", "1.5 kB")?, Target::FileBytes(1500));
    /// assert_eq!(Target::read("min-accuracy", "98.5 %")?, Target::Accuracy(0.985));
    /// let refused = Target::read("min-sqnr", "loud").unwrap_err();
    /// assert_eq!(refused.to_string(), "min-sqnr: expected a number of decibels from 0 to 200, found loud");
    /// # Ok::<(), quantscope::quantize::SettingsError>(())
    /// ```
    pub fn read(id: &str, text: &str) -> Result<Self, SettingsError> {
        let text = text.trim();
        let number = || number::parse(text);
        let share = || match text.strip_suffix('%') {
            Some(percent) => number::parse(percent.trim()).map(|x| x / 100.0),
            None => number(),
        };
        let target = match id {
            "max-bytes" => size(text).map(|bytes| Self::FileBytes(bytes as u64)),
            "max-bits" => number().map(Self::BitsPerWeight),
            "min-sqnr" => number().map(Self::SqnrDb),
            "min-weighted-sqnr" => number().map(Self::WeightedSqnrDb),
            "min-accuracy" => share().map(Self::Accuracy),
            "min-agreement" => share().map(Self::Agreement),
            "max-kl" => number().map(Self::Divergence),
            _ => None,
        };
        match target.filter(|target| target.is_sound()) {
            Some(target) => Ok(target),
            None => Err(refused(id, text)),
        }
    }

    /// Its kind's name.
    pub fn id(self) -> &'static str {
        let kind = match self {
            Self::FileBytes(_) => 0,
            Self::BitsPerWeight(_) => 1,
            Self::SqnrDb(_) => 2,
            Self::WeightedSqnrDb(_) => 3,
            Self::Accuracy(_) => 4,
            Self::Agreement(_) => 5,
            Self::Divergence(_) => 6,
        };
        KINDS.get(kind).map_or("", |(id, _)| id)
    }

    fn is_sound(self) -> bool {
        match self {
            Self::FileBytes(n) => n > 0,
            Self::BitsPerWeight(b) => b > 0.0 && b <= 64.0,
            Self::SqnrDb(d) | Self::WeightedSqnrDb(d) => (0.0..=200.0).contains(&d),
            Self::Accuracy(a) | Self::Agreement(a) => (0.0..=1.0).contains(&a),
            Self::Divergence(d) => d >= 0.0 && d.is_finite(),
        }
    }

    /// Refuses a target that is out of range, or that looks at what the recipe does not have.
    fn check(self, recipe: &Recipe) -> Result<(), SettingsError> {
        if !self.is_sound() {
            return Err(refused(self.id(), "a number out of that range"));
        }
        if matches!(self, Self::WeightedSqnrDb(_)) && recipe.importance.source.is_none() {
            return Err(SettingsError {
                field: self.id().to_owned(),
                expected: "a recipe with importance".to_owned(),
                found: "importance=none".to_owned(),
            });
        }
        Ok(())
    }

    /// Whether it bounds the file, and quality is what is left free.
    fn is_size(self) -> bool {
        matches!(self, Self::FileBytes(_) | Self::BitsPerWeight(_))
    }

    /// By how much `measured` keeps to it, negative where it does not: the logarithm of a share for sizes, else a difference.
    pub fn slack(self, measured: &Measured) -> f64 {
        let slack = match self {
            Self::FileBytes(n) => log_ratio(n as f64, measured.file_bytes as f64),
            Self::BitsPerWeight(b) => log_ratio(b, measured.bits),
            Self::SqnrDb(d) => whole(measured, measured.sqnr_db - d),
            // Importance may give a tensor up on purpose; the outcome names it.
            Self::WeightedSqnrDb(d) => measured.weighted_sqnr_db - d,
            Self::Accuracy(a) => {
                measured.answers.and_then(|answers| answers.accuracy).map_or(NEVER, |found| even(found - a))
            }
            Self::Agreement(a) => measured.answers.map_or(NEVER, |answers| even(answers.agreement - a)),
            Self::Divergence(d) => measured.answers.map_or(NEVER, |answers| d - answers.divergence),
        };
        // What is no number keeps to nothing.
        if slack.is_nan() { NEVER } else { slack }
    }

    /// Whether `measured` keeps to it.
    pub fn is_met(self, measured: &Measured) -> bool {
        self.slack(measured) >= 0.0
    }

    /// A [`slack`](Self::slack) up to this is as good as none: half a per cent of a size, 0.02 dB.
    fn tolerance(self) -> f64 {
        match self {
            // 1/0.995 in its logarithm: at least 99.5 % of what is allowed is used.
            Self::FileBytes(_) | Self::BitsPerWeight(_) => 0.005,
            Self::SqnrDb(_) | Self::WeightedSqnrDb(_) => 0.02,
            Self::Accuracy(_) | Self::Agreement(_) | Self::Divergence(_) => 0.0,
        }
    }

    /// What makes one trial better than another, larger being better: quality where the size is bounded, else smallness.
    /// Without importance the weighted ratio is the plain one.
    fn objective(self, measured: &Measured) -> f64 {
        if self.is_size() { measured.weighted_sqnr_db } else { -(measured.file_bytes as f64) }
    }

    /// What `measured` has of what this looks at.
    pub fn found(self, measured: &Measured) -> String {
        match self {
            Self::FileBytes(_) => format!("{} bytes", measured.file_bytes),
            Self::BitsPerWeight(_) => format!("{:.4} bits per weight", measured.bits),
            Self::SqnrDb(_) => format!("{:.3} dB{}", measured.sqnr_db, tensors(measured)),
            Self::WeightedSqnrDb(_) => {
                format!("{:.3} dB, weighted by importance{}", measured.weighted_sqnr_db, tensors(measured))
            }
            Self::Accuracy(_) => {
                let accuracy = measured.answers.and_then(|answers| answers.accuracy);
                format!("{:.2} % classified correctly", 100.0 * accuracy.unwrap_or(0.0))
            }
            Self::Agreement(_) => {
                let agreement = measured.answers.map_or(0.0, |answers| answers.agreement);
                format!("{:.2} % classified as in float", 100.0 * agreement)
            }
            Self::Divergence(_) => {
                let divergence = measured.answers.map_or(f64::INFINITY, |answers| answers.divergence);
                format!("{divergence:.3e} nats of divergence")
            }
        }
    }

    /// How much of it is left, as people say it.
    fn left(self, measured: &Measured) -> String {
        let (share, slack) = match self {
            Self::FileBytes(n) => (measured.file_bytes as f64 / n as f64, 0.0),
            Self::BitsPerWeight(b) => (measured.bits / b, 0.0),
            Self::Accuracy(_) | Self::Agreement(_) => (0.0, 100.0 * self.slack(measured)),
            _ => (0.0, self.slack(measured)),
        };
        match self {
            Self::Accuracy(_) | Self::Agreement(_) => format!("{slack:.2} points above"),
            Self::Divergence(_) => format!("{slack:.3e} nats below"),
            Self::SqnrDb(_) | Self::WeightedSqnrDb(_) => format!("{slack:.3} dB above"),
            _ => format!("{:.2} % of it", 100.0 * share),
        }
    }
}

/// The slack of what keeps to nothing.
const NEVER: f64 = f64::NEG_INFINITY;

/// A difference of shares, none where it is rounding.
fn even(slack: f64) -> f64 {
    if slack.abs() < ROUNDING { 0.0 } else { slack }
}

/// What is said of single tensors beside the ratio of all weights.
fn tensors(measured: &Measured) -> String {
    match measured.broken {
        0 => format!(" (worst tensor {:.2} dB)", measured.worst_db),
        1 => " with one tensor lost or nearly one value".to_owned(),
        n => format!(" with {n} tensors lost or nearly one value"),
    }
}

/// The slack of a plain ratio: negative wherever a tensor is broken.
fn whole(measured: &Measured, slack: f64) -> f64 {
    if measured.broken > 0 { slack.min(-BROKEN_DB) } else { slack }
}

fn log_ratio(allowed: f64, found: f64) -> f64 {
    // Equal sizes must give exactly nothing left.
    if allowed == found { 0.0 } else { libm::log(allowed / found) }
}

fn refused(id: &str, found: &str) -> SettingsError {
    let expected = KINDS.iter().find(|(known, _)| *known == id).map_or("a kind of target", |(_, text)| text);
    SettingsError { field: id.to_owned(), expected: expected.to_owned(), found: found.to_owned() }
}

impl std::fmt::Display for Target {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::FileBytes(n) => write!(f, "at most {n} bytes"),
            Self::BitsPerWeight(b) => write!(f, "at most {b} bits per weight"),
            Self::SqnrDb(d) => write!(f, "at least {d} dB"),
            Self::WeightedSqnrDb(d) => write!(f, "at least {d} dB, weighted by importance"),
            Self::Accuracy(a) => {
                write!(f, "at least {} % classified correctly", (1e6 * a).round_ties_even() / 1e4)
            }
            Self::Agreement(a) => {
                write!(f, "at least {} % classified as in float", (1e6 * a).round_ties_even() / 1e4)
            }
            Self::Divergence(d) => write!(f, "at most {d} nats of divergence"),
        }
    }
}

impl std::fmt::Display for Trial {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { setting, measured } = self;
        write!(f, "{setting}: {} bytes, {:.3} dB", measured.file_bytes, measured.sqnr_db)
    }
}

impl std::fmt::Display for Setting {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}, {} {}", self.method, self.parameter, self.value)
    }
}

/// The best of what several methods gave, as their searches end.
#[derive(Debug)]
pub struct Candidates {
    target: Target,
    best: Option<Trial>,
    /// The trial that came nearest, for what is said where none met the target.
    nearest: Option<Trial>,
    /// Trials made.
    pub trials: usize,
}

impl Candidates {
    /// One without an entry, for a target that a recipe can be held to.
    pub fn new(target: Target, recipe: &Recipe) -> Result<Self, SettingsError> {
        target.check(recipe)?;
        Ok(Self { target, best: None, nearest: None, trials: 0 })
    }

    /// A search with a method; `points` are what a sweep of it predicts for a model of so many float parameters, from fine to
    /// coarse, and may be none.
    pub fn search(&self, method: &'static Method, points: &[Point], parameters: u64) -> Search {
        Search::new(self.target, method, points, parameters)
    }

    /// Enters a trial; of equals the first stays.
    pub fn enter(&mut self, trial: Trial) {
        self.trials += 1;
        let target = self.target;
        let (objective, slack) = (target.objective(&trial.measured), target.slack(&trial.measured));
        if slack >= 0.0 && self.best.is_none_or(|best| objective > target.objective(&best.measured)) {
            self.best = Some(trial);
        }
        if self.nearest.is_none_or(|nearest| slack > target.slack(&nearest.measured)) {
            self.nearest = Some(trial);
        }
    }

    /// The best trial that meets the target; else a sentence that says what can be had.
    pub fn answer(&self) -> Result<Trial, String> {
        self.best.ok_or_else(|| self.unmet())
    }

    /// How well the target is met, in a sentence.
    pub fn met(&self) -> Option<String> {
        let Trial { measured, .. } = self.best?;
        let (target, trials) = (self.target, self.trials);
        let trials = if trials == 1 { "1 trial".to_owned() } else { format!("{trials} trials") };
        Some(format!("{target}: {}, {}; {trials}", target.found(&measured), target.left(&measured)))
    }

    fn unmet(&self) -> String {
        let target = self.target;
        let Some(trial) = self.nearest else {
            return format!("{target} cannot be met: no setting could be compressed");
        };
        let Measured { file_bytes, sqnr_db, .. } = trial.measured;
        let found = target.found(&trial.measured);
        let most = match target {
            Target::FileBytes(_) => {
                format!("the smallest file this recipe can make is {found}, at {sqnr_db:.2} dB")
            }
            Target::BitsPerWeight(_) => {
                format!("the fewest this recipe can take are {found}, at {sqnr_db:.2} dB")
            }
            Target::Divergence(_) => {
                format!("the least this recipe can reach is {found}, in {file_bytes} bytes")
            }
            _ => format!("the most this recipe can reach is {found}, in {file_bytes} bytes"),
        };
        format!("{target} cannot be met: {most} ({})", trial.setting)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_as_people_write_them() {
        for (text, bytes) in [
            ("120000", 120_000),
            ("120 kB", 120_000),
            ("0.5 MB", 500_000),
            ("0.5MB", 500_000),
            ("12345B", 12_345),
            ("1 KiB", 1024),
            ("2GB", 2_000_000_000),
            ("1.9999 kb", 1999),
        ] {
            assert_eq!(Target::read("max-bytes", text).unwrap(), Target::FileBytes(bytes), "{text}");
        }
        for text in ["", "kB", "-3", "0", "0.2", "NaN kB", "inf kB", "3 parsecs"] {
            let expected = KINDS[0].1;
            assert_eq!(
                Target::read("max-bytes", text).unwrap_err().to_string(),
                format!("max-bytes: expected {expected}, found {text}")
            );
        }
    }

    #[test]
    fn targets_out_of_range_are_refused() {
        for (id, text) in [
            ("max-bits", "0"),
            ("max-bits", "65"),
            ("min-sqnr", "-1"),
            ("min-sqnr", "NaN"),
            ("min-weighted-sqnr", "201"),
            ("min-accuracy", "98.5"),
            ("min-accuracy", "101 %"),
            ("min-agreement", "100.1%"),
            ("min-agreement", "99"),
            ("max-kl", "-0.1"),
            ("max-kl", "NaN"),
            ("max-kl", "inf"),
            ("something", "2"),
        ] {
            assert!(Target::read(id, text).is_err(), "{id} {text}");
        }
        let refused = Target::read("max-kl", "-1").unwrap_err();
        assert_eq!(refused.to_string(), "max-kl: expected a number of nats from 0, such as 0.05, found -1");
        assert!(Target::SqnrDb(f64::NAN).check(&Recipe::default()).is_err());
    }

    #[test]
    fn no_plain_ratio_is_met_with_a_broken_tensor() {
        let broken = Measured {
            sqnr_db: 60.0,
            weighted_sqnr_db: 60.0,
            broken: 1,
            file_bytes: 10,
            ..Measured::default()
        };
        assert!(!Target::SqnrDb(20.0).is_met(&broken));
        assert!(Target::WeightedSqnrDb(20.0).is_met(&broken), "importance may give a tensor up");
        assert!(Target::FileBytes(10).is_met(&broken), "a size is a size; the outcome names the tensor");
        assert_eq!(Target::SqnrDb(20.0).found(&broken), "60.000 dB with one tensor lost or nearly one value");
    }

    #[test]
    fn equal_to_the_limit_is_met_and_a_byte_more_is_not() {
        let measured = |file_bytes| Measured { file_bytes, bits: 2.0, sqnr_db: 20.0, ..Measured::default() };
        assert!(Target::FileBytes(1000).is_met(&measured(1000)));
        assert!(!Target::FileBytes(1000).is_met(&measured(1001)));
        assert!(Target::BitsPerWeight(2.0).is_met(&measured(1)));
        assert!(Target::SqnrDb(20.0).is_met(&measured(1)));
        assert!(!Target::Accuracy(0.0).is_met(&measured(1)), "nothing was run");
        let none = Measured { sqnr_db: f64::NAN, ..Measured::default() };
        assert!(!Target::SqnrDb(0.0).is_met(&none));
    }
}
