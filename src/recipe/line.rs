//! A recipe as text: one line of `key=value` pairs, a link, a file.

use super::fields::{self, FIELDS};
use super::{Recipe, refused};
use crate::cost::{CostError, PREFIX, Scenario};
use crate::number;
use crate::quantize::{SettingsError, Value};
use serde_json::Value as Json;
use std::fmt::Write as _;

impl serde::Serialize for Recipe {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_line().serialize(serializer)
    }
}

impl<'de> serde::Deserialize<'de> for Recipe {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let line = String::deserialize(deserializer)?;
        Self::from_line(&line).map_err(serde::de::Error::custom)
    }
}

impl Recipe {
    /// The one-line form: `key=value` pairs joined by `&`, defaults left out but for the method, and what means nothing.
    pub fn to_line(&self) -> String {
        let default = Self::default();
        let mut line = String::new();
        let mut put = |key: &str, value: &str| {
            let joint = if line.is_empty() { "" } else { "&" };
            let _ = write!(line, "{joint}{key}={}", escape(value));
        };
        for field in FIELDS {
            if field.is_said(self, &default) {
                put(field.key, &(field.print)(self));
            }
            if field.key == fields::METHOD {
                for (key, value) in &self.settings {
                    put(key, &value.to_string());
                }
            }
        }
        line
    }

    /// [`to_line`](Self::to_line) and what the hardware model is to reckon with, which no compressed file holds.
    pub fn to_whole_line(&self) -> String {
        let joint = if self.cost.is_empty() { "" } else { "&" };
        self.to_line() + joint + &self.cost
    }

    /// Reads [`to_whole_line`](Self::to_whole_line) back and checks it; pairs may stand in any order.
    pub fn from_line(line: &str) -> Result<Self, SettingsError> {
        let mut pairs: Vec<(String, String)> = Vec::new();
        for pair in line.split('&').filter(|pair| !pair.is_empty()) {
            let (key, value) =
                pair.split_once('=').ok_or_else(|| refused(pair, "key=value", "no equals sign"))?;
            let value = unescape(value).ok_or_else(|| refused(key, "percent-encoded UTF-8", value))?;
            if pairs.iter().any(|(given, _)| given == key) {
                return Err(refused(key, "to be given once", "it given twice"));
            }
            pairs.push((key.to_owned(), value));
        }
        Self::from_pairs(&pairs)
    }

    fn from_pairs(pairs: &[(String, String)]) -> Result<Self, SettingsError> {
        let mut recipe = Self::default();
        // In the table's order, in which what a field changes of others comes before them.
        for field in FIELDS {
            if let Some((_, text)) = pairs.iter().find(|(key, _)| key == field.key) {
                field.read(&mut recipe, text)?;
            }
        }
        for (key, text) in pairs.iter().filter(|(key, _)| fields::find(key).is_none()) {
            let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'.';
            if key.starts_with(PREFIX) && key.bytes().all(is_plain) {
                recipe.say_cost(key, text);
            } else {
                recipe.settings.insert(key.clone(), value_from(text));
            }
        }
        recipe.check()?;
        Ok(recipe.without_absent())
    }

    fn say_cost(&mut self, key: &str, value: &str) {
        if !self.cost.is_empty() {
            self.cost.push('&');
        }
        self.cost.extend([key, "=", &escape(value)]);
    }

    /// What the hardware model is to reckon with, checked here and not where the line is read: the page's main binary passes
    /// it on.
    ///
    /// # Errors
    ///
    /// A key that is none, and a value that it does not take.
    pub fn scenario(&self) -> Result<Scenario, CostError> {
        let mut scenario = Scenario::default();
        for (id, value) in self.cost_pairs() {
            scenario.set(id, &value)?;
        }
        Ok(scenario)
    }

    /// Keys without the `cost.` before them, and values.
    pub fn cost_pairs(&self) -> impl Iterator<Item = (&str, String)> {
        self.cost.split('&').filter_map(|pair| {
            let (key, value) = pair.split_once('=')?;
            Some((key.strip_prefix(PREFIX)?, unescape(value)?))
        })
    }

