//! What a line says of hardware: formats, batch, storage, and [constants](Constants). It decides nothing of a compressed file.

use super::constants::TECHNOLOGY;
use super::design::{Design, LARGEST_BATCH, Stored};
use super::{Arithmetic, Constants, CostError, PREFIX};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// What a format is called where a line names none: the 14-bit format of Hill et al. 2018.
const DEFAULT_FORMAT: &str = "m7e6";

const FORMAT: &str = "format";
const ACTIVATIONS: &str = "activations";
const ACCUMULATOR: &str = "accumulator";
const BATCH: &str = "batch";
const STORAGE: &str = "storage";
const PACKED: &str = "packed";
const PADDED: &str = "padded";

/// What a line says of hardware.
#[derive(Debug, Clone, PartialEq)]
pub struct Scenario {
    /// The format of weights, and of activations unless they have their own.
    format: String,
    activations: Option<String>,
    accumulator: Option<String>,
    /// Inferences for which weights are read once.
    batch: u32,
    /// Whether every number takes whole bytes.
    padded: bool,
    /// What operations, bits and cycles cost.
    pub constants: Constants,
}

impl Default for Scenario {
    fn default() -> Self {
        Self {
            format: DEFAULT_FORMAT.to_owned(),
            activations: None,
            accumulator: None,
            batch: 1,
            padded: false,
            constants: Constants::default(),
        }
    }
}

/// Refuses what names no format that can be computed in.
fn format_name(id: &str, text: &str) -> Result<String, CostError> {
    Arithmetic::parse(&format!("{PREFIX}{id}"), text).map(|_| text.to_owned())
}

impl Scenario {
    /// Sets what `text` says of the key `id`, which stands behind `cost.` in lines.
    pub fn set(&mut self, id: &str, text: &str) -> Result<(), CostError> {
        let own = |text: &str| (!text.is_empty()).then(|| format_name(id, text)).transpose();
        let wrong = |expected: String| {
            Err(CostError::new(format!("{PREFIX}{id}"), expected, crate::formats::shown(text)))
        };
        match id {
            FORMAT => self.format = format_name(id, text)?,
            ACTIVATIONS => self.activations = own(text)?,
            ACCUMULATOR => self.accumulator = own(text)?,
            BATCH => match text.parse() {
                Ok(batch @ 1..=LARGEST_BATCH) => self.batch = batch,
                _ => return wrong(format!("a whole number from 1 to {LARGEST_BATCH}")),
            },
            STORAGE => match text {
                PACKED | PADDED => self.padded = text == PADDED,
                _ => return wrong(format!("{PACKED} or {PADDED}")),
            },
            _ => self.constants.set(id, text)?,
        }
        Ok(())
    }

    /// What [`set`](Self::set) takes back for a key that is no constant's; nothing where nothing is said.
    pub fn text(&self, id: &str) -> String {
        match id {
            FORMAT => self.format.clone(),
            ACTIVATIONS => self.activations.clone().unwrap_or_default(),
            ACCUMULATOR => self.accumulator.clone().unwrap_or_default(),
            BATCH => self.batch.to_string(),
            STORAGE => if self.padded { PADDED } else { PACKED }.to_owned(),
            TECHNOLOGY => self.constants.technology().id().to_owned(),
            _ => String::new(),
        }
    }

    /// Pairs of a key with `cost.` before it and a value: what differs from its default.
    pub fn pairs(&self) -> Vec<(String, String)> {
        let default = Self::default();
        let mut pairs = Vec::new();
        for id in [FORMAT, ACTIVATIONS, ACCUMULATOR, BATCH, STORAGE] {
            let text = self.text(id);
            if text != default.text(id) {
                pairs.push((format!("{PREFIX}{id}"), text));
            }
        }
        pairs.extend(self.constants.pairs());
        pairs
    }

    /// The pairs as a line, `cost.key=value` joined by `&`.
    pub fn to_line(&self) -> String {
        let mut line = String::new();
        for (key, value) in self.pairs() {
            // Writing to a string cannot fail.
            let _ = write!(line, "{}{key}={value}", if line.is_empty() { "" } else { "&" });
        }
        line
    }

    /// What is carried out, beside the baselines.
    pub fn design(&self) -> Result<Design, CostError> {
        let design = Design {
            batch: self.batch,
            padded: self.padded,
            ..Design::named(&self.format, self.activations.as_deref(), self.accumulator.as_deref())?
        };
        design.check()?;
        Ok(design)
    }

