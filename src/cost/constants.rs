//! The table of constants: what each operation, bit and cycle costs. The program's flags, lines of a recipe and
//! `docs/hardware-model.md` come from it.

use super::CostError;
use crate::number;
use std::fmt::Write as _;

/// What stands before a constant's key in lines and links.
pub const PREFIX: &str = "cost.";

/// The key of the technology in lines.
pub(super) const TECHNOLOGY: &str = "technology";

/// Feature size of the chips that the default energies were published for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Technology {
    /// 45 nm.
    Nm45,
    /// 7 nm.
    #[default]
    Nm7,
}

impl Technology {
    /// Every technology.
    pub const ALL: [Self; 2] = [Self::Nm45, Self::Nm7];

    /// Its name on the command line and in lines: nanometres.
    pub const fn id(self) -> &'static str {
        match self {
            Self::Nm45 => "45",
            Self::Nm7 => "7",
        }
    }

    /// Its name for people.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Nm45 => "45 nm",
            Self::Nm7 => "7 nm",
        }
    }

    /// The technology of an id.
    pub fn from_id(id: &str) -> Result<Self, CostError> {
        let found = Self::ALL.into_iter().find(|technology| technology.id() == id);
        found.ok_or_else(|| CostError::new(format!("{PREFIX}{TECHNOLOGY}"), "45 or 7", id))
    }
}

/// One constant.
#[derive(Debug, Clone, Copy)]
pub struct Constant {
    /// Which one.
    pub key: Key,
    /// Its name in lines, links and flags.
    pub id: &'static str,
    /// What it is at 45 nm and at 7 nm where nothing is said.
    pub defaults: [f64; 2],
    /// Smallest and largest value.
    pub range: (f64, f64),
}

/// What people read of a constant, in a table of its own: the page's main binary checks lines and has no use for it.
struct Words {
    title: &'static str,
    unit: &'static str,
    source: &'static str,
}

impl Constant {
    /// What it is where nothing is said.
    pub const fn default(&self, technology: Technology) -> f64 {
        let [old, new] = self.defaults;
        match technology {
            Technology::Nm45 => old,
            Technology::Nm7 => new,
        }
    }

    fn words(&self) -> &'static Words {
        &WORDS[self.key as usize]
    }

    /// Its name for people.
    pub fn title(&self) -> &'static str {
        self.words().title
    }

    /// Its unit; empty for a plain number.
    pub fn unit(&self) -> &'static str {
        self.words().unit
    }

    /// Where its defaults are from.
    pub fn source(&self) -> &'static str {
        self.words().source
    }

    /// The constant of this id.
    pub fn find(id: &str) -> Option<&'static Self> {
        CONSTANTS.iter().find(|constant| constant.id == id)
    }
}

