//! How a group of weights is coded: which symbol a weight gets, and which value a symbol stands for.
//!
//! A quantizer is two maps (Gersho and Gray 1992, chapter 5): from weights to symbols, which the encoder alone knows, and from
//! symbols to values, the *codebook*, which is a record of the file. There are three kinds, a file each: [`levels`], a list of
//! values with the rule by which a weight finds its own; [`grid`], evenly spaced values, assigned by what their symbols cost
//! the context coder; and [`scaled`], the values of a number format, times a scale for every few weights. [`Codebook`] is what a
//! decoder reads of any, [`Code`] what an encoder has.
//!
//! ```
//! use quantscope::code::{Code, Codebook, Quantizer};
//!
//! let code = Code::levels(Quantizer::nearest(vec![-1.0, 0.5]), None);
//! let mut symbols = Vec::new();
//! code.assign(&[0.4, -3.0], Default::default(), Default::default(), None, &mut symbols)?;
//! assert_eq!(symbols, [1, 0]);
//!
//! let codebook = Codebook::from_bytes(&code.codebook().to_bytes())?;
//! let mut values = Vec::new();
//! codebook.extend_values(&symbols, Default::default(), &mut values);
//! assert_eq!(values, [0.5, -1.0]);
//! # Ok::<(), quantscope::entropy::CodeError>(())
//! ```

pub mod grid;
pub mod levels;
pub mod rate_aware;
pub mod scaled;

pub use grid::{Grid, GridCode};
pub use levels::{LevelCode, Levels, MAX_LEVELS, Quantizer, Rule};
pub use rate_aware::RateAware;
pub use scaled::{Fit, ScaleType, Scaled, ScaledCode};

use crate::compensation::ErrorCosts;
use crate::entropy::{CodeError, Context, Numbering, Predictor, Rows};
use crate::tensor::Dtype;
use serde::{Deserialize, Serialize};

/// Types of values and scales, by their number in records.
const TYPES: [Dtype; 3] = [Dtype::F32, Dtype::F16, Dtype::Bf16];

/// Bits of a level by the papers' formulas.
const LEVEL_BITS: f64 = 32.0;

/// The kinds of codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A list of values; every weight finds its own.
    Levels,
    /// Evenly spaced values, assigned in the order of coding.
    Grid,
    /// The values of a number format, times a scale for every few weights.
    Scaled,
}

impl Kind {
    /// Every kind, by its number in records.
    pub const ALL: [Self; 3] = [Self::Levels, Self::Grid, Self::Scaled];

    /// Bits of the codebooks of groups with so many levels in all, as they are predicted and as the papers' formulas have them;
    /// the few bytes that tell a grid or a number format are taken to be nothing.
    pub fn side_bits(self, levels: f64) -> f64 {
        match self {
            Self::Levels => levels * LEVEL_BITS,
            Self::Grid | Self::Scaled => 0.0,
        }
    }

    /// Whether a weight's symbol depends on those of others, so that no other coder than their own can tell what symbols cost.
    pub const fn is_joint(self) -> bool {
        matches!(self, Self::Grid)
    }
}

/// From symbols to values, whatever the kind.
pub trait Decode {
    /// Its kind.
    fn kind(&self) -> Kind;

    /// Number of symbols, 1 to 65536.
    fn symbols(&self) -> usize;

    /// Whether symbol 0 is an exact zero that is not among the levels.
    fn pruned(&self) -> bool {
        false
    }

    /// How symbols are numbered, for a coder that expects neighbours to be alike.
    fn numbering(&self) -> Numbering;

