//! GGUF, the files of llama.cpp and of what is built on ggml.
//!
//! Definition: "GGUF" in docs/gguf.md of ggml-org/ggml, versions 2 and 3 (G. Gerganov and contributors, 2023), and the checks of
//! `gguf_init_from_file` in ggml's gguf.cpp. A file is
//!
//! - `GGUF`, a version, the number of tensors and of keys; all numbers are of the byte order that the version reads in;
//! - keys with a typed value: a number, a truth value, a text, or an array of one of these;
//! - for each tensor its name, dimensions (innermost first), type, and where its bytes lie in what follows;
//! - from the next multiple of `general.alignment` (32 where that key is absent) on, the tensors' bytes, each padded to it.
//!
//! A model may be split over files `…-00001-of-00003.gguf`, each a GGUF of its own with the keys `split.no`, `split.count` and
//! `split.tensors.count` (`llama-gguf-split`). Any of them finds the others.
//!
//! Blocks of ggml's quantized types are codes for float32 ([`Codec`](crate::tensor::Codec)). Not read: version 1, of 2023;
//! arrays of arrays; types that ggml dropped before GGUF came.

mod header;
mod reader;
mod types;

pub(super) use header::is_gguf;
pub(super) use reader::{companions, open};

#[cfg(test)]
mod tests;