    /// Says what the hardware model is to reckon with.
    pub fn set_scenario(&mut self, scenario: &Scenario) {
        self.cost.clear();
        for (key, value) in scenario.pairs() {
            self.say_cost(&key, &value);
        }
    }

    /// Reads a recipe file: a line or its pairs as JSON, alone or as the field `recipe` of what the page and the program
    /// write. With the content hash of the file that it was made for, where that is said.
    pub fn from_json(text: &str) -> Result<(Self, Option<String>), String> {
        let json: Json = serde_json::from_str(text).map_err(|error| error.to_string())?;
        let saved = json.get("recipe").unwrap_or(&json);
        let recipe = match saved {
            Json::String(line) => Self::from_line(line),
            Json::Object(pairs) => {
                let text = |(key, value): (&'_ String, &Json)| match value {
                    Json::String(text) => Ok((key.clone(), text.clone())),
                    Json::Number(number) => Ok((key.clone(), written(number))),
                    _ => Err(refused(key, "a text or a number", "neither")),
                };
                let pairs: Result<Vec<(String, String)>, SettingsError> = pairs.iter().map(text).collect();
                pairs.and_then(|pairs| Self::from_pairs(&pairs))
            }
            _ => Err(refused("recipe", "a line of key=value pairs, or an object of them", "neither")),
        };
        let hash = json.get("source_hash").and_then(Json::as_str).map(str::to_owned);
        Ok((recipe.map_err(|error| error.to_string())?, hash))
    }

    /// The fragment of a link: the whole line, and the content hash of the file that the recipe was made for.
    pub fn to_link(&self, hash: &str) -> String {
        format!("{}&hash={hash}", self.to_whole_line())
    }

    /// Reads [`to_link`](Self::to_link) back; the hash may stand anywhere in it, or nowhere.
    pub fn from_link(fragment: &str) -> Result<(Self, Option<String>), SettingsError> {
        let (hashes, rest): (Vec<&str>, Vec<&str>) =
            fragment.split('&').partition(|pair| pair.starts_with("hash="));
        let hash = hashes.first().and_then(|pair| pair.strip_prefix("hash=")).map(str::to_owned);
        Ok((Self::from_line(&rest.join("&"))?, hash))
    }

    /// Gives the field of this key what `text` says; a parameter of the method where `key` is none of the [table](FIELDS)'s.
    pub fn set(&mut self, key: &str, text: &str) -> Result<(), SettingsError> {
        if let Some(field) = fields::find(key) {
            return field.read(self, text);
        }
        self.settings.insert(key.to_owned(), value_from(text));
        Ok(())
    }
}

/// Reads a method parameter's value: a whole number, else a number, else a word.
pub fn value_from(text: &str) -> Value {
    let whole = || text.parse().ok().map(Value::Integer);
    // However it is written: 4.0 prints as 4.
    let number = || {
        number::parse(text)
            .map(|number| number.to_string().parse().map_or(Value::Number(number), Value::Integer))
    };
    whole().or_else(number).unwrap_or_else(|| Value::Choice(text.to_owned()))
}

/// A JSON number in digits: as the standard library writes it, since `serde_json` has tables of its own for that.
fn written(number: &serde_json::Number) -> String {
    match (number.as_u64(), number.as_f64()) {
        (Some(whole), _) => whole.to_string(),
        (None, real) => real.unwrap_or(f64::NAN).to_string(),
    }
}

/// Percent-encodes what could end a value inside an address.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.:,*?/".contains(&byte) {
            escaped.push(byte as char);
        } else {
            let _ = write!(escaped, "%{byte:02X}");
        }
    }
    escaped
}

fn unescape(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        rest = tail;
        if *first == b'%' {
            let (digits, tail) = rest.split_at_checked(2)?;
            bytes.push(u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?);
            rest = tail;
        } else {
            bytes.push(*first);
        }
    }
    String::from_utf8(bytes).ok()
}