    /// Appends the values that `symbols` stand for; 0 for one that stands for none, and where a scale is missing.
    fn extend_values(&self, symbols: &[u16], scales: Scales<'_>, values: &mut Vec<f32>);

    /// Type and number of the scales of so many symbols, which lie in their tensor as `rows` says; `None` where there are none.
    fn scales(&self, symbols: usize, rows: Rows) -> Option<(Dtype, usize)> {
        let _ = (symbols, rows);
        None
    }

    /// Appends what a record has of it behind the byte of its kind.
    fn write(&self, record: &mut Vec<u8>);

    /// Number of levels, without the zero of pruned weights.
    fn levels(&self) -> usize {
        self.symbols() - usize::from(self.pruned())
    }
}

/// What values are multiplied by.
#[derive(Debug, Clone, Copy, Default)]
pub struct Scales<'a> {
    /// Little-endian elements of their type, in the order of the blocks.
    pub bytes: &'a [u8],
    /// Where the symbols lie in their tensor.
    pub rows: Rows,
}

/// What weights were given beside their symbols.
#[derive(Debug, Default)]
pub struct Assigned {
    /// What the symbols will be predicted by, where they were chosen for it.
    pub predictor: Option<Predictor>,
    /// The scales of their blocks, as they are stored, with their type.
    pub scales: Option<(Dtype, Vec<u8>)>,
}

impl Assigned {
    /// The scales of symbols that lie in their tensor as `rows` says.
    pub fn scales(&self, rows: Rows) -> Scales<'_> {
        Scales { bytes: self.scales.as_ref().map_or(&[], |(_, bytes)| bytes), rows }
    }
}

/// The values that symbols stand for, as a file has them.
#[derive(Debug, Clone, PartialEq)]
pub enum Codebook {
    /// A list of values.
    Levels(Levels),
    /// Evenly spaced values.
    Grid(Grid),
    /// The values of a number format, times a scale for every few weights.
    Scaled(Scaled),
}

impl std::ops::Deref for Codebook {
    type Target = dyn Decode;

    fn deref(&self) -> &Self::Target {
        match self {
            Self::Levels(levels) => levels,
            Self::Grid(grid) => grid,
            Self::Scaled(scaled) => scaled,
        }
    }
}

impl Codebook {
    /// The levels, where it is a list of some.
    pub const fn as_levels(&self) -> Option<&Levels> {
        if let Self::Levels(levels) = self { Some(levels) } else { None }
    }

    /// A codebook of these levels; if `pruned`, symbol 0 is an exact zero and the levels are symbols 1 and up.
    pub fn of_levels(levels: Vec<f32>, pruned: bool) -> Result<Self, CodeError> {
        Levels::new(levels, pruned).map(Self::Levels)
    }

    /// The codebook whose symbol s stands for (s − `centre`)·`step`.
    pub fn of_grid(step: f32, centre: u16, symbols: usize) -> Result<Self, CodeError> {
        Grid::new(step, centre, symbols).map(Self::Grid)
    }

    /// Its record: the byte of its kind, and what the kind has.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut record = vec![self.kind() as u8];
        self.write(&mut record);
        record
    }

    /// Reads [`to_bytes`](Self::to_bytes) back.
    pub fn from_bytes(record: &[u8]) -> Result<Self, CodeError> {
        let (kind, body) = record.split_first().ok_or_else(|| malformed("the byte of a kind", "none"))?;
        match Kind::ALL.get(usize::from(*kind)) {
            Some(Kind::Levels) => Levels::read(body).map(Self::Levels),
            Some(Kind::Grid) => Grid::read(body).map(Self::Grid),
            Some(Kind::Scaled) => Scaled::read(body).map(Self::Scaled),
            None => Err(malformed(format!("a kind below {}", Kind::ALL.len()), kind)),
        }
    }

    /// The value of every symbol, in order, where values have no scales.
    pub fn all_values(&self) -> Vec<f32> {
        let all: Vec<u16> = (0..self.symbols()).map(|symbol| symbol as u16).collect();
        let mut values = Vec::with_capacity(all.len());
        self.extend_values(&all, Scales::default(), &mut values);
        values
    }

    /// Appends the elements of `dtype` that `symbols` stand for, little-endian.
    pub fn extend_elements(&self, dtype: Dtype, symbols: &[u16], scales: Scales<'_>, bytes: &mut Vec<u8>) {
        // What is less work: one rounding for each of these symbols, or one for each there is.
        if symbols.len() < self.symbols() || !scales.bytes.is_empty() {
            let mut values = Vec::with_capacity(symbols.len());
            self.extend_values(symbols, scales, &mut values);
            return dtype.extend_bytes(&values, bytes);
        }
        let mut elements = Vec::new();
        dtype.extend_bytes(&self.all_values(), &mut elements);
        match dtype.size_bytes() {
            1 => look_up::<1>(&elements, symbols, bytes),
            2 => look_up::<2>(&elements, symbols, bytes),
            4 => look_up::<4>(&elements, symbols, bytes),
            _ => look_up::<8>(&elements, symbols, bytes),
        }
    }
}