/// Declares the keys and the table in one order, so that a key is its row's place.
macro_rules! constants {
    ($($(#[$doc:meta])* $key:ident $id:literal, $title:literal, $unit:literal, $defaults:expr, $range:expr, $source:expr;)*) => {
        /// Names of constants.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
        pub enum Key {
            $($(#[$doc])* $key,)*
        }

        /// Every constant, in the order of [`Key`].
        pub const CONSTANTS: &[Constant] = &[
            $(Constant {
                key: Key::$key,
                id: $id,
                defaults: $defaults,
                range: $range,
            },)*
        ];

        /// Their words, in the same order.
        const WORDS: &[Words] = &[$(Words { title: $title, unit: $unit, source: $source },)*];
    };
}

/// Where energies of operations and memories are from.
const ENERGIES: &str = "45 nm: Horowitz, ISSCC 2014; 7 nm: Jouppi et al., ISCA 2021, as quoted by others";
/// Where areas are from.
const AREAS: &str = "45 nm, for both: Horowitz's table as it is commonly quoted, not checked against it";
/// Of numbers that no one published.
const ASSUMED: &str = "assumption";
/// What fits two printed formats.
const HILL: &str = "fit to M7E6 and M8E6 of Hill et al., arXiv 1808.02513, 28 nm";

/// Any positive number that can be reckoned with.
const POSITIVE: (f64, f64) = (1e-6, 1e9);
/// Exponents of laws.
const EXPONENTS: (f64, f64) = (0.01, 10.0);

constants! {
    /// Multiplication in single precision.
    MultiplyFp32 "mul_fp32", "multiplication, fp32", "pJ", [3.7, 1.31], POSITIVE, ENERGIES;
    /// Multiplication in half precision.
    MultiplyFp16 "mul_fp16", "multiplication, fp16", "pJ", [1.1, 0.34], POSITIVE, ENERGIES;
    /// Addition in single precision.
    AddFp32 "add_fp32", "addition, fp32", "pJ", [0.9, 0.38], POSITIVE, ENERGIES;
    /// Addition in half precision.
    AddFp16 "add_fp16", "addition, fp16", "pJ", [0.4, 0.16], POSITIVE, ENERGIES;
    /// Multiplication of 32-bit integers.
    MultiplyInt32 "mul_int32", "multiplication, int32", "pJ", [3.1, 1.48], POSITIVE, ENERGIES;
    /// Multiplication of 8-bit integers.
    MultiplyInt8 "mul_int8", "multiplication, int8", "pJ", [0.2, 0.07], POSITIVE, ENERGIES;
    /// Addition of 32-bit integers.
    AddInt32 "add_int32", "addition, int32", "pJ", [0.1, 0.03], POSITIVE, ENERGIES;
    /// Addition of 8-bit integers.
    AddInt8 "add_int8", "addition, int8", "pJ", [0.03, 0.007], POSITIVE, ENERGIES;
    /// Additions that an operation on one element counts for.
    Element "element", "operation on one element", "fp32 additions", [1.0, 1.0], POSITIVE, ASSUMED;
    /// An access to 8 KB on the chip.
    Sram8K "sram_8k", "access, 8 KB on chip", "pJ per 64 bits", [10.0, 7.5], POSITIVE, ENERGIES;
    /// An access to 32 KB on the chip.
    Sram32K "sram_32k", "access, 32 KB on chip", "pJ per 64 bits", [20.0, 8.5], POSITIVE, ENERGIES;
    /// An access to 1 MB on the chip.
    Sram1M "sram_1m", "access, 1 MB on chip", "pJ per 64 bits", [100.0, 14.0], POSITIVE, ENERGIES;
    /// An access to DDR memory.
    Dram "dram", "access, DDR3/4", "pJ per 64 bits", [1300.0, 1300.0], POSITIVE, ENERGIES;
    /// An access to stacked memory.
    Hbm2 "hbm2", "access, HBM2", "pJ per 64 bits", [350.0, 350.0], POSITIVE, "middle of the 250 to 450 of Jouppi et al., for both";
    /// A look-up in a codebook.
    LookUp "lookup", "look-up in a codebook", "pJ", [10.0, 7.5], POSITIVE, "assumption: one access to 8 KB";
    /// A symbol of a Huffman or rANS stream.
    EntropySymbol "entropy_symbol", "symbol decoded by a table", "pJ", [11.0, 7.8], POSITIVE, "assumption: one access to 8 KB and ten int32 additions";
    /// A symbol of an adaptive stream.
    ContextSymbol "context_symbol", "symbol decoded by adaptive decisions", "pJ", [97.2, 62.76], POSITIVE, "assumption: six decisions of one access to 8 KB and two int32 multiplications";
    /// Multiply-adds that an operand from on-chip memory serves.
    Reuse "reuse", "multiply-adds per operand read from on-chip memory", "", [16.0, 16.0], (1.0, 1e9), "assumption: an array of 16 by 16 units, operands shared along rows and columns";
    /// Bytes of on-chip memory for activations.
    Capacity "capacity", "on-chip memory for activations", "bytes", [1_048_576.0, 1_048_576.0], (1.0, 1e15), "assumption: the 1 MB whose energy is known";
    /// Units of single precision.
    Units "units_fp32", "units in the area of the chip, fp32", "multiply-adds per cycle", [256.0, 256.0], POSITIVE, "assumption: an array of 16 by 16";
    /// Operations on elements per cycle.
    ElementsPerCycle "elements_per_cycle", "operations on elements", "per cycle", [16.0, 16.0], POSITIVE, ASSUMED;
    /// The clock.
    Clock "clock", "clock, of every format", "GHz", [1.0, 1.0], POSITIVE, ASSUMED;
    /// Area of a multiplier in single precision.
    AreaMultiplyFp32 "area_mul_fp32", "area of a multiplier, fp32", "µm²", [7700.0, 7700.0], POSITIVE, AREAS;
    /// Area of a multiplier in half precision.
    AreaMultiplyFp16 "area_mul_fp16", "area of a multiplier, fp16", "µm²", [1640.0, 1640.0], POSITIVE, AREAS;
    /// Area of an adder in single precision.
    AreaAddFp32 "area_add_fp32", "area of an adder, fp32", "µm²", [4184.0, 4184.0], POSITIVE, AREAS;
    /// Area of an adder in half precision.
    AreaAddFp16 "area_add_fp16", "area of an adder, fp16", "µm²", [1360.0, 1360.0], POSITIVE, AREAS;
    /// Area of a multiplier of 32-bit integers.
    AreaMultiplyInt32 "area_mul_int32", "area of a multiplier, int32", "µm²", [3495.0, 3495.0], POSITIVE, AREAS;
    /// Area of a multiplier of 8-bit integers.
    AreaMultiplyInt8 "area_mul_int8", "area of a multiplier, int8", "µm²", [282.0, 282.0], POSITIVE, AREAS;
    /// Area of an adder of 32-bit integers.
    AreaAddInt32 "area_add_int32", "area of an adder, int32", "µm²", [137.0, 137.0], POSITIVE, AREAS;
    /// Area of an adder of 8-bit integers.
    AreaAddInt8 "area_add_int8", "area of an adder, int8", "µm²", [36.0, 36.0], POSITIVE, AREAS;
    /// Bandwidth of on-chip memory.
    SramBandwidth "sram_bandwidth", "bandwidth, on chip", "GB/s", [128.0, 128.0], POSITIVE, "assumption: what 256 fp32 units take with a reuse of 16 at 1 GHz";
    /// Bandwidth of DDR memory.
    DramBandwidth "dram_bandwidth", "bandwidth, DRAM", "GB/s", [25.6, 25.6], POSITIVE, "one channel of DDR4-3200: 3.2 GT/s of 8 bytes";
    /// Bandwidth of stacked memory.
    Hbm2Bandwidth "hbm2_bandwidth", "bandwidth, HBM2", "GB/s", [256.0, 256.0], POSITIVE, "one stack: 2 GT/s of 128 bytes";
    /// Look-ups per cycle.
    LookUpsPerCycle "lookups_per_cycle", "look-ups in a codebook", "per cycle", [16.0, 16.0], POSITIVE, "assumption: one table for each row of the array";
    /// Symbols per cycle of a Huffman or rANS stream.
    EntropySymbolsPerCycle "entropy_symbols_per_cycle", "symbols decoded by a table", "per cycle", [16.0, 16.0], POSITIVE, "assumption: 16 streams side by side";
    /// Symbols per cycle of an adaptive stream.
    ContextSymbolsPerCycle "context_symbols_per_cycle", "symbols decoded by adaptive decisions", "per cycle", [2.0, 2.0], POSITIVE, "assumption: 12 streams side by side, six cycles a symbol";
    /// What of a unit's energy does not shrink, by Hill's figures.
    HillFixed "hill_fixed", "Hill: share of a unit's energy that does not shrink", "", [0.036, 0.036], (1e-6, 0.999), HILL;
    /// How a unit's energy grows with its significand, by Hill's figures.
    HillEnergyExponent "hill_energy_exponent", "Hill: exponent of energy", "", [1.2, 1.2], EXPONENTS, HILL;
    /// How a unit's speed falls with its significand, by Hill's figures.
    HillSpeedExponent "hill_speed_exponent", "Hill: exponent of speed", "", [1.786, 1.786], EXPONENTS, HILL;
}

/// A value for every constant; equal where all values are, whatever was said.
#[derive(Debug, Clone)]
pub struct Constants {
    technology: Technology,
    /// What was said of each, in the table's order.
    said: [Option<f64>; CONSTANTS.len()],
}

impl PartialEq for Constants {
    fn eq(&self, other: &Self) -> bool {
        let is_same = |constant: &Constant| self.get(constant.key) == other.get(constant.key);
        self.technology == other.technology && CONSTANTS.iter().all(is_same)
    }
}

impl Default for Constants {
    fn default() -> Self {
        Self::of(Technology::default())
    }
}

impl Constants {
    /// The published values of a technology, and what is assumed beside them.
    pub const fn of(technology: Technology) -> Self {
        Self { technology, said: [None; CONSTANTS.len()] }
    }

    /// The technology whose values stand where nothing was said.
    pub const fn technology(&self) -> Technology {
        self.technology
    }

    /// Chooses the technology; what was said stays.
    pub const fn set_technology(&mut self, technology: Technology) {
        self.technology = technology;
    }

    /// The value of a constant.
    pub fn get(&self, key: Key) -> f64 {
        let at = key as usize;
        let said = self.said.get(at).copied().flatten();
        said.or_else(|| Some(CONSTANTS.get(at)?.default(self.technology))).unwrap_or(f64::NAN)
    }

    /// Whether it is what it is where nothing is said.
    pub fn is_default(&self, constant: &Constant) -> bool {
        self.get(constant.key) == constant.default(self.technology)
    }

    /// Sets the constant of this id, or the technology, to what `text` says.
    pub fn set(&mut self, id: &str, text: &str) -> Result<(), CostError> {
        if id == TECHNOLOGY {
            self.technology = Technology::from_id(text)?;
            return Ok(());
        }
        let Some(constant) = Constant::find(id) else {
            let expected =
                format!("a constant of docs/hardware-model.md, such as {PREFIX}{}", CONSTANTS[0].id);
            return Err(CostError::new("cost", expected, crate::formats::shown(id)));
        };
        let (least, most) = constant.range;
        let value = number::parse(text).filter(|value| (least..=most).contains(value));
        let Some(value) = value else {
            let expected = format!("a number from {least} to {most}");
            return Err(CostError::new(format!("{PREFIX}{id}"), expected, crate::formats::shown(text)));
        };
        self.put(constant, value);
        Ok(())
    }

    /// Sets a constant, within its range.
    pub(super) fn put(&mut self, constant: &Constant, value: f64) {
        let (least, most) = constant.range;
        if let Some(said) = self.said.get_mut(constant.key as usize) {
            *said = Some(value.clamp(least, most));
        }
    }

    /// Pairs of a key with `cost.` before it and a value: what differs from its default, and the technology if it does.
    pub(super) fn pairs(&self) -> Vec<(String, String)> {
        let mut pairs = Vec::new();
        if self.technology != Technology::default() {
            pairs.push((format!("{PREFIX}{TECHNOLOGY}"), self.technology.id().to_owned()));
        }
        for constant in CONSTANTS.iter().filter(|constant| !self.is_default(constant)) {
            pairs.push((format!("{PREFIX}{}", constant.id), self.get(constant.key).to_string()));
        }
        pairs
    }

    /// The pairs that differ, `cost.key=value` joined by `&`.
    pub fn to_line(&self) -> String {
        let pairs: Vec<String> =
            self.pairs().into_iter().map(|(key, value)| format!("{key}={value}")).collect();
        pairs.join("&")
    }

    /// Reads [`to_line`](Self::to_line) back; pairs may stand in any order, and what is left out has its default.
    ///
    /// ```
    /// use quantscope::cost::{Constants, Key};
    ///
    /// let constants = Constants::from_line("cost.technology=45&cost.dram=640")?;
    /// assert_eq!((constants.get(Key::Dram), constants.get(Key::MultiplyFp32)), (640.0, 3.7));
    /// assert_eq!(constants.to_line(), "cost.technology=45&cost.dram=640");
    /// let error = Constants::from_line("cost.dram=0").unwrap_err().to_string();
    /// assert_eq!(error, "cost.dram: expected a number from 0.000001 to 1000000000, found 0");
    /// # Ok::<(), quantscope::cost::CostError>(())
    /// ```
    pub fn from_line(line: &str) -> Result<Self, CostError> {
        let mut constants = Self::default();
        let mut given: Vec<&str> = Vec::new();
        for pair in line.split('&').filter(|pair| !pair.is_empty()) {
            let (id, text) = split(pair)?;
            if given.contains(&id) {
                return Err(CostError::new(format!("{PREFIX}{id}"), "to be given once", "it given twice"));
            }
            given.push(id);
            constants.set(id, text)?;
        }
        Ok(constants)
    }

    /// Sets what a pair `key=value` says; `cost.` may stand before the key.
    pub fn set_pair(&mut self, pair: &str) -> Result<(), CostError> {
        let (id, text) = split(pair)?;
        self.set(id, text)
    }
}

/// A pair's id, without what stands before it in lines, and its value.
fn split(pair: &str) -> Result<(&str, &str), CostError> {
    let wrong = || CostError::new("cost", "key=value", crate::formats::shown(pair));
    let (id, text) = pair.split_once('=').ok_or_else(wrong)?;
    Ok((id.strip_prefix(PREFIX).unwrap_or(id), text))
}

impl serde::Serialize for Constants {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_line().serialize(serializer)
    }
}

impl<'de> serde::Deserialize<'de> for Constants {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let line = String::deserialize(deserializer)?;
        Self::from_line(&line).map_err(serde::de::Error::custom)
    }
}

/// The table as Markdown: what `docs/hardware-model.md` holds.
pub fn markdown() -> String {
    let mut text =
        "| key | what it is | unit | 45 nm | 7 nm | allowed | source |\n|---|---|---|---|---|---|---|\n"
            .to_owned();
    for constant in CONSTANTS {
        let ([old, new], (least, most)) = (constant.defaults, constant.range);
        // Writing to a string cannot fail.
        let _ = writeln!(
            text,
            "| `{}` | {} | {} | {old} | {new} | {least} to {most} | {} |",
            constant.id,
            constant.title(),
            constant.unit(),
            constant.source()
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_documented_table_of_constants_is_this_one() {
        assert!(
            include_str!("../../docs/hardware-model.md").contains(markdown().trim_end()),
            "{}",
            markdown()
        );
    }

    #[test]
    fn every_row_stands_at_the_place_of_its_key_and_its_defaults_are_allowed() {
        for (at, constant) in CONSTANTS.iter().enumerate() {
            assert_eq!(constant.key as usize, at, "{}", constant.id);
            let (least, most) = constant.range;
            assert!(least > 0.0 && most.is_finite());
            assert!(constant.defaults.iter().all(|value| (least..=most).contains(value)), "{}", constant.id);
            assert!(CONSTANTS[..at].iter().all(|other| other.id != constant.id), "{}", constant.id);
        }
    }

    #[test]
    fn assumptions_that_follow_from_other_rows_follow_from_them() {
        for technology in Technology::ALL {
            let constants = Constants::of(technology);
            let get = |key| constants.get(key);
            assert_eq!(get(Key::LookUp), get(Key::Sram8K));
            assert!((get(Key::EntropySymbol) - get(Key::Sram8K) - 10.0 * get(Key::AddInt32)).abs() < 1e-12);
            let decision = get(Key::Sram8K) + 2.0 * get(Key::MultiplyInt32);
            assert!((get(Key::ContextSymbol) - 6.0 * decision).abs() < 1e-12);
            let operands = get(Key::Units) * 2.0 * 4.0 / get(Key::Reuse) * get(Key::Clock);
            assert_eq!(get(Key::SramBandwidth), operands);
        }
    }

    #[test]
    fn lines_say_what_differs_and_are_read_back() {
        assert_eq!(Constants::default().to_line(), "");
        for constant in CONSTANTS {
            let mut constants = Constants::of(Technology::Nm45);
            constants.put(constant, constant.range.0);
            let line = constants.to_line();
            assert_eq!(line.matches('=').count(), 2, "{line}");
            assert_eq!(Constants::from_line(&line), Ok(constants));
        }
        // What was said and is the default is not said again, whatever the technology was then.
        assert_eq!(Constants::from_line("cost.mul_fp32=1.31").unwrap().to_line(), "");
        assert_eq!(Constants::from_line("cost.mul_fp32=1.31"), Ok(Constants::default()));
        let mut constants = Constants::default();
        constants.set_pair("clock=2").unwrap();
        constants.set_technology(Technology::Nm45);
        assert_eq!(constants.to_line(), "cost.technology=45&cost.clock=2");
    }

    #[test]
    fn constants_that_are_zero_negative_or_missing_are_refused() {
        for text in ["0", "-1", "", "inf", "1e999", "three"] {
            assert!(Constants::default().set("dram", text).is_err(), "{text}");
        }
        let said = |line: &str| Constants::from_line(line).unwrap_err().to_string();
        assert_eq!(
            said("cost.clock="),
            "cost.clock: expected a number from 0.000001 to 1000000000, found nothing"
        );
        assert_eq!(said("cost.reuse=0.5"), "cost.reuse: expected a number from 1 to 1000000000, found 0.5");
        assert_eq!(said("cost.technology=14"), "cost.technology: expected 45 or 7, found 14");
        assert_eq!(said("cost.dram"), "cost: expected key=value, found cost.dram");
        assert_eq!(
            said("cost.watts=1"),
            "cost: expected a constant of docs/hardware-model.md, such as cost.mul_fp32, found watts"
        );
        assert_eq!(
            said("cost.dram=1&cost.dram=2"),
            "cost.dram: expected to be given once, found it given twice"
        );
    }
}
