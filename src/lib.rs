//! Quantscope: what each bit of a neural network's weights buys.
//!
//! The crate reads from the top. Each module depends only on those above it:
//!
//! - [`tensor`], [`model`]: element types, spans, a model as an ordered list of tensors.
//! - [`formats`]: weight files; readers locate tensors, they do not load them.
//! - [`histogram`]: weights summed into cells, the sketch that every solver works on.
//! - [`quantize`]: weights to symbols and back, one file per method, and the table of methods.
//! - [`rate_distortion`]: rates, distortion, bounds, hulls.
//! - [`entropy`]: symbols to bits and back, integers only.
//! - [`container`]: our file: sections, checksums, writer, reader.
//! - [`recipe`]: everything that decides a compressed file's bytes, as data.
//! - [`importance`]: what a weight's squared error is multiplied by.
//! - [`export`]: decoded weights as safetensors and `.npz`.
//! - [`engine`]: jobs: sketch, solve, encode, verify.
//! - [`plot`]: charts, drawn with any plotters backend.
//! - `cli`: the native program; `web`: the page and its workers.

pub mod container;
pub mod engine;
pub mod entropy;
pub mod export;
pub mod formats;
pub mod histogram;
pub mod importance;
pub mod model;
pub mod plot;
pub mod quantize;
pub mod rate_distortion;
pub mod recipe;
pub mod tensor;

#[cfg(all(feature = "cli", not(target_arch = "wasm32")))]
pub mod cli;
#[cfg(target_arch = "wasm32")]
pub mod web;
