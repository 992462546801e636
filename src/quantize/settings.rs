//! A method's parameters as data: range, default and step once, for the page's form, the program's flags and the docs.

use crate::number_format::{Format, FormatError};
use std::collections::BTreeMap;

/// What values a parameter takes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ParameterKind {
    /// A whole number.
    Integer {
        /// Smallest.
        min: u64,
        /// Largest.
        max: u64,
        /// Where nothing is said.
        default: u64,
    },
    /// A real number, best moved on a logarithmic scale.
    Number {
        /// Smallest, positive.
        min: f64,
        /// Largest.
        max: f64,
        /// Where nothing is said.
        default: f64,
    },
    /// One of a few words, the first being the default.
    Choice(&'static [(&'static str, &'static str)]),
    /// The [name](crate::number_format::names) of a number format, or nothing, the default.
    Format,
}

/// One parameter of a method.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Parameter {
    /// Its name in recipes and flags.
    pub id: &'static str,
    /// Its name for people.
    pub title: &'static str,
    /// What it does, in one line, with its unit.
    pub summary: &'static str,
    /// Its values.
    pub kind: ParameterKind,
}

/// A parameter's value; written without its kind where people read it, with its kind where only programs do.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A whole number.
    Integer(u64),
    /// A real number.
    Number(f64),
    /// A word.
    Choice(String),
}

/// A value in a form that people read.
#[derive(serde::Deserialize)]
#[serde(untagged)]
enum Plain {
    Integer(u64),
    Number(f64),
    Choice(String),
}

/// A value in packed form, which cannot tell kinds apart by itself.
#[derive(serde::Serialize, serde::Deserialize)]
enum Tagged {
    Integer(u64),
    Number(f64),
    Choice(String),
}

impl serde::Serialize for Value {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match (self, serializer.is_human_readable()) {
            (Self::Integer(n), true) => serializer.serialize_u64(*n),
            (Self::Number(x), true) => serializer.serialize_f64(*x),
            (Self::Choice(word), true) => serializer.serialize_str(word),
            (Self::Integer(n), false) => Tagged::Integer(*n).serialize(serializer),
            (Self::Number(x), false) => Tagged::Number(*x).serialize(serializer),
            (Self::Choice(word), false) => Tagged::Choice(word.clone()).serialize(serializer),
        }
    }
}

impl<'de> serde::Deserialize<'de> for Value {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(if deserializer.is_human_readable() {
            match Plain::deserialize(deserializer)? {
                Plain::Integer(n) => Self::Integer(n),
                Plain::Number(x) => Self::Number(x),
                Plain::Choice(word) => Self::Choice(word),
            }
        } else {
            match Tagged::deserialize(deserializer)? {
                Tagged::Integer(n) => Self::Integer(n),
                Tagged::Number(x) => Self::Number(x),
                Tagged::Choice(word) => Self::Choice(word),
            }
        })
    }
}

impl std::fmt::Display for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Integer(n) => n.fmt(f),
            Self::Number(x) => x.fmt(f),
            Self::Choice(word) => word.fmt(f),
        }
    }
}

/// Why settings were refused: names the field and what it takes.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{field}: expected {expected}, found {found}")]
pub struct SettingsError {
    /// The field.
    pub field: String,
    /// What it takes.
    pub expected: String,
    /// What was given.
    pub found: String,
}

/// Checked values for every parameter of a method.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    values: Vec<(&'static str, Value)>,
}

impl Settings {
    /// Checks `given` against `parameters`; what is not given takes its default.
    pub fn new(parameters: &[Parameter], given: &BTreeMap<String, Value>) -> Result<Self, SettingsError> {
        if let Some(unknown) = given.keys().find(|id| !parameters.iter().any(|p| p.id == id.as_str())) {
            let known: Vec<&str> = parameters.iter().map(|p| p.id).collect();
            return Err(SettingsError {
                field: unknown.clone(),
                expected: format!("one of this method's parameters ({})", known.join(", ")),
                found: "an unknown name".to_owned(),
            });
        }
        let values = parameters
            .iter()
            .map(|p| Ok((p.id, p.check(given.get(p.id))?)))
            .collect::<Result<_, SettingsError>>()?;
        Ok(Self { values })
    }

