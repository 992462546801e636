//! The table of coders: a row says what a coder is called, its file what its codes do ([`SymbolCode`]).
//!
//! `Coder` and `CodeTable`, and everything that asks all coders, are made from the rows; calls are resolved when compiled.

use super::bits::{BitReader, BitWriter};
use super::context::Context;
use super::fixed::Fixed;
use super::huffman::Huffman;
use super::rans::Rans;
use super::{CodeError, Rows, SymbolCode};

macro_rules! coders {
    ($($(#[$doc:meta])* $coder:ident { id: $id:literal, title: $title:literal, axis: $axis:expr })*) => {
        /// How symbols are turned into bits.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum Coder {
            $($(#[$doc])* $coder,)*
        }

        /// The code of an alphabet: built once from counts, stored beside the payload, used for any number of runs.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum CodeTable {
            $($(#[$doc])* $coder($coder),)*
        }

        impl Coder {
            /// Every coder, simplest first.
            pub const ALL: [Self; [$($id),*].len()] = [$(Self::$coder),*];

            /// The name used in recipes.
            pub const fn id(self) -> &'static str {
                match self {
                    $(Self::$coder => $id,)*
                }
            }

            /// The name for people.
            pub const fn title(self) -> &'static str {
                match self {
                    $(Self::$coder => $title,)*
                }
            }

            /// The title of a chart's axis of bits by this coder; none where counts do not tell them.
            pub const fn axis(self) -> Option<&'static str> {
                match self {
                    $(Self::$coder => $axis,)*
                }
            }

            /// Bits of values by the papers' formula, of symbols with these counts, none of which is 0.
            pub fn formula_bits(self, counts: &[u64]) -> f64 {
                match self {
                    $(Self::$coder => $coder::formula_bits(counts),)*
                }
            }
        }

        impl CodeTable {
            /// The best code of `coder` for symbols with these counts; every symbol below `counts.len()` can be coded,
            /// counted or not. No counts at all are an alphabet of one symbol, for where there is nothing to code.
            pub fn new(coder: Coder, counts: &[u64]) -> Result<Self, CodeError> {
                let counts = if counts.is_empty() { &[0] } else { counts };
                Ok(match coder {
                    $(Coder::$coder => Self::$coder($coder::of_counts(counts)?),)*
                })
            }

            /// The coder that made it.
            pub const fn coder(&self) -> Coder {
                match self {
                    $(Self::$coder(_) => Coder::$coder,)*
                }
            }

            /// Number of symbols.
            pub fn alphabet(&self) -> usize {
                match self {
                    $(Self::$coder(code) => code.alphabet(),)*
                }
            }

            /// Bits that symbols with these counts will take, the table not included.
            ///
            /// Exact for fixed-length and Huffman codes. For adaptive coding, which looks at neighbours, it is the entropy of
            /// the symbols on their own, below which it usually comes out. For rANS it is the information under the model,
            /// rounded up; a payload takes up to 64 bits more for each of its states.
            pub fn predicted_bits(&self, counts: &[u64]) -> u64 {
                match self {
                    $(Self::$coder(code) => code.predicted_bits(counts),)*
                }
            }

            /// Appends the code of `symbols` to `out`; returns its number of bits, the last byte being filled with zeros.
            /// `rows` says where the run lies in its tensor.
            pub fn encode(&self, symbols: &[u16], rows: Rows, out: &mut Vec<u8>) -> Result<u64, CodeError> {
                match self {
                    $(Self::$coder(code) => SymbolCode::encode(code, symbols, rows, out),)*
                }
            }

            /// Appends the `count` symbols that `bytes` holds, and nothing else, to `symbols`; returns the number of bits
            /// they took. Memory is 2 bytes per symbol asked for.
            pub fn decode(
                &self,
                bytes: &[u8],
                count: usize,
                rows: Rows,
                symbols: &mut Vec<u16>,
            ) -> Result<u64, CodeError> {
                match self {
                    $(Self::$coder(code) => SymbolCode::decode(code, bytes, count, rows, symbols),)*
                }
            }

            /// Writes the coder's own table.
            pub(super) fn write_table(&self, writer: &mut BitWriter) {
                match self {
                    $(Self::$coder(code) => SymbolCode::write_table(code, writer),)*
                }
            }

            /// Reads the table of a coder.
            pub(super) fn read_table(
                coder: Coder,
                alphabet: usize,
                reader: &mut BitReader,
            ) -> Result<Self, CodeError> {
                Ok(match coder {
                    $(Coder::$coder => Self::$coder(SymbolCode::read_table(alphabet, reader)?),)*
                })
            }
        }
    };
}

// A coder's number in a file is that of its row, from 0: rows are added at the end.
coders! {
    /// The same number of bits for every symbol.
    Fixed {
        id: "fixed",
        title: "Fixed length",
        axis: Some("bits per weight, fixed length, codebooks counted")
    }
    /// An optimal prefix code.
    Huffman {
        id: "huffman",
        title: "Huffman",
        axis: Some("bits per weight, Huffman, tables and codebooks counted")
    }
    /// A static range asymmetric numeral system.
    Rans {
        id: "rans",
        title: "Range ANS",
        axis: Some("bits per weight, ANS, tables and codebooks counted")
    }
    /// Adaptive binary arithmetic coding in the context of a symbol's neighbours.
    Context {
        id: "context",
        title: "Context-adaptive",
        axis: None
    }
}

impl Coder {
    /// Those whose bits the counts of symbols tell.
    pub fn by_counts() -> impl Iterator<Item = Self> {
        Self::ALL.into_iter().filter(|coder| coder.axis().is_some())
    }

    /// The coder of this [`id`](Self::id), if there is one.
    pub fn from_id(id: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|coder| coder.id() == id)
    }
}