    /// All that is compared: the baselines, what is asked for unless it is one of them, and that with the weights of a
    /// compressed file, given by its name and how it stores tensors.
    pub fn designs(
        &self,
        stored: Option<(&str, BTreeMap<String, Stored>)>,
    ) -> Result<Vec<Design>, CostError> {
        let design = self.design()?;
        let mut all = Design::baselines().map(|base| base.beside(&design)).to_vec();
        let units = |design: &Design| (design.weights, design.activations, design.accumulator);
        if all.iter().all(|base| units(base) != units(&design)) {
            all.push(design.clone());
        }
        if let Some((name, tensors)) = stored {
            all.push(Design { name: format!("{}, {name}", design.name), tensors, ..design });
        }
        Ok(all)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{CONSTANTS, Decode};
    use super::*;

    // What `docs/hardware-model.md` holds of keys that are no constants.
    fn markdown() -> String {
        let rows = [
            (FORMAT, "a number format", DEFAULT_FORMAT, "weights and activations are multiplied in it"),
            (ACTIVATIONS, "a number format", "as `cost.format`", "activations, where they have their own"),
            (ACCUMULATOR, "a number format", "fp32 of floats, else int32", "sums are kept in it"),
            (BATCH, "1 to 1048576", "1", "inferences for which weights are read once"),
            (STORAGE, "`packed`, `padded`", PACKED, "numbers side by side, or each in whole bytes"),
            (
                TECHNOLOGY,
                "`45`, `7`",
                "7",
                "feature size in nm whose published energies stand where nothing is said",
            ),
        ];
        let mut text = "| key | values | default | what it says |\n|---|---|---|---|\n".to_owned();
        for (id, values, default, summary) in rows {
            let _ = writeln!(text, "| `{PREFIX}{id}` | {values} | {default} | {summary} |");
        }
        text
    }

    fn of(pairs: &[(&str, &str)]) -> Scenario {
        let mut scenario = Scenario::default();
        for (id, text) in pairs {
            scenario.set(id, text).unwrap();
        }
        scenario
    }

    #[test]
    fn lines_say_what_differs_and_are_read_back() {
        assert_eq!(Scenario::default().to_line(), "");
        let said = of(&[
            ("dram", "640"),
            ("technology", "45"),
            ("storage", "padded"),
            ("batch", "16"),
            ("accumulator", "fp16"),
            ("activations", "int8"),
            ("format", "e4m3"),
        ]);
        let line = "cost.format=e4m3&cost.activations=int8&cost.accumulator=fp16&cost.batch=16&cost.storage=padded&cost.technology=45&cost.dram=640";
        assert_eq!(said.to_line(), line);
        let mut again = Scenario::default();
        for (key, value) in said.pairs() {
            again.set(key.strip_prefix(PREFIX).unwrap(), &value).unwrap();
        }
        assert_eq!(again, said);
        again.set("activations", "").unwrap();
        assert!(!again.to_line().contains("activations"));
    }

    #[test]
    fn what_cannot_be_is_refused_in_a_sentence() {
        for (id, text, sentence) in [
            ("batch", "0", "cost.batch: expected a whole number from 1 to 1048576, found 0"),
            ("batch", "two", "cost.batch: expected a whole number from 1 to 1048576, found two"),
            ("storage", "", "cost.storage: expected packed or padded, found nothing"),
            ("clock", "-1", "cost.clock: expected a number from 0.000001 to 1000000000, found -1"),
        ] {
            assert_eq!(Scenario::default().set(id, text).unwrap_err().to_string(), sentence);
        }
        for text in ["", "fp7", "m99e4"] {
            let error = Scenario::default().set("format", text).unwrap_err().to_string();
            assert!(error.starts_with("cost.format: ") && error.contains(": expected "), "{error}");
        }
    }

    #[test]
    fn a_baseline_that_is_asked_for_stands_once_and_a_file_beside_what_it_is_multiplied_in() {
        let names = |scenario: &Scenario, stored| {
            let designs = scenario.designs(stored).unwrap();
            designs.into_iter().map(|design| design.name).collect::<Vec<_>>()
        };
        assert_eq!(names(&of(&[]), None), ["fp32", "fp16", "int8", "m7e6"]);
        let half = of(&[("format", "fp16")]);
        let tensors = BTreeMap::from([("w".to_owned(), Stored { bits: 2.0, decode: Decode::Context })]);
        assert_eq!(names(&half, Some(("a file", tensors))), ["fp32", "fp16", "int8", "fp16, a file"]);
        let both = of(&[("format", "int4"), ("activations", "fp16"), ("batch", "8"), ("storage", "padded")]);
        let designs = both.designs(None).unwrap();
        assert!(designs.iter().all(|design| design.batch == 8 && design.padded));
        assert_eq!((&*designs[3].name, designs[3].accumulator), ("int4×fp16", Arithmetic::FP32));
    }

    #[test]
    fn no_constant_has_a_key_of_ours_and_the_documented_table_is_this_one() {
        for constant in CONSTANTS {
            assert_eq!(Scenario::default().text(constant.id), "", "{}", constant.id);
        }
        assert!(
            include_str!("../../docs/hardware-model.md").contains(markdown().trim_end()),
            "{}",
            markdown()
        );
    }
}
