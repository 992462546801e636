//! Entropy coding: symbols to bits and back, integers only.
//!
//! A *symbol* is a `u16` below the size of its alphabet (1 to 65536). A [`CodeTable`] is built from symbol counts, is
//! stored beside the payload, and then codes any run of symbols of its alphabet: with a fixed number of bits
//! ([`fixed`]), a Huffman code ([`huffman`]), a range asymmetric numeral system ([`rans`]), or by adaptive binary decisions in
//! the context of a symbol's neighbours ([`context`]). Where most symbols are zero, [`gaps`] codes the positions of the
//! others instead. Elements that must not change are no symbols; [`planes`] codes them byte by byte.
//!
//! Nothing here uses floating point, so the same counts give the same bits on every machine. Decoders take hostile
//! input: they never panic, always stop, and hold no more than the caller asked for.
//!
//! ```
//! use quantscope::entropy::{CodeTable, Coder, Rows};
//!
//! let symbols = [0, 1, 0, 2, 0, 0, 1, 3];
//! let table = CodeTable::new(Coder::Huffman, &[4, 2, 1, 1])?;
//! let mut bytes = Vec::new();
//! assert_eq!(table.encode(&symbols, Rows::default(), &mut bytes)?, 14); // 4·1 + 2·2 + 1·3 + 1·3 bits
//! assert_eq!(bytes, [0b0_10_0_110_0, 0b0_10_111_00]);
//!
//! let mut decoded = Vec::new();
//! assert_eq!(table.decode(&bytes, symbols.len(), Rows::default(), &mut decoded)?, 14);
//! assert_eq!(decoded, symbols);
//! # Ok::<(), quantscope::entropy::CodeError>(())
//! ```

// The page's binary is built for size, where little is inlined unless it is asked for; these are called for every weight.
#[allow(clippy::inline_always)]
pub mod assign;
#[allow(clippy::inline_always)]
mod binary;
pub mod bits;
mod coder;
#[allow(clippy::inline_always)]
pub mod context;
#[allow(clippy::inline_always)]
mod distance;
mod estimates;
mod factors;
pub mod fixed;
pub mod gaps;
pub mod huffman;
mod lanes;
#[allow(clippy::inline_always)]
mod neighbours;
pub mod planes;
mod predict;
pub mod rans;
mod rows;
mod symbol_code;
mod table;
#[allow(clippy::inline_always)]
pub mod trellis;

pub use assign::Goal;
pub use coder::{CodeTable, Coder};
pub use context::{Context, ContextCounts, Numbering};
pub use gaps::{GapCounts, GapTable};
pub use predict::Predictor;
pub use rows::Rows;
pub use symbol_code::SymbolCode;
pub use trellis::Trellis;

/// The largest alphabet.
pub const MAX_ALPHABET: usize = 1 << 16;

/// How the positions of pruned weights are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Positions {
    /// Zeros are symbols like any other.
    Symbols,
    /// Only non-zeros are coded, with the Huffman-coded gaps between them.
    Gaps,
}

impl Positions {
    /// Both ways.
    pub const ALL: [Self; 2] = [Self::Symbols, Self::Gaps];

    /// The name used in recipes.
    pub const fn id(self) -> &'static str {
        match self {
            Self::Symbols => "symbols",
            Self::Gaps => "gaps",
        }
    }

    /// The name for people.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Symbols => "Zeros as symbols",
            Self::Gaps => "Gaps between non-zeros",
        }
    }

    /// The way of this [`id`](Self::id), if there is one.
    pub fn from_id(id: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|positions| positions.id() == id)
    }
}

/// Why symbols could not be coded or decoded; says what its kind says.
///
/// A pointer, so that results stay as small as what they hold.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(transparent)]
pub struct CodeError(Box<CodeErrorKind>);

/// What is wrong with symbols or their code.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CodeErrorKind {
    /// A stored table or stream contradicts itself.
    #[error("{part}: expected {expected}, found {found}")]
    Damaged {
        /// What was being read.
        part: &'static str,
        /// What the code asks for.
        expected: String,
        /// What the bytes have.
        found: String,
    },
    /// A symbol to encode is not in the table.
    #[error("symbol {symbol} has no code in an alphabet of {alphabet}")]
    NoCode {
        /// The symbol.
        symbol: u32,
        /// Size of the table's alphabet.
        alphabet: u32,
    },
    /// An alphabet is empty or too large.
    #[error("an alphabet has 1 to 65536 symbols, found {found}")]
    Alphabet {
        /// The size asked for.
        found: u64,
    },
    /// There is no memory for the decoded symbols.
    #[error("no memory for {symbols} symbols")]
    Memory {
        /// How many were asked for.
        symbols: u64,
    },
}

impl From<CodeErrorKind> for CodeError {
    #[cold]
    fn from(kind: CodeErrorKind) -> Self {
        Self(Box::new(kind))
    }
}

impl CodeError {
    /// What it is.
    pub fn into_kind(self) -> CodeErrorKind {
        *self.0
    }

    /// A symbol that is not in a table of `alphabet` symbols.
    fn no_code(symbol: u32, alphabet: usize) -> Self {
        CodeErrorKind::NoCode { symbol, alphabet: alphabet as u32 }.into()
    }
}

/// The error of a stored table or stream.
#[cold]
#[allow(clippy::needless_pass_by_value, reason = "callers pass numbers and words alike")]
pub(crate) fn damaged(part: &'static str, expected: impl ToString, found: impl ToString) -> CodeError {
    CodeErrorKind::Damaged { part, expected: expected.to_string(), found: found.to_string() }.into()
}

/// Checks the size of an alphabet.
pub(crate) fn check_alphabet(size: u64) -> Result<usize, CodeError> {
    if (1..=MAX_ALPHABET as u64).contains(&size) {
        Ok(size as usize)
    } else {
        Err(CodeErrorKind::Alphabet { found: size }.into())
    }
}

/// Makes room for `count` more elements, or says that there is none.
pub(crate) fn reserve<T>(items: &mut Vec<T>, count: usize) -> Result<(), CodeError> {
    items.try_reserve(count).map_err(|_| CodeErrorKind::Memory { symbols: count as u64 }.into())
}

/// Smallest number of bits that tells `size` things apart.
pub(crate) const fn ceil_log2(size: usize) -> u32 {
    match size {
        0 | 1 => 0,
        _ => usize::BITS - (size - 1).leading_zeros(),
    }
}
