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
//! - [`plot`]: charts, drawn with any plotters backend.

pub mod container;
pub mod entropy;
pub mod formats;
pub mod histogram;
pub mod model;
pub mod plot;
pub mod quantize;
pub mod rate_distortion;
pub mod tensor;