    /// As [`new`](Self::new), for a few parameters by their names.
    pub fn of(parameters: &[Parameter], given: &[(&str, Value)]) -> Result<Self, SettingsError> {
        let mut named = BTreeMap::new();
        for (id, value) in given {
            named.insert((*id).to_owned(), value.clone());
        }
        Self::new(parameters, &named)
    }

    /// The whole-number parameter `id`; 0 if the method has none of that name.
    pub fn integer(&self, id: &str) -> u64 {
        if let Some(Value::Integer(n)) = self.value(id) { *n } else { 0 }
    }

    /// The real parameter `id`; 0 if the method has none of that name.
    pub fn number(&self, id: &str) -> f64 {
        if let Some(Value::Number(x)) = self.value(id) { *x } else { 0.0 }
    }

    /// The word chosen for `id`; empty if the method has none of that name.
    pub fn choice(&self, id: &str) -> &str {
        if let Some(Value::Choice(word)) = self.value(id) { word } else { "" }
    }

    /// The value of the parameter `id`, if the method has one of that name.
    pub fn value(&self, id: &str) -> Option<&Value> {
        self.values.iter().find(|(known, _)| *known == id).map(|(_, value)| value)
    }
}

impl Parameter {
    /// The value where nothing is said.
    pub fn default_value(&self) -> Value {
        match self.kind {
            ParameterKind::Integer { default, .. } => Value::Integer(default),
            ParameterKind::Number { default, .. } => Value::Number(default),
            ParameterKind::Choice(words) => {
                Value::Choice(words.first().map_or_else(String::new, |(id, _)| (*id).to_owned()))
            }
            ParameterKind::Format => Value::Choice(String::new()),
        }
    }

    /// Checks a value, or gives the default where there is none.
    pub fn check(&self, given: Option<&Value>) -> Result<Value, SettingsError> {
        let Some(given) = given else { return Ok(self.default_value()) };
        let refuse = |expected: String| {
            Err(SettingsError { field: self.id.to_owned(), expected, found: given.to_string() })
        };
        match self.kind {
            ParameterKind::Integer { min, max, .. } => match given {
                Value::Integer(n) if (min..=max).contains(n) => Ok(Value::Integer(*n)),
                Value::Number(x) if *x == libm::trunc(*x) && *x >= min as f64 && *x <= max as f64 => {
                    Ok(Value::Integer(*x as u64))
                }
                _ => refuse(format!("a whole number from {min} to {max}")),
            },
            ParameterKind::Number { min, max, .. } => match given {
                Value::Number(x) if (min..=max).contains(x) => Ok(Value::Number(*x)),
                Value::Integer(n) if (min..=max).contains(&(*n as f64)) => Ok(Value::Number(*n as f64)),
                _ => refuse(format!("a number from {min} to {max}")),
            },
            // A word may look like a number.
            ParameterKind::Choice(words) => {
                let word = given.to_string();
                if let Some((id, _)) = words.iter().find(|(id, _)| *id == word) {
                    return Ok(Value::Choice((*id).to_owned()));
                }
                let ids: Vec<&str> = words.iter().map(|(id, _)| *id).collect();
                refuse(format!("one of {}", ids.join(", ")))
            }
            ParameterKind::Format => match given.to_string() {
                name if name.is_empty() => Ok(Value::Choice(name)),
                name => match Format::parse(&name) {
                    Ok(_) => Ok(Value::Choice(name)),
                    Err(FormatError { part, expected, found }) => {
                        let field = format!("{} {name}: {part}", self.id);
                        Err(SettingsError { field, expected, found })
                    }
                },
            },
        }
    }
}