/// Appends the N-byte element of each symbol; zeros for one that has none.
fn look_up<const N: usize>(elements: &[u8], symbols: &[u16], bytes: &mut Vec<u8>) {
    let elements = elements.as_chunks::<N>().0;
    let start = bytes.len();
    bytes.resize(start + N * symbols.len(), 0);
    let slots = bytes.get_mut(start..).unwrap_or_default().as_chunks_mut::<N>().0;
    for (slot, symbol) in slots.iter_mut().zip(symbols) {
        *slot = elements.get(usize::from(*symbol)).copied().unwrap_or([0; N]);
    }
}

/// A codebook with what gives weights their symbols.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Code {
    /// A list of values, and the rule by which a weight finds its own.
    Levels(LevelCode),
    /// Evenly spaced values, and what a bit is worth.
    Grid(GridCode),
    /// The values of a number format, and what gives a block its scale.
    Scaled(ScaledCode),
}

impl std::ops::Deref for Code {
    type Target = dyn Decode;

    fn deref(&self) -> &Self::Target {
        match self {
            Self::Levels(code) => code.codebook(),
            Self::Grid(code) => code.codebook(),
            Self::Scaled(code) => code.codebook(),
        }
    }
}

impl Code {
    /// The code of a solved quantizer; where weights are pruned, `pruned` is the largest magnitude that is, less than 0
    /// where none of this group's is.
    pub fn levels(quantizer: Quantizer, pruned: Option<f32>) -> Self {
        Self::Levels(LevelCode::new(quantizer, pruned))
    }

    /// The code of levels, where it is one.
    pub const fn as_levels(&self) -> Option<&LevelCode> {
        if let Self::Levels(code) = self { Some(code) } else { None }
    }

    /// What a decoder needs of it.
    pub fn codebook(&self) -> Codebook {
        match self {
            Self::Levels(code) => Codebook::Levels(code.codebook().clone()),
            Self::Grid(code) => Codebook::Grid(*code.codebook()),
            Self::Scaled(code) => Codebook::Scaled(code.codebook().clone()),
        }
    }

    /// Appends the symbols of `values`, whose errors cost `costs`, which lie in their tensor as `rows` says and will be coded by
    /// `context`; what goes with them.
    ///
    /// # Errors
    ///
    /// A grid without a context.
    pub fn assign(
        &self,
        values: &[f32],
        costs: ErrorCosts<'_>,
        rows: Rows,
        context: Option<&Context>,
        symbols: &mut Vec<u16>,
    ) -> Result<Assigned, CodeError> {
        match self {
            Self::Levels(code) => {
                code.assign(values, costs, symbols);
                Ok(Assigned::default())
            }
            Self::Grid(code) => {
                let context = context.ok_or_else(|| malformed("a context for a grid", "none"))?;
                let predictor = context.assign(values, costs, rows, code.goal(), symbols);
                Ok(Assigned { predictor: Some(predictor), ..Assigned::default() })
            }
            Self::Scaled(code) => {
                let scales = code.assign(values, costs.each, rows, symbols);
                Ok(Assigned { scales, ..Assigned::default() })
            }
        }
    }
}

/// The error of a codebook or quantizer that contradicts itself.
#[cold]
#[allow(clippy::needless_pass_by_value, reason = "callers pass numbers and words alike")]
fn malformed(expected: impl ToString, found: impl ToString) -> CodeError {
    crate::entropy::damaged("codebook", expected, found)
}
