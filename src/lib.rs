//! Quantscope: what each bit of a neural network's weights buys.
//!
//! ```
//! use quantscope::quantize::{Problem, Settings, methods};
//! use quantscope::{histogram::Histogram, rate_distortion::entropy_bits};
//!
//! // Four levels for ten weights, by exact k-means: the cells are all that a solver sees.
//! let weights = [-2.0, -1.9, -2.1, 0.0, 0.1, -0.1, 1.0, 1.1, 3.0, 3.2];
//! let histogram = Histogram::new(&weights, None);
//! let kmeans = methods::find("kmeans").ok_or("no such method")?;
//! let settings = Settings::new(kmeans.parameters, &[("k".to_owned(), quantscope::quantize::Value::Integer(4))].into())?;
//! let solution = (kmeans.solve)(&Problem { histogram: &histogram, sample: None }, &settings)?;
//! assert_eq!(solution.quantizer.levels, [-2.0, 0.0, 1.05, 3.1]);
//! assert_eq!(solution.counts, [3, 3, 2, 2]);
//! assert!((entropy_bits(&solution.counts) - 1.970951).abs() < 1e-6);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The crate reads from the top. Each module depends only on those above it:
//!
//! - [`role`], [`tensor`], [`anatomy`], [`model`]: what numbers do, element types, spans, what of a file changes with its
//!   tensors, a model as an ordered list of them.
//! - `checksum`, `number`, `order`, [`random`], `strides`, `varint`: CRC-32; decimal numbers; sorting; random numbers; where
//!   strides lead; numbers as bytes.
//! - [`formats`]: weight files, their readers and writers, and their table; readers locate tensors, they do not load them.
//! - [`skeleton`]: a file without the numbers of its tensors, and where they go.
//! - [`histogram`]: weights summed into cells, the sketch that every solver works on.
//! - [`rate_distortion`]: rates, distortion, bounds, hulls.
//! - [`number_format`]: values of few bits.
//! - [`compensation`]: letting each weight repair the errors of those before it.
//! - [`entropy`]: symbols to bits and back, integers only.
//! - [`code`]: how a group of weights is coded: weights to symbols, symbols to values.
//! - [`quantize`]: methods, which choose levels and rules: one file each, and their table.
//! - [`container`]: our file: sections, checksums, writer, reader.
//! - [`task`]: a run of blocks of one tensor, and the messages between page, workers and threads.
//! - [`importance`]: what a weight's squared error is multiplied by.
//! - [`purpose`]: what a file that is brought to an open model is for.
//! - [`cost`]: energy and time of a network in a number format, by a model.
//! - [`recipe`]: everything that decides a compressed file's bytes, as data.
//! - [`engine`]: jobs: sketch, solve, encode, verify.
//! - `network`: running ONNX networks: accuracy, curvature, fine-tuning; a feature, which the page loads apart.
//! - [`plot`]: charts, drawn with any plotters backend.
//! - `cli`: the native program; `web`: the page and its workers.

pub mod anatomy;
mod checksum;
pub mod code;
pub mod compensation;
pub mod container;
pub mod cost;
pub mod engine;
pub mod entropy;
pub mod formats;
pub mod histogram;
pub mod importance;
pub mod model;
#[cfg(feature = "network")]
pub mod network;
mod number;
pub mod number_format;
mod order;
pub mod plot;
pub mod purpose;
pub mod quantize;
pub mod random;
pub mod rate_distortion;
pub mod recipe;
pub mod role;
pub mod skeleton;
mod strides;
pub mod task;
pub mod tensor;
mod varint;

#[cfg(all(feature = "cli", not(target_arch = "wasm32")))]
pub mod cli;
#[cfg(target_arch = "wasm32")]
pub mod web;
